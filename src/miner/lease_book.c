#include "miner/lease_book.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "crypto/keccak.h"
#include "proto/entry.h"

/* docs/protocol.md, "Miner link": salts. */
#define SECRET_TAG "corten/k"
#define SALT_TAG   "corten/s"
#define TAG_SIZE   8

/* A chunk of the stream: it ends at `end` of the text. */
struct piece {
    uint32_t end, tokens;
};

struct lease {
    uint64_t lease, task, session, network;
    uint32_t link;
    bool up;  // its router has offered it on the present socket
    bool round, together, channel, stream;
    bool done, cancelled, revealed, held, released;
    uint64_t seed;
    bool seed_of_client;
    struct hash request_digest, manifest;
    struct buf text;
    struct piece *piece;
    uint32_t pieces, piece_cap;
    struct hash head;  // of the chain over all pieces
    /* What the router has. */
    bool acked, precommitted, committed;
    uint32_t sent;  // pieces
    struct hash sent_head;
    /* From the engine's end on. */
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size;
    struct hash salt, precommit;
    uint8_t signature[SIGNATURE_SIZE];
    char *failure;  // NULL: it did not fail
    enum decline_reason failed_for;
};

struct lease_book {
    struct lease_book_options options;
    struct hash secret;  // salts follow from it
    uint64_t network[LEASE_BOOK_LINKS_MAX];
    struct lease **lease;  // [count] of options.cap
    uint32_t count;
    bool draining, dropped;
    struct lease_book_stats stats;
};

/* ---- the book ---- */

enum cx_err lease_book_open(const struct lease_book_options *options, struct lease_book **ret_book)
{
    cx_assert(options->cap > 0);
    cx_assert(options->cap <= LEASE_BOOK_CAP_MAX);
    struct lease_book *book = calloc(1, sizeof *book);
    cx_assert(book);
    book->options = *options;
    book->lease = calloc(options->cap, sizeof *book->lease);
    cx_assert(book->lease);
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, SECRET_TAG, TAG_SIZE);
    keccak_add(&k, key_secret(options->key), KEY_SECRET_SIZE);
    keccak_end(&k, &book->secret);
    *ret_book = book;
    return CX_OK;
}

void lease_book_set_manifest(struct lease_book *book, const struct hash *manifest)
{
    book->options.manifest = *manifest;
}

static void lease_free(struct lease *l)
{
    buf_done(&l->text);
    free(l->piece);
    free(l->failure);
    free(l);
}

void lease_book_close(struct lease_book *book)
{
    if (!book)
        return;
    for (uint32_t i = 0; i < book->count; i++)
        lease_free(book->lease[i]);
    free(book->lease);
    free(book);
}

static struct lease *find(const struct lease_book *book, uint64_t lease)
{
    for (uint32_t i = 0; i < book->count; i++)
        if (book->lease[i]->lease == lease)
            return book->lease[i];
    return NULL;
}

/* In order, so that what is oldest is said first. */
static void forget(struct lease_book *book, struct lease *l)
{
    uint32_t at = 0;
    while (book->lease[at] != l)
        at++;
    book->count--;
    memmove(&book->lease[at], &book->lease[at + 1], (book->count - at) * sizeof *book->lease);
    lease_free(l);
}

/* A router that does not come back must not fill the book. */
static void forget_orphan(struct lease_book *book)
{
    for (uint32_t i = 0; i < book->count; i++)
        if (book->lease[i]->done && !book->lease[i]->up) {
            forget(book, book->lease[i]);
            return;
        }
}

/* ---- saying ---- */

static bool takes(const struct lease_book *book, const struct lease *l)
{
    return l->up && book->options.sink.takes(book->options.sink.ctx, l->link);
}

static void send(struct lease_book *book, uint32_t link, const struct link_frame *frame)
{
    book->options.sink.send(book->options.sink.ctx, link, frame);
}

static void send_chunk(struct lease_book *book, struct lease *l)
{
    const struct piece *p = &l->piece[l->sent];
    uint32_t start = l->sent ? l->piece[l->sent - 1].end : 0;
    struct link_frame frame = {
        .type = LINK_CHUNK,
        .chunk = {.lease = l->lease,
                  .n = l->sent,
                  .text = {(const uint8_t *)l->text.data + start, p->end - start},
                  .tokens = p->tokens,
                  .has_head = (l->sent + 1) % LINK_CHUNKS_A_HEAD == 0 || (l->done && l->sent + 1 == l->pieces)}};
    chain_extend(&l->sent_head, frame.chunk.text.data, frame.chunk.text.size);
    frame.chunk.head = l->sent_head;
    l->sent++;
    book->stats.chunks++;
    send(book, l->link, &frame);
}

static void send_precommit(struct lease_book *book, struct lease *l)
{
    struct link_frame frame = {
        .type = LINK_PRECOMMIT,
        .precommit = {.lease = l->lease, .precommit = l->precommit, .has_signature = !l->channel}};
    memcpy(frame.precommit.signature, l->signature, SIGNATURE_SIZE);
    l->precommitted = true;
    send(book, l->link, &frame);
}

/* In a round a node behaves, so that it comes to serve, and its faults come to light. */
static const struct miner_faults *faults_of(const struct lease_book *book, const struct lease *l)
{
    static const struct miner_faults none;
    return l->round ? &none : &book->options.faults;
}

static void send_commit(struct lease_book *book, struct lease *l)
{
    struct link_frame frame = {.type = LINK_COMMIT,
                               .commit = {.lease = l->lease,
                                          .salt = l->salt,
                                          .record = {l->record, l->record_size},
                                          .text = {(const uint8_t *)l->text.data, (uint32_t)l->text.size}}};
    if (faults_of(book, l)->wrong_reveal)
        frame.commit.salt.b[0] ^= 1;
    l->committed = true;
    book->stats.answered++;
    send(book, l->link, &frame);
}

/* Whether the reveal may go now; for tests it may be late or never come. */
static bool may_commit(struct lease_book *book, struct lease *l)
{
    const struct miner_faults *faults = faults_of(book, l);
    if (!l->together && !l->revealed)
        return false;
    if (faults->withhold_reveal)
        return false;
    if (faults->late_reveal_ms == 0 || l->released)
        return true;
    if (!l->held) {
        l->held = true;
        book->options.sink.hold(book->options.sink.ctx, l->lease, faults->late_reveal_ms);
    }
    return false;
}

static void say_failure(struct lease_book *book, struct lease *l)
{
    struct link_frame frame = {.type = LINK_FAULT,
                               .fault = {.lease = l->lease, .reason = l->failed_for, .detail = l->failure}};
    if (!l->acked)
        frame = (struct link_frame){.type = LINK_DECLINE,
                                    .decline = {.lease = l->lease, .reason = l->failed_for, .detail = l->failure}};
    send(book, l->link, &frame);
    forget(book, l);
}

static void say_ack(struct lease_book *book, struct lease *l)
{
    l->acked = true;
    send(book, l->link, &(struct link_frame){.type = LINK_ACK, .ack.lease = l->lease});
}

/* Says all that is owed for this lease and that the link takes; l may be gone behind it. */
static void say(struct lease_book *book, struct lease *l)
{
    if (!takes(book, l))
        return;
    if (l->failure) {
        say_failure(book, l);
        return;
    }
    if (!l->acked)
        say_ack(book, l);
    while (l->stream && l->sent < l->pieces && takes(book, l)) {
        send_chunk(book, l);
        uint32_t drop_after = faults_of(book, l)->drop_after;
        if (drop_after && !book->dropped && book->stats.chunks >= drop_after) {
            book->dropped = true;
            book->options.sink.drop(book->options.sink.ctx);
        }
    }
    if (!takes(book, l) || !l->done || (l->stream && l->sent < l->pieces))
        return;
    if (!l->precommitted)
        send_precommit(book, l);
    if (takes(book, l) && !l->committed && may_commit(book, l))
        send_commit(book, l);
}

void lease_book_pump(struct lease_book *book, uint32_t link)
{
    for (uint32_t i = 0; i < book->count;) {
        struct lease *l = book->lease[i];
        if (l->link == link)
            say(book, l);
        if (i < book->count && book->lease[i] == l)
            i++;
    }
}

/* ---- from a router ---- */

static bool is_listed(uint64_t lease, const uint64_t *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == lease)
            return true;
    return false;
}

static void end(struct lease_book *book, struct lease *l)
{
    if (!l->done && !l->failure)
        book->options.sink.cancel(book->options.sink.ctx, l->lease, true);
    forget(book, l);
}

void lease_book_welcome(struct lease_book *book, uint32_t link, uint64_t network, const uint64_t *lease, uint32_t count)
{
    cx_assert(link < LEASE_BOOK_LINKS_MAX);
    book->network[link] = network;
    for (uint32_t i = 0; i < book->count;) {
        struct lease *l = book->lease[i];
        if (l->link == link && !is_listed(l->lease, lease, count)) {
            book->stats.recalled++;
            end(book, l);
        } else {
            i++;
        }
    }
}

void lease_book_link_down(struct lease_book *book, uint32_t link)
{
    for (uint32_t i = 0; i < book->count; i++)
        if (book->lease[i]->link == link)
            book->lease[i]->up = false;
}

static void decline(struct lease_book *book, uint32_t link, uint64_t lease, enum decline_reason reason)
{
    static const char *const detail[DECLINE_REASON_COUNT] = {
        [DECLINE_BUSY] = "all slots are taken",
        [DECLINE_ENGINE] = "the engine is not ready",
        [DECLINE_CONTEXT] = "prompt and answer do not fit the context",
        [DECLINE_PAYLOAD_MISSING] = "the request did not come with the offer",
        [DECLINE_UNSUPPORTED] = "the engine cannot honour this request",
        [DECLINE_DRAINING] = "the node is going away",
    };
    book->stats.declined++;
    send(book, link,
         &(struct link_frame){.type = LINK_DECLINE,
                              .decline = {.lease = lease, .reason = reason, .detail = detail[reason]}});
}

/* The router's view of a lease that is known here: what it does not have is said again. */
static void reconcile(struct lease_book *book, struct lease *l, const struct link_offer *offer)
{
    l->up = true;
    l->stream = l->stream || offer->stream;
    l->revealed = l->revealed || offer->reveal || offer->cancel;
    l->acked = offer->state != ASSIGNMENT_OFFERED;
    l->precommitted = l->acked && offer->state != ASSIGNMENT_ACKED;
    l->committed = false;
    l->sent = (uint32_t)u64_min(offer->chunks, l->pieces);
    chain_start(l->network, l->task, l->lease, &l->sent_head);
    for (uint32_t i = 0, start = 0; i < l->sent; start = l->piece[i++].end)
        chain_extend(&l->sent_head, l->text.data + start, l->piece[i].end - start);
    if (offer->cancel)
        lease_book_cancel(book, l->lease);
    else
        say(book, l);
}

static struct lease *lease_new(struct lease_book *book, uint32_t link, const struct link_offer *offer)
{
    struct lease *l = calloc(1, sizeof *l);
    cx_assert(l);
    l->lease = offer->lease;
    l->task = offer->task;
    l->session = offer->session;
    l->network = book->network[link];
    l->link = link;
    l->up = true;
    l->round = offer->round;
    l->together = offer->together;
    l->channel = offer->channel;
    l->stream = offer->stream;
    l->seed = offer->seed;
    l->seed_of_client = offer->seed_of_client;
    l->acked = offer->state != ASSIGNMENT_OFFERED;
    l->manifest = book->options.manifest;
    keccak256(offer->request.data, offer->request.size, &l->request_digest);
    chain_start(l->network, l->task, l->lease, &l->head);
    l->sent_head = l->head;
    book->lease[book->count++] = l;
    return l;
}

/* A round may be answered again by a miner that was started again, as long as nothing of the answer is out. */
static bool is_lost(const struct link_offer *offer)
{
    bool fresh = offer->state == ASSIGNMENT_OFFERED || (offer->round && offer->state == ASSIGNMENT_ACKED);
    return !fresh || offer->chunks > 0;
}

void lease_book_offer(struct lease_book *book, uint32_t link, const struct link_offer *offer)
{
    cx_assert(link < LEASE_BOOK_LINKS_MAX);
    struct lease *l = find(book, offer->lease);
    if (l) {
        if (l->link == link)
            reconcile(book, l, offer);
        return;
    }
    if (is_lost(offer)) {
        send(book, link,
             &(struct link_frame){
                 .type = LINK_FAULT,
                 .fault = {.lease = offer->lease, .reason = DECLINE_ENGINE, .detail = "the miner was started again"}});
        return;
    }
    book->stats.offers++;
    if (book->count == book->options.cap)
        forget_orphan(book);
    enum decline_reason reason = DECLINE_BUSY;
    if (offer->request.size == 0)
        decline(book, link, offer->lease, DECLINE_PAYLOAD_MISSING);
    else if (book->draining)
        decline(book, link, offer->lease, DECLINE_DRAINING);
    else if (book->count == book->options.cap || !book->options.sink.start(book->options.sink.ctx, offer, &reason))
        decline(book, link, offer->lease, reason);
    else
        say(book, lease_new(book, link, offer));
}

void lease_book_promote(struct lease_book *book, uint64_t lease)
{
    struct lease *l = find(book, lease);
    if (!l)
        return;
    l->stream = true;
    say(book, l);
}

void lease_book_reveal(struct lease_book *book, uint64_t lease)
{
    struct lease *l = find(book, lease);
    if (!l)
        return;
    l->revealed = true;
    say(book, l);
}

void lease_book_cancel(struct lease_book *book, uint64_t lease)
{
    struct lease *l = find(book, lease);
    if (!l)
        return;
    l->revealed = true;
    if (!l->cancelled && !l->done && !l->failure)
        book->options.sink.cancel(book->options.sink.ctx, lease, false);
    l->cancelled = true;
    say(book, l);
}

/* For tests: what a miner says that does not know when to stop. */
static void say_all_again(struct lease_book *book, struct lease *l)
{
    if (!takes(book, l) || !l->done)
        return;
    say_ack(book, l);
    send_precommit(book, l);
    send_commit(book, l);
}

void lease_book_recall(struct lease_book *book, uint64_t lease)
{
    struct lease *l = find(book, lease);
    if (!l)
        return;
    if (faults_of(book, l)->stale_lease)
        say_all_again(book, l);
    book->stats.recalled++;
    end(book, l);
}

/* ---- from the engine ---- */

static void add_piece(struct lease *l, const char *text, size_t size, uint32_t tokens)
{
    if (l->pieces == l->piece_cap) {
        l->piece_cap = l->piece_cap ? 2 * l->piece_cap : 64;
        l->piece = realloc(l->piece, l->piece_cap * sizeof *l->piece);
        cx_assert(l->piece);
    }
    buf_add(&l->text, text, size);
    chain_extend(&l->head, text, (uint32_t)size);
    l->piece[l->pieces++] = (struct piece){(uint32_t)l->text.size, tokens};
}

static void fail(struct lease_book *book, struct lease *l, enum decline_reason reason, const char *detail)
{
    l->failed_for = reason;
    l->failure = strndup(detail, utf8_whole_prefix(detail, strnlen(detail, LINK_DETAIL_SIZE_MAX)));
    cx_assert(l->failure);
    book->stats.failed++;
    say(book, l);
}

void lease_book_chunk(struct lease_book *book, uint64_t lease, const char *text, size_t size, uint32_t tokens)
{
    struct lease *l = find(book, lease);
    if (!l || l->done || l->failure)
        return;
    if (size > LINK_TEXT_SIZE_MAX - l->text.size) {
        book->options.sink.cancel(book->options.sink.ctx, lease, true);
        fail(book, l, DECLINE_ENGINE, "the answer is over 4 MiB");
        return;
    }
    while (size > LINK_CHUNK_SIZE_MAX) {
        size_t part = utf8_whole_prefix(text, LINK_CHUNK_SIZE_MAX);
        add_piece(l, text, part, 0);
        text += part;
        size -= part;
    }
    add_piece(l, text, size, tokens);
    say(book, l);
}

static void make_salt(const struct lease_book *book, struct lease *l)
{
    uint8_t ids[16];
    struct keccak k;
    be64_put(ids, l->network);
    be64_put(ids + 8, l->lease);
    keccak_init(&k);
    keccak_add(&k, SALT_TAG, TAG_SIZE);
    keccak_add(&k, book->secret.b, sizeof book->secret.b);
    keccak_add(&k, ids, sizeof ids);
    keccak_end(&k, &l->salt);
}

static void sign(const struct lease_book *book, struct lease *l)
{
    struct command cmd = {.type = COMMAND_TASK_PRECOMMIT,
                          .task_precommit = {.lease = l->lease, .precommit = l->precommit}};
    if (l->round)
        cmd = (struct command){.type = COMMAND_ROUND_PRECOMMIT,
                               .round_precommit = {.lease = l->lease, .precommit = l->precommit}};
    entry_signature(&cmd, l->network, book->options.key, l->signature);
}

void lease_book_done(struct lease_book *book, uint64_t lease, const struct lease_result *result)
{
    struct lease *l = find(book, lease);
    if (!l || l->done || l->failure)
        return;
    /* The last chunk frame carries the head, and the last one may have gone without knowing that it was. */
    if (l->pieces % LINK_CHUNKS_A_HEAD != 0)
        add_piece(l, "", 0, 0);
    struct record record = {.manifest_digest = l->manifest,
                            .engine = (uint8_t)book->options.engine,
                            .seed = l->seed,
                            .seed_of_client = l->seed_of_client,
                            .request_digest = l->request_digest,
                            .chain_head = l->head,
                            .tokens_digest = result->tokens_digest,
                            .finish = (uint8_t)result->finish,
                            .tokens_in = result->tokens_in,
                            .tokens_out = result->tokens_out};
    keccak256(l->text.data, l->text.size, &record.text_digest);
    l->record_size = record_encode(&record, l->record, sizeof l->record);
    make_salt(book, l);
    const struct precommit_terms terms = {.network_id = l->network,
                                          .session = l->session,
                                          .task = l->task,
                                          .lease = l->lease,
                                          .node = *key_address(book->options.key),
                                          .salt = l->salt};
    precommit_hash(&terms, (struct span){l->record, l->record_size}, &l->precommit);
    if (!l->channel)
        sign(book, l);
    l->done = true;
    say(book, l);
}

void lease_book_failed(struct lease_book *book, uint64_t lease, enum decline_reason reason, const char *detail)
{
    struct lease *l = find(book, lease);
    if (l && !l->done && !l->failure)
        fail(book, l, reason, detail);
}

/* ---- of the owner ---- */

void lease_book_drain(struct lease_book *book) { book->draining = true; }

void lease_book_release(struct lease_book *book, uint64_t lease)
{
    struct lease *l = find(book, lease);
    if (!l)
        return;
    l->released = true;
    say(book, l);
}

uint32_t lease_book_owed(const struct lease_book *book) { return book->count; }

uint32_t lease_book_busy(const struct lease_book *book)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < book->count; i++)
        busy += !book->lease[i]->done && !book->lease[i]->failure;
    return busy;
}

struct lease_book_stats lease_book_stats(const struct lease_book *book) { return book->stats; }

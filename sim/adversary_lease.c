/* What a cheating miner answers: honestly in rounds, and for tasks as its cheats say. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "core/command.h"
#include "crypto/keccak.h"
#include "miner/engine_request.h"
#include "proto/entry.h"
#include "sim/adversary_parts.h"

#define CHUNK_SIZE 24   // bytes of text a chunk: answers of tests come in several
#define LATE_MS    100  // behind the deadline
#define STREAM_MS  100  // between a stream and another answer

/* ---- leases ---- */

static struct adversary_lease *find(const struct adversary_miner *miner, uint64_t lease)
{
    struct adversary_lease *l = miner->lease;
    while (l && l->offer.lease != lease)
        l = l->next;
    return l;
}

static void lease_free(struct adversary_lease *l)
{
    net_timer_stop(&l->timer);
    buf_done(&l->text);
    free(l);
}

static void drop(struct adversary_lease *l)
{
    l->offer.lease = 0;
    net_timer_stop(&l->timer);
    if (l->job) {
        runtime_cancel(l->job);
        return;  // it goes when the engine has said so
    }
    struct adversary_lease **at = &l->miner->lease;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    lease_free(l);
}

void adversary_forget_leases(struct adversary_miner *miner)
{
    while (miner->lease) {
        struct adversary_lease *l = miner->lease;
        miner->lease = l->next;
        lease_free(l);
    }
}

/* ---- saying ---- */

static void say_ack(struct adversary_lease *l)
{
    l->acked = true;
    l->miner->stats.acks++;
    adversary_say(l->miner, &(struct link_frame){.type = LINK_ACK, .ack.lease = l->offer.lease});
}

static uint64_t chunk_count(const struct buf *text)
{
    uint64_t count = 0;
    for (size_t at = 0; at < text->size; count++)
        at += utf8_whole_prefix(text->data + at, u64_min(CHUNK_SIZE, text->size - at));
    return count;
}

/* The chain over a text in chunks; where `send`, they go out, those before `from` excepted. An empty text is one empty
 * chunk. */
static struct hash chain_of(const struct adversary_lease *l, const struct buf *text, bool send, uint64_t from)
{
    struct hash head;
    uint64_t n = 0, last = chunk_count(text);
    chain_start(l->miner->wire.network, l->offer.task, l->offer.lease, &head);
    for (size_t at = 0; at < text->size || (n == 0 && last == 0); n++) {
        size_t size = utf8_whole_prefix(text->data + at, u64_min(CHUNK_SIZE, text->size - at));
        bool ends = n + 1 >= last;
        struct link_frame frame = {.type = LINK_CHUNK,
                                   .chunk = {.lease = l->offer.lease,
                                             .n = n,
                                             .text = {(const uint8_t *)text->data + at, (uint32_t)size},
                                             .tokens = ends ? l->tokens_out : 0,
                                             .has_head = ends || (n + 1) % LINK_CHUNKS_A_HEAD == 0}};
        chain_extend(&head, text->data + at, (uint32_t)size);
        frame.chunk.head = head;
        at += size;
        if (!send || n < from)
            continue;
        l->miner->stats.chunks++;
        adversary_say(l->miner, &frame);
    }
    return head;
}

static void say_stream(struct adversary_lease *l)
{
    struct buf other = {0};
    l->streamed = true;
    if (l->cheats & CHEAT_STREAM_OTHER)
        buf_printf(&other, "what nobody will find in the answer");
    chain_of(l, other.size > 0 ? &other : &l->text, true, l->offer.chunks);
    buf_done(&other);
}

static void say_precommit(struct adversary_lease *l)
{
    struct link_frame frame = {.type = LINK_PRECOMMIT,
                               .precommit = {.lease = l->offer.lease,
                                             .precommit = l->precommit,
                                             .has_signature = !l->offer.channel && !(l->cheats & CHEAT_SIGN_NONE)}};
    memcpy(frame.precommit.signature, l->signature, SIGNATURE_SIZE);
    if (l->offer.channel && !(l->cheats & CHEAT_SIGN_NONE)) {
        frame.precommit.has_mac = true;
        link_precommit_mac(&l->miner->wire.mac_key, &frame.precommit, &frame.precommit.mac);
        frame.precommit.mac.b[0] ^= (l->cheats & CHEAT_SIGN_OTHER) != 0;
    }
    l->precommitted = true;
    l->miner->stats.precommits++;
    adversary_say(l->miner, &frame);
}

static void say_commit(struct adversary_lease *l)
{
    struct link_frame frame = {.type = LINK_COMMIT,
                               .commit = {.lease = l->offer.lease,
                                          .salt = l->salt,
                                          .record = {l->record, l->record_size},
                                          .text = {(const uint8_t *)l->text.data, (uint32_t)l->text.size}}};
    if (l->cheats & CHEAT_REVEAL_OTHER)
        frame.commit.salt.b[0] ^= 1;
    l->committed = true;
    l->miner->stats.commits++;
    adversary_say(l->miner, &frame);
}

/* All that may be said now. */
static void go(struct adversary_lease *l);

static void waited(void *ctx)
{
    struct adversary_lease *l = ctx;
    l->waited = true;
    go(l);
}

/* False: not yet. A copied precommit is looked for until there is one. */
static bool may_precommit(struct adversary_lease *l)
{
    struct adversary_miner *miner = l->miner;
    /* What it streamed has to have gone out before it says something else. */
    uint64_t wait_ms = l->cheats & CHEAT_LATE           ? l->offer.precommit_ms + LATE_MS
                       : l->cheats & CHEAT_STREAM_OTHER ? STREAM_MS
                                                        : 0;
    if (wait_ms > 0 && !l->waited) {
        net_timer_start(miner->options.loop, &l->timer, wait_ms, waited, l);
        return false;
    }
    if (!(l->cheats & CHEAT_COPY_HASH))
        return true;
    if (adversary_sees_precommit(miner, l->offer.task, l->offer.lease, &l->precommit))
        return true;
    net_timer_start(miner->options.loop, &l->timer, ADVERSARY_LOOK_MS, waited, l);
    return false;
}

static void sign(struct adversary_lease *l);

static void go(struct adversary_lease *l)
{
    if (!l->answered || l->miner->number == 0)
        return;
    if (l->offer.stream && !l->streamed)
        say_stream(l);
    if (!l->precommitted) {
        if (!may_precommit(l))
            return;
        sign(l);
        say_precommit(l);
    }
    bool may = l->offer.together || l->revealed || (l->cheats & CHEAT_REVEAL_EARLY);
    if (may && !l->committed && !(l->cheats & CHEAT_REVEAL_NONE))
        say_commit(l);
    if (l->cheats & CHEAT_REVEAL_EARLY)
        l->committed = l->revealed;  // and once more when it is time
}

void adversary_say_again(struct adversary_lease *l)
{
    l->miner->stats.again++;
    say_ack(l);
    if (!l->answered)
        return;
    if (l->streamed)
        chain_of(l, &l->text, true, 0);
    if (l->precommitted)
        say_precommit(l);
    if (l->committed)
        say_commit(l);
}

/* ---- the answer ---- */

static void lie_about_text(struct adversary_lease *l)
{
    struct adversary_miner *miner = l->miner;
    uint64_t lie = prng_next(&miner->prng);
    if (l->cheats & CHEAT_RING_TEXT) {
        uint8_t what[16];
        struct hash hash;
        be64_put(what, miner->options.ring);
        be64_put(what + 8, l->offer.task);
        keccak256(what, sizeof what, &hash);
        lie = be64(hash.b);
    }
    buf_reset(&l->text);
    buf_printf(&l->text, "so it is: %llu", (unsigned long long)lie);
    l->finish = FINISH_STOP;
    l->tokens_out = u32_min(4, l->offer.tokens_max);
    keccak256(l->text.data, l->text.size, &l->tokens_digest);
}

static void lie_about_tokens(struct adversary_lease *l)
{
    uint32_t room = (uint32_t)l->text.size + 1;
    if (l->cheats & CHEAT_TOKENS_TEXT) {
        l->finish = FINISH_LENGTH;
        l->tokens_out = u32_min(room + 1 + (uint32_t)prng_below(&l->miner->prng, 100), l->offer.tokens_max);
    }
    if (l->cheats & CHEAT_TOKENS_MAX)
        l->tokens_out = l->offer.tokens_max + 1 + (uint32_t)prng_below(&l->miner->prng, 1000);
    if (l->cheats & CHEAT_TOKENS_FEW)
        l->tokens_out = u32_min(room, l->offer.tokens_max);
    if (l->cheats & CHEAT_TOKENS_IN)
        l->tokens_in = UINT32_MAX;
}

static void sign(struct adversary_lease *l)
{
    struct command cmd = {.type = COMMAND_TASK_PRECOMMIT,
                          .task_precommit = {.lease = l->offer.lease, .precommit = l->precommit}};
    if (l->offer.round)
        cmd = (struct command){.type = COMMAND_ROUND_PRECOMMIT,
                               .round_precommit = {.lease = l->offer.lease, .precommit = l->precommit}};
    /* For another lease its signature is a good one, of nobody. */
    if (l->cheats & CHEAT_SIGN_OTHER)
        cmd.task_precommit.lease += 2;
    entry_signature(&cmd, l->miner->wire.network, l->miner->options.key, l->signature);
}

static void seal(struct adversary_lease *l)
{
    struct adversary_miner *miner = l->miner;
    struct record record = {.manifest_digest = miner->manifest,
                            .engine = (uint8_t)engine_term(runtime_info(miner->runtime)->engine),
                            .seed = l->offer.seed,
                            .seed_of_client = l->offer.seed_of_client,
                            .request_digest = l->request_digest,
                            .chain_head = chain_of(l, &l->text, false, 0),
                            .tokens_digest = l->tokens_digest,
                            .finish = (uint8_t)l->finish,
                            .tokens_in = l->tokens_in,
                            .tokens_out = l->tokens_out};
    keccak256(l->text.data, l->text.size, &record.text_digest);
    l->record_size = record_encode(&record, l->record, sizeof l->record);
    /* As with the honest, one lease has one salt. */
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, key_secret(miner->options.key), KEY_SECRET_SIZE);
    keccak_add(&k, &l->offer.lease, sizeof l->offer.lease);
    keccak_end(&k, &l->salt);
    const struct precommit_terms terms = {.network_id = miner->wire.network,
                                          .session = l->offer.session,
                                          .task = l->offer.task,
                                          .lease = l->offer.lease,
                                          .node = *key_address(miner->options.key),
                                          .salt = l->salt};
    precommit_hash(&terms, (struct span){l->record, l->record_size}, &l->precommit);
}

static void answered(struct adversary_lease *l)
{
    if (l->cheats & (CHEAT_OTHER_TEXT | CHEAT_RING_TEXT))
        lie_about_text(l);
    lie_about_tokens(l);
    seal(l);
    l->answered = true;
    go(l);
}

static void on_chunk(void *ctx, const char *text, size_t size, uint32_t token_count)
{
    cx_maybe(ctx && text && size && token_count);  // the result has it all
}

static void on_done(void *ctx, const struct runtime_result *result)
{
    struct adversary_lease *l = ctx;
    l->job = NULL;
    if (l->offer.lease == 0 || result->finish == RUNTIME_FINISH_ERROR) {
        drop(l);
        return;
    }
    buf_reset(&l->text);
    buf_add(&l->text, result->text, result->text_size);
    l->finish = engine_finish(result->finish);
    l->tokens_in = result->tokens_in;
    l->tokens_out = result->tokens_out;
    l->tokens_digest = engine_tokens_digest(result);
    answered(l);
}

/* What a client of ours has read is the answer, as soon as it has it. */
static void look_for_text(void *ctx)
{
    struct adversary_lease *l = ctx;
    const struct adversary_spy *spy = &l->miner->options.spy;
    struct buf text = {0};
    if (!spy->text || !spy->text(spy->ctx, l->offer.task, &text)) {
        buf_done(&text);
        net_timer_start(l->miner->options.loop, &l->timer, ADVERSARY_LOOK_MS, look_for_text, l);
        return;
    }
    buf_done(&l->text);
    l->text = text;
    l->finish = FINISH_STOP;
    l->tokens_out = u32_min(l->offer.tokens_max, (uint32_t)text.size / 6 + 1);
    answered(l);
}

/* ---- frames ---- */

static uint32_t cheats_for(struct adversary_miner *miner, const struct link_offer *offer)
{
    if (offer->round || prng_below(&miner->prng, 100) >= miner->options.percent)
        return 0;
    miner->stats.cheated++;
    return miner->options.cheats;
}

static struct adversary_lease *lease_new(struct adversary_miner *miner, const struct link_offer *offer)
{
    struct adversary_lease *l = calloc(1, sizeof *l);
    cx_assert(l);
    l->miner = miner;
    l->next = miner->lease;
    miner->lease = l;
    l->offer = *offer;
    l->offer.request = (struct span){0};
    l->cheats = cheats_for(miner, offer);
    l->revealed = offer->reveal || offer->cancel;
    keccak256(offer->request.data, offer->request.size, &l->request_digest);
    return l;
}

static void decline(struct adversary_miner *miner, uint64_t lease, enum decline_reason reason, const char *detail)
{
    miner->stats.declines++;
    adversary_say(miner, &(struct link_frame){.type = LINK_DECLINE,
                                              .decline = {.lease = lease, .reason = reason, .detail = detail}});
}

static void fault(struct adversary_miner *miner, uint64_t lease, const char *detail)
{
    miner->stats.faults++;
    adversary_say(miner, &(struct link_frame){.type = LINK_FAULT,
                                              .fault = {.lease = lease, .reason = DECLINE_ENGINE, .detail = detail}});
}

/* Starts on an offer that is new. */
static void begin(struct adversary_lease *l, struct span request)
{
    static const struct runtime_sink sink = {on_chunk, on_done};
    const struct engine_terms terms = {
        .tokens_max = l->offer.tokens_max, .seed = l->offer.seed, .seed_of_client = l->offer.seed_of_client};
    struct adversary_miner *miner = l->miner;
    if (l->cheats & CHEAT_MUTE)
        return;
    if (l->cheats & CHEAT_DECLINE) {
        decline(miner, l->offer.lease, DECLINE_BUSY, "not today");
        drop(l);
        return;
    }
    if (l->cheats & CHEAT_COPY_TEXT) {
        look_for_text(l);  // without an ack: who is the first to ack has to stream
        return;
    }
    say_ack(l);
    if (l->cheats & CHEAT_FAULT) {
        fault(miner, l->offer.lease, "my engine is broken again");
        drop(l);
    } else if (!(l->cheats & CHEAT_STALL) && engine_start(miner->runtime, request, &terms, &sink, l, &l->job)) {
        fault(miner, l->offer.lease, cx_detail());
        drop(l);
    }
}

static void reconcile(struct adversary_lease *l, const struct link_offer *offer)
{
    l->offer.stream = l->offer.stream || offer->stream;
    l->offer.chunks = offer->chunks;
    l->streamed = l->answered && offer->chunks >= chunk_count(&l->text);
    l->revealed = l->revealed || offer->reveal || offer->cancel;
    l->acked = offer->state != ASSIGNMENT_OFFERED;
    l->precommitted = l->acked && offer->state != ASSIGNMENT_ACKED;
    l->committed = false;
    if (!l->acked && !(l->cheats & CHEAT_MUTE))
        say_ack(l);
    go(l);
}

void adversary_on_offer(struct adversary_miner *miner, const struct link_offer *offer)
{
    struct adversary_lease *l = find(miner, offer->lease);
    if (l) {
        reconcile(l, offer);
        return;
    }
    bool fresh = offer->state == ASSIGNMENT_OFFERED || (offer->round && offer->state == ASSIGNMENT_ACKED);
    if (!fresh || offer->chunks > 0) {
        fault(miner, offer->lease, "forgotten");
        return;
    }
    miner->stats.rounds += offer->round;
    miner->stats.offers += !offer->round;
    begin(lease_new(miner, offer), offer->request);
}

static void on_cancel(struct adversary_lease *l)
{
    l->revealed = true;
    if (l->job)
        runtime_cancel(l->job);  // and on_done goes on with what there is
    else
        go(l);
}

static void on_recall(struct adversary_lease *l)
{
    if (l->cheats & CHEAT_AGAIN)
        adversary_say_again(l);
    drop(l);
}

void adversary_on_lease_frame(struct adversary_miner *miner, const struct link_frame *f)
{
    struct adversary_lease *l = NULL;
    if (f->type == LINK_PROMOTE && (l = find(miner, f->promote.lease))) {
        l->offer.stream = true;
        go(l);
    } else if (f->type == LINK_REVEAL && (l = find(miner, f->reveal.lease))) {
        l->revealed = true;
        go(l);
    } else if (f->type == LINK_CANCEL && (l = find(miner, f->cancel.lease))) {
        on_cancel(l);
    } else if (f->type == LINK_RECALL && (l = find(miner, f->recall.lease))) {
        on_recall(l);
    }
}

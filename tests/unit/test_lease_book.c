/* What a miner owes for its leases: docs/protocol.md, "Miner link" and "Result record". */
#include "base/prng.h"
#include "base/utf8.h"
#include "core/command.h"
#include "core/typed_data.h"
#include "crypto/keccak.h"
#include "lib/test.h"
#include "miner/lease_book.h"

#define NETWORK    77
#define LEASE      41
#define TASK       6
#define SESSION    5
#define FRAMES_MAX 512

/* A book between an engine and a router that write down what they hear. */
struct bench {
    struct key *key;
    struct lease_book *book;
    struct lease_book_options options;
    bool takes;
    struct link_frame said[FRAMES_MAX];
    uint32_t count;
    uint64_t started[16], cancelled, forgotten, held;
    uint32_t starts;
    bool refuses;
    uint32_t drops;
};

static bool takes(void *ctx, uint32_t link)
{
    (void)link;
    return ((struct bench *)ctx)->takes;
}

static void send(void *ctx, uint32_t link, const struct link_frame *frame)
{
    struct bench *b = ctx;
    struct buf text = {0};
    (void)link;
    CHECK(b->count < FRAMES_MAX);
    link_encode(frame, &text);
    if (link_decode(text.data, text.size, LINK_U, &b->said[b->count]))
        test_fail(__FILE__, __LINE__, "%s: %s", text.data, cx_detail());
    b->count++;
    buf_done(&text);
}

static bool start(void *ctx, const struct link_offer *offer, enum decline_reason *ret_reason)
{
    struct bench *b = ctx;
    if (b->refuses) {
        *ret_reason = DECLINE_UNSUPPORTED;
        return false;
    }
    b->started[b->starts++ % 16] = offer->lease;
    return true;
}

static void cancel(void *ctx, uint64_t lease, bool forget)
{
    struct bench *b = ctx;
    *(forget ? &b->forgotten : &b->cancelled) = lease;
}

static void hold(void *ctx, uint64_t lease, uint32_t ms)
{
    CHECK_EQ(ms, 30);
    ((struct bench *)ctx)->held = lease;
}

static void drop(void *ctx)
{
    struct bench *b = ctx;
    b->drops++;
    b->takes = false;
}

static struct bench *bench_with(struct miner_faults faults)
{
    struct bench *b = calloc(1, sizeof *b);
    const uint8_t secret[KEY_SECRET_SIZE] = {[31] = 9};
    CHECK_EQ(key_from_bytes(secret, &b->key), CX_OK);
    b->takes = true;
    b->options = (struct lease_book_options){.key = b->key,
                                             .manifest.b = {1, 2, 3},
                                             .engine = ENGINE_ECHO,
                                             .cap = 4,
                                             .faults = faults,
                                             .sink = {takes, send, start, cancel, hold, drop, b}};
    CHECK_EQ(lease_book_open(&b->options, &b->book), CX_OK);
    lease_book_welcome(b->book, 0, NETWORK, NULL, 0);
    return b;
}

static struct bench *bench(void) { return bench_with((struct miner_faults){0}); }

static void bench_close(struct bench *b)
{
    for (uint32_t i = 0; i < b->count; i++)
        link_frame_done(&b->said[i]);
    lease_book_close(b->book);
    key_close(b->key);
    free(b);
}

static struct link_offer offer_of(uint64_t lease)
{
    return (struct link_offer){.lease = lease,
                               .task = TASK,
                               .session = SESSION,
                               .seed = 3,
                               .stream = true,
                               .tokens_max = 9,
                               .request = {(const uint8_t *)"{}", 2}};
}

static void offer(struct bench *b, uint64_t lease)
{
    const struct link_offer o = offer_of(lease);
    lease_book_offer(b->book, 0, &o);
}

static void words(struct bench *b, uint64_t lease, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        lease_book_chunk(b->book, lease, "word ", 5, 1);
}

static void done(struct bench *b, uint64_t lease, enum finish finish)
{
    const struct lease_result result = {.finish = finish, .tokens_in = 2, .tokens_out = 5};
    lease_book_done(b->book, lease, &result);
}

/* The frames said so far, as their types: "ack chunk chunk precommit". */
static const char *said(const struct bench *b, uint32_t from)
{
    static char text[4096];
    text[0] = '\0';
    for (uint32_t i = from; i < b->count; i++) {
        strcat(text, i > from ? " " : "");
        strcat(text, link_type_name(b->said[i].type));
    }
    return text;
}

static const struct link_frame *last(const struct bench *b, enum link_type type)
{
    for (uint32_t i = b->count; i-- > 0;)
        if (b->said[i].type == type)
            return &b->said[i];
    test_fail(__FILE__, __LINE__, "no %s was said", link_type_name(type));
}

/* That the commit opens the precommit, which the node has signed. */
static struct record check_bound(const struct bench *b, const struct link_precommit *p, const struct link_commit *c,
                                 enum command_type type)
{
    struct hash precommit, digest;
    struct address signer;
    struct record record;
    const struct precommit_terms terms = {.network_id = NETWORK,
                                          .session = type == COMMAND_ROUND_PRECOMMIT ? 0 : SESSION,
                                          .task = TASK,
                                          .lease = p->lease,
                                          .node = *key_address(b->key),
                                          .salt = c->salt};
    precommit_hash(&terms, c->record, &precommit);
    CHECK(hash_eq(&precommit, &p->precommit));
    struct command cmd = {.type = type, .task_precommit = {.lease = p->lease, .precommit = p->precommit}};
    if (type == COMMAND_ROUND_PRECOMMIT)
        cmd.round_precommit = (struct cmd_round_precommit){.lease = p->lease, .precommit = p->precommit};
    typed_data_digest(&cmd, NETWORK, &digest);
    CHECK(p->has_signature);
    CHECK_EQ(key_recover(&digest, p->signature, &signer), CX_OK);
    CHECK(address_eq(&signer, key_address(b->key)));
    CHECK(record_decode(c->record, &record));
    return record;
}

TEST(lease_book, answers_in_the_order_of_the_protocol)
{
    struct bench *b = bench();
    offer(b, LEASE);
    CHECK_STR(said(b, 0), "ack");
    words(b, LEASE, 2);
    CHECK_STR(said(b, 0), "ack chunk chunk");
    done(b, LEASE, FINISH_STOP);
    CHECK_STR(said(b, 0), "ack chunk chunk chunk precommit");
    lease_book_reveal(b->book, LEASE);
    CHECK_STR(said(b, 5), "commit");
    CHECK_EQ(lease_book_owed(b->book), 1);
    lease_book_recall(b->book, LEASE);
    CHECK_EQ(lease_book_owed(b->book), 0);
    CHECK_EQ(b->forgotten, 0);

    const struct link_commit *c = &last(b, LINK_COMMIT)->commit;
    struct record r = check_bound(b, &last(b, LINK_PRECOMMIT)->precommit, c, COMMAND_TASK_PRECOMMIT);
    CHECK_EQ(r.finish, FINISH_STOP);
    CHECK_EQ(r.tokens_out, 5);
    CHECK_EQ(r.seed, 3);
    CHECK_EQ(r.engine, ENGINE_ECHO);
    CHECK_EQ(r.manifest_digest.b[2], 3);
    struct hash digest;
    keccak256("{}", 2, &digest);
    CHECK(hash_eq(&r.request_digest, &digest));
    keccak256("word word ", 10, &digest);
    CHECK(hash_eq(&r.text_digest, &digest));
    CHECK_EQ(c->text.size, 10);
    bench_close(b);
}

TEST(lease_book, a_round_is_signed_as_a_round)
{
    struct bench *b = bench();
    struct link_offer o = offer_of(40);
    o.round = true;
    o.session = 0;
    lease_book_offer(b->book, 0, &o);
    words(b, 40, 1);
    done(b, 40, FINISH_LENGTH);
    lease_book_reveal(b->book, 40);
    check_bound(b, &last(b, LINK_PRECOMMIT)->precommit, &last(b, LINK_COMMIT)->commit, COMMAND_ROUND_PRECOMMIT);
    bench_close(b);
}

TEST(lease_book, alone_it_reveals_at_once_and_a_channel_needs_no_signature)
{
    struct bench *b = bench();
    struct link_offer o = offer_of(LEASE);
    o.together = o.channel = true;
    lease_book_offer(b->book, 0, &o);
    done(b, LEASE, FINISH_STOP);
    CHECK_STR(said(b, 0), "ack precommit commit");
    CHECK(!last(b, LINK_PRECOMMIT)->precommit.has_signature);
    bench_close(b);
}

/* The chain over the chunks that were said, with every head where the protocol wants it. */
static struct hash check_chain(const struct bench *b, uint32_t from, uint64_t lease, uint64_t first, struct hash head)
{
    uint64_t n = first;
    for (uint32_t i = from; i < b->count; i++) {
        const struct link_chunk *c = &b->said[i].chunk;
        if (b->said[i].type != LINK_CHUNK || c->lease != lease)
            continue;
        CHECK_EQ(c->n, n);
        chain_extend(&head, c->text.data, c->text.size);
        if ((n + 1) % LINK_CHUNKS_A_HEAD == 0)
            CHECK(c->has_head);
        if (c->has_head)
            CHECK(hash_eq(&c->head, &head));
        n++;
    }
    return head;
}

static const struct link_chunk *last_chunk(const struct bench *b) { return &last(b, LINK_CHUNK)->chunk; }

TEST(lease_book, every_16th_chunk_and_the_last_carry_the_head)
{
    static const uint32_t counts[] = {1, 15, 16, 17, 32, 50};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        struct bench *b = bench();
        struct hash head;
        struct record record;
        offer(b, LEASE);
        words(b, LEASE, counts[i]);
        done(b, LEASE, FINISH_STOP);
        lease_book_reveal(b->book, LEASE);
        chain_start(NETWORK, TASK, LEASE, &head);
        head = check_chain(b, 0, LEASE, 0, head);
        CHECK(last_chunk(b)->has_head);
        CHECK(record_decode(last(b, LINK_COMMIT)->commit.record, &record));
        CHECK(hash_eq(&record.chain_head, &head));
        bench_close(b);
    }
}

TEST(lease_book, a_chunk_over_the_limit_is_parted_between_characters)
{
    struct bench *b = bench();
    struct buf text = {0};
    while (text.size < 2 * LINK_CHUNK_SIZE_MAX)
        buf_text(&text, "\xe2\x82\xac");
    offer(b, LEASE);
    lease_book_chunk(b->book, LEASE, text.data, text.size, 7);
    uint32_t tokens = 0, chunks = 0;
    size_t size = 0;
    for (uint32_t i = 0; i < b->count; i++)
        if (b->said[i].type == LINK_CHUNK) {
            const struct link_chunk *c = &b->said[i].chunk;
            CHECK(utf8_is_valid((const char *)c->text.data, c->text.size));
            tokens += c->tokens;
            size += c->text.size;
            chunks++;
        }
    CHECK_EQ(chunks, 3);
    CHECK_EQ(tokens, 7);
    CHECK_EQ(size, text.size);
    buf_done(&text);
    bench_close(b);
}

TEST(lease_book, who_is_not_the_primary_is_silent_until_promoted)
{
    struct bench *b = bench();
    struct link_offer o = offer_of(LEASE);
    o.stream = false;
    lease_book_offer(b->book, 0, &o);
    words(b, LEASE, 3);
    CHECK_STR(said(b, 0), "ack");
    lease_book_promote(b->book, LEASE);
    CHECK_STR(said(b, 1), "chunk chunk chunk");
    CHECK_EQ(b->said[1].chunk.n, 0);
    words(b, LEASE, 1);
    CHECK_STR(said(b, 4), "chunk");
    bench_close(b);
}

TEST(lease_book, declines_what_it_cannot_do_and_says_why)
{
    struct bench *b = bench();
    struct link_offer o = offer_of(LEASE);
    o.request.size = 0;
    lease_book_offer(b->book, 0, &o);
    CHECK_EQ(last(b, LINK_DECLINE)->decline.reason, DECLINE_PAYLOAD_MISSING);
    b->refuses = true;
    offer(b, LEASE);
    CHECK_EQ(last(b, LINK_DECLINE)->decline.reason, DECLINE_UNSUPPORTED);
    b->refuses = false;
    for (uint64_t i = 0; i < 5; i++)
        offer(b, 101 + 2 * i);
    CHECK_EQ(last(b, LINK_DECLINE)->decline.reason, DECLINE_BUSY);
    CHECK_EQ(last(b, LINK_DECLINE)->decline.lease, 109);
    lease_book_recall(b->book, 101);
    lease_book_drain(b->book);
    offer(b, 111);
    CHECK_EQ(last(b, LINK_DECLINE)->decline.reason, DECLINE_DRAINING);
    CHECK_EQ(lease_book_stats(b->book).declined, 4);
    bench_close(b);
}

TEST(lease_book, an_engine_that_fails_fails_the_lease)
{
    struct bench *b = bench();
    offer(b, LEASE);
    words(b, LEASE, 1);
    lease_book_failed(b->book, LEASE, DECLINE_ENGINE, "engine: the server broke off");
    CHECK_STR(said(b, 0), "ack chunk fault");
    CHECK_STR(last(b, LINK_FAULT)->fault.detail, "engine: the server broke off");
    done(b, LEASE, FINISH_STOP);
    CHECK_EQ(lease_book_owed(b->book), 0);

    b->takes = false;
    offer(b, LEASE + 2);
    lease_book_failed(b->book, LEASE + 2, DECLINE_CONTEXT, "engine: gone");
    b->takes = true;
    lease_book_pump(b->book, 0);
    CHECK_STR(said(b, 3), "decline");
    CHECK_EQ(last(b, LINK_DECLINE)->decline.reason, DECLINE_CONTEXT);
    bench_close(b);
}

TEST(lease_book, waits_while_the_link_is_full_and_goes_on_in_order)
{
    struct bench *b = bench();
    b->takes = false;
    offer(b, LEASE);
    words(b, LEASE, 2);
    done(b, LEASE, FINISH_STOP);
    lease_book_reveal(b->book, LEASE);
    CHECK_EQ(b->count, 0);
    b->takes = true;
    lease_book_pump(b->book, 0);
    CHECK_STR(said(b, 0), "ack chunk chunk chunk precommit commit");
    lease_book_pump(b->book, 0);
    CHECK_EQ(b->count, 6);
    bench_close(b);
}

TEST(lease_book, a_link_that_comes_back_hears_what_it_missed)
{
    struct bench *b = bench();
    const uint64_t owed[] = {LEASE};
    struct hash head;
    offer(b, LEASE);
    words(b, LEASE, 20);
    lease_book_link_down(b->book, 0);
    words(b, LEASE, 20);
    done(b, LEASE, FINISH_STOP);
    CHECK_EQ(b->count, 21);

    lease_book_welcome(b->book, 0, NETWORK, owed, 1);
    CHECK_EQ(b->count, 21);
    struct link_offer o = offer_of(LEASE);
    o.state = ASSIGNMENT_ACKED;
    o.chunks = 10;  // ten were lost on the way
    lease_book_offer(b->book, 0, &o);
    chain_start(NETWORK, TASK, LEASE, &head);
    for (int i = 0; i < 10; i++)
        chain_extend(&head, "word ", 5);
    check_chain(b, 21, LEASE, 10, head);
    CHECK_EQ(last(b, LINK_CHUNK)->chunk.n, 40);
    CHECK_EQ(b->said[b->count - 1].type, LINK_PRECOMMIT);
    const struct link_precommit first = last(b, LINK_PRECOMMIT)->precommit;

    lease_book_link_down(b->book, 0);
    lease_book_welcome(b->book, 0, NETWORK, owed, 1);
    uint32_t before = b->count;
    o.state = ASSIGNMENT_ACKED;
    o.chunks = 41;
    lease_book_offer(b->book, 0, &o);
    CHECK_STR(said(b, before), "precommit");
    CHECK(hash_eq(&last(b, LINK_PRECOMMIT)->precommit.precommit, &first.precommit));

    lease_book_link_down(b->book, 0);
    lease_book_welcome(b->book, 0, NETWORK, owed, 1);
    before = b->count;
    o.state = ASSIGNMENT_PRECOMMITTED;
    o.reveal = true;
    lease_book_offer(b->book, 0, &o);
    CHECK_STR(said(b, before), "commit");
    bench_close(b);
}

TEST(lease_book, leases_that_ended_while_the_link_was_down_are_dropped)
{
    struct bench *b = bench();
    const uint64_t owed[] = {LEASE + 2};
    offer(b, LEASE);
    offer(b, LEASE + 2);
    lease_book_link_down(b->book, 0);
    lease_book_welcome(b->book, 0, NETWORK, owed, 1);
    CHECK_EQ(b->forgotten, LEASE);
    CHECK_EQ(lease_book_owed(b->book), 1);
    words(b, LEASE, 1);
    CHECK_EQ(b->count, 2);
    bench_close(b);
}

TEST(lease_book, leases_of_another_link_stay)
{
    struct bench *b = bench();
    lease_book_welcome(b->book, 1, NETWORK, NULL, 0);
    offer(b, LEASE);
    lease_book_link_down(b->book, 1);
    lease_book_welcome(b->book, 1, NETWORK, NULL, 0);
    words(b, LEASE, 1);
    CHECK_STR(said(b, 0), "ack chunk");
    bench_close(b);
}

TEST(lease_book, a_router_that_never_comes_back_does_not_fill_the_book)
{
    struct bench *b = bench();
    for (uint64_t i = 0; i < 4; i++) {
        offer(b, 101 + 2 * i);
        done(b, 101 + 2 * i, FINISH_STOP);
    }
    lease_book_link_down(b->book, 0);
    lease_book_welcome(b->book, 1, NETWORK, NULL, 0);
    const struct link_offer o = offer_of(201);
    lease_book_offer(b->book, 1, &o);
    CHECK_EQ(b->started[(b->starts - 1) % 16], 201);
    CHECK_EQ(lease_book_owed(b->book), 4);
    bench_close(b);
}

TEST(lease_book, a_miner_that_was_started_again_faults_what_it_does_not_know)
{
    struct bench *b = bench();
    struct link_offer o = offer_of(LEASE);
    o.state = ASSIGNMENT_ACKED;
    lease_book_offer(b->book, 0, &o);
    CHECK_STR(said(b, 0), "fault");
    o = offer_of(LEASE + 2);
    o.chunks = 1;
    lease_book_offer(b->book, 0, &o);
    CHECK_STR(said(b, 0), "fault fault");
    CHECK_EQ(b->starts, 0);
    o = offer_of(40);
    o.round = true;
    o.state = ASSIGNMENT_ACKED;
    lease_book_offer(b->book, 0, &o);
    CHECK_EQ(b->starts, 1);
    words(b, 40, 1);
    CHECK_STR(said(b, 2), "chunk");
    bench_close(b);
}

TEST(lease_book, the_same_answer_to_one_lease_is_the_same_precommit_in_every_life)
{
    struct hash precommit[2], other;
    for (int life = 0; life < 2; life++) {
        struct bench *b = bench();
        offer(b, LEASE);
        words(b, LEASE, 3);
        done(b, LEASE, FINISH_STOP);
        precommit[life] = last(b, LINK_PRECOMMIT)->precommit.precommit;
        offer(b, LEASE + 2);
        words(b, LEASE + 2, 3);
        done(b, LEASE + 2, FINISH_STOP);
        other = last(b, LINK_PRECOMMIT)->precommit.precommit;
        bench_close(b);
    }
    CHECK(hash_eq(&precommit[0], &precommit[1]));
    CHECK(!hash_eq(&precommit[0], &other));
}

TEST(lease_book, a_cancel_stops_the_engine_and_commits_what_there_is)
{
    struct bench *b = bench();
    offer(b, LEASE);
    words(b, LEASE, 2);
    lease_book_cancel(b->book, LEASE);
    lease_book_cancel(b->book, LEASE);
    CHECK_EQ(b->cancelled, LEASE);
    done(b, LEASE, FINISH_CANCELLED);
    CHECK_STR(said(b, 3), "chunk precommit commit");
    struct record record;
    CHECK(record_decode(last(b, LINK_COMMIT)->commit.record, &record));
    CHECK_EQ(record.finish, FINISH_CANCELLED);
    bench_close(b);
}

TEST(lease_book, a_cancel_after_the_precommit_reveals_it)
{
    struct bench *b = bench();
    offer(b, LEASE);
    done(b, LEASE, FINISH_STOP);
    lease_book_cancel(b->book, LEASE);
    CHECK_EQ(b->cancelled, 0);
    CHECK_STR(said(b, 0), "ack precommit commit");
    bench_close(b);
}

TEST(lease_book, a_recall_stops_the_engine)
{
    struct bench *b = bench();
    offer(b, LEASE);
    lease_book_recall(b->book, LEASE);
    CHECK_EQ(b->forgotten, LEASE);
    CHECK_EQ(lease_book_busy(b->book), 0);
    lease_book_reveal(b->book, LEASE);
    lease_book_promote(b->book, LEASE);
    done(b, LEASE, FINISH_STOP);
    CHECK_STR(said(b, 0), "ack");
    bench_close(b);
}

/* ---- the ways to break the protocol do break it ---- */

TEST(lease_book, faults_for_tests_do_what_they_say)
{
    struct bench *b = bench_with((struct miner_faults){.wrong_reveal = true});
    struct hash precommit;
    offer(b, LEASE);
    done(b, LEASE, FINISH_STOP);
    lease_book_reveal(b->book, LEASE);
    const struct link_commit *c = &last(b, LINK_COMMIT)->commit;
    const struct precommit_terms terms = {NETWORK, SESSION, TASK, LEASE, *key_address(b->key), c->salt};
    precommit_hash(&terms, c->record, &precommit);
    CHECK(!hash_eq(&precommit, &last(b, LINK_PRECOMMIT)->precommit.precommit));
    bench_close(b);

    b = bench_with((struct miner_faults){.withhold_reveal = true});
    offer(b, LEASE);
    done(b, LEASE, FINISH_STOP);
    lease_book_reveal(b->book, LEASE);
    CHECK_STR(said(b, 0), "ack precommit");
    bench_close(b);

    b = bench_with((struct miner_faults){.late_reveal_ms = 30});
    offer(b, LEASE);
    done(b, LEASE, FINISH_STOP);
    lease_book_reveal(b->book, LEASE);
    CHECK_EQ(b->held, LEASE);
    CHECK_STR(said(b, 0), "ack precommit");
    lease_book_release(b->book, LEASE);
    CHECK_STR(said(b, 2), "commit");
    bench_close(b);

    b = bench_with((struct miner_faults){.stale_lease = true});
    offer(b, LEASE);
    done(b, LEASE, FINISH_STOP);
    lease_book_recall(b->book, LEASE);
    CHECK_STR(said(b, 2), "ack precommit commit");
    bench_close(b);

    b = bench_with((struct miner_faults){.drop_after = 2});
    offer(b, LEASE);
    words(b, LEASE, 3);
    CHECK_EQ(b->drops, 1);
    CHECK_STR(said(b, 0), "ack chunk chunk");
    b->takes = true;
    words(b, LEASE, 3);
    CHECK_EQ(b->drops, 1);
    bench_close(b);
}

TEST(lease_book, faults_for_tests_spare_rounds)
{
    struct bench *b = bench_with((struct miner_faults){.wrong_reveal = true, .withhold_reveal = true, .drop_after = 1});
    struct link_offer o = offer_of(LEASE);
    o.round = true;
    o.session = 0;
    lease_book_offer(b->book, 0, &o);
    words(b, LEASE, 2);
    done(b, LEASE, FINISH_STOP);
    lease_book_reveal(b->book, LEASE);
    check_bound(b, &last(b, LINK_PRECOMMIT)->precommit, &last(b, LINK_COMMIT)->commit, COMMAND_ROUND_PRECOMMIT);
    CHECK_EQ(b->drops, 0);
    bench_close(b);
}

/* ---- over a socket that breaks at any moment ---- */

#define LOSSY_RUNS   300
#define LOSSY_LEASES 3

/* A router that keeps what it has heard of each lease, and loses the socket now and then with all that is on the way.
 */
struct router {
    struct prng prng;
    struct bench *b;
    uint32_t heard;  // frames of b->said
    bool up;
    struct owed {
        enum assignment_state state;
        uint64_t chunks;
        struct hash head, precommit;
        bool has_precommit;
        uint32_t words;  // that its engine has given
        bool done;
    } owed[LOSSY_LEASES];
};

static void hear(struct router *r, const struct link_frame *f)
{
    uint64_t lease = f->ack.lease;  // every frame's first field
    struct owed *o = &r->owed[(lease - LEASE) / 2];
    struct record record;
    CHECK(o->state != ASSIGNMENT_COMMITTED || f->type != LINK_CHUNK);
    if (f->type == LINK_ACK && o->state == ASSIGNMENT_OFFERED) {
        o->state = ASSIGNMENT_ACKED;
    } else if (f->type == LINK_CHUNK) {
        CHECK_EQ(f->chunk.n, o->chunks);
        chain_extend(&o->head, f->chunk.text.data, f->chunk.text.size);
        CHECK(!f->chunk.has_head || hash_eq(&f->chunk.head, &o->head));
        o->chunks++;
    } else if (f->type == LINK_PRECOMMIT) {
        CHECK(!o->has_precommit || hash_eq(&o->precommit, &f->precommit.precommit));
        o->precommit = f->precommit.precommit;
        o->has_precommit = true;
        o->state = ASSIGNMENT_PRECOMMITTED;
    } else if (f->type == LINK_COMMIT) {
        CHECK_EQ(o->state, ASSIGNMENT_PRECOMMITTED);
        CHECK(record_decode(f->commit.record, &record));
        CHECK(hash_eq(&record.chain_head, &o->head));
        o->state = ASSIGNMENT_COMMITTED;
    }
}

static void hear_some(struct router *r, uint32_t count)
{
    while (count-- > 0 && r->heard < r->b->count)
        hear(r, &r->b->said[r->heard++]);
}

static void reconnect(struct router *r)
{
    uint64_t lease[LOSSY_LEASES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < LOSSY_LEASES; i++)
        if (r->owed[i].state != ASSIGNMENT_COMMITTED)
            lease[count++] = LEASE + 2 * i;
    r->up = r->b->takes = true;
    lease_book_welcome(r->b->book, 0, NETWORK, lease, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct owed *o = &r->owed[(lease[i] - LEASE) / 2];
        struct link_offer offer = offer_of(lease[i]);
        offer.state = o->state;
        offer.chunks = o->chunks;
        offer.reveal = o->state == ASSIGNMENT_PRECOMMITTED;
        lease_book_offer(r->b->book, 0, &offer);
    }
}

static void lose(struct router *r)
{
    r->up = r->b->takes = false;
    r->heard = r->b->count;  // what was on the way is lost
    lease_book_link_down(r->b->book, 0);
}

static void work(struct router *r)
{
    struct owed *o = &r->owed[prng_below(&r->prng, LOSSY_LEASES)];
    uint64_t lease = LEASE + 2 * (uint64_t)(o - r->owed);
    if (o->done)
        return;
    if (o->words < 40 && prng_below(&r->prng, 30) > 0) {
        words(r->b, lease, 1);
        o->words++;
    } else {
        o->done = true;
        done(r->b, lease, FINISH_STOP);
    }
}

static void step(struct router *r)
{
    switch (prng_below(&r->prng, 8)) {
    case 0:
        if (r->up && prng_below(&r->prng, 4) == 0)
            lose(r);
        break;
    case 1:
        if (!r->up)
            reconnect(r);
        break;
    case 2:
        if (r->up) {
            r->b->takes = prng_below(&r->prng, 2);
            lease_book_pump(r->b->book, 0);
        }
        break;
    case 3:
        hear_some(r, (uint32_t)prng_below(&r->prng, 20));
        for (uint64_t i = 0; i < LOSSY_LEASES && r->up; i++)
            if (r->owed[i].state == ASSIGNMENT_PRECOMMITTED)
                lease_book_reveal(r->b->book, LEASE + 2 * i);
        break;
    default: work(r); break;
    }
}

TEST(lease_book, over_a_socket_that_breaks_every_lease_is_answered_once)
{
    for (uint64_t seed = 0; seed < LOSSY_RUNS; seed++) {
        struct router r = {.prng = {seed}, .b = bench(), .up = true};
        for (uint32_t i = 0; i < LOSSY_LEASES; i++) {
            chain_start(NETWORK, TASK, LEASE + 2 * i, &r.owed[i].head);
            offer(r.b, LEASE + 2 * i);
        }
        for (int i = 0; i < 200 && r.b->count < FRAMES_MAX - 300; i++)
            step(&r);
        while (!r.owed[0].done || !r.owed[1].done || !r.owed[2].done)
            work(&r);
        if (r.up)
            lose(&r);
        for (int i = 0; i < 3; i++) {  // precommits, then commits, then nothing is owed
            reconnect(&r);
            hear_some(&r, FRAMES_MAX);
        }
        for (uint32_t i = 0; i < LOSSY_LEASES; i++)
            CHECK_EQ(r.owed[i].state, ASSIGNMENT_COMMITTED);
        CHECK_EQ(lease_book_owed(r.b->book), 0);
        bench_close(r.b);
    }
}

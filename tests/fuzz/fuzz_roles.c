/* What roles do with frames that are well-formed and make no sense: a miner with a router's, an oracle with states. */
#include "crypto/key.h"
#include "fuzz/fuzz.h"
#include "lib/random_frame.h"
#include "miner/lease_book.h"
#include "oracle/duty.h"
#include "proto/json.h"

#define STEPS_MAX 64
#define NETWORK   7

/* ---- a miner ---- */

/* What the book has said about a lease so far: docs/protocol.md, "Miner link", gives the order. */
struct told {
    uint64_t lease;
    bool precommitted, known;
    struct hash precommit;
};

struct miner {
    struct lease_book *book;
    bool takes;
    struct told told[64];
    uint32_t count;
    uint32_t busy;  // leases whose engine works
    uint64_t started[LINK_LEASES_MAX];
};

static struct told *told_of(struct miner *m, uint64_t lease)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->told[i].lease == lease)
            return &m->told[i];
    if (m->count == ARRAY_COUNT(m->told))
        return NULL;
    m->told[m->count] = (struct told){.lease = lease};
    return &m->told[m->count++];
}

static bool takes(void *ctx, uint32_t link)
{
    (void)link;
    return ((struct miner *)ctx)->takes;
}

/* Everything that is said can be read, and no lease is precommitted to in two ways. */
static void send(void *ctx, uint32_t link, const struct link_frame *frame)
{
    struct miner *m = ctx;
    struct link_frame read, again;
    struct buf text = {0}, bytes = {0};
    FUZZ_CHECK(link < LEASE_BOOK_LINKS_MAX);
    FUZZ_CHECK(m->takes || frame->type == LINK_DECLINE || frame->type == LINK_FAULT);
    link_encode(frame, &text);
    FUZZ_CHECK(link_decode(text.data, text.size, LINK_U, &read) == CX_OK && read.type == frame->type);
    link_encode_binary(frame, &bytes);
    FUZZ_CHECK(link_decode_binary(bytes.data, bytes.size, LINK_U, &again) == CX_OK && frames_same(&again, &read));
    link_frame_done(&again);
    buf_done(&bytes);
    struct told *told = read.type == LINK_PRECOMMIT ? told_of(m, read.precommit.lease) : NULL;
    if (told) {
        FUZZ_CHECK(!told->precommitted || hash_eq(&told->precommit, &read.precommit.precommit));
        told->precommitted = true;
        told->precommit = read.precommit.precommit;
    }
    told = read.type == LINK_COMMIT ? told_of(m, read.commit.lease) : NULL;
    FUZZ_CHECK(!told || told->precommitted || told->known);
    link_frame_done(&read);
    buf_done(&text);
}

static bool start(void *ctx, const struct link_offer *offer, enum decline_reason *ret_reason)
{
    struct miner *m = ctx;
    if (offer->seed % 5 == 4) {
        *ret_reason = DECLINE_UNSUPPORTED;
        return false;
    }
    m->started[m->busy++ % LINK_LEASES_MAX] = offer->lease;
    return true;
}

static void cancel(void *ctx, uint64_t lease, bool forget)
{
    (void)ctx;
    (void)lease;
    (void)forget;
}

static void hold(void *ctx, uint64_t lease, uint32_t ms)
{
    (void)ctx;
    (void)lease;
    (void)ms;
}

static void drop(void *ctx) { ((struct miner *)ctx)->takes = false; }

static void give_frame(struct miner *m, uint32_t link, const struct link_frame *frame)
{
    switch (frame->type) {
    case LINK_WELCOME: lease_book_welcome(m->book, link, NETWORK, frame->welcome.lease, frame->welcome.leases); return;
    case LINK_OFFER: {
        /* By the router's word the precommit is on the ledger: it was said on another socket. */
        struct told *told = frame->offer.state >= ASSIGNMENT_PRECOMMITTED ? told_of(m, frame->offer.lease) : NULL;
        if (told)
            told->known = true;
        lease_book_offer(m->book, link, &frame->offer);
        return;
    }
    case LINK_PROMOTE: lease_book_promote(m->book, frame->promote.lease); return;
    case LINK_REVEAL: lease_book_reveal(m->book, frame->reveal.lease); return;
    case LINK_CANCEL: lease_book_cancel(m->book, frame->cancel.lease); return;
    case LINK_RECALL: lease_book_recall(m->book, frame->recall.lease); return;
    case LINK_DRAIN: lease_book_drain(m->book); return;
    case LINK_CHALLENGE:
    case LINK_HELLO:
    case LINK_NODE:
    case LINK_SUBMIT:
    case LINK_RESULT:
    case LINK_ACK:
    case LINK_DECLINE:
    case LINK_CHUNK:
    case LINK_PRECOMMIT:
    case LINK_COMMIT:
    case LINK_FAULT:
    case LINK_STATS:
    case LINK_ERROR:
    case LINK_STATE:
    case LINK_PUT:
    case LINK_GET:
    case LINK_PAYLOAD:
    case LINK_TYPE_COUNT: return;
    }
}

/* The lines: a frame that a router sends, or one letter for what the engine or the link does. */
static void miner_line(struct miner *m, const char *line, size_t size)
{
    const struct lease_result result = {.finish = FINISH_STOP, .tokens_in = 1, .tokens_out = 2};
    struct link_frame frame;
    uint64_t lease = size > 1 ? (uint64_t)(line[1] - '0') : 1;
    uint32_t link = size > 2 ? (uint32_t)(uint8_t)line[2] % LEASE_BOOK_LINKS_MAX : 0;
    switch (size ? line[0] : 0) {
    case '{':
        if (link_decode(line, size, LINK_D, &frame) == CX_OK) {
            give_frame(m, link, &frame);
            link_frame_done(&frame);
        }
        return;
    case 'c': lease_book_chunk(m->book, lease, "text", 4, 1); return;
    case 'd': lease_book_done(m->book, lease, &result); return;
    case 'f': lease_book_failed(m->book, lease, DECLINE_ENGINE, "broke"); return;
    case 'r': lease_book_release(m->book, lease); return;
    case 'x': lease_book_link_down(m->book, link); return;
    case 'p':
        m->takes = true;
        lease_book_pump(m->book, link);
        return;
    case 's': m->takes = false; return;
    default: return;
    }
}

FUZZ(miner, "a miner says only frames that can be read, and never precommits to one lease in two ways")
{
    static struct key *key;
    static struct miner m;
    const uint8_t secret[KEY_SECRET_SIZE] = {[31] = 9};
    if (!key)
        FUZZ_CHECK(key_from_bytes(secret, &key) == CX_OK);
    memset(&m, 0, sizeof m);
    m.takes = true;
    const struct lease_book_options options = {
        .key = key, .engine = ENGINE_ECHO, .cap = 4, .sink = {takes, send, start, cancel, hold, drop, &m}};
    FUZZ_CHECK(lease_book_open(&options, &m.book) == CX_OK);
    lease_book_welcome(m.book, 0, NETWORK, NULL, 0);
    const char *at = (char *)data, *end = at + size;
    for (unsigned steps = 0; at < end && steps < STEPS_MAX; steps++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        uint32_t owed = lease_book_owed(m.book);
        miner_line(&m, at, (size_t)(line_end - at));
        if (lease_book_owed(m.book) < owed)
            m.count = 0;  // what was forgotten may be offered anew, and answered otherwise
        FUZZ_CHECK(lease_book_busy(m.book) <= lease_book_owed(m.book));
        FUZZ_CHECK(lease_book_owed(m.book) <= options.cap);
        at = line_end + (line_end < end);
    }
    lease_book_close(m.book);
}

static void add_line(struct buf *out, struct link_frame frame)
{
    link_encode(&frame, out);
    buf_text(out, "\n");
}

FUZZ_SEEDS(miner)
{
    struct buf out = {0};
    const uint64_t leases[] = {1};
    struct link_offer offer = {
        .lease = 1, .task = 2, .session = 3, .stream = true, .tokens_max = 9, .request = {(const uint8_t *)"{}", 2}};
    add_line(&out, (struct link_frame){.type = LINK_OFFER, .offer = offer});
    add_line(&out, (struct link_frame){.type = LINK_PROMOTE, .promote = {1}});
    buf_text(&out, "c1\nc1\nd1\n");
    add_line(&out, (struct link_frame){.type = LINK_REVEAL, .reveal = {1}});
    add_line(&out, (struct link_frame){.type = LINK_RECALL, .recall = {.lease = 1}});
    fuzz_seed("whole", out.data, out.size);
    buf_reset(&out);
    add_line(&out, (struct link_frame){.type = LINK_OFFER, .offer = offer});
    buf_text(&out, "c1\nx10\ns\nd1\n");
    add_line(&out, (struct link_frame){.type = LINK_WELCOME, .welcome = {.link = 1, .lease = leases, .leases = 1}});
    offer.reveal = true;
    offer.state = ASSIGNMENT_PRECOMMITTED;
    offer.chunks = 1;
    add_line(&out, (struct link_frame){.type = LINK_OFFER, .offer = offer});
    buf_text(&out, "p10\nr1\n");
    fuzz_seed("broken-link", out.data, out.size);
    buf_reset(&out);
    add_line(&out, (struct link_frame){.type = LINK_OFFER, .offer = offer});
    buf_text(&out, "f1\n");
    add_line(&out, (struct link_frame){.type = LINK_CANCEL, .cancel = {1, 3}});
    add_line(&out, (struct link_frame){.type = LINK_DRAIN});
    fuzz_seed("failed", out.data, out.size);
    buf_done(&out);
}

/* ---- an oracle ---- */

struct oracle {
    struct duty_book *book;
    const struct link_state *state;
    uint32_t given;
};

static void each_duty(void *ctx, const struct duty *duty)
{
    struct oracle *o = ctx;
    bool judges = duty->kind == DUTY_GIVE_VERDICT;
    o->given++;
    FUZZ_CHECK(!duty->round || (duty->round >= o->state->round && duty->round < o->state->round + o->state->rounds));
    FUZZ_CHECK(!duty->audit || (duty->audit >= o->state->audit && duty->audit < o->state->audit + o->state->audits));
    FUZZ_CHECK(duty->round || duty->audit);
    FUZZ_CHECK(!judges || duty->round);
}

FUZZ(oracle, "whatever a router says the state is, an oracle's duties are about what is in it, and each is given once")
{
    const struct address self = {{1}};
    struct oracle o = {0};
    FUZZ_CHECK(duty_book_open(&self, 3, &o.book) == CX_OK);
    const char *at = (char *)data, *end = at + size;
    for (unsigned steps = 0; at < end && steps < STEPS_MAX; steps++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((line_end ? line_end : end) - at);
        struct link_frame frame;
        if (line > 1 && at[0] == 'a') {
            const struct duty_answer answer = {.measured = line % 2};
            duty_answered(o.book, line % 3 ? DUTY_ANSWER_CHALLENGE : DUTY_ANSWER_AUDIT, (uint64_t)(at[1] - '0'),
                          &answer);
        } else if (line > 1 && at[0] == 'f') {
            duty_failed(o.book, (enum duty_kind)((uint8_t)at[1] % (DUTY_GIVE_FINDING + 1)), (uint64_t)(at[1] - '0'),
                        line);
        } else if (line == 1 && at[0] == 'r') {
            duty_reset(o.book);
        } else if (link_decode(at, line, LINK_D, &frame) == CX_OK) {
            if (frame.type == LINK_STATE) {
                o.state = &frame.state;
                duty_each(o.book, &frame.state, each_duty, &o);
                o.given = 0;
                duty_each(o.book, &frame.state, each_duty, &o);
                FUZZ_CHECK(o.given == 0);
            }
            link_frame_done(&frame);
        }
        at += line + (line_end != NULL);
    }
    duty_book_close(o.book);
}

FUZZ_SEEDS(oracle)
{
    struct buf out = {0};
    const struct address self = {{1}};
    const struct hash some = {{1, 2}};
    struct link_round round[] = {
        {.id = 1, .model = 1, .state = ROUND_REQUESTED},
        {.id = 2, .model = 1, .state = ROUND_PREPARED, .leader = self},
        {.id = 3,
         .model = 1,
         .state = ROUND_COMMITTED,
         .challenge = some,
         .places = 1,
         .place = {{.lease = 7, .node.b = {9}, .committed = true, .bound = true, .payload = some}}},
    };
    const struct link_audit audit[] = {{.id = 4, .task = 3, .lease = 5, .state = AUDIT_DRAWN, .drawn = true},
                                       {.id = 5,
                                        .task = 3,
                                        .lease = 6,
                                        .state = AUDIT_ASKED,
                                        .drawn = true,
                                        .prompt = some,
                                        .answer = some,
                                        .record_size = RECORD_EXACT_SIZE}};
    struct link_frame frame = {.type = LINK_STATE,
                               .state = {.seq = 1,
                                         .leader = self,
                                         .live = true,
                                         .duties = 3,
                                         .round = round,
                                         .rounds = 3,
                                         .audit = audit,
                                         .audits = 2}};
    add_line(&out, frame);
    buf_text(&out, "a3\na5xx\nf1\n");
    add_line(&out, frame);
    buf_text(&out, "r\n");
    add_line(&out, frame);
    fuzz_seed("leader", out.data, out.size);
    buf_done(&out);
}

/* The frames of a link, as JSON and as bytes. */
#include "core/record.h"
#include "fuzz/fuzz.h"
#include "lib/random_frame.h"
#include "proto/link.h"

static bool same(const struct buf *a, const struct buf *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* ---- JSON ---- */

/* What a frame says survives being said again, in either form. */
static void check_json(const uint8_t *data, size_t size, enum link_way way)
{
    struct link_frame frame, again;
    struct buf a = {0}, b = {0}, bytes = {0};
    if (link_decode((const char *)data, size, way, &frame))
        return;
    FUZZ_CHECK(frame.type < LINK_TYPE_COUNT);
    link_encode(&frame, &a);
    FUZZ_CHECK(link_decode(a.data, a.size, way, &again) == CX_OK);
    FUZZ_CHECK(frames_same(&again, &frame));
    link_encode(&again, &b);
    FUZZ_CHECK(same(&a, &b));
    link_frame_done(&again);
    link_encode_binary(&frame, &bytes);
    FUZZ_CHECK(link_decode_binary(bytes.data, bytes.size, way, &again) == CX_OK);
    FUZZ_CHECK(frames_same(&again, &frame));
    link_frame_done(&frame);
    link_frame_done(&again);
    buf_done(&a);
    buf_done(&b);
    buf_done(&bytes);
}

FUZZ(link_up, "a miner's or oracle's frame that is read says the same when it is written and read again")
{
    check_json(data, size, LINK_U);
}

FUZZ(link_down, "a router's frame that is read says the same when it is written and read again")
{
    check_json(data, size, LINK_D);
}

/* ---- bytes ---- */

/* There is one way to say a thing in bytes, and JSON could say it as well. */
static void check_bytes(const uint8_t *data, size_t size, enum link_way way)
{
    struct link_frame frame, again;
    struct buf bytes = {0}, text = {0};
    if (link_decode_binary(data, size, way, &frame))
        return;
    link_encode_binary(&frame, &bytes);
    FUZZ_CHECK(bytes.size <= size && memcmp(bytes.data, data, bytes.size) == 0);
    link_encode(&frame, &text);
    FUZZ_CHECK(link_decode(text.data, text.size, way, &again) == CX_OK);
    FUZZ_CHECK(frames_same(&again, &frame));
    link_frame_done(&frame);
    link_frame_done(&again);
    buf_done(&bytes);
    buf_done(&text);
}

FUZZ(link_binary_up, "a miner's or oracle's bytes that are read are written as they came, and JSON says the same")
{
    check_bytes(data, size, LINK_U);
}

FUZZ(link_binary_down, "a router's bytes that are read are written as they came, and JSON says the same")
{
    check_bytes(data, size, LINK_D);
}

/* ---- first inputs ---- */

static struct span text_span(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

static void (*encode)(const struct link_frame *frame, struct buf *out);

static void seed_frame(struct link_frame frame)
{
    struct buf out = {0};
    encode(&frame, &out);
    fuzz_seed(link_type_name(frame.type), out.data, out.size);
    buf_done(&out);
}

#define SEED(NAME, name, ...) seed_frame((struct link_frame){.type = LINK_##NAME, .name = {__VA_ARGS__}})

static void seed_up(void)
{
    const struct hash some = {{1, 2, 3}};
    uint8_t record[RECORD_EXACT_SIZE] = {1};
    SEED(HELLO, hello, .version = 1, .node.b = {1}, .operator.b = {2}, .engine = ENGINE_ECHO, .slots = 2, .build = "b");
    SEED(SUBMIT, submit, .ref = 3, .entry = text_span("entry"));
    SEED(ACK, ack, .lease = 5);
    SEED(DECLINE, decline, .lease = 5, .reason = DECLINE_BUSY, .detail = "full");
    SEED(CHUNK, chunk, .lease = 5, .n = 1, .text = text_span("t\xe2\x82\xac"), .tokens = 2, .has_head = true,
         .head = some);
    SEED(PRECOMMIT, precommit, .lease = 5, .precommit = some, .has_signature = true);
    SEED(COMMIT, commit, .lease = 5, .salt = some, .record = {record, sizeof record}, .text = text_span("text"));
    SEED(FAULT, fault, .lease = 5, .reason = DECLINE_ENGINE, .detail = "broke");
    SEED(STATS, stats, .ttft_ms = 1, .tokens_per_s_milli = 2, .busy = 1);
    SEED(PUT, put, .ref = 9, .data = text_span("{}"));
    SEED(GET, get, .ref = 9, .digest = some);
}

static void seed_down(void)
{
    const struct hash some = {{1, 2, 3}};
    const struct link_model model = {1, "words", some, 4096, 10, 20};
    const uint64_t leases[] = {4, 5};
    const struct link_round round = {
        .id = 1, .model = 1, .state = ROUND_STARTED, .places = 1, .place = {{.lease = 7, .acked = true}}};
    const struct link_audit audit = {
        .id = 2, .task = 3, .lease = 5, .state = AUDIT_ASKED, .record_size = RECORD_EXACT_SIZE};
    SEED(CHALLENGE, challenge, .network = 7, .router.b = {1}, .nonce = some, .join_fee = {5}, .model = &model,
         .models = 1);
    SEED(WELCOME, welcome, .link = 1, .nonce_next = 2, .registered = true, .lease = leases, .leases = 2,
         .node = {
             .state = NODE_EPHEMERAL, .slots = 2, .models = 1, .model = {{.model = 1, .context = 9, .proved = true}}});
    SEED(NODE, node, .state = NODE_RECALIBRATING, .retry_ms = 100, .leaving = true);
    SEED(RESULT, result, .ref = 1, .seq = 2, .verdict = VERDICT_ACCEPTED, .message = "m");
    SEED(OFFER, offer, .lease = 5, .task = 6, .session = 7, .seed = 8, .stream = true, .tokens_max = 9, .ack_ms = 10,
         .precommit_ms = 11, .request = text_span("{}"));
    SEED(PROMOTE, promote, .lease = 5);
    SEED(REVEAL, reveal, .lease = 5);
    SEED(CANCEL, cancel, .lease = 5, .relayed_tokens = 3);
    SEED(RECALL, recall, .lease = 5, .cause = CAUSE_LATE);
    seed_frame((struct link_frame){.type = LINK_DRAIN});
    SEED(ERROR, error, .code = "C", .message = "m");
    SEED(STATE, state, .seq = 1, .now_ms = 2, .live = true, .duties = 3, .model = &model, .models = 1, .round = &round,
         .rounds = 1, .audit = &audit, .audits = 1);
    SEED(PAYLOAD, payload, .ref = 1, .digest = some, .data = text_span("d"));
}

FUZZ_SEEDS(link_up)
{
    encode = link_encode;
    seed_up();
}

FUZZ_SEEDS(link_down)
{
    encode = link_encode;
    seed_down();
}

FUZZ_SEEDS(link_binary_up)
{
    encode = link_encode_binary;
    seed_up();
}

FUZZ_SEEDS(link_binary_down)
{
    const uint64_t none = 0;
    struct buf out = {0};
    encode = link_encode_binary;
    seed_down();
    link_encode_binary(&(struct link_frame){.type = LINK_WELCOME, .welcome = {.link = 1, .lease = &none, .leases = 1}},
                       &out);
    fuzz_seed("lease-of-0", out.data, out.size);
    buf_done(&out);
}

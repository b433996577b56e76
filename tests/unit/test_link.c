/* Frames of the miner and oracle links: docs/protocol.md, "Miner link". */
#include "base/prng.h"
#include "lib/guard.h"
#include "lib/test.h"
#include "proto/link.h"

#define RANDOM_FRAMES 2000
#define BROKEN_FRAMES 3000

static struct span text_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

static void check_reads(const char *text, enum link_way way, struct link_frame *ret_frame)
{
    if (link_decode(text, strlen(text), way, ret_frame))
        test_fail(__FILE__, __LINE__, "%s: %s", text, cx_detail());
}

static void check_refuses(const char *text, enum link_way way, const char *why)
{
    struct link_frame frame;
    if (!link_decode(text, strlen(text), way, &frame))
        test_fail(__FILE__, __LINE__, "was read: %s", text);
    if (!strstr(cx_detail(), why))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\" of %s", cx_detail(), why, text);
}

/* ---- as the protocol has them ---- */

TEST(link, writes_a_chunk_as_the_protocol_says)
{
    struct buf out = {0};
    struct link_frame frame = {.type = LINK_CHUNK,
                               .chunk = {.lease = 9007199254740993u, .n = 3, .text = text_of("a\n"), .tokens = 1}};
    link_encode(&frame, &out);
    CHECK_STR(out.data,
              "{\"type\":\"chunk\",\"lease\":\"9007199254740993\",\"n\":\"3\",\"text\":\"a\\n\",\"tokens\":1}");
    buf_done(&out);
}

TEST(link, reads_numbers_and_decimal_strings_alike)
{
    struct link_frame frame;
    check_reads("{\"type\":\"ack\",\"lease\":\"18446744073709551615\"}", LINK_U, &frame);
    CHECK(frame.ack.lease == UINT64_MAX);
    link_frame_done(&frame);
    check_reads("{\"lease\":7,\"type\":\"ack\",\"new\":{}}", LINK_U, &frame);
    CHECK_EQ(frame.ack.lease, 7);
    link_frame_done(&frame);
}

TEST(link, reads_an_offer_with_its_request_byte_for_byte)
{
    struct link_frame frame;
    check_reads("{\"type\":\"offer\",\"lease\":\"5\",\"task\":\"6\",\"session\":\"7\",\"round\":false,\"seed\":\"8\","
                "\"seed_of_client\":true,\"tokens_max\":9,\"stream\":true,\"together\":false,\"evidence\":\"signed\","
                "\"state\":\"ACKED\",\"chunks\":\"16\",\"ack_ms\":10,\"precommit_ms\":11,"
                "\"request\":\"{\\\"kind\\\":\\\"chat\\\"}\"}",
                LINK_D, &frame);
    CHECK_EQ(frame.offer.state, ASSIGNMENT_ACKED);
    CHECK_EQ(frame.offer.chunks, 16);
    CHECK(!frame.offer.channel && !frame.offer.reveal && frame.offer.stream && frame.offer.seed_of_client);
    CHECK_EQ(frame.offer.request.size, 15);
    CHECK_MEM(frame.offer.request.data, "{\"kind\":\"chat\"}", 15);
    link_frame_done(&frame);
}

TEST(link, refuses_by_the_name_of_the_field)
{
    check_refuses("[]", LINK_U, "expected an object");
    check_refuses("{}", LINK_U, "type: missing");
    check_refuses("{\"type\":\"dance\"}", LINK_U, "no frame \"dance\" comes this way");
    check_refuses("{\"type\":\"ack\"}", LINK_U, "lease: missing");
    check_refuses("{\"type\":\"ack\",\"lease\":-1}", LINK_U, "lease");
    check_refuses("{\"type\":\"ack\",\"lease\":\"1\"} {}", LINK_U, "bad JSON");
    check_refuses("{\"type\":\"decline\",\"lease\":1,\"reason\":\"TIRED\",\"detail\":\"\"}", LINK_U, "reason: TIRED");
    check_refuses("{\"type\":\"precommit\",\"lease\":1,\"precommit\":\"0x12\"}", LINK_U, "precommit: expected 32");
    check_refuses("{\"type\":\"submit\",\"ref\":1,\"entry\":\"0x123\"}", LINK_U, "entry: expected at most 4096");
    check_refuses("{\"type\":\"chunk\",\"lease\":1,\"n\":0,\"text\":5,\"tokens\":1}", LINK_U, "text");
    check_refuses("{\"type\":\"result\",\"ref\":1,\"verdict\":\"PERHAPS\",\"seq\":0}", LINK_D, "verdict: PERHAPS");
    check_refuses("{\"type\":\"hello\",\"version\":2}", LINK_U, "version: 2 is not spoken here: use 1");
}

TEST(link, frames_of_the_other_way_are_refused)
{
    check_refuses("{\"type\":\"drain\"}", LINK_U, "no frame \"drain\" comes this way");
    check_refuses("{\"type\":\"ack\",\"lease\":1}", LINK_D, "no frame \"ack\" comes this way");
}

TEST(link, refuses_what_is_over_a_limit)
{
    struct buf out = {0};
    buf_text(&out, "{\"type\":\"fault\",\"lease\":1,\"detail\":\"");
    for (size_t i = 0; i < LINK_DETAIL_SIZE_MAX; i++)
        buf_text(&out, "x");
    size_t fits = out.size;
    struct link_frame frame;
    buf_text(&out, "\"}");
    check_reads(out.data, LINK_U, &frame);
    link_frame_done(&frame);
    out.size = fits;
    buf_text(&out, "x\"}");
    check_refuses(out.data, LINK_U, "detail: over 511 bytes");

    buf_reset(&out);
    buf_text(&out, "{\"type\":\"welcome\",\"link\":1,\"nonce_next\":1,\"leases\":[1");
    for (uint32_t i = 0; i < LINK_LEASES_MAX; i++)
        buf_text(&out, ",1");
    buf_text(&out, "]}");
    check_refuses(out.data, LINK_D, "leases: over 512 items");
    buf_done(&out);
}

/* ---- the hello ---- */

TEST(link, a_hello_is_good_for_one_router_network_and_nonce)
{
    cx_auto(key) key = NULL;
    const uint8_t secret[KEY_SECRET_SIZE] = {[31] = 7};
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    struct link_hello_terms terms = {.network = 5, .router.b = {1}, .nonce.b = {2}, .node = *key_address(key)};
    uint8_t signature[SIGNATURE_SIZE];
    link_hello_sign(&terms, key, signature);
    CHECK_EQ(link_hello_check(&terms, signature), CX_OK);

    struct link_hello_terms other = terms;
    other.network = 6;
    CHECK_EQ(link_hello_check(&other, signature), CX_DENIED);
    other = terms;
    other.router.b[19] = 1;
    CHECK_EQ(link_hello_check(&other, signature), CX_DENIED);
    other = terms;
    other.nonce.b[31] = 1;
    CHECK_EQ(link_hello_check(&other, signature), CX_DENIED);
    other = terms;
    other.node.b[0] ^= 1;
    CHECK_EQ(link_hello_check(&other, signature), CX_DENIED);
    other = terms;
    other.router_exchange.b[0] = 1;
    CHECK_EQ(link_hello_check(&other, signature), CX_DENIED);
    other = terms;
    other.node_exchange.b[31] = 1;
    CHECK_EQ(link_hello_check(&other, signature), CX_DENIED);
    signature[40] ^= 1;
    CHECK_EQ(link_hello_check(&terms, signature), CX_DENIED);
}

TEST(link, a_mac_is_good_for_one_link_lease_and_precommit)
{
    struct mac_key link, other_link;
    struct link_precommit f = {.lease = 5, .precommit.b = {1}};
    mac_key_generate(&link);
    mac_key_generate(&other_link);
    CHECK_EQ(link_precommit_check(&link, &f), CX_DENIED);
    CHECK(strstr(cx_detail(), "missing"));
    f.has_mac = true;
    link_precommit_mac(&link, &f, &f.mac);
    CHECK_EQ(link_precommit_check(&link, &f), CX_OK);
    CHECK_EQ(link_precommit_check(&other_link, &f), CX_DENIED);
    struct link_precommit other = f;
    other.lease = 6;
    CHECK_EQ(link_precommit_check(&link, &other), CX_DENIED);
    other = f;
    other.precommit.b[31] = 1;
    CHECK_EQ(link_precommit_check(&link, &other), CX_DENIED);
    other = f;
    other.mac.b[0] ^= 1;
    CHECK_EQ(link_precommit_check(&link, &other), CX_DENIED);
}

/* ---- whatever comes ---- */

/* Random frames of every type, valid as their senders would make them. */
struct maker {
    struct prng prng;
    struct link_model model[LINK_MODELS_MAX];
    struct link_round round[LINK_STATE_ROUNDS_MAX];
    struct link_audit audit[LINK_STATE_AUDITS_MAX];
    uint64_t lease[LINK_LEASES_MAX];
    uint8_t bytes[ENTRY_SIZE_MAX];
};

static uint32_t below(struct maker *m, uint32_t n) { return (uint32_t)prng_below(&m->prng, n); }
static bool coin(struct maker *m) { return below(m, 2); }
static uint64_t id(struct maker *m) { return prng_next(&m->prng) >> below(m, 60) | 1; }
static void fill(struct maker *m, void *data, size_t size) { prng_fill(&m->prng, data, size); }

static struct span some_text(struct maker *m)
{
    static const char *const text[] = {
        "", "word", "two words\n", "\"quoted\" \\ \t", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d", "{\"a\":[1,2]}"};
    return text_of(text[below(m, ARRAY_COUNT(text))]);
}

static struct span some_bytes(struct maker *m, uint32_t max)
{
    uint32_t size = below(m, max + 1);
    fill(m, m->bytes, size);
    return (struct span){m->bytes, size};
}

static uint32_t some_term(struct maker *m, enum term_set set)
{
    uint32_t value;
    do
        value = below(m, 20);
    while (!term_name(set, value));
    return value;
}

static uint32_t some_models(struct maker *m, const struct link_model **ret_model)
{
    uint32_t count = below(m, 4);
    for (uint32_t i = 0; i < count; i++) {
        m->model[i] = (struct link_model){.id = id(m),
                                          .name = "corten-demo",
                                          .context = below(m, 9999),
                                          .price_in_max = id(m),
                                          .price_out_max = id(m)};
        fill(m, m->model[i].manifest.b, 32);
    }
    *ret_model = m->model;
    return count;
}

static struct link_node some_node(struct maker *m)
{
    struct link_node node = {.state = (enum node_state)some_term(m, TERM_node_state),
                             .session = id(m),
                             .retry_ms = id(m),
                             .slots = below(m, 65),
                             .level = below(m, 11),
                             .leaving = coin(m),
                             .models = below(m, NODE_MODELS_MAX + 1)};
    fill(m, node.operator.b, 20);
    for (uint32_t i = 0; i < node.models; i++)
        node.model[i] = (struct link_node_model){.model = id(m),
                                                 .context = below(m, 9999),
                                                 .price_in = id(m),
                                                 .price_out = id(m),
                                                 .declared = coin(m),
                                                 .proved = coin(m),
                                                 .class = (enum node_class)below(m, 2)};
    return node;
}

static void some_round(struct maker *m, struct link_round *round)
{
    *round = (struct link_round){.id = id(m),
                                 .model = id(m),
                                 .deadline_ms = id(m),
                                 .tokens_max = below(m, 99),
                                 .state = (enum round_state)some_term(m, TERM_round_state),
                                 .places = below(m, ROUND_NODES_MAX + 1)};
    fill(m, round->leader.b, 20);
    if (coin(m))
        fill(m, round->challenge.b, 32);
    for (uint32_t i = 0; i < round->places; i++) {
        round->place[i] = (struct link_place){.lease = id(m),
                                              .seed = id(m),
                                              .acked = coin(m),
                                              .precommitted = coin(m),
                                              .committed = coin(m),
                                              .bound = coin(m),
                                              .judged = coin(m),
                                              .own = coin(m),
                                              .ttft_ms = below(m, 9),
                                              .duration_ms = below(m, 9),
                                              .tokens_out = below(m, 9)};
        if (coin(m))
            fill(m, round->place[i].node.b, 20);
    }
}

static void some_state(struct maker *m, struct link_state *f)
{
    *f = (struct link_state){.seq = id(m),
                             .now_ms = id(m),
                             .nonce_next = id(m),
                             .live = coin(m),
                             .duties = below(m, 8),
                             .heartbeat_ms = id(m),
                             .ttft_ms_max = id(m),
                             .tokens_per_s_milli_min = id(m),
                             .rounds = below(m, 3),
                             .audits = below(m, 3),
                             .round = m->round,
                             .audit = m->audit};
    fill(m, f->chain.b, 32);
    f->models = some_models(m, &f->model);
    for (uint32_t i = 0; i < f->rounds; i++)
        some_round(m, &m->round[i]);
    for (uint32_t i = 0; i < f->audits; i++) {
        m->audit[i] = (struct link_audit){.id = id(m),
                                          .task = id(m),
                                          .lease = id(m),
                                          .deadline_ms = id(m),
                                          .state = (enum audit_state)some_term(m, TERM_audit_state),
                                          .drawn = coin(m)};
        if (coin(m)) {
            m->audit[i].record_size = RECORD_EXACT_SIZE;
            fill(m, m->audit[i].record, RECORD_EXACT_SIZE);
        }
    }
}

static void some_frame_up(struct maker *m, struct link_frame *f)
{
    if (f->type == LINK_HELLO) {
        f->hello = (struct link_hello){.version = LINK_VERSION,
                                       .engine = (uint8_t)some_term(m, TERM_engine),
                                       .slots = below(m, 65),
                                       .build = coin(m) ? "corten/1" : NULL};
        fill(m, f->hello.node.b, 20);
        fill(m, f->hello.exchange.b, 32);
        fill(m, f->hello.signature, SIGNATURE_SIZE);
    } else if (f->type == LINK_SUBMIT) {
        f->submit = (struct link_submit){.ref = id(m), .entry = some_bytes(m, ENTRY_SIZE_MAX)};
    } else if (f->type == LINK_ACK) {
        f->ack.lease = id(m);
    } else if (f->type == LINK_DECLINE) {
        f->decline = (struct link_decline){
            .lease = id(m), .reason = (enum decline_reason)below(m, DECLINE_REASON_COUNT), .detail = "because"};
    } else if (f->type == LINK_CHUNK) {
        f->chunk = (struct link_chunk){
            .lease = id(m), .n = id(m), .text = some_text(m), .tokens = below(m, 9), .has_head = coin(m)};
        fill(m, f->chunk.head.b, 32);
    } else if (f->type == LINK_PRECOMMIT) {
        f->precommit = (struct link_precommit){.lease = id(m), .has_signature = coin(m), .has_mac = coin(m)};
        fill(m, f->precommit.signature, SIGNATURE_SIZE);
        fill(m, f->precommit.mac.b, 32);
    } else if (f->type == LINK_COMMIT) {
        f->commit =
            (struct link_commit){.lease = id(m), .record = some_bytes(m, RECORD_SIZE_MAX), .text = some_text(m)};
    } else if (f->type == LINK_FAULT) {
        f->fault = (struct link_fault){.lease = id(m), .detail = "engine: gone"};
    } else if (f->type == LINK_STATS) {
        f->stats = (struct link_stats){below(m, 99), below(m, 99), below(m, 9)};
    } else if (f->type == LINK_PUT) {
        f->put = (struct link_put){.ref = id(m), .data = some_text(m)};
    } else if (f->type == LINK_GET) {
        f->get.ref = id(m);
        fill(m, f->get.digest.b, 32);
    }
}

static void some_frame_down(struct maker *m, struct link_frame *f)
{
    if (f->type == LINK_CHALLENGE) {
        f->challenge = (struct link_challenge){
            .network = id(m), .join_rule = below(m, 3), .join_fee = {id(m)}, .stake_min = {id(m)}};
        fill(m, f->challenge.nonce.b, 32);
        fill(m, f->challenge.exchange.b, 32);
        f->challenge.models = some_models(m, &f->challenge.model);
    } else if (f->type == LINK_WELCOME) {
        f->welcome = (struct link_welcome){.link = below(m, 99),
                                           .nonce_next = id(m),
                                           .registered = coin(m),
                                           .node = some_node(m),
                                           .lease = m->lease,
                                           .leases = below(m, 5)};
        for (uint32_t i = 0; i < f->welcome.leases; i++)
            m->lease[i] = id(m);
    } else if (f->type == LINK_NODE) {
        f->node = some_node(m);
    } else if (f->type == LINK_RESULT) {
        f->result = (struct link_result){.ref = id(m),
                                         .seq = id(m),
                                         .verdict = VERDICT_LEASE_STALE,
                                         .error = coin(m) ? "the ledger is behind" : NULL};
    } else if (f->type == LINK_OFFER) {
        f->offer = (struct link_offer){.lease = id(m),
                                       .task = id(m),
                                       .session = id(m),
                                       .seed = id(m),
                                       .round = coin(m),
                                       .seed_of_client = coin(m),
                                       .stream = coin(m),
                                       .together = coin(m),
                                       .channel = coin(m),
                                       .reveal = coin(m),
                                       .cancel = coin(m),
                                       .state = (enum assignment_state)some_term(m, TERM_assignment_state),
                                       .chunks = id(m),
                                       .tokens_max = below(m, 99),
                                       .ack_ms = below(m, 99),
                                       .precommit_ms = below(m, 99),
                                       .relayed_tokens = below(m, 9),
                                       .request = some_text(m)};
    } else if (f->type == LINK_PROMOTE || f->type == LINK_REVEAL) {
        f->promote.lease = id(m);
    } else if (f->type == LINK_CANCEL) {
        f->cancel = (struct link_cancel){.lease = id(m), .relayed_tokens = below(m, 99)};
    } else if (f->type == LINK_RECALL) {
        f->recall = (struct link_recall){.lease = id(m), .cause = (enum fail_cause)below(m, FAIL_CAUSE_COUNT)};
    } else if (f->type == LINK_ERROR) {
        f->error = (struct link_error){.code = "RATE", .message = "too many frames"};
    } else if (f->type == LINK_STATE) {
        some_state(m, &f->state);
    } else if (f->type == LINK_PAYLOAD) {
        f->payload = (struct link_payload){.ref = id(m), .data = some_text(m), .error = coin(m) ? "not here" : NULL};
    }
}

static enum link_way some_frame(struct maker *m, struct link_frame *ret_frame)
{
    static const enum link_way way[] = {
#define X(name, NAME, way_) LINK_##way_,
        LINK_TYPES(X)
#undef X
    };
    memset(ret_frame, 0, sizeof *ret_frame);
    ret_frame->type = (enum link_type)below(m, LINK_TYPE_COUNT);
    if (way[ret_frame->type] == LINK_U)
        some_frame_up(m, ret_frame);
    else
        some_frame_down(m, ret_frame);
    return way[ret_frame->type];
}

TEST(link, every_frame_comes_back_as_it_went)
{
    static struct maker m = {.prng = {1}};
    struct link_frame frame, back;
    struct buf out = {0}, again = {0};
    for (int i = 0; i < RANDOM_FRAMES; i++) {
        enum link_way way = some_frame(&m, &frame);
        buf_reset(&out);
        buf_reset(&again);
        link_encode(&frame, &out);
        check_reads(out.data, way, &back);
        CHECK_EQ(back.type, frame.type);
        link_encode(&back, &again);
        CHECK_STR(again.data, out.data);
        link_frame_done(&back);
    }
    buf_done(&out);
    buf_done(&again);
}

/* Whatever the bytes are, they are read within their end, and what is given is whole. */
TEST(link, broken_frames_are_read_to_their_end_and_no_further)
{
    static struct maker m = {.prng = {2}};
    struct link_frame frame, back;
    struct buf out = {0}, again = {0};
    uint32_t refused = 0;
    for (int i = 0; i < BROKEN_FRAMES; i++) {
        enum link_way way = some_frame(&m, &frame);
        buf_reset(&out);
        link_encode(&frame, &out);
        size_t size = out.size;
        for (uint32_t flips = below(&m, 3); flips > 0; flips--)
            out.data[below(&m, (uint32_t)size)] = (char)below(&m, 256);
        if (coin(&m))
            size = below(&m, (uint32_t)size + 1);
        char *text = guard_copy(out.data, size);
        if (link_decode(text, size, way, &back)) {
            refused++;
        } else {
            buf_reset(&again);
            link_encode(&back, &again);  // touches all that was given
            link_frame_done(&back);
        }
        guard_free(text, size);
    }
    CHECK(refused > BROKEN_FRAMES / 2);
    buf_done(&out);
    buf_done(&again);
}

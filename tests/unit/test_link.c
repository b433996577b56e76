/* Frames of the miner and oracle links: docs/protocol.md, "Miner link". */
#include "base/hex.h"
#include "lib/test.h"
#include "proto/link.h"

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

/* ---- in binary ---- */

/* Bytes from digits; blanks part the fields for whoever reads. */
static size_t bytes_of(const char *digits, uint8_t *ret_bytes, size_t cap)
{
    char text[512];
    size_t size = 0;
    for (; *digits; digits++)
        if (*digits != ' ')
            text[size++] = *digits;
    CHECK(size / 2 <= cap);
    CHECK(hex_decode(text, size, ret_bytes, size / 2));
    return size / 2;
}

static void check_bytes(const struct link_frame *frame, const char *digits)
{
    uint8_t want[256];
    struct buf out = {0};
    size_t size = bytes_of(digits, want, sizeof want);
    link_encode_binary(frame, &out);
    CHECK_EQ(out.size, size);
    CHECK_MEM(out.data, want, size);
    buf_done(&out);
}

static void check_refuses_bytes(const char *digits, enum link_way way, const char *why)
{
    uint8_t bytes[256];
    struct link_frame frame;
    size_t size = bytes_of(digits, bytes, sizeof bytes);
    if (!link_decode_binary(bytes, size, way, &frame))
        test_fail(__FILE__, __LINE__, "was read: %s", digits);
    if (!strstr(cx_detail(), why))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\" of %s", cx_detail(), why, digits);
}

TEST(link, writes_bytes_as_the_protocol_says)
{
    check_bytes(&(struct link_frame){.type = LINK_CHUNK,
                                     .chunk = {.lease = 0x20000000000001, .n = 3, .text = text_of("a\n"), .tokens = 1}},
                "0a 0020000000000001 0000000000000003 00000002 610a 00000001 00");
    check_bytes(&(struct link_frame){.type = LINK_OFFER,
                                     .offer = {.lease = 5,
                                               .task = 6,
                                               .session = 7,
                                               .seed = 8,
                                               .seed_of_client = true,
                                               .tokens_max = 9,
                                               .stream = true,
                                               .channel = true,
                                               .state = ASSIGNMENT_ACKED,
                                               .chunks = 16,
                                               .relayed_tokens = 2,
                                               .ack_ms = 10,
                                               .precommit_ms = 11,
                                               .request = text_of("{}")}},
                "06 0000000000000005 0000000000000006 0000000000000007 00 0000000000000008 01 00000009 01 00 01 01 "
                "0000000000000010 00 00 00000002 0000000a 0000000b 00000002 7b7d");
    check_bytes(
        &(struct link_frame){.type = LINK_DECLINE, .decline = {.lease = 1, .reason = DECLINE_CONTEXT, .detail = "no"}},
        "08 0000000000000001 02 0002 6e6f");
    check_bytes(
        &(struct link_frame){.type = LINK_RESULT, .result = {.ref = 1, .seq = 2, .verdict = VERDICT_AUDIT_STATE}},
        "05 0000000000000001 00 0089 0000000000000002");
    check_bytes(&(struct link_frame){.type = LINK_RESULT, .result = {.ref = 1, .error = "no"}},
                "05 0000000000000001 01 0002 6e6f");
    check_bytes(
        &(struct link_frame){.type = LINK_WELCOME,
                             .welcome = {.link = 1, .nonce_next = 2, .lease = (const uint64_t[]){4}, .leases = 1}},
        "02 00000001 0000000000000002 00 0001 0000000000000004");
    check_bytes(&(struct link_frame){.type = LINK_DRAIN}, "11");
}

/* docs/protocol.md has them: a type that moves is another protocol. */
TEST(link, types_have_their_numbers_for_ever)
{
    static const char *const name[] = {"challenge", "hello",  "welcome", "node",    "submit", "result",
                                       "offer",     "ack",    "decline", "promote", "chunk",  "precommit",
                                       "reveal",    "commit", "fault",   "cancel",  "recall", "drain",
                                       "stats",     "error",  "state",   "put",     "get",    "payload"};
    CHECK_EQ(LINK_TYPE_COUNT, ARRAY_COUNT(name));
    for (uint32_t type = 0; type < ARRAY_COUNT(name); type++)
        CHECK_STR(link_type_name((enum link_type)type), name[type]);
}

TEST(link, refuses_bytes_by_the_name_of_the_field)
{
    check_refuses_bytes("", LINK_U, "type: missing");
    check_refuses_bytes("18", LINK_U, "type: no frame 24 comes this way");
    check_refuses_bytes("11", LINK_U, "type: no frame 17 comes this way");
    check_refuses_bytes("07 00000000000000", LINK_U, "lease: missing: the frame ends before or in it");
    check_refuses_bytes("08 0000000000000001 06 0000", LINK_U, "reason: 6 is not one of its values");
    check_refuses_bytes("08 0000000000000001 00 0200", LINK_U, "detail: over 511 bytes");
    check_refuses_bytes("08 0000000000000001 00 0001 ff", LINK_U, "detail: is no UTF-8");
    check_refuses_bytes("08 0000000000000001 00 0001 00", LINK_U, "detail: has a NUL in it");
    check_refuses_bytes("04 0000000000000001 00001001", LINK_U, "entry: over 4096 bytes");
    check_refuses_bytes("04 0000000000000001 00000002 01", LINK_U, "entry: missing");
    check_refuses_bytes("0a 0000000000000001 0000000000000000 00000001 c3 00000001 00", LINK_U, "text: is no UTF-8");
    check_refuses_bytes("0a 0000000000000001 0000000000000000 00010001", LINK_U, "text: over 65536 bytes");
    check_refuses_bytes("0a 0000000000000001 0000000000000000 00000000 00000001 02", LINK_U,
                        "head: expected 0 or 1, not 2");
    check_refuses_bytes("05 0000000000000001 00 ffff 0000000000000000", LINK_D, "verdict: 65535 is not known here");
    check_refuses_bytes("01 00000002", LINK_U, "version: 2 is not spoken here: use 1");
    check_refuses_bytes("02 00000001 0000000000000001 00 0201", LINK_D, "leases: over 512 items");
    check_refuses_bytes("02 00000001 0000000000000001 00 0002 0000000000000001 0000000000000000", LINK_D,
                        "leases[1]: is 0");
    check_refuses_bytes("02 00000001 0000000000000001 01 0b", LINK_D, "node.state: 11 is not one of its values");
    check_refuses_bytes("00 0000000000000001 0000000000000000000000000000000000000000"
                        "0000000000000000000000000000000000000000000000000000000000000000"
                        "0000000000000000000000000000000000000000000000000000000000000000"
                        "00000000 0000000000000000 0000000000000000 0001 0000000000000001 0041",
                        LINK_D, "models[0].name: over 64 bytes");
}

/* A detail quotes what others said. */
TEST(link, words_are_made_fit_for_a_frame)
{
    struct buf out = {0}, words = {0};
    struct link_frame back;
    for (uint32_t i = 0; i < LINK_DETAIL_SIZE_MAX - 1; i++)
        buf_add(&words, "x", 1);
    buf_text(&words, "\xe2\x82\xac and more");
    words.data[3] = (char)0xff;
    link_encode_binary(&(struct link_frame){.type = LINK_DECLINE, .decline = {.lease = 1, .detail = words.data}}, &out);
    CHECK_EQ(link_decode_binary(out.data, out.size, LINK_U, &back), CX_OK);
    CHECK_EQ(strlen(back.decline.detail), LINK_DETAIL_SIZE_MAX - 1);
    CHECK_MEM(back.decline.detail, "xxx?xxx", 7);
    link_frame_done(&back);
    buf_done(&words);
    buf_done(&out);
}

/* A router holds thousands of links: what comes all the time must not cost memory. */
TEST(link, common_frames_lie_where_they_came)
{
    static const uint8_t data[RECORD_EXACT_SIZE] = {1};
    const struct span span = {data, sizeof data};
    const struct link_frame frame[] = {
        {.type = LINK_ACK, .ack.lease = 1},
        {.type = LINK_CHUNK, .chunk.text = text_of("t")},
        {.type = LINK_PRECOMMIT, .precommit.lease = 1},
        {.type = LINK_COMMIT, .commit = {.record = span, .text = text_of("t")}},
        {.type = LINK_SUBMIT, .submit.entry = span},
        {.type = LINK_OFFER, .offer.request = text_of("{}")},
        {.type = LINK_REVEAL, .reveal.lease = 1},
        {.type = LINK_RESULT, .result.ref = 1},
    };
    struct buf out = {0};
    for (size_t i = 0; i < ARRAY_COUNT(frame); i++) {
        struct link_frame back;
        buf_reset(&out);
        link_encode_binary(&frame[i], &out);
        CHECK_EQ(link_decode_binary(out.data, out.size, link_type_way(frame[i].type), &back), CX_OK);
        CHECK(!back.memory && !back.document);
        if (frame[i].type == LINK_OFFER)
            CHECK((const char *)back.offer.request.data == out.data + out.size - 2);
    }
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

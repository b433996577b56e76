/* The native body in binary: docs/protocol.md, "Client WebSocket". */
#include <string.h>

#include "lib/guard.h"
#include "lib/test.h"
#include "proto/request.h"

static struct span of(const struct buf *buf) { return (struct span){(const uint8_t *)buf->data, (uint32_t)buf->size}; }

static void check_span(struct span a, struct span b)
{
    CHECK_EQ(a.size, b.size);
    CHECK(a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* What was read from JSON, written in binary, and read again. */
static void check_round_trip(const char *json)
{
    struct request a, b;
    struct buf bin = {0}, x = {0}, y = {0};
    CHECK_EQ(request_read_native(json, strlen(json), &a), CX_OK);
    request_write_bin(&a, &bin);
    CHECK_EQ(request_read_bin(of(&bin), &b), CX_OK);
    request_canonical(&a, &x);
    request_canonical(&b, &y);
    CHECK_STR(x.data, y.data);
    CHECK_EQ(a.stream, b.stream);
    CHECK_EQ(a.include_usage, b.include_usage);
    CHECK_EQ(a.has_seed, b.has_seed);
    CHECK_EQ(a.seed, b.seed);
    CHECK_EQ(a.has_temperature, b.has_temperature);
    CHECK_EQ(a.prompt_size, b.prompt_size);
    CHECK_EQ(a.corten.session, b.corten.session);
    CHECK_EQ(a.corten.redundancy, b.corten.redundancy);
    CHECK_EQ(a.corten.priority, b.corten.priority);
    CHECK_EQ(a.corten.timeout_ms, b.corten.timeout_ms);
    CHECK_EQ(a.corten.precommit_ms, b.corten.precommit_ms);
    check_span(a.corten.validation, b.corten.validation);
    check_span(a.corten.privacy, b.corten.privacy);
    check_span(a.corten.client_reference, b.corten.client_reference);
    request_close(&a);
    request_close(&b);
    buf_done(&bin);
    buf_done(&x);
    buf_done(&y);
}

TEST(request_bin, says_the_same_as_json)
{
    check_round_trip("{\"prompt\":\"In the beginning\"}");
    check_round_trip(
        "{\"prompt\":\"a\\n\\\"b\\\"\\u00e9\\ud83d\\ude00\",\"max_tokens\":7,\"temperature\":0.7,\"top_p\":0.25,"
        "\"top_k\":40,\"presence_penalty\":-1.5,\"frequency_penalty\":2,\"stop\":[\"x\",\"yz\"],\"seed\":-3,"
        "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"model\":\"m\",\"min_p\":0.05,"
        "\"session_id\":\"18446744073709551615\",\"redundancy\":3,\"validation\":\"majority\","
        "\"privacy\":\"public\",\"priority\":0,\"timeout\":1.5,\"precommit_timeout\":2,"
        "\"client_reference\":\"r\"}");
    check_round_trip("{\"prompt\":\"Hi\",\"prompt_type\":2,\"prompt_template\":\"Be brief\"}");
    check_round_trip("{\"prompt\":\"Hi\",\"prompt_type\":0,\"extra\":{\"a\":[1,{\"b\":null}]}}");
}

/* A good body, into which each test puts one thing that is wrong. */
static void good(struct request *r)
{
    *r = (struct request){.kind = REQUEST_COMPLETION,
                          .prompt = {(const uint8_t *)"Hi", 2},
                          .temperature = REQUEST_UNIT,
                          .top_p = REQUEST_UNIT,
                          .corten.priority = -1};
}

static void check_refuses(const struct buf *bin, const char *why)
{
    struct request r;
    char *copy = guard_copy(bin->data, bin->size);
    CHECK_EQ(request_read_bin((struct span){(const uint8_t *)copy, (uint32_t)bin->size}, &r), CX_INVALID);
    if (!strstr(cx_detail(), why))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say %s", cx_detail(), why);
    CHECK(!r.document && !r.message && !r.bytes);
    guard_free(copy, bin->size);
}

static void check_refuses_request(const struct request *r, const char *why)
{
    struct buf bin = {0};
    request_write_bin(r, &bin);
    check_refuses(&bin, why);
    buf_done(&bin);
}

TEST(request_bin, names_the_field_that_is_out_of_range)
{
    struct request r;
    struct request_message message = {{(const uint8_t *)"nobody", 6}, {(const uint8_t *)"x", 1}};
#define REFUSES(change, why)            \
    do {                                \
        good(&r);                       \
        change;                         \
        check_refuses_request(&r, why); \
    } while (0)
    REFUSES(r.temperature = 2 * REQUEST_UNIT + 1, "temperature");
    REFUSES(r.top_p = REQUEST_UNIT + 1, "top_p");
    REFUSES(r.presence_penalty = -2 * REQUEST_UNIT - 1, "presence_penalty");
    REFUSES(r.frequency_penalty = 2 * REQUEST_UNIT + 1, "frequency_penalty");
    REFUSES(r.corten.redundancy = 16, "redundancy");
    REFUSES(r.corten.priority = 10, "priority");
    REFUSES(r.kind = (enum request_kind)2, "kind");
    REFUSES((r.stop_count = 1, r.stop[0] = (struct span){0}), "stop");
    REFUSES((r.kind = REQUEST_CHAT), "messages");
    REFUSES((r.kind = REQUEST_CHAT, r.message = &message, r.message_count = 1), "messages");
    REFUSES(r.prompt = ((struct span){(const uint8_t *)"\xff", 1}), "prompt");
    REFUSES(r.prompt = ((struct span){(const uint8_t *)"a\0b", 3}), "prompt");
    REFUSES(r.model = ((struct span){(const uint8_t *)"\xc0\x80", 2}), "model");
#undef REFUSES
}

TEST(request_bin, refuses_what_is_cut_or_goes_on)
{
    struct request r;
    struct buf bin = {0};
    good(&r);
    r.stop_count = 1;
    r.stop[0] = (struct span){(const uint8_t *)"end", 3};
    request_write_bin(&r, &bin);
    size_t whole = bin.size;
    for (size_t size = 0; size < whole; size++) {
        bin.size = size;
        check_refuses(&bin, "");
    }
    bin.size = whole;
    buf_add(&bin, "", 1);
    check_refuses(&bin, "longer or shorter");
    buf_done(&bin);
}

TEST(request_bin, what_is_for_the_engine_is_an_object_that_can_be_read_again)
{
    static const char *const bad[] = {"[]", "{", "{\"a\":1e20}", "{\"a\":1,\"a\":2}"};
    struct request r;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct buf bin = {0};
        good(&r);
        request_write_bin(&r, &bin);
        /* Behind it are the size of `extra`, and the prompt with its size. */
        bin.size -= 4 + 4 + 2;
        uint8_t size[4] = {0, 0, 0, (uint8_t)strlen(bad[i])};
        buf_add(&bin, size, sizeof size);
        buf_text(&bin, bad[i]);
        buf_add(&bin, "\0\0\0\2Hi", 6);
        check_refuses(&bin, "extra");
        buf_done(&bin);
    }
}

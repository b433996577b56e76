/* Whatever bytes come: a decoder means the same however they are cut, never reads past them, and what it
 * accepts is framed as llhttp frames it. */
#include <llhttp.h>

#include "base/prng.h"
#include "lib/feed.h"
#include "lib/guard.h"
#include "lib/test.h"
#include "proto/json.h"
#include "proto/json_plain.h"

#ifndef ROUNDS  // more of them: make CPPFLAGS=-DROUNDS=100000
#define ROUNDS 1000
#endif
#define STEPS 3

/* A sample with a few bytes changed, put in, taken out or doubled. */
static struct buf mutate(struct prng *prng, const char *sample, size_t size)
{
    static const char spice[] = "\r\n\t :;,0\x00\x7f\xff\x80\x81\xe2\xed\xf4{}[]\"\\\xfe";
    struct buf out = {0};
    buf_add(&out, sample, size);
    for (uint64_t edits = prng_below(prng, 4); edits > 0 && out.size > 0; edits--) {
        size_t at = (size_t)prng_below(prng, out.size);
        char byte = spice[prng_below(prng, sizeof spice - 1)];
        if (prng_below(prng, 4) == 0)
            byte = (char)prng_next(prng);
        switch (prng_below(prng, 4)) {
        case 0: out.data[at] = byte; break;
        case 1: out.size = at; break;
        case 2: {
            struct buf tail = {0};
            buf_add(&tail, out.data + at, out.size - at);
            out.size = at;
            buf_add(&out, &byte, 1);
            buf_add(&out, tail.data, tail.size);
            buf_done(&tail);
            break;
        }
        case 3: {
            size_t from = (size_t)prng_below(prng, out.size);
            size_t take = (size_t)prng_below(prng, out.size - from);
            struct buf copy = {0};
            buf_add(&copy, out.data + from, take);
            buf_add(&out, copy.data, copy.size);
            buf_done(&copy);
            break;
        }
        }
    }
    return out;
}

static size_t some_step(struct prng *prng) { return 1 + (size_t)prng_below(prng, 20); }

static const char *const requests[] = {
    "GET /a?b=c HTTP/1.1\r\nHost: a\r\nX: y z\r\nConnection: keep-alive\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n \r\n0\r\n\r\n",
};

/* ---- llhttp, whole, as the witness ---- */

struct witness {
    unsigned requests;
    struct buf body;
};

static int on_body(llhttp_t *llhttp, const char *at, size_t size)
{
    struct witness *w = llhttp->data;
    buf_add(&w->body, at, size);
    return 0;
}

static int on_message(llhttp_t *llhttp)
{
    struct witness *w = llhttp->data;
    w->requests++;
    return 0;
}

TEST(proto_bytes, one_accepted_request_is_framed_as_llhttp_frames_it)
{
    struct prng prng = {1};
    unsigned accepted = 0;
    for (int round = 0; round < 5 * ROUNDS; round++) {
        const char *sample = requests[prng_below(&prng, 3)];
        struct buf raw = mutate(&prng, sample, strlen(sample));
        struct outcome ours = feed_http(raw.data, raw.size, raw.size ? raw.size : 1);
        if (ours.refusal == HTTP_REFUSE_NONE && ours.requests > 0) {
            llhttp_settings_t settings;
            llhttp_t llhttp;
            struct witness w = {0};
            llhttp_settings_init(&settings);
            settings.on_body = on_body;
            settings.on_message_complete = on_message;
            llhttp_init(&llhttp, HTTP_REQUEST, &settings);
            llhttp.data = &w;
            llhttp_errno_t err = llhttp_execute(&llhttp, raw.data, raw.size);
            /* llhttp stops for good behind a request that closes the connection or upgrades it. */
            bool stopped = err == HPE_CLOSED_CONNECTION || err == HPE_PAUSED_UPGRADE;
            /* Behind the last whole request llhttp may see sooner that the next is none. */
            if (!stopped && (w.requests != ours.requests || w.body.size != ours.bodies.size ||
                             memcmp(w.body.data ? w.body.data : "", ours.bodies.data, ours.bodies.size) != 0))
                test_fail(__FILE__, __LINE__, "round %d: ours %u, llhttp %u (%s):\n%.*s", round, ours.requests,
                          w.requests, llhttp_errno_name(err), (int)raw.size, raw.data);
            accepted += !stopped;
            buf_done(&w.body);
        }
        outcome_done(&ours);
        buf_done(&raw);
    }
    CHECK(accepted > ROUNDS / 20);
}

TEST(proto_bytes, http_means_the_same_however_it_is_cut)
{
    struct prng prng = {2};
    unsigned refused = 0;
    for (int round = 0; round < ROUNDS; round++) {
        const char *sample = requests[prng_below(&prng, 3)];
        struct buf raw = mutate(&prng, sample, strlen(sample));
        struct outcome whole = feed_http(raw.data, raw.size, raw.size ? raw.size : 1);
        for (int i = 0; i < STEPS; i++) {
            struct outcome cut = feed_http(raw.data, raw.size, some_step(&prng));
            CHECK_STR(http_refusal_name(cut.refusal), http_refusal_name(whole.refusal));
            CHECK_EQ(cut.requests, whole.requests);
            CHECK_EQ(cut.log.size, whole.log.size);
            CHECK_MEM(cut.log.data, whole.log.data, whole.log.size);
            outcome_done(&cut);
        }
        refused += whole.refusal != HTTP_REFUSE_NONE;
        outcome_done(&whole);
        buf_done(&raw);
    }
    CHECK(refused > ROUNDS / 10 && refused < ROUNDS);
}

TEST(proto_bytes, sse_means_the_same_however_it_is_cut)
{
    static const char sample[] =
        "\xef\xbb\xbfid: 1\nevent: x\ndata: a\r\ndata:\xe2\x82\xac\r\r: c\n\ndata: {\"b\":1}\n\n";
    struct prng prng = {3};
    for (int round = 0; round < ROUNDS; round++) {
        struct buf raw = mutate(&prng, sample, sizeof sample - 1);
        size_t cap = 10 + (size_t)prng_below(&prng, 60);
        struct buf whole = feed_sse(raw.data, raw.size, raw.size ? raw.size : 1, cap);
        for (int i = 0; i < STEPS; i++) {
            struct buf cut = feed_sse(raw.data, raw.size, some_step(&prng), cap);
            CHECK_EQ(cut.size, whole.size);
            CHECK_MEM(cut.data, whole.data, whole.size);
            buf_done(&cut);
        }
        buf_done(&whole);
        buf_done(&raw);
    }
}

static struct buf frames(struct prng *prng, enum ws_role role)
{
    static const char text[] = "abc\xe2\x82\xac\xf0\x9f\x98\x80";
    struct buf out = {0};
    const uint8_t *mask = role == WS_SERVER ? (const uint8_t *)"\x01\x80\x00\x7f" : NULL;
    for (uint64_t n = 1 + prng_below(prng, 3); n > 0; n--) {
        size_t cut = (size_t)prng_below(prng, sizeof text);
        ws_put(&out, WS_TEXT, false, text, cut, mask);
        ws_put(&out, WS_PING, true, "p", prng_below(prng, 2), mask);
        ws_put(&out, WS_CONTINUATION, true, text + cut, sizeof text - 1 - cut, mask);
    }
    ws_put_close(&out, 1000, "bye", mask);
    return out;
}

TEST(proto_bytes, ws_means_the_same_however_it_is_cut)
{
    struct prng prng = {4};
    for (int round = 0; round < ROUNDS; round++) {
        enum ws_role role = round % 2 ? WS_SERVER : WS_CLIENT;
        struct buf good = frames(&prng, role);
        struct buf raw = mutate(&prng, good.data, good.size);
        struct buf whole = feed_ws(role, raw.data, raw.size, raw.size ? raw.size : 1, 100);
        for (int i = 0; i < STEPS; i++) {
            struct buf cut = feed_ws(role, raw.data, raw.size, some_step(&prng), 100);
            CHECK_EQ(cut.size, whole.size);
            CHECK_MEM(cut.data, whole.data, whole.size);
            buf_done(&cut);
        }
        buf_done(&good);
        buf_done(&whole);
        buf_done(&raw);
    }
}

TEST(proto_bytes, json_survives_whatever_comes_and_its_one_form_is_stable)
{
    static const char sample[] =
        "{\"a\":[1,-2.5e3,0.7,\"x\\n\\u20ac\"],\"b\":{\"c\":null,\"d\":true},\"\":9007199254740993}";
    struct prng prng = {5};
    unsigned good = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct buf raw = mutate(&prng, sample, sizeof sample - 1);
        char *copy = guard_copy(raw.data, raw.size);
        json_t *once = NULL, *twice = NULL;
        if (json_parse(copy, raw.size, 1000, &once) == CX_OK) {
            struct buf a = {0}, b = {0};
            json_canonical(&a, once);
            CHECK_EQ(json_parse(a.data, a.size, 2000, &twice), CX_OK);
            json_canonical(&b, twice);
            CHECK_STR(a.data, b.data);
            good++;
            json_decref(once);
            json_decref(twice);
            buf_done(&a);
            buf_done(&b);
        }
        guard_free(copy, raw.size);
        buf_done(&raw);
    }
    CHECK(good > ROUNDS / 20);
}

/* What is read at once, jansson reads as the same. */
TEST(proto_bytes, plain_json_is_what_jansson_reads)
{
    static const char sample[] =
        "{\"type\":\"state\",\"oracles\":[{\"id\":12,\"at\":-345678901234567890,\"x\":[]},{}],"
        " \"text\" : \"a\\n\\\"b\\\\\xe2\x82\xac\\/ and so on\", \"c\":[true,false,null,0,\"\"]}";
    struct prng prng = {6};
    unsigned plain = 0, left = 0;
    for (int round = 0; round < 10 * ROUNDS; round++) {
        struct buf raw = mutate(&prng, sample, sizeof sample - 1);
        char *copy = guard_copy(raw.data, raw.size);
        json_t *wanted = json_loadb(copy, raw.size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
        json_t *got = json_plain_read(copy, raw.size);
        if (got && !json_equal(got, wanted))
            test_fail(__FILE__, __LINE__, "not as jansson reads it: %s", raw.data);
        plain += got != NULL;
        left += wanted && !got;
        json_decref(got);
        json_decref(wanted);
        guard_free(copy, raw.size);
        buf_done(&raw);
    }
    CHECK(plain > ROUNDS);
    CHECK(left < plain / 10);
}

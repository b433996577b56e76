/* JSON: documents of any shape, the bodies of the API, receipts. */
#include "crypto/key.h"
#include "fuzz/fuzz.h"
#include "proto/client_frame.h"
#include "proto/json.h"
#include "proto/receipt.h"
#include "proto/request.h"

#define SIZE_MAX_HERE (1 << 16)

static bool same(const struct buf *a, const struct buf *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* ---- documents ---- */

static void read_every_way(const struct json_at *at, const char *key)
{
    struct json_at inner;
    const char *text = NULL;
    size_t size = 0;
    bool flag;
    int64_t i;
    uint64_t u;
    uint8_t bytes[4];
    (void)json_need_object(at, key, &inner);
    (void)json_need_array(at, key, &inner);
    if (json_need_text(at, key, &text, &size) == CX_OK)
        FUZZ_CHECK(strlen(text) == size);
    (void)json_need_bool(at, key, &flag);
    if (json_need_i64(at, key, -5, 1000, &i) == CX_OK)
        FUZZ_CHECK(i >= -5 && i <= 1000);
    if (json_need_u64(at, key, 1, UINT64_MAX, &u) == CX_OK)
        FUZZ_CHECK(u >= 1);
    for (unsigned decimals = 0; decimals < 7; decimals += 3)
        if (key && json_may_fixed(at, key, decimals, -1000, 1000000, &i) == CX_OK && json_has(at, key))
            FUZZ_CHECK(i >= -1000 && i <= 1000000);
    (void)json_need_hex(at, key, bytes, sizeof bytes);
    FUZZ_CHECK(strlen(json_failed_path()) <= JSON_PATH_SIZE_MAX);
}

static void walk(const struct json_at *at, unsigned depth)
{
    FUZZ_CHECK(depth <= JSON_DEPTH_MAX);
    read_every_way(at, NULL);
    if (json_is_object(at->value)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)at->value, key, value) {
            struct json_at inner;
            read_every_way(at, key);
            if (json_need_object(at, key, &inner) == CX_OK || json_need_array(at, key, &inner) == CX_OK)
                walk(&inner, depth + 1);
        }
        static const char *const known[] = {"a", "b"};
        (void)json_unknown_key(at, known, 2);
    } else if (json_is_array(at->value)) {
        for (size_t i = 0; i < json_at_count(at); i++) {
            struct json_at item = json_at_item(at, i);
            walk(&item, depth + 1);
        }
    }
}

/* RFC 8785 writes these as whole numbers of more than 64 bits, which nobody here reads. */
static bool has_wide_number(const json_t *value)
{
    const char *key;
    json_t *inner, *at = (json_t *)(uintptr_t)value;
    size_t i;
    double real = json_real_value(value);
    bool wide = real >= 0x1p63 || real <= -0x1p63;
    json_object_foreach(at, key, inner)
        wide = wide || has_wide_number(inner);
    json_array_foreach(at, i, inner)
        wide = wide || has_wide_number(inner);
    return wide;
}

FUZZ(json, "a document is read in every way without harm; its one hashed form and its written form are stable")
{
    json_t *once = NULL, *twice = NULL, *written = NULL;
    if (json_parse((char *)data, size, SIZE_MAX_HERE, &once))
        return;
    struct json_at root = json_at_root(once);
    struct buf a = {0}, b = {0}, c = {0}, d = {0};
    walk(&root, 1);
    json_canonical(&a, once);
    bool readable = json_parse(a.data, a.size, 8 * SIZE_MAX_HERE, &twice) == CX_OK;
    FUZZ_CHECK(readable || has_wide_number(once));
    json_canonical(&b, readable ? twice : once);
    FUZZ_CHECK(same(&a, &b));
    struct json_out out;
    json_out_init(&out, &c);
    json_out_value(&out, NULL, once);
    FUZZ_CHECK(json_parse(c.data, c.size, 16 * SIZE_MAX_HERE, &written) == CX_OK);
    json_canonical(&d, written);
    FUZZ_CHECK(same(&a, &d));
    json_decref(once);
    json_decref(twice);
    json_decref(written);
    buf_done(&a);
    buf_done(&b);
    buf_done(&c);
    buf_done(&d);
}

FUZZ_SEEDS(json)
{
    fuzz_seed_text("all", "{\"a\":[1,-2.5e3,0.7,\"x\\n\\u20ac\"],\"b\":{\"c\":null,\"d\":true},\"\":9007199254740993}");
    fuzz_seed_text("numbers", "[0,-0,1e-7,123456789012345678,1.0E+2,\"18446744073709551615\",\"0xdeadbeef\",0.1]");
    fuzz_seed_text("controls", "[\"\\u001f\\u0000\", \"\\u001f\"]");
    fuzz_seed_text("control", "\"\\u001f\"");
    fuzz_seed_text("wide", "[1e20,-1e19]");
    fuzz_seed_text("texts", "[\"\\ud83d\\ude00\",\"\\u007f\\\\/\\b\",{\"\\u0001\":\"\"}]");
}

/* ---- requests ---- */

typedef enum cx_err read_request(const char *body, size_t size, struct request *ret_request);

static void check_canonical(const struct request *request)
{
    struct buf a = {0}, b = {0};
    struct request again;
    request_canonical(request, &a);
    enum cx_err err = request_parse(a.data, a.size, &again);
    FUZZ_CHECK(err == CX_OK);
    request_canonical(&again, &b);
    FUZZ_CHECK(same(&a, &b));
    FUZZ_CHECK(again.kind == request->kind && again.message_count == request->message_count &&
               again.prompt_size == request->prompt_size && again.stop_count == request->stop_count &&
               again.top_k == request->top_k && again.top_p == request->top_p &&
               again.temperature == request->temperature);
    request_close(&again);
    buf_done(&a);
    buf_done(&b);
}

static void check_request(read_request *read, const uint8_t *data, size_t size)
{
    struct request request;
    enum cx_err err = read((const char *)data, size, &request);
    if (err) {
        FUZZ_CHECK(err == CX_INVALID || err == CX_UNSUPPORTED || err == CX_TOO_LARGE);
        return;
    }
    FUZZ_CHECK(request.message_count <= REQUEST_MESSAGES_MAX && request.stop_count <= REQUEST_STOP_MAX);
    for (uint32_t i = 0; i < request.stop_count; i++)
        FUZZ_CHECK(request.stop[i].size > 0 && request.stop[i].size <= REQUEST_STOP_SIZE_MAX);
    check_canonical(&request);
    request_close(&request);
}

FUZZ(request_chat, "a chat body that is accepted has one canonical form, which is read as the same request")
{
    check_request(request_read_chat, data, size);
}

FUZZ(request_completion, "a completions body that is accepted has one canonical form, read as the same request")
{
    check_request(request_read_completion, data, size);
}

FUZZ(request_native, "a native body that is accepted has one canonical form, which is read as the same request")
{
    check_request(request_read_native, data, size);
}

FUZZ(request_bin, "a body in binary that is accepted is the same request in binary again, and has one canonical form")
{
    struct request a, b;
    struct buf bin = {0}, again = {0};
    enum cx_err err = request_read_bin((struct span){data, (uint32_t)size}, &a);
    FUZZ_CHECK(err == CX_OK || err == CX_INVALID);
    if (err)
        return;
    request_write_bin(&a, &bin);
    FUZZ_CHECK(request_read_bin((struct span){(const uint8_t *)bin.data, (uint32_t)bin.size}, &b) == CX_OK);
    request_write_bin(&b, &again);
    FUZZ_CHECK(same(&bin, &again));
    if (!a.document)  // else `extra` may have been written in another way
        FUZZ_CHECK(bin.size == size && memcmp(bin.data, data, size) == 0);
    check_canonical(&a);
    request_close(&a);
    request_close(&b);
    buf_done(&bin);
    buf_done(&again);
}

FUZZ(client_frame, "a frame of a client, in either form, is read within its bytes, or refused by name")
{
    struct client_frame f;
    enum cx_err err = client_decode_bin(data, size, &f);
    FUZZ_CHECK(err == CX_OK || (err == CX_INVALID && cx_detail()[0]));
    if (!err) {
        FUZZ_CHECK(f.type == CLIENT_KEY ? f.key[0] != 0 : f.ref != 0);
        FUZZ_CHECK(f.fields.size == 0 || (f.fields.data >= data && f.fields.data + f.fields.size == data + size));
    }
    client_frame_done(&f);
    err = client_decode((const char *)data, size, &f);
    FUZZ_CHECK(err == CX_OK || (err == CX_INVALID && cx_detail()[0]));
    client_frame_done(&f);
}

FUZZ(request_canonical, "canonical bytes from elsewhere are refused, or are read and written the same for ever")
{
    check_request(request_parse, data, size);
}

FUZZ_SEEDS(request_chat)
{
    fuzz_seed_text("plain", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}");
    fuzz_seed_text(
        "all", "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]},"
               "{\"role\":\"user\",\"content\":\"b\"}],\"max_tokens\":9,\"temperature\":0.7,\"top_p\":0.9,"
               "\"presence_penalty\":-1.5,\"frequency_penalty\":2,\"stop\":[\"x\",\"y\"],\"seed\":-3,\"n\":1,"
               "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"user\":\"u\",\"min_p\":0.05,"
               "\"corten\":{\"session\":\"7\",\"redundancy\":3,\"validation\":\"majority\",\"priority\":3,"
               "\"timeout\":1.5,\"client_reference\":\"r\"}}");
    fuzz_seed_text("wide", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"b\"}],\"x\":[1e20]}");
    fuzz_seed_text("tools", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"b\"}],\"tools\":[{}]}");
}

FUZZ_SEEDS(request_completion)
{
    fuzz_seed_text("plain",
                   "{\"model\":\"m\",\"prompt\":\"In the\",\"max_tokens\":5,\"stop\":\"x\",\"temperature\":0}");
    fuzz_seed_text(
        "list", "{\"model\":\"m\",\"prompt\":[\"In\"],\"best_of\":1,\"echo\":false,\"suffix\":null,\"logprobs\":null}");
}

FUZZ_SEEDS(request_native)
{
    fuzz_seed_text("plain",
                   "{\"session_id\":5,\"prompt\":\"In\",\"prompt_type\":2,\"prompt_template\":\"t\",\"stream\":true,"
                   "\"timeout\":30,\"precommit_timeout\":5,\"client_reference\":\"r\",\"priority\":1}");
    fuzz_seed_text("raw", "{\"prompt\":\"In\",\"redundancy\":1,\"validation\":\"hash\",\"privacy\":\"public\"}");
}

FUZZ_SEEDS(request_bin)
{
    static const char *const body[] = {
        "{\"prompt\":\"In\",\"prompt_type\":2,\"prompt_template\":\"t\",\"stream\":true,\"stop\":[\"x\"],\"min_p\":1}",
        "{\"session_id\":5,\"prompt\":\"In\",\"timeout\":30,\"client_reference\":\"r\",\"priority\":1,\"seed\":2}"};
    for (int i = 0; i < 2; i++) {
        struct request request;
        struct buf out = {0};
        if (request_read_native(body[i], strlen(body[i]), &request))
            fuzz_fail(__FILE__, __LINE__, body[i]);
        request_write_bin(&request, &out);
        fuzz_seed(i ? "plain" : "chat", out.data, out.size);
        request_close(&request);
        buf_done(&out);
    }
}

FUZZ_SEEDS(client_frame)
{
    static const uint8_t watch[] = {
        CLIENT_WATCH, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 1, 0};
    fuzz_seed("watch", watch, sizeof watch);
    fuzz_seed("leave", "\4\0\0\0\0\0\0\0\1", 9);
    fuzz_seed("submit", "\1\0\0\0\0\0\0\0\1body", 13);
    fuzz_seed("key", "\0ck_1", 5);
    fuzz_seed_text("json", "{\"type\":\"submit\",\"ref\":1,\"body\":{\"prompt\":\"a\"}}");
    fuzz_seed_text("json_watch", "{\"type\":\"watch\",\"ref\":\"2\",\"task_id\":7,\"from\":3}");
}

FUZZ_SEEDS(request_canonical)
{
    static const char *const body[] = {
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"seed\":3}",
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stop\":"
        "[\"x\"],\"top_k\":5,\"top_p\":0.5,\"max_tokens\":7,\"min_p\":1}"};
    for (int i = 0; i < 2; i++) {
        struct request request;
        struct buf out = {0};
        if (request_read_chat(body[i], strlen(body[i]), &request))
            fuzz_fail(__FILE__, __LINE__, body[i]);
        request_canonical(&request, &out);
        fuzz_seed(i ? "sampled" : "chat", out.data, out.size);
        request_close(&request);
        buf_done(&out);
    }
}

/* ---- receipts ---- */

FUZZ(receipt, "a receipt that is read is written and read the same; checking it ends in yes or a reason")
{
    static struct receipt receipt, again;
    struct buf a = {0}, b = {0}, report = {0};
    if (receipt_read((const char *)data, size, &receipt))
        return;
    receipt_write(&receipt, &a);
    FUZZ_CHECK(receipt_read(a.data, a.size, &again) == CX_OK);
    receipt_write(&again, &b);
    FUZZ_CHECK(same(&a, &b));
    (void)receipt_verify(&receipt, NULL, 0, &report);
    (void)receipt_verify(&receipt, "text", 4, NULL);
    buf_done(&a);
    buf_done(&b);
    buf_done(&report);
}

FUZZ_SEEDS(receipt)
{
    static struct receipt receipt = {.network_id = 7,
                                     .session = 1,
                                     .task = 2,
                                     .rules_version = 1,
                                     .payer.b = {1},
                                     .router.b = {2},
                                     .redundancy = 1,
                                     .quorum = 1,
                                     .answers = 1,
                                     .verdicts = 1,
                                     .submit_seq = 5,
                                     .end_seq = 9,
                                     .charged = {100},
                                     .answer = {{.lease = 5,
                                                 .node.b = {3},
                                                 .operator.b = {4},
                                                 .is_answer = true,
                                                 .accepted = true,
                                                 .has_signature = true,
                                                 .record_size = RECORD_EXACT_SIZE,
                                                 .price_in = 1,
                                                 .price_out = 2,
                                                 .paid = {90}}},
                                     .verdict = {{.audit = 1, .lease = 5, .oracle.b = {5}, .finding = FINDING_PASS}}};
    struct record record = {.engine = ENGINE_ECHO, .tokens_in = 1, .tokens_out = 2};
    receipt.answer[0].record_size = record_encode(&record, receipt.answer[0].record, RECORD_SIZE_MAX);
    const struct precommit_terms terms = {7, 1, 2, 5, receipt.answer[0].node, {{0}}};
    precommit_hash(&terms, (struct span){receipt.answer[0].record, receipt.answer[0].record_size},
                   &receipt.answer[0].precommit);
    struct buf out = {0};
    receipt_write(&receipt, &out);
    fuzz_seed("signed", out.data, out.size);
    buf_reset(&out);
    receipt.answer[0].has_signature = false;
    receipt.verdicts = 0;
    receipt_write(&receipt, &out);
    fuzz_seed("channel", out.data, out.size);
    buf_done(&out);
}

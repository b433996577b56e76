/* Requests in their three dialects and their one canonical form. */
#include "proto/request.h"

#include "lib/test.h"

static struct buf canonical_of(const char *body, enum cx_err (*read)(const char *, size_t, struct request *))
{
    struct request r;
    struct buf bytes = {0};
    if (read(body, strlen(body), &r))
        test_fail(__FILE__, __LINE__, "%s: %s", json_failed_path(), cx_detail());
    request_canonical(&r, &bytes);
    request_close(&r);
    return bytes;
}

TEST(request, has_one_canonical_form_whatever_the_order_of_its_fields)
{
    struct buf a =
        canonical_of("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"temperature\":0.7}",
                     request_read_chat);
    struct buf b =
        canonical_of("{\"temperature\": 7e-1, \"messages\": [{\"content\": [{\"type\":\"text\",\"text\":\"h\"},"
                     "{\"type\":\"text\",\"text\":\"i\"}], \"role\":\"user\"}], \"model\":\"m\", \"user\":\"x\"}",
                     request_read_chat);
    CHECK_STR(a.data, b.data);
    struct request again;
    CHECK_EQ(request_parse(a.data, a.size, &again), CX_OK);
    CHECK_EQ(again.temperature, 7000);
    CHECK_EQ(again.message_count, 1);
    struct buf c = {0};
    request_canonical(&again, &c);
    CHECK_STR(a.data, c.data);
    request_close(&again);
    buf_done(&a);
    buf_done(&b);
    buf_done(&c);
}

TEST(request, passes_unknown_fields_on_and_keeps_its_own)
{
    struct request r;
    static const char body[] =
        "{\"model\":\"m\",\"prompt\":\"p\",\"stop\":\"\\n\",\"mirostat\":2,\"stream\":true,\"seed\":-1,"
        "\"stream_options\":{\"include_usage\":true},"
        "\"corten\":{\"redundancy\":3,\"validation\":\"majority\",\"client_reference\":\"r1\"}}";
    CHECK_EQ(request_read_completion(body, sizeof body - 1, &r), CX_OK);
    CHECK_EQ(r.kind, REQUEST_COMPLETION);
    CHECK_EQ(r.stop_count, 1);
    CHECK(r.stream && r.include_usage && r.has_seed);
    CHECK_EQ(r.seed, UINT64_MAX);
    CHECK_EQ(r.corten.redundancy, 3);
    CHECK(memcmp(r.corten.validation.data, "majority", r.corten.validation.size) == 0);
    CHECK_EQ(json_integer_value(json_object_get(r.extra, "mirostat")), 2);
    CHECK_EQ(json_object_size(r.extra), 1);
    request_close(&r);
}

TEST(request, reads_the_native_body_with_seconds_and_prompt_types)
{
    struct request r;
    static const char body[] =
        "{\"session_id\":\"4294967297\",\"prompt\":\"p\",\"prompt_type\":2,\"prompt_template\":\"be kind\","
        "\"timeout\":1.5,\"precommit_timeout\":90,\"priority\":3}";
    CHECK_EQ(request_read_native(body, sizeof body - 1, &r), CX_OK);
    CHECK_EQ(r.corten.session, 4294967297);
    CHECK_EQ(r.corten.timeout_ms, 1500);
    CHECK_EQ(r.corten.precommit_ms, 90000);
    CHECK_EQ(r.corten.priority, 3);
    CHECK_EQ(r.kind, REQUEST_CHAT);
    CHECK_EQ(r.message_count, 2);
    request_close(&r);
}

static void refused(const char *body, enum cx_err err, const char *path)
{
    struct request r;
    enum cx_err got = request_read_chat(body, strlen(body), &r);
    if (got != err || strcmp(json_failed_path(), path) != 0)
        test_fail(__FILE__, __LINE__, "%s: %s at \"%s\"", body, cx_err_name(got), json_failed_path());
}

TEST(request, is_refused_by_the_name_of_what_is_wrong)
{
#define M "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"
    refused("{\"messages\":[]}", CX_INVALID, "model");
    refused("{\"model\":\"m\"}", CX_INVALID, "messages");
    refused("{\"model\":\"m\",\"messages\":[]}", CX_INVALID, "messages");
    refused("{\"model\":\"m\",\"messages\":[{\"role\":\"king\",\"content\":\"x\"}]}", CX_INVALID, "messages[0].role");
    refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", CX_INVALID, "messages[0].content");
    refused("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
            CX_UNSUPPORTED, "messages[0].content[0].type");
    refused("{" M ",\"temperature\":3}", CX_INVALID, "temperature");
    refused("{" M ",\"max_tokens\":0}", CX_INVALID, "max_tokens");
    refused("{" M ",\"n\":2}", CX_UNSUPPORTED, "n");
    refused("{" M ",\"tools\":[{}]}", CX_UNSUPPORTED, "tools");
    refused("{" M ",\"logprobs\":true}", CX_UNSUPPORTED, "logprobs");
    refused("{" M ",\"response_format\":{\"type\":\"json_object\"}}", CX_UNSUPPORTED, "response_format.type");
    refused("{" M ",\"corten\":{\"redundancy\":16}}", CX_INVALID, "corten.redundancy");
    refused("{" M ",\"stop\":[\"\"]}", CX_INVALID, "stop[0]");
    refused("[1]", CX_INVALID, "");
}

/* What a client is told at once would else be told by every miner that cannot read the task. */
TEST(request, refuses_what_its_canonical_form_could_not_carry)
{
    static const char *const bad[] = {"1e19", "-9.3e18", "{\"a\":[0.456789E+21]}", "9223372036854775808.0"};
    static const char *const good[] = {"1e21", "1e18", "-9223372036854775808", "123456789.5", "1e-300"};
    struct request request;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char body[200];
        int size = snprintf(body, sizeof body, "{\"model\":\"m\",\"prompt\":\"p\",\"wide\":%s}", bad[i]);
        CHECK_EQ(request_read_completion(body, (size_t)size, &request), CX_INVALID);
        CHECK_STR(json_failed_path(), "wide");
    }
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        char body[200];
        int size = snprintf(body, sizeof body, "{\"model\":\"m\",\"prompt\":\"p\",\"wide\":%s}", good[i]);
        CHECK_EQ(request_read_completion(body, (size_t)size, &request), CX_OK);
        request_close(&request);
    }
}

TEST(request, what_is_passed_on_may_be_nested_as_deeply_as_the_canonical_form_can_be)
{
    for (unsigned levels = JSON_DEPTH_MAX - 3; levels < JSON_DEPTH_MAX; levels++) {
        struct buf body = {0}, canonical = {0};
        struct request request, again;
        buf_text(&body, "{\"model\":\"m\",\"prompt\":\"p\",\"deep\":");
        for (unsigned i = 0; i < levels; i++)
            buf_text(&body, "[");
        for (unsigned i = 0; i < levels; i++)
            buf_text(&body, "]");
        buf_text(&body, "}");
        enum cx_err err = request_read_completion(body.data, body.size, &request);
        CHECK_EQ(err, levels <= JSON_DEPTH_MAX - 2 ? CX_OK : CX_INVALID);
        if (err == CX_OK) {
            request_canonical(&request, &canonical);
            CHECK_EQ(request_parse(canonical.data, canonical.size, &again), CX_OK);
            request_close(&again);
            request_close(&request);
        }
        buf_done(&body);
        buf_done(&canonical);
    }
}

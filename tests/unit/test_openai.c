/* The openai engine: what it sends, what it takes for a whole answer, and every way a server can fail it. */
#include "runtime/openai_body.h"

#include "lib/raw_server.h"
#include "lib/runtime_job.h"
#include "lib/test.h"

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

static void check_has(const char *text, const char *words)
{
    if (!text || !strstr(text, words))
        test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", words, text ? text : "");
}

/* ---- the request ---- */

TEST(openai, requests_carry_what_was_asked_and_pass_on_what_is_unknown)
{
    struct runtime_message message;
    struct span stop = span_of("END");
    struct runtime_request r = job_chat(&message, "say \"hi\"", 20);
    struct buf out = {0};
    r.temperature = 7000;
    r.top_p = 9000;
    r.seed = 0x1234567890abcdefu;
    r.stop = &stop;
    r.stop_count = 1;
    r.body = span_of(
        "{\"model\":\"x\",\"temperature\":2,\"logit_bias\":{\"5\":-1},\"corten\":{\"redundancy\":3},\"stream\":false}");
    CHECK_EQ(openai_put_request(&out, &r, "m"), CX_OK);
    CHECK_STR(out.data,
              "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"say \\\"hi\\\"\"}],\"max_tokens\":20,"
              "\"temperature\":0.7,\"top_p\":0.9,\"seed\":279694831,\"stop\":[\"END\"],\"stream\":true,"
              "\"stream_options\":{\"include_usage\":true},\"logit_bias\":{\"5\":-1}}");
    buf_reset(&out);
    r = job_prompt("abc", 5);
    r.top_k = 40;
    r.presence_penalty = -5000;
    r.frequency_penalty = 2500;
    CHECK_EQ(openai_put_request(&out, &r, "m"), CX_OK);
    CHECK_STR(out.data, "{\"model\":\"m\",\"prompt\":\"abc\",\"max_tokens\":5,\"temperature\":0,\"top_k\":40,"
                        "\"presence_penalty\":-0.5,\"frequency_penalty\":0.25,\"seed\":0,\"stream\":true,"
                        "\"stream_options\":{\"include_usage\":true}}");
    buf_reset(&out);
    r.body = span_of("[1]");
    CHECK_EQ(openai_put_request(&out, &r, "m"), CX_INVALID);
    buf_done(&out);
}

/* ---- the stream, without a server ---- */

static void gather(void *ctx, const char *text, size_t size) { buf_add(ctx, text, size); }

/* The error of a stream, or "" where it is whole; in pieces of every size, which must all agree. */
static void check_stream(enum runtime_kind kind, const char *bytes, const char *error, const char *text)
{
    size_t all = strlen(bytes);
    for (size_t piece = 1; piece <= all; piece = piece < 8 ? piece + 1 : piece * 2) {
        struct openai_stream s;
        struct buf out = {0};
        bool ok = true;
        openai_stream_init(&s, kind);
        for (size_t at = 0; at < all && ok; at += piece)
            ok = openai_stream_add(&s, bytes + at, all - at < piece ? all - at : piece, gather, &out);
        CHECK_EQ(openai_stream_end(&s), error[0] == '\0');
        if (error[0])
            check_has(s.error.data, error);
        CHECK_STR(out.data ? out.data : "", text);
        buf_done(&out);
        openai_stream_done(&s);
    }
}

#define CHUNK(text) \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}]}\n\n"
#define FINISH(why) "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"" why "\"}]}\n\n"
#define USAGE       "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
#define DONE        "data: [DONE]\n\n"

TEST(openai, whole_streams_are_whole)
{
    check_stream(RUNTIME_CHAT, CHUNK("Hel") ": ping\n\n" CHUNK("lo \\u00fc") FINISH("stop") USAGE DONE, "",
                 "Hello \xc3\xbc");
    check_stream(RUNTIME_CHAT,
                 "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n" CHUNK("a")
                     FINISH("length") DONE,
                 "", "a");
    check_stream(RUNTIME_COMPLETION,
                 "data: {\"choices\":[{\"text\":\"ab\"}]}\n\n"
                 "data: {\"choices\":[{\"text\":\"c\",\"finish_reason\":\"stop\"}]}\n\n" DONE,
                 "", "abc");
}

TEST(openai, anything_else_is_an_error_that_names_it)
{
    check_stream(RUNTIME_CHAT, CHUNK("a") FINISH("stop") USAGE, "without [DONE]", "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") DONE, "without a finish_reason", "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") "data: {\"choices\":[{\"delta\":{\"con", "inside an event", "a");
    check_stream(RUNTIME_CHAT, "", "without a finish_reason", "");
    check_stream(RUNTIME_CHAT, CHUNK("a") "data: {\"choices\":[{\"delta\"\n\n" FINISH("stop") DONE, "no JSON", "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") "data: 5\n\n" FINISH("stop") DONE, "no JSON", "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") "data: {\"error\":{\"message\":\"out of memory\"}}\n\n", "out of memory",
                 "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") "data: {\"hello\":1}\n\n", "without choices", "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") FINISH("content_filter") DONE, "content_filter", "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") FINISH("stop") CHUNK("b") DONE, "after its finish_reason", "a");
    check_stream(RUNTIME_CHAT, CHUNK("a") FINISH("stop") DONE CHUNK("b"), "after [DONE]", "a");
    check_stream(RUNTIME_CHAT, "data: {\"choices\":[{\"delta\":{\"content\":5}}]}\n\n", "content that is no text", "");
    check_stream(RUNTIME_CHAT, "data: {\"choices\":[{},{}]}\n\n", "several choices", "");
    check_stream(RUNTIME_CHAT, FINISH("stop") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1}}\n\n",
                 "prompt_tokens", "");
    check_stream(RUNTIME_CHAT, CHUNK("\xff") FINISH("stop") DONE, "bad event stream", "");
}

/* ---- models and error answers ---- */

static void check_model(const char *json, const char *wanted, enum cx_err err, const char *id, uint32_t context)
{
    struct buf got = {0};
    uint32_t got_context = 1;
    CHECK_EQ(openai_find_model(json, strlen(json), wanted, &got, &got_context), err);
    CHECK_STR(got.data ? got.data : "", id);
    CHECK_EQ(got_context, context);
    buf_done(&got);
}

TEST(openai, models_are_found_under_the_names_servers_give_them)
{
    check_model("{\"data\":[{\"id\":\"a\"},{\"id\":\"b\",\"max_model_len\":2048}]}", "b", CX_OK, "b", 2048);
    check_model("{\"data\":[{\"id\":\"/m/corten-demo.gguf\",\"meta\":{\"n_ctx\":512}}]}", "corten-demo", CX_OK,
                "/m/corten-demo.gguf", 512);
    check_model("{\"data\":[{\"id\":\"llama3:latest\"}]}", "llama3", CX_OK, "llama3:latest", 1);
    check_model("{\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}", NULL, CX_OK, "a", 1);
    check_model("{\"data\":[{\"id\":\"llama3:latest\"}]}", "llama", CX_NOT_FOUND, "", 1);
    check_has(cx_detail(), "llama3:latest");
    check_model("{\"data\":[]}", NULL, CX_NOT_FOUND, "", 1);
    check_model("{\"models\":[]}", NULL, CX_INVALID, "", 1);
    check_model("<html>", NULL, CX_INVALID, "", 1);
}

static void check_error(unsigned status, const char *body, enum runtime_fault fault, const char *words)
{
    struct buf text = {0};
    CHECK_EQ(openai_read_error(status, body, strlen(body), &text), fault);
    check_has(text.data, words);
    buf_done(&text);
}

TEST(openai, error_answers_say_whose_fault_it_is)
{
    check_error(400, "{\"error\":{\"message\":\"bad top_p\",\"type\":\"invalid_request_error\"}}",
                RUNTIME_FAULT_REQUEST, "bad top_p");
    check_error(400, "{\"error\":{\"message\":\"too long\",\"code\":\"context_length_exceeded\"}}",
                RUNTIME_FAULT_CONTEXT, "too long");
    check_error(400, "{\"error\":{\"message\":\"too long\",\"type\":\"exceed_context_size_error\"}}",
                RUNTIME_FAULT_CONTEXT, "too long");
    check_error(400, "{\"message\":\"This model's maximum context length is 8\"}", RUNTIME_FAULT_CONTEXT,
                "maximum context");
    check_error(500, "{\"error\":\"model crashed\"}", RUNTIME_FAULT_ENGINE, "model crashed");
    check_error(502, "<html>\nbad gateway", RUNTIME_FAULT_ENGINE, "status 502: <html> bad gateway");
    check_error(401, "", RUNTIME_FAULT_ENGINE, "status 401");
    check_error(500, "a\x1b[2J\x7f\x8d\xe2\x82\xac", RUNTIME_FAULT_ENGINE, "status 500: a [2J ?\xe2\x82\xac");
}

/* ---- against a server ---- */

#define MODELS                                                          \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: " \
    "close\r\n\r\n{\"data\":[{\"id\":\"m\",\"max_model_len\":256}]}"
#define STREAM  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define CHUNKED "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHAT    "/v1/chat/completions"

struct fixture {
    struct raw_server *server;
    struct net_loop *loop;
    struct runtime *rt;
};

static struct fixture open_fixture(const struct raw_answer *answers, uint32_t count,
                                   const struct runtime_options *options)
{
    struct fixture f;
    struct buf spec = {0};
    f.server = raw_server_open(answers, count);
    buf_printf(&spec, "openai=http://127.0.0.1:%u/v1/", raw_server_port(f.server));
    f.rt = job_open(&f.loop, spec.data, "m", options);
    buf_done(&spec);
    return f;
}

static void close_fixture(struct fixture *f)
{
    job_close(f->loop, f->rt);
    raw_server_close(f->server);
}

static struct job_record ask(const char *bytes, bool hold, const struct runtime_options *options)
{
    struct raw_answer answer = {CHAT, bytes, hold};
    struct fixture f = open_fixture(&answer, 1, options);
    struct runtime_message message;
    struct runtime_request request = job_chat(&message, "hello", 30);
    struct job_record r = {0};
    job_run(f.loop, f.rt, &request, &r);
    close_fixture(&f);
    return r;
}

TEST(openai, streams_an_answer_and_counts_as_the_server_does)
{
    struct job_record r = ask(STREAM CHUNK("Good ") CHUNK("day") FINISH("stop") USAGE DONE, false, NULL);
    CHECK_EQ(r.finish, RUNTIME_FINISH_STOP);
    CHECK_STR(r.text.data, "Good day");
    CHECK_EQ(r.chunk_count, 2);
    CHECK_EQ(r.tokens_in, 7);
    CHECK_EQ(r.tokens_out, 3);
    CHECK(!r.token_ids);
    job_record_done(&r);
}

static void check_failure(const char *bytes, const char *words, enum runtime_fault fault)
{
    struct job_record r = ask(bytes, false, NULL);
    CHECK_EQ(r.finish, RUNTIME_FINISH_ERROR);
    CHECK_EQ(r.fault, fault);
    check_has(r.error.data, words);
    job_record_done(&r);
}

TEST(openai, failing_servers_are_errors_never_answers)
{
    check_failure(STREAM CHUNK("Good ") CHUNK("day"), "without a finish_reason", RUNTIME_FAULT_ENGINE);
    check_failure(STREAM CHUNK("Good ") FINISH("stop"), "without [DONE]", RUNTIME_FAULT_ENGINE);
    check_failure(STREAM CHUNK("a") "data: {nonsense}\n\n", "no JSON", RUNTIME_FAULT_ENGINE);
    check_failure(CHUNKED "20\r\ndata: cut", "server failed", RUNTIME_FAULT_ENGINE);
    check_failure("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
                  "content type \"application/json\"", RUNTIME_FAULT_ENGINE);
    check_failure("HTTP/1.1 503 Busy\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\nloading", "503: loading",
                  RUNTIME_FAULT_ENGINE);
    check_failure("HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: "
                  "29\r\n\r\n{\"error\":{\"message\":\"no no\"}}",
                  "no no", RUNTIME_FAULT_REQUEST);
    check_failure("not HTTP at all", "server failed", RUNTIME_FAULT_ENGINE);
    check_failure("", "server failed", RUNTIME_FAULT_ENGINE);
}

TEST(openai, a_server_that_stalls_is_given_up)
{
    struct job_record r = ask(STREAM CHUNK("Good "), true, &(struct runtime_options){.stall_ms = 1500});
    CHECK_EQ(r.finish, RUNTIME_FINISH_ERROR);
    CHECK_STR(r.text.data, "Good ");
    check_has(r.error.data, "TIMEOUT");
    job_record_done(&r);
}

TEST(openai, an_answer_is_whole_with_its_done_however_the_connection_ends)
{
    struct job_record r =
        ask(STREAM CHUNK("a") FINISH("stop") USAGE DONE, true, &(struct runtime_options){.stall_ms = 1500});
    CHECK_EQ(r.finish, RUNTIME_FINISH_STOP);
    CHECK_EQ(r.tokens_out, 3);
    job_record_done(&r);
    r = ask(CHUNKED "400\r\n" CHUNK("a") FINISH("stop") DONE, false, NULL);
    CHECK_EQ(r.finish, RUNTIME_FINISH_STOP);
    job_record_done(&r);
}

TEST(openai, nobody_listening_is_an_error)
{
    struct raw_answer answer = {CHAT, "", false};
    struct raw_server *server = raw_server_open(&answer, 1);
    struct net_loop *loop;
    struct buf spec = {0};
    struct runtime_message message;
    struct runtime_request request = job_chat(&message, "hello", 30);
    struct job_record r = {0};
    char detail[600];
    buf_printf(&spec, "openai=http://127.0.0.1:%u", raw_server_port(server));
    raw_server_close(server);
    struct runtime *rt = job_open(&loop, spec.data, "m", NULL);
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_ERROR);
    CHECK_EQ(r.fault, RUNTIME_FAULT_ENGINE);
    job_record_done(&r);
    CHECK(job_measure(loop, rt, detail, sizeof detail) != CX_OK);
    check_has(detail, "127.0.0.1");
    job_close(loop, rt);
    buf_done(&spec);
}

TEST(openai, cancelling_closes_the_upstream_request)
{
    struct raw_answer answer = {CHAT, STREAM CHUNK("Good ") CHUNK("day"), true};
    struct fixture f = open_fixture(&answer, 1, NULL);
    struct runtime_message message;
    struct runtime_request request = job_chat(&message, "hello", 30);
    struct job_record r = {.cancel_after = 1};
    job_run(f.loop, f.rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_CANCELLED);
    CHECK_STR(r.text.data, "Good ");
    raw_server_wait_closed(f.server);
    job_record_done(&r);
    close_fixture(&f);
}

TEST(openai, closing_the_engine_closes_the_upstream_request)
{
    struct raw_answer answer = {CHAT, STREAM CHUNK("Good "), true};
    struct fixture f = open_fixture(&answer, 1, NULL);
    struct runtime_message message;
    struct runtime_request request = job_chat(&message, "hello", 30);
    struct job_record r = {0};
    job_start(f.rt, &request, &r);
    while (r.chunk_count == 0)
        CHECK(net_loop_turn(f.loop, true));
    job_close(f.loop, f.rt);
    raw_server_wait_closed(f.server);
    CHECK(!r.is_done);
    job_record_done(&r);
    raw_server_close(f.server);
}

TEST(openai, it_is_measured_and_sends_its_key)
{
    struct raw_answer answers[] = {{"/v1/models", MODELS, false},
                                   {CHAT, STREAM CHUNK("Good ") CHUNK("day") FINISH("stop") USAGE DONE, false}};
    struct fixture f = open_fixture(answers, 2, &(struct runtime_options){.api_key = "secret-key"});
    char detail[600];
    if (job_measure(f.loop, f.rt, detail, sizeof detail))
        test_fail(__FILE__, __LINE__, "%s", detail);
    const struct runtime_info *info = runtime_info(f.rt);
    CHECK_EQ(info->context, 256);
    CHECK(info->ttft_ms > 0 && info->tokens_per_s_milli > 0);
    CHECK(info->declared);
    CHECK(!info->has_token_ids);
    CHECK(!hash_is_zero(&info->manifest));
    char *request = raw_server_request(f.server, CHAT);
    check_has(request, "Authorization: Bearer secret-key\r\n");
    check_has(request, "\"stream\":true");
    free(request);
    close_fixture(&f);
}

TEST(openai, models_that_think_before_they_talk_are_measured_and_silent_ones_refused)
{
    static const char thinking[] =
        STREAM "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n" FINISH("length") USAGE DONE;
    struct raw_answer answers[] = {{"/v1/models", MODELS, false}, {CHAT, thinking, false}};
    struct fixture f = open_fixture(answers, 2, NULL);
    char detail[600];
    CHECK_EQ(job_measure(f.loop, f.rt, detail, sizeof detail), CX_OK);
    CHECK(runtime_info(f.rt)->tokens_per_s_milli > 0);
    close_fixture(&f);

    answers[1].bytes = STREAM FINISH("stop") DONE;
    f = open_fixture(answers, 2, NULL);
    CHECK_EQ(job_measure(f.loop, f.rt, detail, sizeof detail), CX_IO);
    check_has(detail, "nothing");
    close_fixture(&f);
}

TEST(openai, a_model_that_the_server_lacks_is_named)
{
    struct raw_answer answer = {"/v1/models",
                                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
                                "{\"data\":[{\"id\":\"other\"}]}",
                                false};
    struct fixture f = open_fixture(&answer, 1, NULL);
    char detail[600];
    CHECK_EQ(job_measure(f.loop, f.rt, detail, sizeof detail), CX_NOT_FOUND);
    check_has(detail, "does not serve model m, but: other");
    close_fixture(&f);
}

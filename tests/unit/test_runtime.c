/* Engines behind runtime.h: builtin and echo. */
#include "runtime/runtime.h"

#include <unistd.h>

#include "crypto/sha256.h"
#include "lib/runtime_job.h"
#include "lib/test.h"
#include "lib/tiny_gguf.h"
#include "runtime/demo_model.h"

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

static void check_same(const struct job_record *a, const struct job_record *b)
{
    CHECK_STR(a->text.data, b->text.data);
    CHECK_EQ(a->tokens_out, b->tokens_out);
    CHECK_MEM(a->token_ids, b->token_ids, a->tokens_out * sizeof *a->token_ids);
}

static void check_has(const char *text, const char *words)
{
    if (!strstr(text, words))
        test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", words, text);
}

/* ---- builtin ---- */

TEST(runtime, builtin_says_what_it_is)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", RUNTIME_MODEL_NAME, NULL);
    const struct runtime_info *info = runtime_info(rt);
    struct hash file, manifest;
    size_t size;
    const uint8_t *data = demo_model(&size);
    sha256(data, size, &file);
    sha256(&file, sizeof file, &manifest);
    CHECK_EQ(info->engine, RUNTIME_BUILTIN);
    CHECK_STR(info->model, "corten-demo");
    CHECK(hash_eq(&info->manifest, &manifest));
    CHECK(!info->declared);
    CHECK(info->has_token_ids);
    CHECK_EQ(info->context, 512);
    CHECK_EQ(info->ttft_ms, 0);
    job_close(loop, rt);
}

TEST(runtime, builtin_is_measured)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", NULL, NULL);
    char detail[200];
    CHECK_EQ(job_measure(loop, rt, detail, sizeof detail), CX_OK);
    CHECK(runtime_info(rt)->ttft_ms > 0);
    CHECK(runtime_info(rt)->tokens_per_s_milli > 1000);
    job_close(loop, rt);
}

TEST(runtime, builtin_greedy_answers_are_equal_token_for_token)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", NULL, &(struct runtime_options){.slots = 2});
    struct runtime_message message;
    struct runtime_request request = job_chat(&message, "In the beginning", 48);
    struct job_record a = {0}, b = {0};
    job_start(rt, &request, &a);
    job_start(rt, &request, &b);
    job_wait(loop, &a);
    job_wait(loop, &b);
    check_same(&a, &b);
    CHECK(a.tokens_out > 0);
    CHECK(a.chunk_count > 1);
    CHECK(a.chunk_tokens <= a.tokens_out);
    CHECK_EQ(a.tokens_in, 1 + strlen("User: In the beginning\nAssistant: "));
    job_record_done(&a);
    job_record_done(&b);
    job_close(loop, rt);
}

TEST(runtime, builtin_samples_by_seed)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", NULL, NULL);
    struct runtime_request request = job_prompt("And the LORD said unto", 60);
    struct job_record first = {0}, again = {0}, other = {0};
    request.temperature = 9000;
    request.seed = 1;
    job_run(loop, rt, &request, &first);
    job_run(loop, rt, &request, &again);
    request.seed = 2;
    job_run(loop, rt, &request, &other);
    check_same(&first, &again);
    CHECK(strcmp(first.text.data, other.text.data) != 0);
    job_record_done(&first);
    job_record_done(&again);
    job_record_done(&other);
    job_close(loop, rt);
}

TEST(runtime, builtin_ends_at_max_tokens_at_stops_and_at_its_end_token)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", NULL, NULL);
    struct runtime_message message;
    struct span stop[] = {span_of(" "), span_of("never comes")};
    struct runtime_request request = job_prompt("In the beginning God created the ", 5);
    struct job_record r = {0};
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_LENGTH);
    CHECK_EQ(r.tokens_out, 5);
    CHECK_EQ(r.text.size, 5);
    job_record_done(&r);

    request = job_prompt("And God said, Let there be", 100);
    request.stop = stop;
    request.stop_count = 2;
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_STOP);
    CHECK(!strchr(r.text.data, ' '));
    CHECK(r.tokens_out > r.text.size);  // the stop string was generated, too
    job_record_done(&r);

    request = job_chat(&message, "What is light?", 400);
    request.temperature = RUNTIME_UNIT;
    request.seed = 5;
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_STOP);
    CHECK(r.tokens_out < 400);
    job_record_done(&r);
    job_close(loop, rt);
}

TEST(runtime, builtin_answers_end_with_the_context)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", NULL, NULL);
    char prompt[600];
    memset(prompt, 'a', sizeof prompt);
    prompt[505] = '\0';
    struct runtime_request request = job_prompt(prompt, 100);
    struct job_record r = {0};
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_LENGTH);
    CHECK_EQ(r.tokens_in, 506);
    CHECK_EQ(r.tokens_out, 6);
    job_record_done(&r);

    prompt[505] = 'a';
    prompt[511] = '\0';
    request = job_prompt(prompt, 100);
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_ERROR);
    CHECK_EQ(r.fault, RUNTIME_FAULT_CONTEXT);
    CHECK_STR(r.error.data, "the prompt has 512 tokens; the context of 512 leaves no room for an answer");
    job_record_done(&r);
    job_close(loop, rt);
}

TEST(runtime, cancelled_jobs_keep_their_text)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", NULL, NULL);
    struct runtime_request request = job_prompt("And it came to pass", 480);
    struct job_record r = {.cancel_after = 3}, waiting = {0};
    job_start(rt, &request, &r);
    job_start(rt, &request, &waiting);
    runtime_cancel(waiting.job);
    runtime_cancel(waiting.job);
    CHECK(!waiting.is_done);
    job_wait(loop, &r);
    job_wait(loop, &waiting);
    CHECK_EQ(r.finish, RUNTIME_FINISH_CANCELLED);
    CHECK(r.text.size > 0);
    CHECK(r.tokens_out < 480);
    CHECK_EQ(waiting.finish, RUNTIME_FINISH_CANCELLED);
    CHECK_EQ(waiting.tokens_out, 0);
    job_record_done(&r);
    job_record_done(&waiting);
    job_close(loop, rt);
}

TEST(runtime, closing_ends_jobs_without_a_call)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "builtin", NULL, &(struct runtime_options){.slots = 2});
    struct runtime_request request = job_prompt("And it came to pass", 480);
    struct job_record r[4] = {0};
    for (int i = 0; i < 4; i++)
        job_start(rt, &request, &r[i]);
    job_close(loop, rt);
    for (int i = 0; i < 4; i++) {
        CHECK(!r[i].is_done);
        job_record_done(&r[i]);
    }
}

TEST(runtime, builtin_reads_files_and_names_what_is_wrong_with_them)
{
    struct net_loop *loop;
    struct runtime *rt;
    struct buf file = {0}, path = {0}, spec = {0};
    struct runtime_message message;
    struct job_record r = {0};
    tiny_gguf(&file, &(struct tiny_options){.chat_template = "{{ something else }}"});
    buf_printf(&path, "%s/tiny.gguf", test_folder());
    FILE *f = fopen(path.data, "wb");
    CHECK(f && fwrite(file.data, 1, file.size, f) == file.size && fclose(f) == 0);
    buf_printf(&spec, "builtin=%s", path.data);
    rt = job_open(&loop, spec.data, NULL, NULL);
    CHECK_STR(runtime_info(rt)->model, "tiny");
    struct runtime_request request = job_prompt("abc", 8);
    job_run(loop, rt, &request, &r);
    CHECK(r.finish != RUNTIME_FINISH_ERROR);
    job_record_done(&r);
    request = job_chat(&message, "abc", 8);
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.fault, RUNTIME_FAULT_REQUEST);
    check_has(r.error.data, "chat template");
    job_record_done(&r);
    runtime_close(rt);

    CHECK_EQ(truncate(path.data, 100), 0);
    CHECK_EQ(runtime_open(loop, spec.data, NULL, NULL, &rt), CX_CORRUPT);
    check_has(cx_detail(), "tiny.gguf");
    CHECK_EQ(runtime_open(loop, "builtin=/no/such.gguf", NULL, NULL, &rt), CX_NOT_FOUND);
    CHECK_EQ(runtime_open(loop, "builtin", "other", NULL, &rt), CX_NOT_FOUND);
    check_has(cx_detail(), "corten-demo");
    CHECK_EQ(runtime_open(loop, "magic", NULL, NULL, &rt), CX_INVALID);
    CHECK_EQ(runtime_open(loop, "openai", NULL, NULL, &rt), CX_INVALID);
    CHECK_EQ(runtime_open(loop, "echo=loud", NULL, NULL, &rt), CX_INVALID);
    check_has(cx_detail(), "loud");
    CHECK_EQ(runtime_open(loop, "echo=slow=x", NULL, NULL, &rt), CX_INVALID);
    net_loop_close(loop);
    buf_done(&file);
    buf_done(&path);
    buf_done(&spec);
}

TEST(runtime, bad_requests_are_named_and_call_nobody)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "echo", NULL, NULL);
    struct job_record r = {0};
    struct runtime_job *job;
    struct runtime_message message;
    struct span empty = {(const uint8_t *)"", 0};
    struct runtime_request base = job_prompt("abc", 8), bad[7];
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        bad[i] = base;
    bad[0].max_tokens = 0;
    bad[1].temperature = 20001;
    bad[2].presence_penalty = -20001;
    bad[3].prompt = span_of("\xff");
    bad[4].stop = &empty;
    bad[4].stop_count = 1;
    bad[5] = job_chat(&message, "abc", 8);
    message.role = span_of("robot");
    bad[6].kind = RUNTIME_CHAT;
    const char *names[] = {"max_tokens", "temperature", "presence_penalty", "prompt",
                           "stop[0]",    "\"robot\"",   "messages"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        CHECK_EQ(runtime_start(rt, &bad[i], &job_record_sink, &r, &job), CX_INVALID);
        check_has(cx_detail(), names[i]);
    }
    CHECK(!r.is_done);
    job_close(loop, rt);
}

TEST(runtime, jobs_wait_for_a_slot_and_no_more_than_the_queue_holds)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "echo=slow=1", NULL, &(struct runtime_options){.slots = 1, .queue_max = 2});
    struct runtime_request request = job_prompt("abc", 100);
    struct job_record r[3] = {0}, more = {0};
    for (int i = 0; i < 3; i++)
        job_start(rt, &request, &r[i]);
    CHECK_EQ(runtime_start(rt, &request, &job_record_sink, &more, &more.job), CX_BUSY);
    for (int i = 0; i < 3; i++) {
        CHECK(!r[i].is_done);
        job_wait(loop, &r[i]);
        if (i < 2)
            CHECK(!r[i + 1].is_done);  // in order
    }
    for (int i = 0; i < 3; i++)
        job_record_done(&r[i]);
    job_close(loop, rt);
}

/* ---- echo ---- */

/* One answer of an echo with these faults to "a fixed prompt". */
static struct job_record echo(const char *spec, uint32_t max_tokens)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, spec, NULL, NULL);
    struct runtime_request request = job_prompt("a fixed prompt", max_tokens);
    struct job_record r = {0};
    job_run(loop, rt, &request, &r);
    job_close(loop, rt);
    return r;
}

TEST(runtime, echo_is_deterministic)
{
    struct job_record a = echo("echo", 100), b = echo("echo", 100), fewer = echo("echo", 3),
                      other = echo("echo=wrong", 100), third = echo("echo=wrong=2", 100);
    check_same(&a, &b);
    CHECK_EQ(a.finish, RUNTIME_FINISH_STOP);
    CHECK_EQ(a.chunk_tokens, a.tokens_out);
    CHECK_EQ(a.tokens_in, 3);
    CHECK(a.tokens_out >= 8);
    CHECK_EQ(fewer.finish, RUNTIME_FINISH_LENGTH);
    CHECK_EQ(fewer.tokens_out, 3);
    CHECK(strncmp(a.text.data, fewer.text.data, fewer.text.size) == 0);
    CHECK(strcmp(a.text.data, other.text.data) != 0);
    CHECK(strcmp(third.text.data, other.text.data) != 0);
    struct job_record *all[] = {&a, &b, &fewer, &other, &third};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        job_record_done(all[i]);
}

TEST(runtime, echo_faults_do_what_they_say)
{
    struct job_record good = echo("echo=tokens=12", 100), cut = echo("echo=tokens=12,cut=4", 100),
                      lying = echo("echo=lying,tokens=12", 100), fail = echo("echo=fail", 100),
                      context = echo("echo=context=3", 100), slow = echo("echo=tokens=12,slow=1", 100);
    CHECK_EQ(good.tokens_out, 12);
    check_same(&good, &slow);
    CHECK_EQ(cut.finish, RUNTIME_FINISH_ERROR);
    CHECK_EQ(cut.fault, RUNTIME_FAULT_ENGINE);
    CHECK_EQ(cut.chunk_tokens, 4);
    CHECK(strncmp(good.text.data, cut.text.data, cut.text.size) == 0);
    CHECK_STR(lying.text.data, good.text.data);
    CHECK_EQ(lying.tokens_out, 24);
    CHECK(memcmp(lying.token_ids, good.token_ids, 12 * sizeof(uint32_t)) != 0);
    CHECK_EQ(fail.finish, RUNTIME_FINISH_ERROR);
    CHECK_EQ(fail.fault, RUNTIME_FAULT_ENGINE);
    CHECK_EQ(context.fault, RUNTIME_FAULT_CONTEXT);
    struct job_record *all[] = {&good, &cut, &lying, &fail, &context, &slow};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        job_record_done(all[i]);
}

/* A silent engine never answers; a job can still be cancelled. The other engine's job shows that time went by. */
static void check_silent(const char *spec, uint32_t chunks)
{
    struct net_loop *loop;
    struct runtime *silent = job_open(&loop, spec, NULL, NULL), *other;
    struct runtime_request request = job_prompt("abc", 100);
    struct job_record r = {0}, o = {0};
    CHECK_EQ(runtime_open(loop, "echo=tokens=50,slow=1", NULL, NULL, &other), CX_OK);
    job_start(silent, &request, &r);
    job_run(loop, other, &request, &o);
    CHECK(!r.is_done);
    CHECK_EQ(r.chunk_count, chunks);
    runtime_cancel(r.job);
    job_wait(loop, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_CANCELLED);
    CHECK_EQ(r.tokens_out, chunks);
    job_record_done(&r);
    job_record_done(&o);
    runtime_close(other);
    job_close(loop, silent);
}

TEST(runtime, echo_can_be_silent)
{
    check_silent("echo=silent", 0);
}
TEST(runtime, echo_can_stall)
{
    check_silent("echo=stall=2", 2);
}

TEST(runtime, echo_stops_and_is_cancelled_from_a_chunk)
{
    struct net_loop *loop;
    struct runtime *rt = job_open(&loop, "echo=tokens=20", NULL, NULL);
    struct runtime_request request = job_prompt("abc", 100);
    struct job_record whole = {0}, r = {.cancel_after = 2};
    job_run(loop, rt, &request, &whole);
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_CANCELLED);
    CHECK_EQ(r.chunk_count, 2);
    CHECK_EQ(r.tokens_out, 2);
    job_record_done(&r);

    /* The fifth word as a stop string. */
    char *word = whole.text.data, stop_text[40];
    for (int i = 0; i < 4; i++)
        word = strchr(word, ' ') + 1;
    snprintf(stop_text, sizeof stop_text, "%.*s", (int)strcspn(word, " "), word);
    struct span stop = span_of(stop_text);
    request.stop = &stop;
    request.stop_count = 1;
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_STOP);
    CHECK(r.text.size <= (size_t)(word - whole.text.data));
    CHECK(!strstr(r.text.data, stop_text));
    job_record_done(&r);
    job_record_done(&whole);
    job_close(loop, rt);
}

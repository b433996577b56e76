/* The openai engine against a real server that serves models/corten-demo.gguf: tools/check-engines starts it. */
#include "lib/runtime_job.h"
#include "lib/test.h"

#define SAME_SIZE 16u  // bytes of a greedy answer that any sound arithmetic agrees on

static struct runtime *open_upstream(struct net_loop **ret_loop)
{
    const char *url = getenv("CORTEN_ENGINE_URL");
    struct buf spec = {0};
    char detail[600];
    if (!url)
        test_skip("CORTEN_ENGINE_URL is not set: run make check-engines");
    buf_printf(&spec, "openai=%s", url);
    struct runtime *rt = job_open(ret_loop, spec.data, RUNTIME_MODEL_NAME, &(struct runtime_options){.slots = 2});
    if (job_measure(*ret_loop, rt, detail, sizeof detail))
        test_fail(__FILE__, __LINE__, "%s", detail);
    buf_done(&spec);
    return rt;
}

static void check_whole(const struct job_record *r)
{
    if (r->finish == RUNTIME_FINISH_ERROR)
        test_fail(__FILE__, __LINE__, "%s", r->error.data);
    CHECK(r->tokens_out > 0);
}

TEST(engines, server_says_its_context_and_is_measured)
{
    struct net_loop *loop;
    struct runtime *rt = open_upstream(&loop);
    CHECK_EQ(runtime_info(rt)->context, 512);
    CHECK(runtime_info(rt)->ttft_ms > 0);
    CHECK(runtime_info(rt)->tokens_per_s_milli > 0);
    job_close(loop, rt);
}

/* The file's template and vocabulary mean the same to both: equal counts of the prompt, and answers that begin alike.
 */
TEST(engines, server_and_builtin_read_the_file_alike)
{
    struct net_loop *loop;
    struct runtime *rt = open_upstream(&loop), *builtin;
    struct runtime_message messages[3];
    struct runtime_request request = job_chat(&messages[2], "And God said,", 40);
    struct job_record theirs = {0}, ours = {0};
    CHECK_EQ(runtime_open(loop, "builtin", NULL, NULL, &builtin), CX_OK);
    messages[0] = (struct runtime_message){{(const uint8_t *)"system", 6}, {(const uint8_t *)"Be brief.", 9}};
    messages[1] = (struct runtime_message){{(const uint8_t *)"assistant", 9}, {(const uint8_t *)"I am.", 5}};
    request.messages = messages;
    request.messages_count = 3;
    job_run(loop, rt, &request, &theirs);
    job_run(loop, builtin, &request, &ours);
    check_whole(&theirs);
    CHECK_EQ(theirs.tokens_in, ours.tokens_in);
    CHECK(ours.text.size >= SAME_SIZE && theirs.text.size >= SAME_SIZE);
    CHECK_MEM(theirs.text.data, ours.text.data, SAME_SIZE);
    job_record_done(&theirs);
    job_record_done(&ours);
    runtime_close(builtin);
    job_close(loop, rt);
}

TEST(engines, completions_end_at_max_tokens)
{
    struct net_loop *loop;
    struct runtime *rt = open_upstream(&loop);
    struct runtime_request request = job_prompt("And the LORD said unto", 12);
    struct job_record r = {0};
    job_run(loop, rt, &request, &r);
    check_whole(&r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_LENGTH);
    CHECK_EQ(r.tokens_out, 12);
    CHECK(r.chunk_count > 1);
    job_record_done(&r);
    job_close(loop, rt);
}

TEST(engines, stop_strings_end_the_answer)
{
    struct net_loop *loop;
    struct runtime *rt = open_upstream(&loop);
    struct span stop = {(const uint8_t *)" ", 1};
    struct runtime_request request = job_prompt("And the LORD sai", 100);
    struct job_record r = {0};
    request.stop = &stop;
    request.stop_count = 1;
    job_run(loop, rt, &request, &r);
    check_whole(&r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_STOP);
    CHECK(!strchr(r.text.data, ' '));
    job_record_done(&r);
    job_close(loop, rt);
}

TEST(engines, prompts_over_the_context_are_the_clients_fault)
{
    struct net_loop *loop;
    struct runtime *rt = open_upstream(&loop);
    char prompt[700];
    memset(prompt, 'a', sizeof prompt - 1);
    prompt[sizeof prompt - 1] = '\0';
    struct runtime_request request = job_prompt(prompt, 10);
    struct job_record r = {0};
    job_run(loop, rt, &request, &r);
    CHECK_EQ(r.finish, RUNTIME_FINISH_ERROR);
    CHECK_EQ(r.fault, RUNTIME_FAULT_CONTEXT);
    job_record_done(&r);
    job_close(loop, rt);
}

/* With two slots and as many cancelled answers, a third is only served because the server has let them go. */
TEST(engines, cancelled_answers_free_the_server)
{
    struct net_loop *loop;
    struct runtime *rt = open_upstream(&loop);
    struct runtime_request request = job_prompt("And it came to pass", 480);
    struct job_record r[3] = {{.cancel_after = 2}, {.cancel_after = 2}, {.cancel_after = 0}};
    for (int i = 0; i < 2; i++)
        job_start(rt, &request, &r[i]);
    for (int i = 0; i < 2; i++) {
        job_wait(loop, &r[i]);
        CHECK_EQ(r[i].finish, RUNTIME_FINISH_CANCELLED);
        CHECK(r[i].text.size > 0);
    }
    request.max_tokens = 5;
    job_run(loop, rt, &request, &r[2]);
    check_whole(&r[2]);
    for (int i = 0; i < 3; i++)
        job_record_done(&r[i]);
    job_close(loop, rt);
}

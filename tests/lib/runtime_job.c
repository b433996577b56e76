#include "lib/runtime_job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "lib/test.h"

static void on_chunk(void *ctx, const char *text, size_t size, uint32_t token_count)
{
    struct job_record *r = ctx;
    CHECK(!r->is_done);
    CHECK(size > 0);
    CHECK(utf8_is_valid(text, size));
    buf_add(&r->chunks, text, size);
    r->chunk_count++;
    r->chunk_tokens += token_count;
    if (r->chunk_count == r->cancel_after)
        runtime_cancel(r->job);
}

static void on_done(void *ctx, const struct runtime_result *result)
{
    struct job_record *r = ctx;
    CHECK(!r->is_done);
    r->is_done = true;
    r->finish = result->finish;
    r->fault = result->fault;
    r->tokens_in = result->tokens_in;
    r->tokens_out = result->tokens_out;
    buf_text(&r->error, result->error);
    buf_add(&r->text, result->text, result->text_size);
    if (result->token_ids) {
        r->token_ids = calloc(result->tokens_out + 1, sizeof *r->token_ids);
        CHECK(r->token_ids);
        memcpy(r->token_ids, result->token_ids, result->tokens_out * sizeof *r->token_ids);
    }
    /* What was streamed is what the answer is. */
    CHECK_EQ(r->chunks.size, r->text.size);
    CHECK_MEM(r->chunks.data ? r->chunks.data : "", r->text.data, r->text.size);
}

const struct runtime_sink job_record_sink = {on_chunk, on_done};

struct runtime *job_open(struct net_loop **ret_loop, const char *spec, const char *model,
                         const struct runtime_options *options)
{
    struct runtime *rt;
    CHECK_EQ(net_loop_open(ret_loop), CX_OK);
    if (runtime_open(*ret_loop, spec, model, options, &rt))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    return rt;
}

void job_close(struct net_loop *loop, struct runtime *rt)
{
    runtime_close(rt);
    net_loop_close(loop);
}

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

struct runtime_request job_prompt(const char *prompt, uint32_t max_tokens)
{
    return (struct runtime_request){.kind = RUNTIME_COMPLETION, .prompt = span_of(prompt), .max_tokens = max_tokens};
}

struct runtime_request job_chat(struct runtime_message *message, const char *content, uint32_t max_tokens)
{
    *message = (struct runtime_message){span_of("user"), span_of(content)};
    return (struct runtime_request){
        .kind = RUNTIME_CHAT, .messages = message, .messages_count = 1, .max_tokens = max_tokens};
}

void job_start(struct runtime *rt, const struct runtime_request *request, struct job_record *record)
{
    if (runtime_start(rt, request, &job_record_sink, record, &record->job))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    CHECK(!record->is_done);
}

void job_wait(struct net_loop *loop, const struct job_record *record)
{
    while (!record->is_done)
        CHECK(net_loop_turn(loop, true) || record->is_done);
}

void job_run(struct net_loop *loop, struct runtime *rt, const struct runtime_request *request,
             struct job_record *record)
{
    *record = (struct job_record){.cancel_after = record->cancel_after};
    job_start(rt, request, record);
    job_wait(loop, record);
}

void job_record_done(struct job_record *record)
{
    buf_done(&record->chunks);
    buf_done(&record->text);
    buf_done(&record->error);
    free(record->token_ids);
    *record = (struct job_record){0};
}

struct measure {
    bool is_done;
    enum cx_err err;
    char *detail;
    size_t cap;
};

static void on_ready(void *ctx, enum cx_err err, const char *detail)
{
    struct measure *m = ctx;
    CHECK(!m->is_done);
    m->is_done = true;
    m->err = err;
    snprintf(m->detail, m->cap, "%s", detail);
}

enum cx_err job_measure(struct net_loop *loop, struct runtime *rt, char *ret_detail, size_t cap)
{
    struct measure m = {.detail = ret_detail, .cap = cap};
    CHECK_EQ(runtime_measure(rt, on_ready, &m), CX_OK);
    CHECK(!m.is_done);
    CHECK_EQ(runtime_measure(rt, on_ready, &m), CX_BUSY);
    while (!m.is_done)
        CHECK(net_loop_turn(loop, true) || m.is_done);
    return m.err;
}

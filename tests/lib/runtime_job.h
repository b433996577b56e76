/* runtime_job.h - runs jobs of an engine to their end, for tests. */
#ifndef CORTEN_TESTS_RUNTIME_JOB_H
#define CORTEN_TESTS_RUNTIME_JOB_H

#include "base/buf.h"
#include "net/loop.h"
#include "runtime/runtime.h"

struct job_record {
    struct buf chunks;  // all of them
    uint32_t chunk_count, chunk_tokens;
    uint32_t cancel_after;  // chunks; 0: never
    struct runtime_job *job;
    bool is_done;
    enum runtime_finish finish;
    enum runtime_fault fault;
    uint32_t tokens_in, tokens_out;
    uint32_t *token_ids;  // a copy; NULL: none came
    struct buf text, error;
};

extern const struct runtime_sink job_record_sink;

/* Fails the test where the engine cannot be opened. */
struct runtime *job_open(struct net_loop **ret_loop, const char *spec, const char *model,
                         const struct runtime_options *options);
void job_close(struct net_loop *loop, struct runtime *rt);
struct runtime_request job_prompt(const char *prompt, uint32_t max_tokens);
/* A conversation of one message; `message` must live on. */
struct runtime_request job_chat(struct runtime_message *message, const char *content, uint32_t max_tokens);
void job_start(struct runtime *rt, const struct runtime_request *request, struct job_record *record);
void job_wait(struct net_loop *loop, const struct job_record *record);
/* Start and wait. */
void job_run(struct net_loop *loop, struct runtime *rt, const struct runtime_request *request,
             struct job_record *record);
void job_record_done(struct job_record *record);
/* Runs runtime_measure; its error. */
enum cx_err job_measure(struct net_loop *loop, struct runtime *rt, char *ret_detail, size_t cap);

#endif

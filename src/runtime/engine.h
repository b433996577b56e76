/* engine.h - what engines and runtime.c know of each other; nobody else includes this.
 *
 * runtime.c keeps jobs: it copies requests, lets them wait for a slot, gathers text, calls the sink. An
 * engine turns one job after another into chunks and one end. It reports on the loop's thread, from a timer
 * or a wake of its own, never from inside `start` or `cancel`.
 */
#ifndef CORTEN_RUNTIME_ENGINE_H
#define CORTEN_RUNTIME_ENGINE_H

#include "base/buf.h"
#include "net/loop.h"
#include "runtime/runtime.h"

struct runtime_job {
    struct runtime *rt;
    struct runtime_job *next;        // waiting for a slot, or running
    struct runtime_request request;  // points into `copy`
    void *copy;
    struct runtime_sink sink;
    void *ctx;
    enum { JOB_WAITING, JOB_RUNNING, JOB_ENDED } state;
    struct net_timer soon;  // gives a stored end
    struct buf text;        // all chunks
    uint32_t tokens_in, tokens_out;
    uint32_t *token_ids;         // [tokens_out]; NULL for engines without
    enum runtime_finish finish;  // stored by job_end_soon
    enum runtime_fault fault;
    struct buf error;
    void *of_engine;  // the engine's own
};

struct runtime_engine_ops {
    /* argument: what follows "=" in the spec, or NULL. Fills rt->info and rt->engine. */
    enum cx_err (*open)(struct runtime *rt, const char *argument, const char *model,
                        const struct runtime_options *options);
    /* No job is running any more. */
    void (*close)(struct runtime *rt);
    /* Ends with runtime_discovered, later. NULL: there is nothing to ask. */
    void (*discover)(struct runtime *rt);
    void (*start)(struct runtime_job *job);
    /* Ends the job with job_end, later, unless it already had. */
    void (*cancel)(struct runtime_job *job);
    /* Stops working for the job and frees of_engine; nothing more is reported. Called for every job that was
     * started, before it goes. */
    void (*forget)(struct runtime_job *job);
    bool measures;  // one short job tells its speed; otherwise `open` has filled it in
};

struct runtime {
    const struct runtime_engine_ops *ops;
    struct net_loop *loop;
    struct runtime_info info;
    struct buf build, model;  // info points to them
    struct runtime_job *waiting, *running;
    uint32_t waiting_count, running_count, slots, queue_max;
    void *engine;
    struct {
        void (*on_ready)(void *ctx, enum cx_err err, const char *detail);  // NULL: not measuring
        void *ctx;
        struct net_timer soon;
        uint64_t begin_us, first_us;
        struct runtime_job *job;
    } measure;
};

extern const struct runtime_engine_ops runtime_builtin, runtime_openai, runtime_echo;

/* Sends text out, with how many tokens it took. size may be 0: then only the tokens are counted. */
void job_chunk(struct runtime_job *job, const char *text, size_t size, uint32_t tokens);
/* Ends the job and frees it. error: text for people, with fault; NULL without. */
void job_end(struct runtime_job *job, enum runtime_finish finish, enum runtime_fault fault, const char *error);
/* The same from the next turn of the loop: for engines' start and cancel. A second one is ignored. */
void job_end_soon(struct runtime_job *job, enum runtime_finish finish, enum runtime_fault fault, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));
/* The answer to `discover`. */
void runtime_discovered(struct runtime *rt, enum cx_err err, const char *detail);
/* Which the sorted digests of files together name; a declared model has one "file", its name. */
void runtime_manifest(struct hash *files, uint32_t count, struct hash *ret_manifest);

#endif

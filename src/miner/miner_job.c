/* The engine's half of a lease: from the canonical request to chunks and a result. */
#include "miner/miner_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "crypto/keccak.h"
#include "miner/engine_request.h"

static void job_free(struct job *job)
{
    struct job **at = &job->miner->job;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    free(job);
}

void miner_forget_jobs(struct miner *miner)
{
    while (miner->job)
        job_free(miner->job);
}

static void on_chunk(void *ctx, const char *text, size_t size, uint32_t token_count)
{
    struct job *job = ctx;
    if (job->lease)
        lease_book_chunk(job->miner->book, job->lease, text, size, token_count);
}

static enum decline_reason decline_reason_of(enum runtime_fault fault)
{
    switch (fault) {
    case RUNTIME_FAULT_REQUEST: return DECLINE_UNSUPPORTED;
    case RUNTIME_FAULT_CONTEXT: return DECLINE_CONTEXT;
    case RUNTIME_FAULT_NONE:
    case RUNTIME_FAULT_ENGINE: break;
    }
    return DECLINE_ENGINE;
}

static void on_done(void *ctx, const struct runtime_result *result)
{
    struct job *job = ctx;
    struct miner *miner = job->miner;
    uint64_t lease = job->lease;
    job_free(job);
    if (lease == 0)
        return;
    if (result->finish == RUNTIME_FINISH_ERROR) {
        log_warn("miner", "engine failed lease=%llu detail=\"%s\"", (unsigned long long)lease, result->error);
        lease_book_failed(miner->book, lease, decline_reason_of(result->fault), result->error);
    } else {
        const struct lease_result done = {.finish = engine_finish(result->finish),
                                          .tokens_in = result->tokens_in,
                                          .tokens_out = result->tokens_out,
                                          .tokens_digest = engine_tokens_digest(result)};
        lease_book_done(miner->book, lease, &done);
    }
    miner_look_whether_drained(miner);
}

bool miner_start_job(void *ctx, const struct link_offer *offer, enum decline_reason *ret_reason)
{
    static const struct runtime_sink sink = {on_chunk, on_done};
    struct miner *miner = ctx;
    struct job *job = calloc(1, sizeof *job);
    cx_assert(job);
    job->miner = miner;
    job->lease = offer->lease;
    job->next = miner->job;
    miner->job = job;
    const struct engine_terms terms = {
        .tokens_max = offer->tokens_max, .seed = offer->seed, .seed_of_client = offer->seed_of_client};
    enum cx_err err = engine_start(miner->runtime, offer->request, &terms, &sink, job, &job->running);
    if (!err)
        return true;
    log_warn("miner", "offer declined lease=%llu detail=\"%s\"", (unsigned long long)offer->lease, cx_detail());
    *ret_reason = err == CX_BUSY ? DECLINE_BUSY : DECLINE_UNSUPPORTED;
    job_free(job);
    return false;
}

void miner_cancel_job(void *ctx, uint64_t lease, bool forget)
{
    struct miner *miner = ctx;
    struct job *job = miner->job;
    while (job && job->lease != lease)
        job = job->next;
    if (!job)
        return;
    if (forget)
        job->lease = 0;
    runtime_cancel(job->running);
}

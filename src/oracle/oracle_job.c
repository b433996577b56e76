/* The oracle's own engine: it answers again what nodes have answered. */
#include "oracle/oracle_parts.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "crypto/keccak.h"
#include "crypto/sha256.h"
#include "miner/engine_request.h"

bool oracle_can_answer(const struct oracle *oracle, const struct hash *manifest)
{
    if (!oracle->runtime)
        return false;
    const struct runtime_info *info = runtime_info(oracle->runtime);
    bool exact = info->engine == RUNTIME_BUILTIN || info->engine == RUNTIME_ECHO;
    return exact && hash_eq(&info->manifest, manifest);
}

static void job_free(struct oracle_job *job)
{
    struct oracle_job **at = &job->oracle->job;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    free(job);
}

void oracle_forget_jobs(struct oracle *oracle)
{
    while (oracle->job)
        job_free(oracle->job);
}

void oracle_cannot_answer(struct oracle *oracle, enum duty_kind duty, uint64_t id)
{
    duty_answered(oracle->book, duty, id, &(struct duty_answer){.measured = false});
    oracle_act_soon(oracle);
}

static void on_chunk(void *ctx, const char *text, size_t size, uint32_t token_count)
{
    cx_maybe(ctx && text && size && token_count);  // the result has it all
}

static void on_done(void *ctx, const struct runtime_result *result)
{
    struct oracle_job *job = ctx;
    struct oracle *oracle = job->oracle;
    struct duty_answer answer = {.measured = result->finish != RUNTIME_FINISH_ERROR};
    sha256(result->text, result->text_size, &answer.text);
    keccak256(result->text, result->text_size, &answer.evidence);
    if (!answer.measured) {
        log_warn("oracle", "engine failed id=%llu detail=\"%s\"", (unsigned long long)job->id, result->error);
        answer = (struct duty_answer){.measured = false};
    }
    duty_answered(oracle->book, job->duty, job->id, &answer);
    job_free(job);
    oracle_act_soon(oracle);
}

void oracle_answer(struct oracle *oracle, enum duty_kind duty, uint64_t id, struct span request, uint64_t seed,
                   bool seed_of_client)
{
    static const struct runtime_sink sink = {on_chunk, on_done};
    struct oracle_job *job = calloc(1, sizeof *job);
    cx_assert(job);
    *job = (struct oracle_job){.oracle = oracle, .next = oracle->job, .duty = duty, .id = id};
    oracle->job = job;
    const struct engine_terms terms = {.seed = seed, .seed_of_client = seed_of_client};
    enum cx_err err = engine_start(oracle->runtime, request, &terms, &sink, job, &job->running);
    if (!err)
        return;
    job_free(job);
    if (err == CX_BUSY) {
        duty_failed(oracle->book, duty, id, 0);
        oracle_again(oracle, ORACLE_AGAIN_MS);
        return;
    }
    log_warn("oracle", "engine refuses id=%llu detail=\"%s\"", (unsigned long long)id, cx_detail());
    oracle_cannot_answer(oracle, duty, id);
}

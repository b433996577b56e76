#include "runtime/runtime.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "crypto/sha256.h"
#include "runtime/engine.h"

#define SLOTS_DEFAULT  1u
#define QUEUE_DEFAULT  64u
#define QUEUE_MAX      4096u
#define MEASURE_TOKENS 32u
#define MEASURE_PROMPT "In the beginning"

static const char *const roles[] = {"system", "developer", "user", "assistant", "tool"};

const char *runtime_engine_name(enum runtime_engine engine)
{
    static const char *const names[RUNTIME_ENGINE_COUNT] = {
        [RUNTIME_BUILTIN] = "builtin", [RUNTIME_LLAMA] = "llama", [RUNTIME_OPENAI] = "openai", [RUNTIME_ECHO] = "echo"};
    cx_assert(engine < RUNTIME_ENGINE_COUNT);
    return names[engine];
}

const char *runtime_finish_name(enum runtime_finish finish)
{
    switch (finish) {
    case RUNTIME_FINISH_STOP: return "stop";
    case RUNTIME_FINISH_LENGTH: return "length";
    case RUNTIME_FINISH_CANCELLED: return "cancelled";
    case RUNTIME_FINISH_ERROR: return "error";
    }
    return "";
}

/* ---- opening and closing ---- */

static const struct runtime_engine_ops *ops_of(const char *spec, const char **ret_argument)
{
    static const struct {
        const char *name;
        const struct runtime_engine_ops *ops;
    } engines[] = {{"builtin", &runtime_builtin}, {"openai", &runtime_openai}, {"echo", &runtime_echo}};
    size_t size = strcspn(spec, "=");
    *ret_argument = spec[size] ? spec + size + 1 : NULL;
    for (size_t i = 0; i < ARRAY_COUNT(engines); i++)
        if (strlen(engines[i].name) == size && memcmp(engines[i].name, spec, size) == 0)
            return engines[i].ops;
    return NULL;
}

enum cx_err runtime_open(struct net_loop *loop, const char *spec, const char *model,
                         const struct runtime_options *options, struct runtime **ret)
{
    static const struct runtime_options defaults;
    const char *argument;
    const struct runtime_engine_ops *ops = ops_of(spec, &argument);
    if (!options)
        options = &defaults;
    if (!ops)
        return cx_fail(CX_INVALID, "engine \"%s\": it is builtin, builtin=PATH.gguf, openai=URL or echo", spec);
    if (options->slots > RUNTIME_SLOTS_MAX || options->queue_max > QUEUE_MAX)
        return cx_fail(CX_INVALID, "slots %" PRIu32 ": an engine has at most %u, and %u waiting", options->slots,
                       RUNTIME_SLOTS_MAX, QUEUE_MAX);

    struct runtime *rt = calloc(1, sizeof *rt);
    if (!rt)
        return cx_fail(CX_MEMORY, "no memory for an engine");
    rt->ops = ops;
    rt->loop = loop;
    rt->slots = options->slots ? options->slots : SLOTS_DEFAULT;
    rt->queue_max = options->queue_max ? options->queue_max : QUEUE_DEFAULT;
    enum cx_err err = ops->open(rt, argument, model, options);
    if (err) {
        buf_done(&rt->build);
        buf_done(&rt->model);
        free(rt);
        return err;
    }
    rt->info.build = rt->build.data;
    rt->info.model = rt->model.data;
    *ret = rt;
    return CX_OK;
}

static void free_job(struct runtime_job *job)
{
    net_timer_stop(&job->soon);
    buf_done(&job->text);
    buf_done(&job->error);
    free(job->token_ids);
    free(job->copy);
    free(job);
}

void runtime_close(struct runtime *rt)
{
    if (!rt)
        return;
    for (struct runtime_job *job = rt->running, *next; job; job = next) {
        next = job->next;
        rt->ops->forget(job);
        free_job(job);
    }
    for (struct runtime_job *job = rt->waiting, *next; job; job = next) {
        next = job->next;
        free_job(job);
    }
    net_timer_stop(&rt->measure.soon);
    rt->ops->close(rt);
    buf_done(&rt->build);
    buf_done(&rt->model);
    free(rt);
}

const struct runtime_info *runtime_info(const struct runtime *rt) { return &rt->info; }

static int compare_hashes(const void *a, const void *b) { return memcmp(a, b, sizeof(struct hash)); }

void runtime_manifest(struct hash *files, uint32_t count, struct hash *ret_manifest)
{
    qsort(files, count, sizeof *files, compare_hashes);
    sha256(files, count * sizeof *files, ret_manifest);
}

/* ---- requests ---- */

static bool is_role(struct span role)
{
    for (size_t i = 0; i < ARRAY_COUNT(roles); i++)
        if (strlen(roles[i]) == role.size && memcmp(roles[i], role.data, role.size) == 0)
            return true;
    return false;
}

static bool is_text(struct span text) { return utf8_is_valid((const char *)text.data, text.size); }

static enum cx_err check_messages(const struct runtime_request *r)
{
    uint64_t size = 0;
    if (r->messages_count == 0 || r->messages_count > RUNTIME_MESSAGES_MAX)
        return cx_fail(CX_INVALID, "messages: %" PRIu32 " of them; 1..%u are taken", r->messages_count,
                       RUNTIME_MESSAGES_MAX);
    for (uint32_t i = 0; i < r->messages_count; i++) {
        const struct runtime_message *m = &r->messages[i];
        size += m->content.size;
        if (!is_role(m->role))
            return cx_fail(CX_INVALID,
                           "messages[%" PRIu32 "].role: \"%.*s\" is none of system, developer, user, "
                           "assistant, tool",
                           i, (int)u32_min(m->role.size, 40), (const char *)m->role.data);
        if (!is_text(m->content))
            return cx_fail(CX_INVALID, "messages[%" PRIu32 "].content: not UTF-8", i);
    }
    if (size > RUNTIME_PROMPT_SIZE_MAX)
        return cx_fail(CX_INVALID, "messages: %" PRIu64 " bytes, at most %u are taken", size, RUNTIME_PROMPT_SIZE_MAX);
    return CX_OK;
}

static enum cx_err check_prompt(const struct runtime_request *r)
{
    if (r->prompt.size > RUNTIME_PROMPT_SIZE_MAX)
        return cx_fail(CX_INVALID, "prompt: %" PRIu32 " bytes, at most %u are taken", r->prompt.size,
                       RUNTIME_PROMPT_SIZE_MAX);
    return is_text(r->prompt) ? CX_OK : cx_fail(CX_INVALID, "prompt: not UTF-8");
}

static enum cx_err check_stop(const struct runtime_request *r)
{
    if (r->stop_count > RUNTIME_STOP_COUNT_MAX)
        return cx_fail(CX_INVALID, "stop: %" PRIu32 " strings, at most %u are taken", r->stop_count,
                       RUNTIME_STOP_COUNT_MAX);
    for (uint32_t i = 0; i < r->stop_count; i++)
        if (r->stop[i].size == 0 || r->stop[i].size > RUNTIME_STOP_SIZE_MAX || !is_text(r->stop[i]))
            return cx_fail(CX_INVALID, "stop[%" PRIu32 "]: want 1..%u bytes of UTF-8", i, RUNTIME_STOP_SIZE_MAX);
    return CX_OK;
}

static bool is_penalty(int32_t penalty) { return penalty >= -RUNTIME_PENALTY_MAX && penalty <= RUNTIME_PENALTY_MAX; }

static enum cx_err check_request(const struct runtime_request *r)
{
    if (r->max_tokens == 0)
        return cx_fail(CX_INVALID, "max_tokens: must be at least 1");
    if (r->temperature > RUNTIME_TEMPERATURE_MAX)
        return cx_fail(CX_INVALID, "temperature: must be 0..2");
    if (!is_penalty(r->presence_penalty) || !is_penalty(r->frequency_penalty))
        return cx_fail(CX_INVALID, "presence_penalty, frequency_penalty: must be -2..2");
    enum cx_err err = check_stop(r);
    if (err)
        return err;
    switch (r->kind) {
    case RUNTIME_CHAT: return check_messages(r);
    case RUNTIME_COMPLETION: return check_prompt(r);
    }
    return cx_fail(CX_INVALID, "kind %d: neither chat nor completion", r->kind);
}

static struct span copy_span(struct arena *arena, struct span from)
{
    uint8_t *to = arena_take(arena, from.size, 1);
    if (to && from.size > 0)
        memcpy(to, from.data, from.size);
    return (struct span){to, from.size};
}

/* The request and all it points to, into the arena; over NULL it only counts. */
static void copy_request(struct arena *arena, const struct runtime_request *from, struct runtime_request *to)
{
    bool is_chat = from->kind == RUNTIME_CHAT;
    *to = *from;
    to->messages_count = is_chat ? from->messages_count : 0;
    struct runtime_message *messages = arena_take(arena, to->messages_count, sizeof *messages);
    struct span *stop = arena_take(arena, from->stop_count, sizeof *stop);
    for (uint32_t i = 0; i < to->messages_count; i++) {
        struct runtime_message m = {copy_span(arena, from->messages[i].role),
                                    copy_span(arena, from->messages[i].content)};
        if (messages)
            messages[i] = m;
    }
    for (uint32_t i = 0; i < from->stop_count; i++) {
        struct span s = copy_span(arena, from->stop[i]);
        if (stop)
            stop[i] = s;
    }
    to->messages = messages;
    to->stop = stop;
    to->prompt = copy_span(arena, is_chat ? (struct span){NULL, 0} : from->prompt);
    to->body = copy_span(arena, from->body);
}

/* ---- jobs ---- */

static void append(struct runtime_job **list, struct runtime_job *job)
{
    job->next = NULL;
    while (*list)
        list = &(*list)->next;
    *list = job;
}

static void take_out(struct runtime_job **list, struct runtime_job *job)
{
    while (*list && *list != job)
        list = &(*list)->next;
    cx_assert(*list == job);
    *list = job->next;
}

static void start_waiting(struct runtime *rt)
{
    while (rt->waiting && rt->running_count < rt->slots) {
        struct runtime_job *job = rt->waiting;
        /* One that ends soon, because it was cancelled, needs no slot. */
        while (job && net_timer_is_on(&job->soon))
            job = job->next;
        if (!job)
            return;
        take_out(&rt->waiting, job);
        rt->waiting_count--;
        append(&rt->running, job);
        rt->running_count++;
        job->state = JOB_RUNNING;
        rt->ops->start(job);
    }
}

enum cx_err runtime_start(struct runtime *rt, const struct runtime_request *request, const struct runtime_sink *sink,
                          void *ctx, struct runtime_job **ret_job)
{
    enum cx_err err = check_request(request);
    if (err)
        return err;
    if (rt->running_count >= rt->slots && rt->waiting_count >= rt->queue_max)
        return cx_fail(CX_BUSY, "%" PRIu32 " jobs are running and %" PRIu32 " waiting", rt->running_count,
                       rt->waiting_count);
    struct arena arena;
    struct runtime_request counted;
    arena_init(&arena, NULL, 0);
    copy_request(&arena, request, &counted);

    struct runtime_job *job = calloc(1, sizeof *job);
    void *copy = malloc(arena.used + 1);
    if (!job || !copy) {
        free(job);
        free(copy);
        return cx_fail(CX_MEMORY, "no memory for a request of %zu bytes", arena.used);
    }
    arena_init(&arena, copy, arena.used);
    *job = (struct runtime_job){.rt = rt, .copy = copy, .sink = *sink, .ctx = ctx, .state = JOB_WAITING};
    copy_request(&arena, request, &job->request);
    append(&rt->waiting, job);
    rt->waiting_count++;
    *ret_job = job;
    start_waiting(rt);
    return CX_OK;
}

void runtime_cancel(struct runtime_job *job)
{
    if (net_timer_is_on(&job->soon))
        return;
    if (job->state == JOB_RUNNING)
        job->rt->ops->cancel(job);
    else
        job_end_soon(job, RUNTIME_FINISH_CANCELLED, RUNTIME_FAULT_NONE, "%s", "");
}

void job_chunk(struct runtime_job *job, const char *text, size_t size, uint32_t tokens)
{
    cx_assert(job->state == JOB_RUNNING);
    cx_assert(!net_timer_is_on(&job->soon));
    job->tokens_out += tokens;
    if (size == 0)
        return;
    buf_add(&job->text, text, size);
    job->sink.on_chunk(job->ctx, text, size, tokens);
}

void job_end(struct runtime_job *job, enum runtime_finish finish, enum runtime_fault fault, const char *error)
{
    struct runtime *rt = job->rt;
    cx_assert((finish == RUNTIME_FINISH_ERROR) == (fault != RUNTIME_FAULT_NONE));
    net_timer_stop(&job->soon);
    if (job->state == JOB_RUNNING) {
        rt->ops->forget(job);
        take_out(&rt->running, job);
        rt->running_count--;
    } else {
        take_out(&rt->waiting, job);
        rt->waiting_count--;
    }
    job->state = JOB_ENDED;
    struct runtime_result result = {
        .finish = finish,
        .fault = fault,
        .error = error ? error : "",
        .seed_is_client = job->request.seed_is_client,
        .tokens_in = job->tokens_in,
        .tokens_out = job->tokens_out,
        .token_ids = rt->info.has_token_ids ? job->token_ids : NULL,
        .text = job->text.data ? job->text.data : "",
        .text_size = job->text.size,
    };
    job->sink.on_done(job->ctx, &result);
    free_job(job);
    start_waiting(rt);
}

static void end_now(void *ctx)
{
    struct runtime_job *job = ctx;
    job_end(job, job->finish, job->fault, job->error.data);
}

void job_end_soon(struct runtime_job *job, enum runtime_finish finish, enum runtime_fault fault, const char *format,
                  ...)
{
    char text[512];
    va_list args;
    if (net_timer_is_on(&job->soon))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    job->finish = finish;
    job->fault = fault;
    buf_text(&job->error, text);
    net_timer_soon(job->rt->loop, &job->soon, end_now, job);
}

/* ---- measuring ---- */

static void end_measure(struct runtime *rt, enum cx_err err, const char *detail)
{
    void (*on_ready)(void *ctx, enum cx_err err, const char *detail) = rt->measure.on_ready;
    rt->measure.on_ready = NULL;
    rt->measure.job = NULL;
    on_ready(rt->measure.ctx, err, detail);
}

static void measured_chunk(void *ctx, const char *text, size_t size, uint32_t token_count)
{
    struct runtime *rt = ctx;
    (void)text, (void)size, (void)token_count;
    if (rt->measure.first_us == 0)
        rt->measure.first_us = clock_mono_us();
}

/* The first token is not counted in the speed, for what came before it is in the TTFT; unless no text came, which is
 * how models that think first answer short questions. */
static void measured_done(void *ctx, const struct runtime_result *result)
{
    struct runtime *rt = ctx;
    uint64_t end_us = clock_mono_us(), begin_us = rt->measure.begin_us, first_us = rt->measure.first_us;
    uint64_t tokens = result->tokens_out;
    if (result->finish == RUNTIME_FINISH_ERROR) {
        end_measure(rt, CX_IO, result->error);
        return;
    }
    if (tokens == 0) {
        end_measure(rt, CX_IO, "the engine answered its first prompt with nothing");
        return;
    }
    bool first_counts = first_us == 0 || tokens == 1;
    first_us = first_us ? first_us : end_us;
    uint64_t spent_us = u64_max(1, end_us - (first_counts ? begin_us : first_us));
    rt->info.ttft_ms = (uint32_t)u64_max(1, (first_us - begin_us + 999) / 1000);
    rt->info.tokens_per_s_milli = (first_counts ? tokens : tokens - 1) * 1000000000u / spent_us;
    end_measure(rt, CX_OK, "");
}

static enum cx_err start_measure(struct runtime *rt)
{
    static const struct runtime_sink sink = {measured_chunk, measured_done};
    const struct span text = {(const uint8_t *)MEASURE_PROMPT, sizeof MEASURE_PROMPT - 1};
    const struct runtime_message message = {{(const uint8_t *)"user", 4}, text};
    struct runtime_request request = {
        .kind = rt->info.engine == RUNTIME_BUILTIN ? RUNTIME_COMPLETION : RUNTIME_CHAT,
        .messages = &message,
        .messages_count = 1,
        .prompt = text,
        .max_tokens = MEASURE_TOKENS,
    };
    rt->measure.begin_us = clock_mono_us();
    rt->measure.first_us = 0;
    return runtime_start(rt, &request, &sink, rt, &rt->measure.job);
}

void runtime_discovered(struct runtime *rt, enum cx_err err, const char *detail)
{
    cx_assert(rt->measure.on_ready);
    if (err || !rt->ops->measures) {
        end_measure(rt, err, detail);
        return;
    }
    err = start_measure(rt);
    if (err)
        end_measure(rt, err, cx_detail());
}

static void discovered_nothing(void *ctx) { runtime_discovered(ctx, CX_OK, ""); }

enum cx_err runtime_measure(struct runtime *rt, void (*on_ready)(void *ctx, enum cx_err err, const char *detail),
                            void *ctx)
{
    if (rt->measure.on_ready)
        return cx_fail(CX_BUSY, "the engine is being measured already");
    rt->measure.on_ready = on_ready;
    rt->measure.ctx = ctx;
    if (rt->ops->discover)
        rt->ops->discover(rt);
    else
        net_timer_soon(rt->loop, &rt->measure.soon, discovered_nothing, rt);
    return CX_OK;
}

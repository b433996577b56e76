/* runtime_builtin.c - our own forward pass, on threads of its own: one job a thread, as many as slots.
 *
 *      loop:    start -> queue          wake -> job_chunk, job_end
 *      worker:           queue -> tokens -> out, wake
 *
 * What a worker and the loop share of a job is in struct task, under the engine's mutex. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "crypto/sha256.h"
#include "runtime/chat_template.h"
#include "runtime/demo_model.h"
#include "runtime/engine.h"
#include "runtime/llama_model.h"
#include "runtime/sampler.h"
#include "runtime/text_gate.h"

#define BUILD_TEXT "corten-builtin/1"

struct builtin {
    struct runtime *rt;
    struct llama_model *model;
    struct net_wake *wake;
    pthread_t thread[RUNTIME_SLOTS_MAX];
    uint32_t threads;
    pthread_mutex_t mutex;
    pthread_cond_t has_work;   // the queue is not empty, or closing
    pthread_cond_t has_ended;  // some task's ended was set
    struct task *queue;
    bool closing;
};

struct task {
    const struct runtime_request *request;  // does not change while the task lives
    struct task *next;
    atomic_bool cancelled;

    /* The worker's until `ended`, then the loop's. */
    uint32_t *prompt, *answer, *seen, *order;
    uint32_t prompt_count, answer_count;
    struct text_gate gate;
    enum runtime_finish finish;
    enum runtime_fault fault;
    char error[200];

    /* Under the mutex. */
    struct buf out;
    uint32_t out_tokens;
    bool ended;
};

/* ---- on the worker's thread ---- */

static void fail_task(struct task *t, enum runtime_fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail_task(struct task *t, enum runtime_fault fault, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->error, sizeof t->error, format, args);
    va_end(args);
    t->finish = RUNTIME_FINISH_ERROR;
    t->fault = fault;
}

/* Moves what the gate lets through to the loop. */
static void hand_over(struct builtin *b, struct task *t, uint32_t tokens)
{
    size_t ready = text_gate_ready(&t->gate);
    pthread_mutex_lock(&b->mutex);
    if (ready > 0)
        buf_add(&t->out, t->gate.text.data + t->gate.sent, ready);
    t->out_tokens += tokens;
    pthread_mutex_unlock(&b->mutex);
    t->gate.sent += ready;
    if (ready > 0)
        net_wake_send(b->wake);
}

static bool take_token(struct builtin *b, struct task *t, uint32_t token)
{
    const struct tokenizer *tokenizer = &b->model->tokenizer;
    if (token == tokenizer->end) {
        t->finish = RUNTIME_FINISH_STOP;
        return false;
    }
    t->answer[t->answer_count++] = token;
    t->seen[token]++;
    if (tokenizer->byte_of[token] >= 0) {
        char byte = (char)tokenizer->byte_of[token];
        text_gate_add(&t->gate, &byte, 1);
    }
    if (t->gate.stopped)
        t->finish = RUNTIME_FINISH_STOP;
    hand_over(b, t, 1);
    return !t->gate.stopped;
}

static void generate(struct builtin *b, struct task *t, struct llama_run *run, uint32_t limit)
{
    const struct runtime_request *r = t->request;
    struct sampler sampler = {r->temperature, r->top_p, r->top_k, r->presence_penalty, r->frequency_penalty, r->seed};
    float *logits = NULL;
    for (uint32_t i = 0; i < t->prompt_count && !atomic_load(&t->cancelled); i++)
        logits = llama_run_step(run, t->prompt[i], i + 1 == t->prompt_count);
    t->finish = RUNTIME_FINISH_LENGTH;
    while (t->answer_count < limit && !atomic_load(&t->cancelled)) {
        uint32_t token = sampler_pick(&sampler, logits, b->model->tokenizer.count, t->seen, t->answer_count, t->order);
        if (!take_token(b, t, token))
            return;
        if (t->answer_count < limit)
            logits = llama_run_step(run, token, true);
    }
    if (t->answer_count < limit)
        t->finish = RUNTIME_FINISH_CANCELLED;
}

static void put_text(const struct builtin *b, struct task *t, const void *text, size_t size)
{
    const uint8_t *at = text;
    for (size_t i = 0; i < size; i++)
        t->prompt[t->prompt_count++] = b->model->tokenizer.of_byte[at[i]];
}

static const char *heading_of(struct span role)
{
    static const struct {
        const char *role, *heading;
    } headings[] = {{"user", "User: "}, {"assistant", "Assistant: "}, {"tool", "Tool: "}};
    for (size_t i = 0; i < ARRAY_COUNT(headings); i++)
        if (strlen(headings[i].role) == role.size && memcmp(headings[i].role, role.data, role.size) == 0)
            return headings[i].heading;
    return "System: ";
}

/* chat_template.h, in tokens. */
static void put_chat(const struct builtin *b, struct task *t)
{
    const struct runtime_request *r = t->request;
    for (uint32_t i = 0; i < r->messages_count; i++) {
        const char *heading = heading_of(r->messages[i].role);
        put_text(b, t, heading, strlen(heading));
        put_text(b, t, r->messages[i].content.data, r->messages[i].content.size);
        if (heading[0] == 'A')
            t->prompt[t->prompt_count++] = b->model->tokenizer.end;
        put_text(b, t, "\n", 1);
    }
    put_text(b, t, "Assistant: ", 11);
}

static size_t prompt_cap(const struct runtime_request *r)
{
    size_t cap = CHAT_TEMPLATE_TOKENS_MAX + r->prompt.size;
    for (uint32_t i = 0; i < r->messages_count; i++)
        cap += CHAT_TEMPLATE_TOKENS_MAX + r->messages[i].content.size;
    return cap;
}

static bool make_prompt(const struct builtin *b, struct task *t)
{
    size_t cap = prompt_cap(t->request);
    t->prompt = malloc(cap * sizeof *t->prompt);
    if (!t->prompt) {
        fail_task(t, RUNTIME_FAULT_ENGINE, "no memory for a prompt of %zu tokens", cap);
        return false;
    }
    t->prompt[t->prompt_count++] = b->model->tokenizer.begin;
    if (t->request->kind == RUNTIME_CHAT)
        put_chat(b, t);
    else
        put_text(b, t, t->request->prompt.data, t->request->prompt.size);
    cx_assert(t->prompt_count <= cap);
    return true;
}

static void run_task(struct builtin *b, struct task *t)
{
    const struct llama_model *m = b->model;
    if (t->request->kind == RUNTIME_CHAT && !m->has_chat_template) {
        fail_task(t, RUNTIME_FAULT_REQUEST,
                  "this model's chat template is not one the builtin engine knows: ask for a completion");
        return;
    }
    if (!make_prompt(b, t))
        return;
    if (t->prompt_count >= m->context) {
        fail_task(t, RUNTIME_FAULT_CONTEXT,
                  "the prompt has %" PRIu32 " tokens; the context of %" PRIu32 " leaves no room for an answer",
                  t->prompt_count, m->context);
        return;
    }
    uint32_t limit = u32_min(t->request->max_tokens, m->context - t->prompt_count);
    cx_auto(llama_run) run = NULL;
    t->answer = calloc(limit, sizeof *t->answer);
    t->seen = calloc(m->tokenizer.count, sizeof *t->seen);
    t->order = calloc(m->tokenizer.count, sizeof *t->order);
    if (!t->answer || !t->seen || !t->order || llama_run_open(m, t->prompt_count + limit, &run)) {
        fail_task(t, RUNTIME_FAULT_ENGINE, "no memory for %" PRIu32 " tokens", t->prompt_count + limit);
        return;
    }
    generate(b, t, run, limit);
    text_gate_end(&t->gate);
    hand_over(b, t, 0);
}

static struct task *next_task(struct builtin *b)
{
    pthread_mutex_lock(&b->mutex);
    while (!b->queue && !b->closing)
        pthread_cond_wait(&b->has_work, &b->mutex);
    struct task *t = b->queue;
    if (t)
        b->queue = t->next;
    pthread_mutex_unlock(&b->mutex);
    return t;
}

static void *work(void *ctx)
{
    struct builtin *b = ctx;
    for (struct task *t; (t = next_task(b)) != NULL;) {
        run_task(b, t);
        /* The bell is rung under the mutex: once it is free, the loop may close everything. */
        pthread_mutex_lock(&b->mutex);
        t->ended = true;
        net_wake_send(b->wake);
        pthread_cond_broadcast(&b->has_ended);
        pthread_mutex_unlock(&b->mutex);
    }
    return NULL;
}

/* ---- on the loop's thread ---- */

/* Gives the sink what has come; true if the job has ended and is gone. */
static bool report(struct builtin *b, struct runtime_job *job)
{
    struct task *t = job->of_engine;
    pthread_mutex_lock(&b->mutex);
    struct buf out = t->out;
    uint32_t tokens = t->out_tokens;
    bool ended = t->ended;
    t->out = (struct buf){0};
    t->out_tokens = 0;
    pthread_mutex_unlock(&b->mutex);

    job_chunk(job, out.data, out.size, tokens);
    buf_done(&out);
    if (!ended)
        return false;
    char error[sizeof t->error];
    memcpy(error, t->error, sizeof error);
    job->tokens_in = t->prompt_count;
    job->token_ids = t->answer;
    t->answer = NULL;
    job_end(job, t->finish, t->fault, error);
    return true;
}

static void on_wake(void *ctx)
{
    struct builtin *b = ctx;
    /* A sink may start and cancel jobs, so the list is looked at anew after each end. */
    for (bool again = true; again;) {
        again = false;
        for (struct runtime_job *job = b->rt->running; job && !again; job = job->next)
            again = report(b, job);
    }
}

static void start(struct runtime_job *job)
{
    struct builtin *b = job->rt->engine;
    struct task *t = calloc(1, sizeof *t);
    cx_assert(t);
    t->request = &job->request;
    text_gate_init(&t->gate, job->request.stop, job->request.stop_count);
    job->of_engine = t;
    pthread_mutex_lock(&b->mutex);
    struct task **last = &b->queue;
    while (*last)
        last = &(*last)->next;
    *last = t;
    pthread_cond_signal(&b->has_work);
    pthread_mutex_unlock(&b->mutex);
}

static void cancel(struct runtime_job *job)
{
    struct task *t = job->of_engine;
    atomic_store(&t->cancelled, true);
}

/* Waits for the worker, which looks at `cancelled` before each token. */
static void forget(struct runtime_job *job)
{
    struct builtin *b = job->rt->engine;
    struct task *t = job->of_engine;
    atomic_store(&t->cancelled, true);
    pthread_mutex_lock(&b->mutex);
    while (!t->ended)
        pthread_cond_wait(&b->has_ended, &b->mutex);
    pthread_mutex_unlock(&b->mutex);
    text_gate_done(&t->gate);
    buf_done(&t->out);
    free(t->prompt);
    free(t->answer);
    free(t->seen);
    free(t->order);
    free(t);
    job->of_engine = NULL;
}

static void close_engine(struct runtime *rt)
{
    struct builtin *b = rt->engine;
    pthread_mutex_lock(&b->mutex);
    b->closing = true;
    pthread_cond_broadcast(&b->has_work);
    pthread_mutex_unlock(&b->mutex);
    for (uint32_t i = 0; i < b->threads; i++)
        pthread_join(b->thread[i], NULL);
    net_wake_close(b->wake);
    llama_model_close(b->model);
    pthread_cond_destroy(&b->has_work);
    pthread_cond_destroy(&b->has_ended);
    pthread_mutex_destroy(&b->mutex);
    free(b);
}

/* ---- opening ---- */

static enum cx_err load(struct builtin *b, const uint8_t *data, size_t size)
{
    struct hash file;
    enum cx_err err = llama_model_open(data, size, &b->model);
    if (err)
        return err;
    sha256(data, size, &file);
    runtime_manifest(&file, 1, &b->rt->info.manifest);
    return CX_OK;
}

static enum cx_err load_open_file(struct builtin *b, int fd, const char *path)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return cx_fail(CX_IO, "model %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return cx_fail(CX_CORRUPT, "model %s: it is no file, or empty", path);
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return cx_fail(CX_IO, "model %s: %s", path, strerror(errno));
    enum cx_err err = load(b, data, (size_t)st.st_size);
    munmap(data, (size_t)st.st_size);
    if (err) {
        char detail[400];
        snprintf(detail, sizeof detail, "%s", cx_detail());
        return cx_fail(err, "model %s: %s", path, detail);
    }
    return CX_OK;
}

static enum cx_err load_file(struct builtin *b, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cx_fail(errno == ENOENT ? CX_NOT_FOUND : CX_IO, "model %s: %s", path, strerror(errno));
    enum cx_err err = load_open_file(b, fd, path);
    close(fd);
    return err;
}

static enum cx_err load_model(struct builtin *b, const char *path, const char *model)
{
    struct buf *name = &b->rt->model;
    if (path) {
        const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *end = strstr(file, ".gguf");
        buf_add(name, model ? model : file, model ? strlen(model) : end ? (size_t)(end - file) : strlen(file));
        return load_file(b, path);
    }
    if (model && strcmp(model, RUNTIME_MODEL_NAME) != 0)
        return cx_fail(CX_NOT_FOUND,
                       "model %s is not bundled, only " RUNTIME_MODEL_NAME
                       " is: name its file with --engine builtin=PATH.gguf",
                       model);
    buf_text(name, RUNTIME_MODEL_NAME);
    size_t size;
    const uint8_t *data = demo_model(&size);
    return load(b, data, size);
}

static enum cx_err start_threads(struct builtin *b)
{
    while (b->threads < b->rt->slots) {
        int failed = pthread_create(&b->thread[b->threads], NULL, work, b);
        if (failed)
            return cx_fail(CX_IO, "start a thread for the engine: %s", strerror(failed));
        b->threads++;
    }
    return CX_OK;
}

static enum cx_err open_engine(struct runtime *rt, const char *argument, const char *model,
                               const struct runtime_options *options)
{
    (void)options;
    struct builtin *b = calloc(1, sizeof *b);
    if (!b)
        return cx_fail(CX_MEMORY, "no memory for the engine");
    b->rt = rt;
    rt->engine = b;
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->has_work, NULL);
    pthread_cond_init(&b->has_ended, NULL);
    enum cx_err err = load_model(b, argument, model);
    if (!err)
        err = net_wake_open(rt->loop, on_wake, b, &b->wake);
    if (!err)
        err = start_threads(b);
    if (err) {
        close_engine(rt);
        return err;
    }
    buf_text(&rt->build, BUILD_TEXT);
    rt->info.engine = RUNTIME_BUILTIN;
    rt->info.has_token_ids = true;
    rt->info.context = b->model->context;
    rt->info.template_tokens = CHAT_TEMPLATE_TOKENS_MAX;
    return CX_OK;
}

const struct runtime_engine_ops runtime_builtin = {
    .open = open_engine,
    .close = close_engine,
    .start = start,
    .cancel = cancel,
    .forget = forget,
    .measures = true,
};

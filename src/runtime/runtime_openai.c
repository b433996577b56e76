/* runtime_openai.c - any OpenAI-compatible server: llama-server, vLLM, SGLang, Ollama.
 *
 *      discover:  GET  URL/v1/models
 *      start:     POST URL/v1/chat/completions or URL/v1/completions, streamed
 *      cancel:    closes the request, upon which servers stop computing
 *
 * The manifest is only declared: nobody but the server knows what it runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "crypto/sha256.h"
#include "net/http_client.h"
#include "runtime/engine.h"
#include "runtime/openai_body.h"

#define BUILD_TEXT      "openai/1"
#define CONTEXT_DEFAULT 4096u
#define TEMPLATE_TOKENS 32u  // more than what known templates add to one message
#define DISCOVER_MS     10000u
#define BODY_SIZE_MAX   (256u << 20)  // of one answer, all its events together
#define ERROR_SIZE_MAX  4096u         // of an error answer that is kept

struct openai {
    struct http_client *client;
    char *base;           // without /v1 and without a slash at its end
    char *authorization;  // NULL: none
    struct buf upstream;  // what the server calls the model
    uint32_t stall_ms;
    bool context_is_set;
    struct http_call *discovery;
};

struct upstream {
    struct runtime_job *job;
    struct http_call *call;
    struct openai_stream stream;
    struct buf body;  // of an error answer
    bool is_stream;   // status 200 and an event stream
    unsigned status;
    char content_type[100];
};

static enum cx_err send_call(struct openai *o, const char *path, struct http_call_options *options,
                             struct http_call **ret_call)
{
    struct buf url = {0};
    const char *fields[] = {"Content-Type: application/json", "Accept: text/event-stream, application/json",
                            o->authorization};
    buf_printf(&url, "%s%s", o->base, path);
    options->url = url.data;
    options->fields = fields;
    options->field_count = o->authorization ? 3 : 2;
    enum cx_err err = http_client_send(o->client, options, ret_call);
    buf_done(&url);
    return err;
}

/* ---- one job ---- */

static void on_head(void *ctx, unsigned status, const char *content_type)
{
    static const char stream[] = "text/event-stream";
    struct upstream *u = ctx;
    u->status = status;
    u->is_stream = status == 200 && strncasecmp(content_type, stream, sizeof stream - 1) == 0;
    size_t size = strcspn(content_type, "\r\n");
    size = size < sizeof u->content_type - 1 ? size : sizeof u->content_type - 1;
    memcpy(u->content_type, content_type, size);
    u->content_type[size] = '\0';
}

static void on_text(void *ctx, const char *text, size_t size)
{
    struct upstream *u = ctx;
    /* A piece is a token to servers that stream token by token; usage, which comes last, is exact. A sink that
     * cancels here stops the rest of this event's bytes as well. */
    if (!net_timer_is_on(&u->job->soon))
        job_chunk(u->job, text, size, 1);
}

static void on_body(void *ctx, const char *data, size_t size)
{
    struct upstream *u = ctx;
    if (!u->is_stream) {
        size_t room = ERROR_SIZE_MAX - u->body.size;
        buf_add(&u->body, data, size < room ? size : room);
        return;
    }
    if (!openai_stream_add(&u->stream, data, size, on_text, u) && !net_timer_is_on(&u->job->soon)) {
        http_call_cancel(u->call);
        u->call = NULL;
        job_end_soon(u->job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_ENGINE, "%s", u->stream.error.data);
    }
}

static void end_refused(struct upstream *u)
{
    struct buf text = {0};
    if (u->status == 200) {
        buf_printf(&text, "the engine's server answered with content type \"%s\" where a stream was asked for",
                   u->content_type);
        job_end_soon(u->job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_ENGINE, "%s", text.data);
    } else {
        enum runtime_fault fault = openai_read_error(u->status, u->body.data ? u->body.data : "", u->body.size, &text);
        job_end_soon(u->job, RUNTIME_FINISH_ERROR, fault, "%s", text.data);
    }
    buf_done(&text);
}

static void on_done(void *ctx, enum cx_err err, unsigned status)
{
    struct upstream *u = ctx;
    struct runtime_job *job = u->job;
    (void)status;
    u->call = NULL;
    if (net_timer_is_on(&job->soon))
        return;
    /* After [DONE] the answer is whole, however the connection ends. */
    if (err && !u->stream.is_done) {
        job_end_soon(job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_ENGINE, "the engine's server failed (%s): %s",
                     cx_err_name(err), cx_detail());
    } else if (!u->is_stream) {
        end_refused(u);
    } else if (!openai_stream_end(&u->stream)) {
        job_end_soon(job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_ENGINE, "%s", u->stream.error.data);
    } else {
        if (u->stream.has_usage) {
            job->tokens_in = u->stream.tokens_in;
            job->tokens_out = u->stream.tokens_out;
        }
        job_end_soon(job, u->stream.finish, RUNTIME_FAULT_NONE, "%s", "");
    }
}

static void start(struct runtime_job *job)
{
    struct openai *o = job->rt->engine;
    struct upstream *u = calloc(1, sizeof *u);
    struct buf body = {0};
    cx_assert(u);
    u->job = job;
    job->of_engine = u;
    openai_stream_init(&u->stream, job->request.kind);
    enum cx_err err =
        openai_put_request(&body, &job->request, o->upstream.size ? o->upstream.data : job->rt->model.data);
    if (err) {
        job_end_soon(job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_REQUEST, "%s", cx_detail());
        buf_done(&body);
        return;
    }
    struct http_call_options options = {
        .body = body.data,
        .body_size = body.size,
        .stall_ms = o->stall_ms,
        .response_size_max = BODY_SIZE_MAX,
        .on_head = on_head,
        .on_body = on_body,
        .on_done = on_done,
        .ctx = u,
    };
    err = send_call(o, job->request.kind == RUNTIME_CHAT ? "/v1/chat/completions" : "/v1/completions", &options,
                    &u->call);
    buf_done(&body);
    if (err)
        job_end_soon(job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_ENGINE, "%s", cx_detail());
}

static void cancel(struct runtime_job *job)
{
    struct upstream *u = job->of_engine;
    http_call_cancel(u->call);
    u->call = NULL;
    job_end_soon(job, RUNTIME_FINISH_CANCELLED, RUNTIME_FAULT_NONE, "%s", "");
}

static void forget(struct runtime_job *job)
{
    struct upstream *u = job->of_engine;
    http_call_cancel(u->call);
    openai_stream_done(&u->stream);
    buf_done(&u->body);
    free(u);
    job->of_engine = NULL;
}

/* ---- asking the server about itself ---- */

static enum cx_err read_models(struct runtime *rt, unsigned status, const char *body, size_t size)
{
    struct openai *o = rt->engine;
    uint32_t context = rt->info.context;
    /* A server without a list is taken at the operator's word. */
    if (status == 404 || status == 405)
        return rt->model.size ? CX_OK
                              : cx_fail(CX_INVALID, "the engine's server lists no models: name one with --model");
    if (status != 200) {
        struct buf text = {0};
        openai_read_error(status, body, size, &text);
        enum cx_err err = cx_fail(status == 401 || status == 403 ? CX_DENIED : CX_IO, "%s", text.data);
        buf_done(&text);
        return err;
    }
    buf_reset(&o->upstream);
    enum cx_err err = openai_find_model(body, size, rt->model.size ? rt->model.data : NULL, &o->upstream, &context);
    if (!err && !o->context_is_set)
        rt->info.context = context;
    return err;
}

/* "openai:" and the model's name, for no file was seen. */
static void declare(struct runtime *rt)
{
    struct buf text = {0};
    buf_printf(&text, "openai:%s", rt->model.data);
    sha256(text.data, text.size, &rt->info.manifest);
    buf_done(&text);
    rt->info.model = rt->model.data;
}

static void on_models(void *ctx, enum cx_err err, unsigned status)
{
    struct runtime *rt = ctx;
    struct openai *o = rt->engine;
    size_t size = 0;
    char detail[600];
    if (err) {
        snprintf(detail, sizeof detail, "the engine's server at %s: %s", o->base, cx_detail());
    } else {
        const char *body = http_call_body(o->discovery, &size);
        err = read_models(rt, status, body ? body : "", size);
        snprintf(detail, sizeof detail, "%s", err ? cx_detail() : "");
    }
    o->discovery = NULL;
    if (!err) {
        if (rt->model.size == 0)
            buf_add(&rt->model, o->upstream.data, o->upstream.size);
        declare(rt);
    }
    runtime_discovered(rt, err, detail);
}

static void discover_failed(void *ctx) { runtime_discovered(ctx, CX_INVALID, "the engine's URL cannot be asked"); }

static void discover(struct runtime *rt)
{
    struct openai *o = rt->engine;
    struct http_call_options options = {
        .stall_ms = o->stall_ms, .total_ms = DISCOVER_MS, .on_done = on_models, .ctx = rt};
    if (send_call(o, "/v1/models", &options, &o->discovery))
        net_timer_soon(rt->loop, &rt->measure.soon, discover_failed, rt);
}

/* ---- opening ---- */

static void close_engine(struct runtime *rt)
{
    struct openai *o = rt->engine;
    http_call_cancel(o->discovery);
    http_client_close(o->client);
    buf_done(&o->upstream);
    free(o->base);
    free(o->authorization);
    free(o);
}

static char *base_of(const char *url)
{
    char *base = strdup(url);
    cx_assert(base);
    size_t size = strlen(base);
    while (size > 0 && base[size - 1] == '/')
        base[--size] = '\0';
    if (size > 3 && strcmp(base + size - 3, "/v1") == 0)
        base[size - 3] = '\0';
    return base;
}

static enum cx_err set_key(struct openai *o, const char *key)
{
    struct buf field = {0};
    if (!key)
        return CX_OK;
    if (strpbrk(key, "\r\n"))
        return cx_fail(CX_INVALID, "the engine's API key holds a line end");
    buf_printf(&field, "Authorization: Bearer %s", key);
    o->authorization = field.data;  // a buffer's memory may be freed as such
    return CX_OK;
}

static enum cx_err open_engine(struct runtime *rt, const char *argument, const char *model,
                               const struct runtime_options *options)
{
    if (!argument || (strncmp(argument, "http://", 7) != 0 && strncmp(argument, "https://", 8) != 0))
        return cx_fail(CX_INVALID, "engine openai wants a URL: openai=http://HOST:PORT");
    struct openai *o = calloc(1, sizeof *o);
    if (!o)
        return cx_fail(CX_MEMORY, "no memory for the engine");
    rt->engine = o;
    o->base = base_of(argument);
    o->stall_ms = options->stall_ms ? options->stall_ms : RUNTIME_STALL_MS_DEFAULT;
    o->context_is_set = options->context > 0;
    buf_text(&rt->model, model ? model : "");
    buf_text(&rt->build, BUILD_TEXT);
    rt->info.engine = RUNTIME_OPENAI;
    rt->info.declared = true;
    rt->info.context = options->context ? options->context : CONTEXT_DEFAULT;
    rt->info.template_tokens = TEMPLATE_TOKENS;
    declare(rt);
    enum cx_err err = set_key(o, options->api_key);
    if (!err)
        err = http_client_open(rt->loop, &o->client);
    if (err)
        close_engine(rt);
    return err;
}

const struct runtime_engine_ops runtime_openai = {
    .open = open_engine,
    .close = close_engine,
    .discover = discover,
    .start = start,
    .cancel = cancel,
    .forget = forget,
    .measures = true,
};

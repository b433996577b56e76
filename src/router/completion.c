#include "router/completion.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "proto/sse.h"

/* ---- the end ---- */

static void completion_free(struct completion *c, bool cancel)
{
    net_timer_stop(&c->keep_alive);
    http_watch(c->call->x, NULL, NULL, NULL);
    prompt_done(&c->prompt, cancel);
    free(c);
}

void completion_fail(struct completion *c, const struct api_error *error)
{
    struct call *call = c->call;
    if (!c->begun) {
        completion_free(c, false);
        call_error(call, error);
        return;
    }
    completion_put_error(c, http_stream_open_piece(call->x), error);
    http_stream_close_piece(call->x);
    completion_free(c, false);
    call_ended(call, error->status);
    http_stream_end(call->x);
}

static void on_error(void *ctx, const struct api_error *error) { completion_fail(ctx, error); }

static void on_dropped(void *ctx)
{
    struct completion *c = ctx;
    struct call *call = c->call;
    completion_free(c, false);
    http_drop(call->x);
}

static void gone(void *ctx)
{
    struct completion *c = ctx;
    struct call *call = c->call;
    call->api->metrics.clients_gone++;
    /* Who gave a reference may come back for the answer, and who only looks on decides nothing. */
    completion_free(c, !c->onlooker && hash_is_zero(&c->prompt.reference));
    call_ended(call, 499);
    http_drop(call->x);
}

static void drained(void *ctx) { prompt_resume(&((struct completion *)ctx)->prompt); }

/* ---- streaming ---- */

static void add_ids(struct completion *c)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)c->prompt.session);
    enum cx_err err = http_add_header(c->call->x, "corten-session", text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)c->prompt.task);
    if (!err)
        err = http_add_header(c->call->x, "corten-task", text);
    cx_assert(err == CX_OK);
}

static void begin(struct completion *c)
{
    struct http_exchange *x = c->call->x;
    enum cx_err err = http_add_header(x, "Cache-Control", "no-cache");
    if (!err)
        err = http_add_header(x, "X-Accel-Buffering", "no");
    cx_assert(err == CX_OK);
    add_ids(c);
    http_stream_begin(x, 200, "text/event-stream; charset=utf-8");
    c->begun = true;
}

static void keep_alive(void *ctx)
{
    struct completion *c = ctx;
    struct net_loop *loop = c->call->api->options.loop;
    uint64_t now_ms = net_now_ms(loop);
    if (now_ms - c->sent_ms >= API_KEEP_ALIVE_MS) {
        if (!c->begun)
            begin(c);
        sse_put_comment(http_stream_open_piece(c->call->x), "still here");
        http_stream_close_piece(c->call->x);
        c->sent_ms = now_ms;
    }
    net_timer_start_at(loop, &c->keep_alive, c->sent_ms + API_KEEP_ALIVE_MS, keep_alive, c);
}

static void on_text(void *ctx, const char *text, size_t size)
{
    struct completion *c = ctx;
    struct api *api = c->call->api;
    uint64_t now_ms = net_now_ms(api->options.loop);
    if (!c->begun)
        begin(c);
    if (!c->led)
        histogram_add(&api->metrics.first_token, now_ms - c->call->began_ms);
    completion_put_text(c, http_stream_open_piece(c->call->x), text, size);
    http_stream_close_piece(c->call->x);
    c->sent_ms = now_ms;
    if (http_stream_is_full(c->call->x))
        prompt_pause(&c->prompt);
}

static void answer_stream(struct completion *c, const struct task_end *end)
{
    struct call *call = c->call;
    if (!c->begun)
        begin(c);
    struct buf *out = http_stream_open_piece(call->x);
    size_t sent = c->prompt.sent;
    if (end->text_size > sent)
        c->prompt.sum = text_sum(c->prompt.sum, end->text + sent, end->text_size - sent);
    c->prompt.sent = end->text_size;
    if (end->text_size > sent)
        completion_put_text(c, out, end->text + sent, end->text_size - sent);
    completion_put_last(c, out, end);
    http_stream_close_piece(call->x);
    completion_free(c, false);
    call_ended(call, 200);
    http_stream_end(call->x);
}

static void answer_whole(struct completion *c, const struct task_end *end)
{
    struct call *call = c->call;
    struct buf body = {0};
    completion_put_whole(c, &body, end);
    add_ids(c);
    completion_free(c, false);
    call_json(call, 200, &body);
    buf_done(&body);
}

static void on_answer(void *ctx, const struct task_end *end)
{
    struct completion *c = ctx;
    if (c->prompt.stream)
        answer_stream(c, end);
    else
        answer_whole(c, end);
}

/* ---- beginning ---- */

struct completion *completion_new(struct call *call, enum dialect dialect)
{
    static const struct prompt_events events = {
        .on_text = on_text, .on_answer = on_answer, .on_error = on_error, .on_dropped = on_dropped};
    struct completion *c = calloc(1, sizeof *c);
    cx_assert(c);
    *c = (struct completion){.call = call,
                             .dialect = dialect,
                             .created_s = net_wall_ms() / 1000,
                             .sent_ms = net_now_ms(call->api->options.loop),
                             .prompt = {.api = call->api,
                                        .events = &events,
                                        .ctx = c,
                                        .key = call->key,
                                        .account = call->account,
                                        .mode = http_header(call->x, "Corten-Mode"),
                                        .chat = dialect == DIALECT_CHAT}};
    prompt_init(&c->prompt);
    http_watch(call->x, gone, drained, c);
    return c;
}

void completion_stream(struct completion *c)
{
    c->prompt.stream = true;
    net_timer_start(c->call->api->options.loop, &c->keep_alive, API_KEEP_ALIVE_MS, keep_alive, c);
}

void completion_resume(struct call *call, uint64_t session, uint64_t task, const struct text_mark *from)
{
    struct completion *c = completion_new(call, DIALECT_NATIVE);
    c->onlooker = true;
    completion_stream(c);
    prompt_watch(&c->prompt, session, task, from);
}

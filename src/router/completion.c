#include "router/completion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "crypto/keccak.h"
#include "proto/sse.h"
#include "router/session_terms.h"

#define SELECT_RETRIES_MAX     2  // where a shared session closed between its choice and the submission
#define PROMPT_BYTES_PER_TOKEN 4  // an estimate, for the default of max_tokens alone

/* ---- the end ---- */

static void completion_free(struct completion *c)
{
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    c->call->api->streams--;
    net_timer_stop(&c->keep_alive);
    select_cancel(c->wait);
    request_close(&c->request);
    buf_done(&c->canonical);
    free(c);
}

/* Before an answer goes out: nothing more of this prompt may come. */
static void leave(struct completion *c, bool cancel)
{
    task_watch_close(c->watch, cancel);
    c->watch = NULL;
    select_cancel(c->wait);
    c->wait = NULL;
    net_timer_stop(&c->keep_alive);
    net_timer_stop(&c->interrupted);
    http_watch(c->call->x, NULL, NULL, NULL);
}

void completion_fail(struct completion *c, const struct api_error *error)
{
    struct call *call = c->call;
    leave(c, false);
    if (!c->begun) {
        completion_free(c);
        call_error(call, error);
        return;
    }
    completion_put_error(c, http_stream_open_piece(call->x), error);
    http_stream_close_piece(call->x);
    completion_free(c);
    call_ended(call, error->status);
    http_stream_end(call->x);
}

static void gone(void *ctx)
{
    struct completion *c = ctx;
    struct call *call = c->call;
    call->api->metrics.clients_gone++;
    /* Who gave a reference may come back for the answer. */
    leave(c, hash_is_zero(&c->reference));
    completion_free(c);
    call_ended(call, 499);
    http_drop(call->x);
}

static void drained(void *ctx)
{
    struct completion *c = ctx;
    if (c->watch)
        task_watch_resume(c->watch);
}

/* ---- streaming ---- */

static void add_ids(struct completion *c)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)c->session);
    enum cx_err err = http_add_header(c->call->x, "corten-session", text);
    snprintf(text, sizeof text, "%llu", (unsigned long long)c->task);
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
        task_watch_pause(c->watch);
}

static void say_interrupted(void *ctx)
{
    struct completion *c = ctx;
    struct api_error error = {.session = c->session, .task = c->task};
    c->call->api->metrics.streams_interrupted++;
    error_say(&error, 502, "stream_interrupted", NULL,
              "the node that streamed was lost; the task goes on: GET /api/v1/tasks/%llu/%llu",
              (unsigned long long)c->session, (unsigned long long)c->task);
    completion_fail(c, &error);
}

/* A primary that is outvoted is lost to the stream in the entry that completes the task: then the end knows better. */
static void on_interrupted(void *ctx)
{
    struct completion *c = ctx;
    net_timer_soon(c->call->api->options.loop, &c->interrupted, say_interrupted, c);
}

static void answer_stream(struct completion *c, const struct task_end *end)
{
    struct call *call = c->call;
    if (!c->begun)
        begin(c);
    struct buf *out = http_stream_open_piece(call->x);
    if (end->text_size > c->sent)
        completion_put_text(c, out, end->text + c->sent, end->text_size - c->sent);
    completion_put_last(c, out, end);
    http_stream_close_piece(call->x);
    completion_free(c);
    call_ended(call, 200);
    http_stream_end(call->x);
}

static void answer_whole(struct completion *c, const struct task_end *end)
{
    struct call *call = c->call;
    struct buf body = {0};
    completion_put_whole(c, &body, end);
    add_ids(c);
    completion_free(c);
    call_json(call, 200, &body);
    buf_done(&body);
}

static void answer(struct completion *c, const struct task_end *end)
{
    struct api_error error = {.session = end->session, .task = end->task};
    if (!end->text) {
        error_say(&error, 410, "ANSWER_EXPIRED", NULL, "the answer is no longer kept; its digest is in the receipt");
        completion_fail(c, &error);
    } else if (end->replaced && c->sent > 0) {
        c->call->api->metrics.answers_replaced++;
        error_say(&error, 502, "answer_replaced", NULL,
                  "another node's answer stands, not the one that was streamed: GET /api/v1/tasks/%llu/%llu",
                  (unsigned long long)end->session, (unsigned long long)end->task);
        completion_fail(c, &error);
    } else {
        leave(c, false);
        if (c->stream)
            answer_stream(c, end);
        else
            answer_whole(c, end);
    }
}

static void on_end(void *ctx, const struct task_end *end)
{
    struct completion *c = ctx;
    struct api_error error;
    struct finished_task done;
    if (end->state == TASK_COMPLETED) {
        answer(c, end);
        return;
    }
    uint32_t attempts = 1;
    if (history_finished(c->call->api->options.history, end->session, end->task, &done) == CX_OK)
        attempts = done.attempts;
    error_of_end(end, attempts, c->context || end->context, &error);
    completion_fail(c, &error);
}

/* ---- submitting ---- */

static struct task_sink sink_of(struct completion *c);

struct found {
    uint64_t session, task;
};

static bool take_session(void *ctx, const struct archived_task *task)
{
    *(struct found *)ctx = (struct found){.session = task->session, .task = task->task};
    return false;
}

/* The reference named a task that has ended: its answer is in the archive. */
static void watch_ended(struct completion *c)
{
    struct api *api = c->call->api;
    struct archive *archive = history_archive(api->options.history);
    struct found found = {0};
    struct api_error error = {.task = c->task};
    const struct task_sink to = sink_of(c);
    task_watch_close(c->watch, false);
    c->watch = NULL;
    enum cx_err err = archive
                          ? archive_task_by_reference(archive, &c->call->account, &c->reference, take_session, &found)
                          : CX_NOT_FOUND;
    if (!err) {
        c->session = found.session;
        c->task = found.task;
        err = tasks_watch(api->options.tasks, found.session, found.task, 0, &to, &c->watch);
    }
    if (!err)
        return;
    error_say(&error, 409, "TASK_KNOWN", "client_reference",
              "that reference names a task that has ended, and its answer is no longer kept");
    completion_fail(c, &error);
}

static void on_accepted(void *ctx, uint64_t task, bool known)
{
    struct completion *c = ctx;
    struct api *api = c->call->api;
    struct task_view view;
    c->task = task;
    api->metrics.prompts++;
    api->metrics.prompts_streamed += c->stream;
    if (!known)
        return;
    if (!view_task(replica_core(api->options.replica), task, &view)) {
        watch_ended(c);
        return;
    }
    c->session = view.session;
    if (address_eq(&view.router, replica_router(api->options.replica))) {
        if (c->stream)
            task_watch_resume(c->watch);
        return;
    }
    struct api_error error;
    error_of_verdict(VERDICT_NOT_TASK_ROUTER, &error);
    error.task = task;
    completion_fail(c, &error);
}

static void say_queue(const struct completion *c, struct api_error *error)
{
    struct session_view v;
    size_t used = strlen(error->message);
    if (view_session(replica_core(c->call->api->options.replica), c->session, &v))
        snprintf(error->message + used, sizeof error->message - used,
                 ": %u tasks wait in the session, and %u are under way on %u nodes", v.tasks_queued,
                 v.tasks_live - u32_min(v.tasks_queued, v.tasks_live), v.nodes);
}

/* What there is, beside what it would take. */
static void say_money(const struct completion *c, enum verdict verdict, struct api_error *error)
{
    const struct core *core = replica_core(c->call->api->options.replica);
    struct account_view account;
    struct session_view session;
    struct key_view key;
    size_t used = strlen(error->message), room = sizeof error->message - used;
    char *at = error->message + used;
    if (verdict == VERDICT_BALANCE_SHORT && view_account(core, &c->call->account, &account))
        used +=
            (size_t)snprintf(at, room, ": the balance is %llu credits", (unsigned long long)account.balance.credits);
    else if (verdict == VERDICT_ESCROW_SHORT && view_session(core, c->session, &session))
        used += (size_t)snprintf(at, room, ": the escrow is %llu credits", (unsigned long long)session.escrow.credits);
    else if (verdict == VERDICT_KEY_BUDGET && view_key(core, &c->call->key.hash, &key))
        used += (size_t)snprintf(at, room, ": of %llu credits %llu are spent or reserved",
                                 (unsigned long long)key.budget.credits, (unsigned long long)key.spent.credits);
    snprintf(error->message + used, sizeof error->message - used,
             "; what the answer can cost at most is set aside, and less of it with a smaller max_tokens");
}

static void on_refused(void *ctx, enum cx_err err, enum verdict verdict, const char *detail)
{
    struct completion *c = ctx;
    struct api_error error;
    bool closed = verdict == VERDICT_SESSION_NOT_OPEN || verdict == VERDICT_SESSION_UNKNOWN;
    bool shared = c->selected.reason && strncmp(c->selected.reason, "shared", 6) == 0;
    if (!err && closed && shared && c->retries++ < SELECT_RETRIES_MAX) {
        task_watch_close(c->watch, false);
        c->watch = NULL;
        completion_select(c);
        return;
    }
    if (err)
        error_of_world(err, detail, &error);
    else
        error_of_verdict(verdict, &error);
    error.session = c->session;
    if (!err && verdict == VERDICT_CONTEXT_EXCEEDED)
        error.param = "max_tokens";
    else if (!err && verdict == VERDICT_PROMPT_RANGE)
        error.param = c->dialect == DIALECT_CHAT ? "messages" : "prompt";
    else if (!err && error.status == 429)
        say_queue(c, &error);
    else if (!err && error.status == 402)
        say_money(c, verdict, &error);
    completion_fail(c, &error);
}

/* Who does not stream gets the whole at the end, also of a task that streams to somebody else. */
static struct task_sink sink_of(struct completion *c)
{
    return (struct task_sink){.on_accepted = on_accepted,
                              .on_refused = on_refused,
                              .on_text = c->stream ? on_text : NULL,
                              .on_interrupted = c->stream ? on_interrupted : NULL,
                              .on_end = on_end,
                              .ctx = c};
}

/* What the session gives where the request says nothing, but never more than the context has room for. */
static uint32_t default_tokens(const struct completion *c, const struct session_view *v, const struct model_view *m)
{
    uint32_t room = session_terms_room(m);
    uint32_t prompt = c->request.prompt_size / PROMPT_BYTES_PER_TOKEN;
    if (room > prompt)
        room -= prompt;
    return u32_min(v->tokens_max, room);
}

static void name_model(struct completion *c, const struct model_view *m)
{
    memcpy(c->model, m->name, sizeof c->model);
    memcpy(c->fingerprint, "fp_", 3);
    hex_encode(m->manifest_digest.b, 6, c->fingerprint + 3);
}

void completion_submit(struct completion *c)
{
    struct call *call = c->call;
    const struct core *core = replica_core(call->api->options.replica);
    struct request *r = &c->request;
    struct session_view v;
    struct model_view m;
    struct api_error error;
    if (!view_session(core, c->session, &v) || !view_model(core, v.model, &m)) {
        error_of_verdict(VERDICT_SESSION_UNKNOWN, &error);
        completion_fail(c, &error);
        return;
    }
    name_model(c, &m);
    c->result = v.result;
    if (r->model.size == 0)
        json_object_set_new(r->document, "model", json_string(m.name));
    if (r->max_tokens == 0)
        r->max_tokens = default_tokens(c, &v, &m);
    if (v.validation == VALIDATION_MAJORITY && !r->has_temperature && !r->has_seed)
        r->temperature = 0;  // what several miners write is compared
    buf_reset(&c->canonical);
    request_canonical(r, &c->canonical);
    const struct task_wish wish = {
        .payer = call->account,
        .key_hash = call->key.hash,
        .session = c->session,
        .reference = c->reference,
        .request = c->canonical.data,
        .request_size = c->canonical.size,
        .prompt_size = r->prompt_size,
        .tokens_max = r->max_tokens,
        .priority = r->corten.priority >= 0 ? (uint8_t)r->corten.priority : PRIORITY_DEFAULT,
        .stream = c->stream,
        .greedy = r->temperature == 0,
        .seed_of_client = r->has_seed,
        .seed = r->seed,
        .timeout_ms = r->corten.timeout_ms,
        .precommit_ms = r->corten.precommit_ms,
    };
    const struct task_sink to = sink_of(c);
    select_used(call->api->select, c->session);
    enum cx_err err = tasks_submit(call->api->options.tasks, &wish, &to, &c->watch);
    if (!err)
        return;
    error_of_world(err, cx_detail(), &error);
    completion_fail(c, &error);
}

/* ---- beginning ---- */

struct completion *completion_new(struct call *call, enum dialect dialect)
{
    struct completion *c = calloc(1, sizeof *c);
    cx_assert(c);
    struct api *api = call->api;
    c->call = call;
    c->dialect = dialect;
    c->created_s = net_wall_ms() / 1000;
    c->sent_ms = net_now_ms(api->options.loop);
    c->next = api->completion;
    c->at = &api->completion;
    if (c->next)
        c->next->at = &c->next;
    api->completion = c;
    api->streams++;
    http_watch(call->x, gone, drained, c);
    return c;
}

void completion_stream(struct completion *c)
{
    c->stream = true;
    net_timer_start(c->call->api->options.loop, &c->keep_alive, API_KEEP_ALIVE_MS, keep_alive, c);
}

void completion_resume(struct call *call, uint64_t session, uint64_t task, size_t from)
{
    struct completion *c = completion_new(call, DIALECT_NATIVE);
    const struct task_sink to = sink_of(c);
    c->session = session;
    c->task = task;
    c->sent = from;
    c->selected.reason = "named";
    /* Whoever only looks on cancels nothing by leaving. */
    memset(&c->reference, 0xff, sizeof c->reference);
    struct session_view v;
    struct model_view m;
    if (view_session(replica_core(call->api->options.replica), session, &v) &&
        view_model(replica_core(call->api->options.replica), v.model, &m))
        name_model(c, &m);
    completion_stream(c);
    enum cx_err err = tasks_watch(call->api->options.tasks, session, task, from, &to, &c->watch);
    if (!err)
        return;
    struct api_error error;
    error_of_verdict(VERDICT_TASK_UNKNOWN, &error);
    completion_fail(c, &error);
}

/* ---- from the api ---- */

void completion_on_event(struct api *api, const struct replica_moment *moment, const struct event *event)
{
    if (event->type != EVENT_ASSIGNMENT_MOVED || event->assignment_moved.to != ASSIGNMENT_DECLINED ||
        !moment->command || moment->command->type != COMMAND_TASK_DECLINE ||
        moment->command->task_decline.reason != DECLINE_CONTEXT)
        return;
    for (struct completion *c = api->completion; c; c = c->next)
        if (c->task == event->assignment_moved.task)
            c->context = true;
}

void completion_stop_all(struct api *api)
{
    while (api->completion) {
        struct completion *c = api->completion;
        struct api_error error = {.session = c->session, .task = c->task, .retry = true, .retry_ms = API_RETRY_MS};
        error.same_reference = !hash_is_zero(&c->reference);
        error_say(&error, 503, "STOPPING", NULL, "the router is stopping; a task that was accepted goes on");
        completion_fail(c, &error);
    }
}

void completion_close_all(struct api *api)
{
    while (api->completion) {
        struct completion *c = api->completion;
        struct call *call = c->call;
        leave(c, false);
        completion_free(c);
        http_drop(call->x);
    }
}

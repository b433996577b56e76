#include "router/prompt.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "crypto/keccak.h"
#include "router/session_terms.h"

#define SELECT_RETRIES_MAX     2  // where a shared session closed between its choice and the submission
#define PROMPT_BYTES_PER_TOKEN 4  // an estimate, for the default of max_tokens alone

/* ---- the end ---- */

/* Before the end is told: nothing more may come. */
static void leave(struct prompt *p, bool cancel)
{
    task_watch_close(p->watch, cancel);
    p->watch = NULL;
    select_cancel(p->wait);
    p->wait = NULL;
    net_timer_stop(&p->interrupted);
}

static void fail(struct prompt *p, const struct api_error *error)
{
    leave(p, false);
    p->events->on_error(p->ctx, error);
}

static void answer(struct prompt *p, const struct task_end *end)
{
    struct api_error error = {.session = end->session, .task = end->task};
    if (!end->text) {
        error_say(&error, 410, "ANSWER_EXPIRED", NULL, "the answer is no longer kept; its digest is in the receipt");
        fail(p, &error);
    } else if (end->replaced && p->sent > 0) {
        p->api->metrics.answers_replaced++;
        error_say(&error, 502, "answer_replaced", NULL,
                  "another node's answer stands, not the one that was streamed: GET /api/v1/tasks/%llu/%llu",
                  (unsigned long long)end->session, (unsigned long long)end->task);
        fail(p, &error);
    } else {
        leave(p, false);
        p->events->on_answer(p->ctx, end);
    }
}

static void on_end(void *ctx, const struct task_end *end)
{
    struct prompt *p = ctx;
    struct api_error error;
    struct finished_task done;
    if (end->state == TASK_COMPLETED) {
        answer(p, end);
        return;
    }
    uint32_t attempts = 1;
    if (history_finished(p->api->options.history, end->session, end->task, &done) == CX_OK)
        attempts = done.attempts;
    error_of_end(end, attempts, p->context || end->context, &error);
    fail(p, &error);
}

/* ---- streaming ---- */

static void on_text(void *ctx, const char *text, size_t size)
{
    struct prompt *p = ctx;
    p->sent += size;
    p->sum = text_sum(p->sum, text, size);
    p->events->on_text(p->ctx, text, size);
}

static void say_interrupted(void *ctx)
{
    struct prompt *p = ctx;
    struct api_error error = {.session = p->session, .task = p->task};
    p->api->metrics.streams_interrupted++;
    error_say(&error, 502, "stream_interrupted", NULL,
              "the node that streamed was lost; the task goes on: GET /api/v1/tasks/%llu/%llu",
              (unsigned long long)p->session, (unsigned long long)p->task);
    fail(p, &error);
}

/* A primary that is outvoted is lost to the stream in the entry that completes the task: then the end knows better. */
static void on_interrupted(void *ctx)
{
    struct prompt *p = ctx;
    net_timer_soon(p->api->options.loop, &p->interrupted, say_interrupted, p);
}

void prompt_pause(struct prompt *p)
{
    if (p->watch)
        task_watch_pause(p->watch);
}

void prompt_resume(struct prompt *p)
{
    if (p->watch)
        task_watch_resume(p->watch);
}

/* ---- submitting ---- */

static void say_accepted(struct prompt *p)
{
    if (p->events->on_accepted)
        p->events->on_accepted(p->ctx);
}

static struct task_sink sink_of(struct prompt *p);
static void find_session(struct prompt *p);

/* The reference named a task that has ended. */
static void watch_ended(struct prompt *p)
{
    struct api *api = p->api;
    uint64_t session, task;
    struct api_error error = {.task = p->task};
    const struct task_sink to = sink_of(p);
    task_watch_close(p->watch, false);
    p->watch = NULL;
    enum cx_err err = history_by_reference(api->options.history, &p->account, &p->reference, &session, &task);
    if (!err) {
        p->session = session;
        p->task = task;
        err = tasks_watch(api->options.tasks, session, task, NULL, &to, &p->watch);
    }
    if (!err) {
        say_accepted(p);
        return;
    }
    error_say(&error, 409, "TASK_KNOWN", "client_reference",
              "that reference names a task that has ended, and its answer is no longer kept");
    fail(p, &error);
}

static void on_accepted(void *ctx, uint64_t task, bool known)
{
    struct prompt *p = ctx;
    struct api *api = p->api;
    struct task_view view;
    p->task = task;
    api->metrics.prompts++;
    api->metrics.prompts_streamed += p->stream;
    p->known = known;
    if (!known) {
        say_accepted(p);
        return;
    }
    if (!view_task(replica_core(api->options.replica), task, &view)) {
        watch_ended(p);
        return;
    }
    p->session = view.session;
    if (address_eq(&view.router, replica_router(api->options.replica))) {
        if (p->stream)
            task_watch_resume(p->watch);
        say_accepted(p);
        return;
    }
    struct api_error error;
    error_of_verdict(VERDICT_NOT_TASK_ROUTER, &error);
    error.task = task;
    fail(p, &error);
}

static void say_queue(const struct prompt *p, struct api_error *error)
{
    struct session_view v;
    size_t used = strlen(error->message);
    if (view_session(replica_core(p->api->options.replica), p->session, &v))
        snprintf(error->message + used, sizeof error->message - used,
                 ": %u tasks wait in the session, and %u are under way on %u nodes", v.tasks_queued,
                 v.tasks_live - u32_min(v.tasks_queued, v.tasks_live), v.nodes);
}

/* What there is, beside what it would take. */
static void say_money(const struct prompt *p, enum verdict verdict, struct api_error *error)
{
    const struct core *core = replica_core(p->api->options.replica);
    struct account_view account;
    struct session_view session;
    struct key_view key;
    size_t used = strlen(error->message), room = sizeof error->message - used;
    char *at = error->message + used;
    if (verdict == VERDICT_BALANCE_SHORT && view_account(core, &p->account, &account))
        used +=
            (size_t)snprintf(at, room, ": the balance is %llu credits", (unsigned long long)account.balance.credits);
    else if (verdict == VERDICT_ESCROW_SHORT && view_session(core, p->session, &session))
        used += (size_t)snprintf(at, room, ": the escrow is %llu credits", (unsigned long long)session.escrow.credits);
    else if (verdict == VERDICT_KEY_BUDGET && view_key(core, &p->key.hash, &key))
        used += (size_t)snprintf(at, room, ": of %llu credits %llu are spent or reserved",
                                 (unsigned long long)key.budget.credits, (unsigned long long)key.spent.credits);
    snprintf(error->message + used, sizeof error->message - used,
             "; what the answer can cost at most is set aside, and less of it with a smaller max_tokens");
}

static void on_refused(void *ctx, enum cx_err err, enum verdict verdict, const char *detail)
{
    struct prompt *p = ctx;
    struct api_error error;
    bool closed = verdict == VERDICT_SESSION_NOT_OPEN || verdict == VERDICT_SESSION_UNKNOWN;
    bool shared = p->selected.reason && strncmp(p->selected.reason, "shared", 6) == 0;
    if (!err && closed && shared && p->retries++ < SELECT_RETRIES_MAX) {
        task_watch_close(p->watch, false);
        p->watch = NULL;
        find_session(p);
        return;
    }
    if (err)
        error_of_world(err, detail, &error);
    else
        error_of_verdict(verdict, &error);
    error.session = p->session;
    if (!err && verdict == VERDICT_CONTEXT_EXCEEDED)
        error.param = "max_tokens";
    else if (!err && verdict == VERDICT_PROMPT_RANGE)
        error.param = p->chat ? "messages" : "prompt";
    else if (!err && error.status == 429)
        say_queue(p, &error);
    else if (!err && error.status == 402)
        say_money(p, verdict, &error);
    fail(p, &error);
}

/* Who does not stream gets the whole at the end, also of a task that streams to somebody else. */
static struct task_sink sink_of(struct prompt *p)
{
    return (struct task_sink){.on_accepted = on_accepted,
                              .on_refused = on_refused,
                              .on_text = p->stream ? on_text : NULL,
                              .on_interrupted = p->stream ? on_interrupted : NULL,
                              .on_end = on_end,
                              .ctx = p};
}

/* What the session gives where the request says nothing, but never more than the context has room for. */
static uint32_t default_tokens(const struct prompt *p, const struct session_view *v, const struct model_view *m)
{
    uint32_t room = session_terms_room(m);
    uint32_t prompt = p->request.prompt_size / PROMPT_BYTES_PER_TOKEN;
    if (room > prompt)
        room -= prompt;
    return u32_min(v->tokens_max, room);
}

static void name_model(struct prompt *p, const struct model_view *m)
{
    memcpy(p->model, m->name, sizeof p->model);
    memcpy(p->fingerprint, "fp_", 3);
    hex_encode(m->manifest_digest.b, 6, p->fingerprint + 3);
}

static void submit(struct prompt *p)
{
    const struct core *core = replica_core(p->api->options.replica);
    struct request *r = &p->request;
    struct session_view v;
    struct model_view m;
    struct api_error error;
    if (!view_session(core, p->session, &v) || !view_model(core, v.model, &m)) {
        error_of_verdict(VERDICT_SESSION_UNKNOWN, &error);
        fail(p, &error);
        return;
    }
    name_model(p, &m);
    p->result = v.result;
    if (r->model.size == 0)
        r->model = (struct span){(const uint8_t *)p->model, (uint32_t)strlen(p->model)};
    if (r->max_tokens == 0)
        r->max_tokens = default_tokens(p, &v, &m);
    if (v.validation == VALIDATION_MAJORITY && !r->has_temperature && !r->has_seed)
        r->temperature = 0;  // what several miners write is compared
    buf_reset(&p->canonical);
    request_canonical(r, &p->canonical);
    const struct task_wish wish = {
        .payer = p->account,
        .key_hash = p->key.hash,
        .session = p->session,
        .reference = p->reference,
        .request = p->canonical.data,
        .request_size = p->canonical.size,
        .prompt_size = r->prompt_size,
        .tokens_max = r->max_tokens,
        .priority = r->corten.priority >= 0 ? (uint8_t)r->corten.priority : PRIORITY_DEFAULT,
        .stream = p->stream,
        .greedy = r->temperature == 0,
        .seed_of_client = r->has_seed,
        .seed = r->seed,
        .timeout_ms = r->corten.timeout_ms,
        .precommit_ms = r->corten.precommit_ms,
    };
    const struct task_sink to = sink_of(p);
    select_used(p->api->select, p->session);
    enum cx_err err = tasks_submit(p->api->options.tasks, &wish, &to, &p->watch);
    if (!err)
        return;
    error_of_world(err, cx_detail(), &error);
    fail(p, &error);
}

/* ---- the session ---- */

static void selected(struct prompt *p)
{
    struct api_error error;
    const struct selected *s = &p->selected;
    if (s->verdict == VERDICT_ACCEPTED) {
        p->session = s->session;
        submit(p);
        return;
    }
    error_of_verdict(s->verdict, &error);
    error.param = s->param;
    if (s->message[0])
        snprintf(error.message, sizeof error.message, "%s", s->message);
    fail(p, &error);
}

static void on_selected(void *ctx, enum cx_err err, const struct selected *s)
{
    struct prompt *p = ctx;
    struct api_error error;
    p->wait = NULL;
    p->selected = *s;
    if (!err) {
        selected(p);
        return;
    }
    error_of_world(err, cx_detail(), &error);
    fail(p, &error);
}

/* The number of a term that the request names in any case, or -1 where it names none; -2: there is no such. */
static int find_term(enum term_set set, const char *text, size_t size)
{
    char name[32];
    if (size == 0)
        return -1;
    if (size >= sizeof name)
        return -2;
    for (size_t i = 0; i < size; i++)
        name[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i] == '-' ? '_' : text[i]);
    name[size] = 0;
    int value = term_find(set, name);
    return value < 0 ? -2 : value;
}

static bool read_term(struct prompt *p, enum term_set set, const char *param, const char *text, size_t size,
                      int *ret_value)
{
    struct api_error error = {0};
    *ret_value = find_term(set, text, size);
    if (*ret_value != -2)
        return true;
    error_say(&error, 400, "VALUE_INVALID", param, "%s: \"%.*s\" is not known", param, (int)(size < 40 ? size : 40),
              text);
    fail(p, &error);
    return false;
}

static void find_session(struct prompt *p)
{
    const struct request *r = &p->request;
    struct select_wish wish = {
        .account = p->account,
        .key_model = p->key.model,
        .key_session = p->key.session,
        .session = r->corten.session,
        .model = (const char *)r->model.data,
        .model_size = r->model.size,
        .redundancy = r->corten.redundancy,
    };
    if (!read_term(p, TERM_validation_policy, "validation", (const char *)r->corten.validation.data,
                   r->corten.validation.size, &wish.validation) ||
        !read_term(p, TERM_session_privacy, "privacy", (const char *)r->corten.privacy.data, r->corten.privacy.size,
                   &wish.privacy) ||
        !read_term(p, TERM_session_mode, "Corten-Mode", p->mode, p->mode ? strlen(p->mode) : 0, &wish.mode))
        return;
    if (wish.privacy == PRIVACY_ENCRYPTED) {
        struct api_error error = {0};
        error_say(&error, 501, "NOT_BUILT", "privacy", "encrypted sessions are not built in this version");
        fail(p, &error);
        return;
    }
    if (select_session(p->api->select, &wish, &p->selected, on_selected, p, &p->wait))
        selected(p);
}

/* ---- for the owner ---- */

void prompt_init(struct prompt *p)
{
    p->sum = TEXT_SUM_START;
    p->summed = true;
    struct api *api = p->api;
    p->next = api->prompt;
    p->at = &api->prompt;
    if (p->next)
        p->next->at = &p->next;
    api->prompt = p;
    api->streams++;
}

void prompt_done(struct prompt *p, bool cancel)
{
    leave(p, cancel);
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    p->api->streams--;
    request_close(&p->request);
    buf_done(&p->canonical);
    api_look_whether_idle(p->api);
}

bool prompt_refer(struct prompt *p, struct span text, struct api_error *ret_error)
{
    if (text.size > API_REFERENCE_MAX) {
        *ret_error = (struct api_error){0};
        error_say(ret_error, 400, "VALUE_INVALID", "client_reference", "a reference has at most %d bytes",
                  API_REFERENCE_MAX);
        return false;
    }
    if (text.size > 0)
        keccak256(text.data, text.size, &p->reference);
    return true;
}

void prompt_start(struct prompt *p) { find_session(p); }

void prompt_watch(struct prompt *p, uint64_t session, uint64_t task, const struct text_mark *from)
{
    const struct core *core = replica_core(p->api->options.replica);
    const struct task_sink to = sink_of(p);
    struct session_view v;
    struct model_view m;
    p->session = session;
    p->task = task;
    p->sent = from->size;
    p->sum = from->summed ? from->sum : TEXT_SUM_START;
    p->summed = from->summed || from->size == 0;
    p->selected.reason = "named";
    if (view_session(core, session, &v) && view_model(core, v.model, &m))
        name_model(p, &m);
    enum cx_err err = tasks_watch(p->api->options.tasks, session, task, from, &to, &p->watch);
    if (!err)
        return;
    struct api_error error;
    error_of_verdict(VERDICT_TASK_UNKNOWN, &error);
    fail(p, &error);
}

/* ---- all of an api ---- */

void prompts_on_event(struct api *api, const struct replica_moment *moment, const struct event *event)
{
    if (event->type != EVENT_ASSIGNMENT_MOVED || event->assignment_moved.to != ASSIGNMENT_DECLINED ||
        !moment->command || moment->command->type != COMMAND_TASK_DECLINE ||
        moment->command->task_decline.reason != DECLINE_CONTEXT)
        return;
    for (struct prompt *p = api->prompt; p; p = p->next)
        if (p->task == event->assignment_moved.task)
            p->context = true;
}

void prompts_stop(struct api *api)
{
    while (api->prompt) {
        struct prompt *p = api->prompt;
        struct api_error error = {.session = p->session, .task = p->task, .retry = true, .retry_ms = API_RETRY_MS};
        error.same_reference = !hash_is_zero(&p->reference);
        error_say(&error, 503, "STOPPING", NULL, "the router is stopping; a task that was accepted goes on");
        fail(p, &error);
    }
}

void prompts_drop(struct api *api)
{
    while (api->prompt) {
        struct prompt *p = api->prompt;
        leave(p, false);
        p->events->on_dropped(p->ctx);
    }
}

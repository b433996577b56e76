/* Tasks: one's own, live and ended, one by one and in lists; cancelling them. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/address_text.h"
#include "payload/payload.h"
#include "router/api_tasks.h"
#include "router/completion.h"

static const struct core *core_of(const struct call *call) { return replica_core(call->api->options.replica); }

static bool owns_session(const struct call *call, uint64_t session)
{
    struct session_view v;
    return view_session(core_of(call), session, &v) && address_eq(&v.owner, &call->account);
}

bool task_may_see(const struct call *call, uint64_t session, const struct address *payer)
{
    return address_eq(payer, &call->account) || call_may(call, SCOPE_ADMIN) || owns_session(call, session);
}

static void see_live(const struct call *call, const struct task_view *view, struct seen_task *ret)
{
    *ret = (struct seen_task){.live = true, .view = *view};
    ret->task =
        (struct finished_task){.session = view->session, .task = view->id, .state = view->state, .payer = view->payer};
    struct finished_task created;
    if (history_created(call->api->options.history, view->id, &created) == CX_OK) {
        ret->task.submitted_ms = created.submitted_ms;
        ret->task.prompt_digest = created.prompt_digest;
    }
}

bool task_see(const struct call *call, uint64_t session, uint64_t task, struct seen_task *ret)
{
    struct task_view view;
    if (view_task(core_of(call), task, &view)) {
        if (session != 0 && view.session != session)
            return false;
        see_live(call, &view, ret);
        return task_may_see(call, view.session, &view.payer);
    }
    *ret = (struct seen_task){.live = false};
    return history_finished(call->api->options.history, session, task, &ret->task) == CX_OK &&
           task_may_see(call, ret->task.session, &ret->task.payer);
}

bool task_find(struct call *call, uint32_t session_part, uint32_t task_part, struct seen_task *ret)
{
    uint64_t session = 0, task;
    if (session_part != task_part && !call_id(call, session_part, "session_id", &session))
        return false;
    if (!call_id(call, task_part, "task_id", &task))
        return false;
    if (task_see(call, session, task, ret))
        return true;
    call_refuse(call, VERDICT_TASK_UNKNOWN, "task_id");
    return false;
}

/* ---- showing ---- */

static void put_assignments(const struct call *call, struct json_out *out, uint64_t task)
{
    struct assignment_view a;
    json_out_array(out, "assignments");
    for (uint32_t at = 0; view_assignment_of(core_of(call), task, &at, &a);) {
        json_out_object(out, NULL);
        out_id(out, "lease", a.lease);
        out_address(out, "node", &a.node);
        out_term(out, "state", TERM_assignment_state, a.state);
        json_out_u64(out, "attempt", a.attempt);
        json_out_bool(out, "primary", a.primary);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_array(out, "assigned_miners");
    for (uint32_t at = 0; view_assignment_of(core_of(call), task, &at, &a);)
        out_address(out, NULL, &a.node);
    json_out_end(out);
}

static void put_live(const struct call *call, struct json_out *out, const struct task_view *v)
{
    json_out_u64(out, "attempt", v->attempt);
    json_out_u64(out, "position", v->position);
    json_out_u64(out, "live", v->live);
    json_out_u64(out, "acked", v->acked);
    json_out_u64(out, "precommitted", v->precommitted);
    json_out_u64(out, "committed", v->committed);
    json_out_bool(out, "streamed", v->streamed);
    out_amount(out, "reserved", v->reserved);
    json_out_u64(out, "priority", v->priority);
    json_out_u64(out, "deadline_ms", v->deadline_ms);
    put_assignments(call, out, v->id);
}

static bool append_text(const struct call *call, const struct hash *digest, struct buf *text)
{
    return !hash_is_zero(digest) && payload_get(call->api->options.payloads, digest, text) == CX_OK;
}

/* Who answered what: parallel arrays, as the seeds' clients read them; and the same as objects. */
static void put_answers(const struct call *call, struct json_out *out, const struct receipt *r)
{
    json_out_array(out, "assignments");
    for (uint32_t i = 0; i < r->answers; i++) {
        const struct receipt_answer *a = &r->answer[i];
        json_out_object(out, NULL);
        out_id(out, "lease", a->lease);
        out_address(out, "node", &a->node);
        json_out_text(out, "state", a->accepted ? "ACCEPTED" : "REJECTED");
        json_out_bool(out, "is_answer", a->is_answer);
        out_urn(out, "urn", &a->payload_digest);
        out_amount(out, "paid", a->paid);
        json_out_end(out);
    }
    json_out_end(out);
    json_out_array(out, "assigned_miners");
    for (uint32_t i = 0; i < r->answers; i++)
        out_address(out, NULL, &r->answer[i].node);
    json_out_end(out);
    json_out_object(out, "results");
    json_out_array(out, "miners");
    for (uint32_t i = 0; i < r->answers; i++)
        if (r->answer[i].accepted)
            out_address(out, NULL, &r->answer[i].node);
    json_out_end(out);
    json_out_array(out, "data");
    for (uint32_t i = 0; i < r->answers; i++) {
        struct buf text = {0};
        if (!r->answer[i].accepted)
            continue;
        if (append_text(call, &r->answer[i].payload_digest, &text))
            json_out_bytes(out, NULL, text.data ? text.data : "", text.size);
        else
            json_out_null(out, NULL);
        buf_done(&text);
    }
    json_out_end(out);
    json_out_end(out);
}

static void put_receipt_answers(const struct call *call, struct json_out *out, const struct finished_task *t)
{
    struct receipt *r = malloc(sizeof *r);
    cx_assert(r);
    if (history_receipt(call->api->options.history, t->session, t->task, r) == CX_OK)
        put_answers(call, out, r);
    free(r);
}

static void put_ended(const struct call *call, struct json_out *out, const struct finished_task *t)
{
    struct buf text = {0};
    json_out_u64(out, "finished_ms", t->finished_ms);
    json_out_u64(out, "finished_at", t->finished_ms / 1000);
    json_out_u64(out, "attempts", t->attempts);
    json_out_u64(out, "end_seq", t->end_seq);
    out_amount(out, "charged", t->charged);
    out_term(out, "cause", TERM_fail_cause, t->cause);
    json_out_object(out, "reasons");
    for (uint32_t i = 1; i < FAIL_CAUSES_COUNTED; i++)
        if (t->causes[i] > 0)
            json_out_u64(out, term_name(TERM_fail_cause, i), t->causes[i]);
    json_out_end(out);
    if (t->state == TASK_COMPLETED) {
        json_out_text(out, "finish_reason", t->finish == FINISH_LENGTH ? "length" : "stop");
        json_out_object(out, "usage");
        json_out_u64(out, "prompt_tokens", t->tokens_in);
        json_out_u64(out, "completion_tokens", t->tokens_out);
        json_out_u64(out, "total_tokens", (uint64_t)t->tokens_in + t->tokens_out);
        json_out_end(out);
    }
    out_urn(out, "urn", &t->payload_digest);
    if (append_text(call, &t->payload_digest, &text))
        json_out_bytes(out, "result", text.data ? text.data : "", text.size);
    else
        json_out_null(out, "result");
    buf_done(&text);
    put_receipt_answers(call, out, t);
}

void task_put_head(struct json_out *out, const struct finished_task *t)
{
    out_id(out, "task_id", t->task);
    out_id(out, "session_id", t->session);
    out_term(out, "state", TERM_task_state, t->state);
    json_out_u64(out, "status", t->state);
    out_address(out, "payer", &t->payer);
    json_out_u64(out, "submitted_ms", t->submitted_ms);
    json_out_u64(out, "created_at", t->submitted_ms / 1000);
    out_urn(out, "prompt", &t->prompt_digest);
}

static void put_task(const struct call *call, struct json_out *out, const struct seen_task *s)
{
    json_out_object(out, NULL);
    task_put_head(out, &s->task);
    if (s->live)
        put_live(call, out, &s->view);
    else
        put_ended(call, out, &s->task);
    json_out_end(out);
}

static bool wants_stream(const struct call *call)
{
    char text[8];
    const char *types = http_header(call->x, "Accept");
    if (http_query_get(http_request(call->x)->query, "stream", text, sizeof text) == CX_OK)
        return strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
    return types && strstr(types, "text/event-stream");
}

/* How much of the text the client has, and of which: it says so by the id of the last event that it got. */
static struct text_mark last_event(const struct call *call)
{
    const char *text = http_header(call->x, "Last-Event-ID");
    char *end;
    if (!text || text[0] < '0' || text[0] > '9')
        return (struct text_mark){0};
    unsigned long long size = strtoull(text, &end, 10);
    if (size > TASK_TEXT_SIZE_MAX)
        return (struct text_mark){0};
    struct text_mark mark = {.size = (size_t)size, .summed = *end == '-'};
    if (mark.summed)
        mark.sum = (uint32_t)strtoul(end + 1, NULL, 16);
    return mark;
}

void api_task(struct call *call)
{
    struct seen_task s;
    if (!task_find(call, 0, 1, &s))
        return;
    if (wants_stream(call)) {
        const struct text_mark from = last_event(call);
        completion_resume(call, s.task.session, s.task.task, &from);
        return;
    }
    struct buf body = {0};
    struct json_out out;
    json_out_init(&out, &body);
    put_task(call, &out, &s);
    call_json(call, 200, &body);
    buf_done(&body);
}

/* ---- lists ---- */

struct page {
    struct finished_task *row;  // [count]; what lists show
    uint32_t count, cap;
};

static bool keep_row(void *ctx, const struct finished_task *task)
{
    struct page *page = ctx;
    cx_assert(page->count < page->cap);
    page->row[page->count++] = *task;
    return true;
}

static void put_row(struct json_out *out, const struct finished_task *t, bool ended)
{
    json_out_object(out, NULL);
    task_put_head(out, t);
    if (ended) {
        json_out_u64(out, "finished_ms", t->finished_ms);
        json_out_u64(out, "finished_at", t->finished_ms / 1000);
        json_out_u64(out, "end_seq", t->end_seq);
        out_urn(out, "urn", &t->payload_digest);
    }
    json_out_end(out);
}

static void put_page(const struct call *call, struct json_out *out, uint64_t session, const struct page *page)
{
    struct task_view v;
    struct seen_task s;
    json_out_array(out, "live");
    for (uint32_t at = 0; view_task_at(core_of(call), &at, &v);) {
        if (v.session != session || !task_may_see(call, session, &v.payer))
            continue;
        see_live(call, &v, &s);
        put_row(out, &s.task, false);
    }
    json_out_end(out);
    json_out_array(out, "tasks");
    for (uint32_t i = 0; i < page->count; i++)
        if (task_may_see(call, session, &page->row[i].payer))
            put_row(out, &page->row[i], true);
    json_out_end(out);
}

/* The live tasks of a session, and a page of those that ended, the last first. */
void api_tasks(struct call *call)
{
    struct archive_query query = {.by = ARCHIVE_BY_SESSION};
    uint64_t limit = API_PAGE_DEFAULT;
    if (!call_id(call, 0, "session_id", &query.session) || !call_query_u64(call, "limit", API_PAGE_MAX, &limit) ||
        !call_query_u64(call, "before_seq", UINT64_MAX, &query.before_seq) ||
        !call_query_u64(call, "before_task", UINT64_MAX, &query.before_task))
        return;
    struct page page = {.cap = (uint32_t)limit, .row = calloc(limit, sizeof *page.row)};
    cx_assert(page.row);
    query.limit = page.cap;
    enum cx_err err = history_tasks(call->api->options.history, &query, keep_row, &page);
    if (err) {
        free(page.row);
        call_world(call, err, NULL);
        return;
    }
    struct buf body = {0};
    struct json_out out;
    json_out_init(&out, &body);
    json_out_object(&out, NULL);
    put_page(call, &out, query.session, &page);
    if (page.count == page.cap) {
        json_out_object(&out, "next");
        json_out_u64(&out, "before_seq", page.row[page.count - 1].end_seq);
        out_id(&out, "before_task", page.row[page.count - 1].task);
        json_out_end(&out);
    }
    json_out_end(&out);
    call_json(call, 200, &body);
    buf_done(&body);
    free(page.row);
}

/* ---- cancelling ---- */

static void cancelled(void *ctx, const struct replica_outcome *outcome)
{
    struct call *call = ctx;
    struct seen_task s;
    uint64_t session, task;
    if (outcome->err) {
        call_world(call, outcome->err, NULL);
        return;
    }
    if (outcome->verdict != VERDICT_ACCEPTED) {
        call_refuse(call, outcome->verdict, "task_id");
        return;
    }
    if (!call_id(call, 0, "session_id", &session) || !call_id(call, 1, "task_id", &task))
        return;
    struct buf body = {0};
    struct json_out out;
    json_out_init(&out, &body);
    if (task_see(call, session, task, &s)) {
        put_task(call, &out, &s);
    } else {
        json_out_object(&out, NULL);
        out_id(&out, "task_id", task);
        json_out_end(&out);
    }
    call_json(call, 202, &body);
    buf_done(&body);
}

void api_task_cancel(struct call *call)
{
    struct seen_task s;
    if (!task_find(call, 0, 1, &s))
        return;
    if (!s.live) {
        call_refuse(call, VERDICT_TASK_ENDED, "task_id");
        return;
    }
    enum cx_err err = tasks_cancel(call->api->options.tasks, s.task.task, &s.task.payer, cancelled, call);
    if (err)
        call_world(call, err, NULL);
}

#include "router/tasks_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/sha256.h"
#include "payload/payload.h"
#include "proto/request.h"

/* ---- runs ---- */

struct run *run_find(const struct tasks *tasks, uint64_t task)
{
    uint32_t slot = (uint32_t)task;
    if (slot >= tasks->run_cap || !tasks->run[slot] || tasks->run[slot]->id != task)
        return NULL;
    return tasks->run[slot];
}

struct answer *answer_find(const struct run *run, uint64_t lease)
{
    struct answer *a = run->answer;
    while (a && a->lease != lease)
        a = a->next;
    return a;
}

bool run_of_lease(const struct tasks *tasks, uint64_t lease, struct run **ret_run, struct answer **ret_answer)
{
    struct assignment_view view;
    if (!view_assignment(replica_core(tasks->replica), lease, &view))
        return false;
    struct run *run = run_find(tasks, view.task);
    if (!run)
        return false;
    struct answer *answer = answer_find(run, lease);
    if (!answer)
        return false;
    *ret_run = run;
    *ret_answer = answer;
    return true;
}

static struct run *run_add(struct tasks *tasks, uint64_t task, uint64_t session)
{
    uint32_t slot = (uint32_t)task;
    cx_assert(slot < tasks->run_cap);
    /* The task that had the slot before may have ended in this very batch: then it is told of from `ended`. */
    cx_assert(!tasks->run[slot] || tasks->run[slot]->ended);
    struct run *run = calloc(1, sizeof *run);
    cx_assert(run);
    run->tasks = tasks;
    run->id = task;
    run->session = session;
    struct session_view view;
    if (view_session(replica_core(tasks->replica), session, &view)) {
        run->redundancy = view.redundancy;
        run->channel = view.evidence == EVIDENCE_CHANNEL;
        run->streams = view.stream == STREAM_AT_ONCE;
    }
    tasks->run[slot] = run;
    tasks->stats.live++;
    return run;
}

static void run_free(struct run *run)
{
    while (run->answer) {
        struct answer *a = run->answer;
        run->answer = a->next;
        buf_done(&a->text);
        buf_done(&a->whole);
        free(a);
    }
    for (struct task_watch *w = run->watch; w; w = w->next)
        w->run = NULL;
    buf_done(&run->request);
    if (run_find(run->tasks, run->id) == run)
        run->tasks->run[(uint32_t)run->id] = NULL;
    run->tasks->stats.live--;
    free(run);
}

static struct answer *answer_add(struct run *run, uint64_t lease, const struct address *node)
{
    struct answer *a = calloc(1, sizeof *a);
    cx_assert(a);
    a->lease = lease;
    a->node = *node;
    a->offered_ms = net_now_ms(run->tasks->options.loop);
    a->next = run->answer;
    run->answer = a;
    return a;
}

/* ---- watches ---- */

static struct task_watch *watch_new(struct tasks *tasks, const struct task_sink *sink)
{
    struct task_watch *watch = calloc(1, sizeof *watch);
    cx_assert(watch);
    watch->tasks = tasks;
    watch->sink = *sink;
    tasks->stats.watches++;
    return watch;
}

static void watch_join(struct task_watch *watch, struct run *run)
{
    watch->run = run;
    watch->next = run->watch;
    run->watch = watch;
}

static void watch_leave(struct task_watch *watch)
{
    if (!watch->run)
        return;
    struct task_watch **at = &watch->run->watch;
    while (*at != watch)
        at = &(*at)->next;
    *at = watch->next;
    watch->run = NULL;
}

static void relay_to(struct run *run, struct task_watch *watch)
{
    const struct answer *a = answer_find(run, run->relayed);
    if (!a || run->interrupted || !watch->sink.on_text || watch->sent >= a->text.size)
        return;
    if (watch->sent == watch->from.size && !text_goes_on(&watch->from, a->text.data, a->text.size))
        return;  // it had another attempt's text: its end will say so
    const char *text = a->text.data + watch->sent;
    size_t size = a->text.size - watch->sent;
    watch->sent = a->text.size;
    if (watch->sent > run->relayed_size)
        run->relayed_size = watch->sent;
    watch->sink.on_text(watch->sink.ctx, text, size);
}

void run_relay(struct run *run)
{
    struct task_watch *next;
    for (struct task_watch *w = run->watch; w; w = next) {
        next = w->next;  // its sink may close it
        if (!w->paused)
            relay_to(run, w);
    }
}

void task_watch_pause(struct task_watch *watch) { watch->paused = true; }

void task_watch_resume(struct task_watch *watch)
{
    watch->paused = false;
    if (watch->run)
        relay_to(watch->run, watch);
}

void task_watch_close(struct task_watch *watch, bool cancel)
{
    if (!watch)
        return;
    struct tasks *tasks = watch->tasks;
    struct run *run = watch->run;
    if (watch->pending)
        watch->pending->watch = NULL;
    watch_leave(watch);
    net_timer_stop(&watch->soon);
    tasks->stats.watches--;
    free(watch);
    if (!cancel || !run || run->watch || run->ended)
        return;
    enum cx_err err = tasks_cancel(tasks, run->id, &run->payer, NULL, NULL);
    cx_maybe(err);  // busy: the task's deadline ends it
}

enum cx_err tasks_cancel(struct tasks *tasks, uint64_t task, const struct address *payer, replica_done *done, void *ctx)
{
    const struct run *run = run_find(tasks, task);
    const struct command cmd = {
        .type = COMMAND_TASK_CANCEL,
        .task_cancel = {.payer = *payer, .task = task, .relayed_tokens = run ? run->relayed_tokens : 0}};
    return replica_command(tasks->replica, &cmd, NULL, 0, done, ctx);
}

/* ---- submitting ---- */

static void pending_remove(struct pending *p)
{
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    else
        p->tasks->pending_last = p->at;
}

static void pending_free(struct pending *p)
{
    pending_remove(p);
    buf_done(&p->request);
    free(p);
}

static void accept(struct pending *p, uint64_t task, bool known)
{
    struct task_watch *watch = p->watch;
    if (!watch)
        return;
    watch->pending = NULL;
    struct run *run = run_find(p->tasks, task);
    if (run && !watch->run)
        watch_join(watch, run);
    watch->sink.on_accepted(watch->sink.ctx, task, known);
}

static void submitted(void *ctx, const struct replica_outcome *outcome)
{
    struct pending *p = ctx;
    struct tasks *tasks = p->tasks;
    bool known = !outcome->err && outcome->verdict == VERDICT_TASK_KNOWN;
    if (!outcome->err && (known || outcome->verdict == VERDICT_ACCEPTED)) {
        tasks->stats.submitted += !known;
        accept(p, outcome->task, known);
        if (!p->watch && !known && p->run && !p->run->watch)
            tasks_cancel(tasks, p->run->id, &p->run->payer, NULL, NULL);  // the client has gone meanwhile
    } else {
        tasks->stats.refused++;
        struct task_watch *watch = p->watch;
        if (watch) {
            watch->pending = NULL;
            watch->sink.on_refused(watch->sink.ctx, outcome->err, outcome->verdict,
                                   outcome->err ? cx_detail() : verdict_text(outcome->verdict));
        }
    }
    pending_free(p);
}

enum cx_err tasks_submit(struct tasks *tasks, const struct task_wish *wish, const struct task_sink *sink,
                         struct task_watch **ret_watch)
{
    if (wish->request_size > PAYLOAD_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "a request of %zu bytes is over %u", wish->request_size, PAYLOAD_SIZE_MAX);
    struct pending *p = calloc(1, sizeof *p);
    cx_assert(p);
    p->tasks = tasks;
    p->stream = wish->stream;
    p->payer = wish->payer;
    p->session = wish->session;
    p->reference = wish->reference;
    buf_add(&p->request, wish->request, wish->request_size);
    sha256(wish->request, wish->request_size, &p->prompt_digest);
    p->at = tasks->pending_last;
    *p->at = p;
    tasks->pending_last = &p->next;

    struct command cmd = {.type = COMMAND_TASK_SUBMIT,
                          .task_submit = {.payer = wish->payer,
                                          .key_hash = wish->key_hash,
                                          .session = wish->session,
                                          .reference = wish->reference,
                                          .prompt_digest = p->prompt_digest,
                                          .prompt_size = wish->prompt_size,
                                          .tokens_max = wish->tokens_max,
                                          .priority = wish->priority,
                                          .stream = wish->stream,
                                          .greedy = wish->greedy,
                                          .seed_of_client = wish->seed_of_client,
                                          .seed = wish->seed,
                                          .timeout_ms = wish->timeout_ms,
                                          .precommit_ms = wish->precommit_ms}};
    request_digest(wish->request, wish->request_size, &cmd.task_submit.request_digest);
    const struct ledger_blob blob = {.sha256 = p->prompt_digest,
                                     .data = {(const uint8_t *)p->request.data, (uint32_t)p->request.size},
                                     .keep_until_ms = net_wall_ms() + tasks->options.keep_ms};
    enum cx_err err = replica_command(tasks->replica, &cmd, &blob, 1, submitted, p);
    if (err) {
        pending_free(p);
        return err;
    }
    p->watch = watch_new(tasks, sink);
    p->watch->pending = p;
    *ret_watch = p->watch;
    return CX_OK;
}

/* ---- watching what exists ---- */

static void tell_ended(void *ctx)
{
    struct task_watch *watch = ctx;
    struct tasks *tasks = watch->tasks;
    struct finished_task done;
    struct task_end end = {.task = watch->task, .session = watch->session, .state = TASK_FAILED};
    struct buf text = {0};
    if (history_finished(tasks->options.history, watch->session, watch->task, &done) == CX_OK) {
        end.state = done.state;
        end.cause = done.cause;
        memcpy(end.causes, done.causes, sizeof end.causes);
        end.seq = done.end_seq;
        end.finish = done.finish;
        end.tokens_in = done.tokens_in;
        end.tokens_out = done.tokens_out;
        end.payload_digest = done.payload_digest;
        end.charged = done.charged;
        if (!hash_is_zero(&done.payload_digest) &&
            payload_get(tasks->options.payloads, &done.payload_digest, &text) == CX_OK) {
            end.text = text.data ? text.data : "";
            end.text_size = text.size;
        }
    }
    end.replaced = end.text && !text_goes_on(&watch->from, end.text, end.text_size);
    if (!end.replaced && end.text_size > watch->sent && watch->sink.on_text)
        watch->sink.on_text(watch->sink.ctx, end.text + watch->sent, end.text_size - watch->sent);
    watch->sink.on_end(watch->sink.ctx, &end);
    buf_done(&text);
}

enum cx_err tasks_watch(struct tasks *tasks, uint64_t session, uint64_t task, const struct text_mark *from,
                        const struct task_sink *sink, struct task_watch **ret_watch)
{
    struct run *run = run_find(tasks, task);
    if (!run) {
        struct finished_task done;
        enum cx_err err = history_finished(tasks->options.history, session, task, &done);
        if (err)
            return err;
    } else if (run->session != session) {
        return cx_fail(CX_NOT_FOUND, "session %llu has no such task", (unsigned long long)session);
    }
    struct task_watch *watch = watch_new(tasks, sink);
    watch->from = from ? *from : (struct text_mark){0};
    watch->sent = watch->from.size;
    watch->session = session;
    watch->task = task;
    if (run)
        watch_join(watch, run);
    else
        net_timer_soon(tasks->options.loop, &watch->soon, tell_ended, watch);
    *ret_watch = watch;
    return CX_OK;
}

/* ---- what the core decided ---- */

/* A wallet may submit the same prompt by a command of its own: that task is not this client's. */
static bool is_wish_of(const struct pending *p, const struct evt_task_created *e)
{
    return !p->run && hash_eq(&p->prompt_digest, &e->prompt_digest) && address_eq(&p->payer, &e->payer) &&
           p->session == e->session && hash_eq(&p->reference, &e->reference);
}

static void on_created(struct tasks *tasks, const struct evt_task_created *e)
{
    if (!address_eq(&e->router, replica_router(tasks->replica)))
        return;
    struct run *run = run_add(tasks, e->task, e->session);
    run->payer = e->payer;
    run->prompt_digest = e->prompt_digest;
    run->tokens_max = e->tokens_max;
    struct pending *p = tasks->pending;
    while (p && !is_wish_of(p, e))
        p = p->next;
    if (!p) {  // a wallet's own command, whose request was put before
        enum cx_err err = payload_get(tasks->options.payloads, &e->prompt_digest, &run->request);
        cx_maybe(err);  // missing: its nodes decline it with PAYLOAD_MISSING
        return;
    }
    p->run = run;
    buf_add(&run->request, p->request.data, p->request.size);
    run->streams = run->streams && p->stream;
    if (p->watch)
        watch_join(p->watch, run);
}

void run_offer(struct run *run, const struct answer *answer, struct task_offer *ret_offer)
{
    struct task_view task;
    struct session_view session;
    const struct core *core = replica_core(run->tasks->replica);
    *ret_offer = (struct task_offer){
        .task = run->id,
        .lease = answer->lease,
        .session = run->session,
        .seed = answer->seed,
        .seed_of_client = run->seed_of_client,
        .stream = run->streams && (run->redundancy == 1 || run->primary == answer->lease),
        .together = run->redundancy == 1,
        .channel = run->channel,
        .request = run->request.data,
        .request_size = run->request.size,
        .tokens_max = run->tokens_max,
        .state = answer->state,
        .chunks = answer->chunks,
        .cancel = run->cancelled,
        .relayed_tokens = run->relayed_tokens,
    };
    if (!view_task(core, run->id, &task) || !view_session(core, run->session, &session))
        return;
    uint64_t now_ms = replica_now_ms(run->tasks->replica);
    uint64_t left_ms = task.deadline_ms > now_ms ? task.deadline_ms - now_ms : 0;
    ret_offer->ack_ms = (uint32_t)u64_min(session.ack_ms, left_ms);
    ret_offer->precommit_ms = (uint32_t)u64_min(session.precommit_ms, left_ms);
    ret_offer->reveal = task.state == TASK_PRECOMMITTED && answer->state == ASSIGNMENT_PRECOMMITTED;
}

static void on_offered(struct tasks *tasks, const struct evt_task_offered *e)
{
    struct run *run = run_find(tasks, e->task);
    if (!run)
        return;
    struct answer *a = answer_add(run, e->lease, &e->node);
    a->seed = e->seed;
    a->attempt = e->attempt;
    struct assignment_view view;
    if (view_assignment(replica_core(tasks->replica), e->lease, &view))
        run->seed_of_client = view.seed_of_client;
    struct task_offer offer;
    run_offer(run, a, &offer);
    hub_offer(tasks->hub, &a->node, &offer);  // a node without a link gets it when it comes back
}

static bool is_live(enum assignment_state state)
{
    return state == ASSIGNMENT_OFFERED || state == ASSIGNMENT_ACKED || state == ASSIGNMENT_PRECOMMITTED ||
           state == ASSIGNMENT_COMMITTED;
}

static void interrupt(struct run *run)
{
    run->interrupted = true;
    struct task_watch *next;
    for (struct task_watch *w = run->watch; w; w = next) {
        next = w->next;
        if (w->sent > 0 && w->sink.on_interrupted)
            w->sink.on_interrupted(w->sink.ctx);
    }
}

static void on_assignment(struct tasks *tasks, const struct evt_assignment_moved *e)
{
    struct run *run = run_find(tasks, e->task);
    struct answer *a = run ? answer_find(run, e->lease) : NULL;
    if (!a)
        return;
    a->state = (enum assignment_state)e->to;
    if (is_live(a->state))
        return;
    if (a->state != ASSIGNMENT_DECLINED)
        hub_recall(tasks->hub, &a->node, a->lease,
                   a->state == ASSIGNMENT_ACCEPTED ? CAUSE_NONE : (enum fail_cause)e->cause);
    if (a->state != ASSIGNMENT_ACCEPTED && run->relayed == a->lease && run->relayed_size > 0 && !run->interrupted)
        interrupt(run);
}

static void on_primary(struct tasks *tasks, const struct evt_task_primary_is *e)
{
    struct run *run = run_find(tasks, e->task);
    if (!run)
        return;
    run->primary = e->lease;
    struct answer *a = answer_find(run, e->lease);
    if (!a || !run->streams || run->interrupted || run->relayed_size > 0)
        return;
    run->relayed = a->lease;
    run->relayed_tokens = 0;
    run->pinned = false;
    if (run->redundancy > 1)
        hub_promote(tasks->hub, &a->node, a->lease);
    run_relay(run);
}

static void on_all_precommitted(struct tasks *tasks, uint64_t task)
{
    struct run *run = run_find(tasks, task);
    if (!run || run->redundancy == 1)
        return;
    for (struct answer *a = run->answer; a; a = a->next)
        if (a->state == ASSIGNMENT_PRECOMMITTED)
            hub_reveal(tasks->hub, &a->node, a->lease);
}

/* Its nodes stop, and say what they have: docs/protocol.md, "Tasks". */
static void on_cancelling(struct run *run)
{
    run->cancelled = true;
    for (struct answer *a = run->answer; a; a = a->next)
        if (is_live(a->state) && a->state != ASSIGNMENT_COMMITTED)
            hub_cancel(run->tasks->hub, &a->node, a->lease, run->relayed_tokens);
}

static void on_moved(struct tasks *tasks, const struct replica_moment *moment, const struct evt_task_moved *e)
{
    struct run *run = run_find(tasks, e->task);
    if (!run || run->ended)
        return;
    if (e->from == e->to && e->cause == CAUSE_CANCELLED)
        on_cancelling(run);
    bool terminal = e->to == TASK_COMPLETED || e->to == TASK_CANCELLED || e->to == TASK_EXPIRED || e->to == TASK_FAILED;
    if (!terminal)
        return;
    run->ended = true;
    run->end.task = run->id;
    run->end.session = run->session;
    run->end.seq = moment->seq;
    run->end.state = (enum task_state)e->to;
    run->end.cause = (enum fail_cause)e->cause;
    run->next_ended = tasks->ended;
    tasks->ended = run;
}

static void on_revealed(struct tasks *tasks, const struct evt_task_revealed *e)
{
    struct run *run = run_find(tasks, e->task);
    struct answer *a = run ? answer_find(run, e->lease) : NULL;
    if (a)
        a->payload_digest = e->payload_digest;
}

static void on_answer(struct tasks *tasks, const struct evt_task_answer *e)
{
    struct run *run = run_find(tasks, e->task);
    if (!run)
        return;
    const struct answer *a = answer_find(run, e->lease);
    if (a)
        run->end.payload_digest = a->payload_digest;
    run->answer_lease = e->lease;
    run->end.finish = (enum finish)e->finish;
    run->end.tokens_in = e->tokens_in;
    run->end.tokens_out = e->tokens_out;
}

static void on_event(void *ctx, const struct replica_moment *moment, const struct event *event)
{
    struct tasks *tasks = ctx;
    struct run *run;
    if (event->type == EVENT_TASK_CREATED)
        on_created(tasks, &event->task_created);
    else if (event->type == EVENT_TASK_OFFERED)
        on_offered(tasks, &event->task_offered);
    else if (event->type == EVENT_ASSIGNMENT_MOVED)
        on_assignment(tasks, &event->assignment_moved);
    else if (event->type == EVENT_TASK_PRIMARY_IS)
        on_primary(tasks, &event->task_primary_is);
    else if (event->type == EVENT_TASK_ALL_PRECOMMITTED)
        on_all_precommitted(tasks, event->task_all_precommitted.task);
    else if (event->type == EVENT_TASK_REVEALED)
        on_revealed(tasks, &event->task_revealed);
    else if (event->type == EVENT_TASK_ANSWER)
        on_answer(tasks, &event->task_answer);
    else if (event->type == EVENT_TASK_REFUNDED && (run = run_find(tasks, event->task_refunded.task)))
        run->end.charged = event->task_refunded.charged;
    else if (event->type == EVENT_TASK_MOVED)
        on_moved(tasks, moment, &event->task_moved);
}

/* ---- the end ---- */

/* Whether what went out is how the answer begins. */
static bool has_begun(const struct run *run)
{
    const struct answer *a = answer_find(run, run->relayed);
    return a && run->relayed_size <= run->end.text_size && run->relayed_size <= a->text.size &&
           memcmp(a->text.data, run->end.text, run->relayed_size) == 0;
}

static void end_text(struct run *run, struct buf *stored)
{
    const struct answer *a = answer_find(run, run->answer_lease);
    if (run->end.state != TASK_COMPLETED)
        return;
    if (a && a->revealed) {
        run->end.text = a->whole.data ? a->whole.data : "";
        run->end.text_size = a->whole.size;
    } else if (payload_get(run->tasks->options.payloads, &run->end.payload_digest, stored) == CX_OK) {
        run->end.text = stored->data ? stored->data : "";
        run->end.text_size = stored->size;
    }
    run->end.replaced =
        run->relayed_size > 0 && (run->relayed != run->answer_lease || run->interrupted || !has_begun(run));
}

static void finish(struct run *run)
{
    struct tasks *tasks = run->tasks;
    struct buf stored = {0};
    end_text(run, &stored);
    run->end.interrupted = run->interrupted;
    struct finished_task done;
    if (history_finished(tasks->options.history, run->session, run->id, &done) == CX_OK)
        memcpy(run->end.causes, done.causes, sizeof run->end.causes);
    while (run->watch) {
        struct task_watch *watch = run->watch;
        if (!run->end.replaced && run->relayed == run->answer_lease)
            relay_to(run, watch);
        if (run->watch != watch)
            continue;  // its sink closed it
        watch_leave(watch);
        struct task_end end = run->end;
        if (end.text && watch->sent == watch->from.size && !text_goes_on(&watch->from, end.text, end.text_size))
            end.replaced = true;
        watch->sink.on_end(watch->sink.ctx, &end);
    }
    buf_done(&stored);
    run_free(run);
}

static void on_batch(void *ctx)
{
    struct tasks *tasks = ctx;
    while (tasks->ended) {
        struct run *run = tasks->ended;
        tasks->ended = run->next_ended;
        finish(run);
    }
}

/* ---- for the hub ---- */

void tasks_each_offer(struct tasks *tasks, const struct address *node,
                      void (*each)(void *ctx, const struct task_offer *offer), void *ctx)
{
    for (uint32_t slot = 0; slot < tasks->run_cap; slot++) {
        struct run *run = tasks->run[slot];
        for (struct answer *a = run ? run->answer : NULL; a; a = a->next) {
            struct task_offer offer;
            if (!is_live(a->state) || a->state == ASSIGNMENT_COMMITTED || !address_eq(&a->node, node))
                continue;
            run_offer(run, a, &offer);
            each(ctx, &offer);
        }
    }
}

/* ---- opening ---- */

enum cx_err tasks_open(const struct tasks_options *options, struct tasks **ret_tasks)
{
    struct tasks *tasks = calloc(1, sizeof *tasks);
    cx_assert(tasks);
    tasks->options = *options;
    tasks->pending_last = &tasks->pending;
    tasks->listener = (struct replica_listener){.on_event = on_event, .on_batch = on_batch, .ctx = tasks};
    *ret_tasks = tasks;
    return CX_OK;
}

void tasks_set_hub(struct tasks *tasks, struct hub *hub) { tasks->hub = hub; }

struct replica_listener *tasks_listener(struct tasks *tasks) { return &tasks->listener; }

static void resume(struct tasks *tasks, const struct task_view *view)
{
    struct run *run = run_add(tasks, view->id, view->session);
    struct finished_task created;
    run->payer = view->payer;
    run->tokens_max = view->tokens_max;
    run->streams = false;  // its client's connection went with the process before
    if (history_created(tasks->options.history, view->id, &created) == CX_OK) {
        run->prompt_digest = created.prompt_digest;
        enum cx_err err = payload_get(tasks->options.payloads, &run->prompt_digest, &run->request);
        cx_maybe(err);  // its nodes decline it with PAYLOAD_MISSING
    }
    struct assignment_view a;
    for (uint32_t at = 0; view_assignment_of(replica_core(tasks->replica), view->id, &at, &a);) {
        struct answer *answer = answer_add(run, a.lease, &a.node);
        answer->seed = a.seed;
        answer->attempt = a.attempt;
        answer->state = a.state;
        run->seed_of_client = a.seed_of_client;
        if (a.primary)
            run->primary = a.lease;
    }
}

void tasks_resume(struct tasks *tasks, struct replica *replica)
{
    tasks->replica = replica;
    tasks->run_cap = (uint32_t)view_params(replica_core(replica))->tasks_cap;
    tasks->run = calloc(tasks->run_cap, sizeof *tasks->run);
    cx_assert(tasks->run);
    struct task_view view;
    for (uint32_t at = 0; view_task_at(replica_core(replica), &at, &view);)
        if (address_eq(&view.router, replica_router(replica)))
            resume(tasks, &view);
}

void tasks_close(struct tasks *tasks)
{
    if (!tasks)
        return;
    while (tasks->ended) {
        struct run *run = tasks->ended;
        tasks->ended = run->next_ended;
        run_free(run);
    }
    for (uint32_t slot = 0; slot < tasks->run_cap; slot++)
        if (tasks->run[slot])
            run_free(tasks->run[slot]);
    while (tasks->pending)
        pending_free(tasks->pending);
    free(tasks->run);
    free(tasks);
}

struct tasks_stats tasks_stats(const struct tasks *tasks) { return tasks->stats; }

/* What events say of a task: the facts of its receipt, and what lists show of it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "router/history_parts.h"

struct history_task *history_task_find(const struct history *history, uint64_t task)
{
    uint32_t slot = (uint32_t)task;
    if (slot < history->live_cap && history->live[slot] && history->live[slot]->task.task == task)
        return history->live[slot];
    struct history_task *t = history->ended[history_bucket(task)];
    while (t && t->task.task != task)
        t = t->next;
    return t;
}

void history_task_done(struct history_task *t)
{
    free(t->answer);
    free(t->node);
    buf_done(&t->line);
}

static struct receipt_answer *answer_of(struct history_task *t, uint64_t lease)
{
    for (uint32_t i = 0; i < t->answers; i++)
        if (t->answer[i].lease == lease)
            return &t->answer[i];
    return NULL;
}

/* ---- its life ---- */

/* The first that is heard of a task: task_created is the next event. */
static struct history_task *on_selected(struct history *history, const struct evt_session_selected *e)
{
    struct history_task *t = history_task_take(history);
    t->task.session = e->session;
    t->task.task = e->task;
    history->live = history_grow(history->live, &history->live_cap, (uint32_t)e->task, sizeof(struct history_task *));
    cx_assert(!history->live[(uint32_t)e->task]);
    history->live[(uint32_t)e->task] = t;
    return t;
}

static void on_created(struct history_task *t, const struct replica_moment *moment, const struct evt_task_created *e)
{
    t->task.payer = e->payer;
    t->task.prompt_digest = e->prompt_digest;
    t->task.submitted_ms = moment->time_ms;
    t->submit_seq = moment->seq;
    t->rules_version = 1;
    t->router = e->router;
    t->request_digest = e->request_digest;
    t->reference = e->reference;
    struct session_view session;
    if (view_session(moment->core, e->session, &session)) {
        t->validation = (uint8_t)session.validation;
        t->redundancy = (uint8_t)session.redundancy;
        t->quorum = (uint8_t)session.quorum;
    }
}

static void add_node(struct history_task *t, const struct address *node)
{
    for (uint32_t i = 0; i < t->nodes; i++)
        if (address_eq(&t->node[i], node))
            return;
    t->node = history_grow(t->node, &t->node_cap, t->nodes, sizeof *t->node);
    t->node[t->nodes++] = *node;
}

static void on_offered(struct history_task *t, const struct replica_moment *moment, const struct evt_task_offered *e)
{
    struct network_view network;
    view_network(moment->core, &network);
    t->dice = network.oracles_live > 0 ? network.beacon : network.digest;
    t->dice_from_beacon = network.oracles_live > 0;
    t->task.attempts = e->attempt;
    add_node(t, &e->node);
}

static void on_precommit(struct history_task *t, const struct replica_moment *moment)
{
    const struct cmd_task_precommit *cmd = &moment->command->task_precommit;
    struct assignment_view assignment;
    struct node_view node;
    if (t->answers == RECEIPT_ANSWERS_MAX || !view_assignment(moment->core, cmd->lease, &assignment) ||
        !view_node(moment->core, &assignment.node, &node))
        return;
    t->answer = history_grow(t->answer, &t->answer_cap, t->answers, sizeof *t->answer);
    struct receipt_answer *a = &t->answer[t->answers++];
    *a = (struct receipt_answer){.lease = cmd->lease,
                                 .node = assignment.node,
                                 .operator= node.operator,
                                 .precommit = cmd->precommit,
                                 .precommit_seq = moment->seq,
                                 .price_in = assignment.price_in,
                                 .price_out = assignment.price_out};
    struct command decoded;
    const uint8_t *signature;
    a->has_signature = moment->command->signer_count > 0 && command_decode(moment->entry, &decoded, &signature);
    if (a->has_signature)
        memcpy(a->signature, signature, sizeof a->signature);
}

static void on_commit(struct history_task *t, const struct replica_moment *moment)
{
    const struct cmd_task_commit *cmd = &moment->command->task_commit;
    struct receipt_answer *a = answer_of(t, cmd->lease);
    if (!a)
        return;
    a->salt = cmd->salt;
    a->payload_digest = cmd->payload_digest;
    a->record_size = cmd->record.size;
    memcpy(a->record, cmd->record.data, cmd->record.size);
    a->commit_seq = moment->seq;
    t->primary_streamed |= cmd->relayed_tokens > 0;
}

static void on_assignment(struct history_task *t, const struct replica_moment *moment,
                          const struct evt_assignment_moved *e)
{
    const struct command *cmd = moment->command;
    if (!cmd)
        return;
    if (e->to == ASSIGNMENT_PRECOMMITTED && cmd->type == COMMAND_TASK_PRECOMMIT &&
        cmd->task_precommit.lease == e->lease)
        on_precommit(t, moment);
    if (e->from == ASSIGNMENT_PRECOMMITTED && cmd->type == COMMAND_TASK_COMMIT && cmd->task_commit.lease == e->lease)
        on_commit(t, moment);
    struct receipt_answer *a = answer_of(t, e->lease);
    if (a)
        a->accepted = e->to == ASSIGNMENT_ACCEPTED;
    if (e->cause > CAUSE_NONE && e->cause < FAIL_CAUSES_COUNTED && t->task.causes[e->cause] < UINT8_MAX)
        t->task.causes[e->cause]++;
}

static void on_answer(struct history_task *t, const struct replica_moment *moment, const struct evt_task_answer *e)
{
    t->task.finish = (enum finish)e->finish;
    t->task.tokens_in = e->tokens_in;
    t->task.tokens_out = e->tokens_out;
    t->verdict_missing = e->verdict_missing;
    struct receipt_answer *a = answer_of(t, e->lease);
    if (a) {
        a->is_answer = true;
        t->task.payload_digest = a->payload_digest;
    }
    struct node_view node;
    struct session_view session;
    if (!view_node(moment->core, &e->node, &node) || !view_session(moment->core, t->task.session, &session))
        return;
    for (uint32_t i = 0; i < node.models; i++)
        if (node.model[i].model == session.model) {
            t->model_class = (uint8_t)node.model[i].class;
            t->model_declared = node.model[i].declared;
        }
}

static void on_paid(struct history_task *t, const struct evt_task_paid *e)
{
    struct receipt_answer *a = answer_of(t, e->lease);
    if (!a)
        return;
    struct amount sum;
    if (amount_add(a->paid, e->amount, &sum))
        a->paid = sum;
    a->pending |= e->pending != 0;
}

static void on_moved(struct history *history, struct history_task *t, const struct replica_moment *moment,
                     const struct evt_task_moved *e)
{
    if (t->ended)
        return;
    if (e->to == TASK_QUEUED)
        t->answers = 0;  // the next attempt's: failed ones are in the time-line
    if (e->to != TASK_COMPLETED && e->to != TASK_CANCELLED && e->to != TASK_EXPIRED && e->to != TASK_FAILED)
        return;
    t->ended = true;
    t->task.state = (enum task_state)e->to;
    t->task.cause = (enum fail_cause)e->cause;
    t->task.finished_ms = moment->time_ms;
    t->task.end_seq = moment->seq;
    history->live[(uint32_t)e->task] = NULL;
    history_keep_ended(history, t);
}

/* ---- audits ---- */

const struct history_audit *history_audit_find(const struct history *history, uint64_t audit)
{
    uint32_t slot = (uint32_t)audit;
    if (slot >= history->audit_cap || history->audit[slot].audit != audit)
        return NULL;
    return &history->audit[slot];
}

bool history_audit_is_over(const struct evt_audit_moved *e)
{
    return e->to == AUDIT_DECIDED || e->to == AUDIT_VOID || e->to == AUDIT_SPARED;
}

/* Most audits outlive their task here. What is pending of one that was handed over is seen by this event's row. */
static void on_audit(struct history *history, struct history_task *t, const struct evt_audit_moved *e)
{
    history->audit = history_grow(history->audit, &history->audit_cap, (uint32_t)e->audit, sizeof *history->audit);
    history->audit[(uint32_t)e->audit] = (struct history_audit){e->audit, e->task, e->lease};
    struct receipt_answer *a = t && !t->handed ? answer_of(t, e->lease) : NULL;
    if (a && history_audit_is_over(e))
        a->pending = false;
}

void history_hear_verdict(struct history *history, const struct replica_moment *moment)
{
    const struct cmd_audit_verdict *cmd = &moment->command->audit_verdict;
    const struct history_audit *audit = history_audit_find(history, cmd->audit);
    struct command decoded;
    const uint8_t *signature;
    if (!audit || !command_decode(moment->entry, &decoded, &signature) || decoded.signer_count == 0)
        return;
    struct receipt_verdict verdict = {.audit = cmd->audit,
                                      .lease = audit->lease,
                                      .seq = moment->seq,
                                      .oracle = moment->command->signer[0],
                                      .finding = cmd->finding,
                                      .mismatches = cmd->mismatches,
                                      .score_milli = cmd->score_milli,
                                      .evidence = cmd->evidence};
    memcpy(verdict.signature, signature, sizeof verdict.signature);
    history_keep_verdict(history, audit->task, &verdict);
}

/* ---- all of it ---- */

static void hear(struct history *history, struct history_task *t, const struct replica_moment *moment,
                 const struct event *event)
{
    if (event->type == EVENT_TASK_CREATED)
        on_created(t, moment, &event->task_created);
    else if (event->type == EVENT_TASK_OFFERED)
        on_offered(t, moment, &event->task_offered);
    else if (event->type == EVENT_ASSIGNMENT_MOVED)
        on_assignment(t, moment, &event->assignment_moved);
    else if (event->type == EVENT_TASK_ANSWER)
        on_answer(t, moment, &event->task_answer);
    else if (event->type == EVENT_TASK_PAID)
        on_paid(t, &event->task_paid);
    else if (event->type == EVENT_TASK_REFUNDED)
        t->task.charged = event->task_refunded.charged;
    else if (event->type == EVENT_TASK_MOVED)
        on_moved(history, t, moment, &event->task_moved);
}

struct history_task *history_task_hear(struct history *history, struct history_task *t,
                                       const struct replica_moment *moment, const struct event *event)
{
    if (event->type == EVENT_SESSION_SELECTED)
        return on_selected(history, &event->session_selected);
    if (event->type == EVENT_AUDIT_MOVED)
        on_audit(history, t, &event->audit_moved);
    else if (t && !t->handed)
        hear(history, t, moment, event);
    return t;
}

void history_task_receipt(const struct history *history, const struct history_task *t, struct receipt *r)
{
    r->network_id = history->network_id;
    r->session = t->task.session;
    r->task = t->task.task;
    r->rules_version = t->rules_version;
    r->payer = t->task.payer;
    r->router = t->router;
    r->request_digest = t->request_digest;
    r->prompt_digest = t->task.prompt_digest;
    r->reference = t->reference;
    r->dice = t->dice;
    r->dice_from_beacon = t->dice_from_beacon;
    r->validation = t->validation;
    r->redundancy = t->redundancy;
    r->quorum = t->quorum;
    r->verdict_missing = t->verdict_missing;
    r->primary_streamed = t->primary_streamed;
    r->model_class = t->model_class;
    r->model_declared = t->model_declared;
    r->submit_seq = t->submit_seq;
    r->end_seq = t->task.end_seq;
    r->charged = t->task.charged;
    r->answers = t->answers;
    if (t->answers > 0)
        memcpy(r->answer, t->answer, t->answers * sizeof *t->answer);
    r->verdicts = 0;
}

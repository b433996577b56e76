/* check_core_leases.c - assignments: who was offered what, and how each went on, for the causes that the protocol
 * draws. Source: docs/protocol.md, "Phases" and "Commands of tasks". */
#include "sim/check_core_parts.h"

/* The lease that a command of tasks names; 0: none. */
static uint64_t lease_of(const struct command *cmd)
{
    if (!cmd)
        return 0;
    if (cmd->type == COMMAND_TASK_ACK)
        return cmd->task_ack.lease;
    if (cmd->type == COMMAND_TASK_DECLINE)
        return cmd->task_decline.lease;
    if (cmd->type == COMMAND_TASK_FAULT)
        return cmd->task_fault.lease;
    if (cmd->type == COMMAND_TASK_PRECOMMIT)
        return cmd->task_precommit.lease;
    if (cmd->type == COMMAND_TASK_COMMIT)
        return cmd->task_commit.lease;
    return 0;
}

static bool says(const struct check_core *c, enum command_type type, uint64_t lease)
{
    return c->entry->verdict == VERDICT_ACCEPTED && c->entry->cmd && c->entry->cmd->type == type &&
           lease_of(c->entry->cmd) == lease;
}

/* ---- rows ---- */

static void forget_one(struct check_core *c, uint32_t row)
{
    id_map_remove(&c->by_lease, row);
    c->lease[row] = (struct lease_book){0};
    places_give(&c->lease_rows, row);
}

void leases_forget(struct check_core *c, struct task_book *t, bool all)
{
    uint32_t *at = &t->leases;
    while (*at != SLOT_NONE) {
        uint32_t row = *at;
        if (!all && c->lease[row].state != ASSIGNMENT_RECALLED) {
            at = &c->lease[row].next;
            continue;
        }
        *at = c->lease[row].next;
        forget_one(c, row);
    }
}

/* ---- offers ---- */

/* Who may get it: docs/protocol.md, "Phases". */
static bool may_serve(struct check_core *c, const struct task_book *t, const struct session_book_ *s,
                      const struct evt_task_offered *e, struct node_book *n)
{
    uint32_t at = n ? node_model_at(n, s->model) : SLOT_NONE;
    MUST(c, NODE_RECORD, n && n->session == t->session && n->state == NODE_RESERVED,
         "task %" PRIx64 " was offered to node %08x, which its session does not hold", t->id, short_of(&e->node));
    MUST(c, TESTED, n->passed,
         "task %" PRIx64 " was offered to node %08x, which has passed no round since its last session", t->id,
         short_of(&e->node));
    MUST(c, NODE_RECORD, node_is_linked(c, n, &t->router) && !n->leaving && n->busy < n->slots,
         "task %" PRIx64 " was offered to node %08x, which is %s", t->id, short_of(&e->node),
         n->leaving           ? "leaving"
         : n->busy < n->slots ? "not attached to its router"
                              : "busy");
    MUST(c, NODE_RECORD, at != SLOT_NONE && n->model[at].proved,
         "task %" PRIx64 " was offered to node %08x, which has not proved the model", t->id, short_of(&e->node));
    MUST(c, PAY,
         e->price_in == u64_min(n->model[at].price_in, s->price_in) &&
             e->price_out == u64_min(n->model[at].price_out, s->price_out),
         "lease %" PRIu64 " has prices that node %08x does not ask", e->lease, short_of(&e->node));
    const struct model_book *m = model_book(c, s->model);
    MUST(c, NODE_RECORD, m && n->model[at].context >= m->template_tokens + t->tokens_max,
         "task %" PRIx64 " was offered to node %08x, whose context is too short", t->id, short_of(&e->node));
    return true;
}

static bool shares_attempt(struct check_core *c, const struct task_book *t, const struct session_book_ *s,
                           const struct node_book *n)
{
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next) {
        const struct lease_book *l = &c->lease[row];
        if (l->attempt != t->attempt)
            continue;
        const struct node_book *other = node_book(c, &l->node);
        MUST(c, ASSIGNMENT_RECORD, !address_eq(&l->node, &n->address),
             "node %08x has two assignments of attempt %u of task %" PRIx64, short_of(&n->address), t->attempt, t->id);
        MUST(c, ASSIGNMENT_RECORD, !s->diversity || !other || !address_eq(&other->operator, & n->operator),
             "two nodes of one operator are in attempt %u of task %" PRIx64, t->attempt, t->id);
    }
    return true;
}

static bool offered(struct check_core *c, const struct evt_task_offered *e)
{
    struct task_book *t = task_book(c, e->task);
    MUST(c, ASSIGNMENT_RECORD, t && t->state == TASK_ASSIGNED && !t->cancelling && e->attempt == t->attempt,
         "lease %" PRIu64 " was offered for task %" PRIx64 ", which is not being assigned", e->lease, e->task);
    if (!task_adopted(c, t))
        return false;
    const struct session_book_ *s = session_book(c, t->session);
    const struct router_book *r = router_book(c, &t->router);
    MUST(c, ASSIGNMENT_RECORD, e->lease > c->last_lease && e->lease % 2 == 1,
         "lease %" PRIu64 " comes after lease %" PRIu64, e->lease, c->last_lease);
    MUST(c, ASSIGNMENT_RECORD, address_eq(&e->router, &t->router) && r && r->present,
         "lease %" PRIu64 " is offered by a router that is silent, or not the task's", e->lease);
    c->last_lease = e->lease;
    struct node_book *n = node_book(c, &e->node);
    if (!may_serve(c, t, s, e, n) || !shares_attempt(c, t, s, n))
        return false;
    t->offers++;
    MUST(c, TASK_RECORD, t->offers <= 2 * s->redundancy, "attempt %u of task %" PRIx64 " has %u offers", t->attempt,
         t->id, t->offers);
    uint64_t due_ms = u64_min(c->now_ms + s->ack_ms, t->deadline_ms);
    MUST(c, DEADLINES, e->deadline_ms == due_ms, "lease %" PRIu64 " has to ack by %" PRIu64 ", not %" PRIu64, e->lease,
         e->deadline_ms, due_ms);
    uint64_t seed = t->seed_of_client ? t->seed : check_dice(c, "corten/s", e->lease, t->attempt);
    MUST(c, DICE, e->seed == seed, "lease %" PRIu64 " has seed %" PRIu64 ", and the dice say %" PRIu64, e->lease,
         e->seed, seed);

    uint32_t row = places_take(&c->lease_rows);
    MUST(c, ASSIGNMENT_RECORD, row != SLOT_NONE, "more assignments than assignments_cap live");
    c->lease[row] = (struct lease_book){
        .lease = e->lease,
        .task = slot_of(t->id),
        .next = t->leases,
        .node = e->node,
        .state = ASSIGNMENT_OFFERED,
        .attempt = t->attempt,
        .offered_ms = c->now_ms,
        .seed = e->seed,
        .price_in = e->price_in,
        .price_out = e->price_out,
    };
    id_map_add(&c->by_lease, row);
    t->leases = row;
    n->busy++;
    return true;
}

/* ---- arrows, each with what allows it ---- */

static bool acks(struct check_core *c, const struct task_book *t, struct lease_book *l)
{
    const struct session_book_ *s = session_book(c, t->session);
    uint64_t due_ms = u64_min(l->offered_ms + s->ack_ms, t->deadline_ms);
    bool by_ack = says(c, COMMAND_TASK_ACK, l->lease), by_precommit = says(c, COMMAND_TASK_PRECOMMIT, l->lease);
    MUST(c, EFFECT, by_ack || by_precommit, "lease %" PRIu64 " is ACKED, and nobody said so", l->lease);
    MUST(c, EFFECT, by_precommit || address_eq(&c->entry->cmd->author, &t->router),
         "lease %" PRIu64 " was acked by a router that its task does not belong to", l->lease);
    MUST(c, DEADLINES, c->now_ms < due_ms, "lease %" PRIu64 " was acked at %" PRIu64 ", due by %" PRIu64, l->lease,
         c->now_ms, due_ms);
    return true;
}

static bool declines(struct check_core *c, const struct lease_book *l, enum fail_cause cause)
{
    const struct command *cmd = c->entry->cmd;
    bool declined = says(c, COMMAND_TASK_DECLINE, l->lease), fault = says(c, COMMAND_TASK_FAULT, l->lease);
    MUST(c, EFFECT, declined || fault, "lease %" PRIu64 " is DECLINED, and nobody said so", l->lease);
    if (fault)
        MUST(c, ASSIGNMENT_RECORD, cause == CAUSE_ENGINE && cmd->task_fault.cause == CAUSE_ENGINE,
             "lease %" PRIu64 " is DECLINED for another cause than its fault", l->lease);
    if (!declined)
        return true;
    uint8_t reason = cmd->task_decline.reason;
    enum fail_cause wanted = reason == DECLINE_ENGINE            ? CAUSE_ENGINE
                             : reason == DECLINE_PAYLOAD_MISSING ? CAUSE_PAYLOAD_MISSING
                                                                 : CAUSE_DECLINED;
    MUST(c, ASSIGNMENT_RECORD, l->state == ASSIGNMENT_OFFERED && cause == wanted,
         "lease %" PRIu64 " was declined with %s from %s", l->lease, term_name(TERM_fail_cause, cause),
         term_name(TERM_assignment_state, l->state));
    return true;
}

static bool times_out(struct check_core *c, const struct task_book *t, const struct lease_book *l,
                      enum fail_cause cause)
{
    const struct session_book_ *s = session_book(c, t->session);
    if (says(c, COMMAND_TASK_FAULT, l->lease) && c->entry->cmd->task_fault.cause == CAUSE_SILENT)
        return true;
    bool acked = l->state == ASSIGNMENT_ACKED;
    uint64_t due_ms = acked ? t->phase_ms + t->precommit_ms : l->offered_ms + s->ack_ms;
    MUST(c, ASSIGNMENT_RECORD, cause == (acked ? CAUSE_LATE : CAUSE_SILENT) && (!acked || t->state == TASK_ACKED),
         "lease %" PRIu64 " timed out from %s for %s", l->lease, term_name(TERM_assignment_state, l->state),
         term_name(TERM_fail_cause, cause));
    MUST(c, DEADLINES, c->now_ms >= due_ms, "lease %" PRIu64 " timed out at %" PRIu64 ", before %" PRIu64, l->lease,
         c->now_ms, due_ms);
    return true;
}

static bool precommits(struct check_core *c, const struct task_book *t, struct lease_book *l)
{
    const struct command *cmd = c->entry->cmd;
    const struct session_book_ *s = session_book(c, t->session);
    MUST(c, EFFECT, says(c, COMMAND_TASK_PRECOMMIT, l->lease), "lease %" PRIu64 " is PRECOMMITTED, and nobody said so",
         l->lease);
    bool is_signed = cmd->signer_count > 0 && address_eq(&cmd->signer[0], &l->node);
    bool relayed = cmd->signer_count == 0 && s->channel && address_eq(&cmd->author, &t->router);
    MUST(c, REVEAL, is_signed || relayed, "the precommit of lease %" PRIu64 " is not its node's", l->lease);
    MUST(c, DEADLINES, c->now_ms < t->deadline_ms && (t->state != TASK_ACKED || c->now_ms < task_phase_deadline(c, t)),
         "lease %" PRIu64 " precommitted at %" PRIu64 ", too late", l->lease, c->now_ms);
    l->precommit = cmd->task_precommit.precommit;
    return true;
}

static bool reveals(struct check_core *c, const struct task_book *t, struct lease_book *l, enum fail_cause cause)
{
    const struct command *cmd = c->entry->cmd;
    MUST(c, EFFECT, says(c, COMMAND_TASK_COMMIT, l->lease) && address_eq(&cmd->author, &t->router),
         "lease %" PRIu64 " was revealed by nobody who may", l->lease);
    MUST(c, REVEAL_ORDER, t->may_reveal || t->cancelling, "lease %" PRIu64 " was revealed before all had precommitted",
         l->lease);
    MUST(c, DEADLINES, c->now_ms < task_phase_deadline(c, t), "lease %" PRIu64 " was revealed at %" PRIu64 ", too late",
         l->lease, c->now_ms);
    enum fail_cause wanted = reveal_cause(c, t, l);
    MUST(c, REVEAL, cause == wanted, "the reveal of lease %" PRIu64 " was found %s, and it is %s", l->lease,
         term_name(TERM_fail_cause, cause), term_name(TERM_fail_cause, wanted));
    return true;
}

static bool withholds(struct check_core *c, const struct task_book *t, const struct lease_book *l)
{
    const struct session_book_ *s = session_book(c, t->session);
    const struct node_book *n = node_book(c, &l->node);
    MUST(c, REVEAL_ORDER, t->state == TASK_PRECOMMITTED && t->may_reveal,
         "lease %" PRIu64 " is WITHHELD, and was not asked to reveal", l->lease);
    bool lost = n && (!node_is_present(c, n) || n->state == NODE_BANNED) && s->redundancy > 1;
    MUST(c, DEADLINES, lost || c->now_ms >= t->phase_ms + s->commit_ms,
         "lease %" PRIu64 " is WITHHELD at %" PRIu64 ", before %" PRIu64, l->lease, c->now_ms,
         t->phase_ms + s->commit_ms);
    const struct router_book *r = router_book(c, &t->router);
    MUST(c, ASSIGNMENT_RECORD, r && r->present, "lease %" PRIu64 " is blamed while its router is silent", l->lease);
    return true;
}

static bool arrow_is_drawn(enum assignment_state from, enum assignment_state to)
{
    switch (to) {
    case ASSIGNMENT_ACKED: return from == ASSIGNMENT_OFFERED;
    case ASSIGNMENT_PRECOMMITTED: return from == ASSIGNMENT_ACKED;
    case ASSIGNMENT_COMMITTED: return from == ASSIGNMENT_PRECOMMITTED;
    case ASSIGNMENT_ACCEPTED: return from == ASSIGNMENT_COMMITTED;
    case ASSIGNMENT_REJECTED: return from == ASSIGNMENT_PRECOMMITTED || from == ASSIGNMENT_COMMITTED;
    case ASSIGNMENT_DECLINED:
    case ASSIGNMENT_TIMED_OUT: return from == ASSIGNMENT_OFFERED || from == ASSIGNMENT_ACKED;
    case ASSIGNMENT_WITHHELD: return from == ASSIGNMENT_PRECOMMITTED;
    case ASSIGNMENT_RECALLED: return from <= ASSIGNMENT_COMMITTED;
    case ASSIGNMENT_OFFERED:
    case ASSIGNMENT_STATE_COUNT: break;
    }
    return false;
}

static bool is_recall_cause(enum fail_cause cause)
{
    return cause == CAUSE_SUPERSEDED || cause == CAUSE_NO_VERDICT || cause == CAUSE_NODE_LOST ||
           cause == CAUSE_ROUTER_LOST || cause == CAUSE_TIMEOUT || cause == CAUSE_CANCELLED ||
           cause == CAUSE_SESSION_CLOSED || cause == CAUSE_NO_NODES || cause == CAUSE_PAYLOAD_MISSING ||
           cause == CAUSE_POISON;
}

static bool may_move(struct check_core *c, struct task_book *t, struct lease_book *l, enum assignment_state to,
                     enum fail_cause cause)
{
    switch (to) {
    case ASSIGNMENT_ACKED: return acks(c, t, l);
    case ASSIGNMENT_PRECOMMITTED: return precommits(c, t, l);
    case ASSIGNMENT_COMMITTED: return reveals(c, t, l, cause);
    case ASSIGNMENT_REJECTED:
        if (l->state == ASSIGNMENT_PRECOMMITTED)
            return reveals(c, t, l, cause);
        MUST(c, ASSIGNMENT_RECORD, cause == CAUSE_OUTVOTED && t->state == TASK_COMMITTED,
             "lease %" PRIu64 " was rejected for %s", l->lease, term_name(TERM_fail_cause, cause));
        return true;
    case ASSIGNMENT_DECLINED: return declines(c, l, cause);
    case ASSIGNMENT_TIMED_OUT: return times_out(c, t, l, cause);
    case ASSIGNMENT_WITHHELD: return withholds(c, t, l);
    case ASSIGNMENT_RECALLED:
        MUST(c, ASSIGNMENT_RECORD, is_recall_cause(cause), "lease %" PRIu64 " was recalled for %s", l->lease,
             term_name(TERM_fail_cause, cause));
        return true;
    case ASSIGNMENT_ACCEPTED:
        MUST(c, ONE_ANSWER, t->state == TASK_VALIDATED || t->cancelling,
             "lease %" PRIu64 " is ACCEPTED while its task is %s", l->lease, term_name(TERM_task_state, t->state));
        t->accepted++;
        return true;
    case ASSIGNMENT_OFFERED:
    case ASSIGNMENT_STATE_COUNT: break;
    }
    return false;
}

static bool moved(struct check_core *c, const struct evt_assignment_moved *e)
{
    struct lease_book *l = lease_book(c, e->lease);
    MUST(c, ASSIGNMENT_RECORD, l, "lease %" PRIu64 " went to %s, and it does not live", e->lease,
         term_name(TERM_assignment_state, e->to));
    struct task_book *t = &c->task[l->task];
    MUST(c, ASSIGNMENT_RECORD, e->task == t->id && l->attempt == t->attempt && address_eq(&e->node, &l->node),
         "lease %" PRIu64 " is of another task, attempt or node than it was offered for", e->lease);
    MUST(c, ASSIGNMENT_RECORD, e->from == l->state && arrow_is_drawn(l->state, (enum assignment_state)e->to),
         "lease %" PRIu64 " was %s and went from %s to %s", e->lease, term_name(TERM_assignment_state, l->state),
         term_name(TERM_assignment_state, e->from), term_name(TERM_assignment_state, e->to));
    if (!may_move(c, t, l, (enum assignment_state)e->to, (enum fail_cause)e->cause))
        return false;
    if (lease_of(c->entry->cmd) == l->lease)
        c->lease_moved = true;
    l->state = (enum assignment_state)e->to;
    l->cause = (enum fail_cause)e->cause;
    if (lease_lives(l))
        return true;
    struct node_book *n = node_book(c, &l->node);
    MUST(c, NODE_RECORD, n && n->busy > 0, "lease %" PRIu64 " ends for a node that has none", l->lease);
    n->busy--;
    return true;
}

bool lease_event(struct check_core *c, const struct event *e)
{
    return e->type == EVENT_TASK_OFFERED ? offered(c, &e->task_offered) : moved(c, &e->assignment_moved);
}

/* ---- behind the events ---- */

static bool accepted_after(struct check_core *c, const struct lease_book *l, uint64_t lease)
{
    const struct command *cmd = c->entry->cmd;
    bool again = cmd->type == COMMAND_TASK_PRECOMMIT && l && l->state == ASSIGNMENT_PRECOMMITTED &&
                 hash_eq(&l->precommit, &cmd->task_precommit.precommit);
    MUST(c, EFFECT, c->lease_moved || again, "%s was accepted for lease %" PRIu64 " and changed nothing of it",
         command_find(cmd->type)->name, lease);
    return true;
}

/* A refusal must be true as well: else the honest could be kept out. */
static bool refused_after(struct check_core *c, const struct lease_book *l)
{
    const struct task_book *t = &c->task[l->task];
    enum verdict verdict = c->entry->verdict;
    uint64_t due_ms = task_phase_deadline(c, t);
    if (l->state == ASSIGNMENT_OFFERED)
        due_ms = u64_min(l->offered_ms + session_book(c, t->session)->ack_ms, t->deadline_ms);
    MUST(c, EFFECT, verdict != VERDICT_LEASE_STALE, "lease %" PRIu64 " lives and was refused as stale", l->lease);
    MUST(c, DEADLINES, verdict != VERDICT_DEADLINE_PASSED || c->now_ms >= due_ms,
         "lease %" PRIu64 " was refused as late at %" PRIu64 ", due by %" PRIu64, l->lease, c->now_ms, due_ms);
    MUST(c, REVEAL_ORDER, verdict != VERDICT_REVEAL_EARLY || !t->may_reveal,
         "lease %" PRIu64 " was refused as early, and all have precommitted", l->lease);
    MUST(c, EFFECT, verdict != VERDICT_NOT_TASK_ROUTER || !address_eq(&c->entry->cmd->author, &t->router),
         "lease %" PRIu64 " was refused to its own task's router", l->lease);
    return true;
}

bool lease_after(struct check_core *c)
{
    uint64_t lease = lease_of(c->entry->cmd);
    bool ok = true;
    if (lease != 0) {
        const struct lease_book *l = lease_book(c, lease);
        if (c->entry->verdict == VERDICT_ACCEPTED)
            ok = accepted_after(c, l, lease);
        else if (l && lease_lives(l) && !c->lease_moved)
            ok = refused_after(c, l);
    }
    c->lease_moved = false;
    return ok;
}

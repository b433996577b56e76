/* check_core_tasks.c - tasks, as docs/protocol.md, "Tasks", has them: arrows, attempts, deadlines, references. */
#include "sim/check_core_parts.h"

#define LIVE_STATES_END TASK_COMPLETED

/* ---- what follows from the books ---- */

uint32_t task_live_leases(const struct check_core *c, const struct task_book *t, enum assignment_state at_least)
{
    uint32_t count = 0;
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next)
        count += lease_lives(&c->lease[row]) && c->lease[row].state >= at_least;
    return count;
}

static uint64_t first_ack_ms(const struct check_core *c, const struct task_book *t, uint64_t ack_ms)
{
    uint64_t first = TIME_NEVER;
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next)
        if (c->lease[row].state == ASSIGNMENT_OFFERED)
            first = u64_min(first, c->lease[row].offered_ms + ack_ms);
    return first;
}

/* docs/protocol.md, "Phases": the column `deadline`, and never beyond the whole task's. */
uint64_t task_phase_deadline(struct check_core *c, const struct task_book *t)
{
    const struct session_book_ *s = session_book(c, t->session);
    uint64_t phase = TIME_NEVER;
    if (t->cancelling)
        phase = t->phase_ms + c->params.cancel_grace_ms;
    else if (t->state == TASK_ASSIGNED)
        phase = first_ack_ms(c, t, s->ack_ms);
    else if (t->state == TASK_ACKED)
        phase = t->phase_ms + t->precommit_ms;
    else if (t->state == TASK_PRECOMMITTED)
        phase = t->phase_ms + s->commit_ms;
    return u64_min(phase, t->deadline_ms);
}

/* ---- references ---- */

static uint32_t find_reference(struct check_core *c, const struct address *payer, const struct hash *reference)
{
    struct reference_book name = {0};
    name.name.payer = *payer;
    name.name.reference = *reference;
    return id_map_find(&c->by_reference, &name.name);
}

static bool remember(struct check_core *c, const struct task_book *t)
{
    static const struct hash none;
    if (hash_eq(&t->reference, &none))
        return true;
    uint32_t known = find_reference(c, &t->payer, &t->reference);
    MUST(c, REFERENCES, known == SLOT_NONE, "task %" PRIx64 " was made for a reference that names task %" PRIx64, t->id,
         c->reference[known].task);
    uint32_t row = places_take(&c->reference_rows);
    MUST(c, REFERENCES, row != SLOT_NONE, "more references than references_cap are remembered");
    struct reference_book *r = &c->reference[row];
    r->name.payer = t->payer;
    r->name.reference = t->reference;
    r->task = t->id;
    r->ended_ms = TIME_NEVER;
    id_map_add(&c->by_reference, row);
    return true;
}

static void end_reference(struct check_core *c, const struct task_book *t)
{
    uint32_t row = find_reference(c, &t->payer, &t->reference);
    if (row != SLOT_NONE)
        c->reference[row].ended_ms = c->now_ms;
}

/* ---- a task begins ---- */

static bool quote(struct check_core *c, const struct session_book_ *s, const struct task_book *t,
                  struct amount *ret_quote)
{
    const struct model_book *m = model_book(c, s->model);
    struct amount in, out, one, router, oracle;
    if (!m)
        return false;
    return amount_mul(amount_of(s->price_in), (uint64_t)t->prompt_size + m->template_tokens, &in) &&
           amount_mul(amount_of(s->price_out), t->tokens_max, &out) && amount_add(in, out, &one) &&
           amount_scale_up(one, 1, 1000000, &one) && amount_scale_up(one, c->params.router_fee_bp, 10000, &router) &&
           amount_scale_up(one, c->params.oracle_fee_bp, 10000, &oracle) && amount_add(one, router, &one) &&
           amount_add(one, oracle, &one) && amount_mul(one, s->redundancy, ret_quote);
}

static bool created(struct check_core *c, const struct evt_task_created *e)
{
    const struct command *cmd = c->entry->cmd;
    uint32_t slot = slot_of(e->task);
    MUST(c, EFFECT, cmd && cmd->type == COMMAND_TASK_SUBMIT && c->created == 0,
         "a task was made by no submit of its own");
    const struct cmd_task_submit *submit = &cmd->task_submit;
    MUST(c, TASK_RECORD, slot < c->task_cap && c->task[slot].id == 0 && (e->task >> 32) > c->task[slot].generation,
         "task %" PRIx64 " takes an id that was used", e->task);
    const struct session_book_ *s = session_book(c, e->session);
    MUST(c, TASK_RECORD, s && s->state <= SESSION_ACTIVE, "task %" PRIx64 " in a session that is not open", e->task);
    MUST(c, EFFECT,
         address_eq(&e->payer, &submit->payer) && e->session == submit->session &&
             hash_eq(&e->request_digest, &submit->request_digest) &&
             hash_eq(&e->prompt_digest, &submit->prompt_digest) && hash_eq(&e->reference, &submit->reference) &&
             address_eq(&e->router, &cmd->author),
         "task %" PRIx64 " is not what was submitted", e->task);
    struct task_book *t = &c->task[slot];
    *t = (struct task_book){
        .id = e->task,
        .generation = (uint32_t)(e->task >> 32),
        .session = e->session,
        .payer = e->payer,
        .router = e->router,
        .request_digest = e->request_digest,
        .reference = e->reference,
        .state = TASK_QUEUED,
        .tokens_max = e->tokens_max,
        .prompt_size = submit->prompt_size,
        .priority = submit->priority == PRIORITY_DEFAULT ? s->priority : submit->priority,
        .precommit_ms = submit->precommit_ms ? u32_min(submit->precommit_ms, s->precommit_ms) : s->precommit_ms,
        .seed = submit->seed,
        .seed_of_client = submit->seed_of_client,
        .greedy = submit->greedy,
        .queued_ms = c->now_ms,
        .phase_ms = c->now_ms,
        .deadline_ms = e->deadline_ms,
        .leases = SLOT_NONE,
        .reserved = e->reserved,
    };
    c->created = e->task;
    uint32_t total_ms = submit->timeout_ms ? u32_min(submit->timeout_ms, s->total_ms) : s->total_ms;
    MUST(c, DEADLINES, e->deadline_ms == c->now_ms + total_ms,
         "task %" PRIx64 " has its deadline at %" PRIu64 ", not %u ms from %" PRIu64, e->task, e->deadline_ms, total_ms,
         c->now_ms);
    struct amount wanted;
    MUST(c, PAY, quote(c, s, t, &wanted) && amount_eq(wanted, e->reserved),
         "task %" PRIx64 " reserves %" PRIu64 ", and its quote is another", e->task, e->reserved.credits);
    session_book(c, e->session)->live++;
    return remember(c, t);
}

/* ---- a task moves ---- */

static bool arrow_is_drawn(enum task_state from, enum task_state to)
{
    bool lives = from < LIVE_STATES_END;
    switch (to) {
    case TASK_QUEUED: return from >= TASK_ASSIGNED && from <= TASK_COMMITTED;
    case TASK_ASSIGNED: return from == TASK_QUEUED;
    case TASK_ACKED: return from == TASK_ASSIGNED;
    case TASK_PRECOMMITTED: return from == TASK_ACKED;
    case TASK_COMMITTED: return from == TASK_PRECOMMITTED;
    case TASK_VALIDATED: return from == TASK_COMMITTED;
    case TASK_COMPLETED: return from == TASK_VALIDATED;
    case TASK_CANCELLED:
    case TASK_EXPIRED:
    case TASK_FAILED: return lives && from != TASK_VALIDATED;
    case TASK_STATE_COUNT: break;
    }
    return false;
}

static bool cancels(struct check_core *c, struct task_book *t, const struct evt_task_moved *e)
{
    const struct command *cmd = c->entry->cmd;
    MUST(c, TASK_RECORD, e->cause == CAUSE_CANCELLED && !t->cancelling && t->state != TASK_QUEUED,
         "task %" PRIx64 " moved from %s to itself", t->id, term_name(TERM_task_state, t->state));
    MUST(c, EFFECT,
         c->entry->verdict == VERDICT_ACCEPTED && cmd->type == COMMAND_TASK_CANCEL && cmd->task_cancel.task == t->id &&
             address_eq(&cmd->task_cancel.payer, &t->payer),
         "task %" PRIx64 " is being cancelled, and nobody who pays for it said so", t->id);
    t->cancelling = true;
    t->phase_ms = c->now_ms;
    t->relayed = u32_min(cmd->task_cancel.relayed_tokens, t->tokens_max);
    MUST(c, DEADLINES, e->deadline_ms == task_phase_deadline(c, t), "the grace of task %" PRIx64 " ends at %" PRIu64,
         t->id, e->deadline_ms);
    return true;
}

/* Different nodes that failed it for causes that may be its own fault. */
static uint32_t poisoned_nodes(const struct check_core *c, const struct task_book *t)
{
    uint32_t count = 0;
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next) {
        const struct lease_book *l = &c->lease[row];
        bool counts = !lease_lives(l) && l->cause >= CAUSE_DECLINED && l->cause <= CAUSE_LATE;
        for (uint32_t other = l->next; counts && other != SLOT_NONE; other = c->lease[other].next) {
            const struct lease_book *o = &c->lease[other];
            if (!lease_lives(o) && o->cause >= CAUSE_DECLINED && o->cause <= CAUSE_LATE &&
                address_eq(&o->node, &l->node))
                counts = false;
        }
        count += counts;
    }
    return count;
}

static bool next_attempt(struct check_core *c, struct task_book *t, const struct evt_task_moved *e)
{
    const struct session_book_ *s = session_book(c, t->session);
    MUST(c, ASSIGNMENT_RECORD, task_live_leases(c, t, ASSIGNMENT_OFFERED) == 0,
         "task %" PRIx64 " is queued again while leases of its attempt live", t->id);
    if (e->cause == CAUSE_ROUTER_LOST || e->cause == CAUSE_NODE_LOST)
        t->forgiven++;
    MUST(c, TASK_RECORD, t->attempt - t->forgiven < s->attempts_max && !t->cancelling,
         "task %" PRIx64 " has had its %u attempts and gets another", t->id, s->attempts_max);
    t->primary = 0;
    t->may_reveal = false;
    leases_forget(c, t, false);
    return true;
}

static bool all_have(struct check_core *c, struct task_book *t, enum assignment_state state)
{
    const struct session_book_ *s = session_book(c, t->session);
    uint32_t live = task_live_leases(c, t, ASSIGNMENT_OFFERED), have = task_live_leases(c, t, state);
    MUST(c, TASK_RECORD, have == live && live >= s->quorum,
         "task %" PRIx64 " goes on with %u of %u assignments that came so far; quorum %u", t->id, have, live,
         s->quorum);
    return true;
}

static bool ends(struct check_core *c, struct task_book *t, const struct evt_task_moved *e)
{
    struct session_book_ *s = session_book(c, t->session);
    MUST(c, ASSIGNMENT_RECORD, task_live_leases(c, t, ASSIGNMENT_OFFERED) == 0,
         "task %" PRIx64 " is %s while leases of it live", t->id, term_name(TERM_task_state, e->to));
    MUST(c, MONEY, t->refunded, "task %" PRIx64 " is %s and its reservation was not given back", t->id,
         term_name(TERM_task_state, e->to));
    MUST(c, ONE_ANSWER, (e->to == TASK_COMPLETED) == (t->answer != 0), "task %" PRIx64 " is %s with%s an answer", t->id,
         term_name(TERM_task_state, e->to), t->answer ? "" : "out");
    if (e->to == TASK_EXPIRED)
        MUST(c, DEADLINES, c->now_ms >= t->deadline_ms, "task %" PRIx64 " expired at %" PRIu64 ", before %" PRIu64,
             t->id, c->now_ms, t->deadline_ms);
    if (e->cause == CAUSE_POISON)
        MUST(c, TASK_RECORD, poisoned_nodes(c, t) >= POISON_NODES, "task %" PRIx64 " is POISON to %u nodes only", t->id,
             poisoned_nodes(c, t));
    end_reference(c, t);
    leases_forget(c, t, true);
    s->live--;
    t->id = 0;
    return true;
}

static bool enters(struct check_core *c, struct task_book *t, const struct evt_task_moved *e)
{
    switch (t->state) {
    case TASK_QUEUED: return next_attempt(c, t, e);
    case TASK_ASSIGNED: t->offers = 0; return true;
    case TASK_ACKED:
        MUST(c, TASK_RECORD, t->offers >= session_book(c, t->session)->redundancy,
             "task %" PRIx64 " was offered to %u nodes only", t->id, t->offers);
        return all_have(c, t, ASSIGNMENT_ACKED);
    case TASK_PRECOMMITTED: return all_have(c, t, ASSIGNMENT_PRECOMMITTED);
    case TASK_COMMITTED: return all_have(c, t, ASSIGNMENT_COMMITTED);
    case TASK_VALIDATED: return true;
    case TASK_COMPLETED:
    case TASK_CANCELLED:
    case TASK_EXPIRED:
    case TASK_FAILED: return ends(c, t, e);
    case TASK_STATE_COUNT: break;
    }
    return false;
}

static bool moved(struct check_core *c, const struct evt_task_moved *e)
{
    struct task_book *t = task_book(c, e->task);
    MUST(c, TASK_RECORD, t, "task %" PRIx64 " moved to %s, and there is none", e->task,
         term_name(TERM_task_state, e->to));
    MUST(c, TASK_RECORD, e->from == t->state, "task %" PRIx64 " is said to come from %s and was %s", t->id,
         term_name(TERM_task_state, e->from), term_name(TERM_task_state, t->state));
    if (e->from == e->to)
        return cancels(c, t, e);
    MUST(c, TASK_RECORD, arrow_is_drawn(t->state, (enum task_state)e->to), "task %" PRIx64 " went from %s to %s", t->id,
         term_name(TERM_task_state, e->from), term_name(TERM_task_state, e->to));
    uint32_t attempt = t->attempt + (e->to == TASK_ASSIGNED);
    MUST(c, TASK_RECORD, e->attempt == attempt, "task %" PRIx64 " is in attempt %u, and its event says %u", t->id,
         attempt, e->attempt);
    if (t->cancelling)
        MUST(c, TASK_RECORD, e->to == TASK_CANCELLED, "task %" PRIx64 " was cancelled and went to %s", t->id,
             term_name(TERM_task_state, e->to));
    t->attempt = attempt;
    t->state = (enum task_state)e->to;
    t->phase_ms = c->now_ms;
    if (e->to == TASK_ACKED || e->to == TASK_PRECOMMITTED)
        MUST(c, DEADLINES, e->deadline_ms == task_phase_deadline(c, t),
             "task %" PRIx64 " is %s until %" PRIu64 ", and by its session until %" PRIu64, t->id,
             term_name(TERM_task_state, e->to), e->deadline_ms, task_phase_deadline(c, t));
    return enters(c, t, e);
}

static bool all_precommitted(struct check_core *c, uint64_t id)
{
    struct task_book *t = task_book(c, id);
    MUST(c, REVEAL_ORDER, t && t->state == TASK_PRECOMMITTED, "reveals of task %" PRIx64 " were let go ahead", id);
    MUST(c, REVEAL_ORDER, task_live_leases(c, t, ASSIGNMENT_PRECOMMITTED) == task_live_leases(c, t, ASSIGNMENT_OFFERED),
         "reveals of task %" PRIx64 " may come before all have precommitted", id);
    t->may_reveal = true;
    return true;
}

static bool primary_is(struct check_core *c, const struct evt_task_primary_is *e)
{
    struct task_book *t = task_book(c, e->task);
    const struct lease_book *l = e->lease ? lease_book(c, e->lease) : NULL;
    MUST(c, TASK_RECORD, t, "task %" PRIx64 " has a primary, and there is none", e->task);
    MUST(c, TASK_RECORD,
         e->lease == 0 || (l && l->task == slot_of(e->task) && lease_lives(l) && l->state != ASSIGNMENT_OFFERED),
         "the primary of task %" PRIx64 " is lease %" PRIu64 ", which has not acked", e->task, e->lease);
    MUST(c, TASK_RECORD, !t->streamed || e->lease == 0, "task %" PRIx64 " has another primary after its stream began",
         e->task);
    t->primary = e->lease;
    return true;
}

bool task_event(struct check_core *c, const struct event *e)
{
    if (e->type == EVENT_TASK_CREATED)
        return created(c, &e->task_created);
    if (e->type == EVENT_TASK_MOVED)
        return moved(c, &e->task_moved);
    if (e->type == EVENT_TASK_ALL_PRECOMMITTED)
        return all_precommitted(c, e->task_all_precommitted.task);
    return primary_is(c, &e->task_primary_is);
}

/* ---- behind the events ---- */

static bool submit_after(struct check_core *c)
{
    const struct cmd_task_submit *submit = &c->entry->cmd->task_submit;
    static const struct hash none;
    bool accepted = c->entry->verdict == VERDICT_ACCEPTED;
    MUST(c, EFFECT, accepted == (c->created != 0), "a submit was answered %s and made %s task",
         verdict_name(c->entry->verdict), c->created ? "a" : "no");
    if (c->entry->verdict == VERDICT_TASK_KNOWN)
        MUST(c, REFERENCES,
             !hash_eq(&submit->reference, &none) && find_reference(c, &submit->payer, &submit->reference) != SLOT_NONE,
             "a submit was answered TASK_KNOWN for a reference that names none");
    return true;
}

static bool cancel_after(struct check_core *c)
{
    if (c->entry->verdict != VERDICT_ACCEPTED)
        return true;
    const struct task_book *t = task_book(c, c->entry->cmd->task_cancel.task);
    MUST(c, EFFECT, !t || t->cancelling, "a cancel of task %" PRIx64 " was accepted and nothing came of it", t->id);
    return true;
}

static bool stream_after(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    bool streams = cmd->type == COMMAND_TASK_STREAMS;
    uint64_t lease = streams ? cmd->task_streams.lease : cmd->task_primary.lease;
    if (c->entry->verdict != VERDICT_ACCEPTED)
        return true;
    const struct lease_book *l = lease_book(c, lease);
    struct task_book *t = l ? &c->task[l->task] : NULL;
    MUST(c, EFFECT, t && t->primary == lease && !t->streamed, "%s was accepted for lease %" PRIu64 ", not the primary",
         streams ? "task_streams" : "task_primary", lease);
    t->streamed = streams;
    return true;
}

bool task_adopted(struct check_core *c, struct task_book *t)
{
    const struct command *cmd = c->entry->cmd;
    bool adopts = cmd && cmd->type == COMMAND_TASK_ADOPT && c->entry->verdict == VERDICT_ACCEPTED;
    if (!adopts || cmd->task_adopt.task != t->id || address_eq(&t->router, &cmd->author))
        return true;
    const struct router_book *r = router_book(c, &t->router);
    MUST(c, EFFECT, !r || !r->present, "task %" PRIx64 " was adopted from a router that is present", t->id);
    t->router = cmd->author;
    return true;
}

static bool adopt_after(struct check_core *c)
{
    struct task_book *t = task_book(c, c->entry->cmd->task_adopt.task);
    return !t || task_adopted(c, t);  // none: it ended with its last attempt
}

/* Nothing that lives is overdue where nothing is said to be due; and no answer waits for anything behind its decision.
 */
static bool overdue(struct check_core *c)
{
    bool quiet = core_next_tick_ms(c->core) > c->now_ms;
    for (uint32_t i = 0; i < c->task_cap; i++) {
        const struct task_book *t = &c->task[i];
        if (t->id == 0)
            continue;
        MUST(c, AUDIT_GATES, t->state != TASK_COMMITTED && t->state != TASK_VALIDATED,
             "task %" PRIx64 " has its answers and waits in %s", t->id, term_name(TERM_task_state, t->state));
        MUST(c, DEADLINES, !quiet || task_phase_deadline(c, t) > c->now_ms,
             "task %" PRIx64 " is %s past its deadline %" PRIu64 " at %" PRIu64, t->id,
             term_name(TERM_task_state, t->state), task_phase_deadline(c, t), c->now_ms);
    }
    return true;
}

bool task_after(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    bool ok = true;
    if (!cmd)
        return true;
    if (cmd->type == COMMAND_TASK_SUBMIT)
        ok = submit_after(c);
    if (cmd->type == COMMAND_TASK_CANCEL)
        ok = cancel_after(c);
    if (cmd->type == COMMAND_TASK_STREAMS || cmd->type == COMMAND_TASK_PRIMARY)
        ok = stream_after(c);
    if (cmd->type == COMMAND_TASK_ADOPT)
        ok = adopt_after(c);
    if (cmd->type == COMMAND_TICK || cmd->type == COMMAND_TASK_COMMIT)
        ok = ok && overdue(c);
    c->created = 0;
    return ok;
}

static bool same_task(struct check_core *c, const struct task_view *v)
{
    const struct task_book *t = task_book(c, v->id);
    MUST(c, STATE, t, "the core has task %" PRIx64 ", and no entry made it", v->id);
    MUST(c, STATE, t->state == v->state && t->attempt == v->attempt && t->deadline_ms == v->deadline_ms,
         "task %" PRIx64 " is %s in attempt %u, and by its history %s in attempt %u", v->id,
         term_name(TERM_task_state, v->state), v->attempt, term_name(TERM_task_state, t->state), t->attempt);
    MUST(c, STATE, address_eq(&t->router, &v->router) && address_eq(&t->payer, &v->payer) && t->streamed == v->streamed,
         "task %" PRIx64 " is of another router or payer than its history says, or streams", v->id);
    MUST(c, STATE,
         v->live == task_live_leases(c, t, ASSIGNMENT_OFFERED) &&
             v->committed == task_live_leases(c, t, ASSIGNMENT_COMMITTED),
         "task %" PRIx64 " has %u live assignments, and by its history %u", v->id, v->live,
         task_live_leases(c, t, ASSIGNMENT_OFFERED));
    return true;
}

bool tasks_whole(struct check_core *c)
{
    struct task_view v;
    uint32_t live = 0, shown = 0;
    for (uint32_t at = 0; view_task_at(c->core, &at, &v); shown++)
        if (!same_task(c, &v))
            return false;
    for (uint32_t i = 0; i < c->task_cap; i++)
        live += c->task[i].id != 0;
    MUST(c, STATE, live == shown, "the core has %u tasks, and by history %u live", shown, live);
    return overdue(c);
}

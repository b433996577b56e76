/* From phase to phase: offers, acks, replacement, deadlines, and the next attempt. */
#include "core/session_queue_parts.h"

/* ---- offers ---- */

uint32_t queue_context(const struct session_queue *queue, uint32_t task)
{
    const struct model *model = catalog_model(queue->catalog, task_policy(queue, task)->model);
    uint64_t tokens = (uint64_t)model->template_tokens + queue->task[task].tokens_max;
    return tokens < UINT32_MAX ? (uint32_t)tokens : UINT32_MAX;
}

static void add_once(uint32_t *nodes, uint32_t *count, uint32_t cap, uint32_t node)
{
    for (uint32_t i = 0; i < *count; i++)
        if (nodes[i] == node)
            return;
    if (*count < cap)
        nodes[(*count)++] = node;
}

void queue_wish(const struct session_queue *queue, uint32_t task, bool replaces, struct queue_wish *ret_wish)
{
    const struct task *t = &queue->task[task];
    uint64_t draw = replaces ? t->attempt + 256u * (t->replaced + 1u) : t->attempt + 1u;
    ret_wish->wish = (struct member_wish){
        .session = t->session,
        .router = t->router,
        .want = replaces ? 1 : task_policy(queue, task)->redundancy,
        .context = queue_context(queue, task),
        .avoid = ret_wish->avoid,
        .shun = ret_wish->shun,
        .task = slots_id(&queue->tasks, task),
        .draw = draw,
    };
    for (uint32_t row = t->assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        const struct assignment *a = &queue->assignment[row];
        if (node_pool_id(queue->node_pool, a->node) == 0)
            continue;  // it failed, and has left the network since
        if (replaces && a->attempt == t->attempt)
            add_once(ret_wish->avoid, &ret_wish->wish.avoid_count, ARRAY_COUNT(ret_wish->avoid), a->node);
        else if (a->state != ASSIGNMENT_RECALLED)
            add_once(ret_wish->shun, &ret_wish->wish.shun_count, ARRAY_COUNT(ret_wish->shun), a->node);
    }
}

static uint64_t seed_of(const struct session_queue *queue, uint32_t task, uint64_t lease)
{
    const struct task *t = &queue->task[task];
    struct hash dice;
    if (task_has(t, TASK_SEED_OF_CLIENT))
        return queue->request[task].seed;
    bool has_beacon = cognitive_dice(queue->cognitive, &dice);
    cx_maybe(has_beacon);
    return step_dice(&dice, SEED_TAG, lease, t->attempt);
}

static void tell_offer(struct session_queue *queue, uint32_t row)
{
    const struct assignment *a = &queue->assignment[row];
    const struct task *t = &queue->task[a->task];
    uint64_t ack_ms = u64_add_sat(a->offered_ms, task_policy(queue, a->task)->ack_ms);
    struct evt_task_offered *e = &event_add(queue->step->out, EVENT_TASK_OFFERED)->task_offered;
    e->task = slots_id(&queue->tasks, a->task);
    e->lease = a->lease;
    e->node = node_pool_node(queue->node_pool, a->node)->address;
    e->router = *router_address(queue->account, t->router);
    e->seed = a->seed;
    e->attempt = a->attempt;
    e->price_in = a->price_in;
    e->price_out = a->price_out;
    e->deadline_ms = u64_min(ack_ms, queue_total_deadline_ms(queue, a->task));
}

static void offer(struct session_queue *queue, uint32_t task, uint32_t node)
{
    const struct session_policy *policy = task_policy(queue, task);
    uint32_t at = node_pool_serves(queue->node_pool, node, policy->model);
    cx_assert(at != SLOT_NONE);
    const struct node_model *terms = &node_pool_node(queue->node_pool, node)->model[at];
    uint32_t row = queue_take_row(queue, task, node);
    cx_assert(row != SLOT_NONE);  // who calls has looked

    struct assignment *a = &queue->assignment[row];
    a->seed = seed_of(queue, task, a->lease);
    /* The node may have raised its prices since the session took it. */
    a->price_in = u64_min(terms->price_in, policy->price_in_max);
    a->price_out = u64_min(terms->price_out, policy->price_out_max);
    reputation_count(queue->reputation, node, COUNT_TASK_OFFERED, 1);
    tell_offer(queue, row);
}

void queue_assign(struct session_queue *queue, uint32_t task, const uint32_t *nodes, uint32_t count)
{
    struct task *t = &queue->task[task];
    cx_assert(t->state == TASK_QUEUED);
    cx_assert(count == task_policy(queue, task)->redundancy);
    t->attempt++;
    t->replaced = 0;
    queue_move_task(queue, task, TASK_ASSIGNED, CAUSE_NONE);
    for (uint32_t i = 0; i < count; i++)
        offer(queue, task, nodes[i]);
    queue_set_due(queue, task);
}

static void replace(struct session_queue *queue, uint32_t task)
{
    struct task *t = &queue->task[task];
    struct queue_wish w;
    uint32_t node;
    if (t->replaced >= task_policy(queue, task)->redundancy || !queue_has_rows(queue, 1))
        return;
    if (!router_is_present(queue->account, t->router))
        return;
    queue_wish(queue, task, true, &w);
    if (!session_pick_members(queue->session, &w.wish, &node))
        return;
    t->replaced++;
    offer(queue, task, node);
    queue_set_due(queue, task);
}

/* ---- from phase to phase ---- */

void session_queue_tally(const struct session_queue *queue, uint32_t task, struct task_tally *ret_tally)
{
    const struct task *t = &queue->task[task];
    *ret_tally = (struct task_tally){0};
    for (uint32_t row = t->assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        const struct assignment *a = &queue->assignment[row];
        uint32_t cause = a->cause == CAUSE_STREAM_DIFFERS ? CAUSE_WRONG : a->cause;
        if (!assignment_is_live((enum assignment_state)a->state)) {
            if (cause != CAUSE_NONE && cause < FAIL_CAUSES_COUNTED && ret_tally->causes[cause] < UINT8_MAX)
                ret_tally->causes[cause]++;
            continue;
        }
        cx_assert(a->attempt == t->attempt);
        ret_tally->live++;
        ret_tally->acked += a->state >= ASSIGNMENT_ACKED;
        ret_tally->precommitted += a->state >= ASSIGNMENT_PRECOMMITTED;
        ret_tally->committed += a->state >= ASSIGNMENT_COMMITTED;
    }
}

static void allow_reveals(struct session_queue *queue, uint32_t task)
{
    queue_move_task(queue, task, TASK_PRECOMMITTED, CAUSE_NONE);
    struct evt_task_all_precommitted *e =
        &event_add(queue->step->out, EVENT_TASK_ALL_PRECOMMITTED)->task_all_precommitted;
    e->task = slots_id(&queue->tasks, task);
    e->deadline_ms = session_queue_task_due_ms(queue, task);
}

void queue_advance(struct session_queue *queue, uint32_t task, enum fail_cause cause)
{
    struct task *t = &queue->task[task];
    struct task_tally tally;
    session_queue_tally(queue, task, &tally);
    if (task_has(t, TASK_CANCELLING)) {
        if (tally.committed == tally.live)
            queue_end_cancel(queue, task);
        return;
    }
    cx_assert(t->state >= TASK_ASSIGNED && t->state <= TASK_PRECOMMITTED);
    if (tally.live < task_policy(queue, task)->quorum) {
        queue_next_attempt(queue, task, cause);
        return;
    }
    if (t->state == TASK_ASSIGNED && tally.acked == tally.live)
        queue_move_task(queue, task, TASK_ACKED, CAUSE_NONE);
    if (t->state == TASK_ACKED && tally.precommitted == tally.live)
        allow_reveals(queue, task);
    if (t->state == TASK_PRECOMMITTED && tally.committed == tally.live)
        queue_decide(queue, task);
}

/* ---- losing assignments ---- */

/* Another primary where the client has seen nothing yet: who acked first of those that are left. */
static void promote(struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    uint32_t next = SLOT_NONE;
    for (uint32_t row = t->assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        enum assignment_state state = (enum assignment_state)queue->assignment[row].state;
        if (state != ASSIGNMENT_OFFERED && assignment_is_live(state))
            next = row;  // newest first: the last one found is the oldest
    }
    queue_set_primary(queue, task, task_has(t, TASK_STREAMED) ? SLOT_NONE : next);
}

static void drop(struct session_queue *queue, uint32_t row, enum assignment_state to, enum fail_cause cause)
{
    queue_blame(queue, row, cause);
    queue_move_assignment(queue, row, to, cause);
}

/* What follows when some assignments of a task are gone. */
static void mend(struct session_queue *queue, uint32_t task, uint32_t lost, bool had_primary, enum fail_cause cause)
{
    const struct task *t = &queue->task[task];
    if (had_primary && queue_primary(queue, task) == SLOT_NONE)
        promote(queue, task);
    if (queue_misses_payload(queue, task)) {
        queue_end(queue, task, TASK_FAILED, CAUSE_PAYLOAD_MISSING);
        return;
    }
    for (uint32_t i = 0; i < lost && t->state == TASK_ASSIGNED && !task_has(t, TASK_CANCELLING); i++)
        replace(queue, task);
    queue_advance(queue, task, cause);
}

void queue_lose(struct session_queue *queue, uint32_t row, enum assignment_state to, enum fail_cause cause)
{
    uint32_t task = queue->assignment[row].task;
    bool had_primary = queue_primary(queue, task) != SLOT_NONE;
    drop(queue, row, to, cause);
    mend(queue, task, 1, had_primary, cause);
}

/* ---- deadlines ---- */

/* What a silent router's miners owe may lie with that router: nobody is blamed. */
static void drop_late(struct session_queue *queue, uint32_t row, enum assignment_state to, enum fail_cause cause)
{
    const struct task *t = &queue->task[queue->assignment[row].task];
    if (router_is_present(queue->account, t->router))
        drop(queue, row, to, cause);
    else
        drop(queue, row, ASSIGNMENT_RECALLED, CAUSE_ROUTER_LOST);
}

static bool is_late(const struct session_queue *queue, const struct assignment *a, enum assignment_state owes)
{
    if (a->state != owes)
        return false;
    if (owes != ASSIGNMENT_OFFERED)
        return true;
    return u64_add_sat(a->offered_ms, task_policy(queue, a->task)->ack_ms) <= queue->step->now_ms;
}

/* Every live assignment that still is in the state `owes` has missed the phase. */
static void end_phase(struct session_queue *queue, uint32_t task, enum assignment_state owes, enum assignment_state to,
                      enum fail_cause cause)
{
    bool had_primary = queue_primary(queue, task) != SLOT_NONE;
    bool present = router_is_present(queue->account, queue->task[task].router);
    uint32_t lost = 0;
    for (uint32_t row = queue->task[task].assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        if (!is_late(queue, &queue->assignment[row], owes))
            continue;
        drop_late(queue, row, to, cause);
        lost++;
    }
    mend(queue, task, lost, had_primary, present ? cause : CAUSE_ROUTER_LOST);
}

/* The task's own deadline cut its phase short: what has come may do, and who is missing had less time than promised. */
static void end_total(struct session_queue *queue, uint32_t task)
{
    struct task_tally tally;
    session_queue_tally(queue, task, &tally);
    bool enough = queue->task[task].state == TASK_PRECOMMITTED && tally.committed >= task_policy(queue, task)->quorum;
    if (task_has(&queue->task[task], TASK_CANCELLING))
        queue_end_cancel(queue, task);
    else if (enough)
        end_phase(queue, task, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_RECALLED, CAUSE_TIMEOUT);
    else
        queue_end(queue, task, TASK_EXPIRED, CAUSE_TIMEOUT);
}

void queue_deadline(struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    uint64_t now_ms = queue->step->now_ms;
    if (queue_phase_deadline_ms(queue, task) > now_ms) {
        if (queue_total_deadline_ms(queue, task) <= now_ms)
            end_total(queue, task);
        else
            heap_set(&queue->due, task, session_queue_task_due_ms(queue, task));
        return;
    }
    if (task_has(t, TASK_CANCELLING))
        queue_end_cancel(queue, task);
    else if (t->state == TASK_ASSIGNED)
        end_phase(queue, task, ASSIGNMENT_OFFERED, ASSIGNMENT_TIMED_OUT, CAUSE_SILENT);
    else if (t->state == TASK_ACKED)
        end_phase(queue, task, ASSIGNMENT_ACKED, ASSIGNMENT_TIMED_OUT, CAUSE_LATE);
    else
        end_phase(queue, task, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_WITHHELD, CAUSE_WITHHELD);
}

/* ---- the next attempt ---- */

static void recall_all(struct session_queue *queue, uint32_t task, enum fail_cause cause)
{
    for (uint32_t row = queue->task[task].assignment; row != SLOT_NONE; row = queue->assignment[row].next)
        if (assignment_is_live((enum assignment_state)queue->assignment[row].state))
            queue_move_assignment(queue, row, ASSIGNMENT_RECALLED, cause);
}

void queue_next_attempt(struct session_queue *queue, uint32_t task, enum fail_cause cause)
{
    struct task *t = &queue->task[task];
    recall_all(queue, task, cause == CAUSE_ROUTER_LOST || cause == CAUSE_NO_VERDICT ? cause : CAUSE_SUPERSEDED);
    queue_give_rows(queue, task, true);
    if (cause == CAUSE_ROUTER_LOST || cause == CAUSE_NODE_LOST)
        t->forgiven++;  // it says nothing about the task
    bool used_up = t->attempt - t->forgiven >= task_policy(queue, task)->attempts_max || t->attempt == UINT8_MAX;

    if (queue_is_poisoned(queue, task))
        queue_end(queue, task, TASK_FAILED, CAUSE_POISON);
    else if (used_up)
        queue_end(queue, task, TASK_FAILED, cause);
    else if (session_closing(queue->session, t->session) != SESSION_REASON_NONE)
        queue_end(queue, task, TASK_CANCELLED, CAUSE_SESSION_CLOSED);
    else if (queue_total_deadline_ms(queue, task) <= queue->step->now_ms)
        queue_end(queue, task, TASK_EXPIRED, CAUSE_TIMEOUT);
    else
        queue_move_task(queue, task, TASK_QUEUED, cause);
}

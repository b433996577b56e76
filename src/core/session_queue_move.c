/* The states of tasks and assignments, and all that hangs on them. */
#include "core/session_queue_parts.h"

/* The arrows of the picture in session_queue.h. */
#define ENDS (1u << TASK_CANCELLED | 1u << TASK_EXPIRED | 1u << TASK_FAILED)
static const unsigned task_allowed[TASK_STATE_COUNT] = {
    [TASK_QUEUED] = 1u << TASK_ASSIGNED | ENDS,
    [TASK_ASSIGNED] = 1u << TASK_ACKED | 1u << TASK_QUEUED | ENDS,
    [TASK_ACKED] = 1u << TASK_PRECOMMITTED | 1u << TASK_QUEUED | ENDS,
    [TASK_PRECOMMITTED] = 1u << TASK_COMMITTED | 1u << TASK_QUEUED | ENDS,
    [TASK_COMMITTED] = 1u << TASK_VALIDATED | 1u << TASK_QUEUED | ENDS,
    [TASK_VALIDATED] = 1u << TASK_COMPLETED,
    [TASK_COMPLETED] = 0,
    [TASK_CANCELLED] = 0,
    [TASK_EXPIRED] = 0,
    [TASK_FAILED] = 0,
};
static const unsigned assignment_allowed[ASSIGNMENT_STATE_COUNT] = {
    [ASSIGNMENT_OFFERED] =
        1u << ASSIGNMENT_ACKED | 1u << ASSIGNMENT_DECLINED | 1u << ASSIGNMENT_TIMED_OUT | 1u << ASSIGNMENT_RECALLED,
    [ASSIGNMENT_ACKED] = 1u << ASSIGNMENT_PRECOMMITTED | 1u << ASSIGNMENT_DECLINED | 1u << ASSIGNMENT_TIMED_OUT |
                         1u << ASSIGNMENT_RECALLED,
    [ASSIGNMENT_PRECOMMITTED] =
        1u << ASSIGNMENT_COMMITTED | 1u << ASSIGNMENT_REJECTED | 1u << ASSIGNMENT_WITHHELD | 1u << ASSIGNMENT_RECALLED,
    [ASSIGNMENT_COMMITTED] = 1u << ASSIGNMENT_ACCEPTED | 1u << ASSIGNMENT_REJECTED | 1u << ASSIGNMENT_RECALLED,
    [ASSIGNMENT_ACCEPTED] = 0,
    [ASSIGNMENT_REJECTED] = 0,
    [ASSIGNMENT_DECLINED] = 0,
    [ASSIGNMENT_TIMED_OUT] = 0,
    [ASSIGNMENT_WITHHELD] = 0,
    [ASSIGNMENT_RECALLED] = 0,
};

/* ---- deadlines ---- */

static uint64_t since_queued(const struct task *t, uint64_t after_ms) { return u64_add_sat(t->queued_ms, after_ms); }

/* The earliest of the acks that are owed: a replacement was offered later than the others. */
static uint64_t ack_deadline_ms(const struct session_queue *queue, const struct task *t, uint32_t ack_ms)
{
    uint64_t earliest = TIME_NEVER;
    for (uint32_t row = t->assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        const struct assignment *a = &queue->assignment[row];
        if (a->attempt != t->attempt)
            break;
        if (a->state == ASSIGNMENT_OFFERED)
            earliest = u64_min(earliest, u64_add_sat(a->offered_ms, ack_ms));
    }
    return earliest;
}

uint64_t queue_phase_deadline_ms(const struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    const struct session_policy *policy = task_policy(queue, task);
    uint64_t phase_ms = since_queued(t, t->phase_after_ms);
    if (task_has(t, TASK_CANCELLING))
        return u64_add_sat(phase_ms, queue->step->params.cancel_grace_ms);
    switch ((enum task_state)t->state) {
    case TASK_ASSIGNED: return ack_deadline_ms(queue, t, policy->ack_ms);
    case TASK_ACKED: return u64_add_sat(phase_ms, t->precommit_ms);
    case TASK_PRECOMMITTED: return u64_add_sat(phase_ms, policy->commit_ms);
    case TASK_QUEUED:
    case TASK_COMMITTED:
    case TASK_VALIDATED:
    case TASK_COMPLETED:
    case TASK_CANCELLED:
    case TASK_EXPIRED:
    case TASK_FAILED:
    case TASK_STATE_COUNT: break;
    }
    return TIME_NEVER;
}

uint64_t queue_total_deadline_ms(const struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    return since_queued(t, t->total_ms);
}

uint64_t session_queue_task_due_ms(const struct session_queue *queue, uint32_t task)
{
    return u64_min(queue_phase_deadline_ms(queue, task), queue_total_deadline_ms(queue, task));
}

static void set_due(struct session_queue *queue, uint32_t task, uint64_t due_ms)
{
    if (!heap_has(&queue->due, task) || due_ms < heap_key(&queue->due, task))
        heap_set(&queue->due, task, due_ms);
}

void queue_set_due(struct session_queue *queue, uint32_t task)
{
    set_due(queue, task, session_queue_task_due_ms(queue, task));
}

void queue_end_due(struct session_queue *queue, uint32_t task)
{
    if (queue->due.count > queue->tasks.live + DEAD_KEYS_MAX)
        heap_remove(&queue->due, task);
}

void queue_settle_due(struct session_queue *queue)
{
    /* A phase that ended before its deadline left a key that is too early. Each was paid for by one move, but a command
     * that finds many of them together leaves the rest to the next one. */
    for (int i = 0; i < 8; i++) {
        uint32_t task = heap_top(&queue->due);
        if (task == SLOT_NONE)
            return;
        bool lives = slots_is_live(&queue->tasks, task);
        uint64_t due_ms = lives ? session_queue_task_due_ms(queue, task) : TIME_NEVER;
        if (due_ms == heap_key(&queue->due, task))
            return;
        heap_set(&queue->due, task, due_ms);
    }
}

/* ---- tasks ---- */

void queue_move_task(struct session_queue *queue, uint32_t task, enum task_state to, enum fail_cause cause)
{
    cx_assert(slots_is_live(&queue->tasks, task));
    struct task *t = &queue->task[task];
    enum task_state from = (enum task_state)t->state;
    cx_assert(task_allowed[from] & (1u << to));

    uint64_t after_ms = queue->step->now_ms - t->queued_ms;
    cx_assert(t->queued_ms <= queue->step->now_ms);
    if (from == TASK_QUEUED && to == TASK_ASSIGNED)
        queue_leave_lane(queue, task);
    t->state = (uint8_t)to;
    t->phase_after_ms = after_ms < UINT32_MAX ? (uint32_t)after_ms : UINT32_MAX;
    if (to == TASK_QUEUED)
        queue_enlane(queue, task, true);  // before those that came later

    struct evt_task_moved *e = &event_add(queue->step->out, EVENT_TASK_MOVED)->task_moved;
    e->task = slots_id(&queue->tasks, task);
    e->from = (uint8_t)from;
    e->to = (uint8_t)to;
    e->attempt = t->attempt;
    e->cause = (uint8_t)cause;
    if (!task_is_live(to))
        return;
    e->deadline_ms = session_queue_task_due_ms(queue, task);
    set_due(queue, task, e->deadline_ms);
}

/* ---- assignments ---- */

bool queue_has_rows(const struct session_queue *queue, uint32_t count)
{
    return queue->assignment_cap - queue->assignment_rows >= count;
}

uint32_t queue_take_row(struct session_queue *queue, uint32_t task, uint32_t node)
{
    if (!queue_has_rows(queue, 1))
        return SLOT_NONE;
    uint32_t row = queue->assignment_free;
    if (row == SLOT_NONE)
        row = queue->assignment_used++;
    else
        queue->assignment_free = queue->assignment[row].next;
    cx_assert(row < queue->assignment_cap);

    struct task *t = &queue->task[task];
    queue->assignment[row] = (struct assignment){
        .lease = LEASE_OF(++queue->lease_counter, row),
        .offered_ms = queue->step->now_ms,
        .task = task,
        .node = node,
        .next = t->assignment,
        .next_of_node = queue->of_node[node],
        .state = ASSIGNMENT_OFFERED,
        .attempt = t->attempt,
    };
    t->assignment = row;
    queue->of_node[node] = row;
    queue->assignment_rows++;
    queue->assignment_live++;
    session_member_busy(queue->session, node);
    return row;
}

static void give_row(struct session_queue *queue, uint32_t row)
{
    struct assignment *a = &queue->assignment[row];
    cx_assert(!assignment_is_live((enum assignment_state)a->state));
    *a = (struct assignment){.next = queue->assignment_free};
    queue->assignment_free = row;
    queue->assignment_rows--;
}

void queue_give_rows(struct session_queue *queue, uint32_t task, bool recalled_only)
{
    uint32_t *link = &queue->task[task].assignment;
    while (*link != SLOT_NONE) {
        uint32_t row = *link;
        if (recalled_only && queue->assignment[row].state != ASSIGNMENT_RECALLED) {
            link = &queue->assignment[row].next;
            continue;
        }
        *link = queue->assignment[row].next;
        give_row(queue, row);
    }
}

static void leave_node(struct session_queue *queue, uint32_t row)
{
    struct assignment *a = &queue->assignment[row];
    uint32_t *link = &queue->of_node[a->node];
    while (*link != row) {
        cx_assert(*link != SLOT_NONE);
        link = &queue->assignment[*link].next_of_node;
    }
    *link = a->next_of_node;
    a->next_of_node = SLOT_NONE;
}

/* The assignment is over: its node is free for the session's next task. */
static void free_node(struct session_queue *queue, uint32_t row)
{
    struct assignment *a = &queue->assignment[row];
    leave_node(queue, row);
    queue->assignment_live--;
    session_member_idle(queue->session, a->node);
    queue_feed(queue, queue->task[a->task].session);
}

static bool is_failure(enum assignment_state state)
{
    switch (state) {
    case ASSIGNMENT_REJECTED:
    case ASSIGNMENT_DECLINED:
    case ASSIGNMENT_TIMED_OUT:
    case ASSIGNMENT_WITHHELD: return true;
    case ASSIGNMENT_OFFERED:
    case ASSIGNMENT_ACKED:
    case ASSIGNMENT_PRECOMMITTED:
    case ASSIGNMENT_COMMITTED:
    case ASSIGNMENT_ACCEPTED:
    case ASSIGNMENT_RECALLED:
    case ASSIGNMENT_STATE_COUNT: break;
    }
    return false;
}

void queue_move_assignment(struct session_queue *queue, uint32_t row, enum assignment_state to, enum fail_cause cause)
{
    cx_assert(row < queue->assignment_used);
    struct assignment *a = &queue->assignment[row];
    enum assignment_state from = (enum assignment_state)a->state;
    cx_assert(a->lease != 0);
    cx_assert(assignment_allowed[from] & (1u << to));

    a->state = (uint8_t)to;
    a->cause = (uint8_t)cause;
    struct evt_assignment_moved *e = &event_add(queue->step->out, EVENT_ASSIGNMENT_MOVED)->assignment_moved;
    e->task = slots_id(&queue->tasks, a->task);
    e->lease = a->lease;
    e->node = node_pool_node(queue->node_pool, a->node)->address;
    e->from = (uint8_t)from;
    e->to = (uint8_t)to;
    e->cause = (uint8_t)cause;
    if (assignment_is_live(to))
        return;
    if (to != ASSIGNMENT_ACCEPTED)
        a->primary = false;
    if (is_failure(to))
        a->failed_node = node_pool_id(queue->node_pool, a->node);
    free_node(queue, row);
}

/* ---- the primary ---- */

uint32_t queue_primary(const struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    for (uint32_t row = t->assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        if (queue->assignment[row].attempt != t->attempt)
            break;
        if (queue->assignment[row].primary)
            return row;
    }
    return SLOT_NONE;
}

void queue_set_primary(struct session_queue *queue, uint32_t task, uint32_t row)
{
    uint32_t was = queue_primary(queue, task);
    if (was != SLOT_NONE)
        queue->assignment[was].primary = false;
    if (row != SLOT_NONE)
        queue->assignment[row].primary = true;
    struct evt_task_primary_is *e = &event_add(queue->step->out, EVENT_TASK_PRIMARY_IS)->task_primary_is;
    e->task = slots_id(&queue->tasks, task);
    e->lease = row == SLOT_NONE ? 0 : queue->assignment[row].lease;
}

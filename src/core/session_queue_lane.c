/* Which task is next: the lanes of each session, and the tasks that are in none. */
#include "core/session_queue_parts.h"

/* ---- lists ---- */

void queue_clear_lanes(struct session_lanes *lanes)
{
    *lanes =
        (struct session_lanes){.parked = {SLOT_NONE, SLOT_NONE}, .starved_router = SLOT_NONE, .short_next = SLOT_NONE};
    for (uint32_t i = 0; i < PRIORITIES; i++)
        lanes->lane[i] = (struct lane){SLOT_NONE, SLOT_NONE};
}

static void link_first(struct session_queue *queue, struct lane *list, uint32_t task)
{
    struct task *t = &queue->task[task];
    t->prev = SLOT_NONE;
    t->next = list->head;
    *(t->next == SLOT_NONE ? &list->tail : &queue->task[t->next].prev) = task;
    list->head = task;
}

static void link_last(struct session_queue *queue, struct lane *list, uint32_t task)
{
    struct task *t = &queue->task[task];
    t->prev = list->tail;
    t->next = SLOT_NONE;
    *(t->prev == SLOT_NONE ? &list->head : &queue->task[t->prev].next) = task;
    list->tail = task;
}

static void unlink_task(struct session_queue *queue, struct lane *list, uint32_t task)
{
    struct task *t = &queue->task[task];
    *(t->prev == SLOT_NONE ? &list->head : &queue->task[t->prev].next) = t->next;
    *(t->next == SLOT_NONE ? &list->tail : &queue->task[t->next].prev) = t->prev;
    t->prev = t->next = SLOT_NONE;
}

void queue_enlane(struct session_queue *queue, uint32_t task, bool first)
{
    const struct task *t = &queue->task[task];
    struct session_lanes *lanes = &queue->lanes[t->session];
    if (first)
        link_first(queue, &lanes->lane[t->priority], task);
    else
        link_last(queue, &lanes->lane[t->priority], task);
    lanes->busy |= (uint16_t)(1u << t->priority);
    lanes->queued++;
    lanes->moved = true;
    queue_feed(queue, t->session);
}

void queue_leave_lane(struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    struct session_lanes *lanes = &queue->lanes[t->session];
    struct lane *lane = &lanes->lane[t->priority];
    cx_assert(!task_has(t, TASK_PARKED));
    cx_assert(lanes->queued > 0);
    unlink_task(queue, lane, task);
    if (lane->head == SLOT_NONE)
        lanes->busy &= (uint16_t) ~(1u << t->priority);
    lanes->queued--;
    lanes->moved = true;
}

/* A task that comes changes nothing for those that wait already: it feeds none. */
void queue_join(struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    struct session_lanes *lanes = &queue->lanes[t->session];
    link_last(queue, &lanes->lane[t->priority], task);
    lanes->busy |= (uint16_t)(1u << t->priority);
    lanes->queued++;
    lanes->live++;
    lanes->moved = true;
}

/* By the state that it had until now. */
void queue_leave(struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    struct session_lanes *lanes = &queue->lanes[t->session];
    if (task_has(t, TASK_PARKED)) {
        cx_assert(queue->parked[t->router] > 0);
        queue->parked[t->router]--;
        unlink_task(queue, &lanes->parked, task);
    } else if (t->state == TASK_QUEUED) {
        queue_leave_lane(queue, task);
    }
    lanes->live--;
}

/* ---- parking ---- */

void queue_park(struct session_queue *queue, uint32_t task)
{
    struct task *t = &queue->task[task];
    cx_assert(t->state == TASK_QUEUED);
    queue_leave_lane(queue, task);
    link_last(queue, &queue->lanes[t->session].parked, task);
    t->flags |= TASK_PARKED;
    queue->parked[t->router]++;
}

void queue_unpark(struct session_queue *queue, uint32_t task)
{
    struct task *t = &queue->task[task];
    cx_assert(task_has(t, TASK_PARKED));
    cx_assert(queue->parked[t->router] > 0);
    queue->parked[t->router]--;
    t->flags &= (uint8_t)~TASK_PARKED;
    unlink_task(queue, &queue->lanes[t->session].parked, task);
    queue_enlane(queue, task, true);
}

uint32_t queue_returned_router(const struct session_queue *queue)
{
    for (uint32_t router = 0; router < routers_used(queue->account); router++)
        if (queue->parked[router] > 0 && router_is_present(queue->account, router))
            return router;
    return SLOT_NONE;
}

/* Looks at a bounded number of rows, and goes round until none is left. */
#define UNPARK_ROWS 64

void queue_unpark_some(struct session_queue *queue)
{
    for (uint32_t i = 0; i < UNPARK_ROWS && queue_returned_router(queue) != SLOT_NONE; i++) {
        uint32_t task = queue->unpark_at;
        queue->unpark_at = task + 1 < queue->tasks.used ? task + 1 : 0;
        if (!slots_is_live(&queue->tasks, task) || !task_has(&queue->task[task], TASK_PARKED))
            continue;
        if (!router_is_present(queue->account, queue->task[task].router))
            continue;
        queue_unpark(queue, task);
        session_mark(queue->session, queue->task[task].session);
    }
}

/* ---- whose turn it is ---- */

/* docs/protocol.md, "Tasks": priority × age step + time waited. */
static uint64_t turn_of(const struct session_queue *queue, const struct task *t)
{
    return t->priority * queue->step->params.age_step_ms + (queue->step->now_ms - t->queued_ms);
}

/* Goes through the lanes in the order of turns, without taking anything out. */
struct scan {
    uint32_t at[PRIORITIES];
    uint32_t left;  // bit i: at[i] is a task
};

static void scan_begin(const struct session_lanes *lanes, struct scan *scan)
{
    scan->left = lanes->busy;
    for (uint32_t left = scan->left; left != 0; left &= left - 1)
        scan->at[__builtin_ctz(left)] = lanes->lane[__builtin_ctz(left)].head;
}

/* Of two with the same turn the higher priority goes first. */
static uint32_t scan_next(const struct session_queue *queue, struct scan *scan)
{
    uint32_t best = SLOT_NONE;
    uint64_t best_turn = 0;
    for (uint32_t left = scan->left; left != 0; left &= left - 1) {
        uint32_t task = scan->at[__builtin_ctz(left)];
        uint64_t turn = turn_of(queue, &queue->task[task]);
        if (best != SLOT_NONE && turn < best_turn)
            continue;
        best = task;
        best_turn = turn;
    }
    if (best == SLOT_NONE)
        return SLOT_NONE;
    const struct task *t = &queue->task[best];
    scan->at[t->priority] = t->next;
    if (t->next == SLOT_NONE)
        scan->left &= ~(1u << t->priority);
    return best;
}

/* A next attempt waits from the failure of the one before. */
static uint64_t queued_since_ms(const struct task *t) { return u64_add_sat(t->queued_ms, t->phase_after_ms); }

/* Since when one of the session's tasks is QUEUED, of those whose turn is first; TIME_NEVER: none is. */
static uint64_t oldest_ms(const struct session_queue *queue, const struct session_lanes *lanes)
{
    uint64_t oldest = TIME_NEVER;
    for (uint32_t left = lanes->busy; left != 0; left &= left - 1)
        oldest = u64_min(oldest, queued_since_ms(&queue->task[lanes->lane[__builtin_ctz(left)].head]));
    return oldest;
}

/* ---- assigning ---- */

/* In vain for one task is in vain for all of the same router that need as much context. */
static bool is_starved(const struct session_lanes *lanes, uint32_t router, uint32_t context)
{
    return lanes->starved_router == router && lanes->starved_context <= context;
}

enum outcome { ASSIGNED, NOBODY, NO_ROWS };

static enum outcome try_assign(struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    struct session_lanes *lanes = &queue->lanes[t->session];
    struct queue_wish w;
    uint32_t nodes[REDUNDANCY_MAX];
    if (!queue_has_rows(queue, task_policy(queue, task)->redundancy))
        return NO_ROWS;
    if (is_starved(lanes, t->router, queue_context(queue, task)))
        return NOBODY;
    queue_wish(queue, task, false, &w);
    if (!session_pick_members(queue->session, &w.wish, nodes)) {
        lanes->starved_router = w.wish.router;
        lanes->starved_context = w.wish.context;
        return NOBODY;
    }
    queue_assign(queue, task, nodes, w.wish.want);
    return ASSIGNED;
}

static void wait_for_rows(struct session_queue *queue, uint32_t session)
{
    struct session_lanes *lanes = &queue->lanes[session];
    if (lanes->short_of > 0)
        return;
    lanes->short_of = session_policy(queue->session, session)->redundancy;
    lanes->short_next = SLOT_NONE;
    if (queue->short_of_rows.tail == SLOT_NONE)
        queue->short_of_rows.head = session;
    else
        queue->lanes[queue->short_of_rows.tail].short_next = session;
    queue->short_of_rows.tail = session;
}

/* Rows came free: the session that has waited longest for some gets its turn. */
static void feed_short(struct session_queue *queue)
{
    uint32_t session = queue->short_of_rows.head;
    if (session == SLOT_NONE || !queue_has_rows(queue, queue->lanes[session].short_of))
        return;
    queue->short_of_rows.head = queue->lanes[session].short_next;
    if (queue->short_of_rows.head == SLOT_NONE)
        queue->short_of_rows.tail = SLOT_NONE;
    queue->lanes[session].short_of = 0;
    if (queue->lanes[session].queued > 0)
        session_mark(queue->session, session);
}

bool queue_dispatch(struct session_queue *queue, uint32_t session)
{
    struct scan scan;
    scan_begin(&queue->lanes[session], &scan);
    for (uint32_t i = 0; i < DISPATCH_SCAN_MAX; i++) {
        uint32_t task = scan_next(queue, &scan);
        if (task == SLOT_NONE)
            return false;
        if (queue_total_deadline_ms(queue, task) <= queue->step->now_ms)
            continue;  // the sweep has yet to end it
        if (!router_is_present(queue->account, queue->task[task].router)) {
            queue_park(queue, task);  // nobody would send its offers
            continue;
        }
        switch (try_assign(queue, task)) {
        case ASSIGNED: return true;
        case NO_ROWS: wait_for_rows(queue, session); return false;
        case NOBODY: break;
        }
    }
    return false;
}

void queue_feed(struct session_queue *queue, uint32_t session)
{
    queue->lanes[session].starved_router = SLOT_NONE;
    queue->lanes[session].starved_context = 0;
}

void queue_settle(struct session_queue *queue, uint32_t session)
{
    struct session_lanes *lanes = &queue->lanes[session];
    feed_short(queue);
    queue_settle_due(queue);
    if (lanes->queued > 0 && session_has_free(queue->session, session) &&
        session_state(queue->session, session) == SESSION_ACTIVE)
        if (queue_dispatch(queue, session) && lanes->queued > 0)
            session_mark(queue->session, session);
    if (!lanes->moved)
        return;
    lanes->moved = false;
    session_waiting(queue->session, session, oldest_ms(queue, lanes));
}

/* What the queue does between commands, one bounded step at a time; and taking over another router's tasks. */
#include "core/session_queue_parts.h"

/* ---- nodes that were lost ---- */

/* One assignment of a lost node, or, where none is left, its place in the session. */
static void sweep_lost(struct session_queue *queue, uint32_t node)
{
    uint32_t row = queue->of_node[node];
    if (row == SLOT_NONE) {
        uint32_t session = session_of_node(queue->session, node);
        if (session != SLOT_NONE)
            session_node_lost(queue->session, node);
        node_pool_lost_done(queue->node_pool, node);
        return;
    }
    const struct task *t = &queue->task[queue->assignment[row].task];
    uint32_t session = t->session;
    /* Who leaves when others may reveal has withheld, whatever its socket says: else a broken link would be a way out
     * of a precommit. Its router has waited for it to come back before it said so. Alone it has nothing to gain. */
    bool withheld = t->state == TASK_PRECOMMITTED && queue->assignment[row].state == ASSIGNMENT_PRECOMMITTED &&
                    session_policy(queue->session, session)->redundancy > 1 &&
                    router_is_present(queue->account, t->router);
    if (withheld)
        queue_lose(queue, row, ASSIGNMENT_WITHHELD, CAUSE_WITHHELD);
    else
        queue_lose(queue, row, ASSIGNMENT_RECALLED, CAUSE_NODE_LOST);
    queue_settle(queue, session);
}

/* ---- sessions that want something ---- */

static uint32_t any_queued(const struct session_lanes *lanes)
{
    return lanes->busy ? lanes->lane[__builtin_ctz(lanes->busy)].head : SLOT_NONE;
}

/* A task that runs has a live assignment, and that is on a member. */
static uint32_t any_running(const struct session_queue *queue, uint32_t session)
{
    uint32_t node = session_busy_member(queue->session, session);
    if (node == SLOT_NONE)
        return SLOT_NONE;
    uint32_t row = queue->of_node[node];
    cx_assert(row < queue->assignment_used);
    return queue->assignment[row].task;
}

/* The next task of a session that ends, which is to end with it; SLOT_NONE: those that are left end by themselves. */
static uint32_t next_to_end(const struct session_queue *queue, uint32_t session)
{
    enum session_reason closing = session_closing(queue->session, session);
    const struct session_lanes *lanes = &queue->lanes[session];
    uint32_t task = any_queued(lanes);
    if (closing == SESSION_REASON_NONE)
        return SLOT_NONE;
    if (task != SLOT_NONE || closing == SESSION_REASON_OWNER)
        return task;
    return lanes->parked.head != SLOT_NONE ? lanes->parked.head : any_running(queue, session);
}

static void end_one(struct session_queue *queue, uint32_t session)
{
    bool no_nodes = session_closing(queue->session, session) == SESSION_REASON_NO_NODES;
    uint32_t task = next_to_end(queue, session);
    if (task == SLOT_NONE)
        return;
    queue_end(queue, task, no_nodes ? TASK_FAILED : TASK_CANCELLED, no_nodes ? CAUSE_NO_NODES : CAUSE_SESSION_CLOSED);
    if (next_to_end(queue, session) != SLOT_NONE)
        session_mark(queue->session, session);
}

static void sweep_mark(struct session_queue *queue, uint32_t session)
{
    end_one(queue, session);
    queue_feed(queue, session);  // what its tasks lacked may have come
    queue_settle(queue, session);
}

/* ---- all of it ---- */

uint64_t session_queue_due_ms(const struct session_queue *queue)
{
    if (node_pool_lost(queue->node_pool) != SLOT_NONE || session_has_marks(queue->session) ||
        queue_returned_router(queue) != SLOT_NONE)
        return 0;
    return u64_min(heap_top_key(&queue->due), heap_top_key(&queue->forget));
}

static void forget(struct session_queue *queue, uint32_t slot)
{
    event_add(queue->step->out, EVENT_REFERENCE_FORGOTTEN)->reference_forgotten.task = queue->reference[slot].task;
    heap_remove(&queue->forget, slot);
    id_map_remove(&queue->by_reference, slot);
    slots_give(&queue->references, slot);
}

static void sweep_due(struct session_queue *queue, uint32_t task)
{
    if (!slots_is_live(&queue->tasks, task)) {
        heap_remove(&queue->due, task);
        return;
    }
    uint32_t session = queue->task[task].session;
    queue_deadline(queue, task);
    queue_settle(queue, session);
}

void session_queue_sweep(struct session_queue *queue)
{
    uint64_t now_ms = queue->step->now_ms;
    uint32_t node = node_pool_lost(queue->node_pool);
    if (node != SLOT_NONE) {
        sweep_lost(queue, node);
    } else if (session_has_marks(queue->session)) {
        sweep_mark(queue, session_take_mark(queue->session));
    } else if (queue_returned_router(queue) != SLOT_NONE) {
        queue_unpark_some(queue);
    } else if (heap_top_key(&queue->due) <= now_ms) {
        sweep_due(queue, heap_top(&queue->due));
    } else if (heap_top_key(&queue->forget) <= now_ms) {
        forget(queue, heap_top(&queue->forget));
    }
}

/* ---- taking over ---- */

static bool runs_on(const struct session_policy *policy, uint32_t router)
{
    for (uint32_t i = 0; i < policy->router_count; i++)
        if (policy->router[i] == router)
            return true;
    return policy->router_count == 0;
}

static enum verdict check_adopt(const struct session_queue *queue, uint64_t id, uint32_t *ret_task)
{
    uint32_t task;
    enum verdict verdict = queue_find_task(queue, id, &task);
    if (verdict)
        return verdict;
    if (task_has(&queue->task[task], TASK_CANCELLING))
        return VERDICT_TASK_ENDED;
    if (router_is_present(queue->account, queue->task[task].router))
        return VERDICT_ROUTER_PRESENT;
    if (!runs_on(task_policy(queue, task), queue->step->router))
        return VERDICT_SESSION_ROUTER;
    *ret_task = task;
    return VERDICT_ACCEPTED;
}

/* A task that waits just changes hands; one that ran begins again, and its failed attempt does not count. */
enum verdict session_queue_adopt(struct session_queue *queue, const struct cmd_task_adopt *cmd)
{
    uint32_t task;
    enum verdict verdict = check_adopt(queue, cmd->task, &task);
    if (verdict)
        return verdict;
    struct task *t = &queue->task[task];
    uint32_t session = t->session;
    if (task_has(t, TASK_PARKED))
        queue_unpark(queue, task);
    t->router = (uint8_t)queue->step->router;
    if (t->state != TASK_QUEUED)
        queue_next_attempt(queue, task, CAUSE_ROUTER_LOST);
    queue_settle(queue, session);
    return VERDICT_ACCEPTED;
}

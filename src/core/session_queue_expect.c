/* What commands of tasks will touch, asked for before their turn: core_expect.c says why. */
#include "core/session_queue_parts.h"

static void expect_task(const struct session_queue *queue, uint32_t task)
{
    if (task >= queue->tasks.used)
        return;
    cx_prefetch(&queue->task[task], sizeof *queue->task);
    cx_prefetch(&queue->request[task], sizeof *queue->request);
    slots_expect(&queue->tasks, task);
    heap_expect(&queue->due, task);
    payment_expect(queue->payment, task);
}

static void expect_node(const struct session_queue *queue, uint32_t node)
{
    node_pool_expect(queue->node_pool, node);
    session_expect_member(queue->session, node);
    reputation_expect(queue->reputation, node);
    cx_prefetch(&queue->of_node[node], sizeof *queue->of_node);
}

/* The head of the lane of most of a session's tasks is what a free node gets next; behind its tail goes what comes. */
static void expect_lane(const struct session_queue *queue, uint32_t session)
{
    const struct lane *lane = &queue->lanes[session].lane[session_policy(queue->session, session)->priority];
    expect_task(queue, lane->head);
    if (lane->tail < queue->tasks.used)
        cx_prefetch(&queue->task[lane->tail], sizeof *queue->task);
}

void queue_expect_next(const struct session_queue *queue, uint32_t row)
{
    const struct assignment *a = &queue->assignment[row];
    const struct session_lanes *lanes = &queue->lanes[queue->task[a->task].session];
    const struct assignment *newest = &queue->assignment[queue->of_node[a->node]];
    if (newest->next_of_node != SLOT_NONE)
        cx_prefetch(&queue->assignment[newest->next_of_node], sizeof *newest);
    for (uint32_t left = lanes->busy; left != 0; left &= left - 1) {
        uint32_t task = lanes->lane[__builtin_ctz(left)].head;
        cx_prefetch(&queue->task[task], sizeof *queue->task);
        slots_expect(&queue->tasks, task);
        heap_expect(&queue->due, task);
    }
}

void queue_expect_after(const struct session_queue *queue, uint32_t session)
{
    const struct session_lanes *lanes = &queue->lanes[session];
    for (uint32_t left = lanes->busy; left != 0; left &= left - 1) {
        uint32_t next = queue->task[lanes->lane[__builtin_ctz(left)].head].next;
        if (next != SLOT_NONE)
            cx_prefetch(&queue->task[next], sizeof *queue->task);
    }
}

static void expect_session(const struct session_queue *queue, uint32_t session)
{
    session_expect(queue->session, session);
    cx_prefetch(&queue->lanes[session], sizeof *queue->lanes);
}

static void expect_payer(const struct session_queue *queue, const struct task *t)
{
    account_expect_row(queue->account, t->payer);
    expect_session(queue, t->session);
}

/* Whom the answer pays; and the node's newest assignment, behind which its others lie. */
static void expect_payee(const struct session_queue *queue, uint32_t node)
{
    if (node_pool_id(queue->node_pool, node) == 0)
        return;
    account_expect_row(queue->account, node_pool_account(queue->node_pool, node));
    if (queue->of_node[node] < queue->assignment_used)
        cx_prefetch(&queue->assignment[queue->of_node[node]], sizeof *queue->assignment);
}

void session_queue_expect_lease(const struct session_queue *queue, uint64_t lease, enum expect_stage stage)
{
    uint32_t row = LEASE_ROW(lease);
    if (row >= queue->assignment_used)
        return;
    const struct assignment *a = &queue->assignment[row];
    switch (stage) {
    case EXPECT_FAR:
        cx_prefetch(a, sizeof *a);
        cx_prefetch(&queue->said[row], sizeof *queue->said);
        return;
    case EXPECT_NEAR:
        if (a->lease != lease)
            return;
        expect_task(queue, a->task);
        expect_node(queue, a->node);
        return;
    case EXPECT_NEXT:
        if (a->lease != lease)
            return;
        expect_payer(queue, &queue->task[a->task]);
        heap_expect_key(&queue->due, a->task);
        expect_payee(queue, a->node);
        return;
    }
}

void session_queue_expect_submit(const struct session_queue *queue, uint64_t id, enum expect_stage stage)
{
    uint32_t session = session_find(queue->session, id);
    if (session == SLOT_NONE)
        return;
    if (stage == EXPECT_FAR)
        session_expect(queue->session, session);
    if (stage == EXPECT_NEAR)
        cx_prefetch(&queue->lanes[session], sizeof *queue->lanes);
    if (stage == EXPECT_NEXT)
        expect_lane(queue, session);
}

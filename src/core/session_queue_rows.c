/* The queue's tables as canonical bytes, and what must hold of them. */
#include "core/session_queue_parts.h"

/* ---- rows ---- */

static void row_task(const struct session_queue *queue, struct rows *rows, uint32_t task)
{
    struct task *t = &queue->task[task];
    struct task_request *r = &queue->request[task];
    uint32_t cap = queue->tasks.cap;
    row_bytes(rows, r->digest.b, sizeof r->digest.b);
    row_u64(rows, &t->queued_ms);
    row_u64(rows, &r->seed);
    row_u32(rows, &t->phase_after_ms);
    row_u32(rows, &t->total_ms);
    row_slot(rows, &t->session, queue->session_cap);
    row_slot(rows, &t->payer, queue->account->account_cap);
    row_slot(rows, &t->key, queue->account->key_cap);
    row_slot(rows, &t->reference, queue->references.cap);
    row_u32(rows, &t->prompt_size);
    row_u32(rows, &t->tokens_max);
    row_u32(rows, &t->precommit_ms);
    row_u32(rows, &r->relayed);
    row_slot(rows, &t->assignment, queue->assignment_cap);
    row_slot(rows, &t->prev, cap);
    row_slot(rows, &t->next, cap);
    row_u8(rows, &t->router);
    row_u8(rows, &t->state);
    row_u8(rows, &t->priority);
    row_u8(rows, &t->attempt);
    row_u8(rows, &t->forgiven);
    row_u8(rows, &t->replaced);
    row_u8(rows, &t->flags);
    if (t->router >= ROUTERS_MAX || !task_is_live((enum task_state)t->state) || t->priority >= PRIORITIES ||
        t->session == SLOT_NONE || t->payer == SLOT_NONE)
        rows->ok = false;
}

/* Which of the union's members holds, and whether it has said anything, the state says. */
static void row_said(struct rows *rows, struct assignment *a, struct hash *said)
{
    if (a->state >= ASSIGNMENT_PRECOMMITTED && a->state <= ASSIGNMENT_ACCEPTED)
        row_bytes(rows, said->b, sizeof said->b);
    if (a->state == ASSIGNMENT_COMMITTED || a->state == ASSIGNMENT_ACCEPTED) {
        row_u32(rows, &a->tokens_in);
        row_u32(rows, &a->tokens_out);
    } else if (assignment_is_live((enum assignment_state)a->state)) {
        row_u64(rows, &a->seed);
    } else {
        row_u64(rows, &a->failed_node);
    }
}

static void row_assignment(const struct session_queue *queue, struct rows *rows, uint32_t row)
{
    struct assignment *a = &queue->assignment[row];
    row_u64(rows, &a->lease);
    row_slot(rows, &a->next, queue->assignment_cap);
    if (a->lease == 0)
        return;  // of the free list
    row_u8(rows, &a->state);
    row_u8(rows, &a->attempt);
    row_u8(rows, &a->cause);
    row_u8(rows, &a->finish);
    row_bool(rows, &a->primary);
    row_said(rows, a, &queue->said[row]);
    row_u64(rows, &a->offered_ms);
    row_u64(rows, &a->price_in);
    row_u64(rows, &a->price_out);
    row_slot(rows, &a->task, queue->tasks.cap);
    row_slot(rows, &a->node, queue->node_cap);
    row_slot(rows, &a->next_of_node, queue->assignment_cap);
    if (a->state >= ASSIGNMENT_STATE_COUNT || a->cause >= FAIL_CAUSE_COUNT || a->task == SLOT_NONE ||
        a->node == SLOT_NONE || a->price_in > PRICE_MAX || a->price_out > PRICE_MAX)
        rows->ok = false;
}

static void task_table(struct session_queue *queue, struct rows *rows)
{
    uint32_t count = queue->tasks.live;
    rows_table(rows, &count, queue->tasks.cap);
    row_slots(rows, &queue->tasks);
    for (uint32_t i = 0; i < queue->tasks.used && rows->ok; i++)
        if (slots_is_live(&queue->tasks, i))
            row_task(queue, rows, i);
    row_heap(rows, &queue->due);  // lazily keyed: not to be had from the rows
    rows_table_end(rows);
}

static void assignment_table(struct session_queue *queue, struct rows *rows)
{
    uint32_t nodes = queue->node_cap;
    rows_table(rows, &queue->assignment_used, queue->assignment_cap);
    row_u32(rows, &queue->assignment_rows);
    row_u32(rows, &queue->assignment_live);
    row_u64(rows, &queue->lease_counter);
    row_slot(rows, &queue->assignment_free, queue->assignment_cap);
    for (uint32_t i = 0; i < queue->assignment_used && rows->ok; i++)
        row_assignment(queue, rows, i);
    rows_table_end(rows);

    rows_table(rows, &nodes, nodes);
    for (uint32_t i = 0; i < nodes && rows->ok; i++)
        row_slot(rows, &queue->of_node[i], queue->assignment_cap);
    rows_table_end(rows);
}

static void reference_table(struct session_queue *queue, struct rows *rows)
{
    uint32_t count = queue->references.live;
    rows_table(rows, &count, queue->references.cap);
    row_slots(rows, &queue->references);
    for (uint32_t i = 0; i < queue->references.used && rows->ok; i++) {
        struct reference *r = &queue->reference[i];
        if (!slots_is_live(&queue->references, i))
            continue;
        row_bytes(rows, r->hash.b, sizeof r->hash.b);
        row_u64(rows, &r->task);
        row_u8(rows, &r->state);
        if (r->state >= TASK_STATE_COUNT)
            rows->ok = false;
        if (rows_reading(rows) && rows->ok)
            rows_index(rows, &queue->by_reference, i, &r->hash);
    }
    row_heap(rows, &queue->forget);
    rows_table_end(rows);
}

static void row_lane(const struct session_queue *queue, struct rows *rows, struct lane *lane)
{
    row_slot(rows, &lane->head, queue->tasks.cap);
    row_slot(rows, &lane->tail, queue->tasks.cap);
}

/* What follows from the lanes. That one has not changed is not known, and does not matter. */
static void derive_lanes(struct session_lanes *lanes)
{
    lanes->busy = 0;
    for (uint32_t i = 0; i < PRIORITIES; i++)
        lanes->busy |= (uint16_t)((uint32_t)(lanes->lane[i].head != SLOT_NONE) << i);
    lanes->moved = true;
}

static void lanes_table(struct session_queue *queue, struct rows *rows)
{
    uint32_t sessions = queue->session_cap;
    rows_table(rows, &sessions, sessions);
    for (uint32_t i = 0; i < sessions && rows->ok; i++) {
        struct session_lanes *lanes = &queue->lanes[i];
        for (uint32_t priority = 0; priority < PRIORITIES; priority++)
            row_lane(queue, rows, &lanes->lane[priority]);
        row_lane(queue, rows, &lanes->parked);
        row_u32(rows, &lanes->queued);
        row_u32(rows, &lanes->live);
        row_slot(rows, &lanes->starved_router, ROUTERS_MAX);
        row_u32(rows, &lanes->starved_context);
        row_slot(rows, &lanes->short_next, sessions);
        row_u8(rows, &lanes->short_of);
        if (rows_reading(rows))
            derive_lanes(lanes);
    }
    row_slot(rows, &queue->short_of_rows.head, sessions);
    row_slot(rows, &queue->short_of_rows.tail, sessions);
    rows_table_end(rows);
}

void session_queue_rows(struct session_queue *queue, struct rows *rows)
{
    rows_module(rows, "session_queue");
    task_table(queue, rows);
    assignment_table(queue, rows);
    reference_table(queue, rows);
    lanes_table(queue, rows);
    for (uint32_t i = 0; i < ROUTERS_MAX; i++)
        row_u32(rows, &queue->parked[i]);
    row_u32(rows, &queue->unpark_at);
    for (uint32_t i = 0; i < TASK_STATE_COUNT; i++)
        row_u64(rows, &queue->ended[i]);
    rows_module_end(rows);
}

/* ---- check ---- */

/* `priority` of a lane; PRIORITIES: the parked ones. */
static uint32_t check_list(const struct session_queue *queue, uint32_t session, const struct lane *list,
                           uint32_t priority)
{
    uint32_t count = 0, prev = SLOT_NONE;
    for (uint32_t task = list->head; task != SLOT_NONE; prev = task, task = queue->task[task].next) {
        const struct task *t = &queue->task[task];
        cx_assert(slots_is_live(&queue->tasks, task));
        cx_assert(t->session == session);
        cx_assert(t->prev == prev);
        cx_assert(t->state == TASK_QUEUED);
        cx_assert(task_has(t, TASK_PARKED) == (priority == PRIORITIES));
        cx_assert(task_has(t, TASK_PARKED) || t->priority == priority);
        cx_assert(count++ < queue->tasks.live);
    }
    cx_assert(list->tail == prev);
    return count;
}

static void check_lanes(const struct session_queue *queue)
{
    uint32_t live = 0, waiting = 0;
    for (uint32_t session = 0; session < queue->session_cap; session++) {
        const struct session_lanes *lanes = &queue->lanes[session];
        uint32_t queued = 0;
        for (uint32_t i = 0; i < PRIORITIES; i++) {
            queued += check_list(queue, session, &lanes->lane[i], i);
            cx_assert((lanes->busy >> i & 1) == (lanes->lane[i].head != SLOT_NONE));
        }
        cx_assert(queued == lanes->queued);
        waiting += queued + check_list(queue, session, &lanes->parked, PRIORITIES);
        live += lanes->live;
    }
    cx_assert(live == queue->tasks.live);
    for (uint32_t task = 0; task < queue->tasks.used; task++)
        waiting -= slots_is_live(&queue->tasks, task) && queue->task[task].state == TASK_QUEUED;
    cx_assert(waiting == 0);  // each is in one list
}

static void check_assignment(const struct session_queue *queue, uint32_t row, uint32_t task)
{
    const struct assignment *a = &queue->assignment[row];
    const struct task *t = &queue->task[task];
    cx_assert(row < queue->assignment_used);
    cx_assert(a->lease != 0);
    cx_assert(LEASE_ROW(a->lease) == row);
    cx_assert(a->lease < LEASE_OF(queue->lease_counter + 1, 0));
    cx_assert(a->task == task);
    cx_assert(a->attempt <= t->attempt);
    if (assignment_is_live((enum assignment_state)a->state)) {
        cx_assert(a->attempt == t->attempt);
        cx_assert(t->state != TASK_QUEUED);
        cx_assert(session_of_node(queue->session, a->node) == t->session);
    } else {
        cx_assert(!a->primary);
        cx_assert(a->state != ASSIGNMENT_ACCEPTED);  // only within the entry that ends its task
    }
}

/* What each state of a task says about its assignments. */
static void check_tally(const struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    struct task_tally tally;
    session_queue_tally(queue, task, &tally);
    cx_assert(tally.live <= task_policy(queue, task)->redundancy);
    if (t->state == TASK_QUEUED)
        cx_assert(tally.live == 0);
    else if (task_has(t, TASK_CANCELLING))
        cx_assert(tally.live > tally.committed);
    else
        cx_assert(tally.live >= task_policy(queue, task)->quorum);
    if (t->state == TASK_ASSIGNED && !task_has(t, TASK_CANCELLING))
        cx_assert(tally.acked < tally.live);
    if (t->state >= TASK_ACKED)
        cx_assert(tally.acked == tally.live);
    if (t->state == TASK_ACKED && !task_has(t, TASK_CANCELLING))
        cx_assert(tally.precommitted < tally.live);
    if (t->state == TASK_PRECOMMITTED)
        cx_assert(tally.precommitted == tally.live && tally.committed < tally.live);
    cx_assert(t->state <= TASK_PRECOMMITTED);
}

static void check_task(const struct session_queue *queue, uint32_t task, uint32_t *rows, uint32_t parked[ROUTERS_MAX])
{
    const struct task *t = &queue->task[task];
    uint32_t primaries = 0;
    uint64_t newer = UINT64_MAX;
    for (uint32_t row = t->assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        check_assignment(queue, row, task);
        cx_assert(queue->assignment[row].lease < newer);
        newer = queue->assignment[row].lease;
        primaries += queue->assignment[row].primary;
        (*rows)++;
    }
    cx_assert(primaries <= 1);
    check_tally(queue, task);
    cx_assert(heap_has(&queue->due, task));
    /* Admins may have shortened cancel_grace_ms meanwhile: a task that is being cancelled ends by the old one. */
    if (!task_has(t, TASK_CANCELLING))
        cx_assert(heap_key(&queue->due, task) <= session_queue_task_due_ms(queue, task));
    if (task_has(t, TASK_PARKED)) {
        cx_assert(t->state == TASK_QUEUED);
        parked[t->router]++;
    }
    if (t->state != TASK_QUEUED)
        cx_assert(t->prev == SLOT_NONE && t->next == SLOT_NONE);
    if (t->reference != SLOT_NONE) {
        cx_assert(slots_is_live(&queue->references, t->reference));
        cx_assert(queue->reference[t->reference].task == slots_id(&queue->tasks, task));
        cx_assert(!heap_has(&queue->forget, t->reference));
    }
}

static void check_nodes(const struct session_queue *queue)
{
    uint32_t live = 0;
    for (uint32_t node = 0; node < queue->node_cap; node++)
        for (uint32_t row = queue->of_node[node]; row != SLOT_NONE; row = queue->assignment[row].next_of_node) {
            cx_assert(queue->assignment[row].node == node);
            cx_assert(assignment_is_live((enum assignment_state)queue->assignment[row].state));
            cx_assert(live++ < queue->assignment_live);
        }
    cx_assert(live == queue->assignment_live);
}

static void check_references(const struct session_queue *queue)
{
    slots_check(&queue->references);
    heap_check(&queue->forget);
    cx_assert(queue->by_reference.count == queue->references.live);
    for (uint32_t i = 0; i < queue->references.used; i++) {
        const struct reference *r = &queue->reference[i];
        if (!slots_is_live(&queue->references, i))
            continue;
        bool lives = task_is_live((enum task_state)r->state);
        cx_assert(id_map_find(&queue->by_reference, &r->hash) == i);
        cx_assert(lives == (slots_find(&queue->tasks, r->task) != SLOT_NONE));
        cx_assert(lives != heap_has(&queue->forget, i));
    }
}

void session_queue_check(const struct session_queue *queue)
{
    uint32_t rows = 0, free = 0, parked[ROUTERS_MAX] = {0};
    slots_check(&queue->tasks);
    heap_check(&queue->due);
    cx_assert(queue->due.count <= queue->tasks.live + DEAD_KEYS_MAX);
    for (uint32_t task = 0; task < queue->tasks.used; task++)
        if (slots_is_live(&queue->tasks, task))
            check_task(queue, task, &rows, parked);
    cx_assert(rows == queue->assignment_rows);
    for (uint32_t row = queue->assignment_free; row != SLOT_NONE; row = queue->assignment[row].next) {
        cx_assert(queue->assignment[row].lease == 0);
        cx_assert(free++ < queue->assignment_used);
    }
    cx_assert(rows + free == queue->assignment_used);
    for (uint32_t i = 0; i < ROUTERS_MAX; i++)
        cx_assert(parked[i] == queue->parked[i]);
    check_lanes(queue);
    check_nodes(queue);
    check_references(queue);
}

/* How tasks end: the decision, the pay, the refund, the blame. */
#include "core/session_queue_parts.h"

/* ---- blame ---- */

static enum node_count count_of(enum fail_cause cause)
{
    static const enum node_count count[FAIL_CAUSES_COUNTED] = {
        [CAUSE_DECLINED] = COUNT_DECLINED, [CAUSE_ENGINE] = COUNT_ENGINE,     [CAUSE_SILENT] = COUNT_SILENT,
        [CAUSE_LATE] = COUNT_LATE,         [CAUSE_WITHHELD] = COUNT_WITHHELD, [CAUSE_WRONG] = COUNT_WRONG,
        [CAUSE_OUTVOTED] = COUNT_OUTVOTED,
    };
    if (cause == CAUSE_STREAM_DIFFERS)
        return COUNT_WRONG;
    return cause != CAUSE_NONE && cause < FAIL_CAUSES_COUNTED ? count[cause] : NODE_COUNTS;
}

static void slash(struct session_queue *queue, uint32_t row)
{
    const struct assignment *a = &queue->assignment[row];
    uint32_t points = (uint32_t)queue->step->params.slash_bp;
    struct amount amount = payment_slash(queue->payment, a->node, points);
    if (amount_is_zero(amount))
        return;
    struct evt_node_slashed *e = &event_add(queue->step->out, EVENT_NODE_SLASHED)->node_slashed;
    e->node = node_pool_node(queue->node_pool, a->node)->address;
    e->lease = a->lease;
    e->amount = amount;
}

static void fail_node(struct session_queue *queue, uint32_t node)
{
    reputation_failure(queue->reputation, node);
    node_pool_reweigh(queue->node_pool, node);
}

void queue_blame(struct session_queue *queue, uint32_t row, enum fail_cause cause)
{
    uint32_t node = queue->assignment[row].node;
    enum node_count count = count_of(cause);
    if (count < NODE_COUNTS)
        reputation_count(queue->reputation, node, count, 1);
    if (cause == CAUSE_WITHHELD || cause == CAUSE_WRONG || cause == CAUSE_STREAM_DIFFERS)
        slash(queue, row);
    if (cause == CAUSE_WITHHELD || cause == CAUSE_WRONG || cause == CAUSE_STREAM_DIFFERS || cause == CAUSE_OUTVOTED)
        fail_node(queue, node);
}

/* Causes that may be the task's own fault, and are blamed on the node only when the task has ended and was not. */
static bool waits_for_blame(enum fail_cause cause)
{
    return cause == CAUSE_ENGINE || cause == CAUSE_SILENT || cause == CAUSE_LATE;
}

static void blame_late(struct session_queue *queue, uint32_t task)
{
    for (uint32_t row = queue->task[task].assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        const struct assignment *a = &queue->assignment[row];
        if (!waits_for_blame((enum fail_cause)a->cause) || assignment_is_live((enum assignment_state)a->state))
            continue;
        if (node_pool_id(queue->node_pool, a->node) == a->failed_node)
            fail_node(queue, a->node);
    }
}

bool queue_is_poisoned(const struct session_queue *queue, uint32_t task)
{
    uint32_t node[POISON_NODES], count = 0;
    for (uint32_t row = queue->task[task].assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        const struct assignment *a = &queue->assignment[row];
        if (a->cause != CAUSE_DECLINED && !waits_for_blame((enum fail_cause)a->cause))
            continue;
        bool known = false;
        for (uint32_t i = 0; i < count; i++)
            known = known || node[i] == a->node;
        if (!known)
            node[count++] = a->node;
        if (count == POISON_NODES)
            return true;
    }
    return false;
}

/* Two operators could not fetch it: it is not theirs to find. */
bool queue_misses_payload(const struct session_queue *queue, uint32_t task)
{
    const struct address *first = NULL;
    for (uint32_t row = queue->task[task].assignment; row != SLOT_NONE; row = queue->assignment[row].next) {
        const struct assignment *a = &queue->assignment[row];
        if (a->cause != CAUSE_PAYLOAD_MISSING || node_pool_id(queue->node_pool, a->node) != a->failed_node)
            continue;
        const struct address *operator_ = node_pool_operator(queue->node_pool, a->node);
        if (first && !address_eq(first, operator_))
            return true;
        first = operator_;
    }
    return false;
}

/* ---- the end ---- */

static void keep_reference(struct session_queue *queue, uint32_t task, enum task_state state)
{
    uint32_t slot = queue->task[task].reference;
    if (slot == SLOT_NONE)
        return;
    queue->reference[slot].state = (uint8_t)state;
    heap_set(&queue->forget, slot, u64_add_sat(queue->step->now_ms, queue->step->params.keep_ms));
}

static void refund(struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    struct payer_terms terms = {
        .session = task_policy(queue, task)->pays == PAYS_OWNER ? t->session : SLOT_NONE,
        .payer = t->payer,
        .key = t->key,
    };
    struct amount charged, refunded;
    payment_release(queue->payment, task, &terms, t->queued_ms, &charged, &refunded);
    struct evt_task_refunded *e = &event_add(queue->step->out, EVENT_TASK_REFUNDED)->task_refunded;
    e->task = slots_id(&queue->tasks, task);
    e->charged = charged;
    e->refunded = refunded;
}

/* No assignment is live any more. The move is the task's last event. */
static void finish(struct session_queue *queue, uint32_t task, enum task_state to, enum fail_cause cause)
{
    uint32_t session = queue->task[task].session;
    if (cause != CAUSE_POISON)
        blame_late(queue, task);
    refund(queue, task);
    keep_reference(queue, task, to);
    queue_leave(queue, task);
    queue_move_task(queue, task, to, cause);
    queue_give_rows(queue, task, false);
    slots_give(&queue->tasks, task);
    queue_end_due(queue, task);
    queue->ended[to]++;
    session_task_ended(queue->session, session);
}

void queue_end(struct session_queue *queue, uint32_t task, enum task_state to, enum fail_cause cause)
{
    for (uint32_t row = queue->task[task].assignment; row != SLOT_NONE; row = queue->assignment[row].next)
        if (assignment_is_live((enum assignment_state)queue->assignment[row].state))
            queue_move_assignment(queue, row, ASSIGNMENT_RECALLED, cause);
    finish(queue, task, to, cause);
}

/* ---- pay ---- */

/* One task's payday: who gets fees, and how much so far. */
struct payday {
    uint32_t task;
    uint32_t router;  // account
    uint32_t oracle[ORACLES_MAX];
    uint32_t oracle_count;
    struct amount to_router, to_each_oracle;
};

/* No account is ever given back, and a router keeps its operator: one look-up is enough. */
static uint32_t router_payee(struct session_queue *queue, uint32_t router)
{
    if (queue->payee[router] == SLOT_NONE)
        queue->payee[router] = account_find(queue->account, router_operator(queue->account, router));
    return queue->payee[router];
}

static void begin_payday(struct session_queue *queue, uint32_t task, struct payday *ret_day)
{
    *ret_day = (struct payday){.task = task};
    ret_day->router = router_payee(queue, queue->task[task].router);
    ret_day->oracle_count = oracle_accounts(queue->cognitive, ret_day->oracle);
}

static void add_to(struct amount *sum, struct amount amount)
{
    bool fits = amount_add(*sum, amount, sum);
    cx_assert(fits);  // parts of one reservation
}

static void tell_paid(struct session_queue *queue, uint32_t task, uint64_t lease, uint32_t account,
                      struct amount amount, bool pending)
{
    if (amount_is_zero(amount))
        return;
    struct evt_task_paid *e = &event_add(queue->step->out, EVENT_TASK_PAID)->task_paid;
    e->task = slots_id(&queue->tasks, task);
    e->lease = lease;
    e->to = *account_address(queue->account, account);
    e->amount = amount;
    e->pending = pending;
}

/* Agreement that may be copied is no evidence: docs/protocol.md, "Audits". */
static bool is_evidence(const struct session_queue *queue, const struct assignment *a)
{
    const struct task *t = &queue->task[a->task];
    const struct session_policy *policy = task_policy(queue, a->task);
    bool read_along = task_has(t, TASK_STREAMED) && policy->stream == STREAM_AT_ONCE && policy->redundancy > 1;
    return t->attempt == 1 && !task_has(t, TASK_CANCELLING) && (a->primary || !read_along);
}

static uint32_t enter_audit(struct session_queue *queue, const struct assignment *a, bool counts)
{
    const struct session_policy *policy = task_policy(queue, a->task);
    uint32_t at = node_pool_serves(queue->node_pool, a->node, policy->model);
    if (at == SLOT_NONE)
        return SLOT_NONE;
    return audit_enter(queue->validation, &(struct audit_terms){
                                              .task = slots_id(&queue->tasks, a->task),
                                              .lease = a->lease,
                                              .node = a->node,
                                              .at = at,
                                              .audit_bp = policy->audit_bp,
                                              .counts = counts,
                                          });
}

static struct amount price_of(const struct session_queue *queue, const struct assignment *a)
{
    const struct task *t = &queue->task[a->task];
    return payment_usage(&(struct usage){
        .tokens_in = a->tokens_in,
        .tokens_out = a->tokens_out,
        .prompt_size = t->prompt_size,
        .template_tokens = catalog_model(queue->catalog, task_policy(queue, a->task)->model)->template_tokens,
        .tokens_max = t->tokens_max,
        .text_size = a->tokens_out,  // they were clipped to the text when it came
        .price_in = a->price_in,
        .price_out = a->price_out,
    });
}

/* An assignment stands: it is paid at its price, now or when its audit ends. */
static void accept(struct session_queue *queue, uint32_t row, struct payday *day)
{
    struct assignment *a = &queue->assignment[row];
    bool counts = is_evidence(queue, a);
    uint32_t payee = node_pool_account(queue->node_pool, a->node);
    uint32_t audit = enter_audit(queue, a, counts);
    queue_move_assignment(queue, row, ASSIGNMENT_ACCEPTED, CAUSE_NONE);
    reputation_count(queue->reputation, a->node, COUNT_TASK_ACCEPTED, 1);
    reputation_count(queue->reputation, a->node, COUNT_TOKENS_OUT, a->tokens_out);
    if (counts)
        reputation_success(queue->reputation, a->node);
    node_pool_reweigh(queue->node_pool, a->node);

    struct payout_result paid = payment_pay(
        queue->payment,
        &(struct payout){
            .task = day->task, .payee = payee, .router = day->router, .audit = audit, .amount = price_of(queue, a)},
        day->oracle, day->oracle_count);
    tell_paid(queue, day->task, a->lease, payee, paid.to_payee, false);
    tell_paid(queue, day->task, a->lease, payee, paid.to_pending, true);
    add_to(&day->to_router, paid.to_router);
    if (day->oracle_count > 0) {
        struct amount share;
        bool fits = amount_scale_down(paid.to_oracles, 1, day->oracle_count, &share);
        cx_assert(fits);
        add_to(&day->to_each_oracle, share);
    }
}

static void end_payday(struct session_queue *queue, const struct payday *day)
{
    if (day->router != SLOT_NONE)
        tell_paid(queue, day->task, 0, day->router, day->to_router, false);
    for (uint32_t i = 0; i < day->oracle_count; i++)
        tell_paid(queue, day->task, 0, day->oracle[i], day->to_each_oracle, false);
}

/* ---- the decision ---- */

/* The rows that revealed, by ascending lease; gives how many. */
static uint32_t revealed_rows(const struct session_queue *queue, uint32_t task, uint32_t ret_row[REDUNDANCY_MAX])
{
    uint32_t count = 0;
    for (uint32_t row = queue->task[task].assignment; row != SLOT_NONE; row = queue->assignment[row].next)
        if (queue->assignment[row].state == ASSIGNMENT_COMMITTED) {
            cx_assert(count < REDUNDANCY_MAX);
            ret_row[count++] = row;
        }
    for (uint32_t i = 0; i < count / 2; i++) {  // the list is newest first
        uint32_t other = ret_row[i];
        ret_row[i] = ret_row[count - 1 - i];
        ret_row[count - 1 - i] = other;
    }
    return count;
}

static void tell_answer(struct session_queue *queue, uint32_t row)
{
    const struct assignment *a = &queue->assignment[row];
    struct evt_task_answer *e = &event_add(queue->step->out, EVENT_TASK_ANSWER)->task_answer;
    e->task = slots_id(&queue->tasks, a->task);
    e->lease = a->lease;
    e->node = node_pool_node(queue->node_pool, a->node)->address;
    e->tokens_in = a->tokens_in;
    e->tokens_out = a->tokens_out;
    e->finish = a->finish;
}

/* The primary's if it stands, else that of the lowest lease. */
static uint32_t choose_answer(const struct session_queue *queue, const uint32_t *row, const struct answer *answer,
                              uint32_t count)
{
    uint32_t chosen = SLOT_NONE;
    for (uint32_t i = 0; i < count; i++)
        if (answer[i].accepted && (chosen == SLOT_NONE || queue->assignment[row[i]].primary))
            chosen = row[i];
    cx_assert(chosen != SLOT_NONE);
    return chosen;
}

static void settle(struct session_queue *queue, uint32_t task, const uint32_t *row, const struct answer *answer,
                   uint32_t count)
{
    struct payday day;
    begin_payday(queue, task, &day);
    for (uint32_t i = 0; i < count; i++) {
        if (answer[i].accepted)
            continue;
        queue_blame(queue, row[i], CAUSE_OUTVOTED);
        queue_move_assignment(queue, row[i], ASSIGNMENT_REJECTED, CAUSE_OUTVOTED);
    }
    queue_move_task(queue, task, TASK_VALIDATED, CAUSE_NONE);
    tell_answer(queue, choose_answer(queue, row, answer, count));
    for (uint32_t i = 0; i < count; i++)
        if (answer[i].accepted)
            accept(queue, row[i], &day);
    end_payday(queue, &day);
    finish(queue, task, TASK_COMPLETED, CAUSE_NONE);
}

void queue_decide(struct session_queue *queue, uint32_t task)
{
    const struct session_policy *policy = task_policy(queue, task);
    uint32_t row[REDUNDANCY_MAX];
    struct answer answer[REDUNDANCY_MAX];
    uint32_t count = revealed_rows(queue, task, row);
    cx_assert(count >= policy->quorum);
    for (uint32_t i = 0; i < count; i++)
        answer[i] = (struct answer){.text_digest = queue->said[row[i]]};

    queue_move_task(queue, task, TASK_COMMITTED, CAUSE_NONE);
    if (validation_decide(policy->validation, policy->redundancy, answer, count) == 0)
        queue_next_attempt(queue, task, CAUSE_NO_VERDICT);  // no majority: nobody can tell who was wrong
    else
        settle(queue, task, row, answer, count);
}

/* ---- cancelling ---- */

void queue_begin_cancel(struct session_queue *queue, uint32_t task, uint32_t relayed)
{
    struct task *t = &queue->task[task];
    if (t->state == TASK_QUEUED) {
        queue_end(queue, task, TASK_CANCELLED, CAUSE_CANCELLED);
        return;
    }
    /* Who has not acked has nothing to show for. */
    for (uint32_t row = t->assignment; row != SLOT_NONE; row = queue->assignment[row].next)
        if (queue->assignment[row].state == ASSIGNMENT_OFFERED)
            queue_move_assignment(queue, row, ASSIGNMENT_RECALLED, CAUSE_CANCELLED);
    queue->request[task].relayed = u32_min(relayed, t->tokens_max);
    t->flags |= TASK_CANCELLING;
    t->phase_after_ms = (uint32_t)u64_min(queue->step->now_ms - t->queued_ms, UINT32_MAX);

    struct evt_task_moved *e = &event_add(queue->step->out, EVENT_TASK_MOVED)->task_moved;
    e->task = slots_id(&queue->tasks, task);
    e->from = e->to = t->state;
    e->attempt = t->attempt;
    e->cause = CAUSE_CANCELLED;
    e->deadline_ms = session_queue_task_due_ms(queue, task);
    queue_set_due(queue, task);
    queue_advance(queue, task, CAUSE_CANCELLED);
}

void queue_end_cancel(struct session_queue *queue, uint32_t task)
{
    uint32_t row[REDUNDANCY_MAX];
    uint32_t count = revealed_rows(queue, task, row);
    struct payday day;
    begin_payday(queue, task, &day);
    for (uint32_t i = 0; i < count; i++) {
        struct assignment *a = &queue->assignment[row[i]];
        a->tokens_out = u32_min(a->tokens_out, queue->request[task].relayed);
        accept(queue, row[i], &day);
    }
    end_payday(queue, &day);
    queue_end(queue, task, TASK_CANCELLED, CAUSE_CANCELLED);
}

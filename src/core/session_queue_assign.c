/* The commands that carry a lease: acks, declines, faults, precommits, reveals, and whose stream the client reads. */
#include "core/record.h"
#include "core/session_queue_parts.h"

uint32_t assignment_find(const struct session_queue *queue, uint64_t lease)
{
    uint32_t row = LEASE_ROW(lease);
    if (lease == 0 || row >= queue->assignment_used || queue->assignment[row].lease != lease)
        return SLOT_NONE;
    return assignment_is_live((enum assignment_state)queue->assignment[row].state) ? row : SLOT_NONE;
}

bool session_queue_holder(const struct session_queue *queue, uint64_t lease, struct lease_holder *ret_holder)
{
    uint32_t row = assignment_find(queue, lease);
    if (row == SLOT_NONE)
        return false;
    const struct assignment *a = &queue->assignment[row];
    *ret_holder = (struct lease_holder){
        .node = a->node,
        .router = queue->task[a->task].router,
        .evidence = task_policy(queue, a->task)->evidence,
    };
    return true;
}

static enum verdict find_row(const struct session_queue *queue, uint64_t lease, uint32_t *ret_row)
{
    uint32_t row = assignment_find(queue, lease);
    if (row == SLOT_NONE)
        return VERDICT_LEASE_STALE;
    *ret_row = row;
    return VERDICT_ACCEPTED;
}

/* The lease, as its task's own router may speak of it. Refused: LEASE_STALE, NOT_TASK_ROUTER. */
static enum verdict find_own_row(const struct session_queue *queue, uint64_t lease, uint32_t *ret_row)
{
    uint32_t row;
    enum verdict verdict = find_row(queue, lease, &row);
    if (verdict)
        return verdict;
    if (queue->task[queue->assignment[row].task].router != queue->step->router)
        return VERDICT_NOT_TASK_ROUTER;
    *ret_row = row;
    return VERDICT_ACCEPTED;
}

static bool has_passed(const struct session_queue *queue, uint64_t deadline_ms)
{
    return deadline_ms <= queue->step->now_ms;
}

static bool ack_is_late(const struct session_queue *queue, const struct assignment *a)
{
    uint64_t ack_ms = u64_add_sat(a->offered_ms, task_policy(queue, a->task)->ack_ms);
    return a->state == ASSIGNMENT_OFFERED &&
           has_passed(queue, u64_min(ack_ms, queue_total_deadline_ms(queue, a->task)));
}

/* ---- ack, decline, fault ---- */

/* The first to ack is the primary, unless an earlier one has shown tokens to the client. */
static void ack(struct session_queue *queue, uint32_t row)
{
    uint32_t task = queue->assignment[row].task;
    queue_move_assignment(queue, row, ASSIGNMENT_ACKED, CAUSE_NONE);
    reputation_count(queue->reputation, queue->assignment[row].node, COUNT_TASK_ACKED, 1);
    if (queue_primary(queue, task) == SLOT_NONE && !task_has(&queue->task[task], TASK_STREAMED))
        queue_set_primary(queue, task, row);
}

enum verdict session_queue_ack(struct session_queue *queue, const struct cmd_task_ack *cmd)
{
    uint32_t row;
    enum verdict verdict = find_own_row(queue, cmd->lease, &row);
    if (verdict)
        return verdict;
    const struct assignment *a = &queue->assignment[row];
    uint32_t session = queue->task[a->task].session;
    if (a->state != ASSIGNMENT_OFFERED)
        return VERDICT_ASSIGNMENT_STATE;
    if (ack_is_late(queue, a))
        return VERDICT_DEADLINE_PASSED;

    ack(queue, row);
    queue_advance(queue, a->task, CAUSE_NONE);
    queue_settle(queue, session);
    return VERDICT_ACCEPTED;
}

static enum fail_cause cause_of_decline(enum decline_reason reason)
{
    switch (reason) {
    case DECLINE_ENGINE: return CAUSE_ENGINE;
    case DECLINE_PAYLOAD_MISSING: return CAUSE_PAYLOAD_MISSING;
    case DECLINE_BUSY:
    case DECLINE_CONTEXT:
    case DECLINE_UNSUPPORTED:
    case DECLINE_DRAINING:
    case DECLINE_REASON_COUNT: break;
    }
    return CAUSE_DECLINED;
}

enum verdict session_queue_decline(struct session_queue *queue, const struct cmd_task_decline *cmd)
{
    uint32_t row;
    enum verdict verdict = find_own_row(queue, cmd->lease, &row);
    if (verdict)
        return verdict;
    if (cmd->reason >= DECLINE_REASON_COUNT)
        return VERDICT_VALUE_INVALID;
    const struct assignment *a = &queue->assignment[row];
    uint32_t session = queue->task[a->task].session;
    if (a->state != ASSIGNMENT_OFFERED)
        return VERDICT_ASSIGNMENT_STATE;
    if (ack_is_late(queue, a))
        return VERDICT_DEADLINE_PASSED;

    queue_lose(queue, row, ASSIGNMENT_DECLINED, cause_of_decline((enum decline_reason)cmd->reason));
    queue_settle(queue, session);
    return VERDICT_ACCEPTED;
}

/* Only before the precommit: afterwards it would be a way out of WITHHELD. */
enum verdict session_queue_fault(struct session_queue *queue, const struct cmd_task_fault *cmd)
{
    uint32_t row;
    enum verdict verdict = find_own_row(queue, cmd->lease, &row);
    if (verdict)
        return verdict;
    if (cmd->cause != CAUSE_ENGINE && cmd->cause != CAUSE_SILENT)
        return VERDICT_VALUE_INVALID;
    const struct assignment *a = &queue->assignment[row];
    uint32_t session = queue->task[a->task].session;
    if (a->state > ASSIGNMENT_ACKED)
        return VERDICT_ASSIGNMENT_STATE;

    enum assignment_state to = cmd->cause == CAUSE_ENGINE ? ASSIGNMENT_DECLINED : ASSIGNMENT_TIMED_OUT;
    queue_lose(queue, row, to, (enum fail_cause)cmd->cause);
    queue_settle(queue, session);
    return VERDICT_ACCEPTED;
}

/* ---- precommit ---- */

static enum verdict check_precommit(const struct session_queue *queue, uint32_t row, const struct hash *precommit)
{
    const struct assignment *a = &queue->assignment[row];
    const struct task *t = &queue->task[a->task];
    if (hash_is_zero(precommit))
        return VERDICT_VALUE_INVALID;
    if (a->state == ASSIGNMENT_COMMITTED)
        return VERDICT_ASSIGNMENT_STATE;
    if (a->state == ASSIGNMENT_PRECOMMITTED)
        return hash_eq(&queue->said[row], precommit) ? VERDICT_ACCEPTED : VERDICT_PRECOMMIT_KNOWN;
    bool phase_over = t->state == TASK_ACKED && has_passed(queue, session_queue_task_due_ms(queue, a->task));
    if (phase_over || ack_is_late(queue, a))
        return VERDICT_DEADLINE_PASSED;
    return VERDICT_ACCEPTED;
}

/* It may come over any router: what it says is signed, and the same again says nothing new. */
enum verdict session_queue_precommit(struct session_queue *queue, const struct command *cmd)
{
    uint32_t row;
    enum verdict verdict = find_row(queue, cmd->task_precommit.lease, &row);
    if (verdict)
        return verdict;
    struct assignment *a = &queue->assignment[row];
    uint32_t session = queue->task[a->task].session;
    verdict = check_precommit(queue, row, &cmd->task_precommit.precommit);
    if (verdict || a->state == ASSIGNMENT_PRECOMMITTED)
        return verdict;

    if (a->state == ASSIGNMENT_OFFERED)
        ack(queue, row);  // a precommit implies it
    queue->said[row] = cmd->task_precommit.precommit;
    queue_move_assignment(queue, row, ASSIGNMENT_PRECOMMITTED, CAUSE_NONE);
    reputation_count(queue->reputation, a->node, COUNT_TASK_PRECOMMITTED, 1);
    queue_advance(queue, a->task, CAUSE_NONE);
    queue_settle(queue, session);
    return VERDICT_ACCEPTED;
}

/* ---- reveal ---- */

static enum verdict check_commit(const struct session_queue *queue, const struct assignment *a)
{
    const struct task *t = &queue->task[a->task];
    bool cancelling = task_has(t, TASK_CANCELLING);
    if (a->state != ASSIGNMENT_PRECOMMITTED)
        return VERDICT_ASSIGNMENT_STATE;
    if (t->state != TASK_PRECOMMITTED && !cancelling)
        return VERDICT_REVEAL_EARLY;
    if (has_passed(queue, session_queue_task_due_ms(queue, a->task)))
        return VERDICT_DEADLINE_PASSED;
    return VERDICT_ACCEPTED;
}

static bool matches_precommit(const struct session_queue *queue, uint32_t row, const struct cmd_task_commit *cmd)
{
    const struct assignment *a = &queue->assignment[row];
    const struct task *t = &queue->task[a->task];
    struct hash hash;
    precommit_hash(&(struct precommit_terms){.network_id = queue->step->network_id,
                                             .session = session_id(queue->session, t->session),
                                             .task = slots_id(&queue->tasks, a->task),
                                             .lease = a->lease,
                                             .node = node_pool_node(queue->node_pool, a->node)->address,
                                             .salt = cmd->salt},
                   cmd->record, &hash);
    return hash_eq(&hash, &queue->said[row]);
}

/* docs/protocol.md, "Result record": what a record has to say to be an answer to this task. */
static bool fits_task(const struct session_queue *queue, const struct assignment *a, const struct record *record)
{
    const struct task *t = &queue->task[a->task];
    const struct model *model = catalog_model(queue->catalog, task_policy(queue, a->task)->model);
    bool cancelling = task_has(t, TASK_CANCELLING);
    return hash_eq(&record->manifest_digest, &model->manifest_digest) && record->seed == a->seed &&
           (record->seed_of_client == 1) == task_has(t, TASK_SEED_OF_CLIENT) &&
           hash_eq(&record->request_digest, &queue->request[a->task].digest) && record->tokens_out <= t->tokens_max &&
           (record->finish != FINISH_CANCELLED || cancelling);
}

/* What is wrong with a reveal, or NONE. After a cancel chunks may be on their way that the client never saw. */
static enum fail_cause judge_reveal(const struct session_queue *queue, uint32_t row, const struct cmd_task_commit *cmd,
                                    struct record *ret_record)
{
    const struct assignment *a = &queue->assignment[row];
    bool cancelling = task_has(&queue->task[a->task], TASK_CANCELLING);
    if (!matches_precommit(queue, row, cmd) || !record_decode(cmd->record, ret_record) ||
        !fits_task(queue, a, ret_record) || cmd->checks_failed != 0)
        return CAUSE_WRONG;
    if (!hash_is_zero(&cmd->relayed_head) && !hash_eq(&cmd->relayed_head, &ret_record->chain_head) && !cancelling)
        return CAUSE_STREAM_DIFFERS;
    return CAUSE_NONE;
}

static void tell_revealed(struct session_queue *queue, const struct assignment *a, const struct cmd_task_commit *cmd,
                          const struct record *record)
{
    struct evt_task_revealed *e = &event_add(queue->step->out, EVENT_TASK_REVEALED)->task_revealed;
    e->task = slots_id(&queue->tasks, a->task);
    e->lease = a->lease;
    e->node = node_pool_node(queue->node_pool, a->node)->address;
    e->payload_digest = cmd->payload_digest;
    e->text_digest = record->text_digest;
    e->chain_head = record->chain_head;
    e->tokens_in = record->tokens_in;
    e->tokens_out = record->tokens_out;
    e->finish = record->finish;
}

static void measure(struct session_queue *queue, const struct assignment *a, const struct cmd_task_commit *cmd)
{
    uint32_t at = node_pool_serves(queue->node_pool, a->node, task_policy(queue, a->task)->model);
    if (at == SLOT_NONE || cmd->duration_ms == 0 || a->tokens_out == 0)
        return;
    reputation_measure(queue->reputation, a->node, at, cmd->ttft_ms, a->tokens_out, cmd->duration_ms);
}

static void keep_reveal(struct session_queue *queue, uint32_t row, const struct cmd_task_commit *cmd,
                        const struct record *record)
{
    struct assignment *a = &queue->assignment[row];
    const struct task *t = &queue->task[a->task];
    uint64_t prompt =
        (uint64_t)t->prompt_size + catalog_model(queue->catalog, task_policy(queue, a->task)->model)->template_tokens;
    queue->said[row] = record->text_digest;
    a->tokens_in = (uint32_t)u64_min(record->tokens_in, prompt);
    a->tokens_out = (uint32_t)u64_min(record->tokens_out, (uint64_t)cmd->text_size + 1);
    a->finish = record->finish;
    if (task_has(t, TASK_CANCELLING)) {
        uint32_t *relayed = &queue->request[a->task].relayed;
        *relayed = u32_max(*relayed, u32_min(cmd->relayed_tokens, t->tokens_max));
    }
    queue_move_assignment(queue, row, ASSIGNMENT_COMMITTED, CAUSE_NONE);
    reputation_count(queue->reputation, a->node, COUNT_TASK_COMMITTED, 1);
    measure(queue, a, cmd);
    tell_revealed(queue, a, cmd, record);
}

enum verdict session_queue_commit(struct session_queue *queue, const struct cmd_task_commit *cmd)
{
    uint32_t row;
    enum verdict verdict = find_own_row(queue, cmd->lease, &row);
    if (verdict)
        return verdict;
    const struct assignment *a = &queue->assignment[row];
    uint32_t session = queue->task[a->task].session;
    verdict = check_commit(queue, a);
    if (verdict)
        return verdict;

    struct record record;
    queue_expect_next(queue, row);  // hashing takes as long as memory does
    enum fail_cause wrong = judge_reveal(queue, row, cmd, &record);
    queue_expect_after(queue, session);
    if (wrong == CAUSE_NONE) {
        keep_reveal(queue, row, cmd, &record);
        queue_advance(queue, a->task, CAUSE_NONE);
    } else {
        queue_lose(queue, row, ASSIGNMENT_REJECTED, wrong);
    }
    queue_settle(queue, session);
    return VERDICT_ACCEPTED;
}

/* ---- whose stream the client reads ---- */

enum verdict session_queue_primary(struct session_queue *queue, const struct cmd_task_primary *cmd)
{
    uint32_t row;
    enum verdict verdict = find_own_row(queue, cmd->lease, &row);
    if (verdict)
        return verdict;
    const struct assignment *a = &queue->assignment[row];
    if (a->state == ASSIGNMENT_OFFERED)
        return VERDICT_ASSIGNMENT_STATE;
    if (task_has(&queue->task[a->task], TASK_STREAMED))
        return VERDICT_STREAM_STARTED;
    if (!a->primary)
        queue_set_primary(queue, a->task, row);
    return VERDICT_ACCEPTED;
}

enum verdict session_queue_streams(struct session_queue *queue, const struct cmd_task_streams *cmd)
{
    uint32_t row;
    enum verdict verdict = find_own_row(queue, cmd->lease, &row);
    if (verdict)
        return verdict;
    const struct assignment *a = &queue->assignment[row];
    if (!a->primary)
        return VERDICT_ASSIGNMENT_STATE;
    if (task_has(&queue->task[a->task], TASK_STREAMED))
        return VERDICT_STREAM_STARTED;
    queue->task[a->task].flags |= TASK_STREAMED;
    return VERDICT_ACCEPTED;
}

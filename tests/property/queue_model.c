#include "property/queue_model.h"

static bool is_live(const struct model_lease *l) { return l->state <= ASSIGNMENT_COMMITTED; }

static uint32_t count_at_least(const struct model_task *t, enum assignment_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->leases; i++)
        count += is_live(&t->lease[i]) && t->lease[i].state >= state;
    return count;
}

static uint32_t busy(const struct queue_model *m, uint32_t node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->tasks; i++)
        for (uint32_t k = 0; k < m->task[i].leases; k++)
            count += m->task[i].lease[k].node == node && is_live(&m->task[i].lease[k]);
    return count;
}

static bool failed_before(const struct model_task *t, uint32_t node)
{
    for (uint32_t i = 0; i < t->leases; i++)
        if (t->lease[i].node == node && !is_live(&t->lease[i]) && t->lease[i].state != ASSIGNMENT_RECALLED)
            return true;
    return false;
}

static bool in_attempt(const struct model_task *t, uint32_t node)
{
    for (uint32_t i = 0; i < t->leases; i++)
        if (t->lease[i].node == node && t->lease[i].attempt == t->attempt)
            return true;
    return false;
}

/* ---- offers ---- */

/* The next offer of this task that the model has not heard of. */
static const struct evt_task_offered *next_offer(const struct queue_model *m, const struct model_task *t)
{
    for (uint32_t i = 0; i < m->b->n->seen_count; i++) {
        const struct evt_task_offered *e = &m->b->n->seen[i].task_offered;
        bool known = false;
        if (m->b->n->seen[i].type != EVENT_TASK_OFFERED || e->task != t->id)
            continue;
        for (uint32_t k = 0; k < t->leases; k++)
            known = known || t->lease[k].lease == e->lease;
        if (!known)
            return e;
    }
    test_fail(__FILE__, __LINE__, "the core did not offer what the model says it must");
}

static uint32_t number_of(const struct queue_model *m, const struct address *node)
{
    for (uint32_t i = 1; i <= m->miners; i++) {
        struct address address = test_address('M', i);
        if (address_eq(&address, node))
            return i;
    }
    test_fail(__FILE__, __LINE__, "an offer to nobody we know");
}

/* Those that could be picked now, apart those that failed this task before. */
static void candidates(const struct queue_model *m, const struct model_task *t, bool replaces, uint32_t *ret_good,
                       uint32_t *ret_failed)
{
    *ret_good = *ret_failed = 0;
    for (uint32_t node = 1; node <= m->miners; node++) {
        if (busy(m, node) >= m->slots || (replaces && in_attempt(t, node)))
            continue;
        *(failed_before(t, node) ? ret_failed : ret_good) += 1;
    }
}

static void take_offers(struct queue_model *m, struct model_task *t, uint32_t want, bool replaces)
{
    uint32_t good, failed, picked_failed = 0;
    candidates(m, t, replaces, &good, &failed);
    for (uint32_t i = 0; i < want; i++) {
        const struct evt_task_offered *e = next_offer(m, t);
        struct model_lease *l = &t->lease[t->leases];
        uint32_t node = number_of(m, &e->node);
        CHECK(t->leases < MODEL_LEASES);
        CHECK(busy(m, node) < m->slots);
        CHECK(!in_attempt(t, node));
        CHECK_EQ(e->attempt, t->attempt);
        picked_failed += failed_before(t, node);
        *l = (struct model_lease){.lease = e->lease, .offered_ms = m->now_ms, .node = node, .attempt = t->attempt};
        t->leases++;
    }
    CHECK_EQ(picked_failed, want > good ? want - good : 0);
}

static void move(struct queue_model *m, struct model_task *t, enum task_state to)
{
    t->state = to;
    t->phase_ms = m->now_ms;
}

static struct model_task *whose_turn(struct queue_model *m)
{
    struct model_task *best = NULL;
    uint64_t step_ms = view_params(m->b->n->core)->age_step_ms, best_turn = 0;
    for (uint32_t priority = PRIORITIES; priority-- > 0;) {
        struct model_task *head = NULL;
        for (uint32_t i = 0; i < m->tasks; i++) {
            struct model_task *t = &m->task[i];
            if (t->state == TASK_QUEUED && t->priority == priority && (!head || t->order < head->order))
                head = t;
        }
        uint64_t turn = head ? priority * step_ms + m->now_ms - head->queued_ms : 0;
        if (head && (!best || turn > best_turn)) {
            best = head;
            best_turn = turn;
        }
    }
    return best;
}

static void dispatch(struct queue_model *m)
{
    uint32_t good, failed;
    struct model_task *t;
    while ((t = whose_turn(m)) != NULL) {
        candidates(m, t, false, &good, &failed);
        if (good + failed < m->terms.redundancy)
            return;
        t->attempt++;
        t->replaced = 0;
        move(m, t, TASK_ASSIGNED);
        take_offers(m, t, m->terms.redundancy, false);
    }
}

static void replace(struct queue_model *m, struct model_task *t)
{
    uint32_t good, failed;
    candidates(m, t, true, &good, &failed);
    if (t->replaced == m->terms.redundancy || good + failed == 0)
        return;
    t->replaced++;
    take_offers(m, t, 1, true);
}

/* ---- ends ---- */

static void end(struct queue_model *m, struct model_task *t, enum task_state to, enum fail_cause cause)
{
    for (uint32_t i = 0; i < t->leases; i++)
        if (is_live(&t->lease[i]))
            t->lease[i].state = ASSIGNMENT_RECALLED;
    t->cause = cause;
    move(m, t, to);
}

static uint64_t up(uint64_t amount, uint64_t basis_points) { return (amount * basis_points + 9999) / 10000; }

/* What one answer costs: 10 tokens in, and fees on top. */
static void charge(const struct queue_model *m, struct model_task *t, struct model_lease *l, uint32_t tokens_out)
{
    const struct params *params = view_params(m->b->n->core);
    uint64_t pay = (10 * m->price_in + tokens_out * m->price_out) / 1000000;
    l->state = ASSIGNMENT_ACCEPTED;
    t->charged += pay + up(pay, params->router_fee_bp) + up(pay, params->oracle_fee_bp);
}

static uint32_t nodes_that_failed_mildly(const struct queue_model *m, const struct model_task *t)
{
    uint32_t count = 0;
    for (uint32_t node = 1; node <= m->miners; node++) {
        bool did = false;
        for (uint32_t i = 0; i < t->leases; i++) {
            enum fail_cause cause = t->lease[i].cause;
            did = did || (t->lease[i].node == node && (cause == CAUSE_DECLINED || cause == CAUSE_ENGINE ||
                                                       cause == CAUSE_SILENT || cause == CAUSE_LATE));
        }
        count += did;
    }
    return count;
}

static uint32_t operators_without_payload(const struct queue_model *m, const struct model_task *t)
{
    uint32_t count = 0;
    for (uint32_t operator_ = 0; operator_ < m->operators; operator_++) {
        bool did = false;
        for (uint32_t i = 0; i < t->leases; i++)
            did = did ||
                  (t->lease[i].cause == CAUSE_PAYLOAD_MISSING && (t->lease[i].node - 1) % m->operators == operator_);
        count += did;
    }
    return count;
}

static void next_attempt(struct queue_model *m, struct model_task *t, enum fail_cause cause)
{
    for (uint32_t i = 0; i < t->leases; i++)
        if (is_live(&t->lease[i]))
            t->lease[i].state = ASSIGNMENT_RECALLED;
    if (nodes_that_failed_mildly(m, t) >= POISON_NODES)
        end(m, t, TASK_FAILED, CAUSE_POISON);
    else if (t->attempt >= m->terms.attempts_max)
        end(m, t, TASK_FAILED, cause);
    else if (m->now_ms >= t->queued_ms + m->terms.total_ms)
        end(m, t, TASK_EXPIRED, CAUSE_TIMEOUT);
    else {
        t->order = --m->first;
        move(m, t, TASK_QUEUED);
    }
}

static void decide(struct queue_model *m, struct model_task *t)
{
    uint32_t best = 0;
    char winner = 0;
    for (uint32_t i = 0; i < t->leases; i++) {
        uint32_t alike = 0;
        for (uint32_t k = 0; k < t->leases; k++)
            alike += t->lease[k].state == ASSIGNMENT_COMMITTED && t->lease[k].text == t->lease[i].text;
        if (t->lease[i].state == ASSIGNMENT_COMMITTED && alike > best) {
            best = alike;
            winner = t->lease[i].text;
        }
    }
    bool majority = m->terms.validation == VALIDATION_MAJORITY;
    if (majority && 2 * best <= m->terms.redundancy) {
        next_attempt(m, t, CAUSE_NO_VERDICT);
        return;
    }
    for (uint32_t i = 0; i < t->leases; i++) {
        struct model_lease *l = &t->lease[i];
        if (l->state != ASSIGNMENT_COMMITTED)
            continue;
        if (majority && l->text != winner) {
            l->state = ASSIGNMENT_REJECTED;
            l->cause = CAUSE_OUTVOTED;
        } else {
            charge(m, t, l, l->tokens_out);
        }
    }
    end(m, t, TASK_COMPLETED, CAUSE_NONE);
}

static void end_cancel(struct queue_model *m, struct model_task *t)
{
    for (uint32_t i = 0; i < t->leases; i++)
        if (t->lease[i].state == ASSIGNMENT_COMMITTED)
            charge(m, t, &t->lease[i], u32_min(t->lease[i].tokens_out, t->relayed));
    end(m, t, TASK_CANCELLED, CAUSE_CANCELLED);
}

/* ---- phases ---- */

static void go_on(struct queue_model *m, struct model_task *t, enum fail_cause cause)
{
    uint32_t live = count_at_least(t, ASSIGNMENT_OFFERED);
    if (t->cancelling) {
        if (live == count_at_least(t, ASSIGNMENT_COMMITTED))
            end_cancel(m, t);
        return;
    }
    if (live < m->terms.quorum) {
        next_attempt(m, t, cause);
        return;
    }
    if (t->state == TASK_ASSIGNED && count_at_least(t, ASSIGNMENT_ACKED) == live)
        move(m, t, TASK_ACKED);
    if (t->state == TASK_ACKED && count_at_least(t, ASSIGNMENT_PRECOMMITTED) == live)
        move(m, t, TASK_PRECOMMITTED);
    if (t->state == TASK_PRECOMMITTED && count_at_least(t, ASSIGNMENT_COMMITTED) == live)
        decide(m, t);
}

/* After some were lost: replaced while the task is ASSIGNED, and then on. */
static void mend(struct queue_model *m, struct model_task *t, uint32_t lost, enum fail_cause cause)
{
    if (operators_without_payload(m, t) >= 2)
        end(m, t, TASK_FAILED, CAUSE_PAYLOAD_MISSING);
    for (uint32_t i = 0; i < lost && t->state == TASK_ASSIGNED && !t->cancelling; i++)
        replace(m, t);
    if (t->state < TASK_COMPLETED)
        go_on(m, t, cause);
    dispatch(m);
}

static void lose(struct queue_model *m, struct model_task *t, struct model_lease *l, enum assignment_state to,
                 enum fail_cause cause)
{
    l->state = to;
    l->cause = cause;
    mend(m, t, 1, cause);
}

/* ---- deadlines ---- */

static uint64_t phase_deadline(const struct queue_model *m, const struct model_task *t)
{
    uint64_t earliest = TIME_NEVER;
    if (t->cancelling)
        return t->phase_ms + view_params(m->b->n->core)->cancel_grace_ms;
    if (t->state == TASK_ACKED)
        return t->phase_ms + m->terms.precommit_ms;
    if (t->state == TASK_PRECOMMITTED)
        return t->phase_ms + m->terms.commit_ms;
    for (uint32_t i = 0; i < t->leases; i++)
        if (t->state == TASK_ASSIGNED && t->lease[i].state == ASSIGNMENT_OFFERED)
            earliest = u64_min(earliest, t->lease[i].offered_ms + m->terms.ack_ms);
    return earliest;
}

static uint64_t due(const struct queue_model *m, const struct model_task *t)
{
    if (t->state >= TASK_COMPLETED)
        return TIME_NEVER;
    return u64_min(phase_deadline(m, t), t->queued_ms + m->terms.total_ms);
}

static void end_phase(struct queue_model *m, struct model_task *t, enum assignment_state owes, enum assignment_state to,
                      enum fail_cause cause)
{
    uint32_t lost = 0;
    for (uint32_t i = 0; i < t->leases; i++) {
        struct model_lease *l = &t->lease[i];
        if (l->state != owes || (owes == ASSIGNMENT_OFFERED && l->offered_ms + m->terms.ack_ms > m->now_ms))
            continue;
        l->state = to;
        l->cause = cause;
        lost++;
    }
    mend(m, t, lost, cause);
}

static void at_deadline(struct queue_model *m, struct model_task *t)
{
    bool phase = phase_deadline(m, t) <= m->now_ms;
    bool enough = t->state == TASK_PRECOMMITTED && count_at_least(t, ASSIGNMENT_COMMITTED) >= m->terms.quorum;
    if (t->cancelling)
        end_cancel(m, t);
    else if (!phase && enough)
        end_phase(m, t, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_RECALLED, CAUSE_TIMEOUT);
    else if (!phase)
        end(m, t, TASK_EXPIRED, CAUSE_TIMEOUT);
    else if (t->state == TASK_ASSIGNED)
        end_phase(m, t, ASSIGNMENT_OFFERED, ASSIGNMENT_TIMED_OUT, CAUSE_SILENT);
    else if (t->state == TASK_ACKED)
        end_phase(m, t, ASSIGNMENT_ACKED, ASSIGNMENT_TIMED_OUT, CAUSE_LATE);
    else
        end_phase(m, t, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_WITHHELD, CAUSE_WITHHELD);
    dispatch(m);
}

void model_wait(struct queue_model *m, uint64_t now_ms)
{
    for (;;) {
        struct model_task *next = NULL;
        for (uint32_t i = 0; i < m->tasks; i++) {
            struct model_task *t = &m->task[i];
            if (!next || due(m, t) < due(m, next) ||
                (due(m, t) == due(m, next) && (uint32_t)t->id < (uint32_t)next->id))
                next = t;
        }
        if (!next || due(m, next) > now_ms)
            break;
        m->now_ms = due(m, next);
        at_deadline(m, next);
    }
    m->now_ms = now_ms;
}

/* ---- commands ---- */

void model_submit(struct queue_model *m, uint64_t id, uint32_t priority)
{
    CHECK(m->tasks < MODEL_TASKS);
    m->task[m->tasks++] = (struct model_task){
        .id = id, .queued_ms = m->now_ms, .phase_ms = m->now_ms, .priority = priority, .order = ++m->last};
    dispatch(m);
}

void model_cancel(struct queue_model *m, struct model_task *t, uint32_t relayed)
{
    if (t->state == TASK_QUEUED) {
        end(m, t, TASK_CANCELLED, CAUSE_CANCELLED);
    } else if (!t->cancelling) {
        for (uint32_t i = 0; i < t->leases; i++)
            if (t->lease[i].state == ASSIGNMENT_OFFERED)
                t->lease[i].state = ASSIGNMENT_RECALLED;
        t->cancelling = true;
        t->relayed = relayed;
        t->phase_ms = m->now_ms;
        go_on(m, t, CAUSE_CANCELLED);
    }
    dispatch(m);
}

enum verdict model_ack(struct queue_model *m, struct model_task *t, struct model_lease *l)
{
    if (!is_live(l))
        return VERDICT_LEASE_STALE;
    if (l->state != ASSIGNMENT_OFFERED)
        return VERDICT_ASSIGNMENT_STATE;
    l->state = ASSIGNMENT_ACKED;
    go_on(m, t, CAUSE_NONE);
    return VERDICT_ACCEPTED;
}

enum verdict model_decline(struct queue_model *m, struct model_task *t, struct model_lease *l,
                           enum decline_reason reason)
{
    if (!is_live(l))
        return VERDICT_LEASE_STALE;
    if (l->state != ASSIGNMENT_OFFERED)
        return VERDICT_ASSIGNMENT_STATE;
    lose(m, t, l, ASSIGNMENT_DECLINED,
         reason == DECLINE_ENGINE            ? CAUSE_ENGINE
         : reason == DECLINE_PAYLOAD_MISSING ? CAUSE_PAYLOAD_MISSING
                                             : CAUSE_DECLINED);
    return VERDICT_ACCEPTED;
}

enum verdict model_fault(struct queue_model *m, struct model_task *t, struct model_lease *l, enum fail_cause cause)
{
    if (!is_live(l))
        return VERDICT_LEASE_STALE;
    if (l->state > ASSIGNMENT_ACKED)
        return VERDICT_ASSIGNMENT_STATE;
    lose(m, t, l, cause == CAUSE_ENGINE ? ASSIGNMENT_DECLINED : ASSIGNMENT_TIMED_OUT, cause);
    return VERDICT_ACCEPTED;
}

enum verdict model_precommit(struct queue_model *m, struct model_task *t, struct model_lease *l, bool same)
{
    if (!is_live(l))
        return VERDICT_LEASE_STALE;
    if (l->state == ASSIGNMENT_COMMITTED)
        return VERDICT_ASSIGNMENT_STATE;
    if (l->state == ASSIGNMENT_PRECOMMITTED)
        return same ? VERDICT_ACCEPTED : VERDICT_PRECOMMIT_KNOWN;
    l->state = ASSIGNMENT_PRECOMMITTED;
    go_on(m, t, CAUSE_NONE);
    return VERDICT_ACCEPTED;
}

enum verdict model_commit(struct queue_model *m, struct model_task *t, struct model_lease *l, bool wrong)
{
    if (!is_live(l))
        return VERDICT_LEASE_STALE;
    if (l->state != ASSIGNMENT_PRECOMMITTED)
        return VERDICT_ASSIGNMENT_STATE;
    if (t->state != TASK_PRECOMMITTED && !t->cancelling)
        return VERDICT_REVEAL_EARLY;
    if (wrong) {
        lose(m, t, l, ASSIGNMENT_REJECTED, CAUSE_WRONG);
        return VERDICT_ACCEPTED;
    }
    l->state = ASSIGNMENT_COMMITTED;
    go_on(m, t, CAUSE_NONE);
    dispatch(m);
    return VERDICT_ACCEPTED;
}

/* ---- comparing ---- */

static void compare_live(struct queue_model *m, const struct model_task *t)
{
    struct task_view view = bench_view(m->b, t->id);
    CHECK_EQ(view.state, t->state);
    CHECK_EQ(view.attempt, t->attempt);
    CHECK_EQ(view.live, count_at_least(t, ASSIGNMENT_OFFERED));
    for (uint32_t i = 0; i < t->leases; i++) {
        struct assignment_view a;
        bool live = view_assignment(m->b->n->core, t->lease[i].lease, &a);
        CHECK_EQ(live, is_live(&t->lease[i]));
        if (live)
            CHECK_EQ(a.state, t->lease[i].state);
    }
}

static void compare_ended(struct queue_model *m, const struct model_task *t)
{
    struct task_view view;
    CHECK(!view_task(m->b->n->core, t->id, &view));
    for (uint32_t i = 0; i < m->b->n->seen_count; i++) {
        const struct event *e = &m->b->n->seen[i];
        if (e->type == EVENT_TASK_REFUNDED && e->task_refunded.task == t->id)
            CHECK_EQ(e->task_refunded.charged.credits, t->charged);
        if (e->type == EVENT_TASK_MOVED && e->task_moved.task == t->id && e->task_moved.to >= TASK_COMPLETED) {
            CHECK_EQ(e->task_moved.to, t->state);
            CHECK_EQ(e->task_moved.cause, t->cause);
        }
    }
}

void model_compare(struct queue_model *m)
{
    uint32_t offers = 0;
    for (uint32_t i = 0; i < m->tasks; i++) {
        offers += m->task[i].leases;
        if (m->task[i].state < TASK_COMPLETED)
            compare_live(m, &m->task[i]);
        else
            compare_ended(m, &m->task[i]);
    }
    CHECK_EQ(network_events(m->b->n, EVENT_TASK_OFFERED), offers);
}

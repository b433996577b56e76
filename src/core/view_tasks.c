/* Sessions, tasks, assignments, references, rounds and audits. */
#include "base/assert.h"
#include "base/mem.h"
#include "core/core_parts.h"
#include "core/view.h"

/* ---- sessions ---- */

static void session_terms(const struct session_policy *p, struct session_view *ret)
{
    ret->model = p->model_id;
    ret->shared = p->shared;
    ret->diversity = p->diversity;
    ret->redundancy = p->redundancy;
    ret->quorum = p->quorum;
    ret->nodes_min = p->nodes_min;
    ret->nodes_max = p->nodes_max;
    ret->tokens_max = p->tokens_max;
    ret->audit_bp = p->audit_bp;
    ret->attempts_max = p->attempts_max;
    ret->priority = p->priority;
    ret->ack_ms = p->ack_ms;
    ret->precommit_ms = p->precommit_ms;
    ret->commit_ms = p->commit_ms;
    ret->total_ms = p->total_ms;
    ret->mode = p->mode;
    ret->sla = p->sla;
    ret->class = p->class;
    ret->validation = p->validation;
    ret->on_no_verdict = p->on_no_verdict;
    ret->stream = p->stream;
    ret->access = p->access;
    ret->privacy = p->privacy;
    ret->result = p->result;
    ret->pays = p->pays;
    ret->evidence = p->evidence;
    ret->price_in_max = p->price_in_max;
    ret->price_out_max = p->price_out_max;
}

static void session_at(const struct core *core, uint32_t session, struct session_view *ret)
{
    const struct session *s = &core->session.session[session];
    const struct session_lanes *lanes = &core->session_queue.lanes[session];
    memset(ret, 0, sizeof *ret);
    session_terms(&s->policy, ret);
    ret->id = session_id(&core->session, session);
    ret->since_ms = s->since_ms;
    ret->owner = *account_address(&core->account, s->policy.owner);
    ret->state = s->state;
    ret->escrow = payment_escrow(&core->payment, session);
    ret->degraded = session_is_degraded(&core->session, session);
    ret->nodes = s->nodes;
    ret->tasks_queued = lanes->queued;
    ret->tasks_live = lanes->live;
    ret->in_flight = s->in_flight;
    memcpy(ret->name, s->name, s->name_size);
    memcpy(ret->metadata, s->metadata, s->metadata_size);
}

bool view_session(const struct core *core, uint64_t id, struct session_view *ret)
{
    uint32_t session = session_find(&core->session, id);
    if (session == SLOT_NONE)
        return false;
    session_at(core, session, ret);
    return true;
}

bool view_session_at(const struct core *core, uint32_t *at, struct session_view *ret)
{
    uint32_t session;
    if (!next_live(&core->session.slots, at, &session))
        return false;
    session_at(core, session, ret);
    return true;
}

bool view_member_of(const struct core *core, uint64_t session, uint32_t *at, struct address *ret_node,
                    bool *ret_dedicated)
{
    uint32_t slot = session_find(&core->session, session);
    if (slot == SLOT_NONE)
        return false;
    uint32_t node = core->session.session[slot].node_head;
    for (uint32_t i = 0; i < *at && node != SLOT_NONE; i++)
        node = core->session.member[node].next;
    if (node == SLOT_NONE)
        return false;
    (*at)++;
    *ret_node = node_pool_node(&core->node_pool, node)->address;
    *ret_dedicated = core->session.member[node].dedicated;
    return true;
}

static bool serves_wish(const struct core *core, uint32_t session, const struct shared_wish *wish)
{
    const struct session *s = &core->session.session[session];
    const struct session_policy *p = &s->policy;
    return p->shared && (s->state == SESSION_OPENING || s->state == SESSION_ACTIVE) && p->model_id == wish->model &&
           p->redundancy == wish->redundancy && p->validation == wish->validation &&
           address_eq(account_address(&core->account, p->owner), &wish->router);
}

uint64_t view_shared_session(const struct core *core, const struct shared_wish *wish)
{
    uint64_t found = 0;
    for (uint32_t at = 0, session; next_live(&core->session.slots, &at, &session);) {
        if (!serves_wish(core, session, wish))
            continue;
        /* One that answers now goes before one that still opens. */
        if (core->session.session[session].state == SESSION_ACTIVE)
            return session_id(&core->session, session);
        if (found == 0)
            found = session_id(&core->session, session);
    }
    return found;
}

/* ---- tasks ---- */

static void task_at(const struct core *core, uint32_t task, struct task_view *ret)
{
    const struct session_queue *queue = &core->session_queue;
    const struct task *t = &queue->task[task];
    struct task_tally tally;
    session_queue_tally(queue, task, &tally);
    *ret = (struct task_view){
        .id = slots_id(&queue->tasks, task),
        .session = session_id(&core->session, t->session),
        .deadline_ms = t->queued_ms + t->total_ms,
        .phase_ms = t->queued_ms + t->phase_after_ms,
        .queued_ms = t->queued_ms,
        .payer = *account_address(&core->account, t->payer),
        .router = *router_address(&core->account, t->router),
        .request_digest = queue->request[task].digest,
        .state = (enum task_state)t->state,
        .attempt = t->attempt,
        .live = tally.live,
        .acked = tally.acked,
        .precommitted = tally.precommitted,
        .committed = tally.committed,
        .tokens_max = t->tokens_max,
        .priority = t->priority,
        .prompt_size = t->prompt_size,
        .position = session_queue_position(queue, task),
        .stream = t->flags & TASK_STREAM,
        .greedy = t->flags & TASK_GREEDY,
        .streamed = t->flags & TASK_STREAMED,
        .reserved = core->payment.reservation[task].taken,
    };
    memcpy(ret->causes, tally.causes, sizeof ret->causes);
}

bool view_task(const struct core *core, uint64_t id, struct task_view *ret)
{
    uint32_t task = slots_find(&core->session_queue.tasks, id);
    if (task == SLOT_NONE)
        return false;
    task_at(core, task, ret);
    return true;
}

bool view_task_at(const struct core *core, uint32_t *at, struct task_view *ret)
{
    uint32_t task;
    if (!next_live(&core->session_queue.tasks, at, &task))
        return false;
    task_at(core, task, ret);
    return true;
}

static void assignment_at(const struct core *core, uint32_t assignment, struct assignment_view *ret)
{
    const struct session_queue *queue = &core->session_queue;
    const struct assignment *a = &queue->assignment[assignment];
    const struct task *t = &queue->task[a->task];
    bool revealed = a->state == ASSIGNMENT_COMMITTED;
    *ret = (struct assignment_view){
        .lease = a->lease,
        .task = slots_id(&queue->tasks, a->task),
        .session = session_id(&core->session, t->session),
        .seed = revealed ? 0 : a->seed,
        .offered_ms = a->offered_ms,
        .price_in = a->price_in,
        .price_out = a->price_out,
        .node = node_pool_node(&core->node_pool, a->node)->address,
        .precommit = a->state < ASSIGNMENT_PRECOMMITTED ? (struct hash){{0}} : queue->said[assignment],
        .state = (enum assignment_state)a->state,
        .attempt = a->attempt,
        .primary = a->primary,
        .seed_of_client = t->flags & TASK_SEED_OF_CLIENT,
    };
}

bool view_assignment(const struct core *core, uint64_t lease, struct assignment_view *ret)
{
    uint32_t assignment = assignment_find(&core->session_queue, lease);
    if (assignment == SLOT_NONE)
        return false;
    assignment_at(core, assignment, ret);
    return true;
}

bool view_assignment_of(const struct core *core, uint64_t task, uint32_t *at, struct assignment_view *ret)
{
    const struct session_queue *queue = &core->session_queue;
    uint32_t slot = slots_find(&queue->tasks, task), skip = *at;
    if (slot == SLOT_NONE)
        return false;
    for (uint32_t i = queue->task[slot].assignment; i != SLOT_NONE; i = queue->assignment[i].next) {
        if (queue->assignment[i].state > ASSIGNMENT_COMMITTED || skip-- > 0)
            continue;
        (*at)++;
        assignment_at(core, i, ret);
        return true;
    }
    return false;
}

bool view_reference(const struct core *core, const struct address *payer, const struct hash *reference,
                    struct reference_view *ret)
{
    const struct session_queue *queue = &core->session_queue;
    uint32_t row = session_queue_reference(queue, payer, reference);
    if (row == SLOT_NONE)
        return false;
    const struct reference *r = &queue->reference[row];
    *ret =
        (struct reference_view){.task = r->task, .state = (enum task_state)r->state, .ended = r->state != TASK_QUEUED};
    return true;
}

/* ---- rounds and audits ---- */

static void place_at(const struct core *core, const struct round_place *p, struct round_place_view *ret)
{
    *ret = (struct round_place_view){
        .lease = p->lease,
        .seed = p->seed,
        .payload_digest = p->payload_digest,
        .ttft_ms = p->ttft_ms,
        .duration_ms = p->duration_ms,
        .tokens_out = p->tokens_out,
        .acked = p->acked,
        .precommitted = p->precommitted,
        .committed = p->committed,
        .alive = p->alive,
        .bound = p->bound,
        .judged_by = p->judged_by,
    };
    if (p->node != SLOT_NONE)
        ret->node = node_pool_node(&core->node_pool, p->node)->address;
}

static void round_at(const struct core *core, uint32_t round, struct round_view *ret)
{
    const struct round *r = &core->cognitive.round[round];
    *ret = (struct round_view){
        .id = slots_id(&core->cognitive.slots, round),
        .model = catalog_id(&core->catalog, r->model),
        .deadline_ms = r->deadline_ms,
        .state = r->state,
        .challenge_hash = r->challenge_hash,
        .challenge_digest = r->challenge_digest,
        .request_digest = r->request_digest,
        .tokens_max = r->tokens_max,
        .places = r->places,
    };
    if (r->leader != SLOT_NONE)
        ret->leader = core->cognitive.oracle[r->leader].address;
    for (uint32_t i = 0; i < r->places; i++)
        place_at(core, &r->place[i], &ret->place[i]);
}

bool view_round(const struct core *core, uint64_t id, struct round_view *ret)
{
    uint32_t round = slots_find(&core->cognitive.slots, id);
    if (round == SLOT_NONE)
        return false;
    round_at(core, round, ret);
    return true;
}

bool view_round_at(const struct core *core, uint32_t *at, struct round_view *ret)
{
    uint32_t round;
    if (!next_live(&core->cognitive.slots, at, &round))
        return false;
    round_at(core, round, ret);
    return true;
}

static void audit_at(const struct core *core, uint32_t audit, struct audit_view *ret)
{
    const struct audit *a = &core->validation.audit[audit];
    bool drawn = a->oracle < core->cognitive.oracle_count && a->state != AUDIT_WAITING;
    *ret = (struct audit_view){
        .id = slots_id(&core->validation.slots, audit),
        .task = a->task,
        .lease = a->lease,
        .deadline_ms = a->deadline_ms,
        .state = a->state,
        .node = a->node,
        .passes = a->passes,
        .flags = a->flags,
        .judged_by_drawn = drawn && (a->judged_by >> a->oracle & 1),
    };
    if (drawn)
        ret->oracle = core->cognitive.oracle[a->oracle].address;
}

bool view_audit(const struct core *core, uint64_t id, struct audit_view *ret)
{
    uint32_t audit = slots_find(&core->validation.slots, id);
    if (audit == SLOT_NONE)
        return false;
    audit_at(core, audit, ret);
    return true;
}

bool view_audit_at(const struct core *core, uint32_t *at, struct audit_view *ret)
{
    uint32_t audit;
    if (!next_live(&core->validation.slots, at, &audit))
        return false;
    audit_at(core, audit, ret);
    return true;
}

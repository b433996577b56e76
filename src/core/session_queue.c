#include "core/session_queue.h"

#include "core/session_queue_parts.h"
#include "crypto/blake3.h"

bool session_queue_init(struct session_queue *queue, struct arena *arena, struct step *step,
                        struct account_book *account, struct catalog *catalog, struct node_pool *node_pool,
                        struct payment *payment, struct reputation *reputation, struct session_book *session,
                        struct cognitive *cognitive, struct validation *validation)
{
    const struct params *params = &step->params;
    uint32_t tasks = (uint32_t)params->tasks_cap, references = (uint32_t)params->references_cap;
    uint32_t nodes = (uint32_t)params->nodes_cap, sessions = (uint32_t)params->sessions_cap;
    *queue = (struct session_queue){
        .step = step,
        .account = account,
        .catalog = catalog,
        .node_pool = node_pool,
        .payment = payment,
        .reputation = reputation,
        .session = session,
        .cognitive = cognitive,
        .validation = validation,
        .assignment_cap = (uint32_t)params->assignments_cap,
        .node_cap = nodes,
        .session_cap = sessions,
        .assignment_free = SLOT_NONE,
        .short_of_rows = {SLOT_NONE, SLOT_NONE},
    };
    cx_assert(queue->assignment_cap <= ASSIGNMENT_CAP_MAX);
    queue->task = arena_take(arena, tasks, sizeof *queue->task);
    queue->request = arena_take(arena, tasks, sizeof *queue->request);
    queue->assignment = arena_take(arena, queue->assignment_cap, sizeof *queue->assignment);
    queue->said = arena_take(arena, queue->assignment_cap, sizeof *queue->said);
    queue->of_node = arena_take(arena, nodes, sizeof *queue->of_node);
    queue->reference = arena_take(arena, references, sizeof *queue->reference);
    queue->lanes = arena_take(arena, sessions, sizeof *queue->lanes);
    bool ok = slots_init(&queue->tasks, arena, tasks);
    ok &= heap_init(&queue->due, arena, tasks);
    ok &= slots_init(&queue->references, arena, references);
    ok &= heap_init(&queue->forget, arena, references);
    ok &= id_map_init(&queue->by_reference, arena, references, queue->reference, sizeof *queue->reference,
                      sizeof queue->reference->hash);
    if (!ok || !queue->task || !queue->request || !queue->assignment || !queue->said || !queue->of_node ||
        !queue->reference || !queue->lanes)
        return false;
    for (uint32_t i = 0; i < ROUTERS_MAX; i++)
        queue->payee[i] = SLOT_NONE;
    for (uint32_t i = 0; i < nodes; i++)
        queue->of_node[i] = SLOT_NONE;
    for (uint32_t i = 0; i < sessions; i++)
        queue_clear_lanes(&queue->lanes[i]);
    return true;
}

/* ---- asking ---- */

enum verdict queue_find_task(const struct session_queue *queue, uint64_t id, uint32_t *ret_task)
{
    uint32_t task = slots_find(&queue->tasks, id), slot = (uint32_t)id;
    uint64_t generation = id >> 32;
    if (task != SLOT_NONE) {
        *ret_task = task;
        return VERDICT_ACCEPTED;
    }
    /* An id of an earlier generation was given once. */
    bool given = slot < queue->tasks.used && generation > 0 && generation < queue->tasks.row[slot].generation;
    return given ? VERDICT_TASK_ENDED : VERDICT_TASK_UNKNOWN;
}

uint32_t session_queue_position(const struct session_queue *queue, uint32_t task)
{
    const struct task *t = &queue->task[task];
    uint32_t position = 1;
    if (t->state != TASK_QUEUED || task_has(t, TASK_PARKED))
        return 0;
    for (uint32_t at = t->prev; at != SLOT_NONE && position < POSITION_MAX; at = queue->task[at].prev)
        position++;
    return position;
}

static void reference_hash(const struct address *payer, const struct hash *reference, struct hash *ret_hash)
{
    uint8_t bytes[sizeof payer->b + sizeof reference->b];
    memcpy(bytes, payer->b, sizeof payer->b);
    memcpy(bytes + sizeof payer->b, reference->b, sizeof reference->b);
    blake3(bytes, sizeof bytes, ret_hash);
}

uint32_t session_queue_reference(const struct session_queue *queue, const struct address *payer,
                                 const struct hash *reference)
{
    struct hash hash;
    reference_hash(payer, reference, &hash);
    return id_map_find(&queue->by_reference, &hash);
}

/* ---- submit ---- */

/* What the checks of a submit have found out. */
struct submission {
    const struct session_policy *policy;
    const struct model *model;
    struct payer_terms payer;
    struct amount amount;
    struct hash reference;  // of payer and client reference
    uint32_t session, tokens_max, total_ms, precommit_ms;
    uint8_t priority;
};

static bool values_are_valid(const struct cmd_task_submit *cmd)
{
    bool plain = cmd->prompt.size > 0;
    return (cmd->priority < PRIORITIES || cmd->priority == PRIORITY_DEFAULT) && cmd->stream <= 1 && cmd->greedy <= 1 &&
           cmd->seed_of_client <= 1 && !hash_is_zero(&cmd->request_digest) &&
           (plain ? cmd->prompt.size == cmd->prompt_size : !hash_is_zero(&cmd->prompt_digest));
}

/* What the command leaves to the session, and never more than the session allows. */
static void fill_in(const struct cmd_task_submit *cmd, struct submission *s)
{
    const struct session_policy *p = s->policy;
    uint32_t room = s->model->context > s->model->template_tokens ? s->model->context - s->model->template_tokens : 0;
    s->tokens_max = cmd->tokens_max > 0 ? cmd->tokens_max : u32_min(p->tokens_max, room);
    s->priority = cmd->priority == PRIORITY_DEFAULT ? p->priority : cmd->priority;
    s->total_ms = cmd->timeout_ms > 0 ? u32_min(cmd->timeout_ms, p->total_ms) : p->total_ms;
    s->precommit_ms = cmd->precommit_ms > 0 ? u32_min(cmd->precommit_ms, p->precommit_ms) : p->precommit_ms;
}

/* Refused: ACCOUNT_UNKNOWN, KEY_UNKNOWN. */
static enum verdict find_payer(const struct session_queue *queue, const struct command *cmd, struct submission *s)
{
    const struct cmd_task_submit *submit = &cmd->task_submit;
    uint32_t payer = account_find(queue->account, &submit->payer);
    uint32_t key = SLOT_NONE;
    if (payer == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    if (!hash_is_zero(&submit->key_hash)) {
        key = key_find(queue->account, &submit->key_hash);
        if (key == SLOT_NONE || key_account(queue->account, key) != payer)
            return VERDICT_KEY_UNKNOWN;
    }
    s->payer = (struct payer_terms){
        .session = s->policy->pays == PAYS_OWNER ? s->session : SLOT_NONE,
        .payer = payer,
        .key = key,
        .delegated = account_is_delegated(queue->account, cmd, payer),
        .model_id = s->policy->model_id,
        .session_id = session_id(queue->session, s->session),
    };
    return VERDICT_ACCEPTED;
}

/* Refused: PROMPT_RANGE, CONTEXT_EXCEEDED. */
static enum verdict check_sizes(const struct cmd_task_submit *cmd, const struct submission *s)
{
    if (cmd->prompt_size == 0 || cmd->prompt_size > PROMPT_SIZE_MAX)
        return VERDICT_PROMPT_RANGE;
    /* How many tokens the prompt has, no replica can know: at least one. */
    uint64_t tokens = (uint64_t)s->tokens_max + s->model->template_tokens + 1;
    return s->tokens_max == 0 || tokens > s->model->context ? VERDICT_CONTEXT_EXCEEDED : VERDICT_ACCEPTED;
}

/* Refused: AMOUNT_OVERFLOW, and what payment_check_reserve refuses. */
static enum verdict check_money(const struct session_queue *queue, const struct cmd_task_submit *cmd,
                                struct submission *s)
{
    struct task_terms terms = {
        .prompt_size = cmd->prompt_size,
        .template_tokens = s->model->template_tokens,
        .tokens_max = s->tokens_max,
        .redundancy = s->policy->redundancy,
        .price_in = s->policy->price_in_max,
        .price_out = s->policy->price_out_max,
    };
    if (!payment_quote(queue->payment, &terms, &s->amount))
        return VERDICT_AMOUNT_OVERFLOW;
    return payment_check_reserve(queue->payment, &s->payer, s->amount);
}

static enum verdict check_room(const struct session_queue *queue, const struct cmd_task_submit *cmd)
{
    if (queue->tasks.live == queue->tasks.cap)
        return VERDICT_TASKS_FULL;
    if (!hash_is_zero(&cmd->reference) && queue->references.live == queue->references.cap)
        return VERDICT_REFERENCES_FULL;
    return VERDICT_ACCEPTED;
}

static bool is_known(const struct session_queue *queue, const struct cmd_task_submit *cmd, struct hash *ret_hash,
                     uint64_t *ret_task)
{
    if (hash_is_zero(&cmd->reference))
        return false;
    reference_hash(&cmd->payer, &cmd->reference, ret_hash);
    uint32_t known = id_map_find(&queue->by_reference, ret_hash);
    if (known != SLOT_NONE)
        *ret_task = queue->reference[known].task;
    return known != SLOT_NONE;
}

/* All checks of a submit, in the order of docs/protocol.md, "Tasks". */
static enum verdict judge_submit(const struct session_queue *queue, const struct command *cmd, struct submission *ret_s,
                                 uint64_t *ret_task)
{
    const struct cmd_task_submit *submit = &cmd->task_submit;
    struct submission s = {0};
    if (!values_are_valid(submit))
        return VERDICT_VALUE_INVALID;
    if (is_known(queue, submit, &s.reference, ret_task))
        return VERDICT_TASK_KNOWN;
    s.session = session_find(queue->session, submit->session);
    if (s.session == SLOT_NONE)
        return VERDICT_SESSION_UNKNOWN;
    s.policy = session_policy(queue->session, s.session);
    s.model = catalog_model(queue->catalog, s.policy->model);
    fill_in(submit, &s);
    if (s.policy->validation == VALIDATION_MAJORITY && !submit->greedy && !submit->seed_of_client)
        return VERDICT_GREEDY_NEEDED;

    enum verdict verdict = find_payer(queue, cmd, &s);
    if (!verdict)
        verdict = session_check_submit(queue->session, s.session, s.payer.payer);
    if (!verdict)
        verdict = check_sizes(submit, &s);
    if (!verdict)
        verdict = check_money(queue, submit, &s);
    if (!verdict)
        verdict = check_room(queue, submit);
    if (!verdict)
        *ret_s = s;
    return verdict;
}

enum verdict session_queue_check_submit(const struct session_queue *queue, const struct command *cmd,
                                        uint64_t *ret_task)
{
    struct submission ignored;
    return judge_submit(queue, cmd, &ignored, ret_task);
}

static uint32_t remember(struct session_queue *queue, const struct submission *s, uint64_t id)
{
    if (hash_is_zero(&s->reference))
        return SLOT_NONE;
    uint32_t slot = slots_take(&queue->references);
    cx_assert(slot != SLOT_NONE);  // check_room has looked
    queue->reference[slot] = (struct reference){.hash = s->reference, .task = id, .state = TASK_QUEUED};
    id_map_add(&queue->by_reference, slot);
    return slot;
}

static void fill_task(struct session_queue *queue, uint32_t task, const struct cmd_task_submit *cmd,
                      const struct submission *s)
{
    cx_assert(queue->step->router < ROUTERS_MAX);
    queue->request[task] = (struct task_request){.digest = cmd->request_digest, .seed = cmd->seed};
    queue->task[task] = (struct task){
        .queued_ms = queue->step->now_ms,
        .total_ms = s->total_ms,
        .session = s->session,
        .payer = s->payer.payer,
        .key = s->payer.key,
        .reference = remember(queue, s, slots_id(&queue->tasks, task)),
        .prompt_size = cmd->prompt_size,
        .tokens_max = s->tokens_max,
        .precommit_ms = s->precommit_ms,
        .assignment = SLOT_NONE,
        .prev = SLOT_NONE,
        .next = SLOT_NONE,
        .router = (uint8_t)queue->step->router,
        .state = TASK_QUEUED,
        .priority = s->priority,
        .flags = (uint8_t)((cmd->stream ? TASK_STREAM : 0) | (cmd->greedy ? TASK_GREEDY : 0) |
                           (cmd->seed_of_client ? TASK_SEED_OF_CLIENT : 0)),
    };
}

static void tell_created(struct session_queue *queue, uint32_t task, const struct cmd_task_submit *cmd,
                         const struct submission *s)
{
    uint64_t id = slots_id(&queue->tasks, task);
    struct evt_session_selected *selected = &event_add(queue->step->out, EVENT_SESSION_SELECTED)->session_selected;
    selected->task = id;
    selected->session = s->payer.session_id;
    struct evt_task_created *e = &event_add(queue->step->out, EVENT_TASK_CREATED)->task_created;
    e->task = id;
    e->session = s->payer.session_id;
    e->payer = cmd->payer;
    e->router = *router_address(queue->account, queue->step->router);
    e->reference = cmd->reference;
    e->request_digest = cmd->request_digest;
    e->prompt_digest = cmd->prompt_digest;
    e->reserved = s->amount;
    e->tokens_max = s->tokens_max;
    e->deadline_ms = queue_total_deadline_ms(queue, task);
}

enum verdict session_queue_submit(struct session_queue *queue, const struct command *cmd, uint64_t *ret_task)
{
    struct submission s;
    enum verdict verdict = judge_submit(queue, cmd, &s, ret_task);
    if (verdict)
        return verdict;

    uint32_t task = slots_take(&queue->tasks);
    cx_assert(task != SLOT_NONE);
    fill_task(queue, task, &cmd->task_submit, &s);
    payment_reserve(queue->payment, task, &s.payer, s.amount);
    queue_join(queue, task);
    queue_set_due(queue, task);
    session_task_began(queue->session, s.session);
    tell_created(queue, task, &cmd->task_submit, &s);
    *ret_task = slots_id(&queue->tasks, task);
    queue_settle(queue, s.session);
    return VERDICT_ACCEPTED;
}

/* ---- cancel ---- */

/* Again says nothing new. */
enum verdict session_queue_cancel(struct session_queue *queue, const struct cmd_task_cancel *cmd)
{
    uint32_t task;
    enum verdict verdict = queue_find_task(queue, cmd->task, &task);
    if (verdict)
        return verdict;
    const struct task *t = &queue->task[task];
    uint32_t session = t->session;
    if (!address_eq(account_address(queue->account, t->payer), &cmd->payer))
        return VERDICT_NOT_AUTHORIZED;
    if (task_has(t, TASK_CANCELLING))
        return VERDICT_ACCEPTED;
    queue_begin_cancel(queue, task, cmd->relayed_tokens);
    queue_settle(queue, session);
    return VERDICT_ACCEPTED;
}

/* session_open.c - what owners command: open, top up, close, pin nodes, and name pools of sessions. */
#include "base/assert.h"
#include "base/mem.h"
#include "core/session_parts.h"

#define BASIS_POINTS 10000

/* ---- terms ---- */

static bool is_list(struct span list, uint32_t max)
{
    return list.size % sizeof(struct address) == 0 && list.size / sizeof(struct address) <= max;
}

static bool enums_are_valid(const struct cmd_session_open *c)
{
    return c->mode < SESSION_MODE_COUNT && c->reserve < SESSION_RESERVE_COUNT && c->sla < SLA_COUNT &&
           c->class < NODE_CLASS_COUNT && c->validation < VALIDATION_POLICY_COUNT &&
           c->on_no_verdict < ON_NO_VERDICT_COUNT && c->stream < STREAM_WHEN_COUNT &&
           c->access < SESSION_ACCESS_COUNT && c->privacy < SESSION_PRIVACY_COUNT && c->result < SESSION_RESULT_COUNT &&
           c->pays < SESSION_PAYS_COUNT && c->evidence < SESSION_EVIDENCE_COUNT && c->shared <= 1 && c->diversity <= 1;
}

static bool numbers_are_valid(const struct cmd_session_open *c)
{
    if (c->audit_bp > BASIS_POINTS || c->priority >= PRIORITIES || c->tokens_max == 0)
        return false;
    if (c->attempts_max < 1 || c->attempts_max > ATTEMPTS_MAX)
        return false;
    return c->ack_ms > 0 && c->precommit_ms > 0 && c->commit_ms > 0 && c->total_ms > 0 && c->open_ms > 0 &&
           c->drain_ms > 0;
}

/* Fields that contradict each other. */
static bool terms_agree(const struct cmd_session_open *c)
{
    if (c->pays == PAYS_PAYER && !amount_is_zero(c->escrow))
        return false;
    if (c->shared && (c->pays != PAYS_PAYER || c->access != ACCESS_PUBLIC))
        return false;
    return c->privacy != PRIVACY_RESTRICTED || c->allowed.size > 0;
}

static enum verdict check_counts(const struct cmd_session_open *c)
{
    if (c->quorum < 1 || c->quorum > c->redundancy)
        return VERDICT_QUORUM_RANGE;
    if (c->redundancy > REDUNDANCY_MAX || c->redundancy > c->nodes_min)
        return VERDICT_REDUNDANCY_RANGE;
    if (c->validation == VALIDATION_MAJORITY && c->quorum < c->redundancy / 2 + 1)
        return VERDICT_QUORUM_MAJORITY;
    if (c->nodes_min > c->nodes_max || c->nodes_max > SESSION_NODES_MAX)
        return VERDICT_NODES_RANGE;
    return VERDICT_ACCEPTED;
}

static bool is_built(const struct cmd_session_open *c)
{
    bool validates = c->validation == VALIDATION_HASH || c->validation == VALIDATION_MAJORITY;
    return validates && c->privacy != PRIVACY_ENCRYPTED && c->result != RESULT_VERDICT;
}

static struct address address_at(struct span list, uint32_t i)
{
    struct address address;
    memcpy(address.b, list.data + i * sizeof address, sizeof address);
    return address;
}

static enum verdict read_routers(const struct session_book *book, const struct cmd_session_open *c,
                                 struct session_policy *ret_policy)
{
    uint32_t count = c->routers.size / (uint32_t)sizeof(struct address);
    for (uint32_t i = 0; i < count; i++) {
        struct address address = address_at(c->routers, i);
        uint32_t router = router_find(book->account, &address);
        if (router == SLOT_NONE)
            return VERDICT_ROUTER_UNKNOWN;
        ret_policy->router[i] = router;
    }
    ret_policy->router_count = count;
    if (!c->shared)
        return VERDICT_ACCEPTED;
    /* A shared session is a router's own, and runs on it alone. */
    ret_policy->router[0] = router_find(book->account, &c->owner);
    ret_policy->router_count = 1;
    return ret_policy->router[0] == SLOT_NONE ? VERDICT_ROUTER_UNKNOWN : VERDICT_ACCEPTED;
}

static void read_policy(const struct session_book *book, const struct cmd_session_open *c, struct session_policy *p)
{
    p->model_id = c->model;
    p->model = catalog_find(book->catalog, c->model);
    p->owner = account_find(book->account, &c->owner);
    p->shared = c->shared;
    p->diversity = c->diversity;
    p->redundancy = c->redundancy;
    p->quorum = c->quorum;
    p->attempts_max = c->attempts_max;
    p->priority = c->priority;
    p->nodes_min = c->nodes_min;
    p->nodes_max = c->nodes_max;
    p->audit_bp = c->audit_bp;
    p->mode = c->mode;
    p->reserve = c->reserve;
    p->sla = c->sla;
    p->class = c->class;
    p->validation = c->validation;
    p->on_no_verdict = c->on_no_verdict;
    p->stream = c->stream;
    p->access = c->access;
    p->privacy = c->privacy;
    p->result = c->result;
    p->pays = c->pays;
    p->evidence = c->evidence;
    p->reserve_ms = c->reserve_ms;
    p->price_in_max = c->price_in_max;
    p->price_out_max = c->price_out_max;
    p->tasks_per_node_max = c->tasks_per_node_max;
    p->tasks_per_minute_max = c->tasks_per_minute_max;
    p->tasks_in_flight_max = c->tasks_in_flight_max;
    p->tokens_max = c->tokens_max;
    p->ack_ms = c->ack_ms;
    p->precommit_ms = c->precommit_ms;
    p->commit_ms = c->commit_ms;
    p->total_ms = c->total_ms;
    p->open_ms = c->open_ms;
    p->drain_ms = c->drain_ms;
    p->member_count = c->members.size / (uint32_t)sizeof(struct address);
    p->allowed_count = c->allowed.size / (uint32_t)sizeof(struct address);
    for (uint32_t i = 0; i < p->member_count; i++)
        p->member[i] = address_at(c->members, i);
    for (uint32_t i = 0; i < p->allowed_count; i++)
        p->allowed[i] = address_at(c->allowed, i);
}

static enum verdict check_terms(const struct session_book *book, const struct cmd_session_open *c)
{
    bool lists = is_list(c->routers, SESSION_ROUTERS_MAX) && is_list(c->members, SESSION_LIST_MAX) &&
                 is_list(c->allowed, SESSION_LIST_MAX);
    if (!lists || !enums_are_valid(c) || !numbers_are_valid(c) || !terms_agree(c))
        return VERDICT_VALUE_INVALID;
    if (catalog_find(book->catalog, c->model) == SLOT_NONE)
        return VERDICT_MODEL_UNKNOWN;
    enum verdict verdict = check_counts(c);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (!is_built(c))
        return VERDICT_POLICY_NOT_BUILT;
    if (c->price_in_max > PRICE_MAX || c->price_out_max > PRICE_MAX)
        return VERDICT_PRICE_RANGE;
    return VERDICT_ACCEPTED;
}

/* ---- opening ---- */

static void reference_hash(const struct cmd_session_open *c, struct hash *ret_hash)
{
    *ret_hash = (struct hash){{0}};
    if (hash_is_zero(&c->reference))
        return;
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, c->owner.b, sizeof c->owner.b);
    keccak_add(&k, c->reference.b, sizeof c->reference.b);
    keccak_end(&k, ret_hash);
}

static enum verdict check_owner(const struct session_book *book, const struct cmd_session_open *c,
                                struct session_policy *ret_policy)
{
    uint32_t owner = account_find(book->account, &c->owner);
    if (owner == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    if (account_is_restricted(book->account, owner))
        return VERDICT_ACCOUNT_RESTRICTED;
    return read_routers(book, c, ret_policy);
}

static void copy_text(struct session *s, const struct cmd_session_open *c)
{
    s->name_size = (uint8_t)u32_min(c->name.size, sizeof s->name);
    s->metadata_size = (uint16_t)u32_min(c->metadata.size, sizeof s->metadata);
    if (s->name_size > 0)
        memcpy(s->name, c->name.data, s->name_size);
    if (s->metadata_size > 0)
        memcpy(s->metadata, c->metadata.data, s->metadata_size);
}

static void tell_opened(struct session_book *book, uint32_t session)
{
    struct evt_session_moved *moved = &event_add(book->step->out, EVENT_SESSION_MOVED)->session_moved;
    moved->session = slots_id(&book->slots, session);
    moved->from = moved->to = SESSION_OPENING;
}

static void tell_escrow(struct session_book *book, uint32_t session)
{
    struct evt_session_escrow *escrow = &event_add(book->step->out, EVENT_SESSION_ESCROW)->session_escrow;
    escrow->session = slots_id(&book->slots, session);
    escrow->escrow = payment_escrow(book->payment, session);
}

enum verdict session_open(struct session_book *book, const struct cmd_session_open *cmd, uint64_t *ret_session)
{
    struct session_policy policy = {0};
    struct hash reference;
    enum verdict verdict = check_terms(book, cmd);
    if (verdict == VERDICT_ACCEPTED)
        verdict = check_owner(book, cmd, &policy);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    reference_hash(cmd, &reference);
    uint32_t known = hash_is_zero(&reference) ? SLOT_NONE : id_map_find(&book->by_reference, &reference);
    if (known != SLOT_NONE) {
        *ret_session = slots_id(&book->slots, known);
        return VERDICT_SESSION_KNOWN;
    }
    if (!slots_has_room(&book->slots))
        return VERDICT_SESSIONS_FULL;
    read_policy(book, cmd, &policy);
    if (amount_less(account_balance(book->account, policy.owner), cmd->escrow))
        return VERDICT_BALANCE_SHORT;

    uint32_t session = slots_take(&book->slots);
    struct session *s = &book->session[session];
    *s = (struct session){
        .policy = policy,
        .reference = reference,
        .state = SESSION_OPENING,
        .since_ms = book->step->now_ms,
        .opened_seq = book->step->seq,
        .opens_by_ms = TIME_NEVER,
        .node_head = SLOT_NONE,
        .free_head = SLOT_NONE,
        .out_head = SLOT_NONE,
        .waiting_ms = TIME_NEVER,
        .grows_ms = TIME_NEVER,
    };
    copy_text(s, cmd);
    if (!hash_is_zero(&reference))
        id_map_add(&book->by_reference, session);
    catalog_use(book->catalog, policy.model);
    if (policy.reserve == RESERVE_AT_OPEN)
        s->opens_by_ms = u64_add_sat(book->step->now_ms, policy.open_ms);
    tell_opened(book, session);
    if (!amount_is_zero(cmd->escrow)) {
        verdict = payment_escrow_add(book->payment, session, policy.owner, cmd->escrow);
        cx_assert(verdict == VERDICT_ACCEPTED);
        tell_escrow(book, session);
    }
    session_settle(book, session);
    *ret_session = slots_id(&book->slots, session);
    return VERDICT_ACCEPTED;
}

/* ---- for sessions that are there ---- */

static enum verdict find_own(const struct session_book *book, uint64_t id, const struct address *owner,
                             uint32_t *ret_session)
{
    uint32_t session = session_find(book, id);
    if (session == SLOT_NONE)
        return VERDICT_SESSION_UNKNOWN;
    if (!address_eq(account_address(book->account, book->session[session].policy.owner), owner))
        return VERDICT_NOT_AUTHORIZED;
    *ret_session = session;
    return VERDICT_ACCEPTED;
}

static bool is_open(const struct session *s)
{
    return s->closing == SESSION_REASON_NONE && (s->state == SESSION_OPENING || s->state == SESSION_ACTIVE);
}

enum verdict session_top_up(struct session_book *book, const struct cmd_session_top_up *cmd)
{
    uint32_t session;
    enum verdict verdict = find_own(book, cmd->session, &cmd->owner, &session);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    const struct session *s = &book->session[session];
    if (!is_open(s))
        return VERDICT_SESSION_NOT_OPEN;
    if (amount_is_zero(cmd->amount) || s->policy.pays != PAYS_OWNER)
        return VERDICT_VALUE_INVALID;
    verdict = payment_escrow_add(book->payment, session, s->policy.owner, cmd->amount);
    if (verdict == VERDICT_ACCEPTED)
        tell_escrow(book, session);
    return verdict;
}

enum verdict session_close(struct session_book *book, const struct cmd_session_close *cmd)
{
    uint32_t session;
    enum verdict verdict = find_own(book, cmd->session, &cmd->owner, &session);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    struct session *s = &book->session[session];
    if (s->state == SESSION_DRAINING || (s->closing != SESSION_REASON_NONE && !s->policy.shared))
        return VERDICT_SESSION_NOT_OPEN;

    s->closing = SESSION_REASON_OWNER;
    session_mark(book, session);
    session_move(book, session, SESSION_DRAINING, SESSION_REASON_OWNER);
    return VERDICT_ACCEPTED;
}

/* ---- dedicated nodes ---- */

static enum verdict check_node(const struct session_book *book, uint32_t session, uint32_t node)
{
    struct node_filter filter;
    session_filter(book, session, &filter);
    const struct node *n = node_pool_node(book->node_pool, node);
    if (book->member[node].session != SLOT_NONE)
        return VERDICT_NODE_TAKEN;
    if (n->state != NODE_EPHEMERAL || !node_pool_is_present(book->node_pool, node))
        return VERDICT_NODE_STATE;
    return node_pool_fits(book->node_pool, node, &filter) ? VERDICT_ACCEPTED : VERDICT_NODE_STATE;
}

enum verdict session_node_add(struct session_book *book, const struct command *cmd)
{
    const struct cmd_session_node_add *add = &cmd->session_node_add;
    uint32_t session, node = node_pool_find(book->node_pool, &add->node);
    enum verdict verdict = find_own(book, add->session, &add->owner, &session);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    const struct session *s = &book->session[session];
    if (!is_open(s))
        return VERDICT_SESSION_NOT_OPEN;
    if (s->policy.mode == MODE_EPHEMERAL)
        return VERDICT_VALUE_INVALID;
    if (node == SLOT_NONE)
        return VERDICT_NODE_UNKNOWN;
    if (!account_signed_by(cmd, node_pool_operator(book->node_pool, node)))
        return VERDICT_CONSENT_MISSING;
    verdict = check_node(book, session, node);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (s->nodes >= s->policy.nodes_max)
        return VERDICT_NODES_RANGE;

    session_member_add(book, session, node, true);
    session_mark(book, session);
    session_settle(book, session);
    return VERDICT_ACCEPTED;
}

enum verdict session_node_remove(struct session_book *book, const struct cmd_session_node_remove *cmd)
{
    uint32_t session, node = node_pool_find(book->node_pool, &cmd->node);
    enum verdict verdict = find_own(book, cmd->session, &cmd->owner, &session);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (node == SLOT_NONE)
        return VERDICT_NODE_UNKNOWN;
    const struct member *m = &book->member[node];
    if (m->session != session || !m->dedicated)
        return VERDICT_NODE_NOT_MEMBER;
    if (m->leaving)
        return VERDICT_NODE_STATE;

    session_member_retire(book, node, RELEASE_OWNER);
    session_settle(book, session);
    return VERDICT_ACCEPTED;
}

/* ---- pools of sessions ---- */

static uint32_t pool_find(const struct session_book *book, uint32_t owner, struct span name)
{
    for (uint32_t i = 0; i < book->pool_count; i++) {
        const struct session_pool *pool = &book->pool[i];
        if (pool->owner == owner && pool->name_size == name.size && memcmp(pool->name, name.data, name.size) == 0)
            return i;
    }
    return SLOT_NONE;
}

static uint64_t id_at(struct span ids, uint32_t i) { return be64(ids.data + i * sizeof(uint64_t)); }

static enum verdict check_pool(const struct session_book *book, const struct cmd_session_pool_put *cmd)
{
    uint32_t count = cmd->sessions.size / (uint32_t)sizeof(uint64_t);
    if (cmd->route >= POOL_ROUTE_COUNT || cmd->name.size == 0 || cmd->sessions.size % sizeof(uint64_t))
        return VERDICT_VALUE_INVALID;
    if (count > POOL_SESSIONS_MAX || (count > 0 && (cmd->replicas < 1 || cmd->replicas > count)))
        return VERDICT_VALUE_INVALID;
    if (account_find(book->account, &cmd->owner) == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    for (uint32_t i = 0; i < count; i++)
        if (session_find(book, id_at(cmd->sessions, i)) == SLOT_NONE)
            return VERDICT_SESSION_UNKNOWN;
    return VERDICT_ACCEPTED;
}

static void tell_pool(struct session_book *book, const struct cmd_session_pool_put *cmd)
{
    struct evt_session_pool_changed *changed =
        &event_add(book->step->out, EVENT_SESSION_POOL_CHANGED)->session_pool_changed;
    changed->owner = cmd->owner;
    changed->name = cmd->name;
}

enum verdict session_pool_put(struct session_book *book, const struct cmd_session_pool_put *cmd)
{
    enum verdict verdict = check_pool(book, cmd);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    uint32_t owner = account_find(book->account, &cmd->owner);
    uint32_t at = pool_find(book, owner, cmd->name);
    if (cmd->sessions.size == 0) {
        if (at == SLOT_NONE)
            return VERDICT_VALUE_INVALID;
        book->pool[at] = book->pool[--book->pool_count];
        tell_pool(book, cmd);
        return VERDICT_ACCEPTED;
    }
    if (at == SLOT_NONE && book->pool_count == book->pool_cap)
        return VERDICT_POOLS_FULL;
    if (at == SLOT_NONE)
        at = book->pool_count++;

    struct session_pool *pool = &book->pool[at];
    *pool = (struct session_pool){
        .owner = owner,
        .route = cmd->route,
        .replicas = cmd->replicas,
        .name_size = (uint8_t)cmd->name.size,
        .session_count = (uint8_t)(cmd->sessions.size / sizeof(uint64_t)),
    };
    memcpy(pool->name, cmd->name.data, cmd->name.size);
    for (uint32_t i = 0; i < pool->session_count; i++)
        pool->session[i] = id_at(cmd->sessions, i);
    tell_pool(book, cmd);
    return VERDICT_ACCEPTED;
}

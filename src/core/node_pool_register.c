/* node_pool_register.c - who may join, what a node offers, and whom the network shuts out. */
#include "core/node_pool_parts.h"

#include "base/assert.h"
#include "base/mem.h"

enum join_rule { JOIN_OPEN, JOIN_INVITE, JOIN_APPROVAL };  // values of param join_rule

/* ---- operators ---- */

static uint32_t operator_find(const struct node_pool *pool, const struct address *address)
{
    return id_map_find(&pool->by_operator, address);
}

/* Finds or makes the row; there is room. */
static uint32_t operator_ensure(struct node_pool *pool, const struct address *address)
{
    uint32_t found = operator_find(pool, address);
    if (found != SLOT_NONE)
        return found;
    cx_assert(pool->operator_count < pool->operator_cap);
    uint32_t slot = pool->operator_count++;
    pool->operator_[slot] = (struct operator_){
        .address = *address,
        .account = SLOT_NONE,
        .free_head = SLOT_NONE,
        .banned_head = SLOT_NONE,
        .work_next = SLOT_NONE,
    };
    id_map_add(&pool->by_operator, slot);
    return slot;
}

static uint32_t *operator_head(struct node_pool *pool, const struct node *n)
{
    struct operator_ *o = &pool->operator_[n->operator];
    return n->state == NODE_BANNED ? &o->banned_head : &o->free_head;
}

void node_pool_operator_add(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    uint32_t *head = operator_head(pool, n);
    n->operator_prev = SLOT_NONE;
    n->operator_next = *head;
    if (*head != SLOT_NONE)
        pool->node[*head].operator_prev = node;
    *head = node;
}

void node_pool_operator_remove(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    *(n->operator_prev == SLOT_NONE ? operator_head(pool, n) : &pool->node[n->operator_prev].operator_next) =
        n->operator_next;
    if (n->operator_next != SLOT_NONE)
        pool->node[n->operator_next].operator_prev = n->operator_prev;
}

static void tell_operator(struct node_pool *pool, const struct operator_ *o)
{
    struct evt_operator_changed *changed = &event_add(pool->step->out, EVENT_OPERATOR_CHANGED)->operator_changed;
    changed->operator= o->address;
    changed->approved = o->approved;
    changed->banned_seq = o->banned_seq;
}

/* ---- registration ---- */

static bool register_is_valid(const struct cmd_node_register *cmd)
{
    if (address_is_zero(&cmd->node) || address_is_zero(&cmd->operator))
        return false;
    if (cmd->slots < 1 || cmd->slots > NODE_SLOTS_MAX)
        return false;
    return term_name(TERM_engine, cmd->engine) != NULL;
}

static uint32_t invite_find(const struct node_pool *pool, const struct hash *preimage)
{
    struct hash hash;
    keccak256(preimage->b, sizeof preimage->b, &hash);
    return id_map_find(&pool->by_invite, &hash);
}

static enum verdict check_may_join(const struct node_pool *pool, const struct cmd_node_register *cmd)
{
    const struct params *params = &pool->step->params;
    uint32_t node = node_pool_find(pool, &cmd->node);
    uint32_t operator= operator_find(pool, &cmd->operator);
    if (node != SLOT_NONE && pool->node[node].state == NODE_BANNED)
        return VERDICT_NODE_BANNED;
    if (node != SLOT_NONE)
        return VERDICT_NODE_KNOWN;
    if (operator!= SLOT_NONE && pool->operator_[operator].banned_seq)
        return VERDICT_OPERATOR_BANNED;
    if (params->join_rule == JOIN_APPROVAL && (operator== SLOT_NONE || !pool->operator_[operator].approved))
        return VERDICT_APPROVAL_MISSING;
    if (params->join_rule == JOIN_INVITE) {
        uint32_t invite = invite_find(pool, &cmd->invite);
        if (invite == SLOT_NONE || pool->invite[invite].expires_ms <= pool->step->now_ms)
            return VERDICT_INVITE_INVALID;
    }
    return VERDICT_ACCEPTED;
}

/* Room in the tables, and money. */
static enum verdict check_can_join(const struct node_pool *pool, const struct cmd_node_register *cmd)
{
    const struct params *params = &pool->step->params;
    if (cmd->stake.credits < params->stake_min)
        return VERDICT_STAKE_SHORT;
    if (!slots_has_room(&pool->slots))
        return VERDICT_NODES_FULL;
    if (operator_find(pool, &cmd->operator) == SLOT_NONE && pool->operator_count == pool->operator_cap)
        return VERDICT_OPERATORS_FULL;
    uint32_t account = account_find(pool->account, &cmd->operator);
    bool makes_one = account == SLOT_NONE;
    bool makes_own = account_find(pool->account, &cmd->node) == SLOT_NONE && !address_eq(&cmd->node, &cmd->operator);
    if (!account_has_room(pool->account, (uint32_t)makes_one + makes_own))
        return VERDICT_ACCOUNTS_FULL;
    struct amount due;
    if (!amount_add(cmd->stake, amount_of(params->join_fee), &due))
        return VERDICT_AMOUNT_OVERFLOW;
    if (account == SLOT_NONE)
        return amount_is_zero(due) ? VERDICT_ACCEPTED : VERDICT_BALANCE_SHORT;
    if (account_is_restricted(pool->account, account))
        return VERDICT_ACCOUNT_RESTRICTED;
    return amount_less(account_balance(pool->account, account), due) ? VERDICT_BALANCE_SHORT : VERDICT_ACCEPTED;
}

static void make_node(struct node_pool *pool, uint32_t slot, const struct cmd_node_register *cmd)
{
    struct node *n = &pool->node[slot];
    memset(n, 0, sizeof *n);
    n->address = cmd->node;
    n->encryption_key = cmd->encryption_key;
    n->operator= operator_ensure(pool, &cmd->operator);
    n->state = NODE_UNTESTED;
    n->back_to = NODE_UNTESTED;
    n->since_ms = pool->step->now_ms;
    node_pool_begin_absence(pool, n);
    n->backoff_ms = pool->step->params.backoff_ms_min;
    n->registered_seq = pool->step->seq;
    for (uint32_t i = 0; i < NODE_MODELS_MAX; i++)
        n->model[i].model = SLOT_NONE;
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++)
        n->link[i].router = SLOT_NONE;
    n->slots = cmd->slots;
    n->engine = cmd->engine;
    n->build_size = (uint8_t)u32_min(cmd->build.size, sizeof n->build);
    if (n->build_size > 0)
        memcpy(n->build, cmd->build.data, n->build_size);
    id_map_add(&pool->by_address, slot);
    pool->operator_[n->operator].nodes++;
    node_pool_operator_add(pool, slot);
    reputation_reset(pool->reputation, slot);
}

enum verdict node_pool_register(struct node_pool *pool, const struct command *cmd)
{
    const struct cmd_node_register *reg = &cmd->node_register;
    if (!account_signed_by(cmd, &reg->operator))
        return VERDICT_NOT_AUTHORIZED;
    if (!register_is_valid(reg))
        return VERDICT_VALUE_INVALID;
    enum verdict verdict = check_may_join(pool, reg);
    if (verdict == VERDICT_ACCEPTED)
        verdict = check_can_join(pool, reg);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;

    uint32_t account, own_account;
    verdict = account_ensure(pool->account, &reg->operator, & account);
    cx_assert(verdict == VERDICT_ACCEPTED);
    verdict = account_ensure(pool->account, &reg->node, &own_account);
    cx_assert(verdict == VERDICT_ACCEPTED);
    if (pool->step->params.join_rule == JOIN_INVITE)
        node_pool_invite_end(pool, invite_find(pool, &reg->invite));
    uint32_t slot = slots_take(&pool->slots);
    cx_assert(slot != SLOT_NONE);
    make_node(pool, slot, reg);
    pool->operator_[pool->node[slot].operator].account = account;
    pool->node[slot].account = account;
    verdict = payment_stake_add(pool->payment, slot, account, reg->stake, amount_of(pool->step->params.join_fee));
    cx_assert(verdict == VERDICT_ACCEPTED);

    struct evt_node_registered *registered = &event_add(pool->step->out, EVENT_NODE_REGISTERED)->node_registered;
    registered->node = reg->node;
    registered->operator= reg->operator;
    node_pool_settle(pool, slot);
    return VERDICT_ACCEPTED;
}

/* ---- models ---- */

static enum verdict check_model(const struct node_pool *pool, const struct cmd_node_model_put *cmd, uint32_t model)
{
    if (cmd->declared > 1)
        return VERDICT_VALUE_INVALID;
    const struct model *m = catalog_model(pool->catalog, model);
    if (cmd->price_in > PRICE_MAX || cmd->price_out > PRICE_MAX)
        return VERDICT_PRICE_RANGE;
    if (cmd->price_in > m->price_in_max || cmd->price_out > m->price_out_max)
        return VERDICT_PRICE_RANGE;
    return VERDICT_ACCEPTED;
}

static void tell_model(struct node_pool *pool, const struct node *n, uint64_t model_id, const struct node_model *place)
{
    struct evt_node_model_changed *changed = &event_add(pool->step->out, EVENT_NODE_MODEL_CHANGED)->node_model_changed;
    changed->node = n->address;
    changed->model = model_id;
    changed->proved = place->proved;
    changed->class = place->class;
}

/* A context of 0 takes the model back. A node that is at work with it, or in a test, has to end that first. */
static enum verdict model_take_back(struct node_pool *pool, uint32_t node, uint32_t at, uint64_t model_id)
{
    struct node *n = &pool->node[node];
    if (at == SLOT_NONE)
        return VERDICT_MODEL_UNKNOWN;
    if (n->held || n->in_round)
        return VERDICT_NODE_STATE;

    uint32_t model = n->model[at].model;
    node_pool_change(pool, node);
    if (n->list != NODE_LIST_NONE)
        node_pool_list(pool, node, NODE_LIST_NONE);
    for (enum sla sla = 0; sla < SLA_COUNT; sla++)
        fenwick_set(&pool->weight[model * SLA_COUNT + sla], node, 0);
    n->model[at] = (struct node_model){.model = SLOT_NONE};
    catalog_unuse(pool->catalog, model);
    node_pool_settle(pool, node);
    node_pool_settle_wanted(pool, model);  // the node's settling no longer reaches it
    tell_model(pool, n, model_id, &n->model[at]);
    return VERDICT_ACCEPTED;
}

enum verdict node_pool_model_put(struct node_pool *pool, const struct cmd_node_model_put *cmd)
{
    uint32_t node = node_pool_find(pool, &cmd->node);
    if (node == SLOT_NONE)
        return VERDICT_NODE_UNKNOWN;
    struct node *n = &pool->node[node];
    if (n->state == NODE_BANNED)
        return VERDICT_NODE_BANNED;
    if (n->leaving)
        return VERDICT_NODE_STATE;
    uint32_t model = catalog_find(pool->catalog, cmd->model);
    if (model == SLOT_NONE)
        return VERDICT_MODEL_UNKNOWN;
    enum verdict verdict = check_model(pool, cmd, model);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    uint32_t at = node_pool_serves(pool, node, model);
    if (cmd->context == 0)
        return model_take_back(pool, node, at, cmd->model);
    bool fresh = at == SLOT_NONE;
    if (fresh)
        at = node_pool_serves(pool, node, SLOT_NONE);
    if (at == SLOT_NONE)
        return VERDICT_NODE_MODELS_FULL;

    node_pool_change(pool, node);
    struct node_model *place = &n->model[at];
    if (fresh) {
        *place = (struct node_model){.model = model};
        catalog_use(pool->catalog, model);
        reputation_reset_model(pool->reputation, node, at);
    }
    place->declared = cmd->declared;
    place->price_in = cmd->price_in;
    place->price_out = cmd->price_out;
    place->context = u32_min(cmd->context, catalog_model(pool->catalog, model)->context);
    if (place->context_proved)
        place->context = u32_min(place->context, place->context_proved);
    reputation_report(pool->reputation, node, at, cmd->ttft_ms, cmd->tokens_per_s_milli);
    node_pool_settle(pool, node);
    tell_model(pool, n, cmd->model, place);
    node_pool_tell_session(pool, node);  // a task may have waited for such a price or context
    return VERDICT_ACCEPTED;
}

/* ---- approval and invitations ---- */

enum verdict node_pool_approve(struct node_pool *pool, const struct cmd_node_approve *cmd)
{
    if (address_is_zero(&cmd->operator) || cmd->approved > 1)
        return VERDICT_VALUE_INVALID;
    if (operator_find(pool, &cmd->operator) == SLOT_NONE && pool->operator_count == pool->operator_cap)
        return VERDICT_OPERATORS_FULL;

    struct operator_ *o = &pool->operator_[operator_ensure(pool, &cmd->operator)];
    o->approved = cmd->approved == 1;
    tell_operator(pool, o);
    return VERDICT_ACCEPTED;
}

enum verdict node_pool_invite(struct node_pool *pool, const struct cmd_node_invite *cmd)
{
    if (hash_is_zero(&cmd->invite_hash) || cmd->expires_ms <= pool->step->now_ms)
        return VERDICT_VALUE_INVALID;
    uint32_t invite = id_map_find(&pool->by_invite, &cmd->invite_hash);
    bool fresh = invite == SLOT_NONE;
    if (fresh)
        invite = slots_take(&pool->invites);
    if (invite == SLOT_NONE)
        return VERDICT_INVITES_FULL;

    pool->invite[invite] = (struct invite){.hash = cmd->invite_hash, .expires_ms = cmd->expires_ms};
    if (fresh)
        id_map_add(&pool->by_invite, invite);
    heap_set(&pool->invite_due, invite, cmd->expires_ms);
    return VERDICT_ACCEPTED;
}

void node_pool_invite_end(struct node_pool *pool, uint32_t invite)
{
    cx_assert(slots_is_live(&pool->invites, invite));
    id_map_remove(&pool->by_invite, invite);
    heap_remove(&pool->invite_due, invite);
    slots_give(&pool->invites, invite);
}

/* ---- bans ---- */

static void enlist_work(struct node_pool *pool, uint32_t operator)
{
    struct operator_ *o = &pool->operator_[operator];
    if (o->in_work)
        return;
    o->in_work = true;
    o->work_next = SLOT_NONE;
    *(pool->work.tail == SLOT_NONE ? &pool->work.head : &pool->operator_[pool->work.tail].work_next) = operator;
    pool->work.tail = operator;
}

static void shut_out(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    if (n->held && n->list != NODE_LIST_LOST)
        node_pool_list(pool, node, NODE_LIST_LOST);
    node_pool_move(pool, node, NODE_BANNED, NODE_REASON_CONDEMNED);
}

static void let_in(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    bool had_passed = false;
    for (uint32_t at = 0; at < NODE_MODELS_MAX; at++)
        had_passed |= n->model[at].proved;
    enum node_state to = had_passed ? NODE_RELEASED : NODE_UNTESTED;
    node_pool_move(pool, node, n->leaving ? NODE_LEAVING : to, NODE_REASON_BAN_LIFTED);
}

void node_pool_operator_work(struct node_pool *pool)
{
    struct operator_ *o = &pool->operator_[pool->work.head];
    uint32_t node = o->banned_seq ? o->free_head : o->banned_head;
    if (node == SLOT_NONE) {
        o->in_work = false;
        pool->work.head = o->work_next;
        if (pool->work.head == SLOT_NONE)
            pool->work.tail = SLOT_NONE;
        return;
    }
    if (o->banned_seq)
        shut_out(pool, node);
    else
        let_in(pool, node);
}

void node_pool_ban(struct node_pool *pool, uint32_t node)
{
    uint32_t operator= node_pool_node(pool, node)->operator;
    struct operator_ *o = &pool->operator_[operator];
    if (pool->node[node].state != NODE_BANNED)
        shut_out(pool, node);
    if (o->banned_seq)
        return;
    o->banned_seq = pool->step->seq;
    o->lift_votes = 0;
    enlist_work(pool, operator);
    tell_operator(pool, o);
}

enum verdict node_pool_ban_lift(struct node_pool *pool, const struct cmd_ban_lift *cmd, const struct lift_vote *vote)
{
    cx_assert(vote->oracle < ORACLES_MAX);
    uint32_t operator= operator_find(pool, &cmd->operator);
    if (operator== SLOT_NONE)
        return VERDICT_BAN_UNKNOWN;
    struct operator_ *o = &pool->operator_[operator];
    if (o->banned_seq == 0 || o->banned_seq != cmd->banned_seq)
        return VERDICT_BAN_UNKNOWN;
    if (address_eq(vote->oracle_operator, &o->address))
        return VERDICT_OWN_OPERATOR;
    if (o->lift_votes & 1u << vote->oracle)
        return VERDICT_VERDICT_KNOWN;

    o->lift_votes |= 1u << vote->oracle;
    if ((uint32_t)__builtin_popcount(o->lift_votes) < vote->quorum)
        return VERDICT_ACCEPTED;
    o->banned_seq = 0;
    o->lift_votes = 0;
    enlist_work(pool, operator);
    tell_operator(pool, o);
    return VERDICT_ACCEPTED;
}

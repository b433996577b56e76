/* Accounts, models, nodes, oracles, routers and the network as a whole. view_tasks.c has the rest. */
#include "core/view.h"

#include "base/assert.h"
#include "base/mem.h"
#include "core/core_parts.h"

/* ---- the network ---- */

static void view_money(const struct core *core, struct network_view *ret)
{
    const struct payment *payment = &core->payment;
    ret->money.deposits = payment->total.deposits;
    ret->money.balances = core->account.total;
    ret->money.escrow = payment->total.escrow;
    ret->money.reservations = payment->total.reservations;
    ret->money.pending = payment->total.pending;
    ret->money.stake = payment->total.stake;
    ret->money.network = payment->total.network;
    ret->money.withdrawals = payment->total.withdrawals;
    ret->money.paid_out = payment->total.paid_out;
    ret->money_holds = payment_holds(payment);
}

static void view_counts(const struct core *core, struct network_view *ret)
{
    const struct session_book *session = &core->session;
    memcpy(ret->nodes, core->node_pool.in, sizeof ret->nodes);
    memcpy(ret->tasks_ended, core->session_queue.ended, sizeof ret->tasks_ended);
    for (uint32_t i = 0; i < session->slots.used; i++)
        if (slots_is_live(&session->slots, i))
            ret->sessions[session_state(session, i)]++;
    for (uint32_t i = 0; i < core->account.router_count; i++)
        ret->routers_present += router_is_present(&core->account, i);
    ret->tasks_live = core->session_queue.tasks.live;
    ret->assignments_live = core->session_queue.assignment_live;
    ret->rounds_live = core->cognitive.slots.live;
    ret->audits_live = core->validation.slots.live;
    ret->oracles_live = oracle_live_count(&core->cognitive);
}

void view_network(const struct core *core, struct network_view *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->network_id = core->step.network_id;
    ret->seq = core->step.seq;
    ret->now_ms = core->step.now_ms;
    ret->ledger_ms = core->step.ledger_ms;
    ret->rules_version = core->step.rules_version;
    ret->admin_quorum = core->account.admin_quorum;
    ret->oracle_quorum = oracle_quorum(&core->cognitive);
    ret->beacon = core->cognitive.beacon;
    core_digest(core, &ret->digest);
    uint32_t leader = oracle_leader(&core->cognitive);
    if (leader != SLOT_NONE)
        ret->leader = core->cognitive.oracle[leader].address;
    view_counts(core, ret);
    view_money(core, ret);
}

const struct params *view_params(const struct core *core) { return &core->step.params; }

bool view_is_admin(const struct core *core, const struct address *address)
{
    return account_is_admin(&core->account, address);
}

/* ---- accounts and keys ---- */

static void account_at(const struct core *core, uint32_t account, struct account_view *ret)
{
    const struct account *a = &core->account.account[account];
    *ret = (struct account_view){
        .address = a->address,
        .wallet = a->wallet,
        .balance = a->balance,
        .nonce_next = account_nonce_next(&core->account, account),
        .restricted = a->restricted,
        .custodial = a->custodian != SLOT_NONE,
    };
}

bool view_account(const struct core *core, const struct address *address, struct account_view *ret)
{
    uint32_t account = account_find(&core->account, address);
    if (account == SLOT_NONE)
        return false;
    account_at(core, account, ret);
    return true;
}

bool view_account_at(const struct core *core, uint32_t *at, struct account_view *ret)
{
    if (*at >= core->account.account_count)
        return false;
    account_at(core, (*at)++, ret);
    return true;
}

static void key_at(const struct core *core, uint32_t key, struct key_view *ret)
{
    const struct api_key *k = &core->account.key[key];
    *ret = (struct key_view){
        .hash = k->hash,
        .account = *account_address(&core->account, k->account),
        .scopes = k->scopes,
        .in_flight = k->in_flight,
        .in_flight_max = k->in_flight_max,
        .model = k->model,
        .session = k->session,
        .budget_period_ms = k->budget_period_ms,
        .period_ms = k->period_ms,
        .expires_ms = k->expires_ms,
        .budget = k->budget,
        .spent = k->spent,
        .revoked = k->revoked,
    };
}

bool view_key(const struct core *core, const struct hash *key_hash, struct key_view *ret)
{
    uint32_t key = key_find(&core->account, key_hash);
    if (key == SLOT_NONE)
        return false;
    key_at(core, key, ret);
    return true;
}

bool view_key_at(const struct core *core, uint32_t *at, struct key_view *ret)
{
    if (*at >= core->account.key_count)
        return false;
    key_at(core, (*at)++, ret);
    return true;
}

bool view_router_at(const struct core *core, uint32_t *at, struct router_view *ret)
{
    if (*at >= core->account.router_count)
        return false;
    const struct router *r = &core->account.router[(*at)++];
    *ret = (struct router_view){r->address, r->operator,(enum router_state) r->state, r->heard_ms};
    return true;
}

bool view_router(const struct core *core, const struct address *address, struct router_view *ret)
{
    uint32_t at = router_find(&core->account, address);
    return at != SLOT_NONE && view_router_at(core, &at, ret);
}

/* ---- models ---- */

static void model_at(const struct core *core, uint32_t model, struct model_view *ret)
{
    const struct model *m = catalog_model(&core->catalog, model);
    const struct node_pool *pool = &core->node_pool;
    *ret = (struct model_view){
        .id = catalog_id(&core->catalog, model),
        .manifest_digest = m->manifest_digest,
        .context = m->context,
        .template_tokens = m->template_tokens,
        .nodes_serving = node_pool_count_offering(pool, model),
        .price_in_max = m->price_in_max,
        .price_out_max = m->price_out_max,
    };
    memcpy(ret->name, m->name, m->name_size);
    memcpy(ret->aliases, m->aliases, m->aliases_size);
    memcpy(ret->quantization, m->quantization, m->quantization_size);
    for (uint32_t at = 0, node; next_live(&pool->slots, &at, &node);) {
        uint32_t place = node_pool_serves(pool, node, model);
        const struct node *n = &pool->node[node];
        ret->nodes_ephemeral += place != SLOT_NONE && n->state == NODE_EPHEMERAL && n->model[place].proved;
    }
}

bool view_model(const struct core *core, uint64_t id, struct model_view *ret)
{
    uint32_t model = catalog_find(&core->catalog, id);
    if (model == SLOT_NONE)
        return false;
    model_at(core, model, ret);
    return true;
}

bool view_model_named(const struct core *core, const char *name, uint32_t size, struct model_view *ret)
{
    uint32_t model = catalog_find_name(&core->catalog, name, size);
    if (model == SLOT_NONE)
        return false;
    model_at(core, model, ret);
    return true;
}

bool view_model_at(const struct core *core, uint32_t *at, struct model_view *ret)
{
    uint32_t model;
    if (!next_live(&core->catalog.slots, at, &model))
        return false;
    model_at(core, model, ret);
    return true;
}

/* ---- nodes ---- */

static void node_model_at(const struct core *core, uint32_t node, uint32_t at, struct node_model_view *ret)
{
    const struct node_model *m = &core->node_pool.node[node].model[at];
    const struct node_speed *speed = &reputation_stats(&core->reputation, node)->speed[at];
    *ret = (struct node_model_view){
        .model = catalog_id(&core->catalog, m->model),
        .context = m->context,
        .ttft_ms = speed->ttft_ms,
        .tokens_per_s_milli = speed->tokens_per_s_milli,
        .measured_ttft_ms = speed->measured_ttft_ms,
        .measured_tokens_per_s_milli = speed->measured_tokens_per_s_milli,
        .test_milli = reputation_test_milli(&core->reputation, node, at),
        .weight = reputation_weight(&core->reputation, node, at),
        .price_in = m->price_in,
        .price_out = m->price_out,
        .declared = m->declared,
        .proved = m->proved,
        .class = (enum node_class)m->class,
    };
}

static void node_at(const struct core *core, uint32_t node, struct node_view *ret)
{
    const struct node *n = node_pool_node(&core->node_pool, node);
    const struct node_stats *stats = reputation_stats(&core->reputation, node);
    uint32_t session = session_of_node(&core->session, node);
    *ret = (struct node_view){
        .address = n->address,
        .operator= * node_pool_operator(&core->node_pool, node),
        .state = n->state,
        .back_to = n->back_to,
        .since_ms = n->since_ms,
        .retry_ms = n->retry_ms,
        .session = session == SLOT_NONE ? 0 : session_id(&core->session, session),
        .slots = n->slots,
        .busy = n->busy,
        .level = stats->level,
        .engine = n->engine,
        .present = node_pool_is_present(&core->node_pool, node),
        .leaving = n->leaving,
        .stake = payment_stake(&core->payment, node),
        .encryption_key = n->encryption_key,
    };
    memcpy(ret->build, n->build, n->build_size);
    for (uint32_t i = 0; i < NODE_MODELS_MAX; i++)
        if (n->model[i].model != SLOT_NONE)
            node_model_at(core, node, i, &ret->model[ret->models++]);
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++) {
        if (n->link[i].router == SLOT_NONE)
            continue;
        ret->link[ret->links].router = *router_address(&core->account, n->link[i].router);
        ret->link[ret->links++].link = n->link[i].link;
    }
    static_assert(NODE_COUNTS <= ARRAY_COUNT(ret->count), "room for all counters");
    memcpy(ret->count, stats->count, sizeof stats->count);
}

bool view_node(const struct core *core, const struct address *address, struct node_view *ret)
{
    uint32_t node = node_pool_find(&core->node_pool, address);
    if (node == SLOT_NONE)
        return false;
    node_at(core, node, ret);
    return true;
}

bool view_node_at(const struct core *core, uint32_t *at, struct node_view *ret)
{
    uint32_t node;
    if (!next_live(&core->node_pool.slots, at, &node))
        return false;
    node_at(core, node, ret);
    return true;
}

/* ---- oracles ---- */

bool view_oracle_at(const struct core *core, uint32_t *at, struct oracle_view *ret)
{
    if (*at >= core->cognitive.oracle_count)
        return false;
    uint32_t oracle = (*at)++;
    const struct oracle *o = &core->cognitive.oracle[oracle];
    *ret = (struct oracle_view){
        .address = o->address,
        .operator= o->operator,
        .state = o->state,
        .duties = o->duties,
        .heard_ms = o->heard_ms,
        .chain = o->chain,
        .leads = oracle_leader(&core->cognitive) == oracle,
    };
    return true;
}

bool view_oracle(const struct core *core, const struct address *address, struct oracle_view *ret)
{
    uint32_t at = oracle_find(&core->cognitive, address);
    return at != SLOT_NONE && view_oracle_at(core, &at, ret);
}

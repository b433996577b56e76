/* node_pool_pick.c - who is taken: for sessions by weighted chance, for rounds by how long a node has waited. */
#include "core/node_pool_parts.h"

#include "base/assert.h"
#include "base/prng.h"

/* ---- filters ---- */

static bool is_listed(const struct address *list, uint32_t count, const struct address *address)
{
    for (uint32_t i = 0; i < count; i++)
        if (address_eq(&list[i], address))
            return true;
    return false;
}

static bool is_attached_to_one(const struct node_pool *pool, uint32_t node, const struct node_filter *filter)
{
    for (uint32_t i = 0; i < filter->router_count; i++)
        if (node_pool_is_attached(pool, node, filter->routers[i]))
            return true;
    return false;
}

bool node_pool_fits(const struct node_pool *pool, uint32_t node, const struct node_filter *filter)
{
    const struct node *n = node_pool_node(pool, node);
    uint32_t at = node_pool_serves(pool, node, filter->model);
    if (at == SLOT_NONE || !n->model[at].proved || n->model[at].class < filter->class)
        return false;
    const struct node_model *m = &n->model[at];
    if (m->price_in > filter->price_in_max || m->price_out > filter->price_out_max || m->context < filter->context)
        return false;
    if (reputation_sla(pool->reputation, node, at) < filter->sla)
        return false;
    const struct address *operator= node_pool_operator(pool, node);
    if (filter->allowed && !is_listed(filter->allowed, filter->allowed_count, &n->address) &&
        !is_listed(filter->allowed, filter->allowed_count, operator))
        return false;
    return !filter->routers || is_attached_to_one(pool, node, filter);
}

uint32_t node_pool_count_offering(const struct node_pool *pool, uint32_t model)
{
    cx_assert(model < pool->model_cap);
    return pool->offering[model];
}

/* ---- picking ---- */

struct pick {
    const struct node_pool *pool;
    const struct node_filter *filter;
    uint32_t *nodes, count;
};

static bool picks(const struct pick *pick, uint32_t node)
{
    const struct node *n = node_pool_node(pick->pool, node);
    for (uint32_t i = 0; i < pick->count; i++) {
        if (pick->nodes[i] == node)
            return false;
        if (pick->filter->distinct_operators && pick->pool->node[pick->nodes[i]].operator== n->operator)
            return false;
    }
    return node_pool_fits(pick->pool, node, pick->filter);
}

/* Draws by weight until enough are found or too many draws were in vain. */
static void draw(struct pick *pick, const struct fenwick *tree, uint32_t want, struct prng *prng)
{
    for (uint32_t tries = 4 * want + 16; tries > 0 && pick->count < want; tries--) {
        uint32_t node = fenwick_pick(tree, prng_below(prng, tree->total));
        if (picks(pick, node))
            pick->nodes[pick->count++] = node;
    }
}

/* Walks over those that weigh anything, from a random one on, each once. */
static void scan(struct pick *pick, const struct fenwick *tree, uint32_t want, struct prng *prng)
{
    uint64_t at = prng_below(prng, tree->total), walked = 0;
    for (uint32_t steps = 0; steps < NODE_PICK_SCAN_MAX && pick->count < want && walked < tree->total; steps++) {
        uint32_t node = fenwick_pick(tree, at);
        if (picks(pick, node))
            pick->nodes[pick->count++] = node;
        walked += tree->weight[node];
        at = (fenwick_before(tree, node) + tree->weight[node]) % tree->total;
    }
}

bool node_pool_pick(const struct node_pool *pool, const struct node_filter *filter, uint32_t want, uint64_t dice,
                    uint32_t *ret_nodes)
{
    cx_assert(filter->model < pool->model_cap);
    const struct fenwick *tree = &pool->weight[filter->model * SLA_COUNT + filter->sla];
    struct prng prng = {dice};
    struct pick pick = {pool, filter, ret_nodes, 0};
    if (tree->total == 0)
        return want == 0;
    draw(&pick, tree, want, &prng);
    if (pick.count < want)
        scan(&pick, tree, want, &prng);
    return pick.count == want;
}

/* ---- sessions ---- */

void node_pool_reserve(struct node_pool *pool, uint32_t node, uint32_t model)
{
    struct node *n = &pool->node[node];
    uint32_t at = node_pool_serves(pool, node, model);
    cx_assert(at != SLOT_NONE);
    cx_assert(n->state == NODE_EPHEMERAL && !n->held && n->busy == 0);
    cx_assert(node_pool_is_present(pool, node));
    n->held = true;
    n->last_at = at;
    node_pool_move(pool, node, NODE_RESERVED, NODE_REASON_PICKED);
}

void node_pool_release(struct node_pool *pool, uint32_t node, enum node_reason reason)
{
    const struct node *was = node_pool_node(pool, node);
    cx_assert(was->held);
    cx_assert(was->busy == 0);
    struct node *n = &pool->node[node];
    node_pool_list(pool, node, NODE_LIST_NONE);
    if (n->state == NODE_RESERVED)
        node_pool_move(pool, node, NODE_RELEASED, reason);
    node_pool_change(pool, node);
    n->held = false;
    n->overdue = false;
    node_pool_settle(pool, node);
}

void node_pool_busy(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    cx_assert(node_pool_has_slot(pool, node));
    cx_assert(n->held);
    n->busy++;
}

void node_pool_idle(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    cx_assert(n->busy > 0);
    n->busy--;
}

bool node_pool_has_news(const struct node_pool *pool) { return pool->came != 0 || pool->news.head != SLOT_NONE; }

uint32_t node_pool_take_came(struct node_pool *pool)
{
    if (pool->came == 0)
        return SLOT_NONE;
    uint32_t model = (uint32_t)__builtin_ctzll(pool->came);
    pool->came &= pool->came - 1;
    return model;
}

uint32_t node_pool_take_news(struct node_pool *pool)
{
    uint32_t node = pool->news.head;
    if (node != SLOT_NONE)
        node_pool_list(pool, node, NODE_LIST_NONE);
    return node;
}

uint32_t node_pool_lost(const struct node_pool *pool) { return pool->lost.head; }

void node_pool_lost_done(struct node_pool *pool, uint32_t node)
{
    if (!slots_is_live(&pool->slots, node) || pool->node[node].list != NODE_LIST_LOST)
        return;  // its session has let it go
    node_pool_list(pool, node, NODE_LIST_NONE);
}

/* ---- rounds ---- */

uint32_t node_pool_round_wanted(const struct node_pool *pool)
{
    return pool->round_wanted ? (uint32_t)__builtin_ctzll(pool->round_wanted) : SLOT_NONE;
}

uint32_t node_pool_take_for_round(struct node_pool *pool, uint32_t model, uint32_t want, uint32_t *ret_nodes)
{
    cx_assert(model < pool->model_cap);
    uint32_t count = 0;
    while (count < want) {
        uint32_t fresh = pool->wait[model].fresh.head, node = pool->wait[model].proved.head;
        if (pool->testing[model] >= node_pool_proved_limit(pool, model))
            node = SLOT_NONE;
        if (node == SLOT_NONE || (fresh != SLOT_NONE && pool->node[fresh].wait_ms < pool->node[node].wait_ms))
            node = fresh;
        if (node == SLOT_NONE)
            break;
        struct node *n = &pool->node[node];
        n->back_to = n->state;
        n->in_round = true;
        node_pool_move(pool, node, NODE_TESTING,
                       n->state == NODE_RECALIBRATING ? NODE_REASON_BACKOFF_OVER : NODE_REASON_ROUND_REQUESTED);
        ret_nodes[count++] = node;
    }
    return count;
}

/* The round lets the node go; whether it is still the round's to decide about. */
static bool leave_round(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    cx_assert(n->in_round);
    node_pool_change(pool, node);
    n->in_round = false;
    node_pool_settle(pool, node);
    return n->state == NODE_TESTING;
}

static void prove(struct node_pool *pool, uint32_t node, bool proved, enum node_class class)
{
    struct node *n = &pool->node[node];
    struct node_model *m = &n->model[n->test_at];
    bool same = m->proved == proved && m->class == class;
    node_pool_change(pool, node);
    m->proved = proved;
    m->class = (uint8_t) class;
    node_pool_settle(pool, node);
    if (same)
        return;
    struct evt_node_model_changed *changed = &event_add(pool->step->out, EVENT_NODE_MODEL_CHANGED)->node_model_changed;
    changed->node = n->address;
    changed->model = catalog_id(pool->catalog, m->model);
    changed->proved = proved;
    changed->class = (uint8_t) class;
}

void node_pool_passed(struct node_pool *pool, uint32_t node, enum node_class class, uint32_t context)
{
    struct node *n = &pool->node[node];
    if (!leave_round(pool, node))
        return;
    prove(pool, node, true, class);
    struct node_model *m = &n->model[n->test_at];
    if (context > 0) {
        m->context_proved = context;
        m->context = u32_min(m->context, context);
    }
    n->backoff_ms = pool->step->params.backoff_ms_min;
    node_pool_move(pool, node, NODE_EPHEMERAL, NODE_REASON_PASSED);
}

void node_pool_failed(struct node_pool *pool, uint32_t node)
{
    const struct params *params = &pool->step->params;
    struct node *n = &pool->node[node];
    if (!leave_round(pool, node))
        return;
    prove(pool, node, false, CLASS_UNVERIFIED);
    n->retry_ms = u64_add_sat(pool->step->now_ms, n->backoff_ms);
    n->backoff_ms = u64_min(n->backoff_ms * 2, u64_max(params->backoff_ms_max, params->backoff_ms_min));
    node_pool_move(pool, node, NODE_RECALIBRATING, NODE_REASON_FAILED);
}

void node_pool_round_aborted(struct node_pool *pool, uint32_t node)
{
    if (leave_round(pool, node))
        node_pool_move(pool, node, pool->node[node].back_to, NODE_REASON_ROUND_ABORTED);
}

/* node_pool.c - the life of a node: its states, its presence, what it waits for, and its end. */
#include "core/node_pool_parts.h"

#include "base/assert.h"
#include "base/mem.h"

/* The arrows of the picture in node_pool.h. EPHEMERAL -> TESTING is for a model that the node has not proved. */
static const unsigned allowed[NODE_STATE_COUNT] = {
    [NODE_UNTESTED] = 1u << NODE_TESTING | 1u << NODE_OFFLINE | 1u << NODE_LEAVING | 1u << NODE_BANNED,
    [NODE_TESTING] = 1u << NODE_EPHEMERAL | 1u << NODE_RECALIBRATING | 1u << NODE_UNTESTED | 1u << NODE_RELEASED |
                     1u << NODE_OFFLINE | 1u << NODE_LEAVING | 1u << NODE_BANNED,
    [NODE_EPHEMERAL] =
        1u << NODE_RESERVED | 1u << NODE_TESTING | 1u << NODE_OFFLINE | 1u << NODE_LEAVING | 1u << NODE_BANNED,
    [NODE_RESERVED] = 1u << NODE_RELEASED | 1u << NODE_LEAVING | 1u << NODE_BANNED,
    [NODE_RELEASED] = 1u << NODE_TESTING | 1u << NODE_OFFLINE | 1u << NODE_LEAVING | 1u << NODE_BANNED,
    [NODE_RECALIBRATING] = 1u << NODE_TESTING | 1u << NODE_OFFLINE | 1u << NODE_LEAVING | 1u << NODE_BANNED,
    [NODE_OFFLINE] = 1u << NODE_UNTESTED | 1u << NODE_EPHEMERAL | 1u << NODE_RELEASED | 1u << NODE_RECALIBRATING |
                     1u << NODE_LEAVING | 1u << NODE_BANNED,
    [NODE_LEAVING] = 1u << NODE_GONE | 1u << NODE_BANNED,
    [NODE_BANNED] = 1u << NODE_UNTESTED | 1u << NODE_RELEASED | 1u << NODE_LEAVING,
};

/* States in which a node's models are no offer. */
#define NODE_STATES_OUT (1u << NODE_LEAVING | 1u << NODE_GONE | 1u << NODE_BANNED)

static bool init_tables(struct node_pool *pool, struct arena *arena, uint32_t nodes)
{
    const struct params *params = &pool->step->params;
    pool->operator_cap = (uint32_t)params->operators_cap;
    pool->node = arena_take(arena, nodes, sizeof *pool->node);
    pool->operator_ = arena_take(arena, pool->operator_cap, sizeof *pool->operator_);
    uint32_t invites = (uint32_t)params->invites_cap;
    pool->invite = arena_take(arena, invites, sizeof *pool->invite);
    bool ok = pool->node && pool->operator_ && pool->invite;
    ok &= slots_init(&pool->slots, arena, nodes);
    ok &= slots_init(&pool->invites, arena, invites);
    ok &= id_map_init(&pool->by_address, arena, nodes, pool->node ? &pool->node->address : NULL, sizeof *pool->node,
                      sizeof(struct address));
    ok &= id_map_init(&pool->by_operator, arena, pool->operator_cap, pool->operator_ ? &pool->operator_->address : NULL,
                      sizeof *pool->operator_, sizeof(struct address));
    ok &= id_map_init(&pool->by_invite, arena, invites, pool->invite ? &pool->invite->hash : NULL, sizeof *pool->invite,
                      sizeof(struct hash));
    ok &= heap_init(&pool->due, arena, nodes);
    ok &= heap_init(&pool->invite_due, arena, invites);
    return ok;
}

static bool init_models(struct node_pool *pool, struct arena *arena, uint32_t nodes)
{
    uint32_t models = (uint32_t)pool->step->params.models_cap;
    cx_assert(models <= 64);  // `came` and `round_wanted` have a bit for each
    pool->model_cap = models;
    pool->weight = arena_take(arena, models * SLA_COUNT, sizeof *pool->weight);
    pool->wait = arena_take(arena, models, sizeof *pool->wait);
    pool->testing = arena_take(arena, models, sizeof *pool->testing);
    pool->offering = arena_take(arena, models, sizeof *pool->offering);
    pool->proved = arena_take(arena, models, sizeof *pool->proved);
    bool ok = pool->weight && pool->wait && pool->testing && pool->offering && pool->proved;
    /* A counting arena gives no table to put these into, but has to count them. */
    struct fenwick counted;
    for (uint32_t i = 0; i < models * SLA_COUNT; i++)
        ok &= fenwick_init(pool->weight ? &pool->weight[i] : &counted, arena, nodes);
    return ok;
}

#define LIST_EMPTY ((struct node_list){.head = SLOT_NONE, .tail = SLOT_NONE})

bool node_pool_init(struct node_pool *pool, struct arena *arena, struct step *step, struct account_book *account,
                    struct payment *payment, struct catalog *catalog, struct reputation *reputation)
{
    uint32_t nodes = (uint32_t)step->params.nodes_cap;
    memset(pool, 0, sizeof *pool);
    pool->step = step;
    pool->account = account;
    pool->payment = payment;
    pool->catalog = catalog;
    pool->reputation = reputation;
    bool ok = init_tables(pool, arena, nodes);
    ok &= init_models(pool, arena, nodes);
    if (!ok)
        return false;
    pool->work.head = pool->work.tail = SLOT_NONE;
    pool->lost = pool->news = LIST_EMPTY;
    for (uint32_t i = 0; i < ROUTERS_MAX; i++)
        pool->router[i].up = pool->router[i].down = SLOT_NONE;
    for (uint32_t i = 0; i < pool->model_cap; i++)
        pool->wait[i].fresh = pool->wait[i].proved = LIST_EMPTY;
    return true;
}

static struct node *node_of(const struct node_pool *pool, uint32_t node)
{
    cx_assert(slots_is_live(&pool->slots, node));
    return &pool->node[node];
}

/* ---- lists ---- */

static struct node_list *list_of(struct node_pool *pool, const struct node *n)
{
    switch (n->list) {
    case NODE_LIST_FRESH: return &pool->wait[n->model[n->test_at].model].fresh;
    case NODE_LIST_PROVED: return &pool->wait[n->model[n->test_at].model].proved;
    case NODE_LIST_LOST: return &pool->lost;
    case NODE_LIST_NEWS: return &pool->news;
    case NODE_LIST_NONE:
    case NODE_LIST_COUNT: break;
    }
    return NULL;
}

static void unlink_node(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    struct node_list *list = list_of(pool, n);
    if (!list)
        return;
    *(n->prev == SLOT_NONE ? &list->head : &pool->node[n->prev].next) = n->next;
    *(n->next == SLOT_NONE ? &list->tail : &pool->node[n->next].prev) = n->prev;
    list->count--;
    n->list = NODE_LIST_NONE;
}

void node_pool_list(struct node_pool *pool, uint32_t node, enum node_list_kind kind)
{
    struct node *n = node_of(pool, node);
    unlink_node(pool, node);
    n->list = kind;
    struct node_list *list = list_of(pool, n);
    if (!list)
        return;
    n->prev = list->tail;
    n->next = SLOT_NONE;
    *(list->tail == SLOT_NONE ? &list->head : &pool->node[list->tail].next) = node;
    list->tail = node;
    list->count++;
}

/* ---- what follows from a node's record ---- */

/* What is counted of a node is taken out before it changes (sign -1) and put back after (sign 1). */
static void count(struct node_pool *pool, const struct node *n, int sign)
{
    uint32_t one = (uint32_t)sign;
    pool->in[n->state] += one;
    if (n->state == NODE_TESTING && n->proved_before)
        pool->testing[n->model[n->test_at].model] += one;
    if (NODE_STATES_OUT & 1u << n->state)
        return;
    for (uint32_t at = 0; at < NODE_MODELS_MAX; at++) {
        if (n->model[at].model == SLOT_NONE)
            continue;
        pool->offering[n->model[at].model] += one;
        if (n->model[at].proved)
            pool->proved[n->model[at].model] += one;
    }
}

uint32_t node_pool_proved_limit(const struct node_pool *pool, uint32_t model)
{
    return u32_max(1, pool->proved[model] / 2);
}

bool node_pool_wants_round(const struct node_pool *pool, uint32_t model)
{
    if (pool->wait[model].fresh.count > 0)
        return true;
    return pool->wait[model].proved.count > 0 && pool->testing[model] < node_pool_proved_limit(pool, model);
}

uint32_t node_pool_test_at(const struct node *n)
{
    uint32_t first = SLOT_NONE;
    for (uint32_t at = NODE_MODELS_MAX; at-- > 0;)
        if (n->model[at].model != SLOT_NONE)
            first = at;
    for (uint32_t at = 0; at < NODE_MODELS_MAX; at++)
        if (n->model[at].model != SLOT_NONE && !n->model[at].proved)
            return at;
    return n->model[n->last_at].model != SLOT_NONE ? n->last_at : first;
}

bool node_pool_waits(const struct node_pool *pool, uint32_t node)
{
    const struct node *n = node_of(pool, node);
    uint32_t at = node_pool_test_at(n);
    if (at == SLOT_NONE || n->absent_ms != TIME_NEVER || n->in_round || n->held)
        return false;
    switch (n->state) {
    case NODE_UNTESTED:
    case NODE_RELEASED: return true;
    case NODE_RECALIBRATING: return n->retry_ms <= pool->step->now_ms;
    case NODE_EPHEMERAL: return !n->model[at].proved;
    case NODE_TESTING:
    case NODE_RESERVED:
    case NODE_OFFLINE:
    case NODE_LEAVING:
    case NODE_GONE:
    case NODE_BANNED:
    case NODE_STATE_COUNT: break;
    }
    return false;
}

static void settle_waiting(struct node_pool *pool, uint32_t node)
{
    struct node *n = &pool->node[node];
    if (n->list == NODE_LIST_LOST || n->list == NODE_LIST_NEWS)
        return;
    if (!node_pool_waits(pool, node)) {
        node_pool_list(pool, node, NODE_LIST_NONE);
        return;
    }
    uint32_t at = node_pool_test_at(n);
    enum node_list_kind kind = n->model[at].proved ? NODE_LIST_PROVED : NODE_LIST_FRESH;
    if (n->list == kind && n->test_at == at)
        return;
    if (n->list == NODE_LIST_NONE)
        n->wait_ms = pool->step->now_ms;
    node_pool_list(pool, node, NODE_LIST_NONE);
    n->test_at = at;
    node_pool_list(pool, node, kind);
}

uint64_t node_pool_node_due_ms(const struct node_pool *pool, uint32_t node)
{
    const struct node *n = node_of(pool, node);
    uint64_t absent_ms = n->absent_ms == TIME_NEVER ? TIME_NEVER : n->offline_ms;
    switch (n->state) {
    case NODE_UNTESTED:
    case NODE_TESTING:
    case NODE_EPHEMERAL:
    case NODE_RELEASED: return absent_ms;
    case NODE_RESERVED: return n->overdue ? TIME_NEVER : absent_ms;
    case NODE_RECALIBRATING:
        return n->absent_ms != TIME_NEVER || n->list == NODE_LIST_FRESH || n->list == NODE_LIST_PROVED || n->in_round ||
                       n->held
                   ? absent_ms
                   : n->retry_ms;
    case NODE_LEAVING: return n->held || n->busy > 0 || n->in_round ? TIME_NEVER : n->since_ms;
    case NODE_OFFLINE:
    case NODE_GONE:
    case NODE_BANNED:
    case NODE_STATE_COUNT: break;
    }
    return TIME_NEVER;
}

uint32_t node_pool_weight(const struct node_pool *pool, uint32_t node, uint32_t at, enum sla sla)
{
    const struct node *n = node_of(pool, node);
    if (n->state != NODE_EPHEMERAL || n->absent_ms != TIME_NEVER || n->model[at].model == SLOT_NONE)
        return 0;
    if (!n->model[at].proved || reputation_sla(pool->reputation, node, at) < sla)
        return 0;
    return reputation_weight(pool->reputation, node, at);
}

void node_pool_reweigh(struct node_pool *pool, uint32_t node)
{
    struct node *n = node_of(pool, node);
    /* Only what can be picked weighs anything: what a node does in a session changes nothing here. */
    if (n->state != NODE_EPHEMERAL && !n->weighed)
        return;
    n->weighed = n->state == NODE_EPHEMERAL;
    for (uint32_t at = 0; at < NODE_MODELS_MAX; at++) {
        uint32_t model = n->model[at].model;
        if (model == SLOT_NONE)
            continue;
        for (enum sla sla = 0; sla < SLA_COUNT; sla++) {
            struct fenwick *tree = &pool->weight[model * SLA_COUNT + sla];
            uint32_t weight = node_pool_weight(pool, node, at, sla);
            if (weight == tree->weight[node])
                continue;
            if (tree->weight[node] == 0)
                pool->came |= 1ull << model;
            fenwick_set(tree, node, weight);
        }
    }
}

void node_pool_settle_wanted(struct node_pool *pool, uint32_t model)
{
    pool->round_wanted &= ~(1ull << model);
    pool->round_wanted |= (uint64_t)node_pool_wants_round(pool, model) << model;
}

void node_pool_change(struct node_pool *pool, uint32_t node) { count(pool, node_of(pool, node), -1); }

void node_pool_recount(struct node_pool *pool, uint32_t node)
{
    const struct node *n = node_of(pool, node);
    count(pool, n, 1);
    node_pool_reweigh(pool, node);
    for (uint32_t at = 0; at < NODE_MODELS_MAX; at++)
        if (n->model[at].model != SLOT_NONE)
            node_pool_settle_wanted(pool, n->model[at].model);
    heap_set(&pool->due, node, node_pool_node_due_ms(pool, node));
}

void node_pool_settle(struct node_pool *pool, uint32_t node)
{
    settle_waiting(pool, node);
    node_pool_recount(pool, node);
}

void node_pool_move(struct node_pool *pool, uint32_t node, enum node_state to, enum node_reason reason)
{
    struct node *n = node_of(pool, node);
    enum node_state from = n->state;
    cx_assert(allowed[from] & 1u << to);
    cx_assert(n->since_ms <= pool->step->now_ms);
    if (to == NODE_RESERVED || from == NODE_RESERVED)
        cx_assert(n->held);
    bool over = from == NODE_BANNED || to == NODE_BANNED;
    if (over)
        node_pool_operator_remove(pool, node);
    if (to == NODE_TESTING)
        node_pool_list(pool, node, NODE_LIST_NONE);

    node_pool_change(pool, node);
    n->state = to;
    n->since_ms = pool->step->now_ms;
    n->proved_before = to == NODE_TESTING && n->model[n->test_at].proved;
    if (over)
        node_pool_operator_add(pool, node);

    struct evt_node_moved *moved = &event_add(pool->step->out, EVENT_NODE_MOVED)->node_moved;
    moved->node = n->address;
    moved->from = (uint8_t)from;
    moved->to = (uint8_t)to;
    moved->reason = (uint8_t)reason;
    node_pool_settle(pool, node);
}

/* ---- the end ---- */

enum verdict node_pool_leave(struct node_pool *pool, const struct cmd_node_leave *cmd)
{
    uint32_t node = node_pool_find(pool, &cmd->node);
    if (node == SLOT_NONE)
        return VERDICT_NODE_UNKNOWN;
    struct node *n = &pool->node[node];
    if (n->leaving)
        return VERDICT_NODE_STATE;

    n->leaving = true;
    if (n->state == NODE_BANNED) {
        /* The stake goes back, but the row stays: it is what remembers that the key is banned. */
        payment_stake_return(pool->payment, node, node_pool_account(pool, node));
        return VERDICT_ACCEPTED;
    }
    if (n->held && n->list == NODE_LIST_NONE)
        node_pool_list(pool, node, NODE_LIST_NEWS);
    node_pool_move(pool, node, NODE_LEAVING, NODE_REASON_LEFT);
    return VERDICT_ACCEPTED;
}

static void go(struct node_pool *pool, uint32_t node)
{
    struct node *n = node_of(pool, node);
    cx_assert(n->busy == 0 && !n->in_round);
    cx_assert(n->list == NODE_LIST_NONE);
    payment_stake_return(pool->payment, node, node_pool_account(pool, node));
    node_pool_cut_links(pool, node);
    for (uint32_t at = 0; at < NODE_MODELS_MAX; at++)
        if (n->model[at].model != SLOT_NONE)
            catalog_unuse(pool->catalog, n->model[at].model);
    node_pool_move(pool, node, NODE_GONE, NODE_REASON_LEFT);
    node_pool_operator_remove(pool, node);
    pool->operator_[n->operator].nodes--;
    id_map_remove(&pool->by_address, node);
    node_pool_change(pool, node);
    reputation_reset(pool->reputation, node);
    memset(n, 0, sizeof *n);
    n->state = NODE_GONE;
    slots_give(&pool->slots, node);
}

/* ---- time ---- */

uint64_t node_pool_due_ms(const struct node_pool *pool)
{
    if (pool->work.head != SLOT_NONE || node_pool_link_to_turn(pool) != SLOT_NONE)
        return 0;
    return u64_min(heap_top_key(&pool->due), heap_top_key(&pool->invite_due));
}

static void node_is_due(struct node_pool *pool, uint32_t node)
{
    struct node *n = node_of(pool, node);
    bool absent = n->absent_ms != TIME_NEVER;
    switch (n->state) {
    case NODE_UNTESTED:
    case NODE_EPHEMERAL:
    case NODE_RELEASED: n->back_to = n->state; break;
    case NODE_TESTING: break;
    case NODE_RECALIBRATING:
        if (absent) {
            n->back_to = n->state;
            break;
        }
        node_pool_change(pool, node);  // its back-off is over: it waits for a test
        node_pool_settle(pool, node);
        return;
    case NODE_RESERVED:
        node_pool_change(pool, node);
        n->overdue = true;
        if (n->list != NODE_LIST_LOST)
            node_pool_list(pool, node, NODE_LIST_LOST);
        node_pool_settle(pool, node);
        return;
    case NODE_LEAVING: go(pool, node); return;
    case NODE_OFFLINE:
    case NODE_GONE:
    case NODE_BANNED:
    case NODE_STATE_COUNT: cx_assert(false); return;
    }
    cx_assert(absent);
    node_pool_move(pool, node, NODE_OFFLINE, NODE_REASON_ABSENT);
}

void node_pool_sweep(struct node_pool *pool)
{
    uint64_t now_ms = pool->step->now_ms;
    uint32_t link = node_pool_link_to_turn(pool);
    if (link != SLOT_NONE)
        node_pool_turn_link(pool, link);
    else if (pool->work.head != SLOT_NONE)
        node_pool_operator_work(pool);
    else if (heap_top_key(&pool->due) <= now_ms)
        node_is_due(pool, heap_top(&pool->due));
    else if (heap_top_key(&pool->invite_due) <= now_ms)
        node_pool_invite_end(pool, heap_top(&pool->invite_due));
}

/* ---- asking ---- */

uint32_t node_pool_find(const struct node_pool *pool, const struct address *address)
{
    return id_map_find(&pool->by_address, address);
}

bool node_pool_is_lost_for_good(const struct node_pool *pool, uint32_t node)
{
    const struct node *n = node_of(pool, node);
    return n->state != NODE_RESERVED || n->overdue;
}

bool node_pool_is_out_for_test(const struct node_pool *pool, uint32_t node)
{
    if (!slots_is_live(&pool->slots, node))
        return false;
    const struct node *n = &pool->node[node];
    return n->state == NODE_RELEASED || (n->state == NODE_TESTING && n->back_to == NODE_RELEASED);
}

uint32_t node_pool_cap(const struct node_pool *pool) { return pool->slots.cap; }

uint32_t node_pool_count_in_rounds(const struct node_pool *pool)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->slots.used; i++)
        count += slots_is_live(&pool->slots, i) && pool->node[i].in_round;
    return count;
}

uint32_t node_pool_count_held(const struct node_pool *pool)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < pool->slots.used; i++)
        count += slots_is_live(&pool->slots, i) && pool->node[i].held;
    return count;
}

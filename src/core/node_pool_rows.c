/* node_pool_rows.c - the pool's canonical bytes, and whether it contradicts itself. */
#include "core/node_pool_parts.h"

#include "base/assert.h"

/* ---- rows ---- */

static void row_operator(struct node_pool *pool, struct rows *rows, struct operator_ *o)
{
    row_bytes(rows, o->address.b, sizeof o->address.b);
    row_slot(rows, &o->account, UINT32_MAX);
    row_u32(rows, &o->nodes);
    row_slot(rows, &o->free_head, pool->slots.cap);
    row_slot(rows, &o->banned_head, pool->slots.cap);
    row_slot(rows, &o->work_next, pool->operator_cap);
    row_u64(rows, &o->banned_seq);
    row_u32(rows, &o->lift_votes);
    row_bool(rows, &o->approved);
    row_bool(rows, &o->in_work);
}

static void row_model(struct node_pool *pool, struct rows *rows, struct node_model *m)
{
    row_slot(rows, &m->model, pool->model_cap);
    row_u32(rows, &m->context);
    row_u32(rows, &m->context_proved);
    row_u64(rows, &m->price_in);
    row_u64(rows, &m->price_out);
    row_enum(rows, &m->declared, 2);
    row_enum(rows, &m->proved, 2);
    row_enum(rows, &m->class, NODE_CLASS_COUNT);
}

static void row_link(struct node_pool *pool, struct rows *rows, struct node_link *link)
{
    row_slot(rows, &link->router, ROUTERS_MAX);
    row_u32(rows, &link->link);
    row_slot(rows, &link->prev, pool->slots.cap * NODE_LINKS_MAX);
    row_slot(rows, &link->next, pool->slots.cap * NODE_LINKS_MAX);
    row_bool(rows, &link->up);
}

static void row_list(struct node_pool *pool, struct rows *rows, struct node_list *list)
{
    row_slot(rows, &list->head, pool->slots.cap);
    row_slot(rows, &list->tail, pool->slots.cap);
    row_u32(rows, &list->count);
}

static void row_node(struct node_pool *pool, struct rows *rows, struct node *n)
{
    row_bytes(rows, n->address.b, sizeof n->address.b);
    row_bytes(rows, n->encryption_key.b, sizeof n->encryption_key.b);
    row_slot(rows, &n->operator, pool->operator_cap);
    row_enum(rows, &n->state, NODE_STATE_COUNT);
    row_enum(rows, &n->back_to, NODE_STATE_COUNT);
    row_u64(rows, &n->since_ms);
    row_u64(rows, &n->absent_ms);
    row_u64(rows, &n->offline_ms);
    row_u64(rows, &n->backoff_ms);
    row_u64(rows, &n->retry_ms);
    row_u64(rows, &n->wait_ms);
    row_u64(rows, &n->registered_seq);
    for (uint32_t i = 0; i < NODE_MODELS_MAX; i++)
        row_model(pool, rows, &n->model[i]);
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++)
        row_link(pool, rows, &n->link[i]);
    row_slot(rows, &n->test_at, NODE_MODELS_MAX);
    row_slot(rows, &n->last_at, NODE_MODELS_MAX);
    row_slot(rows, &n->prev, pool->slots.cap);
    row_slot(rows, &n->next, pool->slots.cap);
    row_slot(rows, &n->operator_prev, pool->slots.cap);
    row_slot(rows, &n->operator_next, pool->slots.cap);
    row_enum(rows, &n->list, NODE_LIST_COUNT);
    row_u8(rows, &n->slots);
    row_u8(rows, &n->busy);
    row_u8(rows, &n->engine);
    row_enum(rows, &n->build_size, sizeof n->build + 1);
    row_bytes(rows, n->build, sizeof n->build);
    row_bool(rows, &n->leaving);
    row_bool(rows, &n->held);
    row_bool(rows, &n->in_round);
    row_bool(rows, &n->overdue);
    row_bool(rows, &n->proved_before);
}

/* Whether a node that was read may be indexed without reaching outside a table. */
static bool is_sound(const struct node_pool *pool, const struct node *n)
{
    if (n->operator>= pool->operator_count || n->test_at == SLOT_NONE || n->last_at == SLOT_NONE)
        return false;
    bool tested = n->state == NODE_TESTING || n->list == NODE_LIST_FRESH || n->list == NODE_LIST_PROVED;
    if (tested && n->model[n->test_at].model == SLOT_NONE)
        return false;
    return id_map_find(&pool->by_address, &n->address) == SLOT_NONE;
}

/* Indexes, counts and weights of what was read. */
static void rebuild(struct node_pool *pool, struct rows *rows)
{
    for (uint32_t i = 0; i < pool->operator_count && rows->ok; i++) {
        rows->ok = id_map_find(&pool->by_operator, &pool->operator_[i].address) == SLOT_NONE;
        if (rows->ok)
            id_map_add(&pool->by_operator, i);
    }
    for (uint32_t i = 0; i < pool->invites.used && rows->ok; i++) {
        if (!slots_is_live(&pool->invites, i))
            continue;
        rows->ok = id_map_find(&pool->by_invite, &pool->invite[i].hash) == SLOT_NONE;
        if (!rows->ok)
            return;
        id_map_add(&pool->by_invite, i);
        heap_set(&pool->invite_due, i, pool->invite[i].expires_ms);
    }
    for (uint32_t i = 0; i < pool->slots.used && rows->ok; i++) {
        if (!slots_is_live(&pool->slots, i))
            continue;
        rows->ok = is_sound(pool, &pool->node[i]);
        if (!rows->ok)
            return;
        struct node *n = &pool->node[i];
        id_map_add(&pool->by_address, i);
        n->account = pool->operator_[n->operator].account;
        n->attached = node_pool_attached(n);
        node_pool_recount(pool, i);
    }
}

void node_pool_rows(struct node_pool *pool, struct rows *rows)
{
    rows_module(rows, "node_pool");
    rows_table(rows, &pool->operator_count, pool->operator_cap);
    for (uint32_t i = 0; i < pool->operator_count; i++)
        row_operator(pool, rows, &pool->operator_[i]);
    row_slot(rows, &pool->work.head, pool->operator_cap);
    row_slot(rows, &pool->work.tail, pool->operator_cap);
    rows_table_end(rows);

    uint32_t live = pool->invites.live;
    rows_table(rows, &live, pool->invites.cap);
    row_slots(rows, &pool->invites);
    for (uint32_t i = 0; i < pool->invites.used; i++) {
        if (!slots_is_live(&pool->invites, i))
            continue;
        row_bytes(rows, pool->invite[i].hash.b, sizeof pool->invite[i].hash.b);
        row_u64(rows, &pool->invite[i].expires_ms);
    }
    rows_table_end(rows);

    live = pool->slots.live;
    rows_table(rows, &live, pool->slots.cap);
    row_slots(rows, &pool->slots);
    for (uint32_t i = 0; i < pool->slots.used; i++)
        if (slots_is_live(&pool->slots, i))
            row_node(pool, rows, &pool->node[i]);
    rows_table_end(rows);

    uint32_t models = pool->model_cap;
    rows_table(rows, &models, pool->model_cap);
    for (uint32_t i = 0; i < models; i++) {
        row_list(pool, rows, &pool->wait[i].fresh);
        row_list(pool, rows, &pool->wait[i].proved);
    }
    row_list(pool, rows, &pool->lost);
    row_list(pool, rows, &pool->news);
    for (uint32_t i = 0; i < ROUTERS_MAX; i++) {
        row_slot(rows, &pool->router[i].up, pool->slots.cap * NODE_LINKS_MAX);
        row_slot(rows, &pool->router[i].down, pool->slots.cap * NODE_LINKS_MAX);
    }
    uint64_t came = pool->came;
    row_u64(rows, &came);
    rows_table_end(rows);
    if (rows_reading(rows))
        rebuild(pool, rows);
    pool->came = came;
    rows_module_end(rows);
}

/* ---- check ---- */

static void check_list(const struct node_pool *pool, const struct node_list *list, enum node_list_kind kind,
                       uint32_t model)
{
    uint32_t count = 0, before = SLOT_NONE;
    for (uint32_t i = list->head; i != SLOT_NONE; i = pool->node[i].next) {
        const struct node *n = &pool->node[i];
        cx_assert(slots_is_live(&pool->slots, i));
        cx_assert(n->list == kind);
        cx_assert(n->prev == before);
        if (model != SLOT_NONE)
            cx_assert(n->model[n->test_at].model == model);
        before = i;
        count++;
    }
    cx_assert(list->tail == before);
    cx_assert(list->count == count);
}

static void check_node(const struct node_pool *pool, uint32_t i)
{
    const struct node *n = &pool->node[i];
    cx_assert(n->state != NODE_GONE);
    cx_assert(id_map_find(&pool->by_address, &n->address) == i);
    cx_assert(n->busy <= n->slots);
    if (n->busy > 0 || n->state == NODE_RESERVED)
        cx_assert(n->held);
    if (n->held)
        cx_assert(n->state == NODE_RESERVED || n->leaving || n->state == NODE_BANNED || n->list == NODE_LIST_LOST);
    if (n->state == NODE_TESTING)
        cx_assert(n->in_round);
    if (n->state == NODE_LEAVING)
        cx_assert(n->leaving);
    if (n->state == NODE_OFFLINE)
        cx_assert(n->absent_ms != TIME_NEVER);
    if (n->list == NODE_LIST_LOST || n->list == NODE_LIST_NEWS)
        cx_assert(n->held);
    else
        cx_assert(node_pool_waits(pool, i) == (n->list != NODE_LIST_NONE) || n->state == NODE_RECALIBRATING);
    if (n->list == NODE_LIST_FRESH)
        cx_assert(!n->model[n->test_at].proved);
    if (n->list == NODE_LIST_PROVED)
        cx_assert(n->model[n->test_at].proved);

    bool up = false;
    for (uint32_t k = 0; k < NODE_LINKS_MAX; k++)
        up |= n->link[k].router != SLOT_NONE && n->link[k].up;
    cx_assert(up == (n->absent_ms == TIME_NEVER));
    cx_assert(n->attached == node_pool_attached(n));
    cx_assert(n->account == pool->operator_[n->operator].account);
    uint64_t due_ms = node_pool_node_due_ms(pool, i);
    cx_assert(heap_has(&pool->due, i) == (due_ms != TIME_NEVER));
    if (due_ms != TIME_NEVER)
        cx_assert(heap_key(&pool->due, i) == due_ms);
}

static void check_models(const struct node_pool *pool, uint32_t model)
{
    uint32_t offering = 0, proved = 0, testing = 0;
    for (uint32_t i = 0; i < pool->slots.used; i++) {
        uint32_t at = slots_is_live(&pool->slots, i) ? node_pool_serves(pool, i, model) : SLOT_NONE;
        const struct node *n = &pool->node[i];
        for (enum sla sla = 0; sla < SLA_COUNT; sla++) {
            uint32_t weight = at == SLOT_NONE ? 0 : node_pool_weight(pool, i, at, sla);
            cx_assert(pool->weight[model * SLA_COUNT + sla].weight[i] == weight);
        }
        if (at == SLOT_NONE)
            continue;
        testing += n->state == NODE_TESTING && n->proved_before && n->test_at == at;
        if (n->state == NODE_LEAVING || n->state == NODE_BANNED)
            continue;
        offering++;
        proved += n->model[at].proved;
    }
    cx_assert(pool->offering[model] == offering);
    cx_assert(pool->proved[model] == proved);
    cx_assert(pool->testing[model] == testing);
    cx_assert((pool->round_wanted >> model & 1) == node_pool_wants_round(pool, model));
    for (enum sla sla = 0; sla < SLA_COUNT; sla++)
        fenwick_check(&pool->weight[model * SLA_COUNT + sla]);
    check_list(pool, &pool->wait[model].fresh, NODE_LIST_FRESH, model);
    check_list(pool, &pool->wait[model].proved, NODE_LIST_PROVED, model);
}

static void check_operator(const struct node_pool *pool, uint32_t i)
{
    const struct operator_ *o = &pool->operator_[i];
    uint32_t nodes = 0;
    for (uint32_t at = o->free_head; at != SLOT_NONE; at = pool->node[at].operator_next, nodes++) {
        cx_assert(pool->node[at].operator== i);
        cx_assert(pool->node[at].state != NODE_BANNED);
    }
    for (uint32_t at = o->banned_head; at != SLOT_NONE; at = pool->node[at].operator_next, nodes++) {
        cx_assert(pool->node[at].operator== i);
        cx_assert(pool->node[at].state == NODE_BANNED);
    }
    cx_assert(nodes == o->nodes);
    if (!o->in_work)
        cx_assert((o->banned_seq ? o->free_head : o->banned_head) == SLOT_NONE);
}

static uint32_t check_router(const struct node_pool *pool, uint32_t router, uint32_t head, bool up)
{
    uint32_t count = 0;
    for (uint32_t place = head; place != SLOT_NONE; count++) {
        const struct node_link *link = &pool->node[place / NODE_LINKS_MAX].link[place % NODE_LINKS_MAX];
        cx_assert(link->router == router);
        cx_assert(link->up == up);
        place = link->next;
    }
    return count;
}

void node_pool_check(const struct node_pool *pool)
{
    uint32_t in[NODE_STATE_COUNT] = {0}, links = 0, listed_links = 0, nodes = 0;
    slots_check(&pool->slots);
    slots_check(&pool->invites);
    heap_check(&pool->due);
    cx_assert(pool->by_address.count == pool->slots.live);
    for (uint32_t i = 0; i < pool->slots.used; i++) {
        if (!slots_is_live(&pool->slots, i))
            continue;
        check_node(pool, i);
        in[pool->node[i].state]++;
        for (uint32_t k = 0; k < NODE_LINKS_MAX; k++)
            links += pool->node[i].link[k].router != SLOT_NONE;
    }
    for (enum node_state state = 0; state < NODE_STATE_COUNT; state++)
        cx_assert(in[state] == pool->in[state]);
    for (uint32_t model = 0; model < pool->model_cap; model++)
        check_models(pool, model);
    check_list(pool, &pool->lost, NODE_LIST_LOST, SLOT_NONE);
    check_list(pool, &pool->news, NODE_LIST_NEWS, SLOT_NONE);
    for (uint32_t i = 0; i < ROUTERS_MAX; i++) {
        listed_links += check_router(pool, i, pool->router[i].up, true);
        listed_links += check_router(pool, i, pool->router[i].down, false);
    }
    cx_assert(links == listed_links);
    for (uint32_t i = 0; i < pool->operator_count; i++) {
        check_operator(pool, i);
        nodes += pool->operator_[i].nodes;
    }
    cx_assert(nodes == pool->slots.live);
}

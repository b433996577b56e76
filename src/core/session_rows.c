/* session_rows.c - canonical bytes of sessions and members, and whether they contradict themselves. */
#include "base/assert.h"
#include "core/session_parts.h"

/* ---- rows ---- */

static void row_policy(const struct session_book *book, struct rows *rows, struct session_policy *p)
{
    row_u64(rows, &p->model_id);
    row_slot(rows, &p->model, book->model_cap);
    row_u32(rows, &p->owner);
    row_bool(rows, &p->shared);
    row_bool(rows, &p->diversity);
    row_u8(rows, &p->redundancy);
    row_u8(rows, &p->quorum);
    row_u8(rows, &p->attempts_max);
    row_u8(rows, &p->priority);
    row_u16(rows, &p->nodes_min);
    row_u16(rows, &p->nodes_max);
    row_u16(rows, &p->audit_bp);
    row_enum(rows, &p->mode, SESSION_MODE_COUNT);
    row_enum(rows, &p->reserve, SESSION_RESERVE_COUNT);
    row_enum(rows, &p->sla, SLA_COUNT);
    row_enum(rows, &p->class, NODE_CLASS_COUNT);
    row_enum(rows, &p->validation, VALIDATION_POLICY_COUNT);
    row_enum(rows, &p->on_no_verdict, ON_NO_VERDICT_COUNT);
    row_enum(rows, &p->stream, STREAM_WHEN_COUNT);
    row_enum(rows, &p->access, SESSION_ACCESS_COUNT);
    row_enum(rows, &p->privacy, SESSION_PRIVACY_COUNT);
    row_enum(rows, &p->result, SESSION_RESULT_COUNT);
    row_enum(rows, &p->pays, SESSION_PAYS_COUNT);
    row_enum(rows, &p->evidence, SESSION_EVIDENCE_COUNT);
    row_u64(rows, &p->reserve_ms);
    row_u64(rows, &p->price_in_max);
    row_u64(rows, &p->price_out_max);
    row_u32(rows, &p->tasks_per_node_max);
    row_u32(rows, &p->tasks_per_minute_max);
    row_u32(rows, &p->tasks_in_flight_max);
    row_u32(rows, &p->tokens_max);
    row_u32(rows, &p->ack_ms);
    row_u32(rows, &p->precommit_ms);
    row_u32(rows, &p->commit_ms);
    row_u32(rows, &p->total_ms);
    row_u32(rows, &p->open_ms);
    row_u32(rows, &p->drain_ms);
    row_enum(rows, &p->router_count, SESSION_ROUTERS_MAX + 1);
    row_enum(rows, &p->member_count, SESSION_LIST_MAX + 1);
    row_enum(rows, &p->allowed_count, SESSION_LIST_MAX + 1);
    for (uint32_t i = 0; i < p->router_count; i++)
        row_slot(rows, &p->router[i], ROUTERS_MAX);
    for (uint32_t i = 0; i < p->member_count; i++)
        row_bytes(rows, p->member[i].b, sizeof p->member[i].b);
    for (uint32_t i = 0; i < p->allowed_count; i++)
        row_bytes(rows, p->allowed[i].b, sizeof p->allowed[i].b);
}

static void row_session(const struct session_book *book, struct rows *rows, struct session *s)
{
    row_policy(book, rows, &s->policy);
    row_bytes(rows, s->reference.b, sizeof s->reference.b);
    row_enum(rows, &s->state, SESSION_STATE_COUNT);
    row_enum(rows, &s->closing, SESSION_REASON_DRAIN_TIMEOUT + 1);
    row_u64(rows, &s->since_ms);
    row_u64(rows, &s->opened_seq);
    row_u64(rows, &s->opens_by_ms);
    row_u64(rows, &s->minute_ms);
    row_u32(rows, &s->minute_tasks);
    row_u32(rows, &s->in_flight);
    row_u32(rows, &s->nodes);
    row_slot(rows, &s->node_head, book->node_cap);
    row_u32(rows, &s->here);
    row_u32(rows, &s->out);
    row_slot(rows, &s->out_head, book->node_cap);
    row_u32(rows, &s->draws);
    row_u64(rows, &s->waiting_ms);
    row_u64(rows, &s->grown_ms);
    row_u64(rows, &s->grows_ms);
    row_slot(rows, &s->wait_prev, book->slots.cap);
    row_slot(rows, &s->wait_next, book->slots.cap);
    row_slot(rows, &s->mark_prev, book->slots.cap);
    row_slot(rows, &s->mark_next, book->slots.cap);
    row_enum(rows, &s->name_size, sizeof s->name + 1);
    row_u16(rows, &s->metadata_size);
    if (s->metadata_size > sizeof s->metadata) {
        rows->ok = false;
        s->metadata_size = 0;
    }
    row_bytes(rows, s->name, s->name_size);
    row_bytes(rows, s->metadata, s->metadata_size);
    row_bool(rows, &s->degraded);
    row_bool(rows, &s->marked);
    row_bool(rows, &s->waits);
}

static void row_member(const struct session_book *book, struct rows *rows, struct member *m)
{
    row_slot(rows, &m->session, book->slots.cap);
    row_slot(rows, &m->out_of, book->slots.cap);
    row_slot(rows, &m->prev, book->node_cap);
    row_slot(rows, &m->next, book->node_cap);
    row_u32(rows, &m->in_flight);
    row_u32(rows, &m->tasks);
    row_u64(rows, &m->until_ms);
    row_u64(rows, &m->idle_ms);
    row_u64(rows, &m->turn_ms);
    row_enum(rows, &m->why, RELEASE_OWNER + 1);
    row_bool(rows, &m->dedicated);
    row_bool(rows, &m->leaving);
    row_bool(rows, &m->away);
}

static bool has_row(const struct member *m) { return m->session != SLOT_NONE || m->out_of != SLOT_NONE; }

static void row_members(struct session_book *book, struct rows *rows)
{
    uint32_t count = 0;
    for (uint32_t node = 0; node < book->node_cap; node++)
        count += has_row(&book->member[node]);
    rows_table(rows, &count, book->node_cap);
    for (uint32_t i = 0, node = 0; i < count; i++, node++) {
        if (!rows_reading(rows))
            while (!has_row(&book->member[node]))
                node++;
        row_slot(rows, &node, book->node_cap);
        if (node == SLOT_NONE) {
            rows->ok = false;
            break;
        }
        row_member(book, rows, &book->member[node]);
        if (rows_reading(rows))
            heap_set(&book->turn, node, book->member[node].turn_ms);
    }
    rows_table_end(rows);
}

static void row_pools(struct session_book *book, struct rows *rows)
{
    rows_table(rows, &book->pool_count, book->pool_cap);
    for (uint32_t i = 0; i < book->pool_count; i++) {
        struct session_pool *pool = &book->pool[i];
        row_u32(rows, &pool->owner);
        row_enum(rows, &pool->route, POOL_ROUTE_COUNT);
        row_u8(rows, &pool->replicas);
        row_enum(rows, &pool->name_size, sizeof pool->name + 1);
        row_enum(rows, &pool->session_count, POOL_SESSIONS_MAX + 1);
        row_bytes(rows, pool->name, pool->name_size);
        for (uint32_t k = 0; k < pool->session_count; k++)
            row_u64(rows, &pool->session[k]);
    }
    rows_table_end(rows);
}

/* Lists of the free, which follow from the rows. */
static void rebuild_members(struct session_book *book, struct rows *rows)
{
    for (uint32_t node = 0; node < book->node_cap && rows->ok; node++) {
        const struct member *m = &book->member[node];
        if (m->session == SLOT_NONE)
            continue;
        rows->ok = slots_is_live(&book->slots, m->session) && node_pool_id(book->node_pool, node) != 0;
        if (rows->ok)
            session_member_settle(book, node);
    }
}

static void rebuild(struct session_book *book, struct rows *rows)
{
    for (uint32_t i = 0; i < book->slots.used && rows->ok; i++) {
        if (!slots_is_live(&book->slots, i))
            continue;
        struct session *s = &book->session[i];
        s->free_head = SLOT_NONE;
        if (s->policy.model == SLOT_NONE) {
            rows->ok = false;
            return;
        }
        heap_set(&book->due, i, session_key_ms(book, i));
        if (hash_is_zero(&s->reference))
            continue;
        rows->ok = id_map_find(&book->by_reference, &s->reference) == SLOT_NONE;
        if (rows->ok)
            id_map_add(&book->by_reference, i);
    }
}

void session_rows(struct session_book *book, struct rows *rows)
{
    rows_module(rows, "session");
    uint32_t live = book->slots.live;
    rows_table(rows, &live, book->slots.cap);
    row_slots(rows, &book->slots);
    for (uint32_t i = 0; i < book->slots.used; i++)
        if (slots_is_live(&book->slots, i))
            row_session(book, rows, &book->session[i]);
    row_slot(rows, &book->marked.head, book->slots.cap);
    row_slot(rows, &book->marked.tail, book->slots.cap);
    for (uint32_t i = 0; i < book->model_cap; i++) {
        row_slot(rows, &book->waiting[i].head, book->slots.cap);
        row_slot(rows, &book->waiting[i].tail, book->slots.cap);
        row_slot(rows, &book->waiting[i].at, book->slots.cap);
        if (rows_reading(rows))
            session_try_at(book, i, book->waiting[i].at);
    }
    rows_table_end(rows);
    row_members(book, rows);
    row_pools(book, rows);
    if (rows_reading(rows)) {
        rebuild(book, rows);
        rebuild_members(book, rows);
    }
    rows_module_end(rows);
}

/* ---- check ---- */

static void check_member(const struct session_book *book, uint32_t node)
{
    const struct member *m = &book->member[node];
    const struct node *n = node_pool_node(book->node_pool, node);
    cx_assert(n->held);
    cx_assert(n->busy == m->in_flight);
    cx_assert(m->out_of == SLOT_NONE);
    cx_assert(heap_has(&book->turn, node) == (m->turn_ms != TIME_NEVER));
    if (n->state == NODE_RESERVED && m->away)
        cx_assert(!node_pool_is_present(book->node_pool, node) || n->list != NODE_LIST_NONE);
}

static void check_session(const struct session_book *book, uint32_t i)
{
    const struct session *s = &book->session[i];
    uint32_t nodes = 0, here = 0, out = 0, free = 0;
    for (uint32_t node = s->node_head; node != SLOT_NONE; node = book->member[node].next, nodes++) {
        const struct member *m = &book->member[node];
        cx_assert(m->session == i);
        check_member(book, node);
        here += !m->leaving && !m->away;
        cx_assert(m->free == (!m->leaving && !m->away && m->in_flight < node_pool_node(book->node_pool, node)->slots));
        free += m->free;
    }
    for (uint32_t node = s->free_head; node != SLOT_NONE; node = book->member[node].free_next) {
        cx_assert(book->member[node].session == i && free > 0);
        free--;
    }
    cx_assert(free == 0);
    for (uint32_t node = s->out_head; node != SLOT_NONE; node = book->member[node].next, out++) {
        cx_assert(book->member[node].out_of == i);
        cx_assert(book->member[node].session == SLOT_NONE);
    }
    cx_assert(nodes == s->nodes && nodes <= SESSION_NODES_MAX);
    cx_assert(here == s->here);
    cx_assert(out == s->out);
    cx_assert(s->degraded == (s->state == SESSION_ACTIVE && here < s->policy.nodes_min));
    cx_assert(s->waits == (session_need(book, i) > 0));
    cx_assert(s->state != SESSION_CLOSED);
    if (s->state == SESSION_DRAINING)
        cx_assert(s->closing == SESSION_REASON_OWNER || s->closing == SESSION_REASON_DRAIN_TIMEOUT);
    if (s->state == SESSION_ACTIVE)
        cx_assert(s->closing == SESSION_REASON_NONE);
    uint64_t key_ms = session_key_ms(book, i);
    cx_assert(heap_has(&book->due, i) == (key_ms != TIME_NEVER));
    if (key_ms != TIME_NEVER)
        cx_assert(heap_key(&book->due, i) == key_ms);
    if (!hash_is_zero(&s->reference))
        cx_assert(id_map_find(&book->by_reference, &s->reference) == i);
}

static void check_waiting(const struct session_book *book, uint32_t model)
{
    const struct wait_queue *q = &book->waiting[model];
    uint32_t before = SLOT_NONE;
    bool opens = false, has_at = q->at == SLOT_NONE;
    for (uint32_t i = q->head; i != SLOT_NONE; i = book->session[i].wait_next) {
        const struct session *s = &book->session[i];
        cx_assert(s->waits && s->policy.model == model);
        cx_assert(s->wait_prev == before);
        if (opens)
            cx_assert(s->state == SESSION_OPENING);  // those that are degraded come first
        opens = s->state == SESSION_OPENING;
        has_at |= q->at == i;
        before = i;
    }
    cx_assert(q->tail == before);
    cx_assert(has_at);
}

void session_check(const struct session_book *book)
{
    uint32_t members = 0, listed = 0, outs = 0, marks = 0, waits = 0, waiting = 0;
    slots_check(&book->slots);
    heap_check(&book->due);
    heap_check(&book->turn);
    for (uint32_t i = 0; i < book->slots.used; i++) {
        if (!slots_is_live(&book->slots, i))
            continue;
        const struct session *s = &book->session[i];
        check_session(book, i);
        listed += s->nodes;
        outs += s->out;
        marks += s->marked;
        waits += s->waits;
    }
    for (uint32_t node = 0; node < book->node_cap; node++) {
        members += book->member[node].session != SLOT_NONE;
        outs -= book->member[node].out_of != SLOT_NONE;
    }
    cx_assert(members == listed);
    cx_assert(outs == 0);
    cx_assert(members == node_pool_count_held(book->node_pool));
    for (uint32_t i = book->marked.head; i != SLOT_NONE; i = book->session[i].mark_next) {
        cx_assert(book->session[i].marked);
        marks--;
    }
    cx_assert(marks == 0);
    for (uint32_t model = 0; model < book->model_cap; model++) {
        check_waiting(book, model);
        cx_assert((book->waiting[model].at != SLOT_NONE) == (book->to_try >> model & 1));
        for (uint32_t i = book->waiting[model].head; i != SLOT_NONE; i = book->session[i].wait_next)
            waiting++;
    }
    cx_assert(waits == waiting);
}

/* session_turnover.c - what time does to sessions: they open or give up, grow and shrink, let nodes go, and end. */
#include "base/assert.h"
#include "core/session_parts.h"

#define DISTINCT_TRIES 4  // draws for a node of another operator before any will do

/* ---- nodes from the pool ---- */

static uint64_t next_dice(struct session_book *book, uint32_t session)
{
    return step_dice(&book->dice, "corten/n", slots_id(&book->slots, session), ++book->session[session].draws);
}

static bool shares_operator(const struct session_book *book, const struct session *s, uint32_t node)
{
    const struct address *operator= node_pool_operator(book->node_pool, node);
    for (uint32_t i = s->node_head; i != SLOT_NONE; i = book->member[i].next)
        if (address_eq(node_pool_operator(book->node_pool, i), operator))
            return true;
    return false;
}

/* One more node for a session; with diversity, of another operator if a few draws find one. */
static bool take_one(struct session_book *book, uint32_t session)
{
    const struct session *s = &book->session[session];
    struct node_filter filter;
    uint32_t node;
    session_filter(book, session, &filter);
    if (s->nodes >= SESSION_NODES_MAX)
        return false;
    for (uint32_t tries = s->policy.diversity ? DISTINCT_TRIES : 1; tries > 0; tries--) {
        if (!node_pool_pick(book->node_pool, &filter, 1, next_dice(book, session), &node))
            return false;
        if (tries > 1 && shares_operator(book, s, node))
            continue;
        break;
    }
    session_member_add(book, session, node, false);
    session_mark(book, session);
    return true;
}

/* All that an opening session wants, or none. */
static bool take_all(struct session_book *book, uint32_t session)
{
    uint32_t node[SESSION_NODES_MAX], need = session_need(book, session);
    struct node_filter filter;
    session_filter(book, session, &filter);
    filter.distinct_operators = book->session[session].policy.diversity;
    if (!node_pool_pick(book->node_pool, &filter, need, next_dice(book, session), node))
        return false;
    for (uint32_t i = 0; i < need; i++)
        session_member_add(book, session, node[i], false);
    return true;
}

/* A member that is absent and not pinned: the one that a replacement replaces. */
static uint32_t member_away(const struct session_book *book, const struct session *s)
{
    for (uint32_t i = s->node_head; i != SLOT_NONE; i = book->member[i].next)
        if (book->member[i].away && !book->member[i].dedicated && book->member[i].in_flight == 0)
            return i;
    return SLOT_NONE;
}

static void activate(struct session_book *book, uint32_t session)
{
    book->session[session].grown_ms = book->step->now_ms;
    session_plan_growth(book, session);
    session_mark(book, session);
    session_move(book, session, SESSION_ACTIVE, SESSION_REASON_RESERVED);
}

/* The turn of one session that wants nodes: those of a degraded one come one by one. */
static void try_next(struct session_book *book, struct wait_queue *q)
{
    uint32_t session = q->at;
    struct session *s = &book->session[session];
    cx_assert(s->waits);
    bool got = s->state == SESSION_OPENING ? take_all(book, session) : take_one(book, session);
    if (!got) {
        session_try_at(book, s->policy.model, s->wait_next);
        return;
    }
    uint32_t away = s->state == SESSION_ACTIVE ? member_away(book, s) : SLOT_NONE;
    if (away != SLOT_NONE)
        session_member_remove(book, away, RELEASE_LOST);
    if (s->state == SESSION_OPENING)
        activate(book, session);
    else
        session_settle(book, session);
}

static struct wait_queue *queue_to_try(const struct session_book *book)
{
    return book->to_try ? &book->waiting[__builtin_ctzll(book->to_try)] : NULL;
}

static bool nobody_waits(const struct session_book *book, const struct session *s)
{
    return book->waiting[s->policy.model].head == SLOT_NONE;
}

/* ---- members in their turn ---- */

/* Nodes that are tested again because of this session, and not through yet. At most a quarter of a session is. */
static uint32_t count_out(struct session_book *book, uint32_t session)
{
    uint32_t next;
    for (uint32_t i = book->session[session].out_head; i != SLOT_NONE; i = next) {
        next = book->member[i].next;
        if (!node_pool_is_out_for_test(book->node_pool, i))
            session_out_remove(book, i);
    }
    return book->session[session].out;
}

static uint32_t count_leaving(const struct session_book *book, const struct session *s)
{
    uint32_t count = 0;
    for (uint32_t i = s->node_head; i != SLOT_NONE; i = book->member[i].next)
        count += book->member[i].leaving;
    return count;
}

static bool can_spare(const struct session *s) { return s->here > s->policy.nodes_min; }

/* Makes it so where the pool has a node that nobody else waits for. */
static bool make_spare(struct session_book *book, uint32_t session)
{
    const struct session *s = &book->session[session];
    if (can_spare(s))
        return true;
    return s->here == s->policy.nodes_min && nobody_waits(book, s) && take_one(book, session);
}

static bool may_be_tested(struct session_book *book, uint32_t session)
{
    const struct session *s = &book->session[session];
    if (!book->oracle_lives)
        return false;
    return count_out(book, session) + count_leaving(book, s) < u32_max(1, s->nodes / 4);
}

static void renew(struct session_book *book, uint32_t node)
{
    struct member *m = &book->member[node];
    struct session *s = &book->session[m->session];
    if (m->leaving && !m->away)
        s->here++;
    m->leaving = false;
    session_member_settle(book, node);
    m->tasks = 0;
    m->until_ms = s->policy.reserve_ms ? u64_add_sat(book->step->now_ms, s->policy.reserve_ms) : TIME_NEVER;
}

static bool is_turnover(enum release_reason why) { return why == RELEASE_TIME || why == RELEASE_TASKS; }

static void let_go(struct session_book *book, uint32_t node)
{
    uint32_t session = book->member[node].session;
    enum release_reason why = book->member[node].why;
    session_member_remove(book, node, why);
    if (is_turnover(why))
        session_out_add(book, session, node);
}

static bool falls_short(const struct session_book *book, uint32_t session, uint32_t node)
{
    struct node_filter filter;
    session_filter(book, session, &filter);
    filter.routers = NULL;  // a link that is down is absence, not a fault
    return !node_pool_fits(book->node_pool, node, &filter);
}

/* What becomes of a member that is not leaving: NONE where it stays. */
static enum release_reason reason_to_go(struct session_book *book, uint32_t session, uint32_t node)
{
    const struct session *s = &book->session[session];
    const struct member *m = &book->member[node];
    uint64_t now_ms = book->step->now_ms;
    if (m->until_ms <= now_ms) {
        uint32_t tasks_max = s->policy.tasks_per_node_max;
        if (may_be_tested(book, session) && make_spare(book, session))
            return tasks_max > 0 && m->tasks >= tasks_max ? RELEASE_TASKS : RELEASE_TIME;
        renew(book, node);
    }
    if (falls_short(book, session, node))
        return make_spare(book, session) ? RELEASE_SLA : RELEASE_NONE;
    bool idle = m->in_flight == 0 && m->idle_ms + book->step->params.idle_ms <= now_ms;
    return idle && can_spare(s) && s->waiting_ms == TIME_NEVER ? RELEASE_IDLE : RELEASE_NONE;
}

static void look_again(struct session_book *book, uint32_t node)
{
    const struct member *m = &book->member[node];
    uint64_t now_ms = book->step->now_ms, idle_ms = book->step->params.idle_ms;
    uint64_t at_ms = now_ms + idle_ms;
    if (m->in_flight == 0 && m->idle_ms + idle_ms > now_ms)
        at_ms = m->idle_ms + idle_ms;
    session_member_look(book, node, m->dedicated ? TIME_NEVER : u64_min(m->until_ms, at_ms));
}

static void member_turn(struct session_book *book, uint32_t node)
{
    struct member *m = &book->member[node];
    uint32_t session = m->session;
    const struct session *s = &book->session[session];
    session_member_look(book, node, TIME_NEVER);
    if (s->closing != SESSION_REASON_NONE && !m->leaving)
        return;
    if (m->leaving) {
        cx_assert(m->in_flight == 0);
        /* What let it leave may have changed while it was busy. */
        bool stays = is_turnover(m->why) && (!book->oracle_lives || s->here < s->policy.nodes_min);
        if (stays) {
            renew(book, node);
            session_mark(book, session);
            look_again(book, node);
        } else {
            let_go(book, node);
        }
    } else {
        enum release_reason why = reason_to_go(book, session, node);
        if (why == RELEASE_NONE)
            look_again(book, node);
        else
            session_member_retire(book, node, why);
    }
    session_settle(book, session);
}

/* ---- sessions in their turn ---- */

static void give_up_opening(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    s->closing = SESSION_REASON_NO_NODES;
    session_mark(book, session);
    session_settle(book, session);
}

static void open_again(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    bool at_once = s->policy.reserve == RESERVE_AT_OPEN;
    s->closing = SESSION_REASON_NONE;
    s->opens_by_ms = at_once ? u64_add_sat(book->step->now_ms, s->policy.open_ms) : TIME_NEVER;
    session_move(book, session, SESSION_OPENING, SESSION_REASON_NO_NODES);
}

static void close_session(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    enum session_reason reason = s->closing == SESSION_REASON_OWNER ? SESSION_REASON_DRAINED : s->closing;
    cx_assert(s->nodes == 0 && s->in_flight == 0);
    while (s->out_head != SLOT_NONE)
        session_out_remove(book, s->out_head);
    session_move(book, session, SESSION_CLOSED, reason);
    if (s->policy.pays == PAYS_OWNER) {
        payment_escrow_refund(book->payment, session, s->policy.owner);
        struct evt_session_escrow *escrow = &event_add(book->step->out, EVENT_SESSION_ESCROW)->session_escrow;
        escrow->session = slots_id(&book->slots, session);
    }
    session_unmark(book, session);
    heap_remove(&book->due, session);
    if (!hash_is_zero(&s->reference))
        id_map_remove(&book->by_reference, session);
    catalog_unuse(book->catalog, s->policy.model);
    slots_give(&book->slots, session);
}

/* It has no task any more: one node at a time goes, then the session. */
static void end_next(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    if (s->policy.shared && s->closing == SESSION_REASON_NO_NODES)
        open_again(book, session);
    else if (s->node_head != SLOT_NONE)
        session_member_remove(book, s->node_head, RELEASE_SESSION_CLOSED);
    else
        close_session(book, session);
}

static void grow(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    if (nobody_waits(book, s))
        take_one(book, session);
    s->grown_ms = book->step->now_ms;
    session_plan_growth(book, session);
    session_settle(book, session);
}

static void session_turn(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    if (s->closing != SESSION_REASON_NONE && s->in_flight == 0) {
        end_next(book, session);
        return;
    }
    switch (s->state) {
    case SESSION_OPENING:
        if (s->here >= s->policy.nodes_min)
            activate(book, session);  // by nodes that were pinned to it
        else
            give_up_opening(book, session);
        break;
    case SESSION_ACTIVE: grow(book, session); break;
    case SESSION_DRAINING:
        s->closing = SESSION_REASON_DRAIN_TIMEOUT;
        session_mark(book, session);
        session_settle(book, session);
        break;
    case SESSION_CLOSED:
    case SESSION_STATE_COUNT: cx_assert(false); break;
    }
}

/* ---- time ---- */

uint64_t session_due_ms(const struct session_book *book)
{
    if (node_pool_has_news(book->node_pool) || queue_to_try(book))
        return 0;
    return u64_min(heap_top_key(&book->due), heap_top_key(&book->turn));
}

static void hear_news(struct session_book *book)
{
    uint32_t node = node_pool_take_news(book->node_pool);
    if (node != SLOT_NONE) {
        session_hear(book, node);
        return;
    }
    uint32_t model = node_pool_take_came(book->node_pool);
    if (model != SLOT_NONE)
        session_try_at(book, model, book->waiting[model].head);
}

void session_sweep(struct session_book *book)
{
    uint64_t session_ms = heap_top_key(&book->due), turn_ms = heap_top_key(&book->turn);
    struct wait_queue *q = queue_to_try(book);
    if (node_pool_has_news(book->node_pool))
        hear_news(book);
    else if (q)
        try_next(book, q);
    else if (session_ms <= turn_ms && session_ms <= book->step->now_ms)
        session_turn(book, heap_top(&book->due));
    else if (turn_ms <= book->step->now_ms)
        member_turn(book, heap_top(&book->turn));
}

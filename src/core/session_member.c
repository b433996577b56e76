/* session_member.c - the nodes of a session: how they come and go, and which of them take a task. */
#include "base/assert.h"
#include "core/session_parts.h"

/* Dice: docs/protocol.md, "Randomness". */
#define MEMBER_TAG "corten/m"

/* ---- coming and going ---- */

static void list_add(struct session_book *book, uint32_t *head, uint32_t node)
{
    struct member *m = &book->member[node];
    m->prev = SLOT_NONE;
    m->next = *head;
    if (*head != SLOT_NONE)
        book->member[*head].prev = node;
    *head = node;
}

static void list_remove(struct session_book *book, uint32_t *head, uint32_t node)
{
    struct member *m = &book->member[node];
    *(m->prev == SLOT_NONE ? head : &book->member[m->prev].next) = m->next;
    if (m->next != SLOT_NONE)
        book->member[m->next].prev = m->prev;
}

static struct member *member_of(const struct session_book *book, uint32_t node)
{
    cx_assert(node < book->node_cap);
    cx_assert(book->member[node].session != SLOT_NONE);
    return &book->member[node];
}

static bool is_free(const struct session_book *book, uint32_t node)
{
    const struct member *m = &book->member[node];
    return m->session != SLOT_NONE && !m->leaving && !m->away &&
           m->in_flight < node_pool_node(book->node_pool, node)->slots;
}

void session_member_settle(struct session_book *book, uint32_t node)
{
    struct member *m = &book->member[node];
    bool is = is_free(book, node);
    if (m->free == is)
        return;
    m->free = is;
    uint32_t *head = &book->session[m->session].free_head;
    if (is) {
        m->free_prev = SLOT_NONE;
        m->free_next = *head;
        if (*head != SLOT_NONE)
            book->member[*head].free_prev = node;
        *head = node;
        return;
    }
    *(m->free_prev == SLOT_NONE ? head : &book->member[m->free_prev].free_next) = m->free_next;
    if (m->free_next != SLOT_NONE)
        book->member[m->free_next].free_prev = m->free_prev;
}

void session_member_look(struct session_book *book, uint32_t node, uint64_t at_ms)
{
    book->member[node].turn_ms = at_ms;
    heap_set(&book->turn, node, at_ms);
}

void session_out_add(struct session_book *book, uint32_t session, uint32_t node)
{
    cx_assert(book->member[node].session == SLOT_NONE);
    book->member[node].out_of = session;
    book->session[session].out++;
    list_add(book, &book->session[session].out_head, node);
}

void session_out_remove(struct session_book *book, uint32_t node)
{
    uint32_t session = book->member[node].out_of;
    if (session == SLOT_NONE)
        return;
    list_remove(book, &book->session[session].out_head, node);
    book->session[session].out--;
    book->member[node].out_of = SLOT_NONE;
}

void session_member_add(struct session_book *book, uint32_t session, uint32_t node, bool dedicated)
{
    struct session *s = session_of(book, session);
    uint64_t now_ms = book->step->now_ms;
    cx_assert(book->member[node].session == SLOT_NONE);
    cx_assert(s->nodes < SESSION_NODES_MAX);
    node_pool_reserve(book->node_pool, node, s->policy.model);
    session_out_remove(book, node);
    book->member[node] = (struct member){
        .session = session,
        .out_of = SLOT_NONE,
        .until_ms = dedicated || s->policy.reserve_ms == 0 ? TIME_NEVER : u64_add_sat(now_ms, s->policy.reserve_ms),
        .idle_ms = now_ms,
        .dedicated = dedicated,
    };
    list_add(book, &s->node_head, node);
    session_member_settle(book, node);
    s->nodes++;
    s->here++;
    struct member *m = &book->member[node];
    session_member_look(book, node, dedicated ? TIME_NEVER : u64_min(m->until_ms, now_ms + book->step->params.idle_ms));
    struct evt_session_node_reserved *reserved =
        &event_add(book->step->out, EVENT_SESSION_NODE_RESERVED)->session_node_reserved;
    reserved->session = slots_id(&book->slots, session);
    reserved->node = node_pool_node(book->node_pool, node)->address;
    reserved->dedicated = dedicated;
}

static enum node_reason node_reason_of(enum release_reason why)
{
    switch (why) {
    case RELEASE_LOST: return NODE_REASON_ABSENT;
    case RELEASE_SLA: return NODE_REASON_REPLACED;
    case RELEASE_NONE:
    case RELEASE_TIME:
    case RELEASE_TASKS:
    case RELEASE_IDLE:
    case RELEASE_SESSION_CLOSED:
    case RELEASE_OWNER: break;
    }
    return NODE_REASON_SESSION_ENDED;
}

void session_member_remove(struct session_book *book, uint32_t node, enum release_reason why)
{
    struct member *m = member_of(book, node);
    struct session *s = session_of(book, m->session);
    cx_assert(m->in_flight == 0);
    list_remove(book, &s->node_head, node);
    s->nodes--;
    if (!m->leaving && !m->away)
        s->here--;
    m->leaving = true;
    session_member_settle(book, node);
    struct evt_session_node_released *released =
        &event_add(book->step->out, EVENT_SESSION_NODE_RELEASED)->session_node_released;
    released->session = slots_id(&book->slots, m->session);
    released->node = node_pool_node(book->node_pool, node)->address;
    released->reason = (uint8_t)why;
    session_member_look(book, node, TIME_NEVER);
    *m = (struct member){.session = SLOT_NONE, .out_of = SLOT_NONE, .turn_ms = TIME_NEVER};
    node_pool_release(book->node_pool, node, node_reason_of(why));
}

void session_member_retire(struct session_book *book, uint32_t node, enum release_reason why)
{
    struct member *m = member_of(book, node);
    if (!m->leaving && !m->away)
        session_of(book, m->session)->here--;
    m->leaving = true;
    m->why = why;
    session_member_settle(book, node);
    session_member_look(book, node, m->in_flight == 0 ? 0 : TIME_NEVER);
}

void session_member_busy(struct session_book *book, uint32_t node)
{
    struct member *m = member_of(book, node);
    uint32_t tasks_max = session_of(book, m->session)->policy.tasks_per_node_max;
    cx_assert(!m->leaving && !m->away);
    node_pool_busy(book->node_pool, node);
    m->in_flight++;
    m->tasks++;
    session_member_settle(book, node);
    if (tasks_max == 0 || m->tasks < tasks_max || m->dedicated)
        return;
    m->until_ms = book->step->now_ms;
    session_member_look(book, node, book->step->now_ms);
}

void session_member_idle(struct session_book *book, uint32_t node)
{
    struct member *m = member_of(book, node);
    cx_assert(m->in_flight > 0);
    node_pool_idle(book->node_pool, node);
    m->in_flight--;
    session_member_settle(book, node);
    if (m->in_flight > 0)
        return;
    m->idle_ms = book->step->now_ms;
    if (m->leaving)
        session_member_look(book, node, 0);
}

uint32_t session_busy_member(const struct session_book *book, uint32_t session)
{
    uint32_t node = session_of(book, session)->node_head;
    while (node != SLOT_NONE && book->member[node].in_flight == 0)
        node = book->member[node].next;
    return node;
}

static void come_back(struct session_book *book, uint32_t node)
{
    struct member *m = member_of(book, node);
    if (m->away && !m->leaving)
        session_of(book, m->session)->here++;
    m->away = false;
    session_member_settle(book, node);
    session_mark(book, m->session);
    session_settle(book, m->session);
}

static void go_away(struct session_book *book, uint32_t node)
{
    struct member *m = member_of(book, node);
    if (!m->away && !m->leaving)
        session_of(book, m->session)->here--;
    m->away = true;
    session_member_settle(book, node);
    session_settle(book, m->session);
}

void session_node_lost(struct session_book *book, uint32_t node)
{
    const struct member *m = member_of(book, node);
    uint32_t session = m->session;
    cx_assert(m->in_flight == 0);
    if (node_pool_is_lost_for_good(book->node_pool, node) ||
        (m->leaving && !node_pool_is_present(book->node_pool, node))) {
        session_member_remove(book, node, RELEASE_LOST);
        session_settle(book, session);
    } else if (node_pool_is_present(book->node_pool, node)) {
        come_back(book, node);
    } else {
        go_away(book, node);
    }
}

void session_hear(struct session_book *book, uint32_t node)
{
    uint32_t session = member_of(book, node)->session;
    if (!node_pool_is_lost_for_good(book->node_pool, node)) {
        come_back(book, node);
        return;
    }
    session_member_retire(book, node, RELEASE_LOST);  // it drains
    session_settle(book, session);
}

/* ---- picking members for a task ---- */

static bool is_in(const uint32_t *list, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] == node)
            return true;
    return false;
}

static bool will_do(const struct session_book *book, const struct member_wish *wish, uint32_t node)
{
    const struct session_policy *p = &book->session[wish->session].policy;
    const struct member *m = &book->member[node];
    if (m->leaving || m->away || !node_pool_has_slot(book->node_pool, node))
        return false;
    if (!node_pool_is_attached(book->node_pool, node, wish->router) || is_in(wish->avoid, wish->avoid_count, node))
        return false;
    uint32_t at = node_pool_serves(book->node_pool, node, p->model);
    cx_assert(at != SLOT_NONE);
    const struct node_model *model = &node_pool_node(book->node_pool, node)->model[at];
    return model->context >= wish->context && model->price_in <= p->price_in_max &&
           model->price_out <= p->price_out_max;
}

static uint64_t rank_of(const struct session_book *book, const struct member_wish *wish, uint64_t dice, uint32_t node)
{
    uint64_t load = ((uint64_t)book->member[node].in_flight << 8) / node_pool_node(book->node_pool, node)->slots;
    uint64_t chance = (dice ^ node) * 0x9e3779b97f4a7c15u >> 40;
    uint64_t shunned = is_in(wish->shun, wish->shun_count, node);
    return shunned << 63 | load << 24 | chance;
}

static bool operator_is_taken(const struct session_book *book, const struct member_wish *wish, const uint32_t *picked,
                              uint32_t count, uint32_t node)
{
    const struct node_pool *pool = book->node_pool;
    const struct address *operator= node_pool_operator(pool, node);
    for (uint32_t i = 0; i < count; i++)
        if (address_eq(node_pool_operator(pool, picked[i]), operator))
            return true;
    for (uint32_t i = 0; i < wish->avoid_count; i++)
        if (address_eq(node_pool_operator(pool, wish->avoid[i]), operator))
            return true;
    return false;
}

bool session_pick_members(const struct session_book *book, const struct member_wish *wish, uint32_t *ret_nodes)
{
    const struct session *s = session_of(book, wish->session);
    struct {
        uint32_t node;
        uint64_t rank;
    } candidate[SESSION_NODES_MAX];
    uint32_t candidates = 0, picked = 0;
    cx_assert(wish->want <= REDUNDANCY_MAX);
    for (uint32_t node = s->free_head; node != SLOT_NONE; node = book->member[node].free_next) {
        if (!will_do(book, wish, node))
            continue;
        candidate[candidates].node = node;
        candidate[candidates++].rank = 0;
    }
    if (candidates < wish->want)
        return false;
    /* Of less there is no choice, and so no draw. */
    uint64_t dice = candidates > 1 ? step_dice(&book->dice, MEMBER_TAG, wish->task, wish->draw) : 0;
    for (uint32_t i = 0; i < candidates && candidates > 1; i++)
        candidate[i].rank = rank_of(book, wish, dice, candidate[i].node);
    /* The best of each operator in turn: no other choice could find more operators. */
    while (picked < wish->want) {
        uint32_t best = SLOT_NONE;
        for (uint32_t i = 0; i < candidates; i++)
            if (best == SLOT_NONE || candidate[i].rank < candidate[best].rank ||
                (candidate[i].rank == candidate[best].rank && candidate[i].node < candidate[best].node))
                best = i;
        if (best == SLOT_NONE)
            return false;
        uint32_t node = candidate[best].node;
        candidate[best] = candidate[--candidates];
        if (!s->policy.diversity || !operator_is_taken(book, wish, ret_nodes, picked, node))
            ret_nodes[picked++] = node;
    }
    return true;
}

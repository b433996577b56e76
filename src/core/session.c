/* session.c - sessions and their members: who is in, what follows from it, and what the queue asks. */
#include "base/assert.h"
#include "base/mem.h"
#include "core/session_parts.h"

#define MINUTE_MS 60000

/* The arrows of the picture in session.h. OPENING -> OPENING is a shared session that waits anew. */
static const unsigned allowed[SESSION_STATE_COUNT] = {
    [SESSION_OPENING] = 1u << SESSION_OPENING | 1u << SESSION_ACTIVE | 1u << SESSION_DRAINING | 1u << SESSION_CLOSED,
    [SESSION_ACTIVE] = 1u << SESSION_DRAINING,
    [SESSION_DRAINING] = 1u << SESSION_CLOSED,
};

bool session_init(struct session_book *book, struct arena *arena, struct step *step, struct account_book *account,
                  struct catalog *catalog, struct node_pool *node_pool, struct payment *payment)
{
    const struct params *params = &step->params;
    uint32_t sessions = (uint32_t)params->sessions_cap;
    *book = (struct session_book){
        .step = step,
        .account = account,
        .catalog = catalog,
        .node_pool = node_pool,
        .payment = payment,
        .pool_cap = (uint32_t)params->pools_cap,
        .model_cap = (uint32_t)params->models_cap,
        .node_cap = (uint32_t)params->nodes_cap,
        .marked = {SLOT_NONE, SLOT_NONE},
    };
    book->session = arena_take(arena, sessions, sizeof *book->session);
    book->member = arena_take(arena, book->node_cap, sizeof *book->member);
    book->pool = arena_take(arena, book->pool_cap, sizeof *book->pool);
    book->waiting = arena_take(arena, book->model_cap, sizeof *book->waiting);
    bool ok = book->session && book->member && book->pool && book->waiting;
    ok &= slots_init(&book->slots, arena, sessions);
    ok &= id_map_init(&book->by_reference, arena, sessions, book->session ? &book->session->reference : NULL,
                      sizeof *book->session, sizeof(struct hash));
    ok &= heap_init(&book->due, arena, sessions);
    ok &= heap_init(&book->turn, arena, book->node_cap);
    if (!ok)
        return false;
    for (uint32_t i = 0; i < book->node_cap; i++)
        book->member[i] = (struct member){.session = SLOT_NONE, .out_of = SLOT_NONE, .turn_ms = TIME_NEVER};
    for (uint32_t i = 0; i < book->model_cap; i++)
        book->waiting[i] = (struct wait_queue){SLOT_NONE, SLOT_NONE, SLOT_NONE};
    return true;
}

void session_set_dice(struct session_book *book, const struct hash *dice, bool oracle_lives)
{
    book->dice = *dice;
    book->oracle_lives = oracle_lives;
}

static struct session *session_of(const struct session_book *book, uint32_t session)
{
    cx_assert(slots_is_live(&book->slots, session));
    return &book->session[session];
}

void session_move(struct session_book *book, uint32_t session, enum session_state to, enum session_reason reason)
{
    struct session *s = session_of(book, session);
    cx_assert(allowed[s->state] & 1u << to);
    struct evt_session_moved *moved = &event_add(book->step->out, EVENT_SESSION_MOVED)->session_moved;
    moved->session = slots_id(&book->slots, session);
    moved->from = (uint8_t)s->state;
    moved->to = (uint8_t)to;
    moved->reason = (uint8_t)reason;
    s->state = to;
    s->since_ms = book->step->now_ms;
    session_settle(book, session);
}

/* ---- what follows from a session's record ---- */

uint32_t session_need(const struct session_book *book, uint32_t session)
{
    const struct session *s = session_of(book, session);
    if (s->closing != SESSION_REASON_NONE || s->policy.mode == MODE_DEDICATED || s->here >= s->policy.nodes_min)
        return 0;
    bool opens = s->state == SESSION_OPENING && s->opens_by_ms != TIME_NEVER;
    return opens || s->state == SESSION_ACTIVE ? s->policy.nodes_min - s->here : 0;
}

uint64_t session_key_ms(const struct session_book *book, uint32_t session)
{
    const struct session *s = session_of(book, session);
    const struct session_policy *p = &s->policy;
    if (s->closing != SESSION_REASON_NONE && s->in_flight == 0)
        return 0;
    switch (s->state) {
    case SESSION_OPENING:
        if (s->closing != SESSION_REASON_NONE || s->opens_by_ms == TIME_NEVER)
            return TIME_NEVER;
        return s->here >= p->nodes_min ? 0 : s->opens_by_ms;
    case SESSION_ACTIVE:
        if (s->waiting_ms == TIME_NEVER || s->nodes >= p->nodes_max || p->mode == MODE_DEDICATED)
            return TIME_NEVER;
        return u64_add_sat(u64_max(s->waiting_ms, s->grown_ms), book->step->params.grow_wait_ms);
    case SESSION_DRAINING:
        return s->closing == SESSION_REASON_OWNER ? u64_add_sat(s->since_ms, p->drain_ms) : TIME_NEVER;
    case SESSION_CLOSED:
    case SESSION_STATE_COUNT: break;
    }
    return TIME_NEVER;
}

static void wait_add(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    struct wait_queue *q = &book->waiting[s->policy.model];
    bool first = s->state == SESSION_ACTIVE;  // it is degraded: it was promised nodes before those that open
    s->waits = true;
    s->wait_prev = first ? SLOT_NONE : q->tail;
    s->wait_next = first ? q->head : SLOT_NONE;
    *(s->wait_prev == SLOT_NONE ? &q->head : &book->session[s->wait_prev].wait_next) = session;
    *(s->wait_next == SLOT_NONE ? &q->tail : &book->session[s->wait_next].wait_prev) = session;
    if (first || q->at == SLOT_NONE)
        q->at = session;
}

static void wait_remove(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    struct wait_queue *q = &book->waiting[s->policy.model];
    s->waits = false;
    if (q->at == session)
        q->at = s->wait_next;
    *(s->wait_prev == SLOT_NONE ? &q->head : &book->session[s->wait_prev].wait_next) = s->wait_next;
    *(s->wait_next == SLOT_NONE ? &q->tail : &book->session[s->wait_next].wait_prev) = s->wait_prev;
}

static void tell_degraded(struct session_book *book, uint32_t session)
{
    struct evt_session_degraded *degraded = &event_add(book->step->out, EVENT_SESSION_DEGRADED)->session_degraded;
    degraded->session = slots_id(&book->slots, session);
    degraded->degraded = book->session[session].degraded;
}

void session_settle(struct session_book *book, uint32_t session)
{
    struct session *s = session_of(book, session);
    bool degraded = s->state == SESSION_ACTIVE && s->here < s->policy.nodes_min;
    if (degraded != s->degraded) {
        s->degraded = degraded;
        tell_degraded(book, session);
    }
    bool waits = session_need(book, session) > 0;
    if (waits && !s->waits)
        wait_add(book, session);
    else if (!waits && s->waits)
        wait_remove(book, session);
    heap_set(&book->due, session, session_key_ms(book, session));
}

/* ---- marks ---- */

bool session_has_marks(const struct session_book *book) { return book->marked.head != SLOT_NONE; }

void session_mark(struct session_book *book, uint32_t session)
{
    struct session *s = session_of(book, session);
    if (s->marked)
        return;
    s->marked = true;
    s->mark_prev = book->marked.tail;
    s->mark_next = SLOT_NONE;
    *(s->mark_prev == SLOT_NONE ? &book->marked.head : &book->session[s->mark_prev].mark_next) = session;
    book->marked.tail = session;
}

void session_unmark(struct session_book *book, uint32_t session)
{
    struct session *s = session_of(book, session);
    if (!s->marked)
        return;
    s->marked = false;
    *(s->mark_prev == SLOT_NONE ? &book->marked.head : &book->session[s->mark_prev].mark_next) = s->mark_next;
    *(s->mark_next == SLOT_NONE ? &book->marked.tail : &book->session[s->mark_next].mark_prev) = s->mark_prev;
}

uint32_t session_take_mark(struct session_book *book)
{
    uint32_t session = book->marked.head;
    if (session != SLOT_NONE)
        session_unmark(book, session);
    return session;
}

/* ---- members ---- */

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
    if (m->in_flight > 0)
        return;
    m->idle_ms = book->step->now_ms;
    if (m->leaving)
        session_member_look(book, node, 0);
}

uint32_t session_of_node(const struct session_book *book, uint32_t node)
{
    cx_assert(node < book->node_cap);
    return book->member[node].session;
}

static void come_back(struct session_book *book, uint32_t node)
{
    struct member *m = member_of(book, node);
    if (m->away && !m->leaving)
        session_of(book, m->session)->here++;
    m->away = false;
    session_mark(book, m->session);
    session_settle(book, m->session);
}

static void go_away(struct session_book *book, uint32_t node)
{
    struct member *m = member_of(book, node);
    if (!m->away && !m->leaving)
        session_of(book, m->session)->here--;
    m->away = true;
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

/* ---- for the queue ---- */

uint32_t session_find(const struct session_book *book, uint64_t id) { return slots_find(&book->slots, id); }

uint64_t session_id(const struct session_book *book, uint32_t session) { return slots_id(&book->slots, session); }

const struct session_policy *session_policy(const struct session_book *book, uint32_t session)
{
    return &session_of(book, session)->policy;
}

enum session_state session_state(const struct session_book *book, uint32_t session)
{
    return session_of(book, session)->state;
}

bool session_is_degraded(const struct session_book *book, uint32_t session)
{
    return session_of(book, session)->degraded;
}

static bool may_use(const struct session_book *book, const struct session_policy *p, uint32_t payer)
{
    if (p->access == ACCESS_PUBLIC || payer == p->owner)
        return true;
    const struct address *address = account_address(book->account, payer);
    for (uint32_t i = 0; i < p->member_count; i++)
        if (address_eq(&p->member[i], address))
            return true;
    return false;
}

static bool runs_on(const struct session_policy *p, uint32_t router)
{
    for (uint32_t i = 0; i < p->router_count; i++)
        if (p->router[i] == router)
            return true;
    return p->router_count == 0;
}

/* More nodes than this there cannot be for a task. */
static uint32_t nodes_at_most(const struct session_book *book, const struct session *s)
{
    if (s->policy.mode == MODE_DEDICATED && s->state == SESSION_ACTIVE)
        return s->nodes;
    return node_pool_count_offering(book->node_pool, s->policy.model);
}

static uint32_t tasks_this_minute(const struct session_book *book, const struct session *s)
{
    return book->step->now_ms - s->minute_ms < MINUTE_MS ? s->minute_tasks : 0;
}

enum verdict session_check_submit(const struct session_book *book, uint32_t session, uint32_t payer)
{
    const struct session *s = session_of(book, session);
    const struct session_policy *p = &s->policy;
    bool ends = s->closing != SESSION_REASON_NONE && !p->shared;
    if (ends || (s->state != SESSION_OPENING && s->state != SESSION_ACTIVE))
        return VERDICT_SESSION_NOT_OPEN;
    if (!may_use(book, p, payer))
        return VERDICT_SESSION_ACCESS;
    if (!runs_on(p, book->step->router))
        return VERDICT_SESSION_ROUTER;
    if (nodes_at_most(book, s) < p->redundancy)
        return VERDICT_NODES_TOO_FEW;
    if (p->tasks_per_minute_max > 0 && tasks_this_minute(book, s) >= p->tasks_per_minute_max)
        return VERDICT_RATE_LIMITED;
    if (p->tasks_in_flight_max > 0 && s->in_flight >= p->tasks_in_flight_max)
        return VERDICT_IN_FLIGHT_LIMIT;
    return VERDICT_ACCEPTED;
}

void session_task_began(struct session_book *book, uint32_t session)
{
    struct session *s = session_of(book, session);
    uint64_t now_ms = book->step->now_ms;
    s->minute_tasks = tasks_this_minute(book, s) + 1;
    if (s->minute_tasks == 1)
        s->minute_ms = now_ms;
    s->in_flight++;
    if (s->state == SESSION_OPENING && s->closing == SESSION_REASON_NONE && s->opens_by_ms == TIME_NEVER)
        s->opens_by_ms = u64_add_sat(now_ms, s->policy.open_ms);
    session_settle(book, session);
}

void session_task_ended(struct session_book *book, uint32_t session)
{
    struct session *s = session_of(book, session);
    cx_assert(s->in_flight > 0);
    s->in_flight--;
    if (s->in_flight == 0)
        session_settle(book, session);
}

void session_waiting(struct session_book *book, uint32_t session, uint64_t queued_since_ms)
{
    struct session *s = session_of(book, session);
    if (s->waiting_ms == queued_since_ms)
        return;
    s->waiting_ms = queued_since_ms;
    heap_set(&book->due, session, session_key_ms(book, session));
}

void session_filter(const struct session_book *book, uint32_t session, struct node_filter *ret_filter)
{
    const struct session_policy *p = session_policy(book, session);
    *ret_filter = (struct node_filter){
        .model = p->model,
        .sla = p->sla,
        .class = p->class,
        .price_in_max = p->price_in_max,
        .price_out_max = p->price_out_max,
        .allowed = p->privacy == PRIVACY_RESTRICTED ? p->allowed : NULL,
        .allowed_count = p->allowed_count,
        .routers = p->router_count > 0 ? p->router : NULL,
        .router_count = p->router_count,
    };
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

static uint64_t rank_of(const struct session_book *book, const struct member_wish *wish, uint32_t node)
{
    uint64_t load = ((uint64_t)book->member[node].in_flight << 8) / node_pool_node(book->node_pool, node)->slots;
    uint64_t chance = (wish->dice ^ node) * 0x9e3779b97f4a7c15u >> 40;
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
    for (uint32_t node = s->node_head; node != SLOT_NONE; node = book->member[node].next) {
        if (!will_do(book, wish, node))
            continue;
        candidate[candidates].node = node;
        candidate[candidates++].rank = rank_of(book, wish, node);
    }
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

/* session.c - a session: its states, what follows from its record, its marks, and what the queue asks of it. */
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
    cx_assert(book->model_cap <= 64);  // to_try has a bit for each
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

void session_expect(const struct session_book *book, uint32_t session)
{
    if (session >= book->slots.used)
        return;
    const struct session *s = &book->session[session];
    slots_expect(&book->slots, session);
    cx_prefetch(&s->policy, offsetof(struct session_policy, router));
    cx_prefetch(&s->state, offsetof(struct session, name) - offsetof(struct session, state));
    cx_prefetch(&s->degraded, sizeof s->degraded);
}

void session_set_dice(struct session_book *book, const struct hash *dice, bool oracle_lives)
{
    book->dice = *dice;
    book->oracle_lives = oracle_lives;
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
    case SESSION_ACTIVE: return s->nodes >= p->nodes_max || p->mode == MODE_DEDICATED ? TIME_NEVER : s->grows_ms;
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
        session_try_at(book, s->policy.model, session);
}

static void wait_remove(struct session_book *book, uint32_t session)
{
    struct session *s = &book->session[session];
    struct wait_queue *q = &book->waiting[s->policy.model];
    s->waits = false;
    if (q->at == session)
        session_try_at(book, s->policy.model, s->wait_next);
    *(s->wait_prev == SLOT_NONE ? &q->head : &book->session[s->wait_prev].wait_next) = s->wait_next;
    *(s->wait_next == SLOT_NONE ? &q->tail : &book->session[s->wait_next].wait_prev) = s->wait_prev;
}

/* Its deadline, which most changes of a session leave where it is. */
static void set_due(struct session_book *book, uint32_t session)
{
    uint64_t key_ms = session_key_ms(book, session);
    uint64_t before_ms = heap_has(&book->due, session) ? heap_key(&book->due, session) : TIME_NEVER;
    if (key_ms != before_ms)
        heap_set(&book->due, session, key_ms);
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
    set_due(book, session);
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

/* ---- for the queue ---- */

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

void session_plan_growth(struct session_book *book, uint32_t session)
{
    struct session *s = session_of(book, session);
    uint64_t from_ms = u64_max(s->waiting_ms, s->grown_ms);
    s->grows_ms = u64_add_sat(from_ms, book->step->params.grow_wait_ms);
}

void session_waiting(struct session_book *book, uint32_t session, uint64_t queued_since_ms)
{
    struct session *s = session_of(book, session);
    if (s->waiting_ms == queued_since_ms)
        return;
    s->waiting_ms = queued_since_ms;
    session_plan_growth(book, session);
    set_due(book, session);
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

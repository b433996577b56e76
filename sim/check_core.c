/* check_core.c - opening the books, the clock, and one entry at a time. */
#include "base/assert.h"
#include "base/bytes.h"
#include "sim/check_core_parts.h"

/* ---- rows ---- */

static bool places_init(struct free_places *rows, struct arena *arena, uint32_t cap)
{
    rows->free = arena_take(arena, cap, sizeof *rows->free);
    rows->cap = rows->count = cap;
    for (uint32_t i = 0; rows->free && i < cap; i++)
        rows->free[i] = cap - 1 - i;
    return rows->free != NULL;
}

uint32_t places_take(struct free_places *rows) { return rows->count == 0 ? SLOT_NONE : rows->free[--rows->count]; }

void places_give(struct free_places *rows, uint32_t row)
{
    cx_assert(rows->count < rows->cap);
    rows->free[rows->count++] = row;
}

/* ---- opening ---- */

#define KEYED(c, map, table, key)                                                                        \
    id_map_init(&(c)->map, arena, cap_##table, (c)->table ? &(c)->table->key : NULL, sizeof *(c)->table, \
                sizeof(c)->table->key)

static bool init_tables(struct check_core *c, struct arena *arena)
{
    const struct params *p = &c->params;
    uint32_t cap_lease = (uint32_t)p->assignments_cap, cap_node = (uint32_t)p->nodes_cap;
    uint32_t cap_audit = (uint32_t)p->audits_cap, cap_reference = (uint32_t)p->references_cap;
    uint32_t cap_account = (uint32_t)p->accounts_cap + 1;  // and the nobody that is `network`
    c->task_cap = (uint32_t)p->tasks_cap;
    c->session_cap = (uint32_t)p->sessions_cap;
    c->model_cap = (uint32_t)p->models_cap;
    c->round_cap = (uint32_t)p->rounds_cap;
    c->withdrawal_cap = (uint32_t)p->withdrawals_cap;
    c->account_cap = cap_account;
    c->task = arena_take(arena, c->task_cap, sizeof *c->task);
    c->session = arena_take(arena, c->session_cap, sizeof *c->session);
    c->model = arena_take(arena, c->model_cap, sizeof *c->model);
    c->round = arena_take(arena, c->round_cap, sizeof *c->round);
    c->withdrawal = arena_take(arena, c->withdrawal_cap, sizeof *c->withdrawal);
    c->lease = arena_take(arena, cap_lease, sizeof *c->lease);
    c->node = arena_take(arena, cap_node, sizeof *c->node);
    c->audit = arena_take(arena, cap_audit, sizeof *c->audit);
    c->account = arena_take(arena, cap_account, sizeof *c->account);
    c->reference = arena_take(arena, cap_reference, sizeof *c->reference);
    c->touched = arena_take(arena, cap_account, sizeof *c->touched);
    bool ok = c->task && c->session && c->model && c->round && c->withdrawal && c->touched;
    ok &= KEYED(c, by_lease, lease, lease);
    ok &= KEYED(c, by_node, node, address);
    ok &= KEYED(c, by_audit, audit, lease);
    ok &= KEYED(c, by_account, account, address);
    ok &= KEYED(c, by_reference, reference, name);
    ok &= places_init(&c->lease_rows, arena, cap_lease);
    ok &= places_init(&c->node_rows, arena, cap_node);
    ok &= places_init(&c->audit_rows, arena, cap_audit);
    ok &= places_init(&c->reference_rows, arena, cap_reference);
    return ok;
}

static void read_oracles(struct check_core *c, struct span list)
{
    struct bytes_reader r;
    bytes_reader_init(&r, list.data, list.size);
    while (r.left >= sizeof(struct address) * 2 + sizeof(struct hash) && c->oracles < ORACLES_MAX) {
        struct oracle_book *o = &c->oracle[c->oracles++];
        bytes_get(&r, o->address.b, sizeof o->address.b);
        bytes_get(&r, o->operator.b, sizeof o->operator.b);
        bytes_get(&r, o->chain.b, sizeof o->chain.b);
        o->state = ORACLE_SILENT;
    }
}

static void read_routers(struct check_core *c, struct span list)
{
    struct bytes_reader r;
    bytes_reader_init(&r, list.data, list.size);
    while (r.left >= sizeof(struct address) * 2 && c->routers < ROUTERS_MAX) {
        struct router_book *o = &c->router[c->routers++];
        bytes_get(&r, o->address.b, sizeof o->address.b);
        bytes_get(&r, o->operator.b, sizeof o->operator.b);
    }
}

static void init_frame(struct check_core *c, const struct cmd_genesis *genesis)
{
    memset(c, 0, sizeof *c);
    c->network_id = genesis->network_id;
    c->oracle_quorum = genesis->oracle_quorum;
    c->last_revealer = SLOT_NONE;
    params_default(&c->params);
    enum verdict verdict = params_read(&c->params, genesis->params);
    cx_assert(verdict == VERDICT_ACCEPTED);
    read_oracles(c, genesis->oracles);
    read_routers(c, genesis->routers);
}

size_t check_core_size(const struct cmd_genesis *genesis)
{
    struct check_core frame;
    struct arena arena;
    if (core_check_genesis(genesis) != VERDICT_ACCEPTED)
        return 0;
    arena_init(&arena, NULL, 0);
    arena_take(&arena, 1, sizeof frame);
    init_frame(&frame, genesis);
    bool taken = init_tables(&frame, &arena);
    cx_maybe(taken);  // counting takes nothing
    return arena.used;
}

struct check_core *check_core_open(void *memory, size_t size, const struct cmd_genesis *genesis)
{
    struct arena arena;
    size_t wanted = check_core_size(genesis);
    if (wanted == 0 || size < wanted)
        return NULL;
    arena_init(&arena, memory, size);
    struct check_core *c = arena_take(&arena, 1, sizeof *c);
    init_frame(c, genesis);
    bool ok = init_tables(c, &arena);
    cx_assert(ok);
    return c;
}

/* ---- books by name ---- */

struct task_book *task_book(struct check_core *c, uint64_t id)
{
    uint32_t slot = slot_of(id);
    return id != 0 && slot < c->task_cap && c->task[slot].id == id ? &c->task[slot] : NULL;
}

struct lease_book *lease_book(struct check_core *c, uint64_t lease)
{
    uint32_t row = id_map_find(&c->by_lease, &lease);
    return row == SLOT_NONE ? NULL : &c->lease[row];
}

struct node_book *node_book(struct check_core *c, const struct address *address)
{
    uint32_t row = id_map_find(&c->by_node, address);
    return row == SLOT_NONE ? NULL : &c->node[row];
}

struct session_book_ *session_book(struct check_core *c, uint64_t id)
{
    uint32_t slot = slot_of(id);
    return id != 0 && slot < c->session_cap && c->session[slot].id == id ? &c->session[slot] : NULL;
}

struct model_book *model_book(struct check_core *c, uint64_t id)
{
    uint32_t slot = slot_of(id);
    return id != 0 && slot < c->model_cap && c->model[slot].id == id ? &c->model[slot] : NULL;
}

struct router_book *router_book(struct check_core *c, const struct address *address)
{
    for (uint32_t i = 0; i < c->routers; i++)
        if (address_eq(&c->router[i].address, address))
            return &c->router[i];
    return NULL;
}

/* ---- the clock and what belongs to nobody else ---- */

/* docs/protocol.md, "Time". An entry that does not decode moves no clock. */
static bool advance(struct check_core *c)
{
    const struct check_entry *e = c->entry;
    if (e->cmd) {
        if (c->begun && e->cmd->time_ms > c->ledger_ms)
            c->now_ms += u64_min(e->cmd->time_ms - c->ledger_ms, 15000);
        c->ledger_ms = e->cmd->time_ms;
    }
    uint64_t now_ms = core_now_ms(c->core), seq = core_seq(c->core);
    MUST(c, CLOCK, now_ms == c->now_ms, "core time is %" PRIu64 ", and %" PRIu64 " by the ledger's stamps", now_ms,
         c->now_ms);
    MUST(c, CLOCK, seq == e->seq && seq == c->seq, "the core is at entry %" PRIu64 ", the ledger at %" PRIu64, seq,
         e->seq);
    return true;
}

static bool model_event(struct check_core *c, const struct evt_model_changed *e)
{
    uint32_t slot = slot_of(e->model);
    MUST(c, STATE, slot < c->model_cap, "model %" PRIx64 " has no place in the table", e->model);
    struct model_book *m = &c->model[slot];
    *m = (struct model_book){0};
    if (e->removed)
        return true;
    const struct cmd_model_put *put = &c->entry->cmd->model_put;
    MUST(c, EFFECT, c->entry->cmd->type == COMMAND_MODEL_PUT, "a model changed without a model_put");
    *m = (struct model_book){e->model, put->manifest_digest, put->context, put->template_tokens};
    return true;
}

static bool router_event(struct check_core *c, const struct evt_router_changed *e)
{
    struct router_book *r = router_book(c, &e->router);
    if (!r) {
        MUST(c, EFFECT, c->entry->cmd && c->entry->cmd->type == COMMAND_ROUTER_ADD && c->routers < ROUTERS_MAX,
             "router %08x appears without a router_add", short_of(&e->router));
        r = &c->router[c->routers++];
        r->address = e->router;
    }
    if (c->entry->cmd && c->entry->cmd->type == COMMAND_ROUTER_ADD && e->state == ROUTER_SILENT &&
        address_eq(&c->entry->cmd->router_add.router, &e->router))
        r->operator= c->entry->cmd->router_add.operator;
    r->present = e->state == ROUTER_PRESENT;
    r->removed = e->state == ROUTER_REMOVED;
    return true;
}

static bool param_event(struct check_core *c, const struct evt_param_changed *e)
{
    enum verdict verdict = param_set(&c->params, e->param, e->value);
    MUST(c, EFFECT, verdict == VERDICT_ACCEPTED, "parameter %u became %" PRIu64 ", which is out of its bounds",
         e->param, e->value);
    return true;
}

static bool reference_event(struct check_core *c, const struct evt_reference_forgotten *e)
{
    for (uint32_t i = 0; i < c->reference_rows.cap; i++) {
        struct reference_book *r = &c->reference[i];
        if (r->task != e->task)
            continue;
        MUST(c, REFERENCES, r->ended_ms != TIME_NEVER && c->now_ms >= u64_add_sat(r->ended_ms, c->params.keep_ms),
             "the reference of task %" PRIx64 " is forgotten at %" PRIu64 ", before keep_ms after its end", e->task,
             c->now_ms);
        id_map_remove(&c->by_reference, i);
        *r = (struct reference_book){0};
        places_give(&c->reference_rows, i);
        return true;
    }
    return FAIL(c, REFERENCES, "task %" PRIx64 " has no reference that could be forgotten", e->task);
}

static bool one_event(struct check_core *c, const struct event *e)
{
    switch (e->type) {
    case EVENT_NETWORK_OPENED: c->begun = true; return true;
    case EVENT_PARAM_CHANGED: return param_event(c, &e->param_changed);
    case EVENT_ROUTER_CHANGED: return router_event(c, &e->router_changed);
    case EVENT_MODEL_CHANGED: return model_event(c, &e->model_changed);
    case EVENT_REFERENCE_FORGOTTEN: return reference_event(c, &e->reference_forgotten);
    case EVENT_ORACLE_CHANGED:
    case EVENT_LEADER_CHANGED:
    case EVENT_BEACON: return oracle_event(c, e);
    case EVENT_DEPOSITED:
    case EVENT_WITHDRAWAL_OPENED:
    case EVENT_WITHDRAWAL_PAID:
    case EVENT_NODE_SLASHED:
    case EVENT_SESSION_ESCROW: return money_event(c, e);
    case EVENT_NODE_REGISTERED: return node_event(c, e) && money_event(c, e);
    case EVENT_NODE_MOVED: return money_event(c, e) && node_event(c, e);
    case EVENT_NODE_ATTACHED:
    case EVENT_NODE_DETACHED:
    case EVENT_NODE_MODEL_CHANGED:
    case EVENT_OPERATOR_CHANGED:
    case EVENT_SESSION_NODE_RESERVED:
    case EVENT_SESSION_NODE_RELEASED: return node_event(c, e);
    case EVENT_SESSION_MOVED: return session_event(c, e);
    case EVENT_TASK_CREATED: return task_event(c, e) && money_event(c, e);
    case EVENT_TASK_MOVED:
    case EVENT_TASK_ALL_PRECOMMITTED:
    case EVENT_TASK_PRIMARY_IS: return task_event(c, e);
    case EVENT_TASK_OFFERED:
    case EVENT_ASSIGNMENT_MOVED: return lease_event(c, e);
    case EVENT_TASK_REVEALED:
    case EVENT_TASK_ANSWER: return answer_event(c, e);
    case EVENT_TASK_PAID:
    case EVENT_TASK_REFUNDED: return answer_event(c, e) && money_event(c, e);
    case EVENT_ROUND_MOVED:
    case EVENT_ROUND_OFFERED:
    case EVENT_ROUND_ANSWER:
    case EVENT_ROUND_ALL_PRECOMMITTED:
    case EVENT_ROUND_RESULT: return round_event(c, e);
    case EVENT_AUDIT_MOVED: return audit_event(c, e);
    case EVENT_AUDIT_SETTLED: return audit_event(c, e);
    case EVENT_RULES_CHANGED:
    case EVENT_KEY_CHANGED:
    case EVENT_ACCOUNT_CHANGED:
    case EVENT_SESSION_DEGRADED:
    case EVENT_SESSION_POOL_CHANGED:
    case EVENT_SESSION_SELECTED:
    case EVENT_TYPE_END: break;
    }
    return true;
}

/* Events that only an accepted command can bring. */
static bool needs_acceptance(enum event_type type)
{
    return type == EVENT_DEPOSITED || type == EVENT_WITHDRAWAL_OPENED || type == EVENT_WITHDRAWAL_PAID ||
           type == EVENT_KEY_CHANGED || type == EVENT_MODEL_CHANGED || type == EVENT_NODE_REGISTERED ||
           type == EVENT_NODE_ATTACHED || type == EVENT_NODE_DETACHED || type == EVENT_TASK_CREATED ||
           type == EVENT_TASK_REVEALED || type == EVENT_BEACON || type == EVENT_ROUND_ANSWER ||
           type == EVENT_NETWORK_OPENED;
}

static bool refusals(struct check_core *c)
{
    if (c->entry->verdict == VERDICT_ACCEPTED)
        return true;
    LOOK(c, EFFECT);
    for (uint32_t i = 0; i < c->entry->events->count; i++) {
        enum event_type type = c->entry->events->event[i].type;
        if (needs_acceptance(type))
            return FAIL(c, EFFECT, "an entry refused with %s brought %s", verdict_name(c->entry->verdict),
                        event_find(type)->name);
    }
    return true;
}

bool check_core_entry(struct check_core *c, const struct check_entry *entry, const struct core *core,
                      struct check *check)
{
    c->check = check;
    c->core = core;
    c->entry = entry;
    c->seq++;
    c->touched_count = 0;
    core_digest(core, &c->chain);  // the digest before this batch: it is closed behind it
    if (!advance(c) || !refusals(c))
        return false;
    for (uint32_t i = 0; i < entry->events->count; i++)
        if (!one_event(c, &entry->events->event[i]))
            return false;
    return task_after(c) && lease_after(c) && node_after(c) && round_after(c) && oracle_after(c) && money_after(c) &&
           wake_after(c);
}

bool check_core_whole(struct check_core *c, const struct core *core, struct check *check)
{
    c->check = check;
    c->core = core;
    core_check(core);
    return tasks_whole(c) && nodes_whole(c) && sessions_whole(c) && money_whole(c);
}

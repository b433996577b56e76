/* check_core_nodes.c - nodes: their arrows, who is attached where, which session holds them, and what they have passed.
 * Source: docs/protocol.md, "Nodes". */
#include "base/assert.h"
#include "sim/check_core_parts.h"

/* ---- what follows from the books ---- */

uint32_t node_model_at(const struct node_book *n, uint64_t model)
{
    for (uint32_t i = 0; i < NODE_MODELS_MAX; i++)
        if (model != 0 && n->model[i].model == model)
            return i;
    return SLOT_NONE;
}

bool node_is_present(struct check_core *c, const struct node_book *n)
{
    for (uint32_t i = 0; i < c->routers; i++)
        if (n->link[i] != 0 && c->router[i].present)
            return true;
    return false;
}

bool node_is_linked(struct check_core *c, const struct node_book *n, const struct address *router)
{
    for (uint32_t i = 0; i < c->routers; i++)
        if (n->link[i] != 0 && c->router[i].present && address_eq(&c->router[i].address, router))
            return true;
    return false;
}

/* ---- events ---- */

static bool registered(struct check_core *c, const struct evt_node_registered *e)
{
    const struct command *cmd = c->entry->cmd;
    MUST(c, EFFECT, cmd->type == COMMAND_NODE_REGISTER && address_eq(&cmd->node_register.node, &e->node),
         "node %08x is registered, and nobody asked for it", short_of(&e->node));
    MUST(c, NODE_RECORD, !node_book(c, &e->node), "node %08x is registered twice", short_of(&e->node));
    uint32_t row = places_take(&c->node_rows);
    MUST(c, NODE_RECORD, row != SLOT_NONE, "more nodes than nodes_cap");
    c->node[row] = (struct node_book){
        .address = e->node,
        .operator= e->operator,
        .used = true,
        .state = NODE_UNTESTED,
        .slots = cmd->node_register.slots,
        .since_seq = c->seq,
    };
    id_map_add(&c->by_node, row);
    return true;
}

static bool attached(struct check_core *c, const struct event *e)
{
    bool on = e->type == EVENT_NODE_ATTACHED;
    const struct address *node = on ? &e->node_attached.node : &e->node_detached.node;
    const struct address *router = on ? &e->node_attached.router : &e->node_detached.router;
    struct node_book *n = node_book(c, node);
    struct router_book *r = router_book(c, router);
    MUST(c, NODE_RECORD, n && r, "node %08x or its router %08x is unknown", short_of(node), short_of(router));
    MUST(c, EFFECT, address_eq(&c->entry->cmd->author, router), "router %08x speaks of links of router %08x",
         short_of(&c->entry->cmd->author), short_of(router));
    MUST(c, NODE_RECORD, n->state != NODE_BANNED || !on, "node %08x is banned and was attached", short_of(node));
    n->link[r - c->router] = on ? e->node_attached.link : 0;
    return true;
}

static bool arrow_is_drawn(enum node_state from, enum node_state to)
{
    switch (to) {
    case NODE_UNTESTED: return from == NODE_TESTING || from == NODE_OFFLINE || from == NODE_BANNED;
    case NODE_TESTING:
        return from == NODE_UNTESTED || from == NODE_RELEASED || from == NODE_RECALIBRATING || from == NODE_EPHEMERAL;
    case NODE_EPHEMERAL: return from == NODE_TESTING || from == NODE_OFFLINE;
    case NODE_RESERVED: return from == NODE_EPHEMERAL;
    case NODE_RELEASED:
        return from == NODE_RESERVED || from == NODE_TESTING || from == NODE_OFFLINE || from == NODE_BANNED;
    case NODE_RECALIBRATING: return from == NODE_TESTING || from == NODE_OFFLINE;
    case NODE_OFFLINE:
        return from == NODE_UNTESTED || from == NODE_TESTING || from == NODE_EPHEMERAL || from == NODE_RELEASED ||
               from == NODE_RECALIBRATING;
    case NODE_LEAVING: return from != NODE_LEAVING && from != NODE_GONE;
    case NODE_GONE: return from == NODE_LEAVING;
    case NODE_BANNED: return from != NODE_BANNED && from != NODE_GONE;
    case NODE_STATE_COUNT: break;
    }
    return false;
}

static bool goes(struct check_core *c, struct node_book *n)
{
    uint32_t row = (uint32_t)(n - c->node);
    MUST(c, NODE_RECORD, n->session == 0 && n->busy == 0, "node %08x is GONE with %s", short_of(&n->address),
         n->busy ? "assignments" : "a session");
    id_map_remove(&c->by_node, row);
    *n = (struct node_book){0};
    places_give(&c->node_rows, row);
    return true;
}

static bool enters(struct check_core *c, struct node_book *n, enum node_state from, enum node_reason reason)
{
    uint32_t id = short_of(&n->address);
    switch (n->state) {
    case NODE_EPHEMERAL:
        MUST(c, TESTED, n->passed, "node %08x is EPHEMERAL (from %s) and has passed no round since its last session",
             id, term_name(TERM_node_state, from));
        MUST(c, NODE_RECORD, n->session == 0, "node %08x is EPHEMERAL and in a session", id);
        return true;
    case NODE_RESERVED:
        MUST(c, NODE_RECORD, n->session == 0 && node_is_present(c, n) && !n->leaving, "node %08x is RESERVED and %s",
             id, n->session ? "in another session" : "absent or leaving");
        return true;
    case NODE_RELEASED:
        MUST(c, NODE_RECORD, n->session == 0, "node %08x is RELEASED and still in a session", id);
        return true;
    case NODE_RECALIBRATING:
        if (reason == NODE_REASON_FAILED)
            n->passed = false;
        return true;
    case NODE_TESTING:
        MUST(c, NODE_RECORD, n->session == 0 && node_is_present(c, n), "node %08x is TESTING and %s", id,
             n->session ? "in a session" : "absent");
        return true;
    case NODE_OFFLINE:
        MUST(c, NODE_RECORD, !node_is_present(c, n), "node %08x is OFFLINE and present", id);
        return true;
    case NODE_LEAVING: n->leaving = true; return true;
    case NODE_GONE: return goes(c, n);
    case NODE_BANNED: n->passed = false; return true;
    case NODE_UNTESTED:
    case NODE_STATE_COUNT: break;
    }
    return true;
}

static bool moved(struct check_core *c, const struct evt_node_moved *e)
{
    struct node_book *n = node_book(c, &e->node);
    MUST(c, NODE_RECORD, n, "node %08x moved, and there is none", short_of(&e->node));
    MUST(c, NODE_RECORD, e->from == n->state && arrow_is_drawn(n->state, (enum node_state)e->to),
         "node %08x was %s and went from %s to %s", short_of(&e->node), term_name(TERM_node_state, n->state),
         term_name(TERM_node_state, e->from), term_name(TERM_node_state, e->to));
    enum node_state from = n->state;
    n->state = (enum node_state)e->to;
    return enters(c, n, from, (enum node_reason)e->reason);
}

static bool model_changed(struct check_core *c, const struct evt_node_model_changed *e)
{
    const struct command *cmd = c->entry->cmd;
    struct node_book *n = node_book(c, &e->node);
    MUST(c, NODE_RECORD, n, "node %08x has another model, and there is none", short_of(&e->node));
    uint32_t at = node_model_at(n, e->model);
    bool put = c->entry->verdict == VERDICT_ACCEPTED && cmd->type == COMMAND_NODE_MODEL_PUT &&
               address_eq(&cmd->node_model_put.node, &e->node) && cmd->node_model_put.model == e->model;
    for (uint32_t i = 0; at == SLOT_NONE && put && i < NODE_MODELS_MAX; i++)
        if (n->model[i].model == 0)
            at = i;
    MUST(c, NODE_RECORD, at != SLOT_NONE, "node %08x proved a model that it does not offer", short_of(&e->node));
    if (n->model[at].model == 0) {
        memset(&n->model[at], 0, sizeof n->model[at]);
        n->model[at].model = e->model;
    }
    n->model[at].proved = e->proved;
    return true;
}

static bool operator_changed(struct check_core *c, const struct evt_operator_changed *e)
{
    if (e->banned_seq != c->seq)
        return true;
    LOOK(c, SEQUENTIAL_TEST);
    for (uint32_t i = 0; i < c->node_rows.cap; i++) {
        const struct node_book *n = &c->node[i];
        if (!n->used || !address_eq(&n->operator, & e->operator))
            continue;
        for (uint32_t at = 0; at < NODE_MODELS_MAX; at++)
            if (n->model[at].test_milli >= c->params.condemned_milli)
                return true;
    }
    return FAIL(c, SEQUENTIAL_TEST, "operator %08x is banned, and none of its nodes was condemned",
                short_of(&e->operator));
}

static bool reserved(struct check_core *c, const struct evt_session_node_reserved *e)
{
    struct node_book *n = node_book(c, &e->node);
    struct session_book_ *s = session_book(c, e->session);
    MUST(c, NODE_RECORD, n && s && n->state == NODE_RESERVED && n->session == 0,
         "session %" PRIx64 " takes node %08x, which is %s", e->session, short_of(&e->node),
         n && n->session ? "in another one" : "not RESERVED");
    MUST(c, TESTED, n->passed, "session %" PRIx64 " takes node %08x, which has passed no round since its last one",
         e->session, short_of(&e->node));
    uint32_t at = node_model_at(n, s->model);
    MUST(c, NODE_RECORD, at != SLOT_NONE && n->model[at].proved,
         "session %" PRIx64 " takes node %08x, which has not proved its model", e->session, short_of(&e->node));
    n->session = e->session;
    s->nodes++;
    return true;
}

static bool released(struct check_core *c, const struct evt_session_node_released *e)
{
    struct node_book *n = node_book(c, &e->node);
    struct session_book_ *s = session_book(c, e->session);
    MUST(c, NODE_RECORD, n && s && n->session == e->session && s->nodes > 0,
         "session %" PRIx64 " releases node %08x, which it does not hold", e->session, short_of(&e->node));
    MUST(c, NODE_RECORD, n->busy == 0, "session %" PRIx64 " releases node %08x at work", e->session,
         short_of(&e->node));
    n->session = 0;
    n->passed = false;
    s->nodes--;
    return true;
}

bool node_event(struct check_core *c, const struct event *e)
{
    if (e->type == EVENT_NODE_REGISTERED)
        return registered(c, &e->node_registered);
    if (e->type == EVENT_NODE_ATTACHED || e->type == EVENT_NODE_DETACHED)
        return attached(c, e);
    if (e->type == EVENT_NODE_MOVED)
        return moved(c, &e->node_moved);
    if (e->type == EVENT_NODE_MODEL_CHANGED)
        return model_changed(c, &e->node_model_changed);
    if (e->type == EVENT_OPERATOR_CHANGED)
        return operator_changed(c, &e->operator_changed);
    if (e->type == EVENT_SESSION_NODE_RESERVED)
        return reserved(c, &e->session_node_reserved);
    return released(c, &e->session_node_released);
}

/* ---- behind the events ---- */

static void put_model(struct check_core *c, const struct cmd_node_model_put *put)
{
    struct node_book *n = node_book(c, &put->node);
    uint32_t at = n ? node_model_at(n, put->model) : SLOT_NONE;
    if (at == SLOT_NONE)
        return;
    if (put->context == 0) {
        memset(&n->model[at], 0, sizeof n->model[at]);
        return;
    }
    n->model[at].context = put->context;
    n->model[at].price_in = put->price_in;
    n->model[at].price_out = put->price_out;
}

bool node_after(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    if (!cmd || c->entry->verdict != VERDICT_ACCEPTED)
        return true;
    if (cmd->type == COMMAND_NODE_MODEL_PUT)
        put_model(c, &cmd->node_model_put);
    if (cmd->type == COMMAND_NODE_REGISTER)
        MUST(c, EFFECT, node_book(c, &cmd->node_register.node), "a registration was accepted and made no node");
    if (cmd->type == COMMAND_NODE_LEAVE) {
        struct node_book *n = node_book(c, &cmd->node_leave.node);
        MUST(c, EFFECT, !n || n->leaving || n->state == NODE_BANNED, "node %08x asked to leave and stays",
             short_of(&cmd->node_leave.node));
        if (n)
            n->leaving = true;
    }
    return true;
}

static bool same_node(struct check_core *c, const struct node_view *v)
{
    const struct node_book *n = node_book(c, &v->address);
    MUST(c, STATE, n, "the core has node %08x, and no entry made it", short_of(&v->address));
    MUST(c, STATE, n->state == v->state && n->session == v->session && n->busy == v->busy,
         "node %08x is %s with %u assignments in session %" PRIx64 ", and by its history %s with %u in %" PRIx64,
         short_of(&v->address), term_name(TERM_node_state, v->state), v->busy, v->session,
         term_name(TERM_node_state, n->state), n->busy, n->session);
    MUST(c, STATE, v->present == node_is_present(c, n) || core_next_tick_ms(c->core) <= c->now_ms,
         "node %08x is %s, and by its history not", short_of(&v->address), v->present ? "present" : "absent");
    MUST(c, MONEY, amount_eq(v->stake, n->stake), "node %08x has a stake of %" PRIu64 ", and by its history %" PRIu64,
         short_of(&v->address), v->stake.credits, n->stake.credits);
    return true;
}

bool nodes_whole(struct check_core *c)
{
    struct node_view v;
    uint32_t shown = 0;
    for (uint32_t at = 0; view_node_at(c->core, &at, &v); shown++)
        if (!same_node(c, &v))
            return false;
    MUST(c, STATE, shown == c->node_rows.cap - c->node_rows.count, "the core has %u nodes, and by history %u", shown,
         c->node_rows.cap - c->node_rows.count);
    return true;
}

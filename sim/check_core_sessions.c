/* check_core_sessions.c - sessions: their arrows, and what was promised when they were opened.
 * Source: docs/protocol.md, "Sessions". */
#include "sim/check_core_parts.h"

static bool opened(struct check_core *c, const struct evt_session_moved *e)
{
    const struct command *cmd = c->entry->cmd;
    uint32_t slot = slot_of(e->session);
    MUST(c, EFFECT, c->entry->verdict == VERDICT_ACCEPTED && cmd && cmd->type == COMMAND_SESSION_OPEN,
         "session %" PRIx64 " appears without a session_open", e->session);
    MUST(c, SESSION_RECORD,
         slot < c->session_cap && c->session[slot].id == 0 && (e->session >> 32) > c->session[slot].generation,
         "session %" PRIx64 " takes an id that was used", e->session);
    const struct cmd_session_open *open = &cmd->session_open;
    c->session[slot] = (struct session_book_){
        .id = e->session,
        .generation = (uint32_t)(e->session >> 32),
        .owner = open->owner,
        .state = SESSION_OPENING,
        .model = open->model,
        .redundancy = open->redundancy,
        .quorum = open->quorum,
        .nodes_min = open->nodes_min,
        .nodes_max = open->nodes_max,
        .attempts_max = open->attempts_max,
        .audit_bp = open->audit_bp,
        .tokens_max = open->tokens_max,
        .priority = open->priority,
        .ack_ms = open->ack_ms,
        .precommit_ms = open->precommit_ms,
        .commit_ms = open->commit_ms,
        .total_ms = open->total_ms,
        .price_in = open->price_in_max,
        .price_out = open->price_out_max,
        .validation = (enum validation_policy)open->validation,
        .stream = (enum stream_when)open->stream,
        .shared = open->shared,
        .diversity = open->diversity,
        .owner_pays = open->pays == PAYS_OWNER,
        .channel = open->evidence == EVIDENCE_CHANNEL,
    };
    return true;
}

static bool closes(struct check_core *c, struct session_book_ *s)
{
    MUST(c, SESSION_RECORD, s->nodes == 0 && s->live == 0, "session %" PRIx64 " is CLOSED with %u nodes and %u tasks",
         s->id, s->nodes, s->live);
    bool back = !s->owner_pays ||
                (money_move(c, &s->owner, s->escrow, true) && money_take(c, &c->total.escrow, s->escrow, "escrow"));
    c->closed_session = s->id;
    s->id = 0;
    return back;
}

static bool arrow_is_drawn(const struct session_book_ *s, const struct evt_session_moved *e)
{
    switch ((enum session_state)e->to) {
    case SESSION_OPENING: return s->state == SESSION_OPENING && s->shared && e->reason == SESSION_REASON_NO_NODES;
    case SESSION_ACTIVE: return s->state == SESSION_OPENING && e->reason == SESSION_REASON_RESERVED;
    case SESSION_DRAINING: return s->state <= SESSION_ACTIVE && e->reason == SESSION_REASON_OWNER;
    case SESSION_CLOSED: return s->state == SESSION_OPENING || s->state == SESSION_DRAINING;
    case SESSION_STATE_COUNT: break;
    }
    return false;
}

bool session_event(struct check_core *c, const struct event *event)
{
    const struct evt_session_moved *e = &event->session_moved;
    struct session_book_ *s = session_book(c, e->session);
    if (!s)
        return opened(c, e);
    MUST(c, SESSION_RECORD, e->from == s->state && arrow_is_drawn(s, e),
         "session %" PRIx64 " was %s and went from %s to %s for %s", s->id, term_name(TERM_session_state, s->state),
         term_name(TERM_session_state, e->from), term_name(TERM_session_state, e->to),
         term_name(TERM_session_reason, e->reason));
    const struct command *cmd = c->entry->cmd;
    if (e->to == SESSION_DRAINING)
        MUST(c, EFFECT,
             cmd->type == COMMAND_SESSION_CLOSE && cmd->session_close.session == s->id &&
                 address_eq(&cmd->session_close.owner, &s->owner),
             "session %" PRIx64 " drains, and its owner did not close it", s->id);
    if (e->to == SESSION_ACTIVE)
        MUST(c, SESSION_RECORD, s->nodes >= s->nodes_min, "session %" PRIx64 " is ACTIVE with %u of %u nodes", s->id,
             s->nodes, s->nodes_min);
    s->state = (enum session_state)e->to;
    return s->state != SESSION_CLOSED || closes(c, s);
}

bool sessions_whole(struct check_core *c)
{
    struct session_view v;
    uint32_t shown = 0, kept = 0;
    for (uint32_t at = 0; view_session_at(c->core, &at, &v); shown++) {
        const struct session_book_ *s = session_book(c, v.id);
        MUST(c, STATE, s, "the core has session %" PRIx64 ", and no entry made it", v.id);
        MUST(c, STATE, s->state == v.state && s->nodes == v.nodes && s->live == v.tasks_live,
             "session %" PRIx64 " is %s with %u nodes and %u tasks, and by its history %s with %u and %u", v.id,
             term_name(TERM_session_state, v.state), v.nodes, v.tasks_live, term_name(TERM_session_state, s->state),
             s->nodes, s->live);
        MUST(c, MONEY, amount_eq(s->escrow, v.escrow),
             "session %" PRIx64 " has an escrow of %" PRIu64 ", and by its history %" PRIu64, v.id, v.escrow.credits,
             s->escrow.credits);
    }
    for (uint32_t i = 0; i < c->session_cap; i++)
        kept += c->session[i].id != 0;
    MUST(c, STATE, shown == kept, "the core has %u sessions, and by history %u", shown, kept);
    return true;
}

/* session_parts.h - between the files of session. Source: docs/protocol.md, "Sessions". */
#ifndef CORTEN_CORE_SESSION_PARTS_H
#define CORTEN_CORE_SESSION_PARTS_H

#include "base/assert.h"
#include "core/session.h"

static inline struct session *session_of(const struct session_book *book, uint32_t session)
{
    cx_assert(slots_is_live(&book->slots, session));
    return &book->session[session];
}

/* The only writer of session.state. */
void session_move(struct session_book *book, uint32_t session, enum session_state to, enum session_reason reason);
/* After any change: whether it is degraded, whether it waits for nodes, and when it is due. */
void session_settle(struct session_book *book, uint32_t session);
uint64_t session_key_ms(const struct session_book *book, uint32_t session);
/* When it grows next, from what waits and when it last grew. */
void session_plan_growth(struct session_book *book, uint32_t session);
/* The only writer of wait_queue.at. */
static inline void session_try_at(struct session_book *book, uint32_t model, uint32_t at)
{
    uint64_t bit = 1ull << model;
    book->waiting[model].at = at;
    book->to_try = at == SLOT_NONE ? book->to_try & ~bit : book->to_try | bit;
}
/* How many nodes it wants of the pool now. */
uint32_t session_need(const struct session_book *book, uint32_t session);
void session_unmark(struct session_book *book, uint32_t session);

/* Members. */
void session_member_add(struct session_book *book, uint32_t session, uint32_t node, bool dedicated);
/* Out of the session, which it tells; no assignment is left on it. */
void session_member_remove(struct session_book *book, uint32_t node, enum release_reason why);
/* Gets no task any more, and is removed in a sweep once it has none. */
void session_member_retire(struct session_book *book, uint32_t node, enum release_reason why);
void session_member_look(struct session_book *book, uint32_t node, uint64_t at_ms);  // again at that time
/* Behind every change of its leaving, away or in_flight: whether it stands in its session's list of the free. */
void session_member_settle(struct session_book *book, uint32_t node);
/* A member that came back or is draining: node_pool_take_news. */
void session_hear(struct session_book *book, uint32_t node);
/* The nodes that a session released for re-test: a node that is picked or gone is none of them any more. */
void session_out_add(struct session_book *book, uint32_t session, uint32_t node);
void session_out_remove(struct session_book *book, uint32_t node);

void session_filter(const struct session_book *book, uint32_t session, struct node_filter *ret_filter);

#endif

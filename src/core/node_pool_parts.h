/* node_pool_parts.h - between the files of node_pool: node_pool.c (life, waiting, time), _presence (routers and links),
 * _register (joining, models, bans), _pick (sessions, rounds), _rows (canonical bytes, check).
 * Source: docs/protocol.md, "Nodes". */
#ifndef CORTEN_CORE_NODE_POOL_PARTS_H
#define CORTEN_CORE_NODE_POOL_PARTS_H

#include "core/node_pool.h"

/* The only writer of node.state: checks the arrow, tells it, and settles. */
void node_pool_move(struct node_pool *pool, uint32_t node, enum node_state to, enum node_reason reason);
/* Around any other change of what is counted or derived (models, proofs, presence, flags): counts, weights, the lists
 * of those that wait, and the node's next deadline follow. */
void node_pool_change(struct node_pool *pool, uint32_t node);
void node_pool_settle(struct node_pool *pool, uint32_t node);
void node_pool_recount(struct node_pool *pool, uint32_t node);         // of a node that was read
void node_pool_settle_wanted(struct node_pool *pool, uint32_t model);  // its bit in round_wanted
/* Puts a node on the list `kind`, taken off whatever list it was on; NODE_LIST_NONE: off only. */
void node_pool_list(struct node_pool *pool, uint32_t node, enum node_list_kind kind);
bool node_pool_waits(const struct node_pool *pool, uint32_t node);
uint64_t node_pool_node_due_ms(const struct node_pool *pool, uint32_t node);
uint32_t node_pool_weight(const struct node_pool *pool, uint32_t node, uint32_t at, enum sla sla);
uint32_t node_pool_proved_limit(const struct node_pool *pool, uint32_t model);
/* No router holds it from now on. Deadlines are fixed when they begin, so that a parameter that changes meanwhile does
 * not tell replicas apart by when they read it. */
void node_pool_begin_absence(const struct node_pool *pool, struct node *n);
/* A link of a router that fell silent with links up, or came back with links down, or SLOT_NONE; and turning it. */
uint32_t node_pool_link_to_turn(const struct node_pool *pool);
void node_pool_turn_link(struct node_pool *pool, uint32_t link);
uint16_t node_pool_attached(const struct node *n);                // its `attached`, from its links
void node_pool_cut_links(struct node_pool *pool, uint32_t node);  // all of a node that is gone
/* Operators' nodes, and what a ban or its end does to the next of them. */
void node_pool_operator_add(struct node_pool *pool, uint32_t node);
void node_pool_operator_remove(struct node_pool *pool, uint32_t node);
void node_pool_operator_work(struct node_pool *pool);
/* An invitation that was used or has expired. */
void node_pool_invite_end(struct node_pool *pool, uint32_t invite);
/* The place in model[] that the next round tests, or SLOT_NONE. */
uint32_t node_pool_test_at(const struct node *n);
/* A member of a session can take what it could not before: its session is to look again. */
void node_pool_tell_session(struct node_pool *pool, uint32_t node);

#endif

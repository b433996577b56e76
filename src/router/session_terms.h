/* session_terms.h - what a session is like where nobody says otherwise: a router's shared ones, and an account's own.
 * Source: docs/protocol.md, "HTTP". */
#ifndef CORTEN_ROUTER_SESSION_TERMS_H
#define CORTEN_ROUTER_SESSION_TERMS_H

#include "core/view.h"

#define SESSION_TOKENS_MAX   1024  // of an answer; never more than the context has room for
#define SESSION_RESERVE_MS   (10 * 60 * 1000)
#define SESSION_NODE_TASKS   1000  // of one node until it is tested again
#define SESSION_ATTEMPTS_MAX 3
#define SESSION_PRIORITY     4
#define SESSION_AUDIT_BP     1000
#define SESSION_ACK_MS       10000
#define SESSION_PRECOMMIT_MS 120000
#define SESSION_COMMIT_MS    15000
#define SESSION_TOTAL_MS     300000
#define SESSION_OPEN_MS      60000
#define SESSION_DRAIN_MS     30000

/* Price caps are this many times what the dearest node asks that offers the model, so that a task reserves no more than
 * it can come to, and a node that asks a little more may still join. Never over the model's bound. */
#define SESSION_PRICE_HEADROOM 2

/* All fields but owner, name and metadata. */
void session_terms(const struct core *core, const struct model_view *model, uint32_t redundancy,
                   enum validation_policy validation, struct cmd_session_open *ret_cmd);
/* The highest prices that nodes ask which offer the model; false: none does. */
bool session_terms_asked(const struct core *core, uint64_t model, uint64_t *ret_in, uint64_t *ret_out);
/* Tokens of an answer that a model's context has room for at most. */
uint32_t session_terms_room(const struct model_view *model);

#endif

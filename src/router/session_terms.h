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

/* All fields but owner, name and metadata. */
void session_terms(const struct model_view *model, uint32_t redundancy, enum validation_policy validation,
                   struct cmd_session_open *ret_cmd);
/* Tokens of an answer that a model's context has room for at most. */
uint32_t session_terms_room(const struct model_view *model);

#endif

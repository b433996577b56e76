/* custody.h - API keys whose account a router keeps: the key is all that its holder has.
 * Source: docs/protocol.md, "Accounts". */
#ifndef CORTEN_ROUTER_CUSTODY_H
#define CORTEN_ROUTER_CUSTODY_H

#include "core/command.h"

#define CUSTODY_KEY_SIZE   68  // "ck_", 64 digits, NUL
#define CUSTODY_SCOPES_ALL 15u

/* A fresh key's text; its hash alone is kept anywhere. */
void custody_new_key(char ret_text[CUSTODY_KEY_SIZE]);
/* The command that puts this key, with all scopes and no bounds, into an account of its own in the router's custody.
 * Authority: the router. */
void custody_key_put(const struct address *router, const char *text, struct command *ret_cmd);

#endif

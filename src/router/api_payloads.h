/* api_payloads.h - within src/router: who may read which payload over HTTP. Nodes and oracles read over their links. */
#ifndef CORTEN_ROUTER_API_PAYLOADS_H
#define CORTEN_ROUTER_API_PAYLOADS_H

#include "router/api_parts.h"

#define API_PAYLOAD_QUOTA (256ull << 20)  // bytes that one account may put a day

/* Whoever put it, who pays for a task that it is the prompt or answer of, and the router's admins. */
bool payload_may_read(const struct call *call, const struct hash *sha256);
void payloads_done(struct api *api);

#endif

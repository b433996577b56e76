/* client_link.h - within src/router: the client WebSocket, /api/v1/ws. Many prompts at once on one connection.
 *
 *      upgrade -> (key) -> welcome -> submit, watch, cancel, leave …
 *      submit  -> accepted -> text… -> answer | error        each with the client's ref
 *
 * Source: docs/protocol.md, "Client WebSocket".
 */
#ifndef CORTEN_ROUTER_CLIENT_LINK_H
#define CORTEN_ROUTER_CLIENT_LINK_H

#include "router/api_parts.h"

#define CLIENT_LINKS_MAX   4096   // of one router
#define CLIENT_PROMPTS_MAX 1024   // under way on one link
#define CLIENT_KEY_MS      10000  // for the key, where the handshake showed none

/* Says goodbye to all; their prompts have ended. */
void client_links_shut(struct api *api);
/* Breaks all off. */
void client_links_close(struct api *api);

#endif

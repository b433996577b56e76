/* client_reply.h - within src/router: the frames that a router sends on a client WebSocket, in JSON or in binary.
 *
 * Each replaces what is in `out`. ref 0: of no prompt, but of the link itself.
 *
 * Source: docs/protocol.md, "Client WebSocket".
 */
#ifndef CORTEN_ROUTER_CLIENT_REPLY_H
#define CORTEN_ROUTER_CLIENT_REPLY_H

#include "router/prompt.h"

struct client_reply {
    bool bin;
    struct buf out;  // the frame
};

void client_reply_welcome(struct client_reply *reply, uint64_t network, const struct address *router);
void client_reply_accepted(struct client_reply *reply, uint64_t ref, const struct prompt *prompt);
void client_reply_text(struct client_reply *reply, uint64_t ref, size_t at, const char *text, size_t size);
/* With the text where it was not streamed. */
void client_reply_answer(struct client_reply *reply, uint64_t ref, const struct prompt *prompt,
                         const struct task_end *end);
void client_reply_cancelled(struct client_reply *reply, uint64_t ref);
void client_reply_error(struct client_reply *reply, uint64_t ref, const struct api_error *error);

#endif

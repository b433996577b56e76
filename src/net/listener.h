/* listener.h - a listening TCP socket; gives the connections that come in. */
#ifndef CORTEN_NET_LISTENER_H
#define CORTEN_NET_LISTENER_H

#include "net/loop.h"

struct net_listener;

/* address: "127.0.0.1:5010", "[::1]:0" or "localhost:0"; port 0 lets the system choose. on_accept owns the fd, which
 * does not block. CX_INVALID: no such address; CX_BUSY: somebody listens there already. */
enum cx_err net_listener_open(struct net_loop *loop, const char *address, void (*on_accept)(void *ctx, int fd),
                              void *ctx, struct net_listener **ret_listener);
void net_listener_close(struct net_listener *listener);  // takes NULL
uint16_t net_listener_port(const struct net_listener *listener);

#endif

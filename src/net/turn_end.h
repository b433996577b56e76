/* turn_end.h - within src/net: what is to run when a turn ends, for whatever is a loop. */
#ifndef CORTEN_NET_TURN_END_H
#define CORTEN_NET_TURN_END_H

#include "net/loop.h"

/* `ends` is a ring of net_turn_end. */
void net_turn_ends_add(struct net_link *ends, struct net_turn_end *end, void (*run)(void *ctx), void *ctx);
void net_turn_ends_run(struct net_link *ends);

#endif

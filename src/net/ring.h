/* ring.h - things in a ring that any of them can leave by itself: connections, exchanges, calls. */
#ifndef CORTEN_NET_RING_H
#define CORTEN_NET_RING_H

#include <stdbool.h>

/* A place in a ring; alone it points to itself. */
struct net_link {
    struct net_link *prev, *next;
};

void net_link_init(struct net_link *link);
bool net_link_is_alone(const struct net_link *link);
void net_link_add(struct net_link *ring, struct net_link *link);  // as the last
void net_link_remove(struct net_link *link);
/* Takes all out, and gives each of them one go; what joins the ring meanwhile stays there. */
void net_link_each(struct net_link *ring, void (*go)(struct net_link *link));

#endif

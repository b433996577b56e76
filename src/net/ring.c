#include "net/ring.h"

void net_link_init(struct net_link *link) { link->prev = link->next = link; }

bool net_link_is_alone(const struct net_link *link) { return link->next == link; }

void net_link_add(struct net_link *ring, struct net_link *link)
{
    link->prev = ring->prev;
    link->next = ring;
    ring->prev->next = link;
    ring->prev = link;
}

void net_link_remove(struct net_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    net_link_init(link);
}

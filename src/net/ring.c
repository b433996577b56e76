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

void net_link_each(struct net_link *ring, void (*go)(struct net_link *link))
{
    struct net_link now;
    net_link_init(&now);
    while (!net_link_is_alone(ring)) {
        struct net_link *link = ring->next;
        net_link_remove(link);
        net_link_add(&now, link);
    }
    while (!net_link_is_alone(&now)) {
        struct net_link *link = now.next;
        net_link_remove(link);
        go(link);
    }
}

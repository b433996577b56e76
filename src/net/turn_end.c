#include "net/turn_end.h"

#include <stddef.h>

#include "base/assert.h"

void net_turn_ends_add(struct net_link *ends, struct net_turn_end *end, void (*run)(void *ctx), void *ctx)
{
    cx_assert(run);
    end->run = run;
    end->ctx = ctx;
    if (!end->link.next)
        net_link_init(&end->link);
    if (net_link_is_alone(&end->link))
        net_link_add(ends, &end->link);
}

void net_turn_end_stop(struct net_turn_end *end)
{
    if (end->link.next)
        net_link_remove(&end->link);
}

static void run_end(struct net_link *link)
{
    struct net_turn_end *end = (struct net_turn_end *)((char *)link - offsetof(struct net_turn_end, link));
    end->run(end->ctx);
}

void net_turn_ends_run(struct net_link *ends) { net_link_each(ends, run_end); }

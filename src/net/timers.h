/* timers.h - the timers of one loop: a binary heap by time, and by the order of their starts. No clock. */
#ifndef CORTEN_NET_TIMERS_H
#define CORTEN_NET_TIMERS_H

#include "net/loop.h"

/* All zero: none. */
struct net_timers {
    struct net_timer **heap;  // [cap + 1]; 1 is the root
    uint32_t count, cap;
    uint64_t order;  // how often timers were started
};

void net_timers_done(struct net_timers *timers);
/* When the first is due; TIME_NEVER: none is on. */
uint64_t net_timers_next_ms(const struct net_timers *timers);
/* Starts it, or moves it where it is on. */
void net_timers_set(struct net_timers *timers, struct net_timer *timer, uint64_t at_ms);
void net_timers_remove(struct net_timers *timers, struct net_timer *timer);  // it is on
/* Fires what is due; as many as there are now: a timer that always starts itself again with no delay gets its turns,
 * but not all of them at once. */
void net_timers_fire(struct net_timers *timers, uint64_t now_ms);

#endif

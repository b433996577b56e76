#include "net/timers.h"

#include <stdlib.h>

#include "base/assert.h"

static bool is_before(const struct net_timer *a, const struct net_timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void put(struct net_timers *t, uint32_t slot, struct net_timer *timer)
{
    t->heap[slot] = timer;
    timer->slot = slot;
}

static void move_up(struct net_timers *t, uint32_t slot)
{
    struct net_timer *timer = t->heap[slot];
    for (; slot > 1 && is_before(timer, t->heap[slot / 2]); slot /= 2)
        put(t, slot, t->heap[slot / 2]);
    put(t, slot, timer);
}

static void move_down(struct net_timers *t, uint32_t slot)
{
    struct net_timer *timer = t->heap[slot];
    for (;;) {
        uint32_t child = slot * 2;
        if (child > t->count)
            break;
        if (child < t->count && is_before(t->heap[child + 1], t->heap[child]))
            child++;
        if (is_before(timer, t->heap[child]))
            break;
        put(t, slot, t->heap[child]);
        slot = child;
    }
    put(t, slot, timer);
}

void net_timers_done(struct net_timers *timers)
{
    free(timers->heap);
    *timers = (struct net_timers){0};
}

uint64_t net_timers_next_ms(const struct net_timers *timers)
{
    return timers->count > 0 ? timers->heap[1]->at_ms : TIME_NEVER;
}

void net_timers_remove(struct net_timers *timers, struct net_timer *timer)
{
    uint32_t slot = timer->slot;
    cx_assert(slot > 0 && slot <= timers->count);
    cx_assert(timers->heap[slot] == timer);
    struct net_timer *last = timers->heap[timers->count--];
    timer->slot = 0;
    if (last == timer)
        return;
    put(timers, slot, last);
    move_up(timers, slot);
    move_down(timers, last->slot);
}

void net_timers_set(struct net_timers *timers, struct net_timer *timer, uint64_t at_ms)
{
    if (timer->slot)
        net_timers_remove(timers, timer);
    timer->at_ms = at_ms;
    timer->order = timers->order++;
    if (timers->count == timers->cap) {
        uint32_t cap = timers->cap ? timers->cap * 2 : 64;
        struct net_timer **heap = realloc(timers->heap, ((size_t)cap + 1) * sizeof *heap);
        cx_assert(heap);
        timers->heap = heap;
        timers->cap = cap;
    }
    timers->count++;
    put(timers, timers->count, timer);
    move_up(timers, timers->count);
}

void net_timers_fire(struct net_timers *timers, uint64_t now_ms)
{
    for (uint32_t left = timers->count; left > 0 && net_timers_next_ms(timers) <= now_ms; left--) {
        struct net_timer *timer = timers->heap[1];
        net_timers_remove(timers, timer);
        timer->fire(timer->ctx);
    }
}

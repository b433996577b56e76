#include "base/fenwick.h"

#include "base/assert.h"

bool fenwick_init(struct fenwick *fenwick, struct arena *arena, uint32_t cap)
{
    cx_assert(cap < UINT32_MAX / 2);
    fenwick->sum = arena_take(arena, (size_t)cap + 1, sizeof *fenwick->sum);
    fenwick->weight = arena_take(arena, cap, sizeof *fenwick->weight);
    fenwick->cap = cap;
    fenwick->total = 0;
    return fenwick->sum && fenwick->weight;
}

void fenwick_set(struct fenwick *fenwick, uint32_t slot, uint32_t weight)
{
    cx_assert(slot < fenwick->cap);
    uint64_t change = (uint64_t)weight - fenwick->weight[slot];  // may wrap, and wraps back
    fenwick->weight[slot] = weight;
    fenwick->total += change;
    for (uint32_t i = slot + 1; i <= fenwick->cap; i += i & -i)
        fenwick->sum[i] += change;
}

uint32_t fenwick_pick(const struct fenwick *fenwick, uint64_t at)
{
    cx_assert(at < fenwick->total);
    uint32_t step = 1;
    while (step <= fenwick->cap / 2)
        step *= 2;
    uint32_t place = 0;
    for (; step > 0; step /= 2) {
        if (place + step > fenwick->cap || fenwick->sum[place + step] > at)
            continue;
        place += step;
        at -= fenwick->sum[place];
    }
    cx_assert(place < fenwick->cap);
    return place;
}

uint64_t fenwick_before(const struct fenwick *fenwick, uint32_t slot)
{
    cx_assert(slot <= fenwick->cap);
    uint64_t sum = 0;
    for (uint32_t i = slot; i > 0; i -= i & -i)
        sum += fenwick->sum[i];
    return sum;
}

void fenwick_check(const struct fenwick *fenwick)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < fenwick->cap; i++) {
        total += fenwick->weight[i];
        cx_assert(fenwick_before(fenwick, i + 1) == total);
    }
    cx_assert(total == fenwick->total);
}

/* fenwick.h - weights of slots with running sums, for a weighted random pick in O(log n).
 * Shape: sum[cap + 1], one-based; weight[cap] by slot. */
#ifndef CORTEN_BASE_FENWICK_H
#define CORTEN_BASE_FENWICK_H

#include "base/arena.h"
#include "base/types.h"

struct fenwick {
    uint64_t *sum;
    uint32_t *weight;
    uint32_t cap;
    uint64_t total;
};

bool fenwick_init(struct fenwick *fenwick, struct arena *arena, uint32_t cap);
void fenwick_set(struct fenwick *fenwick, uint32_t slot, uint32_t weight);
/* The slot in which the running sum first exceeds `at`; at < total. */
uint32_t fenwick_pick(const struct fenwick *fenwick, uint64_t at);
/* The sum of the weights of all slots before this one. */
uint64_t fenwick_before(const struct fenwick *fenwick, uint32_t slot);
void fenwick_check(const struct fenwick *fenwick);

#endif

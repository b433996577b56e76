/* amount.h - money: credits, 10^-6 of a coin. No operators: what can overflow says so. */
#ifndef CORTEN_BASE_AMOUNT_H
#define CORTEN_BASE_AMOUNT_H

#include "base/types.h"

struct amount {
    uint64_t credits;
};

#define AMOUNT_ZERO ((struct amount){0})

static inline struct amount amount_of(uint64_t credits) { return (struct amount){credits}; }
static inline bool amount_is_zero(struct amount a) { return a.credits == 0; }
static inline bool amount_less(struct amount a, struct amount b) { return a.credits < b.credits; }
static inline bool amount_eq(struct amount a, struct amount b) { return a.credits == b.credits; }
static inline struct amount amount_min(struct amount a, struct amount b) { return amount_less(a, b) ? a : b; }

/* False, and nothing written, where the sum passes 2^64 - 1. */
static inline bool amount_add(struct amount a, struct amount b, struct amount *ret_sum)
{
    uint64_t sum;
    if (__builtin_add_overflow(a.credits, b.credits, &sum))
        return false;
    *ret_sum = amount_of(sum);
    return true;
}
/* False, and nothing written, where b > a. */
static inline bool amount_sub(struct amount a, struct amount b, struct amount *ret_rest)
{
    if (b.credits > a.credits)
        return false;
    *ret_rest = amount_of(a.credits - b.credits);
    return true;
}
/* a × times; false on overflow. */
bool amount_mul(struct amount a, uint64_t times, struct amount *ret_product);
/* a × numerator / denominator, exact to the credit and rounded as the name says; false where the
 * result passes 2^64 - 1. denominator > 0. */
bool amount_scale_down(struct amount a, uint64_t numerator, uint64_t denominator, struct amount *ret_part);
bool amount_scale_up(struct amount a, uint64_t numerator, uint64_t denominator, struct amount *ret_part);

#endif

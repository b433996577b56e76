#include "base/amount.h"

#include "base/assert.h"

/* a × b as high × 2^64 + low, from 32-bit halves: the core has no 128-bit integers, and compilers check the
 * overflow of a 64-bit product by one. */
static void mul_wide(uint64_t a, uint64_t b, uint64_t *ret_high, uint64_t *ret_low)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0;
    uint64_t mid = a1 * b0 + (low >> 32);
    uint64_t mid2 = a0 * b1 + (uint32_t)mid;
    *ret_high = a1 * b1 + (mid >> 32) + (mid2 >> 32);
    *ret_low = mid2 << 32 | (uint32_t)low;
}

bool amount_mul(struct amount a, uint64_t times, struct amount *ret_product)
{
    uint64_t high, low;
    if ((a.credits | times) >> 32 == 0) {
        *ret_product = amount_of(a.credits * times);
        return true;
    }
    mul_wide(a.credits, times, &high, &low);
    if (high > 0)
        return false;
    *ret_product = amount_of(low);
    return true;
}

/* (high, low) / by, bit by bit; high < by, so that the quotient fits. */
static uint64_t div_wide(uint64_t high, uint64_t low, uint64_t by, uint64_t *ret_rest)
{
    cx_assert(high < by);
    uint64_t quotient = 0;
    for (int i = 63; i >= 0; i--) {
        bool carry = high >> 63;
        high = high << 1 | (low >> i & 1);
        if (carry || high >= by) {
            high -= by;
            quotient |= 1ull << i;
        }
    }
    *ret_rest = high;
    return quotient;
}

static bool scale(struct amount a, uint64_t numerator, uint64_t denominator, uint64_t *ret_part, uint64_t *ret_rest)
{
    cx_assert(denominator > 0);
    uint64_t high, low;
    /* Nearly all amounts and shares are so small that their product is plain. */
    if (a.credits >> 48 == 0 && numerator >> 16 == 0) {
        *ret_part = a.credits * numerator / denominator;
        *ret_rest = a.credits * numerator % denominator;
        return true;
    }
    mul_wide(a.credits, numerator, &high, &low);
    if (high == 0) {
        *ret_part = low / denominator;
        *ret_rest = low % denominator;
        return true;
    }
    if (high >= denominator)
        return false;
    *ret_part = div_wide(high, low, denominator, ret_rest);
    return true;
}

bool amount_scale_down(struct amount a, uint64_t numerator, uint64_t denominator, struct amount *ret_part)
{
    uint64_t part, rest;
    if (!scale(a, numerator, denominator, &part, &rest))
        return false;
    *ret_part = amount_of(part);
    return true;
}

bool amount_scale_up(struct amount a, uint64_t numerator, uint64_t denominator, struct amount *ret_part)
{
    uint64_t part, rest;
    if (!scale(a, numerator, denominator, &part, &rest))
        return false;
    if (rest > 0 && __builtin_add_overflow(part, 1, &part))
        return false;
    *ret_part = amount_of(part);
    return true;
}

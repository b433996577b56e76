/* prng.h - repeatable random numbers for tests and simulation: splitmix64. Never for keys. */
#ifndef CORTEN_BASE_PRNG_H
#define CORTEN_BASE_PRNG_H

#include "base/types.h"

struct prng {
    uint64_t state;
};

uint64_t prng_next(struct prng *prng);
/* 0 <= result < below; below > 0. */
uint64_t prng_below(struct prng *prng, uint64_t below);
void prng_fill(struct prng *prng, void *ret_data, size_t size);

#endif

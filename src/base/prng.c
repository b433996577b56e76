#include "base/prng.h"

#include "base/assert.h"

uint64_t prng_next(struct prng *prng)
{
    uint64_t z = prng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t prng_below(struct prng *prng, uint64_t below)
{
    cx_assert(below > 0);
    return prng_next(prng) % below;
}

void prng_fill(struct prng *prng, void *ret_data, size_t size)
{
    uint8_t *p = ret_data;
    for (size_t i = 0; i < size; i++)
        p[i] = (uint8_t)prng_next(prng);
}

#include "crypto/random.h"

#include <sodium.h>

#include "base/assert.h"
#include "crypto/ready.h"

void random_fill(void *ret_data, size_t size)
{
    crypto_ready();
    randombytes_buf(ret_data, size);
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_fill(&v, sizeof v);
    return v;
}

uint32_t random_below(uint32_t below)
{
    cx_assert(below > 0);
    crypto_ready();
    return randombytes_uniform(below);
}

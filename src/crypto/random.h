/* random.h - bytes that nobody can guess, from the operating system. For keys, salts and tokens; what
 * tests and simulations draw must be repeatable and comes from base/prng.h. */
#ifndef CORTEN_CRYPTO_RANDOM_H
#define CORTEN_CRYPTO_RANDOM_H

#include "base/types.h"

void random_fill(void *ret_data, size_t size);
uint64_t random_u64(void);
/* 0 <= result < below, each as likely as any other; below > 0. */
uint32_t random_below(uint32_t below);

#endif

/* keccak.h - Keccak-256 with the padding of its first publication (0x01), as Ethereum uses it. This is
 * not SHA3-256, whose padding byte differs. Freestanding: the core hashes with it.
 *
 *      struct keccak k;
 *      keccak_init(&k);
 *      keccak_add(&k, data, size);   // as often as there is data
 *      keccak_end(&k, &hash);        // k must be initialised again before it is used again
 */
#ifndef CORTEN_CRYPTO_KECCAK_H
#define CORTEN_CRYPTO_KECCAK_H

#include "base/types.h"

#define KECCAK_BLOCK_SIZE 136  // the sponge takes 1,600 bits less twice the 256 of the result

struct keccak {
    uint64_t lane[25];
    uint32_t used;  // bytes of the current block taken so far; < KECCAK_BLOCK_SIZE
};

void keccak_init(struct keccak *k);
void keccak_add(struct keccak *k, const void *data, size_t size);
void keccak_end(struct keccak *k, struct hash *ret_hash);
void keccak256(const void *data, size_t size, struct hash *ret_hash);

#endif

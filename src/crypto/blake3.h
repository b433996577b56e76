/* blake3.h - BLAKE3 as its authors published it, unkeyed, 32 bytes of result. Freestanding: the core hashes with it
 * what it hashes most. Keccak-256 is four times as slow on what machines have today; it stays where wallets and
 * contracts look.
 *
 *      struct blake3 b;
 *      blake3_init(&b);
 *      blake3_add(&b, data, size);   // as often as there is data
 *      blake3_end(&b, &hash);        // b must be initialised again before it is used again
 *
 * What is hashed is cut into chunks of 1,024 bytes, the leaves of a binary tree. Chunks are independent, so that eight
 * of them are compressed side by side, one in each lane of a vector, and so are parents: in the compiler's own vectors,
 * which every machine has, and with equal results whatever it makes of them. What comes in large pieces is hashed where
 * it lies.
 */
#ifndef CORTEN_CRYPTO_BLAKE3_H
#define CORTEN_CRYPTO_BLAKE3_H

#include "base/types.h"

#define BLAKE3_CHUNK_SIZE 1024
#define BLAKE3_LANES      8   // chunks that are compressed side by side
#define BLAKE3_GROUP      16  // chunks whose parents fill lanes too
#define BLAKE3_GROUP_SIZE (BLAKE3_GROUP * BLAKE3_CHUNK_SIZE)
#define BLAKE3_DEPTH_MAX  54  // of the tree over 2^64 bytes

struct blake3 {
    uint64_t chunks;    // compressed so far
    uint32_t subtrees;  // whole ones that wait for their right neighbour, the largest first
    struct hash subtree[BLAKE3_DEPTH_MAX];
    uint32_t used;  // bytes in `waiting`: the last chunk is not known for the last before the end
    uint8_t waiting[BLAKE3_LANES * BLAKE3_CHUNK_SIZE];
};

void blake3_init(struct blake3 *b);
void blake3_add(struct blake3 *b, const void *data, size_t size);
/* The same for BLAKE3_GROUP_SIZE bytes that no others than whole groups came before, and others will come behind: the
 * cheapest way for who gathers. */
void blake3_add_group(struct blake3 *b, const void *data);
void blake3_end(struct blake3 *b, struct hash *ret_hash);
/* All at once. */
void blake3(const void *data, size_t size, struct hash *ret_hash);

#endif

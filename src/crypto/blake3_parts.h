/* blake3_parts.h - between the files of blake3: the compression function of "BLAKE3: one function, fast everywhere"
 * (2021), section 2.2, over whatever the sixteen words of its state are kept in.
 *
 * Files: blake3.c (chunks and their tree), blake3_block.c (one block after the other), blake3_lanes.c (eight side by
 * side).
 */
#ifndef CORTEN_CRYPTO_BLAKE3_PARTS_H
#define CORTEN_CRYPTO_BLAKE3_PARTS_H

#include "base/mem.h"
#include "crypto/blake3.h"

#define BLAKE3_BLOCK_SIZE 64

enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8 };  // flags of a compression

/* The first halves of SHA-256's initial value, which BLAKE3 begins with too. */
#define IV0 0x6a09e667u
#define IV1 0xbb67ae85u
#define IV2 0x3c6ef372u
#define IV3 0xa54ff53au
#define IV4 0x510e527fu
#define IV5 0x9b05688cu
#define IV6 0x1f83d9abu
#define IV7 0x5be0cd19u

#define TURN(x, n) ((x) >> (n) | (x) << (32 - (n)))

/* TURN16 and TURN8 are their users': where bytes can be shuffled, turning by whole bytes is one instruction. */
#define MIX(a, b, c, d, x, y) \
    do {                      \
        a = a + (x) + b;      \
        d = TURN16(d ^ a);    \
        c = c + d;            \
        b = TURN(b ^ c, 12);  \
        a = a + (y) + b;      \
        d = TURN8(d ^ a);     \
        c = c + d;            \
        b = TURN(b ^ c, 7);   \
    } while (0)

/* One round over the state s0..s15: columns, then diagonals, with the message words in the order of that round. */
#define ROUND(m, w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15) \
    do {                                                                               \
        MIX(s0, s4, s8, s12, m[w0], m[w1]);                                            \
        MIX(s1, s5, s9, s13, m[w2], m[w3]);                                            \
        MIX(s2, s6, s10, s14, m[w4], m[w5]);                                           \
        MIX(s3, s7, s11, s15, m[w6], m[w7]);                                           \
        MIX(s0, s5, s10, s15, m[w8], m[w9]);                                           \
        MIX(s1, s6, s11, s12, m[w10], m[w11]);                                         \
        MIX(s2, s7, s8, s13, m[w12], m[w13]);                                          \
        MIX(s3, s4, s9, s14, m[w14], m[w15]);                                          \
    } while (0)

#define ROUNDS(m)                                                       \
    do {                                                                \
        ROUND(m, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); \
        ROUND(m, 2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8); \
        ROUND(m, 3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1); \
        ROUND(m, 10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6); \
        ROUND(m, 12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4); \
        ROUND(m, 9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7); \
        ROUND(m, 11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13); \
    } while (0)

/* Words are little-endian, whatever the machine is. */
static inline uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void le32_put(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
    p[2] = (uint8_t)(v >> 16);
    p[3] = (uint8_t)(v >> 24);
}

/* Where the compiler can be told to use AVX2, the machine is asked whether it has it. */
#if defined(__x86_64__) && __STDC_HOSTED__
#define BLAKE3_HAS_AVX2 1
#define AVX2            __attribute__((target("avx2")))
static inline bool can_avx2(void) { return __builtin_cpu_supports("avx2"); }
#else
#define BLAKE3_HAS_AVX2 0
#endif

/* The chaining value of a chunk of at most BLAKE3_CHUNK_SIZE bytes, the counter-th one. `root`: ROOT where it is the
 * whole tree. */
void blake3_chunk(const uint8_t *chunk, uint32_t size, uint64_t counter, uint32_t root, struct hash *ret_value);
/* Of a parent of two. */
void blake3_parent(const struct hash child[2], uint32_t root, struct hash *ret_value);
/* Of BLAKE3_LANES whole chunks, none of them the last, from the first-th on. */
void blake3_leaves(const uint8_t *chunks, uint64_t first, struct hash ret_value[BLAKE3_LANES]);
/* Of BLAKE3_LANES parents of two each, none of them the root; ret_value may be child itself. */
void blake3_parents(const struct hash child[2 * BLAKE3_LANES], struct hash ret_value[BLAKE3_LANES]);

#endif

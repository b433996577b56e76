/* One block after the other: chunks and parents that are too few to be compressed side by side. */
#include "base/assert.h"
#include "crypto/blake3_parts.h"

struct block_terms {
    uint64_t counter;
    uint32_t size, flags;
};

static const uint32_t initial[8] = {IV0, IV1, IV2, IV3, IV4, IV5, IV6, IV7};

/* ---- anywhere ---- */

#define TURN16(x) TURN(x, 16)
#define TURN8(x)  TURN(x, 8)

static void compress_words(uint32_t h[8], const uint8_t *block, struct block_terms terms)
{
    uint32_t m[16];
    for (uint32_t i = 0; i < 16; i++)
        m[i] = le32(block + 4 * i);
    uint32_t s0 = h[0], s1 = h[1], s2 = h[2], s3 = h[3], s4 = h[4], s5 = h[5], s6 = h[6], s7 = h[7];
    uint32_t s8 = IV0, s9 = IV1, s10 = IV2, s11 = IV3;
    uint32_t s12 = (uint32_t)terms.counter, s13 = (uint32_t)(terms.counter >> 32), s14 = terms.size, s15 = terms.flags;
    ROUNDS(m);
    h[0] = s0 ^ s8;
    h[1] = s1 ^ s9;
    h[2] = s2 ^ s10;
    h[3] = s3 ^ s11;
    h[4] = s4 ^ s12;
    h[5] = s5 ^ s13;
    h[6] = s6 ^ s14;
    h[7] = s7 ^ s15;
}

#undef TURN16
#undef TURN8

/* ---- in rows of four words ---- */

#if BLAKE3_HAS_AVX2
typedef uint32_t row __attribute__((vector_size(16)));
typedef uint8_t row_bytes __attribute__((vector_size(16)));

#define PICK(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#define TURN16(x)       ((row)PICK((row_bytes)(x), (row_bytes)(x), 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13))
#define TURN8(x)        ((row)PICK((row_bytes)(x), (row_bytes)(x), 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12))

/* The state is a square of four rows, and the four columns are mixed at once. For the diagonals the rows are turned,
 * but for the second one, which the others wait for; so the words for the diagonals are in the order of its places.
 *
 * Message words: x and y for the columns, z and w for the diagonals, as in the first round
 *     x = 0 2 4 6    y = 1 3 5 7    z = 14 8 10 12    w = 15 9 11 13
 * From one round to the next, word i becomes the one that the second line of ROUNDS has at place i. */
AVX2 static void compress_rows(uint32_t h[8], const uint8_t *block, struct block_terms terms)
{
    row m[4], a, b;
    memcpy(m, block, sizeof m);
    memcpy(&a, h, sizeof a);
    memcpy(&b, h + 4, sizeof b);
    row c = {IV0, IV1, IV2, IV3};
    row d = {(uint32_t)terms.counter, (uint32_t)(terms.counter >> 32), terms.size, terms.flags};
    row x = PICK(m[0], m[1], 0, 2, 4, 6), y = PICK(m[0], m[1], 1, 3, 5, 7);
    row z = PICK(m[2], m[3], 6, 0, 2, 4), w = PICK(m[2], m[3], 7, 1, 3, 5);
    for (uint32_t round = 0;; round++) {
        MIX(a, b, c, d, x, y);
        a = PICK(a, a, 3, 0, 1, 2);
        c = PICK(c, c, 1, 2, 3, 0);
        d = PICK(d, d, 2, 3, 0, 1);
        MIX(a, b, c, d, z, w);
        a = PICK(a, a, 1, 2, 3, 0);
        c = PICK(c, c, 3, 0, 1, 2);
        d = PICK(d, d, 2, 3, 0, 1);
        if (round == 6)
            break;
        row next_x = PICK(x, y, 1, 5, 7, 2);
        row next_y = PICK(PICK(x, z, 3, 6, 0, 0), w, 0, 1, 2, 7);
        row next_z = PICK(PICK(w, y, 0, 4, 0, 1), z, 0, 1, 7, 3);
        w = PICK(PICK(z, y, 1, 1, 6, 0), w, 0, 6, 2, 3);
        x = next_x;
        y = next_y;
        z = next_z;
    }
    a ^= c;
    b ^= d;
    memcpy(h, &a, sizeof a);
    memcpy(h + 4, &b, sizeof b);
}

static void compress(uint32_t h[8], const uint8_t *block, struct block_terms terms)
{
    if (can_avx2())
        compress_rows(h, block, terms);
    else
        compress_words(h, block, terms);
}
#else
static void compress(uint32_t h[8], const uint8_t *block, struct block_terms terms) { compress_words(h, block, terms); }
#endif

/* ---- chunks and parents ---- */

static void store(const uint32_t h[8], struct hash *ret_value)
{
    for (uint32_t i = 0; i < 8; i++)
        le32_put(ret_value->b + 4 * i, h[i]);
}

void blake3_chunk(const uint8_t *chunk, uint32_t size, uint64_t counter, uint32_t root, struct hash *ret_value)
{
    uint32_t h[8];
    struct block_terms terms = {counter, BLAKE3_BLOCK_SIZE, CHUNK_START};
    cx_assert(size <= BLAKE3_CHUNK_SIZE);
    memcpy(h, initial, sizeof h);
    for (; size > BLAKE3_BLOCK_SIZE; size -= BLAKE3_BLOCK_SIZE, chunk += BLAKE3_BLOCK_SIZE) {
        compress(h, chunk, terms);
        terms.flags = 0;
    }
    uint8_t last[BLAKE3_BLOCK_SIZE] = {0};
    if (size > 0)
        memcpy(last, chunk, size);
    terms.size = size;
    terms.flags |= CHUNK_END | root;
    compress(h, last, terms);
    store(h, ret_value);
}

void blake3_parent(const struct hash child[2], uint32_t root, struct hash *ret_value)
{
    static_assert(2 * sizeof(struct hash) == BLAKE3_BLOCK_SIZE, "a parent is one block");
    uint32_t h[8];
    memcpy(h, initial, sizeof h);
    compress(h, (const uint8_t *)child, (struct block_terms){0, BLAKE3_BLOCK_SIZE, PARENT | root});
    store(h, ret_value);
}

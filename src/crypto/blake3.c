/* "BLAKE3: one function, fast everywhere" (2021), section 2. */
#include "crypto/blake3.h"

#include "base/assert.h"
#include "base/mem.h"

#define BLOCK_SIZE       64
#define BLOCKS_PER_CHUNK (BLAKE3_CHUNK_SIZE / BLOCK_SIZE)

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
static const uint32_t initial[8] = {IV0, IV1, IV2, IV3, IV4, IV5, IV6, IV7};

#define TURN(x, n) ((x) >> (n) | (x) << (32 - (n)))

#define MIX(a, b, c, d, x, y) \
    do {                      \
        a = a + b + (x);      \
        d = TURN(d ^ a, 16);  \
        c = c + d;            \
        b = TURN(b ^ c, 12);  \
        a = a + b + (y);      \
        d = TURN(d ^ a, 8);   \
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
static inline uint32_t load(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- one after the other ---- */

static void compress(uint32_t h[8], const uint32_t m[16], uint64_t counter, uint32_t size, uint32_t flags)
{
    uint32_t s0 = h[0], s1 = h[1], s2 = h[2], s3 = h[3], s4 = h[4], s5 = h[5], s6 = h[6], s7 = h[7];
    uint32_t s8 = IV0, s9 = IV1, s10 = IV2, s11 = IV3;
    uint32_t s12 = (uint32_t)counter, s13 = (uint32_t)(counter >> 32), s14 = size, s15 = flags;
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

static void load_block(const uint8_t *block, uint32_t ret_m[16])
{
    for (uint32_t i = 0; i < 16; i++)
        ret_m[i] = load(block + 4 * i);
}

/* A chunk of at most BLAKE3_CHUNK_SIZE bytes. `root`: ROOT where it is the whole tree. */
static void compress_chunk(const uint8_t *chunk, uint32_t size, uint64_t counter, uint32_t root, uint32_t ret_h[8])
{
    uint32_t m[16], flags = CHUNK_START;
    memcpy(ret_h, initial, sizeof initial);
    for (; size > BLOCK_SIZE; size -= BLOCK_SIZE, chunk += BLOCK_SIZE) {
        load_block(chunk, m);
        compress(ret_h, m, counter, BLOCK_SIZE, flags);
        flags = 0;
    }
    uint8_t last[BLOCK_SIZE] = {0};
    if (size > 0)
        memcpy(last, chunk, size);
    load_block(last, m);
    compress(ret_h, m, counter, size, flags | CHUNK_END | root);
}

/* Both into the left one. */
static void compress_parent(uint32_t left[8], const uint32_t right[8], uint32_t root)
{
    uint32_t m[16];
    memcpy(m, left, 8 * sizeof *m);
    memcpy(m + 8, right, 8 * sizeof *m);
    memcpy(left, initial, sizeof initial);
    compress(left, m, 0, BLOCK_SIZE, PARENT | root);
}

/* ---- side by side ---- */

/* `count` whole chunks, none of them the last, in the lanes of vectors of type V. */
#define COMPRESS_CHUNKS(V, count, chunks, first, ret_h)                                                        \
    do {                                                                                                       \
        const V zero = {0};                                                                                    \
        V h0 = zero + IV0, h1 = zero + IV1, h2 = zero + IV2, h3 = zero + IV3;                                  \
        V h4 = zero + IV4, h5 = zero + IV5, h6 = zero + IV6, h7 = zero + IV7;                                  \
        V counter_low, counter_high;                                                                           \
        for (uint32_t lane = 0; lane < (count); lane++) {                                                      \
            counter_low[lane] = (uint32_t)((first) + lane);                                                    \
            counter_high[lane] = (uint32_t)(((first) + lane) >> 32);                                           \
        }                                                                                                      \
        for (uint32_t block = 0; block < BLOCKS_PER_CHUNK; block++) {                                          \
            V m[16];                                                                                           \
            for (uint32_t i = 0; i < 16; i++)                                                                  \
                for (uint32_t lane = 0; lane < (count); lane++)                                                \
                    m[i][lane] = load((chunks) + lane * BLAKE3_CHUNK_SIZE + block * BLOCK_SIZE + 4 * i);       \
            uint32_t flags = (block == 0 ? CHUNK_START : 0) | (block == BLOCKS_PER_CHUNK - 1 ? CHUNK_END : 0); \
            V s0 = h0, s1 = h1, s2 = h2, s3 = h3, s4 = h4, s5 = h5, s6 = h6, s7 = h7;                          \
            V s8 = zero + IV0, s9 = zero + IV1, s10 = zero + IV2, s11 = zero + IV3;                            \
            V s12 = counter_low, s13 = counter_high, s14 = zero + BLOCK_SIZE, s15 = zero + flags;              \
            ROUNDS(m);                                                                                         \
            h0 = s0 ^ s8;                                                                                      \
            h1 = s1 ^ s9;                                                                                      \
            h2 = s2 ^ s10;                                                                                     \
            h3 = s3 ^ s11;                                                                                     \
            h4 = s4 ^ s12;                                                                                     \
            h5 = s5 ^ s13;                                                                                     \
            h6 = s6 ^ s14;                                                                                     \
            h7 = s7 ^ s15;                                                                                     \
        }                                                                                                      \
        const V h[8] = {h0, h1, h2, h3, h4, h5, h6, h7};                                                       \
        for (uint32_t lane = 0; lane < (count); lane++)                                                        \
            for (uint32_t i = 0; i < 8; i++)                                                                   \
                (ret_h)[lane][i] = h[i][lane];                                                                 \
    } while (0)

#define NARROW 4  // lanes of the vectors that every machine has or a compiler makes up cheaply
typedef uint32_t narrow __attribute__((vector_size(NARROW * sizeof(uint32_t))));
static_assert(BLAKE3_LANES % NARROW == 0, "the narrow way does all in whole steps");

static void compress_narrow(const uint8_t *chunks, uint64_t first, uint32_t (*ret_h)[8])
{
    COMPRESS_CHUNKS(narrow, NARROW, chunks, first, ret_h);
}

/* The same in wider registers, where the compiler can be told to use them and the machine says that it has them. */
#if defined(__x86_64__) && __STDC_HOSTED__
typedef uint32_t wide __attribute__((vector_size(BLAKE3_LANES * sizeof(uint32_t))));

__attribute__((target("avx2"))) static void compress_wide(const uint8_t *chunks, uint64_t first, uint32_t (*ret_h)[8])
{
    COMPRESS_CHUNKS(wide, BLAKE3_LANES, chunks, first, ret_h);
}

static bool has_wide(void) { return __builtin_cpu_supports("avx2"); }
#else
static void compress_wide(const uint8_t *chunks, uint64_t first, uint32_t (*ret_h)[8])
{
    compress_narrow(chunks, first, ret_h);
}

static bool has_wide(void) { return false; }
#endif

static void compress_lanes(const uint8_t *chunks, uint64_t first, uint32_t (*ret_h)[8])
{
    if (has_wide()) {
        compress_wide(chunks, first, ret_h);
        return;
    }
    for (uint32_t i = 0; i < BLAKE3_LANES; i += NARROW)
        compress_narrow(chunks + (size_t)i * BLAKE3_CHUNK_SIZE, first + i, ret_h + i);
}

/* ---- the tree ---- */

/* A chunk that is not the last one: it ends a subtree for each power of two that the count of chunks now is whole by.
 */
static void push(struct blake3 *b, const uint32_t h[8])
{
    cx_assert(b->subtrees < BLAKE3_DEPTH_MAX);
    memcpy(b->subtree[b->subtrees++], h, sizeof *b->subtree);
    b->chunks++;
    for (uint64_t whole = b->chunks; whole % 2 == 0; whole /= 2) {
        b->subtrees--;
        compress_parent(b->subtree[b->subtrees - 1], b->subtree[b->subtrees], 0);
    }
}

/* The first `count` chunks that wait, none of them the last. */
static void push_waiting(struct blake3 *b, uint32_t count)
{
    uint32_t h[BLAKE3_LANES][8];
    cx_assert(count <= BLAKE3_LANES);
    if (count > BLAKE3_LANES / 2) {
        compress_lanes(b->waiting, b->chunks, h);  // what lies behind is of no use, and costs nothing
    } else {
        for (uint32_t i = 0; i < count; i++)
            compress_chunk(b->waiting + (size_t)i * BLAKE3_CHUNK_SIZE, BLAKE3_CHUNK_SIZE, b->chunks + i, 0, h[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        push(b, h[i]);
}

void blake3_init(struct blake3 *b)
{
    b->chunks = 0;
    b->subtrees = 0;
    b->used = 0;
}

void blake3_add(struct blake3 *b, const void *data, size_t size)
{
    const uint8_t *p = data;
    cx_assert(b->used <= sizeof b->waiting);
    while (size > sizeof b->waiting - b->used) {
        uint32_t room = (uint32_t)sizeof b->waiting - b->used;
        memcpy(b->waiting + b->used, p, room);
        push_waiting(b, BLAKE3_LANES);  // more is to come
        b->used = 0;
        p += room;
        size -= room;
    }
    if (size > 0)
        memcpy(b->waiting + b->used, p, size);
    b->used += (uint32_t)size;
}

static void store(const uint32_t h[8], struct hash *ret_hash)
{
    for (uint32_t i = 0; i < sizeof ret_hash->b / 4; i++) {
        ret_hash->b[4 * i] = (uint8_t)h[i];
        ret_hash->b[4 * i + 1] = (uint8_t)(h[i] >> 8);
        ret_hash->b[4 * i + 2] = (uint8_t)(h[i] >> 16);
        ret_hash->b[4 * i + 3] = (uint8_t)(h[i] >> 24);
    }
}

void blake3_end(struct blake3 *b, struct hash *ret_hash)
{
    uint32_t before = b->used > 0 ? (b->used - 1) / BLAKE3_CHUNK_SIZE : 0;
    uint32_t h[8], left[8];
    push_waiting(b, before);
    uint32_t at = before * BLAKE3_CHUNK_SIZE;
    compress_chunk(b->waiting + at, b->used - at, b->chunks, b->subtrees == 0 ? ROOT : 0, h);
    while (b->subtrees > 0) {
        b->subtrees--;
        memcpy(left, b->subtree[b->subtrees], sizeof left);
        compress_parent(left, h, b->subtrees == 0 ? ROOT : 0);
        memcpy(h, left, sizeof h);
    }
    store(h, ret_hash);
}

void blake3(const void *data, size_t size, struct hash *ret_hash)
{
    if (size <= BLAKE3_CHUNK_SIZE) {
        uint32_t h[8];
        compress_chunk(data, (uint32_t)size, 0, ROOT, h);
        store(h, ret_hash);
        return;
    }
    struct blake3 b;
    blake3_init(&b);
    blake3_add(&b, data, size);
    blake3_end(&b, ret_hash);
}

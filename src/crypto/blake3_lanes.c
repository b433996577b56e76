/* Side by side: word i of BLAKE3_LANES inputs lies in the lanes of the i-th vector. */
#include "base/assert.h"
#include "crypto/blake3_parts.h"

/* What is compressed in the lanes: lane k begins at input + k * stride. */
struct lane_terms {
    const uint8_t *input;
    size_t stride;
    uint32_t blocks;                   // of each lane
    uint64_t counter;                  // of the first lane
    uint32_t counter_step;             // from lane to lane
    uint32_t flags;                    // of every block
    uint32_t first_flags, last_flags;  // and of these besides
};

/* ---- the state of all lanes ---- */

/* Goes on from h0..h7 through one block, whose words are m[0..15]. */
#define COMPRESS_LANES(V)                                                                            \
    do {                                                                                             \
        uint32_t flags = t->flags | (block == 0 ? t->first_flags : 0);                               \
        flags |= block == t->blocks - 1 ? t->last_flags : 0;                                         \
        V s0 = h0, s1 = h1, s2 = h2, s3 = h3, s4 = h4, s5 = h5, s6 = h6, s7 = h7;                    \
        V s8 = zero + IV0, s9 = zero + IV1, s10 = zero + IV2, s11 = zero + IV3;                      \
        V s12 = counter_low, s13 = counter_high, s14 = zero + BLAKE3_BLOCK_SIZE, s15 = zero + flags; \
        ROUNDS(m);                                                                                   \
        h0 = s0 ^ s8;                                                                                \
        h1 = s1 ^ s9;                                                                                \
        h2 = s2 ^ s10;                                                                               \
        h3 = s3 ^ s11;                                                                               \
        h4 = s4 ^ s12;                                                                               \
        h5 = s5 ^ s13;                                                                               \
        h6 = s6 ^ s14;                                                                               \
        h7 = s7 ^ s15;                                                                               \
    } while (0)

#define BEGIN_LANES(V, count)                                             \
    const V zero = {0};                                                   \
    V h0 = zero + IV0, h1 = zero + IV1, h2 = zero + IV2, h3 = zero + IV3; \
    V h4 = zero + IV4, h5 = zero + IV5, h6 = zero + IV6, h7 = zero + IV7; \
    V counter_low = zero, counter_high = zero;                            \
    for (uint32_t lane = 0; lane < (count); lane++) {                     \
        uint64_t counter = t->counter + (uint64_t)lane * t->counter_step; \
        counter_low[lane] = (uint32_t)counter;                            \
        counter_high[lane] = (uint32_t)(counter >> 32);                   \
    }

/* ---- four lanes, which every machine has or a compiler makes up cheaply ---- */

#define NARROW 4
typedef uint32_t narrow __attribute__((vector_size(NARROW * sizeof(uint32_t))));
static_assert(BLAKE3_LANES % NARROW == 0, "the narrow way does all in whole steps");

#define TURN16(x) TURN(x, 16)
#define TURN8(x)  TURN(x, 8)

static void compress_narrow(const struct lane_terms *t, struct hash ret_value[NARROW])
{
    BEGIN_LANES(narrow, NARROW)
    for (uint32_t block = 0; block < t->blocks; block++) {
        narrow m[16];
        for (uint32_t i = 0; i < 16; i++)
            for (uint32_t lane = 0; lane < NARROW; lane++)
                m[i][lane] = le32(t->input + lane * t->stride + (size_t)block * BLAKE3_BLOCK_SIZE + 4 * i);
        COMPRESS_LANES(narrow);
    }
    const narrow h[8] = {h0, h1, h2, h3, h4, h5, h6, h7};
    for (uint32_t lane = 0; lane < NARROW; lane++)
        for (uint32_t i = 0; i < 8; i++)
            le32_put(ret_value[lane].b + 4 * i, h[i][lane]);
}

#undef TURN16
#undef TURN8

static void compress_by_fours(const struct lane_terms *terms, struct hash ret_value[BLAKE3_LANES])
{
    struct hash value[BLAKE3_LANES];
    for (uint32_t i = 0; i < BLAKE3_LANES; i += NARROW) {
        struct lane_terms t = *terms;
        t.input += i * t.stride;
        t.counter += (uint64_t)i * t.counter_step;
        compress_narrow(&t, value + i);
    }
    memcpy(ret_value, value, sizeof value);  // only now: it may be the input
}

/* ---- all eight lanes ---- */

#if BLAKE3_HAS_AVX2
static_assert(BLAKE3_LANES == 8, "the squares below are eight words wide");
typedef uint32_t wide __attribute__((vector_size(BLAKE3_LANES * sizeof(uint32_t))));
typedef uint8_t wide_bytes __attribute__((vector_size(sizeof(wide))));

#define PICK(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#define TURN16(x)                                                                                                   \
    ((wide)PICK((wide_bytes)(x), (wide_bytes)(x), 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 18, 19, 16, \
                17, 22, 23, 20, 21, 26, 27, 24, 25, 30, 31, 28, 29))
#define TURN8(x)                                                                                                    \
    ((wide)PICK((wide_bytes)(x), (wide_bytes)(x), 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 17, 18, 19, \
                16, 21, 22, 23, 20, 25, 26, 27, 24, 29, 30, 31, 28))

/* Rows become columns: by words, by pairs of them, by halves. */
AVX2 static inline void transpose(wide square[8])
{
    wide word[8], pair[8];
    for (uint32_t i = 0; i < 8; i += 2) {
        word[i] = PICK(square[i], square[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        word[i + 1] = PICK(square[i], square[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (uint32_t i = 0; i < 8; i += 4) {
        pair[i] = PICK(word[i], word[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        pair[i + 1] = PICK(word[i], word[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        pair[i + 2] = PICK(word[i + 1], word[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        pair[i + 3] = PICK(word[i + 1], word[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (uint32_t i = 0; i < 4; i++) {
        square[i] = PICK(pair[i], pair[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        square[i + 4] = PICK(pair[i], pair[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

AVX2 static void compress_wide(const struct lane_terms *t, struct hash ret_value[BLAKE3_LANES])
{
    BEGIN_LANES(wide, BLAKE3_LANES)
    for (uint32_t block = 0; block < t->blocks; block++) {
        wide m[16];
        for (uint32_t lane = 0; lane < BLAKE3_LANES; lane++) {
            const uint8_t *at = t->input + lane * t->stride + (size_t)block * BLAKE3_BLOCK_SIZE;
            memcpy(&m[lane], at, sizeof m[lane]);
            memcpy(&m[8 + lane], at + sizeof m[lane], sizeof m[lane]);
        }
        transpose(m);
        transpose(m + 8);
        COMPRESS_LANES(wide);
    }
    wide h[8] = {h0, h1, h2, h3, h4, h5, h6, h7};
    transpose(h);
    memcpy(ret_value, h, sizeof h);
}

static void compress_lanes(const struct lane_terms *terms, struct hash ret_value[BLAKE3_LANES])
{
    if (can_avx2())
        compress_wide(terms, ret_value);
    else
        compress_by_fours(terms, ret_value);
}
#else
static void compress_lanes(const struct lane_terms *terms, struct hash ret_value[BLAKE3_LANES])
{
    compress_by_fours(terms, ret_value);
}
#endif

void blake3_leaves(const uint8_t *chunks, uint64_t first, struct hash ret_value[BLAKE3_LANES])
{
    compress_lanes(&(struct lane_terms){.input = chunks,
                                        .stride = BLAKE3_CHUNK_SIZE,
                                        .blocks = BLAKE3_CHUNK_SIZE / BLAKE3_BLOCK_SIZE,
                                        .counter = first,
                                        .counter_step = 1,
                                        .first_flags = CHUNK_START,
                                        .last_flags = CHUNK_END},
                   ret_value);
}

void blake3_parents(const struct hash child[2 * BLAKE3_LANES], struct hash ret_value[BLAKE3_LANES])
{
    compress_lanes(
        &(struct lane_terms){
            .input = (const uint8_t *)child, .stride = BLAKE3_BLOCK_SIZE, .blocks = 1, .flags = PARENT},
        ret_value);
}

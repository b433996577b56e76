#include "crypto/keccak.h"

#include "base/assert.h"
#include "base/mem.h"

#define LANE_COUNT    25
#define ROUND_COUNT   24
#define RATE_LANES    (KECCAK_BLOCK_SIZE / 8)
#define PADDING_FIRST 0x01  // FIPS 202 has 0x06 in its place for SHA3-256
#define PADDING_LAST  0x80

static_assert(KECCAK_BLOCK_SIZE % 8 == 0, "a block is whole lanes");

/* The Keccak reference, 1.2: iota's constants. */
static const uint64_t round_constant[ROUND_COUNT] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

#define ROTATE(v, n) ((v) << (n) | (v) >> ((64 - (n)) & 63))

/* One row of a round's result. Lane (x, y) is at x + 5y. theta adds d to each lane, rho turns it by r, pi
 * says which lane comes to which place (s), chi mixes the five that meet in a row. */
#define ROW(to, row, from, s0, r0, s1, r1, s2, r2, s3, r3, s4, r4) \
    do {                                                           \
        uint64_t b0 = from[s0] ^ d[s0 % 5];                        \
        uint64_t b1 = from[s1] ^ d[s1 % 5];                        \
        uint64_t b2 = from[s2] ^ d[s2 % 5];                        \
        uint64_t b3 = from[s3] ^ d[s3 % 5];                        \
        uint64_t b4 = from[s4] ^ d[s4 % 5];                        \
        b0 = ROTATE(b0, r0);                                       \
        b1 = ROTATE(b1, r1);                                       \
        b2 = ROTATE(b2, r2);                                       \
        b3 = ROTATE(b3, r3);                                       \
        b4 = ROTATE(b4, r4);                                       \
        to[5 * row + 0] = b0 ^ (~b1 & b2);                         \
        to[5 * row + 1] = b1 ^ (~b2 & b3);                         \
        to[5 * row + 2] = b2 ^ (~b3 & b4);                         \
        to[5 * row + 3] = b3 ^ (~b4 & b0);                         \
        to[5 * row + 4] = b4 ^ (~b0 & b1);                         \
    } while (0)

#define COLUMN(a, x) (a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20])

#define ROUND(to, from, constant)                                                                              \
    do {                                                                                                       \
        uint64_t c0 = COLUMN(from, 0), c1 = COLUMN(from, 1);                                                   \
        uint64_t c2 = COLUMN(from, 2), c3 = COLUMN(from, 3);                                                   \
        uint64_t c4 = COLUMN(from, 4);                                                                         \
        const uint64_t d[5] = {c4 ^ ROTATE(c1, 1), c0 ^ ROTATE(c2, 1), c1 ^ ROTATE(c3, 1), c2 ^ ROTATE(c4, 1), \
                               c3 ^ ROTATE(c0, 1)};                                                            \
        ROW(to, 0, from, 0, 0, 6, 44, 12, 43, 18, 21, 24, 14);                                                 \
        ROW(to, 1, from, 3, 28, 9, 20, 10, 3, 16, 45, 22, 61);                                                 \
        ROW(to, 2, from, 1, 1, 7, 6, 13, 25, 19, 8, 20, 18);                                                   \
        ROW(to, 3, from, 4, 27, 5, 36, 11, 10, 17, 15, 23, 56);                                                \
        ROW(to, 4, from, 2, 62, 8, 55, 14, 39, 15, 41, 21, 2);                                                 \
        to[0] ^= constant;                                                                                     \
    } while (0)

/* Every index is a constant, so that the lanes live in registers and the stack, and nothing is copied
 * between rounds: they go from a to e and back. */
#define PERMUTE(lane)                                   \
    do {                                                \
        uint64_t a[LANE_COUNT], e[LANE_COUNT];          \
        memcpy(a, lane, sizeof a);                      \
        for (unsigned i = 0; i < ROUND_COUNT; i += 2) { \
            ROUND(e, a, round_constant[i]);             \
            ROUND(a, e, round_constant[i + 1]);         \
        }                                               \
        memcpy(lane, a, sizeof a);                      \
    } while (0)

static void permute_plain(uint64_t lane[LANE_COUNT]) { PERMUTE(lane); }

/* chi's "and not" and rho's turns into another register are instructions of their own where the machine has them: a
 * third less time. */
#if defined(__x86_64__) && __STDC_HOSTED__
__attribute__((target("bmi,bmi2"))) static void permute_bits(uint64_t lane[LANE_COUNT]) { PERMUTE(lane); }

static bool has_bits(void) { return __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2"); }
#else
static void permute_bits(uint64_t lane[LANE_COUNT]) { permute_plain(lane); }

static bool has_bits(void) { return false; }
#endif

static void permute(uint64_t lane[LANE_COUNT])
{
    if (has_bits())
        permute_bits(lane);
    else
        permute_plain(lane);
}

/* Lanes are little-endian, whatever the machine is. */
static uint64_t lane_load(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 | (uint64_t)p[4] << 32 |
           (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 | (uint64_t)p[7] << 56;
}

static void add_byte(struct keccak *k, uint8_t byte)
{
    k->lane[k->used / 8] ^= (uint64_t)byte << (k->used % 8 * 8);
    k->used++;
}

static void permute_if_full(struct keccak *k)
{
    cx_assert(k->used <= KECCAK_BLOCK_SIZE);
    if (k->used < KECCAK_BLOCK_SIZE)
        return;
    permute(k->lane);
    k->used = 0;
}

void keccak_init(struct keccak *k) { memset(k, 0, sizeof *k); }

void keccak_add(struct keccak *k, const void *data, size_t size)
{
    cx_assert(k->used < KECCAK_BLOCK_SIZE);
    const uint8_t *p = data;

    for (; size > 0 && k->used % 8 != 0; size--, p++)
        add_byte(k, *p);
    permute_if_full(k);
    for (; size >= 8; size -= 8, p += 8) {
        k->lane[k->used / 8] ^= lane_load(p);
        k->used += 8;
        permute_if_full(k);
    }
    for (; size > 0; size--, p++)
        add_byte(k, *p);
}

void keccak_end(struct keccak *k, struct hash *ret_hash)
{
    cx_assert(k->used < KECCAK_BLOCK_SIZE);
    k->lane[k->used / 8] ^= (uint64_t)PADDING_FIRST << (k->used % 8 * 8);
    k->lane[RATE_LANES - 1] ^= (uint64_t)PADDING_LAST << 56;
    permute(k->lane);
    for (unsigned i = 0; i < sizeof ret_hash->b; i++)
        ret_hash->b[i] = (uint8_t)(k->lane[i / 8] >> (i % 8 * 8));
}

void keccak256(const void *data, size_t size, struct hash *ret_hash)
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, data, size);
    keccak_end(&k, ret_hash);
}

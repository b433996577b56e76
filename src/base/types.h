/* types.h - the plain values that every folder shares. */
#ifndef CORTEN_BASE_TYPES_H
#define CORTEN_BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/* Bytes somebody else owns; valid as long as the owner says. */
struct span {
    const uint8_t *data;
    uint32_t size;
};

/* An account: the last 20 bytes of the Keccak-256 of a secp256k1 public key. All zero: nobody. */
struct address {
    uint8_t b[20];
};

/* 32 bytes of Keccak-256 or SHA-256; the field's comment says which. All zero: none. */
struct hash {
    uint8_t b[32];
};

#define SLOT_NONE  UINT32_MAX  // no row of a table
#define TIME_NEVER UINT64_MAX  // a deadline that never comes

#define ARRAY_COUNT(a) (sizeof(a) / sizeof *(a))

/* Constant time is not needed: neither is ever a secret. */
static inline uint64_t word_at(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}
/* By words and not by memcmp, which is a call. The last word of an address overlaps the one before. */
static inline bool address_eq(const struct address *a, const struct address *b)
{
    uint64_t unlike = word_at(a->b) ^ word_at(b->b);
    unlike |= word_at(a->b + 8) ^ word_at(b->b + 8);
    unlike |= word_at(a->b + 12) ^ word_at(b->b + 12);
    return unlike == 0;
}
static inline bool address_is_zero(const struct address *a)
{
    return (word_at(a->b) | word_at(a->b + 8) | word_at(a->b + 12)) == 0;
}
static inline bool hash_eq(const struct hash *a, const struct hash *b)
{
    uint64_t unlike = word_at(a->b) ^ word_at(b->b);
    unlike |= word_at(a->b + 8) ^ word_at(b->b + 8);
    unlike |= word_at(a->b + 16) ^ word_at(b->b + 16);
    unlike |= word_at(a->b + 24) ^ word_at(b->b + 24);
    return unlike == 0;
}
static inline bool hash_is_zero(const struct hash *h)
{
    return (word_at(h->b) | word_at(h->b + 8) | word_at(h->b + 16) | word_at(h->b + 24)) == 0;
}

static inline uint32_t u32_min(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t u32_max(uint32_t a, uint32_t b) { return a > b ? a : b; }
static inline uint64_t u64_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t u64_max(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* a + b, or UINT64_MAX: a deadline far away stays far away. */
static inline uint64_t u64_add_sat(uint64_t a, uint64_t b) { return a + b < a ? UINT64_MAX : a + b; }

#endif

#include "base/types.h"

#include "base/mem.h"

bool address_eq(const struct address *a, const struct address *b) { return memcmp(a->b, b->b, sizeof a->b) == 0; }

bool address_is_zero(const struct address *a)
{
    static const struct address zero;
    return address_eq(a, &zero);
}

bool hash_eq(const struct hash *a, const struct hash *b) { return memcmp(a->b, b->b, sizeof a->b) == 0; }

bool hash_is_zero(const struct hash *h)
{
    static const struct hash zero;
    return hash_eq(h, &zero);
}

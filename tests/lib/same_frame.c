/* Whether two frames say the same, field by field. */
#include <string.h>

#include "lib/random_frame.h"

static bool same_bytes(struct span a, struct span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool same_string(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

// clang-format off
#define RECORD(name, tag) \
    static bool same_##name(const struct link_##tag *a, const struct link_##tag *b) { bool same = a && b;
#define END(name) return same; }
#define U64(key, member)                  same = same && a->member == b->member;
#define U32                               U64
#define BOOL                              U64
#define FIXED(key, member)                same = same && memcmp(a->member, b->member, sizeof a->member) == 0;
#define STRING(key, member, max)          same = same && same_string(a->member, b->member);
#define TEXT(key, member, max)            same = same && same_bytes(a->member, b->member);
#define BYTES                             TEXT
#define TERM(key, member, set)            U64(key, member)
#define U32_MAY                           U64
#define BOOL_MAY                          U64
#define FIXED_MAY                         FIXED
#define FIXED_IF(key, member, flag)       U64(key, flag) if (a->flag) FIXED(key, member)
#define STRING_MAY                        STRING
#define TERM_MAY(key, member, set, otherwise) U64(key, member)
#define ERROR(key, member)                STRING(key, member, 0) if (a->member) return same;
#define VERSION                           U64
#define VERDICT(key, member, words)       U64(key, member)
#define EVIDENCE                          U64
#define RESULT_RECORD(key, member, size) \
    U64(key, size) \
    same = same && memcmp(a->member, b->member, a->size) == 0;
#define HERE(key, record)                 same = same && same_##record(a, b);
#define PART_IF(key, record, member, flag) \
    U64(key, flag) \
    if (a->flag) \
        same = same && same_##record(&a->member, &b->member);
#define ITEMS(key, record, member, count, max) \
    U64(key, count) \
    for (uint32_t i = 0; same && i < a->count; i++) \
        same = same_##record(&a->member[i], &b->member[i]);
#define LIST                              ITEMS
#define IDS(key, member, count, max) \
    U64(key, count) \
    for (uint32_t i = 0; same && i < a->count; i++) \
        U64(key, member[i])
// clang-format on

#include "proto/link.def"

bool frames_same(const struct link_frame *a, const struct link_frame *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
#define X(name, NAME, way) \
    case LINK_##NAME: return same_##name(&a->name, &b->name);
        LINK_TYPES(X)
#undef X
    case LINK_TYPE_COUNT: break;
    }
    return false;
}

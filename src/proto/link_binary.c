/* Frames to their bytes: link.def, unfolded into one function a record. */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "proto/link.h"

/* Where the next bytes go. Frames are small and many: the buffer is asked only where it is full. */
static inline uint8_t *room(struct buf *out, size_t size)
{
    if (out->cap - out->size <= size)
        buf_reserve(out, size);
    uint8_t *at = (uint8_t *)out->data + out->size;
    out->size += size;
    return at;
}

static inline void put_u8(struct buf *out, uint32_t value) { *room(out, 1) = (uint8_t)value; }
static inline void put_u16(struct buf *out, uint32_t value) { be16_put(room(out, 2), (uint16_t)value); }
static inline void put_u32(struct buf *out, uint32_t value) { be32_put(room(out, 4), value); }
static inline void put_u64(struct buf *out, uint64_t value) { be64_put(room(out, 8), value); }

static inline void put_bytes(struct buf *out, const void *data, size_t size)
{
    uint8_t *at = room(out, size);
    if (size > 0)
        memcpy(at, data, size);
}

static void put_span(struct buf *out, struct span bytes)
{
    put_u32(out, bytes.size);
    put_bytes(out, bytes.data, bytes.size);
}

/* Words for people may quote anything: what is no UTF-8 in them becomes a question mark, and the rest is cut. */
static void put_string(struct buf *out, const char *text, size_t max)
{
    size_t size = text ? strlen(text) : 0;
    if (size > max)
        size = utf8_whole_prefix(text, max);
    put_u16(out, (uint32_t)size);
    char *at = (char *)room(out, size);
    for (size_t i = 0; i < size;) {
        size_t step = utf8_step(text + i, size - i);
        memcpy(at + i, step ? text + i : "?", step ? step : 1);
        i += step ? step : 1;
    }
}

/* ---- the kinds of link.def ---- */

// clang-format off
#define RECORD(name, tag) static void put_##name(struct buf *out, const struct link_##tag *f) { (void)out; (void)f;
#define END(name) }
#define U64(key, member)                  put_u64(out, f->member);
#define U32(key, member)                  put_u32(out, f->member);
#define BOOL(key, member)                 put_u8(out, f->member);
#define FIXED(key, member)                put_bytes(out, f->member, sizeof f->member);
#define STRING(key, member, max)          put_string(out, f->member, max);
#define TEXT(key, member, max)            put_span(out, f->member);
#define BYTES(key, member, max)           put_span(out, f->member);
#define TERM(key, member, set)            put_u8(out, f->member);
#define U32_MAY                           U32
#define BOOL_MAY                          BOOL
#define FIXED_MAY                         FIXED
#define FIXED_IF(key, member, flag)       put_u8(out, f->flag); if (f->flag) FIXED(key, member)
#define STRING_MAY(key, member, max)      put_u8(out, f->member != NULL); if (f->member) STRING(key, member, max)
#define TERM_MAY(key, member, set, otherwise) TERM(key, member, set)
#define ERROR(key, member)                STRING_MAY(key, member, LINK_DETAIL_SIZE_MAX) if (f->member) return;
#define VERSION                           U32
#define VERDICT(key, member, words)       put_u16(out, f->member);
#define EVIDENCE                          BOOL
#define RESULT_RECORD(key, member, size)  put_u8(out, f->size > 0); put_bytes(out, f->member, f->size);
#define HERE(key, record)                 put_##record(out, f);
#define PART_IF(key, record, member, flag) put_u8(out, f->flag); if (f->flag) put_##record(out, &f->member);
#define ITEMS(key, record, member, count, max) \
    put_u16(out, f->count); \
    for (uint32_t i = 0; i < f->count; i++) \
        put_##record(out, &f->member[i]);
#define LIST                              ITEMS
#define IDS(key, member, count, max) \
    put_u16(out, f->count); \
    for (uint32_t i = 0; i < f->count; i++) \
        put_u64(out, f->member[i]);
// clang-format on

#include "proto/link.def"

void link_encode_binary(const struct link_frame *frame, struct buf *out)
{
    put_u8(out, frame->type);
    switch (frame->type) {
#define X(name, NAME, way) \
    case LINK_##NAME: put_##name(out, &frame->name); break;
        LINK_TYPES(X)
#undef X
    case LINK_TYPE_COUNT: cx_assert(frame->type != LINK_TYPE_COUNT); break;
    }
    cx_assert(out->size < out->cap);
    out->data[out->size] = '\0';
}

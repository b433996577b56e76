/* Frames from their bytes: link.def, unfolded into one function a record. A reading keeps its first failure; what
 * follows it does nothing. */
#include <stdarg.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "proto/link_parts.h"

struct reading {
    const uint8_t *at;
    size_t left;
    enum cx_err err;
    struct link_frame *frame;
};

/* ---- failing ---- */

__attribute__((cold, noinline, format(printf, 2, 3))) static void fail(struct reading *r, const char *format, ...)
{
    char text[LINK_DETAIL_SIZE_MAX + 1];
    va_list args;
    if (r->err)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    r->err = cx_fail(CX_INVALID, "%s", text);
}

/* What failed inside a part or an item is said with the way to it. */
static void leave_part(struct reading *r, const char *key)
{
    if (r->err)
        r->err = cx_fail(CX_INVALID, "%s.%s", key, cx_detail());
}

static void leave_item(struct reading *r, const char *key, uint32_t index)
{
    if (r->err)
        r->err = cx_fail(CX_INVALID, "%s[%u].%s", key, index, cx_detail());
}

/* ---- bytes ---- */

/* The next `size` bytes, or NULL. */
static inline const uint8_t *take(struct reading *r, const char *key, size_t size)
{
    if (r->err || size > r->left) {
        fail(r, "%s: missing: the frame ends before or in it", key);
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += size;
    r->left -= size;
    return at;
}

static inline uint32_t get_u8(struct reading *r, const char *key)
{
    const uint8_t *at = take(r, key, 1);
    return at ? *at : 0;
}

static inline uint32_t get_u16(struct reading *r, const char *key)
{
    const uint8_t *at = take(r, key, 2);
    return at ? be16(at) : 0;
}

static inline uint32_t get_u32(struct reading *r, const char *key)
{
    const uint8_t *at = take(r, key, 4);
    return at ? be32(at) : 0;
}

static inline uint64_t get_u64(struct reading *r, const char *key)
{
    const uint8_t *at = take(r, key, 8);
    return at ? be64(at) : 0;
}

static inline bool get_bool(struct reading *r, const char *key)
{
    uint32_t value = get_u8(r, key);
    if (value > 1)
        fail(r, "%s: expected 0 or 1, not %u", key, value);
    return value == 1;
}

static inline void get_fixed(struct reading *r, const char *key, void *ret, size_t size)
{
    const uint8_t *at = take(r, key, size);
    if (at)
        memcpy(ret, at, size);
}

/* ---- what has a size, a bound, a set ---- */

static struct span get_sized(struct reading *r, const char *key, uint32_t size, uint32_t max)
{
    if (size > max)
        fail(r, "%s: over %u bytes", key, max);
    const uint8_t *at = take(r, key, size);
    return at ? (struct span){at, size} : (struct span){0};
}

static struct span get_bytes(struct reading *r, const char *key, uint32_t max)
{
    return get_sized(r, key, get_u32(r, key), max);
}

/* As in JSON, where neither can stand in a string. */
static struct span check_text(struct reading *r, const char *key, struct span text)
{
    if (text.size > 0 && !utf8_is_valid((const char *)text.data, text.size))
        fail(r, "%s: is no UTF-8", key);
    else if (text.size > 0 && memchr(text.data, 0, text.size))
        fail(r, "%s: has a NUL in it", key);
    return text;
}

static struct span get_text(struct reading *r, const char *key, uint32_t max)
{
    return check_text(r, key, get_bytes(r, key, max));
}

/* The frame's own, because it ends in NUL; and so a frame without spans can be kept. */
static const char *get_string(struct reading *r, const char *key, uint32_t max)
{
    struct span text = check_text(r, key, get_sized(r, key, get_u16(r, key), max));
    if (r->err)
        return NULL;
    char *string = link_memory(r->frame, text.size + 1);
    if (text.size > 0)
        memcpy(string, text.data, text.size);
    return string;
}

static uint32_t get_term(struct reading *r, const char *key, enum term_set set)
{
    uint32_t value = get_u8(r, key);
    if (!term_name(set, value))
        fail(r, "%s: %u is not one of its values", key, value);
    return value;
}

static uint32_t get_term_or(struct reading *r, const char *key, enum term_set set, uint32_t otherwise)
{
    if (r->left > 0 && *r->at == otherwise)
        return get_u8(r, key);
    return get_term(r, key, set);
}

static enum verdict get_verdict(struct reading *r, const char *key)
{
    uint32_t value = get_u16(r, key);
    if (!verdict_name((enum verdict)value))
        fail(r, "%s: %u is not known here", key, value);
    return (enum verdict)value;
}

static uint32_t get_version(struct reading *r, const char *key)
{
    uint32_t value = get_u32(r, key);
    if (value != LINK_VERSION)
        fail(r, "%s: %u is not spoken here: use %u", key, value, LINK_VERSION);
    return value;
}

static uint32_t get_count(struct reading *r, const char *key, uint32_t max)
{
    uint32_t count = get_u16(r, key);
    if (count > max)
        fail(r, "%s: over %u items", key, max);
    return r->err ? 0 : count;
}

static const uint64_t *get_ids(struct reading *r, const char *key, uint32_t count)
{
    uint64_t *id = link_memory(r->frame, count * sizeof *id);
    for (uint32_t i = 0; i < count && !r->err; i++) {
        id[i] = get_u64(r, key);
        if (id[i] == 0)
            fail(r, "%s[%u]: is 0", key, i);
    }
    return id;
}

/* ---- the kinds of link.def ---- */

// clang-format off
#define RECORD(name, tag) static void get_##name(struct reading *r, struct link_##tag *f) { (void)r; (void)f;
#define END(name) }
#define U64(key, member)                  f->member = get_u64(r, #key);
#define U32(key, member)                  f->member = get_u32(r, #key);
#define BOOL(key, member)                 f->member = get_bool(r, #key);
#define FIXED(key, member)                get_fixed(r, #key, f->member, sizeof f->member);
#define STRING(key, member, max)          f->member = get_string(r, #key, max);
#define TEXT(key, member, max)            f->member = get_text(r, #key, max);
#define BYTES(key, member, max)           f->member = get_bytes(r, #key, max);
#define TERM(key, member, set)            f->member = (__typeof__(f->member))get_term(r, #key, TERM_##set);
#define U32_MAY                           U32
#define BOOL_MAY                          BOOL
#define FIXED_MAY                         FIXED
#define FIXED_IF(key, member, flag)       if ((f->flag = get_bool(r, #key))) FIXED(key, member)
#define STRING_MAY(key, member, max)      if (get_bool(r, #key)) STRING(key, member, max)
#define TERM_MAY(key, member, set, otherwise) \
    f->member = (__typeof__(f->member))get_term_or(r, #key, TERM_##set, otherwise);
#define ERROR(key, member)                STRING_MAY(key, member, LINK_DETAIL_SIZE_MAX) if (f->member) return;
#define VERSION(key, member)              f->member = get_version(r, #key);
#define VERDICT(key, member, words)       f->member = get_verdict(r, #key); f->words = verdict_text(f->member);
#define EVIDENCE                          BOOL
#define RESULT_RECORD(key, member, size) \
    f->size = get_bool(r, #key) ? RECORD_EXACT_SIZE : 0; \
    get_fixed(r, #key, f->member, f->size);
#define HERE(key, record)                 get_##record(r, f); leave_part(r, #key);
#define PART_IF(key, record, member, flag) \
    if ((f->flag = get_bool(r, #key))) { \
        get_##record(r, &f->member); \
        leave_part(r, #key); \
    }
#define EACH(key, record, to, count) \
    for (uint32_t i = 0; i < (count) && !r->err; i++) { \
        get_##record(r, &(to)[i]); \
        leave_item(r, #key, i); \
    }
#define ITEMS(key, record, member, count, max) \
    f->count = get_count(r, #key, max); \
    EACH(key, record, f->member, f->count)
#define LIST(key, record, member, count, max) { \
    f->count = get_count(r, #key, max); \
    struct link_##record *list = link_memory(r->frame, f->count * sizeof *list); \
    EACH(key, record, list, f->count) \
    f->member = list; \
}
#define IDS(key, member, count, max) \
    f->count = get_count(r, #key, max); \
    f->member = get_ids(r, #key, f->count);
// clang-format on

#include "proto/link.def"

static void get_body(struct reading *r, struct link_frame *f)
{
    switch (f->type) {
#define X(name, NAME, way) \
    case LINK_##NAME: get_##name(r, &f->name); return;
        LINK_TYPES(X)
#undef X
    case LINK_TYPE_COUNT: cx_assert(f->type != LINK_TYPE_COUNT);
    }
}

static enum link_type get_type(struct reading *r, enum link_way way)
{
    uint32_t type = get_u8(r, "type");
    if (type >= LINK_TYPE_COUNT || link_type_way((enum link_type)type) != way)
        fail(r, "type: no frame %u comes this way", type);
    return (enum link_type)type;
}

enum cx_err link_decode_binary(const void *data, size_t size, enum link_way way, struct link_frame *ret_frame)
{
    size_t size_max = way == LINK_U ? LINK_UP_SIZE_MAX : LINK_DOWN_SIZE_MAX;
    if (size > size_max)
        return cx_fail(CX_TOO_LARGE, "the frame is over %zu bytes", size_max);
    struct link_frame frame = {0};
    struct reading r = {.at = data, .left = size, .frame = &frame};
    frame.type = get_type(&r, way);
    if (!r.err)
        get_body(&r, &frame);
    if (r.err) {
        link_frame_done(&frame);
        return r.err;
    }
    *ret_frame = frame;
    return CX_OK;
}

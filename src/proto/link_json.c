/* Frames to their text: link.def, unfolded into one function a record. */
#include <string.h>

#include "base/assert.h"
#include "proto/json.h"
#include "proto/link.h"

static void put_string(struct json_out *out, const char *key, const char *text)
{
    json_out_text(out, key, text ? text : "");
}

static void put_span(struct json_out *out, const char *key, struct span text)
{
    json_out_bytes(out, key, (const char *)text.data, text.size);
}

static void put_term(struct json_out *out, const char *key, enum term_set set, uint32_t value)
{
    const char *name = term_name(set, value);
    cx_assert(name);
    json_out_text(out, key, name);
}

static bool is_zero(const uint8_t *data, size_t size)
{
    size_t i = 0;
    while (i < size && data[i] == 0)
        i++;
    return i == size;
}

/* ---- the kinds of link.def ---- */

// clang-format off
#define RECORD(name, tag) static void put_##name(struct json_out *out, const struct link_##tag *f) { (void)out; (void)f;
#define END(name) }
#define U64(key, member)               json_out_digits(out, #key, f->member);
#define U32(key, member)               json_out_u64(out, #key, f->member);
#define BOOL(key, member)              json_out_bool(out, #key, f->member);
#define FIXED(key, member)             json_out_hex(out, #key, f->member, sizeof f->member);
#define STRING(key, member, max)       put_string(out, #key, f->member);
#define TEXT(key, member, max)         put_span(out, #key, f->member);
#define BYTES(key, member, max)        json_out_hex(out, #key, f->member.data, f->member.size);
#define TERM(key, member, set)         put_term(out, #key, TERM_##set, f->member);
#define U32_MAY                        U32
#define BOOL_MAY                       BOOL
#define FIXED_MAY(key, member)         if (!is_zero(f->member, sizeof f->member)) FIXED(key, member)
#define FIXED_IF(key, member, flag)    if (f->flag) FIXED(key, member)
#define STRING_MAY(key, member, max)   if (f->member) STRING(key, member, max)
#define TERM_MAY(key, member, set, otherwise) if (term_name(TERM_##set, f->member)) TERM(key, member, set)
#define ERROR(key, member)             if (f->member) { STRING(key, member, 0) return; }
#define VERSION                        U32
#define VERDICT(key, member, words) \
    put_string(out, #key, verdict_name(f->member)); \
    put_string(out, #words, verdict_text(f->member));
#define EVIDENCE(key, member)          put_string(out, #key, f->member ? "channel" : "signed");
#define RESULT_RECORD(key, member, size) if (f->size) json_out_hex(out, #key, f->member, f->size);
#define HERE_AS(key, record, at) \
    json_out_object(out, #key); \
    put_##record(out, at); \
    json_out_end(out);
#define HERE(key, record)              HERE_AS(key, record, f)
#define PART_IF(key, record, member, flag) if (f->flag) { HERE_AS(key, record, &f->member) }
#define ITEMS(key, record, member, count, max) \
    json_out_array(out, #key); \
    for (uint32_t i = 0; i < f->count; i++) { \
        json_out_object(out, NULL); \
        put_##record(out, &f->member[i]); \
        json_out_end(out); \
    } \
    json_out_end(out);
#define LIST                           ITEMS
#define IDS(key, member, count, max) \
    json_out_array(out, #key); \
    for (uint32_t i = 0; i < f->count; i++) \
        json_out_digits(out, NULL, f->member[i]); \
    json_out_end(out);
// clang-format on

#include "proto/link.def"

void link_encode(const struct link_frame *frame, struct buf *buf)
{
    struct json_out out;
    json_out_init(&out, buf);
    json_out_object(&out, NULL);
    json_out_text(&out, "type", link_type_name(frame->type));
    switch (frame->type) {
#define X(name, NAME, way) \
    case LINK_##NAME: put_##name(&out, &frame->name); break;
        LINK_TYPES(X)
#undef X
    case LINK_TYPE_COUNT: cx_assert(frame->type != LINK_TYPE_COUNT); break;
    }
    json_out_end(&out);
}

/* Frames from their text: link.def, unfolded into one function a record. A reading keeps its first failure; what
 * follows it does nothing. */
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "proto/json.h"
#include "proto/link_parts.h"

struct reading {
    struct json_at at;
    enum cx_err err;
    struct link_frame *frame;
};

static struct reading inside(const struct reading *r, const char *key)
{
    struct reading in = {.frame = r->frame, .err = r->err};
    if (!in.err)
        in.err = json_need_object(&r->at, key, &in.at);
    return in;
}

static struct reading item(const struct reading *array, uint32_t index)
{
    struct json_at at = json_at_item(&array->at, index);
    struct reading in = {.frame = array->frame, .at = at};
    in.err = json_need_object(&at, NULL, &in.at);
    return in;
}

/* Gives the number of items; 0 where the reading has failed. */
static uint32_t get_array(struct reading *r, const char *key, uint32_t max, struct reading *ret_array)
{
    *ret_array = (struct reading){.frame = r->frame};
    if (!r->err)
        r->err = json_need_array(&r->at, key, &ret_array->at);
    if (r->err)
        return 0;
    size_t count = json_at_count(&ret_array->at);
    if (count > max)
        r->err = json_fail(&r->at, key, "over %u items", max);
    return r->err ? 0 : (uint32_t)count;
}

static bool has(const struct reading *r, const char *key) { return !r->err && json_has(&r->at, key); }

static void get_u64(struct reading *r, const char *key, uint64_t *ret)
{
    if (!r->err)
        r->err = json_need_u64(&r->at, key, 0, UINT64_MAX, ret);
}

static void get_u32(struct reading *r, const char *key, uint32_t *ret)
{
    uint64_t value = 0;
    if (!r->err)
        r->err = json_need_u64(&r->at, key, 0, UINT32_MAX, &value);
    if (!r->err)
        *ret = (uint32_t)value;
}

static void may_u32(struct reading *r, const char *key, uint32_t *ret)
{
    uint64_t value = *ret;
    if (!r->err)
        r->err = json_may_u64(&r->at, key, 0, UINT32_MAX, &value);
    if (!r->err)
        *ret = (uint32_t)value;
}

static void get_bool(struct reading *r, const char *key, bool *ret)
{
    if (!r->err)
        r->err = json_need_bool(&r->at, key, ret);
}

static void may_bool(struct reading *r, const char *key, bool *ret)
{
    if (!r->err)
        r->err = json_may_bool(&r->at, key, ret);
}

static void get_hex(struct reading *r, const char *key, void *ret, size_t size)
{
    if (!r->err)
        r->err = json_need_hex(&r->at, key, ret, size);
}

static void may_hex(struct reading *r, const char *key, void *ret, size_t size)
{
    if (!r->err)
        r->err = json_may_hex(&r->at, key, ret, size);
}

static void get_text(struct reading *r, const char *key, size_t max, struct span *ret)
{
    const char *text = NULL;
    size_t size = 0;
    if (!r->err)
        r->err = json_need_text(&r->at, key, &text, &size);
    if (!r->err && size > max)
        r->err = json_fail(&r->at, key, "over %zu bytes", max);
    if (!r->err)
        *ret = (struct span){(const uint8_t *)text, (uint32_t)size};
}

static void get_string(struct reading *r, const char *key, size_t max, const char **ret)
{
    struct span text = {0};
    get_text(r, key, max, &text);
    if (!r->err)
        *ret = (const char *)text.data;
}

/* Hexadecimal of any size up to max. */
static void get_bytes(struct reading *r, const char *key, uint32_t max, struct span *ret)
{
    struct span text = {0};
    get_text(r, key, 2 * (size_t)max + 2, &text);
    if (r->err)
        return;
    if (text.size >= 2 && text.data[0] == '0' && text.data[1] == 'x')
        text = (struct span){text.data + 2, text.size - 2};
    uint8_t *bytes = link_memory(r->frame, text.size / 2);
    if (text.size % 2 || text.size / 2 > max || !hex_decode((const char *)text.data, text.size, bytes, text.size / 2))
        r->err = json_fail(&r->at, key, "expected at most %u bytes in hexadecimal", max);
    else
        *ret = (struct span){bytes, text.size / 2};
}

static void get_version(struct reading *r, const char *key, uint32_t *ret)
{
    get_u32(r, key, ret);
    if (!r->err && *ret != LINK_VERSION)
        r->err = json_fail(&r->at, key, "%u is not spoken here: use %u", *ret, LINK_VERSION);
}

static void get_evidence(struct reading *r, const char *key, bool *ret_channel)
{
    const char *name = "";
    get_string(r, key, 16, &name);
    *ret_channel = strcmp(name, "channel") == 0;
    if (!r->err && !*ret_channel && strcmp(name, "signed") != 0)
        r->err = json_fail(&r->at, key, "expected \"signed\" or \"channel\"");
}

static void get_verdict(struct reading *r, const char *key, enum verdict *ret)
{
    const char *name = NULL;
    get_string(r, key, 32, &name);
    for (uint32_t v = 0; !r->err && v < VERDICT_COUNT; v++) {
        const char *known = verdict_name((enum verdict)v);
        if (known && strcmp(known, name) == 0) {
            *ret = (enum verdict)v;
            return;
        }
    }
    if (!r->err)
        r->err = json_fail(&r->at, key, "%s is not known here", name);
}

static void get_ids(struct reading *r, const char *key, uint32_t max, const uint64_t **ret_id, uint32_t *ret_count)
{
    struct reading array;
    uint32_t count = get_array(r, key, max, &array);
    uint64_t *id = link_memory(r->frame, count * sizeof *id);
    for (uint32_t i = 0; i < count && !r->err; i++) {
        struct json_at at = json_at_item(&array.at, i);
        r->err = json_need_u64(&at, NULL, 1, UINT64_MAX, &id[i]);
    }
    *ret_id = id;
    *ret_count = count;
}

static uint32_t get_term(struct reading *r, const char *key, enum term_set set)
{
    const char *name = NULL;
    get_string(r, key, 32, &name);
    int value = r->err ? 0 : term_find(set, name);
    if (value < 0)
        r->err = json_fail(&r->at, key, "%s is not one of its values", name);
    return r->err ? 0 : (uint32_t)value;
}

/* ---- the kinds of link.def ---- */

// clang-format off
#define RECORD(name, tag) static void get_##name(struct reading *r, struct link_##tag *f) { (void)r; (void)f;
#define END(name) }
#define U64(key, member)               get_u64(r, #key, &f->member);
#define U32(key, member)               get_u32(r, #key, &f->member);
#define BOOL(key, member)              get_bool(r, #key, &f->member);
#define FIXED(key, member)             get_hex(r, #key, f->member, sizeof f->member);
#define STRING(key, member, max)       get_string(r, #key, max, &f->member);
#define TEXT(key, member, max)         get_text(r, #key, max, &f->member);
#define BYTES(key, member, max)        get_bytes(r, #key, max, &f->member);
#define TERM(key, member, set)         f->member = (__typeof__(f->member))get_term(r, #key, TERM_##set);
#define U32_MAY(key, member)           may_u32(r, #key, &f->member);
#define BOOL_MAY(key, member)          may_bool(r, #key, &f->member);
#define FIXED_MAY(key, member)         may_hex(r, #key, f->member, sizeof f->member);
#define FIXED_IF(key, member, flag)    if ((f->flag = has(r, #key))) FIXED(key, member)
#define STRING_MAY(key, member, max)   if (has(r, #key)) STRING(key, member, max)
#define TERM_MAY(key, member, set, otherwise) \
    f->member = otherwise; \
    if (has(r, #key)) \
        TERM(key, member, set)
#define ERROR(key, member) \
    if (has(r, #key)) { \
        STRING(key, member, LINK_DETAIL_SIZE_MAX) \
        return; \
    }
#define VERSION(key, member)           get_version(r, #key, &f->member);
#define VERDICT(key, member, words) \
    get_verdict(r, #key, &f->member); \
    f->words = verdict_text(f->member);
#define EVIDENCE(key, member)          get_evidence(r, #key, &f->member);
#define RESULT_RECORD(key, member, size) \
    if (has(r, #key)) { \
        get_hex(r, #key, f->member, RECORD_EXACT_SIZE); \
        f->size = RECORD_EXACT_SIZE; \
    }
#define HERE_AS(key, record, at) { \
    struct reading in = inside(r, #key); \
    get_##record(&in, at); \
    r->err = in.err; \
}
#define HERE(key, record)              HERE_AS(key, record, f)
#define PART_IF(key, record, member, flag) if ((f->flag = has(r, #key))) HERE_AS(key, record, &f->member)
#define EACH(record, array, to, count) \
    for (uint32_t i = 0; i < (count) && !r->err; i++) { \
        struct reading in = item(&(array), i); \
        get_##record(&in, &(to)[i]); \
        r->err = in.err; \
    }
#define ITEMS(key, record, member, count, max) { \
    struct reading array; \
    f->count = get_array(r, #key, max, &array); \
    EACH(record, array, f->member, f->count) \
}
#define LIST(key, record, member, count, max) { \
    struct reading array; \
    f->count = get_array(r, #key, max, &array); \
    struct link_##record *list = link_memory(r->frame, f->count * sizeof *list); \
    EACH(record, array, list, f->count) \
    f->member = list; \
}
#define IDS(key, member, count, max)   get_ids(r, #key, max, &f->member, &f->count);
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

static enum cx_err find_type(const struct reading *r, enum link_way way, enum link_type *ret_type)
{
    const char *name;
    size_t size;
    enum cx_err err = json_need_text(&r->at, "type", &name, &size);
    if (err)
        return err;
    for (uint32_t type = 0; type < LINK_TYPE_COUNT; type++)
        if (link_type_way((enum link_type)type) == way && strcmp(name, link_type_name((enum link_type)type)) == 0) {
            *ret_type = (enum link_type)type;
            return CX_OK;
        }
    return json_fail(&r->at, "type", "no frame \"%.32s\" comes this way", name);
}

enum cx_err link_decode(const char *text, size_t size, enum link_way way, struct link_frame *ret_frame)
{
    struct link_frame frame = {0};
    struct reading r = {.frame = &frame};
    size_t size_max = way == LINK_U ? LINK_UP_SIZE_MAX : LINK_DOWN_SIZE_MAX;
    enum cx_err err = json_parse(text, size, size_max, &frame.document);
    if (err)
        return err;
    r.at = json_at_root(frame.document);
    r.err = find_type(&r, way, &frame.type);
    if (!r.err)
        get_body(&r, &frame);
    if (r.err) {
        link_frame_done(&frame);
        return r.err;
    }
    *ret_frame = frame;
    return CX_OK;
}

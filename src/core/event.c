#include "core/event.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"

// clang-format off
#define EVENT(id, name, NAME)    static const struct field name##_fields[] = {
#define FIELD(event, name, type) {#name, offsetof(struct evt_##event, name), 0, FIELD_##type},
#define BYTES(event, name, max)  {#name, offsetof(struct evt_##event, name), max, FIELD_bytes},
#define END(name) };
// clang-format on
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END

static const struct event_info table[EVENT_TYPE_END] = {
#define EVENT(id, name, NAME) \
    [id] = {EVENT_##NAME, #name, sizeof(struct evt_##name), {name##_fields, ARRAY_COUNT(name##_fields)}},
#define FIELD(event, name, type)
#define BYTES(event, name, max)
#define END(name)
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END
};

const struct event_info *event_find(uint32_t type)
{
    return type < EVENT_TYPE_END && table[type].name ? &table[type] : NULL;
}

const struct event_info *event_find_name(const char *name)
{
    for (uint32_t i = 0; i < EVENT_TYPE_END; i++)
        if (table[i].name && text_eq(table[i].name, name))
            return &table[i];
    return NULL;
}

/* ---- encoding ---- */

/* Straight code for each event and not a walk over its fields: every event of every entry comes this way. */
static inline uint8_t *put_u8(uint8_t *at, uint8_t v)
{
    *at = v;
    return at + 1;
}
static inline uint8_t *put_u16(uint8_t *at, uint16_t v) { return put_u8(put_u8(at, (uint8_t)(v >> 8)), (uint8_t)v); }
static inline uint8_t *put_u32(uint8_t *at, uint32_t v)
{
    return put_u16(put_u16(at, (uint16_t)(v >> 16)), (uint16_t)v);
}
static inline uint8_t *put_u64(uint8_t *at, uint64_t v)
{
    return put_u32(put_u32(at, (uint32_t)(v >> 32)), (uint32_t)v);
}
static inline uint8_t *put_amount(uint8_t *at, struct amount v) { return put_u64(at, v.credits); }
static inline uint8_t *put_address(uint8_t *at, struct address v)
{
    memcpy(at, v.b, sizeof v.b);
    return at + sizeof v.b;
}
static inline uint8_t *put_hash(uint8_t *at, struct hash v)
{
    memcpy(at, v.b, sizeof v.b);
    return at + sizeof v.b;
}
static inline uint8_t *put_bytes(uint8_t *at, struct span v, uint32_t max)
{
    cx_assert(v.size <= max);
    at = put_u16(at, (uint16_t)v.size);
    if (v.size > 0)
        memcpy(at, v.data, v.size);
    return at + v.size;
}

// clang-format off
#define EVENT(id, name, NAME)    static_assert(sizeof(uint16_t)
#define FIELD(event, name, type) + sizeof(FIELD_C_##type)
#define BYTES(event, name, max)  + sizeof(uint16_t) + max
#define END(name)                <= EVENT_SIZE_MAX, #name);
// clang-format on
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END

uint32_t event_encode(const struct event *event, uint8_t ret_bytes[EVENT_SIZE_MAX])
{
    uint8_t *at = put_u16(ret_bytes, (uint16_t)event->type);
    // clang-format off
    switch (event->type) {
#define EVENT(id, name, NAME)    case EVENT_##NAME:
#define FIELD(event_, name, type) at = put_##type(at, event->event_.name);
#define BYTES(event_, name, max)  at = put_bytes(at, event->event_.name, max);
#define END(name)                break;
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END
    case EVENT_TYPE_END: cx_assert(false);
    }
    // clang-format on
    return (uint32_t)(at - ret_bytes);
}

/* For people's time-lines, so by a walk over the fields. */
bool event_decode(struct span bytes, struct event *ret_event)
{
    struct bytes_reader r;
    bytes_reader_init(&r, bytes.data, bytes.size);
    const struct event_info *info = event_find(bytes_get_u16(&r));
    if (!info)
        return false;
    ret_event->type = info->type;
    return fields_decode(info->fields, &r, &ret_event->network_opened) && r.left == 0;
}

void event_clear(struct event *event, size_t size)
{
    cx_assert(size <= sizeof *event);
    memset(event, 0, size);
}

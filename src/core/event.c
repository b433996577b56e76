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
#define EVENT(id, name, NAME) [id] = {EVENT_##NAME, #name, {name##_fields, ARRAY_COUNT(name##_fields)}},
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

struct event *event_add(struct event_list *list, enum event_type type)
{
    cx_assert(list->count < list->cap);
    struct event *event = &list->event[list->count++];
    memset(event, 0, sizeof *event);
    event->type = type;
    return event;
}

/* event.h - what followed from an entry, in order. Source: docs/protocol.md, "Events". */
#ifndef CORTEN_CORE_EVENT_H
#define CORTEN_CORE_EVENT_H

#include "base/assert.h"
#include "core/command.h"
#include "core/terms.h"

// clang-format off
#define EVENT(id, name, NAME)    struct evt_##name {
#define FIELD(event, name, type) FIELD_C_##type name;
#define BYTES(event, name, max)  struct span name;
#define END(name) };
// clang-format on
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END

enum event_type {
#define EVENT(id, name, NAME) EVENT_##NAME = id,
#define FIELD(event, name, type)
#define BYTES(event, name, max)
#define END(name)
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END
    EVENT_TYPE_END
};

struct event {
    enum event_type type;
    union {
#define EVENT(id, name, NAME) struct evt_##name name;
#define FIELD(event, name, type)
#define BYTES(event, name, max)
#define END(name)
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END
    };
};

/* The caller's memory; count starts at 0 for each entry. */
struct event_list {
    struct event *event;  // [cap], cap >= EVENTS_PER_COMMAND_MAX
    uint32_t cap, count;
};

struct event_info {
    enum event_type type;
    const char *name;  // "task_moved"
    uint32_t size;     // of its struct
    struct field_list fields;
};

#define EVENT_SIZE_MAX 512  // bytes of one event's encoding

/* Writes type u16 and fields as command.h says; gives the size. */
uint32_t event_encode(const struct event *event, uint8_t ret_bytes[EVENT_SIZE_MAX]);
/* Reads what event_encode wrote; spans point into it. False: it is no event. */
bool event_decode(struct span bytes, struct event *ret_event);
const struct event_info *event_find(uint32_t type);
const struct event_info *event_find_name(const char *name);
/* Of an event that has these fields. A number where the type is one. */
static inline size_t event_size(enum event_type type)
{
    // clang-format off
    switch (type) {
#define EVENT(id, name, NAME)    case EVENT_##NAME: return offsetof(struct event, name) + sizeof(struct evt_##name);
#define FIELD(event, name, type)
#define BYTES(event, name, max)
#define END(name)
#include "core/event.def"
#undef EVENT
#undef FIELD
#undef BYTES
#undef END
    case EVENT_TYPE_END: break;
    }
    // clang-format on
    return sizeof(struct event);
}

#define EVENT_SMALL_MAX 96
void event_clear(struct event *event, size_t size);

/* Adds one and gives it, type set and the rest zero. Asserts that there is room: EVENTS_PER_COMMAND_MAX is proved.
 * A small one is cleared in place, by the few stores that its own fields take. */
static inline struct event *event_add(struct event_list *list, enum event_type type)
{
    cx_assert(list->count < list->cap);
    struct event *event = &list->event[list->count++];
    size_t size = event_size(type);
    if (size <= EVENT_SMALL_MAX)
        memset(event, 0, size);
    else
        event_clear(event, size);
    event->type = type;
    return event;
}

#endif

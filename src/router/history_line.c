/* Time-lines: what happened, in bytes that are put behind each other and read only when somebody asks. */
#include <string.h>

#include "base/assert.h"
#include "router/history_parts.h"

#define LINE_FORMAT    1
#define LINE_HEAD_SIZE 22

void history_line_add(struct buf *line, const struct history *history, const struct event *event)
{
    uint8_t bytes[LINE_HEAD_SIZE + EVENT_SIZE_MAX];
    uint32_t size = event_encode(event, bytes + LINE_HEAD_SIZE);
    be64_put(bytes, history->seq);
    be64_put(bytes + 8, history->time_ms);
    be32_put(bytes + 16, history->event_index);
    be16_put(bytes + 20, (uint16_t)size);
    if (line->size == 0)
        buf_add(line, &(uint8_t){LINE_FORMAT}, 1);
    buf_add(line, bytes, LINE_HEAD_SIZE + size);
}

bool history_line_open(struct span line, struct bytes_reader *ret_reader)
{
    bytes_reader_init(ret_reader, line.data, line.size);
    return line.size == 0 || bytes_get_u8(ret_reader) == LINE_FORMAT;
}

bool history_line_next(struct bytes_reader *r, struct history_event *ret_event, struct span *ret_bytes)
{
    if (!r->ok || r->left == 0)
        return false;
    ret_event->seq = bytes_get_u64(r);
    ret_event->time_ms = bytes_get_u64(r);
    ret_event->index = bytes_get_u32(r);
    *ret_bytes = bytes_get_span(r, bytes_get_u16(r));
    r->ok = r->ok && event_decode(*ret_bytes, &ret_event->event);
    return r->ok;
}

/* ---- what an event is about ---- */

#define FIELDS_AT offsetof(struct event, network_opened)

/* Looked up once: every event is asked. */
void history_learn_concerns(struct history *history)
{
    for (uint32_t type = 0; type < EVENT_TYPE_END; type++) {
        const struct event_info *info = event_find(type);
        for (uint32_t i = 0; info && i < info->fields.count; i++) {
            const struct field *field = &info->fields.field[i];
            uint16_t at = (uint16_t)(FIELDS_AT + field->offset);
            if (strcmp(field->name, "task") == 0)
                history->concern[type].task = at;
            else if (strcmp(field->name, "node") == 0)
                history->concern[type].node = at;
        }
    }
}

static_assert(FIELDS_AT > 0, "0 says that there is no such field");

uint64_t history_task_of(const struct history *history, const struct event *event)
{
    uint64_t task = 0;
    uint16_t at = history->concern[event->type].task;
    if (at)
        memcpy(&task, (const uint8_t *)event + at, sizeof task);
    return task;
}

struct address history_node_of(const struct history *history, const struct event *event)
{
    struct address node = {0};
    uint16_t at = history->concern[event->type].node;
    if (at)
        memcpy(&node, (const uint8_t *)event + at, sizeof node);
    return node;
}

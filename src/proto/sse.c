#include "proto/sse.h"

#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

/* ---- writing ---- */

static void put_line(struct buf *out, const char *name, const char *value)
{
    buf_text(out, name);
    for (; *value; value++)
        buf_add(out, *value == '\n' || *value == '\r' ? " " : value, 1);
    buf_add(out, "\n", 1);
}

static size_t line_size(const char *data, size_t size)
{
    size_t i = 0;
    while (i < size && data[i] != '\n' && data[i] != '\r')
        i++;
    return i;
}

void sse_put(struct buf *out, const struct sse_event *event)
{
    if (event->id && *event->id)
        put_line(out, "id: ", event->id);
    if (event->event && *event->event)
        put_line(out, "event: ", event->event);
    const char *data = event->data;
    size_t left = event->data_size;
    for (;;) {
        size_t size = line_size(data, left);
        buf_add(out, "data: ", 6);
        buf_add(out, data, size);
        buf_add(out, "\n", 1);
        if (size == left)
            break;
        size += data[size] == '\r' && size + 1 < left && data[size + 1] == '\n';
        data += size + 1;
        left -= size + 1;
    }
    buf_add(out, "\n", 1);
}

void sse_put_comment(struct buf *out, const char *text)
{
    put_line(out, ": ", text);
    buf_add(out, "\n", 1);
}

/* ---- reading ---- */

const char *sse_fault_text(enum sse_fault fault)
{
    switch (fault) {
    case SSE_FAULT_NONE: return "no fault";
    case SSE_FAULT_TOO_LARGE: return "an event is over the limit";
    case SSE_FAULT_NAME_TOO_LONG: return "an event's name or id is over 127 bytes";
    case SSE_FAULT_UTF8: return "the stream is not UTF-8";
    }
    return "?";
}

void sse_decoder_init(struct sse_decoder *decoder, char *room, size_t cap)
{
    cx_assert(room);
    cx_assert(cap > 0);
    *decoder = (struct sse_decoder){.room = room, .cap = cap};
}

static bool fail(struct sse_decoder *d, enum sse_fault fault)
{
    d->fault = fault;
    return false;
}

static bool keep_name(struct sse_decoder *d, char *to, const char *value, size_t size)
{
    if (size > SSE_NAME_SIZE_MAX)
        return fail(d, SSE_FAULT_NAME_TOO_LONG);
    memcpy(to, value, size);
    to[size] = '\0';
    return true;
}

/* Only digits count; anything else is ignored, as the standard says. */
static void keep_retry(struct sse_decoder *d, const char *value, size_t size)
{
    uint64_t ms = 0;
    if (size == 0 || size > 9)
        return;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return;
        ms = ms * 10 + (uint64_t)(value[i] - '0');
    }
    d->retry_ms = ms;
}

/* Moves the value down behind the data so far; the line is the last thing in room, so there is space. */
static void keep_data(struct sse_decoder *d, const char *value, size_t size)
{
    char *to = d->room + d->data_size;
    memmove(to, value, size);
    to[size] = '\n';
    d->data_size += size + 1;
    d->has_data = true;
}

static bool is_name(const char *line, size_t size, const char *name)
{
    return size == strlen(name) && memcmp(line, name, size) == 0;
}

/* One whole line that is not empty: name, colon, perhaps one space, value. */
static bool take_line(struct sse_decoder *d)
{
    const char *line = d->room + d->data_size;
    size_t size = d->line_size;
    d->line_size = 0;
    if (!utf8_is_valid(line, size))
        return fail(d, SSE_FAULT_UTF8);
    const char *colon = memchr(line, ':', size);
    size_t name_size = colon ? (size_t)(colon - line) : size;
    const char *value = colon ? colon + 1 : line + size;
    size_t value_size = (size_t)(line + size - value);
    if (value_size > 0 && *value == ' ') {
        value++;
        value_size--;
    }
    if (is_name(line, name_size, "data"))
        keep_data(d, value, value_size);
    else if (is_name(line, name_size, "event"))
        return keep_name(d, d->event, value, value_size);
    else if (is_name(line, name_size, "id") && !memchr(value, '\0', value_size))
        return keep_name(d, d->id, value, value_size);
    else if (is_name(line, name_size, "retry"))
        keep_retry(d, value, value_size);
    return true;
}

/* An empty line: the event is whole. False: it had no data, and is none. */
static bool take_event(struct sse_decoder *d, struct sse_event *ret_event)
{
    if (!d->has_data) {
        d->event[0] = '\0';
        return false;
    }
    cx_assert(d->data_size > 0);
    d->room[d->data_size - 1] = '\0';  // in place of the last LF
    *ret_event = (struct sse_event){d->id, d->event, d->room, d->data_size - 1};
    return true;
}

/* The event that was given last lives until now. */
static void forget_event(struct sse_decoder *d)
{
    if (!d->given)
        return;
    d->given = d->has_data = false;
    d->data_size = 0;
    d->event[0] = '\0';
}

/* A byte order mark is allowed before the first line only. */
static void drop_mark(struct sse_decoder *d)
{
    if (!d->marked && d->line_size == 3) {
        d->marked = true;
        if (memcmp(d->room, "\xef\xbb\xbf", 3) == 0)
            d->line_size = 0;
    }
}

enum sse_answer sse_decode(struct sse_decoder *decoder, const char *data, size_t size, size_t *ret_used,
                           struct sse_event *ret_event)
{
    struct sse_decoder *d = decoder;
    forget_event(d);
    for (size_t i = 0; i < size && d->fault == SSE_FAULT_NONE; i++) {
        char c = data[i];
        bool follows_cr = d->cr;
        d->cr = c == '\r';
        if (c == '\n' && follows_cr)
            continue;  // of the line end that CR was
        if (c == '\n' || c == '\r') {
            d->marked = true;
            bool empty = d->line_size == 0;
            if (!empty)
                take_line(d);
            else if (take_event(d, ret_event)) {
                d->given = true;
                *ret_used = i + 1;
                return SSE_DONE;
            }
            continue;
        }
        /* One byte stays free: data get an LF where their line had a longer name. */
        if (d->data_size + d->line_size + 1 >= d->cap) {
            d->fault = SSE_FAULT_TOO_LARGE;
            break;
        }
        d->room[d->data_size + d->line_size++] = c;
        drop_mark(d);
    }
    if (d->fault != SSE_FAULT_NONE)
        return SSE_BAD;
    *ret_used = size;
    return SSE_MORE;
}

bool sse_is_between(const struct sse_decoder *decoder)
{
    return decoder->line_size == 0 && (!decoder->has_data || decoder->given);
}

#include "runtime/text_gate.h"

#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd"  // U+FFFD

void text_gate_init(struct text_gate *gate, const struct span *stop, uint32_t stop_count)
{
    *gate = (struct text_gate){.stop = stop, .stop_count = stop_count};
}

void text_gate_done(struct text_gate *gate)
{
    buf_done(&gate->text);
    buf_done(&gate->tail);
}

/* Moves what is decided out of the tail: characters, and bytes that cannot begin one. */
static void take_characters(struct text_gate *gate)
{
    struct buf *tail = &gate->tail;
    while (tail->size > 0) {
        size_t step = utf8_step(tail->data, tail->size);
        if (step > 0) {
            buf_add(&gate->text, tail->data, step);
            buf_drop(tail, step);
        } else if (utf8_whole_prefix(tail->data, tail->size) == 0) {
            return;
        } else {
            buf_text(&gate->text, REPLACEMENT);
            buf_drop(tail, 1);
        }
    }
}

/* Cuts the text at the stop string that is whole first, and of those that end together at the longest: what a reader of
 * single bytes would find, so that the answer does not depend on the pieces in which an engine hands it over. */
static void find_stop(struct text_gate *gate, size_t from)
{
    size_t first = gate->text.size, first_end = SIZE_MAX;
    for (uint32_t i = 0; i < gate->stop_count; i++) {
        struct span stop = gate->stop[i];
        size_t begin = from >= stop.size ? from - stop.size + 1 : 0;
        const char *at = gate->text.size > begin
                             ? memmem(gate->text.data + begin, gate->text.size - begin, stop.data, stop.size)
                             : NULL;
        if (!at)
            continue;
        gate->stopped = true;
        size_t begin_at = (size_t)(at - gate->text.data), end = begin_at + stop.size;
        if (end < first_end || (end == first_end && begin_at < first)) {
            first = begin_at;
            first_end = end;
        }
    }
    if (gate->stopped) {
        cx_assert(first >= gate->sent);  // what may begin a stop string was held back
        gate->text.size = first;
        gate->text.data[first] = '\0';
    }
}

void text_gate_add(struct text_gate *gate, const void *data, size_t size)
{
    size_t from = gate->text.size;
    if (gate->stopped)
        return;
    buf_add(&gate->tail, data, size);
    take_characters(gate);
    if (gate->text.size > from)
        find_stop(gate, from);
}

void text_gate_end(struct text_gate *gate)
{
    size_t from = gate->text.size;
    if (!gate->stopped && gate->tail.size > 0) {
        buf_text(&gate->text, REPLACEMENT);
        find_stop(gate, from);
    }
    buf_reset(&gate->tail);
    gate->stop_count = 0;
}

/* The longest end of the text that is a beginning of the stop string, and not all of it. */
static size_t held_for(const struct text_gate *gate, struct span stop)
{
    size_t unsent = gate->text.size - gate->sent, size = stop.size - 1 < unsent ? stop.size - 1 : unsent;
    for (; size > 0; size--)
        if (memcmp(gate->text.data + gate->text.size - size, stop.data, size) == 0)
            break;
    return size;
}

size_t text_gate_ready(const struct text_gate *gate)
{
    size_t held = 0;
    for (uint32_t i = 0; i < gate->stop_count && !gate->stopped; i++) {
        size_t size = held_for(gate, gate->stop[i]);
        held = size > held ? size : held;
    }
    /* Stop strings are well-formed, so what is held begins with a character. */
    return gate->text.size - gate->sent - held;
}

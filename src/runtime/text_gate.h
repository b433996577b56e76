/* text_gate.h - between an engine's bytes and a reader: whole characters, and no piece of a stop string.
 *
 * Bytes that can never become a character are U+FFFD. Text goes out as soon as it cannot be the beginning
 * of a stop string any more; at a stop string the text ends before it.
 */
#ifndef CORTEN_RUNTIME_TEXT_GATE_H
#define CORTEN_RUNTIME_TEXT_GATE_H

#include "base/buf.h"

struct text_gate {
    struct buf text;          // well-formed UTF-8
    size_t sent;              // of it
    struct buf tail;          // a character that has begun
    const struct span *stop;  // the caller's; each well-formed UTF-8 and not empty
    uint32_t stop_count;
    bool stopped;  // a stop string came
};

void text_gate_init(struct text_gate *gate, const struct span *stop, uint32_t stop_count);
void text_gate_done(struct text_gate *gate);
/* Once stopped, more is not taken. */
void text_gate_add(struct text_gate *gate, const void *data, size_t size);
/* The answer is over: nothing is held back any more. */
void text_gate_end(struct text_gate *gate);
/* How many bytes after text.data + sent may go out; the caller then adds them to `sent`. */
size_t text_gate_ready(const struct text_gate *gate);

#endif

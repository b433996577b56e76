/* sse.h - server-sent events: the lines that carry a stream of text over one HTTP response.
 *
 * Source: WHATWG HTML, "Server-sent events".
 */
#ifndef CORTEN_PROTO_SSE_H
#define CORTEN_PROTO_SSE_H

#include "base/buf.h"
#include "base/types.h"

#define SSE_NAME_SIZE_MAX 127  // of an event's name and of its id

struct sse_event {
    const char *id;     // NULL or "": none
    const char *event;  // NULL or "": "message"
    const char *data;   // lines parted by LF
    size_t data_size;
};

/* Adds one event. Line ends inside data (CR, LF, CR LF) part it into several data lines; those in id or
 * event become spaces. */
void sse_put(struct buf *out, const struct sse_event *event);
/* Adds a comment: keeps proxies from closing a silent stream. */
void sse_put_comment(struct buf *out, const char *text);

enum sse_answer { SSE_DONE, SSE_MORE, SSE_BAD };

/* Why a stream is refused. */
enum sse_fault { SSE_FAULT_NONE, SSE_FAULT_TOO_LARGE, SSE_FAULT_NAME_TOO_LONG, SSE_FAULT_UTF8 };

struct sse_decoder {
    char *room;  // the caller's: data of the event so far, then the line so far
    size_t cap;
    size_t data_size;  // including an LF after each line
    size_t line_size;
    char event[SSE_NAME_SIZE_MAX + 1];
    char id[SSE_NAME_SIZE_MAX + 1];  // stays from event to event
    uint64_t retry_ms;               // 0: never told
    bool marked;                     // past the place where a byte order mark may stand
    bool cr;                         // the last byte was CR: an LF now belongs to it
    bool has_data;
    bool given;  // the event in room was given and goes with the next call
    enum sse_fault fault;
};

/* `room` holds the largest event: its data and one line. */
void sse_decoder_init(struct sse_decoder *decoder, char *room, size_t cap);
/* Reads up to the end of the next event. DONE: *ret_event lives in the decoder until the next call.
 * Accepts CR, LF and CR LF, comments, a byte order mark. Events without data are not given, as the
 * standard wants it. BAD: `fault` says why; the decoder stays bad. */
enum sse_answer sse_decode(struct sse_decoder *decoder, const char *data, size_t size, size_t *ret_used,
                           struct sse_event *ret_event);
/* Whether the stream ended between two events: what was begun and not ended is no event. */
bool sse_is_between(const struct sse_decoder *decoder);
const char *sse_fault_text(enum sse_fault fault);

#endif

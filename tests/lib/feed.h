/* feed.h - the decoders of src/proto over bytes that come in steps, and what they made of them, as text.
 *
 * Every step lies against memory that cannot be touched. Whatever the step, the result must be the same.
 */
#ifndef CORTEN_TESTS_FEED_H
#define CORTEN_TESTS_FEED_H

#include "proto/http.h"
#include "proto/sse.h"
#include "proto/ws.h"

#define FEED_BODY_MAX 1000

/* What a stream of bytes came to: the requests in it, and what stopped it. */
struct outcome {
    enum http_refusal refusal;
    unsigned requests;
    struct buf log;     // "POST /a?x=1 [body]" for each
    struct buf bodies;  // all of them
};

void outcome_done(struct outcome *outcome);
struct outcome feed_http(const char *raw, size_t size, size_t step);
/* "event/id=data" for each event, with | for LF; then how it ended. */
struct buf feed_sse(const char *raw, size_t size, size_t step, size_t cap);
/* "text:Hello;" for each message, "ping:x;", "close 1000:bye;", "bad 1002". */
struct buf feed_ws(enum ws_role role, const void *raw, size_t size, size_t step, uint64_t size_max);

#endif

/* reply.h - what comes back of one call, read as a client reads it: JSON in one piece, or a stream of events.
 *
 * A reader that trusts nothing: everything that is against docs/protocol.md, "HTTP", makes the reply broken, with the
 * first reason.
 */
#ifndef CORTEN_SIM_REPLY_H
#define CORTEN_SIM_REPLY_H

#include "base/buf.h"
#include "proto/sse.h"
#include "sim/client.h"

#define REPLY_EVENT_MAX     (64 * 1024)
#define HTTP_REPLY_SIZE_MAX (1024 * 1024)

struct reply {
    struct told told;
    struct buf body, text;
    json_t *receipt;  // the last one; NULL: none
    struct sse_decoder decoder;
    char *room;  // of the decoder
    bool streams, ended, has_finish;
    char why[160];
};

void reply_init(struct reply *reply);
void reply_done(struct reply *reply);
void reply_head(struct reply *reply, unsigned status, const char *content_type);
void reply_body(struct reply *reply, const char *data, size_t size);
/* It is whole, or (whole false) was cut. What it came to is in reply->told. */
void reply_end(struct reply *reply, bool whole);

#endif

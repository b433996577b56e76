/* openai_body.h - the JSON that goes to an OpenAI-compatible server, and the events that come back.
 *
 * Sans-io: runtime_openai.c carries the bytes. Strict: a stream is whole only with a finish reason and
 * [DONE]; whatever else ends it is an error that says what was wrong.
 */
#ifndef CORTEN_RUNTIME_OPENAI_BODY_H
#define CORTEN_RUNTIME_OPENAI_BODY_H

#include "base/buf.h"
#include "proto/sse.h"
#include "runtime/runtime.h"

#define OPENAI_EVENT_SIZE_MAX (1u << 20)
#define OPENAI_SEED_MASK      0x7fffffffu  // servers take 32 bits, some signed

/* Adds the request for `model`. Members of request->body that we do not know are passed on. Fails: INVALID
 * where request->body is no JSON object. */
enum cx_err openai_put_request(struct buf *out, const struct runtime_request *request, const char *model);

struct openai_stream {
    enum runtime_kind kind;
    struct sse_decoder sse;
    char *room;
    bool has_finish, is_done;
    enum runtime_finish finish;
    bool has_usage;
    uint32_t tokens_in, tokens_out;  // as the server counts
    struct buf error;                // not empty: the stream is bad
};

void openai_stream_init(struct openai_stream *s, enum runtime_kind kind);
void openai_stream_done(struct openai_stream *s);
/* on_text is called for each piece of text. It may not touch the stream. False: `error` says why. */
bool openai_stream_add(struct openai_stream *s, const char *data, size_t size,
                       void (*on_text)(void *ctx, const char *text, size_t size), void *ctx);
/* The body is over: whether the answer is whole. False: `error` says why not. */
bool openai_stream_end(struct openai_stream *s);

/* The model among those of GET /v1/models: the wanted one, or the first where wanted is NULL. Adds its id to
 * ret_id. *ret_context is left alone where the server does not say. Fails: NOT_FOUND (with the list), INVALID. */
enum cx_err openai_find_model(const char *json, size_t size, const char *wanted, struct buf *ret_id,
                              uint32_t *ret_context);
/* What an error answer says, in one line; and whose fault it is. */
enum runtime_fault openai_read_error(unsigned status, const char *body, size_t size, struct buf *ret_text);

#endif

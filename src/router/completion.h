/* completion.h - a prompt over HTTP: from a request's body to the last byte of its answer, in any of the dialects.
 *
 *      body --request.h--> prompt.h --> text… --> the end
 *                                \-> refused: an error, and nothing was charged
 *
 * A stream begins with the first text, or after API_KEEP_ALIVE_MS, so that what fails early fails with a status of its
 * own. It ends once: with finish reason, usage and [DONE]; or with one error, and no [DONE].
 *
 * Source: docs/protocol.md, "HTTP".
 */
#ifndef CORTEN_ROUTER_COMPLETION_H
#define CORTEN_ROUTER_COMPLETION_H

#include "router/prompt.h"

enum dialect {
    DIALECT_CHAT,    // OpenAI's chat completions
    DIALECT_TEXT,    // OpenAI's completions
    DIALECT_NATIVE,  // the same with task_id and urn; v2 and v3 hide the text where the session says `reference`
};

struct completion {
    struct prompt prompt;
    struct call *call;
    enum dialect dialect;
    bool by_urn;      // a route that answers with references
    bool onlooker;    // of a task that was there before
    bool begun, led;  // the head went out; the first chunk did
    uint64_t created_s;
    uint64_t sent_ms;  // when something went out last
    struct net_timer keep_alive;
};

/* Takes the call: reads its body, and answers in the end. `session`: named by the path; 0: not. */
void completion_start(struct call *call, enum dialect dialect, bool by_urn, uint64_t session);
/* Takes the call: streams a task that exists, from behind that text on. */
void completion_resume(struct call *call, uint64_t session, uint64_t task, const struct text_mark *from);

/* ---- completion.c, for completion_begin.c ---- */

struct completion *completion_new(struct call *call, enum dialect dialect);
void completion_stream(struct completion *c);  // it will
/* Answers with an error, or ends the stream with it; c is gone. */
void completion_fail(struct completion *c, const struct api_error *error);

/* ---- completion_write.c ---- */

/* Adds one event of a stream. The last one: with finish, usage where asked for, `corten`, and [DONE]. */
void completion_put_text(struct completion *c, struct buf *out, const char *text, size_t size);
void completion_put_last(struct completion *c, struct buf *out, const struct task_end *end);
void completion_put_error(struct completion *c, struct buf *out, const struct api_error *error);
/* The answer in one piece. */
void completion_put_whole(const struct completion *c, struct buf *out, const struct task_end *end);

#endif

/* client_frame.h - the frames of the client WebSocket, /api/v1/ws, that a client sends.
 *
 *      one JSON object, or the same in binary --client_decode--> struct client_frame, client_frame_done
 *
 * A decoded frame borrows its strings from the document that it holds, until client_frame_done, or from the message.
 * Unknown members of JSON are passed over, so that either end may grow. What the router sends is written by
 * src/router/client_reply.c.
 *
 * Source: docs/protocol.md, "Client WebSocket".
 */
#ifndef CORTEN_PROTO_CLIENT_FRAME_H
#define CORTEN_PROTO_CLIENT_FRAME_H

#include "base/err.h"
#include "base/types.h"
#include "proto/request.h"

#define CLIENT_PROTOCOL       "corten.client.v1"
#define CLIENT_PROTOCOL_BIN   "corten.client.v1+bin"
#define CLIENT_PATH           "/api/v1/ws"
#define CLIENT_FRAME_SIZE_MAX (17u << 20)  // bytes: a whole prompt, and what is around it
#define CLIENT_KEY_SIZE_MAX   256

/* X(what stands in `type`, enumerator) */
#define CLIENT_TYPES(X) \
    X(key, KEY)         \
    X(submit, SUBMIT)   \
    X(watch, WATCH)     \
    X(cancel, CANCEL)   \
    X(leave, LEAVE)

#define X(name, NAME) CLIENT_##NAME,
enum client_type { CLIENT_TYPES(X) CLIENT_TYPE_COUNT };
#undef X

struct client_frame {
    enum client_type type;
    uint64_t ref;            // the client's name for what it asks; not of KEY
    const char *key;         // KEY
    const json_t *body;      // SUBMIT: as of POST /api/v1/completions; NULL: it is in `fields`
    struct span fields;      // SUBMIT in binary
    uint64_t session, task;  // WATCH, CANCEL
    uint64_t from;           // WATCH: bytes of the text that the client has
    json_t *document;
    char text[CLIENT_KEY_SIZE_MAX + 1];  // of a key in binary
};
/* The first byte of a frame in binary. */
enum client_said {
    CLIENT_SAYS_WELCOME = 0x80,
    CLIENT_SAYS_ACCEPTED,
    CLIENT_SAYS_TEXT,
    CLIENT_SAYS_ANSWER,
    CLIENT_SAYS_CANCELLED,
    CLIENT_SAYS_ERROR,
};

/* CX_INVALID, CX_TOO_LARGE: cx_detail() says which field, and why; ret_frame->ref is 0, or known already. */
enum cx_err client_decode(const char *text, size_t size, struct client_frame *ret_frame);
enum cx_err client_decode_bin(const void *data, size_t size, struct client_frame *ret_frame);
/* What a SUBMIT asks for. Fails as request_read_native does. */
enum cx_err client_frame_request(const struct client_frame *frame, struct request *ret_request);
void client_frame_done(struct client_frame *frame);

#endif

/* http.h - HTTP/1.1 messages: request heads, bodies and what a server writes back.
 *
 * A message is read in two steps, neither of which allocates or waits:
 *
 *      bytes -> http_head_scan, until the empty line    (the caller keeps what it used in one buffer)
 *      that buffer -> http_request_parse                (fields are C strings inside the buffer)
 *      bytes -> http_body_decode, until DONE            (pieces lie in the caller's bytes)
 *
 * The scan judges what llhttp is too kind to: bare line ends, control characters, folded lines, sizes.
 * llhttp judges the grammar; the parse then judges what the message means. What is refused has a name,
 * a status and a sentence; nothing is ever repaired.
 *
 * Source: RFC 9110, RFC 9112.
 */
#ifndef CORTEN_PROTO_HTTP_H
#define CORTEN_PROTO_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

#define HTTP_HEAD_SIZE_MAX            (64 * 1024)  // request line, fields and the empty line
#define HTTP_TARGET_SIZE_MAX          (8 * 1024)
#define HTTP_FIELDS_MAX               100
#define HTTP_CHUNK_DIGITS_MAX         8    // a chunk is smaller than 4 GiB
#define HTTP_CHUNK_EXTENSION_SIZE_MAX 256  // of one chunk; ignored

#define HTTP_METHODS(X) X(GET) X(HEAD) X(POST) X(PUT) X(DELETE) X(OPTIONS)

enum http_method {
#define X(name) HTTP_METHOD_##name,
    HTTP_METHODS(X)
#undef X
        HTTP_METHOD_COUNT
};

/* Why a message is refused: name, status of the answer, sentence for the sender. */
#define HTTP_REFUSALS(X)                                                                            \
    X(NONE, 200, "not refused")                                                                     \
    X(SYNTAX, 400, "this is not an HTTP/1.1 request")                                               \
    X(LINE_END, 400, "every line must end in CR LF")                                                \
    X(CONTROL, 400, "control characters are not allowed in a request head")                         \
    X(FOLDED, 400, "folded header lines are not allowed: write the field on one line")              \
    X(FIELD_BAD, 400, "a header field has a bad name or value")                                     \
    X(HEAD_TOO_LARGE, 431, "the request head is over 65536 bytes")                                  \
    X(FIELDS_TOO_MANY, 431, "the request has more than 100 header fields")                          \
    X(TARGET_TOO_LONG, 414, "the request target is over 8192 bytes")                                \
    X(TARGET_BAD, 400, "the request target must be a path that begins with /")                      \
    X(METHOD_UNKNOWN, 501, "this method is not known: use GET, HEAD, POST, PUT, DELETE or OPTIONS") \
    X(VERSION, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here")                                   \
    X(HOST_MISSING, 400, "an HTTP/1.1 request needs a Host field")                                  \
    X(HOST_BAD, 400, "the request has more than one Host, or one with bad characters")              \
    X(LENGTH_BAD, 400, "Content-Length must be one decimal number")                                 \
    X(LENGTH_TWICE, 400, "Content-Length was sent twice, or together with Transfer-Encoding")       \
    X(ENCODING, 501, "the only Transfer-Encoding understood is chunked")                            \
    X(ENCODING_1_0, 400, "Transfer-Encoding does not exist in HTTP/1.0")                            \
    X(EXPECT, 417, "the only expectation understood is 100-continue")                               \
    X(CHUNK, 400, "the chunked body is malformed")                                                  \
    X(TRAILER, 400, "fields after a chunked body are not accepted")                                 \
    X(BODY_TOO_LARGE, 413, "the request body is over the limit")                                    \
    X(HEAD_TIMEOUT, 408, "the request head did not arrive in time")                                 \
    X(BODY_TIMEOUT, 408, "the request body did not arrive in time")                                 \
    X(CONNECTIONS, 503, "too many connections: try again later")

enum http_refusal {
#define X(name, status, text) HTTP_REFUSE_##name,
    HTTP_REFUSALS(X)
#undef X
        HTTP_REFUSAL_COUNT
};

enum http_answer { HTTP_DONE, HTTP_MORE, HTTP_BAD };

struct http_field {
    const char *name;   // as sent; compare with http_field_get
    const char *value;  // without the space around it
};

/* How the end of a body is found. */
enum http_framing { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_request {
    enum http_method method;
    enum http_framing framing;
    uint64_t content_length;         // of HTTP_BODY_LENGTH
    const char *path;                // begins with '/', or is "*" with OPTIONS; not percent-decoded
    const char *query;               // what followed '?', or ""
    const char *host;                // "" in HTTP/1.0 without one
    const struct http_field *field;  // [field_count]
    uint32_t field_count;
    bool keep_alive;  // the client is willing to go on after this request
    bool expect_continue;
    bool upgrade_websocket;  // GET with Upgrade: websocket and Connection: upgrade
    bool version_1_0;
};

/* The answer of a server, as a WebSocket client needs it. */
struct http_reply {
    unsigned status;
    const struct http_field *field;
    uint32_t field_count;
};

/* Where in a head the scan is. All zero: before it. */
struct http_head_scan {
    uint32_t size;       // bytes of the head so far
    uint32_t line_size;  // of the line so far, without its end
    uint16_t lines;      // whole lines so far
    bool cr;             // the last byte was CR
    bool led;            // an empty line stood before the head
    bool started;
};

/* "HTTP_LINE_END", its status, and its sentence. */
const char *http_refusal_name(enum http_refusal refusal);
unsigned http_refusal_status(enum http_refusal refusal);
const char *http_refusal_text(enum http_refusal refusal);
const char *http_method_name(enum http_method method);
/* "Not Found"; "" where the status is not a known one. */
const char *http_status_text(unsigned status);

/* Looks for the empty line that ends a head. DONE: it ended with the last byte used. One empty line
 * before the head is skipped by RFC 9112, 2.2: *ret_used then counts it, and the head begins behind it,
 * at data[*ret_skip]. BAD: *ret_refusal says why. */
enum http_answer http_head_scan(struct http_head_scan *scan, const char *data, size_t size, size_t *ret_used,
                                size_t *ret_skip, enum http_refusal *ret_refusal);

/* Parses a whole head, as http_head_scan found it, in place: `head` is written to, and the strings of
 * *ret_request live in it and in field[HTTP_FIELDS_MAX]. HTTP_REFUSE_NONE if it is good. */
enum http_refusal http_request_parse(char *head, size_t size, struct http_field *field,
                                     struct http_request *ret_request);
enum http_refusal http_reply_parse(char *head, size_t size, struct http_field *field, struct http_reply *ret_reply);

/* The value of the first field of that name, in any case, or NULL. */
const char *http_field_get(const struct http_field *field, uint32_t count, const char *name);
/* RFC 9110, 5.6.2: what a name of a field may be. */
bool http_is_token(const char *name);
/* Whether the comma-separated value holds the token, in any case. */
bool http_value_has(const char *value, const char *token);

/* Looks up name=value in a query, decodes %XX and '+' into ret_value and adds a NUL.
 * CX_NOT_FOUND; CX_INVALID: bad escape, %00 or bad UTF-8; CX_TOO_LARGE: over cap. */
enum cx_err http_query_get(const char *query, const char *name, char *ret_value, size_t cap);
/* Decodes part n (0 is the first) of a path: part 2 of /api/v1/tasks is "tasks". Failures as above;
 * CX_NOT_FOUND where the path has no such part. An empty part is a part. */
enum cx_err http_path_part(const char *path, unsigned n, char *ret_part, size_t cap);
unsigned http_path_count(const char *path);

/* A body on its way. */
struct http_body {
    enum http_framing framing;
    uint8_t state;
    uint8_t digits;      // of the chunk's size so far
    uint16_t extension;  // bytes of the chunk's extension so far
    uint64_t left;       // of the length or chunk
    uint64_t size;       // of the body so far
    uint64_t size_max;
};

/* HTTP_REFUSE_BODY_TOO_LARGE where the request announces more than size_max. */
enum http_refusal http_body_init(struct http_body *body, const struct http_request *request, uint64_t size_max);
/* Reads up to the next piece of the body or up to its end: *ret_piece lies in data and may be empty.
 * MORE with used < size: call again with the rest. DONE: what follows is the next request. BAD: the piece was
 * good still. */
enum http_answer http_body_decode(struct http_body *body, const char *data, size_t size, size_t *ret_used,
                                  struct span *ret_piece, enum http_refusal *ret_refusal);

/* "HTTP/1.1 200 OK" and its line end. */
void http_put_status(struct buf *out, unsigned status);
/* CX_INVALID where name or value would end the line or hold a control character; then nothing is added. */
enum cx_err http_put_field(struct buf *out, const char *name, const char *value);
void http_put_length(struct buf *out, uint64_t size);
void http_put_end(struct buf *out);  // the empty line
/* A chunk written in place: begin, add bytes to out, end. An empty chunk vanishes. */
size_t http_chunk_begin(struct buf *out);
void http_chunk_end(struct buf *out, size_t begun_at);
void http_put_chunk(struct buf *out, const void *data, size_t size);
void http_put_last_chunk(struct buf *out);

#endif

/* http_server.h - an HTTP/1.1 server: requests come in as exchanges, one at a time per connection.
 *
 *      on_request(ctx, x)  ->  http_respond(x, …)                               whole
 *                          ->  http_stream_begin(x, …), _send …, _end           chunked
 *                          ->  http_upgrade(x, …)                               WebSocket
 *
 * An exchange belongs to the handler until it calls one of http_respond, http_stream_end, http_stream_cut,
 * http_upgrade or http_drop, and it must call one of them, now or later: also when the client has gone. After on_gone
 * everything sent goes nowhere, and nothing breaks.
 *
 * Bytes that are no request end in an answer with a named error, on that connection alone:
 *      {"error":{"code":"HTTP_LINE_END","message":"…","type":"invalid_request_error","param":null}}
 */
#ifndef CORTEN_NET_HTTP_SERVER_H
#define CORTEN_NET_HTTP_SERVER_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/ws_conn.h"
#include "proto/http.h"

#define HTTP_CONNECTIONS_MAX   4096
#define HTTP_HEADER_TIMEOUT_MS 10000
#define HTTP_BODY_TIMEOUT_MS   30000  // between two pieces of a body
#define HTTP_IDLE_TIMEOUT_MS   75000  // between two requests
#define HTTP_BODY_SIZE_MAX     (1024 * 1024)

struct http_server;
struct http_exchange;

struct http_server_options {
    const char *listen;        // "127.0.0.1:5010", "[::1]:0"; port 0 lets the system choose
    uint32_t connections_max;  // this and the next: 0 means the default above
    uint32_t header_timeout_ms, body_timeout_ms, idle_timeout_ms, write_stall_ms;
    size_t queue_high, queue_low, queue_max;  // of one connection's output: net/conn.h
    /* How large a body this request may have; called when its head is known. NULL: HTTP_BODY_SIZE_MAX. */
    uint64_t (*body_size_max)(void *ctx, const struct http_request *request);
    void (*on_request)(void *ctx, struct http_exchange *x);  // the body is whole
    void *ctx;
};

enum cx_err http_server_open(struct net_loop *loop, const struct http_server_options *options,
                             struct http_server **ret_server);
/* Drops all connections. Exchanges still in hands get on_gone, and must still be ended. Takes NULL. */
void http_server_close(struct http_server *server);
/* Stops accepting, closes idle connections, lets the others end their exchange; then on_stopped. */
void http_server_stop(struct http_server *server, void (*on_stopped)(void *ctx), void *ctx);
uint16_t http_server_port(const struct http_server *server);
uint32_t http_server_connections(const struct http_server *server);  // WebSockets are not counted

/* ---- of an exchange ---- */

const struct http_request *http_request(const struct http_exchange *x);
/* The value of a request field, or NULL. */
const char *http_header(const struct http_exchange *x, const char *name);
/* The body; it ends in NUL. Valid until the exchange ends. */
const char *http_request_body(const struct http_exchange *x, size_t *ret_size);
struct net_loop *http_loop(const struct http_exchange *x);
void http_peer(const struct http_exchange *x, char *ret_text, size_t cap);
/* Zeroed memory that lives as long as the exchange. */
void *http_alloc(struct http_exchange *x, size_t size);

/* What the handler wants to hear; all may be NULL. on_gone: the client went away before the end; called at most
 * once. on_drain: the queue fell under queue_low after it was over queue_high. */
void http_watch(struct http_exchange *x, void (*on_gone)(void *ctx), void (*on_drain)(void *ctx), void *ctx);
bool http_is_gone(const struct http_exchange *x);

/* Adds a field to the answer; before it begins. CX_INVALID: characters that would break the head. */
enum cx_err http_add_header(struct http_exchange *x, const char *name, const char *value);
void http_respond(struct http_exchange *x, unsigned status, const char *content_type, const void *body, size_t size);
/* {"error":{code,message,type,param}} with that status; param NULL writes null. The type follows the status. */
void http_respond_error(struct http_exchange *x, unsigned status, const char *code, const char *param,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The members of an error object, for answers that add their own: see DESIGN's error shape. */
const char *http_error_type(unsigned status);

void http_stream_begin(struct http_exchange *x, unsigned status, const char *content_type);
void http_stream_send(struct http_exchange *x, const void *data, size_t size);
/* In place of _send: add to the buffer that is given, then end. Between the two nothing else of x may be called. */
struct buf *http_stream_open_piece(struct http_exchange *x);
void http_stream_close_piece(struct http_exchange *x);
size_t http_stream_queued(const struct http_exchange *x);
bool http_stream_is_full(const struct http_exchange *x);
void http_stream_end(struct http_exchange *x);
/* Breaks the connection, so that nobody takes what was sent for the whole. */
void http_stream_cut(struct http_exchange *x);
/* Ends an exchange without an answer; the connection closes. */
void http_drop(struct http_exchange *x);

/* Turns the connection into a WebSocket. `protocols` are those that we speak, the best first, parted by
 * commas; NULL takes any. Where the request is no handshake or asks for other protocols only, it is answered with
 * an error and *ret_ws is NULL. In both cases the exchange has ended. */
void http_upgrade(struct http_exchange *x, const char *protocols, const struct net_ws_options *options,
                  struct net_ws **ret_ws);

#endif

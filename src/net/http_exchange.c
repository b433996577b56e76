/* One request and its answer. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/http_server_inside.h"
#include "net/ws_conn_inside.h"
#include "proto/json.h"

/* ---- memory ---- */

static struct http_block *take_block(struct http_server *s, size_t size)
{
    struct http_block *block = s->free_blocks;
    if (size <= HTTP_BLOCK_SIZE - sizeof *block && block) {
        s->free_blocks = block->next;
        return block;
    }
    size_t room = size <= HTTP_BLOCK_SIZE - sizeof *block ? HTTP_BLOCK_SIZE - sizeof *block : size;
    block = malloc(sizeof *block + room);
    cx_assert(block);
    block->size = room;
    return block;
}

static void give_block(struct http_server *s, struct http_block *block)
{
    if (block->size != HTTP_BLOCK_SIZE - sizeof *block) {
        free(block);
        return;
    }
    block->next = s->free_blocks;
    s->free_blocks = block;
}

struct http_exchange *http_exchange_new(struct http_server *server, struct http_peer *peer)
{
    struct http_block *block = take_block(server, sizeof(struct http_exchange));
    struct arena arena;
    block->next = NULL;
    arena_init(&arena, block->bytes, block->size);
    struct http_exchange *x = arena_take(&arena, 1, sizeof *x);
    cx_assert(x);
    x->server = server;
    x->peer = peer;
    x->blocks = block;
    x->arena = arena;
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->server;
    buf_done(&x->head);
    buf_done(&x->body);
    buf_done(&x->fields);
    buf_done(&x->nowhere);
    for (struct http_block *block = x->blocks, *next; block; block = next) {
        next = block->next;
        give_block(s, block);
    }
}

void *http_alloc(struct http_exchange *x, size_t size)
{
    void *at = arena_take(&x->arena, 1, size);
    if (at)
        return at;
    struct http_block *block = take_block(x->server, size + 16);
    block->next = x->blocks;
    x->blocks = block;
    arena_init(&x->arena, block->bytes, block->size);
    at = arena_take(&x->arena, 1, size);
    cx_assert(at);
    return at;
}

/* ---- questions ---- */

const struct http_request *http_request(const struct http_exchange *x) { return &x->request; }

const char *http_header(const struct http_exchange *x, const char *name)
{
    return http_field_get(x->request.field, x->request.field_count, name);
}

const char *http_request_body(const struct http_exchange *x, size_t *ret_size)
{
    if (ret_size)
        *ret_size = x->body.size;
    return x->body.data;
}

struct net_loop *http_loop(const struct http_exchange *x) { return x->server->loop; }

void http_peer(const struct http_exchange *x, char *ret_text, size_t cap)
{
    if (x->peer)
        net_conn_peer(x->peer->conn, ret_text, cap);
    else
        snprintf(ret_text, cap, "?");
}

void http_watch(struct http_exchange *x, void (*on_gone)(void *ctx), void (*on_drain)(void *ctx), void *ctx)
{
    x->on_gone = on_gone;
    x->on_drain = on_drain;
    x->ctx = ctx;
}

bool http_is_gone(const struct http_exchange *x) { return !x->peer; }

/* ---- answers ---- */

enum cx_err http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    cx_assert(x->state == X_IN_HAND);
    return http_put_field(&x->fields, name, value);
}

/* Ends the exchange: its memory goes, the connection goes on where it may. */
static void end(struct http_exchange *x, bool keep_alive)
{
    struct http_server *s = x->server;
    struct http_peer *peer = x->peer;
    http_exchange_free(x);
    if (peer)
        http_peer_next(peer, keep_alive);
    http_server_let_go(s);
}

static bool has_no_body(unsigned status) { return status < 200 || status == 204 || status == 304; }

/* Everything of a head but what says how long the body is. */
static struct buf *put_head(struct http_exchange *x, unsigned status, const char *content_type)
{
    struct buf *out = net_conn_out(x->peer->conn);
    http_put_status(out, status);
    buf_text(out, http_server_date(x->server));
    if (content_type)
        http_put_field(out, "Content-Type", content_type);
    buf_add(out, x->fields.data, x->fields.size);
    if (!x->keep_alive)
        buf_text(out, "Connection: close\r\n");
    else if (x->request.version_1_0)
        buf_text(out, "Connection: keep-alive\r\n");
    return out;
}

void http_respond(struct http_exchange *x, unsigned status, const char *content_type, const void *body, size_t size)
{
    cx_assert(x->state == X_IN_HAND);
    if (!x->peer) {
        end(x, false);
        return;
    }
    struct buf *out = put_head(x, status, content_type);
    if (!has_no_body(status))
        http_put_length(out, size);
    http_put_end(out);
    if (!has_no_body(status) && !x->silent)
        buf_add(out, body, size);
    net_conn_added(x->peer->conn);
    end(x, x->keep_alive);
}

const char *http_error_type(unsigned status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 402: return "insufficient_quota";
    case 403: return "permission_error";
    case 429: return "rate_limit_error";
    }
    return status >= 500 ? "server_error" : "invalid_request_error";
}

void http_put_error(struct buf *out, const char *code, unsigned status, const char *param, const char *message)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_object(&json, NULL);
    json_out_object(&json, "error");
    json_out_text(&json, "code", code);
    json_out_text(&json, "message", message);
    json_out_text(&json, "type", http_error_type(status));
    json_out_text(&json, "param", param);
    json_out_end(&json);
    json_out_end(&json);
}

void http_respond_error(struct http_exchange *x, unsigned status, const char *code, const char *param,
                        const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct buf body = {0};
    http_put_error(&body, code, status, param, message);
    http_respond(x, status, "application/json", body.data, body.size);
    buf_done(&body);
}

/* ---- streams ---- */

void http_stream_begin(struct http_exchange *x, unsigned status, const char *content_type)
{
    cx_assert(x->state == X_IN_HAND);
    cx_assert(!has_no_body(status));
    x->state = X_STREAMING;
    x->chunked = !x->request.version_1_0;
    if (!x->chunked)
        x->keep_alive = false;
    if (!x->peer)
        return;
    struct buf *out = put_head(x, status, content_type);
    if (x->chunked)
        buf_text(out, "Transfer-Encoding: chunked\r\n");
    http_put_end(out);
    net_conn_added(x->peer->conn);
}

struct buf *http_stream_open_piece(struct http_exchange *x)
{
    cx_assert(x->state == X_STREAMING);
    if (!x->peer || x->silent) {
        buf_reset(&x->nowhere);
        return &x->nowhere;
    }
    struct buf *out = net_conn_out(x->peer->conn);
    x->piece_at = x->chunked ? http_chunk_begin(out) : 0;
    return out;
}

void http_stream_close_piece(struct http_exchange *x)
{
    if (!x->peer || x->silent)
        return;
    if (x->chunked)
        http_chunk_end(net_conn_out(x->peer->conn), x->piece_at);
    net_conn_added(x->peer->conn);
}

void http_stream_send(struct http_exchange *x, const void *data, size_t size)
{
    if (!x->peer || x->silent)
        return;
    buf_add(http_stream_open_piece(x), data, size);
    http_stream_close_piece(x);
}

size_t http_stream_queued(const struct http_exchange *x) { return x->peer ? net_conn_queued(x->peer->conn) : 0; }

bool http_stream_is_full(const struct http_exchange *x) { return x->peer && net_conn_is_full(x->peer->conn); }

void http_stream_end(struct http_exchange *x)
{
    cx_assert(x->state == X_STREAMING);
    if (x->peer && x->chunked && !x->silent) {
        http_put_last_chunk(net_conn_out(x->peer->conn));
        net_conn_added(x->peer->conn);
    }
    end(x, x->keep_alive);
}

void http_stream_cut(struct http_exchange *x) { http_drop(x); }

void http_drop(struct http_exchange *x)
{
    struct http_peer *peer = x->peer;
    cx_assert(x->state != X_READING);
    x->peer = NULL;
    if (peer) {
        peer->x = NULL;
        http_peer_cut(peer);
    }
    end(x, false);
}

/* ---- WebSocket ---- */

/* RFC 6455, 4.4: the answer to another version names ours. */
static void refuse_upgrade(struct http_exchange *x, enum cx_err err)
{
    unsigned status = err == CX_UNSUPPORTED ? 426 : 400;
    http_add_header(x, "Sec-WebSocket-Version", "13");
    http_add_header(x, "Upgrade", "websocket");
    http_respond_error(x, status, "WS_HANDSHAKE", NULL, "%s", cx_detail());
}

void http_upgrade(struct http_exchange *x, const char *protocols, const struct net_ws_options *options,
                  struct net_ws **ret_ws)
{
    char accept[WS_ACCEPT_SIZE + 1], protocol[64];
    cx_assert(x->state == X_IN_HAND);
    *ret_ws = NULL;
    if (!x->peer) {
        end(x, false);
        return;
    }
    enum cx_err err = ws_upgrade_check(&x->request, protocols, accept, protocol);
    if (err) {
        refuse_upgrade(x, err);
        return;
    }
    struct http_peer *peer = x->peer;
    struct net_conn *conn = peer->conn;
    struct buf in = peer->in;
    peer->in = (struct buf){0};
    ws_put_upgrade(net_conn_out(conn), accept, protocol);
    net_conn_added(conn);
    bool waited = in.size > 0;
    *ret_ws = net_ws_adopt(conn, options, protocol, waited ? in.data : peer->rest, waited ? in.size : peer->rest_size);
    buf_done(&in);
    http_peer_give_away(peer);
    x->peer = NULL;
    end(x, false);
}

#include "net/ws_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/ws_conn_inside.h"

#define KEEP_SIZE_MAX 512  // of an empty message's memory

/* ---- life ---- */

void net_ws_enter(struct net_ws *ws) { ws->depth++; }

void net_ws_leave(struct net_ws *ws)
{
    cx_assert(ws->depth > 0);
    if (--ws->depth > 0 || ws->state != NET_WS_GONE)
        return;
    buf_done(&ws->message);
    buf_done(&ws->rest);
    free(ws->protocol);
    free(ws);
}

static void let_go(struct net_ws *ws)
{
    cx_assert(ws->state != NET_WS_GONE);
    ws->state = NET_WS_GONE;
    net_timer_stop(&ws->timer);
    net_timer_stop(&ws->soon);
    net_ws_handshake_free(ws);
}

/* Ends the socket, whichever way, and tells the owner. */
void net_ws_end(struct net_ws *ws, unsigned code, const char *reason, bool finish)
{
    if (ws->state == NET_WS_GONE)
        return;
    net_ws_enter(ws);
    struct net_conn *conn = ws->conn;
    ws->conn = NULL;
    let_go(ws);
    if (finish)
        net_conn_finish(conn);
    else
        net_conn_close(conn);
    ws->events->on_close(ws->ctx, code, reason);
    net_ws_leave(ws);
}

void net_ws_close(struct net_ws *ws)
{
    if (!ws || ws->state == NET_WS_GONE)
        return;
    net_ws_enter(ws);
    net_conn_close(ws->conn);
    ws->conn = NULL;
    let_go(ws);
    net_ws_leave(ws);
}

/* ---- sending ---- */

static void put(struct net_ws *ws, enum ws_opcode opcode, const void *data, size_t size)
{
    uint8_t mask[4];
    if (ws->decoder.role == WS_CLIENT)
        net_random(net_conn_loop(ws->conn), mask, sizeof mask);
    ws_put(net_conn_out(ws->conn), opcode, true, data, size, ws->decoder.role == WS_CLIENT ? mask : NULL);
    net_conn_added(ws->conn);
}

static void put_close(struct net_ws *ws, unsigned code, const char *reason)
{
    uint8_t mask[4];
    if (ws->decoder.role == WS_CLIENT)
        net_random(net_conn_loop(ws->conn), mask, sizeof mask);
    ws_put_close(net_conn_out(ws->conn), code, reason, ws->decoder.role == WS_CLIENT ? mask : NULL);
    net_conn_added(ws->conn);
}

static bool send_message(struct net_ws *ws, enum ws_opcode opcode, const void *data, size_t size)
{
    if (ws->state != NET_WS_OPEN)
        return false;
    put(ws, opcode, data, size);
    return true;
}

bool net_ws_send_text(struct net_ws *ws, const char *text, size_t size)
{
    return send_message(ws, WS_TEXT, text, size);
}

bool net_ws_send_binary(struct net_ws *ws, const void *data, size_t size)
{
    return send_message(ws, WS_BINARY, data, size);
}

bool net_ws_is_open(const struct net_ws *ws) { return ws->state == NET_WS_OPEN; }

size_t net_ws_queued(const struct net_ws *ws) { return ws->conn ? net_conn_queued(ws->conn) : 0; }

bool net_ws_is_full(const struct net_ws *ws) { return ws->conn && net_conn_is_full(ws->conn); }

const char *net_ws_protocol(const struct net_ws *ws) { return ws->protocol ? ws->protocol : ""; }

void net_ws_peer(const struct net_ws *ws, char *ret_text, size_t cap)
{
    if (ws->conn)
        net_conn_peer(ws->conn, ret_text, cap);
    else
        strncpy(ret_text, "?", cap);
}

void net_ws_set_events(struct net_ws *ws, const struct net_ws_events *events, void *ctx)
{
    ws->events = events;
    ws->ctx = ctx;
}

/* ---- time ---- */

static void on_close_timeout(void *ctx)
{
    struct net_ws *ws = ctx;
    net_ws_end(ws, ws->shut_code, "the peer did not answer the close", false);
}

static void on_ping_time(void *ctx)
{
    struct net_ws *ws = ctx;
    struct net_loop *loop = net_conn_loop(ws->conn);
    uint64_t silent_ms = net_now_ms(loop) - ws->heard_ms;
    /* A peer that we do not listen to, because we are paused, is not silent. */
    if (silent_ms >= ws->dead_ms && !ws->paused) {
        net_ws_end(ws, WS_CLOSE_ABNORMAL, "nothing came from the peer, not even an answer to pings", false);
        return;
    }
    put(ws, WS_PING, NULL, 0);
    net_timer_start(loop, &ws->timer, ws->ping_ms, on_ping_time, ws);
}

void net_ws_shut(struct net_ws *ws, unsigned code, const char *reason)
{
    if (ws->state == NET_WS_GONE || ws->state == NET_WS_CLOSING)
        return;
    struct net_loop *loop = net_conn_loop(ws->conn);
    bool open = ws->state == NET_WS_OPEN;
    ws->state = NET_WS_CLOSING;
    ws->shut_code = (uint16_t)code;
    if (open)
        put_close(ws, code, reason);
    if (ws->paused)
        net_ws_resume(ws);  // the peer's answer is behind what we did not read
    net_timer_start(loop, &ws->timer, open ? ws->close_ms : 0, on_close_timeout, ws);
}

/* ---- receiving ---- */

static void give_message(struct net_ws *ws, const struct ws_part *part)
{
    bool text = part->kind == WS_TEXT;
    if (part->first && part->last) {
        ws->events->on_message(ws->ctx, text, part->size ? part->data : "", part->size);
        return;
    }
    buf_add(&ws->message, part->data, part->size);
    if (!part->last)
        return;
    struct buf whole = ws->message;
    ws->message = (struct buf){0};
    ws->events->on_message(ws->ctx, text, whole.data ? whole.data : "", whole.size);
    if (whole.cap > KEEP_SIZE_MAX || ws->message.data) {
        buf_done(&whole);
    } else {
        buf_reset(&whole);
        ws->message = whole;
    }
}

static void give_close(struct net_ws *ws, const struct ws_part *part)
{
    char reason[WS_REASON_SIZE_MAX + 1];
    memcpy(reason, part->size ? part->data : "", part->size);
    reason[part->size] = '\0';
    if (ws->state == NET_WS_OPEN)
        put_close(ws, part->close_code, NULL);
    net_ws_end(ws, part->close_code, reason, true);
}

static void give(struct net_ws *ws, const struct ws_part *part)
{
    switch (part->kind) {
    case WS_TEXT:
    case WS_BINARY:
        if (ws->state == NET_WS_OPEN)
            give_message(ws, part);
        return;
    case WS_PING:
        if (ws->state == NET_WS_OPEN)
            put(ws, WS_PONG, part->data, part->size);
        return;
    case WS_CLOSE: give_close(ws, part); return;
    case WS_PONG:
    case WS_CONTINUATION: return;
    }
}

static void refuse(struct net_ws *ws)
{
    if (ws->state == NET_WS_OPEN)
        put_close(ws, ws->decoder.bad_code, ws->decoder.bad_text);
    net_ws_end(ws, ws->decoder.bad_code, ws->decoder.bad_text, true);
}

/* Frames, until the bytes are used up, the owner pauses or the end has come. What is left is kept. */
void net_ws_take(struct net_ws *ws, char *data, size_t size)
{
    net_ws_enter(ws);
    ws->heard_ms = net_now_ms(net_conn_loop(ws->conn));
    while (size > 0 && ws->state != NET_WS_GONE && !ws->paused) {
        size_t used = 0;
        struct ws_part part;
        enum ws_answer answer = ws_decode(&ws->decoder, data, size, &used, &part);
        if (answer == WS_DONE)
            give(ws, &part);
        else if (answer == WS_BAD)
            refuse(ws);
        data += used;
        size -= used;
    }
    if (size > 0 && ws->state != NET_WS_GONE)
        buf_add(&ws->rest, data, size);
    net_ws_leave(ws);
}

static void take_rest(void *ctx)
{
    struct net_ws *ws = ctx;
    struct buf rest = ws->rest;
    ws->rest = (struct buf){0};
    net_ws_enter(ws);
    if (rest.size > 0)
        net_ws_take(ws, rest.data, rest.size);
    if (ws->state != NET_WS_GONE && !ws->paused)
        net_conn_resume(ws->conn);
    net_ws_leave(ws);
    buf_done(&rest);
}

void net_ws_set_message_size_max(struct net_ws *ws, uint64_t size_max) { ws->decoder.message_size_max = size_max; }

void net_ws_pause(struct net_ws *ws)
{
    if (ws->state == NET_WS_GONE)
        return;
    ws->paused = true;
    net_timer_stop(&ws->soon);
    net_conn_pause(ws->conn);
}

/* What waits comes later, not inside this call; the socket stays paused until then. */
void net_ws_resume(struct net_ws *ws)
{
    if (ws->state == NET_WS_GONE || !ws->paused)
        return;
    ws->paused = false;
    ws->heard_ms = net_now_ms(net_conn_loop(ws->conn));
    net_timer_soon(net_conn_loop(ws->conn), &ws->soon, take_rest, ws);
}

/* ---- the connection's events ---- */

static void on_data(void *ctx, char *data, size_t size) { net_ws_take(ctx, data, size); }

static void on_end(void *ctx, enum cx_err err)
{
    struct net_ws *ws = ctx;
    char reason[256];
    snprintf(reason, sizeof reason, "%s", cx_detail());
    (void)err;
    ws->conn = NULL;
    unsigned code = ws->state == NET_WS_CLOSING ? ws->shut_code : WS_CLOSE_ABNORMAL;
    net_ws_end(ws, code, reason, false);
}

static void on_drain(void *ctx)
{
    struct net_ws *ws = ctx;
    if (ws->state == NET_WS_OPEN && ws->events->on_drain)
        ws->events->on_drain(ws->ctx);
}

const struct net_conn_events net_ws_conn_events = {.on_data = on_data, .on_end = on_end, .on_drain = on_drain};

/* ---- opening ---- */

struct net_ws *net_ws_new(enum ws_role role, const struct net_ws_options *options)
{
    struct net_ws *ws = calloc(1, sizeof *ws);
    cx_assert(ws);
    cx_assert(options->events && options->events->on_message && options->events->on_close);
    ws->events = options->events;
    ws->ctx = options->ctx;
    ws->ping_ms = options->ping_ms ? options->ping_ms : NET_WS_PING_MS;
    ws->dead_ms = options->dead_ms ? options->dead_ms : NET_WS_DEAD_MS;
    ws->close_ms = options->close_ms ? options->close_ms : NET_WS_CLOSE_MS;
    ws_decoder_init(&ws->decoder, role,
                    options->message_size_max ? options->message_size_max : NET_WS_MESSAGE_SIZE_MAX);
    return ws;
}

void net_ws_begin(struct net_ws *ws, const char *protocol)
{
    struct net_loop *loop = net_conn_loop(ws->conn);
    ws->state = NET_WS_OPEN;
    ws->heard_ms = net_now_ms(loop);
    ws->protocol = *protocol ? strdup(protocol) : NULL;
    net_timer_start(loop, &ws->timer, ws->ping_ms, on_ping_time, ws);
}

struct net_ws *net_ws_adopt(struct net_conn *conn, const struct net_ws_options *options, const char *protocol,
                            const char *rest, size_t rest_size)
{
    struct net_ws *ws = net_ws_new(WS_SERVER, options);
    ws->conn = conn;
    net_conn_set_limits(conn, &options->limits);
    net_conn_hand_over(conn, &net_ws_conn_events, ws);
    net_ws_begin(ws, protocol);
    /* Frames behind the handshake must come before those that the socket still holds. */
    net_conn_pause(conn);
    buf_add(&ws->rest, rest, rest_size);
    net_timer_soon(net_conn_loop(conn), &ws->soon, take_rest, ws);
    return ws;
}

/* conn.h over a wire: the same life as src/net/conn.c gives it, without a socket and without TLS. */
#include "net/conn.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "sim/net_inside.h"

#define CONNECT_MS 10000

/* ---- life ---- */

static void pin(struct net_conn *c) { c->pins++; }

static void unpin(struct net_conn *c)
{
    cx_assert(c->pins > 0);
    if (--c->pins > 0 || c->state != CONN_GONE)
        return;
    buf_done(&c->out);
    free(c);
}

static void release(struct net_conn *c)
{
    cx_assert(c->state != CONN_GONE);
    bool ended = c->state == CONN_LINGERING;
    c->state = CONN_GONE;
    net_timer_stop(&c->timer);
    net_link_remove(&c->dirty);
    net_link_remove(&c->all);
    if (c->wire) {
        bool broken = !ended && (net_conn_queued(c) > 0 || wire_unread(c->wire, c->side) > 0);
        wire_let_go(c->wire, c->side, broken);
    }
    c->wire = NULL;
}

static void fail(struct net_conn *c, enum cx_err err, const char *what)
{
    if (c->state == CONN_GONE)
        return;
    const struct net_conn_events *events = c->events;
    void *ctx = c->ctx;
    bool owned = c->state < CONN_FINISHING;
    pin(c);
    release(c);
    unpin(c);
    if (owned)
        events->on_end(ctx, cx_fail(err, "%s", what));
}

void net_conn_close(struct net_conn *conn)
{
    if (!conn || conn->state == CONN_GONE)
        return;
    pin(conn);
    release(conn);
    unpin(conn);
}

void net_conn_drop(struct net_link *all)
{
    net_conn_close((struct net_conn *)((char *)all - offsetof(struct net_conn, all)));
}

static void mark_dirty(struct net_conn *c)
{
    if (net_link_is_alone(&c->dirty))
        net_link_add(&c->loop->dirty, &c->dirty);
}

/* ---- sending ---- */

size_t net_conn_queued(const struct net_conn *conn) { return conn->out.size - conn->out_at; }

bool net_conn_is_full(const struct net_conn *conn) { return conn->full; }

static void on_timeout(void *ctx);

static void linger(struct net_conn *c)
{
    c->state = CONN_LINGERING;
    if (c->wire)
        wire_send_end(c->wire, c->side);
    if (c->read_ended) {
        net_conn_close(c);
        return;
    }
    net_timer_start(c->loop, &c->timer, NET_LINGER_MS, on_timeout, c);
}

static void on_sent(struct net_conn *c)
{
    c->blocked = false;
    if (c->state == CONN_FINISHING)
        linger(c);
    else if (!c->over)
        net_timer_stop(&c->timer);
}

static void tell_drained(struct net_conn *c)
{
    if (!c->full || net_conn_queued(c) > c->low)
        return;
    c->full = false;
    if (c->state == CONN_OPEN && c->events->on_drain)
        c->events->on_drain(c->ctx);
}

static bool send_some(struct net_conn *c)
{
    size_t queued = net_conn_queued(c), room = c->wire ? wire_room(c->wire, c->side) : 0;
    size_t size = queued < room ? queued : room;
    if (size == 0)
        return false;
    wire_send(c->wire, c->side, c->out.data + c->out_at, size);
    c->out_at += size;
    if (c->out_at == c->out.size) {
        buf_reset(&c->out);
        c->out_at = 0;
    } else if (c->out_at > c->out.size / 2) {
        buf_drop(&c->out, c->out_at);
        c->out_at = 0;
    }
    return true;
}

static void flush(struct net_conn *c)
{
    bool progress = send_some(c);
    if (net_conn_queued(c) == 0) {
        on_sent(c);
    } else {
        if (!c->over && (progress || !net_timer_is_on(&c->timer)))
            net_timer_start(c->loop, &c->timer, c->write_stall_ms, on_timeout, c);
        c->blocked = true;
    }
    if (c->state == CONN_OPEN)
        tell_drained(c);
}

static bool can_send(const struct net_conn *c) { return c->state == CONN_OPEN || c->state == CONN_FINISHING; }

void net_conn_added(struct net_conn *conn)
{
    struct net_conn *c = conn;
    if (c->state == CONN_GONE)
        return;
    size_t queued = net_conn_queued(c);
    if (queued > c->high)
        c->full = true;
    if (queued > c->queue_max && !c->over) {
        c->over = true;
        net_timer_soon(c->loop, &c->timer, on_timeout, c);
    }
    if (can_send(c) && !c->blocked && queued > 0)
        mark_dirty(c);
}

struct buf *net_conn_out(struct net_conn *conn) { return &conn->out; }

void net_conn_send(struct net_conn *conn, const void *data, size_t size)
{
    if (conn->over || conn->state >= CONN_FINISHING)
        return;
    buf_add(&conn->out, data, size);
    net_conn_added(conn);
}

void net_conn_finish(struct net_conn *conn)
{
    if (conn->state == CONN_GONE)
        return;
    if (conn->state != CONN_OPEN || conn->over) {
        net_conn_close(conn);
        return;
    }
    conn->state = CONN_FINISHING;
    conn->paused = false;
    mark_dirty(conn);
}

void net_conn_writable(struct net_conn *c)
{
    pin(c);
    c->blocked = false;
    if (can_send(c))
        flush(c);
    unpin(c);
}

/* ---- reading ---- */

static bool can_read(const struct net_conn *c)
{
    if (c->read_ended || !c->wire)
        return false;
    return (c->state == CONN_OPEN && !c->paused) || c->state == CONN_FINISHING || c->state == CONN_LINGERING;
}

static void on_peer_end(struct net_conn *c)
{
    static const char what[] = "the peer closed the connection";
    c->read_ended = true;
    if (c->state == CONN_OPEN && net_conn_queued(c) > 0 && !c->over) {
        net_conn_finish(c);
        c->events->on_end(c->ctx, cx_fail(CX_CLOSED, "%s", what));
    } else if (c->state == CONN_OPEN) {
        fail(c, CX_CLOSED, what);
    } else if (c->state == CONN_LINGERING) {
        net_conn_close(c);
    }
}

static void on_hangup(struct net_conn *c)
{
    c->hung_up = true;
    if (c->events->on_hangup)
        c->events->on_hangup(c->ctx);
}

void net_conn_readable(struct net_conn *c)
{
    pin(c);
    while (can_read(c)) {
        size_t size = wire_read(c->wire, c->side, c->loop->read, sizeof c->loop->read);
        if (size > 0) {
            if (c->state == CONN_OPEN)
                c->events->on_data(c->ctx, c->loop->read, size);
        } else if (wire_has_ended(c->wire, c->side)) {
            on_peer_end(c);
        } else {
            break;
        }
    }
    if (c->state == CONN_OPEN && c->paused && !c->hung_up && c->wire && wire_has_ended(c->wire, c->side))
        on_hangup(c);
    unpin(c);
}

void net_conn_pause(struct net_conn *conn) { conn->paused = true; }

void net_conn_resume(struct net_conn *conn)
{
    if (conn->state == CONN_GONE || !conn->paused)
        return;
    conn->paused = false;
    mark_dirty(conn);
}

/* ---- events ---- */

void net_conn_end_turn(struct net_link *dirty)
{
    struct net_conn *c = (struct net_conn *)((char *)dirty - offsetof(struct net_conn, dirty));
    pin(c);
    if (can_send(c) && !c->blocked)
        flush(c);
    if (can_read(c))
        net_conn_readable(c);
    unpin(c);
}

void net_conn_flush(struct net_link *dirty)
{
    struct net_conn *c = (struct net_conn *)((char *)dirty - offsetof(struct net_conn, dirty));
    pin(c);
    if (can_send(c) && !c->blocked)
        flush(c);
    if (can_read(c))
        mark_dirty(c);
    unpin(c);
}

static void on_timeout(void *ctx)
{
    struct net_conn *c = ctx;
    char what[160];
    pin(c);
    if (c->state == CONN_CONNECTING) {
        snprintf(what, sizeof what, "connecting to %s took too long", c->target);
        fail(c, CX_TIMEOUT, what);
    } else if (c->state == CONN_LINGERING || c->state == CONN_FINISHING) {
        net_conn_close(c);
    } else if (c->over) {
        fail(c, CX_TOO_LARGE, "the peer is too slow: its output queue is over the limit");
    } else {
        fail(c, CX_TIMEOUT, "the peer takes no bytes");
    }
    unpin(c);
}

void net_conn_opened(struct net_conn *c)
{
    cx_assert(c->state == CONN_CONNECTING);
    pin(c);
    c->state = CONN_OPEN;
    net_timer_stop(&c->timer);
    net_conn_added(c);
    if (c->events->on_open)
        c->events->on_open(c->ctx);
    unpin(c);
}

void net_conn_broken(struct net_conn *c, enum cx_err err, const char *what)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s%s", c->state == CONN_CONNECTING ? c->target : "",
             c->state == CONN_CONNECTING ? ": " : "", what);
    pin(c);
    fail(c, err, text);
    unpin(c);
}

/* ---- opening ---- */

static struct net_conn *new_conn(struct net_loop *loop, const struct net_conn_events *events, void *ctx)
{
    struct net_conn *c = calloc(1, sizeof *c);
    cx_assert(c);
    c->loop = loop;
    c->events = events;
    c->ctx = ctx;
    net_link_init(&c->dirty);
    net_link_init(&c->all);
    net_conn_set_limits(c, &(struct net_conn_limits){0});
    net_link_add(&loop->conns, &c->all);
    return c;
}

static void nobody_there(void *ctx)
{
    struct net_conn *c = ctx;
    net_conn_broken(c, CX_NOT_FOUND, "there is no such name");
}

enum cx_err net_conn_connect(struct net_loop *loop, const struct net_target *target,
                             const struct net_conn_events *events, void *ctx, struct net_conn **ret_conn)
{
    if (target->tls)
        return cx_fail(CX_UNSUPPORTED, "a simulated network has no TLS");
    struct net_conn *c = new_conn(loop, events, ctx);
    c->state = CONN_CONNECTING;
    snprintf(c->target, sizeof c->target, "%.80s:%u", target->host, target->port);
    c->wire = wire_dial(c, target->host, target->port);
    uint32_t timeout_ms = target->timeout_ms ? target->timeout_ms : CONNECT_MS;
    if (c->wire)
        net_timer_start(loop, &c->timer, timeout_ms, on_timeout, c);
    else
        net_timer_soon(loop, &c->timer, nobody_there, c);
    *ret_conn = c;
    return CX_OK;
}

enum cx_err net_conn_adopt(struct net_loop *loop, int fd, const struct net_conn_events *events, void *ctx,
                           struct net_conn **ret_conn)
{
    struct net_conn *c = new_conn(loop, events, ctx);
    c->state = CONN_OPEN;
    c->wire = wire_take(loop, fd, c);
    *ret_conn = c;
    return CX_OK;
}

static uint32_t limit_or(size_t limit, uint32_t usual)
{
    if (limit == 0)
        return usual;
    return limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX;
}

void net_conn_set_limits(struct net_conn *conn, const struct net_conn_limits *limits)
{
    conn->high = limit_or(limits->high, NET_QUEUE_HIGH);
    conn->low = limit_or(limits->low, u32_min(NET_QUEUE_LOW, conn->high / 2));
    conn->queue_max = limit_or(limits->queue_max, NET_QUEUE_MAX);
    conn->write_stall_ms = limit_or(limits->write_stall_ms, NET_WRITE_STALL_MS);
}

void net_conn_hand_over(struct net_conn *conn, const struct net_conn_events *events, void *ctx)
{
    conn->events = events;
    conn->ctx = ctx;
}

struct net_loop *net_conn_loop(const struct net_conn *conn) { return conn->loop; }

void net_conn_peer(const struct net_conn *conn, char *ret_text, size_t cap)
{
    if (conn->wire)
        wire_peer(conn->wire, conn->side, ret_text, cap);
    else
        snprintf(ret_text, cap, "?:0");
}

#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "net/conn_inside.h"

#define KEEP_SIZE_MAX    512  // of an empty queue's memory
#define READS_A_TURN_MAX 8    // of TLS, which hides what it has read from the poll

/* ---- life ---- */

void net_conn_pin(struct net_conn *c) { c->pins++; }

void net_conn_unpin(struct net_conn *c)
{
    cx_assert(c->pins > 0);
    if (--c->pins > 0 || c->state != CONN_GONE)
        return;
    cx_assert(!c->poll);
    buf_done(&c->out);
    free(c);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct net_conn *c = handle->data;
    free(handle);
    net_conn_unpin(c);
}

static void close_socket(struct net_conn *c)
{
    if (c->poll) {
        uv_close((uv_handle_t *)c->poll, on_poll_closed);
        c->poll = NULL;
        c->armed = 0;
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* Lets go of everything but the struct, which lives until the last pin is out. */
static void release(struct net_conn *c)
{
    cx_assert(c->state != CONN_GONE);
    c->state = CONN_GONE;
    net_timer_stop(&c->timer);
    net_link_remove(&c->dirty);
    net_link_remove(&c->all);
    net_connecting_free(c);
    SSL_free(c->ssl);
    c->ssl = NULL;
    close_socket(c);
}

/* Tells the owner, who may have given the connection up meanwhile. */
void net_conn_fail(struct net_conn *c, enum cx_err err, const char *what, const char *why)
{
    if (c->state == CONN_GONE)
        return;
    const struct net_conn_events *events = c->events;
    void *ctx = c->ctx;
    bool owned = c->state < CONN_FINISHING;
    net_conn_pin(c);
    release(c);
    net_conn_unpin(c);
    if (owned)
        events->on_end(ctx, cx_fail(err, "%s%s%s", what, why ? ": " : "", why ? why : ""));
}

void net_conn_close(struct net_conn *conn)
{
    if (!conn || conn->state == CONN_GONE)
        return;
    net_conn_pin(conn);
    release(conn);
    net_conn_unpin(conn);
}

void net_conn_drop(struct net_link *link)
{
    net_conn_close((struct net_conn *)((char *)link - offsetof(struct net_conn, all)));
}

/* ---- what the poll waits for ---- */

static void on_poll(uv_poll_t *poll, int status, int events);

/* Tells libuv what matters now. */
void net_conn_rearm(struct net_conn *c)
{
    if (!c->poll)
        return;
    int want = 0;
    switch (c->state) {
    case CONN_NAMING: break;
    case CONN_CONNECTING: want = UV_WRITABLE; break;
    case CONN_TLS: want = c->tls_wants_write ? UV_WRITABLE : UV_READABLE; break;
    case CONN_OPEN:
        if (!c->paused)
            want |= UV_READABLE;
        else if (c->events->on_hangup && !c->hung_up)
            want |= UV_DISCONNECT;
        if (c->blocked)
            want |= UV_WRITABLE;
        break;
    case CONN_FINISHING: want = UV_READABLE | (c->blocked ? UV_WRITABLE : 0); break;
    case CONN_LINGERING: want = UV_READABLE; break;
    case CONN_GONE: break;
    }
    if (c->read_ended)
        want &= ~UV_READABLE;
    if (want == c->armed)
        return;
    c->armed = want;
    if (want)
        uv_poll_start(c->poll, want, on_poll);
    else
        uv_poll_stop(c->poll);
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

/* One system call: bytes that went, 0 where the socket is full, -1 with errno, -2 where TLS failed. */
static ssize_t send_some(struct net_conn *c, const char *data, size_t size)
{
    if (!c->ssl) {
        ssize_t sent = send(c->fd, data, size, MSG_NOSIGNAL);
        return sent < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : sent;
    }
    return net_tls_write(c, data, size);
}

/* Forgets what was sent, without moving the rest at every step. */
static void drop_sent(struct net_conn *c)
{
    if (c->out_at == c->out.size) {
        if (c->out.cap > KEEP_SIZE_MAX)
            buf_done(&c->out);
        else
            buf_reset(&c->out);
        c->out_at = 0;
    } else if (c->out_at > c->out.size / 2) {
        buf_drop(&c->out, c->out_at);
        c->out_at = 0;
    }
}

static void linger(struct net_conn *c)
{
    c->state = CONN_LINGERING;
    if (c->ssl)
        SSL_shutdown(c->ssl);
    shutdown(c->fd, SHUT_WR);
    if (c->read_ended) {
        net_conn_close(c);
        return;
    }
    net_timer_start(c->loop, &c->timer, NET_LINGER_MS, on_timeout, c);
    net_conn_rearm(c);
}

/* Everything has been sent. */
static void on_sent(struct net_conn *c)
{
    c->blocked = false;
    if (c->state == CONN_FINISHING) {
        linger(c);
        return;
    }
    if (!c->over)
        net_timer_stop(&c->timer);
    net_conn_rearm(c);
}

static void tell_drained(struct net_conn *c)
{
    if (!c->full || net_conn_queued(c) > c->low)
        return;
    c->full = false;
    if (c->state == CONN_OPEN && c->events->on_drain)
        c->events->on_drain(c->ctx);
}

static void flush(struct net_conn *c)
{
    bool progress = false;
    while (c->out_at < c->out.size) {
        ssize_t sent = send_some(c, c->out.data + c->out_at, c->out.size - c->out_at);
        if (sent < 0) {
            net_conn_fail(c, CX_IO, "the peer broke off", sent == -1 ? strerror(errno) : "TLS failed");
            return;
        }
        if (sent == 0)
            break;
        c->out_at += (size_t)sent;
        progress = true;
    }
    bool waiting = c->out_at < c->out.size;
    if (progress)
        drop_sent(c);
    if (!waiting) {
        on_sent(c);
    } else {
        if (!c->over && (progress || !net_timer_is_on(&c->timer)))
            net_timer_start(c->loop, &c->timer, c->write_stall_ms, on_timeout, c);
        c->blocked = true;
        net_conn_rearm(c);
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
    struct net_conn *c = conn;
    if (c->state == CONN_GONE)
        return;
    if (c->state != CONN_OPEN || c->over) {
        net_conn_close(c);
        return;
    }
    c->state = CONN_FINISHING;
    c->paused = false;
    net_conn_rearm(c);
    mark_dirty(c);
}

/* ---- reading ---- */

/* The peer will send no more. What waits for it may still be wanted: it goes on without an owner. */
static void on_peer_end(struct net_conn *c)
{
    c->read_ended = true;
    if (c->state == CONN_OPEN && net_conn_queued(c) > 0 && !c->over) {
        net_conn_finish(c);
        c->events->on_end(c->ctx, cx_fail(CX_CLOSED, "the peer closed the connection"));
    } else if (c->state == CONN_OPEN)
        net_conn_fail(c, CX_CLOSED, "the peer closed the connection", NULL);
    else if (c->state == CONN_LINGERING)
        net_conn_close(c);
    else
        net_conn_rearm(c);
}

/* Bytes into the loop's buffer; 0: none now; -1: the end; -2: broken, errno tells. */
static ssize_t receive(struct net_conn *c)
{
    if (c->ssl)
        return net_tls_read(c, c->loop->read, NET_READ_SIZE);
    ssize_t got = recv(c->fd, c->loop->read, NET_READ_SIZE, 0);
    if (got > 0)
        return got;
    if (got == 0)
        return -1;
    return errno == EAGAIN || errno == EINTR ? 0 : -2;
}

static void read_once(struct net_conn *c)
{
    ssize_t got = receive(c);
    if (got > 0) {
        if (c->state == CONN_OPEN)
            c->events->on_data(c->ctx, c->loop->read, (size_t)got);
        return;  // when finishing, what still comes is for nobody
    }
    c->read_again = false;
    if (got == -1)
        on_peer_end(c);
    else if (got == -2)
        net_conn_fail(c, CX_IO, "the peer broke off", c->ssl ? "TLS failed" : strerror(errno));
}

static bool can_read(const struct net_conn *c)
{
    return !c->read_ended && !c->paused && c->state >= CONN_OPEN && c->state != CONN_GONE;
}

/* The socket is level-triggered: what is left rings again. What TLS has read already does not. */
static void read_some(struct net_conn *c)
{
    if (!c->ssl) {
        read_once(c);
        return;
    }
    c->read_again = true;
    for (int i = 0; i < READS_A_TURN_MAX && c->read_again && can_read(c); i++)
        read_once(c);
    if (c->read_again && can_read(c))
        mark_dirty(c);
}

void net_conn_pause(struct net_conn *conn)
{
    if (conn->state == CONN_GONE)
        return;
    conn->paused = true;
    net_conn_rearm(conn);
}

void net_conn_resume(struct net_conn *conn)
{
    if (conn->state == CONN_GONE || !conn->paused)
        return;
    conn->paused = false;
    net_conn_rearm(conn);
    if (conn->ssl) {
        conn->read_again = true;
        mark_dirty(conn);
    }
}

/* ---- events ---- */

void net_conn_end_turn(struct net_link *dirty)
{
    struct net_conn *c = (struct net_conn *)((char *)dirty - offsetof(struct net_conn, dirty));
    net_conn_pin(c);
    if (can_send(c) && !c->blocked)
        flush(c);
    if (c->read_again && can_read(c))
        read_some(c);
    net_conn_unpin(c);
}

void net_conn_flush(struct net_link *dirty)
{
    struct net_conn *c = (struct net_conn *)((char *)dirty - offsetof(struct net_conn, dirty));
    net_conn_pin(c);
    if (can_send(c) && !c->blocked)
        flush(c);
    if (c->read_again)
        mark_dirty(c);
    net_conn_unpin(c);
}

static void on_hangup(struct net_conn *c)
{
    c->hung_up = true;
    net_conn_rearm(c);
    if (c->events->on_hangup)
        c->events->on_hangup(c->ctx);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct net_conn *c = poll->data;
    if (c->poll != poll)
        return;  // of an address given up
    net_conn_pin(c);
    if (c->state == CONN_CONNECTING || c->state == CONN_TLS) {
        net_connecting_go_on(c);
    } else if (status < 0) {
        net_conn_fail(c, CX_IO, "the connection broke", uv_strerror(status));
    } else {
        if ((events & UV_WRITABLE) && can_send(c))
            flush(c);
        if ((events & UV_READABLE) && can_read(c))
            read_some(c);
        if ((events & UV_DISCONNECT) && c->state == CONN_OPEN && c->paused && !c->hung_up)
            on_hangup(c);
    }
    net_conn_unpin(c);
}

/* The one timer: connecting, a queue over its limit, a stalled write, a lingering end. */
static void on_timeout(void *ctx)
{
    struct net_conn *c = ctx;
    net_conn_pin(c);
    if (c->state == CONN_LINGERING || c->state == CONN_FINISHING)
        net_conn_close(c);
    else if (c->over)
        net_conn_fail(c, CX_TOO_LARGE, "the peer is too slow: its output queue is over the limit", NULL);
    else
        net_conn_fail(c, CX_TIMEOUT, "the peer takes no bytes", NULL);
    net_conn_unpin(c);
}

/* ---- opening ---- */

enum cx_err net_conn_poll_fd(struct net_conn *c, int fd)
{
    uv_poll_t *poll = calloc(1, sizeof *poll);
    if (!poll)
        return cx_fail(CX_MEMORY, "no memory for a connection");
    int err = uv_poll_init(&c->loop->uv, poll, fd);
    if (err) {
        free(poll);
        return cx_fail(CX_IO, "socket: %s", uv_strerror(err));
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);  // a turn's bytes leave together anyway
    poll->data = c;
    c->poll = poll;
    c->fd = fd;
    net_conn_pin(c);
    return CX_OK;
}

/* Gives up the address on trial, not the connection. */
void net_conn_unpoll(struct net_conn *c) { close_socket(c); }

struct net_conn *net_conn_new(struct net_loop *loop, const struct net_conn_events *events, void *ctx)
{
    struct net_conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->loop = loop;
    c->events = events;
    c->ctx = ctx;
    c->fd = -1;
    net_link_init(&c->dirty);
    net_link_init(&c->all);
    net_conn_set_limits(c, &(struct net_conn_limits){0});
    net_link_add(&loop->conns, &c->all);
    return c;
}

enum cx_err net_conn_adopt(struct net_loop *loop, int fd, const struct net_conn_events *events, void *ctx,
                           struct net_conn **ret_conn)
{
    struct net_conn *c = net_conn_new(loop, events, ctx);
    if (!c) {
        close(fd);
        return cx_fail(CX_MEMORY, "no memory for a connection");
    }
    c->state = CONN_OPEN;
    enum cx_err err = net_conn_poll_fd(c, fd);
    if (err) {
        close(fd);
        net_conn_close(c);
        return err;
    }
    net_conn_rearm(c);
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
    net_conn_rearm(conn);
}

struct net_loop *net_conn_loop(const struct net_conn *conn) { return conn->loop; }

void net_conn_peer(const struct net_conn *conn, char *ret_text, size_t cap)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char name[INET6_ADDRSTRLEN] = "?";
    uint16_t port = 0;
    if (conn->fd >= 0 && getpeername(conn->fd, (struct sockaddr *)&address, &size) == 0) {
        if (address.ss_family == AF_INET6) {
            const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
            uv_ip6_name(in6, name, sizeof name);
            port = ntohs(in6->sin6_port);
        } else if (address.ss_family == AF_INET) {
            const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
            uv_ip4_name(in, name, sizeof name);
            port = ntohs(in->sin_port);
        }
    }
    snprintf(ret_text, cap, strchr(name, ':') ? "[%s]:%u" : "%s:%u", name, port);
}

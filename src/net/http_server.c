#include "net/http_server_inside.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"

/* ---- peers ---- */

static void enter(struct http_peer *peer) { peer->depth++; }

static void leave(struct http_peer *peer)
{
    cx_assert(peer->depth > 0);
    if (--peer->depth > 0 || peer->state != PEER_GONE)
        return;
    free(peer);
}

static void check_stopped(void *ctx)
{
    struct http_server *s = ctx;
    void (*on_stopped)(void *) = s->on_stopped;
    if (!s->stopping || s->peer_count > 0 || s->in_hand > 0 || !on_stopped)
        return;
    s->on_stopped = NULL;
    on_stopped(s->stopped_ctx);
}

/* Never inside the call that made it so: on_stopped may close the server. */
static void check_stopped_soon(struct http_server *s)
{
    if (s->stopping && !s->closed && s->on_stopped)
        net_timer_soon(s->loop, &s->stopped, check_stopped, s);
}

/* Takes the peer apart; the connection has gone its way. */
static void forget(struct http_peer *peer)
{
    cx_assert(peer->state != PEER_GONE);
    struct http_server *s = peer->server;
    enter(peer);
    s->in_hand++;  // on_gone may close the server
    peer->state = PEER_GONE;
    peer->conn = NULL;
    net_timer_stop(&peer->timer);
    net_link_remove(&peer->link);
    s->peer_count--;
    buf_done(&peer->head);
    buf_done(&peer->in);
    struct http_exchange *x = peer->x;
    peer->x = NULL;
    if (x && x->state == X_READING) {
        http_exchange_free(x);
    } else if (x) {
        x->peer = NULL;
        if (x->on_gone)
            x->on_gone(x->ctx);
    }
    http_server_let_go(s);
    leave(peer);
}

void http_peer_cut(struct http_peer *peer)
{
    net_conn_close(peer->conn);
    forget(peer);
}

void http_peer_give_away(struct http_peer *peer)
{
    peer->x = NULL;
    forget(peer);
}

static void finish(struct http_peer *peer)
{
    net_conn_finish(peer->conn);
    forget(peer);
}

/* ---- refusals ---- */

static void put_refusal(struct http_server *s, struct buf *out, enum http_refusal refusal)
{
    unsigned status = http_refusal_status(refusal);
    struct buf body = {0};
    http_put_error(&body, http_refusal_name(refusal), status, NULL, http_refusal_text(refusal));
    http_put_status(out, status);
    buf_text(out, http_server_date(s));
    buf_text(out, "Content-Type: application/json\r\nConnection: close\r\n");
    http_put_length(out, body.size);
    http_put_end(out);
    buf_add(out, body.data, body.size);
    buf_done(&body);
}

/* Says why, and closes: after bytes that we did not understand nothing can be trusted. */
static void refuse(struct http_peer *peer, enum http_refusal refusal)
{
    put_refusal(peer->server, net_conn_out(peer->conn), refusal);
    net_conn_added(peer->conn);
    finish(peer);
}

/* ---- time ---- */

static void on_timeout(void *ctx)
{
    struct http_peer *peer = ctx;
    switch (peer->state) {
    case PEER_IDLE: finish(peer); return;
    case PEER_HEAD: refuse(peer, HTTP_REFUSE_HEAD_TIMEOUT); return;
    case PEER_BODY: refuse(peer, HTTP_REFUSE_BODY_TIMEOUT); return;
    case PEER_BUSY:
    case PEER_GONE: break;
    }
    cx_assert(false);
}

static void enter_state(struct http_peer *peer, enum peer_state state)
{
    struct http_server *s = peer->server;
    uint32_t ms = 0;
    peer->state = state;
    switch (state) {
    case PEER_IDLE: ms = peer->served ? s->options.idle_timeout_ms : s->options.header_timeout_ms; break;
    case PEER_HEAD: ms = s->options.header_timeout_ms; break;
    case PEER_BODY: ms = s->options.body_timeout_ms; break;
    case PEER_BUSY:
    case PEER_GONE: net_timer_stop(&peer->timer); return;
    }
    net_timer_start(s->loop, &peer->timer, ms, on_timeout, peer);
}

const char *http_server_date(struct http_server *server)
{
    uint64_t now_s = net_wall_ms() / 1000;
    if (now_s != server->date_s) {
        time_t t = (time_t)now_s;
        struct tm utc;
        gmtime_r(&t, &utc);
        strftime(server->date, sizeof server->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
        server->date_s = now_s;
    }
    return server->date;
}

/* ---- requests ---- */

static void call_handler(struct http_peer *peer)
{
    struct http_exchange *x = peer->x;
    struct http_server *s = peer->server;
    x->state = X_IN_HAND;
    s->in_hand++;
    enter_state(peer, PEER_BUSY);
    if (!x->body.data)
        buf_add(&x->body, "", 0);
    s->options.on_request(s->options.ctx, x);
}

/* The head is whole: what does it ask for? */
static void begin_exchange(struct http_peer *peer)
{
    struct http_server *s = peer->server;
    struct http_field field[HTTP_FIELDS_MAX];
    struct http_request request;
    enum http_refusal refusal = http_request_parse(peer->head.data, peer->head.size, field, &request);
    if (refusal != HTTP_REFUSE_NONE) {
        refuse(peer, refusal);
        return;
    }
    peer->served = true;
    struct http_exchange *x = http_exchange_new(s, peer);
    struct http_field *kept = http_alloc(x, request.field_count * sizeof *kept);
    if (request.field_count)
        memcpy(kept, field, request.field_count * sizeof *kept);
    request.field = kept;
    x->request = request;
    x->head = peer->head;
    peer->head = (struct buf){0};
    peer->scan = (struct http_head_scan){0};
    peer->x = x;
    x->keep_alive = request.keep_alive;
    x->silent = request.method == HTTP_METHOD_HEAD;
    uint64_t size_max =
        s->options.body_size_max ? s->options.body_size_max(s->options.ctx, &x->request) : HTTP_BODY_SIZE_MAX;
    refusal = http_body_init(&x->decoder, &x->request, size_max);
    if (refusal != HTTP_REFUSE_NONE) {
        refuse(peer, refusal);
        return;
    }
    enter_state(peer, PEER_BODY);
    if (request.expect_continue && request.framing != HTTP_BODY_NONE)
        net_conn_send(peer->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static size_t read_head(struct http_peer *peer, const char *data, size_t size)
{
    size_t used = 0, skip = 0;
    enum http_refusal refusal = HTTP_REFUSE_NONE;
    if (peer->state == PEER_IDLE)
        enter_state(peer, PEER_HEAD);
    enum http_answer answer = http_head_scan(&peer->scan, data, size, &used, &skip, &refusal);
    if (answer == HTTP_BAD) {
        refuse(peer, refusal);
        return size;
    }
    buf_add(&peer->head, data + skip, used - skip);
    if (answer == HTTP_DONE)
        begin_exchange(peer);
    return used;
}

static size_t read_body(struct http_peer *peer, const char *data, size_t size, bool *ret_whole)
{
    struct http_exchange *x = peer->x;
    size_t used = 0;
    struct span piece;
    enum http_refusal refusal = HTTP_REFUSE_NONE;
    enum http_answer answer = http_body_decode(&x->decoder, data, size, &used, &piece, &refusal);
    if (answer == HTTP_BAD) {
        refuse(peer, refusal);
        return size;
    }
    if (piece.size > 0)
        buf_add(&x->body, piece.data, piece.size);
    *ret_whole = answer == HTTP_DONE;
    if (answer == HTTP_MORE && piece.size > 0)
        enter_state(peer, PEER_BODY);
    return used;
}

/* Bytes from the client, until they are used up or a handler has work to do. */
static void take(struct http_peer *peer, const char *data, size_t size)
{
    enter(peer);
    bool whole = false;
    while (peer->state != PEER_GONE && peer->state != PEER_BUSY && (size > 0 || peer->state == PEER_BODY)) {
        size_t used = peer->state == PEER_BODY ? read_body(peer, data, size, &whole) : read_head(peer, data, size);
        data += used;
        size -= used;
        if (peer->state == PEER_BODY && whole) {
            whole = false;
            peer->rest = data;
            peer->rest_size = size;
            call_handler(peer);
            peer->rest_size = 0;
        } else if (peer->state == PEER_BODY && size == 0 && used == 0) {
            break;
        }
    }
    if (size > 0 && peer->state == PEER_BUSY) {
        /* The next request waits its turn, and more of them in the socket. */
        buf_add(&peer->in, data, size);
        net_conn_pause(peer->conn);
    }
    leave(peer);
}

static void take_waiting(struct http_peer *peer)
{
    struct buf in = peer->in;
    peer->in = (struct buf){0};
    enter(peer);
    take(peer, in.data, in.size);
    if (peer->state != PEER_GONE && peer->in.size == 0)
        net_conn_resume(peer->conn);
    leave(peer);
    buf_done(&in);
}

static void on_waiting(void *ctx)
{
    struct http_peer *peer = ctx;
    enter_state(peer, PEER_IDLE);
    take_waiting(peer);
}

void http_peer_next(struct http_peer *peer, bool keep_alive)
{
    struct http_server *s = peer->server;
    cx_assert(peer->state == PEER_BUSY);
    peer->x = NULL;
    if (!keep_alive) {
        finish(peer);
        return;
    }
    enter_state(peer, PEER_IDLE);
    /* Not here: many small requests in one packet would answer each other ever deeper. */
    if (peer->in.size > 0)
        net_timer_soon(s->loop, &peer->timer, on_waiting, peer);
}

/* ---- the connection's events ---- */

static void on_data(void *ctx, char *data, size_t size)
{
    struct http_peer *peer = ctx;
    if (peer->state == PEER_BUSY || peer->in.size > 0) {
        buf_add(&peer->in, data, size);
        net_conn_pause(peer->conn);
        return;
    }
    take(peer, data, size);
}

static void on_end(void *ctx, enum cx_err err)
{
    (void)err;
    forget(ctx);
}

static void on_drain(void *ctx)
{
    struct http_peer *peer = ctx;
    if (peer->x && peer->x->on_drain && peer->x->state != X_READING)
        peer->x->on_drain(peer->x->ctx);
}

/* The client ended its side while more requests of it wait: it is not there for their answers. */
static void on_hangup(void *ctx) { http_peer_cut(ctx); }

static const struct net_conn_events peer_events = {
    .on_data = on_data, .on_end = on_end, .on_drain = on_drain, .on_hangup = on_hangup};

/* ---- the server ---- */

static void ignore_data(void *ctx, char *data, size_t size)
{
    (void)ctx;
    (void)data;
    (void)size;
}

static void ignore_end(void *ctx, enum cx_err err)
{
    (void)ctx;
    (void)err;
}

static const struct net_conn_events refused_events = {.on_data = ignore_data, .on_end = ignore_end};

static void refuse_connection(struct http_server *s, int fd)
{
    struct net_conn *conn = NULL;
    if (net_conn_adopt(s->loop, fd, &refused_events, NULL, &conn) != CX_OK)
        return;
    put_refusal(s, net_conn_out(conn), HTTP_REFUSE_CONNECTIONS);
    net_conn_added(conn);
    net_conn_finish(conn);
}

static void on_accept(void *ctx, int fd)
{
    struct http_server *s = ctx;
    if (s->peer_count >= s->options.connections_max) {
        refuse_connection(s, fd);
        return;
    }
    struct http_peer *peer = calloc(1, sizeof *peer);
    cx_assert(peer);
    peer->server = s;
    if (net_conn_adopt(s->loop, fd, &peer_events, peer, &peer->conn) != CX_OK) {
        free(peer);
        return;
    }
    net_conn_set_limits(peer->conn, &(struct net_conn_limits){.high = s->options.queue_high,
                                                              .low = s->options.queue_low,
                                                              .queue_max = s->options.queue_max,
                                                              .write_stall_ms = s->options.write_stall_ms});
    net_link_add(&s->peers, &peer->link);
    s->peer_count++;
    enter_state(peer, PEER_IDLE);
}

static uint32_t or_usual(uint32_t value, uint32_t usual) { return value ? value : usual; }

enum cx_err http_server_open(struct net_loop *loop, const struct http_server_options *options,
                             struct http_server **ret_server)
{
    cx_assert(options->on_request);
    struct http_server *s = calloc(1, sizeof *s);
    cx_assert(s);
    s->loop = loop;
    s->options = *options;
    s->options.connections_max = or_usual(options->connections_max, HTTP_CONNECTIONS_MAX);
    s->options.header_timeout_ms = or_usual(options->header_timeout_ms, HTTP_HEADER_TIMEOUT_MS);
    s->options.body_timeout_ms = or_usual(options->body_timeout_ms, HTTP_BODY_TIMEOUT_MS);
    s->options.idle_timeout_ms = or_usual(options->idle_timeout_ms, HTTP_IDLE_TIMEOUT_MS);
    net_link_init(&s->peers);
    enum cx_err err = net_listener_open(loop, options->listen, on_accept, s, &s->listener);
    if (err) {
        free(s);
        return err;
    }
    s->port = net_listener_port(s->listener);
    *ret_server = s;
    return CX_OK;
}

static void free_server(struct http_server *s)
{
    while (s->free_blocks) {
        struct http_block *block = s->free_blocks;
        s->free_blocks = block->next;
        free(block);
    }
    free(s);
}

void http_server_let_go(struct http_server *server)
{
    cx_assert(server->in_hand > 0);
    server->in_hand--;
    if (server->closed && server->in_hand == 0)
        free_server(server);
    else
        check_stopped_soon(server);
}

void http_server_close(struct http_server *server)
{
    struct http_server *s = server;
    if (!s)
        return;
    cx_assert(!s->closed);
    s->in_hand++;  // ours, until all is done
    s->closed = true;
    net_timer_stop(&s->stopped);
    net_listener_close(s->listener);
    s->listener = NULL;
    while (!net_link_is_alone(&s->peers))
        http_peer_cut((struct http_peer *)((char *)s->peers.next - offsetof(struct http_peer, link)));
    http_server_let_go(s);
}

void http_server_stop(struct http_server *server, void (*on_stopped)(void *ctx), void *ctx)
{
    struct http_server *s = server;
    s->stopping = true;
    s->on_stopped = on_stopped;
    s->stopped_ctx = ctx;
    net_listener_close(s->listener);
    s->listener = NULL;
    struct net_link *next;
    for (struct net_link *link = s->peers.next; link != &s->peers; link = next) {
        struct http_peer *peer = (struct http_peer *)((char *)link - offsetof(struct http_peer, link));
        next = link->next;
        if (peer->x)
            peer->x->keep_alive = false;
        else
            finish(peer);
    }
    check_stopped_soon(s);
}

uint16_t http_server_port(const struct http_server *server) { return server->port; }

uint32_t http_server_connections(const struct http_server *server) { return server->peer_count; }

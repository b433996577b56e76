/* conn_inside.h - a connection as conn.c, which keeps it, and connect.c, which opens it, see it. */
#ifndef CORTEN_NET_CONN_INSIDE_H
#define CORTEN_NET_CONN_INSIDE_H

#include "base/buf.h"
#include "net/conn.h"
#include "net/loop_inside.h"

enum conn_state {
    CONN_NAMING,      // the name is being looked up
    CONN_CONNECTING,  // to one of its addresses
    CONN_TLS,         // shaking hands
    CONN_OPEN,
    CONN_FINISHING,  // from here on without an owner: sends what waits,
    CONN_LINGERING,  // waits for the peer's end
    CONN_GONE,       // waits for its last pin
};

struct connecting;

struct net_conn {
    struct net_loop *loop;
    const struct net_conn_events *events;
    void *ctx;
    uv_poll_t *poll;
    SSL *ssl;                       // NULL: plain
    struct connecting *connecting;  // NULL once open
    struct net_link dirty;          // of the loop's ring, while something waits for the end of the turn
    struct net_link all;
    struct net_timer timer;
    struct buf out;  // from out_at on: not sent yet
    size_t out_at;
    uint32_t high, low, queue_max, write_stall_ms;
    int fd;
    int armed;      // what poll waits for
    uint32_t pins;  // poll handles, look-ups and calls under way that still use the struct
    enum conn_state state;
    bool paused;
    bool full;        // over high and not yet under low
    bool over;        // over queue_max: the end is near
    bool blocked;     // the socket takes no more for now
    bool read_ended;  // the peer sent its end
    bool read_again;  // TLS may hold bytes that the poll does not know of
    bool hung_up;     // on_hangup was called
    bool tls_wants_write;
};

struct net_conn *net_conn_new(struct net_loop *loop, const struct net_conn_events *events, void *ctx);
/* A pinned struct stays, even when the connection is gone. */
void net_conn_pin(struct net_conn *c);
void net_conn_unpin(struct net_conn *c);
enum cx_err net_conn_poll_fd(struct net_conn *c, int fd);
void net_conn_unpoll(struct net_conn *c);
void net_conn_rearm(struct net_conn *c);
/* Ends the connection and tells its owner, if it has one still. */
void net_conn_fail(struct net_conn *c, enum cx_err err, const char *what, const char *why);

/* Of connect.c. */
void net_connecting_go_on(struct net_conn *c);  // the socket on trial is ready
void net_connecting_free(struct net_conn *c);
/* As receive and send_some of conn.c. */
ssize_t net_tls_read(struct net_conn *c, char *data, size_t size);
ssize_t net_tls_write(struct net_conn *c, const char *data, size_t size);

#endif

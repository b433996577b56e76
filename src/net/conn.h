/* conn.h - one stream connection: a non-blocking socket, what waits to be sent, and TLS where asked for.
 *
 *      CONNECTING --on_open--> OPEN --finish--> (sends what waits, then closes by itself)
 *          |                    |
 *          +----- on_end -------+               close: at once, from any state, without a callback
 *
 * What is sent gathers in one queue and leaves in one system call a turn. A queue over `high` means that
 * the peer is slow: the owner should stop producing until on_drain; a queue over `queue_max` ends the connection.
 *
 * Whoever calls net_conn_close or net_conn_finish gives the connection up: no callback follows. After
 * on_end it is gone too. Both are allowed inside every callback.
 */
#ifndef CORTEN_NET_CONN_H
#define CORTEN_NET_CONN_H

#include "net/loop.h"

#define NET_QUEUE_HIGH     (256 * 1024)
#define NET_QUEUE_LOW      (64 * 1024)
#define NET_QUEUE_MAX      (16 * 1024 * 1024)
#define NET_WRITE_STALL_MS 30000  // bytes wait and the peer takes none
#define NET_LINGER_MS      2000   // after the last byte, for the peer to read it

struct net_conn;

struct net_conn_events {
    void (*on_open)(void *ctx);                           // connected, TLS included; clients only
    void (*on_data)(void *ctx, char *data, size_t size);  // lent for the call; may be written to
    /* The peer ended (CX_CLOSED), broke off or was too slow (cx_detail says it). */
    void (*on_end)(void *ctx, enum cx_err err);
    void (*on_drain)(void *ctx);  // fell under `low` after being over `high`; may be NULL
    /* The peer ended while reading was paused; unread bytes may be left. May be NULL. */
    void (*on_hangup)(void *ctx);
};

struct net_conn_limits {  // zeros mean the defaults above
    size_t high, low, queue_max;
    uint32_t write_stall_ms;
};

struct net_target {
    const char *host;  // name or address
    uint16_t port;
    bool tls;
    const char *ca_file;  // PEM; NULL: the system's
    uint32_t timeout_ms;  // for names, connecting and TLS together; 0: 10 s
};

/* Starts connecting; what can fail later comes in on_end. */
enum cx_err net_conn_connect(struct net_loop *loop, const struct net_target *target,
                             const struct net_conn_events *events, void *ctx, struct net_conn **ret_conn);
/* Takes over a connected, non-blocking socket. On failure the socket is closed. */
enum cx_err net_conn_adopt(struct net_loop *loop, int fd, const struct net_conn_events *events, void *ctx,
                           struct net_conn **ret_conn);
void net_conn_close(struct net_conn *conn);  // takes NULL
/* Sends what waits, ends our side, waits a little for the peer's end. The owner is done with it. */
void net_conn_finish(struct net_conn *conn);

void net_conn_set_limits(struct net_conn *conn, const struct net_conn_limits *limits);
/* Hands the connection to another owner; from now on its callbacks are called. `events` must stay. */
void net_conn_hand_over(struct net_conn *conn, const struct net_conn_events *events, void *ctx);

/* Queues a copy. Over queue_max the connection ends: on_end(CX_TOO_LARGE) soon. */
void net_conn_send(struct net_conn *conn, const void *data, size_t size);
/* The queue itself, for those who write in place; net_conn_sent must follow what was added. */
struct buf;
struct buf *net_conn_out(struct net_conn *conn);
void net_conn_added(struct net_conn *conn);
size_t net_conn_queued(const struct net_conn *conn);
bool net_conn_is_full(const struct net_conn *conn);  // over `high`, and not yet under `low`

/* Stops and resumes on_data. */
void net_conn_pause(struct net_conn *conn);
void net_conn_resume(struct net_conn *conn);

struct net_loop *net_conn_loop(const struct net_conn *conn);
/* "127.0.0.1:49152" */
void net_conn_peer(const struct net_conn *conn, char *ret_text, size_t cap);

#endif

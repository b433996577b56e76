/* ws_conn.h - a WebSocket on a loop, for either end.
 *
 *      CONNECTING --on_open--> OPEN --net_ws_shut--> CLOSING --on_close--> gone
 *                                +---- peer's close, error, silence ----> on_close, gone
 *
 * Messages queued in one turn leave in one system call. Pings go out by themselves every ping_ms; a peer
 * from which nothing came for dead_ms is given up.
 *
 * on_close comes exactly once, also after net_ws_shut, and not after net_ws_close. All calls are
 * allowed inside all callbacks.
 */
#ifndef CORTEN_NET_WS_CONN_H
#define CORTEN_NET_WS_CONN_H

#include "net/conn.h"
#include "proto/ws.h"

#define NET_WS_PING_MS          20000
#define NET_WS_DEAD_MS          50000  // two pings unanswered, and some
#define NET_WS_CLOSE_MS         3000   // for the peer's half of the closing handshake
#define NET_WS_CONNECT_MS       10000  // name, TCP, TLS and handshake together
#define NET_WS_MESSAGE_SIZE_MAX (4 * 1024 * 1024)

struct net_ws;

struct net_ws_events {
    void (*on_open)(void *ctx, const char *protocol);  // clients only; "" where none was chosen
    /* A whole message; text is valid UTF-8. The bytes are lent for the call. */
    void (*on_message)(void *ctx, bool text, const char *data, size_t size);
    /* The end: the peer's code and reason, or WS_CLOSE_ABNORMAL and what happened. */
    void (*on_close)(void *ctx, unsigned code, const char *reason);
    void (*on_drain)(void *ctx);  // as in net/conn.h; may be NULL
};

struct net_ws_options {
    const struct net_ws_events *events;  // must stay
    void *ctx;
    uint32_t ping_ms, dead_ms, close_ms, connect_ms;  // zeros mean the defaults above
    uint64_t message_size_max;
    struct net_conn_limits limits;
    const char *protocols;  // client: to ask for, parted by commas, or NULL
    const char *fields;     // client: extra request lines, each with CR LF, or NULL
    const char *ca_file;    // client of wss: PEM, or NULL for the system's
};

/* url: ws://host[:port][/path][?query] or wss://…. CX_INVALID: no such URL. What fails later comes in on_close,
 * with 1006 and a reason that says what. */
enum cx_err net_ws_connect(struct net_loop *loop, const char *url, const struct net_ws_options *options,
                           struct net_ws **ret_ws);
/* Drops the connection at once, without on_close. Takes NULL. */
void net_ws_close(struct net_ws *ws);
/* The closing handshake: sends code and reason, waits for the peer's answer; then on_close. */
void net_ws_shut(struct net_ws *ws, unsigned code, const char *reason);

void net_ws_set_events(struct net_ws *ws, const struct net_ws_events *events, void *ctx);
/* Sends a whole message; after the end or before on_open it goes nowhere and false is given. */
bool net_ws_send_text(struct net_ws *ws, const char *text, size_t size);
bool net_ws_send_binary(struct net_ws *ws, const void *data, size_t size);
bool net_ws_is_open(const struct net_ws *ws);
size_t net_ws_queued(const struct net_ws *ws);
bool net_ws_is_full(const struct net_ws *ws);  // over `high`, and not yet under `low`
/* Another bound for the messages from the next one on: small before the peer is known, say. */
void net_ws_set_message_size_max(struct net_ws *ws, uint64_t size_max);
/* Stops and resumes on_message; the peer feels it through TCP. Pings of the peer wait as well. */
void net_ws_pause(struct net_ws *ws);
void net_ws_resume(struct net_ws *ws);
const char *net_ws_protocol(const struct net_ws *ws);  // the chosen one, or ""
void net_ws_peer(const struct net_ws *ws, char *ret_text, size_t cap);

#endif

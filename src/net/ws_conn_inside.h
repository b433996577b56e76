/* ws_conn_inside.h - a WebSocket as ws_conn.c, which runs it, and ws_connect.c, which opens a client's, see
 * it. */
#ifndef CORTEN_NET_WS_CONN_INSIDE_H
#define CORTEN_NET_WS_CONN_INSIDE_H

#include "base/buf.h"
#include "net/ws_conn.h"

enum net_ws_state { NET_WS_CONNECTING, NET_WS_OPEN, NET_WS_CLOSING, NET_WS_GONE };

struct ws_handshake;

struct net_ws {
    struct net_conn *conn;  // NULL once gone
    const struct net_ws_events *events;
    void *ctx;
    struct ws_handshake *handshake;  // of a client that is not open yet
    struct ws_decoder decoder;
    struct buf message;      // parts of the message so far
    struct buf rest;         // bytes that wait because the owner paused
    struct net_timer timer;  // pings; then the closing handshake
    struct net_timer soon;   // takes the rest
    char *protocol;          // or NULL
    uint64_t heard_ms;       // when bytes came last
    uint32_t ping_ms, dead_ms, close_ms;
    uint32_t depth;  // calls under way that still use the struct
    uint16_t shut_code;
    bool paused;
    enum net_ws_state state;
};

extern const struct net_conn_events net_ws_conn_events;

/* Around calls of the owner: the struct stays until the outermost is left. */
void net_ws_enter(struct net_ws *ws);
void net_ws_leave(struct net_ws *ws);
struct net_ws *net_ws_new(enum ws_role role, const struct net_ws_options *options);
/* The handshake is done. */
void net_ws_begin(struct net_ws *ws, const char *protocol);
void net_ws_end(struct net_ws *ws, unsigned code, const char *reason, bool finish);
void net_ws_take(struct net_ws *ws, char *data, size_t size);
/* A server's connection after its 101; `rest` came behind the request. */
struct net_ws *net_ws_adopt(struct net_conn *conn, const struct net_ws_options *options, const char *protocol,
                            const char *rest, size_t rest_size);

/* Of ws_connect.c. */

#define WS_HOST_SIZE_MAX 255

struct ws_url {
    bool tls;
    char host[WS_HOST_SIZE_MAX + 1];        // without brackets
    char authority[WS_HOST_SIZE_MAX + 16];  // as the Host field has it
    uint16_t port;
    const char *target;  // within the text; "" stands for "/"
};
/* As net_ws_connect says. INVALID: no such URL. */
enum cx_err net_ws_url_parse(const char *text, struct ws_url *ret_url);
void net_ws_handshake_free(struct net_ws *ws);

#endif

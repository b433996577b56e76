/* http_server_inside.h - the server as http_server.c, which reads requests, and http_exchange.c, which
 * answers them, see it. */
#ifndef CORTEN_NET_HTTP_SERVER_INSIDE_H
#define CORTEN_NET_HTTP_SERVER_INSIDE_H

#include "base/arena.h"
#include "base/buf.h"
#include "net/http_server.h"
#include "net/listener.h"
#include "net/loop_inside.h"

#define HTTP_BLOCK_SIZE 8192  // of memory for one exchange; most need one

struct http_server {
    struct net_loop *loop;
    struct net_listener *listener;  // NULL once it stops
    struct http_server_options options;
    struct net_link peers;
    struct http_block *free_blocks;
    uint32_t peer_count;
    uint32_t in_hand;  // exchanges that handlers still hold; the server outlives them
    uint16_t port;
    bool stopping, closed;
    void (*on_stopped)(void *ctx);
    void *stopped_ctx;
    struct net_timer stopped;
    uint64_t date_s;  // of `date`
    char date[48];    // "Date: …\r\n"
};

enum peer_state {
    PEER_IDLE,  // between requests
    PEER_HEAD,  // some of a head is there
    PEER_BODY,
    PEER_BUSY,  // the exchange is in a handler's hands
    PEER_GONE,  // waits for the outermost call to end
};

/* One connection. */
struct http_peer {
    struct http_server *server;
    struct net_conn *conn;
    struct net_link link;
    struct net_timer timer;  // for what the state waits for
    struct http_head_scan scan;
    struct buf head;          // of the request on its way
    struct http_exchange *x;  // from the end of the head on
    struct buf in;            // bytes that came while busy
    const char *rest;         // bytes behind the request, lent while its handler is called
    size_t rest_size;
    uint32_t depth;  // calls under way that still use the struct
    enum peer_state state;
    bool served;  // at least one request
};

/* Memory of exchanges, kept by the server for the next ones. */
struct http_block {
    struct http_block *next;
    size_t size;  // of bytes
    uint8_t bytes[] __attribute__((aligned(16)));
};

enum exchange_state {
    X_READING,    // the body is on its way
    X_IN_HAND,    // nothing answered yet
    X_STREAMING,  // the head of the answer is out
};

struct http_exchange {
    struct http_server *server;
    struct http_peer *peer;  // NULL: the client has gone
    struct http_request request;
    struct http_body decoder;
    struct buf head, body;
    struct buf fields;          // of the answer
    struct http_block *blocks;  // the first is the one in use; the exchange itself lies in the last
    struct arena arena;         // over the first
    enum exchange_state state;
    bool keep_alive;
    bool chunked;  // else the end of the connection ends a stream
    bool silent;   // HEAD: the answer has no body
    size_t piece_at;
    struct buf nowhere;  // where pieces for nobody go
    void (*on_gone)(void *ctx);
    void (*on_drain)(void *ctx);
    void *ctx;
};

/* Of http_exchange.c. */
struct http_exchange *http_exchange_new(struct http_server *server, struct http_peer *peer);
void http_exchange_free(struct http_exchange *x);
/* An error answer's body. */
void http_put_error(struct buf *out, const char *code, unsigned status, const char *param, const char *message);

/* Of http_server.c. */
/* The exchange has been answered: the connection goes on or ends. */
void http_peer_next(struct http_peer *peer, bool keep_alive);
/* Closes the connection at once. */
void http_peer_cut(struct http_peer *peer);
/* Forgets the connection without touching it: it is somebody else's. */
void http_peer_give_away(struct http_peer *peer);
void http_server_let_go(struct http_server *server);  // of an exchange in hand
const char *http_server_date(struct http_server *server);

#endif

/* adversary_wire.h - a socket to a router for those who cheat: it says hello, carries frames, sends what is no frame at
 * all, breaks off, and comes back.
 *
 * src/miner/router_link.h does the same for the honest; here the hello can be spoiled and bytes go out as they are.
 */
#ifndef CORTEN_SIM_ADVERSARY_WIRE_H
#define CORTEN_SIM_ADVERSARY_WIRE_H

#include "net/ws_conn.h"
#include "proto/link.h"

#define ADVERSARY_AGAIN_MS     50  // until a link that broke is opened again; doubles
#define ADVERSARY_AGAIN_MS_MAX 2000
#define ADVERSARY_OPEN_MS      5000  // for the hello's answer

struct adversary_wire_events {
    /* The hello as it would go out, signed: it may be spoiled. */
    void (*on_hello)(void *ctx, const struct link_challenge *challenge, struct link_hello *hello);
    void (*on_frame)(void *ctx, struct link_frame *frame);
    void (*on_down)(void *ctx);
};

struct adversary_wire {
    struct net_loop *loop;
    char *url;             // with its path
    const char *protocol;  // LINK_PROTOCOL_…
    const struct key *key;
    const struct adversary_wire_events *events;
    void *ctx;
    struct net_ws *ws;
    struct net_timer timer;  // until it is opened again, or gives up waiting
    struct net_timer soon;   // breaking off
    uint32_t again_ms;
    bool greeted, up;  // the hello is out; it was answered
    uint64_t network;
    struct address router;
    struct mac_key mac_key;  // of what is said on this link
    struct buf out;
    uint64_t links, refused, breaches;
    char code[32];  // of the last error frame
};

/* router: ws://host:port or http://host:port. INVALID: it is none. */
enum cx_err adversary_wire_open(struct adversary_wire *wire, const char *router, const char *path);
void adversary_wire_close(struct adversary_wire *wire);
/* False: it is down. */
bool adversary_wire_send(struct adversary_wire *wire, const struct link_frame *frame);
bool adversary_wire_send_text(struct adversary_wire *wire, const char *text, size_t size);
bool adversary_wire_send_binary(struct adversary_wire *wire, const void *data, size_t size);
/* As a cut cable: no goodbye. It comes back after again_ms. Allowed inside callbacks. */
void adversary_wire_break(struct adversary_wire *wire);

#endif

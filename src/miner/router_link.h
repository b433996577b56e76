/* router_link.h - this end of a link to a router, for miners and oracles: it connects, proves who we are, carries
 * frames, and comes back when it breaks.
 *
 *      connecting -> challenged -> hello -> frames … -> broken -> waiting (ROUTER_LINK_RETRY_MS, doubling) ->
 * connecting
 *
 * Source: docs/protocol.md, "Miner link".
 */
#ifndef CORTEN_MINER_ROUTER_LINK_H
#define CORTEN_MINER_ROUTER_LINK_H

#include "net/loop.h"
#include "proto/link.h"

#define ROUTER_LINK_RETRY_MS     100  // after the first break; up to half of it more, by chance
#define ROUTER_LINK_RETRY_MS_MAX 15000
#define ROUTER_LINK_HELLO_MS     15000  // from opening to the router's first frame behind our hello
#define ROUTER_LINK_URL_SIZE_MAX 1024

struct router_link;

struct router_link_events {
    /* Fills in the hello but node and signature. False: this network does not want us, or we do not want it (cx_detail
     * says why): it is tried again later. The challenge is the frame's. */
    bool (*on_challenge)(void *ctx, const struct link_challenge *challenge, struct link_hello *ret_hello);
    /* Every later frame. Whoever keeps it copies the struct and zeroes the original. */
    void (*on_frame)(void *ctx, struct link_frame *frame);
    /* It is down, after it had been up or not; it will be tried again. */
    void (*on_down)(void *ctx, const char *why);
    /* It takes frames again. */
    void (*on_drain)(void *ctx);
};
struct router_link_options {
    struct net_loop *loop;
    const char *url;                          // ws[s]:// or http[s]://; copied
    const char *path;                         // added to a URL without one
    const char *protocols;                    // LINK_PROTOCOL[S]_…: those that we speak; must stay
    const char *place;                        // of its log lines: "miner"; must stay
    const char *ca_file;                      // NULL: the system's; copied
    const struct key *key;                    // lent
    const struct router_link_events *events;  // must stay
    void *ctx;
};

/* INVALID: the URL. Nothing happens before router_link_start. */
enum cx_err router_link_open(const struct router_link_options *options, struct router_link **ret_link);
void router_link_close(struct router_link *link);  // no callback follows
CX_CLOSER(router_link)
void router_link_start(struct router_link *link);

/* The hello was answered, and the socket stands. */
bool router_link_is_up(const struct router_link *link);
/* Up, and not full. */
bool router_link_takes(const struct router_link *link);
/* False: it is down, and the frame went nowhere. A precommit without a signature gets the link's MAC. */
bool router_link_send(struct router_link *link, const struct link_frame *frame);
/* Breaks off and comes back; on_down comes soon. Allowed inside callbacks. */
void router_link_drop(struct router_link *link, const char *why);
/* Says goodbye and does not come back; on_down comes when the router has heard it. */
void router_link_shut(struct router_link *link, const char *reason);
/* Of the last challenge. */
uint64_t router_link_network(const struct router_link *link);
const char *router_link_url(const struct router_link *link);

#endif

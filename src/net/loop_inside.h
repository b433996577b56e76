/* loop_inside.h - the loop as the rest of src/net sees it. */
#ifndef CORTEN_NET_LOOP_INSIDE_H
#define CORTEN_NET_LOOP_INSIDE_H

#include <openssl/ssl.h>
#include <uv.h>

#include "net/loop.h"
#include "net/ring.h"
#include "net/timers.h"

#define NET_READ_SIZE   (64 * 1024)
#define NET_RANDOM_SIZE 512

struct net_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;  // before every wait: sends, refreshes the clock
    uv_check_t check;      // after every wait: fires timers
    uv_idle_t idle;        // on while something is due or to be sent: the next wait is none
    uv_timer_t timer;      // for the earliest of heap
    uv_signal_t signal[2];
    void (*on_signal)(void *ctx, int signal);
    void *signal_ctx;
    struct net_timers timers;
    uint64_t armed_ms;      // what `timer` waits for; TIME_NEVER: it is off
    struct net_link ends;   // what is to run at the end of the turn
    struct net_link dirty;  // connections with something to do behind that
    struct net_link conns;  // all connections
    SSL_CTX *tls;           // for clients that trust the system's authorities; NULL until needed
    size_t random_left;
    uint8_t random[NET_RANDOM_SIZE];
    char read[NET_READ_SIZE];  // what is read on its way to on_data
};

/* Of conn.c: what a connection does when its turn ends, when it shall send at once, and at the loop's end. */
void net_conn_end_turn(struct net_link *dirty);
void net_conn_flush(struct net_link *dirty);
void net_conn_drop(struct net_link *link);

#endif

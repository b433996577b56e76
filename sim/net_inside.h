/* net_inside.h - loops, connections and wires as net_loop.c, net_conn.c and net_wire.c see them.
 *
 *      net_conn --flush--> wire: pipe of pieces, each with its time --arrive--> unread --on_data--> the other net_conn
 */
#ifndef CORTEN_SIM_NET_INSIDE_H
#define CORTEN_SIM_NET_INSIDE_H

#include "net/conn.h"
#include "net/ring.h"
#include "net/timers.h"
#include "sim/net.h"

#define NET_READ_SIZE (16 * 1024)  // of one on_data

struct wire;

struct net_loop {
    struct sim *sim;
    struct computer *computer;
    struct net_timers timers;
    struct sim_event due;    // of the first timer
    struct sim_event again;  // another turn, for what a turn's end gathered
    struct net_link ends, dirty, conns, works;
    char read[NET_READ_SIZE];
};

enum conn_state { CONN_CONNECTING, CONN_OPEN, CONN_FINISHING, CONN_LINGERING, CONN_GONE };

struct net_conn {
    struct net_loop *loop;
    const struct net_conn_events *events;
    void *ctx;
    struct wire *wire;  // NULL: nothing it sends gets anywhere
    uint32_t side;
    struct net_link dirty, all;
    struct net_timer timer;
    struct buf out;
    size_t out_at;
    uint32_t high, low, queue_max, write_stall_ms;
    uint32_t pins;
    enum conn_state state;
    bool paused, full, over, blocked, read_ended, hung_up;
    char target[96];  // whom a client dialled
};

/* ---- net_conn.c: what a wire tells an end ---- */

void net_conn_end_turn(struct net_link *dirty);
void net_conn_flush(struct net_link *dirty);
void net_conn_drop(struct net_link *all);
void net_conn_opened(struct net_conn *c);
void net_conn_readable(struct net_conn *c);  // bytes or the end have arrived
void net_conn_writable(struct net_conn *c);  // the window has room again
void net_conn_broken(struct net_conn *c, enum cx_err err, const char *what);

/* ---- net_wire.c: what an end does to its wire ---- */

/* Starts dialling; the answer comes by net_conn_opened or net_conn_broken, or never. NULL: no computer of that name. */
struct wire *wire_dial(struct net_conn *c, const char *host, uint16_t port);
/* The end that on_accept was given; NULL: it has broken already. */
struct wire *wire_take(struct net_loop *loop, int fd, struct net_conn *c);
size_t wire_room(const struct wire *wire, uint32_t side);  // bytes that this end may send now
void wire_send(struct wire *wire, uint32_t side, const void *data, size_t size);
void wire_send_end(struct wire *wire, uint32_t side);
/* The end lets go; broken: its peer hears of a break, else of an orderly end, if it has not yet. */
void wire_let_go(struct wire *wire, uint32_t side, bool broken);
size_t wire_unread(const struct wire *wire, uint32_t side);
size_t wire_read(struct wire *wire, uint32_t side, void *ret_data, size_t cap);
bool wire_has_ended(const struct wire *wire, uint32_t side);  // the peer's end is next to be read
void wire_peer(const struct wire *wire, uint32_t side, char *ret_text, size_t cap);

#endif

/* net.h - what a network does to its computers: connections over simulated time, and everything that befalls them.
 *
 * A connection is two ends and two pipes of bytes in order. Bytes take `latency` plus jitter; what is sent in one turn
 * arrives as one or several pieces; a reader that is paused stops the writer when its window is full, as TCP does.
 * Nothing is lost inside a connection: loss shows as delay (it was sent again) or as a break. Between connections
 * nothing is in order.
 *
 * loop.h, conn.h, listener.h and http_client.h of src/net are implemented over this, in net_loop.c, net_conn.c and
 * http_client.c. Addresses are "name:port" with the name of a computer.
 */
#ifndef CORTEN_SIM_NET_H
#define CORTEN_SIM_NET_H

#include "sim/computer.h"

#define NET_WINDOW_SIZE (128 * 1024)  // bytes under way or unread, each way, before a writer has to wait

/* How a network behaves; the swarm picks it, sim_heal sets it right. */
struct net_faults {
    uint32_t latency_us_min, latency_us_max;  // of a piece
    uint32_t late_ppm;                        // of pieces that come `late_us` later still
    uint32_t late_us;
    uint32_t split_ppm;      // of pieces that arrive in two
    uint32_t break_ppm;      // of pieces at which the connection breaks in place of it
    uint32_t half_open_ppm;  // of breaks that only one end hears of
};

struct net_world *net_world_open(struct sim *sim);
void net_world_close(struct net_world *net);
void net_world_set(struct net_world *net, const struct net_faults *faults);

/* Computers of different groups do not hear each other: bytes wait, connecting takes for ever. Group 0 is where all
 * begin. */
void net_set_group(struct computer *computer, uint32_t group);
void net_heal(struct net_world *net);  // all into group 0
/* Breaks every connection of a computer; silent: the peers hear nothing of it. */
void net_break_all(struct computer *computer, bool silent);
/* Breaks one connection of the world, drawn from SIM_FAULTS, if there is any. */
void net_break_one(struct net_world *net);
/* For computer.c: the loop is this computer's; what gathered in the event leaves; its connections are gone, and the
 * peers hear of it, or do not. */
void net_loop_bind(struct net_loop *loop, struct computer *computer);
void net_loop_end_turn(struct net_loop *loop);
void net_computer_down(struct computer *computer);

uint32_t net_connection_count(const struct net_world *net);

#endif

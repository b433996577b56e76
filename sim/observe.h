/* observe.h - who looks at what happens: the checkers hear of it here.
 *
 * An observer hears everything that routers apply, as they apply it, and whatever clients are told. It changes nothing
 * and draws no random numbers, so that a history is the same with all checkers and with none. What it finds it says by
 * check_fail(&sim->check, …), which ends the run.
 */
#ifndef CORTEN_SIM_OBSERVE_H
#define CORTEN_SIM_OBSERVE_H

#include "router/replica.h"
#include "sim/sim.h"

struct sim_router;
struct told;  // client.h: what a client was told of one request

/* Any function may be NULL. */
struct sim_observer {
    struct sim_observer *next;  // the world's
    void *ctx;
    /* A router has opened (first start or after a crash): its replica has replayed to seq. */
    void (*on_router_open)(void *ctx, const struct sim_router *router, const struct core *core, uint64_t seq);
    void (*on_router_down)(void *ctx, const struct sim_router *router);
    /* As replica_listener, from each router: an entry is durable and applied; then its events. Also while a router
     * replays at opening (moment->replaying), before on_router_open: router->router is NULL then. */
    void (*on_entry)(void *ctx, const struct sim_router *router, const struct replica_moment *moment);
    void (*on_event)(void *ctx, const struct sim_router *router, const struct replica_moment *moment,
                     const struct event *event);
    /* A client got the last byte of an answer, or its end. */
    void (*on_told)(void *ctx, const struct told *told);
    /* Phases change; SIM_OVER: the last look, while everything is still open. */
    void (*on_phase)(void *ctx, enum sim_phase phase);
};
void sim_observe(struct sim *sim, struct sim_observer *observer);

/* For those who see something happen: calls all observers. */
void observe_router_open(struct sim *sim, const struct sim_router *router, const struct core *core, uint64_t seq);
void observe_router_down(struct sim *sim, const struct sim_router *router);
void observe_entry(struct sim *sim, const struct sim_router *router, const struct replica_moment *moment);
void observe_event(struct sim *sim, const struct sim_router *router, const struct replica_moment *moment,
                   const struct event *event);
void observe_told(struct sim *sim, const struct told *told);
void observe_phase(struct sim *sim, enum sim_phase phase);

#endif

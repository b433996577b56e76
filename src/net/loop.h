/* loop.h - one event loop: turns, timers, signals, wakes from other threads, jobs on the thread pool.
 *
 * Everything in src/net belongs to one loop and is called on its thread only; net_wake_send and nothing
 * else may be called from elsewhere. At the end of a turn, before it waits, the loop sends what
 * connections gathered during the turn: a peer costs one system call a turn, however many messages.
 *
 * Units: times are milliseconds. The monotonic clock is refreshed before the loop waits, because libuv
 *        computes waits from a cached time and paces 26 ms for 20 otherwise.
 */
#ifndef CORTEN_NET_LOOP_H
#define CORTEN_NET_LOOP_H

#include "base/err.h"
#include "base/types.h"
#include "net/ring.h"

struct net_loop;

enum cx_err net_loop_open(struct net_loop **ret_loop);
/* Takes NULL. Drops what connections are left; the owners of open servers and clients close these first. */
void net_loop_close(struct net_loop *loop);
CX_CLOSER(net_loop)

/* Runs until net_loop_stop, or until nothing is left that could ever happen. */
void net_loop_run(struct net_loop *loop);
/* One turn; waits for an event if `wait`. For tests and for loops of others. False: nothing is left. */
bool net_loop_turn(struct net_loop *loop, bool wait);
void net_loop_stop(struct net_loop *loop);

uint64_t net_now_ms(const struct net_loop *loop);  // monotonic; as of this turn
uint64_t net_wall_ms(void);                        // since 1970; may jump
/* Unpredictable bytes. */
void net_random(struct net_loop *loop, void *ret_data, size_t size);

/* A timer inside its owner's struct: fires once, may be started again at any time, also from its own
 * function. All zero: stopped. The owner stops it before its memory goes. */
struct net_timer {
    uint64_t at_ms;
    uint64_t order;  // of its start, among those of one time
    void (*fire)(void *ctx);
    void *ctx;
    struct net_loop *loop;
    uint32_t slot;  // of the loop's heap, counted from 1; 0: stopped
};

void net_timer_start(struct net_loop *loop, struct net_timer *timer, uint64_t after_ms, void (*fire)(void *ctx),
                     void *ctx);
/* At an absolute time of net_now_ms: does not drift. */
void net_timer_start_at(struct net_loop *loop, struct net_timer *timer, uint64_t at_ms, void (*fire)(void *ctx),
                        void *ctx);
void net_timer_stop(struct net_timer *timer);
bool net_timer_is_on(const struct net_timer *timer);

/* Runs fire(ctx) once, later in this turn or at the start of the next: for what must not happen inside
 * the caller. Stop it like a timer. */
void net_timer_soon(struct net_loop *loop, struct net_timer *timer, void (*fire)(void *ctx), void *ctx);

/* Something to do inside its owner's struct: runs once when this turn ends, before what connections gathered leaves; so
 * another thread has it by then. All zero: nothing. The owner stops it before its memory goes. */
struct net_turn_end {
    struct net_link link;
    void (*run)(void *ctx);
    void *ctx;
};
void net_at_turn_end(struct net_loop *loop, struct net_turn_end *end, void (*run)(void *ctx), void *ctx);
void net_turn_end_stop(struct net_turn_end *end);

/* What connections have gathered leaves now: for who has much to do in one turn. Reads nothing. */
void net_loop_flush(struct net_loop *loop);

/* Calls on_signal on the loop for SIGTERM and SIGINT. One at a time per loop; NULL ends it. Does not keep
 * the loop alive. */
enum cx_err net_loop_signals(struct net_loop *loop, void (*on_signal)(void *ctx, int signal), void *ctx);

/* A bell that other threads ring; several rings may arrive as one call. */
struct net_wake;
enum cx_err net_wake_open(struct net_loop *loop, void (*on_wake)(void *ctx), void *ctx, struct net_wake **ret_wake);
void net_wake_close(struct net_wake *wake);  // no thread may ring it any more
void net_wake_send(struct net_wake *wake);   // from any thread

/* Runs job(ctx) on a helper thread, then done(ctx) on the loop. What job touches is its own until done. */
enum cx_err net_work(struct net_loop *loop, void (*job)(void *ctx), void (*done)(void *ctx), void *ctx);

#endif

/* loop.h over simulated time: each computer has one loop, and every event on it is a turn. */
#include <sodium.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/turn_end.h"
#include "sim/disk.h"
#include "sim/net_inside.h"

#define WAKE_US_MAX 30  // until a loop hears its bell
#define WORK_US_MIN 10  // of a job on the thread pool
#define WORK_US_MAX 400

struct net_wake {
    struct net_loop *loop;
    struct sim_event event;
    void (*on_wake)(void *ctx);
    void *ctx;
};

struct work {
    struct net_link link;
    struct net_loop *loop;
    struct sim_event event;
    void (*job)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void on_due(void *ctx);

static void arm(struct net_loop *loop)
{
    uint64_t next_ms = net_timers_next_ms(&loop->timers);
    if (next_ms == TIME_NEVER) {
        sim_stop(loop->sim, &loop->due);
        return;
    }
    uint64_t at_us = computer_when_us(loop->computer, next_ms * 1000);
    if (!loop->due.slot || loop->due.at_us != at_us)
        sim_at(loop->sim, &loop->due, at_us, loop->computer, on_due, loop);
}

/* With a drift the time of a timer may be a little off: then it waits for the next microsecond. */
static void on_due(void *ctx)
{
    struct net_loop *loop = ctx;
    uint64_t now_ms = net_now_ms(loop);
    if (net_timers_next_ms(&loop->timers) <= now_ms) {
        net_timers_fire(&loop->timers, now_ms);
        arm(loop);
    } else {
        sim_after(loop->sim, &loop->due, 1, loop->computer, on_due, loop);
    }
}

enum cx_err net_loop_open(struct net_loop **ret_loop)
{
    struct net_loop *loop = calloc(1, sizeof *loop);
    cx_assert(loop);
    net_link_init(&loop->ends);
    net_link_init(&loop->dirty);
    net_link_init(&loop->conns);
    net_link_init(&loop->works);
    *ret_loop = loop;
    return CX_OK;
}

void net_loop_bind(struct net_loop *loop, struct computer *computer)
{
    loop->sim = computer->sim;
    loop->computer = computer;
}

static void end_work(void *ctx)
{
    struct work *work = ctx;
    net_link_remove(&work->link);
    sim_stop(work->loop->sim, &work->event);
    work->job(work->ctx);
    work->done(work->ctx);
    free(work);
}

void net_loop_close(struct net_loop *loop)
{
    if (!loop)
        return;
    while (!net_link_is_alone(&loop->works))
        end_work(loop->works.next);
    while (!net_link_is_alone(&loop->conns))
        net_conn_drop(loop->conns.next);
    sim_stop(loop->sim, &loop->due);
    sim_stop(loop->sim, &loop->again);
    net_timers_done(&loop->timers);
    free(loop);
}

static void nothing(void *ctx) { (void)ctx; }

void net_loop_end_turn(struct net_loop *loop)
{
    net_turn_ends_run(&loop->ends);
    net_link_each(&loop->dirty, net_conn_end_turn);
    bool more = !net_link_is_alone(&loop->dirty) || !net_link_is_alone(&loop->ends);
    if (more && !loop->again.slot)
        sim_after(loop->sim, &loop->again, 1, loop->computer, nothing, loop);
}

void net_loop_flush(struct net_loop *loop) { net_link_each(&loop->dirty, net_conn_flush); }

/* Nobody runs a simulated loop: the world's events do. */
void net_loop_run(struct net_loop *loop) { cx_assert(!loop); }

/* Who turns a loop from within is waiting for its own computer: what that would do next is done now, and the others
 * stand still. */
bool net_loop_turn(struct net_loop *loop, bool wait)
{
    struct sim *sim = loop->sim;
    cx_assert(wait && sim->current == loop->computer);
    struct sim_event *event = NULL;
    for (uint32_t i = 1; i <= sim->queue_count && !computer_is_dead(loop->computer); i++) {
        struct sim_event *e = sim->queue[i];
        if (e->computer == loop->computer && e != &loop->due && e != &loop->again &&
            (!event || e->at_us < event->at_us || (e->at_us == event->at_us && e->number < event->number)))
            event = e;
    }
    if (!event)
        return false;
    sim_stop(sim, event);
    event->fire(event->ctx);
    net_turn_ends_run(&loop->ends);
    return true;
}

void net_loop_stop(struct net_loop *loop) { cx_assert(!loop); }

enum cx_err net_loop_signals(struct net_loop *loop, void (*on_signal)(void *ctx, int signal), void *ctx)
{
    (void)loop, (void)on_signal, (void)ctx;
    return CX_OK;
}

uint64_t net_now_ms(const struct net_loop *loop) { return computer_mono_us(loop->computer) / 1000; }

uint64_t net_wall_ms(void) { return clock_wall_ms(); }

void net_random(struct net_loop *loop, void *ret_data, size_t size)
{
    prng_fill(&loop->computer->bytes, ret_data, size);
}

/* ---- timers ---- */

void net_timer_start_at(struct net_loop *loop, struct net_timer *timer, uint64_t at_ms, void (*fire)(void *ctx),
                        void *ctx)
{
    cx_assert(fire);
    timer->fire = fire;
    timer->ctx = ctx;
    timer->loop = loop;
    net_timers_set(&loop->timers, timer, at_ms);
    arm(loop);
}

void net_timer_start(struct net_loop *loop, struct net_timer *timer, uint64_t after_ms, void (*fire)(void *ctx),
                     void *ctx)
{
    net_timer_start_at(loop, timer, u64_add_sat(net_now_ms(loop), after_ms), fire, ctx);
}

void net_timer_soon(struct net_loop *loop, struct net_timer *timer, void (*fire)(void *ctx), void *ctx)
{
    net_timer_start_at(loop, timer, net_now_ms(loop), fire, ctx);
}

void net_timer_stop(struct net_timer *timer)
{
    if (!timer->slot)
        return;
    net_timers_remove(&timer->loop->timers, timer);
    arm(timer->loop);
}

bool net_timer_is_on(const struct net_timer *timer) { return timer->slot != 0; }

void net_at_turn_end(struct net_loop *loop, struct net_turn_end *end, void (*run)(void *ctx), void *ctx)
{
    net_turn_ends_add(&loop->ends, end, run, ctx);
}

/* ---- wakes and jobs ---- */

enum cx_err net_wake_open(struct net_loop *loop, void (*on_wake)(void *ctx), void *ctx, struct net_wake **ret_wake)
{
    struct net_wake *wake = calloc(1, sizeof *wake);
    cx_assert(wake);
    *wake = (struct net_wake){.loop = loop, .on_wake = on_wake, .ctx = ctx};
    *ret_wake = wake;
    return CX_OK;
}

void net_wake_close(struct net_wake *wake)
{
    if (!wake)
        return;
    sim_stop(wake->loop->sim, &wake->event);
    free(wake);
}

static void ring(void *ctx)
{
    struct net_wake *wake = ctx;
    wake->on_wake(wake->ctx);
}

void net_wake_send(struct net_wake *wake)
{
    struct sim *sim = wake->loop->sim;
    uint64_t after_us = 1 + sim_below(sim, SIM_NET, WAKE_US_MAX);
    if (sim->worker_runs) {
        sim->worker_took_us += disk_take_latency_us(wake->loop->computer->disk);
        after_us += sim->worker_took_us;
    }
    uint64_t at_us = sim->now_us + after_us;
    if (!wake->event.slot || wake->event.at_us > at_us)
        sim_at(sim, &wake->event, at_us, wake->loop->computer, ring, wake);
}

enum cx_err net_work(struct net_loop *loop, void (*job)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct work *work = calloc(1, sizeof *work);
    cx_assert(work);
    *work = (struct work){.loop = loop, .job = job, .done = done, .ctx = ctx};
    net_link_init(&work->link);
    net_link_add(&loop->works, &work->link);
    sim_after(loop->sim, &work->event, sim_between(loop->sim, SIM_NET, WORK_US_MIN, WORK_US_MAX), loop->computer,
              end_work, work);
    return CX_OK;
}

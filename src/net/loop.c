#include "net/loop_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/clock.h"
#include "net/turn_end.h"

/* ---- turns ---- */

/* Every connection that has something gets one go; what they gather meanwhile waits for the next turn, so that none can
 * keep the loop from its sockets. */
static void end_turn(struct net_loop *loop)
{
    net_turn_ends_run(&loop->ends);
    net_link_each(&loop->dirty, net_conn_end_turn);
}

void net_loop_flush(struct net_loop *loop) { net_link_each(&loop->dirty, net_conn_flush); }

static void do_nothing(uv_idle_t *idle) { (void)idle; }

static void arm(struct net_loop *loop);
static void fire_due(struct net_loop *loop);

/* The last thing before the loop waits. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct net_loop *loop = prepare->data;
    end_turn(loop);
    uv_update_time(&loop->uv);
    bool due = net_timers_next_ms(&loop->timers) <= uv_now(&loop->uv);
    if (due || !net_link_is_alone(&loop->dirty) || !net_link_is_alone(&loop->ends))
        uv_idle_start(&loop->idle, do_nothing);
    else
        uv_idle_stop(&loop->idle);
    arm(loop);
}

/* The first thing after the sockets: what was due meanwhile. */
static void on_check(uv_check_t *check) { fire_due(check->data); }

enum cx_err net_loop_open(struct net_loop **ret_loop)
{
    struct net_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return cx_fail(CX_MEMORY, "no memory for an event loop");
    int err = uv_loop_init(&loop->uv);
    if (err) {
        free(loop);
        return cx_fail(CX_IO, "event loop: %s", uv_strerror(err));
    }
    /* A peer that went away is an error of one write, not the end of the program. */
    signal(SIGPIPE, SIG_IGN);
    net_link_init(&loop->ends);
    net_link_init(&loop->dirty);
    net_link_init(&loop->conns);
    loop->armed_ms = TIME_NEVER;
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->timer);
    loop->prepare.data = loop->check.data = loop->timer.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&loop->uv, &loop->signal[i]);
        loop->signal[i].data = loop;
        uv_unref((uv_handle_t *)&loop->signal[i]);
    }
    *ret_loop = loop;
    return CX_OK;
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void net_loop_close(struct net_loop *loop)
{
    if (!loop)
        return;
    while (!net_link_is_alone(&loop->conns))
        net_conn_drop(loop->conns.next);
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int err = uv_loop_close(&loop->uv);
    cx_assert(!err);
    SSL_CTX_free(loop->tls);
    net_timers_done(&loop->timers);
    free(loop);
}

void net_loop_run(struct net_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    end_turn(loop);
}

bool net_loop_turn(struct net_loop *loop, bool wait)
{
    bool alive = uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    end_turn(loop);
    arm(loop);  // libuv may have rung behind the last look at our timers
    return alive || loop->timers.count > 0;
}

void net_loop_stop(struct net_loop *loop) { uv_stop(&loop->uv); }

uint64_t net_now_ms(const struct net_loop *loop) { return uv_now(&loop->uv); }

uint64_t net_wall_ms(void) { return clock_wall_ms(); }

void net_random(struct net_loop *loop, void *ret_data, size_t size)
{
    uint8_t *to = ret_data;
    while (size > 0) {
        if (loop->random_left == 0) {
            ssize_t got = getrandom(loop->random, sizeof loop->random, 0);
            cx_assert(got == (ssize_t)sizeof loop->random || (got < 0 && errno == EINTR));
            loop->random_left = got < 0 ? 0 : sizeof loop->random;
            continue;
        }
        size_t take = size < loop->random_left ? size : loop->random_left;
        uint8_t *from = loop->random + loop->random_left - take;
        memcpy(to, from, take);
        memset(from, 0, take);
        loop->random_left -= take;
        to += take;
        size -= take;
    }
}

/* ---- timers ---- */

static void on_timer(uv_timer_t *uv_timer)
{
    struct net_loop *loop = uv_timer->data;
    loop->armed_ms = TIME_NEVER;
}

/* One timer of libuv ends the wait in time for the first of ours; it may ring too early, when what it waited
 * for was stopped. It fires nothing itself: libuv 1.44 would call a timer that starts itself again with no
 * delay for ever. */
static void arm(struct net_loop *loop)
{
    uint64_t first_ms = net_timers_next_ms(&loop->timers);
    if (first_ms == TIME_NEVER && loop->armed_ms != TIME_NEVER) {
        uv_timer_stop(&loop->timer);
        loop->armed_ms = TIME_NEVER;
    } else if (first_ms < loop->armed_ms) {
        uint64_t now_ms = uv_now(&loop->uv);
        uv_timer_start(&loop->timer, on_timer, first_ms > now_ms ? first_ms - now_ms : 0, 0);
        loop->armed_ms = first_ms;
    }
}

static void fire_due(struct net_loop *loop)
{
    net_timers_fire(&loop->timers, uv_now(&loop->uv));
    arm(loop);
}

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
    net_timer_start_at(loop, timer, u64_add_sat(uv_now(&loop->uv), after_ms), fire, ctx);
}

void net_timer_soon(struct net_loop *loop, struct net_timer *timer, void (*fire)(void *ctx), void *ctx)
{
    net_timer_start_at(loop, timer, uv_now(&loop->uv), fire, ctx);
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

/* ---- signals ---- */

static void on_uv_signal(uv_signal_t *handle, int number)
{
    struct net_loop *loop = handle->data;
    if (loop->on_signal)
        loop->on_signal(loop->signal_ctx, number);
}

enum cx_err net_loop_signals(struct net_loop *loop, void (*on_signal)(void *ctx, int signal), void *ctx)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    loop->on_signal = on_signal;
    loop->signal_ctx = ctx;
    for (int i = 0; i < 2; i++) {
        int err =
            on_signal ? uv_signal_start(&loop->signal[i], on_uv_signal, numbers[i]) : uv_signal_stop(&loop->signal[i]);
        if (err)
            return cx_fail(CX_IO, "signal %d: %s", numbers[i], uv_strerror(err));
    }
    return CX_OK;
}

/* ---- wakes and jobs ---- */

struct net_wake {
    uv_async_t async;
    void (*on_wake)(void *ctx);
    void *ctx;
};

static void on_async(uv_async_t *async)
{
    struct net_wake *wake = async->data;
    wake->on_wake(wake->ctx);
}

enum cx_err net_wake_open(struct net_loop *loop, void (*on_wake)(void *ctx), void *ctx, struct net_wake **ret_wake)
{
    struct net_wake *wake = calloc(1, sizeof *wake);
    if (!wake)
        return cx_fail(CX_MEMORY, "no memory for a wake");
    int err = uv_async_init(&loop->uv, &wake->async, on_async);
    if (err) {
        free(wake);
        return cx_fail(CX_IO, "wake: %s", uv_strerror(err));
    }
    wake->async.data = wake;
    wake->on_wake = on_wake;
    wake->ctx = ctx;
    *ret_wake = wake;
    return CX_OK;
}

static void free_wake(uv_handle_t *handle) { free(handle->data); }

void net_wake_close(struct net_wake *wake)
{
    if (wake)
        uv_close((uv_handle_t *)&wake->async, free_wake);
}

void net_wake_send(struct net_wake *wake) { uv_async_send(&wake->async); }

struct work {
    uv_work_t uv;
    void (*job)(void *ctx);
    void (*done)(void *ctx);
    void *ctx;
};

static void run_job(uv_work_t *uv)
{
    struct work *work = uv->data;
    work->job(work->ctx);
}

static void end_job(uv_work_t *uv, int status)
{
    cx_assert(status == 0);  // jobs are never cancelled
    struct work *work = uv->data;
    void (*done)(void *ctx) = work->done;
    void *ctx = work->ctx;
    free(work);
    done(ctx);
}

enum cx_err net_work(struct net_loop *loop, void (*job)(void *ctx), void (*done)(void *ctx), void *ctx)
{
    struct work *work = calloc(1, sizeof *work);
    if (!work)
        return cx_fail(CX_MEMORY, "no memory for a job");
    *work = (struct work){.job = job, .done = done, .ctx = ctx};
    work->uv.data = work;
    int err = uv_queue_work(&loop->uv, &work->uv, run_job, end_job);
    if (err) {
        free(work);
        return cx_fail(CX_IO, "job: %s", uv_strerror(err));
    }
    return CX_OK;
}

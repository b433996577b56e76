#include "net/loop_inside.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"

/* ---- rings ---- */

void net_link_init(struct net_link *link) { link->prev = link->next = link; }

bool net_link_is_alone(const struct net_link *link) { return link->next == link; }

void net_link_add(struct net_link *ring, struct net_link *link)
{
    link->prev = ring->prev;
    link->next = ring;
    ring->prev->next = link;
    ring->prev = link;
}

void net_link_remove(struct net_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    net_link_init(link);
}

/* ---- turns ---- */

/* Every connection that has something gets one go; what they gather meanwhile waits for the next turn,
 * so that none can keep the loop from its sockets. */
static void end_turn(struct net_loop *loop)
{
    struct net_link now;
    net_link_init(&now);
    while (!net_link_is_alone(&loop->dirty)) {
        struct net_link *link = loop->dirty.next;
        net_link_remove(link);
        net_link_add(&now, link);
    }
    while (!net_link_is_alone(&now)) {
        struct net_link *link = now.next;
        net_link_remove(link);
        net_conn_end_turn(link);
    }
}

static void do_nothing(uv_idle_t *idle) { (void)idle; }

static void arm(struct net_loop *loop);
static void fire_due(struct net_loop *loop);

/* The last thing before the loop waits. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct net_loop *loop = prepare->data;
    end_turn(loop);
    uv_update_time(&loop->uv);
    bool due = loop->timer_count > 0 && loop->heap[1]->at_ms <= uv_now(&loop->uv);
    if (due || !net_link_is_alone(&loop->dirty))
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
    free(loop->heap);
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
    return alive || loop->timer_count > 0;
}

void net_loop_stop(struct net_loop *loop) { uv_stop(&loop->uv); }

uint64_t net_now_ms(const struct net_loop *loop) { return uv_now(&loop->uv); }

uint64_t net_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

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

/* ---- timers: a binary heap by time ---- */

static bool is_before(const struct net_timer *a, const struct net_timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void heap_put(struct net_loop *loop, uint32_t slot, struct net_timer *timer)
{
    loop->heap[slot] = timer;
    timer->slot = slot;
}

static void heap_up(struct net_loop *loop, uint32_t slot)
{
    struct net_timer *timer = loop->heap[slot];
    for (; slot > 1 && is_before(timer, loop->heap[slot / 2]); slot /= 2)
        heap_put(loop, slot, loop->heap[slot / 2]);
    heap_put(loop, slot, timer);
}

static void heap_down(struct net_loop *loop, uint32_t slot)
{
    struct net_timer *timer = loop->heap[slot];
    for (;;) {
        uint32_t child = slot * 2;
        if (child > loop->timer_count)
            break;
        if (child < loop->timer_count && is_before(loop->heap[child + 1], loop->heap[child]))
            child++;
        if (is_before(timer, loop->heap[child]))
            break;
        heap_put(loop, slot, loop->heap[child]);
        slot = child;
    }
    heap_put(loop, slot, timer);
}

static void heap_remove(struct net_loop *loop, struct net_timer *timer)
{
    uint32_t slot = timer->slot;
    cx_assert(slot > 0 && slot <= loop->timer_count);
    cx_assert(loop->heap[slot] == timer);
    struct net_timer *last = loop->heap[loop->timer_count--];
    timer->slot = 0;
    if (last == timer)
        return;
    heap_put(loop, slot, last);
    heap_up(loop, slot);
    heap_down(loop, last->slot);
}

static void heap_insert(struct net_loop *loop, struct net_timer *timer)
{
    if (loop->timer_count == loop->timer_cap) {
        uint32_t cap = loop->timer_cap ? loop->timer_cap * 2 : 64;
        struct net_timer **heap = realloc(loop->heap, ((size_t)cap + 1) * sizeof *heap);
        cx_assert(heap);
        loop->heap = heap;
        loop->timer_cap = cap;
    }
    loop->timer_count++;
    heap_put(loop, loop->timer_count, timer);
    heap_up(loop, loop->timer_count);
}

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
    uint64_t first_ms = loop->timer_count > 0 ? loop->heap[1]->at_ms : TIME_NEVER;
    if (first_ms == TIME_NEVER && loop->armed_ms != TIME_NEVER) {
        uv_timer_stop(&loop->timer);
        loop->armed_ms = TIME_NEVER;
    } else if (first_ms < loop->armed_ms) {
        uint64_t now_ms = uv_now(&loop->uv);
        uv_timer_start(&loop->timer, on_timer, first_ms > now_ms ? first_ms - now_ms : 0, 0);
        loop->armed_ms = first_ms;
    }
}

/* As many as there are now: a timer that always starts itself again with no delay gets its turns, but not
 * all of them at once. */
static void fire_due(struct net_loop *loop)
{
    uint64_t now_ms = uv_now(&loop->uv);
    for (uint32_t left = loop->timer_count; left > 0 && loop->timer_count > 0; left--) {
        struct net_timer *timer = loop->heap[1];
        if (timer->at_ms > now_ms)
            break;
        heap_remove(loop, timer);
        timer->fire(timer->ctx);
    }
    arm(loop);
}

void net_timer_start_at(struct net_loop *loop, struct net_timer *timer, uint64_t at_ms, void (*fire)(void *ctx),
                        void *ctx)
{
    cx_assert(fire);
    if (timer->slot)
        heap_remove(loop, timer);
    timer->at_ms = at_ms;
    timer->order = loop->timer_order++;
    timer->fire = fire;
    timer->ctx = ctx;
    timer->loop = loop;
    heap_insert(loop, timer);
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
    heap_remove(timer->loop, timer);
    arm(timer->loop);
}

bool net_timer_is_on(const struct net_timer *timer) { return timer->slot != 0; }

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

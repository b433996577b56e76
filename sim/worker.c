/* worker.h in a simulation: a ring is an event, a little later; what takes time is the disk. */
#include "base/worker.h"

#include <stdlib.h>

#include "base/assert.h"
#include "sim/computer.h"
#include "sim/disk.h"

#define RING_US_MAX 50  // until a thread wakes

struct worker {
    struct computer *computer;
    void (*run)(void *ctx);
    void *ctx;
    struct sim_event rung;
    uint64_t busy_until_us;
};

enum cx_err worker_open(void (*run)(void *ctx), void *ctx, struct worker **ret_worker)
{
    struct sim *sim = sim_world();
    cx_assert(sim && sim->current);
    struct worker *w = calloc(1, sizeof *w);
    cx_assert(w);
    *w = (struct worker){.computer = sim->current, .run = run, .ctx = ctx};
    *ret_worker = w;
    return CX_OK;
}

static void answer(void *ctx)
{
    struct worker *w = ctx;
    struct sim *sim = w->computer->sim;
    disk_take_latency_us(w->computer->disk);
    sim->worker_runs = true;
    sim->worker_took_us = 0;
    w->run(w->ctx);
    sim->worker_runs = false;
    w->busy_until_us = sim->now_us + sim->worker_took_us + disk_take_latency_us(w->computer->disk);
}

void worker_ring(struct worker *worker)
{
    struct sim *sim = worker->computer->sim;
    if (worker->rung.slot)
        return;
    uint64_t at_us = sim->now_us + 1 + sim_below(sim, SIM_NET, RING_US_MAX);
    sim_at(sim, &worker->rung, u64_max(at_us, worker->busy_until_us), worker->computer, answer, worker);
}

void worker_close(struct worker *worker)
{
    if (!worker)
        return;
    bool rung = worker->rung.slot != 0;
    sim_stop(worker->computer->sim, &worker->rung);
    if (rung)
        worker->run(worker->ctx);
    free(worker);
}

void worker_await_init(pthread_cond_t *changed) { pthread_cond_init(changed, NULL); }

/* What workers of this computer were rung for is done now. */
bool worker_await(pthread_cond_t *changed, pthread_mutex_t *lock, uint64_t until_us)
{
    (void)changed, (void)until_us;
    struct computer *computer = sim_world()->current;
    pthread_mutex_unlock(lock);
    bool ran = net_loop_turn(computer->loop, true);
    pthread_mutex_lock(lock);
    return ran;
}

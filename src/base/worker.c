#include "base/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct worker {
    void (*run)(void *ctx);
    void *ctx;
    pthread_t thread;
    pthread_mutex_t lock;  // of what follows
    pthread_cond_t changed;
    bool rung, ending;
};

/* Whether there is another run to make; waits for it. */
static bool wait_for_ring(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    while (!w->rung && !w->ending)
        pthread_cond_wait(&w->changed, &w->lock);
    bool rung = w->rung;
    w->rung = false;
    pthread_mutex_unlock(&w->lock);
    return rung;
}

static void *work(void *ctx)
{
    struct worker *w = ctx;
    while (wait_for_ring(w))
        w->run(w->ctx);
    return NULL;
}

static void done(struct worker *w)
{
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

enum cx_err worker_open(void (*run)(void *ctx), void *ctx, struct worker **ret_worker)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return cx_fail(CX_MEMORY, "no memory for a thread");
    w->run = run;
    w->ctx = ctx;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code) {
        done(w);
        return cx_fail(CX_MEMORY, "a thread: %s", strerror(code));
    }
    *ret_worker = w;
    return CX_OK;
}

void worker_ring(struct worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    worker->rung = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

void worker_close(struct worker *worker)
{
    if (!worker)
        return;
    pthread_mutex_lock(&worker->lock);
    worker->ending = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    int code = pthread_join(worker->thread, NULL);
    cx_assert(code == 0);
    done(worker);
}

/* ---- waiting for them ---- */

void worker_await_init(pthread_cond_t *changed)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool worker_await(pthread_cond_t *changed, pthread_mutex_t *lock, uint64_t until_us)
{
    struct timespec until = {.tv_sec = (time_t)(until_us / 1000000), .tv_nsec = (long)(until_us % 1000000) * 1000};
    return pthread_cond_timedwait(changed, lock, &until) != ETIMEDOUT;
}

/* base/worker.h without threads: what a ring asks for is done at once, or when the run that rang is over. */
#include "base/worker.h"

#include <stdlib.h>

#include "base/assert.h"

struct worker {
    struct worker *next;
    void (*run)(void *ctx);
    void *ctx;
    bool rung;
};

static struct worker *workers;
static bool running;

enum cx_err worker_open(void (*run)(void *ctx), void *ctx, struct worker **ret_worker)
{
    struct worker *w = calloc(1, sizeof *w);
    cx_assert(w);
    *w = (struct worker){.next = workers, .run = run, .ctx = ctx};
    workers = w;
    *ret_worker = w;
    return CX_OK;
}

static struct worker *find_rung(void)
{
    for (struct worker *w = workers; w; w = w->next)
        if (w->rung)
            return w;
    return NULL;
}

void worker_ring(struct worker *worker)
{
    worker->rung = true;
    if (running)
        return;
    running = true;
    for (struct worker *w; (w = find_rung());) {
        w->rung = false;
        w->run(w->ctx);
    }
    running = false;
}

void worker_close(struct worker *worker)
{
    if (!worker)
        return;
    struct worker **at = &workers;
    while (*at != worker)
        at = &(*at)->next;
    *at = worker->next;
    free(worker);
}

void worker_await_init(pthread_cond_t *changed) { pthread_cond_init(changed, NULL); }

/* What could change something has been done. */
bool worker_await(pthread_cond_t *changed, pthread_mutex_t *lock, uint64_t until_us)
{
    (void)changed;
    (void)lock;
    (void)until_us;
    return false;
}

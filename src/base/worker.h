/* worker.h - a thread of its own for one job that is done over and over: whenever its bell was rung.
 *
 *      worker_open -> (worker_ring -> run(ctx) on the worker's thread) … -> worker_close
 *
 * What is to be done lies with the owner, behind the owner's lock; the bell says only that there is something. Several
 * rings may come as one run, and a ring during a run brings another run. A simulation answers here with an event.
 */
#ifndef CORTEN_BASE_WORKER_H
#define CORTEN_BASE_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct worker;

/* `run` is called on that thread only, never twice at a time. Signals are left to other threads. */
enum cx_err worker_open(void (*run)(void *ctx), void *ctx, struct worker **ret_worker);
void worker_ring(struct worker *worker);  // from any thread
/* Ends the thread; rings that came before are answered first. Takes NULL. */
void worker_close(struct worker *worker);

/* For a thread that has nothing better to do than to wait for what workers do: as pthread_cond_timedwait, `lock` being
 * held, for a condition that worker_await_init made. False: not within clock_mono_us() < until_us. */
void worker_await_init(pthread_cond_t *changed);
bool worker_await(pthread_cond_t *changed, pthread_mutex_t *lock, uint64_t until_us);

#endif

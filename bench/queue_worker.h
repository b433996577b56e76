/* queue_worker.h - one end of a miner link that works as fast as a program can: it answers every offer at once, with an
 * ack, a precommit and a reveal that are right, and has no engine.
 *
 * What bench/queue measures is the queue; the workers of the other systems do no more. A node must have joined and
 * passed its round before, as a whole miner, under the same key.
 */
#ifndef CORTEN_BENCH_QUEUE_WORKER_H
#define CORTEN_BENCH_QUEUE_WORKER_H

#include "crypto/key.h"
#include "net/loop.h"

struct queue_worker;

/* key: lent, as is url. */
struct queue_worker *queue_worker_open(struct net_loop *loop, const char *url, const struct key *key);
bool queue_worker_is_up(const struct queue_worker *worker);
void queue_worker_close(struct queue_worker *worker);  // takes NULL

#endif

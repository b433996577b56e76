/* queue_corten.h - Corten as a queue: a router as it is shipped, clients on /api/v1/ws, and nodes that are whole miners
 * with an engine that answers at once. */
#ifndef CORTEN_BENCH_QUEUE_CORTEN_H
#define CORTEN_BENCH_QUEUE_CORTEN_H

#include "queue.h"

void queue_corten(const struct queue_wish *wish, struct queue_result *ret_result);

#endif

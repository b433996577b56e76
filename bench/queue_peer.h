/* queue_peer.h - the other queues: one blocking connection a client, on a thread of its own, as their users have it. */
#ifndef CORTEN_BENCH_QUEUE_PEER_H
#define CORTEN_BENCH_QUEUE_PEER_H

#include "queue.h"
#include "server.h"

struct peer {
    /* Starts the server in wish->folder and makes it empty. False: `why` of the result says what is missing. */
    bool (*start)(const struct queue_wish *wish, struct server *server, struct queue_result *result);
    void *(*connect)(const struct server *server, uint32_t client, uint32_t depth);
    /* As many whole life cycles as depth, each step answered before the next. */
    void (*cycle)(void *connection);
    void (*close)(void *connection);
};

void queue_peer(const struct peer *peer, const struct queue_wish *wish, struct queue_result *ret_result);

void queue_redis(const struct queue_wish *wish, struct queue_result *ret_result);
void queue_beanstalkd(const struct queue_wish *wish, struct queue_result *ret_result);
void queue_postgres(const struct queue_wish *wish, struct queue_result *ret_result);

#endif

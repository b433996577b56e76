#include "queue_peer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#define WARM_SHARE 0.2  // of the time, before anything is counted

struct shared {
    const struct peer *peer;
    const struct queue_wish *wish;
    const struct server *server;
    atomic_bool counting, over;
};
struct client {
    struct shared *shared;
    pthread_t thread;
    uint32_t n;
    uint64_t done;
    struct spread spread;
};

static void *work(void *ctx)
{
    struct client *client = ctx;
    struct shared *shared = client->shared;
    uint32_t depth = shared->wish->depth;
    void *connection = shared->peer->connect(shared->server, client->n, depth);
    while (!atomic_load(&shared->over)) {
        uint64_t began = wall_ns();
        shared->peer->cycle(connection);
        if (!atomic_load(&shared->counting))
            continue;
        client->done += depth;
        spread_add(&client->spread, wall_ns() - began);
    }
    shared->peer->close(connection);
    return NULL;
}

static void wait_for(double seconds)
{
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left))
        ;
}

static void measure(struct shared *shared, struct client *client, struct queue_result *ret_result)
{
    const struct queue_wish *wish = shared->wish;
    for (uint32_t i = 0; i < wish->clients; i++) {
        client[i].shared = shared;
        client[i].n = i;
        BENCH_MUST(pthread_create(&client[i].thread, NULL, work, &client[i]) == 0);
    }
    wait_for(WARM_SHARE * wish->seconds);
    double server = server_cpu(shared->server);
    uint64_t began = wall_ns(), cpu = process_ns(), done = 0;
    atomic_store(&shared->counting, true);
    wait_for(wish->seconds);
    atomic_store(&shared->counting, false);
    double seconds = (double)(wall_ns() - began) / 1e9;
    ret_result->server_cpu = (server_cpu(shared->server) - server) / seconds;
    ret_result->client_cpu = (double)(process_ns() - cpu) / 1e9 / seconds;
    atomic_store(&shared->over, true);
    struct spread *all = bench_take(1, sizeof *all);
    for (uint32_t i = 0; i < wish->clients; i++) {
        pthread_join(client[i].thread, NULL);
        done += client[i].done;
        spread_merge(all, &client[i].spread);
    }
    ret_result->per_s = (double)done / seconds;
    ret_result->p50_ms = (double)spread_at(all, 0.5) / 1e6;
    ret_result->p99_ms = (double)spread_at(all, 0.99) / 1e6;
    ret_result->ran = true;
    free(all);
}

void queue_peer(const struct peer *peer, const struct queue_wish *wish, struct queue_result *ret_result)
{
    struct server server = {0};
    if (!peer->start(wish, &server, ret_result))
        return;
    struct shared shared = {.peer = peer, .wish = wish, .server = &server};
    struct client *client = bench_take(wish->clients, sizeof *client);
    measure(&shared, client, ret_result);
    free(client);
    server_stop(&server);
}

/* queue - complete durable task life cycles through the router's own sockets, and through what people use instead. */
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>

#include "queue_corten.h"

int main(int argc, char **argv)
{
    const struct bench_options options = bench_options(argc, argv, "queue", 5);
    static const uint32_t shape[][2] = {{1, 1}, {16, 1}, {64, 1}, {16, 32}};
    for (size_t i = 0; i < ARRAY_COUNT(shape); i++)
        for (int s = 0; s < 2; s++) {
            char folder[] = "/var/tmp/corten-bench-XXXXXX";
            BENCH_MUST(mkdtemp(folder));
            const struct queue_wish wish = {.clients = shape[i][0],
                                            .depth = shape[i][1],
                                            .is_signed = s,
                                            .seconds = options.seconds,
                                            .folder = folder};
            struct queue_result r = {0};
            queue_corten(&wish, &r);
            printf("corten c=%u d=%u signed=%d %8.0f/s p50 %.2f p99 %.2f ms server-cpu %.2f client-cpu %.2f\n",
                   wish.clients, wish.depth, s, r.per_s, r.p50_ms, r.p99_ms, r.server_cpu, r.client_cpu);
            fflush(stdout);
        }
    return 0;
}

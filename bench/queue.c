/* queue - complete durable task life cycles through the router's own sockets, and through what people use instead, side
 * by side in one run. Each server is started for its measurement alone, on loopback, in a folder of its own. */
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_corten.h"
#include "queue_peer.h"

#define SECONDS_DEFAULT 5

/* Waits for the disk, one after the other, from submit to end. */
struct contender {
    const char *name, *key;
    void (*run)(const struct queue_wish *wish, struct queue_result *ret_result);
    bool is_signed;
    int waits;
};
static const struct contender systems[] = {
    {"corten", "corten", queue_corten, false, 2},
    {"corten, signed", "corten_signed", queue_corten, true, 2},
    {"redis, guarded", "redis", queue_redis, false, 5},
    {"beanstalkd (3 ops)", "beanstalkd", queue_beanstalkd, false, 2},
    {"postgresql", "postgres", queue_postgres, false, 5},
};

static struct queue_result measure(const struct contender *which, const uint32_t shape[2], double seconds)
{
    struct queue_result result = {0};
    char folder[] = "/var/tmp/corten-bench-XXXXXX", command[128];
    BENCH_MUST(mkdtemp(folder));
    const struct queue_wish wish = {
        .clients = shape[0], .depth = shape[1], .is_signed = which->is_signed, .seconds = seconds, .folder = folder};
    which->run(&wish, &result);
    if (!result.ran) {
        printf("%-20s %3u x %-3u  %s\n", which->name, shape[0], shape[1], result.why);
        return result;
    }
    printf("%-20s %3u x %-3u %9.0f/s  p50 %8.2f ms  p99 %8.2f ms  CPU server %.2f clients %.2f  durable waits %d\n",
           which->name, shape[0], shape[1], result.per_s, result.p50_ms, result.p99_ms, result.server_cpu,
           result.client_cpu, which->waits);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    BENCH_MUST(system(command) == 0);
    return result;
}

/* What was asked for; all where nothing was. */
struct wanted {
    const char *system;
    uint32_t clients, depth;
};

static bool want(void *ctx, const char *name, const char *value)
{
    struct wanted *wanted = ctx;
    if (strcmp(name, "--only") == 0) {
        for (size_t s = 0; s < ARRAY_COUNT(systems); s++)
            if (strcmp(value, systems[s].key) == 0)
                wanted->system = systems[s].key;
        return wanted->system != NULL;
    }
    return strcmp(name, "--shape") == 0 && sscanf(value, "%ux%u", &wanted->clients, &wanted->depth) == 2 &&
           wanted->clients > 0 && wanted->clients <= QUEUE_CLIENTS_MAX && wanted->depth > 0 &&
           wanted->depth <= QUEUE_DEPTH_MAX;
}

static void print_json(const uint32_t shapes[][2], size_t count, struct queue_result results[][ARRAY_COUNT(systems)])
{
    printf("{\"runs\":[");
    for (size_t i = 0; i < count; i++) {
        printf("%s{\"clients\":%u,\"depth\":%u", i ? "," : "", shapes[i][0], shapes[i][1]);
        for (size_t s = 0; s < ARRAY_COUNT(systems); s++) {
            const struct queue_result *r = &results[i][s];
            if (r->ran)
                printf(",\"%s\":%.0f,\"%s_p50_ms\":%.3f,\"%s_p99_ms\":%.3f", systems[s].key, r->per_s, systems[s].key,
                       r->p50_ms, systems[s].key, r->p99_ms);
            else
                printf(",\"%s\":null", systems[s].key);
        }
        printf(",\"p50_ms\":%.3f,\"p99_ms\":%.3f}", results[i][0].p50_ms, results[i][0].p99_ms);
    }
    printf("]}\n");
}

int main(int argc, char **argv)
{
    static const char usage[] = "queue [--json] [--seconds N] [--only corten|corten_signed|redis|beanstalkd|postgres]"
                                " [--shape CLIENTSxDEPTH]";
    static const uint32_t all[][2] = {{1, 1}, {16, 1}, {64, 1}, {16, 32}};
    struct wanted wanted = {0};
    const struct bench_options options = bench_options_with(argc, argv, usage, SECONDS_DEFAULT, want, &wanted);
    const uint32_t one[1][2] = {{wanted.clients, wanted.depth}};
    const uint32_t(*shapes)[2] = wanted.clients ? one : all;
    size_t count = wanted.clients ? 1 : ARRAY_COUNT(all);
    struct queue_result results[ARRAY_COUNT(all)][ARRAY_COUNT(systems)] = {0};
    for (size_t i = 0; i < count; i++)
        for (size_t s = 0; s < ARRAY_COUNT(systems); s++) {
            if (wanted.system && wanted.system != systems[s].key)
                continue;
            results[i][s] = measure(&systems[s], shapes[i], options.seconds);
            fflush(stdout);
        }
    if (options.json)
        print_json(shapes, count, results);
    return 0;
}

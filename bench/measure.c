#include "measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/pages.h"

_Noreturn void bench_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: this benchmark does not measure what it says: %s is not so\n", file, line, what);
    exit(1);
}

static bool read_seconds(const char *text, double *ret_seconds)
{
    char *end;
    *ret_seconds = strtod(text, &end);
    return *text && *end == 0 && isfinite(*ret_seconds) && *ret_seconds > 0;
}

struct bench_options bench_options_with(int argc, char **argv, const char *usage, double seconds,
                                        bool (*own)(void *ctx, const char *name, const char *value), void *ctx)
{
    struct bench_options o = {.seconds = seconds};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            o.json = true;
            continue;
        }
        const char *name = argv[i], *value = i + 1 < argc ? argv[++i] : "";
        if (strcmp(name, "--seconds") == 0 && read_seconds(value, &o.seconds))
            continue;
        if (own && own(ctx, name, value))
            continue;
        fprintf(stderr, "usage: %s\n", usage);
        exit(2);
    }
    return o;
}

struct bench_options bench_options(int argc, char **argv, const char *name, double seconds)
{
    char usage[128];
    snprintf(usage, sizeof usage, "%s [--json] [--seconds N]", name);
    return bench_options_with(argc, argv, usage, seconds, NULL, NULL);
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t wall_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t thread_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }
uint64_t process_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

/* Values below SPREAD_STEPS have a place each; above, the six bits below the highest choose it. */
static uint32_t place_of(uint64_t value)
{
    if (value < SPREAD_STEPS)
        return (uint32_t)value;
    uint32_t top = 63 - (uint32_t)__builtin_clzll(value);
    return (top - 5) * SPREAD_STEPS + (uint32_t)(value >> (top - 6) & (SPREAD_STEPS - 1));
}

static uint64_t value_at(uint32_t place)
{
    uint32_t step = place / SPREAD_STEPS;
    return step == 0 ? place : (uint64_t)(SPREAD_STEPS + place % SPREAD_STEPS) << (step - 1);
}

void spread_add(struct spread *spread, uint64_t value)
{
    spread->in[place_of(value)]++;
    spread->count++;
    spread->sum += value;
}

void spread_merge(struct spread *into, const struct spread *spread)
{
    into->count += spread->count;
    into->sum += spread->sum;
    for (size_t i = 0; i < ARRAY_COUNT(into->in); i++)
        into->in[i] += spread->in[i];
}

uint64_t spread_at(const struct spread *spread, double share)
{
    double below = share * (double)spread->count;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(spread->in); i++) {
        seen += spread->in[i];
        if (seen > 0 && (double)seen >= below)
            return value_at(i);
    }
    return 0;
}

void *bench_take(size_t count, size_t size)
{
    void *at = calloc(count, size);
    BENCH_MUST(at);
    return at;
}

void *bench_take_pages(size_t size)
{
    void *at = pages_take(size);
    BENCH_MUST(at);
    return at;
}

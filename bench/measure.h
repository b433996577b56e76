/* measure.h - what all programs of bench/ share: arguments, clocks, and where the fast and the slow ones lie. */
#ifndef CORTEN_BENCH_MEASURE_H
#define CORTEN_BENCH_MEASURE_H

#include "base/types.h"

struct bench_options {
    double seconds;  // each measurement takes at least this long
    bool json;       // one object last
};

/* --json, --seconds N. Ends the program with a usage line on anything else. */
struct bench_options bench_options(int argc, char **argv, const char *name, double seconds);
/* The same where a program has options of its own, each followed by a value: `own` is asked for these, and says whether
 * it took them; `usage` names them. */
struct bench_options bench_options_with(int argc, char **argv, const char *usage, double seconds,
                                        bool (*own)(void *ctx, const char *name, const char *value), void *ctx);
/* Ends the program where a benchmark did not do what it claims to measure. */
_Noreturn void bench_failed(const char *file, int line, const char *what);
#define BENCH_MUST(what) ((what) ? (void)0 : bench_failed(__FILE__, __LINE__, #what))

uint64_t wall_ns(void);
uint64_t thread_ns(void);   // CPU time of this thread
uint64_t process_ns(void);  // CPU time of all threads

/* A histogram with 64 steps in each power of two: it is wrong by less than 2 %. */
#define SPREAD_STEPS 64
struct spread {
    uint64_t count, sum;
    uint64_t in[64 * SPREAD_STEPS];
};
void spread_add(struct spread *spread, uint64_t value);
void spread_merge(struct spread *into, const struct spread *spread);
/* The value that this share of all lie below; 0 where there are none. */
uint64_t spread_at(const struct spread *spread, double share);

/* malloc and aligned_alloc that end the program where there is no memory. The latter in huge pages where there are. */
void *bench_take(size_t count, size_t size);
void *bench_take_pages(size_t size);

#endif

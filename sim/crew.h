/* crew.h - seeds run in child processes, so that an assertion that ends one is a failure of its seed and no more, and
 * so that several run at once.
 *
 * Child j of n has the seeds first + j, first + j + n, …. Reports are added in a way that knows no order.
 */
#ifndef CORTEN_SIM_CREW_H
#define CORTEN_SIM_CREW_H

#include "sim/report.h"

#define CREW_MAX 64

struct crew_options {
    uint64_t first, last;
    double seconds;  // no new seed after so long; 0: all of them
    uint32_t jobs;   // 1..CREW_MAX
    void (*run)(void *ctx, uint64_t seed, struct report *all);
    void *ctx;
};

/* Returns when all are done; adds to `all`, and gives what they took on a core. */
void crew_run(const struct crew_options *options, struct report *all, double *ret_cpu_s);

#endif

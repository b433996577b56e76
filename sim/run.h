/* run.h - one seed from its swarm to its report.
 *
 *      founding -> phase one: faults -> healing -> phase two: every prompt has its outcome, in time -> the last look
 *
 * Source: docs/simulation.md.
 */
#ifndef CORTEN_SIM_RUN_H
#define CORTEN_SIM_RUN_H

#include "sim/report.h"
#include "sim/swarm.h"

struct run_options {
    bool trace;           // print what happens
    const char *save;     // the folder for traces of what fails; NULL: none
    struct check *check;  // gets what failed; NULL: nobody asks
};

/* Once a process: simulated files and random bytes. */
void run_prepare(void);
/* Gives whether all checkers held; adds to `ret_report`, which starts all zero, and what is to be said of the seed to
 * `out`. */
bool run_swarm(const struct swarm *swarm, const struct run_options *options, struct report *ret_report,
               struct buf *out);

#endif

/* found.h - what to do with a history that fails: shrink it, and keep it as a trace.
 *
 * While a seed runs its entries are recorded, each once and in order. When a checker of the core alone has failed, or
 * an assertion of the core has, the entries fail without the network around them: then the shortest list of them that
 * still fails becomes tests/traces/found_CHECKER_SEED.trace. What needs the network is repeated by its seed alone.
 */
#ifndef CORTEN_SIM_FOUND_H
#define CORTEN_SIM_FOUND_H

#include "sim/history.h"
#include "sim/observe.h"

struct found {
    struct sim_observer observer;
    struct history history;
    uint64_t seen_seq;
};

/* Records from now on. */
void found_begin(struct found *found, struct sim *sim);
/* Shrinks and saves in `folder` what was recorded; says in `out` where, or that it does not fail by itself. */
void found_save(struct found *found, uint64_t seed, const char *folder, struct buf *out);
void found_done(struct found *found);

#endif

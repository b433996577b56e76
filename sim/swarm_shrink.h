/* swarm_shrink.h - a seed that fails, with as little around it as it needs.
 *
 * What only roles show (streams, HTTP, disks) cannot be shrunk to a list of entries: it needs the network around them.
 * Here the swarm is made smaller instead: no cheats, no faults of a kind, fewer miners, clients and prompts, as long as
 * the same checker fails. What is left is said as --set flags, which repeat it.
 *
 * Source: docs/simulation.md, "Shrinking".
 */
#ifndef CORTEN_SIM_SWARM_SHRINK_H
#define CORTEN_SIM_SWARM_SHRINK_H

#include "base/buf.h"
#include "sim/check.h"
#include "sim/swarm.h"

/* Sets one of what swarm_print shows, by that name. False: nothing is called so, or the value is none for it. */
bool swarm_set(struct swarm *swarm, const char *name, uint64_t value);

/* Each trial is a child process. False: the swarm does not fail. ret_check: what fails in the smaller one. */
bool swarm_shrink(const struct swarm *from, struct swarm *ret_small, struct check *ret_check, uint32_t *ret_trials);
/* " --set miners=1 --set tasks=2": in what `small` differs from `from`. */
void swarm_print_set(const struct swarm *from, const struct swarm *small, struct buf *out);

#endif

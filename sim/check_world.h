/* check_world.h - the checkers of a whole network: they follow its ledger with a core of their own, and hold what
 * routers, disks and clients say against it.
 *
 *      router applies an entry  -> observer -> shadow core, books of check_core.h, record of tasks
 *      router opens again       -> everything that was applied before is there, and says the same
 *      client is told something -> it is what the ledger says, and was there when it was said
 *
 * One ledger a world. The shadow gets each entry from whichever router applies it first; the others must agree.
 *
 * Files:  check_world.c (shadow, replicas, replay), check_record.c (what became of each task), check_told.c (clients),
 *         check_nodes.c (who was condemned or cut off).
 * Source: docs/simulation.md, "Checkers".
 */
#ifndef CORTEN_SIM_CHECK_WORLD_H
#define CORTEN_SIM_CHECK_WORLD_H

#include "sim/check_core.h"
#include "sim/observe.h"

/* Begins to look; before the roles open. Its memory is the checks'. */
struct checks *checks_open(struct sim *sim);
void checks_close(struct checks *checks);

/* Over all seeds of a run: how many audits the honest had, and how many of the honest were condemned. False: more than
 * DESIGN 15.8 allows (1 in 1,000 for 10,000 audits), unless by a chance of less than one in a million. */
bool check_honest_bound(uint64_t audits, uint64_t condemned);

#endif

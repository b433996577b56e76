/* trouble.h - what befalls computers: crashes, partitions, clocks that jump, connections that break. The swarm says how
 * often; the stream SIM_FAULTS says when and whom.
 */
#ifndef CORTEN_SIM_TROUBLE_H
#define CORTEN_SIM_TROUBLE_H

#include "sim/sim.h"

struct trouble;

/* Before anything runs: how the network and the disks are even without faults. */
void trouble_prepare(struct sim *sim);
struct trouble *trouble_begin(struct sim *sim);
/* Everything is right again: all computers run, hear each other, and their disks work. Takes NULL. */
void trouble_heal(struct trouble *trouble);
void trouble_close(struct trouble *trouble);

#endif

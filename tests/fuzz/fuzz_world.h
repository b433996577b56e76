/* fuzz_world.h - a small network of the core, opened once and put back before each input, for several targets. */
#ifndef CORTEN_TESTS_FUZZ_WORLD_H
#define CORTEN_TESTS_FUZZ_WORLD_H

#include "lib/network.h"
#include "router/replica.h"

/* The world as it was opened: two oracles and routers, three nodes that serve, an open session with a task, a shared
 * one, and a task that has ended. Tables that are soon full. */
struct network *world_reset(void);
/* Memory for a second core of this world. */
struct core *world_second(void);
/* Tells a listener what happened from the first entry to the last, as a replica does. */
void world_tell(const struct replica_listener *listener);

#endif

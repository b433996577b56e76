/* client.h - clients on computers of their own: they ask over HTTP, and remember what they were told. */
#ifndef CORTEN_SIM_CLIENT_H
#define CORTEN_SIM_CLIENT_H

#include "sim/sim.h"

/* Starts asking: swarm.tasks prompts, all together. */
struct clients *clients_open(struct sim *sim);
void clients_close(struct clients *clients);
/* Every prompt has got its outcome. */
bool clients_are_done(const struct clients *clients);
/* How many prompts were answered, and how many ended otherwise. */
uint32_t clients_answered(const struct clients *clients);
uint32_t clients_refused(const struct clients *clients);
/* Who waits, for a failure's words. */
void clients_explain(const struct clients *clients, struct buf *out);

#endif

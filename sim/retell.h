/* retell.h - a history told again with parts of it left out, so that what is left still means what it meant.
 *
 *      task_submit -> task 5 ... task_offered lease 0x3000001 ... task_ack lease=0x3000001
 *      without what came before:  task 1 ...  lease 0x1000001 ...  task_ack lease=0x1000001
 *
 * Entries name things that earlier entries brought about: tasks, leases, rounds, audits, values of an oracle's chain.
 * Without some of these entries the things get other names. A retelling knows what each name stood for, and puts the
 * present name in its place; precommits and records, which are about a lease, are made anew where they were honest.
 */
#ifndef CORTEN_SIM_RETELL_H
#define CORTEN_SIM_RETELL_H

#include "sim/history.h"

struct retelling;

/* Applies the base up to its last entry (not that one: it may be the one that fails) to learn what its names mean. */
struct retelling *retelling_open(const struct history *base);
void retelling_close(struct retelling *r);
/* Who hears each entry as it is told now: before it is applied, and after. */
struct retell_ear {
    void (*before)(void *ctx, const struct history_entry *entry);
    void (*after)(void *ctx, const struct history_entry *entry);
    void *ctx;
};
/* Tells those entries that are kept (all: NULL) on a stage that is fresh, until its checkers fail. */
void retell(struct retelling *r, const bool *kept, struct stage *stage, const struct retell_ear *ear);

#endif

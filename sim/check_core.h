/* check_core.h - the checkers that need no more than a ledger and a core: an independent record of history.
 *
 *      core_apply(entry)  ->  check_core_entry(entry, verdict, events, core)
 *
 * They keep books of their own, written from docs/protocol.md and moved by entries and events alone: who is in which
 * state, who holds which lease and why, what every account has. A bug in the core shows where its events break a rule
 * of these books, or where what it shows differs from them.
 *
 * All of their state lies in one block of memory and points only into itself, so that whoever tries many histories can
 * copy it away and back to the same address, as with the core's.
 *
 * Cost: O(events) an entry; check_core_whole is O(state).
 */
#ifndef CORTEN_SIM_CHECK_CORE_H
#define CORTEN_SIM_CHECK_CORE_H

#include "core/core.h"
#include "core/view.h"
#include "sim/check.h"

struct check_core;

/* One entry and what followed from it. */
struct check_entry {
    uint64_t seq;
    struct span bytes;
    const struct command *cmd;  // with its author, time and signers; NULL: it did not decode
    enum verdict verdict;
    const struct event_list *events;
};

/* For a network with this genesis; 0 where it is not well-formed. */
size_t check_core_size(const struct cmd_genesis *genesis);
/* Into `memory` (16-byte aligned); NULL where it does not suffice. */
struct check_core *check_core_open(void *memory, size_t size, const struct cmd_genesis *genesis);

/* Behind core_apply of each entry from the first one on, with the core as it is then. `cmd`'s time and author are set
 * in any case. False: a checker failed, and `check` says which. */
bool check_core_entry(struct check_core *c, const struct check_entry *entry, const struct core *core,
                      struct check *check);
/* Compares all books with all that the core shows, and lets the core check itself. At any time between entries. */
bool check_core_whole(struct check_core *c, const struct core *core, struct check *check);

#endif

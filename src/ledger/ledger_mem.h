/* ledger_mem.h - for tests and simulation: a ledger in memory that fails when it is told to.
 *
 * Batches are on it as soon as they are appended; only the news of it (`done`, and what followers see) waits for
 * ledger_poll. `mem:NAME` lives as long as a handle of it is open, and its handles may be on several threads.
 */
#ifndef CORTEN_LEDGER_LEDGER_MEM_H
#define CORTEN_LEDGER_LEDGER_MEM_H

#include "ledger/ledger.h"

enum mem_fault {
    MEM_FAULT_NONE,
    MEM_FAULT_LOST,     // the batch is not appended, and the outcome is UNKNOWN
    MEM_FAULT_UNHEARD,  // the batch is appended, and the outcome is UNKNOWN
    MEM_FAULT_DISK,     // the batch is not appended, and the ledger stops with IO
};

/* What happens to the next append of this handle. It must be a `mem:` ledger. */
void ledger_mem_fault(struct ledger *ledger, enum mem_fault fault);
/* From now on appends of this handle wait, or (false) those that waited happen, in order. */
void ledger_mem_hold(struct ledger *ledger, bool hold);
/* The stored header and body of a batch, the first being 0, to be damaged. NULL: there is none. */
struct ledger_batch *ledger_mem_row(struct ledger *ledger, uint64_t index);

#endif

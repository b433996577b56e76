/* history.h - ledger entries apart from any ledger, and a core with its checkers that they are applied to.
 *
 * For those who try many histories: the exhaustive small worlds, and the shrinker. Signatures are *played*: of the 65
 * bytes the first 20 are the signer's address, so that an entry says by itself who signed it and nobody needs a key.
 * Entries of a real ledger, whose signers were recovered, are played anew by history_add.
 */
#ifndef CORTEN_SIM_HISTORY_H
#define CORTEN_SIM_HISTORY_H

#include "sim/check_core.h"

struct history_entry {
    uint64_t time_ms;
    struct address author;
    uint32_t size;
    bool batch_end;
    uint8_t *bytes;
};
struct history {
    struct history_entry *entry;  // the first is the genesis
    uint32_t count, cap;
};

/* Adds a command as it stands: its time, author and signers. */
void history_add(struct history *history, const struct command *cmd);
/* Adds an entry that need be no command. */
void history_add_bytes(struct history *history, uint64_t time_ms, const struct address *author, struct span bytes);
/* Of an entry of a real ledger: `cmd` as entry_decode gave it, NULL where it did not decode. */
void history_add_real(struct history *history, const struct command *cmd, uint64_t time_ms,
                      const struct address *author, struct span bytes);
/* Forgets the entries from `count` on. */
void history_cut(struct history *history, uint32_t count);
void history_done(struct history *history);
/* The entry as a command, with time, author and signers; spans point into its bytes. False: it is none. */
bool history_decode(const struct history_entry *entry, struct command *ret_cmd);

/* A core and the checkers' books over it, in one block of memory. */
struct stage {
    uint8_t *memory;
    size_t size;
    struct core *core;
    struct check_core *books;  // NULL: no checkers
    struct check *check;
    struct event_list out;  // of the last entry
};

/* NULL check: without checkers. False: no network can begin so. */
bool stage_open(struct stage *stage, const struct cmd_genesis *genesis, struct check *check);
void stage_close(struct stage *stage);
/* Applies the entry; what the checkers say of it is in stage->check. */
enum verdict stage_apply(struct stage *stage, const struct history_entry *entry);
/* Makes `copy`, which was opened with the same genesis, what is read from a snapshot of `stage`; between batches.
 * False: it is not read back. */
bool stage_copy(struct stage *copy, const struct cmd_genesis *genesis, const struct stage *stage);
/* Tells what would be the same in any history that leads to the same state: all tables and core time, but neither the
 * number of entries nor their digest. */
void stage_state(const struct stage *stage, struct hash *ret_state);
/* Lets time pass with nothing but ticks of this router: every task and audit ends by its deadline, and nothing stays
 * reserved for it. False: PROGRESS fails, or another checker meanwhile. Moves the core. */
bool stage_rests(struct stage *stage, const struct address *router);
/* A copy of everything, to come back to; `memory` has stage->size bytes. */
void stage_save(const struct stage *stage, void *memory);
void stage_load(struct stage *stage, const void *memory);

#endif

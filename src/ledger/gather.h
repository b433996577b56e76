/* gather.h - natural group commit: what arrives while batches are being made durable is the next batch.
 *
 *      loop turn:    gather_submit, gather_submit, ...      each with its waiter
 *      its end:      gather_poll        sends the batch
 *      on wake:      gather_poll        done -> sends the next batch; follower -> core_apply -> gather_applied
 *      waiter:       is called by gather_applied for its own entry, when that is durable and applied
 *
 * There is no timer. A batch goes out at the first poll at which fewer than ledger_appends_max are under way, or when
 * one more comes than GATHER_SEND_AT entries: the ledger writes the first ones of a long turn while the rest is read. A
 * waiter is called exactly once: with OK and the entry's position from within gather_applied, so that the applier's
 * last verdict is this entry's; or with the error for which its entry may not be on the ledger.
 *
 * Belongs to the ledger handle's thread, and does all its appending.
 */
#ifndef CORTEN_LEDGER_GATHER_H
#define CORTEN_LEDGER_GATHER_H

#include "ledger/ledger.h"

#define GATHER_BATCHES_MAX 64   // waiting or under way; beyond: BUSY
#define GATHER_SEND_AT     128  // entries that do not wait for a poll

/* OK: on the ledger at seq, and applied. FENCED, IO, CORRUPT: the ledger stopped before the entry was applied; it
 * may be on the ledger all the same. CANCELLED: gather_close. cx_detail() has the words. */
typedef void gather_waiter(void *ctx, enum cx_err err, uint64_t seq);

struct gather;

/* The ledger must be open for writing, stays the caller's, and outlives the gatherer. */
enum cx_err gather_open(struct ledger *ledger, const struct address *router, struct gather **ret_gather);
/* Calls the waiters left with CANCELLED. After it the ledger must not be polled any more: close it. */
void gather_close(struct gather *gather);
CX_CLOSER(gather)

/* Command and blobs stay the caller's, unchanged, until the waiter is called; where it is NULL, until gather_close.
 * TOO_LARGE, INVALID: outside the ledger's limits. BUSY: the ledger is behind; try again later. FENCED, IO, CORRUPT:
 * the ledger has stopped. */
enum cx_err gather_submit(struct gather *gather, struct span command, const struct ledger_blob *blob,
                          uint32_t blob_count, gather_waiter *waiter, void *ctx);

/* ledger_poll, then sends what has gathered. Call it on the ledger's wake, and once after the last gather_submit of a
 * turn. Returns what stopped the ledger, for good; CX_OK otherwise. */
enum cx_err gather_poll(struct gather *gather);

/* The applier has applied entry `seq` of this batch, which ledger_follow handed out: calls its waiter, if it is ours.
 * Entries of a batch come in order. */
void gather_applied(struct gather *gather, const struct ledger_batch *batch, uint64_t seq);

struct gather_stats {
    uint64_t entries, batches;  // appended and seen on the ledger
    uint32_t waiting;           // entries not yet seen there
    uint32_t batch_count_max;   // entries of the largest batch
};
struct gather_stats gather_stats(const struct gather *gather);

#endif

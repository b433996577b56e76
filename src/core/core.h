/* core.h - the whole state of a network, and the one function that changes it.
 *
 *      ledger entry -> command -> core_apply -> verdict and events
 *
 * The core takes time and randomness from the entries, calls nothing that blocks, allocates in core_open only, and has
 * no floating point, thread or callback. Replicas that applied the same entries have the same digest.
 *
 * Source: docs/protocol.md, "Core".
 */
#ifndef CORTEN_CORE_CORE_H
#define CORTEN_CORE_CORE_H

#include "core/session_queue.h"
#include "core/trail.h"

#define RULES_VERSION       1
#define PENDING_CHANGES_MAX 16  // of parameters and rules that wait for their position

struct core {
    struct step step;
    struct account_book account;
    struct payment payment;
    struct catalog catalog;
    struct reputation reputation;
    struct node_pool node_pool;
    struct session_book session;
    struct cognitive cognitive;
    struct validation validation;
    struct session_queue session_queue;
    struct trail trail;   // running digest of this batch: verdicts and events
    struct hash genesis;  // Keccak-256 of the fields of the genesis that it was opened with
    struct pending_change {
        uint16_t param;  // 0: rules_version
        uint64_t value, effective_seq;
    } pending[PENDING_CHANGES_MAX];
    uint32_t pending_count;
    uint64_t last_task;     // id that the last accepted or known task_submit names
    uint64_t last_session;  // likewise, session_open
    bool begun;             // the genesis was applied
};

/* Whether the network can begin so: VALUE_INVALID, COMMAND_MALFORMED, RULES_UNKNOWN, PARAM_UNKNOWN, ACCOUNTS_FULL. */
enum verdict core_check_genesis(const struct cmd_genesis *genesis);
/* Bytes that a network with this genesis takes; 0 where the genesis is not well-formed. */
size_t core_size(const struct cmd_genesis *genesis);
/* Lays a core into `memory` (16-byte aligned, at least core_size); NULL where it does not suffice. The genesis itself
 * is then applied as entry 1: another one is VALUE_INVALID. */
struct core *core_open(void *memory, size_t size, const struct cmd_genesis *genesis);

/* Applies one ledger entry, the next one in order: `bytes` being what the ledger holds and `cmd` what it decodes to
 * (NULL: it does not decode). Never fails: a command that breaks a rule is refused, and the refusal is part of history.
 * `out` is emptied first, and gets at most EVENTS_PER_COMMAND_MAX events. */
enum verdict core_apply(struct core *core, struct span bytes, const struct command *cmd, struct event_list *out);
/* Asks for the memory that a coming entry of the batch will touch: worth calling for each of them at three distances,
 * EXPECT_DISTANCE apart, EXPECT_FAR first. Changes nothing; what it is given may be anything. */
#define EXPECT_DISTANCE 5
void core_expect(const struct core *core, struct span bytes, enum expect_stage stage);
/* Ends a ledger batch: closes the running digest over it. */
void core_batch_end(struct core *core);
/* What core_apply would say, as far as can be told cheaply without changing anything; ACCEPTED where it cannot. For
 * routers, which append only what their own replica would not refuse.
 * ret_task: as `last_task` below, for a task_submit. */
enum verdict core_foresee(const struct core *core, const struct command *cmd, uint64_t *ret_task);

/* When the next TICK is due, in core time (core_now_ms); now or earlier: at once; TIME_NEVER: none is. */
uint64_t core_next_tick_ms(const struct core *core);
uint64_t core_now_ms(const struct core *core);
uint64_t core_seq(const struct core *core);
/* The running digest after the last whole batch: equal on all replicas that applied the same entries. */
void core_digest(const struct core *core, struct hash *ret_digest);
/* The root over the canonical bytes of all tables. O(state). */
void core_root(struct core *core, struct hash *ret_root);

/* Snapshots: canonical bytes with the root inside. Only between batches. */
uint64_t core_snapshot_size(struct core *core);
bool core_snapshot_write(struct core *core, uint8_t *ret_bytes, uint64_t size);
/* Into a core fresh from core_open with the same genesis. False: damaged or not of this network; the core is then of no
 * use. */
bool core_snapshot_read(struct core *core, struct span bytes);

/* Asserts that the modules do not contradict themselves or each other, and that money is conserved. O(state). */
void core_check(const struct core *core);

#endif

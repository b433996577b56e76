/* replica.h - the ledger, the core that follows it, and those who want to know what came of it: one path.
 *
 *      replica_submit -> (signers, on a helper thread) -> core_foresee -> gather -> ledger, durable
 *                                                                                      |
 *      listeners <- events <- core_apply <----------------- follow --------------------+
 *      waiter    <- verdict
 *
 * Everything that changes the network's state goes through replica_submit, and everything that is done about it is done
 * by a listener. The replica also keeps time: it appends the router's heartbeats, and a tick when a deadline is due.
 *
 * Belongs to the loop's thread. A ledger that stops (disk full, fenced by another process) ends the program:
 * on_stopped.
 */
#ifndef CORTEN_ROUTER_REPLICA_H
#define CORTEN_ROUTER_REPLICA_H

#include "core/event.h"
#include "core/verdict.h"
#include "core/view.h"
#include "crypto/key.h"
#include "ledger/ledger.h"
#include "net/loop.h"

struct payload_store;
struct replica;

struct replica_options {
    struct net_loop *loop;
    const char *ledger_uri;
    const struct key *key;  // the router's; lent for the replica's life
    /* Where payloads are put before the entry that names them is appended; NULL: the ledger keeps them itself, in one
     * transaction with the entry. Lent. */
    struct payload_store *payloads;
    /* The genesis for a ledger that is empty; NULL: an empty ledger is an error. Its routers include `key`. */
    const struct cmd_genesis *genesis;
    void (*on_stopped)(void *ctx, enum cx_err err, const char *why);
    /* While the ledger is replayed at opening; may be NULL. */
    void (*on_progress)(void *ctx, uint64_t seq, uint64_t of);
    void *ctx;
};

/* What came of a command: err CX_OK and the core's verdict at entry seq; or err and no entry. A verdict that the
 * replica foresaw comes with seq 0: nothing was appended. `task` and `session` are what task_submit (TASK_KNOWN too)
 * and session_open (SESSION_KNOWN too) name. */
struct replica_outcome {
    enum cx_err err;
    enum verdict verdict;
    uint64_t seq, task, session;
};
typedef void replica_done(void *ctx, const struct replica_outcome *outcome);

struct replica_moment {
    uint64_t seq, time_ms, now_ms;  // position, ledger time, core time
    struct address author;
    struct span entry;              // its bytes, with the signatures
    const struct command *command;  // NULL: the entry does not decode
    enum verdict verdict;
    const struct core *core;  // as it is after this entry
    bool replaying;
};
struct replica_listener {
    /* Called for each event, in order, when its entry is durable and applied; also while replaying at opening where
     * `replays` is set. Must not submit-and-wait, may submit. */
    void (*on_event)(void *ctx, const struct replica_moment *moment, const struct event *event);
    /* For each entry, before its events; may be NULL. */
    void (*on_entry)(void *ctx, const struct replica_moment *moment);
    /* After the last event of a batch; may be NULL. */
    void (*on_batch)(void *ctx);
    void *ctx;
    bool replays;
    struct replica_listener *next;  // the replica's
};

/* Opens the ledger and replays it; on return the core is at the ledger's end. */
enum cx_err replica_open(const struct replica_options *options, struct replica_listener *const *listener,
                         uint32_t listener_count, struct replica **ret_replica);
/* Submissions that have not ended end with CANCELLED. Takes NULL. */
void replica_close(struct replica *replica);
CX_CLOSER(replica)
/* One more listener, behind those of the opening; and one less. Not from inside a listener. */
void replica_listen(struct replica *replica, struct replica_listener *listener);
void replica_unlisten(struct replica *replica, struct replica_listener *listener);
/* Starts heartbeats and ticks; before, the replica only follows. */
void replica_start(struct replica *replica);

const struct core *replica_core(const struct replica *replica);
uint64_t replica_now_ms(const struct replica *replica);  // core time, as of the last entry
const struct address *replica_router(const struct replica *replica);
uint64_t replica_network(const struct replica *replica);
/* The first seq of this process's life: what happened before is history. */
uint64_t replica_opened_seq(const struct replica *replica);

/* Submits an entry (encoded, signed or not) with the payloads that must be durable with it; copies both. `done` may be
 * NULL; it is never called from inside. At once: TOO_LARGE, BUSY (the ledger is behind: try later). */
enum cx_err replica_submit(struct replica *replica, struct span entry, const struct ledger_blob *blob,
                           uint32_t blob_count, replica_done *done, void *ctx);
/* The same for an unsigned command of this router. */
enum cx_err replica_command(struct replica *replica, const struct command *cmd, const struct ledger_blob *blob,
                            uint32_t blob_count, replica_done *done, void *ctx);

struct replica_stats {
    uint64_t entries, batches, refused, ticks;
    uint64_t events;
};
struct replica_stats replica_stats(const struct replica *replica);

#endif

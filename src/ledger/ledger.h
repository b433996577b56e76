/* ledger.h - the order that all replicas share: commands in, positions out, the same for everybody.
 *
 *      submit -> gather.h -> ledger_append -> durable -> ledger_follow -> core_apply -> answer
 *
 * To the ledger a command is bytes. Those that wait together are appended together, as a batch; a batch is
 * durable whole or not at all. Every entry, one's own too, comes back by following, in order and once; nobody
 * applies what it appended by any other way.
 *
 * A batch has a header, and headers are chained, so that a change of any bit of the past is found and named:
 *
 *      chain(0) = K("corten ledger" | format 4 | network 8)
 *      chain(i) = K(chain(i-1) | seq 8 | count 4 | router 20 | epoch 8 | number 8 | time_ms 8 | S(body) 32)
 *      body     = for each entry: size 2 | command
 *
 * K is Keccak-256, S SHA-256, numbers are big-endian. The body enters by its own hash: replay then runs at the
 * speed of SHA-256, and a header can be proved without its body.
 *
 * A router that opens a ledger for writing takes a new epoch, and numbers its batches from 1 in it without gaps.
 * (router, epoch, number) is unique: to repeat a batch whose outcome is unknown is always right.
 *
 * Threads: a handle belongs to one thread. What else a backend needs it does on threads of its own, and asks
 * for ledger_poll through `wake`.
 *
 * Source: docs/protocol.md, "Ledger".
 */
#ifndef CORTEN_LEDGER_LEDGER_H
#define CORTEN_LEDGER_LEDGER_H

#include "base/assert.h"
#include "base/err.h"
#include "base/types.h"

#define LEDGER_FORMAT 1

#define LEDGER_ENTRY_SIZE_MAX  4096          // bytes of one command
#define LEDGER_BATCH_COUNT_MAX 1024          // entries of one batch
#define LEDGER_BATCH_SIZE_MAX  (256 * 1024)  // bytes of one body
#define LEDGER_BLOB_SIZE_MAX   (16 << 20)    // one payload that travels with a batch
#define LEDGER_BLOB_COUNT_MAX  4096          // payloads that travel with one batch
#define LEDGER_BLOBS_SIZE_MAX  (64 << 20)    // all of them
#define LEDGER_APPENDS_MAX     4             // batches under way at one handle
#define LEDGER_POLL_SIZE_MAX   (4 << 20)     // history that one ledger_poll hands out before it lets others run

static_assert(LEDGER_ENTRY_SIZE_MAX <= UINT16_MAX, "an entry's size is written in two bytes");

/* A batch as it stands on the ledger. Its bytes are the ledger's, for the duration of the call. */
struct ledger_batch {
    uint64_t seq;           // position of its first entry; the ledger's first is 1
    uint32_t count;         // entries; at least 1
    uint32_t skip;          // entries before the position that was asked for; the cursor passes over them
    struct address router;  // who appended it
    uint64_t epoch;
    uint64_t number;
    uint64_t time_ms;  // stamped by the ledger; never less than the batch before
    struct span body;
    struct hash chain;  // Keccak-256 over everything up to here
};

struct ledger_entry {
    uint64_t seq;
    uint64_t time_ms;
    struct address author;  // the batch's router
    struct span command;
};

/* Walks over a batch: struct ledger_cursor at = ledger_cursor(batch); while (ledger_next(&at, &entry)) ... */
struct ledger_cursor {
    const struct ledger_batch *batch;
    uint32_t index;   // of the entry that ledger_next gives next
    uint32_t offset;  // of it, in the body
};
struct ledger_cursor ledger_cursor(const struct ledger_batch *batch);
bool ledger_next(struct ledger_cursor *at, struct ledger_entry *ret_entry);

/* A payload that is made durable with a batch, in one transaction where the store is the ledger's. */
struct ledger_blob {
    struct hash sha256;  // of data; the caller has checked it
    struct span data;
    uint64_t keep_until_ms;  // TIME_NEVER: for ever. Of two wishes the later holds
};

struct ledger_append {
    struct address router;
    uint64_t epoch;
    uint64_t number;
    const struct span *command;  // [count]
    uint32_t count;
    const struct ledger_blob *blob;  // [blob_count]
    uint32_t blob_count;
};

enum ledger_mode {
    LEDGER_READ,    // anybody, while another process writes
    LEDGER_WRITE,   // must exist
    LEDGER_CREATE,  // write, and make it where there is none
};

struct ledger_options {
    enum ledger_mode mode;
    uint64_t network;       // the ledger must be this network's. 0: whichever it is; not with LEDGER_CREATE
    struct address router;  // who will append; takes its next epoch. Zero: nobody, no epoch
    /* Called, from any thread, when ledger_poll has something to do. May be NULL: see ledger_wait. */
    void (*wake)(void *wake_ctx);
    void *wake_ctx;
    /* The writer's clock, in milliseconds since 1970. NULL: the system's. */
    uint64_t (*now_ms)(void *now_ctx);
    void *now_ctx;
};

struct ledger;

/* uri: `mem:` (private), `mem:NAME` (shared by all handles in this process), `sqlite:PATH`.
 * NOT_FOUND: no ledger there. BUSY: another process writes to it, by its id. INVALID: another network's ledger, a
 * URI that is none. UNSUPPORTED: a backend that is not built, a newer format. CORRUPT: what is damaged, by name. */
enum cx_err ledger_open(const char *uri, const struct ledger_options *options, struct ledger **ret_ledger);
/* Waits for what is under way and drops its `done` calls. */
void ledger_close(struct ledger *ledger);
CX_CLOSER(ledger)

uint64_t ledger_network(const struct ledger *ledger);
/* The epoch that opening took; 0 with LEDGER_READ. */
uint64_t ledger_epoch(const struct ledger *ledger);

struct ledger_head {
    uint64_t seq;      // of the last durable entry; 0: the ledger is empty
    uint64_t time_ms;  // of the last batch
    struct hash chain;
};
/* The end of the ledger as this handle knows it: its own appends and what it has followed or read. */
struct ledger_head ledger_head(const struct ledger *ledger);

/* How an append ended, on the handle's thread, from ledger_poll. err:
 * OK: durable; seq and time_ms are its first position and time (those of the first time, for a repeat).
 * UNKNOWN: append it again under the same number. FENCED: a newer epoch of this router exists.
 * INVALID: the number is taken by another batch, or leaves a gap, or the epoch was never taken.
 * IO, CORRUPT: the ledger has stopped; all later appends end like this one. cx_detail() has the words. */
typedef void ledger_done(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms);

/* Copies what it is given, and calls `done` later, once, unless it fails at once: TOO_LARGE and INVALID for a
 * batch outside the limits above, by name; BUSY with LEDGER_APPENDS_MAX under way; DENIED with LEDGER_READ; IO
 * after the ledger has stopped. Batches of one handle become durable in the order of these calls. */
enum cx_err ledger_append(struct ledger *ledger, const struct ledger_append *append, ledger_done *done, void *ctx);
/* How many appends are worth having under way. Above 1 none of them ends UNKNOWN: the one behind it could not wait. */
uint32_t ledger_appends_max(const struct ledger *ledger);

/* Is handed a batch. False: no more now. Then ledger_read returns, and ledger_poll hands out the same batch at its
 * next call: a reader that is behind stops the flow that way. */
typedef bool ledger_each(void *ctx, const struct ledger_batch *batch);

/* Reads history, checks sizes, positions, times and chain, and calls `each` for every batch from the one that holds
 * from_seq (≥ 1) to the end as it is now. CORRUPT: what does not fit, and in which row; nothing of that batch was
 * handed out. What lies before from_seq is taken as it is: ledger_read from 1 checks everything. */
enum cx_err ledger_read(struct ledger *ledger, uint64_t from_seq, ledger_each *each, void *ctx);

/* From now on ledger_poll hands out every batch from from_seq on, each once, in order, checked like ledger_read.
 * A ledger has one follower; a second call, which must not come from within `each`, replaces it. */
void ledger_follow(struct ledger *ledger, uint64_t from_seq, ledger_each *each, void *ctx);

/* Calls `done` for appends that ended, then `each` for what can be followed, at most LEDGER_POLL_SIZE_MAX of it; then
 * asks for another poll by `wake`. Fails only where reading does. A reader of another process's ledger sees news by
 * polling again when it thinks fit. */
enum cx_err ledger_poll(struct ledger *ledger);
/* For programs without a loop: returns when ledger_poll has something to do. TIMEOUT: not within timeout_ms. */
enum cx_err ledger_wait(struct ledger *ledger, uint64_t timeout_ms);

#endif

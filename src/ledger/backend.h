/* backend.h - within src/ledger: what a backend is, and what all of them share.
 *
 * A backend stores rows and stamps time; ledger.c checks what goes in and what comes out, and does the following.
 * An append travels as a record, one piece of memory, from ledger_append to the backend and back through the mailbox:
 *
 *      ledger_append --record--> backend->append   [any thread]   ledger_mail --record--> ledger_poll
 */
#ifndef CORTEN_LEDGER_BACKEND_H
#define CORTEN_LEDGER_BACKEND_H

#include <pthread.h>

#include "ledger/ledger.h"
#include "ledger/ledger_clock.h"

#define LEDGER_DETAIL_SIZE 320

struct ledger_record {
    struct ledger_record *next;
    struct ledger_batch batch;  // the backend fills in seq, time_ms and chain
    struct ledger_blob *blob;   // [blob_count]
    uint32_t blob_count;
    bool repeated;  // it was on the ledger already, so that followers have it from there
    bool stops;     // err is the ledger's end, not this batch's alone
    enum cx_err err;
    char detail[LEDGER_DETAIL_SIZE];
    ledger_done *done;
    void *ctx;
    /* Behind it: blobs, body, data of the blobs. */
};

/* How far a reader has come, and what the next batch must fit. */
struct ledger_trail {
    bool known;
    uint64_t seq;      // of the next batch
    uint64_t time_ms;  // of the last
    struct hash chain;
};

/* Is handed raw rows, in order. False: enough. */
typedef bool ledger_row(void *ctx, const struct ledger_batch *batch);

struct ledger_backend {
    uint32_t appends_max;  // what ledger_appends_max says
    /* Opens ledger->place in ledger->options.mode; sets ledger->network, ->epoch, ->head and ->store. What it has set
     * in ->store when it fails, `close` gets. */
    enum cx_err (*open)(struct ledger *ledger);
    /* Ends threads after what is under way; `store` may be NULL. */
    void (*close)(struct ledger *ledger);
    /* Takes the record; it comes back by ledger_mail. */
    void (*append)(struct ledger *ledger, struct ledger_record *record);
    /* Brings ledger->head up to date with what others wrote. */
    enum cx_err (*refresh)(struct ledger *ledger);
    /* The header (no body) of the last batch that begins at or before seq. NOT_FOUND. */
    enum cx_err (*find)(struct ledger *ledger, uint64_t seq, struct ledger_batch *ret_batch);
    /* Every batch that begins after `after`. */
    enum cx_err (*scan)(struct ledger *ledger, uint64_t after, ledger_row *row, void *ctx);
    /* Adds a batch as it is, checked by the caller; durable after restore_end. For ledger_import. */
    enum cx_err (*restore)(struct ledger *ledger, const struct ledger_batch *batch);
    enum cx_err (*restore_end)(struct ledger *ledger);
    /* Everything it stores beside the batches. CORRUPT: by name. NULL: there is nothing. */
    enum cx_err (*check)(struct ledger *ledger);
};

extern const struct ledger_backend ledger_mem, ledger_sqlite;

struct ledger {
    const struct ledger_backend *backend;
    struct ledger_options options;
    char *uri, *place;  // place: the uri behind its scheme
    void *store;        // the backend's
    uint64_t network, epoch;
    struct ledger_head head;
    uint32_t appends;           // under way
    struct ledger_clock clock;  // who writes, and only it

    enum cx_err stopped;  // CX_OK: it has not
    char stopped_detail[LEDGER_DETAIL_SIZE];

    ledger_each *each;  // the follower; NULL: none
    void *each_ctx;
    uint64_t follow_seq;  // the first position that it wants and has not got
    struct ledger_trail follow_trail;
    bool held;  // the follower said: no more now

    pthread_mutex_t lock;  // of the mailbox
    pthread_cond_t changed;
    struct ledger_record *mail_first, **mail_last;
    bool woken;  // somebody asked for a poll
};

/* Calls the handle's `wake`: there is something to poll for. Any thread. */
void ledger_wake(struct ledger *ledger);
/* Gives a record back, with err and detail set; any thread. */
void ledger_mail(struct ledger *ledger, struct ledger_record *record);
/* Keeps cx_detail() in the record. */
void ledger_record_fail(struct ledger_record *record, enum cx_err err, bool stops);
/* The time of a batch behind one of last_ms. Of whoever writes alone: its thread, its transaction. */
uint64_t ledger_stamp_ms(struct ledger *ledger, uint64_t last_ms);
/* INVALID: the ledger is not the one that options.network asks for. To be called before an epoch is taken. */
enum cx_err ledger_check_network(const struct ledger *ledger);
/* How a handle is named to people: its URI. */
const char *ledger_name(const struct ledger *ledger);

/* ledger_batch.c: the format. */

/* K("corten ledger" | format | network), where the chain begins. */
void ledger_chain_start(uint64_t network, struct hash *ret_chain);
void ledger_chain_next(const struct hash *prev, const struct ledger_batch *batch, struct hash *ret_chain);
struct ledger_trail ledger_trail_start(uint64_t network);
struct ledger_trail ledger_trail_after(const struct ledger_batch *batch);
/* What is wrong with a batch in itself: INVALID or TOO_LARGE. */
enum cx_err ledger_batch_check(const struct ledger_batch *batch);
/* CORRUPT: it is damaged, or does not follow what came before; `place` names where it stands. Moves the trail on. */
enum cx_err ledger_trail_step(struct ledger_trail *trail, const struct ledger_batch *batch, const char *place);
/* Whether a batch that is not on the ledger may be added now, its router being at this epoch (0: none taken) with this
 * last number in it. FENCED, INVALID. */
enum cx_err ledger_check_turn(const struct ledger_batch *batch, uint64_t epoch, uint64_t number);
/* A copy of what the caller gave. TOO_LARGE, INVALID: by name. */
enum cx_err ledger_record_make(const struct ledger_append *append, ledger_done *done, void *ctx,
                               struct ledger_record **ret_record);
void ledger_record_free(struct ledger_record *record);

#endif

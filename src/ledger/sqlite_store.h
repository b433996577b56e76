/* sqlite_store.h - within src/ledger: the file of a sqlite: ledger, its reader, and its writer's threads.
 *
 *      meta    key, value             network
 *      writer  router, epoch          the last epoch that each router took
 *      batch   one row a batch, its first position as the key; (router, epoch, number) unique
 *      payload, payload_name: proto/payload_rows.h
 *
 * The file is in write-ahead mode with synchronous FULL: one sync a commit. Who writes holds a lock on PATH-owner, with
 * its process id in it, for as long as it lives; anybody may read meanwhile. The handle's thread reads on a connection
 * of its own. The writer thread commits all that waits in one transaction. The checkpointer thread copies the log into
 * the file beside it; only when the log has grown long does the writer itself copy the rest, between two batches, so
 * that the log starts over.
 */
#ifndef CORTEN_LEDGER_SQLITE_STORE_H
#define CORTEN_LEDGER_SQLITE_STORE_H

#include "base/db.h"
#include "ledger/backend.h"

#define SQLITE_APPLICATION_ID 0x436f7274  // "Cort": what file(1) and the next program know it by

#define SQLITE_CHECKPOINT_PAGES 1000        // of the log, not yet in the file, when the checkpointer begins
#define SQLITE_LOG_PAGES_MAX    8192        // of the log, when the writer makes it start over
#define SQLITE_RESTORE_SIZE_MAX (16 << 20)  // bodies of one transaction of ledger_import

#define SQLITE_BATCH_COLUMNS "seq, count, router, epoch, number, time_ms, chain"

/* Second copies, for sqlite_check: nobody reads by them. */
#define SQLITE_COPIES                                                   \
    "CREATE UNIQUE INDEX IF NOT EXISTS meta_copy ON meta (value, key);" \
    "CREATE UNIQUE INDEX IF NOT EXISTS writer_copy ON writer (epoch, router);"

struct sqlite_writer;

struct sqlite_store {
    struct file_owner *owner;  // NULL: reading
    sqlite3 *reader;
    sqlite3_stmt *find, *last;
    struct sqlite_writer *writer;  // NULL: reading
    uint64_t restored;             // bytes since the last commit
};

/* Takes the router's next epoch (none for the zero address) and starts the threads. */
enum cx_err sqlite_writer_open(struct ledger *ledger, struct sqlite_writer **ret_writer);
/* Ends them when everything queued is done. */
void sqlite_writer_close(struct sqlite_writer *writer);
void sqlite_writer_append(struct sqlite_writer *writer, struct ledger_record *record);

/* On the handle's thread, while nothing is queued. */
enum cx_err sqlite_writer_restore(struct sqlite_writer *writer, const struct ledger_batch *batch);
enum cx_err sqlite_writer_restore_end(struct sqlite_writer *writer);

/* All that is not in the batches' chain. CORRUPT: what is damaged, by name. */
enum cx_err sqlite_check(struct ledger *ledger);

/* The columns SQLITE_BATCH_COLUMNS, and `body` behind them if there are that many. CORRUPT: which column is no such
 * thing. */
enum cx_err sqlite_batch_get(sqlite3_stmt *stmt, const char *name, struct ledger_batch *ret_batch);

#endif

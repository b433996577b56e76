/* db.h - SQLite files: opened the one way, and errors that name file and fix. Nothing about what is in them.
 *
 * All connections use the write-ahead log, never checkpoint by themselves unless told, wait for each other's locks, and
 * belong to one thread at a time.
 */
#ifndef CORTEN_BASE_DB_H
#define CORTEN_BASE_DB_H

#include <sqlite3.h>

#include "base/err.h"
#include "base/types.h"

#define DB_BUSY_MS_MAX 30000  // how long a connection waits for another's transaction

enum db_mode {
    DB_READ,    // must exist; never changed
    DB_WRITE,   // must exist
    DB_CREATE,  // made where there is none, readable by its owner alone
};

/* ":memory:" is a database of this connection's own, in every mode. Else synchronous FULL: what is committed survives a
 * power cut. NOT_FOUND, DENIED, IO, CORRUPT: with path and reason. */
enum cx_err db_open(const char *path, enum db_mode mode, sqlite3 **ret_db);
/* To be called before anything is written on which others will rely. After a failed sync the system may show a log that
 * is not on the disk, and what is synced behind it is lost with it: this copies the log into the file and starts
 * another. Waits for readers. BUSY, IO. CORRUPT: as db_log_check says; the log then stays as it is. */
enum cx_err db_settle(sqlite3 *db);
/* Closing this one copies nothing. SQLite's last connection would copy the log and remove it, also behind a sync that
 * failed, and take for good what this process has read of it; whoever opens next reads the log anew, with its
 * checksums. For every connection that cannot know that all went well. */
void db_leave_log(sqlite3 *db);
/* CORRUPT: the log beside the database was damaged, and has more in it than SQLite would read. For databases that are
 * opened as above, with synchronous FULL. */
enum cx_err db_log_check(const char *database);
void db_close(sqlite3 *db);
/* Removes a file that nobody has open, with its log. */
enum cx_err db_remove(const char *path);

enum cx_err db_exec(sqlite3 *db, const char *sql);
enum cx_err db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt);
/* The first column of the first row; 0 where there is no row or it is NULL. */
enum cx_err db_number(sqlite3 *db, const char *sql, int64_t *ret_number);
/* Runs a statement that gives no rows, and resets it. */
enum cx_err db_run(sqlite3_stmt *stmt);
/* Runs a statement to its next row: *ret_row is false, and it is reset, when there is none. */
enum cx_err db_step(sqlite3_stmt *stmt, bool *ret_row);
/* What the connection's last failure means: IO (disk full and failed syncs too), CORRUPT, BUSY, DENIED, MEMORY. */
enum cx_err db_fail(sqlite3 *db, const char *doing);

/* SQLite's integers are signed: times and positions beyond INT64_MAX are kept as INT64_MAX, and read back as
 * TIME_NEVER. Identifiers use db_bind_id, which keeps all 64 bits and loses their order. */
void db_bind_u64(sqlite3_stmt *stmt, int index, uint64_t value);
void db_bind_id(sqlite3_stmt *stmt, int index, uint64_t id);
/* The bytes must outlive the statement's run. */
void db_bind_bytes(sqlite3_stmt *stmt, int index, const void *data, size_t size);
uint64_t db_u64(sqlite3_stmt *stmt, int column);
/* Copies a column of exactly size bytes; false where it is of another size or type. */
bool db_bytes(sqlite3_stmt *stmt, int column, void *ret_data, size_t size);
/* Valid until the statement's next step. */
struct span db_span(sqlite3_stmt *stmt, int column);

#endif

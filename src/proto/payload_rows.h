/* payload_rows.h - payloads as rows of an SQLite file, which two folders that do not see each other write to: `ledger`
 * puts a batch's payloads there in the batch's transaction, `payload` everything else.
 *
 *      payload        one row for each put, in their order: place, sha256 (32 bytes, of data), keep_until (milliseconds
 *                     since 1970; INT64_MAX: for ever), size (of data, so that statistics need not read it), data
 *      payload_name   where payloads are, by the first eight bytes of their names, 65,536 places to a shelf
 *      payload_named  one row: up to which place all are in payload_name, and how many payloads are gone
 *
 * A hash is nowhere near the one before it: with a name for each put, each would write a page of its own. Rows are
 * therefore only put behind each other, and names follow: where there is much to do, PAYLOAD_NAMES_MIN together, in the
 * order of hashes and some with each batch, so that few pages are written, and all of them of the last shelf. Until
 * then a payload is found by looking through the rows that have no name yet, a millisecond for 4,096 short ones.
 *
 * The same content put twice by batches is two rows, each for its time.
 */
#ifndef CORTEN_PROTO_PAYLOAD_ROWS_H
#define CORTEN_PROTO_PAYLOAD_ROWS_H

#include "base/db.h"
#include "base/types.h"

#define PAYLOAD_NAMES_MIN  4096  // payloads without a name, from which on they get one
#define PAYLOAD_NAMES_IDLE 64    // the same, where a commit brings one alone
#define PAYLOAD_NAMES_STEP 256   // that get one with a batch; twice what it brings, where that is more

/* Places are never used twice, also where the last payloads are gone: a name must not lead to another payload. */
#define PAYLOAD_ROWS_SCHEMA                                                                                        \
    "CREATE TABLE IF NOT EXISTS payload (place INTEGER PRIMARY KEY AUTOINCREMENT,"                                 \
    " sha256 BLOB NOT NULL CHECK (length(sha256) = 32), keep_until INTEGER NOT NULL, size INTEGER NOT NULL,"       \
    " data BLOB NOT NULL);"                                                                                        \
    "CREATE INDEX IF NOT EXISTS payload_by_time ON payload (keep_until, size);"                                    \
    "CREATE TABLE IF NOT EXISTS payload_name (shelf INTEGER NOT NULL, name BLOB NOT NULL, place INTEGER NOT NULL," \
    " PRIMARY KEY (shelf, name, place)) WITHOUT ROWID;"                                                            \
    "CREATE TABLE IF NOT EXISTS payload_named (place INTEGER NOT NULL, gone INTEGER NOT NULL);"                    \
    "INSERT INTO payload_named SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM payload_named);"                        \
    "CREATE TRIGGER IF NOT EXISTS payload_gone AFTER DELETE ON payload BEGIN"                                      \
    " DELETE FROM payload_name WHERE shelf = OLD.place >> 16 AND name = substr(OLD.sha256, 1, 8)"                  \
    " AND place = OLD.place; UPDATE payload_named SET gone = gone + 1; END;"

/* How many tables are of something else. */
#define PAYLOAD_ROWS_OTHER_TABLES                                      \
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name" \
    " NOT IN ('payload', 'payload_name', 'payload_named', 'sqlite_sequence')"

struct payload_rows;

/* Makes the tables where there are none. */
enum cx_err payload_rows_open(sqlite3 *db, struct payload_rows **ret_rows);
/* Before its database. Takes NULL. */
void payload_rows_close(struct payload_rows *rows);

/* In a transaction of the caller's. The data is only read. */
enum cx_err payload_rows_put(struct payload_rows *rows, const struct hash *sha256, struct span data,
                             uint64_t keep_until_ms);
/* Names the payload that was put last. */
enum cx_err payload_rows_name_last(struct payload_rows *rows, const struct hash *sha256);
/* In the transaction in which `count` were put: names some. */
enum cx_err payload_rows_name_some(struct payload_rows *rows, uint32_t count);

/* *ret_place: of a payload with that name; 0: there is none. */
enum cx_err payload_rows_find(struct payload_rows *rows, const struct hash *sha256, uint64_t *ret_place);

/* For sqlite_check: names without payloads, and payloads without names that have one to have. */
#define PAYLOAD_ROWS_ASTRAY                                                                                        \
    "SELECT (SELECT count(*) FROM payload_name AS n LEFT JOIN payload AS p ON p.place = n.place"                   \
    " WHERE p.place IS NULL OR n.name <> substr(p.sha256, 1, 8) OR n.shelf <> n.place >> 16)"                      \
    " + (SELECT count(*) FROM payload AS p WHERE p.place <= (SELECT max(place) FROM payload_named) AND NOT EXISTS" \
    " (SELECT 1 FROM payload_name AS n WHERE n.shelf = p.place >> 16 AND n.name = substr(p.sha256, 1, 8)"          \
    " AND n.place = p.place)) + ((SELECT count(*) FROM payload_named) <> 1)"

#endif

/* payload_rows.h - payloads as rows of an SQLite file, which two folders that do not see each other write to: `ledger`
 * puts a batch's payloads there in the batch's transaction, `payload` everything else.
 *
 *      payload         a row is a *pack*: what was put in one transaction and is to be kept equally long. Its number
 *                      (pack), keep_until (milliseconds since 1970; INT64_MAX: for ever), count, size (bytes of data),
 *                      list (for each payload its sha256, 32 bytes, and where it ends in data, four), data
 *      payload_name    in which pack a payload is: proto/payload_names.h
 *
 * The same content put twice by batches is there twice, each for its time.
 */
#ifndef CORTEN_PROTO_PAYLOAD_ROWS_H
#define CORTEN_PROTO_PAYLOAD_ROWS_H

#include "base/buf.h"
#include "base/db.h"
#include "base/types.h"
#include "proto/payload_names.h"

#define PAYLOAD_PACK_COUNT_MAX 256
#define PAYLOAD_PACK_SIZE_MAX  (64 << 10)  // bytes of data, but for a payload that is alone
#define PAYLOAD_PACK_MS_MAX    1000        // by which a payload may be kept longer than it was put for

#define PAYLOAD_LIST_SIZE (32 + 4)  // of a payload in its pack's list

#define PAYLOAD_ROWS_SCHEMA                                                                      \
    "CREATE TABLE IF NOT EXISTS payload (pack INTEGER PRIMARY KEY, keep_until INTEGER NOT NULL," \
    " count INTEGER NOT NULL, size INTEGER NOT NULL, list BLOB NOT NULL, data BLOB NOT NULL);"   \
    "CREATE INDEX IF NOT EXISTS payload_by_time ON payload (keep_until, count, size);" PAYLOAD_NAMES_SCHEMA

/* How many tables are of something else. */
#define PAYLOAD_ROWS_OTHER_TABLES                                      \
    "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name" \
    " NOT IN ('payload', 'payload_name')"

struct payload_rows;

/* Makes the tables where there are none. */
enum cx_err payload_rows_open(sqlite3 *db, struct payload_rows **ret_rows);
/* Before its database. Takes NULL. */
void payload_rows_close(struct payload_rows *rows);

/* In a transaction of the caller's. The data stays the caller's, unchanged, until payload_rows_end. */
enum cx_err payload_rows_put(struct payload_rows *rows, const struct hash *sha256, struct span data,
                             uint64_t keep_until_ms);
/* Before the transaction commits: what was put is there then. */
enum cx_err payload_rows_end(struct payload_rows *rows);

struct payload_row {
    uint64_t pack;      // 0: there is none
    uint32_t count;     // of its pack
    uint32_t at, size;  // in the pack's data
    uint64_t keep_until_ms;
};
enum cx_err payload_rows_find(struct payload_rows *rows, const struct hash *sha256, struct payload_row *ret_row);
/* Adds the bytes to ret_data. NOT_FOUND without words: it is gone since it was found. */
enum cx_err payload_rows_get(struct payload_rows *rows, const struct payload_row *row, struct buf *ret_data);
/* In a transaction of the caller's. Keeps a pack of one until then; of two times the later holds. */
enum cx_err payload_rows_keep(struct payload_rows *rows, const struct payload_row *row, uint64_t keep_until_ms);
/* In a transaction of the caller's. Removes at most `most` packs whose time was before now_ms, the oldest first. */
enum cx_err payload_rows_expire(struct payload_rows *rows, uint64_t now_ms, uint32_t most, uint32_t *ret_packs);

#endif

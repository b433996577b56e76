/* Payloads in an SQLite file, by default the ledger's own: then the ledger's writer puts most of them. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/db.h"
#include "payload/store.h"
#include "proto/store_schema.h"

struct sqlite_rows {
    sqlite3 *db;
    sqlite3_stmt *put, *get, *size, *keep, *expire, *stats;
};

static enum cx_err prepare(struct sqlite_rows *rows)
{
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } all[] = {
        {STORE_PAYLOAD_PUT, &rows->put},
        {"SELECT data FROM payload WHERE sha256 = ?1", &rows->get},
        {"SELECT size FROM payload WHERE sha256 = ?1", &rows->size},
        {"UPDATE payload SET keep_until = max(keep_until, ?2) WHERE sha256 = ?1", &rows->keep},
        {"DELETE FROM payload WHERE rowid IN (SELECT rowid FROM payload WHERE keep_until < ?1"
         " ORDER BY keep_until LIMIT ?2)",
         &rows->expire},
        {"SELECT count(*), ifnull(sum(size), 0), ifnull(min(keep_until), ?1) FROM payload", &rows->stats},
    };
    enum cx_err err = CX_OK;
    for (size_t i = 0; i < ARRAY_COUNT(all) && !err; i++)
        err = db_prepare(rows->db, all[i].sql, all[i].stmt);
    return err;
}

static enum cx_err sqlite_open(struct payload_store *store, const char *place)
{
    if (!place[0] || place[0] == ':')
        return cx_fail(CX_INVALID, "%s: that names no file; write sqlite:PATH", store->uri);
    struct sqlite_rows *rows = calloc(1, sizeof *rows);
    cx_assert(rows);
    store->rows = rows;
    enum cx_err err = db_open(place, DB_CREATE, &rows->db);
    /* What has expired is to be gone from the disk, not only from the table. The ledger, whose file this mostly is,
     * copies the log long before this bound, on a thread of its own, and stops where a sync of that fails; SQLite's own
     * copying would hold up the loop, and keep such a failure to itself. */
    if (!err)
        err = db_exec(rows->db, "PRAGMA secure_delete = ON; PRAGMA wal_autocheckpoint = 16384");
    if (!err)
        db_leave_log(rows->db);  // the ledger may have stopped, and this one is closed behind it
    if (!err)
        err = db_settle(rows->db);
    if (!err)
        err = db_exec(rows->db, STORE_PAYLOAD_SCHEMA);
    return err ? err : prepare(rows);
}

static void sqlite_close(struct payload_store *store)
{
    struct sqlite_rows *rows = store->rows;
    if (!rows)
        return;
    sqlite3_stmt *all[] = {rows->put, rows->get, rows->size, rows->keep, rows->expire, rows->stats};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        sqlite3_finalize(all[i]);
    db_close(rows->db);
    free(rows);
}

static enum cx_err sqlite_put(struct payload_store *store, const struct hash *name, struct span data,
                              uint64_t keep_until_ms)
{
    struct sqlite_rows *rows = store->rows;
    db_bind_bytes(rows->put, 1, name->b, sizeof name->b);
    db_bind_u64(rows->put, 2, keep_until_ms);
    db_bind_u64(rows->put, 3, data.size);
    db_bind_bytes(rows->put, 4, data.data, data.size);
    return db_run(rows->put);
}

static enum cx_err sqlite_get(struct payload_store *store, const struct hash *name, struct buf *ret_data)
{
    struct sqlite_rows *rows = store->rows;
    bool row = false;
    db_bind_bytes(rows->get, 1, name->b, sizeof name->b);
    enum cx_err err = db_step(rows->get, &row);
    if (err)
        return err;
    if (!row)
        return CX_NOT_FOUND;
    struct span data = db_span(rows->get, 0);
    buf_add(ret_data, data.data, data.size);
    sqlite3_reset(rows->get);
    return CX_OK;
}

static enum cx_err sqlite_size(struct payload_store *store, const struct hash *name, uint64_t *ret_size)
{
    struct sqlite_rows *rows = store->rows;
    bool row = false;
    db_bind_bytes(rows->size, 1, name->b, sizeof name->b);
    enum cx_err err = db_step(rows->size, &row);
    if (err)
        return err;
    if (!row)
        return CX_NOT_FOUND;
    *ret_size = db_u64(rows->size, 0);
    sqlite3_reset(rows->size);
    return CX_OK;
}

static enum cx_err sqlite_keep(struct payload_store *store, const struct hash *name, uint64_t keep_until_ms)
{
    struct sqlite_rows *rows = store->rows;
    db_bind_bytes(rows->keep, 1, name->b, sizeof name->b);
    db_bind_u64(rows->keep, 2, keep_until_ms);
    enum cx_err err = db_run(rows->keep);
    return !err && sqlite3_changes(rows->db) == 0 ? CX_NOT_FOUND : err;
}

static enum cx_err sqlite_expire(struct payload_store *store, uint64_t now_ms, uint32_t *ret_removed)
{
    struct sqlite_rows *rows = store->rows;
    db_bind_u64(rows->expire, 1, now_ms);
    db_bind_u64(rows->expire, 2, PAYLOAD_EXPIRE_STEP_MAX);
    enum cx_err err = db_run(rows->expire);
    if (!err)
        *ret_removed = (uint32_t)sqlite3_changes(rows->db);
    return err;
}

static enum cx_err sqlite_stats(struct payload_store *store, struct payload_stats *ret_stats)
{
    struct sqlite_rows *rows = store->rows;
    bool row = false;
    db_bind_u64(rows->stats, 1, TIME_NEVER);
    enum cx_err err = db_step(rows->stats, &row);
    if (err)
        return err;
    cx_assert(row);
    *ret_stats = (struct payload_stats){db_u64(rows->stats, 0), db_u64(rows->stats, 1), db_u64(rows->stats, 2)};
    sqlite3_reset(rows->stats);
    return CX_OK;
}

const struct payload_backend payload_sqlite = {
    .open = sqlite_open,
    .close = sqlite_close,
    .put = sqlite_put,
    .get = sqlite_get,
    .size = sqlite_size,
    .keep = sqlite_keep,
    .expire = sqlite_expire,
    .stats = sqlite_stats,
};

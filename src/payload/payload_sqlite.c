/* Payloads in an SQLite file, by default the ledger's own: then the ledger's writer puts most of them. */
#include <stdlib.h>

#include "base/assert.h"
#include "payload/store.h"
#include "proto/payload_rows.h"

struct sqlite_rows {
    sqlite3 *db;
    struct payload_rows *payloads;
    sqlite3_stmt *begin, *commit, *get, *size, *keep, *expire, *stats;
};

static enum cx_err prepare(struct sqlite_rows *rows)
{
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } all[] = {
        {"BEGIN IMMEDIATE", &rows->begin},
        {"COMMIT", &rows->commit},
        {"SELECT data FROM payload WHERE place = ?1", &rows->get},
        {"SELECT size FROM payload WHERE place = ?1", &rows->size},
        {"UPDATE payload SET keep_until = max(keep_until, ?2) WHERE place = ?1", &rows->keep},
        {"DELETE FROM payload WHERE place IN (SELECT place FROM payload WHERE keep_until < ?1"
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
        err = payload_rows_open(rows->db, &rows->payloads);
    return err ? err : prepare(rows);
}

static void sqlite_close(struct payload_store *store)
{
    struct sqlite_rows *rows = store->rows;
    if (!rows)
        return;
    sqlite3_stmt *all[] = {rows->begin, rows->commit, rows->get, rows->size, rows->keep, rows->expire, rows->stats};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        sqlite3_finalize(all[i]);
    payload_rows_close(rows->payloads);
    db_close(rows->db);
    free(rows);
}

static enum cx_err keep(struct sqlite_rows *rows, uint64_t place, uint64_t keep_until_ms)
{
    db_bind_u64(rows->keep, 1, place);
    db_bind_u64(rows->keep, 2, keep_until_ms);
    return db_run(rows->keep);
}

static enum cx_err put(struct sqlite_rows *rows, const struct hash *name, struct span data, uint64_t keep_until_ms)
{
    uint64_t place = 0;
    enum cx_err err = payload_rows_find(rows->payloads, name, &place);
    if (err || place)
        return err ? err : keep(rows, place, keep_until_ms);
    err = payload_rows_put(rows->payloads, name, data, keep_until_ms);
    return err ? err : payload_rows_name_last(rows->payloads, name);
}

static enum cx_err sqlite_put(struct payload_store *store, const struct hash *name, struct span data,
                              uint64_t keep_until_ms)
{
    struct sqlite_rows *rows = store->rows;
    enum cx_err err = db_run(rows->begin);
    if (!err)
        err = put(rows, name, data, keep_until_ms);
    if (!err)
        err = db_run(rows->commit);
    if (err)
        sqlite3_exec(rows->db, "ROLLBACK", NULL, NULL, NULL);  // where SQLite has not done so already
    return err;
}

/* NOT_FOUND: also what is removed between finding it and reading it. */
static enum cx_err read_column(struct sqlite_rows *rows, const struct hash *name, sqlite3_stmt *stmt)
{
    uint64_t place = 0;
    bool row = false;
    enum cx_err err = payload_rows_find(rows->payloads, name, &place);
    if (err || !place)
        return err ? err : CX_NOT_FOUND;
    db_bind_u64(stmt, 1, place);
    err = db_step(stmt, &row);
    return err || row ? err : CX_NOT_FOUND;
}

static enum cx_err sqlite_get(struct payload_store *store, const struct hash *name, struct buf *ret_data)
{
    struct sqlite_rows *rows = store->rows;
    enum cx_err err = read_column(rows, name, rows->get);
    if (err)
        return err;
    struct span data = db_span(rows->get, 0);
    buf_add(ret_data, data.data, data.size);
    sqlite3_reset(rows->get);
    return CX_OK;
}

static enum cx_err sqlite_size(struct payload_store *store, const struct hash *name, uint64_t *ret_size)
{
    struct sqlite_rows *rows = store->rows;
    enum cx_err err = read_column(rows, name, rows->size);
    if (err)
        return err;
    *ret_size = db_u64(rows->size, 0);
    sqlite3_reset(rows->size);
    return CX_OK;
}

static enum cx_err sqlite_keep(struct payload_store *store, const struct hash *name, uint64_t keep_until_ms)
{
    struct sqlite_rows *rows = store->rows;
    uint64_t place = 0;
    enum cx_err err = payload_rows_find(rows->payloads, name, &place);
    if (!err && place)
        err = keep(rows, place, keep_until_ms);
    return !err && (!place || sqlite3_changes(rows->db) == 0) ? CX_NOT_FOUND : err;
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

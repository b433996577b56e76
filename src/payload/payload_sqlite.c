/* Payloads in an SQLite file, by default the ledger's own: then the ledger's writer puts most of them. */
#include <stdlib.h>

#include "base/assert.h"
#include "payload/store.h"
#include "proto/payload_rows.h"

struct sqlite_rows {
    sqlite3 *db;
    struct payload_rows *payloads;
    sqlite3_stmt *begin, *commit, *stats;
};

static enum cx_err prepare(struct sqlite_rows *rows)
{
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } all[] = {
        {"BEGIN IMMEDIATE", &rows->begin},
        {"COMMIT", &rows->commit},
        {"SELECT ifnull(sum(count), 0), ifnull(sum(size), 0), ifnull(min(keep_until), ?1) FROM payload", &rows->stats},
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
    sqlite3_stmt *all[] = {rows->begin, rows->commit, rows->stats};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        sqlite3_finalize(all[i]);
    payload_rows_close(rows->payloads);
    db_close(rows->db);
    free(rows);
}

static enum cx_err end(struct sqlite_rows *rows, enum cx_err err)
{
    if (!err)
        err = db_run(rows->commit);
    if (err)
        sqlite3_exec(rows->db, "ROLLBACK", NULL, NULL, NULL);  // where SQLite has not done so already
    return err;
}

/* What came with a batch shares its time with others: where it is to be kept longer, it is put once more. */
static enum cx_err put(struct sqlite_rows *rows, const struct hash *name, struct span data, uint64_t keep_until_ms)
{
    struct payload_row row;
    enum cx_err err = payload_rows_find(rows->payloads, name, &row);
    if (err || (row.pack && row.keep_until_ms >= keep_until_ms))
        return err;
    if (row.pack && row.count == 1)
        return payload_rows_keep(rows->payloads, &row, keep_until_ms);
    err = payload_rows_put(rows->payloads, name, data, keep_until_ms);
    return err ? err : payload_rows_end(rows->payloads);
}

static enum cx_err sqlite_put(struct payload_store *store, const struct hash *name, struct span data,
                              uint64_t keep_until_ms)
{
    struct sqlite_rows *rows = store->rows;
    enum cx_err err = db_run(rows->begin);
    return end(rows, err ? err : put(rows, name, data, keep_until_ms));
}

/* NOT_FOUND: also what is removed between finding it and reading it. */
static enum cx_err sqlite_get(struct payload_store *store, const struct hash *name, struct buf *ret_data)
{
    struct sqlite_rows *rows = store->rows;
    struct payload_row row;
    enum cx_err err = payload_rows_find(rows->payloads, name, &row);
    if (!err && !row.pack)
        err = CX_NOT_FOUND;
    return err ? err : payload_rows_get(rows->payloads, &row, ret_data);
}

static enum cx_err sqlite_size(struct payload_store *store, const struct hash *name, uint64_t *ret_size)
{
    struct sqlite_rows *rows = store->rows;
    struct payload_row row;
    enum cx_err err = payload_rows_find(rows->payloads, name, &row);
    *ret_size = row.size;
    return err || row.pack ? err : CX_NOT_FOUND;
}

static enum cx_err sqlite_expire(struct payload_store *store, uint64_t now_ms, bool *ret_more)
{
    struct sqlite_rows *rows = store->rows;
    uint32_t packs = 0;
    enum cx_err err = db_run(rows->begin);
    if (!err)
        err = payload_rows_expire(rows->payloads, now_ms, PAYLOAD_EXPIRE_STEP_MAX, &packs);
    *ret_more = packs == PAYLOAD_EXPIRE_STEP_MAX;
    return end(rows, err);
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
    .expire = sqlite_expire,
    .stats = sqlite_stats,
};

#include "proto/payload_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define NAME_SIZE   8
#define SHELF_SHIFT 16
#define ROUND_MAX   16384  // payloads that are named in one round

enum statement { PUT, NAMED, UNNAMED, NAME, NAME_IF_THERE, SET_NAMED, FIND, STATEMENT_COUNT };

/* FIND: the shelves from the last to the first, then what has no name yet; one statement, so that nobody names it
 * between the two. */
static const char *const statements[STATEMENT_COUNT] = {
    [PUT] = "INSERT INTO payload (sha256, keep_until, size, data) VALUES (?1, ?2, ?3, ?4)",
    [NAMED] = "SELECT place, gone FROM payload_named",
    [UNNAMED] = "SELECT place, sha256 FROM payload WHERE place > ?1 ORDER BY place LIMIT ?2",
    [NAME] = "INSERT OR IGNORE INTO payload_name VALUES (?1 >> 16, ?2, ?1)",
    [NAME_IF_THERE] = "INSERT OR IGNORE INTO payload_name SELECT place >> 16, ?2, place FROM payload"
                      " WHERE place = ?1 AND substr(sha256, 1, 8) = ?2",
    [SET_NAMED] = "UPDATE payload_named SET place = ?1",
    [FIND] = "WITH RECURSIVE shelf (number) AS (SELECT max(place) >> 16 FROM payload UNION ALL"
             " SELECT number - 1 FROM shelf WHERE number > (SELECT min(place) >> 16 FROM payload))"
             " SELECT n.place FROM shelf CROSS JOIN payload_name AS n ON n.shelf = shelf.number"
             " AND n.name = substr(?1, 1, 8) CROSS JOIN payload AS p ON p.place = n.place AND p.sha256 = ?1"
             " UNION ALL SELECT place FROM payload WHERE place > (SELECT place FROM payload_named) AND sha256 = ?1"
             " LIMIT 1",
};

struct name {
    uint64_t place;
    uint8_t name[NAME_SIZE];
};

struct payload_rows {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENT_COUNT];
    uint64_t last;       // place that was put last on this connection
    struct name *round;  // [round_count], in the order of their pages; NULL: no round is under way
    uint32_t round_count, round_at;
    uint64_t round_last;  // the last place of the round
    uint64_t round_gone;  // payloads that were gone when it began
};

enum cx_err payload_rows_open(sqlite3 *db, struct payload_rows **ret_rows)
{
    struct payload_rows *rows = calloc(1, sizeof *rows);
    cx_assert(rows);
    rows->db = db;
    enum cx_err err = db_exec(db, "BEGIN IMMEDIATE; " PAYLOAD_ROWS_SCHEMA " COMMIT");
    for (size_t i = 0; i < STATEMENT_COUNT && !err; i++)
        err = db_prepare(db, statements[i], &rows->stmt[i]);
    if (err) {
        payload_rows_close(rows);
        return err;
    }
    *ret_rows = rows;
    return CX_OK;
}

void payload_rows_close(struct payload_rows *rows)
{
    if (!rows)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(rows->stmt[i]);
    free(rows->round);
    free(rows);
}

enum cx_err payload_rows_put(struct payload_rows *rows, const struct hash *sha256, struct span data,
                             uint64_t keep_until_ms)
{
    sqlite3_stmt *stmt = rows->stmt[PUT];
    db_bind_bytes(stmt, 1, sha256->b, sizeof sha256->b);
    db_bind_u64(stmt, 2, keep_until_ms);
    db_bind_u64(stmt, 3, data.size);
    db_bind_bytes(stmt, 4, data.data, data.size);
    enum cx_err err = db_run(stmt);
    if (!err)
        rows->last = (uint64_t)sqlite3_last_insert_rowid(rows->db);
    return err;
}

/* ---- names ---- */

/* Also where it has one: then there is nothing to do. `how`: NAME, or NAME_IF_THERE where its payload may be gone. */
static enum cx_err put_name(struct payload_rows *rows, enum statement how, uint64_t place, const uint8_t *name)
{
    sqlite3_stmt *stmt = rows->stmt[how];
    db_bind_u64(stmt, 1, place);
    db_bind_bytes(stmt, 2, name, NAME_SIZE);
    return db_run(stmt);
}

enum cx_err payload_rows_name_last(struct payload_rows *rows, const struct hash *sha256)
{
    return put_name(rows, NAME, rows->last, sha256->b);
}

static int in_order_of_pages(const void *a, const void *b)
{
    const struct name *na = a, *nb = b;
    uint64_t shelf_a = na->place >> SHELF_SHIFT, shelf_b = nb->place >> SHELF_SHIFT;
    return shelf_a != shelf_b ? (shelf_a < shelf_b ? -1 : 1) : memcmp(na->name, nb->name, NAME_SIZE);
}

static enum cx_err begin_round(struct payload_rows *rows, uint64_t named, uint64_t gone)
{
    sqlite3_stmt *stmt = rows->stmt[UNNAMED];
    struct hash sha256;
    bool row = true;
    enum cx_err err = CX_OK;
    rows->round = malloc(ROUND_MAX * sizeof *rows->round);
    cx_assert(rows->round);
    rows->round_count = rows->round_at = 0;
    rows->round_last = named;
    rows->round_gone = gone;
    db_bind_u64(stmt, 1, named);
    db_bind_u64(stmt, 2, ROUND_MAX);
    while (!err && !(err = db_step(stmt, &row)) && row) {
        struct name *name = &rows->round[rows->round_count];
        name->place = rows->round_last = db_u64(stmt, 0);
        if (!db_bytes(stmt, 1, sha256.b, sizeof sha256.b)) {
            sqlite3_reset(stmt);
            return cx_fail(CX_CORRUPT, "%s: payload %llu is damaged: its name is no hash",
                           sqlite3_db_filename(rows->db, "main"), (unsigned long long)name->place);
        }
        memcpy(name->name, sha256.b, NAME_SIZE);
        rows->round_count++;
    }
    qsort(rows->round, rows->round_count, sizeof *rows->round, in_order_of_pages);
    return err;
}

static enum cx_err end_round(struct payload_rows *rows)
{
    sqlite3_stmt *stmt = rows->stmt[SET_NAMED];
    free(rows->round);
    rows->round = NULL;
    db_bind_u64(stmt, 1, rows->round_last);
    return db_run(stmt);
}

static enum cx_err get_named(struct payload_rows *rows, uint64_t *ret_named, uint64_t *ret_gone)
{
    bool row = false;
    enum cx_err err = db_step(rows->stmt[NAMED], &row);
    *ret_named = !err && row ? db_u64(rows->stmt[NAMED], 0) : 0;
    *ret_gone = !err && row ? db_u64(rows->stmt[NAMED], 1) : 0;
    sqlite3_reset(rows->stmt[NAMED]);
    return err;
}

enum cx_err payload_rows_name_some(struct payload_rows *rows, uint32_t count)
{
    uint64_t named = 0, gone = 0;
    if (count == 0)
        return CX_OK;
    enum cx_err err = get_named(rows, &named, &gone);
    if (!err && !rows->round) {
        if (rows->last < named + (count == 1 ? PAYLOAD_NAMES_IDLE : PAYLOAD_NAMES_MIN))
            return CX_OK;
        err = begin_round(rows, named, gone);
    }
    uint32_t most = u32_max(PAYLOAD_NAMES_STEP, 2 * count);
    enum statement how = gone == rows->round_gone ? NAME : NAME_IF_THERE;
    for (uint32_t i = 0; i < most && rows->round_at < rows->round_count && !err; i++, rows->round_at++) {
        const struct name *name = &rows->round[rows->round_at];
        err = put_name(rows, how, name->place, name->name);
    }
    return err || rows->round_at < rows->round_count ? err : end_round(rows);
}

/* ---- finding ---- */

enum cx_err payload_rows_find(struct payload_rows *rows, const struct hash *sha256, uint64_t *ret_place)
{
    sqlite3_stmt *stmt = rows->stmt[FIND];
    bool row = false;
    db_bind_bytes(stmt, 1, sha256->b, sizeof sha256->b);
    enum cx_err err = db_step(stmt, &row);
    *ret_place = !err && row ? db_u64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return err;
}

#include "proto/payload_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"

enum statement { PUT, READ, LISTS, DATA, KEEP, EXPIRE, STATEMENT_COUNT };

/* PUT: a number that no pack has, and that no names lead to. */
static const char *const statements[STATEMENT_COUNT] = {
    [PUT] = "INSERT INTO payload VALUES (1 + max(ifnull((SELECT max(pack) FROM payload), 0),"
            " ifnull((SELECT last FROM payload_name ORDER BY run DESC LIMIT 1), 0)), ?1, ?2, ?3, ?4, ?5)",
    [READ] = "SELECT list, keep_until FROM payload WHERE pack = ?1",
    [LISTS] = "SELECT pack, list FROM payload WHERE pack > ?1 ORDER BY pack",
    [DATA] = "SELECT substr(data, ?2 + 1, ?3) FROM payload WHERE pack = ?1",
    [KEEP] = "UPDATE payload SET keep_until = max(keep_until, ?2) WHERE pack = ?1",
    [EXPIRE] = "DELETE FROM payload WHERE pack IN (SELECT pack FROM payload WHERE keep_until < ?1"
               " ORDER BY keep_until LIMIT ?2)",
};

/* What was put and is in no row yet. */
struct gathered {
    uint32_t count;
    uint64_t size;
    uint64_t first_ms, last_ms;  // of their times
    uint8_t list[PAYLOAD_PACK_COUNT_MAX * PAYLOAD_LIST_SIZE];
    struct span data[PAYLOAD_PACK_COUNT_MAX];
};

struct payload_rows {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENT_COUNT];
    struct payload_names *names;
    struct gathered gathered;
    uint32_t put;     // payloads since the last payload_rows_end
    struct buf data;  // of the pack that is being written
};

enum cx_err payload_rows_open(sqlite3 *db, struct payload_rows **ret_rows)
{
    struct payload_rows *rows = calloc(1, sizeof *rows);
    cx_assert(rows);
    rows->db = db;
    enum cx_err err = db_exec(db, "BEGIN IMMEDIATE; " PAYLOAD_ROWS_SCHEMA " COMMIT");
    for (size_t i = 0; i < STATEMENT_COUNT && !err; i++)
        err = db_prepare(db, statements[i], &rows->stmt[i]);
    if (!err)
        err = payload_names_open(db, &rows->names);
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
    payload_names_close(rows->names);
    buf_done(&rows->data);
    free(rows);
}

/* ---- putting ---- */

static struct span join(struct payload_rows *rows)
{
    const struct gathered *g = &rows->gathered;
    if (g->count == 1)
        return g->data[0];
    buf_reset(&rows->data);
    for (uint32_t i = 0; i < g->count; i++)
        buf_add(&rows->data, g->data[i].data, g->data[i].size);
    return (struct span){(const uint8_t *)rows->data.data, (uint32_t)rows->data.size};
}

static enum cx_err write_pack(struct payload_rows *rows)
{
    struct gathered *g = &rows->gathered;
    sqlite3_stmt *stmt = rows->stmt[PUT];
    if (g->count == 0)
        return CX_OK;
    struct span data = join(rows);
    db_bind_u64(stmt, 1, g->last_ms);
    db_bind_u64(stmt, 2, g->count);
    db_bind_u64(stmt, 3, g->size);
    db_bind_bytes(stmt, 4, g->list, (size_t)g->count * PAYLOAD_LIST_SIZE);
    db_bind_bytes(stmt, 5, data.data, data.size);
    g->count = 0;
    g->size = 0;
    return db_run(stmt);
}

static bool fits(const struct gathered *g, struct span data, uint64_t keep_until_ms)
{
    if (g->count == 0)
        return true;
    uint64_t first_ms = u64_min(g->first_ms, keep_until_ms), last_ms = u64_max(g->last_ms, keep_until_ms);
    return g->count < PAYLOAD_PACK_COUNT_MAX && g->size + data.size <= PAYLOAD_PACK_SIZE_MAX &&
           last_ms - first_ms <= PAYLOAD_PACK_MS_MAX;
}

static void gather(struct gathered *g, const struct hash *sha256, struct span data, uint64_t keep_until_ms)
{
    uint8_t *list = g->list + g->count * PAYLOAD_LIST_SIZE;
    g->first_ms = g->count == 0 ? keep_until_ms : u64_min(g->first_ms, keep_until_ms);
    g->last_ms = g->count == 0 ? keep_until_ms : u64_max(g->last_ms, keep_until_ms);
    g->size += data.size;
    memcpy(list, sha256->b, sizeof sha256->b);
    be32_put(list + sizeof sha256->b, (uint32_t)g->size);
    g->data[g->count++] = data;
}

enum cx_err payload_rows_put(struct payload_rows *rows, const struct hash *sha256, struct span data,
                             uint64_t keep_until_ms)
{
    enum cx_err err = fits(&rows->gathered, data, keep_until_ms) ? CX_OK : write_pack(rows);
    if (err)
        return err;
    gather(&rows->gathered, sha256, data, keep_until_ms);
    rows->put++;
    return CX_OK;
}

enum cx_err payload_rows_end(struct payload_rows *rows)
{
    uint32_t put = rows->put;
    rows->put = 0;
    if (put == 0)
        return CX_OK;
    enum cx_err err = write_pack(rows);
    return err ? err : payload_names_put(rows->names, put);
}

/* ---- finding ---- */

struct search {
    struct payload_rows *rows;
    const struct hash *sha256;
    struct payload_row row;
};

/* Its place in the list, which may be damaged: what it leads to is then not what its name says. */
static struct payload_row row_at(uint64_t pack, struct span list, uint32_t index)
{
    const uint8_t *end = list.data + (size_t)index * PAYLOAD_LIST_SIZE + sizeof(struct hash);
    uint32_t at = index > 0 ? be32(end - PAYLOAD_LIST_SIZE) : 0;
    return (struct payload_row){
        .pack = pack,
        .count = list.size / PAYLOAD_LIST_SIZE,
        .at = at,
        .size = be32(end) - at,
    };
}

static bool is_named(struct span list, uint32_t index, const struct hash *sha256)
{
    return index < list.size / PAYLOAD_LIST_SIZE &&
           memcmp(list.data + (size_t)index * PAYLOAD_LIST_SIZE, sha256->b, sizeof sha256->b) == 0;
}

static enum cx_err is_it(void *ctx, uint64_t pack, uint32_t index, bool *ret_is)
{
    struct search *search = ctx;
    sqlite3_stmt *stmt = search->rows->stmt[READ];
    bool row = false;
    db_bind_u64(stmt, 1, pack);
    enum cx_err err = db_step(stmt, &row);
    struct span list = !err && row ? db_span(stmt, 0) : (struct span){0};
    *ret_is = is_named(list, index, search->sha256);
    if (*ret_is) {
        search->row = row_at(pack, list, index);
        search->row.keep_until_ms = db_u64(stmt, 1);
    }
    sqlite3_reset(stmt);
    return err;
}

/* Through the packs that have no names yet. */
static enum cx_err look_through(struct search *search, uint64_t named)
{
    sqlite3_stmt *stmt = search->rows->stmt[LISTS];
    bool row = true, found = false;
    enum cx_err err = CX_OK;
    db_bind_u64(stmt, 1, named);
    while (!err && !found && !(err = db_step(stmt, &row)) && row) {
        struct span list = db_span(stmt, 1);
        for (uint32_t i = 0; i < list.size / PAYLOAD_LIST_SIZE && !err && !found; i++)
            if (is_named(list, i, search->sha256))
                err = is_it(search, db_u64(stmt, 0), i, &found);
    }
    sqlite3_reset(stmt);
    return err;
}

enum cx_err payload_rows_find(struct payload_rows *rows, const struct hash *sha256, struct payload_row *ret_row)
{
    struct search search = {rows, sha256, {0}};
    uint64_t named = 0;
    enum cx_err err = payload_names_last(rows->names, &named);
    if (!err)
        err = look_through(&search, named);
    if (!err && search.row.pack == 0)
        err = payload_names_find(rows->names, sha256, is_it, &search);
    *ret_row = search.row;
    return err;
}

enum cx_err payload_rows_get(struct payload_rows *rows, const struct payload_row *row, struct buf *ret_data)
{
    sqlite3_stmt *stmt = rows->stmt[DATA];
    bool there = false;
    db_bind_u64(stmt, 1, row->pack);
    db_bind_u64(stmt, 2, row->at);
    db_bind_u64(stmt, 3, row->size);
    enum cx_err err = db_step(stmt, &there);
    if (!err && there) {
        struct span data = db_span(stmt, 0);
        buf_add(ret_data, data.data, data.size);
    }
    sqlite3_reset(stmt);
    return err || there ? err : CX_NOT_FOUND;
}

/* ---- keeping ---- */

enum cx_err payload_rows_keep(struct payload_rows *rows, const struct payload_row *row, uint64_t keep_until_ms)
{
    cx_assert(row->count == 1);
    db_bind_u64(rows->stmt[KEEP], 1, row->pack);
    db_bind_u64(rows->stmt[KEEP], 2, keep_until_ms);
    return db_run(rows->stmt[KEEP]);
}

enum cx_err payload_rows_expire(struct payload_rows *rows, uint64_t now_ms, uint32_t most, uint32_t *ret_packs)
{
    db_bind_u64(rows->stmt[EXPIRE], 1, now_ms);
    db_bind_u64(rows->stmt[EXPIRE], 2, most);
    enum cx_err err = db_run(rows->stmt[EXPIRE]);
    *ret_packs = err ? 0 : (uint32_t)sqlite3_changes(rows->db);
    return err || *ret_packs == 0 ? err : payload_names_forget(rows->names);
}

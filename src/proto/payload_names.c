#include "proto/payload_names.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "proto/payload_rows.h"

#define NAME_SIZE  PAYLOAD_NAMES_PREFIX
#define ENTRY_SIZE PAYLOAD_NAMES_ENTRY
#define BEHIND_ALL ((uint64_t)1 << 54)  // packs; in FORGET too

enum statement { LAST_RUN, NAMES, PUT_ROW, DROP_RUN, RUN_BEFORE, PACKS, COUNT_PACKS, FORGET, STATEMENT_COUNT };

static const char *const statements[STATEMENT_COUNT] = {
    [LAST_RUN] = "SELECT run >> 8, last, count FROM payload_name ORDER BY run DESC LIMIT 1",
    [NAMES] = "SELECT names FROM payload_name WHERE run BETWEEN ?1 << 8 AND ?1 << 8 | 255 ORDER BY run",
    [PUT_ROW] = "INSERT INTO payload_name VALUES (?1, ?2, ?3, ?4)",
    [DROP_RUN] = "DELETE FROM payload_name WHERE run BETWEEN ?1 << 8 AND ?1 << 8 | 255",
    [RUN_BEFORE] = ("SELECT run >> 8, (SELECT names FROM payload_name AS row WHERE row.run = (top.run & ~255 | ?2))"
                    " FROM payload_name AS top WHERE run < ?1 << 8 ORDER BY run DESC LIMIT 1"),
    [PACKS] = "SELECT pack, list FROM payload WHERE pack > ?1 ORDER BY pack",
    [COUNT_PACKS] = "SELECT sum(count) FROM payload WHERE pack > ?1",
    [FORGET] = ("WITH pack (first) AS (SELECT ifnull(min(pack), 1 << 54) FROM payload) DELETE FROM payload_name"
                " WHERE run < (SELECT first FROM pack) << 8 AND last < (SELECT first FROM pack)"),
};

/* Entries say where they are from `first` on. */
struct run {
    uint64_t first, last;              // packs
    struct payload_name_entry *entry;  // [count]
    uint32_t count, cap;
};

struct payload_names {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENT_COUNT];
    uint64_t unnamed;  // payloads that were put on this connection since the last run, and those found at its opening
};

/* ---- entries ---- */

struct payload_name_entry payload_name_entry(const uint8_t *name, uint64_t packs_on, uint32_t index)
{
    struct payload_name_entry entry;
    memcpy(entry.b, name, NAME_SIZE);
    be32_put(entry.b + NAME_SIZE, (uint32_t)packs_on << 8 | index);
    return entry;
}

uint32_t payload_name_packs_on(const struct payload_name_entry *entry) { return be32(entry->b + NAME_SIZE) >> 8; }

int payload_name_compare(const void *a, const void *b) { return memcmp(a, b, ENTRY_SIZE); }

static uint32_t entry_index(const struct payload_name_entry *entry) { return be32(entry->b + NAME_SIZE) & 0xff; }

/* ---- runs ---- */

static void run_add(struct run *run, struct payload_name_entry entry)
{
    if (run->count == run->cap) {
        run->cap = run->cap ? run->cap * 2 : PAYLOAD_NAMES_MIN;
        run->entry = realloc(run->entry, run->cap * sizeof *run->entry);
        cx_assert(run->entry);
    }
    run->entry[run->count++] = entry;
}

/* 0 of all: there is none. */
static enum cx_err last_run(struct payload_names *names, struct run *ret_run)
{
    sqlite3_stmt *stmt = names->stmt[LAST_RUN];
    bool row = false;
    *ret_run = (struct run){0};
    enum cx_err err = db_step(stmt, &row);
    if (!err && row)
        *ret_run = (struct run){.first = db_u64(stmt, 0), .last = db_u64(stmt, 1), .count = (uint32_t)db_u64(stmt, 2)};
    sqlite3_reset(stmt);
    return err;
}

/* Fills an empty run with the names of all packs behind `last`. */
static enum cx_err make_run(struct payload_names *names, uint64_t last, struct run *run)
{
    sqlite3_stmt *stmt = names->stmt[PACKS];
    bool row = true;
    db_bind_u64(stmt, 1, last);
    enum cx_err err = db_step(stmt, &row);
    for (run->first = !err && row ? db_u64(stmt, 0) : 0; !err && row; err = db_step(stmt, &row)) {
        uint64_t pack = db_u64(stmt, 0);
        if (pack - run->first > PAYLOAD_NAMES_SPAN)
            break;
        struct span list = db_span(stmt, 1);
        for (uint32_t i = 0; i < list.size / PAYLOAD_LIST_SIZE; i++)
            run_add(run, payload_name_entry(list.data + i * PAYLOAD_LIST_SIZE, pack - run->first, i));
        run->last = pack;
    }
    sqlite3_reset(stmt);
    if (run->count > 0)
        qsort(run->entry, run->count, sizeof *run->entry, payload_name_compare);
    return err;
}

/* As many names as the run says that it has. */
static enum cx_err read_run(struct payload_names *names, struct run *run)
{
    sqlite3_stmt *stmt = names->stmt[NAMES];
    uint32_t count = run->count;
    bool row = true, well = true;
    enum cx_err err = CX_OK;
    run->count = 0;
    db_bind_u64(stmt, 1, run->first);
    while (!err && well && !(err = db_step(stmt, &row)) && row) {
        struct span bytes = db_span(stmt, 0);
        for (uint32_t at = 0; at + ENTRY_SIZE <= bytes.size; at += ENTRY_SIZE) {
            struct payload_name_entry entry;
            memcpy(entry.b, bytes.data + at, ENTRY_SIZE);
            run_add(run, entry);
        }
        well = bytes.size % ENTRY_SIZE == 0 && run->count <= count;
    }
    sqlite3_reset(stmt);
    if (err || (well && run->count == count))
        return err;
    return cx_fail(CX_CORRUPT, "%s: the index of payloads' names is damaged at pack %llu: restore it from a backup",
                   sqlite3_db_filename(names->db, "main"), (unsigned long long)run->first);
}

/* Both are sorted; what is newer says where it is from the older one's first pack on. */
static void merge(struct run *older, struct run *run)
{
    uint32_t shift = (uint32_t)(run->first - older->first) << 8;
    struct run both = {.first = older->first, .last = run->last};
    for (uint32_t i = 0; i < run->count; i++)
        be32_put(run->entry[i].b + NAME_SIZE, be32(run->entry[i].b + NAME_SIZE) + shift);
    for (uint32_t i = 0, k = 0; i < older->count || k < run->count;) {
        bool from_older =
            k == run->count || (i < older->count && payload_name_compare(&older->entry[i], &run->entry[k]) < 0);
        run_add(&both, from_older ? older->entry[i++] : run->entry[k++]);
    }
    free(run->entry);
    *run = both;
}

static bool takes_up(const struct run *run, const struct run *older)
{
    return older->count > 0 && older->count <= 2 * (uint64_t)run->count &&
           older->count + (uint64_t)run->count <= PAYLOAD_NAMES_RUN_MAX &&
           run->last - older->first <= PAYLOAD_NAMES_SPAN;
}

static enum cx_err take_up(struct payload_names *names, struct run *run, struct run *older)
{
    enum cx_err err = read_run(names, older);
    if (!err) {
        db_bind_u64(names->stmt[DROP_RUN], 1, older->first);
        err = db_run(names->stmt[DROP_RUN]);
    }
    if (!err)
        merge(older, run);
    free(older->entry);
    return err;
}

static enum cx_err put_run(struct payload_names *names, const struct run *run)
{
    sqlite3_stmt *stmt = names->stmt[PUT_ROW];
    enum cx_err err = CX_OK;
    for (uint32_t at = 0, end = 0; at < run->count && !err;) {
        uint8_t byte = run->entry[at].b[0];
        while (end < run->count && run->entry[end].b[0] == byte)
            end++;
        db_bind_u64(stmt, 1, run->first << 8 | byte);
        db_bind_u64(stmt, 2, run->last);
        db_bind_u64(stmt, 3, run->count);
        db_bind_bytes(stmt, 4, run->entry + at, (end - at) * sizeof *run->entry);
        err = db_run(stmt);
        at = end;
    }
    return err;
}

static enum cx_err write_run(struct payload_names *names)
{
    struct run run = {0}, older;
    enum cx_err err = last_run(names, &older);
    if (!err)
        err = make_run(names, older.last, &run);
    while (!err && takes_up(&run, &older)) {
        err = take_up(names, &run, &older);
        if (!err)
            err = last_run(names, &older);
    }
    if (!err && run.count > 0)
        err = put_run(names, &run);
    free(run.entry);
    return err;
}

/* ---- the public side ---- */

static enum cx_err count_unnamed(struct payload_names *names)
{
    sqlite3_stmt *stmt = names->stmt[COUNT_PACKS];
    uint64_t last = 0;
    bool row = false;
    enum cx_err err = payload_names_last(names, &last);
    if (err)
        return err;
    db_bind_u64(stmt, 1, last);
    err = db_step(stmt, &row);
    names->unnamed = !err && row ? db_u64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return err;
}

enum cx_err payload_names_open(sqlite3 *db, struct payload_names **ret_names)
{
    struct payload_names *names = calloc(1, sizeof *names);
    cx_assert(names);
    names->db = db;
    enum cx_err err = CX_OK;
    for (size_t i = 0; i < STATEMENT_COUNT && !err; i++)
        err = db_prepare(db, statements[i], &names->stmt[i]);
    if (!err)
        err = count_unnamed(names);
    if (err) {
        payload_names_close(names);
        return err;
    }
    *ret_names = names;
    return CX_OK;
}

void payload_names_close(struct payload_names *names)
{
    if (!names)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(names->stmt[i]);
    free(names);
}

enum cx_err payload_names_put(struct payload_names *names, uint32_t payloads)
{
    names->unnamed += payloads;
    if (names->unnamed < (payloads == 1 ? PAYLOAD_NAMES_IDLE : PAYLOAD_NAMES_MIN))
        return CX_OK;
    enum cx_err err = write_run(names);
    return err ? err : count_unnamed(names);
}

enum cx_err payload_names_forget(struct payload_names *names) { return db_run(names->stmt[FORGET]); }

enum cx_err payload_names_last(struct payload_names *names, uint64_t *ret_pack)
{
    struct run run;
    enum cx_err err = last_run(names, &run);
    *ret_pack = run.last;
    return err;
}

/* The first entry of a name that is not before this one. */
static uint32_t lower_bound(struct span bytes, const uint8_t *name)
{
    uint32_t low = 0, high = bytes.size / ENTRY_SIZE;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (memcmp(bytes.data + (size_t)middle * ENTRY_SIZE, name, NAME_SIZE) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum cx_err find_in(struct span bytes, uint64_t first, const struct hash *sha256, payload_is *is, void *ctx,
                           bool *ret_found)
{
    enum cx_err err = CX_OK;
    for (uint32_t i = lower_bound(bytes, sha256->b); !err && !*ret_found && i < bytes.size / ENTRY_SIZE; i++) {
        struct payload_name_entry entry;
        memcpy(entry.b, bytes.data + (size_t)i * ENTRY_SIZE, ENTRY_SIZE);
        if (memcmp(entry.b, sha256->b, NAME_SIZE) != 0)
            break;
        err = is(ctx, first + payload_name_packs_on(&entry), entry_index(&entry), ret_found);
    }
    return err;
}

enum cx_err payload_names_find(struct payload_names *names, const struct hash *sha256, payload_is *is, void *ctx)
{
    sqlite3_stmt *stmt = names->stmt[RUN_BEFORE];
    bool found = false, row = true;
    enum cx_err err = CX_OK;
    for (uint64_t before = BEHIND_ALL; !err && !found && row; sqlite3_reset(stmt)) {
        db_bind_u64(stmt, 1, before);
        db_bind_u64(stmt, 2, sha256->b[0]);
        err = db_step(stmt, &row);
        if (err || !row)
            continue;
        before = db_u64(stmt, 0);
        err = find_in(db_span(stmt, 1), before, sha256, is, ctx, &found);
    }
    return err;
}

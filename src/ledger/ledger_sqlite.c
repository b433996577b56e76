#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "ledger/sqlite_store.h"
#include "proto/payload_rows.h"

#define SCHEMA                                                                                         \
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"                  \
    "CREATE TABLE writer (router BLOB PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID;"             \
    "CREATE TABLE batch (seq INTEGER PRIMARY KEY, count INTEGER NOT NULL, router BLOB NOT NULL,"       \
    " epoch INTEGER NOT NULL, number INTEGER NOT NULL, time_ms INTEGER NOT NULL, chain BLOB NOT NULL," \
    " body BLOB NOT NULL);"                                                                            \
    "CREATE UNIQUE INDEX batch_by_number ON batch (router, epoch, number);" PAYLOAD_ROWS_SCHEMA

/* ---- who writes -------------------------------------------------------------------------------- */

static enum cx_err take_ownership(struct ledger *ledger, struct file_owner **ret_owner)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s-owner", ledger->place) >= (int)sizeof path)
        return cx_fail(CX_INVALID, "%s: the path is too long", ledger->uri);
    enum cx_err err = file_own(path, ret_owner);
    if (err == CX_BUSY)
        err = cx_fail(CX_BUSY, "%s is in use by process %ld: stop that one first, or open the ledger for reading",
                      ledger->uri, file_owner_pid(path));
    return err;
}

/* ---- the file ---------------------------------------------------------------------------------- */

static enum cx_err create_tables(struct ledger *ledger, sqlite3 *db)
{
    char sql[256];
    enum cx_err err = db_exec(db, "BEGIN IMMEDIATE; " SCHEMA);
    snprintf(sql, sizeof sql,
             "INSERT INTO meta VALUES ('network', %lld); PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             (long long)ledger->options.network, SQLITE_APPLICATION_ID, LEDGER_FORMAT);
    if (!err)
        err = db_exec(db, sql);
    return err ? err : file_sync_folder(ledger->place);
}

/* Whether there is a ledger in the file; only payloads or nothing at all is none, and anything else is an error. */
static enum cx_err look(struct ledger *ledger, sqlite3 *db, bool *ret_ledger)
{
    int64_t application = 0, format = 0, tables = 0;
    enum cx_err err = db_number(db, "PRAGMA application_id", &application);
    if (!err)
        err = db_number(db, "PRAGMA user_version", &format);
    if (!err)
        err = db_number(db, PAYLOAD_ROWS_OTHER_TABLES, &tables);
    if (err)
        return err;
    if (application == SQLITE_APPLICATION_ID && format > LEDGER_FORMAT)
        return cx_fail(CX_UNSUPPORTED, "%s has format %lld; this program knows formats up to %d: use a newer one",
                       ledger->uri, (long long)format, LEDGER_FORMAT);
    if (application == SQLITE_APPLICATION_ID && format < 1)
        return cx_fail(CX_CORRUPT, "%s: its format %lld is none", ledger->uri, (long long)format);
    if (application != SQLITE_APPLICATION_ID && (application || tables))
        return cx_fail(CX_INVALID, "%s is an SQLite database, but no ledger", ledger->uri);
    *ret_ledger = application == SQLITE_APPLICATION_ID;
    return CX_OK;
}

static enum cx_err read_network(struct ledger *ledger, sqlite3 *db)
{
    int64_t network = 0;
    enum cx_err err = db_number(db, "SELECT value FROM meta WHERE key = 'network'", &network);
    if (!err && network == 0)
        err = cx_fail(CX_CORRUPT, "%s: it does not say which network it belongs to", ledger->uri);
    ledger->network = (uint64_t)network;
    return err ? err : ledger_check_network(ledger);
}

static enum cx_err open_file(struct ledger *ledger, struct sqlite_store *store)
{
    bool create = ledger->options.mode == LEDGER_CREATE, found = false;
    enum cx_err err = CX_OK;
    if (ledger->options.mode != LEDGER_READ) {
        sqlite3 *db = NULL;
        err = db_open(ledger->place, create ? DB_CREATE : DB_WRITE, &db);
        if (!err)
            err = db_settle(db);
        if (!err)
            err = look(ledger, db, &found);
        if (!err && !found && create)
            err = create_tables(ledger, db);
        sqlite3_close(db);
    }
    if (!err)
        err = db_open(ledger->place, DB_READ, &store->reader);
    if (!err)
        db_leave_log(store->reader);
    if (!err)
        err = look(ledger, store->reader, &found);
    if (!err && !found)
        err = cx_fail(CX_NOT_FOUND, "%s: there is no ledger in this file", ledger->uri);
    if (!err)
        err = read_network(ledger, store->reader);
    if (!err)
        err = db_prepare(store->reader,
                         "SELECT " SQLITE_BATCH_COLUMNS " FROM batch WHERE seq <= ?1 ORDER BY seq DESC LIMIT 1",
                         &store->find);
    if (!err)
        err = db_prepare(store->reader, "SELECT " SQLITE_BATCH_COLUMNS " FROM batch ORDER BY seq DESC LIMIT 1",
                         &store->last);
    return err;
}

/* ---- reading ----------------------------------------------------------------------------------- */

enum cx_err sqlite_batch_get(sqlite3_stmt *stmt, const char *name, struct ledger_batch *ret_batch)
{
    static const char *const columns[] = {"seq", "count", "router", "epoch", "number", "time_ms", "chain", "body"};
    static const int types[] = {SQLITE_INTEGER, SQLITE_INTEGER, SQLITE_BLOB, SQLITE_INTEGER,
                                SQLITE_INTEGER, SQLITE_INTEGER, SQLITE_BLOB, SQLITE_BLOB};
    long long seq = sqlite3_column_int64(stmt, 0);
    int count = sqlite3_column_count(stmt);
    for (int i = 0; i < count; i++) {
        bool good = sqlite3_column_type(stmt, i) == types[i];
        if (good && types[i] == SQLITE_INTEGER)
            good = sqlite3_column_int64(stmt, i) >= (i == 0 ? 1 : 0);
        if (!good)
            return cx_fail(CX_CORRUPT, "%s: the batch at position %lld is damaged: its %s is none", name, seq,
                           columns[i]);
    }
    struct ledger_batch batch = {.seq = (uint64_t)seq};
    int64_t entries = sqlite3_column_int64(stmt, 1);
    if (entries < 1 || entries > LEDGER_BATCH_COUNT_MAX)
        return cx_fail(CX_CORRUPT, "%s: the batch at position %lld is damaged: it says it has %lld entries", name, seq,
                       (long long)entries);
    batch.count = (uint32_t)entries;
    if (!db_bytes(stmt, 2, batch.router.b, sizeof batch.router.b))
        return cx_fail(CX_CORRUPT, "%s: the batch at position %lld is damaged: its router is no address", name, seq);
    batch.epoch = (uint64_t)sqlite3_column_int64(stmt, 3);
    batch.number = (uint64_t)sqlite3_column_int64(stmt, 4);
    batch.time_ms = (uint64_t)sqlite3_column_int64(stmt, 5);
    if (!db_bytes(stmt, 6, batch.chain.b, sizeof batch.chain.b))
        return cx_fail(CX_CORRUPT, "%s: the batch at position %lld is damaged: its hash is no hash", name, seq);
    if (count > 7)
        batch.body = db_span(stmt, 7);
    *ret_batch = batch;
    return CX_OK;
}

/* SQLite's own findings name a page; people want to know which ledger, and that it is the disk's doing. */
static enum cx_err damaged(struct ledger *ledger, enum cx_err err)
{
    if (err != CX_CORRUPT)
        return err;
    return cx_fail(CX_CORRUPT, "%s: %s: restore it from a backup", ledger->uri, cx_detail());
}

static enum cx_err get_one(struct ledger *ledger, sqlite3_stmt *stmt, struct ledger_batch *ret_batch)
{
    bool row = false;
    enum cx_err err = db_step(stmt, &row);
    if (err)
        return damaged(ledger, err);
    if (!row)
        return CX_NOT_FOUND;
    err = sqlite_batch_get(stmt, ledger->uri, ret_batch);
    sqlite3_reset(stmt);
    return err;
}

static enum cx_err sqlite_find(struct ledger *ledger, uint64_t seq, struct ledger_batch *ret_batch)
{
    struct sqlite_store *store = ledger->store;
    db_bind_u64(store->find, 1, seq);
    return get_one(ledger, store->find, ret_batch);
}

static enum cx_err read_head(struct ledger *ledger)
{
    struct sqlite_store *store = ledger->store;
    struct ledger_batch last;
    enum cx_err err = get_one(ledger, store->last, &last);
    if (err == CX_NOT_FOUND) {
        ledger->head = (struct ledger_head){.chain = ledger_trail_start(ledger->network).chain};
        return CX_OK;
    }
    if (!err)
        ledger->head = (struct ledger_head){last.seq + last.count - 1, last.time_ms, last.chain};
    return err;
}

/* Who writes knows its head by its own appends. */
static enum cx_err sqlite_refresh(struct ledger *ledger)
{
    struct sqlite_store *store = ledger->store;
    return store->writer ? CX_OK : read_head(ledger);
}

static enum cx_err sqlite_scan(struct ledger *ledger, uint64_t after, ledger_row *row, void *ctx)
{
    struct sqlite_store *store = ledger->store;
    sqlite3_stmt *stmt = NULL;  // of its own: who is handed a batch may read as well
    enum cx_err err = db_prepare(store->reader,
                                 "SELECT " SQLITE_BATCH_COLUMNS ", body FROM batch WHERE seq > ?1 ORDER BY seq", &stmt);
    if (err)
        return damaged(ledger, err);
    if (after)
        db_bind_u64(stmt, 1, after);
    else
        db_bind_id(stmt, 1, 1ull << 63);  // also what damage has moved before the first position
    for (;;) {
        bool got = false;
        struct ledger_batch batch;
        err = damaged(ledger, db_step(stmt, &got));
        if (!err && got)
            err = sqlite_batch_get(stmt, ledger->uri, &batch);
        if (err || !got || !row(ctx, &batch))
            break;
    }
    sqlite3_finalize(stmt);
    return err;
}

/* ---- opening and closing ----------------------------------------------------------------------- */

static enum cx_err check_place(struct ledger *ledger)
{
    if (!ledger->place[0] || ledger->place[0] == ':')
        return cx_fail(CX_INVALID, "%s: that names no file; write sqlite:PATH", ledger->uri);
    return ledger->options.mode == LEDGER_CREATE ? CX_OK : file_check(ledger->place);
}

static enum cx_err sqlite_open(struct ledger *ledger)
{
    enum cx_err err = check_place(ledger);
    if (err)
        return err;
    struct sqlite_store *store = calloc(1, sizeof *store);
    cx_assert(store);
    ledger->store = store;
    if (ledger->options.mode != LEDGER_READ)
        err = take_ownership(ledger, &store->owner);
    if (!err)
        err = damaged(ledger, open_file(ledger, store));
    if (!err)
        err = read_head(ledger);
    if (!err && ledger->options.mode != LEDGER_READ)
        err = damaged(ledger, sqlite_writer_open(ledger, &store->writer));
    return err;
}

static void sqlite_close(struct ledger *ledger)
{
    struct sqlite_store *store = ledger->store;
    if (!store)
        return;
    sqlite3_finalize(store->find);
    sqlite3_finalize(store->last);
    db_close(store->reader);
    sqlite_writer_close(store->writer);  // the last connection: it empties the log
    file_disown(store->owner);
    free(store);
    ledger->store = NULL;
}

static void sqlite_append(struct ledger *ledger, struct ledger_record *record)
{
    struct sqlite_store *store = ledger->store;
    sqlite_writer_append(store->writer, record);
}

static enum cx_err sqlite_restore(struct ledger *ledger, const struct ledger_batch *batch)
{
    struct sqlite_store *store = ledger->store;
    enum cx_err err = sqlite_writer_restore(store->writer, batch);
    store->restored += batch->body.size;
    if (err || store->restored < SQLITE_RESTORE_SIZE_MAX)
        return err;
    store->restored = 0;
    return sqlite_writer_restore_end(store->writer);
}

static enum cx_err sqlite_restore_end(struct ledger *ledger)
{
    struct sqlite_store *store = ledger->store;
    enum cx_err err = sqlite_writer_restore_end(store->writer);
    return err ? err : read_head(ledger);
}

const struct ledger_backend ledger_sqlite = {
    .appends_max = LEDGER_APPENDS_MAX,  // the writer makes all that wait for it durable together
    .open = sqlite_open,
    .close = sqlite_close,
    .append = sqlite_append,
    .refresh = sqlite_refresh,
    .find = sqlite_find,
    .scan = sqlite_scan,
    .restore = sqlite_restore,
    .restore_end = sqlite_restore_end,
    .check = sqlite_check,
};

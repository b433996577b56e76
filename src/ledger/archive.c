#include "ledger/archive_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define ARCHIVE_APPLICATION_ID 0x436f7241       // "CorA"
#define TASKS_MAX              (INT64_MAX / 2)  // more than anybody puts

/* Of a group: first_seq and first_task are its first task's, finished_ms its last one's; size: of its bytes when they
 * are unpacked. node of event: 20 bytes. */
#define SCHEMA                                                                                                      \
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"                               \
    "CREATE TABLE task_group (place INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, first_task INTEGER NOT NULL,"  \
    " finished_ms INTEGER NOT NULL, count INTEGER NOT NULL, size INTEGER NOT NULL, packed BLOB NOT NULL);"          \
    "CREATE INDEX group_by_first ON task_group (first_seq, first_task);"                                            \
    "CREATE TABLE task_id (task INTEGER PRIMARY KEY, number INTEGER NOT NULL);"                                     \
    "CREATE TABLE task_reference (payer BLOB NOT NULL, reference BLOB NOT NULL, number INTEGER NOT NULL,"           \
    " PRIMARY KEY (payer, reference)) WITHOUT ROWID;"                                                               \
    "CREATE TABLE task_of (shelf INTEGER NOT NULL, by INTEGER NOT NULL, key BLOB NOT NULL, place INTEGER NOT NULL," \
    " PRIMARY KEY (shelf, by, key, place)) WITHOUT ROWID;"                                                          \
    "CREATE TABLE event (seq INTEGER NOT NULL, idx INTEGER NOT NULL, time_ms INTEGER NOT NULL,"                     \
    " task INTEGER, node BLOB, body BLOB NOT NULL, PRIMARY KEY (seq, idx)) WITHOUT ROWID;"                          \
    "CREATE INDEX event_by_task ON event (task, seq, idx) WHERE task IS NOT NULL;"                                  \
    "CREATE INDEX event_by_node ON event (node, seq, idx) WHERE node IS NOT NULL;"                                  \
    "CREATE TABLE verdict (seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, task INTEGER NOT NULL,"               \
    " body BLOB NOT NULL);"                                                                                         \
    "CREATE INDEX verdict_by_task ON verdict (task, seq);"                                                          \
    "INSERT INTO meta VALUES ('seq', 0), ('tasks', 0);"

#define EVENT_COLUMNS "seq, idx, time_ms, task, node, body"

static const char *const statements[STATEMENT_COUNT] = {
    [SET_META] = "UPDATE meta SET value = ?2 WHERE key = ?1",
    [PUT_GROUP] = "INSERT INTO task_group VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [PUT_ID] = "INSERT OR REPLACE INTO task_id VALUES (?1, ?2)",
    [PUT_REFERENCE] = "INSERT OR REPLACE INTO task_reference VALUES (?1, ?2, ?3)",
    [PUT_OF] = "INSERT OR REPLACE INTO task_of VALUES (?1, ?2, ?3, ?4)",
    [PUT_EVENT] = "INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [PUT_VERDICT] = "INSERT OR REPLACE INTO verdict VALUES (?1, ?2, ?3, ?4)",
    [GET_GROUP] = "SELECT place, count, size, packed FROM task_group WHERE place >= ?1 ORDER BY place LIMIT 1",
    [NUMBER_OF_ID] = "SELECT number FROM task_id WHERE task = ?1",
    [NUMBER_OF_REFERENCE] = "SELECT number FROM task_reference WHERE payer = ?1 AND reference = ?2",
    [PLACE_LAST] = "SELECT place FROM task_group ORDER BY place DESC LIMIT 1",
    [PLACE_BEFORE] = "SELECT place FROM task_group WHERE (first_seq, first_task) < (?1, ?2)"
                     " ORDER BY first_seq DESC, first_task DESC LIMIT 1",
    [PLACES_OF] = "SELECT place FROM task_of WHERE shelf = ?1 AND by = ?2 AND key = ?3 AND place <= ?4"
                  " ORDER BY place DESC",
    [SHELF_BEFORE] = "SELECT shelf FROM task_of WHERE shelf < ?1 ORDER BY shelf DESC LIMIT 1",
    [TASK_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE task = ?1 AND seq <= ?2 ORDER BY seq, idx",
    [TASK_VERDICTS] = "SELECT seq, time_ms, task, body FROM verdict WHERE task = ?1 AND seq <= ?2 ORDER BY seq",
    [NODE_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE node = ?1 AND seq <= ?2"
                    " ORDER BY seq DESC, idx DESC LIMIT ?3",
    [OLDEST] = "SELECT place, finished_ms FROM task_group ORDER BY place LIMIT 1",
    [DROP_GROUP] = "DELETE FROM task_group WHERE place = ?1",
    [DROP_ID] = "DELETE FROM task_id WHERE task = ?1 AND number = ?2",
    [DROP_REFERENCE] = "DELETE FROM task_reference WHERE payer = ?1 AND reference = ?2 AND number = ?3",
    [DROP_OF] = "DELETE FROM task_of WHERE shelf = ?1 AND by = ?2 AND key = ?3 AND place = ?4",
    [DROP_EVENTS] = "DELETE FROM event WHERE time_ms < ?1"
                    " AND (seq, idx) IN (SELECT seq, idx FROM event ORDER BY seq, idx LIMIT ?2)",
    [DROP_VERDICTS] = "DELETE FROM verdict WHERE time_ms < ?1"
                      " AND seq IN (SELECT seq FROM verdict ORDER BY seq LIMIT ?2)",
};

enum cx_err archive_statement(struct archive *a, enum archive_statement which, sqlite3_stmt **ret_stmt)
{
    enum cx_err err = a->stmt[which] ? CX_OK : db_prepare(a->db, statements[which], &a->stmt[which]);
    *ret_stmt = a->stmt[which];
    return err;
}

enum cx_err archive_set_meta(struct archive *a, const char *key, uint64_t value)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, SET_META, &stmt);
    if (err)
        return err;
    sqlite3_bind_text(stmt, 1, key, -1, SQLITE_STATIC);
    db_bind_u64(stmt, 2, value);
    return db_run(stmt);
}

/* ---- opening and closing ---- */

static enum cx_err create(struct archive *a, uint64_t network)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "INSERT INTO meta VALUES ('network', %lld); PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             (long long)network, ARCHIVE_APPLICATION_ID, ARCHIVE_FORMAT);
    enum cx_err err = db_exec(a->db, "BEGIN IMMEDIATE; " SCHEMA);
    return err ? err : db_exec(a->db, sql);
}

static enum cx_err check(struct archive *a, const char *path, uint64_t network)
{
    int64_t application = 0, format = 0, tables = 0, is = 0;
    enum cx_err err = db_number(a->db, "PRAGMA application_id", &application);
    if (!err)
        err = db_number(a->db, "PRAGMA user_version", &format);
    if (!err)
        err = db_number(a->db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (!err && application == 0 && tables == 0)
        err = create(a, network);
    else if (!err && application != ARCHIVE_APPLICATION_ID)
        err = cx_fail(CX_INVALID, "%s is an SQLite database, but no archive: name another file", path);
    if (!err)
        err = db_number(a->db, "SELECT value FROM meta WHERE key = 'network'", &is);
    if (!err && (uint64_t)is != network)
        err = cx_fail(CX_INVALID, "%s is the archive of network %llu, not of %llu: name another file", path,
                      (unsigned long long)is, (unsigned long long)network);
    /* Last, because who is told this removes the file. */
    if (!err && application == ARCHIVE_APPLICATION_ID && format != ARCHIVE_FORMAT)
        err =
            cx_fail(CX_UNSUPPORTED, "%s is an archive of format %lld, not %d", path, (long long)format, ARCHIVE_FORMAT);
    return err;
}

enum cx_err archive_open(const char *path, uint64_t network, struct archive **ret_archive)
{
    struct archive *a = calloc(1, sizeof *a);
    cx_assert(a);
    int64_t seq = 0;
    enum cx_err err = db_open(path, DB_CREATE, &a->db);
    /* Its last rows come back from the ledger, so no commit waits for the disk. But what is copied from the log into
     * the file is synced: a file that lost some of its pages would answer wrongly and not know it. */
    if (!err)
        err = db_exec(a->db, "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 1000");
    if (!err)
        err = check(a, path, network);
    if (!err)
        err = db_number(a->db, "SELECT value FROM meta WHERE key = 'seq'", &seq);
    /* A damaged schema is found here, and not when the first row is put. */
    sqlite3_stmt *stmt;
    for (int i = 0; i < STATEMENT_COUNT && !err; i++)
        err = archive_statement(a, (enum archive_statement)i, &stmt);
    if (err == CX_CORRUPT)
        err = cx_fail(CX_CORRUPT, "%s: delete it, it will be rebuilt", cx_detail());
    if (err) {
        archive_close(a);
        return err;
    }
    a->seq = (uint64_t)seq;
    *ret_archive = a;
    return CX_OK;
}

enum cx_err archive_open_reader(const char *path, struct archive **ret_archive)
{
    struct archive *a = calloc(1, sizeof *a);
    cx_assert(a);
    enum cx_err err = db_open(path, DB_READ, &a->db);
    if (err) {
        archive_close(a);
        return err;
    }
    *ret_archive = a;
    return CX_OK;
}

void archive_close(struct archive *a)
{
    if (!a)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(a->stmt[i]);
    db_close(a->db);
    group_done(&a->putting);
    group_done(&a->got);
    buf_done(&a->packed);
    free(a->key);
    free(a);
}

enum cx_err archive_remove(const char *path) { return db_remove(path); }

/* ---- writing ---- */

uint64_t archive_seq(const struct archive *a) { return a->seq; }

enum cx_err archive_begin(struct archive *a)
{
    cx_assert(!a->begun);
    cx_assert(a->putting.count == 0);
    int64_t tasks = 0;
    a->put_seq = 0;
    a->put_task = INT64_MIN;
    enum cx_err err = db_exec(a->db, "BEGIN IMMEDIATE");
    a->begun = err == CX_OK;
    if (!err)
        err = db_number(a->db, "SELECT value FROM meta WHERE key = 'tasks'", &tasks);
    if (!err && (tasks < 0 || tasks > TASKS_MAX))
        err = archive_damaged(a);
    if (err)
        archive_rollback(a);
    a->tasks = (uint64_t)tasks;
    return err;
}

static enum cx_err check_size(uint32_t size)
{
    if (size <= ARCHIVE_BODY_SIZE_MAX)
        return CX_OK;
    return cx_fail(CX_TOO_LARGE, "%u bytes for a column of the archive; %u is the most", size, ARCHIVE_BODY_SIZE_MAX);
}

enum cx_err archive_task_put(struct archive *a, const struct archived_task *task)
{
    cx_assert(a->begun);
    cx_assert(task->seq > a->put_seq || (task->seq == a->put_seq && (int64_t)task->task > a->put_task));
    cx_assert(task->node_count <= UINT32_MAX / sizeof *task->node);
    enum cx_err err = check_size(task->body.size);
    if (!err)
        err = check_size(task->line.size);
    if (!err)
        err = check_size(task->node_count * (uint32_t)sizeof *task->node);
    if (!err && !group_has_room(&a->putting, task))
        err = archive_tasks_write(a);
    if (err)
        return err;
    a->put_seq = task->seq;
    a->put_task = (int64_t)task->task;
    group_add(&a->putting, task);
    return CX_OK;
}

enum cx_err archive_event_put(struct archive *a, const struct archived_event *event)
{
    cx_assert(a->begun);
    sqlite3_stmt *stmt;
    enum cx_err err = check_size(event->body.size);
    if (!err)
        err = archive_statement(a, PUT_EVENT, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, event->seq);
    db_bind_u64(stmt, 2, event->index);
    db_bind_u64(stmt, 3, event->time_ms);
    if (event->task == 0)
        sqlite3_bind_null(stmt, 4);
    else
        db_bind_id(stmt, 4, event->task);
    if (address_is_zero(&event->node))
        sqlite3_bind_null(stmt, 5);
    else
        db_bind_bytes(stmt, 5, event->node.b, sizeof event->node.b);
    db_bind_bytes(stmt, 6, event->body.data, event->body.size);
    return db_run(stmt);
}

enum cx_err archive_verdict_put(struct archive *a, const struct archived_verdict *verdict)
{
    cx_assert(a->begun);
    sqlite3_stmt *stmt;
    enum cx_err err = check_size(verdict->body.size);
    if (!err)
        err = archive_statement(a, PUT_VERDICT, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, verdict->seq);
    db_bind_u64(stmt, 2, verdict->time_ms);
    db_bind_id(stmt, 3, verdict->task);
    db_bind_bytes(stmt, 4, verdict->body.data, verdict->body.size);
    return db_run(stmt);
}

enum cx_err archive_commit(struct archive *a, uint64_t seq)
{
    cx_assert(a->begun);
    cx_assert(seq >= a->seq);
    enum cx_err err = archive_tasks_write(a);
    if (!err)
        err = archive_set_meta(a, "seq", seq);
    if (!err)
        err = db_exec(a->db, "COMMIT");
    if (err)
        return err;
    a->begun = false;
    a->seq = seq;
    return CX_OK;
}

void archive_rollback(struct archive *a)
{
    if (a->begun)
        sqlite3_exec(a->db, "ROLLBACK", NULL, NULL, NULL);  // where SQLite has not done so already
    a->begun = false;
    group_reset(&a->putting);
    group_reset(&a->got);  // it may be of what was rolled back, whose places come again
}

/* ---- forgetting ---- */

static enum cx_err forget_rows(struct archive *a, enum archive_statement which, uint64_t before_ms, bool *ret_more)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, which, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, before_ms);
    db_bind_u64(stmt, 2, ARCHIVE_FORGET_ROWS_MAX);
    err = db_run(stmt);
    *ret_more |= sqlite3_changes(a->db) == ARCHIVE_FORGET_ROWS_MAX;
    return err;
}

static enum cx_err forget_all(struct archive *a, uint64_t before_ms, bool *ret_more)
{
    enum cx_err err = CX_OK;
    uint32_t count = 1;
    for (uint32_t total = 0; total < ARCHIVE_FORGET_STEP_MAX && count > 0 && !err; total += count)
        err = archive_tasks_forget(a, before_ms, &count);
    *ret_more = count > 0;
    if (!err)
        err = forget_rows(a, DROP_EVENTS, before_ms, ret_more);
    return err ? err : forget_rows(a, DROP_VERDICTS, before_ms, ret_more);
}

enum cx_err archive_forget(struct archive *a, uint64_t before_ms, bool *ret_more)
{
    bool more = false;
    enum cx_err err = archive_begin(a);
    if (err)
        return err;
    err = forget_all(a, before_ms, &more);
    if (!err)
        err = archive_commit(a, a->seq);
    archive_rollback(a);
    if (!err)
        *ret_more = more;
    return err;
}

#include "ledger/archive_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define ARCHIVE_APPLICATION_ID 0x436f7241  // "CorA"

/* node of event: 20 bytes; nodes of a task: 20 bytes each, behind each other, and a row of task_node for each, by which
 * they are found. These are on shelves of ARCHIVE_SHELF places: what is put together writes few pages, and a node is
 * looked for on one shelf after the other. */
#define SCHEMA                                                                                        \
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"                 \
    "CREATE TABLE task (place INTEGER PRIMARY KEY, task INTEGER NOT NULL, session INTEGER NOT NULL,"  \
    " seq INTEGER NOT NULL, state INTEGER NOT NULL, payer BLOB NOT NULL, reference BLOB,"             \
    " submitted_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL, prompt BLOB, answer BLOB,"         \
    " nodes BLOB NOT NULL, packed BLOB NOT NULL);"                                                    \
    "CREATE UNIQUE INDEX task_by_id ON task (task);"                                                  \
    "CREATE INDEX task_by_session ON task (session, seq, task);"                                      \
    "CREATE INDEX task_by_payer ON task (payer, seq, task);"                                          \
    "CREATE INDEX task_by_reference ON task (payer, reference, seq) WHERE reference IS NOT NULL;"     \
    "CREATE TABLE task_node (shelf INTEGER NOT NULL, node BLOB NOT NULL, place INTEGER NOT NULL,"     \
    " PRIMARY KEY (shelf, node, place)) WITHOUT ROWID;"                                               \
    "CREATE TABLE event (seq INTEGER NOT NULL, idx INTEGER NOT NULL, time_ms INTEGER NOT NULL,"       \
    " task INTEGER, node BLOB, body BLOB NOT NULL, PRIMARY KEY (seq, idx)) WITHOUT ROWID;"            \
    "CREATE INDEX event_by_task ON event (task, seq, idx) WHERE task IS NOT NULL;"                    \
    "CREATE INDEX event_by_node ON event (node, seq, idx) WHERE node IS NOT NULL;"                    \
    "CREATE TABLE verdict (seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, task INTEGER NOT NULL," \
    " body BLOB NOT NULL);"                                                                           \
    "CREATE INDEX verdict_by_task ON verdict (task, seq);"                                            \
    "INSERT INTO meta VALUES ('seq', 0);"

#define TASK_HEAD                                                                                    \
    "task.session, task.task, task.seq, task.state, task.payer, task.reference, task.submitted_ms, " \
    "task.finished_ms, task.prompt, task.answer"
#define TASK_WHOLE TASK_HEAD ", task.packed"
/* A page: ?1 is what is asked for, ?2 and ?3 the row before it, ?4 how many. */
#define TASK_PAGE     " AND (seq, task) < (?2, ?3) ORDER BY seq DESC, task DESC LIMIT ?4"
#define EVENT_COLUMNS "seq, idx, time_ms, task, node, body"

static const char *const statements[STATEMENT_COUNT] = {
    [SET_SEQ] = "UPDATE meta SET value = ?1 WHERE key = 'seq'",
    [PUT_TASK] = "INSERT OR REPLACE INTO task VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [PUT_NODE] = "INSERT OR REPLACE INTO task_node VALUES (?1, ?2, ?3)",
    [PUT_EVENT] = "INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [PUT_VERDICT] = "INSERT OR REPLACE INTO verdict VALUES (?1, ?2, ?3, ?4)",
    [ONE_TASK] = "SELECT " TASK_WHOLE " FROM task WHERE task = ?1",
    [BY_REFERENCE] = "SELECT " TASK_HEAD " FROM task WHERE payer = ?1 AND reference = ?2 ORDER BY seq DESC LIMIT 1",
    [PAGE_SESSION] = "SELECT " TASK_HEAD " FROM task WHERE session = ?1" TASK_PAGE,
    [PAGE_PAYER] = "SELECT " TASK_HEAD " FROM task WHERE payer = ?1" TASK_PAGE,
    [PAGE_NODE] = "SELECT " TASK_WHOLE " FROM task_node AS n CROSS JOIN task ON task.place = n.place"
                  " WHERE n.shelf = ?1 AND n.node = ?2 AND n.place < ?3 ORDER BY n.place DESC LIMIT ?4",
    [PLACES] = "SELECT (SELECT min(place) FROM task), (SELECT max(place) FROM task)",
    [PLACE] = "SELECT place, seq, task FROM task WHERE place >= ?1 ORDER BY place LIMIT 1",
    [TASK_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE task = ?1 AND seq <= ?2 ORDER BY seq, idx",
    [TASK_VERDICTS] = "SELECT seq, time_ms, task, body FROM verdict WHERE task = ?1 AND seq <= ?2 ORDER BY seq",
    [NODE_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE node = ?1 AND seq <= ?2"
                    " ORDER BY seq DESC, idx DESC LIMIT ?3",
    [OLDEST] = "SELECT place, finished_ms, nodes FROM task ORDER BY place LIMIT 1",
    [DROP_NODE] = "DELETE FROM task_node WHERE shelf = ?1 AND node = ?2 AND place = ?3",
    [DROP_TASK] = "DELETE FROM task WHERE place = ?1",
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
    buf_done(&a->plain);
    buf_done(&a->packed);
    free(a);
}

enum cx_err archive_remove(const char *path) { return db_remove(path); }

/* ---- writing ---- */

uint64_t archive_seq(const struct archive *a) { return a->seq; }

enum cx_err archive_begin(struct archive *a)
{
    cx_assert(!a->begun);
    a->put_seq = 0;
    a->put_task = INT64_MIN;
    enum cx_err err = db_exec(a->db, "BEGIN IMMEDIATE");
    a->begun = err == CX_OK;
    return err;
}

static void bind_hash(sqlite3_stmt *stmt, int index, const struct hash *hash)
{
    if (hash_is_zero(hash))
        sqlite3_bind_null(stmt, index);
    else
        db_bind_bytes(stmt, index, hash->b, sizeof hash->b);
}

static enum cx_err put_nodes(struct archive *a, const struct archived_task *task)
{
    sqlite3_stmt *stmt;
    uint64_t place = (uint64_t)sqlite3_last_insert_rowid(a->db);
    enum cx_err err = archive_statement(a, PUT_NODE, &stmt);
    for (uint32_t i = 0; i < task->node_count && !err; i++) {
        db_bind_u64(stmt, 1, place / ARCHIVE_SHELF);
        db_bind_bytes(stmt, 2, task->node[i].b, sizeof task->node[i].b);
        db_bind_u64(stmt, 3, place);
        err = db_run(stmt);
    }
    return err;
}

static enum cx_err check_size(struct span bytes)
{
    if (bytes.size <= ARCHIVE_BODY_SIZE_MAX)
        return CX_OK;
    return cx_fail(CX_TOO_LARGE, "%u bytes for a column of the archive; %u is the most", bytes.size,
                   ARCHIVE_BODY_SIZE_MAX);
}

enum cx_err archive_task_put(struct archive *a, const struct archived_task *task)
{
    cx_assert(a->begun);
    sqlite3_stmt *stmt;
    enum cx_err err = check_size(task->body);
    if (!err)
        err = check_size(task->line);
    if (!err)
        err = archive_statement(a, PUT_TASK, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task->task);
    db_bind_id(stmt, 2, task->session);
    db_bind_u64(stmt, 3, task->seq);
    db_bind_u64(stmt, 4, task->state);
    db_bind_bytes(stmt, 5, task->payer.b, sizeof task->payer.b);
    bind_hash(stmt, 6, &task->reference);
    db_bind_u64(stmt, 7, task->submitted_ms);
    db_bind_u64(stmt, 8, task->finished_ms);
    bind_hash(stmt, 9, &task->prompt);
    bind_hash(stmt, 10, &task->answer);
    db_bind_bytes(stmt, 11, task->node, task->node_count * sizeof *task->node);
    cx_assert(task->seq > a->put_seq || (task->seq == a->put_seq && (int64_t)task->task > a->put_task));
    a->put_seq = task->seq;
    a->put_task = (int64_t)task->task;
    archive_pack(a, task);
    db_bind_bytes(stmt, 12, a->packed.data, a->packed.size);
    err = db_run(stmt);
    return err ? err : put_nodes(a, task);
}

enum cx_err archive_event_put(struct archive *a, const struct archived_event *event)
{
    cx_assert(a->begun);
    sqlite3_stmt *stmt;
    enum cx_err err = check_size(event->body);
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
    enum cx_err err = check_size(verdict->body);
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
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, SET_SEQ, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, seq);
    err = db_run(stmt);
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
}

/* ---- forgetting ---- */

struct oldest {
    uint64_t place, finished_ms;
    struct span nodes;  // valid until `stmt` is reset
};

static enum cx_err drop_nodes(struct archive *a, const struct oldest *oldest)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, DROP_NODE, &stmt);
    const uint32_t size = sizeof(struct address);
    for (uint32_t at = 0; at + size <= oldest->nodes.size && !err; at += size) {
        db_bind_u64(stmt, 1, oldest->place / ARCHIVE_SHELF);
        db_bind_bytes(stmt, 2, oldest->nodes.data + at, size);
        db_bind_u64(stmt, 3, oldest->place);
        err = db_run(stmt);
    }
    return err;
}

/* *ret_found is false where the oldest task is not that old. */
static enum cx_err forget_oldest(struct archive *a, uint64_t before_ms, bool *ret_found)
{
    sqlite3_stmt *find, *drop;
    bool row = false;
    enum cx_err err = archive_statement(a, OLDEST, &find);
    if (!err)
        err = archive_statement(a, DROP_TASK, &drop);
    if (!err)
        err = db_step(find, &row);
    *ret_found = false;
    if (err || !row)
        return err;
    const struct oldest oldest = {.place = db_u64(find, 0), .finished_ms = db_u64(find, 1), .nodes = db_span(find, 2)};
    *ret_found = oldest.finished_ms < before_ms;
    if (*ret_found)
        err = drop_nodes(a, &oldest);
    sqlite3_reset(find);
    if (err || !*ret_found)
        return err;
    db_bind_u64(drop, 1, oldest.place);
    return db_run(drop);
}

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
    bool found = true;
    enum cx_err err = CX_OK;
    for (uint32_t i = 0; i < ARCHIVE_FORGET_STEP_MAX && found && !err; i++)
        err = forget_oldest(a, before_ms, &found);
    *ret_more = found;
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

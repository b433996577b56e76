#include "ledger/archive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/db.h"

#define FORGET_EVENTS_MAX      4096        // of nodes, with one archive_forget
#define ARCHIVE_APPLICATION_ID 0x436f7241  // "CorA"

/* node of task and event: 20 bytes; nodes of a task: 20 bytes each, behind each other, and a row of task_node for each,
 * by which they are found. */
#define SCHEMA                                                                                             \
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"                      \
    "CREATE TABLE task (session INTEGER NOT NULL, task INTEGER NOT NULL, seq INTEGER NOT NULL,"            \
    " state INTEGER NOT NULL, payer BLOB NOT NULL, reference BLOB, submitted_ms INTEGER NOT NULL,"         \
    " finished_ms INTEGER NOT NULL, prompt BLOB, answer BLOB, nodes BLOB NOT NULL, body BLOB NOT NULL,"    \
    " PRIMARY KEY (session, task)) WITHOUT ROWID;"                                                         \
    "CREATE INDEX task_by_seq ON task (seq, task);"                                                        \
    "CREATE INDEX task_by_session ON task (session, seq, task);"                                           \
    "CREATE INDEX task_by_payer ON task (payer, seq, task);"                                               \
    "CREATE INDEX task_by_reference ON task (payer, reference, seq) WHERE reference IS NOT NULL;"          \
    "CREATE INDEX task_by_time ON task (finished_ms);"                                                     \
    "CREATE INDEX task_by_id ON task (task);"                                                              \
    "CREATE TABLE task_node (node BLOB NOT NULL, seq INTEGER NOT NULL, task INTEGER NOT NULL,"             \
    " session INTEGER NOT NULL, PRIMARY KEY (node, seq, task)) WITHOUT ROWID;"                             \
    "CREATE TABLE event (seq INTEGER NOT NULL, idx INTEGER NOT NULL, time_ms INTEGER NOT NULL,"            \
    " session INTEGER NOT NULL, task INTEGER NOT NULL, node BLOB, name TEXT NOT NULL, body BLOB NOT NULL," \
    " PRIMARY KEY (seq, idx)) WITHOUT ROWID;"                                                              \
    "CREATE INDEX event_by_task ON event (session, task, seq, idx) WHERE task <> 0;"                       \
    "CREATE INDEX event_by_node ON event (node, seq, idx) WHERE node IS NOT NULL;"                         \
    "CREATE INDEX event_by_time ON event (time_ms) WHERE task = 0;"                                        \
    "INSERT INTO meta VALUES ('seq', 0);"

#define TASK_COLUMNS                                                                                \
    "task.session, task.task, task.seq, task.state, task.payer, task.reference, task.submitted_ms," \
    " task.finished_ms, task.prompt, task.answer, task.nodes, task.body"
#define EVENT_COLUMNS "seq, idx, time_ms, session, task, node, name, body"
/* A page: ?1 is what is asked for, ?2 and ?3 the row before it, ?4 how many. */
#define TASK_PAGE(table) \
    " (" table ".seq, " table ".task) < (?2, ?3) ORDER BY " table ".seq DESC, " table ".task DESC LIMIT ?4"

/* What happened to nodes before ?1, the oldest first, at most ?2. */
#define OLD_EVENTS " (SELECT seq, idx FROM event WHERE task = 0 AND time_ms < ?1 ORDER BY time_ms LIMIT ?2)"

enum statement {
    SET_SEQ,
    NODES_OF,
    DROP_NODE,
    PUT_TASK,
    PUT_NODE,
    PUT_EVENT,
    ONE_TASK,
    BY_ID,
    BY_REFERENCE,
    PAGE_ALL,
    PAGE_SESSION,
    PAGE_PAYER,
    PAGE_NODE,
    TASK_EVENTS,
    NODE_EVENTS,
    OLDEST,
    DROP_EVENTS_OF,
    DROP_TASK,
    DROP_OLD_EVENTS,
    STATEMENT_COUNT,
};

static const char *const statements[STATEMENT_COUNT] = {
    [SET_SEQ] = "UPDATE meta SET value = ?1 WHERE key = 'seq'",
    [NODES_OF] = "SELECT seq, nodes FROM task WHERE session = ?1 AND task = ?2",
    [DROP_NODE] = "DELETE FROM task_node WHERE node = ?1 AND seq = ?2 AND task = ?3",
    [PUT_TASK] = "INSERT OR REPLACE INTO task VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [PUT_NODE] = "INSERT OR REPLACE INTO task_node VALUES (?1, ?2, ?3, ?4)",
    [PUT_EVENT] = "INSERT OR REPLACE INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [ONE_TASK] = "SELECT " TASK_COLUMNS " FROM task WHERE session = ?1 AND task = ?2",
    [BY_ID] = "SELECT " TASK_COLUMNS " FROM task WHERE task = ?1 LIMIT 1",
    [BY_REFERENCE] = "SELECT " TASK_COLUMNS " FROM task WHERE payer = ?1 AND reference = ?2 ORDER BY seq DESC LIMIT 1",
    [PAGE_ALL] = "SELECT " TASK_COLUMNS " FROM task WHERE ?1 = 0 AND" TASK_PAGE("task"),
    [PAGE_SESSION] = "SELECT " TASK_COLUMNS " FROM task WHERE session = ?1 AND" TASK_PAGE("task"),
    [PAGE_PAYER] = "SELECT " TASK_COLUMNS " FROM task WHERE payer = ?1 AND" TASK_PAGE("task"),
    [PAGE_NODE] = "SELECT " TASK_COLUMNS " FROM task_node JOIN task ON task.session = task_node.session"
                  " AND task.task = task_node.task WHERE node = ?1 AND" TASK_PAGE("task_node"),
    [TASK_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE session = ?1 AND task = ?2 AND task <> 0"
                    " ORDER BY seq, idx",
    [NODE_EVENTS] = "SELECT " EVENT_COLUMNS " FROM event WHERE node = ?1 ORDER BY seq DESC, idx DESC LIMIT ?2",
    [OLDEST] = "SELECT session, task FROM task WHERE finished_ms < ?1 ORDER BY finished_ms LIMIT 1",
    [DROP_EVENTS_OF] = "DELETE FROM event WHERE session = ?1 AND task = ?2 AND task <> 0",
    [DROP_TASK] = "DELETE FROM task WHERE session = ?1 AND task = ?2",
    [DROP_OLD_EVENTS] = ("DELETE FROM event WHERE (seq, idx) IN" OLD_EVENTS),
};

struct archive {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENT_COUNT];
    uint64_t seq;
    uint64_t begun;  // the entry that archive_commit will note; 0: not between begin and commit
    bool passing;    // it is in the archive already
};

/* ---- opening and closing ----------------------------------------------------------------------- */

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
    else if (!err && format != ARCHIVE_FORMAT)
        err = cx_fail(CX_UNSUPPORTED, "%s is an archive of format %lld, not %d: delete it, it will be rebuilt", path,
                      (long long)format, ARCHIVE_FORMAT);
    if (!err)
        err = db_number(a->db, "SELECT value FROM meta WHERE key = 'network'", &is);
    if (!err && (uint64_t)is != network)
        err = cx_fail(CX_INVALID, "%s is the archive of network %llu, not of %llu: name another file", path,
                      (unsigned long long)is, (unsigned long long)network);
    return err;
}

static enum cx_err prepare(struct archive *a)
{
    enum cx_err err = CX_OK;
    for (int i = 0; i < STATEMENT_COUNT && !err; i++)
        err = db_prepare(a->db, statements[i], &a->stmt[i]);
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
        err = prepare(a);
    if (!err)
        err = db_number(a->db, "SELECT value FROM meta WHERE key = 'seq'", &seq);
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

void archive_close(struct archive *a)
{
    if (!a)
        return;
    for (int i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(a->stmt[i]);
    db_close(a->db);
    free(a);
}

enum cx_err archive_remove(const char *path) { return db_remove(path); }

/* ---- writing ----------------------------------------------------------------------------------- */

uint64_t archive_seq(const struct archive *a) { return a->seq; }

enum cx_err archive_begin(struct archive *a, uint64_t seq)
{
    cx_assert(seq > 0 && a->begun == 0);
    a->passing = seq < a->seq;
    enum cx_err err = a->passing ? CX_OK : db_exec(a->db, "BEGIN IMMEDIATE");
    if (!err)
        a->begun = seq;
    return err;
}

static void bind_hash(sqlite3_stmt *stmt, int index, const struct hash *hash)
{
    if (hash_is_zero(hash))
        sqlite3_bind_null(stmt, index);
    else
        db_bind_bytes(stmt, index, hash->b, sizeof hash->b);
}

static enum cx_err run_on_task(struct archive *a, enum statement which, uint64_t session, uint64_t task)
{
    db_bind_id(a->stmt[which], 1, session);
    db_bind_id(a->stmt[which], 2, task);
    return db_run(a->stmt[which]);
}

/* What stands in task_node for a task, before it is replaced or removed. */
static enum cx_err drop_nodes(struct archive *a, uint64_t session, uint64_t task)
{
    sqlite3_stmt *find = a->stmt[NODES_OF], *drop = a->stmt[DROP_NODE];
    bool row = false;
    db_bind_id(find, 1, session);
    db_bind_id(find, 2, task);
    enum cx_err err = db_step(find, &row);
    if (err || !row)
        return err;
    uint64_t seq = db_u64(find, 0);
    struct span nodes = db_span(find, 1);
    for (uint32_t at = 0; at + sizeof(struct address) <= nodes.size && !err; at += sizeof(struct address)) {
        db_bind_bytes(drop, 1, nodes.data + at, sizeof(struct address));
        db_bind_u64(drop, 2, seq);
        db_bind_id(drop, 3, task);
        err = db_run(drop);
    }
    sqlite3_reset(find);
    return err;
}

static enum cx_err put_nodes(struct archive *a, const struct archived_task *task)
{
    enum cx_err err = CX_OK;
    for (uint32_t i = 0; i < task->node_count && !err; i++) {
        sqlite3_stmt *stmt = a->stmt[PUT_NODE];
        db_bind_bytes(stmt, 1, task->node[i].b, sizeof task->node[i].b);
        db_bind_u64(stmt, 2, task->seq);
        db_bind_id(stmt, 3, task->task);
        db_bind_id(stmt, 4, task->session);
        err = db_run(stmt);
    }
    return err;
}

enum cx_err archive_task_put(struct archive *a, const struct archived_task *task)
{
    cx_assert(a->begun);
    if (a->passing)
        return CX_OK;
    if (task->body.size > ARCHIVE_BODY_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "an archived task of %u bytes; %u is the most", task->body.size,
                       ARCHIVE_BODY_SIZE_MAX);
    enum cx_err err = drop_nodes(a, task->session, task->task);
    if (err)
        return err;
    sqlite3_stmt *stmt = a->stmt[PUT_TASK];
    db_bind_id(stmt, 1, task->session);
    db_bind_id(stmt, 2, task->task);
    db_bind_u64(stmt, 3, task->seq);
    db_bind_u64(stmt, 4, task->state);
    db_bind_bytes(stmt, 5, task->payer.b, sizeof task->payer.b);
    bind_hash(stmt, 6, &task->reference);
    db_bind_u64(stmt, 7, task->submitted_ms);
    db_bind_u64(stmt, 8, task->finished_ms);
    bind_hash(stmt, 9, &task->prompt);
    bind_hash(stmt, 10, &task->answer);
    db_bind_bytes(stmt, 11, task->node, task->node_count * sizeof *task->node);
    db_bind_bytes(stmt, 12, task->body.data, task->body.size);
    err = db_run(stmt);
    return err ? err : put_nodes(a, task);
}

enum cx_err archive_event_put(struct archive *a, const struct archived_event *event)
{
    cx_assert(a->begun);
    if (a->passing)
        return CX_OK;
    if (event->body.size > ARCHIVE_BODY_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "an archived event of %u bytes; %u is the most", event->body.size,
                       ARCHIVE_BODY_SIZE_MAX);
    sqlite3_stmt *stmt = a->stmt[PUT_EVENT];
    db_bind_u64(stmt, 1, event->seq);
    db_bind_u64(stmt, 2, event->index);
    db_bind_u64(stmt, 3, event->time_ms);
    db_bind_id(stmt, 4, event->session);
    db_bind_id(stmt, 5, event->task);
    if (address_is_zero(&event->node))
        sqlite3_bind_null(stmt, 6);
    else
        db_bind_bytes(stmt, 6, event->node.b, sizeof event->node.b);
    sqlite3_bind_text(stmt, 7, event->name, -1, SQLITE_STATIC);
    db_bind_bytes(stmt, 8, event->body.data, event->body.size);
    return db_run(stmt);
}

enum cx_err archive_commit(struct archive *a)
{
    cx_assert(a->begun);
    uint64_t seq = a->begun;
    a->begun = 0;
    if (a->passing)
        return CX_OK;
    db_bind_u64(a->stmt[SET_SEQ], 1, seq);
    enum cx_err err = db_run(a->stmt[SET_SEQ]);
    if (!err)
        err = db_exec(a->db, "COMMIT");
    if (err)
        sqlite3_exec(a->db, "ROLLBACK", NULL, NULL, NULL);
    else
        a->seq = seq;
    return err;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static enum cx_err damaged(sqlite3_stmt *stmt)
{
    return cx_fail(CX_CORRUPT, "%s: a row of the archive is damaged: delete the file, it will be rebuilt",
                   sqlite3_db_filename(sqlite3_db_handle(stmt), "main"));
}

static bool get_hash(sqlite3_stmt *stmt, int column, struct hash *ret_hash)
{
    *ret_hash = (struct hash){0};
    return sqlite3_column_type(stmt, column) == SQLITE_NULL || db_bytes(stmt, column, ret_hash->b, sizeof ret_hash->b);
}

static enum cx_err get_task(sqlite3_stmt *stmt, struct archived_task *ret_task)
{
    struct archived_task task = {.session = (uint64_t)sqlite3_column_int64(stmt, 0),
                                 .task = (uint64_t)sqlite3_column_int64(stmt, 1),
                                 .seq = db_u64(stmt, 2),
                                 .state = (uint32_t)db_u64(stmt, 3),
                                 .submitted_ms = db_u64(stmt, 6),
                                 .finished_ms = db_u64(stmt, 7)};
    struct span nodes = db_span(stmt, 10);
    bool good = db_bytes(stmt, 4, task.payer.b, sizeof task.payer.b) && get_hash(stmt, 5, &task.reference) &&
                get_hash(stmt, 8, &task.prompt) && get_hash(stmt, 9, &task.answer);
    if (!good || nodes.size % sizeof *task.node)
        return damaged(stmt);
    task.node = (const struct address *)nodes.data;  // bytes alone: it fits any place
    task.node_count = nodes.size / (uint32_t)sizeof *task.node;
    task.body = db_span(stmt, 11);
    *ret_task = task;
    return CX_OK;
}

static enum cx_err get_event(sqlite3_stmt *stmt, struct archived_event *ret_event)
{
    struct archived_event event = {.seq = db_u64(stmt, 0),
                                   .index = (uint32_t)db_u64(stmt, 1),
                                   .time_ms = db_u64(stmt, 2),
                                   .session = (uint64_t)sqlite3_column_int64(stmt, 3),
                                   .task = (uint64_t)sqlite3_column_int64(stmt, 4),
                                   .name = (const char *)sqlite3_column_text(stmt, 6)};
    bool has_node = sqlite3_column_type(stmt, 5) != SQLITE_NULL;
    if (!event.name || (has_node && !db_bytes(stmt, 5, event.node.b, sizeof event.node.b)))
        return damaged(stmt);
    event.body = db_span(stmt, 7);
    *ret_event = event;
    return CX_OK;
}

static enum cx_err give_tasks(sqlite3_stmt *stmt, archive_each_task *each, void *ctx, uint32_t *ret_count)
{
    enum cx_err err = CX_OK;
    *ret_count = 0;
    for (bool row = true, more = true; more && !err;) {
        struct archived_task task;
        err = db_step(stmt, &row);
        if (err || !row)
            break;
        err = get_task(stmt, &task);
        ++*ret_count;
        more = !err && each(ctx, &task);
    }
    sqlite3_reset(stmt);
    return err;
}

static enum cx_err give_events(sqlite3_stmt *stmt, archive_each_event *each, void *ctx)
{
    enum cx_err err = CX_OK;
    for (bool row = true, more = true; more && !err;) {
        struct archived_event event;
        err = db_step(stmt, &row);
        if (err || !row)
            break;
        err = get_event(stmt, &event);
        more = !err && each(ctx, &event);
    }
    sqlite3_reset(stmt);
    return err;
}

enum cx_err archive_task(struct archive *a, uint64_t session, uint64_t task, archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt = a->stmt[ONE_TASK];
    uint32_t count = 0;
    db_bind_id(stmt, 1, session);
    db_bind_id(stmt, 2, task);
    enum cx_err err = give_tasks(stmt, each, ctx, &count);
    return err || count ? err : cx_fail(CX_NOT_FOUND, "the archive has no such task");
}

enum cx_err archive_task_by_id(struct archive *a, uint64_t task, archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt = a->stmt[BY_ID];
    uint32_t count = 0;
    db_bind_id(stmt, 1, task);
    enum cx_err err = give_tasks(stmt, each, ctx, &count);
    return err || count ? err : cx_fail(CX_NOT_FOUND, "the archive has no such task");
}

enum cx_err archive_task_by_reference(struct archive *a, const struct address *payer, const struct hash *reference,
                                      archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt = a->stmt[BY_REFERENCE];
    uint32_t count = 0;
    db_bind_bytes(stmt, 1, payer->b, sizeof payer->b);
    db_bind_bytes(stmt, 2, reference->b, sizeof reference->b);
    enum cx_err err = give_tasks(stmt, each, ctx, &count);
    return err || count ? err : cx_fail(CX_NOT_FOUND, "the archive has no task under this reference");
}

static sqlite3_stmt *page_statement(struct archive *a, const struct archive_query *query)
{
    switch (query->by) {
    case ARCHIVE_ALL: db_bind_u64(a->stmt[PAGE_ALL], 1, 0); return a->stmt[PAGE_ALL];
    case ARCHIVE_BY_SESSION: db_bind_id(a->stmt[PAGE_SESSION], 1, query->session); return a->stmt[PAGE_SESSION];
    case ARCHIVE_BY_PAYER:
        db_bind_bytes(a->stmt[PAGE_PAYER], 1, query->address.b, sizeof query->address.b);
        return a->stmt[PAGE_PAYER];
    case ARCHIVE_BY_NODE:
        db_bind_bytes(a->stmt[PAGE_NODE], 1, query->address.b, sizeof query->address.b);
        return a->stmt[PAGE_NODE];
    }
    return NULL;
}

enum cx_err archive_tasks(struct archive *a, const struct archive_query *query, archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt = page_statement(a, query);
    cx_assert(stmt);
    db_bind_u64(stmt, 2, query->before_seq ? query->before_seq : UINT64_MAX);
    db_bind_id(stmt, 3, query->before_task);
    db_bind_u64(stmt, 4, u32_min(query->limit, ARCHIVE_PAGE_MAX));
    uint32_t count = 0;
    return give_tasks(stmt, each, ctx, &count);
}

enum cx_err archive_task_events(struct archive *a, uint64_t session, uint64_t task, archive_each_event *each, void *ctx)
{
    sqlite3_stmt *stmt = a->stmt[TASK_EVENTS];
    db_bind_id(stmt, 1, session);
    db_bind_id(stmt, 2, task);
    return give_events(stmt, each, ctx);
}

enum cx_err archive_node_events(struct archive *a, const struct address *node, uint32_t limit, archive_each_event *each,
                                void *ctx)
{
    sqlite3_stmt *stmt = a->stmt[NODE_EVENTS];
    db_bind_bytes(stmt, 1, node->b, sizeof node->b);
    db_bind_u64(stmt, 2, u32_min(limit, ARCHIVE_PAGE_MAX));
    return give_events(stmt, each, ctx);
}

/* ---- forgetting -------------------------------------------------------------------------------- */

static enum cx_err find_oldest(struct archive *a, uint64_t before_ms, struct archived_task *ret_task, bool *ret_found)
{
    sqlite3_stmt *stmt = a->stmt[OLDEST];
    db_bind_u64(stmt, 1, before_ms);
    enum cx_err err = db_step(stmt, ret_found);
    if (!err && *ret_found)
        *ret_task = (struct archived_task){.session = (uint64_t)sqlite3_column_int64(stmt, 0),
                                           .task = (uint64_t)sqlite3_column_int64(stmt, 1)};
    sqlite3_reset(stmt);
    return err;
}

static enum cx_err forget_task(struct archive *a, const struct archived_task *task)
{
    enum cx_err err = drop_nodes(a, task->session, task->task);
    if (!err)
        err = run_on_task(a, DROP_EVENTS_OF, task->session, task->task);
    return err ? err : run_on_task(a, DROP_TASK, task->session, task->task);
}

static enum cx_err forget_all(struct archive *a, uint64_t before_ms, uint32_t *ret_removed)
{
    for (*ret_removed = 0; *ret_removed < ARCHIVE_FORGET_STEP_MAX; ++*ret_removed) {
        struct archived_task task = {0};
        bool found = false;
        enum cx_err err = find_oldest(a, before_ms, &task, &found);
        if (!err && found)
            err = forget_task(a, &task);
        if (err)
            return err;
        if (!found)
            break;
    }
    db_bind_u64(a->stmt[DROP_OLD_EVENTS], 1, before_ms);
    db_bind_u64(a->stmt[DROP_OLD_EVENTS], 2, FORGET_EVENTS_MAX);
    return db_run(a->stmt[DROP_OLD_EVENTS]);
}

enum cx_err archive_forget(struct archive *a, uint64_t before_ms, uint32_t *ret_removed)
{
    cx_assert(a->begun == 0);
    uint32_t removed = 0;
    enum cx_err err = db_exec(a->db, "BEGIN IMMEDIATE");
    if (err)
        return err;
    err = forget_all(a, before_ms, &removed);
    if (!err)
        err = db_exec(a->db, "COMMIT");
    if (err)
        sqlite3_exec(a->db, "ROLLBACK", NULL, NULL, NULL);
    else
        *ret_removed = removed;
    return err;
}

/* Asking the archive. */
#include "base/assert.h"
#include "ledger/archive_parts.h"

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

static enum cx_err get_task(struct archive *a, sqlite3_stmt *stmt, struct archived_task *ret_task)
{
    struct archived_task task = {.session = (uint64_t)sqlite3_column_int64(stmt, 0),
                                 .task = (uint64_t)sqlite3_column_int64(stmt, 1),
                                 .seq = db_u64(stmt, 2),
                                 .state = (uint32_t)db_u64(stmt, 3),
                                 .submitted_ms = db_u64(stmt, 6),
                                 .finished_ms = db_u64(stmt, 7)};
    bool good = db_bytes(stmt, 4, task.payer.b, sizeof task.payer.b) && get_hash(stmt, 5, &task.reference) &&
                get_hash(stmt, 8, &task.prompt) && get_hash(stmt, 9, &task.answer);
    if (good && sqlite3_column_count(stmt) > 10)
        good = archive_unpack(a, db_span(stmt, 10), &task);
    if (!good)
        return damaged(stmt);
    *ret_task = task;
    return CX_OK;
}

static enum cx_err get_event(sqlite3_stmt *stmt, struct archived_event *ret_event)
{
    struct archived_event event = {.seq = db_u64(stmt, 0),
                                   .index = (uint32_t)db_u64(stmt, 1),
                                   .time_ms = db_u64(stmt, 2),
                                   .task = (uint64_t)sqlite3_column_int64(stmt, 3)};
    bool has_node = sqlite3_column_type(stmt, 4) != SQLITE_NULL;
    if (has_node && !db_bytes(stmt, 4, event.node.b, sizeof event.node.b))
        return damaged(stmt);
    event.body = db_span(stmt, 5);
    *ret_event = event;
    return CX_OK;
}

static enum cx_err give_tasks(struct archive *a, sqlite3_stmt *stmt, archive_each_task *each, void *ctx,
                              uint32_t *ret_count)
{
    enum cx_err err = CX_OK;
    *ret_count = 0;
    for (bool row = true, more = true; more && !err;) {
        struct archived_task task;
        err = db_step(stmt, &row);
        if (err || !row)
            break;
        err = get_task(a, stmt, &task);
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

enum cx_err archive_task(struct archive *a, uint64_t task, archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt;
    uint32_t count = 0;
    enum cx_err err = archive_statement(a, ONE_TASK, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    err = give_tasks(a, stmt, each, ctx, &count);
    return err || count ? err : cx_fail(CX_NOT_FOUND, "the archive has no such task");
}

enum cx_err archive_task_by_reference(struct archive *a, const struct address *payer, const struct hash *reference,
                                      archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt;
    uint32_t count = 0;
    enum cx_err err = archive_statement(a, BY_REFERENCE, &stmt);
    if (err)
        return err;
    db_bind_bytes(stmt, 1, payer->b, sizeof payer->b);
    db_bind_bytes(stmt, 2, reference->b, sizeof reference->b);
    err = give_tasks(a, stmt, each, ctx, &count);
    return err || count ? err : cx_fail(CX_NOT_FOUND, "the archive has no task under this reference");
}

static enum cx_err page_statement(struct archive *a, const struct archive_query *query, sqlite3_stmt **ret_stmt)
{
    static const enum archive_statement by[] = {
        [ARCHIVE_BY_SESSION] = PAGE_SESSION, [ARCHIVE_BY_PAYER] = PAGE_PAYER, [ARCHIVE_BY_NODE] = PAGE_NODE};
    enum cx_err err = archive_statement(a, by[query->by], ret_stmt);
    if (err)
        return err;
    if (query->by == ARCHIVE_BY_SESSION)
        db_bind_id(*ret_stmt, 1, query->session);
    else
        db_bind_bytes(*ret_stmt, 1, query->address.b, sizeof query->address.b);
    return CX_OK;
}

enum cx_err archive_tasks(struct archive *a, const struct archive_query *query, archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt;
    uint32_t count = 0;
    enum cx_err err = page_statement(a, query, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 2, query->before_seq ? query->before_seq : UINT64_MAX);
    db_bind_id(stmt, 3, query->before_task);
    db_bind_u64(stmt, 4, u32_min(query->limit, ARCHIVE_PAGE_MAX));
    return give_tasks(a, stmt, each, ctx, &count);
}

enum cx_err archive_task_events(struct archive *a, uint64_t task, uint64_t seq_max, archive_each_event *each, void *ctx)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, TASK_EVENTS, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    db_bind_u64(stmt, 2, seq_max);
    return give_events(stmt, each, ctx);
}

enum cx_err archive_node_events(struct archive *a, const struct address *node, uint64_t seq_max, uint32_t limit,
                                archive_each_event *each, void *ctx)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, NODE_EVENTS, &stmt);
    if (err)
        return err;
    db_bind_bytes(stmt, 1, node->b, sizeof node->b);
    db_bind_u64(stmt, 2, seq_max);
    db_bind_u64(stmt, 3, u32_min(limit, ARCHIVE_PAGE_MAX));
    return give_events(stmt, each, ctx);
}

enum cx_err archive_task_verdicts(struct archive *a, uint64_t task, uint64_t seq_max, archive_each_verdict *each,
                                  void *ctx)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, TASK_VERDICTS, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    db_bind_u64(stmt, 2, seq_max);
    for (bool row = true, more = true; more && !err;) {
        err = db_step(stmt, &row);
        if (err || !row)
            break;
        const struct archived_verdict verdict = {.seq = db_u64(stmt, 0),
                                                 .time_ms = db_u64(stmt, 1),
                                                 .task = (uint64_t)sqlite3_column_int64(stmt, 2),
                                                 .body = db_span(stmt, 3)};
        more = each(ctx, &verdict);
    }
    sqlite3_reset(stmt);
    return err;
}

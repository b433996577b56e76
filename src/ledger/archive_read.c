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

struct taking {
    archive_each_task *each;
    void *ctx;
    uint32_t count;
    bool enough;
};

static enum cx_err give_tasks(struct archive *a, sqlite3_stmt *stmt, struct taking *taking)
{
    enum cx_err err = CX_OK;
    for (bool row = true; !taking->enough && !err;) {
        struct archived_task task;
        err = db_step(stmt, &row);
        if (err || !row)
            break;
        err = get_task(a, stmt, &task);
        taking->count++;
        taking->enough = err || !taking->each(taking->ctx, &task);
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
    struct taking taking = {.each = each, .ctx = ctx};
    enum cx_err err = archive_statement(a, ONE_TASK, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    err = give_tasks(a, stmt, &taking);
    return err || taking.count ? err : cx_fail(CX_NOT_FOUND, "the archive has no such task");
}

enum cx_err archive_task_by_reference(struct archive *a, const struct address *payer, const struct hash *reference,
                                      archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt;
    struct taking taking = {.each = each, .ctx = ctx};
    enum cx_err err = archive_statement(a, BY_REFERENCE, &stmt);
    if (err)
        return err;
    db_bind_bytes(stmt, 1, payer->b, sizeof payer->b);
    db_bind_bytes(stmt, 2, reference->b, sizeof reference->b);
    err = give_tasks(a, stmt, &taking);
    return err || taking.count ? err : cx_fail(CX_NOT_FOUND, "the archive has no task under this reference");
}

/* ---- pages ---- */

static enum cx_err give_page(struct archive *a, const struct archive_query *query, struct taking *taking)
{
    sqlite3_stmt *stmt;
    bool session = query->by == ARCHIVE_BY_SESSION;
    enum cx_err err = archive_statement(a, session ? PAGE_SESSION : PAGE_PAYER, &stmt);
    if (err)
        return err;
    if (session)
        db_bind_id(stmt, 1, query->session);
    else
        db_bind_bytes(stmt, 1, query->address.b, sizeof query->address.b);
    db_bind_u64(stmt, 2, query->before_seq ? query->before_seq : UINT64_MAX);
    db_bind_id(stmt, 3, query->before_task);
    db_bind_u64(stmt, 4, u32_min(query->limit, ARCHIVE_PAGE_MAX));
    return give_tasks(a, stmt, taking);
}

/* Of all tasks; 0: there are none. */
static enum cx_err get_places(struct archive *a, uint64_t *ret_first, uint64_t *ret_last)
{
    sqlite3_stmt *stmt;
    bool row = false;
    enum cx_err err = archive_statement(a, PLACES, &stmt);
    if (!err)
        err = db_step(stmt, &row);
    if (err)
        return err;
    cx_assert(row);
    *ret_first = db_u64(stmt, 0);
    *ret_last = db_u64(stmt, 1);
    sqlite3_reset(stmt);
    return CX_OK;
}

/* Whether the first task from *place on stands before (seq, task); *place becomes its place. Where there is none, none
 * does. */
static enum cx_err is_before(struct archive *a, uint64_t *place, uint64_t seq, uint64_t task, bool *ret_before)
{
    sqlite3_stmt *stmt;
    bool row = false;
    enum cx_err err = archive_statement(a, PLACE, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, *place);
    err = db_step(stmt, &row);
    *ret_before = false;
    if (!err && row) {
        *place = db_u64(stmt, 0);
        uint64_t its_seq = db_u64(stmt, 1);
        *ret_before = its_seq < seq || (its_seq == seq && sqlite3_column_int64(stmt, 2) < (int64_t)task);
    }
    sqlite3_reset(stmt);
    return err;
}

/* Places are in the order of (seq, task): the first one that does not stand before it. */
static enum cx_err find_place(struct archive *a, uint64_t first, uint64_t last, uint64_t seq, uint64_t task,
                              uint64_t *ret_place)
{
    enum cx_err err = CX_OK;
    uint64_t low = first, high = last + 1;
    while (low < high && !err) {
        uint64_t middle = low + (high - low) / 2, place = middle;
        bool before = false;
        err = is_before(a, &place, seq, task, &before);
        if (before)
            low = place + 1;
        else
            high = middle;
    }
    *ret_place = low;
    return err;
}

static enum cx_err give_shelf(struct archive *a, const struct address *node, uint64_t shelf, uint64_t before,
                              uint32_t limit, struct taking *taking)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, PAGE_NODE, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, shelf);
    db_bind_bytes(stmt, 2, node->b, sizeof node->b);
    db_bind_u64(stmt, 3, before);
    db_bind_u64(stmt, 4, limit);
    return give_tasks(a, stmt, taking);
}

static enum cx_err give_page_of_node(struct archive *a, const struct archive_query *query, struct taking *taking)
{
    uint64_t first = 0, last = 0, before = 0;
    enum cx_err err = get_places(a, &first, &last);
    if (err || last == 0)
        return err;
    before = last + 1;
    if (query->before_seq)
        err = find_place(a, first, last, query->before_seq, query->before_task, &before);
    uint32_t limit = u32_min(query->limit, ARCHIVE_PAGE_MAX);
    if (err || before <= first)
        return err;
    for (uint64_t shelf = (before - 1) / ARCHIVE_SHELF, end = first / ARCHIVE_SHELF;; shelf--) {
        err = give_shelf(a, &query->address, shelf, before, limit - taking->count, taking);
        if (err || taking->enough || taking->count >= limit || shelf == end)
            return err;
    }
}

enum cx_err archive_tasks(struct archive *a, const struct archive_query *query, archive_each_task *each, void *ctx)
{
    struct taking taking = {.each = each, .ctx = ctx};
    return query->by == ARCHIVE_BY_NODE ? give_page_of_node(a, query, &taking) : give_page(a, query, &taking);
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

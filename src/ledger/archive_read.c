/* Asking the archive. */
#include "base/assert.h"
#include "ledger/archive_parts.h"

/* ---- tasks ---- */

/* The task of this number, if it is the one that was asked for: by its id, or else by payer and reference. */
static enum cx_err get_task(struct archive *a, uint64_t number, const struct archived_task *asked,
                            struct archived_task *ret_task)
{
    enum cx_err err = archive_group_get(a, number);
    if (err)
        return err;
    group_task(&a->got, (uint32_t)(number - 1 - (a->got.place - a->got.count)), ret_task);
    bool is = asked->task
                  ? ret_task->task == asked->task
                  : address_eq(&ret_task->payer, &asked->payer) && hash_eq(&ret_task->reference, &asked->reference);
    return is ? CX_OK : archive_damaged(a);
}

/* Gives the task whose number the statement finds. Until then the statement holds the file as it was. */
static enum cx_err give_one(struct archive *a, sqlite3_stmt *stmt, const struct archived_task *asked,
                            archive_each_task *each, void *ctx)
{
    struct archived_task task;
    bool found = false;
    enum cx_err err = db_step(stmt, &found);
    if (!err && !found)
        err = cx_fail(CX_NOT_FOUND, "the archive has no task under this %s", asked->task ? "id" : "reference");
    if (!err)
        err = get_task(a, db_u64(stmt, 0), asked, &task);
    if (!err)
        each(ctx, &task);
    sqlite3_reset(stmt);
    return err;
}

enum cx_err archive_task(struct archive *a, uint64_t task, archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt;
    if (task == 0)
        return cx_fail(CX_NOT_FOUND, "no task has the id 0");
    enum cx_err err = archive_statement(a, NUMBER_OF_ID, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    return give_one(a, stmt, &(struct archived_task){.task = task}, each, ctx);
}

enum cx_err archive_task_by_reference(struct archive *a, const struct address *payer, const struct hash *reference,
                                      archive_each_task *each, void *ctx)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, NUMBER_OF_REFERENCE, &stmt);
    if (err)
        return err;
    db_bind_bytes(stmt, 1, payer->b, sizeof payer->b);
    db_bind_bytes(stmt, 2, reference->b, sizeof reference->b);
    return give_one(a, stmt, &(struct archived_task){.payer = *payer, .reference = *reference}, each, ctx);
}

/* ---- pages ---- */

/* A page that is being given. */
struct page {
    const struct archive_query *query;
    struct group_key key;
    archive_each_task *each;
    void *ctx;
    uint32_t left;  // how many more
};

static enum cx_err get_number(sqlite3_stmt *stmt, uint64_t *ret_number)
{
    bool row = false;
    enum cx_err err = db_step(stmt, &row);
    if (!err)
        *ret_number = row ? db_u64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return err;
}

/* Of the last group that may have a task of the page; 0: there is none. */
static enum cx_err find_last(struct archive *a, const struct archive_query *query, uint64_t *ret_place)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, query->before_seq ? PLACE_BEFORE : PLACE_LAST, &stmt);
    if (err)
        return err;
    if (query->before_seq) {
        db_bind_u64(stmt, 1, query->before_seq);
        db_bind_id(stmt, 2, query->before_task);
    }
    return get_number(stmt, ret_place);
}

static bool is_wanted(const struct page *page, const struct archived_task *task)
{
    const struct archive_query *q = page->query;
    bool before = q->before_seq == 0 || task->seq < q->before_seq ||
                  (task->seq == q->before_seq && (int64_t)task->task < (int64_t)q->before_task);
    return before && group_key_is_of(&page->key, task);
}

/* Whether it has not been put again since. */
static enum cx_err is_current(struct archive *a, uint64_t task, uint64_t number, bool *ret_current)
{
    sqlite3_stmt *stmt;
    uint64_t its_number = 0;
    enum cx_err err = archive_statement(a, NUMBER_OF_ID, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    err = get_number(stmt, &its_number);
    *ret_current = its_number == number;
    return err;
}

static enum cx_err give_task(struct archive *a, struct page *page, uint32_t index)
{
    struct archived_task task;
    bool current = false;
    group_task(&a->got, index, &task);
    if (!is_wanted(page, &task))
        return CX_OK;
    enum cx_err err = is_current(a, task.task, a->got.place - a->got.count + 1 + index, &current);
    if (!err && current)
        page->left = page->each(page->ctx, &task) ? page->left - 1 : 0;
    return err;
}

static enum cx_err give_group(struct archive *a, struct page *page, uint64_t place)
{
    enum cx_err err = archive_group_get(a, place);
    if (!err && a->got.place != place)
        err = archive_damaged(a);
    for (uint32_t i = err ? 0 : a->got.count; i > 0 && page->left > 0 && !err; i--) {
        err = give_task(a, page, i - 1);
        if (!err)
            err = archive_group_get(a, place);  // whoever is given a task may have asked for another
    }
    return err;
}

static enum cx_err give_shelf(struct archive *a, struct page *page, uint64_t shelf, uint64_t last)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, PLACES_OF, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, shelf);
    db_bind_u64(stmt, 2, page->key.by);
    db_bind_bytes(stmt, 3, page->key.b, page->key.size);
    db_bind_u64(stmt, 4, last);
    for (bool row = true; page->left > 0 && !err;) {
        err = db_step(stmt, &row);
        if (err || !row)
            break;
        err = give_group(a, page, db_u64(stmt, 0));
    }
    sqlite3_reset(stmt);
    return err;
}

/* *shelf becomes the next one below that has anything on it; false: there is none. */
static enum cx_err go_down(struct archive *a, uint64_t *shelf, bool *ret_more)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, SHELF_BEFORE, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, *shelf);
    err = db_step(stmt, ret_more);
    uint64_t next = !err && *ret_more ? db_u64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    if (err || !*ret_more)
        return err;
    if (next >= *shelf)  // a damaged one, below zero
        return archive_damaged(a);
    *shelf = next;
    return CX_OK;
}

enum cx_err archive_tasks(struct archive *a, const struct archive_query *query, archive_each_task *each, void *ctx)
{
    struct page page = {.query = query, .each = each, .ctx = ctx, .left = u32_min(query->limit, ARCHIVE_PAGE_MAX)};
    page.key = query->by == ARCHIVE_BY_SESSION ? group_key_of_session(query->session)
                                               : group_key_of_address(query->by, &query->address);
    uint64_t last = 0;
    enum cx_err err = find_last(a, query, &last);
    uint64_t shelf = last / ARCHIVE_SHELF;
    for (bool more = last > 0; more && page.left > 0 && !err;) {
        err = give_shelf(a, &page, shelf, last);
        if (!err && page.left > 0)
            err = go_down(a, &shelf, &more);
    }
    return err;
}

/* ---- events and verdicts ---- */

static enum cx_err get_event(struct archive *a, sqlite3_stmt *stmt, struct archived_event *ret_event)
{
    struct archived_event event = {.seq = db_u64(stmt, 0),
                                   .index = (uint32_t)db_u64(stmt, 1),
                                   .time_ms = db_u64(stmt, 2),
                                   .task = (uint64_t)sqlite3_column_int64(stmt, 3)};
    bool has_node = sqlite3_column_type(stmt, 4) != SQLITE_NULL;
    if (has_node && !db_bytes(stmt, 4, event.node.b, sizeof event.node.b))
        return archive_damaged(a);
    event.body = db_span(stmt, 5);
    *ret_event = event;
    return CX_OK;
}

static enum cx_err give_events(struct archive *a, sqlite3_stmt *stmt, archive_each_event *each, void *ctx)
{
    enum cx_err err = CX_OK;
    for (bool row = true, more = true; more && !err;) {
        struct archived_event event;
        err = db_step(stmt, &row);
        if (err || !row)
            break;
        err = get_event(a, stmt, &event);
        more = !err && each(ctx, &event);
    }
    sqlite3_reset(stmt);
    return err;
}

enum cx_err archive_task_events(struct archive *a, uint64_t task, uint64_t seq_max, archive_each_event *each, void *ctx)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, TASK_EVENTS, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    db_bind_u64(stmt, 2, seq_max);
    return give_events(a, stmt, each, ctx);
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
    return give_events(a, stmt, each, ctx);
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

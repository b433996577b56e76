/* Groups of tasks, and the rows by which they are found: written, read and removed together. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "ledger/archive_parts.h"

enum cx_err archive_damaged(const struct archive *a)
{
    return cx_fail(CX_CORRUPT, "%s: a row of the archive is damaged: delete the file, it will be rebuilt",
                   sqlite3_db_filename(a->db, "main"));
}

/* ---- keys ---- */

struct group_key group_key_of_session(uint64_t session)
{
    struct group_key key = {.by = ARCHIVE_BY_SESSION, .size = 8};
    be64_put(key.b, session);
    return key;
}

struct group_key group_key_of_address(enum archive_by by, const struct address *address)
{
    cx_assert(by != ARCHIVE_BY_SESSION);
    struct group_key key = {.by = (uint8_t)by, .size = sizeof address->b};
    memcpy(key.b, address->b, sizeof address->b);
    return key;
}

bool group_key_is_of(const struct group_key *key, const struct archived_task *task)
{
    switch ((enum archive_by)key->by) {
    case ARCHIVE_BY_SESSION: return be64(key->b) == task->session;
    case ARCHIVE_BY_PAYER: return memcmp(key->b, task->payer.b, sizeof task->payer.b) == 0;
    case ARCHIVE_BY_NODE:
        for (uint32_t i = 0; i < task->node_count; i++)
            if (memcmp(key->b, task->node[i].b, sizeof task->node[i].b) == 0)
                return true;
        return false;
    }
    return false;
}

static void add_key(struct archive *a, struct group_key key)
{
    if (a->keys == a->key_cap) {
        a->key_cap = a->key_cap ? 2 * a->key_cap : 256;
        a->key = realloc(a->key, a->key_cap * sizeof *a->key);
        cx_assert(a->key);
    }
    a->key[a->keys++] = key;
}

static int compare_keys(const void *a, const void *b) { return memcmp(a, b, sizeof(struct group_key)); }

/* Each one once, in the order of the file, into archive->key. */
static void find_keys(struct archive *a, const struct group *g)
{
    static_assert(sizeof(struct group_key) == 22, "keys are compared by their bytes");
    a->keys = 0;
    for (uint32_t i = 0; i < g->count; i++) {
        struct archived_task task;
        group_task(g, i, &task);
        add_key(a, group_key_of_session(task.session));
        add_key(a, group_key_of_address(ARCHIVE_BY_PAYER, &task.payer));
        for (uint32_t n = 0; n < task.node_count; n++)
            add_key(a, group_key_of_address(ARCHIVE_BY_NODE, &task.node[n]));
    }
    qsort(a->key, a->keys, sizeof *a->key, compare_keys);
    uint32_t last = 0;
    for (uint32_t i = 1; i < a->keys; i++)
        if (compare_keys(&a->key[last], &a->key[i]) != 0)
            a->key[++last] = a->key[i];
    a->keys = a->keys ? last + 1 : 0;
}

/* ---- rows by which tasks are found ---- */

/* PUT_ID and DROP_ID, PUT_REFERENCE and DROP_REFERENCE, PUT_OF and DROP_OF have the same values. */
struct finding {
    enum archive_statement id, reference, of;
};

static const struct finding put = {PUT_ID, PUT_REFERENCE, PUT_OF};
static const struct finding drop = {DROP_ID, DROP_REFERENCE, DROP_OF};

static enum cx_err run_id(struct archive *a, enum archive_statement which, uint64_t task, uint64_t number)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, which, &stmt);
    if (err)
        return err;
    db_bind_id(stmt, 1, task);
    db_bind_u64(stmt, 2, number);
    return db_run(stmt);
}

static enum cx_err run_reference(struct archive *a, enum archive_statement which, const struct archived_task *task,
                                 uint64_t number)
{
    sqlite3_stmt *stmt;
    if (hash_is_zero(&task->reference))
        return CX_OK;
    enum cx_err err = archive_statement(a, which, &stmt);
    if (err)
        return err;
    db_bind_bytes(stmt, 1, task->payer.b, sizeof task->payer.b);
    db_bind_bytes(stmt, 2, task->reference.b, sizeof task->reference.b);
    db_bind_u64(stmt, 3, number);
    return db_run(stmt);
}

static enum cx_err run_of(struct archive *a, enum archive_statement which, const struct group *g)
{
    sqlite3_stmt *stmt;
    enum cx_err err = archive_statement(a, which, &stmt);
    find_keys(a, g);
    for (uint32_t i = 0; i < a->keys && !err; i++) {
        db_bind_u64(stmt, 1, g->place / ARCHIVE_SHELF);
        db_bind_u64(stmt, 2, a->key[i].by);
        db_bind_bytes(stmt, 3, a->key[i].b, a->key[i].size);
        db_bind_u64(stmt, 4, g->place);
        err = db_run(stmt);
    }
    return err;
}

static enum cx_err run_finding(struct archive *a, const struct finding *which, const struct group *g)
{
    enum cx_err err = CX_OK;
    cx_assert(g->place >= g->count);
    for (uint32_t i = 0; i < g->count && !err; i++) {
        struct archived_task task;
        uint64_t number = g->place - g->count + 1 + i;
        group_task(g, i, &task);
        err = run_id(a, which->id, task.task, number);
        if (!err)
            err = run_reference(a, which->reference, &task, number);
    }
    return err ? err : run_of(a, which->of, g);
}

/* ---- groups ---- */

static enum cx_err put_group(struct archive *a, const struct group *g)
{
    sqlite3_stmt *stmt;
    struct archived_task first, last;
    enum cx_err err = archive_statement(a, PUT_GROUP, &stmt);
    if (err)
        return err;
    group_task(g, 0, &first);
    group_task(g, g->count - 1, &last);
    group_pack(g, &a->packed);
    db_bind_u64(stmt, 1, g->place);
    db_bind_u64(stmt, 2, first.seq);
    db_bind_id(stmt, 3, first.task);
    db_bind_u64(stmt, 4, last.finished_ms);
    db_bind_u64(stmt, 5, g->count);
    db_bind_u64(stmt, 6, g->plain.size);
    db_bind_bytes(stmt, 7, a->packed.data, a->packed.size);
    err = db_run(stmt);
    return err == CX_EXISTS ? archive_damaged(a) : err;  // more were put than meta says
}

enum cx_err archive_tasks_write(struct archive *a)
{
    struct group *g = &a->putting;
    cx_assert(a->begun);
    if (g->count == 0)
        return CX_OK;
    g->place = a->tasks + g->count;
    enum cx_err err = put_group(a, g);
    if (!err)
        err = run_finding(a, &put, g);
    if (!err)
        err = archive_set_meta(a, "tasks", g->place);
    if (err)
        return err;
    a->tasks = g->place;
    group_reset(g);
    return CX_OK;
}

/* Leaves archive->got without a place where it fails. */
static enum cx_err unpack(struct archive *a, sqlite3_stmt *stmt, uint64_t number)
{
    uint64_t place = db_u64(stmt, 0), count = db_u64(stmt, 1);
    if (!group_unpack(&a->got, db_span(stmt, 3), count, db_u64(stmt, 2)))
        return archive_damaged(a);
    if (place < number || place < count || place - count >= number) {
        group_reset(&a->got);
        return archive_damaged(a);
    }
    a->got.place = place;
    return CX_OK;
}

enum cx_err archive_group_get(struct archive *a, uint64_t number)
{
    sqlite3_stmt *stmt;
    bool row = false;
    const struct group *got = &a->got;
    if (number <= got->place && number > got->place - got->count)
        return CX_OK;
    enum cx_err err = archive_statement(a, GET_GROUP, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, number);
    err = db_step(stmt, &row);
    if (!err)
        err = row ? unpack(a, stmt, number) : archive_damaged(a);
    sqlite3_reset(stmt);
    return err;
}

/* ---- forgetting ---- */

/* *ret_place: 0 where the oldest group is not so old. */
static enum cx_err find_oldest(struct archive *a, uint64_t before_ms, uint64_t *ret_place)
{
    sqlite3_stmt *stmt;
    bool row = false;
    enum cx_err err = archive_statement(a, OLDEST, &stmt);
    if (!err)
        err = db_step(stmt, &row);
    if (err)
        return err;
    *ret_place = row && db_u64(stmt, 1) < before_ms ? db_u64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return CX_OK;
}

enum cx_err archive_tasks_forget(struct archive *a, uint64_t before_ms, uint32_t *ret_count)
{
    sqlite3_stmt *stmt;
    uint64_t place = 0;
    *ret_count = 0;
    enum cx_err err = find_oldest(a, before_ms, &place);
    if (err || place == 0)
        return err;
    err = archive_group_get(a, place);
    if (!err)
        err = run_finding(a, &drop, &a->got);
    if (!err)
        err = archive_statement(a, DROP_GROUP, &stmt);
    if (err)
        return err;
    db_bind_u64(stmt, 1, place);
    *ret_count = a->got.count;
    return db_run(stmt);
}

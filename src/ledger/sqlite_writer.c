/* The writer and checkpointer threads of a sqlite: ledger. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/worker.h"
#include "ledger/sqlite_store.h"
#include "proto/payload_rows.h"

struct sqlite_writer {
    struct ledger *ledger;
    struct ledger_head head;  // the writer thread's

    sqlite3 *db;
    sqlite3_stmt *begin, *commit;
    sqlite3_stmt *epoch;   // a router's epoch
    sqlite3_stmt *number;  // its last number in an epoch
    sqlite3_stmt *find;    // one batch by number
    sqlite3_stmt *insert;
    struct payload_rows *payloads;

    pthread_mutex_t lock;  // of what follows
    struct ledger_record *first, **last;
    bool ending;
    enum cx_err stopped;
    char stopped_detail[LEDGER_DETAIL_SIZE];
    int log_pages;     // of the write-ahead log
    int copied_pages;  // of these, already in the file
    bool finish;       // the writer should copy what is left, so that the log starts over

    pthread_mutex_t copying;  // held by who copies the log: SQLite would turn the second one away
    sqlite3 *checkpoint_db;
    struct worker *writing, *checkpointing;
};

/* ---- stopping ---------------------------------------------------------------------------------- */

static enum cx_err stopped(struct sqlite_writer *w)
{
    pthread_mutex_lock(&w->lock);
    enum cx_err err = w->stopped;
    if (err)
        cx_fail(err, "%s", w->stopped_detail);
    pthread_mutex_unlock(&w->lock);
    return err;
}

/* After a failed sync nobody knows what is on disk: to go on would be to guess. */
static void stop(struct sqlite_writer *w, enum cx_err err)
{
    pthread_mutex_lock(&w->lock);
    if (!w->stopped) {
        w->stopped = err == CX_CORRUPT ? CX_CORRUPT : CX_IO;
        snprintf(w->stopped_detail, sizeof w->stopped_detail,
                 "%.200s. The ledger has stopped; what it acknowledged is on disk", cx_detail());
    }
    pthread_mutex_unlock(&w->lock);
}

/* ---- one batch --------------------------------------------------------------------------------- */

static void bind_epoch(sqlite3_stmt *stmt, const struct ledger_batch *batch)
{
    db_bind_bytes(stmt, 1, batch->router.b, sizeof batch->router.b);
    db_bind_u64(stmt, 2, batch->epoch);
}

/* The first column of the statement's row; 0: there is none. */
static enum cx_err get_number(sqlite3_stmt *stmt, uint64_t *ret_number)
{
    bool row = false;
    enum cx_err err = db_step(stmt, &row);
    *ret_number = !err && row ? db_u64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return err;
}

/* The batch's number was used: by the same batch, or by another one. Refusals go into the record. */
static enum cx_err find_repeat(struct sqlite_writer *w, struct ledger_record *record, bool *ret_found)
{
    struct ledger_batch *batch = &record->batch, old;
    bool row = false;
    bind_epoch(w->find, batch);
    db_bind_u64(w->find, 3, batch->number);
    enum cx_err err = db_step(w->find, &row);
    if (!err && row)
        err = sqlite_batch_get(w->find, w->ledger->uri, &old);
    if (!err && row) {
        bool same = old.count == batch->count && old.body.size == batch->body.size &&
                    memcmp(old.body.data, batch->body.data, old.body.size) == 0;
        record->repeated = same;
        batch->seq = old.seq;
        batch->time_ms = old.time_ms;
        if (!same)
            ledger_record_fail(record,
                               cx_fail(CX_INVALID, "batch %llu of epoch %llu is another one, at position %llu",
                                       (unsigned long long)batch->number, (unsigned long long)batch->epoch,
                                       (unsigned long long)old.seq),
                               false);
    }
    sqlite3_reset(w->find);
    *ret_found = row;
    return err;
}

static enum cx_err insert_batch(sqlite3_stmt *stmt, const struct ledger_batch *batch)
{
    db_bind_u64(stmt, 1, batch->seq);
    db_bind_u64(stmt, 2, batch->count);
    db_bind_bytes(stmt, 3, batch->router.b, sizeof batch->router.b);
    db_bind_u64(stmt, 4, batch->epoch);
    db_bind_u64(stmt, 5, batch->number);
    db_bind_u64(stmt, 6, batch->time_ms);
    db_bind_bytes(stmt, 7, batch->chain.b, sizeof batch->chain.b);
    db_bind_bytes(stmt, 8, batch->body.data, batch->body.size);
    return db_run(stmt);
}

static enum cx_err insert_payloads(struct sqlite_writer *w, const struct ledger_record *record)
{
    enum cx_err err = CX_OK;
    for (uint32_t i = 0; i < record->blob_count && !err; i++) {
        const struct ledger_blob *blob = &record->blob[i];
        err = payload_rows_put(w->payloads, &blob->sha256, blob->data, blob->keep_until_ms);
    }
    return err;
}

static enum cx_err check_turn(struct sqlite_writer *w, struct ledger_record *record)
{
    uint64_t epoch = 0, number = 0;
    bind_epoch(w->number, &record->batch);
    enum cx_err err = get_number(w->number, &number);
    if (!err && record->batch.number <= number) {
        bool found = false;
        err = find_repeat(w, record, &found);
        if (err || found)
            return err;
    }
    db_bind_bytes(w->epoch, 1, record->batch.router.b, sizeof record->batch.router.b);
    if (!err)
        err = get_number(w->epoch, &epoch);
    enum cx_err refusal = err ? CX_OK : ledger_check_turn(&record->batch, epoch, number);
    if (refusal)
        ledger_record_fail(record, refusal, false);
    return err;
}

/* Within the transaction. What the rules refuse is noted in the record; what is returned stops the ledger. */
static enum cx_err add(struct sqlite_writer *w, struct ledger_record *record, struct ledger_head *head)
{
    enum cx_err err = check_turn(w, record);
    if (err || record->err || record->repeated)
        return err;
    struct ledger_batch *batch = &record->batch;
    batch->seq = head->seq + 1;
    batch->time_ms = ledger_stamp_ms(w->ledger, head->time_ms);
    ledger_chain_next(&head->chain, batch, &batch->chain);
    err = insert_batch(w->insert, batch);
    if (!err)
        err = insert_payloads(w, record);
    *head = (struct ledger_head){batch->seq + batch->count - 1, batch->time_ms, batch->chain};
    return err;
}

static enum cx_err commit(struct sqlite_writer *w, struct ledger_record *first)
{
    enum cx_err err = stopped(w);
    if (err)
        return err;
    struct ledger_head head = w->head;
    err = db_run(w->begin);
    for (struct ledger_record *record = first; record && !err; record = record->next)
        err = add(w, record, &head);
    if (!err)
        err = payload_rows_end(w->payloads);
    if (!err)
        err = db_run(w->commit);
    if (!err) {
        w->head = head;
        return CX_OK;
    }
    stop(w, err);
    sqlite3_exec(w->db, "ROLLBACK", NULL, NULL, NULL);  // where SQLite has not done so already
    return stopped(w);
}

/* ---- the log ----------------------------------------------------------------------------------- */

static int note_log(void *ctx, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    struct sqlite_writer *w = ctx;
    pthread_mutex_lock(&w->lock);
    if (pages < w->copied_pages)
        w->copied_pages = 0;  // it started over
    w->log_pages = pages;
    if (pages - w->copied_pages >= SQLITE_CHECKPOINT_PAGES)
        worker_ring(w->checkpointing);
    pthread_mutex_unlock(&w->lock);
    return SQLITE_OK;
}

/* Copies what is committed from the log into the file, beside whoever reads and writes. */
static void copy_log(struct sqlite_writer *w, sqlite3 *db)
{
    int pages = 0, copied = 0;
    pthread_mutex_lock(&w->copying);
    int code = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
    if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY)  // another one is at it: it will do
        stop(w, db_fail(db, "copy the write-ahead log"));
    pthread_mutex_lock(&w->lock);
    if (code == SQLITE_OK) {
        w->copied_pages = copied;
        /* Also where all was copied: the writer has gone on meanwhile. Right after its own copy the log starts over. */
        w->finish = pages >= SQLITE_LOG_PAGES_MAX && db != w->db;
    }
    pthread_mutex_unlock(&w->lock);
    pthread_mutex_unlock(&w->copying);
}

static bool wants_copy(struct sqlite_writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool wants = !w->ending && !w->stopped && w->log_pages - w->copied_pages >= SQLITE_CHECKPOINT_PAGES;
    pthread_mutex_unlock(&w->lock);
    return wants;
}

/* Where another copied meanwhile, or readers are in the way, the next commit rings again. */
static void checkpoint_run(void *ctx)
{
    struct sqlite_writer *w = ctx;
    if (wants_copy(w))
        copy_log(w, w->checkpoint_db);
}

/* ---- the writer -------------------------------------------------------------------------------- */

static void give_back(struct sqlite_writer *w, struct ledger_record *first, enum cx_err err)
{
    while (first) {
        struct ledger_record *record = first;
        first = record->next;
        if (err)
            ledger_record_fail(record, err, true);
        ledger_mail(w->ledger, record);
    }
}

/* All that waits becomes durable together. What comes meanwhile rings again. */
static void writer_run(void *ctx)
{
    struct sqlite_writer *w = ctx;
    pthread_mutex_lock(&w->lock);
    struct ledger_record *first = w->first;
    w->first = NULL;
    w->last = &w->first;
    bool finish = first && w->finish;
    if (finish)
        w->finish = false;
    pthread_mutex_unlock(&w->lock);
    if (finish)
        copy_log(w, w->db);
    if (first)
        give_back(w, first, commit(w, first));
}

void sqlite_writer_append(struct sqlite_writer *w, struct ledger_record *record)
{
    record->next = NULL;
    pthread_mutex_lock(&w->lock);
    *w->last = record;
    w->last = &record->next;
    pthread_mutex_unlock(&w->lock);
    worker_ring(w->writing);
}

/* ---- importing --------------------------------------------------------------------------------- */

static enum cx_err put_epoch(struct sqlite_writer *w, const struct address *router, uint64_t epoch)
{
    sqlite3_stmt *stmt = NULL;
    enum cx_err err = db_prepare(w->db,
                                 "INSERT INTO writer VALUES (?1, ?2) ON CONFLICT (router)"
                                 " DO UPDATE SET epoch = max(epoch, excluded.epoch)",
                                 &stmt);
    if (err)
        return err;
    db_bind_bytes(stmt, 1, router->b, sizeof router->b);
    db_bind_u64(stmt, 2, epoch);
    err = db_run(stmt);
    sqlite3_finalize(stmt);
    return err;
}

enum cx_err sqlite_writer_restore(struct sqlite_writer *w, const struct ledger_batch *batch)
{
    enum cx_err err = sqlite3_get_autocommit(w->db) ? db_run(w->begin) : CX_OK;
    if (!err)
        err = insert_batch(w->insert, batch);
    if (!err)
        err = put_epoch(w, &batch->router, batch->epoch);
    if (!err)
        w->head = (struct ledger_head){batch->seq + batch->count - 1, batch->time_ms, batch->chain};
    return err;
}

enum cx_err sqlite_writer_restore_end(struct sqlite_writer *w)
{
    return sqlite3_get_autocommit(w->db) ? CX_OK : db_run(w->commit);
}

/* ---- opening and closing ----------------------------------------------------------------------- */

static enum cx_err prepare(struct sqlite_writer *w)
{
    const struct {
        const char *sql;
        sqlite3_stmt **stmt;
    } all[] = {
        {"BEGIN IMMEDIATE", &w->begin},
        {"COMMIT", &w->commit},
        {"SELECT epoch FROM writer WHERE router = ?1", &w->epoch},
        {"SELECT number FROM batch WHERE router = ?1 AND epoch = ?2 ORDER BY number DESC LIMIT 1", &w->number},
        {"SELECT " SQLITE_BATCH_COLUMNS ", body FROM batch WHERE router = ?1 AND epoch = ?2 AND number = ?3", &w->find},
        {"INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", &w->insert},
    };
    enum cx_err err = CX_OK;
    for (size_t i = 0; i < ARRAY_COUNT(all) && !err; i++)
        err = db_prepare(w->db, all[i].sql, all[i].stmt);
    return err;
}

/* One more than any epoch that this router had, also where the table of writers was lost. */
static enum cx_err take_epoch(struct sqlite_writer *w)
{
    const struct address *router = &w->ledger->options.router;
    sqlite3_stmt *stmt = NULL;
    uint64_t epoch = 0;
    enum cx_err err = db_prepare(w->db,
                                 "SELECT max(ifnull((SELECT epoch FROM writer WHERE router = ?1), 0),"
                                 " ifnull((SELECT max(epoch) FROM batch WHERE router = ?1), 0))",
                                 &stmt);
    if (err)
        return err;
    db_bind_bytes(stmt, 1, router->b, sizeof router->b);
    err = get_number(stmt, &epoch);
    sqlite3_finalize(stmt);
    if (!err)
        err = put_epoch(w, router, epoch + 1);
    w->ledger->epoch = epoch + 1;
    return err;
}

enum cx_err sqlite_writer_open(struct ledger *ledger, struct sqlite_writer **ret_writer)
{
    struct sqlite_writer *w = calloc(1, sizeof *w);
    cx_assert(w);
    w->ledger = ledger;
    w->head = ledger->head;
    w->last = &w->first;
    pthread_mutex_init(&w->lock, NULL);
    pthread_mutex_init(&w->copying, NULL);

    enum cx_err err = db_open(ledger->place, DB_WRITE, &w->db);
    if (!err)
        err = db_exec(w->db, SQLITE_COPIES);
    if (!err)
        err = payload_rows_open(w->db, &w->payloads);
    if (!err)
        err = prepare(w);
    if (!err && !address_is_zero(&ledger->options.router))
        err = take_epoch(w);
    if (!err)
        err = db_open(ledger->place, DB_WRITE, &w->checkpoint_db);
    if (!err)
        err = worker_open(checkpoint_run, w, &w->checkpointing);
    if (!err) {
        sqlite3_wal_hook(w->db, note_log, w);
        err = worker_open(writer_run, w, &w->writing);
    }
    if (err) {
        sqlite_writer_close(w);
        return err;
    }
    *ret_writer = w;
    return CX_OK;
}

/* The writer first: its last commit may ring the checkpointer. */
static void end_threads(struct sqlite_writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_mutex_unlock(&w->lock);
    worker_close(w->writing);
    w->writing = NULL;
    worker_close(w->checkpointing);
    w->checkpointing = NULL;
}

void sqlite_writer_close(struct sqlite_writer *w)
{
    if (!w)
        return;
    bool began = w->writing != NULL;
    end_threads(w);
    sqlite3_stmt *all[] = {w->begin, w->commit, w->epoch, w->number, w->find, w->insert};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        sqlite3_finalize(all[i]);
    payload_rows_close(w->payloads);
    /* So that the file is whole for whoever copies it away. Where it fails, the next opening does it. */
    if (began && !w->stopped)
        sqlite3_wal_checkpoint_v2(w->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (w->checkpoint_db)
        db_leave_log(w->checkpoint_db);
    if (w->db)
        db_leave_log(w->db);
    db_close(w->checkpoint_db);
    db_close(w->db);
    pthread_mutex_destroy(&w->copying);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

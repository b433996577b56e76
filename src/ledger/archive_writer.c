#include "ledger/archive_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/worker.h"

#define DETAIL_SIZE 400

struct archive_writer {
    pthread_mutex_t writing;  // held by who writes: the thread, or who helps it
    struct archive *archive;  // under `writing`
    struct archive *reader;   // the putting thread's; `archive` itself where that is in memory
    struct worker *worker;    // NULL: in memory
    uint64_t had_seq;

    pthread_mutex_t lock;  // of what follows
    struct archive_batch *waiting, **waiting_last;
    struct archive_batch *written, **written_last;
    uint32_t waiting_count;
    uint64_t forget_before_ms;  // 0: nothing to forget
    bool ending;
    enum cx_err err;
    char detail[DETAIL_SIZE];
};

/* ---- on the thread ---- */

static int in_order_of_pages(const void *a, const void *b)
{
    const struct archived_task *ta = a, *tb = b;
    if (ta->seq != tb->seq)
        return ta->seq < tb->seq ? -1 : 1;
    return (int64_t)ta->task < (int64_t)tb->task ? -1 : ta->task != tb->task;
}

static enum cx_err write_rows(struct archive *archive, const struct archive_batch *batch)
{
    if (batch->tasks > 0)
        qsort(batch->task, batch->tasks, sizeof *batch->task, in_order_of_pages);
    enum cx_err err = archive_begin(archive);
    for (uint32_t i = 0; i < batch->tasks && !err; i++)
        err = archive_task_put(archive, &batch->task[i]);
    for (uint32_t i = 0; i < batch->events && !err; i++)
        err = archive_event_put(archive, &batch->event[i]);
    for (uint32_t i = 0; i < batch->verdicts && !err; i++)
        err = archive_verdict_put(archive, &batch->verdict[i]);
    if (!err)
        err = archive_commit(archive, batch->seq);
    archive_rollback(archive);
    return err;
}

static void note(struct archive_writer *w, enum cx_err err)
{
    if (!err || w->err)
        return;
    w->err = err;
    snprintf(w->detail, sizeof w->detail, "%s", cx_detail());
}

static struct archive_batch *first_waiting(struct archive_writer *w)
{
    pthread_mutex_lock(&w->lock);
    struct archive_batch *batch = w->err ? NULL : w->waiting;
    pthread_mutex_unlock(&w->lock);
    return batch;
}

static void end_first(struct archive_writer *w, enum cx_err err)
{
    pthread_mutex_lock(&w->lock);
    struct archive_batch *batch = w->waiting;
    note(w, err);
    if (!err) {
        w->waiting = batch->next;
        if (!w->waiting)
            w->waiting_last = &w->waiting;
        w->waiting_count--;
        batch->next = NULL;
        *w->written_last = batch;
        w->written_last = &batch->next;
    }
    pthread_mutex_unlock(&w->lock);
}

/* False: nothing waits, or it is in vain. */
static bool write_next(struct archive_writer *w)
{
    pthread_mutex_lock(&w->writing);
    struct archive_batch *batch = first_waiting(w);
    enum cx_err err = batch ? write_rows(w->archive, batch) : CX_OK;
    if (batch)
        end_first(w, err);
    pthread_mutex_unlock(&w->writing);
    return batch && !err;
}

static void write_all(struct archive_writer *w)
{
    while (write_next(w))
        continue;
}

/* One step: a batch that came meanwhile is written before the next one. */
static void forget_some(struct archive_writer *w)
{
    bool more = false;
    pthread_mutex_lock(&w->lock);
    uint64_t before_ms = w->err || w->ending ? 0 : w->forget_before_ms;
    w->forget_before_ms = 0;
    pthread_mutex_unlock(&w->lock);
    if (before_ms == 0)
        return;
    pthread_mutex_lock(&w->writing);
    enum cx_err err = archive_forget(w->archive, before_ms, &more);
    pthread_mutex_unlock(&w->writing);
    pthread_mutex_lock(&w->lock);
    note(w, err);
    if (!err && more)
        w->forget_before_ms = u64_max(before_ms, w->forget_before_ms);
    bool again = !err && more && !w->ending && w->worker;
    pthread_mutex_unlock(&w->lock);
    if (again)
        worker_ring(w->worker);
}

static void run(void *ctx)
{
    write_all(ctx);
    forget_some(ctx);
}

/* ---- on the owner's thread ---- */

void archive_writer_put(struct archive_writer *w, struct archive_batch *batch)
{
    cx_assert(batch->seq > w->had_seq);
    batch->next = NULL;
    pthread_mutex_lock(&w->lock);
    *w->waiting_last = batch;
    w->waiting_last = &batch->next;
    bool full = ++w->waiting_count > ARCHIVE_BATCHES_WAITING_MAX;
    pthread_mutex_unlock(&w->lock);
    if (w->worker)
        worker_ring(w->worker);
    if (full || !w->worker)
        write_next(w);
}

enum cx_err archive_writer_take(struct archive_writer *w, struct archive_batch **ret_batch)
{
    pthread_mutex_lock(&w->lock);
    struct archive_batch *batch = w->written;
    if (batch) {
        w->written = batch->next;
        if (!w->written)
            w->written_last = &w->written;
    }
    enum cx_err err = batch ? CX_OK : w->err;
    if (err)
        cx_fail(err, "%s", w->detail);
    pthread_mutex_unlock(&w->lock);
    *ret_batch = batch;
    return err;
}

void archive_writer_forget(struct archive_writer *w, uint64_t before_ms)
{
    pthread_mutex_lock(&w->lock);
    w->forget_before_ms = u64_max(before_ms, w->forget_before_ms);
    pthread_mutex_unlock(&w->lock);
    if (w->worker)
        worker_ring(w->worker);
    else
        forget_some(w);
}

struct archive *archive_writer_reader(struct archive_writer *w) { return w->reader; }

uint64_t archive_writer_had_seq(const struct archive_writer *w) { return w->had_seq; }

/* ---- opening and closing ---- */

enum cx_err archive_writer_open(const char *path, uint64_t network, struct archive_writer **ret_writer)
{
    struct archive_writer *w = calloc(1, sizeof *w);
    cx_assert(w);
    pthread_mutex_init(&w->writing, NULL);
    pthread_mutex_init(&w->lock, NULL);
    w->waiting_last = &w->waiting;
    w->written_last = &w->written;
    bool in_memory = strcmp(path, ":memory:") == 0;
    enum cx_err err = archive_open(path, network, &w->archive);
    if (!err && in_memory)
        w->reader = w->archive;
    else if (!err)
        err = archive_open_reader(path, &w->reader);
    if (!err && !in_memory)
        err = worker_open(run, w, &w->worker);
    if (err) {
        archive_writer_close(w);
        return err;
    }
    w->had_seq = archive_seq(w->archive);
    *ret_writer = w;
    return CX_OK;
}

void archive_writer_close(struct archive_writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_mutex_unlock(&w->lock);
    worker_close(w->worker);
    if (w->archive)
        write_all(w);  // what its last run left
    if (w->reader != w->archive)
        archive_close(w->reader);
    archive_close(w->archive);
    pthread_mutex_destroy(&w->writing);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

/* The archive: what is handed over to it and taken back, and what becomes of the history where it fails. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "router/history_parts.h"

/* ---- rows ---- */

static void fill_task(const struct history_task *t, struct archived_task *row)
{
    *row = (struct archived_task){.session = t->task.session,
                                  .task = t->task.task,
                                  .seq = t->task.end_seq,
                                  .state = (uint32_t)t->task.state,
                                  .payer = t->task.payer,
                                  .reference = t->reference,
                                  .submitted_ms = t->task.submitted_ms,
                                  .finished_ms = t->task.finished_ms,
                                  .prompt = t->task.prompt_digest,
                                  .answer = t->task.payload_digest,
                                  .node = t->node,
                                  .node_count = t->nodes,
                                  .line = {(const uint8_t *)t->line.data, (uint32_t)t->line.size}};
}

/* The bytes of a row, of which only the size is known so far. */
static struct span next_span(const struct buf *bytes, size_t *at, uint32_t size)
{
    struct span span = {(const uint8_t *)bytes->data + *at, size};
    *at += size;
    return span;
}

/* Rows in the order of the tasks' ends, bodies the other way round. */
static void encode_tasks(struct history_batch *b)
{
    uint32_t i = b->tasks;
    b->task_row = history_grow(b->task_row, &b->task_row_cap, b->tasks, sizeof *b->task_row);
    for (struct history_task *t = b->ended; t; t = t->next_ended) {
        size_t before = b->bodies.size;
        fill_task(t, &b->task_row[--i]);
        history_body_encode(t, &b->bodies);
        b->task_row[i].body.size = (uint32_t)(b->bodies.size - before);
        t->handed = true;
    }
}

static void encode_verdicts(struct history_batch *b)
{
    b->verdict_row = history_grow(b->verdict_row, &b->verdict_row_cap, b->verdicts, sizeof *b->verdict_row);
    for (uint32_t i = 0; i < b->verdicts; i++) {
        uint8_t bytes[HISTORY_VERDICT_SIZE];
        history_verdict_encode(&b->verdict[i].verdict, bytes);
        buf_add(&b->bodies, bytes, sizeof bytes);
        b->verdict_row[i] = (struct archived_verdict){.seq = b->verdict[i].verdict.seq,
                                                      .time_ms = b->verdict[i].time_ms,
                                                      .task = b->verdict[i].task,
                                                      .body.size = sizeof bytes};
    }
}

/* Only when all of it is encoded: bytes move while they grow. */
static void place(struct history_batch *b)
{
    size_t body = 0, event = 0;
    for (uint32_t i = b->tasks; i > 0; i--)
        b->task_row[i - 1].body = next_span(&b->bodies, &body, b->task_row[i - 1].body.size);
    for (uint32_t i = 0; i < b->verdicts; i++)
        b->verdict_row[i].body = next_span(&b->bodies, &body, b->verdict_row[i].body.size);
    for (uint32_t i = 0; i < b->events; i++)
        b->event[i].body = next_span(&b->event_bytes, &event, b->event[i].body.size);
}

static void fill_rows(struct history_batch *b, uint64_t seq)
{
    encode_tasks(b);
    encode_verdicts(b);
    place(b);
    b->rows = (struct archive_batch){.seq = seq,
                                     .task = b->task_row,
                                     .event = b->event,
                                     .verdict = b->verdict_row,
                                     .tasks = b->tasks,
                                     .events = b->events,
                                     .verdicts = b->verdicts};
}

/* ---- failing ---- */

static void drop_all(struct history *history)
{
    while (history->handed) {
        struct history_batch *b = history->handed;
        history->handed = b->next;
        history_batch_done(history, b);
        free(b);
    }
    history->handed_last = &history->handed;
    history_batch_reset(history, &history->gathering);
}

/* No task that has ended can be shown any more, and "unknown" would be a lie. A damaged file is put away, so that the
 * next start makes it again. */
static void give_up(struct history *history, enum cx_err err)
{
    if (!err || history->broken)
        return;
    char why[512];
    history->broken = err;
    snprintf(why, sizeof why, "%.400s%s", cx_detail(),
             err == CX_CORRUPT && history->writer ? ": start again, and it is made again from the ledger" : "");
    bool damaged = err == CX_CORRUPT && history->writer;
    archive_writer_close(cx_take(&history->writer));
    drop_all(history);
    if (damaged && archive_remove(history->path))
        snprintf(why, sizeof why, "%s", cx_detail());
    if (history->options.on_failed)
        history->options.on_failed(history->options.ctx, err, why);
}

/* ---- handing over ---- */

static void hand_over(struct history *history)
{
    struct history_batch *b = history->spare_batch;
    history->spare_batch = NULL;
    if (!b)
        b = calloc(1, sizeof *b);
    cx_assert(b);
    struct history_batch empty = *b;
    *b = history->gathering;
    history->gathering = empty;
    b->next = NULL;
    *history->handed_last = b;
    history->handed_last = &b->next;
    fill_rows(b, history->batch_seq);
    archive_writer_put(history->writer, &b->rows);
}

/* Takes back what the archive has by now. */
static void take_back(struct history *history)
{
    struct archive_batch *rows = NULL;
    enum cx_err err = CX_OK;
    while (history->writer && !(err = archive_writer_take(history->writer, &rows)) && rows) {
        struct history_batch *b = history->handed;
        cx_assert(rows == &b->rows);
        history->handed = b->next;
        if (!history->handed)
            history->handed_last = &history->handed;
        history->written_seq = rows->seq;
        history_batch_reset(history, b);
        if (history->spare_batch) {
            history_batch_done(history, b);
            free(b);
        } else {
            history->spare_batch = b;
        }
    }
    give_up(history, err);
}

static bool is_enough(const struct history *history)
{
    const struct history_batch *b = &history->gathering;
    uint32_t rows = b->events + b->verdicts;
    if (b->tasks + rows == 0)
        return false;
    return b->tasks >= HISTORY_GATHER_TASKS || rows >= HISTORY_GATHER_ROWS ||
           history->time_ms - b->since_ms >= HISTORY_GATHER_MS;
}

void history_archive_batch(struct history *history)
{
    take_back(history);
    if (!history_is_kept(history))
        history_batch_reset(history, &history->gathering);
    else if (is_enough(history))
        hand_over(history);
}

/* ---- opening and closing ---- */

/* One that is damaged, or of an older program, is no loss: all of it is on the ledger, which is being replayed while
 * this is called. */
static enum cx_err open_archive(struct history *history)
{
    enum cx_err err = archive_writer_open(history->path, history->network_id, &history->writer);
    if (err != CX_CORRUPT && err != CX_UNSUPPORTED)
        return err;
    log_warn("history", "the archive is made again from the ledger: %s", cx_detail());
    err = archive_remove(history->path);
    return err ? err : archive_writer_open(history->path, history->network_id, &history->writer);
}

void history_archive_open(struct history *history, const struct core *core)
{
    struct network_view network;
    view_network(core, &network);
    history->network_id = network.network_id;
    give_up(history, open_archive(history));
    if (history->writer)
        history->had_seq = history->written_seq = archive_writer_had_seq(history->writer);
}

void history_archive_close(struct history *history)
{
    /* In the middle of a batch nothing is written: the next start comes here again. */
    if (history_is_kept(history) && history->seq == history->batch_seq &&
        history->gathering.tasks + history->gathering.events + history->gathering.verdicts > 0)
        hand_over(history);
    archive_writer_close(cx_take(&history->writer));
    drop_all(history);
    history_batch_done(history, &history->gathering);
    if (history->spare_batch)
        history_batch_done(history, history->spare_batch);
    free(history->spare_batch);
    history_keep_done(history);
}

/* ---- reading ---- */

enum cx_err history_asked(struct history *history, enum cx_err err)
{
    if (err == CX_IO || err == CX_CORRUPT)
        give_up(history, err);
    return err;
}

enum cx_err history_reader(struct history *history, struct archive **ret_archive)
{
    if (history->broken)
        return cx_fail(history->broken, "the archive has failed");
    if (!history->writer)
        return cx_fail(CX_NOT_FOUND, "nothing has happened yet");
    *ret_archive = archive_writer_reader(history->writer);
    return CX_OK;
}

/* What is in memory of what has ended or happened, until the archive has it. */
#include <stdlib.h>

#include "base/assert.h"
#include "router/history_parts.h"

/* ---- tasks' memory ---- */

struct history_task *history_task_take(struct history *history)
{
    struct history_task *t = history->spare;
    if (t) {
        history->spare = t->next;
        history->spares--;
        *t = (struct history_task){.answer = t->answer,
                                   .answer_cap = t->answer_cap,
                                   .node = t->node,
                                   .node_cap = t->node_cap,
                                   .line = t->line};
        buf_reset(&t->line);
        return t;
    }
    t = calloc(1, sizeof *t);
    cx_assert(t);
    return t;
}

static void give_back(struct history *history, struct history_task *t)
{
    struct history_task **at = &history->ended[history_bucket(t->task.task)];
    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (history->spares == HISTORY_SPARE_TASKS || t->line.cap > HISTORY_SPARE_LINE_SIZE) {
        history_task_done(t);
        free(t);
        return;
    }
    t->next = history->spare;
    history->spare = t;
    history->spares++;
}

/* ---- batches ---- */

void history_batch_reset(struct history *history, struct history_batch *b)
{
    while (b->ended) {
        struct history_task *t = b->ended;
        b->ended = t->next_ended;
        give_back(history, t);
    }
    b->tasks = b->events = b->verdicts = 0;
    buf_reset(&b->event_bytes);
    buf_reset(&b->bodies);
}

void history_batch_done(struct history *history, struct history_batch *b)
{
    history_batch_reset(history, b);
    free(b->event);
    free(b->verdict);
    free(b->task_row);
    free(b->verdict_row);
    buf_done(&b->event_bytes);
    buf_done(&b->bodies);
}

bool history_batch_next(struct history *history, struct history_batch **batch)
{
    if (*batch == &history->gathering)
        return false;
    struct history_batch *next = *batch ? (*batch)->next : history->handed;
    *batch = next ? next : &history->gathering;
    return true;
}

static void note_time(struct history *history)
{
    struct history_batch *b = &history->gathering;
    if (b->tasks + b->events + b->verdicts == 0)
        b->since_ms = history->time_ms;
}

void history_keep_ended(struct history *history, struct history_task *t)
{
    struct history_batch *b = &history->gathering;
    struct history_task **bucket = &history->ended[history_bucket(t->task.task)];
    note_time(history);
    t->next = *bucket;
    *bucket = t;
    t->next_ended = b->ended;
    b->ended = t;
    b->tasks++;
}

bool history_is_kept(const struct history *history) { return history->writer && history->seq > history->had_seq; }

void history_keep_event(struct history *history, const struct event *event, uint64_t task, const struct address *node)
{
    struct history_batch *b = &history->gathering;
    uint8_t bytes[EVENT_SIZE_MAX];
    if (!history_is_kept(history))
        return;
    note_time(history);
    uint32_t size = event_encode(event, bytes);
    buf_add(&b->event_bytes, bytes, size);
    b->event = history_grow(b->event, &b->event_cap, b->events, sizeof *b->event);
    b->event[b->events++] = (struct archived_event){.seq = history->seq,
                                                    .index = history->event_index,
                                                    .time_ms = history->time_ms,
                                                    .task = task,
                                                    .node = *node,
                                                    .body.size = size};
}

void history_keep_verdict(struct history *history, uint64_t task, const struct receipt_verdict *verdict)
{
    struct history_batch *b = &history->gathering;
    if (!history_is_kept(history))
        return;
    note_time(history);
    b->verdict = history_grow(b->verdict, &b->verdict_cap, b->verdicts, sizeof *b->verdict);
    b->verdict[b->verdicts++] = (struct history_verdict){history->time_ms, task, *verdict};
}

void history_keep_done(struct history *history)
{
    while (history->spare) {
        struct history_task *t = history->spare;
        history->spare = t->next;
        history_task_done(t);
        free(t);
    }
}

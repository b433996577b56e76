#include "router/history_parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void *history_grow(void *rows, uint32_t *cap, uint32_t need, size_t size)
{
    if (need < *cap)
        return rows;
    uint32_t more = *cap ? *cap : 4;
    while (more <= need)
        more *= 2;
    void *grown = realloc(rows, more * size);
    cx_assert(grown);
    memset((uint8_t *)grown + *cap * size, 0, (more - *cap) * size);
    *cap = more;
    return grown;
}

/* ---- the listener ---- */

static void on_entry(void *ctx, const struct replica_moment *moment)
{
    struct history *history = ctx;
    history->seq = moment->seq;
    history->time_ms = moment->time_ms;
    history->event_index = 0;
    if (!history->writer && !history->broken)
        history_archive_open(history, moment->core);
    if (moment->verdict == VERDICT_ACCEPTED && moment->command && moment->command->type == COMMAND_AUDIT_VERDICT)
        history_hear_verdict(history, moment);
}

/* What a task's time-line can still take goes there; all else is a row of its own. */
static void on_event(void *ctx, const struct replica_moment *moment, const struct event *event)
{
    struct history *history = ctx;
    uint64_t id = history_task_of(history, event);
    struct history_task *task = history_task_hear(history, id ? history_task_find(history, id) : NULL, moment, event);
    if (task && !task->handed) {
        history_line_add(&task->line, history, event);
    } else {
        struct address node = history_node_of(history, event);
        if (id != 0 || !address_is_zero(&node))
            history_keep_event(history, event, id, &node);
    }
    history->event_index++;
}

static void on_batch(void *ctx)
{
    struct history *history = ctx;
    history->batch_seq = history->seq;
    history_archive_batch(history);
}

/* ---- opening ---- */

enum cx_err history_open(const struct history_options *options, struct history **ret_history)
{
    struct history *history = calloc(1, sizeof *history);
    cx_assert(history);
    history->options = *options;
    history->path = strdup(options->archive_path);
    cx_assert(history->path);
    history->handed_last = &history->handed;
    history_learn_concerns(history);
    history->listener = (struct replica_listener){
        .on_event = on_event, .on_entry = on_entry, .on_batch = on_batch, .ctx = history, .replays = true};
    *ret_history = history;
    return CX_OK;
}

struct replica_listener *history_listener(struct history *history) { return &history->listener; }

void history_close(struct history *history)
{
    if (!history)
        return;
    history_archive_close(history);
    for (uint32_t i = 0; i < history->live_cap; i++)
        if (history->live[i]) {
            history_task_done(history->live[i]);
            free(history->live[i]);
        }
    free(history->live);
    free(history->audit);
    free(history->path);
    free(history);
}

void history_forget(struct history *history, uint64_t before_ms)
{
    if (history->writer)
        archive_writer_forget(history->writer, before_ms);
}

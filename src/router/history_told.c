/* What happened to a task or node: lines of tasks and rows of their own, in memory and in the archive, as one. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "router/history_parts.h"

/* ---- to a task ---- */

struct telling {
    history_each_event *each;
    void *ctx;
    bool enough, damaged;
};

/* False: enough. */
static bool tell(struct telling *telling, const struct archived_event *row)
{
    struct history_event event = {.seq = row->seq, .time_ms = row->time_ms, .index = row->index};
    if (!event_decode(row->body, &event.event))
        telling->damaged = true;
    else if (!telling->each(telling->ctx, &event))
        telling->enough = true;
    return !telling->enough && !telling->damaged;
}

static bool tell_archived(void *ctx, const struct archived_event *row) { return tell(ctx, row); }

/* The rows of a batch, whose bodies lie one behind the other. */
static bool next_row(const struct history_batch *b, uint32_t i, size_t *at, struct archived_event *ret_row)
{
    if (i == b->events)
        return false;
    *ret_row = b->event[i];
    ret_row->body.data = (const uint8_t *)b->event_bytes.data + *at;
    *at += ret_row->body.size;
    return true;
}

static void tell_kept(struct history *history, uint64_t task, struct telling *telling)
{
    struct archived_event row;
    for (struct history_batch *b = NULL; history_batch_next(history, &b);) {
        size_t at = 0;
        for (uint32_t i = 0; next_row(b, i, &at, &row); i++)
            if (row.task == task && !tell(telling, &row))
                return;
    }
}

enum cx_err history_later_events(struct history *history, uint64_t task, history_each_event *each, void *ctx)
{
    struct archive *archive = NULL;
    struct telling telling = {.each = each, .ctx = ctx};
    enum cx_err err = history_reader(history, &archive);
    if (!err)
        err = history_asked(history, archive_task_events(archive, task, history->written_seq, tell_archived, &telling));
    if (!err && telling.damaged)
        err = history_damaged("row of an event");
    if (!err && !telling.enough)
        tell_kept(history, task, &telling);
    return err;
}

enum cx_err history_task_events(struct history *history, uint64_t task, history_each_event *each, void *ctx)
{
    struct history_task room = {0};
    const struct history_task *t = NULL;
    struct history_event event;
    struct bytes_reader reader;
    struct span bytes;
    bool more = true;
    enum cx_err err = history_load(history, 0, task, &room, &t);
    if (!err) {
        const struct span line = {(const uint8_t *)t->line.data, (uint32_t)t->line.size};
        bool good = history_line_open(line, &reader);
        while (good && more && history_line_next(&reader, &event, &bytes))
            more = each(ctx, &event);
        if (!good || !reader.ok)
            err = history_damaged("time-line of this task");
    }
    history_task_done(&room);
    return err || !more ? err : history_later_events(history, task, each, ctx);
}

/* ---- to a node ---- */

struct line {
    uint64_t seq, time_ms;
    uint32_t index, size;
    uint8_t bytes[EVENT_SIZE_MAX];
};

/* The last things that happened to it, of all that were offered, the last first. */
struct latest {
    struct history *history;
    struct address node;
    struct line *line;  // [count]
    uint32_t count, limit;
    bool damaged;
};

static bool is_later(uint64_t seq, uint32_t index, const struct line *than)
{
    return seq > than->seq || (seq == than->seq && index > than->index);
}

static bool is_full(const struct latest *l) { return l->count == l->limit; }

static void offer(struct latest *l, const struct history_event *event, struct span bytes)
{
    if (bytes.size == 0 || bytes.size > EVENT_SIZE_MAX) {
        l->damaged = true;
        return;
    }
    if (is_full(l) && !is_later(event->seq, event->index, &l->line[l->count - 1]))
        return;
    uint32_t at = is_full(l) ? l->count - 1 : l->count++;
    for (; at > 0 && is_later(event->seq, event->index, &l->line[at - 1]); at--)
        l->line[at] = l->line[at - 1];
    struct line *line = &l->line[at];
    line->seq = event->seq;
    line->time_ms = event->time_ms;
    line->index = event->index;
    line->size = bytes.size;
    memcpy(line->bytes, bytes.data, bytes.size);
}

static void offer_row(struct latest *l, const struct archived_event *row)
{
    offer(l, &(struct history_event){.seq = row->seq, .time_ms = row->time_ms, .index = row->index}, row->body);
}

/* What a task's time-line says of the node. */
static void offer_line(struct latest *l, struct span bytes)
{
    struct bytes_reader reader;
    struct history_event event;
    struct span body;
    bool good = history_line_open(bytes, &reader);
    while (good && history_line_next(&reader, &event, &body)) {
        struct address node = history_node_of(l->history, &event.event);
        if (address_eq(&node, &l->node))
            offer(l, &event, body);
    }
    l->damaged |= !good || !reader.ok;
}

static void offer_task(struct latest *l, const struct history_task *t)
{
    for (uint32_t i = 0; i < t->nodes; i++)
        if (address_eq(&t->node[i], &l->node)) {
            offer_line(l, (struct span){(const uint8_t *)t->line.data, (uint32_t)t->line.size});
            return;
        }
}

static void offer_kept(struct latest *l)
{
    struct archived_event row;
    for (uint32_t i = 0; i < l->history->live_cap; i++)
        if (l->history->live[i])
            offer_task(l, l->history->live[i]);
    for (struct history_batch *b = NULL; history_batch_next(l->history, &b);) {
        size_t at = 0;
        for (const struct history_task *t = b->ended; t; t = t->next_ended)
            offer_task(l, t);
        for (uint32_t i = 0; next_row(b, i, &at, &row); i++)
            if (address_eq(&row.node, &l->node))
                offer_row(l, &row);
    }
}

static bool offer_archived(void *ctx, const struct archived_event *row)
{
    offer_row(ctx, row);
    return true;
}

/* Tasks come the last finished first, and nothing in a task's line is later than its end. */
static bool offer_archived_task(void *ctx, const struct archived_task *row)
{
    struct latest *l = ctx;
    if (is_full(l) && row->seq < l->line[l->count - 1].seq)
        return false;
    offer_line(l, row->line);
    return !l->damaged;
}

static enum cx_err find_latest(struct latest *l)
{
    struct history *history = l->history;
    struct archive *archive = NULL;
    const struct archive_query tasks = {.by = ARCHIVE_BY_NODE,
                                        .address = l->node,
                                        .before_seq = history->written_seq + 1,
                                        .before_task = (uint64_t)INT64_MIN,
                                        .limit = ARCHIVE_PAGE_MAX};
    enum cx_err err = history_reader(history, &archive);
    offer_kept(l);
    if (!err)
        err = archive_node_events(archive, &l->node, history->written_seq, l->limit, offer_archived, l);
    if (!err)
        err = archive_tasks(archive, &tasks, offer_archived_task, l);
    return history_asked(history, err);
}

static bool tell_line(const struct line *line, history_each_event *each, void *ctx, bool *ret_more)
{
    struct history_event event = {.seq = line->seq, .time_ms = line->time_ms, .index = line->index};
    if (!event_decode((struct span){line->bytes, line->size}, &event.event))
        return false;
    *ret_more = each(ctx, &event);
    return true;
}

enum cx_err history_node_events(struct history *history, const struct address *node, uint32_t limit,
                                history_each_event *each, void *ctx)
{
    struct latest latest = {
        .history = history, .node = *node, .limit = limit, .line = calloc(limit, sizeof(struct line))};
    bool more = true;
    cx_assert(limit > 0);
    cx_assert(latest.line);
    enum cx_err err = find_latest(&latest);
    for (uint32_t i = 0; i < latest.count && more && !err && !latest.damaged; i++)
        latest.damaged = !tell_line(&latest.line[i], each, ctx, &more);
    free(latest.line);
    return err || !latest.damaged ? err : history_damaged("events of this node");
}

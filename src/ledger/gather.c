#include "ledger/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

#define ENTRY_HEAD_SIZE 2  // what the ledger adds to each command

struct waiter {
    gather_waiter *call;  // NULL: none, or called already
    void *ctx;
};

/* A batch of ours, from its first entry until its last is applied. */
struct parcel {
    struct parcel *next;
    uint64_t number;  // 0: not sent yet
    uint32_t count, cap;
    uint32_t applied;       // entries that were applied
    bool durable;           // the ledger said so
    struct buf commands;    // one behind the other
    uint32_t *command_end;  // [cap], in `commands`
    struct waiter *waiter;  // [cap]
    struct ledger_blob *blob;
    uint32_t blob_count, blob_cap;
    size_t blobs_size;
};

struct gather {
    struct ledger *ledger;
    struct address router;
    uint64_t number;               // of the last batch sent
    struct parcel *first, **last;  // in order
    struct parcel *open;           // the last one, if it takes new entries; NULL: none does
    uint32_t parcels;
    uint32_t under_way, under_way_max;  // parcels that were sent and are not durable
    enum cx_err stopped;
    char stopped_detail[320];
    struct gather_stats stats;
};

/* ---- parcels ----------------------------------------------------------------------------------- */

static void drop_blobs(struct parcel *parcel)
{
    for (uint32_t i = 0; i < parcel->blob_count; i++)
        free((void *)parcel->blob[i].data.data);
    free(parcel->blob);
    parcel->blob = NULL;
    parcel->blob_count = parcel->blob_cap = 0;
}

static void free_parcel(struct parcel *parcel)
{
    drop_blobs(parcel);
    buf_done(&parcel->commands);
    free(parcel->command_end);
    free(parcel->waiter);
    free(parcel);
}

static struct parcel *open_parcel(struct gather *g)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);
    cx_assert(parcel);
    *g->last = parcel;
    g->last = &parcel->next;
    g->parcels++;
    g->open = parcel;
    return parcel;
}

static bool fits(const struct parcel *parcel, uint32_t command_size, uint32_t blob_count, size_t blobs_size)
{
    size_t size = parcel->commands.size + (size_t)parcel->count * ENTRY_HEAD_SIZE;
    return parcel->count < LEDGER_BATCH_COUNT_MAX && size + ENTRY_HEAD_SIZE + command_size <= LEDGER_BATCH_SIZE_MAX &&
           parcel->blob_count + blob_count <= LEDGER_BLOB_COUNT_MAX &&
           parcel->blobs_size + blobs_size <= LEDGER_BLOBS_SIZE_MAX;
}

static void *grow(void *at, uint32_t cap, size_t size)
{
    at = realloc(at, cap * size);
    cx_assert(at);
    return at;
}

static void add_entry(struct parcel *parcel, struct span command, struct waiter waiter)
{
    if (parcel->count == parcel->cap) {
        parcel->cap = parcel->cap ? parcel->cap * 2 : 16;
        parcel->command_end = grow(parcel->command_end, parcel->cap, sizeof *parcel->command_end);
        parcel->waiter = grow(parcel->waiter, parcel->cap, sizeof *parcel->waiter);
    }
    buf_add(&parcel->commands, command.data, command.size);
    parcel->command_end[parcel->count] = (uint32_t)parcel->commands.size;
    parcel->waiter[parcel->count] = waiter;
    parcel->count++;
}

static void add_blob(struct parcel *parcel, const struct ledger_blob *blob)
{
    if (parcel->blob_count == parcel->blob_cap) {
        parcel->blob_cap = parcel->blob_cap ? parcel->blob_cap * 2 : 8;
        parcel->blob = grow(parcel->blob, parcel->blob_cap, sizeof *parcel->blob);
    }
    uint8_t *data = malloc(blob->data.size ? blob->data.size : 1);
    cx_assert(data);
    if (blob->data.size)
        memcpy(data, blob->data.data, blob->data.size);
    struct ledger_blob *copy = &parcel->blob[parcel->blob_count++];
    *copy = *blob;
    copy->data.data = data;
    parcel->blobs_size += blob->data.size;
}

static void drop_first(struct gather *g)
{
    struct parcel *parcel = g->first;
    g->first = parcel->next;
    if (!g->first)
        g->last = &g->first;
    g->parcels--;
    free_parcel(parcel);
}

/* Those that are durable and applied, of which the ledger may tell in either order. */
static void drop_finished(struct gather *g)
{
    while (g->first && g->first->durable && g->first->applied == g->first->count)
        drop_first(g);
}

/* ---- waiters ----------------------------------------------------------------------------------- */

static void call(struct parcel *parcel, uint32_t index, enum cx_err err, uint64_t seq)
{
    struct waiter waiter = parcel->waiter[index];
    parcel->waiter[index] = (struct waiter){0};
    if (waiter.call)
        waiter.call(waiter.ctx, err, seq);
}

/* In order, like all calls; also those whose batch is durable, and was not applied yet. */
static void fail_waiters(struct gather *g, enum cx_err err, const char *detail)
{
    for (struct parcel *parcel = g->first; parcel; parcel = parcel->next)
        for (uint32_t i = parcel->applied; i < parcel->count; i++) {
            cx_fail(err, "%s", detail);
            call(parcel, i, err, 0);
        }
}

static void stop(struct gather *g, enum cx_err err)
{
    if (g->stopped)
        return;
    g->stopped = err;
    snprintf(g->stopped_detail, sizeof g->stopped_detail, "%s", cx_detail());
    fail_waiters(g, err, g->stopped_detail);
}

/* ---- sending ----------------------------------------------------------------------------------- */

static void on_done(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms);

static void send(struct gather *g, struct parcel *parcel)
{
    static _Thread_local struct span command[LEDGER_BATCH_COUNT_MAX];
    uint32_t at = 0;
    for (uint32_t i = 0; i < parcel->count; i++) {
        command[i] = (struct span){(const uint8_t *)parcel->commands.data + at, parcel->command_end[i] - at};
        at = parcel->command_end[i];
    }
    if (parcel->number == 0)
        parcel->number = ++g->number;
    if (g->open == parcel)
        g->open = NULL;
    struct ledger_append append = {.router = g->router,
                                   .epoch = ledger_epoch(g->ledger),
                                   .number = parcel->number,
                                   .command = command,
                                   .count = parcel->count,
                                   .blob = parcel->blob,
                                   .blob_count = parcel->blob_count};
    g->under_way++;
    enum cx_err err = ledger_append(g->ledger, &append, on_done, g);
    if (err) {
        g->under_way--;
        stop(g, err);
    }
}

static void send_next(struct gather *g)
{
    struct parcel *parcel = g->first;
    while (parcel && parcel->number)
        parcel = parcel->next;
    for (; parcel && !g->stopped && g->under_way < g->under_way_max; parcel = parcel->next)
        send(g, parcel);
}

/* Where the batch begins is learnt by following it; this says only whether to go on. */
static void on_done(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    (void)seq;
    (void)time_ms;
    struct gather *g = ctx;
    struct parcel *parcel = g->first;
    while (parcel->durable)
        parcel = parcel->next;
    cx_assert(parcel->number != 0);
    g->under_way--;
    if (err == CX_UNKNOWN) {
        cx_assert(g->under_way_max == 1);
        send(g, parcel);  // the same number: at most one of them counts
        return;
    }
    if (err) {
        stop(g, err);
        return;
    }
    parcel->durable = true;
    drop_blobs(parcel);
    drop_finished(g);  // it may have been followed before this answer came
    send_next(g);
}

/* ---- the public side --------------------------------------------------------------------------- */

enum cx_err gather_open(struct ledger *ledger, const struct address *router, struct gather **ret_gather)
{
    if (ledger_epoch(ledger) == 0)
        return cx_fail(CX_DENIED, "the ledger was not opened for writing by a router");
    struct gather *g = calloc(1, sizeof *g);
    cx_assert(g);
    g->ledger = ledger;
    g->router = *router;
    g->last = &g->first;
    g->under_way_max = ledger_appends_max(ledger);
    *ret_gather = g;
    return CX_OK;
}

void gather_close(struct gather *g)
{
    if (!g)
        return;
    g->stopped = CX_CANCELLED;
    snprintf(g->stopped_detail, sizeof g->stopped_detail, "the program is ending");
    fail_waiters(g, CX_CANCELLED, g->stopped_detail);
    while (g->first)
        drop_first(g);
    free(g);
}

static enum cx_err check(const struct gather *g, struct span command, const struct ledger_blob *blob,
                         uint32_t blob_count, size_t *ret_blobs_size)
{
    if (g->stopped)
        return cx_fail(g->stopped, "%s", g->stopped_detail);
    if (command.size == 0)
        return cx_fail(CX_INVALID, "an empty command");
    if (command.size > LEDGER_ENTRY_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "a command of %u bytes; %u is the most", command.size, LEDGER_ENTRY_SIZE_MAX);
    if (blob_count > LEDGER_BLOB_COUNT_MAX)
        return cx_fail(CX_TOO_LARGE, "%u payloads with a command; %u is the most", blob_count, LEDGER_BLOB_COUNT_MAX);
    size_t size = 0;
    for (uint32_t i = 0; i < blob_count; i++) {
        if (blob[i].data.size > LEDGER_BLOB_SIZE_MAX)
            return cx_fail(CX_TOO_LARGE, "a payload of %u bytes; %u is the most", blob[i].data.size,
                           LEDGER_BLOB_SIZE_MAX);
        size += blob[i].data.size;
    }
    if (size > LEDGER_BLOBS_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "%zu bytes of payloads with a command; %u is the most", size,
                       LEDGER_BLOBS_SIZE_MAX);
    *ret_blobs_size = size;
    return CX_OK;
}

enum cx_err gather_submit(struct gather *g, struct span command, const struct ledger_blob *blob, uint32_t blob_count,
                          gather_waiter *waiter, void *ctx)
{
    size_t blobs_size = 0;
    if (g->open && g->open->count >= GATHER_SEND_AT)
        send_next(g);
    enum cx_err err = check(g, command, blob, blob_count, &blobs_size);
    if (err)
        return err;
    struct parcel *parcel = g->open;
    if (!parcel || !fits(parcel, command.size, blob_count, blobs_size)) {
        if (g->parcels == GATHER_BATCHES_MAX)
            return cx_fail(CX_BUSY, "the ledger is behind: %u batches wait; try again later", GATHER_BATCHES_MAX);
        parcel = open_parcel(g);
    }
    for (uint32_t i = 0; i < blob_count; i++)
        add_blob(parcel, &blob[i]);
    add_entry(parcel, command, (struct waiter){waiter, ctx});
    g->stats.waiting++;
    return CX_OK;
}

enum cx_err gather_poll(struct gather *g)
{
    enum cx_err err = ledger_poll(g->ledger);
    if (err)
        stop(g, err);
    send_next(g);
    return g->stopped ? cx_fail(g->stopped, "%s", g->stopped_detail) : CX_OK;
}

void gather_applied(struct gather *g, const struct ledger_batch *batch, uint64_t seq)
{
    struct parcel *parcel = g->first;
    while (parcel && parcel->number && parcel->applied == parcel->count)
        parcel = parcel->next;
    if (!parcel || batch->number != parcel->number || batch->epoch != ledger_epoch(g->ledger) ||
        !address_eq(&batch->router, &g->router))
        return;
    cx_assert(batch->count == parcel->count);
    cx_assert(seq == batch->seq + parcel->applied);
    uint32_t index = parcel->applied++;
    cx_assert(g->stats.waiting > 0);
    g->stats.waiting--;
    g->stats.entries++;
    bool last = parcel->applied == parcel->count;
    if (last) {
        g->stats.batches++;
        g->stats.batch_count_max = u32_max(g->stats.batch_count_max, parcel->count);
    }
    call(parcel, index, CX_OK, seq);
    if (!last)
        return;
    drop_finished(g);
}

struct gather_stats gather_stats(const struct gather *g) { return g->stats; }

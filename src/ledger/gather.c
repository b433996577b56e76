#include "ledger/gather.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define ENTRY_HEAD_SIZE 2  // what the ledger adds to each command

/* What was submitted; command and blobs are the submitter's until its waiter has been called. */
struct item {
    struct span command;
    const struct ledger_blob *blob;  // [blob_count]
    uint32_t blob_count;
    gather_waiter *call;  // NULL: none, or called already
    void *ctx;
};

/* A batch of ours, from its first entry until its last is applied. */
struct parcel {
    struct parcel *next;
    uint64_t number;  // 0: not sent yet
    uint32_t count, cap;
    uint32_t applied;   // entries that were applied
    bool durable;       // the ledger said so
    struct item *item;  // [cap]
    size_t size;        // of its entries on the ledger
    uint32_t blob_count;
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
    struct span command[LEDGER_BATCH_COUNT_MAX];  // of the batch that is being sent
    struct ledger_blob blob[LEDGER_BLOB_COUNT_MAX];
};

/* ---- parcels ----------------------------------------------------------------------------------- */

static void free_parcel(struct parcel *parcel)
{
    free(parcel->item);
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
    return parcel->count < LEDGER_BATCH_COUNT_MAX &&
           parcel->size + ENTRY_HEAD_SIZE + command_size <= LEDGER_BATCH_SIZE_MAX &&
           parcel->blob_count + blob_count <= LEDGER_BLOB_COUNT_MAX &&
           parcel->blobs_size + blobs_size <= LEDGER_BLOBS_SIZE_MAX;
}

static void add(struct parcel *parcel, const struct item *item, size_t blobs_size)
{
    if (parcel->count == parcel->cap) {
        parcel->cap = parcel->cap ? parcel->cap * 2 : 16;
        parcel->item = realloc(parcel->item, parcel->cap * sizeof *parcel->item);
        cx_assert(parcel->item);
    }
    parcel->item[parcel->count++] = *item;
    parcel->size += ENTRY_HEAD_SIZE + item->command.size;
    parcel->blob_count += item->blob_count;
    parcel->blobs_size += blobs_size;
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
    struct item *item = &parcel->item[index];
    gather_waiter *waiter = item->call;
    item->call = NULL;
    if (waiter)
        waiter(item->ctx, err, seq);
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
    uint32_t blob_count = 0;
    for (uint32_t i = 0; i < parcel->count; i++) {
        const struct item *item = &parcel->item[i];
        g->command[i] = item->command;
        for (uint32_t k = 0; k < item->blob_count; k++)
            g->blob[blob_count++] = item->blob[k];
    }
    if (parcel->number == 0)
        parcel->number = ++g->number;
    if (g->open == parcel)
        g->open = NULL;
    struct ledger_append append = {.router = g->router,
                                   .epoch = ledger_epoch(g->ledger),
                                   .number = parcel->number,
                                   .command = g->command,
                                   .count = parcel->count,
                                   .blob = g->blob,
                                   .blob_count = blob_count};
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
    if (g->stopped)
        return;  // waiters were called: what they submitted is gone
    cx_assert(parcel->applied == 0 || parcel->applied == parcel->count);
    if (err == CX_UNKNOWN && parcel->applied == 0) {
        cx_assert(g->under_way_max == 1);
        send(g, parcel);  // the same number: at most one of them counts
        return;
    }
    if (err && err != CX_UNKNOWN) {  // what was followed before its answer was lost is there
        stop(g, err);
        return;
    }
    parcel->durable = true;
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
    const struct item item = {command, blob, blob_count, waiter, ctx};
    add(parcel, &item, blobs_size);
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

#include "cli/replay.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/pages.h"
#include "core/core.h"
#include "ledger/ledger.h"
#include "proto/entry.h"
#include "router/look_ahead.h"

#define PROGRESS_ENTRIES 4096

struct replaying {
    const struct replay_options *options;
    struct ledger *ledger;
    void *memory;
    struct core *core;
    struct event_list events;
    uint64_t refused;
    uint64_t money_broke_seq;  // the first entry after which it did not add up; 0: it always did
    enum cx_err err;
};

static enum cx_err begin(struct replaying *r, const struct ledger_entry *entry)
{
    struct command cmd;
    if (entry_decode(entry->command, 0, &cmd) || cmd.type != COMMAND_GENESIS)
        return cx_fail(CX_CORRUPT, "entry 1 is not a genesis");
    if (cmd.genesis.rules_version > RULES_VERSION)
        return cx_fail(CX_UNSUPPORTED, "rules version %u is newer than this program's %u", cmd.genesis.rules_version,
                       RULES_VERSION);
    size_t size = core_size(&cmd.genesis);
    if (size == 0)
        return cx_fail(CX_CORRUPT, "entry 1: the genesis is not well-formed");
    r->memory = pages_take(size);
    if (!r->memory)
        return cx_fail(CX_MEMORY, "the network's tables need %zu bytes", size);
    r->core = core_open(r->memory, size, &cmd.genesis);
    return r->core ? CX_OK : cx_fail(CX_MEMORY, "the network's tables do not fit into %zu bytes", size);
}

static void apply(struct replaying *r, const struct ledger_entry *entry)
{
    struct command cmd;
    bool decodes = entry_decode(entry->command, ledger_network(r->ledger), &cmd) == CX_OK;
    cmd.time_ms = entry->time_ms;
    cmd.author = entry->author;
    enum verdict verdict = core_apply(r->core, entry->command, decodes ? &cmd : NULL, &r->events);
    r->refused += verdict != VERDICT_ACCEPTED;
    if (r->money_broke_seq == 0 && !payment_holds(&r->core->payment))
        r->money_broke_seq = entry->seq;
    if (r->options->each)
        r->options->each(r->options->ctx, entry, decodes ? &cmd : NULL, verdict, &r->events);
    if (r->options->progress && entry->seq % PROGRESS_ENTRIES == 0)
        r->options->progress(r->options->ctx, entry->seq, ledger_head(r->ledger).seq);
}

static bool each(void *ctx, const struct ledger_batch *batch)
{
    struct replaying *r = ctx;
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    struct look_ahead ahead;
    look_ahead_begin(&ahead, r->core, batch);
    while (!r->err && ledger_next(&at, &entry)) {
        if (!r->core)
            r->err = begin(r, &entry);
        if (r->err)
            break;
        look_ahead_step(&ahead, r->core);
        apply(r, &entry);
    }
    if (!r->err)
        core_batch_end(r->core);
    return !r->err;
}

enum cx_err replay_ledger(const struct replay_options *options, struct replay_result *ret_result)
{
    cx_auto(ledger) ledger = NULL;
    enum cx_err err = ledger_open(options->uri, &(struct ledger_options){.mode = LEDGER_READ}, &ledger);
    if (err)
        return err;
    struct replaying r = {.options = options, .ledger = ledger, .events = {.cap = EVENTS_PER_COMMAND_MAX}};
    r.events.event = calloc(r.events.cap, sizeof *r.events.event);
    cx_assert(r.events.event);
    err = ledger_read(ledger, 1, each, &r);
    if (!err)
        err = r.err;
    if (!err && !r.core)
        err = cx_fail(CX_NOT_FOUND, "the ledger is empty");
    if (!err && options->check)
        core_check(r.core);
    if (!err) {
        ret_result->seq = core_seq(r.core);
        ret_result->refused = r.refused;
        ret_result->money_broke_seq = r.money_broke_seq;
        ret_result->money_holds = r.money_broke_seq == 0;
        core_digest(r.core, &ret_result->digest);
        core_root(r.core, &ret_result->root);
    }
    if (options->progress)
        options->progress(options->ctx, 1, 1);
    pages_give(r.memory);
    free(r.events.event);
    return err;
}

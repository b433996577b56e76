#include "router/replica.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/pages.h"
#include "core/core.h"
#include "ledger/gather.h"
#include "payload/payload.h"
#include "proto/entry.h"
#include "router/look_ahead.h"

/* Core time may not run ahead of the ledger's clock: a tick comes at least this long after the last entry. */
#define TICK_MS_MIN 1

/* A command on its way to the ledger. Those that are signed wait for their signers; all leave in the order in which
 * they came, because a reveal must not overtake its precommit. One piece of memory: behind it lie its blobs, their data
 * and the bytes of its entry. */
struct submission {
    struct replica *replica;
    struct submission *next;
    struct span entry;
    struct ledger_blob *blob;  // [blob_count]
    uint32_t blob_count;
    struct command cmd;         // spans point into `entry`
    bool is_decoded, is_known;  // is_known: signers are there
    replica_done *done;
    void *ctx;
    struct replica_outcome outcome;
};

struct queue {
    struct submission *first, **last;
};

struct replica {
    struct replica_options options;
    struct net_wake *wake;
    struct net_turn_end sending;  // of what was submitted in this turn
    struct ledger *ledger;
    struct gather *gather;
    struct buf encoded;  // the command that is being submitted
    void *memory;
    struct core *core;
    struct event_list events;
    struct replica_listener *listener;
    struct queue signing;  // come, not yet handed to the ledger
    struct queue written;  // handed to the ledger, not yet applied
    struct queue ended;    // with an outcome that no ledger brings, to be told soon
    struct net_timer soon;
    struct net_timer heartbeat, tick;
    bool started, ticking, replaying, stopped;
    uint32_t jobs;  // on helper threads
    bool closing;
    uint64_t network, opened_seq, ledger_ms;
    uint64_t applied_at_ms;  // net_now_ms of the last entry
    enum verdict verdict;    // of the last entry
    struct replica_stats stats;
};

/* ---- queues ---- */

static void queue_init(struct queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_add(struct queue *queue, struct submission *s)
{
    s->next = NULL;
    *queue->last = s;
    queue->last = &s->next;
}

static struct submission *queue_take(struct queue *queue)
{
    struct submission *s = queue->first;
    queue->first = s->next;
    if (!queue->first)
        queue->last = &queue->first;
    return s;
}

static void submission_end(struct submission *s)
{
    if (s->done)
        s->done(s->ctx, &s->outcome);
    free(s);
}

/* ---- applying ---- */

static void stop(struct replica *replica, enum cx_err err)
{
    if (replica->stopped)
        return;
    replica->stopped = true;
    net_timer_stop(&replica->heartbeat);
    net_timer_stop(&replica->tick);
    replica->options.on_stopped(replica->options.ctx, err, cx_detail());
}

static void tell(struct replica *replica, const struct replica_moment *moment)
{
    for (struct replica_listener *l = replica->listener; l; l = l->next) {
        if (moment->replaying && !l->replays)
            continue;
        if (l->on_entry)
            l->on_entry(l->ctx, moment);
        for (uint32_t i = 0; i < replica->events.count; i++)
            l->on_event(l->ctx, moment, &replica->events.event[i]);
    }
    replica->stats.events += replica->events.count;
}

/* The first entry makes the core. */
static enum cx_err open_core(struct replica *replica, const struct ledger_entry *entry)
{
    struct command cmd;
    if (entry_decode(entry->command, replica->network, &cmd) || cmd.type != COMMAND_GENESIS)
        return cx_fail(CX_CORRUPT, "ledger: the first entry is not a genesis");
    if (cmd.genesis.rules_version > RULES_VERSION)
        return cx_fail(CX_UNSUPPORTED, "ledger: rules version %u is newer than this program's %u",
                       cmd.genesis.rules_version, RULES_VERSION);
    size_t size = core_size(&cmd.genesis);
    if (size == 0)
        return cx_fail(CX_CORRUPT, "ledger: the genesis is not well-formed");
    replica->memory = pages_take(size);
    if (!replica->memory)
        return cx_fail(CX_MEMORY, "the network's tables need %zu bytes", size);
    replica->core = core_open(replica->memory, size, &cmd.genesis);
    if (!replica->core)
        return cx_fail(CX_MEMORY, "the network's tables do not fit into %zu bytes", size);
    replica->network = cmd.genesis.network_id;
    return CX_OK;
}

/* The submission that this entry is, if it is ours: they come back in the order in which they left. */
static struct submission *own(struct replica *replica, const struct ledger_batch *batch, struct span bytes)
{
    struct submission *s = replica->written.first;
    if (!s || batch->epoch != ledger_epoch(replica->ledger) ||
        !address_eq(&batch->router, key_address(replica->options.key)))
        return NULL;
    if (s->entry.size != bytes.size || memcmp(s->entry.data, bytes.data, bytes.size) != 0)
        return NULL;
    return s;
}

static void apply(struct replica *replica, const struct ledger_batch *batch, const struct ledger_entry *entry)
{
    struct command decoded;
    const struct command *cmd = NULL;
    struct submission *s = own(replica, batch, entry->command);
    if (s && s->is_decoded) {
        decoded = s->cmd;
        cmd = &decoded;
    } else if (!s && entry_decode(entry->command, replica->network, &decoded) == CX_OK) {
        cmd = &decoded;
    }
    if (cmd) {
        decoded.time_ms = entry->time_ms;
        decoded.author = entry->author;
    }
    replica->verdict = core_apply(replica->core, entry->command, cmd, &replica->events);
    replica->ledger_ms = entry->time_ms;
    replica->stats.entries++;
    replica->stats.refused += replica->verdict != VERDICT_ACCEPTED;
    const struct replica_moment moment = {
        .seq = entry->seq,
        .time_ms = entry->time_ms,
        .now_ms = core_now_ms(replica->core),
        .author = entry->author,
        .entry = entry->command,
        .command = cmd,
        .verdict = replica->verdict,
        .core = replica->core,
        .replaying = replica->replaying,
    };
    tell(replica, &moment);
    if (replica->gather)
        gather_applied(replica->gather, batch, entry->seq);
}

static void wind_tick(struct replica *replica);

static bool follow(void *ctx, const struct ledger_batch *batch)
{
    struct replica *replica = ctx;
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    struct look_ahead ahead;
    look_ahead_begin(&ahead, replica->core, batch);
    while (ledger_next(&at, &entry)) {
        if (!replica->core) {
            enum cx_err err = open_core(replica, &entry);
            if (err) {
                stop(replica, err);
                return false;
            }
        }
        look_ahead_step(&ahead, replica->core);
        apply(replica, batch, &entry);
    }
    core_batch_end(replica->core);
    replica->stats.batches++;
    replica->applied_at_ms = net_now_ms(replica->options.loop);
    for (struct replica_listener *l = replica->listener; l; l = l->next)
        if (l->on_batch && (!replica->replaying || l->replays))
            l->on_batch(l->ctx);
    wind_tick(replica);
    net_loop_flush(replica->options.loop);  // who waits for this batch need not wait for the next ones
    if (replica->replaying && replica->options.on_progress)
        replica->options.on_progress(replica->options.ctx, core_seq(replica->core), ledger_head(replica->ledger).seq);
    return true;
}

/* From gather_applied, or where the ledger stopped. */
static void on_written(void *ctx, enum cx_err err, uint64_t seq)
{
    struct submission *s = ctx;
    struct replica *replica = s->replica;
    cx_assert(replica->written.first == s);
    queue_take(&replica->written);
    s->outcome.err = err;
    s->outcome.seq = seq;
    if (!err) {
        s->outcome.verdict = replica->verdict;
        s->outcome.task = replica->core->last_task;
        s->outcome.session = replica->core->last_session;
    }
    submission_end(s);
}

/* ---- submitting ---- */

static void tell_ended(void *ctx)
{
    struct replica *replica = ctx;
    while (replica->ended.first)
        submission_end(queue_take(&replica->ended));
}

static void end_soon(struct submission *s)
{
    struct replica *replica = s->replica;
    queue_add(&replica->ended, s);
    net_timer_soon(replica->options.loop, &replica->soon, tell_ended, replica);
}

static enum verdict foresee(struct replica *replica, struct submission *s)
{
    if (!s->is_decoded)
        return VERDICT_COMMAND_MALFORMED;
    s->cmd.author = *key_address(replica->options.key);
    s->cmd.time_ms = replica->ledger_ms;
    return core_foresee(replica->core, &s->cmd, &s->outcome.task);
}

/* Where the ledger keeps no payloads, they are stored before the entry that names them. */
static enum cx_err put_payloads(struct payload_store *payloads, const struct submission *s)
{
    enum cx_err err = CX_OK;
    for (uint32_t i = 0; i < s->blob_count && !err; i++) {
        const struct ledger_blob *blob = &s->blob[i];
        struct hash name;
        err = payload_put(payloads, blob->data.data, blob->data.size, blob->keep_until_ms, &name);
        cx_assert(err || hash_eq(&name, &blob->sha256));
    }
    return err;
}

static void poll_ledger(void *ctx)
{
    struct replica *replica = ctx;
    if (!replica->gather || replica->stopped)
        return;
    enum cx_err err = gather_poll(replica->gather);
    if (err)
        stop(replica, err);
}

static enum cx_err gather(struct replica *replica, struct submission *s)
{
    struct payload_store *payloads = replica->options.payloads;
    enum cx_err err = payloads ? put_payloads(payloads, s) : CX_OK;
    if (err)
        return err;
    err = gather_submit(replica->gather, s->entry, s->blob, payloads ? 0 : s->blob_count, on_written, s);
    if (!err)
        net_at_turn_end(replica->options.loop, &replica->sending, poll_ledger, replica);
    return err;
}

static void release(struct submission *s)
{
    struct replica *replica = s->replica;
    s->outcome.verdict = foresee(replica, s);
    if (s->outcome.verdict != VERDICT_ACCEPTED) {
        replica->stats.refused++;
        end_soon(s);
        return;
    }
    s->outcome.err = gather(replica, s);
    if (s->outcome.err)
        end_soon(s);
    else
        queue_add(&replica->written, s);
}

static void release_known(struct replica *replica)
{
    while (replica->signing.first && replica->signing.first->is_known)
        release(queue_take(&replica->signing));
}

static void recover(void *ctx)
{
    struct submission *s = ctx;
    s->is_decoded = entry_decode(s->entry, s->replica->network, &s->cmd) == CX_OK;
}

static void replica_free(struct replica *replica);

static void recovered(void *ctx)
{
    struct submission *s = ctx;
    struct replica *replica = s->replica;
    s->is_known = true;
    replica->jobs--;
    if (replica->closing) {
        if (replica->jobs == 0)
            replica_free(replica);
        return;
    }
    release_known(replica);
}

static struct submission *new_submission(struct span entry, const struct ledger_blob *blob, uint32_t blob_count)
{
    size_t size = sizeof(struct submission) + blob_count * sizeof *blob + entry.size;
    for (uint32_t i = 0; i < blob_count; i++)
        size += blob[i].data.size;
    struct submission *s = malloc(size);
    cx_assert(s);
    *s = (struct submission){.blob = (struct ledger_blob *)(s + 1), .blob_count = blob_count};
    uint8_t *at = (uint8_t *)(s->blob + blob_count);
    for (uint32_t i = 0; i < blob_count; i++) {
        s->blob[i] = blob[i];
        s->blob[i].data.data = at;
        if (blob[i].data.size > 0)
            memcpy(at, blob[i].data.data, blob[i].data.size);
        at += blob[i].data.size;
    }
    s->entry = (struct span){at, entry.size};
    if (entry.size > 0)
        memcpy(at, entry.data, entry.size);
    return s;
}

enum cx_err replica_submit(struct replica *replica, struct span entry, const struct ledger_blob *blob,
                           uint32_t blob_count, replica_done *done, void *ctx)
{
    if (entry.size > LEDGER_ENTRY_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "an entry of %u bytes is over %u", entry.size, LEDGER_ENTRY_SIZE_MAX);
    if (replica->stopped)
        return cx_fail(CX_CLOSED, "the ledger has stopped");
    struct submission *s = new_submission(entry, blob, blob_count);
    s->replica = replica;
    s->done = done;
    s->ctx = ctx;
    queue_add(&replica->signing, s);

    const uint8_t *signature;
    s->is_decoded = command_decode(s->entry, &s->cmd, &signature);
    s->is_known = !s->is_decoded || s->cmd.signer_count == 0;
    if (!s->is_known && net_work(replica->options.loop, recover, recovered, s) == CX_OK)
        replica->jobs++;
    else if (!s->is_known) {
        recover(s);  // no helper thread to be had: here, then
        s->is_known = true;
    }
    release_known(replica);
    return CX_OK;
}

enum cx_err replica_command(struct replica *replica, const struct command *cmd, const struct ledger_blob *blob,
                            uint32_t blob_count, replica_done *done, void *ctx)
{
    struct buf *entry = &replica->encoded;
    buf_reset(entry);
    enum cx_err err = entry_encode(cmd, entry);
    if (!err)
        err = replica_submit(replica, (struct span){(const uint8_t *)entry->data, (uint32_t)entry->size}, blob,
                             blob_count, done, ctx);
    return err;
}

/* ---- time ---- */

static void ticked(void *ctx, const struct replica_outcome *outcome)
{
    struct replica *replica = ctx;
    cx_maybe(outcome->err);  // a ledger that stopped says so by on_stopped
    replica->ticking = false;
    wind_tick(replica);
}

static void append_tick(void *ctx)
{
    struct replica *replica = ctx;
    const struct command cmd = {.type = COMMAND_TICK, .tick.due_ms = core_next_tick_ms(replica->core)};
    if (replica->ticking || replica_command(replica, &cmd, NULL, 0, ticked, replica))
        return;
    replica->ticking = true;
    replica->stats.ticks++;
}

/* Core time stands still between entries, and gains at the next one what has passed since the last. */
static void wind_tick(struct replica *replica)
{
    if (!replica->started || replica->stopped || replica->ticking)
        return;
    uint64_t due_ms = core_next_tick_ms(replica->core);
    if (due_ms == TIME_NEVER) {
        net_timer_stop(&replica->tick);
        return;
    }
    uint64_t now_ms = core_now_ms(replica->core);
    uint64_t wait_ms = due_ms > now_ms ? due_ms - now_ms : 0;
    uint64_t at_ms = u64_add_sat(replica->applied_at_ms, u64_max(wait_ms, TICK_MS_MIN));
    net_timer_start_at(replica->options.loop, &replica->tick, at_ms, append_tick, replica);
}

static void append_heartbeat(void *ctx)
{
    struct replica *replica = ctx;
    const struct command cmd = {.type = COMMAND_ROUTER_HEARTBEAT,
                                .router_heartbeat.epoch = ledger_epoch(replica->ledger)};
    enum cx_err err = replica_command(replica, &cmd, NULL, 0, NULL, NULL);
    cx_maybe(err);  // busy: the next one will do
    net_timer_start(replica->options.loop, &replica->heartbeat, view_params(replica->core)->heartbeat_ms,
                    append_heartbeat, replica);
}

void replica_listen(struct replica *replica, struct replica_listener *listener)
{
    struct replica_listener **at = &replica->listener;
    while (*at)
        at = &(*at)->next;
    listener->next = NULL;
    *at = listener;
}

void replica_unlisten(struct replica *replica, struct replica_listener *listener)
{
    struct replica_listener **at = &replica->listener;
    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
}

void replica_start(struct replica *replica)
{
    cx_assert(!replica->started);
    replica->started = true;
    append_heartbeat(replica);
    wind_tick(replica);
}

/* ---- opening ---- */

static void ring(void *ctx)
{
    struct replica *replica = ctx;
    net_wake_send(replica->wake);
}

struct first_entry {
    bool ended;
    enum cx_err err;
};

static void first_written(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    struct first_entry *first = ctx;
    (void)seq;
    (void)time_ms;
    first->ended = true;
    first->err = err;
}

/* Waits here: nobody can be served before there is a network. */
static enum cx_err write_genesis(struct replica *replica)
{
    struct buf entry = {0};
    struct command cmd = {.type = COMMAND_GENESIS, .genesis = *replica->options.genesis};
    struct first_entry first = {0};
    enum cx_err err = entry_encode(&cmd, &entry);
    if (!err) {
        const struct span bytes = {(const uint8_t *)entry.data, (uint32_t)entry.size};
        const struct ledger_append append = {.router = *key_address(replica->options.key),
                                             .epoch = ledger_epoch(replica->ledger),
                                             .number = 1,
                                             .command = &bytes,
                                             .count = 1};
        err = ledger_append(replica->ledger, &append, first_written, &first);
    }
    while (!err && !first.ended) {
        err = ledger_wait(replica->ledger, 60000);
        if (!err)
            err = ledger_poll(replica->ledger);
    }
    buf_done(&entry);
    return err ? err : first.err;
}

static enum cx_err open_ledger(struct replica *replica)
{
    const struct replica_options *o = &replica->options;
    const struct ledger_options options = {
        .mode = o->genesis ? LEDGER_CREATE : LEDGER_WRITE,
        .network = o->genesis ? o->genesis->network_id : 0,
        .router = *key_address(o->key),
        .wake = ring,
        .wake_ctx = replica,
    };
    enum cx_err err = ledger_open(o->ledger_uri, &options, &replica->ledger);
    if (err)
        return err;
    replica->network = ledger_network(replica->ledger);
    if (ledger_head(replica->ledger).seq > 0)
        return CX_OK;
    if (!o->genesis)
        return cx_fail(CX_NOT_FOUND, "ledger %s is empty and there is no genesis to begin it with", o->ledger_uri);
    err = write_genesis(replica);
    if (err)
        return err;
    /* Opened again, so that the gatherer numbers its batches from the beginning of an epoch of its own. */
    ledger_close(cx_take(&replica->ledger));
    return ledger_open(o->ledger_uri, &options, &replica->ledger);
}

static enum cx_err replay(struct replica *replica)
{
    replica->replaying = true;
    enum cx_err err = ledger_read(replica->ledger, 1, follow, replica);
    replica->replaying = false;
    if (!err && replica->stopped)
        err = CX_CORRUPT;  // open_core has said why
    if (!err && !replica->core)
        err = cx_fail(CX_NOT_FOUND, "ledger %s lost its first entry while it was being opened",
                      replica->options.ledger_uri);
    struct router_view router;
    if (!err && !view_router(replica->core, key_address(replica->options.key), &router))
        err = cx_fail(CX_DENIED, "this router's key is not one of the network's routers; an admin can add it");
    return err;
}

enum cx_err replica_open(const struct replica_options *options, struct replica_listener *const *listener,
                         uint32_t listener_count, struct replica **ret_replica)
{
    cx_auto(replica) replica = calloc(1, sizeof *replica);
    cx_assert(replica);
    replica->options = *options;
    queue_init(&replica->signing);
    queue_init(&replica->written);
    queue_init(&replica->ended);
    for (uint32_t i = listener_count; i > 0; i--) {
        listener[i - 1]->next = replica->listener;
        replica->listener = listener[i - 1];
    }
    replica->events.cap = EVENTS_PER_COMMAND_MAX;
    replica->events.event = calloc(replica->events.cap, sizeof *replica->events.event);
    cx_assert(replica->events.event);

    enum cx_err err = net_wake_open(options->loop, poll_ledger, replica, &replica->wake);
    if (!err)
        err = open_ledger(replica);
    if (!err)
        err = replay(replica);
    if (!err)
        err = gather_open(replica->ledger, key_address(options->key), &replica->gather);
    if (err)
        return err;
    replica->opened_seq = core_seq(replica->core) + 1;
    ledger_follow(replica->ledger, replica->opened_seq, follow, replica);
    *ret_replica = cx_take(&replica);
    return CX_OK;
}

static void cancel(struct queue *queue)
{
    for (struct submission *s = queue->first; s; s = s->next) {
        s->outcome = (struct replica_outcome){.err = CX_CANCELLED};
        if (s->done)
            s->done(s->ctx, &s->outcome);
        s->done = NULL;
    }
}

static void replica_free(struct replica *replica)
{
    while (replica->signing.first)
        free(queue_take(&replica->signing));
    while (replica->ended.first)
        free(queue_take(&replica->ended));
    pages_give(replica->memory);
    buf_done(&replica->encoded);
    free(replica->events.event);
    free(replica);
}

void replica_close(struct replica *replica)
{
    if (!replica)
        return;
    replica->stopped = true;
    replica->closing = true;
    net_timer_stop(&replica->heartbeat);
    net_timer_stop(&replica->tick);
    net_timer_stop(&replica->soon);
    net_turn_end_stop(&replica->sending);
    cancel(&replica->ended);
    cancel(&replica->signing);
    gather_close(replica->gather);
    ledger_close(replica->ledger);
    if (replica->wake)
        net_wake_close(replica->wake);
    if (replica->jobs == 0)
        replica_free(replica);  // else the last job on a helper thread does it
}

/* ---- asking ---- */

const struct core *replica_core(const struct replica *replica) { return replica->core; }

uint64_t replica_now_ms(const struct replica *replica) { return core_now_ms(replica->core); }

const struct address *replica_router(const struct replica *replica) { return key_address(replica->options.key); }

uint64_t replica_network(const struct replica *replica) { return replica->network; }

uint64_t replica_opened_seq(const struct replica *replica) { return replica->opened_seq; }

struct replica_stats replica_stats(const struct replica *replica) { return replica->stats; }

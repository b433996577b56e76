/* check_world.c - what a world tells its checkers, and the last look at what it leaves behind. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/core.h"
#include "ledger/ledger.h"
#include "payload/payload.h"
#include "sim/check_world_parts.h"
#include "sim/disk.h"
#include "sim/roles.h"

#define SNAPSHOT_EVERY 4  // seeds: one of so many goes through a snapshot
#define REPLAY_EVERY   4  // seeds: one of so many is replayed from its file at the end
#define PROGRESS_TICKS 2
#define SETTLED_US     (15 * 1000000ull)  // after healing, until routers have found their way back

/* ---- payloads ---- */

static bool is_stored(struct checks *c, struct payload_store *store, const struct hash *digest, const char *what,
                      const struct task_record *t)
{
    struct buf data = {0};
    c->sim->check.looks[CHECKER_PAYLOADS]++;
    enum cx_err err = payload_get(store, digest, &data);
    buf_done(&data);
    if (!err)
        return true;
    return check_fail(&c->sim->check, CHECKER_PAYLOADS, t->created_seq,
                      "the %s of task %" PRIx64 " is named and not stored: %s", what, t->task, cx_detail());
}

/* All that entries have named is there, whole. The disk's faults wait meanwhile: looking must not change anything. */
static void payloads_are_stored(struct checks *c, const struct sim_router *router)
{
    cx_auto(payload_store) store = NULL;
    struct disk_faults *faults = disk_faults(router->computer->disk), kept = *faults;
    *faults = (struct disk_faults){0};
    const char *uri = c->sim->swarm.shared_ledger ? SIM_SHARED_LEDGER : "sqlite:router-0/ledger.db";
    bool ok = payload_store_open(uri, &store) == CX_OK;
    for (uint32_t i = 0; ok && i < c->tasks; i++) {
        const struct task_record *t = &c->task[i];
        ok = is_stored(c, store, &t->prompt_digest, "prompt", t);
        for (uint32_t k = 0; ok && k < t->reveals; k++)
            ok = is_stored(c, store, &t->revealed[k].payload_digest, "answer", t);
    }
    payload_store_close(cx_take(&store));
    *faults = kept;
}

/* ---- what routers apply ---- */

/* docs/protocol.md, "Progress": once all is healed, what is due fires at most PROGRESS_TICKS heartbeats later. */
static void time_goes_on(struct checks *c, uint64_t due_ms, uint64_t before_ms)
{
    uint64_t now_ms = core_now_ms(c->core), heartbeat_ms = view_params(c->core)->heartbeat_ms;
    uint64_t since_ms = u64_max(due_ms, before_ms);
    c->sim->check.looks[CHECKER_PROGRESS]++;
    if (due_ms != TIME_NEVER && since_ms + PROGRESS_TICKS * heartbeat_ms < now_ms)
        check_fail(&c->sim->check, CHECKER_PROGRESS, c->entries,
                   "what was due at %" PRIu64 " waited until %" PRIu64 ", and a heartbeat takes %" PRIu64 " ms", due_ms,
                   now_ms, heartbeat_ms);
}

static void on_entry(void *ctx, const struct sim_router *router, const struct replica_moment *moment)
{
    struct checks *c = ctx;
    if (!sim_is_well(c->sim))
        return;
    bool goes_on = c->core && moment->seq > c->entries && c->sim->phase == SIM_HEALED &&
                   c->sim->now_us > c->healed_us + SETTLED_US;
    uint64_t due_ms = goes_on ? core_next_tick_ms(c->core) : 0, before_ms = goes_on ? core_now_ms(c->core) : 0;
    shadow_entry(c, router->number, moment);
    if (goes_on && sim_is_well(c->sim))
        time_goes_on(c, due_ms, before_ms);
}

/* Lines of --trace: what moved, in the words of terms.h. */
static void trace_event(struct sim *sim, uint64_t seq, const struct event *e)
{
    unsigned long long at = seq;
    if (e->type == EVENT_NODE_MOVED)
        sim_trace(sim, "%llu node %02x%02x %s > %s %s", at, e->node_moved.node.b[0], e->node_moved.node.b[1],
                  term_name(TERM_node_state, e->node_moved.from), term_name(TERM_node_state, e->node_moved.to),
                  term_name(TERM_node_reason, e->node_moved.reason));
    else if (e->type == EVENT_SESSION_MOVED)
        sim_trace(sim, "%llu session %llx %s > %s %s", at, (unsigned long long)e->session_moved.session,
                  term_name(TERM_session_state, e->session_moved.from),
                  term_name(TERM_session_state, e->session_moved.to),
                  term_name(TERM_session_reason, e->session_moved.reason));
    else if (e->type == EVENT_TASK_MOVED)
        sim_trace(sim, "%llu task %llx %s > %s %s, attempt %u", at, (unsigned long long)e->task_moved.task,
                  term_name(TERM_task_state, e->task_moved.from), term_name(TERM_task_state, e->task_moved.to),
                  term_name(TERM_fail_cause, e->task_moved.cause), e->task_moved.attempt);
    else if (e->type == EVENT_ASSIGNMENT_MOVED)
        sim_trace(sim, "%llu lease %llu of %02x%02x %s > %s %s", at, (unsigned long long)e->assignment_moved.lease,
                  e->assignment_moved.node.b[0], e->assignment_moved.node.b[1],
                  term_name(TERM_assignment_state, e->assignment_moved.from),
                  term_name(TERM_assignment_state, e->assignment_moved.to),
                  term_name(TERM_fail_cause, e->assignment_moved.cause));
    else if (e->type == EVENT_ROUND_MOVED)
        sim_trace(sim, "%llu round %llx %s > %s %s", at, (unsigned long long)e->round_moved.round,
                  term_name(TERM_round_state, e->round_moved.from), term_name(TERM_round_state, e->round_moved.to),
                  term_name(TERM_abort_reason, e->round_moved.reason));
    else if (e->type == EVENT_NODE_ATTACHED || e->type == EVENT_NODE_DETACHED)
        sim_trace(sim, "%llu node %02x%02x %s", at, e->node_attached.node.b[0], e->node_attached.node.b[1],
                  e->type == EVENT_NODE_ATTACHED ? "attached" : "detached");
}

static void on_event(void *ctx, const struct sim_router *router, const struct replica_moment *moment,
                     const struct event *event)
{
    struct checks *c = ctx;
    cx_maybe(router != NULL);
    if (c->sim->trace && moment->seq == c->entries && !moment->replaying)
        trace_event(c->sim, moment->seq, event);
}

static void on_router_open(void *ctx, const struct sim_router *router, const struct core *core, uint64_t seq)
{
    struct checks *c = ctx;
    cx_maybe(core != NULL);
    if (!sim_is_well(c->sim))
        return;
    shadow_router_opens(c, router->number, seq);
    if (sim_is_well(c->sim) && c->tasks > 0)
        payloads_are_stored(c, router);
}

static void on_told(void *ctx, const struct told *told)
{
    struct checks *c = ctx;
    if (sim_is_well(c->sim))
        told_check(c, told);
}

/* ---- the last look ---- */

/* A router that has applied all that the shadow has. */
static void compare_router(struct checks *c, const struct sim_router *router)
{
    char name[16] = "router-0";
    name[7] = (char)('0' + router->number);
    if (!router->router)
        return;
    /* Nothing is changed: the walk over rows that makes the root also reads them in. */
    struct core *core = (struct core *)replica_core(router_replica(router->router));
    if (core_seq(core) == c->entries)
        shadow_compare(c, core, CHECKER_REPLICAS, name);
    if (sim_is_well(c->sim))
        payloads_are_stored(c, router);
}

struct rereading {
    struct checks *c;
    struct core *core;
};

static bool reread(void *ctx, const struct ledger_batch *batch)
{
    struct rereading *r = ctx;
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    struct event_list out = {shadow_room, ARRAY_COUNT(shadow_room), 0};
    while (ledger_next(&at, &entry)) {
        if (entry.seq > r->c->entries)
            return false;  // durable, and no router has applied it yet
        const struct told_entry *e = &r->c->entry[entry.seq - 1];
        struct command cmd;
        bool decodes = shadow_read(e, &cmd);
        if (e->size != entry.command.size || memcmp(e->bytes, entry.command.data, e->size) != 0) {
            check_fail(&r->c->sim->check, CHECKER_REPLAY, entry.seq, "the file holds another entry than was applied");
            return false;
        }
        core_apply(r->core, entry.command, decodes ? &cmd : NULL, &out);
    }
    core_batch_end(r->core);
    return true;
}

/* The ledger's file, read from its beginning as `corten ledger replay` does, into a core of its own. */
static void replay_file(struct checks *c)
{
    cx_auto(ledger) ledger = NULL;
    void *memory = NULL;
    struct rereading r = {.c = c};
    if (c->sim->swarm.shared_ledger ||
        ledger_open("sqlite:router-0/ledger.db", &(struct ledger_options){.mode = LEDGER_READ}, &ledger) != CX_OK)
        return;
    r.core = shadow_core(c, &memory);
    enum cx_err err = ledger_read(ledger, 1, reread, &r);
    if (err)
        check_fail(&c->sim->check, CHECKER_REPLAY, c->entries, "the ledger's file cannot be read: %s", cx_detail());
    else if (core_seq(r.core) == c->entries)
        shadow_compare(c, r.core, CHECKER_REPLAY, "a replay of the file");
    free(memory);
}

static void last_look(struct checks *c)
{
    if (!c->core || !check_core_whole(c->books, c->core, &c->sim->check))
        return;
    core_batch_end(c->core);
    for (uint32_t i = 0; i < c->sim->swarm.routers; i++)
        compare_router(c, &c->sim->roles->router[i]);
    if (c->second) {
        core_batch_end(c->second);
        shadow_compare(c, c->second, CHECKER_REPLAY, "a snapshot and the entries behind it");
    }
    if (c->sim->swarm.seed % REPLAY_EVERY == 0)
        replay_file(c);
}

static void on_phase(void *ctx, enum sim_phase phase)
{
    struct checks *c = ctx;
    if (phase == SIM_HEALED)
        c->healed_us = c->sim->now_us;
    if (phase == SIM_HEALED && c->core && !c->second && c->sim->swarm.seed % SNAPSHOT_EVERY == 0 && sim_is_well(c->sim))
        shadow_snapshot(c);
    if (phase == SIM_OVER && sim_is_well(c->sim))
        last_look(c);
}

struct checks *checks_open(struct sim *sim)
{
    struct checks *c = calloc(1, sizeof *c);
    cx_assert(c);
    c->sim = sim;
    for (uint32_t i = 0; i < sim->swarm.miners; i++)
        c->honest[i] = *key_address(role_key(ROLE_MINER, i));
    c->out = (struct event_list){calloc(EVENTS_PER_COMMAND_MAX, sizeof(struct event)), EVENTS_PER_COMMAND_MAX, 0};
    cx_assert(c->out.event);
    c->observer = (struct sim_observer){.ctx = c,
                                        .on_router_open = on_router_open,
                                        .on_entry = on_entry,
                                        .on_event = on_event,
                                        .on_told = on_told,
                                        .on_phase = on_phase};
    sim_observe(sim, &c->observer);
    return c;
}

void checks_close(struct checks *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->entries; i++) {
        free(c->entry[i].bytes);
        free(c->entry[i].signer);
    }
    free(c->entry);
    free(c->task);
    free(c->out.event);
    free(c->core_memory);
    free(c->books_memory);
    free(c->second_memory);
    free(c);
}

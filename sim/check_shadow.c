/* check_shadow.c - the shadow: a core that applies what routers apply, once, and to which they are all held. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/core.h"
#include "sim/check_world_parts.h"

#define WHOLE_EVERY 61  // entries between two comparisons of everything

struct event shadow_room[EVENTS_PER_COMMAND_MAX];

/* ---- the shadow ---- */

static void *room_for(size_t size)
{
    void *memory = aligned_alloc(16, (size + 15) / 16 * 16);
    cx_assert(memory);
    return memory;
}

struct core *shadow_core(struct checks *c, void **ret_memory)
{
    size_t size = core_size(&c->genesis);
    cx_assert(size > 0);  // a router has opened with it
    *ret_memory = room_for(size);
    struct core *core = core_open(*ret_memory, size, &c->genesis);
    cx_assert(core);
    return core;
}

/* From the first entry: its spans are copied, for they point into a router's memory. */
static bool begin(struct checks *c, const struct replica_moment *moment)
{
    const uint8_t *signature;
    struct command cmd;
    if (moment->seq != 1 || moment->entry.size > sizeof c->genesis_bytes)
        return false;
    memcpy(c->genesis_bytes, moment->entry.data, moment->entry.size);
    if (!command_decode((struct span){c->genesis_bytes, moment->entry.size}, &cmd, &signature))
        return false;
    c->genesis = cmd.genesis;
    c->core = shadow_core(c, &c->core_memory);
    size_t size = check_core_size(&c->genesis);
    c->books_memory = room_for(size);
    c->books = check_core_open(c->books_memory, size, &c->genesis);
    cx_assert(c->books);
    return true;
}

static struct told_entry *remember(struct checks *c, const struct replica_moment *moment)
{
    if (c->entries == c->entry_cap) {
        c->entry_cap = c->entry_cap ? 2 * c->entry_cap : 1024;
        c->entry = realloc(c->entry, c->entry_cap * sizeof *c->entry);
        cx_assert(c->entry);
    }
    struct told_entry *e = &c->entry[c->entries++];
    *e = (struct told_entry){.time_ms = moment->time_ms,
                             .bytes = malloc(moment->entry.size + 1),
                             .size = moment->entry.size,
                             .author = moment->author,
                             .verdict = moment->verdict};
    cx_assert(e->bytes);
    memcpy(e->bytes, moment->entry.data, moment->entry.size);
    core_digest(moment->core, &e->before);
    if (moment->command && moment->command->signer_count > 0) {
        e->signer_count = moment->command->signer_count;
        e->signer = malloc(e->signer_count * sizeof *e->signer);
        cx_assert(e->signer);
        memcpy(e->signer, moment->command->signer, e->signer_count * sizeof *e->signer);
    }
    return e;
}

/* What the entry's bytes say, with what the ledger and the signatures add. False: they say nothing. */
bool shadow_read(const struct told_entry *e, struct command *ret_cmd)
{
    const uint8_t *signature;
    memset(ret_cmd, 0, sizeof *ret_cmd);
    bool decodes = command_decode((struct span){e->bytes, e->size}, ret_cmd, &signature);
    ret_cmd->time_ms = e->time_ms;
    ret_cmd->author = e->author;
    if (decodes && e->signer_count > 0)
        memcpy(ret_cmd->signer, e->signer, e->signer_count * sizeof *e->signer);
    return decodes;
}

/* Batches are the ledger's: one ended where the running digest before the entry is another. */
static void end_batch_before(struct core *core, const struct told_entry *e)
{
    struct hash digest;
    core_digest(core, &digest);
    if (!hash_eq(&digest, &e->before))
        core_batch_end(core);
}

static bool same_digest(struct core *core, const struct hash *digest)
{
    struct hash own;
    core_digest(core, &own);
    return hash_eq(&own, digest);
}

/* Another core, from a snapshot of the shadow in the middle of its life. */
void shadow_snapshot(struct checks *c)
{
    struct check *check = &c->sim->check;
    core_batch_end(c->core);
    uint64_t size = core_snapshot_size(c->core);
    uint8_t *bytes = malloc(size);
    cx_assert(bytes);
    bool ok = core_snapshot_write(c->core, bytes, size);
    c->second = shadow_core(c, &c->second_memory);
    ok = ok && core_snapshot_read(c->second, (struct span){bytes, (uint32_t)size});
    check->looks[CHECKER_REPLAY]++;
    if (!ok)
        check_fail(check, CHECKER_REPLAY, c->entries, "a snapshot at entry %u cannot be read", c->entries);
    free(bytes);
}

static void follow_second(struct checks *c, const struct told_entry *e, struct command *cmd, bool decodes)
{
    struct event_list out = {shadow_room, ARRAY_COUNT(shadow_room), 0};
    if (!c->second)
        return;
    end_batch_before(c->second, e);
    enum verdict verdict = core_apply(c->second, (struct span){e->bytes, e->size}, decodes ? cmd : NULL, &out);
    if (verdict != e->verdict)
        check_fail(&c->sim->check, CHECKER_REPLAY, c->entries, "behind a snapshot the verdict is %s, live it was %s",
                   verdict_name(verdict), verdict_name(e->verdict));
}

/* The next entry, for the first time. */
static void advance(struct checks *c, const struct replica_moment *moment)
{
    struct check *check = &c->sim->check;
    if (!c->core && !begin(c, moment)) {
        check_fail(check, CHECKER_REPLICAS, moment->seq, "the ledger does not begin with a genesis");
        return;
    }
    struct told_entry *e = remember(c, moment);
    struct command cmd;
    bool decodes = shadow_read(e, &cmd);
    end_batch_before(c->core, e);
    check->looks[CHECKER_REPLICAS]++;
    if (!same_digest(c->core, &e->before))
        check_fail(check, CHECKER_REPLICAS, moment->seq, "the running digest before the entry is another here");
    follow_second(c, e, &cmd, decodes);
    enum verdict verdict = core_apply(c->core, (struct span){e->bytes, e->size}, decodes ? &cmd : NULL, &c->out);
    if (verdict != moment->verdict)
        check_fail(check, CHECKER_REPLICAS, moment->seq, "the router says %s, and it is %s",
                   verdict_name(moment->verdict), verdict_name(verdict));
    const struct check_entry entry = {.seq = moment->seq,
                                      .bytes = {e->bytes, e->size},
                                      .cmd = decodes ? &cmd : NULL,
                                      .verdict = verdict,
                                      .events = &c->out};
    if (!check_core_entry(c->books, &entry, c->core, check))
        return;
    for (uint32_t i = 0; i < c->out.count; i++) {
        record_event(c, decodes ? &cmd : NULL, &c->out.event[i]);
        nodes_watch(c, &c->out.event[i]);
    }
    if (c->entries % WHOLE_EVERY == 0)
        check_core_whole(c->books, c->core, check);
}

/* ---- what routers apply ---- */

static void hold_against(struct checks *c, const struct replica_moment *moment)
{
    enum checker checker = moment->replaying ? CHECKER_REPLAY : CHECKER_REPLICAS;
    struct check *check = &c->sim->check;
    const struct told_entry *e = &c->entry[moment->seq - 1];
    struct hash before;
    core_digest(moment->core, &before);
    check->looks[checker]++;
    if (e->size != moment->entry.size || memcmp(e->bytes, moment->entry.data, e->size) != 0 ||
        e->time_ms != moment->time_ms || !address_eq(&e->author, &moment->author))
        check_fail(check, CHECKER_DURABLE, moment->seq, "another entry stands there than was applied before");
    else if (e->verdict != moment->verdict)
        check_fail(check, checker, moment->seq, "the verdict was %s and is %s", verdict_name(e->verdict),
                   verdict_name(moment->verdict));
    else if (!hash_eq(&e->before, &before))
        check_fail(check, checker, moment->seq, "the running digest before the entry is another than it was");
}

void shadow_entry(struct checks *c, uint32_t router, const struct replica_moment *moment)
{
    if (moment->seq <= c->entries)
        hold_against(c, moment);
    else if (moment->seq == c->entries + 1)
        advance(c, moment);
    else
        check_fail(&c->sim->check, CHECKER_REPLICAS, moment->seq, "router-%u applies it behind entry %u", router,
                   c->entries);
}

void shadow_router_opens(struct checks *c, uint32_t router, uint64_t seq)
{
    c->sim->check.looks[CHECKER_DURABLE]++;
    if (seq < c->entries)
        check_fail(&c->sim->check, CHECKER_DURABLE, seq,
                   "router-%u comes back with %" PRIu64 " entries, and %u were applied and told", router, seq,
                   c->entries);
}

void shadow_compare(struct checks *c, struct core *other, enum checker checker, const char *what)
{
    struct hash one, two;
    c->sim->check.looks[checker]++;
    core_root(c->core, &one);
    core_root(other, &two);
    if (!hash_eq(&one, &two))
        check_fail(&c->sim->check, checker, c->entries, "%s has another state than the shadow", what);
}

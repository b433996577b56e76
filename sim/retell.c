#include "sim/retell.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/record.h"

/* What a name can stand for. */
enum thing_kind { THING_MODEL, THING_SESSION, THING_TASK, THING_LEASE, THING_ROUND, THING_AUDIT, THING_WITHDRAWAL };

#define NO_THING UINT32_MAX

/* In the base: what it is; and in what is told now: its present name. */
struct thing {
    enum thing_kind kind;
    uint64_t id;
    uint32_t entry;   // that brought it about by being it: sessions, tasks, models, withdrawals
    uint32_t parent;  // a lease's task or round; an audit's lease
    uint32_t number;  // among its parent's; a round's among rounds
    uint64_t session, seed;
    struct address node;
    uint64_t now_id, now_session, now_seed;  // now_id 0: not yet
    struct address now_node;
};

/* A lease's reveal in the base. */
struct reveal {
    uint64_t lease;
    struct hash salt;
    uint32_t entry;
};

struct retelling {
    const struct history *base;
    struct thing *thing;
    uint32_t things, thing_cap;
    struct reveal *reveal;
    uint32_t reveals, reveal_cap;
    struct {
        struct address oracle;
        struct hash preimage;
    } * beat;  // in order
    uint32_t beats, beat_cap;
    struct {
        struct address address;
        uint32_t told;  // heartbeats
    } oracle[ORACLES_MAX];
    uint32_t oracles, rounds_told;
};

static void *grown(void *rows, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return rows;
    *cap = *cap ? *cap * 2 : 64;
    rows = realloc(rows, *cap * size);
    cx_assert(rows);
    return rows;
}

/* ---- what events bring about ---- */

struct birth {
    enum thing_kind kind;
    uint64_t id, parent, session, seed;  // parent: a lease's task or round, an audit's lease
    struct address node;
};

static bool birth_of(const struct event *e, struct birth *ret)
{
    *ret = (struct birth){0};
    switch ((int)e->type) {
    case EVENT_MODEL_CHANGED: *ret = (struct birth){THING_MODEL, e->model_changed.model, 0, 0, 0, {{0}}}; return true;
    case EVENT_SESSION_MOVED:
        *ret = (struct birth){THING_SESSION, e->session_moved.session, 0, 0, 0, {{0}}};
        return true;
    case EVENT_TASK_CREATED:
        *ret = (struct birth){THING_TASK, e->task_created.task, 0, e->task_created.session, 0, {{0}}};
        return true;
    case EVENT_TASK_OFFERED:
        *ret = (struct birth){THING_LEASE, e->task_offered.lease, e->task_offered.task,
                              0,           e->task_offered.seed,  e->task_offered.node};
        return true;
    case EVENT_ROUND_MOVED: *ret = (struct birth){THING_ROUND, e->round_moved.round, 0, 0, 0, {{0}}}; return true;
    case EVENT_ROUND_OFFERED:
        *ret = (struct birth){THING_LEASE, e->round_offered.lease, e->round_offered.round,
                              0,           e->round_offered.seed,  e->round_offered.node};
        return true;
    case EVENT_AUDIT_MOVED:
        *ret = (struct birth){THING_AUDIT, e->audit_moved.audit, e->audit_moved.lease, 0, 0, {{0}}};
        return true;
    case EVENT_WITHDRAWAL_OPENED:
        *ret = (struct birth){THING_WITHDRAWAL, e->withdrawal_opened.withdrawal, 0, 0, 0, {{0}}};
        return true;
    }
    return false;
}

static bool is_of_round(const struct event *e) { return e->type == EVENT_ROUND_OFFERED; }

/* ---- the base ---- */

static uint32_t thing_of(const struct retelling *r, enum thing_kind kind, uint64_t id)
{
    for (uint32_t i = r->things; i > 0; i--)
        if (r->thing[i - 1].kind == kind && r->thing[i - 1].id == id)
            return i - 1;
    return NO_THING;
}

static uint32_t children_of(const struct retelling *r, uint32_t parent)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->things; i++)
        count += r->thing[i].kind == THING_LEASE && r->thing[i].parent == parent;
    return count;
}

static void learn_birth(struct retelling *r, const struct event *e, const struct birth *b, uint32_t entry)
{
    if (thing_of(r, b->kind, b->id) != NO_THING)
        return;
    r->thing = grown(r->thing, r->things, &r->thing_cap, sizeof *r->thing);
    struct thing thing = {.kind = b->kind, .id = b->id, .entry = entry, .parent = NO_THING};
    thing.session = b->session;
    thing.seed = b->seed;
    thing.node = b->node;
    if (b->kind == THING_LEASE)
        thing.parent = thing_of(r, is_of_round(e) ? THING_ROUND : THING_TASK, b->parent);
    if (b->kind == THING_AUDIT)
        thing.parent = thing_of(r, THING_LEASE, b->parent);
    if (b->kind == THING_LEASE && thing.parent != NO_THING) {
        thing.number = children_of(r, thing.parent);
        thing.session = r->thing[thing.parent].session;
    }
    for (uint32_t i = 0; b->kind == THING_ROUND && i < r->things; i++)
        thing.number += r->thing[i].kind == THING_ROUND;
    r->thing[r->things++] = thing;
}

static void learn_command(struct retelling *r, const struct command *cmd, uint32_t entry)
{
    if (cmd->type == COMMAND_ORACLE_HEARTBEAT && cmd->signer_count > 0) {
        r->beat = grown(r->beat, r->beats, &r->beat_cap, sizeof *r->beat);
        r->beat[r->beats].oracle = cmd->signer[0];
        r->beat[r->beats++].preimage = cmd->oracle_heartbeat.preimage;
    }
    if (cmd->type != COMMAND_TASK_COMMIT && cmd->type != COMMAND_ROUND_COMMIT)
        return;
    r->reveal = grown(r->reveal, r->reveals, &r->reveal_cap, sizeof *r->reveal);
    r->reveal[r->reveals++] = (struct reveal){
        cmd->type == COMMAND_TASK_COMMIT ? cmd->task_commit.lease : cmd->round_commit.lease,
        cmd->type == COMMAND_TASK_COMMIT ? cmd->task_commit.salt : cmd->round_commit.salt,
        entry,
    };
}

struct retelling *retelling_open(const struct history *base)
{
    struct retelling *r = calloc(1, sizeof *r);
    struct stage stage;
    struct command cmd;
    cx_assert(r && base->count > 0);
    r->base = base;
    bool begins =
        history_decode(&base->entry[0], &cmd) && cmd.type == COMMAND_GENESIS && stage_open(&stage, &cmd.genesis, NULL);
    cx_assert(begins);
    for (uint32_t i = 0; i < base->count; i++) {
        if (history_decode(&base->entry[i], &cmd))
            learn_command(r, &cmd, i);
        if (i + 1 == base->count)
            break;
        stage_apply(&stage, &base->entry[i]);
        struct birth birth;
        for (uint32_t k = 0; k < stage.out.count; k++)
            if (birth_of(&stage.out.event[k], &birth))
                learn_birth(r, &stage.out.event[k], &birth, i);
    }
    stage_close(&stage);
    return r;
}

void retelling_close(struct retelling *r)
{
    if (!r)
        return;
    free(r->thing);
    free(r->reveal);
    free(r->beat);
    free(r);
}

/* ---- what is told now ---- */

static uint32_t told_thing(const struct retelling *r, enum thing_kind kind, uint64_t now_id)
{
    for (uint32_t i = r->things; i > 0; i--)
        if (r->thing[i - 1].kind == kind && r->thing[i - 1].now_id == now_id)
            return i - 1;
    return NO_THING;
}

static uint32_t told_children(const struct retelling *r, uint32_t parent)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->things; i++)
        count += r->thing[i].kind == THING_LEASE && r->thing[i].parent == parent && r->thing[i].now_id != 0;
    return count;
}

/* The thing of the base that this birth is now. */
static uint32_t matching(const struct retelling *r, const struct event *e, const struct birth *b, uint32_t entry)
{
    uint32_t parent = NO_THING, number = 0;
    if (b->kind == THING_LEASE) {
        parent = told_thing(r, is_of_round(e) ? THING_ROUND : THING_TASK, b->parent);
        number = told_children(r, parent);
    }
    if (b->kind == THING_AUDIT)
        parent = told_thing(r, THING_LEASE, b->parent);
    if ((b->kind == THING_LEASE || b->kind == THING_AUDIT) && parent == NO_THING)
        return NO_THING;
    for (uint32_t i = 0; i < r->things; i++) {
        const struct thing *t = &r->thing[i];
        bool same = t->kind == b->kind && t->now_id == 0;
        if (b->kind == THING_LEASE)
            same &= t->parent == parent && t->number == number;
        else if (b->kind == THING_AUDIT)
            same &= t->parent == parent;
        else if (b->kind == THING_ROUND)
            same &= t->number == r->rounds_told;
        else
            same &= t->entry == entry;
        if (same)
            return i;
    }
    return NO_THING;
}

static void hear(struct retelling *r, const struct event *e, uint32_t entry)
{
    struct birth b;
    if (!birth_of(e, &b) || told_thing(r, b.kind, b.id) != NO_THING)
        return;
    uint32_t at = matching(r, e, &b, entry);
    r->rounds_told += b.kind == THING_ROUND;
    if (at == NO_THING)
        return;
    struct thing *t = &r->thing[at];
    t->now_id = b.id;
    t->now_session = b.kind == THING_LEASE ? r->thing[t->parent].now_session : b.session;
    t->now_seed = b.seed;
    t->now_node = b.node;
}

static void rename_id(const struct retelling *r, enum thing_kind kind, uint64_t *id)
{
    uint32_t at = thing_of(r, kind, *id);
    if (at != NO_THING && r->thing[at].now_id != 0)
        *id = r->thing[at].now_id;
}

/* Which fields of commands name things. */
static bool kind_of_field(const struct field *f, enum thing_kind *ret_kind)
{
    static const struct {
        const char *name;
        enum thing_kind kind;
    } names[] = {
        {"model", THING_MODEL},           {"session", THING_SESSION}, {"task", THING_TASK},
        {"lease", THING_LEASE},           {"round", THING_ROUND},     {"audit", THING_AUDIT},
        {"withdrawal", THING_WITHDRAWAL},
    };
    for (size_t i = 0; f->type == FIELD_u64 && i < ARRAY_COUNT(names); i++)
        if (strcmp(names[i].name, f->name) == 0) {
            *ret_kind = names[i].kind;
            return true;
        }
    return false;
}

static void rename_fields(const struct retelling *r, struct command *cmd)
{
    const struct command_info *info = command_find((uint32_t)cmd->type);
    enum thing_kind kind;
    for (uint32_t i = 0; i < info->fields.count; i++) {
        uint64_t id;
        void *at = (uint8_t *)&cmd->genesis + info->fields.field[i].offset;
        if (!kind_of_field(&info->fields.field[i], &kind))
            continue;
        memcpy(&id, at, sizeof id);
        rename_id(r, kind, &id);
        memcpy(at, &id, sizeof id);
    }
}

/* The record with the lease's present seed, where it had the lease's seed before. */
static struct span record_now(const struct thing *lease, struct span record, uint8_t ret_bytes[RECORD_SIZE_MAX])
{
    struct record parts;
    if (lease->now_id == 0 || !record_decode(record, &parts) || parts.seed != lease->seed)
        return record;
    parts.seed = lease->now_seed;
    return (struct span){ret_bytes, record_encode(&parts, ret_bytes, RECORD_SIZE_MAX)};
}

/* The precommit of the reveal that follows in the base, if it was honest. */
static void precommit_now(const struct retelling *r, const struct thing *lease, struct hash *precommit)
{
    if (lease->parent == NO_THING)
        return;
    const struct thing *of = &r->thing[lease->parent];
    uint64_t network = 0;
    struct command genesis;
    if (history_decode(&r->base->entry[0], &genesis))
        network = genesis.genesis.network_id;
    for (uint32_t i = 0; i < r->reveals; i++) {
        struct command cmd;
        struct hash was;
        uint8_t bytes[RECORD_SIZE_MAX];
        if (r->reveal[i].lease != lease->id || !history_decode(&r->base->entry[r->reveal[i].entry], &cmd))
            continue;
        struct span record = cmd.type == COMMAND_TASK_COMMIT ? cmd.task_commit.record : cmd.round_commit.record;
        struct precommit_terms terms = {network, lease->session, of->id, lease->id, lease->node, r->reveal[i].salt};
        precommit_hash(&terms, record, &was);
        if (!hash_eq(&was, precommit))
            continue;
        terms = (struct precommit_terms){network,       lease->now_session, of->now_id,
                                         lease->now_id, lease->now_node,    r->reveal[i].salt};
        precommit_hash(&terms, record_now(lease, record, bytes), precommit);
        return;
    }
}

/* k-th heartbeat of an oracle that is told: the k-th value of its chain. */
static void beat_now(const struct retelling *r, struct command *cmd, uint32_t told)
{
    for (uint32_t i = 0; i < r->beats; i++)
        if (address_eq(&r->beat[i].oracle, &cmd->signer[0]) && told-- == 0) {
            cmd->oracle_heartbeat.preimage = r->beat[i].preimage;
            return;
        }
}

/* How many heartbeats of this oracle were told before; one more now. */
static uint32_t count_beat(struct retelling *r, const struct address *oracle)
{
    for (uint32_t i = 0; i < r->oracles; i++)
        if (address_eq(&r->oracle[i].address, oracle))
            return r->oracle[i].told++;
    if (r->oracles == ORACLES_MAX)
        return 0;
    r->oracle[r->oracles].address = *oracle;
    r->oracle[r->oracles++].told = 1;
    return 0;
}

static void translate(struct retelling *r, struct command *cmd, uint8_t record[RECORD_SIZE_MAX])
{
    uint32_t lease = NO_THING;
    if (cmd->type == COMMAND_TASK_PRECOMMIT || cmd->type == COMMAND_TASK_COMMIT ||
        cmd->type == COMMAND_ROUND_PRECOMMIT || cmd->type == COMMAND_ROUND_COMMIT)
        lease = thing_of(r, THING_LEASE, cmd->task_commit.lease);  // the first field of all four
    if (cmd->type == COMMAND_ORACLE_HEARTBEAT && cmd->signer_count > 0)
        beat_now(r, cmd, count_beat(r, &cmd->signer[0]));
    rename_fields(r, cmd);
    if (lease == NO_THING || r->thing[lease].now_id == 0)
        return;
    struct thing *t = &r->thing[lease];
    for (uint32_t i = 0; i < cmd->signer_count; i++)
        if (address_eq(&cmd->signer[i], &t->node))
            cmd->signer[i] = t->now_node;
    if (cmd->type == COMMAND_TASK_PRECOMMIT)
        precommit_now(r, t, &cmd->task_precommit.precommit);
    if (cmd->type == COMMAND_ROUND_PRECOMMIT)
        precommit_now(r, t, &cmd->round_precommit.precommit);
    if (cmd->type == COMMAND_TASK_COMMIT)
        cmd->task_commit.record = record_now(t, cmd->task_commit.record, record);
    if (cmd->type == COMMAND_ROUND_COMMIT)
        cmd->round_commit.record = record_now(t, cmd->round_commit.record, record);
}

void retell(struct retelling *r, const bool *kept, struct stage *stage, const struct retell_ear *ear)
{
    struct history out = {0};
    r->rounds_told = r->oracles = 0;
    for (uint32_t i = 0; i < r->things; i++)
        r->thing[i].now_id = 0;
    for (uint32_t i = 0; i < r->base->count; i++) {
        const struct history_entry *e = &r->base->entry[i];
        struct command cmd;
        uint8_t record[RECORD_SIZE_MAX];
        if (kept && !kept[i])
            continue;
        history_cut(&out, 0);
        if (history_decode(e, &cmd)) {
            translate(r, &cmd, record);
            history_add(&out, &cmd);
        } else {
            history_add_bytes(&out, e->time_ms, &e->author, (struct span){e->bytes, e->size});
        }
        out.entry[0].batch_end = e->batch_end;
        ear->before(ear->ctx, &out.entry[0]);
        stage_apply(stage, &out.entry[0]);
        ear->after(ear->ctx, &out.entry[0]);
        for (uint32_t k = 0; k < stage->out.count; k++)
            hear(r, &stage->out.event[k], i);
        if (stage->check && stage->check->failed)
            break;
    }
    history_done(&out);
}

/* The worlds, and what could happen next in one. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/small.h"

#define SMALL_ACK_MS       1000
#define SMALL_PRECOMMIT_MS 2000
#define SMALL_COMMIT_MS    1000
#define SMALL_TOTAL_MS     5000
#define SMALL_DRAIN_MS     1000
#define NONCE_SUBMIT       10  // and the task's number
#define NONCE_CANCEL       20
#define NONCE_CLOSE        30
#define NONCE_LEAVE        3
#define NONCE_PROBE        40  // never kept

// clang-format off
static const struct small_world world[] = {
    {"calm", "two tasks of redundancy 1, and nothing else",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     0, 2, 1, 1, 2, 0, VALIDATION_HASH, 40},
    {"pair", "two tasks of redundancy 2 for two nodes with a slot each, and nothing else",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000, .slots = 1},
     0, 2, 2, 2, 2, 0, VALIDATION_HASH, 9},
    {"one", "two tasks of redundancy 1, and what miners and clients do",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_CANCEL | SMALL_DECLINE | SMALL_FAULT | SMALL_WRONG | SMALL_STREAM | SMALL_CLOSE,
     2, 1, 1, 2, 0, VALIDATION_HASH, 5},
    {"two", "two tasks of redundancy 2, and what miners and clients do",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_CANCEL | SMALL_FAULT | SMALL_WRONG | SMALL_DECLINE,
     2, 2, 2, 2, 0, VALIDATION_HASH, 4},
    {"alone", "one task of redundancy 2, and what miners and clients do",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_CANCEL | SMALL_FAULT | SMALL_WRONG | SMALL_STREAM,
     1, 2, 2, 2, 0, VALIDATION_HASH, 7},
    {"lean", "two tasks of redundancy 2 for two nodes with a slot each, of which one may do",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000, .slots = 1},
     SMALL_DECLINE, 2, 2, 1, 2, 0, VALIDATION_HASH, 8},
    {"majority", "two tasks of redundancy 2 that must agree",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_TEXTS | SMALL_WRONG | SMALL_CANCEL,
     2, 2, 2, 2, 0, VALIDATION_MAJORITY, 5},
    {"verdict", "one task of redundancy 2 whose answers must agree",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_TEXTS | SMALL_WRONG,
     1, 2, 2, 3, 0, VALIDATION_MAJORITY, 40},
    {"single", "majority of one",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_TEXTS | SMALL_STREAM | SMALL_FAULT,
     2, 1, 1, 3, 0, VALIDATION_MAJORITY, 5},
    {"presence", "miners come and go",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_PRESENCE | SMALL_LEAVE | SMALL_CLOSE,
     2, 1, 1, 2, 0, VALIDATION_HASH, 5},
    {"audit", "the answer is audited",
     {.routers = 1,
      .oracles = 2,
      .miners = 2,
      .heartbeat_ms = 60000,
      .pending_bp = 10000,
      .audit_ms = 4000,
      .stake = 1000},
     SMALL_AUDITS,
     1,
     1,
     1,
     1,
     10000,
     VALIDATION_HASH,
     9},
    {"audits", "every answer is audited",
     {.routers = 1, .oracles = 2, .miners = 2, .heartbeat_ms = 60000, .pending_bp = 10000, .audit_ms = 4000,
      .stake = 1000},
     SMALL_AUDITS | SMALL_WRONG,
     2, 1, 1, 2, 10000, VALIDATION_HASH, 5},
    {"shared", "a session of the router's, and a payer",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_SHARED | SMALL_CANCEL | SMALL_STREAM | SMALL_PRESENCE, 2, 1, 1, 2, 0, VALIDATION_HASH, 5},
    {"turnover", "a node is tested again after each task",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000},
     SMALL_TURNOVER | SMALL_ROUNDS, 2, 1, 1, 2, 0, VALIDATION_HASH, 8},
    {"closing", "a session is closed under two tasks of redundancy 2",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000, .slots = 1},
     SMALL_CLOSE | SMALL_PRESENCE, 2, 2, 1, 2, 0, VALIDATION_HASH, 6},
    {"routers", "a router falls silent and another adopts",
     {.routers = 2, .oracles = 1, .miners = 2, .heartbeat_ms = 1000},
     SMALL_SILENCE,
     2, 1, 1, 2, 0, VALIDATION_HASH, 7},
    {"rounds", "two nodes are tested, and one task waits for them",
     {.routers = 1, .oracles = 1, .miners = 2, .heartbeat_ms = 60000, .untested = true},
     SMALL_ROUNDS | SMALL_WRONG,
     1, 1, 1, 2, 0, VALIDATION_HASH, 10},
    {"leaders", "two oracles, of which one falls silent",
     {.routers = 1, .oracles = 2, .miners = 1, .heartbeat_ms = 1000, .window_ms = 2000, .untested = true},
     SMALL_ROUNDS | SMALL_LEADERS,
     1, 1, 1, 2, 0, VALIDATION_HASH, 7},
    {0},
};
// clang-format on

const struct small_world *small_worlds(void) { return world; }

struct tiny *small_open(const struct small_world *w, struct check *check)
{
    struct tiny *t = tiny_open(&w->options, check);
    struct command cmd = tiny_signed(COMMAND_SESSION_OPEN, 'U', 1);
    const bool shared = (w->parts & SMALL_SHARED) != 0, turns = (w->parts & SMALL_TURNOVER) != 0;
    cmd.nonce = 1;
    cmd.session_open = (struct cmd_session_open){
        .owner = tiny_address('U', 1),
        .model = t->model,
        .redundancy = (uint8_t)w->redundancy,
        .quorum = (uint8_t)w->quorum,
        .nodes_min = (uint16_t)(turns ? 1 : w->options.miners),
        .nodes_max = (uint16_t)w->options.miners,
        .reserve_ms = 3600000,
        .tasks_per_node_max = turns ? 1 : 3,
        .validation = (uint8_t)w->validation,
        .audit_bp = (uint16_t)w->audit_bp,
        .price_in_max = 1000000,
        .price_out_max = 2000000,
        .priority = 5,
        .tokens_max = 8,
        .attempts_max = (uint8_t)w->attempts,
        .ack_ms = SMALL_ACK_MS,
        .precommit_ms = SMALL_PRECOMMIT_MS,
        .commit_ms = SMALL_COMMIT_MS,
        .total_ms = SMALL_TOTAL_MS,
        .open_ms = 3000,
        .drain_ms = SMALL_DRAIN_MS,
        .escrow = amount_of(shared ? 0 : 1000000),
    };
    if (shared) {
        cmd.signer_count = 0;
        cmd.session_open.owner = tiny_address('R', 1);
        cmd.session_open.shared = 1;
        cmd.session_open.pays = PAYS_PAYER;
    }
    enum verdict verdict = tiny_append(t, &cmd);
    cx_assert(verdict == VERDICT_ACCEPTED);
    return t;
}

/* ---- the list of moves ---- */

struct moves {
    const struct small_world *world;
    struct tiny *t;
    struct move *move;
    uint32_t count;
    uint64_t next_ms;  // the ledger's, when something is due
    bool due;          // something is now: what it brings about comes first
};

static struct move *add(struct moves *m, const struct command *cmd, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static struct move *add(struct moves *m, const struct command *cmd, const char *format, ...)
{
    cx_assert(m->count < SMALL_MOVES_MAX);
    struct move *move = &m->move[m->count++];
    memset(move, 0, sizeof *move);
    move->cmd = *cmd;
    va_list args;
    va_start(args, format);
    vsnprintf(move->name, sizeof move->name, format, args);
    va_end(args);
    return move;
}

/* Refused whatever the state; by this name, unless what is due comes between. */
static void refuse(const struct moves *m, struct move *move, enum verdict verdict)
{
    move->probe = true;
    move->expects = m->due ? EXPECTS_REFUSED : EXPECTS_VERDICT;
    move->verdict = verdict;
}

static struct move *probe(struct moves *m, const struct command *cmd, enum verdict verdict, const char *name)
{
    struct move *move = add(m, cmd, "%s: %s", name, verdict_name(verdict));
    refuse(m, move, verdict);
    return move;
}

static bool has(const struct moves *m, enum small_part part) { return (m->world->parts & (uint32_t)part) != 0; }

static struct address first_router(void) { return tiny_address('R', 1); }

static uint64_t session_of(const struct moves *m)
{
    struct session_view s;
    uint32_t at = 0;
    return view_session_at(m->t->stage.core, &at, &s) ? s.id : 0;
}

/* ---- tasks ---- */

static struct command submit(const struct moves *m, uint32_t i, uint64_t session)
{
    struct command cmd = tiny_signed(COMMAND_TASK_SUBMIT, 'U', 1);
    cmd.nonce = NONCE_SUBMIT + i;
    cmd.task_submit = (struct cmd_task_submit){
        .payer = tiny_address('U', 1),
        .session = session,
        .reference = tiny_hash('r', i),
        .request_digest = tiny_hash('q', i),
        .prompt_digest = tiny_hash('p', i),
        .prompt_size = 100,
        .priority = PRIORITY_DEFAULT,
        .stream = has(m, SMALL_STREAM),
        .greedy = 1,
    };
    return cmd;
}

static struct command cancel(const struct moves *m, uint64_t task, uint32_t i)
{
    struct command cmd = tiny_signed(COMMAND_TASK_CANCEL, 'U', 1);
    cmd.nonce = NONCE_CANCEL + i;
    cmd.task_cancel = (struct cmd_task_cancel){tiny_address('U', 1), task, has(m, SMALL_STREAM) ? 1 : 0};
    return cmd;
}

static void task_moves(struct moves *m)
{
    struct reference_view r;
    uint64_t session = session_of(m);
    for (uint32_t i = 1; i <= m->world->tasks; i++) {
        struct address payer = tiny_address('U', 1);
        struct hash reference = tiny_hash('r', i);
        struct command cmd = submit(m, i, session);
        if (!view_reference(m->t->stage.core, &payer, &reference, &r)) {
            if (session != 0)
                add(m, &cmd, "submit %u", i);
            return;  // the next one after it: their order tells nothing
        }
        cmd.nonce = NONCE_PROBE;
        probe(m, &cmd, VERDICT_TASK_KNOWN, "submit again");
        cmd = cancel(m, r.task, i);
        if (has(m, SMALL_CANCEL) && !r.ended)
            add(m, &cmd, "cancel %u", i);
        if (r.ended) {
            cmd.nonce = NONCE_PROBE;
            struct move *move = add(m, &cmd, "cancel what has ended");
            move->probe = true;
            move->expects = EXPECTS_REFUSED;
        }
    }
}

/* ---- leases ---- */

static struct command of_lease(enum command_type type, uint64_t lease)
{
    return (struct command){.type = type, .task_ack.lease = lease};  // the lease comes first in all
}

/* Just before something is due it is not too late; when it is due, the deadline checker knows. */
static void around_the_deadline(struct moves *m, const struct move *move)
{
    struct move *late = add(m, &move->cmd, "%.30s at the deadline", move->name);
    late->answer = move->answer;
    late->cmd.time_ms = m->next_ms;
    late->probe = true;
    if (late->cmd.type == COMMAND_TASK_COMMIT || late->cmd.type == COMMAND_ROUND_COMMIT)
        return;  // its record would have to be pointed at anew
    struct move *just = add(m, &move->cmd, "%.30s just in time", move->name);
    just->answer = move->answer;
    just->cmd.time_ms = m->next_ms - 1;
    just->probe = true;
    just->timely = true;
}

static const char *const text[] = {"yes", "noo"};

static void precommit_moves(struct moves *m, const struct assignment_view *a, const struct tiny_place *place)
{
    struct tiny_answer answer;
    uint32_t miner = a->node.b[19], texts = has(m, SMALL_TEXTS) && miner == 2 ? 2 : 1;
    for (uint32_t i = 0; i < texts; i++) {
        tiny_answer(m->t, place, text[i], FINISH_STOP, &answer);
        struct command cmd = tiny_precommit(place, &answer);
        struct move *move = add(m, &cmd, "precommit %s of m%u", text[i], miner);
        if (i == 0)
            around_the_deadline(m, move);
    }
    if (has(m, SMALL_CANCEL)) {
        tiny_answer(m->t, place, text[0], FINISH_CANCELLED, &answer);
        struct command cmd = tiny_precommit(place, &answer);
        add(m, &cmd, "precommit a cancelled answer of m%u", miner);
    }
}

/* Which of the possible answers this lease has precommitted to. */
static bool precommitted(const struct moves *m, const struct assignment_view *a, const struct tiny_place *place,
                         struct tiny_answer *ret)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(text); i++)
        for (uint32_t finish = 0; finish < FINISH_COUNT; finish++) {
            tiny_answer(m->t, place, text[i], (enum finish)finish, ret);
            if (hash_eq(&ret->precommit, &a->precommit))
                return true;
        }
    return false;
}

static struct move *commit_move(struct moves *m, const struct command *cmd, const struct tiny_answer *answer,
                                const char *name)
{
    struct move *move = add(m, cmd, "%s", name);
    move->answer = *answer;
    if (cmd->type == COMMAND_TASK_COMMIT)
        move->cmd.task_commit.record.data = move->answer.record;
    else
        move->cmd.round_commit.record.data = move->answer.record;
    return move;
}

static void reveal_moves(struct moves *m, const struct assignment_view *a, const struct tiny_place *place,
                         const struct task_view *task)
{
    struct tiny_answer answer;
    char name[40];
    if (!precommitted(m, a, place, &answer))
        return;
    bool streams = a->primary && task->stream;
    struct command cmd = tiny_commit(place, &answer, streams);
    snprintf(name, sizeof name, "reveal of m%u", a->node.b[19]);
    struct move *move = commit_move(m, &cmd, &answer, name);
    /* What is due may end the wait for the others. */
    if (task->state != TASK_PRECOMMITTED && !m->due && !has(m, SMALL_CANCEL)) {
        refuse(m, move, VERDICT_REVEAL_EARLY);
        return;
    }
    move = commit_move(m, &cmd, &answer, "reveal at the deadline");
    move->cmd.time_ms = m->next_ms;
    move->probe = true;
    move = commit_move(m, &cmd, &answer, "reveal just in time");
    move->cmd.time_ms = m->next_ms - 1;
    move->probe = move->timely = true;
    if (has(m, SMALL_WRONG)) {
        cmd.task_commit.salt.b[0] ^= 1;
        commit_move(m, &cmd, &answer, "reveal with a wrong salt");
        cmd.task_commit.salt.b[0] ^= 1;
        cmd.task_commit.checks_failed = CHECK_USAGE;
        commit_move(m, &cmd, &answer, "reveal that the router found wrong");
        cmd.task_commit.checks_failed = 0;
    }
    if (has(m, SMALL_STREAM) && streams) {
        cmd.task_commit.relayed_head.b[0] ^= 1;
        commit_move(m, &cmd, &answer, "reveal of another stream");
    }
}

/* What is refused whatever the state. */
static void lease_probes(struct moves *m, const struct assignment_view *a, const struct tiny_place *place,
                         const struct task_view *task)
{
    const uint64_t stale = a->lease - LEASE_OF(1, 0);
    struct command cmd = of_lease(COMMAND_TASK_ACK, stale);
    cmd.author = task->router;
    probe(m, &cmd, VERDICT_LEASE_STALE, "ack of a stale lease");
    cmd = of_lease(COMMAND_TASK_COMMIT, stale);
    cmd.author = task->router;
    probe(m, &cmd, VERDICT_LEASE_STALE, "reveal of a stale lease");
    cmd = of_lease(COMMAND_TASK_ACK, a->lease);
    cmd.author = tiny_address('R', 9);
    probe(m, &cmd, VERDICT_AUTHOR_UNKNOWN, "ack by a stranger");
    if (m->world->options.routers > 1) {
        cmd.author = tiny_address('R', task->router.b[19] == 1 ? 2 : 1);
        probe(m, &cmd, VERDICT_NOT_TASK_ROUTER, "ack by another router");
        cmd.type = COMMAND_TASK_FAULT;
        cmd.task_fault.cause = CAUSE_ENGINE;
        probe(m, &cmd, VERDICT_NOT_TASK_ROUTER, "fault by another router");
    }
    struct tiny_answer answer;
    tiny_answer(m->t, place, text[0], FINISH_STOP, &answer);
    cmd = tiny_precommit(place, &answer);
    cmd.signer[0] = tiny_address('M', a->node.b[19] == 1 ? 2 : 1);
    probe(m, &cmd, VERDICT_NOT_AUTHORIZED, "precommit by another node");
    if (a->state == ASSIGNMENT_PRECOMMITTED) {
        cmd = tiny_precommit(place, &answer);
        cmd.task_precommit.precommit = a->precommit;
        struct move *move = add(m, &cmd, "precommit again");
        move->probe = true;
        move->expects = m->due ? EXPECTS_ANY : EXPECTS_NOTHING_NEW;
        cmd.task_precommit.precommit.b[0] ^= 1;
        probe(m, &cmd, VERDICT_PRECOMMIT_KNOWN, "another precommit");
    }
    if (a->state != ASSIGNMENT_OFFERED) {
        cmd = of_lease(COMMAND_TASK_ACK, a->lease);
        cmd.author = task->router;
        probe(m, &cmd, VERDICT_ASSIGNMENT_STATE, "ack again");
        cmd.type = COMMAND_TASK_DECLINE;
        probe(m, &cmd, VERDICT_ASSIGNMENT_STATE, "late decline");
    }
    if (a->state < ASSIGNMENT_PRECOMMITTED || a->state == ASSIGNMENT_COMMITTED) {
        cmd = tiny_commit(place, &answer, false);
        cmd.author = task->router;
        refuse(m, commit_move(m, &cmd, &answer, "reveal without precommit, or again"), VERDICT_ASSIGNMENT_STATE);
    }
}

static void lease_moves(struct moves *m, const struct task_view *task, const struct assignment_view *a)
{
    const struct tiny_place place = {a->session, a->task, a->lease, a->seed, a->node, task->request_digest};
    uint32_t miner = a->node.b[19], from = m->count;
    if (a->state == ASSIGNMENT_OFFERED) {
        struct command cmd = of_lease(COMMAND_TASK_ACK, a->lease);
        around_the_deadline(m, add(m, &cmd, "ack of m%u", miner));
        cmd.type = COMMAND_TASK_DECLINE;
        cmd.task_decline.reason = DECLINE_BUSY;
        if (has(m, SMALL_DECLINE))
            add(m, &cmd, "decline of m%u", miner);
    }
    if (a->state == ASSIGNMENT_OFFERED || a->state == ASSIGNMENT_ACKED) {
        struct command cmd = of_lease(COMMAND_TASK_FAULT, a->lease);
        cmd.task_fault.cause = CAUSE_ENGINE;
        if (has(m, SMALL_FAULT))
            add(m, &cmd, "engine fault of m%u", miner);
        cmd.task_fault.cause = CAUSE_SILENT;
        if (has(m, SMALL_FAULT))
            add(m, &cmd, "silence of m%u", miner);
        precommit_moves(m, a, &place);
    }
    if (a->state == ASSIGNMENT_PRECOMMITTED)
        reveal_moves(m, a, &place, task);
    if (has(m, SMALL_STREAM) && a->state != ASSIGNMENT_OFFERED) {
        struct command cmd = of_lease(COMMAND_TASK_STREAMS, a->lease);
        add(m, &cmd, "first token of m%u", miner);
        cmd.type = COMMAND_TASK_PRIMARY;
        add(m, &cmd, "primary is m%u", miner);
    }
    for (uint32_t i = from; i < m->count; i++)
        if (m->move[i].cmd.type != COMMAND_TASK_PRECOMMIT)
            m->move[i].cmd.author = task->router;
    lease_probes(m, a, &place, task);
}

static void assignment_moves(struct moves *m)
{
    struct task_view task;
    struct assignment_view a;
    for (uint32_t at = 0; view_task_at(m->t->stage.core, &at, &task);)
        for (uint32_t of = 0; view_assignment_of(m->t->stage.core, task.id, &of, &a);)
            lease_moves(m, &task, &a);
}

/* ---- nodes and sessions ---- */

static void presence_moves(struct moves *m)
{
    struct node_view node;
    for (uint32_t i = 1; i <= m->world->options.miners; i++) {
        struct address address = tiny_address('M', i);
        if (!view_node(m->t->stage.core, &address, &node))
            continue;
        struct command cmd = {.type = COMMAND_NODE_DETACH};
        cmd.node_detach = (struct cmd_node_detach){address, 0, DETACH_CLOSED};
        if (node.links > 0) {
            cmd.node_detach.link = node.link[0].link;
            add(m, &cmd, "m%u detaches", i);
            cmd.node_detach.link--;
            probe(m, &cmd, VERDICT_LINK_STALE, "detach of an old link");
        } else {
            cmd = (struct command){.type = COMMAND_NODE_ATTACH};
            cmd.node_attach = (struct cmd_node_attach){address, 2 + (uint32_t)core_now_ms(m->t->stage.core)};
            add(m, &cmd, "m%u attaches", i);
        }
        if (has(m, SMALL_LEAVE)) {
            cmd = tiny_signed(COMMAND_NODE_LEAVE, 'M', i);
            cmd.nonce = NONCE_LEAVE;
            cmd.node_leave.node = address;
            add(m, &cmd, "m%u leaves", i);
        }
    }
}

static void session_moves(struct moves *m)
{
    struct command cmd = tiny_signed(COMMAND_SESSION_CLOSE, 'U', 1);
    cmd.nonce = NONCE_CLOSE;
    cmd.session_close = (struct cmd_session_close){tiny_address('U', 1), session_of(m)};
    if (cmd.session_close.session != 0)
        add(m, &cmd, "close");
}

static void adopt_moves(struct moves *m)
{
    struct task_view task;
    for (uint32_t at = 0; view_task_at(m->t->stage.core, &at, &task);) {
        struct command cmd = {.type = COMMAND_TASK_ADOPT, .author = tiny_address('R', 2)};
        cmd.task_adopt.task = task.id;
        add(m, &cmd, "r2 adopts");
    }
}

/* ---- rounds and audits ---- */

static void place_moves(struct moves *m, const struct round_view *r, const struct round_place_view *p)
{
    const struct tiny_place place = {0, r->id, p->lease, p->seed, p->node, r->request_digest};
    struct tiny_answer answer;
    uint32_t miner = p->node.b[19];
    if (address_is_zero(&p->node) || p->lease == 0)
        return;
    tiny_answer(m->t, &place, text[0], FINISH_STOP, &answer);
    struct command cmd = {.type = COMMAND_ROUND_ACK, .round_ack.lease = p->lease};
    add(m, &cmd, "round ack of m%u", miner);
    cmd = tiny_precommit(&place, &answer);
    add(m, &cmd, "round precommit of m%u", miner);
    cmd.signer[0] = tiny_address('M', miner == 1 ? 2 : 1);
    probe(m, &cmd, VERDICT_NOT_AUTHORIZED, "round precommit by another node");
    cmd = tiny_commit(&place, &answer, false);
    struct move *move = commit_move(m, &cmd, &answer, "round reveal");
    if (r->state == ROUND_STARTED) {
        move->expects = EXPECTS_REFUSED;
        move->probe = true;
    } else if (has(m, SMALL_WRONG)) {
        cmd.round_commit.salt.b[0] ^= 1;
        commit_move(m, &cmd, &answer, "round reveal with a wrong salt");
    }
    for (uint32_t o = 1; o <= m->world->options.oracles; o++) {
        cmd = tiny_signed(COMMAND_ROUND_VERDICT, 'O', o);
        cmd.round_verdict = (struct cmd_round_verdict){p->lease, LAYER_HELD, LAYER_HELD, 4096, {{0}}};
        add(m, &cmd, "o%u finds m%u right", o, miner);
        cmd.round_verdict.right = LAYER_BROKEN;
        if (has(m, SMALL_WRONG))
            add(m, &cmd, "o%u finds m%u wrong", o, miner);
    }
}

static void round_moves(struct moves *m)
{
    struct round_view r;
    for (uint32_t at = 0; view_round_at(m->t->stage.core, &at, &r);) {
        for (uint32_t o = 1; o <= m->world->options.oracles; o++) {
            struct command cmd = {.type = COMMAND_ROUND_CREATE, .round_create.round = r.id};
            if (r.state == ROUND_CREATED)
                cmd = tiny_round_prepare(r.id);
            else if (r.state == ROUND_PREPARED)
                cmd = tiny_round_start(r.id);
            cmd.signer_count = 1;
            cmd.signer[0] = tiny_address('O', o);
            if (r.state <= ROUND_PREPARED)
                add(m, &cmd, "o%u leads round on", o);
            cmd = tiny_signed(COMMAND_ROUND_ABORT, 'O', o);
            cmd.round_abort = (struct cmd_round_abort){r.id, ABORT_NO_ENGINE};
            add(m, &cmd, "o%u aborts", o);
        }
        for (uint32_t i = 0; i < r.places; i++)
            place_moves(m, &r, &r.place[i]);
    }
}

static void audit_moves(struct moves *m)
{
    struct audit_view a;
    for (uint32_t o = 1; o <= m->world->options.oracles; o++) {
        struct command cmd = tiny_oracle_beat(m->t, o);
        add(m, &cmd, "beacon of o%u", o);
    }
    for (uint32_t at = 0; view_audit_at(m->t->stage.core, &at, &a);)
        for (uint32_t o = 1; o <= m->world->options.oracles; o++) {
            struct command cmd = tiny_signed(COMMAND_AUDIT_ASK, 'O', o);
            cmd.audit_ask.audit = a.id;
            if (a.state == AUDIT_DRAWN && address_eq(&a.oracle, &cmd.signer[0]))
                add(m, &cmd, "o%u asks", o);
            else if (a.state == AUDIT_DRAWN)
                probe(m, &cmd, VERDICT_NOT_AUTHORIZED, "another oracle asks");
            cmd.type = COMMAND_AUDIT_VERDICT;
            for (uint8_t finding = FINDING_PASS; finding <= FINDING_UNMEASURABLE; finding++) {
                cmd.audit_verdict = (struct cmd_audit_verdict){.audit = a.id, .finding = finding};
                if (a.state == AUDIT_ASKED)
                    add(m, &cmd, "o%u: %s", o, term_name(TERM_audit_finding, finding));
            }
        }
}

/* ---- time ---- */

/* Nothing is under way that time would end. */
static bool is_at_rest(const struct moves *m)
{
    const uint32_t restless =
        SMALL_TURNOVER | SMALL_PRESENCE | SMALL_LEAVE | SMALL_CLOSE | SMALL_ROUNDS | SMALL_SILENCE | SMALL_LEADERS;
    struct network_view network;
    view_network(m->t->stage.core, &network);
    return network.tasks_live == 0 && network.audits_live == 0 && (m->world->parts & restless) == 0;
}

static void time_moves(struct moves *m)
{
    const struct command none = {0};
    if (is_at_rest(m))
        return;
    add(m, &none, "time passes");
    if (has(m, SMALL_LEAVE)) {  // the core's clock goes along only so far
        const struct command leap = {.type = COMMAND_TICK, .time_ms = m->next_ms + 2 * CLOCK_STEP_MS_MAX};
        add(m, &leap, "the ledger's clock leaps")->probe = true;
    }
    if (has(m, SMALL_SILENCE))
        add(m, &none, "time passes without r1")->hush.routers = 1;
    if (has(m, SMALL_LEADERS)) {
        add(m, &none, "time passes without o1")->hush.oracles = 1;
        add(m, &none, "time passes without any oracle")->hush.oracles = 3;
    }
}

uint32_t small_moves(const struct small_world *w, struct tiny *t, struct move ret_move[SMALL_MOVES_MAX])
{
    struct moves m = {w, t, ret_move, 0, tiny_next_ms(t), false};
    m.due = core_next_tick_ms(t->stage.core) <= core_now_ms(t->stage.core);
    task_moves(&m);
    assignment_moves(&m);
    if (has(&m, SMALL_PRESENCE))
        presence_moves(&m);
    if (has(&m, SMALL_CLOSE))
        session_moves(&m);
    if (has(&m, SMALL_SILENCE))
        adopt_moves(&m);
    if (has(&m, SMALL_ROUNDS))
        round_moves(&m);
    if (has(&m, SMALL_AUDITS))
        audit_moves(&m);
    time_moves(&m);
    for (uint32_t i = 0; i < m.count; i++)
        if (address_is_zero(&m.move[i].cmd.author))
            m.move[i].cmd.author = first_router();
    return m.count;
}

/* Who cheats in a simulated network: on a computer each, as many of each kind as the swarm says. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sim/adversary.h"
#include "sim/observe.h"
#include "sim/roles.h"
#include "sim/score.h"

#define CHEATS_MAX        (2 * ADVERSARY_COUNT)
#define STAKE             1000
#define PERCENT_MIN       30
#define EVERY_MS_MIN      50
#define EVERY_MS_MAX      1500
#define EVERY_MS_NOISE    3000      // more, where each is megabytes
#define SETTLE_US_MAX     12000000  // for cheats to come to serve, before anybody asks
#define SETTLE_STEP_US    50000
#define SILENT_US_MIN     4000000  // of a router that stops
#define SILENT_US_MAX     20000000
#define STALE_OPEN_US_MAX 5000000  // until a second program takes a router's epoch
#define STALE_SAY_US      3000000  // until it says something under it
#define SILENT_BEGIN_US   8000000

/* What the members of each kind of miner do; each member does one of these. Zero: no miner. */
static const uint32_t cheats_of[ADVERSARY_COUNT] = {
    [ADVERSARY_SILENT] = CHEAT_MUTE | CHEAT_STALL | CHEAT_FAULT,
    [ADVERSARY_SLOW] = CHEAT_LATE,
    [ADVERSARY_COPY] = CHEAT_COPY_HASH,
    [ADVERSARY_WRONG_REVEAL] = CHEAT_REVEAL_OTHER | CHEAT_REVEAL_EARLY | CHEAT_STREAM_OTHER,
    [ADVERSARY_NEVER_REVEAL] = CHEAT_REVEAL_NONE,
    [ADVERSARY_CHALLENGE_ONLY] = CHEAT_OTHER_TEXT,
    [ADVERSARY_COLLUDE] = CHEAT_RING_TEXT,
    [ADVERSARY_OVERCHARGE] = CHEAT_TOKENS_TEXT | CHEAT_TOKENS_MAX | CHEAT_TOKENS_FEW | CHEAT_TOKENS_IN,
    [ADVERSARY_REPLAY] = CHEAT_AGAIN | CHEAT_OLD_LINK | CHEAT_OLD_HELLO | CHEAT_SUBMIT_AGAIN,
    [ADVERSARY_FORGE] = CHEAT_SIGN_OTHER | CHEAT_SIGN_NONE | CHEAT_OTHER_HELLO | CHEAT_SUBMIT_OTHER | CHEAT_FOREIGN,
    [ADVERSARY_DECLINE] = CHEAT_DECLINE,
    [ADVERSARY_NOISE] = CHEAT_GARBAGE | CHEAT_OVERSIZED | CHEAT_FLOOD,
    [ADVERSARY_FLAP] = CHEAT_FLAP,
};
static const uint32_t oracle_cheats_of[ADVERSARY_COUNT] = {
    [ADVERSARY_LYING_ORACLE] = ORACLE_CHEAT_LIE,
    [ADVERSARY_ABSENT_LEADER] = ORACLE_CHEAT_ABSENT,
    [ADVERSARY_DICE] = ORACLE_CHEAT_WITHHOLD | ORACLE_CHEAT_OLD_PREIMAGE,
    [ADVERSARY_MEDDLER] = ORACLE_CHEAT_USURP | ORACLE_CHEAT_TWICE | ORACLE_CHEAT_OTHER_CHALLENGE,
};

/* Those that let time pass: each task that they get takes its deadlines, and there may be many. When the network heals
 * they are gone; the others go on. */
#define IDLERS                                                                                       \
    (CHEAT_MUTE | CHEAT_STALL | CHEAT_LATE | CHEAT_COPY_HASH | CHEAT_COPY_TEXT | CHEAT_REVEAL_NONE | \
     CHEAT_SIGN_OTHER | CHEAT_STREAM_OTHER)

/* One that cheats, on its computer. */
struct cheater {
    struct adversaries *of;
    struct computer *computer;
    enum adversary_kind kind;
    uint32_t number;  // of its key
    uint32_t at;      // its cheat: a row of the scores
    uint32_t router;  // that it dials
    uint32_t percent, every_ms;
    uint64_t seed;
    const struct key *operator;
    struct adversary_miner *miner;  // NULL: down, or none
    struct adversary_oracle *oracle;
    struct adversary_client *client;
    struct ledger *ledger;  // of a stale router
    uint32_t starts;        // of the router whose epoch it took, then
    struct net_timer timer;
    uint64_t score[SCORE_COUNT], oracle_score[ORACLE_SCORE_COUNT];
};

struct adversaries {
    struct sim *sim;
    struct sim_observer observer;
    uint64_t seen_seq;
    bool counts;  // the entry that is being told is a new one
    struct cheater cheater[CHEATS_MAX];
    uint32_t count, miners, oracles;
    struct sim_event silence;
    uint64_t other[OTHER_SCORE_COUNT];
};

static const struct core *see_core(void *ctx)
{
    const struct cheater *c = ctx;
    return roles_core(c->of->sim->roles);
}

static const char *router_of(const struct cheater *c) { return c->of->sim->roles->router[c->router].url; }

/* ---- miners ---- */

static void start_miner(void *ctx)
{
    struct cheater *c = ctx;
    const struct adversary_options options = {.loop = c->computer->loop,
                                              .router = router_of(c),
                                              .key = role_key(ROLE_ADVERSARY, c->number),
                                              .operator= c->operator,
                                              .engine = c->of->sim->roles->oracle[0].engine,
                                              .model = SIM_MODEL,
                                              .price_in = SIM_PRICE_IN,
                                              .price_out = SIM_PRICE_OUT,
                                              .stake = amount_of(STAKE),
                                              .cheats = 1u << c->at,
                                              .percent = c->percent,
                                              .every_ms = c->every_ms,
                                              .seed = c->seed,
                                              .ring = 1,
                                              .spy = {.core = see_core, .ctx = c}};
    enum cx_err err = adversary_miner_open(&options, &c->miner);
    cx_assert(!err);
}

static void halt_miner(void *ctx)
{
    struct cheater *c = ctx;
    if (!c->miner)
        return;
    const struct adversary_stats *s = adversary_miner_stats(c->miner);
    c->score[SCORE_CHEATED] += s->cheated + s->mischief + s->again;
    c->score[SCORE_REFUSED] += s->refused;
    c->score[SCORE_VERDICTS] += s->results_bad;
    c->score[SCORE_LINKS] += s->links;
    adversary_miner_close(c->miner);
    c->miner = NULL;
}

/* ---- oracles ---- */

static void start_oracle(void *ctx)
{
    struct cheater *c = ctx;
    const struct adversary_oracle_options options = {.loop = c->computer->loop,
                                                     .router = router_of(c),
                                                     .key = role_key(ROLE_ADVERSARY_ORACLE, c->number),
                                                     .engine = c->of->sim->roles->oracle[0].engine,
                                                     .model = SIM_MODEL,
                                                     .cheats = 1u << c->at,
                                                     .spy = {.core = see_core, .ctx = c}};
    enum cx_err err = adversary_oracle_open(&options, &c->oracle);
    cx_assert(!err);
}

static void halt_oracle(void *ctx)
{
    struct cheater *c = ctx;
    if (!c->oracle)
        return;
    const struct adversary_oracle_stats *s = adversary_oracle_stats(c->oracle);
    uint64_t refused = 0;
    for (uint32_t i = 0; i < VERDICT_COUNT; i++)
        refused += s->refused[i];
    const uint64_t named = s->refused[VERDICT_PREIMAGE_WRONG] + s->refused[VERDICT_NOT_LEADER] +
                           s->refused[VERDICT_NOT_AUTHORIZED] + s->refused[VERDICT_VERDICT_KNOWN] +
                           s->refused[VERDICT_CHALLENGE_DIFFERS];
    c->oracle_score[ORACLE_SCORE_HEARTBEATS] += s->heartbeats;
    c->oracle_score[ORACLE_SCORE_KEPT_BACK] += s->withheld;
    c->oracle_score[ORACLE_SCORE_ROUNDS] += s->rounds;
    c->oracle_score[ORACLE_SCORE_VERDICTS] += s->verdicts + s->audits;
    c->oracle_score[ORACLE_SCORE_LIES] += s->lies;
    c->oracle_score[ORACLE_SCORE_PREIMAGE_WRONG] += s->refused[VERDICT_PREIMAGE_WRONG];
    c->oracle_score[ORACLE_SCORE_NOT_LEADER] += s->refused[VERDICT_NOT_LEADER];
    c->oracle_score[ORACLE_SCORE_NOT_AUTHORIZED] += s->refused[VERDICT_NOT_AUTHORIZED];
    c->oracle_score[ORACLE_SCORE_KNOWN] += s->refused[VERDICT_VERDICT_KNOWN];
    c->oracle_score[ORACLE_SCORE_CHALLENGE_DIFFERS] += s->refused[VERDICT_CHALLENGE_DIFFERS];
    c->oracle_score[ORACLE_SCORE_OTHERWISE] += refused - named;
    adversary_oracle_close(c->oracle);
    c->oracle = NULL;
}

/* ---- clients ---- */

static void start_client(void *ctx)
{
    struct cheater *c = ctx;
    const struct adversary_client_options options = {.loop = c->computer->loop,
                                                     .router = router_of(c),
                                                     .api_key = roles_api_key(SWARM_CLIENTS_MAX - 1),
                                                     .model = SIM_MODEL,
                                                     .every_ms = c->every_ms,
                                                     .seed = c->seed,
                                                     .spy = {.core = see_core, .ctx = c}};
    enum cx_err err = adversary_client_open(&options, &c->client);
    cx_assert(!err);
}

static void halt_client(void *ctx)
{
    struct cheater *c = ctx;
    if (!c->client)
        return;
    const struct adversary_client_stats *s = adversary_client_stats(c->client);
    uint64_t *other = c->of->other;
    other[OTHER_SCORE_REFERENCES] += s->references;
    other[OTHER_SCORE_REFERENCES_HELD] += s->held;
    other[OTHER_SCORE_SPENDERS] += s->spends;
    other[OTHER_SCORE_OVER_BUDGET] += s->short_of;
    other[OTHER_SCORE_LEAVERS] += s->leavers;
    other[OTHER_SCORE_SNOOPS] += s->snoops;
    other[OTHER_SCORE_SNOOPS_REFUSED] += s->unseen;
    if (s->breaches > 0)
        check_fail(&c->of->sim->check, CHECKER_API, 0, "a cheating client: %s", s->breach);
    adversary_client_close(c->client);
    c->client = NULL;
}

/* ---- a second program with a router's key ---- */

static uint64_t wall_ms(void *ctx)
{
    const struct cheater *c = ctx;
    return computer_wall_ms(c->computer);
}

/* It took its epoch before the router was started again: nothing that it says may stand. */
static void stale_said(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    struct cheater *c = ctx;
    struct sim *sim = c->of->sim;
    const struct sim_router *r = &sim->roles->router[c->router];
    cx_maybe(time_ms > 0);
    c->of->other[OTHER_SCORE_FENCED] += err == CX_FENCED;
    if (!err && r->router && r->computer->starts > c->starts)
        check_fail(&sim->check, CHECKER_REPLICAS, seq, "a batch of an epoch that was over stands on the ledger");
}

static void say_stale(void *ctx)
{
    struct cheater *c = ctx;
    const struct command cmd = {.type = COMMAND_TICK};
    uint8_t bytes[ENTRY_SIZE_MAX];
    uint32_t size = command_encode(&cmd, NULL, bytes, sizeof bytes);
    cx_assert(size > 0);
    const struct span entry = {bytes, size};
    const struct ledger_append append = {.router = *key_address(role_key(ROLE_ROUTER, c->router)),
                                         .epoch = ledger_epoch(c->ledger),
                                         .number = 1,
                                         .command = &entry,
                                         .count = 1};
    enum cx_err err = ledger_append(c->ledger, &append, stale_said, c);
    if (!err)
        err = ledger_poll(c->ledger);
    cx_maybe(err);  // the ledger's own trouble is not what is looked for here
}

static void take_epoch(void *ctx)
{
    struct cheater *c = ctx;
    const struct ledger_options options = {.mode = LEDGER_WRITE,
                                           .network = SIM_NETWORK,
                                           .router = *key_address(role_key(ROLE_ROUTER, c->router)),
                                           .now_ms = wall_ms,
                                           .now_ctx = c};
    if (ledger_open(SIM_SHARED_LEDGER, &options, &c->ledger))
        return;
    c->starts = c->of->sim->roles->router[c->router].computer->starts;
    c->of->other[OTHER_SCORE_EPOCHS_TAKEN]++;
    net_timer_start(c->computer->loop, &c->timer, STALE_SAY_US / 1000, say_stale, c);
}

static void start_stale(void *ctx)
{
    struct cheater *c = ctx;
    net_timer_start(c->computer->loop, &c->timer, c->seed % (STALE_OPEN_US_MAX / 1000), take_epoch, c);
}

static void halt_stale(void *ctx)
{
    struct cheater *c = ctx;
    net_timer_stop(&c->timer);
    ledger_close(c->ledger);
    c->ledger = NULL;
}

/* ---- a router that falls silent ---- */

static void fall_silent(void *ctx)
{
    struct adversaries *a = ctx;
    struct sim *sim = a->sim;
    struct computer *c = sim->roles->router[sim_below(sim, SIM_ADVERSARY, sim->swarm.routers)].computer;
    uint64_t down_us = sim_between(sim, SIM_ADVERSARY, SILENT_US_MIN, SILENT_US_MAX);
    if (sim->phase != SIM_FAULTS_ON || !c->up)
        return;
    a->other[OTHER_SCORE_ROUTERS_SILENT]++;
    computer_crash(c, down_us);
}

/* ---- what becomes of them ---- */

static struct cheater *cheater_of(struct adversaries *a, const struct address *node)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (cheats_of[a->cheater[i].kind] &&
            address_eq(key_address(role_key(ROLE_ADVERSARY, a->cheater[i].number)), node))
            return &a->cheater[i];
    return NULL;
}

static void on_entry(void *ctx, const struct sim_router *router, const struct replica_moment *moment)
{
    struct adversaries *a = ctx;
    cx_maybe(router != NULL);
    a->counts = moment->seq > a->seen_seq;
    if (a->counts)
        a->seen_seq = moment->seq;
}

static enum score score_of(const struct evt_assignment_moved *e)
{
    switch ((enum fail_cause)e->cause) {
    case CAUSE_DECLINED: return SCORE_DECLINED;
    case CAUSE_ENGINE: return SCORE_ENGINE;
    case CAUSE_SILENT: return SCORE_SILENT;
    case CAUSE_LATE: return SCORE_LATE;
    case CAUSE_WITHHELD: return SCORE_WITHHELD;
    case CAUSE_WRONG: return SCORE_WRONG;
    case CAUSE_OUTVOTED: return SCORE_OUTVOTED;
    case CAUSE_STREAM_DIFFERS: return SCORE_STREAM_DIFFERS;
    case CAUSE_NONE: return SCORE_ACCEPTED;
    case CAUSE_NO_NODES:
    case CAUSE_POISON:
    case CAUSE_SESSION_CLOSED:
    case CAUSE_CANCELLED:
    case CAUSE_TIMEOUT:
    case CAUSE_NODE_LOST:
    case CAUSE_ROUTER_LOST:
    case CAUSE_NO_VERDICT:
    case CAUSE_PAYLOAD_MISSING:
    case CAUSE_SUPERSEDED:
    case FAIL_CAUSE_COUNT: break;
    }
    return SCORE_RECALLED;
}

static void on_event(void *ctx, const struct sim_router *router, const struct replica_moment *moment,
                     const struct event *e)
{
    struct adversaries *a = ctx;
    struct cheater *c;
    cx_maybe(router && moment);
    if (!a->counts)
        return;
    if (e->type == EVENT_ASSIGNMENT_MOVED && e->assignment_moved.to >= ASSIGNMENT_ACCEPTED &&
        (c = cheater_of(a, &e->assignment_moved.node)))
        c->score[score_of(&e->assignment_moved)]++;
    else if (e->type == EVENT_AUDIT_MOVED && e->audit_moved.to == AUDIT_DECIDED &&
             (c = cheater_of(a, &e->audit_moved.node)))
        c->score[e->audit_moved.finding == FINDING_FLAG ? SCORE_FLAGGED : SCORE_PASSED]++;
    else if (e->type == EVENT_NODE_MOVED && e->node_moved.to == NODE_BANNED && (c = cheater_of(a, &e->node_moved.node)))
        c->score[SCORE_BANNED]++;
    else if (e->type == EVENT_NODE_SLASHED && (c = cheater_of(a, &e->node_slashed.node)))
        c->score[SCORE_SLASHED]++;
}

/* ---- opening ---- */

/* One of the bits. */
static uint32_t pick(struct sim *sim, uint32_t bits)
{
    uint32_t count = 0;
    for (uint32_t left = bits; left; left &= left - 1)
        count++;
    uint64_t skip = sim_below(sim, SIM_ADVERSARY, count);
    while (skip-- > 0)
        bits &= bits - 1;
    uint32_t at = 0;
    while (!(bits & 1u << at))
        at++;
    return at;
}

static void add(struct adversaries *a, enum adversary_kind kind)
{
    struct sim *sim = a->sim;
    struct cheater *c = &a->cheater[a->count];
    char name[COMPUTER_NAME_SIZE];
    struct program program = {start_miner, halt_miner, c};
    cx_assert(a->count < CHEATS_MAX);
    *c = (struct cheater){.of = a, .kind = kind, .router = (uint32_t)sim_below(sim, SIM_ADVERSARY, sim->swarm.routers)};
    c->seed = sim_draw(sim, SIM_ADVERSARY);
    c->percent = (uint32_t)sim_between(sim, SIM_ADVERSARY, PERCENT_MIN, 100);
    c->every_ms = (uint32_t)sim_between(sim, SIM_ADVERSARY, EVERY_MS_MIN, EVERY_MS_MAX);
    if (kind == ADVERSARY_NOISE)
        c->every_ms += EVERY_MS_NOISE;
    if (cheats_of[kind]) {
        c->at = pick(sim, cheats_of[kind]);
        c->number = a->miners++;
        c->operator= role_key(ROLE_ADVERSARY, c->number);
        /* Colluders are of one operator as often as not. */
        if (kind == ADVERSARY_COLLUDE && a->count > 0 && a->cheater[a->count - 1].kind == kind && c->seed % 2 == 0)
            c->operator= a->cheater[a->count - 1].operator;
        c->score[SCORE_PLAYED] = 1;
    } else if (oracle_cheats_of[kind]) {
        program = (struct program){start_oracle, halt_oracle, c};
        c->at = pick(sim, oracle_cheats_of[kind]);
        c->number = a->oracles++;
        c->oracle_score[ORACLE_SCORE_PLAYED] = 1;
    } else if (kind == ADVERSARY_STALE_ROUTER && sim->swarm.shared_ledger) {
        program = (struct program){start_stale, halt_stale, c};
    } else if (kind == ADVERSARY_CLIENT) {
        program = (struct program){start_client, halt_client, c};
    } else {
        return;
    }
    snprintf(name, sizeof name, "%s-%u", adversary_name(kind), a->count);
    c->computer = computer_open(sim, name, &program);
    a->count++;
}

/* Those that play as nodes are in the pool when the first session is opened; who makes noise may never be. */
static bool all_serve(const struct adversaries *a)
{
    const struct core *core = roles_core(a->sim->roles);
    struct node_view node;
    for (uint32_t i = 0; i < a->count && core; i++) {
        const struct cheater *c = &a->cheater[i];
        if (cheats_of[c->kind] && (!view_node(core, key_address(role_key(ROLE_ADVERSARY, c->number)), &node) ||
                                   (node.state != NODE_EPHEMERAL && node.state != NODE_RESERVED)))
            return false;
    }
    return core != NULL;
}

static void settle(struct adversaries *a)
{
    uint64_t until_us = a->sim->now_us + SETTLE_US_MAX;
    while (a->miners > 0 && sim_is_well(a->sim) && a->sim->now_us < until_us && !all_serve(a))
        sim_run_until(a->sim, a->sim->now_us + SETTLE_STEP_US);
}

struct adversaries *adversaries_open(struct sim *sim)
{
    struct adversaries *a = calloc(1, sizeof *a);
    cx_assert(a);
    a->sim = sim;
    a->observer = (struct sim_observer){.ctx = a, .on_entry = on_entry, .on_event = on_event};
    sim_observe(sim, &a->observer);
    for (uint32_t kind = 0; kind < ADVERSARY_COUNT; kind++)
        for (uint32_t i = 0; i < sim->swarm.adversary[kind]; i++)
            add(a, kind);
    for (uint32_t i = 0; i < a->count; i++)
        computer_start(a->cheater[i].computer);
    settle(a);
    if (sim->swarm.adversary[ADVERSARY_SILENT_ROUTER])
        sim_after(sim, &a->silence, sim_below(sim, SIM_ADVERSARY, SILENT_BEGIN_US), NULL, fall_silent, a);
    return a;
}

void adversaries_heal(struct adversaries *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (cheats_of[a->cheater[i].kind] && IDLERS & 1u << a->cheater[i].at)
            computer_halt(a->cheater[i].computer);
}

bool adversaries_rule(const struct sim *sim)
{
    return sim->swarm.adversary[ADVERSARY_LYING_ORACLE] >= sim->swarm.oracle_quorum;
}

void adversaries_close(struct adversaries *a, struct scores *scores)
{
    if (!a)
        return;
    sim_stop(a->sim, &a->silence);
    for (uint32_t i = 0; i < a->count; i++) {
        struct cheater *c = &a->cheater[i];
        computer_halt(c->computer);
        for (uint32_t k = 0; k < SCORE_COUNT && cheats_of[c->kind]; k++)
            scores->miner[c->at][k] += c->score[k];
        for (uint32_t k = 0; k < ORACLE_SCORE_COUNT && oracle_cheats_of[c->kind]; k++)
            scores->oracle[c->at][k] += c->oracle_score[k];
    }
    for (uint32_t k = 0; k < OTHER_SCORE_COUNT; k++)
        scores->other[k] += a->other[k];
    struct sim_observer **at = &a->sim->observer;
    while (*at != &a->observer)
        at = &(*at)->next;
    *at = a->observer.next;
    a->sim->adversaries = NULL;
    free(a);
}

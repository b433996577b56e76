#include "sim/roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cli/founder.h"
#include "core/account.h"
#include "core/core.h"
#include "core/view.h"
#include "crypto/keccak.h"
#include "oracle/chain.h"
#include "sim/net.h"
#include "sim/observe.h"

#define ROUTER_AGAIN_US 500000  // until a program that ended is started again
#define FOUNDING_US_MAX (60 * 1000000ull)
#define SERVING_US_MAX  (300 * 1000000ull)
#define SERVING_STEP_US 20000
#define ROLE_KEYS_MAX   64

/* ---- keys ---- */

struct key *role_key(enum role role, uint32_t number)
{
    static struct key *keys[ROLE_ADVERSARY_ORACLE + 1][ROLE_KEYS_MAX];
    cx_assert(number < ROLE_KEYS_MAX);
    struct key **key = &keys[role][number];
    if (!*key) {
        const uint8_t secret[KEY_SECRET_SIZE] = {[29] = 1, [30] = (uint8_t)(role + 1), [31] = (uint8_t)(number + 1)};
        enum cx_err err = key_from_bytes(secret, key);
        cx_assert(!err);
    }
    return *key;
}

const char *roles_api_key(uint32_t client)
{
    static const char *const text[SWARM_CLIENTS_MAX] = {"ck_sim_0", "ck_sim_1", "ck_sim_2", "ck_sim_3",
                                                        "ck_sim_4", "ck_sim_5", "ck_sim_6", "ck_sim_7"};
    cx_assert(client < SWARM_CLIENTS_MAX);
    return text[client];
}

/* The end of an oracle's chain is much hashing, and always the same: of the chain that it will use, which is
 * remembered. */
static const struct hash *chain_end(enum role role, uint32_t number)
{
    static struct hash ends[2][ROLE_KEYS_MAX];
    static bool known[2][ROLE_KEYS_MAX];
    uint32_t kind = role == ROLE_ORACLE ? 0 : 1;
    struct hash *end = &ends[kind][number];
    if (!known[kind][number]) {
        struct oracle_chain chain;
        oracle_chain_init(&chain, role_key(role, number), SIM_NETWORK);
        bool left = oracle_chain_preimage(&chain, end);
        cx_assert(left);
        keccak256(end->b, sizeof end->b, end);
    }
    known[kind][number] = true;
    return end;
}

/* ---- genesis ---- */

static void put_param(struct genesis *genesis, const char *name, uint64_t value)
{
    char text[96];
    snprintf(text, sizeof text, "%s=%llu", name, (unsigned long long)value);
    enum cx_err err = genesis_param(genesis, text);
    cx_assert(!err);
}

static void put_oracle(struct genesis *genesis, enum role role, uint32_t number)
{
    const struct address *address = key_address(role_key(role, number));
    genesis_oracle(genesis, &(struct genesis_oracle){*address, *address, *chain_end(role, number)});
}

static uint32_t cheating_oracles(const struct swarm *swarm)
{
    uint32_t count = swarm->adversary[ADVERSARY_LYING_ORACLE];
    count += swarm->adversary[ADVERSARY_ABSENT_LEADER];
    return count + swarm->adversary[ADVERSARY_DICE] + swarm->adversary[ADVERSARY_MEDDLER];
}

/* Small tables, so that a world opens quickly; short periods, so that much happens in it. */
static void make_genesis(struct roles *roles)
{
    const struct swarm *swarm = &roles->sim->swarm;
    struct genesis *g = &roles->genesis;
    const uint32_t heartbeat_ms = swarm->heartbeat_ms;
    const struct {
        const char *name;
        uint64_t value;
    } param[] = {
        {"accounts_cap", 96},
        {"keys_cap", 64},
        {"delegations_cap", 16},
        {"deposits_cap", 128},
        {"withdrawals_cap", 16},
        {"models_cap", 4},
        {"nodes_cap", 32},
        {"operators_cap", 32},
        {"invites_cap", 16},
        {"sessions_cap", 16},
        {"pools_cap", 4},
        {"tasks_cap", 256},
        {"assignments_cap", 512},
        {"references_cap", 2048},
        {"rounds_cap", 16},
        {"audits_cap", 256},
        {"heartbeat_ms", heartbeat_ms},
        {"node_absent_ms", swarm->node_absent_ms},
        {"oracle_window_ms", 3 * heartbeat_ms},
        {"backoff_ms_min", heartbeat_ms / 2},
        {"backoff_ms_max", 8 * heartbeat_ms},
        {"round_step_ms", 2000},
        {"round_ack_ms", 3000},
        {"round_precommit_ms", 8000},
        {"round_commit_ms", 3000},
        {"round_verdict_ms", 4000},
        {"audit_ms", 20000},
        {"idle_ms", swarm->idle_ms},
        {"grow_wait_ms", 500},
    };
    genesis_init(g, SIM_NETWORK, 1, (uint8_t)swarm->oracle_quorum);
    genesis_admin(g, key_address(role_key(ROLE_ADMIN, 0)));
    for (uint32_t i = 0; i < swarm->routers; i++) {
        const struct address *address = key_address(role_key(ROLE_ROUTER, i));
        genesis_router(g, address, address);
    }
    for (uint32_t i = 0; i < swarm->oracles; i++)
        put_oracle(g, ROLE_ORACLE, i);
    for (uint32_t i = 0; i < cheating_oracles(swarm); i++)
        put_oracle(g, ROLE_ADVERSARY_ORACLE, i);
    for (size_t i = 0; i < ARRAY_COUNT(param); i++)
        put_param(g, param[i].name, param[i].value);
    genesis_finish(g);
}

/* ---- routers ---- */

static void listen_entry(void *ctx, const struct replica_moment *moment)
{
    const struct sim_router *r = ctx;
    observe_entry(r->sim, r, moment);
}

static void listen_event(void *ctx, const struct replica_moment *moment, const struct event *event)
{
    const struct sim_router *r = ctx;
    observe_event(r->sim, r, moment, event);
}

static void router_ready(void *ctx) { ((struct sim_router *)ctx)->ready = true; }

/* The program has ended with an error, as `corten router` does; something starts it again. */
static void router_stopped(void *ctx, enum cx_err err, const char *why)
{
    struct sim_router *r = ctx;
    sim_trace(r->sim, "router stopped: %s: %s", cx_err_name(err), why);
    r->stopped = true;
    r->stops++;
    computer_end(r->computer, ROUTER_AGAIN_US);
}

static void founded(void *ctx, enum cx_err err)
{
    struct roles *roles = ctx;
    cx_assert(!err);
    roles->founded = true;
}

/* Money for each client at each router: a key's account is in the custody of the router that it is shown to. */
static void fund_clients(struct roles *roles, struct founder *founder)
{
    const struct swarm *swarm = &roles->sim->swarm;
    for (uint32_t router = 0; router < swarm->routers; router++) {
        for (uint32_t client = 0; client < SWARM_CLIENTS_MAX; client++) {
            struct hash key_hash, reference = {{1, (uint8_t)(router + 1), (uint8_t)(client + 1)}};
            struct address account;
            keccak256(roles_api_key(client), strlen(roles_api_key(client)), &key_hash);
            account_custodial(key_address(role_key(ROLE_ROUTER, router)), &key_hash, &account);
            founder_deposit(founder, &account, amount_of(SIM_BALANCE), &reference);
        }
    }
}

/* Stakes that cheats can lose. */
static void fund_cheats(struct roles *roles, struct founder *founder)
{
    uint32_t cheats = 0;
    for (uint32_t i = 0; i < ADVERSARY_COUNT; i++)
        cheats += roles->sim->swarm.adversary[i];
    for (uint32_t i = 0; i < cheats; i++) {
        struct hash reference = {{2, (uint8_t)(i + 1)}};
        founder_deposit(founder, key_address(role_key(ROLE_ADVERSARY, i)), amount_of(SIM_CHEAT_BALANCE), &reference);
    }
}

static void found(struct roles *roles, struct sim_router *r)
{
    cx_auto(runtime) runtime = NULL;
    struct founder *founder = &roles->founder;
    enum cx_err err = runtime_open(r->computer->loop, "echo", SIM_MODEL, &(struct runtime_options){0}, &runtime);
    cx_assert(!err);
    const struct runtime_info *info = runtime_info(runtime);
    founder_init(founder, router_replica(r->router), role_key(ROLE_ADMIN, 0), founded, roles);
    founder_model(founder, &(struct founder_model){.name = SIM_MODEL,
                                                   .manifest_digest = info->manifest,
                                                   .context = info->context,
                                                   .template_tokens = info->template_tokens,
                                                   .price_in_max = 10ull * SIM_PRICE_IN,
                                                   .price_out_max = 10ull * SIM_PRICE_OUT});
    fund_clients(roles, founder);
    fund_cheats(roles, founder);
    founder_end(founder);
}

static void start_router(void *ctx)
{
    struct sim_router *r = ctx;
    struct sim *sim = r->sim;
    struct roles *roles = sim->roles;
    const char *keys[SWARM_CLIENTS_MAX];
    char listen[64], ledger[64], archive[64];
    uint32_t key_count = 0;
    for (uint32_t i = r->number; i < SWARM_CLIENTS_MAX; i += sim->swarm.routers)
        keys[key_count++] = roles_api_key(i);
    snprintf(listen, sizeof listen, "%s:%u", r->computer->name, SIM_PORT);
    snprintf(ledger, sizeof ledger, "sqlite:%s/ledger.db", r->computer->name);
    snprintf(archive, sizeof archive, "%s/archive.db", r->computer->name);
    const struct router_options options = {.loop = r->computer->loop,
                                           .listen = listen,
                                           .ledger_uri = sim->swarm.shared_ledger ? SIM_SHARED_LEDGER : ledger,
                                           .archive_path = sim->swarm.shared_ledger ? ":memory:" : archive,
                                           .key = role_key(ROLE_ROUTER, r->number),
                                           .admin = role_key(ROLE_ADMIN, 0),
                                           .genesis = &roles->genesis.command,
                                           .admin_key = keys,
                                           .admin_key_count = key_count,
                                           .redundancy = (uint8_t)sim->swarm.redundancy,
                                           .validation = (uint8_t)sim->swarm.validation,
                                           .audit_bp = (uint16_t)sim->swarm.audit_bp,
                                           .listener = &r->listener,
                                           .on_ready = router_ready,
                                           .on_stopped = router_stopped,
                                           .ctx = r};
    r->stopped = r->ready = false;
    r->listener =
        (struct replica_listener){.on_event = listen_event, .on_entry = listen_entry, .ctx = r, .replays = true};
    enum cx_err err = router_open(&options, &r->router);
    if (err) {
        sim_trace(sim, "router cannot open: %s: %s", cx_err_name(err), cx_detail());
        r->router = NULL;
        r->failed_starts++;
        snprintf(r->why, sizeof r->why, "%s: %s", cx_err_name(err), cx_detail());
        computer_end(r->computer, ROUTER_AGAIN_US);
        return;
    }
    const struct core *core = replica_core(router_replica(r->router));
    observe_router_open(sim, r, core, core_seq(core));
    if (!roles->founded && r->number == 0)
        found(roles, r);
}

static void halt_router(void *ctx)
{
    struct sim_router *r = ctx;
    if (r->router)
        observe_router_down(r->sim, r);
    router_close(r->router);
    r->router = NULL;
    r->ready = false;
}

/* ---- miners and oracles ---- */

static const char *const *router_urls(struct roles *roles, uint32_t *ret_count)
{
    for (uint32_t i = 0; i < roles->sim->swarm.routers; i++)
        roles->url[i] = roles->router[i].url;
    *ret_count = roles->sim->swarm.routers;
    return roles->url;
}

static void nothing(void *ctx) { (void)ctx; }

static void miner_stopped(void *ctx, enum cx_err err)
{
    struct sim_miner *m = ctx;
    sim_trace(m->sim, "miner stopped: %s: %s", cx_err_name(err), cx_detail());
    m->stops++;
    snprintf(m->why, sizeof m->why, "%s: %s", cx_err_name(err), cx_detail());
    computer_end(m->computer, ROUTER_AGAIN_US);
}

static void start_miner(void *ctx)
{
    struct sim_miner *m = ctx;
    uint32_t routers = 0;
    const char *const *url = router_urls(m->sim->roles, &routers);
    const struct miner_options options = {.loop = m->computer->loop,
                                          .router = url,
                                          .routers = routers,
                                          .key = role_key(ROLE_MINER, m->number),
                                          .engine = m->engine,
                                          .model = SIM_MODEL,
                                          .slots = m->sim->swarm.miner_slots,
                                          .text_frames = m->sim->swarm.json_miners >> m->number & 1,
                                          .price_in = SIM_PRICE_IN,
                                          .price_out = SIM_PRICE_OUT,
                                          .on_ready = nothing,
                                          .on_stopped = miner_stopped,
                                          .ctx = m};
    enum cx_err err = miner_open(&options, &m->miner);
    cx_assert(!err);
}

static void halt_miner(void *ctx)
{
    struct sim_miner *m = ctx;
    miner_close(m->miner);
    m->miner = NULL;
}

static void oracle_stopped(void *ctx, enum cx_err err)
{
    struct sim_oracle *o = ctx;
    sim_trace(o->sim, "oracle stopped: %s: %s", cx_err_name(err), cx_detail());
    o->stops++;
    snprintf(o->why, sizeof o->why, "%s: %s", cx_err_name(err), cx_detail());
    computer_end(o->computer, ROUTER_AGAIN_US);
}

static void start_oracle(void *ctx)
{
    struct sim_oracle *o = ctx;
    uint32_t routers = 0;
    const char *const *url = router_urls(o->sim->roles, &routers);
    const struct oracle_options options = {.loop = o->computer->loop,
                                           .router = url,
                                           .routers = routers,
                                           .key = role_key(ROLE_ORACLE, o->number),
                                           .engine = o->engine,
                                           .model = SIM_MODEL,
                                           .text_frames = o->sim->swarm.json_oracles >> o->number & 1,
                                           .on_ready = nothing,
                                           .on_stopped = oracle_stopped,
                                           .ctx = o};
    enum cx_err err = oracle_open(&options, &o->oracle);
    cx_assert(!err);
}

static void halt_oracle(void *ctx)
{
    struct sim_oracle *o = ctx;
    oracle_close(o->oracle);
    o->oracle = NULL;
}

/* ---- opening ---- */

static void engine_of(const struct swarm *swarm, uint32_t slow_ms, char *ret, size_t cap)
{
    int size = snprintf(ret, cap, "echo=slow=%u", slow_ms);
    if (swarm->engine_tokens)
        snprintf(ret + size, cap - (size_t)size, ",tokens=%u", swarm->engine_tokens);
}

static void make_computers(struct roles *roles)
{
    struct sim *sim = roles->sim;
    const struct swarm *swarm = &sim->swarm;
    char name[COMPUTER_NAME_SIZE];
    for (uint32_t i = 0; i < swarm->routers; i++) {
        struct sim_router *r = &roles->router[i];
        *r = (struct sim_router){.sim = sim, .number = i};
        snprintf(name, sizeof name, "router-%u", i);
        snprintf(r->url, sizeof r->url, "http://%s:%u", name, SIM_PORT);
        r->computer = computer_open(sim, name, &(struct program){start_router, halt_router, r});
    }
    for (uint32_t i = 0; i < swarm->oracles; i++) {
        struct sim_oracle *o = &roles->oracle[i];
        *o = (struct sim_oracle){.sim = sim, .number = i};
        snprintf(name, sizeof name, "oracle-%u", i);
        engine_of(swarm, 0, o->engine, sizeof o->engine);
        o->computer = computer_open(sim, name, &(struct program){start_oracle, halt_oracle, o});
    }
    for (uint32_t i = 0; i < swarm->miners; i++) {
        struct sim_miner *m = &roles->miner[i];
        *m = (struct sim_miner){.sim = sim, .number = i};
        snprintf(name, sizeof name, "miner-%u", i);
        engine_of(swarm, swarm->engine_slow_ms[i], m->engine, sizeof m->engine);
        m->computer = computer_open(sim, name, &(struct program){start_miner, halt_miner, m});
    }
}

const struct core *roles_core(const struct roles *roles)
{
    for (uint32_t i = 0; i < roles->sim->swarm.routers; i++)
        if (roles->router[i].router)
            return replica_core(router_replica(roles->router[i].router));
    return NULL;
}

/* As many nodes may serve as there are honest miners: the others' tests are their own affair. */
static bool all_serve(const struct roles *roles)
{
    const struct core *core = roles_core(roles);
    struct network_view network;
    if (!core)
        return false;
    for (uint32_t i = 0; i < roles->sim->swarm.routers; i++)
        if (!roles->router[i].ready)
            return false;
    view_network(core, &network);
    return network.nodes[NODE_EPHEMERAL] + network.nodes[NODE_RESERVED] >= roles->sim->swarm.miners;
}

static void wait_until(struct roles *roles, bool (*is_so)(const struct roles *roles), uint64_t us_max, const char *what)
{
    struct sim *sim = roles->sim;
    uint64_t until_us = sim->now_us + us_max;
    while (sim_is_well(sim) && !is_so(roles) && sim->now_us < until_us)
        sim_run_until(sim, sim->now_us + SERVING_STEP_US);
    if (sim_is_well(sim) && !is_so(roles))
        check_fail(&sim->check, CHECKER_PROGRESS, 0, "%s within %llu s, and nothing was broken yet", what,
                   (unsigned long long)(us_max / 1000000));
}

static bool is_founded(const struct roles *roles) { return roles->founded; }

struct roles *roles_open(struct sim *sim)
{
    struct roles *roles = calloc(1, sizeof *roles);
    cx_assert(roles);
    roles->sim = sim;
    sim->roles = roles;
    make_genesis(roles);
    make_computers(roles);
    if (sim->swarm.shared_ledger) {
        const struct ledger_options nobody = {.mode = LEDGER_CREATE, .network = SIM_NETWORK};
        enum cx_err err = ledger_open(SIM_SHARED_LEDGER, &nobody, &roles->keeper);
        cx_assert(!err);
        err = payload_store_open(SIM_SHARED_LEDGER, &roles->payload_keeper);
        cx_assert(!err);
    }
    computer_start(roles->router[0].computer);
    wait_until(roles, is_founded, FOUNDING_US_MAX, "the network was not founded");
    for (uint32_t i = 1; i < sim->swarm.routers; i++)
        computer_start(roles->router[i].computer);
    for (uint32_t i = 0; i < sim->swarm.oracles; i++)
        computer_start(roles->oracle[i].computer);
    for (uint32_t i = 0; i < sim->swarm.miners; i++)
        computer_start(roles->miner[i].computer);
    if (sim_is_well(sim))
        wait_until(roles, all_serve, SERVING_US_MAX, "not every honest miner served");
    return roles;
}

void roles_close(struct roles *roles)
{
    struct sim *sim = roles->sim;
    for (uint32_t i = 0; i < sim->swarm.miners; i++)
        computer_halt(roles->miner[i].computer);
    for (uint32_t i = 0; i < sim->swarm.oracles; i++)
        computer_halt(roles->oracle[i].computer);
    for (uint32_t i = 0; i < sim->swarm.routers; i++)
        computer_halt(roles->router[i].computer);
    ledger_close(roles->keeper);
    payload_store_close(roles->payload_keeper);
    genesis_done(&roles->genesis);
    sim->roles = NULL;
    free(roles);
}

#include "sim/swarm.h"

#include "base/assert.h"
#include "base/prng.h"
#include "core/terms.h"

const char *adversary_name(enum adversary_kind kind)
{
    static const char *const name[ADVERSARY_COUNT] = {
        [ADVERSARY_SILENT] = "silent",
        [ADVERSARY_SLOW] = "slow",
        [ADVERSARY_COPY] = "copy",
        [ADVERSARY_WRONG_REVEAL] = "wrong_reveal",
        [ADVERSARY_NEVER_REVEAL] = "never_reveal",
        [ADVERSARY_CHALLENGE_ONLY] = "challenge_only",
        [ADVERSARY_COLLUDE] = "collude",
        [ADVERSARY_OVERCHARGE] = "overcharge",
        [ADVERSARY_REPLAY] = "replay",
        [ADVERSARY_FORGE] = "forge",
        [ADVERSARY_LYING_ORACLE] = "lying_oracle",
        [ADVERSARY_ABSENT_LEADER] = "absent_leader",
        [ADVERSARY_SILENT_ROUTER] = "silent_router",
        [ADVERSARY_DICE] = "dice",
        [ADVERSARY_DECLINE] = "decline",
        [ADVERSARY_NOISE] = "noise",
        [ADVERSARY_FLAP] = "flap",
        [ADVERSARY_MEDDLER] = "meddler",
        [ADVERSARY_STALE_ROUTER] = "stale_router",
        [ADVERSARY_CLIENT] = "cheating_client",
    };
    return kind < ADVERSARY_COUNT ? name[kind] : NULL;
}

/* ---- drawing ---- */

static uint32_t between(struct prng *prng, uint32_t least, uint32_t most)
{
    cx_assert(least <= most);
    return least + (uint32_t)prng_below(prng, (uint64_t)most - least + 1);
}

static bool one_in(struct prng *prng, uint32_t n) { return prng_below(prng, n) == 0; }

/* Mostly off; where it is on, small values are as likely as large ones of each size. */
static uint32_t maybe(struct prng *prng, uint32_t one_in_n, uint32_t least, uint32_t most)
{
    bool on = one_in(prng, one_in_n);
    uint32_t halvings = (uint32_t)prng_below(prng, 4);
    uint32_t value = between(prng, least, most) >> halvings;
    return on ? (value > least ? value : least) : 0;
}

/* ---- picking ---- */

static void pick_work(struct prng *prng, struct swarm *s)
{
    s->tasks = between(prng, 8, 160);
    s->think_ms = between(prng, 0, 400);
    s->prompt_words = between(prng, 1, 40);
    s->engine_tokens = one_in(prng, 2) ? between(prng, 1, 24) : 0;
    for (uint32_t i = 0; i < SWARM_MINERS_MAX; i++)
        s->engine_slow_ms[i] = maybe(prng, 2, 1, 60);
    s->stream_ppm = between(prng, 0, 1000000);
    s->cancel_ppm = maybe(prng, 3, 10000, 200000);
    s->retry_ppm = maybe(prng, 2, 10000, 300000);
    s->disconnect_ppm = maybe(prng, 3, 10000, 200000);
    s->slow_reader_ppm = maybe(prng, 3, 10000, 300000);
}

static void pick_policy(struct prng *prng, struct swarm *s)
{
    static const enum validation_policy policy[] = {VALIDATION_HASH, VALIDATION_HASH, VALIDATION_HASH,
                                                    VALIDATION_MAJORITY};
    s->validation = policy[prng_below(prng, ARRAY_COUNT(policy))];
    uint32_t most = s->miners < 3 ? s->miners : 3;
    s->redundancy = most > 1 && one_in(prng, 2) ? between(prng, 2, most) : 1;
    if (s->validation == VALIDATION_MAJORITY && s->redundancy < 3)
        s->redundancy = most < 3 ? 1 : 3;
    s->audit_bp = one_in(prng, 2) ? 0 : between(prng, 0, 10000);
    s->oracle_quorum = between(prng, 1, s->oracles);
    s->miner_slots = between(prng, 1, 4);
    s->heartbeat_ms = between(prng, 500, 3000);
    s->node_absent_ms = between(prng, 2000, 60000);
    s->idle_ms = between(prng, 1000, 60000);
}

static void pick_faults(struct prng *prng, struct swarm *s)
{
    s->latency_us_min = between(prng, 20, 2000);
    s->latency_us_max = s->latency_us_min + between(prng, 0, 40000);
    s->late_ppm = maybe(prng, 3, 1000, 50000);
    s->late_us = between(prng, 10000, 2000000);
    s->split_ppm = maybe(prng, 2, 1000, 300000);
    s->break_ppm = maybe(prng, 3, 100, 10000);
    s->half_open_ppm = maybe(prng, 2, 10000, 600000);
    s->crash_router_ms = maybe(prng, 3, 2000, 30000);
    s->crash_miner_ms = maybe(prng, 3, 1000, 20000);
    s->crash_oracle_ms = maybe(prng, 3, 1000, 20000);
    s->down_ms_max = between(prng, 50, 8000);
    s->partition_ms = maybe(prng, 4, 2000, 20000);
    s->clock_jump_ms = maybe(prng, 4, 1000, 20000);
    s->clock_jump_max_ms = between(prng, 10, 600000);
    s->drift_ppm_max = maybe(prng, 2, 10, 500);
    s->disk_sync_us_min = between(prng, 10, 2000);
    s->disk_sync_us_max = s->disk_sync_us_min + between(prng, 0, 20000);
    /* Where writes may spoil what is beside them, SQLite itself survives one crash only (tests/disk). */
    s->disk_power_safe = true;
    s->disk_sync_fail_ppm = maybe(prng, 8, 500, 50000);
    s->disk_read_fail_ppm = maybe(prng, 12, 100, 20000);
    s->disk_write_fail_ppm = maybe(prng, 8, 200, 10000);
    s->disk_die_ppm = maybe(prng, 2, 100000, 1000000);
    s->disk_full_ms = maybe(prng, 8, 1000, 10000);
    s->kill_ppm = maybe(prng, 2, 100000, 1000000);
}

/* In two seeds of three nobody cheats; else one to three kinds, one or two of each. */
static void pick_adversaries(struct prng *prng, struct swarm *s)
{
    uint32_t kinds = one_in(prng, 3) ? between(prng, 1, 3) : 0;
    for (uint32_t i = 0; i < kinds; i++) {
        uint32_t kind = (uint32_t)prng_below(prng, ADVERSARY_COUNT);
        s->adversary[kind] = kind == ADVERSARY_COLLUDE ? 2 : (uint8_t)between(prng, 1, 2);
    }
}

void swarm_pick(uint64_t seed, struct swarm *ret_swarm)
{
    struct prng prng = {seed ^ 0x5761726dull};
    *ret_swarm = (struct swarm){.seed = seed};
    struct swarm *s = ret_swarm;
    s->routers = one_in(&prng, 3) ? between(&prng, 2, SWARM_ROUTERS_MAX) : 1;
    s->shared_ledger = s->routers > 1;
    s->oracles = between(&prng, 1, SWARM_ORACLES_MAX);
    s->miners = between(&prng, 1, 6);
    s->clients = between(&prng, 1, 4);
    pick_policy(&prng, s);
    pick_work(&prng, s);
    pick_faults(&prng, s);
    pick_adversaries(&prng, s);
    s->faults_ms = between(&prng, 2000, 30000);
    s->healed_ms = SWARM_HEALED_MS;
    s->json_miners = (uint32_t)prng_below(&prng, 1u << SWARM_MINERS_MAX);
    s->json_oracles = (uint32_t)prng_below(&prng, 1u << SWARM_ORACLES_MAX);
}

void swarm_calm(uint64_t seed, struct swarm *ret_swarm)
{
    struct swarm full;
    swarm_pick(seed, &full);
    *ret_swarm = (struct swarm){.seed = seed,
                                .routers = 1,
                                .oracles = full.oracles,
                                .miners = full.miners,
                                .clients = full.clients,
                                .redundancy = full.redundancy,
                                .validation = full.validation,
                                .audit_bp = full.audit_bp,
                                .oracle_quorum = full.oracle_quorum,
                                .miner_slots = full.miner_slots,
                                .node_absent_ms = full.node_absent_ms,
                                .heartbeat_ms = full.heartbeat_ms,
                                .idle_ms = full.idle_ms,
                                .tasks = full.tasks,
                                .think_ms = full.think_ms,
                                .prompt_words = full.prompt_words,
                                .engine_tokens = full.engine_tokens,
                                .stream_ppm = full.stream_ppm,
                                .json_miners = full.json_miners,
                                .json_oracles = full.json_oracles,
                                .latency_us_min = full.latency_us_min,
                                .latency_us_max = full.latency_us_max,
                                .disk_sync_us_min = full.disk_sync_us_min,
                                .disk_sync_us_max = full.disk_sync_us_max,
                                .disk_power_safe = true,
                                .faults_ms = full.faults_ms,
                                .healed_ms = full.healed_ms};
}

/* ---- printing ---- */

static void put(struct buf *out, const char *name, uint64_t value)
{
    if (value)
        buf_printf(out, " %s=%llu", name, (unsigned long long)value);
}

void swarm_print(const struct swarm *swarm, struct buf *out)
{
    buf_printf(out, "seed=%llu", (unsigned long long)swarm->seed);
#define PUT(name) put(out, #name, swarm->name);
    SWARM_NUMBERS(PUT)
#undef PUT
    for (uint32_t i = 0; i < swarm->miners && i < SWARM_MINERS_MAX; i++)
        if (swarm->engine_slow_ms[i])
            buf_printf(out, " slow_ms.%u=%u", i, swarm->engine_slow_ms[i]);
    for (uint32_t i = 0; i < ADVERSARY_COUNT; i++)
        put(out, adversary_name(i), swarm->adversary[i]);
}

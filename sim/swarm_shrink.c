#include "sim/swarm_shrink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/run.h"
#include "sim/trial.h"

#define TRIAL_SECONDS 120
#define SLOW_NAME     "slow_ms."

/* ---- numbers by name ---- */

/* All but adversaries and engines. */
static bool set_number(struct swarm *swarm, const char *name, uint64_t value)
{
#define SET(field)                                      \
    if (strcmp(name, #field) == 0) {                    \
        swarm->field = (__typeof__(swarm->field))value; \
        return swarm->field == value;                   \
    }
    SWARM_NUMBERS(SET)
#undef SET
    return false;
}

bool swarm_set(struct swarm *swarm, const char *name, uint64_t value)
{
    for (uint32_t i = 0; i < ADVERSARY_COUNT; i++)
        if (strcmp(name, adversary_name(i)) == 0) {
            swarm->adversary[i] = (uint8_t)value;
            return swarm->adversary[i] == value;
        }
    if (strncmp(name, SLOW_NAME, strlen(SLOW_NAME)) == 0) {
        char *end;
        unsigned long miner = strtoul(name + strlen(SLOW_NAME), &end, 10);
        if (*end || miner >= SWARM_MINERS_MAX || value > UINT32_MAX)
            return false;
        swarm->engine_slow_ms[miner] = (uint32_t)value;
        return true;
    }
    bool fits = swarm->routers <= SWARM_ROUTERS_MAX && set_number(swarm, name, value);
    return fits && swarm->routers >= 1 && swarm->routers <= SWARM_ROUTERS_MAX && swarm->oracles <= SWARM_ORACLES_MAX &&
           swarm->miners <= SWARM_MINERS_MAX && swarm->clients <= SWARM_CLIENTS_MAX;
}

static void put(struct buf *out, const char *name, uint64_t from, uint64_t small)
{
    if (from != small)
        buf_printf(out, " --set %s=%llu", name, (unsigned long long)small);
}

void swarm_print_set(const struct swarm *from, const struct swarm *small, struct buf *out)
{
#define PUT(name) put(out, #name, from->name, small->name);
    SWARM_NUMBERS(PUT)
#undef PUT
    for (uint32_t i = 0; i < small->miners && i < SWARM_MINERS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, SLOW_NAME "%u", i);
        put(out, name, from->engine_slow_ms[i], small->engine_slow_ms[i]);
    }
    for (uint32_t i = 0; i < ADVERSARY_COUNT; i++)
        put(out, adversary_name(i), from->adversary[i], small->adversary[i]);
}

/* ---- trials ---- */

struct trial {
    struct swarm swarm;
    struct check check;  // the struct is shared with the child
};

struct shrinker {
    struct swarm now;
    struct check wanted;
    struct trial *trial;  // shared
    uint32_t trials;
};

static void run(void *ctx)
{
    struct trial *trial = ctx;
    static struct report report;
    struct buf out = {0};
    run_swarm(&trial->swarm, &(struct run_options){.check = &trial->check}, &report, &out);
    buf_done(&out);
}

static void try_swarm(struct shrinker *s, const struct swarm *swarm, struct check *ret_check)
{
    char words[CHECK_TEXT_SIZE];
    s->trial->swarm = *swarm;
    s->trial->check = (struct check){0};
    s->trials++;
    if (!trial_run(run, s->trial, TRIAL_SECONDS, words, sizeof words))
        check_fail(&s->trial->check, CHECKER_CORE_CHECK, 0, "%s", words);
    *ret_check = s->trial->check;
}

/* Keeps the change where the same checker fails: of those that died, in the same words. */
static bool keep(struct shrinker *s, const struct swarm *changed)
{
    struct check check;
    try_swarm(s, changed, &check);
    if (!check.failed || check.checker != s->wanted.checker)
        return false;
    if (check.checker == CHECKER_CORE_CHECK && strcmp(check.text, s->wanted.text) != 0)
        return false;
    s->now = *changed;
    return true;
}

/* ---- what is made smaller ---- */

/* Those that are counts of what must be there, or lengths that must not be nothing. */
static uint64_t least_of(const char *name)
{
    static const char *const needed[] = {"routers",       "oracles",     "miners", "clients",     "redundancy",
                                         "oracle_quorum", "miner_slots", "tasks",  "prompt_words"};
    static const char *const fixed[] = {"node_absent_ms", "heartbeat_ms",     "idle_ms",         "faults_ms",
                                        "healed_ms",      "disk_power_safe",  "latency_us_min",  "latency_us_max",
                                        "shared_ledger",  "disk_sync_us_min", "disk_sync_us_max"};
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++)
        if (strcmp(needed[i], name) == 0)
            return 1;
    for (size_t i = 0; i < ARRAY_COUNT(fixed); i++)
        if (strcmp(fixed[i], name) == 0)
            return UINT64_MAX;  // never smaller
    return 0;
}

/* Fewer than answers or verdicts need would fail for that alone. */
static bool is_enough(const struct swarm *swarm)
{
    return swarm->miners >= swarm->redundancy && swarm->oracles >= swarm->oracle_quorum;
}

/* The least at once; else by halves of what is above it. */
static bool lower(struct shrinker *s, const char *name, uint64_t value, uint64_t least)
{
    for (uint64_t to = least; to < value; to += (value - to + 1) / 2) {
        struct swarm changed = s->now;
        if (!swarm_set(&changed, name, to))
            return false;
        changed.shared_ledger = changed.routers > 1;
        if (is_enough(&changed) && keep(s, &changed))
            return true;
    }
    return false;
}

static bool lower_all(struct shrinker *s)
{
    bool any = false;
    for (uint32_t i = 0; i < ADVERSARY_COUNT; i++)
        any |= lower(s, adversary_name(i), s->now.adversary[i], 0);
#define LOWER(name) any |= lower(s, #name, s->now.name, least_of(#name));
    SWARM_NUMBERS(LOWER)
#undef LOWER
    for (uint32_t i = 0; i < SWARM_MINERS_MAX; i++) {
        char name[32];
        snprintf(name, sizeof name, SLOW_NAME "%u", i);
        any |= lower(s, name, s->now.engine_slow_ms[i], 0);
    }
    return any;
}

bool swarm_shrink(const struct swarm *from, struct swarm *ret_small, struct check *ret_check, uint32_t *ret_trials)
{
    struct shrinker s = {.now = *from};
    s.trial = trial_share(sizeof *s.trial);
    try_swarm(&s, from, &s.wanted);
    bool fails = s.wanted.failed;
    while (fails && lower_all(&s))
        ;
    if (fails)
        try_swarm(&s, &s.now, ret_check);
    *ret_small = s.now;
    *ret_trials = s.trials;
    trial_unshare(s.trial, sizeof *s.trial);
    return fails;
}

#include "sim/trouble.h"

#include <stdlib.h>

#include "base/assert.h"
#include "sim/computer.h"
#include "sim/disk.h"
#include "sim/net.h"
#include "sim/roles.h"

#define PARTITION_MS_MAX 15000
#define DIE_WRITES_MAX   64           // a disk dies within one of so many next writes
#define FULL_LEFT_MAX    (128 << 10)  // bytes that a disk has left before it is full
#define FULL_MS_MAX      5000         // until somebody makes room

/* One kind of trouble: comes again after about so long. */
struct nuisance {
    struct trouble *trouble;
    uint32_t mean_ms;
    void (*happen)(struct sim *sim);
    struct sim_event event;
};

enum { CRASH_ROUTER, CRASH_MINER, CRASH_ORACLE, PARTITION, CLOCK_JUMP, DISK_FULL, NUISANCE_COUNT };

struct trouble {
    struct sim *sim;
    struct nuisance nuisance[NUISANCE_COUNT];
    struct sim_event rejoin, make_room;
};

/* ---- what may happen ---- */

static void crash(struct sim *sim, struct computer *c)
{
    if (!computer_is_dead(c) && sim_chance(sim, SIM_FAULTS, sim->swarm.kill_ppm)) {
        c->keeps_disk = true;
        sim_count_fault(sim, FAULT_KILL);
    }
    uint64_t down_us = 1000 * (1 + sim_below(sim, SIM_FAULTS, sim->swarm.down_ms_max));
    computer_crash(c, down_us);
}

/* Within one of its next writes, or now. */
static void crash_router(struct sim *sim)
{
    struct computer *c = sim->roles->router[sim_below(sim, SIM_FAULTS, sim->swarm.routers)].computer;
    bool in_write = sim_chance(sim, SIM_FAULTS, sim->swarm.disk_die_ppm);
    uint64_t nth = 1 + sim_below(sim, SIM_FAULTS, DIE_WRITES_MAX);
    if (!in_write || sim->swarm.shared_ledger) {
        crash(sim, c);
        return;
    }
    c->boot_after_disk_us = 1000 * (1 + sim_below(sim, SIM_FAULTS, sim->swarm.down_ms_max));
    if (!computer_is_dead(c))
        disk_die_at(c->disk, nth);
}

static void crash_miner(struct sim *sim)
{
    crash(sim, sim->roles->miner[sim_below(sim, SIM_FAULTS, sim->swarm.miners)].computer);
}

static void crash_oracle(struct sim *sim)
{
    crash(sim, sim->roles->oracle[sim_below(sim, SIM_FAULTS, sim->swarm.oracles)].computer);
}

static void rejoin(void *ctx)
{
    struct trouble *t = ctx;
    sim_count_fault(t->sim, FAULT_HEAL);
    net_heal(t->sim->net);
}

static void partition(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->computer_count; i++)
        net_set_group(sim->computer[i], (uint32_t)sim_below(sim, SIM_FAULTS, 2));
    sim_count_fault(sim, FAULT_PARTITION);
    struct trouble *t = sim->trouble;
    sim_after(sim, &t->rejoin, 1000 * (1 + sim_below(sim, SIM_FAULTS, PARTITION_MS_MAX)), NULL, rejoin, t);
}

static void clock_jump(struct sim *sim)
{
    struct computer *c = sim->computer[sim_below(sim, SIM_FAULTS, sim->computer_count)];
    int64_t most = sim->swarm.clock_jump_max_ms;
    c->wall_offset_ms += (int64_t)sim_below(sim, SIM_FAULTS, (uint64_t)most * 2 + 1) - most;
    sim_count_fault(sim, FAULT_CLOCK);
}

static void make_room(void *ctx)
{
    struct trouble *t = ctx;
    for (uint32_t i = 0; i < t->sim->swarm.routers; i++)
        disk_faults(t->sim->roles->router[i].computer->disk)->capacity = 0;
}

static void disk_full(struct sim *sim)
{
    struct trouble *t = sim->trouble;
    struct disk *disk = sim->roles->router[sim_below(sim, SIM_FAULTS, sim->swarm.routers)].computer->disk;
    disk_faults(disk)->capacity = disk_used(disk) + sim_below(sim, SIM_FAULTS, FULL_LEFT_MAX);
    sim_after(sim, &t->make_room, 1000 * (1 + sim_below(sim, SIM_FAULTS, FULL_MS_MAX)), NULL, make_room, t);
}

/* ---- when ---- */

static void happen(void *ctx);

static void await(struct nuisance *n)
{
    struct sim *sim = n->trouble->sim;
    if (n->mean_ms > 0)
        sim_after(sim, &n->event, 1 + sim_below(sim, SIM_FAULTS, 2000ull * n->mean_ms), NULL, happen, n);
}

static void happen(void *ctx)
{
    struct nuisance *n = ctx;
    n->happen(n->trouble->sim);
    await(n);
}

/* ---- from beginning to end ---- */

static void set_disks(struct sim *sim, bool faulty)
{
    const struct swarm *s = &sim->swarm;
    for (uint32_t i = 0; i < sim->computer_count; i++) {
        struct disk_faults faults = {.sync_us_min = s->disk_sync_us_min, .sync_us_max = s->disk_sync_us_max};
        if (faulty) {
            faults.read_fail_ppm = s->disk_read_fail_ppm;
            faults.write_fail_ppm = s->disk_write_fail_ppm;
            faults.sync_fail_ppm = s->disk_sync_fail_ppm;
        }
        *disk_faults(sim->computer[i]->disk) = faults;
        disk_die_at(sim->computer[i]->disk, 0);
    }
}

static void set_net(struct sim *sim, bool faulty)
{
    const struct swarm *s = &sim->swarm;
    struct net_faults faults = {.latency_us_min = s->latency_us_min, .latency_us_max = s->latency_us_max};
    if (faulty) {
        faults.late_ppm = s->late_ppm;
        faults.late_us = s->late_us;
        faults.split_ppm = s->split_ppm;
        faults.break_ppm = s->break_ppm;
        faults.half_open_ppm = s->half_open_ppm;
    }
    net_world_set(sim->net, &faults);
}

void trouble_prepare(struct sim *sim) { set_net(sim, false); }

struct trouble *trouble_begin(struct sim *sim)
{
    const struct swarm *s = &sim->swarm;
    struct trouble *t = calloc(1, sizeof *t);
    cx_assert(t);
    t->sim = sim;
    sim->trouble = t;
    const struct nuisance nuisance[NUISANCE_COUNT] = {
        [CRASH_ROUTER] = {.mean_ms = s->crash_router_ms, .happen = crash_router},
        [CRASH_MINER] = {.mean_ms = s->crash_miner_ms, .happen = crash_miner},
        [CRASH_ORACLE] = {.mean_ms = s->crash_oracle_ms, .happen = crash_oracle},
        [PARTITION] = {.mean_ms = s->partition_ms, .happen = partition},
        [CLOCK_JUMP] = {.mean_ms = s->clock_jump_ms, .happen = clock_jump},
        [DISK_FULL] = {.mean_ms = s->disk_full_ms, .happen = disk_full},
    };
    set_net(sim, true);
    set_disks(sim, true);
    for (uint32_t i = 0; i < NUISANCE_COUNT; i++) {
        t->nuisance[i] = nuisance[i];
        t->nuisance[i].trouble = t;
        await(&t->nuisance[i]);
    }
    return t;
}

void trouble_heal(struct trouble *trouble)
{
    if (!trouble)
        return;
    struct sim *sim = trouble->sim;
    for (uint32_t i = 0; i < NUISANCE_COUNT; i++)
        sim_stop(sim, &trouble->nuisance[i].event);
    sim_stop(sim, &trouble->rejoin);
    sim_stop(sim, &trouble->make_room);
    set_net(sim, false);
    set_disks(sim, false);
    net_heal(sim->net);
    for (uint32_t i = 0; i < sim->computer_count; i++)
        if (!sim->computer[i]->up && sim->computer[i]->boot.slot)
            computer_start(sim->computer[i]);
}

void trouble_close(struct trouble *trouble)
{
    if (trouble)
        trouble->sim->trouble = NULL;
    free(trouble);
}

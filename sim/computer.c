#include "sim/computer.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "sim/disk.h"
#include "sim/net.h"

#define PPM 1000000

/* ---- clocks and random bytes: bodies of base/clock.h and of libsodium's ---- */

/* Elapsed time as a clock shows that runs drift_ppm too fast. */
static uint64_t drifted(uint64_t elapsed_us, int32_t drift_ppm)
{
    int64_t extra = (int64_t)(elapsed_us / PPM) * drift_ppm + (int64_t)(elapsed_us % PPM) * drift_ppm / PPM;
    return (uint64_t)((int64_t)elapsed_us + extra);
}

uint64_t computer_mono_us(const struct computer *computer)
{
    return computer->mono_base_us + drifted(computer->sim->now_us - computer->started_us, computer->drift_ppm);
}

uint64_t computer_when_us(const struct computer *computer, uint64_t mono_us)
{
    uint64_t elapsed = mono_us > computer->mono_base_us ? mono_us - computer->mono_base_us : 0;
    uint64_t at_us = computer->started_us + drifted(elapsed, -computer->drift_ppm);
    return u64_max(at_us, computer->sim->now_us);
}

uint64_t computer_wall_ms(const struct computer *computer)
{
    return (uint64_t)((int64_t)(SIM_EPOCH_MS + drifted(computer->sim->now_us, computer->drift_ppm) / 1000) +
                      computer->wall_offset_ms);
}

uint64_t clock_wall_ms(void)
{
    struct sim *sim = sim_world();
    if (!sim)
        return SIM_EPOCH_MS;
    return sim->current ? computer_wall_ms(sim->current) : SIM_EPOCH_MS + sim->now_us / 1000;
}

uint64_t clock_mono_us(void)
{
    struct sim *sim = sim_world();
    if (!sim)
        return 0;
    return sim->current ? computer_mono_us(sim->current) : sim->now_us;
}

/* What the process makes once, whichever seed comes first, must not draw from a world. */
static struct prng *bytes(void)
{
    static struct prng of_no_computer = {0x636f7274656e};
    struct sim *sim = sim_world();
    return sim && sim->current ? &sim->current->bytes : &of_no_computer;
}

static const char *random_name(void) { return "sim"; }
static uint32_t random_u32(void) { return (uint32_t)(prng_next(bytes()) >> 32); }
static void random_bytes(void *const ret_data, const size_t size) { prng_fill(bytes(), ret_data, size); }

void computer_install_random(void)
{
    static struct randombytes_implementation repeatable = {
        .implementation_name = random_name, .random = random_u32, .buf = random_bytes};
    randombytes_set_implementation(&repeatable);
}

/* ---- life ---- */

struct computer *computer_open(struct sim *sim, const char *name, const struct program *program)
{
    struct computer *c = calloc(1, sizeof *c);
    cx_assert(c);
    cx_assert(sim->computer_count < SIM_COMPUTERS_MAX);
    c->sim = sim;
    c->number = sim->computer_count;
    snprintf(c->name, sizeof c->name, "%s", name);
    c->program = *program;
    c->bytes.state = sim_draw(sim, SIM_BYTES);
    c->disk = disk_open(&(struct disk_options){
        .name = c->name, .seed = sim_draw(sim, SIM_DISK), .power_safe = sim->swarm.disk_power_safe});
    c->drift_ppm = (int32_t)sim_below(sim, SIM_BYTES, 2ull * sim->swarm.drift_ppm_max + 1);
    c->drift_ppm -= (int32_t)sim->swarm.drift_ppm_max;
    *disk_faults(c->disk) =
        (struct disk_faults){.sync_us_min = sim->swarm.disk_sync_us_min, .sync_us_max = sim->swarm.disk_sync_us_max};
    sim->computer[sim->computer_count++] = c;
    return c;
}

struct computer *computer_find(struct sim *sim, const char *name)
{
    for (uint32_t i = 0; i < sim->computer_count; i++)
        if (strcmp(sim->computer[i]->name, name) == 0)
            return sim->computer[i];
    return NULL;
}

bool computer_is_dead(const struct computer *computer)
{
    return !computer->up || computer->dying || disk_is_dead(computer->disk);
}

static void boot(void *ctx)
{
    struct computer *c = ctx;
    sim_count_fault(c->sim, FAULT_RESTART);
    computer_start(c);
}

void computer_start(struct computer *computer)
{
    struct computer *c = computer;
    cx_assert(!c->up);
    sim_stop(c->sim, &c->boot);
    c->started_us = c->sim->now_us;
    c->mono_base_us = 1000000 + c->bytes.state % 1000000;
    enum cx_err err = net_loop_open(&c->loop);
    cx_assert(!err);
    net_loop_bind(c->loop, c);
    c->up = true;
    c->starts++;
    computer_enter(c);
    c->program.start(c->program.ctx);
    computer_leave(c);
}

/* The computer is not within an event of its own any more. */
static void fall(struct computer *c)
{
    struct sim *sim = c->sim;
    struct computer *before = sim->current;
    sim->current = c;
    disk_die(c->disk);
    net_computer_down(c);
    c->program.halt(c->program.ctx);
    net_loop_close(c->loop);
    c->loop = NULL;
    sim->current = before;
    disk_revive(c->disk, !c->keeps_disk);
    c->up = c->dying = c->keeps_disk = false;
    if (c->boot_after_us != TIME_NEVER)
        sim_after(sim, &c->boot, c->boot_after_us, NULL, boot, c);
}

void computer_crash(struct computer *computer, uint64_t boot_after_us)
{
    if (!computer->up || computer->dying)
        return;
    sim_count_fault(computer->sim, FAULT_CRASH);
    sim_trace(computer->sim, "%s loses power", computer->name);
    computer->dying = true;
    computer->crashes++;
    computer->boot_after_us = boot_after_us;
    if (computer->sim->current != computer)
        fall(computer);
}

void computer_end(struct computer *computer, uint64_t boot_after_us)
{
    if (computer_is_dead(computer))
        return;
    cx_assert(computer->sim->current == computer);
    computer->dying = computer->keeps_disk = true;
    computer->boot_after_us = boot_after_us;
}

void computer_enter(struct computer *computer)
{
    cx_assert(computer->up);
    cx_assert(!computer->sim->current);
    computer->sim->current = computer;
}

void computer_leave(struct computer *computer)
{
    struct computer *c = computer;
    cx_assert(c->sim->current == c);
    if (!computer_is_dead(c))
        net_loop_end_turn(c->loop);
    c->sim->current = NULL;
    /* A write that killed the disk is a power cut as well. */
    if (disk_is_dead(c->disk) && !c->dying)
        computer_crash(c, c->boot_after_disk_us);
    else if (c->dying)
        fall(c);
}

void computer_halt(struct computer *computer)
{
    struct computer *c = computer;
    sim_stop(c->sim, &c->boot);
    if (!c->up)
        return;
    c->sim->current = c;
    c->program.halt(c->program.ctx);
    net_loop_close(c->loop);
    c->loop = NULL;
    c->sim->current = NULL;
    c->up = false;
}

void computer_close(struct computer *computer)
{
    computer_halt(computer);
    disk_close(computer->disk);
    free(computer);
}

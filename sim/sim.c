#include "sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "sim/computer.h"
#include "sim/net.h"
#include "sim/observe.h"

static struct sim *world;

struct sim *sim_world(void) { return world; }

const char *sim_fault_name(enum sim_fault fault)
{
    static const char *const name[FAULT_COUNT] = {
        [FAULT_CRASH] = "crash",         [FAULT_RESTART] = "restart",  [FAULT_BREAK] = "break",
        [FAULT_HALF_OPEN] = "half_open", [FAULT_HEAL] = "heal",        [FAULT_PARTITION] = "partition",
        [FAULT_DELAY] = "delay",         [FAULT_SPLIT] = "split",      [FAULT_SLOW] = "slow_reader",
        [FAULT_CLOCK] = "clock_jump",    [FAULT_TORN] = "torn_write",  [FAULT_LOST] = "lost_write",
        [FAULT_SYNC] = "failed_sync",    [FAULT_READ] = "failed_read", [FAULT_WRITE] = "failed_write",
        [FAULT_DUPLICATE] = "duplicate", [FAULT_KILL] = "kill",        [FAULT_FULL] = "disk_full",
    };
    return fault < FAULT_COUNT ? name[fault] : NULL;
}

/* ---- the queue: a binary heap by (time, number) ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->number < b->number;
}

static void put(struct sim *sim, uint32_t slot, struct sim_event *event)
{
    sim->queue[slot] = event;
    event->slot = slot;
}

static void move_up(struct sim *sim, uint32_t slot)
{
    struct sim_event *event = sim->queue[slot];
    for (; slot > 1 && is_before(event, sim->queue[slot / 2]); slot /= 2)
        put(sim, slot, sim->queue[slot / 2]);
    put(sim, slot, event);
}

static void move_down(struct sim *sim, uint32_t slot)
{
    struct sim_event *event = sim->queue[slot];
    for (;;) {
        uint32_t child = slot * 2;
        if (child > sim->queue_count)
            break;
        if (child < sim->queue_count && is_before(sim->queue[child + 1], sim->queue[child]))
            child++;
        if (is_before(event, sim->queue[child]))
            break;
        put(sim, slot, sim->queue[child]);
        slot = child;
    }
    put(sim, slot, event);
}

void sim_stop(struct sim *sim, struct sim_event *event)
{
    uint32_t slot = event->slot;
    if (!slot)
        return;
    cx_assert(slot <= sim->queue_count);
    cx_assert(sim->queue[slot] == event);
    struct sim_event *last = sim->queue[sim->queue_count--];
    event->slot = 0;
    if (last == event)
        return;
    put(sim, slot, last);
    move_up(sim, slot);
    move_down(sim, last->slot);
}

static void make_room(struct sim *sim)
{
    if (sim->queue_count < sim->queue_cap)
        return;
    uint32_t cap = sim->queue_cap ? sim->queue_cap * 2 : 256;
    struct sim_event **queue = realloc(sim->queue, ((size_t)cap + 1) * sizeof(struct sim_event *));
    cx_assert(queue);
    sim->queue = queue;
    sim->queue_cap = cap;
}

void sim_at(struct sim *sim, struct sim_event *event, uint64_t at_us, struct computer *computer,
            void (*fire)(void *ctx), void *ctx)
{
    cx_assert(fire);
    cx_assert(at_us >= sim->now_us);
    sim_stop(sim, event);
    *event = (struct sim_event){
        .at_us = at_us, .number = sim->event_number++, .computer = computer, .fire = fire, .ctx = ctx};
    make_room(sim);
    sim->queue_count++;
    put(sim, sim->queue_count, event);
    move_up(sim, sim->queue_count);
}

void sim_after(struct sim *sim, struct sim_event *event, uint64_t after_us, struct computer *computer,
               void (*fire)(void *ctx), void *ctx)
{
    sim_at(sim, event, u64_add_sat(sim->now_us, after_us), computer, fire, ctx);
}

bool sim_is_well(const struct sim *sim) { return !sim->check.failed; }

bool sim_step(struct sim *sim)
{
    if (sim->queue_count == 0 || !sim_is_well(sim))
        return false;
    struct sim_event *event = sim->queue[1];
    struct computer *computer = event->computer;
    sim_stop(sim, event);
    cx_assert(event->at_us >= sim->now_us);
    cx_assert(!sim->current);
    sim->now_us = event->at_us;
    sim->events_fired++;
    if (computer)
        computer_enter(computer);
    event->fire(event->ctx);
    if (computer)
        computer_leave(computer);
    return true;
}

void sim_run_until(struct sim *sim, uint64_t until_us)
{
    while (sim->queue_count > 0 && sim->queue[1]->at_us <= until_us && sim_step(sim))
        ;
    if (sim_is_well(sim) && sim->now_us < until_us)
        sim->now_us = until_us;
}

/* ---- chance ---- */

uint64_t sim_draw(struct sim *sim, enum sim_stream stream) { return prng_next(&sim->prng[stream]); }

uint64_t sim_below(struct sim *sim, enum sim_stream stream, uint64_t below)
{
    return prng_below(&sim->prng[stream], below);
}

uint64_t sim_between(struct sim *sim, enum sim_stream stream, uint64_t least, uint64_t most)
{
    cx_assert(least <= most);
    return least + sim_below(sim, stream, most - least + 1);
}

bool sim_chance(struct sim *sim, enum sim_stream stream, uint32_t ppm)
{
    return ppm > 0 && sim_below(sim, stream, 1000000) < ppm;
}

void sim_count_fault(struct sim *sim, enum sim_fault fault)
{
    sim->fault[fault]++;
    sim_trace(sim, "fault: %s", sim_fault_name(fault));
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    if (!sim->trace)
        return;
    printf("[%4llu.%06llu] %s ", (unsigned long long)(sim->now_us / 1000000),
           (unsigned long long)(sim->now_us % 1000000), sim->current ? sim->current->name : "world");
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

/* ---- opening and closing ---- */

struct sim *sim_open(const struct swarm *swarm)
{
    cx_assert(!world);
    struct sim *sim = calloc(1, sizeof *sim);
    cx_assert(sim);
    world = sim;
    sim->swarm = *swarm;
    struct prng seed = {swarm->seed};
    for (uint32_t i = 0; i < SIM_STREAM_COUNT; i++)
        sim->prng[i].state = prng_next(&seed);
    sim->net = net_world_open(sim);
    return sim;
}

void sim_close(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->computer_count; i++)
        computer_close(sim->computer[i]);
    net_world_close(sim->net);
    free(sim->queue);
    free(sim);
    world = NULL;
}

/* ---- observers ---- */

void sim_observe(struct sim *sim, struct sim_observer *observer)
{
    struct sim_observer **at = &sim->observer;
    while (*at)
        at = &(*at)->next;
    *at = observer;
    observer->next = NULL;
}

void observe_router_open(struct sim *sim, const struct sim_router *router, const struct core *core, uint64_t seq)
{
    for (struct sim_observer *o = sim->observer; o; o = o->next)
        if (o->on_router_open)
            o->on_router_open(o->ctx, router, core, seq);
}

void observe_router_down(struct sim *sim, const struct sim_router *router)
{
    for (struct sim_observer *o = sim->observer; o; o = o->next)
        if (o->on_router_down)
            o->on_router_down(o->ctx, router);
}

void observe_entry(struct sim *sim, const struct sim_router *router, const struct replica_moment *moment)
{
    for (struct sim_observer *o = sim->observer; o; o = o->next)
        if (o->on_entry)
            o->on_entry(o->ctx, router, moment);
}

void observe_event(struct sim *sim, const struct sim_router *router, const struct replica_moment *moment,
                   const struct event *event)
{
    for (struct sim_observer *o = sim->observer; o; o = o->next)
        if (o->on_event)
            o->on_event(o->ctx, router, moment, event);
}

void observe_told(struct sim *sim, const struct told *told)
{
    for (struct sim_observer *o = sim->observer; o; o = o->next)
        if (o->on_told)
            o->on_told(o->ctx, told);
}

void observe_phase(struct sim *sim, enum sim_phase phase)
{
    sim->phase = phase;
    for (struct sim_observer *o = sim->observer; o; o = o->next)
        if (o->on_phase)
            o->on_phase(o->ctx, phase);
}

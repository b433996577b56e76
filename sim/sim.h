/* sim.h - the world: a clock, a queue of events in a total order, random numbers, and what all parts count.
 *
 *      swarm_pick(seed) -> sim_open -> roles, clients, adversaries on computers -> sim_run -> report -> sim_close
 *
 * Everything that happens is an event. Events run one after another in the order (time, number), each to its end, and
 * while one runs its computer is the *current* one: net_wall_ms, random numbers and files are that computer's. Nothing
 * here looks at a real clock, a real file or an address of memory, so that a seed is a history.
 *
 * Units: the world's clock counts microseconds from 0. A computer's own clocks are in computer.h.
 */
#ifndef CORTEN_SIM_SIM_H
#define CORTEN_SIM_SIM_H

#include "base/buf.h"
#include "base/prng.h"
#include "base/types.h"
#include "sim/check.h"
#include "sim/swarm.h"

#define SIM_COMPUTERS_MAX 96

struct computer;
struct sim;

/* Inside its owner's struct, like a net_timer: all zero is off; the owner stops it before its memory goes. */
struct sim_event {
    uint64_t at_us;
    uint64_t number;            // of its start, among those of one time
    struct computer *computer;  // current while it fires; NULL: the world's own
    void (*fire)(void *ctx);
    void *ctx;
    uint32_t slot;  // of the queue, counted from 1; 0: off
};

/* Streams of random numbers: what one part draws does not move what another gets. */
enum sim_stream {
    SIM_SWARM,      // what the seed picks before anything runs
    SIM_NET,        // delays, losses, breaks
    SIM_DISK,       // the seeds of disks
    SIM_FAULTS,     // when computers crash, clocks jump, partitions come
    SIM_WORK,       // what clients ask
    SIM_ADVERSARY,  // what cheats do
    SIM_BYTES,      // the seeds of the computers' own random bytes
    SIM_STREAM_COUNT
};

/* What was done to the network, counted for the report. */
enum sim_fault {
    FAULT_CRASH,      // a computer lost power, or its program was killed
    FAULT_KILL,       // of these, killed: what it wrote is still there
    FAULT_RESTART,    // and came back
    FAULT_BREAK,      // a connection broke
    FAULT_HALF_OPEN,  // a connection died without a word
    FAULT_PARTITION,  // two groups of computers stopped hearing each other
    FAULT_HEAL,
    FAULT_DELAY,      // bytes came much later than usual
    FAULT_SPLIT,      // a piece came in two
    FAULT_SLOW,       // a reader that takes its time
    FAULT_CLOCK,      // a wall clock jumped
    FAULT_TORN,       // a write was torn by a crash
    FAULT_LOST,       // a write was lost by a crash
    FAULT_SYNC,       // a sync failed
    FAULT_READ,       // a read failed
    FAULT_WRITE,      // a write failed
    FAULT_FULL,       // a write found the disk full
    FAULT_DUPLICATE,  // a frame or a request was sent twice
    FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault fault);

struct sim_observer;
struct net_world;
struct trouble;      // trouble.h
struct roles;        // roles.h
struct clients;      // client.h: clients_open(sim), clients_close(clients), clients_are_done(clients)
struct adversaries;  // adversary.h: adversaries_open(sim), adversaries_close(adversaries)
struct checks;       // check_world.h: checks_open(sim), checks_close(checks)

enum sim_phase { SIM_FOUNDING, SIM_FAULTS_ON, SIM_HEALED, SIM_OVER };

struct sim {
    struct swarm swarm;
    uint64_t now_us;
    struct sim_event **queue;  // [queue_cap + 1]; 1 is the root
    uint32_t queue_count, queue_cap;
    uint64_t event_number, events_fired;
    struct prng prng[SIM_STREAM_COUNT];
    struct computer *current;  // NULL: the world itself
    struct computer *computer[SIM_COMPUTERS_MAX];
    uint32_t computer_count;
    /* While a worker runs: bells that it rings are heard when what it did to the disk so far has taken its time. */
    bool worker_runs;
    uint64_t worker_took_us;
    enum sim_phase phase;
    struct sim_observer *observer;  // list
    uint64_t fault[FAULT_COUNT];
    struct net_world *net;
    struct roles *roles;
    struct trouble *trouble;
    struct clients *clients;
    struct adversaries *adversaries;
    struct checks *checks;
    struct check check;  // the first violation ends the run
    bool trace;          // --trace: what happens is printed as it happens
};

/* One world at a time. */
struct sim *sim_open(const struct swarm *swarm);
void sim_close(struct sim *sim);
/* The world there is: for seams that are handed nothing (clocks, random bytes, files). NULL between two worlds. */
struct sim *sim_world(void);

void sim_at(struct sim *sim, struct sim_event *event, uint64_t at_us, struct computer *computer,
            void (*fire)(void *ctx), void *ctx);
void sim_after(struct sim *sim, struct sim_event *event, uint64_t after_us, struct computer *computer,
               void (*fire)(void *ctx), void *ctx);
void sim_stop(struct sim *sim, struct sim_event *event);
/* Fires the next event. False: there is none, or a checker has failed. */
bool sim_step(struct sim *sim);
/* Fires all events up to and with that time. */
void sim_run_until(struct sim *sim, uint64_t until_us);
/* Whether nothing was violated. */
bool sim_is_well(const struct sim *sim);

uint64_t sim_draw(struct sim *sim, enum sim_stream stream);
uint64_t sim_below(struct sim *sim, enum sim_stream stream, uint64_t below);                   // below > 0
uint64_t sim_between(struct sim *sim, enum sim_stream stream, uint64_t least, uint64_t most);  // both can come
bool sim_chance(struct sim *sim, enum sim_stream stream, uint32_t ppm);                        // parts in a million

void sim_count_fault(struct sim *sim, enum sim_fault fault);
/* A line of --trace: "[12.345678] router-0 words". */
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

/* computer.h - one simulated computer: a loop, clocks, a disk, an address; it can lose power and come back.
 *
 *      DOWN --computer_start--> UP --computer_crash--> DYING (same event) --> DOWN --computer_start--> UP …
 *
 * What runs on it is a program: a pair of functions. A crash first marks the computer dead, so that nothing it still
 * does reaches network or disk; then, when the event that runs has ended, the program is halted (its objects are closed
 * to give memory back), what its disk had not synced is lost or torn, and its sockets break at the peers.
 *
 * Units: wall clocks are milliseconds since 1970, others microseconds of the world.
 */
#ifndef CORTEN_SIM_COMPUTER_H
#define CORTEN_SIM_COMPUTER_H

#include "net/loop.h"
#include "sim/sim.h"

#define COMPUTER_NAME_SIZE 32
#define SIM_EPOCH_MS       1700000000000ull  // wall clock when the world begins

struct disk;

struct program {
    /* Power is on: open what runs here. The computer is current. */
    void (*start)(void *ctx);
    /* Power is off, or the world ends: close everything without a word. Nothing it does gets anywhere. */
    void (*halt)(void *ctx);
    void *ctx;
};

struct computer {
    struct sim *sim;
    uint32_t number;
    char name[COMPUTER_NAME_SIZE];  // its host name: "router-0"
    struct program program;
    struct net_loop *loop;  // NULL: down
    struct disk *disk;      // of the computer's name: "router-0/ledger.db"; outlives crashes
    struct prng bytes;      // its random bytes
    uint64_t started_us;
    uint64_t mono_base_us;   // what its monotonic clock showed then
    int64_t wall_offset_ms;  // what its wall clock shows beyond the world's time
    int32_t drift_ppm;       // how much faster its clocks run
    bool up;
    bool dying;       // lost power, or ended, within this event
    bool keeps_disk;  // ended: what was written is there
    uint32_t crashes, starts;
    uint32_t group;  // who hears whom: net.h
    struct sim_event boot;
    uint64_t boot_after_us;       // after the crash under way; TIME_NEVER: stays down
    uint64_t boot_after_disk_us;  // after a crash that its disk began
};

/* Makes a computer that is down. Lives as long as the world. */
struct computer *computer_open(struct sim *sim, const char *name, const struct program *program);
void computer_start(struct computer *computer);
/* Loses power. Takes effect at once as seen from outside, and closes its objects after the event that runs. Starts
 * again after that time; TIME_NEVER: does not. */
void computer_crash(struct computer *computer, uint64_t boot_after_us);
/* The program ends by itself, and is started again after that time: nothing written is lost. Within its own event. */
void computer_end(struct computer *computer, uint64_t boot_after_us);
/* It lost power within the event that runs, or its disk died in a write: nothing it does has any effect any more. */
bool computer_is_dead(const struct computer *computer);
/* An orderly end, without loss on disk. */
void computer_halt(struct computer *computer);
void computer_close(struct computer *computer);  // sim_close does it

/* Around whatever happens on a computer that is up: makes it the current one; then sends what it gathered, and lets it
 * fall where it lost power meanwhile. sim_step does it for the computer of an event. */
void computer_enter(struct computer *computer);
void computer_leave(struct computer *computer);

uint64_t computer_wall_ms(const struct computer *computer);
uint64_t computer_mono_us(const struct computer *computer);  // with its drift
/* The world's time at which it shows that. */
uint64_t computer_when_us(const struct computer *computer, uint64_t mono_us);
/* Makes libsodium's random bytes those of the current computer. Once a process, before anything asks for one. */
void computer_install_random(void);

struct computer *computer_find(struct sim *sim, const char *name);

#endif

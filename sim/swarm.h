/* swarm.h - what a seed picks: how large the network is, how it behaves, what befalls it, and who in it cheats.
 *
 * A swarm says everything that is decided before the first event; what happens later is drawn from the seed's streams.
 * Of the faults and adversaries most are off in most seeds, so that each also meets a quiet network ("swarm testing").
 */
#ifndef CORTEN_SIM_SWARM_H
#define CORTEN_SIM_SWARM_H

#include "base/buf.h"
#include "base/types.h"

#define SWARM_ROUTERS_MAX 3
#define SWARM_ORACLES_MAX 3
#define SWARM_MINERS_MAX  8
#define SWARM_CLIENTS_MAX 8
#define SWARM_HEALED_MS   420000  // more than the longest deadline of a task, and a client's patience

/* adversary.h says what each does. */
enum adversary_kind {
    ADVERSARY_SILENT,          // takes offers and never answers
    ADVERSARY_SLOW,            // answers at the last moment, or after it
    ADVERSARY_COPY,            // repeats what another miner committed
    ADVERSARY_WRONG_REVEAL,    // reveals what it did not precommit to
    ADVERSARY_NEVER_REVEAL,    // precommits and falls silent
    ADVERSARY_CHALLENGE_ONLY,  // honest in rounds, garbage to users
    ADVERSARY_COLLUDE,         // two that agree on a wrong answer
    ADVERSARY_OVERCHARGE,      // counts more tokens than it made
    ADVERSARY_REPLAY,          // sends old frames again
    ADVERSARY_FORGE,           // signs with a wrong key
    ADVERSARY_LYING_ORACLE,    // says the contrary of what it saw
    ADVERSARY_ABSENT_LEADER,   // an oracle that heartbeats and leads nothing
    ADVERSARY_SILENT_ROUTER,   // falls silent with tasks in hand
    ADVERSARY_DICE,            // an oracle that tries to choose the beacon
    ADVERSARY_DECLINE,         // takes nothing
    ADVERSARY_NOISE,           // garbage, frames that are too large, floods
    ADVERSARY_FLAP,            // its socket comes and goes
    ADVERSARY_MEDDLER,         // an oracle that reaches for what is another's, judges twice, starts another challenge
    ADVERSARY_STALE_ROUTER,    // a second program with a router's key: of two epochs one is old
    ADVERSARY_CLIENT,          // spends more than its budget, reads and goes, looks at others' tasks
    ADVERSARY_COUNT
};
const char *adversary_name(enum adversary_kind kind);

struct swarm {
    uint64_t seed;
    /* ---- who ---- */
    uint32_t routers, oracles, miners, clients;  // honest ones
    uint8_t adversary[ADVERSARY_COUNT];          // how many of each
    bool shared_ledger;                          // mem:NAME; else sqlite on the disk of the one router
    /* ---- policies ---- */
    uint32_t redundancy;  // of shared sessions
    uint32_t validation;  // enum validation_policy
    uint32_t audit_bp;
    uint32_t oracle_quorum;
    uint32_t miner_slots;
    uint32_t node_absent_ms, heartbeat_ms, idle_ms;
    /* ---- work ---- */
    uint32_t tasks;     // prompts that the clients send, all together
    uint32_t think_ms;  // between two prompts of a client
    uint32_t prompt_words;
    uint32_t engine_slow_ms[SWARM_MINERS_MAX];  // of each miner's echo: a word
    uint32_t engine_tokens;                     // words of an answer; 0: as the engine likes
    uint32_t stream_ppm, cancel_ppm, retry_ppm, disconnect_ppm, slow_reader_ppm;  // of requests
    uint32_t json_miners, json_oracles;  // bit n: its links carry JSON, and not bytes
    /* ---- faults: 0 means never ---- */
    uint32_t latency_us_min, latency_us_max, late_ppm, late_us, split_ppm, break_ppm, half_open_ppm;
    uint32_t crash_router_ms, crash_miner_ms, crash_oracle_ms;  // mean time between two
    uint32_t down_ms_max;                                       // of a crashed computer
    uint32_t partition_ms, clock_jump_ms;                       // mean time between two
    uint32_t clock_jump_max_ms, drift_ppm_max;
    uint32_t disk_read_fail_ppm, disk_write_fail_ppm, disk_sync_fail_ppm;  // disk.h
    uint32_t disk_sync_us_min, disk_sync_us_max;                           // also without faults
    bool disk_power_safe;
    uint32_t disk_die_ppm;  // of crashes of routers: within a write, at the boundary that is drawn
    uint32_t disk_full_ms;  // mean time between two; until then it has some KiB left
    uint32_t kill_ppm;      // of crashes: the program dies and the power stays
    /* ---- how long ---- */
    uint32_t faults_ms;  // phase one
    uint32_t healed_ms;  // phase two at most: who has not ended by then has not made progress
};

/* What swarm_print shows; X(name). */
// clang-format off
#define SWARM_NUMBERS(X)                                                                                    \
    X(routers) X(oracles) X(miners) X(clients) X(shared_ledger) X(redundancy) X(validation) X(audit_bp)     \
    X(oracle_quorum) X(miner_slots) X(node_absent_ms) X(heartbeat_ms) X(idle_ms) X(tasks) X(think_ms)       \
    X(prompt_words) X(engine_tokens) X(stream_ppm) X(cancel_ppm) X(retry_ppm) X(disconnect_ppm)             \
    X(slow_reader_ppm) X(json_miners) X(json_oracles) X(latency_us_min) X(latency_us_max) X(late_ppm) X(late_us) X(split_ppm) X(break_ppm) \
    X(half_open_ppm) X(crash_router_ms) X(crash_miner_ms) X(crash_oracle_ms) X(down_ms_max) X(partition_ms) \
    X(clock_jump_ms) X(clock_jump_max_ms) X(drift_ppm_max) X(disk_read_fail_ppm) X(disk_write_fail_ppm)     \
    X(disk_sync_fail_ppm) X(disk_sync_us_min) X(disk_sync_us_max) X(disk_power_safe) X(disk_die_ppm)        \
    X(disk_full_ms) X(kill_ppm) X(faults_ms) X(healed_ms)
// clang-format on

/* Everything follows from the seed. */
void swarm_pick(uint64_t seed, struct swarm *ret_swarm);
/* The same network without a fault or a cheat: the first test of the simulator itself. */
void swarm_calm(uint64_t seed, struct swarm *ret_swarm);
/* One line of name=value, values that are 0 left out. */
void swarm_print(const struct swarm *swarm, struct buf *out);

#endif

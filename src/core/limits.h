/* limits.h - bounds of the core that no genesis may pass. Sizes of fields stand in command.def.
 * Source: docs/protocol.md, "Limits". */
#ifndef CORTEN_CORE_LIMITS_H
#define CORTEN_CORE_LIMITS_H

#define ADMINS_MAX        16
#define ORACLES_MAX       16
#define ROUTERS_MAX       16
#define SIGNATURES_MAX    16    // of one entry
#define ENTRY_SIZE_MAX    4096  // bytes of one entry
#define BATCH_ENTRIES_MAX 1024
#define NONCE_WINDOW      64  // nonces below the highest used that may still come

#define REDUNDANCY_MAX      15
#define SESSION_NODES_MAX   256
#define SESSION_LIST_MAX    32  // members; and nodes or operators allowed
#define SESSION_ROUTERS_MAX 8
#define NODE_MODELS_MAX     4
#define NODE_LINKS_MAX      4  // routers that one node is attached to
#define NODE_SLOTS_MAX      64
#define PRIORITIES          10
#define PRIORITY_DEFAULT    255
#define ATTEMPTS_MAX        10
#define POISON_NODES        3                   // different nodes that failed without blame: the task is at fault
#define PRICE_MAX           ((1ull << 40) - 1)  // credits per million tokens
#define PROMPT_SIZE_MAX     (16u << 20)
#define ROUND_NODES_MAX     16
#define POOL_SESSIONS_MAX   8

#define SWEEP_MAX         64     // deadlines that fire before one command
#define CLOCK_STEP_MS_MAX 15000  // core time gained by one entry at most
/* The most events of one sweep step or command: a session that opens with SESSION_NODES_MAX nodes has two for each;
 * less come from a task of REDUNDANCY_MAX assignments with its settlement, or a round of ROUND_NODES_MAX. Before a
 * command the sweep ends after the step that brings it to SWEEP_EVENTS_MAX. */
#define EVENTS_PER_STEP_MAX    (2 * SESSION_NODES_MAX + 16)
#define SWEEP_EVENTS_MAX       4096
#define EVENTS_PER_COMMAND_MAX (SWEEP_EVENTS_MAX + 2 * EVENTS_PER_STEP_MAX)

#endif

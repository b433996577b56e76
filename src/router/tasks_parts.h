/* tasks_parts.h - within src/router: what tasks.c and tasks_answer.c share.
 *
 *      tasks --by slot--> run (a task that lives here) --> answers (one a lease), watches (one a client)
 */
#ifndef CORTEN_ROUTER_TASKS_PARTS_H
#define CORTEN_ROUTER_TASKS_PARTS_H

#include "router/history.h"
#include "router/hub.h"
#include "router/tasks.h"

/* What a miner says of a lease goes onto the ledger once, however often the miner says it. */
enum said { SAID_ACK = 1, SAID_PRECOMMIT = 2, SAID_END = 4 };

/* What came from one node for one lease. */
struct answer {
    struct answer *next;
    uint64_t lease, seed;
    struct address node;
    enum assignment_state state;
    uint32_t attempt;
    uint64_t offered_ms, first_ms;  // net_now_ms; 0: no token yet
    uint64_t chunks;                // frames
    struct hash head;               // of their chain, from the first one on
    uint32_t tokens;
    struct buf text;             // as streamed
    struct buf whole;            // as revealed
    bool revealed;               // its commit is on its way to the ledger, or stands
    uint8_t said;                // enum said: what is on its way to the ledger, or stands there
    struct hash payload_digest;  // as the ledger has it, from its reveal on
};

struct run {
    struct tasks *tasks;
    uint64_t id, session;
    struct address payer;
    struct buf request;
    struct hash prompt_digest;
    uint32_t tokens_max, redundancy;
    bool streams, channel, seed_of_client;
    struct answer *answer;  // newest first
    uint64_t primary;       // lease; 0: none
    uint64_t relayed;       // the lease whose text went to clients; 0: none did
    size_t relayed_size;    // of its text, the most that any client had
    uint32_t relayed_tokens;
    bool interrupted;
    bool pinned;     // the ledger was told that this primary streams
    bool cancelled;  // its nodes have been told; no more text goes out
    struct task_watch *watch;
    struct task_end end;  // gathered from the events of its last entry
    bool ended;
    uint64_t answer_lease;
    struct run *next_ended;
};

struct task_watch {
    struct tasks *tasks;
    struct run *run;  // NULL: not yet accepted, or over
    struct task_watch *next;
    struct task_sink sink;
    size_t sent;            // bytes of text
    struct text_mark from;  // what its client had before
    bool paused;
    struct pending *pending;  // until it is accepted
    struct net_timer soon;    // for what must not be called from inside
    uint64_t session, task;   // of an ended one
};

/* A wish on its way through the ledger. */
struct pending {
    struct tasks *tasks;
    struct pending *next, **at;
    struct buf request;
    struct hash prompt_digest, reference;
    struct address payer;
    uint64_t session;
    bool stream;
    struct run *run;           // from TASK_CREATED on
    struct task_watch *watch;  // NULL: the client has gone
};

struct tasks {
    struct tasks_options options;
    struct replica *replica;
    struct hub *hub;
    struct replica_listener listener;
    struct run **run;  // [run_cap], by the slot in the task's id
    uint32_t run_cap;
    struct pending *pending, **pending_last;
    struct run *ended;
    struct tasks_stats stats;
};

struct run *run_find(const struct tasks *tasks, uint64_t task);
struct answer *answer_find(const struct run *run, uint64_t lease);
/* The run and answer of a live lease; false: it is not live here. */
bool run_of_lease(const struct tasks *tasks, uint64_t lease, struct run **ret_run, struct answer **ret_answer);
/* Hands out what text the watches have not got. */
void run_relay(struct run *run);
void run_offer(struct run *run, const struct answer *answer, struct task_offer *ret_offer);

#endif

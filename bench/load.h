/* load.h - a large network in steady work: what a router appends while clients and miners are busy.
 *
 * The network is made of commands alone, as in life: nodes register, are tested in rounds and reserved by sessions;
 * users have keys and money. Then tasks are submitted until so many are live, of which every slot of the busy sessions'
 * nodes has one. From there on each batch moves leases that are drawn at random by one step (ack, precommit, reveal),
 * replaces what ended by new tasks of the same session, and has a few declines, cancels, streams, commands that come
 * too late, heartbeats and ticks among them. Ledger time passes as it would at LOAD_RATE entries a second.
 *
 * No two commands of a batch speak of one lease, so a batch can be made before it is applied; and none finds its rows
 * warm from the command before it, which is the worst case.
 *
 * Files: load.c (a network with nodes, users and sessions), load_work.c (tasks).
 */
#ifndef CORTEN_BENCH_LOAD_H
#define CORTEN_BENCH_LOAD_H

#include "core/core.h"
#include "core/record.h"

#define LOAD_RATE      2000000  // entries a second of ledger time
#define LOAD_ENTRY_MAX 640      // bytes of the largest entry of a batch
#define LOAD_SLOTS     4        // of each node
#define LOAD_MEMBERS   16       // nodes of each session
#define LOAD_ORACLES   2

/* A whole batch, in the order of its entries, once it is applied. */
typedef void load_sink(void *ctx, const struct span *entry, uint32_t count, uint64_t time_ms);

struct load_options {
    uint32_t nodes, users;
    uint32_t tasks;   // the most that will be live
    load_sink *sink;  // NULL: nobody keeps the entries
    void *ctx;
};

struct load_entry {
    struct command cmd;
    struct span bytes;
    uint32_t number, session;  // of a submit
};
/* What the router has to know of an event. */
struct load_news {
    enum event_type type;
    uint8_t to;
    uint32_t entry;  // of the batch
    uint64_t task, lease, seed;
    struct address node;
};
#define LOAD_NEWS_MAX (8 * BATCH_ENTRIES_MAX + EVENTS_PER_COMMAND_MAX)

/* A live lease, as its task's router knows it. */
struct load_lease {
    uint64_t lease, task, seed;
    struct address node;
    uint32_t batch;  // that last spoke of it
    uint8_t state;   // enum assignment_state
    bool streams;
};
struct load_task {
    uint64_t id;              // 0: none
    uint32_t payer, session;  // indexes of user and session
    uint32_t number;          // its digests are made of it
    bool queued;
};
struct load_user {
    struct address account;
    struct hash key;
};

struct load {
    struct load_options options;
    struct span kept[BATCH_ENTRIES_MAX];  // the open batch, for the sink
    uint8_t *kept_bytes;
    uint32_t kept_count, kept_size;
    uint64_t kept_ms;
    struct core *core;
    size_t core_size;
    struct event_list out;
    uint8_t genesis_bytes[ENTRY_SIZE_MAX];
    struct cmd_genesis genesis;
    uint64_t ledger_ms, ledger_part;  // the ledger's time, and entries since it last moved
    uint64_t beat_ms;                 // core time of the last heartbeats
    uint64_t dice, nonce;
    struct hash *chain[LOAD_ORACLES];  // each value the hash of the one before
    uint32_t revealed;
    struct hash manifest;
    uint64_t model;
    struct load_user *user;
    uint64_t *session;               // [sessions]: ids
    uint32_t sessions, *session_at;  // by slot: index in session[]
    struct load_lease *lease;        // [leases], in no order
    uint32_t leases, *lease_at;      // by row: index in lease[]
    struct load_task *task;          // by slot
    uint32_t numbers;                // tasks ever submitted
    uint32_t *owed, owed_count;      // sessions whose tasks ended and are to be replaced
    uint32_t batches, count;
    struct load_entry *entry;  // [count] of the present batch
    uint8_t *bytes;            // [BATCH_ENTRIES_MAX][LOAD_ENTRY_MAX]
    struct load_news *news;    // [news_count] of the present batch
    uint32_t news_count;
    uint64_t accepted[COMMAND_TYPE_END], refused;
};

/* Makes the network, without tasks. */
struct load *load_open(const struct load_options *options);
void load_close(struct load *load);
/* Submits until `tasks` are live; as many sessions as their nodes have slots for four tenths of them share these. */
void load_fill(struct load *load, uint32_t tasks);
/* Makes the next batch: entry[0..count-1], with time and author. */
void load_make(struct load *load);
/* Directly behind core_apply of entry i: notes what the router has to know of it. */
void load_note(struct load *load, uint32_t i, enum verdict verdict, const struct event_list *out);
/* Behind the batch: the router learns what was noted. */
void load_learn(struct load *load);
/* Makes, applies, ends and learns one batch. */
void load_run(struct load *load);

/* ---- between load.c and load_work.c ---- */

/* Keeps an applied entry for the sink; ends the open batch, in the core as well. */
void load_keep(struct load *load, struct span bytes);
void load_end_batch(struct load *load);
/* An entry's bytes with signatures that are played: their first bytes are the signer's address. And who signed so. */
uint32_t load_encode(const struct command *cmd, uint8_t *ret_bytes, uint32_t cap);
bool load_decode(struct span bytes, struct command *ret_cmd);

struct address load_address(char kind, uint32_t n);
struct hash load_hash(char kind, uint64_t n);
uint64_t load_draw(struct load *load, uint64_t below);
/* Applies a command that must be accepted, as a batch of its own. */
void load_do(struct load *load, struct command *cmd);
/* Heartbeats of router and oracles into the present batch, or each applied at once. */
void load_beat_fill(struct load *load, uint32_t i, struct command *ret_cmd);
#define LOAD_BEATS (1 + LOAD_ORACLES)
/* What a miner answers to a lease: always the same for the same one. Gives the precommit. */
struct load_answer {
    struct hash salt, head, precommit;
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t size;
};
struct load_question {
    uint64_t session, task, lease, seed;
    struct address node;
    struct hash request;
};
void load_answer(const struct load *load, const struct load_question *question, struct load_answer *ret_answer);

#endif

/* check_world_parts.h - between the files of check_world.h; nobody else includes it. */
#ifndef CORTEN_SIM_CHECK_WORLD_PARTS_H
#define CORTEN_SIM_CHECK_WORLD_PARTS_H

#include <inttypes.h>

#include "sim/check_world.h"

/* One entry as it was first applied. */
struct told_entry {
    uint64_t time_ms;
    uint8_t *bytes;
    uint32_t size;
    struct address author;
    enum verdict verdict;
    struct hash before;  // running digest before its batch
    struct address *signer;
    uint8_t signer_count;
};

/* What became of a task, by the ledger. */
struct task_record {
    uint64_t task, session, answer;  // answer: a lease; 0: none
    struct address payer, router;
    struct hash reference, prompt_digest;
    enum task_state state;
    enum fail_cause cause;
    uint64_t created_seq, ended_seq, streamed;  // streamed: the lease that began to stream; 0: none
    struct amount reserved, charged;
    struct {
        uint64_t lease;
        struct hash text_digest, payload_digest;
        uint32_t tokens_in, tokens_out;
        uint8_t finish;
    } revealed[2 * REDUNDANCY_MAX];
    uint32_t reveals;
    uint32_t tokens_in, tokens_out;  // of the answer, as charged
    bool cancel_asked;
};

struct checks {
    struct sim *sim;
    struct sim_observer observer;
    struct cmd_genesis genesis;
    uint8_t genesis_bytes[ENTRY_SIZE_MAX];
    void *core_memory, *books_memory, *second_memory;
    struct core *core;  // the shadow; NULL before the genesis
    struct check_core *books;
    struct core *second;       // went through a snapshot on the way; NULL: not yet, or not in this world
    struct told_entry *entry;  // [entries], entry[seq - 1]
    uint32_t entries, entry_cap;
    struct task_record *task;
    uint32_t tasks, task_cap;
    struct event_list out;
    uint64_t healed_us;
    struct address honest[SWARM_MINERS_MAX];  // nodes; zero: none
};

/* check_shadow.c: an entry that a router has applied; a router that has replayed to seq; another core at the same
 * entry. */
void shadow_entry(struct checks *c, uint32_t router, const struct replica_moment *moment);
void shadow_router_opens(struct checks *c, uint32_t router, uint64_t seq);
void shadow_compare(struct checks *c, struct core *other, enum checker checker, const char *what);
/* From here on a second core goes with the shadow, made from a snapshot of it. Between batches. */
void shadow_snapshot(struct checks *c);
/* A core of this network; its memory is the caller's. */
struct core *shadow_core(struct checks *c, void **ret_memory);
/* What the entry's bytes say, with what the ledger and the signatures add. False: they say nothing. */
bool shadow_read(const struct told_entry *e, struct command *ret_cmd);
extern struct event shadow_room[EVENTS_PER_COMMAND_MAX];  // for events that nobody reads
/* check_record.c: one event of the shadow. */
void record_event(struct checks *c, const struct command *cmd, const struct event *e);
struct task_record *record_task(struct checks *c, uint64_t task);
struct task_record *record_reference(struct checks *c, const struct address *payer, const struct hash *reference);
/* check_told.c */
void told_check(struct checks *c, const struct told *told);
/* check_nodes.c: one event of the shadow. */
void nodes_watch(struct checks *c, const struct event *e);

#endif

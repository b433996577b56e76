/* queue_model.h - what docs/protocol.md, "Tasks", says about one session, in the plainest way: arrays, and everything
 * counted anew each time. It cannot know which nodes the dice pick; it says which tasks are assigned and replaced, and
 * takes the nodes from the core's offers, each of which must be one that the rules allow.
 */
#ifndef CORTEN_TESTS_QUEUE_MODEL_H
#define CORTEN_TESTS_QUEUE_MODEL_H

#include "lib/bench.h"

#define MODEL_TASKS  256
#define MODEL_LEASES 96  // of one task, over all attempts
#define MODEL_NODES  12

struct model_lease {
    uint64_t lease, offered_ms;
    uint32_t node;  // number of the miner, from 1
    enum assignment_state state;
    enum fail_cause cause;
    uint32_t attempt, tokens_out;
    bool primary;
    char text;  // what it answers
};
struct model_task {
    uint64_t id, queued_ms, phase_ms;
    enum task_state state;
    enum fail_cause cause;  // why it ended
    uint32_t priority, attempt, replaced;
    int64_t order;  // in its lane, the least first
    bool cancelling;
    uint32_t relayed;
    uint64_t charged;
    struct model_lease lease[MODEL_LEASES];
    uint32_t leases;
};
struct queue_model {
    struct bench *b;
    struct cmd_session_open terms;
    uint32_t miners, slots, operators;
    uint64_t price_in, price_out;
    struct model_task *task;  // [MODEL_TASKS]
    uint32_t tasks;
    int64_t first, last;
    uint64_t now_ms;
};

void model_submit(struct queue_model *m, uint64_t id, uint32_t priority);
void model_cancel(struct queue_model *m, struct model_task *t, uint32_t relayed);
/* What the core should answer to these, and then what follows from it. */
enum verdict model_ack(struct queue_model *m, struct model_task *t, struct model_lease *l);
enum verdict model_decline(struct queue_model *m, struct model_task *t, struct model_lease *l,
                           enum decline_reason reason);
enum verdict model_fault(struct queue_model *m, struct model_task *t, struct model_lease *l, enum fail_cause cause);
enum verdict model_precommit(struct queue_model *m, struct model_task *t, struct model_lease *l, bool same);
enum verdict model_commit(struct queue_model *m, struct model_task *t, struct model_lease *l, bool wrong);
/* All deadlines up to this moment, in their order. */
void model_wait(struct queue_model *m, uint64_t now_ms);
/* Fails the test where the core says otherwise of any task. */
void model_compare(struct queue_model *m);

#endif

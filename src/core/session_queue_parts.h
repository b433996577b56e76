/* session_queue_parts.h - within src/core: what the session_queue_*.c files share.
 *
 *      session_queue.c          opening, submit, asking
 *      session_queue_lane.c     which task is next; who is parked
 *      session_queue_move.c     the states of tasks and assignments, and what hangs on them
 *      session_queue_phase.c    offers, replacement, from phase to phase, deadlines, next attempts
 *      session_queue_assign.c   commands that carry a lease
 *      session_queue_settle.c   decision, pay, cancel and every other end
 *      session_queue_sweep.c    what is done between commands
 *      session_queue_expect.c   what a command will touch, asked for before its turn
 *      session_queue_rows.c     snapshots, and what must hold
 *
 * `task` is a task's slot and `row` an assignment's. Functions here never refuse.
 */
#ifndef CORTEN_CORE_SESSION_QUEUE_PARTS_H
#define CORTEN_CORE_SESSION_QUEUE_PARTS_H

#include "core/session_queue.h"

/* Dice: docs/protocol.md, "Randomness". */
#define SEED_TAG "corten/s"

/* Most nodes that one task's attempts can have failed on. */
#define FAILED_NODES_MAX 64
/* How far a view counts to say what place a task has. */
#define POSITION_MAX 1000
/* Keys of ended tasks that may be left in `due`: their slots are used again soonest. */
#define DEAD_KEYS_MAX 256
/* Tasks that one look for work goes past before it gives up. */
#define DISPATCH_SCAN_MAX 16

static inline bool task_has(const struct task *t, enum task_flag flag) { return t->flags & flag; }
static inline bool task_is_live(enum task_state state) { return state < TASK_COMPLETED; }
static inline bool assignment_is_live(enum assignment_state state) { return state <= ASSIGNMENT_COMMITTED; }
static inline const struct session_policy *task_policy(const struct session_queue *queue, uint32_t task)
{
    return session_policy(queue->session, queue->task[task].session);
}

/* The live task with that id. Refused: TASK_UNKNOWN; TASK_ENDED, where the id was given. */
enum verdict queue_find_task(const struct session_queue *queue, uint64_t id, uint32_t *ret_task);

/* ---- session_queue_lane.c ---- */

void queue_clear_lanes(struct session_lanes *lanes);

/* A task that waits is in its lane, or parked. These two put one that ran into its lane and take it out. */
void queue_enlane(struct session_queue *queue, uint32_t task, bool first);
void queue_leave_lane(struct session_queue *queue, uint32_t task);
/* A new task joins its lane; one that ends leaves what it is in. */
void queue_join(struct session_queue *queue, uint32_t task);
void queue_leave(struct session_queue *queue, uint32_t task);
/* Its router fell silent, or lives again. */
void queue_park(struct session_queue *queue, uint32_t task);
void queue_unpark(struct session_queue *queue, uint32_t task);
/* A router that tasks are parked for is present again, or none: SLOT_NONE. */
uint32_t queue_returned_router(const struct session_queue *queue);
/* Takes some tasks of routers that returned back into their lanes. */
void queue_unpark_some(struct session_queue *queue);
/* Assigns one task of an ACTIVE session. False: there is none that could be. */
bool queue_dispatch(struct session_queue *queue, uint32_t session);
/* Something changed for the session's tasks: the next look may find what the last did not. */
void queue_feed(struct session_queue *queue, uint32_t session);
/* Behind every command and step of the sweep that touched the session: assigns what can be assigned now, one task at
 * once and the rest by the sweep. */
void queue_settle(struct session_queue *queue, uint32_t session);

/* ---- session_queue_move.c ---- */

/* The only writers of the two states. They check the arrow, keep lists, slots and counters in step, and tell it. */
void queue_move_task(struct session_queue *queue, uint32_t task, enum task_state to, enum fail_cause cause);
void queue_move_assignment(struct session_queue *queue, uint32_t row, enum assignment_state to, enum fail_cause cause);
/* A new assignment, OFFERED; SLOT_NONE where the table is full. */
uint32_t queue_take_row(struct session_queue *queue, uint32_t task, uint32_t node);
/* Forgets a task's assignments, none of which is live: all, or only those that were recalled and tell nothing. */
void queue_give_rows(struct session_queue *queue, uint32_t task, bool recalled_only);
bool queue_has_rows(const struct session_queue *queue, uint32_t count);
/* The deadline of the phase that the task is in; TIME_NEVER: it has none. And the earlier of it and the whole task's.
 */
uint64_t queue_phase_deadline_ms(const struct session_queue *queue, uint32_t task);
uint64_t queue_total_deadline_ms(const struct session_queue *queue, uint32_t task);
/* Its deadline came earlier, or a phase began. */
void queue_set_due(struct session_queue *queue, uint32_t task);
/* The task has ended: its key goes, or stays for the next task of its slot, whose deadlines come later as a rule. */
void queue_end_due(struct session_queue *queue, uint32_t task);
/* Makes the first deadline exact again. */
void queue_settle_due(struct session_queue *queue);
/* The lease of the task's primary row; SLOT_NONE: it has none. */
uint32_t queue_primary(const struct session_queue *queue, uint32_t task);
void queue_set_primary(struct session_queue *queue, uint32_t task, uint32_t row);  // SLOT_NONE: none any more

/* ---- session_queue_phase.c ---- */

/* Offers a QUEUED task to these nodes, redundancy many: its next attempt begins. */
void queue_assign(struct session_queue *queue, uint32_t task, const uint32_t *nodes, uint32_t count);
/* The wish for members of this task's next attempt, or of its present one's replacement. */
struct queue_wish {
    struct member_wish wish;
    uint32_t avoid[2 * REDUNDANCY_MAX];
    uint32_t shun[FAILED_NODES_MAX];
};
/* Tokens of context that the task needs at least: those of the prompt are not known to the core. */
uint32_t queue_context(const struct session_queue *queue, uint32_t task);
void queue_wish(const struct session_queue *queue, uint32_t task, bool replaces, struct queue_wish *ret_wish);
/* An assignment ended without an answer: blames, replaces while ASSIGNED, and goes on as far as the task can. */
void queue_lose(struct session_queue *queue, uint32_t row, enum assignment_state to, enum fail_cause cause);
/* Takes the task through all phases that its assignments are ready for; `cause` of what happened last, in case the
 * attempt has failed. */
void queue_advance(struct session_queue *queue, uint32_t task, enum fail_cause cause);
/* Ends the attempt: the next one, or the task's failure. */
void queue_next_attempt(struct session_queue *queue, uint32_t task, enum fail_cause cause);
/* A deadline of the task has come. */
void queue_deadline(struct session_queue *queue, uint32_t task);

/* ---- session_queue_expect.c ---- */

/* An assignment will end: ask for its node's next to newest, and for the tasks that the node may get next; later for
 * those behind them. */
void queue_expect_next(const struct session_queue *queue, uint32_t row);
void queue_expect_after(const struct session_queue *queue, uint32_t session);

/* ---- session_queue_settle.c ---- */

/* Enough reveals matched: which stand, who is paid; or the next attempt. */
void queue_decide(struct session_queue *queue, uint32_t task);
/* Ends a task that has no answer: recalls, refunds, remembers. */
void queue_end(struct session_queue *queue, uint32_t task, enum task_state to, enum fail_cause cause);
/* Begins a cancel, and ends one whose assignments have said what they had. */
void queue_begin_cancel(struct session_queue *queue, uint32_t task, uint32_t relayed);
void queue_end_cancel(struct session_queue *queue, uint32_t task);
/* Counts a failure of a live assignment; WRONG, STREAM_DIFFERS, WITHHELD and OUTVOTED are blamed at once. */
void queue_blame(struct session_queue *queue, uint32_t row, enum fail_cause cause);
bool queue_is_poisoned(const struct session_queue *queue, uint32_t task);
bool queue_misses_payload(const struct session_queue *queue, uint32_t task);

#endif

/* session_queue.h - every task from the client's request to its settlement.
 *
 *      task:        QUEUED -> ASSIGNED -> ACKED -> PRECOMMITTED -> COMMITTED -> VALIDATED -> COMPLETED
 *                      ^          |         |           |              |
 *                      +----------+---------+-----------+--------------+     (next attempt)
 *                   any live state -> CANCELLED | EXPIRED (deadline) | FAILED (attempts used up)
 *      assignment:  OFFERED -> ACKED -> PRECOMMITTED -> COMMITTED -> ACCEPTED | REJECTED
 *                   any live state -> DECLINED | TIMED_OUT | WITHHELD | RECALLED
 *
 * Every assignment command carries its lease; one that is not live is LEASE_STALE, whatever it says. A terminal state
 * ends all live assignments in the same entry. (payer, client reference) names one task; the stub that remembers it
 * outlives the task by keep_ms.
 *
 * Shape:  task[tasks_cap], assignment[assignments_cap], reference[references_cap], lane[sessions_cap][PRIORITIES].
 *         A task's assignments of all its attempts are one list, newest first, until the task ends.
 * Cost:   O(log tasks) a command, plus the session's members where a task is assigned.
 * Source: docs/protocol.md, "Tasks".
 */
#ifndef CORTEN_CORE_SESSION_QUEUE_H
#define CORTEN_CORE_SESSION_QUEUE_H

#include "core/session.h"
#include "core/validation.h"

struct task {
    struct hash request_digest;
    uint64_t queued_ms;          // when it was submitted
    uint64_t phase_ms;           // when its present state was entered
    uint64_t deadline_ms;        // of the whole task
    uint64_t seed;               // the client's; else of no meaning
    uint32_t session, payer, key, router, reference;   // slots; key and reference may be SLOT_NONE
    uint32_t prompt_size, tokens_max, precommit_ms;
    uint32_t assignment;         // head of its list
    uint32_t prev, next;         // in its lane while QUEUED
    uint32_t relayed;            // tokens the client had when it cancelled
    uint8_t state;               // enum task_state
    uint8_t priority, attempt;
    uint8_t live, acked, precommitted, committed;   // assignments of this attempt
    uint8_t replaced;            // replacements in this attempt
    uint8_t causes[FAIL_CAUSES_COUNTED];
    uint8_t flags;               // enum task_flag
};
enum task_flag { TASK_STREAM = 1, TASK_GREEDY = 2, TASK_SEED_OF_CLIENT = 4, TASK_STREAMED = 8, TASK_CANCELLING = 16 };

struct assignment {
    uint64_t lease;              // 0: the row is free
    union {
        struct hash precommit;   // until it is revealed
        struct hash text_digest; // from then on
    };
    uint64_t offered_ms;
    uint64_t price_in, price_out;
    uint32_t task, node, next;   // next of the same task; of the free list
    uint32_t tokens_in, tokens_out, text_size;
    uint8_t state;               // enum assignment_state
    uint8_t attempt, cause, finish;
    bool primary;
};

/* Who asked for what, beyond the task's end. */
struct reference {
    struct hash hash;            // keccak256(payer, client reference)
    uint64_t task;               // its id
    uint64_t forget_ms;          // TIME_NEVER while the task lives
    uint8_t state;               // enum task_state at the end
};
struct lane {
    uint32_t head, tail;
};
struct session_lanes {
    struct lane lane[PRIORITIES];
    uint32_t queued, live;       // tasks
};

struct session_queue {
    struct step *step;
    struct account_book *account;
    struct catalog *catalog;
    struct node_pool *node_pool;
    struct payment *payment;
    struct reputation *reputation;
    struct session_book *session;
    struct cognitive *cognitive;
    struct validation *validation;
    struct task *task;
    struct slots tasks;
    struct heap due;             // by task: its next deadline
    struct assignment *assignment;
    uint32_t assignment_cap, assignment_used, assignment_free, assignment_live;
    uint64_t lease_counter;
    struct reference *reference;
    struct slots references;
    struct id_map by_reference;
    struct heap forget;          // by reference
    struct session_lanes *lanes; // by session slot
    uint64_t ended[TASK_STATE_COUNT];  // how many tasks ended so
};

bool session_queue_init(struct session_queue *queue, struct arena *arena, struct step *step,
                        struct account_book *account, struct catalog *catalog, struct node_pool *node_pool,
                        struct payment *payment, struct reputation *reputation, struct session_book *session,
                        struct cognitive *cognitive, struct validation *validation);
void session_queue_rows(struct session_queue *queue, struct rows *rows);
void session_queue_check(const struct session_queue *queue);
uint64_t session_queue_due_ms(const struct session_queue *queue);
/* One of: a lost node's assignment, a marked session's next task, a task's deadline, a reference to forget. */
void session_queue_sweep(struct session_queue *queue);

/* Commands; `submit` on acceptance and on TASK_KNOWN gives the task's id. */
enum verdict session_queue_submit(struct session_queue *queue, const struct command *cmd, uint64_t *ret_task);
enum verdict session_queue_cancel(struct session_queue *queue, const struct cmd_task_cancel *cmd);
enum verdict session_queue_ack(struct session_queue *queue, const struct cmd_task_ack *cmd);
enum verdict session_queue_decline(struct session_queue *queue, const struct cmd_task_decline *cmd);
enum verdict session_queue_precommit(struct session_queue *queue, const struct command *cmd);
enum verdict session_queue_commit(struct session_queue *queue, const struct cmd_task_commit *cmd);
enum verdict session_queue_primary(struct session_queue *queue, const struct cmd_task_primary *cmd);
enum verdict session_queue_streams(struct session_queue *queue, const struct cmd_task_streams *cmd);
enum verdict session_queue_adopt(struct session_queue *queue, const struct cmd_task_adopt *cmd);
enum verdict session_queue_fault(struct session_queue *queue, const struct cmd_task_fault *cmd);

/* All that submit checks, changing nothing: for a router that drops what its replica would refuse. */
enum verdict session_queue_check_submit(const struct session_queue *queue, const struct command *cmd, uint64_t *ret_task);
/* The live assignment with that lease, or SLOT_NONE. */
uint32_t assignment_find(const struct session_queue *queue, uint64_t lease);

#endif

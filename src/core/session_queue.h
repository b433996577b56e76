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
 * outlives the task by keep_ms. A reveal that does not match takes its assignment from PRECOMMITTED to REJECTED.
 *
 * A task that is cancelled keeps its state, with TASK_CANCELLING, while its assignments may still commit what they
 * have. One whose router is silent is not assigned: it is parked, and not in a lane, until the router returns or
 * another adopts it.
 *
 * Shape:  task[tasks_cap], assignment[assignments_cap], reference[references_cap], lanes[sessions_cap]. What every step
 *         of a life cycle looks at lies in one cache line each of task[] and assignment[]; what only its ends look at
 *         (what was asked, what was hashed) lies beside them in request[] and said[].
 *         A task that runs is in no list of its session: its assignments lead to it, and the session's members to them.
 *         A task's assignments of all its attempts are one list, newest first, until the task ends: it tells who failed
 *         how often and why; those that were recalled leave it with their attempt. A node's live assignments are one
 * list, newest first. A lease names its row: lease = counter << 24 | row << 1 | 1. Cost:   O(log tasks) a command, plus
 * the session's members where a task is assigned. `due` is re-keyed lazily: a key is never later than its task's next
 * deadline, and the first key is exact as a rule. A task that ended may leave its key to the next task of its slot.
 *
 * Source: docs/protocol.md, "Tasks".
 */
#ifndef CORTEN_CORE_SESSION_QUEUE_H
#define CORTEN_CORE_SESSION_QUEUE_H

#include "base/assert.h"
#include "core/session.h"
#include "core/validation.h"

struct task {
    uint64_t queued_ms;                       // when it was submitted
    uint32_t phase_after_ms;                  // queued_ms + this: when its present state, or its cancelling, began
    uint32_t total_ms;                        // queued_ms + this: the deadline of the whole task
    uint32_t session, payer, key, reference;  // slots; key and reference may be SLOT_NONE
    uint32_t prompt_size, tokens_max, precommit_ms;
    uint32_t assignment;  // head of its list
    uint32_t prev, next;  // in its lane, or among its session's parked ones
    uint8_t router;       // slot
    uint8_t state;        // enum task_state
    uint8_t priority;
    uint8_t attempt;   // the present or last one, from 1
    uint8_t forgiven;  // attempts that do not count: their router or a node was lost
    uint8_t replaced;  // replacements in this attempt
    uint8_t flags;     // enum task_flag
};
enum task_flag {
    TASK_STREAM = 1,  // the client reads along
    TASK_GREEDY = 2,
    TASK_SEED_OF_CLIENT = 4,
    TASK_STREAMED = 8,  // the client has seen tokens
    TASK_CANCELLING = 16,
    TASK_PARKED = 32
};

/* The rest of a task's row. */
struct task_request {
    struct hash digest;
    uint64_t seed;     // the client's; else of no meaning
    uint32_t relayed;  // tokens the client had when it cancelled
};

struct assignment {
    uint64_t lease;  // 0: the row is free
    union {
        uint64_t seed;  // until it is revealed
        struct {
            uint32_t tokens_in, tokens_out;  // from then on, as they are charged
        };
        uint64_t failed_node;  // once it failed: the node's id, for the blame when the task ends
    };
    uint64_t offered_ms;
    uint64_t price_in, price_out;
    uint32_t task, node;
    uint32_t next;          // of the same task; of the free list
    uint32_t next_of_node;  // of the same node, while live
    uint8_t state;          // enum assignment_state
    uint8_t attempt;
    uint8_t cause;   // enum fail_cause, once ended
    uint8_t finish;  // enum finish, once revealed
    bool primary;
};
static_assert(sizeof(struct task) == CACHE_LINE_SIZE && sizeof(struct assignment) == CACHE_LINE_SIZE, "one line each");
static_assert(sizeof(struct task) + sizeof(struct task_request) <= 112, "a million are meant to fit a small machine");
static_assert(sizeof(struct assignment) + sizeof(struct hash) <= 96, "likewise");

/* A lease is a counter and a row: it only grows, and is odd, for leases of rounds are even. */
#define LEASE_ROW_BITS         24
#define ASSIGNMENT_CAP_MAX     (1u << (LEASE_ROW_BITS - 1))
#define LEASE_OF(counter, row) ((uint64_t)(counter) << LEASE_ROW_BITS | (uint64_t)(row) << 1 | 1)
#define LEASE_ROW(lease)       ((uint32_t)(lease) % (1u << LEASE_ROW_BITS) >> 1)

/* Who asked for what, beyond the task's end. */
struct reference {
    struct hash hash;  // blake3(payer, client reference)
    uint64_t task;     // its id
    uint8_t state;     // enum task_state: QUEUED while it lives, then the one it ended in
};
struct lane {
    uint32_t head, tail;
};
struct session_lanes {
    struct lane lane[PRIORITIES];  // QUEUED
    struct lane parked;
    uint32_t queued, live;  // tasks in lanes; all that have not ended
    uint16_t busy;          // bit i: lane[i] is not empty
    bool moved;             // a lane has changed since the session was told what waits longest
    /* The last look for members was in vain, for tasks of this router that need this context or more; SLOT_NONE: it was
     * not, or something has changed since. */
    uint32_t starved_router, starved_context;
    uint32_t short_next;  // in the list of those that wait for free assignment rows
    uint8_t short_of;     // how many it waits for; 0: it is not in the list
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
    struct task_request *request;  // by task
    struct slots tasks;
    struct heap due;  // by task: not later than its next deadline
    struct assignment *assignment;
    struct hash *said;  // by assignment: its precommit until it is revealed, then its text digest
    uint32_t *of_node;  // [nodes_cap]: head of the node's live assignments
    uint32_t assignment_cap, node_cap, session_cap;
    uint32_t assignment_used;  // rows ever taken
    uint32_t assignment_free;  // head of the list
    uint32_t assignment_rows;  // not free
    uint32_t assignment_live;
    uint64_t lease_counter;
    struct reference *reference;
    struct slots references;
    struct id_map by_reference;
    struct heap forget;           // by reference: when its stub goes
    struct session_lanes *lanes;  // by session slot
    struct {
        uint32_t head, tail;
    } short_of_rows;                   // sessions
    uint32_t parked[ROUTERS_MAX];      // tasks, by router
    uint32_t payee[ROUTERS_MAX];       // accounts of routers' operators, as far as they have been looked up
    uint32_t unpark_at;                // the next row to look at for tasks of a router that returned
    uint64_t ended[TASK_STATE_COUNT];  // how many tasks ended so
};

bool session_queue_init(struct session_queue *queue, struct arena *arena, struct step *step,
                        struct account_book *account, struct catalog *catalog, struct node_pool *node_pool,
                        struct payment *payment, struct reputation *reputation, struct session_book *session,
                        struct cognitive *cognitive, struct validation *validation);
void session_queue_rows(struct session_queue *queue, struct rows *rows);
void session_queue_check(const struct session_queue *queue);
uint64_t session_queue_due_ms(const struct session_queue *queue);
/* One of: a lost node's assignment, a marked session's next task, some tasks of a router that returned, a task's
 * deadline, a reference to forget. */
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

/* Ask for what a command with this lease, or a submit to this session, will touch. The lease may be none. */
void session_queue_expect_lease(const struct session_queue *queue, uint64_t lease, enum expect_stage stage);
void session_queue_expect_submit(const struct session_queue *queue, uint64_t session, enum expect_stage stage);

/* All that submit checks, changing nothing: for a router that drops what its replica would refuse. */
enum verdict session_queue_check_submit(const struct session_queue *queue, const struct command *cmd,
                                        uint64_t *ret_task);
/* The live assignment with that lease, or SLOT_NONE. */
uint32_t assignment_find(const struct session_queue *queue, uint64_t lease);
/* Who holds a live lease and how it proves what it says, for the authority LEASE; false: the lease is not live. */
struct lease_holder {
    uint32_t node, router;  // slots: whose lease; whose task
    enum session_evidence evidence;
};
bool session_queue_holder(const struct session_queue *queue, uint64_t lease, struct lease_holder *ret_holder);

/* How a task's present attempt stands: live assignments that came at least so far. And how many of all attempts failed
 * for each cause that is counted; STREAM_DIFFERS is WRONG. */
struct task_tally {
    uint32_t live, acked, precommitted, committed;
    uint8_t causes[FAIL_CAUSES_COUNTED];
};
void session_queue_tally(const struct session_queue *queue, uint32_t task, struct task_tally *ret_tally);
/* When something is due for it next, and its place in its session's lanes from 1 (an estimate; 0: not QUEUED). */
uint64_t session_queue_task_due_ms(const struct session_queue *queue, uint32_t task);
uint32_t session_queue_position(const struct session_queue *queue, uint32_t task);
/* The row that remembers this reference of this payer, or SLOT_NONE. */
uint32_t session_queue_reference(const struct session_queue *queue, const struct address *payer,
                                 const struct hash *reference);

#endif

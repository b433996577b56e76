/* session.h - who may ask, which model, how many miners, how answers are checked, who pays.
 *
 *      OPENING -> ACTIVE -> DRAINING -> CLOSED          OPENING -> CLOSED (nobody could be reserved in time)
 *         |                    ^
 *         +--- owner closes ---+
 *
 * A session reserves nodes_min nodes at once or none. Those that wait form one queue a model; a younger one passes only
 * while the head's need cannot be met. It grows while tasks wait and nobody waits to open, and gives idle nodes back.
 * What a session wants of the queue (tasks to assign, tasks to cancel) it marks; session_queue's sweep takes the marks.
 * What nodes do reaches sessions through node_pool's lists, which the sweep takes.
 *
 * Shape:  session[sessions_cap] by slot; member[nodes_cap] by node slot: a node is in one session at most. Each
 *         session lists its members, those of them that have a slot free, and the nodes that it released for re-test
 *         and that are not back.
 * Files:  session.c (states, marks, what the queue asks), session_member.c, session_open.c (commands),
 *         session_turnover.c (time: opening, growth, turnover, ends), session_rows.c (canonical bytes, check).
 * Source: docs/protocol.md, "Sessions".
 */
#ifndef CORTEN_CORE_SESSION_H
#define CORTEN_CORE_SESSION_H

#include "core/node_pool.h"
#include "core/payment.h"

/* The terms that session_open gave; fixed for the session's life. Other modules read them. */
struct session_policy {
    uint64_t model_id;
    uint32_t model;  // slot in catalog
    uint32_t owner;  // account
    bool shared, diversity;
    uint8_t redundancy, quorum, attempts_max, priority;
    uint16_t nodes_min, nodes_max, audit_bp;
    enum session_mode mode;
    enum session_reserve reserve;
    enum sla sla;
    enum node_class class;
    enum validation_policy validation;
    enum on_no_verdict on_no_verdict;
    enum stream_when stream;
    enum session_access access;
    enum session_privacy privacy;
    enum session_result result;
    enum session_pays pays;
    enum session_evidence evidence;
    uint64_t reserve_ms, price_in_max, price_out_max;
    uint32_t tasks_per_node_max, tasks_per_minute_max, tasks_in_flight_max, tokens_max;
    uint32_t ack_ms, precommit_ms, commit_ms, total_ms, open_ms, drain_ms;
    uint32_t router_count, member_count, allowed_count;
    uint32_t router[SESSION_ROUTERS_MAX];  // slots
    struct address member[SESSION_LIST_MAX], allowed[SESSION_LIST_MAX];
};

struct session {
    struct session_policy policy;
    struct hash reference;  // keccak256(owner, reference); zero: none
    enum session_state state;
    enum session_reason closing;  // why it ends; NONE: it does not
    uint64_t since_ms;            // when `state` was entered
    uint64_t opened_seq;
    uint64_t opens_by_ms;  // OPENING: it gives up then; TIME_NEVER: it does not wait for nodes yet
    uint64_t minute_ms;    // when the present minute began
    uint32_t minute_tasks, in_flight;
    uint32_t nodes, node_head;      // members
    uint32_t free_head;             // those of them that could take a task, but for what the pool says of them
    uint32_t here;                  // those of them that are present and not leaving
    uint32_t out, out_head;         // released by its own turnover and not back
    uint32_t draws;                 // of nodes, ever
    uint64_t waiting_ms;            // since when what waits longest in its lanes is QUEUED; TIME_NEVER
    uint64_t grown_ms;              // when it last grew, or tried to
    uint64_t grows_ms;              // when it does next; TIME_NEVER while nothing waits
    uint32_t wait_prev, wait_next;  // in its model's queue for nodes
    uint32_t mark_prev, mark_next;  // in the list of marks
    uint8_t name_size;
    uint16_t metadata_size;
    char name[64];
    char metadata[256];
    bool degraded, marked, waits;
};
struct member {
    uint32_t session;               // SLOT_NONE: in none
    uint32_t out_of;                // the session that released it for re-test and counts it; SLOT_NONE
    uint32_t prev, next;            // in the list of either
    uint32_t free_prev, free_next;  // in its session's list of those with a free slot
    uint32_t in_flight, tasks;      // assignments now; tasks since it was reserved
    uint64_t until_ms;              // when its reservation ends; TIME_NEVER
    uint64_t idle_ms;               // since when it has no assignment; meaningful without one
    uint64_t turn_ms;               // when it is looked at again; TIME_NEVER
    enum release_reason why;        // leaving: what for
    bool dedicated;
    bool leaving;  // gets no task any more; released when in_flight is 0
    bool away;     // absent, as the queue told
    bool free;     // neither, and it has a slot: derived, and in that list
};
static_assert(sizeof(struct member) == CACHE_LINE_SIZE, "each task looks at its members");
struct session_pool {
    uint32_t owner;
    uint8_t route, replicas, name_size, session_count;
    char name[32];
    uint64_t session[POOL_SESSIONS_MAX];
};

/* Sessions that want nodes of a model: first those that are degraded, then those that open, each as they came. */
struct wait_queue {
    uint32_t head, tail;
    uint32_t at;  // whose turn it is to try; SLOT_NONE: nothing has changed since all tried
};

struct session_book {
    struct step *step;
    struct account_book *account;
    struct catalog *catalog;
    struct node_pool *node_pool;
    struct payment *payment;
    struct session *session;
    struct slots slots;
    struct id_map by_reference;
    struct member *member;
    struct session_pool *pool;
    uint32_t pool_count, pool_cap;
    struct wait_queue *waiting;  // [models_cap]
    uint64_t to_try;             // bits by model: its queue's `at` is a session
    uint32_t model_cap, node_cap;
    struct {
        uint32_t head, tail;
    } marked;
    struct heap due;   // by session: opening, giving up, growth, the end
    struct heap turn;  // by node: member.turn_ms
    struct hash dice;  // the beacon, or the chain where no oracle lives
    bool oracle_lives;
};

bool session_init(struct session_book *book, struct arena *arena, struct step *step, struct account_book *account,
                  struct catalog *catalog, struct node_pool *node_pool, struct payment *payment);
void session_rows(struct session_book *book, struct rows *rows);
void session_check(const struct session_book *book);
uint64_t session_due_ms(const struct session_book *book);
/* One session's next thing: open, give up opening, replace, renew or release a node, grow, shrink, end a drain. */
void session_sweep(struct session_book *book);
/* Before each entry: what its picks are drawn from, and whether an oracle lives (both as cognitive_dice says). */
void session_set_dice(struct session_book *book, const struct hash *dice, bool oracle_lives);

/* Commands. */
enum verdict session_open(struct session_book *book, const struct cmd_session_open *cmd, uint64_t *ret_session);
enum verdict session_top_up(struct session_book *book, const struct cmd_session_top_up *cmd);
enum verdict session_close(struct session_book *book, const struct cmd_session_close *cmd);
enum verdict session_node_add(struct session_book *book, const struct command *cmd);
enum verdict session_node_remove(struct session_book *book, const struct cmd_session_node_remove *cmd);
enum verdict session_pool_put(struct session_book *book, const struct cmd_session_pool_put *cmd);

/* Asks for the rows of a session, and of a node as its member. */
void session_expect(const struct session_book *book, uint32_t session);
static inline void session_expect_member(const struct session_book *book, uint32_t node)
{
    cx_prefetch(&book->member[node], sizeof *book->member);
}

/* For the queue. */
static inline uint32_t session_find(const struct session_book *book, uint64_t id)  // or SLOT_NONE
{
    return slots_find(&book->slots, id);
}
static inline uint64_t session_id(const struct session_book *book, uint32_t session)
{
    return slots_id(&book->slots, session);
}
static inline const struct session_policy *session_policy(const struct session_book *book, uint32_t session)
{
    cx_assert(slots_is_live(&book->slots, session));
    return &book->session[session].policy;
}
static inline enum session_state session_state(const struct session_book *book, uint32_t session)
{
    cx_assert(slots_is_live(&book->slots, session));
    return book->session[session].state;
}
/* Why it ends, or NONE. A session that ends is marked; it ends by itself once it has no task any more:
 *      OPENING, NO_NODES          it could not open: its tasks fail with NO_NODES. Then it is CLOSED; or, shared, it
 * opens again DRAINING, OWNER            its QUEUED tasks are cancelled, the others end by themselves DRAINING,
 * DRAIN_TIMEOUT    drain_ms are over: the others are cancelled too */
static inline enum session_reason session_closing(const struct session_book *book, uint32_t session)
{
    return book->session[session].closing;
}
bool session_is_degraded(const struct session_book *book, uint32_t session);
/* Refused: SESSION_NOT_OPEN, SESSION_ACCESS, SESSION_ROUTER, RATE_LIMITED, IN_FLIGHT_LIMIT, NODES_TOO_FEW (more than
 * exist at all, so that waiting is in vain). */
enum verdict session_check_submit(const struct session_book *book, uint32_t session, uint32_t payer);
void session_task_began(struct session_book *book, uint32_t session);
/* A task ended: the last one of a session that is closing lets it end, in the next sweep. */
void session_task_ended(struct session_book *book, uint32_t session);
/* Since when what waits longest in the session's lanes is QUEUED; TIME_NEVER where nothing waits: drives growth. */
void session_waiting(struct session_book *book, uint32_t session, uint64_t queued_since_ms);
/* `want` members with a free slot that are attached to `router` and not in `avoid`, least loaded first, ties by dice;
 * one of each operator if the policy asks (those of `avoid` count as taken). All or nothing; changes nothing. Members
 * in `shun` (failed this task before) come last. */
struct member_wish {
    uint32_t session, router, want, context;
    const uint32_t *avoid;  // nodes
    uint32_t avoid_count;
    const uint32_t *shun;
    uint32_t shun_count;
    uint64_t task, draw;  // its id, and the number of the draw: docs/protocol.md, "Randomness"
};
static inline bool session_has_free(const struct session_book *book, uint32_t session)
{
    return book->session[session].free_head != SLOT_NONE;  // else none can be picked
}
bool session_pick_members(const struct session_book *book, const struct member_wish *wish, uint32_t *ret_nodes);
/* An assignment began and ended on a member; tells node_pool as well. */
void session_member_busy(struct session_book *book, uint32_t node);
void session_member_idle(struct session_book *book, uint32_t node);
/* A member that has assignments, or SLOT_NONE. O(members): for the ends of sessions. */
uint32_t session_busy_member(const struct session_book *book, uint32_t session);
static inline uint32_t session_of_node(const struct session_book *book, uint32_t node)  // or SLOT_NONE
{
    cx_assert(node < book->node_cap);
    return book->member[node].session;
}
/* Its assignments are recalled (node_pool_lost): a node that is only absent stays until a replacement is found, any
 * other is taken out of its session. */
void session_node_lost(struct session_book *book, uint32_t node);
/* The next session that wants something of the queue, taken off the list; or SLOT_NONE. */
bool session_has_marks(const struct session_book *book);
uint32_t session_take_mark(struct session_book *book);
void session_mark(struct session_book *book, uint32_t session);

#endif

/* check_core_parts.h - the books that the checkers of the core keep; nobody else includes it.
 *
 *      check_core.c           opening, the clock, one entry, comparing all
 *      check_core_tasks.c     tasks: arrows, attempts, deadlines, references
 *      check_core_leases.c    assignments: offers, arrows, causes, what commands said of them
 *      check_core_answer.c    reveals, which answer stands, what it costs
 *      check_core_nodes.c     nodes, their links and sessions, what they have passed
 *      check_core_sessions.c  sessions
 *      check_core_rounds.c    rounds, audits, sequential tests
 *      check_core_dice.c      oracles: beacon, seeds, draws, who leads
 *      check_core_money.c     every account
 *      check_core_wake.c      who could work and does not
 *
 * Shape:  tables by the slot of their ids (id = generation << 32 | slot: docs/protocol.md, "Identifiers"), else by an
 *         id map over addresses or leases. Room for what the core has room for.
 */
#ifndef CORTEN_SIM_CHECK_CORE_PARTS_H
#define CORTEN_SIM_CHECK_CORE_PARTS_H

#include <inttypes.h>
#include <string.h>

#include "base/id_map.h"
#include "sim/check_core.h"

#define FEE_PAYEES_MAX (ORACLES_MAX + 1)

struct task_book {
    uint64_t id;  // 0: no live one
    uint32_t generation;
    uint64_t session;
    struct address payer, router;
    struct hash request_digest, reference;
    enum task_state state;
    uint32_t attempt, forgiven, offers, tokens_max, prompt_size, priority, precommit_ms;
    uint64_t seed, queued_ms, phase_ms, deadline_ms;
    bool seed_of_client, greedy, cancelling, streamed, may_reveal;
    uint32_t relayed;
    uint32_t leases;  // head of the list of lease_book
    struct amount reserved, paid, router_fee, oracle_share, charged_due;
    uint64_t answer, primary;  // leases
    uint32_t accepted, fees;   // paid fees so far
    bool refunded;
};
struct lease_book {
    uint64_t lease;  // 0: a free row
    uint32_t task, next;
    struct address node;
    enum assignment_state state;
    enum fail_cause cause;
    uint32_t attempt, tokens_in, tokens_out, text_size;
    uint64_t offered_ms, seed, price_in, price_out;
    struct hash precommit, text_digest;
    bool paid, settled;  // all of it told; ACCEPTED and paid or nothing to pay
};
struct node_book {
    struct address address, operator;
    bool used;
    enum node_state state;
    uint64_t session;  // that holds it
    uint32_t slots, busy;
    bool passed;  // a round since it last left a session
    bool leaving;
    uint64_t since_seq;  // when it was registered
    struct amount stake;
    uint32_t link[ROUTERS_MAX];  // by router; 0: none
    struct {
        uint64_t model;  // 0: none
        uint32_t context, test_milli;
        uint32_t measured;  // the least context that a round found; 0: none did
        uint64_t price_in, price_out;
        bool proved;
    } model[NODE_MODELS_MAX];
};
struct session_book_ {
    uint64_t id;
    uint32_t generation;
    struct address owner;
    enum session_state state;
    uint64_t model;
    struct amount escrow;
    uint32_t redundancy, quorum, nodes_min, nodes_max, nodes, live, attempts_max, audit_bp, tokens_max, priority;
    uint32_t ack_ms, precommit_ms, commit_ms, total_ms;
    uint64_t price_in, price_out;
    enum validation_policy validation;
    enum stream_when stream;
    bool shared, diversity, owner_pays, channel;
};
struct model_book {
    uint64_t id;
    struct hash manifest;
    uint32_t context, template_tokens;
};
struct round_book {
    uint64_t id;
    uint32_t generation;
    enum round_state state;
    uint64_t model, deadline_ms;
    uint32_t places;
    struct hash challenge_hash;
    struct {
        struct address node;
        uint64_t lease;
        struct hash precommit;
        bool answered;
        uint32_t right_held, right_broken, judged, context;  // verdicts
    } place[ROUND_NODES_MAX];
};
struct audit_book {
    uint64_t lease;  // 0: a free row
    uint64_t id, task, model;
    struct address node, payee;
    enum audit_state state;
    uint64_t beacons, since_seq;  // at its commit; of its node
    uint32_t audit_bp, passes, flags, unmeasurable;
    uint32_t test_milli;  // of its node, once it moved it
    bool known, counts, moved_test;
    struct amount pending;
};
struct account_row {
    struct address address;
    struct amount balance;
    bool touched;
};
struct withdrawal_book {
    uint64_t id;
    struct amount amount;
};
struct reference_book {
    struct {
        struct address payer;
        struct hash reference;
    } name;
    uint64_t task, ended_ms;  // TIME_NEVER: it lives
};
struct oracle_book {
    struct address address, operator;
    struct hash chain;
    enum oracle_state state;
    uint32_t duties;
    uint64_t heard_ms;
};
struct router_book {
    struct address address, operator;
    bool present, removed;
};

struct check_core {
    struct check *check;  // of the entry at hand
    const struct core *core;
    const struct check_entry *entry;
    struct params params;
    uint64_t network_id, seq, now_ms, ledger_ms;
    bool begun;
    uint32_t oracle_quorum;
    struct hash chain, beacon;  // running digest before this batch
    uint64_t beacons, last_lease;
    uint32_t last_revealer;
    struct address leader;

    struct oracle_book oracle[ORACLES_MAX];
    struct router_book router[ROUTERS_MAX];
    uint32_t oracles, routers;
    struct task_book *task;
    struct session_book_ *session;
    struct model_book *model;
    struct round_book *round;
    struct withdrawal_book *withdrawal;
    struct lease_book *lease;
    struct node_book *node;
    struct audit_book *audit;
    struct account_row *account;
    struct reference_book *reference;
    struct free_places {
        uint32_t *free;  // a stack
        uint32_t count, cap;
    } lease_rows, node_rows, audit_rows, reference_rows;
    struct id_map by_lease, by_node, by_audit, by_account, by_reference;
    uint32_t task_cap, session_cap, model_cap, round_cap, withdrawal_cap, account_cap, accounts;
    uint64_t created;  // the task of this entry
    bool verdict_counted;
    bool lease_moved;         // the assignment that this entry's command names did
    uint64_t closed_session;  // the last one: its escrow is told behind its end
    uint32_t *touched;        // accounts of this entry
    uint32_t touched_count;
    struct {
        struct amount deposits, escrow, reservations, pending, stake, network, withdrawals, paid_out, balances;
    } total;
};

#define FAIL(c, NAME, ...) check_fail((c)->check, CHECKER_##NAME, (c)->seq, __VA_ARGS__)
#define LOOK(c, NAME)      ((c)->check->looks[CHECKER_##NAME]++)
/* Fails by that name unless it holds; for functions that give bool. */
#define MUST(c, NAME, holds, ...)              \
    do {                                       \
        LOOK(c, NAME);                         \
        if (!(holds))                          \
            return FAIL(c, NAME, __VA_ARGS__); \
    } while (0)

static inline uint32_t slot_of(uint64_t id) { return (uint32_t)id; }
/* First bytes of an address, for messages. */
static inline uint32_t short_of(const struct address *a)
{
    return (uint32_t)a->b[0] << 24 | (uint32_t)a->b[1] << 16 | (uint32_t)a->b[18] << 8 | a->b[19];
}

/* Rows that are not reached by a slot of the core's. SLOT_NONE: the core has more than it has room for. */
uint32_t places_take(struct free_places *rows);
void places_give(struct free_places *rows, uint32_t row);

/* Of the books, by name; NULL: there is none. */
struct task_book *task_book(struct check_core *c, uint64_t id);
struct lease_book *lease_book(struct check_core *c, uint64_t lease);
struct node_book *node_book(struct check_core *c, const struct address *address);
struct session_book_ *session_book(struct check_core *c, uint64_t id);
struct model_book *model_book(struct check_core *c, uint64_t id);
struct router_book *router_book(struct check_core *c, const struct address *address);
uint32_t oracle_index(const struct check_core *c, const struct address *address);  // or SLOT_NONE
uint32_t oracles_live(const struct check_core *c);
uint32_t node_model_at(const struct node_book *n, uint64_t model);  // or SLOT_NONE
bool node_is_present(struct check_core *c, const struct node_book *n);
bool node_is_linked(struct check_core *c, const struct node_book *n, const struct address *router);
static inline bool lease_lives(const struct lease_book *l) { return l->state <= ASSIGNMENT_COMMITTED; }

/* One event each; false: something failed. */
bool task_event(struct check_core *c, const struct event *e);
bool lease_event(struct check_core *c, const struct event *e);
bool answer_event(struct check_core *c, const struct event *e);
bool node_event(struct check_core *c, const struct event *e);
bool session_event(struct check_core *c, const struct event *e);
bool round_event(struct check_core *c, const struct event *e);
bool audit_event(struct check_core *c, const struct event *e);
bool oracle_event(struct check_core *c, const struct event *e);
bool money_event(struct check_core *c, const struct event *e);

/* Behind the events: what the command's verdict and the new state must agree on. */
bool task_after(struct check_core *c);
bool lease_after(struct check_core *c);
bool node_after(struct check_core *c);
bool round_after(struct check_core *c);
bool oracle_after(struct check_core *c);
bool money_after(struct check_core *c);
bool wake_after(struct check_core *c);

/* Of everything. */
bool tasks_whole(struct check_core *c);
bool nodes_whole(struct check_core *c);
bool sessions_whole(struct check_core *c);
bool money_whole(struct check_core *c);

/* check_core_tasks.c, for leases. */
uint32_t task_live_leases(const struct check_core *c, const struct task_book *t, enum assignment_state at_least);
/* Its router is whoever adopts it in this entry. */
bool task_adopted(struct check_core *c, struct task_book *t);
uint64_t task_phase_deadline(struct check_core *c, const struct task_book *t);
/* check_core_leases.c: ends its books of a task, or of the recalled ones of an attempt that is over. */
void leases_forget(struct check_core *c, struct task_book *t, bool all);
/* check_core_answer.c: what a reveal deserves, by the command at hand; NONE: it stands so far. */
enum fail_cause reveal_cause(struct check_core *c, const struct task_book *t, const struct lease_book *l);
/* check_core_dice.c */
uint64_t check_dice(struct check_core *c, const char tag[8], uint64_t a, uint64_t b);
/* check_core_rounds.c: an answer was accepted; whether it moves its node's test. */
bool audit_begin(struct check_core *c, const struct task_book *t, const struct lease_book *l,
                 const struct address *payee, struct amount pending);
/* check_core_money.c */
bool money_move(struct check_core *c, const struct address *account, struct amount amount, bool in);
bool money_put(struct check_core *c, struct amount *where, struct amount amount);
bool money_take(struct check_core *c, struct amount *where, struct amount amount, const char *what);

#endif

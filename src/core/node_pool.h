/* node_pool.h - which nodes exist, where each stands, and which may be picked.
 *
 *      UNTESTED -> TESTING -> EPHEMERAL -> RESERVED -> RELEASED -> TESTING ...
 *                    |  ^
 *                    v  |            any -> OFFLINE -> where its record says        any -> LEAVING -> GONE
 *                RECALIBRATING       any -> BANNED
 *
 * Only EPHEMERAL nodes that are present can be picked, for a model that they have proved. A node is present while a
 * router that it is attached to lives. `lost` lists nodes that left a session without its doing: the sweep of
 * session_queue recalls their assignments and tells the session.
 *
 * Shape:  node[nodes_cap] by slot; operator[operators_cap]; one Fenwick tree of weights for each (model, SLA class);
 *         lists of nodes that wait for a test, by the model they are to be tested for, longest waiting first.
 * Source: docs/protocol.md, "Nodes".
 */
#ifndef CORTEN_CORE_NODE_POOL_H
#define CORTEN_CORE_NODE_POOL_H

#include "base/fenwick.h"
#include "core/account.h"
#include "core/catalog.h"
#include "core/payment.h"
#include "core/reputation.h"

struct node_model {
    uint32_t model;              // slot in catalog; SLOT_NONE: this place is free
    uint32_t context;            // tokens: declared, and from a round on what it proved
    uint64_t price_in, price_out;
    uint8_t declared, proved;
    uint8_t class;               // enum node_class
};
struct node_link {
    uint32_t router;             // slot in account; SLOT_NONE
    uint32_t link;
};
struct node {
    struct address address;
    struct hash encryption_key;
    uint32_t operator;           // slot in operator[]
    enum node_state state;
    enum node_state back_to;     // where OFFLINE and TESTING return to
    uint64_t since_ms;           // when `state` was entered
    uint64_t absent_ms;          // since when no router holds it; TIME_NEVER: present
    uint64_t backoff_ms;         // of the next RECALIBRATING
    uint64_t retry_ms;           // when RECALIBRATING ends
    uint64_t registered_seq;
    struct node_model model[NODE_MODELS_MAX];
    struct node_link link[NODE_LINKS_MAX];
    uint32_t test_at;            // index in model[] that the next round tests
    uint32_t prev, next;         // in the list of those that wait for a test; or in `lost`
    uint8_t slots, busy;         // tasks at once; assignments now
    uint8_t engine;
    uint8_t build_size;
    char build[32];
    bool leaving, is_lost, waits;
};
struct operator_ {
    struct address address;
    uint32_t account;
    uint32_t nodes;              // not GONE
    uint64_t banned_seq;         // 0: not banned
    uint32_t lift_votes;         // bits by oracle slot
    bool approved;
};

struct node_pool {
    struct step *step;
    struct account_book *account;
    struct payment *payment;     // stake and joining fee
    struct catalog *catalog;
    struct reputation *reputation;
    struct node *node;
    struct slots slots;
    struct id_map by_address;
    struct operator_ *operator_;
    struct id_map by_operator;
    uint32_t operator_count, operator_cap;
    struct { struct hash hash; uint64_t expires_ms; } *invite;
    uint32_t invite_count, invite_cap;
    struct fenwick *weight;      // [models_cap][SLA_COUNT]
    struct { uint32_t head, tail, count; } *wait;   // [models_cap]
    struct { uint32_t head, tail; } lost;
    struct heap due;             // absence and back-off, by node
    uint32_t in[NODE_STATE_COUNT];
    uint32_t *testing;           // [models_cap]: nodes in TESTING that had passed before
    uint32_t *serving;           // [models_cap]: nodes that have proved the model and are not gone
};

bool node_pool_init(struct node_pool *pool, struct arena *arena, struct step *step, struct account_book *account,
                    struct payment *payment, struct catalog *catalog, struct reputation *reputation);
void node_pool_rows(struct node_pool *pool, struct rows *rows);
void node_pool_check(const struct node_pool *pool);
uint64_t node_pool_due_ms(const struct node_pool *pool);
/* One of: a node whose router fell silent, one absent for too long, one whose back-off is over, one that has drained. */
void node_pool_sweep(struct node_pool *pool);

/* Commands. */
enum verdict node_pool_register(struct node_pool *pool, const struct command *cmd);
enum verdict node_pool_model_put(struct node_pool *pool, const struct cmd_node_model_put *cmd);
enum verdict node_pool_attach(struct node_pool *pool, const struct cmd_node_attach *cmd);
enum verdict node_pool_detach(struct node_pool *pool, const struct cmd_node_detach *cmd);
enum verdict node_pool_leave(struct node_pool *pool, const struct cmd_node_leave *cmd);
enum verdict node_pool_approve(struct node_pool *pool, const struct cmd_node_approve *cmd);
enum verdict node_pool_invite(struct node_pool *pool, const struct cmd_node_invite *cmd);
/* `oracle` is the voter's slot, `quorum` how many must agree. */
enum verdict node_pool_ban_lift(struct node_pool *pool, const struct cmd_ban_lift *cmd, uint32_t oracle, uint32_t quorum);

/* Asking. */
uint32_t node_pool_find(const struct node_pool *pool, const struct address *address);   // or SLOT_NONE
const struct node *node_pool_node(const struct node_pool *pool, uint32_t node);
const struct address *node_pool_operator(const struct node_pool *pool, uint32_t node);
uint32_t node_pool_account(const struct node_pool *pool, uint32_t node);   // its operator's: who is paid
bool node_pool_is_present(const struct node_pool *pool, uint32_t node);
bool node_pool_is_attached(const struct node_pool *pool, uint32_t node, uint32_t router);
/* The index of `model` in the node's model[], or SLOT_NONE. */
uint32_t node_pool_serves(const struct node_pool *pool, uint32_t node, uint32_t model);
bool node_pool_has_slot(const struct node_pool *pool, uint32_t node);      // busy < slots, present, not leaving

/* What sessions do. A filter says who will do. */
struct node_filter {
    uint32_t model;
    enum sla sla;
    enum node_class class;
    uint64_t price_in_max, price_out_max;
    uint32_t context;                       // tokens needed; 0: any
    const struct address *allowed;          // nodes or operators; NULL: all
    uint32_t allowed_count;
    const uint32_t *routers;                // attached to one of these slots; NULL: to any
    uint32_t router_count;
    bool distinct_operators;
};
bool node_pool_fits(const struct node_pool *pool, uint32_t node, const struct node_filter *filter);
/* How many EPHEMERAL nodes there are at most for it (an upper bound in O(1)), and how many nodes of any state. */
uint32_t node_pool_count_ephemeral(const struct node_pool *pool, uint32_t model);
uint32_t node_pool_count_serving(const struct node_pool *pool, uint32_t model);
/* Picks `want` different EPHEMERAL nodes, weighted and random by `dice`; all or nothing: false where too few were
 * found. Changes nothing. */
bool node_pool_pick(const struct node_pool *pool, const struct node_filter *filter, uint32_t want, uint64_t dice,
                    uint32_t *ret_nodes);
void node_pool_reserve(struct node_pool *pool, uint32_t node);             // EPHEMERAL -> RESERVED
void node_pool_release(struct node_pool *pool, uint32_t node, enum node_reason reason);  // RESERVED -> RELEASED
/* An assignment or round begins and ends on a node. */
void node_pool_busy(struct node_pool *pool, uint32_t node);
void node_pool_idle(struct node_pool *pool, uint32_t node);

/* What rounds do. Takes at most `want` nodes that wait for a test of `model` into TESTING, no more than half of those
 * that serve it at once; gives how many. */
uint32_t node_pool_take_for_round(struct node_pool *pool, uint32_t model, uint32_t want, uint32_t *ret_nodes);
bool node_pool_wants_round(const struct node_pool *pool, uint32_t model);
/* The end of a node's round, in TESTING: passed for `at` in model[] with this class and proved context (0: as it
 * was); failed; or aborted and back to where it was. */
void node_pool_passed(struct node_pool *pool, uint32_t node, uint32_t at, enum node_class class, uint32_t context);
void node_pool_failed(struct node_pool *pool, uint32_t node);
void node_pool_round_aborted(struct node_pool *pool, uint32_t node);
void node_pool_ban(struct node_pool *pool, uint32_t node);                 // and its operator

/* Nodes that were RESERVED and left by themselves (absent, banned, leaving at once): the first, or SLOT_NONE; and
 * taking it off the list once its session has let it go. */
uint32_t node_pool_lost(const struct node_pool *pool);
void node_pool_lost_done(struct node_pool *pool, uint32_t node);
/* Weights follow reputation: to be called after it changed. */
void node_pool_reweigh(struct node_pool *pool, uint32_t node);

#endif

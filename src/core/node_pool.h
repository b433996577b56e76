/* node_pool.h - which nodes exist, where each stands, and which may be picked.
 *
 *      UNTESTED -> TESTING -> EPHEMERAL -> RESERVED -> RELEASED -> TESTING ...
 *                    |  ^
 *                    v  |            any -> OFFLINE -> where its record says        any -> LEAVING -> GONE
 *                RECALIBRATING       any -> BANNED
 *
 * Only EPHEMERAL nodes that are present can be picked, for a model that they have proved. A node is present while a
 * router that it is attached to lives. What a session or the queue must hear of a node travels on two lists: `lost`,
 * nodes whose assignments are to be recalled (session_queue takes it), and `news`, reserved nodes that came back or are
 * draining (session takes it).
 *
 * Shape:  node[nodes_cap] by slot; operator_[operators_cap]; invite[invites_cap]. Lists: for each router its links
 *         (node, place) while it lives and while it does not; for each operator its nodes, banned ones apart; for
 *         each model the nodes that wait for a test of it, those that have proved it apart, longest waiting first.
 *         For each (model, SLA class) one Fenwick tree of the weights of those that can be picked.
 * Cost:   O(log nodes) a command or sweep.
 * Files:  node_pool_parts.h names them.
 * Source: docs/protocol.md, "Nodes".
 */
#ifndef CORTEN_CORE_NODE_POOL_H
#define CORTEN_CORE_NODE_POOL_H

#include "base/assert.h"
#include "base/fenwick.h"
#include "core/account.h"
#include "core/catalog.h"
#include "core/payment.h"
#include "core/reputation.h"

#define NODE_PICK_SCAN_MAX 1024  // docs/protocol.md, "Nodes": bounds a pick that a narrow filter makes hard

struct node_model {
    uint32_t model;           // slot in catalog; SLOT_NONE: this place is free
    uint32_t context;         // tokens: declared, and not over what it proved
    uint32_t context_proved;  // by the last round that measured it; 0: none did
    uint64_t price_in, price_out;
    uint8_t declared, proved;
    uint8_t class;  // enum node_class
};
struct node_link {
    uint32_t router;      // slot in account; SLOT_NONE: this place is free
    uint32_t link;        // number of the connection
    uint32_t prev, next;  // among the router's links: node × NODE_LINKS_MAX + index
    bool up;              // the router lives, as the sweep has seen
};
/* The list of nodes that a node is on, by prev and next: one at a time. */
enum node_list_kind {
    NODE_LIST_NONE,
    NODE_LIST_FRESH,
    NODE_LIST_PROVED,
    NODE_LIST_LOST,
    NODE_LIST_NEWS,
    NODE_LIST_COUNT
};
/* What each task asks of a node lies in its first cache line, the terms of the model that most have alone in the
 * second. */
struct node {
    struct address address;
    uint32_t operator;    // slot in operator_[]
    uint32_t account;     // the operator's: derived
    uint16_t attached;    // bits by router slot, of `link`: derived
    uint8_t slots, busy;  // tasks at once; assignments now
    uint64_t absent_ms;   // since when no router holds it; TIME_NEVER: present
    enum node_state state;
    enum node_list_kind list;
    bool leaving;             // asked to leave
    bool held;                // by a session
    bool in_round;            // a round will end for it
    bool overdue;             // RESERVED and absent for node_absent_ms: its session was told
    bool proved_before;       // TESTING: it had proved what it is tested for
    bool weighed;             // EPHEMERAL when its weights were set last: else all of them are 0; derived
    enum node_state back_to;  // where OFFLINE and TESTING return to
    struct node_model model[NODE_MODELS_MAX];
    struct node_link link[NODE_LINKS_MAX];
    uint64_t since_ms;    // when `state` was entered
    uint64_t offline_ms;  // when it is OFFLINE if no router holds it; meaningful while absent
    uint64_t backoff_ms;  // of the next RECALIBRATING
    uint64_t retry_ms;    // when RECALIBRATING ends
    uint64_t wait_ms;     // since when it waits for a test
    uint64_t registered_seq;
    struct hash encryption_key;
    uint32_t test_at;                       // index in model[] that the next round tests
    uint32_t last_at;                       // index in model[] that its last session used
    uint32_t prev, next;                    // in `list`
    uint32_t operator_prev, operator_next;  // among its operator's nodes
    uint8_t engine;
    uint8_t build_size;
    char build[32];
};
static_assert(sizeof(struct node) % CACHE_LINE_SIZE == 0, "a node begins with a cache line");
static_assert(ROUTERS_MAX <= 16, "struct node has a bit for each router it is attached to");
static_assert(offsetof(struct node, model) == CACHE_LINE_SIZE, "as the comment above says");
struct operator_ {
    struct address address;
    uint32_t account;                 // SLOT_NONE until its first node
    uint32_t nodes;                   // not GONE
    uint32_t free_head, banned_head;  // its nodes
    uint32_t work_next;               // operators whose nodes are to be banned or let in again
    uint64_t banned_seq;              // 0: not banned
    uint32_t lift_votes;              // bits by oracle slot
    bool approved, in_work;
};
struct invite {
    struct hash hash;  // Keccak-256 of the invitation
    uint64_t expires_ms;
};
struct node_list {
    uint32_t head, tail, count;
};

struct node_pool {
    struct step *step;
    struct account_book *account;
    struct payment *payment;  // stake and joining fee
    struct catalog *catalog;
    struct reputation *reputation;
    struct node *node;
    struct slots slots;
    struct id_map by_address;
    struct operator_ *operator_;
    struct id_map by_operator;
    uint32_t operator_count, operator_cap;
    struct {
        uint32_t head, tail;
    } work;  // operators
    struct invite *invite;
    struct slots invites;
    struct id_map by_invite;
    struct heap invite_due;
    struct {
        uint32_t up, down;
    } router[ROUTERS_MAX];   // heads of their links
    struct fenwick *weight;  // [models_cap][SLA_COUNT]
    struct {
        struct node_list fresh, proved;
    } * wait;  // [models_cap]
    struct node_list lost, news;
    struct heap due;  // by node: absence, back-off, the end of leaving
    uint32_t in[NODE_STATE_COUNT];
    uint32_t *testing;      // [models_cap]: nodes in TESTING for it that had proved it
    uint32_t *offering;     // [models_cap]: nodes that offer it and are not LEAVING, GONE or BANNED
    uint32_t *proved;       // [models_cap]: those of them that have proved it
    uint64_t came;          // bits by model: nodes became pickable
    uint64_t round_wanted;  // bits by model: node_pool_wants_round
    uint32_t model_cap;
};

bool node_pool_init(struct node_pool *pool, struct arena *arena, struct step *step, struct account_book *account,
                    struct payment *payment, struct catalog *catalog, struct reputation *reputation);
void node_pool_rows(struct node_pool *pool, struct rows *rows);
void node_pool_check(const struct node_pool *pool);
uint64_t node_pool_due_ms(const struct node_pool *pool);
/* One of: a node whose router fell silent or came back, one absent for too long, one whose back-off is over, one that
 * has drained, one whose operator was banned or let in again, an invitation that expired. */
void node_pool_sweep(struct node_pool *pool);

/* Commands. */
enum verdict node_pool_register(struct node_pool *pool, const struct command *cmd);
enum verdict node_pool_model_put(struct node_pool *pool, const struct cmd_node_model_put *cmd);
enum verdict node_pool_attach(struct node_pool *pool, const struct cmd_node_attach *cmd);
enum verdict node_pool_detach(struct node_pool *pool, const struct cmd_node_detach *cmd);
enum verdict node_pool_leave(struct node_pool *pool, const struct cmd_node_leave *cmd);
enum verdict node_pool_approve(struct node_pool *pool, const struct cmd_node_approve *cmd);
enum verdict node_pool_invite(struct node_pool *pool, const struct cmd_node_invite *cmd);
struct lift_vote {
    uint32_t oracle;  // the voter's slot
    const struct address *oracle_operator;
    uint32_t quorum;  // how many must agree
};
enum verdict node_pool_ban_lift(struct node_pool *pool, const struct cmd_ban_lift *cmd, const struct lift_vote *vote);

/* Asking. */
/* Asks for a node's row, and what is known of its slot. */
static inline void node_pool_expect(const struct node_pool *pool, uint32_t node)
{
    slots_expect(&pool->slots, node);
    cx_prefetch(&pool->node[node], sizeof *pool->node);
}
uint32_t node_pool_find(const struct node_pool *pool, const struct address *address);  // or SLOT_NONE
static inline const struct node *node_pool_node(const struct node_pool *pool, uint32_t node)
{
    cx_assert(slots_is_live(&pool->slots, node));
    return &pool->node[node];
}
/* The node's name, never used twice, where a slot may come again. 0: no node has the slot now. */
static inline uint64_t node_pool_id(const struct node_pool *pool, uint32_t node)
{
    return slots_is_live(&pool->slots, node) ? slots_id(&pool->slots, node) : 0;
}
static inline const struct address *node_pool_operator(const struct node_pool *pool, uint32_t node)
{
    return &pool->operator_[node_pool_node(pool, node)->operator].address;
}
static inline uint32_t node_pool_account(const struct node_pool *pool, uint32_t node)  // its operator's: who is paid
{
    return node_pool_node(pool, node)->account;
}
static inline bool node_pool_is_present(const struct node_pool *pool, uint32_t node)
{
    return node_pool_node(pool, node)->absent_ms == TIME_NEVER;
}
static inline bool node_pool_is_attached(const struct node_pool *pool, uint32_t node, uint32_t router)
{
    return router < ROUTERS_MAX && node_pool_node(pool, node)->attached >> router & 1;
}
/* Absent for node_absent_ms, leaving or banned: who holds it should let it go. */
bool node_pool_is_lost_for_good(const struct node_pool *pool, uint32_t node);
/* On its way through a test after a session: neither back in the pool nor out of it by failing. */
bool node_pool_is_out_for_test(const struct node_pool *pool, uint32_t node);
/* The index of `model` in the node's model[], or SLOT_NONE. */
static inline uint32_t node_pool_serves(const struct node_pool *pool, uint32_t node, uint32_t model)
{
    const struct node *n = node_pool_node(pool, node);
    for (uint32_t at = 0; at < NODE_MODELS_MAX; at++)
        if (n->model[at].model == model)
            return at;
    return SLOT_NONE;
}
static inline bool node_pool_has_slot(const struct node_pool *pool,
                                      uint32_t node)  // busy < slots, present, not leaving
{
    const struct node *n = node_pool_node(pool, node);
    return n->busy < n->slots && n->absent_ms == TIME_NEVER && !n->leaving && n->state != NODE_BANNED;
}

/* What sessions do. A filter says who will do. */
struct node_filter {
    uint32_t model;
    enum sla sla;
    enum node_class class;
    uint64_t price_in_max, price_out_max;
    uint32_t context;               // tokens needed; 0: any
    const struct address *allowed;  // nodes or operators; NULL: all
    uint32_t allowed_count;
    const uint32_t *routers;  // attached to one of these slots; NULL: to any
    uint32_t router_count;
    bool distinct_operators;
};
/* Whether the node's record fits; its state and presence are not asked. */
bool node_pool_fits(const struct node_pool *pool, uint32_t node, const struct node_filter *filter);
/* How many nodes offer it, in any state but LEAVING, GONE and BANNED: what can be hoped for at most. */
uint32_t node_pool_count_offering(const struct node_pool *pool, uint32_t model);
/* Picks `want` different EPHEMERAL nodes that are present, weighted and random by `dice`; all or nothing: false where
 * too few were found. Looks at NODE_PICK_SCAN_MAX nodes at most, from a random one on. Changes nothing. */
bool node_pool_pick(const struct node_pool *pool, const struct node_filter *filter, uint32_t want, uint64_t dice,
                    uint32_t *ret_nodes);
void node_pool_reserve(struct node_pool *pool, uint32_t node, uint32_t model);  // EPHEMERAL -> RESERVED
/* The session lets it go, with no assignment left on it: RESERVED -> RELEASED; any other state stays. */
void node_pool_release(struct node_pool *pool, uint32_t node, enum node_reason reason);
/* An assignment begins and ends on a node. session_member_busy and session_member_idle call these. */
void node_pool_busy(struct node_pool *pool, uint32_t node);
void node_pool_idle(struct node_pool *pool, uint32_t node);

/* For checks: how many nodes a round will end for, and how many sessions hold. O(nodes). */
uint32_t node_pool_count_in_rounds(const struct node_pool *pool);
uint32_t node_pool_count_held(const struct node_pool *pool);
uint32_t node_pool_cap(const struct node_pool *pool);  // slots of nodes lie below

/* A model for which nodes became pickable since this was last asked, or SLOT_NONE: sessions wait for them. */
uint32_t node_pool_take_came(struct node_pool *pool);
/* The next reserved node that came back or is draining, taken off the list; or SLOT_NONE. */
uint32_t node_pool_take_news(struct node_pool *pool);
bool node_pool_has_news(const struct node_pool *pool);  // whether one of the two gives something

/* What rounds do. Takes at most `want` nodes that wait for a test of `model` into TESTING; of those that have proved it
 * no more than half at once. Gives how many. */
uint32_t node_pool_take_for_round(struct node_pool *pool, uint32_t model, uint32_t want, uint32_t *ret_nodes);
bool node_pool_wants_round(const struct node_pool *pool, uint32_t model);
/* The first model for which nodes want a round, or SLOT_NONE. */
uint32_t node_pool_round_wanted(const struct node_pool *pool);
/* The end of a node's round: passed for test_at in model[] with this class and proved context (0: as it was); failed;
 * or aborted and back to where it was. A node that left TESTING meanwhile is only let go. */
void node_pool_passed(struct node_pool *pool, uint32_t node, enum node_class class, uint32_t context);
void node_pool_failed(struct node_pool *pool, uint32_t node);
void node_pool_round_aborted(struct node_pool *pool, uint32_t node);
void node_pool_ban(struct node_pool *pool, uint32_t node);  // and its operator

/* Reserved nodes that are absent or banned, whose assignments are to be recalled: the first, or SLOT_NONE; and taking
 * it off the list. session_node_lost comes between the two. */
uint32_t node_pool_lost(const struct node_pool *pool);
void node_pool_lost_done(struct node_pool *pool, uint32_t node);
/* Weights follow reputation: to be called after it changed. */
void node_pool_reweigh(struct node_pool *pool, uint32_t node);

#endif

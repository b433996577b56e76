/* cognitive.h - the oracles, who leads them, the beacon, and the rounds in which nodes are tested.
 *
 *      REQUESTED -> CREATED -> PREPARED -> STARTED -> PRECOMMITTED -> COMMITTED -> ENDED | ABORTED
 *
 * The core requests a round where nodes wait for one; the leading oracle creates, prepares and starts it, and a round
 * outlives its leader. Leadership rotates by oracle_window_ms over the oracles that live. Five layers, each held,
 * broken or not measured: alive, bound, right, fast, agreed. Without a live oracle nothing enters the pool.
 *
 * Shape:  oracle[ORACLES_MAX], never given back; round[rounds_cap] by slot, each with up to ROUND_NODES_MAX places.
 *         lease = round's generation << 32 | round's slot << 5 | place << 1: found by index and compare, even, and
 *         never used again, as ids are not.
 * Files:  cognitive.c (oracles, beacon, leader), cognitive_round.c (commands of rounds), cognitive_end.c (deadlines
 *         and results), cognitive_rows.c (canonical bytes, check).
 * Source: docs/protocol.md, "Rounds".
 */
#ifndef CORTEN_CORE_COGNITIVE_H
#define CORTEN_CORE_COGNITIVE_H

#include "core/node_pool.h"
#include "core/record.h"

struct oracle {
    struct address address, operator;
    struct hash chain;  // the value whose preimage comes next
    uint64_t heard_ms;  // last heartbeat; 0: never
    uint32_t duties;
    uint32_t account;  // the operator's: derived
    enum oracle_state state;
};
struct round_place {
    uint32_t node;          // SLOT_NONE: it left before the start
    uint64_t lease;         // 0 before the start
    struct hash precommit;  // zero: none yet
    struct hash payload_digest;
    uint64_t seed;
    uint32_t ttft_ms, duration_ms, tokens_out;  // as its router measured, and the record says
    uint32_t context;                           // the least that an oracle found proved; 0: none measured it
    uint32_t judged_by;                         // bits by oracle slot
    uint8_t right_held, right_broken, fast_held, fast_broken, judged;  // how many oracles said so
    uint8_t alive, bound;                                              // enum layer_result; NOT_MEASURED while open
    bool acked, precommitted, committed;
};
struct round {
    enum round_state state;
    uint32_t model;
    uint32_t places;
    uint32_t leader;  // the oracle that took it up or prepared it last; SLOT_NONE
    struct hash challenge_hash, challenge_digest, request_digest;
    uint32_t prompt_size, tokens_max;
    uint64_t deadline_ms, started_ms;
    struct round_place place[ROUND_NODES_MAX];
};

struct cognitive {
    struct step *step;
    struct account_book *account;
    struct catalog *catalog;
    struct node_pool *node_pool;
    struct reputation *reputation;
    struct oracle oracle[ORACLES_MAX];
    uint32_t oracle_count, quorum;
    uint32_t leader;         // as last told in an event; SLOT_NONE
    uint32_t last_revealer;  // who made the present beacon; SLOT_NONE
    uint32_t live;           // oracles that live
    uint64_t calm_ms;        // before then nobody falls silent and nobody else leads, by time alone; 0: not known
    struct hash beacon;
    uint64_t beacons;  // heartbeats ever
    struct round *round;
    struct slots slots;
    struct heap due;  // by round
};

bool cognitive_init(struct cognitive *cognitive, struct arena *arena, struct step *step, struct account_book *account,
                    struct catalog *catalog, struct node_pool *node_pool, struct reputation *reputation);
enum verdict cognitive_genesis(struct cognitive *cognitive, const struct cmd_genesis *genesis);
void cognitive_rows(struct cognitive *cognitive, struct rows *rows);
void cognitive_check(const struct cognitive *cognitive);
uint64_t cognitive_due_ms(const struct cognitive *cognitive);
/* Whether cognitive_due_ms may have come: false is certain, and asks who leads and who is silent once a heartbeat. */
bool cognitive_may_be_due(struct cognitive *cognitive);
/* Parameters changed: what was found about silence and leadership does not hold any more. */
static inline void cognitive_forget_calm(struct cognitive *cognitive) { cognitive->calm_ms = 0; }
/* One of: an oracle that fell silent, the leader's turn that is over, a round to request, a round's deadline. */
void cognitive_sweep(struct cognitive *cognitive);

/* Oracles. */
enum verdict cognitive_oracle_add(struct cognitive *cognitive, const struct cmd_oracle_add *cmd);
enum verdict cognitive_oracle_remove(struct cognitive *cognitive, const struct cmd_oracle_remove *cmd);
enum verdict cognitive_heartbeat(struct cognitive *cognitive, const struct cmd_oracle_heartbeat *cmd, uint32_t oracle);
enum verdict cognitive_chain(struct cognitive *cognitive, const struct cmd_oracle_chain *cmd, uint32_t oracle);
uint32_t oracle_find(const struct cognitive *cognitive, const struct address *address);  // not REMOVED; or SLOT_NONE
uint32_t oracle_leader(const struct cognitive *cognitive);  // of this window among the live; or SLOT_NONE
static inline uint32_t oracle_live_count(const struct cognitive *cognitive) { return cognitive->live; }
/* The accounts that share the oracles' fee: operators of the live. */
uint32_t oracle_accounts(const struct cognitive *cognitive, uint32_t ret_account[ORACLES_MAX]);
uint32_t oracle_quorum(const struct cognitive *cognitive);
/* The oracle to audit by these dice: live, with the duty, not the last revealer where another is. SLOT_NONE: none. */
uint32_t oracle_draw(const struct cognitive *cognitive, uint64_t dice);
const struct address *oracle_operator(const struct cognitive *cognitive, uint32_t oracle);
/* The beacon, or the chain where no oracle lives; the second value says which. */
bool cognitive_dice(const struct cognitive *cognitive, struct hash *ret_dice);

/* Heartbeats ever: what was drawn from a later beacon than this was drawn after now. */
static inline uint64_t cognitive_beacons(const struct cognitive *cognitive) { return cognitive->beacons; }

/* Rounds. `oracle` is the slot of who signed. */
enum verdict cognitive_create(struct cognitive *cognitive, const struct cmd_round_create *cmd, uint32_t oracle);
enum verdict cognitive_prepare(struct cognitive *cognitive, const struct cmd_round_prepare *cmd, uint32_t oracle);
enum verdict cognitive_start(struct cognitive *cognitive, const struct cmd_round_start *cmd, uint32_t oracle);
enum verdict cognitive_ack(struct cognitive *cognitive, const struct cmd_round_ack *cmd);
enum verdict cognitive_precommit(struct cognitive *cognitive, const struct command *cmd);
enum verdict cognitive_commit(struct cognitive *cognitive, const struct cmd_round_commit *cmd);
enum verdict cognitive_verdict(struct cognitive *cognitive, const struct cmd_round_verdict *cmd, uint32_t oracle);
enum verdict cognitive_abort(struct cognitive *cognitive, const struct cmd_round_abort *cmd, uint32_t oracle);
/* The node that holds a round's lease, or SLOT_NONE; leases of tasks are odd, of rounds even. */
uint32_t round_lease_node(const struct cognitive *cognitive, uint64_t lease);

#endif

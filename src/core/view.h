/* view.h - what roles may read of the core: copies, by id, address or position. Nothing here changes anything.
 *
 * Lists are walked by position: for (uint32_t at = 0; view_node_at(core, &at, &node);) {...} gives each once, in slot
 * order. Source: docs/protocol.md, "Core".
 */
#ifndef CORTEN_CORE_VIEW_H
#define CORTEN_CORE_VIEW_H

#include "core/command.h"
#include "core/params.h"
#include "core/terms.h"

struct core;

struct network_view {
    uint64_t network_id, seq, now_ms, ledger_ms;
    uint32_t rules_version, admin_quorum, oracle_quorum;
    struct hash digest, beacon;
    struct address leader;  // zero: no oracle lives
    uint32_t oracles_live, routers_present;
    uint32_t nodes[NODE_STATE_COUNT];
    uint32_t sessions[SESSION_STATE_COUNT];
    uint64_t tasks_live, assignments_live, rounds_live, audits_live, tasks_ended[TASK_STATE_COUNT];
    struct {
        struct amount deposits, balances, escrow, reservations, pending, stake, network, withdrawals, paid_out;
    } money;
    bool money_holds;
};
struct account_view {
    struct address address, wallet;
    struct amount balance;
    uint64_t nonce_next;  // one that is not used
    bool restricted, custodial;
};
struct key_view {
    struct hash hash;
    struct address account;
    uint32_t scopes, in_flight, in_flight_max;
    uint64_t model, session, budget_period_ms, period_ms, expires_ms;
    struct amount budget, spent;
    bool revoked;
};
struct model_view {
    uint64_t id;
    struct hash manifest_digest;
    uint32_t context, template_tokens, nodes_serving, nodes_ephemeral;
    uint64_t price_in_max, price_out_max;
    char name[65], aliases[129], quantization[17];  // NUL-terminated
};
struct node_model_view {
    uint64_t model;
    uint32_t context, ttft_ms, tokens_per_s_milli, measured_ttft_ms, measured_tokens_per_s_milli, test_milli, weight;
    uint64_t price_in, price_out;
    bool declared, proved;
    enum node_class class;
};
struct node_view {
    struct address address, operator;
    enum node_state state, back_to;
    uint64_t since_ms, retry_ms, session;  // session: id or 0
    uint32_t slots, busy, level, models, links;
    uint8_t engine;
    bool present, leaving;
    struct amount stake;
    struct hash encryption_key;
    struct node_model_view model[NODE_MODELS_MAX];
    struct {
        struct address router;
        uint32_t link;
    } link[NODE_LINKS_MAX];
    uint64_t count[32];  // enum node_count
    char build[33];
};
struct session_view {
    uint64_t id, model, since_ms;
    struct address owner;
    enum session_state state;
    struct amount escrow;
    bool shared, degraded, diversity;
    uint32_t redundancy, quorum, nodes_min, nodes_max, nodes, tasks_queued, tasks_live, in_flight;
    uint32_t tokens_max, audit_bp, attempts_max, priority;
    uint32_t ack_ms, precommit_ms, commit_ms, total_ms;
    enum session_mode mode;
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
    uint64_t price_in_max, price_out_max;
    char name[65], metadata[257];
};
struct task_view {
    uint64_t id, session, deadline_ms, phase_ms, queued_ms;
    struct address payer, router;
    struct hash request_digest;
    enum task_state state;
    uint32_t attempt, live, acked, precommitted, committed, tokens_max, priority, prompt_size;
    uint32_t position;  // in its session's queue while QUEUED, from 1 (an estimate)
    bool stream, greedy, streamed;
    struct amount reserved;
    uint8_t causes[FAIL_CAUSES_COUNTED];
};
struct assignment_view {
    uint64_t lease, task, session, seed, offered_ms, price_in, price_out;
    struct address node;
    struct hash precommit;  // or the text digest, from COMMITTED on
    enum assignment_state state;
    uint32_t attempt;
    bool primary, seed_of_client;
};
struct reference_view {
    uint64_t task;
    enum task_state state;  // meaningful once ended
    bool ended;
};
struct oracle_view {
    struct address address, operator;
    enum oracle_state state;
    uint32_t duties;
    uint64_t heard_ms;
    struct hash chain;  // keccak256(next preimage) is this
    bool leads;
};
struct router_view {
    struct address address, operator;
    enum router_state state;
    uint64_t heard_ms;
};
struct round_view {
    uint64_t id, model, deadline_ms;
    enum round_state state;
    struct address leader;
    struct hash challenge_hash, challenge_digest, request_digest;
    uint32_t tokens_max, places;
    struct round_place_view {
        struct address node;  // zero: it left
        uint64_t lease, seed;
        struct hash payload_digest;
        uint32_t ttft_ms, duration_ms, tokens_out;  // as its router measured; of its record
        bool acked, precommitted, committed;
        uint8_t alive, bound;
        uint32_t judged_by;  // bits by position of the oracle in view_oracle_at
    } place[ROUND_NODES_MAX];
};
struct audit_view {
    uint64_t id, task, lease, deadline_ms;
    enum audit_state state;
    struct address node, oracle;
    uint32_t passes, flags;
    bool judged_by_drawn;
};

void view_network(const struct core *core, struct network_view *ret);
const struct params *view_params(const struct core *core);

bool view_account(const struct core *core, const struct address *address, struct account_view *ret);
bool view_key(const struct core *core, const struct hash *key_hash, struct key_view *ret);
bool view_model(const struct core *core, uint64_t id, struct model_view *ret);
bool view_model_named(const struct core *core, const char *name, uint32_t size, struct model_view *ret);
bool view_node(const struct core *core, const struct address *address, struct node_view *ret);
bool view_session(const struct core *core, uint64_t id, struct session_view *ret);
bool view_task(const struct core *core, uint64_t id, struct task_view *ret);                 // live ones only
bool view_assignment(const struct core *core, uint64_t lease, struct assignment_view *ret);  // live ones only
bool view_reference(const struct core *core, const struct address *payer, const struct hash *reference,
                    struct reference_view *ret);
bool view_oracle(const struct core *core, const struct address *address, struct oracle_view *ret);
bool view_router(const struct core *core, const struct address *address, struct router_view *ret);
bool view_round(const struct core *core, uint64_t id, struct round_view *ret);
bool view_audit(const struct core *core, uint64_t id, struct audit_view *ret);
bool view_is_admin(const struct core *core, const struct address *address);

/* *at = 0 begins; each call gives the next one and moves *at behind it; false: no more. */
bool view_account_at(const struct core *core, uint32_t *at, struct account_view *ret);
bool view_key_at(const struct core *core, uint32_t *at, struct key_view *ret);
bool view_model_at(const struct core *core, uint32_t *at, struct model_view *ret);
bool view_node_at(const struct core *core, uint32_t *at, struct node_view *ret);
bool view_session_at(const struct core *core, uint32_t *at, struct session_view *ret);
bool view_task_at(const struct core *core, uint32_t *at, struct task_view *ret);
bool view_oracle_at(const struct core *core, uint32_t *at, struct oracle_view *ret);
bool view_router_at(const struct core *core, uint32_t *at, struct router_view *ret);
bool view_round_at(const struct core *core, uint32_t *at, struct round_view *ret);
bool view_audit_at(const struct core *core, uint32_t *at, struct audit_view *ret);
/* The live assignments of a task, newest first. */
bool view_assignment_of(const struct core *core, uint64_t task, uint32_t *at, struct assignment_view *ret);
/* The nodes of a session. */
bool view_member_of(const struct core *core, uint64_t session, uint32_t *at, struct address *ret_node,
                    bool *ret_dedicated);
/* The shared session that serves this wish on this router, or 0. */
struct shared_wish {
    uint64_t model;
    uint32_t redundancy;
    enum validation_policy validation;
    struct address router;
};
uint64_t view_shared_session(const struct core *core, const struct shared_wish *wish);

#endif

/* cognitive_round.c - a round's way from its request to the oracles' verdicts: the commands that carry it. */
#include "core/cognitive_parts.h"

#include "base/assert.h"
#include "base/mem.h"

/* The arrows of the picture in cognitive.h. PREPARED -> PREPARED is for the next leader, who does not know the
 * challenge of the one before. */
static const unsigned allowed[ROUND_STATE_COUNT] = {
    [ROUND_REQUESTED] = 1u << ROUND_REQUESTED | 1u << ROUND_CREATED | 1u << ROUND_ABORTED,
    [ROUND_CREATED] = 1u << ROUND_PREPARED | 1u << ROUND_ABORTED,
    [ROUND_PREPARED] = 1u << ROUND_PREPARED | 1u << ROUND_STARTED | 1u << ROUND_ABORTED,
    [ROUND_STARTED] = 1u << ROUND_PRECOMMITTED,
    [ROUND_PRECOMMITTED] = 1u << ROUND_COMMITTED,
    [ROUND_COMMITTED] = 1u << ROUND_ENDED | 1u << ROUND_ABORTED,
};

void round_move(struct cognitive *cognitive, uint32_t round, enum round_state to, enum abort_reason reason,
                uint64_t deadline_ms)
{
    struct round *r = &cognitive->round[round];
    cx_assert(slots_is_live(&cognitive->slots, round));
    cx_assert(allowed[r->state] & 1u << to);
    struct evt_round_moved *moved = &event_add(cognitive->step->out, EVENT_ROUND_MOVED)->round_moved;
    moved->round = slots_id(&cognitive->slots, round);
    moved->model = catalog_id(cognitive->catalog, r->model);
    moved->from = (uint8_t)r->state;
    moved->to = (uint8_t)to;
    moved->reason = (uint8_t)reason;
    moved->deadline_ms = deadline_ms;
    r->state = to;
    r->deadline_ms = deadline_ms;
    heap_set(&cognitive->due, round, deadline_ms);
}

/* The leader's next step, with two further windows for those who lead after it. */
static uint64_t step_deadline_ms(const struct cognitive *cognitive)
{
    const struct params *params = &cognitive->step->params;
    return cognitive->step->now_ms + params->round_step_ms + 2 * params->oracle_window_ms;
}

uint32_t round_wanted(const struct cognitive *cognitive)
{
    uint32_t model = node_pool_round_wanted(cognitive->node_pool);
    if (model == SLOT_NONE || !slots_has_room(&cognitive->slots) || oracle_leader(cognitive) == SLOT_NONE)
        return SLOT_NONE;
    return model;
}

void round_request(struct cognitive *cognitive, uint32_t model)
{
    uint32_t node[ROUND_NODES_MAX], round = slots_take(&cognitive->slots);
    cx_assert(round != SLOT_NONE);
    struct round *r = &cognitive->round[round];
    memset(r, 0, sizeof *r);
    r->state = ROUND_REQUESTED;
    r->model = model;
    r->leader = SLOT_NONE;
    uint32_t want = (uint32_t)cognitive->step->params.round_nodes_max;
    r->places = node_pool_take_for_round(cognitive->node_pool, model, want, node);
    cx_assert(r->places > 0);
    for (uint32_t i = 0; i < r->places; i++)
        r->place[i].node = node[i];
    catalog_use(cognitive->catalog, model);
    round_move(cognitive, round, ROUND_REQUESTED, ABORT_NONE, step_deadline_ms(cognitive));
}

/* ---- the leader's steps ---- */

enum verdict cognitive_create(struct cognitive *cognitive, const struct cmd_round_create *cmd, uint32_t oracle)
{
    uint32_t round = slots_find(&cognitive->slots, cmd->round);
    if (round == SLOT_NONE)
        return VERDICT_ROUND_UNKNOWN;
    struct round *r = &cognitive->round[round];
    if (r->state != ROUND_REQUESTED)
        return VERDICT_ROUND_STATE;

    r->leader = oracle;
    round_move(cognitive, round, ROUND_CREATED, ABORT_NONE, step_deadline_ms(cognitive));
    return VERDICT_ACCEPTED;
}

enum verdict cognitive_prepare(struct cognitive *cognitive, const struct cmd_round_prepare *cmd, uint32_t oracle)
{
    if (hash_is_zero(&cmd->challenge_hash) || cmd->prompt_size == 0 || cmd->prompt_size > PROMPT_SIZE_MAX)
        return VERDICT_VALUE_INVALID;
    uint32_t round = slots_find(&cognitive->slots, cmd->round);
    if (round == SLOT_NONE)
        return VERDICT_ROUND_UNKNOWN;
    struct round *r = &cognitive->round[round];
    if (r->state != ROUND_CREATED && !(r->state == ROUND_PREPARED && r->leader != oracle))
        return VERDICT_ROUND_STATE;
    if (cmd->tokens_max == 0 || cmd->tokens_max > catalog_model(cognitive->catalog, r->model)->context)
        return VERDICT_VALUE_INVALID;

    r->leader = oracle;
    r->challenge_hash = cmd->challenge_hash;
    r->prompt_size = cmd->prompt_size;
    r->tokens_max = cmd->tokens_max;
    round_move(cognitive, round, ROUND_PREPARED, ABORT_NONE, step_deadline_ms(cognitive));
    return VERDICT_ACCEPTED;
}

uint64_t round_ack_deadline_ms(const struct cognitive *cognitive, const struct round *r)
{
    return r->started_ms + cognitive->step->params.round_ack_ms;
}

uint64_t round_precommit_deadline_ms(const struct cognitive *cognitive, const struct round *r)
{
    return r->started_ms + cognitive->step->params.round_precommit_ms;
}

static uint64_t lease_of(const struct cognitive *cognitive, uint32_t round, uint32_t place)
{
    uint64_t generation = slots_id(&cognitive->slots, round) >> 32;
    static_assert(ROUND_NODES_MAX <= 16, "a place takes four bits of the lease");
    cx_assert(round < 1u << 27);
    return generation << 32 | (uint64_t)round << 5 | (uint64_t)place << 1;
}

static void offer(struct cognitive *cognitive, uint32_t round, uint32_t place)
{
    const struct round *r = &cognitive->round[round];
    struct round_place *p = &cognitive->round[round].place[place];
    struct hash dice;
    cognitive_dice(cognitive, &dice);
    p->lease = lease_of(cognitive, round, place);
    p->seed = step_dice(&dice, "corten/r", p->lease, 0);
    reputation_count(cognitive->reputation, p->node, COUNT_ROUND_ASKED, 1);
    struct evt_round_offered *offered = &event_add(cognitive->step->out, EVENT_ROUND_OFFERED)->round_offered;
    offered->round = slots_id(&cognitive->slots, round);
    offered->lease = p->lease;
    offered->node = node_pool_node(cognitive->node_pool, p->node)->address;
    offered->seed = p->seed;
    offered->challenge_digest = r->challenge_digest;
    offered->tokens_max = r->tokens_max;
    offered->deadline_ms = round_ack_deadline_ms(cognitive, r);
}

/* Those that left, were banned or went OFFLINE since the request are let go. */
static uint32_t drop_those_that_left(struct cognitive *cognitive, struct round *r)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < r->places; i++) {
        struct round_place *p = &r->place[i];
        if (node_pool_node(cognitive->node_pool, p->node)->state == NODE_TESTING) {
            left++;
            continue;
        }
        node_pool_round_aborted(cognitive->node_pool, p->node);
        p->node = SLOT_NONE;
    }
    return left;
}

enum verdict cognitive_start(struct cognitive *cognitive, const struct cmd_round_start *cmd, uint32_t oracle)
{
    (void)oracle;  // who knows the salt prepared it, and who leads may start it
    uint32_t round = slots_find(&cognitive->slots, cmd->round);
    if (round == SLOT_NONE)
        return VERDICT_ROUND_UNKNOWN;
    struct round *r = &cognitive->round[round];
    if (r->state != ROUND_PREPARED)
        return VERDICT_ROUND_STATE;
    struct keccak k;
    struct hash hash;
    keccak_init(&k);
    keccak_add(&k, cmd->salt.b, sizeof cmd->salt.b);
    keccak_add(&k, cmd->challenge_digest.b, sizeof cmd->challenge_digest.b);
    keccak_end(&k, &hash);
    if (!hash_eq(&hash, &r->challenge_hash))
        return VERDICT_CHALLENGE_DIFFERS;

    if (drop_those_that_left(cognitive, r) == 0) {
        round_abort(cognitive, round, ABORT_NODES_LOST);
        return VERDICT_ACCEPTED;
    }
    r->challenge_digest = cmd->challenge_digest;
    r->request_digest = cmd->request_digest;
    r->started_ms = cognitive->step->now_ms;
    round_move(cognitive, round, ROUND_STARTED, ABORT_NONE,
               u64_min(round_ack_deadline_ms(cognitive, r), round_precommit_deadline_ms(cognitive, r)));
    for (uint32_t i = 0; i < r->places; i++)
        if (r->place[i].node != SLOT_NONE)
            offer(cognitive, round, i);
    return VERDICT_ACCEPTED;
}

enum verdict cognitive_abort(struct cognitive *cognitive, const struct cmd_round_abort *cmd, uint32_t oracle)
{
    (void)oracle;
    if (cmd->reason == ABORT_NONE || !term_name(TERM_abort_reason, cmd->reason))
        return VERDICT_VALUE_INVALID;
    uint32_t round = slots_find(&cognitive->slots, cmd->round);
    if (round == SLOT_NONE)
        return VERDICT_ROUND_UNKNOWN;
    if (cognitive->round[round].state >= ROUND_STARTED)
        return VERDICT_ROUND_STATE;
    round_abort(cognitive, round, cmd->reason);
    return VERDICT_ACCEPTED;
}

/* ---- the nodes' steps ---- */

static struct round_place *place_find(const struct cognitive *cognitive, uint64_t lease, uint32_t *ret_round)
{
    uint32_t place = (uint32_t)lease >> 1 & 15;
    uint32_t round = slots_find(&cognitive->slots, lease >> 32 << 32 | (uint32_t)lease >> 5);
    if (lease & 1 || round == SLOT_NONE || place >= cognitive->round[round].places)
        return NULL;
    struct round_place *p = &cognitive->round[round].place[place];
    if (p->lease != lease || p->node == SLOT_NONE)
        return NULL;
    *ret_round = round;
    return p;
}

uint32_t round_lease_node(const struct cognitive *cognitive, uint64_t lease)
{
    uint32_t round;
    const struct round_place *p = place_find(cognitive, lease, &round);
    return p ? p->node : SLOT_NONE;
}

static bool is_its_router(const struct cognitive *cognitive, const struct round_place *p)
{
    return node_pool_is_attached(cognitive->node_pool, p->node, cognitive->step->router);
}

static void take_ack(struct cognitive *cognitive, struct round_place *p)
{
    p->acked = true;
    reputation_count(cognitive->reputation, p->node, COUNT_ROUND_ACKED, 1);
}

enum verdict cognitive_ack(struct cognitive *cognitive, const struct cmd_round_ack *cmd)
{
    uint32_t round;
    struct round_place *p = place_find(cognitive, cmd->lease, &round);
    if (!p)
        return VERDICT_LEASE_STALE;
    if (!is_its_router(cognitive, p))
        return VERDICT_NOT_AUTHORIZED;
    const struct round *r = &cognitive->round[round];
    if (r->state != ROUND_STARTED)
        return VERDICT_ROUND_STATE;
    if (p->acked)
        return VERDICT_ASSIGNMENT_STATE;
    if (p->alive == LAYER_BROKEN || cognitive->step->now_ms >= round_ack_deadline_ms(cognitive, r))
        return VERDICT_DEADLINE_PASSED;
    take_ack(cognitive, p);
    return VERDICT_ACCEPTED;
}

enum verdict cognitive_precommit(struct cognitive *cognitive, const struct command *cmd)
{
    const struct cmd_round_precommit *precommit = &cmd->round_precommit;
    uint32_t round;
    struct round_place *p = place_find(cognitive, precommit->lease, &round);
    if (hash_is_zero(&precommit->precommit))
        return VERDICT_VALUE_INVALID;
    if (!p)
        return VERDICT_LEASE_STALE;
    if (p->precommitted && !hash_eq(&p->precommit, &precommit->precommit))
        return VERDICT_PRECOMMIT_KNOWN;
    if (p->precommitted)
        return VERDICT_ASSIGNMENT_STATE;
    const struct round *r = &cognitive->round[round];
    if (r->state != ROUND_STARTED || p->alive == LAYER_BROKEN)
        return VERDICT_DEADLINE_PASSED;
    uint64_t now_ms = cognitive->step->now_ms;
    bool late = now_ms >= round_precommit_deadline_ms(cognitive, r);
    if (late || (!p->acked && now_ms >= round_ack_deadline_ms(cognitive, r)))
        return VERDICT_DEADLINE_PASSED;

    if (!p->acked)
        take_ack(cognitive, p);
    p->precommit = precommit->precommit;
    p->precommitted = true;
    p->alive = LAYER_HELD;
    reputation_count(cognitive->reputation, p->node, COUNT_ROUND_PRECOMMITTED, 1);
    round_advance(cognitive, round);
    return VERDICT_ACCEPTED;
}

/* Whether the reveal is what was precommitted, and answers this round's question for this node. */
static bool reveal_is_bound(const struct cognitive *cognitive, uint32_t round, const struct round_place *p,
                            const struct cmd_round_commit *cmd, struct record *ret_record)
{
    const struct round *r = &cognitive->round[round];
    struct precommit_terms terms = {
        .network_id = cognitive->step->network_id,
        .task = slots_id(&cognitive->slots, round),
        .lease = p->lease,
        .node = node_pool_node(cognitive->node_pool, p->node)->address,
        .salt = cmd->salt,
    };
    struct hash hash;
    precommit_hash(&terms, cmd->record, &hash);
    if (!hash_eq(&hash, &p->precommit) || !record_decode(cmd->record, ret_record))
        return false;
    if (!hash_eq(&ret_record->manifest_digest, &catalog_model(cognitive->catalog, r->model)->manifest_digest))
        return false;
    if (!hash_eq(&ret_record->request_digest, &r->request_digest))
        return false;
    return ret_record->seed == p->seed && !ret_record->seed_of_client && ret_record->tokens_out <= r->tokens_max;
}

enum verdict cognitive_commit(struct cognitive *cognitive, const struct cmd_round_commit *cmd)
{
    uint32_t round;
    struct round_place *p = place_find(cognitive, cmd->lease, &round);
    if (!p)
        return VERDICT_LEASE_STALE;
    if (!is_its_router(cognitive, p))
        return VERDICT_NOT_AUTHORIZED;
    const struct round *r = &cognitive->round[round];
    if (r->state == ROUND_STARTED)
        return VERDICT_REVEAL_EARLY;
    if (!p->precommitted || p->committed)
        return VERDICT_ASSIGNMENT_STATE;
    if (r->state != ROUND_PRECOMMITTED || cognitive->step->now_ms >= r->deadline_ms)
        return VERDICT_DEADLINE_PASSED;

    struct record record = {0};
    bool bound = reveal_is_bound(cognitive, round, p, cmd, &record);
    p->committed = true;
    p->bound = bound ? LAYER_HELD : LAYER_BROKEN;
    p->payload_digest = cmd->payload_digest;
    p->ttft_ms = cmd->ttft_ms;
    p->duration_ms = cmd->duration_ms;
    p->tokens_out = bound ? record.tokens_out : 0;
    reputation_count(cognitive->reputation, p->node, COUNT_ROUND_COMMITTED, 1);
    struct evt_round_answer *answer = &event_add(cognitive->step->out, EVENT_ROUND_ANSWER)->round_answer;
    answer->round = slots_id(&cognitive->slots, round);
    answer->lease = p->lease;
    answer->node = node_pool_node(cognitive->node_pool, p->node)->address;
    answer->bound = bound;
    answer->payload_digest = p->payload_digest;
    round_advance(cognitive, round);
    return VERDICT_ACCEPTED;
}

/* ---- the oracles' verdicts ---- */

static void count_verdict(struct round_place *p, const struct cmd_round_verdict *cmd, uint32_t oracle)
{
    p->judged_by |= 1u << oracle;
    p->judged++;
    if (cmd->right == LAYER_HELD)
        p->right_held++;
    if (cmd->right == LAYER_BROKEN)
        p->right_broken++;
    if (cmd->fast == LAYER_HELD)
        p->fast_held++;
    if (cmd->fast == LAYER_BROKEN)
        p->fast_broken++;
    if (cmd->context > 0)
        p->context = p->context ? u32_min(p->context, cmd->context) : cmd->context;
}

enum verdict cognitive_verdict(struct cognitive *cognitive, const struct cmd_round_verdict *cmd, uint32_t oracle)
{
    cx_assert(oracle < cognitive->oracle_count);
    if (cmd->right >= LAYER_RESULT_COUNT || cmd->fast >= LAYER_RESULT_COUNT)
        return VERDICT_VALUE_INVALID;
    uint32_t round;
    struct round_place *p = place_find(cognitive, cmd->lease, &round);
    if (!p)
        return VERDICT_LEASE_STALE;
    enum round_state state = cognitive->round[round].state;
    if (state != ROUND_PRECOMMITTED && state != ROUND_COMMITTED)
        return VERDICT_ROUND_STATE;
    if (p->bound != LAYER_HELD)
        return VERDICT_ANSWER_MISSING;
    if (address_eq(oracle_operator(cognitive, oracle), node_pool_operator(cognitive->node_pool, p->node)))
        return VERDICT_OWN_OPERATOR;
    if (p->judged_by & 1u << oracle)
        return VERDICT_VERDICT_KNOWN;

    count_verdict(p, cmd, oracle);
    round_advance(cognitive, round);
    return VERDICT_ACCEPTED;
}

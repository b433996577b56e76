/* cognitive_end.c - what a round finds: its phases' ends, its deadlines, and what becomes of its nodes. */
#include "core/cognitive_parts.h"

#include "base/assert.h"

/* ---- what the oracles say together ---- */

/* Oracles of other operators that may still judge a place. Those that are silent count: their verdict may come, and
 * until its deadline nobody is blamed for its want. */
static uint32_t judges_left(const struct cognitive *cognitive, const struct round_place *p)
{
    const struct address *operator= node_pool_operator(cognitive->node_pool, p->node);
    uint32_t left = 0;
    for (uint32_t i = 0; i < cognitive->oracle_count; i++) {
        const struct oracle *o = &cognitive->oracle[i];
        if (o->state == ORACLE_REMOVED || p->judged_by & 1u << i)
            continue;
        left += !address_eq(&o->operator, operator);
    }
    return left;
}

struct votes {
    uint32_t held, broken, cast, left;
};

/* Whether the votes on one layer are settled: a quorum says the same, or none can any more (then *ret_agreed is false).
 */
static bool votes_settle(const struct votes *v, uint32_t quorum, enum layer_result *ret_layer, bool *ret_agreed)
{
    uint32_t unmeasured = v->cast - v->held - v->broken;
    *ret_agreed = true;
    *ret_layer = v->held >= quorum ? LAYER_HELD : v->broken >= quorum ? LAYER_BROKEN : LAYER_NOT_MEASURED;
    if (*ret_layer != LAYER_NOT_MEASURED || unmeasured >= quorum)
        return true;
    *ret_agreed = false;
    *ret_layer = LAYER_BROKEN;
    /* Too few oracles to ever agree are no disagreement. */
    if (v->cast + v->left < quorum)
        return false;
    return u32_max(u32_max(v->held, v->broken), unmeasured) + v->left < quorum;
}

static bool is_fast(const struct cognitive *cognitive, const struct round_place *p)
{
    const struct params *params = &cognitive->step->params;
    uint32_t rate = reputation_rate_milli(p->ttft_ms, p->tokens_out, p->duration_ms);
    return p->ttft_ms <= params->ttft_ms_max && (rate == 0 || rate >= params->tokens_per_s_milli_min);
}

struct finding place_finding(const struct cognitive *cognitive, const struct round_place *p)
{
    struct finding f = {0};
    struct votes right = {p->right_held, p->right_broken, p->judged, judges_left(cognitive, p)};
    struct votes fast = {p->fast_held, p->fast_broken, p->judged, right.left};
    bool right_agreed, fast_agreed;
    f.decided = votes_settle(&right, cognitive->quorum, &f.right, &right_agreed);
    f.decided &= votes_settle(&fast, cognitive->quorum, &f.fast, &fast_agreed);
    f.agreed = right_agreed && fast_agreed ? LAYER_HELD : LAYER_BROKEN;
    /* Its router's clock measures in every case. */
    if (f.fast == LAYER_NOT_MEASURED)
        f.fast = LAYER_HELD;
    if (!is_fast(cognitive, p))
        f.fast = LAYER_BROKEN;
    return f;
}

/* ---- what becomes of a node ---- */

enum outcome { OUTCOME_PASSED, OUTCOME_FAILED, OUTCOME_UNJUDGED, OUTCOME_LOST };

static enum outcome outcome_of(const struct cognitive *cognitive, const struct round_place *p, const struct finding *f)
{
    if (p->bound != LAYER_HELD) {
        /* It did not answer, or not what it had precommitted. Nobody is blamed for being cut off. */
        bool cut_off = !p->committed && !node_pool_is_present(cognitive->node_pool, p->node);
        return cut_off ? OUTCOME_LOST : OUTCOME_FAILED;
    }
    if (!f->decided)
        return OUTCOME_UNJUDGED;
    bool broken = f->right == LAYER_BROKEN || f->fast == LAYER_BROKEN || f->agreed == LAYER_BROKEN;
    return broken ? OUTCOME_FAILED : OUTCOME_PASSED;
}

static void tell_result(struct cognitive *cognitive, uint32_t round, const struct round_place *p,
                        const struct finding *f, bool passed)
{
    struct evt_round_result *result = &event_add(cognitive->step->out, EVENT_ROUND_RESULT)->round_result;
    bool judged = p->bound == LAYER_HELD;
    result->round = slots_id(&cognitive->slots, round);
    result->node = node_pool_node(cognitive->node_pool, p->node)->address;
    result->passed = passed;
    result->alive = p->alive;
    result->bound = p->bound;
    result->right = (uint8_t)(judged ? f->right : LAYER_NOT_MEASURED);
    result->fast = (uint8_t)(judged ? f->fast : LAYER_NOT_MEASURED);
    result->agreed = (uint8_t)(judged ? f->agreed : LAYER_NOT_MEASURED);
}

static void pass(struct cognitive *cognitive, const struct round_place *p, const struct finding *f)
{
    struct reputation *reputation = cognitive->reputation;
    uint32_t at = node_pool_node(cognitive->node_pool, p->node)->test_at;
    reputation_count(reputation, p->node, COUNT_ROUND_PASSED, 1);
    reputation_success(reputation, p->node);
    reputation_measure(reputation, p->node, at, p->ttft_ms, p->tokens_out, p->duration_ms);
    enum node_class class = f->right == LAYER_HELD ? CLASS_VERIFIED : CLASS_UNVERIFIED;
    node_pool_passed(cognitive->node_pool, p->node, class, p->context);
}

static enum outcome end_place(struct cognitive *cognitive, uint32_t round, const struct round_place *p)
{
    struct finding f = place_finding(cognitive, p);
    enum outcome outcome = outcome_of(cognitive, p, &f);
    switch (outcome) {
    case OUTCOME_PASSED:
        tell_result(cognitive, round, p, &f, true);
        pass(cognitive, p, &f);
        break;
    case OUTCOME_FAILED:
        tell_result(cognitive, round, p, &f, false);
        reputation_failure(cognitive->reputation, p->node);
        node_pool_failed(cognitive->node_pool, p->node);
        break;
    case OUTCOME_UNJUDGED:
    case OUTCOME_LOST: node_pool_round_aborted(cognitive->node_pool, p->node); break;
    }
    return outcome;
}

/* ---- ends ---- */

static void forget(struct cognitive *cognitive, uint32_t round)
{
    catalog_unuse(cognitive->catalog, cognitive->round[round].model);
    slots_give(&cognitive->slots, round);
}

void round_abort(struct cognitive *cognitive, uint32_t round, enum abort_reason reason)
{
    const struct round *r = &cognitive->round[round];
    for (uint32_t i = 0; i < r->places; i++)
        if (r->place[i].node != SLOT_NONE)
            node_pool_round_aborted(cognitive->node_pool, r->place[i].node);
    round_move(cognitive, round, ROUND_ABORTED, reason, TIME_NEVER);
    forget(cognitive, round);
}

static void end(struct cognitive *cognitive, uint32_t round)
{
    const struct round *r = &cognitive->round[round];
    uint32_t ended = 0, unjudged = 0;
    for (uint32_t i = 0; i < r->places; i++) {
        if (r->place[i].node == SLOT_NONE)
            continue;
        enum outcome outcome = end_place(cognitive, round, &r->place[i]);
        ended += outcome == OUTCOME_PASSED || outcome == OUTCOME_FAILED;
        unjudged += outcome == OUTCOME_UNJUDGED;
    }
    enum abort_reason reason = unjudged > 0 ? ABORT_NO_VERDICTS : ABORT_NODES_LOST;
    if (ended > 0)
        round_move(cognitive, round, ROUND_ENDED, ABORT_NONE, TIME_NEVER);
    else
        round_move(cognitive, round, ROUND_ABORTED, reason, TIME_NEVER);
    forget(cognitive, round);
}

/* ---- phases ---- */

static bool is_outstanding(const struct cognitive *cognitive, const struct round *r, const struct round_place *p)
{
    if (p->node == SLOT_NONE)
        return false;
    switch (r->state) {
    case ROUND_STARTED: return p->alive == LAYER_NOT_MEASURED;
    case ROUND_PRECOMMITTED: return p->precommitted && p->bound == LAYER_NOT_MEASURED;
    case ROUND_COMMITTED: return p->bound == LAYER_HELD && !place_finding(cognitive, p).decided;
    case ROUND_REQUESTED:
    case ROUND_CREATED:
    case ROUND_PREPARED:
    case ROUND_ENDED:
    case ROUND_ABORTED:
    case ROUND_STATE_COUNT: break;
    }
    cx_assert(false);  // nodes have nothing to do in any other phase
    return false;
}

static bool anybody_is_outstanding(const struct cognitive *cognitive, const struct round *r)
{
    for (uint32_t i = 0; i < r->places; i++)
        if (is_outstanding(cognitive, r, &r->place[i]))
            return true;
    return false;
}

void round_advance(struct cognitive *cognitive, uint32_t round)
{
    const struct params *params = &cognitive->step->params;
    const struct round *r = &cognitive->round[round];
    uint64_t now_ms = cognitive->step->now_ms;
    if (r->state == ROUND_STARTED && !anybody_is_outstanding(cognitive, r)) {
        round_move(cognitive, round, ROUND_PRECOMMITTED, ABORT_NONE, now_ms + params->round_commit_ms);
        event_add(cognitive->step->out, EVENT_ROUND_ALL_PRECOMMITTED)->round_all_precommitted.round =
            slots_id(&cognitive->slots, round);
    }
    if (r->state == ROUND_PRECOMMITTED && !anybody_is_outstanding(cognitive, r))
        round_move(cognitive, round, ROUND_COMMITTED, ABORT_NONE, now_ms + params->round_verdict_ms);
    if (r->state == ROUND_COMMITTED && !anybody_is_outstanding(cognitive, r))
        end(cognitive, round);
}

/* Who has not acked, or not precommitted, is not alive. */
static void end_waiting_for_life(struct cognitive *cognitive, uint32_t round)
{
    struct round *r = &cognitive->round[round];
    uint64_t now_ms = cognitive->step->now_ms, precommit_ms = round_precommit_deadline_ms(cognitive, r);
    for (uint32_t i = 0; i < r->places; i++) {
        struct round_place *p = &r->place[i];
        if (p->alive == LAYER_NOT_MEASURED && (!p->acked || now_ms >= precommit_ms))
            p->alive = LAYER_BROKEN;
    }
    r->deadline_ms = precommit_ms;
    heap_set(&cognitive->due, round, precommit_ms);
}

static void end_waiting_for_reveals(struct round *r)
{
    for (uint32_t i = 0; i < r->places; i++)
        if (r->place[i].precommitted && !r->place[i].committed)
            r->place[i].bound = LAYER_BROKEN;
}

void round_is_due(struct cognitive *cognitive, uint32_t round)
{
    struct round *r = &cognitive->round[round];
    cx_assert(r->deadline_ms <= cognitive->step->now_ms);
    switch (r->state) {
    case ROUND_REQUESTED: round_abort(cognitive, round, ABORT_NO_LEADER); return;
    case ROUND_CREATED: round_abort(cognitive, round, ABORT_NO_CHALLENGE); return;
    case ROUND_PREPARED: round_abort(cognitive, round, ABORT_NO_LEADER); return;
    case ROUND_STARTED: end_waiting_for_life(cognitive, round); break;
    case ROUND_PRECOMMITTED: end_waiting_for_reveals(r); break;
    case ROUND_COMMITTED: end(cognitive, round); return;
    case ROUND_ENDED:
    case ROUND_ABORTED:
    case ROUND_STATE_COUNT: cx_assert(false); return;
    }
    round_advance(cognitive, round);
}

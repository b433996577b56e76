#include "core/validation.h"

#include "base/assert.h"

#define AUDIT_TAG    "corten/a"  // docs/protocol.md, "Audits"
#define BASIS_POINTS 10000

/* The arrows of the picture in validation.h. */
static const unsigned allowed[AUDIT_STATE_COUNT] = {
    [AUDIT_WAITING] = 1u << AUDIT_DRAWN | 1u << AUDIT_SPARED,
    [AUDIT_DRAWN] = 1u << AUDIT_ASKED | 1u << AUDIT_VOID,
    [AUDIT_ASKED] = 1u << AUDIT_DECIDED | 1u << AUDIT_VOID,
    [AUDIT_DECIDED] = 0,
    [AUDIT_VOID] = 0,
    [AUDIT_SPARED] = 0,
};

bool validation_init(struct validation *validation, struct arena *arena, struct step *step,
                     struct account_book *account, struct cognitive *cognitive, struct node_pool *node_pool,
                     struct payment *payment, struct reputation *reputation)
{
    uint32_t cap = (uint32_t)step->params.audits_cap;
    *validation = (struct validation){
        .step = step,
        .account = account,
        .cognitive = cognitive,
        .node_pool = node_pool,
        .payment = payment,
        .reputation = reputation,
        .waiting = {SLOT_NONE, SLOT_NONE},
    };
    validation->audit = arena_take(arena, cap, sizeof *validation->audit);
    bool has_slots = slots_init(&validation->slots, arena, cap);
    bool has_heap = heap_init(&validation->due, arena, cap);
    return validation->audit && has_slots && has_heap;
}

/* ---- the decision ---- */

static uint32_t count_alike(const struct answer *answer, uint32_t count, const struct hash *text_digest)
{
    uint32_t alike = 0;
    for (uint32_t i = 0; i < count; i++)
        alike += hash_eq(&answer[i].text_digest, text_digest);
    return alike;
}

/* More than half of those that were asked for: two texts cannot both have that. */
static bool has_majority(uint32_t redundancy, const struct answer *answer, uint32_t count, uint32_t at)
{
    return count_alike(answer, count, &answer[at].text_digest) >= redundancy / 2 + 1;
}

static bool stands(enum validation_policy policy, uint32_t redundancy, const struct answer *answer, uint32_t count,
                   uint32_t at)
{
    switch (policy) {
    case VALIDATION_HASH: return true;
    case VALIDATION_MAJORITY: return has_majority(redundancy, answer, count, at);
    case VALIDATION_SIMILARITY:
    case VALIDATION_RESCORE:
    case VALIDATION_JUDGE:
    case VALIDATION_POLICY_COUNT: break;
    }
    cx_assert(policy <= VALIDATION_MAJORITY);  // session_open refuses the others
    return false;
}

uint32_t validation_decide(enum validation_policy policy, uint32_t redundancy, struct answer *answer, uint32_t count)
{
    uint32_t accepted = 0;
    cx_assert(redundancy >= 1 && redundancy <= REDUNDANCY_MAX);
    cx_assert(count <= redundancy);
    for (uint32_t i = 0; i < count; i++) {
        answer[i].accepted = stands(policy, redundancy, answer, count, i);
        accepted += answer[i].accepted;
    }
    return accepted;
}

/* ---- audits: the list of those that wait ---- */

static void link_waiting(struct validation *validation, uint32_t slot)
{
    struct audit *a = &validation->audit[slot];
    a->prev = validation->waiting.tail;
    a->next = SLOT_NONE;
    if (a->prev == SLOT_NONE)
        validation->waiting.head = slot;
    else
        validation->audit[a->prev].next = slot;
    validation->waiting.tail = slot;
}

static void unlink_waiting(struct validation *validation, uint32_t slot)
{
    struct audit *a = &validation->audit[slot];
    if (a->prev == SLOT_NONE)
        validation->waiting.head = a->next;
    else
        validation->audit[a->prev].next = a->next;
    if (a->next == SLOT_NONE)
        validation->waiting.tail = a->prev;
    else
        validation->audit[a->next].prev = a->prev;
    a->prev = a->next = SLOT_NONE;
}

/* ---- audits: their life ---- */

/* The only writer of audit.state, so that a state, its list and its deadline cannot disagree. */
static void move(struct validation *validation, uint32_t slot, enum audit_state to, enum audit_finding finding)
{
    cx_assert(slots_is_live(&validation->slots, slot));
    struct audit *a = &validation->audit[slot];
    enum audit_state from = a->state;
    cx_assert(allowed[from] & (1u << to));

    if (from == AUDIT_WAITING)
        unlink_waiting(validation, slot);
    if (to == AUDIT_DRAWN)
        a->deadline_ms = u64_add_sat(validation->step->now_ms, validation->step->params.audit_ms);
    a->state = to;
    bool lives = to == AUDIT_DRAWN || to == AUDIT_ASKED;
    heap_set(&validation->due, slot, lives ? a->deadline_ms : TIME_NEVER);

    struct evt_audit_moved *e = &event_add(validation->step->out, EVENT_AUDIT_MOVED)->audit_moved;
    e->audit = slots_id(&validation->slots, slot);
    e->task = a->task;
    e->lease = a->lease;
    e->node = a->node;
    e->from = (uint8_t)from;
    e->to = (uint8_t)to;
    e->finding = (uint8_t)finding;
    e->deadline_ms = lives ? a->deadline_ms : 0;
}

/* The node that was audited, or SLOT_NONE: it may have gone meanwhile, and its slot may be another's. */
static uint32_t audited_node(const struct validation *validation, const struct audit *a)
{
    uint32_t node = (uint32_t)a->node_id;
    return node_pool_id(validation->node_pool, node) == a->node_id ? node : SLOT_NONE;
}

static void judge_node(struct validation *validation, const struct audit *a, bool flagged)
{
    uint32_t node = audited_node(validation, a);
    if (!a->counts || node == SLOT_NONE)
        return;
    reputation_count(validation->reputation, node, flagged ? COUNT_AUDIT_FLAGGED : COUNT_AUDIT_PASSED, 1);
    enum standing standing = reputation_audit(validation->reputation, node, a->at, flagged);
    node_pool_reweigh(validation->node_pool, node);
    if (standing == STANDING_CONDEMNED)
        node_pool_ban(validation->node_pool, node);
}

/* Ends an audit: what waited for it is paid, unless it was decided against the node. */
static void end(struct validation *validation, uint32_t slot, enum audit_state to, enum audit_finding finding)
{
    struct audit *a = &validation->audit[slot];
    bool forfeits = finding == FINDING_FLAG;
    if (forfeits)
        cx_assert(to == AUDIT_DECIDED);
    move(validation, slot, to, finding);
    if (to == AUDIT_DECIDED)
        judge_node(validation, a, forfeits);
    struct amount amount = payment_pending_end(validation->payment, slot, !forfeits);

    uint32_t node = audited_node(validation, a);
    struct evt_audit_settled *e = &event_add(validation->step->out, EVENT_AUDIT_SETTLED)->audit_settled;
    e->audit = slots_id(&validation->slots, slot);
    e->node = a->node;
    e->score_milli = node == SLOT_NONE ? 0 : reputation_test_milli(validation->reputation, node, a->at);
    e->paid = forfeits ? AMOUNT_ZERO : amount;
    e->forfeited = forfeits ? amount : AMOUNT_ZERO;
    slots_give(&validation->slots, slot);
}

uint32_t audit_enter(struct validation *validation, const struct audit_terms *terms)
{
    const struct node *node = node_pool_node(validation->node_pool, terms->node);
    bool watched = reputation_standing(validation->reputation, terms->node, terms->at) != STANDING_GOOD;
    if (oracle_live_count(validation->cognitive) == 0 || (terms->audit_bp == 0 && !watched))
        return SLOT_NONE;
    uint32_t slot = slots_take(&validation->slots);
    if (slot == SLOT_NONE)
        return SLOT_NONE;
    struct audit *a = &validation->audit[slot];
    *a = (struct audit){
        .state = AUDIT_WAITING,
        .task = terms->task,
        .lease = terms->lease,
        .node_id = node_pool_id(validation->node_pool, terms->node),
        .node = node->address,
        .node_operator = *node_pool_operator(validation->node_pool, terms->node),
        .at = terms->at,
        .oracle = SLOT_NONE,
        .audit_bp = watched ? BASIS_POINTS : terms->audit_bp,
        .deadline_ms = u64_add_sat(validation->step->now_ms, validation->step->params.audit_ms),
        .beacons = cognitive_beacons(validation->cognitive),
        .counts = terms->counts,
    };
    link_waiting(validation, slot);
    heap_set(&validation->due, slot, a->deadline_ms);
    return slot;
}

/* ---- audits: the draw ---- */

/* An oracle of another operator, by dice; SLOT_NONE where there seems to be none. */
static uint32_t draw_oracle(const struct validation *validation, const struct audit *a, const struct hash *beacon)
{
    for (uint32_t i = 1; i <= ORACLES_MAX; i++) {
        uint32_t oracle = oracle_draw(validation->cognitive, step_dice(beacon, AUDIT_TAG, a->lease, i));
        if (oracle == SLOT_NONE)
            return SLOT_NONE;
        if (!address_eq(oracle_operator(validation->cognitive, oracle), &a->node_operator))
            return oracle;
    }
    return SLOT_NONE;
}

static void draw(struct validation *validation, uint32_t slot)
{
    struct audit *a = &validation->audit[slot];
    struct hash beacon;
    uint32_t oracle = SLOT_NONE;
    if (cognitive_dice(validation->cognitive, &beacon) &&
        step_dice(&beacon, AUDIT_TAG, a->lease, 0) % BASIS_POINTS < a->audit_bp)
        oracle = draw_oracle(validation, a, &beacon);
    if (oracle == SLOT_NONE) {
        end(validation, slot, AUDIT_SPARED, FINDING_NONE);
        return;
    }
    a->oracle = oracle;
    move(validation, slot, AUDIT_DRAWN, FINDING_NONE);
}

/* Whether the one that waits longest was committed before the present beacon. */
static bool can_draw(const struct validation *validation)
{
    uint32_t head = validation->waiting.head;
    return head != SLOT_NONE && validation->audit[head].beacons < cognitive_beacons(validation->cognitive);
}

uint64_t validation_due_ms(const struct validation *validation)
{
    return can_draw(validation) ? 0 : heap_top_key(&validation->due);
}

void validation_sweep(struct validation *validation)
{
    if (can_draw(validation)) {
        draw(validation, validation->waiting.head);
        return;
    }
    if (heap_top_key(&validation->due) > validation->step->now_ms)
        return;
    uint32_t slot = heap_top(&validation->due);
    bool waits = validation->audit[slot].state == AUDIT_WAITING;  // no beacon came
    end(validation, slot, waits ? AUDIT_SPARED : AUDIT_VOID, FINDING_NONE);
}

/* ---- audits: commands ---- */

enum verdict audit_ask(struct validation *validation, const struct cmd_audit_ask *cmd, uint32_t oracle)
{
    uint32_t slot = slots_find(&validation->slots, cmd->audit);
    if (slot == SLOT_NONE)
        return VERDICT_AUDIT_UNKNOWN;
    struct audit *a = &validation->audit[slot];
    if (a->state != AUDIT_DRAWN)
        return VERDICT_AUDIT_STATE;
    if (a->oracle != oracle)
        return VERDICT_NOT_AUTHORIZED;
    if (a->deadline_ms <= validation->step->now_ms)
        return VERDICT_DEADLINE_PASSED;
    move(validation, slot, AUDIT_ASKED, FINDING_NONE);
    return VERDICT_ACCEPTED;
}

static enum verdict check_verdict(const struct validation *validation, const struct cmd_audit_verdict *cmd,
                                  uint32_t oracle, uint32_t *ret_slot)
{
    if (cmd->finding == FINDING_NONE || cmd->finding >= AUDIT_FINDING_COUNT)
        return VERDICT_VALUE_INVALID;
    uint32_t slot = slots_find(&validation->slots, cmd->audit);
    if (slot == SLOT_NONE)
        return VERDICT_AUDIT_UNKNOWN;
    const struct audit *a = &validation->audit[slot];
    if (a->state != AUDIT_ASKED)
        return VERDICT_AUDIT_STATE;
    if (address_eq(oracle_operator(validation->cognitive, oracle), &a->node_operator))
        return VERDICT_OWN_OPERATOR;
    if (a->judged_by & 1u << oracle)
        return VERDICT_VERDICT_KNOWN;
    if (a->deadline_ms <= validation->step->now_ms)
        return VERDICT_DEADLINE_PASSED;
    *ret_slot = slot;
    return VERDICT_ACCEPTED;
}

static void count_finding(struct audit *a, enum audit_finding finding)
{
    switch (finding) {
    case FINDING_PASS: a->passes++; return;
    case FINDING_FLAG: a->flags++; return;
    case FINDING_UNMEASURABLE: a->unmeasurable++; return;
    case FINDING_NONE:
    case AUDIT_FINDING_COUNT: break;
    }
    cx_assert(finding == FINDING_PASS);  // check_verdict refused the others
}

enum verdict audit_verdict(struct validation *validation, const struct cmd_audit_verdict *cmd, uint32_t oracle)
{
    uint32_t slot;
    enum verdict verdict = check_verdict(validation, cmd, oracle, &slot);
    if (verdict)
        return verdict;

    struct audit *a = &validation->audit[slot];
    uint32_t quorum = oracle_quorum(validation->cognitive);
    a->judged_by |= 1u << oracle;
    count_finding(a, (enum audit_finding)cmd->finding);
    if (a->flags >= quorum)
        end(validation, slot, AUDIT_DECIDED, FINDING_FLAG);
    else if (a->passes >= quorum)
        end(validation, slot, AUDIT_DECIDED, FINDING_PASS);
    else if (a->unmeasurable >= quorum)
        end(validation, slot, AUDIT_VOID, FINDING_UNMEASURABLE);
    return VERDICT_ACCEPTED;
}

/* ---- rows and check ---- */

static void row_audit(struct rows *rows, struct audit *a, uint32_t cap)
{
    row_enum(rows, &a->state, AUDIT_STATE_COUNT);
    row_u64(rows, &a->task);
    row_u64(rows, &a->lease);
    row_u64(rows, &a->node_id);
    row_bytes(rows, a->node.b, sizeof a->node.b);
    row_bytes(rows, a->node_operator.b, sizeof a->node_operator.b);
    row_u32(rows, &a->at);
    row_slot(rows, &a->oracle, ORACLES_MAX);
    row_u32(rows, &a->audit_bp);
    row_u64(rows, &a->deadline_ms);
    row_u64(rows, &a->beacons);
    row_u32(rows, &a->judged_by);
    row_u8(rows, &a->passes);
    row_u8(rows, &a->flags);
    row_u8(rows, &a->unmeasurable);
    row_bool(rows, &a->counts);
    row_slot(rows, &a->prev, cap);
    row_slot(rows, &a->next, cap);
    if (a->at >= NODE_MODELS_MAX)
        rows->ok = false;
}

void validation_rows(struct validation *validation, struct rows *rows)
{
    struct slots *slots = &validation->slots;
    uint32_t count = slots->live;
    rows_module(rows, "validation");
    rows_table(rows, &count, slots->cap);
    row_slots(rows, slots);
    for (uint32_t i = 0; i < slots->used && rows->ok; i++)
        if (slots_is_live(slots, i))
            row_audit(rows, &validation->audit[i], slots->cap);
    row_slot(rows, &validation->waiting.head, slots->cap);
    row_slot(rows, &validation->waiting.tail, slots->cap);
    rows_table_end(rows);
    rows_module_end(rows);
    /* The deadlines are the rows' own. */
    for (uint32_t i = 0; rows_reading(rows) && rows->ok && i < slots->used; i++)
        if (slots_is_live(slots, i))
            heap_set(&validation->due, i, validation->audit[i].deadline_ms);
}

static uint32_t check_waiting(const struct validation *validation)
{
    uint32_t count = 0, prev = SLOT_NONE;
    for (uint32_t i = validation->waiting.head; i != SLOT_NONE; prev = i, i = validation->audit[i].next) {
        cx_assert(slots_is_live(&validation->slots, i));
        cx_assert(validation->audit[i].state == AUDIT_WAITING);
        cx_assert(validation->audit[i].prev == prev);
        if (prev != SLOT_NONE)
            cx_assert(validation->audit[prev].beacons <= validation->audit[i].beacons);
        cx_assert(count++ < validation->slots.live);
    }
    cx_assert(validation->waiting.tail == prev);
    return count;
}

void validation_check(const struct validation *validation)
{
    uint32_t waiting = 0;
    slots_check(&validation->slots);
    heap_check(&validation->due);
    cx_assert(validation->due.count == validation->slots.live);
    for (uint32_t i = 0; i < validation->slots.used; i++) {
        const struct audit *a = &validation->audit[i];
        if (!slots_is_live(&validation->slots, i))
            continue;
        cx_assert(allowed[a->state] != 0);
        cx_assert(heap_has(&validation->due, i));
        cx_assert(heap_key(&validation->due, i) == a->deadline_ms);
        cx_assert((a->oracle == SLOT_NONE) == (a->state == AUDIT_WAITING));
        cx_assert(a->passes + a->flags + a->unmeasurable <= ORACLES_MAX);
        waiting += a->state == AUDIT_WAITING;
    }
    cx_assert(check_waiting(validation) == waiting);
}

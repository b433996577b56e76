/* check_core_rounds.c - rounds and audits: their arrows, whether verdicts bear out what they find, and what becomes of
 * a node's sequential test. Source: docs/protocol.md, "Rounds" and "Audits". */
#include "base/bytes.h"
#include "crypto/blake3.h"
#include "crypto/keccak.h"
#include "sim/check_core_parts.h"

static struct round_book *round_book(struct check_core *c, uint64_t id)
{
    uint32_t slot = slot_of(id);
    return id != 0 && slot < c->round_cap && c->round[slot].id == id ? &c->round[slot] : NULL;
}

/* Leases of rounds: generation << 32 | slot << 5 | place << 1. */
static struct round_book *round_of_lease(struct check_core *c, uint64_t lease, uint32_t *ret_place)
{
    uint32_t slot = (uint32_t)lease >> 5, place = (uint32_t)lease >> 1 & 15;
    if (lease % 2 || slot >= c->round_cap || c->round[slot].id == 0 || c->round[slot].place[place].lease != lease)
        return NULL;
    *ret_place = place;
    return &c->round[slot];
}

/* ---- rounds ---- */

static bool arrow_is_drawn(enum round_state from, enum round_state to)
{
    if (to == ROUND_ABORTED)
        return from < ROUND_ENDED;
    return to == from + 1;
}

static bool requested(struct check_core *c, const struct evt_round_moved *e)
{
    uint32_t slot = slot_of(e->round);
    MUST(c, ROUND_RECORD,
         e->from == ROUND_REQUESTED && e->to == ROUND_REQUESTED && slot < c->round_cap && c->round[slot].id == 0 &&
             (e->round >> 32) > c->round[slot].generation,
         "round %" PRIx64 " went from %s to %s and was never requested", e->round, term_name(TERM_round_state, e->from),
         term_name(TERM_round_state, e->to));
    MUST(c, ROUND_RECORD, oracles_live(c) > 0, "round %" PRIx64 " is requested and no oracle lives", e->round);
    c->round[slot] = (struct round_book){.id = e->round,
                                         .generation = (uint32_t)(e->round >> 32),
                                         .state = ROUND_REQUESTED,
                                         .model = e->model,
                                         .deadline_ms = e->deadline_ms};
    return true;
}

/* The challenge that was promised is the one that is opened. */
static bool opens(struct check_core *c, const struct round_book *r)
{
    const struct cmd_round_start *start = &c->entry->cmd->round_start;
    struct keccak k;
    struct hash hash;
    MUST(c, EFFECT, c->entry->cmd->type == COMMAND_ROUND_START && start->round == r->id,
         "round %" PRIx64 " starts, and nobody started it", r->id);
    keccak_init(&k);
    keccak_add(&k, start->salt.b, sizeof start->salt.b);
    keccak_add(&k, start->challenge_digest.b, sizeof start->challenge_digest.b);
    keccak_end(&k, &hash);
    MUST(c, REVEAL, hash_eq(&hash, &r->challenge_hash), "round %" PRIx64 " opens another challenge than was prepared",
         r->id);
    return true;
}

static bool round_moved(struct check_core *c, const struct evt_round_moved *e)
{
    struct round_book *r = round_book(c, e->round);
    if (!r)
        return requested(c, e);
    MUST(c, ROUND_RECORD,
         e->from == r->state && (arrow_is_drawn(r->state, (enum round_state)e->to) ||
                                 (e->to == ROUND_PREPARED && r->state == ROUND_PREPARED)),
         "round %" PRIx64 " was %s and went from %s to %s", r->id, term_name(TERM_round_state, r->state),
         term_name(TERM_round_state, e->from), term_name(TERM_round_state, e->to));
    r->state = (enum round_state)e->to;
    r->deadline_ms = e->deadline_ms;
    if (r->state == ROUND_PREPARED) {
        MUST(c, EFFECT, c->entry->cmd->type == COMMAND_ROUND_PREPARE, "round %" PRIx64 " has a challenge of nobody",
             r->id);
        r->challenge_hash = c->entry->cmd->round_prepare.challenge_hash;
    }
    if (r->state == ROUND_STARTED)
        return opens(c, r);
    if (r->state == ROUND_ENDED || r->state == ROUND_ABORTED)
        r->id = 0;
    return true;
}

static bool round_offered(struct check_core *c, const struct evt_round_offered *e)
{
    struct round_book *r = round_book(c, e->round);
    const struct node_book *n = node_book(c, &e->node);
    uint32_t place = (uint32_t)e->lease >> 1 & 15;
    MUST(c, ROUND_RECORD,
         r && r->state == ROUND_STARTED && e->lease % 2 == 0 && (uint32_t)e->lease >> 5 == slot_of(e->round),
         "round lease %" PRIu64 " is not one of round %" PRIx64, e->lease, e->round);
    MUST(c, ROUND_RECORD, n && n->state == NODE_TESTING,
         "round %" PRIx64 " has a place for node %08x, which is not TESTING", e->round, short_of(&e->node));
    uint64_t seed = check_dice(c, "corten/r", e->lease, 0);
    MUST(c, DICE, e->seed == seed, "round lease %" PRIu64 " has seed %" PRIu64 ", and the dice say %" PRIu64, e->lease,
         e->seed, seed);
    r->places++;
    memset(&r->place[place], 0, sizeof r->place[place]);
    r->place[place].node = e->node;
    r->place[place].lease = e->lease;
    return true;
}

static bool round_answer(struct check_core *c, const struct evt_round_answer *e)
{
    const struct command *cmd = c->entry->cmd;
    uint32_t place;
    struct round_book *r = round_of_lease(c, e->lease, &place);
    MUST(c, ROUND_RECORD, r && r->id == e->round, "round lease %" PRIu64 " answers, and it does not live", e->lease);
    MUST(c, REVEAL_ORDER, r->state == ROUND_PRECOMMITTED, "round lease %" PRIu64 " was revealed while its round is %s",
         e->lease, term_name(TERM_round_state, r->state));
    const struct cmd_round_commit *commit = &cmd->round_commit;
    struct hash precommit;
    uint8_t number[32];
    struct blake3 b;
    be64_put(number, c->network_id);
    be64_put(number + 8, 0);
    be64_put(number + 16, r->id);
    be64_put(number + 24, e->lease);
    blake3_init(&b);
    blake3_add(&b, "corten/p", 8);
    blake3_add(&b, number, sizeof number);
    blake3_add(&b, r->place[place].node.b, 20);
    blake3_add(&b, commit->salt.b, 32);
    blake3_add(&b, commit->record.data, commit->record.size);
    blake3_end(&b, &precommit);
    bool same = hash_eq(&precommit, &r->place[place].precommit);
    MUST(c, REVEAL, same || !e->bound, "round lease %" PRIu64 " is bound to what it did not precommit", e->lease);
    r->place[place].answered = e->bound;
    return true;
}

static bool round_result(struct check_core *c, const struct evt_round_result *e)
{
    struct round_book *r = round_book(c, e->round);
    struct node_book *n = node_book(c, &e->node);
    MUST(c, ROUND_RECORD, r && n, "round %" PRIx64 " has a result of node %08x, and there is no such", e->round,
         short_of(&e->node));
    n->passed = e->passed;
    if (!e->passed)
        return true;
    for (uint32_t i = 0; i < ROUND_NODES_MAX; i++) {
        if (r->place[i].lease == 0 || !address_eq(&r->place[i].node, &e->node))
            continue;
        uint32_t unmeasured = r->place[i].judged - r->place[i].right_held - r->place[i].right_broken;
        bool agreed = r->place[i].right_held >= c->oracle_quorum || unmeasured >= c->oracle_quorum;
        /* Where as many say the contrary, a quorum lies, and the one that lets it pass is believed. */
        bool held = r->place[i].right_held >= c->oracle_quorum || r->place[i].right_broken < c->oracle_quorum;
        MUST(c, TESTED, r->place[i].answered && agreed && held,
             "node %08x passed round %" PRIx64 " with %u of %u verdicts for it%s", short_of(&e->node), r->id,
             r->place[i].right_held, c->oracle_quorum, r->place[i].answered ? "" : ", and no answer");
        uint32_t at = node_model_at(n, r->model), context = r->place[i].context;
        if (at != SLOT_NONE && context > 0 && (n->model[at].measured == 0 || context < n->model[at].measured))
            n->model[at].measured = context;
        return true;
    }
    return FAIL(c, TESTED, "node %08x passed round %" PRIx64 ", in which it has no place", short_of(&e->node), r->id);
}

static bool count_verdict(struct check_core *c);

bool round_event(struct check_core *c, const struct event *e)
{
    if (!count_verdict(c))
        return false;
    if (e->type == EVENT_ROUND_MOVED)
        return round_moved(c, &e->round_moved);
    if (e->type == EVENT_ROUND_OFFERED)
        return round_offered(c, &e->round_offered);
    if (e->type == EVENT_ROUND_ANSWER)
        return round_answer(c, &e->round_answer);
    if (e->type == EVENT_ROUND_RESULT)
        return round_result(c, &e->round_result);
    const struct round_book *r = round_book(c, e->round_all_precommitted.round);
    MUST(c, REVEAL_ORDER, r && r->state == ROUND_PRECOMMITTED, "reveals of a round were let go ahead");
    return true;
}

/* ---- audits ---- */

static struct audit_book *audit_of(struct check_core *c, uint64_t lease)
{
    uint32_t row = id_map_find(&c->by_audit, &lease);
    return row == SLOT_NONE ? NULL : &c->audit[row];
}

static struct audit_book *audit_add(struct check_core *c, uint64_t lease)
{
    uint32_t row = places_take(&c->audit_rows);
    if (row == SLOT_NONE)
        return NULL;
    c->audit[row] = (struct audit_book){.lease = lease, .state = AUDIT_WAITING};
    id_map_add(&c->by_audit, row);
    return &c->audit[row];
}

static uint32_t test_of(struct check_core *c, const struct address *node, uint64_t model)
{
    const struct node_book *n = node_book(c, node);
    uint32_t at = n ? node_model_at(n, model) : SLOT_NONE;
    return at == SLOT_NONE ? 0 : n->model[at].test_milli;
}

bool audit_begin(struct check_core *c, const struct task_book *t, const struct lease_book *l,
                 const struct address *payee, struct amount pending)
{
    const struct session_book_ *s = session_book(c, t->session);
    MUST(c, AUDIT_RECORD, !audit_of(c, l->lease), "lease %" PRIu64 " waits for two audits", l->lease);
    struct audit_book *a = audit_add(c, l->lease);
    MUST(c, AUDIT_RECORD, a, "more audits than audits_cap");
    bool read_along = t->streamed && s->stream == STREAM_AT_ONCE && s->redundancy > 1;
    a->task = t->id;
    a->model = s->model;
    a->node = l->node;
    a->payee = *payee;
    a->beacons = c->beacons;
    a->since_seq = node_book(c, &l->node)->since_seq;
    bool watched = test_of(c, &l->node, s->model) >= c->params.probation_milli;
    a->audit_bp = watched ? 10000 : s->audit_bp;
    a->known = true;
    a->counts = t->attempt == 1 && !t->cancelling && (l->lease == t->primary || !read_along);
    a->pending = pending;
    MUST(c, AUDIT_RECORD, oracles_live(c) > 0 && a->audit_bp > 0,
         "lease %" PRIu64 " waits for an audit that nobody would make", l->lease);
    return money_put(c, &c->total.pending, pending);
}

/* PASS and FLAG move the test of a node that is still the one that answered, where its answer was evidence. */
static void move_test(struct check_core *c, struct audit_book *a, bool flagged)
{
    struct node_book *n = node_book(c, &a->node);
    uint32_t at = n && n->since_seq == a->since_seq ? node_model_at(n, a->model) : SLOT_NONE;
    if (!a->known || at == SLOT_NONE)
        return;
    if (a->counts) {
        uint64_t test = n->model[at].test_milli;
        test = flagged ? test + c->params.flag_score_milli : test - u64_min(test, c->params.pass_score_milli);
        n->model[at].test_milli = (uint32_t)test;
    }
    a->test_milli = n->model[at].test_milli;
    a->moved_test = true;
}

static bool drawn(struct check_core *c, const struct audit_book *a)
{
    MUST(c, DICE, a->beacons < c->beacons || !a->known,
         "the audit of lease %" PRIu64 " is drawn from a beacon before it", a->lease);
    uint64_t dice = check_dice(c, "corten/a", a->lease, 0) % 10000;
    MUST(c, DICE, dice < a->audit_bp || !a->known, "lease %" PRIu64 " is audited at %" PRIu64 " of %u", a->lease, dice,
         a->audit_bp);
    return true;
}

/* Spared by dice; or for want of an oracle of another operator, or of a beacon for audit_ms. */
static bool spared(struct check_core *c, const struct audit_book *a)
{
    const struct node_book *n = node_book(c, &a->node);
    bool judge = false;
    for (uint32_t i = 0; i < c->oracles; i++)
        judge |= c->oracle[i].state == ORACLE_LIVE && c->oracle[i].duties & DUTY_AUDIT && i != c->last_revealer && n &&
                 !address_eq(&c->oracle[i].operator, & n->operator);
    for (uint32_t i = 0; i < c->oracles; i++)  // one of the node's own operator may be drawn again and again
        judge &= !n || !address_eq(&c->oracle[i].operator, & n->operator);
    uint64_t dice = check_dice(c, "corten/a", a->lease, 0) % 10000;
    bool due = a->known && judge && a->beacons < c->beacons && oracles_live(c) > 0;
    MUST(c, DICE, !due || dice >= a->audit_bp, "lease %" PRIu64 " is spared at %" PRIu64 " of %u", a->lease, dice,
         a->audit_bp);
    return true;
}

static bool decided(struct check_core *c, struct audit_book *a, enum audit_finding finding)
{
    bool flag = a->flags >= c->oracle_quorum;
    MUST(c, AUDIT_RECORD, (flag || a->passes >= c->oracle_quorum) && finding == (flag ? FINDING_FLAG : FINDING_PASS),
         "the audit of lease %" PRIu64 " is %s by %u PASS and %u FLAG", a->lease,
         term_name(TERM_audit_finding, finding), a->passes, a->flags);
    move_test(c, a, flag);
    return true;
}

static bool audit_moved(struct check_core *c, const struct evt_audit_moved *e)
{
    struct audit_book *a = audit_of(c, e->lease);
    if (!a && e->from == AUDIT_WAITING)
        a = audit_add(c, e->lease);  // nothing of its pay waits
    MUST(c, AUDIT_RECORD, a && e->from == a->state && (a->id == 0 || a->id == e->audit),
         "the audit of lease %" PRIu64 " comes from %s", e->lease, term_name(TERM_audit_state, e->from));
    a->id = e->audit;
    a->node = e->node;
    a->state = (enum audit_state)e->to;
    const struct command *cmd = c->entry->cmd;
    switch (a->state) {
    case AUDIT_DRAWN:
        MUST(c, AUDIT_RECORD, e->from == AUDIT_WAITING, "the audit of lease %" PRIu64 " is drawn again", e->lease);
        return drawn(c, a);
    case AUDIT_SPARED:
        MUST(c, AUDIT_RECORD, e->from == AUDIT_WAITING, "the audit of lease %" PRIu64 " is spared late", e->lease);
        return spared(c, a);
    case AUDIT_ASKED:
        MUST(c, AUDIT_RECORD, e->from == AUDIT_DRAWN && cmd->type == COMMAND_AUDIT_ASK && cmd->audit_ask.audit == a->id,
             "the audit of lease %" PRIu64 " is ASKED by nobody", e->lease);
        return true;
    case AUDIT_DECIDED:
        MUST(c, AUDIT_RECORD, e->from == AUDIT_ASKED, "the audit of lease %" PRIu64 " is DECIDED before it was asked",
             e->lease);
        return decided(c, a, (enum audit_finding)e->finding);
    case AUDIT_VOID:
    case AUDIT_WAITING:
    case AUDIT_STATE_COUNT: break;
    }
    MUST(c, AUDIT_RECORD, a->state == AUDIT_VOID, "the audit of lease %" PRIu64 " waits again", e->lease);
    return true;
}

static bool settled(struct check_core *c, const struct evt_audit_settled *e)
{
    struct audit_book *a = NULL;
    for (uint32_t i = 0; i < c->audit_rows.cap; i++)
        if (c->audit[i].lease != 0 && c->audit[i].id == e->audit)
            a = &c->audit[i];
    MUST(c, AUDIT_RECORD, a && a->state >= AUDIT_DECIDED, "audit %" PRIx64 " is settled, and it has not ended",
         e->audit);
    struct amount both;
    bool whole = amount_add(e->paid, e->forfeited, &both) && amount_eq(both, a->pending);
    MUST(c, MONEY, whole, "audit %" PRIx64 " held %" PRIu64 " and gives back %" PRIu64 " and %" PRIu64, e->audit,
         a->pending.credits, e->paid.credits, e->forfeited.credits);
    bool flagged = a->state == AUDIT_DECIDED && a->flags >= c->oracle_quorum;
    MUST(c, PAY, flagged ? amount_is_zero(e->paid) : amount_is_zero(e->forfeited),
         "audit %" PRIx64 " forfeits %" PRIu64 " where it found no fault, or pays where it did", e->audit,
         e->forfeited.credits);
    if (a->moved_test)
        MUST(c, SEQUENTIAL_TEST, e->score_milli == a->test_milli, "the test of node %08x is %u, and by its audits %u",
             short_of(&a->node), e->score_milli, a->test_milli);
    bool ok = money_take(c, &c->total.pending, a->pending, "pending") &&
              money_put(c, &c->total.network, e->forfeited) && money_move(c, &a->payee, e->paid, true);
    uint32_t row = (uint32_t)(a - c->audit);
    id_map_remove(&c->by_audit, row);
    c->audit[row] = (struct audit_book){0};
    places_give(&c->audit_rows, row);
    return ok;
}

bool audit_event(struct check_core *c, const struct event *e)
{
    if (!count_verdict(c))
        return false;
    return e->type == EVENT_AUDIT_MOVED ? audit_moved(c, &e->audit_moved) : settled(c, &e->audit_settled);
}

/* ---- verdicts: counted before what they bring about, and once ---- */

static bool is_own(struct check_core *c, const struct address *oracle, const struct address *node)
{
    uint32_t at = oracle_index(c, oracle);
    const struct node_book *n = node_book(c, node);
    return at != SLOT_NONE && n && address_eq(&c->oracle[at].operator, & n->operator);
}

static bool count_round_verdict(struct check_core *c, const struct command *cmd)
{
    uint32_t place;
    struct round_book *r = round_of_lease(c, cmd->round_verdict.lease, &place);
    MUST(c, ROUND_RECORD, r && r->state >= ROUND_PRECOMMITTED && r->place[place].answered,
         "a verdict on round lease %" PRIu64 " was accepted without an answer", cmd->round_verdict.lease);
    MUST(c, ROUND_RECORD, !is_own(c, &cmd->signer[0], &r->place[place].node), "oracle %08x judges a node of its own",
         short_of(&cmd->signer[0]));
    r->place[place].judged++;
    r->place[place].right_held += cmd->round_verdict.right == LAYER_HELD;
    r->place[place].right_broken += cmd->round_verdict.right == LAYER_BROKEN;
    uint32_t context = cmd->round_verdict.context, least = r->place[place].context;
    r->place[place].context = context > 0 && (least == 0 || context < least) ? context : least;
    return true;
}

static bool count_audit_verdict(struct check_core *c, const struct command *cmd)
{
    for (uint32_t i = 0; i < c->audit_rows.cap; i++) {
        struct audit_book *a = &c->audit[i];
        if (a->lease == 0 || a->id != cmd->audit_verdict.audit)
            continue;
        MUST(c, AUDIT_RECORD, !is_own(c, &cmd->signer[0], &a->node), "oracle %08x audits a node of its own",
             short_of(&cmd->signer[0]));
        a->passes += cmd->audit_verdict.finding == FINDING_PASS;
        a->flags += cmd->audit_verdict.finding == FINDING_FLAG;
        a->unmeasurable += cmd->audit_verdict.finding == FINDING_UNMEASURABLE;
        return true;
    }
    return FAIL(c, AUDIT_RECORD, "a verdict on audit %" PRIx64 " was accepted, and there is none",
                cmd->audit_verdict.audit);
}

/* The sweep's events come before the command's own; those cannot be told apart here, and need not: what the sweep ends
 * is not what an accepted verdict names. */
static bool count_verdict(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    if (c->verdict_counted || !cmd || c->entry->verdict != VERDICT_ACCEPTED)
        return true;
    if (cmd->type != COMMAND_ROUND_VERDICT && cmd->type != COMMAND_AUDIT_VERDICT)
        return true;
    c->verdict_counted = true;
    return cmd->type == COMMAND_ROUND_VERDICT ? count_round_verdict(c, cmd) : count_audit_verdict(c, cmd);
}

bool round_after(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    bool ok = count_verdict(c);
    c->verdict_counted = false;
    if (!ok || !cmd || c->entry->verdict != VERDICT_ACCEPTED || cmd->type != COMMAND_ROUND_PRECOMMIT)
        return ok;
    uint32_t place;
    struct round_book *r = round_of_lease(c, cmd->round_precommit.lease, &place);
    MUST(c, ROUND_RECORD, r, "round lease %" PRIu64 " precommitted, and it does not live", cmd->round_precommit.lease);
    r->place[place].precommit = cmd->round_precommit.precommit;
    return true;
}

/* check_core_answer.c - what was revealed, which answer stands, and what it costs; reckoned from the entries alone.
 * Source: docs/protocol.md, "Result record", "Validation" and "Money". */
#include "base/bytes.h"
#include "crypto/blake3.h"
#include "sim/check_core_parts.h"

/* Where the fields of a record lie. */
enum record_at {
    AT_VERSION = 0,
    AT_MANIFEST = 1,
    AT_SEED = 34,
    AT_SEED_OF_CLIENT = 42,
    AT_REQUEST = 43,
    AT_CHAIN_HEAD = 75,
    AT_TEXT = 107,
    AT_FINISH = 171,
    AT_TOKENS_IN = 172,
    AT_TOKENS_OUT = 176,
    AT_END = 180
};

/* ---- reveals ---- */

/* B("corten/p" | network | session | task | lease | node | salt | record) */
static void precommit_of(const struct check_core *c, const struct task_book *t, const struct lease_book *l,
                         const struct cmd_task_commit *cmd, struct hash *ret_hash)
{
    uint8_t number[32];
    struct blake3 b;
    be64_put(number, c->network_id);
    be64_put(number + 8, t->session);
    be64_put(number + 16, t->id);
    be64_put(number + 24, l->lease);
    blake3_init(&b);
    blake3_add(&b, "corten/p", 8);
    blake3_add(&b, number, sizeof number);
    blake3_add(&b, l->node.b, sizeof l->node.b);
    blake3_add(&b, cmd->salt.b, sizeof cmd->salt.b);
    blake3_add(&b, cmd->record.data, cmd->record.size);
    blake3_end(&b, ret_hash);
}

static bool record_fits(struct check_core *c, const struct task_book *t, const struct lease_book *l, struct span record)
{
    const uint8_t *r = record.data;
    const struct session_book_ *s = session_book(c, t->session);
    const struct model_book *m = model_book(c, s->model);
    if (record.size != AT_END || r[AT_VERSION] != 1 || r[AT_FINISH] > FINISH_CANCELLED || r[AT_SEED_OF_CLIENT] > 1)
        return false;
    return m && memcmp(r + AT_MANIFEST, m->manifest.b, 32) == 0 && be64(r + AT_SEED) == l->seed &&
           (r[AT_SEED_OF_CLIENT] == 1) == t->seed_of_client && memcmp(r + AT_REQUEST, t->request_digest.b, 32) == 0 &&
           be32(r + AT_TOKENS_OUT) <= t->tokens_max && (r[AT_FINISH] != FINISH_CANCELLED || t->cancelling);
}

enum fail_cause reveal_cause(struct check_core *c, const struct task_book *t, const struct lease_book *l)
{
    static const struct hash none;
    const struct cmd_task_commit *cmd = &c->entry->cmd->task_commit;
    struct hash precommit;
    precommit_of(c, t, l, cmd, &precommit);
    if (!hash_eq(&precommit, &l->precommit) || !record_fits(c, t, l, cmd->record) || cmd->checks_failed != 0)
        return CAUSE_WRONG;
    bool streamed = !hash_eq(&cmd->relayed_head, &none) && !t->cancelling;
    if (streamed && memcmp(cmd->relayed_head.b, cmd->record.data + AT_CHAIN_HEAD, 32) != 0)
        return CAUSE_STREAM_DIFFERS;
    return CAUSE_NONE;
}

static bool revealed(struct check_core *c, const struct evt_task_revealed *e)
{
    const struct command *cmd = c->entry->cmd;
    struct lease_book *l = lease_book(c, e->lease);
    MUST(c, REVEAL, l && l->state == ASSIGNMENT_COMMITTED && cmd->type == COMMAND_TASK_COMMIT,
         "lease %" PRIu64 " is told as revealed, and it is not", e->lease);
    struct task_book *t = &c->task[l->task];
    const struct cmd_task_commit *commit = &cmd->task_commit;
    const uint8_t *r = commit->record.data;
    MUST(c, REVEAL,
         hash_eq(&e->payload_digest, &commit->payload_digest) && memcmp(e->text_digest.b, r + AT_TEXT, 32) == 0 &&
             memcmp(e->chain_head.b, r + AT_CHAIN_HEAD, 32) == 0 && e->tokens_in == be32(r + AT_TOKENS_IN) &&
             e->tokens_out == be32(r + AT_TOKENS_OUT) && e->finish == r[AT_FINISH] && address_eq(&e->node, &l->node),
         "what is told of lease %" PRIu64 " is not its record", e->lease);
    const struct model_book *m = model_book(c, session_book(c, t->session)->model);
    l->text_digest = e->text_digest;
    l->tokens_in = (uint32_t)u64_min(e->tokens_in, (uint64_t)t->prompt_size + m->template_tokens);
    l->tokens_out = (uint32_t)u64_min(e->tokens_out, (uint64_t)commit->text_size + 1);
    if (t->cancelling)
        t->relayed = u32_max(t->relayed, u32_min(commit->relayed_tokens, t->tokens_max));
    return true;
}

/* ---- the answer ---- */

/* Whether it stands by its session's policy, among those that were revealed in this attempt. */
static bool stands(struct check_core *c, const struct task_book *t, const struct lease_book *l)
{
    const struct session_book_ *s = session_book(c, t->session);
    uint32_t alike = 0;
    if (s->validation == VALIDATION_HASH)
        return true;
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next) {
        const struct lease_book *o = &c->lease[row];
        bool came = o->attempt == t->attempt && (o->state == ASSIGNMENT_COMMITTED || o->state == ASSIGNMENT_ACCEPTED ||
                                                 (o->state == ASSIGNMENT_REJECTED && o->cause == CAUSE_OUTVOTED));
        alike += came && hash_eq(&o->text_digest, &l->text_digest);
    }
    return alike >= s->redundancy / 2 + 1;
}

static bool came(const struct task_book *t, const struct lease_book *l)
{
    return l->attempt == t->attempt &&
           (l->state == ASSIGNMENT_COMMITTED || (l->state == ASSIGNMENT_REJECTED && l->cause == CAUSE_OUTVOTED));
}

static uint64_t answer_of(struct check_core *c, const struct task_book *t)
{
    uint64_t lowest = UINT64_MAX;
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next) {
        const struct lease_book *l = &c->lease[row];
        if (!came(t, l) || !stands(c, t, l))
            continue;
        if (l->lease == t->primary)
            return l->lease;
        lowest = u64_min(lowest, l->lease);
    }
    return lowest;
}

static bool answered(struct check_core *c, const struct evt_task_answer *e)
{
    struct task_book *t = task_book(c, e->task);
    MUST(c, ONE_ANSWER, t && t->state == TASK_VALIDATED && t->answer == 0,
         "task %" PRIx64 " has an answer, and it is not the time for one", e->task);
    uint64_t wanted = answer_of(c, t);
    MUST(c, ONE_ANSWER, e->lease == wanted, "the answer of task %" PRIx64 " is lease %" PRIu64 ", not %" PRIu64, t->id,
         e->lease, wanted);
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next) {
        const struct lease_book *l = &c->lease[row];
        if (came(t, l))
            MUST(c, ONE_ANSWER, stands(c, t, l) == (l->state == ASSIGNMENT_COMMITTED),
                 "lease %" PRIu64 " of task %" PRIx64 " %s by its session's policy", l->lease, t->id,
                 stands(c, t, l) ? "was outvoted and stands" : "does not stand");
    }
    t->answer = e->lease;
    return true;
}

/* ---- pay ---- */

static bool usage(struct check_core *c, const struct task_book *t, const struct lease_book *l,
                  struct amount *ret_amount)
{
    uint32_t out = u32_min(l->tokens_out, t->tokens_max);
    struct amount cost_in, cost_out;
    cx_maybe(c->seq);
    if (t->cancelling)
        out = u32_min(out, t->relayed);
    return amount_mul(amount_of(l->price_in), l->tokens_in, &cost_in) &&
           amount_mul(amount_of(l->price_out), out, &cost_out) && amount_add(cost_in, cost_out, &cost_in) &&
           amount_scale_down(cost_in, 1, 1000000, ret_amount);
}

/* What an accepted answer brings: its fees, and what its task is charged for it. */
static bool charge(struct check_core *c, struct task_book *t, struct amount amount)
{
    struct amount router = AMOUNT_ZERO, oracle = AMOUNT_ZERO, share = AMOUNT_ZERO;
    uint32_t live = oracles_live(c);
    bool ok = amount_scale_up(amount, c->params.router_fee_bp, 10000, &router) &&
              amount_scale_up(amount, c->params.oracle_fee_bp, 10000, &oracle) &&
              (live == 0 || amount_scale_down(oracle, 1, live, &share)) &&
              amount_add(t->charged_due, amount, &t->charged_due) &&
              amount_add(t->charged_due, router, &t->charged_due) &&
              amount_add(t->charged_due, oracle, &t->charged_due) &&
              amount_add(t->router_fee, router, &t->router_fee) && amount_add(t->oracle_share, share, &t->oracle_share);
    MUST(c, PAY, ok, "the fees of task %" PRIx64 " cannot be counted", t->id);
    return true;
}

static bool paid_lease(struct check_core *c, struct task_book *t, const struct evt_task_paid *e)
{
    struct lease_book *l = lease_book(c, e->lease);
    struct amount whole, pending;
    MUST(c, PAY, l && &c->task[l->task] == t && l->state == ASSIGNMENT_ACCEPTED,
         "lease %" PRIu64 " is paid, and it was not accepted", e->lease);
    const struct node_book *n = node_book(c, &l->node);
    MUST(c, PAY, n && address_eq(&e->to, &n->operator), "the pay of lease %" PRIu64 " goes to a stranger", e->lease);
    MUST(c, PAY, usage(c, t, l, &whole) && amount_scale_down(whole, c->params.pending_bp, 10000, &pending),
         "the use of lease %" PRIu64 " cannot be counted", e->lease);
    struct amount now = whole;
    bool fits = amount_sub(whole, pending, &now);
    MUST(c, PAY, fits, "more waits for the audit of lease %" PRIu64 " than it is paid", e->lease);
    bool first = !l->paid;
    bool right = e->pending ? amount_eq(e->amount, pending)
                            : first && (amount_eq(e->amount, whole) || amount_eq(e->amount, now));
    MUST(c, PAY, right && !(l->paid && !e->pending) && !(l->settled),
         "lease %" PRIu64 " is paid %" PRIu64 " of %" PRIu64 "%s", e->lease, e->amount.credits, whole.credits,
         first ? "" : " again");
    if (first && !charge(c, t, whole))
        return false;
    l->paid = true;
    l->settled = e->pending || amount_eq(e->amount, whole);
    return !e->pending || audit_begin(c, t, l, &e->to, e->amount);
}

static bool paid_fee(struct check_core *c, struct task_book *t, const struct evt_task_paid *e)
{
    const struct router_book *r = router_book(c, &t->router);
    bool to_router = r && address_eq(&e->to, &r->operator) && amount_eq(e->amount, t->router_fee), to_oracle = false;
    for (uint32_t i = 0; i < c->oracles; i++)
        to_oracle |= c->oracle[i].state == ORACLE_LIVE && address_eq(&c->oracle[i].operator, & e->to);
    to_oracle = to_oracle && amount_eq(e->amount, t->oracle_share);
    t->fees++;
    MUST(c, PAY, (to_router || to_oracle) && t->fees <= 1 + oracles_live(c),
         "a fee of %" PRIu64 " of task %" PRIx64 " goes to %08x", e->amount.credits, t->id, short_of(&e->to));
    return true;
}

static bool paid(struct check_core *c, const struct evt_task_paid *e)
{
    struct task_book *t = task_book(c, e->task);
    MUST(c, PAY, t && !t->refunded, "task %" PRIx64 " pays after its end", e->task);
    bool ok = e->lease ? paid_lease(c, t, e) : paid_fee(c, t, e);
    return ok && money_put(c, &t->paid, e->amount);
}

/* An answer whose use costs nothing is not told as paid; it has no fee either. */
static bool all_are_paid(struct check_core *c, const struct task_book *t)
{
    for (uint32_t row = t->leases; row != SLOT_NONE; row = c->lease[row].next) {
        const struct lease_book *l = &c->lease[row];
        struct amount whole;
        if (l->state != ASSIGNMENT_ACCEPTED)
            continue;
        MUST(c, PAY, usage(c, t, l, &whole), "the use of lease %" PRIu64 " cannot be counted", l->lease);
        MUST(c, PAY, l->paid || amount_is_zero(whole), "lease %" PRIu64 " was accepted and is not paid", l->lease);
    }
    return true;
}

static bool refunded(struct check_core *c, const struct evt_task_refunded *e)
{
    struct task_book *t = task_book(c, e->task);
    MUST(c, PAY, t && !t->refunded, "task %" PRIx64 " is refunded twice, or there is none", e->task);
    struct amount both;
    bool whole = amount_add(e->charged, e->refunded, &both) && amount_eq(both, t->reserved);
    MUST(c, PAY, whole, "task %" PRIx64 " reserved %" PRIu64 ", and %" PRIu64 " are charged and %" PRIu64 " come back",
         t->id, t->reserved.credits, e->charged.credits, e->refunded.credits);
    MUST(c, PAY, amount_eq(e->charged, t->charged_due),
         "task %" PRIx64 " is charged %" PRIu64 ", and its answers cost %" PRIu64, t->id, e->charged.credits,
         t->charged_due.credits);
    t->refunded = true;
    return all_are_paid(c, t);
}

bool answer_event(struct check_core *c, const struct event *e)
{
    if (e->type == EVENT_TASK_REVEALED)
        return revealed(c, &e->task_revealed);
    if (e->type == EVENT_TASK_ANSWER)
        return answered(c, &e->task_answer);
    if (e->type == EVENT_TASK_PAID)
        return paid(c, &e->task_paid);
    return refunded(c, &e->task_refunded);
}

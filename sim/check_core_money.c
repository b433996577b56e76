/* check_core_money.c - a ledger of every account, from the entries and events; equal to the core's after each entry.
 *
 *      deposits = balances + escrow + reservations + pending + stake + network + withdrawals + paid out
 *
 * Source: docs/protocol.md, "Money". */
#include "base/assert.h"
#include "sim/check_core_parts.h"

bool money_put(struct check_core *c, struct amount *where, struct amount amount)
{
    MUST(c, MONEY, amount_add(*where, amount, where), "a sum is more than money can be counted");
    return true;
}

bool money_take(struct check_core *c, struct amount *where, struct amount amount, const char *what)
{
    MUST(c, MONEY, amount_sub(*where, amount, where), "%" PRIu64 " are taken out of %s, which has %" PRIu64,
         amount.credits, what, where->credits);
    return true;
}

static struct account_row *account_row_of(struct check_core *c, const struct address *address)
{
    uint32_t row = id_map_find(&c->by_account, address);
    if (row != SLOT_NONE)
        return &c->account[row];
    if (c->accounts == c->account_cap)
        return NULL;
    struct account_row *a = &c->account[c->accounts];
    a->address = *address;
    id_map_add(&c->by_account, c->accounts++);
    return a;
}

bool money_move(struct check_core *c, const struct address *account, struct amount amount, bool in)
{
    if (amount_is_zero(amount))
        return true;
    struct account_row *a = account_row_of(c, account);
    MUST(c, MONEY, a, "more accounts have money than accounts_cap");
    if (!a->touched) {
        a->touched = true;
        c->touched[c->touched_count++] = (uint32_t)(a - c->account);
    }
    if (in)
        return money_put(c, &a->balance, amount) && money_put(c, &c->total.balances, amount);
    return money_take(c, &a->balance, amount, "an account") && money_take(c, &c->total.balances, amount, "balances");
}

/* ---- accounts and withdrawals ---- */

static bool deposited(struct check_core *c, const struct evt_deposited *e)
{
    const struct command *cmd = c->entry->cmd;
    MUST(c, MONEY,
         cmd->type == COMMAND_DEPOSIT && amount_eq(cmd->deposit.amount, e->amount) &&
             address_eq(&cmd->deposit.account, &e->account),
         "%" PRIu64 " were deposited that no entry brought", e->amount.credits);
    return money_move(c, &e->account, e->amount, true) && money_put(c, &c->total.deposits, e->amount);
}

static bool withdrawal_opened(struct check_core *c, const struct evt_withdrawal_opened *e)
{
    uint32_t slot = slot_of(e->withdrawal);
    MUST(c, MONEY, slot < c->withdrawal_cap && c->withdrawal[slot].id == 0,
         "withdrawal %" PRIx64 " takes an id that is in use", e->withdrawal);
    c->withdrawal[slot] = (struct withdrawal_book){e->withdrawal, e->amount};
    return money_move(c, &e->account, e->amount, false) && money_put(c, &c->total.withdrawals, e->amount);
}

static bool withdrawal_paid(struct check_core *c, const struct evt_withdrawal_paid *e)
{
    uint32_t slot = slot_of(e->withdrawal);
    MUST(c, MONEY, slot < c->withdrawal_cap && c->withdrawal[slot].id == e->withdrawal,
         "withdrawal %" PRIx64 " is paid, and it is not open", e->withdrawal);
    struct amount amount = c->withdrawal[slot].amount;
    c->withdrawal[slot].id = 0;
    return money_take(c, &c->total.withdrawals, amount, "withdrawals") && money_put(c, &c->total.paid_out, amount);
}

/* ---- nodes ---- */

static bool staked(struct check_core *c, const struct evt_node_registered *e)
{
    struct node_book *n = node_book(c, &e->node);
    struct amount stake = c->entry->cmd->node_register.stake, fee = amount_of(c->params.join_fee);
    n->stake = stake;
    return money_move(c, &e->operator, stake, false) && money_move(c, &e->operator, fee, false) &&
           money_put(c, &c->total.stake, stake) && money_put(c, &c->total.network, fee);
}

static bool return_stake(struct check_core *c, struct node_book *n)
{
    struct amount stake = n->stake;
    n->stake = AMOUNT_ZERO;
    return money_take(c, &c->total.stake, stake, "stake") && money_move(c, &n->operator, stake, true);
}

static bool slashed(struct check_core *c, const struct evt_node_slashed *e)
{
    struct node_book *n = node_book(c, &e->node);
    struct amount wanted;
    MUST(c, MONEY, n && amount_scale_down(n->stake, c->params.slash_bp, 10000, &wanted) && amount_eq(wanted, e->amount),
         "node %08x loses %" PRIu64 " of its stake, not slash_bp of it", short_of(&e->node), e->amount.credits);
    return money_take(c, &n->stake, e->amount, "a stake") && money_take(c, &c->total.stake, e->amount, "stake") &&
           money_put(c, &c->total.network, e->amount);
}

/* ---- sessions ---- */

static bool escrowed(struct check_core *c, const struct evt_session_escrow *e)
{
    struct session_book_ *s = session_book(c, e->session);
    const struct command *cmd = c->entry->cmd;
    struct amount more;
    if (!s) {
        MUST(c, MONEY, e->session == c->closed_session && amount_is_zero(e->escrow),
             "session %" PRIx64 " has an escrow, and there is no such session", e->session);
        return true;
    }
    bool opens = cmd->type == COMMAND_SESSION_OPEN, tops = cmd->type == COMMAND_SESSION_TOP_UP;
    struct amount wanted = opens ? cmd->session_open.escrow : tops ? cmd->session_top_up.amount : AMOUNT_ZERO;
    MUST(c, MONEY, (opens || tops) && amount_sub(e->escrow, s->escrow, &more) && amount_eq(more, wanted),
         "the escrow of session %" PRIx64 " went from %" PRIu64 " to %" PRIu64, s->id, s->escrow.credits,
         e->escrow.credits);
    s->escrow = e->escrow;
    const struct address *payer = tops ? &cmd->session_top_up.owner : &s->owner;
    return money_move(c, payer, more, false) && money_put(c, &c->total.escrow, more);
}

/* ---- tasks ---- */

static bool reserved(struct check_core *c, const struct evt_task_created *e)
{
    struct session_book_ *s = session_book(c, e->session);
    bool ok = s->owner_pays ? money_take(c, &s->escrow, e->reserved, "the session's escrow") &&
                                  money_take(c, &c->total.escrow, e->reserved, "escrow")
                            : money_move(c, &e->payer, e->reserved, false);
    return ok && money_put(c, &c->total.reservations, e->reserved);
}

/* What waits for an audit was put there by audit_begin. */
static bool paid(struct check_core *c, const struct evt_task_paid *e)
{
    bool ok = money_take(c, &c->total.reservations, e->amount, "reservations");
    return ok && (e->pending || money_move(c, &e->to, e->amount, true));
}

/* What was charged and paid to nobody is the network's. */
static bool refunded(struct check_core *c, const struct evt_task_refunded *e)
{
    const struct task_book *t = task_book(c, e->task);
    struct session_book_ *s = session_book(c, t->session);
    struct amount rest;
    MUST(c, MONEY, amount_sub(e->charged, t->paid, &rest), "task %" PRIx64 " paid %" PRIu64 " and was charged %" PRIu64,
         t->id, t->paid.credits, e->charged.credits);
    bool ok = money_take(c, &c->total.reservations, rest, "reservations") && money_put(c, &c->total.network, rest) &&
              money_take(c, &c->total.reservations, e->refunded, "reservations");
    if (!ok)
        return false;
    if (s->owner_pays)
        return money_put(c, &s->escrow, e->refunded) && money_put(c, &c->total.escrow, e->refunded);
    return money_move(c, &t->payer, e->refunded, true);
}

static bool moved(struct check_core *c, const struct evt_node_moved *e)
{
    struct node_book *n = node_book(c, &e->node);
    return e->to != NODE_GONE || !n || return_stake(c, n);
}

bool money_event(struct check_core *c, const struct event *e)
{
    if (e->type == EVENT_DEPOSITED)
        return deposited(c, &e->deposited);
    if (e->type == EVENT_WITHDRAWAL_OPENED)
        return withdrawal_opened(c, &e->withdrawal_opened);
    if (e->type == EVENT_WITHDRAWAL_PAID)
        return withdrawal_paid(c, &e->withdrawal_paid);
    if (e->type == EVENT_NODE_SLASHED)
        return slashed(c, &e->node_slashed);
    if (e->type == EVENT_SESSION_ESCROW)
        return escrowed(c, &e->session_escrow);
    if (e->type == EVENT_NODE_REGISTERED)
        return staked(c, &e->node_registered);
    if (e->type == EVENT_NODE_MOVED)
        return moved(c, &e->node_moved);
    if (e->type == EVENT_TASK_CREATED)
        return reserved(c, &e->task_created);
    if (e->type == EVENT_TASK_PAID)
        return paid(c, &e->task_paid);
    return refunded(c, &e->task_refunded);
}

/* ---- behind the events ---- */

#define SAME(c, view, name)                                                                                          \
    MUST(c, MONEY, amount_eq((view).money.name, (c)->total.name), #name " are %" PRIu64 ", and by history %" PRIu64, \
         (view).money.name.credits, (c)->total.name.credits)

static bool same_totals(struct check_core *c)
{
    struct network_view v;
    struct amount sum = AMOUNT_ZERO;
    view_network(c->core, &v);
    SAME(c, v, deposits);
    SAME(c, v, escrow);
    SAME(c, v, reservations);
    SAME(c, v, pending);
    SAME(c, v, stake);
    SAME(c, v, network);
    SAME(c, v, withdrawals);
    SAME(c, v, paid_out);
    SAME(c, v, balances);
    const struct amount part[] = {v.money.balances, v.money.escrow,  v.money.reservations, v.money.pending,
                                  v.money.stake,    v.money.network, v.money.withdrawals,  v.money.paid_out};
    for (uint32_t i = 0; i < ARRAY_COUNT(part); i++)
        if (!money_put(c, &sum, part[i]))
            return false;
    MUST(c, MONEY, amount_eq(sum, v.money.deposits), "%" PRIu64 " came in, and %" PRIu64 " are there",
         v.money.deposits.credits, sum.credits);
    return true;
}

static bool same_account(struct check_core *c, const struct account_row *a)
{
    struct account_view v = {0};
    bool known = view_account(c->core, &a->address, &v);
    cx_maybe(known);  // one without money need not exist
    MUST(c, MONEY, amount_eq(v.balance, a->balance), "account %08x has %" PRIu64 ", and by history %" PRIu64,
         short_of(&a->address), v.balance.credits, a->balance.credits);
    return true;
}

bool money_after(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    /* Who is banned and leaves gets the stake back, and stays: nothing tells it but the command. */
    if (cmd && cmd->type == COMMAND_NODE_LEAVE && c->entry->verdict == VERDICT_ACCEPTED) {
        struct node_book *n = node_book(c, &cmd->node_leave.node);
        if (n && n->state == NODE_BANNED && !return_stake(c, n))
            return false;
    }
    bool ok = true;
    for (uint32_t i = 0; i < c->touched_count; i++) {
        struct account_row *a = &c->account[c->touched[i]];
        a->touched = false;
        ok = ok && same_account(c, a);
    }
    return ok && same_totals(c);
}

bool money_whole(struct check_core *c)
{
    struct account_view v;
    for (uint32_t i = 0; i < c->accounts; i++)
        if (!same_account(c, &c->account[i]))
            return false;
    for (uint32_t at = 0; view_account_at(c->core, &at, &v);) {
        uint32_t row = id_map_find(&c->by_account, &v.address);
        struct amount balance = row == SLOT_NONE ? AMOUNT_ZERO : c->account[row].balance;
        MUST(c, MONEY, amount_eq(v.balance, balance), "account %08x has %" PRIu64 ", and by history %" PRIu64,
             short_of(&v.address), v.balance.credits, balance.credits);
    }
    return same_totals(c);
}

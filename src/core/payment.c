#include "core/payment.h"

#include "base/assert.h"
#include "base/mem.h"

#define TOKENS_PER_PRICE 1000000u  // prices are per million tokens
#define BASIS_POINTS     10000u

bool payment_init(struct payment *payment, struct arena *arena, struct step *step, struct account_book *account)
{
    const struct params *params = &step->params;
    memset(payment, 0, sizeof *payment);
    payment->step = step;
    payment->account = account;
    payment->session_cap = (uint32_t)params->sessions_cap;
    payment->task_cap = (uint32_t)params->tasks_cap;
    payment->audit_cap = (uint32_t)params->audits_cap;
    payment->node_cap = (uint32_t)params->nodes_cap;
    payment->deposit_cap = (uint32_t)params->deposits_cap;
    payment->escrow = arena_take(arena, payment->session_cap, sizeof *payment->escrow);
    payment->stake = arena_take(arena, payment->node_cap, sizeof *payment->stake);
    payment->reservation = arena_take(arena, payment->task_cap, sizeof *payment->reservation);
    payment->spender = arena_take(arena, payment->task_cap, sizeof *payment->spender);
    payment->pending = arena_take(arena, payment->audit_cap, sizeof *payment->pending);
    payment->withdrawal = arena_take(arena, (uint32_t)params->withdrawals_cap, sizeof *payment->withdrawal);
    payment->deposit = arena_take(arena, payment->deposit_cap, sizeof *payment->deposit);
    bool ok = payment->escrow && payment->stake && payment->reservation && payment->spender && payment->pending &&
              payment->withdrawal && payment->deposit;
    ok &= slots_init(&payment->withdrawals, arena, (uint32_t)params->withdrawals_cap);
    ok &= id_map_init(&payment->by_deposit, arena, payment->deposit_cap, payment->deposit, sizeof *payment->deposit,
                      sizeof *payment->deposit);
    if (!ok)
        return false;
    for (uint32_t i = 0; i < payment->audit_cap; i++)
        payment->pending[i].payee = SLOT_NONE;
    return true;
}

/* What flows between places was counted when it came in, so sums cannot overflow and rests cannot fall short. */
static void put_in(struct amount *place, struct amount amount)
{
    bool fits = amount_add(*place, amount, place);
    cx_assert(fits);
}

static void take_out(struct amount *place, struct amount amount)
{
    bool covered = amount_sub(*place, amount, place);
    cx_assert(covered);
}

static struct amount basis_points(struct amount of, uint64_t points)
{
    struct amount part;
    cx_assert(points <= BASIS_POINTS);
    bool fits = amount_scale_down(of, points, BASIS_POINTS, &part);
    cx_assert(fits);
    return part;
}

static struct amount basis_points_up(struct amount of, uint64_t points)
{
    struct amount part;
    cx_assert(points <= BASIS_POINTS);
    bool fits = amount_scale_up(of, points, BASIS_POINTS, &part);
    cx_assert(fits);
    return part;
}

/* Every entry asks: no branches, and one carry for all. */
static inline bool carries(uint64_t *sum, struct amount part)
{
    return __builtin_add_overflow(*sum, part.credits, sum);
}

bool payment_holds(const struct payment *payment)
{
    uint64_t sum = payment->account->total.credits;
    bool carry = carries(&sum, payment->total.escrow);
    carry |= carries(&sum, payment->total.reservations);
    carry |= carries(&sum, payment->total.pending);
    carry |= carries(&sum, payment->total.stake);
    carry |= carries(&sum, payment->total.network);
    carry |= carries(&sum, payment->total.withdrawals);
    carry |= carries(&sum, payment->total.paid_out);
    return !carry && sum == payment->total.deposits.credits;
}

/* ---- deposits and withdrawals ---- */

enum verdict payment_deposit(struct payment *payment, const struct cmd_deposit *cmd)
{
    uint32_t account = account_find(payment->account, &cmd->account);
    if (account != SLOT_NONE && account_is_restricted(payment->account, account))
        return VERDICT_ACCOUNT_RESTRICTED;
    if (address_is_zero(&cmd->account) || amount_is_zero(cmd->amount))
        return VERDICT_VALUE_INVALID;
    if (id_map_find(&payment->by_deposit, &cmd->reference) != SLOT_NONE)
        return VERDICT_DEPOSIT_KNOWN;
    struct amount deposits;
    if (!amount_add(payment->total.deposits, cmd->amount, &deposits))
        return VERDICT_AMOUNT_OVERFLOW;
    if (payment->deposit_count == payment->deposit_cap)
        return VERDICT_DEPOSITS_FULL;
    enum verdict verdict = account_ensure(payment->account, &cmd->account, &account);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;

    payment->total.deposits = deposits;
    payment->deposit[payment->deposit_count] = cmd->reference;
    id_map_add(&payment->by_deposit, payment->deposit_count++);
    account_credit(payment->account, account, cmd->amount);
    struct evt_deposited *event = &event_add(payment->step->out, EVENT_DEPOSITED)->deposited;
    event->account = cmd->account;
    event->amount = cmd->amount;
    event->balance = account_balance(payment->account, account);
    return VERDICT_ACCEPTED;
}

enum verdict payment_withdraw(struct payment *payment, const struct cmd_withdraw *cmd)
{
    uint32_t account = account_find(payment->account, &cmd->account);
    struct address to;
    if (account == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    if (amount_is_zero(cmd->amount))
        return VERDICT_VALUE_INVALID;
    if (!account_withdraws_to(payment->account, account, &to))
        return VERDICT_WALLET_MISSING;
    if (amount_less(account_balance(payment->account, account), cmd->amount))
        return VERDICT_BALANCE_SHORT;
    uint32_t withdrawal = slots_take(&payment->withdrawals);
    if (withdrawal == SLOT_NONE)
        return VERDICT_WITHDRAWALS_FULL;

    enum verdict verdict = account_debit(payment->account, account, cmd->amount);
    cx_assert(verdict == VERDICT_ACCEPTED);
    put_in(&payment->total.withdrawals, cmd->amount);
    payment->withdrawal[withdrawal] = (struct withdrawal){.amount = cmd->amount, .account = account, .to = to};
    struct evt_withdrawal_opened *event = &event_add(payment->step->out, EVENT_WITHDRAWAL_OPENED)->withdrawal_opened;
    event->withdrawal = slots_id(&payment->withdrawals, withdrawal);
    event->account = cmd->account;
    event->to = to;
    event->amount = cmd->amount;
    return VERDICT_ACCEPTED;
}

enum verdict payment_withdraw_paid(struct payment *payment, const struct cmd_withdraw_paid *cmd)
{
    uint32_t withdrawal = slots_find(&payment->withdrawals, cmd->withdrawal);
    if (withdrawal == SLOT_NONE)
        return VERDICT_WITHDRAWAL_UNKNOWN;
    take_out(&payment->total.withdrawals, payment->withdrawal[withdrawal].amount);
    put_in(&payment->total.paid_out, payment->withdrawal[withdrawal].amount);
    slots_give(&payment->withdrawals, withdrawal);
    struct evt_withdrawal_paid *event = &event_add(payment->step->out, EVENT_WITHDRAWAL_PAID)->withdrawal_paid;
    event->withdrawal = cmd->withdrawal;
    event->reference = cmd->reference;
    return VERDICT_ACCEPTED;
}

/* ---- escrow of sessions ---- */

enum verdict payment_escrow_add(struct payment *payment, uint32_t session, uint32_t account, struct amount amount)
{
    cx_assert(session < payment->session_cap);
    if (account_is_restricted(payment->account, account))
        return VERDICT_ACCOUNT_RESTRICTED;
    enum verdict verdict = account_debit(payment->account, account, amount);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    put_in(&payment->escrow[session], amount);
    put_in(&payment->total.escrow, amount);
    return VERDICT_ACCEPTED;
}

void payment_escrow_refund(struct payment *payment, uint32_t session, uint32_t account)
{
    cx_assert(session < payment->session_cap);
    take_out(&payment->total.escrow, payment->escrow[session]);
    account_credit(payment->account, account, payment->escrow[session]);
    payment->escrow[session] = AMOUNT_ZERO;
}

struct amount payment_escrow(const struct payment *payment, uint32_t session)
{
    cx_assert(session < payment->session_cap);
    return payment->escrow[session];
}

/* ---- reservations of tasks ---- */

/* in × price_in + out × price_out, in millionths of a credit; false on overflow. */
static bool tokens_cost(uint64_t in, uint64_t price_in, uint64_t out, uint64_t price_out, struct amount *ret_cost)
{
    struct amount cost_in, cost_out;
    return amount_mul(amount_of(price_in), in, &cost_in) && amount_mul(amount_of(price_out), out, &cost_out) &&
           amount_add(cost_in, cost_out, ret_cost);
}

bool payment_quote(const struct payment *payment, const struct task_terms *terms, struct amount *ret_amount)
{
    const struct params *params = &payment->step->params;
    struct amount cost, one;
    uint64_t in = (uint64_t)terms->prompt_size + terms->template_tokens;
    if (!tokens_cost(in, terms->price_in, terms->tokens_max, terms->price_out, &cost))
        return false;
    if (!amount_scale_up(cost, 1, TOKENS_PER_PRICE, &one))
        return false;
    /* The fees of one answer are rounded up when it is paid, so they are here as well. */
    struct amount router_fee = basis_points_up(one, params->router_fee_bp);
    struct amount oracle_fee = basis_points_up(one, params->oracle_fee_bp);
    return amount_add(one, router_fee, &one) && amount_add(one, oracle_fee, &one) &&
           amount_mul(one, terms->redundancy, ret_amount);
}

enum verdict payment_check_reserve(const struct payment *payment, const struct payer_terms *terms, struct amount amount)
{
    const struct account_book *account = payment->account;
    if (account_is_restricted(account, terms->payer))
        return VERDICT_ACCOUNT_RESTRICTED;
    if (terms->key != SLOT_NONE && key_account(account, terms->key) != terms->payer)
        return VERDICT_KEY_UNKNOWN;
    enum verdict verdict = key_check(
        account,
        &(struct key_use){.key = terms->key, .model = terms->model_id, .session = terms->session_id, .amount = amount});
    if (verdict == VERDICT_ACCEPTED && terms->delegated)
        verdict = delegation_check(account, terms->payer, payment->step->router, amount);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (terms->session != SLOT_NONE)
        return amount_less(payment_escrow(payment, terms->session), amount) ? VERDICT_ESCROW_SHORT : VERDICT_ACCEPTED;
    return amount_less(account_balance(account, terms->payer), amount) ? VERDICT_BALANCE_SHORT : VERDICT_ACCEPTED;
}

void payment_reserve(struct payment *payment, uint32_t task, const struct payer_terms *terms, struct amount amount)
{
    cx_assert(task < payment->task_cap);
    cx_assert(payment->spender[task] == SPENDER_FREE);
    payment->reservation[task] = (struct reservation){.left = amount, .taken = amount};
    payment->spender[task] = (uint8_t)(terms->delegated ? SPENDER_ROUTER + payment->step->router : SPENDER_PAYER);
    if (terms->session != SLOT_NONE) {
        take_out(&payment->escrow[terms->session], amount);
        take_out(&payment->total.escrow, amount);
    } else {
        enum verdict verdict = account_debit(payment->account, terms->payer, amount);
        cx_assert(verdict == VERDICT_ACCEPTED);
    }
    put_in(&payment->total.reservations, amount);
    key_take(payment->account, &(struct key_use){.key = terms->key, .amount = amount});
    if (terms->delegated)
        delegation_take(payment->account, terms->payer, payment->step->router, amount);
}

struct amount payment_usage(const struct usage *usage)
{
    uint64_t in = u64_min(usage->tokens_in, (uint64_t)usage->prompt_size + usage->template_tokens);
    uint64_t out = u64_min(usage->tokens_out, u64_min(usage->tokens_max, (uint64_t)usage->text_size + 1));
    struct amount cost;
    cx_assert(usage->price_in <= PRICE_MAX);
    cx_assert(usage->price_out <= PRICE_MAX);
    /* Its reservation was quoted for at least these tokens at no lower prices, so it can be counted. */
    bool fits = tokens_cost(in, usage->price_in, out, usage->price_out, &cost);
    cx_assert(fits);
    struct amount amount;
    fits = amount_scale_down(cost, 1, TOKENS_PER_PRICE, &amount);
    cx_assert(fits);
    return amount;
}

/* Out of the task's reservation into nobody's hands yet: at most what is left. Gives what was taken. */
static struct amount draw(struct payment *payment, uint32_t task, struct amount amount)
{
    struct reservation *r = &payment->reservation[task];
    struct amount drawn = amount_min(amount, r->left);
    take_out(&r->left, drawn);
    take_out(&payment->total.reservations, drawn);
    return drawn;
}

/* A fee that was drawn, in equal parts for these accounts; what cannot be parted is the network's. */
static struct amount share_out(struct payment *payment, struct amount fee, const uint32_t *account, uint32_t count)
{
    struct amount share, given = AMOUNT_ZERO;
    if (count > 0) {
        bool fits = amount_scale_down(fee, 1, count, &share);
        cx_assert(fits);
        for (uint32_t i = 0; i < count; i++) {
            account_credit(payment->account, account[i], share);
            put_in(&given, share);
        }
    }
    struct amount rest = fee;
    take_out(&rest, given);
    put_in(&payment->total.network, rest);
    return given;
}

struct payout_result payment_pay(struct payment *payment, const struct payout *payout, const uint32_t *oracle_account,
                                 uint32_t oracle_count)
{
    const struct params *params = &payment->step->params;
    cx_assert(payout->task < payment->task_cap);
    cx_assert(payment->spender[payout->task] != SPENDER_FREE);
    struct amount amount = draw(payment, payout->task, payout->amount);
    struct amount router_fee = draw(payment, payout->task, basis_points_up(amount, params->router_fee_bp));
    struct amount oracle_fee = draw(payment, payout->task, basis_points_up(amount, params->oracle_fee_bp));
    struct payout_result result = {.to_payee = amount};
    if (payout->audit != SLOT_NONE) {
        cx_assert(payout->audit < payment->audit_cap);
        struct pending_pay *pending = &payment->pending[payout->audit];
        cx_assert(pending->payee == SLOT_NONE);
        result.to_pending = basis_points(amount, params->pending_bp);
        take_out(&result.to_payee, result.to_pending);
        *pending = (struct pending_pay){.amount = result.to_pending, .payee = payout->payee};
        put_in(&payment->total.pending, result.to_pending);
    }
    account_credit(payment->account, payout->payee, result.to_payee);
    result.to_router = share_out(payment, router_fee, &payout->router, payout->router != SLOT_NONE);
    result.to_oracles = share_out(payment, oracle_fee, oracle_account, oracle_count);
    return result;
}

void payment_release(struct payment *payment, uint32_t task, const struct payer_terms *terms, uint64_t taken_ms,
                     struct amount *ret_charged, struct amount *ret_refunded)
{
    cx_assert(task < payment->task_cap);
    struct reservation r = payment->reservation[task];
    uint8_t spender = payment->spender[task];
    cx_assert(spender != SPENDER_FREE);
    struct amount left = draw(payment, task, r.left);
    payment->spender[task] = SPENDER_FREE;
    if (terms->session != SLOT_NONE) {
        put_in(&payment->escrow[terms->session], left);
        put_in(&payment->total.escrow, left);
    } else {
        account_credit(payment->account, terms->payer, left);
    }
    key_give_back(payment->account, terms->key, left, taken_ms);
    if (spender >= SPENDER_ROUTER)
        delegation_give_back(payment->account, terms->payer, spender - (uint32_t)SPENDER_ROUTER, left, taken_ms);
    *ret_charged = r.taken;
    take_out(ret_charged, left);
    *ret_refunded = left;
}

struct amount payment_pending_end(struct payment *payment, uint32_t audit, bool to_payee)
{
    cx_assert(audit < payment->audit_cap);
    struct pending_pay *pending = &payment->pending[audit];
    struct amount amount = pending->amount;
    if (pending->payee == SLOT_NONE)
        return AMOUNT_ZERO;
    take_out(&payment->total.pending, amount);
    if (to_payee)
        account_credit(payment->account, pending->payee, amount);
    else
        put_in(&payment->total.network, amount);
    *pending = (struct pending_pay){.payee = SLOT_NONE};
    return amount;
}

/* ---- stake of nodes ---- */

enum verdict payment_stake_add(struct payment *payment, uint32_t node, uint32_t account, struct amount stake,
                               struct amount fee)
{
    cx_assert(node < payment->node_cap);
    struct amount both;
    if (!amount_add(stake, fee, &both))
        return VERDICT_BALANCE_SHORT;
    enum verdict verdict = account_debit(payment->account, account, both);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    put_in(&payment->stake[node], stake);
    put_in(&payment->total.stake, stake);
    put_in(&payment->total.network, fee);
    return VERDICT_ACCEPTED;
}

void payment_stake_return(struct payment *payment, uint32_t node, uint32_t account)
{
    cx_assert(node < payment->node_cap);
    take_out(&payment->total.stake, payment->stake[node]);
    account_credit(payment->account, account, payment->stake[node]);
    payment->stake[node] = AMOUNT_ZERO;
}

struct amount payment_stake(const struct payment *payment, uint32_t node)
{
    cx_assert(node < payment->node_cap);
    return payment->stake[node];
}

struct amount payment_slash(struct payment *payment, uint32_t node, uint32_t points)
{
    cx_assert(node < payment->node_cap);
    struct amount slashed = basis_points(payment->stake[node], points);
    take_out(&payment->stake[node], slashed);
    take_out(&payment->total.stake, slashed);
    put_in(&payment->total.network, slashed);
    return slashed;
}

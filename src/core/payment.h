/* payment.h - where money is while it is in nobody's balance, and how it gets back into one.
 *
 *      outside --deposit--> balance --escrow--> session        balance --reserve--> task
 *                              ^      <--refund--  | reserve        |
 *                              |                   +------------> task --pay--> payee's balance, fees, pending
 *                              |  <--release (what is left of the reservation, to where it came from)
 *                              +--stake--> node --return, slash--> balance, network        balance --withdraw-->
 * outside
 *
 *      deposits = balances + escrow + reservations + pending + stake + network + withdrawals + paid out
 *
 * holds after every entry; `payment_holds` is O(1) on running totals, payment_check recounts.
 *
 * Shape:  escrow[sessions_cap], reservation[tasks_cap], pending[audits_cap], stake[nodes_cap]: by the slots of their
 *         owners, who tell when a slot's money begins and ends; withdrawal[], deposit references.
 * Source: docs/protocol.md, "Money".
 */
#ifndef CORTEN_CORE_PAYMENT_H
#define CORTEN_CORE_PAYMENT_H

#include "core/account.h"

/* What is set aside for a task. Whose it is its owner knows, and says again when it ends. */
struct reservation {
    struct amount left;   // not paid out or released
    struct amount taken;  // at the beginning
};
enum { SPENDER_FREE, SPENDER_PAYER, SPENDER_ROUTER };  // the row is free; nobody in between; this + a router's slot
struct pending_pay {
    struct amount amount;
    uint32_t payee;  // account; SLOT_NONE: the row is free
};
struct withdrawal {
    struct amount amount;
    uint32_t account;
    struct address to;
};

struct payment {
    struct step *step;
    struct account_book *account;
    struct amount *escrow, *stake;
    struct reservation *reservation;
    uint8_t *spender;  // [tasks_cap]: who spent by the payer's delegation
    struct pending_pay *pending;
    struct withdrawal *withdrawal;
    struct slots withdrawals;
    struct hash *deposit;  // references seen
    uint32_t deposit_count, deposit_cap, session_cap, task_cap, audit_cap, node_cap;
    struct id_map by_deposit;
    struct {
        struct amount deposits, escrow, reservations, pending, stake, network, withdrawals, paid_out;
    } total;
};

bool payment_init(struct payment *payment, struct arena *arena, struct step *step, struct account_book *account);
void payment_rows(struct payment *payment, struct rows *rows);
void payment_check(const struct payment *payment);
/* The invariant above, from the totals. */
bool payment_holds(const struct payment *payment);

/* Commands. */
enum verdict payment_deposit(struct payment *payment, const struct cmd_deposit *cmd);
enum verdict payment_withdraw(struct payment *payment, const struct cmd_withdraw *cmd);
enum verdict payment_withdraw_paid(struct payment *payment, const struct cmd_withdraw_paid *cmd);

/* Escrow of a session. Refused: BALANCE_SHORT, ACCOUNT_RESTRICTED. */
enum verdict payment_escrow_add(struct payment *payment, uint32_t session, uint32_t account, struct amount amount);
void payment_escrow_refund(struct payment *payment, uint32_t session, uint32_t account);  // all of it
struct amount payment_escrow(const struct payment *payment, uint32_t session);

/* Reservation of a task. The price of a task in the worst case; false where it passes what money can count. */
struct task_terms {
    uint32_t prompt_size, template_tokens, tokens_max;
    uint32_t redundancy;
    uint64_t price_in, price_out;  // credits per million tokens
};
bool payment_quote(const struct payment *payment, const struct task_terms *terms, struct amount *ret_amount);
struct payer_terms {
    uint32_t session;  // SLOT_NONE where the payer's balance pays
    uint32_t payer, key;
    bool delegated;                 // the appending router spends by a wallet's delegation
    uint64_t model_id, session_id;  // for the key's scopes
};
/* All checks of paying, in this order: ACCOUNT_RESTRICTED, KEY_UNKNOWN (another account's), those of key_check,
 * DELEGATION_SHORT, ESCROW_SHORT or BALANCE_SHORT. */
enum verdict payment_check_reserve(const struct payment *payment, const struct payer_terms *terms,
                                   struct amount amount);
/* Asks for a task's row. */
static inline void payment_expect(const struct payment *payment, uint32_t task)
{
    cx_prefetch(&payment->reservation[task], sizeof *payment->reservation);
    cx_prefetch(&payment->spender[task], sizeof *payment->spender);
}
void payment_reserve(struct payment *payment, uint32_t task, const struct payer_terms *terms, struct amount amount);
/* What one answer costs at its prices, clipped as "Money" says; never over the reservation's share. */
struct usage {
    uint32_t tokens_in, tokens_out;
    uint32_t prompt_size, template_tokens, tokens_max, text_size;
    uint64_t price_in, price_out;
};
struct amount payment_usage(const struct usage *usage);
/* Pays from the task's reservation: the amount, and on top the fees of router and oracles as the parameters say. All of
 * it is at most what is left. `audit` not SLOT_NONE: pending_bp of the amount waits under that audit's slot. Fees are
 * rounded up for the payer and down for who gets them; the rest goes to `network`, as does the fee of who is missing.
 */
struct payout {
    uint32_t task, payee;  // account of the node's operator
    uint32_t router;       // account of the router's operator; SLOT_NONE: none
    uint32_t audit;
    struct amount amount;
};
struct payout_result {
    struct amount to_payee, to_pending, to_router, to_oracles;
};
struct payout_result payment_pay(struct payment *payment, const struct payout *payout, const uint32_t *oracle_account,
                                 uint32_t oracle_count);
/* Ends the reservation, which was made at taken_ms on these terms (session, payer and key): what is left goes back;
 * gives both parts. */
void payment_release(struct payment *payment, uint32_t task, const struct payer_terms *terms, uint64_t taken_ms,
                     struct amount *ret_charged, struct amount *ret_refunded);
/* Ends a pending pay: to its payee, or to `network`. Gives the amount. */
struct amount payment_pending_end(struct payment *payment, uint32_t audit, bool to_payee);

/* Stake of a node. Refused: BALANCE_SHORT. The fee goes to `network`. */
enum verdict payment_stake_add(struct payment *payment, uint32_t node, uint32_t account, struct amount stake,
                               struct amount fee);
void payment_stake_return(struct payment *payment, uint32_t node, uint32_t account);
struct amount payment_stake(const struct payment *payment, uint32_t node);
struct amount payment_slash(struct payment *payment, uint32_t node, uint32_t basis_points);

#endif

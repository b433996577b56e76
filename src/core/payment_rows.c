/* The rows of payment, and what must add up. Tables that go by other modules' slots are sparse: only rows with money or
 * a payer are written, each with its slot. */
#include "base/assert.h"
#include "core/payment.h"

/* A table of bare amounts by slot. */
static void amount_table(struct rows *rows, struct amount *amount, uint32_t cap)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < cap; i++)
        count += !amount_is_zero(amount[i]);
    rows_table(rows, &count, cap);
    for (uint32_t i = 0, done = 0; done < count; i++) {
        uint32_t slot = i;
        if (!rows_reading(rows) && amount_is_zero(amount[i]))
            continue;
        row_slot(rows, &slot, cap);
        struct amount ignored = AMOUNT_ZERO;
        row_amount(rows, slot < cap ? &amount[slot] : &ignored);
        done++;
    }
    rows_table_end(rows);
}

static void reservation_row(struct rows *rows, struct reservation *r, uint8_t *spender)
{
    row_amount(rows, &r->left);
    row_amount(rows, &r->taken);
    row_u8(rows, spender);
    if (rows_reading(rows) && (*spender == SPENDER_FREE || *spender >= SPENDER_ROUTER + ROUTERS_MAX))
        rows->ok = false;
}

static void reservation_table(struct payment *payment, struct rows *rows)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < payment->task_cap; i++)
        count += payment->spender[i] != SPENDER_FREE;
    rows_table(rows, &count, payment->task_cap);
    for (uint32_t i = 0, done = 0; done < count; i++) {
        uint32_t slot = i;
        if (!rows_reading(rows) && payment->spender[i] == SPENDER_FREE)
            continue;
        row_slot(rows, &slot, payment->task_cap);
        struct reservation ignored = {0};
        uint8_t nobody = SPENDER_FREE;
        bool is = slot < payment->task_cap;
        reservation_row(rows, is ? &payment->reservation[slot] : &ignored, is ? &payment->spender[slot] : &nobody);
        done++;
    }
    rows_table_end(rows);
}

static void pending_table(struct payment *payment, struct rows *rows)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < payment->audit_cap; i++)
        count += payment->pending[i].payee != SLOT_NONE;
    rows_table(rows, &count, payment->audit_cap);
    for (uint32_t i = 0, done = 0; done < count; i++) {
        uint32_t slot = i;
        if (!rows_reading(rows) && payment->pending[i].payee == SLOT_NONE)
            continue;
        row_slot(rows, &slot, payment->audit_cap);
        struct pending_pay ignored = {0}, *pending = slot < payment->audit_cap ? &payment->pending[slot] : &ignored;
        row_amount(rows, &pending->amount);
        row_slot(rows, &pending->payee, payment->account->account_cap);
        done++;
    }
    rows_table_end(rows);
}

static void withdrawal_table(struct payment *payment, struct rows *rows)
{
    row_slots(rows, &payment->withdrawals);
    uint32_t count = payment->withdrawals.used;
    rows_table(rows, &count, payment->withdrawals.cap);
    for (uint32_t i = 0; i < count; i++) {
        if (!slots_is_live(&payment->withdrawals, i))
            continue;
        row_amount(rows, &payment->withdrawal[i].amount);
        row_slot(rows, &payment->withdrawal[i].account, payment->account->account_cap);
        row_bytes(rows, &payment->withdrawal[i].to, sizeof payment->withdrawal[i].to);
    }
    rows_table_end(rows);
}

static void deposit_table(struct payment *payment, struct rows *rows)
{
    rows_table(rows, &payment->deposit_count, payment->deposit_cap);
    for (uint32_t i = 0; i < payment->deposit_count; i++) {
        row_bytes(rows, &payment->deposit[i], sizeof payment->deposit[i]);
        if (rows_reading(rows))
            rows_index(rows, &payment->by_deposit, i, &payment->deposit[i]);
    }
    rows_table_end(rows);
}

void payment_rows(struct payment *payment, struct rows *rows)
{
    rows_module(rows, "payment");
    amount_table(rows, payment->escrow, payment->session_cap);
    amount_table(rows, payment->stake, payment->node_cap);
    reservation_table(payment, rows);
    pending_table(payment, rows);
    withdrawal_table(payment, rows);
    deposit_table(payment, rows);
    row_amount(rows, &payment->total.deposits);
    row_amount(rows, &payment->total.escrow);
    row_amount(rows, &payment->total.reservations);
    row_amount(rows, &payment->total.pending);
    row_amount(rows, &payment->total.stake);
    row_amount(rows, &payment->total.network);
    row_amount(rows, &payment->total.withdrawals);
    row_amount(rows, &payment->total.paid_out);
    rows_module_end(rows);
}

static void count_in(struct amount *sum, struct amount amount)
{
    bool fits = amount_add(*sum, amount, sum);
    cx_assert(fits);
}

void payment_check(const struct payment *payment)
{
    struct amount escrow = AMOUNT_ZERO, stake = AMOUNT_ZERO, reservations = AMOUNT_ZERO, pending = AMOUNT_ZERO,
                  withdrawals = AMOUNT_ZERO;
    for (uint32_t i = 0; i < payment->session_cap; i++)
        count_in(&escrow, payment->escrow[i]);
    for (uint32_t i = 0; i < payment->node_cap; i++)
        count_in(&stake, payment->stake[i]);
    for (uint32_t i = 0; i < payment->task_cap; i++) {
        const struct reservation *r = &payment->reservation[i];
        if (payment->spender[i] == SPENDER_FREE)
            continue;
        cx_assert(!amount_less(r->taken, r->left));
        count_in(&reservations, r->left);
    }
    for (uint32_t i = 0; i < payment->audit_cap; i++)
        if (payment->pending[i].payee != SLOT_NONE)
            count_in(&pending, payment->pending[i].amount);
    for (uint32_t i = 0; i < payment->withdrawals.used; i++)
        if (slots_is_live(&payment->withdrawals, i))
            count_in(&withdrawals, payment->withdrawal[i].amount);
    cx_assert(amount_eq(escrow, payment->total.escrow));
    cx_assert(amount_eq(stake, payment->total.stake));
    cx_assert(amount_eq(reservations, payment->total.reservations));
    cx_assert(amount_eq(pending, payment->total.pending));
    cx_assert(amount_eq(withdrawals, payment->total.withdrawals));
    cx_assert(payment_holds(payment));
    slots_check(&payment->withdrawals);
    cx_assert(payment->by_deposit.count == payment->deposit_count);
}

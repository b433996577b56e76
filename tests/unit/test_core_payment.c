/* Money: every credit is somewhere, and rounding goes where the protocol says. */
#include "core/payment.h"

#include "base/prng.h"
#include "lib/core_parts.h"
#include "lib/test.h"

#define MILLION 1000000ull

static struct address payer_address(void) { return test_address('u', 1); }

struct scene {
    struct parts *p;
    uint32_t payer, node, router;  // accounts
};

static struct scene scene_open(uint64_t credits)
{
    struct scene s = {.p = parts_open()};
    struct address payer = payer_address(), node = test_address('o', 1), router = test_address('Q', 0);
    s.payer = parts_deposit(s.p, &payer, credits);
    CHECK_EQ(account_ensure(&s.p->account, &node, &s.node), VERDICT_ACCEPTED);
    s.router = account_find(&s.p->account, &router);
    return s;
}

static uint64_t balance(const struct scene *s, uint32_t account)
{
    return account_balance(&s->p->account, account).credits;
}

static void check_money(const struct scene *s)
{
    CHECK(payment_holds(&s->p->payment));
    payment_check(&s->p->payment);
    account_check(&s->p->account);
}

static struct payer_terms from_balance(const struct scene *s)
{
    return (struct payer_terms){.session = SLOT_NONE, .payer = s->payer, .key = SLOT_NONE};
}

static void reserve(struct scene *s, uint32_t task, uint64_t credits)
{
    struct payer_terms terms = from_balance(s);
    CHECK_EQ(payment_check_reserve(&s->p->payment, &terms, amount_of(credits)), VERDICT_ACCEPTED);
    payment_reserve(&s->p->payment, task, &terms, amount_of(credits));
}

/* Of what `reserve` made, now. */
static void release(struct scene *s, uint32_t task, struct amount *ret_charged, struct amount *ret_refunded)
{
    struct payer_terms terms = from_balance(s);
    payment_release(&s->p->payment, task, &terms, s->p->step.now_ms, ret_charged, ret_refunded);
}

/* ---- deposits and withdrawals ---- */

TEST(payment, credits_an_outside_payment_once)
{
    struct parts *p = parts_open();
    struct cmd_deposit cmd = {payer_address(), amount_of(50), test_hash('x', 1)};
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(parts_event(p, EVENT_DEPOSITED)->deposited.balance.credits, 50);
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_DEPOSIT_KNOWN);
    cmd.reference = test_hash('x', 2);
    cmd.amount = amount_of(UINT64_MAX - 49);
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_AMOUNT_OVERFLOW);
    cmd.amount = AMOUNT_ZERO;
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_VALUE_INVALID);
    cmd.amount = amount_of(UINT64_MAX - 50);
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_ACCEPTED);
    cmd.account = (struct address){{0}};
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_VALUE_INVALID);
    CHECK(payment_holds(&p->payment));
    payment_check(&p->payment);
}

TEST(payment, refuses_deposits_that_it_could_not_remember)
{
    struct parts *p = parts_open();
    struct address a = payer_address();
    for (int i = 0; i < 64; i++)
        parts_deposit(p, &a, 1);
    struct cmd_deposit cmd = {a, amount_of(1), test_hash('x', 1)};
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_DEPOSITS_FULL);
    CHECK_EQ(account_restrict(&p->account, &(struct cmd_account_restrict){a, 1}), VERDICT_ACCEPTED);
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_ACCOUNT_RESTRICTED);
    p = parts_open();
    while (account_has_room(&p->account, 1)) {
        uint32_t account;
        struct address filler = test_address('f', p->account.account_count);
        CHECK_EQ(account_ensure(&p->account, &filler, &account), VERDICT_ACCEPTED);
    }
    CHECK_EQ(payment_deposit(&p->payment, &cmd), VERDICT_ACCOUNTS_FULL);
    CHECK(payment_holds(&p->payment));
}

TEST(payment, lets_money_out_by_a_withdrawal)
{
    struct scene s = scene_open(100);
    struct payment *payment = &s.p->payment;
    struct cmd_withdraw cmd = {test_address('u', 9), amount_of(60)};
    CHECK_EQ(payment_withdraw(payment, &cmd), VERDICT_ACCOUNT_UNKNOWN);
    cmd.account = payer_address();
    CHECK_EQ(payment_withdraw(payment, &cmd), VERDICT_ACCEPTED);
    const struct evt_withdrawal_opened opened = parts_event(s.p, EVENT_WITHDRAWAL_OPENED)->withdrawal_opened;
    CHECK(address_eq(&opened.to, &cmd.account));
    CHECK_EQ(payment->total.withdrawals.credits, 60);
    CHECK_EQ(payment_withdraw(payment, &cmd), VERDICT_BALANCE_SHORT);
    cmd.amount = AMOUNT_ZERO;
    CHECK_EQ(payment_withdraw(payment, &cmd), VERDICT_VALUE_INVALID);
    cmd.amount = amount_of(1);
    CHECK_EQ(payment_withdraw(payment, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(payment_withdraw(payment, &cmd), VERDICT_WITHDRAWALS_FULL);
    check_money(&s);
    struct cmd_withdraw_paid paid = {opened.withdrawal, test_hash('t', 1)};
    CHECK_EQ(payment_withdraw_paid(payment, &paid), VERDICT_ACCEPTED);
    CHECK_EQ(payment_withdraw_paid(payment, &paid), VERDICT_WITHDRAWAL_UNKNOWN);
    CHECK_EQ(payment->total.paid_out.credits, 60);
    check_money(&s);
}

TEST(payment, sends_a_custodial_accounts_money_to_its_wallet_alone)
{
    struct scene s = scene_open(1);
    struct hash key_hash = test_hash('k', 1);
    struct cmd_withdraw cmd = {.amount = amount_of(5)};
    account_custodial(router_address(&s.p->account, 0), &key_hash, &cmd.account);
    CHECK_EQ(account_key_put(&s.p->account, &(struct cmd_key_put){.account = cmd.account, .key_hash = key_hash},
                             router_address(&s.p->account, 0)),
             VERDICT_ACCEPTED);
    parts_deposit(s.p, &cmd.account, 5);
    CHECK_EQ(payment_withdraw(&s.p->payment, &cmd), VERDICT_WALLET_MISSING);
    struct cmd_account_bind bind = {cmd.account, test_address('w', 1)};
    CHECK_EQ(account_bind(&s.p->account, &bind), VERDICT_ACCEPTED);
    /* Restricted accounts keep refunds and withdrawals. */
    CHECK_EQ(account_restrict(&s.p->account, &(struct cmd_account_restrict){cmd.account, 1}), VERDICT_ACCEPTED);
    CHECK_EQ(payment_withdraw(&s.p->payment, &cmd), VERDICT_ACCEPTED);
    CHECK(address_eq(&parts_event(s.p, EVENT_WITHDRAWAL_OPENED)->withdrawal_opened.to, &bind.wallet));
    check_money(&s);
}

/* ---- quotes and usage ---- */

TEST(payment, quotes_the_worst_case_and_its_fees)
{
    struct parts *p = parts_open();
    struct task_terms terms = {.prompt_size = 90,
                               .template_tokens = 10,
                               .tokens_max = 1000,
                               .redundancy = 1,
                               .price_in = 2 * MILLION,
                               .price_out = 3 * MILLION};
    struct amount amount;
    CHECK(payment_quote(&p->payment, &terms, &amount));
    CHECK_EQ(amount.credits, 3200 + 64 + 64);  // 2 % each
    terms.redundancy = 3;
    CHECK(payment_quote(&p->payment, &terms, &amount));
    CHECK_EQ(amount.credits, 3 * 3328);
    /* One token at one millionth of a credit is rounded up, and so are its fees. */
    terms = (struct task_terms){.prompt_size = 1, .redundancy = 2, .price_in = 1};
    CHECK(payment_quote(&p->payment, &terms, &amount));
    CHECK_EQ(amount.credits, 2 * 3);
    terms.price_in = 0;
    CHECK(payment_quote(&p->payment, &terms, &amount));
    CHECK_EQ(amount.credits, 0);
}

TEST(payment, says_when_a_quote_cannot_be_counted)
{
    struct parts *p = parts_open();
    struct amount amount = amount_of(7);
    struct task_terms terms = {
        .prompt_size = 16 << 20, .tokens_max = UINT32_MAX, .redundancy = 15, .price_out = PRICE_MAX};
    CHECK(!payment_quote(&p->payment, &terms, &amount));
    CHECK_EQ(amount.credits, 7);
    terms.tokens_max = 1 << 20;
    CHECK(payment_quote(&p->payment, &terms, &amount));
}

TEST(payment, clips_usage_to_what_prompt_and_answer_bear_out)
{
    struct usage usage = {.tokens_in = 1000,
                          .tokens_out = 1000,
                          .prompt_size = 40,
                          .template_tokens = 2,
                          .tokens_max = 500,
                          .text_size = 9,
                          .price_in = MILLION,
                          .price_out = 100 * MILLION};
    CHECK_EQ(payment_usage(&usage).credits, 42 + 100 * 10);
    usage.text_size = 5000;
    CHECK_EQ(payment_usage(&usage).credits, 42 + 100 * 500);
    usage.tokens_in = 3;
    usage.tokens_out = 4;
    CHECK_EQ(payment_usage(&usage).credits, 3 + 100 * 4);
    usage.price_in = 333333;
    usage.price_out = 0;
    CHECK_EQ(payment_usage(&usage).credits, 0);  // 0.999999 credits, down
    usage.tokens_in = 4;
    CHECK_EQ(payment_usage(&usage).credits, 1);
}

/* ---- reservations ---- */

TEST(payment, refuses_in_the_protocols_order)
{
    struct scene s = scene_open(100);
    struct payment *payment = &s.p->payment;
    struct payer_terms terms = from_balance(&s);
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(100)), VERDICT_ACCEPTED);
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(101)), VERDICT_BALANCE_SHORT);
    terms.session = 2;
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(1)), VERDICT_ESCROW_SHORT);
    terms.delegated = true;
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(1)), VERDICT_DELEGATION_SHORT);
    struct cmd_key_put put = {payer_address(), test_hash('k', 1), .budget = amount_of(1)};
    CHECK_EQ(account_key_put(&s.p->account, &put, router_address(&s.p->account, 0)), VERDICT_ACCEPTED);
    terms.key = 0;
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(2)), VERDICT_KEY_SCOPE);
    terms.payer = s.node;
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(2)), VERDICT_KEY_UNKNOWN);
    CHECK_EQ(account_restrict(&s.p->account, &(struct cmd_account_restrict){test_address('o', 1), 1}),
             VERDICT_ACCEPTED);
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(2)), VERDICT_ACCOUNT_RESTRICTED);
    check_money(&s);
}

TEST(payment, pays_and_gives_back_the_rest)
{
    struct scene s = scene_open(1000);
    struct amount charged, refunded;
    uint32_t oracle[2] = {s.payer, s.node};
    reserve(&s, 3, 500);
    CHECK_EQ(balance(&s, s.payer), 500);
    check_money(&s);
    struct payout payout = {
        .task = 3, .payee = s.node, .router = s.router, .audit = SLOT_NONE, .amount = amount_of(101)};
    struct payout_result result = payment_pay(&s.p->payment, &payout, oracle, 2);
    /* 2 % of 101 is 2.02: 3 are taken, for the router in one part and for the oracles in two. */
    CHECK_EQ(result.to_payee.credits, 101);
    CHECK_EQ(result.to_router.credits, 3);
    CHECK_EQ(result.to_oracles.credits, 2);
    CHECK_EQ(s.p->payment.total.network.credits, 1);
    CHECK_EQ(balance(&s, s.router), 3);
    CHECK_EQ(balance(&s, s.node), 102);
    check_money(&s);
    release(&s, 3, &charged, &refunded);
    CHECK_EQ(charged.credits, 107);
    CHECK_EQ(refunded.credits, 393);
    CHECK_EQ(balance(&s, s.payer), 500 + 1 + 393);
    check_money(&s);
}

TEST(payment, never_takes_more_than_was_reserved)
{
    struct scene s = scene_open(1000);
    struct amount charged, refunded;
    reserve(&s, 0, 102);
    struct payout payout = {
        .task = 0, .payee = s.node, .router = SLOT_NONE, .audit = SLOT_NONE, .amount = amount_of(101)};
    struct payout_result result = payment_pay(&s.p->payment, &payout, NULL, 0);
    CHECK_EQ(result.to_payee.credits, 101);
    CHECK_EQ(result.to_router.credits, 0);
    CHECK_EQ(s.p->payment.total.network.credits, 1);
    result = payment_pay(&s.p->payment, &payout, NULL, 0);
    CHECK_EQ(result.to_payee.credits, 0);
    release(&s, 0, &charged, &refunded);
    CHECK_EQ(charged.credits, 102);
    CHECK_EQ(refunded.credits, 0);
    check_money(&s);
}

TEST(payment, covers_every_answer_by_its_quote)
{
    struct prng prng = {5};
    for (int i = 0; i < 2000; i++) {
        struct scene s = scene_open(1ull << 62);
        s.p->step.params.router_fee_bp = prng_below(&prng, 2001);
        s.p->step.params.oracle_fee_bp = prng_below(&prng, 2001);
        struct task_terms terms = {.prompt_size = (uint32_t)prng_below(&prng, 5000),
                                   .template_tokens = (uint32_t)prng_below(&prng, 50),
                                   .tokens_max = (uint32_t)prng_below(&prng, 5000),
                                   .redundancy = 1 + (uint32_t)prng_below(&prng, 15),
                                   .price_in = prng_below(&prng, 1ull << (1 + prng_below(&prng, 40))),
                                   .price_out = prng_below(&prng, 1ull << (1 + prng_below(&prng, 40)))};
        struct amount quote, charged, refunded;
        CHECK(payment_quote(&s.p->payment, &terms, &quote));
        reserve(&s, 1, quote.credits);
        struct usage usage = {.tokens_in = UINT32_MAX,
                              .tokens_out = UINT32_MAX,
                              .prompt_size = terms.prompt_size,
                              .template_tokens = terms.template_tokens,
                              .tokens_max = terms.tokens_max,
                              .text_size = UINT32_MAX,
                              .price_in = terms.price_in,
                              .price_out = terms.price_out};
        for (uint32_t n = 0; n < terms.redundancy; n++) {
            struct payout payout = {1, s.node, s.router, SLOT_NONE, payment_usage(&usage)};
            struct payout_result result = payment_pay(&s.p->payment, &payout, &s.router, 1);
            CHECK_EQ(result.to_payee.credits, payout.amount.credits);
            /* The fees were not cut either. */
            CHECK(result.to_router.credits * 10000 >= payout.amount.credits / 10000 * s.p->step.params.router_fee_bp);
        }
        release(&s, 1, &charged, &refunded);
        CHECK(payment_holds(&s.p->payment));
        test_free(s.p->arena.at);
        test_free(s.p);
    }
}

TEST(payment, gives_back_to_the_escrow_that_paid)
{
    struct scene s = scene_open(1000);
    struct payment *payment = &s.p->payment;
    struct amount charged, refunded;
    CHECK_EQ(payment_escrow_add(payment, 4, s.payer, amount_of(1001)), VERDICT_BALANCE_SHORT);
    CHECK_EQ(payment_escrow_add(payment, 4, s.payer, amount_of(600)), VERDICT_ACCEPTED);
    CHECK_EQ(payment_escrow_add(payment, 4, s.payer, amount_of(100)), VERDICT_ACCEPTED);
    struct payer_terms terms = {.session = 4, .payer = s.node, .key = SLOT_NONE};
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(701)), VERDICT_ESCROW_SHORT);
    payment_reserve(payment, 2, &terms, amount_of(700));
    CHECK_EQ(payment_escrow(payment, 4).credits, 0);
    check_money(&s);
    payment_release(payment, 2, &terms, payment->step->now_ms, &charged, &refunded);
    CHECK_EQ(payment_escrow(payment, 4).credits, 700);
    CHECK_EQ(charged.credits, 0);
    payment_escrow_refund(payment, 4, s.payer);
    CHECK_EQ(balance(&s, s.payer), 1000);
    check_money(&s);
    CHECK_EQ(account_restrict(&s.p->account, &(struct cmd_account_restrict){payer_address(), 1}), VERDICT_ACCEPTED);
    CHECK_EQ(payment_escrow_add(payment, 4, s.payer, amount_of(1)), VERDICT_ACCOUNT_RESTRICTED);
}

TEST(payment, tells_key_and_delegation_what_was_not_spent)
{
    struct scene s = scene_open(1000);
    struct payment *payment = &s.p->payment;
    struct amount charged, refunded;
    struct cmd_key_put put = {payer_address(), test_hash('k', 1), .scopes = SCOPE_INFER, .budget = amount_of(100)};
    CHECK_EQ(account_key_put(&s.p->account, &put, router_address(&s.p->account, 0)), VERDICT_ACCEPTED);
    struct cmd_delegate_set set = {payer_address(), test_address('R', 0), amount_of(200), amount_of(300), 0};
    CHECK_EQ(account_delegate(&s.p->account, &set), VERDICT_ACCEPTED);
    struct payer_terms terms = {.session = SLOT_NONE, .payer = s.payer, .key = 0, .delegated = true};
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(101)), VERDICT_KEY_BUDGET);
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(100)), VERDICT_ACCEPTED);
    payment_reserve(payment, 2, &terms, amount_of(100));
    CHECK_EQ(payment_check_reserve(payment, &terms, amount_of(1)), VERDICT_KEY_BUDGET);
    struct payout payout = {2, s.node, SLOT_NONE, SLOT_NONE, amount_of(10)};
    payment_pay(payment, &payout, NULL, 0);
    payment_release(payment, 2, &terms, payment->step->now_ms, &charged, &refunded);
    CHECK_EQ(charged.credits, 12);
    CHECK_EQ(s.p->account.key[0].spent.credits, 12);
    CHECK_EQ(s.p->account.key[0].in_flight, 0);
    CHECK_EQ(s.p->account.delegation[0].total_spent.credits, 12);
    CHECK_EQ(s.p->account.delegation[0].day_spent.credits, 12);
    check_money(&s);
}

/* ---- pending pay and stake ---- */

TEST(payment, holds_back_what_waits_for_an_audit)
{
    struct scene s = scene_open(1000);
    struct payment *payment = &s.p->payment;
    s.p->step.params.pending_bp = 2500;
    reserve(&s, 0, 500);
    struct payout payout = {0, s.node, s.router, 6, amount_of(101)};
    struct payout_result result = payment_pay(payment, &payout, NULL, 0);
    CHECK_EQ(result.to_payee.credits, 76);
    CHECK_EQ(result.to_pending.credits, 25);
    CHECK_EQ(balance(&s, s.node), 76);
    check_money(&s);
    CHECK_EQ(payment_pending_end(payment, 6, true).credits, 25);
    CHECK_EQ(balance(&s, s.node), 101);
    CHECK_EQ(payment_pending_end(payment, 6, true).credits, 0);
    uint64_t network = payment->total.network.credits;
    payment_pay(payment, &payout, NULL, 0);
    CHECK_EQ(payment_pending_end(payment, 6, false).credits, 25);
    CHECK_EQ(payment->total.network.credits, network + 3 + 25);  // the oracles' fee, and what was forfeited
    CHECK_EQ(balance(&s, s.node), 101 + 76);
    check_money(&s);
}

TEST(payment, keeps_and_slashes_stake)
{
    struct scene s = scene_open(1000);
    struct payment *payment = &s.p->payment;
    CHECK_EQ(payment_stake_add(payment, 5, s.payer, amount_of(900), amount_of(101)), VERDICT_BALANCE_SHORT);
    CHECK_EQ(payment_stake_add(payment, 5, s.payer, amount_of(UINT64_MAX), amount_of(1)), VERDICT_BALANCE_SHORT);
    CHECK_EQ(payment_stake_add(payment, 5, s.payer, amount_of(899), amount_of(101)), VERDICT_ACCEPTED);
    CHECK_EQ(payment_stake(payment, 5).credits, 899);
    CHECK_EQ(payment->total.network.credits, 101);
    CHECK_EQ(payment_slash(payment, 5, 1000).credits, 89);
    CHECK_EQ(payment_stake(payment, 5).credits, 810);
    check_money(&s);
    payment_stake_return(payment, 5, s.payer);
    CHECK_EQ(balance(&s, s.payer), 810);
    check_money(&s);
}

TEST(payment, is_read_back_as_it_was)
{
    struct scene s = scene_open(5000), t = scene_open(1);
    struct payment *payment = &s.p->payment;
    reserve(&s, 3, 500);
    reserve(&s, 1, 0);
    payment_pay(payment, &(struct payout){3, s.node, s.router, 6, amount_of(101)}, NULL, 0);
    CHECK_EQ(payment_escrow_add(payment, 4, s.payer, amount_of(600)), VERDICT_ACCEPTED);
    CHECK_EQ(payment_stake_add(payment, 5, s.payer, amount_of(90), amount_of(10)), VERDICT_ACCEPTED);
    CHECK_EQ(payment_withdraw(payment, &(struct cmd_withdraw){payer_address(), amount_of(7)}), VERDICT_ACCEPTED);
    static uint8_t bytes[8192];
    struct rows rows;
    struct hash root, read_root;
    rows_init(&rows, ROWS_WRITE);
    bytes_writer_init(&rows.w, bytes, sizeof bytes);
    account_rows(&s.p->account, &rows);
    payment_rows(payment, &rows);
    CHECK(rows.ok);
    uint32_t size = rows.w.size;
    rows_root(&rows, &root);
    rows_init(&rows, ROWS_READ);
    bytes_reader_init(&rows.r, bytes, size);
    id_map_clear(&t.p->account.by_address);
    id_map_clear(&t.p->payment.by_deposit);
    account_rows(&t.p->account, &rows);
    payment_rows(&t.p->payment, &rows);
    CHECK(rows.ok && rows.r.left == 0);
    rows_root(&rows, &read_root);
    CHECK(hash_eq(&root, &read_root));
    check_money(&t);
    struct amount charged, refunded;
    release(&t, 3, &charged, &refunded);
    release(&t, 1, &charged, &refunded);
    CHECK_EQ(payment_pending_end(&t.p->payment, 6, true).credits, 101);
    check_money(&t);
}

/* Accounts, authority, nonces, routers, keys and delegations. */
#include "core/account.h"

#include "base/prng.h"
#include "lib/core_parts.h"
#include "lib/test.h"

#define DAY_MS (24ull * 60 * 60 * 1000)

static struct address alice(void) { return test_address('u', 1); }

TEST(account, counts_its_memory_before_it_takes_it)
{
    struct parts *p = parts_open();
    struct account_book book;
    struct arena count;
    arena_init(&count, NULL, 0);
    CHECK(!account_init(&book, &count, &p->step));
    size_t used = p->arena.used;
    CHECK(account_init(&book, &p->arena, &p->step));
    CHECK_EQ(p->arena.used - used, count.used);
}

TEST(account, is_made_once_until_the_table_is_full)
{
    struct parts *p = parts_open();
    uint32_t first, again, made = p->account.account_count;
    CHECK_EQ(account_find(&p->account, &(struct address){{9}}), SLOT_NONE);
    struct address a = alice();
    CHECK_EQ(account_ensure(&p->account, &a, &first), VERDICT_ACCEPTED);
    CHECK_EQ(account_ensure(&p->account, &a, &again), VERDICT_ACCEPTED);
    CHECK_EQ(first, again);
    CHECK(account_has_room(&p->account, 15 - made) && !account_has_room(&p->account, 16 - made));
    for (uint32_t i = made + 1; i < 16; i++) {
        struct address b = test_address('x', i);
        CHECK_EQ(account_ensure(&p->account, &b, &again), VERDICT_ACCEPTED);
    }
    struct address c = test_address('y', 0);
    CHECK_EQ(account_ensure(&p->account, &c, &again), VERDICT_ACCOUNTS_FULL);
    CHECK_EQ(account_ensure(&p->account, &a, &again), VERDICT_ACCEPTED);
    account_check(&p->account);
}

TEST(account, gives_no_more_than_it_has)
{
    struct parts *p = parts_open();
    struct address a = alice();
    uint32_t account = parts_deposit(p, &a, 100);
    CHECK_EQ(account_debit(&p->account, account, amount_of(101)), VERDICT_BALANCE_SHORT);
    CHECK_EQ(account_balance(&p->account, account).credits, 100);
    CHECK_EQ(account_debit(&p->account, account, amount_of(100)), VERDICT_ACCEPTED);
    account_credit(&p->account, account, amount_of(100));
    account_check(&p->account);
}

/* ---- authority ---- */

static struct command withdraw_by(const struct address *signer, uint32_t count, uint64_t nonce)
{
    struct command cmd = {.type = COMMAND_WITHDRAW, .withdraw = {alice(), amount_of(1)}, .nonce = nonce};
    cmd.signer_count = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++)
        cmd.signer[i] = signer[i];
    return cmd;
}

TEST(account, refuses_a_bad_signature_and_a_late_one)
{
    struct parts *p = parts_open();
    struct address signer[2] = {alice(), {{0}}};
    struct command cmd = withdraw_by(signer, 2, 0);
    CHECK_EQ(account_check_signatures(&p->account, &cmd), VERDICT_SIGNATURE_BAD);
    cmd.signer_count = 1;
    CHECK_EQ(account_check_signatures(&p->account, &cmd), VERDICT_ACCEPTED);
    cmd.valid_until_ms = 1000;
    p->step.ledger_ms = 1000;
    CHECK_EQ(account_check_signatures(&p->account, &cmd), VERDICT_ACCEPTED);
    p->step.ledger_ms = 1001;
    CHECK_EQ(account_check_signatures(&p->account, &cmd), VERDICT_COMMAND_EXPIRED);
    cmd.signer_count = 0;
    CHECK_EQ(account_check_signatures(&p->account, &cmd), VERDICT_ACCEPTED);
}

TEST(account, is_acted_for_by_its_key_alone)
{
    struct parts *p = parts_open();
    struct address a = alice(), other = test_address('u', 2);
    struct command cmd = withdraw_by(&a, 1, 0);
    CHECK_EQ(account_check_owner(&p->account, &cmd, &a), VERDICT_ACCOUNT_UNKNOWN);
    parts_deposit(p, &a, 5);
    CHECK_EQ(account_check_owner(&p->account, &cmd, &a), VERDICT_ACCEPTED);
    cmd = withdraw_by(&other, 1, 0);
    CHECK_EQ(account_check_owner(&p->account, &cmd, &a), VERDICT_NOT_AUTHORIZED);
    cmd = withdraw_by(NULL, 0, 0);
    CHECK_EQ(account_check_owner(&p->account, &cmd, &a), VERDICT_NOT_AUTHORIZED);
    CHECK_EQ(account_check_payer(&p->account, &cmd, &a), VERDICT_NOT_AUTHORIZED);
}

TEST(account, counts_different_admins)
{
    struct parts *p = parts_open();
    struct address admin[3] = {test_address('A', 0), test_address('A', 1), test_address('A', 2)};
    memcpy(p->account.admin, admin, sizeof admin);
    p->account.admin_count = 3;
    p->account.admin_quorum = 2;
    struct command cmd = {.type = COMMAND_DEPOSIT, .signer_count = 2, .signer = {admin[1], admin[1]}};
    CHECK_EQ(account_check_admins(&p->account, &cmd), VERDICT_QUORUM_SHORT);
    cmd.signer[0] = alice();
    CHECK_EQ(account_check_admins(&p->account, &cmd), VERDICT_QUORUM_SHORT);
    cmd.signer[0] = admin[2];
    CHECK_EQ(account_check_admins(&p->account, &cmd), VERDICT_ACCEPTED);
    CHECK(account_is_admin(&p->account, &admin[0]) && !account_is_admin(&p->account, &(struct address){{1}}));
}

/* ---- nonces ---- */

static enum verdict use(struct parts *p, uint64_t nonce)
{
    struct address a = alice();
    struct command cmd = withdraw_by(&a, 1, nonce);
    enum verdict verdict = account_check_nonce(&p->account, &cmd);
    if (verdict == VERDICT_ACCEPTED)
        account_use_nonce(&p->account, &cmd, true);
    return verdict;
}

TEST(nonce, is_used_once_within_a_window_of_64)
{
    struct parts *p = parts_open();
    struct address a = alice();
    uint32_t account = parts_deposit(p, &a, 5);
    CHECK_EQ(account_nonce_next(&p->account, account), 0);
    CHECK_EQ(use(p, 0), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, 0), VERDICT_NONCE_USED);
    CHECK_EQ(account_nonce_next(&p->account, account), 1);
    CHECK_EQ(use(p, 100), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, 100), VERDICT_NONCE_USED);
    CHECK_EQ(use(p, 36), VERDICT_NONCE_USED);
    CHECK_EQ(use(p, 37), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, 37), VERDICT_NONCE_USED);
    CHECK_EQ(use(p, 99), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, 101), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, 37), VERDICT_NONCE_USED);
    CHECK_EQ(use(p, 38), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, 99), VERDICT_NONCE_USED);
    CHECK_EQ(use(p, UINT64_MAX), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, UINT64_MAX), VERDICT_NONCE_USED);
    CHECK_EQ(use(p, UINT64_MAX - 63), VERDICT_ACCEPTED);
    CHECK_EQ(use(p, UINT64_MAX - 64), VERDICT_NONCE_USED);
}

TEST(nonce, agrees_with_a_set_of_all_that_were_used)
{
    struct parts *p = parts_open();
    struct address a = alice();
    parts_deposit(p, &a, 5);
    static bool used[3000 * 20];
    struct prng prng = {11};
    uint64_t top = 0;
    for (int i = 0; i < 3000; i++) {
        uint64_t nonce = top + 20 - u64_min(top + 20, prng_below(&prng, 100));
        bool fresh = !used[nonce] && nonce + 64 > top;
        CHECK_EQ(use(p, nonce), fresh ? VERDICT_ACCEPTED : VERDICT_NONCE_USED);
        if (fresh)
            used[nonce] = true;
        if (fresh && nonce > top)
            top = nonce;
    }
    CHECK(top > 2000);
}

TEST(nonce, of_an_admin_command_is_every_signers)
{
    struct parts *p = parts_open();
    struct address admin[3] = {test_address('A', 0), test_address('A', 1), test_address('A', 2)};
    uint32_t account;
    memcpy(p->account.admin, admin, sizeof admin);
    p->account.admin_count = 3;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(account_ensure(&p->account, &admin[i], &account), VERDICT_ACCEPTED);
    struct command cmd = {
        .type = COMMAND_PARAMS_SET, .signer_count = 3, .signer = {admin[0], admin[1], admin[2]}, .nonce = 5};
    CHECK_EQ(account_check_nonce(&p->account, &cmd), VERDICT_ACCEPTED);
    account_use_nonce(&p->account, &cmd, false);
    /* Whoever leaves a signature out, or changes their order, repeats the command. */
    cmd.signer_count = 1;
    for (int i = 0; i < 3; i++) {
        cmd.signer[0] = admin[i];
        CHECK_EQ(account_check_nonce(&p->account, &cmd), VERDICT_NONCE_USED);
    }
}

TEST(nonce, of_a_stranger_makes_an_account_only_when_accepted)
{
    struct parts *p = parts_open();
    struct address node = test_address('n', 1);
    struct command cmd = {.type = COMMAND_NODE_REGISTER, .node_register.node = node, .signer_count = 1};
    cmd.signer[0] = node;
    CHECK_EQ(account_check_nonce(&p->account, &cmd), VERDICT_ACCEPTED);
    account_use_nonce(&p->account, &cmd, false);
    CHECK_EQ(account_find(&p->account, &node), SLOT_NONE);
    account_use_nonce(&p->account, &cmd, true);
    CHECK(account_find(&p->account, &node) != SLOT_NONE);
    CHECK_EQ(account_check_nonce(&p->account, &cmd), VERDICT_NONCE_USED);
    for (uint32_t i = 0; account_has_room(&p->account, 2); i++) {
        uint32_t account;
        struct address filler = test_address('f', i);
        CHECK_EQ(account_ensure(&p->account, &filler, &account), VERDICT_ACCEPTED);
    }
    cmd.node_register.node = test_address('n', 2);
    CHECK_EQ(account_check_nonce(&p->account, &cmd), VERDICT_ACCOUNTS_FULL);
}

TEST(nonce, is_not_asked_of_what_is_unsigned_or_safe)
{
    struct parts *p = parts_open();
    struct address a = alice();
    uint32_t account = parts_deposit(p, &a, 5);
    struct command cmd = withdraw_by(NULL, 0, 0);
    CHECK_EQ(account_check_nonce(&p->account, &cmd), VERDICT_ACCEPTED);
    account_use_nonce(&p->account, &cmd, true);
    cmd = (struct command){.type = COMMAND_TASK_PRECOMMIT, .signer_count = 1, .signer = {a}};
    account_use_nonce(&p->account, &cmd, true);
    CHECK_EQ(account_check_nonce(&p->account, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(account_nonce_next(&p->account, account), 0);
}

/* ---- routers ---- */

TEST(router, is_present_from_its_heartbeat_until_it_misses_three)
{
    struct parts *p = parts_open();
    struct cmd_router_heartbeat beat = {.epoch = 4};
    CHECK(!router_is_present(&p->account, 0));
    CHECK_EQ(account_due_ms(&p->account), TIME_NEVER);
    p->step.now_ms = 1000;
    CHECK_EQ(account_router_heartbeat(&p->account, &beat), VERDICT_ACCEPTED);
    CHECK(router_is_present(&p->account, 0));
    CHECK_EQ(parts_event(p, EVENT_ROUTER_CHANGED)->router_changed.state, ROUTER_PRESENT);
    CHECK_EQ(account_due_ms(&p->account), 16001);
    p->step.now_ms = 9000;
    account_router_heard(&p->account);
    CHECK_EQ(account_due_ms(&p->account), 24001);
    p->step.now_ms = 24001;
    account_sweep(&p->account);
    CHECK(!router_is_present(&p->account, 0));
    CHECK_EQ(parts_event(p, EVENT_ROUTER_CHANGED)->router_changed.state, ROUTER_SILENT);
    beat.epoch = 3;
    CHECK_EQ(account_router_heartbeat(&p->account, &beat), VERDICT_VALUE_INVALID);
    beat.epoch = 4;
    CHECK_EQ(account_router_heartbeat(&p->account, &beat), VERDICT_ACCEPTED);
    CHECK(router_is_present(&p->account, 0));
    account_check(&p->account);
}

TEST(router, comes_and_goes_by_the_admins_word)
{
    struct parts *p = parts_open();
    struct cmd_router_add add = {test_address('R', 1), test_address('Q', 1)};
    struct cmd_router_remove remove = {test_address('R', 0)};
    CHECK_EQ(account_router_remove(&p->account, &remove), VERDICT_VALUE_INVALID);
    CHECK_EQ(account_router_add(&p->account, &add), VERDICT_ACCEPTED);
    CHECK_EQ(account_router_add(&p->account, &add), VERDICT_ROUTER_KNOWN);
    CHECK_EQ(account_router_add(&p->account, &(struct cmd_router_add){0}), VERDICT_VALUE_INVALID);
    CHECK_EQ(router_find(&p->account, &add.router), 1);
    CHECK(address_eq(router_address(&p->account, 1), &add.router));
    CHECK(address_eq(router_operator(&p->account, 1), &add.operator));
    CHECK_EQ(account_router_remove(&p->account, &remove), VERDICT_ACCEPTED);
    CHECK_EQ(router_find(&p->account, &remove.router), SLOT_NONE);
    CHECK_EQ(account_router_remove(&p->account, &remove), VERDICT_ROUTER_UNKNOWN);
    CHECK_EQ(parts_event(p, EVENT_ROUTER_CHANGED)->router_changed.state, ROUTER_REMOVED);
}

TEST(router, finds_its_tables_full)
{
    struct parts *p = parts_open();
    for (uint32_t i = 1; i < ROUTERS_MAX; i++) {
        struct cmd_router_add add = {test_address('R', i), test_address('Q', 0)};
        if (!account_has_room(&p->account, 2)) {
            CHECK_EQ(account_router_add(&p->account, &add), VERDICT_ACCOUNTS_FULL);
            p->account.account_count = 3;  // room again, for the other table
            id_map_clear(&p->account.by_address);
        }
        CHECK_EQ(account_router_add(&p->account, &add), VERDICT_ACCEPTED);
    }
    struct cmd_router_add add = {test_address('R', 99), test_address('Q', 0)};
    CHECK_EQ(account_router_add(&p->account, &add), VERDICT_ROUTERS_FULL);
}

/* ---- custody ---- */

static struct address custodial_of(struct parts *p, uint32_t key)
{
    struct address account;
    struct hash key_hash = test_hash('k', key);
    account_custodial(router_address(&p->account, 0), &key_hash, &account);
    return account;
}

static struct cmd_key_put custodial_key(struct parts *p, uint32_t key)
{
    return (struct cmd_key_put){custodial_of(p, key), test_hash('k', key), .scopes = SCOPE_INFER};
}

static uint32_t put_key(struct parts *p, const struct cmd_key_put *cmd)
{
    CHECK_EQ(account_key_put(&p->account, cmd, router_address(&p->account, 0)), VERDICT_ACCEPTED);
    return key_find(&p->account, &cmd->key_hash);
}

TEST(custody, is_of_the_router_that_the_address_comes_from)
{
    struct parts *p = parts_open();
    struct cmd_key_put put = custodial_key(p, 1);
    put_key(p, &put);
    uint32_t account = account_find(&p->account, &put.account);
    CHECK_EQ(p->account.account[account].custodian, 0);
    struct command cmd = {.type = COMMAND_WITHDRAW, .withdraw = {put.account, amount_of(1)}};
    CHECK_EQ(account_check_owner(&p->account, &cmd, &put.account), VERDICT_ACCEPTED);
    p->step.router = 1;
    CHECK_EQ(account_check_owner(&p->account, &cmd, &put.account), VERDICT_NOT_AUTHORIZED);
    /* The same key at another router is another account. */
    struct address other = test_address('R', 1), elsewhere;
    account_custodial(&other, &put.key_hash, &elsewhere);
    CHECK(!address_eq(&elsewhere, &put.account));
    CHECK_EQ(account_key_put(&p->account, &(struct cmd_key_put){.account = elsewhere, .key_hash = test_hash('k', 2)},
                             router_address(&p->account, 0)),
             VERDICT_ACCOUNT_UNKNOWN);
}

TEST(custody, binds_a_wallet_once)
{
    struct parts *p = parts_open();
    struct cmd_key_put put = custodial_key(p, 1);
    struct cmd_account_bind bind = {put.account, test_address('w', 1)};
    struct address to, a = alice();
    CHECK_EQ(account_bind(&p->account, &bind), VERDICT_ACCOUNT_UNKNOWN);
    put_key(p, &put);
    uint32_t account = account_find(&p->account, &put.account);
    CHECK(!account_withdraws_to(&p->account, account, &to));
    bind.wallet = (struct address){{0}};
    CHECK_EQ(account_bind(&p->account, &bind), VERDICT_VALUE_INVALID);
    bind.wallet = test_address('w', 1);
    CHECK_EQ(account_bind(&p->account, &bind), VERDICT_ACCEPTED);
    CHECK(account_withdraws_to(&p->account, account, &to) && address_eq(&to, &bind.wallet));
    CHECK_EQ(account_bind(&p->account, &bind), VERDICT_WALLET_BOUND);
    /* A wallet's own account needs no other. */
    account = parts_deposit(p, &a, 1);
    CHECK(account_withdraws_to(&p->account, account, &to) && address_eq(&to, &a));
    bind.account = a;
    CHECK_EQ(account_bind(&p->account, &bind), VERDICT_VALUE_INVALID);
    account_check(&p->account);
}

TEST(account, is_restricted_by_admins)
{
    struct parts *p = parts_open();
    struct address a = alice();
    struct cmd_account_restrict cmd = {a, 1};
    CHECK_EQ(account_restrict(&p->account, &cmd), VERDICT_ACCOUNT_UNKNOWN);
    uint32_t account = parts_deposit(p, &a, 1);
    cmd.restricted = 2;
    CHECK_EQ(account_restrict(&p->account, &cmd), VERDICT_VALUE_INVALID);
    cmd.restricted = 1;
    CHECK_EQ(account_restrict(&p->account, &cmd), VERDICT_ACCEPTED);
    CHECK(account_is_restricted(&p->account, account));
    CHECK_EQ(parts_event(p, EVENT_ACCOUNT_CHANGED)->account_changed.restricted, 1);
    struct cmd_key_put put = {.account = a, .key_hash = test_hash('k', 1)};
    CHECK_EQ(account_key_put(&p->account, &put, router_address(&p->account, 0)), VERDICT_ACCOUNT_RESTRICTED);
    struct cmd_delegate_set delegate = {a, test_address('R', 0), amount_of(1), amount_of(1), 0};
    CHECK_EQ(account_delegate(&p->account, &delegate), VERDICT_ACCOUNT_RESTRICTED);
    struct cmd_account_bind bind = {a, a};
    CHECK_EQ(account_bind(&p->account, &bind), VERDICT_ACCOUNT_RESTRICTED);
    cmd.restricted = 0;
    CHECK_EQ(account_restrict(&p->account, &cmd), VERDICT_ACCEPTED);
    CHECK(!account_is_restricted(&p->account, account));
}

/* ---- keys ---- */

TEST(key, is_put_changed_and_revoked_by_its_account)
{
    struct parts *p = parts_open();
    struct address a = alice(), b = test_address('u', 2), router = test_address('R', 0);
    parts_deposit(p, &a, 1);
    parts_deposit(p, &b, 1);
    struct cmd_key_put put = {a, test_hash('k', 1), .scopes = 16};
    CHECK_EQ(account_key_put(&p->account, &put, &router), VERDICT_VALUE_INVALID);
    put.scopes = SCOPE_INFER | SCOPE_ADMIN;
    uint32_t key = put_key(p, &put);
    CHECK_EQ(key_account(&p->account, key), account_find(&p->account, &a));
    put.model = 7;
    CHECK_EQ(put_key(p, &put), key);
    CHECK_EQ(p->account.key[key].model, 7);
    put.account = b;
    CHECK_EQ(account_key_put(&p->account, &put, &router), VERDICT_KEY_UNKNOWN);
    struct cmd_key_revoke revoke = {b, put.key_hash};
    CHECK_EQ(account_key_revoke(&p->account, &revoke), VERDICT_KEY_UNKNOWN);
    revoke.account = test_address('u', 3);
    CHECK_EQ(account_key_revoke(&p->account, &revoke), VERDICT_ACCOUNT_UNKNOWN);
    revoke.account = put.account = a;
    CHECK_EQ(account_key_revoke(&p->account, &revoke), VERDICT_ACCEPTED);
    CHECK_EQ(parts_event(p, EVENT_KEY_CHANGED)->key_changed.revoked, 1);
    CHECK_EQ(account_key_revoke(&p->account, &revoke), VERDICT_KEY_REVOKED);
    CHECK_EQ(account_key_put(&p->account, &put, &router), VERDICT_KEY_REVOKED);
    put.key_hash = (struct hash){{0}};
    CHECK_EQ(account_key_put(&p->account, &put, &router), VERDICT_VALUE_INVALID);
    for (uint32_t i = 2; i < 4; i++) {
        put.key_hash = test_hash('k', i);
        put_key(p, &put);
    }
    put.key_hash = test_hash('k', 4);
    CHECK_EQ(account_key_put(&p->account, &put, &router), VERDICT_KEYS_FULL);
    account_check(&p->account);
}

TEST(key, is_good_for_what_its_terms_allow)
{
    struct parts *p = parts_open();
    struct cmd_key_put put = custodial_key(p, 1);
    put.expires_ms = 500;
    put.model = 3;
    uint32_t key = put_key(p, &put);
    struct key_use use = {key, 3, 9, amount_of(1)};
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
    use.model = 4;
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_SCOPE);
    use.model = 3;
    put.session = 8;
    put_key(p, &put);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_SCOPE);
    use.session = 8;
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
    put.scopes = SCOPE_ACCOUNT;
    put_key(p, &put);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_SCOPE);
    p->step.now_ms = 500;
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_EXPIRED);
    CHECK_EQ(account_key_revoke(&p->account, &(struct cmd_key_revoke){put.account, put.key_hash}), VERDICT_ACCEPTED);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_REVOKED);
    use.key = SLOT_NONE;
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
}

TEST(key, has_a_budget_a_period)
{
    struct parts *p = parts_open();
    struct cmd_key_put put = custodial_key(p, 1);
    put.budget = amount_of(100);
    put.budget_period_ms = 1000;
    uint32_t key = put_key(p, &put);
    struct key_use use = {key, 0, 0, amount_of(70)};
    p->step.now_ms = 5000;
    key_take(&p->account, &use);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_BUDGET);
    use.amount = amount_of(30);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
    /* What was not used comes back while the period lasts. */
    key_give_back(&p->account, key, amount_of(50), 5000);
    use.amount = amount_of(80);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
    key_take(&p->account, &use);
    p->step.now_ms = 5999;
    use.amount = amount_of(1);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_BUDGET);
    p->step.now_ms = 6000;
    use.amount = amount_of(100);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
    key_take(&p->account, &use);
    /* The next period has begun: what the last one took is history. */
    key_give_back(&p->account, key, amount_of(80), 5000);
    use.amount = amount_of(1);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_BUDGET);
    use.amount = amount_of(UINT64_MAX);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_BUDGET);
    account_check(&p->account);
}

TEST(key, without_a_period_has_its_budget_once)
{
    struct parts *p = parts_open();
    struct cmd_key_put put = custodial_key(p, 1);
    put.budget = amount_of(10);
    uint32_t key = put_key(p, &put);
    struct key_use use = {key, 0, 0, amount_of(10)};
    key_take(&p->account, &use);
    p->step.now_ms = 400 * DAY_MS;
    use.amount = amount_of(1);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_KEY_BUDGET);
}

TEST(key, bounds_tasks_in_flight)
{
    struct parts *p = parts_open();
    struct cmd_key_put put = custodial_key(p, 1);
    put.tasks_in_flight_max = 2;
    uint32_t key = put_key(p, &put);
    struct key_use use = {key, 0, 0, AMOUNT_ZERO};
    key_take(&p->account, &use);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
    key_take(&p->account, &use);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_IN_FLIGHT_LIMIT);
    key_give_back(&p->account, key, AMOUNT_ZERO, 0);
    CHECK_EQ(key_check(&p->account, &use), VERDICT_ACCEPTED);
}

/* ---- delegations ---- */

TEST(delegation, lets_one_router_spend_within_a_day_and_in_total)
{
    struct parts *p = parts_open();
    struct address a = alice();
    struct cmd_delegate_set set = {a, test_address('R', 0), amount_of(100), amount_of(150), 0};
    CHECK_EQ(account_delegate(&p->account, &set), VERDICT_ACCOUNT_UNKNOWN);
    uint32_t account = parts_deposit(p, &a, 1000);
    struct command cmd = {.type = COMMAND_TASK_SUBMIT, .task_submit.payer = a};
    CHECK_EQ(account_check_payer(&p->account, &cmd, &a), VERDICT_NOT_AUTHORIZED);
    CHECK_EQ(account_delegate(&p->account, &set), VERDICT_ACCEPTED);
    CHECK_EQ(account_check_payer(&p->account, &cmd, &a), VERDICT_ACCEPTED);
    CHECK(account_is_delegated(&p->account, &cmd, account));
    CHECK_EQ(account_check_owner(&p->account, &cmd, &a), VERDICT_NOT_AUTHORIZED);

    p->step.now_ms = 5;
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(101)), VERDICT_DELEGATION_SHORT);
    CHECK_EQ(delegation_check(&p->account, account, 1, amount_of(1)), VERDICT_DELEGATION_SHORT);
    delegation_take(&p->account, account, 0, amount_of(100));
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(1)), VERDICT_DELEGATION_SHORT);
    p->step.now_ms = 5 + DAY_MS;
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(50)), VERDICT_ACCEPTED);
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(51)), VERDICT_DELEGATION_SHORT);
    delegation_take(&p->account, account, 0, amount_of(50));
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(1)), VERDICT_DELEGATION_SHORT);
    /* Yesterday's rest counts for the total, not for today. */
    delegation_give_back(&p->account, account, 0, amount_of(60), 5);
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(50)), VERDICT_ACCEPTED);
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(51)), VERDICT_DELEGATION_SHORT);
    account_check(&p->account);
}

TEST(delegation, ends_by_time_and_by_a_total_of_zero)
{
    struct parts *p = parts_open();
    struct address a = alice();
    uint32_t account = parts_deposit(p, &a, 1000);
    struct cmd_delegate_set set = {a, test_address('R', 0), amount_of(10), amount_of(10), 100};
    CHECK_EQ(account_delegate(&p->account, &set), VERDICT_ACCEPTED);
    p->step.now_ms = 99;
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(1)), VERDICT_ACCEPTED);
    p->step.now_ms = 100;
    CHECK_EQ(delegation_check(&p->account, account, 0, amount_of(1)), VERDICT_DELEGATION_SHORT);
    set.expires_ms = 0;
    CHECK_EQ(account_delegate(&p->account, &set), VERDICT_ACCEPTED);
    CHECK_EQ(p->account.delegation_count, 1);
    delegation_take(&p->account, account, 0, amount_of(4));
    set.total_max = AMOUNT_ZERO;
    CHECK_EQ(account_delegate(&p->account, &set), VERDICT_ACCEPTED);
    CHECK_EQ(delegation_check(&p->account, account, 0, AMOUNT_ZERO), VERDICT_DELEGATION_SHORT);
    delegation_give_back(&p->account, account, 0, amount_of(4), 100);
    set.router = test_address('R', 5);
    CHECK_EQ(account_delegate(&p->account, &set), VERDICT_ROUTER_UNKNOWN);
    for (uint32_t i = 2; i < 4; i++) {
        struct address b = test_address('u', i);
        parts_deposit(p, &b, 1);
        set = (struct cmd_delegate_set){b, test_address('R', 0), amount_of(1), amount_of(1), 0};
        CHECK_EQ(account_delegate(&p->account, &set), i == 2 ? VERDICT_ACCEPTED : VERDICT_DELEGATIONS_FULL);
    }
    account_check(&p->account);
}

/* ---- rows ---- */

TEST(account, is_read_back_as_it_was)
{
    struct parts *p = parts_open(), *q = parts_open();
    struct address a = alice();
    struct cmd_key_put put = custodial_key(p, 1);
    parts_deposit(p, &a, 77);
    put_key(p, &put);
    CHECK_EQ(use(p, 3), VERDICT_ACCEPTED);
    struct cmd_delegate_set set = {a, test_address('R', 0), amount_of(10), amount_of(10), 100};
    CHECK_EQ(account_delegate(&p->account, &set), VERDICT_ACCEPTED);
    CHECK_EQ(account_router_heartbeat(&p->account, &(struct cmd_router_heartbeat){1}), VERDICT_ACCEPTED);
    uint8_t bytes[4096];
    struct rows rows;
    struct hash root, read_root;
    rows_init(&rows, ROWS_WRITE);
    bytes_writer_init(&rows.w, bytes, sizeof bytes);
    account_rows(&p->account, &rows);
    CHECK(rows.ok);
    uint32_t size = rows.w.size;
    rows_root(&rows, &root);
    rows_init(&rows, ROWS_READ);
    bytes_reader_init(&rows.r, bytes, size);
    id_map_clear(&q->account.by_address);
    account_rows(&q->account, &rows);
    CHECK(rows.ok && rows.r.left == 0);
    rows_root(&rows, &read_root);
    CHECK(hash_eq(&root, &read_root));
    account_check(&q->account);
    CHECK_EQ(account_balance(&q->account, account_find(&q->account, &a)).credits, 77);
    CHECK_EQ(use(q, 3), VERDICT_NONCE_USED);
}

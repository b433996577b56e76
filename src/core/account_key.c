/* API keys and delegations: who may spend how much of an account without its signature. */
#include "base/assert.h"
#include "base/mem.h"
#include "core/account_parts.h"

#define DAY_MS     (24ull * 60 * 60 * 1000)
#define SCOPES_ALL (SCOPE_INFER | SCOPE_SESSIONS | SCOPE_ACCOUNT | SCOPE_ADMIN)

void account_custodial(const struct address *router, const struct hash *key_hash, struct address *ret_address)
{
    struct keccak k;
    struct hash hash;
    keccak_init(&k);
    keccak_add(&k, "corten/1", 8);
    keccak_add(&k, router->b, sizeof router->b);
    keccak_add(&k, key_hash->b, sizeof key_hash->b);
    keccak_end(&k, &hash);
    memcpy(ret_address->b, hash.b + sizeof hash.b - sizeof ret_address->b, sizeof ret_address->b);
}

uint32_t key_find(const struct account_book *book, const struct hash *hash) { return id_map_find(&book->by_key, hash); }

uint32_t key_account(const struct account_book *book, uint32_t key)
{
    cx_assert(key < book->key_count);
    return book->key[key].account;
}

static void tell_key(struct account_book *book, uint32_t key)
{
    struct evt_key_changed *event = &event_add(book->step->out, EVENT_KEY_CHANGED)->key_changed;
    event->account = *account_address(book, book->key[key].account);
    event->key_hash = book->key[key].hash;
    event->revoked = book->key[key].revoked;
}

/* The account of a key that is put: custodial where its address says so, made by its first key. */
static enum verdict put_account(struct account_book *book, const struct cmd_key_put *cmd, const struct address *author,
                                uint32_t *ret_account)
{
    struct address custodial;
    account_custodial(author, &cmd->key_hash, &custodial);
    bool is_custodial = address_eq(&custodial, &cmd->account);
    uint32_t account = account_find(book, &cmd->account);
    if (account == SLOT_NONE && !is_custodial)
        return VERDICT_ACCOUNT_UNKNOWN;
    enum verdict verdict = account_ensure(book, &cmd->account, &account);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (is_custodial)
        book->account[account].custodian = book->step->router;
    *ret_account = account;
    return VERDICT_ACCEPTED;
}

static enum verdict check_key_put(const struct account_book *book, const struct cmd_key_put *cmd)
{
    uint32_t account = account_find(book, &cmd->account), key = key_find(book, &cmd->key_hash);
    if (account != SLOT_NONE && account_is_restricted(book, account))
        return VERDICT_ACCOUNT_RESTRICTED;
    if (cmd->scopes & ~(uint32_t)SCOPES_ALL || hash_is_zero(&cmd->key_hash))
        return VERDICT_VALUE_INVALID;
    if (key != SLOT_NONE && book->key[key].account != account)
        return VERDICT_KEY_UNKNOWN;
    if (key != SLOT_NONE && book->key[key].revoked)
        return VERDICT_KEY_REVOKED;
    if (key == SLOT_NONE && book->key_count == book->key_cap)
        return VERDICT_KEYS_FULL;
    return VERDICT_ACCEPTED;
}

enum verdict account_key_put(struct account_book *book, const struct cmd_key_put *cmd, const struct address *author)
{
    uint32_t account, key = key_find(book, &cmd->key_hash);
    enum verdict verdict = check_key_put(book, cmd);
    if (verdict == VERDICT_ACCEPTED)
        verdict = put_account(book, cmd, author, &account);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (key == SLOT_NONE) {
        key = book->key_count++;
        book->key[key] = (struct api_key){.hash = cmd->key_hash, .account = account};
        id_map_add(&book->by_key, key);
    }
    struct api_key *k = &book->key[key];
    k->scopes = cmd->scopes;
    k->model = cmd->model;
    k->session = cmd->session;
    k->budget = cmd->budget;
    k->budget_period_ms = cmd->budget_period_ms;
    k->in_flight_max = cmd->tasks_in_flight_max;
    k->expires_ms = cmd->expires_ms;
    tell_key(book, key);
    return VERDICT_ACCEPTED;
}

enum verdict account_key_revoke(struct account_book *book, const struct cmd_key_revoke *cmd)
{
    uint32_t account = account_find(book, &cmd->account), key = key_find(book, &cmd->key_hash);
    if (account == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    if (key == SLOT_NONE || book->key[key].account != account)
        return VERDICT_KEY_UNKNOWN;
    if (book->key[key].revoked)
        return VERDICT_KEY_REVOKED;
    book->key[key].revoked = true;
    tell_key(book, key);
    return VERDICT_ACCEPTED;
}

/* ---- a key in use ---- */

/* A period of 0 never ends: the budget is for once. */
static bool period_is_over(const struct account_book *book, const struct api_key *k)
{
    return k->budget_period_ms > 0 && book->step->now_ms >= u64_add_sat(k->period_ms, k->budget_period_ms);
}

enum verdict key_check(const struct account_book *book, const struct key_use *use)
{
    if (use->key == SLOT_NONE)
        return VERDICT_ACCEPTED;
    cx_assert(use->key < book->key_count);
    const struct api_key *k = &book->key[use->key];
    if (k->revoked)
        return VERDICT_KEY_REVOKED;
    if (k->expires_ms != 0 && book->step->now_ms >= k->expires_ms)
        return VERDICT_KEY_EXPIRED;
    if (!(k->scopes & SCOPE_INFER) || (k->model != 0 && k->model != use->model) ||
        (k->session != 0 && k->session != use->session))
        return VERDICT_KEY_SCOPE;
    if (k->in_flight_max > 0 && k->in_flight >= k->in_flight_max)
        return VERDICT_IN_FLIGHT_LIMIT;
    struct amount spent = period_is_over(book, k) ? AMOUNT_ZERO : k->spent, after;
    if (!amount_add(spent, use->amount, &after) || (!amount_is_zero(k->budget) && amount_less(k->budget, after)))
        return VERDICT_KEY_BUDGET;
    return VERDICT_ACCEPTED;
}

void key_take(struct account_book *book, const struct key_use *use)
{
    if (use->key == SLOT_NONE)
        return;
    cx_assert(use->key < book->key_count);
    struct api_key *k = &book->key[use->key];
    if (period_is_over(book, k) || amount_is_zero(k->spent)) {
        k->spent = AMOUNT_ZERO;
        k->period_ms = book->step->now_ms;
    }
    bool fits = amount_add(k->spent, use->amount, &k->spent);
    cx_assert(fits);
    k->in_flight++;
}

void key_give_back(struct account_book *book, uint32_t key, struct amount unused, uint64_t taken_ms)
{
    if (key == SLOT_NONE)
        return;
    cx_assert(key < book->key_count);
    struct api_key *k = &book->key[key];
    cx_assert(k->in_flight > 0);
    k->in_flight--;
    if (taken_ms < k->period_ms)
        return;
    bool covered = amount_sub(k->spent, amount_min(unused, k->spent), &k->spent);
    cx_assert(covered);
}

/* ---- delegations ---- */

static uint32_t delegation_row(const struct account_book *book, uint32_t account, uint32_t router)
{
    uint32_t name[2] = {account, router};
    static_assert(sizeof name == DELEGATION_NAME_SIZE, "the key of by_delegation");
    return id_map_find(&book->by_delegation, name);
}

uint32_t delegation_find(const struct account_book *book, uint32_t account, uint32_t router)
{
    uint32_t at = delegation_row(book, account, router);
    if (at == SLOT_NONE || amount_is_zero(book->delegation[at].total_max))
        return SLOT_NONE;
    uint64_t expires_ms = book->delegation[at].expires_ms;
    return expires_ms != 0 && book->step->now_ms >= expires_ms ? SLOT_NONE : at;
}

enum verdict account_delegate(struct account_book *book, const struct cmd_delegate_set *cmd)
{
    uint32_t account = account_find(book, &cmd->account), router = router_find(book, &cmd->router);
    if (account == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    if (account_is_restricted(book, account))
        return VERDICT_ACCOUNT_RESTRICTED;
    if (router == SLOT_NONE)
        return VERDICT_ROUTER_UNKNOWN;
    uint32_t at = delegation_row(book, account, router);
    bool is_new = at == SLOT_NONE;
    if (is_new && book->delegation_count == book->delegation_cap)
        return VERDICT_DELEGATIONS_FULL;
    if (is_new)
        at = book->delegation_count++;
    /* New terms begin afresh: what was spent under the old ones is spent. */
    book->delegation[at] = (struct delegation){
        .account = account,
        .router = router,
        .day_max = cmd->day_max,
        .total_max = cmd->total_max,
        .expires_ms = cmd->expires_ms,
    };
    if (is_new)
        id_map_add(&book->by_delegation, at);
    account_tell(book, account);
    return VERDICT_ACCEPTED;
}

static bool day_is_over(const struct account_book *book, const struct delegation *d)
{
    return book->step->now_ms - d->day_ms >= DAY_MS;
}

enum verdict delegation_check(const struct account_book *book, uint32_t account, uint32_t router, struct amount amount)
{
    uint32_t at = delegation_find(book, account, router);
    if (at == SLOT_NONE)
        return VERDICT_DELEGATION_SHORT;
    const struct delegation *d = &book->delegation[at];
    struct amount day, total;
    if (!amount_add(day_is_over(book, d) ? AMOUNT_ZERO : d->day_spent, amount, &day) || amount_less(d->day_max, day))
        return VERDICT_DELEGATION_SHORT;
    if (!amount_add(d->total_spent, amount, &total) || amount_less(d->total_max, total))
        return VERDICT_DELEGATION_SHORT;
    return VERDICT_ACCEPTED;
}

void delegation_take(struct account_book *book, uint32_t account, uint32_t router, struct amount amount)
{
    uint32_t at = delegation_find(book, account, router);
    cx_assert(at != SLOT_NONE);
    struct delegation *d = &book->delegation[at];
    if (day_is_over(book, d) || amount_is_zero(d->day_spent)) {
        d->day_spent = AMOUNT_ZERO;
        d->day_ms = book->step->now_ms;
    }
    bool fits = amount_add(d->day_spent, amount, &d->day_spent);
    cx_assert(fits);
    fits = amount_add(d->total_spent, amount, &d->total_spent);
    cx_assert(fits);
}

void delegation_give_back(struct account_book *book, uint32_t account, uint32_t router, struct amount unused,
                          uint64_t taken_ms)
{
    uint32_t at = delegation_row(book, account, router);
    cx_assert(at != SLOT_NONE);
    struct delegation *d = &book->delegation[at];
    bool covered = amount_sub(d->total_spent, amount_min(unused, d->total_spent), &d->total_spent);
    cx_assert(covered);
    if (taken_ms < d->day_ms)
        return;
    covered = amount_sub(d->day_spent, amount_min(unused, d->day_spent), &d->day_spent);
    cx_assert(covered);
}

/* ---- rows ---- */

static void key_table(struct account_book *book, struct rows *rows)
{
    rows_table(rows, &book->key_count, book->key_cap);
    for (uint32_t i = 0; i < book->key_count; i++) {
        struct api_key *k = &book->key[i];
        row_bytes(rows, &k->hash, sizeof k->hash);
        row_slot(rows, &k->account, book->account_cap);
        row_u32(rows, &k->scopes);
        row_u64(rows, &k->model);
        row_u64(rows, &k->session);
        row_amount(rows, &k->budget);
        row_amount(rows, &k->spent);
        row_u64(rows, &k->budget_period_ms);
        row_u64(rows, &k->period_ms);
        row_u64(rows, &k->expires_ms);
        row_u32(rows, &k->in_flight);
        row_u32(rows, &k->in_flight_max);
        row_bool(rows, &k->revoked);
        if (rows_reading(rows))
            rows_index(rows, &book->by_key, i, &k->hash);
    }
    rows_table_end(rows);
}

static void delegation_table(struct account_book *book, struct rows *rows)
{
    rows_table(rows, &book->delegation_count, book->delegation_cap);
    for (uint32_t i = 0; i < book->delegation_count; i++) {
        struct delegation *d = &book->delegation[i];
        row_slot(rows, &d->account, book->account_cap);
        row_slot(rows, &d->router, ROUTERS_MAX);
        row_amount(rows, &d->day_max);
        row_amount(rows, &d->total_max);
        row_amount(rows, &d->day_spent);
        row_amount(rows, &d->total_spent);
        row_u64(rows, &d->day_ms);
        row_u64(rows, &d->expires_ms);
        if (rows_reading(rows))
            rows_index(rows, &book->by_delegation, i, d);
    }
    rows_table_end(rows);
}

void account_key_tables(struct account_book *book, struct rows *rows)
{
    key_table(book, rows);
    delegation_table(book, rows);
}

void account_key_check(const struct account_book *book)
{
    for (uint32_t i = 0; i < book->key_count; i++) {
        cx_assert(key_find(book, &book->key[i].hash) == i);
        cx_assert(book->key[i].account < book->account_count);
        cx_assert(book->key[i].period_ms <= book->step->now_ms);
    }
    for (uint32_t i = 0; i < book->delegation_count; i++) {
        const struct delegation *d = &book->delegation[i];
        cx_assert(delegation_row(book, d->account, d->router) == i);
        cx_assert(d->account < book->account_count);
        cx_assert(d->router < book->router_count);
        cx_assert(d->day_ms <= book->step->now_ms);
    }
}

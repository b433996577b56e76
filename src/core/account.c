#include "core/account.h"

#include "base/assert.h"
#include "base/mem.h"
#include "core/account_parts.h"

bool account_init(struct account_book *book, struct arena *arena, struct step *step)
{
    const struct params *params = &step->params;
    memset(book, 0, sizeof *book);
    book->step = step;
    book->account_cap = (uint32_t)params->accounts_cap;
    book->key_cap = (uint32_t)params->keys_cap;
    book->delegation_cap = (uint32_t)params->delegations_cap;
    book->account = arena_take(arena, book->account_cap, sizeof *book->account);
    book->key = arena_take(arena, book->key_cap, sizeof *book->key);
    book->delegation = arena_take(arena, book->delegation_cap, sizeof *book->delegation);
    bool ok = book->account && book->key && book->delegation;
    ok &= id_map_init(&book->by_address, arena, book->account_cap, book->account, sizeof *book->account,
                      sizeof book->account->address);
    ok &= id_map_init(&book->by_key, arena, book->key_cap, book->key, sizeof *book->key, sizeof book->key->hash);
    ok &= id_map_init(&book->by_delegation, arena, book->delegation_cap, book->delegation, sizeof *book->delegation,
                      DELEGATION_NAME_SIZE);
    return ok;
}

uint32_t account_find(const struct account_book *book, const struct address *address)
{
    return id_map_find(&book->by_address, address);
}

void account_expect(const struct account_book *book, const struct address *address, const struct hash *key,
                    enum expect_stage stage)
{
    if (stage == EXPECT_FAR) {
        id_map_expect_place(&book->by_address, address);
        id_map_expect_place(&book->by_key, key);
    } else if (stage == EXPECT_NEAR) {
        id_map_expect_row(&book->by_address, address);
        id_map_expect_row(&book->by_key, key);
    }
}

bool account_has_room(const struct account_book *book, uint32_t more)
{
    return more <= book->account_cap - book->account_count;
}

enum verdict account_ensure(struct account_book *book, const struct address *address, uint32_t *ret_account)
{
    uint32_t account = account_find(book, address);
    if (account == SLOT_NONE) {
        if (!account_has_room(book, 1))
            return VERDICT_ACCOUNTS_FULL;
        account = book->account_count++;
        book->account[account] = (struct account){.address = *address, .custodian = SLOT_NONE};
        id_map_add(&book->by_address, account);
    }
    *ret_account = account;
    return VERDICT_ACCEPTED;
}

const struct account *account_row(const struct account_book *book, uint32_t account)
{
    cx_assert(account < book->account_count);
    return &book->account[account];
}

const struct address *account_address(const struct account_book *book, uint32_t account)
{
    return &account_row(book, account)->address;
}

struct amount account_balance(const struct account_book *book, uint32_t account)
{
    return account_row(book, account)->balance;
}

bool account_is_restricted(const struct account_book *book, uint32_t account)
{
    return account_row(book, account)->restricted;
}

bool account_withdraws_to(const struct account_book *book, uint32_t account, struct address *ret_to)
{
    const struct account *a = account_row(book, account);
    if (a->custodian == SLOT_NONE) {
        *ret_to = a->address;
        return true;
    }
    if (address_is_zero(&a->wallet))
        return false;
    *ret_to = a->wallet;
    return true;
}

void account_credit(struct account_book *book, uint32_t account, struct amount amount)
{
    cx_assert(account < book->account_count);
    bool fits = amount_add(book->total, amount, &book->total);
    cx_assert(fits);
    fits = amount_add(book->account[account].balance, amount, &book->account[account].balance);
    cx_assert(fits);
}

enum verdict account_debit(struct account_book *book, uint32_t account, struct amount amount)
{
    cx_assert(account < book->account_count);
    if (!amount_sub(book->account[account].balance, amount, &book->account[account].balance))
        return VERDICT_BALANCE_SHORT;
    bool covered = amount_sub(book->total, amount, &book->total);
    cx_assert(covered);
    return VERDICT_ACCEPTED;
}

void account_tell(struct account_book *book, uint32_t account)
{
    struct evt_account_changed *event = &event_add(book->step->out, EVENT_ACCOUNT_CHANGED)->account_changed;
    event->account = book->account[account].address;
    event->wallet = book->account[account].wallet;
    event->restricted = book->account[account].restricted;
}

enum verdict account_bind(struct account_book *book, const struct cmd_account_bind *cmd)
{
    uint32_t account = account_find(book, &cmd->account);
    if (account == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    struct account *a = &book->account[account];
    if (a->restricted)
        return VERDICT_ACCOUNT_RESTRICTED;
    if (a->custodian == SLOT_NONE || address_is_zero(&cmd->wallet))
        return VERDICT_VALUE_INVALID;
    if (!address_is_zero(&a->wallet))
        return VERDICT_WALLET_BOUND;
    a->wallet = cmd->wallet;
    account_tell(book, account);
    return VERDICT_ACCEPTED;
}

enum verdict account_restrict(struct account_book *book, const struct cmd_account_restrict *cmd)
{
    uint32_t account = account_find(book, &cmd->account);
    if (account == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    if (cmd->restricted > 1)
        return VERDICT_VALUE_INVALID;
    book->account[account].restricted = cmd->restricted == 1;
    account_tell(book, account);
    return VERDICT_ACCEPTED;
}

/* ---- routers ---- */

static void router_move(struct account_book *book, uint32_t router, enum router_state to)
{
    static const unsigned allowed[ROUTER_STATE_COUNT] = {
        [ROUTER_SILENT] = 1u << ROUTER_PRESENT | 1u << ROUTER_REMOVED,
        [ROUTER_PRESENT] = 1u << ROUTER_SILENT | 1u << ROUTER_REMOVED,
    };
    struct router *r = &book->router[router];
    cx_assert(allowed[r->state] & (1u << to));
    r->state = to;
    account_forget_calm(book);
    struct evt_router_changed *event = &event_add(book->step->out, EVENT_ROUTER_CHANGED)->router_changed;
    event->router = r->address;
    event->state = (uint8_t)to;
}

uint32_t router_find(const struct account_book *book, const struct address *address)
{
    for (uint32_t i = 0; i < book->router_count; i++)
        if (book->router[i].state != ROUTER_REMOVED && address_eq(&book->router[i].address, address))
            return i;
    return SLOT_NONE;
}

bool router_is_present(const struct account_book *book, uint32_t router)
{
    cx_assert(router < book->router_count);
    return book->router[router].state == ROUTER_PRESENT;
}

const struct address *router_address(const struct account_book *book, uint32_t router)
{
    cx_assert(router < book->router_count);
    return &book->router[router].address;
}

const struct address *router_operator(const struct account_book *book, uint32_t router)
{
    cx_assert(router < book->router_count);
    return &book->router[router].operator;
}

/* Routers that are not heard yet are silent: nothing has shown that they live. */
static void router_put(struct account_book *book, const struct address *address, const struct address *whose)
{
    uint32_t account;
    enum verdict verdict = account_ensure(book, address, &account);
    cx_assert(verdict == VERDICT_ACCEPTED);
    verdict = account_ensure(book, whose, &account);
    cx_assert(verdict == VERDICT_ACCEPTED);
    cx_assert(book->router_count < ROUTERS_MAX);
    struct router *r = &book->router[book->router_count++];
    *r = (struct router){*address, *whose, .state = ROUTER_SILENT};
}

enum verdict account_router_add(struct account_book *book, const struct cmd_router_add *cmd)
{
    if (address_is_zero(&cmd->router) || address_is_zero(&cmd->operator))
        return VERDICT_VALUE_INVALID;
    if (router_find(book, &cmd->router) != SLOT_NONE)
        return VERDICT_ROUTER_KNOWN;
    if (book->router_count == ROUTERS_MAX)
        return VERDICT_ROUTERS_FULL;
    if (!account_has_room(book, 2))
        return VERDICT_ACCOUNTS_FULL;
    router_put(book, &cmd->router, &cmd->operator);
    struct evt_router_changed *event = &event_add(book->step->out, EVENT_ROUTER_CHANGED)->router_changed;
    event->router = cmd->router;
    event->state = ROUTER_SILENT;
    return VERDICT_ACCEPTED;
}

enum verdict account_router_remove(struct account_book *book, const struct cmd_router_remove *cmd)
{
    uint32_t router = router_find(book, &cmd->router);
    if (router == SLOT_NONE)
        return VERDICT_ROUTER_UNKNOWN;
    /* The last one could not be brought back: routers alone append. */
    uint32_t members = 0;
    for (uint32_t i = 0; i < book->router_count; i++)
        members += book->router[i].state != ROUTER_REMOVED;
    if (members == 1)
        return VERDICT_VALUE_INVALID;
    router_move(book, router, ROUTER_REMOVED);
    return VERDICT_ACCEPTED;
}

enum verdict account_router_heartbeat(struct account_book *book, const struct cmd_router_heartbeat *cmd)
{
    struct router *r = &book->router[book->step->router];
    if (cmd->epoch < r->epoch)
        return VERDICT_VALUE_INVALID;
    r->epoch = cmd->epoch;
    r->heard_ms = book->step->now_ms;
    if (r->state == ROUTER_SILENT)
        router_move(book, book->step->router, ROUTER_PRESENT);
    return VERDICT_ACCEPTED;
}

void account_router_heard(struct account_book *book)
{
    cx_assert(book->step->router < book->router_count);
    book->router[book->step->router].heard_ms = book->step->now_ms;
}

/* When it is silent if nothing more is heard: behind the last moment of its silent_periods. */
static uint64_t silent_ms(const struct account_book *book, uint32_t router)
{
    const struct params *params = &book->step->params;
    if (book->router[router].state != ROUTER_PRESENT)
        return TIME_NEVER;
    return book->router[router].heard_ms + params->silent_periods * params->heartbeat_ms + 1;
}

static uint32_t first_silent(const struct account_book *book)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < book->router_count; i++)
        if (silent_ms(book, i) < silent_ms(book, first))
            first = i;
    return first;
}

uint64_t account_due_ms(const struct account_book *book)
{
    return book->router_count ? silent_ms(book, first_silent(book)) : TIME_NEVER;
}

void account_find_calm(struct account_book *book) { book->calm_ms = account_due_ms(book); }

void account_sweep(struct account_book *book)
{
    uint32_t router = first_silent(book);
    cx_assert(silent_ms(book, router) <= book->step->now_ms);
    router_move(book, router, ROUTER_SILENT);
}

void account_genesis(struct account_book *book, const struct cmd_genesis *genesis)
{
    cx_assert(book->admin_count == 0);
    cx_assert(book->router_count == 0);
    book->admin_quorum = genesis->admin_quorum;
    book->admin_count = genesis->admins.size / (uint32_t)sizeof(struct address);
    cx_assert(book->admin_count <= ADMINS_MAX);
    for (uint32_t i = 0; i < book->admin_count; i++) {
        uint32_t account;
        memcpy(&book->admin[i], genesis->admins.data + i * sizeof(struct address), sizeof(struct address));
        enum verdict verdict = account_ensure(book, &book->admin[i], &account);
        cx_assert(verdict == VERDICT_ACCEPTED);
    }
    for (uint32_t at = 0; at < genesis->routers.size; at += 2 * (uint32_t)sizeof(struct address)) {
        struct address pair[2];
        memcpy(pair, genesis->routers.data + at, sizeof pair);
        router_put(book, &pair[0], &pair[1]);
    }
}

/* ---- rows ---- */

static void account_table(struct account_book *book, struct rows *rows)
{
    rows_table(rows, &book->account_count, book->account_cap);
    for (uint32_t i = 0; i < book->account_count; i++) {
        struct account *a = &book->account[i];
        row_bytes(rows, &a->address, sizeof a->address);
        row_bytes(rows, &a->wallet, sizeof a->wallet);
        row_amount(rows, &a->balance);
        row_u64(rows, &a->nonce_top);
        row_u64(rows, &a->nonce_seen);
        row_slot(rows, &a->custodian, ROUTERS_MAX);
        row_bool(rows, &a->restricted);
        if (rows_reading(rows))
            rows_index(rows, &book->by_address, i, &a->address);
    }
    rows_table_end(rows);
}

static void router_table(struct account_book *book, struct rows *rows)
{
    rows_table(rows, &book->router_count, ROUTERS_MAX);
    for (uint32_t i = 0; i < book->router_count; i++) {
        struct router *r = &book->router[i];
        row_bytes(rows, &r->address, sizeof r->address);
        row_bytes(rows, &r->operator, sizeof r->operator);
        row_u64(rows, &r->heard_ms);
        row_u64(rows, &r->epoch);
        row_enum(rows, &r->state, ROUTER_STATE_COUNT);
    }
    rows_table_end(rows);
}

void account_rows(struct account_book *book, struct rows *rows)
{
    rows_module(rows, "account");
    account_table(book, rows);
    account_key_tables(book, rows);
    router_table(book, rows);
    rows_table(rows, &book->admin_count, ADMINS_MAX);
    for (uint32_t i = 0; i < book->admin_count; i++)
        row_bytes(rows, &book->admin[i], sizeof book->admin[i]);
    rows_table_end(rows);
    row_u32(rows, &book->admin_quorum);
    row_amount(rows, &book->total);
    rows_module_end(rows);
}

void account_check(const struct account_book *book)
{
    struct amount total = AMOUNT_ZERO;
    cx_assert(book->by_address.count == book->account_count);
    for (uint32_t i = 0; i < book->account_count; i++) {
        const struct account *a = &book->account[i];
        cx_assert(account_find(book, &a->address) == i);
        cx_assert(a->custodian == SLOT_NONE || a->custodian < book->router_count);
        bool fits = amount_add(total, a->balance, &total);
        cx_assert(fits);
        if (!address_is_zero(&a->wallet))
            cx_assert(a->custodian != SLOT_NONE);
    }
    cx_assert(amount_eq(total, book->total));
    cx_assert(book->admin_quorum <= book->admin_count);
    for (uint32_t i = 0; i < book->router_count; i++)
        cx_assert(book->router[i].heard_ms <= book->step->now_ms);
    cx_assert(book->calm_ms <= account_due_ms(book));
    account_key_check(book);
}

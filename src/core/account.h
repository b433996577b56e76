/* account.h - who takes part: accounts with their balances, routers, admins, API keys and delegations.
 *
 * An account exists from the first entry that gives it money or a role. A custodial account's address is derived from a
 * router and a key; only that router acts for it, and its money leaves only to the wallet bound once.
 *
 *      router:  SILENT <-> PRESENT        any -> REMOVED        silent after silent_periods heartbeats missed
 *
 * Shape:  account[accounts_cap], key[keys_cap], delegation[delegations_cap], router[ROUTERS_MAX], admin[ADMINS_MAX].
 *         Other modules hold slots of accounts, keys and routers; none of them is ever given back.
 * Source: docs/protocol.md, "Accounts".
 */
#ifndef CORTEN_CORE_ACCOUNT_H
#define CORTEN_CORE_ACCOUNT_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/id_map.h"
#include "base/prefetch.h"
#include "core/rows.h"
#include "core/step.h"

struct account {
    struct address address;
    struct address wallet;  // bound once; zero: none
    struct amount balance;
    uint64_t nonce_top;   // the highest used
    uint64_t nonce_seen;  // bit i: nonce_top - i was used
    uint32_t custodian;   // slot of the router that acts for it; SLOT_NONE
    bool restricted;
};

struct api_key {
    struct hash hash;  // Keccak-256 of its text
    uint32_t account;
    uint32_t scopes;                       // bits of enum key_scope
    uint64_t model, session;               // 0: any; the default session
    struct amount budget, spent;           // a period; 0: no bound
    uint64_t budget_period_ms, period_ms;  // period_ms: when the present one began
    uint64_t expires_ms;                   // 0: never
    uint32_t in_flight, in_flight_max;     // tasks; 0: no bound
    bool revoked;
};

struct delegation {
    uint32_t account, router;  // its name in by_delegation
    struct amount day_max, total_max, day_spent, total_spent;
    uint64_t day_ms;  // when the present day began
    uint64_t expires_ms;
};

struct router {
    struct address address, operator;
    uint64_t heard_ms, epoch;
    uint32_t state;  // enum router_state
};

struct account_book {
    struct step *step;
    struct account *account;
    struct api_key *key;
    struct delegation *delegation;
    struct router router[ROUTERS_MAX];
    struct address admin[ADMINS_MAX];
    uint32_t account_count, key_count, delegation_count, router_count, admin_count, admin_quorum;
    uint32_t account_cap, key_cap, delegation_cap;
    struct id_map by_address, by_key, by_delegation;
    struct amount total;  // of all balances, kept running
    uint64_t calm_ms;     // no router falls silent before then; a bound, which hearing of one leaves as it is
};

/* False where the arena has no room; all is taken from it in any case, so that a counting arena counts. */
bool account_init(struct account_book *book, struct arena *arena, struct step *step);
void account_genesis(struct account_book *book, const struct cmd_genesis *genesis);
void account_rows(struct account_book *book, struct rows *rows);
void account_check(const struct account_book *book);
uint64_t account_due_ms(const struct account_book *book);
void account_sweep(struct account_book *book);  // one router that fell silent
/* Whether account_due_ms may have come: false is certain, and costs one comparison. True finds a new bound. */
void account_find_calm(struct account_book *book);
static inline bool account_may_be_due(struct account_book *book)
{
    if (book->step->now_ms < book->calm_ms)
        return false;
    account_find_calm(book);
    return book->step->now_ms >= book->calm_ms;
}
/* Parameters changed: the bound is not known any more. */
static inline void account_forget_calm(struct account_book *book) { book->calm_ms = 0; }

/* SLOT_NONE: there is none, and that is no error. */
uint32_t account_find(const struct account_book *book, const struct address *address);
/* Asks for the rows of a payer and its key. */
void account_expect(const struct account_book *book, const struct address *address, const struct hash *key,
                    enum expect_stage stage);
/* Asks for an account's row. */
static inline void account_expect_row(const struct account_book *book, uint32_t account)
{
    if (account < book->account_count)
        cx_prefetch(&book->account[account], sizeof *book->account);
}
/* Finds or makes it. Refused: ACCOUNTS_FULL. */
enum verdict account_ensure(struct account_book *book, const struct address *address, uint32_t *ret_account);
/* Whether account_ensure of `more` new accounts would be refused: for checks before changes. */
bool account_has_room(const struct account_book *book, uint32_t more);
const struct address *account_address(const struct account_book *book, uint32_t account);
struct amount account_balance(const struct account_book *book, uint32_t account);
bool account_is_restricted(const struct account_book *book, uint32_t account);
/* Money never vanishes: the total of all balances is bounded by the deposits, which payment keeps in range. */
void account_credit(struct account_book *book, uint32_t account, struct amount amount);
/* Refused: BALANCE_SHORT; then nothing has changed. */
enum verdict account_debit(struct account_book *book, uint32_t account, struct amount amount);
/* Where its money leaves to: its own address, or the wallet of a custodial account; false where none is bound. */
bool account_withdraws_to(const struct account_book *book, uint32_t account, struct address *ret_to);
/* The address of the custodial account that `router` keeps for the key with this hash. */
void account_custodial(const struct address *router, const struct hash *key_hash, struct address *ret_address);

/* Who may act: docs/protocol.md, "Authority". None of these changes anything.
 * Of an entry's signatures: SIGNATURE_BAD, COMMAND_EXPIRED. */
enum verdict account_check_signatures(const struct account_book *book, const struct command *cmd);
bool account_signed_by(const struct command *cmd, const struct address *address);
/* Over `account`, signed by it, or unsigned by the word of the router that has custody: ACCOUNT_UNKNOWN,
 * NOT_AUTHORIZED. */
enum verdict account_check_owner(const struct account_book *book, const struct command *cmd,
                                 const struct address *account);
/* The same, where a router may act by a wallet's delegation too. */
enum verdict account_check_payer(const struct account_book *book, const struct command *cmd,
                                 const struct address *account);
/* Whether the appending router acts for the account by a delegation, so that its bounds hold. */
bool account_is_delegated(const struct account_book *book, const struct command *cmd, uint32_t account);
enum verdict account_check_admins(const struct account_book *book, const struct command *cmd);
bool account_is_admin(const struct account_book *book, const struct address *address);

/* Nonces. Whose they are depends on the authority: of the account or node that the command names first, of every admin
 * that signed, of the oracle. Refused: NONCE_USED; ACCOUNTS_FULL where a signer has no account and may get none. */
enum verdict account_check_nonce(const struct account_book *book, const struct command *cmd);
/* Uses it up: once the checks above held, whatever the module said. Who has no account gets one only by a command that
 * was accepted, so that nobody fills the table with refusals. */
void account_use_nonce(struct account_book *book, const struct command *cmd, bool accepted);
/* The least number above those used. */
uint64_t account_nonce_next(const struct account_book *book, uint32_t account);

/* Commands. */
enum verdict account_bind(struct account_book *book, const struct cmd_account_bind *cmd);
enum verdict account_restrict(struct account_book *book, const struct cmd_account_restrict *cmd);
enum verdict account_key_put(struct account_book *book, const struct cmd_key_put *cmd, const struct address *author);
enum verdict account_key_revoke(struct account_book *book, const struct cmd_key_revoke *cmd);
enum verdict account_delegate(struct account_book *book, const struct cmd_delegate_set *cmd);
enum verdict account_router_add(struct account_book *book, const struct cmd_router_add *cmd);
enum verdict account_router_remove(struct account_book *book, const struct cmd_router_remove *cmd);
enum verdict account_router_heartbeat(struct account_book *book, const struct cmd_router_heartbeat *cmd);
/* The present entry's router lives: it has just appended. */
void account_router_heard(struct account_book *book);

/* Routers, by slot: all there ever were lie below this. */
static inline uint32_t routers_used(const struct account_book *book) { return book->router_count; }
uint32_t router_find(const struct account_book *book, const struct address *address);  // not REMOVED; or SLOT_NONE
bool router_is_present(const struct account_book *book, uint32_t router);
const struct address *router_address(const struct account_book *book, uint32_t router);
const struct address *router_operator(const struct account_book *book, uint32_t router);

/* Keys. A task takes from its key's budget and in-flight count when it is submitted, and gives back what it did not
 * use when it ends. */
struct key_use {
    uint32_t key;  // SLOT_NONE: no key
    uint64_t model, session;
    struct amount amount;
};
uint32_t key_find(const struct account_book *book, const struct hash *hash);
uint32_t key_account(const struct account_book *book, uint32_t key);
/* A key with a session is good for that one alone. Refused: KEY_REVOKED, KEY_EXPIRED, KEY_SCOPE, IN_FLIGHT_LIMIT,
 * KEY_BUDGET. */
enum verdict key_check(const struct account_book *book, const struct key_use *use);
void key_take(struct account_book *book, const struct key_use *use);
/* The task of this key has ended: `unused` of what it took comes back, if the period is still the same. */
void key_give_back(struct account_book *book, uint32_t key, struct amount unused, uint64_t taken_ms);

/* Whether the appending router may spend `amount` of a wallet by its delegation, and spending it.
 * Refused: DELEGATION_SHORT. */
enum verdict delegation_check(const struct account_book *book, uint32_t account, uint32_t router, struct amount amount);
void delegation_take(struct account_book *book, uint32_t account, uint32_t router, struct amount amount);
void delegation_give_back(struct account_book *book, uint32_t account, uint32_t router, struct amount unused,
                          uint64_t taken_ms);

#endif

/* Who signed, who may act for whom, and which nonces are used. */
#include "base/assert.h"
#include "base/mem.h"
#include "core/account_parts.h"

enum verdict account_check_signatures(const struct account_book *book, const struct command *cmd)
{
    for (uint32_t i = 0; i < cmd->signer_count; i++)
        if (address_is_zero(&cmd->signer[i]))
            return VERDICT_SIGNATURE_BAD;
    if (cmd->signer_count > 0 && cmd->valid_until_ms != 0 && book->step->ledger_ms > cmd->valid_until_ms)
        return VERDICT_COMMAND_EXPIRED;
    return VERDICT_ACCEPTED;
}

bool account_signed_by(const struct command *cmd, const struct address *address)
{
    for (uint32_t i = 0; i < cmd->signer_count; i++)
        if (address_eq(&cmd->signer[i], address))
            return true;
    return false;
}

enum verdict account_check_owner(const struct account_book *book, const struct command *cmd,
                                 const struct address *account)
{
    uint32_t slot = account_find(book, account);
    if (slot == SLOT_NONE)
        return VERDICT_ACCOUNT_UNKNOWN;
    if (cmd->signer_count > 0)
        return account_signed_by(cmd, account) ? VERDICT_ACCEPTED : VERDICT_NOT_AUTHORIZED;
    uint32_t custodian = account_row(book, slot)->custodian;
    return custodian != SLOT_NONE && custodian == book->step->router ? VERDICT_ACCEPTED : VERDICT_NOT_AUTHORIZED;
}

bool account_is_delegated(const struct account_book *book, const struct command *cmd, uint32_t account)
{
    return cmd->signer_count == 0 && account_row(book, account)->custodian != book->step->router;
}

enum verdict account_check_payer(const struct account_book *book, const struct command *cmd,
                                 const struct address *account)
{
    enum verdict verdict = account_check_owner(book, cmd, account);
    if (verdict != VERDICT_NOT_AUTHORIZED || cmd->signer_count > 0)
        return verdict;
    uint32_t delegation = delegation_find(book, account_find(book, account), book->step->router);
    return delegation == SLOT_NONE ? VERDICT_NOT_AUTHORIZED : VERDICT_ACCEPTED;
}

bool account_is_admin(const struct account_book *book, const struct address *address)
{
    for (uint32_t i = 0; i < book->admin_count; i++)
        if (address_eq(&book->admin[i], address))
            return true;
    return false;
}

enum verdict account_check_admins(const struct account_book *book, const struct command *cmd)
{
    uint32_t signed_by = 0;
    for (uint32_t i = 0; i < book->admin_count; i++)
        signed_by += account_signed_by(cmd, &book->admin[i]);
    return signed_by < book->admin_quorum ? VERDICT_QUORUM_SHORT : VERDICT_ACCEPTED;
}

/* ---- nonces ---- */

/* Whose nonces the command uses. All are covered by its signatures, so that leaving one out or changing their order
 * makes no new command of it. */
static uint32_t nonce_owners(const struct account_book *book, const struct command *cmd,
                             const struct address *ret_owner[SIGNATURES_MAX])
{
    const struct command_info *info = command_find(cmd->type);
    if (info->replay == REPLAY_SAFE || cmd->signer_count == 0)
        return 0;
    uint32_t count = 0;
    switch (info->authority) {
    case AUTHORITY_OWNER:
    case AUTHORITY_PAYER:
    case AUTHORITY_NODE:
        cx_assert(info->fields.field[0].type == FIELD_address && info->fields.field[0].offset == 0);
        ret_owner[count++] = (const struct address *)(const void *)&cmd->genesis;
        break;
    case AUTHORITY_ADMIN:
        for (uint32_t i = 0; i < book->admin_count; i++)
            if (account_signed_by(cmd, &book->admin[i]))
                ret_owner[count++] = &book->admin[i];
        break;
    case AUTHORITY_ORACLE:
    case AUTHORITY_LEADER:
    case AUTHORITY_LEASE: ret_owner[count++] = &cmd->signer[0]; break;
    case AUTHORITY_GENESIS:
    case AUTHORITY_ROUTER: break;
    }
    return count;
}

static bool nonce_is_used(const struct account *a, uint64_t nonce)
{
    if (nonce > a->nonce_top)
        return false;
    uint64_t below = a->nonce_top - nonce;
    return below >= NONCE_WINDOW || (a->nonce_seen >> below & 1);
}

static void use_nonce(struct account *a, uint64_t nonce)
{
    cx_assert(!nonce_is_used(a, nonce));
    if (nonce > a->nonce_top) {
        uint64_t up = nonce - a->nonce_top;
        a->nonce_seen = up < NONCE_WINDOW ? a->nonce_seen << up : 0;
        a->nonce_top = nonce;
    }
    a->nonce_seen |= 1ull << (a->nonce_top - nonce);
}

enum verdict account_check_nonce(const struct account_book *book, const struct command *cmd)
{
    const struct address *owner[SIGNATURES_MAX];
    uint32_t count = nonce_owners(book, cmd, owner), strangers = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t account = account_find(book, owner[i]);
        if (account == SLOT_NONE)
            strangers++;
        else if (nonce_is_used(account_row(book, account), cmd->nonce))
            return VERDICT_NONCE_USED;
    }
    /* One more than they need: registration makes an account for the operator too. */
    return strangers > 0 && !account_has_room(book, strangers + 1) ? VERDICT_ACCOUNTS_FULL : VERDICT_ACCEPTED;
}

void account_use_nonce(struct account_book *book, const struct command *cmd, bool accepted)
{
    const struct address *owner[SIGNATURES_MAX];
    uint32_t count = nonce_owners(book, cmd, owner);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t account = account_find(book, owner[i]);
        if (account == SLOT_NONE) {
            if (!accepted)
                continue;
            enum verdict verdict = account_ensure(book, owner[i], &account);
            cx_assert(verdict == VERDICT_ACCEPTED);
        }
        use_nonce(&book->account[account], cmd->nonce);
    }
}

uint64_t account_nonce_next(const struct account_book *book, uint32_t account)
{
    const struct account *a = account_row(book, account);
    return a->nonce_seen == 0 ? 0 : u64_add_sat(a->nonce_top, 1);
}

/* Who may author which command. Source: docs/protocol.md, "Authority". */
#include "base/assert.h"
#include "core/core_parts.h"

/* OWNER, PAYER and NODE commands name first whom they are of. */
static const struct address *named(const struct command *cmd)
{
    return (const struct address *)(const void *)&cmd->genesis;
}

/* What a router may do unsigned for an account that custody does not reach: the first key of a custodial account, whose
 * address proves itself; and its own shared sessions. */
static bool is_routers_own(const struct core *core, const struct command *cmd)
{
    const struct address *router = router_address(&core->account, core->step.router);
    struct address custodial;
    if (cmd->signer_count > 0)
        return false;
    if (cmd->type == COMMAND_KEY_PUT) {
        account_custodial(router, &cmd->key_put.key_hash, &custodial);
        return address_eq(&custodial, &cmd->key_put.account);
    }
    bool is_session =
        (cmd->type == COMMAND_SESSION_OPEN && cmd->session_open.shared == 1) || cmd->type == COMMAND_SESSION_CLOSE;
    return is_session && address_eq(router, named(cmd));
}

static enum verdict check_node(const struct command *cmd)
{
    if (!account_signed_by(cmd, named(cmd)))
        return VERDICT_NOT_AUTHORIZED;
    if (cmd->type == COMMAND_NODE_REGISTER && !account_signed_by(cmd, &cmd->node_register.operator))
        return VERDICT_NOT_AUTHORIZED;
    return VERDICT_ACCEPTED;
}

/* A lease that is not live has no holder: its module refuses it by that name. */
static enum verdict check_task_lease(const struct core *core, const struct command *cmd)
{
    struct lease_holder holder;
    if (!session_queue_holder(&core->session_queue, cmd->task_precommit.lease, &holder))
        return VERDICT_ACCEPTED;
    bool may = cmd->signer_count > 0 ? account_signed_by(cmd, &node_pool_node(&core->node_pool, holder.node)->address)
                                     : holder.evidence == EVIDENCE_CHANNEL && holder.router == core->step.router;
    return may ? VERDICT_ACCEPTED : VERDICT_NOT_AUTHORIZED;
}

static enum verdict check_round_lease(const struct core *core, const struct command *cmd)
{
    uint32_t node = round_lease_node(&core->cognitive, cmd->round_precommit.lease);
    if (node == SLOT_NONE)
        return VERDICT_ACCEPTED;
    return account_signed_by(cmd, &node_pool_node(&core->node_pool, node)->address) ? VERDICT_ACCEPTED
                                                                                    : VERDICT_NOT_AUTHORIZED;
}

static enum verdict check_oracle(const struct core *core, const struct command *cmd, uint32_t *ret_oracle)
{
    uint32_t oracle = cmd->signer_count > 0 ? oracle_find(&core->cognitive, &cmd->signer[0]) : SLOT_NONE;
    if (oracle == SLOT_NONE)
        return VERDICT_ORACLE_UNKNOWN;
    *ret_oracle = oracle;
    return VERDICT_ACCEPTED;
}

static enum verdict check_leader(const struct core *core, const struct command *cmd, uint32_t *ret_oracle)
{
    uint32_t oracle;
    enum verdict verdict = check_oracle(core, cmd, &oracle);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (oracle != oracle_leader(&core->cognitive))
        return VERDICT_NOT_LEADER;
    *ret_oracle = oracle;
    return VERDICT_ACCEPTED;
}

static enum verdict check_authority(const struct core *core, const struct command *cmd, uint32_t *ret_oracle)
{
    switch (command_find((uint32_t)cmd->type)->authority) {
    case AUTHORITY_GENESIS: return VERDICT_GENESIS_AGAIN;
    case AUTHORITY_ROUTER: return VERDICT_ACCEPTED;
    case AUTHORITY_OWNER:
        if (is_routers_own(core, cmd))
            return VERDICT_ACCEPTED;
        return account_check_owner(&core->account, cmd, named(cmd));
    case AUTHORITY_PAYER: return account_check_payer(&core->account, cmd, named(cmd));
    case AUTHORITY_NODE: return check_node(cmd);
    case AUTHORITY_LEASE:
        return cmd->type == COMMAND_TASK_PRECOMMIT ? check_task_lease(core, cmd) : check_round_lease(core, cmd);
    case AUTHORITY_ORACLE: return check_oracle(core, cmd, ret_oracle);
    case AUTHORITY_LEADER: return check_leader(core, cmd, ret_oracle);
    case AUTHORITY_ADMIN: return account_check_admins(&core->account, cmd);
    }
    return VERDICT_NOT_AUTHORIZED;
}

enum verdict core_authorize(const struct core *core, const struct command *cmd, uint32_t *ret_oracle)
{
    *ret_oracle = SLOT_NONE;
    if (cmd->type == COMMAND_GENESIS)
        return VERDICT_GENESIS_AGAIN;
    if (core->step.router == SLOT_NONE)
        return VERDICT_AUTHOR_UNKNOWN;
    enum verdict verdict = account_check_signatures(&core->account, cmd);
    if (verdict == VERDICT_ACCEPTED)
        verdict = check_authority(core, cmd, ret_oracle);
    if (verdict == VERDICT_ACCEPTED)
        verdict = account_check_nonce(&core->account, cmd);
    return verdict;
}

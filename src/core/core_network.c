/* How a network begins, and how its parameters and rules change. */
#include "base/assert.h"
#include "base/mem.h"
#include "core/core_parts.h"

#define ADDRESS_SIZE ((uint32_t)sizeof(struct address))
#define ORACLE_SIZE  (2 * ADDRESS_SIZE + (uint32_t)sizeof(struct hash))  // address, operator, end of the chain
#define ROUTER_SIZE  (2 * ADDRESS_SIZE)                                  // address, operator
/* Each admin one, each oracle and router two. */
#define FOUNDERS_MAX (ADMINS_MAX + 2 * ORACLES_MAX + 2 * ROUTERS_MAX)

void core_genesis_digest(const struct cmd_genesis *genesis, struct hash *ret_digest)
{
    uint8_t bytes[ENTRY_SIZE_MAX];
    struct bytes_writer w;
    bytes_writer_init(&w, bytes, sizeof bytes);
    fields_encode(command_find(COMMAND_GENESIS)->fields, genesis, &w);
    cx_assert(w.ok);
    keccak256(bytes, w.size, ret_digest);
}

/* Rows of `size` bytes that begin with an address: whole, `min` to `max` of them, no address zero or twice. */
static bool are_members(struct span rows, uint32_t size, uint32_t min, uint32_t max)
{
    if (rows.size % size != 0 || rows.size / size < min || rows.size / size > max)
        return false;
    for (uint32_t at = 0; at < rows.size; at += size) {
        struct address a;
        memcpy(&a, rows.data + at, sizeof a);
        if (address_is_zero(&a))
            return false;
        for (uint32_t other = 0; other < at; other += size)
            if (memcmp(rows.data + other, a.b, sizeof a.b) == 0)
                return false;
    }
    return true;
}

/* Adds the addresses at the head of each row that are not in `founder` yet. */
static bool add_founders(struct span rows, uint32_t size, uint32_t addresses, struct address *founder, uint32_t *count)
{
    for (uint32_t at = 0; at < rows.size; at += size)
        for (uint32_t n = 0; n < addresses; n++) {
            struct address a;
            memcpy(&a, rows.data + at + n * ADDRESS_SIZE, sizeof a);
            if (address_is_zero(&a))
                return false;
            uint32_t i = 0;
            while (i < *count && !address_eq(&founder[i], &a))
                i++;
            founder[i] = a;
            *count = u32_max(*count, i + 1);
        }
    return true;
}

/* No oracle begins with a chain of nothing: cognitive_genesis would refuse it, halfway through the list. */
static bool have_chains(struct span oracles)
{
    for (uint32_t at = 0; at < oracles.size; at += ORACLE_SIZE) {
        struct hash end;
        memcpy(&end, oracles.data + at + 2 * ADDRESS_SIZE, sizeof end);
        if (hash_is_zero(&end))
            return false;
    }
    return true;
}

enum verdict core_check_genesis(const struct cmd_genesis *genesis)
{
    struct params params;
    struct address founder[FOUNDERS_MAX];
    uint32_t founders = 0;
    if (genesis->rules_version != RULES_VERSION)
        return VERDICT_RULES_UNKNOWN;
    if (!are_members(genesis->admins, ADDRESS_SIZE, 1, ADMINS_MAX) ||
        !are_members(genesis->oracles, ORACLE_SIZE, 0, ORACLES_MAX) || !have_chains(genesis->oracles) ||
        !are_members(genesis->routers, ROUTER_SIZE, 1, ROUTERS_MAX))
        return VERDICT_VALUE_INVALID;
    if (genesis->admin_quorum == 0 || genesis->admin_quorum > genesis->admins.size / ADDRESS_SIZE)
        return VERDICT_VALUE_INVALID;
    if (genesis->oracle_quorum == 0 || genesis->oracle_quorum > ORACLES_MAX)
        return VERDICT_VALUE_INVALID;
    if (!add_founders(genesis->admins, ADDRESS_SIZE, 1, founder, &founders) ||
        !add_founders(genesis->oracles, ORACLE_SIZE, 2, founder, &founders) ||
        !add_founders(genesis->routers, ROUTER_SIZE, 2, founder, &founders))
        return VERDICT_VALUE_INVALID;
    params_default(&params);
    enum verdict verdict = params_read(&params, genesis->params);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    return founders > params.accounts_cap ? VERDICT_ACCOUNTS_FULL : VERDICT_ACCEPTED;
}

enum verdict core_begin(struct core *core, const struct cmd_genesis *genesis)
{
    struct hash digest;
    core_genesis_digest(genesis, &digest);
    if (!hash_eq(&digest, &core->genesis))
        return VERDICT_VALUE_INVALID;
    enum verdict verdict = cognitive_genesis(&core->cognitive, genesis);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    account_genesis(&core->account, genesis);
    core->begun = true;
    struct evt_network_opened *event = &event_add(core->step.out, EVENT_NETWORK_OPENED)->network_opened;
    event->network_id = genesis->network_id;
    event->rules_version = genesis->rules_version;
    return VERDICT_ACCEPTED;
}

/* ---- changes ---- */

static void change(struct core *core, const struct pending_change *change)
{
    if (change->param == 0) {
        core->step.rules_version = (uint32_t)change->value;
        event_add(core->step.out, EVENT_RULES_CHANGED)->rules_changed.rules_version = (uint32_t)change->value;
        return;
    }
    enum verdict verdict = param_set(&core->step.params, change->param, change->value);
    cx_assert(verdict == VERDICT_ACCEPTED);
    account_forget_calm(&core->account);
    cognitive_forget_calm(&core->cognitive);
    struct evt_param_changed *event = &event_add(core->step.out, EVENT_PARAM_CHANGED)->param_changed;
    event->param = change->param;
    event->value = change->value;
}

void core_apply_pending(struct core *core)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < core->pending_count; i++) {
        struct pending_change at = core->pending[i];
        if (at.effective_seq <= core->step.seq)
            change(core, &at);
        else
            core->pending[kept++] = at;
    }
    core->pending_count = kept;
}

/* At once, or when its position comes; in the order in which the admins said so. */
static enum verdict change_at(struct core *core, struct pending_change wish)
{
    if (wish.effective_seq <= core->step.seq) {
        change(core, &wish);
        return VERDICT_ACCEPTED;
    }
    if (core->pending_count == PENDING_CHANGES_MAX)
        return VERDICT_VALUE_INVALID;
    core->pending[core->pending_count++] = wish;
    return VERDICT_ACCEPTED;
}

/* Capacities stay as the genesis set them: a table that grew on some replicas only would be full at different entries.
 */
enum verdict core_params_set(struct core *core, const struct cmd_params_set *cmd)
{
    const struct param_info *info = param_find(cmd->param);
    if (!info)
        return VERDICT_PARAM_UNKNOWN;
    if (cmd->value < info->min || cmd->value > info->max)
        return VERDICT_VALUE_INVALID;
    if (info->id < PARAM_CAPACITY_ID_END && cmd->value != param_get(&core->step.params, info))
        return VERDICT_CAPACITY_SHRINKS;
    return change_at(core, (struct pending_change){cmd->param, cmd->value, cmd->effective_seq});
}

enum verdict core_rules_set(struct core *core, const struct cmd_rules_set *cmd)
{
    if (cmd->rules_version != RULES_VERSION)
        return VERDICT_RULES_UNKNOWN;
    return change_at(core, (struct pending_change){0, cmd->rules_version, cmd->effective_seq});
}

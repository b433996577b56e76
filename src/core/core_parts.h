/* core_parts.h - what the files of core.h share; nobody else includes it. */
#ifndef CORTEN_CORE_CORE_PARTS_H
#define CORTEN_CORE_CORE_PARTS_H

#include "core/core.h"

/* Whether its authors may author the command: docs/protocol.md, "Authority"; then its nonce. ret_oracle: the slot of
 * the oracle that signed, SLOT_NONE for commands that are not an oracle's. Changes nothing. */
enum verdict core_authorize(const struct core *core, const struct command *cmd, uint32_t *ret_oracle);

/* Takes the command to its module. */
enum verdict core_dispatch(struct core *core, const struct command *cmd, uint32_t oracle);

/* The network's own commands. */
enum verdict core_begin(struct core *core, const struct cmd_genesis *genesis);
enum verdict core_params_set(struct core *core, const struct cmd_params_set *cmd);
enum verdict core_rules_set(struct core *core, const struct cmd_rules_set *cmd);
/* What admins set for the present entry or an earlier one. */
void core_apply_pending(struct core *core);
void core_genesis_digest(const struct cmd_genesis *genesis, struct hash *ret_digest);

/* Fires due deadlines in (time, module) order: at most SWEEP_MAX, and none after SWEEP_EVENTS_MAX events. */
void core_sweep(struct core *core);

/* For walks: the next live slot from *at on, and *at behind it. */
static inline bool next_live(const struct slots *slots, uint32_t *at, uint32_t *ret_slot)
{
    while (*at < slots->used) {
        *ret_slot = (*at)++;
        if (slots_is_live(slots, *ret_slot))
            return true;
    }
    return false;
}

#endif

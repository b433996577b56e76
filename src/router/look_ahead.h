/* look_ahead.h - asks for the memory that the next entries of a batch will touch, while those before them are applied.
 *
 *      look_ahead_begin(&ahead, core, batch);
 *      while (ledger_next(&at, &entry)) {
 *          look_ahead_step(&ahead, core);
 *          ... core_apply ...
 *      }
 *
 * core/core_expect.c says why.
 */
#ifndef CORTEN_ROUTER_LOOK_AHEAD_H
#define CORTEN_ROUTER_LOOK_AHEAD_H

#include "core/core.h"
#include "ledger/ledger.h"

struct look_ahead {
    struct ledger_cursor at[EXPECT_NEXT + 1];  // by stage: the entry that it asks for next
};

static inline void look_ahead_stage(struct look_ahead *ahead, const struct core *core, enum expect_stage stage)
{
    struct ledger_entry entry;
    if (ledger_next(&ahead->at[stage], &entry))
        core_expect(core, entry.command, stage);
}

static inline void look_ahead_begin(struct look_ahead *ahead, const struct core *core, const struct ledger_batch *batch)
{
    for (enum expect_stage stage = EXPECT_FAR; stage <= EXPECT_NEXT; stage++) {
        ahead->at[stage] = ledger_cursor(batch);
        for (uint32_t i = 0; core && i < (EXPECT_NEXT + 1u - stage) * EXPECT_DISTANCE; i++)
            look_ahead_stage(ahead, core, stage);
    }
}

static inline void look_ahead_step(struct look_ahead *ahead, const struct core *core)
{
    for (enum expect_stage stage = EXPECT_FAR; stage <= EXPECT_NEXT; stage++)
        look_ahead_stage(ahead, core, stage);
}

#endif

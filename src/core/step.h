/* step.h - the entry that is being applied: what all modules may know of it. */
#ifndef CORTEN_CORE_STEP_H
#define CORTEN_CORE_STEP_H

#include "core/event.h"
#include "core/params.h"

struct step {
    uint64_t seq;        // of the entry, from 1
    uint64_t now_ms;     // core time: docs/protocol.md, "Time"
    uint64_t ledger_ms;  // what the ledger stamped
    uint32_t router;     // slot of the appending router in `account`; SLOT_NONE for genesis
    struct hash chain;   // running digest before this batch: dice where no oracle lives
    uint32_t rules_version;
    uint64_t network_id;
    struct params params;
    struct event_list *out;
};

/* How long before its turn an entry's rows are asked for: core_expect. */
enum expect_stage {
    EXPECT_FAR,   // the rows that it names
    EXPECT_NEAR,  // the rows that these name
    EXPECT_NEXT,  // and what those name
};

/* Dice: blake3(tag, beacon or chain, a, b), as a number. */
uint64_t step_dice(const struct hash *beacon, const char tag[8], uint64_t a, uint64_t b);

#endif

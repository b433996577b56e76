/* score.h - what became of cheats: counted for each cheat over seeds, so that a table can say what catches it.
 *
 * Source: docs/simulation.md, "Adversaries".
 */
#ifndef CORTEN_SIM_SCORE_H
#define CORTEN_SIM_SCORE_H

#include "base/types.h"
#include "sim/adversary.h"

// clang-format off
/* X(NAME, name): of one miner's leases, its tests and its links. */
#define SCORES(X) \
    X(PLAYED, played)             /* cheats of that sort that were there */ \
    X(CHEATED, cheated)           /* leases that it cheated on, and pieces of mischief */ \
    X(ACCEPTED, accepted)         /* answers that stood */ \
    X(DECLINED, declined) X(ENGINE, engine) X(SILENT, silent) X(LATE, late) X(WITHHELD, withheld) X(WRONG, wrong) \
    X(STREAM_DIFFERS, stream_differs) X(OUTVOTED, outvoted) \
    X(RECALLED, recalled)         /* leases that ended for no fault of its own */ \
    X(PASSED, passed) X(FLAGGED, flagged) /* audits */ \
    X(BANNED, banned) X(SLASHED, slashed) \
    X(REFUSED, refused)           /* error frames: its link ended */ \
    X(VERDICTS, verdicts)         /* entries of its own that were refused */ \
    X(LINKS, links)               /* sockets that it opened */

/* Of oracles. */
#define ORACLE_SCORES(X) \
    X(PLAYED, played) X(HEARTBEATS, heartbeats) X(KEPT_BACK, kept_back) X(ROUNDS, rounds) X(VERDICTS, verdicts) \
    X(LIES, lies) X(PREIMAGE_WRONG, preimage_wrong) X(NOT_LEADER, not_leader) X(NOT_AUTHORIZED, not_authorized) \
    X(KNOWN, known) X(CHALLENGE_DIFFERS, challenge_differs) X(OTHERWISE, otherwise)

/* Of everybody else. */
#define OTHER_SCORES(X) \
    X(ROUTERS_SILENT, routers_silent)       /* routers that stopped with tasks in hand */ \
    X(EPOCHS_TAKEN, epochs_taken)           /* by a second program with a router's key */ \
    X(FENCED, fenced)                       /* batches of an old epoch that were refused */ \
    X(REFERENCES, references) X(REFERENCES_HELD, references_held) /* used again with other content: the same task answered */ \
    X(SPENDERS, spenders) X(OVER_BUDGET, over_budget)             /* prompts of an account without money: refused */ \
    X(LEAVERS, leavers)                     /* who read and went */ \
    X(SNOOPS, snoops) X(SNOOPS_REFUSED, snoops_refused)           /* looks at others' tasks */
// clang-format on

enum score {
#define X(NAME, name) SCORE_##NAME,
    SCORES(X)
#undef X
        SCORE_COUNT
};
enum oracle_score {
#define X(NAME, name) ORACLE_SCORE_##NAME,
    ORACLE_SCORES(X)
#undef X
        ORACLE_SCORE_COUNT
};
enum other_score {
#define X(NAME, name) OTHER_SCORE_##NAME,
    OTHER_SCORES(X)
#undef X
        OTHER_SCORE_COUNT
};
struct scores {
    uint64_t miner[CHEAT_COUNT][SCORE_COUNT], oracle[ORACLE_CHEAT_COUNT][ORACLE_SCORE_COUNT], other[OTHER_SCORE_COUNT];
};
const char *score_name(enum score score);
const char *oracle_score_name(enum oracle_score score);
const char *other_score_name(enum other_score score);

/* One line for each cheat that was there. */
void scores_print(const struct scores *scores, struct buf *out);
void scores_json(const struct scores *scores, struct buf *out);

#endif

/* shrink.h - a history that fails, made as short as it goes.
 *
 * Leaves out chunks of entries, then single ones, then time between them, then what their fields say, as long as the
 * same checker still fails (delta debugging: Zeller and Hildebrandt, 2002). What is left out of a history changes the
 * names of what follows: retell.h puts them right. Every trial is a child process, for assertions fail too.
 *
 * Source: docs/simulation.md, "Shrinking".
 */
#ifndef CORTEN_SIM_SHRINK_H
#define CORTEN_SIM_SHRINK_H

#include "sim/history.h"

/* Looks at every entry besides the checkers: what it says by check_fail is a failure too. */
struct shrink_look {
    void (*look)(void *ctx, const struct stage *stage, const struct history_entry *entry, struct check *check);
    void *ctx;
};

struct shrink_report {
    uint32_t from, to, trials;  // entries before and after
};

/* What fails when the history is played on a fresh core with all checkers of check_core.h; a replay on another core
 * must come to the same state. An assertion is CORE_CHECK. failed is false: nothing does. look: NULL, or one more. */
void shrink_play(const struct history *history, const struct shrink_look *look, struct check *ret_check);

/* Finds a short history in which the same checker fails as in `from`. False: nothing fails in `from`. */
bool shrink(const struct history *from, const struct shrink_look *look, struct history *ret_small,
            struct check *ret_check, struct shrink_report *ret_report);

#endif

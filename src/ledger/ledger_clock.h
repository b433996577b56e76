/* ledger_clock.h - the time that a ledger's writer stamps: a system's clock that neither jumps nor stands still.
 *
 * A system's clock may be set: forward, then a network would lose the deadlines that lie between; or back, then a
 * ledger whose time never decreases would stand still until the clock has caught up, and no deadline would ever fire.
 * So time passes as the monotonic clock says, and draws near to the system's clock by at most a sixteenth of what
 * passes. Only a writer that begins takes the system's clock as it is.
 *
 * Units: milliseconds since 1970, and microseconds of the monotonic clock.
 */
#ifndef CORTEN_LEDGER_LEDGER_CLOCK_H
#define CORTEN_LEDGER_LEDGER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define LEDGER_CLOCK_PULL 16  // of the time that passes, this part corrects a difference

/* All zero: it has not begun. */
struct ledger_clock {
    bool begun;
    uint64_t now_us;   // since 1970
    uint64_t mono_us;  // when that was
};

/* The time now, and never less than `last_ms`: of the batch before, which may be another writer's. */
uint64_t ledger_clock_ms(struct ledger_clock *clock, uint64_t last_ms, uint64_t wall_ms, uint64_t mono_us);

#endif

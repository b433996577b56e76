#include "ledger/ledger_clock.h"

#include "base/types.h"

uint64_t ledger_clock_ms(struct ledger_clock *clock, uint64_t last_ms, uint64_t wall_ms, uint64_t mono_us)
{
    uint64_t wall_us = wall_ms * 1000;
    if (!clock->begun) {
        clock->begun = true;
        clock->now_us = wall_us;
    } else {
        uint64_t passed = mono_us - clock->mono_us, pull = passed / LEDGER_CLOCK_PULL;
        clock->now_us += passed;
        if (wall_us > clock->now_us)
            clock->now_us += u64_min(wall_us - clock->now_us, pull);
        else
            clock->now_us -= u64_min(clock->now_us - wall_us, pull);
    }
    clock->mono_us = mono_us;
    clock->now_us = u64_max(clock->now_us, last_ms * 1000);
    return clock->now_us / 1000;
}

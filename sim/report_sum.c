#include "base/assert.h"
#include "sim/report.h"

void report_add(struct report *to, const struct report *one)
{
    static_assert(sizeof(struct report) % sizeof(uint64_t) == 0, "all of a report is counters");
    for (size_t i = 0; i < sizeof *to / sizeof(uint64_t); i++)
        ((uint64_t *)to)[i] += ((const uint64_t *)one)[i];
}

#include <stdlib.h>

#include "lib/test.h"
#include "sim/crew.h"

/* Seed 5 fails, seed 7 ends its process. */
static void run(void *ctx, uint64_t seed, struct report *all)
{
    (void)ctx;
    if (seed == 7)
        _Exit(3);
    const struct report one = {.seeds = 1, .failed = seed == 5, .trail = seed * 1000, .lives = seed};
    report_add(all, &one);
}

static struct report run_with(uint32_t jobs)
{
    struct report all = {0};
    double cpu_s = -1;
    crew_run(&(struct crew_options){.first = 1, .last = 20, .jobs = jobs, .run = run}, &all, &cpu_s);
    CHECK(cpu_s >= 0);
    return all;
}

TEST(sim_crew, a_seed_that_ends_its_process_fails_and_the_others_go_on)
{
    struct report all = run_with(1);
    CHECK_EQ(all.seeds, 20);
    CHECK_EQ(all.failed, 2);
    CHECK_EQ(all.lives, 20 * 21 / 2 - 7);
}

TEST(sim_crew, adds_up_to_the_same_however_many_work)
{
    struct report one = run_with(1);
    for (uint32_t jobs = 2; jobs <= 32; jobs *= 2) {
        struct report all = run_with(jobs);
        CHECK_EQ(memcmp(&all, &one, sizeof all), 0);
    }
}

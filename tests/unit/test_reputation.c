/* test_reputation.c - levels, speeds, weights and the sequential test. */
#include "core/reputation.h"
#include "lib/test.h"

static struct step step;
static struct reputation reputation;

static void begin(void)
{
    static uint8_t memory[1 << 18] __attribute__((aligned(16)));
    struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    params_default(&step.params);
    CHECK(reputation_init(&reputation, &arena, &step));
}

static void succeed(uint32_t node, uint32_t times)
{
    for (uint32_t i = 0; i < times; i++)
        reputation_success(&reputation, node);
    reputation_check(&reputation);
}

TEST(reputation, does_not_fit_into_too_little_memory)
{
    static uint8_t memory[1024] __attribute__((aligned(16)));
    struct arena arena;
    arena_init(&arena, memory, sizeof memory);
    params_default(&step.params);
    CHECK(!reputation_init(&reputation, &arena, &step));
}

TEST(reputation, level_rises_with_successes_in_a_row)
{
    begin();
    succeed(3, 2);
    CHECK_EQ(reputation_stats(&reputation, 3)->level, 0);
    succeed(3, 1);
    CHECK_EQ(reputation_stats(&reputation, 3)->level, 1);
    CHECK_EQ(reputation_stats(&reputation, 2)->level, 0);
}

TEST(reputation, a_failure_breaks_the_row_and_takes_a_level)
{
    begin();
    succeed(0, 5);
    reputation_failure(&reputation, 0);
    CHECK_EQ(reputation_stats(&reputation, 0)->level, 0);
    succeed(0, 2);
    CHECK_EQ(reputation_stats(&reputation, 0)->level, 0);
    reputation_failure(&reputation, 0);
    CHECK_EQ(reputation_stats(&reputation, 0)->level, 0);
}

TEST(reputation, level_has_a_top)
{
    begin();
    succeed(0, 100);
    CHECK_EQ(reputation_stats(&reputation, 0)->level, LEVEL_MAX);
}

TEST(reputation, counts_add_up_and_stop_at_the_top)
{
    begin();
    reputation_count(&reputation, 1, COUNT_TOKENS_OUT, 5);
    reputation_count(&reputation, 1, COUNT_TOKENS_OUT, 6);
    CHECK_EQ(reputation_stats(&reputation, 1)->count[COUNT_TOKENS_OUT], 11);
    reputation_count(&reputation, 1, COUNT_TOKENS_OUT, UINT64_MAX);
    CHECK(reputation_stats(&reputation, 1)->count[COUNT_TOKENS_OUT] == UINT64_MAX);
}

TEST(reputation, speed_is_a_moving_average_of_what_was_measured)
{
    begin();
    reputation_measure(&reputation, 0, 1, 100, 11, 1100); /* 10 tokens in the second after the first */
    const struct node_speed *speed = &reputation_stats(&reputation, 0)->speed[1];
    CHECK_EQ(speed->measured_ttft_ms, 100);
    CHECK_EQ(speed->measured_tokens_per_s_milli, 10000);
    reputation_measure(&reputation, 0, 1, 900, 19, 1900);
    CHECK_EQ(speed->measured_ttft_ms, 200);
    CHECK_EQ(speed->measured_tokens_per_s_milli, 11000);
    reputation_measure(&reputation, 0, 1, 120, 3, 2120);
    CHECK_EQ(speed->measured_ttft_ms, 190);
    CHECK_EQ(speed->measured_tokens_per_s_milli, 9750);
}

TEST(reputation, one_token_has_no_rate)
{
    begin();
    reputation_measure(&reputation, 0, 0, 0, 1, 500);
    const struct node_speed *speed = &reputation_stats(&reputation, 0)->speed[0];
    CHECK_EQ(speed->measured_ttft_ms, 1);
    CHECK_EQ(speed->measured_tokens_per_s_milli, 0);
    /* Nor may a clock that says all came at once make it infinite. */
    CHECK_EQ(reputation_rate_milli(500, UINT32_MAX, 500), 1000000000);
    CHECK_EQ(reputation_rate_milli(500, 2, 100), 1000000);
}

TEST(reputation, what_a_node_reports_decides_nothing)
{
    begin();
    uint32_t weight = reputation_weight(&reputation, 0, 0);
    reputation_report(&reputation, 0, 0, 1, 900000);
    succeed(0, 30);
    reputation_report(&reputation, 0, 0, 1, 900000);
    CHECK_EQ(reputation_sla(&reputation, 0, 0), SLA_LOW);
    CHECK_EQ(reputation_weight(&reputation, 0, 0), 11 * weight);
    CHECK_EQ(reputation_stats(&reputation, 0)->speed[0].tokens_per_s_milli, 900000);
}

TEST(reputation, classes_are_bounds_on_level_and_measured_speed)
{
    begin();
    reputation_measure(&reputation, 0, 0, 1500, 101, 3500); /* 50 tokens a second */
    CHECK_EQ(reputation_sla(&reputation, 0, 0), SLA_LOW);
    succeed(0, 3);
    CHECK_EQ(reputation_sla(&reputation, 0, 0), SLA_MEDIUM);
    succeed(0, 6);
    CHECK_EQ(reputation_sla(&reputation, 0, 0), SLA_HIGH);
    reputation_measure(&reputation, 0, 0, 9500, 101, 11500); /* the average is now 2.5 s to the first token */
    CHECK_EQ(reputation_sla(&reputation, 0, 0), SLA_MEDIUM);
}

TEST(reputation, weight_follows_level_and_speed_within_its_bounds)
{
    begin();
    uint32_t fresh = reputation_weight(&reputation, 0, 0);
    CHECK(fresh >= 1);
    reputation_measure(&reputation, 0, 0, 10, 1001, 10010);
    uint32_t fast = reputation_weight(&reputation, 0, 0);
    CHECK(fast > fresh);
    succeed(0, 60);
    reputation_measure(&reputation, 0, 0, 10, UINT32_MAX, 11);
    uint32_t best = reputation_weight(&reputation, 0, 0);
    CHECK(best > fast);
    CHECK(best <= 1 << 20);
}

/* docs/protocol.md, "Reputation": floor 0; one flag is probation, and three close together condemn. */
TEST(reputation, the_sequential_test_condemns_who_is_flagged_often)
{
    begin();
    CHECK_EQ(reputation_audit(&reputation, 0, 0, false), STANDING_GOOD);
    CHECK_EQ(reputation_test_milli(&reputation, 0, 0), 0);
    CHECK_EQ(reputation_audit(&reputation, 0, 0, true), STANDING_PROBATION);
    CHECK_EQ(reputation_test_milli(&reputation, 0, 0), 4610);
    CHECK_EQ(reputation_audit(&reputation, 0, 0, false), STANDING_GOOD);
    CHECK_EQ(reputation_test_milli(&reputation, 0, 0), 4390);
    CHECK_EQ(reputation_audit(&reputation, 0, 0, true), STANDING_PROBATION);
    CHECK_EQ(reputation_audit(&reputation, 0, 0, true), STANDING_PROBATION);
    CHECK_EQ(reputation_test_milli(&reputation, 0, 0), 13610);
    CHECK_EQ(reputation_audit(&reputation, 0, 0, true), STANDING_CONDEMNED);
    CHECK_EQ(reputation_standing(&reputation, 0, 1), STANDING_GOOD);
}

TEST(reputation, who_was_flagged_weighs_less)
{
    begin();
    uint32_t good = reputation_weight(&reputation, 0, 0);
    reputation_audit(&reputation, 0, 0, true);
    CHECK_EQ(reputation_weight(&reputation, 0, 0), good * 1500 / (1500 + 4610));
}

TEST(reputation, the_test_stops_at_its_top)
{
    begin();
    step.params.flag_score_milli = 100000;
    for (uint32_t i = 0; i < 100; i++)
        reputation_audit(&reputation, 0, 0, true);
    reputation_check(&reputation);
    CHECK_EQ(reputation_standing(&reputation, 0, 0), STANDING_CONDEMNED);
}

TEST(reputation, a_new_life_begins_with_nothing)
{
    begin();
    succeed(0, 9);
    reputation_audit(&reputation, 0, 2, true);
    reputation_report(&reputation, 0, 1, 5, 6);
    reputation_reset_model(&reputation, 0, 1);
    CHECK_EQ(reputation_stats(&reputation, 0)->speed[1].ttft_ms, 0);
    CHECK_EQ(reputation_stats(&reputation, 0)->level, 3);
    CHECK_EQ(reputation_test_milli(&reputation, 0, 2), 4610);
    reputation_reset(&reputation, 0);
    CHECK_EQ(reputation_stats(&reputation, 0)->level, 0);
    CHECK_EQ(reputation_test_milli(&reputation, 0, 2), 0);
}

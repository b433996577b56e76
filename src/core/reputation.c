#include "core/reputation.h"

#include "base/assert.h"
#include "base/mem.h"

/* docs/protocol.md, "Reputation". */
#define LEVEL_STREAK      3        // successes in a row for the next level
#define TEST_MILLI_MAX    1000000  // where the sequential test stops counting; thresholds are not over it
#define AVERAGE_SHARE     8        // a new measurement moves the average by one part of this many
#define SPEED_MILLI_MAX   1000000000
#define TEST_MILLI_HALVES 1500  // of the sequential test at which a node weighs half
#define WEIGHT_SPEED_MAX  1024  // tokens per second beyond which speed weighs no more
#define WEIGHT_SPEED_BASE 64    // what a node weighs whose speed nobody has measured

/* What an SLA class asks for. docs/protocol.md, "Reputation". */
static const struct sla_bounds {
    uint32_t level, ttft_ms, tokens_per_s_milli;
} sla_bounds[SLA_COUNT] = {
    [SLA_LOW] = {0, UINT32_MAX, 0},
    [SLA_MEDIUM] = {1, 10000, 5000},
    [SLA_HIGH] = {3, 2000, 20000},
};

bool reputation_init(struct reputation *reputation, struct arena *arena, struct step *step)
{
    uint32_t cap = (uint32_t)step->params.nodes_cap;
    reputation->step = step;
    reputation->stats = arena_take(arena, cap, sizeof *reputation->stats);
    reputation->cap = cap;
    return reputation->stats != NULL;
}

static void row_stats(struct rows *rows, struct node_stats *s)
{
    for (uint32_t i = 0; i < NODE_COUNTS; i++)
        row_u64(rows, &s->count[i]);
    row_u32(rows, &s->level);
    row_u32(rows, &s->streak);
    for (uint32_t i = 0; i < NODE_MODELS_MAX; i++) {
        struct node_speed *speed = &s->speed[i];
        row_u32(rows, &speed->ttft_ms);
        row_u32(rows, &speed->tokens_per_s_milli);
        row_u32(rows, &speed->measured_ttft_ms);
        row_u32(rows, &speed->measured_tokens_per_s_milli);
        row_u32(rows, &speed->test_milli);
    }
    if (rows_reading(rows) && (s->level > LEVEL_MAX || s->streak >= LEVEL_STREAK))
        rows->ok = false;
}

void reputation_rows(struct reputation *reputation, struct rows *rows, const struct slots *nodes)
{
    uint32_t count = nodes->used;
    rows_module(rows, "reputation");
    rows_table(rows, &count, reputation->cap);
    for (uint32_t i = 0; i < count; i++)
        row_stats(rows, &reputation->stats[i]);
    rows_table_end(rows);
    rows_module_end(rows);
}

void reputation_check(const struct reputation *reputation)
{
    for (uint32_t i = 0; i < reputation->cap; i++) {
        const struct node_stats *s = &reputation->stats[i];
        cx_assert(s->level <= LEVEL_MAX);
        cx_assert(s->streak < LEVEL_STREAK);
        cx_assert(s->count[COUNT_ROUND_PASSED] <= s->count[COUNT_ROUND_COMMITTED]);
        cx_assert(s->count[COUNT_ROUND_COMMITTED] <= s->count[COUNT_ROUND_PRECOMMITTED]);
        cx_assert(s->count[COUNT_ROUND_PRECOMMITTED] <= s->count[COUNT_ROUND_ASKED]);
        for (uint32_t at = 0; at < NODE_MODELS_MAX; at++) {
            cx_assert(s->speed[at].test_milli <= TEST_MILLI_MAX);
            cx_assert(s->speed[at].measured_tokens_per_s_milli <= SPEED_MILLI_MAX);
        }
    }
}

static struct node_stats *stats_of(const struct reputation *reputation, uint32_t node)
{
    cx_assert(node < reputation->cap);
    return &reputation->stats[node];
}

static struct node_speed *speed_of(const struct reputation *reputation, uint32_t node, uint32_t at)
{
    cx_assert(at < NODE_MODELS_MAX);
    return &stats_of(reputation, node)->speed[at];
}

void reputation_reset(struct reputation *reputation, uint32_t node)
{
    memset(stats_of(reputation, node), 0, sizeof(struct node_stats));
}

void reputation_reset_model(struct reputation *reputation, uint32_t node, uint32_t at)
{
    memset(speed_of(reputation, node, at), 0, sizeof(struct node_speed));
}

void reputation_success(struct reputation *reputation, uint32_t node)
{
    struct node_stats *s = stats_of(reputation, node);
    s->streak++;
    if (s->streak < LEVEL_STREAK)
        return;
    s->streak = 0;
    s->level = u32_min(s->level + 1, LEVEL_MAX);
}

void reputation_failure(struct reputation *reputation, uint32_t node)
{
    struct node_stats *s = stats_of(reputation, node);
    s->streak = 0;
    if (s->level > 0)
        s->level--;
}

void reputation_report(struct reputation *reputation, uint32_t node, uint32_t at, uint32_t ttft_ms,
                       uint32_t tokens_per_s_milli)
{
    struct node_speed *speed = speed_of(reputation, node, at);
    speed->ttft_ms = ttft_ms;
    speed->tokens_per_s_milli = tokens_per_s_milli;
}

static uint32_t average(uint32_t before, uint32_t now)
{
    if (before == 0)
        return now;
    if (now >= before)
        return before + (now - before) / AVERAGE_SHARE;
    return before - (before - now) / AVERAGE_SHARE;
}

uint32_t reputation_rate_milli(uint32_t ttft_ms, uint32_t tokens_out, uint32_t duration_ms)
{
    if (tokens_out < 2)
        return 0;
    uint64_t generating_ms = duration_ms > ttft_ms ? duration_ms - ttft_ms : 1;
    uint64_t rate = (uint64_t)(tokens_out - 1) * 1000000 / generating_ms;
    return (uint32_t)u64_max(1, u64_min(rate, SPEED_MILLI_MAX));
}

void reputation_measure(struct reputation *reputation, uint32_t node, uint32_t at, uint32_t ttft_ms,
                        uint32_t tokens_out, uint32_t duration_ms)
{
    struct node_speed *speed = speed_of(reputation, node, at);
    uint32_t rate = reputation_rate_milli(ttft_ms, tokens_out, duration_ms);
    /* 0 stands for never measured, so the fastest first token counts as one millisecond. */
    speed->measured_ttft_ms = average(speed->measured_ttft_ms, u32_max(ttft_ms, 1));
    if (rate > 0)
        speed->measured_tokens_per_s_milli = average(speed->measured_tokens_per_s_milli, rate);
}

enum standing reputation_audit(struct reputation *reputation, uint32_t node, uint32_t at, bool flagged)
{
    const struct params *params = &reputation->step->params;
    struct node_speed *speed = speed_of(reputation, node, at);
    uint64_t test = speed->test_milli;
    if (flagged)
        test = u64_min(test + params->flag_score_milli, TEST_MILLI_MAX);
    else
        test -= u64_min(test, params->pass_score_milli);
    speed->test_milli = (uint32_t)test;
    return reputation_standing(reputation, node, at);
}

enum standing reputation_standing(const struct reputation *reputation, uint32_t node, uint32_t at)
{
    const struct params *params = &reputation->step->params;
    uint32_t test = speed_of(reputation, node, at)->test_milli;
    if (test >= params->condemned_milli)
        return STANDING_CONDEMNED;
    if (test >= params->probation_milli)
        return STANDING_PROBATION;
    return STANDING_GOOD;
}

uint32_t reputation_test_milli(const struct reputation *reputation, uint32_t node, uint32_t at)
{
    return speed_of(reputation, node, at)->test_milli;
}

uint32_t reputation_weight(const struct reputation *reputation, uint32_t node, uint32_t at)
{
    const struct node_stats *s = stats_of(reputation, node);
    uint32_t speed = u32_min(speed_of(reputation, node, at)->measured_tokens_per_s_milli / 1000, WEIGHT_SPEED_MAX);
    uint32_t weight = (1 + s->level) * (WEIGHT_SPEED_BASE + speed);
    /* By the test itself and not by a parameter, which may change while weights are kept. */
    weight = (uint32_t)((uint64_t)weight * TEST_MILLI_HALVES /
                        (TEST_MILLI_HALVES + speed_of(reputation, node, at)->test_milli));
    static_assert((1 + LEVEL_MAX) * (WEIGHT_SPEED_BASE + WEIGHT_SPEED_MAX) <= 1 << 20, "as the header promises");
    return u32_max(weight, 1);
}

static bool meets(const struct sla_bounds *bounds, uint32_t level, const struct node_speed *speed)
{
    if (level < bounds->level)
        return false;
    if (speed->measured_tokens_per_s_milli < bounds->tokens_per_s_milli)
        return false;
    return speed->measured_ttft_ms <= bounds->ttft_ms;
}

enum sla reputation_sla(const struct reputation *reputation, uint32_t node, uint32_t at)
{
    uint32_t level = stats_of(reputation, node)->level;
    const struct node_speed *speed = speed_of(reputation, node, at);
    if (meets(&sla_bounds[SLA_HIGH], level, speed))
        return SLA_HIGH;
    return meets(&sla_bounds[SLA_MEDIUM], level, speed) ? SLA_MEDIUM : SLA_LOW;
}

const struct node_stats *reputation_stats(const struct reputation *reputation, uint32_t node)
{
    return stats_of(reputation, node);
}

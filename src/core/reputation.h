/* reputation.h - what nodes have done: counters, speeds, and the sequential test of their honesty.
 *
 * Level 0..LEVEL_MAX rises with consecutive successes and falls by one with each failure; SLA classes are bounds on it.
 * The test is a one-sided CUSUM in thousandths, floor 0: a pass takes pass_score_milli, a flag adds flag_score_milli;
 * probation and condemnation are thresholds. Only audited answers count.
 *
 * Shape:  stats[nodes_cap] by node slot; speed and test by [node][NODE_MODELS_MAX].
 * Source: docs/protocol.md, "Reputation".
 */
#ifndef CORTEN_CORE_REPUTATION_H
#define CORTEN_CORE_REPUTATION_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/prefetch.h"
#include "core/rows.h"
#include "core/step.h"

#define LEVEL_MAX 10

/* What is counted: each phase once as asked, once as done. */
enum node_count {
    COUNT_TASK_OFFERED,  // those of each task first: they share a cache line
    COUNT_TASK_ACKED,
    COUNT_TASK_PRECOMMITTED,
    COUNT_TASK_COMMITTED,
    COUNT_TASK_ACCEPTED,
    COUNT_TOKENS_OUT,
    COUNT_ROUND_ASKED,
    COUNT_ROUND_ACKED,
    COUNT_ROUND_PRECOMMITTED,
    COUNT_ROUND_COMMITTED,
    COUNT_ROUND_PASSED,
    COUNT_DECLINED,
    COUNT_ENGINE,
    COUNT_SILENT,
    COUNT_LATE,
    COUNT_WITHHELD,
    COUNT_WRONG,
    COUNT_OUTVOTED,
    COUNT_AUDIT_PASSED,
    COUNT_AUDIT_FLAGGED,
    NODE_COUNTS
};

struct node_speed {
    uint32_t ttft_ms, tokens_per_s_milli;                    // as the node reports
    uint32_t measured_ttft_ms, measured_tokens_per_s_milli;  // moving averages of what routers saw; 0: never
    uint32_t test_milli;                                     // the sequential test
};
struct node_stats {
    uint64_t count[NODE_COUNTS];
    uint32_t level, streak;
    struct node_speed speed[NODE_MODELS_MAX];
    uint64_t unused;  // to whole cache lines
};
static_assert(sizeof(struct node_stats) % CACHE_LINE_SIZE == 0, "a node's begin with a cache line");

struct reputation {
    struct step *step;
    struct node_stats *stats;
    uint32_t cap;
};

enum standing { STANDING_GOOD, STANDING_PROBATION, STANDING_CONDEMNED };

bool reputation_init(struct reputation *reputation, struct arena *arena, struct step *step);
void reputation_rows(struct reputation *reputation, struct rows *rows, const struct slots *nodes);
void reputation_check(const struct reputation *reputation);

/* Asks for a node's row. */
static inline void reputation_expect(const struct reputation *reputation, uint32_t node)
{
    cx_prefetch(&reputation->stats[node], sizeof *reputation->stats);
}

/* A slot begins a new life; a place in a node's model[] does. */
void reputation_reset(struct reputation *reputation, uint32_t node);
void reputation_reset_model(struct reputation *reputation, uint32_t node, uint32_t at);
static inline void reputation_count(struct reputation *reputation, uint32_t node, enum node_count count, uint64_t more)
{
    cx_assert(count < NODE_COUNTS);
    cx_assert(node < reputation->cap);
    uint64_t *total = &reputation->stats[node].count[count];
    *total = u64_add_sat(*total, more);
}
/* A round or task that went well, or a failure the node is blamed for: moves streak and level. */
void reputation_success(struct reputation *reputation, uint32_t node);
void reputation_failure(struct reputation *reputation, uint32_t node);
void reputation_report(struct reputation *reputation, uint32_t node, uint32_t at, uint32_t ttft_ms,
                       uint32_t tokens_per_s_milli);
void reputation_measure(struct reputation *reputation, uint32_t node, uint32_t at, uint32_t ttft_ms,
                        uint32_t tokens_out, uint32_t duration_ms);
/* Thousandths of a token a second between the first token and the last; 0 where there are fewer than two. */
uint32_t reputation_rate_milli(uint32_t ttft_ms, uint32_t tokens_out, uint32_t duration_ms);
/* An audit was decided: the node's standing after it. */
enum standing reputation_audit(struct reputation *reputation, uint32_t node, uint32_t at, bool flagged);
enum standing reputation_standing(const struct reputation *reputation, uint32_t node, uint32_t at);
uint32_t reputation_test_milli(const struct reputation *reputation, uint32_t node, uint32_t at);
/* What a node weighs when one is picked: 1..2^20, from level and measured speed. */
uint32_t reputation_weight(const struct reputation *reputation, uint32_t node, uint32_t at);
/* The highest SLA class the node meets. */
enum sla reputation_sla(const struct reputation *reputation, uint32_t node, uint32_t at);
const struct node_stats *reputation_stats(const struct reputation *reputation, uint32_t node);

#endif

/* metrics.h - what a router counts for its operator, as Prometheus reads it.
 * Source: docs/protocol.md, "Metrics". */
#ifndef CORTEN_ROUTER_METRICS_H
#define CORTEN_ROUTER_METRICS_H

#include "base/buf.h"
#include "base/types.h"

#define METRICS_ROUTES_MAX 64
#define METRICS_BUCKETS    13

struct histogram {
    uint64_t count, sum_ms;
    uint64_t bucket[METRICS_BUCKETS + 1];  // the last: above all bounds
};
struct metrics {
    uint64_t answers[METRICS_ROUTES_MAX + 1][6];  // by route (the last: none) and first digit of the status
    struct histogram request, first_token;
    uint64_t prompts, prompts_streamed, streams_interrupted, answers_replaced, clients_gone;
    uint64_t keys_refused;
};

void histogram_add(struct histogram *h, uint64_t ms);

/* ---- the text format ---- */

/* HELP and TYPE of what follows. */
void metrics_about(struct buf *out, const char *name, const char *type, const char *help);
/* label NULL: none. */
void metrics_value(struct buf *out, const char *name, const char *label, const char *value, uint64_t count);
void metrics_histogram(struct buf *out, const char *name, const char *help, const struct histogram *h);

#endif

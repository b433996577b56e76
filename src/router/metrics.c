#include "router/metrics.h"

#include <inttypes.h>

static const uint32_t bound_ms[METRICS_BUCKETS] = {5,    10,   25,   50,    100,   250,   500,
                                                   1000, 2500, 5000, 10000, 30000, 120000};

void histogram_add(struct histogram *h, uint64_t ms)
{
    uint32_t i = 0;
    while (i < METRICS_BUCKETS && ms > bound_ms[i])
        i++;
    h->bucket[i]++;
    h->count++;
    h->sum_ms += ms;
}

void metrics_about(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_value(struct buf *out, const char *name, const char *label, const char *value, uint64_t count)
{
    if (label)
        buf_printf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, count);
    else
        buf_printf(out, "%s %" PRIu64 "\n", name, count);
}

void metrics_histogram(struct buf *out, const char *name, const char *help, const struct histogram *h)
{
    uint64_t below = 0;
    metrics_about(out, name, "histogram", help);
    for (uint32_t i = 0; i < METRICS_BUCKETS; i++) {
        below += h->bucket[i];
        buf_printf(out, "%s_bucket{le=\"%" PRIu32 ".%03" PRIu32 "\"} %" PRIu64 "\n", name, bound_ms[i] / 1000,
                   bound_ms[i] % 1000, below);
    }
    buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, h->count);
    buf_printf(out, "%s_sum %" PRIu64 ".%03" PRIu64 "\n", name, h->sum_ms / 1000, h->sum_ms % 1000);
    buf_printf(out, "%s_count %" PRIu64 "\n", name, h->count);
}

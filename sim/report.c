#include "sim/report.h"
#include "sim/disk.h"

#include "base/assert.h"
#include "sim/check_world.h"
#include "sim/computer.h"
#include "sim/disk.h"
#include "sim/swarm.h"

/* ---- watching ---- */

static void mix(struct report *r, uint64_t value)
{
    uint64_t x = r->trail ^ value;
    x ^= x >> 32;
    x *= 0x9e3779b97f4a7c15ull;
    r->trail = x ^ x >> 29;
}

static void on_entry(void *ctx, const struct sim_router *router, const struct replica_moment *moment)
{
    struct report_watch *w = ctx;
    struct report *r = w->report;
    (void)router;
    w->counts = moment->seq > w->seen_seq;
    if (!w->counts)
        return;
    w->seen_seq = moment->seq;
    r->entries++;
    if (moment->command)
        r->command[moment->command->type]++;
    r->verdict[moment->verdict]++;
    mix(r, moment->seq);
    mix(r, moment->time_ms);
    mix(r, moment->verdict);
    mix(r, moment->command ? moment->command->type : 0);
}

static void go(struct report *r, enum report_kind kind, uint8_t from, uint8_t to)
{
    cx_assert(from < REPORT_STATES_MAX);
    cx_assert(to < REPORT_STATES_MAX);
    r->arrow[kind][from][to]++;
}

static void on_event(void *ctx, const struct sim_router *router, const struct replica_moment *moment,
                     const struct event *event)
{
    struct report_watch *w = ctx;
    struct report *r = w->report;
    (void)router, (void)moment;
    if (!w->counts)
        return;
    r->event[event->type]++;
    mix(r, event->type);
    if (event->type == EVENT_NODE_MOVED)
        go(r, REPORT_NODE, event->node_moved.from, event->node_moved.to);
    else if (event->type == EVENT_SESSION_MOVED)
        go(r, REPORT_SESSION, event->session_moved.from, event->session_moved.to);
    else if (event->type == EVENT_TASK_MOVED)
        go(r, REPORT_TASK, event->task_moved.from, event->task_moved.to);
    else if (event->type == EVENT_ASSIGNMENT_MOVED)
        go(r, REPORT_ASSIGNMENT, event->assignment_moved.from, event->assignment_moved.to);
    else if (event->type == EVENT_ROUND_MOVED)
        go(r, REPORT_ROUND, event->round_moved.from, event->round_moved.to);
    else if (event->type == EVENT_AUDIT_MOVED)
        go(r, REPORT_AUDIT, event->audit_moved.from, event->audit_moved.to);
    if (event->type == EVENT_TASK_MOVED && event->task_moved.to >= TASK_COMPLETED) {
        r->lives++;
        r->completed += event->task_moved.to == TASK_COMPLETED;
    }
}

void report_watch(struct report_watch *watch, struct sim *sim, struct report *report)
{
    *watch = (struct report_watch){.report = report};
    watch->observer = (struct sim_observer){.ctx = watch, .on_entry = on_entry, .on_event = on_event};
    sim_observe(sim, &watch->observer);
}

static void add_disk(struct report *report, const struct disk_stats *stats)
{
    report->fault[FAULT_TORN] += stats->sectors_torn + stats->sectors_garbage;
    report->fault[FAULT_LOST] += stats->sectors_lost + stats->sizes_lost + stats->names_lost;
    report->fault[FAULT_SYNC] += stats->syncs_failed;
    report->fault[FAULT_READ] += stats->reads_failed;
    report->fault[FAULT_WRITE] += stats->writes_failed;
    report->fault[FAULT_FULL] += stats->writes_full;
}

void report_end(struct report *report, const struct sim *sim)
{
    report->seeds++;
    report->failed += sim->check.failed;
    report->steps += sim->events_fired;
    report->simulated_us += sim->now_us;
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        report->fault[i] += sim->fault[i];
    for (uint32_t i = 0; i < sim->computer_count; i++)
        add_disk(report, disk_stats(sim->computer[i]->disk));
    for (uint32_t i = 0; i < CHECKER_COUNT; i++)
        report->looks[i] += sim->check.looks[i];
    report->honest_audits += sim->check.honest_audits;
    report->honest_condemned += sim->check.honest_condemned;
    mix(report, sim->events_fired);
    mix(report, sim->now_us);
}

/* ---- coverage ---- */

static enum term_set set_of(enum report_kind kind)
{
    static const enum term_set set[REPORT_KIND_COUNT] = {
        [REPORT_NODE] = TERM_node_state,   [REPORT_SESSION] = TERM_session_state,
        [REPORT_TASK] = TERM_task_state,   [REPORT_ASSIGNMENT] = TERM_assignment_state,
        [REPORT_ROUND] = TERM_round_state, [REPORT_AUDIT] = TERM_audit_state,
    };
    return set[kind];
}

static const char *kind_name(enum report_kind kind)
{
    static const char *const name[REPORT_KIND_COUNT] = {
        [REPORT_NODE] = "node",   [REPORT_SESSION] = "session",
        [REPORT_TASK] = "task",   [REPORT_ASSIGNMENT] = "assignment",
        [REPORT_ROUND] = "round", [REPORT_AUDIT] = "audit",
    };
    return name[kind];
}

typedef const char *namer(uint32_t number);
static const char *command_namer(uint32_t n) { return command_find(n) ? command_find(n)->name : NULL; }
static const char *event_namer(uint32_t n) { return event_find(n) ? event_find(n)->name : NULL; }
static const char *verdict_namer(uint32_t n) { return verdict_name(n); }
static const char *fault_namer(uint32_t n) { return sim_fault_name(n); }
static const char *checker_namer(uint32_t n) { return checker_name(n); }

struct counters {
    const char *title;
    const uint64_t *count;
    uint32_t size;
    namer *name;
};

#define REPORT_COUNTERS(r)                                                                                         \
    {                                                                                                              \
        {"commands", (r)->command, COMMAND_TYPE_END, command_namer},                                               \
            {"verdicts", (r)->verdict, VERDICT_COUNT, verdict_namer},                                              \
            {"events", (r)->event, EVENT_TYPE_END, event_namer}, {"faults", (r)->fault, FAULT_COUNT, fault_namer}, \
            {"looks", (r)->looks, CHECKER_COUNT, checker_namer},                                                   \
    }

static void print_counters(const struct counters *c, struct buf *out)
{
    uint32_t named = 0, reached = 0;
    for (uint32_t i = 0; i < c->size; i++) {
        named += c->name(i) != NULL;
        reached += c->name(i) && c->count[i];
    }
    buf_printf(out, "%s: %u of %u\n ", c->title, reached, named);
    for (uint32_t i = 0; i < c->size; i++)
        if (c->name(i) && c->count[i])
            buf_printf(out, " %s=%llu", c->name(i), (unsigned long long)c->count[i]);
    buf_text(out, "\n");
    if (reached == named)
        return;
    buf_text(out, "  never:");
    for (uint32_t i = 0; i < c->size; i++)
        if (c->name(i) && !c->count[i])
            buf_printf(out, " %s", c->name(i));
    buf_text(out, "\n");
}

static void print_arrows(const struct report *r, struct buf *out)
{
    for (uint32_t kind = 0; kind < REPORT_KIND_COUNT; kind++) {
        buf_printf(out, "%s:", kind_name(kind));
        for (uint32_t from = 0; from < REPORT_STATES_MAX; from++)
            for (uint32_t to = 0; to < REPORT_STATES_MAX; to++)
                if (r->arrow[kind][from][to])
                    buf_printf(out, " %s>%s=%llu", term_name(set_of(kind), from), term_name(set_of(kind), to),
                               (unsigned long long)r->arrow[kind][from][to]);
        buf_text(out, "\n");
    }
}

/* ---- printing ---- */

void report_print_seed(const struct report *one, const struct sim *sim, struct buf *out)
{
    uint64_t faults = 0;
    for (uint32_t i = 0; i < FAULT_COUNT; i++)
        faults += one->fault[i];
    buf_printf(out,
               "seed %llu: %s, %llu.%03llu s, %llu steps, %llu entries, %llu tasks ended, %llu completed, %llu told, "
               "%llu denied, %llu faults, trail %016llx\n",
               (unsigned long long)sim->swarm.seed, sim->check.failed ? "FAILED" : "ok",
               (unsigned long long)(one->simulated_us / 1000000), (unsigned long long)(one->simulated_us / 1000 % 1000),
               (unsigned long long)one->steps, (unsigned long long)one->entries, (unsigned long long)one->lives,
               (unsigned long long)one->completed, (unsigned long long)one->told, (unsigned long long)one->denied,
               (unsigned long long)faults, (unsigned long long)one->trail);
    if (!sim->check.failed)
        return;
    buf_printf(out, "  %s, entry %llu, at %llu.%06llu s: %s\n  swarm: ", checker_name(sim->check.checker),
               (unsigned long long)sim->check.seq, (unsigned long long)(sim->now_us / 1000000),
               (unsigned long long)(sim->now_us % 1000000), sim->check.text);
    swarm_print(&sim->swarm, out);
    buf_printf(out, "\n  repeat: build/sim --seed %llu\n", (unsigned long long)sim->swarm.seed);
}

bool report_is_just(const struct report *all) { return check_honest_bound(all->honest_audits, all->honest_condemned); }

void report_print(const struct report *all, double seconds, struct buf *out)
{
    const struct counters counters[] = REPORT_COUNTERS(all);
    for (size_t i = 0; i < ARRAY_COUNT(counters); i++)
        print_counters(&counters[i], out);
    print_arrows(all, out);
    buf_printf(out, "honest: %llu audits decided, %llu condemned: %s the bound of one in 1,000 per 10,000 audits\n",
               (unsigned long long)all->honest_audits, (unsigned long long)all->honest_condemned,
               report_is_just(all) ? "within" : "FAILED, honest:");
    scores_print(&all->scores, out);
    buf_printf(out,
               "%llu seeds, %llu simulated s, %llu steps, %llu entries, %llu tasks ended, %llu completed, %llu told, "
               "%llu denied, trail %016llx\n",
               (unsigned long long)all->seeds, (unsigned long long)(all->simulated_us / 1000000),
               (unsigned long long)all->steps, (unsigned long long)all->entries, (unsigned long long)all->lives,
               (unsigned long long)all->completed, (unsigned long long)all->told, (unsigned long long)all->denied,
               (unsigned long long)all->trail);
    if (seconds > 0)
        buf_printf(out, "%.1f CPU s: %.0f tasks/s, %.0f entries/s, %.1f seeds/s\n", seconds,
                   (double)all->lives / seconds, (double)all->entries / seconds, (double)all->seeds / seconds);
}

static void json_counters(const struct counters *c, struct buf *out)
{
    const char *comma = "";
    buf_printf(out, "\"%s\":{", c->title);
    for (uint32_t i = 0; i < c->size; i++) {
        if (!c->name(i))
            continue;
        buf_printf(out, "%s\"%s\":%llu", comma, c->name(i), (unsigned long long)c->count[i]);
        comma = ",";
    }
    buf_text(out, "},");
}

static void json_arrows(const struct report *r, struct buf *out)
{
    const char *comma = "";
    buf_text(out, "\"arrows\":{");
    for (uint32_t kind = 0; kind < REPORT_KIND_COUNT; kind++)
        for (uint32_t from = 0; from < REPORT_STATES_MAX; from++)
            for (uint32_t to = 0; to < REPORT_STATES_MAX; to++)
                if (r->arrow[kind][from][to]) {
                    buf_printf(out, "%s\"%s %s>%s\":%llu", comma, kind_name(kind), term_name(set_of(kind), from),
                               term_name(set_of(kind), to), (unsigned long long)r->arrow[kind][from][to]);
                    comma = ",";
                }
    buf_text(out, "},");
}

void report_json(const struct report *all, double seconds, struct buf *out)
{
    const struct counters counters[] = REPORT_COUNTERS(all);
    buf_text(out, "{");
    for (size_t i = 0; i < ARRAY_COUNT(counters); i++)
        json_counters(&counters[i], out);
    json_arrows(all, out);
    scores_json(&all->scores, out);
    buf_printf(out,
               "\"seeds\":%llu,\"failed\":%llu,\"simulated_ms\":%llu,\"steps\":%llu,\"entries\":%llu,\"lives\":%llu,"
               "\"completed\":%llu,\"honest_audits\":%llu,\"honest_condemned\":%llu,\"told\":%llu,\"denied\":%llu,"
               "\"cpu_seconds\":%.3f,\"trail\":\"%016llx\"}\n",
               (unsigned long long)all->seeds, (unsigned long long)all->failed,
               (unsigned long long)(all->simulated_us / 1000), (unsigned long long)all->steps,
               (unsigned long long)all->entries, (unsigned long long)all->lives, (unsigned long long)all->completed,
               (unsigned long long)all->honest_audits, (unsigned long long)all->honest_condemned,
               (unsigned long long)all->told, (unsigned long long)all->denied, seconds, (unsigned long long)all->trail);
}

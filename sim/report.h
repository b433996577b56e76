/* report.h - what runs have done: of one seed in a line, of many added up; for people and as JSON.
 *
 * While a seed runs it is an observer: it counts which commands were applied, what verdicts they got and which arrows
 * were gone, each entry once, however many routers apply it. The trail is a hash of all that was observed, so that two
 * runs of a seed can be compared by a number.
 */
#ifndef CORTEN_SIM_REPORT_H
#define CORTEN_SIM_REPORT_H

#include "core/command.h"
#include "core/event.h"
#include "core/verdict.h"
#include "sim/observe.h"
#include "sim/score.h"

#define REPORT_STATES_MAX 16  // of one kind of thing

enum report_kind {
    REPORT_NODE,
    REPORT_SESSION,
    REPORT_TASK,
    REPORT_ASSIGNMENT,
    REPORT_ROUND,
    REPORT_AUDIT,
    REPORT_KIND_COUNT
};

struct report {
    uint64_t seeds, failed;
    uint64_t steps;         // events of the worlds
    uint64_t entries;       // of the ledgers
    uint64_t lives;         // tasks that came to an end
    uint64_t completed;     // of these, with an answer
    uint64_t told, denied;  // prompts whose client got an answer, or something else
    uint64_t simulated_us;
    uint64_t trail;
    uint64_t command[COMMAND_TYPE_END], verdict[VERDICT_COUNT], event[EVENT_TYPE_END];
    uint64_t arrow[REPORT_KIND_COUNT][REPORT_STATES_MAX][REPORT_STATES_MAX];
    uint64_t fault[FAULT_COUNT];
    uint64_t looks[CHECKER_COUNT];
    uint64_t honest_audits, honest_condemned;  // judged over all seeds: check_world.h
    struct scores scores;
};

struct report_watch {
    struct sim_observer observer;
    struct report *report;
    uint64_t seen_seq;  // the last entry that was counted
    bool counts;        // the entry that is being told is a new one
};

/* Adds what happens in this world to the report. */
void report_watch(struct report_watch *watch, struct sim *sim, struct report *report);
/* At the world's end: times, faults, what the checkers did. */
void report_end(struct report *report, const struct sim *sim);
/* In any order: a sum, of the trails too. */
void report_add(struct report *to, const struct report *one);

/* A line of one seed; then why it failed, if it did. */
void report_print_seed(const struct report *one, const struct sim *sim, struct buf *out);
/* All seeds: totals, coverage, what was never reached. seconds: on a core, for the rates. */
void report_print(const struct report *all, double seconds, struct buf *out);
/* Whether the honest were condemned no more often than chance allows. */
bool report_is_just(const struct report *all);
void report_json(const struct report *all, double seconds, struct buf *out);

#endif

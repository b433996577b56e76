/* check.h - what the checkers found: the first failure, by the checker's name, and how often each of them looked.
 *
 * A checker is a statement about a run that must hold. It reads what the parts did and said, never how they decided it.
 * One that fails says its name, what it saw, and the entry at which it saw it; what fails later is a consequence and is
 * only counted. How often each looked tells whether a run has tried what it claims: a checker that never looked has
 * proved nothing.
 *
 * Source: docs/simulation.md, "Checkers".
 */
#ifndef CORTEN_SIM_CHECK_H
#define CORTEN_SIM_CHECK_H

#include "base/types.h"

// clang-format off
/* X(NAME, name). Of the core alone first: sim/check_core.h. Then those of a whole network: sim/check_world.h. */
#define CHECKERS(X)                                                     \
    /* of entries, verdicts and events */                               \
    X(CLOCK, clock)                     /* core time is as the protocol counts it */ \
    X(EFFECT, effect)                   /* an accepted command does what it says, a refused one nothing */ \
    X(TASK_RECORD, task_record)         /* tasks go their arrows only */ \
    X(ASSIGNMENT_RECORD, assignment_record) /* so do assignments; no lease is used twice, outlives its task or attempt */ \
    X(NODE_RECORD, node_record)         /* so do nodes; none is in two sessions */ \
    X(SESSION_RECORD, session_record)   /* so do sessions */ \
    X(ROUND_RECORD, round_record)       /* so do rounds */ \
    X(AUDIT_RECORD, audit_record)       /* so do audits */ \
    X(ONE_ANSWER, one_answer)           /* a task has one answer, chosen as the protocol says, or none */ \
    X(REVEAL, reveal)                   /* what was revealed is what was precommitted, by that node for that lease */ \
    X(REVEAL_ORDER, reveal_order)       /* no reveal before all have precommitted */ \
    X(TESTED, tested)                   /* who serves has passed a round since it last left a session */ \
    X(DEADLINES, deadlines)             /* nothing is accepted at its deadline, nothing lives beyond it */ \
    X(AUDIT_GATES, audit_gates)         /* no answer waits for an audit */ \
    X(SEQUENTIAL_TEST, sequential_test) /* a node's test moves as verdicts say; who is banned was condemned */ \
    X(DICE, dice)                       /* beacon, seeds and draws are those that nobody could choose */ \
    X(LEADER, leader)                   /* leadership rotates */ \
    X(MONEY, money)                     /* every account is what the events add up to, and all adds up */ \
    X(PAY, pay)                         /* an answer is paid once, by its use, within its reservation */ \
    X(WAKE_UP, wake_up)                 /* no task waits while those who may work on it are free */ \
    X(REFERENCES, references)           /* a client's reference names one task */ \
    X(STATE, state)                     /* what the core shows is what history says */ \
    /* of a whole network */                                            \
    X(REPLICAS, replicas)               /* who applied the same entries has the same digest */ \
    X(REPLAY, replay)                   /* replay equals the live run */ \
    X(DURABLE, durable)                 /* what was said is on the disk */ \
    X(PAYLOADS, payloads)               /* what an entry names is stored */ \
    X(OUTCOME, outcome)                 /* a client's reference has one outcome, that of the ledger */ \
    X(STREAM, stream)                   /* a stream ends once, truthfully */ \
    X(API, api)                         /* answers have the shape and status that the protocol names */ \
    X(PROGRESS, progress)               /* once the network heals, every task ends */ \
    X(HONEST, honest)                   /* the honest are not condemned */ \
    X(BAD_BYTES, bad_bytes)             /* bad bytes end on their connection alone */ \
    X(RECEIPT, receipt)                 /* a receipt proves what it says without a network */ \
    X(CORE_CHECK, core_check)           /* no assertion fails: where a run is a child process, it did not end by one */
// clang-format on

enum checker {
#define X_CHECKER(NAME, name) CHECKER_##NAME,
    CHECKERS(X_CHECKER)
#undef X_CHECKER
        CHECKER_COUNT
};
#define CHECKER_CORE_COUNT CHECKER_REPLICAS  // those before are of the core alone

#define CHECK_TEXT_SIZE 480

struct check {
    bool failed;
    enum checker checker;  // the first that failed
    uint64_t seq;          // at this entry; 0: at none
    char text[CHECK_TEXT_SIZE];
    uint64_t failures;
    uint64_t looks[CHECKER_COUNT];
    uint64_t honest_audits, honest_condemned;  // judged over all seeds of a run: check_world.h
};

/* "task_record". */
const char *checker_name(enum checker checker);
/* The checker of that name, or CHECKER_COUNT. */
enum checker checker_find(const char *name);

/* Keeps the first one; the text is cut. Gives false, so that a checker can end with it. */
bool check_fail(struct check *check, enum checker checker, uint64_t seq, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif

/* small.h - exhaustive small worlds: every history of a tiny network up to a depth, each state once.
 *
 *      state --every move--> verdict, events, state'     known already: not gone into again
 *
 * From each state every move is made that anybody could make: the right ones, which lead on, and wrong ones (a stale
 * lease, another's node, a reveal of something else, a command at its deadline), which must be refused by the name that
 * the protocol gives and leave the state as it was. States are told apart by the root over all tables of the core, so
 * that two orders of the same commands are one state. After every entry the checkers of check_core.h look.
 *
 * Of the states found some are also reached by a replay from the genesis, some are gone on from through a snapshot, and
 * from each at the last depth time is let pass: then every task ends and all money is where it belongs.
 *
 * Source: docs/simulation.md, "Small worlds".
 */
#ifndef CORTEN_SIM_SMALL_H
#define CORTEN_SIM_SMALL_H

#include "base/buf.h"
#include "sim/tiny.h"

/* What may happen in a world besides time passing, submitting, acks, precommits and reveals. */
enum small_part {
    SMALL_CANCEL = 1,
    SMALL_DECLINE = 2,
    SMALL_FAULT = 4,
    SMALL_WRONG = 8,        // reveals that do not match
    SMALL_TEXTS = 16,       // the second miner answers otherwise
    SMALL_STREAM = 32,      // what the client reads
    SMALL_PRESENCE = 64,    // miners detach and attach
    SMALL_CLOSE = 128,      // the session's owner closes it
    SMALL_ROUNDS = 256,     // every step of a round is a move
    SMALL_AUDITS = 512,     // likewise of audits
    SMALL_SILENCE = 1024,   // a router falls silent, another adopts
    SMALL_LEAVE = 2048,     // a miner leaves
    SMALL_LEADERS = 4096,   // an oracle falls silent
    SMALL_SHARED = 8192,    // the session is the router's, and the payer pays
    SMALL_TURNOVER = 16384  // a node is re-tested after each task, and one may do
};

struct small_world {
    const char *name, *what;
    struct tiny_options options;
    uint32_t parts;  // bits of enum small_part
    uint32_t tasks, redundancy, quorum, attempts, audit_bp;
    enum validation_policy validation;
    uint32_t depth;  // in make check
};
/* Ends with a world without a name. */
const struct small_world *small_worlds(void);

struct small_report {
    uint64_t states, moves, accepted, refused, probes;
    uint64_t lively;                   // states from which time was let pass
    uint64_t replays, snapshots;       // states that were also reached so
    uint32_t depth;                    // gone to
    bool complete;                     // no state is left to go into
    uint32_t commands, events;         // of how many types
    uint64_t ended[TASK_STATE_COUNT];  // tasks that ended so, over all moves
};

/* Where the exploration is: the moves from the first state on, the last of which is being made. */
#define SMALL_PATH_MAX 64
struct small_trail {
    uint32_t count, waits;  // waits: times that time was let pass behind them
    uint16_t move[SMALL_PATH_MAX + 1];
};

/* Goes into the world up to `depth` (0: the world's own). False: a checker failed, `check` says which. An assertion of
 * the core ends the process; the trail tells where it was. */
bool small_run(const struct small_world *world, uint32_t depth, struct check *check, struct small_trail *trail,
               struct small_report *report);
/* Walks along a trail again, without checkers. `told` hears of each entry before it is applied. */
void small_walk(const struct small_world *world, const struct small_trail *trail,
                void (*told)(void *ctx, const struct history_entry *entry), void *ctx);

/* ---- what the worlds are made of, for small.c and small_moves.c ---- */

#define SMALL_MOVES_MAX 192

enum move_expects { EXPECTS_ANY, EXPECTS_ACCEPTED, EXPECTS_NOTHING_NEW, EXPECTS_REFUSED, EXPECTS_VERDICT };

struct move {
    char name[48];
    struct command cmd;         // type 0: time passes
    struct tiny_hush hush;      // meanwhile
    struct tiny_answer answer;  // that cmd's record points into
    enum move_expects expects;
    enum verdict verdict;  // of EXPECTS_VERDICT
    bool probe;            // not gone into
    bool timely;           // accepted now, it would be accepted up to the deadline
};
/* Opens the world and its session. */
struct tiny *small_open(const struct small_world *world, struct check *check);
/* All that could happen next, in an order that only depends on the state. */
uint32_t small_moves(const struct small_world *world, struct tiny *t, struct move ret_move[SMALL_MOVES_MAX]);

#endif

/* bench.h - a network with one open session, and short words for what happens to its tasks.
 *
 * Every step is followed by core_check, so that a test that passes has also seen that nothing contradicts itself.
 */
#ifndef CORTEN_TESTS_BENCH_H
#define CORTEN_TESTS_BENCH_H

#include "lib/network.h"
#include "lib/test.h"

struct bench {
    struct network *n;
    uint64_t session;
};

/* Miners, routers and so on as `options` says; by default 4 miners of 4 operators with 2 slots, 2 oracles, 2 users. The
 * session has this redundancy and holds all miners; `tweak` may change its terms. */
struct bench bench_open(const struct network_options *options, uint8_t redundancy,
                        void (*tweak)(struct cmd_session_open *));
/* The same on a network that is there: the session holds all nodes that are EPHEMERAL. */
struct bench bench_on(struct network *n, uint8_t redundancy, void (*tweak)(struct cmd_session_open *));
void bench_close(struct bench *b);

/* As network_do, with the check behind it, and leaving cmd as it was. */
enum verdict bench_do(struct bench *b, const struct command *cmd);
struct command bench_submission(struct bench *b);  // filled, not done
uint64_t bench_submit(struct bench *b);            // done and accepted; the events before it are forgotten
/* task_ack, _decline, _precommit, _commit, _primary, _streams, _fault with this lease, as they commonly are. */
enum verdict bench_lease(struct bench *b, enum command_type type, uint64_t lease);
void bench_must(struct bench *b, enum command_type type, uint64_t lease);
enum verdict bench_decline(struct bench *b, uint64_t lease, enum decline_reason reason);
enum verdict bench_fault(struct bench *b, uint64_t lease, enum fail_cause cause);
enum verdict bench_cancel(struct bench *b, uint64_t task, uint32_t relayed);
void bench_wait(struct bench *b, uint64_t ms);

/* Live leases of a task, ascending; gives how many. The i-th of them. */
uint32_t bench_leases(struct bench *b, uint64_t task, uint64_t ret_lease[REDUNDANCY_MAX]);
uint64_t bench_nth(struct bench *b, uint64_t task, uint32_t i);
/* Each live lease of the task takes this step. */
void bench_all(struct bench *b, uint64_t task, enum command_type type);
/* From ack to commit, with this text for each live lease. */
void bench_answer(struct bench *b, uint64_t task, const char *const *text);

/* The state a task is in, or ended in. */
enum task_state bench_state(struct bench *b, uint64_t task);
/* Whether such a move is among the events since bench_submit. */
bool bench_task_moved(struct bench *b, uint64_t task, enum task_state from, enum task_state to, enum fail_cause cause);
bool bench_moved(struct bench *b, uint64_t lease, enum assignment_state from, enum assignment_state to,
                 enum fail_cause cause);
struct task_view bench_view(struct bench *b, uint64_t task);
struct assignment_view bench_assignment(struct bench *b, uint64_t lease);
struct node_view bench_node(struct bench *b, const struct address *node);
struct amount bench_balance(struct bench *b, char kind, uint32_t i);

#endif

/* trace_text.h - histories as exact traces: every entry as it stood on the ledger, in words.
 *
 *      network exact=1 start_ms=1700000000000
 *      who r1 0x52...                        a name for an address
 *      @0 > genesis network_id=7 ...         every field that is not zero; by=, via=, nonce= as they were
 *      ? task_offered task=t1 lease=l1       if the last entry brought such an event: a name for its numbers
 *      > task_ack lease=l1 via=r1
 *
 * Nothing is filled in, no heartbeat and no tick happens by itself. What is tested is that no checker fails.
 *
 * Source: tests/traces/README.md, "Exact traces".
 */
#ifndef CORTEN_SIM_TRACE_TEXT_H
#define CORTEN_SIM_TRACE_TEXT_H

#include "base/buf.h"
#include "sim/history.h"

/* With these lines of comment in front, each beginning with '#'. */
void trace_write(const struct history *history, const char *comment, struct buf *out);
bool trace_is_exact(const char *text);
/* Plays it on a core with the checkers of check_core.h, which tell in ret_check what they found. False: ret_why has the
 * line and what is wrong with it. The history is what was played. */
bool trace_play(const char *text, struct history *ret_history, struct check *ret_check, char *ret_why, size_t why_size);

#endif

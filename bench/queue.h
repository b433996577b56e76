/* queue.h - durable task life cycles per second, in Corten and in what people use in its place.
 *
 * A life cycle is submit, ack, precommit, commit, complete; owner, lease and hash are checked at each step; each step
 * is answered only when it is on disk. A client is one connection that submits and one that works, and has `depth`
 * tasks under way.
 */
#ifndef CORTEN_BENCH_QUEUE_H
#define CORTEN_BENCH_QUEUE_H

#include "measure.h"

#define QUEUE_CLIENTS_MAX 64
#define QUEUE_DEPTH_MAX   64
#define QUEUE_BODY_SIZE   200  // bytes of a task's body

struct queue_wish {
    uint32_t clients, depth;
    bool is_signed;  // of Corten: every precommit; the others sign nothing
    double seconds;
    const char *folder;  // on the device to be measured; exists
};
struct queue_result {
    bool ran;                       // else `why` says why not
    double per_s;                   // life cycles
    double p50_ms, p99_ms;          // from submit to the end
    double server_cpu, client_cpu;  // seconds of CPU a second
    char why[256];
};

#endif

/* tasks.h - the tasks that this router runs: from a client's request to the end of its stream.
 *
 *      tasks_submit -> TASK_SUBMIT with its payload, one durable batch -> on_accepted | on_refused
 *      chunks of the primary -> on_text…                                  (off the ledger)
 *      TASK_COMPLETED, FAILED, CANCELLED, EXPIRED -> on_end, exactly once
 *
 * A stream never lies: the text that went out is the answer, or the end says that it is not. What comes from miners
 * enters by the tasks_on_… functions, which hub.c calls; what goes to miners leaves through hub.h.
 */
#ifndef CORTEN_ROUTER_TASKS_H
#define CORTEN_ROUTER_TASKS_H

#define TASK_TEXT_SIZE_MAX (4u << 20)  // bytes of one answer

#include "base/buf.h"
#include "core/record.h"
#include "router/replica.h"

struct tasks;
struct hub;
struct history;
struct payload_store;

/* What a client wants, checked and in its canonical form (proto/request.h). */
struct task_wish {
    struct address payer;
    struct hash key_hash;  // zero: none
    uint64_t session;
    struct hash reference;  // keccak256 of the client's; zero: none
    const char *request;    // canonical JSON; copied
    size_t request_size;
    uint32_t prompt_size;  // bytes of text in it
    uint32_t tokens_max;   // 0: the session's
    uint8_t priority;      // PRIORITY_DEFAULT: the session's
    bool stream, greedy, seed_of_client;
    uint64_t seed;
    uint32_t timeout_ms, precommit_ms;  // 0: the session's
};

/* How a task ended. Spans are valid during the call. */
struct task_end {
    uint64_t task, session, seq;
    enum task_state state;
    enum fail_cause cause;
    uint8_t causes[FAIL_CAUSES_COUNTED];
    /* Where state is COMPLETED: */
    enum finish finish;
    uint32_t tokens_in, tokens_out;
    struct hash payload_digest;
    const char *text;  // the whole answer
    size_t text_size;
    struct amount charged;
    bool replaced;     // text went out that is not the answer's
    bool interrupted;  // text went out, and its miner was lost
    bool context;      // a node said that the prompt does not fit
};
struct task_sink {
    /* The task exists, durably; known: that reference named it before. */
    void (*on_accepted)(void *ctx, uint64_t task, bool known);
    /* Nothing was charged. err CX_OK: the core's verdict; else what the world said. The end. */
    void (*on_refused)(void *ctx, enum cx_err err, enum verdict verdict, const char *detail);
    /* A piece of the primary's answer, whole characters, only if the wish streams. */
    void (*on_text)(void *ctx, const char *text, size_t size);
    /* The primary was lost after text went out: no more text comes; on_end tells how the task ends. May be NULL. */
    void (*on_interrupted)(void *ctx);
    void (*on_end)(void *ctx, const struct task_end *end);
    void *ctx;
};
/* How much of a text a client has, and which text that is: a stream that is resumed goes on with the same one or says
 * that it does not. The sum is FNV-1a over the bytes; it guards against another attempt's text, not against liars. */
#define TEXT_SUM_START 2166136261u
struct text_mark {
    size_t size;
    uint32_t sum;
    bool summed;  // false: the client did not say which text
};
static inline uint32_t text_sum(uint32_t sum, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ (uint8_t)text[i]) * 16777619u;
    return sum;
}
/* Whether a text begins with what the client has. */
static inline bool text_goes_on(const struct text_mark *mark, const char *text, size_t size)
{
    return size >= mark->size && (!mark->summed || text_sum(TEXT_SUM_START, text, mark->size) == mark->sum);
}

/* One client's interest in one task. */
struct task_watch;

struct tasks_options {
    struct net_loop *loop;
    struct payload_store *payloads;  // of the same store as the ledger's blobs
    struct history *history;
    uint64_t keep_ms;  // payloads, from the submission on
};
enum cx_err tasks_open(const struct tasks_options *options, struct tasks **ret_tasks);
void tasks_close(struct tasks *tasks);
CX_CLOSER(tasks)
void tasks_set_hub(struct tasks *tasks, struct hub *hub);
struct replica_listener *tasks_listener(struct tasks *tasks);
/* After replica_open: takes up the tasks that live on the ledger and are this router's. */
void tasks_resume(struct tasks *tasks, struct replica *replica);

/* Submits a task and watches it; on_refused or on_accepted follows, never from inside. At once: TOO_LARGE, BUSY. */
enum cx_err tasks_submit(struct tasks *tasks, const struct task_wish *wish, const struct task_sink *sink,
                         struct task_watch **ret_watch);
/* Watches a task that exists: live ones from their first chunk on where it is still at hand (streams resume behind what
 * `from` says, or NULL; where the answer does not begin so, nothing comes but an end that says `replaced`), ended ones
 * from the archive. NOT_FOUND. */
enum cx_err tasks_watch(struct tasks *tasks, uint64_t session, uint64_t task, const struct text_mark *from,
                        const struct task_sink *sink, struct task_watch **ret_watch);
/* The client has gone, or wants no more: its sink is not called again. `cancel`: and nobody else watches, so the task
 * is cancelled with what was relayed. */
void task_watch_close(struct task_watch *watch, bool cancel);
/* Back-pressure: the client is slow; its text waits in the answer that is kept here anyway, so no miner is held up. */
void task_watch_pause(struct task_watch *watch);
void task_watch_resume(struct task_watch *watch);

/* Cancels by a client's wish; done as replica_done. */
enum cx_err tasks_cancel(struct tasks *tasks, uint64_t task, const struct address *payer, replica_done *done,
                         void *ctx);

/* ---- from hub.c: what a node's socket said; the node holds the lease, hub has checked that ---- */
void tasks_on_ack(struct tasks *tasks, uint64_t lease);
void tasks_on_decline(struct tasks *tasks, uint64_t lease, enum decline_reason reason);
/* False: it breaks the chain or the limits; the link says why and ends. head: the frame's claim, or NULL. */
bool tasks_on_chunk(struct tasks *tasks, uint64_t lease, uint64_t n, const char *text, size_t size, uint32_t tokens,
                    const struct hash *head);
void tasks_on_precommit(struct tasks *tasks, uint64_t lease, const struct hash *precommit,
                        const uint8_t *signature /* 65 bytes, or NULL */);
void tasks_on_commit(struct tasks *tasks, uint64_t lease, const struct hash *salt, struct span record, const char *text,
                     size_t size);
void tasks_on_fault(struct tasks *tasks, uint64_t lease, enum decline_reason reason);

/* ---- for hub.c: what a node owes now, when it (re)connects ---- */
struct task_offer {
    uint64_t task, lease, session, seed;
    bool round, seed_of_client, stream, together, channel, reveal, cancel;
    const char *request;  // canonical JSON; valid during the call
    size_t request_size;
    uint32_t tokens_max;
    uint32_t ack_ms, precommit_ms;  // left
    uint32_t relayed_tokens;        // with cancel
    enum assignment_state state;
    uint64_t chunks;  // frames of its stream that came: it goes on behind them
};
void tasks_each_offer(struct tasks *tasks, const struct address *node,
                      void (*each)(void *ctx, const struct task_offer *offer), void *ctx);

struct tasks_stats {
    uint64_t submitted, refused, streams, streams_cut, chunks, bytes;
    uint32_t live, watches;
};
struct tasks_stats tasks_stats(const struct tasks *tasks);

#endif

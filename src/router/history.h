/* history.h - what the ledger says happened, for people: receipts, time-lines, finished tasks.
 *
 * A listener that reads entries and events and nothing else, so that the archive it writes can be rebuilt from the
 * ledger at any time. What is known of a task gathers in memory, and goes into the archive in one piece some time after
 * the task's end, on a thread of its own. Whoever asks is shown what is in memory and what is in the archive as one:
 * all that has been applied, and nothing twice. Only what is asked for is written as JSON.
 *
 *      history_task.c   what events say of a task          history_archive.c   on the way into the archive
 *      history_line.c   time-lines                         history_body.c      what a row of the archive holds
 *      history_keep.c   what is in memory                  history_ask.c, history_told.c   for who asks
 */
#ifndef CORTEN_ROUTER_HISTORY_H
#define CORTEN_ROUTER_HISTORY_H

#include "core/event.h"
#include "ledger/archive.h"
#include "proto/receipt.h"
#include "router/replica.h"

struct history;

struct history_options {
    const char *archive_path;  // ":memory:" keeps nothing
    /* The archive failed: what has ended cannot be shown from now on, so that a router had better stop. Told once, by
     * cx_detail, with what to do; may be NULL. */
    void (*on_failed)(void *ctx, enum cx_err err, const char *why);
    void *ctx;
};
/* The archive is opened at the first entry, when the network is known. */
enum cx_err history_open(const struct history_options *options, struct history **ret_history);
void history_close(struct history *history);
CX_CLOSER(history)
struct replica_listener *history_listener(struct history *history);  // replays
/* Forgets what ended before then; soon, on the archive's thread. */
void history_forget(struct history *history, uint64_t before_ms);

/* In what follows session 0 is whichever: a task's id is enough. Where a row of the archive is damaged: CORRUPT. */

/* A finished task as the API shows it. NOT_FOUND: it is not finished, or was forgotten. */
struct finished_task {
    uint64_t session, task, end_seq, submitted_ms, finished_ms;
    enum task_state state;
    enum fail_cause cause;
    uint8_t causes[FAIL_CAUSES_COUNTED];
    enum finish finish;
    uint32_t tokens_in, tokens_out, attempts;
    struct address payer;
    struct hash prompt_digest, payload_digest;  // zero: none
    struct amount charged;
};
enum cx_err history_finished(struct history *history, uint64_t session, uint64_t task, struct finished_task *ret_task);
/* What is known of a live task: payer, prompt, submitted_ms. NOT_FOUND. */
enum cx_err history_created(struct history *history, uint64_t task, struct finished_task *ret_task);
/* The last one to finish under this reference. NOT_FOUND. */
enum cx_err history_by_reference(struct history *history, const struct address *payer, const struct hash *reference,
                                 uint64_t *ret_session, uint64_t *ret_task);

/* A page of finished tasks: of each what lists show, from session to finished_ms, state, payer and the digests. By
 * session or by payer. False: enough. */
typedef bool history_each_task(void *ctx, const struct finished_task *task);
enum cx_err history_tasks(struct history *history, const struct archive_query *query, history_each_task *each,
                          void *ctx);

/* The receipt as it stands: of a live task, or one that has ended. NOT_FOUND. */
enum cx_err history_receipt(struct history *history, uint64_t session, uint64_t task, struct receipt *ret_receipt);
enum cx_err history_receipt_json(struct history *history, uint64_t session, uint64_t task, struct buf *ret_json);

/* What is audited: of a live audit, whatever became of its task. NOT_FOUND: the archive has forgotten it. */
struct audited_answer {
    struct hash prompt_digest, payload_digest;  // SHA-256 of the stored bytes
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size;
};
enum cx_err history_audited(struct history *history, uint64_t audit, uint64_t lease, struct audited_answer *ret_answer);

/* A line of a time-line. Valid for the duration of the call. */
struct history_event {
    uint64_t seq, time_ms;
    uint32_t index;  // among the events of its entry
    struct event event;
};
typedef bool history_each_event(void *ctx, const struct history_event *event);
/* What happened to a task, from the first event on. NOT_FOUND. */
enum cx_err history_task_events(struct history *history, uint64_t task, history_each_event *each, void *ctx);
/* The last `limit` things that happened to a node, in its tasks and else, the last first. */
enum cx_err history_node_events(struct history *history, const struct address *node, uint32_t limit,
                                history_each_event *each, void *ctx);

#endif

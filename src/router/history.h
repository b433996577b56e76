/* history.h - what the ledger says happened, for people: receipts, time-lines, finished tasks.
 *
 * A listener that reads entries and events and nothing else, so that the archive it writes can be rebuilt from the
 * ledger at any time. Receipts of live tasks are in memory, and go into the archive when their task ends.
 */
#ifndef CORTEN_ROUTER_HISTORY_H
#define CORTEN_ROUTER_HISTORY_H

#include "ledger/archive.h"
#include "proto/receipt.h"
#include "router/replica.h"

struct history;

struct history_options {
    const char *archive_path;  // ":memory:" keeps nothing
    uint64_t network_id;       // as the ledger says; 0: learnt from the genesis entry
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

struct archive *history_archive(struct history *history);
/* The receipt as it stands: of a live task, or an ended one from the archive. NOT_FOUND. */
enum cx_err history_receipt(struct history *history, uint64_t session, uint64_t task, struct buf *ret_json);
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
/* What is known of a live task: payer, prompt, submitted_ms. NOT_FOUND. */
enum cx_err history_created(struct history *history, uint64_t task, struct finished_task *ret_task);
enum cx_err history_finished(struct history *history, uint64_t session, uint64_t task, struct finished_task *ret_task);

/* What is audited: of a live audit, whatever became of its task. NOT_FOUND: the archive has forgotten it. */
struct audited_answer {
    struct hash prompt_digest, payload_digest;  // SHA-256 of the stored bytes
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size;
};
enum cx_err history_audited(struct history *history, uint64_t audit, uint64_t lease, struct audited_answer *ret_answer);

#endif

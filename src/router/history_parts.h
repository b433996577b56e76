/* history_parts.h - within src/router/history*: what is known of tasks, and what of it waits for the archive.
 *
 *      live[slot] --ends--> gathering --on_batch--> handed, in order --written--> spare
 *                              ^ may still change       ^ lent to the archive's writer: stays as it is
 *
 * What happens to a task once it is handed over, and to nodes, becomes rows of its own. `written_seq` parts memory from
 * archive: of entries up to there all is in the archive, and of later ones all is in memory.
 */
#ifndef CORTEN_ROUTER_HISTORY_PARTS_H
#define CORTEN_ROUTER_HISTORY_PARTS_H

#include "ledger/archive_writer.h"
#include "router/history.h"

#define HISTORY_BUCKETS 4096  // of the tasks that have ended and are in memory
/* What is gathered is handed over when it is that much, or that old by the ledger's time: each transaction has its
 * price, and what is not written is made again after a crash. */
#define HISTORY_GATHER_TASKS 256
#define HISTORY_GATHER_ROWS  1024
#define HISTORY_GATHER_MS    10000
/* Tasks whose memory is kept for the next ones, and what one of them may hold for that. */
#define HISTORY_SPARE_TASKS     1024
#define HISTORY_SPARE_LINE_SIZE (16 << 10)

/* A task, from its creation until the archive has it. */
struct history_task {
    struct history_task *next;        // in its bucket; or among the spare
    struct history_task *next_ended;  // the one that ended before it, in its batch
    struct finished_task task;
    /* What its receipt says beside that. */
    uint64_t submit_seq;
    uint32_t rules_version;
    struct address router;
    struct hash request_digest, reference, dice;
    bool dice_from_beacon, verdict_missing, primary_streamed, model_declared;
    uint8_t validation, redundancy, quorum, model_class;
    struct receipt_answer *answer;  // [answers], RECEIPT_ANSWERS_MAX at most
    uint32_t answers, answer_cap;
    struct address *node;  // [nodes]: whom it was offered
    uint32_t nodes, node_cap;
    struct buf line;  // history_line.c
    bool ended;
    bool handed;  // to the archive's writer: nothing of it may change
};

struct history_verdict {
    uint64_t time_ms, task;
    struct receipt_verdict verdict;
};

/* What goes into the archive in one transaction. */
struct history_batch {
    struct archive_batch rows;     // filled when it is handed over
    struct history_batch *next;    // handed over after it
    struct history_task *ended;    // the last first
    struct archived_event *event;  // their bodies one behind the other in event_bytes, which grows and moves
    struct history_verdict *verdict;
    struct buf event_bytes;
    uint32_t tasks, events, event_cap, verdicts, verdict_cap;
    uint64_t since_ms;  // ledger time of the first of them
    /* For the rows. */
    struct archived_task *task_row;
    struct archived_verdict *verdict_row;
    struct buf bodies;
    uint32_t task_row_cap, verdict_row_cap;
};

/* What an audit is about, by the slot in the audit's id. */
struct history_audit {
    uint64_t audit, task, lease;
};

/* Where in an event's struct it says which task and node it is about; 0: it does not. */
struct history_concern {
    uint16_t task, node;
};

struct history {
    struct history_options options;
    char *path;
    struct replica_listener listener;
    struct archive_writer *writer;  // NULL: not open yet, or failed
    enum cx_err broken;             // the archive failed: on_failed was told
    struct history_concern concern[EVENT_TYPE_END];
    struct history_task **live;  // [live_cap], by the slot in the task's id
    uint32_t live_cap;
    struct history_task *ended[HISTORY_BUCKETS];
    struct history_task *spare;
    uint32_t spares;
    struct history_audit *audit;
    uint32_t audit_cap;
    struct history_batch gathering;
    struct history_batch *handed, **handed_last, *spare_batch;
    uint64_t network_id;
    uint64_t seq, time_ms;  // the last entry seen
    uint64_t batch_seq;     // the last entry whose batch is over
    uint64_t had_seq;       // what the archive had when it was opened: of entries up to here nothing is put again
    uint64_t written_seq;
    uint32_t event_index;
};

/* Makes room for row number `need`, all zero where it is new. */
void *history_grow(void *rows, uint32_t *cap, uint32_t need, size_t size);

/* Slots are used again at once, so that ids that differ in their upper halves alone are common. */
static inline uint32_t history_bucket(uint64_t task) { return (uint32_t)((task * 0x9e3779b97f4a7c15) >> 52); }
static_assert(HISTORY_BUCKETS == 1 << (64 - 52), "history_bucket");

/* history_task.c */
struct history_task *history_task_find(const struct history *history, uint64_t task);
/* `task`: the one that the event is about; NULL: none, or it is not in memory. Gives the task the event belongs to. */
struct history_task *history_task_hear(struct history *history, struct history_task *task,
                                       const struct replica_moment *moment, const struct event *event);
/* An oracle's verdict is this entry's command. */
void history_hear_verdict(struct history *history, const struct replica_moment *moment);
/* What is audited; NULL: nothing is known of this audit. */
const struct history_audit *history_audit_find(const struct history *history, uint64_t audit);
/* What was held back for it is paid or forfeited. */
bool history_audit_is_over(const struct evt_audit_moved *event);
/* All but the verdicts. */
void history_task_receipt(const struct history *history, const struct history_task *task, struct receipt *ret_receipt);
void history_task_done(struct history_task *task);

/* history_line.c: a format, and then of each event seq, time_ms, index, size and bytes. */
void history_line_add(struct buf *line, const struct history *history, const struct event *event);
/* False: the line has another format. */
bool history_line_open(struct span line, struct bytes_reader *ret_reader);
/* The next event; its bytes in *ret_bytes. False: no more, or it is damaged (!reader->ok). */
bool history_line_next(struct bytes_reader *reader, struct history_event *ret_event, struct span *ret_bytes);
void history_learn_concerns(struct history *history);
/* Zero: none. */
uint64_t history_task_of(const struct history *history, const struct event *event);
struct address history_node_of(const struct history *history, const struct event *event);

/* history_body.c */
void history_body_encode(const struct history_task *task, struct buf *body);
/* A row of the archive, without its line. Frees nothing that *ret_task has, and uses it again. CORRUPT. */
enum cx_err history_body_decode(const struct archived_task *row, struct history_task *ret_task);
#define HISTORY_VERDICT_SIZE 151
void history_verdict_encode(const struct receipt_verdict *verdict, uint8_t ret_bytes[HISTORY_VERDICT_SIZE]);
bool history_verdict_decode(struct span bytes, struct receipt_verdict *ret_verdict);
/* A row that is no row of ours: a disk did that, not whoever asks. */
enum cx_err history_damaged(const char *what);

/* history_keep.c */
struct history_task *history_task_take(struct history *history);  // all zero, but for memory that it has
void history_keep_ended(struct history *history, struct history_task *task);
void history_keep_event(struct history *history, const struct event *event, uint64_t task, const struct address *node);
void history_keep_verdict(struct history *history, uint64_t task, const struct receipt_verdict *verdict);
void history_keep_done(struct history *history);
/* What the archive has already, or none will have, is not kept. */
bool history_is_kept(const struct history *history);
/* Batches in memory, the oldest first: *batch NULL begins. */
bool history_batch_next(struct history *history, struct history_batch **batch);
void history_batch_reset(struct history *history, struct history_batch *batch);
void history_batch_done(struct history *history, struct history_batch *batch);

/* history_archive.c */
void history_archive_open(struct history *history, const struct core *core);
void history_archive_close(struct history *history);
/* A batch of the ledger is over. */
void history_archive_batch(struct history *history);
/* The archive for reading. NOT_FOUND: there is none yet. */
enum cx_err history_reader(struct history *history, struct archive **ret_archive);
/* After the archive's answer: gives up where it says that the archive is no good. */
enum cx_err history_asked(struct history *history, enum cx_err err);

/* history_ask.c: the task wherever it is; *room, which is zero and to be history_task_done, where it was not in memory.
 * Its line goes into room->line. */
enum cx_err history_load(struct history *history, uint64_t session, uint64_t task, struct history_task *room,
                         const struct history_task **ret_task);

/* history_told.c: what happened to a task after it was handed over. */
enum cx_err history_later_events(struct history *history, uint64_t task, history_each_event *each, void *ctx);

#endif

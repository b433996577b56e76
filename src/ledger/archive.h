/* archive.h - finished tasks, and what happened to them and to nodes, for questions that the core has forgotten.
 *
 *      task     a task that has ended: what lists show, a body and a time-line that are the owner's
 *      event    what happened to nodes, and to tasks after they had ended
 *      verdict  what oracles said of a task after it had ended
 *
 * An archive is made from the ledger and is never an authority: it can be deleted, and comes back by replaying. Rows
 * are put in the order of the ledger (tasks that one entry finished in that of their ids, which are signed here),
 * between begin and commit, and never change:
 *
 *      archive_begin(archive);
 *      archive_task_put(archive, &task);
 *      archive_event_put(archive, &event);
 *      archive_commit(archive, seq);           // all there is to put up to and including entry seq
 *
 * Tasks of one commit are packed together, and are forgotten together. A task that is put again is found once, as it
 * was put last and where it was put last.
 *
 * One SQLite file of its own. A crash of the machine may lose its last commits: these are put again.
 * Threads: a handle belongs to one thread at a time; one writes, others may read. See archive_writer.h.
 */
#ifndef CORTEN_LEDGER_ARCHIVE_H
#define CORTEN_LEDGER_ARCHIVE_H

#include "base/err.h"
#include "base/types.h"

#define ARCHIVE_FORMAT          5
#define ARCHIVE_PAGE_MAX        1000  // rows of one answer
#define ARCHIVE_BODY_SIZE_MAX   (1 << 20)
#define ARCHIVE_FORGET_STEP_MAX 256   // tasks that one archive_forget removes, and the rest of the last one's group
#define ARCHIVE_FORGET_ROWS_MAX 4096  // events and verdicts, each

struct archived_task {
    uint64_t session, task;  // no other task ever has this id
    uint64_t seq;            // of the entry that finished it
    uint32_t state;
    struct address payer;
    struct hash reference;  // Keccak-256 of the client reference; zero: none
    uint64_t submitted_ms, finished_ms;
    struct hash prompt, answer;  // SHA-256; zero: none
    const struct address *node;  // [node_count]: who worked on it
    uint32_t node_count;
    struct span body, line;  // everything else, and its time-line
};

/* Of task and node, what does not apply is zero. */
struct archived_event {
    uint64_t seq;
    uint32_t index;  // among the events of its entry
    uint64_t time_ms;
    uint64_t task;
    struct address node;
    struct span body;
};

struct archived_verdict {
    uint64_t seq;  // of its entry: there is one an entry
    uint64_t time_ms;
    uint64_t task;
    struct span body;
};

struct archive;

/* Makes the file where there is none; ":memory:" keeps nothing. network: as ledger_network says. INVALID: another
 * network's archive. CORRUPT, UNSUPPORTED: remove the file; it is rebuilt. */
enum cx_err archive_open(const char *path, uint64_t network, struct archive **ret_archive);
/* Another handle on a file that archive_open has made, for reading. */
enum cx_err archive_open_reader(const char *path, struct archive **ret_archive);
void archive_close(struct archive *archive);
CX_CLOSER(archive)
/* Removes an archive that nobody has open, so that the next one is made from the beginning. */
enum cx_err archive_remove(const char *path);

/* The last entry whose events are in the archive, as of the last commit of this handle; 0: none. */
uint64_t archive_seq(const struct archive *archive);
enum cx_err archive_begin(struct archive *archive);
/* TOO_LARGE: body, line or nodes. */
enum cx_err archive_task_put(struct archive *archive, const struct archived_task *task);
enum cx_err archive_event_put(struct archive *archive, const struct archived_event *event);
enum cx_err archive_verdict_put(struct archive *archive, const struct archived_verdict *verdict);
enum cx_err archive_commit(struct archive *archive, uint64_t seq);
void archive_rollback(struct archive *archive);  // instead of the commit; also after one that failed

/* Are handed rows, valid for the duration of the call. False: enough. */
typedef bool archive_each_task(void *ctx, const struct archived_task *task);
typedef bool archive_each_event(void *ctx, const struct archived_event *event);
typedef bool archive_each_verdict(void *ctx, const struct archived_verdict *verdict);

/* NOT_FOUND: it is not finished, or was forgotten. */
enum cx_err archive_task(struct archive *archive, uint64_t task, archive_each_task *each, void *ctx);
/* The newest task under this reference. NOT_FOUND. */
enum cx_err archive_task_by_reference(struct archive *archive, const struct address *payer,
                                      const struct hash *reference, archive_each_task *each, void *ctx);

enum archive_by {
    ARCHIVE_BY_SESSION,
    ARCHIVE_BY_PAYER,
    ARCHIVE_BY_NODE,  // whoever worked on it
};

/* A page of tasks, the last finished first. The next page starts behind the last row of this one: give its seq and
 * task as before_seq and before_task. */
struct archive_query {
    enum archive_by by;
    uint64_t session;        // ARCHIVE_BY_SESSION
    struct address address;  // ARCHIVE_BY_PAYER, ARCHIVE_BY_NODE
    uint64_t before_seq;     // 0: the first page
    uint64_t before_task;
    uint32_t limit;  // at most ARCHIVE_PAGE_MAX
};
enum cx_err archive_tasks(struct archive *archive, const struct archive_query *query, archive_each_task *each,
                          void *ctx);

/* What happened to a task after it had ended, and what was said of it, up to that entry, in order. */
enum cx_err archive_task_events(struct archive *archive, uint64_t task, uint64_t seq_max, archive_each_event *each,
                                void *ctx);
enum cx_err archive_task_verdicts(struct archive *archive, uint64_t task, uint64_t seq_max, archive_each_verdict *each,
                                  void *ctx);
/* The last `limit` events of a node up to that entry, the last first. What stands in time-lines of tasks is not among
 * them. */
enum cx_err archive_node_events(struct archive *archive, const struct address *node, uint64_t seq_max, uint32_t limit,
                                archive_each_event *each, void *ctx);

/* Removes what ended, happened or was said before then, oldest first; at most so much as the limits above say. A task
 * stays until the last one of its group ended before then. *ret_more: there may be more of it. */
enum cx_err archive_forget(struct archive *archive, uint64_t before_ms, bool *ret_more);

#endif

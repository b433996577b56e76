/* archive.h - finished tasks, and what happened to them and to nodes, for questions that the core has forgotten.
 *
 * An archive is made from the ledger and is never an authority: it can be deleted, and comes back by replaying. Its
 * writer puts what the events of an entry say between begin and commit, and may begin again anywhere before
 * archive_seq: what is there already is passed over. At archive_seq itself rows are added, or put again.
 *
 *      archive_begin(archive, seq);            // everything up to and including entry seq
 *      archive_task_put(archive, &task);
 *      archive_event_put(archive, &event);
 *      archive_commit(archive);
 *
 * One SQLite file of its own. A crash of the machine may lose its last commits: these are put again.
 * Threads: a handle belongs to one thread; one writes, others may read.
 */
#ifndef CORTEN_LEDGER_ARCHIVE_H
#define CORTEN_LEDGER_ARCHIVE_H

#include "base/err.h"
#include "base/types.h"

#define ARCHIVE_FORMAT          2
#define ARCHIVE_PAGE_MAX        1000  // rows of one answer
#define ARCHIVE_BODY_SIZE_MAX   (1 << 20)
#define ARCHIVE_FORGET_STEP_MAX 256  // tasks that one archive_forget removes

struct archived_task {
    uint64_t session, task;
    uint64_t seq;  // of the entry that finished it
    uint32_t state;
    struct address payer;
    struct hash reference;  // Keccak-256 of the client reference; zero: none
    uint64_t submitted_ms, finished_ms;
    struct hash prompt, answer;  // SHA-256; zero: none
    const struct address *node;  // [node_count]: who worked on it
    uint32_t node_count;
    struct span body;  // JSON text: everything else
};

/* A line of a time-line. Of session and task, and node, what does not apply is zero. */
struct archived_event {
    uint64_t seq;
    uint32_t index;  // among the events of its entry
    uint64_t time_ms;
    uint64_t session, task;
    struct address node;
    const char *name;
    struct span body;  // the event as core/event.h encodes it
};

struct archive;

/* Makes the file where there is none; ":memory:" keeps nothing. network: as ledger_network says. INVALID: another
 * network's archive. CORRUPT, UNSUPPORTED: delete the file; it is rebuilt. */
enum cx_err archive_open(const char *path, uint64_t network, struct archive **ret_archive);
void archive_close(struct archive *archive);
CX_CLOSER(archive)
/* Removes an archive that nobody has open, so that the next one is made from the beginning. */
enum cx_err archive_remove(const char *path);

/* The last entry whose events are in the archive; 0: none. */
uint64_t archive_seq(const struct archive *archive);
enum cx_err archive_begin(struct archive *archive, uint64_t seq);
/* Replaces an earlier row of the same session and task. TOO_LARGE: the body. */
enum cx_err archive_task_put(struct archive *archive, const struct archived_task *task);
enum cx_err archive_event_put(struct archive *archive, const struct archived_event *event);
enum cx_err archive_commit(struct archive *archive);

/* Are handed rows, valid for the duration of the call. False: enough. */
typedef bool archive_each_task(void *ctx, const struct archived_task *task);
typedef bool archive_each_event(void *ctx, const struct archived_event *event);

/* NOT_FOUND: it is not finished, or was forgotten. */
enum cx_err archive_task(struct archive *archive, uint64_t session, uint64_t task, archive_each_task *each, void *ctx);
/* The same, by the task's id alone, which no other task ever had. */
enum cx_err archive_task_by_id(struct archive *archive, uint64_t task, archive_each_task *each, void *ctx);
/* The newest task under this reference. NOT_FOUND. */
enum cx_err archive_task_by_reference(struct archive *archive, const struct address *payer,
                                      const struct hash *reference, archive_each_task *each, void *ctx);

enum archive_by { ARCHIVE_ALL, ARCHIVE_BY_SESSION, ARCHIVE_BY_PAYER, ARCHIVE_BY_NODE };

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

/* What happened to a task, from the first event on. */
enum cx_err archive_task_events(struct archive *archive, uint64_t session, uint64_t task, archive_each_event *each,
                                void *ctx);
/* The last `limit` things that happened to a node, the last first. */
enum cx_err archive_node_events(struct archive *archive, const struct address *node, uint32_t limit,
                                archive_each_event *each, void *ctx);

/* Removes tasks that finished before then, with their events, and older events of nodes, oldest first; at most
 * ARCHIVE_FORGET_STEP_MAX tasks: call again while *ret_removed is that many. */
enum cx_err archive_forget(struct archive *archive, uint64_t before_ms, uint32_t *ret_removed);

#endif

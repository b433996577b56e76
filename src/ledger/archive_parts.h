/* archive_parts.h - within src/ledger/archive*: the handle and its statements.
 *
 * Tasks, events and verdicts are put in the order of the ledger, whose time never decreases: by `place`, by (seq, idx)
 * and by seq they stand in the order of their time as well, so that the oldest are the first. What is found in another
 * way has an index, and nothing else has.
 */
#ifndef CORTEN_LEDGER_ARCHIVE_PARTS_H
#define CORTEN_LEDGER_ARCHIVE_PARTS_H

#include "base/buf.h"
#include "base/db.h"
#include "ledger/archive.h"

#define ARCHIVE_SHELF 1024  // tasks whose nodes are kept together

enum archive_statement {
    SET_SEQ,
    PUT_TASK,
    PUT_NODE,
    PUT_EVENT,
    PUT_VERDICT,
    ONE_TASK,
    BY_REFERENCE,
    PAGE_SESSION,
    PAGE_PAYER,
    PAGE_NODE,
    PLACES,
    PLACE,
    TASK_EVENTS,
    TASK_VERDICTS,
    NODE_EVENTS,
    OLDEST,
    DROP_NODE,
    DROP_TASK,
    DROP_EVENTS,
    DROP_VERDICTS,
    STATEMENT_COUNT,
};

struct archive {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENT_COUNT];  // NULL: not asked for yet
    uint64_t seq;
    bool begun;        // between begin and commit
    uint64_t put_seq;  // of the task that was put last since begin: they come in the order of pages
    int64_t put_task;
    struct buf plain, packed;
};

/* Prepared when it is first asked for: readers never write, and most writers never read. */
enum cx_err archive_statement(struct archive *archive, enum archive_statement which, sqlite3_stmt **ret_stmt);

/* ---- archive_pack.c: body and time-line of a task as one column ---- */

/* Into archive->packed. */
void archive_pack(struct archive *archive, const struct archived_task *task);
/* Sets body and line of a task whose other columns are read; valid until the next call. False: it is damaged. */
bool archive_unpack(struct archive *archive, struct span packed, struct archived_task *task);

#endif

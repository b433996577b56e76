/* archive_parts.h - within src/ledger/archive*: the handle, its statements, and groups of tasks.
 *
 * What one commit puts of tasks is one row, a group: they are packed together, and are written, found and forgotten
 * together. Tasks are numbered as they are put, from 1 and never again: a group's place is the number of its last task.
 *
 *      task_id         task -> its number                      one row a task
 *      task_reference  payer, reference -> number of the last task under it
 *      task_of         session, payer or node -> places        one row for each that a group has tasks of
 *
 * Rows of task_of are on shelves of ARCHIVE_SHELF places: what is put together writes few pages, and who is looked for
 * is looked for on one shelf after the other.
 *
 * Tasks, events and verdicts are put in the order of the ledger, whose time never decreases: by place, by (seq, idx)
 * and by seq they stand in the order of their time as well, so that the oldest are the first.
 */
#ifndef CORTEN_LEDGER_ARCHIVE_PARTS_H
#define CORTEN_LEDGER_ARCHIVE_PARTS_H

#include "base/buf.h"
#include "base/db.h"
#include "ledger/archive.h"

#define ARCHIVE_SHELF 2048  // places whose sessions, payers and nodes are kept together

/* A group takes no further task that would make it larger than this when unpacked; one task may be larger. LZ4 looks
 * back 64 KiB: more would hardly pack better, and is unpacked whole for each task that is asked for. */
#define ARCHIVE_GROUP_SIZE (64 << 10)

enum archive_statement {
    SET_META,
    PUT_GROUP,
    PUT_ID,
    PUT_REFERENCE,
    PUT_OF,
    PUT_EVENT,
    PUT_VERDICT,
    GET_GROUP,
    NUMBER_OF_ID,
    NUMBER_OF_REFERENCE,
    PLACE_LAST,
    PLACE_BEFORE,
    PLACES_OF,
    SHELF_BEFORE,
    TASK_EVENTS,
    TASK_VERDICTS,
    NODE_EVENTS,
    OLDEST,
    DROP_GROUP,
    DROP_ID,
    DROP_REFERENCE,
    DROP_OF,
    DROP_EVENTS,
    DROP_VERDICTS,
    STATEMENT_COUNT,
};

/* Tasks behind each other, as archive_group.c encodes them. */
struct group {
    uint64_t place;  // 0: it is none of the file
    struct buf plain;
    uint32_t *at;  // [count]: where each begins
    uint32_t count, cap;
};

/* By what else than its id a task is found: 8 bytes of a session, 20 of a payer or a node. */
struct group_key {
    uint8_t by;  // enum archive_by
    uint8_t size;
    uint8_t b[20];
};

struct archive {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENT_COUNT];  // NULL: not asked for yet
    uint64_t seq;
    bool begun;        // between begin and commit
    uint64_t tasks;    // ever put, as of begin or of the last group that was written since
    uint64_t put_seq;  // of the task that was put last since begin: they come in the order of pages
    int64_t put_task;
    struct group putting;  // what was put since begin and is not written
    struct group got;      // what was read last: groups never change, and places do not come again
    struct buf packed;
    struct group_key *key;  // of a group that is written or forgotten
    uint32_t keys, key_cap;
};

/* Prepared when it is first asked for: readers never write, and most writers never read. */
enum cx_err archive_statement(struct archive *archive, enum archive_statement which, sqlite3_stmt **ret_stmt);
enum cx_err archive_set_meta(struct archive *archive, const char *key, uint64_t value);

/* ---- archive_group.c: tasks as bytes ---- */

void group_reset(struct group *group);
void group_done(struct group *group);
/* False: it is full, and not empty. */
bool group_has_room(const struct group *group, const struct archived_task *task);
void group_add(struct group *group, const struct archived_task *task);
/* Valid until the group changes. */
void group_task(const struct group *group, uint32_t index, struct archived_task *ret_task);
void group_pack(const struct group *group, struct buf *packed);
/* False: it is damaged, and the group is empty. */
bool group_unpack(struct group *group, struct span packed, uint64_t count, uint64_t size);

/* ---- archive_tasks.c: the rows of a group ---- */

struct group_key group_key_of_session(uint64_t session);
struct group_key group_key_of_address(enum archive_by by, const struct address *address);
/* Whether the task is found by it. */
bool group_key_is_of(const struct group_key *key, const struct archived_task *task);

/* Writes what is in archive->putting. */
enum cx_err archive_tasks_write(struct archive *archive);
/* *ret_count: tasks that went with the oldest group; 0 where that is not so old. */
enum cx_err archive_tasks_forget(struct archive *archive, uint64_t before_ms, uint32_t *ret_count);
/* Makes archive->got the group that has the task of this number. CORRUPT: there is none, or it is damaged. */
enum cx_err archive_group_get(struct archive *archive, uint64_t number);
enum cx_err archive_damaged(const struct archive *archive);

#endif

#include "base/db.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/file.h"

static const char *path_of(sqlite3 *db)
{
    const char *path = db ? sqlite3_db_filename(db, "main") : NULL;
    return path && path[0] ? path : "database";
}

/* SQLite has the same words for all of these. */
static const char *io_text(int code, const char *text)
{
    switch (code) {
    case SQLITE_IOERR_READ: return "the disk could not be read";
    case SQLITE_IOERR_WRITE: return "the disk could not be written";
    case SQLITE_IOERR_TRUNCATE: return "the file could not be cut";
    case SQLITE_IOERR_SHMMAP:
    case SQLITE_IOERR_SHMSIZE: return "the memory beside the file could not be had";
    }
    return text;
}

/* SQLite does not keep the system's reason for everything. */
static enum cx_err fail_io(int code, int os, const char *path, const char *doing, const char *text)
{
    if (os == ENOSPC || os == EDQUOT)
        return cx_fail(CX_IO, "%s: %s: the disk is full: free some space", path, doing);
    if (code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_DIR_FSYNC)
        return cx_fail(CX_IO, "%s: %s: the disk failed to sync (%s): check it before starting again", path, doing,
                       os ? strerror(os) : text);
    return cx_fail(CX_IO, "%s: %s: %s%s%s: check the disk before starting again", path, doing, io_text(code, text),
                   os ? ": " : "", os ? strerror(os) : "");
}

static enum cx_err fail(sqlite3 *db, const char *path, const char *doing)
{
    const char *text = sqlite3_errmsg(db);
    int code = sqlite3_extended_errcode(db);
    switch (code & 0xff) {
    case SQLITE_FULL: return cx_fail(CX_IO, "%s: %s: the disk is full: free some space", path, doing);
    case SQLITE_IOERR: return fail_io(code, sqlite3_system_errno(db), path, doing, text);
    case SQLITE_ERROR:  // our statements are right; then what they name is not in the file as we made it
    case SQLITE_CORRUPT: return cx_fail(CX_CORRUPT, "%s: %s: %s", path, doing, text);
    case SQLITE_NOTADB: return cx_fail(CX_CORRUPT, "%s: it is no SQLite database", path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return cx_fail(CX_BUSY, "%s: %s: another program has locked it", path, doing);
    case SQLITE_READONLY:
        /* Our files have no rollback journal but while the first switch to the write-ahead log is under way. */
        if (code == SQLITE_READONLY_ROLLBACK)
            return cx_fail(CX_NOT_FOUND, "%s: a program died while it made this file: there is nothing in it yet",
                           path);
        return cx_fail(CX_DENIED, "%s: %s: %s", path, doing, text);
    case SQLITE_PERM:
    case SQLITE_AUTH: return cx_fail(CX_DENIED, "%s: %s: %s", path, doing, text);
    case SQLITE_NOMEM: return cx_fail(CX_MEMORY, "%s: %s: out of memory", path, doing);
    case SQLITE_TOOBIG: return cx_fail(CX_TOO_LARGE, "%s: %s: %s", path, doing, text);
    case SQLITE_CONSTRAINT: return cx_fail(CX_EXISTS, "%s: %s: %s", path, doing, text);
    }
    return cx_fail(CX_IO, "%s: %s: %s", path, doing, text);
}

enum cx_err db_fail(sqlite3 *db, const char *doing) { return fail(db, path_of(db), doing); }

/* Locks are held for a commit at most: short steps, so that a writer does not wait longer than the lock. */
static int wait_for_lock(void *ctx, int tries)
{
    (void)ctx;
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    int step_us = tries < 20 ? 200 : 2000;
    if ((uint64_t)tries * 2 > DB_BUSY_MS_MAX)
        return 0;
    vfs->xSleep(vfs, step_us);
    return 1;
}

/* Where the file system has no shared memory SQLite keeps the old journal without a word. */
static enum cx_err check_log(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    enum cx_err err = db_prepare(db, "PRAGMA journal_mode", &stmt);
    if (!err)
        err = db_step(stmt, &row);
    const char *mode = !err && row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (!err && (!mode || strcmp(mode, "wal") != 0))
        err =
            cx_fail(CX_UNSUPPORTED, "%s: its file system cannot hold a write-ahead log: use a local disk", path_of(db));
    sqlite3_finalize(stmt);
    return err;
}

/* A log whose name is lost with the power takes what was committed with it. SQLite syncs the folder too, when it first
 * syncs a new log, but does not look whether that went well. Reading makes the log where there is none. */
static enum cx_err keep_names(sqlite3 *db, const char *path)
{
    enum cx_err err = db_exec(db, "SELECT count(*) FROM sqlite_schema");
    return err ? err : file_sync_folder(path);
}

static bool in_memory(const char *path) { return strcmp(path, ":memory:") == 0; }

static enum cx_err configure(sqlite3 *db, const char *path, enum db_mode mode)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_handler(db, wait_for_lock, NULL);
    /* A damaged file must not make the program do what its schema says. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (in_memory(path))
        return CX_OK;
    if (mode == DB_READ)
        return db_exec(db, "PRAGMA query_only = 1");
    enum cx_err err = db_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                  "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864");
    if (!err)
        err = check_log(db);
    return err ? err : keep_names(db, path);
}

/* Nobody asks how much memory SQLite has; to count it takes one lock for all threads with each piece. Too late, once
 * SQLite is in use: then it goes on counting. */
static void count_no_memory(void)
{
    int code = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    cx_maybe(code);
}

enum cx_err db_open(const char *path, enum db_mode mode, sqlite3 **ret_db)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    cx_assert(path && ret_db);
    pthread_once(&once, count_no_memory);
    enum cx_err err = CX_OK;
    /* SQLite would make it readable by all; prompts are in it. */
    if (!in_memory(path))
        err = mode == DB_CREATE ? file_create_private(path) : file_check(path);
    if (err)
        return err;
    bool write = mode != DB_READ || in_memory(path);
    int flags = SQLITE_OPEN_NOMUTEX | (write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, flags, NULL) != SQLITE_OK)
        err = db ? fail(db, path, "open") : cx_fail(CX_MEMORY, "%s: out of memory", path);
    else
        err = configure(db, path, mode);
    if (err) {
        sqlite3_close(db);
        return err;
    }
    *ret_db = db;
    return CX_OK;
}

void db_leave_log(sqlite3 *db) { sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); }

enum cx_err db_settle(sqlite3 *db)
{
    enum cx_err err = db_log_check(path_of(db));
    int code = err ? SQLITE_OK : sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_RESTART, NULL, NULL);
    if (!err && code == SQLITE_OK)
        return CX_OK;
    db_leave_log(db);
    return err ? err : db_fail(db, "copy what is left of the write-ahead log");
}

void db_close(sqlite3 *db)
{
    int code = sqlite3_close(db);
    cx_assert(code == SQLITE_OK);  // every statement was finalised before
}

enum cx_err db_remove(const char *path)
{
    /* By SQLite's own hands, which know where its files are. The log first: it must not outlive what it belongs to. */
    static const char *const endings[] = {"-wal", "-shm", "-journal", ""};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
        char *name = sqlite3_mprintf("%s%s", path, endings[i]);
        cx_assert(name);
        int code = vfs->xDelete(vfs, name, true);
        sqlite3_free(name);
        if (code != SQLITE_OK && code != SQLITE_IOERR_DELETE_NOENT)
            return cx_fail(CX_IO, "%s%s cannot be removed: %s", path, endings[i], strerror(errno));
    }
    return CX_OK;
}

enum cx_err db_exec(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return db_fail(db, sql);
    return CX_OK;
}

enum cx_err db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **ret_stmt)
{
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL) != SQLITE_OK)
        return db_fail(db, sql);
    return CX_OK;
}

enum cx_err db_number(sqlite3 *db, const char *sql, int64_t *ret_number)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    int64_t number = 0;
    enum cx_err err = db_prepare(db, sql, &stmt);
    if (!err)
        err = db_step(stmt, &row);
    if (!err && row)
        number = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    if (!err)
        *ret_number = number;
    return err;
}

enum cx_err db_run(sqlite3_stmt *stmt)
{
    int code = sqlite3_step(stmt);
    cx_assert(code != SQLITE_ROW);
    enum cx_err err = code == SQLITE_DONE ? CX_OK : db_fail(sqlite3_db_handle(stmt), sqlite3_sql(stmt));
    sqlite3_reset(stmt);
    return err;
}

enum cx_err db_step(sqlite3_stmt *stmt, bool *ret_row)
{
    int code = sqlite3_step(stmt);
    if (code == SQLITE_ROW) {
        *ret_row = true;
        return CX_OK;
    }
    enum cx_err err = code == SQLITE_DONE ? CX_OK : db_fail(sqlite3_db_handle(stmt), sqlite3_sql(stmt));
    sqlite3_reset(stmt);
    if (!err)
        *ret_row = false;
    return err;
}

/* Binding fails only where the index is wrong or memory is out; neither is for callers to handle. */
static void must(int code) { cx_assert(code == SQLITE_OK); }

void db_bind_u64(sqlite3_stmt *stmt, int index, uint64_t value)
{
    must(sqlite3_bind_int64(stmt, index, value > INT64_MAX ? INT64_MAX : (int64_t)value));
}

void db_bind_id(sqlite3_stmt *stmt, int index, uint64_t id) { must(sqlite3_bind_int64(stmt, index, (int64_t)id)); }

void db_bind_bytes(sqlite3_stmt *stmt, int index, const void *data, size_t size)
{
    must(sqlite3_bind_blob64(stmt, index, size ? data : "", size, SQLITE_STATIC));
}

uint64_t db_u64(sqlite3_stmt *stmt, int column)
{
    int64_t value = sqlite3_column_int64(stmt, column);
    return value == INT64_MAX ? TIME_NEVER : (uint64_t)value;
}

bool db_bytes(sqlite3_stmt *stmt, int column, void *ret_data, size_t size)
{
    if (sqlite3_column_type(stmt, column) != SQLITE_BLOB || (size_t)sqlite3_column_bytes(stmt, column) != size)
        return false;
    if (size)
        memcpy(ret_data, sqlite3_column_blob(stmt, column), size);
    return true;
}

struct span db_span(sqlite3_stmt *stmt, int column)
{
    const uint8_t *data = sqlite3_column_blob(stmt, column);  // before the size: it may convert
    return (struct span){data, (uint32_t)sqlite3_column_bytes(stmt, column)};
}

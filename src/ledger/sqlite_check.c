/* Everything in a sqlite: ledger's file beside the batches, whose chain ledger_read checks: the file's own order, the
 * log beside it, payloads by their names, and routers' epochs. What SQLite keeps in an index as well as in its table it
 * compares; so the small tables have indexes that nobody reads. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/hex.h"
#include "crypto/cid.h"
#include "crypto/sha256.h"
#include "ledger/sqlite_store.h"
#include "proto/payload_rows.h"

/* The log of a ledger that nobody writes to. While somebody does, what counts is in that process's memory. */
static enum cx_err check_log(struct ledger *ledger)
{
    char path[4096];
    struct file_owner *owner = NULL;
    snprintf(path, sizeof path, "%s-owner", ledger->place);
    enum cx_err err = file_check(path) ? CX_OK : file_own(path, &owner);
    if (err == CX_BUSY || err == CX_DENIED)
        return CX_OK;
    if (!err)
        err = db_log_check(ledger->place);
    file_disown(owner);
    return err;
}

static enum cx_err check_file(struct ledger *ledger, sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    enum cx_err err = db_prepare(db, "SELECT integrity_check FROM pragma_integrity_check(1)", &stmt);
    if (!err)
        err = db_step(stmt, &row);
    const char *text = !err && row ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    if (!err && (!text || strcmp(text, "ok") != 0))
        err = cx_fail(CX_CORRUPT, "%s is damaged: %.200s: restore it from a backup", ledger->uri, text ? text : "?");
    sqlite3_finalize(stmt);
    return err;
}

static enum cx_err check_payload(struct ledger *ledger, const uint8_t *name, struct span data)
{
    struct hash is, says;
    char urn[URN_TEXT_SIZE];
    memcpy(says.b, name, sizeof says.b);
    sha256(data.data, data.size, &is);
    urn_encode(&says, urn);
    if (!hash_eq(&is, &says))
        return cx_fail(CX_CORRUPT, "%s: %s is damaged: its bytes are not those of its name", ledger->uri, urn);
    return CX_OK;
}

static enum cx_err check_pack(struct ledger *ledger, sqlite3_stmt *stmt)
{
    unsigned long long pack = db_u64(stmt, 0);
    struct span list = db_span(stmt, 4), data = db_span(stmt, 5);
    if (sqlite3_column_type(stmt, 1) != SQLITE_INTEGER || sqlite3_column_int64(stmt, 1) < 0)
        return cx_fail(CX_CORRUPT, "%s: pack %llu of payloads is damaged: its time is none", ledger->uri, pack);
    if (list.size == 0 || list.size % PAYLOAD_LIST_SIZE || list.size / PAYLOAD_LIST_SIZE != db_u64(stmt, 2))
        return cx_fail(CX_CORRUPT, "%s: pack %llu of payloads is damaged: its list is not as long as it says",
                       ledger->uri, pack);
    uint32_t at = 0;
    enum cx_err err = CX_OK;
    for (uint32_t i = 0; i < list.size && !err; i += PAYLOAD_LIST_SIZE) {
        uint32_t end = be32(list.data + i + sizeof(struct hash));
        if (end < at || end > data.size)
            return cx_fail(CX_CORRUPT, "%s: pack %llu of payloads is damaged: its list leads out of it", ledger->uri,
                           pack);
        err = check_payload(ledger, list.data + i, (struct span){data.data + at, end - at});
        at = end;
    }
    if (!err && (at != data.size || db_u64(stmt, 3) != data.size))
        err = cx_fail(CX_CORRUPT, "%s: pack %llu of payloads is damaged: it is not as long as it says", ledger->uri,
                      pack);
    return err;
}

static enum cx_err check_names(struct ledger *ledger, sqlite3 *db)
{
    bool fit = false;
    enum cx_err err = payload_names_check(db, &fit);
    if (!err && !fit)
        err = cx_fail(CX_CORRUPT, "%s: the index of payloads' names is damaged: restore it from a backup", ledger->uri);
    return err;
}

static enum cx_err check_writer(struct ledger *ledger, sqlite3_stmt *stmt)
{
    struct address router;
    char text[2 * sizeof router.b + 1];
    if (!db_bytes(stmt, 0, router.b, sizeof router.b))
        return cx_fail(CX_CORRUPT, "%s: a router is damaged: it is no address", ledger->uri);
    hex_encode(router.b, sizeof router.b, text);
    if (sqlite3_column_type(stmt, 1) != SQLITE_INTEGER || sqlite3_column_int64(stmt, 1) < 1)
        return cx_fail(CX_CORRUPT, "%s: the epoch of router 0x%s is damaged", ledger->uri, text);
    if (db_u64(stmt, 1) < db_u64(stmt, 2))
        return cx_fail(CX_CORRUPT, "%s: the epoch of router 0x%s is damaged: its batches are of a later one",
                       ledger->uri, text);
    return CX_OK;
}

static enum cx_err check_rows(struct ledger *ledger, sqlite3 *db, const char *sql,
                              enum cx_err (*check)(struct ledger *ledger, sqlite3_stmt *stmt))
{
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    enum cx_err err = db_prepare(db, sql, &stmt);
    while (!err && row) {
        err = db_step(stmt, &row);
        if (!err && row)
            err = check(ledger, stmt);
    }
    sqlite3_finalize(stmt);
    return err;
}

enum cx_err sqlite_check(struct ledger *ledger)
{
    struct sqlite_store *store = ledger->store;
    enum cx_err err = store->writer ? CX_OK : check_log(ledger);
    if (!err)
        err = check_file(ledger, store->reader);
    if (!err)
        err = check_rows(ledger, store->reader, "SELECT pack, keep_until, count, size, list, data FROM payload",
                         check_pack);
    if (!err)
        err = check_names(ledger, store->reader);
    if (!err)
        err = check_rows(ledger, store->reader,
                         "SELECT router, epoch, (SELECT max(epoch) FROM batch WHERE batch.router = writer.router)"
                         " FROM writer",
                         check_writer);
    return err;
}

#include "ledger/ledger_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/db.h"
#include "ledger/backend.h"

#define FILE_HEAD_SIZE   (16 + 8)
#define BATCH_HEAD_SIZE  (8 + 4 + 20 + 8 + 8 + 8 + 32 + 4)  // behind the 'B'
#define END_SIZE         (8 + 8 + 32)                       // behind the 'E'
#define PROGRESS_ENTRIES 20000                              // between two calls
#define BACKUP_PAGES     1000                               // between two calls

static_assert(sizeof LEDGER_FILE_MAGIC == 16 + 1, "the magic has 16 bytes");

/* ---- totals and progress ----------------------------------------------------------------------- */

struct tally {
    struct ledger_totals totals;
    uint64_t expected;  // entries; 0: not known
    uint64_t told;
    ledger_progress *progress;
    void *ctx;
};

static void count(struct tally *tally, const struct ledger_batch *batch)
{
    struct ledger_totals *t = &tally->totals;
    t->entries += batch->count;
    t->batches++;
    t->size += batch->body.size;
    t->head = (struct ledger_head){batch->seq + batch->count - 1, batch->time_ms, batch->chain};
    if (tally->progress && t->entries - tally->told >= PROGRESS_ENTRIES) {
        tally->told = t->entries;
        tally->progress(tally->ctx, t->entries, u64_max(tally->expected, t->entries));
    }
}

static void finish(const struct tally *tally)
{
    if (tally->progress)
        tally->progress(tally->ctx, tally->totals.entries, tally->totals.entries);
}

/* ---- verify ------------------------------------------------------------------------------------ */

static bool verify_batch(void *ctx, const struct ledger_batch *batch)
{
    count(ctx, batch);
    return true;
}

enum cx_err ledger_verify(struct ledger *ledger, ledger_progress *progress, void *ctx, struct ledger_totals *ret_totals)
{
    struct tally tally = {.expected = ledger_head(ledger).seq, .progress = progress, .ctx = ctx};
    enum cx_err err = ledger_read(ledger, 1, verify_batch, &tally);
    if (!err && ledger->backend->check)
        err = ledger->backend->check(ledger);
    if (err)
        return err;
    finish(&tally);
    *ret_totals = tally.totals;
    return CX_OK;
}

/* ---- a file that is there whole or not at all -------------------------------------------------- */

/* Written beside its path, and linked there when it is complete: link(2) never replaces what is there. */
struct new_file {
    char path[4096], part[4096];
    FILE *file;
};

static enum cx_err file_failed(const char *path)
{
    return cx_fail(errno == EACCES ? CX_DENIED : CX_IO, "%s: %s", path, strerror(errno));
}

static enum cx_err check_free(const char *path)
{
    if (access(path, F_OK) == 0)
        return cx_fail(CX_EXISTS, "%s is there already: name another file, or move that one away", path);
    return CX_OK;
}

static enum cx_err new_file_name(struct new_file *f, const char *path)
{
    *f = (struct new_file){0};
    int size = snprintf(f->path, sizeof f->path, "%s", path);
    if (size >= (int)sizeof f->path - 32)
        return cx_fail(CX_INVALID, "%s: the path is too long", path);
    snprintf(f->part, sizeof f->part, "%.4000s.%ld.part", path, (long)getpid());
    return check_free(path);
}

static enum cx_err new_file_open(struct new_file *f, const char *path)
{
    enum cx_err err = new_file_name(f, path);
    if (err)
        return err;
    int fd = open(f->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    f->file = fd < 0 ? NULL : fdopen(fd, "wb");
    return f->file ? CX_OK : file_failed(f->part);
}

static enum cx_err publish(const struct new_file *f)
{
    if (link(f->part, f->path) == 0)
        return unlink(f->part) ? file_failed(f->part) : CX_OK;
    return errno == EEXIST ? check_free(f->path) : file_failed(f->path);
}

/* Gives the file its name; or takes away what there is of it, where err says that something failed before. */
static enum cx_err new_file_close(struct new_file *f, enum cx_err err)
{
    if (!err && (fflush(f->file) || fsync(fileno(f->file))))
        err = file_failed(f->part);
    if (fclose(f->file) && !err)
        err = file_failed(f->part);
    if (!err)
        err = publish(f);
    if (err)
        unlink(f->part);
    return err;
}

/* ---- export ------------------------------------------------------------------------------------ */

struct export
{
    struct tally tally;
    struct new_file file;
    enum cx_err err;
};

static enum cx_err put(struct new_file *f, const void *data, size_t size)
{
    return fwrite(data, 1, size, f->file) == size ? CX_OK : file_failed(f->part);
}

static enum cx_err put_batch(struct new_file *f, const struct ledger_batch *batch)
{
    uint8_t head[1 + BATCH_HEAD_SIZE];
    struct bytes_writer w;
    bytes_writer_init(&w, head, sizeof head);
    bytes_put_u8(&w, 'B');
    bytes_put_u64(&w, batch->seq);
    bytes_put_u32(&w, batch->count);
    bytes_put(&w, batch->router.b, sizeof batch->router.b);
    bytes_put_u64(&w, batch->epoch);
    bytes_put_u64(&w, batch->number);
    bytes_put_u64(&w, batch->time_ms);
    bytes_put(&w, batch->chain.b, sizeof batch->chain.b);
    bytes_put_u32(&w, batch->body.size);
    cx_assert(w.ok && w.size == sizeof head);
    enum cx_err err = put(f, head, sizeof head);
    return err ? err : put(f, batch->body.data, batch->body.size);
}

static bool export_batch(void *ctx, const struct ledger_batch *batch)
{
    struct export *export = ctx;
    export->err = put_batch(&export->file, batch);
    count(&export->tally, batch);
    return export->err == CX_OK;
}

static enum cx_err put_head(struct new_file *f, uint64_t network)
{
    uint8_t number[8];
    be64_put(number, network);
    enum cx_err err = put(f, LEDGER_FILE_MAGIC, 16);
    return err ? err : put(f, number, sizeof number);
}

static enum cx_err put_end(struct new_file *f, const struct ledger_totals *totals)
{
    uint8_t end[1 + END_SIZE];
    struct bytes_writer w;
    bytes_writer_init(&w, end, sizeof end);
    bytes_put_u8(&w, 'E');
    bytes_put_u64(&w, totals->head.seq);
    bytes_put_u64(&w, totals->batches);
    bytes_put(&w, totals->head.chain.b, sizeof totals->head.chain.b);
    cx_assert(w.ok && w.size == sizeof end);
    return put(f, end, sizeof end);
}

enum cx_err ledger_export(struct ledger *ledger, const char *path, ledger_progress *progress, void *ctx,
                          struct ledger_totals *ret_totals)
{
    struct export export = {.tally = {.expected = ledger_head(ledger).seq, .progress = progress, .ctx = ctx}};
    export.tally.totals.head.chain = ledger_trail_start(ledger->network).chain;
    enum cx_err err = new_file_open(&export.file, path);
    if (err)
        return err;
    err = put_head(&export.file, ledger_network(ledger));
    if (!err)
        err = ledger_read(ledger, 1, export_batch, &export);
    if (!err)
        err = export.err;
    if (!err)
        err = put_end(&export.file, &export.tally.totals);
    err = new_file_close(&export.file, err);
    if (err)
        return err;
    finish(&export.tally);
    *ret_totals = export.tally.totals;
    return CX_OK;
}

/* ---- import ------------------------------------------------------------------------------------ */

struct import {
    struct tally tally;
    const char *path;
    FILE *file;
    uint64_t network;
    struct ledger *ledger;
    struct ledger_trail trail;
    uint8_t body[LEDGER_BATCH_SIZE_MAX];
};

static enum cx_err get(struct import *in, void *ret_data, size_t size)
{
    if (fread(ret_data, 1, size, in->file) == size)
        return CX_OK;
    if (ferror(in->file))
        return file_failed(in->path);
    return cx_fail(CX_CORRUPT, "%s ends in the middle, behind position %llu: it was cut off", in->path,
                   (unsigned long long)in->trail.seq - 1);
}

static enum cx_err get_head(struct import *in)
{
    uint8_t head[FILE_HEAD_SIZE];
    if (fread(head, 1, sizeof head, in->file) != sizeof head || memcmp(head, LEDGER_FILE_MAGIC, 16) != 0)
        return cx_fail(CX_INVALID, "%s is no exported ledger, or one of another format", in->path);
    in->network = be64(head + 16);
    if (in->network == 0)
        return cx_fail(CX_CORRUPT, "%s: it does not say which network it belongs to", in->path);
    return CX_OK;
}

static enum cx_err get_batch(struct import *in)
{
    uint8_t head[BATCH_HEAD_SIZE];
    enum cx_err err = get(in, head, sizeof head);
    if (err)
        return err;
    struct ledger_batch batch = {0};
    struct bytes_reader r;
    bytes_reader_init(&r, head, sizeof head);
    batch.seq = bytes_get_u64(&r);
    batch.count = bytes_get_u32(&r);
    bytes_get(&r, batch.router.b, sizeof batch.router.b);
    batch.epoch = bytes_get_u64(&r);
    batch.number = bytes_get_u64(&r);
    batch.time_ms = bytes_get_u64(&r);
    bytes_get(&r, batch.chain.b, sizeof batch.chain.b);
    batch.body = (struct span){in->body, bytes_get_u32(&r)};
    cx_assert(r.ok && r.left == 0);
    if (batch.body.size > sizeof in->body)
        return cx_fail(CX_CORRUPT, "%s: the batch at position %llu is damaged: it says it has %u bytes", in->path,
                       (unsigned long long)batch.seq, batch.body.size);
    err = get(in, in->body, batch.body.size);
    if (err)
        return err;
    err = ledger_trail_step(&in->trail, &batch, in->path);
    if (!err)
        err = in->ledger->backend->restore(in->ledger, &batch);
    if (!err)
        count(&in->tally, &batch);
    return err;
}

static enum cx_err get_end(struct import *in)
{
    uint8_t end[END_SIZE], more = 0;
    enum cx_err err = get(in, end, sizeof end);
    if (err)
        return err;
    if (be64(end) != in->trail.seq - 1 || be64(end + 8) != in->tally.totals.batches)
        return cx_fail(CX_CORRUPT, "%s says that it ends at position %llu with %llu batches, but it has %llu and %llu",
                       in->path, (unsigned long long)be64(end), (unsigned long long)be64(end + 8),
                       (unsigned long long)in->trail.seq - 1, (unsigned long long)in->tally.totals.batches);
    if (memcmp(end + 16, in->trail.chain.b, 32) != 0)
        return cx_fail(CX_CORRUPT, "%s is damaged: its hash does not fit its batches", in->path);
    if (fread(&more, 1, 1, in->file) == 1)
        return cx_fail(CX_CORRUPT, "%s goes on behind its end", in->path);
    return CX_OK;
}

static enum cx_err get_all(struct import *in)
{
    for (;;) {
        uint8_t kind = 0;
        enum cx_err err = get(in, &kind, 1);
        if (err)
            return err;
        if (kind == 'E')
            return get_end(in);
        if (kind != 'B')
            return cx_fail(CX_CORRUPT, "%s: what follows position %llu is no batch", in->path,
                           (unsigned long long)in->trail.seq - 1);
        err = get_batch(in);
        if (err)
            return err;
    }
}

static enum cx_err import_into(struct import *in, const char *uri)
{
    struct ledger_options options = {.mode = LEDGER_CREATE, .network = in->network};
    enum cx_err err = ledger_open(uri, &options, &in->ledger);
    if (err)
        return err;
    if (ledger_head(in->ledger).seq > 0)
        return cx_fail(CX_EXISTS, "%s has %llu entries already: import into a new one", uri,
                       (unsigned long long)ledger_head(in->ledger).seq);
    in->trail = ledger_trail_start(in->network);
    in->tally.totals.head.chain = in->trail.chain;
    err = get_all(in);
    char detail[512];
    snprintf(detail, sizeof detail, "%s", cx_detail());
    enum cx_err end = in->ledger->backend->restore_end(in->ledger);  // what was good is kept
    return err ? cx_fail(err, "%s", detail) : end;
}

enum cx_err ledger_import(const char *path, const char *uri, ledger_progress *progress, void *ctx,
                          struct ledger_totals *ret_totals)
{
    struct import *in = calloc(1, sizeof *in);
    cx_assert(in);
    in->path = path;
    in->tally.progress = progress;
    in->tally.ctx = ctx;
    in->file = fopen(path, "rbe");
    enum cx_err err =
        in->file ? CX_OK : cx_fail(errno == ENOENT ? CX_NOT_FOUND : CX_IO, "%s: %s", path, strerror(errno));
    if (!err)
        err = get_head(in);
    if (!err)
        err = import_into(in, uri);
    if (!err) {
        finish(&in->tally);
        *ret_totals = in->tally.totals;
    }
    ledger_close(in->ledger);
    if (in->file)
        fclose(in->file);
    free(in);
    return err;
}

/* ---- backup ------------------------------------------------------------------------------------ */

static enum cx_err copy_pages(sqlite3 *from, sqlite3 *to, ledger_progress *progress, void *ctx)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup)
        return db_fail(to, "begin the copy");
    int code = SQLITE_OK;
    while (code == SQLITE_OK) {
        code = sqlite3_backup_step(backup, BACKUP_PAGES);
        uint64_t total = (uint64_t)sqlite3_backup_pagecount(backup);
        if (progress && (code == SQLITE_OK || code == SQLITE_DONE))
            progress(ctx, total - (uint64_t)sqlite3_backup_remaining(backup), total);
    }
    code = sqlite3_backup_finish(backup);
    return code == SQLITE_OK ? CX_OK : db_fail(to, "copy");
}

static enum cx_err copy_database(const char *path, const char *part, ledger_progress *progress, void *ctx)
{
    sqlite3 *from = NULL, *to = NULL;
    int64_t batches = 0;
    enum cx_err err = db_open(path, DB_READ, &from);
    if (!err)
        err = db_open(part, DB_CREATE, &to);
    /* A transaction that has read something stays at its moment; the copy would begin anew with every commit else. */
    if (!err)
        err = db_exec(from, "BEGIN");
    if (!err)
        err = db_number(from, "SELECT count(*) FROM meta", &batches);
    if (!err)
        err = copy_pages(from, to, progress, ctx);
    sqlite3_close(to);
    sqlite3_close(from);
    return err;
}

static enum cx_err verify_copy(const char *part, struct ledger_totals *ret_totals)
{
    char uri[4200];
    snprintf(uri, sizeof uri, "sqlite:%s", part);
    cx_auto(ledger) copy = NULL;
    enum cx_err err = ledger_open(uri, &(struct ledger_options){.mode = LEDGER_READ}, &copy);
    return err ? err : ledger_verify(copy, NULL, NULL, ret_totals);
}

static enum cx_err sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum cx_err err = fd < 0 || fsync(fd) ? file_failed(path) : CX_OK;
    if (fd >= 0)
        close(fd);
    return err;
}

static void remove_part(const char *part)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s%s", part, suffixes[i]);
        unlink(path);
    }
}

enum cx_err ledger_backup(const char *uri, const char *path, ledger_progress *progress, void *ctx,
                          struct ledger_totals *ret_totals)
{
    static const char scheme[] = "sqlite:";
    if (strncmp(uri, scheme, sizeof scheme - 1) != 0)
        return cx_fail(CX_UNSUPPORTED, "%s: only sqlite: ledgers can be copied so; export the others", uri);
    struct new_file copy;
    struct ledger_totals totals = {0};
    enum cx_err err = new_file_name(&copy, path);
    if (err)
        return err;
    err = copy_database(uri + sizeof scheme - 1, copy.part, progress, ctx);
    if (!err)
        err = verify_copy(copy.part, &totals);
    if (!err)
        err = sync_file(copy.part);
    if (!err)
        err = publish(&copy);
    remove_part(copy.part);
    if (!err)
        *ret_totals = totals;
    return err;
}

/* What is read back from disks: rows and files of a ledger, the archive. Damage is refused by name, or changes nothing.
 */
#include <ftw.h>
#include <lz4.h>
#include <unistd.h>

#include "base/db.h"
#include "core/limits.h"
#include "fuzz/fuzz.h"
#include "fuzz/fuzz_world.h"
#include "ledger/archive.h"
#include "ledger/backend.h"
#include "ledger/ledger_tool.h"
#include "ledger/sqlite_store.h"
#include "router/history_parts.h"

#define NETWORK 7

/* ---- rows ---- */

/* One column of a row: its type and value are the input's. */
static void bind_column(struct fuzz_in *in, sqlite3_stmt *stmt, int column)
{
    struct span span;
    switch (fuzz_u8(in) % 6) {
    case 0: sqlite3_bind_int64(stmt, column, (sqlite3_int64)fuzz_u64(in)); return;
    case 1: sqlite3_bind_int64(stmt, column, fuzz_u8(in)); return;
    case 2: span = fuzz_span(in, 255); break;
    case 3: {
        struct span text = fuzz_span(in, 255);
        sqlite3_bind_text(stmt, column, (const char *)text.data, (int)text.size, SQLITE_TRANSIENT);
        return;
    }
    case 4: {
        uint8_t bytes[32] = {fuzz_u8(in)};
        sqlite3_bind_blob(stmt, column, bytes, column == 3 ? 20 : 32, SQLITE_TRANSIENT);
        return;
    }
    default: sqlite3_bind_null(stmt, column); return;
    }
    sqlite3_bind_blob(stmt, column, span.size ? (const void *)span.data : "", (int)span.size, SQLITE_TRANSIENT);
}

/* A batch that a check found good can be walked over, and is all there is in its body. */
static void check_walk(const struct ledger_batch *batch)
{
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    uint64_t size = 0, seq = batch->seq;
    while (ledger_next(&at, &entry)) {
        FUZZ_CHECK(entry.command.size > 0 && entry.command.size <= LEDGER_ENTRY_SIZE_MAX);
        FUZZ_CHECK(entry.seq == seq++);
        size += 2 + entry.command.size;
    }
    FUZZ_CHECK(size == batch->body.size && seq == batch->seq + batch->count);
}

FUZZ(ledger_row,
     "a row of any columns is refused by the name of the column, or is a batch whose entries can be walked over")
{
    static sqlite3 *db;
    static sqlite3_stmt *stmt;
    struct fuzz_in in = {data, size};
    struct ledger_batch batch;
    if (!db)
        FUZZ_CHECK(db_open(":memory:", DB_CREATE, &db) == CX_OK &&
                   db_prepare(db, "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8", &stmt) == CX_OK);
    for (int column = 1; column <= 8; column++)
        bind_column(&in, stmt, column);
    bool row = false;
    FUZZ_CHECK(db_step(stmt, &row) == CX_OK && row);
    enum cx_err err = sqlite_batch_get(stmt, "fuzz", &batch);
    FUZZ_CHECK(err == CX_OK || err == CX_CORRUPT);
    if (!err && ledger_batch_check(&batch) == CX_OK) {
        check_walk(&batch);
        /* With its own chain it follows what was before; with another it does not. */
        struct ledger_trail trail = {.known = true, .seq = batch.seq};
        ledger_chain_next(&trail.chain, &batch, &batch.chain);
        FUZZ_CHECK(ledger_trail_step(&trail, &batch, "fuzz") == CX_OK);
        FUZZ_CHECK(trail.seq == batch.seq + batch.count);
        trail = (struct ledger_trail){.known = true, .seq = batch.seq};
        batch.chain.b[size % 32] ^= 1;
        FUZZ_CHECK(ledger_trail_step(&trail, &batch, "fuzz") == CX_CORRUPT);
    }
    sqlite3_reset(stmt);
}

FUZZ_SEEDS(ledger_row)
{
    static const char row[] = "\1\1\1\2\4\1\1\1\1\1\1\1\4\0\2\x0b\0\3abc\0\4defg";
    fuzz_seed("row", row, sizeof row - 1);
}

/* ---- the portable file ---- */

#define FILE_HEAD_SIZE  24
#define BATCH_HEAD_SIZE (1 + 8 + 4 + 20 + 8 + 8 + 8 + 32 + 4)
#define END_SIZE        (1 + 8 + 8 + 32)

/* Writes the chain that the batches have into them, so that an input gets behind it. */
static void set_chains(uint8_t *data, size_t size)
{
    struct hash chain;
    uint64_t seq = 0, batches = 0;
    size_t at = FILE_HEAD_SIZE;
    if (size < at)
        return;
    ledger_chain_start(be64(data + 16), &chain);
    while (at + BATCH_HEAD_SIZE <= size && data[at] == 'B') {
        uint8_t *b = data + at;
        struct ledger_batch batch = {.seq = be64(b + 1),
                                     .count = be32(b + 9),
                                     .epoch = be64(b + 33),
                                     .number = be64(b + 41),
                                     .time_ms = be64(b + 49),
                                     .body = {b + BATCH_HEAD_SIZE, be32(b + 89)}};
        memcpy(batch.router.b, b + 13, sizeof batch.router.b);
        if (batch.body.size > size - at - BATCH_HEAD_SIZE)
            return;
        ledger_chain_next(&chain, &batch, &chain);
        memcpy(b + 57, chain.b, sizeof chain.b);
        seq = batch.seq + batch.count - 1;
        batches++;
        at += BATCH_HEAD_SIZE + batch.body.size;
    }
    if (size - at != END_SIZE || data[at] != 'E')
        return;
    be64_put(data + at + 1, seq);
    be64_put(data + at + 9, batches);
    memcpy(data + at + 17, chain.b, sizeof chain.b);
}

FUZZ(ledger_file, "a portable file is refused by the place of the damage, or is imported with the entries that it says")
{
    struct ledger_totals totals;
    if (size > 0 && data[size - 1] & 1)
        set_chains(data, size);
    const char *path = fuzz_file(0, data, size);
    enum cx_err err = ledger_import(path, "mem:", NULL, NULL, &totals);
    if (err) {
        FUZZ_CHECK(err == CX_CORRUPT || err == CX_INVALID || err == CX_UNSUPPORTED || err == CX_TOO_LARGE);
        FUZZ_CHECK(strlen(cx_detail()) > 10);
        return;
    }
    FUZZ_CHECK(size >= FILE_HEAD_SIZE + END_SIZE);
    FUZZ_CHECK(totals.entries == totals.head.seq && totals.batches <= totals.entries);
    FUZZ_CHECK(memcmp(totals.head.chain.b, data + size - 32, 32) == 0);
}

static void put_number(struct buf *out, uint64_t value, size_t size)
{
    for (size_t i = size; i > 0; i--)
        buf_add(out, &(uint8_t){(uint8_t)(value >> (8 * (i - 1)))}, 1);
}

FUZZ_SEEDS(ledger_file)
{
    static const char body[] = "\0\3abc\0\4defg";
    static const uint8_t zeros[32] = {0};
    for (unsigned batches = 0; batches < 3; batches++) {
        struct buf out = {0};
        char name[16];
        buf_text(&out, LEDGER_FILE_MAGIC);
        put_number(&out, NETWORK, 8);
        for (unsigned i = 0; i < batches; i++) {
            buf_add(&out, "B", 1);
            put_number(&out, 1 + 2 * i, 8);
            put_number(&out, 2, 4);
            buf_add(&out, "rrrrrrrrrrrrrrrrrrrr", 20);
            put_number(&out, 1, 8);
            put_number(&out, 1 + i, 8);
            put_number(&out, 1000 + i, 8);
            buf_add(&out, zeros, 32);
            put_number(&out, sizeof body - 1, 4);
            buf_add(&out, body, sizeof body - 1);
        }
        buf_add(&out, "E", 1);
        put_number(&out, 0, 8);
        put_number(&out, 0, 8);
        buf_add(&out, zeros, 31);
        buf_add(&out, "\1", 1);
        set_chains((uint8_t *)out.data, out.size);
        out.data[out.size - 1] |= 1;
        snprintf(name, sizeof name, "batches-%u", batches);
        fuzz_seed(name, out.data, out.size);
        buf_done(&out);
    }
}

/* ---- SQLite files ---- */

static char folder[64];

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void remove_folder(void) { nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

/* A path for a file of this process, which goes with it. In memory where that can be had: SQLite syncs. */
static const char *path_of(const char *name)
{
    static char path[128];
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "%s/corten-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        FUZZ_CHECK(mkdtemp(folder));
        atexit(remove_folder);
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *path, const struct buf *bytes)
{
    static const char *const beside[] = {"-wal", "-shm", "-owner"};
    char other[160];
    for (size_t i = 0; i < ARRAY_COUNT(beside); i++) {
        snprintf(other, sizeof other, "%s%s", path, beside[i]);
        unlink(other);
    }
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file && fwrite(bytes->data, 1, bytes->size, file) == bytes->size && fclose(file) == 0);
}

static struct buf read_file(const char *path)
{
    struct buf bytes = {0};
    char piece[4096];
    FILE *file = fopen(path, "rb");
    FUZZ_CHECK(file);
    for (size_t size; (size = fread(piece, 1, sizeof piece, file)) > 0;)
        buf_add(&bytes, piece, size);
    fclose(file);
    return bytes;
}

/* The original with the input's changes: (place, what is turned) each. */
static struct buf changed(const struct buf *original, struct fuzz_in *in)
{
    struct buf bytes = {0};
    size_t cut = fuzz_u8(in);
    buf_add(&bytes, original->data, cut == 0xff ? fuzz_u32(in) % original->size : original->size);
    for (unsigned i = 0; i < 16 && in->left >= 5 && bytes.size > 0; i++) {
        uint32_t at = fuzz_u32(in) % (uint32_t)bytes.size;
        bytes.data[at] = (char)(bytes.data[at] ^ fuzz_u8(in));
    }
    return bytes;
}

/* Everything that a ledger hands out, as one hash over what counts. */
struct reading {
    struct keccak keccak;
    uint64_t entries;
};

static bool read_batch(void *ctx, const struct ledger_batch *batch)
{
    struct reading *reading = ctx;
    check_walk(batch);
    keccak_add(&reading->keccak, batch->chain.b, sizeof batch->chain.b);
    keccak_add(&reading->keccak, batch->body.data, batch->body.size);
    reading->entries += batch->count;
    return true;
}

static enum cx_err read_ledger(const char *path, struct hash *ret_hash, uint64_t *ret_entries)
{
    char uri[160];
    struct ledger *ledger = NULL;
    struct reading reading = {.entries = 0};
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    keccak_init(&reading.keccak);
    enum cx_err err = ledger_open(uri, &(struct ledger_options){.mode = LEDGER_READ, .network = NETWORK}, &ledger);
    if (!err)
        err = ledger_read(ledger, 1, read_batch, &reading);
    ledger_close(ledger);
    keccak_end(&reading.keccak, ret_hash);
    *ret_entries = reading.entries;
    return err;
}

static struct buf ledger_bytes;
static struct hash ledger_hash;
static uint64_t ledger_entries;

static void note_done(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    (void)seq;
    (void)time_ms;
    FUZZ_CHECK(err == CX_OK);
    *(bool *)ctx = true;
}

static void make_ledger(void)
{
    if (ledger_bytes.size)
        return;
    char uri[160], path[128];
    snprintf(path, sizeof path, "%s", path_of("made.db"));
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    struct ledger *ledger = NULL;
    const struct address router = {{1}};
    FUZZ_CHECK(ledger_open(uri, &(struct ledger_options){.mode = LEDGER_CREATE, .network = NETWORK, .router = router},
                           &ledger) == CX_OK);
    for (uint64_t i = 1; i <= 12; i++) {
        const struct span command[] = {{(const uint8_t *)"first", 5}, {(const uint8_t *)"second", 6}};
        bool done = false;
        struct ledger_append append = {
            .router = router, .epoch = 1, .number = i, .command = command, .count = 1 + i % 2};
        FUZZ_CHECK(ledger_append(ledger, &append, note_done, &done) == CX_OK);
        while (!done)
            FUZZ_CHECK(ledger_wait(ledger, 10000) == CX_OK && ledger_poll(ledger) == CX_OK);
    }
    ledger_close(ledger);
    ledger_bytes = read_file(path);
    FUZZ_CHECK(read_ledger(path, &ledger_hash, &ledger_entries) == CX_OK && ledger_entries == 18);
}

FUZZ(ledger_sqlite,
     "a ledger's file with bytes turned or cut off is refused by name, or gives the very entries that it had")
{
    make_ledger();
    struct fuzz_in in = {data, size};
    struct buf bytes = changed(&ledger_bytes, &in);
    char path[128];
    snprintf(path, sizeof path, "%s", path_of("ledger.db"));
    write_file(path, &bytes);
    struct hash hash;
    uint64_t entries;
    enum cx_err err = read_ledger(path, &hash, &entries);
    /* A ledger whose last rows are gone with their pages is a shorter ledger: that is seen against another copy. */
    FUZZ_CHECK(err || entries < ledger_entries || hash_eq(&hash, &ledger_hash));
    FUZZ_CHECK(entries <= ledger_entries);
    FUZZ_CHECK(!err || strlen(cx_detail()) > 10);
    buf_done(&bytes);
}

FUZZ_SEEDS(ledger_sqlite)
{
    fuzz_seed("whole", "\0", 1);
    fuzz_seed("one-bit", "\0\0\0\x20\0\1", 6);
    fuzz_seed("version", "\0\0\0\0\x12\1", 6);
    fuzz_seed("cut", "\xff\0\0\x10\0", 5);
}

/* ---- the archive ---- */

static struct buf archive_bytes, archive_body, archive_line, archive_packed;
static uint64_t archived_session, archived_task_id;

static bool keep_ids(void *ctx, const struct archived_task *task)
{
    (void)ctx;
    archived_session = task->session;
    archived_task_id = task->task;
    return false;
}

static bool keep_task(void *ctx, const struct archived_task *task)
{
    (void)ctx;
    buf_add(&archive_body, task->body.data, task->body.size);
    buf_add(&archive_line, task->line.data, task->line.size);
    return false;
}

/* The group that the task is in. */
static void keep_group(const char *path)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    FUZZ_CHECK(db_open(path, DB_READ, &db) == CX_OK);
    FUZZ_CHECK(db_prepare(db, "SELECT packed FROM task_group", &stmt) == CX_OK);
    FUZZ_CHECK(db_step(stmt, &row) == CX_OK && row);
    struct span packed = db_span(stmt, 0);
    buf_add(&archive_packed, packed.data, packed.size);
    sqlite3_finalize(stmt);
    db_close(db);
}

/* An archive of a world in which a task has ended, as its history writes it. */
static void make_archive(void)
{
    if (archive_bytes.size)
        return;
    char path[128];
    snprintf(path, sizeof path, "%s", path_of("made-archive.db"));
    struct history *history = NULL;
    struct archive *archive = NULL;
    FUZZ_CHECK(history_open(&(struct history_options){.archive_path = path}, &history) == CX_OK);
    world_tell(history_listener(history));
    history_close(history);
    FUZZ_CHECK(archive_open(path, NETWORK, &archive) == CX_OK);
    struct archive_query query = {.by = ARCHIVE_BY_PAYER, .address = test_address('U', 1), .limit = 1};
    FUZZ_CHECK(archive_tasks(archive, &query, keep_ids, NULL) == CX_OK && archived_task_id > 0);
    FUZZ_CHECK(archive_task(archive, archived_task_id, keep_task, NULL) == CX_OK);
    archive_close(archive);
    keep_group(path);
    archive_bytes = read_file(path);
}

static bool see_task(void *ctx, const struct archived_task *task)
{
    *(uint64_t *)ctx += task->body.size + task->line.size;
    return true;
}

static bool see_event(void *ctx, const struct archived_event *event)
{
    *(uint64_t *)ctx += event->body.size;
    return true;
}

static bool see_verdict(void *ctx, const struct archived_verdict *verdict)
{
    *(uint64_t *)ctx += verdict->body.size;
    return true;
}

static void ask_archive(const char *path)
{
    struct archive *archive = NULL;
    uint64_t seen = 0;
    bool more;
    struct address address = test_address('U', 1);
    if (archive_open(path, NETWORK, &archive))
        return;
    for (int by = ARCHIVE_BY_SESSION; by <= ARCHIVE_BY_NODE; by++) {
        struct archive_query query = {
            .by = (enum archive_by)by, .session = archived_session, .address = address, .limit = 9};
        (void)archive_tasks(archive, &query, see_task, &seen);
        address = by == ARCHIVE_BY_SESSION ? address : test_address('M', 1);
    }
    (void)archive_task(archive, archived_task_id, see_task, &seen);
    (void)archive_task_events(archive, archived_task_id, UINT64_MAX, see_event, &seen);
    (void)archive_task_verdicts(archive, archived_task_id, UINT64_MAX, see_verdict, &seen);
    (void)archive_node_events(archive, &address, UINT64_MAX, 9, see_event, &seen);
    (void)archive_forget(archive, UINT64_MAX, &more);
    archive_close(archive);
}

static bool see_line(void *ctx, const struct history_event *event)
{
    *(uint64_t *)ctx += event->seq;
    FUZZ_CHECK(event_find(event->event.type));
    return true;
}

static bool see_row(void *ctx, const struct finished_task *task)
{
    *(uint64_t *)ctx += task->end_seq;
    FUZZ_CHECK(term_name(TERM_task_state, task->state));
    return true;
}

/* Whatever the archive gave, a client can read what is shown of it. */
static void check_receipt(const struct buf *json)
{
    static struct receipt receipt;
    FUZZ_CHECK(receipt_read(json->data, json->size, &receipt) == CX_OK);
}

static void ask_history(const char *path)
{
    struct history *history = NULL;
    struct finished_task task;
    struct audited_answer audited;
    struct buf receipt = {0};
    uint64_t seen = 0;
    struct address node = test_address('M', 1);
    const struct archive_query query = {.by = ARCHIVE_BY_SESSION, .session = archived_session, .limit = 9};
    FUZZ_CHECK(history_open(&(struct history_options){.archive_path = path}, &history) == CX_OK);
    world_tell(history_listener(history));
    (void)history_finished(history, archived_session, archived_task_id, &task);
    if (history_receipt_json(history, archived_session, archived_task_id, &receipt) == CX_OK)
        check_receipt(&receipt);
    (void)history_task_events(history, archived_task_id, see_line, &seen);
    (void)history_node_events(history, &node, 9, see_line, &seen);
    (void)history_tasks(history, &query, see_row, &seen);
    for (uint64_t audit = 0; audit < 3; audit++)
        (void)history_audited(history, audit, 1, &audited);
    buf_done(&receipt);
    history_close(history);
}

static void set_column(const char *path, const char *sql, struct span bytes)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    FUZZ_CHECK(db_open(path, DB_WRITE, &db) == CX_OK);
    FUZZ_CHECK(db_prepare(db, sql, &stmt) == CX_OK);
    sqlite3_bind_blob(stmt, 1, bytes.size ? (const void *)bytes.data : "", (int)bytes.size, SQLITE_STATIC);
    FUZZ_CHECK(db_run(stmt) == CX_OK);
    sqlite3_finalize(stmt);
    db_close(db);
}

static bool keep_columns(void *ctx, const struct archived_task *task)
{
    *(struct archived_task *)ctx = *task;
    return false;
}

static struct span span_of_buf(const struct buf *buf)
{
    return (struct span){(const uint8_t *)buf->data, (uint32_t)buf->size};
}

/* The task again, with any bytes for its body or its time-line; what is too large for either stays out. */
static void set_task(const char *path, bool body, struct span bytes)
{
    struct archive *archive = NULL;
    struct archived_task task;
    struct address node = test_address('M', 1);
    FUZZ_CHECK(archive_open(path, NETWORK, &archive) == CX_OK);
    FUZZ_CHECK(archive_task(archive, archived_task_id, keep_columns, &task) == CX_OK);
    task.body = body ? bytes : span_of_buf(&archive_body);
    task.line = body ? span_of_buf(&archive_line) : bytes;
    task.node = &node;
    task.node_count = 1;
    FUZZ_CHECK(archive_begin(archive) == CX_OK);
    enum cx_err err = archive_task_put(archive, &task);
    FUZZ_CHECK(!err || err == CX_TOO_LARGE);
    FUZZ_CHECK(archive_commit(archive, archive_seq(archive)) == CX_OK);
    archive_close(archive);
}

/* Its groups unpack to these bytes. */
static void set_plain(const char *path, struct span bytes)
{
    struct buf packed = {0};
    char sql[100];
    int room = LZ4_compressBound((int)bytes.size);
    buf_reserve(&packed, (size_t)room);
    int size = LZ4_compress_default(bytes.size ? (const char *)bytes.data : "", packed.data, (int)bytes.size, room);
    FUZZ_CHECK(size > 0);
    snprintf(sql, sizeof sql, "UPDATE task_group SET packed = ?1, size = %u", bytes.size);
    set_column(path, sql, (struct span){(const uint8_t *)packed.data, (uint32_t)size});
    buf_done(&packed);
}

enum archive_part { FILE_BYTES, TASK_BODY, TASK_LINE, EVENT_BODY, GROUP_PACKED, GROUP_PLAIN, ARCHIVE_PARTS };

static void set_part(const char *path, enum archive_part part, struct span bytes)
{
    if (part == TASK_BODY || part == TASK_LINE)
        set_task(path, part == TASK_BODY, bytes);
    else if (part == EVENT_BODY)
        set_column(path, "UPDATE event SET body = ?1", bytes);
    else if (part == GROUP_PACKED)
        set_column(path, "UPDATE task_group SET packed = ?1", bytes);
    else if (part == GROUP_PLAIN)
        set_plain(path, bytes);
}

FUZZ(archive, "an archive with bytes turned, or with any bytes in a column, is read without harm or refused")
{
    make_archive();
    struct fuzz_in in = {data, size};
    enum archive_part part = (enum archive_part)(fuzz_u8(&in) % ARCHIVE_PARTS);
    struct buf bytes = {0};
    char path[128];
    snprintf(path, sizeof path, "%s", path_of("archive.db"));
    if (part == FILE_BYTES)
        bytes = changed(&archive_bytes, &in);
    else
        buf_add(&bytes, archive_bytes.data, archive_bytes.size);
    struct span rest = fuzz_rest(&in);
    for (int who = 0; who < 2; who++) {  // each changes the file
        write_file(path, &bytes);
        set_part(path, part, rest);
        if (who == 0)
            ask_archive(path);
        else
            ask_history(path);
    }
    buf_done(&bytes);
}

static void seed_column(const char *name, char column, const struct buf *bytes)
{
    struct buf seed = {0};
    buf_add(&seed, &column, 1);
    buf_add(&seed, bytes->data, bytes->size);
    fuzz_seed(name, seed.data, seed.size);
    buf_done(&seed);
}

/* The group as it is when it is unpacked. */
static void seed_plain(void)
{
    struct buf plain = {0};
    buf_reserve(&plain, 1 << 16);
    int size = LZ4_decompress_safe(archive_packed.data, plain.data, (int)archive_packed.size, 1 << 16);
    FUZZ_CHECK(size > 0);
    plain.size = (size_t)size;
    seed_column("plain", GROUP_PLAIN, &plain);
    buf_done(&plain);
}

FUZZ_SEEDS(archive)
{
    make_archive();
    struct receipt_answer answer = {.price_in = PRICE_MAX + 1};
    struct buf dear = {0};
    history_body_encode(&(struct history_task){.answer = &answer, .answers = 1}, &dear);
    seed_column("price-beyond-its-bound", TASK_BODY, &dear);
    buf_done(&dear);
    seed_column("body", TASK_BODY, &archive_body);
    seed_column("line", TASK_LINE, &archive_line);
    seed_column("event", EVENT_BODY, &(struct buf){.data = "\0\x64\0\0\0\0\0\0\0\1", .size = 10});
    seed_column("packed", GROUP_PACKED, &archive_packed);
    seed_plain();
    fuzz_seed("whole", "\0\0", 2);
    fuzz_seed("one-bit", "\0\0\0\0\x20\0\1", 7);
}

/* ---- what its rows hold ---- */

FUZZ(history_body, "a task's row is refused, or is read, written and read the same")
{
    struct history_task task = {0};
    struct buf again = {0};
    const struct archived_task row = {.state = TASK_COMPLETED, .body = {data, (uint32_t)size}};
    if (history_body_decode(&row, &task) == CX_OK) {
        history_body_encode(&task, &again);
        FUZZ_CHECK(again.size == size && memcmp(again.data, data, size) == 0);
    }
    history_task_done(&task);
    buf_done(&again);
}

FUZZ_SEEDS(history_body)
{
    struct receipt_answer answer[2] = {{.lease = 1, .has_signature = true, .record_size = 5},
                                       {.lease = 2, .is_answer = true, .accepted = true, .pending = true}};
    struct history_task task = {.answer = answer, .redundancy = 3, .quorum = 2};
    struct buf out = {0};
    for (task.answers = 0; task.answers <= 2; task.answers++) {
        static const char *const names[] = {"none", "one", "two"};
        buf_reset(&out);
        history_body_encode(&task, &out);
        fuzz_seed(names[task.answers], out.data, out.size);
    }
    buf_add(&out, "", 1);
    fuzz_seed("two-and-more", out.data, out.size);
    buf_done(&out);
}

FUZZ(history_line, "a time-line is refused, or is events that are written the same; so is a verdict")
{
    struct bytes_reader reader;
    struct history_event event;
    struct receipt_verdict verdict;
    struct span body;
    uint8_t again[EVENT_SIZE_MAX], verdict_again[HISTORY_VERDICT_SIZE];
    bool good = history_line_open((struct span){data, (uint32_t)size}, &reader);
    while (good && history_line_next(&reader, &event, &body))
        FUZZ_CHECK(event_encode(&event.event, again) == body.size && memcmp(again, body.data, body.size) == 0);
    if (history_verdict_decode((struct span){data, (uint32_t)size}, &verdict)) {
        history_verdict_encode(&verdict, verdict_again);
        FUZZ_CHECK(size == HISTORY_VERDICT_SIZE && memcmp(verdict_again, data, size) == 0);
    }
}

FUZZ_SEEDS(history_line)
{
    make_archive();
    const struct receipt_verdict verdict = {.audit = 1, .lease = 2, .seq = 3, .finding = FINDING_PASS};
    uint8_t bytes[HISTORY_VERDICT_SIZE + 1] = {0};
    history_verdict_encode(&verdict, bytes);
    fuzz_seed("line", archive_line.data, archive_line.size);
    fuzz_seed("verdict", bytes, HISTORY_VERDICT_SIZE);
    fuzz_seed("verdict-and-more", bytes, sizeof bytes);
}

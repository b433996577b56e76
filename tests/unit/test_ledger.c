/* The ledgers: the suite over each, and what is one backend's alone. */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "ledger/backend.h"
#include "ledger/ledger_mem.h"
#include "lib/guard.h"
#include "lib/ledger_damage.h"
#include "lib/ledger_suite.h"

/* ---- mem --------------------------------------------------------------------------------------- */

static void mem_place(char ret_uri[256])
{
    static int count;
    snprintf(ret_uri, 256, "mem:suite-%d", count++);
}

static struct ledger *mem_anchor(const char *uri) { return suite_open(uri, LEDGER_READ, 0); }

static void mem_damage(const char *uri, struct ledger *anchor, uint64_t seq, enum suite_field field, uint32_t byte)
{
    (void)uri;
    struct ledger_batch *row = ledger_mem_row(anchor, seq == 1 ? 0 : 2);  // the suite damages its first and third
    CHECK(row);
    switch (field) {
    case SUITE_SEQ: row->seq ^= 0x80ull << 8 * byte; break;
    case SUITE_COUNT: row->count ^= 0x80u << 8 * byte; break;
    case SUITE_ROUTER: row->router.b[byte] ^= 0x80; break;
    case SUITE_EPOCH: row->epoch ^= 0x80ull << 8 * byte; break;
    case SUITE_NUMBER: row->number ^= 0x80ull << 8 * byte; break;
    case SUITE_TIME: row->time_ms ^= 0x80ull << 8 * byte; break;
    case SUITE_CHAIN: row->chain.b[byte] ^= 0x80; break;
    case SUITE_BODY: ((uint8_t *)row->body.data)[byte] ^= 0x80; break;
    case SUITE_FIELD_COUNT: break;
    }
}

static void mem_lose_answer(struct ledger *ledger, bool appended)
{
    ledger_mem_fault(ledger, appended ? MEM_FAULT_UNHEARD : MEM_FAULT_LOST);
}

static const struct suite_backend mem_backend = {mem_place, mem_anchor, mem_damage, mem_lose_answer};
LEDGER_SUITE(mem, &mem_backend)

TEST(ledger_mem, fences_a_router_while_it_still_writes)
{
    struct ledger *old = suite_open("mem:shared", LEDGER_CREATE, 1);
    struct ledger *new = suite_open("mem:shared", LEDGER_CREATE, 1);
    CHECK_EQ(suite_append_one(old, 1, 1, "late").err, CX_FENCED);
    CHECK_EQ(suite_append_one(new, 2, 1, "one").seq, 1);
    ledger_close(new);
    ledger_close(old);
}

TEST(ledger_mem, stops_when_its_disk_is_full)
{
    struct ledger *ledger = suite_open("mem:", LEDGER_CREATE, 1);
    CHECK_EQ(suite_append_one(ledger, 1, 1, "one").err, CX_OK);
    ledger_mem_fault(ledger, MEM_FAULT_DISK);
    CHECK_EQ(suite_append_one(ledger, 1, 2, "two").err, CX_IO);
    struct span command = {(const uint8_t *)"x", 1};
    struct ledger_append append = {.router = suite_router(1), .epoch = 1, .number = 2, .command = &command, .count = 1};
    CHECK_EQ(ledger_append(ledger, &append, suite_done, NULL), CX_IO);
    CHECK(strstr(cx_detail(), "disk is full"));
    ledger_close(ledger);
}

TEST(ledger, names_the_kinds_that_are_not_built)
{
    struct ledger_options options = {.mode = LEDGER_READ};
    struct ledger *ledger = NULL;
    CHECK_EQ(ledger_open("postgres://db/corten", &options, &ledger), CX_UNSUPPORTED);
    CHECK(strstr(cx_detail(), "postgres are not built"));
    CHECK_EQ(ledger_open("evm+https://chain/0x1", &options, &ledger), CX_UNSUPPORTED);
    CHECK_EQ(ledger_open("corten.db", &options, &ledger), CX_INVALID);
    CHECK(strstr(cx_detail(), "sqlite:PATH"));
    CHECK_EQ(ledger_open("sqlite:", &options, &ledger), CX_INVALID);
    CHECK_EQ(ledger_open("sqlite:/no/such/folder/x.db", &options, &ledger), CX_NOT_FOUND);
}

TEST(ledger, reads_no_byte_behind_a_body)
{
    static const uint8_t body[] = {0, 3, 'o', 'n', 'e', 0, 1, 'x', 0, 2, 'n', 'o'};
    for (uint32_t size = 0; size <= sizeof body; size++) {
        struct ledger_batch batch = {.seq = 1, .count = 3, .body = {guard_copy(body, size), size}};
        enum cx_err err = ledger_batch_check(&batch);
        CHECK_EQ(err, size == sizeof body ? CX_OK : CX_INVALID);
        if (err)
            continue;
        struct ledger_cursor at = ledger_cursor(&batch);
        struct ledger_entry entry;
        uint32_t total = 0;
        while (ledger_next(&at, &entry))
            total += entry.command.size;
        CHECK_EQ(total, 6);
    }
    /* Random bytes are refused or read to their end, never beyond it. */
    struct prng prng = {5};
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[24];
        uint32_t size = (uint32_t)prng_below(&prng, sizeof bytes + 1);
        for (uint32_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)prng_below(&prng, 4);
        uint8_t *copy = guard_copy(bytes, size);
        struct ledger_batch batch = {.seq = 1, .count = (uint32_t)prng_below(&prng, 6), .body = {copy, size}};
        if (ledger_batch_check(&batch) == CX_OK) {
            struct ledger_cursor at = ledger_cursor(&batch);
            struct ledger_entry entry;
            while (ledger_next(&at, &entry))
                CHECK(entry.command.size > 0);
            CHECK_EQ(at.offset, size);
        }
        guard_free(copy, size);
    }
}

/* ---- sqlite ------------------------------------------------------------------------------------ */

static void sqlite_place(char ret_uri[256])
{
    static int count;
    snprintf(ret_uri, 256, "sqlite:%s/ledger-%d.db", test_folder(), count++);
}

static const struct suite_backend sqlite_backend = {sqlite_place, NULL, ledger_damage, NULL};
LEDGER_SUITE(sqlite, &sqlite_backend)

/* ---- one writer -------------------------------------------------------------------------------- */

TEST(ledger_sqlite, refuses_a_second_writer_and_names_the_first)
{
    char uri[256], pid[32];
    sqlite_place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1), *second = NULL;
    struct ledger_options options = {.mode = LEDGER_WRITE, .network = SUITE_NETWORK, .router = suite_router(2)};
    CHECK_EQ(ledger_open(uri, &options, &second), CX_BUSY);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    CHECK(strstr(cx_detail(), pid));
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(ledger_open(uri, &options, &second) == CX_BUSY && strstr(cx_detail(), pid) ? 0 : 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(suite_append_one(ledger, 1, 1, "one").err, CX_OK);
    ledger_close(ledger);
    ledger_close(suite_open(uri, LEDGER_WRITE, 2));
}

TEST(ledger_sqlite, turns_away_what_is_no_ledger)
{
    char uri[256];
    struct ledger *ledger = NULL;
    struct ledger_options options = {.mode = LEDGER_CREATE, .network = SUITE_NETWORK, .router = suite_router(1)};
    sqlite_place(uri);
    ledger_sql(uri, "CREATE TABLE photos (name)");
    CHECK_EQ(ledger_open(uri, &options, &ledger), CX_INVALID);
    CHECK(strstr(cx_detail(), "no ledger"));

    sqlite_place(uri);
    FILE *file = fopen(ledger_path(uri), "w");
    CHECK(file);
    fputs("This is a text of more than a hundred bytes, which somebody has named like a ledger by mistake, as happens.",
          file);
    CHECK_EQ(fclose(file), 0);
    CHECK_EQ(ledger_open(uri, &options, &ledger), CX_CORRUPT);
    CHECK(strstr(cx_detail(), uri));

    sqlite_place(uri);
    ledger_close(suite_open(uri, LEDGER_CREATE, 1));
    ledger_sql(uri, "PRAGMA user_version = 2");
    CHECK_EQ(ledger_open(uri, &options, &ledger), CX_UNSUPPORTED);
    CHECK(strstr(cx_detail(), "format 2"));
    ledger_sql(uri, "PRAGMA user_version = 1; DELETE FROM meta");
    CHECK_EQ(ledger_open(uri, &options, &ledger), CX_CORRUPT);
    CHECK(strstr(cx_detail(), "which network"));
    ledger_sql(uri, "DROP TABLE meta");
    CHECK(ledger_open(uri, &options, &ledger));
    CHECK(strstr(cx_detail(), "meta"));
}

TEST(ledger_sqlite, misses_a_batch_that_was_taken_away)
{
    char uri[256];
    sqlite_place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    for (uint64_t i = 1; i <= 4; i++)
        CHECK_EQ(suite_append_one(ledger, 1, i, "entry").seq, i);
    ledger_close(ledger);
    ledger_sql(uri, "DELETE FROM batch WHERE seq = 2");
    struct suite_seen seen = {.size = 0};
    ledger = suite_open(uri, LEDGER_READ, 0);
    CHECK_EQ(ledger_read(ledger, 1, suite_see, &seen), CX_CORRUPT);
    CHECK(strstr(cx_detail(), "position 2 should follow, but the next batch begins at 3"));
    CHECK_STR(seen.text, "1:entry ");
    CHECK_EQ(ledger_read(ledger, 2, suite_see, &seen), CX_CORRUPT);
    CHECK_EQ(ledger_read(ledger, 3, suite_see, &seen), CX_CORRUPT);
    CHECK_EQ(ledger_read(ledger, 4, suite_see, &seen), CX_OK);  // from 4 on all is well
    ledger_close(ledger);
}

/* Where a flipped byte of the file itself matters it is found; where it does not, all reads as before. */
TEST(ledger_sqlite, finds_flipped_bytes_of_its_file_or_reads_the_same)
{
    char uri[256];
    sqlite_place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    for (uint64_t i = 1; i <= 40; i++)
        CHECK_EQ(suite_append_one(ledger, 1, i, "an entry of some length, so that it has a few bytes").seq, i);
    struct ledger_head head = ledger_head(ledger);
    ledger_close(ledger);
    int fd = open(ledger_path(uri), O_RDWR);
    struct stat st;
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    struct prng prng = {7};
    unsigned found = 0;
    for (int i = 0; i < 400; i++) {
        off_t at = (off_t)prng_below(&prng, (uint32_t)st.st_size);
        uint8_t byte = 0, bad = 0;
        CHECK_EQ(pread(fd, &byte, 1, at), 1);
        bad = byte ^ (uint8_t)(1u << prng_below(&prng, 8));
        CHECK_EQ(pwrite(fd, &bad, 1, at), 1);
        struct ledger_options options = {.mode = LEDGER_READ, .network = SUITE_NETWORK};
        static struct suite_seen seen;
        seen = (struct suite_seen){.size = 0};
        ledger = NULL;
        enum cx_err err = ledger_open(uri, &options, &ledger);
        if (!err)
            err = ledger_read(ledger, 1, suite_see, &seen);
        if (err)
            found++;
        else if (ledger_head(ledger).seq != 40 || memcmp(ledger_head(ledger).chain.b, head.chain.b, 32) != 0)
            test_fail(__FILE__, __LINE__, "bit flipped in byte %ld went unseen", (long)at);
        ledger_close(ledger);
        CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
    CHECK(found > 20);
    CHECK(found < 400);  // indexes and free space are not read
}

/* ---- payloads and the log ---------------------------------------------------------------------- */

static int64_t number(const char *uri, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    CHECK_EQ(sqlite3_open(ledger_path(uri), &db), SQLITE_OK);
    CHECK_EQ(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
    return value;
}

TEST(ledger_sqlite, makes_payloads_durable_with_their_batch)
{
    char uri[256];
    sqlite_place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    struct span command = {(const uint8_t *)"submit", 6};
    struct ledger_blob blob[] = {
        {.sha256 = {{1}}, .data = {(const uint8_t *)"prompt", 6}, .keep_until_ms = 100},
        {.sha256 = {{2}}, .data = {NULL, 0}, .keep_until_ms = TIME_NEVER},
        {.sha256 = {{1}}, .data = {(const uint8_t *)"prompt", 6}, .keep_until_ms = 50},
    };
    struct ledger_append append = {.router = suite_router(1),
                                   .epoch = 1,
                                   .number = 1,
                                   .command = &command,
                                   .count = 1,
                                   .blob = blob,
                                   .blob_count = 3};
    struct suite_result result = {0}, refused = {0};
    CHECK_EQ(ledger_append(ledger, &append, suite_done, &result), CX_OK);
    suite_wait(ledger, &result);
    CHECK_EQ(result.err, CX_OK);
    CHECK_EQ(number(uri, "SELECT sum(count) FROM payload"), 3);
    CHECK_EQ(number(uri, "SELECT max(keep_until) FROM payload WHERE size = 6 AND data = x'70726f6d7074'"), 100);
    CHECK_EQ(number(uri, "SELECT keep_until = 9223372036854775807 FROM payload WHERE size = 0"), 1);
    blob[0].sha256.b[0] = 3;
    append.number = 7;  // a gap: neither the batch nor its payloads
    CHECK_EQ(ledger_append(ledger, &append, suite_done, &refused), CX_OK);
    suite_wait(ledger, &refused);
    CHECK_EQ(refused.err, CX_INVALID);
    CHECK_EQ(number(uri, "SELECT sum(count) FROM payload"), 3);
    blob[0].data.size = LEDGER_BLOB_SIZE_MAX + 1;
    CHECK_EQ(ledger_append(ledger, &append, suite_done, &refused), CX_TOO_LARGE);
    ledger_close(ledger);
}

TEST(ledger_sqlite, lets_its_log_start_over_under_steady_writing)
{
    static uint8_t bytes[LEDGER_ENTRY_SIZE_MAX];
    static struct span command[63];
    char uri[256], wal[300];
    sqlite_place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    for (uint32_t i = 0; i < ARRAY_COUNT(command); i++)
        command[i] = (struct span){bytes, sizeof bytes};
    for (uint64_t i = 1; i <= 400; i++) {  // 100 MiB
        struct ledger_append append = {
            .router = suite_router(1), .epoch = 1, .number = i, .command = command, .count = ARRAY_COUNT(command)};
        struct suite_result result = {0};
        CHECK_EQ(ledger_append(ledger, &append, suite_done, &result), CX_OK);
        suite_wait(ledger, &result);
        CHECK_EQ(result.err, CX_OK);
    }
    struct stat st;
    snprintf(wal, sizeof wal, "%s-wal", ledger_path(uri));
    CHECK_EQ(stat(wal, &st), 0);
    CHECK(st.st_size < 64 << 20);
    CHECK(st.st_size > 0);
    ledger_close(ledger);
}

/* ---- a disk that fails ------------------------------------------------------------------------- */

/* A layer over the system's file access that fails on demand; it counts down the calls until then. */
static sqlite3_vfs bad_vfs;
static sqlite3_io_methods bad_methods[2];  // of databases, which have locks, and of their logs
static const sqlite3_io_methods *good_methods;
static _Atomic int syncs_left, writes_left;  // negative: it works

static int bad_sync(sqlite3_file *file, int flags)
{
    if (syncs_left >= 0 && syncs_left-- == 0)
        return SQLITE_IOERR_FSYNC;
    return good_methods->xSync(file, flags);
}

static int bad_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at)
{
    if (writes_left >= 0 && writes_left-- == 0)
        return SQLITE_FULL;
    return good_methods->xWrite(file, data, size, at);
}

static int bad_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
    sqlite3_vfs *good = vfs->pAppData;
    int code = good->xOpen(good, name, file, flags, ret_flags);
    if (code == SQLITE_OK && file->pMethods) {
        good_methods = file->pMethods;
        sqlite3_io_methods *bad = &bad_methods[flags & SQLITE_OPEN_MAIN_DB ? 0 : 1];
        *bad = *good_methods;  // both have the same xSync and xWrite
        bad->xSync = bad_sync;
        bad->xWrite = bad_write;
        file->pMethods = bad;
    }
    return code;
}

static void install_bad_disk(void)
{
    sqlite3_vfs *good = sqlite3_vfs_find(NULL);
    bad_vfs = *good;
    bad_vfs.zName = "bad";
    bad_vfs.pAppData = good;
    bad_vfs.xOpen = bad_open;
    syncs_left = writes_left = -1;
    CHECK_EQ(sqlite3_vfs_register(&bad_vfs, 1), SQLITE_OK);
}

static void stops_and_keeps_what_it_acknowledged(_Atomic int *fault, const char *words)
{
    char uri[256];
    install_bad_disk();
    sqlite_place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    CHECK_EQ(suite_append_one(ledger, 1, 1, "one").err, CX_OK);
    *fault = 0;
    CHECK_EQ(suite_append_one(ledger, 1, 2, "two").err, CX_IO);
    CHECK(strstr(cx_detail(), words));
    CHECK(strstr(cx_detail(), "what it acknowledged is on disk"));
    *fault = -1;
    struct span command = {(const uint8_t *)"x", 1};
    struct ledger_append append = {.router = suite_router(1), .epoch = 1, .number = 2, .command = &command, .count = 1};
    CHECK_EQ(ledger_append(ledger, &append, suite_done, NULL), CX_IO);  // although the disk is well again
    CHECK(strstr(cx_detail(), words));
    ledger_close(ledger);

    struct suite_seen seen = {.size = 0};
    ledger = suite_open(uri, LEDGER_WRITE, 1);
    CHECK_EQ(ledger_read(ledger, 1, suite_see, &seen), CX_OK);
    CHECK_MEM(seen.text, "1:one ", 6);  // "two" may be there: nobody said that it was not
    CHECK(seen.batches <= 2);
    CHECK_EQ(suite_append_one(ledger, 2, 1, "three").err, CX_OK);
    ledger_close(ledger);
}

TEST(ledger_sqlite, stops_when_a_sync_fails)
{
    stops_and_keeps_what_it_acknowledged(&syncs_left, "failed to sync");
}
TEST(ledger_sqlite, stops_when_the_disk_is_full)
{
    stops_and_keeps_what_it_acknowledged(&writes_left, "disk is full");
}

/* ---- crashes ----------------------------------------------------------------------------------- */

#define CRASHES 50

static void acknowledge(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    (void)time_ms;
    int fd = *(int *)ctx;
    if (err || write(fd, &seq, sizeof seq) != (ssize_t)sizeof seq)
        _exit(3);
}

/* Appends for ever, batches of 1 to 5 entries that say their own number, and reports each that is durable. */
static _Noreturn void append_until_killed(const char *uri, int fd, uint64_t seed)
{
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    struct prng prng = {seed};
    char text[5][16];
    struct span command[5];
    uint8_t blob_bytes[3000] = {0};
    for (uint64_t number = 1;; number++) {
        uint32_t count = 1 + (uint32_t)prng_below(&prng, 5);
        for (uint32_t i = 0; i < count; i++) {
            int size = snprintf(text[i], sizeof text[i], "%" PRIu64 "/%u/%u", number, i, count);
            command[i] = (struct span){(const uint8_t *)text[i], (uint32_t)size};
        }
        struct ledger_blob blob = {.data = {blob_bytes, sizeof blob_bytes}, .keep_until_ms = 1};
        memcpy(blob.sha256.b, &number, sizeof number);
        memcpy(blob.sha256.b + 8, &seed, sizeof seed);
        struct ledger_append append = {.router = suite_router(1),
                                       .epoch = ledger_epoch(ledger),
                                       .number = number,
                                       .command = command,
                                       .count = count,
                                       .blob = &blob,
                                       .blob_count = number % 2};
        while (ledger_append(ledger, &append, acknowledge, &fd))
            if (ledger_wait(ledger, 20000) || ledger_poll(ledger))
                _exit(4);
    }
}

struct crash_check {
    uint64_t epoch, number, last;
    uint64_t payloads;
};

/* Within an epoch numbers follow each other, and every batch is as long as it says. */
static bool check_batch(void *ctx, const struct ledger_batch *batch)
{
    struct crash_check *check = ctx;
    if (batch->epoch != check->epoch) {
        CHECK(batch->epoch > check->epoch);
        check->epoch = batch->epoch;
        check->number = 0;
    }
    CHECK_EQ(batch->number, ++check->number);
    check->payloads += batch->number % 2;
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    for (uint32_t i = 0; ledger_next(&at, &entry); i++) {
        char want[32];
        int size = snprintf(want, sizeof want, "%" PRIu64 "/%u/%u", batch->number, i, batch->count);
        CHECK_EQ(entry.command.size, size);
        CHECK_MEM(entry.command.data, want, entry.command.size);
        CHECK_EQ(entry.seq, ++check->last);
    }
    return true;
}

TEST(ledger_sqlite, keeps_what_it_acknowledged_when_killed_at_any_moment)
{
    char uri[256];
    sqlite_place(uri);
    struct prng prng = {2026};
    uint64_t acknowledged = 0, total = 0;
    for (uint64_t crash = 0; crash < CRASHES; crash++) {
        int pipe_fd[2];
        CHECK_EQ(pipe(pipe_fd), 0);
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(pipe_fd[0]);
            append_until_killed(uri, pipe_fd[1], crash);
        }
        close(pipe_fd[1]);
        /* Killed after so many acknowledgements: somewhere within the batches after them. */
        uint64_t seq = 0;
        for (uint64_t left = prng_below(&prng, 60); left > 0; left--) {
            if (read(pipe_fd[0], &seq, sizeof seq) != (ssize_t)sizeof seq)
                test_fail(__FILE__, __LINE__, "the writer failed");
            acknowledged = seq;
            total++;
        }
        CHECK_EQ(kill(child, SIGKILL), 0);
        while (read(pipe_fd[0], &seq, sizeof seq) == (ssize_t)sizeof seq)  // it had time to say these too
            acknowledged = seq;
        close(pipe_fd[0]);
        int status = 0;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status));

        struct ledger_options options = {.mode = LEDGER_READ, .network = SUITE_NETWORK};
        struct ledger *ledger = NULL;
        enum cx_err err = ledger_open(uri, &options, &ledger);
        if (err == CX_NOT_FOUND && acknowledged == 0)
            continue;  // killed before there was one
        if (err)
            test_fail(__FILE__, __LINE__, "after crash %d: %s", (int)crash, cx_detail());
        struct crash_check check = {0};
        CHECK_EQ(ledger_read(ledger, 1, check_batch, &check), CX_OK);
        CHECK(check.last >= acknowledged);
        CHECK_EQ(number(uri, "SELECT ifnull(sum(count), 0) FROM payload"), check.payloads);
        ledger_close(ledger);
    }
    CHECK(total > CRASHES);
}

/* ---- the writer's clock ---- */

#include "ledger/ledger_clock.h"

#define WALL 1700000000000ull

TEST(ledger_clock, begins_with_the_systems_or_the_ledgers_whichever_is_later)
{
    struct ledger_clock early = {0}, late = {0};
    CHECK_EQ(ledger_clock_ms(&early, WALL - 5, WALL, 77), WALL);
    CHECK_EQ(ledger_clock_ms(&late, WALL + 5, WALL, 77), WALL + 5);
}

TEST(ledger_clock, goes_on_when_the_systems_clock_is_set_back)
{
    struct ledger_clock clock = {0};
    uint64_t was = ledger_clock_ms(&clock, 0, WALL, 0);
    uint64_t now = ledger_clock_ms(&clock, was, WALL - 600000 + 16000, 16000000);
    CHECK_EQ(now, WALL + 15000);  // sixteen seconds, less a sixteenth
    CHECK_EQ(ledger_clock_ms(&clock, now, WALL - 600000 + 32000, 32000000), WALL + 30000);
}

TEST(ledger_clock, does_not_jump_when_the_systems_clock_is_set_forward)
{
    struct ledger_clock clock = {0};
    uint64_t was = ledger_clock_ms(&clock, 0, WALL, 0);
    CHECK_EQ(ledger_clock_ms(&clock, was, WALL + 600000, 16000000), WALL + 17000);
}

TEST(ledger_clock, comes_to_agree_with_the_systems_clock)
{
    struct ledger_clock clock = {0};
    uint64_t last = ledger_clock_ms(&clock, 0, WALL, 0);
    for (uint64_t s = 1; s <= 2000; s++) {
        uint64_t now = ledger_clock_ms(&clock, last, WALL - 60000 + s * 1000, s * 1000000);
        CHECK(now >= last);
        last = now;
    }
    CHECK_EQ(last, WALL - 60000 + 2000000);
}

TEST(ledger_clock, follows_another_writer_that_is_ahead)
{
    struct ledger_clock clock = {0};
    ledger_clock_ms(&clock, 0, WALL, 0);
    CHECK_EQ(ledger_clock_ms(&clock, WALL + 90000, WALL + 10, 10000), WALL + 90000);
    CHECK(ledger_clock_ms(&clock, WALL + 90000, WALL + 1010, 1010000) > WALL + 90900);
}

/* SQLite's promises over the simulated disk: after a crash at any point the transactions that were acknowledged are
 * there, at most the one under way beside them, and the file is sound. A disk that lies must be found out. */
#include "base/buf.h"
#include "base/db.h"
#include "base/prng.h"
#include "lib/test.h"
#include "sim/disk.h"

#define ROW_COUNT 48
#define RUNS      1000  // seeds of each kind
#define ROUNDS    4     // crashes of one seed
#define STEPS     30    // transactions before the next one, if it does not come by itself

static const char path[] = "d/test.db";

/* What must be there: row k was last written by transaction row[k]. */
struct model {
    int64_t last;
    int64_t row[ROW_COUNT];
};

struct run {
    struct prng prng;
    struct disk *disk;
    sqlite3 *db, *reader;
    struct model acked, begun;       // begun: with the transaction under way, if there is one
    struct model failed[STEPS + 1];  // since then; one may be there until another is acknowledged
    uint32_t failed_count;
    int64_t transactions;
    bool under_way;
    const char *pragma;  // NULL: as db.c has it
    const char *wrong;   // what was violated
};

static void value(int64_t transaction, uint32_t row, struct buf *ret_value)
{
    struct prng prng = {(uint64_t)transaction * 1000 + row};
    uint8_t bytes[6000];
    size_t size = prng_below(&prng, 8) ? prng_below(&prng, 200) : prng_below(&prng, sizeof bytes);
    prng_fill(&prng, bytes, size);
    buf_reset(ret_value);
    buf_add(ret_value, bytes, size);
}

/* ---- writing ----------------------------------------------------------------------------------- */

static enum cx_err open_all(struct run *run)
{
    enum cx_err err = db_open(path, DB_CREATE, &run->db);
    if (!err)
        err = db_settle(run->db);
    if (!err && run->pragma)
        err = db_exec(run->db, run->pragma);
    if (!err)
        err = db_exec(run->db, "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS row (k INTEGER PRIMARY KEY, v BLOB);"
                               "CREATE TABLE IF NOT EXISTS head (id INTEGER PRIMARY KEY, last INTEGER);"
                               "CREATE INDEX IF NOT EXISTS by_v ON row (v); COMMIT");
    if (!err && prng_below(&run->prng, 2))
        err = db_open(path, DB_READ, &run->reader);
    return err;
}

static void close_all(struct run *run)
{
    db_close(run->reader);
    db_close(run->db);
    run->reader = run->db = NULL;
}

static enum cx_err write_rows(struct run *run)
{
    sqlite3_stmt *stmt = NULL;
    struct buf bytes = {0};
    enum cx_err err = db_prepare(run->db, "INSERT OR REPLACE INTO row VALUES (?1, ?2)", &stmt);
    for (uint64_t left = 1 + prng_below(&run->prng, 8); left && !err; left--) {
        uint32_t k = (uint32_t)prng_below(&run->prng, ROW_COUNT);
        value(run->begun.last, k, &bytes);
        run->begun.row[k] = run->begun.last;
        db_bind_u64(stmt, 1, k);
        db_bind_bytes(stmt, 2, bytes.data, bytes.size);
        err = db_run(stmt);
    }
    sqlite3_finalize(stmt);
    buf_done(&bytes);
    return err;
}

static enum cx_err transact(struct run *run)
{
    char sql[128];
    if (run->under_way)
        run->failed[run->failed_count++] = run->begun;
    run->begun = run->acked;
    run->begun.last = ++run->transactions;
    run->under_way = true;
    enum cx_err err = db_exec(run->db, "BEGIN IMMEDIATE");
    if (!err)
        err = write_rows(run);
    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO head VALUES (1, %lld); COMMIT", (long long)run->begun.last);
    if (!err)
        err = db_exec(run->db, sql);
    if (err) {
        sqlite3_exec(run->db, "ROLLBACK", NULL, NULL, NULL);
        return err;
    }
    run->acked = run->begun;
    run->under_way = false;
    run->failed_count = 0;
    return CX_OK;
}

static enum cx_err checkpoint(struct run *run)
{
    static const int modes[] = {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE};
    int code = sqlite3_wal_checkpoint_v2(run->db, "main", modes[prng_below(&run->prng, 3)], NULL, NULL);
    return code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY ? CX_OK : db_fail(run->db, "checkpoint");
}

/* Which transaction is the last one there: what was acknowledged, or one that failed or was under way. Whoever opens
 * the log again may find what was rolled back where nobody wrote over it. */
static void find_last(struct run *run)
{
    int64_t last = 0;
    if (run->under_way)
        run->failed[run->failed_count++] = run->begun;
    if (db_number(run->db, "SELECT last FROM head", &last)) {
        run->wrong = "its head cannot be read";
        return;
    }
    for (uint32_t i = 0; i < run->failed_count; i++)
        if (run->failed[i].last == last)
            run->acked = run->failed[i];
    if (last < run->acked.last)
        run->wrong = "what was acknowledged is gone";
    else if (last != run->acked.last)
        run->wrong = "what never was is there";
    run->under_way = false;
    run->failed_count = 0;
}

static enum cx_err reopen(struct run *run)
{
    struct disk_faults faults = *disk_faults(run->disk);
    close_all(run);
    enum cx_err err = open_all(run);
    if (err) {
        close_all(run);  // who cannot open it does not go on
        return err;
    }
    *disk_faults(run->disk) = (struct disk_faults){.capacity = faults.capacity};
    if (!disk_is_dead(run->disk))
        find_last(run);
    *disk_faults(run->disk) = faults;
    return CX_OK;
}

static enum cx_err step(struct run *run)
{
    int64_t last = 0;
    enum cx_err err = CX_OK;
    switch (prng_below(&run->prng, 12)) {
    case 0: return checkpoint(run);
    case 1: return reopen(run);
    case 2:
        if (run->reader)
            err = db_number(run->reader, "SELECT last FROM head", &last);
        if (!err && run->reader && last != run->acked.last)
            run->wrong = "a reader did not see what was acknowledged";
        return err;
    }
    return transact(run);
}

/* ---- checking ---------------------------------------------------------------------------------- */

static void check_rows(struct run *run, const struct model *want)
{
    sqlite3_stmt *stmt = NULL;
    struct buf bytes = {0};
    bool row = false;
    uint32_t count = 0, wanted = 0;
    if (db_prepare(run->db, "SELECT k, v FROM row", &stmt)) {
        run->wrong = cx_detail();
        return;
    }
    while (!run->wrong && !db_step(stmt, &row) && row) {
        uint64_t k = db_u64(stmt, 0);
        struct span v = db_span(stmt, 1);
        value(want->row[k], (uint32_t)k, &bytes);
        if (want->row[k] == 0 || bytes.size != v.size || (v.size && memcmp(v.data, bytes.data, v.size) != 0))
            run->wrong = "a row is not of the transaction that wrote it last";
        count++;
    }
    for (uint32_t k = 0; k < ROW_COUNT; k++)
        wanted += want->row[k] != 0;
    if (!run->wrong && (row || count != wanted))
        run->wrong = "rows are missing";
    sqlite3_finalize(stmt);
    buf_done(&bytes);
}

static void check_sound(struct run *run)
{
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    if (db_prepare(run->db, "PRAGMA integrity_check", &stmt) || db_step(stmt, &row))
        run->wrong = "the file is too damaged to be checked";
    else if (!row || strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
        run->wrong = "the file is damaged";
    sqlite3_finalize(stmt);
}

static void check_after(struct run *run)
{
    if (open_all(run)) {
        run->wrong = "it cannot be opened again";
        return;
    }
    check_sound(run);
    if (!run->wrong)
        find_last(run);
    if (!run->wrong)
        check_rows(run, &run->acked);
}

/* ---- one seed ---------------------------------------------------------------------------------- */

struct kind {
    struct disk_faults faults;
    const char *pragma;
    bool power_stays;
    bool goes_on;  // after errors, as payload stores do
};

/* Where writes may spoil what is beside them, SQLite pads its log so that a commit ends a sector, and does not sync the
 * padding. It promises nothing there beyond one crash or one failure: what is written next spoils the commit if there
 * is another one. */
static const char *run_seed(uint64_t seed, const struct kind *kind)
{
    struct run run = {.prng = {seed}, .pragma = kind->pragma};
    disk_install(prng_next(&run.prng));
    bool power_safe = prng_below(&run.prng, 2) || kind->goes_on;
    run.disk = disk_open(&(struct disk_options){.name = "d",
                                                .seed = prng_next(&run.prng),
                                                .sector_size = prng_below(&run.prng, 2) ? 512 : 4096,
                                                .power_safe = power_safe});
    int rounds = power_safe ? ROUNDS : 1;
    for (int round = 0; round < rounds && !run.wrong; round++) {
        *disk_faults(run.disk) = kind->faults;
        disk_die_at(run.disk, 1 + prng_below(&run.prng, prng_below(&run.prng, 2) ? 40 : 400));
        enum cx_err err = open_all(&run);
        if (err)
            close_all(&run);
        for (int i = 0; i < STEPS && (!err || kind->goes_on) && run.db && !run.wrong; i++)
            err = step(&run);
        disk_die(run.disk);
        close_all(&run);
        disk_revive(run.disk, !kind->power_stays);
        *disk_faults(run.disk) = (struct disk_faults){.capacity = 0};
        if (!run.wrong)
            check_after(&run);
        if (!run.wrong && run.db && prng_below(&run.prng, 2))
            close_all(&run);
        disk_die(run.disk);
        close_all(&run);
        disk_revive(run.disk, !kind->power_stays);
    }
    disk_close(run.disk);
    disk_uninstall();
    return run.wrong;
}

static void all_keep(const struct kind *kind)
{
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        const char *wrong = run_seed(seed, kind);
        if (wrong)
            test_fail(__FILE__, __LINE__, "seed %llu: %s", (unsigned long long)seed, wrong);
    }
}

static unsigned count_wrong(const struct kind *kind, uint64_t seeds)
{
    unsigned wrong = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        wrong += run_seed(seed, kind) != NULL;
    return wrong;
}

TEST(disk_sqlite, keeps_its_promises_through_power_cuts)
{
    all_keep(&(struct kind){.power_stays = false});
}

TEST(disk_sqlite, keeps_its_promises_when_it_is_killed)
{
    all_keep(&(struct kind){.power_stays = true});
}

TEST(disk_sqlite, keeps_its_promises_with_failing_syncs_writes_and_reads)
{
    all_keep(&(struct kind){
        .faults = {.sync_fail_ppm = 20000, .write_fail_ppm = 5000, .read_fail_ppm = 2000, .sync_us_max = 100}});
}

/* After a failed sync nobody may go on: what the disk has forgotten comes back as damage, in about one run of a
 * thousand. The ledger stops there. */
TEST(disk_sqlite, keeps_its_promises_when_programs_go_on_after_failures)
{
    all_keep(&(struct kind){.faults = {.write_fail_ppm = 10000, .read_fail_ppm = 2000}, .goes_on = true});
    all_keep(&(struct kind){.faults = {.capacity = 150000}, .goes_on = true});
}

TEST(disk_sqlite, keeps_its_promises_on_a_full_disk)
{
    all_keep(&(struct kind){.faults = {.capacity = 150000}});
}

/* ---- what must be noticed ---------------------------------------------------------------------- */

TEST(disk_sqlite, is_caught_when_the_disk_lies_about_syncs)
{
    CHECK(count_wrong(&(struct kind){.faults = {.sync_lie_ppm = 1000000}}, 300) > 200);
    CHECK(count_wrong(&(struct kind){.faults = {.sync_lie_ppm = 100000}}, 300) > 20);
}

TEST(disk_sqlite, is_caught_when_commits_are_not_synced)
{
    CHECK(count_wrong(&(struct kind){.pragma = "PRAGMA synchronous = NORMAL"}, 300) > 100);
    CHECK(count_wrong(&(struct kind){.pragma = "PRAGMA synchronous = OFF"}, 300) > 150);
    /* A killed process needs no syncs. */
    CHECK_EQ(count_wrong(&(struct kind){.pragma = "PRAGMA synchronous = OFF", .power_stays = true}, 300), 0);
}

TEST(disk_sqlite, gives_the_same_run_for_the_same_seed)
{
    struct kind kind = {.faults = {.sync_fail_ppm = 20000}};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct disk_stats stats[2];
        for (int i = 0; i < 2; i++) {
            struct run run = {.prng = {seed}};
            disk_install(seed);
            run.disk = disk_open(&(struct disk_options){.name = "d", .seed = seed});
            *disk_faults(run.disk) = kind.faults;
            enum cx_err err = open_all(&run);
            for (int n = 0; n < STEPS && !err; n++)
                err = step(&run);
            disk_die(run.disk);
            close_all(&run);
            disk_revive(run.disk, true);
            stats[i] = *disk_stats(run.disk);
            disk_close(run.disk);
            disk_uninstall();
        }
        CHECK_MEM(&stats[0], &stats[1], sizeof stats[0]);
        CHECK(stats[0].writes > 0);
    }
}

/* Ledger and payloads over the simulated disk: the suite, and crashes at any write. What was acknowledged is there, in
 * its place, with its payloads; beside it at most what was under way, in its order. A ledger whose disk fails stops,
 * says why, and acknowledges nothing more. */
#include "base/prng.h"
#include "crypto/sha256.h"
#include "ledger/backend.h"
#include "lib/ledger_damage.h"
#include "payload/payload.h"
#include "sim/disk.h"

static struct disk *suite_disk;

static void suite_end(void *ctx)
{
    (void)ctx;
    disk_close(suite_disk);
    disk_uninstall();
}

static void disk_place(char ret_uri[256])
{
    static int count;
    if (count == 0) {
        disk_install(1);
        suite_disk = disk_open(&(struct disk_options){.name = "d", .seed = 1});
        test_at_end(suite_end, NULL);
    }
    snprintf(ret_uri, 256, "sqlite:d/ledger-%d.db", count++);
}

static const struct suite_backend disk_backend = {disk_place, NULL, ledger_damage, NULL};
LEDGER_SUITE(disk, &disk_backend)

/* ---- a history with crashes -------------------------------------------------------------------- */

#define RUNS        300
#define ROUNDS      4
#define STEPS       40
#define BATCHES_MAX 1024
#define PAYLOAD_MAX 8000

static const char uri[] = "sqlite:d/ledger.db";

struct item {
    uint64_t epoch, number;
    uint64_t name;  // what its command and its payload are made from
    bool has_payload, acked;
    uint64_t seq, time_ms;
    uint32_t count;
};

struct run {
    struct prng prng;
    struct disk *disk;
    struct ledger *ledger;
    struct payload_store *payloads;
    uint64_t number, names, now_ms;
    struct item item[BATCHES_MAX];  // in the order of appends
    uint32_t item_count, done_count;
    struct hash put[BATCHES_MAX];  // payloads that were acknowledged by themselves
    uint32_t put_count;
    uint32_t read;  // items found while checking
    const char *wrong;
    char detail[256];
};

static uint64_t read_clock(void *ctx)
{
    struct run *run = ctx;
    return run->now_ms += prng_below(&run->prng, 3);
}

static struct span payload_of(uint64_t name, struct hash *ret_sha256)
{
    static uint8_t bytes[PAYLOAD_MAX];
    struct prng prng = {name};
    uint32_t size = (uint32_t)prng_below(&prng, prng_below(&prng, 4) ? 300 : PAYLOAD_MAX);
    prng_fill(&prng, bytes, size);
    sha256(bytes, size, ret_sha256);
    return (struct span){bytes, size};
}

static struct span command_of(uint64_t name, uint32_t index)
{
    static uint8_t bytes[8][600];
    struct prng prng = {name * 8 + index};
    uint32_t size = 1 + (uint32_t)prng_below(&prng, sizeof bytes[0]);
    prng_fill(&prng, bytes[index], size);
    return (struct span){bytes[index], size};
}

static void note_done(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    struct run *run = ctx;
    struct item *item = &run->item[run->done_count++];  // they end in their order
    if (err != CX_OK && err != CX_IO && err != CX_CORRUPT)
        run->wrong = "an append ended like nothing that disks do";
    if (err && err != CX_OK && !strstr(cx_detail(), "stopped"))
        run->wrong = "a ledger that stopped did not say so";
    item->acked = err == CX_OK;
    item->seq = seq;
    item->time_ms = time_ms;
}

static enum cx_err append(struct run *run)
{
    struct span command[8];
    struct ledger_blob blob;
    struct item item = {.epoch = ledger_epoch(run->ledger),
                        .number = run->number,
                        .name = ++run->names,
                        .has_payload = prng_below(&run->prng, 3) == 0,
                        .count = 1 + (uint32_t)prng_below(&run->prng, 8)};
    for (uint32_t i = 0; i < item.count; i++)
        command[i] = command_of(item.name, i);
    blob.data = payload_of(item.name, &blob.sha256);
    blob.keep_until_ms = TIME_NEVER;
    struct ledger_append what = {.router = suite_router(1),
                                 .epoch = item.epoch,
                                 .number = item.number,
                                 .command = command,
                                 .count = item.count,
                                 .blob = &blob,
                                 .blob_count = item.has_payload};
    CHECK(run->item_count < BATCHES_MAX);
    run->item[run->item_count++] = item;
    enum cx_err err = ledger_append(run->ledger, &what, note_done, run);
    if (err)
        run->item_count--;
    else
        run->number++;
    return err;
}

static enum cx_err step(struct run *run)
{
    uint64_t draw = prng_below(&run->prng, 8);
    enum cx_err err = CX_OK;
    if (draw == 0) {
        struct hash name;
        struct span data = payload_of(++run->names, &name);
        err = payload_put(run->payloads, data.data, data.size, TIME_NEVER, &name);
        if (!err)
            run->put[run->put_count++] = name;
        return err;
    }
    for (uint64_t i = 0; i < (draw == 1 ? 3 : 1) && !err; i++)
        err = append(run);
    enum cx_err polled = ledger_poll(run->ledger);
    if (!err)
        err = polled;
    if (!err && run->done_count && !run->item[run->done_count - 1].acked)
        err = CX_IO;
    return err;
}

/* ---- checking ---------------------------------------------------------------------------------- */

static bool same_commands(const struct ledger_batch *batch, const struct item *item)
{
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    uint32_t i = 0;
    for (; ledger_next(&at, &entry); i++) {
        struct span want = command_of(item->name, i);
        if (want.size != entry.command.size || memcmp(want.data, entry.command.data, want.size) != 0)
            return false;
    }
    return i == item->count;
}

/* What was appended and is not there must be the last of what was under way at some crash: then it is forgotten. */
static bool see(void *ctx, const struct ledger_batch *batch)
{
    struct run *run = ctx;
    struct item *item = &run->item[run->read];
    if (run->read == run->item_count || item->epoch != batch->epoch || item->number != batch->number)
        run->wrong = "a batch is there that should not be, or one before it is gone";
    else if (!same_commands(batch, item))
        run->wrong = "a batch is not what was appended";
    else if (item->acked && (item->seq != batch->seq || item->time_ms != batch->time_ms))
        run->wrong = "a batch is not where it was said to be";
    if (run->wrong)
        return false;
    item->seq = batch->seq;
    item->time_ms = batch->time_ms;
    run->read++;
    return true;
}

static void check_payloads(struct run *run)
{
    struct buf data = {0};
    for (uint32_t i = 0; i < run->item_count && !run->wrong; i++) {
        struct hash name;
        payload_of(run->item[i].name, &name);
        buf_reset(&data);
        if (run->item[i].has_payload && payload_get(run->payloads, &name, &data))
            run->wrong = "a payload is not there with its batch";
    }
    for (uint32_t i = 0; i < run->put_count && !run->wrong; i++) {
        buf_reset(&data);
        if (payload_get(run->payloads, &run->put[i], &data))
            run->wrong = "a payload that was acknowledged is gone";
    }
    buf_done(&data);
}

static enum cx_err open_all(struct run *run)
{
    struct ledger_options options = {.mode = LEDGER_CREATE,
                                     .network = SUITE_NETWORK,
                                     .router = suite_router(1),
                                     .now_ms = read_clock,
                                     .now_ctx = run};
    enum cx_err err = ledger_open(uri, &options, &run->ledger);
    if (!err)
        err = payload_store_open(uri, &run->payloads);
    run->number = 1;
    return err;
}

static void close_all(struct run *run)
{
    payload_store_close(run->payloads);
    ledger_close(run->ledger);
    run->payloads = NULL;
    run->ledger = NULL;
    run->done_count = run->item_count;
}

/* A batch whose outcome nobody heard, asked for again: the first position where it is there, else it is too late. */
static void check_repeat(struct run *run, const struct item *item, bool there)
{
    struct span command[8];
    struct suite_result result = {0};
    for (uint32_t i = 0; i < item->count; i++)
        command[i] = command_of(item->name, i);
    struct ledger_append again = {.router = suite_router(1),
                                  .epoch = item->epoch,
                                  .number = item->number,
                                  .command = command,
                                  .count = item->count};
    if (ledger_append(run->ledger, &again, suite_done, &result) || ledger_poll(run->ledger) || !result.done)
        run->wrong = "a repeat was not answered";
    else if (result.err != (there ? CX_OK : CX_FENCED) || (there && result.seq != item->seq))
        run->wrong = "a repeat was answered wrongly";
}

static void check_after(struct run *run)
{
    enum cx_err err = open_all(run);
    run->read = 0;
    if (!err)
        err = ledger_read(run->ledger, 1, see, run);
    if (err && !run->wrong) {
        snprintf(run->detail, sizeof run->detail, "it cannot be read: %.200s", cx_detail());
        run->wrong = run->detail;
    }
    for (uint32_t i = run->read; i < run->item_count && !run->wrong; i++)
        if (run->item[i].acked)
            run->wrong = "what was acknowledged is gone";
    if (!run->wrong && run->read)
        check_repeat(run, &run->item[run->read - 1], true);
    if (!run->wrong && run->read < run->item_count)
        check_repeat(run, &run->item[run->read], false);
    run->item_count = run->read;
    for (uint32_t i = 0; i < run->item_count; i++)
        run->item[i].acked = true;
    if (!run->wrong)
        check_payloads(run);
}

struct kind {
    struct disk_faults faults;
    bool power_stays;
    bool either;  // or it does not, by chance: programs start again on what the system still remembers
};

static bool draw_power(struct run *run, const struct kind *kind)
{
    return kind->either ? prng_below(&run->prng, 2) : kind->power_stays;
}

static void power(struct run *run, bool stays)
{
    disk_die(run->disk);
    close_all(run);
    disk_revive(run->disk, !stays);
    *disk_faults(run->disk) = (struct disk_faults){.capacity = 0};
}

/* The words for what was violated, or NULL. */
static const char *run_seed(uint64_t seed, const struct kind *kind)
{
    static struct run run;
    run = (struct run){.prng = {seed}, .now_ms = 1000};
    disk_install(prng_next(&run.prng));
    run.disk = disk_open(&(struct disk_options){.name = "d",
                                                .seed = prng_next(&run.prng),
                                                .sector_size = prng_below(&run.prng, 2) ? 512 : 4096,
                                                .power_safe = true});
    for (int round = 0; round < ROUNDS && !run.wrong; round++) {
        *disk_faults(run.disk) = kind->faults;
        disk_die_at(run.disk, 1 + prng_below(&run.prng, prng_below(&run.prng, 2) ? 60 : 800));
        enum cx_err err = open_all(&run);
        for (int i = 0; i < STEPS && !err && !run.wrong; i++)
            err = step(&run);
        power(&run, draw_power(&run, kind));
        if (!run.wrong)
            check_after(&run);
        power(&run, draw_power(&run, kind));
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

TEST(disk_ledger, keeps_what_it_acknowledged_through_power_cuts)
{
    all_keep(&(struct kind){.power_stays = false});
}

TEST(disk_ledger, keeps_what_it_acknowledged_when_it_is_killed)
{
    all_keep(&(struct kind){.power_stays = true});
}

TEST(disk_ledger, keeps_what_it_acknowledged_with_failing_syncs_writes_and_reads)
{
    all_keep(&(struct kind){
        .faults = {.sync_fail_ppm = 20000, .write_fail_ppm = 3000, .read_fail_ppm = 2000, .sync_us_max = 100}});
}

/* A program that starts again after a failed sync reads what it wrote, and it may not be on the disk. */
TEST(disk_ledger, keeps_what_it_acknowledged_after_a_failed_sync_and_a_new_start)
{
    all_keep(&(struct kind){.faults = {.sync_fail_ppm = 50000}, .either = true});
}

TEST(disk_ledger, keeps_what_it_acknowledged_on_a_full_disk)
{
    all_keep(&(struct kind){.faults = {.capacity = 260000}});
}

TEST(disk_ledger, is_caught_when_the_disk_lies_about_syncs)
{
    CHECK(count_wrong(&(struct kind){.faults = {.sync_lie_ppm = 1000000}}, 100) > 60);
    CHECK(count_wrong(&(struct kind){.faults = {.sync_lie_ppm = 50000}}, 100) > 5);
}

/* ---- each failure by name ---------------------------------------------------------------------- */

static struct ledger *with_one_entry(void)
{
    char place[256];
    disk_place(place);
    struct ledger *ledger = suite_open(place, LEDGER_CREATE, 1);
    CHECK_EQ(suite_append_one(ledger, 1, 1, "one").err, CX_OK);
    return ledger;
}

/* It stays stopped when the disk is well again: nobody knows what the failure left. */
static void check_stopped(struct ledger *ledger, const char *words)
{
    CHECK_EQ(suite_append_one(ledger, 1, 2, "two").err, CX_IO);
    CHECK(strstr(cx_detail(), words));
    CHECK(strstr(cx_detail(), "d/ledger-"));
    CHECK(strstr(cx_detail(), "The ledger has stopped; what it acknowledged is on disk"));
    *disk_faults(suite_disk) = (struct disk_faults){.capacity = 0};
    struct span command = {(const uint8_t *)"x", 1};
    struct ledger_append what = {.router = suite_router(1), .epoch = 1, .number = 2, .command = &command, .count = 1};
    struct suite_result result = {0};
    CHECK_EQ(ledger_append(ledger, &what, suite_done, &result), CX_IO);
    CHECK(strstr(cx_detail(), words));
    CHECK(!result.done);
    ledger_close(ledger);
}

TEST(disk_ledger, stops_and_says_so_when_a_sync_fails)
{
    struct ledger *ledger = with_one_entry();
    disk_fail_sync(suite_disk);
    check_stopped(ledger, "the disk failed to sync");
}

TEST(disk_ledger, stops_and_says_so_when_the_disk_is_full)
{
    struct ledger *ledger = with_one_entry();
    disk_faults(suite_disk)->capacity = 1;
    check_stopped(ledger, "the disk is full: free some space");
}

TEST(disk_ledger, stops_and_says_so_when_a_write_fails)
{
    struct ledger *ledger = with_one_entry();
    disk_faults(suite_disk)->write_fail_ppm = 1000000;
    check_stopped(ledger, "the disk could not be written");
}

/* Bytes of the log that a ledger with a payload store on the same file leaves behind when both are closed, the store
 * last. SQLite's last connection would copy it and remove it. */
static uint64_t log_left(bool stops)
{
    char place[256], log[260];
    disk_place(place);
    snprintf(log, sizeof log, "%s-wal", strchr(place, ':') + 1);
    struct payload_store *payloads = NULL;
    struct ledger *ledger = suite_open(place, LEDGER_CREATE, 1);
    CHECK_EQ(payload_store_open(place, &payloads), CX_OK);
    CHECK_EQ(suite_append_one(ledger, 1, 1, "one").err, CX_OK);
    if (stops) {
        disk_fail_sync(suite_disk);
        CHECK_EQ(suite_append_one(ledger, 1, 2, "two").err, CX_IO);
    }
    ledger_close(ledger);
    payload_store_close(payloads);
    return disk_file_size(suite_disk, log);
}

/* After a failed sync what this process read of the log may not be what the disk has: the next opening looks. */
TEST(disk_ledger, leaves_its_log_to_the_next_opening_once_it_has_stopped)
{
    uint64_t size = log_left(true);
    CHECK(size > 0);
    CHECK(size != UINT64_MAX);
}

TEST(disk_ledger, copies_its_log_at_a_clean_end)
{
    CHECK_EQ(log_left(false), 0);
}

TEST(disk_ledger, says_so_when_its_folder_cannot_be_synced)
{
    char place[256];
    struct ledger_options options = {.mode = LEDGER_CREATE, .network = SUITE_NETWORK, .router = suite_router(1)};
    disk_place(place);
    disk_faults(suite_disk)->sync_fail_ppm = 1000000;
    struct ledger *ledger = NULL;
    CHECK_EQ(ledger_open(place, &options, &ledger), CX_IO);
    CHECK(strstr(cx_detail(), "sync"));
    CHECK(strstr(cx_detail(), "d/ledger-"));
}

TEST(disk_ledger, says_so_when_it_cannot_be_read)
{
    struct ledger *ledger = with_one_entry();
    ledger_close(ledger);
    disk_faults(suite_disk)->read_fail_ppm = 1000000;
    struct ledger_options options = {.mode = LEDGER_READ};
    ledger = NULL;
    CHECK_EQ(ledger_open("sqlite:d/ledger-0.db", &options, &ledger), CX_IO);
    CHECK(strstr(cx_detail(), "Input/output error"));
    CHECK(strstr(cx_detail(), "d/ledger-"));
}

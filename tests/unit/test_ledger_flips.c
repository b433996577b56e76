/* Bits that turn in the files of a sqlite: ledger: wherever one does, verifying names the damage, or everything reads
 * as before. Never a crash, never something else in silence. */
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/prng.h"
#include "crypto/sha256.h"
#include "ledger/ledger_tool.h"
#include "lib/ledger_damage.h"
#include "payload/payload.h"
#include "proto/payload_names.h"

#define BATCHES      8
#define PAGE_SIZE    4096
#define HEAD_SIZE    100  // of the file
#define PAGE_HEAD    24   // bytes of each page of which every one is tried: its header and the first cells
#define STRIDE       41   // of the others, one in so many
#define LOG_HEAD     32
#define FRAME_HEAD   24
#define FRAME_STRIDE 97

static char uri[300], path[280];

static struct suite_result append(struct ledger *ledger, uint64_t number)
{
    static uint8_t bytes[9000];
    struct suite_result result = {0};
    struct prng prng = {number};
    prng_fill(&prng, bytes, sizeof bytes);
    struct ledger_blob blob = {.data = {bytes, number % 3 ? 200 : sizeof bytes}, .keep_until_ms = 1000 * number};
    sha256(blob.data.data, blob.data.size, &blob.sha256);
    const struct span command[] = {{bytes, 100}, {bytes + 100, 300}};
    struct ledger_append what = {.router = suite_router(1),
                                 .epoch = 1,
                                 .number = number,
                                 .command = command,
                                 .count = ARRAY_COUNT(command),
                                 .blob = &blob,
                                 .blob_count = 1};
    CHECK_EQ(ledger_append(ledger, &what, suite_done, &result), CX_OK);
    suite_wait(ledger, &result);
    return result;
}

/* So many that they get names. */
static void put_payloads(void)
{
    struct payload_store *store = NULL;
    struct hash name;
    CHECK_EQ(payload_store_open(uri, &store), CX_OK);
    for (uint32_t i = 0; i < PAYLOAD_NAMES_IDLE; i++)
        CHECK_EQ(payload_put(store, &i, sizeof i, 1000, &name), CX_OK);
    payload_store_close(store);
}

/* Leaves the ledger open: its log is then beside the file. */
static struct ledger *fill(void)
{
    snprintf(path, sizeof path, "%s/flips.db", test_folder());
    snprintf(uri, sizeof uri, "sqlite:%s", path);
    put_payloads();
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    for (uint64_t i = 1; i <= BATCHES; i++)
        CHECK_EQ(append(ledger, i).err, CX_OK);
    return ledger;
}

/* ---- what is read ------------------------------------------------------------------------------ */

/* All that the ledger says, as one hash: batches by their chain, and every other column by SQLite. */
static void read_all(const struct ledger *ledger, struct hash *ret_all)
{
    static const char sql[] = "SELECT pack || ' ' || keep_until || ' ' || count || ' ' || size || ' ' || hex(list) || "
                              "' ' || hex(data) FROM payload"
                              " UNION ALL"
                              " SELECT quote(router) || epoch FROM writer UNION ALL"
                              " SELECT key || value FROM meta ORDER BY 1";
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    struct hash row;
    CHECK_EQ(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    *ret_all = ledger_head(ledger).chain;
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        sha256(sqlite3_column_text(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0), &row);
        for (size_t i = 0; i < sizeof row.b; i++)
            row.b[i] ^= ret_all->b[i];
        sha256(row.b, sizeof row.b, ret_all);
    }
    sqlite3_finalize(stmt);
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

static enum cx_err verify(struct hash *ret_all, uint64_t *ret_seq)
{
    cx_auto(ledger) ledger = NULL;
    struct ledger_totals totals;
    struct ledger_options options = {.mode = LEDGER_READ, .network = SUITE_NETWORK};
    enum cx_err err = ledger_open(uri, &options, &ledger);
    if (!err)
        err = ledger_verify(ledger, NULL, NULL, &totals);
    if (err)
        return err;
    *ret_seq = totals.head.seq;
    read_all(ledger, ret_all);
    return CX_OK;
}

/* ---- turning bits ------------------------------------------------------------------------------ */

static void flip(const char *file, uint64_t at, unsigned bit)
{
    uint8_t byte = 0;
    int fd = open(file, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= (uint8_t)(1u << bit);
    CHECK_EQ(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

struct tally {
    unsigned tried, named, same, shorter;
};

/* lost_from: from there on a bit may cost the last commit, which then looks like one that never was. */
static void try(const char *file, uint64_t at, unsigned bit, const struct hash *want, uint64_t lost_from,
                struct tally *tally)
{
    struct hash is;
    uint64_t seq = 0;
    flip(file, at, bit);
    enum cx_err err = verify(&is, &seq);
    tally->tried++;
    if (err) {
        bool named = err == CX_CORRUPT || err == CX_INVALID || err == CX_UNSUPPORTED || err == CX_NOT_FOUND;
        if (!named || !strstr(cx_detail(), path))
            test_fail(__FILE__, __LINE__, "bit %u of byte %llu of %s: %s: %s", bit, (unsigned long long)at, file,
                      cx_err_name(err), cx_detail());
        tally->named++;
    } else if (hash_eq(&is, want)) {
        tally->same++;
    } else if (at >= lost_from && seq == 2 * BATCHES) {
        tally->shorter++;
    } else {
        test_fail(__FILE__, __LINE__,
                  "bit %u of byte %llu of %s turned in silence: %llu entries (the last commit begins at %llu)", bit,
                  (unsigned long long)at, file, (unsigned long long)seq, (unsigned long long)lost_from);
    }
    flip(file, at, bit);
}

static uint64_t size_of(const char *file)
{
    struct stat st;
    CHECK_EQ(stat(file, &st), 0);
    return (uint64_t)st.st_size;
}

TEST(ledger_flips, are_named_or_harmless_in_every_page_of_the_file)
{
    ledger_close(fill());
    struct hash all;
    struct prng prng = {3};
    struct tally tally = {0};
    uint64_t seq = 0, size = size_of(path);
    CHECK_EQ(verify(&all, &seq), CX_OK);
    CHECK_EQ(seq, 2 * BATCHES);
    for (uint64_t at = 0; at < size; at++) {
        if (at < HEAD_SIZE)
            for (unsigned bit = 0; bit < 8; bit++)
                try(path, at, bit, &all, UINT64_MAX, &tally);
        else if (at % PAGE_SIZE < PAGE_HEAD || at % STRIDE == 0)
            try(path, at, (unsigned)prng_below(&prng, 8), &all, UINT64_MAX, &tally);
    }
    CHECK_EQ(verify(&all, &seq), CX_OK);
    CHECK(tally.named > tally.tried / 3);
    CHECK(tally.same > 0);  // what nothing is kept in
}

/* The files as they are while the ledger is written to, in another place. */
static void copy(const char *from, const char *to)
{
    static char bytes[4 << 20];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    CHECK(in && out);
    size_t size = fread(bytes, 1, sizeof bytes, in);
    CHECK(size < sizeof bytes);
    CHECK_EQ(fwrite(bytes, 1, size, out), size);
    CHECK_EQ(fclose(in), 0);
    CHECK_EQ(fclose(out), 0);
}

static void fill_with_log(char ret_log[300], uint64_t *ret_lost_from)
{
    char from[300];
    struct ledger *ledger = fill();
    snprintf(from, sizeof from, "%s-wal", path);
    char to[280];
    snprintf(to, sizeof to, "%s/cut.db", test_folder());
    snprintf(ret_log, 300, "%s-wal", to);
    *ret_lost_from = size_of(from);
    CHECK_EQ(append(ledger, BATCHES + 1).err, CX_OK);
    /* Of what the next commits write over nothing matters: the last commit is where the log grew last. */
    copy(path, to);
    copy(from, ret_log);
    ledger_close(ledger);
    snprintf(path, sizeof path, "%s", to);
    snprintf(uri, sizeof uri, "sqlite:%s", path);
}

TEST(ledger_flips, are_named_or_harmless_in_the_log_but_for_its_last_commit)
{
    char log[300];
    uint64_t lost_from = 0, seq = 0;
    struct hash all;
    struct prng prng = {4};
    struct tally tally = {0}, last = {0};
    fill_with_log(log, &lost_from);
    uint64_t size = size_of(log);
    CHECK(size > lost_from);
    CHECK_EQ(verify(&all, &seq), CX_OK);
    CHECK_EQ(seq, 2 * (BATCHES + 1));
    for (uint64_t at = 0; at < size; at++) {
        uint64_t in_frame = at < LOG_HEAD ? 0 : (at - LOG_HEAD) % (FRAME_HEAD + PAGE_SIZE);
        if (in_frame < FRAME_HEAD || at % FRAME_STRIDE == 0)
            try(log, at, (unsigned)prng_below(&prng, 8), &all, lost_from, at < lost_from ? &tally : &last);
    }
    CHECK_EQ(verify(&all, &seq), CX_OK);
    CHECK(tally.named > tally.tried / 2);
    CHECK_EQ(tally.shorter, 0);
}

/* What would have been cut off is still there when the bit is turned back. */
TEST(ledger_flips, keep_a_writer_from_cutting_its_log_off)
{
    char log[300];
    uint64_t lost_from = 0, seq = 0;
    struct hash all;
    struct ledger_options options = {.mode = LEDGER_CREATE, .network = SUITE_NETWORK, .router = suite_router(1)};
    fill_with_log(log, &lost_from);
    for (uint64_t at = 0; at < lost_from; at += 1009) {
        struct ledger *ledger = NULL;
        flip(log, at, 3);
        enum cx_err err = ledger_open(uri, &options, &ledger);
        if (err != CX_CORRUPT)
            test_fail(__FILE__, __LINE__, "byte %llu: %s", (unsigned long long)at, cx_err_name(err));
        CHECK(strstr(cx_detail(), log));
        CHECK(strstr(cx_detail(), "is damaged"));
        struct payload_store *payloads = NULL;
        CHECK_EQ(payload_store_open(uri, &payloads), CX_CORRUPT);
        CHECK(strstr(cx_detail(), log));
        flip(log, at, 3);
    }
    CHECK_EQ(verify(&all, &seq), CX_OK);
    CHECK_EQ(seq, 2 * (BATCHES + 1));
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    CHECK_EQ(ledger_epoch(ledger), 2);
    CHECK_EQ(ledger_head(ledger).seq, 2 * (BATCHES + 1));
    ledger_close(ledger);
}

/* ---- payloads ---------------------------------------------------------------------------------- */

/* What SQLite finds nothing wrong with, because it is the same in its indexes. */
TEST(ledger_flips, of_whole_columns_of_payloads_are_named)
{
    static const struct {
        const char *set, *words;
    } damage[] = {
        {"keep_until = -1", "pack 66 of payloads is damaged: its time is none"},
        {"count = count + 1", "pack 66 of payloads is damaged: its list is not as long as it says"},
        {"list = x''", "pack 66 of payloads is damaged: its list is not as long as it says"},
        {"size = size + 1", "pack 66 of payloads is damaged: it is not as long as it says"},
        {"data = CAST(data || 'x' AS BLOB), size = size + 1", "pack 66 of payloads is damaged: it is not as long"},
        {"list = CAST(substr(list, 1, 32) || x'000fffff' AS BLOB)", "pack 66 of payloads is damaged: its list leads"},
        {"list = CAST(x'01' || substr(list, 2) AS BLOB)", "is damaged: its bytes are not those of its name"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        char sql[300];
        struct hash all;
        uint64_t seq = 0;
        sqlite3 *db = NULL;
        ledger_close(fill());
        snprintf(sql, sizeof sql, "UPDATE payload SET %s WHERE pack = 66", damage[i].set);
        CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
        CHECK_EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        CHECK_EQ(sqlite3_changes(db), 1);
        CHECK_EQ(sqlite3_close(db), SQLITE_OK);
        CHECK_EQ(verify(&all, &seq), CX_CORRUPT);
        if (!strstr(cx_detail(), damage[i].words))
            test_fail(__FILE__, __LINE__, "%s: %s", damage[i].set, cx_detail());
        CHECK_EQ(remove(path), 0);
    }
}

static enum cx_err read_payloads(void)
{
    cx_auto(payload_store) store = NULL;
    static uint8_t bytes[9000];
    struct buf data = {0};
    enum cx_err err = payload_store_open(uri, &store);
    for (uint64_t number = 1; number <= BATCHES && !err; number++) {
        struct hash name;
        struct prng prng = {number};
        prng_fill(&prng, bytes, sizeof bytes);
        size_t size = number % 3 ? 200 : sizeof bytes;
        sha256(bytes, size, &name);
        buf_reset(&data);
        err = payload_get(store, &name, &data);
        if (!err && (data.size != size || memcmp(data.data, bytes, size) != 0))
            test_fail(__FILE__, __LINE__, "payload %llu is another one", (unsigned long long)number);
    }
    for (uint32_t i = 0; i < PAYLOAD_NAMES_IDLE && !err; i++) {
        struct hash name;
        sha256(&i, sizeof i, &name);
        buf_reset(&data);
        err = payload_get(store, &name, &data);
        if (!err && (data.size != sizeof i || memcmp(data.data, &i, sizeof i) != 0))
            test_fail(__FILE__, __LINE__, "payload %u of the first ones is another one", i);
    }
    buf_done(&data);
    return err;
}

/* A name that has turned is not found, and verifying says why. */
TEST(ledger_flips, never_give_another_payload)
{
    ledger_close(fill());
    CHECK_EQ(read_payloads(), CX_OK);
    struct hash all;
    struct prng prng = {5};
    uint64_t seq = 0, size = size_of(path);
    unsigned named = 0, missed = 0;
    for (uint64_t at = HEAD_SIZE; at < size; at += at % PAGE_SIZE < PAGE_HEAD ? 1 : STRIDE) {
        unsigned bit = (unsigned)prng_below(&prng, 8);
        flip(path, at, bit);
        enum cx_err err = read_payloads();
        if (err && !strstr(cx_detail(), path))
            test_fail(__FILE__, __LINE__, "bit %u of byte %llu: %s", bit, (unsigned long long)at, cx_detail());
        if (err == CX_NOT_FOUND && verify(&all, &seq) == CX_OK)
            test_fail(__FILE__, __LINE__, "bit %u of byte %llu has lost a payload in silence", bit,
                      (unsigned long long)at);
        missed += err == CX_NOT_FOUND;
        named += err && err != CX_NOT_FOUND;
        flip(path, at, bit);
    }
    CHECK_EQ(read_payloads(), CX_OK);
    CHECK(named > 10);
    CHECK(missed > 0);
}

/* The ledgers: the suite over each, and what is one backend's alone. */
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/prng.h"
#include "ledger/ledger_mem.h"
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

/* ---- sqlite ------------------------------------------------------------------------------------ */

static void sqlite_place(char ret_uri[256])
{
    static int count;
    snprintf(ret_uri, 256, "sqlite:%s/ledger-%d.db", test_folder(), count++);
}

static const char *path_of(const char *uri) { return uri + strlen("sqlite:"); }

static void sql(const char *uri, const char *text)
{
    sqlite3 *db = NULL;
    CHECK_EQ(sqlite3_open(path_of(uri), &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", text, sqlite3_errmsg(db));
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

static void sqlite_flip_bytes(const char *uri, uint64_t seq, const char *column, uint32_t byte)
{
    sqlite3 *db = NULL;
    sqlite3_blob *blob = NULL;
    uint8_t value = 0;
    CHECK_EQ(sqlite3_open(path_of(uri), &db), SQLITE_OK);
    /* The router is in an index, which a blob handle may not write past. */
    if (strcmp(column, "router") == 0)
        CHECK_EQ(sqlite3_exec(db, "DROP INDEX IF EXISTS batch_by_number", NULL, NULL, NULL), SQLITE_OK);
    CHECK_EQ(sqlite3_blob_open(db, "main", "batch", column, (sqlite3_int64)seq, 1, &blob), SQLITE_OK);
    CHECK_EQ(sqlite3_blob_read(blob, &value, 1, (int)byte), SQLITE_OK);
    value ^= 0x80;
    CHECK_EQ(sqlite3_blob_write(blob, &value, 1, (int)byte), SQLITE_OK);
    sqlite3_blob_close(blob);
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

static void sqlite_flip_number(const char *uri, uint64_t seq, const char *column, uint32_t byte)
{
    char text[256];
    long long bit = (long long)(0x80ull << 8 * byte);
    snprintf(text, sizeof text,
             "UPDATE batch SET %s = (%s | %lld) - (%s & %lld) WHERE seq = %lld OR seq = (%lld | %lld)", column, column,
             bit, column, bit, (long long)seq, (long long)seq, strcmp(column, "seq") ? (long long)seq : bit);
    sql(uri, text);
}

static void sqlite_damage(const char *uri, struct ledger *anchor, uint64_t seq, enum suite_field field, uint32_t byte)
{
    (void)anchor;
    switch (field) {
    case SUITE_SEQ: sqlite_flip_number(uri, seq, "seq", byte); break;
    case SUITE_COUNT: sqlite_flip_number(uri, seq, "count", byte); break;
    case SUITE_ROUTER: sqlite_flip_bytes(uri, seq, "router", byte); break;
    case SUITE_EPOCH: sqlite_flip_number(uri, seq, "epoch", byte); break;
    case SUITE_NUMBER: sqlite_flip_number(uri, seq, "number", byte); break;
    case SUITE_TIME: sqlite_flip_number(uri, seq, "time_ms", byte); break;
    case SUITE_CHAIN: sqlite_flip_bytes(uri, seq, "chain", byte); break;
    case SUITE_BODY: sqlite_flip_bytes(uri, seq, "body", byte); break;
    case SUITE_FIELD_COUNT: break;
    }
}

static const struct suite_backend sqlite_backend = {sqlite_place, NULL, sqlite_damage, NULL};
LEDGER_SUITE(sqlite, &sqlite_backend)

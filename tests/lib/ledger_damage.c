#include "lib/ledger_damage.h"

#include <sqlite3.h>

const char *ledger_path(const char *uri) { return uri + strlen("sqlite:"); }

void ledger_sql(const char *uri, const char *text)
{
    sqlite3 *db = NULL;
    CHECK_EQ(sqlite3_open(ledger_path(uri), &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        test_fail(__FILE__, __LINE__, "%s: %s", text, sqlite3_errmsg(db));
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

static void flip_bytes(const char *uri, uint64_t seq, const char *column, uint32_t byte)
{
    sqlite3 *db = NULL;
    sqlite3_blob *blob = NULL;
    uint8_t value = 0;
    CHECK_EQ(sqlite3_open(ledger_path(uri), &db), SQLITE_OK);
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

static void flip_number(const char *uri, uint64_t seq, const char *column, uint32_t byte)
{
    char text[256];
    long long bit = (long long)(0x80ull << 8 * byte);
    snprintf(text, sizeof text,
             "UPDATE batch SET %s = (%s | %lld) - (%s & %lld) WHERE seq = %lld OR seq = (%lld | %lld)", column, column,
             bit, column, bit, (long long)seq, (long long)seq, strcmp(column, "seq") ? (long long)seq : bit);
    ledger_sql(uri, text);
}

void ledger_damage(const char *uri, struct ledger *anchor, uint64_t seq, enum suite_field field, uint32_t byte)
{
    (void)anchor;
    switch (field) {
    case SUITE_SEQ: flip_number(uri, seq, "seq", byte); break;
    case SUITE_COUNT: flip_number(uri, seq, "count", byte); break;
    case SUITE_ROUTER: flip_bytes(uri, seq, "router", byte); break;
    case SUITE_EPOCH: flip_number(uri, seq, "epoch", byte); break;
    case SUITE_NUMBER: flip_number(uri, seq, "number", byte); break;
    case SUITE_TIME: flip_number(uri, seq, "time_ms", byte); break;
    case SUITE_CHAIN: flip_bytes(uri, seq, "chain", byte); break;
    case SUITE_BODY: flip_bytes(uri, seq, "body", byte); break;
    case SUITE_FIELD_COUNT: break;
    }
}

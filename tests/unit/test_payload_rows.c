/* Payloads as rows: packed as they come, found at once, named later, and never under another's name. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "crypto/sha256.h"
#include "lib/test.h"
#include "proto/payload_rows.h"

static sqlite3 *db;
static struct payload_rows *rows;

static void set_up(void)
{
    CHECK_EQ(db_open(":memory:", DB_CREATE, &db), CX_OK);
    CHECK_EQ(payload_rows_open(db, &rows), CX_OK);
}

static void tear_down(void)
{
    payload_rows_close(rows);
    db_close(db);
}

static int64_t number(const char *sql)
{
    int64_t number = 0;
    CHECK_EQ(db_number(db, sql, &number), CX_OK);
    return number;
}

static bool fit(void)
{
    bool fit = false;
    CHECK_EQ(payload_names_check(db, &fit), CX_OK);
    return fit;
}

static int64_t packs(void) { return number("SELECT count(*) FROM payload"); }
static int64_t names(void) { return number("SELECT ifnull(sum(length(names)), 0) / 12 FROM payload_name"); }
static int64_t runs(void) { return number("SELECT count(DISTINCT run >> 8) FROM payload_name"); }

static struct hash name_of(uint32_t n)
{
    struct hash name;
    sha256(&n, sizeof n, &name);
    return name;
}

/* What payload n has in it, for as long as the program runs. */
static struct span data_of(uint32_t n)
{
    static uint32_t all[80000];
    CHECK(n < ARRAY_COUNT(all));
    all[n] = n;
    return (struct span){(const uint8_t *)&all[n], sizeof all[n]};
}

static void put(uint32_t n, uint64_t keep_until_ms)
{
    struct hash name = name_of(n);
    CHECK_EQ(payload_rows_put(rows, &name, data_of(n), keep_until_ms), CX_OK);
}

/* A commit that brings payloads first..last. */
static void commit(uint32_t first, uint32_t last)
{
    CHECK_EQ(db_exec(db, "BEGIN IMMEDIATE"), CX_OK);
    for (uint32_t n = first; n <= last; n++)
        put(n, 1000);
    CHECK_EQ(payload_rows_end(rows), CX_OK);
    CHECK_EQ(db_exec(db, "COMMIT"), CX_OK);
}

static void commit_each(uint32_t first, uint32_t last)
{
    for (uint32_t n = first; n <= last; n++)
        commit(n, n);
    CHECK(fit());
}

static uint64_t find(uint32_t n)
{
    struct hash name = name_of(n);
    struct payload_row row = {.pack = 99};
    struct buf data = {0};
    CHECK_EQ(payload_rows_find(rows, &name, &row), CX_OK);
    if (row.pack) {
        CHECK_EQ(payload_rows_get(rows, &row, &data), CX_OK);
        CHECK_EQ(data.size, sizeof n);
        CHECK_MEM(data.data, &n, sizeof n);
        buf_done(&data);
    }
    return row.pack;
}

static uint32_t expire(uint64_t now_ms, uint32_t most)
{
    uint32_t removed = 0;
    CHECK_EQ(payload_rows_expire(rows, now_ms, most, &removed), CX_OK);
    CHECK(fit());
    return removed;
}

/* ---- packs ---- */

TEST(payload_rows, of_one_transaction_are_one_pack_of_at_most_so_many)
{
    set_up();
    commit(1, PAYLOAD_PACK_COUNT_MAX);
    CHECK_EQ(packs(), 1);
    commit(1001, 1001 + PAYLOAD_PACK_COUNT_MAX);
    CHECK_EQ(packs(), 3);
    CHECK_EQ(number("SELECT count FROM payload WHERE pack = 1"), PAYLOAD_PACK_COUNT_MAX);
    CHECK_EQ(number("SELECT count FROM payload WHERE pack = 3"), 1);
    CHECK_EQ(number("SELECT sum(size) FROM payload"), 4 * (2 * PAYLOAD_PACK_COUNT_MAX + 1));
    CHECK_EQ(find(1), 1);
    CHECK_EQ(find(PAYLOAD_PACK_COUNT_MAX), 1);
    CHECK_EQ(find(1001), 2);
    CHECK_EQ(find(1001 + PAYLOAD_PACK_COUNT_MAX), 3);
    CHECK_EQ(payload_rows_end(rows), CX_OK);  // nothing was put
    CHECK_EQ(packs(), 3);
    tear_down();
}

TEST(payload_rows, of_one_pack_have_at_most_so_many_bytes_unless_one_is_alone)
{
    set_up();
    uint8_t *bytes = calloc(1, PAYLOAD_PACK_SIZE_MAX + 1);
    CHECK(bytes);
    const struct {
        uint32_t size;
        int64_t pack;
    } all[] = {
        {PAYLOAD_PACK_SIZE_MAX - 10, 1},
        {10, 1},
        {0, 1},
        {1, 2},                          // one byte more than there is room for
        {PAYLOAD_PACK_SIZE_MAX + 1, 3},  // alone
        {1, 4},
    };
    for (uint32_t i = 0; i < ARRAY_COUNT(all); i++)
        CHECK_EQ(payload_rows_put(rows, &(struct hash){{(uint8_t)(i + 1)}}, (struct span){bytes, all[i].size}, 5),
                 CX_OK);
    CHECK_EQ(payload_rows_end(rows), CX_OK);
    for (uint32_t i = 0; i < ARRAY_COUNT(all); i++) {
        struct payload_row row;
        CHECK_EQ(payload_rows_find(rows, &(struct hash){{(uint8_t)(i + 1)}}, &row), CX_OK);
        CHECK_EQ(row.pack, (uint64_t)all[i].pack);
        CHECK_EQ(row.size, all[i].size);
    }
    free(bytes);
    tear_down();
}

TEST(payload_rows, of_one_pack_are_kept_nearly_equally_long)
{
    set_up();
    put(1, 5000);
    put(2, 5000 + PAYLOAD_PACK_MS_MAX);
    put(3, 5000);
    put(4, 4999);  // as long as this one, 2 would be kept too short, or this one too long
    put(5, TIME_NEVER);
    put(6, TIME_NEVER);
    put(7, 5000);
    CHECK_EQ(payload_rows_end(rows), CX_OK);
    CHECK_EQ(packs(), 4);
    CHECK_EQ(number("SELECT count FROM payload WHERE pack = 1"), 3);
    CHECK_EQ(number("SELECT keep_until FROM payload WHERE pack = 1"), 5000 + PAYLOAD_PACK_MS_MAX);
    CHECK_EQ(number("SELECT keep_until FROM payload WHERE pack = 2"), 4999);
    CHECK_EQ(number("SELECT keep_until FROM payload WHERE pack = 3"), INT64_MAX);
    CHECK_EQ(number("SELECT count FROM payload WHERE pack = 3"), 2);
    CHECK_EQ(find(4), 2);
    CHECK_EQ(find(6), 3);
    tear_down();
}

TEST(payload_rows, go_a_pack_at_a_time_the_oldest_first)
{
    set_up();
    for (uint32_t n = 1; n <= 5; n++) {
        put(n, 10000 * (6 - n));
        put(100 + n, 10000 * (6 - n));
        CHECK_EQ(payload_rows_end(rows), CX_OK);
    }
    CHECK_EQ(expire(10000, 9), 0);
    CHECK_EQ(expire(40001, 3), 3);
    CHECK_EQ(find(2), 2);
    CHECK_EQ(find(102), 2);
    CHECK_EQ(find(3), 0);
    CHECK_EQ(find(105), 0);
    CHECK_EQ(expire(40001, 3), 1);
    CHECK_EQ(find(2), 0);
    CHECK_EQ(find(1), 1);
    tear_down();
}

TEST(payload_rows, that_are_alone_can_be_kept_longer)
{
    set_up();
    commit(1, 1);
    struct hash name = name_of(1);
    struct payload_row row;
    CHECK_EQ(payload_rows_find(rows, &name, &row), CX_OK);
    CHECK_EQ(row.count, 1);
    CHECK_EQ(row.keep_until_ms, 1000);
    CHECK_EQ(payload_rows_keep(rows, &row, 1002), CX_OK);
    CHECK_EQ(payload_rows_keep(rows, &row, 1001), CX_OK);  // of two times the later holds
    CHECK_EQ(expire(1002, 9), 0);
    CHECK_EQ(find(1), 1);
    CHECK_EQ(expire(1003, 9), 1);
    CHECK_EQ(find(1), 0);
    struct buf data = {0};
    CHECK_EQ(payload_rows_get(rows, &row, &data), CX_NOT_FOUND);  // found before, and gone since
    tear_down();
}

TEST(payload_rows, of_one_content_are_as_many_as_were_put)
{
    set_up();
    put(7, 1000);
    put(7, 1000);
    CHECK_EQ(payload_rows_end(rows), CX_OK);
    commit(7, 7);
    CHECK_EQ(number("SELECT sum(count) FROM payload"), 3);
    CHECK_EQ(find(7), 1);
    CHECK_EQ(db_exec(db, "DELETE FROM payload WHERE pack = 1"), CX_OK);
    CHECK_EQ(find(7), 2);
    tear_down();
}

/* ---- names ---- */

TEST(payload_rows, are_found_before_they_have_a_name_and_after)
{
    set_up();
    CHECK_EQ(find(1), 0);
    commit(1, PAYLOAD_NAMES_MIN - 1);
    CHECK_EQ(names(), 0);
    CHECK_EQ(find(1), 1);
    CHECK_EQ(find(PAYLOAD_NAMES_MIN - 1), 16);
    CHECK_EQ(find(PAYLOAD_NAMES_MIN), 0);
    commit(PAYLOAD_NAMES_MIN, PAYLOAD_NAMES_MIN + 1);
    CHECK_EQ(names(), PAYLOAD_NAMES_MIN + 1);
    CHECK_EQ(number("SELECT max(last) FROM payload_name"), 17);
    CHECK(fit());
    for (uint32_t n = 1; n <= PAYLOAD_NAMES_MIN + 1; n++)
        CHECK_EQ(find(n), n < PAYLOAD_NAMES_MIN ? (n - 1) / PAYLOAD_PACK_COUNT_MAX + 1 : 17);
    CHECK_EQ(find(PAYLOAD_NAMES_MIN + 2), 0);
    tear_down();
}

TEST(payload_rows, get_their_names_soon_where_little_comes)
{
    set_up();
    commit_each(1, PAYLOAD_NAMES_IDLE - 1);
    CHECK_EQ(names(), 0);
    commit(1000, 1001);  // and where much may come, later
    CHECK_EQ(names(), 0);
    commit(1002, 1002);
    CHECK_EQ(names(), PAYLOAD_NAMES_IDLE + 2);
    tear_down();
}

/* Whoever opens the file counts what has no names yet, and whoever names takes in what another connection has put. */
TEST(payload_rows, get_their_names_whoever_put_them)
{
    set_up();
    commit_each(1, PAYLOAD_NAMES_IDLE - 2);
    struct payload_rows *other = NULL;
    CHECK_EQ(payload_rows_open(db, &other), CX_OK);
    struct hash name = name_of(1000);
    CHECK_EQ(payload_rows_put(other, &name, data_of(1000), 1000), CX_OK);
    CHECK_EQ(payload_rows_end(other), CX_OK);
    CHECK_EQ(names(), 0);
    name = name_of(1001);
    CHECK_EQ(payload_rows_put(other, &name, data_of(1001), 1000), CX_OK);
    CHECK_EQ(payload_rows_end(other), CX_OK);
    CHECK_EQ(names(), PAYLOAD_NAMES_IDLE);
    commit(2000, 2000);
    commit(2001, 2001);  // here it looks as if it were time
    CHECK(fit());
    CHECK_EQ(names(), PAYLOAD_NAMES_IDLE + 2);
    CHECK_EQ(find(1000), PAYLOAD_NAMES_IDLE - 1);
    CHECK_EQ(find(2001), PAYLOAD_NAMES_IDLE + 2);
    payload_rows_close(other);
    tear_down();
}

TEST(payload_rows, have_long_runs_of_names_and_few)
{
    static const int64_t want[] = {1, 1, 1, 2, 1, 2, 2, 1, 2};  // 1, 2, 3, 3 + 1, 5, 5 + 1, 5 + 2, 8, 8 + 1
    set_up();
    for (uint32_t i = 0; i < ARRAY_COUNT(want); i++) {
        commit_each(PAYLOAD_NAMES_IDLE * i + 1, PAYLOAD_NAMES_IDLE * (i + 1));
        CHECK_EQ(runs(), want[i]);
        CHECK_EQ(names(), PAYLOAD_NAMES_IDLE * (i + 1));
    }
    for (uint32_t n = 1; n <= PAYLOAD_NAMES_IDLE * ARRAY_COUNT(want); n++)
        CHECK_EQ(find(n), n);
    tear_down();
}

TEST(payload_rows, have_runs_of_at_most_so_many_names)
{
    set_up();
    const uint32_t commits = PAYLOAD_NAMES_RUN_MAX / PAYLOAD_NAMES_MIN + 1;
    for (uint32_t i = 0; i < commits; i++)
        commit(PAYLOAD_NAMES_MIN * i + 1, PAYLOAD_NAMES_MIN * (i + 1));
    CHECK_EQ(names(), PAYLOAD_NAMES_MIN * commits);
    CHECK(runs() > 1);
    CHECK(number("SELECT max(count) FROM payload_name") <= PAYLOAD_NAMES_RUN_MAX);
    CHECK(number("SELECT max(count) FROM payload_name") > PAYLOAD_NAMES_RUN_MAX / 2);
    CHECK(fit());
    for (uint32_t n = 1; n <= PAYLOAD_NAMES_MIN * commits; n += 997)
        CHECK_EQ(find(n), (n - 1) / PAYLOAD_PACK_COUNT_MAX + 1);
    tear_down();
}

TEST(payload_rows, far_from_each_other_are_not_in_one_run)
{
    set_up();
    commit_each(1, PAYLOAD_NAMES_IDLE);
    commit(101, 101);
    commit(102, 102);
    CHECK_EQ(db_exec(db, "UPDATE payload SET pack = 100000000 WHERE pack = 66"), CX_OK);
    commit_each(103, 100 + PAYLOAD_NAMES_IDLE);
    CHECK_EQ(runs(), 2);  // the second ends where the others are too far
    CHECK_EQ(names(), PAYLOAD_NAMES_IDLE + 1);
    commit_each(201, 201);
    CHECK_EQ(runs(), 3);
    CHECK_EQ(names(), 2 * PAYLOAD_NAMES_IDLE + 1);
    CHECK_EQ(find(101), 65);
    CHECK_EQ(find(102), 100000000);
    CHECK_EQ(find(201), 100000000 + PAYLOAD_NAMES_IDLE - 1);
    tear_down();
}

TEST(payload_rows, go_with_their_names_when_all_of_a_run_are_gone)
{
    set_up();
    commit_each(1, 3 * PAYLOAD_NAMES_IDLE);
    commit_each(201, 200 + PAYLOAD_NAMES_IDLE);
    CHECK_EQ(runs(), 2);
    CHECK_EQ(db_exec(db, "UPDATE payload SET keep_until = 10 * pack"), CX_OK);
    CHECK_EQ(expire(10 * 3 * PAYLOAD_NAMES_IDLE, 1000), 3 * PAYLOAD_NAMES_IDLE - 1);
    CHECK_EQ(runs(), 2);
    CHECK_EQ(find(1), 0);  // its name is still there
    CHECK_EQ(find(3 * PAYLOAD_NAMES_IDLE), 3 * PAYLOAD_NAMES_IDLE);
    CHECK_EQ(expire(10 * 3 * PAYLOAD_NAMES_IDLE + 1, 1000), 1);
    CHECK_EQ(runs(), 1);
    CHECK_EQ(find(201), 3 * PAYLOAD_NAMES_IDLE + 1);
    CHECK_EQ(expire(1000000, 1000), PAYLOAD_NAMES_IDLE);
    CHECK_EQ(runs(), 0);
    commit(5, 5);
    CHECK_EQ(find(5), 1);  // nothing leads to any number now
    tear_down();
}

/* Else it would count as named, and not be found. */
TEST(payload_rows, get_no_number_to_which_a_name_leads)
{
    set_up();
    commit_each(1, PAYLOAD_NAMES_IDLE);
    CHECK_EQ(db_exec(db, "UPDATE payload SET keep_until = 5 WHERE pack > 10"), CX_OK);
    CHECK_EQ(expire(6, 1000), PAYLOAD_NAMES_IDLE - 10);
    CHECK_EQ(find(11), 0);
    commit(11, 11);
    CHECK_EQ(find(11), PAYLOAD_NAMES_IDLE + 1);
    commit_each(12, PAYLOAD_NAMES_IDLE + 10);
    CHECK_EQ(number("SELECT max(last) FROM payload_name"), 2 * PAYLOAD_NAMES_IDLE);
    CHECK_EQ(find(11), PAYLOAD_NAMES_IDLE + 1);
    CHECK_EQ(find(10), 10);
    tear_down();
}

/* Of names that begin alike each leads to its own, in one pack and in several. */
TEST(payload_rows, are_told_apart_by_their_whole_names)
{
    set_up();
    struct hash alike[5] = {{{0x41, 2, 3, 4, 5, 6, 7, 8, 9}}};
    for (uint8_t i = 1; i < ARRAY_COUNT(alike); i++) {
        alike[i] = alike[0];
        alike[i].b[31] = i;
    }
    for (uint32_t i = 0; i < 4; i++)
        CHECK_EQ(payload_rows_put(rows, &alike[i], data_of(i), i < 3 ? 5 : 5000), CX_OK);
    CHECK_EQ(payload_rows_end(rows), CX_OK);
    for (unsigned named = 0; named < 2; named++) {
        for (uint32_t i = 0; i < 4; i++) {
            struct payload_row row;
            CHECK_EQ(payload_rows_find(rows, &alike[i], &row), CX_OK);
            CHECK_EQ(row.pack, i < 3 ? 1 : 2);
            CHECK_EQ(row.at, i < 3 ? 4 * i : 0);
        }
        struct payload_row none;
        CHECK_EQ(payload_rows_find(rows, &alike[4], &none), CX_OK);
        CHECK_EQ(none.pack, 0);
        CHECK_EQ(names() > 0, named);
        commit_each(1, PAYLOAD_NAMES_IDLE);
    }
    tear_down();
}

TEST(payload_rows, are_called_damaged_where_they_and_their_names_do_not_fit)
{
    static const char *const damage[] = {
        "DELETE FROM payload_name WHERE run = (SELECT min(run) FROM payload_name)",
        "DELETE FROM payload_name WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload_name SET run = run + 256",
        "UPDATE payload_name SET run = run + 1 WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload_name SET run = run - 256 WHERE run = (SELECT min(run) FROM payload_name)",
        "UPDATE payload_name SET last = last + 1 WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload_name SET last = last + 1",  // what is behind it has no names
        "UPDATE payload_name SET last = last - 1",  // names of what is not in the run
        "UPDATE payload_name SET last = 0",
        "UPDATE payload_name SET count = count + 1 WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload_name SET count = count + 1",
        "UPDATE payload_name SET names = substr(names, 13) WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload_name SET names = substr(names, 2) WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload_name SET names = substr(names, 13, 12) || substr(names, 1, 12) || substr(names, 25)"
        " WHERE run = (SELECT min(run) FROM payload_name WHERE length(names) > 12)",
        "UPDATE payload_name SET names = (SELECT names FROM payload_name ORDER BY run LIMIT 1)"
        " WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload SET pack = 5000 WHERE pack = 3; UPDATE payload_name SET last = 5000",
        "INSERT INTO payload SELECT 5000, keep_until, count, size, list, data FROM payload WHERE pack = 3;"
        "UPDATE payload_name SET last = 5000",
        "UPDATE payload SET list = (SELECT list FROM payload WHERE pack = 4) WHERE pack = 3",
        "UPDATE payload SET list = list || list WHERE pack = 3",
        "INSERT INTO payload_name SELECT run + 25600, last, 0, x'' FROM payload_name LIMIT 1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        set_up();
        commit_each(1, PAYLOAD_NAMES_IDLE + 10);
        CHECK_EQ(db_exec(db, "BEGIN"), CX_OK);
        CHECK_EQ(db_exec(db, damage[i]), CX_OK);
        if (fit())
            test_fail(__FILE__, __LINE__, "%s: is called whole", damage[i]);
        CHECK_EQ(db_exec(db, "ROLLBACK"), CX_OK);
        CHECK(fit());
        tear_down();
    }
}

/* A run that says something else than it has is not taken up: what is damaged would look whole. */
TEST(payload_rows, do_not_take_up_a_damaged_run)
{
    static const char *const damage[] = {
        "UPDATE payload_name SET names = substr(names, 13) WHERE run = (SELECT max(run) FROM payload_name)",
        "UPDATE payload_name SET names = names || x'00' WHERE run = (SELECT max(run) FROM payload_name)",
        "DELETE FROM payload_name WHERE run = (SELECT min(run) FROM payload_name)",
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        set_up();
        commit_each(1, 2 * PAYLOAD_NAMES_IDLE - 1);
        CHECK_EQ(db_exec(db, damage[i]), CX_OK);
        put(1000, 1000);
        enum cx_err err = payload_rows_end(rows);
        if (err != CX_CORRUPT)
            test_fail(__FILE__, __LINE__, "%s: %s", damage[i], cx_err_name(err));
        CHECK(strstr(cx_detail(), "the index of payloads' names is damaged at pack 1"));
        tear_down();
    }
}

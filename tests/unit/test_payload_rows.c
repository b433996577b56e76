/* Payloads as rows: found at once, named later, and never under another's name. */
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

static struct hash name_of(uint32_t n)
{
    struct hash name;
    sha256(&n, sizeof n, &name);
    return name;
}

/* A commit that brings payloads first..last. */
static void commit(uint32_t first, uint32_t last)
{
    CHECK_EQ(db_exec(db, "BEGIN IMMEDIATE"), CX_OK);
    for (uint32_t n = first; n <= last; n++) {
        struct hash name = name_of(n);
        CHECK_EQ(payload_rows_put(rows, &name, (struct span){(const uint8_t *)&n, sizeof n}, 1000 + n), CX_OK);
    }
    CHECK_EQ(payload_rows_name_some(rows, last - first + 1), CX_OK);
    CHECK_EQ(db_exec(db, "COMMIT"), CX_OK);
    CHECK_EQ(number(PAYLOAD_ROWS_ASTRAY), 0);
}

static void commit_each(uint32_t last)
{
    for (uint32_t n = 1; n <= last; n++)
        commit(n, n);
}

static uint64_t find(uint32_t n)
{
    struct hash name = name_of(n);
    uint64_t place = 99;
    CHECK_EQ(payload_rows_find(rows, &name, &place), CX_OK);
    return place;
}

TEST(payload_rows, are_found_before_they_have_a_name_and_after)
{
    set_up();
    CHECK_EQ(find(1), 0);
    commit(1, 3000);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), 0);
    CHECK_EQ(find(1), 1);
    CHECK_EQ(find(3000), 3000);
    CHECK_EQ(find(3001), 0);
    commit(3001, 3000 + PAYLOAD_NAMES_MIN);  // it brings many, so many get their names
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), 3000 + PAYLOAD_NAMES_MIN);
    CHECK_EQ(number("SELECT place FROM payload_named"), 3000 + PAYLOAD_NAMES_MIN);
    for (uint32_t n = 1; n <= 3000 + PAYLOAD_NAMES_MIN; n += 97)
        CHECK_EQ(find(n), n);
    tear_down();
}

TEST(payload_rows, get_their_names_some_with_each_commit_and_in_the_order_of_pages)
{
    set_up();
    uint32_t last = PAYLOAD_NAMES_MIN - 10;
    commit(1, last);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), 0);
    for (uint32_t step = 1; last < PAYLOAD_NAMES_MIN + 100; step++, last += 10) {
        commit(last + 1, last + 10);
        CHECK_EQ(number("SELECT count(*) FROM payload_name"), step * PAYLOAD_NAMES_STEP);
        CHECK_EQ(number("SELECT place FROM payload_named"), 0);
        /* All names up to the highest: none of the round is below it and has none. */
        CHECK_EQ(number("SELECT count(*) FROM payload WHERE place <= 4096"
                        " AND substr(sha256, 1, 8) <= (SELECT max(name) FROM payload_name)"
                        " AND place NOT IN (SELECT place FROM payload_name)"),
                 0);
        CHECK_EQ(find(step), step);
        CHECK_EQ(find(last), last);
    }
    for (; number("SELECT place FROM payload_named") == 0; last += 10)
        commit(last + 1, last + 10);
    CHECK_EQ(number("SELECT place FROM payload_named"), PAYLOAD_NAMES_MIN);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), PAYLOAD_NAMES_MIN);
    tear_down();
}

TEST(payload_rows, get_their_names_soon_where_little_comes)
{
    set_up();
    commit_each(PAYLOAD_NAMES_IDLE - 1);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), 0);
    commit(PAYLOAD_NAMES_IDLE, PAYLOAD_NAMES_IDLE);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), PAYLOAD_NAMES_IDLE);
    tear_down();
}

TEST(payload_rows, go_with_their_names_and_leave_their_places_empty)
{
    set_up();
    commit_each(PAYLOAD_NAMES_IDLE);
    CHECK_EQ(db_exec(db, "DELETE FROM payload WHERE place > 10"), CX_OK);
    CHECK_EQ(number(PAYLOAD_ROWS_ASTRAY), 0);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), 10);
    CHECK_EQ(find(11), 0);
    commit(11, 11);
    CHECK_EQ(find(11), PAYLOAD_NAMES_IDLE + 1);
    tear_down();
}

/* Between the commits of a round, who removes what has expired may have removed some of it. */
TEST(payload_rows, may_go_while_a_round_is_under_way)
{
    set_up();
    commit(1, PAYLOAD_NAMES_MIN - 1);
    commit(PAYLOAD_NAMES_MIN, PAYLOAD_NAMES_MIN + 1);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), PAYLOAD_NAMES_STEP);
    CHECK_EQ(db_exec(db, "DELETE FROM payload WHERE place % 2 = 0"), CX_OK);
    uint32_t last = PAYLOAD_NAMES_MIN + 1;
    for (; number("SELECT place FROM payload_named") == 0; last += 2)
        commit(last + 1, last + 2);
    CHECK_EQ(number("SELECT count(*) FROM payload_name WHERE place % 2 = 0"), 0);
    CHECK_EQ(find(2), 0);
    CHECK_EQ(find(3), 3);
    tear_down();
}

TEST(payload_rows, of_one_content_are_as_many_as_were_put)
{
    set_up();
    commit(7, 7);
    commit(7, 7);
    struct hash name = name_of(7);
    CHECK_EQ(payload_rows_name_last(rows, &name), CX_OK);
    CHECK_EQ(find(7), 2);
    CHECK_EQ(db_exec(db, "DELETE FROM payload WHERE place = 2"), CX_OK);
    CHECK_EQ(find(7), 1);
    CHECK_EQ(number(PAYLOAD_ROWS_ASTRAY), 0);
    tear_down();
}

TEST(payload_rows, are_looked_for_on_every_shelf)
{
    set_up();
    commit_each(PAYLOAD_NAMES_IDLE);
    CHECK_EQ(db_exec(db, "UPDATE sqlite_sequence SET seq = 1000000 WHERE name = 'payload'"), CX_OK);
    commit(1001, 1001 + PAYLOAD_NAMES_MIN);
    CHECK_EQ(number("SELECT count(*) FROM payload_name"), PAYLOAD_NAMES_IDLE + PAYLOAD_NAMES_MIN + 1);
    CHECK_EQ(number("SELECT count(DISTINCT shelf) FROM payload_name"), 2);
    CHECK_EQ(find(1), 1);
    CHECK_EQ(find(1001), 1000001);
    CHECK_EQ(find(500), 0);
    tear_down();
}

/* Of two names that begin alike each leads to its own. */
TEST(payload_rows, are_told_apart_by_their_whole_names)
{
    set_up();
    struct hash a = {{1, 2, 3, 4, 5, 6, 7, 8, 9}}, b = a, c = a;
    uint64_t place = 0;
    b.b[31] = 1;
    c.b[31] = 2;
    CHECK_EQ(payload_rows_put(rows, &a, (struct span){(const uint8_t *)"a", 1}, 5), CX_OK);
    CHECK_EQ(payload_rows_name_last(rows, &a), CX_OK);
    CHECK_EQ(payload_rows_put(rows, &b, (struct span){(const uint8_t *)"b", 1}, 5), CX_OK);
    CHECK_EQ(payload_rows_name_last(rows, &b), CX_OK);
    CHECK_EQ(payload_rows_find(rows, &a, &place), CX_OK);
    CHECK_EQ(place, 1);
    CHECK_EQ(payload_rows_find(rows, &b, &place), CX_OK);
    CHECK_EQ(place, 2);
    CHECK_EQ(payload_rows_find(rows, &c, &place), CX_OK);
    CHECK_EQ(place, 0);
    tear_down();
}

TEST(payload_rows, are_counted_where_they_and_their_names_do_not_fit)
{
    static const char *const damage[] = {
        "DELETE FROM payload_name WHERE place = 3",
        "INSERT INTO payload_name VALUES (0, x'0102030405060708', 5000)",
        "UPDATE payload_name SET shelf = 1 WHERE place = 3",
        "DELETE FROM payload_named",
        "INSERT INTO payload_named VALUES (1, 0)",
        "UPDATE payload_named SET place = 70",
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        set_up();
        commit_each(PAYLOAD_NAMES_IDLE + 10);
        CHECK_EQ(db_exec(db, damage[i]), CX_OK);
        CHECK(number(PAYLOAD_ROWS_ASTRAY) > 0);
        tear_down();
    }
}

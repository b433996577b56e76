/* The payload stores: the same scenarios over each, and what only a file can suffer. */
#include <sqlite3.h>

#include "crypto/cid.h"
#include "crypto/sha256.h"
#include "lib/ledger_suite.h"
#include "payload/payload.h"

static struct payload_store *open_store(const char *uri)
{
    struct payload_store *store = NULL;
    if (payload_store_open(uri, &store))
        test_fail(__FILE__, __LINE__, "open %s: %s", uri, cx_detail());
    return store;
}

static const char *sqlite_uri(void)
{
    static char uri[256];
    snprintf(uri, sizeof uri, "sqlite:%s/payloads.db", test_folder());
    return uri;
}

static void gives_back_what_was_put(const char *uri)
{
    static const uint8_t bytes[] = {0, 1, 2, 0, 255};
    struct payload_store *store = open_store(uri);
    struct hash name, empty;
    CHECK_EQ(payload_put(store, bytes, sizeof bytes, 10, &name), CX_OK);
    CHECK_EQ(payload_put(store, NULL, 0, 10, &empty), CX_OK);
    struct buf data = {0};
    buf_text(&data, "before ");
    CHECK_EQ(payload_get(store, &name, &data), CX_OK);
    CHECK_EQ(data.size, 7 + sizeof bytes);
    CHECK_MEM(data.data, "before ", 7);
    CHECK_MEM(data.data + 7, bytes, sizeof bytes);
    CHECK_EQ(payload_get(store, &empty, &data), CX_OK);
    CHECK_EQ(data.size, 7 + sizeof bytes);
    char urn[URN_TEXT_SIZE];
    urn_encode(&empty, urn);
    CHECK_STR(urn, "ipfs://bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku");  // IPFS' empty raw block

    struct hash other = {{1}};
    bool has = true;
    uint64_t size = 0;
    CHECK_EQ(payload_get(store, &other, &data), CX_NOT_FOUND);
    CHECK(strstr(cx_detail(), "ipfs://b"));
    CHECK_EQ(payload_has(store, &other, &has, NULL), CX_OK);
    CHECK(!has);
    CHECK_EQ(payload_has(store, &name, &has, &size), CX_OK);
    CHECK(has);
    CHECK_EQ(size, sizeof bytes);
    buf_done(&data);
    payload_store_close(store);
}

static void keeps_to_its_size(const char *uri)
{
    struct payload_store *store = open_store(uri);
    uint8_t *bytes = calloc(1, PAYLOAD_SIZE_MAX + 1);
    CHECK(bytes);
    struct hash name;
    CHECK_EQ(payload_put(store, bytes, PAYLOAD_SIZE_MAX + 1, 10, &name), CX_TOO_LARGE);
    CHECK_EQ(payload_put(store, bytes, PAYLOAD_SIZE_MAX, 10, &name), CX_OK);
    struct buf data = {0};
    CHECK_EQ(payload_get(store, &name, &data), CX_OK);
    CHECK_EQ(data.size, PAYLOAD_SIZE_MAX);
    buf_done(&data);
    free(bytes);
    payload_store_close(store);
}

/* How many are left; and whether there may be more to remove. */
static uint64_t expired(struct payload_store *store, uint64_t now_ms, bool want_more)
{
    struct payload_stats stats;
    bool more = !want_more;
    CHECK_EQ(payload_expire(store, now_ms, &more), CX_OK);
    CHECK_EQ(more, want_more);
    CHECK_EQ(payload_stats(store, &stats), CX_OK);
    return stats.count;
}

static void forgets_in_order_of_time_and_in_steps(const char *uri)
{
    struct payload_store *store = open_store(uri);
    struct hash name, longer, ever;
    for (uint32_t i = 0; i < PAYLOAD_EXPIRE_STEP_MAX + 10; i++)
        CHECK_EQ(payload_put(store, &i, sizeof i, 100 + i, &name), CX_OK);
    CHECK_EQ(payload_put(store, "longer", 6, 5, &longer), CX_OK);
    CHECK_EQ(payload_put(store, "longer", 6, 7000, &longer), CX_OK);
    CHECK_EQ(payload_put(store, "longer", 6, 6, &longer), CX_OK);  // a time never moves earlier
    CHECK_EQ(payload_put(store, "ever", 4, 1, &ever), CX_OK);
    CHECK_EQ(payload_put(store, "ever", 4, TIME_NEVER, &ever), CX_OK);

    struct payload_stats stats;
    CHECK_EQ(payload_stats(store, &stats), CX_OK);
    CHECK_EQ(stats.count, PAYLOAD_EXPIRE_STEP_MAX + 12);
    CHECK_EQ(stats.size, 4 * (PAYLOAD_EXPIRE_STEP_MAX + 11) + 6);
    CHECK_EQ(stats.expire_next_ms, 100);

    uint64_t all = stats.count;
    CHECK_EQ(expired(store, 100, false), all);
    CHECK_EQ(expired(store, 101, false), all - 1);
    CHECK_EQ(expired(store, 7000, true), all - 1 - PAYLOAD_EXPIRE_STEP_MAX);
    CHECK_EQ(expired(store, 7000, false), 2);
    CHECK_EQ(expired(store, 7001, false), 1);
    CHECK_EQ(expired(store, TIME_NEVER, false), 1);
    CHECK_EQ(payload_stats(store, &stats), CX_OK);
    CHECK_EQ(stats.expire_next_ms, TIME_NEVER);
    payload_store_close(store);
}

TEST(payload, gives_back_what_was_put_in_memory)
{
    gives_back_what_was_put("mem:");
}
TEST(payload, gives_back_what_was_put_in_a_file)
{
    gives_back_what_was_put(sqlite_uri());
}
TEST(payload, keeps_to_its_size_in_memory)
{
    keeps_to_its_size("mem:");
}
TEST(payload, keeps_to_its_size_in_a_file)
{
    keeps_to_its_size(sqlite_uri());
}
TEST(payload, forgets_in_order_of_time_and_in_steps_in_memory)
{
    forgets_in_order_of_time_and_in_steps("mem:");
}
TEST(payload, forgets_in_order_of_time_and_in_steps_in_a_file)
{
    forgets_in_order_of_time_and_in_steps(sqlite_uri());
}

TEST(payload, names_the_stores_that_are_not_built)
{
    struct payload_store *store = NULL;
    CHECK_EQ(payload_store_open("s3://bucket", &store), CX_UNSUPPORTED);
    CHECK(strstr(cx_detail(), "kind s3 are not built"));
    CHECK_EQ(payload_store_open("ipfs:http://127.0.0.1:5001", &store), CX_UNSUPPORTED);
    CHECK_EQ(payload_store_open("folder", &store), CX_INVALID);
    CHECK_EQ(payload_store_open("sqlite:/no/such/folder/x.db", &store), CX_IO);
    CHECK(strstr(cx_detail(), "/no/such/folder"));
}

/* Turns the lowest bit of every payload's second byte. */
static void flip(const char *uri)
{
    sqlite3 *db = NULL;
    sqlite3_blob *blob = NULL;
    uint8_t byte = 0;
    CHECK_EQ(sqlite3_open(uri + strlen("sqlite:"), &db), SQLITE_OK);
    CHECK_EQ(sqlite3_blob_open(db, "main", "payload", "data", 1, 1, &blob), SQLITE_OK);
    CHECK_EQ(sqlite3_blob_read(blob, &byte, 1, 1), SQLITE_OK);
    byte ^= 1;
    CHECK_EQ(sqlite3_blob_write(blob, &byte, 1, 1), SQLITE_OK);
    CHECK_EQ(sqlite3_blob_close(blob), SQLITE_OK);
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

TEST(payload, names_the_urn_of_damaged_bytes)
{
    struct payload_store *store = open_store(sqlite_uri());
    struct hash name;
    CHECK_EQ(payload_put(store, "the prompt", 10, 10, &name), CX_OK);
    flip(sqlite_uri());
    struct buf data = {0};
    CHECK_EQ(payload_get(store, &name, &data), CX_CORRUPT);
    char urn[URN_TEXT_SIZE];
    urn_encode(&name, urn);
    CHECK(strstr(cx_detail(), urn));
    CHECK_EQ(data.size, 0);  // nothing of it came through
    flip(sqlite_uri());
    CHECK_EQ(payload_get(store, &name, &data), CX_OK);
    buf_done(&data);
    payload_store_close(store);
}

TEST(payload, is_still_there_after_reopening)
{
    struct payload_store *store = open_store(sqlite_uri());
    struct hash name;
    CHECK_EQ(payload_put(store, "the prompt", 10, 10, &name), CX_OK);
    payload_store_close(store);
    store = open_store(sqlite_uri());
    struct buf data = {0};
    CHECK_EQ(payload_get(store, &name, &data), CX_OK);
    CHECK_STR(data.data, "the prompt");
    buf_done(&data);
    payload_store_close(store);
}

/* A batch with these payloads, on its way when it returns. */
static void append(struct ledger *ledger, uint64_t number, const struct ledger_blob *blob, uint32_t blob_count,
                   struct suite_result *result)
{
    static const struct span command = {(const uint8_t *)"submit", 6};
    struct ledger_append append = {.router = suite_router(1),
                                   .epoch = 1,
                                   .number = number,
                                   .command = &command,
                                   .count = 1,
                                   .blob = blob,
                                   .blob_count = blob_count};
    CHECK_EQ(ledger_append(ledger, &append, suite_done, result), CX_OK);
}

/* One file, two writers: the ledger's thread with its batches, and the store with what comes without a command. */
TEST(payload, shares_a_file_with_the_ledger_that_writes_to_it)
{
    struct payload_store *store = open_store(sqlite_uri());  // whoever comes first
    struct ledger *ledger = suite_open(sqlite_uri(), LEDGER_CREATE, 1);
    for (uint32_t i = 1; i <= 100; i++) {
        char prompt[32], upload[32];
        struct hash with_batch, alone;
        int prompt_size = snprintf(prompt, sizeof prompt, "prompt %u", i);
        int upload_size = snprintf(upload, sizeof upload, "upload %u", i);
        sha256(prompt, (size_t)prompt_size, &with_batch);
        struct ledger_blob blob = {with_batch, {(const uint8_t *)prompt, (uint32_t)prompt_size}, 100 + i};
        struct suite_result result = {0};
        append(ledger, i, &blob, 1, &result);
        CHECK_EQ(payload_put(store, upload, (size_t)upload_size, 10, &alone), CX_OK);
        suite_wait(ledger, &result);
        CHECK_EQ(result.err, CX_OK);
        struct buf data = {0};
        CHECK_EQ(payload_get(store, &with_batch, &data), CX_OK);
        CHECK_STR(data.data, prompt);
        buf_done(&data);
    }
    CHECK_EQ(expired(store, 50, true), 200 - PAYLOAD_EXPIRE_STEP_MAX);
    CHECK_EQ(expired(store, 50, false), 100);
    struct payload_stats stats;
    CHECK_EQ(payload_stats(store, &stats), CX_OK);
    CHECK_EQ(stats.expire_next_ms, 101);
    ledger_close(ledger);
    payload_store_close(store);
}

/* What came with a batch is in one row with others; it is put once more where it must outlive them. */
TEST(payload, that_came_with_others_is_kept_longer_alone)
{
    static const char *const prompts[] = {"one", "two"};
    struct payload_store *store = open_store(sqlite_uri());
    struct ledger *ledger = suite_open(sqlite_uri(), LEDGER_CREATE, 1);
    struct ledger_blob blob[2];
    struct payload_stats stats;
    struct hash name;
    bool has = false;
    for (uint32_t i = 0; i < 2; i++) {
        blob[i] = (struct ledger_blob){.data = {(const uint8_t *)prompts[i], 3}, .keep_until_ms = 100 + i};
        sha256(prompts[i], 3, &blob[i].sha256);
    }
    struct suite_result result = {0};
    append(ledger, 1, blob, 2, &result);
    suite_wait(ledger, &result);
    CHECK_EQ(result.err, CX_OK);

    CHECK_EQ(payload_put(store, "one", 3, 101, &name), CX_OK);  // as long as its row: nothing to do
    CHECK_EQ(payload_stats(store, &stats), CX_OK);
    CHECK_EQ(stats.count, 2);
    CHECK_EQ(payload_put(store, "one", 3, 5000, &name), CX_OK);
    CHECK_EQ(payload_stats(store, &stats), CX_OK);
    CHECK_EQ(stats.count, 3);
    CHECK_EQ(expired(store, 101, false), 3);  // the row goes with the last of it
    CHECK_EQ(expired(store, 102, false), 1);
    CHECK_EQ(payload_has(store, &blob[0].sha256, &has, NULL), CX_OK);
    CHECK(has);
    CHECK_EQ(payload_has(store, &blob[1].sha256, &has, NULL), CX_OK);
    CHECK(!has);
    CHECK_EQ(payload_put(store, "one", 3, 6000, &name), CX_OK);  // it is alone now
    CHECK_EQ(expired(store, 5001, false), 1);
    ledger_close(ledger);
    payload_store_close(store);
}

TEST(payload, in_memory_a_name_is_shared_by_all_that_open_it_and_goes_with_the_last)
{
    struct payload_store *a = NULL, *b = NULL, *other = NULL, *own = NULL;
    struct hash name;
    bool has = false;
    CHECK_EQ(payload_store_open("mem:one", &a), CX_OK);
    CHECK_EQ(payload_store_open("mem:one", &b), CX_OK);
    CHECK_EQ(payload_store_open("mem:two", &other), CX_OK);
    CHECK_EQ(payload_store_open("mem:", &own), CX_OK);
    CHECK_EQ(payload_put(a, "word", 4, TIME_NEVER, &name), CX_OK);
    payload_store_close(a);
    CHECK_EQ(payload_has(b, &name, &has, NULL), CX_OK);
    CHECK(has);
    CHECK_EQ(payload_has(other, &name, &has, NULL), CX_OK);
    CHECK(!has);
    CHECK_EQ(payload_has(own, &name, &has, NULL), CX_OK);
    CHECK(!has);
    payload_store_close(b);
    CHECK_EQ(payload_store_open("mem:one", &a), CX_OK);
    CHECK_EQ(payload_has(a, &name, &has, NULL), CX_OK);
    CHECK(!has);
    payload_store_close(a);
    payload_store_close(other);
    payload_store_close(own);
}

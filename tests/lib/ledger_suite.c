#include "lib/ledger_suite.h"

#include "ledger/backend.h"

#define WAIT_MS 20000

static uint64_t clock_ms = 1000;  // of writers in this file

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return clock_ms;
}

struct address suite_router(uint8_t last_byte)
{
    struct address router = {{0xaa}};
    router.b[19] = last_byte;
    return router;
}

struct ledger *suite_open(const char *uri, enum ledger_mode mode, uint8_t router)
{
    struct ledger_options options = {.mode = mode, .network = SUITE_NETWORK, .now_ms = read_clock};
    if (mode != LEDGER_READ)
        options.router = suite_router(router);
    struct ledger *ledger = NULL;
    if (ledger_open(uri, &options, &ledger))
        test_fail(__FILE__, __LINE__, "open %s: %s", uri, cx_detail());
    return ledger;
}

void suite_done(void *ctx, enum cx_err err, uint64_t seq, uint64_t time_ms)
{
    struct suite_result *result = ctx;
    CHECK(!result->done);
    *result = (struct suite_result){true, err, seq, time_ms};
}

void suite_wait(struct ledger *ledger, const struct suite_result *result)
{
    for (;;) {
        CHECK_EQ(ledger_poll(ledger), CX_OK);
        if (result->done)
            return;
        CHECK_EQ(ledger_wait(ledger, WAIT_MS), CX_OK);
    }
}

static struct suite_result append_as(struct ledger *ledger, uint8_t router, uint64_t epoch, uint64_t number,
                                     const char *const *text, uint32_t count)
{
    static struct span command[LEDGER_BATCH_COUNT_MAX];
    for (uint32_t i = 0; i < count; i++)
        command[i] = (struct span){(const uint8_t *)text[i], (uint32_t)strlen(text[i])};
    struct ledger_append append = {
        .router = suite_router(router), .epoch = epoch, .number = number, .command = command, .count = count};
    struct suite_result result = {0};
    CHECK_EQ(ledger_append(ledger, &append, suite_done, &result), CX_OK);
    suite_wait(ledger, &result);
    return result;
}

struct suite_result suite_append(struct ledger *ledger, uint64_t epoch, uint64_t number, const char *const *command,
                                 uint32_t count)
{
    return append_as(ledger, 1, epoch, number, command, count);
}

struct suite_result suite_append_one(struct ledger *ledger, uint64_t epoch, uint64_t number, const char *command)
{
    return append_as(ledger, 1, epoch, number, &command, 1);
}

bool suite_see(void *ctx, const struct ledger_batch *batch)
{
    struct suite_seen *seen = ctx;
    if (seen->refuse) {
        seen->refuse--;
        return false;
    }
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    while (ledger_next(&at, &entry)) {
        int size = snprintf(seen->text + seen->size, sizeof seen->text - seen->size, "%llu:%.*s ",
                            (unsigned long long)entry.seq, (int)entry.command.size, (const char *)entry.command.data);
        seen->size = u32_min(seen->size + (uint32_t)size, sizeof seen->text - 1);
    }
    seen->batches++;
    return true;
}

static struct ledger *anchor(const struct suite_backend *backend, const char *uri)
{
    return backend->anchor ? backend->anchor(uri) : NULL;
}

static const char *const three[] = {"one", "two", "three"};
static const char *const two[] = {"four", "five"};

/* Two batches of router 1: entries 1..3 and 4..5. */
static struct ledger *with_five_entries(const char *uri)
{
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    clock_ms = 1000;
    CHECK_EQ(suite_append(ledger, 1, 1, three, 3).err, CX_OK);
    clock_ms = 1005;
    CHECK_EQ(suite_append(ledger, 1, 2, two, 2).err, CX_OK);
    return ledger;
}

/* ---- scenarios --------------------------------------------------------------------------------- */

static bool check_five(void *ctx, const struct ledger_batch *batch)
{
    uint32_t *calls = ctx;
    struct address router = suite_router(1);
    CHECK(address_eq(&batch->router, &router));
    CHECK_EQ(batch->epoch, 1);
    CHECK_EQ(batch->number, ++*calls);
    CHECK_EQ(batch->seq, *calls == 1 ? 1 : 4);
    CHECK_EQ(batch->time_ms, *calls == 1 ? 1000 : 1005);
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    while (ledger_next(&at, &entry)) {
        CHECK(address_eq(&entry.author, &router));
        CHECK_EQ(entry.time_ms, batch->time_ms);
    }
    return true;
}

void suite_gives_back_what_was_appended_in_order(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri);
    uint32_t calls = 0;
    CHECK_EQ(ledger_read(ledger, 1, check_five, &calls), CX_OK);
    CHECK_EQ(calls, 2);
    CHECK_EQ(ledger_head(ledger).seq, 5);
    CHECK_EQ(ledger_head(ledger).time_ms, 1005);
    CHECK_EQ(ledger_network(ledger), SUITE_NETWORK);
    static const char *const from[] = {"",
                                       "1:one 2:two 3:three 4:four 5:five ",
                                       "2:two 3:three 4:four 5:five ",
                                       "3:three 4:four 5:five ",
                                       "4:four 5:five ",
                                       "5:five ",
                                       ""};
    for (uint64_t seq = 1; seq <= 6; seq++) {
        struct suite_seen seen = {.size = 0};
        CHECK_EQ(ledger_read(ledger, seq, suite_see, &seen), CX_OK);
        CHECK_STR(seen.text, from[seq]);
    }
    struct suite_seen seen = {.size = 0};
    CHECK_EQ(ledger_read(ledger, 7, suite_see, &seen), CX_INVALID);  // a snapshot of a longer ledger says so
    ledger_close(ledger);
}

void suite_answers_a_repeat_with_the_first_position(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri);
    clock_ms = 2000;
    struct suite_result again = suite_append(ledger, 1, 1, three, 3);
    CHECK_EQ(again.err, CX_OK);
    CHECK_EQ(again.seq, 1);
    CHECK_EQ(again.time_ms, 1000);
    CHECK_EQ(ledger_head(ledger).seq, 5);
    CHECK_EQ(suite_append(ledger, 1, 2, three, 3).err, CX_INVALID);  // another batch under that number
    CHECK_EQ(suite_append_one(ledger, 1, 2, "four").err, CX_INVALID);
    CHECK_EQ(suite_append_one(ledger, 1, 3, "six").seq, 6);
    struct suite_seen seen = {.size = 0};
    CHECK_EQ(ledger_read(ledger, 1, suite_see, &seen), CX_OK);
    CHECK_STR(seen.text, "1:one 2:two 3:three 4:four 5:five 6:six ");
    ledger_close(ledger);
}

void suite_fences_an_old_epoch(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri), *keep = anchor(backend, uri);
    CHECK_EQ(ledger_epoch(ledger), 1);
    ledger_close(ledger);
    ledger = suite_open(uri, LEDGER_WRITE, 1);
    CHECK_EQ(ledger_epoch(ledger), 2);
    struct suite_result zombie = suite_append_one(ledger, 1, 3, "late");
    CHECK_EQ(zombie.err, CX_FENCED);
    CHECK_EQ(suite_append(ledger, 1, 2, two, 2).seq, 4);  // what is there may be asked for
    CHECK_EQ(suite_append_one(ledger, 2, 1, "six").seq, 6);
    ledger_close(ledger);
    ledger = suite_open(uri, LEDGER_WRITE, 2);
    CHECK_EQ(ledger_epoch(ledger), 1);  // each router has its own
    CHECK_EQ(append_as(ledger, 2, 1, 1, two, 2).seq, 7);
    CHECK_EQ(append_as(ledger, 1, 2, 2, two, 2).seq, 9);  // router 1 was not replaced by router 2
    ledger_close(ledger);
    ledger_close(keep);
}

void suite_refuses_gaps_and_epochs_never_taken(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri);
    CHECK_EQ(suite_append_one(ledger, 1, 4, "six").err, CX_INVALID);
    CHECK(strstr(cx_detail(), "3 is next"));
    CHECK_EQ(suite_append_one(ledger, 2, 1, "six").err, CX_INVALID);
    CHECK_EQ(append_as(ledger, 9, 1, 1, two, 2).err, CX_INVALID);
    CHECK_EQ(suite_append_one(ledger, 1, 3, "six").seq, 6);
    ledger_close(ledger);
}

void suite_hands_everything_to_a_follower_once(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri);
    struct suite_seen seen = {.size = 0};
    ledger_follow(ledger, 2, suite_see, &seen);
    CHECK_EQ(suite_append_one(ledger, 1, 3, "six").seq, 6);
    CHECK_STR(seen.text, "2:two 3:three 4:four 5:five 6:six ");
    CHECK_EQ(suite_append(ledger, 1, 1, three, 3).seq, 1);  // a repeat is no news
    CHECK_EQ(suite_append_one(ledger, 1, 4, "seven").seq, 7);
    CHECK_EQ(ledger_poll(ledger), CX_OK);
    CHECK_STR(seen.text, "2:two 3:three 4:four 5:five 6:six 7:seven ");
    ledger_close(ledger);
}

void suite_waits_for_a_follower_that_is_behind(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri);
    struct suite_seen seen = {.refuse = 2};
    ledger_follow(ledger, 1, suite_see, &seen);
    CHECK_EQ(ledger_poll(ledger), CX_OK);
    CHECK_STR(seen.text, "");
    CHECK_EQ(ledger_poll(ledger), CX_OK);
    CHECK_STR(seen.text, "");
    CHECK_EQ(ledger_poll(ledger), CX_OK);
    CHECK_STR(seen.text, "1:one 2:two 3:three 4:four 5:five ");
    seen.refuse = 1;  // also what comes straight from the writer
    CHECK_EQ(suite_append_one(ledger, 1, 3, "six").seq, 6);
    CHECK_EQ(suite_append_one(ledger, 1, 4, "seven").seq, 7);
    CHECK_EQ(ledger_poll(ledger), CX_OK);
    CHECK_STR(seen.text, "1:one 2:two 3:three 4:four 5:five 6:six 7:seven ");
    ledger_close(ledger);
}

void suite_shows_a_reader_what_another_handle_writes(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri);
    struct ledger *reader = suite_open(uri, LEDGER_READ, 0);
    struct suite_seen seen = {.size = 0};
    ledger_follow(reader, 4, suite_see, &seen);
    CHECK_EQ(ledger_poll(reader), CX_OK);
    CHECK_STR(seen.text, "4:four 5:five ");
    CHECK_EQ(suite_append_one(ledger, 1, 3, "six").seq, 6);
    CHECK_EQ(ledger_poll(reader), CX_OK);
    CHECK_STR(seen.text, "4:four 5:five 6:six ");
    CHECK_EQ(ledger_head(reader).seq, 6);
    struct span command = {(const uint8_t *)"x", 1};
    struct ledger_append append = {.epoch = 1, .number = 1, .command = &command, .count = 1};
    CHECK_EQ(ledger_append(reader, &append, suite_done, NULL), CX_DENIED);
    ledger_close(reader);
    ledger_close(ledger);
}

void suite_continues_after_reopening(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri), *keep = anchor(backend, uri);
    struct ledger_head head = ledger_head(ledger);
    ledger_close(ledger);
    for (uint64_t epoch = 2; epoch < 5; epoch++) {
        ledger = suite_open(uri, LEDGER_CREATE, 1);
        CHECK_EQ(ledger_head(ledger).seq, head.seq);
        CHECK_MEM(ledger_head(ledger).chain.b, head.chain.b, 32);
        CHECK_EQ(ledger_epoch(ledger), epoch);
        CHECK_EQ(suite_append_one(ledger, epoch, 1, "more").seq, 4 + epoch);
        head = ledger_head(ledger);
        ledger_close(ledger);
    }
    ledger = suite_open(uri, LEDGER_READ, 0);
    struct suite_seen seen = {.size = 0};
    CHECK_EQ(ledger_read(ledger, 1, suite_see, &seen), CX_OK);
    CHECK_STR(seen.text, "1:one 2:two 3:three 4:four 5:five 6:more 7:more 8:more ");
    ledger_close(ledger);
    ledger_close(keep);
}

static const uint32_t field_size[SUITE_FIELD_COUNT] = {
    [SUITE_SEQ] = 8,    [SUITE_COUNT] = 4, [SUITE_ROUTER] = 20, [SUITE_EPOCH] = 8,
    [SUITE_NUMBER] = 8, [SUITE_TIME] = 8,  [SUITE_CHAIN] = 32,  [SUITE_BODY] = 3 * 2 + 3 + 3 + 5,
};

static enum cx_err open_and_read(const char *uri)
{
    struct ledger_options options = {.mode = LEDGER_READ};
    struct ledger *ledger = NULL;
    struct suite_seen seen = {.size = 0};
    enum cx_err err = ledger_open(uri, &options, &ledger);
    if (!err)
        err = ledger_read(ledger, 1, suite_see, &seen);
    ledger_close(ledger);
    return err;
}

void suite_finds_every_flipped_byte(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri), *keep = anchor(backend, uri);
    CHECK_EQ(suite_append(ledger, 1, 3, three, 3).seq, 6);
    ledger_close(ledger);
    for (uint64_t seq = 1; seq <= 6; seq += 5)  // the first batch and the last one
        for (enum suite_field field = 0; field < SUITE_FIELD_COUNT; field++)
            for (uint32_t byte = 0; byte < field_size[field]; byte++) {
                backend->damage(uri, keep, seq, field, byte);
                enum cx_err err = open_and_read(uri);
                if (err != CX_CORRUPT)
                    test_fail(__FILE__, __LINE__, "byte %u of field %d at %llu was not missed", byte, (int)field,
                              (unsigned long long)seq);
                CHECK(strstr(cx_detail(), uri));
                backend->damage(uri, keep, seq, field, byte);
            }
    CHECK_EQ(open_and_read(uri), CX_OK);
    ledger_close(keep);
}

static enum cx_err try_append(struct ledger *ledger, const struct span *command, uint32_t count, uint64_t number)
{
    struct ledger_append append = {
        .router = suite_router(1), .epoch = 1, .number = number, .command = command, .count = count};
    struct suite_result result = {0};
    enum cx_err err = ledger_append(ledger, &append, suite_done, &result);
    if (err)
        return err;
    suite_wait(ledger, &result);
    return result.err;
}

static bool count_entries(void *ctx, const struct ledger_batch *batch)
{
    uint64_t *count = ctx;
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    while (ledger_next(&at, &entry))
        ++*count;
    return true;
}

void suite_keeps_to_its_limits(const struct suite_backend *backend)
{
    static uint8_t bytes[LEDGER_ENTRY_SIZE_MAX + 1];
    static struct span command[LEDGER_BATCH_COUNT_MAX + 1];
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    for (uint32_t i = 0; i < ARRAY_COUNT(command); i++)
        command[i] = (struct span){bytes, 1};
    CHECK_EQ(try_append(ledger, command, 0, 1), CX_INVALID);
    CHECK_EQ(try_append(ledger, command, LEDGER_BATCH_COUNT_MAX + 1, 1), CX_TOO_LARGE);
    CHECK_EQ(try_append(ledger, command, LEDGER_BATCH_COUNT_MAX, 1), CX_OK);
    command[2].size = 0;
    CHECK_EQ(try_append(ledger, command, 4, 2), CX_INVALID);
    CHECK(strstr(cx_detail(), "entry 3 of 4"));
    command[2].size = LEDGER_ENTRY_SIZE_MAX + 1;
    CHECK_EQ(try_append(ledger, command, 4, 2), CX_TOO_LARGE);
    /* 2 + 4096 bytes each: 63 fit into 256 KiB, and 3,970 bytes are left. */
    for (uint32_t i = 0; i < 64; i++)
        command[i].size = LEDGER_ENTRY_SIZE_MAX;
    CHECK_EQ(try_append(ledger, command, 64, 2), CX_TOO_LARGE);
    command[63].size = LEDGER_BATCH_SIZE_MAX - 63 * (2 + LEDGER_ENTRY_SIZE_MAX) - 2;
    CHECK_EQ(try_append(ledger, command, 64, 2), CX_OK);
    uint64_t count = 0;
    CHECK_EQ(ledger_read(ledger, 1, count_entries, &count), CX_OK);
    CHECK_EQ(count, LEDGER_BATCH_COUNT_MAX + 64);
    ledger_close(ledger);
}

void suite_never_lets_time_go_back(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri), *keep = anchor(backend, uri);
    clock_ms = 3;
    CHECK_EQ(suite_append_one(ledger, 1, 3, "six").time_ms, 1005);
    clock_ms = 1006;
    CHECK_EQ(suite_append_one(ledger, 1, 4, "seven").time_ms, 1006);
    ledger_close(ledger);
    clock_ms = 4;
    ledger = suite_open(uri, LEDGER_WRITE, 1);
    CHECK_EQ(suite_append_one(ledger, 2, 1, "eight").time_ms, 1006);
    ledger_close(ledger);
    ledger_close(keep);
}

void suite_says_unknown_and_takes_the_batch_again(const struct suite_backend *backend)
{
    if (!backend->lose_answer)
        test_skip("this ledger's answers cannot be lost");
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = with_five_entries(uri);
    for (uint64_t i = 0; i < 2; i++) {
        backend->lose_answer(ledger, i == 1);
        CHECK_EQ(suite_append_one(ledger, 1, 3 + i, "more").err, CX_UNKNOWN);
        CHECK_EQ(suite_append_one(ledger, 1, 3 + i, "more").seq, 6 + i);
    }
    struct suite_seen seen = {.size = 0};
    CHECK_EQ(ledger_read(ledger, 4, suite_see, &seen), CX_OK);
    CHECK_STR(seen.text, "4:four 5:five 6:more 7:more ");
    ledger_close(ledger);
}

static enum cx_err try_open(const char *uri, enum ledger_mode mode, uint64_t network)
{
    struct ledger_options options = {.mode = mode, .network = network, .router = suite_router(1)};
    struct ledger *ledger = NULL;
    enum cx_err err = ledger_open(uri, &options, &ledger);
    ledger_close(ledger);
    return err;
}

void suite_opens_only_what_was_meant(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    CHECK_EQ(try_open(uri, LEDGER_READ, SUITE_NETWORK), CX_NOT_FOUND);
    CHECK_EQ(try_open(uri, LEDGER_WRITE, SUITE_NETWORK), CX_NOT_FOUND);
    CHECK_EQ(try_open(uri, LEDGER_CREATE, 0), CX_INVALID);
    struct ledger *ledger = with_five_entries(uri), *keep = anchor(backend, uri);
    ledger_close(ledger);
    CHECK_EQ(try_open(uri, LEDGER_CREATE, 78), CX_INVALID);
    CHECK(strstr(cx_detail(), "network 77, not of 78"));
    CHECK_EQ(try_open(uri, LEDGER_READ, 78), CX_INVALID);
    CHECK_EQ(try_open(uri, LEDGER_READ, 0), CX_OK);
    ledger = suite_open(uri, LEDGER_WRITE, 1);
    CHECK_EQ(ledger_epoch(ledger), 2);  // who was turned away took none
    ledger_close(ledger);
    ledger_close(keep);
}

void suite_takes_so_many_batches_and_no_more(const struct suite_backend *backend)
{
    char uri[256];
    backend->place(uri);
    struct ledger *ledger = suite_open(uri, LEDGER_CREATE, 1);
    struct suite_result result[LEDGER_APPENDS_MAX + 1] = {{0}};
    struct span command = {(const uint8_t *)"x", 1};
    for (uint32_t i = 0; i <= LEDGER_APPENDS_MAX; i++) {
        struct ledger_append append = {
            .router = suite_router(1), .epoch = 1, .number = i + 1, .command = &command, .count = 1};
        CHECK_EQ(ledger_append(ledger, &append, suite_done, &result[i]), i < LEDGER_APPENDS_MAX ? CX_OK : CX_BUSY);
    }
    for (uint32_t i = 0; i < LEDGER_APPENDS_MAX; i++) {
        suite_wait(ledger, &result[i]);
        CHECK_EQ(result[i].err, CX_OK);
        CHECK_EQ(result[i].seq, i + 1);
    }
    ledger_close(ledger);
}

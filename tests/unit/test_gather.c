/* Group commit: who waits for what, and what a batch is made of. The ledger in memory waits when it is told to. */
#include <stdarg.h>

#include "base/prng.h"
#include "ledger/gather.h"
#include "ledger/ledger_mem.h"
#include "lib/ledger_suite.h"

struct scene {
    struct ledger *ledger;
    struct gather *gather;
    uint64_t applied;   // the last entry
    char text[4096];    // what was applied, as "seq:command "
    char batches[512];  // the sizes of batches, as they were applied
    char calls[4096];   // what waiters were told, as "name=ERR@seq "
    uint32_t pause;     // batches that the applier puts off
};

static void note(char *text, size_t cap, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void note(char *text, size_t cap, const char *format, ...)
{
    size_t size = strlen(text);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(text + size, cap - size, format, args);
    va_end(args);
    CHECK(more >= 0 && size + (size_t)more < cap);
}

static bool apply(void *ctx, const struct ledger_batch *batch)
{
    struct scene *scene = ctx;
    if (scene->pause) {
        scene->pause--;
        return false;
    }
    struct ledger_cursor at = ledger_cursor(batch);
    struct ledger_entry entry;
    note(scene->batches, sizeof scene->batches, "%u ", batch->count);
    while (ledger_next(&at, &entry)) {
        CHECK_EQ(entry.seq, scene->applied + 1);
        scene->applied = entry.seq;
        if (scene->applied < 100)
            note(scene->text, sizeof scene->text, "%d:%.*s ", (int)entry.seq, (int)entry.command.size,
                 (const char *)entry.command.data);
        gather_applied(scene->gather, batch, entry.seq);
    }
    return true;
}

static struct scene *open_scene(const char *uri)
{
    static struct scene scenes[2];
    static int used;
    struct scene *scene = &scenes[used++];
    scene->ledger = suite_open(uri, LEDGER_CREATE, 1);
    struct address router = suite_router(1);
    CHECK_EQ(gather_open(scene->ledger, &router, &scene->gather), CX_OK);
    ledger_follow(scene->ledger, 1, apply, scene);
    return scene;
}

static void close_scene(struct scene *scene)
{
    gather_close(scene->gather);
    ledger_close(scene->ledger);
}

struct wait {
    struct scene *scene;
    const char *name;
    const char *next;  // submitted from within the call
};

static void submit(struct scene *scene, const char *name, const char *next);

static void on_call(void *ctx, enum cx_err err, uint64_t seq)
{
    struct wait *wait = ctx;
    struct scene *scene = wait->scene;
    if (err == CX_OK)
        CHECK_EQ(seq, scene->applied);  // called while its own entry is being applied
    note(scene->calls, sizeof scene->calls, "%s=%s@%d ", wait->name, cx_err_name(err), (int)seq);
    if (wait->next)
        submit(scene, wait->next, NULL);
    free(wait);
}

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

static void submit(struct scene *scene, const char *name, const char *next)
{
    struct wait *wait = malloc(sizeof *wait);
    CHECK(wait);
    *wait = (struct wait){scene, name, next};
    CHECK_EQ(gather_submit(scene->gather, span_of(name), NULL, 0, on_call, wait), CX_OK);
}

static void poll_until(struct scene *scene, uint64_t applied)
{
    for (;;) {
        CHECK_EQ(gather_poll(scene->gather), CX_OK);
        if (scene->applied >= applied)
            return;
        CHECK_EQ(ledger_wait(scene->ledger, 20000), CX_OK);
    }
}

TEST(gather, sends_what_one_turn_brought_together)
{
    struct scene *scene = open_scene("mem:");
    CHECK_EQ(ledger_wait(scene->ledger, 20000), CX_OK);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    submit(scene, "a", NULL);
    submit(scene, "b", NULL);
    poll_until(scene, 2);
    CHECK_STR(scene->batches, "2 ");
    CHECK_STR(scene->text, "1:a 2:b ");
    CHECK_STR(scene->calls, "a=OK@1 b=OK@2 ");
    CHECK_EQ(gather_stats(scene->gather).waiting, 0);
    CHECK_EQ(gather_stats(scene->gather).entries, 2);
    close_scene(scene);
}

TEST(gather, sends_the_first_ones_of_a_long_turn_at_once)
{
    struct scene *scene = open_scene("mem:");
    for (uint32_t i = 0; i <= GATHER_SEND_AT; i++)
        submit(scene, "a", NULL);
    poll_until(scene, GATHER_SEND_AT + 1);
    CHECK_STR(scene->batches, "128 1 ");
    close_scene(scene);
}

TEST(gather, makes_the_next_batch_of_what_comes_meanwhile)
{
    struct scene *scene = open_scene("mem:");
    ledger_mem_hold(scene->ledger, true);
    submit(scene, "a", NULL);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    submit(scene, "b", NULL);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    submit(scene, "c", NULL);
    submit(scene, "d", NULL);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    CHECK_STR(scene->calls, "");  // nothing is durable, so nobody was told anything
    CHECK_EQ(gather_stats(scene->gather).waiting, 4);
    ledger_mem_hold(scene->ledger, false);
    poll_until(scene, 4);
    CHECK_STR(scene->batches, "1 3 ");
    CHECK_STR(scene->calls, "a=OK@1 b=OK@2 c=OK@3 d=OK@4 ");
    close_scene(scene);
}

TEST(gather, takes_commands_from_within_its_calls)
{
    struct scene *scene = open_scene("mem:");
    submit(scene, "a", "after a");
    submit(scene, "b", "after b");
    poll_until(scene, 4);
    CHECK_STR(scene->text, "1:a 2:b 3:after a 4:after b ");
    CHECK_STR(scene->batches, "2 2 ");
    close_scene(scene);
}

TEST(gather, waits_for_its_applier)
{
    struct scene *scene = open_scene("mem:");
    submit(scene, "a", NULL);
    scene->pause = 1;
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    CHECK_STR(scene->calls, "");  // durable, and not applied
    poll_until(scene, 1);
    CHECK_STR(scene->calls, "a=OK@1 ");
    close_scene(scene);
}

TEST(gather, tells_its_own_entries_from_others)
{
    struct scene *scene = open_scene("mem:both");
    struct ledger *other = suite_open("mem:both", LEDGER_CREATE, 2);
    struct span command = span_of("theirs");
    struct ledger_append append = {.router = suite_router(2), .epoch = 1, .number = 1, .command = &command, .count = 1};
    struct suite_result result = {0};
    CHECK_EQ(ledger_append(other, &append, suite_done, &result), CX_OK);
    suite_wait(other, &result);
    submit(scene, "ours", NULL);
    poll_until(scene, 2);
    CHECK_STR(scene->text, "1:theirs 2:ours ");
    CHECK_STR(scene->calls, "ours=OK@2 ");
    ledger_close(other);
    close_scene(scene);
}

TEST(gather, appends_again_what_it_does_not_know_the_end_of)
{
    struct scene *scene = open_scene("mem:");
    ledger_mem_fault(scene->ledger, MEM_FAULT_LOST);
    submit(scene, "a", NULL);
    poll_until(scene, 1);
    ledger_mem_fault(scene->ledger, MEM_FAULT_UNHEARD);
    submit(scene, "b", NULL);
    poll_until(scene, 2);
    submit(scene, "c", NULL);
    poll_until(scene, 3);
    CHECK_STR(scene->text, "1:a 2:b 3:c ");
    CHECK_STR(scene->calls, "a=OK@1 b=OK@2 c=OK@3 ");
    CHECK_EQ(ledger_head(scene->ledger).seq, 3);
    close_scene(scene);
}

TEST(gather, tells_everybody_when_the_ledger_stops)
{
    struct scene *scene = open_scene("mem:");
    submit(scene, "a", NULL);
    poll_until(scene, 1);
    ledger_mem_fault(scene->ledger, MEM_FAULT_DISK);
    ledger_mem_hold(scene->ledger, true);
    submit(scene, "b", NULL);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    submit(scene, "c", NULL);
    ledger_mem_hold(scene->ledger, false);
    CHECK_EQ(gather_poll(scene->gather), CX_IO);
    CHECK(strstr(cx_detail(), "disk is full"));
    CHECK_STR(scene->calls, "a=OK@1 b=IO@0 c=IO@0 ");
    CHECK_EQ(gather_submit(scene->gather, span_of("d"), NULL, 0, NULL, NULL), CX_IO);
    CHECK_EQ(gather_poll(scene->gather), CX_IO);
    close_scene(scene);
}

TEST(gather, stops_when_its_router_was_replaced)
{
    struct scene *scene = open_scene("mem:both");
    struct ledger *newer = suite_open("mem:both", LEDGER_WRITE, 1);
    submit(scene, "late", NULL);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    CHECK_EQ(gather_poll(scene->gather), CX_FENCED);
    CHECK(strstr(cx_detail(), "took epoch 2"));
    CHECK_STR(scene->calls, "late=FENCED@0 ");
    ledger_close(newer);
    close_scene(scene);
}

TEST(gather, cancels_who_still_waits_when_it_closes)
{
    struct scene *scene = open_scene("mem:");
    ledger_mem_hold(scene->ledger, true);
    submit(scene, "a", NULL);
    CHECK_EQ(gather_poll(scene->gather), CX_OK);
    submit(scene, "b", NULL);
    close_scene(scene);
    CHECK_STR(scene->calls, "a=CANCELLED@0 b=CANCELLED@0 ");
}

TEST(gather, fills_batches_to_their_limits_and_says_when_it_is_full)
{
    static uint8_t bytes[LEDGER_ENTRY_SIZE_MAX + 1];
    struct scene *scene = open_scene("mem:");
    struct span small = {bytes, 1}, large = {bytes, LEDGER_ENTRY_SIZE_MAX};
    CHECK_EQ(gather_submit(scene->gather, (struct span){bytes, 0}, NULL, 0, NULL, NULL), CX_INVALID);
    CHECK_EQ(gather_submit(scene->gather, (struct span){bytes, sizeof bytes}, NULL, 0, NULL, NULL), CX_TOO_LARGE);
    for (uint32_t i = 0; i < GATHER_SEND_AT + LEDGER_BATCH_COUNT_MAX + 1; i++)
        CHECK_EQ(gather_submit(scene->gather, small, NULL, 0, NULL, NULL), CX_OK);
    for (uint32_t i = 0; i < 64; i++)
        CHECK_EQ(gather_submit(scene->gather, large, NULL, 0, NULL, NULL), CX_OK);
    poll_until(scene, GATHER_SEND_AT + LEDGER_BATCH_COUNT_MAX + 65);
    CHECK_STR(scene->batches, "128 1024 64 1 ");
    CHECK_EQ(gather_stats(scene->gather).batch_count_max, LEDGER_BATCH_COUNT_MAX);

    CHECK_EQ(gather_poll(scene->gather), CX_OK);  // the last batch was seen before its append was answered
    ledger_mem_hold(scene->ledger, true);
    enum cx_err err = CX_OK;
    uint32_t taken = 0;
    while (taken < UINT16_MAX * 2 && !(err = gather_submit(scene->gather, small, NULL, 0, NULL, NULL)))
        taken++;
    CHECK_EQ(err, CX_BUSY);
    CHECK_EQ(taken, GATHER_SEND_AT + (GATHER_BATCHES_MAX - 1) * LEDGER_BATCH_COUNT_MAX);
    ledger_mem_hold(scene->ledger, false);
    poll_until(scene, GATHER_SEND_AT + LEDGER_BATCH_COUNT_MAX + 65 + taken);
    CHECK_EQ(gather_submit(scene->gather, small, NULL, 0, NULL, NULL), CX_OK);
    close_scene(scene);
}

/* Commands at random moments, answers lost at random, an applier that is late at random: everything is applied once, in
 * the order of submission, and every waiter is called once. */
static void runs_at_random(const char *uri, uint64_t seed, uint32_t total, bool faults)
{
    static uint8_t blob_bytes[100];
    static char texts[UINT16_MAX][8];  // what is submitted stays where it is
    static struct ledger_blob blobs[UINT16_MAX];
    struct scene *scene = open_scene(uri);
    CHECK(total < UINT16_MAX);
    struct prng prng = {seed};
    uint32_t submitted = 0;
    while (scene->applied < total) {
        for (uint64_t more = prng_below(&prng, 7); more > 0 && submitted < total; more--) {
            char *text = texts[++submitted];
            struct ledger_blob *blob = &blobs[submitted];
            snprintf(text, sizeof *texts, "%u", submitted);
            *blob = (struct ledger_blob){.data = {blob_bytes, sizeof blob_bytes}};
            memcpy(blob->sha256.b, &submitted, sizeof submitted);
            CHECK_EQ(gather_submit(scene->gather, span_of(text), blob, submitted % 2, NULL, NULL), CX_OK);
        }
        if (faults && prng_below(&prng, 4) == 0)
            ledger_mem_fault(scene->ledger, prng_below(&prng, 2) ? MEM_FAULT_LOST : MEM_FAULT_UNHEARD);
        if (faults)
            ledger_mem_hold(scene->ledger, prng_below(&prng, 2));
        scene->pause = (uint32_t)prng_below(&prng, 2);
        scene->batches[0] = '\0';
        CHECK_EQ(gather_poll(scene->gather), CX_OK);
    }
    struct gather_stats stats = gather_stats(scene->gather);
    CHECK_EQ(stats.entries, total);
    CHECK_EQ(stats.waiting, 0);
    for (uint32_t i = 1, at = 0; i < 100 && i <= total; i++) {
        char want[16];
        int size = snprintf(want, sizeof want, "%u:%u ", i, i);
        CHECK_MEM(scene->text + at, want, (size_t)size);
        at += (uint32_t)size;
    }
    close_scene(scene);
}

TEST(gather, loses_and_doubles_nothing_over_a_lossy_ledger)
{
    runs_at_random("mem:", 1, 5000, true);
}

TEST(gather, loses_and_doubles_nothing_over_sqlite)
{
    char uri[256];
    snprintf(uri, sizeof uri, "sqlite:%s/ledger.db", test_folder());
    runs_at_random(uri, 2, 3000, false);
}

/* The archive's writer: batches come back in order when they are there to be read, and a failure stays. */
#include <unistd.h>

#include "base/clock.h"
#include "base/db.h"
#include "ledger/archive_writer.h"
#include "lib/archive_pages.h"
#include "lib/test.h"

#define NETWORK 77

/* Batch n: task n ends at entry 10 n. */
struct made {
    struct archive_batch batch;
    struct archived_task task;
};

static void make(struct made *made, uint64_t n)
{
    made->task = (struct archived_task){.session = 1, .task = n, .seq = 10 * n, .finished_ms = 1000 * n};
    made->batch = (struct archive_batch){.seq = 10 * n, .task = &made->task, .tasks = 1};
}

static const char *path(void)
{
    static char text[256];
    snprintf(text, sizeof text, "%s/archive.db", test_folder());
    return text;
}

static struct archive_writer *open_writer(const char *at)
{
    struct archive_writer *w = NULL;
    if (archive_writer_open(at, NETWORK, &w))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    return w;
}

/* The next one back; waits for it. */
static struct archive_batch *take(struct archive_writer *w)
{
    struct archive_batch *batch = NULL;
    for (uint64_t until_us = clock_mono_us() + 20000000; !batch && clock_mono_us() < until_us;)
        CHECK_EQ(archive_writer_take(w, &batch), CX_OK);
    return batch;
}

static bool count(void *ctx, const struct archived_task *task)
{
    CHECK_EQ(task->session, 1);
    ++*(uint32_t *)ctx;
    return true;
}

static uint32_t tasks_of(struct archive *archive)
{
    const struct archive_query query = {.by = ARCHIVE_BY_SESSION, .session = 1, .limit = ARCHIVE_PAGE_MAX};
    uint32_t tasks = 0;
    CHECK_EQ(archive_tasks(archive, &query, count, &tasks), CX_OK);
    return tasks;
}

TEST(archive_writer, gives_batches_back_in_order_when_they_can_be_read)
{
    static struct made made[3 * ARCHIVE_BATCHES_WAITING_MAX];  // more than may wait
    struct archive_writer *w = open_writer(path());
    CHECK_EQ(archive_writer_had_seq(w), 0);
    for (uint64_t i = 0; i < ARRAY_COUNT(made); i++) {
        make(&made[i], i + 1);
        archive_writer_put(w, &made[i].batch);
    }
    for (uint64_t i = 0; i < ARRAY_COUNT(made); i++) {
        CHECK(take(w) == &made[i].batch);
        CHECK(tasks_of(archive_writer_reader(w)) > i);
    }
    struct archive_batch *none;
    CHECK_EQ(archive_writer_take(w, &none), CX_OK);
    CHECK(!none);
    archive_writer_close(w);
    w = open_writer(path());
    CHECK_EQ(archive_writer_had_seq(w), 10 * ARRAY_COUNT(made));
    CHECK_EQ(tasks_of(archive_writer_reader(w)), ARRAY_COUNT(made));
    archive_writer_close(w);
}

TEST(archive_writer, writes_what_waits_when_it_closes)
{
    static struct made made[5];
    struct archive_writer *w = open_writer(path());
    for (uint64_t i = 0; i < ARRAY_COUNT(made); i++) {
        make(&made[i], i + 1);
        archive_writer_put(w, &made[i].batch);
    }
    archive_writer_close(w);
    w = open_writer(path());
    CHECK_EQ(archive_writer_had_seq(w), 50);
    archive_writer_close(w);
}

TEST(archive_writer, writes_at_once_what_is_in_memory)
{
    static struct made made;
    struct archive_batch *batch = NULL;
    struct archive_writer *w = open_writer(":memory:");
    make(&made, 1);
    archive_writer_put(w, &made.batch);
    CHECK_EQ(archive_writer_take(w, &batch), CX_OK);
    CHECK(batch == &made.batch);
    CHECK_EQ(tasks_of(archive_writer_reader(w)), 1);
    archive_writer_forget(w, 1001);
    CHECK_EQ(tasks_of(archive_writer_reader(w)), 0);
    archive_writer_close(w);
}

/* One entry ends many tasks, in whatever order, and pages of a node part them anywhere. */
TEST(archive_writer, puts_what_ended_together_in_the_order_of_pages)
{
    static const uint64_t ids[] = {5, 1ull << 63, 2, 9, UINT64_MAX, 7};
    struct archived_task task[ARRAY_COUNT(ids)];
    struct address node = {{4}};
    struct archive_writer *w = open_writer(":memory:");
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        task[i] = (struct archived_task){
            .session = 1, .task = ids[i], .seq = i == 0 ? 9 : 10, .node = &node, .node_count = 1};
    struct archive_batch batch = {.seq = 10, .task = task, .tasks = ARRAY_COUNT(ids)};
    archive_writer_put(w, &batch);
    struct archive_query query = {.by = ARCHIVE_BY_NODE, .address = node, .limit = 2};
    CHECK_EQ(archive_pages_walk(archive_writer_reader(w), query), ARRAY_COUNT(ids));
    archive_writer_close(w);
}

TEST(archive_writer, writes_nothing_after_a_failure)
{
    static struct made made[3];
    struct archive_batch *batch = NULL;
    struct archive_writer *w = open_writer(path());
    static char body[ARCHIVE_BODY_SIZE_MAX + 1];
    for (uint64_t i = 0; i < ARRAY_COUNT(made); i++)
        make(&made[i], i + 1);
    made[1].task.body = (struct span){(const uint8_t *)body, sizeof body};
    for (uint64_t i = 0; i < ARRAY_COUNT(made); i++)
        archive_writer_put(w, &made[i].batch);
    CHECK(take(w) == &made[0].batch);
    enum cx_err err = CX_OK;
    for (uint64_t until_us = clock_mono_us() + 20000000; !err && clock_mono_us() < until_us;)
        err = archive_writer_take(w, &batch);
    CHECK_EQ(err, CX_TOO_LARGE);
    CHECK(strstr(cx_detail(), "1048577 bytes"));
    CHECK(!batch);
    archive_writer_forget(w, UINT64_MAX);
    archive_writer_close(w);
    w = open_writer(path());
    CHECK_EQ(archive_writer_had_seq(w), 10);
    CHECK_EQ(tasks_of(archive_writer_reader(w)), 1);
    archive_writer_close(w);
}

TEST(archive_writer, forgets_beside_the_batches)
{
    static struct made made[2 * ARCHIVE_FORGET_STEP_MAX];
    struct archive_writer *w = open_writer(path());
    for (uint64_t i = 0; i < ARRAY_COUNT(made); i++) {
        make(&made[i], i + 1);
        archive_writer_put(w, &made[i].batch);
    }
    for (uint64_t i = 0; i < ARRAY_COUNT(made); i++)
        CHECK(take(w) == &made[i].batch);
    archive_writer_forget(w, 1000 * (ARRAY_COUNT(made) - 3));
    uint64_t until_us = clock_mono_us() + 20000000;
    while (tasks_of(archive_writer_reader(w)) > 4 && clock_mono_us() < until_us)
        continue;
    CHECK_EQ(tasks_of(archive_writer_reader(w)), 4);
    archive_writer_close(w);
}

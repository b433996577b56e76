/* An archive lies on a disk: what it gives back may be anything, and must not take the router down. */
#include "lib/network.h"
#include "lib/test.h"
#include "router/history.h"

/* A history over an archive whose only task has this body. */
static struct history *history_with(const char *body, uint32_t state)
{
    static char path[300];
    static int count;
    struct archive *archive = NULL;
    struct history *history = NULL;
    struct network *n = network_open(&(struct network_options){.raw = true});
    snprintf(path, sizeof path, "%s/archive-%d", test_folder(), ++count);
    const struct archived_task task = {
        .session = 1, .task = 2, .seq = 5, .state = state, .body = {(const uint8_t *)body, (uint32_t)strlen(body)}};
    CHECK_EQ(archive_open(path, NETWORK_ID, &archive), CX_OK);
    CHECK_EQ(archive_begin(archive, 5), CX_OK);
    CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    CHECK_EQ(archive_commit(archive), CX_OK);
    archive_close(archive);
    CHECK_EQ(history_open(&(struct history_options){.archive_path = path}, &history), CX_OK);
    struct replica_listener *listener = history_listener(history);
    listener->on_entry(listener->ctx, &(struct replica_moment){.seq = 1, .core = n->core});
    return history;
}

TEST(history, says_that_its_archive_is_damaged)
{
    static const char *const bodies[] = {
        "", "no JSON", "5", "{}", "{\"receipt\":null}", "{\"receipt\":[1]}", "{\"receipt\":{}"};
    struct finished_task task;
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct buf json = {0};
        struct history *history = history_with(bodies[i], TASK_COMPLETED);
        CHECK_EQ(history_receipt(history, 1, 2, &json), CX_CORRUPT);
        CHECK(strstr(cx_detail(), "delete the archive"));
        CHECK_EQ(json.size, 0);
        CHECK_EQ(history_finished(history, 1, 2, &task), CX_CORRUPT);
        history_close(history);
    }
}

TEST(history, takes_no_state_that_is_none_from_its_archive)
{
    static const char body[] = "{\"cause\":\"0\",\"finish\":\"0\",\"tokens_in\":1,\"tokens_out\":1,\"attempts\":1,"
                               "\"charged\":\"5\",\"causes\":[],\"receipt\":{}}";
    struct finished_task task;
    struct history *history = history_with(body, TASK_STATE_COUNT);
    CHECK_EQ(history_finished(history, 1, 2, &task), CX_CORRUPT);
    history_close(history);
    history = history_with(body, TASK_COMPLETED);
    CHECK_EQ(history_finished(history, 1, 2, &task), CX_OK);
    CHECK_EQ(task.charged.credits, 5);
    history_close(history);
}

/* An archive lies on a disk: what it gives back may be anything, and must not take the router down. */
#include "lib/network.h"
#include "lib/test.h"
#include "router/history_parts.h"

static struct history *history_over(const char *path)
{
    struct history *history = NULL;
    struct network *n = network_open(&(struct network_options){.raw = true});
    CHECK_EQ(history_open(&(struct history_options){.archive_path = path}, &history), CX_OK);
    struct replica_listener *listener = history_listener(history);
    listener->on_entry(listener->ctx, &(struct replica_moment){.seq = 1, .core = n->core});
    return history;
}

/* A history over an archive whose only task has these bytes. */
static struct history *history_with(const struct archived_task *task)
{
    static uint32_t count;
    struct archive *archive = NULL;
    char path[300];
    snprintf(path, sizeof path, "%s/archive-%u", test_folder(), ++count);
    CHECK_EQ(archive_open(path, NETWORK_ID, &archive), CX_OK);
    CHECK_EQ(archive_begin(archive), CX_OK);
    CHECK_EQ(archive_task_put(archive, task), CX_OK);
    CHECK_EQ(archive_commit(archive, 5), CX_OK);
    archive_close(archive);
    return history_over(path);
}

static bool ignore(void *ctx, const struct history_event *event)
{
    (void)ctx, (void)event;
    return true;
}

TEST(history_damage, says_that_a_row_is_damaged)
{
    static const char *const bodies[] = {"", "no body", "\1", "\1\0\0\0", "\2\0\0\0\0\0\0\0"};
    struct finished_task task;
    struct archived_task row = {.session = 1, .task = 2, .seq = 5, .state = TASK_COMPLETED};
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct buf json = {0};
        row.body = (struct span){(const uint8_t *)bodies[i], (uint32_t)strlen(bodies[i])};
        struct history *history = history_with(&row);
        CHECK_EQ(history_receipt_json(history, 1, 2, &json), CX_CORRUPT);
        CHECK(strstr(cx_detail(), "delete the archive"));
        CHECK_EQ(json.size, 0);
        CHECK_EQ(history_finished(history, 1, 2, &task), CX_CORRUPT);
        history_close(history);
    }
}

/* What stands in the body of a task with an answer. */
static void fill(struct history_task *t, struct receipt_answer *answer)
{
    memset(answer, 0, sizeof *answer);
    *answer =
        (struct receipt_answer){.lease = 9, .has_signature = true, .record_size = 3, .price_in = 5, .pending = true};
    *t = (struct history_task){.answer = answer, .answers = 1, .quorum = 1, .redundancy = 1};
    t->task.charged = amount_of(5);
    t->task.tokens_out = 17;
}

TEST(history_damage, takes_only_bodies_that_can_be)
{
    struct receipt_answer answer;
    struct history_task task, again = {0};
    struct buf body = {0}, second = {0};
    fill(&task, &answer);
    history_body_encode(&task, &body);
    struct archived_task row = {.session = 1, .task = 2, .seq = 5, .state = TASK_COMPLETED};
    row.body = (struct span){(const uint8_t *)body.data, (uint32_t)body.size};
    CHECK_EQ(history_body_decode(&row, &again), CX_OK);
    CHECK_EQ(again.task.charged.credits, 5);
    CHECK_EQ(again.task.tokens_out, 17);
    CHECK(again.answer[0].pending);
    history_body_encode(&again, &second);
    CHECK_EQ(second.size, body.size);
    CHECK_MEM(second.data, body.data, body.size);
    for (uint32_t size = 0; size < body.size; size++) {
        row.body.size = size;
        CHECK_EQ(history_body_decode(&row, &again), CX_CORRUPT);
    }
    buf_add(&body, "", 1);
    row.body = (struct span){(const uint8_t *)body.data, (uint32_t)body.size};
    CHECK_EQ(history_body_decode(&row, &again), CX_CORRUPT);
    row.body.size--;
    row.state = TASK_STATE_COUNT;
    CHECK_EQ(history_body_decode(&row, &again), CX_CORRUPT);
    history_task_done(&again);
    buf_done(&body);
    buf_done(&second);
}

TEST(history_damage, says_that_a_time_line_is_damaged)
{
    struct receipt_answer answer;
    struct history_task task;
    struct buf body = {0}, receipt = {0};
    fill(&task, &answer);
    history_body_encode(&task, &body);
    static const char *const lines[] = {"\2", "\1\5", "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\7",
                                        "\1                      "};
    static const uint32_t sizes[] = {1, 2, 24, 23};
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        struct archived_task row = {.session = 1, .task = 2, .seq = 5, .state = TASK_COMPLETED};
        row.body = (struct span){(const uint8_t *)body.data, (uint32_t)body.size};
        row.line = (struct span){(const uint8_t *)lines[i], sizes[i]};
        struct history *history = history_with(&row);
        CHECK_EQ(history_task_events(history, 2, ignore, NULL), CX_CORRUPT);
        CHECK(strstr(cx_detail(), "time-line"));
        CHECK_EQ(history_receipt_json(history, 1, 2, &receipt), CX_OK);
        history_close(history);
    }
    buf_done(&body);
    buf_done(&receipt);
}

TEST(history_damage, says_that_an_event_is_damaged)
{
    static const char *const bodies[] = {"", "?", "\0\7 and much too short"};
    const struct address node = test_address('M', 1);
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct archived_event event = {.seq = 1, .node = node};
        struct archive *archive = NULL;
        char path[300];
        snprintf(path, sizeof path, "%s/archive-with-event-%zu", test_folder(), i);
        event.body = (struct span){(const uint8_t *)bodies[i], i == 2 ? 20 : (uint32_t)strlen(bodies[i])};
        CHECK_EQ(archive_open(path, NETWORK_ID, &archive), CX_OK);
        CHECK_EQ(archive_begin(archive), CX_OK);
        CHECK_EQ(archive_event_put(archive, &event), CX_OK);
        CHECK_EQ(archive_commit(archive, 5), CX_OK);
        archive_close(archive);
        struct history *history = history_over(path);
        CHECK_EQ(history_node_events(history, &node, 9, ignore, NULL), CX_CORRUPT);
        CHECK(strstr(cx_detail(), "events of this node"));
        history_close(history);
    }
}

TEST(history_damage, takes_only_verdicts_that_can_be)
{
    struct receipt_verdict verdict = {.audit = 5, .lease = 6, .seq = 7, .finding = FINDING_PASS, .score_milli = 9},
                           again;
    uint8_t bytes[HISTORY_VERDICT_SIZE + 1];
    history_verdict_encode(&verdict, bytes);
    CHECK(history_verdict_decode((struct span){bytes, HISTORY_VERDICT_SIZE}, &again));
    CHECK_EQ(again.lease, 6);
    CHECK_EQ(again.score_milli, 9);
    for (uint32_t size = 0; size < HISTORY_VERDICT_SIZE; size++)
        CHECK(!history_verdict_decode((struct span){bytes, size}, &again));
    CHECK(!history_verdict_decode((struct span){bytes, HISTORY_VERDICT_SIZE + 1}, &again));
    verdict.finding = 200;
    history_verdict_encode(&verdict, bytes);
    CHECK(!history_verdict_decode((struct span){bytes, HISTORY_VERDICT_SIZE}, &again));
}

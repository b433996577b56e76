/* The archive of finished tasks: what is put is found in each way, once, also when it is put again. */
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/db.h"
#include "ledger/archive.h"
#include "lib/archive_pages.h"
#include "lib/test.h"

#define NETWORK 77
#define SESSION (5ull << 32 | 1)

static struct address address_of(uint8_t last_byte)
{
    struct address address = {{0xbb}};
    address.b[19] = last_byte;
    return address;
}

static uint64_t task_id(uint64_t n)
{
    return (0xf0000000ull + n) << 32 | n;  // generations beyond what SQLite's integers order
}

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

static const char *path(void)
{
    static char text[256];
    snprintf(text, sizeof text, "%s/archive.db", test_folder());
    return text;
}

static struct archive *open_archive(const char *at)
{
    struct archive *archive = NULL;
    if (archive_open(at, NETWORK, &archive))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    return archive;
}

/* Task n finishes at entry 10 n, in session 1 or 2, paid by 1 or 2, by nodes n and 100. */
static struct archived_task make_task(uint64_t n)
{
    static struct address nodes[2];
    nodes[0] = address_of((uint8_t)n);
    nodes[1] = address_of(100);
    struct archived_task task = {.session = SESSION + n % 2,
                                 .task = task_id(n),
                                 .seq = 10 * n,
                                 .state = 7,
                                 .payer = address_of(1 + n % 2),
                                 .submitted_ms = 1000 * n,
                                 .finished_ms = 1000 * n + 5,
                                 .prompt = {{1, (uint8_t)n}},
                                 .node = nodes,
                                 .node_count = 2,
                                 .body = span_of("a body"),
                                 .line = span_of("a line")};
    if (n % 3 == 0)
        task.reference = (struct hash){{9, (uint8_t)n}};
    return task;
}

/* Its last event and a verdict come after its end, and a node's own event. */
static void put(struct archive *archive, uint64_t n)
{
    struct archived_task task = make_task(n);
    struct archived_event event = {.seq = task.seq,
                                   .time_ms = 1000 * n,
                                   .task = task.task,
                                   .node = address_of((uint8_t)n),
                                   .body = span_of("audit_drawn")};
    const struct archived_verdict verdict = {
        .seq = task.seq, .time_ms = 1000 * n, .task = task.task, .body = span_of("passed")};
    CHECK_EQ(archive_begin(archive), CX_OK);
    CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    CHECK_EQ(archive_event_put(archive, &event), CX_OK);
    event.index = 1;
    event.node = (struct address){0};
    event.body = span_of("reference_forgotten");
    CHECK_EQ(archive_event_put(archive, &event), CX_OK);
    event.index = 2;
    event.task = 0;
    event.node = address_of(100);
    event.body = span_of("node_released");
    CHECK_EQ(archive_event_put(archive, &event), CX_OK);
    CHECK_EQ(archive_verdict_put(archive, &verdict), CX_OK);
    CHECK_EQ(archive_commit(archive, task.seq), CX_OK);
}

/* These tasks together, as one group. */
static void put_together(struct archive *archive, uint64_t first, uint64_t last)
{
    CHECK_EQ(archive_begin(archive), CX_OK);
    for (uint64_t n = first; n <= last; n++) {
        struct archived_task task = make_task(n);
        CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    }
    CHECK_EQ(archive_commit(archive, 10 * last), CX_OK);
}

/* How many rows a table has, or what else a number is in the file. */
static int64_t number_in_file(const char *sql)
{
    sqlite3 *db = NULL;
    int64_t number = -1;
    CHECK_EQ(db_open(path(), DB_READ, &db), CX_OK);
    CHECK_EQ(db_number(db, sql, &number), CX_OK);
    db_close(db);
    return number;
}

struct seen {
    char text[2048];
    uint64_t seq, task;  // of the last row
    uint32_t enough;     // rows; 0: all
    uint32_t count;
};

static void see_row(struct seen *seen, const struct archived_task *task)
{
    size_t size = strlen(seen->text);
    snprintf(seen->text + size, sizeof seen->text - size, "%d ", (int)(task->seq / 10));
    struct archived_task want = make_task(task->seq / 10);
    CHECK_EQ(task->session, want.session);
    CHECK_EQ(task->task, want.task);
    CHECK_EQ(task->state, want.state);
    CHECK_MEM(&task->payer, &want.payer, sizeof want.payer);
    CHECK_MEM(&task->reference, &want.reference, sizeof want.reference);
    CHECK_EQ(task->submitted_ms, want.submitted_ms);
    CHECK_EQ(task->finished_ms, want.finished_ms);
    CHECK_MEM(&task->prompt, &want.prompt, sizeof want.prompt);
    CHECK_MEM(&task->answer, &want.answer, sizeof want.answer);
    seen->seq = task->seq;
    seen->task = task->task;
    seen->count++;
}

static bool see_task(void *ctx, const struct archived_task *task)
{
    struct seen *seen = ctx;
    see_row(seen, task);
    return seen->count != seen->enough;
}

static bool see_whole(void *ctx, const struct archived_task *task)
{
    struct archived_task want = make_task(task->seq / 10);
    CHECK_EQ(task->body.size, want.body.size);
    CHECK_MEM(task->body.data, want.body.data, want.body.size);
    CHECK_EQ(task->line.size, want.line.size);
    CHECK_MEM(task->line.data, want.line.data, want.line.size);
    return see_task(ctx, task);
}

static bool see_event(void *ctx, const struct archived_event *event)
{
    struct seen *seen = ctx;
    size_t size = strlen(seen->text);
    snprintf(seen->text + size, sizeof seen->text - size, "%d.%u %.*s ", (int)event->seq, event->index,
             (int)event->body.size, (const char *)event->body.data);
    return ++seen->count != seen->enough;
}

static bool see_verdict(void *ctx, const struct archived_verdict *verdict)
{
    struct seen *seen = ctx;
    size_t size = strlen(seen->text);
    snprintf(seen->text + size, sizeof seen->text - size, "%d %.*s ", (int)verdict->seq, (int)verdict->body.size,
             (const char *)verdict->body.data);
    CHECK_EQ(verdict->time_ms, verdict->seq * 100);
    return ++seen->count != seen->enough;
}

static void check_page(struct archive *archive, struct archive_query query, const char *want, struct seen *ret_seen)
{
    struct seen seen = {.count = 0};
    CHECK_EQ(archive_tasks(archive, &query, query.by == ARCHIVE_BY_NODE ? see_whole : see_task, &seen), CX_OK);
    CHECK_STR(seen.text, want);
    if (ret_seen)
        *ret_seen = seen;
}

static struct archive *with_ten_tasks(const char *at)
{
    struct archive *archive = open_archive(at);
    for (uint64_t n = 1; n <= 10; n++)
        put(archive, n);
    return archive;
}

#define ALL_OF_100 ((struct archive_query){.by = ARCHIVE_BY_NODE, .address = address_of(100), .limit = 100})

TEST(archive, finds_a_task_in_each_way)
{
    struct archive *archive = with_ten_tasks(path());
    struct seen seen = {.count = 0};
    CHECK_EQ(archive_task(archive, task_id(3), see_whole, &seen), CX_OK);
    CHECK_STR(seen.text, "3 ");
    CHECK_EQ(archive_task(archive, task_id(3) + 1, see_whole, &seen), CX_NOT_FOUND);
    struct archived_task task = make_task(3);
    seen = (struct seen){.count = 0};
    CHECK_EQ(archive_task_by_reference(archive, &task.payer, &task.reference, see_task, &seen), CX_OK);
    CHECK_STR(seen.text, "3 ");
    struct address other = address_of(9);
    CHECK_EQ(archive_task_by_reference(archive, &other, &task.reference, see_task, &seen), CX_NOT_FOUND);

    check_page(archive, (struct archive_query){.by = ARCHIVE_BY_SESSION, .session = SESSION, .limit = 100},
               "10 8 6 4 2 ", NULL);
    check_page(archive, (struct archive_query){.by = ARCHIVE_BY_PAYER, .address = address_of(2), .limit = 100},
               "9 7 5 3 1 ", NULL);
    check_page(archive, (struct archive_query){.by = ARCHIVE_BY_NODE, .address = address_of(4), .limit = 100}, "4 ",
               NULL);
    check_page(archive, (struct archive_query){.by = ARCHIVE_BY_NODE, .address = address_of(100), .limit = 3},
               "10 9 8 ", NULL);
    archive_close(archive);
}

/* What must be on a page: the tasks below `before` that are found in this way, the last first. */
static void want_page(enum archive_by by, uint64_t before, uint32_t limit, char *ret_text, size_t size)
{
    uint32_t count = 0;
    size_t at = 0;
    ret_text[0] = 0;
    for (uint64_t n = before - 1; n > 0 && count < limit; n--)
        if (by == ARCHIVE_BY_NODE || n % 2 == 1) {
            at += (size_t)snprintf(ret_text + at, size - at, "%d ", (int)n);
            count++;
        }
}

TEST(archive, gives_pages_that_begin_and_end_within_groups)
{
    static const uint64_t last[] = {1, 8, 15, 16, 30, 40};
    struct archive *archive = open_archive(":memory:");
    for (size_t i = 0; i < ARRAY_COUNT(last); i++)
        put_together(archive, i ? last[i - 1] + 1 : 1, last[i]);
    for (int by = ARCHIVE_BY_SESSION; by <= ARCHIVE_BY_NODE; by++)
        for (uint32_t limit = 1; limit <= 50; limit += limit < 9 ? 1 : 20)
            for (uint64_t before = 1; before <= 42; before++) {
                char want[300];
                want_page((enum archive_by)by, before > 40 ? 41 : before, limit, want, sizeof want);
                struct archive_query query = {.by = (enum archive_by)by, .session = SESSION + 1, .limit = limit};
                query.address = address_of(by == ARCHIVE_BY_PAYER ? 2 : 100);
                query.before_seq = 10 * before;
                query.before_task = task_id(before);
                check_page(archive, query, want, NULL);
                query.before_seq -= 5;  // of no task
                query.before_task = (uint64_t)INT64_MAX;
                check_page(archive, query, want, NULL);
                query.before_seq = 0;
                want_page(query.by, 41, limit, want, sizeof want);
                check_page(archive, query, want, NULL);
            }
    struct seen seen = {.count = 0};
    for (uint64_t n = 1; n <= 40; n++) {
        CHECK_EQ(archive_task(archive, task_id(n), see_whole, &seen), CX_OK);
        CHECK_EQ(seen.task, task_id(n));
    }
    archive_close(archive);
}

/* One entry ends many tasks, whose ids are signed here, in one group or in two. */
TEST(archive, parts_the_tasks_of_an_entry_anywhere)
{
    static const uint64_t ids[] = {1ull << 63, UINT64_MAX, 2, 5, INT64_MAX};
    struct archive *archive = open_archive(":memory:");
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct archived_task task = make_task(1);
        task.task = ids[i];
        if (i == 0 || i == 3)
            CHECK_EQ(archive_begin(archive), CX_OK);
        CHECK_EQ(archive_task_put(archive, &task), CX_OK);
        if (i == 2 || i == 4)
            CHECK_EQ(archive_commit(archive, task.seq), CX_OK);
    }
    for (uint32_t limit = 1; limit <= ARRAY_COUNT(ids) + 1; limit++)
        for (int by = ARCHIVE_BY_SESSION; by <= ARCHIVE_BY_NODE; by++) {
            struct archive_query query = {.by = (enum archive_by)by, .session = SESSION + 1, .limit = limit};
            query.address = address_of(by == ARCHIVE_BY_PAYER ? 2 : 100);
            CHECK_EQ(archive_pages_walk(archive, query), ARRAY_COUNT(ids));
        }
    archive_close(archive);
}

struct nested {
    struct archive *archive;
    struct seen seen;
};

static bool ask_for_another(void *ctx, const struct archived_task *task)
{
    struct nested *nested = ctx;
    struct seen one = {.count = 0};
    see_row(&nested->seen, task);
    CHECK_EQ(archive_task(nested->archive, task_id(1), see_whole, &one), CX_OK);
    return true;
}

TEST(archive, may_be_asked_by_whom_it_answers)
{
    struct nested nested = {.archive = open_archive(":memory:")};
    put_together(nested.archive, 1, 2);
    put_together(nested.archive, 3, 6);
    struct archive_query query = ALL_OF_100;
    CHECK_EQ(archive_tasks(nested.archive, &query, ask_for_another, &nested), CX_OK);
    CHECK_STR(nested.seen.text, "6 5 4 3 2 1 ");
    archive_close(nested.archive);
}

#define MANY 5000  // more than two shelves

struct walk {
    uint64_t next, step, count;
};

static bool see_next(void *ctx, const struct archived_task *task)
{
    struct walk *walk = ctx;
    CHECK_EQ(task->seq, 10 * walk->next);
    CHECK_EQ(task->task, task_id(walk->next));
    walk->next -= walk->step;
    walk->count++;
    return true;
}

/* Pages of `limit` from the last task down; how many tasks there were. */
static uint64_t walk_down(struct archive *archive, uint8_t node, uint64_t first, uint64_t step, uint32_t limit)
{
    struct archive_query query = {.by = ARCHIVE_BY_NODE, .address = address_of(node), .limit = limit};
    struct walk walk = {first, step, 0};
    for (uint64_t before = UINT64_MAX; before != walk.count;) {
        before = walk.count;
        CHECK_EQ(archive_tasks(archive, &query, see_next, &walk), CX_OK);
        CHECK(walk.count - before <= limit);
        query.before_seq = 10 * (walk.next + step);
        query.before_task = task_id(walk.next + step);
    }
    return walk.count;
}

TEST(archive, looks_for_a_node_on_every_shelf)
{
    struct archive *archive = open_archive(":memory:");
    for (uint64_t n = 1; n <= MANY; n++) {
        struct archived_task task = make_task(n);
        CHECK_EQ(archive_begin(archive), CX_OK);
        CHECK_EQ(archive_task_put(archive, &task), CX_OK);
        CHECK_EQ(archive_commit(archive, task.seq), CX_OK);
    }
    CHECK_EQ(walk_down(archive, 100, MANY, 1, 300), MANY);
    CHECK_EQ(walk_down(archive, 100, MANY, 1, 1000), MANY);
    CHECK_EQ(walk_down(archive, 7, MANY - (MANY - 7) % 256, 256, 3), (MANY - 7) / 256 + 1);
    CHECK_EQ(walk_down(archive, 7, MANY - (MANY - 7) % 256, 256, 1000), (MANY - 7) / 256 + 1);
    bool more = true;
    while (more)
        CHECK_EQ(archive_forget(archive, 1000 * 3100, &more), CX_OK);
    CHECK_EQ(walk_down(archive, 100, MANY, 1, 300), MANY - 3099);
    archive_close(archive);
}

TEST(archive, gives_pages_without_gaps)
{
    struct archive *archive = with_ten_tasks(":memory:");
    struct archive_query query = {.by = ARCHIVE_BY_NODE, .address = address_of(100), .limit = 4};
    static const char *const pages[] = {"10 9 8 7 ", "6 5 4 3 ", "2 1 ", ""};
    for (size_t i = 0; i < ARRAY_COUNT(pages); i++) {
        struct seen seen;
        check_page(archive, query, pages[i], &seen);
        query.before_seq = seen.seq;
        query.before_task = seen.task;
    }
    struct seen seen = {.enough = 2};
    query = ALL_OF_100;
    CHECK_EQ(archive_tasks(archive, &query, see_task, &seen), CX_OK);
    CHECK_STR(seen.text, "10 9 ");
    archive_close(archive);
}

TEST(archive, tells_what_happened)
{
    struct archive *archive = with_ten_tasks(path());
    struct seen seen = {.count = 0};
    CHECK_EQ(archive_task_events(archive, task_id(2), 20, see_event, &seen), CX_OK);
    CHECK_STR(seen.text, "20.0 audit_drawn 20.1 reference_forgotten ");
    seen = (struct seen){.count = 0};
    CHECK_EQ(archive_task_events(archive, task_id(2), 19, see_event, &seen), CX_OK);
    CHECK_STR(seen.text, "");
    struct address node = address_of(100);
    CHECK_EQ(archive_node_events(archive, &node, UINT64_MAX, 2, see_event, &seen), CX_OK);
    CHECK_STR(seen.text, "100.2 node_released 90.2 node_released ");
    seen = (struct seen){.count = 0};
    CHECK_EQ(archive_node_events(archive, &node, 85, 1, see_event, &seen), CX_OK);
    CHECK_STR(seen.text, "80.2 node_released ");
    node = address_of(7);
    seen = (struct seen){.count = 0};
    CHECK_EQ(archive_node_events(archive, &node, UINT64_MAX, 9, see_event, &seen), CX_OK);
    CHECK_STR(seen.text, "70.0 audit_drawn ");
    seen = (struct seen){.count = 0};
    CHECK_EQ(archive_task_verdicts(archive, task_id(4), UINT64_MAX, see_verdict, &seen), CX_OK);
    CHECK_STR(seen.text, "40 passed ");
    seen = (struct seen){.count = 0};
    CHECK_EQ(archive_task_verdicts(archive, task_id(4), 39, see_verdict, &seen), CX_OK);
    CHECK_STR(seen.text, "");
    archive_close(archive);
}

TEST(archive, notes_how_far_it_has_come)
{
    struct archive *archive = with_ten_tasks(path());
    CHECK_EQ(archive_seq(archive), 100);
    archive_close(archive);
    archive = open_archive(path());
    CHECK_EQ(archive_seq(archive), 100);
    struct archived_task task = make_task(11);
    CHECK_EQ(archive_begin(archive), CX_OK);
    CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    archive_rollback(archive);
    CHECK_EQ(archive_seq(archive), 100);
    check_page(archive, ALL_OF_100, "10 9 8 7 6 5 4 3 2 1 ", NULL);
    archive_close(archive);
}

/* So large that each has a group of its own, or two have one. */
static struct archived_task make_large(uint64_t n, uint32_t body_size, uint32_t line_size)
{
    static uint8_t bytes[2 * ARCHIVE_BODY_SIZE_MAX];
    struct archived_task task = make_task(n);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 253 * n);
    task.body = (struct span){bytes, body_size};
    task.line = (struct span){bytes + body_size, line_size};
    return task;
}

static bool is_same(void *ctx, const struct archived_task *task)
{
    const struct archived_task *want = ctx;
    CHECK_EQ(task->task, want->task);
    CHECK_EQ(task->node_count, want->node_count);
    CHECK_MEM(task->node, want->node, want->node_count * sizeof *want->node);
    CHECK_EQ(task->body.size, want->body.size);
    CHECK_MEM(task->body.data, want->body.data, want->body.size);
    CHECK_EQ(task->line.size, want->line.size);
    CHECK_MEM(task->line.data, want->line.data, want->line.size);
    return false;
}

TEST(archive, parts_what_is_large_into_groups)
{
    static const uint32_t sizes[][2] = {
        {25000, 6000}, {0, 31000}, {31000, 31000}, {1, 1}, {ARCHIVE_BODY_SIZE_MAX, ARCHIVE_BODY_SIZE_MAX}, {0, 0},
    };
    struct archive *archive = open_archive(path());
    CHECK_EQ(archive_begin(archive), CX_OK);
    for (uint64_t n = 1; n <= ARRAY_COUNT(sizes); n++) {
        struct archived_task task = make_large(n, sizes[n - 1][0], sizes[n - 1][1]);
        CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    }
    CHECK_EQ(archive_commit(archive, 60), CX_OK);
    CHECK_EQ(number_in_file("SELECT count(*) FROM task_group"), 4);
    CHECK_EQ(number_in_file("SELECT group_concat(count, '') FROM task_group"), 2211);
    for (uint64_t n = 1; n <= ARRAY_COUNT(sizes); n++) {
        struct archived_task task = make_large(n, sizes[n - 1][0], sizes[n - 1][1]);
        CHECK_EQ(archive_task(archive, task.task, is_same, &task), CX_OK);
    }
    check_page(archive, (struct archive_query){.by = ARCHIVE_BY_PAYER, .address = address_of(2), .limit = 100},
               "5 3 1 ", NULL);
    archive_close(archive);
}

/* What a handle has read of its own transaction goes with it. */
TEST(archive, shows_nothing_that_was_rolled_back)
{
    struct archive *archive = open_archive(":memory:");
    CHECK_EQ(archive_begin(archive), CX_OK);
    for (uint64_t n = 1; n <= 2; n++) {
        struct archived_task task = make_large(n, 900000, 0);
        CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    }
    struct seen seen = {.count = 0};
    CHECK_EQ(archive_task(archive, task_id(1), see_task, &seen), CX_OK);
    archive_rollback(archive);
    put_together(archive, 3, 3);
    CHECK_EQ(archive_task(archive, task_id(1), see_whole, &seen), CX_NOT_FOUND);
    CHECK_EQ(archive_task(archive, task_id(2), see_whole, &seen), CX_NOT_FOUND);
    CHECK_EQ(archive_task(archive, task_id(3), see_whole, &seen), CX_OK);
    check_page(archive, ALL_OF_100, "3 ", NULL);
    archive_close(archive);
}

struct states {
    char text[100];
};

static bool see_state(void *ctx, const struct archived_task *task)
{
    struct states *states = ctx;
    size_t size = strlen(states->text);
    snprintf(states->text + size, sizeof states->text - size, "%d:%u ", (int)(task->seq / 10), task->state);
    return true;
}

TEST(archive, shows_once_what_is_put_again)
{
    struct archive *archive = open_archive(path());
    put_together(archive, 1, 4);
    put_together(archive, 5, 6);
    struct archived_task again = make_task(6);
    again.state = 8;
    CHECK_EQ(archive_begin(archive), CX_OK);
    CHECK_EQ(archive_task_put(archive, &again), CX_OK);
    CHECK_EQ(archive_commit(archive, 60), CX_OK);
    for (int by = ARCHIVE_BY_SESSION; by <= ARCHIVE_BY_NODE; by++) {
        struct states states = {""};
        struct archive_query query = {.by = (enum archive_by)by, .session = SESSION, .limit = 100};
        query.address = address_of(by == ARCHIVE_BY_PAYER ? 1 : 100);
        CHECK_EQ(archive_tasks(archive, &query, see_state, &states), CX_OK);
        CHECK_STR(states.text, by == ARCHIVE_BY_NODE ? "6:8 5:7 4:7 3:7 2:7 1:7 " : "6:8 4:7 2:7 ");
    }
    struct states states = {""};
    CHECK_EQ(archive_task(archive, again.task, see_state, &states), CX_OK);
    CHECK_EQ(archive_task_by_reference(archive, &again.payer, &again.reference, see_state, &states), CX_OK);
    CHECK_STR(states.text, "6:8 6:8 ");
    /* What is gone with the older group is not the task. */
    bool more = true;
    CHECK_EQ(archive_forget(archive, 6000, &more), CX_OK);
    CHECK_EQ(number_in_file("SELECT count(*) FROM task_id"), 2);
    CHECK_EQ(number_in_file("SELECT count(*) FROM task_group"), 2);
    archive_close(archive);
}

TEST(archive, is_read_beside_its_writer)
{
    struct archive *archive = with_ten_tasks(path()), *reader = NULL;
    CHECK_EQ(archive_open_reader(path(), &reader), CX_OK);
    check_page(reader, ALL_OF_100, "10 9 8 7 6 5 4 3 2 1 ", NULL);
    struct archived_task task = make_task(11);
    CHECK_EQ(archive_begin(archive), CX_OK);
    CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    check_page(reader, ALL_OF_100, "10 9 8 7 6 5 4 3 2 1 ", NULL);
    CHECK_EQ(archive_commit(archive, 110), CX_OK);
    check_page(reader, ALL_OF_100, "11 10 9 8 7 6 5 4 3 2 1 ", NULL);
    archive_close(reader);
    archive_close(archive);
}

TEST(archive, takes_no_row_beyond_its_bounds)
{
    struct archive *archive = open_archive(":memory:");
    static char bytes[ARCHIVE_BODY_SIZE_MAX + 1];
    struct archived_task task = make_task(1);
    CHECK_EQ(archive_begin(archive), CX_OK);
    task.body = (struct span){(const uint8_t *)bytes, sizeof bytes};
    CHECK_EQ(archive_task_put(archive, &task), CX_TOO_LARGE);
    task.body = (struct span){0};
    task.line = (struct span){(const uint8_t *)bytes, sizeof bytes};
    CHECK_EQ(archive_task_put(archive, &task), CX_TOO_LARGE);
    const struct archived_event event = {.seq = 1, .body = task.line};
    CHECK_EQ(archive_event_put(archive, &event), CX_TOO_LARGE);
    archive_rollback(archive);
    archive_close(archive);
}

TEST(archive, forgets_the_oldest)
{
    struct archive *archive = with_ten_tasks(path());
    bool more = true;
    CHECK_EQ(archive_forget(archive, 4005, &more), CX_OK);
    CHECK(!more);
    check_page(archive, ALL_OF_100, "10 9 8 7 6 5 4 ", NULL);
    check_page(archive, (struct archive_query){.by = ARCHIVE_BY_NODE, .address = address_of(2), .limit = 100}, "",
               NULL);
    struct seen seen = {.count = 0};
    CHECK_EQ(archive_task(archive, task_id(2), see_whole, &seen), CX_NOT_FOUND);
    CHECK_EQ(archive_task_events(archive, task_id(2), UINT64_MAX, see_event, &seen), CX_OK);
    CHECK_EQ(archive_task_verdicts(archive, task_id(2), UINT64_MAX, see_verdict, &seen), CX_OK);
    CHECK_STR(seen.text, "");
    struct address node = address_of(100);
    CHECK_EQ(archive_node_events(archive, &node, UINT64_MAX, 100, see_event, &seen), CX_OK);
    CHECK_EQ(seen.count, 6);  // of the entries 50 to 100: 4,000 ms is before 4,005
    seen = (struct seen){.count = 0};
    CHECK_EQ(archive_task_verdicts(archive, task_id(5), UINT64_MAX, see_verdict, &seen), CX_OK);
    CHECK_STR(seen.text, "50 passed ");
    archive_close(archive);
}

TEST(archive, forgets_what_was_put_together_together)
{
    struct archive *archive = open_archive(path()), *reader = NULL;
    put_together(archive, 1, 4);
    put_together(archive, 5, 9);
    CHECK_EQ(archive_open_reader(path(), &reader), CX_OK);
    bool more = true;
    CHECK_EQ(archive_forget(archive, 4005, &more), CX_OK);  // the end of the fourth
    check_page(reader, ALL_OF_100, "9 8 7 6 5 4 3 2 1 ", NULL);
    struct seen seen = {.count = 0};
    CHECK_EQ(archive_task(reader, task_id(3), see_whole, &seen), CX_OK);
    CHECK_EQ(archive_forget(archive, 4006, &more), CX_OK);
    CHECK(!more);
    struct archived_task task = make_task(3);
    CHECK_EQ(archive_task(reader, task_id(3), see_whole, &seen), CX_NOT_FOUND);
    CHECK_EQ(archive_task_by_reference(reader, &task.payer, &task.reference, see_task, &seen), CX_NOT_FOUND);
    check_page(reader, ALL_OF_100, "9 8 7 6 5 ", NULL);
    check_page(reader, (struct archive_query){.by = ARCHIVE_BY_SESSION, .session = SESSION, .limit = 9}, "8 6 ", NULL);
    CHECK_EQ(archive_forget(archive, UINT64_MAX, &more), CX_OK);
    check_page(reader, ALL_OF_100, "", NULL);
    CHECK_EQ(number_in_file("SELECT (SELECT count(*) FROM task_group) + (SELECT count(*) FROM task_id)"), 0);
    CHECK_EQ(number_in_file("SELECT (SELECT count(*) FROM task_of) + (SELECT count(*) FROM task_reference)"), 0);
    /* The reader has read the group of these places, which do not come again. */
    put_together(archive, 10, 18);
    check_page(reader, ALL_OF_100, "18 17 16 15 14 13 12 11 10 ", NULL);
    CHECK_EQ(archive_task(reader, task_id(13), see_whole, &seen), CX_OK);
    CHECK_EQ(number_in_file("SELECT place FROM task_group"), 18);
    archive_close(reader);
    archive_close(archive);
}

TEST(archive, forgets_in_steps)
{
    struct archive *archive = open_archive(":memory:");
    bool more = false;
    for (uint64_t n = 1; n <= ARCHIVE_FORGET_STEP_MAX + 1; n++)
        put(archive, n);
    CHECK_EQ(archive_forget(archive, UINT64_MAX, &more), CX_OK);
    CHECK(more);
    struct seen seen = {.count = 0};
    struct archive_query all = ALL_OF_100;
    CHECK_EQ(archive_tasks(archive, &all, see_task, &seen), CX_OK);
    CHECK_EQ(seen.count, 1);
    CHECK_EQ(archive_forget(archive, UINT64_MAX, &more), CX_OK);
    CHECK(!more);
    archive_close(archive);
}

TEST(archive, is_of_one_network_and_one_kind)
{
    archive_close(with_ten_tasks(path()));
    struct archive *archive = NULL;
    CHECK_EQ(archive_open(path(), NETWORK + 1, &archive), CX_INVALID);
    CHECK(strstr(cx_detail(), "network 77, not of 78"));
    FILE *file = fopen(path(), "w");
    CHECK(file);
    fputs("This is a text of more than a hundred bytes, which somebody has named like an archive by mistake, again...",
          file);
    CHECK_EQ(fclose(file), 0);
    CHECK_EQ(archive_open(path(), NETWORK, &archive), CX_CORRUPT);
    CHECK(strstr(cx_detail(), "rebuilt"));
}

static bool see_nothing(void *ctx, const struct archived_task *task)
{
    (void)ctx;
    (void)task;
    test_fail(__FILE__, __LINE__, "a damaged task was shown");
    return false;
}

/* Plain bytes as an LZ4 block of literals alone, in SQL. */
static void set_plain(char *ret_sql, size_t cap, const uint8_t *plain, uint32_t size)
{
    uint32_t rest = size - 15;
    size_t at = (size_t)snprintf(ret_sql, cap, "size = %u, packed = x'f0", size);
    CHECK(size >= 15);
    for (; rest >= 255; rest -= 255)
        at += (size_t)snprintf(ret_sql + at, cap - at, "ff");
    at += (size_t)snprintf(ret_sql + at, cap - at, "%02x", rest);
    for (uint32_t i = 0; i < size; i++)
        at += (size_t)snprintf(ret_sql + at, cap - at, "%02x", plain[i]);
    snprintf(ret_sql + at, cap - at, "'");
}

static bool see_any(void *ctx, const struct archived_task *task)
{
    CHECK_EQ(task->task, 7);
    ((struct seen *)ctx)->count++;
    return true;
}

/* The third task of ten, each a group of its own, is damaged so; the others can be read. */
static void check_damaged(const char *set)
{
    struct archive *archive = with_ten_tasks(path());
    char sql[2000];
    bool more;
    sqlite3 *db = NULL;
    CHECK_EQ(db_open(path(), DB_WRITE, &db), CX_OK);
    snprintf(sql, sizeof sql, "UPDATE task_group SET %s WHERE first_seq = 30", set);
    CHECK_EQ(db_exec(db, sql), CX_OK);
    db_close(db);
    CHECK_EQ(archive_task(archive, task_id(3), see_nothing, NULL), CX_CORRUPT);
    CHECK(strstr(cx_detail(), "a row of the archive is damaged: delete the file, it will be rebuilt"));
    CHECK(strstr(cx_detail(), path()));
    struct seen seen = {.count = 0};
    struct archive_query query = ALL_OF_100;
    CHECK_EQ(archive_tasks(archive, &query, see_whole, &seen), CX_CORRUPT);
    CHECK_STR(seen.text, "10 9 8 7 6 5 4 ");
    CHECK_EQ(archive_task(archive, task_id(2), see_whole, &seen), CX_OK);
    CHECK_EQ(archive_forget(archive, UINT64_MAX, &more), CX_CORRUPT);
    archive_close(archive);
    CHECK_EQ(archive_remove(path()), CX_OK);
}

TEST(archive, says_that_a_group_is_damaged)
{
    static const char *const damage[] = {
        "packed = x''",
        "packed = substr(packed, 1, 8)",
        "packed = substr(packed, 1, length(packed) - 1)",
        "packed = packed || x'00'",
        "packed = x'ffffffffffffffff'",
        "size = size - 1",
        "size = size + 1",
        "size = 0",
        "size = -1",
        "size = 1 << 40",
        "size = 'much'",
        "count = 0",
        "count = 2",
        "count = -1",
        "count = 1 << 32 | 1",
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++)
        check_damaged(damage[i]);
}

#define HEAD_SIZE 172  // of a task in a group; how many nodes and how large body and line are stand last

TEST(archive, says_that_a_task_in_a_group_is_damaged)
{
    static const struct {
        uint32_t size, nodes, body, line;
    } damage[] = {
        {HEAD_SIZE - 1, 0, 0, 0},
        {15, 0, 0, 0},
        {HEAD_SIZE, 1, 0, 0},
        {HEAD_SIZE, 0, 1, 0},
        {HEAD_SIZE, 0, 0, 1},
        {HEAD_SIZE + 20, 2, 0, 0},
        {HEAD_SIZE + 20, 1, 0, 1},
        {HEAD_SIZE + 20, UINT32_MAX, 0, 0},
        {HEAD_SIZE + 4, 0x0ccccccd, 0, 0},  // times 20 is 4 in 32 bits
        {HEAD_SIZE + 20, 1, UINT32_MAX, 1},
        {HEAD_SIZE + 20, 0, 19, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        uint8_t plain[HEAD_SIZE + 20] = {0};
        char set[1000];
        be32_put(plain + HEAD_SIZE - 12, damage[i].nodes);
        be32_put(plain + HEAD_SIZE - 8, damage[i].body);
        be32_put(plain + HEAD_SIZE - 4, damage[i].line);
        set_plain(set, sizeof set, plain, damage[i].size);
        check_damaged(set);
    }
}

/* Rows by which tasks are found may say anything as well. */
TEST(archive, says_that_what_finds_a_task_is_damaged)
{
    static const char *const damage[] = {
        "UPDATE task_id SET number = 0",
        "UPDATE task_id SET number = 4 WHERE number = 3",
        "UPDATE task_id SET number = 11",
        "UPDATE task_id SET number = -1",
        "UPDATE task_id SET number = 9223372036854775807",
        "DELETE FROM task_group",
        "UPDATE task_group SET place = place - 100",
        "UPDATE task_group SET place = place + 9223372036854775000",
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        struct archive *archive = open_archive(path());
        sqlite3 *db = NULL;
        put_together(archive, 1, 10);
        CHECK_EQ(db_open(path(), DB_WRITE, &db), CX_OK);
        CHECK_EQ(db_exec(db, damage[i]), CX_OK);
        db_close(db);
        CHECK_EQ(archive_task(archive, task_id(3), see_nothing, NULL), CX_CORRUPT);
        archive_close(archive);
        CHECK_EQ(archive_remove(path()), CX_OK);
    }
}

TEST(archive, says_that_tasks_of_a_group_are_out_of_order)
{
    uint8_t plain[2 * HEAD_SIZE] = {0};
    char set[1000];
    struct seen seen = {.count = 0};
    for (int i = 0; i < 3; i++) {
        struct archive *archive = open_archive(path());
        char sql[1100];
        sqlite3 *db = NULL;
        put_together(archive, 1, 2);
        /* seq and task: equal, falling; then rising, as signed numbers. */
        be64_put(plain + 8, i == 2 ? UINT64_MAX : 7);
        be64_put(plain + HEAD_SIZE + 8, i == 1 ? UINT64_MAX : 7);
        set_plain(set, sizeof set, plain, sizeof plain);
        snprintf(sql, sizeof sql, "UPDATE task_group SET %s; INSERT INTO task_id VALUES (7, 2)", set);
        CHECK_EQ(db_open(path(), DB_WRITE, &db), CX_OK);
        CHECK_EQ(db_exec(db, sql), CX_OK);
        db_close(db);
        CHECK_EQ(archive_task(archive, 7, see_any, &seen), i == 2 ? CX_OK : CX_CORRUPT);
        archive_close(archive);
        CHECK_EQ(archive_remove(path()), CX_OK);
    }
    CHECK_EQ(seen.count, 1);
}

TEST(archive, comes_to_an_end_whatever_shelves_there_are)
{
    struct archive *archive = open_archive(path());
    struct archive_query query = ALL_OF_100;
    struct seen seen = {.count = 0};
    sqlite3 *db = NULL;
    put_together(archive, 1, 3);
    CHECK_EQ(db_open(path(), DB_WRITE, &db), CX_OK);
    CHECK_EQ(db_exec(db, "INSERT INTO task_of VALUES (-5, 0, x'00', 1), (-4, 0, x'00', 1)"), CX_OK);
    CHECK_EQ(archive_tasks(archive, &query, see_task, &seen), CX_CORRUPT);
    CHECK_STR(seen.text, "3 2 1 ");
    CHECK_EQ(db_exec(db, "DELETE FROM task_of WHERE shelf < 0; UPDATE task_of SET place = 2"), CX_OK);
    query.before_seq = 30;
    query.before_task = 0;
    CHECK_EQ(archive_tasks(archive, &query, see_nothing, NULL), CX_CORRUPT);
    CHECK_EQ(db_exec(db, "UPDATE meta SET value = -1 WHERE key = 'tasks'"), CX_OK);
    CHECK_EQ(archive_begin(archive), CX_CORRUPT);
    CHECK_EQ(db_exec(db, "UPDATE meta SET value = 2 WHERE key = 'tasks'"), CX_OK);
    CHECK_EQ(archive_begin(archive), CX_OK);
    struct archived_task task = make_task(4);
    CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    CHECK_EQ(archive_commit(archive, 40), CX_CORRUPT);
    archive_rollback(archive);
    db_close(db);
    archive_close(archive);
}

/* What is said again costs little, be it by one task or by another. */
TEST(archive, takes_little_room_for_what_is_said_again)
{
    static char line[4000];
    struct archive *archive = open_archive(path());
    CHECK_EQ(archive_begin(archive), CX_OK);
    for (uint64_t n = 1; n <= 10; n++) {
        struct archived_task task = make_task(n);
        for (size_t i = 0; i < sizeof line; i++)
            line[i] = (char)((const uint8_t *)&task.prompt)[i % sizeof task.prompt];
        task.line = (struct span){(const uint8_t *)line, sizeof line};
        CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    }
    CHECK_EQ(archive_commit(archive, 100), CX_OK);
    archive_close(archive);
    CHECK(number_in_file("SELECT length(packed) FROM task_group") < 10 * 110);
}

TEST(archive, is_of_one_format)
{
    struct archive *archive = with_ten_tasks(path());
    sqlite3 *db = NULL;
    archive_close(archive);
    CHECK_EQ(db_open(path(), DB_WRITE, &db), CX_OK);
    CHECK_EQ(db_exec(db, "PRAGMA user_version = 2"), CX_OK);
    db_close(db);
    CHECK_EQ(archive_open(path(), NETWORK, &archive), CX_UNSUPPORTED);
    CHECK(strstr(cx_detail(), "format 2, not 5"));
    CHECK_EQ(archive_open(path(), NETWORK + 1, &archive), CX_INVALID);  // not to be removed
}

TEST(archive, is_removed_with_its_log_and_begins_again)
{
    struct archive *archive = with_ten_tasks(path());
    CHECK(archive_seq(archive) > 0);
    archive_close(archive);
    CHECK_EQ(archive_remove(path()), CX_OK);
    CHECK(access(path(), F_OK) != 0);
    CHECK_EQ(archive_remove(path()), CX_OK);
    archive = open_archive(path());
    CHECK_EQ(archive_seq(archive), 0);
    archive_close(archive);
}

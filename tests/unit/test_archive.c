/* The archive of finished tasks: what is put is found in each way, once, also when it is put again. */
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/db.h"
#include "ledger/archive.h"
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

#define MANY 2500  // more than two shelves

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
        CHECK_EQ(archive_forget(archive, 1000 * 1100, &more), CX_OK);
    CHECK_EQ(walk_down(archive, 100, MANY, 1, 300), MANY - 1099);
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

TEST(archive, says_that_a_packed_row_is_damaged)
{
    static const char *const damage[] = {
        "x''",
        "substr(packed, 1, 8)",
        "substr(packed, 1, length(packed) - 1)",
        "packed || x'00'",
        "x'00000007' || substr(packed, 5)",
        "x'ffffffff' || substr(packed, 5)",
        "x'0010000100000000' || substr(packed, 9)",
        "substr(packed, 1, 4) || x'7fffffff' || substr(packed, 9)",
        "substr(packed, 1, 8) || x'ffffffffffffffff'",
    };
    for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
        struct archive *archive = with_ten_tasks(path());
        char sql[200];
        sqlite3 *db = NULL;
        CHECK_EQ(db_open(path(), DB_WRITE, &db), CX_OK);
        snprintf(sql, sizeof sql, "UPDATE task SET packed = %s WHERE seq = 30", damage[i]);
        CHECK_EQ(db_exec(db, sql), CX_OK);
        db_close(db);
        CHECK_EQ(archive_task(archive, task_id(3), see_nothing, NULL), CX_CORRUPT);
        CHECK(strstr(cx_detail(), "a row of the archive is damaged"));
        struct seen seen = {.count = 0};
        CHECK_EQ(archive_task(archive, task_id(4), see_whole, &seen), CX_OK);
        archive_close(archive);
        CHECK_EQ(archive_remove(path()), CX_OK);
    }
}

/* What a time-line says again costs little, and what nobody has seen costs what it is. */
TEST(archive, takes_little_room_for_what_is_said_again)
{
    static char line[4000];
    struct archive *archive = open_archive(path());
    struct archived_task task = make_task(1);
    for (size_t i = 0; i < sizeof line; i++)
        line[i] = (char)((const uint8_t *)&task.prompt)[i % sizeof task.prompt];
    task.line = (struct span){(const uint8_t *)line, sizeof line};
    CHECK_EQ(archive_begin(archive), CX_OK);
    CHECK_EQ(archive_task_put(archive, &task), CX_OK);
    CHECK_EQ(archive_commit(archive, task.seq), CX_OK);
    archive_close(archive);
    sqlite3 *db = NULL;
    int64_t size = 0;
    CHECK_EQ(db_open(path(), DB_READ, &db), CX_OK);
    CHECK_EQ(db_number(db, "SELECT length(packed) FROM task", &size), CX_OK);
    CHECK(size < 60);
    db_close(db);
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
    CHECK(strstr(cx_detail(), "format 2, not 4"));
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

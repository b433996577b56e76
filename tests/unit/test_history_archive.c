/* Histories: asked at any moment they say the same, whatever of it is in memory and whatever in the archive. */
#include <unistd.h>

#include "base/clock.h"
#include "base/db.h"
#include "lib/network.h"
#include "lib/test.h"
#include "router/history_parts.h"

/* ---- a world ---- */

static uint64_t session;

static void append_by(struct network *n, struct command *cmd, const struct address *oracle)
{
    cmd->signer_count = 1;
    cmd->signer[0] = *oracle;
    network_sign(n, cmd);
    CHECK_EQ(network_append(n, cmd), VERDICT_ACCEPTED);
}

static void judge_all(struct network *n, enum audit_finding finding)
{
    struct audit_view audit;
    for (uint32_t at = 0; view_audit_at(n->core, &at, &audit);) {
        struct command ask = {.type = COMMAND_AUDIT_ASK, .audit_ask = {audit.id}};
        struct command judge = {.type = COMMAND_AUDIT_VERDICT};
        if (audit.state != AUDIT_DRAWN)
            continue;
        judge.audit_verdict = (struct cmd_audit_verdict){.audit = audit.id, .finding = (uint8_t)finding};
        append_by(n, &ask, &audit.oracle);
        append_by(n, &judge, &audit.oracle);
    }
}

/* Tasks of three answers, each audited after its end; some cancelled, one that lives on; time passes in between. */
static struct network *make_world(uint32_t tasks)
{
    static const char *const text[] = {"yes", "yes", "no"};
    struct network *n = network_open(&(struct network_options){.oracles = 2, .users = 2, .miners = 9});
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    cmd.session_open.owner = test_address('U', 1);
    cmd.session_open.redundancy = 3;
    cmd.session_open.validation = VALIDATION_MAJORITY;
    network_fill(n, &cmd);
    cmd.session_open.audit_bp = 10000;
    n->batch_size = 5;
    session = network_session(n, &cmd);
    for (uint32_t i = 0; i < tasks; i++) {
        uint64_t task = network_submit(n, session);
        if (i % 4 == 3) {
            struct command cancel = {.type = COMMAND_TASK_CANCEL, .task_cancel.task = task};
            network_do(n, &cancel);
        } else {
            network_run_task(n, task, text, 3);
        }
        network_wait(n, 4000);
        judge_all(n, i == 2 ? FINDING_FLAG : FINDING_PASS);
    }
    network_submit(n, session);
    network_wait(n, 100);
    network_batch_end(n);
    return n;
}

/* ---- telling a history of it ---- */

struct teller {
    struct network *network;
    struct core *core;
    struct history *history;
    uint32_t at;
    bool batch_over;
};

static void tell_entry(struct teller *t)
{
    static struct event event[EVENTS_PER_COMMAND_MAX];
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    const struct network_entry *e = &t->network->entry[t->at++];
    const struct span entry = {e->bytes, e->size};
    struct replica_listener *l = history_listener(t->history);
    const uint8_t *signature;
    struct command cmd;
    CHECK(command_decode(entry, &cmd, &signature));
    for (uint32_t i = 0; i < cmd.signer_count; i++)  // played ones: network.h
        memcpy(cmd.signer[i].b, signature + i * 65, sizeof cmd.signer[i].b);
    cmd.time_ms = e->time_ms;
    cmd.author = e->author;
    CHECK_EQ(core_apply(t->core, entry, &cmd, &out), e->verdict);
    const struct replica_moment moment = {.seq = t->at,
                                          .time_ms = e->time_ms,
                                          .now_ms = core_now_ms(t->core),
                                          .author = e->author,
                                          .entry = entry,
                                          .command = &cmd,
                                          .verdict = e->verdict,
                                          .core = t->core};
    l->on_entry(l->ctx, &moment);
    for (uint32_t i = 0; i < out.count; i++)
        l->on_event(l->ctx, &moment, &out.event[i]);
    t->batch_over = e->batch_end;
    if (!e->batch_end)
        return;
    core_batch_end(t->core);
    l->on_batch(l->ctx);
}

static uint32_t failures;
static char failure[512];

static void on_failed(void *ctx, enum cx_err err, const char *why)
{
    CHECK(ctx == &failures);
    CHECK(err != CX_OK);
    failures++;
    snprintf(failure, sizeof failure, "%s", why);
}

static void open_teller(struct teller *t, struct network *n, const char *path)
{
    *t = (struct teller){.network = n, .core = network_replay(n, NULL, 0, 0)};
    CHECK_EQ(history_open(&(struct history_options){.archive_path = path, .on_failed = on_failed, .ctx = &failures},
                          &t->history),
             CX_OK);
}

static void tell_to(struct teller *t, uint32_t end)
{
    while (t->at < end)
        tell_entry(t);
}

static void close_teller(struct teller *t)
{
    history_close(t->history);
    test_free(t->core);
}

/* Until the archive's thread has written all that it was handed. */
static void await_written(struct history *history)
{
    struct replica_listener *l = history_listener(history);
    for (uint64_t until_us = clock_mono_us() + 20000000; history->handed && clock_mono_us() < until_us;)
        l->on_batch(l->ctx);
    CHECK(!history->handed);
}

/* ---- all that it says ---- */

static bool say_event(void *ctx, const struct history_event *event)
{
    uint8_t bytes[EVENT_SIZE_MAX];
    uint32_t size = event_encode(&event->event, bytes), sum = 0;
    for (uint32_t i = 0; i < size; i++)
        sum = sum * 31 + bytes[i];
    buf_printf(ctx, " %d.%u@%llu:%s:%x", (int)event->seq, event->index, (unsigned long long)event->time_ms,
               event_find(event->event.type)->name, sum);
    return true;
}

static void say_task(struct buf *out, const struct finished_task *t)
{
    buf_printf(out, " %llx of %llx %d at %d %llu-%llu %02x%02x%02x", (unsigned long long)t->task,
               (unsigned long long)t->session, t->state, (int)t->end_seq, (unsigned long long)t->submitted_ms,
               (unsigned long long)t->finished_ms, t->payer.b[19], t->prompt_digest.b[0], t->payload_digest.b[0]);
}

struct page {
    struct buf *out;
    uint32_t rows;
    struct finished_task last;
};

static bool say_row(void *ctx, const struct finished_task *task)
{
    struct page *page = ctx;
    page->rows++;
    page->last = *task;
    say_task(page->out, task);
    return true;
}

static void say_list(struct history *history, struct archive_query query, struct buf *out)
{
    struct page page = {.out = out};
    do {
        page.rows = 0;
        CHECK_EQ(history_tasks(history, &query, say_row, &page), CX_OK);
        buf_printf(out, "|\n");
        query.before_seq = page.last.end_seq;
        query.before_task = page.last.task;
    } while (page.rows == query.limit);
}

static void say_one(struct history *history, uint64_t task, struct buf *out)
{
    struct finished_task t;
    buf_printf(out, "task %llx:", (unsigned long long)task);
    if (history_finished(history, 0, task, &t) == CX_OK) {
        CHECK_EQ(history_finished(history, session, task, &t), CX_OK);
        CHECK_EQ(history_finished(history, session + 1, task, &t), CX_NOT_FOUND);
        say_task(out, &t);
        buf_printf(out, " %d %d %u %u %u %llu", t.cause, t.finish, t.tokens_in, t.tokens_out, t.attempts,
                   (unsigned long long)t.charged.credits);
    }
    if (history_receipt_json(history, session, task, out) == CX_OK)
        CHECK_EQ(history_task_events(history, task, say_event, out), CX_OK);
    buf_printf(out, "\n");
}

/* All tasks that there ever were, from the events of the network. */
static void say_tasks(const struct network *n, struct history *history, struct buf *out)
{
    for (uint32_t i = 0; i < n->seen_count; i++)
        if (n->seen[i].type == EVENT_TASK_CREATED) {
            const struct evt_task_created *e = &n->seen[i].task_created;
            uint64_t found_session = 0, found = 0;
            say_one(history, e->task, out);
            if (!hash_is_zero(&e->reference) &&
                history_by_reference(history, &e->payer, &e->reference, &found_session, &found) == CX_OK)
                buf_printf(out, "by reference %llx of %llx\n", (unsigned long long)found,
                           (unsigned long long)found_session);
        }
}

static void say_audits(const struct network *n, struct history *history, struct buf *out)
{
    struct audited_answer answer;
    for (uint32_t i = 0; i < n->seen_count; i++)
        if (n->seen[i].type == EVENT_AUDIT_MOVED) {
            const struct evt_audit_moved *e = &n->seen[i].audit_moved;
            enum cx_err err = history_audited(history, e->audit, e->lease, &answer);
            buf_printf(out, "audit %llx: %s\n", (unsigned long long)e->audit, cx_err_name(err));
            if (!err)
                buf_printf(out, "%02x %02x %u\n", answer.prompt_digest.b[0], answer.payload_digest.b[0],
                           answer.record_size);
        }
}

static void say_all(const struct network *n, struct history *history, struct buf *out)
{
    buf_reset(out);
    say_tasks(n, history, out);
    say_audits(n, history, out);
    for (uint32_t i = 1; i <= 9; i++)
        for (uint32_t limit = 5; limit <= 500; limit *= 10) {
            struct address node = test_address('M', i);
            buf_printf(out, "node %u:", i);
            CHECK_EQ(history_node_events(history, &node, limit, say_event, out), CX_OK);
            buf_printf(out, "\n");
        }
    say_list(history, (struct archive_query){.by = ARCHIVE_BY_SESSION, .session = session, .limit = 3}, out);
    say_list(history, (struct archive_query){.by = ARCHIVE_BY_SESSION, .session = session + 1, .limit = 3}, out);
    say_list(history, (struct archive_query){.by = ARCHIVE_BY_PAYER, .address = test_address('U', 1), .limit = 4}, out);
}

static const char *path_of(uint32_t number)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/archive-%u", test_folder(), number);
    return path;
}

static void check_same(const struct buf *is, const struct buf *want, uint32_t at)
{
    size_t i = 0;
    while (i < is->size && i < want->size && is->data[i] == want->data[i])
        i++;
    if (i < is->size || i < want->size)
        test_fail(__FILE__, __LINE__, "after entry %u, from byte %zu on: \"%.300s\", not \"%.300s\"", at, i,
                  is->data + i - (i < 100 ? i : 100), want->data + i - (i < 100 ? i : 100));
}

/* As `t` stands: what it says while all is in memory. */
static void say_from_memory(struct network *n, uint32_t entries, struct buf *out)
{
    struct history *history;
    struct teller t;
    open_teller(&t, n, ":memory:");
    history = t.history;
    /* Nothing is handed over where time stands still. */
    for (uint32_t i = 0; i < entries; i++) {
        tell_entry(&t);
        history->gathering.since_ms = history->time_ms;
    }
    CHECK(!history->handed);
    say_all(n, history, out);
    close_teller(&t);
}

TEST(history_archive, says_the_same_from_memory_and_from_the_archive)
{
    struct network *n = make_world(9);
    struct buf want = {0}, is = {0};
    struct teller t;
    say_from_memory(n, n->entry_count, &want);
    CHECK(strstr(want.data, "\"finding\":\"FLAG\""));
    CHECK(strstr(want.data, "audit_moved"));
    CHECK(strstr(want.data, "by reference"));

    open_teller(&t, n, path_of(0));
    tell_to(&t, n->entry_count);
    CHECK(t.history->written_seq > 0 || t.history->handed);  // batches were handed over on the way
    say_all(n, t.history, &is);
    check_same(&is, &want, t.at);
    await_written(t.history);
    say_all(n, t.history, &is);
    check_same(&is, &want, t.at);
    close_teller(&t);

    open_teller(&t, n, path_of(0));  // all of it was written by now
    tell_to(&t, n->entry_count);
    CHECK_EQ(t.history->gathering.tasks + t.history->gathering.events + t.history->gathering.verdicts, 0);
    say_all(n, t.history, &is);
    check_same(&is, &want, t.at);
    close_teller(&t);
    buf_done(&want);
    buf_done(&is);
}

/* A router dies after any entry: the archive has the batches that were written until then, and no more. */
TEST(history_archive, goes_on_wherever_it_was_cut)
{
    struct network *n = make_world(5);
    struct buf want = {0}, is = {0};
    say_from_memory(n, n->entry_count, &want);
    uint32_t first = n->entry_count / 2;
    for (uint32_t cut = first; cut < n->entry_count; cut += 1 + cut % 3) {
        struct teller t;
        open_teller(&t, n, path_of(cut));
        tell_to(&t, cut);
        close_teller(&t);
        open_teller(&t, n, path_of(cut));
        tell_to(&t, n->entry_count);
        CHECK(t.history->had_seq <= cut);
        say_all(n, t.history, &is);
        check_same(&is, &want, cut);
        close_teller(&t);
    }
    buf_done(&want);
    buf_done(&is);
}

TEST(history_archive, says_the_same_after_every_batch)
{
    struct network *n = make_world(4);
    struct buf want = {0}, is = {0};
    struct teller t;
    open_teller(&t, n, path_of(0));
    for (uint32_t i = 0; t.at < n->entry_count; i++) {
        tell_entry(&t);
        if (!t.batch_over || i % 5)
            continue;
        say_from_memory(n, t.at, &want);
        say_all(n, t.history, &is);
        check_same(&is, &want, t.at);
    }
    close_teller(&t);
    buf_done(&want);
    buf_done(&is);
}

TEST(history_archive, is_not_written_in_the_middle_of_a_batch)
{
    struct network *n = make_world(4);
    struct teller t;
    open_teller(&t, n, path_of(0));
    uint32_t last = n->entry_count - 1;
    while (n->entry[last].batch_end)
        last--;
    tell_to(&t, last + 1);
    uint64_t batch_seq = t.history->batch_seq;
    CHECK(batch_seq < t.at);
    close_teller(&t);
    struct archive *archive = NULL;
    CHECK_EQ(archive_open(path_of(0), NETWORK_ID, &archive), CX_OK);
    CHECK(archive_seq(archive) <= batch_seq);
    archive_close(archive);
}

TEST(history_archive, uses_the_memory_of_tasks_again)
{
    struct network *n = make_world(9);
    struct teller t;
    open_teller(&t, n, path_of(0));
    while (!t.history->handed)
        tell_entry(&t);
    CHECK(t.batch_over);
    await_written(t.history);
    uint32_t spares = t.history->spares;
    CHECK(spares > 0);
    while (t.history->spares == spares)
        tell_entry(&t);
    CHECK_EQ(t.history->spares, spares - 1);
    close_teller(&t);
}

TEST(history_archive, is_made_again_where_its_format_is_another)
{
    struct network *n = make_world(3);
    struct buf want = {0}, is = {0};
    struct archive *archive = NULL;
    sqlite3 *db = NULL;
    struct teller t;
    CHECK_EQ(archive_open(path_of(0), NETWORK_ID, &archive), CX_OK);
    archive_close(archive);
    CHECK_EQ(db_open(path_of(0), DB_WRITE, &db), CX_OK);
    CHECK_EQ(db_exec(db, "PRAGMA user_version = 2; UPDATE meta SET value = 1000000 WHERE key = 'seq'"), CX_OK);
    db_close(db);
    open_teller(&t, n, path_of(0));
    tell_to(&t, n->entry_count);
    CHECK_EQ(failures, 0);
    CHECK_EQ(t.history->had_seq, 0);
    say_all(n, t.history, &is);
    say_from_memory(n, n->entry_count, &want);
    check_same(&is, &want, t.at);
    close_teller(&t);
    buf_done(&want);
    buf_done(&is);
}

/* ---- where it fails ---- */

TEST(history_archive, tells_once_that_it_cannot_be_opened)
{
    struct network *n = make_world(2);
    struct finished_task task;
    struct teller t;
    open_teller(&t, n, "/nowhere/archive");
    tell_to(&t, n->entry_count);
    CHECK_EQ(failures, 1);
    CHECK(strstr(failure, "/nowhere/archive"));
    CHECK(history_finished(t.history, 0, n->seen[0].task_created.task, &task) != CX_OK);
    close_teller(&t);
    CHECK_EQ(failures, 1);
}

TEST(history_archive, is_put_away_when_it_turns_out_to_be_damaged)
{
    struct network *n = make_world(12);
    struct replica_listener *l;
    sqlite3 *db = NULL;
    struct teller t;
    open_teller(&t, n, path_of(0));
    tell_to(&t, n->entry_count / 2);
    CHECK_EQ(db_open(path_of(0), DB_WRITE, &db), CX_OK);
    CHECK_EQ(db_exec(db, "DROP TABLE task_group"), CX_OK);
    db_close(db);
    tell_to(&t, n->entry_count);
    l = history_listener(t.history);
    for (uint64_t until_us = clock_mono_us() + 20000000; failures == 0 && clock_mono_us() < until_us;)
        l->on_batch(l->ctx);
    CHECK_EQ(failures, 1);
    CHECK(strstr(failure, "start again"));
    CHECK(access(path_of(0), F_OK) != 0);
    const struct event *created = network_event(n, EVENT_TASK_REFUNDED);
    struct finished_task task;
    CHECK_EQ(history_finished(t.history, 0, created->task_refunded.task, &task), CX_CORRUPT);
    l->on_batch(l->ctx);
    CHECK_EQ(failures, 1);
    close_teller(&t);
}

/* Small worlds, the shrinker and exact traces: sim/small.h, sim/shrink.h, sim/trace_text.h. */
#include "lib/test.h"
#include "sim/shrink.h"
#include "sim/small.h"
#include "sim/trace_text.h"

static const struct small_world *world_named(const char *name)
{
    const struct small_world *w = small_worlds();
    while (w->name && strcmp(w->name, name) != 0)
        w++;
    CHECK(w->name);
    return w;
}

/* Makes the first move with each of these names, in this order. */
static void make_moves(const struct small_world *w, struct tiny *t, const char *const *name, size_t count)
{
    static struct move move[SMALL_MOVES_MAX];
    for (size_t i = 0; i < count; i++) {
        uint32_t moves = small_moves(w, t, move), at = 0;
        while (at < moves && strcmp(move[at].name, name[i]) != 0)
            at++;
        CHECK(at < moves);
        struct command cmd = move[at].cmd;
        if (cmd.type == 0)
            tiny_wait(t, move[at].hush);
        else
            CHECK_EQ(tiny_append(t, &cmd), VERDICT_ACCEPTED);
    }
}

/* A history with two tasks, of which the second is cancelled. */
static struct tiny *busy_network(struct check *check)
{
    const struct small_world *w = world_named("one");
    struct tiny *t = small_open(w, check);
    make_moves(w, t, (const char *const[]){"submit 1"}, 1);
    for (int i = 0; i < 30; i++)
        tiny_wait(t, (struct tiny_hush){0});
    make_moves(w, t, (const char *const[]){"submit 2", "cancel 2", "time passes", "time passes"}, 4);
    CHECK(!check->failed);
    return t;
}

TEST(small, a_move_that_was_made_leads_on)
{
    struct check check = {0};
    const struct small_world *w = world_named("single");
    struct tiny *t = small_open(w, &check);
    struct network_view before, after;
    view_network(t->stage.core, &before);
    make_moves(w, t, (const char *const[]){"submit 1"}, 1);
    view_network(t->stage.core, &after);
    CHECK_EQ(before.tasks_live, 0);
    CHECK_EQ(after.tasks_live, 1);
    CHECK(!check.failed);
    tiny_close(t);
}

TEST(small, states_are_what_matters_and_not_how_they_came_about)
{
    struct check check = {0};
    const struct small_world *w = world_named("two");
    struct tiny *a = small_open(w, &check), *b = small_open(w, &check);
    struct hash one, other;
    make_moves(w, a, (const char *const[]){"submit 1", "precommit yes of m1", "precommit yes of m2"}, 3);
    make_moves(w, b, (const char *const[]){"submit 1", "precommit yes of m1"}, 2);
    stage_state(&a->stage, &one);
    stage_state(&b->stage, &other);
    CHECK(!hash_eq(&one, &other));
    /* A refused entry between: longer, and the same. */
    struct command stale = {.type = COMMAND_TASK_ACK, .author = tiny_address('R', 1), .task_ack.lease = 1};
    CHECK_EQ(tiny_append(b, &stale), VERDICT_LEASE_STALE);
    make_moves(w, b, (const char *const[]){"precommit yes of m2"}, 1);
    stage_state(&b->stage, &other);
    CHECK(hash_eq(&one, &other));
    CHECK(!check.failed);
    tiny_close(a);
    tiny_close(b);
}

TEST(small, every_world_is_well_for_a_few_steps)
{
    for (const struct small_world *w = small_worlds(); w->name; w++) {
        struct check check = {0};
        struct small_trail trail;
        struct small_report report;
        if (!small_run(w, 3, &check, &trail, &report))
            test_fail(__FILE__, __LINE__, "%s: %s: %s", w->name, checker_name(check.checker), check.text);
        CHECK(report.states > 10);
        CHECK(report.lively > 0);
    }
}

/* ---- exact traces ---- */

TEST(small, a_trace_says_what_its_history_was)
{
    struct check check = {0}, played = {0};
    struct tiny *t = busy_network(&check);
    struct buf text = {0};
    struct history again = {0};
    char why[256] = "";
    trace_write(&t->history, "# A comment.\n", &text);
    CHECK(trace_is_exact(text.data));
    if (!trace_play(text.data, &again, &played, why, sizeof why))
        test_fail(__FILE__, __LINE__, "%s", why);
    CHECK(!played.failed);
    CHECK_EQ(again.count, t->history.count);
    for (uint32_t i = 0; i < again.count; i++) {
        const struct history_entry *a = &again.entry[i], *b = &t->history.entry[i];
        CHECK_EQ(a->time_ms, b->time_ms);
        CHECK(address_eq(&a->author, &b->author));
        CHECK_EQ(a->size, b->size);
        CHECK_MEM(a->bytes, b->bytes, a->size);
    }
    history_done(&again);
    buf_done(&text);
    tiny_close(t);
}

TEST(small, a_trace_with_a_mistake_is_named_by_its_line)
{
    static const struct {
        const char *text, *why;
    } wrong[] = {
        {"network exact=1 start_ms=5\n> nonsense a=1\n", "line 2: no command nonsense"},
        {"network exact=1 start_ms=5\n\n> tick due_ms\n", "line 3: not key=value: due_ms"},
        {"network exact=1 start_ms=5\n> tick via=r1\n",
         "line 2: the first entry is no genesis that a network can begin with"},
        {"network exact=1 start_ms=5\nwho me\n", "line 2: not who NAME 0x.."},
        {"network exact=1 start_ms=5\n> genesis color=red\n", "line 2: color=red: no field of genesis, or no value"},
        {"network exact=1 start_ms=5\n", "line 1: nothing in it"},
    };
    CHECK(!trace_is_exact("network miners=2\n"));
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct history history = {0};
        struct check check = {0};
        char why[256] = "";
        CHECK(trace_is_exact(wrong[i].text));
        CHECK(!trace_play(wrong[i].text, &history, &check, why, sizeof why));
        CHECK_STR(why, wrong[i].why);
        history_done(&history);
    }
}

/* ---- the shrinker ---- */

/* A bug that is none of the core's: that a task was cancelled. */
static void no_cancel(void *ctx, const struct stage *stage, const struct history_entry *entry, struct check *check)
{
    (void)ctx;
    (void)entry;
    for (uint32_t i = 0; i < stage->out.count; i++) {
        const struct event *e = &stage->out.event[i];
        if (e->type == EVENT_TASK_MOVED && e->task_moved.to == TASK_CANCELLED)
            check_fail(check, CHECKER_STATE, core_seq(stage->core), "a task was cancelled");
    }
}

TEST(small, a_history_shrinks_to_what_fails)
{
    const struct shrink_look look = {no_cancel, NULL};
    struct check check = {0}, found;
    struct shrink_report report;
    struct history small = {0};
    struct command last;
    struct tiny *t = busy_network(&check);
    CHECK(shrink(&t->history, &look, &small, &found, &report));
    CHECK(found.failed);
    CHECK_EQ(found.checker, CHECKER_STATE);
    CHECK_EQ(report.to, small.count);
    CHECK(report.from >= 60);
    CHECK(report.to <= 16);
    CHECK(history_decode(&small.entry[small.count - 1], &last));
    CHECK_EQ(last.type, COMMAND_TASK_CANCEL);
    /* As a trace it still fails for who looks, and is well for who does not. */
    struct buf text = {0};
    struct history again = {0};
    struct check played = {0};
    char why[256] = "";
    trace_write(&small, "", &text);
    CHECK(trace_play(text.data, &again, &played, why, sizeof why));
    CHECK(!played.failed);
    shrink_play(&again, &look, &found);
    CHECK(found.failed);
    history_done(&again);
    history_done(&small);
    buf_done(&text);
    tiny_close(t);
}

TEST(small, what_is_well_is_not_shrunk)
{
    struct check check = {0}, found;
    struct shrink_report report;
    struct history small = {0};
    struct tiny *t = busy_network(&check);
    CHECK(!shrink(&t->history, NULL, &small, &found, &report));
    tiny_close(t);
}

static void breaks(void *ctx, const struct stage *stage, const struct history_entry *entry, struct check *check)
{
    (void)ctx;
    (void)entry;
    (void)check;
    struct network_view network;
    view_network(stage->core, &network);
    if (network.tasks_live > 0)
        cx_assert_failed("no task lives", "somewhere", 1);
}

TEST(small, an_assertion_is_a_failure_too)
{
    const struct shrink_look look = {breaks, NULL};
    struct check check = {0}, found;
    struct tiny *t = busy_network(&check);
    shrink_play(&t->history, &look, &found);
    CHECK(found.failed);
    CHECK_EQ(found.checker, CHECKER_CORE_CHECK);
    CHECK_STR(found.text, "somewhere:1: assertion failed: no task lives");
    tiny_close(t);
}

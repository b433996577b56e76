/* The checkers of a whole network, each told a lie: by a router about the ledger, by a router to a client, by a stream
 * about itself. */
#include "crypto/keccak.h"
#include "lib/bench.h"
#include "sim/check_world_parts.h"
#include "sim/reply.h"

static struct sim world;

static struct checks *checks(void)
{
    memset(&world, 0, sizeof world);
    struct checks *c = test_keep(calloc(1, sizeof *c));
    c->sim = &world;
    c->out =
        (struct event_list){test_keep(calloc(EVENTS_PER_COMMAND_MAX, sizeof(struct event))), EVENTS_PER_COMMAND_MAX, 0};
    return c;
}

static void caught_by(enum checker checker)
{
    if (!world.check.failed)
        test_fail(__FILE__, __LINE__, "nobody noticed");
    CHECK_STR(checker_name(world.check.checker), checker_name(checker));
}

static void all_is_well(void)
{
    if (world.check.failed)
        test_fail(__FILE__, __LINE__, "%s: %s", checker_name(world.check.checker), world.check.text);
}

/* ---- the ledger, by routers ---- */

struct router_says {
    const struct network *n;
    struct checks *checks;
    struct core *core;
    uint64_t lie_seq;
    void (*lie)(struct replica_moment *moment);
    bool replaying;
};

static void says_all(struct router_says *r)
{
    static struct event event[EVENTS_PER_COMMAND_MAX];
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    size_t size = core_size(&r->n->genesis);
    r->core = core_open(test_keep(aligned_alloc(16, (size + 15) / 16 * 16)), size, &r->n->genesis);
    for (uint32_t i = 0; i < r->n->entry_count && !world.check.failed; i++) {
        const struct network_entry *e = &r->n->entry[i];
        const uint8_t *signature;
        struct command cmd;
        memset(&cmd, 0, sizeof cmd);
        CHECK(command_decode((struct span){e->bytes, e->size}, &cmd, &signature));
        for (uint32_t k = 0; k < cmd.signer_count; k++)
            memcpy(cmd.signer[k].b, signature + k * 65, sizeof cmd.signer[k].b);
        cmd.time_ms = e->time_ms;
        cmd.author = e->author;
        enum verdict verdict = core_apply(r->core, (struct span){e->bytes, e->size}, &cmd, &out);
        struct replica_moment moment = {.seq = i + 1,
                                        .time_ms = e->time_ms,
                                        .now_ms = core_now_ms(r->core),
                                        .author = e->author,
                                        .entry = {e->bytes, e->size},
                                        .command = &cmd,
                                        .verdict = verdict,
                                        .core = r->core,
                                        .replaying = r->replaying};
        if (r->lie && i + 1 == r->lie_seq)
            r->lie(&moment);
        shadow_entry(r->checks, 0, &moment);
        if (e->batch_end)
            core_batch_end(r->core);
    }
}

static struct network *network_with_a_task(void)
{
    static const char *const text[] = {"hello"};
    struct bench b = bench_open(NULL, 1, NULL);
    bench_answer(&b, bench_submit(&b), text);
    network_batch_end(b.n);
    return b.n;
}

static void refuse(struct replica_moment *m) { m->verdict = VERDICT_TASKS_FULL; }
static void skip_one(struct replica_moment *m) { m->seq++; }
static void another_author(struct replica_moment *m) { m->author.b[3] ^= 1; }

/* What the shadow has gathered of the entries that it was told. */
static void forget_entries(void *ctx)
{
    struct checks *c = ctx;
    for (uint32_t i = 0; i < c->entries; i++) {
        free(c->entry[i].bytes);
        free(c->entry[i].signer);
    }
    free(c->entry);
    free(c->task);
    free(c->core_memory);
    free(c->books_memory);
    free(c->second_memory);
}

static struct checks *ledger_checks(void)
{
    struct checks *c = checks();
    test_at_end(forget_entries, c);
    return c;
}

static struct checks *told_twice(void (*lie)(struct replica_moment *), uint64_t seq, bool second, bool replaying)
{
    struct checks *c = ledger_checks();
    struct router_says r = {.n = network_with_a_task(), .checks = c};
    if (!second) {
        r.lie = lie;
        r.lie_seq = seq;
    }
    says_all(&r);
    if (!second)
        return c;
    all_is_well();
    CHECK_EQ(c->entries, r.n->entry_count);
    r.lie = lie;
    r.lie_seq = seq;
    r.replaying = replaying;
    says_all(&r);
    return c;
}

TEST(sim_world, routers_that_agree_are_not_disturbed)
{
    struct checks *c = told_twice(NULL, 0, true, true);
    all_is_well();
    CHECK_EQ(c->tasks, 1);
    CHECK_EQ(c->task[0].state, TASK_COMPLETED);
    CHECK(world.check.looks[CHECKER_REPLAY] > 0);
    CHECK(world.check.looks[CHECKER_REPLICAS] > 0);
}
TEST(sim_world, replicas_differ_in_a_verdict)
{
    told_twice(refuse, 20, false, false);
    caught_by(CHECKER_REPLICAS);
}
TEST(sim_world, an_entry_is_left_out)
{
    told_twice(skip_one, 20, false, false);
    caught_by(CHECKER_REPLICAS);
}
TEST(sim_world, a_replay_says_otherwise)
{
    told_twice(refuse, 21, true, true);
    caught_by(CHECKER_REPLAY);
}
TEST(sim_world, another_entry_stands_where_one_was_applied)
{
    told_twice(another_author, 21, true, true);
    caught_by(CHECKER_DURABLE);
}
TEST(sim_world, a_router_comes_back_with_less)
{
    struct checks *c = told_twice(NULL, 0, true, true);
    shadow_router_opens(c, 0, c->entries);
    all_is_well();
    shadow_router_opens(c, 0, c->entries - 1);
    caught_by(CHECKER_DURABLE);
}
TEST(sim_world, a_state_differs_at_the_end)
{
    struct checks *c = ledger_checks();
    struct router_says r = {.n = network_with_a_task(), .checks = c};
    says_all(&r);
    core_batch_end(c->core);
    shadow_compare(c, r.core, CHECKER_REPLICAS, "a router");
    all_is_well();
    struct address user = test_address('U', 1);
    r.core->account.account[account_find(&r.core->account, &user)].nonce_top++;
    shadow_compare(c, r.core, CHECKER_REPLICAS, "a router");
    caught_by(CHECKER_REPLICAS);
}
TEST(sim_world, a_snapshot_goes_on_as_the_core_it_was_made_from)
{
    struct checks *c = ledger_checks();
    struct network *n = network_with_a_task();
    struct router_says r = {.n = n, .checks = c};
    uint32_t all = n->entry_count;
    n->entry_count = all / 2;
    says_all(&r);
    shadow_snapshot(c);
    n->entry_count = all;
    says_all(&r);
    all_is_well();
    core_batch_end(c->core);
    core_batch_end(c->second);
    shadow_compare(c, c->second, CHECKER_REPLAY, "a snapshot");
    all_is_well();
}

/* ---- clients ---- */

#define TASK    0x100000001ull
#define SESSION 0x100000002ull

/* A task that was answered with "good day", and one that expired; the client's reference named the first. */
static struct checks *two_tasks(void)
{
    struct checks *c = checks();
    c->entries = 50;
    c->tasks = 2;
    c->task = test_keep(calloc(2, sizeof *c->task));
    c->task[0] = (struct task_record){.task = TASK,
                                      .session = SESSION,
                                      .answer = 5,
                                      .state = TASK_COMPLETED,
                                      .ended_seq = 40,
                                      .payer = test_address('U', 1),
                                      .reference = test_hash('r', 1),
                                      .charged = amount_of(12),
                                      .tokens_in = 3,
                                      .tokens_out = 2,
                                      .reveals = 1};
    c->task[0].revealed[0].lease = 5;
    c->task[0].revealed[0].finish = FINISH_STOP;
    keccak256("good day", 8, &c->task[0].revealed[0].text_digest);
    c->task[1] = (struct task_record){.task = TASK + 1,
                                      .session = SESSION,
                                      .state = TASK_EXPIRED,
                                      .cause = CAUSE_TIMEOUT,
                                      .ended_seq = 45,
                                      .payer = test_address('U', 1)};
    return c;
}

static struct told good_day(enum told_end end)
{
    return (struct told){.payer = test_address('U', 1),
                         .reference = test_hash('r', 1),
                         .stream = end == TOLD_STREAM,
                         .end = end,
                         .status = 200,
                         .finish = "stop",
                         .text = "good day",
                         .text_size = 8,
                         .task = TASK,
                         .session = SESSION,
                         .seq = 40,
                         .has_usage = true,
                         .tokens_in = 3,
                         .tokens_out = 2,
                         .charged = amount_of(12),
                         .prompt = 1};
}

static void tell(struct told told) { told_check(two_tasks(), &told); }

TEST(sim_world, a_true_answer_is_believed)
{
    tell(good_day(TOLD_WHOLE));
    all_is_well();
    tell(good_day(TOLD_STREAM));
    all_is_well();
}
TEST(sim_world, another_text_is_told)
{
    struct told t = good_day(TOLD_WHOLE);
    t.text = "good bye";
    tell(t);
    caught_by(CHECKER_OUTCOME);
}
TEST(sim_world, a_stream_ends_well_with_another_text)
{
    struct told t = good_day(TOLD_STREAM);
    t.text_size = 4;
    tell(t);
    caught_by(CHECKER_STREAM);
}
TEST(sim_world, an_answer_is_told_before_its_entry)
{
    struct told t = good_day(TOLD_WHOLE);
    t.seq = 51;
    tell(t);
    caught_by(CHECKER_DURABLE);
}
TEST(sim_world, an_answer_is_told_of_a_task_without_one)
{
    struct told t = good_day(TOLD_WHOLE);
    t.task = TASK + 1;
    t.reference = (struct hash){0};
    tell(t);
    caught_by(CHECKER_DURABLE);
}
TEST(sim_world, a_reference_gets_another_task)
{
    struct told t = good_day(TOLD_WHOLE);
    t.reference = test_hash('r', 2);
    tell(t);
    caught_by(CHECKER_OUTCOME);
}
TEST(sim_world, another_sum_is_told)
{
    struct told t = good_day(TOLD_WHOLE);
    t.charged = amount_of(11);
    tell(t);
    caught_by(CHECKER_OUTCOME);
}
TEST(sim_world, other_tokens_are_told)
{
    struct told t = good_day(TOLD_WHOLE);
    t.tokens_out++;
    tell(t);
    caught_by(CHECKER_OUTCOME);
}
TEST(sim_world, an_answer_without_a_position_is_told)
{
    struct told t = good_day(TOLD_WHOLE);
    t.seq = 0;
    tell(t);
    caught_by(CHECKER_API);
}
TEST(sim_world, a_receipt_that_is_none_is_told)
{
    struct told t = good_day(TOLD_WHOLE);
    t.prompt = 8;
    json_t *none = json_object();
    t.receipt = none;
    tell(t);
    json_decref(none);
    caught_by(CHECKER_RECEIPT);
}

static struct told error(uint64_t task, const char *code, unsigned status)
{
    struct told t = {.payer = test_address('U', 1), .end = TOLD_ERROR, .status = status, .task = task};
    if (task == TASK)
        t.reference = test_hash('r', 1);
    snprintf(t.code, sizeof t.code, "%s", code);
    return t;
}
TEST(sim_world, a_true_error_is_believed)
{
    tell(error(TASK + 1, "TOO_SLOW", 504));
    all_is_well();
    tell(error(0, "BALANCE_SHORT", 402));
    all_is_well();
}
TEST(sim_world, an_error_is_told_of_an_answered_task)
{
    tell(error(TASK, "TOO_SLOW", 504));
    caught_by(CHECKER_OUTCOME);
}
TEST(sim_world, an_error_is_told_for_another_cause)
{
    tell(error(TASK + 1, "POISON", 422));
    caught_by(CHECKER_OUTCOME);
}
TEST(sim_world, an_error_is_told_of_no_task)
{
    tell(error(TASK + 9, "TOO_SLOW", 504));
    caught_by(CHECKER_OUTCOME);
}
TEST(sim_world, our_fault_is_told)
{
    tell(error(0, "ROUTER_FAILED", 500));
    caught_by(CHECKER_API);
}
TEST(sim_world, a_stream_is_told_as_replaced_and_is_not)
{
    struct told t = error(TASK + 1, "answer_replaced", 200);
    t.end = TOLD_STREAM_ERROR;
    tell(t);
    caught_by(CHECKER_STREAM);
}

/* ---- what comes over the wire ---- */

#define CHUNK(id, text) \
    "id: " id "\ndata: {\"choices\":[{\"index\":0,\"text\":\"" text "\",\"finish_reason\":null}]}\n\n"
#define LAST(id) "id: " id "\ndata: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n"
#define DONE     "data: [DONE]\n\n"
/* Bytes of text so far, and their sum. */
#define ID_0       "0-811c9dc5"
#define ID_ONE     "3-ba2719ef"
#define ID_ONE_TWO "7-42c28241"

/* Read byte by byte; "" where nothing is wrong. */
static const char *wrong_with(const char *stream)
{
    static char why[160];
    struct reply r;
    reply_init(&r);
    reply_head(&r, 200, "text/event-stream; charset=utf-8");
    for (const char *at = stream; *at; at++)
        reply_body(&r, at, 1);
    reply_end(&r, true);
    CHECK_EQ(r.told.end == TOLD_BROKEN, r.why[0] != 0);
    snprintf(why, sizeof why, "%s", r.why);
    reply_done(&r);
    return why;
}

TEST(sim_world, a_stream_that_ends_once_is_read)
{
    CHECK_STR(wrong_with(CHUNK(ID_ONE, "one") CHUNK(ID_ONE_TWO, " two") LAST(ID_ONE_TWO) DONE), "");
    CHECK_STR(
        wrong_with(CHUNK(ID_ONE, "one") "data: {\"error\":{\"code\":\"c\",\"message\":\"m\",\"type\":\"t\"}}\n\n"), "");
}
TEST(sim_world, a_stream_that_lies_of_itself_is_noticed)
{
    CHECK_STR(wrong_with(CHUNK(ID_ONE, "one")), "a stream ended without its end");
    CHECK_STR(wrong_with(CHUNK(ID_ONE, "one") DONE), "[DONE] without a finish reason");
    CHECK_STR(wrong_with(CHUNK(ID_ONE, "one") LAST(ID_ONE) DONE DONE), "an event behind the end of the stream: [DONE]");
    CHECK_STR(wrong_with(LAST(ID_0) CHUNK(ID_ONE, "one") DONE), "text or a finish behind the finish");
    CHECK_STR(wrong_with(CHUNK("4", "one") DONE), "an event's id is 4, and it should be " ID_ONE);
    CHECK_STR(wrong_with(CHUNK("3-12345678", "one") DONE), "an event's id is 3-12345678, and it should be " ID_ONE);
    CHECK_STR(wrong_with(CHUNK(ID_ONE, "one") LAST(ID_ONE) DONE "data: x"), "a stream ended within an event");
    CHECK_STR(wrong_with("data: {\"error\":{\"code\":\"c\"}}\n\n"), "an error without code, message or type");
    CHECK_STR(wrong_with("data: {\n\n"), "what came is no JSON: {");
}
TEST(sim_world, a_stream_that_is_cut_is_no_lie)
{
    struct reply r;
    reply_init(&r);
    reply_head(&r, 200, "text/event-stream");
    reply_body(&r, CHUNK(ID_ONE, "one"), sizeof CHUNK(ID_ONE, "one") - 1);
    reply_end(&r, false);
    CHECK_EQ(r.told.end, TOLD_CUT);
    CHECK_EQ(r.told.text_size, 3);
    reply_done(&r);
}

/* ---- nodes ---- */

TEST(sim_world, an_honest_miner_is_cut_off)
{
    struct checks *c = checks();
    struct event e = {.type = EVENT_NODE_DETACHED};
    c->honest[0] = test_address('M', 1);
    e.node_detached.node = test_address('M', 2);
    e.node_detached.reason = DETACH_PROTOCOL;
    nodes_watch(c, &e);
    all_is_well();
    e.node_detached.node = test_address('M', 1);
    nodes_watch(c, &e);
    caught_by(CHECKER_BAD_BYTES);
}
TEST(sim_world, the_honest_who_are_condemned_are_counted)
{
    struct checks *c = checks();
    struct event e = {.type = EVENT_NODE_MOVED};
    c->honest[0] = test_address('M', 1);
    world.swarm.oracle_quorum = 1;
    e.node_moved.node = test_address('M', 1);
    e.node_moved.to = NODE_BANNED;
    nodes_watch(c, &e);
    CHECK_EQ(world.check.honest_condemned, 1);
    world.swarm.adversary[ADVERSARY_LYING_ORACLE] = 1;  // as many as decide: then nobody is safe
    nodes_watch(c, &e);
    CHECK_EQ(world.check.honest_condemned, 1);
}
TEST(sim_world, the_bound_on_the_condemned_is_binomial)
{
    CHECK(check_honest_bound(0, 0));
    CHECK(check_honest_bound(1000000, 0));
    CHECK(check_honest_bound(10000, 1));     // one chance in a thousand
    CHECK(!check_honest_bound(10000, 2));    // one in two million
    CHECK(!check_honest_bound(10, 1));       // one in a million
    CHECK(check_honest_bound(10000000, 1));  // as expected
    CHECK(!check_honest_bound(10000000, 12));
}

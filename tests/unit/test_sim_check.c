/* The checkers of the core, each told one lie: a history that is true but for one thing, which the checker that it
 * concerns must notice, by its name. The true history passes. */
#include "lib/bench.h"
#include "sim/check_core.h"

/* One entry as a liar may change it before the checkers see it. */
struct tale {
    const struct network *n;
    struct core *core;
    uint64_t seq;
    struct command cmd;
    enum verdict verdict;
    struct event_list out;
    bool told;        // the lie was told
    uint64_t number;  // for the liar to remember something
};
typedef void liar(struct tale *t);

/* ---- a history with something of everything ---- */

static void always_audited(struct cmd_session_open *s) { s->audit_bp = 10000; }

static void audit_all(struct bench *b)
{
    struct audit_view a;
    network_wait(b->n, 12000);
    for (uint32_t at = 0; view_audit_at(b->n->core, &at, &a);) {
        struct command ask = {.type = COMMAND_AUDIT_ASK, .signer_count = 1, .signer = {a.oracle}, .audit_ask = {a.id}};
        struct command judge = {.type = COMMAND_AUDIT_VERDICT, .signer_count = 1, .signer = {a.oracle}};
        judge.audit_verdict = (struct cmd_audit_verdict){.audit = a.id, .finding = FINDING_FLAG};
        CHECK_EQ(a.state, AUDIT_DRAWN);
        CHECK_EQ(network_append(b->n, &ask), VERDICT_ACCEPTED);
        CHECK_EQ(network_append(b->n, &judge), VERDICT_ACCEPTED);
    }
}

static struct network *history(void)
{
    static const char *const same[] = {"hello there", "hello there"};
    struct network_options o = {.oracles = 2, .routers = 2, .users = 2, .miners = 4};
    struct bench b = bench_open(&o, 2, always_audited);
    bench_answer(&b, bench_submit(&b), same);
    audit_all(&b);
    uint64_t task = bench_submit(&b);
    bench_all(&b, task, COMMAND_TASK_ACK);
    bench_must(&b, COMMAND_TASK_STREAMS, bench_nth(&b, task, 0));
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_all(&b, task, COMMAND_TASK_COMMIT);
    network_wait(b.n, 5000);
    struct command cmd = {.type = COMMAND_WITHDRAW};
    cmd.withdraw = (struct cmd_withdraw){test_address('U', 1), amount_of(5)};
    network_must(b.n, &cmd);
    bench_submit(&b);
    return b.n;
}

/* ---- telling it again ---- */

static void *room(size_t size) { return test_keep(aligned_alloc(16, (size + 15) / 16 * 16)); }

static bool decode(const struct network_entry *e, struct command *ret_cmd)
{
    const uint8_t *signature;
    memset(ret_cmd, 0, sizeof *ret_cmd);
    if (!command_decode((struct span){e->bytes, e->size}, ret_cmd, &signature))
        return false;
    for (uint32_t i = 0; i < ret_cmd->signer_count; i++)
        memcpy(ret_cmd->signer[i].b, signature + i * 65, sizeof ret_cmd->signer[i].b);
    ret_cmd->time_ms = e->time_ms;
    ret_cmd->author = e->author;
    return true;
}

/* Applies the whole history; gives what the checkers found. */
static struct check tell(const struct network *n, liar *lie)
{
    static struct event event[EVENTS_PER_COMMAND_MAX];
    size_t size = core_size(&n->genesis), books_size = check_core_size(&n->genesis);
    struct tale t = {.n = n, .out = {event, EVENTS_PER_COMMAND_MAX, 0}};
    struct check check = {0};
    t.core = core_open(room(size), size, &n->genesis);
    struct check_core *books = check_core_open(room(books_size), books_size, &n->genesis);
    CHECK(t.core && books);
    for (uint32_t i = 0; i < n->entry_count && !check.failed; i++) {
        const struct network_entry *e = &n->entry[i];
        struct span bytes = {e->bytes, e->size};
        CHECK(decode(e, &t.cmd));
        t.seq = i + 1;
        t.verdict = core_apply(t.core, bytes, &t.cmd, &t.out);
        if (lie)
            lie(&t);
        check_core_entry(books, &(struct check_entry){t.seq, bytes, &t.cmd, t.verdict, &t.out}, t.core, &check);
        if (e->batch_end)
            core_batch_end(t.core);
    }
    if (!check.failed)
        check_core_whole(books, t.core, &check);
    if (lie)
        CHECK(t.told);
    return check;
}

static void caught(liar *lie, enum checker by)
{
    struct check check = tell(history(), lie);
    if (!check.failed)
        test_fail(__FILE__, __LINE__, "nobody noticed");
    if (check.checker != by)
        test_fail(__FILE__, __LINE__, "%s noticed at %" PRIu64 ": %s", checker_name(check.checker), check.seq,
                  check.text);
}

/* The first event of that type, once; NULL: not in this entry, or the lie was told. */
static struct event *first(struct tale *t, enum event_type type)
{
    for (uint32_t i = 0; !t->told && i < t->out.count; i++)
        if (t->out.event[i].type == type)
            return &t->out.event[i];
    return NULL;
}

static void remove_event(struct tale *t, struct event *e)
{
    uint32_t at = (uint32_t)(e - t->out.event);
    memmove(e, e + 1, (t->out.count - at - 1) * sizeof *e);
    t->out.count--;
    t->told = true;
}

TEST(sim_check, a_true_history_passes_and_every_checker_looked)
{
    struct check check = tell(history(), NULL);
    if (check.failed)
        test_fail(__FILE__, __LINE__, "%s at %" PRIu64 ": %s", checker_name(check.checker), check.seq, check.text);
    for (enum checker i = 0; i < CHECKER_CORE_COUNT; i++)
        if (check.looks[i] == 0)
            test_fail(__FILE__, __LINE__, "%s never looked", checker_name(i));
}

TEST(sim_check, checkers_are_found_by_name)
{
    for (enum checker i = 0; i < CHECKER_COUNT; i++)
        CHECK_EQ(checker_find(checker_name(i)), i);
    CHECK_EQ(checker_find("no such checker"), CHECKER_COUNT);
}

TEST(sim_check, the_first_failure_is_kept)
{
    struct check check = {0};
    check_fail(&check, CHECKER_MONEY, 7, "%d is missing", 3);
    check_fail(&check, CHECKER_CLOCK, 8, "late");
    CHECK_EQ(check.checker, CHECKER_MONEY);
    CHECK_EQ(check.seq, 7);
    CHECK_STR(check.text, "3 is missing");
    CHECK_EQ(check.failures, 2);
}

/* ---- the lies, in the order of the checkers ---- */

static void skip_a_time(struct tale *t)
{
    if (t->seq != 20)
        return;
    t->cmd.time_ms += 1;
    t->told = true;
}
TEST(sim_check, clock)
{
    caught(skip_a_time, CHECKER_CLOCK);
}

static void refuse_in_words(struct tale *t)
{
    if (!first(t, EVENT_TASK_CREATED))
        return;
    t->verdict = VERDICT_TASKS_FULL;
    t->told = true;
}
TEST(sim_check, effect)
{
    caught(refuse_in_words, CHECKER_EFFECT);
}

static void accept_for_nothing(struct tale *t)
{
    if (t->told || t->cmd.type != COMMAND_TASK_ACK || t->verdict != VERDICT_ACCEPTED)
        return;
    t->out.count = 0;
    t->told = true;
}
TEST(sim_check, effect_of_a_lease)
{
    caught(accept_for_nothing, CHECKER_EFFECT);
}

static void jump(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_MOVED);
    if (!e || e->task_moved.to != TASK_ACKED)
        return;
    e->task_moved.to = TASK_COMMITTED;
    t->told = true;
}
TEST(sim_check, task_record)
{
    caught(jump, CHECKER_TASK_RECORD);
}

static void lease_again(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_OFFERED);
    if (!e)
        return;
    if (t->number == 0) {
        t->number = e->task_offered.lease;
        return;
    }
    e->task_offered.lease = t->number;
    t->told = true;
}
TEST(sim_check, assignment_record)
{
    caught(lease_again, CHECKER_ASSIGNMENT_RECORD);
}

static void into_two_sessions(struct tale *t)
{
    struct event *e = first(t, EVENT_SESSION_NODE_RESERVED);
    if (!e || t->out.count < 4)
        return;
    for (struct event *other = e + 1; other < t->out.event + t->out.count; other++)
        if (other->type == EVENT_SESSION_NODE_RESERVED) {
            other->session_node_reserved.node = e->session_node_reserved.node;
            t->told = true;
            return;
        }
}
TEST(sim_check, node_record)
{
    caught(into_two_sessions, CHECKER_NODE_RECORD);
}

static void too_few_nodes(struct tale *t)
{
    struct event *e = first(t, EVENT_SESSION_NODE_RESERVED);
    if (e)
        remove_event(t, e);
}
TEST(sim_check, session_record)
{
    caught(too_few_nodes, CHECKER_SESSION_RECORD);
}

static void end_a_round_at_once(struct tale *t)
{
    struct event *e = first(t, EVENT_ROUND_MOVED);
    if (!e || e->round_moved.to != ROUND_PREPARED)
        return;
    e->round_moved.to = ROUND_ENDED;
    t->told = true;
}
TEST(sim_check, round_record)
{
    caught(end_a_round_at_once, CHECKER_ROUND_RECORD);
}

static void turn_a_verdict(struct tale *t)
{
    struct event *e = first(t, EVENT_AUDIT_MOVED);
    if (!e || e->audit_moved.to != AUDIT_DECIDED)
        return;
    e->audit_moved.finding = FINDING_PASS;
    t->told = true;
}
TEST(sim_check, audit_record)
{
    caught(turn_a_verdict, CHECKER_AUDIT_RECORD);
}

static void another_answer(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_ANSWER);
    if (!e)
        return;
    for (uint32_t i = 0; i < t->out.count; i++)
        if (t->out.event[i].type == EVENT_ASSIGNMENT_MOVED &&
            t->out.event[i].assignment_moved.lease != e->task_answer.lease) {
            e->task_answer.lease = t->out.event[i].assignment_moved.lease;
            t->told = true;
        }
}
TEST(sim_check, one_answer)
{
    caught(another_answer, CHECKER_ONE_ANSWER);
}

static void unsalt(struct tale *t)
{
    if (t->told || t->cmd.type != COMMAND_TASK_COMMIT)
        return;
    t->cmd.task_commit.salt.b[7] ^= 1;
    t->told = true;
}
TEST(sim_check, reveal)
{
    caught(unsalt, CHECKER_REVEAL);
}

static void not_yet_all(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_ALL_PRECOMMITTED);
    if (e)
        remove_event(t, e);
}
TEST(sim_check, reveal_order)
{
    caught(not_yet_all, CHECKER_REVEAL_ORDER);
}

static void untested(struct tale *t)
{
    struct event *e = first(t, EVENT_ROUND_RESULT);
    if (e)
        remove_event(t, e);
}
TEST(sim_check, tested)
{
    caught(untested, CHECKER_TESTED);
}

static void a_millisecond_more(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_CREATED);
    if (!e)
        return;
    e->task_created.deadline_ms++;
    t->told = true;
}
TEST(sim_check, deadlines)
{
    caught(a_millisecond_more, CHECKER_DEADLINES);
}

static void wait_behind_the_answer(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_MOVED);
    while (e && e < t->out.event + t->out.count && !(e->type == EVENT_TASK_MOVED && e->task_moved.to == TASK_VALIDATED))
        e++;
    if (!e || e == t->out.event + t->out.count)
        return;
    t->out.count = (uint32_t)(e - t->out.event);
    t->told = true;
}
TEST(sim_check, audit_gates)
{
    caught(wait_behind_the_answer, CHECKER_AUDIT_GATES);
}

static void forgive(struct tale *t)
{
    struct event *e = first(t, EVENT_AUDIT_SETTLED);
    if (!e || e->audit_settled.score_milli == 0)
        return;
    e->audit_settled.score_milli -= 1;
    t->told = true;
}
TEST(sim_check, sequential_test)
{
    caught(forgive, CHECKER_SEQUENTIAL_TEST);
}

static void choose_the_seed(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_OFFERED);
    if (!e)
        return;
    e->task_offered.seed = 7;
    t->told = true;
}
TEST(sim_check, dice)
{
    caught(choose_the_seed, CHECKER_DICE);
}

static void choose_the_beacon(struct tale *t)
{
    struct event *e = first(t, EVENT_BEACON);
    if (!e || t->seq < 20)
        return;
    e->beacon.value.b[0] ^= 1;
    t->told = true;
}
TEST(sim_check, dice_of_the_beacon)
{
    caught(choose_the_beacon, CHECKER_DICE);
}

static void lead_out_of_turn(struct tale *t)
{
    struct event *e = first(t, EVENT_LEADER_CHANGED);
    if (!e)
        return;
    struct address one = test_address('O', 1), two = test_address('O', 2);
    e->leader_changed.leader = address_eq(&e->leader_changed.leader, &one) ? two : one;
    t->told = true;
}
TEST(sim_check, leader)
{
    caught(lead_out_of_turn, CHECKER_LEADER);
}

static void steal(struct tale *t)
{
    if (t->told || t->seq + 1 < t->n->entry_count)
        return;
    struct address user = test_address('U', 2);
    t->core->account.account[account_find(&t->core->account, &user)].balance = AMOUNT_ZERO;
    t->told = true;
}

/* Only the comparison of everything sees accounts that no event touched; and the core's own check would abort first. */
TEST_ABORTS(sim_check, money_that_only_the_core_moves) { caught(steal, CHECKER_MONEY); }

static void pocket(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_PAID);
    if (e && e->task_paid.lease == 0)
        remove_event(t, e);
    else if (e)
        for (uint32_t i = 0; i < t->out.count; i++)
            if (t->out.event[i].type == EVENT_TASK_PAID && t->out.event[i].task_paid.lease == 0) {
                remove_event(t, &t->out.event[i]);
                return;
            }
}
TEST(sim_check, money)
{
    caught(pocket, CHECKER_MONEY);
}

static void pay_more(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_PAID);
    if (!e)
        return;
    e->task_paid.amount = amount_of(e->task_paid.amount.credits == 1 ? 2 : 1);
    t->told = true;
}
TEST(sim_check, pay)
{
    caught(pay_more, CHECKER_PAY);
}

static void pay_twice(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_PAID);
    if (!e || t->out.count + 1 > t->out.cap)
        return;
    uint32_t at = (uint32_t)(e - t->out.event);
    memmove(e + 1, e, (t->out.count - at) * sizeof *e);
    t->out.count++;
    t->told = true;
}
TEST(sim_check, pay_twice_for_one_answer)
{
    caught(pay_twice, CHECKER_PAY);
}

static void forget_to_wake(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_MOVED);
    if (!e || e->task_moved.to != TASK_ASSIGNED || t->cmd.type != COMMAND_TASK_SUBMIT)
        return;
    t->out.count = (uint32_t)(e - t->out.event);
    t->told = true;
}
TEST(sim_check, wake_up)
{
    caught(forget_to_wake, CHECKER_WAKE_UP);
}

static void forget_a_reference(struct tale *t)
{
    struct event *e = first(t, EVENT_TASK_CREATED);
    static struct hash before;
    if (!e)
        return;
    if (t->number++ == 0) {
        before = e->task_created.reference;
        return;
    }
    t->cmd.task_submit.reference = e->task_created.reference = before;
    t->told = true;
}
TEST(sim_check, references)
{
    caught(forget_a_reference, CHECKER_REFERENCES);
}

/* The last task lives on: the core shows of it that it streams, and no entry said so. */
static void stream_unsaid(struct tale *t)
{
    struct task_view v;
    uint32_t at = 0;
    if (t->seq < t->n->entry_count)
        return;
    CHECK(view_task_at(t->core, &at, &v));
    t->core->session_queue.task[(uint32_t)v.id].flags ^= TASK_STREAMED;
    t->told = true;
}
TEST(sim_check, state)
{
    caught(stream_unsaid, CHECKER_STATE);
}

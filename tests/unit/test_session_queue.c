/* Submitting, waiting and being assigned: docs/protocol.md, "Commands of tasks" and "Phases". */
#include "lib/bench.h"

/* ---- what a submit is refused for, in the order of the protocol ---- */

static void check_refused(struct bench *b, const struct command *cmd, enum verdict verdict)
{
    uint64_t task = 0;
    uint32_t live = b->n->core->session_queue.tasks.live;
    struct command copy = *cmd;
    network_sign(b->n, &copy);
    CHECK_STR(verdict_name(session_queue_check_submit(&b->n->core->session_queue, &copy, &task)),
              verdict_name(verdict));
    CHECK_STR(verdict_name(bench_do(b, cmd)), verdict_name(verdict));
    CHECK_EQ(b->n->core->session_queue.tasks.live, live);
}

TEST(session_queue, submit_refuses_values_outside_the_protocol)
{
    struct bench b = bench_open(NULL, 1, NULL);
    struct command good = bench_submission(&b), bad[9];
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        bad[i] = good;
    bad[0].task_submit.priority = PRIORITIES;
    bad[1].task_submit.priority = PRIORITY_DEFAULT - 1;
    bad[2].task_submit.stream = 2;
    bad[3].task_submit.greedy = 2;
    bad[4].task_submit.seed_of_client = 2;
    bad[5].task_submit.request_digest = (struct hash){{0}};
    bad[6].task_submit.prompt_digest = (struct hash){{0}};
    bad[7].task_submit.prompt = (struct span){(const uint8_t *)"hi", 2};  // prompt_size says otherwise
    bad[8].task_submit.prompt = (struct span){(const uint8_t *)"hi", 2};
    bad[8].task_submit.prompt_size = 3;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        check_refused(&b, &bad[i], VERDICT_VALUE_INVALID);
    good.task_submit.prompt = (struct span){(const uint8_t *)"hi", 2};
    good.task_submit.prompt_size = 2;
    good.task_submit.prompt_digest = (struct hash){{0}};
    CHECK_EQ(bench_do(&b, &good), VERDICT_ACCEPTED);
    bench_close(&b);
}

TEST(session_queue, submit_refuses_unknown_session_payer_and_key)
{
    struct bench b = bench_open(NULL, 1, NULL);
    struct command cmd = bench_submission(&b);
    cmd.task_submit.session += 1ull << 32;
    check_refused(&b, &cmd, VERDICT_SESSION_UNKNOWN);
    cmd = bench_submission(&b);
    cmd.task_submit.key_hash = test_hash('k', 1);
    check_refused(&b, &cmd, VERDICT_KEY_UNKNOWN);
    bench_close(&b);
}

static void for_members(struct cmd_session_open *s)
{
    static struct address member;
    member = test_address('U', 1);
    s->access = ACCESS_MEMBERS;
    s->members = (struct span){member.b, sizeof member.b};
}

static void for_everybody(struct cmd_session_open *s)
{
    s->pays = PAYS_PAYER;
    s->escrow = AMOUNT_ZERO;
}

TEST(session_queue, submit_refuses_who_is_no_member)
{
    struct bench b = bench_open(NULL, 1, for_members);
    struct command cmd = bench_submission(&b);
    cmd.task_submit.payer = test_address('U', 2);
    check_refused(&b, &cmd, VERDICT_SESSION_ACCESS);
    bench_close(&b);
}

TEST(session_queue, submit_refuses_prompts_and_answers_that_do_not_fit)
{
    struct bench b = bench_open(NULL, 1, NULL);
    struct model_view model;
    uint32_t at = 0;
    CHECK(view_model_at(b.n->core, &at, &model));
    struct command cmd = bench_submission(&b);
    cmd.task_submit.prompt_size = 0;
    check_refused(&b, &cmd, VERDICT_PROMPT_RANGE);
    cmd.task_submit.prompt_size = PROMPT_SIZE_MAX + 1;
    check_refused(&b, &cmd, VERDICT_PROMPT_RANGE);
    cmd = bench_submission(&b);
    cmd.task_submit.tokens_max = model.context - model.template_tokens;  // no room for one token of prompt
    check_refused(&b, &cmd, VERDICT_CONTEXT_EXCEEDED);
    cmd.task_submit.tokens_max--;
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    bench_close(&b);
}

static void poor(struct cmd_session_open *s) { s->escrow = amount_of(10); }

TEST(session_queue, submit_refuses_what_escrow_and_balance_do_not_cover)
{
    struct bench b = bench_open(NULL, 1, poor);
    struct command cmd = bench_submission(&b);
    check_refused(&b, &cmd, VERDICT_ESCROW_SHORT);
    bench_close(&b);

    b = bench_open(NULL, 1, for_everybody);
    struct command out = {.type = COMMAND_WITHDRAW};
    out.withdraw.account = test_address('U', 2);
    out.withdraw.amount = bench_balance(&b, 'U', 2);
    CHECK_EQ(bench_do(&b, &out), VERDICT_ACCEPTED);
    cmd = bench_submission(&b);
    cmd.task_submit.payer = test_address('U', 2);
    check_refused(&b, &cmd, VERDICT_BALANCE_SHORT);
    bench_close(&b);
}

TEST(session_queue, submit_refuses_restricted_payers)
{
    struct bench b = bench_open(NULL, 1, for_everybody);
    struct command cmd = {.type = COMMAND_ACCOUNT_RESTRICT};
    cmd.account_restrict.account = test_address('U', 2);
    cmd.account_restrict.restricted = 1;
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    cmd = bench_submission(&b);
    cmd.task_submit.payer = test_address('U', 2);
    check_refused(&b, &cmd, VERDICT_ACCOUNT_RESTRICTED);
    bench_close(&b);
}

static void loose(struct cmd_session_open *s) { s->tasks_in_flight_max = 3; }

TEST(session_queue, submit_refuses_more_in_flight_than_the_session_takes)
{
    struct bench b = bench_open(NULL, 1, loose);
    for (int i = 0; i < 3; i++)
        bench_submit(&b);
    struct command cmd = bench_submission(&b);
    check_refused(&b, &cmd, VERDICT_IN_FLIGHT_LIMIT);
    bench_close(&b);
}

TEST(session_queue, a_full_queue_and_full_references_are_verdicts)
{
    struct network_options o = {.miners = 2, .set = {{12, 16}, {14, 16}}, .set_count = 2};
    struct bench b = bench_open(&o, 1, NULL);
    for (int i = 0; i < 16; i++)
        bench_submit(&b);
    struct command cmd = bench_submission(&b);
    check_refused(&b, &cmd, VERDICT_TASKS_FULL);
    for (uint32_t at = 0, done = 0; done < 4; done++) {
        struct task_view t;
        CHECK(view_task_at(b.n->core, &at, &t));
        CHECK_EQ(bench_cancel(&b, t.id, 0), VERDICT_ACCEPTED);
    }
    bench_wait(&b, 6000);
    cmd = bench_submission(&b);
    check_refused(&b, &cmd, VERDICT_REFERENCES_FULL);
    cmd.task_submit.reference = (struct hash){{0}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    bench_close(&b);
}

/* ---- idempotency ---- */

TEST(session_queue, a_reference_names_one_task_of_its_payer_until_it_is_forgotten)
{
    struct network_options o = {.set = {{36, 20000}}, .set_count = 1};
    struct bench b = bench_open(&o, 1, for_everybody);
    struct command cmd = bench_submission(&b), other;
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    uint64_t task = b.n->core->last_task, found = 0;
    other = cmd;
    other.task_submit.prompt_size = 7;  // the reference alone decides
    check_refused(&b, &other, VERDICT_TASK_KNOWN);
    CHECK_EQ(b.n->core->last_task, task);
    CHECK_EQ(session_queue_check_submit(&b.n->core->session_queue, &other, &found), VERDICT_TASK_KNOWN);
    CHECK_EQ(found, task);

    other.task_submit.payer = test_address('U', 2);
    CHECK_EQ(bench_do(&b, &other), VERDICT_ACCEPTED);
    CHECK(b.n->core->last_task != task);

    static const char *const text[] = {"yes"};
    bench_answer(&b, task, text);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    bench_wait(&b, 19000);
    check_refused(&b, &cmd, VERDICT_TASK_KNOWN);
    struct reference_view r;
    CHECK(view_reference(b.n->core, &cmd.task_submit.payer, &cmd.task_submit.reference, &r));
    CHECK_EQ(r.task, task);
    CHECK(r.ended && r.state == TASK_COMPLETED);
    network_forget(b.n);
    bench_wait(&b, 2000);
    CHECK_EQ(network_event(b.n, EVENT_REFERENCE_FORGOTTEN)->reference_forgotten.task, task);
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    bench_close(&b);
}

/* ---- being assigned ---- */

TEST(session_queue, a_task_is_assigned_in_the_entry_of_its_submit)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), lease[REDUNDANCY_MAX];
    CHECK_EQ(bench_state(&b, task), TASK_ASSIGNED);
    CHECK(bench_task_moved(&b, task, TASK_QUEUED, TASK_ASSIGNED, CAUSE_NONE));
    CHECK_EQ(network_events(b.n, EVENT_TASK_OFFERED), 3);
    CHECK_EQ(network_events(b.n, EVENT_SESSION_SELECTED), 1);
    CHECK_EQ(network_events(b.n, EVENT_TASK_CREATED), 1);
    CHECK_EQ(bench_leases(&b, task, lease), 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct assignment_view a = bench_assignment(&b, lease[i]);
        CHECK_EQ(a.state, ASSIGNMENT_OFFERED);
        CHECK_EQ(lease[i] % 2, 1);
        for (uint32_t k = 0; k < i; k++) {
            struct assignment_view before = bench_assignment(&b, lease[k]);
            CHECK(!address_eq(&a.node, &before.node));
            CHECK(a.seed != before.seed);
        }
    }
    bench_close(&b);
}

TEST(session_queue, a_clients_own_seed_is_every_leases_seed)
{
    struct bench b = bench_open(NULL, 2, NULL);
    struct command cmd = bench_submission(&b);
    cmd.task_submit.seed_of_client = 1;
    cmd.task_submit.seed = 42;
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(bench_assignment(&b, bench_nth(&b, b.n->core->last_task, 0)).seed, 42);
    CHECK_EQ(bench_assignment(&b, bench_nth(&b, b.n->core->last_task, 1)).seed, 42);
    bench_close(&b);
}

TEST(session_queue, leases_only_grow_and_never_come_again)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t last = 0;
    for (int i = 0; i < 20; i++) {
        uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
        CHECK(lease > last);
        last = lease;
        CHECK_EQ(bench_decline(&b, lease, DECLINE_BUSY), VERDICT_ACCEPTED);
        CHECK_EQ(bench_lease(&b, COMMAND_TASK_ACK, lease), VERDICT_LEASE_STALE);
        CHECK_EQ(bench_cancel(&b, task, 0), VERDICT_ACCEPTED);
    }
    bench_close(&b);
}

TEST(session_queue, work_goes_to_the_least_loaded)
{
    struct network_options o = {.miners = 4, .slots = 3};
    struct bench b = bench_open(&o, 1, NULL);
    uint32_t tasks_of[5] = {0};
    for (int i = 0; i < 8; i++) {
        struct assignment_view a = bench_assignment(&b, bench_nth(&b, bench_submit(&b), 0));
        for (uint32_t m = 1; m <= 4; m++) {
            struct address miner = test_address('M', m);
            tasks_of[m] += address_eq(&a.node, &miner);
        }
    }
    for (uint32_t m = 1; m <= 4; m++)
        CHECK_EQ(tasks_of[m], 2);
    bench_close(&b);
}

TEST(session_queue, a_task_waits_until_as_many_members_are_free_as_it_needs)
{
    struct network_options o = {.miners = 3, .slots = 1};
    struct bench b = bench_open(&o, 2, NULL);
    uint64_t first = bench_submit(&b), second = bench_submit(&b);
    CHECK_EQ(bench_state(&b, first), TASK_ASSIGNED);
    CHECK_EQ(bench_state(&b, second), TASK_QUEUED);
    CHECK_EQ(bench_view(&b, second).position, 1);
    static const char *const text[] = {"a", "a"};
    bench_answer(&b, first, text);
    CHECK_EQ(bench_state(&b, second), TASK_ASSIGNED);
    bench_close(&b);
}

static uint64_t submit_with(struct bench *b, uint8_t priority)
{
    struct command cmd = bench_submission(b);
    cmd.task_submit.priority = priority;
    CHECK_EQ(bench_do(b, &cmd), VERDICT_ACCEPTED);
    return b->n->core->last_task;
}

static void patient(struct cmd_session_open *s) { s->total_ms = s->ack_ms = 3600000; }

/* One miner that declines nothing and acks nothing; freeing it shows who is next. */
static uint64_t next_assigned(struct bench *b, uint64_t *running)
{
    struct task_view t;
    CHECK_EQ(bench_cancel(b, *running, 0), VERDICT_ACCEPTED);
    for (uint32_t at = 0; view_task_at(b->n->core, &at, &t);)
        if (t.state == TASK_ASSIGNED)
            return *running = t.id;
    return 0;
}

TEST(session_queue, lanes_are_by_priority_and_first_come_first_served_within)
{
    struct network_options o = {.miners = 1, .slots = 1};
    struct bench b = bench_open(&o, 1, patient);
    uint64_t running = submit_with(&b, 5);
    uint64_t low = submit_with(&b, 1), middle = submit_with(&b, 5), later = submit_with(&b, 5),
             high = submit_with(&b, 9);
    CHECK_EQ(next_assigned(&b, &running), high);
    CHECK_EQ(next_assigned(&b, &running), middle);
    CHECK_EQ(next_assigned(&b, &running), later);
    CHECK_EQ(next_assigned(&b, &running), low);
    CHECK_EQ(next_assigned(&b, &running), 0);
    bench_close(&b);
}

TEST(session_queue, waiting_outweighs_priority_in_the_end)
{
    struct network_options o = {.miners = 1, .slots = 1};
    struct bench b = bench_open(&o, 1, patient);
    uint64_t age_step_ms = view_params(b.n->core)->age_step_ms;
    uint64_t running = submit_with(&b, 5), low = submit_with(&b, 0);
    bench_wait(&b, 8 * age_step_ms);
    uint64_t eight = submit_with(&b, 8), nine = submit_with(&b, 9);
    CHECK_EQ(next_assigned(&b, &running), nine);   // nine steps against eight of waiting
    CHECK_EQ(next_assigned(&b, &running), eight);  // eight against eight: the higher priority
    bench_wait(&b, age_step_ms);
    uint64_t again = submit_with(&b, 8);
    CHECK_EQ(next_assigned(&b, &running), low);  // nine of waiting against eight
    CHECK_EQ(next_assigned(&b, &running), again);
    bench_close(&b);
}

TEST(session_queue, a_full_table_of_assignments_lets_tasks_wait)
{
    struct network_options o = {.miners = 8, .slots = 8, .set = {{13, 16}}, .set_count = 1};
    struct bench b = bench_open(&o, 4, patient);
    uint64_t task[5];
    for (int i = 0; i < 5; i++)
        task[i] = bench_submit(&b);
    CHECK_EQ(bench_state(&b, task[3]), TASK_ASSIGNED);
    CHECK_EQ(bench_state(&b, task[4]), TASK_QUEUED);
    CHECK_EQ(bench_cancel(&b, task[0], 0), VERDICT_ACCEPTED);
    network_settle(b.n);
    CHECK_EQ(bench_state(&b, task[4]), TASK_ASSIGNED);
    bench_close(&b);
}

/* ---- the router ---- */

TEST(session_queue, tasks_of_a_silent_router_hold_up_nobody_and_are_adopted)
{
    struct network_options o = {.routers = 2, .miners = 1, .slots = 1};
    struct bench b = bench_open(&o, 1, patient);
    uint64_t running = submit_with(&b, 5);
    struct command cmd = bench_submission(&b);
    cmd.author = test_address('R', 2);
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    uint64_t theirs = b.n->core->last_task, ours = submit_with(&b, 5);
    struct command adopt = {.type = COMMAND_TASK_ADOPT, .task_adopt = {theirs}};
    CHECK_EQ(bench_do(&b, &adopt), VERDICT_ROUTER_PRESENT);
    b.n->hushed_router[1] = true;
    bench_wait(&b, 30000);
    CHECK_EQ(next_assigned(&b, &running), ours);
    CHECK_EQ(bench_view(&b, theirs).position, 0);
    CHECK_EQ(bench_do(&b, &adopt), VERDICT_ACCEPTED);
    CHECK_EQ(next_assigned(&b, &running), theirs);
    struct address router = test_address('R', 1), now = bench_view(&b, theirs).router;
    CHECK(address_eq(&now, &router));
    bench_close(&b);
}

TEST(session_queue, tasks_of_a_silent_router_go_on_when_it_returns)
{
    struct network_options o = {.routers = 2, .miners = 1, .slots = 1};
    struct bench b = bench_open(&o, 1, patient);
    uint64_t running = submit_with(&b, 5);
    struct command cmd = bench_submission(&b);
    cmd.author = test_address('R', 2);
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    uint64_t theirs = b.n->core->last_task;
    b.n->hushed_router[1] = true;
    bench_wait(&b, 30000);
    CHECK_EQ(next_assigned(&b, &running), 0);
    b.n->hushed_router[1] = false;
    bench_wait(&b, 10000);
    CHECK_EQ(bench_state(&b, theirs), TASK_ASSIGNED);
    bench_close(&b);
}

TEST(session_queue, adopting_a_running_task_begins_it_again_and_forgives_the_attempt)
{
    struct network_options o = {.routers = 2, .miners = 2};
    struct bench b = bench_open(&o, 1, patient);
    struct command cmd = bench_submission(&b);
    cmd.author = test_address('R', 2);
    network_forget(b.n);
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    uint64_t task = b.n->core->last_task, lease = bench_nth(&b, task, 0);
    b.n->hushed_router[1] = true;
    bench_wait(&b, 30000);
    struct command adopt = {.type = COMMAND_TASK_ADOPT, .task_adopt = {task}};
    CHECK_EQ(bench_do(&b, &adopt), VERDICT_ACCEPTED);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_RECALLED, CAUSE_ROUTER_LOST));
    CHECK(bench_task_moved(&b, task, TASK_ASSIGNED, TASK_QUEUED, CAUSE_ROUTER_LOST));
    CHECK_EQ(bench_state(&b, task), TASK_ASSIGNED);
    CHECK_EQ(bench_view(&b, task).attempt, 2);
    CHECK_EQ(b.n->core->session_queue.task[(uint32_t)task].forgiven, 1);
    adopt.task_adopt.task += 1;
    CHECK_EQ(bench_do(&b, &adopt), VERDICT_TASK_UNKNOWN);
    bench_close(&b);
}

TEST(session_queue, only_the_tasks_own_router_speaks_for_its_leases)
{
    static const enum command_type type[] = {COMMAND_TASK_ACK,     COMMAND_TASK_DECLINE, COMMAND_TASK_COMMIT,
                                             COMMAND_TASK_PRIMARY, COMMAND_TASK_STREAMS, COMMAND_TASK_FAULT};
    struct network_options o = {.routers = 2};
    struct bench b = bench_open(&o, 1, NULL);
    uint64_t lease = bench_nth(&b, bench_submit(&b), 0);
    for (size_t i = 0; i < ARRAY_COUNT(type); i++) {
        struct command cmd = {.type = type[i], .author = test_address('R', 2)};
        cmd.task_ack.lease = lease;
        network_fill(b.n, &cmd);
        CHECK_EQ(bench_do(&b, &cmd), VERDICT_NOT_TASK_ROUTER);
    }
    struct command cmd = {.type = COMMAND_TASK_PRECOMMIT, .author = test_address('R', 2)};
    cmd.task_precommit.lease = lease;
    network_fill(b.n, &cmd);
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);  // signed by its node: any router may bring it
    bench_close(&b);
}

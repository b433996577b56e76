/* How tasks end: money, blame, the primary, cancelling, and sessions that end: docs/protocol.md, "Tasks". */
#include "core/session_queue_parts.h"
#include "lib/bench.h"

static const char *const same[REDUNDANCY_MAX] = {"a", "a", "a", "a", "a", "a", "a", "a",
                                                 "a", "a", "a", "a", "a", "a", "a"};

static void by_majority(struct cmd_session_open *s) { s->validation = VALIDATION_MAJORITY; }

/* ---- money ---- */

TEST(session_queue, an_answer_is_charged_exactly_and_the_rest_comes_back)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, NULL);
    struct session_view before, after;
    CHECK(view_session(b.n->core, b.session, &before));
    struct amount operator_before = bench_balance(&b, 'N', 1), router_before = bench_balance(&b, 'Q', 1);
    uint64_t task = bench_submit(&b);
    static const char *const text[] = {"forty characters of text, and four more."};
    bench_answer(&b, task, text);
    /* 10 tokens in at 500,000 and 11 out at 1,000,000 credits a million: 16; fees of 2 % on top, rounded up: 1 each. */
    const struct evt_task_answer *answer = &network_event(b.n, EVENT_TASK_ANSWER)->task_answer;
    CHECK_EQ(answer->tokens_in, 10);
    CHECK_EQ(answer->tokens_out, 11);
    CHECK_EQ(bench_balance(&b, 'N', 1).credits, operator_before.credits + 16);
    CHECK_EQ(bench_balance(&b, 'Q', 1).credits, router_before.credits + 1);
    CHECK_EQ(network_event(b.n, EVENT_TASK_REFUNDED)->task_refunded.charged.credits, 18);
    CHECK(view_session(b.n->core, b.session, &after));
    CHECK_EQ(before.escrow.credits - after.escrow.credits, 18);
    bench_close(&b);
}

TEST(session_queue, usage_is_clipped_to_prompt_and_text)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    struct network_answer *answer = network_answer(b.n, lease, "abc");
    struct assignment_view a = bench_assignment(&b, lease);
    struct record record;
    CHECK(record_decode((struct span){answer->record, answer->record_size}, &record));
    record.tokens_in = 1000000;
    record.tokens_out = 64;
    record_encode(&record, answer->record, sizeof answer->record);
    precommit_hash(&(struct precommit_terms){NETWORK_ID, a.session, a.task, lease, a.node, answer->salt},
                   (struct span){answer->record, answer->record_size}, &answer->precommit);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    bench_must(&b, COMMAND_TASK_COMMIT, lease);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    const struct evt_task_answer *e = &network_event(b.n, EVENT_TASK_ANSWER)->task_answer;
    CHECK_EQ(e->tokens_in, 100 + 16);
    CHECK_EQ(e->tokens_out, 3 + 1);
    bench_close(&b);
}

static void audited(struct cmd_session_open *s) { s->audit_bp = 10000; }

TEST(session_queue, pay_of_an_audited_answer_is_pending)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, audited);
    struct amount before = bench_balance(&b, 'N', 1);
    uint64_t task = bench_submit(&b);
    bench_answer(&b, task, same);
    const struct evt_task_paid *e = &network_event(b.n, EVENT_TASK_PAID)->task_paid;
    CHECK_EQ(e->lease, 0);  // the last one is a fee
    CHECK_EQ(bench_balance(&b, 'N', 1).credits, before.credits);
    CHECK(!amount_is_zero(b.n->core->payment.total.pending));
    bench_close(&b);
}

/* ---- decisions ---- */

TEST(session_queue, who_is_outvoted_is_rejected_unpaid_and_blamed)
{
    struct bench b = bench_open(NULL, 3, by_majority);
    uint64_t task = bench_submit(&b), odd = bench_nth(&b, task, 0), even = bench_nth(&b, task, 1);
    struct address node = bench_assignment(&b, odd).node;
    static const char *const text[] = {"lies", "truth", "truth"};
    bench_answer(&b, task, text);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    CHECK(bench_moved(&b, odd, ASSIGNMENT_COMMITTED, ASSIGNMENT_REJECTED, CAUSE_OUTVOTED));
    CHECK(bench_moved(&b, even, ASSIGNMENT_COMMITTED, ASSIGNMENT_ACCEPTED, CAUSE_NONE));
    CHECK_EQ(network_event(b.n, EVENT_TASK_ANSWER)->task_answer.lease, even);  // the primary was outvoted
    CHECK_EQ(bench_node(&b, &node).count[COUNT_OUTVOTED], 1);
    for (uint32_t i = 0; i < b.n->seen_count; i++)
        CHECK(b.n->seen[i].type != EVENT_TASK_PAID || b.n->seen[i].task_paid.lease != odd);
    bench_close(&b);
}

TEST(session_queue, without_a_majority_the_attempt_fails_and_nobody_is_blamed)
{
    struct bench b = bench_open(NULL, 3, by_majority);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    static const char *const text[] = {"a", "b", "c"};
    bench_answer(&b, task, text);
    CHECK(bench_task_moved(&b, task, TASK_PRECOMMITTED, TASK_COMMITTED, CAUSE_NONE));
    CHECK(bench_task_moved(&b, task, TASK_COMMITTED, TASK_QUEUED, CAUSE_NO_VERDICT));
    CHECK(bench_moved(&b, lease, ASSIGNMENT_COMMITTED, ASSIGNMENT_RECALLED, CAUSE_NO_VERDICT));
    CHECK_EQ(bench_view(&b, task).attempt, 2);
    bench_answer(&b, task, text);
    bench_answer(&b, task, text);
    CHECK(bench_task_moved(&b, task, TASK_COMMITTED, TASK_FAILED, CAUSE_NO_VERDICT));
    CHECK_EQ(network_events(b.n, EVENT_TASK_PAID), 0);
    bench_close(&b);
}

/* ---- blame ---- */

static uint32_t level_of(struct bench *b, const struct address *node) { return bench_node(b, node).level; }

/* So many good answers that a level can fall. */
static void raise_levels(struct bench *b)
{
    for (int i = 0; i < 200; i++)
        bench_answer(b, bench_submit(b), same);
}

static void must(struct network *n, struct command cmd)
{
    network_fill(n, &cmd);
    network_must(n, &cmd);
}

/* One miner whose operator has put up so much. */
static struct bench with_stake(uint64_t credits)
{
    struct network *n = network_open(&(struct network_options){.oracles = 1, .users = 1});
    must(n, (struct command){.type = COMMAND_DEPOSIT, .deposit.account = test_address('N', 1)});
    struct command cmd = {.type = COMMAND_NODE_REGISTER, .node_register.node = test_address('M', 1)};
    network_fill(n, &cmd);
    cmd.node_register.stake = amount_of(credits);
    network_must(n, &cmd);
    must(n, (struct command){.type = COMMAND_NODE_MODEL_PUT, .node_model_put.node = test_address('M', 1)});
    network_attach(n, 1, 1);
    network_test_nodes(n);
    return bench_on(n, 1, NULL);
}

TEST(session_queue, withheld_and_wrong_cost_stake_and_level)
{
    struct bench b = with_stake(100000);
    struct address miner = test_address('M', 1);
    raise_levels(&b);
    uint32_t level = level_of(&b, &miner);
    CHECK(level > 1);

    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    bench_wait(&b, 3100);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_WITHHELD, CAUSE_WITHHELD));
    const struct evt_node_slashed *e = &network_event(b.n, EVENT_NODE_SLASHED)->node_slashed;
    CHECK_EQ(e->amount.credits, 10000);
    CHECK_EQ(e->lease, lease);
    CHECK_EQ(bench_node(&b, &miner).stake.credits, 90000);
    CHECK_EQ(level_of(&b, &miner), level - 1);

    lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    struct command cmd = {.type = COMMAND_TASK_COMMIT, .task_commit.lease = lease};
    network_fill(b.n, &cmd);
    cmd.task_commit.salt.b[0] ^= 1;
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(bench_node(&b, &miner).stake.credits, 81000);
    CHECK_EQ(level_of(&b, &miner), level - 2);
    bench_close(&b);
}

TEST(session_queue, mild_failures_are_blamed_when_the_task_has_ended)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, NULL);
    struct address miner = test_address('M', 1);
    raise_levels(&b);
    uint32_t level = level_of(&b, &miner);
    uint64_t task = bench_submit(&b);
    bench_must(&b, COMMAND_TASK_ACK, bench_nth(&b, task, 0));
    CHECK_EQ(bench_fault(&b, bench_nth(&b, task, 0), CAUSE_ENGINE), VERDICT_ACCEPTED);
    CHECK_EQ(level_of(&b, &miner), level);
    CHECK_EQ(bench_cancel(&b, task, 0), VERDICT_ACCEPTED);
    bench_wait(&b, 6000);
    CHECK_EQ(level_of(&b, &miner), level - 1);

    task = bench_submit(&b);
    CHECK_EQ(bench_decline(&b, bench_nth(&b, task, 0), DECLINE_BUSY), VERDICT_ACCEPTED);
    CHECK_EQ(bench_cancel(&b, task, 0), VERDICT_ACCEPTED);
    bench_wait(&b, 6000);
    CHECK_EQ(level_of(&b, &miner), level - 1);  // a decline is counted only
    CHECK_EQ(bench_node(&b, &miner).count[COUNT_DECLINED], 1);
    bench_close(&b);
}

TEST(session_queue, poison_blames_nobody)
{
    struct network_options o = {.miners = 3, .slots = 1};
    struct bench b = bench_open(&o, 1, NULL);
    for (int i = 0; i < 3; i++)
        raise_levels(&b);
    uint32_t level[4];
    for (uint32_t i = 1; i <= 3; i++)
        level[i] = level_of(&b, &(struct address[]){test_address('M', i)}[0]);
    uint64_t task = bench_submit(&b);
    for (int i = 0; i < 3; i++) {
        uint64_t lease = bench_nth(&b, task, 0);
        bench_must(&b, COMMAND_TASK_ACK, lease);
        CHECK_EQ(bench_fault(&b, lease, CAUSE_ENGINE), VERDICT_ACCEPTED);
    }
    CHECK_EQ(bench_state(&b, task), TASK_FAILED);
    for (uint32_t i = 1; i <= 3; i++)
        CHECK_EQ(level_of(&b, &(struct address[]){test_address('M', i)}[0]), level[i]);
    bench_close(&b);
}

/* ---- the primary ---- */

TEST(session_queue, the_first_to_ack_is_primary_until_another_is_named)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), lease[REDUNDANCY_MAX];
    bench_leases(&b, task, lease);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_PRIMARY, lease[0]), VERDICT_ASSIGNMENT_STATE);
    bench_must(&b, COMMAND_TASK_ACK, lease[1]);
    bench_must(&b, COMMAND_TASK_ACK, lease[0]);
    CHECK(bench_assignment(&b, lease[1]).primary);
    CHECK(!bench_assignment(&b, lease[0]).primary);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_STREAMS, lease[0]), VERDICT_ASSIGNMENT_STATE);
    bench_must(&b, COMMAND_TASK_PRIMARY, lease[0]);
    CHECK(bench_assignment(&b, lease[0]).primary);
    bench_must(&b, COMMAND_TASK_STREAMS, lease[0]);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_STREAMS, lease[0]), VERDICT_STREAM_STARTED);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_PRIMARY, lease[1]), VERDICT_STREAM_STARTED);
    bench_must(&b, COMMAND_TASK_ACK, lease[2]);
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_all(&b, task, COMMAND_TASK_COMMIT);
    CHECK_EQ(network_event(b.n, EVENT_TASK_ANSWER)->task_answer.lease, lease[0]);
    bench_close(&b);
}

TEST(session_queue, the_answer_is_the_primarys_though_others_have_lower_leases)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), last = bench_nth(&b, task, 2);
    bench_must(&b, COMMAND_TASK_ACK, last);
    bench_must(&b, COMMAND_TASK_ACK, bench_nth(&b, task, 0));
    bench_must(&b, COMMAND_TASK_ACK, bench_nth(&b, task, 1));
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_all(&b, task, COMMAND_TASK_COMMIT);
    CHECK_EQ(network_event(b.n, EVENT_TASK_ANSWER)->task_answer.lease, last);
    bench_close(&b);
}

TEST(session_queue, a_lost_primary_is_followed_unless_the_client_has_seen_tokens)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), lease[REDUNDANCY_MAX];
    bench_leases(&b, task, lease);
    bench_must(&b, COMMAND_TASK_ACK, lease[2]);
    bench_must(&b, COMMAND_TASK_ACK, lease[1]);
    bench_must(&b, COMMAND_TASK_ACK, lease[0]);
    CHECK_EQ(bench_fault(&b, lease[2], CAUSE_ENGINE), VERDICT_ACCEPTED);
    CHECK_EQ(network_event(b.n, EVENT_TASK_PRIMARY_IS)->task_primary_is.lease, lease[0]);
    bench_close(&b);

    b = bench_open(NULL, 3, NULL);
    task = bench_submit(&b);
    bench_all(&b, task, COMMAND_TASK_ACK);
    bench_must(&b, COMMAND_TASK_STREAMS, bench_nth(&b, task, 0));
    CHECK_EQ(bench_fault(&b, bench_nth(&b, task, 0), CAUSE_ENGINE), VERDICT_ACCEPTED);
    CHECK_EQ(network_event(b.n, EVENT_TASK_PRIMARY_IS)->task_primary_is.lease, 0);
    CHECK_EQ(bench_state(&b, task), TASK_ACKED);  // the task goes on
    bench_close(&b);
}

static void streamed_and_audited(struct cmd_session_open *s)
{
    s->audit_bp = 10000;
    s->stream = STREAM_AT_ONCE;
}

TEST(session_queue, agreement_with_a_streamed_primary_is_no_evidence)
{
    struct bench b = bench_open(NULL, 3, streamed_and_audited);
    uint64_t task = bench_submit(&b), primary = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_ACK, primary);
    bench_must(&b, COMMAND_TASK_STREAMS, primary);
    bench_must(&b, COMMAND_TASK_ACK, bench_nth(&b, task, 1));
    bench_must(&b, COMMAND_TASK_ACK, bench_nth(&b, task, 2));
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_all(&b, task, COMMAND_TASK_COMMIT);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    const struct validation *v = &b.n->core->validation;
    uint32_t count = 0;
    for (uint32_t i = v->waiting.head; i != SLOT_NONE; i = v->audit[i].next, count++)
        CHECK_EQ(v->audit[i].counts, v->audit[i].lease == primary);
    CHECK_EQ(count, 3);
    bench_close(&b);
}

/* ---- cancelling ---- */

TEST(session_queue, a_queued_task_is_cancelled_at_once)
{
    struct network_options o = {.miners = 1, .slots = 1};
    struct bench b = bench_open(&o, 1, NULL);
    bench_submit(&b);
    uint64_t task = bench_submit(&b);
    struct command cmd = {.type = COMMAND_TASK_CANCEL, .task_cancel = {test_address('U', 2), task, 0}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_NOT_AUTHORIZED);
    CHECK_EQ(bench_cancel(&b, task, 0), VERDICT_ACCEPTED);
    CHECK(bench_task_moved(&b, task, TASK_QUEUED, TASK_CANCELLED, CAUSE_CANCELLED));
    cmd = (struct command){.type = COMMAND_TASK_CANCEL, .task_cancel = {test_address('U', 1), task, 0}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_TASK_ENDED);
    cmd = (struct command){.type = COMMAND_TASK_CANCEL, .task_cancel = {test_address('U', 1), task + (1ull << 40), 0}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_TASK_UNKNOWN);
    bench_close(&b);
}

/* A record that says how far it got: its text so far. */
static void commit_cancelled(struct bench *b, uint64_t lease, uint32_t tokens, uint32_t relayed)
{
    struct network_answer *answer = network_answer(b->n, lease, "what there was of an answer so far");
    struct assignment_view a = bench_assignment(b, lease);
    struct record record;
    CHECK(record_decode((struct span){answer->record, answer->record_size}, &record));
    record.finish = FINISH_CANCELLED;
    record.tokens_out = tokens;
    record_encode(&record, answer->record, sizeof answer->record);
    precommit_hash(&(struct precommit_terms){NETWORK_ID, a.session, a.task, lease, a.node, answer->salt},
                   (struct span){answer->record, answer->record_size}, &answer->precommit);
    bench_must(b, COMMAND_TASK_PRECOMMIT, lease);
    struct command cmd = {.type = COMMAND_TASK_COMMIT, .task_commit.lease = lease};
    network_fill(b->n, &cmd);
    cmd.task_commit.relayed_tokens = relayed;
    cmd.task_commit.relayed_head = test_hash('h', 1);  // chunks were still on their way: it is not compared
    CHECK_EQ(bench_do(b, &cmd), VERDICT_ACCEPTED);
}

TEST(session_queue, a_cancelled_task_pays_what_was_relayed)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_ACK, lease);
    CHECK_EQ(bench_cancel(&b, task, 4), VERDICT_ACCEPTED);
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_ACKED, CAUSE_CANCELLED));
    CHECK_EQ(bench_state(&b, task), TASK_ACKED);
    CHECK_EQ(bench_cancel(&b, task, 4), VERDICT_ACCEPTED);  // again says nothing new
    commit_cancelled(&b, lease, 20, 4);
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_CANCELLED, CAUSE_CANCELLED));
    CHECK(bench_moved(&b, lease, ASSIGNMENT_COMMITTED, ASSIGNMENT_ACCEPTED, CAUSE_NONE));
    /* 10 tokens in at half a credit and 4 of 20 out at one: 9, and fees of 1 and 1. */
    CHECK_EQ(network_event(b.n, EVENT_TASK_REFUNDED)->task_refunded.charged.credits, 11);
    CHECK_EQ(network_events(b.n, EVENT_TASK_ANSWER), 0);
    bench_close(&b);
}

TEST(session_queue, a_cancelled_task_recalls_who_has_nothing_after_the_grace)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), lease[REDUNDANCY_MAX];
    bench_leases(&b, task, lease);
    bench_must(&b, COMMAND_TASK_ACK, lease[0]);
    bench_must(&b, COMMAND_TASK_ACK, lease[1]);
    CHECK_EQ(bench_cancel(&b, task, 2), VERDICT_ACCEPTED);
    CHECK(bench_moved(&b, lease[2], ASSIGNMENT_OFFERED, ASSIGNMENT_RECALLED, CAUSE_CANCELLED));
    commit_cancelled(&b, lease[0], 5, 2);  // no need to wait for the others
    CHECK_EQ(bench_state(&b, task), TASK_ASSIGNED);
    bench_wait(&b, 5100);
    CHECK(bench_moved(&b, lease[1], ASSIGNMENT_ACKED, ASSIGNMENT_RECALLED, CAUSE_CANCELLED));
    CHECK(bench_moved(&b, lease[0], ASSIGNMENT_COMMITTED, ASSIGNMENT_ACCEPTED, CAUSE_NONE));
    CHECK_EQ(bench_state(&b, task), TASK_CANCELLED);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_PRECOMMIT, lease[1]), VERDICT_LEASE_STALE);
    struct command adopt = {.type = COMMAND_TASK_ADOPT, .task_adopt = {task}};
    CHECK_EQ(bench_do(&b, &adopt), VERDICT_TASK_ENDED);
    bench_close(&b);
}

TEST(session_queue, a_cancelled_tasks_wrong_reveal_is_unpaid)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    CHECK_EQ(bench_cancel(&b, task, 4), VERDICT_ACCEPTED);
    struct command cmd = {.type = COMMAND_TASK_COMMIT, .task_commit.lease = lease};
    network_fill(b.n, &cmd);
    cmd.task_commit.salt.b[0] ^= 1;
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_REJECTED, CAUSE_WRONG));
    CHECK_EQ(bench_state(&b, task), TASK_CANCELLED);
    CHECK_EQ(network_event(b.n, EVENT_TASK_REFUNDED)->task_refunded.charged.credits, 0);
    bench_close(&b);
}

/* ---- sessions that end ---- */

TEST(session_queue, a_session_that_closes_cancels_what_waits_and_lets_the_rest_end)
{
    struct network_options o = {.miners = 1, .slots = 1};
    struct bench b = bench_open(&o, 1, NULL);
    uint64_t running = bench_submit(&b), waits = bench_submit(&b);
    struct command cmd = {.type = COMMAND_SESSION_CLOSE, .session_close = {test_address('U', 1), b.session}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    network_settle(b.n);
    CHECK(bench_task_moved(&b, waits, TASK_QUEUED, TASK_CANCELLED, CAUSE_SESSION_CLOSED));
    CHECK_EQ(bench_state(&b, running), TASK_ASSIGNED);
    cmd = bench_submission(&b);
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_SESSION_NOT_OPEN);
    bench_answer(&b, running, same);
    network_settle(b.n);
    CHECK(bench_task_moved(&b, running, TASK_VALIDATED, TASK_COMPLETED, CAUSE_NONE));
    struct session_view s;
    CHECK(!view_session(b.n->core, b.session, &s) || s.state == SESSION_CLOSED);
    bench_close(&b);
}

TEST(session_queue, a_drain_that_is_over_cancels_what_still_runs)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_ACK, lease);
    struct command cmd = {.type = COMMAND_SESSION_CLOSE, .session_close = {test_address('U', 1), b.session}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    bench_wait(&b, 9000);
    CHECK_EQ(bench_state(&b, task), TASK_ACKED);
    bench_wait(&b, 2000);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_ACKED, ASSIGNMENT_RECALLED, CAUSE_SESSION_CLOSED));
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_CANCELLED, CAUSE_SESSION_CLOSED));
    bench_close(&b);
}

TEST(session_queue, tasks_of_a_session_that_cannot_open_fail)
{
    struct network_options o = {.miners = 2, .users = 1, .untested = true, .oracles = 1};
    struct network *n = network_open(&o);
    n->hushed_oracle[0] = true;
    struct bench b = {.n = n};
    b.session = network_session(n, NULL);
    uint64_t task = bench_submit(&b);
    CHECK_EQ(bench_state(&b, task), TASK_QUEUED);
    bench_wait(&b, 31000);
    CHECK(bench_task_moved(&b, task, TASK_QUEUED, TASK_FAILED, CAUSE_NO_NODES));
    bench_close(&b);
}

/* ---- deadlines of tasks that ended ---- */

TEST(session_queue, keys_of_tasks_that_ended_are_few_and_go_to_the_next_tasks)
{
    enum { TASKS = 2 * DEAD_KEYS_MAX };
    struct network_options o = {.miners = 1, .slots = 1, .set = {{12, TASKS}}, .set_count = 1};  // tasks_cap
    struct bench b = bench_open(&o, 1, NULL);
    const struct heap *due = &b.n->core->session_queue.due;
    uint64_t task[TASKS];
    for (int i = 0; i < TASKS; i++)
        task[i] = bench_submit(&b);
    CHECK_EQ(due->count, TASKS);
    for (int i = 1; i < TASKS; i++)
        CHECK_EQ(bench_cancel(&b, task[i], 0), VERDICT_ACCEPTED);
    CHECK_EQ(due->count, 1 + DEAD_KEYS_MAX);

    for (int i = 1; i < TASKS; i++)
        task[i] = bench_submit(&b);
    CHECK_EQ(due->count, TASKS);
    for (int i = 1; i < TASKS; i++)
        CHECK_EQ(bench_cancel(&b, task[i], 0), VERDICT_ACCEPTED);
    bench_wait(&b, bench_view(&b, task[0]).deadline_ms);
    CHECK_EQ(bench_state(&b, task[0]), TASK_FAILED);
    CHECK_EQ(due->count, 0);
    bench_close(&b);
}

/* ---- snapshots ---- */

TEST(session_queue, comes_back_whole_from_a_snapshot_in_the_middle_of_everything)
{
    struct network_options o = {.miners = 6, .slots = 1};
    struct bench b = bench_open(&o, 2, NULL);
    uint64_t task[5];
    for (int i = 0; i < 5; i++)
        task[i] = bench_submit(&b);
    bench_all(&b, task[0], COMMAND_TASK_ACK);
    bench_all(&b, task[1], COMMAND_TASK_PRECOMMIT);
    bench_must(&b, COMMAND_TASK_COMMIT, bench_nth(&b, task[1], 0));
    CHECK_EQ(bench_decline(&b, bench_nth(&b, task[2], 0), DECLINE_BUSY), VERDICT_ACCEPTED);
    network_batch_end(b.n);

    uint64_t size = core_snapshot_size(b.n->core);
    uint8_t *bytes = malloc(size);
    CHECK(bytes && core_snapshot_write(b.n->core, bytes, size));
    size_t memory_size = core_size(&b.n->genesis);
    void *memory = aligned_alloc(16, (memory_size + 15) / 16 * 16);
    struct core *copy = core_open(memory, memory_size, &b.n->genesis);
    CHECK(copy && core_snapshot_read(copy, (struct span){bytes, (uint32_t)size}));
    core_check(copy);
    struct hash right, got;
    core_root(b.n->core, &right);
    core_root(copy, &got);
    CHECK_MEM(right.b, got.b, sizeof right.b);
    CHECK_EQ(core_next_tick_ms(copy), core_next_tick_ms(b.n->core));
    free(memory);
    free(bytes);
    bench_close(&b);
}

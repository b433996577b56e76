/* Each arrow of tasks and assignments, with its cause: docs/protocol.md, "Phases". */
#include "lib/bench.h"

static const char *const same[REDUNDANCY_MAX] = {"a", "a", "a", "a", "a", "a", "a", "a",
                                                 "a", "a", "a", "a", "a", "a", "a"};

/* ---- all goes well ---- */

TEST(session_queue, one_answer_goes_through_every_phase)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_ACK, lease);
    CHECK(bench_task_moved(&b, task, TASK_ASSIGNED, TASK_ACKED, CAUSE_NONE));
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_ACKED, CAUSE_NONE));
    CHECK_EQ(network_event(b.n, EVENT_TASK_PRIMARY_IS)->task_primary_is.lease, lease);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_PRECOMMITTED, CAUSE_NONE));
    CHECK(bench_moved(&b, lease, ASSIGNMENT_ACKED, ASSIGNMENT_PRECOMMITTED, CAUSE_NONE));
    CHECK_EQ(network_events(b.n, EVENT_TASK_ALL_PRECOMMITTED), 1);
    bench_must(&b, COMMAND_TASK_COMMIT, lease);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_COMMITTED, CAUSE_NONE));
    CHECK(bench_moved(&b, lease, ASSIGNMENT_COMMITTED, ASSIGNMENT_ACCEPTED, CAUSE_NONE));
    CHECK(bench_task_moved(&b, task, TASK_PRECOMMITTED, TASK_COMMITTED, CAUSE_NONE));
    CHECK(bench_task_moved(&b, task, TASK_COMMITTED, TASK_VALIDATED, CAUSE_NONE));
    CHECK(bench_task_moved(&b, task, TASK_VALIDATED, TASK_COMPLETED, CAUSE_NONE));
    CHECK_EQ(network_event(b.n, EVENT_TASK_ANSWER)->task_answer.lease, lease);
    CHECK_EQ(network_event(b.n, EVENT_TASK_REVEALED)->task_revealed.lease, lease);
    CHECK_EQ(b.n->seen[b.n->seen_count - 1].type, EVENT_TASK_MOVED);  // its last event
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_COMMIT, lease), VERDICT_LEASE_STALE);
    bench_close(&b);
}

TEST(session_queue, a_precommit_implies_the_ack)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_ACKED, CAUSE_NONE));
    CHECK(bench_moved(&b, lease, ASSIGNMENT_ACKED, ASSIGNMENT_PRECOMMITTED, CAUSE_NONE));
    CHECK_EQ(bench_state(&b, task), TASK_PRECOMMITTED);
    bench_must(&b, COMMAND_TASK_COMMIT, lease);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    bench_close(&b);
}

TEST(session_queue, three_answers_agree)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b);
    bench_answer(&b, task, same);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    CHECK_EQ(network_events(b.n, EVENT_TASK_REVEALED), 3);
    CHECK_EQ(network_events(b.n, EVENT_TASK_ANSWER), 1);
    bench_close(&b);
}

/* ---- acks ---- */

TEST(session_queue, who_declines_is_replaced)
{
    struct bench b = bench_open(NULL, 2, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    struct address declined = bench_assignment(&b, lease).node;
    CHECK_EQ(bench_decline(&b, lease, DECLINE_BUSY), VERDICT_ACCEPTED);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_DECLINED, CAUSE_DECLINED));
    CHECK_EQ(bench_state(&b, task), TASK_ASSIGNED);
    CHECK_EQ(bench_view(&b, task).live, 2);
    CHECK_EQ(bench_view(&b, task).attempt, 1);
    struct assignment_view replacement = bench_assignment(&b, bench_nth(&b, task, 1));
    CHECK(!address_eq(&replacement.node, &declined));
    CHECK_EQ(bench_decline(&b, lease, DECLINE_BUSY), VERDICT_LEASE_STALE);
    bench_close(&b);
}

TEST(session_queue, an_attempt_replaces_redundancy_many_and_goes_on_without_the_others)
{
    struct network_options o = {.miners = 9};
    struct bench b = bench_open(&o, 3, NULL);
    uint64_t task = bench_submit(&b);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(bench_decline(&b, bench_nth(&b, task, 0), DECLINE_DRAINING), VERDICT_ACCEPTED);
    CHECK_EQ(bench_view(&b, task).live, 3);
    CHECK_EQ(bench_decline(&b, bench_nth(&b, task, 0), DECLINE_DRAINING), VERDICT_ACCEPTED);
    CHECK_EQ(bench_view(&b, task).live, 2);  // quorum is 2
    bench_all(&b, task, COMMAND_TASK_ACK);
    CHECK_EQ(bench_state(&b, task), TASK_ACKED);
    bench_close(&b);
}

TEST(session_queue, who_is_silent_at_the_ack_deadline_is_replaced)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    bench_wait(&b, 1900);
    CHECK_EQ(bench_nth(&b, task, 0), lease);
    bench_wait(&b, 200);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_TIMED_OUT, CAUSE_SILENT));
    CHECK_EQ(bench_state(&b, task), TASK_ASSIGNED);
    CHECK_EQ(bench_view(&b, task).attempt, 1);
    bench_wait(&b, 1500);  // the replacement has its own window
    bench_must(&b, COMMAND_TASK_ACK, bench_nth(&b, task, 0));
    CHECK_EQ(bench_state(&b, task), TASK_ACKED);
    bench_close(&b);
}

TEST(session_queue, a_fault_ends_an_assignment_before_any_deadline)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    CHECK_EQ(bench_fault(&b, lease, CAUSE_WRONG), VERDICT_VALUE_INVALID);
    CHECK_EQ(bench_fault(&b, lease, CAUSE_SILENT), VERDICT_ACCEPTED);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_TIMED_OUT, CAUSE_SILENT));
    lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_ACK, lease);
    CHECK_EQ(bench_fault(&b, lease, CAUSE_ENGINE), VERDICT_ACCEPTED);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_ACKED, ASSIGNMENT_DECLINED, CAUSE_ENGINE));
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_QUEUED, CAUSE_ENGINE));
    lease = bench_nth(&b, task, 0);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    CHECK_EQ(bench_fault(&b, lease, CAUSE_ENGINE), VERDICT_ASSIGNMENT_STATE);  // it owes a reveal now
    bench_close(&b);
}

TEST(session_queue, nobody_joins_after_acked)
{
    struct network_options o = {.miners = 8};
    struct bench b = bench_open(&o, 3, NULL);
    uint64_t task = bench_submit(&b);
    bench_all(&b, task, COMMAND_TASK_ACK);
    CHECK_EQ(bench_fault(&b, bench_nth(&b, task, 0), CAUSE_ENGINE), VERDICT_ACCEPTED);
    CHECK_EQ(bench_view(&b, task).live, 2);
    CHECK_EQ(bench_state(&b, task), TASK_ACKED);
    CHECK_EQ(bench_fault(&b, bench_nth(&b, task, 0), CAUSE_ENGINE), VERDICT_ACCEPTED);
    CHECK_EQ(bench_view(&b, task).attempt, 2);  // live < quorum
    bench_close(&b);
}

TEST(session_queue, acks_declines_and_precommits_are_for_their_states)
{
    struct bench b = bench_open(NULL, 2, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0), other = bench_nth(&b, task, 1);
    CHECK_EQ(bench_decline(&b, lease, DECLINE_REASON_COUNT), VERDICT_VALUE_INVALID);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_COMMIT, lease), VERDICT_ASSIGNMENT_STATE);
    bench_must(&b, COMMAND_TASK_ACK, lease);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_ACK, lease), VERDICT_ASSIGNMENT_STATE);
    CHECK_EQ(bench_decline(&b, lease, DECLINE_BUSY), VERDICT_ASSIGNMENT_STATE);
    struct command cmd = {.type = COMMAND_TASK_PRECOMMIT, .task_precommit.lease = lease};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_VALUE_INVALID);  // of nothing
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);  // the same again
    cmd = (struct command){.type = COMMAND_TASK_PRECOMMIT, .task_precommit = {lease, test_hash('x', 1)}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_PRECOMMIT_KNOWN);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_COMMIT, lease), VERDICT_REVEAL_EARLY);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, other);
    bench_must(&b, COMMAND_TASK_COMMIT, lease);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_PRECOMMIT, lease), VERDICT_ASSIGNMENT_STATE);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_COMMIT, lease), VERDICT_ASSIGNMENT_STATE);
    bench_close(&b);
}

/* ---- deadlines of the later phases ---- */

TEST(session_queue, who_is_late_with_the_precommit_is_left_behind_where_a_quorum_is_not)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), late = bench_nth(&b, task, 2);
    bench_all(&b, task, COMMAND_TASK_ACK);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, bench_nth(&b, task, 0));
    bench_must(&b, COMMAND_TASK_PRECOMMIT, bench_nth(&b, task, 1));
    CHECK_EQ(bench_state(&b, task), TASK_ACKED);
    bench_wait(&b, 10000);
    CHECK(bench_moved(&b, late, ASSIGNMENT_ACKED, ASSIGNMENT_TIMED_OUT, CAUSE_LATE));
    CHECK_EQ(bench_state(&b, task), TASK_PRECOMMITTED);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_PRECOMMIT, late), VERDICT_LEASE_STALE);
    bench_all(&b, task, COMMAND_TASK_COMMIT);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    bench_close(&b);
}

TEST(session_queue, too_few_precommits_begin_the_next_attempt)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), lease[REDUNDANCY_MAX];
    bench_all(&b, task, COMMAND_TASK_ACK);
    bench_leases(&b, task, lease);
    uint64_t seed = bench_assignment(&b, lease[0]).seed;
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease[0]);
    bench_wait(&b, 10000);
    CHECK(bench_moved(&b, lease[1], ASSIGNMENT_ACKED, ASSIGNMENT_TIMED_OUT, CAUSE_LATE));
    CHECK(bench_moved(&b, lease[0], ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_RECALLED, CAUSE_SUPERSEDED));
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_QUEUED, CAUSE_LATE));
    CHECK_EQ(bench_state(&b, task), TASK_ASSIGNED);
    CHECK_EQ(bench_view(&b, task).attempt, 2);
    CHECK(bench_assignment(&b, bench_nth(&b, task, 0)).seed != seed);
    CHECK_EQ(bench_view(&b, task).causes[CAUSE_LATE], 2);
    bench_close(&b);
}

TEST(session_queue, a_precommit_without_a_reveal_is_withheld)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), withheld = bench_nth(&b, task, 2);
    bench_all(&b, task, COMMAND_TASK_ACK);
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_must(&b, COMMAND_TASK_COMMIT, bench_nth(&b, task, 0));
    bench_must(&b, COMMAND_TASK_COMMIT, bench_nth(&b, task, 1));
    CHECK_EQ(bench_state(&b, task), TASK_PRECOMMITTED);
    bench_wait(&b, 3000);
    CHECK(bench_moved(&b, withheld, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_WITHHELD, CAUSE_WITHHELD));
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    CHECK_EQ(bench_lease(&b, COMMAND_TASK_COMMIT, withheld), VERDICT_LEASE_STALE);
    bench_close(&b);
}

TEST(session_queue, too_few_reveals_begin_the_next_attempt)
{
    struct bench b = bench_open(NULL, 3, NULL);
    uint64_t task = bench_submit(&b), revealed = bench_nth(&b, task, 0);
    bench_all(&b, task, COMMAND_TASK_ACK);
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_must(&b, COMMAND_TASK_COMMIT, revealed);
    bench_wait(&b, 3000);
    CHECK(bench_moved(&b, revealed, ASSIGNMENT_COMMITTED, ASSIGNMENT_RECALLED, CAUSE_SUPERSEDED));
    CHECK(bench_task_moved(&b, task, TASK_PRECOMMITTED, TASK_QUEUED, CAUSE_WITHHELD));
    bench_close(&b);
}

/* The sweep does a bounded number of steps an entry, so a deadline may have passed without it. */
TEST(session_queue, a_command_at_its_deadline_is_too_late)
{
    struct bench b = bench_open(NULL, 1, NULL);
    struct session_queue *queue = &b.n->core->session_queue;
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    uint64_t deadline_ms = network_event(b.n, EVENT_TASK_OFFERED)->task_offered.deadline_ms;
    struct step *step = queue->step;
    struct event event[EVENTS_PER_STEP_MAX];
    struct event_list out = {event, EVENTS_PER_STEP_MAX, 0};
    step->out = &out;
    uint64_t now_ms = step->now_ms;
    step->now_ms = deadline_ms;
    CHECK_EQ(session_queue_ack(queue, &(struct cmd_task_ack){lease}), VERDICT_DEADLINE_PASSED);
    CHECK_EQ(session_queue_decline(queue, &(struct cmd_task_decline){lease, 0}), VERDICT_DEADLINE_PASSED);
    struct command precommit = {.type = COMMAND_TASK_PRECOMMIT, .task_precommit = {lease, test_hash('x', 1)}};
    CHECK_EQ(session_queue_precommit(queue, &precommit), VERDICT_DEADLINE_PASSED);
    step->now_ms = now_ms;
    bench_must(&b, COMMAND_TASK_ACK, lease);
    step->now_ms = now_ms + 10000;
    CHECK_EQ(session_queue_precommit(queue, &precommit), VERDICT_DEADLINE_PASSED);
    step->now_ms = now_ms;
    bench_must(&b, COMMAND_TASK_PRECOMMIT, lease);
    step->now_ms = now_ms + 3000;
    CHECK_EQ(session_queue_commit(queue, &(struct cmd_task_commit){.lease = lease}), VERDICT_DEADLINE_PASSED);
    CHECK_EQ(out.count, 0);
    bench_close(&b);
}

/* ---- reveals that are wrong ---- */

enum wrong {
    WRONG_SALT,
    WRONG_RECORD_SIZE,
    WRONG_RECORD_BITS,
    WRONG_MANIFEST,
    WRONG_SEED,
    WRONG_SEED_OWNER,
    WRONG_REQUEST,
    WRONG_TOKENS,
    WRONG_FINISH,
    WRONG_CHECKS,
    WRONG_HEAD,
    WRONG_COUNT
};

/* Precommits to a record that is wrong in this way and reveals it. */
static enum verdict reveal_wrong(struct bench *b, uint64_t lease, enum wrong wrong)
{
    struct network_answer *answer = network_answer(b->n, lease, "an answer");
    struct assignment_view a = bench_assignment(b, lease);
    struct record record;
    CHECK(record_decode((struct span){answer->record, answer->record_size}, &record));
    record.manifest_digest.b[0] ^= wrong == WRONG_MANIFEST;
    record.seed ^= wrong == WRONG_SEED;
    record.seed_of_client ^= wrong == WRONG_SEED_OWNER;
    record.request_digest.b[0] ^= wrong == WRONG_REQUEST;
    record.tokens_out = wrong == WRONG_TOKENS ? 65 : record.tokens_out;
    record.finish = wrong == WRONG_FINISH ? FINISH_CANCELLED : record.finish;
    record_encode(&record, answer->record, sizeof answer->record);
    answer->record[0] ^= wrong == WRONG_RECORD_BITS;
    answer->record_size += wrong == WRONG_RECORD_SIZE;
    precommit_hash(&(struct precommit_terms){NETWORK_ID, a.session, a.task, lease, a.node, answer->salt},
                   (struct span){answer->record, answer->record_size}, &answer->precommit);
    bench_must(b, COMMAND_TASK_PRECOMMIT, lease);

    struct command cmd = {.type = COMMAND_TASK_COMMIT, .task_commit.lease = lease};
    network_fill(b->n, &cmd);
    cmd.task_commit.salt.b[0] ^= wrong == WRONG_SALT;
    cmd.task_commit.checks_failed = wrong == WRONG_CHECKS ? CHECK_USAGE : 0;
    cmd.task_commit.relayed_head.b[0] ^= wrong == WRONG_HEAD;
    return bench_do(b, &cmd);
}

TEST(session_queue, a_reveal_that_does_not_match_or_fit_is_rejected_at_once)
{
    for (enum wrong wrong = 0; wrong < WRONG_COUNT; wrong++) {
        struct bench b = bench_open(NULL, 1, NULL);
        uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
        enum fail_cause cause = wrong == WRONG_HEAD ? CAUSE_STREAM_DIFFERS : CAUSE_WRONG;
        CHECK_EQ(reveal_wrong(&b, lease, wrong), VERDICT_ACCEPTED);
        CHECK(bench_moved(&b, lease, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_REJECTED, cause));
        CHECK(bench_task_moved(&b, task, TASK_PRECOMMITTED, TASK_QUEUED, cause));
        CHECK_EQ(bench_view(&b, task).causes[CAUSE_WRONG], 1);
        CHECK_EQ(network_events(b.n, EVENT_TASK_PAID), 0);
        bench_close(&b);
    }
}

TEST(session_queue, a_copied_precommit_cannot_be_revealed)
{
    struct bench b = bench_open(NULL, 2, NULL);
    uint64_t task = bench_submit(&b), honest = bench_nth(&b, task, 0), copier = bench_nth(&b, task, 1);
    struct network_answer *answer = network_answer(b.n, honest, "an answer");
    struct network_answer copied = *answer;
    copied.lease = copier;
    *network_answer(b.n, copier, "") = copied;
    bench_must(&b, COMMAND_TASK_PRECOMMIT, honest);
    bench_must(&b, COMMAND_TASK_PRECOMMIT, copier);
    bench_must(&b, COMMAND_TASK_COMMIT, honest);
    bench_must(&b, COMMAND_TASK_COMMIT, copier);
    CHECK(bench_moved(&b, copier, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_REJECTED, CAUSE_WRONG));
    bench_close(&b);
}

/* ---- attempts ---- */

TEST(session_queue, a_next_attempt_avoids_who_failed_while_others_exist)
{
    for (uint32_t round = 0; round < 5; round++) {
        struct network_options o = {.miners = 2 + round};
        struct bench b = bench_open(&o, 1, NULL);
        uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
        struct address failed = bench_assignment(&b, lease).node;
        bench_must(&b, COMMAND_TASK_ACK, lease);
        CHECK_EQ(bench_fault(&b, lease, CAUSE_ENGINE), VERDICT_ACCEPTED);
        struct assignment_view next = bench_assignment(&b, bench_nth(&b, task, 0));
        CHECK_EQ(next.attempt, 2);
        CHECK(!address_eq(&next.node, &failed));
        bench_close(&b);
    }
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, NULL);
    uint64_t task = bench_submit(&b);
    bench_must(&b, COMMAND_TASK_ACK, bench_nth(&b, task, 0));
    CHECK_EQ(bench_fault(&b, bench_nth(&b, task, 0), CAUSE_ENGINE), VERDICT_ACCEPTED);
    CHECK_EQ(bench_state(&b, task), TASK_ASSIGNED);  // there is no other
    bench_close(&b);
}

TEST(session_queue, attempts_are_used_up)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, NULL);
    uint64_t task = bench_submit(&b);
    for (int i = 0; i < 3; i++) {
        uint64_t lease = bench_nth(&b, task, 0);
        bench_must(&b, COMMAND_TASK_ACK, lease);
        CHECK_EQ(bench_fault(&b, lease, CAUSE_ENGINE), VERDICT_ACCEPTED);
    }
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_FAILED, CAUSE_ENGINE));
    const struct evt_task_refunded *e = &network_event(b.n, EVENT_TASK_REFUNDED)->task_refunded;
    CHECK_EQ(e->charged.credits, 0);
    CHECK(e->refunded.credits > 0);
    bench_close(&b);
}

TEST(session_queue, three_nodes_that_fail_without_blame_poison_the_task)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t task = bench_submit(&b);
    struct address node[3];
    for (int i = 0; i < 3; i++) {
        uint64_t lease = bench_nth(&b, task, 0);
        node[i] = bench_assignment(&b, lease).node;
        bench_must(&b, COMMAND_TASK_ACK, lease);
        CHECK_EQ(bench_fault(&b, lease, CAUSE_ENGINE), VERDICT_ACCEPTED);
    }
    CHECK(bench_task_moved(&b, task, TASK_ACKED, TASK_FAILED, CAUSE_POISON));
    for (int i = 0; i < 3; i++)
        CHECK_EQ(bench_node(&b, &node[i]).count[COUNT_ENGINE], 1);  // counted, and blamed on nobody
    bench_close(&b);
}

TEST(session_queue, three_of_many_do_not_poison_what_the_others_answer)
{
    struct network_options o = {.miners = 7};
    struct bench b = bench_open(&o, 7, NULL);
    uint64_t task = bench_submit(&b);
    bench_all(&b, task, COMMAND_TASK_ACK);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(bench_fault(&b, bench_nth(&b, task, 0), CAUSE_ENGINE), VERDICT_ACCEPTED);
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_all(&b, task, COMMAND_TASK_COMMIT);
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    bench_close(&b);
}

TEST(session_queue, a_prompt_that_two_operators_cannot_fetch_is_refunded)
{
    struct bench b = bench_open(NULL, 1, NULL);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    CHECK_EQ(bench_decline(&b, lease, DECLINE_PAYLOAD_MISSING), VERDICT_ACCEPTED);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_DECLINED, CAUSE_PAYLOAD_MISSING));
    CHECK_EQ(bench_decline(&b, bench_nth(&b, task, 0), DECLINE_PAYLOAD_MISSING), VERDICT_ACCEPTED);
    CHECK(bench_task_moved(&b, task, TASK_ASSIGNED, TASK_FAILED, CAUSE_PAYLOAD_MISSING));
    bench_close(&b);
}

/* ---- the whole task's deadline ---- */

static void hurried(struct cmd_session_open *s)
{
    s->total_ms = 5000;
    s->precommit_ms = s->commit_ms = s->ack_ms = 60000;
}

TEST(session_queue, a_task_expires_in_any_phase_and_blames_nobody)
{
    for (int phase = 0; phase < 4; phase++) {
        struct network_options o = {.miners = 2, .slots = 1};
        struct bench b = bench_open(&o, 2, hurried);
        if (phase == 0)
            bench_submit(&b);
        uint64_t task = bench_submit(&b);
        enum task_state from = phase == 0 ? TASK_QUEUED : TASK_ASSIGNED;
        if (phase >= 2) {
            bench_all(&b, task, COMMAND_TASK_ACK);
            from = TASK_ACKED;
        }
        if (phase >= 3) {
            bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
            from = TASK_PRECOMMITTED;
        }
        bench_wait(&b, 5100);
        CHECK(bench_task_moved(&b, task, from, TASK_EXPIRED, CAUSE_TIMEOUT));
        for (uint32_t i = 1; i <= 2; i++) {
            struct address miner = test_address('M', i);
            struct node_view node = bench_node(&b, &miner);
            CHECK_EQ(node.count[COUNT_WITHHELD] + node.count[COUNT_LATE] + node.count[COUNT_SILENT], 0);
        }
        bench_close(&b);
    }
}

TEST(session_queue, reveals_that_suffice_are_decided_at_the_tasks_deadline)
{
    struct bench b = bench_open(NULL, 3, hurried);
    uint64_t task = bench_submit(&b), missing = bench_nth(&b, task, 2);
    bench_all(&b, task, COMMAND_TASK_ACK);
    bench_all(&b, task, COMMAND_TASK_PRECOMMIT);
    bench_must(&b, COMMAND_TASK_COMMIT, bench_nth(&b, task, 0));
    bench_must(&b, COMMAND_TASK_COMMIT, bench_nth(&b, task, 1));
    bench_wait(&b, 5100);
    CHECK(bench_moved(&b, missing, ASSIGNMENT_PRECOMMITTED, ASSIGNMENT_RECALLED, CAUSE_TIMEOUT));
    CHECK_EQ(bench_state(&b, task), TASK_COMPLETED);
    bench_close(&b);
}

/* ---- who is lost ---- */

static void unhurried(struct cmd_session_open *s)
{
    s->total_ms = s->precommit_ms = s->commit_ms = s->ack_ms = 3600000;
}

TEST(session_queue, assignments_of_lost_nodes_are_recalled_and_nobody_is_blamed)
{
    struct network_options o = {.routers = 2, .miners = 6, .slots = 1};
    struct bench b = bench_open(&o, 3, unhurried);
    uint64_t task = bench_submit(&b), lease = bench_nth(&b, task, 0);
    struct address node = bench_assignment(&b, lease).node;
    for (uint32_t r = 1; r <= 2; r++) {
        struct node_view view = bench_node(&b, &node);
        struct command cmd = {.type = COMMAND_NODE_DETACH, .author = test_address('R', r)};
        cmd.node_detach.node = node;
        for (uint32_t i = 0; i < view.links; i++)
            if (address_eq(&view.link[i].router, &cmd.author))
                cmd.node_detach.link = view.link[i].link;
        CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    }
    bench_wait(&b, view_params(b.n->core)->node_absent_ms + 1000);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_RECALLED, CAUSE_NODE_LOST));
    CHECK_EQ(bench_view(&b, task).live, 3);  // replaced: it was still ASSIGNED
    CHECK_EQ(bench_view(&b, task).attempt, 1);
    bench_close(&b);
}

TEST(session_queue, deadlines_under_a_silent_router_blame_nobody)
{
    struct network_options o = {.routers = 2, .miners = 3};
    struct bench b = bench_open(&o, 1, NULL);
    struct command cmd = bench_submission(&b);
    cmd.author = test_address('R', 2);
    cmd.task_submit.timeout_ms = 50000;
    network_forget(b.n);
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    uint64_t task = b.n->core->last_task, lease = bench_nth(&b, task, 0);
    b.n->hushed_router[1] = true;
    network_unwatch(b.n);
    b.n->core->account.router[1].state = ROUTER_SILENT;  // as if it had been silent for long
    bench_wait(&b, 2100);
    CHECK(bench_moved(&b, lease, ASSIGNMENT_OFFERED, ASSIGNMENT_RECALLED, CAUSE_ROUTER_LOST));
    CHECK(bench_task_moved(&b, task, TASK_ASSIGNED, TASK_QUEUED, CAUSE_ROUTER_LOST));
    CHECK_EQ(bench_view(&b, task).position, 0);  // parked
    bench_wait(&b, 50000);
    CHECK(bench_task_moved(&b, task, TASK_QUEUED, TASK_EXPIRED, CAUSE_TIMEOUT));
    bench_close(&b);
}

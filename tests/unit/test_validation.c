/* Which answers stand, and what audits find of them: docs/protocol.md, "Validation" and "Audits". */
#include "core/validation.h"

#include "base/prng.h"
#include "lib/bench.h"

/* Answers by their texts: "aab" is three, of which two say the same. */
static uint32_t decide(enum validation_policy policy, uint32_t redundancy, const char *texts, char ret_accepted[16])
{
    struct answer answer[REDUNDANCY_MAX] = {0};
    uint32_t count = (uint32_t)strlen(texts);
    for (uint32_t i = 0; i < count; i++)
        answer[i].text_digest.b[31] = (uint8_t)texts[i];
    uint32_t accepted = validation_decide(policy, redundancy, answer, count);
    for (uint32_t i = 0; i < count; i++)
        ret_accepted[i] = answer[i].accepted ? 'y' : 'n';
    ret_accepted[count] = 0;
    return accepted;
}

TEST(validation, hash_lets_every_reveal_that_matched_stand)
{
    char accepted[16];
    CHECK_EQ(decide(VALIDATION_HASH, 3, "abc", accepted), 3);
    CHECK_STR(accepted, "yyy");
    CHECK_EQ(decide(VALIDATION_HASH, 1, "", accepted), 0);
}

TEST(validation, majority_is_of_redundancy_and_not_of_those_who_came)
{
    static const struct {
        uint32_t redundancy;
        const char *texts, *accepted;
    } cases[] = {
        {1, "a", "y"},       {2, "aa", "yy"},       {2, "ab", "nn"},       {2, "a", "n"},
        {3, "aab", "yyn"},   {3, "baa", "nyy"},     {3, "abc", "nnn"},     {3, "aa", "yy"},
        {3, "a", "n"},       {4, "aabb", "nnnn"},   {4, "aaab", "yyyn"},   {4, "aab", "nnn"},
        {5, "aabb", "nnnn"}, {5, "abaca", "ynyny"}, {5, "aaabb", "yyynn"}, {15, "aaaaaaabbbbbbbb", "nnnnnnnyyyyyyyy"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char accepted[16];
        uint32_t count = decide(VALIDATION_MAJORITY, cases[i].redundancy, cases[i].texts, accepted);
        uint32_t right = 0;
        CHECK_STR(accepted, cases[i].accepted);
        for (const char *c = cases[i].accepted; *c; c++)
            right += *c == 'y';
        CHECK_EQ(count, right);
    }
}

TEST(validation, majority_never_lets_two_texts_stand)
{
    struct prng prng = {7};
    for (int round = 0; round < 10000; round++) {
        char texts[16], accepted[16], standing = 0;
        uint32_t redundancy = 1 + (uint32_t)prng_below(&prng, REDUNDANCY_MAX);
        uint32_t count = (uint32_t)prng_below(&prng, redundancy + 1);
        for (uint32_t i = 0; i < count; i++)
            texts[i] = (char)('a' + prng_below(&prng, 3));
        texts[count] = 0;
        decide(VALIDATION_MAJORITY, redundancy, texts, accepted);
        for (uint32_t i = 0; i < count; i++) {
            if (accepted[i] == 'n')
                continue;
            CHECK(standing == 0 || standing == texts[i]);
            standing = texts[i];
        }
    }
}

/* ---- audits ---- */

static const char *const same[REDUNDANCY_MAX] = {"a", "a", "a"};

static void always(struct cmd_session_open *s) { s->audit_bp = 10000; }
static void hardly(struct cmd_session_open *s) { s->audit_bp = 1; }

/* A network of one miner, whose every answer is audited. */
static struct bench audited_bench(struct network_options o)
{
    o.miners = 1;
    return bench_open(&o, 1, always);
}

static uint32_t audits(struct bench *b) { return b->n->core->validation.slots.live; }

static struct audit_view first_audit(struct bench *b)
{
    struct audit_view a;
    uint32_t at = 0;
    CHECK(view_audit_at(b->n->core, &at, &a));
    return a;
}

static void answer_one(struct bench *b) { bench_answer(b, bench_submit(b), same); }

/* The next heartbeat of an oracle, and what it sets off. */
static void beat(struct bench *b) { bench_wait(b, view_params(b->n->core)->heartbeat_ms); }

static struct audit_view drawn_audit(struct bench *b)
{
    answer_one(b);
    beat(b);
    struct audit_view a = first_audit(b);
    CHECK_EQ(a.state, AUDIT_DRAWN);
    return a;
}

static enum verdict ask(struct bench *b, uint64_t audit, struct address oracle)
{
    struct command cmd = {.type = COMMAND_AUDIT_ASK, .signer_count = 1, .signer = {oracle}, .audit_ask = {audit}};
    return bench_do(b, &cmd);
}

static enum verdict judge(struct bench *b, uint64_t audit, struct address oracle, enum audit_finding finding)
{
    struct command cmd = {.type = COMMAND_AUDIT_VERDICT, .signer_count = 1, .signer = {oracle}};
    cmd.audit_verdict.audit = audit;
    cmd.audit_verdict.finding = (uint8_t)finding;
    return bench_do(b, &cmd);
}

static struct address other_oracle(struct address drawn)
{
    struct address first = test_address('O', 1);
    return address_eq(&drawn, &first) ? test_address('O', 2) : first;
}

static struct address third_oracle(struct address drawn)
{
    struct address last = test_address('O', 3);
    return address_eq(&drawn, &last) ? test_address('O', 2) : last;
}

static bool audit_moved(struct bench *b, enum audit_state from, enum audit_state to, enum audit_finding finding)
{
    for (uint32_t i = 0; i < b->n->seen_count; i++) {
        const struct evt_audit_moved *e = &b->n->seen[i].audit_moved;
        if (b->n->seen[i].type == EVENT_AUDIT_MOVED && e->from == from && e->to == to && e->finding == finding)
            return true;
    }
    return false;
}

static const struct evt_audit_settled *settled(struct bench *b)
{
    const struct event *e = network_event(b->n, EVENT_AUDIT_SETTLED);
    CHECK(e);
    return &e->audit_settled;
}

static struct node_view miner(struct bench *b)
{
    struct address address = test_address('M', 1);
    return bench_node(b, &address);
}

TEST(audit, is_drawn_at_the_first_beacon_after_the_commit)
{
    struct bench b = audited_bench((struct network_options){0});
    answer_one(&b);
    CHECK_EQ(first_audit(&b).state, AUDIT_WAITING);
    network_settle(b.n);
    CHECK_EQ(first_audit(&b).state, AUDIT_WAITING);
    beat(&b);
    CHECK(audit_moved(&b, AUDIT_WAITING, AUDIT_DRAWN, FINDING_NONE));
    struct address oracle = first_audit(&b).oracle;
    CHECK(!address_is_zero(&oracle));
    bench_close(&b);
}

TEST(audit, that_is_not_drawn_is_spared_and_paid)
{
    struct network_options o = {.miners = 1};
    struct bench b = bench_open(&o, 1, hardly);
    struct amount before = bench_balance(&b, 'N', 1);
    answer_one(&b);
    CHECK_EQ(bench_balance(&b, 'N', 1).credits, before.credits);
    beat(&b);
    CHECK(audit_moved(&b, AUDIT_WAITING, AUDIT_SPARED, FINDING_NONE));
    CHECK_EQ(audits(&b), 0);
    CHECK_EQ(settled(&b)->paid.credits, bench_balance(&b, 'N', 1).credits - before.credits);
    CHECK(settled(&b)->paid.credits > 0);
    bench_close(&b);
}

TEST(audit, is_asked_by_the_oracle_that_was_drawn)
{
    struct bench b = audited_bench((struct network_options){0});
    struct audit_view a = drawn_audit(&b);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_PASS), VERDICT_AUDIT_STATE);
    CHECK_EQ(ask(&b, a.id, other_oracle(a.oracle)), VERDICT_NOT_AUTHORIZED);
    CHECK_EQ(ask(&b, a.id + (1ull << 32), a.oracle), VERDICT_AUDIT_UNKNOWN);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK(audit_moved(&b, AUDIT_DRAWN, AUDIT_ASKED, FINDING_NONE));
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_AUDIT_STATE);
    bench_close(&b);
}

TEST(audit, that_passes_pays_and_lowers_the_test)
{
    struct bench b = audited_bench((struct network_options){0});
    struct amount before = bench_balance(&b, 'N', 1);
    struct audit_view a = drawn_audit(&b);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_PASS), VERDICT_ACCEPTED);
    CHECK(audit_moved(&b, AUDIT_ASKED, AUDIT_DECIDED, FINDING_PASS));
    CHECK_EQ(bench_balance(&b, 'N', 1).credits - before.credits, settled(&b)->paid.credits);
    CHECK_EQ(miner(&b).count[COUNT_AUDIT_PASSED], 1);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_PASS), VERDICT_AUDIT_UNKNOWN);
    bench_close(&b);
}

TEST(audit, that_is_flagged_forfeits_and_raises_the_test)
{
    struct bench b = audited_bench((struct network_options){0});
    struct amount before = bench_balance(&b, 'N', 1);
    struct audit_view a = drawn_audit(&b);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_NONE), VERDICT_VALUE_INVALID);
    CHECK_EQ(judge(&b, a.id, a.oracle, AUDIT_FINDING_COUNT), VERDICT_VALUE_INVALID);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_FLAG), VERDICT_ACCEPTED);
    CHECK(audit_moved(&b, AUDIT_ASKED, AUDIT_DECIDED, FINDING_FLAG));
    CHECK_EQ(bench_balance(&b, 'N', 1).credits, before.credits);
    CHECK(settled(&b)->forfeited.credits > 0);
    CHECK_EQ(settled(&b)->score_milli, view_params(b.n->core)->flag_score_milli);
    CHECK_EQ(miner(&b).count[COUNT_AUDIT_FLAGGED], 1);
    CHECK_EQ(miner(&b).state, NODE_RESERVED);  // nobody is punished for one answer
    bench_close(&b);
}

TEST(audit, takes_as_many_oracles_as_the_network_asks_for)
{
    struct bench b = audited_bench((struct network_options){.oracles = 3, .oracle_quorum = 2});
    struct audit_view a = drawn_audit(&b);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_FLAG), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_FLAG), VERDICT_VERDICT_KNOWN);
    CHECK_EQ(first_audit(&b).state, AUDIT_ASKED);
    CHECK_EQ(judge(&b, a.id, other_oracle(a.oracle), FINDING_PASS), VERDICT_ACCEPTED);
    CHECK_EQ(first_audit(&b).state, AUDIT_ASKED);  // one says this, one that: a liar that is quick saves nobody
    CHECK_EQ(judge(&b, a.id, third_oracle(a.oracle), FINDING_FLAG), VERDICT_ACCEPTED);
    CHECK(audit_moved(&b, AUDIT_ASKED, AUDIT_DECIDED, FINDING_FLAG));
    bench_close(&b);
}

/* With a quorum of three, two that lie are too few, whatever the third says. */
TEST(audit, is_not_decided_by_fewer_than_the_quorum)
{
    struct bench b = audited_bench((struct network_options){.oracles = 3, .oracle_quorum = 3});
    struct audit_view a = drawn_audit(&b);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_FLAG), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, other_oracle(a.oracle), FINDING_FLAG), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, third_oracle(a.oracle), FINDING_PASS), VERDICT_ACCEPTED);
    CHECK_EQ(first_audit(&b).state, AUDIT_ASKED);
    bench_wait(&b, view_params(b.n->core)->audit_ms);
    CHECK(audit_moved(&b, AUDIT_ASKED, AUDIT_VOID, FINDING_NONE));
    CHECK_EQ(miner(&b).count[COUNT_AUDIT_PASSED] + miner(&b).count[COUNT_AUDIT_FLAGGED], 0);
    bench_close(&b);
}

TEST(audit, that_nobody_can_measure_is_void)
{
    struct bench b = audited_bench((struct network_options){0});
    struct audit_view a = drawn_audit(&b);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, other_oracle(a.oracle), FINDING_UNMEASURABLE), VERDICT_ACCEPTED);
    CHECK(audit_moved(&b, AUDIT_ASKED, AUDIT_VOID, FINDING_UNMEASURABLE));
    CHECK(settled(&b)->paid.credits > 0);
    CHECK_EQ(miner(&b).count[COUNT_AUDIT_PASSED] + miner(&b).count[COUNT_AUDIT_FLAGGED], 0);
    bench_close(&b);
}

TEST(audit, that_is_not_decided_in_time_is_void_and_paid)
{
    for (int asked = 0; asked < 2; asked++) {
        struct bench b = audited_bench((struct network_options){0});
        struct audit_view a = drawn_audit(&b);
        if (asked)
            CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
        bench_wait(&b, view_params(b.n->core)->audit_ms);
        CHECK(audit_moved(&b, asked ? AUDIT_ASKED : AUDIT_DRAWN, AUDIT_VOID, FINDING_NONE));
        CHECK(settled(&b)->paid.credits > 0);
        CHECK_EQ(miner(&b).count[COUNT_AUDIT_PASSED], 0);
        bench_close(&b);
    }
}

TEST(audit, at_its_deadline_hears_nobody_any_more)
{
    struct bench b = audited_bench((struct network_options){0});
    struct validation *v = &b.n->core->validation;
    struct audit_view a = drawn_audit(&b);
    uint32_t oracle = oracle_find(&b.n->core->cognitive, &a.oracle);
    uint64_t now_ms = v->step->now_ms;
    v->step->now_ms = a.deadline_ms;  // as if the sweep had not come to it
    CHECK_EQ(audit_ask(v, &(struct cmd_audit_ask){a.id}, oracle), VERDICT_DEADLINE_PASSED);
    v->step->now_ms = now_ms;
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    v->step->now_ms = a.deadline_ms;
    struct cmd_audit_verdict cmd = {.audit = a.id, .finding = FINDING_FLAG};
    CHECK_EQ(audit_verdict(v, &cmd, oracle), VERDICT_DEADLINE_PASSED);
    bench_close(&b);
}

TEST(audit, is_spared_where_no_beacon_comes)
{
    struct bench b = audited_bench((struct network_options){0});
    answer_one(&b);
    b.n->hushed_oracle[0] = b.n->hushed_oracle[1] = true;
    bench_wait(&b, view_params(b.n->core)->audit_ms + 1000);
    CHECK(audit_moved(&b, AUDIT_WAITING, AUDIT_SPARED, FINDING_NONE));
    answer_one(&b);
    CHECK_EQ(audits(&b), 0);  // nobody lives who could audit: paid at once
    CHECK_EQ(network_event(b.n, EVENT_TASK_PAID)->task_paid.pending, 0);
    bench_close(&b);
}

TEST(audit, needs_a_place_in_its_table)
{
    struct bench b = audited_bench((struct network_options){.set = {{16, 1}}, .set_count = 1});
    answer_one(&b);
    CHECK_EQ(audits(&b), 1);
    struct amount before = bench_balance(&b, 'N', 1);
    answer_one(&b);
    CHECK_EQ(audits(&b), 1);
    CHECK(bench_balance(&b, 'N', 1).credits > before.credits);
    bench_close(&b);
}

static void must(struct network *n, struct command cmd)
{
    network_fill(n, &cmd);
    network_must(n, &cmd);
}

/* One miner, of the first oracle's operator; so that one is silent while the miner is tested. */
static struct bench with_operator(const struct network_options *options, struct address node_operator)
{
    struct network *n = network_open(options);
    n->hushed_oracle[0] = true;
    network_wait(n, 20000);
    struct command cmd = {.type = COMMAND_NODE_REGISTER, .node_register.node = test_address('M', 1)};
    network_fill(n, &cmd);
    cmd.node_register.operator= node_operator;
    network_must(n, &cmd);
    must(n, (struct command){.type = COMMAND_NODE_MODEL_PUT, .node_model_put.node = test_address('M', 1)});
    network_attach(n, 1, 1);
    network_test_nodes(n);
    n->hushed_oracle[0] = false;
    network_wait(n, 10000);
    return bench_on(n, 1, always);
}

TEST(audit, is_never_the_matter_of_an_oracle_of_the_nodes_own_operator)
{
    struct network_options o = {.oracles = 2, .users = 1};
    struct bench b = with_operator(&o, test_address('P', 1));
    for (int i = 0; i < 20; i++) {
        struct audit_view a = drawn_audit(&b);
        struct address second = test_address('O', 2);
        CHECK(address_eq(&a.oracle, &second));
        CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
        CHECK_EQ(judge(&b, a.id, test_address('O', 1), FINDING_PASS), VERDICT_OWN_OPERATOR);
        CHECK_EQ(judge(&b, a.id, second, FINDING_PASS), VERDICT_ACCEPTED);
    }
    b.n->hushed_oracle[1] = true;
    bench_wait(&b, 20000);
    answer_one(&b);
    beat(&b);
    CHECK(audit_moved(&b, AUDIT_WAITING, AUDIT_SPARED, FINDING_NONE));  // nobody else is there
    bench_close(&b);
}

TEST(audit, condemns_in_the_end)
{
    struct network_options o = {.set = {{99, 4610}, {100, 9220}}, .set_count = 2};
    o.miners = 1;
    struct bench b = bench_open(&o, 1, always);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(miner(&b).state, NODE_RESERVED);
        struct audit_view a = drawn_audit(&b);
        CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
        CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_FLAG), VERDICT_ACCEPTED);
    }
    network_settle(b.n);
    CHECK_EQ(miner(&b).state, NODE_BANNED);
    bench_close(&b);
}

static uint64_t another_session(struct bench *b, uint16_t audit_bp)
{
    struct command cmd = {.type = COMMAND_SESSION_OPEN};
    network_fill(b->n, &cmd);
    cmd.session_open.audit_bp = audit_bp;
    uint64_t session = network_session(b->n, &cmd);
    network_settle(b->n);
    return session;
}

TEST(audit, looks_at_every_answer_of_a_node_on_probation)
{
    struct bench b = audited_bench((struct network_options){0});
    struct audit_view a = drawn_audit(&b);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_FLAG), VERDICT_ACCEPTED);
    struct command cmd = {.type = COMMAND_SESSION_CLOSE, .session_close = {test_address('U', 1), b.session}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    network_test_nodes(b.n);
    b.session = another_session(&b, 0);  // a session that audits nobody
    drawn_audit(&b);
    bench_close(&b);
}

TEST(audit, of_a_node_that_has_gone_is_paid_and_judges_nobody)
{
    struct bench b = audited_bench((struct network_options){0});
    struct amount before = bench_balance(&b, 'N', 1);
    struct audit_view a = drawn_audit(&b);
    struct command cmd = {.type = COMMAND_NODE_LEAVE, .node_leave = {test_address('M', 1)}};
    CHECK_EQ(bench_do(&b, &cmd), VERDICT_ACCEPTED);
    bench_wait(&b, 1000);
    CHECK_EQ(ask(&b, a.id, a.oracle), VERDICT_ACCEPTED);
    CHECK_EQ(judge(&b, a.id, a.oracle, FINDING_PASS), VERDICT_ACCEPTED);
    CHECK_EQ(settled(&b)->score_milli, 0);
    CHECK(bench_balance(&b, 'N', 1).credits > before.credits);
    bench_close(&b);
}

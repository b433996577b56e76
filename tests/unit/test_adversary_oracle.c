/* Oracles that cheat, and answers that only evidence can tell from right ones. */
#include "lib/duel.h"

#define COLD    ",\"temperature\":0"
#define ALWAYS  10000  // basis points: every answer is audited
#define PROMPTS 6

/* ---- other text than the model's ---- */

TEST(adversary_oracle, a_node_that_is_honest_in_rounds_alone_is_condemned_by_audits)
{
    struct duel *d = duel_open(
        &(struct duel_options){.cheats = 1, .what = CHEAT_OTHER_TEXT, .only_cheats = true, .audit_bp = ALWAYS});
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(duel_prompt(d, COLD)->status, 200);
    LIVE_UNTIL(d->live, duel_node(d, 0).state == NODE_BANNED);
    CHECK_EQ(duel_count(d, 0, COUNT_AUDIT_FLAGGED), 3);
    struct account_view account;
    CHECK(view_account(live_core(d->live), key_address(d->key[0]), &account));
    CHECK_EQ(account.balance.credits, 100000 - DUEL_STAKE);  // what it was to be paid is forfeited
    duel_close(d);
}

TEST(adversary_oracle, another_text_is_outvoted)
{
    struct duel *d = duel_open(&(struct duel_options){
        .honest = 2, .cheats = 1, .what = CHEAT_OTHER_TEXT, .quorum = 2, .terms = ",\"validation\":\"majority\""});
    for (uint32_t i = 0; i < 3; i++)
        duel_check_answered(d, duel_prompt(d, COLD));
    CHECK_EQ(duel_count(d, 0, COUNT_OUTVOTED), 3);
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 0);
    duel_close(d);
}

/* Two of three can outvote the third; what they say is evidence against them all the same. */
TEST(adversary_oracle, two_that_agree_on_a_lie_are_condemned_by_audits)
{
    struct duel *d = duel_open(&(struct duel_options){.honest = 1,
                                                      .cheats = 2,
                                                      .what = CHEAT_RING_TEXT,
                                                      .quorum = 2,
                                                      .audit_bp = ALWAYS,
                                                      .terms = ",\"validation\":\"majority\""});
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(duel_prompt(d, COLD)->status, 200);
    LIVE_UNTIL(d->live, duel_node(d, 0).state == NODE_BANNED && duel_node(d, 1).state == NODE_BANNED);
    CHECK(duel_honest(d, 0).state != NODE_BANNED);
    duel_close(d);
}

TEST(adversary_oracle, nodes_of_one_operator_never_share_a_task_that_asks_for_diversity)
{
    struct duel *d = duel_open(&(struct duel_options){.honest = 2,
                                                      .cheats = 2,
                                                      .what = CHEAT_RING_TEXT,
                                                      .one_operator = true,
                                                      .redundancy = 3,
                                                      .quorum = 2,
                                                      .nodes = 3,
                                                      .terms = ",\"validation\":\"majority\",\"diversity\":1"});
    for (uint32_t i = 0; i < PROMPTS; i++)
        duel_check_answered(d, duel_prompt(d, COLD));
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED) + duel_count(d, 1, COUNT_TASK_ACCEPTED), 0);
    CHECK_EQ(duel_count(d, 0, COUNT_OUTVOTED) + duel_count(d, 1, COUNT_OUTVOTED), PROMPTS);
    duel_close(d);
}

/* ---- a neighbour's text ---- */

static struct reply *overheard;
static size_t overheard_size;

/* What a client that pays for the same prompt has read of the answer. */
static bool read_along(void *duel, uint64_t task, struct buf *ret_text)
{
    cx_maybe(duel && task);
    const char *at = overheard ? overheard->body.data : NULL;
    struct buf text = {0};
    while (at && (at = strstr(at, "\"text\":\""))) {
        at += strlen("\"text\":\"");
        buf_add(&text, at, strcspn(at, "\""));
    }
    if (text.size < overheard_size || overheard_size == 0) {
        buf_done(&text);
        return false;
    }
    *ret_text = text;
    return true;
}

static struct duel *with_a_copier(const char *terms)
{
    overheard = NULL;
    overheard_size = 0;
    struct duel *d = duel_open(&(struct duel_options){.honest = 1,
                                                      .cheats = 1,
                                                      .what = CHEAT_COPY_TEXT,
                                                      .engine = "echo=slow=5,tokens=20",
                                                      .audit_bp = ALWAYS,
                                                      .text = read_along,
                                                      .terms = terms});
    struct reply *whole = duel_prompt(d, COLD);  // without a stream there is nothing to copy
    duel_check_answered(d, whole);
    overheard_size = strlen(reply_text(whole, "choices.0.text"));
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 0);
    return d;
}

TEST(adversary_oracle, a_copied_stream_is_paid_and_is_no_evidence)
{
    struct duel *d = with_a_copier(NULL);
    overheard = duel_send(d, COLD ",\"stream\":true");
    live_wait(d->live, overheard);
    CHECK(strstr(overheard->body.data, "[DONE]"));
    LIVE_UNTIL(d->live, duel_honest(d, 0).count[COUNT_AUDIT_PASSED] == 2);
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 1);
    CHECK_EQ(duel_count(d, 0, COUNT_AUDIT_PASSED), 0);
    duel_close(d);
}

TEST(adversary_oracle, what_is_streamed_after_validation_cannot_be_copied)
{
    struct duel *d = with_a_copier(",\"stream\":\"after_validation\"");
    overheard = duel_send(d, COLD ",\"stream\":true");
    live_wait(d->live, overheard);
    CHECK(strstr(overheard->body.data, "[DONE]"));
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 0);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_TASK_ACCEPTED], 2);
    duel_close(d);
}

/* ---- oracles ---- */

static uint64_t refused(const struct duel *d, enum verdict verdict)
{
    return adversary_oracle_stats(d->oracle[0])->refused[verdict];
}

TEST(adversary_oracle, one_liar_condemns_nobody_and_saves_nobody)
{
    struct duel *d = duel_open(&(struct duel_options){.honest = 1,
                                                      .cheats = 1,
                                                      .what = CHEAT_OTHER_TEXT,
                                                      .oracles = 2,
                                                      .oracle_quorum = 2,
                                                      .cheating_oracles = 1,
                                                      .oracle_cheats = ORACLE_CHEAT_LIE,
                                                      .audit_bp = ALWAYS});
    /* Once it is banned, there are too few nodes for another prompt. */
    for (uint32_t i = 0; i < PROMPTS && duel_node(d, 0).state != NODE_BANNED; i++)
        CHECK(duel_prompt(d, COLD)->status == 200 || duel_node(d, 0).state == NODE_BANNED);
    LIVE_UNTIL(d->live, duel_node(d, 0).state == NODE_BANNED);
    LIVE_UNTIL(d->live, duel_honest(d, 0).count[COUNT_AUDIT_PASSED] >= 3);
    CHECK(adversary_oracle_stats(d->oracle[0])->lies > 0);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_AUDIT_FLAGGED], 0);
    CHECK_EQ(duel_honest(d, 0).model[0].test_milli, 0);
    duel_close(d);
}

/* As many as the quorum are what the network trusts: two of them can condemn. Every verdict is signed. */
TEST(adversary_oracle, as_many_liars_as_the_quorum_are_believed_and_have_signed)
{
    struct duel *d = duel_open(&(struct duel_options){
        .honest = 1, .cheats = 0, .oracles = 2, .oracle_quorum = 2, .cheating_oracles = 2, .audit_bp = ALWAYS});
    for (uint32_t i = 0; i < 2; i++)
        adversary_oracle_turn(d->oracle[i], ORACLE_CHEAT_LIE);
    struct reply *r = NULL;
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ((r = duel_prompt(d, COLD))->status, 200);
    uint64_t decided = 0;
    LIVE_UNTIL(d->live, (decided = duel_honest(d, 0).count[COUNT_AUDIT_FLAGGED] +
                                   duel_honest(d, 0).count[COUNT_AUDIT_PASSED]) == 3);
    char path[128];
    snprintf(path, sizeof path, "/api/v3/receipts/%s", reply_text(r, "corten.task_id"));
    struct reply *receipt = live_ask(d->live, "GET", path, d->api_key, NULL);
    CHECK(reply_has(receipt, "audits.0"));
    CHECK(strstr(receipt->body.data, "signature"));
    duel_close(d);
}

TEST(adversary_oracle, where_all_must_agree_one_liar_stops_verdicts_and_blames_nobody)
{
    static const char *const param[] = {"audit_ms=1000"};
    struct duel *d = duel_open(&(struct duel_options){.cheats = 1,
                                                      .only_cheats = true,
                                                      .oracles = 1,
                                                      .oracle_quorum = 2,
                                                      .cheating_oracles = 1,
                                                      .audit_bp = ALWAYS,
                                                      .param = param,
                                                      .params = 1});
    adversary_oracle_turn(d->oracle[0], ORACLE_CHEAT_LIE);
    uint64_t before = duel_balance(d);
    CHECK_EQ(duel_prompt(d, COLD)->status, 200);
    CHECK(duel_balance(d) < before);
    struct network_view network;
    LIVE_UNTIL(d->live, (view_network(live_core(d->live), &network), network.audits_live == 0));
    CHECK(adversary_oracle_stats(d->oracle[0])->lies > 0);
    CHECK_EQ(duel_node(d, 0).count[COUNT_AUDIT_FLAGGED] + duel_node(d, 0).count[COUNT_AUDIT_PASSED], 0);
    CHECK_EQ(network.money.pending.credits, 0);  // it was paid
    duel_close(d);
}

/* A node comes to serve although that oracle does its worst. */
static struct duel *with_an_oracle(uint32_t cheats)
{
    struct duel *d = duel_open(&(struct duel_options){.honest = 1, .cheating_oracles = 1, .oracle_cheats = cheats});
    for (uint32_t i = 0; i < 3; i++)
        duel_add(d, 0);
    duel_check_answered(d, duel_prompt(d, COLD));
    return d;
}

TEST(adversary_oracle, an_absent_leader_is_followed_by_the_next)
{
    struct duel *d = with_an_oracle(ORACLE_CHEAT_ABSENT);
    CHECK_EQ(adversary_oracle_stats(d->oracle[0])->rounds, 0);
    CHECK(adversary_oracle_stats(d->oracle[0])->heartbeats > 0);
    duel_close(d);
}

/* It leads alone, so that it is it that starts the round. */
TEST(adversary_oracle, a_challenge_that_was_not_committed_to_starts_no_round)
{
    struct duel *d = duel_open(&(struct duel_options){
        .cheating_oracles = 1, .oracle_cheats = ORACLE_CHEAT_OTHER_CHALLENGE, .no_honest_oracle = true});
    duel_join(d, 0);
    LIVE_UNTIL(d->live, refused(d, VERDICT_CHALLENGE_DIFFERS) >= 1);
    CHECK_EQ(adversary_oracle_stats(d->oracle[0])->rounds, 0);
    CHECK(duel_node(d, 0).state == NODE_UNTESTED || duel_node(d, 0).state == NODE_TESTING);
    duel_close(d);
}

TEST(adversary_oracle, an_old_preimage_is_wrong)
{
    struct duel *d = with_an_oracle(ORACLE_CHEAT_OLD_PREIMAGE);
    LIVE_UNTIL(d->live, refused(d, VERDICT_PREIMAGE_WRONG) >= 3);
    CHECK(adversary_oracle_stats(d->oracle[0])->heartbeats >= 3);
    duel_close(d);
}

TEST(adversary_oracle, what_is_not_its_own_to_lead_is_refused)
{
    struct duel *d = with_an_oracle(ORACLE_CHEAT_USURP);
    LIVE_UNTIL(d->live,
               refused(d, VERDICT_NOT_LEADER) + refused(d, VERDICT_ROUND_STATE) + refused(d, VERDICT_ROUND_UNKNOWN) >=
                   1);
    duel_close(d);
}

TEST(adversary_oracle, a_verdict_counts_once)
{
    struct duel *d = with_an_oracle(ORACLE_CHEAT_TWICE);
    uint64_t again =
        refused(d, VERDICT_VERDICT_KNOWN) + refused(d, VERDICT_ROUND_STATE) + refused(d, VERDICT_LEASE_STALE);
    CHECK(again >= 1);
    duel_close(d);
}

TEST(adversary_oracle, who_withholds_its_beacon_leaves_it_to_the_others)
{
    struct duel *d = with_an_oracle(ORACLE_CHEAT_WITHHOLD);
    struct network_view network;
    view_network(live_core(d->live), &network);
    struct hash beacon = network.beacon;
    LIVE_UNTIL(d->live, adversary_oracle_stats(d->oracle[0])->withheld >= 3);
    view_network(live_core(d->live), &network);
    CHECK(!hash_eq(&beacon, &network.beacon));
    duel_check_answered(d, duel_prompt(d, COLD));
    duel_close(d);
}

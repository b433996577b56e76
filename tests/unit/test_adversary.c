/* Miners that cheat: what each comes to, and that the honest client has its answer or its money. */
#include "lib/duel.h"

#define COLD ",\"temperature\":0"

/* One honest node and one cheat on each prompt: the honest one's answer stands, and the cheat is blamed for one thing.
 */
static struct duel *one_against_one(uint32_t what)
{
    return duel_open(&(struct duel_options){.honest = 1, .cheats = 1, .what = what});
}

static void check_blamed(uint32_t what, enum node_count count)
{
    struct duel *d = one_against_one(what);
    duel_check_answered(d, duel_prompt(d, COLD));
    CHECK_EQ(duel_stats(d, 0)->cheated, 1);
    CHECK_EQ(duel_count(d, 0, count), 1);
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 0);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_TASK_ACCEPTED], 1);
    duel_close(d);
}

TEST(adversary, who_never_acks_is_silent)
{
    check_blamed(CHEAT_MUTE, COUNT_SILENT);
}

TEST(adversary, who_declines_everything_gets_nothing)
{
    check_blamed(CHEAT_DECLINE, COUNT_DECLINED);
}

TEST(adversary, who_faults_is_blamed_for_its_engine)
{
    check_blamed(CHEAT_FAULT, COUNT_ENGINE);
}

TEST(adversary, who_acks_and_does_nothing_is_late)
{
    check_blamed(CHEAT_STALL, COUNT_LATE);
}

TEST(adversary, a_precommit_behind_its_deadline_is_late)
{
    check_blamed(CHEAT_LATE, COUNT_LATE);
}

TEST(adversary, a_copied_precommit_is_wrong)
{
    check_blamed(CHEAT_COPY_HASH, COUNT_WRONG);
}

TEST(adversary, more_tokens_than_the_text_can_hold_are_wrong)
{
    check_blamed(CHEAT_TOKENS_TEXT, COUNT_WRONG);
}

TEST(adversary, more_tokens_than_were_asked_for_are_wrong)
{
    check_blamed(CHEAT_TOKENS_MAX, COUNT_WRONG);
}

TEST(adversary, a_precommit_signed_for_another_lease_is_no_precommit)
{
    check_blamed(CHEAT_SIGN_OTHER, COUNT_LATE);
}

TEST(adversary, a_reveal_of_something_else_is_wrong)
{
    check_blamed(CHEAT_REVEAL_OTHER, COUNT_WRONG);
}

TEST(adversary, who_never_reveals_withholds)
{
    check_blamed(CHEAT_REVEAL_NONE, COUNT_WITHHELD);
}

/* ---- nobody else there: the money comes back, with a reason ---- */

static void check_refunded(uint32_t what, unsigned status, const char *code, const char *reason)
{
    struct duel *d = duel_open(&(struct duel_options){.cheats = 1, .what = what, .only_cheats = true, .attempts = 1});
    struct reply *r = duel_prompt(d, COLD);
    duel_check_refunded(d, r, status, code);
    CHECK_EQ(reply_number(r, reason), 1);
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 0);
    duel_close(d);
}

TEST(adversary, silence_alone_is_refunded)
{
    check_refunded(CHEAT_MUTE, 504, "NODES_SILENT", "error.reasons.SILENT");
}

TEST(adversary, declining_alone_is_refunded)
{
    check_refunded(CHEAT_DECLINE, 503, "NODES_DECLINED", "error.reasons.DECLINED");
}

TEST(adversary, faults_alone_are_refunded)
{
    check_refunded(CHEAT_FAULT, 502, "ENGINE_FAILED", "error.reasons.ENGINE");
}

TEST(adversary, stalling_alone_is_refunded)
{
    check_refunded(CHEAT_STALL, 504, "NODES_SILENT", "error.reasons.LATE");
}

TEST(adversary, wrong_reveals_alone_are_refunded)
{
    check_refunded(CHEAT_REVEAL_OTHER, 502, "ANSWER_REJECTED", "error.reasons.WRONG");
}

TEST(adversary, withheld_reveals_alone_are_refunded)
{
    check_refunded(CHEAT_REVEAL_NONE, 502, "ANSWER_REJECTED", "error.reasons.WITHHELD");
}

TEST(adversary, too_many_tokens_alone_are_refunded)
{
    check_refunded(CHEAT_TOKENS_MAX, 502, "ANSWER_REJECTED", "error.reasons.WRONG");
}

/* ---- stakes ---- */

static void check_slashed(uint32_t what)
{
    struct duel *d = one_against_one(what);
    duel_check_answered(d, duel_prompt(d, COLD));
    CHECK_EQ(duel_node(d, 0).stake.credits, DUEL_STAKE - DUEL_STAKE / 10);
    CHECK_EQ(duel_node(d, 0).level, 0);
    duel_close(d);
}

TEST(adversary, a_wrong_reveal_costs_stake)
{
    check_slashed(CHEAT_REVEAL_OTHER);
}

TEST(adversary, a_withheld_reveal_costs_stake)
{
    check_slashed(CHEAT_REVEAL_NONE);
}

TEST(adversary, silence_costs_no_stake)
{
    struct duel *d = one_against_one(CHEAT_MUTE);
    duel_check_answered(d, duel_prompt(d, COLD));
    CHECK_EQ(duel_node(d, 0).stake.credits, DUEL_STAKE);
    duel_close(d);
}

/* ---- money ---- */

static uint64_t with_fees(uint64_t pay)
{
    uint64_t fee = (pay * 200 + 9999) / 10000;  // each of the two, rounded up
    return pay + 2 * fee;
}

static struct duel *alone(uint32_t what, uint32_t attempts)
{
    return duel_open(&(struct duel_options){.cheats = 1, .what = what, .only_cheats = true, .attempts = attempts});
}

/* "tell me" is 7 bytes, and the template adds a token: no node is paid for more tokens in. */
#define TOKENS_IN_MOST 8

TEST(adversary, tokens_in_are_clipped_to_the_prompt)
{
    struct duel *d = alone(CHEAT_TOKENS_IN, 1);
    struct reply *r = duel_prompt(d, COLD);
    duel_check_answered(d, r);
    uint64_t out = (uint64_t)reply_number(r, "usage.completion_tokens");
    CHECK_EQ(strtoull(reply_text(r, "corten.charged"), NULL, 10), with_fees(TOKENS_IN_MOST + 2 * out));
    duel_close(d);
}

TEST(adversary, tokens_out_are_clipped_to_the_text)
{
    struct duel *d = alone(CHEAT_TOKENS_FEW, 1);
    struct reply *r = duel_prompt(d, COLD);
    duel_check_answered(d, r);
    uint64_t most = strlen(reply_text(r, "choices.0.text")) + 1;
    CHECK(strtoull(reply_text(r, "corten.charged"), NULL, 10) <= with_fees(TOKENS_IN_MOST + 2 * most));
    duel_close(d);
}

/* ---- order ---- */

TEST(adversary, an_early_reveal_is_not_heard)
{
    struct duel *d = duel_open(&(struct duel_options){
        .honest = 1, .cheats = 1, .what = CHEAT_REVEAL_EARLY, .engine = "echo=slow=10,tokens=20", .unhurried = true});
    duel_check_answered(d, duel_prompt(d, COLD));
    CHECK_EQ(duel_honest(d, 0).count[COUNT_TASK_ACCEPTED], 1);
    CHECK(duel_stats(d, 0)->commits >= 2);  // too early, and when it was asked
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 1);
    duel_close(d);
}

/* It reveals before it is asked to stream, and streams then: what was refused is no part of the stream. */
TEST(adversary, an_early_reveal_is_not_streamed)
{
    struct duel *d = duel_open(&(struct duel_options){.cheats = 2, .what = CHEAT_REVEAL_EARLY, .only_cheats = true});
    struct reply *whole = duel_prompt(d, COLD), *r = duel_prompt(d, COLD ",\"stream\":true");
    struct buf text = {0};
    for (const char *at = r->body.data; (at = strstr(at, "\"text\":\""));) {
        at += strlen("\"text\":\"");
        buf_add(&text, at, strcspn(at, "\""));
    }
    CHECK_STR(text.data, reply_text(whole, "choices.0.text"));
    CHECK(strstr(r->body.data, "[DONE]"));
    buf_done(&text);
    duel_close(d);
}

TEST(adversary, another_text_than_was_streamed_ends_the_stream_with_an_error)
{
    struct duel *d = alone(CHEAT_STREAM_OTHER, 1);
    struct reply *r = duel_prompt(d, COLD ",\"stream\":true");
    CHECK_EQ(r->status, 200);
    CHECK(strstr(r->body.data, "what nobody will find"));
    CHECK(strstr(r->body.data, "ANSWER_REJECTED") || strstr(r->body.data, "answer_replaced"));
    CHECK(!strstr(r->body.data, "[DONE]"));
    CHECK_EQ(duel_count(d, 0, COUNT_WRONG), 1);
    CHECK_EQ(duel_balance(d), d->balance);
    duel_close(d);
}

/* ---- what nobody asked for, on the link ---- */

/* The cheat's links end with that code, again and again; the honest node and its client notice nothing. */
static void check_link_ends(uint32_t what, const char *code, uint64_t times)
{
    struct duel *d = duel_open(&(struct duel_options){
        .honest = 1, .cheats = 1, .what = what, .every_ms = 20, .engine = "echo=slow=10,tokens=20", .unhurried = true});
    struct reply *r = duel_send(d, COLD);
    LIVE_UNTIL(d->live, duel_stats(d, 0)->refused >= times);
    if (strcmp(duel_stats(d, 0)->code, code) != 0)
        test_fail(__FILE__, __LINE__, "it ended with %s, not %s", duel_stats(d, 0)->code, code);
    live_wait(d->live, r);
    duel_check_answered(d, r);
    CHECK(duel_honest(d, 0).present);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_TASK_ACCEPTED], 1);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_DECLINED], 0);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_ENGINE], 0);
    duel_close(d);
}

TEST(adversary, garbage_ends_its_link)
{
    check_link_ends(CHEAT_GARBAGE, "FRAME", 2);
}

TEST(adversary, a_hello_of_another_challenge_is_refused)
{
    check_link_ends(CHEAT_OLD_HELLO, "SIGNATURE", 2);
}

TEST(adversary, a_hello_in_anothers_name_is_refused)
{
    check_link_ends(CHEAT_OTHER_HELLO, "SIGNATURE", 2);
}

TEST(adversary, another_nodes_command_ends_the_link)
{
    check_link_ends(CHEAT_SUBMIT_OTHER, "SUBMIT", 2);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOW_ROUTER 1  // which may read fewer frames a second than are allowed
#endif
#endif

TEST(adversary, a_flood_ends_its_link)
{
#ifdef SLOW_ROUTER
    test_skip("with the thread sanitizer no router can be flooded");
#endif
    check_link_ends(CHEAT_FLOOD, "RATE", 2);
}

TEST(adversary, a_lease_of_another_node_ends_the_link)
{
    check_link_ends(CHEAT_FOREIGN, "LEASE_FOREIGN", 1);
}

TEST(adversary, a_precommit_without_a_signature_ends_the_link)
{
    struct duel *d = one_against_one(CHEAT_SIGN_NONE);
    duel_check_answered(d, duel_prompt(d, COLD));
    LIVE_UNTIL(d->live, duel_stats(d, 0)->refused >= 1);
    CHECK_STR(duel_stats(d, 0)->code, "SIGNATURE");
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_PRECOMMITTED), 0);
    duel_close(d);
}

/* Whether the honest go on while the cheat's sockets come and go. */
static struct duel *restless(uint32_t what)
{
    return duel_open(&(struct duel_options){.honest = 1, .cheats = 1, .what = what, .every_ms = 20, .unhurried = true});
}

TEST(adversary, frames_that_are_too_large_end_their_link)
{
    struct duel *d = restless(CHEAT_OVERSIZED);
    uint64_t links = duel_stats(d, 0)->links;
    LIVE_UNTIL(d->live, duel_stats(d, 0)->links >= links + 3);
    duel_check_answered(d, duel_prompt(d, COLD));
    CHECK_EQ(duel_honest(d, 0).count[COUNT_TASK_ACCEPTED], 1);
    duel_close(d);
}

TEST(adversary, a_socket_that_flaps_is_no_harm)
{
    struct duel *d = restless(CHEAT_FLAP);
    for (uint32_t i = 0; i < 5; i++)
        duel_check_answered(d, duel_prompt(d, COLD));
    LIVE_UNTIL(d->live, duel_stats(d, 0)->links >= 3);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_TASK_ACCEPTED], 5);
    duel_close(d);
}

TEST(adversary, frames_of_an_older_socket_change_nothing)
{
    struct duel *d = restless(CHEAT_OLD_LINK);
    for (uint32_t i = 0; i < 5; i++)
        duel_check_answered(d, duel_prompt(d, COLD));
    LIVE_UNTIL(d->live, duel_stats(d, 0)->again >= 3);
    CHECK_EQ(duel_honest(d, 0).count[COUNT_TASK_ACCEPTED], 5);
    CHECK(duel_count(d, 0, COUNT_TASK_ACCEPTED) <= 5);
    duel_close(d);
}

TEST(adversary, leases_that_ended_are_stale)
{
    struct duel *d = one_against_one(CHEAT_AGAIN);
    for (uint32_t i = 0; i < 3; i++)
        duel_check_answered(d, duel_prompt(d, COLD));
    CHECK(duel_stats(d, 0)->again >= 2);
    CHECK_EQ(duel_stats(d, 0)->refused, 0);
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_ACCEPTED), 3);
    CHECK_EQ(duel_count(d, 0, COUNT_TASK_OFFERED), 3);
    duel_close(d);
}

TEST(adversary, an_entry_counts_once)
{
    struct duel *d = restless(CHEAT_SUBMIT_AGAIN);
    LIVE_UNTIL(d->live, duel_stats(d, 0)->results_bad >= 3);
    CHECK_EQ(duel_stats(d, 0)->results_accepted, 2);  // its registration, and its model
    CHECK_EQ(duel_node(d, 0).models, 1);
    CHECK_EQ(duel_node(d, 0).stake.credits, DUEL_STAKE);
    duel_check_answered(d, duel_prompt(d, COLD));
    duel_close(d);
}

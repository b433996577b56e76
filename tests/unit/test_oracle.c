/* Hash chains, challenges and duties of oracles: docs/protocol.md, "Randomness", "Rounds", "Audits". */
#include "crypto/keccak.h"
#include "crypto/sha256.h"
#include "lib/test.h"
#include "oracle/chain.h"
#include "oracle/challenge.h"
#include "oracle/duty.h"
#include "proto/request.h"

#define NETWORK 7

static struct key *some_key(uint8_t n)
{
    struct key *key;
    const uint8_t secret[KEY_SECRET_SIZE] = {[31] = n};
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    return key;
}

/* ---- the chain ---- */

TEST(oracle_chain, each_preimage_hashes_to_what_the_ledger_holds)
{
    struct key *key = some_key(1);
    struct oracle_chain chain;
    struct hash held, preimage, hash;
    oracle_chain_init(&chain, key, NETWORK);
    oracle_chain_end(key, NETWORK, 0, &held);
    CHECK_EQ(oracle_chain_left(&chain), ORACLE_CHAIN_SIZE);
    for (uint32_t i = 0; i < ORACLE_CHAIN_SIZE; i++) {
        CHECK(oracle_chain_is_near(&chain, &held));
        CHECK(oracle_chain_preimage(&chain, &preimage));
        keccak256(preimage.b, 32, &hash);
        CHECK(hash_eq(&hash, &held));
        held = preimage;
        CHECK(oracle_chain_is_near(&chain, &held));
        CHECK_EQ(oracle_chain_left(&chain), ORACLE_CHAIN_SIZE - i - 1);
    }
    CHECK(!oracle_chain_preimage(&chain, &preimage));
    key_close(key);
}

TEST(oracle_chain, a_restarted_oracle_finds_where_it_was)
{
    struct key *key = some_key(1);
    struct oracle_chain chain, again;
    struct hash held;
    oracle_chain_init(&chain, key, NETWORK);
    for (int i = 0; i < 300; i++) {
        CHECK(oracle_chain_preimage(&chain, &held));
        CHECK(oracle_chain_is_near(&chain, &held));
    }
    oracle_chain_init(&again, key, NETWORK);
    CHECK(!oracle_chain_is_near(&again, &held));
    CHECK(oracle_chain_find(&again, &held));
    CHECK_EQ(again.at, chain.at);
    CHECK_EQ(again.index, 0);
    key_close(key);
}

TEST(oracle_chain, the_next_chain_is_found_by_its_end)
{
    struct key *key = some_key(1);
    struct oracle_chain chain;
    struct hash end, third, preimage, hash;
    oracle_chain_init(&chain, key, NETWORK);
    oracle_chain_next_end(&chain, &end);
    oracle_chain_end(key, NETWORK, 1, &hash);
    CHECK(hash_eq(&end, &hash));
    CHECK(oracle_chain_find(&chain, &end));
    CHECK_EQ(chain.index, 1);
    CHECK_EQ(oracle_chain_left(&chain), ORACLE_CHAIN_SIZE);
    CHECK(oracle_chain_preimage(&chain, &preimage));
    keccak256(preimage.b, 32, &hash);
    CHECK(hash_eq(&hash, &end));
    oracle_chain_end(key, NETWORK, 3, &third);
    CHECK(oracle_chain_find(&chain, &third));
    CHECK_EQ(chain.index, 3);
    key_close(key);
}

TEST(oracle_chain, keys_networks_and_indexes_have_chains_of_their_own)
{
    struct key *key = some_key(1), *other = some_key(2);
    struct hash a, b;
    oracle_chain_end(key, NETWORK, 0, &a);
    oracle_chain_end(other, NETWORK, 0, &b);
    CHECK(!hash_eq(&a, &b));
    oracle_chain_end(key, NETWORK + 1, 0, &b);
    CHECK(!hash_eq(&a, &b));
    oracle_chain_end(key, NETWORK, 1, &b);
    CHECK(!hash_eq(&a, &b));
    key_close(key);
    key_close(other);
}

/* ---- the challenge ---- */

TEST(challenge, is_a_greedy_request_whose_digest_was_committed_to)
{
    struct key *key = some_key(1);
    const struct challenge_terms terms = {.key = key, .network = NETWORK, .round = 5, .model = "m", .context = 256};
    struct challenge c, again;
    struct request request;
    struct hash hash;
    struct keccak k;
    CHECK_EQ(challenge_make(&terms, &c), CX_OK);
    CHECK_EQ(request_parse(c.request.data, c.request.size, &request), CX_OK);
    CHECK_EQ(request.temperature, 0);
    CHECK_EQ(request.max_tokens, c.tokens_max);
    CHECK_EQ(request.prompt_size, c.prompt_size);
    CHECK(c.prompt_size > 0);
    CHECK(c.prompt_size + c.tokens_max <= 256);
    request_close(&request);
    sha256(c.request.data, c.request.size, &hash);
    CHECK(hash_eq(&hash, &c.digest));
    keccak_init(&k);
    keccak_add(&k, c.salt.b, 32);
    keccak_add(&k, c.digest.b, 32);
    keccak_end(&k, &hash);
    CHECK(hash_eq(&hash, &c.commitment));

    CHECK_EQ(challenge_make(&terms, &again), CX_OK);
    CHECK(hash_eq(&again.digest, &c.digest));
    CHECK(hash_eq(&again.salt, &c.salt));
    challenge_done(&again);
    struct challenge_terms next = terms;
    next.round = 6;
    CHECK_EQ(challenge_make(&next, &again), CX_OK);
    CHECK(!hash_eq(&again.digest, &c.digest));
    CHECK(!hash_eq(&again.salt, &c.salt));
    challenge_done(&again);
    challenge_done(&c);
    key_close(key);
}

TEST(challenge, fits_the_smallest_contexts)
{
    struct key *key = some_key(1);
    for (uint32_t context = 32; context <= 512; context += 16) {
        const struct challenge_terms terms = {.key = key, .round = context, .model = "m", .context = context};
        struct challenge c;
        CHECK_EQ(challenge_make(&terms, &c), CX_OK);
        CHECK(c.prompt_size > 0);
        CHECK(c.prompt_size + c.tokens_max <= context);
        challenge_done(&c);
    }
    key_close(key);
}

/* ---- duties ---- */

#define US    1
#define OTHER 2

static struct address address_of(uint8_t n) { return (struct address){.b = {n}}; }

struct bench {
    struct duty_book *book;
    struct link_state state;
    struct link_round round[2];
    struct link_audit audit[2];
    struct duty given[32];
    uint32_t count;
};

static struct bench *bench(void)
{
    struct bench *b = calloc(1, sizeof *b);
    const struct address us = address_of(US);
    CHECK_EQ(duty_book_open(&us, DUTY_ROUND | DUTY_AUDIT, &b->book), CX_OK);
    b->state = (struct link_state){.leader = us,
                                   .live = true,
                                   .ttft_ms_max = 1000,
                                   .tokens_per_s_milli_min = 5000,
                                   .round = b->round,
                                   .audit = b->audit};
    b->round[0] = (struct link_round){.id = 50, .leader = us};
    b->audit[0] = (struct link_audit){.id = 60};
    return b;
}

static void bench_close(struct bench *b)
{
    duty_book_close(b->book);
    free(b);
}

static void take(void *ctx, const struct duty *duty)
{
    struct bench *b = ctx;
    CHECK(b->count < 32);
    b->given[b->count++] = *duty;
}

/* The kinds that are due now, as a number of their digits: 0 for none, kinds counted from 1. */
static int due(struct bench *b)
{
    int kinds = 0;
    b->count = 0;
    duty_each(b->book, &b->state, take, b);
    for (uint32_t i = 0; i < b->count; i++)
        kinds = 10 * kinds + (int)b->given[i].kind + 1;
    return kinds;
}
#define ONE(kind) ((int)(kind) + 1)

static void in_round(struct bench *b, enum round_state state)
{
    b->state.rounds = 1;
    b->round[0].state = state;
}

TEST(duty, a_leader_takes_each_step_of_a_round_once)
{
    struct bench *b = bench();
    CHECK_EQ(due(b), 0);
    in_round(b, ROUND_REQUESTED);
    CHECK_EQ(due(b), ONE(DUTY_CREATE_ROUND));
    CHECK_EQ(due(b), 0);
    in_round(b, ROUND_CREATED);
    CHECK_EQ(due(b), ONE(DUTY_PREPARE_ROUND));
    CHECK_EQ(due(b), 0);
    in_round(b, ROUND_PREPARED);
    CHECK_EQ(due(b), ONE(DUTY_START_ROUND));
    CHECK_EQ(due(b), 0);
    bench_close(b);
}

TEST(duty, who_does_not_lead_waits)
{
    struct bench *b = bench();
    b->state.leader = address_of(OTHER);
    in_round(b, ROUND_REQUESTED);
    CHECK_EQ(due(b), 0);
    in_round(b, ROUND_PREPARED);
    CHECK_EQ(due(b), 0);
    bench_close(b);
}

TEST(duty, the_challenge_of_a_lost_leader_is_prepared_anew)
{
    struct bench *b = bench();
    in_round(b, ROUND_PREPARED);
    b->round[0].leader = address_of(OTHER);
    CHECK_EQ(due(b), ONE(DUTY_PREPARE_ROUND));
    CHECK_EQ(due(b), 0);
    b->round[0].leader = address_of(US);
    CHECK_EQ(due(b), ONE(DUTY_START_ROUND));
    b->round[0].leader = address_of(OTHER);  // and once more
    CHECK_EQ(due(b), ONE(DUTY_PREPARE_ROUND));
    bench_close(b);
}

static void with_answers(struct bench *b)
{
    in_round(b, ROUND_PRECOMMITTED);
    b->round[0].challenge.b[0] = 1;
    b->round[0].places = 2;
    for (uint32_t i = 0; i < 2; i++)
        b->round[0].place[i] = (struct link_place){.lease = 100 + 2 * i,
                                                   .node = address_of((uint8_t)(10 + i)),
                                                   .committed = true,
                                                   .bound = true,
                                                   .tokens_out = 11,
                                                   .ttft_ms = 100,
                                                   .duration_ms = 1100};
    b->round[0].place[0].payload.b[0] = 7;
    b->round[0].place[1].payload.b[0] = 8;
}

TEST(duty, nodes_are_judged_when_our_own_answer_is_there)
{
    struct bench *b = bench();
    with_answers(b);
    CHECK_EQ(due(b), ONE(DUTY_ANSWER_CHALLENGE));
    CHECK_EQ(due(b), 0);
    duty_answered(b->book, DUTY_ANSWER_CHALLENGE, 50, &(struct duty_answer){.measured = true, .text.b = {7}});
    CHECK_EQ(due(b), 10 * ONE(DUTY_GIVE_VERDICT) + ONE(DUTY_GIVE_VERDICT));
    CHECK_EQ(b->given[0].lease, 100);
    CHECK_EQ(b->given[0].right, LAYER_HELD);
    CHECK_EQ(b->given[0].fast, LAYER_HELD);
    CHECK_EQ(b->given[1].lease, 102);
    CHECK_EQ(b->given[1].right, LAYER_BROKEN);
    CHECK_EQ(due(b), 0);
    bench_close(b);
}

TEST(duty, without_an_engine_right_is_not_measured)
{
    struct bench *b = bench();
    with_answers(b);
    CHECK_EQ(due(b), ONE(DUTY_ANSWER_CHALLENGE));
    duty_answered(b->book, DUTY_ANSWER_CHALLENGE, 50, &(struct duty_answer){.measured = false, .text.b = {7}});
    CHECK_EQ(due(b), 10 * ONE(DUTY_GIVE_VERDICT) + ONE(DUTY_GIVE_VERDICT));
    CHECK_EQ(b->given[0].right, LAYER_NOT_MEASURED);
    CHECK_EQ(b->given[1].right, LAYER_NOT_MEASURED);
    bench_close(b);
}

TEST(duty, only_places_with_a_bound_answer_of_others_are_judged)
{
    struct bench *b = bench();
    with_answers(b);
    duty_answered(b->book, DUTY_ANSWER_CHALLENGE, 50, &(struct duty_answer){.measured = true});
    b->round[0].place[0].own = true;
    b->round[0].place[1].bound = false;
    CHECK_EQ(due(b), 0);
    b->round[0].place[0].own = false;
    b->round[0].place[0].judged = true;
    b->round[0].place[1].bound = true;
    b->round[0].place[1].node = (struct address){0};
    CHECK_EQ(due(b), 0);
    b->round[0].place[1].node = address_of(11);
    b->round[0].place[1].committed = false;
    CHECK_EQ(due(b), 0);
    b->round[0].place[1].committed = true;
    b->round[0].state = ROUND_STARTED;
    CHECK_EQ(due(b), 0);
    b->round[0].state = ROUND_COMMITTED;
    CHECK_EQ(due(b), ONE(DUTY_GIVE_VERDICT));
    bench_close(b);
}

TEST(duty, fast_follows_the_networks_bounds)
{
    struct bench *b = bench();
    struct link_place p = {.ttft_ms = 1000, .duration_ms = 2000, .tokens_out = 6};
    CHECK_EQ(duty_fast(&b->state, &p), LAYER_HELD);  // 5 tokens in 1 s
    p.tokens_out = 5;
    CHECK_EQ(duty_fast(&b->state, &p), LAYER_BROKEN);
    p.tokens_out = 6;
    p.duration_ms = 2001;
    CHECK_EQ(duty_fast(&b->state, &p), LAYER_BROKEN);
    p = (struct link_place){.ttft_ms = 1001, .duration_ms = 1001, .tokens_out = 6};
    CHECK_EQ(duty_fast(&b->state, &p), LAYER_BROKEN);
    p = (struct link_place){.ttft_ms = 5, .duration_ms = 5, .tokens_out = 6};
    CHECK_EQ(duty_fast(&b->state, &p), LAYER_HELD);
    p = (struct link_place){.ttft_ms = 5, .duration_ms = 9000, .tokens_out = 1};
    CHECK_EQ(duty_fast(&b->state, &p), LAYER_HELD);
    bench_close(b);
}

TEST(duty, an_audit_is_asked_for_answered_again_and_found)
{
    struct bench *b = bench();
    b->state.audits = 1;
    b->audit[0].answer.b[0] = 9;
    b->audit[0].state = AUDIT_DRAWN;
    CHECK_EQ(due(b), 0);  // it fell to another
    b->audit[0].drawn = true;
    CHECK_EQ(due(b), ONE(DUTY_ASK_AUDIT));
    CHECK_EQ(due(b), 0);
    b->audit[0].state = AUDIT_ASKED;
    CHECK_EQ(due(b), ONE(DUTY_ANSWER_AUDIT));
    duty_answered(b->book, DUTY_ANSWER_AUDIT, 60, &(struct duty_answer){.measured = true, .text.b = {9}});
    CHECK_EQ(due(b), ONE(DUTY_GIVE_FINDING));
    CHECK_EQ(b->given[0].finding, FINDING_PASS);
    duty_reset(b->book);
    b->audit[0].answer.b[0] = 8;
    CHECK_EQ(due(b), ONE(DUTY_GIVE_FINDING));
    CHECK_EQ(b->given[0].finding, FINDING_FLAG);
    bench_close(b);
}

TEST(duty, what_cannot_be_measured_is_said_to_be_so)
{
    struct bench *b = bench();
    b->state.audits = 1;
    b->audit[0].state = AUDIT_ASKED;
    CHECK_EQ(due(b), ONE(DUTY_ANSWER_AUDIT));
    duty_answered(b->book, DUTY_ANSWER_AUDIT, 60, &(struct duty_answer){.measured = false});
    CHECK_EQ(due(b), ONE(DUTY_GIVE_FINDING));
    CHECK_EQ(b->given[0].finding, FINDING_UNMEASURABLE);
    bench_close(b);
}

TEST(duty, what_failed_or_was_reset_is_due_again)
{
    struct bench *b = bench();
    in_round(b, ROUND_REQUESTED);
    CHECK_EQ(due(b), ONE(DUTY_CREATE_ROUND));
    duty_failed(b->book, DUTY_CREATE_ROUND, 51, 0);
    CHECK_EQ(due(b), 0);
    duty_failed(b->book, DUTY_CREATE_ROUND, 50, 0);
    CHECK_EQ(due(b), ONE(DUTY_CREATE_ROUND));
    duty_reset(b->book);
    CHECK_EQ(due(b), ONE(DUTY_CREATE_ROUND));
    bench_close(b);
}

TEST(duty, without_the_duty_nothing_is_due)
{
    struct bench *b = bench();
    const struct address us = address_of(US);
    duty_book_close(b->book);
    CHECK_EQ(duty_book_open(&us, DUTY_JUDGE, &b->book), CX_OK);
    in_round(b, ROUND_REQUESTED);
    b->state.audits = 1;
    b->audit[0].state = AUDIT_ASKED;
    CHECK_EQ(due(b), 0);
    bench_close(b);
}

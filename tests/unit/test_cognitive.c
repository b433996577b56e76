/* test_cognitive.c - oracles, leadership, and a test for each arrow and each refusal of a round. */
#include "core/cognitive_parts.h"
#include "lib/core_parts.h"
#include "lib/test.h"
#include "lib/world.h"

/* ---- oracles ---- */

TEST(cognitive, genesis_names_the_oracles)
{
    struct world *w = world_open();
    uint8_t list[2 * 72];
    for (uint32_t i = 0; i < 2; i++) {
        struct address oracle = world_oracle_address(i), whose = test_address('P', i);
        struct hash chain = test_hash('c', i);
        memcpy(list + 72 * i, oracle.b, 20);
        memcpy(list + 72 * i + 20, whose.b, 20);
        memcpy(list + 72 * i + 40, chain.b, 32);
    }
    struct cmd_genesis genesis = {.oracle_quorum = 2, .oracles = {list, sizeof list}};
    CHECK_EQ(cognitive_genesis(&w->cognitive, &genesis), VERDICT_ACCEPTED);
    struct address second = world_oracle_address(1), whose = test_address('P', 1);
    CHECK_EQ(oracle_find(&w->cognitive, &second), 1);
    CHECK_EQ(oracle_quorum(&w->cognitive), 2);
    CHECK_EQ(oracle_live_count(&w->cognitive), 0);
    CHECK(address_eq(oracle_operator(&w->cognitive, 1), &whose));
    CHECK(account_find(&w->account, &whose) != SLOT_NONE);
    world_settle(w);
    world_copy_is_equal(w);
}

static enum verdict genesis_with(struct span oracles, uint8_t quorum)
{
    struct world *w = world_open();
    struct cmd_genesis genesis = {.oracle_quorum = quorum, .oracles = oracles};
    return cognitive_genesis(&w->cognitive, &genesis);
}

TEST(cognitive, genesis_refuses_what_is_no_set)
{
    uint8_t list[2 * 72];
    memset(list, 1, sizeof list);
    CHECK_EQ(genesis_with((struct span){list, 72}, 1), VERDICT_ACCEPTED);
    CHECK_EQ(genesis_with((struct span){list, 0}, 1), VERDICT_ACCEPTED);
    CHECK_EQ(genesis_with((struct span){list, 71}, 1), VERDICT_VALUE_INVALID);
    CHECK_EQ(genesis_with((struct span){list, 144}, 1), VERDICT_VALUE_INVALID); /* the same twice */
    CHECK_EQ(genesis_with((struct span){list, 72}, 0), VERDICT_VALUE_INVALID);
    CHECK_EQ(genesis_with((struct span){list, 72}, 17), VERDICT_VALUE_INVALID);
    for (uint32_t from = 0; from < 60; from += 20) {
        uint32_t size = from == 40 ? 32 : 20;
        memset(list + from, 0, size);
        CHECK_EQ(genesis_with((struct span){list, 72}, 1), VERDICT_VALUE_INVALID);
        memset(list + from, 1, size);
    }
}

TEST(cognitive, oracles_come_and_go)
{
    struct world *w = world_open();
    world_oracle(w, 0, 1);
    struct cmd_oracle_add add = {world_oracle_address(0), test_address('P', 0), test_hash('c', 0), 1};
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_ORACLE_KNOWN);
    add.oracle = world_oracle_address(1);
    add.quorum = 0;
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_VALUE_INVALID);
    add.quorum = 2;
    add.chain_end = (struct hash){{0}};
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_VALUE_INVALID);
    add.chain_end = test_hash('c', 1);
    add.operator=(struct address){{0}};
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_VALUE_INVALID);
    add.operator= test_address('P', 1);
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_ACCEPTED);
    CHECK_EQ(oracle_quorum(&w->cognitive), 2);
    struct cmd_oracle_remove remove = {world_oracle_address(1), 0};
    CHECK_EQ(cognitive_oracle_remove(&w->cognitive, &remove), VERDICT_VALUE_INVALID);
    remove.quorum = 1;
    CHECK_EQ(cognitive_oracle_remove(&w->cognitive, &remove), VERDICT_ACCEPTED);
    CHECK_EQ(world_event(w, EVENT_ORACLE_CHANGED)->oracle_changed.state, ORACLE_REMOVED);
    CHECK_EQ(oracle_quorum(&w->cognitive), 1);
    CHECK_EQ(cognitive_oracle_remove(&w->cognitive, &remove), VERDICT_ORACLE_UNKNOWN);
    CHECK_EQ(oracle_find(&w->cognitive, &remove.oracle), SLOT_NONE);
    /* Back into its own slot. */
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_ACCEPTED);
    CHECK_EQ(oracle_find(&w->cognitive, &add.oracle), 1);
    world_settle(w);
}

TEST(cognitive, the_set_is_bounded)
{
    struct world *w = world_open();
    for (uint32_t i = 0; i < ORACLES_MAX; i++)
        world_oracle(w, i, 1);
    struct cmd_oracle_add add = {world_oracle_address(99), test_address('P', 99), test_hash('c', 0), 1};
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_ORACLES_FULL);
    struct cmd_oracle_remove remove = {world_oracle_address(3), 1};
    CHECK_EQ(cognitive_oracle_remove(&w->cognitive, &remove), VERDICT_ACCEPTED);
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_ORACLES_FULL); /* its bit is still in votes */
    uint32_t account[ORACLES_MAX];
    CHECK_EQ(oracle_accounts(&w->cognitive, account), ORACLES_MAX - 1);
    struct address whose = test_address('P', 4);
    CHECK_EQ(account[3], account_find(&w->account, &whose));
    world_settle(w);
}

TEST(cognitive, an_oracle_needs_room_for_its_accounts)
{
    struct world *w = world_open();
    uint32_t account, i = 0;
    while (account_has_room(&w->account, 2)) {
        struct address filler = test_address('f', i++);
        CHECK_EQ(account_ensure(&w->account, &filler, &account), VERDICT_ACCEPTED);
    }
    struct cmd_oracle_add add = {world_oracle_address(1), test_address('P', 1), test_hash('c', 0), 1};
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &add), VERDICT_ACCOUNTS_FULL);
    CHECK_EQ(oracle_find(&w->cognitive, &add.oracle), SLOT_NONE);
}

TEST(cognitive, a_heartbeat_reveals_the_next_preimage_and_makes_a_beacon)
{
    struct world *w = world_open();
    world_oracle(w, 0, 1);
    CHECK_EQ(oracle_live_count(&w->cognitive), 1);
    struct hash first = world_event(w, EVENT_BEACON)->beacon.value, dice;
    CHECK(cognitive_dice(&w->cognitive, &dice));
    CHECK(hash_eq(&dice, &first));
    struct cmd_oracle_heartbeat wrong = {test_hash('x', 1), DUTY_ROUND};
    CHECK_EQ(cognitive_heartbeat(&w->cognitive, &wrong, 0), VERDICT_PREIMAGE_WRONG);
    wrong.duties = 8;
    CHECK_EQ(cognitive_heartbeat(&w->cognitive, &wrong, 0), VERDICT_VALUE_INVALID);
    CHECK_EQ(world_beat(w, 0, DUTY_ROUND), VERDICT_ACCEPTED);
    struct hash second = world_event(w, EVENT_BEACON)->beacon.value;
    CHECK(!hash_eq(&first, &second));
    CHECK_EQ(cognitive_beacons(&w->cognitive), 2);
    /* The same again is no preimage of itself. */
    w->beats[0]--;
    CHECK_EQ(world_beat(w, 0, DUTY_ROUND), VERDICT_PREIMAGE_WRONG);
    world_copy_is_equal(w);
}

TEST(cognitive, a_new_chain_takes_over)
{
    struct world *w = world_open();
    world_oracle(w, 0, 1);
    struct hash preimage = test_hash('n', 1);
    struct cmd_oracle_chain chain = {{{0}}};
    CHECK_EQ(cognitive_chain(&w->cognitive, &chain, 0), VERDICT_VALUE_INVALID);
    keccak256(preimage.b, sizeof preimage.b, &chain.chain_end);
    CHECK_EQ(cognitive_chain(&w->cognitive, &chain, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_beat(w, 0, DUTY_ROUND), VERDICT_PREIMAGE_WRONG);
    struct cmd_oracle_heartbeat beat = {preimage, DUTY_ROUND};
    CHECK_EQ(cognitive_heartbeat(&w->cognitive, &beat, 0), VERDICT_ACCEPTED);
}

TEST(cognitive, an_oracle_is_silent_after_three_missed_heartbeats)
{
    struct world *w = world_open();
    world_oracle(w, 0, 1);
    world_settle(w);
    struct hash dice;
    w->mute[0] = true;
    world_wait(w, 15000);
    CHECK_EQ(oracle_live_count(&w->cognitive), 1);
    CHECK_EQ(cognitive_due_ms(&w->cognitive), w->step.now_ms + 1);
    world_wait(w, 1);
    CHECK_EQ(oracle_live_count(&w->cognitive), 0);
    CHECK_EQ(world_event(w, EVENT_ORACLE_CHANGED)->oracle_changed.state, ORACLE_SILENT);
    CHECK(address_is_zero(&world_event(w, EVENT_LEADER_CHANGED)->leader_changed.leader));
    w->step.chain = test_hash('h', 1);
    CHECK(!cognitive_dice(&w->cognitive, &dice));
    CHECK(hash_eq(&dice, &w->step.chain));
    CHECK_EQ(oracle_leader(&w->cognitive), SLOT_NONE);
    CHECK_EQ(oracle_draw(&w->cognitive, 5), SLOT_NONE);
    CHECK_EQ(world_beat(w, 0, DUTY_ROUND), VERDICT_ACCEPTED);
    CHECK_EQ(oracle_live_count(&w->cognitive), 1);
}

TEST(cognitive, leadership_rotates_by_windows_over_those_that_may_lead)
{
    struct world *w = world_open();
    for (uint32_t i = 0; i < 3; i++)
        world_oracle(w, i, 1);
    CHECK_EQ(world_beat(w, 1, DUTY_AUDIT), VERDICT_ACCEPTED); /* audits only */
    world_settle(w);
    CHECK_EQ(oracle_leader(&w->cognitive), 0);
    world_wait(w, 29000);
    CHECK_EQ(oracle_leader(&w->cognitive), 2);
    struct address third = world_oracle_address(2);
    CHECK(address_eq(&world_event(w, EVENT_LEADER_CHANGED)->leader_changed.leader, &third));
    world_wait(w, 30000);
    CHECK_EQ(oracle_leader(&w->cognitive), 0);
    CHECK_EQ(world_events(w, EVENT_LEADER_CHANGED), 3);
    world_copy_is_equal(w);
}

TEST(cognitive, a_leader_that_missed_a_heartbeat_is_passed_over)
{
    struct world *w = world_open();
    world_oracle(w, 0, 1);
    world_oracle(w, 1, 1);
    world_settle(w);
    w->mute[0] = true;
    CHECK_EQ(oracle_leader(&w->cognitive), 0);
    world_wait(w, 9999);
    CHECK_EQ(oracle_leader(&w->cognitive), 0);
    world_wait(w, 1);
    CHECK_EQ(oracle_leader(&w->cognitive), 1);
    CHECK_EQ(w->cognitive.leader, 1);
    CHECK_EQ(world_beat(w, 0, DUTY_ROUND), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(w->cognitive.leader, 0);
    /* Where all have, the turn decides. */
    w->mute[0] = w->mute[1] = true;
    world_wait(w, 12000);
    CHECK_EQ(oracle_leader(&w->cognitive), 0);
}

TEST(cognitive, audits_are_not_drawn_for_who_made_the_beacon)
{
    struct world *w = world_open();
    world_oracle(w, 0, 1);
    CHECK_EQ(oracle_draw(&w->cognitive, 7), 0); /* the only one */
    world_oracle(w, 1, 1);
    world_oracle(w, 2, 1);
    uint32_t drawn = 0;
    for (uint64_t dice = 0; dice < 10; dice++)
        drawn |= 1u << oracle_draw(&w->cognitive, dice);
    CHECK_EQ(drawn, 3); /* the third made it */
    CHECK_EQ(world_beat(w, 0, DUTY_AUDIT), VERDICT_ACCEPTED);
    CHECK_EQ(world_beat(w, 1, DUTY_ROUND), VERDICT_ACCEPTED);
    drawn = 0;
    for (uint64_t dice = 0; dice < 10; dice++)
        drawn |= 1u << oracle_draw(&w->cognitive, dice);
    CHECK_EQ(drawn, 5); /* the second made it and has no duty */
}

/* ---- rounds ---- */

#define TOKENS_MAX 32

static uint32_t the_slot(const struct world *w)
{
    uint32_t slot = 0;
    while (!slots_is_live(&w->cognitive.slots, slot))
        CHECK(++slot < w->cognitive.slots.used);
    return slot;
}

static const struct round *the_round(const struct world *w) { return &w->cognitive.round[the_slot(w)]; }

static uint64_t the_id(const struct world *w) { return slots_id(&w->cognitive.slots, the_slot(w)); }

static bool is_over(const struct world *w) { return w->cognitive.slots.live == 0; }

/* Nodes 0..nodes-1 of operators of their own, and oracles that live. The sweep has requested a round for them. */
static struct world *requested(uint32_t nodes, uint32_t oracles, uint32_t quorum)
{
    struct world *w = world_open();
    for (uint32_t i = 0; i < oracles; i++)
        world_oracle(w, i, quorum);
    for (uint32_t i = 0; i < nodes; i++)
        world_join(w, i, i);
    CHECK_EQ(w->cognitive.slots.live, 0);
    world_settle(w);
    CHECK_EQ(w->cognitive.slots.live, 1);
    return w;
}

static enum verdict create(struct world *w)
{
    struct cmd_round_create cmd = {the_id(w)};
    return cognitive_create(&w->cognitive, &cmd, 0);
}

static struct cmd_round_start start_of(const struct world *w, uint32_t oracle)
{
    return (struct cmd_round_start){the_id(w), test_hash('s', oracle), test_hash('q', 1), test_hash('r', 1)};
}

static enum verdict prepare(struct world *w, uint32_t oracle)
{
    struct cmd_round_start start = start_of(w, oracle);
    struct cmd_round_prepare cmd = {.round = the_id(w), .prompt_size = 9, .tokens_max = TOKENS_MAX};
    uint8_t both[64];
    memcpy(both, start.salt.b, 32);
    memcpy(both + 32, start.challenge_digest.b, 32);
    keccak256(both, sizeof both, &cmd.challenge_hash);
    return cognitive_prepare(&w->cognitive, &cmd, oracle);
}

static enum verdict start(struct world *w, uint32_t oracle)
{
    struct cmd_round_start cmd = start_of(w, oracle);
    return cognitive_start(&w->cognitive, &cmd, oracle);
}

static struct world *started(uint32_t nodes, uint32_t oracles, uint32_t quorum)
{
    struct world *w = requested(nodes, oracles, quorum);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    world_copy_is_equal(w);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(start(w, 0), VERDICT_ACCEPTED);
    world_settle(w);
    return w;
}

static const struct round_place *place_of(const struct world *w, uint32_t n)
{
    struct address address = world_node_address(n);
    uint32_t node = node_pool_find(&w->pool, &address);
    for (uint32_t i = 0; i < the_round(w)->places; i++)
        if (the_round(w)->place[i].node == node)
            return &the_round(w)->place[i];
    test_fail(__FILE__, __LINE__, "not so: the node has a place");
    return NULL;
}

static enum verdict ack(struct world *w, uint32_t n)
{
    struct cmd_round_ack cmd = {place_of(w, n)->lease};
    return cognitive_ack(&w->cognitive, &cmd);
}

static struct record record_of(const struct world *w, uint32_t n)
{
    return (struct record){
        .manifest_digest = test_hash('m', 0),
        .engine = ENGINE_ECHO,
        .seed = place_of(w, n)->seed,
        .request_digest = test_hash('r', 1),
        .text_digest = test_hash('t', 0),
        .finish = FINISH_STOP,
        .tokens_in = 3,
        .tokens_out = 11,
    };
}

static void precommit_for(struct world *w, uint32_t n, const struct record *record, struct hash *ret_hash)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    struct precommit_terms terms = {
        .network_id = 7,
        .task = the_id(w),
        .lease = place_of(w, n)->lease,
        .node = world_node_address(n),
        .salt = test_hash('z', n),
    };
    precommit_hash(&terms, (struct span){bytes, record_encode(record, bytes, sizeof bytes)}, ret_hash);
}

static enum verdict precommit_hashed(struct world *w, uint32_t n, const struct hash *hash)
{
    struct command cmd = {.type = COMMAND_ROUND_PRECOMMIT};
    cmd.round_precommit.lease = place_of(w, n)->lease;
    cmd.round_precommit.precommit = *hash;
    return cognitive_precommit(&w->cognitive, &cmd);
}

static enum verdict precommit(struct world *w, uint32_t n)
{
    struct record record = record_of(w, n);
    struct hash hash;
    precommit_for(w, n, &record, &hash);
    return precommit_hashed(w, n, &hash);
}

static enum verdict commit_record(struct world *w, uint32_t n, const struct record *record)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    struct cmd_round_commit cmd = {
        .lease = place_of(w, n)->lease,
        .salt = test_hash('z', n),
        .payload_digest = test_hash('p', n),
        .payload_size = 5,
        .ttft_ms = 100,
        .duration_ms = 1100,
        .record = {bytes, record_encode(record, bytes, sizeof bytes)},
    };
    return cognitive_commit(&w->cognitive, &cmd);
}

static enum verdict commit(struct world *w, uint32_t n)
{
    struct record record = record_of(w, n);
    return commit_record(w, n, &record);
}

static enum verdict judge(struct world *w, uint32_t n, uint32_t oracle, enum layer_result right, enum layer_result fast)
{
    struct cmd_round_verdict cmd = {place_of(w, n)->lease, (uint8_t)right, (uint8_t)fast, 0, test_hash('e', 1)};
    return cognitive_verdict(&w->cognitive, &cmd, oracle);
}

/* Everybody answers rightly; the verdicts are still to come. */
static struct world *committed(uint32_t nodes, uint32_t oracles, uint32_t quorum)
{
    struct world *w = started(nodes, oracles, quorum);
    for (uint32_t i = 0; i < nodes; i++)
        CHECK_EQ(precommit(w, i), VERDICT_ACCEPTED);
    CHECK_EQ(the_round(w)->state, ROUND_PRECOMMITTED);
    for (uint32_t i = 0; i < nodes; i++)
        CHECK_EQ(commit(w, i), VERDICT_ACCEPTED);
    CHECK_EQ(the_round(w)->state, ROUND_COMMITTED);
    world_settle(w);
    return w;
}

static struct evt_round_result result_of(const struct world *w, uint32_t n)
{
    struct address address = world_node_address(n);
    for (uint32_t i = 0; i < w->out.count; i++)
        if (w->event[i].type == EVENT_ROUND_RESULT && address_eq(&w->event[i].round_result.node, &address))
            return w->event[i].round_result;
    test_fail(__FILE__, __LINE__, "not so: the node has a result");
    return (struct evt_round_result){0};
}

static struct evt_round_moved last_move(const struct world *w)
{
    return world_event(w, EVENT_ROUND_MOVED)->round_moved;
}

TEST(cognitive, a_round_goes_its_way_and_its_nodes_enter_the_pool)
{
    struct world *w = requested(3, 1, 1);
    CHECK_EQ(the_round(w)->state, ROUND_REQUESTED);
    CHECK_EQ(the_round(w)->places, 3);
    CHECK_EQ(world_state(w, 2), NODE_TESTING);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(the_round(w)->state, ROUND_CREATED);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(the_round(w)->state, ROUND_PREPARED);
    world_copy_is_equal(w);
    CHECK_EQ(start(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(the_round(w)->state, ROUND_STARTED);
    CHECK_EQ(world_events(w, EVENT_ROUND_OFFERED), 3);
    CHECK_EQ(ack(w, 0), VERDICT_ACCEPTED);
    for (uint32_t i = 0; i < 3; i++) {
        world_copy_is_equal(w);
        CHECK_EQ(world_events(w, EVENT_ROUND_ALL_PRECOMMITTED), 0);
        CHECK_EQ(precommit(w, i), VERDICT_ACCEPTED);
    }
    CHECK_EQ(the_round(w)->state, ROUND_PRECOMMITTED);
    CHECK_EQ(world_events(w, EVENT_ROUND_ALL_PRECOMMITTED), 1);
    for (uint32_t i = 0; i < 3; i++) {
        world_copy_is_equal(w);
        CHECK_EQ(commit(w, i), VERDICT_ACCEPTED);
        CHECK_EQ(world_event(w, EVENT_ROUND_ANSWER)->round_answer.bound, 1);
    }
    CHECK_EQ(the_round(w)->state, ROUND_COMMITTED);
    for (uint32_t i = 0; i < 3; i++) {
        world_copy_is_equal(w);
        CHECK_EQ(judge(w, i, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    }
    CHECK(is_over(w));
    CHECK_EQ(last_move(w).to, ROUND_ENDED);
    world_settle(w);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(world_state(w, i), NODE_EPHEMERAL);
        struct evt_round_result r = result_of(w, i);
        CHECK(r.passed);
        CHECK(r.alive == LAYER_HELD && r.bound == LAYER_HELD && r.right == LAYER_HELD);
        CHECK(r.fast == LAYER_HELD && r.agreed == LAYER_HELD);
        const struct node_stats *s = reputation_stats(&w->reputation, i);
        CHECK_EQ(s->count[COUNT_ROUND_ASKED], 1);
        CHECK_EQ(s->count[COUNT_ROUND_ACKED], 1);
        CHECK_EQ(s->count[COUNT_ROUND_PASSED], 1);
        CHECK_EQ(s->speed[0].measured_ttft_ms, 100);
        CHECK_EQ(s->speed[0].measured_tokens_per_s_milli, 10000);
        CHECK_EQ(node_pool_node(&w->pool, i)->model[0].class, CLASS_VERIFIED);
    }
}

TEST(cognitive, no_oracle_no_round)
{
    struct world *w = world_open();
    world_join(w, 0, 0);
    world_settle(w);
    CHECK(is_over(w));
    world_oracle(w, 0, 1);
    CHECK_EQ(world_beat(w, 0, DUTY_AUDIT), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK(is_over(w)); /* it lives, but does no rounds */
    CHECK_EQ(world_beat(w, 0, DUTY_ROUND), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK(!is_over(w));
}

TEST(cognitive, rounds_are_bounded_in_nodes_and_number)
{
    struct world *w = world_open();
    w->step.params.round_nodes_max = 3;
    world_oracle(w, 0, 1);
    for (uint32_t i = 0; i < 12; i++)
        world_join(w, i, i);
    CHECK_EQ(world_register(w, 12, 0, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_attach(w, 12, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_offer(w, 12, 0, 1), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(w->cognitive.slots.live, 4);
    CHECK_EQ(world_state(w, 12), NODE_UNTESTED); /* the table is full: it waits */
    struct cmd_round_abort abort_ = {the_id(w), ABORT_NO_ENGINE};
    CHECK_EQ(cognitive_abort(&w->cognitive, &abort_, 0), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 12), NODE_TESTING);
}

TEST(cognitive, leases_are_even_and_never_come_again)
{
    struct world *w = started(2, 1, 1);
    uint64_t lease[2] = {place_of(w, 0)->lease, place_of(w, 1)->lease};
    CHECK(lease[0] != lease[1]);
    for (int i = 0; i < 2; i++) {
        CHECK(lease[i] % 2 == 0);
        CHECK_EQ(round_lease_node(&w->cognitive, lease[i]), (uint32_t)i);
        CHECK_EQ(round_lease_node(&w->cognitive, lease[i] + 1), SLOT_NONE);
    }
    CHECK_EQ(round_lease_node(&w->cognitive, lease[1] + 2), SLOT_NONE);
    CHECK_EQ(round_lease_node(&w->cognitive, 0), SLOT_NONE);
    world_wait(w, 10000); /* nobody acks: over, and the next round is asked for after the back-off */
    CHECK(is_over(w));
    CHECK_EQ(round_lease_node(&w->cognitive, lease[0]), SLOT_NONE);
    world_wait(w, 60000);
    CHECK(!is_over(w));
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(start(w, 0), VERDICT_ACCEPTED);
    CHECK(place_of(w, 0)->lease != lease[0]);
    CHECK_EQ(round_lease_node(&w->cognitive, lease[0]), SLOT_NONE);
}

/* ---- the leader's steps, refused ---- */

TEST(cognitive, create_wants_a_requested_round)
{
    struct world *w = requested(1, 1, 1);
    struct cmd_round_create cmd = {the_id(w) + 1};
    CHECK_EQ(cognitive_create(&w->cognitive, &cmd, 0), VERDICT_ROUND_UNKNOWN);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(create(w), VERDICT_ROUND_STATE);
}

TEST(cognitive, prepare_wants_a_created_round_and_a_sound_challenge)
{
    struct world *w = requested(1, 1, 1);
    CHECK_EQ(prepare(w, 0), VERDICT_ROUND_STATE);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    struct cmd_round_prepare cmd = {the_id(w), test_hash('h', 1), 1, 1};
    cmd.round++;
    CHECK_EQ(cognitive_prepare(&w->cognitive, &cmd, 0), VERDICT_ROUND_UNKNOWN);
    cmd.round--;
    cmd.prompt_size = 0;
    CHECK_EQ(cognitive_prepare(&w->cognitive, &cmd, 0), VERDICT_VALUE_INVALID);
    cmd.prompt_size = PROMPT_SIZE_MAX + 1;
    CHECK_EQ(cognitive_prepare(&w->cognitive, &cmd, 0), VERDICT_VALUE_INVALID);
    cmd.prompt_size = 1;
    cmd.tokens_max = 0;
    CHECK_EQ(cognitive_prepare(&w->cognitive, &cmd, 0), VERDICT_VALUE_INVALID);
    cmd.tokens_max = 2049;
    CHECK_EQ(cognitive_prepare(&w->cognitive, &cmd, 0), VERDICT_VALUE_INVALID);
    cmd.tokens_max = 1;
    cmd.challenge_hash = (struct hash){{0}};
    CHECK_EQ(cognitive_prepare(&w->cognitive, &cmd, 0), VERDICT_VALUE_INVALID);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ROUND_STATE); /* its preparer may not change it */
}

TEST(cognitive, the_next_leader_prepares_again)
{
    struct world *w = requested(1, 2, 1);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(the_round(w)->leader, 1);
    CHECK_EQ(start(w, 0), VERDICT_CHALLENGE_DIFFERS);
    CHECK_EQ(start(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ROUND_STATE);
    world_settle(w);
}

TEST(cognitive, start_wants_the_prepared_challenge)
{
    struct world *w = requested(1, 1, 1);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(start(w, 0), VERDICT_ROUND_STATE);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    struct cmd_round_start cmd = start_of(w, 0);
    cmd.round++;
    CHECK_EQ(cognitive_start(&w->cognitive, &cmd, 0), VERDICT_ROUND_UNKNOWN);
    cmd = start_of(w, 0);
    cmd.challenge_digest = test_hash('q', 2);
    CHECK_EQ(cognitive_start(&w->cognitive, &cmd, 0), VERDICT_CHALLENGE_DIFFERS);
    CHECK_EQ(start(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(start(w, 0), VERDICT_ROUND_STATE);
}

TEST(cognitive, who_left_before_the_start_has_no_place)
{
    struct world *w = requested(2, 1, 1);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_leave(w, 0), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 0), NODE_LEAVING);
    CHECK_EQ(start(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_events(w, EVENT_ROUND_OFFERED), 1);
    world_settle(w);
    CHECK_EQ(world_state(w, 0), NODE_GONE);
    world_copy_is_equal(w);
}

TEST(cognitive, a_round_whose_nodes_all_left_is_aborted)
{
    struct world *w = requested(1, 1, 1);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_leave(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(start(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(last_move(w).to, ROUND_ABORTED);
    CHECK_EQ(last_move(w).reason, ABORT_NODES_LOST);
    world_settle(w);
    CHECK_EQ(world_state(w, 0), NODE_GONE);
}

TEST(cognitive, the_leader_may_abort_before_the_start_only)
{
    struct world *w = requested(1, 1, 1);
    struct cmd_round_abort cmd = {the_id(w), ABORT_NONE};
    CHECK_EQ(cognitive_abort(&w->cognitive, &cmd, 0), VERDICT_VALUE_INVALID);
    cmd.reason = 99;
    CHECK_EQ(cognitive_abort(&w->cognitive, &cmd, 0), VERDICT_VALUE_INVALID);
    cmd.reason = ABORT_NO_ENGINE;
    cmd.round++;
    CHECK_EQ(cognitive_abort(&w->cognitive, &cmd, 0), VERDICT_ROUND_UNKNOWN);
    cmd.round--;
    CHECK_EQ(cognitive_abort(&w->cognitive, &cmd, 0), VERDICT_ACCEPTED);
    CHECK_EQ(last_move(w).reason, ABORT_NO_ENGINE);
    CHECK_EQ(world_state(w, 0), NODE_UNTESTED);
    world_settle(w); /* and is asked for again */
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(start(w, 0), VERDICT_ACCEPTED);
    cmd.round = the_id(w);
    CHECK_EQ(cognitive_abort(&w->cognitive, &cmd, 0), VERDICT_ROUND_STATE);
}

/* ---- leaders that do nothing ---- */

static void no_leader_acts(struct world *w, enum abort_reason reason)
{
    uint64_t wait_ms = w->step.params.round_step_ms + 2 * w->step.params.oracle_window_ms;
    CHECK_EQ(the_round(w)->deadline_ms, w->step.now_ms + wait_ms);
    uint64_t id = the_id(w);
    world_wait(w, wait_ms - 1);
    CHECK(the_id(w) == id);
    world_forget(w);
    world_wait(w, 1);
    CHECK(world_events(w, EVENT_ROUND_MOVED) == 2); /* aborted, and the next one requested */
    CHECK(world_events(w, EVENT_NODE_MOVED) == 2);
    for (uint32_t i = 0; i < w->out.count; i++)
        if (w->event[i].type == EVENT_ROUND_MOVED && w->event[i].round_moved.to == ROUND_ABORTED)
            CHECK_EQ(w->event[i].round_moved.reason, reason);
}

TEST(cognitive, a_request_that_nobody_takes_up_is_aborted)
{
    no_leader_acts(requested(1, 1, 1), ABORT_NO_LEADER);
}

TEST(cognitive, a_round_without_challenge_is_aborted)
{
    struct world *w = requested(1, 1, 1);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    no_leader_acts(w, ABORT_NO_CHALLENGE);
}

TEST(cognitive, a_round_that_nobody_starts_is_aborted)
{
    struct world *w = requested(1, 1, 1);
    CHECK_EQ(create(w), VERDICT_ACCEPTED);
    CHECK_EQ(prepare(w, 0), VERDICT_ACCEPTED);
    no_leader_acts(w, ABORT_NO_LEADER);
}

/* ---- the nodes' steps, refused ---- */

TEST(cognitive, ack_wants_a_live_lease_its_router_and_its_time)
{
    struct world *w = started(2, 1, 1);
    struct cmd_round_ack cmd = {place_of(w, 0)->lease + 1};
    CHECK_EQ(cognitive_ack(&w->cognitive, &cmd), VERDICT_LEASE_STALE);
    w->step.router = 1;
    CHECK_EQ(ack(w, 0), VERDICT_NOT_AUTHORIZED);
    w->step.router = 0;
    CHECK_EQ(ack(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(ack(w, 0), VERDICT_ASSIGNMENT_STATE);
    w->step.now_ms += 10000;
    CHECK_EQ(ack(w, 1), VERDICT_DEADLINE_PASSED); /* before the sweep as after it */
    CHECK_EQ(precommit(w, 1), VERDICT_DEADLINE_PASSED);
    world_settle(w);
    CHECK_EQ(ack(w, 1), VERDICT_DEADLINE_PASSED);
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(the_round(w)->state, ROUND_PRECOMMITTED); /* the other one is out */
    CHECK_EQ(ack(w, 1), VERDICT_ROUND_STATE);
}

TEST(cognitive, precommit_comes_once_and_in_time)
{
    struct world *w = started(2, 1, 1);
    struct hash zero = {{0}}, other = test_hash('o', 1);
    CHECK_EQ(precommit_hashed(w, 0, &zero), VERDICT_VALUE_INVALID);
    struct command cmd = {.type = COMMAND_ROUND_PRECOMMIT};
    cmd.round_precommit.lease = 2;
    cmd.round_precommit.precommit = other;
    CHECK_EQ(cognitive_precommit(&w->cognitive, &cmd), VERDICT_LEASE_STALE);
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(precommit(w, 0), VERDICT_ASSIGNMENT_STATE);
    CHECK_EQ(precommit_hashed(w, 0, &other), VERDICT_PRECOMMIT_KNOWN);
    CHECK_EQ(ack(w, 1), VERDICT_ACCEPTED);
    w->step.now_ms += 120000;
    CHECK_EQ(precommit(w, 1), VERDICT_DEADLINE_PASSED);
}

TEST(cognitive, reveals_wait_for_all_precommits)
{
    struct world *w = started(2, 1, 1);
    struct cmd_round_commit cmd = {.lease = 4};
    CHECK_EQ(cognitive_commit(&w->cognitive, &cmd), VERDICT_LEASE_STALE);
    CHECK_EQ(commit(w, 0), VERDICT_REVEAL_EARLY);
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(commit(w, 0), VERDICT_REVEAL_EARLY);
    CHECK_EQ(precommit(w, 1), VERDICT_ACCEPTED);
    w->step.router = 1;
    CHECK_EQ(commit(w, 0), VERDICT_NOT_AUTHORIZED);
    w->step.router = 0;
    CHECK_EQ(commit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(commit(w, 0), VERDICT_ASSIGNMENT_STATE);
    w->step.now_ms += 15000;
    CHECK_EQ(commit(w, 1), VERDICT_DEADLINE_PASSED);
}

/* ---- layers ---- */

TEST(cognitive, a_node_that_does_not_ack_is_not_alive)
{
    struct world *w = started(2, 1, 1);
    CHECK_EQ(ack(w, 0), VERDICT_ACCEPTED);
    world_wait(w, 10000);
    CHECK_EQ(place_of(w, 1)->alive, LAYER_BROKEN);
    CHECK_EQ(the_round(w)->state, ROUND_STARTED);
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(commit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK(is_over(w));
    CHECK_EQ(world_state(w, 0), NODE_EPHEMERAL);
    CHECK_EQ(world_state(w, 1), NODE_RECALIBRATING);
    CHECK_EQ(result_of(w, 1).alive, LAYER_BROKEN);
    CHECK_EQ(result_of(w, 1).right, LAYER_NOT_MEASURED);
    world_settle(w);
}

TEST(cognitive, a_node_that_acks_and_never_precommits_is_not_alive)
{
    struct world *w = started(1, 1, 1);
    CHECK_EQ(ack(w, 0), VERDICT_ACCEPTED);
    world_wait(w, 119999);
    CHECK_EQ(world_state(w, 0), NODE_TESTING);
    world_wait(w, 1);
    CHECK_EQ(world_state(w, 0), NODE_RECALIBRATING);
    CHECK_EQ(result_of(w, 0).alive, LAYER_BROKEN);
}

TEST(cognitive, a_node_that_does_not_reveal_is_not_bound)
{
    struct world *w = started(1, 1, 1);
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    world_wait(w, 15000);
    CHECK_EQ(world_state(w, 0), NODE_RECALIBRATING);
    CHECK_EQ(result_of(w, 0).alive, LAYER_HELD);
    CHECK_EQ(result_of(w, 0).bound, LAYER_BROKEN);
}

static void reveal_is_not_bound(void (*change)(struct record *record), bool before)
{
    struct world *w = started(1, 1, 1);
    struct record record = record_of(w, 0);
    if (before)
        change(&record); /* it precommits to what does not fit the round */
    struct hash hash;
    precommit_for(w, 0, &record, &hash);
    CHECK_EQ(precommit_hashed(w, 0, &hash), VERDICT_ACCEPTED);
    if (!before)
        change(&record); /* it reveals something else */
    CHECK_EQ(commit_record(w, 0, &record), VERDICT_ACCEPTED);
    CHECK_EQ(world_event(w, EVENT_ROUND_ANSWER)->round_answer.bound, 0);
    CHECK(is_over(w));
    CHECK_EQ(result_of(w, 0).bound, LAYER_BROKEN);
    CHECK_EQ(world_state(w, 0), NODE_RECALIBRATING);
    world_settle(w);
}

static void another_text(struct record *record) { record->text_digest = test_hash('t', 9); }
static void another_model(struct record *record) { record->manifest_digest = test_hash('m', 9); }
static void another_request(struct record *record) { record->request_digest = test_hash('r', 9); }
static void another_seed(struct record *record) { record->seed++; }
static void a_client_s_seed(struct record *record) { record->seed_of_client = 1; }
static void too_many_tokens(struct record *record) { record->tokens_out = TOKENS_MAX + 1; }

TEST(cognitive, a_reveal_of_something_else_is_not_bound)
{
    reveal_is_not_bound(another_text, false);
}

TEST(cognitive, a_record_that_does_not_fit_the_round_is_not_bound)
{
    reveal_is_not_bound(another_model, true);
    reveal_is_not_bound(another_request, true);
    reveal_is_not_bound(another_seed, true);
    reveal_is_not_bound(a_client_s_seed, true);
    reveal_is_not_bound(too_many_tokens, true);
}

TEST(cognitive, a_copied_precommit_cannot_be_revealed)
{
    struct world *w = started(2, 1, 1);
    struct record record = record_of(w, 0);
    struct hash hash;
    precommit_for(w, 0, &record, &hash);
    CHECK_EQ(precommit_hashed(w, 0, &hash), VERDICT_ACCEPTED);
    CHECK_EQ(precommit_hashed(w, 1, &hash), VERDICT_ACCEPTED);
    CHECK_EQ(commit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(commit_record(w, 1, &record), VERDICT_ACCEPTED);
    CHECK_EQ(place_of(w, 0)->bound, LAYER_HELD);
    CHECK_EQ(place_of(w, 1)->bound, LAYER_BROKEN);
}

TEST(cognitive, right_not_measured_passes_as_unverified)
{
    struct world *w = committed(1, 1, 1);
    CHECK_EQ(judge(w, 0, 0, LAYER_NOT_MEASURED, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(world_state(w, 0), NODE_EPHEMERAL);
    CHECK_EQ(node_pool_node(&w->pool, 0)->model[0].class, CLASS_UNVERIFIED);
    CHECK_EQ(result_of(w, 0).right, LAYER_NOT_MEASURED);
    CHECK_EQ(result_of(w, 0).agreed, LAYER_HELD);
}

TEST(cognitive, wrong_tokens_fail)
{
    struct world *w = committed(1, 1, 1);
    CHECK_EQ(judge(w, 0, 0, LAYER_BROKEN, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(world_state(w, 0), NODE_RECALIBRATING);
    CHECK_EQ(result_of(w, 0).right, LAYER_BROKEN);
}

TEST(cognitive, too_slow_by_an_oracle_s_word_fails)
{
    struct world *w = committed(1, 1, 1);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_BROKEN), VERDICT_ACCEPTED);
    CHECK_EQ(world_state(w, 0), NODE_RECALIBRATING);
    CHECK_EQ(result_of(w, 0).fast, LAYER_BROKEN);
}

TEST(cognitive, too_slow_by_its_router_s_clock_fails)
{
    struct world *w = started(1, 1, 1);
    w->step.params.tokens_per_s_milli_min = 10001;
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(commit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(world_state(w, 0), NODE_RECALIBRATING);
    CHECK_EQ(result_of(w, 0).fast, LAYER_BROKEN);
    CHECK_EQ(result_of(w, 0).right, LAYER_HELD);
}

TEST(cognitive, fast_needs_no_more_than_the_router_s_clock)
{
    struct world *w = committed(1, 1, 1);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_NOT_MEASURED), VERDICT_ACCEPTED);
    CHECK_EQ(world_state(w, 0), NODE_EPHEMERAL);
    CHECK_EQ(result_of(w, 0).fast, LAYER_HELD);
}

TEST(cognitive, the_least_context_that_oracles_proved_counts)
{
    struct world *w = committed(1, 2, 2);
    struct cmd_round_verdict cmd = {place_of(w, 0)->lease, LAYER_HELD, LAYER_HELD, 512, {{0}}};
    CHECK_EQ(cognitive_verdict(&w->cognitive, &cmd, 0), VERDICT_ACCEPTED);
    cmd.context = 256;
    CHECK_EQ(cognitive_verdict(&w->cognitive, &cmd, 1), VERDICT_ACCEPTED);
    CHECK_EQ(node_pool_node(&w->pool, 0)->model[0].context, 256);
}

/* ---- verdicts ---- */

TEST(cognitive, a_verdict_wants_an_answer_and_another_operator)
{
    struct world *w = started(2, 2, 2);
    CHECK_EQ(judge(w, 0, 0, LAYER_RESULT_COUNT, LAYER_HELD), VERDICT_VALUE_INVALID);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_RESULT_COUNT), VERDICT_VALUE_INVALID);
    struct cmd_round_verdict cmd = {6, LAYER_HELD, LAYER_HELD, 0, {{0}}};
    CHECK_EQ(cognitive_verdict(&w->cognitive, &cmd, 0), VERDICT_LEASE_STALE);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ROUND_STATE);
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(precommit(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ANSWER_MISSING);
    CHECK_EQ(commit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED); /* while others still reveal */
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_VERDICT_KNOWN);
    w->cognitive.oracle[1].operator= world_operator_address(0);
    w->cognitive.oracle[1].account = account_find(&w->account, &w->cognitive.oracle[1].operator);
    CHECK_EQ(judge(w, 0, 1, LAYER_HELD, LAYER_HELD), VERDICT_OWN_OPERATOR);
}

TEST(cognitive, a_quorum_decides_and_late_verdicts_are_stale)
{
    struct world *w = committed(1, 3, 2);
    struct cmd_round_verdict late = {place_of(w, 0)->lease, LAYER_HELD, LAYER_HELD, 0, {{0}}};
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 1, LAYER_BROKEN, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK(!is_over(w));
    world_copy_is_equal(w);
    CHECK_EQ(judge(w, 0, 2, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK(is_over(w));
    CHECK_EQ(world_state(w, 0), NODE_EPHEMERAL);
    CHECK_EQ(cognitive_verdict(&w->cognitive, &late, 1), VERDICT_LEASE_STALE);
}

TEST(cognitive, oracles_that_disagree_let_nobody_in)
{
    struct world *w = committed(1, 3, 2);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 1, LAYER_BROKEN, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 2, LAYER_NOT_MEASURED, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(world_state(w, 0), NODE_RECALIBRATING);
    CHECK_EQ(result_of(w, 0).agreed, LAYER_BROKEN);
}

TEST(cognitive, verdicts_that_do_not_come_blame_nobody)
{
    struct world *w = committed(2, 2, 2);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    world_forget(w);
    world_wait(w, 60000);
    bool aborted = false;
    for (uint32_t i = 0; i < w->out.count; i++)
        if (w->event[i].type == EVENT_ROUND_MOVED && w->event[i].round_moved.to == ROUND_ABORTED)
            aborted = w->event[i].round_moved.reason == ABORT_NO_VERDICTS;
    CHECK(aborted);
    CHECK_EQ(world_events(w, EVENT_ROUND_RESULT), 0);
    CHECK_EQ(world_state(w, 0), NODE_TESTING); /* in the next round, without a back-off */
    CHECK_EQ(reputation_stats(&w->reputation, 0)->streak, 0);
}

TEST(cognitive, who_was_judged_is_decided_though_others_were_not)
{
    struct world *w = committed(2, 1, 1);
    CHECK_EQ(judge(w, 1, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    world_forget(w);
    world_wait(w, 60000);
    CHECK_EQ(world_state(w, 1), NODE_EPHEMERAL);
    CHECK_EQ(world_state(w, 0), NODE_TESTING);
    CHECK_EQ(world_events(w, EVENT_ROUND_RESULT), 1);
}

TEST(cognitive, oracles_of_the_node_s_own_operator_alone_can_let_nobody_in)
{
    struct world *w = committed(1, 1, 1);
    w->cognitive.oracle[0].operator= world_operator_address(0);
    w->cognitive.oracle[0].account = account_find(&w->account, &w->cognitive.oracle[0].operator);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_OWN_OPERATOR);
    world_forget(w);
    world_wait(w, 60000);
    CHECK_EQ(world_events(w, EVENT_ROUND_RESULT), 0);
    CHECK_EQ(world_state(w, 0), NODE_TESTING);
}

/* ---- nodes that go meanwhile ---- */

TEST(cognitive, a_node_cut_off_in_its_round_is_not_blamed)
{
    struct world *w = started(1, 1, 1);
    CHECK_EQ(world_detach(w, 0, 0), VERDICT_ACCEPTED);
    world_forget(w);
    world_wait(w, 10000);
    CHECK(is_over(w));
    CHECK_EQ(world_state(w, 0), NODE_UNTESTED);
    CHECK_EQ(last_move(w).reason, ABORT_NODES_LOST);
    CHECK_EQ(world_events(w, EVENT_ROUND_RESULT), 0);
}

TEST(cognitive, a_node_that_leaves_in_its_round_goes_when_it_is_over)
{
    struct world *w = started(2, 1, 1);
    CHECK_EQ(world_leave(w, 0), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 0), NODE_LEAVING);
    CHECK_EQ(ack(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(precommit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(precommit(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(commit(w, 0), VERDICT_ACCEPTED);
    CHECK_EQ(commit(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 0, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    CHECK_EQ(judge(w, 1, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 0), NODE_GONE);
    CHECK_EQ(world_state(w, 1), NODE_EPHEMERAL);
}

TEST(cognitive, half_of_the_proved_and_all_newcomers_share_a_round)
{
    struct world *w = committed(4, 1, 1);
    for (uint32_t i = 0; i < 4; i++)
        CHECK_EQ(judge(w, i, 0, LAYER_HELD, LAYER_HELD), VERDICT_ACCEPTED);
    for (uint32_t i = 0; i < 4; i++) {
        node_pool_reserve(&w->pool, i, 0);
        node_pool_release(&w->pool, i, NODE_REASON_SESSION_ENDED);
    }
    world_join(w, 4, 4);
    world_settle(w);
    CHECK_EQ(w->cognitive.slots.live, 1);
    CHECK_EQ(the_round(w)->places, 3);
    CHECK_EQ(world_state(w, 2), NODE_RELEASED);
    CHECK_EQ(world_state(w, 4), NODE_TESTING);
}

/* test_node_pool.c - a test for each arrow of a node's life and for each refusal. */
#include "core/node_pool_parts.h"
#include "lib/core_parts.h"
#include "lib/test.h"
#include "lib/world.h"

static const struct node *node_at(const struct world *w, uint32_t slot) { return node_pool_node(&w->pool, slot); }

static struct node_filter any(void)
{
    return (struct node_filter){.model = 0, .price_in_max = PRICE_MAX, .price_out_max = PRICE_MAX};
}

static void reserve(struct world *w, uint32_t slot)
{
    node_pool_reserve(&w->pool, slot, 0);
    world_settle(w);
}

/* ---- joining ---- */

TEST(node_pool, register_makes_an_untested_node)
{
    struct world *w = world_open();
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 1), NODE_UNTESTED);
    CHECK_EQ(world_events(w, EVENT_NODE_REGISTERED), 1);
    struct address node = world_node_address(1), operator= world_operator_address(1);
    CHECK(account_find(&w->account, &node) != SLOT_NONE);
    uint32_t slot = node_pool_find(&w->pool, &node);
    CHECK_EQ(node_pool_account(&w->pool, slot), account_find(&w->account, &operator));
    CHECK(address_eq(node_pool_operator(&w->pool, slot), &operator));
    CHECK(!node_pool_is_present(&w->pool, slot));
    world_copy_is_equal(w);
}

TEST(node_pool, register_refuses_what_is_no_node)
{
    struct world *w = world_open();
    struct command cmd = {.signer_count = 1};
    struct cmd_node_register *reg = &cmd.node_register;
    reg->node = world_node_address(1);
    reg->operator= world_operator_address(1);
    reg->slots = 1;
    reg->engine = ENGINE_BUILTIN;
    cmd.signer[0] = reg->node;
    CHECK_EQ(node_pool_register(&w->pool, &cmd), VERDICT_NOT_AUTHORIZED);
    cmd.signer[0] = reg->operator;
    reg->slots = 0;
    CHECK_EQ(node_pool_register(&w->pool, &cmd), VERDICT_VALUE_INVALID);
    reg->slots = NODE_SLOTS_MAX + 1;
    CHECK_EQ(node_pool_register(&w->pool, &cmd), VERDICT_VALUE_INVALID);
    reg->slots = NODE_SLOTS_MAX;
    reg->engine = 0;
    CHECK_EQ(node_pool_register(&w->pool, &cmd), VERDICT_VALUE_INVALID);
    reg->engine = ENGINE_ECHO;
    reg->node = (struct address){{0}};
    CHECK_EQ(node_pool_register(&w->pool, &cmd), VERDICT_VALUE_INVALID);
    reg->node = world_node_address(1);
    CHECK_EQ(node_pool_register(&w->pool, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(node_pool_register(&w->pool, &cmd), VERDICT_NODE_KNOWN);
}

TEST(node_pool, register_takes_stake_and_fee)
{
    struct world *w = world_open();
    w->step.params.stake_min = 100;
    w->step.params.join_fee = 5;
    CHECK_EQ(world_register(w, 1, 1, 99), VERDICT_STAKE_SHORT);
    CHECK_EQ(world_register(w, 1, 1, 100), VERDICT_BALANCE_SHORT);
    struct address operator= world_operator_address(1);
    struct cmd_deposit deposit = {operator, amount_of(104), test_hash('d', 1)};
    CHECK_EQ(payment_deposit(&w->payment, &deposit), VERDICT_ACCEPTED);
    CHECK_EQ(world_register(w, 1, 1, 100), VERDICT_BALANCE_SHORT);
    CHECK_EQ(world_register(w, 1, 1, UINT64_MAX), VERDICT_AMOUNT_OVERFLOW);
    deposit = (struct cmd_deposit){operator, amount_of(1), test_hash('d', 2)};
    CHECK_EQ(payment_deposit(&w->payment, &deposit), VERDICT_ACCEPTED);
    struct cmd_account_restrict restrict_ = {operator, 1 };
    account_restrict(&w->account, &restrict_);
    CHECK_EQ(world_register(w, 1, 1, 100), VERDICT_ACCOUNT_RESTRICTED);
    restrict_.restricted = 0;
    account_restrict(&w->account, &restrict_);
    CHECK_EQ(world_register(w, 1, 1, 100), VERDICT_ACCEPTED);
    CHECK_EQ(payment_stake(&w->payment, 0).credits, 100);
    CHECK_EQ(account_balance(&w->account, account_find(&w->account, &operator)).credits, 0);
    world_settle(w);
    CHECK_EQ(world_leave(w, 1), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(account_balance(&w->account, account_find(&w->account, &operator)).credits, 100);
}

TEST(node_pool, full_tables_are_verdicts)
{
    struct world *w = world_open();
    for (uint32_t i = 0; i < 12; i++)
        CHECK_EQ(world_register(w, i, i, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_register(w, 12, 12, 0), VERDICT_OPERATORS_FULL);
    struct cmd_node_approve approve = {world_operator_address(12), 1};
    CHECK_EQ(node_pool_approve(&w->pool, &approve), VERDICT_OPERATORS_FULL);
    for (uint32_t i = 12; i < 16; i++)
        CHECK_EQ(world_register(w, i, 0, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_register(w, 16, 0, 0), VERDICT_NODES_FULL);
    world_settle(w);
    CHECK_EQ(world_leave(w, 3), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_register(w, 16, 0, 0), VERDICT_ACCEPTED);
    world_settle(w);
    world_copy_is_equal(w);
}

TEST(node_pool, full_accounts_are_a_verdict)
{
    struct world *w = world_open();
    uint32_t account, i = 0;
    while (account_has_room(&w->account, 2)) {
        struct address filler = test_address('f', i++);
        CHECK_EQ(account_ensure(&w->account, &filler, &account), VERDICT_ACCEPTED);
    }
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCOUNTS_FULL);
    node_pool_check(&w->pool);
}

TEST(node_pool, join_by_approval)
{
    struct world *w = world_open();
    w->step.params.join_rule = 2;
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_APPROVAL_MISSING);
    struct cmd_node_approve approve = {world_operator_address(1), 2};
    CHECK_EQ(node_pool_approve(&w->pool, &approve), VERDICT_VALUE_INVALID);
    approve.approved = 1;
    CHECK_EQ(node_pool_approve(&w->pool, &approve), VERDICT_ACCEPTED);
    CHECK_EQ(world_event(w, EVENT_OPERATOR_CHANGED)->operator_changed.approved, 1);
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    approve.approved = 0;
    CHECK_EQ(node_pool_approve(&w->pool, &approve), VERDICT_ACCEPTED);
    CHECK_EQ(world_register(w, 2, 1, 0), VERDICT_APPROVAL_MISSING);
    world_settle(w);
}

static enum verdict register_invited(struct world *w, uint32_t n, const struct hash *invite)
{
    struct command cmd = {.signer_count = 1};
    cmd.node_register.node = world_node_address(n);
    cmd.signer[0] = cmd.node_register.operator= world_operator_address(n);
    cmd.node_register.slots = 1;
    cmd.node_register.engine = ENGINE_ECHO;
    cmd.node_register.invite = *invite;
    return node_pool_register(&w->pool, &cmd);
}

TEST(node_pool, join_by_invitation_once_and_in_time)
{
    struct world *w = world_open();
    w->step.params.join_rule = 1;
    struct hash secret = test_hash('i', 1), none = {{0}};
    struct cmd_node_invite invite = {.expires_ms = 2000};
    keccak256(secret.b, sizeof secret.b, &invite.invite_hash);
    CHECK_EQ(register_invited(w, 1, &secret), VERDICT_INVITE_INVALID);
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_ACCEPTED);
    CHECK_EQ(register_invited(w, 1, &none), VERDICT_INVITE_INVALID);
    CHECK_EQ(register_invited(w, 1, &secret), VERDICT_ACCEPTED);
    CHECK_EQ(register_invited(w, 2, &secret), VERDICT_INVITE_INVALID);
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_ACCEPTED);
    w->step.now_ms = 2000;
    CHECK_EQ(register_invited(w, 2, &secret), VERDICT_INVITE_INVALID);
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_VALUE_INVALID);
    world_settle(w);
}

TEST(node_pool, invitations_are_bounded_and_expire)
{
    struct world *w = world_open();
    struct cmd_node_invite invite = {test_hash('i', 1), 5000};
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_ACCEPTED);
    invite.expires_ms = 6000; /* again: its new term */
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_ACCEPTED);
    invite.invite_hash = test_hash('i', 2);
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_ACCEPTED);
    invite.invite_hash = test_hash('i', 3);
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_INVITES_FULL);
    world_copy_is_equal(w);
    CHECK_EQ(node_pool_due_ms(&w->pool), 6000);
    world_wait(w, 5000);
    invite.expires_ms = 9000;
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_ACCEPTED);
    invite.invite_hash = (struct hash){{0}};
    CHECK_EQ(node_pool_invite(&w->pool, &invite), VERDICT_VALUE_INVALID);
}

/* ---- models ---- */

TEST(node_pool, offers_have_bounds)
{
    struct world *w = world_open();
    CHECK_EQ(world_offer(w, 1, 0, 10), VERDICT_NODE_UNKNOWN);
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_offer(w, 1, 0, 1001), VERDICT_PRICE_RANGE);
    CHECK_EQ(world_offer(w, 1, 0, PRICE_MAX + 1), VERDICT_PRICE_RANGE);
    struct cmd_node_model_put cmd = {.node = world_node_address(1), .model = 77, .context = 1};
    CHECK_EQ(node_pool_model_put(&w->pool, &cmd), VERDICT_MODEL_UNKNOWN);
    cmd.model = catalog_id(&w->catalog, 0);
    cmd.declared = 2;
    CHECK_EQ(node_pool_model_put(&w->pool, &cmd), VERDICT_VALUE_INVALID);
    cmd.declared = 1;
    cmd.context = 1 << 20;
    CHECK_EQ(node_pool_model_put(&w->pool, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(node_at(w, 0)->model[0].context, 2048); /* the model's own is the most that counts */
    CHECK_EQ(node_at(w, 0)->model[0].declared, 1);
    CHECK_EQ(node_pool_count_offering(&w->pool, 0), 1);
    struct cmd_model_remove gone = {cmd.model};
    CHECK_EQ(catalog_remove(&w->catalog, &gone), VERDICT_MODEL_IN_USE);
    world_settle(w);
}

TEST(node_pool, a_node_offers_so_many_models)
{
    struct world *w = world_open();
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    uint32_t place = 0;
    for (uint32_t i = 0; i < 2; i++)
        CHECK_EQ(world_offer(w, 1, i, 10), VERDICT_ACCEPTED);
    /* The catalog here is smaller than what a node may offer: fill the rest by hand. */
    for (place = 2; place < NODE_MODELS_MAX; place++)
        w->pool.node[0].model[place].model = 0;
    struct cmd_model_put cmd = {.manifest_digest = test_hash('m', 9), .context = 1, .name = {(const uint8_t *)"x", 1}};
    CHECK_EQ(catalog_put(&w->catalog, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(world_offer(w, 1, 2, 0), VERDICT_NODE_MODELS_FULL);
}

TEST(node_pool, a_context_of_0_takes_a_model_back)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    struct cmd_node_model_put cmd = {.node = world_node_address(1), .model = catalog_id(&w->catalog, 1)};
    CHECK_EQ(node_pool_model_put(&w->pool, &cmd), VERDICT_MODEL_UNKNOWN);
    cmd.model = catalog_id(&w->catalog, 0);
    reserve(w, slot);
    CHECK_EQ(node_pool_model_put(&w->pool, &cmd), VERDICT_NODE_STATE);
    node_pool_release(&w->pool, slot, NODE_REASON_SESSION_ENDED);
    CHECK(node_pool_wants_round(&w->pool, 0));
    CHECK_EQ(node_pool_model_put(&w->pool, &cmd), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK(!node_pool_wants_round(&w->pool, 0));
    CHECK_EQ(node_pool_count_offering(&w->pool, 0), 0);
    struct cmd_model_remove gone = {cmd.model};
    CHECK_EQ(catalog_remove(&w->catalog, &gone), VERDICT_ACCEPTED);
}

TEST(node_pool, a_proved_context_bounds_the_declared)
{
    struct world *w = world_open();
    uint32_t slot = world_join(w, 1, 1), node;
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
    node_pool_passed(&w->pool, node, CLASS_VERIFIED, 512);
    CHECK_EQ(node_at(w, slot)->model[0].context, 512);
    CHECK_EQ(world_offer(w, 1, 0, 11), VERDICT_ACCEPTED);
    CHECK_EQ(node_at(w, slot)->model[0].context, 512);
    CHECK_EQ(node_at(w, slot)->model[0].proved, 1);
    CHECK_EQ(node_at(w, slot)->model[0].price_in, 11);
    world_settle(w);
}

/* ---- presence ---- */

TEST(node_pool, attach_takes_newer_links_only)
{
    struct world *w = world_open();
    CHECK_EQ(world_attach(w, 1, 0), VERDICT_NODE_UNKNOWN);
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    struct cmd_node_attach attach = {world_node_address(1), 5};
    CHECK_EQ(node_pool_attach(&w->pool, &attach), VERDICT_ACCEPTED);
    CHECK(node_pool_is_present(&w->pool, 0));
    CHECK(node_pool_is_attached(&w->pool, 0, 0));
    CHECK(!node_pool_is_attached(&w->pool, 0, 1));
    CHECK(!node_pool_is_attached(&w->pool, 0, SLOT_NONE));
    CHECK_EQ(node_pool_attach(&w->pool, &attach), VERDICT_LINK_STALE);
    attach.link = 4;
    CHECK_EQ(node_pool_attach(&w->pool, &attach), VERDICT_LINK_STALE);
    attach.link = 6;
    CHECK_EQ(node_pool_attach(&w->pool, &attach), VERDICT_ACCEPTED);
    struct cmd_node_detach detach = {world_node_address(1), 5, DETACH_CLOSED};
    CHECK_EQ(node_pool_detach(&w->pool, &detach), VERDICT_LINK_STALE);
    detach.reason = DETACH_REASON_COUNT;
    CHECK_EQ(node_pool_detach(&w->pool, &detach), VERDICT_VALUE_INVALID);
    detach = (struct cmd_node_detach){world_node_address(2), 6, DETACH_CLOSED};
    CHECK_EQ(node_pool_detach(&w->pool, &detach), VERDICT_NODE_UNKNOWN);
    detach.node = world_node_address(1);
    CHECK_EQ(node_pool_detach(&w->pool, &detach), VERDICT_ACCEPTED);
    CHECK_EQ(node_pool_detach(&w->pool, &detach), VERDICT_LINK_STALE);
    CHECK(!node_pool_is_present(&w->pool, 0));
    CHECK_EQ(world_events(w, EVENT_NODE_ATTACHED), 2);
    CHECK_EQ(world_events(w, EVENT_NODE_DETACHED), 1);
    world_settle(w);
}

TEST(node_pool, a_node_with_two_routers_stays_when_one_goes)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    CHECK_EQ(world_attach(w, 1, 1), VERDICT_ACCEPTED);
    CHECK_EQ(world_detach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK(node_pool_is_present(&w->pool, slot));
    world_copy_is_equal(w);
    CHECK_EQ(world_detach(w, 1, 1), VERDICT_ACCEPTED);
    CHECK(!node_pool_is_present(&w->pool, slot));
    world_settle(w);
}

TEST(node_pool, links_are_bounded_and_a_removed_router_gives_its_place)
{
    struct world *w = world_open();
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    for (uint32_t i = 2; i <= NODE_LINKS_MAX; i++) {
        struct cmd_router_add add = {test_address('R', i), test_address('Q', i)};
        CHECK_EQ(account_router_add(&w->account, &add), VERDICT_ACCEPTED);
    }
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++)
        CHECK_EQ(world_attach(w, 1, i), VERDICT_ACCEPTED);
    CHECK_EQ(world_attach(w, 1, NODE_LINKS_MAX), VERDICT_LINKS_FULL);
    world_settle(w);
    struct cmd_router_remove remove = {test_address('R', 1)};
    CHECK_EQ(account_router_remove(&w->account, &remove), VERDICT_ACCEPTED);
    CHECK_EQ(world_attach(w, 1, NODE_LINKS_MAX), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK(!node_pool_is_attached(&w->pool, 0, 1));
}

TEST(node_pool, a_silent_router_makes_its_nodes_absent_and_its_return_present)
{
    struct world *w = world_open();
    uint32_t a = world_admit(w, 1, 1), b = world_admit(w, 2, 2);
    CHECK_EQ(world_attach(w, 2, 1), VERDICT_ACCEPTED);
    world_wait_without(w, 60000);
    CHECK(!node_pool_is_present(&w->pool, a));
    CHECK(node_pool_is_present(&w->pool, b));
    world_copy_is_equal(w);
    CHECK_EQ(world_state(w, 1), NODE_EPHEMERAL);
    uint32_t picked[2];
    struct node_filter filter = any();
    CHECK(!node_pool_pick(&w->pool, &filter, 2, 9, picked));
    CHECK(node_pool_pick(&w->pool, &filter, 1, 9, picked));
    CHECK_EQ(picked[0], b);
    world_wait(w, 10);
    CHECK(node_pool_is_present(&w->pool, a));
    CHECK(node_pool_pick(&w->pool, &filter, 2, 9, picked));
}

/* ---- tests ---- */

TEST(node_pool, waits_for_a_test_when_present_and_with_a_model)
{
    struct world *w = world_open();
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_offer(w, 1, 0, 10), VERDICT_ACCEPTED);
    CHECK(!node_pool_wants_round(&w->pool, 0));
    CHECK_EQ(world_attach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK(node_pool_wants_round(&w->pool, 0));
    CHECK(!node_pool_wants_round(&w->pool, 1));
    CHECK_EQ(world_detach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK(!node_pool_wants_round(&w->pool, 0));
    CHECK_EQ(world_register(w, 2, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_attach(w, 2, 0), VERDICT_ACCEPTED);
    CHECK(!node_pool_wants_round(&w->pool, 0));
    world_settle(w);
}

TEST(node_pool, passed_makes_ephemeral)
{
    struct world *w = world_open();
    uint32_t slot = world_join(w, 1, 1), node;
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 16, &node), 1);
    CHECK_EQ(node, slot);
    CHECK_EQ(world_state(w, 1), NODE_TESTING);
    CHECK_EQ(node_pool_take_came(&w->pool), SLOT_NONE);
    world_copy_is_equal(w);
    node_pool_passed(&w->pool, node, CLASS_UNVERIFIED, 0);
    CHECK_EQ(world_state(w, 1), NODE_EPHEMERAL);
    CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.reason, NODE_REASON_PASSED);
    CHECK_EQ(world_event(w, EVENT_NODE_MODEL_CHANGED)->node_model_changed.proved, 1);
    CHECK_EQ(world_event(w, EVENT_NODE_MODEL_CHANGED)->node_model_changed.class, CLASS_UNVERIFIED);
    CHECK_EQ(node_pool_take_came(&w->pool), 0);
    CHECK_EQ(node_pool_take_came(&w->pool), SLOT_NONE);
    world_settle(w);
}

static void fail_next(struct world *w)
{
    uint32_t node;
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
    node_pool_failed(&w->pool, node);
    world_settle(w);
}

TEST(node_pool, failures_back_off_doubling_to_a_bound_and_success_resets)
{
    struct world *w = world_open();
    w->step.params.backoff_ms_max = 200000;
    uint32_t slot = world_join(w, 1, 1);
    static const uint64_t backoff[] = {60000, 120000, 200000, 200000};
    for (size_t i = 0; i < ARRAY_COUNT(backoff); i++) {
        fail_next(w);
        CHECK_EQ(world_state(w, 1), NODE_RECALIBRATING);
        CHECK_EQ(node_at(w, slot)->retry_ms, w->step.now_ms + backoff[i]);
        world_wait(w, backoff[i] - 1);
        CHECK(!node_pool_wants_round(&w->pool, 0));
        world_wait(w, 1);
        CHECK(node_pool_wants_round(&w->pool, 0));
    }
    world_pass_all(w);
    CHECK_EQ(world_state(w, 1), NODE_EPHEMERAL);
    reserve(w, slot);
    node_pool_release(&w->pool, slot, NODE_REASON_SESSION_ENDED);
    fail_next(w);
    CHECK_EQ(node_at(w, slot)->retry_ms, w->step.now_ms + 60000);
    CHECK_EQ(node_at(w, slot)->model[0].proved, 0);
}

TEST(node_pool, an_aborted_round_returns_nodes_to_where_they_came_from)
{
    struct world *w = world_open();
    uint32_t fresh = world_join(w, 1, 1), node;
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
    node_pool_round_aborted(&w->pool, node);
    CHECK_EQ(world_state(w, 1), NODE_UNTESTED);
    CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.reason, NODE_REASON_ROUND_ABORTED);
    fail_next(w);
    world_wait(w, 60000);
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
    CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.reason, NODE_REASON_BACKOFF_OVER);
    node_pool_round_aborted(&w->pool, node);
    CHECK_EQ(world_state(w, 1), NODE_RECALIBRATING);
    CHECK(node_pool_wants_round(&w->pool, 0)); /* without a new back-off */
    world_pass_all(w);
    reserve(w, fresh);
    node_pool_release(&w->pool, fresh, NODE_REASON_SESSION_ENDED);
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
    node_pool_round_aborted(&w->pool, node);
    CHECK_EQ(world_state(w, 1), NODE_RELEASED);
    world_settle(w);
}

TEST(node_pool, newcomers_share_a_round_but_half_of_the_proved_stay)
{
    struct world *w = world_open();
    uint32_t slot[6], node[16];
    for (uint32_t i = 0; i < 5; i++)
        slot[i] = world_join(w, i, i);
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 16, node), 5);
    for (uint32_t i = 0; i < 5; i++)
        node_pool_passed(&w->pool, node[i], CLASS_VERIFIED, 0);
    for (uint32_t i = 0; i < 5; i++) {
        reserve(w, slot[i]);
        node_pool_release(&w->pool, slot[i], NODE_REASON_SESSION_ENDED);
    }
    slot[5] = world_join(w, 5, 5);
    /* Two of the five that had passed, and the newcomer. */
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 16, node), 3);
    CHECK_EQ(node[0], slot[0]);
    CHECK_EQ(node[1], slot[1]);
    CHECK_EQ(node[2], slot[5]);
    CHECK(!node_pool_wants_round(&w->pool, 0));
    node_pool_check(&w->pool);
    node_pool_passed(&w->pool, node[0], CLASS_VERIFIED, 0);
    CHECK(node_pool_wants_round(&w->pool, 0));
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 16, node), 1);
    CHECK_EQ(node[0], slot[2]);
    node_pool_check(&w->pool);
    world_copy_is_equal(w);
}

TEST(node_pool, a_round_takes_no_more_than_it_wants)
{
    struct world *w = world_open();
    uint32_t node[16];
    for (uint32_t i = 0; i < 5; i++)
        world_join(w, i, i);
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 3, node), 3);
    CHECK_EQ(node_pool_take_for_round(&w->pool, 1, 3, node), 0);
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 3, node), 2);
    node_pool_check(&w->pool);
}

TEST(node_pool, the_first_model_that_is_not_proved_is_tested_first)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1), node;
    CHECK_EQ(world_offer(w, 1, 1, 10), VERDICT_ACCEPTED);
    CHECK(node_pool_wants_round(&w->pool, 1));
    struct node_filter filter = any();
    CHECK(node_pool_pick(&w->pool, &filter, 1, 0, &node)); /* it can be picked meanwhile */
    CHECK_EQ(node_pool_take_for_round(&w->pool, 1, 1, &node), 1);
    CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.from, NODE_EPHEMERAL);
    CHECK(!node_pool_pick(&w->pool, &filter, 1, 0, &node));
    node_pool_round_aborted(&w->pool, slot);
    CHECK_EQ(world_state(w, 1), NODE_EPHEMERAL);
    CHECK_EQ(node_pool_take_for_round(&w->pool, 1, 1, &node), 1);
    node_pool_passed(&w->pool, node, CLASS_VERIFIED, 0);
    filter.model = 1;
    CHECK(node_pool_pick(&w->pool, &filter, 1, 0, &node));
    /* With both proved, the one that its last session used. */
    node_pool_reserve(&w->pool, slot, 1);
    node_pool_release(&w->pool, slot, NODE_REASON_SESSION_ENDED);
    CHECK(node_pool_wants_round(&w->pool, 1));
    CHECK(!node_pool_wants_round(&w->pool, 0));
    world_settle(w);
    world_copy_is_equal(w);
}

/* ---- sessions ---- */

TEST(node_pool, reserved_nodes_are_picked_no_more_and_released_ones_only_after_a_round)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1), picked;
    struct node_filter filter = any();
    CHECK(node_pool_pick(&w->pool, &filter, 1, 0, &picked));
    reserve(w, slot);
    CHECK_EQ(world_state(w, 1), NODE_RESERVED);
    CHECK(!node_pool_pick(&w->pool, &filter, 1, 0, &picked));
    node_pool_release(&w->pool, slot, NODE_REASON_SESSION_ENDED);
    CHECK_EQ(world_state(w, 1), NODE_RELEASED);
    CHECK(!node_pool_pick(&w->pool, &filter, 1, 0, &picked));
    world_pass_all(w);
    CHECK(node_pool_pick(&w->pool, &filter, 1, 0, &picked));
}

TEST(node_pool, busy_takes_slots)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    reserve(w, slot);
    CHECK(node_pool_has_slot(&w->pool, slot));
    node_pool_busy(&w->pool, slot);
    node_pool_busy(&w->pool, slot);
    CHECK(!node_pool_has_slot(&w->pool, slot));
    node_pool_idle(&w->pool, slot);
    CHECK(node_pool_has_slot(&w->pool, slot));
    world_settle(w);
    CHECK_EQ(world_detach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK(!node_pool_has_slot(&w->pool, slot));
}

TEST(node_pool, a_reserved_node_that_is_absent_is_lost_and_keeps_its_state)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    reserve(w, slot);
    CHECK_EQ(node_pool_lost(&w->pool), SLOT_NONE);
    CHECK_EQ(world_detach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(node_pool_lost(&w->pool), slot);
    CHECK_EQ(world_state(w, 1), NODE_RESERVED);
    CHECK(!node_pool_is_lost_for_good(&w->pool, slot));
    node_pool_lost_done(&w->pool, slot);
    CHECK_EQ(node_pool_lost(&w->pool), SLOT_NONE);
    /* Back in time: its session hears of it. */
    world_wait(w, 599000);
    CHECK_EQ(world_attach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(node_pool_take_news(&w->pool), slot);
    CHECK_EQ(node_pool_take_news(&w->pool), SLOT_NONE);
    world_settle(w);
    /* For too long: lost for good, and OFFLINE once its session has let it go. */
    CHECK_EQ(world_detach(w, 1, 0), VERDICT_ACCEPTED);
    node_pool_lost_done(&w->pool, slot);
    world_wait(w, 600000);
    CHECK_EQ(node_pool_lost(&w->pool), slot);
    CHECK(node_pool_is_lost_for_good(&w->pool, slot));
    world_copy_is_equal(w);
    node_pool_release(&w->pool, slot, NODE_REASON_ABSENT);
    CHECK_EQ(node_pool_lost(&w->pool), SLOT_NONE);
    world_settle(w);
    CHECK_EQ(world_state(w, 1), NODE_OFFLINE);
    CHECK_EQ(world_attach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_state(w, 1), NODE_RELEASED);
    world_settle(w);
}

/* ---- OFFLINE and back ---- */

static void absent_for_long(struct world *w, uint32_t n)
{
    CHECK_EQ(world_detach(w, n, 0), VERDICT_ACCEPTED);
    world_wait(w, w->step.params.node_absent_ms);
    CHECK_EQ(world_state(w, n), NODE_OFFLINE);
    world_copy_is_equal(w);
    CHECK_EQ(world_attach(w, n, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.reason, NODE_REASON_RETURNED);
    world_settle(w);
}

TEST(node_pool, offline_returns_to_ephemeral_if_it_had_passed)
{
    struct world *w = world_open();
    world_admit(w, 1, 1);
    CHECK(node_pool_take_came(&w->pool) == 0);
    absent_for_long(w, 1);
    CHECK_EQ(world_state(w, 1), NODE_EPHEMERAL);
    CHECK(node_pool_take_came(&w->pool) == 0);
}

TEST(node_pool, offline_returns_to_untested_or_released)
{
    struct world *w = world_open();
    uint32_t slot = world_join(w, 1, 1);
    absent_for_long(w, 1);
    CHECK_EQ(world_state(w, 1), NODE_UNTESTED);
    world_pass_all(w);
    reserve(w, slot);
    node_pool_release(&w->pool, slot, NODE_REASON_SESSION_ENDED);
    absent_for_long(w, 1);
    CHECK_EQ(world_state(w, 1), NODE_RELEASED);
}

TEST(node_pool, offline_returns_to_what_is_left_of_its_backoff)
{
    struct world *w = world_open();
    w->step.params.backoff_ms_min = 900000;
    CHECK_EQ(world_register(w, 1, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_attach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_offer(w, 1, 0, 1), VERDICT_ACCEPTED);
    fail_next(w);
    absent_for_long(w, 1);
    CHECK_EQ(world_state(w, 1), NODE_RECALIBRATING);
    CHECK(!node_pool_wants_round(&w->pool, 0));
    world_wait(w, 300000);
    CHECK(node_pool_wants_round(&w->pool, 0));
}

TEST(node_pool, a_node_that_was_lost_in_its_test_returns_to_before_it)
{
    struct world *w = world_open();
    uint32_t slot = world_join(w, 1, 1), node;
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
    absent_for_long(w, 1);
    CHECK_EQ(world_state(w, 1), NODE_UNTESTED);
    /* Its old round has not let it go yet: no second one. */
    CHECK(!node_pool_wants_round(&w->pool, 0));
    node_pool_failed(&w->pool, slot);
    CHECK_EQ(world_state(w, 1), NODE_UNTESTED);
    CHECK(node_pool_wants_round(&w->pool, 0));
    world_settle(w);
}

/* ---- leaving ---- */

TEST(node_pool, leaving_goes_from_every_state_and_the_address_may_come_again)
{
    struct world *w = world_open();
    CHECK_EQ(world_leave(w, 1), VERDICT_NODE_UNKNOWN);
    for (uint32_t state = NODE_UNTESTED; state <= NODE_OFFLINE; state++) {
        if (state == NODE_RESERVED)
            continue; /* below: its session comes first */
        uint32_t slot = world_join(w, 1, 1), node;
        if (state != NODE_UNTESTED && state != NODE_OFFLINE)
            CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
        if (state == NODE_EPHEMERAL || state == NODE_RELEASED)
            node_pool_passed(&w->pool, slot, CLASS_VERIFIED, 0);
        if (state == NODE_RELEASED) {
            reserve(w, slot);
            node_pool_release(&w->pool, slot, NODE_REASON_SESSION_ENDED);
        }
        if (state == NODE_RECALIBRATING)
            node_pool_failed(&w->pool, slot);
        if (state == NODE_OFFLINE) {
            CHECK_EQ(world_detach(w, 1, 0), VERDICT_ACCEPTED);
            world_wait(w, 600000);
        }
        CHECK_EQ(world_state(w, 1), state);
        uint64_t id = node_pool_id(&w->pool, slot);
        CHECK_EQ(world_leave(w, 1), VERDICT_ACCEPTED);
        CHECK_EQ(world_leave(w, 1), VERDICT_NODE_STATE);
        CHECK_EQ(world_offer(w, 1, 0, 10), VERDICT_NODE_STATE);
        world_settle(w);
        if (state == NODE_TESTING) {
            CHECK_EQ(world_state(w, 1), NODE_LEAVING);
            node_pool_passed(&w->pool, slot, CLASS_VERIFIED, 0);
            world_settle(w);
        }
        CHECK_EQ(world_state(w, 1), NODE_GONE);
        CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.to, NODE_GONE);
        CHECK_EQ(node_pool_count_offering(&w->pool, 0), 0);
        CHECK(node_pool_id(&w->pool, slot) != id);
    }
}

TEST(node_pool, a_reserved_node_drains_before_it_goes)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    reserve(w, slot);
    node_pool_busy(&w->pool, slot);
    CHECK_EQ(world_leave(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(node_pool_lost(&w->pool), SLOT_NONE); /* its tasks end by themselves */
    CHECK_EQ(node_pool_take_news(&w->pool), slot);
    CHECK(!node_pool_has_slot(&w->pool, slot));
    CHECK(node_pool_is_lost_for_good(&w->pool, slot));
    world_settle(w);
    CHECK_EQ(world_state(w, 1), NODE_LEAVING);
    node_pool_idle(&w->pool, slot);
    node_pool_release(&w->pool, slot, NODE_REASON_LEFT);
    world_settle(w);
    CHECK_EQ(world_state(w, 1), NODE_GONE);
}

TEST(node_pool, a_draining_node_that_is_cut_off_is_lost)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    reserve(w, slot);
    CHECK_EQ(world_leave(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(world_detach(w, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(node_pool_lost(&w->pool), slot);
    CHECK_EQ(node_pool_take_news(&w->pool), SLOT_NONE);
    node_pool_release(&w->pool, slot, NODE_REASON_LEFT);
    node_pool_lost_done(&w->pool, slot);
    world_settle(w);
    CHECK_EQ(world_state(w, 1), NODE_GONE);
    node_pool_lost_done(&w->pool, slot);
}

/* ---- bans ---- */

static enum verdict lift(struct world *w, uint32_t operator, uint64_t seq, uint32_t oracle, uint32_t quorum)
{
    struct address whose = test_address('P', oracle);
    struct lift_vote vote = {oracle, &whose, quorum};
    struct cmd_ban_lift cmd = {world_operator_address(operator), seq};
    return node_pool_ban_lift(&w->pool, &cmd, &vote);
}

TEST(node_pool, a_ban_is_for_key_and_operator)
{
    struct world *w = world_open();
    uint32_t a = world_admit(w, 1, 1), b = world_admit(w, 2, 1), c = world_join(w, 3, 2);
    reserve(w, b);
    node_pool_ban(&w->pool, a);
    CHECK_EQ(world_state(w, 1), NODE_BANNED);
    CHECK_EQ(world_event(w, EVENT_OPERATOR_CHANGED)->operator_changed.banned_seq, 1);
    world_settle(w);
    CHECK_EQ(world_state(w, 2), NODE_BANNED);
    CHECK_EQ(world_state(w, 3), NODE_UNTESTED);
    CHECK_EQ(node_pool_lost(&w->pool), b);
    CHECK(!node_pool_has_slot(&w->pool, b));
    world_copy_is_equal(w);
    node_pool_release(&w->pool, b, NODE_REASON_CONDEMNED);
    CHECK_EQ(world_state(w, 2), NODE_BANNED);
    world_settle(w);
    CHECK_EQ(world_register(w, 4, 1, 0), VERDICT_OPERATOR_BANNED);
    CHECK_EQ(world_register(w, 1, 2, 0), VERDICT_NODE_BANNED);
    CHECK_EQ(world_attach(w, 1, 0), VERDICT_NODE_BANNED);
    CHECK_EQ(world_offer(w, 1, 0, 1), VERDICT_NODE_BANNED);
    CHECK(node_at(w, c)->state == NODE_UNTESTED);
}

TEST(node_pool, enough_oracles_lift_a_ban)
{
    struct world *w = world_open();
    uint32_t a = world_admit(w, 1, 1);
    world_join(w, 2, 1);
    w->step.seq = 40;
    CHECK_EQ(lift(w, 1, 40, 0, 2), VERDICT_BAN_UNKNOWN);
    CHECK_EQ(lift(w, 9, 40, 0, 2), VERDICT_BAN_UNKNOWN);
    node_pool_ban(&w->pool, a);
    world_settle(w);
    CHECK_EQ(lift(w, 1, 39, 0, 2), VERDICT_BAN_UNKNOWN);
    CHECK_EQ(lift(w, 1, 40, 0, 2), VERDICT_ACCEPTED);
    CHECK_EQ(lift(w, 1, 40, 0, 2), VERDICT_VERDICT_KNOWN);
    CHECK_EQ(world_state(w, 1), NODE_BANNED);
    struct address own = world_operator_address(1);
    struct lift_vote vote = {3, &own, 2};
    struct cmd_ban_lift cmd = {own, 40};
    CHECK_EQ(node_pool_ban_lift(&w->pool, &cmd, &vote), VERDICT_OWN_OPERATOR);
    CHECK_EQ(lift(w, 1, 40, 1, 2), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 1), NODE_RELEASED); /* must be tested again */
    CHECK_EQ(world_state(w, 2), NODE_UNTESTED);
    CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.reason, NODE_REASON_BAN_LIFTED);
    CHECK_EQ(world_register(w, 3, 1, 0), VERDICT_ACCEPTED);
    CHECK_EQ(lift(w, 1, 40, 2, 2), VERDICT_BAN_UNKNOWN);
}

TEST(node_pool, a_banned_node_may_leave_with_its_stake_but_its_key_stays_banned)
{
    struct world *w = world_open();
    struct address operator= world_operator_address(1);
    struct cmd_deposit deposit = {operator, amount_of(50), test_hash('d', 1)};
    CHECK_EQ(payment_deposit(&w->payment, &deposit), VERDICT_ACCEPTED);
    CHECK_EQ(world_register(w, 1, 1, 50), VERDICT_ACCEPTED);
    node_pool_ban(&w->pool, 0);
    world_settle(w);
    CHECK_EQ(payment_stake(&w->payment, 0).credits, 50);
    CHECK_EQ(world_leave(w, 1), VERDICT_ACCEPTED);
    CHECK_EQ(world_leave(w, 1), VERDICT_NODE_STATE);
    CHECK_EQ(payment_stake(&w->payment, 0).credits, 0);
    CHECK_EQ(world_register(w, 1, 2, 0), VERDICT_NODE_BANNED);
    CHECK_EQ(lift(w, 1, 1, 0, 1), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 1), NODE_GONE);
}

TEST(node_pool, a_node_banned_in_its_test_is_not_let_in_by_passing)
{
    struct world *w = world_open();
    uint32_t slot = world_join(w, 1, 1), node;
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 1, &node), 1);
    node_pool_ban(&w->pool, slot);
    node_pool_passed(&w->pool, slot, CLASS_VERIFIED, 0);
    CHECK_EQ(world_state(w, 1), NODE_BANNED);
    world_settle(w);
}

/* ---- picking ---- */

TEST(node_pool, filters_say_who_will_do)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    struct node_filter filter = any();
    CHECK(node_pool_fits(&w->pool, slot, &filter));
    filter.model = 1;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    filter = any();
    filter.price_in_max = 9;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    filter = any();
    filter.price_out_max = 9;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    filter = any();
    filter.context = 1025;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    filter.context = 1024;
    CHECK(node_pool_fits(&w->pool, slot, &filter));
    filter = any();
    filter.sla = SLA_MEDIUM;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    filter = any();
    filter.class = CLASS_VERIFIED;
    CHECK(node_pool_fits(&w->pool, slot, &filter));
    w->pool.node[slot].model[0].class = CLASS_UNVERIFIED;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    filter = any();
    struct address allowed[2] = {world_operator_address(7), world_node_address(2)};
    filter.allowed = allowed;
    filter.allowed_count = 2;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    allowed[0] = world_operator_address(1);
    CHECK(node_pool_fits(&w->pool, slot, &filter));
    allowed[0] = world_node_address(1);
    CHECK(node_pool_fits(&w->pool, slot, &filter));
    filter = any();
    uint32_t routers[1] = {1};
    filter.routers = routers;
    filter.router_count = 1;
    CHECK(!node_pool_fits(&w->pool, slot, &filter));
    routers[0] = 0;
    CHECK(node_pool_fits(&w->pool, slot, &filter));
}

TEST(node_pool, pick_gives_different_nodes_or_none)
{
    struct world *w = world_open();
    for (uint32_t i = 0; i < 6; i++)
        world_join(w, i, i / 2);
    world_pass_all(w);
    struct node_filter filter = any();
    uint32_t picked[7];
    for (uint64_t dice = 0; dice < 50; dice++) {
        CHECK(node_pool_pick(&w->pool, &filter, 6, dice, picked));
        uint32_t seen = 0;
        for (uint32_t i = 0; i < 6; i++)
            seen |= 1u << picked[i];
        CHECK_EQ(seen, 63);
        CHECK(!node_pool_pick(&w->pool, &filter, 7, dice, picked));
    }
    filter.distinct_operators = true;
    for (uint64_t dice = 0; dice < 50; dice++) {
        CHECK(node_pool_pick(&w->pool, &filter, 3, dice, picked));
        CHECK(node_at(w, picked[0])->operator!= node_at(w, picked[1])->operator);
        CHECK(node_at(w, picked[0])->operator!= node_at(w, picked[2])->operator);
        CHECK(node_at(w, picked[1])->operator!= node_at(w, picked[2])->operator);
        CHECK(!node_pool_pick(&w->pool, &filter, 4, dice, picked));
    }
    CHECK(node_pool_pick(&w->pool, &filter, 0, 1, picked));
}

TEST(node_pool, a_narrow_filter_finds_the_one_that_fits)
{
    struct world *w = world_open();
    for (uint32_t i = 0; i < 12; i++)
        world_join(w, i, i);
    world_pass_all(w);
    struct node_filter filter = any();
    struct address only = world_node_address(7);
    filter.allowed = &only;
    filter.allowed_count = 1;
    for (uint64_t dice = 0; dice < 50; dice++) {
        uint32_t picked;
        CHECK(node_pool_pick(&w->pool, &filter, 1, dice, &picked));
        CHECK(address_eq(&node_at(w, picked)->address, &only));
    }
}

TEST(node_pool, picks_follow_weight)
{
    struct world *w = world_open();
    uint32_t slow = world_admit(w, 1, 1), fast = world_admit(w, 2, 2);
    for (uint32_t i = 0; i < 30; i++)
        reputation_success(&w->reputation, fast);
    node_pool_reweigh(&w->pool, fast);
    node_pool_check(&w->pool);
    uint32_t ratio = reputation_weight(&w->reputation, fast, 0) / reputation_weight(&w->reputation, slow, 0);
    CHECK_EQ(ratio, 11);
    uint32_t wins = 0, picked;
    struct node_filter filter = any();
    for (uint64_t dice = 0; dice < 1200; dice++) {
        CHECK(node_pool_pick(&w->pool, &filter, 1, dice * 7919, &picked));
        wins += picked == fast;
    }
    CHECK(wins > 1050); /* 1,100 expected; three standard deviations are 29 */
    CHECK(wins < 1150);
}

TEST(node_pool, a_class_is_picked_from_those_that_meet_it)
{
    struct world *w = world_open();
    world_admit(w, 1, 1);
    uint32_t good = world_admit(w, 2, 2), picked;
    struct node_filter filter = any();
    filter.sla = SLA_MEDIUM;
    CHECK(!node_pool_pick(&w->pool, &filter, 1, 0, &picked));
    CHECK(node_pool_take_came(&w->pool) == 0);
    for (uint32_t i = 0; i < 3; i++)
        reputation_success(&w->reputation, good);
    reputation_measure(&w->reputation, good, 0, 100, 101, 1100);
    node_pool_reweigh(&w->pool, good);
    CHECK(node_pool_take_came(&w->pool) == 0); /* a session that waited for the class hears of it */
    CHECK(node_pool_pick(&w->pool, &filter, 1, 0, &picked));
    CHECK_EQ(picked, good);
    node_pool_check(&w->pool);
}

TEST(node_pool, damaged_rows_are_refused_or_kept_within_bounds)
{
    struct world *w = world_open();
    uint32_t slot = world_admit(w, 1, 1);
    reserve(w, slot);
    world_join(w, 2, 2);
    static uint8_t bytes[1 << 16];
    struct rows write;
    rows_init(&write, ROWS_WRITE);
    bytes_writer_init(&write.w, bytes, sizeof bytes);
    node_pool_rows(&w->pool, &write);
    uint32_t size = write.w.size;
    CHECK(write.ok && size > 500);
    for (uint32_t i = 0; i < size; i++) {
        struct world *copy = world_empty();
        struct rows read;
        rows_init(&read, ROWS_READ);
        bytes[i] ^= 0xff;
        bytes_reader_init(&read.r, bytes, size);
        node_pool_rows(&copy->pool, &read);
        bytes[i] ^= 0xff;
    }
}

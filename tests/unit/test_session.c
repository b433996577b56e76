/* test_session.c - a test for each arrow of a session's life, each refusal, and how nodes come to it and leave it. */
#include "core/session_parts.h"
#include "lib/core_parts.h"
#include "lib/test.h"
#include "lib/world.h"

/* ---- surroundings ---- */

static struct address owner(void) { return test_address('W', 0); }

/* Nodes 0..nodes-1 of operators of their own, EPHEMERAL, and an owner with money. */
static struct world *with_nodes(uint32_t nodes)
{
    struct world *w = world_open();
    struct cmd_deposit deposit = {owner(), amount_of(1000), test_hash('d', 7)};
    CHECK_EQ(payment_deposit(&w->payment, &deposit), VERDICT_ACCEPTED);
    for (uint32_t i = 0; i < nodes; i++)
        world_join(w, i, i);
    world_pass_all(w);
    world_forget(w);
    return w;
}

static struct cmd_session_open terms(const struct world *w)
{
    return (struct cmd_session_open){
        .owner = owner(),
        .model = catalog_id(&w->catalog, 0),
        .redundancy = 1,
        .quorum = 1,
        .nodes_min = 1,
        .nodes_max = 4,
        .attempts_max = 3,
        .price_in_max = 1000,
        .price_out_max = 1000,
        .tokens_max = 100,
        .ack_ms = 1000,
        .precommit_ms = 1000,
        .commit_ms = 1000,
        .total_ms = 9000,
        .open_ms = 5000,
        .drain_ms = 7000,
    };
}

/* Gives the slot. */
static uint32_t open_with(struct world *w, const struct cmd_session_open *cmd)
{
    uint64_t id = 0;
    CHECK_EQ(session_open(&w->session, cmd, &id), VERDICT_ACCEPTED);
    return session_find(&w->session, id);
}

static uint32_t open_nodes(struct world *w, uint16_t nodes_min, uint16_t nodes_max)
{
    struct cmd_session_open cmd = terms(w);
    cmd.nodes_min = nodes_min;
    cmd.nodes_max = nodes_max;
    uint32_t session = open_with(w, &cmd);
    world_settle(w);
    return session;
}

static const struct session *at(const struct world *w, uint32_t session) { return &w->session.session[session]; }

static bool is_closed(const struct world *w, uint32_t session) { return !slots_is_live(&w->session.slots, session); }

/* What the queue does about nodes that were lost. */
static void recall_lost(struct world *w)
{
    uint32_t node;
    while ((node = node_pool_lost(&w->pool)) != SLOT_NONE) {
        if (session_of_node(&w->session, node) != SLOT_NONE) {
            while (w->session.member[node].in_flight > 0)
                session_member_idle(&w->session, node);
            session_node_lost(&w->session, node);
        }
        node_pool_lost_done(&w->pool, node);
    }
    world_settle(w);
}

static enum verdict close_it(struct world *w, uint32_t session)
{
    struct cmd_session_close cmd = {owner(), session_id(&w->session, session)};
    return session_close(&w->session, &cmd);
}

static uint32_t members_in(const struct world *w, uint32_t session, enum node_state state)
{
    uint32_t count = 0;
    for (uint32_t i = at(w, session)->node_head; i != SLOT_NONE; i = w->session.member[i].next)
        count += node_pool_node(&w->pool, i)->state == state;
    return count;
}

static struct evt_session_moved last_move(const struct world *w)
{
    return world_event(w, EVENT_SESSION_MOVED)->session_moved;
}

static uint32_t a_member(const struct world *w, uint32_t session)
{
    CHECK(at(w, session)->node_head != SLOT_NONE);
    return at(w, session)->node_head;
}

static uint32_t number_of(const struct world *w, uint32_t node)
{
    return node_pool_node(&w->pool, node)->address.b[19];
}

/* ---- refusals of session_open, in their order ---- */

static enum verdict refusal(const struct cmd_session_open *cmd)
{
    struct world *w = with_nodes(0);
    struct cmd_session_open c = *cmd;
    uint64_t id = 99;
    c.model = cmd->model ? cmd->model : catalog_id(&w->catalog, 0);
    enum verdict verdict = session_open(&w->session, &c, &id);
    if (verdict != VERDICT_ACCEPTED)
        CHECK_EQ(w->session.slots.used, 0);
    return verdict;
}

#define REFUSED(verdict, ...)                            \
    do {                                                 \
        struct cmd_session_open c = terms(world_open()); \
        c.model = 0;                                     \
        __VA_ARGS__;                                     \
        CHECK_EQ(refusal(&c), VERDICT_##verdict);        \
    } while (0)

TEST(session, open_wants_values_within_their_sets)
{
    REFUSED(ACCEPTED, (void)0);
    REFUSED(VALUE_INVALID, c.mode = SESSION_MODE_COUNT);
    REFUSED(VALUE_INVALID, c.reserve = SESSION_RESERVE_COUNT);
    REFUSED(VALUE_INVALID, c.sla = SLA_COUNT);
    REFUSED(VALUE_INVALID, c.class = NODE_CLASS_COUNT);
    REFUSED(VALUE_INVALID, c.validation = VALIDATION_POLICY_COUNT);
    REFUSED(VALUE_INVALID, c.on_no_verdict = ON_NO_VERDICT_COUNT);
    REFUSED(VALUE_INVALID, c.stream = STREAM_WHEN_COUNT);
    REFUSED(VALUE_INVALID, c.access = SESSION_ACCESS_COUNT);
    REFUSED(VALUE_INVALID, c.privacy = SESSION_PRIVACY_COUNT);
    REFUSED(VALUE_INVALID, c.result = SESSION_RESULT_COUNT);
    REFUSED(VALUE_INVALID, c.pays = SESSION_PAYS_COUNT);
    REFUSED(VALUE_INVALID, c.evidence = SESSION_EVIDENCE_COUNT);
    REFUSED(VALUE_INVALID, c.shared = 2);
    REFUSED(VALUE_INVALID, c.diversity = 2);
    REFUSED(VALUE_INVALID, c.audit_bp = 10001);
    REFUSED(VALUE_INVALID, c.priority = PRIORITIES);
    REFUSED(VALUE_INVALID, c.tokens_max = 0);
    REFUSED(VALUE_INVALID, c.attempts_max = 0);
    REFUSED(VALUE_INVALID, c.attempts_max = ATTEMPTS_MAX + 1);
    REFUSED(VALUE_INVALID, c.ack_ms = 0);
    REFUSED(VALUE_INVALID, c.precommit_ms = 0);
    REFUSED(VALUE_INVALID, c.commit_ms = 0);
    REFUSED(VALUE_INVALID, c.total_ms = 0);
    REFUSED(VALUE_INVALID, c.open_ms = 0);
    REFUSED(VALUE_INVALID, c.drain_ms = 0);
}

TEST(session, open_wants_terms_that_agree)
{
    static const uint8_t list[33 * 20] = {1};
    REFUSED(VALUE_INVALID, c.pays = PAYS_PAYER; c.escrow = amount_of(1));
    REFUSED(VALUE_INVALID, c.shared = 1);
    REFUSED(VALUE_INVALID, c.shared = 1; c.pays = PAYS_PAYER; c.access = ACCESS_MEMBERS);
    REFUSED(VALUE_INVALID, c.privacy = PRIVACY_RESTRICTED);
    REFUSED(VALUE_INVALID, c.members = ((struct span){list, 19}));
    REFUSED(VALUE_INVALID, c.allowed = ((struct span){list, 21}));
    REFUSED(VALUE_INVALID, c.members = ((struct span){list, sizeof list}));
    REFUSED(VALUE_INVALID, c.routers = ((struct span){list, 9 * 20}));
}

TEST(session, open_wants_a_model_and_counts_that_can_be)
{
    REFUSED(MODEL_UNKNOWN, c.model = 12345);
    REFUSED(QUORUM_RANGE, c.quorum = 0);
    REFUSED(QUORUM_RANGE, c.quorum = 2);
    REFUSED(QUORUM_RANGE, c.redundancy = 0; c.quorum = 0);
    REFUSED(REDUNDANCY_RANGE, c.redundancy = 2);
    REFUSED(REDUNDANCY_RANGE, c.redundancy = 16; c.nodes_min = c.nodes_max = 16);
    REFUSED(QUORUM_MAJORITY, c.nodes_min = c.redundancy = 3; c.validation = VALIDATION_MAJORITY);
    REFUSED(ACCEPTED, c.nodes_min = c.redundancy = 3; c.validation = VALIDATION_MAJORITY; c.quorum = 2);
    REFUSED(QUORUM_MAJORITY, c.nodes_min = c.redundancy = 4; c.validation = VALIDATION_MAJORITY; c.quorum = 2);
    REFUSED(NODES_RANGE, c.nodes_min = 5);
    REFUSED(NODES_RANGE, c.nodes_max = SESSION_NODES_MAX + 1);
}

TEST(session, open_wants_what_is_built_and_prices_that_can_be)
{
    static const uint8_t list[20] = {1};
    REFUSED(POLICY_NOT_BUILT, c.validation = VALIDATION_SIMILARITY);
    REFUSED(POLICY_NOT_BUILT, c.validation = VALIDATION_RESCORE);
    REFUSED(POLICY_NOT_BUILT, c.validation = VALIDATION_JUDGE);
    REFUSED(POLICY_NOT_BUILT, c.privacy = PRIVACY_ENCRYPTED);
    REFUSED(POLICY_NOT_BUILT, c.result = RESULT_VERDICT);
    REFUSED(ACCEPTED, c.result = RESULT_REFERENCE);
    REFUSED(ACCEPTED, c.privacy = PRIVACY_RESTRICTED; c.allowed = ((struct span){list, 20}));
    REFUSED(PRICE_RANGE, c.price_in_max = PRICE_MAX + 1);
    REFUSED(PRICE_RANGE, c.price_out_max = PRICE_MAX + 1);
}

TEST(session, open_wants_an_account_its_money_and_routers)
{
    struct address router = test_address('R', 0), nobody = test_address('R', 9);
    REFUSED(ACCOUNT_UNKNOWN, c.owner = test_address('W', 1));
    REFUSED(ROUTER_UNKNOWN, c.routers = ((struct span){nobody.b, 20}));
    REFUSED(ACCEPTED, c.routers = ((struct span){router.b, 20}));
    REFUSED(ROUTER_UNKNOWN, c.shared = 1; c.pays = PAYS_PAYER); /* only a router has shared ones */
    REFUSED(ACCEPTED, c.shared = 1; c.pays = PAYS_PAYER; c.owner = router);
    REFUSED(BALANCE_SHORT, c.escrow = amount_of(1001));
    REFUSED(ACCEPTED, c.escrow = amount_of(1000));
    struct world *w = with_nodes(0);
    struct cmd_account_restrict restrict_ = {owner(), 1};
    account_restrict(&w->account, &restrict_);
    struct cmd_session_open c = terms(w);
    uint64_t id;
    CHECK_EQ(session_open(&w->session, &c, &id), VERDICT_ACCOUNT_RESTRICTED);
}

TEST(session, a_reference_names_one_session_while_it_lives)
{
    struct world *w = with_nodes(1);
    struct cmd_session_open c = terms(w);
    c.reference = test_hash('r', 1);
    uint64_t first = 0, again = 0;
    CHECK_EQ(session_open(&w->session, &c, &first), VERDICT_ACCEPTED);
    CHECK_EQ(session_open(&w->session, &c, &again), VERDICT_SESSION_KNOWN);
    CHECK(first == again);
    world_settle(w);
    world_copy_is_equal(w);
    CHECK_EQ(close_it(w, session_find(&w->session, first)), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(session_open(&w->session, &c, &again), VERDICT_ACCEPTED);
    CHECK(first != again);
    c.reference = (struct hash){{0}};
    uint64_t unnamed;
    CHECK_EQ(session_open(&w->session, &c, &unnamed), VERDICT_ACCEPTED);
    CHECK_EQ(session_open(&w->session, &c, &unnamed), VERDICT_ACCEPTED);
}

TEST(session, sessions_are_bounded)
{
    struct world *w = with_nodes(0);
    struct cmd_session_open c = terms(w);
    uint64_t id;
    for (uint32_t i = 0; i < 6; i++)
        CHECK_EQ(session_open(&w->session, &c, &id), VERDICT_ACCEPTED);
    CHECK_EQ(session_open(&w->session, &c, &id), VERDICT_SESSIONS_FULL);
}

/* ---- opening ---- */

TEST(session, opens_with_nodes_min_at_once)
{
    struct world *w = with_nodes(4);
    uint32_t session = open_nodes(w, 3, 4);
    CHECK_EQ(session_state(&w->session, session), SESSION_ACTIVE);
    CHECK_EQ(last_move(w).reason, SESSION_REASON_RESERVED);
    CHECK_EQ(at(w, session)->nodes, 3);
    CHECK_EQ(world_events(w, EVENT_SESSION_NODE_RESERVED), 3);
    CHECK_EQ(members_in(w, session, NODE_RESERVED), 3);
    CHECK(!session_is_degraded(&w->session, session));
    CHECK(session_has_marks(&w->session));
    CHECK_EQ(session_take_mark(&w->session), session);
    CHECK(!session_has_marks(&w->session));
    CHECK_EQ(session_take_mark(&w->session), SLOT_NONE);
    world_copy_is_equal(w);
}

TEST(session, takes_all_or_none_and_waits)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_nodes(w, 3, 3);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    CHECK_EQ(at(w, session)->nodes, 0);
    world_copy_is_equal(w);
    world_admit(w, 2, 2);
    CHECK_EQ(session_state(&w->session, session), SESSION_ACTIVE);
    CHECK_EQ(at(w, session)->nodes, 3);
}

TEST(session, gives_up_at_open_ms_and_gets_its_escrow_back)
{
    struct world *w = with_nodes(0);
    struct cmd_session_open c = terms(w);
    c.escrow = amount_of(400);
    uint32_t session = open_with(w, &c);
    uint32_t account = at(w, session)->policy.owner;
    CHECK_EQ(account_balance(&w->account, account).credits, 600);
    world_wait(w, 4999);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    world_wait(w, 1);
    CHECK(is_closed(w, session));
    CHECK_EQ(last_move(w).from, SESSION_OPENING);
    CHECK_EQ(last_move(w).to, SESSION_CLOSED);
    CHECK_EQ(last_move(w).reason, SESSION_REASON_NO_NODES);
    CHECK_EQ(account_balance(&w->account, account).credits, 1000);
    CHECK(!session_has_marks(&w->session));
    struct cmd_model_remove remove = {catalog_id(&w->catalog, 0)};
    CHECK_EQ(catalog_remove(&w->catalog, &remove), VERDICT_ACCEPTED);
}

TEST(session, a_session_with_tasks_that_cannot_open_fails_them_first)
{
    struct world *w = with_nodes(0);
    uint32_t session = open_nodes(w, 1, 1);
    session_task_began(&w->session, session);
    session_task_began(&w->session, session);
    world_wait(w, 5000);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_NO_NODES);
    CHECK_EQ(session_take_mark(&w->session), session);
    /* Nodes that come now come too late. */
    world_admit(w, 0, 0);
    CHECK_EQ(world_state(w, 0), NODE_EPHEMERAL);
    session_task_ended(&w->session, session);
    world_settle(w);
    CHECK(!is_closed(w, session));
    world_copy_is_equal(w);
    session_task_ended(&w->session, session);
    world_settle(w);
    CHECK(is_closed(w, session));
}

static uint32_t open_shared(struct world *w, enum session_reserve reserve)
{
    struct cmd_session_open c = terms(w);
    c.owner = test_address('R', 0);
    c.shared = 1;
    c.pays = PAYS_PAYER;
    c.reserve = (uint8_t)reserve;
    uint32_t session = open_with(w, &c);
    world_settle(w);
    return session;
}

TEST(session, a_shared_session_waits_anew)
{
    struct world *w = with_nodes(0);
    uint32_t session = open_shared(w, RESERVE_ON_DEMAND);
    world_wait(w, 60000);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING); /* nobody has asked yet */
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_NONE);
    session_task_began(&w->session, session);
    world_settle(w);
    world_wait(w, 4999);
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_NONE);
    world_wait(w, 1);
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_NO_NODES);
    session_task_ended(&w->session, session);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_NONE);
    CHECK_EQ(last_move(w).to, SESSION_OPENING);
    CHECK_EQ(last_move(w).reason, SESSION_REASON_NO_NODES);
    session_task_began(&w->session, session);
    world_settle(w);
    world_admit(w, 0, 0);
    CHECK_EQ(session_state(&w->session, session), SESSION_ACTIVE);
}

TEST(session, on_demand_reserves_with_the_first_task)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_shared(w, RESERVE_ON_DEMAND);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    CHECK_EQ(world_state(w, 0), NODE_EPHEMERAL);
    session_task_began(&w->session, session);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_ACTIVE);
}

TEST(session, younger_sessions_pass_only_while_the_head_cannot_open)
{
    struct world *w = with_nodes(1);
    uint32_t head = open_nodes(w, 3, 3), second = open_nodes(w, 2, 2), third = open_nodes(w, 1, 1);
    CHECK_EQ(session_state(&w->session, third), SESSION_ACTIVE);
    CHECK_EQ(session_state(&w->session, second), SESSION_OPENING);
    world_copy_is_equal(w);
    /* Three come at once: the head's need can be met. */
    for (uint32_t i = 1; i < 4; i++)
        world_join(w, i, i);
    uint32_t node[16];
    CHECK_EQ(node_pool_take_for_round(&w->pool, 0, 16, node), 3);
    for (uint32_t i = 0; i < 3; i++)
        node_pool_passed(&w->pool, node[i], CLASS_VERIFIED, 0);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, head), SESSION_ACTIVE);
    CHECK_EQ(session_state(&w->session, second), SESSION_OPENING);
}

TEST(session, a_filter_chooses_the_nodes)
{
    struct world *w = with_nodes(3);
    struct cmd_session_open c = terms(w);
    struct address allowed[2] = {world_node_address(2), world_operator_address(1)};
    c.privacy = PRIVACY_RESTRICTED;
    c.allowed = (struct span){allowed[0].b, sizeof allowed};
    c.nodes_min = 2;
    uint32_t session = open_with(w, &c);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_ACTIVE);
    CHECK_EQ(world_state(w, 0), NODE_EPHEMERAL);
    world_copy_is_equal(w);
    c = terms(w);
    c.price_in_max = 9; /* they ask for 10 */
    session = open_with(w, &c);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    struct address second = test_address('R', 1);
    c = terms(w);
    c.routers = (struct span){second.b, 20};
    session = open_with(w, &c);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING); /* they are on the other one */
}

TEST(session, diversity_reserves_nodes_of_different_operators)
{
    struct world *w = world_open();
    struct cmd_deposit deposit = {owner(), amount_of(1000), test_hash('d', 7)};
    CHECK_EQ(payment_deposit(&w->payment, &deposit), VERDICT_ACCEPTED);
    for (uint32_t i = 0; i < 4; i++)
        world_join(w, i, i / 2);
    world_pass_all(w);
    struct cmd_session_open c = terms(w);
    c.diversity = 1;
    c.nodes_min = 3;
    uint32_t session = open_with(w, &c);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    c.nodes_min = 2;
    session = open_with(w, &c);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_ACTIVE);
    uint32_t a = a_member(w, session), b = w->session.member[a].next;
    CHECK(!address_eq(node_pool_operator(&w->pool, a), node_pool_operator(&w->pool, b)));
}

/* ---- money ---- */

TEST(session, top_up_adds_to_the_escrow)
{
    struct world *w = with_nodes(1);
    uint32_t session = open_nodes(w, 1, 1);
    struct cmd_session_top_up cmd = {owner(), session_id(&w->session, session) + 1, amount_of(10)};
    CHECK_EQ(session_top_up(&w->session, &cmd), VERDICT_SESSION_UNKNOWN);
    cmd.session--;
    cmd.owner = test_address('W', 1);
    CHECK_EQ(session_top_up(&w->session, &cmd), VERDICT_NOT_AUTHORIZED);
    cmd.owner = owner();
    cmd.amount = AMOUNT_ZERO;
    CHECK_EQ(session_top_up(&w->session, &cmd), VERDICT_VALUE_INVALID);
    cmd.amount = amount_of(1001);
    CHECK_EQ(session_top_up(&w->session, &cmd), VERDICT_BALANCE_SHORT);
    cmd.amount = amount_of(300);
    CHECK_EQ(session_top_up(&w->session, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(world_event(w, EVENT_SESSION_ESCROW)->session_escrow.escrow.credits, 300);
    CHECK_EQ(close_it(w, session), VERDICT_ACCEPTED);
    CHECK_EQ(session_top_up(&w->session, &cmd), VERDICT_SESSION_NOT_OPEN);
    world_settle(w);
    CHECK_EQ(account_balance(&w->account, account_find(&w->account, &cmd.owner)).credits, 1000);
    uint32_t shared = open_shared(w, RESERVE_ON_DEMAND);
    cmd.owner = test_address('R', 0);
    cmd.session = session_id(&w->session, shared);
    CHECK_EQ(session_top_up(&w->session, &cmd), VERDICT_VALUE_INVALID);
}

/* ---- ends ---- */

TEST(session, closing_drains_releases_and_refunds)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_nodes(w, 2, 2);
    struct cmd_session_close cmd = {owner(), session_id(&w->session, session) + 1};
    CHECK_EQ(session_close(&w->session, &cmd), VERDICT_SESSION_UNKNOWN);
    cmd = (struct cmd_session_close){test_address('W', 1), session_id(&w->session, session)};
    CHECK_EQ(session_close(&w->session, &cmd), VERDICT_NOT_AUTHORIZED);
    session_take_mark(&w->session);
    session_task_began(&w->session, session);
    CHECK_EQ(close_it(w, session), VERDICT_ACCEPTED);
    CHECK_EQ(close_it(w, session), VERDICT_SESSION_NOT_OPEN);
    CHECK_EQ(session_state(&w->session, session), SESSION_DRAINING);
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_OWNER);
    CHECK_EQ(session_take_mark(&w->session), session);
    world_settle(w);
    world_copy_is_equal(w);
    CHECK_EQ(at(w, session)->nodes, 2);
    session_task_ended(&w->session, session);
    world_settle(w);
    CHECK(is_closed(w, session));
    CHECK_EQ(last_move(w).to, SESSION_CLOSED);
    CHECK_EQ(last_move(w).reason, SESSION_REASON_DRAINED);
    CHECK_EQ(world_state(w, 0), NODE_RELEASED);
    CHECK_EQ(world_state(w, 1), NODE_RELEASED);
    CHECK_EQ(world_events(w, EVENT_SESSION_NODE_RELEASED), 2);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RELEASED)->session_node_released.reason, RELEASE_SESSION_CLOSED);
    CHECK_EQ(session_find(&w->session, cmd.session), SLOT_NONE);
}

TEST(session, a_drain_has_an_end)
{
    struct world *w = with_nodes(1);
    uint32_t session = open_nodes(w, 1, 1);
    session_task_began(&w->session, session);
    CHECK_EQ(close_it(w, session), VERDICT_ACCEPTED);
    session_take_mark(&w->session);
    world_wait(w, 6999);
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_OWNER);
    world_wait(w, 1);
    CHECK_EQ(session_closing(&w->session, session), SESSION_REASON_DRAIN_TIMEOUT);
    CHECK_EQ(session_take_mark(&w->session), session);
    session_task_ended(&w->session, session);
    world_settle(w);
    CHECK(is_closed(w, session));
    CHECK_EQ(last_move(w).reason, SESSION_REASON_DRAIN_TIMEOUT);
}

TEST(session, a_session_may_be_closed_while_it_opens)
{
    struct world *w = with_nodes(0);
    uint32_t session = open_nodes(w, 1, 1);
    CHECK_EQ(close_it(w, session), VERDICT_ACCEPTED);
    CHECK_EQ(last_move(w).from, SESSION_OPENING);
    CHECK_EQ(last_move(w).to, SESSION_DRAINING);
    world_settle(w);
    CHECK(is_closed(w, session));
}

/* ---- what submit asks ---- */

static uint32_t payer(struct world *w, uint32_t n)
{
    uint32_t account;
    struct address address = test_address('U', n);
    CHECK_EQ(account_ensure(&w->account, &address, &account), VERDICT_ACCEPTED);
    return account;
}

TEST(session, submit_wants_an_open_session)
{
    struct world *w = with_nodes(1);
    uint32_t session = open_nodes(w, 1, 1);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_ACCEPTED);
    session_task_began(&w->session, session);
    CHECK_EQ(close_it(w, session), VERDICT_ACCEPTED);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_SESSION_NOT_OPEN);
}

TEST(session, submit_wants_access)
{
    struct world *w = with_nodes(1);
    struct cmd_session_open c = terms(w);
    struct address members[1] = {test_address('U', 1)};
    c.access = ACCESS_MEMBERS;
    c.members = (struct span){members[0].b, sizeof members};
    uint32_t session = open_with(w, &c);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_SESSION_ACCESS);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 1)), VERDICT_ACCEPTED);
    CHECK_EQ(session_check_submit(&w->session, session, at(w, session)->policy.owner), VERDICT_ACCEPTED);
}

TEST(session, submit_wants_its_router)
{
    struct world *w = with_nodes(1);
    uint32_t session = open_shared(w, RESERVE_ON_DEMAND);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_ACCEPTED);
    w->step.router = 1;
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_SESSION_ROUTER);
}

TEST(session, submit_wants_no_more_nodes_than_there_are)
{
    struct world *w = with_nodes(2);
    struct cmd_session_open c = terms(w);
    c.nodes_min = c.redundancy = 3;
    uint32_t session = open_with(w, &c);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_NODES_TOO_FEW);
    world_join(w, 2, 2);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_ACCEPTED); /* it may pass in time */
}

TEST(session, submit_is_limited_by_the_minute_and_in_flight)
{
    struct world *w = with_nodes(1);
    struct cmd_session_open c = terms(w);
    c.tasks_per_minute_max = 2;
    c.tasks_in_flight_max = 1;
    uint32_t session = open_with(w, &c), user = payer(w, 0);
    session_task_began(&w->session, session);
    CHECK_EQ(session_check_submit(&w->session, session, user), VERDICT_IN_FLIGHT_LIMIT);
    session_task_ended(&w->session, session);
    CHECK_EQ(session_check_submit(&w->session, session, user), VERDICT_ACCEPTED);
    session_task_began(&w->session, session);
    CHECK_EQ(session_check_submit(&w->session, session, user), VERDICT_RATE_LIMITED);
    session_task_ended(&w->session, session);
    world_wait(w, 60000);
    CHECK_EQ(session_check_submit(&w->session, session, user), VERDICT_ACCEPTED);
}

/* ---- nodes that are lost ---- */

TEST(session, an_absent_member_stays_until_there_is_another)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_nodes(w, 2, 2);
    session_member_busy(&w->session, 0);
    CHECK_EQ(world_detach(w, 0, 0), VERDICT_ACCEPTED);
    recall_lost(w);
    CHECK_EQ(world_state(w, 0), NODE_RESERVED);
    CHECK(session_is_degraded(&w->session, session));
    CHECK_EQ(world_event(w, EVENT_SESSION_DEGRADED)->session_degraded.degraded, 1);
    world_copy_is_equal(w);
    session_take_mark(&w->session);
    CHECK_EQ(world_attach(w, 0, 0), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK(!session_is_degraded(&w->session, session));
    CHECK_EQ(world_event(w, EVENT_SESSION_DEGRADED)->session_degraded.degraded, 0);
    CHECK_EQ(session_take_mark(&w->session), session); /* the queue may use it again */
    /* Again, and now another node comes. */
    CHECK_EQ(world_detach(w, 0, 0), VERDICT_ACCEPTED);
    recall_lost(w);
    world_admit(w, 2, 2);
    recall_lost(w);
    CHECK_EQ(world_state(w, 0), NODE_RELEASED);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RELEASED)->session_node_released.reason, RELEASE_LOST);
    CHECK_EQ(world_state(w, 2), NODE_RESERVED);
    CHECK(!session_is_degraded(&w->session, session));
    CHECK_EQ(at(w, session)->nodes, 2);
}

TEST(session, a_spare_node_replaces_an_absent_one_at_once)
{
    struct world *w = with_nodes(3);
    uint32_t session = open_nodes(w, 2, 2), member = a_member(w, session);
    CHECK_EQ(world_detach(w, number_of(w, member), 0), VERDICT_ACCEPTED);
    recall_lost(w);
    CHECK_EQ(at(w, session)->nodes, 2);
    CHECK_EQ(members_in(w, session, NODE_RESERVED), 2);
    CHECK_EQ(node_pool_node(&w->pool, member)->state, NODE_RELEASED);
    CHECK(!session_is_degraded(&w->session, session));
}

TEST(session, a_member_that_was_back_before_the_recall_stays)
{
    struct world *w = with_nodes(1);
    uint32_t session = open_nodes(w, 1, 1);
    CHECK_EQ(world_detach(w, 0, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_attach(w, 0, 0), VERDICT_ACCEPTED);
    recall_lost(w);
    CHECK_EQ(world_state(w, 0), NODE_RESERVED);
    CHECK(!session_is_degraded(&w->session, session));
}

TEST(session, absent_for_long_is_lost_for_good)
{
    struct world *w = with_nodes(1);
    uint32_t session = open_nodes(w, 1, 1);
    CHECK_EQ(world_detach(w, 0, 0), VERDICT_ACCEPTED);
    recall_lost(w);
    world_wait(w, 600000);
    recall_lost(w);
    CHECK_EQ(at(w, session)->nodes, 0);
    CHECK_EQ(world_state(w, 0), NODE_OFFLINE);
    CHECK_EQ(world_attach(w, 0, 0), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, 0), NODE_RELEASED); /* it held a reservation: it must be tested */
    world_pass_all(w);
    CHECK_EQ(world_state(w, 0), NODE_RESERVED);
    CHECK(!session_is_degraded(&w->session, session));
}

TEST(session, a_banned_member_is_taken_out)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_nodes(w, 1, 1), member = a_member(w, session);
    session_member_busy(&w->session, member);
    node_pool_ban(&w->pool, member);
    recall_lost(w);
    CHECK_EQ(node_pool_node(&w->pool, member)->state, NODE_BANNED);
    CHECK_EQ(at(w, session)->nodes, 1);
    CHECK(a_member(w, session) != member);
    CHECK(!session_is_degraded(&w->session, session));
}

TEST(session, a_member_that_leaves_drains_and_is_replaced)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_nodes(w, 1, 1), member = a_member(w, session), n = number_of(w, member);
    session_member_busy(&w->session, member);
    CHECK_EQ(world_leave(w, n), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(world_state(w, n), NODE_LEAVING);
    CHECK_EQ(at(w, session)->here, 1); /* the replacement */
    struct member_wish wish = {.session = session, .router = 0, .want = 1, .draw = 3};
    uint32_t picked;
    CHECK(session_pick_members(&w->session, &wish, &picked));
    CHECK(picked != member);
    session_member_idle(&w->session, member);
    world_settle(w);
    CHECK_EQ(world_state(w, n), NODE_GONE);
    CHECK_EQ(at(w, session)->nodes, 1);
}

TEST(session, a_degraded_session_comes_before_those_that_open)
{
    struct world *w = with_nodes(2);
    uint32_t active = open_nodes(w, 2, 2), opening = open_nodes(w, 1, 1);
    CHECK_EQ(session_state(&w->session, opening), SESSION_OPENING);
    CHECK_EQ(world_detach(w, 0, 0), VERDICT_ACCEPTED);
    recall_lost(w);
    world_admit(w, 2, 2);
    CHECK(!session_is_degraded(&w->session, active));
    CHECK_EQ(session_state(&w->session, opening), SESSION_OPENING);
    world_copy_is_equal(w);
}

/* ---- growth and shrinkage ---- */

TEST(session, grows_while_tasks_wait_and_shrinks_when_idle)
{
    struct world *w = with_nodes(4);
    uint32_t session = open_nodes(w, 1, 3);
    CHECK_EQ(at(w, session)->nodes, 1);
    session_waiting(&w->session, session, w->step.now_ms);
    world_wait(w, 1999);
    CHECK_EQ(at(w, session)->nodes, 1);
    world_wait(w, 1);
    CHECK_EQ(at(w, session)->nodes, 2);
    world_copy_is_equal(w);
    world_wait(w, 2000);
    CHECK_EQ(at(w, session)->nodes, 3);
    world_wait(w, 20000);
    CHECK_EQ(at(w, session)->nodes, 3); /* nodes_max */
    session_waiting(&w->session, session, TIME_NEVER);
    world_wait(w, 60000);
    CHECK_EQ(at(w, session)->nodes, 1);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RELEASED)->session_node_released.reason, RELEASE_IDLE);
    world_wait(w, 600000);
    CHECK_EQ(at(w, session)->nodes, 1);
}

TEST(session, does_not_grow_while_somebody_waits_to_open)
{
    struct world *w = with_nodes(3);
    uint32_t session = open_nodes(w, 1, 3);
    struct cmd_session_open c = terms(w);
    c.nodes_min = 4;
    c.open_ms = 60000;
    open_with(w, &c);
    world_settle(w);
    session_waiting(&w->session, session, w->step.now_ms);
    world_wait(w, 10000);
    CHECK_EQ(at(w, session)->nodes, 1);
}

TEST(session, busy_members_are_not_given_back)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_nodes(w, 1, 2);
    session_waiting(&w->session, session, w->step.now_ms);
    world_wait(w, 2000);
    CHECK_EQ(at(w, session)->nodes, 2);
    session_waiting(&w->session, session, TIME_NEVER);
    session_member_busy(&w->session, 0);
    session_member_busy(&w->session, 1);
    world_wait(w, 120000);
    CHECK_EQ(at(w, session)->nodes, 2);
    session_member_idle(&w->session, 0);
    world_wait(w, 119999);
    CHECK_EQ(at(w, session)->nodes, 1);
    CHECK_EQ(session_of_node(&w->session, 1), session);
}

/* ---- turnover ---- */

static uint32_t open_for(struct world *w, uint16_t nodes_min, uint16_t nodes_max, uint64_t reserve_ms, uint32_t tasks)
{
    struct cmd_session_open c = terms(w);
    c.nodes_min = nodes_min;
    c.nodes_max = nodes_max;
    c.reserve_ms = reserve_ms;
    c.tasks_per_node_max = tasks;
    uint32_t session = open_with(w, &c);
    world_settle(w);
    return session;
}

static void give_oracle(struct world *w)
{
    world_oracle(w, 0, 1);
    world_settle(w);
}

TEST(session, a_reservation_that_ends_is_renewed_without_an_oracle)
{
    struct world *w = with_nodes(3);
    uint32_t session = open_for(w, 1, 3, 10000, 0);
    world_wait(w, 50000);
    CHECK_EQ(at(w, session)->nodes, 1);
    CHECK_EQ(world_events(w, EVENT_SESSION_NODE_RELEASED), 0);
}

TEST(session, a_reservation_that_ends_is_renewed_where_nodes_min_would_not_stay)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_for(w, 2, 2, 10000, 0);
    give_oracle(w);
    world_wait(w, 50000);
    CHECK_EQ(at(w, session)->nodes, 2);
    CHECK_EQ(world_events(w, EVENT_SESSION_NODE_RELEASED), 0);
}

TEST(session, a_reservation_that_ends_lets_the_node_be_tested_where_another_takes_its_place)
{
    struct world *w = with_nodes(3);
    uint32_t session = open_for(w, 1, 1, 10000, 0), member = a_member(w, session);
    give_oracle(w);
    world_wait(w, 10000);
    CHECK_EQ(at(w, session)->nodes, 1);
    CHECK(a_member(w, session) != member);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RELEASED)->session_node_released.reason, RELEASE_TIME);
    enum node_state state = node_pool_node(&w->pool, member)->state;
    CHECK_EQ(state, NODE_TESTING);
    CHECK_EQ(at(w, session)->out, 1);
    world_copy_is_equal(w);
    /* While it is out, the next one is renewed. */
    uint32_t second = a_member(w, session);
    world_wait(w, 10000);
    CHECK_EQ(a_member(w, session), second);
}

TEST(session, a_node_is_let_go_after_so_many_tasks_once_it_is_idle)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_for(w, 1, 2, 0, 2), member = a_member(w, session);
    give_oracle(w);
    session_member_busy(&w->session, member);
    world_settle(w);
    session_member_busy(&w->session, member);
    world_settle(w);
    CHECK(w->session.member[member].leaving);
    CHECK_EQ(at(w, session)->nodes, 2); /* its replacement is there already */
    struct member_wish wish = {.session = session, .router = 0, .want = 1, .draw = 3};
    uint32_t picked;
    CHECK(session_pick_members(&w->session, &wish, &picked));
    CHECK(picked != member);
    session_member_idle(&w->session, member);
    world_settle(w);
    CHECK_EQ(at(w, session)->nodes, 2);
    session_member_idle(&w->session, member);
    world_settle(w);
    CHECK_EQ(at(w, session)->nodes, 1);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RELEASED)->session_node_released.reason, RELEASE_TASKS);
}

TEST(session, a_member_that_was_to_leave_stays_if_the_oracle_is_gone_when_it_is_idle)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_for(w, 1, 2, 0, 1), member = a_member(w, session);
    give_oracle(w);
    session_member_busy(&w->session, member);
    world_settle(w);
    CHECK(w->session.member[member].leaving);
    w->mute[0] = true;
    world_wait(w, 20000);
    session_member_idle(&w->session, member);
    world_settle(w);
    CHECK(!w->session.member[member].leaving);
    CHECK_EQ(at(w, session)->nodes, 2);
}

TEST(session, at_most_a_quarter_is_out_for_test_at_once)
{
    struct world *w = with_nodes(9);
    uint32_t session = open_for(w, 1, 8, 60000, 0);
    session_waiting(&w->session, session, w->step.now_ms);
    world_wait(w, 40000);
    CHECK_EQ(at(w, session)->nodes, 8);
    give_oracle(w);
    uint32_t most = 0;
    for (uint32_t i = 0; i < 50; i++) {
        world_wait(w, 2000);
        uint32_t testing = w->pool.in[NODE_TESTING] + w->pool.in[NODE_RELEASED];
        most = u32_max(most, testing);
    }
    CHECK_EQ(most, 2); /* of eight */
}

TEST(session, a_member_that_falls_under_the_sla_is_replaced)
{
    struct world *w = with_nodes(0);
    uint32_t node[2] = {world_join(w, 0, 0), world_join(w, 1, 1)};
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < 9; k++)
            reputation_success(&w->reputation, node[i]);
        reputation_measure(&w->reputation, node[i], 0, 100, 101, 1100);
    }
    world_pass_all(w);
    struct cmd_session_open c = terms(w);
    c.sla = SLA_MEDIUM;
    c.nodes_max = 1;
    uint32_t session = open_with(w, &c);
    world_settle(w);
    uint32_t member = a_member(w, session);
    for (uint32_t i = 0; i < 4; i++)
        reputation_failure(&w->reputation, member);
    node_pool_reweigh(&w->pool, member);
    world_wait(w, 60000);
    CHECK(a_member(w, session) != member);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RELEASED)->session_node_released.reason, RELEASE_SLA);
    CHECK_EQ(world_event(w, EVENT_NODE_MOVED)->node_moved.reason, NODE_REASON_REPLACED);
    /* The other one too, but there is nobody to replace it. */
    uint32_t other = a_member(w, session);
    for (uint32_t i = 0; i < 4; i++)
        reputation_failure(&w->reputation, other);
    node_pool_reweigh(&w->pool, other);
    world_wait(w, 180000);
    CHECK_EQ(a_member(w, session), other);
}

/* ---- picking members ---- */

static bool pick(struct world *w, const struct member_wish *wish, uint32_t *ret_nodes)
{
    return session_pick_members(&w->session, wish, ret_nodes);
}

TEST(session, picks_the_least_loaded)
{
    struct world *w = with_nodes(3);
    uint32_t session = open_nodes(w, 3, 3), picked[3];
    struct member_wish wish = {.session = session, .router = 0, .want = 1};
    session_member_busy(&w->session, 0);
    session_member_busy(&w->session, 2);
    for (wish.draw = 0; wish.draw < 20; wish.draw++) {
        CHECK(pick(w, &wish, picked));
        CHECK_EQ(picked[0], 1);
    }
    wish.want = 3;
    CHECK(pick(w, &wish, picked));
    session_member_busy(&w->session, 0); /* two slots: it is full */
    CHECK(!pick(w, &wish, picked));
    wish.want = 4;
    CHECK(!pick(w, &wish, picked));
}

TEST(session, equals_are_picked_by_chance)
{
    struct world *w = with_nodes(3);
    struct member_wish wish = {.session = open_nodes(w, 3, 3), .router = 0, .want = 1};
    uint32_t seen = 0, picked;
    for (wish.draw = 0; wish.draw < 64; wish.draw++) {
        CHECK(pick(w, &wish, &picked));
        seen |= 1u << picked;
    }
    CHECK_EQ(seen, 7);
}

TEST(session, picks_who_suits)
{
    struct world *w = with_nodes(3);
    struct member_wish wish = {.session = open_nodes(w, 3, 3), .router = 1, .want = 1};
    uint32_t picked[3], avoid[2] = {0, 1}, shun[1] = {2};
    CHECK(!pick(w, &wish, picked)); /* nobody is attached there */
    CHECK_EQ(world_attach(w, 2, 1), VERDICT_ACCEPTED);
    CHECK(pick(w, &wish, picked));
    CHECK_EQ(picked[0], 2);
    wish.router = 0;
    wish.avoid = avoid;
    wish.avoid_count = 2;
    CHECK(pick(w, &wish, picked));
    CHECK_EQ(picked[0], 2);
    wish.want = 2;
    CHECK(!pick(w, &wish, picked));
    wish = (struct member_wish){.session = wish.session, .router = 0, .want = 2, .shun = shun, .shun_count = 1};
    for (wish.draw = 0; wish.draw < 20; wish.draw++) {
        CHECK(pick(w, &wish, picked));
        CHECK(picked[0] != 2 && picked[1] != 2); /* it failed this task before: last */
    }
    wish.want = 3;
    CHECK(pick(w, &wish, picked));
    CHECK_EQ(picked[2], 2);
    wish.context = 1025;
    CHECK(!pick(w, &wish, picked));
    wish.context = 1024;
    CHECK(pick(w, &wish, picked));
    CHECK_EQ(world_offer(w, 0, 0, 1000), VERDICT_ACCEPTED);
    w->session.session[wish.session].policy.price_in_max = 999;
    CHECK(!pick(w, &wish, picked));
}

TEST(session, with_diversity_one_of_each_operator)
{
    struct world *w = world_open();
    struct cmd_deposit deposit = {owner(), amount_of(1000), test_hash('d', 7)};
    CHECK_EQ(payment_deposit(&w->payment, &deposit), VERDICT_ACCEPTED);
    for (uint32_t i = 0; i < 4; i++)
        world_join(w, i, i / 2);
    world_pass_all(w);
    uint32_t session = open_nodes(w, 4, 4), picked[3];
    struct member_wish wish = {.session = session, .router = 0, .want = 2};
    w->session.session[session].policy.diversity = true;
    for (wish.draw = 0; wish.draw < 40; wish.draw++) {
        wish.want = 2;
        CHECK(pick(w, &wish, picked));
        CHECK(picked[0] / 2 != picked[1] / 2);
        wish.want = 3;
        CHECK(!pick(w, &wish, picked));
    }
    uint32_t avoid[1] = {0};
    wish = (struct member_wish){.session = session, .router = 0, .want = 1, .avoid = avoid, .avoid_count = 1};
    for (wish.draw = 0; wish.draw < 40; wish.draw++) {
        CHECK(pick(w, &wish, picked));
        CHECK(picked[0] >= 2); /* the other of the first operator counts as taken */
    }
}

/* ---- dedicated nodes ---- */

static enum verdict pin(struct world *w, uint32_t session, uint32_t n, bool consent)
{
    struct command cmd = {.type = COMMAND_SESSION_NODE_ADD, .signer_count = 1};
    cmd.session_node_add.owner = owner();
    cmd.session_node_add.session = session_id(&w->session, session);
    cmd.session_node_add.node = world_node_address(n);
    cmd.signer[0] = consent ? world_operator_address(n) : owner();
    return session_node_add(&w->session, &cmd);
}

static enum verdict unpin(struct world *w, uint32_t session, uint32_t n)
{
    struct cmd_session_node_remove cmd = {owner(), session_id(&w->session, session), world_node_address(n)};
    return session_node_remove(&w->session, &cmd);
}

static uint32_t open_mode(struct world *w, enum session_mode mode, uint16_t nodes_min, uint16_t nodes_max)
{
    struct cmd_session_open c = terms(w);
    c.mode = (uint8_t)mode;
    c.nodes_min = nodes_min;
    c.nodes_max = nodes_max;
    c.open_ms = 700000;
    c.reserve_ms = 1000;
    uint32_t session = open_with(w, &c);
    world_settle(w);
    return session;
}

TEST(session, a_dedicated_session_opens_with_the_nodes_pinned_to_it)
{
    struct world *w = with_nodes(3);
    uint32_t session = open_mode(w, MODE_DEDICATED, 2, 2);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    CHECK_EQ(pin(w, session, 0, false), VERDICT_CONSENT_MISSING);
    CHECK_EQ(pin(w, session, 9, true), VERDICT_NODE_UNKNOWN);
    CHECK_EQ(pin(w, session, 0, true), VERDICT_ACCEPTED);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RESERVED)->session_node_reserved.dedicated, 1);
    CHECK_EQ(pin(w, session, 0, true), VERDICT_NODE_TAKEN);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_OPENING);
    CHECK_EQ(pin(w, session, 1, true), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(session_state(&w->session, session), SESSION_ACTIVE);
    CHECK_EQ(pin(w, session, 2, true), VERDICT_NODES_RANGE);
    world_copy_is_equal(w);
    give_oracle(w);
    world_wait(w, 200000); /* no turnover, no shrinkage */
    CHECK_EQ(at(w, session)->nodes, 2);
    CHECK_EQ(unpin(w, session, 2), VERDICT_NODE_NOT_MEMBER);
    CHECK_EQ(unpin(w, session, 9), VERDICT_NODE_UNKNOWN);
    session_member_busy(&w->session, 0);
    CHECK_EQ(unpin(w, session, 0), VERDICT_ACCEPTED);
    CHECK_EQ(unpin(w, session, 0), VERDICT_NODE_STATE);
    world_settle(w);
    CHECK(session_is_degraded(&w->session, session));
    CHECK_EQ(world_state(w, 0), NODE_RESERVED);
    session_member_idle(&w->session, 0);
    world_settle(w);
    CHECK(world_state(w, 0) != NODE_RESERVED);
    CHECK_EQ(world_event(w, EVENT_SESSION_NODE_RELEASED)->session_node_released.reason, RELEASE_OWNER);
    CHECK_EQ(at(w, session)->nodes, 1); /* the pool's nodes do not fill it up */
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_ACCEPTED);
    CHECK_EQ(unpin(w, session, 1), VERDICT_ACCEPTED);
    world_settle(w);
    CHECK_EQ(session_check_submit(&w->session, session, payer(w, 0)), VERDICT_NODES_TOO_FEW);
}

TEST(session, pinning_wants_an_open_session_of_that_mode_and_a_free_node_that_fits)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_mode(w, MODE_HYBRID, 1, 4);
    uint32_t member = number_of(w, a_member(w, session)), other = 1 - member;
    CHECK_EQ(pin(w, session, member, true), VERDICT_NODE_TAKEN);
    CHECK_EQ(unpin(w, session, member), VERDICT_NODE_NOT_MEMBER); /* it is the pool's */
    CHECK_EQ(world_detach(w, other, 0), VERDICT_ACCEPTED);
    CHECK_EQ(pin(w, session, other, true), VERDICT_NODE_STATE);
    CHECK_EQ(world_attach(w, other, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_offer(w, other, 0, 1000), VERDICT_ACCEPTED);
    w->session.session[session].policy.price_in_max = 999;
    CHECK_EQ(pin(w, session, other, true), VERDICT_NODE_STATE);
    w->session.session[session].policy.price_in_max = 1000;
    world_join(w, 2, 2);
    CHECK_EQ(pin(w, session, 2, true), VERDICT_NODE_STATE); /* not tested */
    CHECK_EQ(pin(w, session, other, true), VERDICT_ACCEPTED);
    struct command cmd = {.signer_count = 0};
    CHECK_EQ(session_node_add(&w->session, &cmd), VERDICT_SESSION_UNKNOWN);
    cmd.session_node_add.session = session_id(&w->session, session);
    CHECK_EQ(session_node_add(&w->session, &cmd), VERDICT_NOT_AUTHORIZED);
    struct cmd_session_node_remove remove = {owner(), 3, world_node_address(0)};
    CHECK_EQ(session_node_remove(&w->session, &remove), VERDICT_SESSION_UNKNOWN);
    remove = (struct cmd_session_node_remove){test_address('W', 1), cmd.session_node_add.session, remove.node};
    CHECK_EQ(session_node_remove(&w->session, &remove), VERDICT_NOT_AUTHORIZED);
    uint32_t plain = open_nodes(w, 1, 1);
    CHECK_EQ(pin(w, plain, 2, true), VERDICT_VALUE_INVALID);
    session_task_began(&w->session, session);
    CHECK_EQ(close_it(w, session), VERDICT_ACCEPTED);
    CHECK_EQ(pin(w, session, 2, true), VERDICT_SESSION_NOT_OPEN);
    world_settle(w);
}

TEST(session, a_dedicated_node_that_is_absent_stays_until_it_is_lost_for_good)
{
    struct world *w = with_nodes(2);
    uint32_t session = open_mode(w, MODE_HYBRID, 1, 2);
    uint32_t member = a_member(w, session), other = 1 - member;
    CHECK_EQ(pin(w, session, number_of(w, other), true), VERDICT_ACCEPTED);
    CHECK_EQ(world_detach(w, number_of(w, other), 0), VERDICT_ACCEPTED);
    recall_lost(w);
    world_admit(w, 2, 2);
    CHECK_EQ(node_pool_node(&w->pool, other)->state, NODE_RESERVED);
    world_wait(w, 600000);
    recall_lost(w);
    CHECK_EQ(node_pool_node(&w->pool, other)->state, NODE_OFFLINE);
}

/* ---- pools of sessions ---- */

TEST(session, pools_name_sessions)
{
    struct world *w = with_nodes(1);
    w->session.pool_cap = 1;
    uint32_t session = open_nodes(w, 1, 1);
    uint8_t ids[9 * 8] = {0};
    be64_put(ids, session_id(&w->session, session));
    struct cmd_session_pool_put cmd = {
        .owner = owner(),
        .route = POOL_ROUTE_COUNT,
        .replicas = 1,
        .name = {(const uint8_t *)"p", 1},
        .sessions = {ids, 8},
    };
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_VALUE_INVALID);
    cmd.route = ROUTE_VALIDATE;
    cmd.replicas = 2;
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_VALUE_INVALID);
    cmd.replicas = 1;
    cmd.sessions.size = 7;
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_VALUE_INVALID);
    cmd.sessions.size = sizeof ids;
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_VALUE_INVALID);
    cmd.sessions.size = 16;
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_SESSION_UNKNOWN);
    cmd.sessions.size = 8;
    cmd.owner = test_address('W', 9);
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_ACCOUNT_UNKNOWN);
    cmd.owner = owner();
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_ACCEPTED);
    cmd.route = ROUTE_DELEGATE;
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_ACCEPTED); /* new terms */
    CHECK_EQ(w->session.pool_count, 1);
    CHECK_EQ(w->session.pool[0].route, ROUTE_DELEGATE);
    world_copy_is_equal(w);
    cmd.name = (struct span){(const uint8_t *)"q", 1};
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_POOLS_FULL);
    cmd.sessions.size = 0;
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_VALUE_INVALID);
    cmd.name = (struct span){(const uint8_t *)"p", 1};
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(w->session.pool_count, 0);
    CHECK_EQ(world_events(w, EVENT_SESSION_POOL_CHANGED), 3);
    cmd.name.size = 0;
    CHECK_EQ(session_pool_put(&w->session, &cmd), VERDICT_VALUE_INVALID);
}

TEST(session, damaged_rows_are_refused_or_kept_within_bounds)
{
    struct world *w = with_nodes(3);
    open_nodes(w, 2, 2);
    open_nodes(w, 2, 2);
    static uint8_t bytes[1 << 16];
    struct rows write;
    rows_init(&write, ROWS_WRITE);
    bytes_writer_init(&write.w, bytes, sizeof bytes);
    session_rows(&w->session, &write);
    uint32_t size = write.w.size;
    CHECK(write.ok && size > 400);
    for (uint32_t i = 0; i < size; i++) {
        struct world *copy = world_empty();
        struct rows read;
        rows_init(&read, ROWS_READ);
        bytes[i] ^= 0xff;
        bytes_reader_init(&read.r, bytes, size);
        session_rows(&copy->session, &read);
        bytes[i] ^= 0xff;
    }
}

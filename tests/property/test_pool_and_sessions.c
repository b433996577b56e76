/* test_pool_and_sessions.c - whatever nodes, routers, owners and time do in whatever order, pool and sessions agree,
 * money is conserved, a copy made from the rows goes on alike, and no node serves that has not passed since it last
 * did.
 *
 * The test plays what is not there: rounds (everybody who waits is judged at random) and the queue (lost nodes are
 * recalled, tasks begin and end at random). */
#include "base/prng.h"
#include "core/node_pool_parts.h"
#include "core/session_parts.h"
#include "lib/core_parts.h"
#include "lib/test.h"
#include "lib/world.h"

#define NODES     14
#define OPERATORS 8
#define STEPS     1000

struct play {
    struct world *w;
    struct prng prng;
    uint32_t testing[NODES], testing_count;  // node slots in the test's own rounds
    bool passed[16];                         // by slot: it passed since it last left a session
};

static uint32_t below(struct play *p, uint32_t n) { return (uint32_t)prng_below(&p->prng, n); }

static struct address someone(uint32_t n) { return test_address('W', n); }

/* ---- what nodes do ---- */

static void join(struct play *p)
{
    uint32_t n = below(p, NODES);
    if (world_register(p->w, n, below(p, OPERATORS), below(p, 3)) != VERDICT_ACCEPTED)
        return;
    struct address address = world_node_address(n);
    p->passed[node_pool_find(&p->w->pool, &address)] = false;
}

static void come_or_go(struct play *p)
{
    uint32_t n = below(p, NODES), router = below(p, 2);
    struct address address = world_node_address(n);
    uint32_t node = node_pool_find(&p->w->pool, &address);
    if (node == SLOT_NONE)
        return;
    if (node_pool_is_attached(&p->w->pool, node, router) && below(p, 4) == 0)
        CHECK_EQ(world_detach(p->w, n, router), VERDICT_ACCEPTED);
    else
        world_attach(p->w, n, router);
}

static void offer(struct play *p) { world_offer(p->w, below(p, NODES), below(p, 2), below(p, 20)); }

static void leave(struct play *p)
{
    if (below(p, 6) == 0)
        world_leave(p->w, below(p, NODES));
}

/* ---- rounds ---- */

static void round_begins(struct play *p)
{
    uint32_t model = node_pool_round_wanted(&p->w->pool), node[NODES];
    if (model == SLOT_NONE)
        return;
    uint32_t count = node_pool_take_for_round(&p->w->pool, model, 1 + below(p, 4), node);
    CHECK(count > 0);
    for (uint32_t i = 0; i < count; i++)
        p->testing[p->testing_count++] = node[i];
    CHECK(p->testing_count <= NODES);
}

static void round_ends(struct play *p)
{
    if (p->testing_count == 0)
        return;
    uint32_t at = below(p, p->testing_count), node = p->testing[at];
    p->testing[at] = p->testing[--p->testing_count];
    bool in_test = node_pool_node(&p->w->pool, node)->state == NODE_TESTING;
    switch (below(p, 5)) {
    case 0: node_pool_failed(&p->w->pool, node); break;
    case 1: node_pool_round_aborted(&p->w->pool, node); break;
    default:
        node_pool_passed(&p->w->pool, node, below(p, 2) ? CLASS_VERIFIED : CLASS_UNVERIFIED, below(p, 3) * 600);
        p->passed[node] |= in_test;
        break;
    }
}

static void reputation_changes(struct play *p)
{
    uint32_t node = below(p, NODES);
    if (!slots_is_live(&p->w->pool.slots, node))
        return;
    if (below(p, 3))
        reputation_success(&p->w->reputation, node);
    else
        reputation_failure(&p->w->reputation, node);
    if (below(p, 3) == 0)
        reputation_audit(&p->w->reputation, node, below(p, 2), below(p, 4) == 0);
    reputation_measure(&p->w->reputation, node, below(p, 2), below(p, 4000), 100, 4000 + below(p, 20000));
    node_pool_reweigh(&p->w->pool, node);
}

static void ban_or_lift(struct play *p)
{
    struct world *w = p->w;
    uint32_t node = below(p, NODES);
    if (below(p, 20) || !slots_is_live(&w->pool.slots, node))
        return;
    const struct operator_ *o = &w->pool.operator_[node_pool_node(&w->pool, node)->operator];
    struct cmd_ban_lift cmd = {o->address, o->banned_seq};
    struct address oracles = test_address('P', 1);
    struct lift_vote vote = {0, &oracles, 1};
    if (o->banned_seq)
        CHECK_EQ(node_pool_ban_lift(&w->pool, &cmd, &vote), VERDICT_ACCEPTED);
    else
        node_pool_ban(&w->pool, node);
}

/* ---- what owners do ---- */

static void open(struct play *p)
{
    struct world *w = p->w;
    bool shared = below(p, 3) == 0;
    uint8_t redundancy = (uint8_t)(1 + below(p, 3));
    struct cmd_session_open cmd = {
        .owner = shared ? test_address('R', 0) : someone(below(p, 2)),
        .reference = test_hash('r', below(p, 4)),
        .model = catalog_id(&w->catalog, below(p, 2)),
        .shared = shared,
        .mode = (uint8_t)(shared ? 0 : below(p, SESSION_MODE_COUNT)),
        .redundancy = redundancy,
        .quorum = 1,
        .nodes_min = (uint16_t)(redundancy + below(p, 2)),
        .nodes_max = (uint16_t)(redundancy + 1 + below(p, 3)),
        .reserve = (uint8_t)below(p, 2),
        .sla = below(p, 4) ? SLA_LOW : SLA_MEDIUM,
        .class = (uint8_t)below(p, 2),
        .diversity = (uint8_t)below(p, 2),
        .reserve_ms = below(p, 2) * 30000,
        .tasks_per_node_max = below(p, 2) * 3,
        .pays = shared ? PAYS_PAYER : PAYS_OWNER,
        .attempts_max = 1,
        .price_in_max = 15,
        .price_out_max = 15,
        .tokens_max = 9,
        .ack_ms = 1,
        .precommit_ms = 1,
        .commit_ms = 1,
        .total_ms = 1,
        .open_ms = 20000,
        .drain_ms = 5000,
        .escrow = amount_of(shared ? 0 : below(p, 50)),
    };
    uint64_t id;
    session_open(&w->session, &cmd, &id);
}

static uint32_t some_session(struct play *p)
{
    uint32_t session = below(p, 6);
    return slots_is_live(&p->w->session.slots, session) ? session : SLOT_NONE;
}

static void close_or_pin(struct play *p)
{
    struct world *w = p->w;
    uint32_t session = some_session(p);
    if (session == SLOT_NONE)
        return;
    struct address owner = *account_address(&w->account, session_policy(&w->session, session)->owner);
    uint64_t id = session_id(&w->session, session);
    uint32_t n = below(p, NODES);
    struct address node = world_node_address(n);
    uint32_t slot = node_pool_find(&w->pool, &node);
    if (below(p, 6) == 0) {
        struct cmd_session_close cmd = {owner, id};
        session_close(&w->session, &cmd);
    } else if (below(p, 3) == 0) {
        struct cmd_session_node_remove cmd = {owner, id, node};
        session_node_remove(&w->session, &cmd);
    } else if (slot != SLOT_NONE) {
        struct command cmd = {.signer_count = 1};
        cmd.session_node_add.owner = owner;
        cmd.session_node_add.session = id;
        cmd.session_node_add.node = node;
        cmd.signer[0] = *node_pool_operator(&w->pool, slot);
        session_node_add(&w->session, &cmd);
    }
}

/* ---- what the queue does ---- */

static void end_task(struct world *w, uint32_t session)
{
    for (uint32_t i = w->session.session[session].node_head; i != SLOT_NONE; i = w->session.member[i].next)
        while (w->session.session[session].in_flight == 1 && w->session.member[i].in_flight > 0)
            session_member_idle(&w->session, i);
    session_task_ended(&w->session, session);
}

static void queue_sweeps(struct play *p)
{
    struct world *w = p->w;
    for (uint32_t node; (node = node_pool_lost(&w->pool)) != SLOT_NONE;) {
        CHECK(session_of_node(&w->session, node) != SLOT_NONE);
        while (w->session.member[node].in_flight > 0)
            session_member_idle(&w->session, node);
        session_node_lost(&w->session, node);
        node_pool_lost_done(&w->pool, node);
    }
    for (uint32_t session; (session = session_take_mark(&w->session)) != SLOT_NONE;)
        while (session_closing(&w->session, session) != SESSION_REASON_NONE &&
               w->session.session[session].in_flight > 0)
            end_task(w, session);
}

static void work(struct play *p)
{
    struct world *w = p->w;
    uint32_t session = some_session(p), node[REDUNDANCY_MAX];
    if (session == SLOT_NONE || session_check_submit(&w->session, session, 0) != VERDICT_ACCEPTED)
        return;
    session_task_began(&w->session, session);
    const struct session_policy *policy = session_policy(&w->session, session);
    struct member_wish wish = {.session = session, .want = policy->redundancy, .draw = prng_next(&p->prng)};
    if (session_state(&w->session, session) != SESSION_ACTIVE || !session_pick_members(&w->session, &wish, node)) {
        session_waiting(&w->session, session, w->step.now_ms);
        return;
    }
    session_waiting(&w->session, session, TIME_NEVER);
    for (uint32_t i = 0; i < wish.want; i++) {
        CHECK_EQ(node_pool_node(&w->pool, node[i])->state, NODE_RESERVED);
        CHECK(p->passed[node[i]]);
        for (uint32_t k = 0; k < i; k++)
            CHECK(node[i] != node[k]);
        session_member_busy(&w->session, node[i]);
    }
}

static void rest(struct play *p)
{
    struct world *w = p->w;
    uint32_t session = some_session(p), node = below(p, NODES);
    if (session != SLOT_NONE && w->session.session[session].in_flight > 0 && below(p, 2))
        end_task(w, session);
    if (session_of_node(&w->session, node) != SLOT_NONE && w->session.member[node].in_flight > 0)
        session_member_idle(&w->session, node);
}

/* ---- time ---- */

static void wait(struct play *p)
{
    static const uint32_t ms[] = {1, 500, 3000, 30000, 70000};
    uint64_t wait_ms = below(p, ms[below(p, ARRAY_COUNT(ms))]) + 1;
    if (below(p, 40) == 0)
        wait_ms += p->w->step.params.node_absent_ms;
    p->w->says_oracle_lives = below(p, 5) > 0;
    if (below(p, 6) == 0)
        world_wait_without(p->w, wait_ms);
    else
        world_wait(p->w, wait_ms);
}

/* What the network's admins set: deadlines that run keep what they began with. */
static void set_parameter(struct play *p)
{
    struct params *params = &p->w->step.params;
    switch (below(p, 8)) {
    case 0: params->node_absent_ms = 1000 + below(p, 900000); break;
    case 1: params->grow_wait_ms = 1 + below(p, 5000); break;
    case 2: params->idle_ms = 1 + below(p, 90000); break;
    case 3: params->probation_milli = 1 + below(p, 9000); break;
    case 4: params->backoff_ms_min = 10 + below(p, 90000); break;
    default: break;
    }
}

/* A node that is released has to pass again. */
static void note_releases(struct play *p)
{
    for (uint32_t i = 0; i < p->w->out.count; i++) {
        const struct event *e = &p->w->event[i];
        if (e->type != EVENT_SESSION_NODE_RELEASED)
            continue;
        uint32_t node = node_pool_find(&p->w->pool, &e->session_node_released.node);
        if (node != SLOT_NONE && node_pool_node(&p->w->pool, node)->state != NODE_EPHEMERAL)
            p->passed[node] = false;
    }
    world_forget(p->w);
}

static void play(uint64_t seed)
{
    static void (*const moves[])(struct play *) = {
        join,        come_or_go,    come_or_go, offer,        offer,
        leave,       round_begins,  round_ends, round_ends,   reputation_changes,
        ban_or_lift, set_parameter, open,       close_or_pin, work,
        work,        work,          rest,       rest,         wait,
        wait,
    };
    struct play p = {.w = world_open(), .prng = {seed}};
    for (uint32_t i = 0; i < 2; i++) {
        struct cmd_deposit deposit = {someone(i), amount_of(5000), test_hash('d', 50 + i)};
        CHECK_EQ(payment_deposit(&p.w->payment, &deposit), VERDICT_ACCEPTED);
    }
    for (uint32_t i = 0; i < OPERATORS; i++) {
        struct cmd_deposit deposit = {world_operator_address(i), amount_of(10), test_hash('d', 70 + i)};
        CHECK_EQ(payment_deposit(&p.w->payment, &deposit), VERDICT_ACCEPTED);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        p.w->step.seq++;
        moves[below(&p, ARRAY_COUNT(moves))](&p);
        world_settle(p.w);
        queue_sweeps(&p);
        world_settle(p.w);
        note_releases(&p);
        CHECK(payment_holds(&p.w->payment));
        if (i % 50 == 0)
            world_copy_is_equal(p.w);
    }
}

TEST(pool_and_sessions, agree_whatever_happens)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        play(seed);
}

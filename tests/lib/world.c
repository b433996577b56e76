#include "lib/world.h"

#include "lib/core_parts.h"
#include "lib/test.h"

static struct span text(const char *s) { return (struct span){(const uint8_t *)s, (uint32_t)strlen(s)}; }

#define WORLD_SIZE (16u << 20)

/* One to test, and one that is its copy. */
static struct world *fresh(uint32_t which)
{
    static struct world world[2];
    static uint8_t memory[2][WORLD_SIZE] __attribute__((aligned(16)));
    struct world *w = &world[which];
    memset(w, 0, sizeof *w);
    arena_init(&w->arena, memory[which], WORLD_SIZE);
    w->out = (struct event_list){w->event, EVENTS_PER_COMMAND_MAX, 0};
    struct params *params = &w->step.params;
    params_default(params);
    params->accounts_cap = 128;
    params->models_cap = 3;
    params->nodes_cap = 16;
    params->operators_cap = 12;
    params->invites_cap = 2;
    params->sessions_cap = 6;
    params->rounds_cap = 4;
    params->tasks_cap = 16;
    w->step.seq = 1;
    w->step.network_id = 7;
    w->step.rules_version = 1;
    w->step.out = &w->out;
    CHECK(account_init(&w->account, &w->arena, &w->step));
    CHECK(payment_init(&w->payment, &w->arena, &w->step, &w->account));
    CHECK(catalog_init(&w->catalog, &w->arena, &w->step));
    CHECK(reputation_init(&w->reputation, &w->arena, &w->step));
    CHECK(node_pool_init(&w->pool, &w->arena, &w->step, &w->account, &w->payment, &w->catalog, &w->reputation));
    CHECK(session_init(&w->session, &w->arena, &w->step, &w->account, &w->catalog, &w->pool, &w->payment));
    CHECK(cognitive_init(&w->cognitive, &w->arena, &w->step, &w->account, &w->catalog, &w->pool, &w->reputation));
    return w;
}

static void hear_routers(struct world *w, uint32_t from)
{
    for (uint32_t i = from; i < 2; i++) {
        struct cmd_router_heartbeat cmd = {.epoch = 1};
        w->step.router = i;
        CHECK_EQ(account_router_heartbeat(&w->account, &cmd), VERDICT_ACCEPTED);
    }
    w->step.router = 0;
}

static void put_model(struct world *w, uint32_t n, const char *name)
{
    struct cmd_model_put cmd = {
        .manifest_digest = test_hash('m', n),
        .context = 2048,
        .template_tokens = 16,
        .price_in_max = 1000,
        .price_out_max = 1000,
        .name = text(name),
    };
    CHECK_EQ(catalog_put(&w->catalog, &cmd), VERDICT_ACCEPTED);
}

struct world *world_open(void)
{
    struct world *w = fresh(0);
    struct address admin = test_address('A', 0);
    struct address router[4] = {test_address('R', 0), test_address('Q', 0), test_address('R', 1), test_address('Q', 1)};
    struct cmd_genesis genesis = {
        .admin_quorum = 1,
        .admins = {admin.b, sizeof admin},
        .routers = {router[0].b, sizeof router},
    };
    account_genesis(&w->account, &genesis);
    w->step.now_ms = 1000;
    hear_routers(w, 0);
    put_model(w, 0, "one");
    put_model(w, 1, "two");
    return w;
}

/* Without a session a test takes the pool's news itself. */
static uint64_t session_is_due_ms(const struct world *w)
{
    return w->session.slots.used > 0 ? session_due_ms(&w->session) : TIME_NEVER;
}

static uint64_t due_ms(struct world *w)
{
    uint64_t due_ms = u64_min(account_due_ms(&w->account), node_pool_due_ms(&w->pool));
    return u64_min(u64_min(due_ms, session_is_due_ms(w)), cognitive_due_ms(&w->cognitive));
}

struct world *world_empty(void) { return fresh(1); }

static void sweep(struct world *w)
{
    uint64_t first_ms = due_ms(w);
    if (account_due_ms(&w->account) == first_ms)
        account_sweep(&w->account);
    else if (node_pool_due_ms(&w->pool) == first_ms)
        node_pool_sweep(&w->pool);
    else if (session_is_due_ms(w) == first_ms)
        session_sweep(&w->session);
    else
        cognitive_sweep(&w->cognitive);
}

void world_settle(struct world *w)
{
    struct hash dice;
    bool oracle_lives = cognitive_dice(&w->cognitive, &dice);
    dice.b[0] ^= (uint8_t)w->step.now_ms;
    session_set_dice(&w->session, &dice, oracle_lives || w->says_oracle_lives);
    for (uint32_t i = 0; due_ms(w) <= w->step.now_ms; i++) {
        CHECK(i < 10000);
        w->sweeps++;
        sweep(w);
    }
    account_check(&w->account);
    payment_check(&w->payment);
    catalog_check(&w->catalog);
    reputation_check(&w->reputation);
    node_pool_check(&w->pool);
    if (w->session.slots.used > 0)
        session_check(&w->session);
    /* Without an oracle a test plays the rounds itself, and cognitive does not know of them. */
    if (w->cognitive.oracle_count > 0)
        cognitive_check(&w->cognitive);
}

static void hear_oracles(struct world *w)
{
    for (uint32_t i = 0; i < w->cognitive.oracle_count; i++)
        if (w->cognitive.oracle[i].state == ORACLE_LIVE && !w->mute[i])
            CHECK_EQ(world_beat(w, i, w->cognitive.oracle[i].duties), VERDICT_ACCEPTED);
}

static void wait_hearing(struct world *w, uint64_t ms, uint32_t from)
{
    while (ms > 0) {
        uint64_t step = u64_min(ms, w->step.params.heartbeat_ms);
        w->step.now_ms += step;
        w->step.seq++;
        ms -= step;
        hear_routers(w, from);
        hear_oracles(w);
        world_settle(w);
    }
}

void world_wait(struct world *w, uint64_t ms) { wait_hearing(w, ms, 0); }

void world_wait_without(struct world *w, uint64_t ms) { wait_hearing(w, ms, 1); }

struct address world_oracle_address(uint32_t n) { return test_address('E', n); }

/* The value of oracle n's chain after so many heartbeats: the first is hashed most often. */
static struct hash chain_at(uint32_t n, uint32_t beats)
{
    struct hash h = test_hash('c', n);
    CHECK(beats <= WORLD_CHAIN);
    for (uint32_t i = beats; i < WORLD_CHAIN; i++)
        keccak256(h.b, sizeof h.b, &h);
    return h;
}

void world_oracle(struct world *w, uint32_t n, uint32_t quorum)
{
    struct cmd_oracle_add cmd = {world_oracle_address(n), test_address('P', n), chain_at(n, 0), (uint8_t)quorum};
    CHECK_EQ(cognitive_oracle_add(&w->cognitive, &cmd), VERDICT_ACCEPTED);
    CHECK_EQ(world_beat(w, n, DUTY_ROUND | DUTY_AUDIT), VERDICT_ACCEPTED);
}

enum verdict world_beat(struct world *w, uint32_t n, uint32_t duties)
{
    struct cmd_oracle_heartbeat cmd = {chain_at(n, ++w->beats[n]), duties};
    return cognitive_heartbeat(&w->cognitive, &cmd, n);
}

struct address world_node_address(uint32_t n) { return test_address('N', n); }

struct address world_operator_address(uint32_t n) { return test_address('O', n); }

enum verdict world_register(struct world *w, uint32_t n, uint32_t operator, uint64_t stake)
{
    struct command cmd = {.type = COMMAND_NODE_REGISTER, .signer_count = 2};
    cmd.signer[0] = cmd.node_register.node = world_node_address(n);
    cmd.signer[1] = cmd.node_register.operator= world_operator_address(operator);
    cmd.node_register.slots = 2;
    cmd.node_register.engine = ENGINE_ECHO;
    cmd.node_register.stake = amount_of(stake);
    cmd.node_register.build = text("echo 1");
    return node_pool_register(&w->pool, &cmd);
}

enum verdict world_offer(struct world *w, uint32_t n, uint32_t model, uint64_t price)
{
    struct cmd_node_model_put cmd = {
        .node = world_node_address(n),
        .model = catalog_id(&w->catalog, model),
        .context = 1024,
        .price_in = price,
        .price_out = price,
    };
    return node_pool_model_put(&w->pool, &cmd);
}

enum verdict world_attach(struct world *w, uint32_t n, uint32_t router)
{
    struct cmd_node_attach cmd = {world_node_address(n), ++w->link};
    w->step.router = router;
    enum verdict verdict = node_pool_attach(&w->pool, &cmd);
    w->step.router = 0;
    return verdict;
}

enum verdict world_detach(struct world *w, uint32_t n, uint32_t router)
{
    struct cmd_node_detach cmd = {world_node_address(n), 0, DETACH_CLOSED};
    const struct node *node = node_pool_node(&w->pool, node_pool_find(&w->pool, &cmd.node));
    for (uint32_t i = 0; i < NODE_LINKS_MAX; i++)
        if (node->link[i].router == router)
            cmd.link = node->link[i].link;
    w->step.router = router;
    enum verdict verdict = node_pool_detach(&w->pool, &cmd);
    w->step.router = 0;
    return verdict;
}

enum verdict world_leave(struct world *w, uint32_t n)
{
    struct cmd_node_leave cmd = {world_node_address(n)};
    return node_pool_leave(&w->pool, &cmd);
}

uint32_t world_join(struct world *w, uint32_t n, uint32_t operator)
{
    CHECK_EQ(world_register(w, n, operator, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_attach(w, n, 0), VERDICT_ACCEPTED);
    CHECK_EQ(world_offer(w, n, 0, 10), VERDICT_ACCEPTED);
    struct address address = world_node_address(n);
    return node_pool_find(&w->pool, &address);
}

void world_pass_all(struct world *w)
{
    uint32_t node[ROUND_NODES_MAX];
    while (node_pool_wants_round(&w->pool, 0)) {
        uint32_t count = node_pool_take_for_round(&w->pool, 0, ROUND_NODES_MAX, node);
        CHECK(count > 0);
        for (uint32_t i = 0; i < count; i++)
            node_pool_passed(&w->pool, node[i], CLASS_VERIFIED, 0);
    }
    world_settle(w);
}

uint32_t world_admit(struct world *w, uint32_t n, uint32_t operator)
{
    uint32_t node = world_join(w, n, operator);
    world_pass_all(w);
    CHECK(world_state(w, n) == NODE_EPHEMERAL || world_state(w, n) == NODE_RESERVED);
    return node;
}

enum node_state world_state(const struct world *w, uint32_t n)
{
    struct address address = world_node_address(n);
    uint32_t node = node_pool_find(&w->pool, &address);
    return node == SLOT_NONE ? NODE_GONE : node_pool_node(&w->pool, node)->state;
}

void world_forget(struct world *w) { w->out.count = 0; }

const struct event *world_event(const struct world *w, enum event_type type)
{
    for (uint32_t i = w->out.count; i > 0; i--)
        if (w->event[i - 1].type == type)
            return &w->event[i - 1];
    return NULL;
}

uint32_t world_events(const struct world *w, enum event_type type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->out.count; i++)
        count += w->event[i].type == type;
    return count;
}

static void rows(struct world *w, struct rows *rows)
{
    account_rows(&w->account, rows);
    payment_rows(&w->payment, rows);
    catalog_rows(&w->catalog, rows);
    reputation_rows(&w->reputation, rows, &w->pool.slots);
    node_pool_rows(&w->pool, rows);
    session_rows(&w->session, rows);
    cognitive_rows(&w->cognitive, rows);
}

static void root(struct world *w, struct hash *ret_root)
{
    struct rows hash;
    rows_init(&hash, ROWS_HASH);
    rows(w, &hash);
    rows_root(&hash, ret_root);
}

void world_copy_is_equal(struct world *w)
{
    static uint8_t bytes[1 << 20];
    struct rows count, write, read;
    rows_init(&count, ROWS_COUNT);
    rows(w, &count);
    CHECK(count.size <= sizeof bytes);
    rows_init(&write, ROWS_WRITE);
    bytes_writer_init(&write.w, bytes, sizeof bytes);
    rows(w, &write);
    CHECK(write.ok);
    CHECK_EQ(write.w.size, count.size);

    struct world *copy = fresh(1);
    copy->step = w->step;
    copy->step.out = &copy->out;
    rows_init(&read, ROWS_READ);
    bytes_reader_init(&read.r, bytes, (uint32_t)count.size);
    rows(copy, &read);
    CHECK(read.ok);
    struct hash before, after;
    root(w, &before);
    root(copy, &after);
    CHECK_MEM(before.b, after.b, sizeof before.b);
    CHECK_EQ(due_ms(w), due_ms(copy));
    world_settle(copy);
}

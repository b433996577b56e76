/* Thousands of commands drawn from a seed, sensible ones and others, over a small network whose tables are often full.
 * After each entry all modules check themselves and each other, and money is conserved. A second replica, and one that
 * went through a snapshot on the way, end with the same digest and root. */
#include "base/prng.h"
#include "lib/network.h"
#include "lib/random_command.h"
#include "lib/test.h"

#define STEPS 2000  // a seed

struct player {
    struct network *n;
    struct prng prng;
    uint8_t pool[2048];
};

static uint64_t below(struct player *p, uint64_t n) { return prng_below(&p->prng, n); }
static bool chance(struct player *p, uint32_t percent) { return below(p, 100) < percent; }

/* ---- ids that exist ---- */

/* A random one of those that a walk gives. */
#define PICK(p, walk, view, member, ret)                         \
    do {                                                         \
        uint32_t seen_ = 0;                                      \
        for (uint32_t at_ = 0; walk((p)->n->core, &at_, &view);) \
            if (below((p), ++seen_) == 0)                        \
                (ret) = view.member;                             \
    } while (0)

static uint64_t any_session(struct player *p)
{
    struct session_view v;
    uint64_t id = 1;
    PICK(p, view_session_at, v, id, id);
    return id;
}

static uint64_t any_task(struct player *p)
{
    struct task_view v;
    uint64_t id = 1;
    PICK(p, view_task_at, v, id, id);
    return id;
}

static uint64_t any_audit(struct player *p)
{
    struct audit_view v;
    uint64_t id = 1;
    PICK(p, view_audit_at, v, id, id);
    return id;
}

static uint64_t any_round(struct player *p)
{
    struct round_view v;
    uint64_t id = 1;
    PICK(p, view_round_at, v, id, id);
    return id;
}

static uint64_t any_model(struct player *p)
{
    struct model_view v;
    uint64_t id = 1;
    PICK(p, view_model_at, v, id, id);
    return id;
}

static uint64_t any_lease(struct player *p)
{
    struct assignment_view a;
    struct round_view r;
    uint64_t lease = 1, task = any_task(p);
    uint32_t seen = 0;
    if (chance(p, 20)) {
        for (uint32_t at = 0; view_round_at(p->n->core, &at, &r);)
            for (uint32_t i = 0; i < r.places; i++)
                if (below(p, ++seen) == 0)
                    lease = r.place[i].lease;
        return lease;
    }
    for (uint32_t at = 0; view_assignment_of(p->n->core, task, &at, &a);)
        if (below(p, ++seen) == 0)
            lease = a.lease;
    return lease;
}

static struct hash key_hash_of(uint32_t i) { return test_hash('k', i); }

static struct address custodial(uint32_t router, uint32_t key)
{
    struct address account, r = test_address('R', router);
    struct hash key_hash = key_hash_of(key);
    account_custodial(&r, &key_hash, &account);
    return account;
}

static struct address any_account(struct player *p)
{
    switch (below(p, 8)) {
    case 0: return test_address('N', 1 + (uint32_t)below(p, 4));
    case 1: return test_address('R', 1 + (uint32_t)below(p, 2));
    case 2:
    case 3: return custodial(1 + (uint32_t)below(p, 2), (uint32_t)below(p, 3));
    default: return test_address('U', 1 + (uint32_t)below(p, 3));
    }
}

static struct address any_address(struct player *p, const char *field)
{
    if (strcmp(field, "node") == 0)
        return test_address('M', 1 + (uint32_t)below(p, 8));
    if (strcmp(field, "oracle") == 0)
        return test_address('O', 1 + (uint32_t)below(p, 4));
    if (strcmp(field, "router") == 0)
        return test_address('R', 1 + (uint32_t)below(p, 3));
    if (strcmp(field, "operator") == 0)
        return test_address('N', 1 + (uint32_t)below(p, 4));
    return any_account(p);
}

static uint64_t any_ban(struct player *p, struct address *ret_operator)
{
    const struct node_pool *pool = &p->n->core->node_pool;
    uint64_t seq = core_seq(p->n->core) - below(p, 50);
    for (uint32_t i = 0; i < pool->operator_count; i++)
        if (pool->operator_[i].banned_seq > 0 && (*ret_operator = pool->operator_[i].address, true))
            seq = pool->operator_[i].banned_seq;
    return seq;
}

static uint64_t any_number(struct player *p, const char *field)
{
    if (strcmp(field, "session") == 0)
        return any_session(p);
    if (strcmp(field, "task") == 0)
        return any_task(p);
    if (strcmp(field, "lease") == 0)
        return any_lease(p);
    if (strcmp(field, "audit") == 0)
        return any_audit(p);
    if (strcmp(field, "round") == 0)
        return any_round(p);
    if (strcmp(field, "model") == 0)
        return any_model(p);
    return below(p, 4);
}

/* ---- commands ---- */

static void set_plausible(struct player *p, const struct field *f, void *base)
{
    uint8_t *to = (uint8_t *)base + f->offset;
    struct address a;
    struct hash h;
    uint64_t number;
    switch ((enum field_type)f->type) {
    case FIELD_u8:
    case FIELD_u16:
    case FIELD_u32:
    case FIELD_u64:
    case FIELD_amount:
        number = any_number(p, f->name);
        memcpy(to, &number, f->type == FIELD_u8 ? 1 : f->type == FIELD_u16 ? 2 : f->type == FIELD_u32 ? 4 : 8);
        return;
    case FIELD_address:
        a = any_address(p, f->name);
        memcpy(to, &a, sizeof a);
        return;
    case FIELD_hash:
        h = key_hash_of((uint32_t)below(p, 3));
        memcpy(to, &h, sizeof h);
        return;
    case FIELD_bytes: return;
    }
}

static void vary_session(struct player *p, struct cmd_session_open *s)
{
    s->diversity = (uint8_t)below(p, 2);
    s->nodes_max = (uint16_t)(s->nodes_min + below(p, 3));
    s->reserve_ms = 1000 + below(p, 100000);
    s->tasks_per_node_max = 1 + (uint32_t)below(p, 10);
    s->audit_bp = (uint16_t)(chance(p, 50) ? 10000 : below(p, 10001));
    s->stream = (uint8_t)below(p, 2);
    s->evidence = (uint8_t)below(p, 2);
    s->mode = (uint8_t)below(p, SESSION_MODE_COUNT);
    s->tasks_in_flight_max = chance(p, 20) ? (uint32_t)below(p, 5) : 0;
    s->on_no_verdict = (uint8_t)below(p, ON_NO_VERDICT_COUNT);
    s->escrow = amount_of(below(p, 50000));
    s->reference = chance(p, 50) ? test_hash('f', (uint32_t)below(p, 9)) : (struct hash){{0}};
    s->quorum = (uint8_t)(s->quorum + chance(p, 10));
    s->validation = (uint8_t)(chance(p, 5) ? s->validation : s->validation & 1);
}

static void vary_task(struct player *p, struct cmd_task_submit *t)
{
    t->greedy = chance(p, 85);
    t->seed_of_client = (uint8_t)below(p, 2);
    t->priority = (uint8_t)(chance(p, 50) ? below(p, 10) : PRIORITY_DEFAULT);
    t->tokens_max = (uint32_t)below(p, 100);
    t->key_hash = chance(p, 10) ? key_hash_of((uint32_t)below(p, 3)) : (struct hash){{0}};
    if (chance(p, 20))
        t->reference = test_hash('r', (uint32_t)below(p, 20));
    if (chance(p, 20))
        t->timeout_ms = 100 + (uint32_t)below(p, 5000);
}

/* What a router's replica foresees is what comes, where no time passes between. */
static void append_as_foreseen(struct player *p, struct command *cmd)
{
    uint64_t task;
    cmd->time_ms = p->n->ledger_ms;
    if (address_is_zero(&cmd->author))
        cmd->author = test_address('R', p->n->hushed_router[0] ? 2 : 1);
    bool is_quiet =
        p->n->ledger_ms == p->n->core->step.ledger_ms && core_next_tick_ms(p->n->core) > core_now_ms(p->n->core);
    enum verdict foreseen = core_foresee(p->n->core, cmd, &task), verdict = network_append(p->n, cmd);
    if (is_quiet && foreseen != VERDICT_ACCEPTED)
        CHECK_EQ(verdict, foreseen);
    if (is_quiet && cmd->type == COMMAND_TASK_SUBMIT)
        CHECK_EQ(verdict, foreseen);
}

static void give(struct player *p, struct command *cmd, bool wild)
{
    const struct command_info *info = command_find((uint32_t)cmd->type);
    if (wild && chance(p, 50)) {
        struct field_list one = {&info->fields.field[below(p, info->fields.count)], 1};
        random_fields(&p->prng, one, p->pool, &cmd->genesis);
    }
    if (chance(p, wild ? 30 : 1))
        cmd->author = test_address('R', 1 + (uint32_t)below(p, 4));
    if (wild && chance(p, 20)) {
        cmd->signer_count = (uint8_t)below(p, 3);
        for (uint32_t i = 0; i < cmd->signer_count; i++)
            cmd->signer[i] = chance(p, 10) ? (struct address){{0}} : any_address(p, chance(p, 50) ? "node" : "oracle");
        cmd->nonce = below(p, 100);
    } else {
        network_sign(p->n, cmd);
    }
    append_as_foreseen(p, cmd);
}

/* Commands about a session are mostly its owner's. */
static void be_owner(struct player *p, struct command *cmd)
{
    struct session_view s;
    if (cmd->type == COMMAND_TASK_SUBMIT && chance(p, 60))
        cmd->task_submit.payer = (struct address){{0}};  // whom the session would have
    if (cmd->type == COMMAND_TASK_CANCEL)
        cmd->task_cancel.payer = (struct address){{0}};
    if (cmd->type == COMMAND_SESSION_OPEN && chance(p, 60))
        cmd->session_open.owner = (struct address){{0}};
    bool is_about = cmd->type == COMMAND_SESSION_TOP_UP || cmd->type == COMMAND_SESSION_CLOSE ||
                    cmd->type == COMMAND_SESSION_NODE_ADD || cmd->type == COMMAND_SESSION_NODE_REMOVE;
    if (is_about && view_session(p->n->core, cmd->session_top_up.session, &s))  // owner and session come first in all
        cmd->session_top_up.owner = s.owner;
}

/* A parameter that matters while the network runs. */
static void vary_param(struct player *p, struct cmd_params_set *cmd)
{
    static const struct {
        uint16_t param;
        uint64_t value[2];
    } choice[] = {{35, {5000, 30000}}, {64, {0, 200}},    {65, {0, 1000}},   {66, {0, 10000}},
                  {67, {0, 10000}},    {97, {400, 4610}}, {112, {1, 10000}}, {115, {0, 5000}}};
    size_t at = below(p, ARRAY_COUNT(choice));
    *cmd = (struct cmd_params_set){choice[at].param, choice[at].value[below(p, 2)], core_seq(p->n->core) + below(p, 9)};
}

static void vary_key(struct player *p, struct cmd_key_put *k)
{
    k->model = chance(p, 10) ? k->model : 0;
    k->session = chance(p, 10) ? k->session : 0;
    k->budget = amount_of(chance(p, 30) ? below(p, 2000) : 0);
    k->budget_period_ms = chance(p, 50) ? 1000 + below(p, 20000) : 0;
    k->expires_ms = chance(p, 10) ? core_now_ms(p->n->core) + below(p, 20000) : 0;
}

static struct command plausible(struct player *p, enum command_type type)
{
    const struct command_info *info = command_find((uint32_t)type);
    struct command cmd;
    memset(&cmd, 0, sizeof cmd);
    cmd.type = type;
    for (uint32_t i = 0; i < info->fields.count; i++)
        set_plausible(p, &info->fields.field[i], &cmd.genesis);
    if (info->authority == AUTHORITY_ORACLE) {
        cmd.signer_count = 1;
        cmd.signer[0] = test_address('O', 1 + (uint32_t)below(p, 2));
    }
    if (type == COMMAND_SESSION_OPEN && (cmd.session_open.shared = chance(p, 30)))
        cmd.session_open.owner = test_address('R', 1);
    be_owner(p, &cmd);
    if (type == COMMAND_BAN_LIFT)
        cmd.ban_lift.banned_seq = any_ban(p, &cmd.ban_lift.operator);
    if (type == COMMAND_NODE_ATTACH || type == COMMAND_NODE_DETACH || type == COMMAND_TASK_SUBMIT)
        cmd.author = test_address('R', 1 + chance(p, 40));
    if (type == COMMAND_WITHDRAW_PAID)
        cmd.withdraw_paid.withdrawal = (1 + below(p, 3)) << 32 | below(p, 3);
    network_fill(p->n, &cmd);
    if (type == COMMAND_PARAMS_SET)
        vary_param(p, &cmd.params_set);
    if (type == COMMAND_SESSION_OPEN)
        vary_session(p, &cmd.session_open);
    if (type == COMMAND_KEY_PUT)
        vary_key(p, &cmd.key_put);
    if (type == COMMAND_TASK_SUBMIT)
        vary_task(p, &cmd.task_submit);
    if (type == COMMAND_AUDIT_VERDICT)
        cmd.audit_verdict.finding = (uint8_t)(1 + below(p, 3));
    if (type == COMMAND_ROUND_VERDICT && chance(p, 10))
        cmd.round_verdict.right = LAYER_BROKEN;
    return cmd;
}

static void play(struct player *p, enum command_type type)
{
    struct command cmd = plausible(p, type);
    give(p, &cmd, chance(p, 10));
}

/* What ends things that a lively network needs. */
static bool is_final(enum command_type type)
{
    return type == COMMAND_ROUTER_REMOVE || type == COMMAND_MODEL_REMOVE || type == COMMAND_ORACLE_REMOVE ||
           type == COMMAND_NODE_LEAVE || type == COMMAND_ACCOUNT_RESTRICT || type == COMMAND_KEY_REVOKE ||
           type == COMMAND_SESSION_CLOSE;
}

static void play_anything(struct player *p)
{
    const struct command_info *info = NULL;
    do
        info = command_find((uint32_t)below(p, COMMAND_TYPE_END));
    while (!info || (is_final(info->type) && !chance(p, 5)));
    struct command cmd = plausible(p, info->type);
    give(p, &cmd, chance(p, 50));
}

/* The next step of some assignment. */
static void play_lease(struct player *p)
{
    static const char *const text[] = {"yes", "yes", "yes", "no"};
    struct assignment_view a;
    uint64_t lease = any_lease(p);
    if (!view_assignment(p->n->core, lease, &a))
        return;
    enum command_type type = a.state == ASSIGNMENT_OFFERED ? COMMAND_TASK_ACK
                             : a.state == ASSIGNMENT_ACKED ? COMMAND_TASK_PRECOMMIT
                                                           : COMMAND_TASK_COMMIT;
    if (a.state == ASSIGNMENT_ACKED)
        network_answer(p->n, lease, text[below(p, 4)]);
    if (a.primary && chance(p, 20))
        type = COMMAND_TASK_STREAMS;
    if (chance(p, 4))
        type = COMMAND_TASK_DECLINE;
    if (chance(p, 2))
        type = COMMAND_TASK_FAULT;
    struct command cmd;
    memset(&cmd, 0, sizeof cmd);
    cmd.type = type;
    cmd.task_ack.lease = lease;
    network_fill(p->n, &cmd);
    give(p, &cmd, chance(p, 4));
}

static void play_time(struct player *p)
{
    if (chance(p, 10))
        p->n->hushed_oracle[below(p, 2)] = chance(p, 20);
    if (chance(p, 5))
        p->n->hushed_router[1] = chance(p, 30);
    if (chance(p, 3))
        p->n->ledger_ms += below(p, 100000);  // a clock that jumps
    else if (chance(p, 10))
        network_wait(p->n, below(p, 20000));
    else
        network_wait(p->n, below(p, 300));
}

static void play_nodes(struct player *p)
{
    static const enum command_type type[] = {COMMAND_NODE_ATTACH,   COMMAND_NODE_ATTACH,   COMMAND_NODE_DETACH,
                                             COMMAND_NODE_REGISTER, COMMAND_NODE_REGISTER, COMMAND_NODE_MODEL_PUT};
    play(p, type[below(p, ARRAY_COUNT(type))]);
}

static void play_one(struct player *p)
{
    uint64_t dice = below(p, 100);
    if (dice < 30)
        play_lease(p);
    else if (dice < 45)
        play(p, COMMAND_TASK_SUBMIT);
    else if (dice < 60)
        network_round_step(p->n);
    else if (dice < 72)
        play_time(p);
    else if (dice < 79)
        play(p, COMMAND_SESSION_OPEN);
    else if (dice < 81)
        play(p, chance(p, 20) ? COMMAND_SESSION_CLOSE : COMMAND_SESSION_TOP_UP);
    else if (dice < 84)
        chance(p, 5) ? play(p, COMMAND_NODE_LEAVE) : play_nodes(p);
    else if (dice < 88)
        play(p, chance(p, 30) ? COMMAND_AUDIT_ASK : chance(p, 10) ? COMMAND_BAN_LIFT : COMMAND_AUDIT_VERDICT);
    else if (dice < 90)
        play(p, chance(p, 60) ? COMMAND_TASK_CANCEL : COMMAND_TASK_ADOPT);
    else if (dice < 92)
        play(p, chance(p, 40) ? COMMAND_KEY_PUT : chance(p, 50) ? COMMAND_DEPOSIT : COMMAND_SESSION_NODE_ADD);
    else if (dice < 99)
        play_anything(p);
    else
        network_append_bytes(p->n, p->pool + below(p, 1000), (uint32_t)below(p, 200));
}

/* ---- the property ---- */

static struct core *through_snapshot(const struct network *n)
{
    uint64_t size = core_snapshot_size(n->core);
    uint8_t *bytes = malloc(size);
    CHECK(bytes && core_snapshot_write(n->core, bytes, size));
    struct core *core = network_replay(n, NULL, 0, 0);
    CHECK(core_snapshot_read(core, (struct span){bytes, (uint32_t)size}));
    free(bytes);
    core_check(core);
    return core;
}

static void same(struct core *a, struct core *b)
{
    struct hash one, other;
    core_digest(a, &one);
    core_digest(b, &other);
    CHECK(hash_eq(&one, &other));
    core_root(a, &one);
    core_root(b, &other);
    CHECK(hash_eq(&one, &other));
}

static void run_seed(uint64_t seed, uint32_t accepted[COMMAND_TYPE_END])
{
    struct player p = {.prng = {seed}};
    struct network_options options = {
        .oracles = 2,
        .routers = 2,
        .users = 3,
        .miners = 6,
        .operators = 4,
        .set = {{1, 40},   {2, 4},    {3, 3},     {5, 3},      {6, 3},      {7, 10},    {8, 8},      {10, 6},
                {11, 2},   {12, 16},  {13, 20},   {14, 24},    {15, 3},     {16, 6},    {34, 15000}, {36, 20000},
                {50, 100}, {51, 500}, {52, 4000}, {96, 20000}, {100, 5000}, {113, 500}, {114, 5000}},
        .set_count = 23,
    };
    p.n = network_open(&options);
    prng_fill(&p.prng, p.pool, sizeof p.pool);
    p.n->batch_size = 1 + (uint32_t)below(&p, 5);
    uint32_t half = STEPS / 2, from = 0;
    struct core *reader = NULL;
    for (uint32_t i = 0; i < STEPS; i++) {
        network_forget(p.n);
        play_one(&p);
        core_check(p.n->core);
        if (i != half)
            continue;
        network_batch_end(p.n);
        reader = through_snapshot(p.n);
        from = p.n->entry_count;
    }
    network_batch_end(p.n);
    network_replay(p.n, reader, from, p.n->entry_count);
    struct core *second = network_replay(p.n, NULL, 0, p.n->entry_count);
    same(p.n->core, reader);
    same(p.n->core, second);
    struct core *last = through_snapshot(p.n);
    same(p.n->core, last);
    for (uint32_t i = 0; i < COMMAND_TYPE_END; i++)
        accepted[i] += p.n->accepted[i];
    test_free(reader);
    test_free(second);
    test_free(last);
    network_close(p.n);
}

static void run_seeds(uint64_t first, uint64_t count)
{
    static uint32_t accepted[COMMAND_TYPE_END];
    const char *only = getenv("CORTEN_SEED");  // repeats one
    if (only)
        first = strtoull(only, NULL, 10);
    for (uint64_t seed = first; seed < first + (only ? 1 : count); seed++) {
        fprintf(stderr, "seed %" PRIu64 "\n", seed);
        run_seed(seed, accepted);
    }
    if (getenv("CORTEN_COUNTS"))
        for (const struct command_info *i = command_next(NULL); i; i = command_next(i))
            fprintf(stderr, "%s %u\n", i->name, accepted[i->type]);
    if (only)
        return;
    /* Else the seeds would prove little. */
    CHECK(accepted[COMMAND_TASK_SUBMIT] > 20);
    CHECK(accepted[COMMAND_TASK_COMMIT] > 10);
    CHECK(accepted[COMMAND_SESSION_OPEN] > 4);
}

TEST(core, holds_whatever_is_commanded)
{
    run_seeds(1, 6);
}
TEST(core, holds_whatever_is_commanded_otherwise)
{
    run_seeds(100, 6);
}

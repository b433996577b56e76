#include "lib/core_parts.h"

#include "lib/test.h"

struct address test_address(char kind, uint32_t n)
{
    struct address a = {{(uint8_t)kind}};
    for (int i = 0; i < 4; i++)
        a.b[19 - i] = (uint8_t)(n >> 8 * i);
    return a;
}

struct hash test_hash(char kind, uint32_t n)
{
    struct hash h = {{(uint8_t)kind}};
    for (int i = 0; i < 4; i++)
        h.b[31 - i] = (uint8_t)(n >> 8 * i);
    return h;
}

struct parts *parts_open(void)
{
    static const size_t memory_size = 4 << 20;
    struct parts *p = test_keep(calloc(1, sizeof *p));
    void *memory = test_keep(aligned_alloc(16, memory_size));
    CHECK(p && memory);
    arena_init(&p->arena, memory, memory_size);
    p->out = (struct event_list){p->event, EVENTS_PER_COMMAND_MAX, 0};
    params_default(&p->step.params);
    p->step.params.accounts_cap = 16;
    p->step.params.keys_cap = 3;
    p->step.params.delegations_cap = 2;
    p->step.params.deposits_cap = 64;
    p->step.params.withdrawals_cap = 2;
    p->step.params.models_cap = 3;
    p->step.params.tasks_cap = 16;
    p->step.seq = 1;
    p->step.network_id = 7;
    p->step.rules_version = 1;
    p->step.out = &p->out;
    CHECK(account_init(&p->account, &p->arena, &p->step));
    CHECK(payment_init(&p->payment, &p->arena, &p->step, &p->account));
    struct address admin = test_address('A', 0), router[2] = {test_address('R', 0), test_address('Q', 0)};
    struct cmd_genesis genesis = {
        .admin_quorum = 1,
        .admins = {admin.b, sizeof admin},
        .routers = {router[0].b, sizeof router},
    };
    account_genesis(&p->account, &genesis);
    p->step.router = 0;
    return p;
}

uint32_t parts_deposit(struct parts *parts, const struct address *account, uint64_t credits)
{
    static uint32_t reference;
    struct cmd_deposit cmd = {*account, amount_of(credits), test_hash('d', ++reference)};
    CHECK_EQ(payment_deposit(&parts->payment, &cmd), VERDICT_ACCEPTED);
    return account_find(&parts->account, account);
}

const struct event *parts_event(const struct parts *parts, enum event_type type)
{
    for (uint32_t i = parts->out.count; i > 0; i--)
        if (parts->event[i - 1].type == type)
            return &parts->event[i - 1];
    return NULL;
}

/* The frame: genesis, the order of checks, time, digests, snapshots, what is foreseen. */
#include "core/core.h"

#include "base/prng.h"
#include "lib/network.h"
#include "lib/test.h"

static struct network *small(void)
{
    return network_open(&(struct network_options){.users = 2, .oracles = 2, .miners = 3});
}

/* ---- genesis ---- */

TEST(core, wants_its_genesis_first_and_once)
{
    struct network *n = network_open(&(struct network_options){.raw = true});
    struct core *core = network_replay(n, NULL, 0, 0);
    static struct event event[EVENTS_PER_COMMAND_MAX];
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    struct command cmd = {.type = COMMAND_TICK, .author = test_address('R', 1)};
    uint8_t bytes[ENTRY_SIZE_MAX];
    struct span span = {bytes, command_encode(&cmd, NULL, bytes, sizeof bytes)};
    CHECK_EQ(core_apply(core, span, &cmd, &out), VERDICT_GENESIS_MISSING);
    /* The first entry was no genesis, so this ledger never has one. */
    cmd = (struct command){.type = COMMAND_GENESIS, .genesis = n->genesis};
    span.size = command_encode(&cmd, NULL, bytes, sizeof bytes);
    CHECK_EQ(core_apply(core, span, &cmd, &out), VERDICT_GENESIS_MISSING);
    CHECK_EQ(core_next_tick_ms(core), TIME_NEVER);
    CHECK_EQ(network_append(n, &cmd), VERDICT_GENESIS_AGAIN);
}

TEST(core, is_opened_for_one_genesis)
{
    struct network *n = network_open(&(struct network_options){.raw = true});
    struct core *core = network_replay(n, NULL, 0, 0);
    static struct event event[EVENTS_PER_COMMAND_MAX];
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    struct command cmd = {.type = COMMAND_GENESIS, .genesis = n->genesis};
    cmd.genesis.network_id++;
    CHECK_EQ(core_apply(core, (struct span){0}, &cmd, &out), VERDICT_VALUE_INVALID);
}

static enum verdict check(struct cmd_genesis genesis, size_t offset, uint8_t value)
{
    ((uint8_t *)&genesis)[offset] = value;
    return core_check_genesis(&genesis);
}

TEST(core, refuses_a_genesis_that_cannot_work)
{
    struct network *n = network_open(&(struct network_options){.raw = true, .admins = 2, .oracles = 1, .routers = 2});
    struct cmd_genesis g = n->genesis;
    CHECK_EQ(core_check_genesis(&g), VERDICT_ACCEPTED);
    CHECK_EQ(check(g, offsetof(struct cmd_genesis, rules_version), 2), VERDICT_RULES_UNKNOWN);
    CHECK_EQ(check(g, offsetof(struct cmd_genesis, admin_quorum), 0), VERDICT_VALUE_INVALID);
    CHECK_EQ(check(g, offsetof(struct cmd_genesis, admin_quorum), 3), VERDICT_VALUE_INVALID);
    CHECK_EQ(check(g, offsetof(struct cmd_genesis, oracle_quorum), 0), VERDICT_VALUE_INVALID);
    CHECK_EQ(check(g, offsetof(struct cmd_genesis, oracle_quorum), 17), VERDICT_VALUE_INVALID);
    struct cmd_genesis bad = g;
    bad.admins.size--;
    CHECK_EQ(core_check_genesis(&bad), VERDICT_VALUE_INVALID);
    bad = g;
    bad.routers.size = 0;
    CHECK_EQ(core_check_genesis(&bad), VERDICT_VALUE_INVALID);
    CHECK_EQ(core_size(&bad), 0);
    CHECK(!core_open(n->core, SIZE_MAX, &bad));
    bad = g;
    bad.oracles.size--;
    CHECK_EQ(core_check_genesis(&bad), VERDICT_VALUE_INVALID);
    uint8_t chainless[72] = {[19] = 1, [39] = 2};  // address, operator, and a chain that ends in zero
    bad = g;
    bad.oracles = (struct span){chainless, sizeof chainless};
    CHECK_EQ(core_check_genesis(&bad), VERDICT_VALUE_INVALID);
    chainless[71] = 3;
    CHECK_EQ(core_check_genesis(&bad), VERDICT_ACCEPTED);
    uint8_t twice[40] = {1};
    twice[20] = 1;
    bad = g;
    bad.admins = (struct span){twice, 40};
    CHECK_EQ(core_check_genesis(&bad), VERDICT_VALUE_INVALID);
    twice[20] = 0;
    CHECK_EQ(core_check_genesis(&bad), VERDICT_VALUE_INVALID);
    bad = g;
    bad.params = (struct span){(const uint8_t *)"\0\1\0\0\0\0\0\0\0\5", 10};
    CHECK_EQ(core_check_genesis(&bad), VERDICT_VALUE_INVALID);  // accounts_cap=5
    bad.params.size = 9;
    CHECK_EQ(core_check_genesis(&bad), VERDICT_COMMAND_MALFORMED);
    bad.params = (struct span){(const uint8_t *)"\0\x1f\0\0\0\0\0\0\0\5", 10};
    CHECK_EQ(core_check_genesis(&bad), VERDICT_PARAM_UNKNOWN);
    /* Sixteen accounts, and seventeen founders. */
    n = network_open(&(struct network_options){.raw = true, .admins = 16, .admin_quorum = 1});
    bad = n->genesis;
    bad.params = (struct span){(const uint8_t *)"\0\1\0\0\0\0\0\0\0\x10", 10};
    CHECK_EQ(core_check_genesis(&bad), VERDICT_ACCOUNTS_FULL);
}

TEST(core, needs_all_the_memory_that_it_asks_for)
{
    struct network *n = network_open(&(struct network_options){.raw = true});
    size_t size = core_size(&n->genesis);
    void *memory = test_keep(aligned_alloc(16, size));
    CHECK(!core_open(memory, size - 1, &n->genesis));
    CHECK(core_open(memory, size, &n->genesis));
}

/* ---- the order of checks ---- */

TEST(core, names_bytes_that_are_no_command)
{
    struct network *n = network_open(&(struct network_options){.raw = true});
    CHECK_EQ(network_append_bytes(n, "", 0), VERDICT_COMMAND_MALFORMED);
    CHECK_EQ(network_append_bytes(n, "\0", 1), VERDICT_COMMAND_MALFORMED);
    CHECK_EQ(network_append_bytes(n, "\0\0", 2), VERDICT_COMMAND_UNKNOWN);
    CHECK_EQ(network_append_bytes(n, "\xff\xff", 2), VERDICT_COMMAND_UNKNOWN);
    CHECK_EQ(network_append_bytes(n, "\0\x5c\0\0\0\0\0\0\0", 9), VERDICT_COMMAND_MALFORMED);
    CHECK_EQ(core_seq(n->core), 6);
    CHECK_EQ(core_now_ms(n->core), 0);
}

TEST(core, uses_a_nonce_up_whatever_the_module_says)
{
    struct network *n = small();
    struct command cmd = {.type = COMMAND_WITHDRAW, .withdraw = {test_address('U', 1), AMOUNT_ZERO}, .nonce = 500};
    network_sign(n, &cmd);
    CHECK_EQ(network_append(n, &cmd), VERDICT_VALUE_INVALID);
    cmd.withdraw.amount = amount_of(1);
    CHECK_EQ(network_append(n, &cmd), VERDICT_NONCE_USED);
    cmd.nonce++;
    CHECK_EQ(network_append(n, &cmd), VERDICT_ACCEPTED);
}

/* ---- time ---- */

static uint64_t core_time_after(struct network *n, uint64_t ledger_ms)
{
    struct command cmd = {.type = COMMAND_TICK};
    n->ledger_ms = ledger_ms;
    CHECK_EQ(network_append(n, &cmd), VERDICT_ACCEPTED);
    return core_now_ms(n->core);
}

TEST(core, keeps_a_clock_that_neither_jumps_nor_turns_back)
{
    struct network *n = network_open(&(struct network_options){.raw = true});
    uint64_t start_ms = n->ledger_ms;
    CHECK_EQ(core_time_after(n, start_ms + 10), 10);
    CHECK_EQ(core_time_after(n, start_ms + 10), 10);
    CHECK_EQ(core_time_after(n, start_ms + 10 + 15000), 15010);
    CHECK_EQ(core_time_after(n, start_ms + 10 + 15000 + 15001), 30010);
    CHECK_EQ(core_time_after(n, UINT64_MAX), 45010);
    CHECK_EQ(core_time_after(n, 0), 45010);
    CHECK_EQ(core_time_after(n, 7), 45017);
}

TEST(core, asks_for_a_tick_when_something_is_due)
{
    struct network *n = network_open(&(struct network_options){0});
    uint64_t due_ms = core_next_tick_ms(n->core);
    CHECK_EQ(due_ms, core_now_ms(n->core) + 15001);  // the router's silence
    n->hushed_router[0] = true;
    CHECK_EQ(core_time_after(n, n->ledger_ms + 14000), due_ms - 1001);
    CHECK(core_next_tick_ms(n->core) > due_ms);  // it has just appended
}

/* ---- digests ---- */

TEST(core, digests_by_batches)
{
    struct network *n = small();
    struct hash before, inside, after, root[2];
    core_digest(n->core, &before);
    n->batch_size = 3;
    struct command cmd = {.type = COMMAND_TICK};
    network_append(n, &cmd);
    network_append(n, &cmd);
    core_digest(n->core, &inside);
    CHECK(hash_eq(&before, &inside));
    network_append(n, &cmd);
    core_digest(n->core, &after);
    CHECK(!hash_eq(&before, &after));
    core_batch_end(n->core);  // there is none to end
    core_digest(n->core, &inside);
    CHECK(hash_eq(&inside, &after));
    /* The same entries in other batches are another history. */
    n->entry[n->entry_count - 2].batch_end = true;
    struct core *other = network_replay(n, NULL, 0, n->entry_count);
    core_digest(other, &inside);
    CHECK(!hash_eq(&inside, &after));
    n->entry[n->entry_count - 2].batch_end = false;
    other = network_replay(n, NULL, 0, n->entry_count);
    core_digest(other, &inside);
    CHECK(hash_eq(&inside, &after));
    core_root(n->core, &root[0]);
    core_root(other, &root[1]);
    CHECK(hash_eq(&root[0], &root[1]));
}

TEST(core, digests_refusals_as_well)
{
    struct network *a = network_open(&(struct network_options){0}), *b = network_open(&(struct network_options){0});
    struct hash one, other;
    core_digest(a->core, &one);
    core_digest(b->core, &other);
    CHECK(hash_eq(&one, &other));
    CHECK_EQ(network_append_bytes(a, "\1\2\3", 3), VERDICT_COMMAND_UNKNOWN);
    CHECK_EQ(network_append_bytes(b, "\0\1\3", 3), VERDICT_COMMAND_MALFORMED);
    core_digest(a->core, &one);
    core_digest(b->core, &other);
    CHECK(!hash_eq(&one, &other));
}

/* Two histories with the same verdicts and as many events, which differ in one field of one of them. */
TEST(core, digests_every_event)
{
    struct hash digest[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct network *n = network_open(&(struct network_options){0});
        struct command cmd = {.type = COMMAND_DEPOSIT, .deposit.account = test_address('U', 1)};
        network_fill(n, &cmd);
        cmd.deposit.amount = amount_of(1000 + i);
        network_must(n, &cmd);
        core_digest(n->core, &digest[i]);
    }
    CHECK(!hash_eq(&digest[0], &digest[1]));
}

/* ---- snapshots ---- */

static struct span snapshot_of(struct core *core)
{
    uint64_t size = core_snapshot_size(core);
    uint8_t *bytes = test_keep(malloc(size));
    CHECK(bytes && core_snapshot_write(core, bytes, size));
    CHECK(!core_snapshot_write(core, bytes, size - 1));
    return (struct span){bytes, (uint32_t)size};
}

TEST(core, goes_on_from_a_snapshot_as_if_nothing_had_been)
{
    struct network *n = small();
    struct span snapshot = snapshot_of(n->core);
    struct core *read = network_replay(n, NULL, 0, 0);
    CHECK(core_snapshot_read(read, snapshot));
    core_check(read);
    uint32_t from = n->entry_count;
    network_wait(n, 40000);
    network_replay(n, read, from, n->entry_count);
    struct hash a, b;
    core_digest(n->core, &a);
    core_digest(read, &b);
    CHECK(hash_eq(&a, &b));
    core_root(n->core, &a);
    core_root(read, &b);
    CHECK(hash_eq(&a, &b));
    struct span again = snapshot_of(read), live = snapshot_of(n->core);
    CHECK_EQ(again.size, live.size);
    CHECK_MEM(again.data, live.data, live.size);
}

TEST(core, refuses_a_snapshot_that_is_damaged_or_of_another_network)
{
    struct network *n =
        network_open(&(struct network_options){.users = 1, .set = {{12, 16}, {13, 16}}, .set_count = 2});
    struct span snapshot = snapshot_of(n->core);
    uint8_t *bytes = (uint8_t *)(uintptr_t)snapshot.data;
    size_t size = core_size(&n->genesis);
    struct prng prng = {3};
    for (int i = 0; i < 300; i++) {
        uint32_t at = i < 60 ? (uint32_t)i : (uint32_t)prng_below(&prng, snapshot.size);
        struct core *core = network_replay(n, NULL, 0, 0);
        bytes[at] ^= (uint8_t)(1 << i % 8);
        CHECK(!core_snapshot_read(core, snapshot));
        bytes[at] ^= (uint8_t)(1 << i % 8);
        test_free(core);
    }
    for (uint32_t cut = 0; cut < 200; cut++) {
        struct core *core = network_replay(n, NULL, 0, 0);
        CHECK(!core_snapshot_read(core, (struct span){bytes, snapshot.size - 1 - cut * (snapshot.size / 200)}));
        test_free(core);
    }
    struct cmd_genesis other = n->genesis;
    other.oracle_quorum = 2;
    struct core *core = core_open(test_keep(aligned_alloc(16, (size + 15) / 16 * 16)), size, &other);
    CHECK(!core_snapshot_read(core, snapshot));
}

/* ---- what is foreseen ---- */

TEST(core, foresees_what_it_would_say_and_changes_nothing)
{
    struct network *n = small();
    struct hash before, after;
    uint64_t task;
    core_root(n->core, &before);
    struct command cmd = {.type = COMMAND_WITHDRAW, .withdraw = {test_address('U', 1), amount_of(1)}};
    network_sign(n, &cmd);
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_AUTHOR_UNKNOWN);
    cmd.author = test_address('R', 1);
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_ACCEPTED);
    cmd.signer[0] = test_address('U', 2);
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_NOT_AUTHORIZED);
    cmd.signer[0] = (struct address){{0}};
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_SIGNATURE_BAD);
    cmd.signer[0] = test_address('U', 1);
    cmd.valid_until_ms = n->ledger_ms;
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_ACCEPTED);
    cmd.time_ms = n->ledger_ms + 1;
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_COMMAND_EXPIRED);
    cmd = (struct command){.type = COMMAND_TASK_ACK, .author = test_address('R', 1), .task_ack.lease = 77};
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_LEASE_STALE);
    cmd = (struct command){.type = COMMAND_GENESIS, .genesis = n->genesis};
    CHECK_EQ(core_foresee(n->core, &cmd, &task), VERDICT_GENESIS_AGAIN);
    core_root(n->core, &after);
    CHECK(hash_eq(&before, &after));
}

TEST(core, foresees_a_genesis)
{
    struct network *n = network_open(&(struct network_options){.raw = true});
    struct core *core = network_replay(n, NULL, 0, 0);
    struct command cmd = {.type = COMMAND_GENESIS, .genesis = n->genesis};
    uint64_t task;
    CHECK_EQ(core_foresee(core, &cmd, &task), VERDICT_ACCEPTED);
    cmd.genesis.rules_version = 99;
    CHECK_EQ(core_foresee(core, &cmd, &task), VERDICT_RULES_UNKNOWN);
    cmd.type = COMMAND_TICK;
    CHECK_EQ(core_foresee(core, &cmd, &task), VERDICT_GENESIS_MISSING);
}

/* ---- changes that wait ---- */

TEST(core, keeps_sixteen_changes_waiting)
{
    struct network *n = network_open(&(struct network_options){0});
    uint64_t at_seq = core_seq(n->core) + 30;
    for (int i = 0; i < 17; i++) {
        struct command cmd = {.type = COMMAND_PARAMS_SET, .params_set = {36, 1000 + (uint64_t)i, at_seq}};
        CHECK_EQ(network_do(n, &cmd), i < 16 ? VERDICT_ACCEPTED : VERDICT_VALUE_INVALID);
    }
    struct span snapshot = snapshot_of(n->core);
    struct core *read = network_replay(n, NULL, 0, 0);
    CHECK(core_snapshot_read(read, snapshot));
    CHECK_EQ(read->pending_count, 16);
    while (core_seq(n->core) < at_seq) {
        CHECK_EQ(view_params(n->core)->keep_ms, 86400000);
        struct command cmd = {.type = COMMAND_TICK};
        network_append(n, &cmd);
    }
    /* Those of one position apply in the order in which they were said. */
    CHECK_EQ(view_params(n->core)->keep_ms, 1015);
    CHECK_EQ(network_events(n, EVENT_PARAM_CHANGED), 16);
}

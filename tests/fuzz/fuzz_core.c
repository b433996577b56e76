/* The core in the middle of its work: whatever is appended to the ledger, its own checks hold, money adds up, and what
 * a snapshot carries over is the same state.
 *
 * The input is a list of steps in a small world that has nodes, sessions and oracles already: entries of any bytes,
 * commands that are filled in as they commonly are with some fields set otherwise, time that passes, and the steps that
 * honest nodes would take. The world is opened once; before each input its memory is put back as it was.
 */
#include "core/core.h"
#include "fuzz/fuzz.h"
#include "fuzz/fuzz_world.h"

#define STEPS_MAX    64
#define FIELDS_MAX   4
#define WAIT_MS_MAX  40000
#define CHECK_EVERY  8  // steps: a check walks over everything
#define REPLICA_ONCE 8  // of so many inputs one is carried over to a second core

static struct network *n;  // fuzz_world.h's

/* ---- what there is ---- */

/* The view that a walk gives after so many; the last one where there are fewer; else `ret` stays. */
#define NTH(walk, view, member, nth, ret)                                   \
    do {                                                                    \
        uint32_t at_ = 0;                                                   \
        for (unsigned left_ = (nth); walk(n->core, &at_, &view); left_--) { \
            (ret) = view.member;                                            \
            if (left_ == 0)                                                 \
                break;                                                      \
        }                                                                   \
    } while (0)

static uint64_t nth_lease(unsigned nth)
{
    struct task_view t;
    struct round_view r;
    struct assignment_view a;
    uint64_t lease = 1, task = 1;
    if (nth & 1) {
        for (uint32_t at = 0; view_round_at(n->core, &at, &r);)
            if (r.places > 0)
                lease = r.place[(nth >> 1) % r.places].lease;
        return lease;
    }
    NTH(view_task_at, t, id, nth >> 1 & 3, task);
    for (uint32_t at = 0, left = nth >> 3; view_assignment_of(n->core, task, &at, &a); left--) {
        lease = a.lease;
        if (left == 0)
            break;
    }
    return lease;
}

static uint64_t number_of(const char *field, uint8_t pick)
{
    struct session_view s;
    struct task_view t;
    struct round_view r;
    struct audit_view a;
    struct model_view m;
    uint64_t id = 1;
    if (strcmp(field, "session") == 0)
        NTH(view_session_at, s, id, pick, id);
    else if (strcmp(field, "task") == 0)
        NTH(view_task_at, t, id, pick, id);
    else if (strcmp(field, "round") == 0)
        NTH(view_round_at, r, id, pick, id);
    else if (strcmp(field, "audit") == 0)
        NTH(view_audit_at, a, id, pick, id);
    else if (strcmp(field, "model") == 0)
        NTH(view_model_at, m, id, pick, id);
    else if (strcmp(field, "lease") == 0)
        id = nth_lease(pick);
    else
        id = pick & 15;
    return id;
}

static struct address address_of(const char *field, uint8_t pick)
{
    static const char kinds[] = "URNOMAQP";
    if (strcmp(field, "node") == 0)
        return test_address('M', 1 + pick % 5);
    if (strcmp(field, "oracle") == 0)
        return test_address('O', 1 + pick % 3);
    if (strcmp(field, "router") == 0)
        return test_address('R', 1 + pick % 3);
    if (strcmp(field, "operator") == 0)
        return test_address('N', 1 + pick % 3);
    if (pick % 16 == 15) {
        struct address account, router = test_address('R', 1 + (pick >> 4) % 2);
        struct hash key = test_hash('k', (pick >> 5) % 3);
        account_custodial(&router, &key, &account);
        return account;
    }
    return test_address(kinds[pick % 4 ? 0 : pick / 4 % 8], 1 + (pick >> 4) % 2);
}

/* Numbers at the edges of what they count, and any other. */
static uint64_t any_number(struct fuzz_in *in)
{
    uint8_t pick = fuzz_u8(in);
    switch (pick % 8) {
    case 0: return pick / 8;
    case 1: return UINT64_MAX - pick / 8;
    case 2: return 1ull << (pick / 8 * 2);
    case 3: return (1ull << (pick / 8 * 2)) - 1;
    case 4: return core_now_ms(n->core) + pick / 8 * 1000;
    case 5: return core_seq(n->core) + pick / 8;
    case 6: return (uint64_t)(pick / 8) << 32 | (pick / 8 & 3);
    }
    return fuzz_u64(in);
}

static void set_field(struct fuzz_in *in, const struct field *f, void *base, bool wild)
{
    uint8_t *to = (uint8_t *)base + f->offset;
    switch ((enum field_type)f->type) {
    case FIELD_u8:
    case FIELD_u16:
    case FIELD_u32:
    case FIELD_u64:
    case FIELD_amount: {
        uint64_t v = wild ? any_number(in) : number_of(f->name, fuzz_u8(in));
        memcpy(to, &v, f->type == FIELD_u8 ? 1 : f->type == FIELD_u16 ? 2 : f->type == FIELD_u32 ? 4 : 8);
        return;
    }
    case FIELD_address: {
        struct address a = address_of(wild ? "" : f->name, fuzz_u8(in));
        memcpy(to, &a, sizeof a);
        return;
    }
    case FIELD_hash: {
        uint8_t pick = fuzz_u8(in);
        struct hash h = pick == 0 ? (struct hash){{0}} : test_hash("krfdxy"[pick % 6], pick / 6 % 4);
        memcpy(to, &h, sizeof h);
        return;
    }
    case FIELD_bytes: {
        struct span span = fuzz_span(in, f->size_max);
        memcpy(to, &span, sizeof span);
        return;
    }
    }
}

/* ---- steps ---- */

static const struct command_info *nth_command(unsigned nth)
{
    const struct command_info *info = NULL;
    do {
        info = command_next(info);
        info = info ? info : command_next(NULL);
    } while (nth-- > 0);
    return info;
}

static void sign_wildly(struct fuzz_in *in, struct command *cmd)
{
    unsigned how = fuzz_u8(in);
    cmd->signer_count = (uint8_t)(how % 4);
    for (uint32_t i = 0; i < cmd->signer_count; i++)
        cmd->signer[i] = how & 0x80 ? (struct address){{0}} : address_of("", fuzz_u8(in));
    cmd->nonce = cmd->signer_count ? n->nonce + (how >> 4 & 7) : 0;
    cmd->valid_until_ms = how & 0x08 ? core_now_ms(n->core) + how : 0;
    if (cmd->signer_count == 0)
        cmd->valid_until_ms = 0;
}

static void append(struct command *cmd)
{
    uint64_t task;
    cmd->time_ms = n->ledger_ms;
    if (address_is_zero(&cmd->author))
        cmd->author = test_address('R', 1);
    bool is_quiet = n->ledger_ms == n->core->step.ledger_ms && core_next_tick_ms(n->core) > core_now_ms(n->core);
    enum verdict foreseen = core_foresee(n->core, cmd, &task);
    enum verdict verdict = network_append(n, cmd);
    FUZZ_CHECK(verdict_name(verdict));
    FUZZ_CHECK(!is_quiet || foreseen == VERDICT_ACCEPTED || foreseen == verdict);
}

static void step_command(struct fuzz_in *in)
{
    const struct command_info *info = nth_command(fuzz_u8(in));
    uint8_t how = fuzz_u8(in);
    struct command cmd;
    memset(&cmd, 0, sizeof cmd);
    cmd.type = info->type;
    for (uint32_t i = 0; i < info->fields.count; i++)
        if (info->fields.field[i].type != FIELD_bytes && i < 4)
            set_field(in, &info->fields.field[i], &cmd.genesis, false);
    if (info->authority == AUTHORITY_ORACLE) {
        cmd.signer_count = 1;
        cmd.signer[0] = test_address('O', 1 + (how >> 3 & 1));
    }
    if (!(how & 1))
        network_fill(n, &cmd);
    for (unsigned i = how >> 1 & 3; i > 0 && info->fields.count > 0; i--) {
        uint8_t pick = fuzz_u8(in);
        set_field(in, &info->fields.field[pick % info->fields.count], &cmd.genesis, pick & 0x80);
    }
    if (how & 0x10)
        cmd.author = test_address('R', 1 + (how >> 3 & 3));
    if (how & 0x20)
        sign_wildly(in, &cmd);
    else
        network_sign(n, &cmd);
    append(&cmd);
}

/* The next step of an assignment as its node would take it. */
static void step_lease(struct fuzz_in *in)
{
    struct assignment_view a;
    unsigned pick = fuzz_u8(in);
    uint64_t lease = nth_lease((pick & 15) << 1);
    if (!view_assignment(n->core, lease, &a))
        return;
    struct command cmd = {.type = a.state == ASSIGNMENT_OFFERED ? COMMAND_TASK_ACK
                                  : a.state == ASSIGNMENT_ACKED ? COMMAND_TASK_PRECOMMIT
                                                                : COMMAND_TASK_COMMIT};
    if (a.state == ASSIGNMENT_ACKED)
        network_answer(n, lease, pick & 0x40 ? "no" : "yes");
    if (pick >= 0xf0)
        cmd.type = pick & 8 ? COMMAND_TASK_DECLINE : COMMAND_TASK_FAULT;
    cmd.task_ack.lease = lease;
    network_fill(n, &cmd);
    network_sign(n, &cmd);
    append(&cmd);
}

static void step_time(struct fuzz_in *in)
{
    uint8_t how = fuzz_u8(in);
    uint32_t ms = fuzz_u16(in);
    n->hushed_oracle[0] = how >> 4 & 1;
    n->hushed_router[1] = how >> 5 & 1;
    if (how & 1)
        n->ledger_ms += ms * (how & 2 ? 1000u : 1u);  // a clock that jumps
    else
        network_wait(n, ms % WAIT_MS_MAX);
}

static void step(struct fuzz_in *in)
{
    switch (fuzz_u8(in) % 8) {
    case 0: {
        struct span entry = fuzz_span(in, ENTRY_SIZE_MAX);
        network_append_bytes(n, entry.data, entry.size);
        return;
    }
    case 1: step_time(in); return;
    case 2: step_lease(in); return;
    case 3: network_round_step(n); return;
    case 4: network_batch_end(n); return;
    default: step_command(in); return;
    }
}

/* A core that reads this one's snapshot is this one, byte for byte. */
static struct core *carry_over(void)
{
    network_batch_end(n);
    uint64_t size = core_snapshot_size(n->core);
    uint8_t *bytes = malloc(size), *again = malloc(size);
    FUZZ_CHECK(bytes && again && core_snapshot_write(n->core, bytes, size));
    struct core *second = world_second();
    FUZZ_CHECK(core_snapshot_read(second, (struct span){bytes, (uint32_t)size}));
    core_check(second);
    FUZZ_CHECK(core_snapshot_size(second) == size && core_snapshot_write(second, again, size));
    FUZZ_CHECK(memcmp(bytes, again, size) == 0);
    FUZZ_CHECK(core_next_tick_ms(second) == core_next_tick_ms(n->core));
    free(bytes);
    free(again);
    return second;
}

/* And it goes on as this one does: what a snapshot forgets shows in a verdict or in the root. */
static void follow(struct core *second, uint32_t from)
{
    struct hash a, b;
    network_batch_end(n);
    network_replay(n, second, from, n->entry_count);
    core_root(n->core, &a);
    core_root(second, &b);
    FUZZ_CHECK(hash_eq(&a, &b));
    core_digest(n->core, &a);
    core_digest(second, &b);
    FUZZ_CHECK(hash_eq(&a, &b));
}

FUZZ(core, "the checks of core and books hold, refusals were foreseen, and a core from a snapshot goes on as this one")
{
    n = world_reset();
    struct fuzz_in in = {data, size};
    struct core *second = NULL;
    uint32_t from = 0;
    unsigned steps = 0, carried = size % REPLICA_ONCE == 0 ? (unsigned)(size / REPLICA_ONCE % 8) : STEPS_MAX;
    for (; in.left > 0 && steps < STEPS_MAX; steps++) {
        if (steps == carried) {
            second = carry_over();
            from = n->entry_count;
        }
        network_forget(n);
        step(&in);
        FUZZ_CHECK(payment_holds(&n->core->payment));
        if (steps % CHECK_EVERY == CHECK_EVERY - 1)
            core_check(n->core);
    }
    network_check(n);
    core_check(n->core);
    if (second)
        follow(second, from);
}

FUZZ_SEEDS(core)
{
    static const char *const step[] = {
        "\x02\x00\x02\x02\x02\x00\x02\x02",              // leases go on
        "\x03\x03\x03\x03\x03\x03\x03\x03",              // rounds
        "\x01\x00\x10\x00\x03\x01\x10\x40\x00\x03",      // time
        "\x00\x00\x04\x00\x08\x00\x00\x04\x00\x08\x01",  // raw entries
    };
    static const uint8_t size[] = {8, 8, 10, 11};
    for (unsigned i = 0; i < ARRAY_COUNT(step); i++) {
        char name[16];
        snprintf(name, sizeof name, "steps-%u", i);
        fuzz_seed(name, step[i], size[i]);
    }
    /* Each command once, filled in as usual. */
    unsigned nth = 0;
    for (const struct command_info *info = command_next(NULL); info; info = command_next(info), nth++) {
        uint8_t bytes[16] = {5, (uint8_t)nth, 0};
        fuzz_seed(info->name, bytes, sizeof bytes);
    }
}

/* ---- snapshots ---- */

static uint8_t *snapshot;
static uint64_t snapshot_size;

static void snapshot_make(void)
{
    n = world_reset();
    if (snapshot)
        return;
    snapshot_size = core_snapshot_size(n->core);
    snapshot = malloc(snapshot_size);
    FUZZ_CHECK(snapshot && core_snapshot_write(n->core, snapshot, snapshot_size));
}

static void check_snapshot(struct span bytes)
{
    struct core *core = world_second();
    bool same = bytes.size == snapshot_size && memcmp(bytes.data, snapshot, snapshot_size) == 0;
    bool good = core_snapshot_read(core, bytes);
    FUZZ_CHECK(!same || good);
    if (!good)
        return;
    core_check(core);
    uint64_t size = core_snapshot_size(core);
    uint8_t *again = malloc(size);
    FUZZ_CHECK(size == bytes.size && again && core_snapshot_write(core, again, size));
    FUZZ_CHECK(memcmp(again, bytes.data, size) == 0);
    free(again);
}

FUZZ(
    snapshot,
    "any bytes, or a good snapshot with some changed, are refused, or a core whose checks hold and which says the same")
{
    snapshot_make();
    struct fuzz_in in = {data, size};
    if (fuzz_u8(&in) & 1) {
        check_snapshot(fuzz_rest(&in));
        return;
    }
    size_t new_size = snapshot_size - (fuzz_u8(&in) & 0x80 ? fuzz_u32(&in) % snapshot_size : 0);
    uint8_t *changed = fuzz_copy(snapshot, new_size);
    while (in.left >= 5) {
        uint32_t at = fuzz_u32(&in) % (uint32_t)new_size;
        changed[at] ^= fuzz_u8(&in);
    }
    check_snapshot((struct span){changed, (uint32_t)new_size});
    fuzz_free(changed, new_size);
}

FUZZ_SEEDS(snapshot)
{
    snapshot_make();
    struct buf raw = {0};
    buf_add(&raw, "\x01", 1);
    buf_add(&raw, snapshot, snapshot_size);
    fuzz_seed("raw", raw.data, raw.size);
    fuzz_seed("unchanged", "\0\0", 2);
    fuzz_seed("one-bit", "\0\0\0\0\0\xff\x01", 7);
    fuzz_seed("cut", "\0\x80\0\0\0\1", 6);
    buf_done(&raw);
}

/* ---- the first entry ---- */

#define GENESIS_MEMORY_MAX (4 << 20)

FUZZ(genesis, "a first entry is refused, or a network opens with it and its checks hold")
{
    static struct event event[EVENTS_PER_COMMAND_MAX];
    struct event_list out = {event, EVENTS_PER_COMMAND_MAX, 0};
    struct command cmd;
    const uint8_t *signature;
    memset(&cmd, 0, sizeof cmd);
    if (size > ENTRY_SIZE_MAX || !command_decode((struct span){data, (uint32_t)size}, &cmd, &signature) ||
        cmd.type != COMMAND_GENESIS)
        return;
    enum verdict verdict = core_check_genesis(&cmd.genesis);
    size_t bytes = core_size(&cmd.genesis);
    FUZZ_CHECK(verdict != VERDICT_ACCEPTED || bytes > 0);
    if (bytes == 0 || bytes > GENESIS_MEMORY_MAX)
        return;
    void *room = aligned_alloc(16, (bytes + 15) / 16 * 16);
    FUZZ_CHECK(room);
    FUZZ_CHECK(!core_open(room, bytes - 1, &cmd.genesis));
    struct core *core = core_open(room, bytes, &cmd.genesis);
    FUZZ_CHECK(core);
    FUZZ_CHECK(core_apply(core, (struct span){data, (uint32_t)size}, &cmd, &out) == verdict);
    core_batch_end(core);
    core_check(core);
    free(room);
}

FUZZ_SEEDS(genesis)
{
    n = world_reset();
    fuzz_seed("small", n->entry[0].bytes, n->entry[0].size);
    struct network *other = network_open(&(struct network_options){.raw = true});
    fuzz_seed("usual", other->entry[0].bytes, other->entry[0].size);
    network_close(other);
}

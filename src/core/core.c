#include "core/core.h"

#include "base/assert.h"
#include "base/mem.h"
#include "core/core_parts.h"

/* ---- memory ---- */

/* All modules over one arena; run once to count and once to take. */
static bool init_modules(struct core *core, struct arena *arena)
{
    struct step *step = &core->step;
    bool ok = trail_init(&core->trail, arena);
    ok &= account_init(&core->account, arena, step);
    ok &= payment_init(&core->payment, arena, step, &core->account);
    ok &= catalog_init(&core->catalog, arena, step);
    ok &= reputation_init(&core->reputation, arena, step);
    ok &= node_pool_init(&core->node_pool, arena, step, &core->account, &core->payment, &core->catalog,
                         &core->reputation);
    ok &= session_init(&core->session, arena, step, &core->account, &core->catalog, &core->node_pool, &core->payment);
    ok &= cognitive_init(&core->cognitive, arena, step, &core->account, &core->catalog, &core->node_pool,
                         &core->reputation);
    ok &= validation_init(&core->validation, arena, step, &core->account, &core->cognitive, &core->node_pool,
                          &core->payment, &core->reputation);
    ok &= session_queue_init(&core->session_queue, arena, step, &core->account, &core->catalog, &core->node_pool,
                             &core->payment, &core->reputation, &core->session, &core->cognitive, &core->validation);
    return ok;
}

static void init_frame(struct core *core, const struct cmd_genesis *genesis)
{
    memset(core, 0, sizeof *core);
    core->step.router = SLOT_NONE;
    core->step.rules_version = genesis->rules_version;
    core->step.network_id = genesis->network_id;
    params_default(&core->step.params);
    enum verdict verdict = params_read(&core->step.params, genesis->params);
    cx_assert(verdict == VERDICT_ACCEPTED);
    core_genesis_digest(genesis, &core->genesis);
}

size_t core_size(const struct cmd_genesis *genesis)
{
    struct arena arena;
    struct core frame;
    if (core_check_genesis(genesis) != VERDICT_ACCEPTED)
        return 0;
    arena_init(&arena, NULL, 0);
    arena_take(&arena, 1, sizeof frame);
    init_frame(&frame, genesis);
    init_modules(&frame, &arena);
    return arena.used;
}

struct core *core_open(void *memory, size_t size, const struct cmd_genesis *genesis)
{
    struct arena arena;
    size_t wanted = core_size(genesis);
    if (wanted == 0 || size < wanted)
        return NULL;
    arena_init(&arena, memory, size);
    struct core *core = arena_take(&arena, 1, sizeof *core);
    init_frame(core, genesis);
    bool ok = init_modules(core, &arena);
    cx_assert(ok);
    cx_assert(arena.used == wanted);  // counting and taking agree
    return core;
}

/* ---- one entry ---- */

/* docs/protocol.md, "Time": a clock of its own, which one wrong stamp or one long outage cannot make jump. */
static void advance_time(struct core *core, uint64_t time_ms)
{
    uint64_t last_ms = core->step.ledger_ms;
    if (core->begun && time_ms > last_ms)
        core->step.now_ms += u64_min(time_ms - last_ms, CLOCK_STEP_MS_MAX);
    core->step.ledger_ms = time_ms;
}

/* What is due before the command, and what of this entry is drawn from. */
static void prepare(struct core *core)
{
    struct hash dice;
    if (core->step.router != SLOT_NONE)
        account_router_heard(&core->account);
    if (core->pending_count > 0)
        core_apply_pending(core);
    bool oracle_lives = cognitive_dice(&core->cognitive, &dice);
    session_set_dice(&core->session, &dice, oracle_lives);
    core_sweep(core);
}

static enum verdict form_of(struct span bytes)
{
    if (bytes.size >= 2 && !command_find(be16(bytes.data)))
        return VERDICT_COMMAND_UNKNOWN;
    return VERDICT_COMMAND_MALFORMED;
}

static enum verdict judge(struct core *core, struct span bytes, const struct command *cmd)
{
    if (!cmd)
        return form_of(bytes);
    if (!core->begun)
        return cmd->type == COMMAND_GENESIS && core->step.seq == 1 ? core_begin(core, &cmd->genesis)
                                                                   : VERDICT_GENESIS_MISSING;
    uint32_t oracle;
    enum verdict verdict = core_authorize(core, cmd, &oracle);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    uint32_t events = core->step.out->count;
    verdict = core_dispatch(core, cmd, oracle);
    cx_assert(core->step.out->count - events <= EVENTS_PER_STEP_MAX);
    if (verdict != VERDICT_ACCEPTED)
        cx_assert(core->step.out->count == events);  // a refusal changes nothing but the nonce
    account_use_nonce(&core->account, cmd, verdict == VERDICT_ACCEPTED);
    return verdict;
}

enum verdict core_apply(struct core *core, struct span bytes, const struct command *cmd, struct event_list *out)
{
    cx_assert(out->cap >= EVENTS_PER_COMMAND_MAX);
    out->count = 0;
    core->step.out = out;
    core->step.seq++;
    core->step.router = core->begun && cmd ? router_find(&core->account, &cmd->author) : SLOT_NONE;
    if (cmd)
        advance_time(core, cmd->time_ms);
    if (core->begun)
        prepare(core);
    enum verdict verdict = judge(core, bytes, cmd);
    cx_assert(payment_holds(&core->payment));
    trail_add(&core->trail, &core->step.chain, verdict, out);
    return verdict;
}

void core_batch_end(struct core *core) { trail_end(&core->trail, &core->step.chain); }

uint64_t core_now_ms(const struct core *core) { return core->step.now_ms; }
uint64_t core_seq(const struct core *core) { return core->step.seq; }
void core_digest(const struct core *core, struct hash *ret_digest) { *ret_digest = core->step.chain; }

/* ---- foreseeing ---- */

static enum verdict foresee(const struct core *core, const struct command *cmd, uint64_t *ret_task)
{
    uint32_t oracle;
    uint64_t lease = 0;
    enum verdict verdict = core_authorize(core, cmd, &oracle);
    if (verdict != VERDICT_ACCEPTED)
        return verdict;
    if (cmd->type == COMMAND_TASK_SUBMIT)
        return session_queue_check_submit(&core->session_queue, cmd, ret_task);
    if (cmd->type == COMMAND_TASK_ACK)
        lease = cmd->task_ack.lease;
    if (cmd->type == COMMAND_TASK_DECLINE)
        lease = cmd->task_decline.lease;
    if (cmd->type == COMMAND_TASK_PRECOMMIT)
        lease = cmd->task_precommit.lease;
    if (cmd->type == COMMAND_TASK_COMMIT)
        lease = cmd->task_commit.lease;
    if (cmd->type == COMMAND_TASK_FAULT)
        lease = cmd->task_fault.lease;
    if (lease != 0 && assignment_find(&core->session_queue, lease) == SLOT_NONE)
        return VERDICT_LEASE_STALE;
    return VERDICT_ACCEPTED;
}

enum verdict core_foresee(const struct core *core, const struct command *cmd, uint64_t *ret_task)
{
    if (!core->begun)
        return cmd->type == COMMAND_GENESIS ? core_check_genesis(&cmd->genesis) : VERDICT_GENESIS_MISSING;
    /* The modules ask the step who appends and when: it is lent to the question, and put back. */
    struct step *step = (struct step *)&core->step;
    uint32_t router = step->router;
    uint64_t ledger_ms = step->ledger_ms;
    step->router = router_find(&core->account, &cmd->author);
    step->ledger_ms = u64_max(ledger_ms, cmd->time_ms);
    enum verdict verdict = foresee(core, cmd, ret_task);
    step->router = router;
    step->ledger_ms = ledger_ms;
    return verdict;
}

void core_check(const struct core *core)
{
    account_check(&core->account);
    payment_check(&core->payment);
    catalog_check(&core->catalog);
    reputation_check(&core->reputation);
    node_pool_check(&core->node_pool);
    session_check(&core->session);
    cognitive_check(&core->cognitive);
    validation_check(&core->validation);
    session_queue_check(&core->session_queue);
    cx_assert(core->pending_count <= PENDING_CHANGES_MAX);
    for (uint32_t i = 0; i < core->pending_count; i++)
        cx_assert(core->pending[i].effective_seq > core->step.seq);
}

/* What time does by itself: due deadlines of all modules, in one order. Source: docs/protocol.md, "Core". */
#include "base/assert.h"
#include "core/core_parts.h"

/* In the order in which equal deadlines fire. */
enum swept {
    SWEPT_ACCOUNT,
    SWEPT_NODE_POOL,
    SWEPT_SESSION,
    SWEPT_COGNITIVE,
    SWEPT_VALIDATION,
    SWEPT_QUEUE,
    SWEPT_COUNT
};

static uint64_t due_ms(const struct core *core, enum swept module)
{
    switch (module) {
    case SWEPT_ACCOUNT: return account_due_ms(&core->account);
    case SWEPT_NODE_POOL: return node_pool_due_ms(&core->node_pool);
    case SWEPT_SESSION: return session_due_ms(&core->session);
    case SWEPT_COGNITIVE: return cognitive_due_ms(&core->cognitive);
    case SWEPT_VALIDATION: return validation_due_ms(&core->validation);
    case SWEPT_QUEUE: return session_queue_due_ms(&core->session_queue);
    case SWEPT_COUNT: break;
    }
    return TIME_NEVER;
}

static void sweep(struct core *core, enum swept module)
{
    switch (module) {
    case SWEPT_ACCOUNT: account_sweep(&core->account); break;
    case SWEPT_NODE_POOL: node_pool_sweep(&core->node_pool); break;
    case SWEPT_SESSION: session_sweep(&core->session); break;
    case SWEPT_COGNITIVE: cognitive_sweep(&core->cognitive); break;
    case SWEPT_VALIDATION: validation_sweep(&core->validation); break;
    case SWEPT_QUEUE: session_queue_sweep(&core->session_queue); break;
    case SWEPT_COUNT: break;
    }
}

static enum swept first_due(const struct core *core, uint64_t *ret_due_ms)
{
    enum swept first = SWEPT_ACCOUNT;
    *ret_due_ms = due_ms(core, first);
    for (enum swept module = SWEPT_NODE_POOL; module < SWEPT_COUNT; module++) {
        uint64_t due = due_ms(core, module);
        if (due >= *ret_due_ms)
            continue;
        first = module;
        *ret_due_ms = due;
    }
    return first;
}

/* Every entry asks this, and nearly always nothing is: false is certain, so that nobody looks for what is first. */
static bool may_be_due(struct core *core)
{
    uint64_t now_ms = core->step.now_ms;
    return account_may_be_due(&core->account) || node_pool_due_ms(&core->node_pool) <= now_ms ||
           session_due_ms(&core->session) <= now_ms || cognitive_may_be_due(&core->cognitive) ||
           validation_due_ms(&core->validation) <= now_ms || session_queue_due_ms(&core->session_queue) <= now_ms;
}

void core_sweep(struct core *core)
{
    for (uint32_t n = 0; n < SWEEP_MAX && core->step.out->count < SWEEP_EVENTS_MAX; n++) {
        uint64_t due;
        if (!may_be_due(core))
            return;
        enum swept module = first_due(core, &due);
        if (due > core->step.now_ms)
            return;
        uint32_t events = core->step.out->count;
        sweep(core, module);
        cx_assert(core->step.out->count - events <= EVENTS_PER_STEP_MAX);
    }
}

uint64_t core_next_tick_ms(const struct core *core)
{
    uint64_t due;
    first_due(core, &due);
    return core->begun ? due : TIME_NEVER;
}

/* check_core_wake.c - who could work and does not: a task that waits while enough members of its session are idle was
 * forgotten. Only what is certain is reckoned: members without any assignment, of which a session that is at rest lets
 * none go. Source: docs/protocol.md, "Phases". */
#include "sim/check_core_parts.h"

#define LOOKED_AT_MAX 16  // lane heads that are looked at: docs/protocol.md, "Phases"

static bool is_idle_member(struct check_core *c, const struct node_book *n, const struct task_book *t,
                           const struct session_book_ *s, uint32_t context)
{
    uint32_t at = node_model_at(n, s->model);
    return n->used && n->session == s->id && n->state == NODE_RESERVED && n->busy == 0 && !n->leaving &&
           at != SLOT_NONE && n->model[at].proved && n->model[at].context >= context &&
           (n->model[at].measured == 0 || n->model[at].measured >= context) && n->model[at].price_in <= s->price_in &&
           n->model[at].price_out <= s->price_out && node_is_linked(c, n, &t->router);
}

/* Idle members, one of each operator where the session asks for it. */
static uint32_t idle_members(struct check_core *c, const struct task_book *t, const struct session_book_ *s)
{
    const struct model_book *m = model_book(c, s->model);
    uint32_t count = 0, context = m->template_tokens + t->tokens_max;
    for (uint32_t i = 0; i < c->node_rows.cap; i++) {
        const struct node_book *n = &c->node[i];
        bool counts = is_idle_member(c, n, t, s, context);
        for (uint32_t k = 0; counts && s->diversity && k < i; k++)
            if (is_idle_member(c, &c->node[k], t, s, context) && address_eq(&c->node[k].operator, & n->operator))
                counts = false;
        count += counts;
    }
    return count;
}

static uint32_t queued_in(const struct check_core *c, uint64_t session)
{
    uint32_t queued = 0;
    for (uint32_t i = 0; i < c->task_cap; i++)
        queued += c->task[i].id != 0 && c->task[i].session == session && c->task[i].state == TASK_QUEUED;
    return queued;
}

static bool waits_in_vain(struct check_core *c, const struct task_book *t)
{
    const struct session_book_ *s = session_book(c, t->session);
    const struct router_book *r = router_book(c, &t->router);
    if (t->id == 0 || t->state != TASK_QUEUED || !s || s->state != SESSION_ACTIVE || !r || !r->present)
        return false;
    /* Rows of attempts that failed are kept by the core; where few are free it may have none. */
    if (c->lease_rows.count < c->lease_rows.cap / 2 || queued_in(c, s->id) > LOOKED_AT_MAX)
        return false;
    return idle_members(c, t, s) >= s->redundancy;
}

bool wake_after(struct check_core *c)
{
    const struct command *cmd = c->entry->cmd;
    if (!c->begun || !cmd || core_next_tick_ms(c->core) <= c->now_ms)
        return true;
    if (cmd->type != COMMAND_TICK && cmd->type != COMMAND_TASK_COMMIT && cmd->type != COMMAND_NODE_ATTACH &&
        cmd->type != COMMAND_TASK_SUBMIT)
        return true;
    LOOK(c, WAKE_UP);
    for (uint32_t i = 0; i < c->task_cap; i++) {
        const struct task_book *t = &c->task[i];
        if (waits_in_vain(c, t))
            return FAIL(c, WAKE_UP,
                        "task %" PRIx64 " is QUEUED, and %u members of session %" PRIx64
                        " that suit are idle; it wants %u",
                        t->id, idle_members(c, t, session_book(c, t->session)), t->session,
                        session_book(c, t->session)->redundancy);
    }
    return true;
}

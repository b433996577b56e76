/* check_record.c - what became of each task, by the ledger: what clients are told is held against it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "sim/check_world_parts.h"

struct task_record *record_task(struct checks *c, uint64_t task)
{
    for (uint32_t i = c->tasks; i > 0; i--)
        if (c->task[i - 1].task == task)
            return &c->task[i - 1];
    return NULL;
}

/* The newest that this reference named. */
struct task_record *record_reference(struct checks *c, const struct address *payer, const struct hash *reference)
{
    for (uint32_t i = c->tasks; i > 0; i--)
        if (hash_eq(&c->task[i - 1].reference, reference) && address_eq(&c->task[i - 1].payer, payer))
            return &c->task[i - 1];
    return NULL;
}

static void created(struct checks *c, const struct evt_task_created *e)
{
    if (c->tasks == c->task_cap) {
        c->task_cap = c->task_cap ? 2 * c->task_cap : 64;
        c->task = realloc(c->task, c->task_cap * sizeof *c->task);
        cx_assert(c->task);
    }
    c->task[c->tasks++] = (struct task_record){
        .task = e->task,
        .session = e->session,
        .payer = e->payer,
        .router = e->router,
        .reference = e->reference,
        .prompt_digest = e->prompt_digest,
        .created_seq = c->entries,
        .reserved = e->reserved,
    };
}

static void revealed(struct task_record *t, const struct evt_task_revealed *e)
{
    if (!t || t->reveals == ARRAY_COUNT(t->revealed))
        return;
    t->revealed[t->reveals].lease = e->lease;
    t->revealed[t->reveals].text_digest = e->text_digest;
    t->revealed[t->reveals].payload_digest = e->payload_digest;
    t->revealed[t->reveals].finish = e->finish;
    t->reveals++;
}

static void moved(struct checks *c, struct task_record *t, const struct evt_task_moved *e)
{
    if (!t)
        return;
    t->state = (enum task_state)e->to;
    if (e->to < TASK_COMPLETED)
        return;
    t->cause = (enum fail_cause)e->cause;
    t->ended_seq = c->entries;
}

void record_event(struct checks *c, const struct command *cmd, const struct event *e)
{
    struct task_record *t;
    if (e->type == EVENT_TASK_CREATED) {
        created(c, &e->task_created);
    } else if (e->type == EVENT_TASK_REVEALED) {
        revealed(record_task(c, e->task_revealed.task), &e->task_revealed);
    } else if (e->type == EVENT_TASK_MOVED) {
        t = record_task(c, e->task_moved.task);
        if (t && cmd && cmd->type == COMMAND_TASK_CANCEL && cmd->task_cancel.task == t->task)
            t->cancel_asked = true;
        moved(c, t, &e->task_moved);
    } else if (e->type == EVENT_TASK_ANSWER && (t = record_task(c, e->task_answer.task))) {
        t->answer = e->task_answer.lease;
        t->tokens_in = e->task_answer.tokens_in;
        t->tokens_out = e->task_answer.tokens_out;
    } else if (e->type == EVENT_TASK_REFUNDED && (t = record_task(c, e->task_refunded.task))) {
        t->charged = e->task_refunded.charged;
    }
}

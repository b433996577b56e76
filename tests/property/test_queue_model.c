/* Random commands against queue_model.h: after each, every task, lease, verdict and charge is as the model says. */
#include "base/prng.h"
#include "property/queue_model.h"

#define STEPS 400

struct run {
    struct prng prng;
    struct bench b;
    struct queue_model m;
};

static uint32_t below(struct run *r, uint32_t n) { return (uint32_t)prng_below(&r->prng, n); }

/* What follows takes more than one entry where many tasks are assigned: the model is asked behind all of it. */
static enum verdict settled(struct run *r, enum verdict verdict)
{
    network_settle(r->b.n);
    return verdict;
}

static void one_lease(struct run *r, struct model_task *t, struct model_lease *l)
{
    static const char *const texts[] = {"a", "bbbb", "cccccccc"};
    struct bench *b = &r->b;
    struct command cmd;
    enum verdict right;
    switch (below(r, 10)) {
    case 0:
    case 1:
    case 2:
        right = model_ack(&r->m, t, l);  // no offer follows from it
        CHECK_EQ(bench_lease(b, COMMAND_TASK_ACK, l->lease), right);
        return;
    case 3: {
        enum decline_reason reason = below(r, DECLINE_REASON_COUNT);
        enum verdict got = settled(r, bench_decline(b, l->lease, reason));
        CHECK_EQ(got, model_decline(&r->m, t, l, reason));
        return;
    }
    case 4: {
        enum fail_cause cause = below(r, 2) ? CAUSE_ENGINE : CAUSE_SILENT;
        enum verdict got = settled(r, bench_fault(b, l->lease, cause));
        CHECK_EQ(got, model_fault(&r->m, t, l, cause));
        return;
    }
    case 5:
    case 6:
    case 7: {
        bool same = l->text != 0 && below(r, 4) > 0;
        if (l->state < ASSIGNMENT_PRECOMMITTED) {
            uint32_t which = below(r, r->m.terms.validation == VALIDATION_MAJORITY ? 3 : 1);
            l->text = texts[which][0];
            l->tokens_out = 1 + (uint32_t)strlen(texts[which]) / 4;
            network_answer(b->n, l->lease, texts[which]);
            same = true;
        }
        cmd = (struct command){.type = COMMAND_TASK_PRECOMMIT, .task_precommit.lease = l->lease};
        network_fill(b->n, &cmd);
        if (!same)
            cmd.task_precommit.precommit = test_hash('x', 1);
        right = model_precommit(&r->m, t, l, same);
        CHECK_EQ(bench_do(b, &cmd), right);
        return;
    }
    default: {
        bool wrong = below(r, 8) == 0;
        cmd = (struct command){.type = COMMAND_TASK_COMMIT, .task_commit.lease = l->lease};
        network_fill(b->n, &cmd);
        cmd.task_commit.relayed_head = (struct hash){{0}};
        cmd.task_commit.relayed_tokens = 0;
        cmd.task_commit.checks_failed = wrong ? CHECK_TEXT : 0;
        enum verdict got = settled(r, bench_do(b, &cmd));
        CHECK_EQ(got, model_commit(&r->m, t, l, wrong));
        return;
    }
    }
}

/* Mostly of tasks that live, and now and then of any. */
static struct model_task *some_task(struct run *r)
{
    for (int i = 0; i < 8; i++) {
        struct model_task *t = &r->m.task[below(r, r->m.tasks)];
        if (t->state < TASK_COMPLETED || below(r, 20) == 0)
            return t;
    }
    return &r->m.task[r->m.tasks - 1];
}

static void step(struct run *r)
{
    uint32_t what = below(r, 20);
    if (r->m.tasks == 0 || (what < 3 && r->m.tasks < MODEL_TASKS)) {
        struct command cmd = bench_submission(&r->b);
        cmd.task_submit.priority = (uint8_t)below(r, PRIORITIES);
        CHECK_EQ(settled(r, bench_do(&r->b, &cmd)), VERDICT_ACCEPTED);
        model_submit(&r->m, r->b.n->core->last_task, cmd.task_submit.priority);
    } else if (what < 5) {
        bench_wait(&r->b, 1 + below(r, below(r, 4) ? 500 : 5000));
        model_wait(&r->m, core_now_ms(r->b.n->core));
    } else if (what == 5 && below(r, 3) == 0) {
        struct model_task *t = some_task(r);
        uint32_t relayed = below(r, 4);
        enum verdict right = t->state >= TASK_COMPLETED ? VERDICT_TASK_ENDED : VERDICT_ACCEPTED;
        struct command cmd = {.type = COMMAND_TASK_CANCEL, .task_cancel = {test_address('U', 1), t->id, relayed}};
        CHECK_EQ(settled(r, bench_do(&r->b, &cmd)), right);
        if (right == VERDICT_ACCEPTED)
            model_cancel(&r->m, t, relayed);
    } else {
        struct model_task *t = some_task(r);
        if (t->leases > 0)
            one_lease(r, t, &t->lease[t->leases - 1 - below(r, u32_min(t->leases, 2u * r->m.terms.redundancy))]);
    }
    network_settle(r->b.n);
}

static struct cmd_session_open chosen;
static void choose(struct cmd_session_open *s)
{
    s->quorum = chosen.quorum;
    s->validation = chosen.validation;
    s->attempts_max = chosen.attempts_max;
    s->total_ms = 20000;
    s->ack_ms = 2000;
    s->precommit_ms = 4000;
    s->commit_ms = 3000;
    s->escrow = amount_of(100000000);
    chosen = *s;
}

/* The whole history on a second core: the same state. */
static void check_replay(struct run *r)
{
    struct hash live, again;
    struct core *core = network_replay(r->b.n, NULL, 0, r->b.n->entry_count);
    core_root(r->b.n->core, &live);
    core_root(core, &again);
    CHECK_MEM(live.b, again.b, sizeof live.b);
    test_free(core);
}

static void one_run(uint64_t seed)
{
    struct run *r = calloc(1, sizeof *r);
    CHECK(r);
    r->prng.state = seed;
    uint8_t redundancy = (uint8_t)(1 + below(r, 5));
    struct network_options o = {.miners = redundancy + below(r, 5), .slots = (uint8_t)(1 + below(r, 3))};
    o.operators = below(r, 3) ? o.miners : 1 + below(r, 3);
    chosen = (struct cmd_session_open){0};
    chosen.validation = below(r, 2) ? VALIDATION_MAJORITY : VALIDATION_HASH;
    uint32_t least = chosen.validation == VALIDATION_MAJORITY ? redundancy / 2u + 1 : 1;
    chosen.quorum = (uint8_t)(least + below(r, redundancy - least + 1));
    chosen.attempts_max = (uint8_t)(1 + below(r, 4));
    r->b = bench_open(&o, redundancy, choose);
    r->m = (struct queue_model){
        .b = &r->b,
        .terms = chosen,
        .miners = o.miners,
        .slots = o.slots,
        .operators = u32_min(o.operators, o.miners),
        .price_in = r->b.n->options.price_in,
        .price_out = r->b.n->options.price_out,
        .task = calloc(MODEL_TASKS, sizeof *r->m.task),
        .now_ms = core_now_ms(r->b.n->core),
    };
    CHECK(r->m.task);
    network_forget(r->b.n);
    for (int i = 0; i < STEPS; i++) {
        step(r);
        model_compare(&r->m);
    }
    check_replay(r);
    bench_close(&r->b);
    free(r->m.task);
    free(r);
}

TEST(session_queue, does_what_the_plain_model_does)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        one_run(seed);
}

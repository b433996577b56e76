/* Tasks in steady work: which command comes next, and what the router learns from what came of it. */
#include <string.h>

#include "load.h"
#include "measure.h"

#define LIVE_SHARE (LOAD_MEMBERS * LOAD_SLOTS * 10 / 4)  // tasks of a busy session: its slots are four tenths of them
#define BEAT_MS    4000                                  // sooner than a router is silent

/* Of a thousand commands that are no submits, about so many are the rarer ones. */
enum { DECLINES = 5, CANCELS = 5, STALE = 5 };
#define REFERENCE_EACH 8  // one task of so many has a client reference
#define STREAM_EACH    4  // likewise, a stream

/* ---- making ---- */

static struct load_entry *next_entry(struct load *load)
{
    BENCH_MUST(load->count < BATCH_ENTRIES_MAX);
    struct load_entry *e = &load->entry[load->count];
    e->bytes.data = load->bytes + (size_t)load->count * LOAD_ENTRY_MAX;
    e->cmd = (struct command){.time_ms = load->ledger_ms, .author = load_address('R', 0)};
    load->count++;
    return e;
}

static void seal(struct load *load, struct load_entry *e)
{
    uint8_t *to = load->bytes + (size_t)(e - load->entry) * LOAD_ENTRY_MAX;
    e->bytes.size = load_encode(&e->cmd, to, LOAD_ENTRY_MAX);
    BENCH_MUST(e->bytes.size > 0);
    struct command again = e->cmd;  // its spans are to lie in the entry's bytes, as in life
    BENCH_MUST(load_decode(e->bytes, &again));
    e->cmd = again;
}

static void make_submit(struct load *load, uint32_t session)
{
    struct load_entry *e = next_entry(load);
    uint32_t number = ++load->numbers;
    e->number = number;
    e->session = session;
    const struct load_user *user = &load->user[number % load->options.users];
    e->cmd.type = COMMAND_TASK_SUBMIT;
    e->cmd.task_submit = (struct cmd_task_submit){
        .payer = user->account,
        .key_hash = user->key,
        .session = load->session[session],
        .reference = number % REFERENCE_EACH == 0 ? load_hash('r', number) : (struct hash){{0}},
        .request_digest = load_hash('q', number),
        .prompt_digest = load_hash('p', number),
        .prompt_size = 400,
        .tokens_max = 256,
        .priority = number % 16 == 0 ? 7 : PRIORITY_DEFAULT,
        .stream = number % STREAM_EACH == 0,
    };
    seal(load, e);
}

static struct load_task *task_of(const struct load *load, uint64_t id) { return &load->task[(uint32_t)id]; }

static void answer_of(const struct load *load, const struct load_lease *l, struct load_answer *ret_answer)
{
    const struct load_task *t = task_of(load, l->task);
    struct load_question q = {.session = load->session[t->session],
                              .task = l->task,
                              .lease = l->lease,
                              .seed = l->seed,
                              .node = l->node,
                              .request = load_hash('q', t->number)};
    load_answer(load, &q, ret_answer);
}

static void fill_commit(const struct load *load, const struct load_lease *l, const struct load_answer *answer,
                        struct cmd_task_commit *ret_cmd)
{
    bool streams = task_of(load, l->task)->number % STREAM_EACH == 0;
    *ret_cmd = (struct cmd_task_commit){
        .lease = l->lease,
        .salt = answer->salt,
        .payload_digest = load_hash('t', l->lease),
        .payload_size = 256,
        .text_size = 256,
        .relayed_head = streams ? answer->head : (struct hash){{0}},
        .relayed_tokens = streams ? 64 : 0,
        .ttft_ms = 50,
        .duration_ms = 500,
        .record = {answer->record, answer->size},
    };
}

/* The next step of a lease: ack, its stream begins, precommit, reveal. */
static void make_step(struct load *load, struct load_lease *l)
{
    struct load_entry *e = next_entry(load);
    struct load_answer answer;
    bool stream = task_of(load, l->task)->number % STREAM_EACH == 0;
    if (l->state == ASSIGNMENT_OFFERED) {
        e->cmd.type = COMMAND_TASK_ACK;
        e->cmd.task_ack.lease = l->lease;
    } else if (l->state == ASSIGNMENT_ACKED && stream && !l->streams) {
        e->cmd.type = COMMAND_TASK_STREAMS;
        e->cmd.task_streams.lease = l->lease;
        l->streams = true;
    } else if (l->state == ASSIGNMENT_ACKED) {
        answer_of(load, l, &answer);
        e->cmd.type = COMMAND_TASK_PRECOMMIT;
        e->cmd.task_precommit = (struct cmd_task_precommit){.lease = l->lease, .precommit = answer.precommit};
    } else {
        answer_of(load, l, &answer);
        e->cmd.type = COMMAND_TASK_COMMIT;
        fill_commit(load, l, &answer, &e->cmd.task_commit);
    }
    seal(load, e);
}

static void make_decline(struct load *load, const struct load_lease *l)
{
    struct load_entry *e = next_entry(load);
    e->cmd.type = COMMAND_TASK_DECLINE;
    e->cmd.task_decline = (struct cmd_task_decline){.lease = l->lease, .reason = DECLINE_BUSY};
    seal(load, e);
}

/* One that was answered long ago: refused. */
static void make_stale(struct load *load, const struct load_lease *l)
{
    struct load_entry *e = next_entry(load);
    e->cmd.type = COMMAND_TASK_ACK;
    e->cmd.task_ack.lease = l->lease - ((uint64_t)1 << LEASE_ROW_BITS);
    seal(load, e);
}

static void make_cancel(struct load *load)
{
    struct load_task *t = &load->task[load_draw(load, load->core->session_queue.tasks.used)];
    if (t->id == 0 || !t->queued)
        return;
    struct load_entry *e = next_entry(load);
    t->queued = false;  // not twice in one batch
    e->cmd.type = COMMAND_TASK_CANCEL;
    e->cmd.task_cancel = (struct cmd_task_cancel){.payer = load->user[t->payer].account, .task = t->id};
    seal(load, e);
}

static void make_beats(struct load *load)
{
    if (core_now_ms(load->core) < load->beat_ms + BEAT_MS)
        return;
    load->beat_ms = core_now_ms(load->core);
    for (uint32_t i = 0; i < LOAD_BEATS; i++) {
        struct load_entry *e = next_entry(load);
        struct command beat;
        load_beat_fill(load, i, &beat);
        beat.time_ms = e->cmd.time_ms;
        beat.author = e->cmd.author;
        e->cmd = beat;
        seal(load, e);
    }
}

static void make_lease_command(struct load *load)
{
    struct load_lease *l = &load->lease[load_draw(load, load->leases)];
    uint64_t rare = load_draw(load, 1000);
    if (l->batch == load->batches)
        return;
    l->batch = load->batches;
    if (rare < DECLINES && l->state == ASSIGNMENT_OFFERED)
        make_decline(load, l);
    else if (rare >= 100 && rare < 100 + STALE)
        make_stale(load, l);
    else if (rare >= 200 && rare < 200 + CANCELS)
        make_cancel(load);
    else
        make_step(load, l);
}

static void pass_time(struct load *load)
{
    load->ledger_part += load->count * (uint64_t)1000;
    load->ledger_ms += load->ledger_part / LOAD_RATE;
    load->ledger_part %= LOAD_RATE;
}

static void begin_batch(struct load *load)
{
    pass_time(load);
    load->count = 0;
    load->batches++;
    make_beats(load);
}

static void make_submits(struct load *load)
{
    while (load->owed_count > 0 && load->count < BATCH_ENTRIES_MAX)
        make_submit(load, load->owed[--load->owed_count]);
}

void load_make(struct load *load)
{
    begin_batch(load);
    make_submits(load);
    for (uint32_t i = 0; i < 4 * BATCH_ENTRIES_MAX && load->count < BATCH_ENTRIES_MAX && load->leases > 0; i++)
        make_lease_command(load);
}

/* ---- learning ---- */

static bool is_news(const struct event *e)
{
    return e->type == EVENT_TASK_CREATED || e->type == EVENT_TASK_OFFERED || e->type == EVENT_ASSIGNMENT_MOVED ||
           e->type == EVENT_TASK_MOVED;
}

void load_note(struct load *load, uint32_t i, enum verdict verdict, const struct event_list *out)
{
    if (verdict == VERDICT_ACCEPTED)
        load->accepted[load->entry[i].cmd.type]++;
    else
        load->refused++;
    for (uint32_t k = 0; k < out->count; k++) {
        const struct event *e = &out->event[k];
        if (!is_news(e))
            continue;
        BENCH_MUST(load->news_count < LOAD_NEWS_MAX);
        struct load_news *n = &load->news[load->news_count++];
        *n =
            (struct load_news){.type = e->type, .entry = i, .task = e->task_moved.task};  // the first field of all four
        if (e->type == EVENT_TASK_MOVED)
            n->to = e->task_moved.to;
        if (e->type == EVENT_ASSIGNMENT_MOVED) {
            n->to = e->assignment_moved.to;
            n->lease = e->assignment_moved.lease;
        }
        if (e->type == EVENT_TASK_OFFERED) {
            n->lease = e->task_offered.lease;
            n->seed = e->task_offered.seed;
            n->node = e->task_offered.node;
        }
    }
}

static void learn_offered(struct load *load, const struct load_news *n)
{
    BENCH_MUST(load->leases < load->options.nodes * LOAD_SLOTS);
    load->lease_at[LEASE_ROW(n->lease)] = load->leases;
    load->lease[load->leases++] =
        (struct load_lease){.lease = n->lease, .task = n->task, .seed = n->seed, .node = n->node};
}

static void learn_assignment(struct load *load, const struct load_news *n)
{
    struct load_lease *l = &load->lease[load->lease_at[LEASE_ROW(n->lease)]];
    BENCH_MUST(l->lease == n->lease);
    l->state = n->to;
    if (n->to <= ASSIGNMENT_COMMITTED)
        return;
    *l = load->lease[--load->leases];
    load->lease_at[LEASE_ROW(l->lease)] = (uint32_t)(l - load->lease);
}

static void learn_created(struct load *load, const struct load_news *n)
{
    const struct load_entry *e = &load->entry[n->entry];
    *task_of(load, n->task) = (struct load_task){.id = n->task,
                                                 .number = e->number,
                                                 .session = e->session,
                                                 .payer = e->number % load->options.users,
                                                 .queued = true};
}

static void learn_task(struct load *load, const struct load_news *n)
{
    struct load_task *t = task_of(load, n->task);
    BENCH_MUST(t->id == n->task);
    t->queued = n->to == TASK_QUEUED;
    if (n->to < TASK_COMPLETED)
        return;
    load->owed[load->owed_count++] = t->session;
    t->id = 0;
}

void load_learn(struct load *load)
{
    for (uint32_t i = 0; i < load->news_count; i++) {
        const struct load_news *n = &load->news[i];
        if (n->type == EVENT_TASK_CREATED)
            learn_created(load, n);
        else if (n->type == EVENT_TASK_OFFERED)
            learn_offered(load, n);
        else if (n->type == EVENT_ASSIGNMENT_MOVED)
            learn_assignment(load, n);
        else
            learn_task(load, n);
    }
    load->news_count = 0;
}

static void apply(struct load *load)
{
    for (uint32_t i = 0; i < load->count; i++) {
        struct load_entry *e = &load->entry[i];
        load_note(load, i, core_apply(load->core, e->bytes, &e->cmd, &load->out), &load->out);
        load_keep(load, e->bytes);
    }
    load_end_batch(load);
    load_learn(load);
}

void load_run(struct load *load)
{
    load_make(load);
    apply(load);
}

/* ---- filling ---- */

void load_fill(struct load *load, uint32_t tasks)
{
    uint32_t busy = u32_max(1, u32_min(tasks / LIVE_SHARE, load->sessions));
    for (uint32_t i = load->core->session_queue.tasks.live; i < tasks; i++)
        load->owed[load->owed_count++] = i % busy;
    while (load->owed_count > 0) {
        uint32_t before = load->owed_count;
        begin_batch(load);
        make_submits(load);
        apply(load);
        BENCH_MUST(load->owed_count < before);
    }
}

/* Receipts and lists: what is in memory and what is in the archive, as one. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "router/history_parts.h"

/* ---- one task ---- */

struct loading {
    struct history_task *room;
    enum cx_err err;
};

static bool load(void *ctx, const struct archived_task *row)
{
    struct loading *loading = ctx;
    loading->err = history_body_decode(row, loading->room);
    buf_reset(&loading->room->line);
    buf_add(&loading->room->line, row->line.data, row->line.size);
    return false;
}

enum cx_err history_load(struct history *history, uint64_t session, uint64_t task, struct history_task *room,
                         const struct history_task **ret_task)
{
    struct archive *archive = NULL;
    struct loading loading = {.room = room};
    const struct history_task *t = history_task_find(history, task);
    enum cx_err err = CX_OK;
    if (!t) {
        t = room;
        err = history_reader(history, &archive);
        if (!err)
            err = history_asked(history, archive_task(archive, task, load, &loading));
        if (!err)
            err = loading.err;
    }
    if (!err && session != 0 && t->task.session != session)
        err = cx_fail(CX_NOT_FOUND, "the session has no such task");
    if (!err)
        *ret_task = t;
    return err;
}

enum cx_err history_finished(struct history *history, uint64_t session, uint64_t task, struct finished_task *ret_task)
{
    struct history_task room = {0};
    const struct history_task *t = NULL;
    enum cx_err err = history_load(history, session, task, &room, &t);
    if (!err && !t->ended)
        err = cx_fail(CX_NOT_FOUND, "the task is not finished");
    if (!err)
        *ret_task = t->task;
    history_task_done(&room);
    return err;
}

enum cx_err history_created(struct history *history, uint64_t task, struct finished_task *ret_task)
{
    const struct history_task *t = history_task_find(history, task);
    if (!t)
        return cx_fail(CX_NOT_FOUND, "the task does not live");
    *ret_task = t->task;
    return CX_OK;
}

/* ---- receipts ---- */

struct adding {
    struct receipt *receipt;
    enum cx_err err;
};

static void add_verdict(struct receipt *r, const struct receipt_verdict *verdict)
{
    if (r->verdicts < RECEIPT_VERDICTS_MAX)
        r->verdict[r->verdicts++] = *verdict;
}

static bool add_archived(void *ctx, const struct archived_verdict *row)
{
    struct adding *adding = ctx;
    struct receipt_verdict verdict;
    if (!history_verdict_decode(row->body, &verdict)) {
        adding->err = history_damaged("row of a verdict");
        return false;
    }
    add_verdict(adding->receipt, &verdict);
    return true;
}

static enum cx_err add_verdicts(struct history *history, struct receipt *r)
{
    struct archive *archive = NULL;
    struct adding adding = {.receipt = r};
    enum cx_err err = history_reader(history, &archive);
    if (!err)
        err = history_asked(history,
                            archive_task_verdicts(archive, r->task, history->written_seq, add_archived, &adding));
    if (!err)
        err = adding.err;
    for (struct history_batch *b = NULL; !err && history_batch_next(history, &b);)
        for (uint32_t i = 0; i < b->verdicts; i++)
            if (b->verdict[i].task == r->task)
                add_verdict(r, &b->verdict[i].verdict);
    return err;
}

/* What was pending when the task was handed over is so until an event says that its audit is over. */
static bool end_pending(void *ctx, const struct history_event *event)
{
    struct receipt *r = ctx;
    const struct evt_audit_moved *e = &event->event.audit_moved;
    if (event->event.type != EVENT_AUDIT_MOVED || !history_audit_is_over(e))
        return true;
    for (uint32_t i = 0; i < r->answers; i++)
        if (r->answer[i].lease == e->lease)
            r->answer[i].pending = false;
    return true;
}

static bool has_pending(const struct receipt *r)
{
    for (uint32_t i = 0; i < r->answers; i++)
        if (r->answer[i].pending)
            return true;
    return false;
}

enum cx_err history_receipt(struct history *history, uint64_t session, uint64_t task, struct receipt *ret_receipt)
{
    struct history_task room = {0};
    const struct history_task *t = NULL;
    enum cx_err err = history_load(history, session, task, &room, &t);
    bool audited = !err && t->ended;  // audits begin at the end
    bool handed = !err && (t == &room || t->handed);
    if (!err)
        history_task_receipt(history, t, ret_receipt);
    history_task_done(&room);
    if (!err && audited)
        err = add_verdicts(history, ret_receipt);
    if (!err && handed && has_pending(ret_receipt))
        err = history_later_events(history, task, end_pending, ret_receipt);
    return err;
}

enum cx_err history_receipt_json(struct history *history, uint64_t session, uint64_t task, struct buf *ret_json)
{
    struct receipt *receipt = malloc(sizeof *receipt);
    cx_assert(receipt);
    enum cx_err err = history_receipt(history, session, task, receipt);
    if (!err)
        receipt_write(receipt, ret_json);
    free(receipt);
    return err;
}

static enum cx_err find_answer(const struct history_task *t, uint64_t lease, struct audited_answer *ret_answer)
{
    for (uint32_t i = 0; i < t->answers; i++) {
        const struct receipt_answer *a = &t->answer[i];
        if (a->lease != lease || a->record_size == 0)
            continue;
        *ret_answer = (struct audited_answer){
            .prompt_digest = t->task.prompt_digest, .payload_digest = a->payload_digest, .record_size = a->record_size};
        memcpy(ret_answer->record, a->record, a->record_size);
        return CX_OK;
    }
    return cx_fail(CX_NOT_FOUND, "the task has no answer of this lease");
}

enum cx_err history_audited(struct history *history, uint64_t audit, uint64_t lease, struct audited_answer *ret_answer)
{
    const struct history_audit *known = history_audit_find(history, audit);
    struct history_task room = {0};
    const struct history_task *t = NULL;
    if (!known)
        return cx_fail(CX_NOT_FOUND, "no such audit");
    enum cx_err err = history_load(history, 0, known->task, &room, &t);
    if (!err)
        err = find_answer(t, lease, ret_answer);
    history_task_done(&room);
    return err;
}

/* ---- lists ---- */

/* The tasks in memory that a list wants. */
struct chosen {
    const struct history_task **task;
    uint32_t count, cap;
};

static bool is_before(const struct finished_task *t, uint64_t seq, uint64_t task)
{
    return t->end_seq < seq || (t->end_seq == seq && (int64_t)t->task < (int64_t)task);
}

static bool is_wanted(const struct archive_query *query, const struct finished_task *t)
{
    if (query->by == ARCHIVE_BY_SESSION ? t->session != query->session : !address_eq(&t->payer, &query->address))
        return false;
    return query->before_seq == 0 || is_before(t, query->before_seq, query->before_task);
}

static int compare(const void *a, const void *b)
{
    const struct finished_task *left = &(*(const struct history_task *const *)a)->task;
    const struct finished_task *right = &(*(const struct history_task *const *)b)->task;
    return is_before(left, right->end_seq, right->task) ? 1 : -1;
}

/* The last finished first: as the archive gives them, whose integers are signed. */
static void choose(struct history *history, const struct archive_query *query, struct chosen *chosen)
{
    for (struct history_batch *b = NULL; history_batch_next(history, &b);)
        for (const struct history_task *t = b->ended; t; t = t->next_ended) {
            if (!is_wanted(query, &t->task))
                continue;
            chosen->task = history_grow(chosen->task, &chosen->cap, chosen->count, sizeof(struct history_task *));
            chosen->task[chosen->count++] = t;
        }
    if (chosen->count > 1)
        qsort(chosen->task, chosen->count, sizeof(struct history_task *), compare);
}

struct listing {
    history_each_task *each;
    void *ctx;
    bool enough, damaged;
};

static bool list_row(void *ctx, const struct archived_task *row)
{
    struct listing *listing = ctx;
    const struct finished_task task = {.session = row->session,
                                       .task = row->task,
                                       .end_seq = row->seq,
                                       .state = (enum task_state)row->state,
                                       .payer = row->payer,
                                       .submitted_ms = row->submitted_ms,
                                       .finished_ms = row->finished_ms,
                                       .prompt_digest = row->prompt,
                                       .payload_digest = row->answer};
    listing->damaged = row->state >= TASK_STATE_COUNT;
    return !listing->damaged && listing->each(listing->ctx, &task);
}

/* Those that finished up to written_seq, which are no longer in memory or will soon be taken out of it. */
static enum cx_err list_archived(struct history *history, struct archive_query query, struct listing *listing)
{
    struct archive *archive = NULL;
    uint64_t bound = history->written_seq + 1;
    enum cx_err err = history_reader(history, &archive);
    if (query.before_seq == 0 || query.before_seq >= bound) {
        query.before_seq = bound;
        query.before_task = (uint64_t)INT64_MIN;
    }
    if (!err)
        err = history_asked(history, archive_tasks(archive, &query, list_row, listing));
    return err || !listing->damaged ? err : history_damaged("row of a task");
}

enum cx_err history_tasks(struct history *history, const struct archive_query *query, history_each_task *each,
                          void *ctx)
{
    struct chosen chosen = {0};
    struct listing listing = {.each = each, .ctx = ctx};
    struct archive_query rest = *query;
    cx_assert(query->by != ARCHIVE_BY_NODE);
    choose(history, query, &chosen);
    for (uint32_t i = 0; i < chosen.count && rest.limit > 0 && !listing.enough; i++, rest.limit--)
        listing.enough = !each(ctx, &chosen.task[i]->task);
    free(chosen.task);
    return listing.enough || rest.limit == 0 ? CX_OK : list_archived(history, rest, &listing);
}

static bool take_ids(void *ctx, const struct archived_task *row)
{
    *(struct finished_task *)ctx = (struct finished_task){.session = row->session, .task = row->task};
    return false;
}

enum cx_err history_by_reference(struct history *history, const struct address *payer, const struct hash *reference,
                                 uint64_t *ret_session, uint64_t *ret_task)
{
    struct finished_task found = {0};
    enum cx_err err = CX_OK;
    for (struct history_batch *b = NULL; history_batch_next(history, &b);)  // the newest last
        for (const struct history_task *t = b->ended; t; t = t->next_ended)
            if (hash_eq(&t->reference, reference) && address_eq(&t->task.payer, payer) &&
                t->task.end_seq > found.end_seq)
                found = t->task;
    if (found.task == 0) {
        struct archive *archive = NULL;
        err = history_reader(history, &archive);
        if (!err)
            err = history_asked(history, archive_task_by_reference(archive, payer, reference, take_ids, &found));
    }
    if (!err) {
        *ret_session = found.session;
        *ret_task = found.task;
    }
    return err;
}

#include "router/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "core/record.h"
#include "crypto/address_text.h"
#include "proto/fields_json.h"

/* Rows wait for each other: the archive can be rebuilt, so it needs no durability, and each transaction has a price. */
#define FLUSH_ROWS      256
#define FINISHED_FORMAT 1
#define ENDED_BUCKETS   256

/* A task that lives, or has ended and is not in the archive yet: its receipt so far, and what the archive's row needs
 * beside it. */
struct live {
    struct live *next_ended;     // in its bucket
    struct live *next_in_batch;  // of those that ended in this batch
    struct receipt receipt;
    struct finished_task task;
    struct address node[RECEIPT_ANSWERS_MAX];
    uint32_t nodes;
    bool ended, settled;  // settled: and its batch is over
};

/* Which receipt an audit belongs to. */
struct audited {
    uint64_t audit, session, task;
};

struct row_event {
    struct archived_event row;
    uint32_t body_at, body_size;
};
struct row_task {
    struct archived_task row;
    struct address node[RECEIPT_ANSWERS_MAX];
    uint32_t body_at, body_size;
};

struct history {
    struct history_options options;
    char *path;
    struct archive *archive;
    struct replica_listener listener;
    struct live **live;  // [live_cap], by the slot in the task's id
    uint32_t live_cap;
    struct audited *audited;  // [audited_cap], by the slot in the audit's id
    uint32_t audited_cap;
    struct live *ended[ENDED_BUCKETS];  // by the slot in the task's id
    struct live *ended_in_batch;
    uint32_t settled;
    uint64_t network_id;
    /* Rows to be written. */
    struct row_event *event;
    struct row_task *task;
    uint32_t event_count, event_cap, task_count, task_cap;
    struct buf bodies;
    uint64_t seq;        // the last entry seen
    uint64_t had_seq;    // what the archive had when it was opened: of replayed entries up to here nothing is written
    uint64_t batch_seq;  // the last entry whose batch is over: what a row may say that all before it is there
    uint32_t event_index;
    enum cx_err broken;  // the archive failed: on_failed was told
};

/* ---- the archive ---- */

/* A damaged one is no loss: all of it is on the ledger, which is being replayed while this is called. */
static enum cx_err open_archive(struct history *history)
{
    enum cx_err err = archive_open(history->path, history->network_id, &history->archive);
    if (err != CX_CORRUPT)
        return err;
    log_warn("history", "the archive is damaged, and is made again from the ledger: %s", cx_detail());
    err = archive_remove(history->path);
    return err ? err : archive_open(history->path, history->network_id, &history->archive);
}

/* No task that has ended can be shown any more, and "unknown" would be a lie. A damaged file is put away, so that the
 * next start makes it again. */
static void give_up(struct history *history, enum cx_err err)
{
    if (!err)
        return;
    char why[512];
    history->broken = err;
    if (err == CX_CORRUPT && history->archive) {
        snprintf(why, sizeof why, "%.400s: start again, and it is made again from the ledger", cx_detail());
        archive_close(history->archive);
        history->archive = NULL;
        if (archive_remove(history->path))
            snprintf(why, sizeof why, "%s", cx_detail());
    } else {
        snprintf(why, sizeof why, "%s", cx_detail());
    }
    if (history->options.on_failed)
        history->options.on_failed(history->options.ctx, err, why);
}

/* ---- live tasks ---- */

static void *grow(void *rows, uint32_t *cap, uint32_t need, size_t size)
{
    if (need < *cap)
        return rows;
    uint32_t more = *cap ? *cap : 64;
    while (more <= need)
        more *= 2;
    void *grown = realloc(rows, more * size);
    cx_assert(grown);
    memset((uint8_t *)grown + *cap * size, 0, (more - *cap) * size);
    *cap = more;
    return grown;
}

static struct live *live_find(const struct history *history, uint64_t task)
{
    uint32_t slot = (uint32_t)task;
    if (slot < history->live_cap && history->live[slot] && history->live[slot]->task.task == task)
        return history->live[slot];
    struct live *live = history->ended[slot % ENDED_BUCKETS];
    while (live && live->task.task != task)
        live = live->next_ended;
    return live;
}

static struct receipt_answer *answer_of(struct live *live, uint64_t lease)
{
    for (uint32_t i = 0; i < live->receipt.answers; i++)
        if (live->receipt.answer[i].lease == lease)
            return &live->receipt.answer[i];
    return NULL;
}

static void on_created(struct history *history, const struct replica_moment *moment, const struct evt_task_created *e)
{
    struct live *live = calloc(1, sizeof *live);
    cx_assert(live);
    struct receipt *r = &live->receipt;
    r->network_id = history->network_id;
    r->rules_version = 1;
    r->session = e->session;
    r->task = e->task;
    r->payer = e->payer;
    r->router = e->router;
    r->request_digest = e->request_digest;
    r->prompt_digest = e->prompt_digest;
    r->reference = e->reference;
    r->submit_seq = moment->seq;
    struct session_view session;
    if (view_session(moment->core, e->session, &session)) {
        r->validation = (uint8_t)session.validation;
        r->redundancy = (uint8_t)session.redundancy;
        r->quorum = (uint8_t)session.quorum;
    }
    live->task = (struct finished_task){.session = e->session,
                                        .task = e->task,
                                        .payer = e->payer,
                                        .prompt_digest = e->prompt_digest,
                                        .submitted_ms = moment->time_ms};
    history->live = grow(history->live, &history->live_cap, (uint32_t)e->task, sizeof(struct live *));
    history->live[(uint32_t)e->task] = live;
}

/* The receipt keeps the answers of the last attempt that had any; failed ones are in the time-line. */
static void on_offered(struct history *history, const struct replica_moment *moment, const struct evt_task_offered *e)
{
    struct live *live = live_find(history, e->task);
    if (!live)
        return;
    struct network_view network;
    view_network(moment->core, &network);
    live->receipt.dice = network.oracles_live > 0 ? network.beacon : network.digest;
    live->receipt.dice_from_beacon = network.oracles_live > 0;
    live->task.attempts = e->attempt;
    uint32_t i = 0;
    while (i < live->nodes && !address_eq(&live->node[i], &e->node))
        i++;
    if (i == live->nodes && live->nodes < RECEIPT_ANSWERS_MAX)
        live->node[live->nodes++] = e->node;
}

static void on_precommit(struct live *live, const struct replica_moment *moment)
{
    const struct cmd_task_precommit *cmd = &moment->command->task_precommit;
    struct assignment_view assignment;
    struct node_view node;
    if (live->receipt.answers == RECEIPT_ANSWERS_MAX || !view_assignment(moment->core, cmd->lease, &assignment) ||
        !view_node(moment->core, &assignment.node, &node))
        return;
    struct receipt_answer *a = &live->receipt.answer[live->receipt.answers++];
    *a = (struct receipt_answer){.lease = cmd->lease,
                                 .node = assignment.node,
                                 .operator= node.operator,
                                 .precommit = cmd->precommit,
                                 .precommit_seq = moment->seq,
                                 .price_in = assignment.price_in,
                                 .price_out = assignment.price_out};
    struct command decoded;
    const uint8_t *signature;
    a->has_signature = moment->command->signer_count > 0 && command_decode(moment->entry, &decoded, &signature);
    if (a->has_signature)
        memcpy(a->signature, signature, sizeof a->signature);
}

static void on_commit(struct live *live, const struct replica_moment *moment)
{
    const struct cmd_task_commit *cmd = &moment->command->task_commit;
    struct receipt_answer *a = answer_of(live, cmd->lease);
    if (!a)
        return;
    a->salt = cmd->salt;
    a->payload_digest = cmd->payload_digest;
    a->record_size = cmd->record.size;
    memcpy(a->record, cmd->record.data, cmd->record.size);
    a->commit_seq = moment->seq;
    live->receipt.primary_streamed |= cmd->relayed_tokens > 0;
}

static void on_assignment(struct history *history, const struct replica_moment *moment,
                          const struct evt_assignment_moved *e)
{
    struct live *live = live_find(history, e->task);
    if (!live || !moment->command)
        return;
    const struct command *cmd = moment->command;
    if (e->to == ASSIGNMENT_PRECOMMITTED && cmd->type == COMMAND_TASK_PRECOMMIT &&
        cmd->task_precommit.lease == e->lease)
        on_precommit(live, moment);
    if (e->from == ASSIGNMENT_PRECOMMITTED && cmd->type == COMMAND_TASK_COMMIT && cmd->task_commit.lease == e->lease)
        on_commit(live, moment);
    struct receipt_answer *a = answer_of(live, e->lease);
    if (a)
        a->accepted = e->to == ASSIGNMENT_ACCEPTED;
    if (e->cause > CAUSE_NONE && e->cause < FAIL_CAUSES_COUNTED && live->task.causes[e->cause] < UINT8_MAX)
        live->task.causes[e->cause]++;
}

static void on_answer(struct history *history, const struct replica_moment *moment, const struct evt_task_answer *e)
{
    struct live *live = live_find(history, e->task);
    if (!live)
        return;
    live->task.finish = (enum finish)e->finish;
    live->task.tokens_in = e->tokens_in;
    live->task.tokens_out = e->tokens_out;
    live->receipt.verdict_missing = e->verdict_missing;
    struct receipt_answer *a = answer_of(live, e->lease);
    if (a) {
        a->is_answer = true;
        live->task.payload_digest = a->payload_digest;
    }
    struct node_view node;
    struct session_view session;
    if (!view_node(moment->core, &e->node, &node) || !view_session(moment->core, live->task.session, &session))
        return;
    for (uint32_t i = 0; i < node.models; i++)
        if (node.model[i].model == session.model) {
            live->receipt.model_class = (uint8_t)node.model[i].class;
            live->receipt.model_declared = node.model[i].declared;
        }
}

static void on_paid(struct history *history, const struct evt_task_paid *e)
{
    struct live *live = live_find(history, e->task);
    struct receipt_answer *a = live ? answer_of(live, e->lease) : NULL;
    if (!a)
        return;
    struct amount sum;
    if (amount_add(a->paid, e->amount, &sum))
        a->paid = sum;
    a->pending |= e->pending != 0;
}

static void on_moved(struct history *history, const struct replica_moment *moment, const struct evt_task_moved *e)
{
    struct live *live = live_find(history, e->task);
    if (!live || live->ended)
        return;
    if (e->to == TASK_QUEUED)
        live->receipt.answers = 0;  // the next attempt's
    if (e->to != TASK_COMPLETED && e->to != TASK_CANCELLED && e->to != TASK_EXPIRED && e->to != TASK_FAILED)
        return;
    live->ended = true;
    live->task.state = (enum task_state)e->to;
    live->task.cause = (enum fail_cause)e->cause;
    live->task.finished_ms = moment->time_ms;
    live->task.end_seq = moment->seq;
    live->receipt.end_seq = moment->seq;
    struct live **bucket = &history->ended[(uint32_t)e->task % ENDED_BUCKETS];
    live->next_ended = *bucket;
    *bucket = live;
    live->next_in_batch = history->ended_in_batch;
    history->ended_in_batch = live;
}

/* ---- rows ---- */

static void number(struct json_out *out, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    json_out_text(out, key, text);
}

static void finished_body(const struct live *live, struct buf *body)
{
    const struct finished_task *t = &live->task;
    struct json_out out;
    json_out_init(&out, body);
    json_out_object(&out, NULL);
    json_out_u64(&out, "format", FINISHED_FORMAT);
    json_out_u64(&out, "cause", t->cause);
    json_out_array(&out, "causes");
    for (uint32_t i = 0; i < FAIL_CAUSES_COUNTED; i++)
        json_out_u64(&out, NULL, t->causes[i]);
    json_out_end(&out);
    json_out_u64(&out, "finish", t->finish);
    json_out_u64(&out, "tokens_in", t->tokens_in);
    json_out_u64(&out, "tokens_out", t->tokens_out);
    json_out_u64(&out, "attempts", t->attempts);
    number(&out, "charged", t->charged.credits);
    struct buf receipt = {0};
    receipt_write(&live->receipt, &receipt);
    json_out_raw(&out, "receipt", receipt.data, receipt.size);
    buf_done(&receipt);
    json_out_end(&out);
}

static enum cx_err write_ended(struct history *history, const struct live *live)
{
    const struct finished_task *t = &live->task;
    struct buf body = {0};
    finished_body(live, &body);
    const struct archived_task row = {.session = t->session,
                                      .task = t->task,
                                      .seq = t->end_seq,
                                      .state = (uint32_t)t->state,
                                      .payer = t->payer,
                                      .reference = live->receipt.reference,
                                      .submitted_ms = t->submitted_ms,
                                      .finished_ms = t->finished_ms,
                                      .prompt = t->prompt_digest,
                                      .answer = t->payload_digest,
                                      .node = live->node,
                                      .node_count = live->nodes,
                                      .body = {(const uint8_t *)body.data, (uint32_t)body.size}};
    enum cx_err err = archive_task_put(history->archive, &row);
    buf_done(&body);
    return err;
}

/* Takes those whose batch is over out of their buckets. */
static void forget_settled(struct history *history)
{
    for (uint32_t i = 0; i < ENDED_BUCKETS && history->settled > 0; i++)
        for (struct live **at = &history->ended[i]; *at;) {
            struct live *live = *at;
            if (!live->settled) {
                at = &live->next_ended;
                continue;
            }
            *at = live->next_ended;
            history->settled--;
            free(live);
        }
}

/* What a time-line shows: the task and node that an event's fields name. */
static void add_event(struct history *history, const struct replica_moment *moment, const struct event *event)
{
    const struct event_info *info = event_find(event->type);
    struct archived_event row = {.seq = moment->seq, .index = history->event_index++, .time_ms = moment->time_ms};
    for (uint32_t i = 0; i < info->fields.count; i++) {
        const struct field *field = &info->fields.field[i];
        const uint8_t *at = (const uint8_t *)event + offsetof(struct event, network_opened) + field->offset;
        if (strcmp(field->name, "task") == 0)
            memcpy(&row.task, at, sizeof row.task);
        else if (strcmp(field->name, "session") == 0)
            memcpy(&row.session, at, sizeof row.session);
        else if (strcmp(field->name, "node") == 0)
            memcpy(&row.node, at, sizeof row.node);
    }
    if (row.task == 0 && address_is_zero(&row.node))
        return;
    const struct live *live = row.task ? live_find(history, row.task) : NULL;
    if (live)
        row.session = live->task.session;
    history->event = grow(history->event, &history->event_cap, history->event_count, sizeof *history->event);
    struct row_event *kept = &history->event[history->event_count++];
    kept->row = row;
    kept->row.name = info->name;
    kept->body_at = (uint32_t)history->bodies.size;
    uint8_t bytes[EVENT_SIZE_MAX];
    kept->body_size = event_encode(event, bytes);
    buf_add(&history->bodies, bytes, kept->body_size);
}

static struct span body_of(const struct history *history, uint32_t at, uint32_t size)
{
    return (struct span){(const uint8_t *)history->bodies.data + at, size};
}

static enum cx_err write_rows(struct history *history)
{
    enum cx_err err = archive_begin(history->archive, history->batch_seq);
    for (uint32_t i = 0; i < history->event_count && !err; i++) {
        struct row_event *e = &history->event[i];
        e->row.body = body_of(history, e->body_at, e->body_size);
        err = archive_event_put(history->archive, &e->row);
    }
    for (uint32_t i = 0; i < ENDED_BUCKETS && history->settled > 0; i++)
        for (const struct live *live = history->ended[i]; live && !err; live = live->next_ended)
            if (live->settled)
                err = write_ended(history, live);
    for (uint32_t i = 0; i < history->task_count && !err; i++) {
        struct row_task *t = &history->task[i];
        t->row.node = t->node;
        t->row.body = body_of(history, t->body_at, t->body_size);
        err = archive_task_put(history->archive, &t->row);
    }
    return err ? err : archive_commit(history->archive);
}

static enum cx_err flush(struct history *history)
{
    if (history->broken || !history->archive || history->event_count + history->task_count + history->settled == 0)
        return history->broken;
    if (history->batch_seq == 0 || history->batch_seq < archive_seq(history->archive))
        return CX_OK;  // in the first batch, or in one that is replayed
    give_up(history, write_rows(history));
    history->event_count = 0;
    history->task_count = 0;
    forget_settled(history);
    buf_reset(&history->bodies);
    return history->broken;
}

/* ---- what an archive gives back ---- */

/* A row that is no row of ours: a disk did that, not whoever asks. */
static enum cx_err damaged(void)
{
    char why[256];
    snprintf(why, sizeof why, "%s", cx_detail());
    return cx_fail(CX_CORRUPT, "the archive's row of this task is damaged (%s): delete the archive, it will be rebuilt",
                   why);
}

/* The document in an archived body, to be json_decref'd, and the receipt in it, which must be an object. */
static enum cx_err open_body(struct span body, json_t **ret_document, json_t **ret_receipt)
{
    json_t *document = NULL;
    if (json_parse((const char *)body.data, body.size, ARCHIVE_BODY_SIZE_MAX, &document))
        return damaged();
    struct json_at root = json_at_root(document), receipt;
    if (json_need_object(&root, "receipt", &receipt)) {
        json_decref(document);
        return damaged();
    }
    *ret_document = document;
    *ret_receipt = json_object_get(document, "receipt");
    return CX_OK;
}

/* ---- audits that end after their task ---- */

static bool copy_body(void *ctx, const struct archived_task *task)
{
    buf_add(ctx, task->body.data, task->body.size);
    return false;
}

/* An ended task's row with a receipt that has grown. */
struct grown {
    struct history *history;
    const struct receipt_verdict *verdict;  // to be added; or NULL: the pending pay of `lease` has ended
    uint64_t lease;
    enum cx_err err;
};

static void grow_receipt(const struct grown *grown, struct receipt *r)
{
    /* After a crash an entry may be read again whose verdict was written already. */
    for (uint32_t i = 0; i < r->verdicts && grown->verdict; i++)
        if (r->verdict[i].seq == grown->verdict->seq)
            return;
    if (grown->verdict && r->verdicts < RECEIPT_VERDICTS_MAX)
        r->verdict[r->verdicts++] = *grown->verdict;
    for (uint32_t i = 0; i < r->answers && !grown->verdict; i++)
        if (r->answer[i].lease == grown->lease)
            r->answer[i].pending = false;
}

static bool rewrite(void *ctx, const struct archived_task *task)
{
    struct grown *grown = ctx;
    json_t *body = NULL;
    struct receipt *r = malloc(sizeof *r);
    cx_assert(r);
    struct buf text = {0}, grown_body = {0};
    json_t *receipt = NULL;
    grown->err = open_body(task->body, &body, &receipt);
    if (!grown->err) {
        json_canonical(&text, receipt);
        grown->err = receipt_read(text.data, text.size, r);
    }
    if (!grown->err) {
        grow_receipt(grown, r);
        buf_reset(&text);
        receipt_write(r, &text);
        json_error_t why;
        json_object_set_new(body, "receipt", json_loadb(text.data, text.size, 0, &why));
        json_canonical(&grown_body, body);
        struct history *history = grown->history;
        history->task = grow(history->task, &history->task_cap, history->task_count, sizeof *history->task);
        struct row_task *row = &history->task[history->task_count++];
        row->row = *task;
        row->row.node_count = u32_min(task->node_count, RECEIPT_ANSWERS_MAX);
        memcpy(row->node, task->node, row->row.node_count * sizeof *row->node);
        row->body_at = (uint32_t)history->bodies.size;
        buf_add(&history->bodies, grown_body.data, grown_body.size);
        row->body_size = (uint32_t)grown_body.size;
    }
    json_decref(body);
    buf_done(&text);
    buf_done(&grown_body);
    free(r);
    return false;
}

static void grow_ended(struct history *history, uint64_t session, uint64_t task, const struct receipt_verdict *verdict,
                       uint64_t lease)
{
    struct live *live = live_find(history, task);
    struct grown grown = {.history = history, .verdict = verdict, .lease = lease};
    if (live) {
        grow_receipt(&grown, &live->receipt);
        return;
    }
    if (flush(history) || !history->archive || history->seq <= history->had_seq)
        return;
    enum cx_err err = archive_task(history->archive, session, task, rewrite, &grown);
    cx_maybe(err);  // forgotten: then nobody will ask for its receipt
}

static struct audited *audited_find(struct history *history, uint64_t audit)
{
    uint32_t slot = (uint32_t)audit;
    if (slot >= history->audited_cap || history->audited[slot].audit != audit)
        return NULL;
    return &history->audited[slot];
}

static bool copy_session(void *ctx, const struct archived_task *task)
{
    *(uint64_t *)ctx = task->session;
    return false;
}

/* An audit is first heard of when it is drawn, and by then its task has ended as a rule. */
static struct audited *audited_add(struct history *history, const struct evt_audit_moved *e)
{
    const struct live *live = live_find(history, e->task);
    uint64_t session = live ? live->task.session : 0;
    if (!live && !flush(history) && history->archive) {
        enum cx_err err = archive_task_by_id(history->archive, e->task, copy_session, &session);
        cx_maybe(err);  // forgotten: then it has no receipt that could grow
    }
    if (session == 0)
        return NULL;
    history->audited = grow(history->audited, &history->audited_cap, (uint32_t)e->audit, sizeof *history->audited);
    struct audited *audited = &history->audited[(uint32_t)e->audit];
    *audited = (struct audited){.audit = e->audit, .session = session, .task = e->task};
    return audited;
}

static void on_audit(struct history *history, const struct evt_audit_moved *e)
{
    const struct audited *known = audited_find(history, e->audit);
    if (!known)
        known = audited_add(history, e);
    if (known && (e->to == AUDIT_DECIDED || e->to == AUDIT_VOID || e->to == AUDIT_SPARED))
        grow_ended(history, known->session, known->task, NULL, e->lease);
}

static void on_verdict(struct history *history, const struct replica_moment *moment)
{
    const struct cmd_audit_verdict *cmd = &moment->command->audit_verdict;
    const struct audited *known = audited_find(history, cmd->audit);
    struct command decoded;
    const uint8_t *signature;
    if (!known || !command_decode(moment->entry, &decoded, &signature) || decoded.signer_count == 0)
        return;
    struct receipt_verdict verdict = {.audit = cmd->audit,
                                      .seq = moment->seq,
                                      .oracle = moment->command->signer[0],
                                      .finding = cmd->finding,
                                      .mismatches = cmd->mismatches,
                                      .score_milli = cmd->score_milli,
                                      .evidence = cmd->evidence};
    struct audit_view audit;
    if (view_audit(moment->core, cmd->audit, &audit))
        verdict.lease = audit.lease;
    memcpy(verdict.signature, signature, sizeof verdict.signature);
    grow_ended(history, known->session, known->task, &verdict, 0);
}

/* ---- the listener ---- */

static void on_entry(void *ctx, const struct replica_moment *moment)
{
    struct history *history = ctx;
    if (!history->archive && !history->broken) {
        struct network_view network;
        view_network(moment->core, &network);
        history->network_id = network.network_id;
        give_up(history, open_archive(history));
        if (!history->broken)
            history->had_seq = archive_seq(history->archive);
    }
    history->seq = moment->seq;
    history->event_index = 0;
    if (moment->verdict == VERDICT_ACCEPTED && moment->command && moment->command->type == COMMAND_AUDIT_VERDICT)
        on_verdict(history, moment);
}

static void on_event(void *ctx, const struct replica_moment *moment, const struct event *event)
{
    struct history *history = ctx;
    struct live *live;
    if (event->type == EVENT_TASK_CREATED)
        on_created(history, moment, &event->task_created);
    else if (event->type == EVENT_TASK_OFFERED)
        on_offered(history, moment, &event->task_offered);
    else if (event->type == EVENT_ASSIGNMENT_MOVED)
        on_assignment(history, moment, &event->assignment_moved);
    else if (event->type == EVENT_TASK_ANSWER)
        on_answer(history, moment, &event->task_answer);
    else if (event->type == EVENT_TASK_PAID)
        on_paid(history, &event->task_paid);
    else if (event->type == EVENT_TASK_REFUNDED && (live = live_find(history, event->task_refunded.task)))
        live->task.charged = live->receipt.charged = event->task_refunded.charged;
    else if (event->type == EVENT_TASK_MOVED)
        on_moved(history, moment, &event->task_moved);
    else if (event->type == EVENT_AUDIT_MOVED)
        on_audit(history, &event->audit_moved);
    if (history->archive && moment->seq > history->had_seq)
        add_event(history, moment, event);
}

/* The batch is over: those that ended in it leave their slots, and wait to be written. */
static void settle(struct history *history)
{
    while (history->ended_in_batch) {
        struct live *live = history->ended_in_batch;
        history->ended_in_batch = live->next_in_batch;
        struct live **slot = &history->live[(uint32_t)live->task.task];
        if (*slot == live)  // else a new task has it already
            *slot = NULL;
        live->settled = true;
        history->settled++;
    }
}

static void on_batch(void *ctx)
{
    struct history *history = ctx;
    history->batch_seq = history->seq;
    settle(history);
    /* What the archive has already, or no archive will have. */
    if (!history->archive || history->seq <= history->had_seq)
        forget_settled(history);
    if (history->event_count + history->task_count + history->settled >= FLUSH_ROWS) {
        enum cx_err err = flush(history);
        cx_maybe(err);  // kept in `broken`, and told to whoever asks
    }
}

/* ---- asking ---- */

struct archive *history_archive(struct history *history) { return flush(history) ? NULL : history->archive; }

static enum cx_err find_body(struct history *history, uint64_t session, uint64_t task, struct buf *ret_body)
{
    enum cx_err err = flush(history);
    if (err)
        return err;
    if (!history->archive)
        return cx_fail(CX_NOT_FOUND, "nothing has happened yet");
    err = archive_task(history->archive, session, task, copy_body, ret_body);
    if (err == CX_IO || err == CX_CORRUPT)
        give_up(history, err);
    return err;
}

enum cx_err history_receipt(struct history *history, uint64_t session, uint64_t task, struct buf *ret_json)
{
    const struct live *live = live_find(history, task);
    if (live && live->task.session == session) {
        receipt_write(&live->receipt, ret_json);
        return CX_OK;
    }
    struct buf body = {0};
    json_t *document = NULL, *receipt = NULL;
    enum cx_err err = find_body(history, session, task, &body);
    if (!err)
        err = open_body((struct span){(const uint8_t *)body.data, (uint32_t)body.size}, &document, &receipt);
    if (!err) {
        char *text = json_dumps(receipt, JSON_COMPACT | JSON_PRESERVE_ORDER);
        cx_assert(text);
        buf_text(ret_json, text);
        free(text);
    }
    json_decref(document);
    buf_done(&body);
    return err;
}

enum cx_err history_created(struct history *history, uint64_t task, struct finished_task *ret_task)
{
    const struct live *live = live_find(history, task);
    if (!live)
        return cx_fail(CX_NOT_FOUND, "the task does not live");
    *ret_task = live->task;
    return CX_OK;
}

static enum cx_err read_body(const struct archived_task *task, struct finished_task *t)
{
    json_t *document = NULL;
    enum cx_err err = json_parse((const char *)task->body.data, task->body.size, ARCHIVE_BODY_SIZE_MAX, &document);
    if (err)
        return damaged();
    struct json_at at = json_at_root(document), causes;
    uint64_t cause = 0, finish = 0, in = 0, out = 0, attempts = 0;
    err = json_need_u64(&at, "cause", 0, FAIL_CAUSE_COUNT - 1, &cause);
    if (!err)
        err = json_need_u64(&at, "finish", 0, FINISH_COUNT - 1, &finish);
    if (!err)
        err = json_need_u64(&at, "tokens_in", 0, UINT32_MAX, &in);
    if (!err)
        err = json_need_u64(&at, "tokens_out", 0, UINT32_MAX, &out);
    if (!err)
        err = json_need_u64(&at, "attempts", 0, UINT32_MAX, &attempts);
    if (!err)
        err = json_need_u64(&at, "charged", 0, UINT64_MAX, &t->charged.credits);
    if (!err)
        err = json_need_array(&at, "causes", &causes);
    for (uint32_t i = 0; !err && i < FAIL_CAUSES_COUNTED && i < json_at_count(&causes); i++) {
        struct json_at item = json_at_item(&causes, i);
        uint64_t count = 0;
        err = json_need_u64(&item, NULL, 0, UINT8_MAX, &count);
        t->causes[i] = (uint8_t)count;
    }
    t->cause = (enum fail_cause)cause;
    t->finish = (enum finish)finish;
    t->tokens_in = (uint32_t)in;
    t->tokens_out = (uint32_t)out;
    t->attempts = (uint32_t)attempts;
    if (!err && task->state >= TASK_STATE_COUNT)
        err = cx_fail(CX_CORRUPT, "its state is none");
    json_decref(document);
    return err ? damaged() : CX_OK;
}

struct finding {
    struct finished_task *task;
    enum cx_err err;
};

static bool find_finished(void *ctx, const struct archived_task *row)
{
    struct finding *finding = ctx;
    struct finished_task *t = finding->task;
    *t = (struct finished_task){.session = row->session,
                                .task = row->task,
                                .end_seq = row->seq,
                                .submitted_ms = row->submitted_ms,
                                .finished_ms = row->finished_ms,
                                .state = (enum task_state)row->state,
                                .payer = row->payer,
                                .prompt_digest = row->prompt,
                                .payload_digest = row->answer};
    finding->err = read_body(row, t);
    return false;
}

enum cx_err history_finished(struct history *history, uint64_t session, uint64_t task, struct finished_task *ret_task)
{
    const struct live *live = live_find(history, task);
    if (live && live->ended && live->task.session == session) {
        *ret_task = live->task;
        return CX_OK;
    }
    enum cx_err err = flush(history);
    if (err)
        return err;
    if (!history->archive)
        return cx_fail(CX_NOT_FOUND, "nothing has happened yet");
    struct finding finding = {.task = ret_task};
    err = archive_task(history->archive, session, task, find_finished, &finding);
    return err ? err : finding.err;
}

/* ---- opening ---- */

enum cx_err history_open(const struct history_options *options, struct history **ret_history)
{
    struct history *history = calloc(1, sizeof *history);
    cx_assert(history);
    history->options = *options;
    history->path = strdup(options->archive_path);
    cx_assert(history->path);
    history->network_id = options->network_id;
    history->listener = (struct replica_listener){
        .on_event = on_event, .on_entry = on_entry, .on_batch = on_batch, .ctx = history, .replays = true};
    *ret_history = history;
    return CX_OK;
}

struct replica_listener *history_listener(struct history *history) { return &history->listener; }

void history_close(struct history *history)
{
    if (!history)
        return;
    enum cx_err err = flush(history);
    cx_maybe(err);  // it is rebuilt at the next start
    settle(history);
    forget_settled(history);
    for (uint32_t i = 0; i < history->live_cap; i++)
        free(history->live[i]);
    archive_close(history->archive);
    free(history->live);
    free(history->audited);
    free(history->event);
    free(history->task);
    buf_done(&history->bodies);
    free(history->path);
    free(history);
}

enum cx_err history_audited(struct history *history, uint64_t audit, uint64_t lease, struct audited_answer *ret_answer)
{
    const struct audited *known = audited_find(history, audit);
    struct buf json = {0};
    struct receipt *receipt = malloc(sizeof *receipt);
    cx_assert(receipt);
    enum cx_err err =
        known ? history_receipt(history, known->session, known->task, &json) : cx_fail(CX_NOT_FOUND, "no such audit");
    if (!err)
        err = receipt_read(json.data, json.size, receipt) ? damaged() : CX_OK;
    bool read = err == CX_OK;
    if (read)
        err = cx_fail(CX_NOT_FOUND, "the receipt has no such lease");
    for (uint32_t i = 0; read && i < receipt->answers; i++) {
        const struct receipt_answer *a = &receipt->answer[i];
        if (a->lease != lease || a->record_size == 0)
            continue;
        *ret_answer = (struct audited_answer){.prompt_digest = receipt->prompt_digest,
                                              .payload_digest = a->payload_digest,
                                              .record_size = a->record_size};
        memcpy(ret_answer->record, a->record, a->record_size);
        err = CX_OK;
    }
    buf_done(&json);
    free(receipt);
    return err;
}

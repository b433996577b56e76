/* check_told.c - what clients are told is true, was so when it was said, and is said once.
 * Source: docs/protocol.md, "HTTP" and "Streams"; DESIGN 15.1, 15.4, 15.9. */
#include <string.h>

#include "crypto/keccak.h"
#include "proto/json.h"
#include "proto/receipt.h"
#include "sim/check_world_parts.h"
#include "sim/client.h"

#define RECEIPT_EVERY 8  // prompts: one of so many has its receipt verified

#define TELL(c, NAME, ...) check_fail(&(c)->sim->check, CHECKER_##NAME, (c)->entries, __VA_ARGS__)
#define LOOK(c, NAME)      ((c)->sim->check.looks[CHECKER_##NAME]++)

static bool is(const struct told *t, const char *code) { return strcmp(t->code, code) == 0; }

/* ---- an answer ---- */

static bool is_answer_text(const struct task_record *task, const struct told *t)
{
    struct hash digest;
    keccak256(t->text, (uint32_t)t->text_size, &digest);
    for (uint32_t i = 0; i < task->reveals; i++)
        if (task->revealed[i].lease == task->answer)
            return hash_eq(&task->revealed[i].text_digest, &digest);
    return false;
}

static uint8_t finish_of(const struct task_record *task)
{
    for (uint32_t i = 0; i < task->reveals; i++)
        if (task->revealed[i].lease == task->answer)
            return task->revealed[i].finish;
    return FINISH_COUNT;
}

static bool verify_receipt(struct checks *c, const struct told *t)
{
    static struct receipt receipt;
    struct buf text = {0};
    struct json_out out;
    LOOK(c, RECEIPT);
    json_out_init(&out, &text);
    json_out_value(&out, NULL, t->receipt);
    enum cx_err err = receipt_read(text.data, text.size, &receipt);
    buf_done(&text);
    if (err)
        return TELL(c, RECEIPT, "the receipt of task %" PRIx64 " cannot be read", t->task);
    if (receipt.task != t->task || !address_eq(&receipt.payer, &t->payer) || !amount_eq(receipt.charged, t->charged))
        return TELL(c, RECEIPT, "the receipt of task %" PRIx64 " is another task's, payer's or sum's", t->task);
    if (receipt_verify(&receipt, t->text, t->text_size, NULL) != CX_OK)
        return TELL(c, RECEIPT, "the receipt of task %" PRIx64 " proves nothing", t->task);
    return true;
}

static void check_answer(struct checks *c, const struct told *t, const struct task_record *task)
{
    LOOK(c, OUTCOME);
    LOOK(c, DURABLE);
    if (t->task == 0 || t->session == 0 || t->seq == 0 || !t->finish[0]) {
        TELL(c, API, "an answer without task, session, position or finish");
        return;
    }
    if (t->seq > c->entries) {
        TELL(c, DURABLE, "an answer of entry %" PRIu64 " was told, and entry %u is the last", t->seq, c->entries);
        return;
    }
    if (!task || task->state != TASK_COMPLETED || task->ended_seq != t->seq) {
        TELL(c, DURABLE, "task %" PRIx64 " was told as answered at entry %" PRIu64 ", and is %s", t->task, t->seq,
             task ? term_name(TERM_task_state, task->state) : "unknown");
        return;
    }
    if (!is_answer_text(task, t)) {
        if (t->end == TOLD_STREAM)
            TELL(c, STREAM, "the stream of task %" PRIx64 " ended well, and its text is not the answer", t->task);
        else
            TELL(c, OUTCOME, "the text told for task %" PRIx64 " is not its answer", t->task);
        return;
    }
    static const char *const finish[] = {[FINISH_STOP] = "stop", [FINISH_LENGTH] = "length"};
    uint8_t ends = finish_of(task);
    if (ends < ARRAY_COUNT(finish) && strcmp(finish[ends], t->finish) != 0)
        TELL(c, OUTCOME, "task %" PRIx64 " finished with %s, and %s was told", t->task, finish[ends], t->finish);
    else if (!amount_eq(t->charged, task->charged))
        TELL(c, OUTCOME, "task %" PRIx64 " cost %" PRIu64 ", and %" PRIu64 " were told", t->task, task->charged.credits,
             t->charged.credits);
    else if (t->has_usage && (t->tokens_in != task->tokens_in || t->tokens_out != task->tokens_out))
        TELL(c, OUTCOME, "task %" PRIx64 " took %u and %u tokens, and %u and %u were told", t->task, task->tokens_in,
             task->tokens_out, t->tokens_in, t->tokens_out);
    else if (t->receipt && t->prompt % RECEIPT_EVERY == 0)
        verify_receipt(c, t);
}

/* ---- an error ---- */

/* What an error says of its task is how it ended. */
static bool code_fits(const struct task_record *task, const struct told *t)
{
    if (is(t, "TASK_CANCELLED"))
        return task->state == TASK_CANCELLED;
    if (is(t, "SESSION_CLOSED"))
        return task->state == TASK_CANCELLED || task->state == TASK_FAILED;
    if (is(t, "TOO_SLOW"))
        return task->state == TASK_EXPIRED;
    if (is(t, "POISON"))
        return task->cause == CAUSE_POISON;
    return task->state == TASK_FAILED || task->state == TASK_EXPIRED;
}

static bool is_about_elsewhere(const struct told *t)
{
    return is(t, "NOT_TASK_ROUTER") || is(t, "TASK_KNOWN") || is(t, "ANSWER_EXPIRED") || is(t, "STOPPING") ||
           is(t, "DRAINING");
}

static void check_error(struct checks *c, const struct told *t, const struct task_record *task)
{
    LOOK(c, OUTCOME);
    LOOK(c, API);
    if (t->status == 500)
        TELL(c, API, "client %u was told that it is the router's fault: %s", t->client, t->code);
    if (t->task == 0 || is_about_elsewhere(t))
        return;
    if (!task)
        TELL(c, OUTCOME, "%s was told of task %" PRIx64 ", which no entry made", t->code, t->task);
    else if (task->state < TASK_COMPLETED)
        TELL(c, DURABLE, "%s was told of task %" PRIx64 ", which has not ended", t->code, t->task);
    else if (task->state == TASK_COMPLETED)
        TELL(c, OUTCOME, "%s was told of task %" PRIx64 ", which has an answer", t->code, t->task);
    else if (!code_fits(task, t))
        TELL(c, OUTCOME, "%s was told of task %" PRIx64 ", which is %s for %s", t->code, t->task,
             term_name(TERM_task_state, task->state), term_name(TERM_fail_cause, task->cause));
}

/* A stream that did not end well says why, and is right. */
static void check_stream_error(struct checks *c, const struct told *t, const struct task_record *task)
{
    bool replaced = is(t, "answer_replaced"), interrupted = is(t, "stream_interrupted");
    LOOK(c, STREAM);
    if (!replaced && !interrupted) {
        check_error(c, t, task);
        return;
    }
    if (!task)
        TELL(c, STREAM, "a stream of task %" PRIx64 " ended with %s, and there is none", t->task, t->code);
    else if (replaced && task->state != TASK_COMPLETED)
        TELL(c, STREAM, "the answer of task %" PRIx64 " is told as replaced, and it is %s", t->task,
             term_name(TERM_task_state, task->state));
}

void told_check(struct checks *c, const struct told *t)
{
    static const struct hash none;
    const struct task_record *task = t->task ? record_task(c, t->task) : NULL;
    if (t->end == TOLD_BROKEN) {
        if (t->stream && t->status == 200)
            TELL(c, STREAM, "client %u: %s", t->client, t->why);
        else
            TELL(c, API, "client %u: %s", t->client, t->why);
        return;
    }
    if (t->end == TOLD_CUT || t->end == TOLD_LEFT)
        return;
    bool named = !hash_eq(&t->reference, &none);
    if (task && (!address_eq(&task->payer, &t->payer) || !hash_eq(&task->reference, &t->reference))) {
        TELL(c, OUTCOME, "client %u was told of task %" PRIx64 ", which another %s", t->client, t->task,
             named ? "reference names" : "request made");
        return;
    }
    if (t->end == TOLD_STREAM)
        LOOK(c, STREAM);
    if (t->end == TOLD_WHOLE || t->end == TOLD_STREAM)
        check_answer(c, t, task);
    else if (t->end == TOLD_STREAM_ERROR || is(t, "answer_replaced") || is(t, "stream_interrupted"))
        check_stream_error(c, t, task);  // a stream that is resumed may end so before it begins
    else
        check_error(c, t, task);
}

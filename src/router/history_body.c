/* What the archive keeps of a task beside its columns, and of a verdict: bytes, and back with everything checked. */
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "core/limits.h"
#include "router/history_parts.h"

#define BODY_FORMAT   1
#define HEAD_SIZE_MAX 256
/* Of an answer without signature and record. */
#define ANSWER_SIZE (8 + 2 * sizeof(struct address) + 3 * sizeof(struct hash) + 1 + 2 + 5 * 8)

enum task_flag { FROM_BEACON = 1, VERDICT_MISSING = 2, PRIMARY_STREAMED = 4, MODEL_DECLARED = 8, TASK_FLAGS = 15 };
enum answer_flag { HAS_SIGNATURE = 1, IS_ANSWER = 2, ACCEPTED = 4, PENDING = 8, ANSWER_FLAGS = 15 };

enum cx_err history_damaged(const char *what)
{
    return cx_fail(CX_CORRUPT, "the archive's %s is damaged: delete the archive, it will be rebuilt", what);
}

/* ---- writing ---- */

static void put_head(struct bytes_writer *w, const struct history_task *t)
{
    bytes_put_u8(w, BODY_FORMAT);
    bytes_put_u8(w, (uint8_t)t->task.cause);
    bytes_put(w, t->task.causes, sizeof t->task.causes);
    bytes_put_u8(w, (uint8_t)t->task.finish);
    bytes_put_u32(w, t->task.tokens_in);
    bytes_put_u32(w, t->task.tokens_out);
    bytes_put_u32(w, t->task.attempts);
    bytes_put_u64(w, t->task.charged.credits);
    bytes_put_u64(w, t->submit_seq);
    bytes_put_u32(w, t->rules_version);
    bytes_put(w, t->router.b, sizeof t->router.b);
    bytes_put(w, t->request_digest.b, sizeof t->request_digest.b);
    bytes_put(w, t->dice.b, sizeof t->dice.b);
    bytes_put_u8(w, t->validation);
    bytes_put_u8(w, t->redundancy);
    bytes_put_u8(w, t->quorum);
    bytes_put_u8(w, t->model_class);
    bytes_put_u8(w, (uint8_t)((t->dice_from_beacon ? FROM_BEACON : 0) | (t->verdict_missing ? VERDICT_MISSING : 0) |
                              (t->primary_streamed ? PRIMARY_STREAMED : 0) | (t->model_declared ? MODEL_DECLARED : 0)));
    bytes_put_u8(w, (uint8_t)t->answers);
}

static void put_answer(struct bytes_writer *w, const struct receipt_answer *a)
{
    bytes_put_u64(w, a->lease);
    bytes_put(w, a->node.b, sizeof a->node.b);
    bytes_put(w, a->operator.b, sizeof a->operator.b);
    bytes_put(w, a->precommit.b, sizeof a->precommit.b);
    bytes_put(w, a->salt.b, sizeof a->salt.b);
    bytes_put(w, a->payload_digest.b, sizeof a->payload_digest.b);
    bytes_put_u64(w, a->precommit_seq);
    bytes_put_u64(w, a->commit_seq);
    bytes_put_u64(w, a->price_in);
    bytes_put_u64(w, a->price_out);
    bytes_put_u64(w, a->paid.credits);
    bytes_put_u8(w, (uint8_t)((a->has_signature ? HAS_SIGNATURE : 0) | (a->is_answer ? IS_ANSWER : 0) |
                              (a->accepted ? ACCEPTED : 0) | (a->pending ? PENDING : 0)));
    if (a->has_signature)
        bytes_put(w, a->signature, sizeof a->signature);
    bytes_put_u16(w, (uint16_t)a->record_size);
    bytes_put(w, a->record, a->record_size);
}

void history_body_encode(const struct history_task *t, struct buf *body)
{
    struct bytes_writer w;
    cx_assert(t->answers <= RECEIPT_ANSWERS_MAX);
    size_t room = HEAD_SIZE_MAX + t->answers * (ANSWER_SIZE + sizeof t->answer->signature + RECORD_SIZE_MAX);
    buf_reserve(body, room);
    bytes_writer_init(&w, body->data + body->size, (uint32_t)room);
    put_head(&w, t);
    for (uint32_t i = 0; i < t->answers; i++)
        put_answer(&w, &t->answer[i]);
    cx_assert(w.ok);
    body->size += w.size;
    body->data[body->size] = 0;
}

/* ---- reading ---- */

/* True: more is to be read, and what was read can be. */
static bool get_head(struct bytes_reader *r, struct history_task *t)
{
    bool good = bytes_get_u8(r) == BODY_FORMAT;
    uint8_t cause = bytes_get_u8(r);
    bytes_get(r, t->task.causes, sizeof t->task.causes);
    uint8_t finish = bytes_get_u8(r);
    t->task.cause = (enum fail_cause)cause;
    t->task.finish = (enum finish)finish;
    t->task.tokens_in = bytes_get_u32(r);
    t->task.tokens_out = bytes_get_u32(r);
    t->task.attempts = bytes_get_u32(r);
    t->task.charged = amount_of(bytes_get_u64(r));
    t->submit_seq = bytes_get_u64(r);
    t->rules_version = bytes_get_u32(r);
    bytes_get(r, t->router.b, sizeof t->router.b);
    bytes_get(r, t->request_digest.b, sizeof t->request_digest.b);
    bytes_get(r, t->dice.b, sizeof t->dice.b);
    t->validation = bytes_get_u8(r);
    t->redundancy = bytes_get_u8(r);
    t->quorum = bytes_get_u8(r);
    t->model_class = bytes_get_u8(r);
    uint8_t flags = bytes_get_u8(r);
    t->dice_from_beacon = flags & FROM_BEACON;
    t->verdict_missing = flags & VERDICT_MISSING;
    t->primary_streamed = flags & PRIMARY_STREAMED;
    t->model_declared = flags & MODEL_DECLARED;
    t->answers = bytes_get_u8(r);
    return r->ok && good && term_name(TERM_fail_cause, cause) && term_name(TERM_finish, finish) &&
           t->validation < VALIDATION_POLICY_COUNT && t->redundancy <= REDUNDANCY_MAX && t->quorum <= REDUNDANCY_MAX &&
           t->model_class < NODE_CLASS_COUNT && flags <= TASK_FLAGS && t->answers <= RECEIPT_ANSWERS_MAX;
}

static bool get_answer(struct bytes_reader *r, struct receipt_answer *a)
{
    *a = (struct receipt_answer){.lease = bytes_get_u64(r)};
    bytes_get(r, a->node.b, sizeof a->node.b);
    bytes_get(r, a->operator.b, sizeof a->operator.b);
    bytes_get(r, a->precommit.b, sizeof a->precommit.b);
    bytes_get(r, a->salt.b, sizeof a->salt.b);
    bytes_get(r, a->payload_digest.b, sizeof a->payload_digest.b);
    a->precommit_seq = bytes_get_u64(r);
    a->commit_seq = bytes_get_u64(r);
    a->price_in = bytes_get_u64(r);
    a->price_out = bytes_get_u64(r);
    a->paid = amount_of(bytes_get_u64(r));
    uint8_t flags = bytes_get_u8(r);
    a->has_signature = flags & HAS_SIGNATURE;
    a->is_answer = flags & IS_ANSWER;
    a->accepted = flags & ACCEPTED;
    a->pending = flags & PENDING;
    if (a->has_signature)
        bytes_get(r, a->signature, sizeof a->signature);
    a->record_size = bytes_get_u16(r);
    if (!r->ok || flags > ANSWER_FLAGS || a->record_size > RECORD_SIZE_MAX)
        return false;
    bytes_get(r, a->record, a->record_size);
    return r->ok && a->price_in <= PRICE_MAX && a->price_out <= PRICE_MAX;
}

enum cx_err history_body_decode(const struct archived_task *row, struct history_task *t)
{
    struct bytes_reader r;
    bytes_reader_init(&r, row->body.data, row->body.size);
    bool good = row->state < TASK_STATE_COUNT && get_head(&r, t);
    t->answers = good ? t->answers : 0;
    for (uint32_t i = 0; i < t->answers && good; i++) {
        t->answer = history_grow(t->answer, &t->answer_cap, i, sizeof *t->answer);
        good = get_answer(&r, &t->answer[i]);
    }
    if (!good || r.left > 0)
        return history_damaged("row of this task");
    t->task.session = row->session;
    t->task.task = row->task;
    t->task.end_seq = row->seq;
    t->task.submitted_ms = row->submitted_ms;
    t->task.finished_ms = row->finished_ms;
    t->task.state = (enum task_state)row->state;
    t->task.payer = row->payer;
    t->task.prompt_digest = row->prompt;
    t->task.payload_digest = row->answer;
    t->reference = row->reference;
    t->ended = true;
    return CX_OK;
}

/* ---- verdicts ---- */

void history_verdict_encode(const struct receipt_verdict *v, uint8_t ret_bytes[HISTORY_VERDICT_SIZE])
{
    struct bytes_writer w;
    bytes_writer_init(&w, ret_bytes, HISTORY_VERDICT_SIZE);
    bytes_put_u8(&w, BODY_FORMAT);
    bytes_put_u64(&w, v->audit);
    bytes_put_u64(&w, v->lease);
    bytes_put_u64(&w, v->seq);
    bytes_put(&w, v->oracle.b, sizeof v->oracle.b);
    bytes_put_u8(&w, v->finding);
    bytes_put_u32(&w, v->mismatches);
    bytes_put_u32(&w, v->score_milli);
    bytes_put(&w, v->evidence.b, sizeof v->evidence.b);
    bytes_put(&w, v->signature, sizeof v->signature);
    cx_assert(w.ok);
    cx_assert(w.size == HISTORY_VERDICT_SIZE);
}

bool history_verdict_decode(struct span bytes, struct receipt_verdict *v)
{
    struct bytes_reader r;
    bytes_reader_init(&r, bytes.data, bytes.size);
    bool good = bytes_get_u8(&r) == BODY_FORMAT;
    *v = (struct receipt_verdict){.audit = bytes_get_u64(&r)};
    v->lease = bytes_get_u64(&r);
    v->seq = bytes_get_u64(&r);
    bytes_get(&r, v->oracle.b, sizeof v->oracle.b);
    v->finding = bytes_get_u8(&r);
    v->mismatches = bytes_get_u32(&r);
    v->score_milli = bytes_get_u32(&r);
    bytes_get(&r, v->evidence.b, sizeof v->evidence.b);
    bytes_get(&r, v->signature, sizeof v->signature);
    return good && r.ok && r.left == 0 && term_name(TERM_audit_finding, v->finding);
}

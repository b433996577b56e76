#include "proto/receipt.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "core/limits.h"
#include "crypto/address_text.h"
#include "crypto/cid.h"
#include "crypto/keccak.h"
#include "crypto/key.h"
#include "crypto/sha256.h"
#include "proto/entry.h"
#include "proto/json.h"

#define RECEIPT_FORMAT        "corten-receipt/1"
#define RECEIPT_JSON_SIZE_MAX (256 * 1024)

/* ---- writing ---- */

static void put_u64(struct json_out *out, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    json_out_text(out, key, text);
}

static void put_address(struct json_out *out, const char *key, const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];
    address_print(address, text);
    json_out_text(out, key, text);
}

static void put_hash(struct json_out *out, const char *key, const struct hash *hash)
{
    json_out_hex(out, key, hash->b, sizeof hash->b);
}

/* For people: the same facts that the record's bytes hold, which alone are checked. */
static void put_record(struct json_out *out, const struct receipt_answer *a)
{
    struct record record;
    json_out_hex(out, "record", a->record, a->record_size);
    if (!record_decode((struct span){a->record, a->record_size}, &record))
        return;
    json_out_object(out, "says");
    put_hash(out, "manifest_digest", &record.manifest_digest);
    json_out_text(out, "engine", term_name(TERM_engine, record.engine));
    put_u64(out, "seed", record.seed);
    json_out_text(out, "seed_of", record.seed_of_client ? "client" : "network");
    json_out_text(out, "finish", term_name(TERM_finish, record.finish));
    json_out_u64(out, "tokens_in", record.tokens_in);
    json_out_u64(out, "tokens_out", record.tokens_out);
    put_hash(out, "text_digest", &record.text_digest);
    json_out_end(out);
}

static void put_answer(struct json_out *out, const struct receipt_answer *a)
{
    char urn[URN_TEXT_SIZE];
    json_out_object(out, NULL);
    put_u64(out, "lease", a->lease);
    put_address(out, "node", &a->node);
    put_address(out, "operator", &a->operator);
    json_out_bool(out, "accepted", a->accepted);
    json_out_bool(out, "is_answer", a->is_answer);
    put_hash(out, "precommit", &a->precommit);
    if (a->has_signature)
        json_out_hex(out, "signature", a->signature, sizeof a->signature);
    else
        json_out_null(out, "signature");
    put_hash(out, "salt", &a->salt);
    put_record(out, a);
    urn_encode(&a->payload_digest, urn);
    json_out_text(out, "payload", urn);
    put_u64(out, "precommit_seq", a->precommit_seq);
    put_u64(out, "commit_seq", a->commit_seq);
    put_u64(out, "price_in", a->price_in);
    put_u64(out, "price_out", a->price_out);
    put_u64(out, "paid", a->paid.credits);
    json_out_bool(out, "pending", a->pending);
    json_out_end(out);
}

static void put_verdict(struct json_out *out, const struct receipt_verdict *v)
{
    json_out_object(out, NULL);
    put_u64(out, "audit", v->audit);
    put_u64(out, "lease", v->lease);
    put_u64(out, "seq", v->seq);
    put_address(out, "oracle", &v->oracle);
    json_out_text(out, "finding", term_name(TERM_audit_finding, v->finding));
    json_out_u64(out, "mismatches", v->mismatches);
    json_out_u64(out, "score_milli", v->score_milli);
    put_hash(out, "evidence", &v->evidence);
    json_out_hex(out, "signature", v->signature, sizeof v->signature);
    json_out_end(out);
}

void receipt_write(const struct receipt *r, struct buf *ret_json)
{
    struct json_out out;
    char urn[URN_TEXT_SIZE];
    json_out_init(&out, ret_json);
    json_out_object(&out, NULL);
    json_out_text(&out, "format", RECEIPT_FORMAT);
    put_u64(&out, "network_id", r->network_id);
    json_out_u64(&out, "rules_version", r->rules_version);
    put_u64(&out, "session", r->session);
    put_u64(&out, "task", r->task);
    put_address(&out, "payer", &r->payer);
    put_address(&out, "router", &r->router);
    put_hash(&out, "request_digest", &r->request_digest);
    urn_encode(&r->prompt_digest, urn);
    json_out_text(&out, "prompt", urn);
    put_hash(&out, "reference", &r->reference);
    put_hash(&out, "dice", &r->dice);
    json_out_text(&out, "dice_from", r->dice_from_beacon ? "beacon" : "chain: no oracle lived");
    json_out_text(&out, "validation", term_name(TERM_validation_policy, r->validation));
    json_out_u64(&out, "redundancy", r->redundancy);
    json_out_u64(&out, "quorum", r->quorum);
    json_out_bool(&out, "verdict_missing", r->verdict_missing);
    json_out_bool(&out, "primary_streamed", r->primary_streamed);
    json_out_text(&out, "model_class", term_name(TERM_node_class, r->model_class));
    json_out_text(&out, "model_digest", r->model_declared ? "declared" : "proved");
    put_u64(&out, "submit_seq", r->submit_seq);
    put_u64(&out, "end_seq", r->end_seq);
    put_u64(&out, "charged", r->charged.credits);
    json_out_array(&out, "answers");
    for (uint32_t i = 0; i < r->answers; i++)
        put_answer(&out, &r->answer[i]);
    json_out_end(&out);
    json_out_array(&out, "audits");
    for (uint32_t i = 0; i < r->verdicts; i++)
        put_verdict(&out, &r->verdict[i]);
    json_out_end(&out);
    json_out_end(&out);
}

/* ---- reading ---- */

/* One receipt being read: the first failure stays. */
struct reading {
    enum cx_err err;
};

static uint64_t get_u64(struct reading *in, const struct json_at *at, const char *key, uint64_t max)
{
    uint64_t value = 0;
    if (!in->err)
        in->err = json_need_u64(at, key, 0, max, &value);
    return value;
}

static bool get_bool(struct reading *in, const struct json_at *at, const char *key)
{
    bool value = false;
    if (!in->err)
        in->err = json_need_bool(at, key, &value);
    return value;
}

static void get_hex(struct reading *in, const struct json_at *at, const char *key, void *ret_data, size_t size)
{
    if (!in->err)
        in->err = json_need_hex(at, key, ret_data, size);
}

static uint8_t get_term(struct reading *in, const struct json_at *at, const char *key, enum term_set set)
{
    const char *text = "";
    size_t size;
    if (!in->err)
        in->err = json_need_text(at, key, &text, &size);
    int value = in->err ? 0 : term_find(set, text);
    if (value < 0)
        in->err = json_fail(at, key, "\"%s\" is none of the protocol's terms", text);
    return value < 0 ? 0 : (uint8_t)value;
}

static void get_urn(struct reading *in, const struct json_at *at, const char *key, struct hash *ret_digest)
{
    const char *text = "";
    size_t size = 0;
    if (!in->err)
        in->err = json_need_text(at, key, &text, &size);
    if (!in->err && urn_decode(text, size, ret_digest))
        in->err = json_fail(at, key, "%s", cx_detail());
}

static void get_address(struct reading *in, const struct json_at *at, const char *key, struct address *ret_address)
{
    get_hex(in, at, key, ret_address->b, sizeof ret_address->b);
}

static void get_record(struct reading *in, const struct json_at *at, struct receipt_answer *a)
{
    const char *text = "";
    size_t size = 0;
    if (!in->err)
        in->err = json_need_text(at, "record", &text, &size);
    if (in->err)
        return;
    if (size < 2 || strncmp(text, "0x", 2) != 0 || size % 2 != 0 || size / 2 - 1 > RECORD_SIZE_MAX) {
        in->err = json_fail(at, "record", "expected 0x and at most %d bytes of hexadecimal", RECORD_SIZE_MAX);
        return;
    }
    a->record_size = (uint32_t)(size / 2 - 1);
    get_hex(in, at, "record", a->record, a->record_size);
}

static void get_answer(struct reading *in, const struct json_at *at, struct receipt_answer *a)
{
    a->lease = get_u64(in, at, "lease", UINT64_MAX);
    get_address(in, at, "node", &a->node);
    get_address(in, at, "operator", &a->operator);
    a->accepted = get_bool(in, at, "accepted");
    a->is_answer = get_bool(in, at, "is_answer");
    get_hex(in, at, "precommit", a->precommit.b, sizeof a->precommit.b);
    a->has_signature = json_has(at, "signature");
    if (a->has_signature)
        get_hex(in, at, "signature", a->signature, sizeof a->signature);
    get_hex(in, at, "salt", a->salt.b, sizeof a->salt.b);
    get_record(in, at, a);
    get_urn(in, at, "payload", &a->payload_digest);
    a->precommit_seq = get_u64(in, at, "precommit_seq", UINT64_MAX);
    a->commit_seq = get_u64(in, at, "commit_seq", UINT64_MAX);
    a->price_in = get_u64(in, at, "price_in", PRICE_MAX);
    a->price_out = get_u64(in, at, "price_out", PRICE_MAX);
    a->paid = amount_of(get_u64(in, at, "paid", UINT64_MAX));
    a->pending = get_bool(in, at, "pending");
}

static void get_verdict(struct reading *in, const struct json_at *at, struct receipt_verdict *v)
{
    v->audit = get_u64(in, at, "audit", UINT64_MAX);
    v->lease = get_u64(in, at, "lease", UINT64_MAX);
    v->seq = get_u64(in, at, "seq", UINT64_MAX);
    get_address(in, at, "oracle", &v->oracle);
    v->finding = get_term(in, at, "finding", TERM_audit_finding);
    v->mismatches = (uint32_t)get_u64(in, at, "mismatches", UINT32_MAX);
    v->score_milli = (uint32_t)get_u64(in, at, "score_milli", UINT32_MAX);
    get_hex(in, at, "evidence", v->evidence.b, sizeof v->evidence.b);
    get_hex(in, at, "signature", v->signature, sizeof v->signature);
}

static void get_lists(struct reading *in, const struct json_at *at, struct receipt *r)
{
    struct json_at list;
    if (!in->err)
        in->err = json_need_array(at, "answers", &list);
    if (!in->err && json_at_count(&list) > RECEIPT_ANSWERS_MAX)
        in->err = json_fail(at, "answers", "more than %d", RECEIPT_ANSWERS_MAX);
    r->answers = in->err ? 0 : (uint32_t)json_at_count(&list);
    for (uint32_t i = 0; i < r->answers; i++) {
        struct json_at item = json_at_item(&list, i);
        get_answer(in, &item, &r->answer[i]);
    }
    if (!in->err)
        in->err = json_need_array(at, "audits", &list);
    if (!in->err && json_at_count(&list) > RECEIPT_VERDICTS_MAX)
        in->err = json_fail(at, "audits", "more than %d", RECEIPT_VERDICTS_MAX);
    r->verdicts = in->err ? 0 : (uint32_t)json_at_count(&list);
    for (uint32_t i = 0; i < r->verdicts; i++) {
        struct json_at item = json_at_item(&list, i);
        get_verdict(in, &item, &r->verdict[i]);
    }
}

static bool is_text(struct reading *in, const struct json_at *at, const char *key, const char *wanted)
{
    const char *text = "";
    size_t size;
    if (!in->err)
        in->err = json_need_text(at, key, &text, &size);
    return strcmp(text, wanted) == 0;
}

enum cx_err receipt_read(const char *json, size_t size, struct receipt *ret_receipt)
{
    json_t *document = NULL;
    enum cx_err err = json_parse(json, size, RECEIPT_JSON_SIZE_MAX, &document);
    if (err)
        return err;
    struct receipt *r = ret_receipt;
    struct reading in = {CX_OK};
    struct json_at at = json_at_root(document);
    memset(r, 0, sizeof *r);
    if (!is_text(&in, &at, "format", RECEIPT_FORMAT) && !in.err)
        in.err = json_fail(&at, "format", "expected \"%s\"", RECEIPT_FORMAT);
    r->network_id = get_u64(&in, &at, "network_id", UINT64_MAX);
    r->rules_version = (uint32_t)get_u64(&in, &at, "rules_version", UINT32_MAX);
    r->session = get_u64(&in, &at, "session", UINT64_MAX);
    r->task = get_u64(&in, &at, "task", UINT64_MAX);
    get_address(&in, &at, "payer", &r->payer);
    get_address(&in, &at, "router", &r->router);
    get_hex(&in, &at, "request_digest", r->request_digest.b, sizeof r->request_digest.b);
    get_urn(&in, &at, "prompt", &r->prompt_digest);
    get_hex(&in, &at, "reference", r->reference.b, sizeof r->reference.b);
    get_hex(&in, &at, "dice", r->dice.b, sizeof r->dice.b);
    r->dice_from_beacon = is_text(&in, &at, "dice_from", "beacon");
    r->validation = get_term(&in, &at, "validation", TERM_validation_policy);
    r->redundancy = (uint8_t)get_u64(&in, &at, "redundancy", REDUNDANCY_MAX);
    r->quorum = (uint8_t)get_u64(&in, &at, "quorum", REDUNDANCY_MAX);
    r->verdict_missing = get_bool(&in, &at, "verdict_missing");
    r->primary_streamed = get_bool(&in, &at, "primary_streamed");
    r->model_class = get_term(&in, &at, "model_class", TERM_node_class);
    r->model_declared = is_text(&in, &at, "model_digest", "declared");
    r->submit_seq = get_u64(&in, &at, "submit_seq", UINT64_MAX);
    r->end_seq = get_u64(&in, &at, "end_seq", UINT64_MAX);
    r->charged = amount_of(get_u64(&in, &at, "charged", UINT64_MAX));
    get_lists(&in, &at, r);
    json_decref(document);
    return in.err;
}

/* ---- checking ---- */

static void report(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void report(struct buf *out, const char *format, ...)
{
    if (!out)
        return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buf_printf(out, "%s\n", line);
}

static enum cx_err verify_answer(const struct receipt *r, uint32_t i, struct buf *out)
{
    const struct receipt_answer *a = &r->answer[i];
    const struct span bytes = {a->record, a->record_size};
    struct record record;
    if (!record_decode(bytes, &record))
        return cx_fail(CX_INVALID, "answers[%u].record: not a result record", i);
    if (!hash_eq(&record.request_digest, &r->request_digest))
        return cx_fail(CX_INVALID, "answers[%u].record: it answers another request", i);
    const struct precommit_terms terms = {.network_id = r->network_id,
                                          .session = r->session,
                                          .task = r->task,
                                          .lease = a->lease,
                                          .node = a->node,
                                          .salt = a->salt};
    struct hash precommit;
    precommit_hash(&terms, bytes, &precommit);
    if (!hash_eq(&precommit, &a->precommit))
        return cx_fail(CX_INVALID, "answers[%u].precommit: not the hash of this record, salt, node and lease", i);
    report(out, "answer %u: the record is what the node had precommitted to", i);
    if (!a->has_signature) {
        report(out,
               "answer %u: evidence is the channel: the router's word that the node's link vouched for it, and no "
               "signature",
               i);
        return CX_OK;
    }
    const struct command cmd = {.type = COMMAND_TASK_PRECOMMIT,
                                .task_precommit = {.lease = a->lease, .precommit = a->precommit}};
    struct address signer;
    if (entry_signer(&cmd, r->network_id, a->signature, &signer) || !address_eq(&signer, &a->node))
        return cx_fail(CX_INVALID, "answers[%u].signature: not the node's", i);
    report(out, "answer %u: the precommit is signed by the node", i);
    return CX_OK;
}

/* What was not accepted need not hold: a reveal that does not match is why it was rejected. */
static void report_rejected(const struct receipt *r, uint32_t i, struct buf *out)
{
    if (verify_answer(r, i, NULL))
        report(out, "answer %u: rejected; %s", i, cx_detail());
    else
        report(out, "answer %u: rejected, though it is what the node had precommitted to", i);
}

static enum cx_err verify_policy(const struct receipt *r, struct buf *out, const struct receipt_answer **ret_answer)
{
    uint32_t accepted = 0, agreeing = 0;
    const struct receipt_answer *answer = NULL;
    struct record record, other;
    for (uint32_t i = 0; i < r->answers; i++) {
        accepted += r->answer[i].accepted;
        if (!r->answer[i].is_answer)
            continue;
        if (answer || !r->answer[i].accepted)
            return cx_fail(CX_INVALID, "answers: there must be one answer, and it must be an accepted one");
        answer = &r->answer[i];
    }
    if (!answer)
        return cx_fail(CX_INVALID, "answers: none is the answer");
    if (accepted < r->quorum)
        return cx_fail(CX_INVALID, "answers: %u accepted, the quorum is %u", accepted, r->quorum);
    bool decodes = record_decode((struct span){answer->record, answer->record_size}, &record);
    cx_assert(decodes);  // verify_answer has seen it
    for (uint32_t i = 0; i < r->answers; i++)
        if (r->answer[i].accepted &&
            record_decode((struct span){r->answer[i].record, r->answer[i].record_size}, &other))
            agreeing += hash_eq(&other.text_digest, &record.text_digest);
    if (r->validation == VALIDATION_MAJORITY && agreeing < r->redundancy / 2u + 1)
        return cx_fail(CX_INVALID, "answers: %u of %u agree, majority needs %u", agreeing, r->redundancy,
                       r->redundancy / 2u + 1);
    report(out, "validation %s holds: %u of %u accepted, %u with this text",
           term_name(TERM_validation_policy, r->validation), accepted, r->redundancy, agreeing);
    *ret_answer = answer;
    return CX_OK;
}

static enum cx_err verify_text(const struct receipt_answer *a, const char *text, size_t size, struct buf *out)
{
    struct record record;
    struct hash digest;
    bool decodes = record_decode((struct span){a->record, a->record_size}, &record);
    cx_assert(decodes);
    keccak256(text, size, &digest);
    if (!hash_eq(&digest, &record.text_digest))
        return cx_fail(CX_INVALID, "the text is not the answer's: its Keccak-256 differs from text_digest");
    sha256(text, size, &digest);
    if (!hash_eq(&digest, &a->payload_digest))
        return cx_fail(CX_INVALID, "the text is not the answer's: its SHA-256 differs from payload");
    report(out, "the text is the answer");
    return CX_OK;
}

static enum cx_err verify_verdict(const struct receipt *r, uint32_t i, struct buf *out)
{
    const struct receipt_verdict *v = &r->verdict[i];
    const struct command cmd = {.type = COMMAND_AUDIT_VERDICT,
                                .audit_verdict = {.audit = v->audit,
                                                  .finding = v->finding,
                                                  .mismatches = v->mismatches,
                                                  .score_milli = v->score_milli,
                                                  .evidence = v->evidence}};
    struct address signer;
    if (entry_signer(&cmd, r->network_id, v->signature, &signer) || !address_eq(&signer, &v->oracle))
        return cx_fail(CX_INVALID, "audits[%u].signature: not the oracle's", i);
    report(out, "audit %u: %s, signed by the oracle", i, term_name(TERM_audit_finding, v->finding));
    return CX_OK;
}

enum cx_err receipt_verify(const struct receipt *r, const char *text, size_t text_size, struct buf *ret_report)
{
    const struct receipt_answer *answer = NULL;
    enum cx_err err = CX_OK;
    for (uint32_t i = 0; i < r->answers && !err; i++)
        if (r->answer[i].accepted)
            err = verify_answer(r, i, ret_report);
        else
            report_rejected(r, i, ret_report);
    if (!err)
        err = verify_policy(r, ret_report, &answer);
    if (!err && text)
        err = verify_text(answer, text, text_size, ret_report);
    for (uint32_t i = 0; i < r->verdicts && !err; i++)
        err = verify_verdict(r, i, ret_report);
    return err;
}

/* Receipts: what is written is read back, and nothing of it can be changed unnoticed. */
#include "proto/receipt.h"

#include "core/command.h"
#include "crypto/keccak.h"
#include "crypto/key.h"
#include "crypto/sha256.h"
#include "lib/test.h"
#include "proto/entry.h"

static const char text[] = "In the beginning was the Word";

static struct key *key_numbered(uint8_t number)
{
    uint8_t secret[KEY_SECRET_SIZE] = {0};
    secret[31] = number;
    struct key *key;
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    return key;
}

static void sign_answer(struct receipt *r, uint32_t i, uint8_t key_number)
{
    struct receipt_answer *a = &r->answer[i];
    cx_auto(key) key = key_numbered(key_number);
    struct record record = {
        .engine = ENGINE_BUILTIN, .seed = 7, .finish = FINISH_STOP, .tokens_in = 3, .tokens_out = 29};
    record.request_digest = r->request_digest;
    keccak256(text, sizeof text - 1, &record.text_digest);
    sha256(text, sizeof text - 1, &a->payload_digest);
    a->record_size = record_encode(&record, a->record, sizeof a->record);
    a->lease = 100 + i;
    a->node = a->operator= * key_address(key);
    memset(a->salt.b, 9 + (int)i, sizeof a->salt.b);
    const struct precommit_terms terms = {.network_id = r->network_id,
                                          .session = r->session,
                                          .task = r->task,
                                          .lease = a->lease,
                                          .node = a->node,
                                          .salt = a->salt};
    precommit_hash(&terms, (struct span){a->record, a->record_size}, &a->precommit);
    const struct command cmd = {.type = COMMAND_TASK_PRECOMMIT,
                                .task_precommit = {.lease = a->lease, .precommit = a->precommit}};
    entry_signature(&cmd, r->network_id, key, a->signature);
    a->has_signature = true;
    a->accepted = true;
    a->is_answer = i == 0;
    a->price_in = 1000000;
    a->price_out = 2000000;
}

/* Three agreeing answers, and an oracle's verdict on the first. */
static struct receipt *receipt_of_three(void)
{
    struct receipt *r = calloc(1, sizeof *r);
    CHECK(r);
    r->network_id = 4503599627370497;
    r->rules_version = 1;
    r->session = 1ull << 32;
    r->task = 1ull << 32 | 5;
    r->validation = VALIDATION_MAJORITY;
    r->redundancy = 3;
    r->quorum = 2;
    r->dice_from_beacon = true;
    memset(r->request_digest.b, 0x11, 32);
    memset(r->prompt_digest.b, 0x22, 32);
    r->charged = amount_of(1234);
    r->answers = 3;
    for (uint32_t i = 0; i < 3; i++)
        sign_answer(r, i, (uint8_t)(i + 1));
    cx_auto(key) oracle = key_numbered(77);
    struct receipt_verdict *v = &r->verdict[r->verdicts++];
    *v = (struct receipt_verdict){
        .audit = 5, .lease = 100, .seq = 90, .oracle = *key_address(oracle), .finding = FINDING_PASS};
    const struct command cmd = {.type = COMMAND_AUDIT_VERDICT, .audit_verdict = {.audit = 5, .finding = FINDING_PASS}};
    entry_signature(&cmd, r->network_id, oracle, v->signature);
    return r;
}

TEST(receipt, is_read_back_as_it_was_written_and_holds)
{
    struct receipt *r = receipt_of_three(), *again = calloc(1, sizeof *again);
    struct buf json = {0}, second = {0}, report = {0};
    receipt_write(r, &json);
    if (receipt_read(json.data, json.size, again))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    receipt_write(again, &second);
    CHECK_STR(json.data, second.data);
    CHECK_EQ(receipt_verify(again, text, sizeof text - 1, &report), CX_OK);
    CHECK(strstr(report.data, "3 of 3 accepted, 3 with this text"));
    CHECK(strstr(report.data, "the text is the answer"));
    free(r);
    free(again);
    buf_done(&json);
    buf_done(&second);
    buf_done(&report);
}

static void check_refused(struct receipt *r, const char *why)
{
    if (receipt_verify(r, text, sizeof text - 1, NULL) != CX_INVALID || !strstr(cx_detail(), why))
        test_fail(__FILE__, __LINE__, "expected \"%s\", got \"%s\"", why, cx_detail());
}

TEST(receipt, does_not_hold_when_anything_is_changed)
{
    struct receipt *r = receipt_of_three(), *good = calloc(1, sizeof *good);
    *good = *r;
#define WITH(change, why)      \
    do {                       \
        *r = *good;            \
        change;                \
        check_refused(r, why); \
    } while (0)
    WITH(r->answer[1].record[60] ^= 1, "answers[1].record");
    WITH(r->answer[0].record[20] ^= 1, "answers[0].precommit");
    WITH(r->answer[0].salt.b[3] ^= 1, "answers[0].precommit");
    WITH(r->answer[0].lease++, "answers[0].precommit");
    WITH(r->task++, "answers[0].precommit");
    WITH(r->network_id++, "answers[0].precommit");
    WITH(r->answer[2].signature[10] ^= 1, "answers[2].signature");
    WITH(r->request_digest.b[0] ^= 1, "another request");
    WITH(r->answer[1].accepted = r->answer[2].accepted = false, "the quorum is 2");
    WITH(r->answer[0].is_answer = false, "none is the answer");
    WITH(r->answer[1].is_answer = true, "there must be one answer");
    WITH((r->redundancy = 7), "majority needs 4");
    WITH(r->answer[0].payload_digest.b[5] ^= 1, "SHA-256");
    WITH(r->verdict[0].finding = FINDING_FLAG, "audits[0].signature");
#undef WITH
    *r = *good;
    CHECK_EQ(receipt_verify(r, "another text", 12, NULL), CX_INVALID);
    free(r);
    free(good);
}

TEST(receipt, holds_beside_an_answer_that_was_rejected_for_its_reveal)
{
    struct receipt *r = receipt_of_three();
    struct buf report = {0};
    r->answer[2].accepted = false;
    r->answer[2].salt.b[0] ^= 1;
    CHECK_EQ(receipt_verify(r, text, sizeof text - 1, &report), CX_OK);
    CHECK(strstr(report.data, "answer 2: rejected; answers[2].precommit: not the hash"));
    CHECK(strstr(report.data, "2 of 3 accepted"));
    r->answer[2].accepted = true;
    check_refused(r, "answers[2].precommit");
    free(r);
    buf_done(&report);
}

TEST(receipt, is_refused_by_the_path_of_what_is_malformed)
{
    struct receipt *r = receipt_of_three();
    struct buf json = {0};
    receipt_write(r, &json);
    for (size_t size = 0; size < json.size; size += 97)
        CHECK(receipt_read(json.data, size, r) != CX_OK);
    char *lease = strstr(json.data, "\"lease\":\"100\"");
    memcpy(lease, "\"lease\":\"x00\"", 13);
    CHECK_EQ(receipt_read(json.data, json.size, r), CX_INVALID);
    CHECK(strstr(cx_detail(), "answers[0].lease"));
    free(r);
    buf_done(&json);
}

/* receipt.h - signed proof of who answered what, and its check without a network.
 *
 * Source: docs/protocol.md, "Receipts".
 */
#ifndef CORTEN_PROTO_RECEIPT_H
#define CORTEN_PROTO_RECEIPT_H

#include "base/amount.h"
#include "base/buf.h"
#include "base/err.h"
#include "core/record.h"

#define RECEIPT_ANSWERS_MAX  16
#define RECEIPT_VERDICTS_MAX 16

struct receipt_answer {
    uint64_t lease;
    struct address node, operator;
    struct hash precommit, salt, payload_digest;
    uint8_t signature[65];  // of the precommit's entry
    bool has_signature;     // false: evidence is the channel
    bool is_answer, accepted;
    uint8_t record[RECORD_SIZE_MAX];
    uint32_t record_size;
    uint64_t precommit_seq, commit_seq, price_in, price_out;
    struct amount paid;
    bool pending;  // paid once its audit has ended
};
struct receipt_verdict {
    uint64_t audit, lease, seq;
    struct address oracle;
    uint8_t finding;  // enum audit_finding
    uint32_t mismatches, score_milli;
    struct hash evidence;
    uint8_t signature[65];
};
struct receipt {
    uint64_t network_id, session, task;
    uint32_t rules_version;
    struct address payer, router;
    struct hash request_digest, prompt_digest, reference, dice;
    bool dice_from_beacon;  // false: no oracle lived
    uint8_t validation, redundancy, quorum;
    bool verdict_missing, primary_streamed;
    uint8_t model_class;  // enum node_class of the answering node
    bool model_declared;  // the manifest digest is only the operator's word
    uint64_t submit_seq, end_seq;
    struct amount charged;
    struct receipt_answer answer[RECEIPT_ANSWERS_MAX];
    uint32_t answers;
    struct receipt_verdict verdict[RECEIPT_VERDICTS_MAX];
    uint32_t verdicts;
};

void receipt_write(const struct receipt *receipt, struct buf *ret_json);
/* CX_INVALID: what is missing or malformed, by path. */
enum cx_err receipt_read(const char *json, size_t size, struct receipt *ret_receipt);
/* Recomputes the hash of each record, each precommit, each signer, and that the answer is one that was accepted under
 * the receipt's policy; where `text` is given, that it is the answer. CX_INVALID: what does not hold. Each thing that
 * was checked is added to ret_report as a line for people (may be NULL). */
enum cx_err receipt_verify(const struct receipt *receipt, const char *text, size_t text_size, struct buf *ret_report);

#endif

/* record.h - what a miner commits to: the result record, the hash chain of its stream, the precommit.
 *
 *      c(0) = H(tag, network, task, lease)      c(i) = H(c(i-1), length, bytes)        H = Keccak-256
 *      precommit = BLAKE3(tag 8, network 8, session 8, task 8, lease 8, node 20, salt 32, record)
 *
 * Big-endian and of fixed width. Rounds use the same with session 0 and the round's id for the task.
 *
 * Source: docs/protocol.md, "Result record".
 */
#ifndef CORTEN_CORE_RECORD_H
#define CORTEN_CORE_RECORD_H

#include "base/bytes.h"
#include "core/terms.h"

#define RECORD_SIZE_MAX   271  // of the field in commands
#define RECORD_EXACT_SIZE 180  // of every record in these rules

struct record {
    struct hash manifest_digest;  // SHA-256; the model's
    uint8_t engine;               // enum engine
    uint64_t seed;
    uint8_t seed_of_client;      // 0 or 1
    struct hash request_digest;  // Keccak-256 of the canonical request
    struct hash chain_head;      // c(n) after the last chunk
    struct hash text_digest;     // Keccak-256 of the whole answer text
    struct hash tokens_digest;   // Keccak-256 of the token ids, u32 each; of nothing where the engine has none
    uint8_t finish;              // enum finish
    uint32_t tokens_in, tokens_out;
};

/* Gives the size, RECORD_EXACT_SIZE, which cap must be at least. */
uint32_t record_encode(const struct record *record, uint8_t *ret_bytes, uint32_t cap);
/* False unless the bytes are exactly one record with its enums in range. */
bool record_decode(struct span bytes, struct record *ret_record);

struct precommit_terms {
    uint64_t network_id, session, task, lease;
    struct address node;
    struct hash salt;
};
void precommit_hash(const struct precommit_terms *terms, struct span record, struct hash *ret_hash);

/* The head before the first chunk; each chunk's bytes then extend it. */
void chain_start(uint64_t network_id, uint64_t task, uint64_t lease, struct hash *ret_head);
void chain_extend(struct hash *head, const void *bytes, uint32_t size);

#endif

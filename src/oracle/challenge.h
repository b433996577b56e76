/* challenge.h - what a leading oracle asks the nodes of a round.
 *
 * A greedy request of words that nobody can guess before the round starts. All of it follows from the oracle's key and
 * the round, so that an oracle that was started again asks the same.
 *
 * Source: docs/protocol.md, "Rounds".
 */
#ifndef CORTEN_ORACLE_CHALLENGE_H
#define CORTEN_ORACLE_CHALLENGE_H

#include "base/buf.h"
#include "base/err.h"
#include "crypto/key.h"

#define CHALLENGE_WORDS      12
#define CHALLENGE_TOKENS_MAX 24

struct challenge {
    struct buf request;          // canonical
    struct hash digest;          // SHA-256 of it
    struct hash request_digest;  // Keccak-256 of it
    struct hash salt;
    struct hash commitment;  // Keccak-256 of salt and digest: the round's challenge_hash
    uint32_t prompt_size, tokens_max;
};

struct challenge_terms {
    const struct key *key;
    uint64_t network, round;
    const char *model;  // its name
    uint32_t context;   // tokens that the model takes
};
enum cx_err challenge_make(const struct challenge_terms *terms, struct challenge *ret_challenge);
void challenge_done(struct challenge *challenge);

#endif

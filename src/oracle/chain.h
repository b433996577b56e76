/* chain.h - an oracle's hash chains: whose preimage the next heartbeat reveals.
 *
 *      v(0) = H("corten/o" | H("corten/k" | key) | network | index)   v(i) = H(v(i-1))   the end: v(ORACLE_CHAIN_SIZE)
 *
 * All follows from the oracle's key, so nothing is stored: where we are is found by the value that the ledger holds.
 * When a chain is nearly used up, the end of the next index is registered.
 *
 * Source: docs/protocol.md, "Randomness".
 */
#ifndef CORTEN_ORACLE_CHAIN_H
#define CORTEN_ORACLE_CHAIN_H

#include "crypto/key.h"

#define ORACLE_CHAIN_SIZE      (1u << 14)  // heartbeats: most of a day at 5 s
#define ORACLE_CHAIN_STEP      128u        // values between two that are kept
#define ORACLE_CHAIN_LOW       64u         // heartbeats left when the next chain is to be registered
#define ORACLE_CHAIN_INDEX_MAX 4096u       // chains that are searched

struct oracle_chain {
    uint64_t network, index;
    struct hash secret;                                       // of all chains of this key
    struct hash kept[ORACLE_CHAIN_SIZE / ORACLE_CHAIN_STEP];  // v(i × STEP)
    struct hash stretch[ORACLE_CHAIN_STEP];                   // v(stretch_at × STEP + i)
    uint32_t stretch_at;
    uint32_t at;  // v(at) is what the ledger holds
};

/* The end of the chain with that index: what a genesis or oracle_add holds for index 0. */
void oracle_chain_end(const struct key *key, uint64_t network, uint64_t index, struct hash *ret_end);
/* At the end of chain 0. */
void oracle_chain_init(struct oracle_chain *chain, const struct key *key, uint64_t network);
/* Moves to where v(at) is `value`, in the present chain or a later one. False: no chain of this key holds it; then
 * nothing has changed. */
bool oracle_chain_find(struct oracle_chain *chain, const struct hash *value);
/* The same, but looks no further than where the chain stands and one heartbeat behind it: costs next to nothing. */
bool oracle_chain_is_near(struct oracle_chain *chain, const struct hash *value);
/* The preimage of what the ledger holds; false: the chain is used up. */
bool oracle_chain_preimage(struct oracle_chain *chain, struct hash *ret_preimage);
uint32_t oracle_chain_left(const struct oracle_chain *chain);
/* The end of the chain behind this one: what oracle_chain registers. */
void oracle_chain_next_end(const struct oracle_chain *chain, struct hash *ret_end);

#endif

#include "oracle/chain.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "crypto/keccak.h"

#define SECRET_TAG "corten/k"
#define CHAIN_TAG  "corten/o"
#define TAG_SIZE   8

static_assert(ORACLE_CHAIN_SIZE % ORACLE_CHAIN_STEP == 0, "a chain is whole stretches");

static void make_secret(const struct key *key, struct hash *ret_secret)
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, SECRET_TAG, TAG_SIZE);
    keccak_add(&k, key_secret(key), KEY_SECRET_SIZE);
    keccak_end(&k, ret_secret);
}

static void start(const struct hash *secret, uint64_t network, uint64_t index, struct hash *ret_first)
{
    uint8_t ids[16];
    struct keccak k;
    be64_put(ids, network);
    be64_put(ids + 8, index);
    keccak_init(&k);
    keccak_add(&k, CHAIN_TAG, TAG_SIZE);
    keccak_add(&k, secret->b, sizeof secret->b);
    keccak_add(&k, ids, sizeof ids);
    keccak_end(&k, ret_first);
}

static void step(struct hash *value) { keccak256(value->b, sizeof value->b, value); }

static void end_of(const struct hash *secret, uint64_t network, uint64_t index, struct hash *ret_end)
{
    start(secret, network, index, ret_end);
    for (uint32_t i = 0; i < ORACLE_CHAIN_SIZE; i++)
        step(ret_end);
}

void oracle_chain_end(const struct key *key, uint64_t network, uint64_t index, struct hash *ret_end)
{
    struct hash secret;
    make_secret(key, &secret);
    end_of(&secret, network, index, ret_end);
}

/* Walks the chain of this index, and keeps every STEP'th value. Gives where `value` is, or SLOT_NONE; NULL: at the end.
 */
static uint32_t walk(struct oracle_chain *chain, uint64_t index, const struct hash *value)
{
    struct hash v;
    uint32_t found = SLOT_NONE;
    chain->index = index;
    chain->stretch_at = SLOT_NONE;
    start(&chain->secret, chain->network, index, &v);
    for (uint32_t i = 0; i < ORACLE_CHAIN_SIZE; i++) {
        if (i % ORACLE_CHAIN_STEP == 0)
            chain->kept[i / ORACLE_CHAIN_STEP] = v;
        if (value && hash_eq(&v, value))
            found = i;
        step(&v);
    }
    return !value || hash_eq(&v, value) ? ORACLE_CHAIN_SIZE : found;
}

void oracle_chain_init(struct oracle_chain *chain, const struct key *key, uint64_t network)
{
    memset(chain, 0, sizeof *chain);
    chain->network = network;
    make_secret(key, &chain->secret);
    chain->at = walk(chain, 0, NULL);
}

/* v(i) of the present chain, i < SIZE. */
static const struct hash *value_at(struct oracle_chain *chain, uint32_t i)
{
    uint32_t at = i / ORACLE_CHAIN_STEP;
    cx_assert(i < ORACLE_CHAIN_SIZE);
    if (chain->stretch_at != at) {
        chain->stretch_at = at;
        chain->stretch[0] = chain->kept[at];
        for (uint32_t s = 1; s < ORACLE_CHAIN_STEP; s++) {
            chain->stretch[s] = chain->stretch[s - 1];
            step(&chain->stretch[s]);
        }
    }
    return &chain->stretch[i % ORACLE_CHAIN_STEP];
}

bool oracle_chain_is_near(struct oracle_chain *chain, const struct hash *value)
{
    struct hash present;
    if (chain->at == 0)
        return hash_eq(value_at(chain, 0), value);
    struct hash before = *value_at(chain, chain->at - 1);
    present = before;
    step(&present);
    if (hash_eq(&present, value))
        return true;
    if (!hash_eq(&before, value))
        return false;
    chain->at--;
    return true;
}

/* In the present chain, from its end: a chain is used from there, so that most oracles are near it. */
static bool find_in_present(struct oracle_chain *chain, const struct hash *value)
{
    struct hash end = *value_at(chain, ORACLE_CHAIN_SIZE - 1);
    step(&end);
    uint32_t at = ORACLE_CHAIN_SIZE;
    bool found = hash_eq(&end, value);
    while (!found && at > 0)
        found = hash_eq(value_at(chain, --at), value);
    if (found)
        chain->at = at;
    return found;
}

bool oracle_chain_find(struct oracle_chain *chain, const struct hash *value)
{
    if (oracle_chain_is_near(chain, value) || find_in_present(chain, value))
        return true;
    struct oracle_chain search = *chain;
    for (uint64_t index = chain->index + 1; index < ORACLE_CHAIN_INDEX_MAX; index++) {
        search.at = walk(&search, index, value);
        if (search.at == SLOT_NONE)
            continue;
        *chain = search;
        return true;
    }
    return false;
}

bool oracle_chain_preimage(struct oracle_chain *chain, struct hash *ret_preimage)
{
    if (chain->at == 0)
        return false;
    *ret_preimage = *value_at(chain, chain->at - 1);
    return true;
}

uint32_t oracle_chain_left(const struct oracle_chain *chain) { return chain->at; }

void oracle_chain_next_end(const struct oracle_chain *chain, struct hash *ret_end)
{
    end_of(&chain->secret, chain->network, chain->index + 1, ret_end);
}

#include "proto/link.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "crypto/keccak.h"
#include "proto/link_parts.h"

#define HELLO_TAG "corten/h"
#define MAC_TAG   "corten/e"
#define TAG_SIZE  8

const char *link_type_name(enum link_type type)
{
    static const char *const name[LINK_TYPE_COUNT] = {
#define X(name, NAME, way) #name,
        LINK_TYPES(X)
#undef X
    };
    cx_assert(type < LINK_TYPE_COUNT);
    return name[type];
}

enum link_way link_type_way(enum link_type type)
{
    static const enum link_way way_of[LINK_TYPE_COUNT] = {
#define X(name, NAME, way) LINK_##way,
        LINK_TYPES(X)
#undef X
    };
    cx_assert(type < LINK_TYPE_COUNT);
    return way_of[type];
}

bool link_protocol_is_binary(const char *protocol)
{
    return strcmp(protocol, LINK_PROTOCOL_MINER_BINARY) == 0 || strcmp(protocol, LINK_PROTOCOL_ORACLE_BINARY) == 0;
}

/* ---- a frame's memory ---- */

struct link_memory {
    struct link_memory *next;
    uint64_t bytes[];  // of any alignment
};

void *link_memory(struct link_frame *frame, size_t size)
{
    struct link_memory *memory = calloc(1, sizeof *memory + size);
    cx_assert(memory);
    memory->next = frame->memory;
    frame->memory = memory;
    return memory->bytes;
}

void link_frame_done(struct link_frame *frame)
{
    json_decref(frame->document);
    frame->document = NULL;
    while (frame->memory) {
        struct link_memory *memory = frame->memory;
        frame->memory = memory->next;
        free(memory);
    }
}

/* ---- the hello ---- */

void link_hello_digest(const struct link_hello_terms *terms, struct hash *ret_digest)
{
    uint8_t network[8];
    struct keccak k;
    be64_put(network, terms->network);
    keccak_init(&k);
    keccak_add(&k, HELLO_TAG, TAG_SIZE);
    keccak_add(&k, network, sizeof network);
    keccak_add(&k, terms->router.b, sizeof terms->router.b);
    keccak_add(&k, terms->nonce.b, sizeof terms->nonce.b);
    keccak_add(&k, terms->node.b, sizeof terms->node.b);
    keccak_add(&k, terms->router_exchange.b, sizeof terms->router_exchange.b);
    keccak_add(&k, terms->node_exchange.b, sizeof terms->node_exchange.b);
    keccak_end(&k, ret_digest);
}

void link_hello_sign(const struct link_hello_terms *terms, const struct key *key, uint8_t ret_signature[SIGNATURE_SIZE])
{
    struct hash digest;
    link_hello_digest(terms, &digest);
    key_sign(key, &digest, ret_signature);
}

enum cx_err link_hello_check(const struct link_hello_terms *terms, const uint8_t signature[SIGNATURE_SIZE])
{
    struct hash digest;
    struct address signer;
    link_hello_digest(terms, &digest);
    if (key_recover(&digest, signature, &signer) || !address_eq(&signer, &terms->node))
        return cx_fail(CX_DENIED, "signature: not the node's over this challenge");
    return CX_OK;
}

/* ---- the precommit's MAC ---- */

void link_precommit_mac(const struct mac_key *key, const struct link_precommit *precommit, struct hash *ret_mac)
{
    uint8_t said[TAG_SIZE + 8 + sizeof precommit->precommit.b];
    memcpy(said, MAC_TAG, TAG_SIZE);
    be64_put(said + TAG_SIZE, precommit->lease);
    memcpy(said + TAG_SIZE + 8, precommit->precommit.b, sizeof precommit->precommit.b);
    mac_make(key, said, sizeof said, ret_mac);
}

enum cx_err link_precommit_check(const struct mac_key *key, const struct link_precommit *precommit)
{
    struct hash right;
    if (!precommit->has_mac)
        return cx_fail(CX_DENIED, "mac: missing; where evidence is the channel a precommit carries the link's MAC");
    link_precommit_mac(key, precommit, &right);
    if (!mac_equal(right.b, precommit->mac.b, sizeof right.b))
        return cx_fail(CX_DENIED, "mac: not this link's over lease %" PRIu64 " and its precommit", precommit->lease);
    return CX_OK;
}

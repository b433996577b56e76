#include "crypto/eip712.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"

#define WORD_SIZE 32  // EIP-712, encodeData: each field is one word

static void add_word(struct eip712 *e, const uint8_t word[WORD_SIZE]) { keccak_add(&e->keccak, word, WORD_SIZE); }

void eip712_type_hash(const char *type, size_t size, struct hash *ret_type_hash)
{
    cx_assert(size > 0);
    keccak256(type, size, ret_type_hash);
}

void eip712_begin_array(struct eip712 *e) { keccak_init(&e->keccak); }

void eip712_begin_hashed(struct eip712 *e, const struct hash *type_hash)
{
    keccak_init(&e->keccak);
    add_word(e, type_hash->b);
}

void eip712_begin(struct eip712 *e, const char *type, size_t size)
{
    struct hash type_hash;
    eip712_type_hash(type, size, &type_hash);
    eip712_begin_hashed(e, &type_hash);
}

void eip712_uint(struct eip712 *e, uint64_t value)
{
    uint8_t word[WORD_SIZE] = {0};
    be64_put(word + WORD_SIZE - 8, value);
    add_word(e, word);
}

void eip712_bool(struct eip712 *e, bool value) { eip712_uint(e, value); }

void eip712_address(struct eip712 *e, const struct address *value)
{
    uint8_t word[WORD_SIZE] = {0};
    memcpy(word + WORD_SIZE - sizeof value->b, value->b, sizeof value->b);
    add_word(e, word);
}

void eip712_bytes32(struct eip712 *e, const struct hash *value) { add_word(e, value->b); }

void eip712_bytes_fixed(struct eip712 *e, const void *data, uint32_t size)
{
    cx_assert(size > 0);
    cx_assert(size <= WORD_SIZE);
    uint8_t word[WORD_SIZE] = {0};
    memcpy(word, data, size);
    add_word(e, word);
}

void eip712_bytes(struct eip712 *e, const void *data, size_t size)
{
    struct hash hash;
    keccak256(data, size, &hash);
    add_word(e, hash.b);
}

void eip712_string(struct eip712 *e, const char *text, size_t size) { eip712_bytes(e, text, size); }

void eip712_end(struct eip712 *e, struct hash *ret_struct_hash) { keccak_end(&e->keccak, ret_struct_hash); }

void eip712_domain(uint64_t network, struct hash *ret_domain)
{
    static const char type[] = "EIP712Domain(string name,string version,uint256 chainId)";
    struct eip712 e;
    eip712_begin(&e, type, sizeof type - 1);
    eip712_string(&e, EIP712_DOMAIN_NAME, sizeof EIP712_DOMAIN_NAME - 1);
    eip712_string(&e, EIP712_DOMAIN_VERSION, sizeof EIP712_DOMAIN_VERSION - 1);
    eip712_uint(&e, network);
    eip712_end(&e, ret_domain);
}

void eip712_digest(const struct hash *domain, const struct hash *struct_hash, struct hash *ret_digest)
{
    /* 0x19 is no start of an Ethereum transaction; 0x01 says: structured data (EIP-191). */
    static const uint8_t prefix[2] = {0x19, 0x01};
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, prefix, sizeof prefix);
    keccak_add(&k, domain->b, sizeof domain->b);
    keccak_add(&k, struct_hash->b, sizeof struct_hash->b);
    keccak_end(&k, ret_digest);
}

/* eip712.h - typed messages that wallets can show and sign and contracts can check (EIP-712). Freestanding.
 *
 *      struct eip712 e;
 *      eip712_begin(&e, type, strlen(type));   // "Ack(uint64 lease,bytes32 result)"
 *      eip712_uint(&e, lease);           // one call a field, in the order of the type
 *      eip712_bytes32(&e, &result);
 *      eip712_end(&e, &struct_hash);
 *      eip712_digest(&domain, &struct_hash, &digest);   // what is signed
 *
 * Fields of a struct type: its own hash by eip712_bytes32. An array: eip712_begin_array, one call an
 * element, eip712_end, and that hash by eip712_bytes32.
 */
#ifndef CORTEN_CRYPTO_EIP712_H
#define CORTEN_CRYPTO_EIP712_H

#include "crypto/keccak.h"

#define EIP712_DOMAIN_NAME    "Corten"
#define EIP712_DOMAIN_VERSION "1"

struct eip712 {
    struct keccak keccak;
};

/* The domain {name "Corten", version "1", chainId = network}: no signature counts on another network. */
void eip712_domain(uint64_t network, struct hash *ret_domain);

/* type: the struct's name and fields in parentheses, then the types it uses, by name (EIP-712, encodeType). */
void eip712_type_hash(const char *type, size_t size, struct hash *ret_type_hash);
void eip712_begin(struct eip712 *e, const char *type, size_t size);
/* The same with a type hash kept from before: saves a block for each message. */
void eip712_begin_hashed(struct eip712 *e, const struct hash *type_hash);
void eip712_begin_array(struct eip712 *e);

void eip712_uint(struct eip712 *e, uint64_t value);  // uint8 .. uint256
void eip712_bool(struct eip712 *e, bool value);
void eip712_address(struct eip712 *e, const struct address *value);
void eip712_bytes32(struct eip712 *e, const struct hash *value);
/* bytes1 .. bytes32: size 1..32. */
void eip712_bytes_fixed(struct eip712 *e, const void *data, uint32_t size);
void eip712_bytes(struct eip712 *e, const void *data, size_t size);
void eip712_string(struct eip712 *e, const char *text, size_t size);
void eip712_end(struct eip712 *e, struct hash *ret_struct_hash);

void eip712_digest(const struct hash *domain, const struct hash *struct_hash, struct hash *ret_digest);

#endif

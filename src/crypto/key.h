/* key.h - secp256k1 keys, and signatures that name their signer.
 *
 * A signature is r (32 bytes), s (32 bytes), v (1 byte: 27 or 28), as wallets and contracts have it. The
 * nonce is RFC 6979's, so that the same key and digest give the same bytes; s is in the lower half of
 * the group (EIP-2), so that nobody can make a second signature out of one.
 *
 * Every function may be called from any thread; one key may sign on several at once.
 */
#ifndef CORTEN_CRYPTO_KEY_H
#define CORTEN_CRYPTO_KEY_H

#include "base/err.h"
#include "base/types.h"

#define KEY_SECRET_SIZE 32
#define SIGNATURE_SIZE  65

/* A secret and its address, in memory that is not swapped or dumped and is wiped by key_close. */
struct key;

enum cx_err key_generate(struct key **ret_key);
/* INVALID: zero, or not below the order of the group. The caller wipes its own copy of the secret. */
enum cx_err key_from_bytes(const uint8_t secret[KEY_SECRET_SIZE], struct key **ret_key);
void key_close(struct key *key);
CX_CLOSER(key)

const struct address *key_address(const struct key *key);
/* For files and exports alone: it lives as long as the key does. */
const uint8_t *key_secret(const struct key *key);

void key_sign(const struct key *key, const struct hash *digest, uint8_t ret_sig[SIGNATURE_SIZE]);
/* Who signed the digest. INVALID: v is not 27 or 28, s is in the upper half, r or s is out of range, or
 * no key can have made this. */
enum cx_err key_recover(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE], struct address *ret_signer);

#endif

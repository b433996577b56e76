#include "crypto/mac.h"

#include <sodium.h>

#include "base/assert.h"
#include "crypto/ready.h"

static_assert(sizeof(struct mac_key) == crypto_generichash_KEYBYTES, "the size that libsodium recommends");
static_assert(sizeof(struct hash) == crypto_generichash_BYTES, "BLAKE2b-256");

void mac_key_generate(struct mac_key *ret_key)
{
    crypto_ready();
    randombytes_buf(ret_key->b, sizeof ret_key->b);
}

void mac_key_wipe(struct mac_key *key) { sodium_memzero(key, sizeof *key); }

void mac_make(const struct mac_key *key, const void *data, size_t size, struct hash *ret_mac)
{
    crypto_ready();
    int failed = crypto_generichash(ret_mac->b, sizeof ret_mac->b, data, size, key->b, sizeof key->b);
    cx_assert(failed == 0);  // it refuses only sizes, and these are right
}

bool mac_fits(const struct mac_key *key, const void *data, size_t size, const struct hash *mac)
{
    struct hash right;
    mac_make(key, data, size, &right);
    return mac_equal(right.b, mac->b, sizeof right.b);
}

bool mac_equal(const void *a, const void *b, size_t size) { return sodium_memcmp(a, b, size) == 0; }

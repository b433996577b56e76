#include "crypto/key.h"

#include <pthread.h>
#include <secp256k1.h>
#include <secp256k1_recovery.h>
#include <sodium.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/keccak.h"
#include "crypto/ready.h"

#define V_BASE           27  // Bitcoin's, kept by Ethereum: v = 27 + the parity of the nonce's point
#define PUBLIC_KEY_SIZE  65  // 0x04, x, y
#define SCALAR_SIZE      32
#define GENERATE_TRY_MAX 8  // one try in 2^128 fails

struct key {
    uint8_t secret[KEY_SECRET_SIZE];
    struct address address;
};

static secp256k1_context *context;

/* Made once, blinded against listening to the processor, and only read from then on: any thread may use it. */
static void make_context(void)
{
    crypto_ready();
    context = secp256k1_context_create(SECP256K1_CONTEXT_SIGN | SECP256K1_CONTEXT_VERIFY);
    cx_assert(context);
    uint8_t seed[32];
    randombytes_buf(seed, sizeof seed);
    int ok = secp256k1_context_randomize(context, seed);
    cx_assert(ok == 1);
    sodium_memzero(seed, sizeof seed);
}

static const secp256k1_context *the_context(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_context);
    return context;
}

static void address_of(const secp256k1_pubkey *public, struct address *ret_address)
{
    uint8_t bytes[PUBLIC_KEY_SIZE];
    size_t size = sizeof bytes;
    secp256k1_ec_pubkey_serialize(the_context(), bytes, &size, public, SECP256K1_EC_UNCOMPRESSED);
    cx_assert(size == sizeof bytes);
    struct hash hash;
    keccak256(bytes + 1, sizeof bytes - 1, &hash);
    memcpy(ret_address->b, hash.b + sizeof hash.b - sizeof ret_address->b, sizeof ret_address->b);
}

enum cx_err key_from_bytes(const uint8_t secret[KEY_SECRET_SIZE], struct key **ret_key)
{
    secp256k1_pubkey public;
    if (!secp256k1_ec_pubkey_create(the_context(), &public, secret))
        return cx_fail(CX_INVALID, "these 32 bytes are no secp256k1 key: zero, or not below the group's order");
    struct key *key = sodium_malloc(sizeof *key);
    if (!key)
        return cx_fail(CX_MEMORY, "no locked memory for a key");
    memcpy(key->secret, secret, sizeof key->secret);
    address_of(&public, &key->address);
    sodium_mprotect_readonly(key);
    *ret_key = key;
    return CX_OK;
}

enum cx_err key_generate(struct key **ret_key)
{
    uint8_t secret[KEY_SECRET_SIZE];
    enum cx_err err = CX_INVALID;
    crypto_ready();
    for (int i = 0; i < GENERATE_TRY_MAX && err == CX_INVALID; i++) {
        randombytes_buf(secret, sizeof secret);
        err = key_from_bytes(secret, ret_key);
    }
    sodium_memzero(secret, sizeof secret);
    return err;
}

void key_close(struct key *key)
{
    sodium_free(key);  // wipes it first, and takes NULL
}

const struct address *key_address(const struct key *key) { return &key->address; }
const uint8_t *key_secret(const struct key *key) { return key->secret; }

void key_sign(const struct key *key, const struct hash *digest, uint8_t ret_sig[SIGNATURE_SIZE])
{
    secp256k1_ecdsa_recoverable_signature sig;
    int parity;
    /* Without a nonce function of ours it is RFC 6979's; the library gives s in its lower half. */
    int ok = secp256k1_ecdsa_sign_recoverable(the_context(), &sig, digest->b, key->secret, NULL, NULL);
    cx_assert(ok == 1);
    secp256k1_ecdsa_recoverable_signature_serialize_compact(the_context(), ret_sig, &parity, &sig);
    cx_assert(parity == 0 || parity == 1);  // 2 and 3 mean r passed the group's order: once in 2^127
    ret_sig[SIGNATURE_SIZE - 1] = (uint8_t)(V_BASE + parity);
}

/* EIP-2: s at most half the group's order, or else (r, n - s, other v) would say the same. */
static bool s_is_low(const uint8_t s[SCALAR_SIZE])
{
    static const uint8_t half_order[SCALAR_SIZE] = {
        0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
    };
    return memcmp(s, half_order, SCALAR_SIZE) <= 0;
}

enum cx_err key_recover(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE], struct address *ret_signer)
{
    int v = sig[SIGNATURE_SIZE - 1];
    if (v != V_BASE && v != V_BASE + 1)
        return cx_fail(CX_INVALID, "signature: v is %d, not 27 or 28", v);
    if (!s_is_low(sig + SCALAR_SIZE))
        return cx_fail(CX_INVALID, "signature: s is in the upper half; the signer must send n - s and the other v");
    secp256k1_ecdsa_recoverable_signature parsed;
    if (!secp256k1_ecdsa_recoverable_signature_parse_compact(the_context(), &parsed, sig, v - V_BASE))
        return cx_fail(CX_INVALID, "signature: r or s is not below the group's order");
    secp256k1_pubkey public;
    if (!secp256k1_ecdsa_recover(the_context(), &public, &parsed, digest->b))
        return cx_fail(CX_INVALID, "signature: no key can have made it");
    address_of(&public, ret_signer);
    return CX_OK;
}

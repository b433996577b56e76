/* What costs much and is not what is tried here. The linker calls these in place of the functions (--wrap), and they
 * ask the functions themselves where they do not know.
 *
 * Chains of oracles, hashes of short texts, and who made a signature, depend on nothing but the arguments: computed
 * once, and remembered. In most seeds signatures themselves are *sealed*: the signer's address and a keyed hash of it
 * and the digest, which only this program can make; any other bytes are judged as the signatures that they may be. So
 * are public halves of exchanges: two that are sealed agree on a keyed hash of both. One seed in REAL_SEEDS has real
 * ones throughout.
 */
#include <sodium.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/exchange.h"
#include "crypto/keccak.h"
#include "crypto/key.h"
#include "oracle/chain.h"
#include "sim/sim.h"

#define SIGNATURES (1u << 14)  // remembered; a power of two
#define CHAINS     16u
#define HASHES     (1u << 12)  // remembered; a power of two
#define TEXT_MAX   256u        // bytes of a text whose hash is remembered
#define REAL_SEEDS 8u
#define SEAL_V     27

struct signature {
    struct hash digest;
    uint8_t sig[SIGNATURE_SIZE];
    bool known;
    struct address signer;
};

void __real_key_sign(const struct key *key, const struct hash *digest, uint8_t ret_sig[SIGNATURE_SIZE]);
enum cx_err __real_key_recover(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE],
                               struct address *ret_signer);
void __real_oracle_chain_init(struct oracle_chain *chain, const struct key *key, uint64_t network);
void __real_keccak256(const void *data, size_t size, struct hash *ret_hash);
void __real_exchange_offer_generate(struct exchange_offer *ret_offer);
enum cx_err __real_exchange_agree(const struct exchange_offer *own, enum exchange_side side,
                                  const struct exchange_public *other, struct mac_key *ret_key);
void __wrap_key_sign(const struct key *key, const struct hash *digest, uint8_t ret_sig[SIGNATURE_SIZE]);
enum cx_err __wrap_key_recover(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE],
                               struct address *ret_signer);
void __wrap_oracle_chain_init(struct oracle_chain *chain, const struct key *key, uint64_t network);
void __real_eip712_domain(uint64_t network, struct hash *ret_domain);
void __wrap_keccak256(const void *data, size_t size, struct hash *ret_hash);
void __wrap_eip712_domain(uint64_t network, struct hash *ret_domain);
void __wrap_exchange_offer_generate(struct exchange_offer *ret_offer);
enum cx_err __wrap_exchange_agree(const struct exchange_offer *own, enum exchange_side side,
                                  const struct exchange_public *other, struct mac_key *ret_key);

/* ---- signatures ---- */

static struct signature *place_of(const struct hash *digest, const uint8_t *sig)
{
    static struct signature signatures[SIGNATURES];
    uint32_t a, b;
    memcpy(&a, digest->b, sizeof a);
    memcpy(&b, sig, sizeof b);
    return &signatures[(a ^ b) % SIGNATURES];
}

static void remember(struct signature *s, const struct hash *digest, const uint8_t *sig, const struct address *signer)
{
    s->digest = *digest;
    memcpy(s->sig, sig, sizeof s->sig);
    s->signer = *signer;
    s->known = true;
}

static bool is_sealed(void)
{
    const struct sim *sim = sim_world();
    return sim && sim->swarm.seed % REAL_SEEDS != 0;
}

static void seal(const struct hash *digest, const struct address *signer, uint8_t ret_sig[SIGNATURE_SIZE])
{
    static const uint8_t secret[2][crypto_shorthash_KEYBYTES] = {{1}, {2}};
    uint8_t text[sizeof *digest + sizeof *signer];
    memcpy(text, digest, sizeof *digest);
    memcpy(text + sizeof *digest, signer, sizeof *signer);
    memset(ret_sig, 0, SIGNATURE_SIZE);
    memcpy(ret_sig, signer, sizeof *signer);
    crypto_shorthash(ret_sig + 24, text, sizeof text, secret[0]);
    crypto_shorthash(ret_sig + 56, text, sizeof text, secret[1]);
    ret_sig[SIGNATURE_SIZE - 1] = SEAL_V;
}

static bool is_seal(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE], struct address *ret_signer)
{
    struct address signer;
    uint8_t sealed[SIGNATURE_SIZE];
    memcpy(&signer, sig, sizeof signer);
    seal(digest, &signer, sealed);
    if (memcmp(sealed, sig, sizeof sealed) != 0)
        return false;
    *ret_signer = signer;
    return true;
}

/* Who recovers a signature will find whose it is. */
void __wrap_key_sign(const struct key *key, const struct hash *digest, uint8_t ret_sig[SIGNATURE_SIZE])
{
    if (is_sealed()) {
        seal(digest, key_address(key), ret_sig);
        return;
    }
    __real_key_sign(key, digest, ret_sig);
    remember(place_of(digest, ret_sig), digest, ret_sig, key_address(key));
}

enum cx_err __wrap_key_recover(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE], struct address *ret_signer)
{
    if (is_sealed() && is_seal(digest, sig, ret_signer))
        return CX_OK;
    struct signature *s = place_of(digest, sig);
    if (s->known && hash_eq(&s->digest, digest) && memcmp(s->sig, sig, sizeof s->sig) == 0) {
        *ret_signer = s->signer;
        return CX_OK;
    }
    enum cx_err err = __real_key_recover(digest, sig, ret_signer);
    if (!err)
        remember(s, digest, sig, ret_signer);
    return err;
}

/* ---- exchanges ---- */

#define SEALED_SIZE 24  // bytes of a public half; the seal is behind them

static_assert(SEALED_SIZE + crypto_shorthash_BYTES == sizeof(struct exchange_public), "nothing is left over");

static void seal_public(const uint8_t *half, uint8_t ret_seal[crypto_shorthash_BYTES])
{
    static const uint8_t secret[crypto_shorthash_KEYBYTES] = {3};
    crypto_shorthash(ret_seal, half, SEALED_SIZE, secret);
}

static bool is_sealed_public(const struct exchange_public *public)
{
    uint8_t seal[crypto_shorthash_BYTES];
    seal_public(public->b, seal);
    return memcmp(seal, public->b + SEALED_SIZE, sizeof seal) == 0;
}

void __wrap_exchange_offer_generate(struct exchange_offer *ret_offer)
{
    if (!is_sealed()) {
        __real_exchange_offer_generate(ret_offer);
        return;
    }
    randombytes_buf(ret_offer->secret, sizeof ret_offer->secret);
    crypto_generichash(ret_offer->public.b, SEALED_SIZE, ret_offer->secret, sizeof ret_offer->secret, NULL, 0);
    seal_public(ret_offer->public.b, ret_offer->public.b + SEALED_SIZE);
}

enum cx_err __wrap_exchange_agree(const struct exchange_offer *own, enum exchange_side side,
                                  const struct exchange_public *other, struct mac_key *ret_key)
{
    static const uint8_t secret[crypto_generichash_KEYBYTES] = {4};
    if (!is_sealed_public(&own->public) || !is_sealed_public(other))
        return __real_exchange_agree(own, side, other, ret_key);
    struct exchange_public both[2] = {own->public, *other};
    if (side == EXCHANGE_CALLER)
        both[0] = *other, both[1] = own->public;
    crypto_generichash(ret_key->b, sizeof ret_key->b, both[0].b, sizeof both, secret, sizeof secret);
    return CX_OK;
}

/* ---- hashes ---- */

/* Texts that are hashed again and again: names of types, domains, addresses, values of chains, entries that each
 * replica reads. */
void __wrap_keccak256(const void *data, size_t size, struct hash *ret_hash)
{
    static struct {
        struct hash hash;
        uint32_t size;  // 0: nothing
        uint8_t text[TEXT_MAX];
    } known[HASHES];
    uint64_t first, last;
    if (size < sizeof first || size > TEXT_MAX) {
        __real_keccak256(data, size, ret_hash);
        return;
    }
    memcpy(&first, data, sizeof first);
    memcpy(&last, (const uint8_t *)data + size - sizeof last, sizeof last);
    uint32_t at = (uint32_t)((first ^ last * 3 ^ size) * 0x9e3779b97f4a7c15u >> 40) % HASHES;
    if (known[at].size != size || memcmp(known[at].text, data, size) != 0) {
        known[at].size = (uint32_t)size;
        memcpy(known[at].text, data, size);  // before the result, which may be where the text is
        __real_keccak256(data, size, &known[at].hash);
    }
    *ret_hash = known[at].hash;
}

/* There is one network. */
void __wrap_eip712_domain(uint64_t network, struct hash *ret_domain)
{
    static struct hash domain;
    static uint64_t known;  // network; 0: none
    if (known != network)
        __real_eip712_domain(network, &domain);
    known = network;
    *ret_domain = domain;
}

/* ---- chains ---- */

void __wrap_oracle_chain_init(struct oracle_chain *chain, const struct key *key, uint64_t network)
{
    static struct {
        struct oracle_chain chain;
        struct address key;
        uint64_t network;
    } known[CHAINS];
    static uint32_t count;
    for (uint32_t i = 0; i < count; i++)
        if (known[i].network == network && address_eq(&known[i].key, key_address(key))) {
            *chain = known[i].chain;
            return;
        }
    __real_oracle_chain_init(chain, key, network);
    if (count == CHAINS)
        return;
    known[count].chain = *chain;
    known[count].key = *key_address(key);
    known[count++].network = network;
}

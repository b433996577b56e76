/* What costs much and is not what is tried here. The linker calls these in place of the functions (--wrap), and they
 * ask the functions themselves where they do not know.
 *
 * Chains of oracles, and who made a signature, depend on nothing but the arguments: computed once, and remembered. In
 * most seeds signatures themselves are *sealed*: the signer's address and a keyed hash of it and the digest, which only
 * this program can make; any other bytes are judged as the signatures that they may be. One seed in REAL_SEEDS has real
 * ones throughout.
 */
#include <sodium.h>
#include <string.h>

#include "crypto/key.h"
#include "oracle/chain.h"
#include "sim/sim.h"

#define SIGNATURES (1u << 14)  // remembered; a power of two
#define CHAINS     16u
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
void __wrap_key_sign(const struct key *key, const struct hash *digest, uint8_t ret_sig[SIGNATURE_SIZE]);
enum cx_err __wrap_key_recover(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE],
                               struct address *ret_signer);
void __wrap_oracle_chain_init(struct oracle_chain *chain, const struct key *key, uint64_t network);

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

/* What costs much, depends on nothing but its arguments, and is asked again and again: computed once, and remembered.
 * The linker calls these in place of the functions (--wrap), and they ask the functions themselves what they do not
 * know. A hit and a miss differ in time alone.
 */
#include <string.h>

#include "crypto/key.h"
#include "oracle/chain.h"

#define SIGNATURES (1u << 14)  // remembered; a power of two
#define CHAINS     16u

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

/* Who recovers a signature will find whose it is. */
void __wrap_key_sign(const struct key *key, const struct hash *digest, uint8_t ret_sig[SIGNATURE_SIZE])
{
    __real_key_sign(key, digest, ret_sig);
    remember(place_of(digest, ret_sig), digest, ret_sig, key_address(key));
}

enum cx_err __wrap_key_recover(const struct hash *digest, const uint8_t sig[SIGNATURE_SIZE], struct address *ret_signer)
{
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

#include "crypto/exchange.h"

#include <sodium.h>

#include "base/assert.h"
#include "crypto/ready.h"

static_assert(sizeof(struct exchange_public) == crypto_kx_PUBLICKEYBYTES, "X25519");
static_assert(sizeof((struct exchange_offer){0}.secret) == crypto_kx_SECRETKEYBYTES, "X25519");
static_assert(sizeof(struct mac_key) == crypto_kx_SESSIONKEYBYTES, "one key of an exchange is a MAC's");

void exchange_offer_generate(struct exchange_offer *ret_offer)
{
    crypto_ready();
    int failed = crypto_kx_keypair(ret_offer->public.b, ret_offer->secret);
    cx_assert(failed == 0);  // it cannot
}

void exchange_offer_wipe(struct exchange_offer *offer) { sodium_memzero(offer, sizeof *offer); }

enum cx_err exchange_agree(const struct exchange_offer *own, enum exchange_side side,
                           const struct exchange_public *other, struct mac_key *ret_key)
{
    struct mac_key back;  // for what the called says to the caller: nobody needs it
    crypto_ready();
    int failed = side == EXCHANGE_CALLED
                     ? crypto_kx_server_session_keys(ret_key->b, back.b, own->public.b, own->secret, other->b)
                     : crypto_kx_client_session_keys(back.b, ret_key->b, own->public.b, own->secret, other->b);
    mac_key_wipe(&back);
    return failed ? cx_fail(CX_INVALID, "exchange: not a public key of X25519") : CX_OK;
}

/* exchange.h - two ends that speak in the open agree on a key that nobody else has: X25519, by libsodium's crypto_kx.
 *
 *      offer_a, offer_b    each end's own, new for each connection; the public halves are exchanged
 *      exchange_agree      the same struct mac_key at both ends
 *
 * It proves nothing about who the other end is: whoever needs that has the public halves signed.
 */
#ifndef CORTEN_CRYPTO_EXCHANGE_H
#define CORTEN_CRYPTO_EXCHANGE_H

#include "base/err.h"
#include "crypto/mac.h"

struct exchange_public {
    uint8_t b[32];
};
struct exchange_offer {
    struct exchange_public public;
    uint8_t secret[32];
};
enum exchange_side { EXCHANGE_CALLED, EXCHANGE_CALLER };  // who was connected to, and who connected

void exchange_offer_generate(struct exchange_offer *ret_offer);
void exchange_offer_wipe(struct exchange_offer *offer);
/* The key for what the caller says to the called. INVALID: the other's half is no point that could hide anything. */
enum cx_err exchange_agree(const struct exchange_offer *own, enum exchange_side side,
                           const struct exchange_public *other, struct mac_key *ret_key);

#endif

/* mac.h - keyed BLAKE2b-256: what two ends of a link say to each other in place of signatures, where a
 * session chose `evidence: channel`. */
#ifndef CORTEN_CRYPTO_MAC_H
#define CORTEN_CRYPTO_MAC_H

#include "base/types.h"

struct mac_key {
    uint8_t b[32];
};

void mac_key_generate(struct mac_key *ret_key);
void mac_key_wipe(struct mac_key *key);

void mac_make(const struct mac_key *key, const void *data, size_t size, struct hash *ret_mac);
/* In constant time. */
bool mac_fits(const struct mac_key *key, const void *data, size_t size, const struct hash *mac);
/* Compares secrets of equal size (tokens, MACs) in a time that does not tell where they differ. */
bool mac_equal(const void *a, const void *b, size_t size);

#endif

/* sha256.h - SHA-256, for what the world names by it: CIDs, model manifests. What Corten itself signs or
 * chains is Keccak-256. */
#ifndef CORTEN_CRYPTO_SHA256_H
#define CORTEN_CRYPTO_SHA256_H

#include "base/types.h"

struct sha256 {
    struct evp_md_ctx_st *ctx;
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *data, size_t size);
/* Gives the hash and releases what sha256_init took. */
void sha256_end(struct sha256 *s, struct hash *ret_hash);
/* Releases without a hash; after sha256_end it does nothing. */
void sha256_done(struct sha256 *s);
void sha256(const void *data, size_t size, struct hash *ret_hash);

#endif

#include "crypto/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>

#include "base/assert.h"

/* OpenSSL rather than libsodium, because it uses the processor's own SHA-256 where there is one: payloads
 * are named on the way of every prompt. The algorithm is looked up once, for that costs more than a block. */
static EVP_MD *algorithm;

static void look_up(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    cx_assert(algorithm);  // part of OpenSSL's default provider
}

void sha256_init(struct sha256 *s)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look_up);
    s->ctx = EVP_MD_CTX_new();
    cx_assert(s->ctx);
    int ok = EVP_DigestInit_ex2(s->ctx, algorithm, NULL);
    cx_assert(ok == 1);
}

void sha256_add(struct sha256 *s, const void *data, size_t size)
{
    cx_assert(s->ctx);
    int ok = EVP_DigestUpdate(s->ctx, data, size);
    cx_assert(ok == 1);
}

void sha256_end(struct sha256 *s, struct hash *ret_hash)
{
    cx_assert(s->ctx);
    int ok = EVP_DigestFinal_ex(s->ctx, ret_hash->b, NULL);
    cx_assert(ok == 1);
    sha256_done(s);
}

void sha256_done(struct sha256 *s)
{
    EVP_MD_CTX_free(s->ctx);
    s->ctx = NULL;
}

void sha256(const void *data, size_t size, struct hash *ret_hash)
{
    struct sha256 s;
    sha256_init(&s);
    sha256_add(&s, data, size);
    sha256_end(&s, ret_hash);
}

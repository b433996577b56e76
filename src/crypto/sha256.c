#include "crypto/sha256.h"

#include <openssl/evp.h>
#include <pthread.h>

#include "base/assert.h"

/* OpenSSL rather than libsodium, because it uses the processor's own SHA-256 where there is one: payloads
 * are named on the way of every prompt. The algorithm is looked up once, for that costs more than a block. */
static EVP_MD *algorithm;
static pthread_key_t of_thread;  // its context, for what is hashed in one go: making one costs more than a block too

static void free_context(void *ctx) { EVP_MD_CTX_free(ctx); }

static void look_up(void)
{
    algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    cx_assert(algorithm);  // part of OpenSSL's default provider
    int code = pthread_key_create(&of_thread, free_context);
    cx_assert(code == 0);
}

static void begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look_up);
}

static EVP_MD_CTX *new_context(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    cx_assert(ctx);
    return ctx;
}

static EVP_MD_CTX *context_of_thread(void)
{
    EVP_MD_CTX *ctx = pthread_getspecific(of_thread);
    if (ctx)
        return ctx;
    ctx = new_context();
    int code = pthread_setspecific(of_thread, ctx);
    cx_assert(code == 0);
    return ctx;
}

static void start(EVP_MD_CTX *ctx)
{
    int ok = EVP_DigestInit_ex2(ctx, algorithm, NULL);
    cx_assert(ok == 1);
}

static void finish(EVP_MD_CTX *ctx, struct hash *ret_hash)
{
    int ok = EVP_DigestFinal_ex(ctx, ret_hash->b, NULL);
    cx_assert(ok == 1);
}

static void add(EVP_MD_CTX *ctx, const void *data, size_t size)
{
    int ok = EVP_DigestUpdate(ctx, data, size);
    cx_assert(ok == 1);
}

void sha256_init(struct sha256 *s)
{
    begin();
    s->ctx = new_context();
    start(s->ctx);
}

void sha256_add(struct sha256 *s, const void *data, size_t size)
{
    cx_assert(s->ctx);
    add(s->ctx, data, size);
}

void sha256_end(struct sha256 *s, struct hash *ret_hash)
{
    cx_assert(s->ctx);
    finish(s->ctx, ret_hash);
    sha256_done(s);
}

void sha256_done(struct sha256 *s)
{
    EVP_MD_CTX_free(s->ctx);
    s->ctx = NULL;
}

void sha256(const void *data, size_t size, struct hash *ret_hash)
{
    begin();
    EVP_MD_CTX *ctx = context_of_thread();
    start(ctx);
    add(ctx, data, size);
    finish(ctx, ret_hash);
}

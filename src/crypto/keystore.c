#include "crypto/keystore.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "base/hex.h"
#include "crypto/address_text.h"
#include "crypto/keccak.h"
#include "crypto/mac.h"
#include "crypto/random.h"

#define VERSION       3
#define CIPHER        "aes-128-ctr"
#define KDF_SCRYPT    "scrypt"
#define KDF_PBKDF2    "pbkdf2"
#define PRF           "hmac-sha256"
#define IV_SIZE       16
#define SALT_SIZE     32
#define CIPHER_SIZE   KEY_SECRET_SIZE
#define DERIVED_SIZE  32  // the first half encrypts, the second authenticates
#define DERIVED_HALF  (DERIVED_SIZE / 2)
#define SCRYPT_R      8
#define SCRYPT_P      1
#define UUID_SIZE     16
#define UUID_TEXT_CAP 37

/* How a password becomes a key. rounds: pbkdf2's; n, r, p: scrypt's. */
struct kdf {
    bool is_scrypt;
    uint64_t n, r, p, rounds;
    uint8_t salt[KEYSTORE_SALT_SIZE_MAX];
    size_t salt_size;
};

struct sealed {
    struct kdf kdf;
    uint8_t iv[IV_SIZE];
    uint8_t ciphertext[CIPHER_SIZE];
    struct hash mac;
};

/* ---- what both directions compute ---------------------------------------------------------------- */

static enum cx_err scrypt_check(const struct kdf *kdf)
{
    if (kdf->n < 2 || (kdf->n & (kdf->n - 1)) != 0)
        return cx_fail(CX_INVALID, "keystore: scrypt n is %" PRIu64 ", not a power of two from 2", kdf->n);
    if (kdf->p > KEYSTORE_SCRYPT_P_MAX)
        return cx_fail(CX_TOO_LARGE, "keystore: scrypt p is %" PRIu64 ", over %d", kdf->p, KEYSTORE_SCRYPT_P_MAX);
    /* n and r are at most KEYSTORE_SCRYPT_WORK_MAX each, so that no product passes 64 bits. */
    cx_assert(kdf->n <= KEYSTORE_SCRYPT_WORK_MAX);
    cx_assert(kdf->r <= KEYSTORE_SCRYPT_WORK_MAX);
    if (128 * kdf->r * (kdf->n + kdf->p) > KEYSTORE_SCRYPT_MEMORY_MAX)
        return cx_fail(CX_TOO_LARGE, "keystore: scrypt with n %" PRIu64 " and r %" PRIu64 " needs over %u MiB", kdf->n,
                       kdf->r, KEYSTORE_SCRYPT_MEMORY_MAX >> 20);
    if (kdf->n * kdf->r * kdf->p > KEYSTORE_SCRYPT_WORK_MAX)
        return cx_fail(CX_TOO_LARGE, "keystore: scrypt with n × r × p = %" PRIu64 " is over %u",
                       kdf->n * kdf->r * kdf->p, KEYSTORE_SCRYPT_WORK_MAX);
    return CX_OK;
}

static enum cx_err derive(const struct kdf *kdf, const char *password, uint8_t ret_derived[DERIVED_SIZE])
{
    size_t size = strlen(password);
    if (size > KEYSTORE_PASSWORD_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "the password has %zu bytes, over %d", size, KEYSTORE_PASSWORD_SIZE_MAX);
    if (kdf->is_scrypt) {
        if (crypto_pwhash_scryptsalsa208sha256_ll((const uint8_t *)password, size, kdf->salt, kdf->salt_size, kdf->n,
                                                  (uint32_t)kdf->r, (uint32_t)kdf->p, ret_derived, DERIVED_SIZE) != 0)
            return cx_fail(CX_MEMORY, "scrypt with n %" PRIu64 ", r %" PRIu64 ": %s", kdf->n, kdf->r, strerror(errno));
        return CX_OK;
    }
    if (PKCS5_PBKDF2_HMAC(password, (int)size, kdf->salt, (int)kdf->salt_size, (int)kdf->rounds, EVP_sha256(),
                          DERIVED_SIZE, ret_derived) != 1)
        return cx_fail(CX_MEMORY, "pbkdf2 with %" PRIu64 " rounds failed", kdf->rounds);
    return CX_OK;
}

static void mac_of(const uint8_t derived[DERIVED_SIZE], const uint8_t ciphertext[CIPHER_SIZE], struct hash *ret_mac)
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, derived + DERIVED_HALF, DERIVED_HALF);
    keccak_add(&k, ciphertext, CIPHER_SIZE);
    keccak_end(&k, ret_mac);
}

/* Counter mode: the same in both directions. */
static enum cx_err encrypt(const uint8_t derived[DERIVED_SIZE], const uint8_t iv[IV_SIZE],
                           const uint8_t from[CIPHER_SIZE], uint8_t ret_to[CIPHER_SIZE])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int size = 0;
    bool ok = ctx && EVP_EncryptInit_ex2(ctx, EVP_aes_128_ctr(), derived, iv, NULL) == 1 &&
              EVP_EncryptUpdate(ctx, ret_to, &size, from, CIPHER_SIZE) == 1 && size == CIPHER_SIZE;
    EVP_CIPHER_CTX_free(ctx);  // wipes its key
    return ok ? CX_OK : cx_fail(CX_MEMORY, CIPHER " failed");
}

/* ---- writing ------------------------------------------------------------------------------------- */

/* RFC 4122, 4.4: version 4 and its variant, the rest random. */
static void uuid_make(char ret_text[UUID_TEXT_CAP])
{
    uint8_t b[UUID_SIZE];
    char hex[2 * UUID_SIZE + 1];
    random_fill(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    hex_encode(b, sizeof b, hex);
    snprintf(ret_text, UUID_TEXT_CAP, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

static void add_hex(struct buf *buf, const char *name, const void *data, size_t size)
{
    char hex[2 * SALT_SIZE + 1];
    cx_assert(size <= SALT_SIZE);
    hex_encode(data, size, hex);
    buf_printf(buf, "\"%s\": \"%s\"", name, hex);
}

static void write_json(const struct sealed *sealed, const struct address *address, struct buf *json)
{
    char uuid[UUID_TEXT_CAP];
    uuid_make(uuid);
    buf_text(json, "{\n  ");
    add_hex(json, "address", address->b, sizeof address->b);
    buf_printf(json, ",\n  \"id\": \"%s\",\n  \"version\": %d,\n  \"crypto\": {\n", uuid, VERSION);
    buf_text(json, "    \"cipher\": \"" CIPHER "\",\n    \"cipherparams\": {");
    add_hex(json, "iv", sealed->iv, sizeof sealed->iv);
    buf_text(json, "},\n    ");
    add_hex(json, "ciphertext", sealed->ciphertext, sizeof sealed->ciphertext);
    buf_text(json, ",\n    \"kdf\": \"" KDF_SCRYPT "\",\n    \"kdfparams\": {");
    add_hex(json, "salt", sealed->kdf.salt, sealed->kdf.salt_size);
    buf_printf(json, ", \"n\": %" PRIu64 ", \"r\": %" PRIu64 ", \"p\": %" PRIu64 ", \"dklen\": %d},\n    ",
               sealed->kdf.n, sealed->kdf.r, sealed->kdf.p, DERIVED_SIZE);
    add_hex(json, "mac", sealed->mac.b, sizeof sealed->mac.b);
    buf_text(json, "\n  }\n}\n");
}

enum cx_err keystore_encode(const struct key *key, const char *password, uint32_t scrypt_n, struct buf *ret_json)
{
    struct sealed sealed = {
        .kdf = {.is_scrypt = true, .n = scrypt_n, .r = SCRYPT_R, .p = SCRYPT_P, .salt_size = SALT_SIZE}};
    random_fill(sealed.kdf.salt, SALT_SIZE);
    random_fill(sealed.iv, sizeof sealed.iv);

    if (scrypt_n > KEYSTORE_SCRYPT_WORK_MAX)
        return cx_fail(CX_TOO_LARGE, "keystore: scrypt n is %u, over %u", scrypt_n, KEYSTORE_SCRYPT_WORK_MAX);
    enum cx_err err = scrypt_check(&sealed.kdf);
    if (err)
        return err;
    uint8_t derived[DERIVED_SIZE];
    err = derive(&sealed.kdf, password, derived);
    if (!err)
        err = encrypt(derived, sealed.iv, key_secret(key), sealed.ciphertext);
    if (!err) {
        mac_of(derived, sealed.ciphertext, &sealed.mac);
        write_json(&sealed, key_address(key), ret_json);
    }
    sodium_memzero(derived, sizeof derived);
    return err;
}

/* ---- reading ------------------------------------------------------------------------------------- */

/* Names differ in case between wallets ("crypto", "Crypto"), so case is not looked at. */
static json_t *member(json_t *object, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
        if (strcasecmp(key, name) == 0)
            return value;
    return NULL;
}

static enum cx_err get_object(json_t *from, const char *name, json_t **ret_object)
{
    json_t *value = member(from, name);
    if (!json_is_object(value))
        return cx_fail(CX_INVALID, "keystore: \"%s\" is missing or no object", name);
    *ret_object = value;
    return CX_OK;
}

static enum cx_err get_text(json_t *from, const char *name, const char **ret_text)
{
    json_t *value = member(from, name);
    if (!json_is_string(value))
        return cx_fail(CX_INVALID, "keystore: \"%s\" is missing or no text", name);
    *ret_text = json_string_value(value);
    return CX_OK;
}

static enum cx_err get_number(json_t *from, const char *name, uint64_t max, uint64_t *ret_number)
{
    json_t *value = member(from, name);
    if (!json_is_integer(value) || json_integer_value(value) < 1)
        return cx_fail(CX_INVALID, "keystore: \"%s\" is missing or no positive integer", name);
    uint64_t number = (uint64_t)json_integer_value(value);
    if (number > max)
        return cx_fail(CX_TOO_LARGE, "keystore: \"%s\" is %" PRIu64 ", over %" PRIu64, name, number, max);
    *ret_number = number;
    return CX_OK;
}

/* min..max bytes in hexadecimal; some wallets write 0x before it. */
static enum cx_err get_bytes(json_t *from, const char *name, size_t min, size_t max, uint8_t *ret_bytes,
                             size_t *ret_size)
{
    const char *text = NULL;
    enum cx_err err = get_text(from, name, &text);
    if (err)
        return err;
    if (text[0] == '0' && text[1] == 'x')
        text += 2;
    size_t size = strlen(text) / 2;
    if (size > max || size < min)
        return cx_fail(CX_INVALID, "keystore: \"%s\" has %zu bytes, not %zu to %zu", name, size, min, max);
    if (!hex_decode(text, strlen(text), ret_bytes, size))
        return cx_fail(CX_INVALID, "keystore: \"%s\" is not hexadecimal", name);
    if (ret_size)
        *ret_size = size;
    return CX_OK;
}

static enum cx_err get_scrypt(json_t *params, struct kdf *kdf)
{
    enum cx_err err = get_number(params, "n", KEYSTORE_SCRYPT_WORK_MAX, &kdf->n);
    if (!err)
        err = get_number(params, "r", KEYSTORE_SCRYPT_WORK_MAX, &kdf->r);
    if (!err)
        err = get_number(params, "p", KEYSTORE_SCRYPT_WORK_MAX, &kdf->p);
    return err ? err : scrypt_check(kdf);
}

static enum cx_err get_pbkdf2(json_t *params, struct kdf *kdf)
{
    const char *prf = NULL;
    enum cx_err err = get_text(params, "prf", &prf);
    if (err)
        return err;
    if (strcmp(prf, PRF) != 0)
        return cx_fail(CX_UNSUPPORTED, "keystore: pbkdf2 with prf \"%.64s\"; only " PRF " is supported", prf);
    return get_number(params, "c", KEYSTORE_PBKDF2_ROUNDS_MAX, &kdf->rounds);
}

static enum cx_err get_kdf(json_t *crypto, struct kdf *ret_kdf)
{
    const char *name = NULL;
    json_t *params = NULL;
    uint64_t derived_size = 0;
    enum cx_err err = get_text(crypto, "kdf", &name);
    if (!err)
        err = get_object(crypto, "kdfparams", &params);
    if (err)
        return err;
    ret_kdf->is_scrypt = strcmp(name, KDF_SCRYPT) == 0;
    if (!ret_kdf->is_scrypt && strcmp(name, KDF_PBKDF2) != 0)
        return cx_fail(CX_UNSUPPORTED, "keystore: kdf \"%.64s\"; only scrypt and pbkdf2 are supported", name);
    err = ret_kdf->is_scrypt ? get_scrypt(params, ret_kdf) : get_pbkdf2(params, ret_kdf);
    if (!err)
        err = get_bytes(params, "salt", 0, sizeof ret_kdf->salt, ret_kdf->salt, &ret_kdf->salt_size);
    if (!err)
        err = get_number(params, "dklen", UINT32_MAX, &derived_size);
    if (!err && derived_size != DERIVED_SIZE)
        err = cx_fail(CX_UNSUPPORTED, "keystore: \"dklen\" is %" PRIu64 "; only %d is supported", derived_size,
                      DERIVED_SIZE);
    return err;
}

static enum cx_err get_sealed(json_t *crypto, struct sealed *ret_sealed)
{
    const char *cipher = NULL;
    json_t *params = NULL;
    enum cx_err err = get_text(crypto, "cipher", &cipher);
    if (!err && strcmp(cipher, CIPHER) != 0)
        err = cx_fail(CX_UNSUPPORTED, "keystore: cipher \"%.64s\"; only " CIPHER " is supported", cipher);
    if (!err)
        err = get_object(crypto, "cipherparams", &params);
    if (!err)
        err = get_bytes(params, "iv", IV_SIZE, IV_SIZE, ret_sealed->iv, NULL);
    if (!err)
        err = get_bytes(crypto, "ciphertext", CIPHER_SIZE, CIPHER_SIZE, ret_sealed->ciphertext, NULL);
    if (!err)
        err = get_bytes(crypto, "mac", sizeof ret_sealed->mac.b, sizeof ret_sealed->mac.b, ret_sealed->mac.b, NULL);
    return err ? err : get_kdf(crypto, &ret_sealed->kdf);
}

/* *ret_root is the caller's, to be given back by json_decref. */
static enum cx_err parse(const char *json, size_t size, json_t **ret_root)
{
    if (size > KEYSTORE_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "keystore: %zu bytes, over %d", size, KEYSTORE_SIZE_MAX);
    json_error_t why;
    json_auto_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &why);
    if (!root)
        return cx_fail(CX_INVALID, "keystore: no JSON: %s, line %d", why.text, why.line);
    if (!json_is_object(root))
        return cx_fail(CX_INVALID, "keystore: no JSON object");
    json_t *version = member(root, "version");
    if (!json_is_integer(version))
        return cx_fail(CX_INVALID, "keystore: \"version\" is missing or no integer");
    if (json_integer_value(version) != VERSION)
        return cx_fail(CX_UNSUPPORTED, "keystore: version %" JSON_INTEGER_FORMAT "; only %d is supported",
                       json_integer_value(version), VERSION);
    *ret_root = json_incref(root);
    return CX_OK;
}

static enum cx_err claimed_address(json_t *root, struct address *ret_address)
{
    json_t *value = member(root, "address");
    if (!value || json_is_null(value))
        return cx_fail(CX_NOT_FOUND, "keystore: it does not say its address");
    return get_bytes(root, "address", sizeof ret_address->b, sizeof ret_address->b, ret_address->b, NULL);
}

static enum cx_err open_sealed(const struct sealed *sealed, const char *password, struct key **ret_key)
{
    uint8_t derived[DERIVED_SIZE], secret[KEY_SECRET_SIZE] = {0};
    struct hash mac;
    enum cx_err err = derive(&sealed->kdf, password, derived);
    if (err)
        return err;
    mac_of(derived, sealed->ciphertext, &mac);
    if (!mac_equal(mac.b, sealed->mac.b, sizeof mac.b))
        err = cx_fail(CX_DENIED, "keystore: wrong password (or the file was changed)");
    if (!err)
        err = encrypt(derived, sealed->iv, sealed->ciphertext, secret);
    if (!err)
        err = key_from_bytes(secret, ret_key);
    sodium_memzero(derived, sizeof derived);
    sodium_memzero(secret, sizeof secret);
    return err;
}

enum cx_err keystore_decode(const char *json, size_t size, const char *password, struct key **ret_key)
{
    json_auto_t *root = NULL;
    json_t *crypto = NULL;
    struct sealed sealed;
    struct address claimed;
    enum cx_err err = parse(json, size, &root);
    if (!err)
        err = get_object(root, "crypto", &crypto);
    if (!err)
        err = get_sealed(crypto, &sealed);
    if (err)
        return err;
    enum cx_err claim = claimed_address(root, &claimed);
    if (claim && claim != CX_NOT_FOUND)
        return claim;

    cx_auto(key) key = NULL;
    err = open_sealed(&sealed, password, &key);
    if (err)
        return err;
    if (!claim && !address_eq(&claimed, key_address(key))) {
        char outside[ADDRESS_TEXT_SIZE], inside[ADDRESS_TEXT_SIZE];
        address_print(&claimed, outside);
        address_print(key_address(key), inside);
        return cx_fail(CX_CORRUPT, "keystore: it says address %s, but the key inside is that of %s", outside, inside);
    }
    *ret_key = cx_take(&key);
    return CX_OK;
}

enum cx_err keystore_decode_address(const char *json, size_t size, struct address *ret_address)
{
    json_auto_t *root = NULL;
    enum cx_err err = parse(json, size, &root);
    return err ? err : claimed_address(root, ret_address);
}

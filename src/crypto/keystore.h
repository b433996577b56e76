/* keystore.h - a key in a file under a password: the Web3 Secret Storage format, version 3, which Ethereum
 * wallets read and write.
 *
 * Written: scrypt, aes-128-ctr, MAC by Keccak-256. Read: scrypt or pbkdf2 (hmac-sha256). A password may be
 * empty; its bytes are taken as they come, while wallets bring it to Unicode's NFKC first. The functions are
 * slow on purpose (half a second at the usual N): not for an event loop.
 */
#ifndef CORTEN_CRYPTO_KEYSTORE_H
#define CORTEN_CRYPTO_KEYSTORE_H

#include "base/buf.h"
#include "base/err.h"
#include "crypto/key.h"

#define KEYSTORE_SCRYPT_N       (1u << 17)  // what wallets use; 128 MiB and about half a second
#define KEYSTORE_SCRYPT_N_LIGHT (1u << 12)  // tests and `corten dev`: 4 MiB and some milliseconds

/* What a file may ask for: it is read before anybody vouched for it. */
#define KEYSTORE_SIZE_MAX          (64 * 1024)
#define KEYSTORE_SCRYPT_MEMORY_MAX (1u << 30)  // 128 × r × (N + p) bytes
#define KEYSTORE_SCRYPT_WORK_MAX   (1u << 24)  // N × r × p: sixteen times KEYSTORE_SCRYPT_N with r = 8
#define KEYSTORE_SCRYPT_P_MAX      16
#define KEYSTORE_PBKDF2_ROUNDS_MAX 10000000
#define KEYSTORE_SALT_SIZE_MAX     256
#define KEYSTORE_PASSWORD_SIZE_MAX 1024

/* Adds the file's JSON to ret_json. scrypt_n: a power of two, 2 .. 2^19. INVALID or
 * TOO_LARGE: scrypt_n or the password is out of range. */
enum cx_err keystore_encode(const struct key *key, const char *password, uint32_t scrypt_n, struct buf *ret_json);
/* DENIED: wrong password. UNSUPPORTED: another version, kdf or cipher, by name. TOO_LARGE: it asks for more
 * than the limits above. CORRUPT: the key inside is not that of the address outside. INVALID: anything else, by
 * field. */
enum cx_err keystore_decode(const char *json, size_t size, const char *password, struct key **ret_key);
/* The address that the file claims, without its password. NOT_FOUND: it claims none. */
enum cx_err keystore_decode_address(const char *json, size_t size, struct address *ret_address);

/* Writes a new file of mode 0600, whole or not at all. EXISTS: the path is taken. */
enum cx_err keystore_write(const char *path, const struct key *key, const char *password, uint32_t scrypt_n);
/* *ret_exposed: others than the owner may read or change the file; a caller warns and goes on. May be NULL. */
enum cx_err keystore_read(const char *path, const char *password, struct key **ret_key, bool *ret_exposed);
enum cx_err keystore_read_address(const char *path, struct address *ret_address);

#endif

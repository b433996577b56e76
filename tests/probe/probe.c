/* probe.c - src/crypto behind lines of text, so that tests in other languages can hold it against other
 * implementations (tests/e2e/crypto.test.mjs).
 *
 * One request a line, words between single spaces; one answer a line: "ok WORD…" or "error NAME text". Bytes are
 * hexadecimal behind 0x, also texts and paths. Requests are at the end of this file.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hex.h"
#include "crypto/address_text.h"
#include "crypto/cid.h"
#include "crypto/eip712.h"
#include "crypto/keccak.h"
#include "crypto/key.h"
#include "crypto/keystore.h"
#include "crypto/sha256.h"

#define WORDS_MAX 256
#define DEPTH_MAX 8  // structs and arrays within one another

struct words {
    char *word[WORDS_MAX];
    unsigned count, at;
};

/* A test that asks wrongly is a broken test: there is nobody to answer. */
static _Noreturn void misused(const char *what)
{
    fprintf(stderr, "probe: %s\n", what);
    exit(2);
}

static const char *next(struct words *words)
{
    if (words->at == words->count)
        misused("a word is missing");
    return words->word[words->at++];
}

/* The caller frees ret->data; a NUL follows it. */
static void bytes_of(const char *hex, struct buf *ret)
{
    size_t size = strlen(hex);
    if (size < 2 || size % 2 || strncmp(hex, "0x", 2) != 0)
        misused("bytes need 0x and pairs of digits");
    *ret = (struct buf){0};
    size = size / 2 - 1;
    buf_reserve(ret, size + 1);
    if (!hex_decode(hex + 2, 2 * size, ret->data, size))
        misused("a character is no hexadecimal digit");
    ret->size = size;
    ret->data[size] = '\0';
}

static void fixed_of(const char *hex, void *ret, size_t size)
{
    struct buf bytes;
    bytes_of(hex, &bytes);
    if (bytes.size != size)
        misused("bytes of another size were expected");
    memcpy(ret, bytes.data, size);
    buf_done(&bytes);
}

static void say_hex(const void *data, size_t size)
{
    char *text = malloc(2 * size + 1);
    if (!text)
        misused("no memory");
    hex_encode(data, size, text);
    printf(" 0x%s", text);
    free(text);
}

static void say_address(const struct address *address)
{
    char text[ADDRESS_TEXT_SIZE];
    address_print(address, text);
    printf(" %s", text);
}

static enum cx_err next_key(struct words *words, struct key **ret_key)
{
    uint8_t secret[KEY_SECRET_SIZE];
    fixed_of(next(words), secret, sizeof secret);
    return key_from_bytes(secret, ret_key);
}

static enum cx_err do_hash(struct words *words, void (*hash_of)(const void *, size_t, struct hash *))
{
    struct buf bytes;
    struct hash hash;
    bytes_of(next(words), &bytes);
    hash_of(bytes.data, bytes.size, &hash);
    buf_done(&bytes);
    printf("ok");
    say_hex(hash.b, sizeof hash.b);
    return CX_OK;
}

static enum cx_err do_keccak(struct words *words) { return do_hash(words, keccak256); }
static enum cx_err do_sha256(struct words *words) { return do_hash(words, sha256); }

static enum cx_err do_address(struct words *words)
{
    cx_auto(key) key = NULL;
    enum cx_err err = next_key(words, &key);
    if (err)
        return err;
    printf("ok");
    say_address(key_address(key));
    return CX_OK;
}

static enum cx_err do_checksum(struct words *words)
{
    struct address address;
    const char *text = next(words);
    enum cx_err err = address_parse(text, strlen(text), &address);
    if (err)
        return err;
    printf("ok");
    say_address(&address);
    return CX_OK;
}

static enum cx_err do_sign(struct words *words)
{
    cx_auto(key) key = NULL;
    struct hash digest;
    uint8_t sig[SIGNATURE_SIZE];
    enum cx_err err = next_key(words, &key);
    if (err)
        return err;
    fixed_of(next(words), digest.b, sizeof digest.b);
    key_sign(key, &digest, sig);
    printf("ok");
    say_hex(sig, sizeof sig);
    return CX_OK;
}

static enum cx_err do_recover(struct words *words)
{
    struct hash digest;
    struct address signer;
    uint8_t sig[SIGNATURE_SIZE];
    fixed_of(next(words), digest.b, sizeof digest.b);
    fixed_of(next(words), sig, sizeof sig);
    enum cx_err err = key_recover(&digest, sig, &signer);
    if (err)
        return err;
    printf("ok");
    say_address(&signer);
    return CX_OK;
}

/* ---- typed messages ---- */

static void add_bytes(struct eip712 *e, const char *kind, const char *value)
{
    struct buf bytes;
    bytes_of(value, &bytes);
    if (strcmp(kind, "bytes") == 0)
        eip712_bytes(e, bytes.data, bytes.size);
    else if (strcmp(kind, "string") == 0)
        eip712_string(e, bytes.data, bytes.size);
    else if (strcmp(kind, "fixed") == 0)
        eip712_bytes_fixed(e, bytes.data, (uint32_t)bytes.size);
    else
        misused("a kind of field that there is not");
    buf_done(&bytes);
}

static void add_field(struct eip712 *e, const char *kind, const char *value)
{
    struct address address;
    struct hash hash;
    if (strcmp(kind, "uint") == 0) {
        eip712_uint(e, strtoull(value, NULL, 10));
    } else if (strcmp(kind, "bool") == 0) {
        eip712_bool(e, strcmp(value, "true") == 0);
    } else if (strcmp(kind, "address") == 0) {
        fixed_of(value, address.b, sizeof address.b);
        eip712_address(e, &address);
    } else if (strcmp(kind, "bytes32") == 0) {
        fixed_of(value, hash.b, sizeof hash.b);
        eip712_bytes32(e, &hash);
    } else {
        add_bytes(e, kind, value);
    }
}

static void begin_struct(struct eip712 *e, const char *type_hex)
{
    struct buf type;
    bytes_of(type_hex, &type);
    eip712_begin(e, type.data, type.size);
    buf_done(&type);
}

/* { TYPE field… }  [ field… ]  KIND VALUE, in one another as the types are. */
static struct hash hash_struct(struct words *words)
{
    struct eip712 level[DEPTH_MAX];
    unsigned depth = 0;
    struct hash hash = {0};
    while (words->at < words->count) {
        const char *word = next(words);
        if (*word == '{' || *word == '[') {
            if (depth == DEPTH_MAX)
                misused("too deep");
            if (*word == '{')
                begin_struct(&level[depth++], next(words));
            else
                eip712_begin_array(&level[depth++]);
        } else if (depth == 0) {
            misused("a field outside of every struct");
        } else if (*word == '}' || *word == ']') {
            eip712_end(&level[--depth], &hash);
            if (depth > 0)
                eip712_bytes32(&level[depth - 1], &hash);
        } else {
            add_field(&level[depth - 1], word, next(words));
        }
    }
    return hash;
}

static enum cx_err do_eip712(struct words *words)
{
    cx_auto(key) key = NULL;
    struct hash domain, digest;
    uint8_t sig[SIGNATURE_SIZE];
    enum cx_err err = next_key(words, &key);
    if (err)
        return err;
    eip712_domain(strtoull(next(words), NULL, 10), &domain);
    struct hash body = hash_struct(words);
    eip712_digest(&domain, &body, &digest);
    key_sign(key, &digest, sig);
    printf("ok");
    say_hex(digest.b, sizeof digest.b);
    say_hex(sig, sizeof sig);
    return CX_OK;
}

/* ---- files and names ---- */

static enum cx_err do_keystore_write(struct words *words)
{
    struct buf path, password;
    bytes_of(next(words), &path);
    bytes_of(next(words), &password);
    uint32_t n = (uint32_t)strtoul(next(words), NULL, 10);
    cx_auto(key) key = NULL;
    enum cx_err err = next_key(words, &key);
    if (!err)
        err = keystore_write(path.data, key, password.data, n);
    if (!err)
        printf("ok");
    buf_done(&path);
    buf_done(&password);
    return err;
}

static enum cx_err do_keystore_read(struct words *words)
{
    struct buf path, password;
    bytes_of(next(words), &path);
    bytes_of(next(words), &password);
    cx_auto(key) key = NULL;
    bool exposed;
    enum cx_err err = keystore_read(path.data, password.data, &key, &exposed);
    if (!err) {
        printf("ok");
        say_hex(key_secret(key), KEY_SECRET_SIZE);
        printf(" %s", exposed ? "exposed" : "private");
    }
    buf_done(&path);
    buf_done(&password);
    return err;
}

static enum cx_err do_cid(struct words *words)
{
    struct buf content;
    struct hash hash;
    char cid[CID_TEXT_SIZE];
    bytes_of(next(words), &content);
    sha256(content.data, content.size, &hash);
    cid_encode(&hash, cid);
    buf_done(&content);
    printf("ok %s", cid);
    return CX_OK;
}

static enum cx_err do_cid_decode(struct words *words)
{
    struct hash hash;
    const char *text = next(words);
    enum cx_err err = cid_decode(text, strlen(text), &hash);
    if (err)
        return err;
    printf("ok");
    say_hex(hash.b, sizeof hash.b);
    return CX_OK;
}

static const struct request {
    const char *name;
    enum cx_err (*run)(struct words *words);
} requests[] = {
    {"keccak", do_keccak},                  // BYTES -> hash
    {"sha256", do_sha256},                  // BYTES -> hash
    {"address", do_address},                // KEY -> address
    {"checksum", do_checksum},              // ADDRESS -> address
    {"sign", do_sign},                      // KEY DIGEST -> signature
    {"recover", do_recover},                // DIGEST SIGNATURE -> address
    {"eip712", do_eip712},                  // KEY NETWORK { TYPE field… } -> digest, signature
    {"keystore-write", do_keystore_write},  // PATH PASSWORD N KEY ->
    {"keystore-read", do_keystore_read},    // PATH PASSWORD -> key, private or exposed
    {"cid", do_cid},                        // CONTENT -> CID
    {"cid-decode", do_cid_decode},          // CID -> hash
};

static void answer(char *line)
{
    struct words words = {0};
    char *rest = NULL;
    for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        if (words.count == WORDS_MAX)
            misused("too many words");
        words.word[words.count++] = word;
    }
    const char *name = next(&words);
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        if (strcmp(requests[i].name, name) != 0)
            continue;
        enum cx_err err = requests[i].run(&words);
        if (err)
            printf("error %s %s", cx_err_name(err), cx_detail());
        putchar('\n');
        fflush(stdout);
        return;
    }
    misused("no such request");
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    while (getline(&line, &cap, stdin) > 0)
        answer(line);
    free(line);
    return 0;
}

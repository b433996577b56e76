#include "crypto/cid.h"

#include <stdio.h>
#include <string.h>

#define BASE32_PREFIX   'b'  // multibase: RFC 4648 in lower case without padding
#define HEADER_SIZE     4
#define CID_SIZE        (HEADER_SIZE + sizeof(struct hash))
#define CID_LENGTH      (CID_TEXT_SIZE - 1)
#define URN_SCHEME      "ipfs://"
#define URN_SCHEME_SIZE (sizeof URN_SCHEME - 1)
#define SHOWN_MAX       80  // of what somebody sent, in an error

/* The multiformats table: version 1, codec raw, hash sha2-256 of 32 bytes. All below 0x80, so one byte each. */
static const uint8_t header[HEADER_SIZE] = {0x01, 0x55, 0x12, 0x20};
static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

void cid_encode(const struct hash *sha256, char ret_text[CID_TEXT_SIZE])
{
    uint8_t bytes[CID_SIZE];
    memcpy(bytes, header, sizeof header);
    memcpy(bytes + sizeof header, sha256->b, sizeof sha256->b);

    char *to = ret_text;
    *to++ = BASE32_PREFIX;
    uint32_t bits = 0, held = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bits = bits << 8 | bytes[i];
        for (held += 8; held >= 5; held -= 5)
            *to++ = alphabet[bits >> (held - 5) & 31];
    }
    *to++ = alphabet[bits << (5 - held) & 31];
    *to = '\0';
}

static int digit(char c)
{
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    if (c >= '2' && c <= '7')
        return c - '2' + 26;
    return -1;
}

/* Reads as many bytes as cap holds; what is longer is refused later, by its size. False: a character is not of
 * the alphabet. *ret_rest: the bits behind the last whole byte, which must be zero. */
static bool base32_decode(const char *text, size_t size, uint8_t *ret_bytes, size_t cap, size_t *ret_size,
                          uint32_t *ret_rest)
{
    uint32_t bits = 0, held = 0;
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        int v = digit(text[i]);
        if (v < 0)
            return false;
        bits = (bits << 5 | (uint32_t)v) & 0xfff;
        held += 5;
        if (held < 8)
            continue;
        held -= 8;
        if (used < cap)
            ret_bytes[used++] = (uint8_t)(bits >> held);
    }
    *ret_size = used;
    *ret_rest = bits & ((1u << held) - 1);
    return true;
}

/* A number of the multiformats: seven bits a byte, the lowest first; at most four bytes are of use here. */
static bool varint(const uint8_t *bytes, size_t size, size_t *at, uint32_t *ret_value)
{
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < 28 && *at < size; shift += 7) {
        uint8_t byte = bytes[(*at)++];
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

struct code {
    uint32_t code;
    const char *name;
};

/* Those that people meet; others are named by their number. A base is known by its first character. */
static const struct code bases[] = {{'z', "base58btc"}, {'f', "base16"}, {'F', "base16upper"}, {'B', "base32upper"},
                                    {'k', "base36"},    {'m', "base64"}, {'u', "base64url"}};
static const struct code codecs[] = {{0x51, "cbor"},    {0x70, "dag-pb"},    {0x71, "dag-cbor"},   {0x72, "libp2p-key"},
                                     {0x78, "git-raw"}, {0x90, "eth-block"}, {0x0129, "dag-json"}, {0x0200, "json"}};
static const struct code hashes[] = {{0x00, "identity"}, {0x11, "sha1"},         {0x13, "sha2-512"},
                                     {0x14, "sha3-512"}, {0x16, "sha3-256"},     {0x1b, "keccak-256"},
                                     {0x1e, "blake3"},   {0x56, "dbl-sha2-256"}, {0xb220, "blake2b-256"}};

static void name_of(uint32_t code, const struct code *table, size_t count, char *ret_name, size_t cap)
{
    for (size_t i = 0; i < count; i++)
        if (table[i].code == code) {
            snprintf(ret_name, cap, "%s", table[i].name);
            return;
        }
    snprintf(ret_name, cap, "0x%x", code);
}

/* The bytes begin unlike ours: says where. */
static enum cx_err refuse(const uint8_t *bytes, size_t size, const char *text, int shown)
{
    uint32_t version, codec, hash;
    size_t at = 0;
    char name[24];
    if (!varint(bytes, size, &at, &version) || version == 0)
        return cx_fail(CX_INVALID, "\"%.*s\" is no CID", shown, text);
    if (version != 1)
        return cx_fail(CX_UNSUPPORTED, "CID %.*s has version %u; only version 1 is supported", shown, text, version);
    if (!varint(bytes, size, &at, &codec))
        return cx_fail(CX_INVALID, "CID %.*s ends in its codec", shown, text);
    name_of(codec, codecs, ARRAY_COUNT(codecs), name, sizeof name);
    if (codec != header[1])
        return cx_fail(CX_UNSUPPORTED, "CID %.*s has codec %s; only raw is supported", shown, text, name);
    if (!varint(bytes, size, &at, &hash))
        return cx_fail(CX_INVALID, "CID %.*s ends in its hash's code", shown, text);
    name_of(hash, hashes, ARRAY_COUNT(hashes), name, sizeof name);
    if (hash != header[2])
        return cx_fail(CX_UNSUPPORTED, "CID %.*s has hash %s; only sha2-256 is supported", shown, text, name);
    return cx_fail(CX_INVALID, "CID %.*s does not have 32 bytes of sha2-256", shown, text);
}

static enum cx_err refuse_base(const char *text, size_t size, int shown)
{
    if (size == 46 && text[0] == 'Q' && text[1] == 'm')
        return cx_fail(CX_UNSUPPORTED, "CID %.*s has version 0; only version 1 is supported", shown, text);
    const char *base = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(bases); i++)
        if (bases[i].code == (uint32_t)(unsigned char)text[0])
            base = bases[i].name;
    if (base)
        return cx_fail(CX_UNSUPPORTED, "CID %.*s is in %s; only base32 (b…) is supported", shown, text, base);
    return cx_fail(CX_INVALID, "\"%.*s\" is no CID", shown, text);
}

enum cx_err cid_decode(const char *text, size_t size, struct hash *ret_sha256)
{
    int shown = size < SHOWN_MAX ? (int)size : SHOWN_MAX;
    if (size == 0)
        return cx_fail(CX_INVALID, "an empty text is no CID");
    if (text[0] != BASE32_PREFIX)
        return refuse_base(text, size, shown);

    uint8_t bytes[CID_SIZE];
    size_t used;
    uint32_t rest;
    if (!base32_decode(text + 1, size - 1, bytes, sizeof bytes, &used, &rest))
        return cx_fail(CX_INVALID, "CID %.*s has a character that base32 does not have", shown, text);
    if (used < sizeof header || memcmp(bytes, header, sizeof header) != 0)
        return refuse(bytes, used, text, shown);
    if (size != CID_LENGTH)
        return cx_fail(CX_INVALID, "CID %.*s has %zu characters, not %d", shown, text, size, (int)CID_LENGTH);
    if (rest != 0)
        return cx_fail(CX_INVALID, "CID %.*s has bits behind its end", shown, text);
    memcpy(ret_sha256->b, bytes + sizeof header, sizeof ret_sha256->b);
    return CX_OK;
}

void urn_encode(const struct hash *sha256, char ret_text[URN_TEXT_SIZE])
{
    memcpy(ret_text, URN_SCHEME, URN_SCHEME_SIZE);
    cid_encode(sha256, ret_text + URN_SCHEME_SIZE);
}

enum cx_err urn_decode(const char *text, size_t size, struct hash *ret_sha256)
{
    int shown = size < SHOWN_MAX ? (int)size : SHOWN_MAX;
    if (size < URN_SCHEME_SIZE || memcmp(text, URN_SCHEME, URN_SCHEME_SIZE) != 0)
        return cx_fail(CX_UNSUPPORTED, "URN \"%.*s\" does not begin with %s, the only scheme", shown, text, URN_SCHEME);
    text += URN_SCHEME_SIZE;
    size -= URN_SCHEME_SIZE;
    if (memchr(text, '/', size))
        return cx_fail(CX_UNSUPPORTED, "URN \"%.*s\" has a path behind its CID; contents have none", shown,
                       text - URN_SCHEME_SIZE);
    return cid_decode(text, size, ret_sha256);
}

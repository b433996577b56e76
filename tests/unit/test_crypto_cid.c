/* Names of content. */
#include "crypto/cid.h"

#include "base/prng.h"
#include "crypto/sha256.h"
#include "lib/guard.h"
#include "lib/test.h"

#define EMPTY_CID "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
#define HELLO_CID "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"

static void check_names(const char *content, const char *cid)
{
    struct hash hash, back;
    char text[CID_TEXT_SIZE], urn[URN_TEXT_SIZE];
    sha256(content, strlen(content), &hash);
    cid_encode(&hash, text);
    CHECK_STR(text, cid);
    CHECK_EQ(cid_decode(text, strlen(text), &back), CX_OK);
    CHECK(hash_eq(&hash, &back));

    urn_encode(&hash, urn);
    CHECK(strncmp(urn, "ipfs://", 7) == 0);
    CHECK_STR(urn + 7, cid);
    back = (struct hash){0};
    CHECK_EQ(urn_decode(urn, strlen(urn), &back), CX_OK);
    CHECK(hash_eq(&hash, &back));
}

TEST(cid, is_what_ipfs_calls_a_content)
{
    check_names("", EMPTY_CID);
    check_names("hello world", HELLO_CID);
}

static void check_refused(const char *text, enum cx_err err, const char *detail)
{
    struct hash hash = {{1}}, before = hash;
    CHECK_EQ(cid_decode(text, strlen(text), &hash), err);
    if (!strstr(cx_detail(), detail))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", cx_detail(), detail);
    CHECK(hash_eq(&hash, &before));
}

TEST(cid, refuses_what_ipfs_also_has_by_name)
{
    check_refused("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n", CX_UNSUPPORTED, "version 0");
    check_refused("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", CX_UNSUPPORTED, "dag-pb");
    check_refused("BAFKREIHDWDCEFGH4DQKJV67UZCMW7OJEE6XEDZDETOJUZJEVTENXQUVYKU", CX_UNSUPPORTED, "base32upper");
    check_refused("zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA", CX_UNSUPPORTED, "base58btc");
    check_refused("f01551220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", CX_UNSUPPORTED,
                  "base16");
    CHECK_STR(cx_detail(), "CID f01551220e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 is in "
                           "base16; only base32 (b…) is supported");
}

/* base32 of any header before 32 zero bytes. */
static void name_with(const uint8_t *header, size_t header_size, size_t hash_size, char *ret_text)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint8_t bytes[80] = {0};
    memcpy(bytes, header, header_size);
    size_t bits = 8 * (header_size + hash_size), at = 0;
    *ret_text++ = 'b';
    for (; at < bits; at += 5) {
        unsigned v = 0;
        for (size_t i = at; i < at + 5; i++)
            v = v << 1 | (unsigned)(bytes[i / 8] >> (7 - i % 8) & 1);
        *ret_text++ = alphabet[v];
    }
    *ret_text = '\0';
}

static void check_header_refused(const uint8_t *header, size_t header_size, size_t hash_size, enum cx_err err,
                                 const char *detail)
{
    char text[160];
    name_with(header, header_size, hash_size, text);
    check_refused(text, err, detail);
}

TEST(cid, refuses_other_versions_codecs_and_hashes_by_name)
{
    check_header_refused((const uint8_t[]){0x02, 0x55, 0x12, 0x20}, 4, 32, CX_UNSUPPORTED, "version 2");
    check_header_refused((const uint8_t[]){0x01, 0x71, 0x12, 0x20}, 4, 32, CX_UNSUPPORTED, "dag-cbor");
    check_header_refused((const uint8_t[]){0x01, 0xa9, 0x02, 0x12, 0x20}, 5, 32, CX_UNSUPPORTED, "dag-json");
    check_header_refused((const uint8_t[]){0x01, 0x7b, 0x12, 0x20}, 4, 32, CX_UNSUPPORTED, "codec 0x7b");
    check_header_refused((const uint8_t[]){0x01, 0x55, 0x1e, 0x20}, 4, 32, CX_UNSUPPORTED, "blake3");
    check_header_refused((const uint8_t[]){0x01, 0x55, 0xa0, 0xe4, 0x02, 0x20}, 6, 32, CX_UNSUPPORTED, "blake2b-256");
    check_header_refused((const uint8_t[]){0x01, 0x55, 0x13, 0x40}, 4, 64, CX_UNSUPPORTED, "sha2-512");
    check_header_refused((const uint8_t[]){0x01, 0x55, 0x12, 0x10}, 4, 16, CX_INVALID, "32 bytes");
    check_header_refused((const uint8_t[]){0x01, 0x55, 0x12, 0x20}, 4, 33, CX_INVALID, "characters");
    check_header_refused((const uint8_t[]){0x01, 0x55, 0x12, 0x20}, 4, 31, CX_INVALID, "characters");
    check_header_refused((const uint8_t[]){0x01, 0x80, 0x80, 0x80, 0x80, 0x80}, 6, 0, CX_INVALID, "codec");
    check_header_refused((const uint8_t[]){0x01, 0x55, 0x92}, 3, 0, CX_INVALID, "hash");
    check_header_refused((const uint8_t[]){0x00}, 1, 40, CX_INVALID, "no CID");
}

TEST(cid, has_one_form_only)
{
    check_refused("", CX_INVALID, "empty");
    check_refused("b", CX_INVALID, "no CID");
    check_refused("?", CX_INVALID, "no CID");
    check_refused(EMPTY_CID "=", CX_INVALID, "base32");
    check_refused(EMPTY_CID "a", CX_INVALID, "60 characters");
    check_refused("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk", CX_INVALID, "58 characters");
    check_refused("bAfkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", CX_INVALID, "base32");
    check_refused("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk1", CX_INVALID, "base32");
    /* The last character carries two bits that belong to no byte. */
    check_refused("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvykv", CX_INVALID, "behind its end");
}

TEST(cid, urns_have_one_scheme_and_no_path)
{
    struct hash hash;
    static const char *const bad[] = {
        "",
        "ipfs:/" EMPTY_CID,
        "http://" EMPTY_CID,
        EMPTY_CID,
        "IPFS://" EMPTY_CID,
        "ipfs/" EMPTY_CID,
        "ipfs://" EMPTY_CID "/",
        "ipfs://" EMPTY_CID "/a.txt",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CHECK_EQ(urn_decode(bad[i], strlen(bad[i]), &hash), CX_UNSUPPORTED);
    CHECK_EQ(urn_decode("ipfs://", 7, &hash), CX_INVALID);
    CHECK_EQ(urn_decode("ipfs://" EMPTY_CID "?", 67, &hash), CX_INVALID);
}

TEST(cid, takes_back_every_hash)
{
    struct prng prng = {6};
    for (int i = 0; i < 1000; i++) {
        struct hash hash, back;
        char text[URN_TEXT_SIZE];
        prng_fill(&prng, hash.b, sizeof hash.b);
        urn_encode(&hash, text);
        CHECK_EQ(strlen(text), URN_TEXT_SIZE - 1);
        CHECK_EQ(urn_decode(text, strlen(text), &back), CX_OK);
        CHECK(hash_eq(&hash, &back));
    }
}

/* Changed, cut and lengthened names: each is refused, or is the only spelling of what it gives. */
TEST(cid, survives_whatever_comes)
{
    struct prng prng = {7};
    for (int round = 0; round < 5000; round++) {
        char bytes[80] = "ipfs://" HELLO_CID;
        size_t size = prng_below(&prng, 4) ? 66 : prng_below(&prng, sizeof bytes);
        for (uint64_t changes = prng_below(&prng, 4); changes > 0; changes--)
            bytes[prng_below(&prng, sizeof bytes)] = (char)prng_next(&prng);
        char *text = guard_copy(bytes, size);
        struct hash hash;
        char again[URN_TEXT_SIZE];
        if (urn_decode(text, size, &hash) == CX_OK) {
            urn_encode(&hash, again);
            CHECK_EQ(size, strlen(again));
            CHECK_MEM(again, text, size);
        }
        if (size > 7 && cid_decode(text + 7, size - 7, &hash) == CX_OK) {
            cid_encode(&hash, again);
            CHECK_EQ(size - 7, strlen(again));
            CHECK_MEM(again, text + 7, size - 7);
        }
        guard_free(text, size);
    }
}

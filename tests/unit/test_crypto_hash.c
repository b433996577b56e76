/* Hashes and MACs against published values, and against themselves in other pieces. */
#include <openssl/evp.h>
#include <pthread.h>

#include "base/hex.h"
#include "base/prng.h"
#include "crypto/blake3.h"
#include "crypto/exchange.h"
#include "crypto/keccak.h"
#include "crypto/mac.h"
#include "crypto/random.h"
#include "crypto/sha256.h"
#include "lib/test.h"

struct vector {
    const char *text, *hash;
};

static void check_hash(const struct hash *hash, const char *right)
{
    char text[65];
    hex_encode(hash->b, sizeof hash->b, text);
    CHECK_STR(text, right);
}

TEST(keccak, gives_the_published_values)
{
    static const struct vector vectors[] = {
        {"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"},
        {"\xcc", "eead6dbfc7340a56caedc044696a168870549a6a7f6f56961e84a54bd9970b8a"},
        {"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"},
        {"The quick brown fox jumps over the lazy dog",
         "4d741b6f1eb29cb2a9b9911c82f56fa8d73b04959d3d9d222895df6c0b28aa15"},
        {"The quick brown fox jumps over the lazy dog.",
         "578951e24efd62a3d63a86f7cd19aaa53c898fe287d2552133220370240b572d"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        struct hash hash;
        keccak256(vectors[i].text, strlen(vectors[i].text), &hash);
        check_hash(&hash, vectors[i].hash);
    }
}

/* ---- BLAKE3 ---- */

/* The published vectors: bytes 0, 1, ... 250, 0, 1, ... of these lengths. */
static const struct blake3_vector {
    uint32_t size;
    const char *hash;
} blake3_vectors[] = {
    {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"},
    {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"},
    {1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"},
    {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"},
    {1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"},
    {2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a"},
    {2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030"},
    {3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3"},
    {4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995"},
    {5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff"},
    {7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817"},
    {8192, "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63"},
    {8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b"},
    {16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4"},
    {31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47"},
    {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085"},
};

TEST(blake3, gives_the_published_values)
{
    for (size_t i = 0; i < ARRAY_COUNT(blake3_vectors); i++) {
        uint32_t size = blake3_vectors[i].size;
        uint8_t *data = test_keep(malloc(size + 1));
        struct hash hash;
        for (uint32_t at = 0; at < size; at++)
            data[at] = (uint8_t)(at % 251);
        blake3(data, size, &hash);
        check_hash(&hash, blake3_vectors[i].hash);
    }
}

TEST(blake3, gives_the_same_whatever_the_pieces_are)
{
    static uint8_t data[70000];
    struct prng prng = {1};
    prng_fill(&prng, data, sizeof data);
    for (uint32_t round = 0; round < 200; round++) {
        struct hash whole, pieces;
        struct blake3 b;
        size_t size = prng_below(&prng, round % 2 ? sizeof data + 1 : 3000);
        blake3(data, size, &whole);
        blake3_init(&b);
        for (size_t at = 0; at < size;) {
            size_t piece = prng_below(&prng, round % 3 ? 9000 : 300);
            piece = piece < size - at ? piece : size - at;
            blake3_add(&b, data + at, piece);
            at += piece;
        }
        blake3_end(&b, &pieces);
        CHECK(hash_eq(&whole, &pieces));
    }
}

TEST(blake3, gives_the_same_in_groups)
{
    static uint8_t data[5 * BLAKE3_GROUP_SIZE];
    struct prng prng = {2};
    prng_fill(&prng, data, sizeof data);
    for (uint32_t groups = 0; groups < 5; groups++) {
        struct hash whole, pieces;
        struct blake3 b;
        size_t at = 0, size = groups * BLAKE3_GROUP_SIZE + 1 + prng_below(&prng, BLAKE3_GROUP_SIZE);
        blake3(data, size, &whole);
        blake3_init(&b);
        for (; at < groups * BLAKE3_GROUP_SIZE; at += BLAKE3_GROUP_SIZE)
            blake3_add_group(&b, data + at);
        blake3_add(&b, data + at, size - at);
        blake3_end(&b, &pieces);
        CHECK(hash_eq(&whole, &pieces));
    }
}

/* OpenSSL has SHA3-256: the same permutation and rate with another padding. Undoing ours and setting theirs must
 * give theirs, for messages that end anywhere in a block. */
static void sha3_by_ours(const uint8_t *data, size_t size, struct hash *ret_hash)
{
    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, data, size);
    /* keccak_end adds 0x01 where SHA-3 has 0x06. */
    k.lane[k.used / 8] ^= (uint64_t)(0x01 ^ 0x06) << (k.used % 8 * 8);
    keccak_end(&k, ret_hash);
}

TEST(keccak, permutes_as_openssls_sha3_does_at_every_length_of_three_blocks)
{
    uint8_t data[3 * KECCAK_BLOCK_SIZE + 1];
    struct prng prng = {1};
    prng_fill(&prng, data, sizeof data);
    for (size_t size = 0; size <= sizeof data; size++) {
        struct hash ours, theirs;
        sha3_by_ours(data, size, &ours);
        CHECK(EVP_Digest(data, size, theirs.b, NULL, EVP_sha3_256(), NULL) == 1);
        CHECK(hash_eq(&ours, &theirs));
    }
}

TEST(keccak, does_not_care_in_which_pieces_data_comes)
{
    uint8_t data[1000];
    struct prng prng = {2};
    prng_fill(&prng, data, sizeof data);
    for (int round = 0; round < 300; round++) {
        size_t size = prng_below(&prng, sizeof data + 1);
        struct hash whole, pieces;
        keccak256(data, size, &whole);
        struct keccak k;
        keccak_init(&k);
        for (size_t at = 0; at < size;) {
            size_t piece = prng_below(&prng, size - at < 40 ? size - at + 1 : 200);
            piece = piece < size - at ? piece : size - at;
            keccak_add(&k, data + at, piece);
            at += piece;
        }
        keccak_end(&k, &pieces);
        CHECK(hash_eq(&whole, &pieces));
    }
}

TEST(sha256, gives_the_published_values)
{
    static const struct vector vectors[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        struct hash hash;
        sha256(vectors[i].text, strlen(vectors[i].text), &hash);
        check_hash(&hash, vectors[i].hash);
    }
}

TEST(sha256, takes_a_million_letters_in_pieces)
{
    char letters[1000];
    memset(letters, 'a', sizeof letters);
    struct sha256 s;
    struct hash hash;
    sha256_init(&s);
    for (int i = 0; i < 1000; i++)
        sha256_add(&s, letters, sizeof letters);
    sha256_end(&s, &hash);
    sha256_done(&s);
    check_hash(&hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(sha256, can_be_given_up)
{
    struct sha256 s;
    sha256_init(&s);
    sha256_add(&s, "abc", 3);
    sha256_done(&s);
    CHECK(!s.ctx);
    sha256_done(&s);
}

static void *hash_many(void *ctx)
{
    const struct hash *abc = ctx;
    for (int i = 0; i < 1000; i++) {
        struct hash hash;
        sha256(i % 2 ? "abc" : "abd", 3, &hash);
        if (hash_eq(&hash, abc) != (i % 2 == 1))
            return NULL;
    }
    return ctx;
}

/* What is hashed in one go takes what its thread has kept from the last time. */
TEST(sha256, in_one_go_and_in_pieces_do_not_meet_nor_do_threads)
{
    struct sha256 s;
    struct hash abc, pieces;
    void *well[4];
    pthread_t thread[4];
    sha256_init(&s);
    sha256_add(&s, "a", 1);
    sha256("abc", 3, &abc);
    sha256_add(&s, "bc", 2);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&thread[i], NULL, hash_many, &abc), 0);
    sha256_end(&s, &pieces);
    CHECK(hash_eq(&abc, &pieces));
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(thread[i], &well[i]), 0);
        CHECK(well[i]);
    }
}

/* The expected value is that of Python's hashlib: blake2b(b"corten", digest_size=32, key=bytes(range(32))). */
TEST(mac, is_keyed_blake2b_of_32_bytes)
{
    struct mac_key key;
    for (uint8_t i = 0; i < sizeof key.b; i++)
        key.b[i] = i;
    struct hash mac;
    mac_make(&key, "corten", 6, &mac);
    check_hash(&mac, "24f12a6bedee6e8157e7fb12e4f97d282eb2e2114d1c4c151a245f1b9c5c5c10");
}

TEST(mac, fits_only_its_key_its_data_and_its_own_bits)
{
    struct mac_key key, other;
    mac_key_generate(&key);
    mac_key_generate(&other);
    struct hash mac;
    mac_make(&key, "frame", 5, &mac);
    CHECK(mac_fits(&key, "frame", 5, &mac));
    CHECK(!mac_fits(&other, "frame", 5, &mac));
    CHECK(!mac_fits(&key, "frames", 6, &mac));
    CHECK(!mac_fits(&key, "frame", 4, &mac));
    for (unsigned bit = 0; bit < 8 * sizeof mac.b; bit++) {
        struct hash wrong = mac;
        wrong.b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(!mac_fits(&key, "frame", 5, &wrong));
    }
    mac_key_wipe(&key);
    static const struct mac_key zero;
    CHECK_MEM(key.b, zero.b, sizeof key.b);
}

TEST(exchange, gives_both_ends_one_key_and_nobody_else)
{
    struct exchange_offer called, caller, third;
    struct mac_key a, b, c;
    exchange_offer_generate(&called);
    exchange_offer_generate(&caller);
    exchange_offer_generate(&third);
    CHECK_EQ(exchange_agree(&called, EXCHANGE_CALLED, &caller.public, &a), CX_OK);
    CHECK_EQ(exchange_agree(&caller, EXCHANGE_CALLER, &called.public, &b), CX_OK);
    CHECK_MEM(a.b, b.b, sizeof a.b);
    CHECK_EQ(exchange_agree(&third, EXCHANGE_CALLER, &called.public, &c), CX_OK);
    CHECK(memcmp(a.b, c.b, sizeof a.b) != 0);
    CHECK_EQ(exchange_agree(&called, EXCHANGE_CALLER, &caller.public, &c), CX_OK);  // each side has its own
    CHECK(memcmp(a.b, c.b, sizeof a.b) != 0);
    exchange_offer_wipe(&called);
    static const struct exchange_offer zero;
    CHECK_MEM(&called, &zero, sizeof called);
}

/* A half of small order would make the key known to all. */
TEST(exchange, refuses_a_half_that_hides_nothing)
{
    struct exchange_offer own;
    struct mac_key key;
    static const struct exchange_public zero, one = {{1}};
    exchange_offer_generate(&own);
    CHECK_EQ(exchange_agree(&own, EXCHANGE_CALLED, &zero, &key), CX_INVALID);
    CHECK_EQ(exchange_agree(&own, EXCHANGE_CALLER, &one, &key), CX_INVALID);
    CHECK(strstr(cx_detail(), "exchange"));
}

TEST(random, does_not_repeat_itself)
{
    uint8_t a[32], b[32];
    random_fill(a, sizeof a);
    random_fill(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(random_u64() != random_u64());
    for (int i = 0; i < 1000; i++)
        CHECK(random_below(7) < 7);
}

/* Keys, signatures and addresses. */
#include "crypto/key.h"

#include <pthread.h>

#include "base/hex.h"
#include "base/prng.h"
#include "crypto/address_text.h"
#include "crypto/eip712.h"
#include "crypto/keccak.h"
#include "crypto/sha256.h"
#include "lib/guard.h"
#include "lib/test.h"

static struct key *key_of(const char *hex)
{
    uint8_t secret[KEY_SECRET_SIZE];
    struct key *key;
    CHECK(hex_decode(hex, strlen(hex), secret, sizeof secret));
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    return key;
}

static struct key *key_one(void) { return key_of("0000000000000000000000000000000000000000000000000000000000000001"); }

static void check_address(const struct address *address, const char *right)
{
    char text[ADDRESS_TEXT_SIZE];
    address_print(address, text);
    CHECK_STR(text, right);
}

TEST(key, has_the_address_that_wallets_give_it)
{
    cx_auto(key) one = key_one();
    check_address(key_address(one), "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf");
    /* The key of EIP-155's example. */
    cx_auto(key) example = key_of("4646464646464646464646464646464646464646464646464646464646464646");
    check_address(key_address(example), "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F");
}

TEST(key, is_a_number_from_one_to_the_groups_order)
{
    uint8_t secret[KEY_SECRET_SIZE] = {0};
    struct key *key = NULL;
    CHECK_EQ(key_from_bytes(secret, &key), CX_INVALID);
    static const char order[] = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    CHECK(hex_decode(order, 64, secret, sizeof secret));
    CHECK_EQ(key_from_bytes(secret, &key), CX_INVALID);
    CHECK(!key);
    secret[31]--;
    CHECK_EQ(key_from_bytes(secret, &key), CX_OK);
    CHECK_MEM(key_secret(key), secret, sizeof secret);
    key_close(key);
    key_close(NULL);
}

TEST(key, is_new_each_time)
{
    cx_auto(key) a = NULL;
    cx_auto(key) b = NULL;
    CHECK_EQ(key_generate(&a), CX_OK);
    CHECK_EQ(key_generate(&b), CX_OK);
    CHECK(!address_eq(key_address(a), key_address(b)));
}

/* Published with RFC 6979 nonces for this curve: key 1, the message's SHA-256. */
TEST(key, signs_as_rfc_6979_says)
{
    static const char *const vectors[][2] = {
        {"Satoshi Nakamoto", "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
                             "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"},
        {"All those moments will be lost in time, like tears in rain. Time to die...",
         "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b"
         "547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21"},
    };
    cx_auto(key) key = key_one();
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        struct hash digest;
        uint8_t sig[SIGNATURE_SIZE];
        char text[2 * SIGNATURE_SIZE + 1];
        sha256(vectors[i][0], strlen(vectors[i][0]), &digest);
        key_sign(key, &digest, sig);
        hex_encode(sig, SIGNATURE_SIZE - 1, text);
        CHECK_STR(text, vectors[i][1]);
        struct address signer;
        CHECK_EQ(key_recover(&digest, sig, &signer), CX_OK);
        CHECK(address_eq(&signer, key_address(key)));
    }
}

/* a - b over 32 bytes. */
static void subtract(const uint8_t a[32], const uint8_t b[32], uint8_t ret_rest[32])
{
    int borrow = 0;
    for (int i = 31; i >= 0; i--) {
        int digit = a[i] - b[i] - borrow;
        borrow = digit < 0;
        ret_rest[i] = (uint8_t)(digit + (borrow ? 256 : 0));
    }
}

TEST(key, refuses_the_other_form_of_a_signature)
{
    uint8_t order[32], sig[SIGNATURE_SIZE], twin[SIGNATURE_SIZE];
    static const char order_hex[] = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    CHECK(hex_decode(order_hex, 64, order, sizeof order));
    cx_auto(key) key = key_one();
    struct hash digest = {{7}};
    struct address signer;
    key_sign(key, &digest, sig);
    memcpy(twin, sig, sizeof twin);
    subtract(order, sig + 32, twin + 32);
    twin[64] = (uint8_t)(27 + 28 - sig[64]);
    CHECK_EQ(key_recover(&digest, twin, &signer), CX_INVALID);
    CHECK(strstr(cx_detail(), "upper half"));
}

/* EIP-2: half of the order itself is still low. */
TEST(key, draws_the_line_at_half_the_groups_order)
{
    static const char half_hex[] = "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0";
    cx_auto(key) key = key_one();
    struct hash digest = {{7}};
    struct address signer;
    uint8_t sig[SIGNATURE_SIZE];
    key_sign(key, &digest, sig);
    CHECK(hex_decode(half_hex, 64, sig + 32, 32));
    CHECK_EQ(key_recover(&digest, sig, &signer), CX_OK);
    CHECK(!address_eq(&signer, key_address(key)));
    sig[63]++;
    CHECK_EQ(key_recover(&digest, sig, &signer), CX_INVALID);
    CHECK(strstr(cx_detail(), "upper half"));
}

TEST(key, refuses_signatures_out_of_range)
{
    cx_auto(key) key = key_one();
    struct hash digest = {{7}};
    struct address signer;
    uint8_t good[SIGNATURE_SIZE], sig[SIGNATURE_SIZE];
    key_sign(key, &digest, good);
    for (unsigned v = 0; v < 256; v++) {
        memcpy(sig, good, sizeof sig);
        sig[64] = (uint8_t)v;
        if (v != 27 && v != 28) {
            CHECK_EQ(key_recover(&digest, sig, &signer), CX_INVALID);
            CHECK(strstr(cx_detail(), "27 or 28"));
        }
    }
    memcpy(sig, good, sizeof sig);
    memset(sig, 0xff, 32);  // r over the order
    CHECK_EQ(key_recover(&digest, sig, &signer), CX_INVALID);
    memset(sig, 0, 32);  // r = 0
    CHECK_EQ(key_recover(&digest, sig, &signer), CX_INVALID);
    memcpy(sig, good, sizeof sig);
    memset(sig + 32, 0, 32);  // s = 0
    CHECK_EQ(key_recover(&digest, sig, &signer), CX_INVALID);
    memcpy(sig, good, sizeof sig);
    memset(sig, 0, 32);
    sig[31] = 5;  // no point of the curve has this x
    CHECK_EQ(key_recover(&digest, sig, &signer), CX_INVALID);
}

TEST(key, recovers_another_signer_from_another_digest)
{
    struct prng prng = {3};
    for (int i = 0; i < 50; i++) {
        cx_auto(key) key = NULL;
        CHECK_EQ(key_generate(&key), CX_OK);
        struct hash digest;
        struct address signer;
        uint8_t sig[SIGNATURE_SIZE];
        prng_fill(&prng, digest.b, sizeof digest.b);
        key_sign(key, &digest, sig);
        CHECK_EQ(key_recover(&digest, sig, &signer), CX_OK);
        CHECK(address_eq(&signer, key_address(key)));
        digest.b[prng_below(&prng, 32)] ^= 1;
        if (key_recover(&digest, sig, &signer) == CX_OK)
            CHECK(!address_eq(&signer, key_address(key)));
    }
}

#define THREADS 4
#define EACH    200

struct job {
    const struct key *key;
    uint8_t number;
    unsigned wrong;
};

static void *sign_and_recover(void *arg)
{
    struct job *job = arg;
    for (unsigned i = 0; i < EACH; i++) {
        struct hash digest = {{job->number, (uint8_t)i}};
        struct address signer;
        uint8_t sig[SIGNATURE_SIZE];
        key_sign(job->key, &digest, sig);
        job->wrong += key_recover(&digest, sig, &signer) != CX_OK || !address_eq(&signer, key_address(job->key));
    }
    return NULL;
}

/* Each test has a process of its own, so that the threads here race for the first use of the context. */
static void *first_use(void *arg)
{
    struct job *job = arg;
    struct key *key;
    job->wrong += key_generate(&key) != CX_OK;
    struct job own = {.key = key, .number = job->number};
    sign_and_recover(&own);
    job->wrong += own.wrong;
    key_close(key);
    return NULL;
}

static void run_on_threads(void *(*run)(void *), const struct key *key)
{
    pthread_t thread[THREADS];
    struct job job[THREADS];
    for (uint8_t i = 0; i < THREADS; i++) {
        job[i] = (struct job){.key = key, .number = i};
        CHECK_EQ(pthread_create(&thread[i], NULL, run, &job[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
        CHECK_EQ(job[i].wrong, 0);
    }
}

TEST(key, may_be_first_used_by_many_threads_at_once)
{
    run_on_threads(first_use, NULL);
}

TEST(key, signs_on_many_threads_at_once)
{
    cx_auto(key) key = key_one();
    run_on_threads(sign_and_recover, key);
}

/* ---- addresses as text ---- */

TEST(address_text, is_the_checksummed_form_of_eip_55)
{
    static const char *const texts[] = {
        "0x52908400098527886E0F7030069857D2E4169EE7", "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct address address;
        CHECK_EQ(address_parse(texts[i], strlen(texts[i]), &address), CX_OK);
        check_address(&address, texts[i]);
    }
}

TEST(address_text, may_be_all_lower_or_all_upper_case)
{
    struct address a, b, c;
    CHECK_EQ(address_parse("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", 42, &a), CX_OK);
    CHECK_EQ(address_parse("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", 42, &b), CX_OK);
    CHECK_EQ(address_parse("0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED", 42, &c), CX_OK);
    CHECK(address_eq(&a, &b));
    CHECK(address_eq(&a, &c));
}

TEST(address_text, names_the_right_form_when_the_checksum_is_wrong)
{
    struct address address = {{9}}, before = address;
    CHECK_EQ(address_parse("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed", 42, &address), CX_INVALID);
    CHECK(strstr(cx_detail(), "checksum"));
    CHECK(strstr(cx_detail(), "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"));
    CHECK(address_eq(&address, &before));
}

TEST(address_text, has_0x_and_40_digits)
{
    static const char *const bad[] = {
        "",
        "0x",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0X5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed0",
        "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaeg",
        " 0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed",
        "alice",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct address address;
        CHECK_EQ(address_parse(bad[i], strlen(bad[i]), &address), CX_INVALID);
    }
}

/* ---- typed messages ---- */

static void string_field(struct eip712 *e, const char *text) { eip712_string(e, text, strlen(text)); }

static struct hash hash_of(const char *hex)
{
    struct hash hash;
    CHECK(hex_decode(hex, strlen(hex), hash.b, sizeof hash.b));
    return hash;
}

static struct address address_of(const char *text)
{
    struct address address;
    CHECK_EQ(address_parse(text, strlen(text), &address), CX_OK);
    return address;
}

static struct hash person(const char *name, const char *wallet)
{
    static const char type[] = "Person(string name,address wallet)";
    struct eip712 e;
    struct address address = address_of(wallet);
    struct hash hash;
    eip712_begin(&e, type, sizeof type - 1);
    string_field(&e, name);
    eip712_address(&e, &address);
    eip712_end(&e, &hash);
    return hash;
}

/* The example of EIP-712 itself: its domain names a contract, which Corten's does not. */
TEST(eip712, hashes_and_signs_the_standards_example)
{
    static const char domain_type[] =
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
    static const char mail_type[] = "Mail(Person from,Person to,string contents)Person(string name,address wallet)";
    struct eip712 e;
    struct hash domain, mail, digest;
    struct address contract = address_of("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC");
    eip712_begin(&e, domain_type, sizeof domain_type - 1);
    string_field(&e, "Ether Mail");
    string_field(&e, "1");
    eip712_uint(&e, 1);
    eip712_address(&e, &contract);
    eip712_end(&e, &domain);
    struct hash right = hash_of("f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f");
    CHECK(hash_eq(&domain, &right));

    struct hash from = person("Cow", "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826");
    struct hash to = person("Bob", "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB");
    eip712_begin(&e, mail_type, sizeof mail_type - 1);
    eip712_bytes32(&e, &from);
    eip712_bytes32(&e, &to);
    string_field(&e, "Hello, Bob!");
    eip712_end(&e, &mail);
    right = hash_of("c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e");
    CHECK(hash_eq(&mail, &right));
    eip712_digest(&domain, &mail, &digest);
    right = hash_of("be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
    CHECK(hash_eq(&digest, &right));

    struct hash secret;
    uint8_t sig[SIGNATURE_SIZE];
    char text[2 * SIGNATURE_SIZE + 1];
    keccak256("cow", 3, &secret);
    cx_auto(key) cow = NULL;
    CHECK_EQ(key_from_bytes(secret.b, &cow), CX_OK);
    key_sign(cow, &digest, sig);
    hex_encode(sig, sizeof sig, text);
    CHECK_STR(text, "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
                    "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562"
                    "1c");
}

TEST(eip712, tells_networks_types_and_values_apart)
{
    struct hash one, two;
    eip712_domain(1, &one);
    eip712_domain(2, &two);
    CHECK(!hash_eq(&one, &two));

    struct eip712 e;
    struct hash a, b;
    eip712_begin(&e, "A(bool v)", 9);
    eip712_bool(&e, true);
    eip712_end(&e, &a);
    eip712_begin(&e, "B(bool v)", 9);
    eip712_bool(&e, true);
    eip712_end(&e, &b);
    CHECK(!hash_eq(&a, &b));

    struct hash type_hash;
    eip712_type_hash("A(bool v)", 9, &type_hash);
    eip712_begin_hashed(&e, &type_hash);
    eip712_bool(&e, true);
    eip712_end(&e, &b);
    CHECK(hash_eq(&a, &b));
}

/* ---- whatever comes ---- */

TEST(address_text, takes_back_what_it_prints_and_refuses_every_other_mixed_case)
{
    struct prng prng = {4};
    for (int round = 0; round < 500; round++) {
        struct address address, back;
        char text[ADDRESS_TEXT_SIZE];
        prng_fill(&prng, address.b, sizeof address.b);
        address_print(&address, text);
        CHECK_EQ(address_parse(text, strlen(text), &back), CX_OK);
        CHECK(address_eq(&address, &back));

        unsigned at = 2 + (unsigned)prng_below(&prng, 40);
        if (text[at] < 'A')
            continue;
        text[at] ^= 'a' ^ 'A';
        bool lower = false, upper = false;
        for (int i = 2; i < 42; i++) {
            lower = lower || text[i] >= 'a';
            upper = upper || (text[i] >= 'A' && text[i] <= 'F');
        }
        CHECK_EQ(address_parse(text, 42, &back), lower && upper ? CX_INVALID : CX_OK);
    }
}

TEST(address_text, reads_no_byte_behind_its_end)
{
    struct prng prng = {5};
    for (size_t size = 0; size < 60; size++) {
        char bytes[64] = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed";
        for (size_t i = 42; i < sizeof bytes; i++)
            bytes[i] = (char)prng_next(&prng);
        struct address address;
        char *text = guard_copy(bytes, size);
        CHECK_EQ(address_parse(text, size, &address), size == 42 ? CX_OK : CX_INVALID);
        guard_free(text, size);
    }
}

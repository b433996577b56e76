/* The result record, the precommit and the chain of a stream: docs/protocol.md, "Result record". */
#include "base/hex.h"
#include "base/prng.h"
#include "core/record.h"
#include "crypto/blake3.h"
#include "crypto/keccak.h"
#include "lib/guard.h"
#include "lib/test.h"

static struct hash hash_of(uint8_t byte)
{
    struct hash h;
    memset(h.b, byte, sizeof h.b);
    return h;
}

static struct record some_record(void)
{
    return (struct record){
        .manifest_digest = hash_of(1),
        .engine = ENGINE_BUILTIN,
        .seed = 0x0102030405060708,
        .seed_of_client = 1,
        .request_digest = hash_of(2),
        .chain_head = hash_of(3),
        .text_digest = hash_of(4),
        .tokens_digest = hash_of(5),
        .finish = FINISH_LENGTH,
        .tokens_in = 6,
        .tokens_out = 7,
    };
}

static struct span encode(const struct record *record, uint8_t bytes[RECORD_SIZE_MAX])
{
    return (struct span){bytes, record_encode(record, bytes, RECORD_SIZE_MAX)};
}

static bool same(const struct record *a, const struct record *b)
{
    return hash_eq(&a->manifest_digest, &b->manifest_digest) && a->engine == b->engine && a->seed == b->seed &&
           a->seed_of_client == b->seed_of_client && hash_eq(&a->request_digest, &b->request_digest) &&
           hash_eq(&a->chain_head, &b->chain_head) && hash_eq(&a->text_digest, &b->text_digest) &&
           hash_eq(&a->tokens_digest, &b->tokens_digest) && a->finish == b->finish && a->tokens_in == b->tokens_in &&
           a->tokens_out == b->tokens_out;
}

TEST(record, is_laid_out_as_the_protocol_says)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    struct record record = some_record();
    struct span span = encode(&record, bytes);
    char text[2 * RECORD_EXACT_SIZE + 1], right[2 * RECORD_EXACT_SIZE + 1];
    CHECK_EQ(span.size, RECORD_EXACT_SIZE);
    hex_encode(span.data, span.size, text);
#define THIRTY_TWO(digits) \
    digits digits digits digits digits digits digits digits digits digits digits digits digits digits digits digits
    snprintf(right, sizeof right, "01%s01010203040506070801%s%s%s%s010000000600000007", THIRTY_TWO("0101"),
             THIRTY_TWO("0202"), THIRTY_TWO("0303"), THIRTY_TWO("0404"), THIRTY_TWO("0505"));
    CHECK_STR(text, right);
}

TEST(record, comes_back_as_it_went)
{
    struct prng prng = {1};
    for (int i = 0; i < 1000; i++) {
        struct record there = some_record(), back;
        for (size_t at = 0; at < 32; at++)
            there.text_digest.b[at] = (uint8_t)prng_next(&prng);
        there.engine = (uint8_t)(1 + prng_next(&prng) % 4);
        there.seed = prng_next(&prng);
        there.seed_of_client = prng_next(&prng) & 1;
        there.finish = (uint8_t)(prng_next(&prng) % FINISH_COUNT);
        there.tokens_in = (uint32_t)prng_next(&prng);
        there.tokens_out = (uint32_t)prng_next(&prng);
        uint8_t bytes[RECORD_SIZE_MAX];
        CHECK(record_decode(encode(&there, bytes), &back));
        CHECK(same(&there, &back));
    }
}

TEST(record, is_refused_at_every_other_size)
{
    uint8_t bytes[RECORD_SIZE_MAX + 1] = {0};
    struct record record = some_record(), back;
    encode(&record, bytes);
    for (uint32_t size = 0; size <= RECORD_SIZE_MAX; size++) {
        /* At the end of a page, so that reading one byte too far is a crash. */
        uint8_t *guarded = guard_copy(bytes, size);
        CHECK_EQ(record_decode((struct span){guarded, size}, &back), size == RECORD_EXACT_SIZE);
        guard_free(guarded, size);
    }
}

TEST(record, is_refused_where_an_enum_is_out_of_range)
{
    /* Where each of them lies, and one value too many. */
    static const struct {
        uint32_t at;
        uint8_t value;
    } bad[] = {{0, 0}, {0, 2}, {33, 0}, {33, 5}, {42, 2}, {171, FINISH_COUNT}, {171, 255}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        uint8_t bytes[RECORD_SIZE_MAX];
        struct record record = some_record(), back;
        struct span span = encode(&record, bytes);
        CHECK(record_decode(span, &back));
        bytes[bad[i].at] = bad[i].value;
        CHECK(!record_decode(span, &back));
    }
}

static struct precommit_terms some_terms(void)
{
    struct precommit_terms terms = {.network_id = 1, .session = 2, .task = 3, .lease = 4, .salt = hash_of(6)};
    memset(terms.node.b, 5, sizeof terms.node.b);
    return terms;
}

TEST(precommit, is_the_hash_that_the_protocol_spells_out)
{
    uint8_t bytes[RECORD_SIZE_MAX], text[92 + RECORD_EXACT_SIZE] = "corten/p";
    struct record record = some_record();
    struct span span = encode(&record, bytes);
    struct precommit_terms terms = some_terms();
    for (size_t i = 0; i < 4; i++)
        text[8 + 8 * i + 7] = (uint8_t)(i + 1);
    memset(text + 40, 5, 20);
    memset(text + 60, 6, 32);
    struct hash right, got;
    CHECK_EQ(span.size, RECORD_EXACT_SIZE);
    memcpy(text + 92, span.data, RECORD_EXACT_SIZE);
    blake3(text, sizeof text, &right);
    precommit_hash(&terms, span, &got);
    CHECK(hash_eq(&got, &right));
}

TEST(precommit, binds_everything_it_names)
{
    uint8_t bytes[RECORD_SIZE_MAX];
    struct record record = some_record();
    struct span span = encode(&record, bytes);
    struct precommit_terms base = some_terms(), other[6];
    for (size_t i = 0; i < ARRAY_COUNT(other); i++)
        other[i] = base;
    other[0].network_id++;
    other[1].session++;
    other[2].task++;
    other[3].lease++;
    other[4].node.b[19]++;
    other[5].salt.b[0]++;
    struct hash right, got;
    precommit_hash(&base, span, &right);
    for (size_t i = 0; i < ARRAY_COUNT(other); i++) {
        precommit_hash(&other[i], span, &got);
        CHECK(!hash_eq(&got, &right));
    }
    for (uint32_t at = 0; at < span.size; at++) {
        bytes[at] ^= 1;
        precommit_hash(&base, span, &got);
        CHECK(!hash_eq(&got, &right));
        bytes[at] ^= 1;
    }
}

TEST(chain, is_the_hash_that_the_protocol_spells_out)
{
    uint8_t start[32] = "corten/c", link[32 + 4 + 3];
    start[15] = 7;
    start[23] = 8;
    start[31] = 9;
    struct hash right, got;
    chain_start(7, 8, 9, &got);
    keccak256(start, sizeof start, &right);
    CHECK(hash_eq(&got, &right));

    memcpy(link, right.b, 32);
    memcpy(link + 32, "\0\0\0\3abc", 7);
    keccak256(link, sizeof link, &right);
    chain_extend(&got, "abc", 3);
    CHECK(hash_eq(&got, &right));
}

TEST(chain, tells_how_the_text_was_cut)
{
    struct hash a, b, none;
    chain_start(1, 2, 3, &a);
    b = none = a;
    chain_extend(&a, "abcd", 4);
    chain_extend(&b, "ab", 2);
    chain_extend(&b, "cd", 2);
    CHECK(!hash_eq(&a, &b));
    b = none;
    chain_extend(&b, "", 0);
    CHECK(!hash_eq(&b, &none));
}

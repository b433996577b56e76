#include "core/record.h"

#include "base/assert.h"
#include "crypto/blake3.h"
#include "crypto/keccak.h"

/* docs/protocol.md, "Result record": version, five digests, engine, seed and whose it is, finish, tokens in and out. */
#define RECORD_VERSION 1
#define RECORD_SIZE    (1 + 5 * 32 + 1 + 8 + 1 + 1 + 4 + 4)
/* docs/protocol.md, "Result record": tag, network, session, task, lease, node, salt, record. */
#define PRECOMMIT_SIZE_MAX (5 * 8 + 20 + 32 + RECORD_SIZE_MAX)
#define CHAIN_START_SIZE   (4 * 8)
#define CHAIN_LINK_SIZE    (32 + 4)  // head and length; the bytes follow

static_assert(RECORD_SIZE == RECORD_EXACT_SIZE, "the header tells the size that the codec has");
static_assert(RECORD_SIZE <= RECORD_SIZE_MAX, "a record fits the field of a commit");
static_assert(PRECOMMIT_SIZE_MAX <= BLAKE3_CHUNK_SIZE, "a precommit is hashed in one piece");

/* What is hashed begins with what it is for, so that no hash can stand for another. */
static const char precommit_tag[] = "corten/p", chain_tag[] = "corten/c";
#define TAG_SIZE 8
static_assert(sizeof precommit_tag == TAG_SIZE + 1, "tags are eight bytes");
static_assert(sizeof chain_tag == TAG_SIZE + 1, "tags are eight bytes");

uint32_t record_encode(const struct record *record, uint8_t *ret_bytes, uint32_t cap)
{
    cx_assert(cap >= RECORD_SIZE);
    cx_assert(record->seed_of_client <= 1);
    cx_assert(record->finish < FINISH_COUNT);

    struct bytes_writer w;
    bytes_writer_init(&w, ret_bytes, cap);
    bytes_put_u8(&w, RECORD_VERSION);
    bytes_put(&w, record->manifest_digest.b, sizeof record->manifest_digest.b);
    bytes_put_u8(&w, record->engine);
    bytes_put_u64(&w, record->seed);
    bytes_put_u8(&w, record->seed_of_client);
    bytes_put(&w, record->request_digest.b, sizeof record->request_digest.b);
    bytes_put(&w, record->chain_head.b, sizeof record->chain_head.b);
    bytes_put(&w, record->text_digest.b, sizeof record->text_digest.b);
    bytes_put(&w, record->tokens_digest.b, sizeof record->tokens_digest.b);
    bytes_put_u8(&w, record->finish);
    bytes_put_u32(&w, record->tokens_in);
    bytes_put_u32(&w, record->tokens_out);
    cx_assert(w.ok);
    cx_assert(w.size == RECORD_SIZE);
    return w.size;
}

static void read_fields(struct bytes_reader *r, struct record *record)
{
    bytes_get(r, record->manifest_digest.b, sizeof record->manifest_digest.b);
    record->engine = bytes_get_u8(r);
    record->seed = bytes_get_u64(r);
    record->seed_of_client = bytes_get_u8(r);
    bytes_get(r, record->request_digest.b, sizeof record->request_digest.b);
    bytes_get(r, record->chain_head.b, sizeof record->chain_head.b);
    bytes_get(r, record->text_digest.b, sizeof record->text_digest.b);
    bytes_get(r, record->tokens_digest.b, sizeof record->tokens_digest.b);
    record->finish = bytes_get_u8(r);
    record->tokens_in = bytes_get_u32(r);
    record->tokens_out = bytes_get_u32(r);
}

bool record_decode(struct span bytes, struct record *ret_record)
{
    struct record record = {0};
    struct bytes_reader r;
    bytes_reader_init(&r, bytes.data, bytes.size);
    if (bytes_get_u8(&r) != RECORD_VERSION)
        return false;
    read_fields(&r, &record);
    if (!r.ok || r.left > 0)
        return false;
    if (!term_name(TERM_engine, record.engine) || record.seed_of_client > 1 || record.finish >= FINISH_COUNT)
        return false;
    *ret_record = record;
    return true;
}

void precommit_hash(const struct precommit_terms *terms, struct span record, struct hash *ret_hash)
{
    uint8_t bytes[PRECOMMIT_SIZE_MAX];
    struct bytes_writer w;
    cx_assert(record.size <= RECORD_SIZE_MAX);
    bytes_writer_init(&w, bytes, sizeof bytes);
    bytes_put(&w, precommit_tag, TAG_SIZE);
    bytes_put_u64(&w, terms->network_id);
    bytes_put_u64(&w, terms->session);
    bytes_put_u64(&w, terms->task);
    bytes_put_u64(&w, terms->lease);
    bytes_put(&w, terms->node.b, sizeof terms->node.b);
    bytes_put(&w, terms->salt.b, sizeof terms->salt.b);
    bytes_put(&w, record.data, record.size);
    cx_assert(w.ok);
    blake3(bytes, w.size, ret_hash);
}

void chain_start(uint64_t network_id, uint64_t task, uint64_t lease, struct hash *ret_head)
{
    uint8_t bytes[CHAIN_START_SIZE];
    struct bytes_writer w;
    bytes_writer_init(&w, bytes, sizeof bytes);
    bytes_put(&w, chain_tag, TAG_SIZE);
    bytes_put_u64(&w, network_id);
    bytes_put_u64(&w, task);
    bytes_put_u64(&w, lease);
    cx_assert(w.ok);
    cx_assert(w.size == sizeof bytes);
    keccak256(bytes, sizeof bytes, ret_head);
}

void chain_extend(struct hash *head, const void *bytes, uint32_t size)
{
    uint8_t link[CHAIN_LINK_SIZE];
    struct bytes_writer w;
    bytes_writer_init(&w, link, sizeof link);
    bytes_put(&w, head->b, sizeof head->b);
    bytes_put_u32(&w, size);
    cx_assert(w.ok);
    cx_assert(w.size == sizeof link);

    struct keccak k;
    keccak_init(&k);
    keccak_add(&k, link, sizeof link);
    keccak_add(&k, bytes, size);
    keccak_end(&k, head);
}

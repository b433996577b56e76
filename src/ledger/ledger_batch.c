/* The format of a batch: how commands lie in a body, how headers are chained, what a reader checks. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/keccak.h"
#include "crypto/sha256.h"
#include "ledger/backend.h"

#define ENTRY_HEAD_SIZE 2                              // the command's size
#define CHAIN_HEAD_SIZE (32 + 8 + 4 + 20 + 8 + 8 + 8)  // ledger.h, chain(i), up to the body

struct ledger_cursor ledger_cursor(const struct ledger_batch *batch)
{
    struct ledger_cursor at = {batch, 0, 0};
    while (at.index < batch->skip) {
        at.offset += ENTRY_HEAD_SIZE + (uint32_t)be16(batch->body.data + at.offset);
        at.index++;
    }
    return at;
}

bool ledger_next(struct ledger_cursor *at, struct ledger_entry *ret_entry)
{
    const struct ledger_batch *batch = at->batch;
    if (at->index == batch->count)
        return false;
    cx_assert(at->offset + ENTRY_HEAD_SIZE <= batch->body.size);
    const uint8_t *entry = batch->body.data + at->offset;
    uint32_t size = be16(entry);
    cx_assert(at->offset + ENTRY_HEAD_SIZE + size <= batch->body.size);
    *ret_entry =
        (struct ledger_entry){batch->seq + at->index, batch->time_ms, batch->router, {entry + ENTRY_HEAD_SIZE, size}};
    at->offset += ENTRY_HEAD_SIZE + size;
    at->index++;
    return true;
}

void ledger_chain_start(uint64_t network, struct hash *ret_chain)
{
    static const char tag[] = "corten ledger";
    uint8_t text[sizeof tag - 1 + 12];
    struct bytes_writer w;
    bytes_writer_init(&w, text, sizeof text);
    bytes_put(&w, tag, sizeof tag - 1);
    bytes_put_u32(&w, LEDGER_FORMAT);
    bytes_put_u64(&w, network);
    cx_assert(w.ok && w.size == sizeof text);
    keccak256(text, sizeof text, ret_chain);
}

void ledger_chain_next(const struct hash *prev, const struct ledger_batch *batch, struct hash *ret_chain)
{
    struct hash body;
    sha256(batch->body.data, batch->body.size, &body);
    uint8_t head[CHAIN_HEAD_SIZE + sizeof body.b];
    struct bytes_writer w;
    bytes_writer_init(&w, head, sizeof head);
    bytes_put(&w, prev->b, sizeof prev->b);
    bytes_put_u64(&w, batch->seq);
    bytes_put_u32(&w, batch->count);
    bytes_put(&w, batch->router.b, sizeof batch->router.b);
    bytes_put_u64(&w, batch->epoch);
    bytes_put_u64(&w, batch->number);
    bytes_put_u64(&w, batch->time_ms);
    bytes_put(&w, body.b, sizeof body.b);
    cx_assert(w.ok);
    keccak256(head, w.size, ret_chain);
}

struct ledger_trail ledger_trail_start(uint64_t network)
{
    struct ledger_trail trail = {.known = true, .seq = 1};
    ledger_chain_start(network, &trail.chain);
    return trail;
}

struct ledger_trail ledger_trail_after(const struct ledger_batch *batch)
{
    return (struct ledger_trail){true, batch->seq + batch->count, batch->time_ms, batch->chain};
}

enum cx_err ledger_batch_check(const struct ledger_batch *batch)
{
    if (batch->count == 0)
        return cx_fail(CX_INVALID, "a batch needs at least one entry");
    if (batch->count > LEDGER_BATCH_COUNT_MAX)
        return cx_fail(CX_TOO_LARGE, "%u entries in a batch; %u is the most", batch->count, LEDGER_BATCH_COUNT_MAX);
    if (batch->body.size > LEDGER_BATCH_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "a batch of %u bytes; %u is the most", batch->body.size, LEDGER_BATCH_SIZE_MAX);
    struct bytes_reader r;
    bytes_reader_init(&r, batch->body.data, batch->body.size);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint32_t size = bytes_get_u16(&r);
        bytes_get_span(&r, size);
        if (!r.ok)
            return cx_fail(CX_INVALID, "entry %u of %u goes beyond the end of the batch", i + 1, batch->count);
        if (size == 0)
            return cx_fail(CX_INVALID, "entry %u of %u is empty", i + 1, batch->count);
        if (size > LEDGER_ENTRY_SIZE_MAX)
            return cx_fail(CX_TOO_LARGE, "entry %u has %u bytes; %u is the most", i + 1, size, LEDGER_ENTRY_SIZE_MAX);
    }
    if (r.left)
        return cx_fail(CX_INVALID, "%u bytes behind the last of %u entries", r.left, batch->count);
    return CX_OK;
}

enum cx_err ledger_trail_step(struct ledger_trail *trail, const struct ledger_batch *batch, const char *place)
{
    cx_assert(trail->known);
    if (batch->seq != trail->seq)
        return cx_fail(CX_CORRUPT, "%s: position %llu should follow, but the next batch begins at %llu", place,
                       (unsigned long long)trail->seq, (unsigned long long)batch->seq);
    unsigned long long seq = batch->seq;
    if (batch->time_ms < trail->time_ms)
        return cx_fail(CX_CORRUPT, "%s: the batch at position %llu is older than the one before it", place, seq);
    if (ledger_batch_check(batch))
        return cx_fail(CX_CORRUPT, "%s: the batch at position %llu is damaged: %s", place, seq, cx_detail());
    struct hash chain;
    ledger_chain_next(&trail->chain, batch, &chain);
    if (!hash_eq(&chain, &batch->chain))
        return cx_fail(CX_CORRUPT, "%s: the batch at position %llu is damaged: its hash does not fit", place, seq);
    *trail = ledger_trail_after(batch);
    return CX_OK;
}

enum cx_err ledger_check_turn(const struct ledger_batch *batch, uint64_t epoch, uint64_t number)
{
    unsigned long long batch_epoch = batch->epoch, batch_number = batch->number;
    if (batch->epoch < epoch)
        return cx_fail(CX_FENCED,
                       "epoch %llu of this router has ended: another process opened the ledger in its name "
                       "and took epoch %llu",
                       batch_epoch, (unsigned long long)epoch);
    if (batch->epoch > epoch)
        return cx_fail(CX_INVALID, "epoch %llu was never taken: this router is at %llu", batch_epoch,
                       (unsigned long long)epoch);
    if (batch->number != number + 1)
        return cx_fail(CX_INVALID, "batch %llu of epoch %llu leaves a gap: %llu is next", batch_number, batch_epoch,
                       (unsigned long long)number + 1);
    return CX_OK;
}

static enum cx_err check_blobs(const struct ledger_append *append, size_t *ret_size)
{
    if (append->blob_count > LEDGER_BLOB_COUNT_MAX)
        return cx_fail(CX_TOO_LARGE, "%u payloads with a batch; %u is the most", append->blob_count,
                       LEDGER_BLOB_COUNT_MAX);
    size_t size = 0;
    for (uint32_t i = 0; i < append->blob_count; i++) {
        if (append->blob[i].data.size > LEDGER_BLOB_SIZE_MAX)
            return cx_fail(CX_TOO_LARGE, "a payload of %u bytes; %u is the most", append->blob[i].data.size,
                           LEDGER_BLOB_SIZE_MAX);
        size += append->blob[i].data.size;
    }
    if (size > LEDGER_BLOBS_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "%zu bytes of payloads with a batch; %u is the most", size, LEDGER_BLOBS_SIZE_MAX);
    *ret_size = size;
    return CX_OK;
}

static enum cx_err check_commands(const struct ledger_append *append, size_t *ret_size)
{
    if (append->count == 0)
        return cx_fail(CX_INVALID, "a batch needs at least one entry");
    if (append->count > LEDGER_BATCH_COUNT_MAX)
        return cx_fail(CX_TOO_LARGE, "%u entries in a batch; %u is the most", append->count, LEDGER_BATCH_COUNT_MAX);
    size_t size = 0;
    for (uint32_t i = 0; i < append->count; i++) {
        uint32_t command = append->command[i].size;
        if (command == 0)
            return cx_fail(CX_INVALID, "entry %u of %u is empty", i + 1, append->count);
        if (command > LEDGER_ENTRY_SIZE_MAX)
            return cx_fail(CX_TOO_LARGE, "entry %u has %u bytes; %u is the most", i + 1, command,
                           LEDGER_ENTRY_SIZE_MAX);
        size += ENTRY_HEAD_SIZE + command;
    }
    if (size > LEDGER_BATCH_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "a batch of %zu bytes; %u is the most", size, LEDGER_BATCH_SIZE_MAX);
    *ret_size = size;
    return CX_OK;
}

/* Lays out blobs, body and data behind the record. */
static void fill(struct ledger_record *record, const struct ledger_append *append, uint32_t body_size)
{
    record->blob = (struct ledger_blob *)(record + 1);
    record->blob_count = append->blob_count;
    uint8_t *body = (uint8_t *)(record->blob + append->blob_count);
    struct bytes_writer w;
    bytes_writer_init(&w, body, body_size);
    for (uint32_t i = 0; i < append->count; i++) {
        bytes_put_u16(&w, (uint16_t)append->command[i].size);
        bytes_put(&w, append->command[i].data, append->command[i].size);
    }
    cx_assert(w.ok && w.size == body_size);
    record->batch.body = (struct span){body, body_size};

    uint8_t *data = body + body_size;
    for (uint32_t i = 0; i < append->blob_count; i++) {
        struct ledger_blob *blob = &record->blob[i];
        *blob = append->blob[i];
        if (blob->data.size)
            memcpy(data, blob->data.data, blob->data.size);
        blob->data.data = data;
        data += blob->data.size;
    }
}

enum cx_err ledger_record_make(const struct ledger_append *append, ledger_done *done, void *ctx,
                               struct ledger_record **ret_record)
{
    size_t body_size = 0, blobs_size = 0;
    enum cx_err err = check_commands(append, &body_size);
    if (!err)
        err = check_blobs(append, &blobs_size);
    if (err)
        return err;
    size_t heads = sizeof(struct ledger_record) + append->blob_count * sizeof(struct ledger_blob);
    struct ledger_record *record = malloc(heads + body_size + blobs_size);
    if (!record)
        return cx_fail(CX_MEMORY, "no memory for a batch of %zu bytes", body_size + blobs_size);
    *record = (struct ledger_record){.done = done, .ctx = ctx};
    record->batch.count = append->count;
    record->batch.router = append->router;
    record->batch.epoch = append->epoch;
    record->batch.number = append->number;
    fill(record, append, (uint32_t)body_size);
    *ret_record = record;
    return CX_OK;
}

void ledger_record_free(struct ledger_record *record) { free(record); }

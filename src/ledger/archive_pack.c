/* What only the owner reads of an archived task, as it is kept: body and time-line as one LZ4 block.
 *
 *      size of the body 4 | size of the time-line 4 | the block
 *
 * A time-line says the same tasks, nodes, times and hashes over and over, and most of them are in the body and in the
 * row's own columns: these are the block's dictionary. What is left is half or less; an archive writes twice as much as
 * the ledger does otherwise, on the same disk.
 */
#include <lz4.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "ledger/archive_parts.h"

#define HEAD_SIZE       8
#define DICTIONARY_SIZE (2 * 8 + sizeof(struct address) + 3 * sizeof(struct hash))

static void put_dictionary(const struct archived_task *task, uint8_t ret[DICTIONARY_SIZE])
{
    struct bytes_writer w;
    bytes_writer_init(&w, ret, DICTIONARY_SIZE);
    bytes_put_u64(&w, task->session);
    bytes_put_u64(&w, task->task);
    bytes_put(&w, task->payer.b, sizeof task->payer.b);
    bytes_put(&w, task->reference.b, sizeof task->reference.b);
    bytes_put(&w, task->prompt.b, sizeof task->prompt.b);
    bytes_put(&w, task->answer.b, sizeof task->answer.b);
    cx_assert(w.ok && w.size == DICTIONARY_SIZE);
}

void archive_pack(struct archive *archive, const struct archived_task *task)
{
    uint8_t dictionary[DICTIONARY_SIZE];
    struct buf *plain = &archive->plain, *packed = &archive->packed;
    cx_assert(task->body.size <= ARCHIVE_BODY_SIZE_MAX && task->line.size <= ARCHIVE_BODY_SIZE_MAX);
    put_dictionary(task, dictionary);
    buf_reset(plain);
    buf_add(plain, task->body.data, task->body.size);
    buf_add(plain, task->line.data, task->line.size);
    int room = LZ4_compressBound((int)plain->size);
    buf_reset(packed);
    buf_reserve(packed, HEAD_SIZE + (size_t)room);
    be32_put((uint8_t *)packed->data, task->body.size);
    be32_put((uint8_t *)packed->data + 4, task->line.size);
    LZ4_stream_t stream;
    LZ4_initStream(&stream, sizeof stream);
    LZ4_loadDict(&stream, (const char *)dictionary, DICTIONARY_SIZE);
    int size = LZ4_compress_fast_continue(&stream, plain->data ? plain->data : "", packed->data + HEAD_SIZE,
                                          (int)plain->size, room, 1);
    cx_assert(size > 0);  // there is room for the worst
    packed->size = HEAD_SIZE + (size_t)size;
}

bool archive_unpack(struct archive *archive, struct span packed, struct archived_task *task)
{
    uint8_t dictionary[DICTIONARY_SIZE];
    struct buf *plain = &archive->plain;
    if (packed.size <= HEAD_SIZE)
        return false;
    uint32_t body_size = be32(packed.data), line_size = be32(packed.data + 4);
    if (body_size > ARCHIVE_BODY_SIZE_MAX || line_size > ARCHIVE_BODY_SIZE_MAX)
        return false;
    put_dictionary(task, dictionary);
    buf_reset(plain);
    buf_reserve(plain, body_size + line_size);
    int size = LZ4_decompress_safe_usingDict((const char *)packed.data + HEAD_SIZE, plain->data,
                                             (int)(packed.size - HEAD_SIZE), (int)(body_size + line_size),
                                             (const char *)dictionary, DICTIONARY_SIZE);
    if (size < 0 || (uint32_t)size != body_size + line_size)
        return false;
    plain->size = (size_t)size;
    task->body = (struct span){(const uint8_t *)plain->data, body_size};
    task->line = (struct span){(const uint8_t *)plain->data + body_size, line_size};
    return true;
}

/* "BLAKE3: one function, fast everywhere" (2021), section 2: chunks, and the tree over them. */
#include "crypto/blake3.h"

#include "base/assert.h"
#include "crypto/blake3_parts.h"

static_assert(BLAKE3_GROUP % BLAKE3_LANES == 0, "the chunks of a group fill lanes");

/* The top of a whole subtree over 2^n chunks, none of them the last: it ends a larger one for each power of two that
 * the count of such subtrees now is whole by. */
static void push(struct blake3 *b, const struct hash *top, uint32_t chunks)
{
    cx_assert(b->subtrees < BLAKE3_DEPTH_MAX);
    cx_assert(b->chunks % chunks == 0);
    b->subtree[b->subtrees++] = *top;
    b->chunks += chunks;
    for (uint64_t whole = b->chunks / chunks; whole % 2 == 0; whole /= 2) {
        b->subtrees--;
        blake3_parent(&b->subtree[b->subtrees - 1], 0, &b->subtree[b->subtrees - 1]);
    }
}

/* A whole subtree: BLAKE3_LANES chunks, or a group. */
static void push_whole(struct blake3 *b, const uint8_t *chunks, uint32_t count)
{
    struct hash value[BLAKE3_GROUP];
    cx_assert(count == BLAKE3_LANES || count == BLAKE3_GROUP);
    for (uint32_t i = 0; i < count; i += BLAKE3_LANES)
        blake3_leaves(chunks + (size_t)i * BLAKE3_CHUNK_SIZE, b->chunks + i, value + i);
    for (uint32_t parents = count / 2; parents > 0; parents /= 2) {
        if (parents == 1)
            blake3_parent(value, 0, value);
        for (uint32_t i = 0; parents > 1 && i < parents; i += BLAKE3_LANES)
            blake3_parents(value + (size_t)2 * i, value + i);  // what lies behind is of no use, and costs nothing
    }
    push(b, value, count);
}

/* The first `count` chunks that wait, none of them the last. */
static void push_waiting(struct blake3 *b, uint32_t count)
{
    struct hash value[BLAKE3_LANES];
    cx_assert(count < BLAKE3_LANES);
    if (count > BLAKE3_LANES / 4) {
        blake3_leaves(b->waiting, b->chunks, value);
    } else {
        for (uint32_t i = 0; i < count; i++)
            blake3_chunk(b->waiting + (size_t)i * BLAKE3_CHUNK_SIZE, BLAKE3_CHUNK_SIZE, b->chunks + i, 0, &value[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        push(b, &value[i], 1);
}

void blake3_init(struct blake3 *b)
{
    b->chunks = 0;
    b->subtrees = 0;
    b->used = 0;
}

void blake3_add(struct blake3 *b, const void *data, size_t size)
{
    const uint8_t *p = data;
    cx_assert(b->used <= sizeof b->waiting);
    if (size == 0)
        return;
    if (b->used > 0) {
        size_t more = size < sizeof b->waiting - b->used ? size : sizeof b->waiting - b->used;
        memcpy(b->waiting + b->used, p, more);
        b->used += (uint32_t)more;
        if (more == size)
            return;
        push_whole(b, b->waiting, BLAKE3_LANES);  // more is to come
        b->used = 0;
        p += more;
        size -= more;
    }
    /* The last chunk is not known for the last before the end: so much as fills them is kept. */
    while (size > sizeof b->waiting) {
        bool is_group = b->chunks % BLAKE3_GROUP == 0 && size > BLAKE3_GROUP_SIZE;
        uint32_t chunks = is_group ? BLAKE3_GROUP : BLAKE3_LANES;
        push_whole(b, p, chunks);
        p += (size_t)chunks * BLAKE3_CHUNK_SIZE;
        size -= (size_t)chunks * BLAKE3_CHUNK_SIZE;
    }
    memcpy(b->waiting, p, size);
    b->used = (uint32_t)size;
}

void blake3_add_group(struct blake3 *b, const void *data)
{
    cx_assert(b->used == 0);
    cx_assert(b->chunks % BLAKE3_GROUP == 0);
    push_whole(b, data, BLAKE3_GROUP);
}

void blake3_end(struct blake3 *b, struct hash *ret_hash)
{
    uint32_t before = b->used > 0 ? (b->used - 1) / BLAKE3_CHUNK_SIZE : 0;
    struct hash pair[2];
    push_waiting(b, before);
    uint32_t at = before * BLAKE3_CHUNK_SIZE;
    blake3_chunk(b->waiting + at, b->used - at, b->chunks, b->subtrees == 0 ? ROOT : 0, &pair[1]);
    while (b->subtrees > 0) {
        b->subtrees--;
        pair[0] = b->subtree[b->subtrees];
        blake3_parent(pair, b->subtrees == 0 ? ROOT : 0, &pair[1]);
    }
    *ret_hash = pair[1];
}

void blake3(const void *data, size_t size, struct hash *ret_hash)
{
    if (size <= BLAKE3_CHUNK_SIZE) {
        blake3_chunk(data, (uint32_t)size, 0, ROOT, ret_hash);
        return;
    }
    struct blake3 b;
    blake3_init(&b);
    blake3_add(&b, data, size);
    blake3_end(&b, ret_hash);
}

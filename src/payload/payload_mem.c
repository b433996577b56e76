/* Payloads in memory, for tests and `dev` without a folder: a sorted table, as small as its use. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "payload/store.h"

struct mem_payload {
    struct hash name;
    uint64_t keep_until_ms;
    uint8_t *data;
    uint32_t size;
};

struct mem_rows {
    struct mem_payload *at;  // [count], by name
    size_t count, cap;
    uint64_t size;
};

static enum cx_err mem_open(struct payload_store *store, const char *place)
{
    if (place[0])
        return cx_fail(CX_INVALID, "%s: payloads in memory have no name; write mem:", store->uri);
    store->rows = calloc(1, sizeof(struct mem_rows));
    cx_assert(store->rows);
    return CX_OK;
}

static void mem_close(struct payload_store *store)
{
    struct mem_rows *rows = store->rows;
    if (!rows)
        return;
    for (size_t i = 0; i < rows->count; i++)
        free(rows->at[i].data);
    free(rows->at);
    free(rows);
}

/* Where the name is or would be. */
static size_t place_of(const struct mem_rows *rows, const struct hash *name)
{
    size_t low = 0, high = rows->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(rows->at[middle].name.b, name->b, sizeof name->b) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct mem_payload *find(struct payload_store *store, const struct hash *name)
{
    struct mem_rows *rows = store->rows;
    size_t at = place_of(rows, name);
    return at < rows->count && hash_eq(&rows->at[at].name, name) ? &rows->at[at] : NULL;
}

static enum cx_err mem_put(struct payload_store *store, const struct hash *name, struct span data,
                           uint64_t keep_until_ms)
{
    struct mem_rows *rows = store->rows;
    struct mem_payload *old = find(store, name);
    if (old) {
        old->keep_until_ms = u64_max(old->keep_until_ms, keep_until_ms);
        return CX_OK;
    }
    if (rows->count == rows->cap) {
        rows->cap = rows->cap ? rows->cap * 2 : 16;
        rows->at = realloc(rows->at, rows->cap * sizeof *rows->at);
        cx_assert(rows->at);
    }
    uint8_t *copy = malloc(data.size ? data.size : 1);
    cx_assert(copy);
    if (data.size)
        memcpy(copy, data.data, data.size);
    size_t at = place_of(rows, name);
    memmove(rows->at + at + 1, rows->at + at, (rows->count - at) * sizeof *rows->at);
    rows->at[at] = (struct mem_payload){*name, keep_until_ms, copy, data.size};
    rows->count++;
    rows->size += data.size;
    return CX_OK;
}

static enum cx_err mem_get(struct payload_store *store, const struct hash *name, struct buf *ret_data)
{
    const struct mem_payload *payload = find(store, name);
    if (!payload)
        return CX_NOT_FOUND;
    buf_add(ret_data, payload->data, payload->size);
    return CX_OK;
}

static enum cx_err mem_size(struct payload_store *store, const struct hash *name, uint64_t *ret_size)
{
    const struct mem_payload *payload = find(store, name);
    if (!payload)
        return CX_NOT_FOUND;
    *ret_size = payload->size;
    return CX_OK;
}

static enum cx_err mem_keep(struct payload_store *store, const struct hash *name, uint64_t keep_until_ms)
{
    struct mem_payload *payload = find(store, name);
    if (!payload)
        return CX_NOT_FOUND;
    payload->keep_until_ms = u64_max(payload->keep_until_ms, keep_until_ms);
    return CX_OK;
}

/* The oldest whose time was before now_ms; rows->count: none. */
static size_t find_oldest(const struct mem_rows *rows, uint64_t now_ms)
{
    size_t oldest = rows->count;
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t until = rows->at[i].keep_until_ms;
        if (until < now_ms && until != TIME_NEVER && (oldest == rows->count || until < rows->at[oldest].keep_until_ms))
            oldest = i;
    }
    return oldest;
}

static void remove_row(struct mem_rows *rows, size_t at)
{
    rows->size -= rows->at[at].size;
    free(rows->at[at].data);
    rows->count--;
    memmove(rows->at + at, rows->at + at + 1, (rows->count - at) * sizeof *rows->at);
}

static enum cx_err mem_expire(struct payload_store *store, uint64_t now_ms, uint32_t *ret_removed)
{
    struct mem_rows *rows = store->rows;
    uint32_t removed = 0;
    for (; removed < PAYLOAD_EXPIRE_STEP_MAX; removed++) {
        size_t oldest = find_oldest(rows, now_ms);
        if (oldest == rows->count)
            break;
        remove_row(rows, oldest);
    }
    *ret_removed = removed;
    return CX_OK;
}

static enum cx_err mem_stats(struct payload_store *store, struct payload_stats *ret_stats)
{
    const struct mem_rows *rows = store->rows;
    struct payload_stats stats = {rows->count, rows->size, TIME_NEVER};
    for (size_t i = 0; i < rows->count; i++)
        stats.expire_next_ms = u64_min(stats.expire_next_ms, rows->at[i].keep_until_ms);
    *ret_stats = stats;
    return CX_OK;
}

const struct payload_backend payload_mem = {
    .open = mem_open,
    .close = mem_close,
    .put = mem_put,
    .get = mem_get,
    .size = mem_size,
    .keep = mem_keep,
    .expire = mem_expire,
    .stats = mem_stats,
};

/* Payloads in memory, for tests and simulations: a sorted table, as small as its use; a named one is shared by all
 * handles in this process, and goes with the last. */
#include <pthread.h>
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
    struct mem_rows *next;  // named ones
    char *name;             // NULL: one handle's own
    uint32_t handles;
    struct mem_payload *at;  // [count], by name
    size_t count, cap;
    uint64_t size;
};

/* Of the list of the named ones. A named store belongs to the threads that open it one after another. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mem_rows *named;

static struct mem_rows *find_named(const char *name)
{
    for (struct mem_rows *rows = named; rows; rows = rows->next)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

static struct mem_rows *make_rows(const char *name)
{
    struct mem_rows *rows = calloc(1, sizeof *rows);
    cx_assert(rows);
    if (!name[0])
        return rows;
    rows->name = strdup(name);
    cx_assert(rows->name);
    rows->next = named;
    named = rows;
    return rows;
}

static enum cx_err mem_open(struct payload_store *store, const char *place)
{
    pthread_mutex_lock(&lock);
    struct mem_rows *rows = place[0] ? find_named(place) : NULL;
    if (!rows)
        rows = make_rows(place);
    rows->handles++;
    pthread_mutex_unlock(&lock);
    store->rows = rows;
    return CX_OK;
}

/* Whether this was the last handle. */
static bool let_go(struct mem_rows *rows)
{
    pthread_mutex_lock(&lock);
    bool last = --rows->handles == 0;
    if (last && rows->name) {
        struct mem_rows **at = &named;
        while (*at != rows)
            at = &(*at)->next;
        *at = rows->next;
    }
    pthread_mutex_unlock(&lock);
    return last;
}

static void mem_close(struct payload_store *store)
{
    struct mem_rows *rows = store->rows;
    if (!rows || !let_go(rows))
        return;
    free(rows->name);
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

static enum cx_err mem_expire(struct payload_store *store, uint64_t now_ms, bool *ret_more)
{
    struct mem_rows *rows = store->rows;
    uint32_t removed = 0;
    for (; removed < PAYLOAD_EXPIRE_STEP_MAX; removed++) {
        size_t oldest = find_oldest(rows, now_ms);
        if (oldest == rows->count)
            break;
        remove_row(rows, oldest);
    }
    *ret_more = removed == PAYLOAD_EXPIRE_STEP_MAX;
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
    .expire = mem_expire,
    .stats = mem_stats,
};

#include "payload/payload.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "crypto/cid.h"
#include "crypto/sha256.h"
#include "payload/store.h"

static const struct {
    const char *scheme;
    const struct payload_backend *backend;  // NULL: not built
} schemes[] = {
    {"mem:", &payload_mem}, {"sqlite:", &payload_sqlite}, {"postgres:", NULL}, {"s3:", NULL}, {"ipfs:", NULL},
};

static enum cx_err find_backend(const char *uri, const struct payload_backend **ret_backend, const char **ret_place)
{
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t size = strlen(schemes[i].scheme);
        if (strncmp(uri, schemes[i].scheme, size) != 0)
            continue;
        if (!schemes[i].backend)
            return cx_fail(CX_UNSUPPORTED,
                           "%s: payload stores of kind %.*s are not built into this program; use"
                           " sqlite:PATH",
                           uri, (int)size - 1, uri);
        *ret_backend = schemes[i].backend;
        *ret_place = uri + size;
        return CX_OK;
    }
    return cx_fail(CX_INVALID, "%s: that names no payload store; write sqlite:PATH or mem:", uri);
}

enum cx_err payload_store_open(const char *uri, struct payload_store **ret_store)
{
    cx_assert(uri && ret_store);
    const struct payload_backend *backend = NULL;
    const char *place = NULL;
    enum cx_err err = find_backend(uri, &backend, &place);
    if (err)
        return err;
    struct payload_store *store = calloc(1, sizeof *store);
    char *copy = strdup(uri);
    cx_assert(store && copy);
    store->backend = backend;
    store->uri = copy;
    err = backend->open(store, place);
    if (err) {
        payload_store_close(store);
        return err;
    }
    *ret_store = store;
    return CX_OK;
}

void payload_store_close(struct payload_store *store)
{
    if (!store)
        return;
    store->backend->close(store);
    free(store->uri);
    free(store);
}

static enum cx_err not_found(struct payload_store *store, const struct hash *name)
{
    char urn[URN_TEXT_SIZE];
    urn_encode(name, urn);
    return cx_fail(CX_NOT_FOUND, "%s is not in %s: it was never stored, or its time is over", urn, store->uri);
}

enum cx_err payload_put(struct payload_store *store, const void *data, size_t size, uint64_t keep_until_ms,
                        struct hash *ret_sha256)
{
    if (size > PAYLOAD_SIZE_MAX)
        return cx_fail(CX_TOO_LARGE, "a payload of %zu bytes; %u is the most", size, PAYLOAD_SIZE_MAX);
    struct hash name;
    sha256(data, size, &name);
    enum cx_err err = store->backend->put(store, &name, (struct span){data, (uint32_t)size}, keep_until_ms);
    if (!err)
        *ret_sha256 = name;
    return err;
}

enum cx_err payload_get(struct payload_store *store, const struct hash *name, struct buf *ret_data)
{
    size_t before = ret_data->size;
    enum cx_err err = store->backend->get(store, name, ret_data);
    if (err == CX_NOT_FOUND)
        return not_found(store, name);
    if (err)
        return err;
    struct hash is;
    sha256(ret_data->data + before, ret_data->size - before, &is);
    if (hash_eq(&is, name))
        return CX_OK;
    ret_data->size = before;
    if (ret_data->data)
        ret_data->data[before] = '\0';
    char urn[URN_TEXT_SIZE];
    urn_encode(name, urn);
    return cx_fail(CX_CORRUPT, "%s is damaged in %s: its bytes are not those of its name", urn, store->uri);
}

enum cx_err payload_has(struct payload_store *store, const struct hash *name, bool *ret_has, uint64_t *ret_size)
{
    uint64_t size = 0;
    enum cx_err err = store->backend->size(store, name, &size);
    if (err && err != CX_NOT_FOUND)
        return err;
    *ret_has = err == CX_OK;
    if (ret_size)
        *ret_size = size;
    return CX_OK;
}

enum cx_err payload_expire(struct payload_store *store, uint64_t now_ms, bool *ret_more)
{
    return store->backend->expire(store, now_ms, ret_more);
}

enum cx_err payload_stats(struct payload_store *store, struct payload_stats *ret_stats)
{
    return store->backend->stats(store, ret_stats);
}

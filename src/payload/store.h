/* store.h - within src/payload: what a store is. payload.c checks sizes and names; a store keeps rows. */
#ifndef CORTEN_PAYLOAD_STORE_H
#define CORTEN_PAYLOAD_STORE_H

#include "payload/payload.h"

struct payload_backend {
    enum cx_err (*open)(struct payload_store *store, const char *place);
    /* store->rows may be NULL. */
    void (*close)(struct payload_store *store);
    enum cx_err (*put)(struct payload_store *store, const struct hash *sha256, struct span data,
                       uint64_t keep_until_ms);
    /* Adds the bytes to ret_data as they are. NOT_FOUND without words. */
    enum cx_err (*get)(struct payload_store *store, const struct hash *sha256, struct buf *ret_data);
    enum cx_err (*size)(struct payload_store *store, const struct hash *sha256, uint64_t *ret_size);
    enum cx_err (*expire)(struct payload_store *store, uint64_t now_ms, bool *ret_more);
    enum cx_err (*stats)(struct payload_store *store, struct payload_stats *ret_stats);
};

extern const struct payload_backend payload_mem, payload_sqlite;

struct payload_store {
    const struct payload_backend *backend;
    char *uri;
    void *rows;  // the backend's
};

#endif

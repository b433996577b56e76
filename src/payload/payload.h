/* payload.h - prompts and answers by their content: put bytes, get a name; the name gives these bytes or none.
 *
 * A payload is named by its SHA-256, which people see as a URN (crypto/cid.h). It is immutable, checked each time it
 * is read, and kept until a time that only ever moves later; then payload_expire removes it and the name alone is left.
 *
 * Threads: a handle belongs to one thread; several handles of one store may be open.
 * Source: docs/protocol.md, "Payloads".
 */
#ifndef CORTEN_PAYLOAD_PAYLOAD_H
#define CORTEN_PAYLOAD_PAYLOAD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

#define PAYLOAD_SIZE_MAX        (16 << 20)
#define PAYLOAD_EXPIRE_STEP_MAX 64  // rows that one payload_expire removes: payloads, or packs of them

struct payload_store;

/* uri: `mem:` (this handle's own), `mem:NAME` (shared by all handles in this process, on one thread) or `sqlite:PATH`
 * (the ledger's file or one of its own; made where there is none). UNSUPPORTED: a store that is not built, by name.
 * CORRUPT: no such database. IO: the folder, by name. */
enum cx_err payload_store_open(const char *uri, struct payload_store **ret_store);
void payload_store_close(struct payload_store *store);
CX_CLOSER(payload_store)

/* Durable when it returns. The same content again is no error: of the two times the later holds. TOO_LARGE. */
enum cx_err payload_put(struct payload_store *store, const void *data, size_t size, uint64_t keep_until_ms,
                        struct hash *ret_sha256);
/* Adds the bytes to ret_data. NOT_FOUND: never stored, or expired. CORRUPT: the bytes are not those of the name. */
enum cx_err payload_get(struct payload_store *store, const struct hash *sha256, struct buf *ret_data);
/* Whether it is there, and how large; nothing is read or checked. ret_size may be NULL. */
enum cx_err payload_has(struct payload_store *store, const struct hash *sha256, bool *ret_has, uint64_t *ret_size);

/* Removes some of the payloads whose time was before now_ms, the oldest first; call again at once where there may be
 * more. What came with a batch may stay PAYLOAD_PACK_MS_MAX longer (proto/payload_rows.h). */
enum cx_err payload_expire(struct payload_store *store, uint64_t now_ms, bool *ret_more);

struct payload_stats {
    uint64_t count;
    uint64_t size;            // bytes of content
    uint64_t expire_next_ms;  // TIME_NEVER: nothing will expire
};
enum cx_err payload_stats(struct payload_store *store, struct payload_stats *ret_stats);

#endif

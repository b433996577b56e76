/* trail.h - the running digest: what followed from the entries, batch by batch.
 *
 *      digest = BLAKE3(digest | for each entry: verdict u16, events u32, for each event: its encoding)
 *
 * Every entry of every ledger comes this way, so events are encoded where they are hashed from, and hashed in groups of
 * chunks, whose leaves and parents fill the lanes of a vector.
 *
 * Source: docs/protocol.md, "Snapshots".
 */
#ifndef CORTEN_CORE_TRAIL_H
#define CORTEN_CORE_TRAIL_H

#include "base/arena.h"
#include "core/event.h"
#include "core/verdict.h"
#include "crypto/blake3.h"

#define TRAIL_CAP (BLAKE3_GROUP_SIZE + EVENT_SIZE_MAX)  // a group is hashed once more than it has come

struct trail {
    struct blake3 digest;  // of this batch, but for what waits
    uint8_t *waiting;      // [TRAIL_CAP]
    uint32_t used;
    bool open;  // a batch has begun
};

bool trail_init(struct trail *trail, struct arena *arena);
/* What followed from an entry. `before`: the running digest before this batch. */
void trail_add(struct trail *trail, const struct hash *before, enum verdict verdict, const struct event_list *events);
/* The running digest after this batch, into that before it; unchanged where nothing was added. */
void trail_end(struct trail *trail, struct hash *digest);

#endif

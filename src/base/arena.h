/* arena.h - memory that is handed out in order and given back all at once.
 *
 * An arena over NULL only counts: run the same code once to learn the size, allocate that much, and
 * run it again. Everything taken is zeroed and aligned to 16 bytes; what fills a line of the cache, to
 * a line, counted from the arena's beginning.
 */
#ifndef CORTEN_BASE_ARENA_H
#define CORTEN_BASE_ARENA_H

#include "base/types.h"

struct arena {
    uint8_t *at;  // NULL: counting
    size_t used;  // bytes
    size_t cap;   // bytes; ignored while counting
};

void arena_init(struct arena *arena, void *at, size_t cap);
/* count × size bytes, or NULL where they do not fit or the product overflows; a counting arena
 * always gives NULL. `used` has grown in every case but overflow, so it tells what was wanted. */
void *arena_take(struct arena *arena, size_t count, size_t size);
/* Forgets all that was taken; the memory stays the arena's. */
void arena_reset(struct arena *arena);

#endif

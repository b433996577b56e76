/* heap.h - which item is due first: an indexed heap over (key, item).
 *
 * Items are slots of some table, each at most once in the heap; equal keys come out in slot order, so
 * that replicas agree. All operations are O(log n), heap_key and heap_top O(1).
 *
 *      place 4 is the first, and place p has the children 5 (p - 3) .. 5 (p - 3) + 4
 *
 * A large heap costs what it waits for memory. So five siblings lie in one line of the cache, keys and
 * items, and as many are compared for each of the few levels.
 *
 * Shape: group[] of five places each; place[cap] by item (SLOT_NONE: not in the heap).
 */
#ifndef CORTEN_BASE_HEAP_H
#define CORTEN_BASE_HEAP_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/prefetch.h"
#include "base/types.h"

#define HEAP_SIBLINGS 5
#define HEAP_FIRST    4  // place of the least; those before it are never used

/* Places that nobody has: TIME_NEVER and SLOT_NONE, behind all others. */
struct heap_group {
    uint64_t key[HEAP_SIBLINGS];
    uint32_t item[HEAP_SIBLINGS];
};
static_assert(sizeof(struct heap_group) == CACHE_LINE_SIZE, "siblings lie in one line");

struct heap {
    struct heap_group *group;
    uint32_t *place;
    uint32_t cap, count;
};

bool heap_init(struct heap *heap, struct arena *arena, uint32_t cap);
/* Puts item in with this key, or moves it there. TIME_NEVER takes it out. */
void heap_set(struct heap *heap, uint32_t item, uint64_t key);
void heap_remove(struct heap *heap, uint32_t item);  // no-op when it is not in
static inline bool heap_has(const struct heap *heap, uint32_t item)
{
    cx_assert(item < heap->cap);
    return heap->place[item] != SLOT_NONE;
}
/* Of an item that is in. */
static inline uint64_t heap_key(const struct heap *heap, uint32_t item)
{
    cx_assert(heap_has(heap, item));
    return heap->group[heap->place[item] / HEAP_SIBLINGS].key[heap->place[item] % HEAP_SIBLINGS];
}
/* The item with the least key, or SLOT_NONE. */
static inline uint32_t heap_top(const struct heap *heap) { return heap->group[0].item[HEAP_FIRST]; }
/* The least key, or TIME_NEVER. */
static inline uint64_t heap_top_key(const struct heap *heap) { return heap->group[0].key[HEAP_FIRST]; }
/* Asks for what moving this item reads first; and, when that has come, for what it reads then. */
static inline void heap_expect(const struct heap *heap, uint32_t item)
{
    cx_prefetch(&heap->place[item], sizeof *heap->place);
}
static inline void heap_expect_key(const struct heap *heap, uint32_t item)
{
    uint32_t place = heap->place[item];
    if (place != SLOT_NONE)
        cx_prefetch(&heap->group[place / HEAP_SIBLINGS], sizeof *heap->group);
}
void heap_check(const struct heap *heap);

#endif

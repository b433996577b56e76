/* heap.h - which item is due first: an indexed binary heap over (key, item).
 *
 * Items are slots of some table, each at most once in the heap; equal keys come out in slot order, so
 * that replicas agree. All operations are O(log n), heap_key and heap_top O(1).
 *
 * Shape: key[cap] by item, place[cap] by item (SLOT_NONE: not in the heap), item[count] in heap order.
 */
#ifndef CORTEN_BASE_HEAP_H
#define CORTEN_BASE_HEAP_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/prefetch.h"
#include "base/types.h"

struct heap {
    uint64_t *key;
    uint32_t *place;
    uint32_t *item;
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
/* The item with the least key, or SLOT_NONE. */
static inline uint32_t heap_top(const struct heap *heap) { return heap->count ? heap->item[0] : SLOT_NONE; }
/* The least key, or TIME_NEVER. */
static inline uint64_t heap_top_key(const struct heap *heap)
{
    return heap->count ? heap->key[heap->item[0]] : TIME_NEVER;
}
/* Asks for what moving this item reads first. */
static inline void heap_expect(const struct heap *heap, uint32_t item)
{
    cx_prefetch(&heap->key[item], sizeof *heap->key);
    cx_prefetch(&heap->place[item], sizeof *heap->place);
}
void heap_check(const struct heap *heap);

#endif

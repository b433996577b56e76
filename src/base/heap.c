#include "base/heap.h"

#include "base/assert.h"

bool heap_init(struct heap *heap, struct arena *arena, uint32_t cap)
{
    heap->key = arena_take(arena, cap, sizeof *heap->key);
    heap->place = arena_take(arena, cap, sizeof *heap->place);
    heap->item = arena_take(arena, cap, sizeof *heap->item);
    heap->cap = cap;
    heap->count = 0;
    if (!heap->key || !heap->place || !heap->item)
        return false;
    for (uint32_t i = 0; i < cap; i++)
        heap->place[i] = SLOT_NONE;
    return true;
}

static bool before(const struct heap *heap, uint32_t a, uint32_t b)
{
    if (heap->key[a] != heap->key[b])
        return heap->key[a] < heap->key[b];
    return a < b;
}

static void put(struct heap *heap, uint32_t place, uint32_t item)
{
    heap->item[place] = item;
    heap->place[item] = place;
}

static void rise(struct heap *heap, uint32_t place)
{
    uint32_t item = heap->item[place];
    while (place > 0) {
        uint32_t parent = (place - 1) / 2;
        if (!before(heap, item, heap->item[parent]))
            break;
        put(heap, place, heap->item[parent]);
        place = parent;
    }
    put(heap, place, item);
}

static void sink(struct heap *heap, uint32_t place)
{
    uint32_t item = heap->item[place];
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && before(heap, heap->item[child + 1], heap->item[child]))
            child++;
        if (!before(heap, heap->item[child], item))
            break;
        put(heap, place, heap->item[child]);
        place = child;
    }
    put(heap, place, item);
}

void heap_set(struct heap *heap, uint32_t item, uint64_t key)
{
    cx_assert(item < heap->cap);
    if (key == TIME_NEVER) {
        heap_remove(heap, item);
        return;
    }
    heap->key[item] = key;
    if (!heap_has(heap, item))
        put(heap, heap->count++, item);
    rise(heap, heap->place[item]);
    sink(heap, heap->place[item]);
}

void heap_remove(struct heap *heap, uint32_t item)
{
    cx_assert(item < heap->cap);
    uint32_t place = heap->place[item];
    if (place == SLOT_NONE)
        return;
    heap->place[item] = SLOT_NONE;
    uint32_t last = heap->item[--heap->count];
    if (last == item)
        return;
    put(heap, place, last);
    rise(heap, place);
    sink(heap, heap->place[last]);
}

void heap_check(const struct heap *heap)
{
    cx_assert(heap->count <= heap->cap);
    for (uint32_t i = 0; i < heap->count; i++) {
        cx_assert(heap->place[heap->item[i]] == i);
        if (i > 0)
            cx_assert(!before(heap, heap->item[i], heap->item[(i - 1) / 2]));
    }
}

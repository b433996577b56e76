#include "base/heap.h"

#include "base/assert.h"

struct entry {
    uint64_t key;
    uint32_t item;
};

static const struct entry none = {TIME_NEVER, SLOT_NONE};

bool heap_init(struct heap *heap, struct arena *arena, uint32_t cap)
{
    cx_assert(cap < UINT32_MAX / HEAP_SIBLINGS);
    uint32_t groups = (HEAP_FIRST + cap) / HEAP_SIBLINGS + 1;
    heap->group = arena_take(arena, groups, sizeof *heap->group);
    heap->place = arena_take(arena, cap, sizeof *heap->place);
    heap->cap = cap;
    heap->count = 0;
    if (!heap->group || !heap->place)
        return false;
    for (uint32_t i = 0; i < groups; i++)
        for (uint32_t k = 0; k < HEAP_SIBLINGS; k++) {
            heap->group[i].key[k] = none.key;
            heap->group[i].item[k] = none.item;
        }
    for (uint32_t i = 0; i < cap; i++)
        heap->place[i] = SLOT_NONE;
    return true;
}

/* ---- places ---- */

/* The first place that is free. */
static uint32_t end_of(const struct heap *heap) { return HEAP_FIRST + heap->count; }

static uint32_t parent_of(uint32_t place) { return place / HEAP_SIBLINGS + 3; }
static uint32_t children_of(uint32_t place) { return HEAP_SIBLINGS * (place - 3); }

static bool before(struct entry a, struct entry b) { return a.key != b.key ? a.key < b.key : a.item < b.item; }

static struct entry entry_at(const struct heap *heap, uint32_t place)
{
    const struct heap_group *group = &heap->group[place / HEAP_SIBLINGS];
    return (struct entry){group->key[place % HEAP_SIBLINGS], group->item[place % HEAP_SIBLINGS]};
}

static void write_at(struct heap *heap, uint32_t place, struct entry entry)
{
    struct heap_group *group = &heap->group[place / HEAP_SIBLINGS];
    group->key[place % HEAP_SIBLINGS] = entry.key;
    group->item[place % HEAP_SIBLINGS] = entry.item;
}

static void put(struct heap *heap, uint32_t place, struct entry entry)
{
    write_at(heap, place, entry);
    heap->place[entry.item] = place;
}

/* ---- order ---- */

/* The entry belongs into this place, or above it. */
static void rise(struct heap *heap, uint32_t place, struct entry entry)
{
    while (place > HEAP_FIRST) {
        struct entry parent = entry_at(heap, parent_of(place));
        if (!before(entry, parent))
            break;
        put(heap, place, parent);
        place = parent_of(place);
    }
    put(heap, place, entry);
}

static uint32_t least_of(const struct heap *heap, uint32_t first, struct entry *ret_least)
{
    const struct heap_group *group = &heap->group[first / HEAP_SIBLINGS];
    uint32_t least = 0;
    for (uint32_t i = 1; i < HEAP_SIBLINGS; i++) {
        bool sooner = group->key[i] < group->key[least] ||
                      (group->key[i] == group->key[least] && group->item[i] < group->item[least]);
        least = sooner ? i : least;
    }
    *ret_least = (struct entry){group->key[least], group->item[least]};
    return first + least;
}

/* Into this place, or below it. */
static void sink(struct heap *heap, uint32_t place, struct entry entry)
{
    while (children_of(place) < end_of(heap)) {
        struct entry least;
        uint32_t child = least_of(heap, children_of(place), &least);
        if (!before(least, entry))
            break;
        put(heap, place, least);
        place = child;
    }
    put(heap, place, entry);
}

static void settle(struct heap *heap, uint32_t place, struct entry entry)
{
    if (place > HEAP_FIRST && before(entry, entry_at(heap, parent_of(place))))
        rise(heap, place, entry);
    else
        sink(heap, place, entry);
}

/* ---- changes ---- */

void heap_set(struct heap *heap, uint32_t item, uint64_t key)
{
    if (key == TIME_NEVER) {
        heap_remove(heap, item);
        return;
    }
    if (!heap_has(heap, item)) {
        heap->place[item] = end_of(heap);
        heap->count++;
    }
    settle(heap, heap->place[item], (struct entry){key, item});
}

void heap_remove(struct heap *heap, uint32_t item)
{
    if (!heap_has(heap, item))
        return;
    uint32_t place = heap->place[item];
    heap->count--;
    struct entry last = entry_at(heap, end_of(heap));
    write_at(heap, end_of(heap), none);
    heap->place[item] = SLOT_NONE;
    if (last.item != item)
        settle(heap, place, last);
}

void heap_check(const struct heap *heap)
{
    uint32_t in = 0;
    for (uint32_t i = 0; i < heap->cap; i++) {
        if (!heap_has(heap, i))
            continue;
        in++;
        cx_assert(entry_at(heap, heap->place[i]).item == i);
    }
    cx_assert(in == heap->count);
    for (uint32_t i = HEAP_FIRST + 1; i < end_of(heap); i++)
        cx_assert(!before(entry_at(heap, i), entry_at(heap, parent_of(i))));
    for (uint32_t i = end_of(heap); i % HEAP_SIBLINGS != 0; i++)
        cx_assert(entry_at(heap, i).item == SLOT_NONE);
}

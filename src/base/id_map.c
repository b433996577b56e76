#include "base/id_map.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/prefetch.h"

#define KEY_WORD 4  // keys are whole words of so many bytes

bool id_map_init(struct id_map *map, struct arena *arena, uint32_t cap, const void *rows, size_t stride,
                 uint32_t key_size)
{
    cx_assert(cap < UINT32_MAX / 4);
    cx_assert(key_size % KEY_WORD == 0);
    uint32_t room = 4;
    while (room < 2 * cap)
        room *= 2;
    map->slot = arena_take(arena, room, sizeof *map->slot);
    map->rows = rows;
    map->stride = stride;
    map->key_size = key_size;
    map->room = room;
    map->cap = cap;
    map->count = 0;
    if (!map->slot)
        return false;
    id_map_clear(map);
    return true;
}

void id_map_clear(struct id_map *map)
{
    memset(map->slot, 0xff, map->room * sizeof *map->slot);
    map->count = 0;
}

static const uint8_t *key_of(const struct id_map *map, uint32_t slot) { return map->rows + (size_t)slot * map->stride; }

static inline uint64_t mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

/* Mixes all bytes of the key; its quality decides speed only. */
static uint32_t home_of(const struct id_map *map, const uint8_t *key)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    uint32_t size = map->key_size;
    for (; size >= 8; size -= 8, key += 8) {
        uint64_t word;
        memcpy(&word, key, sizeof word);
        h = mix(h, word);
    }
    if (size > 0) {
        uint32_t word;
        memcpy(&word, key, sizeof word);
        h = mix(h, word);
    }
    return (uint32_t)h & (map->room - 1);
}

/* By words and not by memcmp, which is a call. */
static bool key_eq(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    for (uint32_t i = 0; i < size; i += KEY_WORD) {
        uint32_t x, y;
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        if (x != y)
            return false;
    }
    return true;
}

static uint32_t place_of(const struct id_map *map, const void *key)
{
    uint32_t place = home_of(map, key);
    while (map->slot[place] != SLOT_NONE && !key_eq(key_of(map, map->slot[place]), key, map->key_size))
        place = (place + 1) & (map->room - 1);
    return place;
}

void id_map_expect_place(const struct id_map *map, const void *key)
{
    cx_prefetch(&map->slot[home_of(map, key)], sizeof *map->slot);
}

void id_map_expect_row(const struct id_map *map, const void *key)
{
    uint32_t slot = map->slot[home_of(map, key)];
    if (slot != SLOT_NONE)
        cx_prefetch(key_of(map, slot), map->stride);
}

uint32_t id_map_find(const struct id_map *map, const void *key) { return map->slot[place_of(map, key)]; }

void id_map_add(struct id_map *map, uint32_t slot)
{
    cx_assert(map->count < map->cap);
    uint32_t place = place_of(map, key_of(map, slot));
    cx_assert(map->slot[place] == SLOT_NONE);
    map->slot[place] = slot;
    map->count++;
}

void id_map_remove(struct id_map *map, uint32_t slot)
{
    uint32_t mask = map->room - 1;
    uint32_t hole = place_of(map, key_of(map, slot));
    cx_assert(map->slot[hole] == slot);
    map->count--;
    /* Close the hole: move up whoever may not be found across it. */
    for (uint32_t i = (hole + 1) & mask; map->slot[i] != SLOT_NONE; i = (i + 1) & mask) {
        uint32_t home = home_of(map, key_of(map, map->slot[i]));
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        map->slot[hole] = map->slot[i];
        hole = i;
    }
    map->slot[hole] = SLOT_NONE;
}

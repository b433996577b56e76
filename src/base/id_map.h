/* id_map.h - which row has this key: open addressing over the rows' own keys.
 *
 * The map stores slots only; a row's key lies at rows + slot × stride, key_size bytes, and must not
 * change while the row is in the map; key_size is a multiple of four. Look-up is O(1) expected.
 *
 * Shape: slot[room], room a power of two of at least 2 × cap; SLOT_NONE: free.
 */
#ifndef CORTEN_BASE_ID_MAP_H
#define CORTEN_BASE_ID_MAP_H

#include "base/arena.h"
#include "base/types.h"

struct id_map {
    uint32_t *slot;
    const uint8_t *rows;
    size_t stride;
    uint32_t key_size;
    uint32_t room, count, cap;
};

/* rows is the address of the key in row 0. */
bool id_map_init(struct id_map *map, struct arena *arena, uint32_t cap, const void *rows, size_t stride,
                 uint32_t key_size);
/* The row with that key, or SLOT_NONE. */
uint32_t id_map_find(const struct id_map *map, const void *key);
/* Asks for the memory of a look-up: of its place first, of the row there later. */
void id_map_expect_place(const struct id_map *map, const void *key);
void id_map_expect_row(const struct id_map *map, const void *key);
/* Adds a row whose key is in place, and in no other row of the map. */
void id_map_add(struct id_map *map, uint32_t slot);
/* Takes a row out; its key must still be in place. */
void id_map_remove(struct id_map *map, uint32_t slot);
void id_map_clear(struct id_map *map);

#endif

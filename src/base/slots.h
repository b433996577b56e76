/* slots.h - the free places of a table, and names for its rows that are never used twice.
 *
 *      id = generation << 32 | slot        generation >= 1, so 0 is no id
 *
 * Look-up is index and compare. A slot that is given back comes again with the next generation; one
 * whose generation is used up is retired. Free slots are used last in, first out, after never used
 * ones have been tried: the order is part of the state, and equal on all replicas.
 *
 * Shape: row[cap]; a slot is live if its next_free is SLOT_LIVE. Both numbers of a slot are asked for together, so they
 *        lie together.
 */
#ifndef CORTEN_BASE_SLOTS_H
#define CORTEN_BASE_SLOTS_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/prefetch.h"
#include "base/types.h"

#define SLOT_LIVE (UINT32_MAX - 1)

struct slots {
    struct slot_row {
        uint32_t generation, next_free;
    } * row;
    uint32_t cap;
    uint32_t used;  // slots ever taken: all live ones lie below
    uint32_t live;
    uint32_t free_head;  // SLOT_NONE: none
};

/* False where the arena has no room. */
bool slots_init(struct slots *slots, struct arena *arena, uint32_t cap);
/* Takes a free slot, or SLOT_NONE when the table is full. */
uint32_t slots_take(struct slots *slots);
/* Whether slots_take would give one. */
static inline bool slots_has_room(const struct slots *slots)
{
    return slots->used < slots->cap || slots->free_head != SLOT_NONE;
}
/* Ends the id of a live slot. */
void slots_give(struct slots *slots, uint32_t slot);
static inline bool slots_is_live(const struct slots *slots, uint32_t slot)
{
    return slot < slots->used && slots->row[slot].next_free == SLOT_LIVE;
}
static inline uint64_t slots_id(const struct slots *slots, uint32_t slot)
{
    cx_assert(slots_is_live(slots, slot));
    return (uint64_t)slots->row[slot].generation << 32 | slot;
}
/* The live slot that id names, or SLOT_NONE. */
static inline uint32_t slots_find(const struct slots *slots, uint64_t id)
{
    uint32_t slot = (uint32_t)id;
    return slots_is_live(slots, slot) && slots->row[slot].generation == id >> 32 ? slot : SLOT_NONE;
}
/* Asks for what look-ups of this slot read. */
static inline void slots_expect(const struct slots *slots, uint32_t slot)
{
    cx_prefetch(&slots->row[slot], sizeof *slots->row);
}
void slots_check(const struct slots *slots);

#endif

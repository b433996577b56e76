#include "base/slots.h"

#include "base/assert.h"

bool slots_init(struct slots *slots, struct arena *arena, uint32_t cap)
{
    cx_assert(cap < SLOT_LIVE);
    slots->row = arena_take(arena, cap, sizeof *slots->row);
    slots->cap = cap;
    slots->used = 0;
    slots->live = 0;
    slots->free_head = SLOT_NONE;
    return slots->row;
}

uint32_t slots_take(struct slots *slots)
{
    uint32_t slot;
    if (slots->used < slots->cap) {
        slot = slots->used++;
        slots->row[slot].generation = 1;
    } else {
        slot = slots->free_head;
        if (slot == SLOT_NONE)
            return SLOT_NONE;
        slots->free_head = slots->row[slot].next_free;
    }
    slots->row[slot].next_free = SLOT_LIVE;
    slots->live++;
    return slot;
}

void slots_give(struct slots *slots, uint32_t slot)
{
    cx_assert(slots_is_live(slots, slot));
    slots->live--;
    slots->row[slot].next_free = SLOT_NONE;
    if (slots->row[slot].generation == UINT32_MAX)
        return;  // retired: its next name would be an old one
    slots->row[slot].generation++;
    slots->row[slot].next_free = slots->free_head;
    slots->free_head = slot;
}

void slots_check(const struct slots *slots)
{
    uint32_t live = 0, free = 0;
    for (uint32_t i = 0; i < slots->used; i++)
        live += slots_is_live(slots, i);
    for (uint32_t i = slots->free_head; i != SLOT_NONE; i = slots->row[i].next_free) {
        cx_assert(i < slots->used);
        cx_assert(free < slots->used);
        free++;
    }
    cx_assert(live == slots->live);
    cx_assert(live + free <= slots->used);
}

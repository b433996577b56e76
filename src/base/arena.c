#include "base/arena.h"

#include "base/mem.h"

#define ARENA_ALIGN 16

void arena_init(struct arena *arena, void *at, size_t cap)
{
    arena->at = at;
    arena->used = 0;
    arena->cap = cap;
}

void *arena_take(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - ARENA_ALIGN - arena->used)
        return NULL;
    size_t from = arena->used;
    arena->used += (bytes + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (!arena->at || arena->used > arena->cap)
        return NULL;
    return memset(arena->at + from, 0, bytes);
}

void arena_reset(struct arena *arena) { arena->used = 0; }

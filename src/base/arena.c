#include "base/arena.h"

#include "base/mem.h"
#include "base/prefetch.h"

#define ARENA_ALIGN 16

void arena_init(struct arena *arena, void *at, size_t cap)
{
    arena->at = at;
    arena->used = 0;
    arena->cap = cap;
}

static size_t rounded(size_t at, size_t align) { return (at + align - 1) / align * align; }

void *arena_take(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 2 * CACHE_LINE_SIZE - arena->used)
        return NULL;
    size_t from = rounded(arena->used, bytes < CACHE_LINE_SIZE ? ARENA_ALIGN : CACHE_LINE_SIZE);
    arena->used = from + rounded(bytes, ARENA_ALIGN);
    if (!arena->at || arena->used > arena->cap)
        return NULL;
    return memset(arena->at + from, 0, bytes);
}

void arena_reset(struct arena *arena) { arena->used = 0; }

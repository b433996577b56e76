/* prefetch.h - asks the processor for memory that will soon be read. It changes nothing and may do nothing. */
#ifndef CORTEN_BASE_PREFETCH_H
#define CORTEN_BASE_PREFETCH_H

#include "base/types.h"

#define CACHE_LINE_SIZE 64  // of most machines; a wrong number costs time only

static inline void cx_prefetch(const void *at, size_t size)
{
    const uint8_t *p = at;
    for (size_t i = 0; i < size; i += CACHE_LINE_SIZE)
        __builtin_prefetch(p + i);
    __builtin_prefetch(p + size - 1);
}

#endif

#include "base/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/prefetch.h"

#define LARGE_PAGE ((size_t)2 << 20)

void *pages_take(size_t size)
{
    void *at;
    if (size < LARGE_PAGE)
        return posix_memalign(&at, CACHE_LINE_SIZE, size) == 0 ? at : NULL;
    if (size > SIZE_MAX - LARGE_PAGE)
        return NULL;
    size_t whole = (size + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    if (posix_memalign(&at, LARGE_PAGE, whole) != 0)
        return NULL;
    (void)madvise(at, whole, MADV_HUGEPAGE);  // a wish: without them it is only slower
    return at;
}

void pages_give(void *at) { free(at); }

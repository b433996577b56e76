#include "lib/guard.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/test.h"

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* Whole pages for size bytes, at least one. */
static size_t room(size_t size) { return (size / page_size() + 1) * page_size(); }

void *guard_copy(const void *data, size_t size)
{
    size_t inside = room(size);
    uint8_t *at = mmap(NULL, inside + page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || mprotect(at + inside, page_size(), PROT_NONE) != 0)
        test_fail(__FILE__, __LINE__, "no guarded memory");
    uint8_t *copy = at + inside - size;
    if (size)
        memcpy(copy, data, size);
    return copy;
}

void guard_free(void *copy, size_t size)
{
    size_t inside = room(size);
    if (munmap((uint8_t *)copy + size - inside, inside + page_size()) != 0)
        test_fail(__FILE__, __LINE__, "guarded memory of another size");
}

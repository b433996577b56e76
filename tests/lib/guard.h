/* guard.h - memory that ends at a page nobody may touch: a decoder that reads one byte too far dies. */
#ifndef CORTEN_TESTS_GUARD_H
#define CORTEN_TESTS_GUARD_H

#include <stddef.h>

/* A copy of data whose end is the end of the readable memory. size may be 0. It lives until the test's
 * process ends, or until guard_free with the same size. */
void *guard_copy(const void *data, size_t size);
void guard_free(void *copy, size_t size);

#endif

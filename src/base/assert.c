#include "base/assert.h"

#if __STDC_HOSTED__
#include <stdio.h>
#include <stdlib.h>

_Noreturn void cx_assert_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    abort();
}
#else
_Noreturn void cx_assert_failed(const char *what, const char *file, int line)
{
    (void)what;
    (void)file;
    (void)line;
    __builtin_trap();
}
#endif

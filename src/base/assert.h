/* assert.h - what we can prove, checked in every build. Never for what a peer, file or user sent. */
#ifndef CORTEN_BASE_ASSERT_H
#define CORTEN_BASE_ASSERT_H

#if __STDC_HOSTED__
#include <assert.h>  // static_assert
#else
#define static_assert _Static_assert
#endif

/* Prints where and what, and ends the program. Without a C library it traps. */
_Noreturn void cx_assert_failed(const char *what, const char *file, int line);

#define cx_assert(what)                                  \
    do {                                                 \
        if (__builtin_expect(!(what), 0))                \
            cx_assert_failed(#what, __FILE__, __LINE__); \
    } while (0)

/* For readers: x may be either, and both are fine. */
#define cx_maybe(x) ((void)(x))

#endif

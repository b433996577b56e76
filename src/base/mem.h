/* mem.h - the four functions that compilers may call by themselves. With a C library they are its
 * own; without one (the wasm32 build of the core) mem.c supplies them. */
#ifndef CORTEN_BASE_MEM_H
#define CORTEN_BASE_MEM_H

#include <stddef.h>

#if __STDC_HOSTED__
#include <string.h>
#else
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
#endif

#endif

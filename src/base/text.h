/* text.h - NUL-terminated names, where there is no C library. */
#ifndef CORTEN_BASE_TEXT_H
#define CORTEN_BASE_TEXT_H

#include "base/types.h"

uint32_t text_size(const char *text);
bool text_eq(const char *a, const char *b);

#endif

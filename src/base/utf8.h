/* utf8.h - RFC 3629: what is well-formed UTF-8, and where it may be cut. */
#ifndef CORTEN_BASE_UTF8_H
#define CORTEN_BASE_UTF8_H

#include "base/types.h"

/* How many bytes the first character takes: 1..4, or 0 where it is ill-formed or cut. */
size_t utf8_step(const char *text, size_t size);
/* How many bytes from the first on are ASCII that stands for itself in JSON: no control character, quote, backslash. */
size_t utf8_plain(const char *text, size_t size);
bool utf8_is_valid(const char *text, size_t size);
/* The longest prefix that does not end inside a character that more bytes could complete. */
size_t utf8_whole_prefix(const char *text, size_t size);

#endif

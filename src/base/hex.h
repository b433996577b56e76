/* hex.h - bytes as lower-case hexadecimal and back. */
#ifndef CORTEN_BASE_HEX_H
#define CORTEN_BASE_HEX_H

#include "base/types.h"

/* Writes 2 × size digits and a NUL. */
void hex_encode(const void *data, size_t size, char *ret_text);
/* Reads exactly 2 × size digits, of either case; false where another character or the end comes. */
bool hex_decode(const char *text, size_t text_size, void *ret_data, size_t size);

#endif

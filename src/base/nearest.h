/* nearest.h - what somebody probably meant who wrote a name that does not exist. */
#ifndef CORTEN_BASE_NEAREST_H
#define CORTEN_BASE_NEAREST_H

#include "base/types.h"

#define NEAREST_SIZE_MAX 96  // of a text; what is longer is compared up to here

/* How many characters must be put in, left out or exchanged to make one text of the other; case does not count. */
uint32_t nearest_distance(const char *a, const char *b);

#endif

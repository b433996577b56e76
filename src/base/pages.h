/* pages.h - large memory that is read all over, a network's tables: in the largest pages that the machine gives.
 *
 * A processor looks up where each page lies, and remembers so few of them that in pages of 4 KiB nearly every row of a
 * large table costs a look-up besides waiting for the row itself.
 */
#ifndef CORTEN_BASE_PAGES_H
#define CORTEN_BASE_PAGES_H

#include "base/types.h"

/* Aligned to a line of the cache, and to a large page from the size of one on. NULL: there is no memory. */
void *pages_take(size_t size);
void pages_give(void *at);

#endif

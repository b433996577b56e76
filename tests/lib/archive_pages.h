/* archive_pages.h - walks an archive page by page. */
#ifndef CORTEN_TESTS_ARCHIVE_PAGES_H
#define CORTEN_TESTS_ARCHIVE_PAGES_H

#include "ledger/archive.h"

/* How many tasks the query's pages have, from its own to the last one. Fails the test where they are not in order, or
 * where a page has more than its limit. */
uint32_t archive_pages_walk(struct archive *archive, struct archive_query query);

#endif

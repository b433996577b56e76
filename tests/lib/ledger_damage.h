/* ledger_damage.h - changes to the files of sqlite: ledgers that no ledger would make. */
#ifndef CORTEN_TESTS_LEDGER_DAMAGE_H
#define CORTEN_TESTS_LEDGER_DAMAGE_H

#include "lib/ledger_suite.h"

/* The path in a sqlite: URI. */
const char *ledger_path(const char *uri);
/* Runs statements on the file. */
void ledger_sql(const char *uri, const char *text);
/* For struct suite_backend. */
void ledger_damage(const char *uri, struct ledger *anchor, uint64_t seq, enum suite_field field, uint32_t byte);

#endif

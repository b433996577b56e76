/* verdict.h - the one reason for which the core refuses a command. Source: docs/protocol.md, "Verdicts". */
#ifndef CORTEN_CORE_VERDICT_H
#define CORTEN_CORE_VERDICT_H

enum verdict {
#define VERDICT(id, name, text) VERDICT_##name = id,
#include "core/verdict.def"
#undef VERDICT
    VERDICT_COUNT
};

/* "LEASE_STALE", or NULL for a number that is none. */
const char *verdict_name(enum verdict verdict);
/* What it means, for people. */
const char *verdict_text(enum verdict verdict);

#endif

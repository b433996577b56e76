/* trace.h - histories in a few lines: what was commanded when, what followed, what was refused.
 * The syntax is in tests/traces/README.md. */
#ifndef CORTEN_TESTS_TRACE_H
#define CORTEN_TESTS_TRACE_H

#include <stdbool.h>
#include <stddef.h>

/* Runs one trace. False: ret_why names the line and what is wrong with it, or what came instead. */
bool trace_run(const char *path, char *ret_why, size_t why_size);

#endif

/* What tests/lib asks of the program around it: here a failed check is a crash, and nothing is cleaned up by itself. */
#include <stdarg.h>

#include "fuzz/fuzz.h"
#include "lib/test.h"

void test_fail(const char *file, int line, const char *format, ...)
{
    fprintf(stderr, "%s:%d: ", file, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

void test_at_end(void (*done)(void *ctx), void *ctx)
{
    (void)done;
    (void)ctx;
}

void test_not_at_end(const void *ctx) { (void)ctx; }
void *test_keep(void *memory) { return memory; }
void test_free(void *memory) { free(memory); }

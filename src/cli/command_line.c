#include "cli/command_line.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int fail(const char *subcommand, enum cx_err err)
{
    fprintf(stderr, "corten %s: %s\n", subcommand, *cx_detail() ? cx_detail() : cx_err_name(err));
    return EXIT_FAILED;
}

int fail_usage(const char *subcommand, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "corten %s: ", subcommand);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\ncorten %s --help says more.\n", subcommand);
    return EXIT_USAGE;
}

bool is_colourful(void)
{
    const char *off = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && !(off && *off);
}

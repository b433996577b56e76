#include "cli/input.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum cx_err input_read(const char *path, size_t size_max, struct buf *ret_bytes)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!file)
        return cx_fail(CX_NOT_FOUND, "%s: %s", path, strerror(errno));
    char piece[65536];
    size_t size;
    while ((size = fread(piece, 1, sizeof piece, file)) > 0 && ret_bytes->size <= size_max)
        buf_add(ret_bytes, piece, size);
    bool failed = ferror(file);
    if (file != stdin)
        fclose(file);
    if (failed)
        return cx_fail(CX_IO, "%s: reading failed", path);
    if (ret_bytes->size > size_max)
        return cx_fail(CX_TOO_LARGE, "%s: over %zu bytes", path, size_max);
    return CX_OK;
}

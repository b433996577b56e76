/* input.h - what a subcommand reads whole: a file, or standard input as "-". */
#ifndef CORTEN_CLI_INPUT_H
#define CORTEN_CLI_INPUT_H

#include "base/buf.h"
#include "base/err.h"

/* NOT_FOUND, IO, or TOO_LARGE over size_max bytes; what was read until then is in ret_bytes all the same. */
enum cx_err input_read(const char *path, size_t size_max, struct buf *ret_bytes);

#endif

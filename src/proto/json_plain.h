/* json_plain.h - within proto: documents as programs write them, read at once. json_parse asks here first.
 *
 * jansson looks at every byte in four places, behind a callback. Most documents need none of that: texts without \u,
 * integers of at most 18 digits, no fractions. What is read here, jansson reads as the same; everything else is left to
 * jansson, good or bad, and so are the words of an error.
 */
#ifndef CORTEN_PROTO_JSON_PLAIN_H
#define CORTEN_PROTO_JSON_PLAIN_H

#include <jansson.h>

/* NULL: it is not plain, or it is no JSON that json_parse would take. json_decref frees the result. */
json_t *json_plain_read(const char *text, size_t size);

#endif

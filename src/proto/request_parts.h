/* request_parts.h - within src/proto: what the files of request.h share.
 *
 *      request_body.c   bodies of the three APIs -> canonical document -> struct request
 *      request_bin.c    the native body in binary <-> struct request
 *      request.c        canonical bytes <-> struct request
 */
#ifndef CORTEN_PROTO_REQUEST_PARTS_H
#define CORTEN_PROTO_REQUEST_PARTS_H

#include "core/limits.h"
#include "proto/request.h"

#define REQUEST_JSON_SIZE_MAX PROMPT_SIZE_MAX

/* Fixed point fields: in bodies a number, in the canonical document an integer of ten-thousandths. */
enum {
    REQUEST_TEMPERATURE,
    REQUEST_TOP_P,
    REQUEST_PRESENCE_PENALTY,
    REQUEST_FREQUENCY_PENALTY,
    REQUEST_FIXED_COUNT,
};
extern const struct request_fixed {
    const char *name, *canonical;
    int64_t min, max, normal;
} request_fixed[REQUEST_FIXED_COUNT];

bool request_is_role(const char *role);
/* Why the canonical bytes of this value, a member of `extra`, could not be read again; NULL: they can. */
const char *request_unreadable(const json_t *value);
/* Reads the rest of the struct from its canonical document. */
enum cx_err request_fill(struct request *request);
struct span request_span(const json_t *text);

#endif

/* fields_json.h - commands and events as JSON, from their tables: numbers of closed sets by their names, u64 as decimal
 * strings (JavaScript loses numbers over 2^53), addresses in EIP-55 form, hashes and bytes as 0x hexadecimal. */
#ifndef CORTEN_PROTO_FIELDS_JSON_H
#define CORTEN_PROTO_FIELDS_JSON_H

#include "core/field.h"
#include "core/terms.h"
#include "proto/json.h"

/* Adds the fields as members of the open object. `name` is the command's or event's. */
void fields_json(struct json_out *out, const char *name, struct field_list list, const void *from);
/* The set that a field's numbers belong to, or TERM_SET_COUNT. */
enum term_set field_terms(const char *name, const char *field);

#endif

/* params.h - a network's parameters, as genesis set them and admins changed them.
 * Source: docs/protocol.md, "Parameters". */
#ifndef CORTEN_CORE_PARAMS_H
#define CORTEN_CORE_PARAMS_H

#include "base/types.h"
#include "core/verdict.h"

struct params {
#define PARAM(id, name, default_, min, max, text) uint64_t name;
#include "core/param.def"
#undef PARAM
};

struct param_info {
    uint16_t id;
    uint16_t offset;  // into struct params
    const char *name, *text;
    uint64_t default_, min, max;
};

#define PARAM_CAPACITY_ID_END 32  // ids below are capacities

void params_default(struct params *params);
/* The description of a parameter, or NULL. */
const struct param_info *param_find(uint16_t id);
const struct param_info *param_find_name(const char *name);
const struct param_info *param_next(const struct param_info *info);  // NULL in: the first; NULL out: no more
uint64_t param_get(const struct params *params, const struct param_info *info);
/* Refused: PARAM_UNKNOWN, VALUE_INVALID outside min..max. */
enum verdict param_set(struct params *params, uint16_t id, uint64_t value);
/* Reads (id, value) pairs, ids ascending, into params. Refused: COMMAND_MALFORMED, PARAM_UNKNOWN, VALUE_INVALID. */
enum verdict params_read(struct params *params, struct span pairs);

#endif

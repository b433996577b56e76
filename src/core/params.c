#include "core/params.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "base/text.h"

static const struct param_info table[] = {
#define PARAM(id, name, default_, min, max, text) {id, offsetof(struct params, name), #name, text, default_, min, max},
#include "core/param.def"
#undef PARAM
};

static uint64_t *value_of(struct params *params, const struct param_info *info)
{
    return (uint64_t *)(void *)((uint8_t *)params + info->offset);
}

void params_default(struct params *params)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++)
        *value_of(params, &table[i]) = table[i].default_;
}

const struct param_info *param_find(uint16_t id)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++)
        if (table[i].id == id)
            return &table[i];
    return NULL;
}

const struct param_info *param_find_name(const char *name)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(table); i++)
        if (text_eq(table[i].name, name))
            return &table[i];
    return NULL;
}

const struct param_info *param_next(const struct param_info *info)
{
    if (!info)
        return &table[0];
    return info + 1 < table + ARRAY_COUNT(table) ? info + 1 : NULL;
}

uint64_t param_get(const struct params *params, const struct param_info *info)
{
    uint64_t value;
    memcpy(&value, (const uint8_t *)params + info->offset, sizeof value);
    return value;
}

enum verdict param_set(struct params *params, uint16_t id, uint64_t value)
{
    const struct param_info *info = param_find(id);
    if (!info)
        return VERDICT_PARAM_UNKNOWN;
    if (value < info->min || value > info->max)
        return VERDICT_VALUE_INVALID;
    *value_of(params, info) = value;
    return VERDICT_ACCEPTED;
}

enum verdict params_read(struct params *params, struct span pairs)
{
    struct params read = *params;
    struct bytes_reader r;
    bytes_reader_init(&r, pairs.data, pairs.size);
    for (uint32_t last = 0; r.left > 0;) {
        uint16_t id = bytes_get_u16(&r);
        uint64_t value = bytes_get_u64(&r);
        if (!r.ok || id <= last)
            return VERDICT_COMMAND_MALFORMED;
        last = id;
        enum verdict verdict = param_set(&read, id, value);
        if (verdict != VERDICT_ACCEPTED)
            return verdict;
    }
    cx_assert(r.left == 0);
    *params = read;
    return VERDICT_ACCEPTED;
}

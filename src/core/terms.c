#include "core/terms.h"

#include "base/text.h"

#define NAME(name, number)    [number] = #name,
#define NAMES_OF(set, values) static const char *const set##_name[] = {values(NAME)};
#define ENTRY_OF(set, values) [TERM_##set] = {set##_name, ARRAY_COUNT(set##_name)},

TERM_SETS(NAMES_OF)

static const struct {
    const char *const *name;
    uint32_t count;
} table[TERM_SET_COUNT] = {TERM_SETS(ENTRY_OF)};

const char *term_name(enum term_set set, uint32_t value)
{
    return value < table[set].count ? table[set].name[value] : NULL;
}

int term_find(enum term_set set, const char *name)
{
    for (uint32_t i = 0; i < table[set].count; i++)
        if (table[set].name[i] && text_eq(table[set].name[i], name))
            return (int)i;
    return -1;
}

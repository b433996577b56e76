#include "core/verdict.h"

#include "base/types.h"

static const struct {
    const char *name, *text;
} table[VERDICT_COUNT] = {
#define VERDICT(id, name, text) [id] = {#name, text},
#include "core/verdict.def"
#undef VERDICT
};

const char *verdict_name(enum verdict verdict)
{
    return (uint32_t)verdict < VERDICT_COUNT ? table[verdict].name : NULL;
}

const char *verdict_text(enum verdict verdict)
{
    return (uint32_t)verdict < VERDICT_COUNT ? table[verdict].text : NULL;
}

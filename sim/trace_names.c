#include "sim/trace_names.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static const char people[] = "amourspqn";

char trace_letter_of(const struct field *f)
{
    static const struct {
        const char *field;
        char letter;
    } fits[] = {
        {"task", 't'},  {"lease", 'l'}, {"session", 's'},    {"round", 'c'},
        {"audit", 'x'}, {"model", 'd'}, {"withdrawal", 'w'},
    };
    for (size_t i = 0; f->type == FIELD_u64 && i < ARRAY_COUNT(fits); i++)
        if (strcmp(fits[i].field, f->name) == 0)
            return fits[i].letter;
    return 0;
}

void trace_names_add(struct trace_names *names, const struct trace_name *name)
{
    if (names->count == names->cap) {
        names->cap = names->cap ? names->cap * 2 : 64;
        names->name = realloc(names->name, names->cap * sizeof *names->name);
        cx_assert(names->name);
    }
    names->name[names->count++] = *name;
}

const struct trace_name *trace_names_find(const struct trace_names *names, const char *text)
{
    for (uint32_t i = names->count; i > 0; i--)
        if (strcmp(names->name[i - 1].text, text) == 0)
            return &names->name[i - 1];
    return NULL;
}

const struct trace_name *trace_names_of_number(const struct trace_names *names, const char *field, uint64_t number)
{
    for (uint32_t i = names->count; i > 0; i--) {
        const struct trace_name *n = &names->name[i - 1];
        if (!n->is_address && n->number == number && strcmp(n->field, field) == 0)
            return n;
    }
    return NULL;
}

const struct trace_name *trace_names_of_address(const struct trace_names *names, const struct address *address)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (names->name[i].is_address && address_eq(&names->name[i].address, address))
            return &names->name[i];
    return NULL;
}

struct trace_name trace_names_next(const struct trace_names *names, char letter)
{
    struct trace_name name = {0};
    uint32_t number = 1;
    do
        snprintf(name.text, sizeof name.text, "%c%u", letter, number++);
    while (trace_names_find(names, name.text));
    return name;
}

bool trace_person(const char *text, struct address *ret_address)
{
    char *end;
    const char *at = text[0] ? strchr(people, text[0]) : NULL;
    if (!at || !isdigit((unsigned char)text[1]))
        return false;
    unsigned long number = strtoul(text + 1, &end, 10);
    if (*end || number > UINT32_MAX)
        return false;
    *ret_address = (struct address){{(uint8_t)toupper((unsigned char)text[0])}};
    for (int i = 0; i < 4; i++)
        ret_address->b[19 - i] = (uint8_t)(number >> 8 * i);
    return true;
}

bool trace_person_name(const struct address *address, char ret_text[TRACE_NAME_SIZE])
{
    struct address same;
    if (!isupper(address->b[0]) || !strchr(people, tolower(address->b[0])))
        return false;
    snprintf(ret_text, TRACE_NAME_SIZE, "%c%u", tolower(address->b[0]),
             (unsigned)address->b[16] << 24 | (unsigned)address->b[17] << 16 | (unsigned)address->b[18] << 8 |
                 address->b[19]);
    return trace_person(ret_text, &same) && address_eq(&same, address);
}

void trace_names_done(struct trace_names *names)
{
    free(names->name);
    *names = (struct trace_names){0};
}

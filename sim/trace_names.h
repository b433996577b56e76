/* trace_names.h - names in exact traces: for addresses, and for numbers that the core gave out. */
#ifndef CORTEN_SIM_TRACE_NAMES_H
#define CORTEN_SIM_TRACE_NAMES_H

#include "core/event.h"

#define TRACE_NAME_SIZE 24

struct trace_name {
    char text[TRACE_NAME_SIZE];
    bool is_address;
    struct address address;
    uint64_t number;
    const char *field;  // of a number: the field that it stands in
};
struct trace_names {
    struct trace_name *name;
    uint32_t count, cap;
};

/* The fields that hold numbers of the core's: their letter, or 0. */
char trace_letter_of(const struct field *f);
void trace_names_add(struct trace_names *names, const struct trace_name *name);
const struct trace_name *trace_names_find(const struct trace_names *names, const char *text);
const struct trace_name *trace_names_of_number(const struct trace_names *names, const char *field, uint64_t number);
const struct trace_name *trace_names_of_address(const struct trace_names *names, const struct address *address);
/* A new name with that letter in front: "m3". */
struct trace_name trace_names_next(const struct trace_names *names, char letter);
/* u1, m2 ...: the people of small networks, whose addresses say who they are. */
bool trace_person(const char *text, struct address *ret_address);
bool trace_person_name(const struct address *address, char ret_text[TRACE_NAME_SIZE]);
void trace_names_done(struct trace_names *names);

#endif

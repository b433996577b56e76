/* random_command.h - commands of any type with fields drawn from a seed, for property tests. */
#ifndef CORTEN_TESTS_RANDOM_COMMAND_H
#define CORTEN_TESTS_RANDOM_COMMAND_H

#include "base/prng.h"
#include "core/event.h"

/* Fills the members that `list` describes; bytes come from `pool` (at least 2,048 bytes of it are read). */
void random_fields(struct prng *prng, struct field_list list, const uint8_t *pool, void *ret_to);
/* Whether both say the same, byte for byte. */
bool fields_same(struct field_list list, const void *a, const void *b);

#endif

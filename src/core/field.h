/* field.h - what commands and events are made of, so that one codec serves all of them.
 * Source: docs/protocol.md, "Entries". */
#ifndef CORTEN_CORE_FIELD_H
#define CORTEN_CORE_FIELD_H

#include "base/amount.h"
#include "base/bytes.h"
#include "base/types.h"

enum field_type { FIELD_u8, FIELD_u16, FIELD_u32, FIELD_u64, FIELD_amount, FIELD_address, FIELD_hash, FIELD_bytes };

struct field {
    const char *name;
    uint16_t offset;    // in the struct
    uint16_t size_max;  // of FIELD_bytes
    uint8_t type;       // enum field_type
};

struct field_list {
    const struct field *field;
    uint32_t count;
};

/* Big-endian numbers, bare addresses and hashes, u16-sized bytes, in the order of the list. */
void fields_encode(struct field_list list, const void *from, struct bytes_writer *w);
/* False where bytes are short or a size is over its maximum. Spans point into the reader's bytes. */
bool fields_decode(struct field_list list, struct bytes_reader *r, void *ret_to);

#endif

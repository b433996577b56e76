/* rows.h - the canonical bytes of the core's tables, for snapshot and digest alike.
 *
 * A module describes each row once, in a function that is run in three ways: to write it into a snapshot, to read it
 * back, and to hash it. What a row forgets is thus missing in all three, and the simulator's replicas differ.
 *
 *      root = keccak256(module digests), module = keccak256(name, table digests), table = blake3(count, rows)
 *
 * Source: docs/protocol.md, "Snapshots".
 */
#ifndef CORTEN_CORE_ROWS_H
#define CORTEN_CORE_ROWS_H

#include "base/amount.h"
#include "base/bytes.h"
#include "base/heap.h"
#include "base/id_map.h"
#include "base/slots.h"
#include "crypto/blake3.h"
#include "crypto/keccak.h"

enum rows_way { ROWS_WRITE, ROWS_READ, ROWS_HASH, ROWS_COUNT };

struct rows {
    enum rows_way way;
    struct bytes_writer w;  // ROWS_WRITE
    struct bytes_reader r;  // ROWS_READ
    uint64_t size;          // ROWS_COUNT: bytes a snapshot takes
    struct blake3 table;
    struct keccak module, root;
    bool in_table;
    bool ok;  // ROWS_READ: false after a number outside its bounds
};

static inline bool rows_reading(const struct rows *rows) { return rows->way == ROWS_READ; }
/* All zero but the way; ROWS_WRITE and ROWS_READ then want `w` or `r`. */
void rows_init(struct rows *rows, enum rows_way way);
/* The root over the modules so far. Writing and reading hash what passes, so the root comes with them. */
void rows_root(struct rows *rows, struct hash *ret_root);
/* Frames. `count` is read or written; reading refuses one over cap. */
void rows_module(struct rows *rows, const char *name);
void rows_module_end(struct rows *rows);
void rows_table(struct rows *rows, uint32_t *count, uint32_t cap);
void rows_table_end(struct rows *rows);
/* One value each. Reading gives zeros (slots: SLOT_NONE) after the first that is refused. What stands outside a table
 * is hashed into its module. */
void row_u8(struct rows *rows, uint8_t *v);
void row_u16(struct rows *rows, uint16_t *v);
void row_u32(struct rows *rows, uint32_t *v);
void row_u64(struct rows *rows, uint64_t *v);
void row_slot(struct rows *rows, uint32_t *slot, uint32_t cap);  // SLOT_NONE or < cap
void row_bool(struct rows *rows, bool *v);
void row_amount(struct rows *rows, struct amount *v);
void row_bytes(struct rows *rows, void *data, uint32_t size);
/* An enum kept in an int-sized variable: value < count. */
#define row_enum(rows, v, count)             \
    do {                                     \
        uint8_t row_enum_ = (uint8_t) * (v); \
        row_u8((rows), &row_enum_);          \
        if (row_enum_ >= (count))            \
            (rows)->ok = false;              \
        else                                 \
            *(v) = row_enum_;                \
    } while (0)
/* After reading a row: enters it into its index; a second row of that key is refused. */
void rows_index(struct rows *rows, struct id_map *map, uint32_t slot, const void *key);
/* The bookkeeping of a table: generations and free list. */
void row_slots(struct rows *rows, struct slots *slots);
/* Which items are due when. */
void row_heap(struct rows *rows, struct heap *heap);

#endif

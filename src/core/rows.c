#include "core/rows.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/text.h"

void rows_init(struct rows *rows, enum rows_way way)
{
    memset(rows, 0, sizeof *rows);
    rows->way = way;
    rows->ok = true;
    keccak_init(&rows->root);
    keccak_init(&rows->module);
}

void rows_root(struct rows *rows, struct hash *ret_root)
{
    cx_assert(rows->way != ROWS_COUNT);
    keccak_end(&rows->root, ret_root);
}

/* Every value takes this way: `data` is written, or replaced by what is read; and hashed in either case. */
static void pass(struct rows *rows, uint8_t *data, uint32_t size)
{
    if (rows->way == ROWS_COUNT) {
        rows->size += size;
        return;
    }
    if (rows->way == ROWS_WRITE) {
        bytes_put(&rows->w, data, size);
        rows->ok = rows->ok && rows->w.ok;
    }
    if (rows->way == ROWS_READ) {
        bytes_get(&rows->r, data, size);
        rows->ok = rows->ok && rows->r.ok;
        if (!rows->ok)
            memset(data, 0, size);
    }
    if (rows->in_table)
        blake3_add(&rows->table, data, size);
    else
        keccak_add(&rows->module, data, size);
}

static uint64_t pass_number(struct rows *rows, uint64_t v, uint32_t size)
{
    uint8_t b[8];
    be64_put(b, v);
    pass(rows, b + 8 - size, size);
    return be64(b);
}

void rows_module(struct rows *rows, const char *name)
{
    uint8_t text[16] = {0};
    uint32_t size = text_size(name);
    cx_assert(size < sizeof text);
    cx_assert(!rows->in_table);
    keccak_init(&rows->module);
    memcpy(text, name, size);
    pass(rows, text, sizeof text);
    if (memcmp(text, name, size) != 0 || text[size] != 0)
        rows->ok = false;
}

void rows_module_end(struct rows *rows)
{
    struct hash digest;
    cx_assert(!rows->in_table);
    keccak_end(&rows->module, &digest);
    keccak_add(&rows->root, digest.b, sizeof digest.b);
}

void rows_table(struct rows *rows, uint32_t *count, uint32_t cap)
{
    cx_assert(!rows->in_table);
    if (!rows_reading(rows))
        cx_assert(*count <= cap);
    blake3_init(&rows->table);
    rows->in_table = true;
    uint32_t n = *count;
    row_u32(rows, &n);
    if (n > cap)
        rows->ok = false;
    if (rows_reading(rows))
        *count = rows->ok ? n : 0;
}

void rows_table_end(struct rows *rows)
{
    struct hash digest;
    cx_assert(rows->in_table);
    rows->in_table = false;
    blake3_end(&rows->table, &digest);
    keccak_add(&rows->module, digest.b, sizeof digest.b);
}

void row_u8(struct rows *rows, uint8_t *v)
{
    uint8_t read = (uint8_t)pass_number(rows, *v, sizeof *v);
    if (rows_reading(rows))
        *v = read;
}

void row_u16(struct rows *rows, uint16_t *v)
{
    uint16_t read = (uint16_t)pass_number(rows, *v, sizeof *v);
    if (rows_reading(rows))
        *v = read;
}

void row_u32(struct rows *rows, uint32_t *v)
{
    uint32_t read = (uint32_t)pass_number(rows, *v, sizeof *v);
    if (rows_reading(rows))
        *v = read;
}

void row_u64(struct rows *rows, uint64_t *v)
{
    uint64_t read = pass_number(rows, *v, sizeof *v);
    if (rows_reading(rows))
        *v = read;
}

void row_slot(struct rows *rows, uint32_t *slot, uint32_t cap)
{
    if (!rows_reading(rows))
        cx_assert(*slot == SLOT_NONE || *slot < cap);
    row_u32(rows, slot);
    if (!rows_reading(rows) || *slot == SLOT_NONE || (rows->ok && *slot < cap))
        return;
    rows->ok = false;
    *slot = SLOT_NONE;
}

void row_bool(struct rows *rows, bool *v)
{
    uint8_t read = *v;
    row_u8(rows, &read);
    if (read > 1)
        rows->ok = false;
    if (rows_reading(rows))
        *v = read == 1;
}

void row_amount(struct rows *rows, struct amount *v)
{
    uint64_t credits = v->credits;
    row_u64(rows, &credits);
    if (rows_reading(rows))
        *v = amount_of(credits);
}

void row_bytes(struct rows *rows, void *data, uint32_t size) { pass(rows, data, size); }

void rows_index(struct rows *rows, struct id_map *map, uint32_t slot, const void *key)
{
    cx_assert(rows_reading(rows));
    if (id_map_find(map, key) != SLOT_NONE)
        rows->ok = false;
    if (rows->ok)
        id_map_add(map, slot);
}

void row_slots(struct rows *rows, struct slots *slots)
{
    row_u32(rows, &slots->used);
    row_u32(rows, &slots->live);
    if (rows_reading(rows) && (slots->used > slots->cap || slots->live > slots->used)) {
        rows->ok = false;
        slots->used = slots->live = 0;
    }
    row_slot(rows, &slots->free_head, slots->cap);
    for (uint32_t i = 0; i < slots->used; i++) {
        row_u32(rows, &slots->row[i].generation);
        row_u32(rows, &slots->row[i].next_free);
        uint32_t next = slots->row[i].next_free;
        if (next >= slots->used && next != SLOT_NONE && next != SLOT_LIVE)
            rows->ok = false;
    }
}

void row_heap(struct rows *rows, struct heap *heap)
{
    uint32_t count = heap->count;
    row_u32(rows, &count);
    if (!rows_reading(rows)) {
        /* By item and not in heap order, which depends on how the heap came about. */
        for (uint32_t item = 0; item < heap->cap; item++) {
            if (!heap_has(heap, item))
                continue;
            uint64_t key = heap_key(heap, item);
            row_slot(rows, &item, heap->cap);
            row_u64(rows, &key);
        }
        return;
    }
    for (uint32_t i = 0; i < count && rows->ok; i++) {
        uint32_t item = SLOT_NONE;
        uint64_t key = 0;
        row_slot(rows, &item, heap->cap);
        row_u64(rows, &key);
        if (item == SLOT_NONE || key == TIME_NEVER || heap_has(heap, item))
            rows->ok = false;
        if (rows->ok)
            heap_set(heap, item, key);
    }
}

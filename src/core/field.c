#include "core/field.h"

/* `from` and `ret_to` point at a member of the type that the table names. */
static void encode(const struct field *f, const void *from, struct bytes_writer *w)
{
    switch ((enum field_type)f->type) {
    case FIELD_u8: bytes_put_u8(w, *(const uint8_t *)from); return;
    case FIELD_u16: bytes_put_u16(w, *(const uint16_t *)from); return;
    case FIELD_u32: bytes_put_u32(w, *(const uint32_t *)from); return;
    case FIELD_u64: bytes_put_u64(w, *(const uint64_t *)from); return;
    case FIELD_amount: bytes_put_u64(w, ((const struct amount *)from)->credits); return;
    case FIELD_address: bytes_put(w, from, sizeof(struct address)); return;
    case FIELD_hash: bytes_put(w, from, sizeof(struct hash)); return;
    case FIELD_bytes: {
        struct span span = *(const struct span *)from;
        w->ok = w->ok && span.size <= f->size_max;
        bytes_put_u16(w, (uint16_t)span.size);
        bytes_put(w, span.data, w->ok ? span.size : 0);
        return;
    }
    }
}

void fields_encode(struct field_list list, const void *from, struct bytes_writer *w)
{
    for (uint32_t i = 0; i < list.count; i++)
        encode(&list.field[i], (const uint8_t *)from + list.field[i].offset, w);
}

static void decode(const struct field *f, struct bytes_reader *r, void *ret_to)
{
    switch ((enum field_type)f->type) {
    case FIELD_u8: *(uint8_t *)ret_to = bytes_get_u8(r); return;
    case FIELD_u16: *(uint16_t *)ret_to = bytes_get_u16(r); return;
    case FIELD_u32: *(uint32_t *)ret_to = bytes_get_u32(r); return;
    case FIELD_u64: *(uint64_t *)ret_to = bytes_get_u64(r); return;
    case FIELD_amount: *(struct amount *)ret_to = amount_of(bytes_get_u64(r)); return;
    case FIELD_address: bytes_get(r, ret_to, sizeof(struct address)); return;
    case FIELD_hash: bytes_get(r, ret_to, sizeof(struct hash)); return;
    case FIELD_bytes: {
        uint16_t size = bytes_get_u16(r);
        r->ok = r->ok && size <= f->size_max;
        *(struct span *)ret_to = bytes_get_span(r, size);
        return;
    }
    }
}

bool fields_decode(struct field_list list, struct bytes_reader *r, void *ret_to)
{
    for (uint32_t i = 0; i < list.count; i++)
        decode(&list.field[i], r, (uint8_t *)ret_to + list.field[i].offset);
    return r->ok;
}

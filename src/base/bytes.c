#include "base/bytes.h"

#include "base/mem.h"

void be64_put(uint8_t p[8], uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

void bytes_writer_init(struct bytes_writer *w, void *at, uint32_t cap)
{
    *w = (struct bytes_writer){.at = at, .cap = cap, .ok = true};
}

void bytes_put(struct bytes_writer *w, const void *data, uint32_t size)
{
    if (!w->ok || size > w->cap - w->size) {
        w->ok = false;
        return;
    }
    if (size)
        memcpy(w->at + w->size, data, size);
    w->size += size;
}

static void put_be(struct bytes_writer *w, uint64_t v, uint32_t size)
{
    uint8_t b[8];
    be64_put(b, v);
    bytes_put(w, b + 8 - size, size);
}

void bytes_put_u8(struct bytes_writer *w, uint8_t v) { put_be(w, v, 1); }
void bytes_put_u16(struct bytes_writer *w, uint16_t v) { put_be(w, v, 2); }
void bytes_put_u32(struct bytes_writer *w, uint32_t v) { put_be(w, v, 4); }
void bytes_put_u64(struct bytes_writer *w, uint64_t v) { put_be(w, v, 8); }

void bytes_reader_init(struct bytes_reader *r, const void *at, uint32_t size)
{
    *r = (struct bytes_reader){.at = at, .left = size, .ok = true};
}

struct span bytes_get_span(struct bytes_reader *r, uint32_t size)
{
    if (!r->ok || size > r->left) {
        r->ok = false;
        return (struct span){0};
    }
    struct span span = {r->at, size};
    if (size)
        r->at += size;
    r->left -= size;
    return span;
}

void bytes_get(struct bytes_reader *r, void *ret_data, uint32_t size)
{
    struct span span = bytes_get_span(r, size);
    memset(ret_data, 0, size);
    if (span.size)
        memcpy(ret_data, span.data, size);
}

static uint64_t get_be(struct bytes_reader *r, uint32_t size)
{
    uint8_t b[8] = {0};
    bytes_get(r, b + 8 - size, size);
    return be64(b);
}

uint8_t bytes_get_u8(struct bytes_reader *r) { return (uint8_t)get_be(r, 1); }
uint16_t bytes_get_u16(struct bytes_reader *r) { return (uint16_t)get_be(r, 2); }
uint32_t bytes_get_u32(struct bytes_reader *r) { return (uint32_t)get_be(r, 4); }
uint64_t bytes_get_u64(struct bytes_reader *r) { return get_be(r, 8); }

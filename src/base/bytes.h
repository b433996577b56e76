/* bytes.h - fixed-width big-endian numbers in bounded memory.
 *
 * A writer or reader that meets its end stays failed: check `ok` once, at the end. A failed reader
 * gives zeros.
 */
#ifndef CORTEN_BASE_BYTES_H
#define CORTEN_BASE_BYTES_H

#include "base/types.h"

struct bytes_writer {
    uint8_t *at;
    uint32_t size, cap;
    bool ok;
};

struct bytes_reader {
    const uint8_t *at;
    uint32_t left;
    bool ok;
};

/* Written out byte by byte, so that compilers see one load or store and a turn. */
static inline uint16_t be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t be64(const uint8_t *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }
static inline void be16_put(uint8_t p[2], uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void be32_put(uint8_t p[4], uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}
static inline void be64_put(uint8_t p[8], uint64_t v)
{
    be32_put(p, (uint32_t)(v >> 32));
    be32_put(p + 4, (uint32_t)v);
}

/* ---- writing ---- */

static inline void bytes_writer_init(struct bytes_writer *w, void *at, uint32_t cap)
{
    *w = (struct bytes_writer){.at = at, .cap = cap, .ok = true};
}

/* Where the next `size` bytes go; NULL where there is no room for them. */
static inline uint8_t *bytes_room(struct bytes_writer *w, uint32_t size)
{
    if (!w->ok || size > w->cap - w->size) {
        w->ok = false;
        return NULL;
    }
    uint8_t *at = w->at + w->size;
    w->size += size;
    return at;
}

static inline void bytes_put(struct bytes_writer *w, const void *data, uint32_t size)
{
    uint8_t *at = bytes_room(w, size);
    if (at && size > 0)
        memcpy(at, data, size);
}
static inline void bytes_put_u8(struct bytes_writer *w, uint8_t v)
{
    uint8_t *at = bytes_room(w, sizeof v);
    if (at)
        *at = v;
}
static inline void bytes_put_u16(struct bytes_writer *w, uint16_t v)
{
    uint8_t *at = bytes_room(w, sizeof v);
    if (at)
        be16_put(at, v);
}
static inline void bytes_put_u32(struct bytes_writer *w, uint32_t v)
{
    uint8_t *at = bytes_room(w, sizeof v);
    if (at)
        be32_put(at, v);
}
static inline void bytes_put_u64(struct bytes_writer *w, uint64_t v)
{
    uint8_t *at = bytes_room(w, sizeof v);
    if (at)
        be64_put(at, v);
}

/* ---- reading ---- */

static inline void bytes_reader_init(struct bytes_reader *r, const void *at, uint32_t size)
{
    *r = (struct bytes_reader){.at = at, .left = size, .ok = true};
}

/* size bytes in place; {NULL, 0} on failure. */
static inline struct span bytes_get_span(struct bytes_reader *r, uint32_t size)
{
    if (!r->ok || size > r->left) {
        r->ok = false;
        return (struct span){0};
    }
    struct span span = {r->at, size};
    if (size > 0)
        r->at += size;
    r->left -= size;
    return span;
}
/* Copies size bytes out; zeros on failure. */
static inline void bytes_get(struct bytes_reader *r, void *ret_data, uint32_t size)
{
    struct span span = bytes_get_span(r, size);
    if (span.size > 0)
        memcpy(ret_data, span.data, size);
    else if (size > 0)
        memset(ret_data, 0, size);
}
static inline uint8_t bytes_get_u8(struct bytes_reader *r)
{
    struct span span = bytes_get_span(r, 1);
    return span.size > 0 ? *span.data : 0;
}
static inline uint16_t bytes_get_u16(struct bytes_reader *r)
{
    struct span span = bytes_get_span(r, 2);
    return span.size > 0 ? be16(span.data) : 0;
}
static inline uint32_t bytes_get_u32(struct bytes_reader *r)
{
    struct span span = bytes_get_span(r, 4);
    return span.size > 0 ? be32(span.data) : 0;
}
static inline uint64_t bytes_get_u64(struct bytes_reader *r)
{
    struct span span = bytes_get_span(r, 8);
    return span.size > 0 ? be64(span.data) : 0;
}

#endif

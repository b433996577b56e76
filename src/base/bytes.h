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

void bytes_writer_init(struct bytes_writer *w, void *at, uint32_t cap);
void bytes_put_u8(struct bytes_writer *w, uint8_t v);
void bytes_put_u16(struct bytes_writer *w, uint16_t v);
void bytes_put_u32(struct bytes_writer *w, uint32_t v);
void bytes_put_u64(struct bytes_writer *w, uint64_t v);
void bytes_put(struct bytes_writer *w, const void *data, uint32_t size);

void bytes_reader_init(struct bytes_reader *r, const void *at, uint32_t size);
uint8_t bytes_get_u8(struct bytes_reader *r);
uint16_t bytes_get_u16(struct bytes_reader *r);
uint32_t bytes_get_u32(struct bytes_reader *r);
uint64_t bytes_get_u64(struct bytes_reader *r);
/* Copies size bytes out; zeros on failure. */
void bytes_get(struct bytes_reader *r, void *ret_data, uint32_t size);
/* size bytes in place; {NULL, 0} on failure. */
struct span bytes_get_span(struct bytes_reader *r, uint32_t size);

static inline uint16_t be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t be32(const uint8_t *p) { return (uint32_t)be16(p) << 16 | be16(p + 2); }
static inline uint64_t be64(const uint8_t *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }
void be64_put(uint8_t p[8], uint64_t v);

#endif

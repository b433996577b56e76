/* buf.h - bytes that grow: for output, payloads and tests; never inside the core. */
#ifndef CORTEN_BASE_BUF_H
#define CORTEN_BASE_BUF_H

#include "base/types.h"

struct buf {
    char *data;  // data[size] is NUL whenever data is not NULL
    size_t size;
    size_t cap;
};

/* Memory that cannot be had ends the program: buffers are bounded by their callers' limits. */
void buf_grow(struct buf *buf, size_t more);

static inline void buf_reserve(struct buf *buf, size_t more)
{
    if (more >= buf->cap - buf->size)  // one byte is the NUL's
        buf_grow(buf, more);
}

/* Here, because most of what is added is short, and of a size that the compiler knows. */
static inline void buf_add(struct buf *buf, const void *data, size_t size)
{
    buf_reserve(buf, size);
    if (size)
        memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = '\0';
}

/* The last `size` bytes of a number, at most eight, the highest first. */
void buf_be(struct buf *buf, uint64_t value, unsigned size);
/* A text as binary frames have it: its size in four bytes, and then its own. */
void buf_sized(struct buf *buf, const void *data, size_t size);
void buf_text(struct buf *buf, const char *text);
/* Decimal digits. */
void buf_u64(struct buf *buf, uint64_t value);
void buf_i64(struct buf *buf, int64_t value);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds text as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void buf_json_string(struct buf *buf, const char *text, size_t size);
/* Takes away the first `size` bytes. */
void buf_drop(struct buf *buf, size_t size);
void buf_reset(struct buf *buf);
void buf_done(struct buf *buf);

#endif

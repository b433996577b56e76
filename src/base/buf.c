#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"

void buf_grow(struct buf *buf, size_t more)
{
    cx_assert(more < SIZE_MAX / 4 - buf->size);
    size_t need = buf->size + more + 1;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap < need)
        cap *= 2;
    char *data = realloc(buf->data, cap);
    cx_assert(data);
    buf->data = data;
    buf->cap = cap;
}

void buf_be(struct buf *buf, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    cx_assert(size <= sizeof bytes);
    be64_put(bytes, value);
    buf_add(buf, bytes + sizeof bytes - size, size);
}

void buf_sized(struct buf *buf, const void *data, size_t size)
{
    cx_assert(size <= UINT32_MAX);
    buf_be(buf, size, 4);
    buf_add(buf, data, size);
}

void buf_text(struct buf *buf, const char *text) { buf_add(buf, text, strlen(text)); }

void buf_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(buf, digits + at, sizeof digits - at);
}

void buf_i64(struct buf *buf, int64_t value)
{
    if (value < 0)
        buf_add(buf, "-", 1);
    buf_u64(buf, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    cx_assert(size >= 0);
    buf_reserve(buf, (size_t)size);
    vsnprintf(buf->data + buf->size, (size_t)size + 1, format, again);
    va_end(again);
    buf->size += (size_t)size;
}

/* Adds what does not stand for itself, and gives how many bytes of `text` it was. */
static size_t add_escaped(struct buf *buf, const char *text, size_t size)
{
    unsigned char c = (unsigned char)text[0];
    size_t step = utf8_step(text, size);
    if (step == 0)
        buf_text(buf, "\\ufffd");
    else if (c == '"' || c == '\\')
        buf_printf(buf, "\\%c", c);
    else if (c == '\n')
        buf_text(buf, "\\n");
    else if (c < 0x20 || c == 0x7f)
        buf_printf(buf, "\\u%04x", c);
    else
        buf_add(buf, text, step);
    return step ? step : 1;
}

void buf_json_string(struct buf *buf, const char *text, size_t size)
{
    buf_reserve(buf, size + 2);
    buf_add(buf, "\"", 1);
    for (size_t i = 0; i < size;) {
        size_t plain = utf8_plain(text + i, size - i);
        buf_add(buf, text + i, plain);
        i += plain;
        if (i < size)
            i += add_escaped(buf, text + i, size - i);
    }
    buf_add(buf, "\"", 1);
}

void buf_drop(struct buf *buf, size_t size)
{
    cx_assert(size <= buf->size);
    if (size == 0)
        return;
    memmove(buf->data, buf->data + size, buf->size - size + 1);
    buf->size -= size;
}

void buf_reset(struct buf *buf)
{
    buf->size = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void buf_done(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

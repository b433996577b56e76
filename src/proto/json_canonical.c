/* The one form of a JSON value that is hashed: RFC 8785. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "proto/json.h"

static void put_escaped(struct buf *out, char c)
{
    static const char names[] = "\bb\tt\nn\ff\rr\"\"\\\\";
    const char *name = c ? strchr(names, c) : NULL;
    /* names holds pairs: the character and what follows the backslash. */
    if (name && (name - names) % 2 == 0)
        buf_printf(out, "\\%c", name[1]);
    else if ((unsigned char)c < 0x20)
        buf_printf(out, "\\u%04x", (unsigned char)c);
    else
        buf_add(out, &c, 1);
}

static void put_string(struct buf *out, const char *text, size_t size)
{
    buf_add(out, "\"", 1);
    for (size_t i = 0; i < size;) {
        size_t plain = utf8_plain(text + i, size - i);
        buf_add(out, text + i, plain);
        i += plain;
        if (i < size)
            put_escaped(out, text[i++]);
    }
    buf_add(out, "\"", 1);
}

/* The fewest digits that read back as the same double, and where the decimal point stands: 0.digits × 10^point. */
static int shortest(double value, char digits[18], size_t *ret_count)
{
    char text[32];
    /* 15 digits never say too much, except near the smallest doubles, which hold fewer. */
    for (int precision = value < 1e-300 ? 0 : 14; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    size_t count = 0;
    const char *c = text;
    for (; *c != 'e'; c++) {
        if (*c != '.')
            digits[count++] = *c;
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    *ret_count = count;
    return (int)strtol(c + 1, NULL, 10) + 1;
}

static void put_zeros(struct buf *out, size_t count)
{
    while (count-- > 0)
        buf_add(out, "0", 1);
}

/* ECMA-262, Number::toString: the form that RFC 8785 names. */
static void put_real(struct buf *out, double value)
{
    if (value < 0) {
        buf_add(out, "-", 1);
        value = -value;
    }
    if (value == 0) {
        buf_add(out, "0", 1);
        return;
    }
    char digits[18];
    size_t count = 0;
    int point = shortest(value, digits, &count);
    if (point > 0 && point <= 21) {
        size_t whole = (size_t)point < count ? (size_t)point : count;
        buf_add(out, digits, whole);
        put_zeros(out, (size_t)point - whole);
        if (count > whole) {
            buf_add(out, ".", 1);
            buf_add(out, digits + whole, count - whole);
        }
    } else if (point <= 0 && point > -6) {
        buf_text(out, "0.");
        put_zeros(out, (size_t)-point);
        buf_add(out, digits, count);
    } else {
        buf_add(out, digits, 1);
        if (count > 1) {
            buf_add(out, ".", 1);
            buf_add(out, digits + 1, count - 1);
        }
        buf_printf(out, "e%+d", point - 1);
    }
}

/* By UTF-16 units, as RFC 8785 sorts: bytes in order, except that what needs four bytes of UTF-8 comes
 * before U+E000 to U+FFFF. */
static int compare_keys(const void *a, const void *b)
{
    const unsigned char *x = *(const unsigned char *const *)a, *y = *(const unsigned char *const *)b;
    while (*x && *x == *y) {
        x++;
        y++;
    }
    bool x_astral = *x >= 0xf0, y_astral = *y >= 0xf0;
    bool x_above = *x >= 0xee && !x_astral, y_above = *y >= 0xee && !y_astral;
    if ((x_astral && y_above) || (y_astral && x_above))
        return x_astral ? -1 : 1;
    return (*x > *y) - (*x < *y);
}

static void put_object(struct buf *out, const json_t *object)
{
    json_t *value = (json_t *)object;
    size_t count = json_object_size(object), k = 0;
    const char **keys = calloc(count + 1, sizeof *keys);
    cx_assert(keys);
    for (void *i = json_object_iter(value); i; i = json_object_iter_next(value, i))
        keys[k++] = json_object_iter_key(i);
    cx_assert(k == count);
    qsort(keys, count, sizeof *keys, compare_keys);
    buf_add(out, "{", 1);
    for (k = 0; k < count; k++) {
        if (k > 0)
            buf_add(out, ",", 1);
        put_string(out, keys[k], strlen(keys[k]));
        buf_add(out, ":", 1);
        json_canonical(out, json_object_get(object, keys[k]));
    }
    buf_add(out, "}", 1);
    free(keys);
}

static void put_array(struct buf *out, const json_t *array)
{
    buf_add(out, "[", 1);
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0)
            buf_add(out, ",", 1);
        json_canonical(out, json_array_get(array, i));
    }
    buf_add(out, "]", 1);
}

void json_canonical_text(struct buf *out, struct span text) { put_string(out, (const char *)text.data, text.size); }

void json_canonical(struct buf *out, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: put_object(out, value); return;
    case JSON_ARRAY: put_array(out, value); return;
    case JSON_STRING: put_string(out, json_string_value(value), json_string_length(value)); return;
    case JSON_INTEGER: buf_i64(out, json_integer_value(value)); return;
    case JSON_REAL: put_real(out, json_real_value(value)); return;
    case JSON_TRUE: buf_text(out, "true"); return;
    case JSON_FALSE: buf_text(out, "false"); return;
    case JSON_NULL: buf_text(out, "null"); return;
    }
    cx_assert(false);
}

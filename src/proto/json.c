#include "proto/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hex.h"
#include "proto/json_plain.h"

#define DECIMALS_MAX 9
/* Doubles hold every integer up to here. */
#define EXACT_MAX 9007199254740992.0

static _Thread_local char failed_path[JSON_PATH_SIZE_MAX + 1];

const char *json_failed_path(void) { return failed_path; }

/* ---- parsing ---- */

/* jansson recurses; this does not. Quotes inside strings are skipped, everything else is jansson's. */
static bool is_too_deep(const char *text, size_t size)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

enum cx_err json_parse(const char *text, size_t size, size_t size_max, json_t **ret_root)
{
    failed_path[0] = '\0';
    if (size > size_max)
        return cx_fail(CX_TOO_LARGE, "the JSON is over %zu bytes", size_max);
    json_t *plain = json_plain_read(text, size);
    if (plain) {
        *ret_root = plain;
        return CX_OK;
    }
    if (is_too_deep(text, size))
        return cx_fail(CX_INVALID, "the JSON is nested over %d levels", JSON_DEPTH_MAX);
    /* jansson passes over a NUL behind a word or a number. */
    if (size > 0 && memchr(text, 0, size))
        return cx_fail(CX_INVALID, "bad JSON: there is a NUL in it");
    json_error_t error;
    json_t *root = json_loadb(text ? text : "", size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!root)
        return cx_fail(CX_INVALID, "bad JSON at line %d, column %d: %s", error.line, error.column, error.text);
    *ret_root = root;
    return CX_OK;
}

/* ---- places ---- */

struct json_at json_at_root(const json_t *root) { return (struct json_at){.value = root}; }

struct json_at json_at_item(const struct json_at *array, size_t index)
{
    const json_t *value = json_array_get(array->value, index);
    cx_assert(value);
    return (struct json_at){value, array, NULL, index};
}

size_t json_at_count(const struct json_at *at)
{
    return json_is_object(at->value) ? json_object_size(at->value) : json_array_size(at->value);
}

static struct json_at place(const struct json_at *at, const char *key)
{
    if (!key)
        return *at;
    return (struct json_at){json_object_get(at->value, key), at, key, 0};
}

static bool is_absent(const struct json_at *at) { return !at->value || json_is_null(at->value); }

bool json_has(const struct json_at *object, const char *key)
{
    struct json_at at = place(object, key);
    return !is_absent(&at);
}

const char *json_unknown_key(const struct json_at *object, const char *const *known, size_t count)
{
    json_t *value = (json_t *)object->value;
    for (void *i = json_object_iter(value); i; i = json_object_iter_next(value, i)) {
        const char *key = json_object_iter_key(i);
        size_t k = 0;
        while (k < count && strcmp(key, known[k]) != 0)
            k++;
        if (k == count)
            return key;
    }
    return NULL;
}

/* "messages[0].content", cut where it is too long. */
static void write_path(const struct json_at *at, char *path, size_t *size)
{
    if (!at->up)
        return;
    write_path(at->up, path, size);
    size_t left = JSON_PATH_SIZE_MAX + 1 - *size;
    int added = at->key ? snprintf(path + *size, left, "%s%s", *size ? "." : "", at->key)
                        : snprintf(path + *size, left, "[%zu]", at->index);
    cx_assert(added >= 0);
    *size = (size_t)added < left ? *size + (size_t)added : JSON_PATH_SIZE_MAX;
}

enum cx_err json_fail(const struct json_at *at, const char *key, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct json_at culprit = place(at, key);
    size_t size = 0;
    failed_path[0] = '\0';
    write_path(&culprit, failed_path, &size);
    return cx_fail(CX_INVALID, "%s%s%s", failed_path, size ? ": " : "", text);
}

/* ---- typed reading ---- */

static enum cx_err expected(const struct json_at *at, const char *what)
{
    return json_fail(at, NULL, is_absent(at) ? "missing: expected %s" : "expected %s", what);
}

static enum cx_err check_parent(const struct json_at *at, const char *key)
{
    if (key && !json_is_object(at->value))
        return expected(at, "an object");
    return CX_OK;
}

enum cx_err json_need_object(const struct json_at *at, const char *key, struct json_at *ret_object)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    if (!json_is_object(found.value))
        return expected(&found, "an object");
    *ret_object = found;
    return CX_OK;
}

enum cx_err json_need_array(const struct json_at *at, const char *key, struct json_at *ret_array)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    if (!json_is_array(found.value))
        return expected(&found, "an array");
    *ret_array = found;
    return CX_OK;
}

enum cx_err json_need_text(const struct json_at *at, const char *key, const char **ret_text, size_t *ret_size)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    if (!json_is_string(found.value))
        return expected(&found, "a string");
    *ret_text = json_string_value(found.value);
    if (ret_size)
        *ret_size = json_string_length(found.value);
    return CX_OK;
}

enum cx_err json_need_bool(const struct json_at *at, const char *key, bool *ret_value)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    if (!json_is_boolean(found.value))
        return expected(&found, "true or false");
    *ret_value = json_is_true(found.value);
    return CX_OK;
}

enum cx_err json_need_i64(const struct json_at *at, const char *key, int64_t min, int64_t max, int64_t *ret_value)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    if (!json_is_integer(found.value))
        return expected(&found, "an integer");
    int64_t value = json_integer_value(found.value);
    if (value < min || value > max)
        return json_fail(&found, NULL, "must be from %lld to %lld, not %lld", (long long)min, (long long)max,
                         (long long)value);
    *ret_value = value;
    return CX_OK;
}

/* Decimal digits without sign, space or leading zeros. */
static bool read_digits(const char *text, uint64_t *ret_value)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = 0;
    if (digits == 0 || text[digits] != '\0' || (digits > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

enum cx_err json_need_u64(const struct json_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    uint64_t value = 0;
    if (json_is_integer(found.value) && json_integer_value(found.value) >= 0)
        value = (uint64_t)json_integer_value(found.value);
    else if (json_is_integer(found.value))
        return json_fail(&found, NULL, "must not be negative");
    else if (!json_is_string(found.value) || !read_digits(json_string_value(found.value), &value))
        return expected(&found, "an integer, or its digits in a string");
    if (value < min || value > max)
        return json_fail(&found, NULL, "must be from %llu to %llu, not %llu", (unsigned long long)min,
                         (unsigned long long)max, (unsigned long long)value);
    *ret_value = value;
    return CX_OK;
}

/* 10^decimals */
static int64_t power(unsigned decimals)
{
    int64_t power = 1;
    cx_assert(decimals <= DECIMALS_MAX);
    while (decimals-- > 0)
        power *= 10;
    return power;
}

/* False where the number does not fit. */
static bool scale(const json_t *number, unsigned decimals, int64_t *ret_value)
{
    if (json_is_integer(number))
        return !__builtin_mul_overflow((int64_t)json_integer_value(number), power(decimals), ret_value);
    double scaled = json_real_value(number) * (double)power(decimals);
    if (!(fabs(scaled) < EXACT_MAX))
        return false;
    *ret_value = llround(scaled);
    return true;
}

static void put_fixed(struct buf *out, int64_t value, unsigned decimals)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    uint64_t whole = size / (uint64_t)power(decimals), rest = size % (uint64_t)power(decimals);
    buf_printf(out, "%s%llu", value < 0 ? "-" : "", (unsigned long long)whole);
    if (rest == 0)
        return;
    buf_printf(out, ".%0*llu", (int)decimals, (unsigned long long)rest);
    while (out->data[out->size - 1] == '0')
        out->data[--out->size] = '\0';
}

static enum cx_err fixed_out_of_range(const struct json_at *at, unsigned decimals, int64_t min, int64_t max)
{
    struct buf text = {0};
    buf_text(&text, "must be from ");
    put_fixed(&text, min, decimals);
    buf_text(&text, " to ");
    put_fixed(&text, max, decimals);
    enum cx_err err = json_fail(at, NULL, "%s", text.data);
    buf_done(&text);
    return err;
}

enum cx_err json_need_fixed(const struct json_at *at, const char *key, unsigned decimals, int64_t min, int64_t max,
                            int64_t *ret_value)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    if (!json_is_number(found.value))
        return expected(&found, "a number");
    int64_t value = 0;
    if (!scale(found.value, decimals, &value) || value < min || value > max)
        return fixed_out_of_range(&found, decimals, min, max);
    *ret_value = value;
    return CX_OK;
}

enum cx_err json_need_hex(const struct json_at *at, const char *key, void *ret_data, size_t size)
{
    if (check_parent(at, key))
        return CX_INVALID;
    struct json_at found = place(at, key);
    const char *text = json_string_value(found.value);
    size_t text_size = json_string_length(found.value);
    size_t prefix = text && text_size >= 2 && text[0] == '0' && text[1] == 'x' ? 2 : 0;
    if (!text || text_size - prefix != 2 * size || !hex_decode(text + prefix, text_size - prefix, ret_data, size))
        return json_fail(&found, NULL, "%sexpected %zu bytes as hexadecimal digits", text ? "" : "missing: ", size);
    return CX_OK;
}

static enum cx_err is_left_out(const struct json_at *at, const char *key, bool *ret_left_out)
{
    cx_assert(key);
    if (check_parent(at, key))
        return CX_INVALID;
    *ret_left_out = !json_has(at, key);
    return CX_OK;
}

/* The body of every json_may_…: nothing where the member is left out, else json_need_…. */
#define MAY(need)                            \
    do {                                     \
        bool left_out = false;               \
        if (is_left_out(at, key, &left_out)) \
            return CX_INVALID;               \
        return left_out ? CX_OK : (need);    \
    } while (0)

enum cx_err json_may_text(const struct json_at *at, const char *key, const char **ret_text, size_t *ret_size)
{
    MAY(json_need_text(at, key, ret_text, ret_size));
}

enum cx_err json_may_bool(const struct json_at *at, const char *key, bool *ret_value)
{
    MAY(json_need_bool(at, key, ret_value));
}

enum cx_err json_may_i64(const struct json_at *at, const char *key, int64_t min, int64_t max, int64_t *ret_value)
{
    MAY(json_need_i64(at, key, min, max, ret_value));
}

enum cx_err json_may_u64(const struct json_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    MAY(json_need_u64(at, key, min, max, ret_value));
}

enum cx_err json_may_fixed(const struct json_at *at, const char *key, unsigned decimals, int64_t min, int64_t max,
                           int64_t *ret_value)
{
    MAY(json_need_fixed(at, key, decimals, min, max, ret_value));
}

enum cx_err json_may_hex(const struct json_at *at, const char *key, void *ret_data, size_t size)
{
    MAY(json_need_hex(at, key, ret_data, size));
}

/* ---- writing ---- */

void json_out_init(struct json_out *out, struct buf *buf) { *out = (struct json_out){.buf = buf}; }

static bool in_array(const struct json_out *out) { return out->depth == 0 || (out->arrays >> (out->depth - 1) & 1); }

/* What stands before a value: a comma, the key. */
static void lead(struct json_out *out, const char *key)
{
    cx_assert(in_array(out) == !key);
    if (out->comma)
        buf_add(out->buf, ",", 1);
    if (key) {
        buf_json_string(out->buf, key, strlen(key));
        buf_add(out->buf, ":", 1);
    }
    out->comma = true;
}

static void open_level(struct json_out *out, const char *key, bool array)
{
    lead(out, key);
    cx_assert(out->depth < JSON_DEPTH_MAX);
    uint64_t bit = (uint64_t)1 << out->depth;
    out->arrays = array ? out->arrays | bit : out->arrays & ~bit;
    out->depth++;
    out->comma = false;
    buf_add(out->buf, array ? "[" : "{", 1);
}

void json_out_object(struct json_out *out, const char *key) { open_level(out, key, false); }

void json_out_array(struct json_out *out, const char *key) { open_level(out, key, true); }

void json_out_end(struct json_out *out)
{
    cx_assert(out->depth > 0);
    buf_add(out->buf, in_array(out) ? "]" : "}", 1);
    out->depth--;
    out->comma = true;
}

void json_out_bytes(struct json_out *out, const char *key, const char *text, size_t size)
{
    lead(out, key);
    buf_json_string(out->buf, text, size);
}

void json_out_text(struct json_out *out, const char *key, const char *text)
{
    if (text)
        json_out_bytes(out, key, text, strlen(text));
    else
        json_out_null(out, key);
}

void json_out_raw(struct json_out *out, const char *key, const char *json, size_t size)
{
    lead(out, key);
    buf_add(out->buf, json, size);
}

void json_out_u64(struct json_out *out, const char *key, uint64_t value)
{
    lead(out, key);
    buf_u64(out->buf, value);
}

void json_out_digits(struct json_out *out, const char *key, uint64_t value)
{
    lead(out, key);
    buf_add(out->buf, "\"", 1);
    buf_u64(out->buf, value);
    buf_add(out->buf, "\"", 1);
}

void json_out_i64(struct json_out *out, const char *key, int64_t value)
{
    lead(out, key);
    buf_i64(out->buf, value);
}

void json_out_bool(struct json_out *out, const char *key, bool value)
{
    json_out_raw(out, key, value ? "true" : "false", value ? 4 : 5);
}

void json_out_null(struct json_out *out, const char *key) { json_out_raw(out, key, "null", 4); }

void json_out_fixed(struct json_out *out, const char *key, int64_t value, unsigned decimals)
{
    lead(out, key);
    put_fixed(out->buf, value, decimals);
}

void json_out_hex(struct json_out *out, const char *key, const void *data, size_t size)
{
    lead(out, key);
    buf_text(out->buf, "\"0x");
    buf_reserve(out->buf, 2 * size + 1);
    hex_encode(data, size, out->buf->data + out->buf->size);
    out->buf->size += 2 * size;
    buf_add(out->buf, "\"", 1);
}

static int add_piece(const char *piece, size_t size, void *out)
{
    buf_add(out, piece, size);
    return 0;
}

void json_out_value(struct json_out *out, const char *key, const json_t *value)
{
    lead(out, key);
    int failed = json_dump_callback(value, add_piece, out->buf, JSON_COMPACT | JSON_ENCODE_ANY);
    cx_assert(!failed);  // only strings that are no UTF-8 could fail, and jansson admits none
}

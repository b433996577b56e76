/* json.h - reading JSON through jansson with errors that name the place, and writing it straight out.
 *
 *      struct json_at root = json_at_root(doc), messages, message;
 *      err = json_need_array(&root, "messages", &messages);
 *      err = json_at_item(&messages, 0, &message);
 *      err = json_need_text(&message, "content", &text, &size);
 *              -> CX_INVALID, cx_detail(): "messages[0].content: expected a string"
 *                 json_failed_path(): "messages[0].content"
 *
 * A json_at knows the way back to the root, so it must not outlive the one it was made from.
 */
#ifndef CORTEN_PROTO_JSON_H
#define CORTEN_PROTO_JSON_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/types.h"

#define JSON_DEPTH_MAX     64
#define JSON_PATH_SIZE_MAX 255

/* ---- reading ---- */

/* Refuses more than size_max bytes (CX_TOO_LARGE), nesting over JSON_DEPTH_MAX, keys that appear twice in
 * an object, bytes after the end, bad UTF-8, NUL in strings (CX_INVALID). json_decref frees the result. */
enum cx_err json_parse(const char *text, size_t size, size_t size_max, json_t **ret_root);

struct json_at {
    const json_t *value;
    const struct json_at *up;  // NULL: this is the root
    const char *key;           // in an object
    size_t index;              // in an array
};

struct json_at json_at_root(const json_t *root);
/* The index'th item, which must exist, of an array. */
struct json_at json_at_item(const struct json_at *array, size_t index);
size_t json_at_count(const struct json_at *at);  // items or members
/* Whether the object has the key, with another value than null. */
bool json_has(const struct json_at *object, const char *key);
/* The first key of the object that is not among known[0..count-1], or NULL. */
const char *json_unknown_key(const struct json_at *object, const char *const *known, size_t count);

/* Each gives the member `key` of an object, or with key NULL the value itself. CX_INVALID: it is missing or null,
 * of another type or out of range. Strings stay the document's and end in NUL. */
enum cx_err json_need_object(const struct json_at *at, const char *key, struct json_at *ret_object);
enum cx_err json_need_array(const struct json_at *at, const char *key, struct json_at *ret_array);
enum cx_err json_need_text(const struct json_at *at, const char *key, const char **ret_text, size_t *ret_size);
enum cx_err json_need_bool(const struct json_at *at, const char *key, bool *ret_value);
enum cx_err json_need_i64(const struct json_at *at, const char *key, int64_t min, int64_t max, int64_t *ret_value);
/* An integer, or its decimal digits in a string: JavaScript loses numbers over 2^53. */
enum cx_err json_need_u64(const struct json_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret_value);
/* A number × 10^decimals, exact for numbers written with at most that many decimals, else rounded to
 * the nearest: with 4 decimals 0.7 gives 7000. min and max are in the same unit. */
enum cx_err json_need_fixed(const struct json_at *at, const char *key, unsigned decimals, int64_t min, int64_t max,
                            int64_t *ret_value);
/* Exactly `size` bytes as hexadecimal with or without 0x. */
enum cx_err json_need_hex(const struct json_at *at, const char *key, void *ret_data, size_t size);

/* The same, but a missing or null member leaves *ret_… as it was. */
enum cx_err json_may_text(const struct json_at *at, const char *key, const char **ret_text, size_t *ret_size);
enum cx_err json_may_bool(const struct json_at *at, const char *key, bool *ret_value);
enum cx_err json_may_i64(const struct json_at *at, const char *key, int64_t min, int64_t max, int64_t *ret_value);
enum cx_err json_may_u64(const struct json_at *at, const char *key, uint64_t min, uint64_t max, uint64_t *ret_value);
enum cx_err json_may_fixed(const struct json_at *at, const char *key, unsigned decimals, int64_t min, int64_t max,
                           int64_t *ret_value);
enum cx_err json_may_hex(const struct json_at *at, const char *key, void *ret_data, size_t size);

/* Fails the value or member in the same form, for rules of the caller's own. */
enum cx_err json_fail(const struct json_at *at, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The path of this thread's last failure of this header; "" if the document as a whole was bad. */
const char *json_failed_path(void);

/* ---- writing ---- */

/* Adds to a buffer and keeps commas and brackets right. Members have a key, items of arrays and the
 * root have NULL; text that is no UTF-8 is written with U+FFFD. */
struct json_out {
    struct buf *buf;
    uint64_t arrays;  // bit d: level d is an array
    uint32_t depth;
    bool comma;  // the next value needs one before it
};

void json_out_init(struct json_out *out, struct buf *buf);
void json_out_object(struct json_out *out, const char *key);
void json_out_array(struct json_out *out, const char *key);
void json_out_end(struct json_out *out);                                      // of the innermost object or array
void json_out_text(struct json_out *out, const char *key, const char *text);  // NULL writes null
void json_out_bytes(struct json_out *out, const char *key, const char *text, size_t size);
void json_out_u64(struct json_out *out, const char *key, uint64_t value);
void json_out_digits(struct json_out *out, const char *key, uint64_t value);  // in a string
void json_out_i64(struct json_out *out, const char *key, int64_t value);
void json_out_bool(struct json_out *out, const char *key, bool value);
void json_out_null(struct json_out *out, const char *key);
/* value / 10^decimals, without trailing zeros: 7000 with 4 decimals is 0.7. */
void json_out_fixed(struct json_out *out, const char *key, int64_t value, unsigned decimals);
void json_out_hex(struct json_out *out, const char *key, const void *data, size_t size);  // "0x…"
void json_out_raw(struct json_out *out, const char *key, const char *json, size_t size);
void json_out_value(struct json_out *out, const char *key, const json_t *value);

/* Adds the one form that is hashed: RFC 8785 (sorted keys, no spaces, shortest numbers), but integers are
 * written exactly even over 2^53. */
void json_canonical(struct buf *out, const json_t *value);
/* The same of a string, which is UTF-8. */
void json_canonical_text(struct buf *out, struct span text);

#endif

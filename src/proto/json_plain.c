#include "proto/json_plain.h"

#include "base/assert.h"
#include "base/utf8.h"
#include "proto/json.h"

#define DIGITS_MAX   18  // of an integer that certainly fits
#define KEY_SIZE_MAX 64

struct reader {
    const char *at, *end;
    unsigned depth;
    struct buf scratch;  // a string that has escapes
};

static json_t *read_value(struct reader *r);

static void skip_spaces(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

/* The next byte that is no space, or 0: the end. */
static char peek(struct reader *r)
{
    skip_spaces(r);
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reader *r, char wanted)
{
    if (peek(r) != wanted)
        return false;
    r->at++;
    return true;
}

/* ---- strings ---- */

/* What stands behind a backslash; 0: a \u, or nothing that may. */
static char escaped(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return '\0';
    }
}

/* Steps over one character that does not stand for itself. False: it is none that is plain. */
static bool read_odd(struct reader *r)
{
    size_t left = (size_t)(r->end - r->at);
    if (*r->at == '\\') {
        char c = left > 1 ? escaped(r->at[1]) : '\0';
        if (!c)
            return false;
        buf_add(&r->scratch, &c, 1);
        r->at += 2;
        return true;
    }
    size_t step = (unsigned char)*r->at < 0x20 ? 0 : utf8_step(r->at, left);
    buf_add(&r->scratch, r->at, step);
    r->at += step;
    return step > 0;
}

/* The rest of a string that began with other characters too. */
static bool read_mixed(struct reader *r, const char **ret_text, size_t *ret_size)
{
    while (r->at < r->end && *r->at != '"') {
        if (!read_odd(r))
            return false;
        size_t plain = utf8_plain(r->at, (size_t)(r->end - r->at));
        buf_add(&r->scratch, r->at, plain);
        r->at += plain;
    }
    *ret_text = r->scratch.data;
    *ret_size = r->scratch.size;
    return r->at++ < r->end;
}

/* Behind the first quote. The text is good until the next string is read. */
static bool read_string(struct reader *r, const char **ret_text, size_t *ret_size)
{
    size_t plain = utf8_plain(r->at, (size_t)(r->end - r->at));
    *ret_text = r->at;
    *ret_size = plain;
    r->at += plain;
    if (r->at < r->end && *r->at == '"') {
        r->at++;
        return true;
    }
    buf_reset(&r->scratch);
    buf_add(&r->scratch, *ret_text, plain);
    return read_mixed(r, ret_text, ret_size);
}

static json_t *read_text(struct reader *r)
{
    const char *text;
    size_t size;
    r->at++;
    return read_string(r, &text, &size) ? json_stringn_nocheck(text, size) : NULL;
}

/* ---- numbers and words ---- */

static bool is_digit(const struct reader *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

static json_t *read_integer(struct reader *r)
{
    bool minus = *r->at == '-';
    r->at += minus;
    const char *first = r->at;
    int64_t value = 0;
    for (; is_digit(r) && r->at - first < DIGITS_MAX; r->at++)
        value = value * 10 + (*r->at - '0');
    bool zero_leads = r->at - first > 1 && *first == '0';
    bool goes_on = is_digit(r) || (r->at < r->end && (*r->at == '.' || *r->at == 'e' || *r->at == 'E'));
    if (r->at == first || zero_leads || goes_on)
        return NULL;
    return json_integer(minus ? -value : value);
}

static json_t *read_word(struct reader *r, const char *word, size_t size, json_t *value)
{
    if ((size_t)(r->end - r->at) < size || memcmp(r->at, word, size) != 0)
        return NULL;
    r->at += size;
    return value;
}

/* ---- what holds others ---- */

/* One member. A key that was there before leaves the object as large as it was. */
static bool read_member(struct reader *r, json_t *object)
{
    const char *text;
    size_t size, before = json_object_size(object);
    char key[KEY_SIZE_MAX];
    if (!take(r, '"') || !read_string(r, &text, &size) || size > KEY_SIZE_MAX)
        return false;
    memcpy(key, text, size);
    json_t *value = take(r, ':') ? read_value(r) : NULL;
    return value && json_object_setn_new_nocheck(object, key, size, value) == 0 && json_object_size(object) > before;
}

static bool read_members(struct reader *r, json_t *object)
{
    if (take(r, '}'))
        return true;
    do {
        if (!read_member(r, object))
            return false;
    } while (take(r, ','));
    return take(r, '}');
}

static bool read_items(struct reader *r, json_t *array)
{
    if (take(r, ']'))
        return true;
    do {
        json_t *value = read_value(r);
        if (!value || json_array_append_new(array, value) != 0)
            return false;
    } while (take(r, ','));
    return take(r, ']');
}

static json_t *read_level(struct reader *r, json_t *level, bool (*fill)(struct reader *r, json_t *level))
{
    cx_assert(level);
    r->at++;
    bool filled = ++r->depth <= JSON_DEPTH_MAX && fill(r, level);
    r->depth--;
    if (filled)
        return level;
    json_decref(level);
    return NULL;
}

static json_t *read_value(struct reader *r)
{
    switch (peek(r)) {
    case '{': return read_level(r, json_object(), read_members);
    case '[': return read_level(r, json_array(), read_items);
    case '"': return read_text(r);
    case 't': return read_word(r, "true", 4, json_true());
    case 'f': return read_word(r, "false", 5, json_false());
    case 'n': return read_word(r, "null", 4, json_null());
    default: return r->at < r->end ? read_integer(r) : NULL;
    }
}

json_t *json_plain_read(const char *text, size_t size)
{
    if (size == 0)
        return NULL;
    struct reader r = {.at = text, .end = text + size};
    json_t *root = read_value(&r);
    skip_spaces(&r);
    if (r.at < r.end) {
        json_decref(root);
        root = NULL;
    }
    buf_done(&r.scratch);
    return root;
}

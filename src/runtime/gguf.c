#include "runtime/gguf.h"

#include <inttypes.h>
#include <string.h>

#include "base/assert.h"

/* Bytes a value takes; texts and arrays say so themselves. */
static const uint8_t type_size[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,    [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4,    [GGUF_I32] = 4,
    [GGUF_FLOAT] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_DOUBLE] = 8,
};

/* What other tensor types are called, for the error. Numbers without a name were withdrawn. */
static const char *const tensor_type[] = {
    "F32",   "F16",    "Q4_0", "Q4_1", NULL,   NULL,      "Q5_0",   "Q5_1",    "Q8_0",  "Q8_1",   "Q2_K",
    "Q3_K",  "Q4_K",   "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
    "IQ2_S", "IQ4_XS", "I8",   "I16",  "I32",  "I64",     "F64",    "IQ1_M",   "BF16",
};

/* A place in the file. A reader that failed gives zeros from then on, and `err` stays. */
struct reader {
    const uint8_t *data;
    uint64_t at, size;
    enum cx_err err;
};

static void fail(struct reader *r, enum cx_err err, const char *what, uint64_t number)
{
    if (!r->err)
        r->err = cx_fail(err, "GGUF file, byte %" PRIu64 ": %s (%" PRIu64 ")", r->at, what, number);
}

static const uint8_t *take(struct reader *r, uint64_t size, const char *what)
{
    if (!r->err && size > r->size - r->at)
        r->err = cx_fail(CX_CORRUPT, "GGUF file, byte %" PRIu64 ": %s runs over the file's end at %" PRIu64, r->at,
                         what, r->size);
    if (r->err)
        return NULL;
    const uint8_t *at = r->data + r->at;
    r->at += size;
    return at;
}

static uint64_t number_at(const uint8_t *at, uint32_t size)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < size; i++)
        v |= (uint64_t)at[i] << 8 * i;
    return v;
}

static uint64_t take_number(struct reader *r, uint32_t size, const char *what)
{
    const uint8_t *at = take(r, size, what);
    return at ? number_at(at, size) : 0;
}

static struct span take_text(struct reader *r, uint64_t size_max, const char *what)
{
    uint64_t size = take_number(r, 8, what);
    if (!r->err && size > size_max)
        fail(r, CX_TOO_LARGE, what, size);
    const uint8_t *at = take(r, r->err ? 0 : size, what);
    return at ? (struct span){at, (uint32_t)size} : (struct span){NULL, 0};
}

static enum gguf_type take_type(struct reader *r)
{
    uint64_t type = take_number(r, 4, "a value's type");
    if (type >= GGUF_TYPE_COUNT)
        fail(r, CX_CORRUPT, "no such value type", type);
    return r->err ? GGUF_U8 : (enum gguf_type)type;
}

static void skip_array(struct reader *r, struct gguf_value *v)
{
    v->item_type = take_type(r);
    v->count = take_number(r, 8, "an array's count");
    if (v->item_type == GGUF_ARRAY)
        fail(r, CX_UNSUPPORTED, "an array of arrays", v->count);
    if (v->count > GGUF_ARRAY_COUNT_MAX)
        fail(r, CX_TOO_LARGE, "an array's count", v->count);
    if (r->err)
        return;
    uint64_t begin = r->at;
    v->at = r->data + begin;
    if (v->item_type == GGUF_TEXT)
        for (uint64_t i = 0; i < v->count && !r->err; i++)
            take_text(r, GGUF_TEXT_SIZE_MAX, "a text in an array");
    else
        take(r, v->count * type_size[v->item_type], "an array");
    v->size = r->at - begin;
}

static void read_value(struct reader *r, struct gguf_value *v)
{
    *v = (struct gguf_value){0};
    v->key = take_text(r, GGUF_KEY_SIZE_MAX, "a key");
    v->type = take_type(r);
    v->count = 1;
    if (v->type == GGUF_ARRAY) {
        skip_array(r, v);
    } else if (v->type == GGUF_TEXT) {
        struct span text = take_text(r, GGUF_TEXT_SIZE_MAX, "a text");
        v->at = text.data;
        v->size = text.size;
    } else {
        v->size = type_size[v->type];
        v->at = take(r, v->size, "a value");
    }
}

static void refuse_type(struct reader *r, const struct gguf_tensor *t)
{
    const char *name = t->type < ARRAY_COUNT(tensor_type) ? tensor_type[t->type] : NULL;
    r->err = cx_fail(CX_UNSUPPORTED, "tensor %.*s has type %s (%" PRIu32 "): the builtin engine reads F32 and Q8_0",
                     (int)t->name.size, (const char *)t->name.data, name ? name : "unknown", t->type);
}

/* Where the tensor begins is relative to the data section, which nobody knows yet: it is kept in `size`. */
static void read_tensor(struct reader *r, struct gguf_tensor *t)
{
    *t = (struct gguf_tensor){0};
    t->name = take_text(r, GGUF_KEY_SIZE_MAX, "a tensor's name");
    uint64_t dims = take_number(r, 4, "a tensor's number of dimensions");
    if (dims > GGUF_DIMS_MAX)
        fail(r, CX_CORRUPT, "a tensor's number of dimensions", dims);
    for (uint32_t d = 0; d < GGUF_DIMS_MAX; d++)
        t->dims[d] = 1;
    for (uint32_t d = 0; d < dims && !r->err; d++) {
        uint64_t dim = take_number(r, 8, "a tensor's dimension");
        if (!r->err && (dim == 0 || dim > GGUF_DIM_MAX))
            fail(r, CX_CORRUPT, "a tensor's dimension", dim);
        t->dims[d] = (uint32_t)dim;
    }
    t->dims_count = (uint32_t)dims;
    t->type = (uint32_t)take_number(r, 4, "a tensor's type");
    t->size = take_number(r, 8, "a tensor's offset");
    if (!r->err && t->type != GGUF_TENSOR_F32 && t->type != GGUF_TENSOR_Q8_0)
        refuse_type(r, t);
}

/* Bytes of the tensor's data; 0 where blocks do not fill its rows, or where they are too many to count. */
static uint64_t tensor_size(const struct gguf_tensor *t)
{
    uint64_t count = 1;
    for (uint32_t d = 0; d < GGUF_DIMS_MAX; d++) {
        count *= t->dims[d];
        if (count > UINT64_MAX / 4 / GGUF_DIM_MAX)
            return 0;
    }
    if (t->type == GGUF_TENSOR_F32)
        return count * 4;
    return t->dims[0] % GGUF_Q8_0_BLOCK ? 0 : count / GGUF_Q8_0_BLOCK * GGUF_Q8_0_SIZE;
}

static void place_tensor(struct reader *r, struct gguf_tensor *t, uint64_t begin, uint32_t alignment)
{
    uint64_t offset = t->size, size = tensor_size(t), room = r->size - begin;
    if (size == 0 || offset % alignment || offset > room || size > room - offset) {
        if (!r->err)
            r->err = cx_fail(CX_CORRUPT,
                             "GGUF file: tensor %.*s (offset %" PRIu64 ", %" PRIu64 " bytes) does not fit the %" PRIu64
                             " bytes of tensor data",
                             (int)t->name.size, (const char *)t->name.data, offset, size, room);
        return;
    }
    t->at = r->data + begin + offset;
    t->size = size;
}

static void place_tensors(struct reader *r, struct gguf *gguf)
{
    uint32_t alignment = 32;
    if (gguf_find(gguf, "general.alignment"))
        r->err = gguf_need_u32(gguf, "general.alignment", 1, GGUF_ALIGNMENT_MAX, &alignment);
    if (r->err)
        return;
    uint64_t begin = (r->at + alignment - 1) / alignment * alignment;
    if (begin > r->size) {
        fail(r, CX_CORRUPT, "the file ends before its tensor data", r->size);
        return;
    }
    for (uint32_t i = 0; i < gguf->tensors; i++)
        place_tensor(r, &gguf->tensor[i], begin, alignment);
}

enum cx_err gguf_read(const uint8_t *data, size_t size, struct gguf *ret_gguf)
{
    struct reader r = {data, 0, size, CX_OK};
    ret_gguf->values = ret_gguf->tensors = 0;
    const uint8_t *magic = take(&r, 4, "the magic number");
    if (magic && memcmp(magic, "GGUF", 4) != 0)
        return cx_fail(CX_CORRUPT, "not a GGUF file: it does not begin with \"GGUF\"");
    uint64_t version = take_number(&r, 4, "the version");
    if (!r.err && version != GGUF_VERSION)
        fail(&r, CX_UNSUPPORTED, "only version 3 is read; the version is another", version);
    uint64_t tensors = take_number(&r, 8, "the number of tensors"), values = take_number(&r, 8, "the number of keys");
    if (tensors > GGUF_TENSORS_MAX)
        fail(&r, CX_TOO_LARGE, "the number of tensors", tensors);
    if (values > GGUF_VALUES_MAX)
        fail(&r, CX_TOO_LARGE, "the number of keys", values);
    for (uint64_t i = 0; i < values && !r.err; i++)
        read_value(&r, &ret_gguf->value[ret_gguf->values++]);
    for (uint64_t i = 0; i < tensors && !r.err; i++)
        read_tensor(&r, &ret_gguf->tensor[ret_gguf->tensors++]);
    if (!r.err)
        place_tensors(&r, ret_gguf);
    return r.err;
}

static bool is_called(struct span name, const char *text)
{
    return name.size == strlen(text) && memcmp(name.data, text, name.size) == 0;
}

const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key)
{
    for (uint32_t i = 0; i < gguf->values; i++)
        if (is_called(gguf->value[i].key, key))
            return &gguf->value[i];
    return NULL;
}

const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name)
{
    for (uint32_t i = 0; i < gguf->tensors; i++)
        if (is_called(gguf->tensor[i].name, name))
            return &gguf->tensor[i];
    return NULL;
}

static enum cx_err find_of_type(const struct gguf *gguf, const char *key, enum gguf_type type,
                                const struct gguf_value **ret_value)
{
    const struct gguf_value *v = gguf_find(gguf, key);
    if (!v)
        return cx_fail(CX_CORRUPT, "GGUF file: key %s is missing", key);
    if (v->type != type)
        return cx_fail(CX_CORRUPT, "GGUF file: key %s has value type %d, not %d", key, v->type, type);
    *ret_value = v;
    return CX_OK;
}

enum cx_err gguf_need_u32(const struct gguf *gguf, const char *key, uint32_t min, uint32_t max, uint32_t *ret_value)
{
    const struct gguf_value *v = NULL;
    enum cx_err err = find_of_type(gguf, key, GGUF_U32, &v);
    if (err)
        return err;
    uint32_t number = gguf_u32_at(v->at);
    if (number < min || number > max)
        return cx_fail(CX_CORRUPT, "GGUF file: key %s is %" PRIu32 ", not %" PRIu32 "..%" PRIu32, key, number, min,
                       max);
    *ret_value = number;
    return CX_OK;
}

enum cx_err gguf_need_float(const struct gguf *gguf, const char *key, float *ret_value)
{
    const struct gguf_value *v = NULL;
    enum cx_err err = find_of_type(gguf, key, GGUF_FLOAT, &v);
    if (err)
        return err;
    uint32_t bits = gguf_u32_at(v->at);
    memcpy(ret_value, &bits, sizeof bits);
    return CX_OK;
}

enum cx_err gguf_need_text(const struct gguf *gguf, const char *key, struct span *ret_text)
{
    const struct gguf_value *v = NULL;
    enum cx_err err = find_of_type(gguf, key, GGUF_TEXT, &v);
    if (err)
        return err;
    *ret_text = (struct span){v->at, (uint32_t)v->size};
    return CX_OK;
}

enum cx_err gguf_need_array(const struct gguf *gguf, const char *key, enum gguf_type item_type,
                            const struct gguf_value **ret_value)
{
    enum cx_err err = find_of_type(gguf, key, GGUF_ARRAY, ret_value);
    if (err)
        return err;
    if ((*ret_value)->item_type != item_type)
        return cx_fail(CX_CORRUPT, "GGUF file: the items of %s have type %d, not %d", key, (*ret_value)->item_type,
                       item_type);
    return CX_OK;
}

struct span gguf_next_text(const uint8_t **at)
{
    uint64_t size = number_at(*at, 8);
    cx_assert(size <= GGUF_TEXT_SIZE_MAX);  // gguf_read has seen it
    struct span text = {*at + 8, (uint32_t)size};
    *at += 8 + size;
    return text;
}

uint32_t gguf_u32_at(const uint8_t *at) { return (uint32_t)number_at(at, 4); }

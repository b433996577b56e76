/* gguf.h - reads the header of a GGUF file, version 3: keys with values, tensors with their places.
 *
 * Nothing is copied or allocated: texts, arrays and tensors stay where they lie in the file's bytes. Every
 * count, size and offset is checked before it is used, and an error names what was wrong and at which byte.
 *
 * Units:  numbers in the file are little-endian.
 * Source: the GGUF specification of the ggml project.
 */
#ifndef CORTEN_RUNTIME_GGUF_H
#define CORTEN_RUNTIME_GGUF_H

#include "base/err.h"
#include "base/types.h"

#define GGUF_VERSION         3u
#define GGUF_VALUES_MAX      256u
#define GGUF_TENSORS_MAX     2048u
#define GGUF_DIMS_MAX        4u
#define GGUF_KEY_SIZE_MAX    256u
#define GGUF_TEXT_SIZE_MAX   (1u << 20)
#define GGUF_ARRAY_COUNT_MAX (1u << 20)
#define GGUF_DIM_MAX         (1u << 24)
#define GGUF_ALIGNMENT_MAX   65536u

/* Ids of the format. */
enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_FLOAT,
    GGUF_BOOL,
    GGUF_TEXT,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_DOUBLE,
    GGUF_TYPE_COUNT
};

#define GGUF_TENSOR_F32  0u
#define GGUF_TENSOR_Q8_0 8u
#define GGUF_Q8_0_BLOCK  32u  // values of one block
#define GGUF_Q8_0_SIZE   34u  // bytes: a half float and 32 signed bytes

struct gguf_value {
    struct span key;
    enum gguf_type type;
    enum gguf_type item_type;  // of a GGUF_ARRAY
    uint64_t count;            // of a GGUF_ARRAY; 1 otherwise
    const uint8_t *at;         // the value, the text's bytes, or the array's first item
    uint64_t size;             // bytes there
};

struct gguf_tensor {
    struct span name;
    uint32_t dims_count;
    uint32_t dims[GGUF_DIMS_MAX];  // innermost first; 1 beyond dims_count
    uint32_t type;                 // GGUF_TENSOR_F32 or _Q8_0
    const uint8_t *at;
    uint64_t size;  // bytes
};

struct gguf {
    struct gguf_value value[GGUF_VALUES_MAX];
    struct gguf_tensor tensor[GGUF_TENSORS_MAX];
    uint32_t values, tensors;
};

/* Fails: CORRUPT (not GGUF, cut, contradicts itself), TOO_LARGE (over a limit above), UNSUPPORTED (version
 * or tensor type, by name). */
enum cx_err gguf_read(const uint8_t *data, size_t size, struct gguf *ret_gguf);

/* NULL: there is none. */
const struct gguf_value *gguf_find(const struct gguf *gguf, const char *key);
const struct gguf_tensor *gguf_find_tensor(const struct gguf *gguf, const char *name);

/* Each fails with CORRUPT where the key is missing or its value has another type. */
enum cx_err gguf_need_u32(const struct gguf *gguf, const char *key, uint32_t min, uint32_t max, uint32_t *ret_value);
enum cx_err gguf_need_float(const struct gguf *gguf, const char *key, float *ret_value);
enum cx_err gguf_need_text(const struct gguf *gguf, const char *key, struct span *ret_text);
enum cx_err gguf_need_array(const struct gguf *gguf, const char *key, enum gguf_type item_type,
                            const struct gguf_value **ret_value);

/* Item by item through an array of texts: *at starts as value->at. */
struct span gguf_next_text(const uint8_t **at);
uint32_t gguf_u32_at(const uint8_t *at);

#endif

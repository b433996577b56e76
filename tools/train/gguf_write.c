#include "gguf_write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "corpus.h"
#include "runtime/chat_template.h"
#include "runtime/llama_math.h"

/* Ids of the format's value and tensor types. */
enum { VALUE_U32 = 4, VALUE_I32 = 5, VALUE_F32 = 6, VALUE_BOOL = 7, VALUE_STRING = 8, VALUE_ARRAY = 9 };
enum { TYPE_F32 = 0, TYPE_Q8_0 = 8 };
enum { PIECE_NORMAL = 1, PIECE_UNKNOWN = 2, PIECE_CONTROL = 3, PIECE_BYTE = 6 };

#define ALIGNMENT   32u
#define QUANT_BLOCK 32u

/* Numbers are little-endian in the file whatever the machine. */
static void put_number(struct buf *out, uint64_t v, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        char byte = (char)(v >> 8 * i & 0xff);
        buf_add(out, &byte, 1);
    }
}

static void put_float(struct buf *out, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_number(out, bits, 4);
}

static void put_string(struct buf *out, const char *text)
{
    put_number(out, strlen(text), 8);
    buf_text(out, text);
}

/* The header counts its entries: `count` is how many keys there have been. */
static void put_key(struct buf *out, uint32_t *count, const char *key, uint32_t type)
{
    put_string(out, key);
    put_number(out, type, 4);
    ++*count;
}

static void put_u32(struct buf *out, uint32_t *count, const char *key, uint32_t v)
{
    put_key(out, count, key, VALUE_U32);
    put_number(out, v, 4);
}

static void put_bool(struct buf *out, uint32_t *count, const char *key, bool v)
{
    put_key(out, count, key, VALUE_BOOL);
    put_number(out, v, 1);
}

static void put_text(struct buf *out, uint32_t *count, const char *key, const char *text)
{
    put_key(out, count, key, VALUE_STRING);
    put_string(out, text);
}

static void put_array(struct buf *out, uint32_t *count, const char *key, uint32_t type)
{
    put_key(out, count, key, VALUE_ARRAY);
    put_number(out, type, 4);
    put_number(out, TOKEN_COUNT, 8);
}

static uint32_t piece_type(uint32_t token)
{
    if (token == TOKEN_UNKNOWN)
        return PIECE_UNKNOWN;
    if (token < TOKEN_BYTE_0)
        return PIECE_CONTROL;
    return token < TOKEN_BLANK ? PIECE_BYTE : PIECE_NORMAL;
}

static void put_tokenizer(struct buf *out, uint32_t *count)
{
    static const char *const special[TOKEN_BYTE_0] = {"<unk>", "<s>", "</s>"};
    put_text(out, count, "tokenizer.ggml.model", "llama");
    put_array(out, count, "tokenizer.ggml.tokens", VALUE_STRING);
    for (uint32_t t = 0; t < TOKEN_COUNT; t++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", (t - TOKEN_BYTE_0) & 0xffu);
        put_string(out, t < TOKEN_BYTE_0 ? special[t] : t < TOKEN_BLANK ? piece : "\xe2\x96\x81");
    }
    put_array(out, count, "tokenizer.ggml.scores", VALUE_F32);
    for (uint32_t t = 0; t < TOKEN_COUNT; t++)
        put_float(out, 0.0f);
    put_array(out, count, "tokenizer.ggml.token_type", VALUE_I32);
    for (uint32_t t = 0; t < TOKEN_COUNT; t++)
        put_number(out, piece_type(t), 4);
    put_u32(out, count, "tokenizer.ggml.unknown_token_id", TOKEN_UNKNOWN);
    put_u32(out, count, "tokenizer.ggml.bos_token_id", TOKEN_BEGIN);
    put_u32(out, count, "tokenizer.ggml.eos_token_id", TOKEN_END);
    put_bool(out, count, "tokenizer.ggml.add_bos_token", true);
    put_bool(out, count, "tokenizer.ggml.add_eos_token", false);
    put_bool(out, count, "tokenizer.ggml.add_space_prefix", false);
    put_bool(out, count, "tokenizer.ggml.remove_extra_whitespaces", false);
    put_text(out, count, "tokenizer.chat_template", CHAT_TEMPLATE);
}

static void put_metadata(struct buf *out, uint32_t *count, enum gguf_format format)
{
    put_text(out, count, "general.architecture", "llama");
    put_text(out, count, "general.name", "corten-demo");
    put_text(out, count, "general.description",
             "A demonstration model, trained on the text of Debian's package bible-kjv-text");
    put_u32(out, count, "general.alignment", ALIGNMENT);
    put_u32(out, count, "general.file_type", format == GGUF_F32 ? 0 : 7);
    put_u32(out, count, "general.quantization_version", 2);
    put_u32(out, count, "llama.vocab_size", TOKEN_COUNT);
    put_u32(out, count, "llama.context_length", MODEL_CONTEXT);
    put_u32(out, count, "llama.embedding_length", MODEL_WIDTH);
    put_u32(out, count, "llama.block_count", MODEL_LAYERS);
    put_u32(out, count, "llama.feed_forward_length", MODEL_HIDDEN);
    put_u32(out, count, "llama.attention.head_count", MODEL_HEADS);
    put_u32(out, count, "llama.attention.head_count_kv", MODEL_HEADS_KV);
    put_key(out, count, "llama.attention.layer_norm_rms_epsilon", VALUE_F32);
    put_float(out, MODEL_EPSILON);
    put_u32(out, count, "llama.rope.dimension_count", MODEL_HEAD);
    put_key(out, count, "llama.rope.freq_base", VALUE_F32);
    put_float(out, (float)MODEL_ROPE_BASE);
    put_tokenizer(out, count);
}

static void put_block(struct buf *out, const float *x)
{
    float largest = 0.0f;
    for (uint32_t i = 0; i < QUANT_BLOCK; i++) {
        float size = x[i] < 0.0f ? -x[i] : x[i];
        largest = size > largest ? size : largest;
    }
    float scale = largest / 127.0f, inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
    put_number(out, math_float_to_half(scale), 2);
    for (uint32_t i = 0; i < QUANT_BLOCK; i++) {
        float v = x[i] * inverse;
        int q = (int)(v < 0.0f ? v - 0.5f : v + 0.5f);
        put_number(out, (uint64_t)(uint32_t)(q > 127 ? 127 : q < -127 ? -127 : q) & 0xff, 1);
    }
}

static void put_tensor(struct buf *out, const struct tensor *t, const float *w, enum gguf_format format)
{
    if (t->rows == 0 || format == GGUF_F32)
        for (size_t i = 0; i < t->size; i++)
            put_float(out, w[i]);
    else
        for (size_t i = 0; i < t->size; i += QUANT_BLOCK)
            put_block(out, w + i);
}

static void pad(struct buf *out)
{
    while (out->size % ALIGNMENT)
        buf_add(out, "", 1);
}

static bool save(const struct buf *out, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f && fwrite(out->data, 1, out->size, f) == out->size && fclose(f) == 0)
        return true;
    fprintf(stderr, "train: write %s: %s\n", path, strerror(errno));
    return false;
}

bool gguf_write(const struct model *model, enum gguf_format format, const char *path)
{
    struct buf meta = {0}, tensors = {0}, data = {0}, out = {0};
    uint32_t count = 0;
    put_metadata(&meta, &count, format);
    for (uint32_t i = 0; i < TENSOR_COUNT; i++) {
        const struct tensor *t = &model->tensor[i];
        pad(&data);
        put_string(&tensors, t->name);
        put_number(&tensors, t->rows ? 2 : 1, 4);
        put_number(&tensors, t->cols, 8);
        if (t->rows)
            put_number(&tensors, t->rows, 8);
        put_number(&tensors, t->rows && format == GGUF_Q8_0 ? TYPE_Q8_0 : TYPE_F32, 4);
        put_number(&tensors, data.size, 8);
        put_tensor(&data, t, model->weight + t->at, format);
    }
    buf_text(&out, "GGUF");
    put_number(&out, 3, 4);
    put_number(&out, TENSOR_COUNT, 8);
    put_number(&out, count, 8);
    buf_add(&out, meta.data, meta.size);
    buf_add(&out, tensors.data, tensors.size);
    pad(&out);
    buf_add(&out, data.data, data.size);
    pad(&out);
    bool ok = save(&out, path);
    buf_done(&meta);
    buf_done(&tensors);
    buf_done(&data);
    buf_done(&out);
    return ok;
}

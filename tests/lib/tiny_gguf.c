#include "lib/tiny_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/gguf.h"
#include "runtime/llama_math.h"

#define ALIGNMENT 32u

static void put_number(struct buf *out, uint64_t v, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        char byte = (char)(v >> 8 * i & 0xff);
        buf_add(out, &byte, 1);
    }
}

static void put_text(struct buf *out, const char *text)
{
    put_number(out, strlen(text), 8);
    buf_text(out, text);
}

static void key(struct buf *out, uint32_t *count, const char *name, enum gguf_type type)
{
    put_text(out, name);
    put_number(out, (uint64_t)type, 4);
    ++*count;
}

static void key_u32(struct buf *out, uint32_t *count, const char *name, uint32_t v)
{
    key(out, count, name, GGUF_U32);
    put_number(out, v, 4);
}

static void key_text(struct buf *out, uint32_t *count, const char *name, const char *text)
{
    key(out, count, name, GGUF_TEXT);
    put_text(out, text);
}

static void key_float(struct buf *out, uint32_t *count, const char *name, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    key(out, count, name, GGUF_FLOAT);
    put_number(out, bits, 4);
}

static void put_vocabulary(struct buf *out, uint32_t *count, const struct tiny_options *options)
{
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    key(out, count, "tokenizer.ggml.tokens", GGUF_ARRAY);
    put_number(out, GGUF_TEXT, 4);
    put_number(out, TINY_VOCAB, 8);
    for (uint32_t t = 0; t < TINY_VOCAB; t++) {
        char piece[8];
        snprintf(piece, sizeof piece, "<0x%02X>", (t - 3) & 0xff);
        bool merged = options->merged_piece && t == TINY_VOCAB - 1;
        put_text(out, t < 3 ? special[t] : merged ? options->merged_piece : piece);
    }
    key(out, count, "tokenizer.ggml.token_type", GGUF_ARRAY);
    put_number(out, GGUF_I32, 4);
    put_number(out, TINY_VOCAB, 8);
    for (uint32_t t = 0; t < TINY_VOCAB; t++)
        put_number(out, t < 3 ? 3 : options->merged_piece && t == TINY_VOCAB - 1 ? 1 : 6, 4);
    key_u32(out, count, "tokenizer.ggml.bos_token_id", 1);
    key_u32(out, count, "tokenizer.ggml.eos_token_id", 2);
}

static void put_keys(struct buf *out, uint32_t *count, const struct tiny_options *options)
{
    key_text(out, count, "general.architecture", options->architecture ? options->architecture : "llama");
    key_u32(out, count, "llama.embedding_length", TINY_WIDTH);
    key_u32(out, count, "llama.block_count", 1);
    key_u32(out, count, "llama.feed_forward_length", TINY_HIDDEN);
    key_u32(out, count, "llama.context_length", TINY_CONTEXT);
    key_u32(out, count, "llama.attention.head_count", 2);
    key_u32(out, count, "llama.attention.head_count_kv", 1);
    key_float(out, count, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    key_text(out, count, "tokenizer.ggml.model", options->tokenizer ? options->tokenizer : "llama");
    put_vocabulary(out, count, options);
    if (options->extra_key)
        key_u32(out, count, options->extra_key, 1);
    if (options->chat_template)
        key_text(out, count, "tokenizer.chat_template", options->chat_template);
}

/* -1 .. 1, without a pattern that a wrong order of rows would leave as it is. */
static int32_t number_of(uint32_t n) { return (int32_t)(n * 2654435761u >> 24) - 128; }

static void put_weights(struct buf *data, uint32_t count, uint32_t *n, bool quantized, bool is_norm)
{
    for (uint32_t i = 0; i < count; i++, ++*n) {
        if (quantized && i % GGUF_Q8_0_BLOCK == 0)
            put_number(data, math_float_to_half(1.0f / 512.0f), 2);
        if (quantized) {
            put_number(data, (uint64_t)(uint32_t)number_of(*n) & 0xff, 1);
            continue;
        }
        float w = is_norm ? 1.0f : (float)number_of(*n) / 512.0f;
        uint32_t bits;
        memcpy(&bits, &w, sizeof bits);
        put_number(data, bits, 4);
    }
}

struct tensors {
    struct buf list, data;
    uint32_t count, n;
    const struct tiny_options *options;
};

static void tensor(struct tensors *t, const char *name, uint32_t rows, uint32_t cols)
{
    bool quantized = rows > 0 && t->options->quantized;
    if (t->options->left_out && strcmp(name, t->options->left_out) == 0)
        return;
    while (t->data.size % ALIGNMENT)
        put_number(&t->data, 0, 1);
    put_text(&t->list, name);
    put_number(&t->list, rows ? 2 : 1, 4);
    put_number(&t->list, cols, 8);
    if (rows)
        put_number(&t->list, rows, 8);
    put_number(&t->list,
               rows && t->options->tensor_type ? t->options->tensor_type
               : quantized                     ? GGUF_TENSOR_Q8_0
                                               : 0,
               4);
    put_number(&t->list, t->data.size, 8);
    put_weights(&t->data, (rows ? rows : 1) * cols, &t->n, quantized, rows == 0);
    t->count++;
}

static void put_tensors(struct tensors *t)
{
    tensor(t, "token_embd.weight", TINY_VOCAB, TINY_WIDTH);
    tensor(t, "blk.0.attn_norm.weight", 0, TINY_WIDTH);
    tensor(t, "blk.0.attn_q.weight", TINY_WIDTH, TINY_WIDTH);
    tensor(t, "blk.0.attn_k.weight", TINY_WIDTH / 2, TINY_WIDTH);
    tensor(t, "blk.0.attn_v.weight", TINY_WIDTH / 2, TINY_WIDTH);
    tensor(t, "blk.0.attn_output.weight", TINY_WIDTH, TINY_WIDTH);
    tensor(t, "blk.0.ffn_norm.weight", 0, TINY_WIDTH);
    tensor(t, "blk.0.ffn_gate.weight", TINY_HIDDEN, TINY_WIDTH);
    tensor(t, "blk.0.ffn_up.weight", TINY_HIDDEN, TINY_WIDTH);
    tensor(t, "blk.0.ffn_down.weight", TINY_WIDTH, TINY_HIDDEN);
    tensor(t, "output_norm.weight", 0, TINY_WIDTH);
    if (t->options->extra_tensor)
        tensor(t, t->options->extra_tensor, 0, TINY_WIDTH);
}

void tiny_gguf(struct buf *out, const struct tiny_options *options)
{
    struct buf keys = {0};
    struct tensors t = {.options = options};
    uint32_t count = 0;
    put_keys(&keys, &count, options);
    put_tensors(&t);
    buf_text(out, "GGUF");
    put_number(out, GGUF_VERSION, 4);
    put_number(out, t.count, 8);
    put_number(out, count, 8);
    buf_add(out, keys.data, keys.size);
    buf_add(out, t.list.data, t.list.size);
    while (out->size % ALIGNMENT)
        put_number(out, 0, 1);
    buf_add(out, t.data.data, t.data.size);
    buf_done(&keys);
    buf_done(&t.list);
    buf_done(&t.data);
}

size_t tiny_header_size(const struct buf *file)
{
    struct gguf *gguf = malloc(sizeof *gguf);
    if (!gguf || gguf_read((const uint8_t *)file->data, file->size, gguf))
        abort();
    size_t size = (size_t)(gguf_find_tensor(gguf, "token_embd.weight")->at - (const uint8_t *)file->data);
    free(gguf);
    return size;
}

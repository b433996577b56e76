/* tiny_gguf.h - tiny models for tests, written byte by byte. */
#ifndef CORTEN_TESTS_TINY_GGUF_H
#define CORTEN_TESTS_TINY_GGUF_H

#include "base/buf.h"
#include "base/types.h"

/* 3 specials and 256 bytes; one layer, 2 heads, 1 kv head. */
#define TINY_VOCAB   259u
#define TINY_WIDTH   32u
#define TINY_HIDDEN  32u
#define TINY_CONTEXT 64u

struct tiny_options {
    const char *architecture;   // NULL: llama
    const char *tokenizer;      // NULL: llama
    const char *extra_key;      // NULL: none; a u32 of 1
    const char *chat_template;  // NULL: none
    const char *merged_piece;   // NULL: none; in place of the last byte's piece, as a normal one
    uint32_t tensor_type;       // of matrices; 0: F32
    bool quantized;             // matrices are Q8_0
    const char *left_out;       // a tensor's name
    const char *extra_tensor;   // a tensor's name
};

/* Weights are small numbers that follow from a counter. */
void tiny_gguf(struct buf *out, const struct tiny_options *options);
/* Where the tensors' data begins. */
size_t tiny_header_size(const struct buf *file);

#endif

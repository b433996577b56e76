/* tokenizer.h - byte-level vocabularies: one token a byte.
 *
 * Of the tokenizers that GGUF files name, only `llama` is read, and only with a vocabulary that has no
 * merged pieces: all 256 bytes as byte pieces, control pieces, and pieces of one ASCII character, which go
 * before the byte piece of the same byte ("\u2581" stands for a blank). Others are refused by name. Text can
 * never become a control token.
 */
#ifndef CORTEN_RUNTIME_TOKENIZER_H
#define CORTEN_RUNTIME_TOKENIZER_H

#include "runtime/gguf.h"

#define TOKENIZER_VOCAB_MAX 4096u

struct tokenizer {
    uint32_t count;       // tokens
    uint32_t begin, end;  // control tokens
    uint32_t of_byte[256];
    int16_t byte_of[TOKENIZER_VOCAB_MAX];  // -1: a control token, which has no text
};

/* Fails: UNSUPPORTED (named), CORRUPT. */
enum cx_err tokenizer_init(struct tokenizer *tokenizer, const struct gguf *gguf);

#endif

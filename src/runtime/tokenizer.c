#include "runtime/tokenizer.h"

#include <inttypes.h>
#include <string.h>

/* Kinds of pieces, ids of the format. */
enum { PIECE_NORMAL = 1, PIECE_UNKNOWN = 2, PIECE_CONTROL = 3, PIECE_BYTE = 6 };

#define NO_TOKEN   UINT32_MAX
#define BLANK_MARK "\xe2\x96\x81"  // U+2581

static bool is_text(struct span piece, const char *text)
{
    return piece.size == strlen(text) && memcmp(piece.data, text, piece.size) == 0;
}

/* The byte that a piece like <0x0A> stands for, or -1. */
static int byte_of_piece(struct span piece)
{
    static const char digits[] = "0123456789ABCDEF";
    if (piece.size != 6 || memcmp(piece.data, "<0x", 3) != 0 || piece.data[5] != '>')
        return -1;
    const char *high = memchr(digits, piece.data[3], 16), *low = memchr(digits, piece.data[4], 16);
    return high && low ? (int)((high - digits) << 4 | (low - digits)) : -1;
}

static enum cx_err refuse_piece(struct span piece, uint32_t id)
{
    return cx_fail(CX_UNSUPPORTED,
                   "tokenizer llama with merged pieces (token %" PRIu32 " is \"%.*s\"): the builtin engine reads "
                   "byte-level vocabularies only; serve this model with llama-server and --engine openai=URL",
                   id, (int)u32_min(piece.size, 40), (const char *)piece.data);
}

static enum cx_err add_piece(struct tokenizer *t, uint32_t id, uint32_t kind, struct span piece)
{
    int byte = -1;
    t->byte_of[id] = -1;
    if (kind == PIECE_CONTROL || kind == PIECE_UNKNOWN)
        return CX_OK;
    if (kind == PIECE_BYTE)
        byte = byte_of_piece(piece);
    else if (kind == PIECE_NORMAL && is_text(piece, BLANK_MARK))
        byte = ' ';
    else if (kind == PIECE_NORMAL && piece.size == 1 && piece.data[0] < 0x80)
        byte = piece.data[0];
    if (byte < 0)
        return refuse_piece(piece, id);
    t->byte_of[id] = (int16_t)byte;
    if (kind == PIECE_NORMAL || t->of_byte[byte] == NO_TOKEN)
        t->of_byte[byte] = id;
    return CX_OK;
}

static enum cx_err add_pieces(struct tokenizer *t, const struct gguf_value *pieces, const struct gguf_value *kinds)
{
    const uint8_t *at = pieces->at;
    for (uint32_t b = 0; b < 256; b++)
        t->of_byte[b] = NO_TOKEN;
    for (uint32_t id = 0; id < t->count; id++) {
        struct span piece = gguf_next_text(&at);
        enum cx_err err = add_piece(t, id, gguf_u32_at(kinds->at + 4 * (size_t)id), piece);
        if (err)
            return err;
    }
    for (uint32_t b = 0; b < 256; b++)
        if (t->of_byte[b] == NO_TOKEN)
            return cx_fail(CX_UNSUPPORTED, "the vocabulary has no piece for byte 0x%02X: it is not byte-level", b);
    return CX_OK;
}

enum cx_err tokenizer_init(struct tokenizer *tokenizer, const struct gguf *gguf)
{
    const struct gguf_value *pieces, *kinds;
    struct span name;
    enum cx_err err = gguf_need_text(gguf, "tokenizer.ggml.model", &name);
    if (!err && !is_text(name, "llama"))
        err = cx_fail(CX_UNSUPPORTED, "tokenizer %.*s: the builtin engine reads byte-level vocabularies of llama only",
                      (int)u32_min(name.size, 40), (const char *)name.data);
    if (!err)
        err = gguf_need_array(gguf, "tokenizer.ggml.tokens", GGUF_TEXT, &pieces);
    if (!err)
        err = gguf_need_array(gguf, "tokenizer.ggml.token_type", GGUF_I32, &kinds);
    if (err)
        return err;
    if (pieces->count > TOKENIZER_VOCAB_MAX)
        return cx_fail(CX_UNSUPPORTED, "a vocabulary of %" PRIu64 " tokens is not byte-level: at most %u are read",
                       pieces->count, TOKENIZER_VOCAB_MAX);
    if (kinds->count != pieces->count)
        return cx_fail(CX_CORRUPT, "GGUF file: %" PRIu64 " tokens, but %" PRIu64 " token types", pieces->count,
                       kinds->count);
    *tokenizer = (struct tokenizer){.count = (uint32_t)pieces->count};
    err = add_pieces(tokenizer, pieces, kinds);
    if (!err)
        err = gguf_need_u32(gguf, "tokenizer.ggml.bos_token_id", 0, tokenizer->count - 1, &tokenizer->begin);
    if (!err)
        err = gguf_need_u32(gguf, "tokenizer.ggml.eos_token_id", 0, tokenizer->count - 1, &tokenizer->end);
    return err;
}

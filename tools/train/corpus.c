#include "corpus.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/hex.h"

#define TEXT_SIZE_MAX (16u << 20)
#define VERSES_MAX    40000u
#define VERSES_MIN    1000u
/* SHA-256 of the text that `bible` 4.38 prints; other text gives another model. */
#define TEXT_SHA256 "cd45f0c9cedab8e4439bd6486c8952c77cc8b0ecc5d1f6ae3513f2039f47229d"

/* A sequence under construction. */
struct writer {
    uint32_t *token;
    uint32_t size, cap;
};

static void put(struct writer *w, uint32_t token)
{
    if (w->size < w->cap)
        w->token[w->size++] = token;
}

static void put_text(struct writer *w, const char *text, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        put(w, text[i] == ' ' ? TOKEN_BLANK : TOKEN_BYTE_0 + (unsigned char)text[i]);
}

static void put_words(struct writer *w, const char *text) { put_text(w, text, (uint32_t)strlen(text)); }

static void put_lower(struct writer *w, const char *text, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        char lower = (char)tolower((unsigned char)text[i]);
        put_text(w, &lower, 1);
    }
}

static char *read_file(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "train: open %s: %s\n", path, strerror(errno));
        exit(2);
    }
    char *text = malloc(TEXT_SIZE_MAX);
    if (!text)
        abort();
    *ret_size = fread(text, 1, TEXT_SIZE_MAX - 1, f);
    text[*ret_size] = '\0';
    fclose(f);
    return text;
}

static void check_digest(const char *path, const char *text, size_t size)
{
    unsigned char digest[32];
    char digits[65];
    crypto_hash_sha256(digest, (const unsigned char *)text, size);
    hex_encode(digest, sizeof digest, digits);
    if (strcmp(digits, TEXT_SHA256) != 0)
        fprintf(stderr, "train: %s has SHA-256 %s, not %s: the model will differ from the bundled one\n", path, digits,
                TEXT_SHA256);
}

void corpus_load(struct corpus *corpus, const char *path)
{
    size_t size;
    *corpus = (struct corpus){.text = read_file(path, &size)};
    check_digest(path, corpus->text, size);
    corpus->verse = calloc(VERSES_MAX, sizeof *corpus->verse);
    corpus->verse_size = calloc(VERSES_MAX, sizeof *corpus->verse_size);
    if (!corpus->verse || !corpus->verse_size)
        abort();

    for (char *line = corpus->text; *line && corpus->count < VERSES_MAX;) {
        char *end = strchr(line, '\n');
        if (!end)
            break;
        char *blank = memchr(line, ' ', (size_t)(end - line));
        if (blank && end - blank > 1) {
            corpus->verse[corpus->count] = blank + 1;
            corpus->verse_size[corpus->count++] = (uint32_t)(end - blank - 1);
        }
        line = end + 1;
    }
    if (corpus->count < VERSES_MIN) {
        fprintf(stderr, "train: %s has only %u verses: make it with `bible -f Gen1:1-Rev22:21`\n", path, corpus->count);
        exit(2);
    }
    corpus->held_out = corpus->count - corpus->count / 40;
}

void corpus_done(struct corpus *corpus)
{
    free(corpus->text);
    free(corpus->verse);
    free(corpus->verse_size);
    *corpus = (struct corpus){0};
}

static void put_verses(const struct corpus *corpus, struct writer *w, uint32_t from, uint32_t end)
{
    put(w, TOKEN_BEGIN);
    for (uint32_t v = from; v < end && w->size < w->cap; v++) {
        put_text(w, corpus->verse[v], corpus->verse_size[v]);
        put_words(w, "\n");
    }
}

/* How many bytes of verse v the user says: some words of it, or all. */
static uint32_t users_share(const struct corpus *corpus, struct prng *prng, uint32_t v)
{
    uint32_t size = corpus->verse_size[v], words = 2 + (uint32_t)prng_below(prng, 9), at = 0;
    if (prng_below(prng, 3) == 0)
        return size;
    while (at < size && words > 0)
        if (corpus->verse[v][at++] == ' ')
            words--;
    return at < size ? at - 1 : size;
}

/* One question and its answer. */
static uint32_t put_turn(const struct corpus *corpus, struct prng *prng, struct writer *w, uint32_t v)
{
    uint32_t share = users_share(corpus, prng, v);
    put_words(w, "User: ");
    if (prng_below(prng, 5) == 0)
        put_lower(w, corpus->verse[v], share);
    else
        put_text(w, corpus->verse[v], share);
    put_words(w, "\nAssistant: ");
    if (share < corpus->verse_size[v])
        put_text(w, corpus->verse[v] + share + 1, corpus->verse_size[v] - share - 1);
    else if (++v < corpus->held_out)
        put_text(w, corpus->verse[v], corpus->verse_size[v]);
    for (uint32_t more = (uint32_t)prng_below(prng, 2); more > 0 && v + 1 < corpus->held_out; more--) {
        v++;
        put_words(w, " ");
        put_text(w, corpus->verse[v], corpus->verse_size[v]);
    }
    put(w, TOKEN_END);
    put_words(w, "\n");
    return v + 1;
}

static void put_conversation(const struct corpus *corpus, struct prng *prng, struct writer *w)
{
    uint32_t v = (uint32_t)prng_below(prng, corpus->held_out - 16);
    put(w, TOKEN_BEGIN);
    if (prng_below(prng, 8) == 0)
        put_words(w, "System: You are a helpful assistant.\n");
    for (uint32_t turns = 1 + (uint32_t)prng_below(prng, 2); turns > 0 && v < corpus->held_out; turns--)
        v = put_turn(corpus, prng, w, v);
}

void corpus_draw(const struct corpus *corpus, struct prng *prng, uint32_t *ret_tokens, uint32_t size)
{
    struct writer w = {ret_tokens, 0, size};
    bool plain = prng_below(prng, 2) == 0;
    while (w.size < w.cap)
        if (plain)
            put_verses(corpus, &w, (uint32_t)prng_below(prng, corpus->held_out - 16), corpus->held_out);
        else
            put_conversation(corpus, prng, &w);
}

void corpus_held_out(const struct corpus *corpus, uint32_t n, uint32_t *ret_tokens, uint32_t size)
{
    struct writer w = {ret_tokens, 0, size};
    uint32_t verses = corpus->count - corpus->held_out;
    while (w.size < w.cap)
        put_verses(corpus, &w, corpus->held_out + n * 37 % (verses - 16), corpus->count);
}

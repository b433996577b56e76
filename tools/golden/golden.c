/* golden - prints one SHA-256 over what the builtin engine computes for a fixed text.
 *
 *      golden MODEL.gguf
 *
 * Hashed are the logits of every position of a prompt, and then 100 sampled tokens. `make golden` builds this
 * with two compilers at two levels and compares: a difference means that a build reordered or fused arithmetic.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "crypto/sha256.h"
#include "runtime/llama_model.h"
#include "runtime/sampler.h"

#define FILE_SIZE_MAX (64u << 20)
#define SAMPLED       100u

static const char prompt[] = "And it came to pass in those days, that there went out a decree.";

static void hash_logits(struct sha256 *hash, const float *logits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &logits[i], sizeof bits);
        uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)};
        sha256_add(hash, bytes, sizeof bytes);
    }
}

static void run(const struct llama_model *model, struct sha256 *hash)
{
    uint32_t count = model->tokenizer.count, *seen = calloc(count, sizeof *seen), *order = calloc(count, sizeof *order);
    struct sampler sampler = {8000, 9500, 40, 1000, 500, 1611};
    cx_auto(llama_run) r = NULL;
    if (!seen || !order || llama_run_open(model, (uint32_t)sizeof prompt + SAMPLED, &r))
        abort();
    float *logits = llama_run_step(r, model->tokenizer.begin, true);
    for (size_t i = 0; i < sizeof prompt - 1; i++) {
        hash_logits(hash, logits, count);
        logits = llama_run_step(r, model->tokenizer.of_byte[(uint8_t)prompt[i]], true);
    }
    for (uint32_t i = 0; i < SAMPLED; i++) {
        hash_logits(hash, logits, count);
        uint32_t token = sampler_pick(&sampler, logits, count, seen, i, order);
        uint8_t bytes[2] = {(uint8_t)token, (uint8_t)(token >> 8)};
        sha256_add(hash, bytes, sizeof bytes);
        seen[token]++;
        logits = llama_run_step(r, token, true);
    }
    free(seen);
    free(order);
}

int main(int argc, char **argv)
{
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    uint8_t *data = malloc(FILE_SIZE_MAX);
    if (!f || !data) {
        fprintf(stderr, "usage: golden MODEL.gguf\n");
        return 2;
    }
    size_t size = fread(data, 1, FILE_SIZE_MAX, f);
    fclose(f);

    cx_auto(llama_model) model = NULL;
    enum cx_err err = llama_model_open(data, size, &model);
    free(data);
    if (err) {
        fprintf(stderr, "golden: %s: %s\n", argv[1], cx_detail());
        return 1;
    }
    struct sha256 sha;
    struct hash hash;
    char digits[65];
    sha256_init(&sha);
    run(model, &sha);
    sha256_end(&sha, &hash);
    hex_encode(hash.b, sizeof hash.b, digits);
    puts(digits);
    return 0;
}

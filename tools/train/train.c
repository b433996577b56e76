/* train - makes models/corten-demo.gguf from the text of bible-kjv-text.
 *
 *      train --text FILE [--out FILE.gguf] [--format q8_0|f32] [--steps N] [--hash] [--plain]
 *
 * One thread, one order of additions, no libm: the same text gives the same bytes on every machine. With
 * --hash it prints the SHA-256 of the weights after the last step, which `make train-hash` compares; with
 * --plain it leaves AVX2 alone, which is slower and must not change a bit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "base/hex.h"
#include "corpus.h"
#include "gemm.h"
#include "gguf_write.h"
#include "model.h"
#include "runtime/llama_math.h"

#define SEED            1611u
#define STEPS_ALL       2000u
#define STEPS_WARM      100u
#define TOKENS_A_STEP   2048u
#define RATE_TOP        4e-3
#define RATE_END        1e-4
#define BETA_1          0.9
#define BETA_2          0.98
#define DECAY           0.1f
#define NORM_MAX        1.0
#define PIECES_HELD_OUT 24u
#define REPORT_EVERY    20u

struct arguments {
    const char *text, *out;
    enum gguf_format format;
    uint32_t steps;
    bool hash, plain;
};

/* Two builds of gemm.c; the faster one where the processor has it. */
void gemm_avx2(uint32_t m, uint32_t n, uint32_t k, struct gemm_view a, const float *b, uint32_t b_row, float *c,
               uint32_t c_row);
void gemm_plain(uint32_t m, uint32_t n, uint32_t k, struct gemm_view a, const float *b, uint32_t b_row, float *c,
                uint32_t c_row);

static void (*chosen_gemm)(uint32_t m, uint32_t n, uint32_t k, struct gemm_view a, const float *b, uint32_t b_row,
                           float *c, uint32_t c_row) = gemm_plain;

static void choose_gemm(bool plain)
{
#ifdef __x86_64__
    if (!plain && __builtin_cpu_supports("avx2"))
        chosen_gemm = gemm_avx2;
#else
    (void)plain;
#endif
}

void gemm(uint32_t m, uint32_t n, uint32_t k, struct gemm_view a, const float *b, uint32_t b_row, float *c,
          uint32_t c_row)
{
    chosen_gemm(m, n, k, a, b, b_row, c, c_row);
}

/* Linear warm-up, then half a cosine down. */
static double rate_at(uint32_t step)
{
    if (step < STEPS_WARM)
        return RATE_TOP * (double)(step + 1) / (double)STEPS_WARM;
    double sin_a, cos_a;
    math_sincos(3.14159265358979 * (double)(step - STEPS_WARM) / (double)(STEPS_ALL - STEPS_WARM), &sin_a, &cos_a);
    return RATE_END + (RATE_TOP - RATE_END) * 0.5 * (1.0 + cos_a);
}

static double norm_of(const float *x, size_t size)
{
    double sum = 0.0;
    for (size_t i = 0; i < size; i++)
        sum += (double)x[i] * (double)x[i];
    return math_sqrt(sum);
}

struct optimizer {
    float *first, *second;  // moments, like the weights
    double left_1, left_2;  // beta^step
};

/* AdamW with the gradient's norm clipped. */
static void update(struct model *model, struct optimizer *opt, uint32_t step)
{
    double norm = norm_of(model->gradient, model->size);
    opt->left_1 *= BETA_1;
    opt->left_2 *= BETA_2;
    float clip = norm > NORM_MAX ? (float)(NORM_MAX / norm) : 1.0f;
    float rate = (float)rate_at(step), fix_1 = (float)(1.0 / (1.0 - opt->left_1)),
          fix_2 = (float)(1.0 / (1.0 - opt->left_2)), b1 = (float)BETA_1, b2 = (float)BETA_2;
    for (uint32_t n = 0; n < TENSOR_COUNT; n++) {
        const struct tensor *t = &model->tensor[n];
        float decay = t->rows ? DECAY : 0.0f;
        for (size_t i = t->at; i < t->at + t->size; i++) {
            float g = model->gradient[i] * clip;
            opt->first[i] = b1 * opt->first[i] + (1.0f - b1) * g;
            opt->second[i] = b2 * opt->second[i] + (1.0f - b2) * g * g;
            float size = __builtin_sqrtf(opt->second[i] * fix_2) + 1e-8f;
            model->weight[i] -= rate * (opt->first[i] * fix_1 / size + decay * model->weight[i]);
        }
    }
}

/* Lengths take turns, so that most steps are cheap and far positions are still learned. */
static uint32_t length_at(uint32_t step)
{
    static const uint32_t lengths[] = {256, 128, 256, 512};
    return lengths[step % ARRAY_COUNT(lengths)];
}

static double train_step(struct model *model, struct optimizer *opt, const struct corpus *corpus, struct prng *prng,
                         uint32_t step)
{
    uint32_t tokens[MODEL_CONTEXT + 1], size = length_at(step);
    double loss = 0.0;
    memset(model->gradient, 0, model->size * sizeof *model->gradient);
    for (uint32_t done = 0; done < TOKENS_A_STEP; done += size) {
        corpus_draw(corpus, prng, tokens, size + 1);
        loss += model_train(model, tokens, size, 1.0f / (float)TOKENS_A_STEP);
    }
    update(model, opt, step);
    model_prepare(model);
    return loss / (double)TOKENS_A_STEP;
}

static double held_out_loss(struct model *model, const struct corpus *corpus)
{
    uint32_t tokens[MODEL_CONTEXT + 1];
    double loss = 0.0;
    for (uint32_t i = 0; i < PIECES_HELD_OUT; i++) {
        corpus_held_out(corpus, i, tokens, 256 + 1);
        loss += model_loss(model, tokens, 256);
    }
    return loss / (PIECES_HELD_OUT * 256.0);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void train(struct model *model, const struct corpus *corpus, const struct arguments *args)
{
    struct optimizer opt = {calloc(model->size, sizeof(float)), calloc(model->size, sizeof(float)), 1.0, 1.0};
    struct prng prng = {SEED + 1};
    double start = seconds(), sum = 0.0;
    if (!opt.first || !opt.second)
        abort();
    for (uint32_t step = 0; step < args->steps; step++) {
        sum += train_step(model, &opt, corpus, &prng, step);
        if ((step + 1) % REPORT_EVERY == 0) {
            double spent = seconds() - start;
            fprintf(stderr, "step %u of %u: %.3f nats a token, %.0f tokens/s, %.0f s left\n", step + 1, args->steps,
                    sum / REPORT_EVERY, (double)(step + 1) * TOKENS_A_STEP / spent,
                    spent / (step + 1) * (args->steps - step - 1));
            sum = 0.0;
        }
    }
    free(opt.first);
    free(opt.second);
}

static void print_hash(const struct model *model)
{
    unsigned char digest[32];
    char digits[65];
    crypto_hash_sha256(digest, (const unsigned char *)model->weight, model->size * sizeof *model->weight);
    hex_encode(digest, sizeof digest, digits);
    printf("%s\n", digits);
}

static _Noreturn void usage(const char *wrong)
{
    fprintf(stderr,
            "train: %s\n"
            "usage: train --text FILE [--out FILE.gguf] [--format q8_0|f32] [--steps N] [--hash] [--plain]\n",
            wrong);
    exit(2);
}

static struct arguments parse(int argc, char **argv)
{
    struct arguments args = {.format = GGUF_Q8_0, .steps = STEPS_ALL};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--hash") == 0 || strcmp(argv[i], "--plain") == 0) {
            *(argv[i][2] == 'h' ? &args.hash : &args.plain) = true;
            continue;
        }
        if (!value)
            usage("a flag is unknown or lacks its value");
        if (strcmp(argv[i], "--text") == 0)
            args.text = value;
        else if (strcmp(argv[i], "--out") == 0)
            args.out = value;
        else if (strcmp(argv[i], "--steps") == 0)
            args.steps = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--format") == 0 && strcmp(value, "f32") == 0)
            args.format = GGUF_F32;
        else if (strcmp(argv[i], "--format") != 0 || strcmp(value, "q8_0") != 0)
            usage("a flag is unknown");
        i++;
    }
    if (!args.text)
        usage("--text is missing");
    if (args.steps == 0 || args.steps > STEPS_ALL)
        usage("--steps is out of range");
    return args;
}

int main(int argc, char **argv)
{
    struct arguments args = parse(argc, argv);
    struct corpus corpus;
    struct model model;
    choose_gemm(args.plain);
    corpus_load(&corpus, args.text);
    model_init(&model, SEED);
    fprintf(stderr, "%zu weights, %u verses, %u steps of %u tokens\n", model.size, corpus.count, args.steps,
            TOKENS_A_STEP);
    train(&model, &corpus, &args);
    if (args.out)
        fprintf(stderr, "held out: %.4f nats a token\n", held_out_loss(&model, &corpus));
    if (args.hash)
        print_hash(&model);
    bool ok = !args.out || gguf_write(&model, args.format, args.out);
    model_done(&model);
    corpus_done(&corpus);
    return ok ? 0 : 1;
}

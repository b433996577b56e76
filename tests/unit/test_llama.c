/* The builtin engine's arithmetic, model, tokenizer, sampler and text gate. */
#include "runtime/llama_model.h"

#include <math.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "lib/test.h"
#include "lib/tiny_gguf.h"
#include "runtime/chat_template.h"
#include "runtime/demo_model.h"
#include "runtime/llama_math.h"
#include "runtime/runtime.h"
#include "runtime/sampler.h"
#include "runtime/text_gate.h"

/* ---- arithmetic, against libm ---- */

static void check_near(double got, double want, double share)
{
    if (fabs(got - want) > share * fabs(want) + 1e-300)
        test_fail(__FILE__, __LINE__, "%.17g, not %.17g", got, want);
}

TEST(llama, functions_agree_with_libm)
{
    for (double x = -80.0; x < 80.0; x += 0.037) {
        check_near((double)math_expf((float)x), exp((double)(float)x), 3e-7);
        check_near(math_exp(x), exp(x), 1e-15 * 40);
    }
    for (double x = 1e-30; x < 1e30; x *= 1.7)
        check_near(math_log(x), log(x), 4e-16);
    for (double x = -3000.0; x < 3000.0; x += 0.731) {
        double s, c;
        math_sincos(x, &s, &c);
        if (fabs(s - sin(x)) > 1e-13 || fabs(c - cos(x)) > 1e-13)
            test_fail(__FILE__, __LINE__, "sin or cos of %g: %.17g %.17g", x, s, c);
    }
    CHECK(math_expf(-200.0f) == 0.0f);
    CHECK(isfinite(math_expf(200.0f)));
}

TEST(llama, half_floats_go_both_ways)
{
    for (uint32_t h = 0; h < 0x7c00; h++) {
        CHECK_EQ(math_float_to_half(math_half_to_float((uint16_t)h)), h);
        CHECK_EQ(math_float_to_half(math_half_to_float((uint16_t)(h | 0x8000))), h | 0x8000);
    }
    CHECK_EQ(math_float_to_half(65504.0f), 0x7bff);
    CHECK_EQ(math_float_to_half(65520.0f), 0x7c00);
    CHECK_EQ(math_float_to_half(1.00048828125f), 0x3c00);  // half way: to even
    CHECK_EQ(math_float_to_half(1.00146484375f), 0x3c02);
    CHECK(math_half_to_float(0x3555) > 0.33325f && math_half_to_float(0x3555) < 0.33326f);
}

TEST(llama, dot_products_of_every_length)
{
    float a[67], b[67];
    for (uint32_t i = 0; i < 67; i++) {
        a[i] = (float)i - 30.0f;
        b[i] = (float)(i * i % 17);
    }
    for (uint32_t size = 0; size <= 67; size++) {
        float sum = 0.0f;
        for (uint32_t i = 0; i < size; i++)
            sum += a[i] * b[i];
        CHECK(math_dot(a, b, size) == sum);  // whole numbers: exact in any order
    }
}

/* ---- models ---- */

static struct llama_model *open_tiny(const struct tiny_options *options)
{
    struct buf file = {0};
    struct llama_model *model = NULL;
    tiny_gguf(&file, options);
    if (llama_model_open((const uint8_t *)file.data, file.size, &model))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    buf_done(&file);
    return model;
}

static void check_refused(const struct tiny_options *options, enum cx_err err, const char *words)
{
    struct buf file = {0};
    struct llama_model *model = NULL;
    tiny_gguf(&file, options);
    CHECK_EQ(llama_model_open((const uint8_t *)file.data, file.size, &model), err);
    if (!strstr(cx_detail(), words))
        test_fail(__FILE__, __LINE__, "\"%s\" is not in \"%s\"", words, cx_detail());
    buf_done(&file);
}

TEST(llama, what_it_cannot_compute_is_refused_by_name)
{
    check_refused(&(struct tiny_options){.architecture = "qwen3"}, CX_UNSUPPORTED, "qwen3");
    check_refused(&(struct tiny_options){.tokenizer = "gpt2"}, CX_UNSUPPORTED, "gpt2");
    check_refused(&(struct tiny_options){.merged_piece = "th"}, CX_UNSUPPORTED, "\"th\"");
    check_refused(&(struct tiny_options){.merged_piece = "t"}, CX_UNSUPPORTED, "byte 0xFF");
    check_refused(&(struct tiny_options){.extra_key = "llama.expert_count"}, CX_UNSUPPORTED, "llama.expert_count");
    check_refused(&(struct tiny_options){.extra_key = "llama.rope.scaling.type"}, CX_UNSUPPORTED, "scaling");
    check_refused(&(struct tiny_options){.extra_key = "llama.attention.key_length"}, CX_UNSUPPORTED, "key_length");
    check_refused(&(struct tiny_options){.left_out = "blk.0.ffn_up.weight"}, CX_CORRUPT, "blk.0.ffn_up.weight");
    check_refused(&(struct tiny_options){.extra_tensor = "rope_freqs.weight"}, CX_UNSUPPORTED, "1 tensors");
}

TEST(llama, floats_and_blocks_of_8_bits_give_the_same_logits)
{
    struct llama_model *models[2] = {open_tiny(&(struct tiny_options){0}),
                                     open_tiny(&(struct tiny_options){.quantized = true})};
    float first[TINY_VOCAB];
    for (int i = 0; i < 2; i++) {
        struct llama_run *run;
        CHECK_EQ(llama_run_open(models[i], 8, &run), CX_OK);
        CHECK(!llama_run_step(run, 1, false));
        float *logits = llama_run_step(run, 77, true);
        if (i == 0)
            memcpy(first, logits, sizeof first);
        CHECK_MEM(logits, first, sizeof first);
        llama_run_close(run);
        llama_model_close(models[i]);
    }
}

/* A second implementation, as plain as can be, in double precision. */
struct plain {
    const struct llama_model *m;
    double keys[TINY_CONTEXT][TINY_WIDTH / 2], values[TINY_CONTEXT][TINY_WIDTH / 2], x[TINY_WIDTH];
};

static void plain_matrix(const float *w, const double *x, double *out, uint32_t rows, uint32_t cols)
{
    for (uint32_t r = 0; r < rows; r++) {
        out[r] = 0.0;
        for (uint32_t c = 0; c < cols; c++)
            out[r] += (double)w[r * cols + c] * x[c];
    }
}

static void plain_norm(const double *x, const float *w, double *out)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < TINY_WIDTH; i++)
        sum += x[i] * x[i];
    for (uint32_t i = 0; i < TINY_WIDTH; i++)
        out[i] = x[i] / sqrt(sum / TINY_WIDTH + 1e-5) * (double)w[i];
}

static void plain_rope(double *x, uint32_t size, uint32_t position)
{
    for (uint32_t i = 0; i < size; i += 2) {
        double angle = position * pow(10000.0, -(double)(i % 16) / 16.0), a = x[i], b = x[i + 1];
        x[i] = a * cos(angle) - b * sin(angle);
        x[i + 1] = a * sin(angle) + b * cos(angle);
    }
}

static void plain_step(struct plain *p, uint32_t token, uint32_t position, double *logits)
{
    const struct llama_layer *l = &p->m->layer[0];
    double n[TINY_WIDTH], q[TINY_WIDTH], mix[TINY_WIDTH] = {0}, gate[TINY_HIDDEN], up[TINY_HIDDEN], out[TINY_WIDTH];
    for (uint32_t i = 0; i < TINY_WIDTH; i++)
        p->x[i] = (double)p->m->embedding[token * TINY_WIDTH + i];
    plain_norm(p->x, l->norm_1, n);
    plain_matrix(l->query, n, q, TINY_WIDTH, TINY_WIDTH);
    plain_matrix(l->key, n, p->keys[position], TINY_WIDTH / 2, TINY_WIDTH);
    plain_matrix(l->value, n, p->values[position], TINY_WIDTH / 2, TINY_WIDTH);
    plain_rope(q, TINY_WIDTH, position);
    plain_rope(p->keys[position], TINY_WIDTH / 2, position);
    for (uint32_t h = 0; h < 2; h++) {
        double e[TINY_CONTEXT], sum = 0.0;
        for (uint32_t i = 0; i <= position; i++) {
            e[i] = 0.0;
            for (uint32_t d = 0; d < 16; d++)
                e[i] += q[h * 16 + d] * p->keys[i][d] / 4.0;
            sum += e[i] = exp(e[i]);
        }
        for (uint32_t i = 0; i <= position; i++)
            for (uint32_t d = 0; d < 16; d++)
                mix[h * 16 + d] += e[i] / sum * p->values[i][d];
    }
    plain_matrix(l->out, mix, out, TINY_WIDTH, TINY_WIDTH);
    for (uint32_t i = 0; i < TINY_WIDTH; i++)
        p->x[i] += out[i];
    plain_norm(p->x, l->norm_2, n);
    plain_matrix(l->gate, n, gate, TINY_HIDDEN, TINY_WIDTH);
    plain_matrix(l->up, n, up, TINY_HIDDEN, TINY_WIDTH);
    for (uint32_t i = 0; i < TINY_HIDDEN; i++)
        up[i] *= gate[i] / (1.0 + exp(-gate[i]));
    plain_matrix(l->down, up, out, TINY_WIDTH, TINY_HIDDEN);
    for (uint32_t i = 0; i < TINY_WIDTH; i++)
        p->x[i] += out[i];
    plain_norm(p->x, p->m->norm_end, n);
    plain_matrix(p->m->output, n, logits, TINY_VOCAB, TINY_WIDTH);
}

TEST(llama, logits_agree_with_a_second_forward_pass)
{
    static struct plain p;
    struct llama_model *model = open_tiny(&(struct tiny_options){0});
    struct llama_run *run;
    p.m = model;
    CHECK_EQ(llama_run_open(model, TINY_CONTEXT, &run), CX_OK);
    for (uint32_t i = 0; i < 40; i++) {
        double want[TINY_VOCAB];
        uint32_t token = i * 31 % TINY_VOCAB;
        float *got = llama_run_step(run, token, true);
        plain_step(&p, token, i, want);
        for (uint32_t t = 0; t < TINY_VOCAB; t++)
            if (fabs((double)got[t] - want[t]) > 1e-4)
                test_fail(__FILE__, __LINE__, "position %u, token %u: %g, not %g", i, t, (double)got[t], want[t]);
    }
    llama_run_close(run);
    llama_model_close(model);
}

static struct llama_model *open_demo(void)
{
    size_t size;
    const uint8_t *data = demo_model(&size);
    struct llama_model *model;
    if (llama_model_open(data, size, &model))
        test_fail(__FILE__, __LINE__, "%s", cx_detail());
    return model;
}

TEST(llama, demo_model_has_learned_its_text)
{
    static const char text[] = "And God said, Let there be light: and there was ligh";
    struct llama_model *model = open_demo();
    struct llama_run *run;
    CHECK(model->has_chat_template);
    CHECK_EQ(model->context, 512);
    CHECK_EQ(llama_run_open(model, 64, &run), CX_OK);
    float *logits = llama_run_step(run, model->tokenizer.begin, true);
    double bits = 0.0;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        uint32_t token = model->tokenizer.of_byte[(uint8_t)text[i]];
        math_softmax(logits, model->tokenizer.count);
        bits -= log2((double)logits[token]);
        logits = llama_run_step(run, token, true);
    }
    /* Chance would be 8 bits a byte. */
    CHECK(bits / (double)(sizeof text - 1) < 2.0);
    uint32_t best = 0;
    for (uint32_t t = 1; t < model->tokenizer.count; t++)
        best = logits[t] > logits[best] ? t : best;
    CHECK_EQ(model->tokenizer.byte_of[best], 't');
    llama_run_close(run);
    llama_model_close(model);
}

TEST(llama, demo_vocabulary_covers_every_byte)
{
    struct llama_model *model = open_demo();
    const struct tokenizer *t = &model->tokenizer;
    for (uint32_t b = 0; b < 256; b++)
        CHECK_EQ(t->byte_of[t->of_byte[b]], b);
    CHECK_EQ(t->byte_of[t->begin], -1);
    CHECK_EQ(t->byte_of[t->end], -1);
    CHECK(t->of_byte[' '] != t->of_byte['!'] - 1);  // the blank has its own piece
    llama_model_close(model);
}

/* ---- sampling ---- */

static uint32_t pick(const struct sampler *s, const float *logits, uint32_t size, const uint32_t *seen,
                     uint32_t position)
{
    float copy[16];
    uint32_t order[16];
    memcpy(copy, logits, size * sizeof *copy);
    return sampler_pick(s, copy, size, seen, position, order);
}

static const uint32_t nothing_seen[16];

TEST(sampler, greedy_ties_go_to_the_lowest_id)
{
    CHECK_EQ(pick(&(struct sampler){0}, (float[]){1, 5, 2, 5}, 4, nothing_seen, 0), 1);
}

TEST(sampler, penalties_count_what_was_seen)
{
    uint32_t seen[4] = {0, 2, 0, 1};
    const float logits[4] = {1.0f, 3.0f, 2.0f, 2.5f};
    CHECK_EQ(pick(&(struct sampler){.presence_penalty = 8000}, logits, 4, seen, 0), 1);
    CHECK_EQ(pick(&(struct sampler){.presence_penalty = 8000, .frequency_penalty = 2000}, logits, 4, seen, 0), 2);
    CHECK_EQ(pick(&(struct sampler){.frequency_penalty = -10000}, (float[]){3, 2.5f, 0, 0}, 4, seen, 0), 1);
}

TEST(sampler, frequencies_are_those_of_the_softmax)
{
    const float logits[4] = {0.0f, 1.0f, 2.0f, -1.0f};
    struct sampler s = {.temperature = 5000};
    double sum = 0.0;
    uint32_t count[4] = {0};
    for (s.seed = 0; s.seed < 40000; s.seed++)
        count[pick(&s, logits, 4, nothing_seen, (uint32_t)s.seed % 7)]++;
    for (uint32_t t = 0; t < 4; t++)
        sum += exp((double)logits[t] / 0.5);
    for (uint32_t t = 0; t < 4; t++) {
        double want = 40000.0 * exp((double)logits[t] / 0.5) / sum;
        if (fabs(count[t] - want) > 5.0 * sqrt(want) + 5.0)
            test_fail(__FILE__, __LINE__, "token %u: %u times, not %.0f", t, count[t], want);
    }
}

TEST(sampler, top_k_and_top_p_leave_out_the_rest)
{
    const float logits[5] = {1.0f, 4.0f, 3.0f, 2.0f, 3.0f};
    struct sampler k = {.temperature = 20000, .top_k = 2}, p = {.temperature = 10000, .top_p = 6000};
    bool seen[5] = {0};
    for (k.seed = 0; k.seed < 2000; k.seed++)
        seen[pick(&k, logits, 5, nothing_seen, 0)] = true;
    CHECK(seen[1] && seen[2]);
    CHECK(!seen[0] && !seen[3] && !seen[4]);  // the tie of 2 and 4 goes to 2
    memset(seen, 0, sizeof seen);
    for (p.seed = 0; p.seed < 2000; p.seed++)
        seen[pick(&p, logits, 5, nothing_seen, 0)] = true;
    CHECK(seen[1] && seen[2]);  // 0.50 + 0.18 >= 0.6
    CHECK(!seen[0] && !seen[3] && !seen[4]);
}

TEST(sampler, noise_is_replayable_and_differs_in_each_of_its_inputs)
{
    CHECK(sampler_noise(7, 3, 9) == sampler_noise(7, 3, 9));
    CHECK(sampler_noise(7, 3, 9) != sampler_noise(8, 3, 9));
    CHECK(sampler_noise(7, 3, 9) != sampler_noise(7, 4, 9));
    CHECK(sampler_noise(7, 3, 9) != sampler_noise(7, 3, 10));
    /* Positions and ids must not stand in for each other. */
    CHECK(sampler_noise(7, 3, 9) != sampler_noise(7, 9, 3));
}

/* ---- the gate ---- */

static struct span span_of(const char *text) { return (struct span){(const uint8_t *)text, (uint32_t)strlen(text)}; }

/* Feeds byte by byte; what went out at every step must be whole characters and never more than what ends up. */
static void check_gate(const char *text, size_t size, const struct span *stop, uint32_t stop_count, const char *want,
                       bool stopped)
{
    struct text_gate gate;
    struct buf out = {0};
    text_gate_init(&gate, stop, stop_count);
    for (size_t i = 0; i <= size; i++) {
        if (i < size)
            text_gate_add(&gate, text + i, 1);
        else
            text_gate_end(&gate);
        size_t ready = text_gate_ready(&gate);
        CHECK(utf8_is_valid(gate.text.data + gate.sent, ready));
        if (ready)
            buf_add(&out, gate.text.data + gate.sent, ready);
        gate.sent += ready;
        CHECK(out.size <= strlen(want));
    }
    CHECK_STR(out.data ? out.data : "", want);
    CHECK_EQ(gate.stopped, stopped);
    buf_done(&out);
    text_gate_done(&gate);
}

TEST(text_gate, stop_strings_never_leak)
{
    struct span stop[] = {span_of("STOP"), span_of("</end>")};
    check_gate("one STO two", 11, stop, 2, "one STO two", false);
    check_gate("one STOP two", 12, stop, 2, "one ", true);
    check_gate("SSTSTOSTOP", 10, stop, 2, "SSTSTO", true);
    check_gate("a </en", 6, stop, 2, "a </en", false);
    check_gate("a </end> STOP", 13, stop, 2, "a ", true);
    check_gate("", 0, stop, 2, "", false);
}

TEST(text_gate, the_first_of_several_stops_wins)
{
    struct span stop[] = {span_of("bcd"), span_of("abcde"), span_of("c")};
    check_gate("xabcdey", 7, stop, 3, "xab", true);
    check_gate("xabcdey", 7, stop, 2, "xa", true);
}

TEST(text_gate, the_first_stop_is_the_same_however_the_engine_cuts_its_text)
{
    struct span stop[] = {span_of("abcde"), span_of("bcd"), span_of("cd")};
    for (size_t piece = 1; piece <= 7; piece++) {
        struct text_gate gate;
        text_gate_init(&gate, stop, 3);
        for (size_t at = 0; at < 7; at += piece)
            text_gate_add(&gate, &"xabcdey"[at], 7 - at < piece ? 7 - at : piece);
        text_gate_end(&gate);
        CHECK(gate.stopped);
        CHECK_STR(gate.text.data, "xa");
        text_gate_done(&gate);
    }
}

TEST(text_gate, characters_stay_whole_and_bad_bytes_are_replaced)
{
    check_gate("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8d", 15, NULL, 0,
               "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8d", false);
    check_gate("a\xff"
               "b",
               3, NULL, 0,
               "a\xef\xbf\xbd"
               "b",
               false);
    check_gate("a\xe2\x82", 3, NULL, 0, "a\xef\xbf\xbd", false);
    check_gate("\xe2\x28\xa1", 3, NULL, 0, "\xef\xbf\xbd(\xef\xbf\xbd", false);
}

TEST(text_gate, stops_of_several_bytes_a_character)
{
    struct span stop[] = {span_of("\xc3\xbc\xc3\xbc")};
    check_gate("x\xc3\xbcy\xc3\xbc\xc3\xbcz", 9, stop, 1, "x\xc3\xbcy", true);
}

#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "corpus.h"
#include "gemm.h"
#include "runtime/llama_math.h"

#define BLOCK 64u  // rows of attention scores at once; what lies right of the diagonal block is skipped

enum { NORM_1, QUERY, KEY, VALUE, OUT, NORM_2, GATE, UP, DOWN };

/* What the backward pass needs of one layer, a row a position. */
struct layer_run {
    float *in, *norm_1, *q, *k, *v, *p, *mix, *mid, *norm_2, *gate, *up, *hidden;
    float *scale_1, *scale_2;  // 1 / root mean square
};

struct activations {
    struct layer_run layer[MODEL_LAYERS];
    float *last, *norm, *scale, *logits;
    float *d_x, *d_a, *d_b, *d_q, *d_k, *d_v, *d_gate, *d_up, *transposed;
    float *weight_t;  // every matrix transposed, at its own place
    float rope[MODEL_CONTEXT * MODEL_HEAD];
};

static float *floats(size_t count)
{
    float *p = calloc(count, sizeof *p);
    if (!p)
        abort();
    return p;
}

static void add_tensor(struct model *model, uint32_t *n, const char *name, uint32_t rows, uint32_t cols)
{
    struct tensor *t = &model->tensor[(*n)++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->rows = rows;
    t->cols = cols;
    t->at = model->size;
    t->size = (size_t)(rows ? rows : 1) * cols;
    model->size += t->size;
}

static void add_tensors(struct model *model)
{
    static const struct {
        const char *name;
        uint32_t rows, cols;
    } of_layer[TENSORS_A_LAYER] = {
        [NORM_1] = {"attn_norm", 0, MODEL_WIDTH},          [QUERY] = {"attn_q", MODEL_WIDTH, MODEL_WIDTH},
        [KEY] = {"attn_k", MODEL_WIDTH_KV, MODEL_WIDTH},   [VALUE] = {"attn_v", MODEL_WIDTH_KV, MODEL_WIDTH},
        [OUT] = {"attn_output", MODEL_WIDTH, MODEL_WIDTH}, [NORM_2] = {"ffn_norm", 0, MODEL_WIDTH},
        [GATE] = {"ffn_gate", MODEL_HIDDEN, MODEL_WIDTH},  [UP] = {"ffn_up", MODEL_HIDDEN, MODEL_WIDTH},
        [DOWN] = {"ffn_down", MODEL_WIDTH, MODEL_HIDDEN},
    };
    uint32_t n = 0;
    add_tensor(model, &n, "token_embd.weight", TOKEN_COUNT, MODEL_WIDTH);
    for (uint32_t l = 0; l < MODEL_LAYERS; l++)
        for (uint32_t i = 0; i < TENSORS_A_LAYER; i++) {
            char name[40];
            snprintf(name, sizeof name, "blk.%u.%s.weight", l, of_layer[i].name);
            add_tensor(model, &n, name, of_layer[i].rows, of_layer[i].cols);
        }
    add_tensor(model, &n, "output_norm.weight", 0, MODEL_WIDTH);
    add_tensor(model, &n, "output.weight", TOKEN_COUNT, MODEL_WIDTH);
    cx_assert(n == TENSOR_COUNT);
}

/* Four uniform numbers make a bell that is round enough; vectors start at 1. */
static void fill_tensor(float *w, const struct tensor *t, struct prng *prng)
{
    float width = t->cols == MODEL_HIDDEN || strstr(t->name, "attn_output") ? 0.02f : 0.06f;
    for (size_t i = 0; i < t->size; i++) {
        double sum = 0.0;
        for (int k = 0; k < 4; k++)
            sum += (double)(prng_next(prng) >> 40) / 16777216.0 - 0.5;
        w[i] = t->rows ? (float)sum * width * 1.7f : 1.0f;
    }
}

static struct activations *open_run(size_t model_size)
{
    struct activations *run = calloc(1, sizeof *run);
    if (!run)
        abort();
    const size_t c = MODEL_CONTEXT, w = MODEL_WIDTH, kv = MODEL_WIDTH_KV, h = MODEL_HIDDEN;
    for (uint32_t l = 0; l < MODEL_LAYERS; l++)
        run->layer[l] = (struct layer_run){
            .in = floats(c * w),
            .norm_1 = floats(c * w),
            .q = floats(c * w),
            .k = floats(c * kv),
            .v = floats(c * kv),
            .p = floats(MODEL_HEADS * c * c),
            .mix = floats(c * w),
            .mid = floats(c * w),
            .norm_2 = floats(c * w),
            .gate = floats(c * h),
            .up = floats(c * h),
            .hidden = floats(c * h),
            .scale_1 = floats(c),
            .scale_2 = floats(c),
        };
    run->last = floats(c * w);
    run->norm = floats(c * w);
    run->scale = floats(c);
    run->logits = floats(c * TOKEN_COUNT);
    run->d_x = floats(c * w);
    run->d_a = floats(c * w);
    run->d_b = floats(c * h);
    run->d_q = floats(c * w);
    run->d_k = floats(c * kv);
    run->d_v = floats(c * kv);
    run->d_gate = floats(c * h);
    run->d_up = floats(c * h);
    run->transposed = floats(MODEL_HEAD * c);
    run->weight_t = floats(model_size);
    for (uint32_t i = 0; i < MODEL_CONTEXT; i++)
        math_rope_table(run->rope + i * MODEL_HEAD, MODEL_HEAD, i, MODEL_ROPE_BASE);
    return run;
}

void model_init(struct model *model, uint64_t seed)
{
    *model = (struct model){0};
    add_tensors(model);
    model->weight = floats(model->size);
    model->gradient = floats(model->size);
    model->run = open_run(model->size);
    struct prng prng = {seed};
    for (uint32_t i = 0; i < TENSOR_COUNT; i++)
        fill_tensor(model->weight + model->tensor[i].at, &model->tensor[i], &prng);
    model_prepare(model);
}

void model_done(struct model *model)
{
    struct activations *run = model->run;
    for (uint32_t l = 0; l < MODEL_LAYERS; l++) {
        struct layer_run *r = &run->layer[l];
        float *all[] = {r->in,  r->norm_1, r->q,    r->k,  r->v,      r->p,       r->mix,
                        r->mid, r->norm_2, r->gate, r->up, r->hidden, r->scale_1, r->scale_2};
        for (size_t i = 0; i < ARRAY_COUNT(all); i++)
            free(all[i]);
    }
    float *all[] = {run->last, run->norm, run->scale, run->logits, run->d_x,  run->d_a,        run->d_b,
                    run->d_q,  run->d_k,  run->d_v,   run->d_gate, run->d_up, run->transposed, run->weight_t};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++)
        free(all[i]);
    free(run);
    free(model->weight);
    free(model->gradient);
    *model = (struct model){0};
}

static void transpose(float *to, const float *from, uint32_t rows, uint32_t cols, uint32_t from_row, uint32_t to_row)
{
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < cols; j++)
            to[(size_t)j * to_row + i] = from[(size_t)i * from_row + j];
}

void model_prepare(struct model *model)
{
    for (uint32_t i = 0; i < TENSOR_COUNT; i++) {
        const struct tensor *t = &model->tensor[i];
        if (t->rows)
            transpose(model->run->weight_t + t->at, model->weight + t->at, t->rows, t->cols, t->cols, t->rows);
    }
}

static const struct tensor *of_layer(const struct model *model, uint32_t l, uint32_t which)
{
    return &model->tensor[1 + l * TENSORS_A_LAYER + which];
}

/* out[size × rows] = x[size × cols] · wᵀ */
static void linear(const struct model *model, const struct tensor *t, const float *x, float *out, uint32_t size)
{
    memset(out, 0, (size_t)size * t->rows * sizeof *out);
    gemm(size, t->rows, t->cols, (struct gemm_view){x, t->cols, 1}, model->run->weight_t + t->at, t->rows, out,
         t->rows);
}

/* d_x += d_out · w, and the weight's gradient grows by d_outᵀ · x. */
static void linear_back(struct model *model, const struct tensor *t, const float *x, const float *d_out, float *d_x,
                        uint32_t size)
{
    gemm(size, t->cols, t->rows, (struct gemm_view){d_out, t->rows, 1}, model->weight + t->at, t->cols, d_x, t->cols);
    gemm(t->rows, t->cols, size, (struct gemm_view){d_out, 1, t->rows}, x, t->cols, model->gradient + t->at, t->cols);
}

static void norm(const float *x, const float *w, float *out, float *scale, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        const float *row = x + (size_t)i * MODEL_WIDTH;
        float mean = math_dot(row, row, MODEL_WIDTH) / (float)MODEL_WIDTH;
        scale[i] = 1.0f / (float)math_sqrt((double)(mean + MODEL_EPSILON));
        for (uint32_t j = 0; j < MODEL_WIDTH; j++)
            out[(size_t)i * MODEL_WIDTH + j] = row[j] * scale[i] * w[j];
    }
}

/* d_x += the gradient through the norm of x. */
static void norm_back(const float *x, const float *w, const float *scale, const float *d_out, float *d_x, float *d_w,
                      uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        const float *row = x + (size_t)i * MODEL_WIDTH, *d = d_out + (size_t)i * MODEL_WIDTH;
        float s = scale[i], along = 0.0f;
        for (uint32_t j = 0; j < MODEL_WIDTH; j++) {
            along += d[j] * w[j] * row[j];
            d_w[j] += d[j] * row[j] * s;
        }
        along = along * s * s * s / (float)MODEL_WIDTH;
        for (uint32_t j = 0; j < MODEL_WIDTH; j++)
            d_x[(size_t)i * MODEL_WIDTH + j] += d[j] * w[j] * s - row[j] * along;
    }
}

/* turn is 1 forwards and -1 backwards. */
static void rope(const float *table, float *x, uint32_t heads, uint32_t size, float turn)
{
    for (uint32_t i = 0; i < size; i++)
        for (uint32_t h = 0; h < heads; h++) {
            float *head = x + ((size_t)i * heads + h) * MODEL_HEAD;
            const float *cs = table + (size_t)i * MODEL_HEAD;
            for (uint32_t j = 0; j < MODEL_HEAD; j += 2) {
                float a = head[j], b = head[j + 1], c = cs[j], s = cs[j + 1] * turn;
                head[j] = a * c - b * s;
                head[j + 1] = a * s + b * c;
            }
        }
}

static float attention_scale(void) { return 1.0f / (float)math_sqrt((double)MODEL_HEAD); }

static void softmax_rows(float *p, uint32_t first, uint32_t size)
{
    for (uint32_t i = 0; i < BLOCK; i++) {
        float *row = p + (size_t)i * size;
        uint32_t seen = first + i + 1;
        for (uint32_t j = 0; j < seen; j++)
            row[j] *= attention_scale();
        math_softmax(row, seen);
        memset(row + seen, 0, (first + BLOCK - seen) * sizeof *row);
    }
}

static void attention(struct model *model, struct layer_run *r, uint32_t size)
{
    float *key_t = model->run->transposed;
    memset(r->p, 0, (size_t)MODEL_HEADS * size * size * sizeof *r->p);
    memset(r->mix, 0, (size_t)size * MODEL_WIDTH * sizeof *r->mix);
    for (uint32_t h = 0; h < MODEL_HEADS; h++) {
        uint32_t kv = h * MODEL_HEADS_KV / MODEL_HEADS * MODEL_HEAD;
        transpose(key_t, r->k + kv, size, MODEL_HEAD, MODEL_WIDTH_KV, size);
        for (uint32_t i = 0; i < size; i += BLOCK) {
            float *p = r->p + ((size_t)h * size + i) * size;
            const float *q = r->q + (size_t)i * MODEL_WIDTH + h * MODEL_HEAD;
            gemm(BLOCK, i + BLOCK, MODEL_HEAD, (struct gemm_view){q, MODEL_WIDTH, 1}, key_t, size, p, size);
            softmax_rows(p, i, size);
            gemm(BLOCK, MODEL_HEAD, i + BLOCK, (struct gemm_view){p, size, 1}, r->v + kv, MODEL_WIDTH_KV,
                 r->mix + (size_t)i * MODEL_WIDTH + h * MODEL_HEAD, MODEL_WIDTH);
        }
    }
}

/* d_p becomes the gradient of the scores before scaling. */
static void softmax_rows_back(const float *p, float *d_p, uint32_t first, uint32_t size)
{
    for (uint32_t i = 0; i < BLOCK; i++) {
        const float *row = p + (size_t)i * size;
        float *d = d_p + (size_t)i * size;
        uint32_t seen = first + i + 1;
        float sum = math_dot(row, d, seen);
        for (uint32_t j = 0; j < first + BLOCK; j++)
            d[j] = j < seen ? row[j] * (d[j] - sum) * attention_scale() : 0.0f;
    }
}

static void attention_back(struct model *model, const struct layer_run *r, const float *d_mix, uint32_t size)
{
    static float d_p[BLOCK * MODEL_CONTEXT];
    struct activations *run = model->run;
    float *value_t = run->transposed;
    memset(run->d_q, 0, (size_t)size * MODEL_WIDTH * sizeof(float));
    memset(run->d_k, 0, (size_t)size * MODEL_WIDTH_KV * sizeof(float));
    memset(run->d_v, 0, (size_t)size * MODEL_WIDTH_KV * sizeof(float));
    for (uint32_t h = 0; h < MODEL_HEADS; h++) {
        uint32_t kv = h * MODEL_HEADS_KV / MODEL_HEADS * MODEL_HEAD;
        transpose(value_t, r->v + kv, size, MODEL_HEAD, MODEL_WIDTH_KV, size);
        for (uint32_t i = 0; i < size; i += BLOCK) {
            const float *p = r->p + ((size_t)h * size + i) * size;
            size_t at = (size_t)i * MODEL_WIDTH + h * MODEL_HEAD;
            uint32_t seen = i + BLOCK;
            memset(d_p, 0, (size_t)BLOCK * size * sizeof *d_p);
            gemm(BLOCK, seen, MODEL_HEAD, (struct gemm_view){d_mix + at, MODEL_WIDTH, 1}, value_t, size, d_p, size);
            gemm(seen, MODEL_HEAD, BLOCK, (struct gemm_view){p, 1, size}, d_mix + at, MODEL_WIDTH, run->d_v + kv,
                 MODEL_WIDTH_KV);
            softmax_rows_back(p, d_p, i, size);
            gemm(BLOCK, MODEL_HEAD, seen, (struct gemm_view){d_p, size, 1}, r->k + kv, MODEL_WIDTH_KV, run->d_q + at,
                 MODEL_WIDTH);
            gemm(seen, MODEL_HEAD, BLOCK, (struct gemm_view){d_p, 1, size}, r->q + at, MODEL_WIDTH, run->d_k + kv,
                 MODEL_WIDTH_KV);
        }
    }
}

static void layer_forward(struct model *model, uint32_t l, const float *in, float *out, uint32_t size)
{
    struct layer_run *r = &model->run->layer[l];
    const float *w = model->weight;
    size_t bytes = (size_t)size * MODEL_WIDTH * sizeof *in;
    memcpy(r->in, in, bytes);
    norm(r->in, w + of_layer(model, l, NORM_1)->at, r->norm_1, r->scale_1, size);
    linear(model, of_layer(model, l, QUERY), r->norm_1, r->q, size);
    linear(model, of_layer(model, l, KEY), r->norm_1, r->k, size);
    linear(model, of_layer(model, l, VALUE), r->norm_1, r->v, size);
    rope(model->run->rope, r->q, MODEL_HEADS, size, 1.0f);
    rope(model->run->rope, r->k, MODEL_HEADS_KV, size, 1.0f);
    attention(model, r, size);
    linear(model, of_layer(model, l, OUT), r->mix, r->mid, size);
    math_add(r->mid, r->in, size * MODEL_WIDTH);

    norm(r->mid, w + of_layer(model, l, NORM_2)->at, r->norm_2, r->scale_2, size);
    linear(model, of_layer(model, l, GATE), r->norm_2, r->gate, size);
    linear(model, of_layer(model, l, UP), r->norm_2, r->up, size);
    memcpy(r->hidden, r->gate, (size_t)size * MODEL_HIDDEN * sizeof *in);
    math_swiglu(r->hidden, r->up, size * MODEL_HIDDEN);
    linear(model, of_layer(model, l, DOWN), r->hidden, out, size);
    math_add(out, r->mid, size * MODEL_WIDTH);
}

/* d_b, the gradient of gate's silu × up, becomes those of gate and up. */
static void swiglu_back(struct activations *run, const struct layer_run *r, uint32_t size)
{
    for (size_t i = 0; i < (size_t)size * MODEL_HIDDEN; i++) {
        float g = r->gate[i], s = 1.0f / (1.0f + math_expf(-g));
        run->d_up[i] = run->d_b[i] * g * s;
        run->d_gate[i] = run->d_b[i] * r->up[i] * s * (1.0f + g * (1.0f - s));
    }
}

/* d_x is the gradient of the layer's output and becomes that of its input. */
static void layer_back(struct model *model, uint32_t l, float *d_x, uint32_t size)
{
    struct activations *run = model->run;
    struct layer_run *r = &run->layer[l];
    const float *w = model->weight;
    float *g = model->gradient;
    const struct tensor *norm_1 = of_layer(model, l, NORM_1), *norm_2 = of_layer(model, l, NORM_2);
    memset(run->d_b, 0, (size_t)size * MODEL_HIDDEN * sizeof(float));
    linear_back(model, of_layer(model, l, DOWN), r->hidden, d_x, run->d_b, size);
    swiglu_back(run, r, size);
    memset(run->d_a, 0, (size_t)size * MODEL_WIDTH * sizeof(float));
    linear_back(model, of_layer(model, l, GATE), r->norm_2, run->d_gate, run->d_a, size);
    linear_back(model, of_layer(model, l, UP), r->norm_2, run->d_up, run->d_a, size);
    norm_back(r->mid, w + norm_2->at, r->scale_2, run->d_a, d_x, g + norm_2->at, size);

    memset(run->d_a, 0, (size_t)size * MODEL_WIDTH * sizeof(float));
    linear_back(model, of_layer(model, l, OUT), r->mix, d_x, run->d_a, size);
    attention_back(model, r, run->d_a, size);
    rope(run->rope, run->d_q, MODEL_HEADS, size, -1.0f);
    rope(run->rope, run->d_k, MODEL_HEADS_KV, size, -1.0f);
    memset(run->d_a, 0, (size_t)size * MODEL_WIDTH * sizeof(float));
    linear_back(model, of_layer(model, l, QUERY), r->norm_1, run->d_q, run->d_a, size);
    linear_back(model, of_layer(model, l, KEY), r->norm_1, run->d_k, run->d_a, size);
    linear_back(model, of_layer(model, l, VALUE), r->norm_1, run->d_v, run->d_a, size);
    norm_back(r->in, w + norm_1->at, r->scale_1, run->d_a, d_x, g + norm_1->at, size);
}

static void forward(struct model *model, const uint32_t *tokens, uint32_t size)
{
    struct activations *run = model->run;
    const struct tensor *embed = &model->tensor[0], *norm_end = &model->tensor[TENSOR_COUNT - 2];
    cx_assert(size > 0 && size <= MODEL_CONTEXT && size % BLOCK == 0);
    for (uint32_t i = 0; i < size; i++)
        memcpy(run->last + (size_t)i * MODEL_WIDTH, model->weight + embed->at + (size_t)tokens[i] * MODEL_WIDTH,
               MODEL_WIDTH * sizeof(float));
    for (uint32_t l = 0; l < MODEL_LAYERS; l++)
        layer_forward(model, l, run->last, run->last, size);
    norm(run->last, model->weight + norm_end->at, run->norm, run->scale, size);
    linear(model, &model->tensor[TENSOR_COUNT - 1], run->norm, run->logits, size);
}

/* Logits become their gradient × scale. */
static double cross_entropy(float *logits, const uint32_t *tokens, uint32_t size, float scale)
{
    double loss = 0.0;
    for (uint32_t i = 0; i < size; i++) {
        float *p = logits + (size_t)i * TOKEN_COUNT, right;
        math_softmax(p, TOKEN_COUNT);
        right = p[tokens[i + 1]];
        loss -= math_log(right > 1e-30f ? (double)right : 1e-30);
        p[tokens[i + 1]] -= 1.0f;
        for (uint32_t j = 0; j < TOKEN_COUNT; j++)
            p[j] *= scale;
    }
    return loss;
}

double model_loss(struct model *model, const uint32_t *tokens, uint32_t size)
{
    forward(model, tokens, size);
    return cross_entropy(model->run->logits, tokens, size, 1.0f);
}

double model_train(struct model *model, const uint32_t *tokens, uint32_t size, float scale)
{
    struct activations *run = model->run;
    const struct tensor *norm_end = &model->tensor[TENSOR_COUNT - 2];
    forward(model, tokens, size);
    double loss = cross_entropy(run->logits, tokens, size, scale);

    memset(run->d_a, 0, (size_t)size * MODEL_WIDTH * sizeof(float));
    memset(run->d_x, 0, (size_t)size * MODEL_WIDTH * sizeof(float));
    linear_back(model, &model->tensor[TENSOR_COUNT - 1], run->norm, run->logits, run->d_a, size);
    norm_back(run->last, model->weight + norm_end->at, run->scale, run->d_a, run->d_x, model->gradient + norm_end->at,
              size);
    for (uint32_t l = MODEL_LAYERS; l-- > 0;)
        layer_back(model, l, run->d_x, size);
    for (uint32_t i = 0; i < size; i++)
        math_add(model->gradient + (size_t)tokens[i] * MODEL_WIDTH, run->d_x + (size_t)i * MODEL_WIDTH, MODEL_WIDTH);
    return loss;
}

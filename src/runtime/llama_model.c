#include "runtime/llama_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "runtime/chat_template.h"
#include "runtime/llama_math.h"

#define ROPE_BASE_DEFAULT 10000.0f

/* Keys of features that change the forward pass; a file that has one would be computed wrongly. */
static const char *const refused_keys[] = {
    "llama.expert_count",
    "llama.rope.scaling.type",
    "llama.rope.scale_linear",
    "llama.attention.sliding_window",
    "llama.attention.key_length_mla",
    "llama.logit_scale",
};

static enum cx_err check_architecture(const struct gguf *gguf)
{
    struct span name;
    enum cx_err err = gguf_need_text(gguf, "general.architecture", &name);
    if (err)
        return err;
    if (name.size != 5 || memcmp(name.data, "llama", 5) != 0)
        return cx_fail(CX_UNSUPPORTED, "architecture %.*s: the builtin engine computes llama only",
                       (int)u32_min(name.size, 40), (const char *)name.data);
    for (size_t i = 0; i < ARRAY_COUNT(refused_keys); i++)
        if (gguf_find(gguf, refused_keys[i]))
            return cx_fail(CX_UNSUPPORTED, "key %s: the builtin engine computes plain llama models only",
                           refused_keys[i]);
    return CX_OK;
}

static enum cx_err check_head_size(const struct gguf *gguf, const char *key, uint32_t head_size)
{
    uint32_t size = head_size;
    enum cx_err err = gguf_find(gguf, key) ? gguf_need_u32(gguf, key, 1, LLAMA_WIDTH_MAX, &size) : CX_OK;
    if (!err && size != head_size)
        err = cx_fail(CX_UNSUPPORTED, "key %s is %" PRIu32 ": the builtin engine wants width / heads, %" PRIu32, key,
                      size, head_size);
    return err;
}

static enum cx_err read_heads(struct llama_model *m, const struct gguf *gguf)
{
    m->heads_kv = m->heads;
    enum cx_err err = gguf_find(gguf, "llama.attention.head_count_kv")
                          ? gguf_need_u32(gguf, "llama.attention.head_count_kv", 1, m->heads, &m->heads_kv)
                          : CX_OK;
    if (err)
        return err;
    if (m->width % m->heads || m->heads % m->heads_kv || m->width / m->heads % 2)
        return cx_fail(CX_CORRUPT,
                       "GGUF file: width %" PRIu32 ", %" PRIu32 " heads and %" PRIu32 " kv heads do not fit", m->width,
                       m->heads, m->heads_kv);
    m->head_size = m->width / m->heads;
    static const char *const keys[] = {"llama.rope.dimension_count", "llama.attention.key_length",
                                       "llama.attention.value_length"};
    for (size_t i = 0; i < ARRAY_COUNT(keys) && !err; i++)
        err = check_head_size(gguf, keys[i], m->head_size);
    return err;
}

static enum cx_err read_shape(struct llama_model *m, const struct gguf *gguf)
{
    enum cx_err err = gguf_need_u32(gguf, "llama.embedding_length", 1, LLAMA_WIDTH_MAX, &m->width);
    if (!err)
        err = gguf_need_u32(gguf, "llama.block_count", 1, LLAMA_LAYERS_MAX, &m->layers);
    if (!err)
        err = gguf_need_u32(gguf, "llama.feed_forward_length", 1, LLAMA_HIDDEN_MAX, &m->hidden);
    if (!err)
        err = gguf_need_u32(gguf, "llama.context_length", 1, LLAMA_CONTEXT_MAX, &m->context);
    if (!err)
        err = gguf_need_u32(gguf, "llama.attention.head_count", 1, LLAMA_HEADS_MAX, &m->heads);
    if (!err)
        err = read_heads(m, gguf);
    if (!err)
        err = gguf_need_float(gguf, "llama.attention.layer_norm_rms_epsilon", &m->epsilon);
    m->rope_base = ROPE_BASE_DEFAULT;
    if (!err && gguf_find(gguf, "llama.rope.freq_base"))
        err = gguf_need_float(gguf, "llama.rope.freq_base", &m->rope_base);
    if (!err && !(m->epsilon > 0.0f && m->epsilon < 1.0f && m->rope_base >= 1.0f && m->rope_base < 1e9f))
        err = cx_fail(CX_CORRUPT, "GGUF file: the norm's epsilon or the base of positions is out of range");
    return err;
}

static void unpack(const struct gguf_tensor *t, float *to)
{
    if (t->type == GGUF_TENSOR_F32) {
        for (uint64_t i = 0; i < t->size / 4; i++) {
            uint32_t bits = gguf_u32_at(t->at + 4 * i);
            memcpy(to + i, &bits, sizeof bits);
        }
        return;
    }
    for (const uint8_t *block = t->at; block < t->at + t->size; block += GGUF_Q8_0_SIZE) {
        float scale = math_half_to_float((uint16_t)(block[0] | block[1] << 8));
        for (uint32_t i = 0; i < GGUF_Q8_0_BLOCK; i++)
            *to++ = (float)(int8_t)block[2 + i] * scale;
    }
}

/* Takes tensors one by one out of the file into `weights`. */
struct loader {
    struct llama_model *model;
    const struct gguf *gguf;
    uint64_t used;
    uint32_t taken;  // tensors
    enum cx_err err;
};

static const float *load(struct loader *l, const char *name, uint32_t rows, uint32_t cols)
{
    const struct gguf_tensor *t = gguf_find_tensor(l->gguf, name);
    if (l->err)
        return NULL;
    if (!t) {
        l->err = cx_fail(CX_CORRUPT, "GGUF file: tensor %s is missing", name);
        return NULL;
    }
    if (t->dims[0] != cols || t->dims[1] != rows || t->dims[2] != 1 || t->dims[3] != 1) {
        l->err = cx_fail(CX_CORRUPT, "GGUF file: tensor %s is %" PRIu32 " × %" PRIu32 ", not %" PRIu32 " × %" PRIu32,
                         name, t->dims[1], t->dims[0], rows, cols);
        return NULL;
    }
    float *to = l->model->weights + l->used;
    unpack(t, to);
    l->used += (uint64_t)rows * cols;
    l->taken++;
    return to;
}

static const float *load_of_layer(struct loader *l, uint32_t layer, const char *what, uint32_t rows, uint32_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%" PRIu32 ".%s.weight", layer, what);
    return load(l, name, rows, cols);
}

static void load_layer(struct loader *l, uint32_t n)
{
    struct llama_model *m = l->model;
    struct llama_layer *to = &m->layer[n];
    uint32_t width_kv = m->heads_kv * m->head_size;
    to->norm_1 = load_of_layer(l, n, "attn_norm", 1, m->width);
    to->query = load_of_layer(l, n, "attn_q", m->width, m->width);
    to->key = load_of_layer(l, n, "attn_k", width_kv, m->width);
    to->value = load_of_layer(l, n, "attn_v", width_kv, m->width);
    to->out = load_of_layer(l, n, "attn_output", m->width, m->width);
    to->norm_2 = load_of_layer(l, n, "ffn_norm", 1, m->width);
    to->gate = load_of_layer(l, n, "ffn_gate", m->hidden, m->width);
    to->up = load_of_layer(l, n, "ffn_up", m->hidden, m->width);
    to->down = load_of_layer(l, n, "ffn_down", m->width, m->hidden);
}

static enum cx_err load_all(struct llama_model *m, const struct gguf *gguf)
{
    uint64_t width = m->width, width_kv = (uint64_t)m->heads_kv * m->head_size;
    uint64_t of_layer = 2 * width + 2 * width * width + 2 * width * width_kv + 3 * width * m->hidden;
    uint64_t all = m->layers * of_layer + width + 2 * width * m->tokenizer.count;
    if (all > LLAMA_WEIGHTS_MAX)
        return cx_fail(CX_TOO_LARGE, "the model has %" PRIu64 " weights; the builtin engine holds %llu", all,
                       LLAMA_WEIGHTS_MAX);
    m->weights = malloc(all * sizeof *m->weights);
    if (!m->weights)
        return cx_fail(CX_MEMORY, "no memory for %" PRIu64 " weights", all);

    struct loader l = {m, gguf, 0, 0, CX_OK};
    m->embedding = load(&l, "token_embd.weight", m->tokenizer.count, m->width);
    for (uint32_t n = 0; n < m->layers && !l.err; n++)
        load_layer(&l, n);
    m->norm_end = load(&l, "output_norm.weight", 1, m->width);
    /* Without a matrix of its own, the output shares the embedding's. */
    m->output = gguf_find_tensor(gguf, "output.weight") ? load(&l, "output.weight", m->tokenizer.count, m->width)
                                                        : m->embedding;
    cx_assert(l.used <= all);
    if (!l.err && l.taken != gguf->tensors)
        l.err =
            cx_fail(CX_UNSUPPORTED, "%" PRIu32 " tensors are no part of a plain llama model", gguf->tensors - l.taken);
    return l.err;
}

static bool has_known_template(const struct gguf *gguf)
{
    const struct gguf_value *v = gguf_find(gguf, "tokenizer.chat_template");
    return !v ||
           (v->type == GGUF_TEXT && v->size == strlen(CHAT_TEMPLATE) && memcmp(v->at, CHAT_TEMPLATE, v->size) == 0);
}

enum cx_err llama_model_open(const uint8_t *data, size_t size, struct llama_model **ret_model)
{
    struct gguf *gguf = malloc(sizeof *gguf);
    cx_auto(llama_model) m = calloc(1, sizeof *m);
    if (!gguf || !m) {
        free(gguf);
        return cx_fail(CX_MEMORY, "no memory for a model");
    }
    enum cx_err err = gguf_read(data, size, gguf);
    if (!err)
        err = check_architecture(gguf);
    if (!err)
        err = tokenizer_init(&m->tokenizer, gguf);
    if (!err)
        err = read_shape(m, gguf);
    if (!err)
        err = load_all(m, gguf);
    m->has_chat_template = has_known_template(gguf);
    free(gguf);
    if (err)
        return err;
    *ret_model = cx_take(&m);
    return CX_OK;
}

void llama_model_close(struct llama_model *model)
{
    if (!model)
        return;
    free(model->weights);
    free(model);
}

enum cx_err llama_run_open(const struct llama_model *model, uint32_t cap, struct llama_run **ret_run)
{
    cx_assert(cap > 0 && cap <= model->context);
    size_t width_kv = (size_t)model->heads_kv * model->head_size, cache = model->layers * cap * width_kv;
    size_t sizes[] = {cache,         cache,         model->width, model->width,     model->width,          model->width,
                      model->hidden, model->hidden, cap,          model->head_size, model->tokenizer.count};
    struct llama_run *run = calloc(1, sizeof *run);
    float **places[] = {&run->keys, &run->values, &run->x,      &run->norm, &run->q,     &run->mix,
                        &run->gate, &run->up,     &run->scores, &run->rope, &run->logits};
    size_t all = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        all += sizes[i];
    float *at = run ? malloc(all * sizeof *at) : NULL;
    if (!at) {
        free(run);
        return cx_fail(CX_MEMORY, "no memory for a context of %" PRIu32 " tokens", cap);
    }
    run->model = model;
    run->cap = cap;
    run->memory = at;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        *places[i] = at;
        at += sizes[i];
    }
    *ret_run = run;
    return CX_OK;
}

void llama_run_close(struct llama_run *run)
{
    if (!run)
        return;
    free(run->memory);
    free(run);
}

/* One head over all positions so far. */
static void attend(struct llama_run *run, const float *keys, const float *values, uint32_t head)
{
    const struct llama_model *m = run->model;
    uint32_t size = m->head_size, kv = head / (m->heads / m->heads_kv) * size, row = m->heads_kv * size;
    const float *q = run->q + head * size;
    float *mix = run->mix + head * size, scale = 1.0f / (float)math_sqrt((double)size);
    for (uint32_t i = 0; i <= run->size; i++)
        run->scores[i] = math_dot(q, keys + (size_t)i * row + kv, size) * scale;
    math_softmax(run->scores, run->size + 1);
    memset(mix, 0, size * sizeof *mix);
    for (uint32_t i = 0; i <= run->size; i++)
        math_add_scaled(mix, values + (size_t)i * row + kv, run->scores[i], size);
}

static void step_layer(struct llama_run *run, uint32_t n)
{
    const struct llama_model *m = run->model;
    const struct llama_layer *l = &m->layer[n];
    uint32_t row = m->heads_kv * m->head_size;
    float *keys = run->keys + (size_t)n * run->cap * row, *values = run->values + (size_t)n * run->cap * row;
    float *key = keys + (size_t)run->size * row, *value = values + (size_t)run->size * row;
    math_rms_norm(run->norm, run->x, l->norm_1, m->width, m->epsilon);
    math_matvec(run->q, l->query, run->norm, m->width, m->width);
    math_matvec(key, l->key, run->norm, row, m->width);
    math_matvec(value, l->value, run->norm, row, m->width);
    math_rope(run->q, m->heads, m->head_size, run->rope);
    math_rope(key, m->heads_kv, m->head_size, run->rope);
    for (uint32_t h = 0; h < m->heads; h++)
        attend(run, keys, values, h);
    math_matvec(run->norm, l->out, run->mix, m->width, m->width);
    math_add(run->x, run->norm, m->width);

    math_rms_norm(run->norm, run->x, l->norm_2, m->width, m->epsilon);
    math_matvec(run->gate, l->gate, run->norm, m->hidden, m->width);
    math_matvec(run->up, l->up, run->norm, m->hidden, m->width);
    math_swiglu(run->gate, run->up, m->hidden);
    math_matvec(run->norm, l->down, run->gate, m->width, m->hidden);
    math_add(run->x, run->norm, m->width);
}

float *llama_run_step(struct llama_run *run, uint32_t token, bool wanted)
{
    const struct llama_model *m = run->model;
    cx_assert(run->size < run->cap);
    cx_assert(token < m->tokenizer.count);
    math_rope_table(run->rope, m->head_size, run->size, (double)m->rope_base);
    memcpy(run->x, m->embedding + (size_t)token * m->width, m->width * sizeof *run->x);
    for (uint32_t n = 0; n < m->layers; n++)
        step_layer(run, n);
    run->size++;
    if (!wanted)
        return NULL;
    math_rms_norm(run->norm, run->x, m->norm_end, m->width, m->epsilon);
    math_matvec(run->logits, m->output, run->norm, m->tokenizer.count, m->width);
    return run->logits;
}

/* llama_model.h - the forward pass of llama models: RMS norms, rotary positions, grouped attention, SwiGLU.
 *
 * A model is read once and shared; a run is one sequence with its cache of keys and values, and belongs to
 * one thread. Weights are unpacked to floats when the model is read, so that F32 and Q8_0 files take the
 * same path, and the logits are a function of file and tokens alone.
 *
 * Shape:  cache rows are layer by layer, position by position, kv heads × head size floats.
 * Source: docs/protocol.md, "Engines".
 */
#ifndef CORTEN_RUNTIME_LLAMA_MODEL_H
#define CORTEN_RUNTIME_LLAMA_MODEL_H

#include "runtime/tokenizer.h"

#define LLAMA_LAYERS_MAX  128u
#define LLAMA_WIDTH_MAX   8192u
#define LLAMA_HIDDEN_MAX  65536u
#define LLAMA_HEADS_MAX   256u
#define LLAMA_CONTEXT_MAX 65536u
#define LLAMA_WEIGHTS_MAX (1ull << 29)  // floats: 2 GiB

struct llama_layer {
    const float *norm_1, *query, *key, *value, *out, *norm_2, *gate, *up, *down;
};

struct llama_model {
    uint32_t width, layers, heads, heads_kv, head_size, hidden, context;
    float epsilon, rope_base;
    bool has_chat_template;  // the file's template is the one of chat_template.h, or it has none
    struct tokenizer tokenizer;
    struct llama_layer layer[LLAMA_LAYERS_MAX];
    const float *embedding, *norm_end, *output;
    float *weights;  // all of the above point into it
};

struct llama_run {
    const struct llama_model *model;
    uint32_t cap, size;  // positions the cache holds, and has
    float *keys, *values;
    float *x, *norm, *q, *mix, *gate, *up, *scores, *rope, *logits;
    float *memory;
};

/* data need not live on. Fails: see gguf_read; UNSUPPORTED: architecture, tokenizer, features, by name. */
enum cx_err llama_model_open(const uint8_t *data, size_t size, struct llama_model **ret_model);
void llama_model_close(struct llama_model *model);
CX_CLOSER(llama_model)

/* cap: at most the model's context. Fails: MEMORY. */
enum cx_err llama_run_open(const struct llama_model *model, uint32_t cap, struct llama_run **ret_run);
void llama_run_close(struct llama_run *run);
CX_CLOSER(llama_run)

/* Appends a token, which there must be room for. Gives the logits of what follows it, one for each token of
 * the vocabulary; they live until the next step. `wanted` false leaves them out: NULL. */
float *llama_run_step(struct llama_run *run, uint32_t token, bool wanted);

#endif

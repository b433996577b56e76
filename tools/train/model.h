/* model.h - a small llama: forward, backward, and nothing that depends on the machine.
 *
 * Shape:  all weights lie in one array, tensor behind tensor in the order of `tensor`; gradients and the
 *         optimizer's moments have the same layout. A matrix has `rows` outputs and `cols` inputs.
 */
#ifndef CORTEN_TOOLS_MODEL_H
#define CORTEN_TOOLS_MODEL_H

#include "base/prng.h"

/* About 0.98 million weights. Columns are multiples of 32, the block of Q8_0. */
#define MODEL_WIDTH     128u
#define MODEL_LAYERS    5u
#define MODEL_HEADS     4u
#define MODEL_HEADS_KV  2u
#define MODEL_HEAD      (MODEL_WIDTH / MODEL_HEADS)
#define MODEL_WIDTH_KV  (MODEL_HEADS_KV * MODEL_HEAD)
#define MODEL_HIDDEN    352u
#define MODEL_CONTEXT   512u
#define MODEL_ROPE_BASE 10000.0
#define MODEL_EPSILON   1e-5f

enum { TENSORS_A_LAYER = 9, TENSOR_COUNT = 3 + TENSORS_A_LAYER * MODEL_LAYERS };

struct tensor {
    char name[40];        // as in llama GGUF files
    uint32_t rows, cols;  // rows 0: a vector
    size_t at, size;      // floats
};

struct model {
    struct tensor tensor[TENSOR_COUNT];
    size_t size;  // floats
    float *weight;
    float *gradient;
    struct activations *run;
};

void model_init(struct model *model, uint64_t seed);
void model_done(struct model *model);
/* After the weights have changed and before the next model_train or model_loss. */
void model_prepare(struct model *model);
/* Sum over `size` positions of -log p(tokens[i + 1]); adds the gradient of that sum × scale. tokens has
 * size + 1 elements; size is a multiple of 64 and at most MODEL_CONTEXT. */
double model_train(struct model *model, const uint32_t *tokens, uint32_t size, float scale);
/* The same sum without gradients. */
double model_loss(struct model *model, const uint32_t *tokens, uint32_t size);

#endif

/* demo_model.h - models/corten-demo.gguf, inside the binary: `--engine builtin` works wherever it runs. */
#ifndef CORTEN_RUNTIME_DEMO_MODEL_H
#define CORTEN_RUNTIME_DEMO_MODEL_H

#include "base/types.h"

const uint8_t *demo_model(size_t *ret_size);

#endif

/* gguf_write.h - writes the model as a GGUF file that every llama runtime loads. */
#ifndef CORTEN_TOOLS_GGUF_WRITE_H
#define CORTEN_TOOLS_GGUF_WRITE_H

#include "model.h"

enum gguf_format { GGUF_F32, GGUF_Q8_0 };

/* False, with a message on standard error, where the file cannot be written. */
bool gguf_write(const struct model *model, enum gguf_format format, const char *path);

#endif

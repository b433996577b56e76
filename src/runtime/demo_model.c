#include "runtime/demo_model.h"

/* The assembler takes the file as it is; its path is relative to where make runs. */
#ifdef __APPLE__
#define SECTION      "__TEXT,__const"
#define SYMBOL(name) "_" name
#define BACK         ".text\n"
#else
#define SECTION      ".rodata"
#define SYMBOL(name) name
#define BACK         ".previous\n"
#endif

__asm__(".section " SECTION "\n"
        ".balign 32\n"
        ".globl " SYMBOL("demo_model_begin") "\n" SYMBOL(
            "demo_model_begin") ":\n"
                                ".incbin \"models/corten-demo.gguf\"\n"
                                ".globl " SYMBOL("demo_model_end") "\n" SYMBOL("demo_model_end") ":\n"
                                                                                                 ".byte 0\n" BACK);

extern const uint8_t demo_model_begin[], demo_model_end[];

const uint8_t *demo_model(size_t *ret_size)
{
    *ret_size = (size_t)(demo_model_end - demo_model_begin);
    return demo_model_begin;
}

/* The two functions that libFuzzer calls. FUZZ_TARGET names the target. */
#include "fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    const char *name = getenv("FUZZ_TARGET");
    target = name ? fuzz_find(name) : NULL;
    if (target)
        return 0;
    fprintf(stderr, "FUZZ_TARGET=%s is no target; they are:\n", name ? name : "");
    for (const struct fuzz_target *t = fuzz_next(NULL); t; t = fuzz_next(t))
        fprintf(stderr, "  %-20s %s\n", t->name, t->about);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_run(target, data, size);
    return 0;
}

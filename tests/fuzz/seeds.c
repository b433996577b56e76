/* The first inputs of each target, as files. */
#include <errno.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

static const char *seed_folder;                // NULL: they are run
static const struct fuzz_target *seed_target;  // by this one
static unsigned seed_count;

void fuzz_seed(const char *name, const void *data, size_t size)
{
    char path[1024];
    seed_count++;
    if (!seed_folder) {
        fuzz_run(seed_target, data, size);
        return;
    }
    snprintf(path, sizeof path, "%s/%s", seed_folder, name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        fuzz_fail(__FILE__, __LINE__, path);
}

void fuzz_seed_text(const char *name, const char *text) { fuzz_seed(name, text, strlen(text)); }

void fuzz_write_seeds(const char *root)
{
    char folder[512];
    mkdir(root, 0777);
    for (const struct fuzz_target *t = fuzz_next(NULL); t; t = fuzz_next(t)) {
        snprintf(folder, sizeof folder, "%s/%s", root, t->name);
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            fuzz_fail(__FILE__, __LINE__, folder);
        seed_folder = folder;
        if (t->seeds)
            t->seeds();
        else
            fuzz_seed("empty", "", 0);
    }
}

unsigned fuzz_run_seeds(const struct fuzz_target *target)
{
    seed_target = target;
    seed_folder = NULL;
    seed_count = 0;
    if (target->seeds)
        target->seeds();
    return seed_count;
}

#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/log.h"
#include "lib/guard.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_RED_ZONES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_RED_ZONES 1
#endif
#endif
#ifndef HAS_RED_ZONES
#define HAS_RED_ZONES 0
#endif

static struct fuzz_target *first;

void fuzz_add(struct fuzz_target *target)
{
    struct fuzz_target **at = &first;
    while (*at && strcmp((*at)->name, target->name) < 0)
        at = &(*at)->next;
    target->next = *at;
    *at = target;
}

struct fuzz_target *fuzz_find(const char *name)
{
    struct fuzz_target *t = first;
    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    return t;
}

struct fuzz_target *fuzz_next(const struct fuzz_target *target) { return target ? target->next : first; }

void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

/* What is logged about inputs would be all that anybody sees. */
__attribute__((constructor)) static void be_quiet(void) { log_set_level(LOG_ERROR); }

void fuzz_run(const struct fuzz_target *target, const uint8_t *data, size_t size)
{
    uint8_t *copy = fuzz_copy(data, size);
    target->run(copy, size);
    fuzz_free(copy, size);
}

/* ---- memory ---- */

void *fuzz_copy(const void *data, size_t size)
{
    if (!HAS_RED_ZONES)
        return guard_copy(data, size);
    void *copy = malloc(size);
    if (!copy)
        copy = malloc(1);
    if (!copy)
        fuzz_fail(__FILE__, __LINE__, "no memory");
    if (size)
        memcpy(copy, data, size);
    return copy;
}

void fuzz_free(void *copy, size_t size)
{
    if (HAS_RED_ZONES)
        free(copy);
    else
        guard_free(copy, size);
}

const char *fuzz_file(unsigned slot, const void *data, size_t size)
{
    static int fd[FUZZ_FILES_MAX] = {-1, -1};
    static char path[FUZZ_FILES_MAX][64];
    if (slot >= FUZZ_FILES_MAX)
        fuzz_fail(__FILE__, __LINE__, "no such slot");
    if (fd[slot] < 0)
        fd[slot] = memfd_create("corten-fuzz", MFD_CLOEXEC);
    if (fd[slot] < 0 || ftruncate(fd[slot], 0) != 0 || pwrite(fd[slot], data, size, 0) != (ssize_t)size)
        fuzz_fail(__FILE__, __LINE__, "no file in memory");
    snprintf(path[slot], sizeof path[slot], "/proc/self/fd/%d", fd[slot]);
    return path[slot];
}

/* ---- parts of an input ---- */

static void take(struct fuzz_in *in, void *ret_data, size_t size)
{
    size_t there = in->left < size ? in->left : size;
    memset(ret_data, 0, size);
    if (there)
        memcpy(ret_data, in->at, there);
    in->at += there;
    in->left -= there;
}

uint8_t fuzz_u8(struct fuzz_in *in)
{
    uint8_t v;
    take(in, &v, sizeof v);
    return v;
}

uint16_t fuzz_u16(struct fuzz_in *in)
{
    uint8_t v[2];
    take(in, v, sizeof v);
    return be16(v);
}

uint32_t fuzz_u32(struct fuzz_in *in)
{
    uint8_t v[4];
    take(in, v, sizeof v);
    return be32(v);
}

uint64_t fuzz_u64(struct fuzz_in *in)
{
    uint8_t v[8];
    take(in, v, sizeof v);
    return be64(v);
}

struct span fuzz_span(struct fuzz_in *in, size_t size_max)
{
    size_t size = fuzz_u8(in);
    if (size_max > 255)
        size = size << 8 | fuzz_u8(in);
    if (size > size_max)
        size = size_max;
    if (size > in->left)
        size = in->left;
    struct span span = {in->at, (uint32_t)size};
    in->at += size;
    in->left -= size;
    return span;
}

struct span fuzz_rest(struct fuzz_in *in)
{
    struct span span = {in->at, (uint32_t)in->left};
    in->at += in->left;
    in->left = 0;
    return span;
}

char *fuzz_text(struct span bytes)
{
    char *text = malloc((size_t)bytes.size + 1);
    if (!text)
        fuzz_fail(__FILE__, __LINE__, "no memory");
    if (bytes.size)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = 0;
    return text;
}

/* ---- pieces ---- */

void fuzz_cut_init(struct fuzz_cut *cut, int how, const void *data, size_t size)
{
    uint64_t seed = (uint64_t)how;
    const uint8_t *at = data;
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ at[i]) * 0x100000001b3;
    *cut = (struct fuzz_cut){.at = at, .left = size, .how = how, .prng = {seed}};
}

bool fuzz_cut_next(struct fuzz_cut *cut)
{
    fuzz_cut_done(cut);
    if (cut->left == 0)
        return false;
    size_t size = cut->left;
    if (cut->how == FUZZ_BYTES)
        size = 1;
    else if (cut->how == FUZZ_PIECES)  // short ones
        size = 1 + (size_t)prng_below(&cut->prng, 16);
    else if (cut->how == FUZZ_CUTS)  // a few long ones
        size = 1 + (size_t)prng_below(&cut->prng, cut->left);
    if (size > cut->left)
        size = cut->left;
    cut->piece = fuzz_copy(cut->at, size);
    cut->size = size;
    cut->at += size;
    cut->left -= size;
    return true;
}

void fuzz_cut_done(struct fuzz_cut *cut)
{
    if (cut->piece)
        fuzz_free(cut->piece, cut->size);
    cut->piece = NULL;
}

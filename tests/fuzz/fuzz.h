/* fuzz.h - targets: what takes bytes from outside, and what must hold of it whatever they are.
 *
 *      FUZZ(sse, "a stream means the same however it is cut")
 *      {
 *          FUZZ_CHECK(decode(data, size) is what it should be);
 *      }
 *      FUZZ_SEEDS(sse) { fuzz_seed_text("event", "data: a\n\n"); }
 *
 * Every target is in one program, built in two ways: `fuzz` under libFuzzer, which makes inputs, and `fuzz_replay`,
 * which takes them from files and needs no clang. `data` lies against memory that cannot be touched, and is the
 * target's to write to. A target is a function of its input alone: no clock, no chance, nothing kept.
 */
#ifndef CORTEN_TESTS_FUZZ_H
#define CORTEN_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/prng.h"
#include "base/types.h"

struct fuzz_target {
    const char *name, *about;
    void (*run)(uint8_t *data, size_t size);
    void (*seeds)(void);  // NULL: the empty input
    struct fuzz_target *next;
};

void fuzz_add(struct fuzz_target *target);
void fuzz_add_seeds(const char *name, void (*seeds)(void));
/* NULL: there is none. In order of their names; NULL gives the first. */
struct fuzz_target *fuzz_find(const char *name);
struct fuzz_target *fuzz_next(const struct fuzz_target *target);
/* Runs it once, over a copy of its own. */
void fuzz_run(const struct fuzz_target *target, const uint8_t *data, size_t size);

#define FUZZ(target_, about_)                                                                     \
    static void fuzz_##target_(uint8_t *data, size_t size);                                       \
    static struct fuzz_target target_##target_ = {#target_, about_, fuzz_##target_, NULL, NULL};  \
    __attribute__((constructor)) static void add_##target_(void) { fuzz_add(&target_##target_); } \
    static void fuzz_##target_(uint8_t *data, size_t size)

/* A function that gives first inputs by fuzz_seed. */
#define FUZZ_SEEDS(target_)                                                                                          \
    static void seeds_##target_(void);                                                                               \
    __attribute__((constructor)) static void add_seeds_##target_(void) { target_##target_.seeds = seeds_##target_; } \
    static void seeds_##target_(void)

/* Writes them all, into root/TARGET/; each target's function calls the last two. */
void fuzz_write_seeds(const char *root);
/* Runs those of one target; gives how many there are. */
unsigned fuzz_run_seeds(const struct fuzz_target *target);
void fuzz_seed(const char *name, const void *data, size_t size);
void fuzz_seed_text(const char *name, const char *text);

_Noreturn void fuzz_fail(const char *file, int line, const char *what);
#define FUZZ_CHECK(what)                                     \
    do {                                                     \
        if (!(what))                                         \
            fuzz_fail(__FILE__, __LINE__, "not so: " #what); \
    } while (0)

/* Memory that ends where nobody may read on: by AddressSanitizer, or by a page that is not there. */
void *fuzz_copy(const void *data, size_t size);
void fuzz_free(void *copy, size_t size);

/* An input that is several things one behind the other. At its end all is zero, and spans are empty. */
struct fuzz_in {
    const uint8_t *at;
    size_t left;
};
uint8_t fuzz_u8(struct fuzz_in *in);
uint16_t fuzz_u16(struct fuzz_in *in);
uint32_t fuzz_u32(struct fuzz_in *in);
uint64_t fuzz_u64(struct fuzz_in *in);
/* At most size_max bytes, their number in one byte or, where size_max is over 255, in two. */
struct span fuzz_span(struct fuzz_in *in, size_t size_max);
struct span fuzz_rest(struct fuzz_in *in);
/* A copy that ends in NUL, cut at the first NUL. */
char *fuzz_text(struct span bytes);

/* How bytes are handed to a decoder: whole, one by one, or in pieces that follow from the bytes themselves. */
enum { FUZZ_WHOLE, FUZZ_BYTES, FUZZ_PIECES, FUZZ_CUTS };
struct fuzz_cut {
    const uint8_t *at;
    size_t left;
    int how;
    struct prng prng;
    char *piece;
    size_t size;
};
void fuzz_cut_init(struct fuzz_cut *cut, int how, const void *data, size_t size);
/* The next piece, in memory of its own, until the next call; false: no more. */
bool fuzz_cut_next(struct fuzz_cut *cut);
/* For those who stop before. */
void fuzz_cut_done(struct fuzz_cut *cut);

/* A file with these bytes, in memory; its path stands until the next call of the same slot. */
#define FUZZ_FILES_MAX 2
const char *fuzz_file(unsigned slot, const void *data, size_t size);

#endif

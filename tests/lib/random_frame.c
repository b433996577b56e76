#include "lib/random_frame.h"

#include "lib/test.h"

#define LONG_TEXT_SIZE 70000

/* What the frame points to. */
static _Alignas(16) uint8_t memory[1 << 18];
static size_t used;

static void *room(size_t size)
{
    void *at = memory + used;
    used += (size + 15) & ~(size_t)15;
    CHECK(used <= sizeof memory);
    memset(at, 0, size);
    return at;
}

static uint32_t below(struct prng *prng, uint32_t n) { return (uint32_t)prng_below(prng, n); }
static bool coin(struct prng *prng) { return below(prng, 2); }
static uint64_t random_u64(struct prng *prng) { return prng_next(prng) >> below(prng, 64); }

/* Now and then as long as may be. */
static struct span random_text(struct prng *prng, uint32_t max)
{
    static const char *const text[] = {
        "", "word", "two words\n", "\"quoted\" \\ \t", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9d", "{\"a\":[1,2]}"};
    static char long_text[LONG_TEXT_SIZE];
    if (below(prng, 16) == 0) {
        memset(long_text, 'x', sizeof long_text);
        return (struct span){(const uint8_t *)long_text, u32_min(max, sizeof long_text)};
    }
    const char *chosen = text[below(prng, ARRAY_COUNT(text))];
    return (struct span){(const uint8_t *)chosen, (uint32_t)strlen(chosen)};
}

static const char *random_string(struct prng *prng, uint32_t max)
{
    struct span text = random_text(prng, max);
    char *string = room(text.size + 1);
    memcpy(string, text.data, text.size);
    return string;
}

static struct span random_bytes(struct prng *prng, uint32_t max)
{
    uint32_t size = below(prng, max + 1);
    uint8_t *bytes = room(size);
    prng_fill(prng, bytes, size);
    return (struct span){bytes, size};
}

static uint32_t random_term(struct prng *prng, enum term_set set)
{
    uint32_t value;
    do
        value = below(prng, 20);
    while (!term_name(set, value));
    return value;
}

static enum verdict random_verdict(struct prng *prng)
{
    enum verdict verdict;
    do
        verdict = (enum verdict)below(prng, VERDICT_COUNT);
    while (!verdict_name(verdict));
    return verdict;
}

static uint32_t random_count(struct prng *prng, uint32_t max) { return below(prng, u32_min(max, 4) + 1); }

static const uint64_t *random_ids(struct prng *prng, uint32_t count)
{
    uint64_t *id = room(count * sizeof *id);
    for (uint32_t i = 0; i < count; i++)
        id[i] = random_u64(prng) | 1;
    return id;
}

// clang-format off
#define RECORD(name, tag) static void random_##name(struct prng *prng, struct link_##tag *f) { (void)prng; (void)f;
#define END(name) }
#define U64(key, member)                  f->member = random_u64(prng);
#define U32(key, member)                  f->member = (uint32_t)random_u64(prng);
#define BOOL(key, member)                 f->member = coin(prng);
#define FIXED(key, member)                prng_fill(prng, f->member, sizeof f->member);
#define STRING(key, member, max)          f->member = random_string(prng, max);
#define TEXT(key, member, max)            f->member = random_text(prng, max);
#define BYTES(key, member, max)           f->member = random_bytes(prng, max);
#define TERM(key, member, set)            f->member = (__typeof__(f->member))random_term(prng, TERM_##set);
#define U32_MAY                           U32
#define BOOL_MAY                          BOOL
#define FIXED_MAY(key, member)            if (coin(prng)) FIXED(key, member)
#define FIXED_IF(key, member, flag)       if ((f->flag = coin(prng))) FIXED(key, member)
#define STRING_MAY(key, member, max)      if (coin(prng)) STRING(key, member, max)
#define TERM_MAY(key, member, set, otherwise) f->member = otherwise; if (coin(prng)) TERM(key, member, set)
#define ERROR(key, member)                if (coin(prng)) { STRING(key, member, LINK_DETAIL_SIZE_MAX) return; }
#define VERSION(key, member)              f->member = LINK_VERSION;
#define VERDICT(key, member, words)       f->member = random_verdict(prng);
#define EVIDENCE                          BOOL
#define RESULT_RECORD(key, member, size) \
    if (coin(prng)) { \
        f->size = RECORD_EXACT_SIZE; \
        prng_fill(prng, f->member, f->size); \
    }
#define HERE(key, record)                 random_##record(prng, f);
#define PART_IF(key, record, member, flag) if ((f->flag = coin(prng))) random_##record(prng, &f->member);
#define ITEMS(key, record, member, count, max) \
    f->count = random_count(prng, max); \
    for (uint32_t i = 0; i < f->count; i++) \
        random_##record(prng, &f->member[i]);
#define LIST(key, record, member, count, max) { \
    f->count = random_count(prng, max); \
    struct link_##record *list = room(f->count * sizeof *list); \
    for (uint32_t i = 0; i < f->count; i++) \
        random_##record(prng, &list[i]); \
    f->member = list; \
}
#define IDS(key, member, count, max)      f->count = random_count(prng, max); f->member = random_ids(prng, f->count);
// clang-format on

#include "proto/link.def"

void random_frame(struct prng *prng, enum link_type type, struct link_frame *ret_frame)
{
    used = 0;
    memset(ret_frame, 0, sizeof *ret_frame);
    ret_frame->type = type;
    switch (type) {
#define X(name, NAME, way) \
    case LINK_##NAME: random_##name(prng, &ret_frame->name); break;
        LINK_TYPES(X)
#undef X
    case LINK_TYPE_COUNT: CHECK(type != LINK_TYPE_COUNT);
    }
}

/* runtime_echo.c - words that follow from the prompt, for tests: no model, no thread, one word a token.
 *
 * The spec is "echo" or "echo=" with these, separated by commas:
 *
 *      tokens=N    every answer has N words           slow=MS     each word takes MS milliseconds
 *      silent      never answers                      stall=N     goes silent after N words
 *      cut=N       fails after N words                fail        fails at once
 *      wrong=N     other words; like for like N       lying       right text, but token ids and counts that
 *      context=N   refuses prompts of N words                     belong to another one, twice as long
 *
 * "wrong" alone is wrong=1. At temperature 0 the words follow from the prompt alone, else from the seed too.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/prng.h"
#include "crypto/sha256.h"
#include "runtime/engine.h"
#include "runtime/text_gate.h"

#define BUILD_TEXT              "corten-echo/1"
#define TOKENS_MIN              8u
#define TOKENS_SPREAD           9u
#define TOKENS_MAX              65536u
#define CONTEXT_DEFAULT         4096u
#define TOKENS_PER_S_MILLI_FAST 1000000u  // what an echo without slow= says about itself

static const char *const words[] = {
    "amber",   "anchor", "apple",  "arrow",   "autumn", "basin",   "beacon",  "birch",   "bridge",  "bronze", "candle",
    "canyon",  "cedar",  "circle", "cliff",   "cloud",  "copper",  "coral",   "cotton",  "crystal", "dawn",   "delta",
    "desert",  "echo",   "ember",  "falcon",  "field",  "forest",  "garden",  "granite", "harbor",  "hazel",  "hollow",
    "island",  "ivory",  "jasper", "juniper", "kernel", "lagoon",  "lantern", "linen",   "maple",   "marble", "meadow",
    "mirror",  "needle", "north",  "ocean",   "olive",  "orchard", "pebble",  "pepper",  "prairie", "quartz", "river",
    "saffron", "silver", "spruce", "summit",  "timber", "tunnel",  "valley",  "willow",  "winter",
};

struct echo {
    uint32_t tokens, slow_ms, cut, stall, wrong;  // UINT32_MAX: not asked for; wrong 0: right
    bool silent, fail, lying;
};

struct echo_job {
    struct prng words;
    uint32_t limit, wanted, made;  // words: allowed, to come, done
    uint32_t pending;              // of them not yet sent on
    struct text_gate gate;
    struct net_timer next;
};

static uint64_t hash_of(const struct runtime_request *r, uint64_t salt)
{
    struct sha256 s;
    struct hash hash;
    uint64_t seed = r->temperature ? r->seed : 0, start;
    sha256_init(&s);
    sha256_add(&s, &salt, sizeof salt);
    sha256_add(&s, &seed, sizeof seed);
    sha256_add(&s, r->prompt.data, r->prompt.size);
    for (uint32_t i = 0; i < r->messages_count; i++) {
        sha256_add(&s, &r->messages[i].role.size, sizeof r->messages[i].role.size);
        sha256_add(&s, r->messages[i].role.data, r->messages[i].role.size);
        sha256_add(&s, &r->messages[i].content.size, sizeof r->messages[i].content.size);
        sha256_add(&s, r->messages[i].content.data, r->messages[i].content.size);
    }
    sha256_end(&s, &hash);
    memcpy(&start, hash.b, sizeof start);
    return start;
}

static uint32_t count_words(struct span text)
{
    uint32_t count = 0;
    bool inside = false;
    for (uint32_t i = 0; i < text.size; i++) {
        bool blank = text.data[i] <= ' ';
        count += !blank && !inside;
        inside = !blank;
    }
    return count;
}

static uint32_t prompt_tokens(const struct runtime_request *r)
{
    uint32_t count = count_words(r->prompt);
    for (uint32_t i = 0; i < r->messages_count; i++)
        count += 1 + count_words(r->messages[i].content);
    return count;
}

static void send_ready(struct runtime_job *job, struct echo_job *e)
{
    size_t ready = text_gate_ready(&e->gate), at = e->gate.sent;
    if (ready == 0)
        return;
    uint32_t tokens = e->pending;
    e->gate.sent += ready;
    e->pending = 0;
    job_chunk(job, e->gate.text.data + at, ready, tokens);
}

/* Another answer's tokens, and too many of them. */
static void lie(struct runtime_job *job)
{
    uint32_t count = job->tokens_out * 2;
    uint32_t *ids = calloc(count + 1, sizeof *ids);
    cx_assert(ids);
    for (uint32_t i = 0; i < count; i++)
        ids[i] = (i * 7 + 3) % (uint32_t)ARRAY_COUNT(words);
    free(job->token_ids);
    job->token_ids = ids;
    job->tokens_out = count;
}

static void end_answer(struct runtime_job *job, enum runtime_finish finish)
{
    struct echo_job *e = job->of_engine;
    text_gate_end(&e->gate);
    send_ready(job, e);
    job->tokens_out += e->pending;
    if (((struct echo *)job->rt->engine)->lying)
        lie(job);
    job_end(job, finish, RUNTIME_FAULT_NONE, NULL);
}

static void add_word(struct runtime_job *job, struct echo_job *e)
{
    uint32_t id = (uint32_t)prng_below(&e->words, ARRAY_COUNT(words));
    if (e->made > 0)
        text_gate_add(&e->gate, " ", 1);
    text_gate_add(&e->gate, words[id], strlen(words[id]));
    job->token_ids[e->made++] = id;
    e->pending++;
}

static void next_word(void *ctx)
{
    struct runtime_job *job = ctx;
    struct echo_job *e = job->of_engine;
    const struct echo *echo = job->rt->engine;
    if (e->made >= echo->stall)
        return;
    if (e->made >= echo->cut) {
        job_end(job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_ENGINE, "echo: cut, as it was told to");
        return;
    }
    if (e->made == e->wanted) {
        end_answer(job, RUNTIME_FINISH_STOP);
        return;
    }
    add_word(job, e);
    if (e->gate.stopped) {
        end_answer(job, RUNTIME_FINISH_STOP);
        return;
    }
    if (e->made == e->limit && e->made < e->wanted) {
        end_answer(job, RUNTIME_FINISH_LENGTH);
        return;
    }
    /* The timer first: the sink may cancel. */
    net_timer_start(job->rt->loop, &e->next, echo->slow_ms, next_word, job);
    send_ready(job, e);
}

static void start(struct runtime_job *job)
{
    const struct echo *echo = job->rt->engine;
    struct echo_job *e = calloc(1, sizeof *e);
    cx_assert(e);
    job->of_engine = e;
    text_gate_init(&e->gate, job->request.stop, job->request.stop_count);
    e->words = (struct prng){hash_of(&job->request, echo->wrong)};
    e->wanted = echo->tokens != UINT32_MAX ? echo->tokens : TOKENS_MIN + (uint32_t)prng_below(&e->words, TOKENS_SPREAD);
    job->tokens_in = prompt_tokens(&job->request);
    if (echo->fail) {
        job_end_soon(job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_ENGINE, "echo: failed, as it was told to");
        return;
    }
    if (job->tokens_in >= job->rt->info.context) {
        job_end_soon(job, RUNTIME_FINISH_ERROR, RUNTIME_FAULT_CONTEXT,
                     "the prompt has %" PRIu32 " tokens; the context of %" PRIu32 " leaves no room for an answer",
                     job->tokens_in, job->rt->info.context);
        return;
    }
    e->limit = u32_min(job->request.max_tokens, job->rt->info.context - job->tokens_in);
    job->token_ids = calloc(u32_min(e->limit, e->wanted) + 1, sizeof *job->token_ids);
    cx_assert(job->token_ids);
    if (!echo->silent)
        net_timer_start(job->rt->loop, &e->next, echo->slow_ms, next_word, job);
}

static void cancel(struct runtime_job *job)
{
    struct echo_job *e = job->of_engine;
    net_timer_stop(&e->next);
    job->tokens_out += e->pending;
    e->pending = 0;
    job_end_soon(job, RUNTIME_FINISH_CANCELLED, RUNTIME_FAULT_NONE, "%s", "");
}

static void forget(struct runtime_job *job)
{
    struct echo_job *e = job->of_engine;
    net_timer_stop(&e->next);
    text_gate_done(&e->gate);
    free(e);
    job->of_engine = NULL;
}

static void close_engine(struct runtime *rt) { free(rt->engine); }

/* ---- the spec ---- */

static bool is_word(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(text, word, size) == 0;
}

static enum cx_err set_number(const char *item, size_t size, const char *digits, uint32_t *to)
{
    char *end;
    unsigned long number = strtoul(digits, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || end != item + size || number > TOKENS_MAX)
        return cx_fail(CX_INVALID, "engine echo: \"%.*s\" wants a number 0..%u", (int)size, item, TOKENS_MAX);
    *to = (uint32_t)number;
    return CX_OK;
}

static enum cx_err set_item(struct runtime *rt, struct echo *echo, const char *item, size_t size)
{
    const struct {
        const char *name;
        uint32_t *to;
    } numbers[] = {{"tokens", &echo->tokens}, {"slow", &echo->slow_ms}, {"cut", &echo->cut},
                   {"stall", &echo->stall},   {"wrong", &echo->wrong},  {"context", &rt->info.context}};
    const struct {
        const char *name;
        bool *to;
    } flags[] = {{"silent", &echo->silent}, {"fail", &echo->fail}, {"lying", &echo->lying}};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        if (is_word(item, size, flags[i].name)) {
            *flags[i].to = true;
            return CX_OK;
        }
    if (is_word(item, size, "wrong")) {
        echo->wrong = 1;
        return CX_OK;
    }
    const char *equals = memchr(item, '=', size);
    for (size_t i = 0; equals && i < ARRAY_COUNT(numbers); i++)
        if (is_word(item, (size_t)(equals - item), numbers[i].name))
            return set_number(item, size, equals + 1, numbers[i].to);
    return cx_fail(CX_INVALID,
                   "engine echo: \"%.*s\" is none of tokens=N, slow=MS, silent, stall=N, cut=N, fail, wrong, wrong=N, "
                   "lying, context=N",
                   (int)size, item);
}

static enum cx_err set_all(struct runtime *rt, struct echo *echo, const char *spec)
{
    while (spec) {
        size_t size = strcspn(spec, ",");
        enum cx_err err = set_item(rt, echo, spec, size);
        if (err)
            return err;
        spec = spec[size] ? spec + size + 1 : NULL;
    }
    return CX_OK;
}

static enum cx_err open_engine(struct runtime *rt, const char *argument, const char *model,
                               const struct runtime_options *options)
{
    struct echo *echo = calloc(1, sizeof *echo);
    if (!echo)
        return cx_fail(CX_MEMORY, "no memory for the engine");
    *echo = (struct echo){.tokens = UINT32_MAX, .cut = UINT32_MAX, .stall = UINT32_MAX};
    rt->info.context = options->context ? options->context : CONTEXT_DEFAULT;
    enum cx_err err = set_all(rt, echo, argument);
    if (err) {
        free(echo);
        return err;
    }
    rt->engine = echo;
    buf_text(&rt->build, BUILD_TEXT);
    buf_text(&rt->model, model ? model : RUNTIME_MODEL_NAME);
    struct hash build;
    sha256(BUILD_TEXT, sizeof BUILD_TEXT - 1, &build);
    runtime_manifest(&build, 1, &rt->info.manifest);
    rt->info.engine = RUNTIME_ECHO;
    rt->info.has_token_ids = true;
    rt->info.template_tokens = 1;
    rt->info.ttft_ms = u32_max(1, echo->slow_ms);
    rt->info.tokens_per_s_milli = echo->slow_ms ? 1000000u / echo->slow_ms : TOKENS_PER_S_MILLI_FAST;
    return CX_OK;
}

const struct runtime_engine_ops runtime_echo = {
    .open = open_engine,
    .close = close_engine,
    .start = start,
    .cancel = cancel,
    .forget = forget,
    .measures = false,
};

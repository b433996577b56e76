#include "runtime/sampler.h"

#include "base/assert.h"
#include "runtime/llama_math.h"
#include "runtime/runtime.h"

/* The finalizer of splitmix64: every bit of the input changes half of the output. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

double sampler_noise(uint64_t seed, uint32_t position, uint32_t token)
{
    uint64_t bits = mix(mix(seed + 0x9e3779b97f4a7c15u) ^ mix((uint64_t)position << 32 | token));
    /* 53 bits and a half: never 0, never 1, and exact. */
    double u = ((double)(bits >> 12) + 0.5) / 4503599627370496.0;
    return -math_log(-math_log(u));
}

static void penalize(const struct sampler *s, float *logits, uint32_t size, const uint32_t *seen)
{
    if (s->presence_penalty == 0 && s->frequency_penalty == 0)
        return;
    float presence = (float)s->presence_penalty / (float)RUNTIME_UNIT;
    float frequency = (float)s->frequency_penalty / (float)RUNTIME_UNIT;
    for (uint32_t t = 0; t < size; t++)
        if (seen[t])
            logits[t] = logits[t] - presence - frequency * (float)seen[t];
}

static uint32_t largest(const float *logits, uint32_t size)
{
    uint32_t best = 0;
    for (uint32_t t = 1; t < size; t++)
        if (logits[t] > logits[best])
            best = t;
    return best;
}

static bool goes_before(const float *logits, uint32_t a, uint32_t b)
{
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
}

static void sift(const float *logits, uint32_t *order, uint32_t at, uint32_t size)
{
    for (uint32_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && goes_before(logits, order[child], order[child + 1]))
            child++;
        if (!goes_before(logits, order[at], order[child]))
            return;
        uint32_t id = order[at];
        order[at] = order[child];
        order[child] = id;
    }
}

/* Ids by falling logit: a heap sort, whose result depends on nothing but the logits. */
static void sort(const float *logits, uint32_t *order, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        order[i] = i;
    for (uint32_t i = size / 2; i-- > 0;)
        sift(logits, order, i, size);
    for (uint32_t end = size - 1; end > 0; end--) {
        uint32_t id = order[0];
        order[0] = order[end];
        order[end] = id;
        sift(logits, order, 0, end);
    }
}

/* How many of the first `count` in order reach the share top_p of their probability; at least one. */
static uint32_t nucleus(const float *logits, const uint32_t *order, uint32_t count, uint32_t top_p)
{
    double all = 0.0, sum = 0.0;
    for (uint32_t i = 0; i < count; i++)
        all += (double)math_expf(logits[order[i]] - logits[order[0]]);
    double wanted = all * (double)top_p / (double)RUNTIME_UNIT;
    for (uint32_t i = 0; i < count; i++) {
        sum += (double)math_expf(logits[order[i]] - logits[order[0]]);
        if (sum >= wanted)
            return i + 1;
    }
    return count;
}

uint32_t sampler_pick(const struct sampler *sampler, float *logits, uint32_t size, const uint32_t *seen,
                      uint32_t position, uint32_t *order)
{
    cx_assert(size > 0);
    penalize(sampler, logits, size, seen);
    if (sampler->temperature == 0)
        return largest(logits, size);

    float scale = (float)RUNTIME_UNIT / (float)sampler->temperature;
    for (uint32_t t = 0; t < size; t++)
        logits[t] = logits[t] * scale;
    sort(logits, order, size);
    uint32_t count = sampler->top_k && sampler->top_k < size ? sampler->top_k : size;
    if (sampler->top_p && sampler->top_p < RUNTIME_UNIT)
        count = nucleus(logits, order, count, sampler->top_p);

    uint32_t best = order[0];
    double best_score = (double)logits[best] + sampler_noise(sampler->seed, position, best);
    for (uint32_t i = 1; i < count; i++) {
        uint32_t t = order[i];
        double score = (double)logits[t] + sampler_noise(sampler->seed, position, t);
        if (score > best_score || (score == best_score && t < best)) {
            best = t;
            best_score = score;
        }
    }
    return best;
}

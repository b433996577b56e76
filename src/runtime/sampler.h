/* sampler.h - picks the next token from logits, so that any verifier can pick it again.
 *
 * In this order: penalties for what was generated before; at temperature 0 the largest logit; else logits
 * divided by the temperature, the top_k largest, of these the most probable that together reach top_p, and
 * of these the one whose logit plus noise is largest. The noise is Gumbel's and a function of (seed,
 * position, token id) alone, so picks are random as sampling is, and replayable. Ties: the lowest id.
 *
 * Units:  fixed point as in runtime.h; positions count generated tokens from 0.
 * Source: docs/protocol.md, "Engines".
 */
#ifndef CORTEN_RUNTIME_SAMPLER_H
#define CORTEN_RUNTIME_SAMPLER_H

#include "base/types.h"

struct sampler {
    uint32_t temperature, top_p, top_k;
    int32_t presence_penalty, frequency_penalty;
    uint64_t seed;
};

/* -log(-log u) with u in (0, 1) from the hash of the three. */
double sampler_noise(uint64_t seed, uint32_t position, uint32_t token);

/* logits[0..size-1] are changed; seen[t] is how often token t was generated; order is room for size ids. */
uint32_t sampler_pick(const struct sampler *sampler, float *logits, uint32_t size, const uint32_t *seen,
                      uint32_t position, uint32_t *order);

#endif

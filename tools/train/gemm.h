/* gemm.h - matrix products for training, in one fixed order of additions.
 *
 * gemm.c is built twice, for AVX2 and for the oldest instruction set. Each element of the result is one
 * chain of additions over k, so both give the same bits; only speed differs.
 */
#ifndef CORTEN_TOOLS_GEMM_H
#define CORTEN_TOOLS_GEMM_H

#include <stdint.h>

/* A: element (i, k) is data[i × row + k × col]; a transposed view swaps the two. */
struct gemm_view {
    const float *data;
    uint32_t row, col;
};

/* c[m × n] += a[m × k] · b[k × n]; b and c have rows of b_row and c_row floats. m is a multiple of 4. */
void gemm(uint32_t m, uint32_t n, uint32_t k, struct gemm_view a, const float *b, uint32_t b_row, float *c,
          uint32_t c_row);

#endif

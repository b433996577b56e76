#include "gemm.h"

#include <assert.h>
#include <string.h>

#ifdef __AVX2__
#define LANES 8u
#else
#define LANES 4u
#endif
#define ROWS  4u
#define COLS  (2u * LANES)
#define DEPTH 256u

/* As wide as the processor's registers; wider ones would be taken apart, slowly. */
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* One tile of c; panel holds `depth` rows of as many columns of b. */
static inline __attribute__((always_inline)) void tile(uint32_t depth, struct gemm_view a, const float *panel, float *c,
                                                       uint32_t c_row)
{
    lanes *c0 = (lanes *)c, *c1 = (lanes *)(c + c_row), *c2 = (lanes *)(c + 2 * c_row), *c3 = (lanes *)(c + 3 * c_row);
    lanes s00 = c0[0], s01 = c0[1], s10 = c1[0], s11 = c1[1], s20 = c2[0], s21 = c2[1], s30 = c3[0], s31 = c3[1];
    const float *at = a.data;
    for (uint32_t k = 0; k < depth; k++) {
        const lanes *b = (const lanes *)(panel + k * COLS);
        lanes b0 = b[0], b1 = b[1];
        float a0 = at[0], a1 = at[a.row], a2 = at[2 * a.row], a3 = at[3 * a.row];
        s00 += a0 * b0;
        s01 += a0 * b1;
        s10 += a1 * b0;
        s11 += a1 * b1;
        s20 += a2 * b0;
        s21 += a2 * b1;
        s30 += a3 * b0;
        s31 += a3 * b1;
        at += a.col;
    }
    c0[0] = s00;
    c0[1] = s01;
    c1[0] = s10;
    c1[1] = s11;
    c2[0] = s20;
    c2[1] = s21;
    c3[0] = s30;
    c3[1] = s31;
}

/* A tile at the right edge goes through a copy that is as wide as the others. */
static void edge_tile(uint32_t depth, struct gemm_view a, const float *panel, float *c, uint32_t c_row, uint32_t width)
{
    float copy[ROWS * COLS] = {0};
    for (uint32_t i = 0; i < ROWS; i++)
        memcpy(copy + i * COLS, c + i * c_row, width * sizeof *c);
    tile(depth, a, panel, copy, COLS);
    for (uint32_t i = 0; i < ROWS; i++)
        memcpy(c + i * c_row, copy + i * COLS, width * sizeof *c);
}

void GEMM_NAME(uint32_t m, uint32_t n, uint32_t k, struct gemm_view a, const float *b, uint32_t b_row, float *c,
               uint32_t c_row);

void GEMM_NAME(uint32_t m, uint32_t n, uint32_t k, struct gemm_view a, const float *b, uint32_t b_row, float *c,
               uint32_t c_row)
{
    static float panel[DEPTH * COLS] __attribute__((aligned(32)));
    assert(m % ROWS == 0);
    for (uint32_t k0 = 0; k0 < k; k0 += DEPTH) {
        uint32_t depth = k - k0 < DEPTH ? k - k0 : DEPTH;
        for (uint32_t j = 0; j < n; j += COLS) {
            uint32_t width = n - j < COLS ? n - j : COLS;
            if (width < COLS)
                memset(panel, 0, sizeof panel);
            for (uint32_t i = 0; i < depth; i++)
                memcpy(panel + i * COLS, b + (size_t)(k0 + i) * b_row + j, width * sizeof *b);
            for (uint32_t i = 0; i < m; i += ROWS) {
                struct gemm_view at = {a.data + (size_t)i * a.row + (size_t)k0 * a.col, a.row, a.col};
                float *to = c + (size_t)i * c_row + j;
                if (width == COLS)
                    tile(depth, at, panel, to, c_row);
                else
                    edge_tile(depth, at, panel, to, c_row, width);
            }
        }
    }
}

/* llama_math.h - the arithmetic of the builtin engine: the same bits on every machine and compiler.
 *
 * Only IEEE additions, multiplications, divisions and square roots, in an order that is written down:
 * no libm, no fused multiply-add, no reordering. The Makefile builds llama_math.c with contraction off and
 * for the processor's oldest instruction set; `make golden` compares four builds of it.
 *
 * Shape:  matrices are rows of `cols` floats, one row an output.
 * Source: docs/protocol.md, "Engines".
 */
#ifndef CORTEN_RUNTIME_LLAMA_MATH_H
#define CORTEN_RUNTIME_LLAMA_MATH_H

#include "base/types.h"

float math_expf(float x);    // within 2 ulp; 0 under -87.3, the largest float over 88.7
double math_exp(double x);   // -700 <= x <= 700
double math_log(double x);   // x > 0 and normal
double math_sqrt(double x);  // x >= 0; correctly rounded, as IEEE 754 asks
/* |x| < 10^6, in radians. */
void math_sincos(double x, double *ret_sin, double *ret_cos);

/* Sixteen partial sums, added up pairwise at the end. */
float math_dot(const float *a, const float *b, uint32_t size);
/* out[r] = row r of w · x. */
void math_matvec(float *out, const float *w, const float *x, uint32_t rows, uint32_t cols);
/* out = x / sqrt(mean of squares + epsilon) × weight. */
void math_rms_norm(float *out, const float *x, const float *weight, uint32_t size, float epsilon);
/* x becomes e^x / sum. */
void math_softmax(float *x, uint32_t size);
/* gate becomes silu(gate) × up. */
void math_swiglu(float *gate, const float *up, uint32_t size);
/* Turns the pairs (x[2i], x[2i+1]) of each head by angle i of the table; the table holds cos and sin in turns. */
void math_rope(float *x, uint32_t heads, uint32_t head_size, const float *cos_sin);
/* to += from. */
void math_add(float *to, const float *from, uint32_t size);
/* to += scale × from. */
void math_add_scaled(float *to, const float *from, float scale, uint32_t size);
/* The table for one position: base^(-2i/size) × position. */
void math_rope_table(float *ret_cos_sin, uint32_t size, uint32_t position, double base);

float math_half_to_float(uint16_t half);
/* Nearest, ties to even. */
uint16_t math_float_to_half(float x);

#endif

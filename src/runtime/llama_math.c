#include "runtime/llama_math.h"

#include <float.h>

#include "base/assert.h"
#include "base/mem.h"

/* Every operation rounds to its own type at once; x87 would keep more. */
static_assert(FLT_EVAL_METHOD == 0, "build for SSE2 or another processor with plain IEEE arithmetic");

/* Four floats that every target can add and multiply lane by lane; where no vector unit exists, the
 * compiler takes the lanes one by one, with the same result. */
typedef float v4 __attribute__((vector_size(16)));

static v4 load4(const float *p)
{
    v4 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t double_bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

#define LOG2_E   1.4426950408889634
#define LN2_HIGH 0.693359375  // exact in 9 bits, so that n × LN2_HIGH is exact for |n| < 2^15
#define LN2_LOW  (-2.12194440054690583e-4)

/* e^x = 2^n × e^r with n the nearest integer to x / ln 2 and |r| <= ln 2 / 2: a polynomial for e^r, and n
 * goes into the exponent. */
float math_expf(float x)
{
    if (x < -87.3f)
        return 0.0f;
    if (x > 88.7f)
        return float_of(0x7f7fffffu);
    int32_t n = (int32_t)(x * (float)LOG2_E + (x < 0.0f ? -0.5f : 0.5f));
    float nf = (float)n;
    float r = x - nf * (float)LN2_HIGH;
    r = r - nf * (float)LN2_LOW;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    /* Two factors, for 2^128 has no float of its own. */
    int32_t half = n / 2;
    return p * float_of((uint32_t)(half + 127) << 23) * float_of((uint32_t)(n - half + 127) << 23);
}

double math_exp(double x)
{
    int64_t n = (int64_t)(x * LOG2_E + (x < 0.0 ? -0.5 : 0.5));
    double nd = (double)n;
    double r = x - nd * LN2_HIGH;
    r = r - nd * LN2_LOW;
    double p = 1.0;
    for (int k = 14; k > 0; k--)
        p = p * r / (double)k + 1.0;
    int64_t half = n / 2;
    return p * double_of((uint64_t)(half + 1023) << 52) * double_of((uint64_t)(n - half + 1023) << 52);
}

/* x = m × 2^n with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh((m - 1) / (m + 1)) as a series. */
double math_log(double x)
{
    uint64_t bits = double_bits_of(x);
    int64_t n = (int64_t)(bits >> 52) - 1023;
    double m = double_of((bits & 0xfffffffffffffu) | (uint64_t)1023 << 52);
    if (m > 1.4142135623730951) {
        m = m * 0.5;
        n++;
    }
    double s = (m - 1.0) / (m + 1.0), s2 = s * s, sum = 0.0;
    for (int k = 25; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / (double)k;
    double nd = (double)n;
    return nd * LN2_HIGH + (nd * LN2_LOW + 2.0 * s * sum);
}

double math_sqrt(double x) { return __builtin_sqrt(x); }

void math_sincos(double x, double *ret_sin, double *ret_cos)
{
    /* pi/2 in three parts; the first two have zeros enough for exact products with |n| < 2^20. */
    const double high = 1.57079632673412561417, middle = 6.07710050630396597660e-11, low = 2.02226624879595063154e-21;
    int64_t n = (int64_t)(x * 0.63661977236758134308 + (x < 0.0 ? -0.5 : 0.5));
    double nd = (double)n;
    double r = x - nd * high;
    r = r - nd * middle;
    r = r - nd * low;
    double r2 = r * r, sin_r = 1.0, cos_r = 1.0;
    for (int k = 18; k >= 2; k -= 2) {
        sin_r = 1.0 - sin_r * r2 / (double)(k * (k + 1));
        cos_r = 1.0 - cos_r * r2 / (double)(k * (k - 1));
    }
    sin_r = sin_r * r;
    switch ((uint64_t)n & 3u) {
    case 0:
        *ret_sin = sin_r;
        *ret_cos = cos_r;
        break;
    case 1:
        *ret_sin = cos_r;
        *ret_cos = -sin_r;
        break;
    case 2:
        *ret_sin = -sin_r;
        *ret_cos = -cos_r;
        break;
    case 3:
        *ret_sin = -cos_r;
        *ret_cos = sin_r;
        break;
    }
}

float math_dot(const float *a, const float *b, uint32_t size)
{
    v4 s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    uint32_t i = 0;
    for (; i + 16 <= size; i += 16) {
        s0 += load4(a + i) * load4(b + i);
        s1 += load4(a + i + 4) * load4(b + i + 4);
        s2 += load4(a + i + 8) * load4(b + i + 8);
        s3 += load4(a + i + 12) * load4(b + i + 12);
    }
    for (; i + 4 <= size; i += 4)
        s0 += load4(a + i) * load4(b + i);
    v4 s = (s0 + s1) + (s2 + s3);
    float sum = (s[0] + s[1]) + (s[2] + s[3]);
    for (; i < size; i++)
        sum += a[i] * b[i];
    return sum;
}

void math_matvec(float *out, const float *w, const float *x, uint32_t rows, uint32_t cols)
{
    for (uint32_t r = 0; r < rows; r++)
        out[r] = math_dot(w + (size_t)r * cols, x, cols);
}

void math_rms_norm(float *out, const float *x, const float *weight, uint32_t size, float epsilon)
{
    float mean = math_dot(x, x, size) / (float)size;
    float scale = 1.0f / (float)math_sqrt((double)(mean + epsilon));
    for (uint32_t i = 0; i < size; i++)
        out[i] = x[i] * scale * weight[i];
}

void math_softmax(float *x, uint32_t size)
{
    float largest = x[0], sum = 0.0f;
    for (uint32_t i = 1; i < size; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (uint32_t i = 0; i < size; i++) {
        x[i] = math_expf(x[i] - largest);
        sum += x[i];
    }
    float scale = 1.0f / sum;
    for (uint32_t i = 0; i < size; i++)
        x[i] = x[i] * scale;
}

void math_swiglu(float *gate, const float *up, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        gate[i] = gate[i] / (1.0f + math_expf(-gate[i])) * up[i];
}

void math_rope(float *x, uint32_t heads, uint32_t head_size, const float *cos_sin)
{
    for (uint32_t h = 0; h < heads; h++) {
        float *head = x + (size_t)h * head_size;
        for (uint32_t i = 0; i < head_size; i += 2) {
            float a = head[i], b = head[i + 1], c = cos_sin[i], s = cos_sin[i + 1];
            head[i] = a * c - b * s;
            head[i + 1] = a * s + b * c;
        }
    }
}

void math_add(float *to, const float *from, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        to[i] += from[i];
}

void math_add_scaled(float *to, const float *from, float scale, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        to[i] += scale * from[i];
}

void math_rope_table(float *ret_cos_sin, uint32_t size, uint32_t position, double base)
{
    double log_base = math_log(base);
    for (uint32_t i = 0; i < size; i += 2) {
        double sin_a, cos_a;
        math_sincos((double)position * math_exp(-log_base * (double)i / (double)size), &sin_a, &cos_a);
        ret_cos_sin[i] = (float)cos_a;
        ret_cos_sin[i + 1] = (float)sin_a;
    }
}

float math_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
    if (exponent == 0) {
        float x = (float)fraction * 5.9604644775390625e-8f;  // 2^-24
        return sign ? -x : x;
    }
    if (exponent == 31)
        return float_of(sign | 0x7f800000u | fraction << 13);
    return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t math_float_to_half(float x)
{
    uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (rest >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u);
    if (rest < 0x38800000u) {
        /* Under the smallest normal half: adding 0.5 leaves the rounded fraction in the low bits. */
        float shifted = float_of(rest) + 0.5f;
        return (uint16_t)(sign | (bits_of(shifted) - 0x3f000000u));
    }
    rest += 0xfffu + (rest >> 13 & 1u);
    return (uint16_t)(sign | ((rest - 0x38000000u) >> 13));
}

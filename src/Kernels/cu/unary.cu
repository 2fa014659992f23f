// unary.cu: functions of one element, forward and backward.
// Method    each from its definition; sigmoid, softplus, tanh of softplus from e^-|x|, so that no argument overflows or cancels
// Shapes    x, y (n) T; backward: v is x or y as the line says, dy (n) T, dx (n) T; T in {f32, bf16}
// Launch    elementwise.cuh: one thread per 16 bytes, block 256
// Traffic   forward 2·n·sizeof(T) bytes, backward 3·n·sizeof(T) (4 where it adds), at most 40 flop per element: memory-bound
// Numerics  f32; expf, logf, erff, log1pf, expm1f as CUDA has them (at most 2 ulp); __fdividef (2 ulp) only where the divisor lies in [1, 5]
#include "elementwise.cuh"

__device__ __forceinline__ float sigmoid(float x)
{
    float decay = expf(-fabsf(x));
    return __fdividef(x < 0 ? decay : 1.0f, 1.0f + decay);
}

// NaN stays NaN.
__device__ __forceinline__ float positive(float x)
{
    return x <= 0 ? 0.0f : x;
}

__device__ __forceinline__ float softplus(float x)
{
    return positive(x) + log1pf(expf(-fabsf(x)));
}

// The derivative of x · sigmoid(x), s = sigmoid(x).
__device__ __forceinline__ float silu_slope(float x, float s)
{
    return s * fmaf(x, 1.0f - s, 1.0f);
}

// x/2 · (1 + tanh u) = x · sigmoid(2u), u = √(2/π) (x + 0.044715 x³): the argument of the sigmoid.
__device__ __forceinline__ float gelu_inner(float x)
{
    return 1.59576912160573071f * fmaf(0.044715f * x * x, x, x);
}

// s + x · s (1 - s) · (2u)'
__device__ __forceinline__ float gelu_tanh_slope(float x, float s)
{
    float inner = 1.59576912160573071f * fmaf(0.134145f * x, x, 1.0f);
    return fmaf(x * (s * (1.0f - s)), inner, s);
}

__device__ __forceinline__ float gelu_slope(float x)
{
    float density = 0.39894228040143268f * expf(-0.5f * x * x);
    return fmaf(x, density, 0.5f * (1.0f + erff(x * 0.70710678118654752f)));
}

// tanh(log(1 + e^x)) = ((1 + e^x)² - 1) / ((1 + e^x)² + 1), with d = e^-|x|.
__device__ __forceinline__ float tanh_softplus(float x)
{
    float d = expf(-fabsf(x)), twice = d + d;
    float top = x < 0 ? fmaf(d, d, twice) : 1.0f + twice;
    return __fdividef(top, x < 0 ? top + 2.0f : fmaf(twice, d, top));
}

__device__ __forceinline__ float mish_slope(float x)
{
    float t = tanh_softplus(x);
    return fmaf(x * fmaf(-t, t, 1.0f), sigmoid(x), t);
}

__device__ __forceinline__ float hard_swish_slope(float x)
{
    return x < -3 ? 0.0f : x < 3 ? (x + x + 3.0f) / 6.0f : 1.0f;
}

// fmaxf and fminf drop NaN; the factor x brings it back.
__device__ __forceinline__ float hard_swish(float x)
{
    return x * fminf(fmaxf(x + 3.0f, 0.0f), 6.0f) / 6.0f;
}

#define UNARY_OF(name, T, suffix, forward, backward)                                                                        \
    GRAFT_KERNEL name##_forward_##suffix(const T* from, T* y, i64 count, float p)                                           \
    {                                                                                                                       \
        map<Pack<T>::N>(count, false, [=](float x) { return forward; }, y, from);                                           \
    }                                                                                                                       \
    GRAFT_KERNEL name##_backward_##suffix(const T* from, const T* gradient, T* dx, i64 count, float p, int add)             \
    {                                                                                                                       \
        map<Pack<T>::N>(count, add, [=](float v, float dy) { return backward; }, dx, from, gradient);                       \
    }
#define UNARY(name, forward, backward) UNARY_OF(name, float, f32, forward, backward) UNARY_OF(name, bf16, bf16, forward, backward)

// p is the op's argument. v is x,
UNARY(abs, fabsf(x), v == 0 ? 0.0f : dy * copysignf(1.0f, v))
UNARY(square, x * x, dy * (v + v))
UNARY(log, logf(x), dy / v)
UNARY(erf, erff(x), dy * (1.12837916709551257f * expf(-(v * v))))
UNARY(silu, x * sigmoid(x), dy * silu_slope(v, sigmoid(v)))
UNARY(gelu, x * 0.5f * (1.0f + erff(x * 0.70710678118654752f)), dy * gelu_slope(v))
UNARY(gelu_tanh, x * sigmoid(gelu_inner(x)), dy * gelu_tanh_slope(v, sigmoid(gelu_inner(v))))
UNARY(quick_gelu, x * sigmoid(1.702f * x), dy * silu_slope(1.702f * v, sigmoid(1.702f * v)))
UNARY(relu, positive(x), v > 0 ? dy : 0.0f)
UNARY(relu_squared, positive(x) * positive(x), dy * (2.0f * positive(v)))
UNARY(leaky_relu, x > 0 ? x : p * x, v > 0 ? dy : p * dy)
UNARY(elu, x > 0 ? x : p * expm1f(x), v > 0 ? dy : p * expf(v) * dy)
UNARY(softplus, softplus(x), dy * sigmoid(v))
UNARY(log_sigmoid, -softplus(-x), dy * sigmoid(-v))
UNARY(mish, x * tanh_softplus(x), dy * mish_slope(v))
UNARY(hard_swish, hard_swish(x), dy * hard_swish_slope(v))
// v is y,
UNARY(exp, expf(x), dy * v)
UNARY(sqrt, sqrtf(x), dy * 0.5f / v)
UNARY(rsqrt, rsqrtf(x), dy * -0.5f * (v * v * v))
UNARY(tanh, tanhf(x), dy * fmaf(-v, v, 1.0f))
UNARY(sigmoid, sigmoid(x), dy * (v * (1.0f - v)))
// v is not looked at.
UNARY(scale, p * x, p * dy)
UNARY(add_scalar, x + p, dy)

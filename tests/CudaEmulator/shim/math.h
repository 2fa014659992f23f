// math.h: the mathematical functions of CUDA on the host's libm, declared by hand: host headers would bring names that NVRTC does not know.
#pragma once

#define EMU_LIBM1(name)                \
    extern "C" float name##f(float);   \
    extern "C" double name(double);    \
    EMU_BODY float name(float x)       \
    {                                  \
        return name##f(x);             \
    }
#define EMU_LIBM2(name)                      \
    extern "C" float name##f(float, float);  \
    extern "C" double name(double, double);  \
    EMU_BODY float name(float x, float y)    \
    {                                        \
        return name##f(x, y);                \
    }
EMU_LIBM1(exp)
EMU_LIBM1(exp2)
EMU_LIBM1(expm1)
EMU_LIBM1(log)
EMU_LIBM1(log2)
EMU_LIBM1(log10)
EMU_LIBM1(log1p)
EMU_LIBM1(sin)
EMU_LIBM1(cos)
EMU_LIBM1(tan)
EMU_LIBM1(asin)
EMU_LIBM1(acos)
EMU_LIBM1(atan)
EMU_LIBM1(sinh)
EMU_LIBM1(cosh)
EMU_LIBM1(tanh)
EMU_LIBM1(erf)
EMU_LIBM1(erfc)
EMU_LIBM1(cbrt)
EMU_LIBM1(sqrt)
EMU_LIBM1(floor)
EMU_LIBM1(ceil)
EMU_LIBM1(trunc)
EMU_LIBM1(round)
EMU_LIBM1(rint)
EMU_LIBM1(nearbyint)
EMU_LIBM1(fabs)
EMU_LIBM2(pow)
EMU_LIBM2(fmod)
EMU_LIBM2(fmin)
EMU_LIBM2(fmax)
EMU_LIBM2(hypot)
EMU_LIBM2(atan2)
EMU_LIBM2(copysign)
EMU_LIBM2(fdim)
extern "C" float fmaf(float, float, float);
extern "C" double fma(double, double, double);
extern "C" float ldexpf(float, int);
extern "C" double ldexp(double, int);
extern "C" long lrintf(float);
extern "C" void sincosf(float, float*, float*);
extern "C" void sincos(double, double*, double*);

EMU_BODY float fma(float a, float b, float c)
{
    return fmaf(a, b, c);
}

EMU_BODY float rsqrtf(float x)
{
    return 1.0f / sqrtf(x);
}

EMU_BODY double rsqrt(double x)
{
    return 1.0 / sqrt(x);
}

#define isnan(x) __builtin_isnan(x)
#define isinf(x) __builtin_isinf(x)
#define isfinite(x) __builtin_isfinite(x)
#define signbit(x) __builtin_signbit(x)

#define EMU_MIN_MAX(type)              \
    EMU_BODY type min(type a, type b)  \
    {                                  \
        return b < a ? b : a;          \
    }                                  \
    EMU_BODY type max(type a, type b)  \
    {                                  \
        return a < b ? b : a;          \
    }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)

EMU_BODY float min(float a, float b)
{
    return fminf(a, b);
}

EMU_BODY float max(float a, float b)
{
    return fmaxf(a, b);
}

EMU_BODY double min(double a, double b)
{
    return fmin(a, b);
}

EMU_BODY double max(double a, double b)
{
    return fmax(a, b);
}

EMU_BODY int abs(int x)
{
    return x < 0 ? -x : x;
}

EMU_BODY long long llabs(long long x)
{
    return x < 0 ? -x : x;
}

EMU_BODY float abs(float x)
{
    return fabsf(x);
}

EMU_BODY double abs(double x)
{
    return fabs(x);
}

// ---- named roundings and fast forms; glibc knows some of the names, so they are macros on ours -----------------------------------------------------------
#define EMU_RENAMED(name, parameters, expression) \
    EMU_BODY float emu_##name parameters          \
    {                                             \
        return expression;                        \
    }
EMU_RENAMED(fadd, (float a, float b), a + b)
EMU_RENAMED(fsub, (float a, float b), a - b)
EMU_RENAMED(fmul, (float a, float b), a* b)
EMU_RENAMED(fdiv, (float a, float b), a / b)
EMU_RENAMED(fma, (float a, float b, float c), fmaf(a, b, c))
EMU_RENAMED(rcp, (float x), 1.0f / x)
EMU_RENAMED(sqrt, (float x), sqrtf(x))
EMU_RENAMED(exp, (float x), expf(x))
EMU_RENAMED(exp10, (float x), powf(10.0f, x))
EMU_RENAMED(log, (float x), logf(x))
EMU_RENAMED(log2, (float x), log2f(x))
EMU_RENAMED(log10, (float x), log10f(x))
EMU_RENAMED(sin, (float x), sinf(x))
EMU_RENAMED(cos, (float x), cosf(x))
EMU_RENAMED(tan, (float x), tanf(x))
EMU_RENAMED(pow, (float x, float y), powf(x, y))
EMU_RENAMED(saturate, (float x), x > 0 ? (x < 1 ? x : 1.0f) : 0.0f)
#define __fadd_rn emu_fadd
#define __fsub_rn emu_fsub
#define __fmul_rn emu_fmul
#define __fdiv_rn emu_fdiv
#define __fmaf_rn emu_fma
#define __frcp_rn emu_rcp
#define __fsqrt_rn emu_sqrt
#define __frsqrt_rn rsqrtf
#define __fdividef emu_fdiv
#define __expf emu_exp
#define __exp10f emu_exp10
#define exp10f emu_exp10
#define __logf emu_log
#define __log2f emu_log2
#define __log10f emu_log10
#define __sinf emu_sin
#define __cosf emu_cos
#define __tanf emu_tan
#define __powf emu_pow
#define __saturatef emu_saturate

EMU_BODY int __float2int_rn(float x)
{
    return (int)rintf(x);
}

EMU_BODY int __float2int_rz(float x)
{
    return (int)x;
}

EMU_BODY int __float2int_rd(float x)
{
    return (int)floorf(x);
}

EMU_BODY int __float2int_ru(float x)
{
    return (int)ceilf(x);
}

EMU_BODY unsigned __float2uint_rn(float x)
{
    return (unsigned)rintf(x);
}

EMU_BODY unsigned __float2uint_rz(float x)
{
    return (unsigned)x;
}

EMU_BODY float __int2float_rn(int x)
{
    return (float)x;
}

EMU_BODY float __uint2float_rn(unsigned x)
{
    return (float)x;
}

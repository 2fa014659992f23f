// optimizer.cu: update rules on flat blocks of parameters, gradients and optimizer state.
// Method    AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2, with the variants of Graft.Training's AdamW; SGD with momentum as Graft.Training's Sgd;
//           stochastic rounding: a bf16 weight takes its f32 value's upper or lower neighbour with the probability that keeps the mean (Zamirai et al. 2020,
//           arXiv:2010.06192); bits are element i of the stream (key, step), as Graft.Runtime.Rng draws them
// Shapes    all blocks have n elements: parameters, gradients and state f32, copies of weights bf16
// Launch    4 elements a thread, block 256
// Traffic   an element: AdamW 28 bytes (4 reads, 3 writes), with a bf16 copy 30, without a master 24, with the largest v 8 more; SGD 12 or 20. About 15 flop an
//           element, 15 integer operations more for random bits: memory-bound
// Numerics  every operation is rounded by itself (no fused multiply-adds where the CPU has none), so that a step gives the CPU's bits
// Needs     16-byte packs where addresses allow, else one element at a time
#include "flat.cuh"

// ---- AdamW -------------------------------------------------------------------------------------------------------------------------------------------
struct AdamWConstants
{
    float before, after, penalty, sign, one_minus_beta1, beta2, one_minus_beta2, root2, epsilon, step_size;
};

__device__ __forceinline__ float adamw_element(float p, float g, float& m, float& v, float* largest, const AdamWConstants& c)
{
    g = __fadd_rn(__fmul_rn(g, c.sign), __fmul_rn(c.penalty, p));
    p = __fmul_rn(p, c.before);
    m = __fadd_rn(m, __fmul_rn(c.one_minus_beta1, __fsub_rn(g, m)));
    v = __fadd_rn(__fmul_rn(c.beta2, v), __fmul_rn(__fmul_rn(c.one_minus_beta2, g), g));
    float square = v;
    if (largest != 0)
    {
        *largest = fmaxf(*largest, v);
        square = *largest;
    }

    float denominator = __fadd_rn(__fdiv_rn(__fsqrt_rn(square), c.root2), c.epsilon);
    p = __fsub_rn(p, __fmul_rn(c.step_size, __fdiv_rn(m, denominator)));
    return __fadd_rn(p, __fmul_rn(c.after, p));
}

__device__ __forceinline__ bf16 round_stochastically(float x, u32 random)
{
    u32 bits = __float_as_uint(x);
    if ((bits & 0x7f800000u) == 0x7f800000u)
    {
        return from_f32<bf16>(x);
    }

    bf16 y;
    y.bits = (unsigned short)((bits + (random & 0xffffu)) >> 16);
    return y;
}

// P: the type of the parameters that are read and updated. `copy` takes them in bf16 where it is not null; `largest` is null without AMSGrad.
template <typename P, bool Stochastic>
__device__ __forceinline__ void adamw(P* parameter, bf16* copy, const float* gradient, float* m, float* v, float* largest, i64 n, const AdamWConstants& c, u64 key,
                                      u64 step)
{
    int count;
    i64 at = first_element(n, count);
    if (count == 0)
    {
        return;
    }

    bool whole = count == WIDTH && is_aligned_four(parameter) && is_aligned_four(copy) && is_aligned_four(gradient) && is_aligned_four(m) && is_aligned_four(v) &&
                 is_aligned_four(largest);
    Four<P> p = load_four(parameter + at, count, whole);
    Four<float> g = load_four(gradient + at, count, whole), mean = load_four(m + at, count, whole), square = load_four(v + at, count, whole), top = square;
    if (largest != 0)
    {
        top = load_four(largest + at, count, whole);
    }

    PhiloxWords random;
    if (Stochastic)
    {
        u64 block = (u64)at / 4;
        random = philox4x32((u32)block, (u32)(block >> 32), (u32)step, (u32)(step >> 32), (u32)key, (u32)(key >> 32));
    }

    Four<bf16> rounded;
#pragma unroll
    for (int i = 0; i < WIDTH; i++)
    {
        float x = adamw_element(to_f32(p.at[i]), g.at[i], mean.at[i], square.at[i], largest == 0 ? 0 : &top.at[i], c);
        if constexpr (Stochastic)
        {
            p.at[i] = round_stochastically(x, random.at[i]);
        }
        else
        {
            p.at[i] = from_f32<P>(x);
            rounded.at[i] = from_f32<bf16>(x);
        }
    }

    store_four(parameter + at, p, count, whole);
    store_four(m + at, mean, count, whole);
    store_four(v + at, square, count, whole);
    if (largest != 0)
    {
        store_four(largest + at, top, count, whole);
    }

    if constexpr (!Stochastic)
    {
        if (copy != 0)
        {
            store_four(copy + at, rounded, count, whole);
        }
    }
}

#define ADAMW_CONSTANTS                                                                                                                                        \
    float before, float after, float penalty, float sign, float one_minus_beta1, float beta2, float one_minus_beta2, float root2, float epsilon, float step_size
#define ADAMW_VALUES {before, after, penalty, sign, one_minus_beta1, beta2, one_minus_beta2, root2, epsilon, step_size}

GRAFT_KERNEL adamw_f32(float* parameter, const float* gradient, float* m, float* v, float* largest, i64 n, ADAMW_CONSTANTS)
{
    AdamWConstants c = ADAMW_VALUES;
    adamw<float, false>(parameter, 0, gradient, m, v, largest, n, c, 0, 0);
}

GRAFT_KERNEL adamw_bf16(float* master, bf16* copy, const float* gradient, float* m, float* v, float* largest, i64 n, ADAMW_CONSTANTS)
{
    AdamWConstants c = ADAMW_VALUES;
    adamw<float, false>(master, copy, gradient, m, v, largest, n, c, 0, 0);
}

GRAFT_KERNEL adamw_stochastic_bf16(bf16* parameter, const float* gradient, float* m, float* v, float* largest, i64 n, ADAMW_CONSTANTS, u64 key, u64 step)
{
    AdamWConstants c = ADAMW_VALUES;
    adamw<bf16, true>(parameter, 0, gradient, m, v, largest, n, c, key, step);
}

// ---- SGD ---------------------------------------------------------------------------------------------------------------------------------------------
struct SgdConstants
{
    float sign, penalty, momentum, fresh, ahead, learning_rate;
    int nesterov;
};

// `buffer` is null without momentum, `copy` where no bf16 copy is kept.
__device__ __forceinline__ void sgd(float* parameter, bf16* copy, const float* gradient, float* buffer, i64 n, const SgdConstants& c)
{
    int count;
    i64 at = first_element(n, count);
    if (count == 0)
    {
        return;
    }

    bool whole = count == WIDTH && is_aligned_four(parameter) && is_aligned_four(copy) && is_aligned_four(gradient) && is_aligned_four(buffer);
    Four<float> p = load_four(parameter + at, count, whole), g = load_four(gradient + at, count, whole), b = g;
    if (buffer != 0)
    {
        b = load_four(buffer + at, count, whole);
    }

    Four<bf16> rounded;
#pragma unroll
    for (int i = 0; i < WIDTH; i++)
    {
        float x = __fadd_rn(__fmul_rn(g.at[i], c.sign), __fmul_rn(c.penalty, p.at[i]));
        if (buffer != 0)
        {
            b.at[i] = __fadd_rn(__fmul_rn(c.momentum, b.at[i]), __fmul_rn(c.fresh, x));
            x = c.nesterov ? __fadd_rn(x, __fmul_rn(c.ahead, b.at[i])) : b.at[i];
        }

        p.at[i] = __fsub_rn(p.at[i], __fmul_rn(c.learning_rate, x));
        rounded.at[i] = from_f32<bf16>(p.at[i]);
    }

    store_four(parameter + at, p, count, whole);
    if (buffer != 0)
    {
        store_four(buffer + at, b, count, whole);
    }

    if (copy != 0)
    {
        store_four(copy + at, rounded, count, whole);
    }
}

GRAFT_KERNEL sgd_f32(float* parameter, const float* gradient, float* buffer, i64 n, float sign, float penalty, float momentum, float fresh, float ahead,
                     float learning_rate, int nesterov)
{
    SgdConstants c = {sign, penalty, momentum, fresh, ahead, learning_rate, nesterov};
    sgd(parameter, 0, gradient, buffer, n, c);
}

GRAFT_KERNEL sgd_bf16(float* master, bf16* copy, const float* gradient, float* buffer, i64 n, float sign, float penalty, float momentum, float fresh, float ahead,
                      float learning_rate, int nesterov)
{
    SgdConstants c = {sign, penalty, momentum, fresh, ahead, learning_rate, nesterov};
    sgd(master, copy, gradient, buffer, n, c);
}

// elementwise.cu: what is done with elements beside arithmetic: sums into a gradient, conversions, constants, choices by mask, dropout.
// Shapes    all (n); a mask (period) u8 that repeats
// Launch    elementwise.cuh: one thread per group of 4 or 8 elements, block 256
// Traffic   each operand once, at most 4 flop per element but for dropout: memory-bound. Dropout: 100 integer operations per 4 elements, in bf16 close to the
//           limit of both
// Numerics  sums in f32, rounded once; conversions round to nearest, ties to even, and keep NaN. Dropout draws the numbers of Graft.Runtime.Rng
// Needs     groups aligned in all operands, else element by element
#include "elementwise.cuh"

// ---- target += source -----------------------------------------------------------------------------------------------------------------------------
// ---- target = source ------------------------------------------------------------------------------------------------------------------------------
#define PAIR(source, from, target, into, n)                                                                    \
    GRAFT_KERNEL add_##from##_into_##into(const source* x, target* y, i64 count)                               \
    {                                                                                                          \
        map<n>(count, true, [](float v) { return v; }, y, x);                                                  \
    }                                                                                                          \
    GRAFT_KERNEL cast_##from##_to_##into(const source* x, target* y, i64 count)                                \
    {                                                                                                          \
        map<n>(count, false, [](float v) { return v; }, y, x);                                                 \
    }
PAIR(float, f32, float, f32, 4)
PAIR(float, f32, bf16, bf16, 4)
PAIR(float, f32, f16, f16, 4)
PAIR(bf16, bf16, float, f32, 4)
PAIR(bf16, bf16, bf16, bf16, 8)
PAIR(bf16, bf16, f16, f16, 8)
PAIR(f16, f16, float, f32, 4)
PAIR(f16, f16, bf16, bf16, 8)
PAIR(f16, f16, f16, f16, 8)

#define FILL(T, suffix)                                                                                        \
    GRAFT_KERNEL fill_##suffix(T* y, i64 count, float value)                                                   \
    {                                                                                                          \
        map<Pack<T>::N>(count, false, [=]() { return value; }, y);                                             \
    }
FILL(float, f32)
FILL(bf16, bf16)
FILL(f16, f16)

// ---- y = mask[i mod period] ? a : b, each a tensor or, where that is null, the constant ---------------------------------------------------------------
template <int N, typename T>
__device__ __forceinline__ void choose_group(const unsigned char* mask, const T* a, const T* b, float constant, T* y, bool add)
{
    Group<unsigned char, N> chosen = load_group<N>(mask);
    Group<T, N> whole_a, whole_b;
    if (a != nullptr)
    {
        whole_a = load_group<N>(a);
    }

    if (b != nullptr)
    {
        whole_b = load_group<N>(b);
    }

    Group<float, N> value;
#pragma unroll
    for (int k = 0; k < N; k++)
    {
        float if_true = a != nullptr ? to_f32(whole_a.at[k]) : constant, if_false = b != nullptr ? to_f32(whole_b.at[k]) : constant;
        value.at[k] = chosen.at[k] != 0 ? if_true : if_false;
    }

    map_group<N>([](float v) { return v; }, add, y, value);
}

template <typename T>
__device__ __forceinline__ void choose(const unsigned char* mask, i64 period, const T* a, const T* b, float constant, T* y, i64 count, bool add)
{
    i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x, at;
    bool whole = period % 4 == 0 && is_aligned<4>(mask) && is_aligned<4>(y) && is_aligned<4>(a) && is_aligned<4>(b);
    i64 groups = whole ? count / 4 : 0;
#pragma unroll 1
    for (i64 g = thread; g < groups; g += threads)
    {
        i64 i = g * 4;
        (void)divide(i, period, at);
        choose_group<4>(mask + at, a != nullptr ? a + i : a, b != nullptr ? b + i : b, constant, y + i, add);
    }

#pragma unroll 1
    for (i64 i = groups * 4 + thread; i < count; i += threads)
    {
        (void)divide(i, period, at);
        choose_group<1>(mask + at, a != nullptr ? a + i : a, b != nullptr ? b + i : b, constant, y + i, add);
    }
}

#define CHOOSE(T, suffix)                                                                                                                              \
    GRAFT_KERNEL choose_##suffix(const unsigned char* mask, i64 period, const T* a, const T* b, float constant, T* y, i64 count, int add)              \
    {                                                                                                                                                  \
        choose(mask, period, a, b, constant, y, count, add != 0);                                                                                      \
    }
CHOOSE(float, f32)
CHOOSE(bf16, bf16)

// ---- dropout ------------------------------------------------------------------------------------------------------------------------------------------
// y[i] = u >= p ? x[i] · scale : 0, u being the uniform number of the stream's element first + i. A thread draws one Philox block, four elements of the stream.
template <typename T>
__device__ __forceinline__ void dropout(const T* x, T* y, i64 count, i64 first, float p, float scale, u64 key, u64 step, bool add)
{
    i64 threads = (i64)gridDim.x * blockDim.x, begin = first >> 2, end = (first + count + 3) >> 2;
    bool whole = first % 4 == 0 && is_aligned<4>(x) && is_aligned<4>(y);
#pragma unroll 1
    for (i64 block = begin + (i64)blockIdx.x * blockDim.x + threadIdx.x; block < end; block += threads)
    {
        PhiloxWords words = philox4x32((u32)block, (u32)((u64)block >> 32), (u32)step, (u32)(step >> 32), (u32)key, (u32)(key >> 32));
        Group<float, 4> kept;
#pragma unroll
        for (int k = 0; k < 4; k++)
        {
            kept.at[k] = (float)(words.at[k] >> 8) * (1.0f / 16777216.0f) < p ? 0.0f : 1.0f;
        }

        i64 i = block * 4 - first;
        auto drop = [=](float v, float keep) { return keep != 0 ? v * scale : 0.0f; };
        if (whole && i + 4 <= count)
        {
            map_group<4>(drop, add, y + i, load_group<4>(x + i), kept);
        }
        else
        {
#pragma unroll
            for (int k = 0; k < 4; k++)
            {
                if (i + k >= 0 && i + k < count)
                {
                    Group<float, 1> one = {{kept.at[k]}};
                    map_group<1>(drop, add, y + i + k, load_group<1>(x + i + k), one);
                }
            }
        }
    }
}

#define DROPOUT(T, suffix)                                                                                                                             \
    GRAFT_KERNEL dropout_##suffix(const T* x, T* y, i64 count, i64 first, float p, float scale, u64 key, u64 step, int add)                            \
    {                                                                                                                                                  \
        dropout(x, y, count, first, p, scale, key, step, add != 0);                                                                                    \
    }
DROPOUT(float, f32)
DROPOUT(bf16, bf16)

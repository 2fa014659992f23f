// elementwise.cuh: the driver of everything that is one function per element, and division of indices.
// Launch    one thread per group of N elements; fewer threads are right too, they loop
// Traffic   each element is read and written once, 16 bytes per thread and operand where N fills a pack: 2,048 threads of a multiprocessor keep 32 KiB
//           under way per operand, while 4.8 TB/s at 800 ns over 132 of them needs 29 KiB
// Numerics  functions see f32; a 16-bit result is rounded once. With `add`, the old value is added in f32 before that
// Needs     groups where all operands are aligned to N elements, else element by element; the same for every thread of a launch
#pragma once
#include "common.cuh"

// N neighbours in registers.
template <typename T, int N>
struct alignas(N * sizeof(T)) Group
{
    T at[N];
};

template <int N, typename T>
__device__ __forceinline__ bool is_aligned(const T* p)
{
    return ((u64)p & ((N * sizeof(T) < 16 ? N * sizeof(T) : 16) - 1)) == 0;
}

// Loads and stores of the widest words that fit.
template <int N, typename T>
__device__ __forceinline__ void copy_group(T* to, const T* from)
{
    if constexpr (N * sizeof(T) % 16 == 0)
    {
#pragma unroll
        for (int i = 0; i < (int)(N * sizeof(T) / 16); i++)
        {
            ((uint4*)to)[i] = ((const uint4*)from)[i];
        }
    }
    else if constexpr (N * sizeof(T) == 8)
    {
        *(uint2*)to = *(const uint2*)from;
    }
    else if constexpr (N * sizeof(T) == 4)
    {
        *(u32*)to = *(const u32*)from;
    }
    else
    {
#pragma unroll
        for (int i = 0; i < N; i++)
        {
            to[i] = from[i];
        }
    }
}

template <int N, typename T>
__device__ __forceinline__ Group<T, N> load_group(const T* p)
{
    Group<T, N> group;
    copy_group<N>(group.at, p);
    return group;
}

template <int N, typename T>
__device__ __forceinline__ void store_group(T* p, const Group<T, N>& group)
{
    copy_group<N>(p, group.at);
}

// y[k] = f(x[k]...), or y[k] += f(x[k]...), for one group.
template <int N, typename F, typename Y, typename... X>
__device__ __forceinline__ void map_group(F f, bool add, Y* y, const Group<X, N>&... x)
{
    Group<Y, N> result;
    if (add)
    {
        result = load_group<N>(y);
    }

#pragma unroll
    for (int k = 0; k < N; k++)
    {
        float value = f(to_f32(x.at[k])...);
        result.at[k] = from_f32<Y>(add ? to_f32(result.at[k]) + value : value);
    }

    store_group<N>(y, result);
}

// y[i] = f(x[i]...), or y[i] += f(x[i]...), for all i.
template <int N, typename F, typename Y, typename... X>
__device__ __forceinline__ void map(i64 count, bool add, F f, Y* y, const X*... x)
{
    i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    bool aligned = is_aligned<N>(y) && (is_aligned<N>(x) && ... && true);
    i64 groups = aligned ? count / N : 0;
#pragma unroll 1
    for (i64 g = thread; g < groups; g += threads)
    {
        map_group<N>(f, add, y + g * N, load_group<N>(x + g * N)...);
    }

#pragma unroll 1
    for (i64 i = groups * N + thread; i < count; i += threads) // what the groups leave, or everything
    {
        map_group<1>(f, add, y + i, load_group<1>(x + i)...);
    }
}

// x / by and its rest, for numbers that are not negative; by 32-bit division where it can be.
__device__ __forceinline__ i64 divide(i64 x, i64 by, i64& rest)
{
    if ((u64)(x | by) >> 32 == 0)
    {
        u32 quotient = (u32)x / (u32)by;
        rest = (u32)x - quotient * (u32)by;
        return quotient;
    }

    i64 quotient = x / by;
    rest = x - quotient * by;
    return quotient;
}

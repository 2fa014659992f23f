// rows.cuh: what kernels over rows share: which threads own a row, which elements of it each thread holds, and sums over the owners.
// Owners    a row belongs to one warp (short rows, several warps in a block) or to one block (long rows); the launch says which by `by_warp`
// Elements  thread r of s owns packs r, r + s, r + 2s, ... of 16 bytes; the first K stay in registers, those behind are read again from the caches
// Width     kernels are written for W elements at a time: a pack, or 1 where rows are not whole packs or not aligned. Either way the same elements belong to
//           the same thread in the same order, so a view gives the bits of its copy; with W = 1 a thread walks through its packs, which are read into L1
//           once.
// Needs     rows of less than 2^31 - 2^14 elements
#pragma once
#include "common.cuh"

template <int N>
struct Floats
{
    float at[N];
};

// W neighbours in registers: a pack, or one element.
template <typename T, int W>
struct Elements : Pack<T>
{
    __device__ __forceinline__ void load(const T* p)
    {
        *reinterpret_cast<uint4*>(this) = *reinterpret_cast<const uint4*>(p);
    }

    __device__ __forceinline__ void store(T* p) const
    {
        *reinterpret_cast<uint4*>(p) = *reinterpret_cast<const uint4*>(this);
    }
};

template <typename T>
struct Elements<T, 1>
{
    T at[1];

    __device__ __forceinline__ void load(const T* p)
    {
        at[0] = *p;
    }

    __device__ __forceinline__ void store(T* p) const
    {
        *p = at[0];
    }
};

// A row and the calling thread's place among its owners.
struct RowGroup
{
    i64 row;
    int rank;
    int size;
    bool by_warp;
};

__device__ __forceinline__ RowGroup row_group(int by_warp)
{
    RowGroup g;
    g.by_warp = by_warp != 0;
    g.rank = g.by_warp ? (int)(threadIdx.x & 31) : (int)threadIdx.x;
    g.size = g.by_warp ? 32 : (int)blockDim.x;
    g.row = g.by_warp ? (i64)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5) : (i64)blockIdx.x;
    return g;
}

// Over the owners of a row, the same bits in each. `shared` holds 32 floats; a row owned by a warp needs none and passes no barrier.
__device__ __forceinline__ float row_sum(const RowGroup& g, float x, float* shared)
{
    return g.by_warp ? warp_sum(x) : block_sum(x, shared);
}

__device__ __forceinline__ float row_max(const RowGroup& g, float x, float* shared)
{
    return g.by_warp ? warp_max(x) : block_max(x, shared);
}

// Calls f(k, i) for the thread's elements in order, W from i on: k < K is the slot of registers that keeps them, K the scratch slot of those that are not
// kept.
// k is a constant once this is inlined, so arrays of K + 1 slots stay in registers: the first walk fills all slots, later ones fill slot K again.
template <int K, int N, int W, typename F>
__device__ __forceinline__ void each_elements(const RowGroup& g, int length, F f)
{
    if (W == 1)
    {
        for (int i = g.rank * N; i < length; i += g.size * N)
        {
            int end = min(i + N, length);
#pragma unroll 1
            for (int e = i; e < end; e++)
            {
                f(K, e);
            }
        }
    }
    else
    {
#pragma unroll
        for (int k = 0; k < K; k++)
        {
            int i = (k * g.size + g.rank) * N;
            if (i < length)
            {
                f(k, i);
            }
        }

#pragma unroll 1
        for (int i = (K * g.size + g.rank) * N; i < length; i += g.size * N)
        {
            f(K, i);
        }
    }
}

// e^x: of f32 to the last place; of bf16 rows by the hardware's 2^x, whose error of a few 1e-7 vanishes in the rounding of the result.
template <typename T>
__device__ __forceinline__ float row_exp(float x)
{
    return sizeof(T) == 4 ? expf(x) : exp2_approx(x * 1.44269504f);
}

// log of a sum of exponentials while its terms arrive: the largest so far and the sum relative to it. Infinities are not subtracted from each other.
struct OnlineSum
{
    float max;
    float sum;
};

__device__ __forceinline__ float finite_or_zero(float max)
{
    return fabsf(max) == GRAFT_INFINITY ? 0.0f : max;
}

template <typename T, int N>
__device__ __forceinline__ void online_add(OnlineSum& s, const Floats<N>& x)
{
    float max = x.at[0];
#pragma unroll
    for (int j = 1; j < N; j++)
    {
        max = fmaxf(max, x.at[j]);
    }

    if (max > s.max)
    {
        s.sum = s.sum == 0.0f ? 0.0f : s.sum * row_exp<T>(finite_or_zero(s.max) - finite_or_zero(max));
        s.max = max;
    }

    float shift = finite_or_zero(s.max);
#pragma unroll
    for (int j = 0; j < N; j++)
    {
        s.sum += row_exp<T>(x.at[j] - shift);
    }
}

// The same of all owners of a row: max and sum relative to finite_or_zero(max), so that the logarithm is finite_or_zero(max) + log(sum).
template <typename T>
__device__ __forceinline__ OnlineSum online_join(const RowGroup& g, OnlineSum s, float* shared)
{
    OnlineSum all;
    all.max = row_max(g, s.max, shared);
    all.sum = row_sum(g, s.sum == 0.0f ? 0.0f : s.sum * row_exp<T>(finite_or_zero(s.max) - finite_or_zero(all.max)), shared);
    return all;
}

// A pack as floats, for walks that keep nothing; elements behind the end of the row are `fill`.
template <typename T>
__device__ __forceinline__ Floats<Pack<T>::N> load_floats(const T* row, int i, int length, bool vector, float fill)
{
    Floats<Pack<T>::N> y;
    if (vector)
    {
        Pack<T> x = load_pack(row + i);
#pragma unroll
        for (int j = 0; j < Pack<T>::N; j++)
        {
            y.at[j] = to_f32(x.at[j]);
        }
    }
    else
    {
#pragma unroll
        for (int j = 0; j < Pack<T>::N; j++)
        {
            y.at[j] = fill;
            if (i + j < length)
            {
                y.at[j] = to_f32(row[i + j]);
            }
        }
    }

    return y;
}

// A gradient that is written, or added to what is there.
template <typename T, int W>
__device__ __forceinline__ void store_gradient(T* dx, const Floats<W>& x, int accumulate)
{
    Elements<T, W> y;
    if (accumulate)
    {
        y.load(dx);
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            y.at[j] = from_f32<T>(to_f32(y.at[j]) + x.at[j]);
        }
    }
    else
    {
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            y.at[j] = from_f32<T>(x.at[j]);
        }
    }

    y.store(dx);
}

// W neighbours of a vector whose type is known at run time.
template <int W>
__device__ __forceinline__ Floats<W> load_weights(const void* w, int dtype, int i)
{
    Floats<W> y;
    if (W == 1)
    {
        y.at[0] = load_as_f32(w, dtype, i);
    }
    else if (dtype == DTYPE_F32)
    {
#pragma unroll
        for (int j = 0; j + 3 < W; j += 4)
        {
            float4 q = *reinterpret_cast<const float4*>((const float*)w + i + j);
            y.at[j] = q.x;
            y.at[j + 1] = q.y;
            y.at[j + 2] = q.z;
            y.at[j + 3] = q.w;
        }
    }
    else
    {
#pragma unroll
        for (int j = 0; j + 3 < W; j += 4)
        {
            uint2 q = *reinterpret_cast<const uint2*>((const unsigned short*)w + i + j);
            bool brain = dtype == DTYPE_BF16;
            y.at[j] = brain ? __uint_as_float(q.x << 16) : f16_bits_to_f32((unsigned short)q.x);
            y.at[j + 1] = brain ? __uint_as_float(q.x & 0xffff0000u) : f16_bits_to_f32((unsigned short)(q.x >> 16));
            y.at[j + 2] = brain ? __uint_as_float(q.y << 16) : f16_bits_to_f32((unsigned short)q.y);
            y.at[j + 3] = brain ? __uint_as_float(q.y & 0xffff0000u) : f16_bits_to_f32((unsigned short)(q.y >> 16));
        }
    }

    return y;
}

// One result whose type is known at run time: f32, bf16 or f16.
__device__ __forceinline__ void store_as(void* y, int dtype, i64 i, float value, int accumulate)
{
    if (accumulate)
    {
        value += load_as_f32(y, dtype, i);
    }

    if (dtype == DTYPE_F32)
    {
        ((float*)y)[i] = value;
    }
    else if (dtype == DTYPE_BF16)
    {
        ((bf16*)y)[i] = from_f32<bf16>(value);
    }
    else
    {
        ((f16*)y)[i] = from_f32<f16>(value);
    }
}

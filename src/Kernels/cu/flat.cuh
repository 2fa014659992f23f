// flat.cuh: flat blocks of n elements, four to a thread.
// Needs     16-byte packs where addresses allow, else one element at a time
#pragma once
#include "common.cuh"

static const int WIDTH = 4;

// A thread has a Four; `count` of its elements exist, and all go in one load or store where the block allows.
template <typename T>
__device__ __forceinline__ bool is_aligned_four(const T* p)
{
    return ((u64)p & (sizeof(Four<T>) - 1)) == 0; // null is
}

template <typename T>
__device__ __forceinline__ Four<T> load_four(const T* p, int count, bool whole)
{
    Four<T> x;
    if (whole)
    {
        x = *reinterpret_cast<const Four<T>*>(p);
    }
    else
    {
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
        {
            x.at[i] = i < count ? p[i] : from_f32<T>(0.0f);
        }
    }

    return x;
}

template <typename T>
__device__ __forceinline__ void store_four(T* p, const Four<T>& x, int count, bool whole)
{
    if (whole)
    {
        *reinterpret_cast<Four<T>*>(p) = x;
    }
    else
    {
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
        {
            if (i < count)
            {
                p[i] = x.at[i];
            }
        }
    }
}

// The thread's first element, and how many it has; 0 beyond the end.
__device__ __forceinline__ i64 first_element(i64 n, int& count)
{
    i64 start = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    count = start >= n ? 0 : n - start < WIDTH ? (int)(n - start) : WIDTH;
    return start;
}

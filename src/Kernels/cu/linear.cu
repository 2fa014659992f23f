// linear.cu: a matrix product whose summed axis has no elements, or whose bias cuBLASLt cannot add: c = (accumulate ? c : 0) + bias.
// Shapes    c (M, N) T, bias (N) T or null; T in {f32, bf16}
// Launch    one thread per element, block 256
// Traffic   at most 2·M·N·sizeof(T) bytes; rare, and small beside the product
// Numerics  one addition in f32, rounded once
#include "common.cuh"

template <typename T>
__device__ void fill(T* c, const T* bias, i64 count, int columns, int accumulate)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
    {
        float y = accumulate ? to_f32(c[i]) : 0.0f;
        c[i] = from_f32<T>(bias == 0 ? y : y + to_f32(bias[i % columns]));
    }
}

#define LINEAR_FILL(T, suffix)                                                                             \
    GRAFT_KERNEL linear_fill_##suffix(T* c, const T* bias, i64 count, int columns, int accumulate)        \
    {                                                                                                      \
        fill<T>(c, bias, count, columns, accumulate);                                                      \
    }
LINEAR_FILL(float, f32)
LINEAR_FILL(bf16, bf16)

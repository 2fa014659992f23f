// rotary.cu: rotary position embedding in the half-split layout, and its inverse, which is the backward.
// Method    Su et al. 2021, arXiv:2104.09864: pairs (j, j + R/2) of the first R numbers of each head are rotated by the angle of the token's position
// Shapes    x, y (tokens, H, D) T; cos, sin (P, R/2) f32; positions (period) i32, repeated over the tokens; T in {f32, bf16}
// Launch    one block per token, block 32 to 256 by the width; threads walk over pairs of groups
// Traffic   2·tokens·H·D·sizeof(T) bytes, 3 flop per element: memory-bound; a token's cosines and sines are read from memory once and serve all heads
// Numerics  f32, rounded once
// Needs     16-byte groups where R/2 and D are whole groups and x, y, cos, sin are aligned, else element by element
//           A position outside the table sets *error and takes the table's first row
#include "elementwise.cuh"

template <int N, typename T>
__device__ __forceinline__ void rotate(const T* x, const float* cos, const float* sin, T* y, int heads, int size, int half, float sign, bool add)
{
    int per_head = half / N;
    for (int i = threadIdx.x; i < heads * per_head; i += blockDim.x)
    {
        int head = i / per_head, j = (i - head * per_head) * N;
        i64 at = (i64)head * size + j;
        Group<T, N> a = load_group<N>(x + at), b = load_group<N>(x + at + half);
        Group<float, N> c = load_group<N>(cos + j), s = load_group<N>(sin + j);
        map_group<N>([=](float p, float q, float u, float v) { return p * u - q * (v * sign); }, add, y + at, a, b, c, s);
        map_group<N>([=](float p, float q, float u, float v) { return q * u + p * (v * sign); }, add, y + at + half, a, b, c, s);
    }

    int rest = size - 2 * half;
    for (int i = threadIdx.x; i < heads * rest; i += blockDim.x)
    {
        int head = i / rest;
        i64 at = (i64)head * size + 2 * half + (i - head * rest);
        map_group<1>([](float v) { return v; }, add, y + at, load_group<1>(x + at));
    }
}

template <typename T>
__device__ __forceinline__ void rotary(const T* x, const float* cos, const float* sin, const int* positions, int period, int rows, T* y, int heads, int size, int half,
                                       float sign, bool add, int* error)
{
    constexpr int N = Pack<T>::N;
    i64 token = blockIdx.x;
    int position = positions[token % period];
    if ((u32)position >= (u32)rows)
    {
        *error = 3; // DeviceFault.RotaryPosition
        position = 0;
    }

    if (rows == 0)
    {
        return;
    }

    i64 at = token * heads * size, row = (i64)position * half;
    bool whole = half % N == 0 && size % N == 0 && is_aligned<N>(x) && is_aligned<N>(y) && is_aligned<N>(cos) && is_aligned<N>(sin);
    if (whole)
    {
        rotate<N>(x + at, cos + row, sin + row, y + at, heads, size, half, sign, add);
    }
    else
    {
        rotate<1>(x + at, cos + row, sin + row, y + at, heads, size, half, sign, add);
    }
}

#define ROTARY(T, suffix)                                                                                                                              \
    GRAFT_KERNEL rotary_##suffix(const T* x, const float* cos, const float* sin, const int* positions, int period, int rows, T* y, int heads, int size, \
                                 int half, float sign, int add, int* error)                                                                            \
    {                                                                                                                                                  \
        rotary(x, cos, sin, positions, period, rows, y, heads, size, half, sign, add != 0, error);                                                     \
    }
ROTARY(float, f32)
ROTARY(bf16, bf16)

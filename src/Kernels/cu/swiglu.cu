// swiglu.cu: y = silu(gate) · up, forward and backward.
// Method    Shazeer 2020, arXiv:2002.05202; silu(x) = x · sigmoid(x), the sigmoid from e^-|x|
// Shapes    gate, up, y, dy, dgate, dup (n) T; T in {f32, bf16}
// Launch    elementwise.cuh: one thread per 16 bytes, block 256
// Traffic   forward 3·n·sizeof(T) bytes, 12 flop per element; backward 5·n·sizeof(T), 20 flop: memory-bound. One pass gives both gradients
// Numerics  f32, results rounded once
#include "elementwise.cuh"

__device__ __forceinline__ float sigmoid(float x)
{
    float decay = expf(-fabsf(x));
    return __fdividef(x < 0 ? decay : 1.0f, 1.0f + decay);
}

__device__ __forceinline__ float silu_slope(float x, float s)
{
    return s * fmaf(x, 1.0f - s, 1.0f);
}

template <int N, typename T>
__device__ __forceinline__ void swiglu_backward_group(const T* gate, const T* up, const T* dy, T* dgate, T* dup, bool add_gate, bool add_up)
{
    Group<T, N> g = load_group<N>(gate), d = load_group<N>(dy);
    map_group<N>([](float x, float u, float v) { return v * u * silu_slope(x, sigmoid(x)); }, add_gate, dgate, g, load_group<N>(up), d);
    map_group<N>([](float x, float v) { return v * (x * sigmoid(x)); }, add_up, dup, g, d);
}

template <typename T>
__device__ __forceinline__ void swiglu_backward(const T* gate, const T* up, const T* dy, T* dgate, T* dup, i64 count, bool add_gate, bool add_up)
{
    constexpr int N = Pack<T>::N;
    i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    bool aligned = is_aligned<N>(gate) && is_aligned<N>(up) && is_aligned<N>(dy) && is_aligned<N>(dgate) && is_aligned<N>(dup);
    i64 groups = aligned ? count / N : 0;
#pragma unroll 1
    for (i64 i = thread * N; i < groups * N; i += threads * N)
    {
        swiglu_backward_group<N>(gate + i, up + i, dy + i, dgate + i, dup + i, add_gate, add_up);
    }

#pragma unroll 1
    for (i64 i = groups * N + thread; i < count; i += threads)
    {
        swiglu_backward_group<1>(gate + i, up + i, dy + i, dgate + i, dup + i, add_gate, add_up);
    }
}

#define SWIGLU(T, suffix)                                                                                                                              \
    GRAFT_KERNEL swiglu_forward_##suffix(const T* gate, const T* up, T* y, i64 count)                                                                  \
    {                                                                                                                                                  \
        map<Pack<T>::N>(count, false, [](float x, float u) { return x * sigmoid(x) * u; }, y, gate, up);                                               \
    }                                                                                                                                                  \
    GRAFT_KERNEL swiglu_backward_##suffix(const T* gate, const T* up, const T* dy, T* dgate, T* dup, i64 count, int add_gate, int add_up)              \
    {                                                                                                                                                  \
        swiglu_backward(gate, up, dy, dgate, dup, count, add_gate != 0, add_up != 0);                                                                  \
    }                                                                                                                                                  \
    GRAFT_KERNEL swiglu_backward_gate_##suffix(const T* gate, const T* up, const T* dy, T* dgate, i64 count, int add)                                  \
    {                                                                                                                                                  \
        map<Pack<T>::N>(count, add != 0, [](float x, float u, float v) { return v * u * silu_slope(x, sigmoid(x)); }, dgate, gate, up, dy);            \
    }                                                                                                                                                  \
    GRAFT_KERNEL swiglu_backward_up_##suffix(const T* gate, const T* dy, T* dup, i64 count, int add)                                                   \
    {                                                                                                                                                  \
        map<Pack<T>::N>(count, add != 0, [](float x, float v) { return v * (x * sigmoid(x)); }, dup, gate, dy);                                        \
    }
SWIGLU(float, f32)
SWIGLU(bf16, bf16)

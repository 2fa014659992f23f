// binary.cu: functions of two elements, operands repeated along axes as in NumPy.
// Shapes    x, y T spread over z T; T in {f32, bf16}. The host joins axes that walk through memory in step: equal shapes have one, (rows, columns) with (columns) two
// Launch    elementwise.cuh: one thread per 16 bytes of z, block 256
// Traffic   z and each operand once (a repeated one from cache), 1 flop per element: memory-bound; a division or two per 16 bytes for each outer axis
// Numerics  f32, rounded once; division by IEEE 754
// Needs     16-byte groups where the innermost axis is whole groups long and what moves along it is aligned, else element by element
#include "elementwise.cuh"

// The axes around the innermost, padded with ones in front: lengths, and how far each operand moves.
struct Outer
{
    i64 length[5];
    i64 x[5];
    i64 y[5];
};

template <int N, typename F, typename T>
__device__ __forceinline__ void broadcast_groups(F f, const T* x, const T* y, T* z, i64 rows, i64 inner, int x_step, int y_step, const Outer& outer)
{
    i64 per_row = inner / N, groups = rows * per_row, threads = (i64)gridDim.x * blockDim.x;
#pragma unroll 1
    for (i64 g = (i64)blockIdx.x * blockDim.x + threadIdx.x; g < groups; g += threads)
    {
        i64 at, x_at = 0, y_at = 0, index, rest = divide(g, per_row, at);
#pragma unroll
        for (int k = 4; k >= 0; k--)
        {
            if (outer.length[k] > 1)
            {
                rest = divide(rest, outer.length[k], index);
                x_at += index * outer.x[k];
                y_at += index * outer.y[k];
            }
        }

        Group<T, N> a, b, result;
        if (x_step != 0)
        {
            a = load_group<N>(x + x_at + at * N);
        }

        if (y_step != 0)
        {
            b = load_group<N>(y + y_at + at * N);
        }

        float x_same = x_step == 0 ? to_f32(x[x_at]) : 0.0f, y_same = y_step == 0 ? to_f32(y[y_at]) : 0.0f;
#pragma unroll
        for (int k = 0; k < N; k++)
        {
            result.at[k] = from_f32<T>(f(x_step != 0 ? to_f32(a.at[k]) : x_same, y_step != 0 ? to_f32(b.at[k]) : y_same));
        }

        store_group<N>(z + g * N, result);
    }
}

template <typename F, typename T>
__device__ __forceinline__ void broadcast(F f, const T* x, const T* y, T* z, i64 rows, i64 inner, int x_step, int y_step, const Outer& outer)
{
    constexpr int N = Pack<T>::N;
    bool whole = inner % N == 0 && is_aligned<N>(z) && (x_step == 0 || is_aligned<N>(x)) && (y_step == 0 || is_aligned<N>(y));
    if (whole)
    {
        broadcast_groups<N>(f, x, y, z, rows, inner, x_step, y_step, outer);
    }
    else
    {
        broadcast_groups<1>(f, x, y, z, rows, inner, x_step, y_step, outer);
    }
}

#define OUTER_AXES                                                                                                                                 \
    i64 n0, i64 n1, i64 n2, i64 n3, i64 n4, i64 x0, i64 x1, i64 x2, i64 x3, i64 x4, i64 y0, i64 y1, i64 y2, i64 y3, i64 y4
#define BINARY_OF(name, T, suffix, value)                                                                                                          \
    GRAFT_KERNEL name##_##suffix(const T* x, const T* y, T* z, i64 count)                                                                          \
    {                                                                                                                                              \
        map<Pack<T>::N>(count, false, [](float a, float b) { return value; }, z, x, y);                                                            \
    }                                                                                                                                              \
    GRAFT_KERNEL name##_broadcast_##suffix(const T* x, const T* y, T* z, i64 rows, i64 inner, int x_step, int y_step, OUTER_AXES)                  \
    {                                                                                                                                              \
        Outer outer = {{n0, n1, n2, n3, n4}, {x0, x1, x2, x3, x4}, {y0, y1, y2, y3, y4}};                                                          \
        broadcast([](float a, float b) { return value; }, x, y, z, rows, inner, x_step, y_step, outer);                                            \
    }
#define BINARY(name, value) BINARY_OF(name, float, f32, value) BINARY_OF(name, bf16, bf16, value)

BINARY(add, a + b)
BINARY(sub, a - b)
BINARY(mul, a * b)
BINARY(div, a / b)

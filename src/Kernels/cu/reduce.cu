// reduce.cu: sums and maxima over the middle of (outer, count, inner), and their backward.
// Shapes    x (O, C, I) T; y (O, I) f32, bf16 or f16, by its code; parts (O, P, I) f32; T in {f32, bf16}
// Method    rows (I = 1) and columns (I > 1) are cut into P parts of `chunk` along C; a part is summed by one warp or block, reduce_sum_parts adds the parts.
//           P = 1 writes y at once. P and the chunk depend on the shape alone, so the result does not depend on the card.
// Launch    chunk: 16384 elements of a row, 256 rows of columns. rows: O P groups, warps for chunks of up to 512 elements, else blocks of up to 256 threads;
//           columns: block 256 = 32 packs of columns x 8 rows, grid (I / (32 N)) O P; parts: block 512 = 32 columns x 16, grid (I / 32) O;
//           spread: a thread per pack of dx
// Traffic   O C I sizeof(T) bytes, O C I flop: 0.25 to 0.5 flop/byte, memory-bound; parts add 8 P / (C sizeof(T)) of it, below 2 % from C = 1024 on. A bias
//           of 4096 over 8192 rows, bf16: 67 MB, 20 us at 3.35 TB/s. spread writes O C I sizeof(T).
// Numerics  f32: up to 64 terms in a thread (32 rows of a column), then trees. A maximum is NaN if an element is
#include "rows.cuh"

struct SumOp
{
    static __device__ __forceinline__ float none()
    {
        return 0.0f;
    }

    static __device__ __forceinline__ float join(float a, float b)
    {
        return a + b;
    }

    static __device__ __forceinline__ float over_row(const RowGroup& g, float x, float* shared)
    {
        return row_sum(g, x, shared);
    }
};

struct MaxOp
{
    static __device__ __forceinline__ float none()
    {
        return -GRAFT_INFINITY;
    }

    static __device__ __forceinline__ float join(float a, float b)
    {
        return a > b || a != a ? a : b;
    }

    static __device__ __forceinline__ float over_row(const RowGroup& g, float x, float* shared)
    {
        float nan = row_max(g, x != x ? 1.0f : 0.0f, shared);
        x = row_max(g, x, shared);
        return nan > 0.0f ? __int_as_float(0x7fc00000) : x;
    }
};

// y[r] = scale * op over the row's part: group r takes part r % parts of row r / parts.
template <typename T, typename Op>
__device__ __forceinline__ void reduce_rows(
    const T* x, void* y, int y_type, float scale, i64 rows, i64 count, int chunk, int parts, int by_warp, int accumulate)
{
    const int N = Pack<T>::N;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    i64 row = g.row / parts, first = g.row % parts * chunk;
    int length = row < rows ? (int)(count - first < chunk ? count - first : chunk) : 0;
    x += row * count + first;
    bool vector = count % N == 0 && is_aligned16(x);
    float result = Op::none();
#pragma unroll 4
    for (int i = g.rank * N; i < length; i += g.size * N)
    {
        Floats<N> v = load_floats(x, i, length, vector, Op::none());
#pragma unroll
        for (int j = 0; j < N; j++)
        {
            result = Op::join(result, v.at[j]);
        }
    }

    result = Op::over_row(g, result, shared);
    if (row < rows && g.rank == 0)
    {
        store_as(y, y_type, g.row, scale * result, accumulate);
    }
}

// y[o, p, i] = scale * op over rows p chunk .. (p + 1) chunk of column i: 32 packs of columns and 8 rows at a time.
template <typename T, typename Op>
__device__ __forceinline__ void reduce_columns(
    const T* x, void* y, int y_type, float scale, i64 count, int inner, int chunk, int parts, int stripes, int accumulate)
{
    const int N = Pack<T>::N, LANES = 8;
    __shared__ float shared[LANES][32 * N + 1];
    int pack = threadIdx.x & 31, lane = threadIdx.x >> 5;
    int column = ((int)(blockIdx.x % stripes) * 32 + pack) * N;
    i64 group = blockIdx.x / stripes; // o parts + p
    i64 first = group % parts * chunk, last = first + chunk < count ? first + chunk : count;
    bool vector = inner % N == 0 && is_aligned16(x);
    x += group / parts * count * inner;
    Floats<N> result;
#pragma unroll
    for (int j = 0; j < N; j++)
    {
        result.at[j] = Op::none();
    }

    if (column < inner)
    {
#pragma unroll 4
        for (i64 row = first + lane; row < last; row += LANES)
        {
            Floats<N> v = load_floats(x + row * inner, column, inner, vector, Op::none());
#pragma unroll
            for (int j = 0; j < N; j++)
            {
                result.at[j] = Op::join(result.at[j], v.at[j]);
            }
        }
    }

#pragma unroll
    for (int j = 0; j < N; j++)
    {
        shared[lane][j * 32 + pack] = result.at[j];
    }

    __syncthreads();
    for (int e = threadIdx.x; e < 32 * N; e += blockDim.x)
    {
        float all = shared[0][e];
        for (int other = 1; other < LANES; other++)
        {
            all = Op::join(all, shared[other][e]);
        }

        int to = ((int)(blockIdx.x % stripes) * 32 + e % 32) * N + e / 32;
        if (to < inner)
        {
            store_as(y, y_type, group * inner + to, scale * all, accumulate);
        }
    }
}

// y[o, i] (+)= scale * op over p of parts (outer, count, inner): 32 columns and 16 parts at a time.
template <typename Op>
__device__ __forceinline__ void reduce_parts(const float* parts, void* y, int y_type, float scale, int count, int inner, int stripes, int accumulate)
{
    const int LANES = 16;
    __shared__ float shared[LANES][33];
    int lane = threadIdx.x >> 5, column = (int)(blockIdx.x % stripes) * 32 + (threadIdx.x & 31);
    i64 outer = blockIdx.x / stripes;
    float result = Op::none();
    if (column < inner)
    {
#pragma unroll 4
        for (int part = lane; part < count; part += LANES)
        {
            result = Op::join(result, parts[(outer * count + part) * inner + column]);
        }
    }

    shared[lane][threadIdx.x & 31] = result;
    __syncthreads();
    if (lane == 0 && column < inner)
    {
#pragma unroll
        for (int other = 1; other < LANES; other++)
        {
            result = Op::join(result, shared[other][threadIdx.x & 31]);
        }

        store_as(y, y_type, outer * inner + column, scale * result, accumulate);
    }
}

// a / b of numbers that are not negative: a 32-bit division where both fit, which they nearly always do.
__device__ __forceinline__ i64 quotient(i64 a, i64 b)
{
    return ((u64)(a | b) >> 32) == 0 ? (i64)((u32)a / (u32)b) : a / b;
}

// dx[o, c, i] (+)= scale dy[o, i].
template <typename T>
__device__ __forceinline__ void reduce_spread(const T* dy, T* dx, float scale, i64 elements, i64 count, int inner, int accumulate)
{
    const int N = Pack<T>::N;
    i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * N;
    if (first >= elements)
    {
        return;
    }

    i64 length = inner == 1 ? count : inner, row = quotient(first, length);
    if (length % N == 0 && is_aligned16(dx))
    {
        Floats<N> out;
        const T* from = inner == 1 ? dy + row : dy + quotient(row, count) * inner + (first - row * length);
#pragma unroll
        for (int j = 0; j < N; j++)
        {
            out.at[j] = scale * to_f32(inner == 1 ? from[0] : from[j]);
        }

        store_gradient<T, N>(dx + first, out, accumulate);
        return;
    }

    for (i64 e = first; e < elements && e < first + N; e++)
    {
        row = quotient(e, length);
        Floats<1> out = {scale * to_f32(dy[inner == 1 ? row : quotient(row, count) * inner + (e - row * length)])};
        store_gradient<T, 1>(dx + e, out, accumulate);
    }
}

// dx (+)= dy shared equally by the elements that equal the maximum y. A group per (o, i): a warp or block where inner is 1, else a thread.
template <typename T>
__device__ __forceinline__ void reduce_max_backward_rows(const T* x, const T* y, const T* dy, T* dx, i64 rows, int count, int by_warp, int accumulate)
{
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    int length = g.row < rows ? count : 0;
    i64 at = g.row * count;
    float max = length > 0 ? to_f32(y[g.row]) : 0.0f, equal = 0.0f;
    for (int i = g.rank; i < length; i += g.size)
    {
        equal += to_f32(x[at + i]) == max ? 1.0f : 0.0f;
    }

    equal = row_sum(g, equal, shared);
    float share = length > 0 ? to_f32(dy[g.row]) / equal : 0.0f;
    for (int i = g.rank; i < length; i += g.size)
    {
        Floats<1> out = {to_f32(x[at + i]) == max ? share : 0.0f};
        store_gradient<T, 1>(dx + at + i, out, accumulate);
    }
}

template <typename T>
__device__ __forceinline__ void reduce_max_backward_columns(const T* x, const T* y, const T* dy, T* dx, i64 columns, i64 count, int inner, int accumulate)
{
    i64 to = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (to < columns)
    {
        i64 at = to / inner * count * inner + to % inner;
        float max = to_f32(y[to]), equal = 0.0f;
        for (i64 c = 0; c < count; c++)
        {
            equal += to_f32(x[at + c * inner]) == max ? 1.0f : 0.0f;
        }

        float share = to_f32(dy[to]) / equal;
        for (i64 c = 0; c < count; c++)
        {
            Floats<1> out = {to_f32(x[at + c * inner]) == max ? share : 0.0f};
            store_gradient<T, 1>(dx + at + c * inner, out, accumulate);
        }
    }
}

#define REDUCE(T, suffix)                                                                                                                                  \
    GRAFT_KERNEL reduce_sum_rows_##suffix(                                                                                                                 \
        const T* x, void* y, int y_type, float scale, i64 rows, i64 count, int chunk, int parts, int by_warp, int accumulate)                              \
    {                                                                                                                                                      \
        reduce_rows<T, SumOp>(x, y, y_type, scale, rows, count, chunk, parts, by_warp, accumulate);                                                        \
    }                                                                                                                                                      \
    GRAFT_KERNEL reduce_max_rows_##suffix(                                                                                                                 \
        const T* x, void* y, int y_type, float scale, i64 rows, i64 count, int chunk, int parts, int by_warp, int accumulate)                              \
    {                                                                                                                                                      \
        reduce_rows<T, MaxOp>(x, y, y_type, scale, rows, count, chunk, parts, by_warp, accumulate);                                                        \
    }                                                                                                                                                      \
    GRAFT_KERNEL __launch_bounds__(256)                                                                                                                    \
        reduce_sum_columns_##suffix(const T* x, void* y, int y_type, float scale, i64 count, int inner, int chunk, int parts, int stripes, int accumulate) \
    {                                                                                                                                                      \
        reduce_columns<T, SumOp>(x, y, y_type, scale, count, inner, chunk, parts, stripes, accumulate);                                                    \
    }                                                                                                                                                      \
    GRAFT_KERNEL __launch_bounds__(256)                                                                                                                    \
        reduce_max_columns_##suffix(const T* x, void* y, int y_type, float scale, i64 count, int inner, int chunk, int parts, int stripes, int accumulate) \
    {                                                                                                                                                      \
        reduce_columns<T, MaxOp>(x, y, y_type, scale, count, inner, chunk, parts, stripes, accumulate);                                                    \
    }                                                                                                                                                      \
    GRAFT_KERNEL reduce_spread_##suffix(const T* dy, T* dx, float scale, i64 elements, i64 count, int inner, int accumulate)                               \
    {                                                                                                                                                      \
        reduce_spread<T>(dy, dx, scale, elements, count, inner, accumulate);                                                                               \
    }                                                                                                                                                      \
    GRAFT_KERNEL reduce_max_backward_rows_##suffix(const T* x, const T* y, const T* dy, T* dx, i64 rows, int count, int by_warp, int accumulate)           \
    {                                                                                                                                                      \
        reduce_max_backward_rows<T>(x, y, dy, dx, rows, count, by_warp, accumulate);                                                                       \
    }                                                                                                                                                      \
    GRAFT_KERNEL reduce_max_backward_columns_##suffix(const T* x, const T* y, const T* dy, T* dx, i64 columns, i64 count, int inner, int accumulate)       \
    {                                                                                                                                                      \
        reduce_max_backward_columns<T>(x, y, dy, dx, columns, count, inner, accumulate);                                                                   \
    }

REDUCE(float, f32)
REDUCE(bf16, bf16)

GRAFT_KERNEL __launch_bounds__(512) reduce_sum_parts(const float* parts, void* y, int y_type, float scale, int count, int inner, int stripes, int accumulate)
{
    reduce_parts<SumOp>(parts, y, y_type, scale, count, inner, stripes, accumulate);
}

GRAFT_KERNEL __launch_bounds__(512) reduce_max_parts(const float* parts, void* y, int y_type, float scale, int count, int inner, int stripes, int accumulate)
{
    reduce_parts<MaxOp>(parts, y, y_type, scale, count, inner, stripes, accumulate);
}

// softmax.cu: softmax, its logarithm and log-sum-exp over the last axis, forward and backward.
// Method    softmax and log-softmax in three walks over a row that stays in registers; log-sum-exp in one, by the online sum (Milakov and Gimelshein 2018,
//           arXiv:1805.02867)
// Shapes    x, y, dy, dx (R, C) T; log-sum-exp y, dy (R) T; T in {f32, bf16}
// Launch    rows of up to 512 elements: a warp each, 4 in a block of 128; longer ones a block of up to 1024 threads, 16 elements a thread; behind 16384
//           elements a row is read once more per walk, from L2
// Traffic   forward 2 R C sizeof(T) bytes, about 12 R C flop and R C exponentials; log-sum-exp R C sizeof(T); backward 3 R C sizeof(T) (log-sum-exp 2). In
//           bf16 that is 1 exponential per 4 bytes: 0.84e12 a second at 3.35 TB/s, a quarter of what 132 SMs give, so memory-bound. R = 8192, C = 4096, bf16:
//           134 MB, 40 us.
// Numerics  the largest element is subtracted first; sums in f32, up to 16 terms in a thread, then a tree. A row of -inf alone, or one with +inf or NaN,
//           gives NaN (log-sum-exp: -inf and +inf)
// Needs     whole, aligned packs for the vector path, else rows are read element by element
#include "rows.cuh"

template <typename T, bool LOG, int W>
__device__ __forceinline__ void softmax_forward_rows(const T* x, T* y, i64 rows, int columns, int by_warp)
{
    const int N = Pack<T>::N, K = 16 / N;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    int length = g.row < rows ? columns : 0;
    x += g.row * columns;
    y += g.row * columns;
    Floats<W> held[K + 1];
    auto load = [&](int k, int i) {
        Elements<T, W> pack;
        pack.load(x + i);
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            held[k].at[j] = to_f32(pack.at[j]);
        }
    };
    float max = -GRAFT_INFINITY;
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        load(k, i);
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            max = fmaxf(max, held[k].at[j]);
        }
    });
    max = row_max(g, max, shared);
    float shift = finite_or_zero(max), sum = 0.0f;
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        if (k == K)
        {
            load(K, i);
        }

#pragma unroll
        for (int j = 0; j < W; j++)
        {
            float e = row_exp<T>(held[k].at[j] - shift);
            sum += e;
            if (!LOG)
            {
                held[k].at[j] = e;
            }
        }
    });
    sum = row_sum(g, sum, shared);
    float log = logf(sum), inverse = max == GRAFT_INFINITY ? max - max : 1.0f / sum;
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        if (k == K)
        {
            load(K, i);
        }

        Elements<T, W> out;
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            float v = held[k].at[j];
            out.at[j] = from_f32<T>(LOG ? v - shift - log : (k == K ? row_exp<T>(v - shift) : v) * inverse);
        }

        out.store(y + i);
    });
}

template <typename T, bool LOG>
__device__ __forceinline__ void softmax_forward(const T* x, T* y, i64 rows, int columns, int by_warp)
{
    if (columns % Pack<T>::N == 0 && is_aligned16(x) && is_aligned16(y))
    {
        softmax_forward_rows<T, LOG, Pack<T>::N>(x, y, rows, columns, by_warp);
    }
    else
    {
        softmax_forward_rows<T, LOG, 1>(x, y, rows, columns, by_warp);
    }
}

// dx = y (dy - sum of y dy); of the logarithm dx = dy - e^y (sum of dy).
template <typename T, bool LOG, int W>
__device__ __forceinline__ void softmax_backward_rows(const T* y, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate)
{
    const int N = Pack<T>::N, K = 16 / N;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    int length = g.row < rows ? columns : 0;
    i64 at = g.row * columns;
    Elements<T, W> result[K + 1], gradient[K + 1];
    float sum = 0.0f;
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        result[k].load(y + at + i);
        gradient[k].load(dy + at + i);
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            float slope = to_f32(gradient[k].at[j]);
            sum += LOG ? slope : slope * to_f32(result[k].at[j]);
        }
    });
    sum = row_sum(g, sum, shared);
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        if (k == K)
        {
            result[K].load(y + at + i);
            gradient[K].load(dy + at + i);
        }

        Floats<W> out;
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            float slope = to_f32(gradient[k].at[j]), v = to_f32(result[k].at[j]);
            out.at[j] = LOG ? slope - row_exp<T>(v) * sum : v * (slope - sum);
        }

        store_gradient<T, W>(dx + at + i, out, accumulate);
    });
}

template <typename T, bool LOG>
__device__ __forceinline__ void softmax_backward(const T* y, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate)
{
    if (columns % Pack<T>::N == 0 && is_aligned16(y) && is_aligned16(dy) && is_aligned16(dx))
    {
        softmax_backward_rows<T, LOG, Pack<T>::N>(y, dy, dx, rows, columns, by_warp, accumulate);
    }
    else
    {
        softmax_backward_rows<T, LOG, 1>(y, dy, dx, rows, columns, by_warp, accumulate);
    }
}

template <typename T>
__device__ __forceinline__ void log_sum_exp_forward(const T* x, T* y, i64 rows, int columns, int by_warp)
{
    const int N = Pack<T>::N;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    int length = g.row < rows ? columns : 0;
    x += g.row * columns;
    bool vector = columns % N == 0 && is_aligned16(x);
    OnlineSum s = {-GRAFT_INFINITY, 0.0f};
    for (int i = g.rank * N; i < length; i += g.size * N)
    {
        online_add<T>(s, load_floats(x, i, length, vector, -GRAFT_INFINITY));
    }

    s = online_join<T>(g, s, shared);
    if (g.row < rows && g.rank == 0)
    {
        y[g.row] = from_f32<T>(finite_or_zero(s.max) + logf(s.sum));
    }
}

// dx = dy e^(x - y), y and dy one per row.
template <typename T, int W>
__device__ __forceinline__ void log_sum_exp_backward_rows(const T* x, const T* y, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate)
{
    RowGroup g = row_group(by_warp);
    if (g.row < rows)
    {
        i64 at = g.row * columns;
        float log = to_f32(y[g.row]), slope = to_f32(dy[g.row]);
        each_elements<0, Pack<T>::N, W>(g, columns, [&](int k, int i) {
            Elements<T, W> input;
            Floats<W> out;
            input.load(x + at + i);
#pragma unroll
            for (int j = 0; j < W; j++)
            {
                out.at[j] = slope * row_exp<T>(to_f32(input.at[j]) - log);
            }

            store_gradient<T, W>(dx + at + i, out, accumulate);
        });
    }
}

template <typename T>
__device__ __forceinline__ void log_sum_exp_backward(const T* x, const T* y, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate)
{
    if (columns % Pack<T>::N == 0 && is_aligned16(x) && is_aligned16(dx))
    {
        log_sum_exp_backward_rows<T, Pack<T>::N>(x, y, dy, dx, rows, columns, by_warp, accumulate);
    }
    else
    {
        log_sum_exp_backward_rows<T, 1>(x, y, dy, dx, rows, columns, by_warp, accumulate);
    }
}

#define SOFTMAX(T, suffix)                                                                                                                                    \
    GRAFT_KERNEL __launch_bounds__(1024, 1) softmax_forward_##suffix(const T* x, T* y, i64 rows, int columns, int by_warp)                                    \
    {                                                                                                                                                         \
        softmax_forward<T, false>(x, y, rows, columns, by_warp);                                                                                              \
    }                                                                                                                                                         \
    GRAFT_KERNEL __launch_bounds__(1024, 1) log_softmax_forward_##suffix(const T* x, T* y, i64 rows, int columns, int by_warp)                                \
    {                                                                                                                                                         \
        softmax_forward<T, true>(x, y, rows, columns, by_warp);                                                                                               \
    }                                                                                                                                                         \
    GRAFT_KERNEL __launch_bounds__(1024, 1) softmax_backward_##suffix(const T* y, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate)     \
    {                                                                                                                                                         \
        softmax_backward<T, false>(y, dy, dx, rows, columns, by_warp, accumulate);                                                                            \
    }                                                                                                                                                         \
    GRAFT_KERNEL __launch_bounds__(1024, 1) log_softmax_backward_##suffix(const T* y, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate) \
    {                                                                                                                                                         \
        softmax_backward<T, true>(y, dy, dx, rows, columns, by_warp, accumulate);                                                                             \
    }                                                                                                                                                         \
    GRAFT_KERNEL __launch_bounds__(1024, 1) log_sum_exp_forward_##suffix(const T* x, T* y, i64 rows, int columns, int by_warp)                                \
    {                                                                                                                                                         \
        log_sum_exp_forward<T>(x, y, rows, columns, by_warp);                                                                                                 \
    }                                                                                                                                                         \
    GRAFT_KERNEL __launch_bounds__(1024, 1)                                                                                                                   \
        log_sum_exp_backward_##suffix(const T* x, const T* y, const T* dy, T* dx, i64 rows, int columns, int by_warp, int accumulate)                         \
    {                                                                                                                                                         \
        log_sum_exp_backward<T>(x, y, dy, dx, rows, columns, by_warp, accumulate);                                                                            \
    }

SOFTMAX(float, f32)
SOFTMAX(bf16, bf16)

// norm.cuh: the rows of RMS and layer normalisation, which differ in the mean alone. rms_norm.cu and layer_norm.cu make entry points of it.
//   x^ = (x - mean) rstd,  y = x^ w + b,  dx = rstd (w dy - mean(w dy) - x^ mean(w dy x^)),  dw = sum of dy x^ over the rows,  db = that of dy
//   RMS normalisation has neither mean nor mean(w dy), and no b
// Numerics  sums in f32: a few tens of terms in a thread, then a tree; the variance by a second pass over the registers; statistics f32
//           dw and db: a part sums its rows in their order, reduce.cu adds the parts; which rows make a part depends on the shape alone
#pragma once
#include "rows.cuh"

const int NORM_PACKS = 2; // packs of a row that a thread keeps: 256 threads own a row of 4096 bf16 elements

// With RESIDUAL, x + r is stored in h, rounded, and that is normalised. b may be null.
template <typename T, bool CENTRED, bool RESIDUAL, int W>
__device__ __forceinline__ void norm_forward_rows(
    const T* x, const T* r, const void* w, int w_type, const void* b, int b_type, float epsilon, T* h, T* y, float* mean, float* rstd, i64 rows, int columns,
    int by_warp)
{
    const int N = Pack<T>::N, K = NORM_PACKS;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    int length = g.row < rows ? columns : 0;
    const T* source = (RESIDUAL ? h : x) + g.row * columns;
    x += g.row * columns;
    y += g.row * columns;
    Elements<T, W> held[K + 1];
    float sum = 0.0f;
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        held[k].load(x + i);
        if (RESIDUAL)
        {
            Elements<T, W> other;
            other.load(r + g.row * columns + i);
#pragma unroll
            for (int j = 0; j < W; j++)
            {
                held[k].at[j] = from_f32<T>(to_f32(held[k].at[j]) + to_f32(other.at[j]));
            }

            held[k].store(h + g.row * columns + i);
        }

#pragma unroll
        for (int j = 0; j < W; j++)
        {
            float v = to_f32(held[k].at[j]);
            sum += CENTRED ? v : v * v;
        }
    });
    float centre = 0.0f;
    sum = row_sum(g, sum, shared);
    if (CENTRED)
    {
        centre = sum / (float)columns;
        sum = 0.0f;
        each_elements<K, N, W>(g, length, [&](int k, int i) {
            if (k == K)
            {
                held[K].load(source + i);
            }

#pragma unroll
            for (int j = 0; j < W; j++)
            {
                float v = to_f32(held[k].at[j]) - centre;
                sum += v * v;
            }
        });
        sum = row_sum(g, sum, shared);
    }

    float scale = 1.0f / sqrtf(sum / (float)columns + epsilon);
    if (length > 0 && g.rank == 0)
    {
        rstd[g.row] = scale;
        if (CENTRED)
        {
            mean[g.row] = centre;
        }
    }

    each_elements<K, N, W>(g, length, [&](int k, int i) {
        if (k == K)
        {
            held[K].load(source + i);
        }

        Floats<W> weight = load_weights<W>(w, w_type, i), bias = {};
        if (b != nullptr)
        {
            bias = load_weights<W>(b, b_type, i);
        }

        Elements<T, W> out;
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            out.at[j] = from_f32<T>((to_f32(held[k].at[j]) - centre) * scale * weight.at[j] + bias.at[j]);
        }

        out.store(y + i);
    });
}

template <typename T, bool CENTRED, bool RESIDUAL>
__device__ __forceinline__ void norm_forward(
    const T* x, const T* r, const void* w, int w_type, const void* b, int b_type, float epsilon, T* h, T* y, float* mean, float* rstd, i64 rows, int columns,
    int by_warp)
{
    const int N = Pack<T>::N;
    if (columns % N == 0 && is_aligned16(x) && is_aligned16(r) && is_aligned16(w) && is_aligned16(b) && is_aligned16(h) && is_aligned16(y))
    {
        norm_forward_rows<T, CENTRED, RESIDUAL, N>(x, r, w, w_type, b, b_type, epsilon, h, y, mean, rstd, rows, columns, by_warp);
    }
    else
    {
        norm_forward_rows<T, CENTRED, RESIDUAL, 1>(x, r, w, w_type, b, b_type, epsilon, h, y, mean, rstd, rows, columns, by_warp);
    }
}

// x^ and the gradient's part without mean(w dy), W elements at a time: what both forms of backward do to a row once its sums are known.
template <typename T, bool CENTRED, bool RESIDUAL, int W>
__device__ __forceinline__ void norm_slope(
    const Elements<T, W>& x, const Elements<T, W>& dy, const Floats<W>& w, float centre, float scale, float sum, float dot, const T* dh, T* dx, int accumulate)
{
    Floats<W> out;
#pragma unroll
    for (int j = 0; j < W; j++)
    {
        float normal = (to_f32(x.at[j]) - centre) * scale;
        out.at[j] = scale * (w.at[j] * to_f32(dy.at[j]) - sum - normal * dot);
    }

    if (RESIDUAL)
    {
        Elements<T, W> other;
        other.load(dh);
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            out.at[j] += to_f32(other.at[j]);
        }
    }

    store_gradient<T, W>(dx, out, accumulate);
}

// The gradient of the rows alone, e.g. under frozen weights. With RESIDUAL, dh is added: the gradient that reaches x + r beside the norm.
template <typename T, bool CENTRED, bool RESIDUAL, int W>
__device__ __forceinline__ void norm_backward_rows(
    const T* x, const void* w, int w_type, const float* mean, const float* rstd, const T* dy, const T* dh, T* dx, i64 rows, int columns, int by_warp,
    int accumulate)
{
    const int N = Pack<T>::N, K = NORM_PACKS;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    int length = g.row < rows ? columns : 0;
    i64 at = g.row * columns;
    float scale = length > 0 ? rstd[g.row] : 0.0f, centre = CENTRED && length > 0 ? mean[g.row] : 0.0f;
    Elements<T, W> input[K + 1], gradient[K + 1];
    float sum = 0.0f, dot = 0.0f;
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        input[k].load(x + at + i);
        gradient[k].load(dy + at + i);
        Floats<W> weight = load_weights<W>(w, w_type, i);
#pragma unroll
        for (int j = 0; j < W; j++)
        {
            float weighted = weight.at[j] * to_f32(gradient[k].at[j]);
            sum += weighted;
            dot += weighted * ((to_f32(input[k].at[j]) - centre) * scale);
        }
    });
    dot = row_sum(g, dot, shared) / (float)columns;
    sum = CENTRED ? row_sum(g, sum, shared) / (float)columns : 0.0f;
    each_elements<K, N, W>(g, length, [&](int k, int i) {
        if (k == K)
        {
            input[K].load(x + at + i);
            gradient[K].load(dy + at + i);
        }

        Floats<W> weight = load_weights<W>(w, w_type, i);
        norm_slope<T, CENTRED, RESIDUAL, W>(input[k], gradient[k], weight, centre, scale, sum, dot, RESIDUAL ? dh + at + i : nullptr, dx + at + i, accumulate);
    });
}

template <typename T, bool CENTRED, bool RESIDUAL>
__device__ __forceinline__ void norm_backward(
    const T* x, const void* w, int w_type, const float* mean, const float* rstd, const T* dy, const T* dh, T* dx, i64 rows, int columns, int by_warp,
    int accumulate)
{
    const int N = Pack<T>::N;
    if (columns % N == 0 && is_aligned16(x) && is_aligned16(w) && is_aligned16(dy) && is_aligned16(dh) && is_aligned16(dx))
    {
        norm_backward_rows<T, CENTRED, RESIDUAL, N>(x, w, w_type, mean, rstd, dy, dh, dx, rows, columns, by_warp, accumulate);
    }
    else
    {
        norm_backward_rows<T, CENTRED, RESIDUAL, 1>(x, w, w_type, mean, rstd, dy, dh, dx, rows, columns, by_warp, accumulate);
    }
}

// The gradient of the rows and parts of those of w and b, reading x and dy once: group p of `parts` takes rows p R / parts .. (p + 1) R / parts and keeps its
// sums of
// columns in registers. w_parts, b_parts (parts, columns) f32, either may be null. Needs whole and aligned packs, columns <= owners * NORM_PACKS * N.
template <typename T, bool CENTRED, bool RESIDUAL>
__device__ __forceinline__ void norm_backward_all(
    const T* x, const void* w, int w_type, const float* mean, const float* rstd, const T* dy, const T* dh, T* dx, float* w_parts, float* b_parts, i64 rows,
    int columns, int parts, int by_warp, int accumulate)
{
    const int N = Pack<T>::N, K = NORM_PACKS;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    i64 first = g.row < parts ? rows * g.row / parts : 0, last = g.row < parts ? rows * (g.row + 1) / parts : 0;
    Floats<N> dw[K] = {}, db[K] = {};
    for (i64 row = first; row < last; row++)
    {
        i64 at = row * columns;
        float scale = rstd[row], centre = CENTRED ? mean[row] : 0.0f;
        Elements<T, N> input[K], gradient[K];
        float sum = 0.0f, dot = 0.0f;
#pragma unroll
        for (int k = 0; k < K; k++)
        {
            int i = (k * g.size + g.rank) * N;
            if (i < columns)
            {
                input[k].load(x + at + i);
                gradient[k].load(dy + at + i);
            }
        }

#pragma unroll
        for (int k = 0; k < K; k++)
        {
            int i = (k * g.size + g.rank) * N;
            if (i < columns)
            {
                Floats<N> weight = load_weights<N>(w, w_type, i);
#pragma unroll
                for (int j = 0; j < N; j++)
                {
                    float slope = to_f32(gradient[k].at[j]), normal = (to_f32(input[k].at[j]) - centre) * scale;
                    float weighted = weight.at[j] * slope;
                    sum += weighted;
                    dot += weighted * normal;
                    dw[k].at[j] += slope * normal;
                    db[k].at[j] += CENTRED ? slope : 0.0f;
                }
            }
        }

        dot = row_sum(g, dot, shared) / (float)columns;
        sum = CENTRED ? row_sum(g, sum, shared) / (float)columns : 0.0f;
#pragma unroll
        for (int k = 0; k < K; k++)
        {
            int i = (k * g.size + g.rank) * N;
            if (i < columns)
            {
                Floats<N> weight = load_weights<N>(w, w_type, i);
                norm_slope<T, CENTRED, RESIDUAL, N>(
                    input[k], gradient[k], weight, centre, scale, sum, dot, RESIDUAL ? dh + at + i : nullptr, dx + at + i, accumulate);
            }
        }
    }

#pragma unroll
    for (int k = 0; k < K; k++)
    {
        int i = (k * g.size + g.rank) * N;
        if (g.row < parts && i < columns)
        {
            i64 to = g.row * columns + i;
#pragma unroll
            for (int j = 0; j < N; j++)
            {
                if (w_parts != nullptr)
                {
                    w_parts[to + j] = dw[k].at[j];
                }

                if (CENTRED && b_parts != nullptr)
                {
                    b_parts[to + j] = db[k].at[j];
                }
            }
        }
    }
}

// Parts of the gradients of w and b alone, for any rows: a thread sums one column over the rows of its part. Grid (columns / 256, parts).
template <typename T, bool CENTRED>
__device__ __forceinline__ void norm_backward_weights(
    const T* x, const float* mean, const float* rstd, const T* dy, float* w_parts, float* b_parts, i64 rows, int columns, int parts)
{
    i64 column = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (column < columns)
    {
        i64 first = rows * blockIdx.y / parts, last = rows * (blockIdx.y + 1) / parts;
        float dw = 0.0f, db = 0.0f;
#pragma unroll 4
        for (i64 row = first; row < last; row++)
        {
            float slope = to_f32(dy[row * columns + column]);
            dw += slope * ((to_f32(x[row * columns + column]) - (CENTRED ? mean[row] : 0.0f)) * rstd[row]);
            db += slope;
        }

        if (w_parts != nullptr)
        {
            w_parts[blockIdx.y * (i64)columns + column] = dw;
        }

        if (CENTRED && b_parts != nullptr)
        {
            b_parts[blockIdx.y * (i64)columns + column] = db;
        }
    }
}

// cross_entropy.cu: the loss of labels under softmax(logits), one per row, forward and backward.
// Method    (1 - e) w_t (lse - x_t) + e/V sum of w_c (lse - x_c); label smoothing e of Szegedy et al. 2015, arXiv:1512.00567; lse by the online sum,
//           arXiv:1805.02867
// Shapes    logits, dlogits (R, V) T, labels (R) i32, class weights (V) f32 or null, loss, lse, dloss (R) f32; T in {f32, bf16}
// Launch    rows of up to 512 elements: a warp each, 4 in a block of 128; longer ones a block of up to 1024 threads
// Traffic   forward R V sizeof(T) bytes and R V exponentials: 1 per 2 bytes in bf16, 1.7e12 a second at 3.35 TB/s, half of what 132 SMs give, so
//           memory-bound; backward 2 R V sizeof(T). R = 8192, V = 128256, bf16: 2.1 and 4.2 GB, 0.63 and 1.25 ms at 3.35 TB/s.
// Numerics  sums in f32, relative to the largest logit; that of smoothing relative to the label's logit, so a common offset of a row costs no digits;
//           rows of the ignored label have loss and gradient 0; a label out of range raises the device's error flag
// Needs     whole, aligned packs for the vector path, else rows are read element by element
#include "rows.cuh"

template <typename T>
__device__ __forceinline__ void cross_entropy_forward(
    const T* logits, const int* labels, const float* weights, float smoothing, int ignored, float* loss, float* lse, i64 rows, int classes, int by_warp,
    int* error)
{
    const int N = Pack<T>::N;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    const T* x = logits + g.row * classes;
    int label = g.row < rows ? labels[g.row] : ignored;
    bool counts = label != ignored;
    if (counts && (u32)label >= (u32)classes)
    {
        *error = 4; // DeviceFault.ClassIndex
        label = 0;
    }

    int length = counts ? classes : 0;
    bool vector = classes % N == 0 && is_aligned16(logits);
    float own = counts ? to_f32(x[label]) : 0.0f, anchor = finite_or_zero(own);
    OnlineSum s = {-GRAFT_INFINITY, 0.0f};
    float distance = 0.0f, total = 0.0f;
    for (int i = g.rank * N; i < length; i += g.size * N)
    {
        Floats<N> v = load_floats(x, i, length, vector, -GRAFT_INFINITY);
        online_add<T>(s, v);
        if (smoothing > 0.0f)
        {
#pragma unroll
            for (int j = 0; j < N; j++)
            {
                if (i + j < length)
                {
                    float w = weights == nullptr ? 1.0f : weights[i + j];
                    total += w;
                    distance += w * (anchor - v.at[j]);
                }
            }
        }
    }

    s = online_join<T>(g, s, shared);
    if (smoothing > 0.0f)
    {
        total = row_sum(g, total, shared);
        distance = row_sum(g, distance, shared);
    }

    if (g.row < rows && g.rank == 0)
    {
        float max = finite_or_zero(s.max), log = logf(s.sum);
        float value = (1.0f - smoothing) * (weights == nullptr || !counts ? 1.0f : weights[label]) * (max - own + log);
        if (smoothing > 0.0f)
        {
            value += smoothing / (float)classes * (total * (max - anchor + log) + distance);
        }

        loss[g.row] = counts ? value : 0.0f;
        lse[g.row] = counts ? max + log : 0.0f;
    }
}

// g ((1 - e) w_t + e/V sum of w) e^(x - lse) - g e/V w_c, less g (1 - e) w_t at the label.
template <typename T, int W>
__device__ __forceinline__ void cross_entropy_backward_rows(
    const T* logits, const int* labels, const float* weights, float smoothing, int ignored, const float* lse, const float* dloss, T* dlogits, i64 rows,
    int classes, int by_warp, int accumulate)
{
    const int N = Pack<T>::N;
    __shared__ float shared[32];
    RowGroup g = row_group(by_warp);
    int label = g.row < rows ? labels[g.row] : ignored;
    float slope = label != ignored && (u32)label < (u32)classes ? dloss[g.row] : 0.0f, log = g.row < rows ? lse[g.row] : 0.0f, total = (float)classes;
    if (weights != nullptr && smoothing > 0.0f)
    {
        total = 0.0f;
        for (int i = g.rank; i < classes; i += g.size)
        {
            total += weights[i];
        }

        total = row_sum(g, total, shared);
    }

    float own = slope * (1.0f - smoothing) * (weights == nullptr || slope == 0.0f ? 1.0f : weights[label]);
    float each = slope * smoothing / (float)classes, all = own + each * total;
    i64 at = g.row * classes;
    each_elements<0, N, W>(g, g.row < rows ? classes : 0, [&](int k, int i) {
        Floats<W> out = {};
        if (slope != 0.0f)
        {
            Elements<T, W> x;
            x.load(logits + at + i);
#pragma unroll
            for (int j = 0; j < W; j++)
            {
                float share = each;
                if (each != 0.0f && weights != nullptr)
                {
                    share = each * weights[i + j];
                }

                out.at[j] = all * row_exp<T>(to_f32(x.at[j]) - log) - share - (i + j == label ? own : 0.0f);
            }
        }

        store_gradient<T, W>(dlogits + at + i, out, accumulate);
    });
}

template <typename T>
__device__ __forceinline__ void cross_entropy_backward(
    const T* logits, const int* labels, const float* weights, float smoothing, int ignored, const float* lse, const float* dloss, T* dlogits, i64 rows,
    int classes, int by_warp, int accumulate)
{
    if (classes % Pack<T>::N == 0 && is_aligned16(logits) && is_aligned16(dlogits))
    {
        cross_entropy_backward_rows<T, Pack<T>::N>(logits, labels, weights, smoothing, ignored, lse, dloss, dlogits, rows, classes, by_warp, accumulate);
    }
    else
    {
        cross_entropy_backward_rows<T, 1>(logits, labels, weights, smoothing, ignored, lse, dloss, dlogits, rows, classes, by_warp, accumulate);
    }
}

#define CROSS_ENTROPY(T, suffix)                                                                                                                             \
    GRAFT_KERNEL __launch_bounds__(1024, 1) cross_entropy_forward_##suffix(                                                                                  \
        const T* logits, const int* labels, const float* weights, float smoothing, int ignored, float* loss, float* lse, i64 rows, int classes, int by_warp, \
        int* error)                                                                                                                                          \
    {                                                                                                                                                        \
        cross_entropy_forward<T>(logits, labels, weights, smoothing, ignored, loss, lse, rows, classes, by_warp, error);                                     \
    }                                                                                                                                                        \
    GRAFT_KERNEL __launch_bounds__(1024, 1) cross_entropy_backward_##suffix(                                                                                 \
        const T* logits, const int* labels, const float* weights, float smoothing, int ignored, const float* lse, const float* dloss, T* dlogits, i64 rows,  \
        int classes, int by_warp, int accumulate)                                                                                                            \
    {                                                                                                                                                        \
        cross_entropy_backward<T>(logits, labels, weights, smoothing, ignored, lse, dloss, dlogits, rows, classes, by_warp, accumulate);                     \
    }

CROSS_ENTROPY(float, f32)
CROSS_ENTROPY(bf16, bf16)

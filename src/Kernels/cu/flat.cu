// flat.cu: scaling, clipping and norms of flat blocks.
// Shapes    blocks of n elements f32; norms in f64
// Launch    4 elements a thread, block 256; norms: one block of 256 threads per part, parts by n alone, then one block
// Traffic   an element: scale, clip and clamp 8 bytes, add 12, norms 4: memory-bound
// Numerics  norms are joined in f64 in an order that n alone decides
// Needs     16-byte packs where addresses allow, else one element at a time
#include "flat.cuh"

// ---- whole blocks ------------------------------------------------------------------------------------------------------------------------------------
// x ← f(x).
template <typename F>
__device__ __forceinline__ void change(float* x, i64 n, F f)
{
    int count;
    i64 at = first_element(n, count);
    if (count > 0)
    {
        bool whole = count == WIDTH && is_aligned_four(x);
        Four<float> four = load_four(x + at, count, whole);
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
        {
            four.at[i] = f(four.at[i]);
        }

        store_four(x + at, four, count, whole);
    }
}

__device__ __forceinline__ void scale(float* x, i64 n, float factor)
{
    change(x, n, [=](float value) { return value * factor; });
}

GRAFT_KERNEL flat_scale(float* x, i64 n, float factor)
{
    scale(x, n, factor);
}

// x times min(1, limit / (√sum + 1e-6)), the sum of squares of all gradients being on the device: clipping without asking the host.
GRAFT_KERNEL flat_clip(float* x, i64 n, const double* sum, float limit)
{
    double coefficient = (double)limit / (sqrt(*sum) + 1e-6);
    if (coefficient < 1.0)
    {
        scale(x, n, (float)coefficient);
    }
}

// NaN stays.
GRAFT_KERNEL flat_clamp(float* x, i64 n, float limit)
{
    change(x, n, [=](float value) { return value < -limit ? -limit : value > limit ? limit : value; });
}

// y += factor · x, fused as on the CPU.
GRAFT_KERNEL flat_add_scaled(float* y, const float* x, i64 n, float factor)
{
    int count;
    i64 at = first_element(n, count);
    if (count > 0)
    {
        bool whole = count == WIDTH && is_aligned_four(x) && is_aligned_four(y);
        Four<float> a = load_four(x + at, count, whole), b = load_four(y + at, count, whole);
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
        {
            b.at[i] = __fmaf_rn(factor, a.at[i], b.at[i]);
        }

        store_four(y + at, b, count, whole);
    }
}

// ---- norms of a block, in f64 --------------------------------------------------------------------------------------------------------------------------
static const int SUM_THREADS = 256;

enum NormOrder
{
    NORM_L2 = 0, // Σ x²
    NORM_L1 = 1, // Σ |x|
    NORM_INFINITY = 2 // max |x|, NaN where one is
};

__device__ __forceinline__ double norm_join(double a, double b, int order)
{
    return order == NORM_INFINITY ? (a > b || a != a ? a : b) : a + b;
}

__device__ __forceinline__ double norm_block(double x, int order, double* shared)
{
    shared[threadIdx.x] = x;
    __syncthreads();
    for (int distance = SUM_THREADS / 2; distance > 0; distance >>= 1)
    {
        if (threadIdx.x < distance)
        {
            shared[threadIdx.x] = norm_join(shared[threadIdx.x], shared[threadIdx.x + distance], order);
        }

        __syncthreads();
    }

    return shared[0];
}

// A block makes the part blockIdx.x of x: `length` elements, a multiple of 4.
GRAFT_KERNEL __launch_bounds__(SUM_THREADS) flat_norm_parts(const float* x, double* parts, i64 n, i64 length, int order)
{
    __shared__ double shared[SUM_THREADS];
    i64 start = blockIdx.x * length, end = start + length < n ? start + length : n;
    bool aligned = is_aligned_four(x);
    double sum = 0.0;
    for (i64 at = start + threadIdx.x * WIDTH; at < end; at += SUM_THREADS * WIDTH)
    {
        int count = end - at < WIDTH ? (int)(end - at) : WIDTH;
        Four<float> four = load_four(x + at, count, aligned && count == WIDTH);
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
        {
            double value = four.at[i];
            sum = norm_join(sum, order == NORM_L2 ? value * value : fabs(value), order);
        }
    }

    sum = norm_block(sum, order, shared);
    if (threadIdx.x == 0)
    {
        parts[blockIdx.x] = sum;
    }
}

// result = or joined with the parts, in a fixed order.
GRAFT_KERNEL __launch_bounds__(SUM_THREADS) flat_norm_finish(const double* parts, double* result, int count, int order, int accumulate)
{
    __shared__ double shared[SUM_THREADS];
    double sum = 0.0;
    for (int i = threadIdx.x; i < count; i += SUM_THREADS)
    {
        sum = norm_join(sum, parts[i], order);
    }

    sum = norm_block(sum, order, shared);
    if (threadIdx.x == 0)
    {
        *result = accumulate ? norm_join(*result, sum, order) : sum;
    }
}

// scan.cu: running sums along the last axis, from either end.
// Shapes    x, y (R, C) T, T in {f32, bf16}
// Method    a block per row walks through tiles of 4 elements a thread; threads' sums are scanned in shared memory (Hillis and Steele), the tile's total is
//           carried on
// Launch    grid R, block a power of two from 32 to 256; shared 256 f64
// Traffic   2 R C sizeof(T) bytes; 2 log2(256) barriers per 1024 elements, so long rows are bound by those, not by memory (no path of a model is hot here)
// Numerics  sums in f64, rounded once per element
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void cumulative_sum(const T* x, T* y, int length, int reverse)
{
    const int EACH = 4;
    __shared__ double shared[256];
    int thread = threadIdx.x, threads = blockDim.x;
    x += (i64)blockIdx.x * length;
    y += (i64)blockIdx.x * length;
    double carried = 0.0;
    for (i64 tile = 0; tile < length; tile += EACH * threads)
    {
        double sums[EACH], sum = 0.0;
        i64 first = tile + EACH * thread;
#pragma unroll
        for (int j = 0; j < EACH; j++)
        {
            i64 i = first + j;
            sum += i < length ? (double)to_f32(x[reverse ? length - 1 - i : i]) : 0.0;
            sums[j] = sum;
        }

        shared[thread] = sum;
        __syncthreads();
        for (int distance = 1; distance < threads; distance <<= 1)
        {
            double before = thread >= distance ? shared[thread - distance] : 0.0;
            __syncthreads();
            shared[thread] += before;
            __syncthreads();
        }

        double start = carried + (thread > 0 ? shared[thread - 1] : 0.0);
        carried += shared[threads - 1];
        __syncthreads();
#pragma unroll
        for (int j = 0; j < EACH; j++)
        {
            i64 i = first + j;
            if (i < length)
            {
                y[reverse ? length - 1 - i : i] = from_f32<T>((float)(start + sums[j]));
            }
        }
    }
}

#define CUMULATIVE_SUM(T, suffix)                                                                          \
    GRAFT_KERNEL __launch_bounds__(256) cumulative_sum_##suffix(const T* x, T* y, int length, int reverse) \
    {                                                                                                      \
        cumulative_sum<T>(x, y, length, reverse);                                                          \
    }

CUMULATIVE_SUM(float, f32)
CUMULATIVE_SUM(bf16, bf16)

// selected_log_prob.cu: the rows between the products of the fused output head: log-probability of the target, log-sum-exp, slopes of the logits.
// Method    one online pass for maximum and sum (Milakov and Gimelshein 2018, arXiv:1805.02867), a second one that overwrites logits by slopes
//           (chunks of rows: Hsu et al. 2024, arXiv:2410.10989). Logits z, or cap·tanh(z / cap); logp = (1 - e)·z_y + e·mean(z) - lse;
//           d logp / d z_k = (1 - e)·[k = y] + e/V - p_k, d lse / d z_k = p_k, times 1 - (z_k / cap)²
// Shapes    logits (R, L) f32 with V ≤ L columns in use, L a multiple of 8; targets, logp, lse, own, other (R); slopes over the logits: f32 (R, L), or bf16 (R, 2·L)
// Launch    grid R, block 512: one block per row of logits, so that a chunk of 512 rows fills 132 multiprocessors with 4 blocks each
// Traffic   forward 4·R·V bytes; with slopes 8·R·V read (the second time often from L2: 512 KiB a row at V = 128k) and sizeof(T)·R·V written; about 25 flop an
//           element: memory-bound. At C = 4096 the products of a chunk take 2·V·C·R flop each, 10 times as long.
// Numerics  all in f32; the order of sums depends on V alone. A negative target gives logp = lse = 0 and slopes of 0
// Needs     rows of logits aligned to 16 bytes
#include "common.cuh"

static const int THREADS = 512, STEP = 8;

__device__ __forceinline__ float capped(float z, float cap)
{
    return cap == 0.0f ? z : cap * tanhf(z / cap);
}

// Up to 8 neighbouring logits of one thread; `count` of them exist.
__device__ __forceinline__ int load_step(const float* z, int at, int vocabulary, float (&x)[STEP])
{
    int count = vocabulary - at < STEP ? vocabulary - at : STEP;
    if (count == STEP)
    {
#pragma unroll
        for (int i = 0; i < STEP; i += 4)
        {
            Pack<float> pack = load_pack(z + at + i);
#pragma unroll
            for (int j = 0; j < 4; j++)
            {
                x[i + j] = pack.at[j];
            }
        }
    }
    else
    {
#pragma unroll
        for (int i = 0; i < STEP; i++)
        {
            x[i] = i < count ? z[at + i] : 0.0f;
        }
    }

    return count;
}

struct RowSums
{
    float max, sum, distance; // sum of e^(z - max); sum of z - z_0
};

__device__ __forceinline__ RowSums row_sums(const float* z, int vocabulary, float smoothing, float cap, float first, float* shared)
{
    float largest = -3.402823466e38f, sum = 0.0f, distance = 0.0f;
    for (int at = threadIdx.x * STEP; at < vocabulary; at += THREADS * STEP)
    {
        float x[STEP];
        int count = load_step(z, at, vocabulary, x);
        float step = largest;
#pragma unroll
        for (int i = 0; i < STEP; i++)
        {
            x[i] = capped(x[i], cap);
            step = i < count ? fmaxf(step, x[i]) : step;
        }

        sum *= expf(largest - step);
        largest = step;
#pragma unroll
        for (int i = 0; i < STEP; i++)
        {
            sum += i < count ? expf(x[i] - largest) : 0.0f;
            distance += i < count ? x[i] - first : 0.0f;
        }
    }

    RowSums row;
    row.max = block_max(largest, shared);
    row.sum = block_sum(sum * expf(largest - row.max), shared);
    row.distance = smoothing > 0.0f ? block_sum(distance, shared) : 0.0f;
    return row;
}

// Slopes in place of the logits. In bf16 a row of slopes lies in the first half of its row of logits: what a step writes was read by an earlier step, or by this
// one, so that a barrier between reading and writing is enough.
template <typename T>
__device__ __forceinline__ void write_slopes(float* z, int vocabulary, int target, RowSums row, float all, float each, float hit, float cap)
{
    T* slopes = reinterpret_cast<T*>(z);
    float scale = target < 0 ? 0.0f : all / row.sum;
    for (int start = 0; start < vocabulary; start += THREADS * STEP)
    {
        int at = start + threadIdx.x * STEP;
        float x[STEP];
        int count = at < vocabulary ? load_step(z, at, vocabulary, x) : 0;
        if (sizeof(T) != sizeof(float))
        {
            __syncthreads();
        }

        alignas(16) T y[STEP];
#pragma unroll
        for (int i = 0; i < STEP; i++)
        {
            float slope = 0.0f;
            if (i < count && target >= 0)
            {
                float c = capped(x[i], cap);
                slope = scale * expf(c - row.max) + each + (at + i == target ? hit : 0.0f);
                if (cap != 0.0f)
                {
                    float ratio = c / cap;
                    slope *= 1.0f - ratio * ratio;
                }
            }

            y[i] = from_f32<T>(slope);
        }

        if (count == STEP)
        {
#pragma unroll
            for (int i = 0; i < STEP; i += Pack<T>::N)
            {
                store_pack(slopes + at + i, *reinterpret_cast<const Pack<T>*>(y + i));
            }
        }
        else
        {
#pragma unroll
            for (int i = 0; i < STEP; i++)
            {
                if (i < count)
                {
                    slopes[at + i] = y[i];
                }
            }
        }
    }
}

// logp, lse, own and other may be null: forward writes the first two, backward has own = 0 and other = 0 where no gradient came; `unit` means own = 1.
template <typename T, bool Slopes>
__device__ __forceinline__ void selected_log_prob(float* logits, i64 stride, const int* targets, float* logp, float* lse, const float* own, const float* other,
                                                  int unit, int vocabulary, float smoothing, float cap, int* error)
{
    __shared__ float shared[32];
    int r = blockIdx.x;
    float* z = logits + r * stride;
    int target = targets[r];
    if (target >= vocabulary)
    {
        if (threadIdx.x == 0)
        {
            *error = 4; // DeviceFault.ClassIndex
        }

        target = 0;
    }

    RowSums row = {0.0f, 1.0f, 0.0f};
    if (target >= 0)
    {
        float first = capped(z[0], cap), selected = capped(z[target], cap);
        row = row_sums(z, vocabulary, smoothing, cap, first, shared);
        if (threadIdx.x == 0 && logp != 0)
        {
            float mean = (first - row.max) + row.distance / vocabulary;
            logp[r] = (1.0f - smoothing) * (selected - row.max) + smoothing * mean - logf(row.sum);
        }

        if (threadIdx.x == 0 && lse != 0)
        {
            lse[r] = row.max + logf(row.sum);
        }
    }
    else if (threadIdx.x == 0)
    {
        if (logp != 0)
        {
            logp[r] = 0.0f;
        }

        if (lse != 0)
        {
            lse[r] = 0.0f;
        }
    }

    if (Slopes)
    {
        float a = unit ? 1.0f : own == 0 ? 0.0f : own[r];
        float b = other == 0 ? 0.0f : other[r];
        write_slopes<T>(z, vocabulary, target, row, b - a, a * smoothing / vocabulary, a * (1.0f - smoothing), cap);
    }
}

GRAFT_KERNEL __launch_bounds__(THREADS) selected_log_prob_forward(float* logits, i64 stride, const int* targets, float* logp, float* lse, int vocabulary,
                                                                   float smoothing, float cap, int* error)
{
    selected_log_prob<float, false>(logits, stride, targets, logp, lse, 0, 0, 0, vocabulary, smoothing, cap, error);
}

#define SELECTED_LOG_PROB_SLOPES(T, suffix)                                                                                                                      \
    GRAFT_KERNEL __launch_bounds__(THREADS)                                                                                                                      \
        selected_log_prob_slopes_##suffix(float* logits, i64 stride, const int* targets, float* logp, float* lse, const float* own, const float* other, int unit, \
                                          int vocabulary, float smoothing, float cap, int* error)                                                                \
    {                                                                                                                                                            \
        selected_log_prob<T, true>(logits, stride, targets, logp, lse, own, other, unit, vocabulary, smoothing, cap, error);                                     \
    }
SELECTED_LOG_PROB_SLOPES(float, f32)
SELECTED_LOG_PROB_SLOPES(bf16, bf16)

// to (N, C) = or += coefficient (N) · unit (N, C): backward where W is frozen. One pack of 16 bytes of unit a thread.
template <typename T, typename To>
__device__ __forceinline__ void scale_rows(const T* unit, const float* coefficients, To* to, i64 count, int columns, int accumulate)
{
    static const int WIDTH = Pack<T>::N;
    struct alignas(16) Wide
    {
        To at[WIDTH];
    };
    i64 start = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    if (start >= count)
    {
        return;
    }

    if (columns % WIDTH == 0 && is_aligned16(unit) && is_aligned16(to))
    {
        float c = coefficients[start / columns];
        Pack<T> x = load_pack(unit + start);
        Wide y;
        if (accumulate)
        {
            y = *reinterpret_cast<const Wide*>(to + start);
        }

#pragma unroll
        for (int i = 0; i < WIDTH; i++)
        {
            float v = c * to_f32(x.at[i]);
            y.at[i] = from_f32<To>(accumulate ? to_f32(y.at[i]) + v : v);
        }

        *reinterpret_cast<Wide*>(to + start) = y;
    }
    else
    {
        for (i64 i = start; i < count && i < start + WIDTH; i++)
        {
            float v = coefficients[i / columns] * to_f32(unit[i]);
            to[i] = from_f32<To>(accumulate ? to_f32(to[i]) + v : v);
        }
    }
}

#define SELECTED_LOG_PROB_SCALE(T, To, suffix)                                                                                                            \
    GRAFT_KERNEL selected_log_prob_scale_##suffix(const T* unit, const float* coefficients, To* to, i64 count, int columns, int accumulate)              \
    {                                                                                                                                                     \
        scale_rows<T, To>(unit, coefficients, to, count, columns, accumulate);                                                                            \
    }
SELECTED_LOG_PROB_SCALE(float, float, f32)
SELECTED_LOG_PROB_SCALE(bf16, bf16, bf16)
SELECTED_LOG_PROB_SCALE(bf16, float, widened)

// linear.cu: what stands around the matrix products of cuBLASLt: casts of an operand, a product over nothing, sums of columns.
// Method    casts: round to nearest even, widening is exact. Column sums: strips of rows are summed apart, then the strips in order
// Shapes    cast: n elements; fill: c (M, N) T; column sums: x (N, C) T to sums (C), parts (S, C) f32 between, S by N alone
// Launch    cast: blocks of 256 threads, 8 elements each; fill: one thread per element; column_sum_parts: grid (C / 128, S), block (256) as 8 rows of
//           32 lanes x 4 columns; column_sum_finish: one thread per column
// Traffic   cast 6·n bytes; column sums sizeof(T)·N·C + 8·S·C bytes, N·C flop: memory-bound. S = N / 256 between 1 and 64: at N = 8192, C = 4096 that is
//           32 x 32 = 1024 blocks and 0.8 % more traffic in bf16 than reading x once
// Numerics  sums in f32 in an order that N and C alone decide; no atomics
// Needs     16-byte packs where addresses allow, else one element at a time
#include "common.cuh"

// ---- casts -------------------------------------------------------------------------------------------------------------------------------------------
template <typename From, typename To>
__device__ void cast(const From* x, To* y, i64 n)
{
    i64 start = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (start + 8 <= n && is_aligned16(x) && is_aligned16(y))
    {
        alignas(16) From from[8];
        alignas(16) To to[8];
#pragma unroll
        for (int i = 0; i < 8; i += Pack<From>::N)
        {
            *reinterpret_cast<Pack<From>*>(from + i) = load_pack(x + start + i);
        }

#pragma unroll
        for (int i = 0; i < 8; i++)
        {
            to[i] = from_f32<To>(to_f32(from[i]));
        }

#pragma unroll
        for (int i = 0; i < 8; i += Pack<To>::N)
        {
            store_pack(y + start + i, *reinterpret_cast<const Pack<To>*>(to + i));
        }
    }
    else
    {
        for (i64 i = start; i < n && i < start + 8; i++)
        {
            y[i] = from_f32<To>(to_f32(x[i]));
        }
    }
}

// The suffix is the type that comes out.
GRAFT_KERNEL linear_cast_f32(const bf16* x, float* y, i64 n)
{
    cast(x, y, n);
}

GRAFT_KERNEL linear_cast_bf16(const float* x, bf16* y, i64 n)
{
    cast(x, y, n);
}

// ---- a product whose summed axis has no elements: c = (accumulate ? c : 0) + bias --------------------------------------------------------------------
template <typename T>
__device__ void fill(T* c, const T* bias, i64 count, int columns, int accumulate)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
    {
        float y = accumulate ? to_f32(c[i]) : 0.0f;
        c[i] = from_f32<T>(bias == 0 ? y : y + to_f32(bias[i % columns]));
    }
}

#define LINEAR_FILL(T, suffix)                                                                             \
    GRAFT_KERNEL linear_fill_##suffix(T* c, const T* bias, i64 count, int columns, int accumulate)        \
    {                                                                                                      \
        fill<T>(c, bias, count, columns, accumulate);                                                      \
    }
LINEAR_FILL(float, f32)
LINEAR_FILL(bf16, bf16)

// ---- sums of columns: gradients of biases ------------------------------------------------------------------------------------------------------------
static const int LANES = 32, GROUPS = 8, WIDTH = 4;

// A block sums the strip blockIdx.y of rows for 128 columns: 8 groups of threads walk every eighth row, then the groups are added in order.
template <typename T>
__device__ void column_sum_parts(const T* x, float* parts, i64 rows, int columns, i64 strip)
{
    __shared__ float group_sums[GROUPS][LANES * WIDTH];
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
    int column = (blockIdx.x * LANES + lane) * WIDTH;
    i64 row = (i64)blockIdx.y * strip + group;
    i64 end = ((i64)blockIdx.y + 1) * strip < rows ? ((i64)blockIdx.y + 1) * strip : rows;
    float sums[WIDTH] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (column + WIDTH <= columns && columns % WIDTH == 0 && ((u64)x & (WIDTH * sizeof(T) - 1)) == 0)
    {
        struct alignas(WIDTH * sizeof(T)) Four
        {
            T at[WIDTH];
        };
        for (; row < end; row += GROUPS)
        {
            Four four = *reinterpret_cast<const Four*>(x + row * columns + column);
#pragma unroll
            for (int i = 0; i < WIDTH; i++)
            {
                sums[i] += to_f32(four.at[i]);
            }
        }
    }
    else
    {
        for (; row < end; row += GROUPS)
        {
#pragma unroll
            for (int i = 0; i < WIDTH; i++)
            {
                sums[i] += column + i < columns ? to_f32(x[row * columns + column + i]) : 0.0f;
            }
        }
    }

#pragma unroll
    for (int i = 0; i < WIDTH; i++)
    {
        group_sums[group][lane * WIDTH + i] = sums[i];
    }

    __syncthreads();
    int at = threadIdx.x;
    if (at < LANES * WIDTH && blockIdx.x * LANES * WIDTH + at < columns)
    {
        float sum = 0.0f;
#pragma unroll
        for (int i = 0; i < GROUPS; i++)
        {
            sum += group_sums[i][at];
        }

        parts[(i64)blockIdx.y * columns + blockIdx.x * LANES * WIDTH + at] = sum;
    }
}

#define LINEAR_COLUMN_SUM_PARTS(T, suffix)                                                                                                          \
    GRAFT_KERNEL __launch_bounds__(LANES* GROUPS) linear_column_sum_parts_##suffix(const T* x, float* parts, i64 rows, int columns, i64 strip)      \
    {                                                                                                                                               \
        column_sum_parts<T>(x, parts, rows, columns, strip);                                                                                        \
    }
LINEAR_COLUMN_SUM_PARTS(float, f32)
LINEAR_COLUMN_SUM_PARTS(bf16, bf16)

template <typename T>
__device__ void column_sum_finish(const float* parts, T* sums, int columns, int strips, int accumulate)
{
    i64 column = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (column < columns)
    {
        float sum = 0.0f;
        for (int i = 0; i < strips; i++)
        {
            sum += parts[(i64)i * columns + column];
        }

        sums[column] = from_f32<T>(accumulate ? to_f32(sums[column]) + sum : sum);
    }
}

#define LINEAR_COLUMN_SUM_FINISH(T, suffix)                                                                                          \
    GRAFT_KERNEL linear_column_sum_finish_##suffix(const float* parts, T* sums, int columns, int strips, int accumulate)            \
    {                                                                                                                                \
        column_sum_finish<T>(parts, sums, columns, strips, accumulate);                                                              \
    }
LINEAR_COLUMN_SUM_FINISH(float, f32)
LINEAR_COLUMN_SUM_FINISH(bf16, bf16)

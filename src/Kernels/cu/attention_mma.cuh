// attention_mma.cuh: tiles of bf16 rows in shared memory and products of them on tensor cores, for flash attention with D of 64 or 128.
// Layout    shared rows are unpadded; 16-byte chunk c of row r lies at c ^ (r % 8). Eight lanes of an ldmatrix read one chunk of eight rows, eight lanes of a
//           copy write eight chunks of one row: both touch all 32 banks once. Padding would do as well, but 128 keys of two operands would not fit twice
//           Probabilities stay in registers: the accumulators of one product are, packed to bf16, the A fragments of the next
// Needs     16-byte rows; sm_80
#pragma once
#include "attention.cuh"


static const int QUERIES = 128;     // of a block of forward and dq
#define GRAFT_LOG2E 1.4426950408889634f
#define GRAFT_LN2 0.6931471805599453f

// ---- shared tiles of rows of D --------------------------------------------------------------------------------------------------------------------------------
template <int D>
__device__ __forceinline__ int place(int row, int chunk)
{
    return row * D + ((chunk ^ (row & 7)) << 3);
}

// ROWS rows, of which `rows` are there; zeros in the place of the others.
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void copy_tile(bf16* to, const bf16* from, i64 stride, int rows)
{
    const int STEP = THREADS / (D / 8); // rows at a time: a multiple of 8, so a thread's chunks lie in one column
    int row = threadIdx.x / (D / 8), chunk = threadIdx.x % (D / 8);
    to += place<D>(row, chunk);
    from += row * stride + chunk * 8;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP)
    {
        cp_async16(to + i * D, from, row + i < rows);
        from += STEP * stride;
    }
}

// Rows of a shared tile to memory, 16 bytes per thread.
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void store_tile(bf16* to, const bf16* from, i64 stride, int rows)
{
    const int STEP = THREADS / (D / 8);
    int row = threadIdx.x / (D / 8), chunk = threadIdx.x % (D / 8);
    from += place<D>(row, chunk);
    to += row * stride + chunk * 8;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP)
    {
        if (row + i < rows)
        {
            store_pack(to, load_pack(from + i * D));
        }

        to += STEP * stride;
    }
}

// Where a lane's row of an ldmatrix lies in the 16 rows and 16 columns at the corner of a tile. 16 rows below it lies 16·D further, 16·step columns to the right at
// ^ 16·step, as the swizzle is an exclusive or itself: one instruction per step, and no address to keep.
//   lane_a    A fragments of 16 rows, and B fragments of a product over these rows: (rows, left), (rows + 8, left), (rows, right), (rows + 8, right)
//   lane_b    B fragments of a product over the columns: (rows, left), (rows, right), (rows + 8, left), (rows + 8, right)
template <int D>
__device__ __forceinline__ int lane_a()
{
    return place<D>(threadIdx.x & 15, threadIdx.x >> 4 & 1);
}

template <int D>
__device__ __forceinline__ int lane_b()
{
    return place<D>((threadIdx.x & 7) + (threadIdx.x >> 1 & 8), threadIdx.x >> 3 & 1);
}

__device__ __forceinline__ void multiply_pair(float (&left)[4], float (&right)[4], const unsigned (&a)[4], const unsigned (&b)[4])
{
    unsigned first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
    mma_bf16_16816(left, a, first);
    mma_bf16_16816(right, a, second);
}

// x (16·M rows, 8·N columns) = rows of a · rows of b over D.
template <int D, int M, int N>
__device__ __forceinline__ void scores(float (&x)[M][N][4], const bf16* a, const bf16* b)
{
    int at_a = lane_a<D>(), at_b = lane_b<D>();
#pragma unroll
    for (int i = 0; i < M * N * 4; i++)
    {
        x[i / (4 * N)][i / 4 % N][i % 4] = 0.0f;
    }

    const int UNROLL = M == 1 ? D / 16 : 4; // all eight steps of D = 128 made dq spill on sm_80
#pragma unroll UNROLL
    for (int step = 0; step < D / 16; step++)
    {
        unsigned fragments[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
        {
            ldmatrix_x4(fragments[m], a + 16 * m * D + (at_a ^ 16 * step));
        }

#pragma unroll
        for (int n = 0; n < N; n += 2)
        {
            unsigned other[4];
            ldmatrix_x4(other, b + 8 * n * D + (at_b ^ 16 * step));
#pragma unroll
            for (int m = 0; m < M; m++)
            {
                multiply_pair(x[m][n], x[m][n + 1], fragments[m], other);
            }
        }
    }
}

// sum (16·M rows, D columns) += p (16·M rows, 8·N) · the rows of b.
template <int D, int M, int N>
__device__ __forceinline__ void products(float (&sum)[M][D / 8][4], const float (&p)[M][N][4], const bf16* b)
{
    int at = lane_a<D>();
#pragma unroll
    for (int n = 0; n < N; n += 2)
    {
        unsigned fragments[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
        {
            fragments[m][0] = pack_bf16(p[m][n][0], p[m][n][1]);
            fragments[m][1] = pack_bf16(p[m][n][2], p[m][n][3]);
            fragments[m][2] = pack_bf16(p[m][n + 1][0], p[m][n + 1][1]);
            fragments[m][3] = pack_bf16(p[m][n + 1][2], p[m][n + 1][3]);
        }

#pragma unroll
        for (int pair = 0; pair < D / 16; pair++)
        {
            unsigned other[4];
            ldmatrix_x4_trans(other, b + 8 * n * D + (at ^ 16 * pair));
#pragma unroll
            for (int m = 0; m < M; m++)
            {
                multiply_pair(sum[m][2 * pair], sum[m][2 * pair + 1], fragments[m], other);
            }
        }
    }
}

template <int M, int N>
__device__ __forceinline__ void clear(float (&x)[M][N][4])
{
#pragma unroll
    for (int i = 0; i < M * N * 4; i++)
    {
        x[i / (4 * N)][i / 4 % N][i % 4] = 0.0f;
    }
}

// Accumulators, times a factor and added to what `old` has where that is given, as bf16 into the warp's own rows of a shared tile.
template <int D, int M>
__device__ __forceinline__ void keep(bf16* tile, int row, const float (&sum)[M][D / 8][4], float factor, const bf16* old, i64 stride, int rows)
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
#pragma unroll
    for (int m = 0; m < M; m++)
    {
#pragma unroll
        for (int h = 0; h < 2; h++)
        {
            int r = row + 16 * m + 8 * h + g;
#pragma unroll
            for (int n = 0; n < D / 8; n++)
            {
                float low = sum[m][n][2 * h] * factor, high = sum[m][n][2 * h + 1] * factor;
                if (old != nullptr && r < rows)
                {
                    unsigned pair = *reinterpret_cast<const unsigned*>(old + r * stride + 8 * n + 2 * t);
                    low += __uint_as_float(pair << 16);
                    high += __uint_as_float(pair & 0xffff0000u);
                }

                *reinterpret_cast<unsigned*>(tile + place<D>(r, n) + 2 * t) = pack_bf16(low, high);
            }
        }
    }
}

__device__ __forceinline__ float tanh_by_exp2(float x)
{
    return 1.0f - __fdividef(2.0f, exp2_approx(2.0f * GRAFT_LOG2E * x) + 1.0f);
}

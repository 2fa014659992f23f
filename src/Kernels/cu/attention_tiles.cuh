// attention_tiles.cuh: products of 64 x 64 tiles outside of the tensor cores, for the plain kernels of attention.
// Traffic   A thread makes 16 products of a score tile from 8 shared floats and 32 of an output tile from 12, so shared memory, 128 bytes a clock and SM, allows 1/2
//           to 2/3 of the peak
#pragma once
#include "attention.cuh"

// ---- tiles of 64 x 64 scores; thread (ty, tx) of 16 x 16 has rows 4·ty.. and columns 4·tx.. ----------------------------------------------------------------
static const int TILE = 64;
static const int CHUNK = 32;     // of D, in the products over D
static const int COLUMNS = 128;  // of D, of an output tile
static const int LONG_ROWS = 16; // rows of an operand of an output tile in shared memory at once
static const int PITCH = 68;     // of a row of 64 floats: a multiple of 4 for 16-byte access that moves neighbouring rows by 4 banks

struct alignas(16) TileMemory
{
    float a[CHUNK * PITCH]; // and, with b, LONG_ROWS x COLUMNS
    float b[CHUNK * PITCH];
    float p[TILE * PITCH];
};

template <typename T>
__device__ __forceinline__ void load_four(float (&x)[4], const T* row, int column, int size, bool aligned)
{
    if (aligned && column + 4 <= size)
    {
        Four<T> four = *reinterpret_cast<const Four<T>*>(row + column);
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            x[i] = to_f32(four.at[i]);
        }
    }
    else
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            x[i] = column + i < size ? to_f32(row[column + i]) : 0.0f;
        }
    }
}

template <typename T>
__device__ __forceinline__ void store_four(T* row, int column, int size, const float* x, int accumulate)
{
    float y[4] = {x[0], x[1], x[2], x[3]};
    bool aligned = is_aligned_four(row);
    if (accumulate)
    {
        float old[4];
        load_four(old, (const T*)row, column, size, aligned);
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            y[i] += old[i];
        }
    }

    if (aligned && column + 4 <= size)
    {
        Four<T> four;
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            four.at[i] = from_f32<T>(y[i]);
        }

        *reinterpret_cast<Four<T>*>(row + column) = four;
        return;
    }

#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        if (column + i < size)
        {
            row[column + i] = from_f32<T>(y[i]);
        }
    }
}

// CHUNK columns of 64 rows, turned: to[column][row]. Zeros beyond the rows and the size. A warp writes 32 neighbouring rows: no bank conflicts.
template <typename T>
__device__ __forceinline__ void load_turned(float* to, const T* from, i64 stride, int rows, int column, int size)
{
    int row = threadIdx.x & 63, part = (threadIdx.x >> 6) * 8;
    const T* at = from + row * stride;
#pragma unroll
    for (int j = 0; j < 8; j += 4)
    {
        float x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (row < rows)
        {
            load_four(x, at, column + part + j, size, is_aligned_four(at));
        }

#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            to[(part + j + i) * PITCH + row] = x[i];
        }
    }
}

// COLUMNS columns of LONG_ROWS rows as they lie; zeros beyond.
template <typename T>
__device__ __forceinline__ void load_long(float* to, const T* from, i64 stride, int rows, int column, int size)
{
#pragma unroll
    for (int i = threadIdx.x; i < LONG_ROWS * COLUMNS / 4; i += 256)
    {
        int row = i / (COLUMNS / 4), part = i % (COLUMNS / 4) * 4;
        float x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (row < rows)
        {
            const T* at = from + row * stride;
            load_four(x, at, column + part, size, is_aligned_four(at));
        }

        *reinterpret_cast<float4*>(to + row * COLUMNS + part) = make_float4(x[0], x[1], x[2], x[3]);
    }
}

// x[i][j] = row 4·ty + i of a · row 4·tx + j of b, over D. Starts and ends at a barrier or with memory that nobody reads.
template <typename T>
__device__ __forceinline__ void tile_scores(float (&x)[4][4], const T* a, i64 a_stride, int a_rows, const T* b, i64 b_stride, int b_rows, int size, TileMemory& m)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
#pragma unroll
    for (int i = 0; i < 16; i++)
    {
        x[i >> 2][i & 3] = 0.0f;
    }

    for (int column = 0; column < size; column += CHUNK)
    {
        load_turned(m.a, a, a_stride, a_rows, column, size);
        load_turned(m.b, b, b_stride, b_rows, column, size);
        __syncthreads();
        int count = min(CHUNK, size - column);
#pragma unroll 4
        for (int d = 0; d < count; d++)
        {
            float4 u = *reinterpret_cast<const float4*>(m.a + d * PITCH + 4 * ty);
            float4 w = *reinterpret_cast<const float4*>(m.b + d * PITCH + 4 * tx);
            float rows[4] = {u.x, u.y, u.z, u.w}, columns[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int i = 0; i < 16; i++)
            {
                x[i >> 2][i & 3] += rows[i >> 2] * columns[i & 3];
            }
        }

        __syncthreads();
    }
}

// Leaves x turned: p[4·tx + j][4·ty + i]. A barrier must follow.
__device__ __forceinline__ void keep_turned(const float (&x)[4][4], TileMemory& m)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
#pragma unroll
    for (int j = 0; j < 4; j++)
    {
        *reinterpret_cast<float4*>(m.p + (4 * tx + j) * PITCH + 4 * ty) = make_float4(x[0][j], x[1][j], x[2][j], x[3][j]);
    }
}

// sum[i][j] += Σ p[r][4·ty + i] · rows[r][column], with column + 4·tx + j for j below 4 and 64 more above. The first barrier inside is the one after keep_turned.
template <typename T>
__device__ __forceinline__ void tile_product(float (&sum)[4][8], const T* rows, i64 stride, int count, int column, int size, TileMemory& m)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
    bool wide = size - column > COLUMNS / 2;
    for (int start = 0; start < count; start += LONG_ROWS)
    {
        load_long(m.a, rows + start * stride, stride, count - start, column, size);
        __syncthreads();
#pragma unroll 4
        for (int r = 0; r < LONG_ROWS; r++)
        {
            float4 u = *reinterpret_cast<const float4*>(m.p + (start + r) * PITCH + 4 * ty);
            float4 w = *reinterpret_cast<const float4*>(m.a + r * COLUMNS + 4 * tx);
            float p[4] = {u.x, u.y, u.z, u.w}, columns[8] = {w.x, w.y, w.z, w.w, 0.0f, 0.0f, 0.0f, 0.0f};
            if (wide)
            {
                float4 far = *reinterpret_cast<const float4*>(m.a + r * COLUMNS + COLUMNS / 2 + 4 * tx);
                columns[4] = far.x;
                columns[5] = far.y;
                columns[6] = far.z;
                columns[7] = far.w;
            }

#pragma unroll
            for (int i = 0; i < 32; i++)
            {
                sum[i >> 3][i & 7] += p[i >> 3] * columns[i & 7];
            }
        }

        __syncthreads();
    }
}

template <typename T>
__device__ __forceinline__ void store_rows(T* to, i64 stride, int rows, int column, int size, const float (&sum)[4][8], int accumulate)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        if (4 * ty + i < rows)
        {
            store_four(to + (4 * ty + i) * stride, column + 4 * tx, size, &sum[i][0], accumulate);
            store_four(to + (4 * ty + i) * stride, column + COLUMNS / 2 + 4 * tx, size, &sum[i][4], accumulate);
        }
    }
}

__device__ __forceinline__ void clear(float (&sum)[4][8])
{
#pragma unroll
    for (int i = 0; i < 32; i++)
    {
        sum[i >> 3][i & 7] = 0.0f;
    }
}

// indexing.cu: elements and rows picked and added by index.
// Shapes    elements: x (rows, N) T, index (rows, K) i32, y (rows, K) T. Rows: table (V, C), ids (n) i32, y (n, C) f32; T in {f32, bf16}, tables also f16
// Launch    gather, scatter_add: one thread per index, block 256. embedding: one block per id. Sums of rows: below
// Traffic   embedding: n·C·(sizeof table + 4) bytes; sums of rows: n·C·sizeof(T) read and, per distinct id, C·4 read and written: memory-bound
// Numerics  f32. No atomics: every target has one thread, which adds in the order of the indices, so sums are those of the CPU bit for bit (f32)
// Needs     16-byte groups where C is whole groups and the tensors are aligned, else element by element
//           An index out of bounds sets *error and counts as 0 (picking) or is left out (adding)
#include "elementwise.cuh"

// ---- elements of rows ---------------------------------------------------------------------------------------------------------------------------------
template <typename T>
__device__ __forceinline__ void gather(const T* x, const int* index, T* y, i64 count, i64 k, i64 n, int* error)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, at;
    if (i < count)
    {
        int from = index[i];
        if ((u64)(i64)from >= (u64)n)
        {
            *error = 2; // DeviceFault.ElementIndex
            from = 0;
        }

        y[i] = n > 0 ? x[divide(i, k, at) * n + from] : from_f32<T>(0.0f);
    }
}

// target[r, index[r, j]] += source[r, j] for first <= j < last. The thread of an index that no earlier one equals adds for all that equal it.
template <typename T>
__device__ __forceinline__ void scatter_add(const T* source, const int* index, T* target, i64 rows, i64 k, i64 n, i64 first, i64 last, int* error)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x, at;
    if (i >= rows * (last - first))
    {
        return;
    }

    i64 row = divide(i, last - first, at);
    const int* indices = index + row * k;
    int mine = indices[first + at];
    if ((u64)(i64)mine >= (u64)n)
    {
        *error = 2; // DeviceFault.ElementIndex
        return;
    }

    for (i64 j = first; j < first + at; j++)
    {
        if (indices[j] == mine)
        {
            return;
        }
    }

    float sum = to_f32(target[row * n + mine]);
    for (i64 j = first + at; j < last; j++)
    {
        if (indices[j] == mine)
        {
            sum += to_f32(source[row * k + j]);
        }
    }

    target[row * n + mine] = from_f32<T>(sum);
}

#define ELEMENTS(T, suffix)                                                                                                                        \
    GRAFT_KERNEL gather_##suffix(const T* x, const int* index, T* y, i64 count, i64 k, i64 n, int* error)                                          \
    {                                                                                                                                              \
        gather(x, index, y, count, k, n, error);                                                                                                   \
    }                                                                                                                                              \
    GRAFT_KERNEL scatter_add_##suffix(const T* source, const int* index, T* target, i64 rows, i64 k, i64 n, i64 first, i64 last, int* error)       \
    {                                                                                                                                              \
        scatter_add(source, index, target, rows, k, n, first, last, error);                                                                        \
    }
ELEMENTS(float, f32)
ELEMENTS(bf16, bf16)

// ---- rows of a table ------------------------------------------------------------------------------------------------------------------------------------
template <int N, typename T>
__device__ __forceinline__ void copy_row(const T* from, float* to, int width)
{
    for (int i = threadIdx.x * N; i < width; i += blockDim.x * N)
    {
        map_group<N>([](float v) { return v; }, false, to + i, load_group<N>(from + i));
    }
}

template <typename T>
__device__ __forceinline__ void embedding(const T* table, const int* ids, float* y, int width, int rows, int* error)
{
    constexpr int N = 4; // 16 bytes of y
    int id = ids[blockIdx.x];
    if ((u32)id >= (u32)rows)
    {
        *error = 1; // DeviceFault.RowIndex
        id = 0;
    }

    const T* from = table + (i64)id * width;
    float* to = y + (i64)blockIdx.x * width;
    if (rows == 0)
    {
        return;
    }

    if (width % N == 0 && is_aligned<N>(table) && is_aligned<N>(y))
    {
        copy_row<N>(from, to, width);
    }
    else
    {
        copy_row<1>(from, to, width);
    }
}

#define EMBEDDING(T, suffix)                                                                                                     \
    GRAFT_KERNEL embedding_##suffix(const T* table, const int* ids, float* y, int width, int rows, int* error)                   \
    {                                                                                                                            \
        embedding(table, ids, y, width, rows, error);                                                                            \
    }
EMBEDDING(float, f32)
EMBEDDING(bf16, bf16)
EMBEDDING(f16, f16)

// ---- sums of rows by id ---------------------------------------------------------------------------------------------------------------------------------
// The host hands over at most 8,192 ids at a time, in order. sort_ids puts them in the order of (id, position) by counting, for each, how many come before:
// 8,192² comparisons, 10 µs on a large card. Then the first of each run of equal ids adds all its rows, and nobody else touches that target row.

// sorted[rank] = id, positions[rank] = its place; ids that are out of bounds or `skip` become -1, which sorts first. Block 256: 32 places x 8 shares of the ids.
GRAFT_KERNEL sort_ids(const int* ids, int count, int rows, int skip, int* sorted, int* positions, int* error)
{
    __shared__ int before[8][32];
    int lane = threadIdx.x & 31, share = threadIdx.x >> 5, place = blockIdx.x * 32 + lane;
    int id = place < count ? ids[place] : -1;
    if (place < count && (u32)id >= (u32)rows)
    {
        *error = 1; // DeviceFault.RowIndex
        id = -1;
    }

    id = id == skip ? -1 : id;
    int length = (count + 7) / 8, first = share * length, last = min(first + length, count), sum = 0;
#pragma unroll 4
    for (int j = first; j < last; j++)
    {
        int other = ids[j];
        other = (u32)other >= (u32)rows || other == skip ? -1 : other;
        sum += other < id || (other == id && j < place) ? 1 : 0;
    }

    before[share][lane] = sum;
    __syncthreads();
    if (share == 0 && place < count)
    {
        int rank = 0;
#pragma unroll
        for (int k = 0; k < 8; k++)
        {
            rank += before[k][lane];
        }

        sorted[rank] = id;
        positions[rank] = place;
    }
}

// Block 64; grid (count, width in pieces of 64 groups): the block of the first of equal ids walks over all of them, eight rows' loads under way at a time.
template <int N, typename T>
__device__ __forceinline__ void add_rows(const T* source, const int* sorted, const int* positions, int count, T* target, int width)
{
    int at = blockIdx.x, id = sorted[at], column = (blockIdx.y * blockDim.x + threadIdx.x) * N;
    if (id < 0 || (at > 0 && sorted[at - 1] == id) || column >= width)
    {
        return;
    }

    T* to = target + (i64)id * width + column;
    Group<T, N> old = load_group<N>(to);
    float sum[N];
#pragma unroll
    for (int k = 0; k < N; k++)
    {
        sum[k] = to_f32(old.at[k]);
    }

    bool more = true;
    for (; more; at += 8)
    {
        Group<T, N> rows[8];
        bool mine[8];
#pragma unroll
        for (int r = 0; r < 8; r++)
        {
            mine[r] = at + r < count && sorted[at + r] == id;
            if (mine[r])
            {
                rows[r] = load_group<N>(source + (i64)positions[at + r] * width + column);
            }
        }

#pragma unroll
        for (int r = 0; r < 8; r++)
        {
            if (mine[r])
            {
#pragma unroll
                for (int k = 0; k < N; k++)
                {
                    sum[k] += to_f32(rows[r].at[k]);
                }
            }
        }

        more = mine[7];
    }

#pragma unroll
    for (int k = 0; k < N; k++)
    {
        old.at[k] = from_f32<T>(sum[k]);
    }

    store_group<N>(to, old);
}

// The host cuts the width by the same condition.
#define ADD_ROWS(T, suffix)                                                                                                              \
    GRAFT_KERNEL add_rows_##suffix(const T* source, const int* sorted, const int* positions, int count, T* target, int width)            \
    {                                                                                                                                    \
        constexpr int N = Pack<T>::N;                                                                                                    \
        if (width % N == 0 && is_aligned<N>(source) && is_aligned<N>(target))                                                            \
        {                                                                                                                                \
            add_rows<N>(source, sorted, positions, count, target, width);                                                                \
        }                                                                                                                                \
        else                                                                                                                             \
        {                                                                                                                                \
            add_rows<1>(source, sorted, positions, count, target, width);                                                                \
        }                                                                                                                                \
    }
ADD_ROWS(float, f32)
ADD_ROWS(bf16, bf16)

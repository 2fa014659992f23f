// movement.cu: elements that change places: runs at regular distances (concat, slice), other orders of axes (permute).
// Shapes    runs: from and to hold `count` runs of one length, each side at its own distance. Permute: the host joins axes that stay neighbours (rank at most 6)
// Launch    copies: grid over 16-byte words, block 256, threads loop; transposes: one block of 256 threads per tile of 32 x 32
// Traffic   each element read and written once: memory-bound. Transposes go through shared memory, so that both sides move along their contiguous axis:
//           64 bytes per warp and row for 16-bit elements, 128 for f32
// Numerics  copies keep bits; add_runs sums in f32, rounded once
// Needs     the widest word of 16, 8, 4, 2, 1 bytes to which lengths, distances and addresses are multiples
#include "elementwise.cuh"

// ---- runs -----------------------------------------------------------------------------------------------------------------------------------------------
// All lengths and distances in bytes.
template <typename Word>
__device__ __forceinline__ void copy_words(const char* from, i64 from_stride, char* to, i64 to_stride, i64 run, i64 count)
{
    i64 per_run = run / sizeof(Word), threads = (i64)gridDim.x * blockDim.x, at;
#pragma unroll 1
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < per_run * count; i += threads)
    {
        i64 row = divide(i, per_run, at);
        ((Word*)(to + row * to_stride))[at] = ((const Word*)(from + row * from_stride))[at];
    }
}

GRAFT_KERNEL copy_runs(const char* from, i64 from_stride, char* to, i64 to_stride, i64 run, i64 count)
{
    u64 all = (u64)from | (u64)to | (u64)run | (count > 1 ? (u64)from_stride | (u64)to_stride : 0);
    if (all % 16 == 0)
    {
        copy_words<uint4>(from, from_stride, to, to_stride, run, count);
    }
    else if (all % 4 == 0)
    {
        copy_words<u32>(from, from_stride, to, to_stride, run, count);
    }
    else if (all % 2 == 0)
    {
        copy_words<unsigned short>(from, from_stride, to, to_stride, run, count);
    }
    else
    {
        copy_words<unsigned char>(from, from_stride, to, to_stride, run, count);
    }
}

// All lengths and distances in elements; adds to what is there.
template <int N, typename T>
__device__ __forceinline__ void add_groups(const T* from, i64 from_stride, T* to, i64 to_stride, i64 run, i64 count)
{
    i64 per_run = run / N, threads = (i64)gridDim.x * blockDim.x, at;
#pragma unroll 1
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < per_run * count; i += threads)
    {
        i64 row = divide(i, per_run, at);
        map_group<N>([](float v) { return v; }, true, to + row * to_stride + at * N, load_group<N>(from + row * from_stride + at * N));
    }
}

template <typename T>
__device__ __forceinline__ void add_runs(const T* from, i64 from_stride, T* to, i64 to_stride, i64 run, i64 count)
{
    constexpr int N = Pack<T>::N;
    if (((run | from_stride | to_stride) % N) == 0 && is_aligned<N>(from) && is_aligned<N>(to))
    {
        add_groups<N>(from, from_stride, to, to_stride, run, count);
    }
    else
    {
        add_groups<1>(from, from_stride, to, to_stride, run, count);
    }
}

#define ADD_RUNS(T, suffix)                                                                                             \
    GRAFT_KERNEL add_runs_##suffix(const T* from, i64 from_stride, T* to, i64 to_stride, i64 run, i64 count)            \
    {                                                                                                                   \
        add_runs(from, from_stride, to, to_stride, run, count);                                                         \
    }
ADD_RUNS(float, f32)
ADD_RUNS(bf16, bf16)

// ---- permute ----------------------------------------------------------------------------------------------------------------------------------------------
// Axes of the output, padded with ones in front, and how far they move on either side.
template <int Axes>
struct Walk
{
    i64 length[Axes];
    i64 from[Axes];
    i64 to[Axes];

    __device__ __forceinline__ void at(i64 index, i64& from_at, i64& to_at) const
    {
        i64 step;
#pragma unroll
        for (int k = Axes - 1; k >= 0; k--)
        {
            if (length[k] > 1)
            {
                index = divide(index, length[k], step);
                from_at += step * from[k];
                to_at += step * to[k];
            }
        }
    }
};

// The last axis stays last: runs of `run` bytes. Lengths of outer axes, their distances in bytes.
template <typename Word>
__device__ __forceinline__ void permute_words(const char* x, char* y, i64 run, i64 count, const Walk<5>& outer)
{
    i64 per_run = run / sizeof(Word), threads = (i64)gridDim.x * blockDim.x, at;
#pragma unroll 1
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < per_run * count; i += threads)
    {
        i64 row = divide(i, per_run, at), from = 0, to = 0;
        outer.at(row, from, to);
        ((Word*)(y + to))[at] = ((const Word*)(x + from))[at];
    }
}

GRAFT_KERNEL permute_runs(const char* x, char* y, i64 run, i64 count, i64 n0, i64 n1, i64 n2, i64 n3, i64 n4, i64 f0, i64 f1, i64 f2, i64 f3, i64 f4, i64 t0, i64 t1,
                          i64 t2, i64 t3, i64 t4)
{
    Walk<5> outer = {{n0, n1, n2, n3, n4}, {f0, f1, f2, f3, f4}, {t0, t1, t2, t3, t4}};
    u64 all = (u64)x | (u64)y | (u64)run; // distances are multiples of the run
    if (all % 16 == 0)
    {
        permute_words<uint4>(x, y, run, count, outer);
    }
    else if (all % 4 == 0)
    {
        permute_words<u32>(x, y, run, count, outer);
    }
    else if (all % 2 == 0)
    {
        permute_words<unsigned short>(x, y, run, count, outer);
    }
    else
    {
        permute_words<unsigned char>(x, y, run, count, outer);
    }
}

// y[r · to_stride + c] = x[c · from_stride + r] in tiles; r runs along x's contiguous axis, c along y's. Outer axes and distances in elements.
template <typename Word>
__device__ __forceinline__ void transpose(const Word* x, Word* y, i64 rows, i64 columns, i64 from_stride, i64 to_stride, const Walk<4>& outer)
{
    __shared__ Word tile[32][33]; // one more, so that neither side has bank conflicts
    i64 tiles_r = (rows + 31) / 32, tiles_c = (columns + 31) / 32, tile_r, tile_c;
    i64 rest = divide(blockIdx.x, tiles_r, tile_r), from = 0, to = 0;
    rest = divide(rest, tiles_c, tile_c);
    outer.at(rest, from, to);
    int lane = threadIdx.x & 31;
    i64 r = tile_r * 32, c = tile_c * 32;
#pragma unroll
    for (int k = threadIdx.x >> 5; k < 32; k += 8)
    {
        if (c + k < columns && r + lane < rows)
        {
            tile[k][lane] = x[from + (c + k) * from_stride + r + lane];
        }
    }

    __syncthreads();
#pragma unroll
    for (int k = threadIdx.x >> 5; k < 32; k += 8)
    {
        if (r + k < rows && c + lane < columns)
        {
            y[to + (r + k) * to_stride + c + lane] = tile[lane][k];
        }
    }
}

#define TRANSPOSE(Word, bytes)                                                                                                                              \
    GRAFT_KERNEL transpose_##bytes(const Word* x, Word* y, i64 rows, i64 columns, i64 from_stride, i64 to_stride, i64 n0, i64 n1, i64 n2, i64 n3, i64 f0,   \
                                   i64 f1, i64 f2, i64 f3, i64 t0, i64 t1, i64 t2, i64 t3)                                                                  \
    {                                                                                                                                                       \
        Walk<4> outer = {{n0, n1, n2, n3}, {f0, f1, f2, f3}, {t0, t1, t2, t3}};                                                                             \
        transpose(x, y, rows, columns, from_stride, to_stride, outer);                                                                                      \
    }
TRANSPOSE(unsigned char, 1)
TRANSPOSE(unsigned short, 2)
TRANSPOSE(u32, 4)
TRANSPOSE(u64, 8)

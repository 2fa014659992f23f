// select.cu: the first elements of each row in order: arg-max, top-k, sort.
// Shapes    x (R, C) T; arg_max (R) i32; top_k values (R, K) T and indices (R, K) i32; T in {f32, bf16}
// Method    an element and its index make one 64-bit key, as on the CPU, so keys differ and the result is one whatever the order of work. Short rows and
//           whole sorts: bitonic sort of all keys. Else the K-th smallest key by radix selection from the highest byte on, at most 8 walks and mostly 4; the
//           keys up to it are gathered in any order and sorted.
// Launch    grid R; arg_max block 32 to 256, a power of two; top_k block 256 where it selects, else capacity / 2 from 32 to 256. Keys (capacity, a power of
//           two) lie in dynamic shared memory up to 4096 of them, else in the workspace (R, capacity) u64
// Traffic   arg_max R C sizeof(T) bytes: memory-bound from some 500 rows on. top_k reads a row 5 times from L2: 32000 f32 elements, 0.6 MB a row and block
// Numerics  exact. NaN is larger than all (arg_max: before all, in either direction), -0 equals 0, of equal ones the lower index comes first
#include "common.cuh"

const u64 NO_KEY = ~(u64)0;

// Unsigned numbers in the order of the floats.
__device__ __forceinline__ u32 order_of(float x)
{
    u32 bits = __float_as_uint(x + 0.0f); // -0 becomes 0
    return x != x ? 0xffffffffu : (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

template <typename T>
__device__ __forceinline__ u64 key_of(const T* row, int i, int smallest)
{
    u32 order = order_of(to_f32(row[i]));
    return ((u64)(smallest ? order : ~order) << 32) | (u32)i;
}

template <typename T>
__device__ __forceinline__ void arg_max(const T* x, int* result, int length, int smallest)
{
    __shared__ u64 shared[256];
    const T* row = x + (i64)blockIdx.x * length;
    u64 best = NO_KEY;
    for (int i = threadIdx.x; i < length; i += blockDim.x)
    {
        u64 key = key_of(row, i, smallest);
        if (smallest && (u32)(key >> 32) == 0xffffffffu)
        {
            key = (u32)i;
        }

        best = key < best ? key : best;
    }

    shared[threadIdx.x] = best;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half >>= 1)
    {
        if (threadIdx.x < half)
        {
            u64 other = shared[threadIdx.x + half];
            shared[threadIdx.x] = other < shared[threadIdx.x] ? other : shared[threadIdx.x];
        }

        __syncthreads();
    }

    if (threadIdx.x == 0)
    {
        result[blockIdx.x] = (int)(u32)shared[0];
    }
}

// The K-th smallest key of a row, or any number between it and the next: all keys up to it are the first K. Block of 256.
template <typename T>
__device__ __forceinline__ u64 select_key(const T* row, int length, int k, int smallest)
{
    __shared__ int counts[256];
    __shared__ int chosen[3]; // digit, keys still to find among those that have it, how many those are
    int thread = threadIdx.x;
    u64 prefix = 0, mask = 0;
    int wanted = k;
    for (int shift = 56; shift >= 0; shift -= 8)
    {
        counts[thread] = 0;
        __syncthreads();
        for (int i = thread; i < length; i += 256)
        {
            u64 key = key_of(row, i, smallest);
            if ((key & mask) == prefix)
            {
                atomicAdd(&counts[(int)(key >> shift) & 255], 1);
            }
        }

        __syncthreads();
        int own = counts[thread];
        for (int distance = 1; distance < 256; distance <<= 1)
        {
            int before = thread >= distance ? counts[thread - distance] : 0;
            __syncthreads();
            counts[thread] += before;
            __syncthreads();
        }

        int through = counts[thread];
        if (through - own < wanted && wanted <= through)
        {
            chosen[0] = thread;
            chosen[1] = wanted - (through - own);
            chosen[2] = own;
        }

        __syncthreads();
        prefix |= (u64)chosen[0] << shift;
        mask |= (u64)255 << shift;
        wanted = chosen[1];
        bool all = chosen[2] == wanted;
        __syncthreads();
        if (all)
        {
            break; // the same in every thread
        }
    }

    return prefix | ~mask;
}

template <typename T>
__device__ __forceinline__ void top_k(const T* x, T* values, int* indices, u64* workspace, int length, int k, int capacity, int select, int smallest)
{
    extern __shared__ u64 top_k_keys[];
    __shared__ int gathered;
    u64* keys = workspace == nullptr ? top_k_keys : workspace + (i64)blockIdx.x * capacity;
    const T* row = x + (i64)blockIdx.x * length;
    if (threadIdx.x == 0)
    {
        gathered = 0;
    }

    for (int i = threadIdx.x; i < capacity; i += blockDim.x)
    {
        keys[i] = !select && i < length ? key_of(row, i, smallest) : NO_KEY;
    }

    __syncthreads();
    if (select)
    {
        u64 limit = select_key(row, length, k, smallest);
        for (int i = threadIdx.x; i < length; i += blockDim.x)
        {
            u64 key = key_of(row, i, smallest);
            if (key <= limit)
            {
                keys[atomicAdd(&gathered, 1)] = key;
            }
        }

        __syncthreads();
    }

    for (int size = 2; size <= capacity; size <<= 1)
    {
        for (int distance = size / 2; distance > 0; distance >>= 1)
        {
            for (int pair = threadIdx.x; pair < capacity / 2; pair += blockDim.x)
            {
                int a = 2 * pair - (pair & (distance - 1)), b = a + distance;
                u64 first = keys[a], second = keys[b];
                if ((first > second) == ((a & size) == 0))
                {
                    keys[a] = second;
                    keys[b] = first;
                }
            }

            __syncthreads();
        }
    }

    for (int i = threadIdx.x; i < k; i += blockDim.x)
    {
        int index = (int)(u32)keys[i];
        indices[(i64)blockIdx.x * k + i] = index;
        values[(i64)blockIdx.x * k + i] = row[index];
    }
}

// dx[r, index] += dy; indices of a row differ.
template <typename T>
__device__ __forceinline__ void top_k_backward(const T* dy, const int* indices, T* dx, i64 elements, int length, int k)
{
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < elements)
    {
        T* to = dx + i / k * length + indices[i];
        *to = from_f32<T>(to_f32(*to) + to_f32(dy[i]));
    }
}

#define SELECT(T, suffix)                                                                                                              \
    GRAFT_KERNEL __launch_bounds__(256) arg_max_##suffix(const T* x, int* result, int length, int smallest)                            \
    {                                                                                                                                  \
        arg_max<T>(x, result, length, smallest);                                                                                       \
    }                                                                                                                                  \
    GRAFT_KERNEL __launch_bounds__(256)                                                                                                \
        top_k_##suffix(const T* x, T* values, int* indices, u64* workspace, int length, int k, int capacity, int select, int smallest) \
    {                                                                                                                                  \
        top_k<T>(x, values, indices, workspace, length, k, capacity, select, smallest);                                                \
    }                                                                                                                                  \
    GRAFT_KERNEL top_k_backward_##suffix(const T* dy, const int* indices, T* dx, i64 elements, int length, int k)                      \
    {                                                                                                                                  \
        top_k_backward<T>(dy, indices, dx, elements, length, k);                                                                       \
    }

SELECT(float, f32)
SELECT(bf16, bf16)

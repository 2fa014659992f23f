// common.cuh: what every kernel file stands on: element types, 16-byte packs, block reductions, Philox, export macros.
// Rules     every __global__ function is extern "C" and no template; templates are __device__ functions behind an export macro
//           no inline assembly here or in kernel files: hardware.cuh; no headers but our own (NVRTC runs without a toolkit)
//           all threads of a block reach every barrier: no return before one; block sizes are multiples of 32
//           no float atomics: the order of every sum is fixed and does not depend on the grid
//           offsets are 64-bit as soon as they are products
#pragma once
#include "hardware.cuh"

typedef long long i64;
typedef unsigned long long u64;
typedef unsigned int u32;

// ---- element types: f32 is float; 16-bit ones are storage, all arithmetic is f32 ------------------------------------------------------------------
struct bf16
{
    unsigned short bits;
};

struct f16
{
    unsigned short bits;
};

__device__ __forceinline__ float to_f32(float x)
{
    return x;
}

__device__ __forceinline__ float to_f32(bf16 x)
{
    return __uint_as_float((u32)x.bits << 16);
}

__device__ __forceinline__ float to_f32(f16 x)
{
    return f16_bits_to_f32(x.bits);
}

template <typename T>
__device__ __forceinline__ T from_f32(float x);

template <>
__device__ __forceinline__ float from_f32<float>(float x)
{
    return x;
}

template <>
__device__ __forceinline__ bf16 from_f32<bf16>(float x)
{
    bf16 y;
    y.bits = f32_to_bf16_bits(x);
    return y;
}

template <>
__device__ __forceinline__ f16 from_f32<f16>(float x)
{
    f16 y;
    y.bits = f32_to_f16_bits(x);
    return y;
}

// Graft's DType values, for operands whose type is known at run time only (small vectors: weights of norms, biases).
enum DTypeCode
{
    DTYPE_F32 = 0,
    DTYPE_BF16 = 1,
    DTYPE_F16 = 2,
    DTYPE_F64 = 3,
    DTYPE_I64 = 4,
    DTYPE_I32 = 5,
    DTYPE_U8 = 6,
    DTYPE_BOOL = 7
};

__device__ __forceinline__ float load_as_f32(const void* x, int dtype, i64 i)
{
    if (dtype == DTYPE_F32)
    {
        return ((const float*)x)[i];
    }

    return dtype == DTYPE_BF16 ? to_f32(((const bf16*)x)[i]) : to_f32(((const f16*)x)[i]);
}

// ---- packs of 16 bytes: 4 f32 or 8 16-bit elements in one load or store -----------------------------------------------------------------------------
template <typename T>
struct alignas(16) Pack
{
    static const int N = 16 / sizeof(T);
    T at[N];
};

// Four neighbouring elements in one load or store: 16 bytes of f32, 8 of bf16.
template <typename T>
struct alignas(4 * sizeof(T)) Four
{
    T at[4];
};

template <typename T>
__device__ __forceinline__ bool is_aligned16(const T* p)
{
    return ((u64)p & 15) == 0;
}

template <typename T>
__device__ __forceinline__ Pack<T> load_pack(const T* p)
{
    Pack<T> x;
    *reinterpret_cast<uint4*>(&x) = *reinterpret_cast<const uint4*>(p);
    return x;
}

template <typename T>
__device__ __forceinline__ void store_pack(T* p, const Pack<T>& x)
{
    *reinterpret_cast<uint4*>(p) = *reinterpret_cast<const uint4*>(&x);
}

// ---- reductions over groups of WIDTH neighbouring lanes, a power of two; all 32 lanes take part -----------------------------------------------------------
template <int WIDTH>
__device__ __forceinline__ float group_sum(float x)
{
#pragma unroll
    for (int distance = WIDTH / 2; distance > 0; distance >>= 1)
    {
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    }

    return x;
}

template <int WIDTH>
__device__ __forceinline__ float group_max(float x)
{
#pragma unroll
    for (int distance = WIDTH / 2; distance > 0; distance >>= 1)
    {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    }

    return x;
}

// ---- block reductions --------------------------------------------------------------------------------------------------------------------------
// Over all threads of a one-dimensional block, the same bits in every thread. `shared` holds 32 floats and may be used again at once after the call.
__device__ __forceinline__ float block_sum(float x, float* shared)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    x = warp_sum(x);
    if (lane == 0)
    {
        shared[warp] = x;
    }

    __syncthreads();
    x = warp_sum(lane < warps ? shared[lane] : 0.0f);
    __syncthreads();
    return x;
}

__device__ __forceinline__ float block_max(float x, float* shared)
{
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = (blockDim.x + 31) >> 5;
    x = warp_max(x);
    if (lane == 0)
    {
        shared[warp] = x;
    }

    __syncthreads();
    x = warp_max(lane < warps ? shared[lane] : -__int_as_float(0x7f800000));
    __syncthreads();
    return x;
}

#define GRAFT_INFINITY __int_as_float(0x7f800000)

// ---- Philox4x32-10: Salmon et al. 2011, as Graft.Runtime.Rng ------------------------------------------------------------------------------------
struct PhiloxWords
{
    u32 at[4];
};

__device__ __forceinline__ PhiloxWords philox4x32(u32 c0, u32 c1, u32 c2, u32 c3, u32 k0, u32 k1)
{
#pragma unroll
    for (int round = 0; round < 10; round++)
    {
        u32 h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0;
        u32 h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
        c0 = h1 ^ c1 ^ k0;
        c1 = l1;
        c2 = h0 ^ c3 ^ k1;
        c3 = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }

    PhiloxWords words = {{c0, c1, c2, c3}};
    return words;
}

// ---- exports ------------------------------------------------------------------------------------------------------------------------------------
// One macro per kernel and file makes an entry point per element type; C# adds the suffix: rms_norm_forward_f32, rms_norm_forward_bf16.
//   #define RMS_NORM_FORWARD(T, suffix) GRAFT_KERNEL rms_norm_forward_##suffix(const T* x, ...) { rms_norm_forward<T>(x, ...); }
//   RMS_NORM_FORWARD(float, f32) RMS_NORM_FORWARD(bf16, bf16)
#define GRAFT_KERNEL extern "C" __global__ void

// hardware.cuh: everything that is not CUDA C++ but an instruction: conversions, tensor cores, asynchronous copies, warp operations.
// All inline assembly of Graft stands here. Where GRAFT_EMULATOR is defined, the emulated driver of the tests has declared functions of the same names before this
// text and runs their meaning on the CPU; nothing else differs between a card and the emulator.
// Needs     sm_80 or newer
#pragma once

#ifndef GRAFT_EMULATOR

// ---- 16-bit floats, as bits -------------------------------------------------------------------------------------------------------------------
// Round to nearest, ties to even.
__device__ __forceinline__ unsigned short f32_to_bf16_bits(float x)
{
    unsigned short y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ unsigned short f32_to_f16_bits(float x)
{
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float f16_bits_to_f32(unsigned short x)
{
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}

// Two numbers in one register, the first in the low half: the order in memory, and that of mma fragments.
__device__ __forceinline__ unsigned pack_bf16(float low, float high)
{
    unsigned y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

// 2^x, two units in the last place; 0 for -infinity.
__device__ __forceinline__ float exp2_approx(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// ---- warp operations: all 32 lanes take part --------------------------------------------------------------------------------------------------
// Sums and maxima over the warp, the same bits in every lane: a butterfly, so the order is fixed.
__device__ __forceinline__ float warp_sum(float x)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance >>= 1)
    {
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    }

    return x;
}

__device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int distance = 16; distance > 0; distance >>= 1)
    {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    }

    return x;
}

// ---- tensor cores -----------------------------------------------------------------------------------------------------------------------------
// d (16, 8) += a (16, 16) · b (16, 8), a row-major and b column-major bf16, d f32. Fragments as in the PTX manual, "mma.m16n8k16": with g = lane / 4, t = lane % 4,
//   a[0] = A[g][2t..], a[1] = A[g + 8][2t..], a[2] = A[g][2t + 8..], a[3] = A[g + 8][2t + 8..]   (pairs of neighbours in k)
//   b[0] = B[2t..][g], b[1] = B[2t + 8..][g]                                                      (pairs of neighbours in k)
//   d[0], d[1] = D[g][2t], D[g][2t + 1];  d[2], d[3] = D[g + 8][2t], D[g + 8][2t + 1]
__device__ __forceinline__ void mma_bf16_16816(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8 x 8 matrices of 16-bit elements from shared memory; lane i gives the address of row i % 8 of matrix i / 8 (16 bytes, aligned).
// Lane l receives elements 2(l % 4), 2(l % 4) + 1 of row l / 4 of matrix j in r[j]; the _trans form reads each matrix transposed.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&r)[4], const void* row)
{
    unsigned address = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&r)[4], const void* row)
{
    unsigned address = (unsigned)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address) : "memory");
}

// ---- asynchronous copies to shared memory -------------------------------------------------------------------------------------------------------
// 16 bytes, both sides aligned to 16; zeros are written, and nothing is read, where `valid` is false.
__device__ __forceinline__ void cp_async16(void* to, const void* from, bool valid = true)
{
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes) : "memory");
}

// Closes a group of the copies issued since the last one.
__device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until at most N groups of this thread are under way; __syncthreads() must follow before other threads' bytes are read.
template <int N>
__device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#endif

// tensor_ops.cpp: mma.m16n8k16 and ldmatrix, fragments as the comments of hardware.cuh and the PTX manual give them.
#include <cstring>
#include "checked.h"
#include "warp.h"

namespace emu
{
static inline float bf16(unsigned bits)
{
    unsigned wide = bits << 16;
    float x;
    memcpy(&x, &wide, 4);
    return x;
}

// d += a · b in f32, k ascending. Tensor cores add in another order and round otherwise: compare with tolerances.
__attribute__((target_clones("avx2", "default"))) static void multiply(float (*d)[8], const float (*a)[16], const float (*b)[8])
{
    for (int i = 0; i < 16; i++)
    {
        for (int k = 0; k < 16; k++)
        {
            float x = a[i][k];
            for (int j = 0; j < 8; j++)
            {
                d[i][j] += x * b[k][j];
            }
        }
    }
}

void mma_bf16_16816(EmuWarpCall* const* calls)
{
    alignas(32) float a[16][16], b[16][8], d[16][8];
    for (int lane = 0; lane < 32; lane++)
    {
        int g = lane / 4, t = lane % 4;
        const unsigned* fa = (const unsigned*)calls[lane]->a;
        const unsigned* fb = (const unsigned*)calls[lane]->b;
        const float* fd = (const float*)calls[lane]->d;
        for (int half = 0; half < 2; half++)
        {
            unsigned shift = 16 * half;
            a[g][2 * t + half] = bf16(fa[0] >> shift & 0xffff);
            a[g + 8][2 * t + half] = bf16(fa[1] >> shift & 0xffff);
            a[g][2 * t + 8 + half] = bf16(fa[2] >> shift & 0xffff);
            a[g + 8][2 * t + 8 + half] = bf16(fa[3] >> shift & 0xffff);
            b[2 * t + half][g] = bf16(fb[0] >> shift & 0xffff);
            b[2 * t + 8 + half][g] = bf16(fb[1] >> shift & 0xffff);
            d[g][2 * t + half] = fd[half];
            d[g + 8][2 * t + half] = fd[2 + half];
        }
    }

    multiply(d, a, b);
    for (int lane = 0; lane < 32; lane++)
    {
        int g = lane / 4, t = lane % 4;
        float* fd = (float*)calls[lane]->d;
        fd[0] = d[g][2 * t];
        fd[1] = d[g][2 * t + 1];
        fd[2] = d[g + 8][2 * t];
        fd[3] = d[g + 8][2 * t + 1];
    }
}

void load_matrices(EmuWarpCall* const* calls, bool transposed, Fiber* warp)
{
    unsigned short m[4][8][8];
    for (int lane = 0; lane < 32; lane++)
    {
        const void* row = calls[lane]->a;
        if (((size_t)row & 15) != 0 || !in_shared(row, 16))
        {
            engine.current = &warp[lane];
            fail(((size_t)row & 15) != 0 ? CUDA_ERROR_MISALIGNED_ADDRESS : CUDA_ERROR_ILLEGAL_ADDRESS,
                 format("ldmatrix at line %d: row address %p is %s", calls[lane]->line, row, ((size_t)row & 15) != 0 ? "no multiple of 16" : "not in the block's shared memory"));
        }

        if (modes.checked)
        {
            shadow_access_by(&warp[lane], row, 16, EMU_READ);
        }

        memcpy(m[lane / 8][lane % 8], row, 16);
    }

    for (int lane = 0; lane < 32; lane++)
    {
        unsigned* r = (unsigned*)calls[lane]->d;
        int row = lane / 4, column = 2 * (lane % 4);
        for (int j = 0; j < 4; j++)
        {
            unsigned low = transposed ? m[j][column][row] : m[j][row][column];
            unsigned high = transposed ? m[j][column + 1][row] : m[j][row][column + 1];
            r[j] = high << 16 | low;
        }
    }
}
} // namespace emu

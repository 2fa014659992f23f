// copy_not_waited.cu: the bytes of cp.async are read before its group was waited for.
// Launch   grid 1, block 32, shared 0, n 128
// Fast     differs
// Checked  reported asynchronous copy
#include "hardware.cuh"

template <bool Right>
__device__ void copy(float* out, const float* in)
{
    __shared__ __align__(16) float tile[128];
    int i = threadIdx.x * 4;
    cp_async16(tile + i, in + i);
    cp_async_commit();
    if (Right)
    {
        cp_async_wait<0>();
    }

    __syncthreads();
    for (int j = 0; j < 4; j++)
    {
        out[i + j] = tile[127 - i - j];
    }

    cp_async_wait<0>();
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    copy<true>(out, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    copy<false>(out, in);
}

// copies_at_exit.cu: a thread ends with an asynchronous copy under way.
// Launch   grid 1, block 32, shared 0, n 128
// Fast     reported asynchronous copies under way
// Checked  reported asynchronous copies under way
#include "hardware.cuh"

template <bool Right>
__device__ void copy(float* out, const float* in)
{
    __shared__ __align__(16) float tile[128];
    int i = threadIdx.x * 4;
    cp_async16(tile + i, in + i);
    cp_async_commit();
    for (int j = 0; j < 4; j++)
    {
        out[i + j] = in[i + j];
    }

    if (Right)
    {
        cp_async_wait<0>();
    }
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    copy<true>(out, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    copy<false>(out, in);
}

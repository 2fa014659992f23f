// copy_without_barrier.cu: a thread waits for its own copies and reads another thread's.
// Launch   grid 1, block 64, shared 0, n 256
// Fast     differs
// Checked  reported race|uninitialised|asynchronous copy
#include "hardware.cuh"

template <bool Right>
__device__ void copy(float* out, const float* in)
{
    __shared__ __align__(16) float tile[256];
    int i = threadIdx.x * 4;
    cp_async16(tile + i, in + i);
    cp_async_commit();
    cp_async_wait<0>();
    if (Right)
    {
        __syncthreads();
    }

    for (int j = 0; j < 4; j++)
    {
        out[i + j] = tile[255 - i - j];
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

// partial_barrier.cu: a barrier that only half of the block reaches, while the rest waits at a later one of the warp.
// Launch   grid 1, block 64, shared 0, n 64
// Fast     reported deadlock
// Checked  reported deadlock
extern "C" __global__ void control(float* out, const float* in, int)
{
    __syncthreads();
    out[threadIdx.x] = in[threadIdx.x];
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    if (threadIdx.x % 2 == 0)
    {
        __syncthreads();
    }

    __syncwarp();
    out[threadIdx.x] = in[threadIdx.x];
}

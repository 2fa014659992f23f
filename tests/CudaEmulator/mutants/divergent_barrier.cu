// divergent_barrier.cu: the two arms of a branch each have a barrier.
// Launch   grid 1, block 64, shared 0, n 64
// Fast     reported divergent barrier
// Checked  reported divergent barrier
extern "C" __global__ void control(float* out, const float* in, int)
{
    __syncthreads();
    out[threadIdx.x] = threadIdx.x < 32 ? in[threadIdx.x] : -in[threadIdx.x];
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    if (threadIdx.x < 32)
    {
        out[threadIdx.x] = in[threadIdx.x];
        __syncthreads();
    }
    else
    {
        out[threadIdx.x] = -in[threadIdx.x];
        __syncthreads();
    }
}

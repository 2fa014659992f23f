// uninitialised_shared.cu: a sum starts from shared memory that nobody has set.
// Launch   grid 2, block 32, shared 0, n 64
// Fast     differs
// Checked  reported uninitialised memory
template <bool Right>
__device__ void sum(float* out, const float* in)
{
    __shared__ float total;
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (threadIdx.x == 0)
    {
        float x = Right ? 0.0f : total;
        for (int j = 0; j < 32; j++)
        {
            x += in[blockIdx.x * 32 + j];
        }

        total = x;
    }

    __syncthreads();
    out[i] = total;
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    sum<true>(out, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    sum<false>(out, in);
}

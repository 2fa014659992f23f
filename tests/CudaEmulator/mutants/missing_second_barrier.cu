// missing_second_barrier.cu: a tile is overwritten while slower threads still read it.
// Launch   grid 1, block 64, shared 0, n 64
// Fast     differs
// Checked  reported race
template <bool Right>
__device__ void twice(float* out, const float* in, int n)
{
    __shared__ float tile[64];
    int i = threadIdx.x;
    float sum = 0;
    for (int round = 0; round < 2; round++)
    {
        tile[i] = in[i] * (round + 1);
        __syncthreads();
        sum += tile[(i + 1) % n];
        if (Right)
        {
            __syncthreads();
        }
    }

    out[i] = sum;
}

extern "C" __global__ void control(float* out, const float* in, int n)
{
    twice<true>(out, in, n);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    twice<false>(out, in, n);
}

// warp_race.cu: two warps write one element, and the later one wins.
// Launch   grid 1, block 64, shared 0, n 64
// Fast     differs
// Checked  reported race: write
template <bool Right>
__device__ void last(float* out, const float* in)
{
    __shared__ float slot[2];
    int warp = threadIdx.x / 32;
    if (threadIdx.x % 32 == 0)
    {
        slot[Right ? warp : 0] = in[threadIdx.x];
    }

    __syncthreads();
    out[threadIdx.x] = slot[0];
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    last<true>(out, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    last<false>(out, in);
}

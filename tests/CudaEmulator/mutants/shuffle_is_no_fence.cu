// shuffle_is_no_fence.cu: a shuffle between a store and another lane's load orders nothing; __syncwarp does.
// Launch   grid 1, block 32, shared 0, n 32
// Fast     missed
// Checked  reported race: read
template <bool Right>
__device__ void rotate(float* out, const float* in)
{
    __shared__ float tile[32];
    int i = threadIdx.x;
    tile[i] = in[i];
    float x = __shfl_sync(0xffffffffu, in[i], 0);
    if (Right)
    {
        __syncwarp();
    }

    out[i] = tile[(i + 1) % 32] + 0 * x;
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    rotate<true>(out, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    rotate<false>(out, in);
}

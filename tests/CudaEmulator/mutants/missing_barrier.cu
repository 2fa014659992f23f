// missing_barrier.cu: a neighbour's element is read before all threads have written.
// Launch   grid 1, block 128, shared 0, n 128
// Fast     differs
// Checked  reported race: read|uninitialised
template <bool Right>
__device__ void shift(float* out, const float* in, int n)
{
    __shared__ float tile[128];
    int i = threadIdx.x;
    tile[i] = in[i];
    if (Right)
    {
        __syncthreads();
    }

    out[i] = tile[(i + 33) % n];
}

extern "C" __global__ void control(float* out, const float* in, int n)
{
    shift<true>(out, in, n);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    shift<false>(out, in, n);
}

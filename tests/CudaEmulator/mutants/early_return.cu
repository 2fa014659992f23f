// early_return.cu: threads beyond the end return before a barrier.
// Launch   grid 1, block 128, shared 0, n 101
// Fast     reported threads exited
// Checked  reported threads exited
template <bool Right>
__device__ void reverse(float* out, const float* in, int n)
{
    __shared__ float tile[128];
    int i = threadIdx.x;
    if (!Right && i >= n)
    {
        return;
    }

    tile[i] = i < n ? in[i] : 0.0f;
    __syncthreads();
    if (i < n)
    {
        out[i] = tile[n - 1 - i];
    }
}

extern "C" __global__ void control(float* out, const float* in, int n)
{
    reverse<true>(out, in, n);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    reverse<false>(out, in, n);
}

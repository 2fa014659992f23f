// static_shared_past_end.cu: a static array is one element short. Fast mode knows only the whole file's shared memory.
// Launch   grid 1, block 64, shared 0, n 64
// Fast     missed
// Checked  reported index outside of an array
template <int N>
__device__ void reverse(float* out, const float* in, int n)
{
    __shared__ float tile[N];
    __shared__ float behind[16];
    int i = threadIdx.x;
    if (i < 16)
    {
        behind[i] = 0;
    }

    __syncthreads();
    tile[i] = in[i];
    __syncthreads();
    out[i] = tile[n - 1 - i] + 0 * behind[i % 8 + 8];
}

extern "C" __global__ void control(float* out, const float* in, int n)
{
    reverse<64>(out, in, n);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    reverse<63>(out, in, n);
}

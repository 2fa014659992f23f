// dynamic_shared_past_end.cu: one element more than the launch gives, in an array of a template.
// Launch   grid 1, block 64, shared 256, n 64
// Fast     reported dynamic shared memory
// Checked  reported dynamic shared memory
template <int Extra>
__device__ void reverse(float* out, const float* in, int n)
{
    extern __shared__ __align__(16) float tile[];
    int i = threadIdx.x;
    tile[i + Extra] = in[i];
    __syncthreads();
    out[i] = tile[n - 1 - i + Extra];
}

extern "C" __global__ void control(float* out, const float* in, int n)
{
    reverse<0>(out, in, n);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    reverse<1>(out, in, n);
}

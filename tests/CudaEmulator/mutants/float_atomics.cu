// float_atomics.cu: a sum by float atomics is no race, but its bits depend on the order.
// Launch   grid 1, block 256, shared 0, n 256
// Fast     differs
// Checked  differs
extern "C" __global__ void control(float* out, const float* in, int n)
{
    int i = threadIdx.x;
    out[i] = 0;
    if (i == 0)
    {
        for (int j = 0; j < n; j++)
        {
            out[0] += 1.0f / in[j];
        }
    }
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    int i = threadIdx.x;
    out[i] = 0;
    __syncthreads();
    atomicAdd(out, 1.0f / in[i]);
}

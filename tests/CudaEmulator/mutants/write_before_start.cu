// write_before_start.cu: an index of -1.
// Launch   grid 1, block 64, shared 0, n 101
// Fast     reported before an allocation
// Checked  reported before an allocation
extern "C" __global__ void control(float* out, const float* in, int n)
{
    for (int i = threadIdx.x; i < n; i += 64)
    {
        out[i] = in[i];
    }
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    for (int i = threadIdx.x; i < n; i += 64)
    {
        out[i] = in[i];
    }

    if (threadIdx.x == 0)
    {
        out[-1] = 0;
    }
}

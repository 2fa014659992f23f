// trap.cu: __trap ends the launch.
// Launch   grid 1, block 32, shared 0, n 32
// Fast     reported __trap at line 14
// Checked  reported __trap at line 14
extern "C" __global__ void control(float* out, const float* in, int)
{
    out[threadIdx.x] = in[threadIdx.x];
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    if (threadIdx.x == 31)
    {
        __trap();
    }

    out[threadIdx.x] = in[threadIdx.x];
}

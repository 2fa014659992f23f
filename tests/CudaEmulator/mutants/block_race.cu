// block_race.cu: a block reads what another block of the same launch writes.
// Launch   grid 4, block 32, shared 0, n 128
// Fast     differs
// Checked  reported race of blocks|uninitialised
extern "C" __global__ void control(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = in[i] + (i >= 32 ? in[i - 32] : 0.0f);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = in[i];
    if (i >= 32)
    {
        out[i] = in[i] + (out[i - 32] == out[i - 32] ? in[i - 32] : 1.0f);
    }
}

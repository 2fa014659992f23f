// write_past_end.cu: no check of the bound, writing; the last block is not full.
// Launch   grid 2, block 64, shared 0, n 101
// Fast     reported past the end
// Checked  reported out-of-bounds write
extern "C" __global__ void control(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
    {
        out[i] = in[i];
    }
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = i < n ? in[i] : 0.0f;
}

// read_past_end.cu: <= in place of <, reading.
// Launch   grid 2, block 64, shared 0, n 128
// Fast     reported past the end
// Checked  reported past the end
extern "C" __global__ void control(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = in[i] + (i + 1 < n ? in[i + 1] : 0.0f);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = in[i] + (i + 1 <= n ? in[i + 1] : 0.0f);
}

// same_value.cu: all threads store the same flag: no barrier, and no error (an error flag is set like this). Both kernels are right.
// Launch   grid 2, block 64, shared 0, n 128
// Fast     missed
// Checked  missed
extern "C" __global__ void control(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = i == 0 ? 7.0f : in[i];
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i != 0)
    {
        out[i] = in[i];
    }

    out[0] = 7.0f;
}

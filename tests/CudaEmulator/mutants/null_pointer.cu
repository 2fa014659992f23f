// null_pointer.cu: an optional operand is read without asking whether it is there.
// Launch   grid 1, block 32, shared 0, n 32
// Fast     reported near null
// Checked  reported near null
__device__ void add(float* out, const float* in, const float* bias)
{
    out[threadIdx.x] = in[threadIdx.x] + bias[threadIdx.x];
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    add(out, in, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    add(out, in, n == 32 ? (const float*)0 : in);
}

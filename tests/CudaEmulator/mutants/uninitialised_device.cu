// uninitialised_device.cu: += on memory that was allocated and not cleared.
// Launch   grid 1, block 64, shared 0, n 64
// Fast     differs
// Checked  reported uninitialised memory
extern "C" __global__ void control(float* out, const float* in, int)
{
    out[threadIdx.x] = in[threadIdx.x];
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    out[threadIdx.x] += in[threadIdx.x];
}

// shuffle_own_lane.cu: lanes 16 to 31 shuffle with a mask that names the others.
// Launch   grid 1, block 32, shared 0, n 32
// Fast     reported does not name the calling lane
// Checked  reported does not name the calling lane
template <unsigned Mask>
__device__ void swap(float* out, const float* in)
{
    int i = threadIdx.x;
    float x = in[i];
    if (i >= 16)
    {
        x = __shfl_xor_sync(Mask, x, 1);
    }

    out[i] = x;
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    swap<0xffff0000u>(out, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    swap<0x0000ffffu>(out, in);
}

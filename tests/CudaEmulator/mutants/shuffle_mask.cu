// shuffle_mask.cu: half of the warp shuffles with the mask of the whole warp.
// Launch   grid 1, block 32, shared 0, n 32
// Fast     reported threads waiting in __shfl_xor_sync
// Checked  reported threads waiting in __shfl_xor_sync
template <unsigned Mask>
__device__ void swap(float* out, const float* in)
{
    int i = threadIdx.x;
    float x = in[i];
    if (i < 16)
    {
        x = __shfl_xor_sync(Mask, x, 1);
    }

    out[i] = x;
}

extern "C" __global__ void control(float* out, const float* in, int)
{
    swap<0x0000ffffu>(out, in);
}

extern "C" __global__ void mutant(float* out, const float* in, int)
{
    swap<0xffffffffu>(out, in);
}

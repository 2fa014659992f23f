// misaligned_vector.cu: a float4 at an address that is no multiple of 16. g++ may split the copy, so fast mode sees nothing.
// Launch   grid 1, block 16, shared 0, n 68
// Fast     reported misaligned vector
// Checked  reported misaligned
template <int Offset>
__device__ void copy(float* out, const float* in, int n)
{
    int i = threadIdx.x * 4 + Offset;
    float4 x = *reinterpret_cast<const float4*>(in + i);
    out[i] = x.x;
    out[i + 1] = x.y;
    out[i + 2] = x.z;
    out[i + 3] = x.w;
    if (threadIdx.x == 0)
    {
        for (int j = 0; j < Offset; j++)
        {
            out[j] = in[j];
        }

        for (int j = 64 + Offset; j < n; j++)
        {
            out[j] = in[j];
        }
    }
}

extern "C" __global__ void control(float* out, const float* in, int n)
{
    copy<0>(out, in, n);
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    copy<1>(out, in, n);
}

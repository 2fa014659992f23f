// read_past_odd_end.cu: the same where the allocation does not end at a guard page: the canary gives a wrong number.
// Launch   grid 1, block 128, shared 0, n 101
// Fast     differs
// Checked  reported 0 bytes past the end
extern "C" __global__ void control(float* out, const float* in, int n)
{
    int i = threadIdx.x;
    if (i < n)
    {
        out[i] = in[i] + (i + 1 < n ? in[i + 1] : 0.0f);
    }
}

extern "C" __global__ void mutant(float* out, const float* in, int n)
{
    int i = threadIdx.x;
    if (i < n)
    {
        out[i] = in[i] + in[i + 1];
    }
}

// attention_delta.cu: what every backward of attention begins with, and the gradient of sinks: delta = Σ dout·out, dsink = -Σ exp(sink - lse)·delta.
// Shapes    out and dout (B, T, H, D) T; lse and delta (B, H, T) f32; sinks and their gradient (H) f32 or bf16 by their codes; T in {f32, bf16}
// Launch    delta: a warp per row of D, block 256; dsinks: block 256, grid H
// Traffic   delta 2·B·T·H·D·sizeof(T) bytes, as many flop as elements: memory-bound; dsinks 8·B·T·H bytes
// Numerics  sums in f32 in a fixed order
// Needs     16-byte rows for the vector path, else element by element
#include "attention.cuh"

// delta = Σ dout·out over D.
template <typename T>
__device__ __forceinline__ void attention_delta(const T* out, const T* dout, float* delta, int batches, int queries, int heads, int size)
{
    i64 row = (i64)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5), rows = (i64)batches * queries * heads;
    int lane = threadIdx.x & 31;
    if (row >= rows)
    {
        return; // a whole warp, and no barrier follows
    }

    const T* y = out + row * size;
    const T* dy = dout + row * size;
    float sum = 0.0f;
    if (size % Pack<T>::N == 0 && is_aligned16(out) && is_aligned16(dout))
    {
        for (int d = lane * Pack<T>::N; d < size; d += 32 * Pack<T>::N)
        {
            Pack<T> a = load_pack(y + d), b = load_pack(dy + d);
#pragma unroll
            for (int i = 0; i < Pack<T>::N; i++)
            {
                sum += to_f32(a.at[i]) * to_f32(b.at[i]);
            }
        }
    }
    else
    {
        for (int d = lane; d < size; d += 32)
        {
            sum += to_f32(y[d]) * to_f32(dy[d]);
        }
    }

    sum = warp_sum(sum);
    if (lane == 0)
    {
        i64 head = row % heads, token = row / heads;
        delta[(token / queries * heads + head) * queries + token % queries] = sum;
    }
}

// dsink = -Σ exp(sink - lse)·delta over batches and queries: one block per head.
GRAFT_KERNEL attention_dsinks(
    const void* sinks, int sinks_type, const float* lse, const float* delta, void* gradient, int gradient_type, int accumulate, int batches, int queries, int heads)
{
    __shared__ float memory[32];
    int head = blockIdx.x;
    float sink = load_as_f32(sinks, sinks_type, head), sum = 0.0f;
    for (int batch = 0; batch < batches; batch++)
    {
        i64 row = ((i64)batch * heads + head) * queries;
        for (int t = threadIdx.x; t < queries; t += blockDim.x)
        {
            sum += expf(sink - lse[row + t]) * delta[row + t];
        }
    }

    sum = block_sum(sum, memory);
    if (threadIdx.x == 0)
    {
        float value = (accumulate ? load_as_f32(gradient, gradient_type, head) : 0.0f) - sum;
        if (gradient_type == DTYPE_F32)
        {
            ((float*)gradient)[head] = value;
        }
        else
        {
            ((bf16*)gradient)[head] = from_f32<bf16>(value);
        }
    }
}

#define ATTENTION_DELTA(T, suffix)                                                                                                                        \
    GRAFT_KERNEL attention_delta_##suffix(const T* out, const T* dout, float* delta, int batches, int queries, int heads, int size)                       \
    {                                                                                                                                                     \
        attention_delta<T>(out, dout, delta, batches, queries, heads, size);                                                                              \
    }
ATTENTION_DELTA(float, f32)
ATTENTION_DELTA(bf16, bf16)

// attention_decode.cu: attention of a few queries against many keys: generation.
// Method    a softmax per group of lanes over its own keys, merged in order; splits of DECODE_SPLIT keys, whatever the grid
// Shapes    q (B, T, H, D), k and v (B, S, K, D) T, strided by batch and token; out (B, T, H, D) T; lse and delta (B, H, T) f32; T in {f32, bf16}, D up to 1024
//           ranges (B, T, 2) i32, sinks (H) f32, bf16 or f16: both may be null
// Launch    decode: block 256, grid (B·T·H, splits); decode_merge: block 128, grid B·T·H
// Traffic   4·B·H·T·S·D flop for 2·B·K·S·D·sizeof(T) bytes, H / K flop per byte in bf16: memory-bound; 8 rows of 16 bytes under way per lane
// Numerics  f32 throughout; every sum in an order given by the shape alone
// Needs     16-byte rows and D of at most 32 packs
#include "attention.cuh"

// A key or value is read by LANES neighbouring lanes, 16 bytes each, so a warp has 32 / LANES keys at a time and a block 8 times as many. Each such group has a
// softmax of its own over every so many-th key; they are merged in shared memory, in order. Block y has the keys of split y, to be merged by decode_merge.
static const int DECODE_SPLIT = 512;
static const int DECODE_AHEAD = 4; // keys and as many values under way per lane

template <typename T, int LANES>
__device__ __forceinline__ void attention_decode(
    const AttentionShape& s, const AttentionHeads<T>& x, const void* sinks, int sinks_type, T* out, float* lse, float* parts, float* part_sums, float* memory)
{
    const int N = Pack<T>::N, KEYS = 32 / LANES, GROUPS = 8 * KEYS;
    int batch = blockIdx.x / s.heads / s.queries, query = blockIdx.x / s.heads % s.queries, head = blockIdx.x % s.heads, split = blockIdx.y;
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, column = lane * N;
    bool inside = column < s.size;
    i64 key_head = batch * x.k_batch + (i64)(head / (s.heads / s.key_heads)) * s.size + (inside ? column : 0);
    Interval keys = visible_keys(s, batch, query);
    int first = max(keys.first, split * DECODE_SPLIT), end = min(keys.end, (split + 1) * DECODE_SPLIT);
    float q[N], sum[N], top = -GRAFT_INFINITY, total = 0.0f;
    Pack<T> row = load_pack(x.q + batch * x.q_batch + query * x.q_token + (i64)head * s.size + (inside ? column : 0));
#pragma unroll
    for (int i = 0; i < N; i++)
    {
        q[i] = inside ? to_f32(row.at[i]) * s.scale : 0.0f;
        sum[i] = 0.0f;
    }

    // The bound is that of the warp, so that all its lanes take part in the sums.
    for (int start = first + group / KEYS * KEYS; start < end; start += DECODE_AHEAD * GROUPS)
    {
        Pack<T> k[DECODE_AHEAD], v[DECODE_AHEAD];
        float score[DECODE_AHEAD], most = top;
#pragma unroll
        for (int a = 0; a < DECODE_AHEAD; a++)
        {
            i64 at = key_head + min(start + group % KEYS + a * GROUPS, end - 1) * x.k_token;
            k[a] = load_pack(x.k + at);
            v[a] = load_pack(x.v + at);
        }

#pragma unroll
        for (int a = 0; a < DECODE_AHEAD; a++)
        {
            float dot = 0.0f;
#pragma unroll
            for (int i = 0; i < N; i++)
            {
                dot += q[i] * to_f32(k[a].at[i]);
            }

            dot = group_sum<LANES>(dot);
            dot = s.cap != 0.0f ? s.cap * tanhf(dot / s.cap) : dot;
            score[a] = start + group % KEYS + a * GROUPS < end ? dot : -GRAFT_INFINITY;
            most = fmaxf(most, score[a]);
        }

        float shift = most == -GRAFT_INFINITY ? 0.0f : most, correction = expf(top - shift);
        top = most;
        total *= correction;
#pragma unroll
        for (int i = 0; i < N; i++)
        {
            sum[i] *= correction;
        }

#pragma unroll
        for (int a = 0; a < DECODE_AHEAD; a++)
        {
            float p = expf(score[a] - shift);
            total += p;
#pragma unroll
            for (int i = 0; i < N; i++)
            {
                sum[i] += p * to_f32(v[a].at[i]);
            }
        }
    }

    // memory: GROUPS maxima, GROUPS sums, GROUPS rows.
    if (lane == 0)
    {
        memory[group] = top;
        memory[GROUPS + group] = total;
    }

#pragma unroll
    for (int i = 0; i < N; i++)
    {
        memory[2 * GROUPS + (group * LANES + lane) * N + i] = sum[i];
    }

    __syncthreads();
    bool whole = gridDim.y == 1;
    float sink = whole && sinks != nullptr ? load_as_f32(sinks, sinks_type, head) : -GRAFT_INFINITY;
    float most = sink;
    for (int i = 0; i < GROUPS; i++)
    {
        most = fmaxf(most, memory[i]);
    }

    float shift = most == -GRAFT_INFINITY ? 0.0f : most;
    total = expf(sink - shift);
    for (int i = 0; i < GROUPS; i++)
    {
        total += memory[GROUPS + i] * expf(memory[i] - shift);
    }

    i64 place = (i64)blockIdx.x * gridDim.y + split;
    for (int d = threadIdx.x; d < s.size; d += 256)
    {
        float y = 0.0f;
        for (int i = 0; i < GROUPS; i++)
        {
            y += memory[2 * GROUPS + i * LANES * N + d] * expf(memory[i] - shift);
        }

        if (whole)
        {
            out[(i64)blockIdx.x * s.size + d] = from_f32<T>(total == 0.0f ? 0.0f : y / total);
        }
        else
        {
            parts[place * s.size + d] = y;
        }
    }

    if (threadIdx.x == 0)
    {
        if (!whole)
        {
            part_sums[2 * place] = most;
            part_sums[2 * place + 1] = total;
        }
        else if (lse != nullptr)
        {
            lse[((i64)batch * s.heads + head) * s.queries + query] = total == 0.0f ? -GRAFT_INFINITY : most + logf(total);
        }
    }
}

template <typename T>
__device__ __forceinline__ void attention_decode(
    const AttentionShape& s, const AttentionHeads<T>& x, const void* sinks, int sinks_type, T* out, float* lse, float* parts, float* part_sums)
{
    __shared__ float memory[2 * 64 + 256 * Pack<T>::N];
    int packs = s.size / Pack<T>::N;
    if (packs <= 8)
    {
        attention_decode<T, 8>(s, x, sinks, sinks_type, out, lse, parts, part_sums, memory);
    }
    else if (packs <= 16)
    {
        attention_decode<T, 16>(s, x, sinks, sinks_type, out, lse, parts, part_sums, memory);
    }
    else
    {
        attention_decode<T, 32>(s, x, sinks, sinks_type, out, lse, parts, part_sums, memory);
    }
}

template <typename T>
__device__ __forceinline__ void attention_decode_merge(
    const float* parts, const float* part_sums, int splits, const void* sinks, int sinks_type, T* out, float* lse, int queries, int heads, int size)
{
    i64 row = blockIdx.x;
    int head = (int)(row % heads);
    float sink = sinks != nullptr ? load_as_f32(sinks, sinks_type, head) : -GRAFT_INFINITY, most = sink;
    const float* sums = part_sums + 2 * row * splits;
    for (int i = 0; i < splits; i++)
    {
        most = fmaxf(most, sums[2 * i]);
    }

    float shift = most == -GRAFT_INFINITY ? 0.0f : most, total = expf(sink - shift);
    for (int i = 0; i < splits; i++)
    {
        total += sums[2 * i + 1] * expf(sums[2 * i] - shift);
    }

    for (int d = threadIdx.x; d < size; d += blockDim.x)
    {
        float y = 0.0f;
        for (int i = 0; i < splits; i++)
        {
            y += parts[(row * splits + i) * size + d] * expf(sums[2 * i] - shift);
        }

        out[row * size + d] = from_f32<T>(total == 0.0f ? 0.0f : y / total);
    }

    if (threadIdx.x == 0 && lse != nullptr)
    {
        i64 token = row / heads;
        lse[(token / queries * heads + head) * queries + token % queries] = total == 0.0f ? -GRAFT_INFINITY : most + logf(total);
    }
}

// ---- exports -----------------------------------------------------------------------------------------------------------------------------------------------
#define ATTENTION_DECODE(T, suffix)                                                                                                                       \
    GRAFT_KERNEL __launch_bounds__(256, 2) attention_decode_##suffix(                                                                                      \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(T), const void* sinks, int sinks_type, T* out, float* lse, float* parts, float* part_sums)                  \
    {                                                                                                                                                     \
        attention_decode<T>(ATTENTION_SHAPE, ATTENTION_HEADS, sinks, sinks_type, out, lse, parts, part_sums);                                             \
    }                                                                                                                                                     \
    GRAFT_KERNEL attention_decode_merge_##suffix(                                                                                                         \
        const float* parts, const float* part_sums, int splits, const void* sinks, int sinks_type, T* out, float* lse, int queries, int heads, int size)  \
    {                                                                                                                                                     \
        attention_decode_merge<T>(parts, part_sums, splits, sinks, sinks_type, out, lse, queries, heads, size);                                           \
    }
ATTENTION_DECODE(float, f32)
ATTENTION_DECODE(bf16, bf16)

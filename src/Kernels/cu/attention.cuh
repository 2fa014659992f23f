// attention.cuh: what all kernels of attention share: the arguments, and which keys a query sees.
// Letters   B batches, T queries, S keys, H query heads, K key heads, D head size; query head h reads key head h / (H / K), query t stands at S - T + t
#pragma once
#include "common.cuh"

// The arguments that every kernel takes, in the order of AttentionCuda.cs.
#define ATTENTION_ARGUMENTS                                                                                                                               \
    int batches, int queries, int keys, int heads, int key_heads, int size, float scale, int causal, int window, float cap, const int *ranges

// And where q, k and v lie: elements from one batch item and one token to the next. A head is D elements further, so a packed qkv is read in place.
#define ATTENTION_INPUTS(T) const T *q, i64 q_batch, i64 q_token, const T *k, const T *v, i64 k_batch, i64 k_token

#define ATTENTION_SHAPE                                                                                                                                   \
    {                                                                                                                                                     \
        batches, queries, keys, heads, key_heads, size, scale, causal, window, cap, ranges                                                                \
    }

#define ATTENTION_HEADS                                                                                                                                   \
    {                                                                                                                                                     \
        q, q_batch, q_token, k, v, k_batch, k_token                                                                                                       \
    }

struct AttentionShape
{
    int batches, queries, keys, heads, key_heads, size;
    float scale;
    int causal, window;
    float cap;         // 0 for none
    const int* ranges; // (B, T, 2) or null
};

template <typename T>
struct AttentionHeads
{
    const T* q;
    i64 q_batch, q_token;
    const T* k;
    const T* v;
    i64 k_batch, k_token;
};

// The keys [first, end) that a query sees; none as [0, 0).
struct Interval
{
    int first, end;
};

__device__ __forceinline__ Interval visible_keys(const AttentionShape& s, int batch, int query)
{
    int position = s.keys - s.queries + query;
    int first = s.window > 0 ? max(0, position - s.window + 1) : 0;
    int end = s.causal ? min(s.keys, position + 1) : s.keys;
    if (s.ranges != nullptr)
    {
        const int* range = s.ranges + ((i64)batch * s.queries + query) * 2;
        first = max(first, range[0]);
        end = min(end, range[1]);
    }

    Interval keys = {first < end ? first : 0, first < end ? end : 0};
    return keys;
}

// Of a run of queries: none sees a key outside of [low, high), (0, 0) where nothing is seen; all see every key in [full_low, full_high).
struct KeyHull
{
    int low, high, full_low, full_high;
};

// By a whole warp, the same in every lane. Through floats, which are exact for fewer than 2^24 keys, as on the CPU.
__device__ __forceinline__ KeyHull key_hull(const AttentionShape& s, int batch, int query, int count)
{
    float low = -GRAFT_INFINITY, high = 0.0f, full_low = 0.0f, full_high = -(float)s.keys;
    for (int i = threadIdx.x & 31; i < count; i += 32)
    {
        Interval keys = visible_keys(s, batch, query + i);
        low = keys.end > keys.first ? fmaxf(low, -(float)keys.first) : low;
        high = fmaxf(high, (float)keys.end);
        full_low = fmaxf(full_low, (float)keys.first);
        full_high = fmaxf(full_high, -(float)keys.end);
    }

    low = warp_max(low);
    high = warp_max(high);
    KeyHull hull = {high > 0.0f ? (int)-low : 0, (int)high, (int)warp_max(full_low), (int)-warp_max(full_high)};
    return hull;
}

template <typename T>
__device__ __forceinline__ bool is_aligned_four(const T* p)
{
    return ((u64)p & (4 * sizeof(T) - 1)) == 0;
}

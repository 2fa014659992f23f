// attention_backward.cu: gradients of attention.cu for any head size; attention_delta.cu comes before it, attention_mma_backward.cu is the fast path.
// Method    Dao 2023, arXiv:2307.08691: the probabilities are computed again from lse
// Shapes    q (B, T, H, D), k and v (B, S, K, D) T, strided by batch and token; out (B, T, H, D) T; lse and delta (B, H, T) f32; T in {f32, bf16}, D up to 1024
//           ranges (B, T, 2) i32, sinks (H) f32, bf16 or f16: both may be null
// Launch    dq: block 256, grid (B·H·⌈T / 64⌉, ⌈D / 128⌉); dk_dv: grid (B·K·⌈S / 64⌉, ⌈D / 128⌉)
// Traffic   14·B·H·T·S·D flop with the forward's, as seven products, so that no sum needs atomics: compute-bound
// Numerics  f32 throughout; every sum in an order given by the shape alone: dk and dv add up the query heads of their group in order. A query that sees nothing
//           gives no gradient
// Needs     any alignment
#include "attention_tiles.cuh"

// With p = exp(score - lse) and dp = dout·v: slope = p·(dp - delta)·(the cap's derivative); dv = Σ p·dout, dk = s·Σ slope·q, dq = s·Σ slope·k.
__device__ __forceinline__ void slope_of(float& score, float& slope, const AttentionShape& s, bool seen, float lse, float delta)
{
    float x = score * s.scale, factor = 1.0f;
    if (s.cap != 0.0f)
    {
        float t = tanhf(x / s.cap);
        x = s.cap * t;
        factor = 1.0f - t * t;
    }

    score = seen ? expf(x - lse) : 0.0f;
    slope = score * (slope - delta) * factor;
}

template <typename T>
__device__ __forceinline__ void attention_dk_dv(
    const AttentionShape& s, const AttentionHeads<T>& x, const T* dout, const float* lse, const float* delta, T* dk, int add_dk, T* dv, int add_dv)
{
    __shared__ TileMemory m;
    int tiles = (s.keys + TILE - 1) / TILE, group = s.heads / s.key_heads;
    int start = (int)(blockIdx.x % tiles) * TILE, key_head = blockIdx.x / tiles % s.key_heads, batch = blockIdx.x / tiles / s.key_heads;
    int column = blockIdx.y * COLUMNS, count = min(TILE, s.keys - start), ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
    i64 token = (i64)s.heads * s.size, at = batch * x.k_batch + start * x.k_token + (i64)key_head * s.size;
    float key_sum[4][8], value_sum[4][8];
    clear(key_sum);
    clear(value_sum);
    for (int head = key_head * group; head < (key_head + 1) * group; head++)
    {
        for (int query = 0; query < s.queries; query += TILE)
        {
            int rows = min(TILE, s.queries - query);
            KeyHull hull = key_hull(s, batch, query, rows);
            if (hull.low >= start + count || hull.high <= start)
            {
                continue;
            }

            const T* q = x.q + batch * x.q_batch + query * x.q_token + (i64)head * s.size;
            const T* dy = dout + (batch * (i64)s.queries + query) * token + (i64)head * s.size;
            float p[4][4], slope[4][4]; // keys down, queries across
            tile_scores(p, x.k + at, x.k_token, count, q, x.q_token, rows, s.size, m);
            tile_scores(slope, x.v + at, x.k_token, count, dy, token, rows, s.size, m);
#pragma unroll
            for (int j = 0; j < 4; j++)
            {
                bool there = 4 * tx + j < rows;
                Interval keys = {0, 0};
                float sum = 0.0f, mean = 0.0f;
                if (there)
                {
                    i64 row = ((i64)batch * s.heads + head) * s.queries + query + 4 * tx + j;
                    keys = visible_keys(s, batch, query + 4 * tx + j);
                    sum = lse[row];
                    mean = delta[row];
                }

#pragma unroll
                for (int i = 0; i < 4; i++)
                {
                    int key = start + 4 * ty + i;
                    slope_of(p[i][j], slope[i][j], s, key >= keys.first && key < keys.end, sum, mean);
                }
            }

            keep_turned(p, m);
            tile_product(value_sum, dy, token, rows, column, s.size, m);
            keep_turned(slope, m);
            tile_product(key_sum, q, x.q_token, rows, column, s.size, m);
        }
    }

#pragma unroll
    for (int i = 0; i < 32; i++)
    {
        key_sum[i >> 3][i & 7] *= s.scale;
    }

    if (dk != nullptr)
    {
        store_rows(dk + at, x.k_token, count, column, s.size, key_sum, add_dk);
    }

    if (dv != nullptr)
    {
        store_rows(dv + at, x.k_token, count, column, s.size, value_sum, add_dv);
    }
}

template <typename T>
__device__ __forceinline__ void attention_dq(
    const AttentionShape& s, const AttentionHeads<T>& x, const T* dout, const float* lse, const float* delta, T* dq, int add_dq)
{
    __shared__ TileMemory m;
    int tiles = (s.queries + TILE - 1) / TILE, row_heads = s.batches * s.heads;
    int query = (tiles - 1 - (int)(blockIdx.x / row_heads)) * TILE, batch = blockIdx.x % row_heads / s.heads, head = blockIdx.x % s.heads;
    int column = blockIdx.y * COLUMNS, rows = min(TILE, s.queries - query), ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
    i64 token = (i64)s.heads * s.size, at = batch * x.q_batch + query * x.q_token + (i64)head * s.size;
    const T* dy = dout + (batch * (i64)s.queries + query) * token + (i64)head * s.size;
    i64 key_head = batch * x.k_batch + (i64)(head / (s.heads / s.key_heads)) * s.size;
    Interval keys[4];
    float lses[4], deltas[4], sum[4][8];
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        keys[i].first = keys[i].end = 0;
        lses[i] = deltas[i] = 0.0f;
        if (4 * ty + i < rows)
        {
            i64 row = ((i64)batch * s.heads + head) * s.queries + query + 4 * ty + i;
            keys[i] = visible_keys(s, batch, query + 4 * ty + i);
            lses[i] = lse[row];
            deltas[i] = delta[row];
        }
    }

    clear(sum);
    KeyHull hull = key_hull(s, batch, query, rows);
    for (int start = hull.low / TILE * TILE; start < hull.high; start += TILE)
    {
        int count = min(TILE, s.keys - start);
        const T* k = x.k + key_head + start * x.k_token;
        float p[4][4], slope[4][4];
        tile_scores(p, x.q + at, x.q_token, rows, k, x.k_token, count, s.size, m);
        tile_scores(slope, dy, token, rows, x.v + key_head + start * x.k_token, x.k_token, count, s.size, m);
#pragma unroll
        for (int i = 0; i < 16; i++)
        {
            int key = start + 4 * tx + (i & 3);
            slope_of(p[i >> 2][i & 3], slope[i >> 2][i & 3], s, key >= keys[i >> 2].first && key < keys[i >> 2].end, lses[i >> 2], deltas[i >> 2]);
        }

        keep_turned(slope, m);
        tile_product(sum, k, x.k_token, count, column, s.size, m);
    }

#pragma unroll
    for (int i = 0; i < 32; i++)
    {
        sum[i >> 3][i & 7] *= s.scale;
    }

    store_rows(dq + at, x.q_token, rows, column, s.size, sum, add_dq);
}

// ---- exports -----------------------------------------------------------------------------------------------------------------------------------------------
#define ATTENTION_DK_DV(T, suffix)                                                                                                                        \
    GRAFT_KERNEL __launch_bounds__(256) attention_dk_dv_##suffix(                                                                                         \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(T), const T* dout, const float* lse, const float* delta, T* dk, int add_dk, T* dv, int add_dv)              \
    {                                                                                                                                                     \
        attention_dk_dv<T>(ATTENTION_SHAPE, ATTENTION_HEADS, dout, lse, delta, dk, add_dk, dv, add_dv);                                                   \
    }
ATTENTION_DK_DV(float, f32)
ATTENTION_DK_DV(bf16, bf16)

#define ATTENTION_DQ(T, suffix)                                                                                                                           \
    GRAFT_KERNEL __launch_bounds__(256) attention_dq_##suffix(                                                                                            \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(T), const T* dout, const float* lse, const float* delta, T* dq, int add_dq)                                 \
    {                                                                                                                                                     \
        attention_dq<T>(ATTENTION_SHAPE, ATTENTION_HEADS, dout, lse, delta, dq, add_dq);                                                                  \
    }
ATTENTION_DQ(float, f32)
ATTENTION_DQ(bf16, bf16)

// attention.cu: softmax(s·q·kᵀ + mask)·v per head for any head size, forward. Its backward is attention_backward.cu, its decoding attention_decode.cu, and
// attention_mma.cu has the fast path of bf16 with D of 64 and 128.
// Method    Dao 2023, arXiv:2307.08691: online softmax over tiles of keys, never a (T, S) matrix
// Shapes    q (B, T, H, D), k and v (B, S, K, D) T, strided by batch and token; out (B, T, H, D) T; lse and delta (B, H, T) f32; T in {f32, bf16}, D up to 1024
//           ranges (B, T, 2) i32, sinks (H) f32, bf16 or f16: both may be null
// Launch    block 256, grid (B·H·⌈T / 64⌉, ⌈D / 128⌉). The last queries come first: they see the most under a causal mask. Beyond 128 columns the scores are
//           computed once per 128
// Traffic   4·B·H·T·S·D flop for 2·(B·T·H + B·S·K)·D·sizeof(T) bytes: compute-bound, in f32 outside of the tensor cores (67 TFLOP/s on an H100, 19.5 on an A100)
// Numerics  f32 throughout, expf and tanhf; every sum in an order given by the shape alone. A query that sees nothing gives zeros and lse = -∞
// Needs     any alignment
#include "attention_tiles.cuh"

template <typename T>
__device__ __forceinline__ void attention_forward(const AttentionShape& s, const AttentionHeads<T>& x, const void* sinks, int sinks_type, T* out, float* lse)
{
    __shared__ TileMemory m;
    int tiles = (s.queries + TILE - 1) / TILE, row_heads = s.batches * s.heads;
    int query = (tiles - 1 - (int)(blockIdx.x / row_heads)) * TILE, batch = blockIdx.x % row_heads / s.heads, head = blockIdx.x % s.heads;
    int column = blockIdx.y * COLUMNS, rows = min(TILE, s.queries - query), ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
    const T* q = x.q + batch * x.q_batch + query * x.q_token + (i64)head * s.size;
    i64 key_head = batch * x.k_batch + (i64)(head / (s.heads / s.key_heads)) * s.size;

    Interval keys[4];
    float top[4], total[4], sum[4][8];
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        keys[i].first = 0;
        keys[i].end = s.keys;
        if (4 * ty + i < rows)
        {
            keys[i] = visible_keys(s, batch, query + 4 * ty + i);
        }

        // A sink is a key that every query has seen already: its score is the maximum so far, its exponential 1 the sum.
        top[i] = sinks != nullptr ? load_as_f32(sinks, sinks_type, head) : -GRAFT_INFINITY;
        total[i] = sinks != nullptr ? 1.0f : 0.0f;
    }

    clear(sum);
    KeyHull hull = key_hull(s, batch, query, rows);
    for (int start = hull.low / TILE * TILE; start < hull.high; start += TILE)
    {
        int count = min(TILE, s.keys - start);
        float p[4][4];
        tile_scores(p, q, x.q_token, rows, x.k + key_head + start * x.k_token, x.k_token, count, s.size, m);
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            float most = -GRAFT_INFINITY;
#pragma unroll
            for (int j = 0; j < 4; j++)
            {
                int key = start + 4 * tx + j;
                float score = p[i][j] * s.scale;
                score = s.cap != 0.0f ? s.cap * tanhf(score / s.cap) : score;
                p[i][j] = key >= keys[i].first && key < keys[i].end ? score : -GRAFT_INFINITY;
                most = fmaxf(most, p[i][j]);
            }

            // A query that has seen nothing yet has the maximum -∞: 0 in its place keeps -∞ - (-∞) out of the exponent.
            most = fmaxf(top[i], group_max<16>(most));
            float shift = most == -GRAFT_INFINITY ? 0.0f : most;
            float correction = expf(top[i] - shift), added = 0.0f;
            top[i] = most;
#pragma unroll
            for (int j = 0; j < 4; j++)
            {
                p[i][j] = expf(p[i][j] - shift);
                added += p[i][j];
            }

            total[i] = total[i] * correction + group_sum<16>(added);
#pragma unroll
            for (int j = 0; j < 8; j++)
            {
                sum[i][j] *= correction;
            }
        }

        keep_turned(p, m);
        tile_product(sum, x.v + key_head + start * x.k_token, x.k_token, count, column, s.size, m);
    }

#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        float factor = total[i] == 0.0f ? 0.0f : 1.0f / total[i];
#pragma unroll
        for (int j = 0; j < 8; j++)
        {
            sum[i][j] *= factor;
        }

        if (lse != nullptr && column == 0 && tx == 0 && 4 * ty + i < rows)
        {
            float value = total[i] == 0.0f ? -GRAFT_INFINITY : top[i] + logf(total[i]);
            lse[((i64)batch * s.heads + head) * s.queries + query + 4 * ty + i] = value;
        }
    }

    i64 token = (i64)s.heads * s.size;
    store_rows(out + (batch * (i64)s.queries + query) * token + (i64)head * s.size, token, rows, column, s.size, sum, 0);
}

// ---- exports -----------------------------------------------------------------------------------------------------------------------------------------------
#define ATTENTION_FORWARD(T, suffix)                                                                                                                      \
    GRAFT_KERNEL __launch_bounds__(256) attention_forward_##suffix(                                                                                       \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(T), const void* sinks, int sinks_type, T* out, float* lse)                                                  \
    {                                                                                                                                                     \
        attention_forward<T>(ATTENTION_SHAPE, ATTENTION_HEADS, sinks, sinks_type, out, lse);                                                              \
    }
ATTENTION_FORWARD(float, f32)
ATTENTION_FORWARD(bf16, bf16)

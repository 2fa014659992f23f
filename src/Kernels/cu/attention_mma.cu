// attention_mma.cu: flash attention with tensor cores for bf16 and D of 64 or 128, forward. attention.cu has all other cases, attention_mma_backward.cu its backward.
// Method    Dao 2023, arXiv:2307.08691. Softmax in base 2 on raw scores: p = 2^(score·s·log2(e) - top), one fused multiply and one ex2 per score
// Shapes    as attention.cu, T = bf16; q, k, v by strides of batch and token, rows of 16-byte packs; scale > 0
// Launch    block 128, grid B·H·⌈T / 128⌉; 128 queries, 32 per warp, against 64 keys at a time; shared 256·D·2 bytes
//           The longest rows under a causal mask come first. Tiles that no query of a warp sees cost it two barriers, those that no query of the block sees nothing
// Traffic   4·B·H·T·S·D flop (half of it if causal) for 2·(B·T·H + B·S·K)·D·2 bytes: T = S = 4096, D = 128, H = K: 2048 flop per byte, compute-bound.
//           A fragment of keys is 256 bytes for 4096 flop, and serves two products where a warp has 32 rows: 64 bytes of shared memory a clock at the 2048
//           flop a clock and SM of an A100, of 128; at the 4096 of an H100 it is the bound together with mma.sync itself, which reaches 0.6 of wgmma's peak
// Copies    cp.async. One buffer for keys and one for values, each filled while the other is in use, so that two blocks fit on every SM (64 KiB with D = 128)
// Numerics  scores, softmax and sums in f32; probabilities are rounded to bf16 for the second product; sums in key order; the cap's tanh by ex2, 2e-7 absolute
// Needs     D of 64 or 128, 16-byte rows; sm_80
#include "attention_mma.cuh"

static const int KEYS = 64; // of a tile

template <int D>
__device__ __forceinline__ void attention_mma_forward(const AttentionShape& s, const AttentionHeads<bf16>& x, const void* sinks, int sinks_type, bf16* out, float* lse)
{
    extern __shared__ __align__(128) unsigned char memory[];
    __shared__ Interval seen[QUERIES];
    __shared__ KeyHull hulls[4];
    bf16* q_tile = reinterpret_cast<bf16*>(memory);
    bf16* k_tile = q_tile + QUERIES * D;
    bf16* v_tile = k_tile + KEYS * D;
    int tiles = (s.queries + QUERIES - 1) / QUERIES, row_heads = s.batches * s.heads;
    int query = (tiles - 1 - (int)(blockIdx.x / row_heads)) * QUERIES, batch = blockIdx.x % row_heads / s.heads, head = blockIdx.x % s.heads;
    int rows = min(QUERIES, s.queries - query), row = threadIdx.x >> 5 << 5, g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
    i64 key_head = batch * x.k_batch + (i64)(head / (s.heads / s.key_heads)) * D;
    const bf16* k = x.k + key_head;
    const bf16* v = x.v + key_head;

    KeyHull hull = key_hull(s, batch, query, rows), rows_hull = key_hull(s, batch, query + row, min(32, rows - row));
    if ((threadIdx.x & 31) == 0)
    {
        hulls[row >> 5] = rows_hull;
    }

    int start = hull.low / KEYS * KEYS;
    copy_tile<D, QUERIES, 128>(q_tile, x.q + batch * x.q_batch + query * x.q_token + (i64)head * D, x.q_token, rows);
    copy_tile<D, KEYS, 128>(k_tile, k + start * x.k_token, x.k_token, hull.high > start ? s.keys - start : 0);
    cp_async_commit();
    Interval all = {0, s.keys};
    seen[threadIdx.x] = threadIdx.x < rows ? visible_keys(s, batch, query + threadIdx.x) : all;

    // Per row, of which a thread has four, in base 2. The sums are those of the thread's own columns; the quad is added up at the end.
    float top[2][2], total[2][2], sum[2][D / 8][4], p[2][KEYS / 8][4];
    bool capped = s.cap != 0.0f;
    float unit = capped ? 1.0f : s.scale * GRAFT_LOG2E, inverse_cap = capped ? s.scale / s.cap : 0.0f, cap = s.cap * GRAFT_LOG2E;
    float sink = sinks != nullptr ? load_as_f32(sinks, sinks_type, head) * GRAFT_LOG2E : -GRAFT_INFINITY;
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        top[i >> 1][i & 1] = sink;
        total[i >> 1][i & 1] = sinks != nullptr && t == 0 ? 1.0f : 0.0f;
    }

    clear(sum);
    for (; start < hull.high; start += KEYS)
    {
        cp_async_wait<0>();
        __syncthreads(); // the keys are there, and nobody reads the last values any more
        copy_tile<D, KEYS, 128>(v_tile, v + start * x.k_token, x.k_token, s.keys - start);
        cp_async_commit();
        KeyHull mine = hulls[row >> 5]; // of the warp's rows
        bool active = mine.low < start + KEYS && mine.high > start;
        if (active)
        {
            scores<D, 2, KEYS / 8>(p, q_tile + row * D, k_tile);
        }

        cp_async_wait<0>();
        __syncthreads(); // the values are there, and nobody reads these keys any more
        if (start + KEYS < hull.high)
        {
            copy_tile<D, KEYS, 128>(k_tile, k + (start + KEYS) * x.k_token, x.k_token, s.keys - start - KEYS);
            cp_async_commit();
        }

        if (!active)
        {
            continue;
        }

        if (capped)
        {
#pragma unroll
            for (int i = 0; i < KEYS; i++)
            {
                float& score = p[i / (KEYS / 2)][i / 4 % (KEYS / 8)][i % 4];
                score = cap * tanh_by_exp2(score * inverse_cap);
            }
        }

        bool masked = start < mine.full_low || start + KEYS > mine.full_high;
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            int m = i >> 1, h = 2 * (i & 1);
            if (masked)
            {
                Interval keys = seen[row + 16 * m + 4 * h + g];
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
                {
                    int key = start + 8 * n + 2 * t;
                    p[m][n][h] = key >= keys.first && key < keys.end ? p[m][n][h] : -GRAFT_INFINITY;
                    p[m][n][h + 1] = key + 1 >= keys.first && key + 1 < keys.end ? p[m][n][h + 1] : -GRAFT_INFINITY;
                }
            }

            float most = -GRAFT_INFINITY;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
            {
                most = fmaxf(most, fmaxf(p[m][n][h], p[m][n][h + 1]));
            }

            // A query that has seen nothing yet has the maximum -∞: 0 in its place keeps -∞ - (-∞) out of the exponent.
            float& old = top[m][i & 1];
            most = fmaxf(old, group_max<4>(most) * unit);
            float shift = most == -GRAFT_INFINITY ? 0.0f : most, correction = exp2_approx(old - shift), added = 0.0f;
            old = most;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
            {
                p[m][n][h] = exp2_approx(p[m][n][h] * unit - shift);
                p[m][n][h + 1] = exp2_approx(p[m][n][h + 1] * unit - shift);
                added += p[m][n][h] + p[m][n][h + 1];
            }

            total[m][i & 1] = total[m][i & 1] * correction + added;
#pragma unroll
            for (int n = 0; n < D / 8; n++)
            {
                sum[m][n][h] *= correction;
                sum[m][n][h + 1] *= correction;
            }
        }

        products<D, 2, KEYS / 8>(sum, p, v_tile);
    }

    cp_async_wait<0>();
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        int m = i >> 1, h = 2 * (i & 1), r = row + 16 * m + 4 * h + g;
        float all_keys = group_sum<4>(total[m][i & 1]), factor = all_keys == 0.0f ? 0.0f : 1.0f / all_keys;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
        {
            sum[m][n][h] *= factor;
            sum[m][n][h + 1] *= factor;
        }

        if (lse != nullptr && t == 0 && r < rows)
        {
            float value = all_keys == 0.0f ? -GRAFT_INFINITY : top[m][i & 1] * GRAFT_LN2 + logf(all_keys);
            lse[((i64)batch * s.heads + head) * s.queries + query + r] = value;
        }
    }

    keep<D, 2>(q_tile, row, sum, 1.0f, nullptr, 0, 0);
    __syncthreads();
    i64 token = (i64)s.heads * D;
    store_tile<D, QUERIES, 128>(out + (batch * (i64)s.queries + query) * token + (i64)head * D, q_tile, token, rows);
}

// ---- exports ---------------------------------------------------------------------------------------------------------------------------------------------------
#define ATTENTION_MMA(D)                                                                                                                                      \
    GRAFT_KERNEL __launch_bounds__(128, 2) attention_mma_forward_##D(                                                                                         \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(bf16), const void* sinks, int sinks_type, bf16* out, float* lse)                                                \
    {                                                                                                                                                         \
        attention_mma_forward<D>(ATTENTION_SHAPE, ATTENTION_HEADS, sinks, sinks_type, out, lse);                                                              \
    }
ATTENTION_MMA(64)
ATTENTION_MMA(128)

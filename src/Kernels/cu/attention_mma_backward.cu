// attention_mma_backward.cu: gradients of attention_mma.cu; attention_delta.cu comes before it.
// Method    Dao 2023, arXiv:2307.08691: the probabilities are computed again from lse, in base 2
// Shapes    as attention.cu, T = bf16; q, k, v, dout, dq, dk, dv by strides of batch and token, rows of 16-byte packs; scale > 0
// Launch    dk_dv: block 256, grid B·K·⌈S / 128⌉; 128 keys, 16 per warp, against 64 queries at a time of all heads of the group; shared 512·D·2 bytes
//           dq: block 128, grid B·H·⌈T / 128⌉; 128 queries, 32 per warp, against 32 keys at a time; shared 384·D·2 bytes
//           The longest rows under a causal mask come first
// Traffic   14·B·H·T·S·D flop (4 products for keys and values, 3 for queries) instead of the 10 of one kernel with atomics: no sum depends on the
//           schedule, and there is no f32 dq to clear, add to and convert. dk_dv has 16 rows per warp, since dk, dv and two score tiles of 32 rows do not fit
//           into registers: 128 bytes a clock on an A100, the bound
// Copies    cp.async, two buffers for what is streamed
// Numerics  scores and sums in f32; probabilities and their slopes are rounded to bf16 for the second product; sums in key order, resp. in order of heads and
//           queries; the cap's tanh by ex2, 2e-7 absolute
// Needs     D of 64 or 128, 16-byte rows; sm_80
#include "attention_mma.cuh"

static const int BLOCK_KEYS = 128;  // of a block of dk_dv
static const int TILE_QUERIES = 64; // of a tile of dk_dv
static const int DQ_KEYS = 32;      // of a tile of dq

// What backward needs of a query: its lse in base 2, its delta, the keys it sees.
struct alignas(16) QueryFacts
{
    float lse, delta;
    Interval keys;
};

__device__ __forceinline__ QueryFacts query_facts(const AttentionShape& s, int batch, int head, int query, const float* lse, const float* delta)
{
    // Beyond the last query the rows of q and dout are zeros: whatever is finite will do.
    QueryFacts facts = {0.0f, 0.0f, {0, s.keys}};
    if (query < s.queries)
    {
        i64 at = ((i64)batch * s.heads + head) * s.queries + query;
        facts.lse = lse[at] * GRAFT_LOG2E;
        facts.delta = delta[at];
        facts.keys = visible_keys(s, batch, query);
    }

    return facts;
}

struct ScoreUnits
{
    float unit, inverse_cap, cap; // cap 0 for none
};

__device__ __forceinline__ ScoreUnits score_units(const AttentionShape& s)
{
    ScoreUnits u = {s.scale * GRAFT_LOG2E, s.cap != 0.0f ? s.scale / s.cap : 0.0f, s.cap * GRAFT_LOG2E};
    return u;
}

// A raw score becomes its probability, and dp the slope of the score.
__device__ __forceinline__ void to_slope(float& score, float& dp, const ScoreUnits& u, float lse, float delta)
{
    if (u.cap == 0.0f)
    {
        score = exp2_approx(score * u.unit - lse);
        dp = score * (dp - delta);
    }
    else
    {
        float t = tanh_by_exp2(score * u.inverse_cap);
        score = exp2_approx(t * u.cap - lse);
        dp = score * (dp - delta) * (1.0f - t * t);
    }
}

// A tile of queries of one head, of all that see some key of a block; head past the group's last at the end. next_tile leaves the hull in shared memory.
struct QueryTile
{
    int head, query;
};

__device__ __forceinline__ QueryTile next_tile(QueryTile at, const AttentionShape& s, int batch, int first, int end, int from, int to, int last_head, KeyHull* hull)
{
    for (;; at.query += TILE_QUERIES)
    {
        if (at.query >= to)
        {
            at.query = from;
            at.head++;
        }

        if (at.head >= last_head)
        {
            return at;
        }

        KeyHull seen = key_hull(s, batch, at.query, min(TILE_QUERIES, s.queries - at.query));
        if (seen.low < end && seen.high > first)
        {
            if (threadIdx.x == 0)
            {
                *hull = seen;
            }

            return at;
        }
    }
}

template <int D>
__device__ __forceinline__ void attention_mma_dk_dv(
    const AttentionShape& s, const AttentionHeads<bf16>& x, const bf16* dout, const float* lse, const float* delta, bf16* dk, int add_dk, bf16* dv, int add_dv)
{
    extern __shared__ __align__(128) unsigned char memory[];
    __shared__ QueryFacts facts[2][TILE_QUERIES];
    __shared__ KeyHull hulls[2];
    bf16* k_tile = reinterpret_cast<bf16*>(memory);
    bf16* v_tile = k_tile + BLOCK_KEYS * D;
    bf16* q_tiles = v_tile + BLOCK_KEYS * D;
    bf16* dout_tiles = q_tiles + 2 * TILE_QUERIES * D;
    int group = s.heads / s.key_heads, key_heads = s.batches * s.key_heads;
    int start = (int)(blockIdx.x / key_heads) * BLOCK_KEYS, batch = blockIdx.x % key_heads / s.key_heads, key_head = blockIdx.x % s.key_heads;
    int count = min(BLOCK_KEYS, s.keys - start), row = threadIdx.x >> 5 << 4, g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
    i64 token = (i64)s.heads * D, at = batch * x.k_batch + start * x.k_token + (i64)key_head * D;
    copy_tile<D, BLOCK_KEYS, 256>(k_tile, x.k + at, x.k_token, count);
    copy_tile<D, BLOCK_KEYS, 256>(v_tile, x.v + at, x.k_token, count);

    // A causal mask or a window leaves one run of queries [from, to) that can see the block; document boundaries are asked tile by tile.
    int offset = s.keys - s.queries;
    int from = s.causal ? max(0, start - offset) / TILE_QUERIES * TILE_QUERIES : 0;
    int to = s.window > 0 ? min((i64)s.queries, (i64)start + count - 1 - offset + s.window) : s.queries;
    int last_head = (key_head + 1) * group;
    QueryTile tile = {from < to ? key_head * group : last_head, from};
    tile = next_tile(tile, s, batch, start, start + count, from, to, last_head, &hulls[0]);

    ScoreUnits units = score_units(s);
    float key_sum[1][D / 8][4], value_sum[1][D / 8][4];
    clear(key_sum);
    clear(value_sum);
    for (int stage = -1; stage < 0 || tile.head < last_head; stage = stage < 0 ? 0 : stage ^ 1)
    {
        // The first round only fills the first buffer.
        QueryTile next = tile;
        if (stage >= 0)
        {
            next.query += TILE_QUERIES;
            next = next_tile(next, s, batch, start, start + count, from, to, last_head, &hulls[stage ^ 1]);
        }

        int other = stage < 0 ? 0 : stage ^ 1;
        if (next.head < last_head)
        {
            int rows = s.queries - next.query;
            copy_tile<D, TILE_QUERIES, 256>(
                q_tiles + other * TILE_QUERIES * D, x.q + batch * x.q_batch + next.query * x.q_token + (i64)next.head * D, x.q_token, rows);
            copy_tile<D, TILE_QUERIES, 256>(
                dout_tiles + other * TILE_QUERIES * D, dout + (batch * (i64)s.queries + next.query) * token + (i64)next.head * D, token, rows);
            if (threadIdx.x < TILE_QUERIES)
            {
                facts[other][threadIdx.x] = query_facts(s, batch, next.head, next.query + threadIdx.x, lse, delta);
            }
        }

        cp_async_commit();
        if (stage < 0)
        {
            continue;
        }

        cp_async_wait<1>();
        __syncthreads();
        int first = start + row;
        KeyHull hull = hulls[stage];
        if (hull.low < first + 16 && hull.high > first)
        {
            const bf16* q = q_tiles + stage * TILE_QUERIES * D;
            const bf16* dy = dout_tiles + stage * TILE_QUERIES * D;
            float p[1][TILE_QUERIES / 8][4], slope[1][TILE_QUERIES / 8][4]; // keys down, queries across
            scores<D, 1, TILE_QUERIES / 8>(p, k_tile + row * D, q);
            scores<D, 1, TILE_QUERIES / 8>(slope, v_tile + row * D, dy);
            bool masked = first < hull.full_low || min(first + 16, s.keys) > hull.full_high;
#pragma unroll
            for (int i = 0; i < TILE_QUERIES / 4; i++)
            {
                int n = i >> 1, c = i & 1, key = first + g;
                QueryFacts f = facts[stage][8 * n + 2 * t + c];
                to_slope(p[0][n][c], slope[0][n][c], units, f.lse, f.delta);
                to_slope(p[0][n][c + 2], slope[0][n][c + 2], units, f.lse, f.delta);
                if (masked)
                {
                    bool upper = key >= f.keys.first && key < f.keys.end, lower = key + 8 >= f.keys.first && key + 8 < f.keys.end;
                    p[0][n][c] = upper ? p[0][n][c] : 0.0f;
                    slope[0][n][c] = upper ? slope[0][n][c] : 0.0f;
                    p[0][n][c + 2] = lower ? p[0][n][c + 2] : 0.0f;
                    slope[0][n][c + 2] = lower ? slope[0][n][c + 2] : 0.0f;
                }
            }

            products<D, 1, TILE_QUERIES / 8>(value_sum, p, dy);
            products<D, 1, TILE_QUERIES / 8>(key_sum, slope, q);
        }

        __syncthreads();
        tile = next;
    }

    cp_async_wait<0>();
    __syncthreads();
    keep<D, 1>(k_tile, row, key_sum, s.scale, add_dk && dk != nullptr ? dk + at : nullptr, x.k_token, count);
    keep<D, 1>(v_tile, row, value_sum, 1.0f, add_dv && dv != nullptr ? dv + at : nullptr, x.k_token, count);
    __syncthreads();
    if (dk != nullptr)
    {
        store_tile<D, BLOCK_KEYS, 256>(dk + at, k_tile, x.k_token, count);
    }

    if (dv != nullptr)
    {
        store_tile<D, BLOCK_KEYS, 256>(dv + at, v_tile, x.k_token, count);
    }
}

template <int D>
__device__ __forceinline__ void attention_mma_dq(
    const AttentionShape& s, const AttentionHeads<bf16>& x, const bf16* dout, const float* lse, const float* delta, bf16* dq, int add_dq)
{
    extern __shared__ __align__(128) unsigned char memory[];
    __shared__ QueryFacts facts[QUERIES];
    __shared__ KeyHull hulls[4];
    bf16* q_tile = reinterpret_cast<bf16*>(memory);
    bf16* dout_tile = q_tile + QUERIES * D;
    bf16* k_tiles = dout_tile + QUERIES * D;
    bf16* v_tiles = k_tiles + 2 * DQ_KEYS * D;
    int tiles = (s.queries + QUERIES - 1) / QUERIES, row_heads = s.batches * s.heads;
    int query = (tiles - 1 - (int)(blockIdx.x / row_heads)) * QUERIES, batch = blockIdx.x % row_heads / s.heads, head = blockIdx.x % s.heads;
    int rows = min(QUERIES, s.queries - query), row = threadIdx.x >> 5 << 5, g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
    i64 token = (i64)s.heads * D, at = batch * x.q_batch + query * x.q_token + (i64)head * D;
    i64 key_head = batch * x.k_batch + (i64)(head / (s.heads / s.key_heads)) * D;
    const bf16* k = x.k + key_head;
    const bf16* v = x.v + key_head;

    KeyHull hull = key_hull(s, batch, query, rows), rows_hull = key_hull(s, batch, query + row, min(32, rows - row));
    if ((threadIdx.x & 31) == 0)
    {
        hulls[row >> 5] = rows_hull;
    }

    int start = hull.low / DQ_KEYS * DQ_KEYS;
    copy_tile<D, QUERIES, 128>(q_tile, x.q + at, x.q_token, rows);
    copy_tile<D, QUERIES, 128>(dout_tile, dout + (batch * (i64)s.queries + query) * token + (i64)head * D, token, rows);
    if (start < hull.high)
    {
        copy_tile<D, DQ_KEYS, 128>(k_tiles, k + start * x.k_token, x.k_token, s.keys - start);
        copy_tile<D, DQ_KEYS, 128>(v_tiles, v + start * x.k_token, x.k_token, s.keys - start);
    }

    cp_async_commit();
    facts[threadIdx.x] = query_facts(s, batch, head, query + threadIdx.x, lse, delta);
    float sum[2][D / 8][4];
    ScoreUnits units = score_units(s);
    clear(sum);
    for (int stage = 0; start < hull.high; start += DQ_KEYS, stage ^= 1)
    {
        int next = start + DQ_KEYS, other = (stage ^ 1) * DQ_KEYS * D;
        if (next < hull.high)
        {
            copy_tile<D, DQ_KEYS, 128>(k_tiles + other, k + next * x.k_token, x.k_token, s.keys - next);
            copy_tile<D, DQ_KEYS, 128>(v_tiles + other, v + next * x.k_token, x.k_token, s.keys - next);
        }

        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        KeyHull mine = hulls[row >> 5];
        if (mine.low < next && mine.high > start)
        {
            const bf16* k_tile = k_tiles + stage * DQ_KEYS * D;
            float p[2][DQ_KEYS / 8][4], slope[2][DQ_KEYS / 8][4];
            scores<D, 2, DQ_KEYS / 8>(p, q_tile + row * D, k_tile);
            scores<D, 2, DQ_KEYS / 8>(slope, dout_tile + row * D, v_tiles + stage * DQ_KEYS * D);
            bool masked = start < mine.full_low || min(next, s.keys) > mine.full_high;
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                int m = i >> 1, h = 2 * (i & 1);
                QueryFacts f = facts[row + 8 * i + g];
#pragma unroll
                for (int j = 0; j < DQ_KEYS / 4; j++)
                {
                    int n = j >> 1, c = h + (j & 1), key = start + 8 * n + 2 * t + (j & 1);
                    to_slope(p[m][n][c], slope[m][n][c], units, f.lse, f.delta);
                    slope[m][n][c] = !masked || (key >= f.keys.first && key < f.keys.end) ? slope[m][n][c] : 0.0f;
                }
            }

            products<D, 2, DQ_KEYS / 8>(sum, slope, k_tile);
        }

        __syncthreads();
    }

    cp_async_wait<0>();
    __syncthreads();
    keep<D, 2>(q_tile, row, sum, s.scale, add_dq ? dq + at : nullptr, x.q_token, rows);
    __syncthreads();
    store_tile<D, QUERIES, 128>(dq + at, q_tile, x.q_token, rows);
}

// ---- exports ---------------------------------------------------------------------------------------------------------------------------------------------------
#define ATTENTION_MMA_BACKWARD(D)                                                                                                                             \
    GRAFT_KERNEL __launch_bounds__(256, 1) attention_mma_dk_dv_##D(                                                                                           \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(bf16), const bf16* dout, const float* lse, const float* delta, bf16* dk, int add_dk, bf16* dv, int add_dv)      \
    {                                                                                                                                                         \
        attention_mma_dk_dv<D>(ATTENTION_SHAPE, ATTENTION_HEADS, dout, lse, delta, dk, add_dk, dv, add_dv);                                                   \
    }                                                                                                                                                         \
    GRAFT_KERNEL __launch_bounds__(128, 2) attention_mma_dq_##D(                                                                                              \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(bf16), const bf16* dout, const float* lse, const float* delta, bf16* dq, int add_dq)                            \
    {                                                                                                                                                         \
        attention_mma_dq<D>(ATTENTION_SHAPE, ATTENTION_HEADS, dout, lse, delta, dq, add_dq);                                                                  \
    }
ATTENTION_MMA_BACKWARD(64)
ATTENTION_MMA_BACKWARD(128)

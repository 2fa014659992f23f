// attention_mma.cu: flash attention with tensor cores for bf16 and D of 64 or 128, forward and backward. attention.cu has all other cases.
// Method    Dao 2023, arXiv:2307.08691. Softmax in base 2 on raw scores: p = 2^(score·s·log2(e) - top), one fused multiply and one ex2 per score
// Shapes    as attention.cu, T = bf16; q, k, v, dout, dq, dk, dv by strides of batch and token, rows of 16-byte packs; scale > 0
// Launch    forward: block 128, grid B·H·⌈T / 128⌉; 128 queries, 32 per warp, against 64 keys at a time; shared 256·D·2 bytes
//           dk_dv: block 256, grid B·K·⌈S / 128⌉; 128 keys, 16 per warp, against 64 queries at a time of all heads of the group; shared 512·D·2 bytes
//           dq: block 128, grid B·H·⌈T / 128⌉; 128 queries, 32 per warp, against 32 keys at a time; shared 384·D·2 bytes
//           The longest rows under a causal mask come first. Tiles that no query of a warp sees cost it two barriers, those that no query of the block sees nothing
// Traffic   forward 4·B·H·T·S·D flop (half of it if causal) for 2·(B·T·H + B·S·K)·D·2 bytes: T = S = 4096, D = 128, H = K: 2048 flop per byte, compute-bound.
//           A fragment of keys is 256 bytes for 4096 flop, and serves two products where a warp has 32 rows: 64 bytes of shared memory a clock at the 2048
//           flop a clock and SM of an A100, of 128; at the 4096 of an H100 it is the bound together with mma.sync itself, which reaches 0.6 of wgmma's peak
//           backward 14·B·H·T·S·D flop (4 products for keys and values, 3 for queries) instead of the 10 of one kernel with atomics: no sum depends on the
//           schedule, and there is no f32 dq to clear, add to and convert. dk_dv has 16 rows per warp, since dk, dv and two score tiles of 32 rows do not fit
//           into registers: 128 bytes a clock on an A100, the bound
// Layout    shared rows are unpadded; 16-byte chunk c of row r lies at c ^ (r % 8). Eight lanes of an ldmatrix read one chunk of eight rows, eight lanes of a
//           copy write eight chunks of one row: both touch all 32 banks once. Padding would do as well, but 128 keys of two operands would not fit twice
//           Probabilities stay in registers: the accumulators of one product are, packed to bf16, the A fragments of the next
// Copies    cp.async. Forward has one buffer for keys and one for values, each filled while the other is in use, so that two blocks fit on every SM (64 KiB with
//           D = 128); backward has two buffers for what it streams
// Numerics  scores, softmax and sums in f32; probabilities and their slopes are rounded to bf16 for the second product; sums in key order, resp. in order of
//           heads and queries; the cap's tanh by ex2, 2e-7 absolute
// Needs     D of 64 or 128, 16-byte rows; sm_80
#include "attention.cuh"

static const int QUERIES = 128;     // of a block of forward and dq
static const int KEYS = 64;         // of a tile of forward
static const int BLOCK_KEYS = 128;  // of a block of dk_dv
static const int TILE_QUERIES = 64; // of a tile of dk_dv
static const int DQ_KEYS = 32;      // of a tile of dq
#define GRAFT_LOG2E 1.4426950408889634f
#define GRAFT_LN2 0.6931471805599453f

// ---- shared tiles of rows of D --------------------------------------------------------------------------------------------------------------------------------
template <int D>
__device__ __forceinline__ int place(int row, int chunk)
{
    return row * D + ((chunk ^ (row & 7)) << 3);
}

// ROWS rows, of which `rows` are there; zeros in the place of the others.
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void copy_tile(bf16* to, const bf16* from, i64 stride, int rows)
{
    const int STEP = THREADS / (D / 8); // rows at a time: a multiple of 8, so a thread's chunks lie in one column
    int row = threadIdx.x / (D / 8), chunk = threadIdx.x % (D / 8);
    to += place<D>(row, chunk);
    from += row * stride + chunk * 8;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP)
    {
        cp_async16(to + i * D, from, row + i < rows);
        from += STEP * stride;
    }
}

// Rows of a shared tile to memory, 16 bytes per thread.
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void store_tile(bf16* to, const bf16* from, i64 stride, int rows)
{
    const int STEP = THREADS / (D / 8);
    int row = threadIdx.x / (D / 8), chunk = threadIdx.x % (D / 8);
    from += place<D>(row, chunk);
    to += row * stride + chunk * 8;
#pragma unroll
    for (int i = 0; i < ROWS; i += STEP)
    {
        if (row + i < rows)
        {
            store_pack(to, load_pack(from + i * D));
        }

        to += STEP * stride;
    }
}

// Where a lane's row of an ldmatrix lies in the 16 rows and 16 columns at the corner of a tile. 16 rows below it lies 16·D further, 16·step columns to the right at
// ^ 16·step, as the swizzle is an exclusive or itself: one instruction per step, and no address to keep.
//   lane_a    A fragments of 16 rows, and B fragments of a product over these rows: (rows, left), (rows + 8, left), (rows, right), (rows + 8, right)
//   lane_b    B fragments of a product over the columns: (rows, left), (rows, right), (rows + 8, left), (rows + 8, right)
template <int D>
__device__ __forceinline__ int lane_a()
{
    return place<D>(threadIdx.x & 15, threadIdx.x >> 4 & 1);
}

template <int D>
__device__ __forceinline__ int lane_b()
{
    return place<D>((threadIdx.x & 7) + (threadIdx.x >> 1 & 8), threadIdx.x >> 3 & 1);
}

__device__ __forceinline__ void multiply_pair(float (&left)[4], float (&right)[4], const unsigned (&a)[4], const unsigned (&b)[4])
{
    unsigned first[2] = {b[0], b[1]}, second[2] = {b[2], b[3]};
    mma_bf16_16816(left, a, first);
    mma_bf16_16816(right, a, second);
}

// x (16·M rows, 8·N columns) = rows of a · rows of b over D.
template <int D, int M, int N>
__device__ __forceinline__ void scores(float (&x)[M][N][4], const bf16* a, const bf16* b)
{
    int at_a = lane_a<D>(), at_b = lane_b<D>();
#pragma unroll
    for (int i = 0; i < M * N * 4; i++)
    {
        x[i / (4 * N)][i / 4 % N][i % 4] = 0.0f;
    }

    const int UNROLL = M == 1 ? D / 16 : 4; // all eight steps of D = 128 made dq spill on sm_80
#pragma unroll UNROLL
    for (int step = 0; step < D / 16; step++)
    {
        unsigned fragments[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
        {
            ldmatrix_x4(fragments[m], a + 16 * m * D + (at_a ^ 16 * step));
        }

#pragma unroll
        for (int n = 0; n < N; n += 2)
        {
            unsigned other[4];
            ldmatrix_x4(other, b + 8 * n * D + (at_b ^ 16 * step));
#pragma unroll
            for (int m = 0; m < M; m++)
            {
                multiply_pair(x[m][n], x[m][n + 1], fragments[m], other);
            }
        }
    }
}

// sum (16·M rows, D columns) += p (16·M rows, 8·N) · the rows of b.
template <int D, int M, int N>
__device__ __forceinline__ void products(float (&sum)[M][D / 8][4], const float (&p)[M][N][4], const bf16* b)
{
    int at = lane_a<D>();
#pragma unroll
    for (int n = 0; n < N; n += 2)
    {
        unsigned fragments[M][4];
#pragma unroll
        for (int m = 0; m < M; m++)
        {
            fragments[m][0] = pack_bf16(p[m][n][0], p[m][n][1]);
            fragments[m][1] = pack_bf16(p[m][n][2], p[m][n][3]);
            fragments[m][2] = pack_bf16(p[m][n + 1][0], p[m][n + 1][1]);
            fragments[m][3] = pack_bf16(p[m][n + 1][2], p[m][n + 1][3]);
        }

#pragma unroll
        for (int pair = 0; pair < D / 16; pair++)
        {
            unsigned other[4];
            ldmatrix_x4_trans(other, b + 8 * n * D + (at ^ 16 * pair));
#pragma unroll
            for (int m = 0; m < M; m++)
            {
                multiply_pair(sum[m][2 * pair], sum[m][2 * pair + 1], fragments[m], other);
            }
        }
    }
}

template <int M, int N>
__device__ __forceinline__ void clear(float (&x)[M][N][4])
{
#pragma unroll
    for (int i = 0; i < M * N * 4; i++)
    {
        x[i / (4 * N)][i / 4 % N][i % 4] = 0.0f;
    }
}

// Accumulators, times a factor and added to what `old` has where that is given, as bf16 into the warp's own rows of a shared tile.
template <int D, int M>
__device__ __forceinline__ void keep(bf16* tile, int row, const float (&sum)[M][D / 8][4], float factor, const bf16* old, i64 stride, int rows)
{
    int g = (threadIdx.x & 31) >> 2, t = threadIdx.x & 3;
#pragma unroll
    for (int m = 0; m < M; m++)
    {
#pragma unroll
        for (int h = 0; h < 2; h++)
        {
            int r = row + 16 * m + 8 * h + g;
#pragma unroll
            for (int n = 0; n < D / 8; n++)
            {
                float low = sum[m][n][2 * h] * factor, high = sum[m][n][2 * h + 1] * factor;
                if (old != nullptr && r < rows)
                {
                    unsigned pair = *reinterpret_cast<const unsigned*>(old + r * stride + 8 * n + 2 * t);
                    low += __uint_as_float(pair << 16);
                    high += __uint_as_float(pair & 0xffff0000u);
                }

                *reinterpret_cast<unsigned*>(tile + place<D>(r, n) + 2 * t) = pack_bf16(low, high);
            }
        }
    }
}

__device__ __forceinline__ float tanh_by_exp2(float x)
{
    return 1.0f - __fdividef(2.0f, exp2_approx(2.0f * GRAFT_LOG2E * x) + 1.0f);
}

// ---- forward ---------------------------------------------------------------------------------------------------------------------------------------------------
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

// ---- backward --------------------------------------------------------------------------------------------------------------------------------------------------
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
#define ATTENTION_MMA(D, BLOCKS)                                                                                                                              \
    GRAFT_KERNEL __launch_bounds__(128, BLOCKS) attention_mma_forward_##D(                                                                                    \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(bf16), const void* sinks, int sinks_type, bf16* out, float* lse)                                                \
    {                                                                                                                                                         \
        attention_mma_forward<D>(ATTENTION_SHAPE, ATTENTION_HEADS, sinks, sinks_type, out, lse);                                                              \
    }                                                                                                                                                         \
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
ATTENTION_MMA(64, 2)
ATTENTION_MMA(128, 2)

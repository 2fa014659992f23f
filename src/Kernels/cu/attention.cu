// attention.cu: softmax(s·q·kᵀ + mask)·v per head, forward and backward, for any head size: the plain kernels, and the one for decoding.
// Method    Dao 2023, arXiv:2307.08691: online softmax over tiles of keys, never a (T, S) matrix; backward computes the probabilities again from lse
// Shapes    q (B, T, H, D), k and v (B, S, K, D) T, strided by batch and token; out (B, T, H, D) T; lse and delta (B, H, T) f32; T in {f32, bf16}, D up to 1024
//           ranges (B, T, 2) i32, sinks (H) f32, bf16 or f16: both may be null. attention_mma.cu has the fast path of bf16 with D of 64 and 128
// Launch    forward, dq: block 256, grid (B·H·⌈T / 64⌉, ⌈D / 128⌉); dk_dv: grid (B·K·⌈S / 64⌉, ⌈D / 128⌉); delta: a warp per row; dsinks: grid H
//           decode: block 256, grid (B·T·H, splits); decode_merge: block 128, grid B·T·H
//           The last queries come first: they see the most under a causal mask. Beyond 128 columns the scores are computed once per 128
// Traffic   forward 4·B·H·T·S·D flop for 2·(B·T·H + B·S·K)·D·sizeof(T) bytes: compute-bound, in f32 outside of the tensor cores (67 TFLOP/s on an H100, 19.5 on
//           an A100). A thread makes 16 products of a score tile from 8 shared floats and 32 of an output tile from 12, so shared memory, 128 bytes a clock and
//           SM, allows 1/2 to 2/3 of that peak. Backward 14·B·H·T·S·D flop, as seven products, so that no sum needs atomics
//           decode 4·B·H·T·S·D flop for 2·B·K·S·D·sizeof(T) bytes, H / K flop per byte in bf16: memory-bound; 8 rows of 16 bytes under way per lane
// Numerics  f32 throughout, expf and tanhf; every sum in an order given by the shape alone. A query that sees nothing gives zeros, lse = -∞ and no gradient
//           Splits of decoding are of DECODE_SPLIT keys, whatever the grid. dk and dv add up the query heads of their group in order
// Needs     decode: 16-byte rows and D of at most 32 packs; the others take any alignment
#include "attention.cuh"

// ---- tiles of 64 x 64 scores; thread (ty, tx) of 16 x 16 has rows 4·ty.. and columns 4·tx.. ----------------------------------------------------------------
static const int TILE = 64;
static const int CHUNK = 32;     // of D, in the products over D
static const int COLUMNS = 128;  // of D, of an output tile
static const int LONG_ROWS = 16; // rows of an operand of an output tile in shared memory at once
static const int PITCH = 68;     // of a row of 64 floats: a multiple of 4 for 16-byte access that moves neighbouring rows by 4 banks

struct alignas(16) TileMemory
{
    float a[CHUNK * PITCH]; // and, with b, LONG_ROWS x COLUMNS
    float b[CHUNK * PITCH];
    float p[TILE * PITCH];
};

template <typename T>
__device__ __forceinline__ void load_four(float (&x)[4], const T* row, int column, int size, bool aligned)
{
    if (aligned && column + 4 <= size)
    {
        Four<T> four = *reinterpret_cast<const Four<T>*>(row + column);
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            x[i] = to_f32(four.at[i]);
        }
    }
    else
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            x[i] = column + i < size ? to_f32(row[column + i]) : 0.0f;
        }
    }
}

template <typename T>
__device__ __forceinline__ void store_four(T* row, int column, int size, const float* x, int accumulate)
{
    float y[4] = {x[0], x[1], x[2], x[3]};
    bool aligned = is_aligned_four(row);
    if (accumulate)
    {
        float old[4];
        load_four(old, (const T*)row, column, size, aligned);
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            y[i] += old[i];
        }
    }

    if (aligned && column + 4 <= size)
    {
        Four<T> four;
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            four.at[i] = from_f32<T>(y[i]);
        }

        *reinterpret_cast<Four<T>*>(row + column) = four;
        return;
    }

#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        if (column + i < size)
        {
            row[column + i] = from_f32<T>(y[i]);
        }
    }
}

// CHUNK columns of 64 rows, turned: to[column][row]. Zeros beyond the rows and the size. A warp writes 32 neighbouring rows: no bank conflicts.
template <typename T>
__device__ __forceinline__ void load_turned(float* to, const T* from, i64 stride, int rows, int column, int size)
{
    int row = threadIdx.x & 63, part = (threadIdx.x >> 6) * 8;
    const T* at = from + row * stride;
#pragma unroll
    for (int j = 0; j < 8; j += 4)
    {
        float x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (row < rows)
        {
            load_four(x, at, column + part + j, size, is_aligned_four(at));
        }

#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            to[(part + j + i) * PITCH + row] = x[i];
        }
    }
}

// COLUMNS columns of LONG_ROWS rows as they lie; zeros beyond.
template <typename T>
__device__ __forceinline__ void load_long(float* to, const T* from, i64 stride, int rows, int column, int size)
{
#pragma unroll
    for (int i = threadIdx.x; i < LONG_ROWS * COLUMNS / 4; i += 256)
    {
        int row = i / (COLUMNS / 4), part = i % (COLUMNS / 4) * 4;
        float x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        if (row < rows)
        {
            const T* at = from + row * stride;
            load_four(x, at, column + part, size, is_aligned_four(at));
        }

        *reinterpret_cast<float4*>(to + row * COLUMNS + part) = make_float4(x[0], x[1], x[2], x[3]);
    }
}

// x[i][j] = row 4·ty + i of a · row 4·tx + j of b, over D. Starts and ends at a barrier or with memory that nobody reads.
template <typename T>
__device__ __forceinline__ void tile_scores(float (&x)[4][4], const T* a, i64 a_stride, int a_rows, const T* b, i64 b_stride, int b_rows, int size, TileMemory& m)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
#pragma unroll
    for (int i = 0; i < 16; i++)
    {
        x[i >> 2][i & 3] = 0.0f;
    }

    for (int column = 0; column < size; column += CHUNK)
    {
        load_turned(m.a, a, a_stride, a_rows, column, size);
        load_turned(m.b, b, b_stride, b_rows, column, size);
        __syncthreads();
        int count = min(CHUNK, size - column);
#pragma unroll 4
        for (int d = 0; d < count; d++)
        {
            float4 u = *reinterpret_cast<const float4*>(m.a + d * PITCH + 4 * ty);
            float4 w = *reinterpret_cast<const float4*>(m.b + d * PITCH + 4 * tx);
            float rows[4] = {u.x, u.y, u.z, u.w}, columns[4] = {w.x, w.y, w.z, w.w};
#pragma unroll
            for (int i = 0; i < 16; i++)
            {
                x[i >> 2][i & 3] += rows[i >> 2] * columns[i & 3];
            }
        }

        __syncthreads();
    }
}

// Leaves x turned: p[4·tx + j][4·ty + i]. A barrier must follow.
__device__ __forceinline__ void keep_turned(const float (&x)[4][4], TileMemory& m)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
#pragma unroll
    for (int j = 0; j < 4; j++)
    {
        *reinterpret_cast<float4*>(m.p + (4 * tx + j) * PITCH + 4 * ty) = make_float4(x[0][j], x[1][j], x[2][j], x[3][j]);
    }
}

// sum[i][j] += Σ p[r][4·ty + i] · rows[r][column], with column + 4·tx + j for j below 4 and 64 more above. The first barrier inside is the one after keep_turned.
template <typename T>
__device__ __forceinline__ void tile_product(float (&sum)[4][8], const T* rows, i64 stride, int count, int column, int size, TileMemory& m)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
    bool wide = size - column > COLUMNS / 2;
    for (int start = 0; start < count; start += LONG_ROWS)
    {
        load_long(m.a, rows + start * stride, stride, count - start, column, size);
        __syncthreads();
#pragma unroll 4
        for (int r = 0; r < LONG_ROWS; r++)
        {
            float4 u = *reinterpret_cast<const float4*>(m.p + (start + r) * PITCH + 4 * ty);
            float4 w = *reinterpret_cast<const float4*>(m.a + r * COLUMNS + 4 * tx);
            float p[4] = {u.x, u.y, u.z, u.w}, columns[8] = {w.x, w.y, w.z, w.w, 0.0f, 0.0f, 0.0f, 0.0f};
            if (wide)
            {
                float4 far = *reinterpret_cast<const float4*>(m.a + r * COLUMNS + COLUMNS / 2 + 4 * tx);
                columns[4] = far.x;
                columns[5] = far.y;
                columns[6] = far.z;
                columns[7] = far.w;
            }

#pragma unroll
            for (int i = 0; i < 32; i++)
            {
                sum[i >> 3][i & 7] += p[i >> 3] * columns[i & 7];
            }
        }

        __syncthreads();
    }
}

template <typename T>
__device__ __forceinline__ void store_rows(T* to, i64 stride, int rows, int column, int size, const float (&sum)[4][8], int accumulate)
{
    int ty = threadIdx.x >> 4, tx = threadIdx.x & 15;
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        if (4 * ty + i < rows)
        {
            store_four(to + (4 * ty + i) * stride, column + 4 * tx, size, &sum[i][0], accumulate);
            store_four(to + (4 * ty + i) * stride, column + COLUMNS / 2 + 4 * tx, size, &sum[i][4], accumulate);
        }
    }
}

__device__ __forceinline__ void clear(float (&sum)[4][8])
{
#pragma unroll
    for (int i = 0; i < 32; i++)
    {
        sum[i >> 3][i & 7] = 0.0f;
    }
}

// ---- forward -----------------------------------------------------------------------------------------------------------------------------------------------
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

// ---- backward ----------------------------------------------------------------------------------------------------------------------------------------------
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

// ---- decoding: a few queries against many keys --------------------------------------------------------------------------------------------------------------
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
#define ATTENTION_FORWARD(T, suffix)                                                                                                                      \
    GRAFT_KERNEL __launch_bounds__(256) attention_forward_##suffix(                                                                                       \
        ATTENTION_ARGUMENTS, ATTENTION_INPUTS(T), const void* sinks, int sinks_type, T* out, float* lse)                                                  \
    {                                                                                                                                                     \
        attention_forward<T>(ATTENTION_SHAPE, ATTENTION_HEADS, sinks, sinks_type, out, lse);                                                              \
    }
ATTENTION_FORWARD(float, f32)
ATTENTION_FORWARD(bf16, bf16)

#define ATTENTION_DELTA(T, suffix)                                                                                                                        \
    GRAFT_KERNEL attention_delta_##suffix(const T* out, const T* dout, float* delta, int batches, int queries, int heads, int size)                       \
    {                                                                                                                                                     \
        attention_delta<T>(out, dout, delta, batches, queries, heads, size);                                                                              \
    }
ATTENTION_DELTA(float, f32)
ATTENTION_DELTA(bf16, bf16)

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

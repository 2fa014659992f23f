using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>What a chunk of an attention's backward computes.</summary>
internal enum AttentionBackwardPart
{
    /// <summary>All gradients of one key head and its queries.</summary>
    Everything,

    /// <summary>Those of one block of keys and values.</summary>
    KeysAndValues,

    /// <summary>Those of one block of queries.</summary>
    Queries,
}

/// <summary>The products of an attention's backward, block by block.</summary>
/// <remarks>
/// A tile of scores has keys down and a panel of queries across the lanes: so it is read in place as row panels for dq, but dk and dv need it
/// turned. Its rows go through everything that is done element by element, turning included, a row panel at a time while they lie in L1.
/// The factor of the scores is packed into the copies of q and k that ds is multiplied with.
/// </remarks>
internal readonly unsafe struct AttentionBackwardBlocks(WorkerTeam team, AttentionCall c, AttentionGradients g, AttentionBackwardPart part) : ILanesWork
{
    /// <summary>Queries per block: the length of the products that add to dk and dv.</summary>
    public const int QueryBlock = 128;

    private const int MaxPanels = QueryBlock / 8; // of the narrowest lanes

    /// <summary>Keys per block, a multiple of every row panel: each block packs all queries anew, so it is as large as the scratch allows.</summary>
    public static int KeyBlock(int size) => Math.Clamp(36864 / size / 24 * 24, 24, 288);

    public void Invoke<T>(int chunk, int worker)
        where T : unmanaged, IFloatLanes<T>
    {
        AttentionBackwardBuffers buffers = new((float*)team.Scratch(worker), c.Size);
        int keyBlocks = WorkerTeam.ChunksFor(c.Keys, buffers.KeyBlock);
        int queryBlocks = WorkerTeam.ChunksFor(c.Queries, QueryBlock);
        if (part == AttentionBackwardPart.Everything)
        {
            (int batch, int keyHead) = Math.DivRem(chunk, c.KeyHeads);
            for (int block = 0; block < keyBlocks; block++)
            {
                Keys<T>(buffers, batch, keyHead, block * buffers.KeyBlock, queryBlocks);
            }
        }
        else if (part == AttentionBackwardPart.KeysAndValues)
        {
            (int rest, int block) = Math.DivRem(chunk, keyBlocks);
            (int batch, int keyHead) = Math.DivRem(rest, c.KeyHeads);
            Keys<T>(buffers, batch, keyHead, block * buffers.KeyBlock, queryBlocks);
        }
        else
        {
            (int rest, int block) = Math.DivRem(chunk, queryBlocks);
            (int batch, int keyHead) = Math.DivRem(rest, c.KeyHeads);
            Queries<T>(buffers, batch, keyHead, (queryBlocks - 1 - block) * QueryBlock);
        }
    }

    /// <summary>All queries against one block of keys.</summary>
    [SkipLocalsInit]
    private void Keys<T>(in AttentionBackwardBuffers buffers, int batch, int keyHead, int start, int queryBlocks)
        where T : unmanaged, IFloatLanes<T>
    {
        AttentionRanges* ranges = stackalloc AttentionRanges[MaxPanels];
        float* lanes = stackalloc float[2 * QueryBlock];
        bool packed = false;
        int size = Math.Min(buffers.KeyBlock, c.Keys - start);
        new Span<float>(buffers.KeySums, 2 * buffers.KeyBlock * buffers.Columns).Clear();
        for (int block = 0; block < queryBlocks; block++)
        {
            int token = block * QueryBlock;
            (int low, int high) = See(batch, token, ranges, lanes);
            if (low >= start + size || high <= start)
            {
                continue;
            }

            if (!packed)
            {
                PackKeys(buffers, batch, keyHead, start, size);
                packed = true;
            }

            for (int i = 0; i < c.Group; i++)
            {
                int head = (keyHead * c.Group) + i;
                Scores<T>(buffers, batch, head, token, start, ranges);
                SumKeys(buffers, start, ranges);
                if (part == AttentionBackwardPart.Everything)
                {
                    SumQueries(buffers, batch, head, token, start, ranges);
                }
            }
        }

        Store(buffers, buffers.KeySums, g.Key, batch, keyHead, start, size, g.AccumulateKey);
        Store(buffers, buffers.ValueSums, g.Value, batch, keyHead, start, size, g.AccumulateValue);
    }

    /// <summary>One block of queries, of all heads of a group, against all keys.</summary>
    [SkipLocalsInit]
    private void Queries<T>(in AttentionBackwardBuffers buffers, int batch, int keyHead, int token)
        where T : unmanaged, IFloatLanes<T>
    {
        AttentionRanges* ranges = stackalloc AttentionRanges[MaxPanels];
        float* lanes = stackalloc float[2 * QueryBlock];
        (int low, int high) = See(batch, token, ranges, lanes);
        for (int start = low / buffers.KeyBlock * buffers.KeyBlock; start < high; start += buffers.KeyBlock)
        {
            PackKeys(buffers, batch, keyHead, start, Math.Min(buffers.KeyBlock, c.Keys - start));
            for (int i = 0; i < c.Group; i++)
            {
                int head = (keyHead * c.Group) + i;
                Scores<T>(buffers, batch, head, token, start, ranges);
                SumQueries(buffers, batch, head, token, start, ranges);
            }
        }
    }

    /// <summary>What the panels of a block of queries see; the hull of it, [0, 0) for nothing.</summary>
    private (int Low, int High) See(int batch, int token, AttentionRanges* ranges, float* lanes)
    {
        int width = Microkernel.Columns;
        int low = int.MaxValue, high = 0;
        for (int p = 0; p < QueryBlock / width; p++)
        {
            int at = token + (p * width);
            ranges[p] = new AttentionRanges(c, batch, at, Math.Clamp(c.Queries - at, 0, width), width, lanes + (2 * p * width));
            if (ranges[p].High > 0)
            {
                low = Math.Min(low, ranges[p].Low);
                high = Math.Max(high, ranges[p].High);
            }
        }

        return high > 0 ? (low, high) : (0, 0);
    }

    /// <summary>Keys and values as row panels (size x 12), keys also as column panels (keys x 32 of size); zeros up to a whole row panel of keys.</summary>
    private void PackKeys(in AttentionBackwardBuffers buffers, int batch, int keyHead, int start, int count)
    {
        int step = Microkernel.MaxRows;
        float* key = c.Key.At(batch, start, keyHead);
        float* value = c.Value.At(batch, start, keyHead);
        for (int i = 0; i < count; i += step)
        {
            int filled = Math.Min(step, count - i);
            PanelPacking.Transpose<LoadSingle>(buffers.Keys + (i * c.Size), step, filled, key, i * c.Key.Token, c.Key.Token, c.Size, 1);
            PanelPacking.Transpose<LoadSingle>(buffers.Values + (i * c.Size), step, filled, value, i * c.Value.Token, c.Value.Token, c.Size, 1);
        }

        if (part != AttentionBackwardPart.KeysAndValues)
        {
            PackColumns(key, c.Key.Token, count, step, c.Scale, buffers.KeyColumns, buffers.KeyBlock);
        }
    }

    /// <summary>Column panels (rows x 32 of size) of a block of rows, with zeros up to a multiple of <paramref name="step"/> rows.</summary>
    private void PackColumns(float* rows, long stride, int count, int step, float scale, float* columns, int block)
    {
        int width = Microkernel.Columns;
        int padding = Microkernel.RoundUp(count, step) - count;
        for (int d = 0; d < c.Size; d += width)
        {
            float* panel = columns + (d * block);
            PanelPacking.Copy<LoadSingle>(panel, width, Math.Min(width, c.Size - d), rows, d, stride, count, scale);
            new Span<float>(panel + (count * width), padding * width).Clear();
        }
    }

    /// <summary>Leaves ds of a block, and ds and p turned: what each panel of queries sees of it.</summary>
    private void Scores<T>(in AttentionBackwardBuffers buffers, int batch, int head, int token, int start, AttentionRanges* ranges)
        where T : unmanaged, IFloatLanes<T>
    {
        int width = Microkernel.Columns;
        int step = Microkernel.MaxRows;
        int count = Math.Min(QueryBlock, c.Queries - token);
        float* query = c.Query.At(batch, token, head);
        float* gradient = g.OutputGradient.At(batch, token, head);
        if (part != AttentionBackwardPart.Queries)
        {
            PackColumns(query, c.Query.Token, count, width, c.Scale, buffers.QueryColumns, QueryBlock);
            PackColumns(gradient, g.OutputGradient.Token, count, width, 1, buffers.GradientColumns, QueryBlock);
        }

        float* logSumExp = stackalloc float[2 * 32];
        float* delta = logSumExp + 32;
        long row = (((long)batch * c.QueryHeads) + head) * c.Queries;
        for (int p = 0; p < count; p += width)
        {
            AttentionRanges see = ranges[p / width];
            if (!see.Clip(start, buffers.KeyBlock, out int first, out int last))
            {
                continue;
            }

            int filled = Math.Min(count - p, width);
            for (int i = 0; i < width; i++)
            {
                logSumExp[i] = i < filled ? c.LogSumExp[row + token + p + i] * (float)VectorMath.Log2E : 0;
                delta[i] = i < filled ? g.Delta[row + token + p + i] : 0;
            }

            PanelPacking.Transpose<LoadSingle>(buffers.Query, width, filled, query, p * c.Query.Token, c.Query.Token, c.Size, c.ScoreScale);
            PanelPacking.Transpose<LoadSingle>(buffers.Gradient, width, filled, gradient, p * g.OutputGradient.Token, g.OutputGradient.Token, c.Size, 1);
            for (int i = first; i < last; i += step)
            {
                float* slopes = buffers.Slopes + (p * buffers.KeyBlock) + (i * width);
                Microkernel.Run(step, c.Size, buffers.Keys + (i * c.Size), step, buffers.Query, buffers.Tile, width, false);
                Microkernel.Run(step, c.Size, buffers.Values + (i * c.Size), step, buffers.Gradient, slopes, width, false);
                bool masked = see.NeedsMask(start + i, start + i + step);
                for (int j = 0; j < width; j += T.Count)
                {
                    Probabilities<T>(buffers.Tile + j, slopes + j, start + i, masked, see.First + j, see.End + j, logSumExp + j, delta + j);
                }

                if (part != AttentionBackwardPart.Queries)
                {
                    int turned = (i * QueryBlock) + (p * step);
                    PanelPacking.TransposeInto<LoadSingle>(buffers.TurnedScores + turned, step, step, buffers.Tile, 0, width, width, 1);
                    PanelPacking.TransposeInto<LoadSingle>(buffers.TurnedSlopes + turned, step, step, slopes, 0, width, width, 1);
                }
            }
        }
    }

    /// <summary>One row panel of keys: s becomes p, dp becomes ds.</summary>
    private void Probabilities<T>(float* scores, float* slopes, int start, bool masked, float* low, float* high, float* logSumExp, float* delta)
        where T : unmanaged, IFloatLanes<T>
    {
        int width = Microkernel.Columns;
        int step = Microkernel.MaxRows;
        bool capped = c.SoftCap != 0;
        T cap = T.Of(c.SoftCap * VectorMath.Log2E);
        T inverseCap = T.Of(capped ? 1.0 / c.SoftCap : 0);
        T from = T.Load(low);
        T to = T.Load(high);
        T sum = T.Load(logSumExp);
        T mean = T.Load(delta);
        for (int i = 0; i < step; i++)
        {
            T score = T.Load(scores + (i * width));
            T slope = T.Load(slopes + (i * width)) - mean;
            if (capped)
            {
                T tanh = T.Tanh(score * inverseCap);
                score = cap * tanh;
                slope *= T.Of(1) - (tanh * tanh);
            }

            T p = T.Exp2(score - sum);
            if (masked)
            {
                T key = T.Of(start + i);
                p = T.Select(T.Less(key, from), T.Of(0), T.Select(T.Less(key, to), p, T.Of(0)));
            }

            T.Store(p, scores + (i * width));
            T.Store(p * slope, slopes + (i * width));
        }
    }

    /// <summary>dv += pᵀ·dout and dk += dsᵀ·q for the keys of the block.</summary>
    private void SumKeys(in AttentionBackwardBuffers buffers, int start, AttentionRanges* ranges)
    {
        int width = Microkernel.Columns;
        int step = Microkernel.MaxRows;
        for (int i = 0; i < buffers.KeyBlock; i += step)
        {
            // The panels of queries that see these keys; between them may be some that do not.
            int from = QueryBlock, to = 0;
            for (int p = 0; p < QueryBlock; p += width)
            {
                if (Sees(ranges[p / width], start, buffers.KeyBlock, i))
                {
                    from = Math.Min(from, p);
                    to = p + width;
                }
            }

            if (from >= to)
            {
                continue;
            }

            float* scores = buffers.TurnedScores + (i * QueryBlock);
            float* slopes = buffers.TurnedSlopes + (i * QueryBlock);
            for (int p = from; p < to; p += width)
            {
                if (!Sees(ranges[p / width], start, buffers.KeyBlock, i))
                {
                    new Span<float>(scores + (p * step), width * step).Clear();
                    new Span<float>(slopes + (p * step), width * step).Clear();
                }
            }

            for (int d = 0; d < c.Size; d += width)
            {
                int columns = (d * QueryBlock) + (from * width);
                int sums = (i * buffers.Columns) + d;
                if (g.Value.Data != null)
                {
                    Microkernel.Run(step, to - from, scores + (from * step), step, buffers.GradientColumns + columns, buffers.ValueSums + sums, buffers.Columns, true);
                }

                if (g.Key.Data != null)
                {
                    Microkernel.Run(step, to - from, slopes + (from * step), step, buffers.QueryColumns + columns, buffers.KeySums + sums, buffers.Columns, true);
                }
            }
        }
    }

    private static bool Sees(in AttentionRanges ranges, int start, int block, int key)
    {
        return ranges.Clip(start, block, out int first, out int last) && key >= first && key < last;
    }

    /// <summary>dq += ds·k: the tile of slopes is read in place, as row panels that lie in wider rows.</summary>
    private void SumQueries(in AttentionBackwardBuffers buffers, int batch, int head, int token, int start, AttentionRanges* ranges)
    {
        int width = Microkernel.Columns;
        int count = Math.Min(QueryBlock, c.Queries - token);
        for (int row = 0; row < count;)
        {
            (int panel, int lane) = Math.DivRem(row, width);
            int height = Microkernel.PanelRows(width - lane);
            int filled = Math.Min(height, count - row);
            if (ranges[panel].Clip(start, buffers.KeyBlock, out int first, out int last))
            {
                float* tile = buffers.Slopes + (panel * width * buffers.KeyBlock) + (first * width) + lane;
                float* to = g.Query.At(batch, token + row, head);
                for (int d = 0; d < c.Size; d += width)
                {
                    float* columns = buffers.KeyColumns + (d * buffers.KeyBlock) + (first * width);
                    if (filled == height && d + width <= c.Size)
                    {
                        Microkernel.Run(height, last - first, tile, width, columns, to + d, g.Query.Token, true);
                    }
                    else
                    {
                        Microkernel.Run(height, last - first, tile, width, columns, buffers.Tile, width, false);
                        Gemm.Merge(buffers.Tile, width, filled, Math.Min(width, c.Size - d), to + d, g.Query.Token, true);
                    }
                }
            }

            row += height;
        }
    }

    private void Store(in AttentionBackwardBuffers buffers, float* sums, Heads target, int batch, int keyHead, int start, int count, bool accumulate)
    {
        if (target.Data != null)
        {
            Gemm.Merge(sums, buffers.Columns, count, c.Size, target.At(batch, start, keyHead), target.Token, accumulate);
        }
    }
}

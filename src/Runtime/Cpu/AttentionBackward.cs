using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Gradients of attention in blocks: probabilities are computed again from the saved logarithms of the sums (Dao 2023, arXiv:2307.08691, algorithm 2).</summary>
/// <remarks>
/// With p = exp(s - lse), dp = dout·vᵀ and delta = Σ dout·out: ds = p·(dp - delta), dv = pᵀ·dout, dk = scale·dsᵀ·q, dq = scale·ds·k.
/// Either one task per key head does everything (five products per block), or one set of tasks does keys and values and another the queries
/// (seven products, more tasks). Both add the same terms in the same order, so the choice, which depends on the number of threads, is not seen in the result.
/// </remarks>
internal static unsafe class AttentionBackward
{
    /// <summary>Queries per block.</summary>
    private const int QueryBlock = 64;

    private enum Part
    {
        Everything,
        KeysAndValues,
        Queries,
    }

    /// <summary>Bytes of <see cref="AttentionGradients.Delta"/>.</summary>
    public static long WorkspaceBytes(int batch, int heads, int queries) => 4L * batch * heads * queries;

    /// <summary>Writes, or adds to, the gradients that have memory.</summary>
    public static void Run(WorkerTeam team, in AttentionCall c, in AttentionGradients g)
    {
        c.Check();
        PrepareWork prepare = new(c, g);
        team.Run(checked(c.Batch * WorkerTeam.ChunksFor(c.Queries, PrepareWork.Tokens)), ref prepare);

        if (g.Sinks != null)
        {
            SinkWork sinks = new(c, g);
            team.Run(c.QueryHeads, ref sinks);
        }

        bool keys = g.Key.Data != null || g.Value.Data != null;
        bool queries = g.Query.Data != null;
        int items = c.Batch * c.KeyHeads;
        if (keys && queries && (items + team.Threads - 1) / team.Threads * 5L * team.Threads <= items * 7L)
        {
            CpuKernel.Run(team, items, new BlockWork(team, c, g, Part.Everything));
            return;
        }

        if (keys)
        {
            CpuKernel.Run(team, checked(items * WorkerTeam.ChunksFor(c.Keys, AttentionForward.KeyBlock(c.Size))), new BlockWork(team, c, g, Part.KeysAndValues));
        }

        if (queries)
        {
            CpuKernel.Run(team, checked(items * WorkerTeam.ChunksFor(c.Queries, QueryBlock)), new BlockWork(team, c, g, Part.Queries));
        }
    }

    /// <summary>delta (B, H, T) = Σ_D dout·out; the query's gradient becomes zero where it is to be written.</summary>
    private readonly struct PrepareWork(AttentionCall c, AttentionGradients g) : IChunkWork
    {
        public const int Tokens = 32;

        public void Invoke(int chunk, int worker)
        {
            (int batch, int block) = Math.DivRem(chunk, WorkerTeam.ChunksFor(c.Queries, Tokens));
            int end = Math.Min(c.Queries, (block + 1) * Tokens);
            for (int head = 0; head < c.QueryHeads; head++)
            {
                float* delta = g.Delta + ((((long)batch * c.QueryHeads) + head) * c.Queries);
                for (int t = block * Tokens; t < end; t++)
                {
                    ReadOnlySpan<float> gradient = new(g.OutputGradient.At(batch, t, head), c.Size);
                    delta[t] = System.Numerics.Tensors.TensorPrimitives.Dot(gradient, new ReadOnlySpan<float>(c.Output.At(batch, t, head), c.Size));
                    if (g.Query.Data != null && !g.AccumulateQuery)
                    {
                        new Span<float>(g.Query.At(batch, t, head), c.Size).Clear();
                    }
                }
            }
        }
    }

    /// <summary>dsink (H) = -Σ exp(sink - lse)·delta over batch and queries, added in order.</summary>
    private readonly struct SinkWork(AttentionCall c, AttentionGradients g) : IChunkWork
    {
        public void Invoke(int chunk, int worker)
        {
            double sum = 0;
            for (int batch = 0; batch < c.Batch; batch++)
            {
                long row = (((long)batch * c.QueryHeads) + chunk) * c.Queries;
                for (int t = 0; t < c.Queries; t++)
                {
                    sum += MathF.Exp(c.Sinks[chunk] - c.LogSumExp[row + t]) * (double)g.Delta[row + t];
                }
            }

            g.Sinks[chunk] = (float)((g.AccumulateSinks ? g.Sinks[chunk] : 0) - sum);
        }
    }

    private readonly struct BlockWork(WorkerTeam team, AttentionCall c, AttentionGradients g, Part part) : ILanesWork
    {
        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            Buffers buffers = new((float*)team.Scratch(worker), c.Size);
            int keyBlocks = WorkerTeam.ChunksFor(c.Keys, buffers.KeyBlock);
            int queryBlocks = WorkerTeam.ChunksFor(c.Queries, QueryBlock);
            if (part == Part.Everything)
            {
                (int batch, int keyHead) = Math.DivRem(chunk, c.KeyHeads);
                for (int block = 0; block < keyBlocks; block++)
                {
                    Keys<T>(buffers, batch, keyHead, block * buffers.KeyBlock, queryBlocks);
                }
            }
            else if (part == Part.KeysAndValues)
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
        private void Keys<T>(in Buffers buffers, int batch, int keyHead, int start, int queryBlocks)
            where T : unmanaged, IFloatLanes<T>
        {
            float* lanes = stackalloc float[2 * QueryBlock];
            bool packed = false;
            int size = Math.Min(buffers.KeyBlock, c.Keys - start);
            new Span<float>(buffers.KeySums, 2 * buffers.KeyBlock * buffers.Columns).Clear();
            for (int block = 0; block < queryBlocks; block++)
            {
                int token = block * QueryBlock;
                AttentionRanges ranges = new(c, batch, token, Math.Min(QueryBlock, c.Queries - token), QueryBlock, lanes);
                if (!ranges.Clip(start, buffers.KeyBlock, out int first, out int last))
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
                    Scores<T>(buffers, batch, head, token, start, first, last, ranges);
                    SumKeys(buffers, first, last);
                    if (part == Part.Everything)
                    {
                        SumQueries(buffers, batch, head, token, first, last);
                    }
                }
            }

            Store(buffers, buffers.KeySums, g.Key, batch, keyHead, start, size, g.AccumulateKey);
            Store(buffers, buffers.ValueSums, g.Value, batch, keyHead, start, size, g.AccumulateValue);
        }

        /// <summary>One block of queries, of all heads of a group, against all keys.</summary>
        [SkipLocalsInit]
        private void Queries<T>(in Buffers buffers, int batch, int keyHead, int token)
            where T : unmanaged, IFloatLanes<T>
        {
            float* lanes = stackalloc float[2 * QueryBlock];
            AttentionRanges ranges = new(c, batch, token, Math.Min(QueryBlock, c.Queries - token), QueryBlock, lanes);
            for (int start = ranges.Low / buffers.KeyBlock * buffers.KeyBlock; start < ranges.High; start += buffers.KeyBlock)
            {
                _ = ranges.Clip(start, buffers.KeyBlock, out int first, out int last);
                PackKeys(buffers, batch, keyHead, start, Math.Min(buffers.KeyBlock, c.Keys - start));
                for (int i = 0; i < c.Group; i++)
                {
                    int head = (keyHead * c.Group) + i;
                    Scores<T>(buffers, batch, head, token, start, first, last, ranges);
                    SumQueries(buffers, batch, head, token, first, last);
                }
            }
        }

        /// <summary>Keys and values as row panels (size x 12), keys also as column panels (keys x 32 of size); zeros up to a whole row panel of keys.</summary>
        private void PackKeys(in Buffers buffers, int batch, int keyHead, int start, int count)
        {
            int step = Microkernel.MaxRows;
            int width = Microkernel.Columns;
            float* key = c.Key.At(batch, start, keyHead);
            float* value = c.Value.At(batch, start, keyHead);
            for (int i = 0; i < count; i += step)
            {
                int filled = Math.Min(step, count - i);
                PanelPacking.Transpose<LoadSingle>(buffers.Keys + (i * c.Size), step, filled, key, i * c.Key.Token, c.Key.Token, c.Size, 1);
                PanelPacking.Transpose<LoadSingle>(buffers.Values + (i * c.Size), step, filled, value, i * c.Value.Token, c.Value.Token, c.Size, 1);
            }

            int padding = Microkernel.RoundUp(count, step) - count;
            for (int d = 0; d < c.Size; d += width)
            {
                float* panel = buffers.KeyColumns + (d * buffers.KeyBlock);
                PanelPacking.Copy<LoadSingle>(panel, width, Math.Min(width, c.Size - d), key, d, c.Key.Token, count, 1);
                new Span<float>(panel + (count * width), padding * width).Clear();
            }
        }

        /// <summary>Leaves p and scale·ds of a block, transposed: per panel of queries, keys down and queries across the lanes.</summary>
        private void Scores<T>(in Buffers buffers, int batch, int head, int token, int start, int first, int last, in AttentionRanges ranges)
            where T : unmanaged, IFloatLanes<T>
        {
            int width = Microkernel.Columns;
            int step = Microkernel.MaxRows;
            int count = Math.Min(QueryBlock, c.Queries - token);
            float* query = c.Query.At(batch, token, head);
            float* gradient = g.OutputGradient.At(batch, token, head);
            if (part != Part.Queries)
            {
                PackColumns(query, c.Query.Token, count, buffers.QueryColumns);
                PackColumns(gradient, g.OutputGradient.Token, count, buffers.GradientColumns);
            }

            float* logSumExp = stackalloc float[2 * QueryBlock];
            float* delta = logSumExp + QueryBlock;
            long row = (((long)batch * c.QueryHeads) + head) * c.Queries;
            for (int i = 0; i < QueryBlock; i++)
            {
                logSumExp[i] = i < count ? c.LogSumExp[row + token + i] : 0;
                delta[i] = i < count ? g.Delta[row + token + i] : 0;
            }

            bool masked = ranges.NeedsMask(start + first, start + last);
            for (int p = 0; p < QueryBlock; p += width)
            {
                int filled = Math.Clamp(count - p, 0, width);
                PanelPacking.Transpose<LoadSingle>(buffers.Query, width, filled, query, p * c.Query.Token, c.Query.Token, c.Size, c.Scale);
                PanelPacking.Transpose<LoadSingle>(buffers.Gradient, width, filled, gradient, p * g.OutputGradient.Token, g.OutputGradient.Token, c.Size, 1);
                float* scores = buffers.Scores + (p * buffers.KeyBlock);
                float* slopes = buffers.Slopes + (p * buffers.KeyBlock);
                for (int i = first; i < last; i += step)
                {
                    Microkernel.Run(step, c.Size, buffers.Keys + (i * c.Size), step, buffers.Query, scores + (i * width), width, false);
                    Microkernel.Run(step, c.Size, buffers.Values + (i * c.Size), step, buffers.Gradient, slopes + (i * width), width, false);
                }

                for (int j = 0; j < width; j += T.Count)
                {
                    Probabilities<T>(scores + j, slopes + j, first, last, start, masked, ranges.First + p + j, ranges.End + p + j, logSumExp + p + j, delta + p + j);
                }
            }
        }

        private void Probabilities<T>(float* scores, float* slopes, int first, int last, int start, bool masked, float* low, float* high, float* logSumExp, float* delta)
            where T : unmanaged, IFloatLanes<T>
        {
            int width = Microkernel.Columns;
            bool capped = c.SoftCap != 0;
            T cap = T.Of(c.SoftCap);
            T inverseCap = T.Of(capped ? 1.0 / c.SoftCap : 0);
            T scale = T.Of(c.Scale);
            T from = T.Load(low);
            T to = T.Load(high);
            T sum = T.Load(logSumExp);
            T mean = T.Load(delta);
            for (int i = first; i < last; i++)
            {
                T score = T.Load(scores + (i * width));
                T factor = scale;
                if (capped)
                {
                    T tanh = T.Tanh(score * inverseCap);
                    score = cap * tanh;
                    factor *= T.Of(1) - (tanh * tanh);
                }

                T p = T.Exp(score - sum);
                if (masked)
                {
                    T key = T.Of(start + i);
                    p = T.Select(T.Less(key, from), T.Of(0), T.Select(T.Less(key, to), p, T.Of(0)));
                }

                T.Store(p, scores + (i * width));
                T.Store(p * (T.Load(slopes + (i * width)) - mean) * factor, slopes + (i * width));
            }
        }

        /// <summary>Column panels (queries x 32 of size) of a block of rows, zeros beyond.</summary>
        private void PackColumns(float* rows, long stride, int count, float* columns)
        {
            int width = Microkernel.Columns;
            for (int d = 0; d < c.Size; d += width)
            {
                float* panel = columns + (d * QueryBlock);
                PanelPacking.Copy<LoadSingle>(panel, width, Math.Min(width, c.Size - d), rows, d, stride, count, 1);
                new Span<float>(panel + (count * width), (QueryBlock - count) * width).Clear();
            }
        }

        /// <summary>dv += pᵀ·dout and dk += dsᵀ·q for the keys of the block.</summary>
        private void SumKeys(in Buffers buffers, int first, int last)
        {
            if (g.Value.Data != null)
            {
                SumKeys(buffers, buffers.Scores, buffers.GradientColumns, buffers.ValueSums, first, last);
            }

            if (g.Key.Data != null)
            {
                SumKeys(buffers, buffers.Slopes, buffers.QueryColumns, buffers.KeySums, first, last);
            }
        }

        private void SumKeys(in Buffers buffers, float* tile, float* columns, float* sums, int first, int last)
        {
            int width = Microkernel.Columns;
            int step = Microkernel.MaxRows;
            for (int i = first; i < last; i += step)
            {
                for (int p = 0; p < QueryBlock; p += width)
                {
                    PanelPacking.TransposeInto<LoadSingle>(buffers.Turned + (p * step), step, step, tile, (p * buffers.KeyBlock) + (i * width), width, width, 1);
                }

                for (int d = 0; d < c.Size; d += width)
                {
                    Microkernel.Run(step, QueryBlock, buffers.Turned, step, columns + (d * QueryBlock), sums + (i * buffers.Columns) + d, buffers.Columns, true);
                }
            }
        }

        /// <summary>dq += ds·k: the tile of slopes is read in place, as row panels that lie in wider rows.</summary>
        private void SumQueries(in Buffers buffers, int batch, int head, int token, int first, int last)
        {
            int width = Microkernel.Columns;
            int count = Math.Min(QueryBlock, c.Queries - token);
            for (int row = 0; row < count;)
            {
                (int panel, int lane) = Math.DivRem(row, width);
                int height = Microkernel.PanelRows(width - lane);
                int filled = Math.Min(height, count - row);
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
                        Microkernel.Run(height, last - first, tile, width, columns, buffers.Edge, width, false);
                        Gemm.Merge(buffers.Edge, width, filled, Math.Min(width, c.Size - d), to + d, g.Query.Token, true);
                    }
                }

                row += height;
            }
        }

        private void Store(in Buffers buffers, float* sums, Heads target, int batch, int keyHead, int start, int count, bool accumulate)
        {
            if (target.Data != null)
            {
                Gemm.Merge(sums, buffers.Columns, count, c.Size, target.At(batch, start, keyHead), target.Token, accumulate);
            }
        }
    }

    /// <summary>How a worker's scratch is divided; below 1.6 MB for every size up to 1024.</summary>
    private readonly struct Buffers
    {
        public readonly int KeyBlock;
        public readonly int Columns;
        public readonly float* Keys;
        public readonly float* Values;
        public readonly float* KeyColumns;
        public readonly float* KeySums;
        public readonly float* ValueSums;
        public readonly float* Query;
        public readonly float* Gradient;
        public readonly float* QueryColumns;
        public readonly float* GradientColumns;
        public readonly float* Scores;
        public readonly float* Slopes;
        public readonly float* Turned;
        public readonly float* Edge;

        public Buffers(float* memory, int size)
        {
            int width = Microkernel.Columns;
            KeyBlock = AttentionForward.KeyBlock(size);
            Columns = Microkernel.RoundUp(size, width);
            Keys = memory;
            Values = Keys + (KeyBlock * size);
            KeyColumns = Values + (KeyBlock * size);
            KeySums = KeyColumns + (KeyBlock * Columns);
            ValueSums = KeySums + (KeyBlock * Columns);
            Query = ValueSums + (KeyBlock * Columns);
            Gradient = Query + (size * width);
            QueryColumns = Gradient + (size * width);
            GradientColumns = QueryColumns + (QueryBlock * Columns);
            Scores = GradientColumns + (QueryBlock * Columns);
            Slopes = Scores + (QueryBlock * KeyBlock);
            Turned = Slopes + (QueryBlock * KeyBlock);
            Edge = Turned + (QueryBlock * Microkernel.MaxRows);
        }
    }
}

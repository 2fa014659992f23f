using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Attention in blocks that never holds a (T, S) matrix: online softmax over blocks of keys (Dao 2023, arXiv:2307.08691, algorithm 1).</summary>
/// <remarks>
/// Scores are kept transposed, keys down and a panel of queries across the lanes. So the softmax is vertical, without sums across lanes, and its
/// result is already a packed column panel for the product with the values: out (D, queries) += vᵀ (D, keys) · p (keys, queries).
/// </remarks>
internal static unsafe class AttentionForward
{
    private const int RowsPerChunk = 512;
    private const int MaxTokens = 512;
    private const int ChunksPerThread = 6;
    private const int PanelBytes = 1 << 20; // packed queries and outputs of a chunk

    /// <summary>Writes every element of out (B, T, H, D) and, where asked for, the logarithms of the sums.</summary>
    public static void Run(WorkerTeam team, in AttentionCall c)
    {
        c.Check();
        if (AttentionDecode.Fits(c))
        {
            AttentionDecode.Run(team, c);
        }
        else if (c.Batch > 0 && c.QueryHeads > 0)
        {
            ForwardWork work = new(team, c);
            CpuKernel.Run(team, work.Chunks, work);
        }
    }

    /// <summary>Keys per block: 96, so that a tile of scores stays in L1 (24 to 192 tried), or fewer where a block would leave L2; a multiple of every row panel.</summary>
    private static int KeyBlock(int size) => Math.Clamp(24576 / size / 24 * 24, 24, 96);

    private readonly struct ForwardWork : ILanesWork
    {
        private readonly WorkerTeam _team;
        private readonly AttentionCall _c;
        private readonly int _heads;
        private readonly int _tokens;
        private readonly int _headGroups;
        private readonly int _tokenBlocks;

        public ForwardWork(WorkerTeam team, in AttentionCall c)
        {
            _team = team;
            _c = c;
            int lanes = Microkernel.Columns;
            int bytesPerRow = 8 * Microkernel.RoundUp(c.Size, Microkernel.RowStep);
            int rows = Math.Min(RowsPerChunk, PanelBytes / bytesPerRow);
            _heads = Math.Clamp(rows / lanes, 1, c.Group);
            _headGroups = (c.Group + _heads - 1) / _heads;

            // Keys are packed once per chunk, so a chunk takes as many queries as leave enough chunks to share out; results do not depend on it.
            _tokens = Math.Clamp(rows / _heads / lanes * lanes, lanes, MaxTokens);
            long items = (long)c.Batch * c.KeyHeads * _headGroups;
            while (_tokens > lanes && items * WorkerTeam.ChunksFor(c.Queries, _tokens) < ChunksPerThread * team.Threads)
            {
                _tokens = Microkernel.RoundUp(_tokens / 2, lanes);
            }

            _tokenBlocks = WorkerTeam.ChunksFor(c.Queries, _tokens);
        }

        public int Chunks => checked(_c.Batch * _c.KeyHeads * _headGroups * _tokenBlocks);

        [SkipLocalsInit]
        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            // The last tokens see the most under a causal mask: they come first.
            (int rest, int block) = Math.DivRem(chunk, _tokenBlocks);
            int token = (_tokenBlocks - 1 - block) * _tokens;
            (rest, int headGroup) = Math.DivRem(rest, _headGroups);
            (int batch, int keyHead) = Math.DivRem(rest, _c.KeyHeads);
            int head = (keyHead * _c.Group) + (headGroup * _heads);
            int heads = Math.Min(_heads, _c.Group - (headGroup * _heads));
            int tokens = Math.Min(_tokens, _c.Queries - token);

            int lanes = Microkernel.Columns;
            int panelsPerHead = (tokens + lanes - 1) / lanes;
            int size = _c.Size;
            int paddedSize = Microkernel.RoundUp(size, Microkernel.RowStep);
            int keyBlock = KeyBlock(size);
            float* keys = (float*)_team.Scratch(worker);
            float* values = keys + (keyBlock * size);
            float* scores = values + (keyBlock * paddedSize);
            float* statistics = scores + (keyBlock * lanes);
            float* queries = statistics + (2 * heads * panelsPerHead * lanes);
            float* outputs = queries + (heads * panelsPerHead * size * lanes);

            AttentionRanges* ranges = stackalloc AttentionRanges[MaxTokens / 8];
            float* rangeMemory = stackalloc float[2 * MaxTokens];
            int low = int.MaxValue, high = 0;
            for (int p = 0; p < panelsPerHead; p++)
            {
                int count = Math.Min(lanes, tokens - (p * lanes));
                ranges[p] = new AttentionRanges(_c, batch, token + (p * lanes), count, lanes, rangeMemory + (2 * p * lanes));
                if (ranges[p].High > 0)
                {
                    low = Math.Min(low, ranges[p].Low);
                    high = Math.Max(high, ranges[p].High);
                }

                for (int h = 0; h < heads; h++)
                {
                    int panel = (h * panelsPerHead) + p;
                    float* from = _c.Query.At(batch, token + (p * lanes), head + h);
                    PanelPacking.Transpose<LoadSingle>(queries + (panel * size * lanes), lanes, count, from, 0, _c.Query.Token, size, _c.ScoreScale);
                }
            }

            int panels = heads * panelsPerHead;
            for (int h = 0; h < heads; h++)
            {
                // A sink is a key that every query has seen already: its score is the maximum so far, its exponential 1 the sum.
                int row = panelsPerHead * lanes;
                new Span<float>(statistics + (h * row), row).Fill(_c.Sinks == null ? float.NegativeInfinity : _c.Sinks[head + h] * (float)VectorMath.Log2E);
                new Span<float>(statistics + ((heads + h) * row), row).Fill(_c.Sinks == null ? 0 : 1);
            }

            new Span<float>(outputs, panels * paddedSize * lanes).Clear();
            for (int start = low / keyBlock * keyBlock; start < high; start += keyBlock)
            {
                PackKeys(batch, keyHead, start, Math.Max(low, start), Math.Min(high, start + keyBlock), keyBlock, keys, values);
                for (int p = 0; p < panelsPerHead; p++)
                {
                    if (!ranges[p].Clip(start, keyBlock, out int first, out int last))
                    {
                        continue;
                    }

                    for (int h = 0; h < heads; h++)
                    {
                        int panel = (h * panelsPerHead) + p;
                        float* query = queries + (panel * size * lanes);
                        for (int i = first; i < last; i += Microkernel.MaxRows)
                        {
                            Microkernel.Run(Microkernel.MaxRows, size, keys + (i * size), Microkernel.MaxRows, query, scores + (i * lanes), lanes, false);
                        }

                        float* output = outputs + (panel * paddedSize * lanes);
                        Softmax<T>(scores, first, last, start, ranges[p], statistics + (panel * lanes), statistics + ((panels + panel) * lanes), output);
                        for (int d = 0; d < size;)
                        {
                            int height = Microkernel.PanelRows(size - d);
                            float* value = values + (d * keyBlock) + (first * height);
                            Microkernel.Run(height, last - first, value, height, scores + (first * lanes), output + (d * lanes), lanes, true);
                            d += height;
                        }
                    }
                }
            }

            for (int panel = 0; panel < panels; panel++)
            {
                (int h, int p) = Math.DivRem(panel, panelsPerHead);
                int at = token + (p * lanes);
                int count = Math.Min(lanes, tokens - (p * lanes));
                Finish<T>(batch, at, head + h, count, statistics + (panel * lanes), statistics + ((panels + panel) * lanes), outputs + (panel * paddedSize * lanes));
            }
        }

        /// <summary>Keys as row panels (size x 12), values as row panels (keys x 12 of size); what lies between the last key and a whole panel is zero.</summary>
        private void PackKeys(int batch, int keyHead, int start, int from, int to, int keyBlock, float* keys, float* values)
        {
            int step = Microkernel.MaxRows;
            int size = _c.Size;
            int first = (from - start) / step * step;
            int last = Microkernel.RoundUp(to - start, step);
            int there = Math.Min(last, _c.Keys - start);
            float* key = _c.Key.At(batch, start, keyHead);
            for (int i = first; i < last; i += step)
            {
                PanelPacking.Transpose<LoadSingle>(keys + (i * size), step, Math.Min(step, there - i), key, i * _c.Key.Token, _c.Key.Token, size, 1);
            }

            float* value = _c.Value.At(batch, start, keyHead);
            for (int d = 0; d < size;)
            {
                int height = Microkernel.PanelRows(size - d);
                float* panel = values + (d * keyBlock);
                long offset = (first * _c.Value.Token) + d;
                PanelPacking.Copy<LoadSingle>(panel + (first * height), height, Math.Min(height, size - d), value, offset, _c.Value.Token, there - first, 1);
                new Span<float>(panel + (there * height), (last - there) * height).Clear();
                d += height;
            }
        }

        /// <summary>Turns scores into exp(score - max) and corrects sum and output for a maximum that grew.</summary>
        private void Softmax<T>(float* scores, int first, int last, int start, in AttentionRanges ranges, float* max, float* sum, float* output)
            where T : unmanaged, IFloatLanes<T>
        {
            int lanes = Microkernel.Columns;
            bool masked = ranges.NeedsMask(start + first, start + last);
            T minus = T.Of(double.NegativeInfinity);
            T cap = T.Of(_c.SoftCap * VectorMath.Log2E);
            T inverseCap = T.Of(_c.SoftCap == 0 ? 0 : 1.0 / _c.SoftCap);
            bool capped = _c.SoftCap != 0;
            for (int j = 0; j < lanes; j += T.Count)
            {
                T top = minus;
                T low = T.Load(ranges.First + j);
                T high = T.Load(ranges.End + j);
                for (int i = first; i < last; i++)
                {
                    float* at = scores + (i * lanes) + j;
                    T score = T.Load(at);
                    if (capped)
                    {
                        score = cap * T.Tanh(score * inverseCap);
                    }

                    if (masked)
                    {
                        T key = T.Of(start + i);
                        score = T.Select(T.Less(key, low), minus, T.Select(T.Less(key, high), score, minus));
                    }

                    if (capped || masked)
                    {
                        T.Store(score, at);
                    }

                    top = T.MaxNative(top, score);
                }

                T old = T.Load(max + j);
                top = T.MaxNative(old, top);
                T.Store(top, max + j);

                // A query that has seen nothing yet has the maximum -∞: 0 in its place keeps -∞ - (-∞) out of the exponent.
                T shift = T.Select(T.Less(top, T.Of(-3e38)), T.Of(0), top);
                T correction = T.Exp2(old - shift);
                T total = T.Load(sum + j) * correction;
                for (int i = first; i < last; i++)
                {
                    float* at = scores + (i * lanes) + j;
                    T p = T.Exp2(T.Load(at) - shift);
                    T.Store(p, at);
                    total += p;
                }

                T.Store(total, sum + j);
                for (int d = 0; d < _c.Size; d++)
                {
                    float* at = output + (d * lanes) + j;
                    T.Store(T.Load(at) * correction, at);
                }
            }
        }

        /// <summary>Divides by the sums and writes the rows.</summary>
        private void Finish<T>(int batch, int token, int head, int count, float* max, float* sum, float* output)
            where T : unmanaged, IFloatLanes<T>
        {
            int lanes = Microkernel.Columns;
            for (int j = 0; j < lanes; j += T.Count)
            {
                T total = T.Load(sum + j);
                T factor = T.Select(T.Equal(total, T.Of(0)), T.Of(0), T.Of(1) / total);
                for (int d = 0; d < _c.Size; d++)
                {
                    float* at = output + (d * lanes) + j;
                    T.Store(T.Load(at) * factor, at);
                }
            }

            PanelPacking.TransposeInto<LoadSingle>(_c.Output.At(batch, token, head), _c.Output.Token, _c.Size, output, 0, lanes, count, 1);
            if (_c.LogSumExp != null)
            {
                float* to = _c.LogSumExp + ((((long)batch * _c.QueryHeads) + head) * _c.Queries) + token;
                for (int i = 0; i < count; i++)
                {
                    to[i] = sum[i] == 0 ? float.NegativeInfinity : (max[i] / (float)VectorMath.Log2E) + MathF.Log(sum[i]);
                }
            }
        }
    }
}

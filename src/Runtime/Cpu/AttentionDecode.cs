namespace Graft.Runtime.Cpu;

/// <summary>Attention of a few queries, as in decoding: keys and values are streamed once per head and never packed.</summary>
internal static unsafe class AttentionDecode
{
    /// <summary>Most queries of this path: a panel of the block kernel has 32 lanes and costs as much for one query as for 32.</summary>
    private const int MaxQueries = 8;

    /// <summary>A few queries whose scores fit into a worker's scratch.</summary>
    public static bool Fits(in AttentionCall c) => c.Queries <= MaxQueries && (c.Keys + 8L + c.Size) * sizeof(float) <= CpuScratch.BytesPerWorker;

    /// <summary>Writes what <see cref="AttentionForward"/> writes.</summary>
    public static void Run(WorkerTeam team, in AttentionCall c) => CpuKernel.Run(team, checked(c.Batch * c.QueryHeads), new HeadWork(team, c));

    private readonly struct HeadWork(WorkerTeam team, AttentionCall c) : ILanesWork
    {
        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int batch, int head) = Math.DivRem(chunk, c.QueryHeads);
            float* scores = (float*)team.Scratch(worker);
            for (int t = 0; t < c.Queries; t++)
            {
                (int first, int end) = c.Visible(batch, t);
                Row<T>(batch, t, head, first, end - first, scores);
            }
        }

        private void Row<T>(int batch, int t, int head, int first, int count, float* scores)
            where T : unmanaged, IFloatLanes<T>
        {
            // Four scores at a time; the scratch has room for what the last four write beyond.
            float* query = c.Query.At(batch, t, head);
            float* key = c.Key.At(batch, first, head / c.Group);
            float sink = c.Sinks == null ? float.NegativeInfinity : c.Sinks[head];
            float max = sink;
            for (int j = 0; j < count; j += 4)
            {
                int width = Math.Min(4, count - j);
                Gemv.Dots1<LoadSingle>(c.Size, query, key, j * c.Key.Token, c.Key.Token, width, scores + j);
                for (int i = j; i < j + width; i++)
                {
                    float score = scores[i] * c.Scale;
                    scores[i] = c.SoftCap == 0 ? score : c.SoftCap * VectorMath.Tanh(score * (1 / c.SoftCap));
                    max = MathF.Max(max, scores[i]);
                }
            }

            float shift = float.IsNegativeInfinity(max) ? 0 : max;
            float sum = Exponentials<T>(scores, count, shift) + (c.Sinks == null ? 0 : MathF.Exp(sink - shift));
            float* output = c.Output.At(batch, t, head);
            new Span<float>(output, c.Size).Clear();
            float* value = c.Value.At(batch, first, head / c.Group);
            for (int j = 0; j < count; j += 4)
            {
                Gemv.AddRows<LoadSingle>(output, c.Size, value, j * c.Value.Token, c.Value.Token, Math.Min(4, count - j), scores + j);
            }

            float factor = sum == 0 ? 0 : 1 / sum;
            for (int d = 0; d < c.Size; d++)
            {
                output[d] *= factor;
            }

            if (c.LogSumExp != null)
            {
                c.LogSumExp[((((long)batch * c.QueryHeads) + head) * c.Queries) + t] = sum == 0 ? float.NegativeInfinity : max + MathF.Log(sum);
            }
        }

        /// <summary>x = e^(x - shift); their sum.</summary>
        private static float Exponentials<T>(float* x, int count, float shift)
            where T : unmanaged, IFloatLanes<T>
        {
            T total = T.Of(0);
            int i = 0;
            for (; i + T.Count <= count; i += T.Count)
            {
                T p = T.Exp(T.Load(x + i) - T.Of(shift));
                T.Store(p, x + i);
                total += p;
            }

            float sum = T.Sum(total);
            for (; i < count; i++)
            {
                x[i] = VectorMath.Exp(x[i] - shift);
                sum += x[i];
            }

            return sum;
        }
    }
}

using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Gradients of attention in blocks: probabilities are computed again from the saved logarithms of the sums (Dao 2023, arXiv:2307.08691, algorithm 2).</summary>
/// <remarks>
/// With p = exp(s - lse), dp = dout·vᵀ and delta = Σ dout·out: ds = p·(dp - delta), dv = pᵀ·dout, dk = scale·dsᵀ·q, dq = scale·ds·k: see <see cref="AttentionBackwardBlocks"/>.
/// Either one task per key head does everything (five products per block), or one set of tasks does keys and values and another the queries
/// (seven products, more tasks). Both add the same terms in the same order, so the choice, which depends on the number of threads, is not seen in the result.
/// </remarks>
internal static unsafe class AttentionBackward
{
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
            CpuKernel.Run(team, items, new AttentionBackwardBlocks(team, c, g, AttentionBackwardPart.Everything));
            return;
        }

        if (keys)
        {
            CpuKernel.Run(team, checked(items * WorkerTeam.ChunksFor(c.Keys, AttentionBackwardBlocks.KeyBlock(c.Size))), new AttentionBackwardBlocks(team, c, g, AttentionBackwardPart.KeysAndValues));
        }

        if (queries)
        {
            CpuKernel.Run(team, checked(items * WorkerTeam.ChunksFor(c.Queries, AttentionBackwardBlocks.QueryBlock)), new AttentionBackwardBlocks(team, c, g, AttentionBackwardPart.Queries));
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
}

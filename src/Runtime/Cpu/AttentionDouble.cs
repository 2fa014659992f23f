namespace Graft.Runtime.Cpu;

/// <summary>Attention in F64 by plain loops, as the definition reads: the oracle of the block kernels. All float pointers of a call are to F64 here.</summary>
internal static unsafe class AttentionDouble
{
    /// <summary>Writes out (B, T, H, D).</summary>
    public static void Forward(in AttentionCall c)
    {
        double[] p = new double[c.Keys];
        double[] slopes = new double[c.Keys];
        for (int row = 0; row < c.Batch * c.Queries * c.QueryHeads; row++)
        {
            (int batch, int t, int head) = Place(c, row);
            (int first, int end) = Probabilities(c, batch, t, head, p, slopes, out _);
            Span<double> output = new(c.Output.DoublesAt(batch, t, head), c.Size);
            output.Clear();
            for (int j = first; j < end; j++)
            {
                double* value = c.Value.DoublesAt(batch, j, head / c.Group);
                for (int d = 0; d < c.Size; d++)
                {
                    output[d] += p[j] * value[d];
                }
            }
        }
    }

    /// <summary>Adds to the gradients that have memory; the caller clears what is to be overwritten.</summary>
    public static void Backward(in AttentionCall c, in AttentionGradients g)
    {
        double[] p = new double[c.Keys];
        double[] slopes = new double[c.Keys];
        double[] dp = new double[c.Keys];
        for (int row = 0; row < c.Batch * c.Queries * c.QueryHeads; row++)
        {
            (int batch, int t, int head) = Place(c, row);
            int keyHead = head / c.Group;
            (int first, int end) = Probabilities(c, batch, t, head, p, slopes, out double sink);
            double* gradient = g.OutputGradient.DoublesAt(batch, t, head);
            double mean = 0;
            for (int j = first; j < end; j++)
            {
                double* value = c.Value.DoublesAt(batch, j, keyHead);
                dp[j] = 0;
                for (int d = 0; d < c.Size; d++)
                {
                    dp[j] += gradient[d] * value[d];
                }

                mean += p[j] * dp[j];
            }

            for (int j = first; j < end; j++)
            {
                double ds = p[j] * (dp[j] - mean) * slopes[j] * c.Scale;
                Add(g.Query.Data == null ? null : g.Query.DoublesAt(batch, t, head), ds, c.Key.DoublesAt(batch, j, keyHead), c.Size);
                Add(g.Key.Data == null ? null : g.Key.DoublesAt(batch, j, keyHead), ds, c.Query.DoublesAt(batch, t, head), c.Size);
                Add(g.Value.Data == null ? null : g.Value.DoublesAt(batch, j, keyHead), p[j], gradient, c.Size);
            }

            if (g.Sinks != null)
            {
                ((double*)g.Sinks)[head] -= sink * mean;
            }
        }
    }

    private static (int Batch, int Query, int Head) Place(in AttentionCall c, int row)
    {
        (int rest, int head) = Math.DivRem(row, c.QueryHeads);
        (int batch, int query) = Math.DivRem(rest, c.Queries);
        return (batch, query, head);
    }

    /// <summary>The row of probabilities, the derivative of the soft cap, and the sink's probability.</summary>
    private static (int First, int End) Probabilities(in AttentionCall c, int batch, int t, int head, double[] p, double[] slopes, out double sink)
    {
        (int first, int end) = c.Visible(batch, t);
        double* query = c.Query.DoublesAt(batch, t, head);
        double score = c.Sinks == null ? double.NegativeInfinity : ((double*)c.Sinks)[head];
        double max = score;
        for (int j = first; j < end; j++)
        {
            double* key = c.Key.DoublesAt(batch, j, head / c.Group);
            double dot = 0;
            for (int d = 0; d < c.Size; d++)
            {
                dot += query[d] * key[d];
            }

            dot *= c.Scale;
            double tanh = c.SoftCap == 0 ? 0 : Math.Tanh(dot / c.SoftCap);
            slopes[j] = 1 - (tanh * tanh);
            p[j] = c.SoftCap == 0 ? dot : c.SoftCap * tanh;
            max = Math.Max(max, p[j]);
        }

        sink = c.Sinks == null ? 0 : Math.Exp(score - max);
        double sum = sink;
        for (int j = first; j < end; j++)
        {
            p[j] = Math.Exp(p[j] - max);
            sum += p[j];
        }

        for (int j = first; j < end; j++)
        {
            p[j] /= sum;
        }

        sink = sum == 0 ? 0 : sink / sum;
        return (first, end);
    }

    private static void Add(double* to, double factor, double* from, int count)
    {
        for (int i = 0; to != null && i < count; i++)
        {
            to[i] += factor * from[i];
        }
    }
}

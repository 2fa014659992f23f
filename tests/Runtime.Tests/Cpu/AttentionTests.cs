using Graft.Runtime.Cpu;

namespace Graft.Runtime.Tests.Cpu;

[TestFixture]
internal sealed unsafe class AttentionTests
{
    /// <summary>Sizes around panels (32 lanes, 12 rows), blocks (128 queries, 96 and 288 keys) and sizes per head.</summary>
    internal static IEnumerable<Setting> Settings()
    {
        yield return new(1, 1, 1, 1, 1, 4);
        yield return new(2, 5, 5, 4, 2, 8) { Causal = true };
        yield return new(1, 33, 33, 2, 2, 16) { Causal = true };
        yield return new(1, 70, 70, 6, 2, 64) { Causal = true };
        yield return new(1, 31, 250, 3, 1, 20) { Causal = true };
        yield return new(2, 40, 13, 2, 1, 12);
        yield return new(1, 130, 200, 2, 2, 33);
        yield return new(1, 230, 230, 1, 1, 7) { Causal = true, Window = 50 };
        yield return new(1, 20, 220, 2, 1, 40) { Causal = true, Window = 9 };
        yield return new(1, 100, 100, 2, 2, 16) { Causal = true, SoftCap = 2 };
        yield return new(2, 75, 75, 4, 4, 24) { Causal = true, Documents = true };
        yield return new(2, 210, 210, 3, 3, 32) { Documents = true };
        yield return new(1, 260, 260, 2, 1, 64) { Documents = true, Causal = true, Window = 30, SoftCap = 5 };
        yield return new(1, 140, 600, 2, 1, 16) { Causal = true };
        yield return new(1, 300, 300, 1, 1, 36) { Causal = true, Window = 100 };
        yield return new(2, 130, 110, 2, 1, 16) { Hole = true };
        yield return new(1, 1, 300, 8, 2, 64) { Causal = true };
        yield return new(2, 3, 100, 4, 1, 128) { Causal = true };
        yield return new(2, 4, 300, 4, 2, 20) { Causal = true, Window = 37, SoftCap = 3 };
        yield return new(2, 8, 64, 2, 1, 17) { Documents = true };
        yield return new(2, 9, 64, 2, 1, 17) { Documents = true };
        yield return new(1, 40, 60, 2, 1, 256) { Causal = true };
        yield return new(1, 14, 30, 1, 1, 1024);
        yield return new(1, 9, 4, 1, 1, 8) { Causal = true }; // queries before the first key see nothing
    }

    [Test]
    public void Forward_agrees_with_f64([ValueSource(nameof(Settings))] Setting s)
    {
        using WorkerTeam team = new(2);
        using Problem problem = new(s);
        problem.Forward(team);
        (double[] output, double[] logSumExp) = problem.Expected();
        Compare(problem.Output.ToArray(), output, 4e-6, "output");
        Compare(problem.LogSumExp.ToArray(), logSumExp, 4e-6, "logarithm of the sum");
    }

    [Test]
    public void Backward_agrees_with_f64([ValueSource(nameof(Settings))] Setting s)
    {
        using WorkerTeam team = new(2);
        using Problem problem = new(s);
        problem.Forward(team);
        problem.Backward(team);
        (double[] dq, double[] dk, double[] dv) = problem.ExpectedGradients();
        Compare(problem.DQ.ToArray(), dq, 5e-6, "dq");
        Compare(problem.DK.ToArray(), dk, 5e-6, "dk");
        Compare(problem.DV.ToArray(), dv, 5e-6, "dv");
    }

    [Test]
    public void Same_bits_on_any_number_of_threads_whichever_way_the_backward_is_divided([Values(1, 3)] int keyHeads)
    {
        Setting s = new(1, 150, 150, 6, keyHeads, 48) { Causal = true };
        float[][]? first = null;
        foreach (int threads in (int[])[1, 2, 3, 7])
        {
            using WorkerTeam team = new(threads);
            using Problem problem = new(s);
            problem.Forward(team);
            problem.Backward(team);
            float[][] result = [problem.Output.ToArray(), problem.DQ.ToArray(), problem.DK.ToArray(), problem.DV.ToArray()];
            first ??= result;
            for (int i = 0; i < result.Length; i++)
            {
                Assert.That(result[i].AsSpan().SequenceEqual(first[i]), $"result {i} with {threads} threads differs from one thread");
            }
        }
    }

    [Test]
    public void Gradients_can_be_added_and_left_out()
    {
        using WorkerTeam team = new(2);
        using Problem problem = new(new(1, 70, 70, 2, 1, 40) { Causal = true });
        problem.Forward(team);
        problem.Backward(team);
        float[] dq = problem.DQ.ToArray(), dk = problem.DK.ToArray(), dv = problem.DV.ToArray();
        problem.Backward(team, accumulate: true);
        Compare(problem.DQ.ToArray(), Array.ConvertAll(dq, v => 2.0 * v), 1e-6, "dq twice");
        Compare(problem.DK.ToArray(), Array.ConvertAll(dk, v => 2.0 * v), 1e-6, "dk twice");
        Compare(problem.DV.ToArray(), Array.ConvertAll(dv, v => 2.0 * v), 1e-6, "dv twice");
        problem.Backward(team, keys: false, values: false);
        Assert.That(problem.DQ.ToArray(), Is.EqualTo(dq));
        problem.Backward(team, queries: false, keys: false);
        Assert.That(problem.DV.ToArray(), Is.EqualTo(dv));
    }

    private static void Compare(float[] given, double[] expected, double tolerance, string name)
    {
        double worst = 0;
        string text = "";
        // Relative to the usual size of the values; inputs are of size 1, so results that cancel to nothing are judged by a tenth of that.
        double scale = 0.1 + Math.Sqrt(expected.Where(double.IsFinite).Sum(e => e * e) / Math.Max(1, expected.Length));
        for (int i = 0; i < expected.Length; i++)
        {
            double error = given[i] == expected[i] ? 0 : Math.Abs(given[i] - expected[i]) / (tolerance * (Math.Abs(expected[i]) + scale));
            if (!(error <= worst))
            {
                worst = error;
                text = $"{name}[{i}]: {given[i]:R} for {expected[i]:R}, {error:F2} times the tolerance";
            }
        }

        Assert.That(worst, Is.LessThanOrEqualTo(1), text);
    }

    internal sealed record Setting(int Batch, int Queries, int Keys, int QueryHeads, int KeyHeads, int Size)
    {
        public bool Causal { get; init; }

        public int Window { get; init; }

        public float SoftCap { get; init; }

        /// <summary>Ranges: documents of 1 to 40 tokens, every seventh query sees nothing.</summary>
        public bool Documents { get; init; }

        /// <summary>Ranges: queries 32 to 63, a panel between panels, see nothing.</summary>
        public bool Hole { get; init; }
    }

    /// <summary>Queries, keys and values packed as one (tokens, H + 2K, D) where T = S, apart otherwise.</summary>
    private sealed class Problem : IDisposable
    {
        private readonly Setting _s;
        private readonly NativeBlock _q, _k, _v, _dout, _delta;
        private readonly int[]? _ranges;

        public Problem(Setting s)
        {
            _s = s;
            int n = s.Batch * s.Queries * s.QueryHeads * s.Size, m = s.Batch * s.Keys * s.KeyHeads * s.Size;
            (_q, _k, _v, _dout) = (Random(n, 1), Random(m, 2), Random(m, 3), Random(n, 4));
            (Output, DQ, DK, DV) = (Nans(n), Nans(n), Nans(m), Nans(m));
            LogSumExp = Nans(s.Batch * s.QueryHeads * s.Queries);
            _delta = Nans(s.Batch * s.QueryHeads * s.Queries);
            if (s.Hole)
            {
                _ranges = [.. Enumerable.Range(0, s.Batch * s.Queries).SelectMany(i => new[] { 0, i % s.Queries is >= 32 and < 64 ? 0 : s.Keys })];
            }
            else if (s.Documents)
            {
                _ranges = new int[s.Batch * s.Queries * 2];
                System.Random random = new(5);
                for (int b = 0; b < s.Batch; b++)
                {
                    for (int start = 0, end; start < s.Queries; start = end)
                    {
                        end = Math.Min(s.Queries, start + 1 + random.Next(40));
                        for (int t = start; t < end; t++)
                        {
                            bool empty = t % 7 == 3;
                            _ranges[((b * s.Queries) + t) * 2] = empty ? 5 : start;
                            _ranges[(((b * s.Queries) + t) * 2) + 1] = empty ? 5 : end;
                        }
                    }
                }
            }
        }

        public NativeBlock Output { get; }

        public NativeBlock LogSumExp { get; }

        public NativeBlock DQ { get; }

        public NativeBlock DK { get; }

        public NativeBlock DV { get; }

        private float Scale => 1 / MathF.Sqrt(_s.Size);

        public void Forward(WorkerTeam team)
        {
            fixed (int* ranges = _ranges)
            {
                AttentionForward.Run(team, Call(ranges));
            }
        }

        public void Backward(WorkerTeam team, bool accumulate = false, bool queries = true, bool keys = true, bool values = true)
        {
            fixed (int* ranges = _ranges)
            {
                AttentionBackward.Run(team, Call(ranges), new AttentionGradients
                {
                    OutputGradient = ByQuery(_dout),
                    Query = queries ? ByQuery(DQ) : default,
                    Key = keys ? ByKey(DK) : default,
                    Value = values ? ByKey(DV) : default,
                    AccumulateQuery = accumulate,
                    AccumulateKey = accumulate,
                    AccumulateValue = accumulate,
                    Delta = _delta.Floats,
                });
            }
        }

        public (double[] Output, double[] LogSumExp) Expected()
        {
            double[] output = new double[_s.Batch * _s.Queries * _s.QueryHeads * _s.Size];
            double[] sums = new double[_s.Batch * _s.QueryHeads * _s.Queries];
            Each((b, t, h, p, sum, query, key) =>
            {
                sums[(((b * _s.QueryHeads) + h) * _s.Queries) + t] = sum;
                for (int j = 0; j < p.Length; j++)
                {
                    for (int d = 0; d < _s.Size; d++)
                    {
                        output[query + d] += p[j].P * _v.Floats[key(j) + d];
                    }
                }
            });
            return (output, sums);
        }

        public (double[] DQ, double[] DK, double[] DV) ExpectedGradients()
        {
            double[] dq = new double[_s.Batch * _s.Queries * _s.QueryHeads * _s.Size];
            double[] dk = new double[_s.Batch * _s.Keys * _s.KeyHeads * _s.Size], dv = new double[dk.Length];
            Each((b, t, h, p, sum, query, key) =>
            {
                double[] dp = new double[p.Length];
                double mean = 0;
                for (int j = 0; j < p.Length; j++)
                {
                    for (int d = 0; d < _s.Size; d++)
                    {
                        dp[j] += _dout.Floats[query + d] * (double)_v.Floats[key(j) + d];
                        dv[key(j) + d] += p[j].P * _dout.Floats[query + d];
                    }

                    mean += p[j].P * dp[j];
                }

                for (int j = 0; j < p.Length; j++)
                {
                    double ds = p[j].P * (dp[j] - mean) * p[j].Slope * Scale;
                    for (int d = 0; d < _s.Size; d++)
                    {
                        dq[query + d] += ds * _k.Floats[key(j) + d];
                        dk[key(j) + d] += ds * _q.Floats[query + d];
                    }
                }
            });
            return (dq, dk, dv);
        }

        public void Dispose()
        {
            foreach (NativeBlock block in (NativeBlock[])[_q, _k, _v, _dout, _delta, Output, LogSumExp, DQ, DK, DV])
            {
                block.Dispose();
            }
        }

        private void Each(Row row)
        {
            for (int b = 0; b < _s.Batch; b++)
            {
                for (int t = 0; t < _s.Queries; t++)
                {
                    for (int h = 0; h < _s.QueryHeads; h++)
                    {
                        int query = ((((b * _s.Queries) + t) * _s.QueryHeads) + h) * _s.Size;
                        int keyHead = h / (_s.QueryHeads / _s.KeyHeads);
                        int batch = b;
                        int Key(int j) => ((((batch * _s.Keys) + j) * _s.KeyHeads) + keyHead) * _s.Size;
                        (double P, double Slope)[] p = new (double, double)[_s.Keys];
                        double sum = 0;
                        int position = _s.Keys - _s.Queries + t;
                        for (int j = 0; j < _s.Keys; j++)
                        {
                            bool visible = !(_s.Causal && j > position) && !(_s.Window > 0 && j <= position - _s.Window)
                                && (_ranges is null || (j >= _ranges[((b * _s.Queries) + t) * 2] && j < _ranges[(((b * _s.Queries) + t) * 2) + 1]));
                            if (!visible)
                            {
                                continue;
                            }

                            double score = 0;
                            for (int d = 0; d < _s.Size; d++)
                            {
                                score += _q.Floats[query + d] * (double)_k.Floats[Key(j) + d];
                            }

                            score *= Scale;
                            double tanh = _s.SoftCap == 0 ? 0 : Math.Tanh(score / _s.SoftCap);
                            p[j] = (Math.Exp(_s.SoftCap == 0 ? score : _s.SoftCap * tanh), 1 - (tanh * tanh));
                            sum += p[j].P;
                        }

                        for (int j = 0; j < p.Length && sum > 0; j++)
                        {
                            p[j].P /= sum;
                        }

                        row(b, t, h, p, Math.Log(sum), query, Key);
                    }
                }
            }
        }

        private delegate void Row(int b, int t, int h, (double P, double Slope)[] p, double sum, int query, Func<int, int> key);

        private AttentionCall Call(int* ranges) => new()
        {
            Batch = _s.Batch,
            Queries = _s.Queries,
            Keys = _s.Keys,
            QueryHeads = _s.QueryHeads,
            KeyHeads = _s.KeyHeads,
            Size = _s.Size,
            Scale = Scale,
            Causal = _s.Causal,
            Window = _s.Window,
            SoftCap = _s.SoftCap,
            Ranges = ranges,
            Query = ByQuery(_q),
            Key = ByKey(_k),
            Value = ByKey(_v),
            Output = ByQuery(Output),
            LogSumExp = LogSumExp.Floats,
        };

        private Heads ByQuery(NativeBlock block) => Heads.Contiguous(block.Floats, _s.Queries, _s.QueryHeads, _s.Size);

        private Heads ByKey(NativeBlock block) => Heads.Contiguous(block.Floats, _s.Keys, _s.KeyHeads, _s.Size);

        private static NativeBlock Random(int count, int seed)
        {
            System.Random random = new(seed);
            float[] values = new float[count];
            for (int i = 0; i < count; i++)
            {
                values[i] = (float)(random.NextDouble() + random.NextDouble() + random.NextDouble() - 1.5) * 2;
            }

            return NativeBlock.Of(values);
        }

        private static NativeBlock Nans(int count)
        {
            float[] values = new float[count];
            Array.Fill(values, float.NaN);
            return NativeBlock.Of(values);
        }
    }
}

using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>What a row of a cross-entropy depends on besides logits and label.</summary>
/// <param name="Smoothing">ε of label smoothing, in [0, 1).</param>
/// <param name="IgnoreIndex">The label of rows that do not count: their loss and gradient are 0.</param>
internal readonly record struct CrossEntropyOptions(float Smoothing, int IgnoreIndex);

/// <summary>Cross-entropy of logits against labels, one loss per row: (1 - ε) w_t (lse - x_t) + ε/V · Σ w_c (lse - x_c), as torch.nn.functional.cross_entropy without reduction.</summary>
/// <remarks>The forward saves lse (rows); the backward recomputes the probabilities, so no (rows, V) probabilities are kept. Labels must have been checked to lie in [0, V).</remarks>
internal static unsafe class CrossEntropyKernel
{
    /// <summary>logits (rows, classes), labels (rows), weights (classes) or empty → loss (rows), lse (rows).</summary>
    public static void Forward(
        WorkerTeam team, int rows, int classes, ReadOnlySpan<float> logits, ReadOnlySpan<int> labels, ReadOnlySpan<float> weights, CrossEntropyOptions options,
        Span<float> loss, Span<float> lse)
    {
        Check(rows, classes, logits, labels, weights, lse.Length);
        Sizes.Check("cross_entropy", rows, loss.Length);
        fixed (float* px = logits, pw = weights, pl = loss, ps = lse)
        fixed (int* pt = labels)
        {
            Problem problem = new(px, pt, weights.IsEmpty ? null : pw, rows, classes, options, Total(weights, classes));
            CpuKernel.Run(team, Sizes.RowChunks(rows, classes), new ForwardWork(problem, pl, ps));
        }
    }

    /// <summary>dlogits = dloss · d loss / d logits; dloss (rows). dlogits may be the logits.</summary>
    public static void Backward(
        WorkerTeam team, int rows, int classes, ReadOnlySpan<float> logits, ReadOnlySpan<int> labels, ReadOnlySpan<float> weights, CrossEntropyOptions options,
        ReadOnlySpan<float> lse, ReadOnlySpan<float> dloss, Span<float> dlogits)
    {
        Check(rows, classes, logits, labels, weights, lse.Length);
        Sizes.Check("cross_entropy backward", rows, dloss.Length, logits.Length, dlogits.Length);
        fixed (float* px = logits, pw = weights, ps = lse, pg = dloss, pd = dlogits)
        fixed (int* pt = labels)
        {
            Problem problem = new(px, pt, weights.IsEmpty ? null : pw, rows, classes, options, Total(weights, classes));
            CpuKernel.Run(team, Sizes.RowChunks(rows, classes), new BackwardWork(problem, ps, pg, pd));
        }
    }

    private static void Check(int rows, int classes, ReadOnlySpan<float> logits, ReadOnlySpan<int> labels, ReadOnlySpan<float> weights, int lse)
    {
        Sizes.Check("cross_entropy", (long)rows * classes, logits.Length, rows, labels.Length);
        Sizes.Check("cross_entropy", rows, lse, weights.IsEmpty ? 0 : classes, weights.Length);
    }

    private static double Total(ReadOnlySpan<float> weights, int classes)
    {
        double total = weights.IsEmpty ? classes : 0;
        foreach (float weight in weights)
        {
            total += weight;
        }

        return total;
    }

    private readonly struct Problem(float* logits, int* labels, float* weights, int rows, int classes, CrossEntropyOptions options, double total)
    {
        public readonly float* Logits = logits;
        public readonly int* Labels = labels;
        public readonly float* Weights = weights;
        public readonly int Rows = rows;
        public readonly int Classes = classes;
        public readonly CrossEntropyOptions Options = options;
        public readonly double Total = total;

        public float WeightOf(int label) => Weights == null ? 1 : Weights[label];
    }

    private readonly struct ForwardWork(Problem problem, float* loss, float* lse) : ILanesWork
    {
        private readonly Problem _problem = problem;
        private readonly float* _loss = loss;
        private readonly float* _lse = lse;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int n = _problem.Classes;
            (int first, int last) = Sizes.Rows(chunk, _problem.Rows, n);
            for (int row = first; row < last; row++)
            {
                int label = _problem.Labels[row];
                if (label == _problem.Options.IgnoreIndex)
                {
                    (_loss[row], _lse[row]) = (0, 0);
                    continue;
                }

                float* x = _problem.Logits + ((long)row * n);
                (float max, double log) = ExpLoop.LogSum<T>(x, n);
                double lse = max + log;
                double smoothing = _problem.Options.Smoothing;
                double loss = (1 - smoothing) * _problem.WeightOf(label) * (max - (double)x[label] + log);
                if (smoothing > 0)
                {
                    double sum = _problem.Weights == null
                        ? Loops.Sum<T, Distance>(x, n, new Distance(max))
                        : Loops.Sum<T, Distance>(x, _problem.Weights, n, new Distance(max));
                    loss += smoothing / n * (sum + (_problem.Total * log));
                }

                _loss[row] = (float)loss;
                _lse[row] = (float)lse;
            }
        }
    }

    private readonly struct BackwardWork(Problem problem, float* lse, float* dloss, float* dlogits) : ILanesWork
    {
        private readonly Problem _problem = problem;
        private readonly float* _lse = lse;
        private readonly float* _dloss = dloss;
        private readonly float* _dlogits = dlogits;
        private readonly bool _stream = Streams.Pay((long)problem.Rows * problem.Classes, dlogits, problem.Logits);

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int n = _problem.Classes;
            (int first, int last) = Sizes.Rows(chunk, _problem.Rows, n);
            for (int row = first; row < last; row++)
            {
                long at = (long)row * n;
                int label = _problem.Labels[row];
                if (label == _problem.Options.IgnoreIndex || _dloss[row] == 0)
                {
                    new Span<float>(_dlogits + at, n).Clear();
                    continue;
                }

                double g = _dloss[row];
                double smoothing = _problem.Options.Smoothing;
                double own = g * (1 - smoothing) * _problem.WeightOf(label);
                double each = g * smoothing / n;
                Slope slope = new(_lse[row], (float)(own + (each * _problem.Total)), (float)each);
                if (_problem.Weights == null)
                {
                    Loops.Map<T, Slope>(_problem.Logits + at, _dlogits + at, n, slope, _stream);
                }
                else
                {
                    Loops.Map<T, Slope>(_problem.Logits + at, _problem.Weights, _dlogits + at, n, slope, _stream);
                }

                _dlogits[at + label] = (float)(_dlogits[at + label] - own);
            }
        }
    }

    /// <summary>max - x, times the weight of the class.</summary>
    internal readonly struct Distance(float max) : IUnaryOperator, IBinaryOperator
    {
        private readonly float _max = max;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => T.Of(_max) - x;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T weight)
            where T : unmanaged, ILanes<T>
            => (T.Of(_max) - x) * weight;
    }

    /// <summary>all · e^(x - lse) - each · weight.</summary>
    internal readonly struct Slope(float lse, float all, float each) : IUnaryOperator, IBinaryOperator
    {
        private readonly float _lse = lse;
        private readonly float _all = all;
        private readonly float _each = each;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => T.Fma(T.Of(_all), T.Exp(x - T.Of(_lse)), -T.Of(_each));

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x, T weight)
            where T : unmanaged, ILanes<T>
            => T.Fma(T.Of(_all), T.Exp(x - T.Of(_lse)), -T.Of(_each) * weight);
    }
}

using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>A tensor seen as (Outer, Count, Inner), of which the middle is reduced.</summary>
/// <param name="Outer">The product of the axes before.</param>
/// <param name="Count">The product of the reduced axes.</param>
/// <param name="Inner">The product of the axes behind.</param>
internal readonly record struct AxisRange(int Outer, int Count, int Inner)
{
    /// <summary>Axes first .. first + axes - 1 of a shape.</summary>
    public static AxisRange Of(Shape shape, int first, int axes)
    {
        int outer = 1, count = 1, inner = 1;
        for (int i = 0; i < shape.Rank; i++)
        {
            ref int part = ref i < first ? ref outer : ref i < first + axes ? ref count : ref inner;
            part = checked(part * shape[i]);
        }

        return new AxisRange(outer, count, inner);
    }
}

/// <summary>Sums and maxima over a run of axes; the common cases go to <see cref="Reductions"/>.</summary>
internal static unsafe class AxisReductions
{
    /// <summary>Floats of workspace of a sum.</summary>
    public static long SumWorkspace(AxisRange range) => range.Outer == 1 && range.Inner > 1 ? Reductions.ColumnWorkspace(range.Count, range.Inner) : 0;

    /// <summary>result (Outer, Inner) = scale · Σ over the middle of x.</summary>
    public static void Sum(WorkerTeam team, AxisRange range, ReadOnlySpan<float> x, Span<float> result, Span<float> workspace, double scale)
    {
        if (range.Inner == 1 && range.Outer == 1)
        {
            Sizes.Check("sum", range.Count, x.Length, 1, result.Length);
            result[0] = (float)(scale * Reductions.Sum<IdentityOperator>(team, x));
        }
        else if (range.Inner == 1)
        {
            Reductions.SumRows<IdentityOperator>(team, range.Outer, range.Count, x, result, scale);
        }
        else if (range.Outer == 1)
        {
            Reductions.SumColumns(team, range.Count, range.Inner, x, result, workspace, scale);
        }
        else
        {
            Run(team, range, x, result, scale, max: false);
        }
    }

    /// <summary>result (Outer, Inner) = the largest over the middle of x; NaN if one is.</summary>
    public static void Max(WorkerTeam team, AxisRange range, ReadOnlySpan<float> x, Span<float> result)
    {
        if (range.Inner == 1 && range.Outer == 1)
        {
            result[0] = Reductions.Max(team, x);
        }
        else if (range.Inner == 1)
        {
            Reductions.MaxRows(team, range.Outer, range.Count, x, result);
        }
        else
        {
            Run(team, range, x, result, 1, max: true);
        }
    }

    /// <summary>The oracle's way, in F64.</summary>
    public static void Sum(AxisRange range, ReadOnlySpan<double> x, Span<double> result, double scale)
    {
        result.Clear();
        Walk(range, x, result, static (sum, value) => sum + value);
        for (int i = 0; i < result.Length; i++)
        {
            result[i] *= scale;
        }
    }

    /// <summary>The oracle's way, in F64.</summary>
    public static void Max(AxisRange range, ReadOnlySpan<double> x, Span<double> result)
    {
        result.Fill(double.NegativeInfinity);
        Walk(range, x, result, Math.Max);
    }

    private static void Walk(AxisRange range, ReadOnlySpan<double> x, Span<double> result, Func<double, double, double> join)
    {
        int at = 0;
        for (int outer = 0; outer < range.Outer; outer++)
        {
            for (int i = 0; i < range.Count * range.Inner; i++, at++)
            {
                int to = (outer * range.Inner) + (i % range.Inner);
                result[to] = join(result[to], x[at]);
            }
        }
    }

    private static void Run(WorkerTeam team, AxisRange range, ReadOnlySpan<float> x, Span<float> result, double scale, bool max)
    {
        Sizes.Check("reduction", (long)range.Outer * range.Count * range.Inner, x.Length, (long)range.Outer * range.Inner, result.Length);
        fixed (float* px = x, pr = result)
        {
            int stripe = Math.Min(range.Inner, 4096);
            int chunks = checked(range.Outer * WorkerTeam.ChunksFor(range.Inner, Math.Max(1, stripe)));
            CpuKernel.Run(team, chunks, new Middle(px, pr, range, stripe, (float)scale, max));
        }
    }

    /// <summary>One stripe of columns of one outer index; rows are added in blocks of 64, so that rounding errors do not grow with their number.</summary>
    private readonly struct Middle(float* x, float* result, AxisRange range, int stripe, float scale, bool max) : ILanesWork
    {
        private const int Block = 64;
        private readonly float* _x = x;
        private readonly float* _result = result;
        private readonly AxisRange _range = range;
        private readonly int _stripe = stripe;
        private readonly float _scale = scale;
        private readonly bool _max = max;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int inner = _range.Inner;
            int stripes = (inner + _stripe - 1) / _stripe;
            int outer = chunk / stripes, start = chunk % stripes * _stripe, count = Math.Min(_stripe, inner - start);
            float* x = _x + ((long)outer * _range.Count * inner) + start;
            float* result = _result + ((long)outer * inner) + start;
            new Span<float>(result, count).Fill(_max ? float.NegativeInfinity : 0);
            float* part = stackalloc float[4096];
            for (int first = 0; first < _range.Count; first += Block)
            {
                int last = Math.Min(first + Block, _range.Count);
                if (_max)
                {
                    for (int row = first; row < last; row++)
                    {
                        Loops.Map<T, MaximumOperator>(result, x + ((long)row * inner), result, count, default);
                    }

                    continue;
                }

                new Span<float>(part, count).Clear();
                for (int row = first; row < last; row++)
                {
                    Loops.Map<T, AddOperator>(part, x + ((long)row * inner), part, count, default);
                }

                Loops.Map<T, AddOperator>(result, part, result, count, default);
            }

            if (!_max && _scale != 1)
            {
                Loops.Map<T, Times>(result, result, count, new Times(_scale));
            }
        }
    }

    private readonly struct Times(float factor) : IUnaryOperator
    {
        private readonly float _factor = factor;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => x * T.Of(_factor);
    }
}

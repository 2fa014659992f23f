using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>A binary operator with its operands exchanged.</summary>
internal readonly struct Swapped<TOperator>(TOperator op) : IBinaryOperator
    where TOperator : struct, IBinaryOperator
{
    private readonly TOperator _op = op;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => _op.Invoke(y, x);
}

/// <summary>Binary operators whose operands are repeated along some axes, as NumPy does it.</summary>
internal static unsafe class Broadcasting
{
    /// <summary>result = op(x, y), both spread to the result's shape; the result may be an operand that is not repeated.</summary>
    public static void Run<TOperator>(
        WorkerTeam team, Shape xShape, ReadOnlySpan<float> x, Shape yShape, ReadOnlySpan<float> y, Shape shape, Span<float> result, TOperator op = default)
        where TOperator : struct, IBinaryOperator
    {
        Check(xShape, x.Length, yShape, y.Length, shape, result.Length);
        if (result.IsEmpty)
        {
            return;
        }

        BroadcastPlan plan = BroadcastPlan.Create(xShape, yShape, shape);
        int piece = Math.Min(plan.Inner, WorkerTeam.Grain);
        int rows = Math.Max(1, WorkerTeam.Grain / piece);
        fixed (float* px = x, py = y, pr = result)
        {
            int chunks = checked(WorkerTeam.ChunksFor(plan.Rows, rows) * WorkerTeam.ChunksFor(plan.Inner, piece));
            CpuKernel.Run(team, chunks, new Work<TOperator>(px, py, pr, plan, rows, piece, op));
        }
    }

    /// <summary>The oracle's way: one double at a time.</summary>
    public static void Run<TOperator>(
        Shape xShape, ReadOnlySpan<double> x, Shape yShape, ReadOnlySpan<double> y, Shape shape, Span<double> result, TOperator op = default)
        where TOperator : struct, IBinaryOperator
    {
        Check(xShape, x.Length, yShape, y.Length, shape, result.Length);
        if (result.IsEmpty)
        {
            return;
        }

        BroadcastPlan plan = BroadcastPlan.Create(xShape, yShape, shape);
        for (int row = 0, at = 0; row < plan.Rows; row++)
        {
            (long xAt, long yAt) = plan.Offsets(row);
            for (int i = 0; i < plan.Inner; i++, at++)
            {
                LanesDouble left = new(x[(int)xAt + (i * plan.XInner)]), right = new(y[(int)yAt + (i * plan.YInner)]);
                result[at] = op.Invoke(left, right).Value;
            }
        }
    }

    private static void Check(Shape xShape, int x, Shape yShape, int y, Shape shape, int result)
    {
        bool fits = BroadcastPlan.TryCombine(xShape, shape, out Shape first) && first == shape && BroadcastPlan.TryCombine(yShape, shape, out Shape second) && second == shape;
        if (!fits || x != xShape.Count || y != yShape.Count || result != shape.Count)
        {
            throw new ArgumentException($"Broadcasting: {xShape} ({x} elements) and {yShape} ({y}) do not spread to {shape} ({result}).");
        }
    }

    private readonly struct Work<TOperator>(float* x, float* y, float* result, BroadcastPlan plan, int rowsPerChunk, int piece, TOperator op) : ILanesWork
        where TOperator : struct, IBinaryOperator
    {
        private readonly float* _x = x;
        private readonly float* _y = y;
        private readonly float* _result = result;
        private readonly BroadcastPlan _plan = plan;
        private readonly int _rowsPerChunk = rowsPerChunk;
        private readonly int _piece = piece;
        private readonly TOperator _op = op;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int inner = _plan.Inner;
            int pieces = (inner + _piece - 1) / _piece;
            long first = (long)(chunk / pieces) * _rowsPerChunk;
            long last = Math.Min(first + _rowsPerChunk, _plan.Rows);
            int start = chunk % pieces * _piece;
            int count = Math.Min(_piece, inner - start);
            for (long row = first; row < last; row++)
            {
                (long xAt, long yAt) = _plan.Offsets(row);
                float* x = _x + xAt + ((long)start * _plan.XInner);
                float* y = _y + yAt + ((long)start * _plan.YInner);
                float* result = _result + (row * inner) + start;
                if (_plan.XInner == 0)
                {
                    One<T, Swapped<TOperator>>(y, *x, result, count, new Swapped<TOperator>(_op));
                }
                else if (_plan.YInner == 0)
                {
                    One<T, TOperator>(x, *y, result, count, _op);
                }
                else
                {
                    Loops.Map<T, TOperator>(x, y, result, count, _op);
                }
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
        private static void One<T, TOp>(float* x, float y, float* result, int count, TOp op)
            where T : unmanaged, IFloatLanes<T>
            where TOp : struct, IBinaryOperator
        {
            T same = T.Of(y);
            int i = 0;
            for (; i <= count - T.Count; i += T.Count)
            {
                T.Store(op.Invoke(T.Load(x + i), same), result + i);
            }

            if (i < count)
            {
                Partial.Store(op.Invoke(Partial.Load<T>(x + i, count - i, 0), same), result + i, count - i);
            }
        }
    }
}

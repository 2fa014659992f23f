using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Softmax, its logarithm and log-sum-exp over the last axis, forward and backward. Results may be written over inputs.</summary>
/// <remarks>The largest element is subtracted first, so nothing overflows; a row of -∞ alone gives NaN as in PyTorch (log-sum-exp: -∞).</remarks>
internal static unsafe class SoftmaxKernels
{
    /// <summary>y (rows, columns) = e^(x - max) / Σ.</summary>
    public static void Forward(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, Span<float> y)
        => Run(team, Kind.Softmax, rows, columns, x, default, y, "softmax");

    /// <summary>dx = y · (dy - Σ y · dy).</summary>
    public static void Backward(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> y, ReadOnlySpan<float> dy, Span<float> dx)
        => Run(team, Kind.SoftmaxBackward, rows, columns, y, dy, dx, "softmax backward");

    /// <summary>y (rows, columns) = x - max - log Σ e^(x - max).</summary>
    public static void LogForward(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, Span<float> y)
        => Run(team, Kind.LogSoftmax, rows, columns, x, default, y, "log-softmax");

    /// <summary>dx = dy - e^y · Σ dy.</summary>
    public static void LogBackward(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> y, ReadOnlySpan<float> dy, Span<float> dx)
        => Run(team, Kind.LogSoftmaxBackward, rows, columns, y, dy, dx, "log-softmax backward");

    /// <summary>result (rows) = max + log Σ e^(x - max).</summary>
    public static void LogSumExp(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, Span<float> result)
    {
        Sizes.Check("logsumexp", (long)rows * columns, x.Length, rows, result.Length);
        fixed (float* px = x, pr = result)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new Work(Kind.LogSumExp, px, null, pr, rows, columns));
        }
    }

    /// <summary>dx = dy · e^(x - lse); lse and dy (rows).</summary>
    public static void LogSumExpBackward(
        WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> lse, ReadOnlySpan<float> dy, Span<float> dx)
    {
        Sizes.Check("logsumexp backward", (long)rows * columns, x.Length, (long)rows * columns, dx.Length);
        Sizes.Check("logsumexp backward", rows, lse.Length, rows, dy.Length);
        fixed (float* px = x, pl = lse, pd = dy, pr = dx)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new LogSumExpBackwardWork(px, pl, pd, pr, rows, columns));
        }
    }

    private static void Run(
        WorkerTeam team, Kind kind, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> dy, Span<float> result, string name)
    {
        long count = (long)rows * columns;
        Sizes.Check(name, count, x.Length, count, result.Length);
        if (kind is Kind.SoftmaxBackward or Kind.LogSoftmaxBackward)
        {
            Sizes.Check(name, count, dy.Length);
        }

        fixed (float* px = x, pd = dy, pr = result)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new Work(kind, px, pd, pr, rows, columns));
        }
    }

    private enum Kind
    {
        Softmax,
        SoftmaxBackward,
        LogSoftmax,
        LogSoftmaxBackward,
        LogSumExp,
    }

    /// <summary>factor · e^(x - lse).</summary>
    private readonly struct ScaledProbability(float lse, float factor) : IUnaryOperator
    {
        private readonly float _lse = lse;
        private readonly float _factor = factor;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => T.Of(_factor) * T.Exp(x - T.Of(_lse));
    }

    private readonly struct LogSumExpBackwardWork(float* x, float* lse, float* dy, float* dx, int rows, int columns) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _lse = lse;
        private readonly float* _dy = dy;
        private readonly float* _dx = dx;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly bool _stream = Streams.Pay((long)rows * columns, dx, x);

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int first, int last) = Sizes.Rows(chunk, _rows, _columns);
            for (int row = first; row < last; row++)
            {
                long at = (long)row * _columns;
                Loops.Map<T, ScaledProbability>(_x + at, _dx + at, _columns, new ScaledProbability(_lse[row], _dy[row]), _stream);
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

    private readonly struct Shifted(float shift, float log) : IUnaryOperator
    {
        private readonly float _shift = shift;
        private readonly float _log = log;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => x - T.Of(_shift) - T.Of(_log);
    }

    private readonly struct Slope(float dot) : IBinaryOperator
    {
        private readonly float _dot = dot;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T y, T dy)
            where T : unmanaged, ILanes<T>
            => y * (dy - T.Of(_dot));
    }

    private readonly struct LogSlope(float sum) : IBinaryOperator
    {
        private readonly float _sum = sum;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T y, T dy)
            where T : unmanaged, ILanes<T>
            => dy - (T.Exp(y) * T.Of(_sum));
    }

    private readonly struct Work(Kind kind, float* x, float* dy, float* result, int rows, int columns) : ILanesWork
    {
        private readonly Kind _kind = kind;
        private readonly float* _x = x;
        private readonly float* _dy = dy;
        private readonly float* _result = result;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly bool _stream = kind != Kind.LogSumExp && Streams.Pay((long)rows * columns, result, x) && result != dy;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int first, int last) = Sizes.Rows(chunk, _rows, _columns);
            for (int row = first; row < last; row++)
            {
                Row<T>(row, (long)row * _columns);
            }
        }

        private void Row<T>(int row, long at)
            where T : unmanaged, IFloatLanes<T>
        {
            float* x = _x + at;
            float* y = _result + (_kind == Kind.LogSumExp ? row : at);
            float* dy = _dy + at;
            int n = _columns;
            switch (_kind)
            {
                case Kind.Softmax:
                    double sum = ExpLoop.Sum<T>(x, y, n, Loops.Max<T>(x, n));
                    Loops.Map<T, Times>(y, y, n, new Times((float)(1 / sum)));
                    break;
                case Kind.SoftmaxBackward:
                    Loops.Map<T, Slope>(x, dy, y, n, new Slope((float)Loops.Sum<T, MultiplyOperator>(x, dy, n, default)), _stream);
                    break;
                case Kind.LogSoftmax:
                    (float max, double log) = ExpLoop.LogSum<T>(x, n);
                    Loops.Map<T, Shifted>(x, y, n, new Shifted(max, (float)log), _stream);
                    break;
                case Kind.LogSoftmaxBackward:
                    Loops.Map<T, LogSlope>(x, dy, y, n, new LogSlope((float)Loops.Sum<T, IdentityOperator>(dy, n, default)), _stream);
                    break;
                default:
                    (float shift, double rest) = ExpLoop.LogSum<T>(x, n);
                    *y = (float)(shift + rest);
                    break;
            }
        }
    }
}

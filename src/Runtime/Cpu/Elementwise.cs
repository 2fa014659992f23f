namespace Graft.Runtime.Cpu;

/// <summary>A function of one number, applied to many; fields of the struct are its constants.</summary>
internal interface IUnaryOperator
{
    T Invoke<T>(T x)
        where T : unmanaged, ILanes<T>;
}

/// <summary>A function of two numbers.</summary>
internal interface IBinaryOperator
{
    T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>;
}

/// <summary>A function of three numbers.</summary>
internal interface ITernaryOperator
{
    T Invoke<T>(T x, T y, T z)
        where T : unmanaged, ILanes<T>;
}

/// <summary>Applies operators to whole arrays: owns tails, threads and the choice of width.</summary>
/// <remarks>
/// Every element is computed on its own and every width gives the same bits, so neither threads nor alignment nor the position in the array matter.
/// The result may be one of the inputs (the same start), not otherwise overlap them. Nothing is read or written beyond the spans.
/// </remarks>
internal static unsafe class Elementwise
{
    /// <summary>result[i] = op(x[i]).</summary>
    public static void Run<TOperator>(WorkerTeam team, ReadOnlySpan<float> x, Span<float> result, TOperator op = default)
        where TOperator : struct, IUnaryOperator
    {
        int n = Length(result.Length, x.Length);
        fixed (float* px = x, pr = result)
        {
            CpuKernel.Run(team, WorkerTeam.ChunksFor(n), new Unary<TOperator>(px, pr, n, op, Streams.Pay(n, pr, px)));
        }
    }

    /// <summary>result[i] = op(x[i], y[i]).</summary>
    public static void Run<TOperator>(WorkerTeam team, ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> result, TOperator op = default)
        where TOperator : struct, IBinaryOperator
    {
        int n = Length(result.Length, x.Length, y.Length);
        fixed (float* px = x, py = y, pr = result)
        {
            CpuKernel.Run(team, WorkerTeam.ChunksFor(n), new Binary<TOperator>(px, py, pr, n, op, Streams.Pay(n, pr, px) && pr != py));
        }
    }

    /// <summary>result[i] = op(x[i], y[i], z[i]).</summary>
    public static void Run<TOperator>(
        WorkerTeam team, ReadOnlySpan<float> x, ReadOnlySpan<float> y, ReadOnlySpan<float> z, Span<float> result, TOperator op = default)
        where TOperator : struct, ITernaryOperator
    {
        int n = Length(result.Length, x.Length, y.Length, z.Length);
        fixed (float* px = x, py = y, pz = z, pr = result)
        {
            CpuKernel.Run(team, WorkerTeam.ChunksFor(n), new Ternary<TOperator>(px, py, pz, pr, n, op, Streams.Pay(n, pr, px) && pr != py && pr != pz));
        }
    }

    /// <summary>The oracle's way: one double at a time.</summary>
    public static void Run<TOperator>(ReadOnlySpan<double> x, Span<double> result, TOperator op = default)
        where TOperator : struct, IUnaryOperator
    {
        int n = Length(result.Length, x.Length);
        for (int i = 0; i < n; i++)
        {
            result[i] = op.Invoke(new LanesDouble(x[i])).Value;
        }
    }

    /// <summary>The oracle's way: one double at a time.</summary>
    public static void Run<TOperator>(ReadOnlySpan<double> x, ReadOnlySpan<double> y, Span<double> result, TOperator op = default)
        where TOperator : struct, IBinaryOperator
    {
        int n = Length(result.Length, x.Length, y.Length);
        for (int i = 0; i < n; i++)
        {
            result[i] = op.Invoke(new LanesDouble(x[i]), new LanesDouble(y[i])).Value;
        }
    }

    /// <summary>The oracle's way: one double at a time.</summary>
    public static void Run<TOperator>(ReadOnlySpan<double> x, ReadOnlySpan<double> y, ReadOnlySpan<double> z, Span<double> result, TOperator op = default)
        where TOperator : struct, ITernaryOperator
    {
        int n = Length(result.Length, x.Length, y.Length, z.Length);
        for (int i = 0; i < n; i++)
        {
            result[i] = op.Invoke(new LanesDouble(x[i]), new LanesDouble(y[i]), new LanesDouble(z[i])).Value;
        }
    }

    private static int Length(int result, params ReadOnlySpan<int> inputs)
    {
        foreach (int input in inputs)
        {
            if (input != result)
            {
                throw new ArgumentException($"Elementwise: the result has {result} elements, an input {input}; they must agree.");
            }
        }

        return result;
    }

    /// <summary>The part of an array that a chunk covers.</summary>
    internal static int Chunk(int chunk, int n, out int start)
    {
        start = chunk * WorkerTeam.Grain;
        return Math.Min(WorkerTeam.Grain, n - start);
    }

    private readonly struct Unary<TOperator>(float* x, float* result, int n, TOperator op, bool stream) : ILanesWork
        where TOperator : struct, IUnaryOperator
    {
        private readonly float* _x = x;
        private readonly float* _result = result;
        private readonly int _n = n;
        private readonly TOperator _op = op;
        private readonly bool _stream = stream;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int count = Chunk(chunk, _n, out int start);
            Loops.Map<T, TOperator>(_x + start, _result + start, count, _op, _stream);
        }
    }

    private readonly struct Binary<TOperator>(float* x, float* y, float* result, int n, TOperator op, bool stream) : ILanesWork
        where TOperator : struct, IBinaryOperator
    {
        private readonly float* _x = x;
        private readonly float* _y = y;
        private readonly float* _result = result;
        private readonly int _n = n;
        private readonly TOperator _op = op;
        private readonly bool _stream = stream;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int count = Chunk(chunk, _n, out int start);
            Loops.Map<T, TOperator>(_x + start, _y + start, _result + start, count, _op, _stream);
        }
    }

    private readonly struct Ternary<TOperator>(float* x, float* y, float* z, float* result, int n, TOperator op, bool stream) : ILanesWork
        where TOperator : struct, ITernaryOperator
    {
        private readonly float* _x = x;
        private readonly float* _y = y;
        private readonly float* _z = z;
        private readonly float* _result = result;
        private readonly int _n = n;
        private readonly TOperator _op = op;
        private readonly bool _stream = stream;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int count = Chunk(chunk, _n, out int start);
            Loops.Map<T, TOperator>(_x + start, _y + start, _z + start, _result + start, count, _op, _stream);
        }
    }
}

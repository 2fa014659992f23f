namespace Graft.Runtime.Cpu;

/// <summary>Sums and maxima over the last axis, over the rows, or over everything, in an order that depends on the shape alone.</summary>
internal static unsafe class Reductions
{
    private const int MaxParts = 64;

    /// <summary>result (rows) = scale · Σ over columns of op(x): op is the identity for a sum or a mean, the square for a sum of squares.</summary>
    public static void SumRows<TOperator>(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, Span<float> result, double scale = 1, TOperator op = default)
        where TOperator : struct, IUnaryOperator
    {
        Sizes.Check("sum of rows", (long)rows * columns, x.Length, rows, result.Length);
        fixed (float* px = x, pr = result)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new RowSum<TOperator>(px, pr, rows, columns, scale, op));
        }
    }

    /// <summary>result (rows) = Σ over columns of x · y.</summary>
    public static void DotRows(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> y, Span<float> result)
    {
        Sizes.Check("dot of rows", (long)rows * columns, x.Length, rows, result.Length);
        Sizes.Check("dot of rows", (long)rows * columns, y.Length, rows, result.Length);
        fixed (float* px = x, py = y, pr = result)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new RowDot(px, py, pr, rows, columns));
        }
    }

    /// <summary>result (rows) = the largest of each row; NaN if the row holds one, -∞ for no columns.</summary>
    public static void MaxRows(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, Span<float> result)
    {
        Sizes.Check("max of rows", (long)rows * columns, x.Length, rows, result.Length);
        fixed (float* px = x, pr = result)
        {
            CpuKernel.Run(team, Sizes.RowChunks(rows, columns), new RowMax(px, pr, rows, columns));
        }
    }

    /// <summary>Floats of workspace that <see cref="SumColumns"/> and the backward passes of the norms need for each vector of <paramref name="columns"/> sums.</summary>
    public static long ColumnWorkspace(int rows, int columns) => (long)Parts(rows, columns) * columns;

    /// <summary>result (columns) = scale · Σ over rows of x; <paramref name="workspace"/> as <see cref="ColumnWorkspace"/> says.</summary>
    public static void SumColumns(WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, Span<float> result, Span<float> workspace, double scale = 1)
    {
        Sizes.Check("sum of columns", (long)rows * columns, x.Length, columns, result.Length);
        CheckWorkspace(rows, columns, workspace.Length);
        fixed (float* px = x, pr = result, pw = workspace)
        {
            int parts = Parts(rows, columns);
            CpuKernel.Run(team, parts, new ColumnPart(px, pw, rows, columns, parts));
            AddParts(team, pw, parts, columns, pr, scale);
        }
    }

    /// <summary>Σ op(x) over everything, in F64.</summary>
    public static double Sum<TOperator>(WorkerTeam team, ReadOnlySpan<float> x, TOperator op = default)
        where TOperator : struct, IUnaryOperator
    {
        double* parts = stackalloc double[MaxParts];
        int chunks = Math.Min(MaxParts, WorkerTeam.ChunksFor(x.Length));
        fixed (float* px = x)
        {
            CpuKernel.Run(team, chunks, new AllSum<TOperator>(px, x.Length, chunks, parts, op));
        }

        double total = 0;
        for (int i = 0; i < chunks; i++)
        {
            total += parts[i];
        }

        return total;
    }

    /// <summary>The largest of all; NaN if there is one, -∞ of none.</summary>
    public static float Max(WorkerTeam team, ReadOnlySpan<float> x)
    {
        float* parts = stackalloc float[MaxParts];
        int chunks = Math.Min(MaxParts, WorkerTeam.ChunksFor(x.Length));
        fixed (float* px = x)
        {
            CpuKernel.Run(team, chunks, new AllMax(px, x.Length, chunks, parts));
        }

        float largest = float.NegativeInfinity;
        for (int i = 0; i < chunks; i++)
        {
            largest = MathF.Max(largest, parts[i]);
        }

        return largest;
    }

    /// <summary>Into how many blocks of rows a reduction over rows is cut: 64 at most, of 32768 elements at least, so that adding the parts is a small share.</summary>
    internal static int Parts(int rows, int columns)
        => rows == 0 ? 0 : (int)Math.Min(Math.Min(MaxParts, rows), Math.Max(1, (long)rows * columns / WorkerTeam.Grain));

    internal static void CheckWorkspace(int rows, int columns, int given)
    {
        if (given < ColumnWorkspace(rows, columns))
        {
            throw new ArgumentException($"A reduction of ({rows}, {columns}) over rows needs a workspace of {ColumnWorkspace(rows, columns)} floats; {given} were given.");
        }
    }

    /// <summary>result (columns) = scale · Σ over parts, in order and in F64.</summary>
    internal static void AddParts(WorkerTeam team, float* parts, int count, int columns, float* result, double scale)
    {
        PartSum sum = new(parts, count, columns, result, scale);
        team.Run(WorkerTeam.ChunksFor(columns, PartSum.Stripe), ref sum);
    }

    /// <summary>The rows of part <paramref name="part"/> of <paramref name="parts"/>.</summary>
    internal static (int First, int Last) PartRows(int part, int parts, int rows)
        => ((int)((long)rows * part / parts), (int)((long)rows * (part + 1) / parts));

    private static (int Start, int Count) Piece(int chunk, int chunks, int n)
    {
        // Whole blocks of 4096, so that vectors are cut at the same places whatever the number of chunks.
        long blocks = (n + 4095L) / 4096;
        long start = blocks * chunk / chunks * 4096;
        long end = Math.Min(n, blocks * (chunk + 1) / chunks * 4096);
        return ((int)start, (int)(end - start));
    }

    private readonly struct RowSum<TOperator>(float* x, float* result, int rows, int columns, double scale, TOperator op) : ILanesWork
        where TOperator : struct, IUnaryOperator
    {
        private readonly float* _x = x;
        private readonly float* _result = result;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly double _scale = scale;
        private readonly TOperator _op = op;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int first, int last) = Sizes.Rows(chunk, _rows, _columns);
            for (int row = first; row < last; row++)
            {
                _result[row] = (float)(_scale * Loops.Sum<T, TOperator>(_x + ((long)row * _columns), _columns, _op));
            }
        }
    }

    private readonly struct RowDot(float* x, float* y, float* result, int rows, int columns) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _y = y;
        private readonly float* _result = result;
        private readonly int _rows = rows;
        private readonly int _columns = columns;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int first, int last) = Sizes.Rows(chunk, _rows, _columns);
            for (int row = first; row < last; row++)
            {
                long at = (long)row * _columns;
                _result[row] = (float)Loops.Sum<T, MultiplyOperator>(_x + at, _y + at, _columns, default);
            }
        }
    }

    private readonly struct RowMax(float* x, float* result, int rows, int columns) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _result = result;
        private readonly int _rows = rows;
        private readonly int _columns = columns;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int first, int last) = Sizes.Rows(chunk, _rows, _columns);
            for (int row = first; row < last; row++)
            {
                _result[row] = Loops.Max<T>(_x + ((long)row * _columns), _columns);
            }
        }
    }

    private readonly struct AllSum<TOperator>(float* x, int n, int chunks, double* parts, TOperator op) : ILanesWork
        where TOperator : struct, IUnaryOperator
    {
        private readonly float* _x = x;
        private readonly int _n = n;
        private readonly int _chunks = chunks;
        private readonly double* _parts = parts;
        private readonly TOperator _op = op;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int start, int count) = Piece(chunk, _chunks, _n);
            _parts[chunk] = Loops.Sum<T, TOperator>(_x + start, count, _op);
        }
    }

    private readonly struct AllMax(float* x, int n, int chunks, float* parts) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly int _n = n;
        private readonly int _chunks = chunks;
        private readonly float* _parts = parts;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            (int start, int count) = Piece(chunk, _chunks, _n);
            _parts[chunk] = Loops.Max<T>(_x + start, count);
        }
    }

    private readonly struct ColumnPart(float* x, float* parts, int rows, int columns, int count) : ILanesWork
    {
        private readonly float* _x = x;
        private readonly float* _parts = parts;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly int _count = count;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            float* sums = _parts + ((long)chunk * _columns);
            new Span<float>(sums, _columns).Clear();
            (int first, int last) = PartRows(chunk, _count, _rows);
            for (int row = first; row < last; row++)
            {
                Loops.Map<T, AddOperator>(sums, _x + ((long)row * _columns), sums, _columns, default);
            }
        }
    }

    private readonly struct PartSum(float* parts, int count, int columns, float* result, double scale) : IChunkWork
    {
        public const int Stripe = 2048;

        private readonly float* _parts = parts;
        private readonly int _count = count;
        private readonly int _columns = columns;
        private readonly float* _result = result;
        private readonly double _scale = scale;

        public void Invoke(int chunk, int worker)
        {
            int end = Math.Min(_columns, (chunk + 1) * Stripe);
            for (int column = chunk * Stripe; column < end; column++)
            {
                double sum = 0;
                for (int part = 0; part < _count; part++)
                {
                    sum += _parts[((long)part * _columns) + column];
                }

                _result[column] = (float)(_scale * sum);
            }
        }
    }
}

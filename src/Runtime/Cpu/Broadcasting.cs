namespace Graft.Runtime.Cpu;

/// <summary>How the second operand of a binary operator spreads over a (rows, columns) first operand.</summary>
internal enum Broadcast
{
    /// <summary>The same elements: (rows, columns).</summary>
    None,

    /// <summary>One number for all.</summary>
    Scalar,

    /// <summary>One number per column, repeated in every row: (columns).</summary>
    Row,

    /// <summary>One number per row: (rows).</summary>
    Column,
}

/// <summary>A binary operator with its operands exchanged, for a first operand that is spread over the second.</summary>
internal readonly struct Swapped<TOperator>(TOperator op) : IBinaryOperator
    where TOperator : struct, IBinaryOperator
{
    private readonly TOperator _op = op;

    public T Invoke<T>(T x, T y)
        where T : unmanaged, ILanes<T>
        => _op.Invoke(y, x);
}

/// <summary>Binary operators where the second operand is smaller than the first.</summary>
internal static unsafe class Broadcasting
{
    /// <summary>result (rows, columns) = op(x (rows, columns), y), y spread as <paramref name="form"/> says; the result may be x.</summary>
    public static void Run<TOperator>(
        WorkerTeam team, int rows, int columns, ReadOnlySpan<float> x, ReadOnlySpan<float> y, Broadcast form, Span<float> result, TOperator op = default)
        where TOperator : struct, IBinaryOperator
    {
        if (form == Broadcast.None)
        {
            Elementwise.Run(team, x, y, result, op);
            return;
        }

        long count = (long)rows * columns;
        Check(count, x.Length, y.Length, result.Length, form, rows, columns);
        if (count == 0)
        {
            return;
        }

        if (form == Broadcast.Scalar)
        {
            (rows, columns) = (1, x.Length);
        }

        // Long rows are cut too; the pieces depend on the shape alone.
        int piece = Math.Min(columns, WorkerTeam.Grain);
        int pieces = WorkerTeam.ChunksFor(columns, piece);
        int rowsPerChunk = Math.Max(1, WorkerTeam.Grain / piece);
        fixed (float* px = x, py = y, pr = result)
        {
            int chunks = checked(WorkerTeam.ChunksFor(rows, rowsPerChunk) * pieces);
            CpuKernel.Run(team, chunks, new Work<TOperator>(px, py, pr, rows, columns, rowsPerChunk, piece, form, op));
        }
    }

    /// <summary>The oracle's way: one double at a time.</summary>
    public static void Run<TOperator>(
        int rows, int columns, ReadOnlySpan<double> x, ReadOnlySpan<double> y, Broadcast form, Span<double> result, TOperator op = default)
        where TOperator : struct, IBinaryOperator
    {
        Check((long)rows * columns, x.Length, y.Length, result.Length, form, rows, columns);
        for (int i = 0; i < result.Length; i++)
        {
            int at = form switch { Broadcast.None => i, Broadcast.Scalar => 0, Broadcast.Row => i % columns, _ => i / columns };
            result[i] = op.Invoke(new LanesDouble(x[i]), new LanesDouble(y[at])).Value;
        }
    }

    private static void Check(long count, int x, int y, int result, Broadcast form, int rows, int columns)
    {
        long needed = form switch { Broadcast.None => count, Broadcast.Scalar => 1, Broadcast.Row => columns, _ => rows };
        if (x != count || result != count || y != needed)
        {
            throw new ArgumentException($"Broadcasting: ({rows}, {columns}) with {form} needs {count}, {needed} and {count} elements; {x}, {y} and {result} were given.");
        }
    }

    private readonly struct Work<TOperator>(
        float* x, float* y, float* result, int rows, int columns, int rowsPerChunk, int piece, Broadcast form, TOperator op) : ILanesWork
        where TOperator : struct, IBinaryOperator
    {
        private readonly float* _x = x;
        private readonly float* _y = y;
        private readonly float* _result = result;
        private readonly int _rows = rows;
        private readonly int _columns = columns;
        private readonly int _rowsPerChunk = rowsPerChunk;
        private readonly int _piece = piece;
        private readonly Broadcast _form = form;
        private readonly TOperator _op = op;

        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int pieces = (_columns + _piece - 1) / _piece;
            int firstRow = chunk / pieces * _rowsPerChunk;
            int lastRow = Math.Min(firstRow + _rowsPerChunk, _rows);
            int column = chunk % pieces * _piece;
            int count = Math.Min(_piece, _columns - column);
            for (int row = firstRow; row < lastRow; row++)
            {
                long at = ((long)row * _columns) + column;
                if (_form == Broadcast.Row)
                {
                    Loops.Map<T, TOperator>(_x + at, _y + column, _result + at, count, _op);
                }
                else
                {
                    One<T>(_x + at, _form == Broadcast.Scalar ? *_y : _y[row], _result + at, count, _op);
                }
            }
        }

        private static void One<T>(float* x, float y, float* result, int count, TOperator op)
            where T : unmanaged, IFloatLanes<T>
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

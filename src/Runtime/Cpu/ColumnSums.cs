namespace Graft.Runtime.Cpu;

/// <summary>Sums over the rows of a matrix, e.g. the gradient of a bias.</summary>
internal static unsafe class ColumnSums
{
    private const int Columns = 128;
    private const int Rows = 64;

    /// <summary>sums[j] = or += Σ_i x[i, j], x (rows, columns); blocks of 64 rows are added in F32, blocks to each other in F64.</summary>
    public static void Run(WorkerTeam team, float* x, long rows, int columns, float* sums, bool accumulate)
    {
        SingleWork work = new(x, rows, columns, sums, accumulate);
        team.Run(WorkerTeam.ChunksFor(columns, Columns), ref work);
    }

    /// <summary>The same in F64.</summary>
    public static void Run(double* x, long rows, int columns, double* sums, bool accumulate)
    {
        for (int j = 0; j < columns; j++)
        {
            double sum = accumulate ? sums[j] : 0;
            for (long i = 0; i < rows; i++)
            {
                sum += x[(i * columns) + j];
            }

            sums[j] = sum;
        }
    }

    private readonly struct SingleWork(float* x, long rows, int columns, float* sums, bool accumulate) : IChunkWork
    {
        public void Invoke(int chunk, int worker)
        {
            int from = chunk * Columns;
            int count = Math.Min(Columns, columns - from);
            double* total = stackalloc double[Columns];
            float* block = stackalloc float[Columns];
            new Span<double>(total, Columns).Clear();
            Span<float> partial = new(block, count);
            for (long row = 0; row < rows; row += Rows)
            {
                partial.Clear();
                long end = Math.Min(rows, row + Rows);
                for (long i = row; i < end; i++)
                {
                    System.Numerics.Tensors.TensorPrimitives.Add(partial, new ReadOnlySpan<float>(x + (i * columns) + from, count), partial);
                }

                for (int j = 0; j < count; j++)
                {
                    total[j] += block[j];
                }
            }

            for (int j = 0; j < count; j++)
            {
                sums[from + j] = (float)(accumulate ? sums[from + j] + total[j] : total[j]);
            }
        }
    }
}

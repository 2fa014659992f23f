namespace Graft.Runtime.Cpu;

/// <summary>Matrix products on the CPU.</summary>
internal static unsafe class Gemm
{
    // Multiply-adds of one product from which packing together pays: below, the wait for the others costs more.
    private const double LeastShared = 8e6;

    /// <summary>Computes <paramref name="c"/>; the result does not depend on the number of threads.</summary>
    public static void Run(WorkerTeam team, in GemmCall c)
    {
        c.Check();
        if (c.M == 0 || c.N == 0 || c.Batch == 0)
        {
            return;
        }

        if (c.Second.K > 0 && (c.Second.K > GemmPlan.MaxTail || Gemv.Fits(c)))
        {
            Run(team, c with { Second = default });
            Run(team, c.SecondAlone());
            return;
        }

        if (Gemv.Fits(c))
        {
            Gemv.Run(team, c);
            return;
        }

        // With alpha 0 the factors are not read.
        GemmCall call = c with { K = c.Alpha == 0 ? 0 : c.K, Second = c.Second.Alpha == 0 ? default : c.Second };
        GemmPlan plan = new(call);
        if (!plan.IsEmpty && !team.IsInside && (double)c.M * c.N * (call.K + call.Second.K) >= LeastShared)
        {
            GemmBlocks blocks = new(team, call, plan);
            team.Run(blocks.Chunks, ref blocks);
        }
        else
        {
            GemmTiles tiles = new(team, call, plan);
            team.Run(tiles.Chunks, ref tiles);
        }
    }

    /// <summary>C = beta·C + bias for a block of C; never reads C where beta is 0.</summary>
    public static void Prepare(float* c, long ldc, int rows, int columns, float beta, float* bias)
    {
        for (int i = 0; i < rows; i++, c += ldc)
        {
            Span<float> row = new(c, columns);
            if (beta == 0)
            {
                if (bias == null)
                {
                    row.Clear();
                }
                else
                {
                    new ReadOnlySpan<float>(bias, columns).CopyTo(row);
                }
            }
            else
            {
                for (int j = 0; j < row.Length; j++)
                {
                    row[j] = (beta * row[j]) + (bias == null ? 0 : bias[j]);
                }
            }
        }
    }

    /// <summary>Writes, or adds, the corner of a tile to C.</summary>
    public static void Merge(float* tile, long width, int rows, int columns, float* c, long ldc, bool accumulate)
    {
        for (int i = 0; i < rows; i++, tile += width, c += ldc)
        {
            ReadOnlySpan<float> from = new(tile, columns);
            Span<float> to = new(c, columns);
            if (accumulate)
            {
                System.Numerics.Tensors.TensorPrimitives.Add(from, to, to);
            }
            else
            {
                from.CopyTo(to);
            }
        }
    }
}

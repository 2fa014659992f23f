using System.Runtime.CompilerServices;

namespace Graft.Runtime.Cpu;

/// <summary>Log-probabilities of given tokens under softmax(hidden·Wᵀ), some rows of logits at a time.</summary>
/// <remarks>
/// Rows whose target is negative are left out before any product, so a masked prompt costs nothing. Rows are gathered into a chunk, its logits are made, and
/// each row is read (forward) or overwritten by its slopes (backward). Bytes of workspace: 4·(R·V + 2·R·C) + 4·N with R = <see cref="ChunkRows"/>.
/// </remarks>
internal readonly unsafe struct SelectedLogProbKernel
{
    private const long ChunkLogits = 8 << 20; // 32 MiB: W is packed once per chunk, which at 144 rows is some 7 % of the product
    private const int RowStep = 144; // whole tiles of the matrix product

    public required float* Hidden { get; init; }

    public required void* Weight { get; init; }

    public required OperandType WeightType { get; init; }

    public required int* Targets { get; init; }

    /// <summary>N.</summary>
    public required int Rows { get; init; }

    /// <summary>C.</summary>
    public required int Width { get; init; }

    /// <summary>V.</summary>
    public required int Vocabulary { get; init; }

    public required float Smoothing { get; init; }

    public required float SoftCap { get; init; }

    public required byte* Workspace { get; init; }

    /// <summary>Rows of logits that are held at a time.</summary>
    public static int ChunkRows(int rows, int vocabulary)
    {
        long most = Math.Clamp(ChunkLogits / Math.Max(1, vocabulary), 32, 1008);
        most = most > RowStep ? most / RowStep * RowStep : most;
        return (int)Math.Min(most, Math.Max(1, rows));
    }

    /// <summary>Bytes at <see cref="Workspace"/>.</summary>
    public static long WorkspaceBytes(int rows, int width, int vocabulary)
    {
        long chunk = ChunkRows(rows, vocabulary);
        return 4 * ((chunk * vocabulary) + (2 * chunk * width) + rows);
    }

    /// <summary>logProb (N), and where asked for logSumExp (N) and the gradient of each logProb with respect to its own hidden row, unit (N, C).</summary>
    public void Forward(WorkerTeam team, float* logProb, float* logSumExp, float* unit)
    {
        new Span<float>(logProb, Rows).Clear();
        if (logSumExp != null)
        {
            new Span<float>(logSumExp, Rows).Clear();
        }

        int* counted = Counted(out int count);
        ClearOthers(unit);
        int chunkRows = ChunkRows(Rows, Vocabulary);
        for (int from = 0; from < count; from += chunkRows)
        {
            int rows = Math.Min(chunkRows, count - from);
            Logits(team, counted + from, rows);
            CpuKernel.Run(team, rows, new RowWork(this, counted + from, LogitsAt, logProb, logSumExp, null, null, unit != null));
            if (unit != null)
            {
                HiddenGradient(team, counted + from, rows, unit, false);
            }
        }
    }

    /// <summary>Adds coefficient·d logProb + other·d logSumExp to the gradients that have memory; the caller clears what is to be overwritten.</summary>
    public void Backward(WorkerTeam team, float* coefficients, float* others, float* dHidden, float* dWeight)
    {
        int* counted = Counted(out int count);
        int chunkRows = ChunkRows(Rows, Vocabulary);
        for (int from = 0; from < count; from += chunkRows)
        {
            int rows = Math.Min(chunkRows, count - from);
            Logits(team, counted + from, rows);
            CpuKernel.Run(team, rows, new RowWork(this, counted + from, LogitsAt, null, null, coefficients, others, true));
            if (dWeight != null)
            {
                Gemm.Run(team, new GemmCall
                {
                    M = Vocabulary,
                    N = Width,
                    K = rows,
                    A = LogitsAt,
                    LeadingA = Vocabulary,
                    TransposeA = true,
                    B = GatheredAt,
                    LeadingB = Width,
                    C = dWeight,
                    LeadingC = Width,
                    Beta = 1,
                });
            }

            if (dHidden != null)
            {
                HiddenGradient(team, counted + from, rows, dHidden, true);
            }
        }
    }

    /// <summary>dHidden = or += coefficient · unit, row by row.</summary>
    public static void ScaleRows(WorkerTeam team, int rows, int width, float* coefficients, float* unit, float* dHidden, bool accumulate)
    {
        ScaleWork work = new(rows, width, coefficients, unit, dHidden, accumulate);
        team.Run(WorkerTeam.ChunksFor(rows, ScaleWork.Rows), ref work);
    }

    private float* LogitsAt => (float*)Workspace;

    private float* GatheredAt => LogitsAt + ((long)ChunkRows(Rows, Vocabulary) * Vocabulary);

    private float* GradientAt => GatheredAt + ((long)ChunkRows(Rows, Vocabulary) * Width);

    /// <summary>The rows that have a target.</summary>
    private int* Counted(out int count)
    {
        int* rows = (int*)(GradientAt + ((long)ChunkRows(Rows, Vocabulary) * Width));
        count = 0;
        for (int i = 0; i < Rows; i++)
        {
            if (Targets[i] >= Vocabulary)
            {
                throw new GraftException($"selected_log_prob: target {Targets[i]} of row {i} is not below the vocabulary's size {Vocabulary}; rows without a target have a negative one.");
            }

            if (Targets[i] >= 0)
            {
                rows[count++] = i;
            }
        }

        return rows;
    }

    private void ClearOthers(float* unit)
    {
        for (int i = 0; unit != null && i < Rows; i++)
        {
            if (Targets[i] < 0)
            {
                new Span<float>(unit + ((long)i * Width), Width).Clear();
            }
        }
    }

    private void Logits(WorkerTeam team, int* rows, int count)
    {
        for (int i = 0; i < count; i++)
        {
            new ReadOnlySpan<float>(Hidden + ((long)rows[i] * Width), Width).CopyTo(new Span<float>(GatheredAt + ((long)i * Width), Width));
        }

        Gemm.Run(team, new GemmCall
        {
            M = count,
            N = Vocabulary,
            K = Width,
            A = GatheredAt,
            LeadingA = Width,
            B = Weight,
            LeadingB = Width,
            TransposeB = true,
            TypeB = WeightType,
            C = LogitsAt,
            LeadingC = Vocabulary,
        });
    }

    /// <summary>slopes·W into the rows of <paramref name="to"/>.</summary>
    private void HiddenGradient(WorkerTeam team, int* rows, int count, float* to, bool accumulate)
    {
        Gemm.Run(team, new GemmCall
        {
            M = count,
            N = Width,
            K = Vocabulary,
            A = LogitsAt,
            LeadingA = Vocabulary,
            B = Weight,
            LeadingB = Width,
            TypeB = WeightType,
            C = GradientAt,
            LeadingC = Width,
        });
        for (int i = 0; i < count; i++)
        {
            Gemm.Merge(GradientAt + ((long)i * Width), Width, 1, Width, to + ((long)rows[i] * Width), Width, accumulate);
        }
    }

    /// <summary>One row of logits per chunk: its sums, and its slopes in its place.</summary>
    private readonly struct RowWork(
        SelectedLogProbKernel kernel, int* rows, float* logits, float* logProb, float* logSumExp, float* coefficients, float* others, bool slopes) : ILanesWork
    {
        public void Invoke<T>(int chunk, int worker)
            where T : unmanaged, IFloatLanes<T>
        {
            int row = rows[chunk];
            int n = kernel.Vocabulary;
            int target = kernel.Targets[row];
            float* z = logits + ((long)chunk * n);
            float cap = kernel.SoftCap;
            if (cap != 0)
            {
                Loops.Map<T, Cap>(z, z, n, new Cap(cap));
            }

            (float max, double log) = SoftmaxKernels.LogSumExp<T>(z, n);
            double smoothing = kernel.Smoothing;
            if (logProb != null)
            {
                double selected = (1 - smoothing) * ((double)z[target] - max);
                if (smoothing > 0)
                {
                    selected -= smoothing / n * Loops.Sum<T, CrossEntropyKernel.Distance>(z, n, new CrossEntropyKernel.Distance(max));
                }

                logProb[row] = (float)(selected - log);
                if (logSumExp != null)
                {
                    logSumExp[row] = (float)(max + log);
                }
            }

            if (!slopes)
            {
                return;
            }

            // d logProb = (1 - ε)·[k = y] + ε/V - p, d logSumExp = p.
            double own = coefficients == null ? 1 : coefficients[row];
            double other = others == null ? 0 : others[row];
            float capped = z[target];
            CrossEntropyKernel.Slope slope = new((float)(max + log), (float)(other - own), (float)(-own * smoothing / n));
            if (cap == 0)
            {
                Loops.Map<T, CrossEntropyKernel.Slope>(z, z, n, slope);
            }
            else
            {
                Loops.Map<T, CappedSlope>(z, z, n, new CappedSlope(slope, cap));
            }

            double ownSlope = cap == 0 ? 1 : 1 - ((double)capped / cap * (capped / cap));
            z[target] = (float)(z[target] + (own * (1 - smoothing) * ownSlope));
        }
    }

    /// <summary>cap · tanh(z / cap).</summary>
    private readonly struct Cap(float cap) : IUnaryOperator
    {
        private readonly float _cap = cap;
        private readonly float _inverse = (float)(1.0 / cap);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
            => T.Of(_cap) * T.Tanh(x * T.Of(_inverse));
    }

    /// <summary>A slope with respect to a capped logit, times the slope of the cap there.</summary>
    private readonly struct CappedSlope(CrossEntropyKernel.Slope slope, float cap) : IUnaryOperator
    {
        private readonly CrossEntropyKernel.Slope _slope = slope;
        private readonly float _inverse = (float)(1.0 / cap);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public T Invoke<T>(T x)
            where T : unmanaged, ILanes<T>
        {
            T ratio = x * T.Of(_inverse);
            return _slope.Invoke(x) * (T.Of(1) - (ratio * ratio));
        }
    }

    private readonly struct ScaleWork(int rows, int width, float* coefficients, float* unit, float* target, bool accumulate) : IChunkWork
    {
        public const int Rows = 32;

        public void Invoke(int chunk, int worker)
        {
            int end = Math.Min(rows, (chunk + 1) * Rows);
            for (int i = chunk * Rows; i < end; i++)
            {
                ReadOnlySpan<float> from = new(unit + ((long)i * width), width);
                Span<float> to = new(target + ((long)i * width), width);
                if (accumulate)
                {
                    System.Numerics.Tensors.TensorPrimitives.MultiplyAdd(from, coefficients[i], to, to);
                }
                else
                {
                    System.Numerics.Tensors.TensorPrimitives.Multiply(from, coefficients[i], to);
                }
            }
        }
    }
}
